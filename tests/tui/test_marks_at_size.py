"""Many marked invoices: what is done to them goes in steps, in sight, and can be stopped."""

from __future__ import annotations

import asyncio
import threading
from array import array
from collections.abc import Callable, Iterator

import pytest
import tui_office
from textual.pilot import Pilot
from tui_helpers import LONGEST, NARROW, Desk, Program, asked, expect, ready, text_of

from ksef_tui.domain.invoices import InvoiceState
from ksef_tui.domain.roles import Operator
from ksef_tui.services import approving, invoice_views
from ksef_tui.services.invoice_views import FIRST_PAGES
from ksef_tui.services.office import Office
from ksef_tui.services.views import QueueFilter
from ksef_tui.tui.app import KsefTui
from ksef_tui.tui.dialogs.ask import Ask
from ksef_tui.tui.dialogs.working import AT_A_TIME, Working

COUNT = 2 * AT_A_TIME + 100


@pytest.fixture
def many(desk: Desk, ids: dict[str, int]) -> Iterator[None]:
    """So many invoices of one client that wait for approval."""
    first = tui_office.add_invoice(desk[0], ids["alfa"], "WIELE/0", InvoiceState.WAITING)
    with desk[0].db.write() as connection:
        columns = [row["name"] for row in connection.execute("PRAGMA table_info(invoice)")]
        kept = ", ".join(column for column in columns if column not in ("id", "sha256", "number", "number_key"))
        for n in range(1, COUNT):
            digest = f"{n:064d}"
            connection.execute("INSERT INTO document VALUES (?, x'')", (digest,))
            connection.execute(
                f"INSERT INTO invoice (sha256, number, number_key, {kept}) SELECT ?, ?, ?, {kept} FROM invoice WHERE id = ?",
                (digest, f"WIELE/{n}", f"WIELE/{n}", first),
            )
    yield


def in_state(desk: Desk, state: str) -> int:
    found: int = desk[0].db.value("SELECT count(*) FROM invoice WHERE number LIKE 'WIELE/%' AND state = ?", (state,))
    return found


async def all_marked(app: KsefTui, pilot: Pilot[int]) -> None:
    await ready(app, pilot)
    await pilot.press("2", "slash", *"wiele", "enter")
    await expect(pilot, lambda: len(app.main.queue.list.ids) == COUNT)
    await pilot.press("asterisk")
    await expect(pilot, lambda: app.main.queue.marked_states[InvoiceState.WAITING] == COUNT)


async def until(reached: Callable[[], bool]) -> None:
    """Wait without waiting for the program to be at rest, as a `Pilot` does."""
    async with asyncio.timeout(LONGEST):
        while not reached():
            await asyncio.sleep(0.002)


@pytest.mark.usefixtures("many")
async def test_holding_many_shows_how_far_it_is_and_does_all(desk: Desk, program: Program) -> None:
    app = program()
    async with app.run_test(size=NARROW) as pilot:
        await all_marked(app, pilot)
        app.simulate_key("w")
        await until(lambda: isinstance(app.screen, Working))
        await until(lambda: f"{AT_A_TIME} z {COUNT} · jeszcze ok." in text_of(app))
        await expect(pilot, lambda: app.screen is app.main)
        assert in_state(desk, "held") == COUNT
        await expect(pilot, lambda: any(f"{COUNT} faktur" in one.message for one in app._notifications))


@pytest.mark.usefixtures("many")
async def test_the_first_rows_of_a_long_queue_are_there_before_the_rest_is_read(
    program: Program, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, may_go_on = invoice_views.queue_ids, threading.Event()

    def slow(
        office: Office, operator: Operator, chosen: QueueFilter, *, early: Callable[[array[int]], None]
    ) -> array[int]:
        def told(found: array[int]) -> None:
            early(found)
            assert may_go_on.wait(LONGEST)

        return whole(office, operator, chosen, early=told)

    monkeypatch.setattr("ksef_tui.services.invoice_views.queue_ids", slow)
    app = program()
    async with app.run_test(size=NARROW) as pilot:
        await until(lambda: len(app.main.queue.list.ids) == FIRST_PAGES)
        await pilot.press("2", "asterisk")
        await expect(pilot, lambda: "FV/" in text_of(app) or "WIELE/" in text_of(app))
        assert not app.main.queue.list.marks, "a part is not all"
        await expect(pilot, lambda: any("wczytuje" in one.message for one in app._notifications))
        may_go_on.set()
        await expect(pilot, lambda: len(app.main.queue.list.ids) > COUNT)
        await pilot.press("asterisk")
        assert len(app.main.queue.list.marks) == len(app.main.queue.list.ids)


@pytest.mark.usefixtures("many")
async def test_esc_stops_and_says_what_was_left(desk: Desk, program: Program, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ksef_tui.tui.dialogs.working.AT_A_TIME", 5)
    app = program()
    async with app.run_test(size=NARROW) as pilot:
        await all_marked(app, pilot)
        app.simulate_key("w")
        await until(lambda: in_state(desk, "held") > 0 and isinstance(app.screen, Working))
        app.simulate_key("escape")
        await expect(pilot, lambda: app.screen is app.main)
        held = in_state(desk, "held")
        assert 0 < held < COUNT
        assert in_state(desk, "waiting") == COUNT - held
        told = f"Zatrzymano: {COUNT - held} fakt"
        await expect(pilot, lambda: any(told in one.message for one in app._notifications))


@pytest.mark.usefixtures("many")
async def test_approving_many_asks_once_for_all(desk: Desk, program: Program) -> None:
    app = program()
    async with app.run_test(size=NARROW) as pilot:
        await all_marked(app, pilot)
        await pilot.press("z")
        await asked(app, pilot, Ask)
        assert f"pójdzie: {COUNT} faktur" in text_of(app)
        await pilot.press("down", "enter")
        await expect(pilot, lambda: in_state(desk, "approved") == COUNT)


@pytest.mark.usefixtures("many")
def test_the_summary_of_many_is_exact(desk: Desk) -> None:
    ids = [row[0] for row in desk[0].db.rows("SELECT id FROM invoice WHERE number LIKE 'WIELE/%'")]
    told = approving.summary(*desk, ids)
    assert told.count == COUNT
    [client] = told.by_client
    assert [f"{amount} {currency}" for currency, amount in client.gross] == [f"{COUNT * 1230}.00 PLN"]
