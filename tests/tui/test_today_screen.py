"""What needs a person now, on the screen: a row each, mended from there, gone when mended, whoever mended it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import tui_office
from textual.pilot import Pilot
from tui_helpers import NARROW, WIDE, Desk, Program, asked, expect, states, text_of

from ksef_tui.compose import open_office
from ksef_tui.domain.situations import Pane
from ksef_tui.domain.today import Item, Kind, Money
from ksef_tui.services import approving
from ksef_tui.tui.app import KsefTui
from ksef_tui.tui.dialogs.ask import Ask
from ksef_tui.tui.dialogs.pick import Pick
from ksef_tui.tui.present import Look, width_of
from ksef_tui.tui.today import _lit, today_row


async def at_today(app: KsefTui, pilot: Pilot[int], kind: Kind | None = None) -> None:
    """Open the pane and put the cursor on the row of this kind."""
    await expect(pilot, lambda: app.main.today.read_once)
    await pilot.press("0")
    await expect(pilot, lambda: app.main.pane is Pane.TODAY)
    if kind is not None:
        [number] = [n for n, item in app.main.today._items.items() if item.kind is kind]
        app.main.today.list.go_to(number)


def kinds(app: KsefTui) -> list[Kind]:
    return [app.main.today._items[one].kind for one in app.main.today.list.ids]


def elsewhere(desk: Desk, act: Callable[..., Any], numbers: str) -> None:
    """Another process does something with these invoices."""
    office = open_office(desk[0].data_dir)
    office.clock = desk[0].clock
    try:
        ids = [row["id"] for row in office.db.rows("SELECT id FROM invoice WHERE number LIKE ?", (numbers,))]
        assert act(office, desk[1], ids).done == len(ids)
    finally:
        office.close()


@pytest.mark.parametrize("width", [60, 78, 99, 100, 118, 198])
@pytest.mark.parametrize("marked", [False, True])
def test_the_cursor_lights_whole_columns_of_a_row_that_takes_the_width(width: int, marked: bool) -> None:
    item = Item(
        "approve:1", Kind.APPROVE, due=True, clients=(1,), name="Hurtownia Leśna sp. z o.o. " * 3, nip="", count=3,
        why="Czekają, aż ktoś je zatwierdzi. " * 9, actions=("invoice.approve",), money=Money.of({"PLN": 123_456_78}),
    )  # fmt: skip
    line = today_row(Look(), item, width, marked)
    assert width_of(line) == width
    ends = [width_of(line[: count + 1]) for count in range(len(line))]
    assert _lit(width) in ends  # else a cell stays lit behind the cursor


@pytest.mark.parametrize("size", [NARROW, WIDE])
async def test_the_rows_stand_by_urgency_with_the_key_that_mends_each(
    ids: dict[str, int], program: Program, size: tuple[int, int]
) -> None:
    app = program()
    async with app.run_test(size=size) as pilot:
        await at_today(app, pilot)
        await expect(pilot, lambda: "2 do zatwierdzenia" in text_of(app))
        assert kinds(app) == [
            Kind.ACCESS, Kind.APPROVE, Kind.STANDING, Kind.BLOCKED, Kind.REFUSED, Kind.INVALID, Kind.CHECKED,
            Kind.RECEIPT, Kind.HELD, Kind.ENDS,
        ]  # fmt: skip
        shown = text_of(app)
        assert "Gamma s.c. nie nadała w KSeF uprawnień – 1 faktura czeka." in shown
        assert "r Sprawdź   l Pismo   a Autoryzuj   Enter autoryzacja" in shown
        assert all(len(line) <= size[0] for line in shown.splitlines())


async def test_approving_from_the_row_approves_its_invoices_and_the_row_is_gone(
    desk: Desk, ids: dict[str, int], program: Program
) -> None:
    app = program()
    async with app.run_test(size=NARROW) as pilot:
        await at_today(app, pilot, Kind.APPROVE)
        await expect(pilot, lambda: "z Zatwierdź 2" in text_of(app))
        await pilot.press("z")
        await asked(app, pilot, Ask)
        await pilot.press("down", "enter")
        await expect(pilot, lambda: states(desk, "JM/%") == {"approved"})
        await expect(pilot, lambda: Kind.APPROVE not in kinds(app))
        assert app.main.pane is Pane.TODAY


async def test_what_another_process_mends_goes_away_by_itself(
    desk: Desk, ids: dict[str, int], program: Program
) -> None:
    app = program()
    async with app.run_test(size=NARROW) as pilot:
        await at_today(app, pilot, Kind.REFUSED)
        elsewhere(desk, approving.release, "KOR/%")
        await expect(pilot, lambda: Kind.HELD not in kinds(app))
        elsewhere(desk, approving.withdraw, "15/11/26")
        await expect(pilot, lambda: Kind.REFUSED not in kinds(app))
        assert app.main.today.current is not None
        assert app.main.today.current.kind is Kind.INVALID  # what followed


async def test_enter_shows_exactly_those_invoices_and_escape_leads_back(
    desk: Desk, ids: dict[str, int], program: Program
) -> None:
    app = program()
    async with app.run_test(size=NARROW) as pilot:
        await at_today(app, pilot, Kind.BLOCKED)
        item = app.main.today.current
        assert item is not None
        await pilot.press("enter")
        await expect(pilot, lambda: tuple(app.main.queue.list.ids) == item.invoices)
        assert app.main.pane is Pane.QUEUE
        await expect(pilot, lambda: "zablokowane" in text_of(app).splitlines()[1])
        tui_office.add_invoice(desk[0], ids["gamma"], "GA/2026/500", tui_office.InvoiceState.WAITING)
        elsewhere(desk, approving.hold, "GA/2026/500")
        await pilot.pause(0.3)
        assert tuple(app.main.queue.list.ids) == item.invoices
        await pilot.press("escape")
        await expect(pilot, lambda: app.main.pane is Pane.TODAY)
        await expect(pilot, lambda: len(app.main.queue.list.ids) == 17)
        assert app.main.today.current is not None
        assert app.main.today.current.kind is Kind.BLOCKED
        await pilot.press("escape")
        assert app.main.pane is Pane.CLIENTS


async def test_enter_on_an_authorisation_shows_that_clients_and_escape_leads_back(
    ids: dict[str, int], program: Program
) -> None:
    app = program()
    async with app.run_test(size=NARROW) as pilot:
        await at_today(app, pilot, Kind.ENDS)
        await pilot.press("enter")
        await expect(pilot, lambda: app.main.pane is Pane.AUTHORIZATION)
        await expect(pilot, lambda: "Cegielnia Dolna" in text_of(app).splitlines()[1])
        await pilot.pause(0.2)
        assert app.main.authorization.client_id == ids["cegielnia"]
        await pilot.press("escape")
        assert app.main.pane is Pane.TODAY


async def test_the_keys_of_a_client_work_on_the_rows_client(ids: dict[str, int], program: Program) -> None:
    app = program()
    async with app.run_test(size=NARROW) as pilot:
        await at_today(app, pilot, Kind.RECEIPT)
        situation = app.main.situation()
        assert situation.client is not None
        assert situation.client.id == ids["cwik"]
        await pilot.press("z")
        await pilot.pause()
        assert app.screen is app.main  # an accepted invoice is not approved again


async def test_f4_repairs_the_invoice_of_the_row_or_shows_those_to_choose_from(
    desk: Desk, ids: dict[str, int], program: Program
) -> None:
    app = program()
    async with app.run_test(size=NARROW) as pilot:
        await at_today(app, pilot, Kind.REFUSED)
        await pilot.press("f4")
        await asked(app, pilot, Pick)
        await expect(pilot, lambda: "Napraw: 15/11/26" in text_of(app))
        await pilot.press("escape")
        await expect(pilot, lambda: app.screen is app.main)
        tui_office.add_invoice(desk[0], ids["blawat"], "16/11/26", tui_office.InvoiceState.REJECTED)
        app.main.today.reload()
        await expect(pilot, lambda: len(app.main.today.targets()) == 2)
        await pilot.press("f4")
        await expect(pilot, lambda: app.main.pane is Pane.QUEUE)
        await expect(pilot, lambda: len(app.main.queue.list.ids) == 2)


async def test_marked_rows_are_worked_on_together(desk: Desk, ids: dict[str, int], program: Program) -> None:
    tui_office.add_invoice(desk[0], ids["cwik"], "H/12/1", tui_office.InvoiceState.WAITING)
    app = program()
    async with app.run_test(size=NARROW) as pilot:
        await at_today(app, pilot)
        rows = [n for n, item in app.main.today._items.items() if item.kind is Kind.APPROVE]
        for number in rows:
            app.main.today.list.go_to(number)
            await pilot.press("space")
        assert len(app.main.today.targets()) == 3
        await pilot.press("w")
        await expect(pilot, lambda: states(desk, "JM/%") | states(desk, "H/12/1") == {"held"})
        assert not app.main.today.list.marks


async def test_mine_are_those_that_the_operator_keeps(desk: Desk, ids: dict[str, int], program: Program) -> None:
    with desk[0].db.write() as connection:
        connection.execute("UPDATE client SET keeper_id = ? WHERE id = ?", (desk[1].id, ids["jodla"]))
    app = program()
    async with app.run_test(size=NARROW) as pilot:
        await at_today(app, pilot)
        await pilot.press("m")
        await expect(pilot, lambda: kinds(app) == [Kind.APPROVE])
        assert "moi" in text_of(app).splitlines()[1]
        await pilot.press("m")
        await expect(pilot, lambda: len(kinds(app)) == 10)


async def test_the_status_line_counts_what_needs_a_person(ids: dict[str, int], program: Program) -> None:
    app = program()
    async with app.run_test(size=WIDE) as pilot:
        await expect(pilot, lambda: "0 Dziś 10" in text_of(app).splitlines()[0])


async def test_nothing_is_repainted_when_nothing_changed(
    ids: dict[str, int], program: Program, monkeypatch: pytest.MonkeyPatch
) -> None:
    app = program()
    async with app.run_test(size=NARROW) as pilot:
        await at_today(app, pilot)
        rows = app.main.today.list
        await expect(pilot, lambda: app.main.today._loader.idle and rows.has_focus)
        await pilot.pause()
        rows.repaint()  # a style that was set on the way makes it forget what stands there, and nothing is painted for that
        await expect(pilot, lambda: set(rows._painted) == set(rows.ids))
        painted: list[object] = []
        monkeypatch.setattr(rows, "refresh", lambda *regions, **more: painted.append(regions))
        shown: list[object] = []
        show = app.main.today._show
        monkeypatch.setattr(app.main.today._loader, "_show", lambda found: (show(found), shown.append(found)))
        app.main.today.reload()
        await expect(pilot, lambda: bool(shown))
        await pilot.pause()
        assert painted == []


async def test_an_office_where_all_is_done_says_so(tmp_path: Path) -> None:
    office, operator = tui_office.new_office(tmp_path)
    tui_office.add_client(office, 1, "Alfa Instal sp. z o.o.")
    app = KsefTui(office, operator, now=lambda: tui_office.NOW + timedelta(hours=8))
    try:
        async with app.run_test(size=NARROW) as pilot:
            await at_today(app, pilot)
            await expect(pilot, lambda: "Wszystko załatwione. ☺" in text_of(app))
            assert "Można spokojnie iść do domu." in text_of(app)
    finally:
        app.leave_nothing()
        office.close()
