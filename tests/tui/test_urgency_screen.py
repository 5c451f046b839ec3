"""Urgent invoices and pauses on the screen: the keys, the menu, the row, the status line."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest
from textual.pilot import Pilot
from tui_helpers import NARROW, WIDE, Desk, Program, asked, expect, on_client, ready, text_of

from ksef_tui.services import approving, pausing
from ksef_tui.store import leases
from ksef_tui.tui.app import KsefTui
from ksef_tui.tui.dialogs.form import Form
from ksef_tui.tui.dialogs.pick import Pick


@pytest.fixture(autouse=True)
def somebody_sends(desk: Desk, ids: dict[str, int]) -> Iterator[None]:
    assert ids, "the office is furnished"
    lease = leases.take(desk[0].db, "worker:1", 600)
    assert lease is not None
    yield
    leases.release(desk[0].db, lease)


async def on_approved(app: KsefTui, pilot: Pilot[int], desk: Desk) -> int:
    """The queue with the cursor on an invoice that has just been approved, and may be recalled for a long time."""
    await ready(app, pilot)
    one = desk[0].db.value("SELECT id FROM invoice WHERE state = 'waiting' ORDER BY id LIMIT 1")
    await pilot.press("2")
    await expect(pilot, lambda: one in app.main.queue.list.ids)
    assert app.main.queue.list.go_to(one)
    await asyncio.to_thread(approving.approve, *desk, [one])
    await expect(pilot, lambda: "za 10 s" in text_of(app))
    return int(one)


async def test_q_marks_the_invoice_and_its_row_says_so(desk: Desk, program: Program):
    app = program()
    async with app.run_test(size=NARROW) as pilot:
        one = await on_approved(app, pilot, desk)
        await pilot.press("q")
        await expect(pilot, lambda: bool(desk[0].db.value("SELECT urgent_at FROM invoice WHERE id = ?", (one,))))
        await expect(pilot, lambda: "pilna za 10 s" in text_of(app))
        await pilot.press("c")
        await expect(pilot, lambda: desk[0].db.value("SELECT state FROM invoice WHERE id = ?", (one,)) == "waiting")
        await expect(pilot, lambda: "pilna za" not in text_of(app))


async def test_q_says_why_it_does_nothing(desk: Desk, program: Program):
    app = program()
    async with app.run_test(size=NARROW) as pilot:
        await ready(app, pilot)
        one = desk[0].db.value("SELECT id FROM invoice WHERE state = 'waiting' ORDER BY id LIMIT 1")
        await pilot.press("2")
        await expect(pilot, lambda: bool(app.main.queue.list.ids))
        app.main.queue.list.go_to(one)
        await pilot.press("q")
        await expect(pilot, lambda: any("najpierw z" in notice.message for notice in app._notifications))


async def test_h_stops_a_client_with_a_reason_and_lets_it_go_on(desk: Desk, program: Program, ids: dict[str, int]):
    app = program()
    async with app.run_test(size=NARROW) as pilot:
        await on_client(app, pilot, ids["alfa"])
        await pilot.press("h")
        await asked(app, pilot, Pick)
        assert "Wstrzymaj" in text_of(app)
        await pilot.press("enter")
        await asked(app, pilot, Form)
        await pilot.press(*"urlop", "enter")
        await expect(pilot, lambda: bool(pausing.paused_clients(*desk)))
        [paused] = pausing.paused_clients(*desk)
        assert (paused.client_id, paused.pause.login, paused.pause.why) == (ids["alfa"], "anna", "urlop")
        await expect(pilot, lambda: "wysyłka bez 1" in text_of(app) and "pauza" in text_of(app))
        await pilot.press("h")
        await asked(app, pilot, Pick)
        assert "Wznów" in text_of(app)
        assert "wstrzymane przez ANNA 09:14" in text_of(app)
        await pilot.press("enter")
        await expect(pilot, lambda: not pausing.paused_clients(*desk))


async def test_h_stops_everything_and_every_row_and_the_status_line_say_so(desk: Desk, program: Program):
    app = program()
    async with app.run_test(size=WIDE) as pilot:
        await on_approved(app, pilot, desk)
        await pilot.press("h")
        await asked(app, pilot, Pick)
        await pilot.press("down", "enter")
        await asked(app, pilot, Form)
        await pilot.press("enter")
        await expect(pilot, lambda: pausing.of_everything(desk[0]) is not None)
        await expect(pilot, lambda: "● wstrzymane przez ANNA 09:14" in text_of(app))
        await expect(pilot, lambda: "◷ do wysłania      pauza" in text_of(app))
        await expect(pilot, lambda: "za 10 s" not in text_of(app))
        await pilot.press("h")
        await asked(app, pilot, Pick)
        await pilot.press("enter")  # what stands is the first: the same key lets it go on
        await expect(pilot, lambda: pausing.of_everything(desk[0]) is None)


async def test_h_works_on_the_clients_of_marked_invoices(desk: Desk, program: Program):
    app = program()
    async with app.run_test(size=WIDE) as pilot:
        await ready(app, pilot)
        await pilot.press("2")
        await expect(pilot, lambda: bool(app.main.queue.list.ids))
        await pilot.press("asterisk", "h")
        await asked(app, pilot, Pick)
        await pilot.press("down", "enter")
        await asked(app, pilot, Form)
        await pilot.press("enter")
        wanted = {row[0] for row in desk[0].db.rows("SELECT DISTINCT client_id FROM invoice")}
        await expect(pilot, lambda: {one.client_id for one in pausing.paused_clients(*desk)} == wanted)


async def test_esc_in_the_menu_stops_nothing(desk: Desk, program: Program, ids: dict[str, int]):
    app = program()
    async with app.run_test(size=NARROW) as pilot:
        await on_client(app, pilot, ids["alfa"])
        await pilot.press("h")
        await asked(app, pilot, Pick)
        await pilot.press("escape")
        await expect(pilot, lambda: app.screen is app.main)
        assert pausing.paused_clients(*desk) == []


async def test_the_filter_of_the_queue_says_how_it_was_understood(desk: Desk, program: Program):
    app = program()
    async with app.run_test(size=NARROW) as pilot:
        await ready(app, pilot)
        await pilot.press("2", "slash", *"odrzucone >100 br")
        await expect(pilot, lambda: "odrzucona · powyżej 100,00 zł · „br”" in text_of(app))
        await expect(pilot, lambda: app.main.queue.text == "odrzucone >100 br")
        await pilot.press("enter")
        await expect(pilot, lambda: "odrzucona · powyżej 100,00 zł" in text_of(app))
        await pilot.press("escape")
        await expect(pilot, lambda: "do zatw." in text_of(app))
        assert "powyżej" not in text_of(app)
