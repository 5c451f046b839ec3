"""Many clients at once on the screen: marks, a run with its progress, its end, and the list from KSeF."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest
from support.companies import new_nip
from support.houses import BOTH, Client, House
from support.ministry import REFRESH
from textual.pilot import Pilot
from tui_helpers import NARROW, WIDE, Desk, Program, asked, expect, on_client, ready, text_of

from ksef_tui.domain.authorizations import AuthState
from ksef_tui.services import bulk
from ksef_tui.store import authorizations
from ksef_tui.tui import describe_runs
from ksef_tui.tui.app import KsefTui
from ksef_tui.tui.dialogs.pick import Pick
from ksef_tui.tui.dialogs.run import RunDialog
from ksef_tui.tui.dialogs.sync import SyncDialog


def notices(app: KsefTui) -> str:
    return "\n".join(notice.message for notice in app._notifications)


def footer(app: KsefTui) -> str:
    return text_of(app).splitlines()[-1]


def rows_of(desk: Desk, run_id: int) -> dict[str, str]:
    return {one.name: one.state for one in bulk.members(desk[0], desk[1], run_id)}


async def work(desk: Desk, *settled: tuple[int, AuthState, str, str]) -> None:
    """What a worker does: it leaves these authorisations, and goes on with the runs. On a thread, and so a connection,
    of its own, because a screen hears of others only."""

    def job() -> None:
        with desk[0].db.write() as connection:
            for client_id, state, code, reason in settled:
                connection.execute(
                    "UPDATE authorization SET state = ?, intent = '', reason_code = ?, reason = ? WHERE client_id = ?",
                    (state, code, reason, client_id),
                )
        bulk.advance(desk[0])

    await asyncio.to_thread(job)


async def test_marks_work_in_the_list_of_clients_and_the_footer_names_them(
    ids: dict[str, int], program: Program
) -> None:
    app = program()
    async with app.run_test(size=NARROW) as pilot:
        await on_client(app, pilot, ids["alfa"])
        assert "a Autoryzuj " in footer(app)
        await pilot.press("home", "space", "space")
        await expect(pilot, lambda: "zaznaczone 2" in text_of(app))
        assert "a Autoryzuj 2  r Sprawdź 2" in footer(app)
        assert text_of(app).count("▪") == 2
        await pilot.press("v", "down", "v")
        await expect(pilot, lambda: "zaznaczone 4" in text_of(app))
        await pilot.press("*")
        await expect(pilot, lambda: f"zaznaczone {len(app.main.clients.list.ids)}" in text_of(app))
        await pilot.press("escape")
        await expect(pilot, lambda: "zaznaczone" not in text_of(app))
        assert "a Autoryzuj  " in footer(app)


async def test_marks_of_one_list_are_nothing_to_the_other(ids: dict[str, int], program: Program) -> None:
    app = program()
    async with app.run_test(size=WIDE) as pilot:
        await on_client(app, pilot, ids["alfa"])
        await pilot.press("space", "2", "space")
        await expect(pilot, lambda: len(app.main.queue.list.marks) == 1)
        assert (app.main.situation().marked, len(app.main.clients.list.marks)) == (1, 1)
        await pilot.press("3")
        assert app.main.situation().marked == 0


async def test_marked_clients_are_checked_in_one_run(desk: Desk, ids: dict[str, int], program: Program) -> None:
    app = program()
    async with app.run_test(size=NARROW, notifications=True) as pilot:
        await on_client(app, pilot, ids["alfa"])
        await pilot.press("space", "space", "r")
        await expect(pilot, lambda: "Sprawdzam 2 klientów" in notices(app))
        [run] = bulk.open_progress(*desk)
        assert (run.kind, run.total) == ("check", 2)
        assert not app.main.clients.list.marks
        await expect(pilot, lambda: "sprawdzono 0 z 2" in text_of(app))


async def test_one_client_is_checked_as_before(desk: Desk, ids: dict[str, int], program: Program) -> None:
    app = program()
    async with app.run_test(size=NARROW) as pilot:
        await on_client(app, pilot, ids["alfa"])
        await pilot.press("r")
        await expect(pilot, lambda: authorizations.get(desk[0].db, ids["alfa"])["intent"] == "check")
        assert bulk.open_progress(*desk) == []


async def test_marked_clients_are_authorised_with_one_profile_and_those_that_work_are_passed_over(
    desk: Desk, ids: dict[str, int], program: Program
) -> None:
    app = program()
    async with app.run_test(size=NARROW, notifications=True) as pilot:
        await on_client(app, pilot, ids["wrzos"])
        await pilot.press("*", "a")
        await asked(app, pilot, Pick)
        await pilot.pause()
        assert "Autoryzacja 12 klientów" in text_of(app)
        assert "token" not in text_of(app)
        await pilot.press("enter")
        await expect(pilot, lambda: "Pominięto" in notices(app))
        [run] = bulk.open_progress(*desk)
        assert (run.kind, run.identity, run.skipped) == ("start", "pieczęć biura", 6)
        assert run.total == 6


async def test_the_edge_says_how_far_it_is_and_the_end_is_told(
    desk: Desk, ids: dict[str, int], program: Program
) -> None:
    app = program()
    async with app.run_test(size=NARROW, notifications=True) as pilot:
        await on_client(app, pilot, ids["alfa"])
        begun = bulk.begin(*desk, "check", [ids["alfa"], ids["blawat"], ids["fenix"]])
        await work(desk)
        await expect(pilot, lambda: "sprawdzono 0 z 3" in text_of(app))
        gone = (ids["blawat"], AuthState.NO_PERMISSION, "withdrawn", "Bławat Jan Nowak: brak uprawnień w KSeF.")
        await work(desk, (ids["alfa"], AuthState.ACTIVE, "", ""), gone)
        await expect(pilot, lambda: "sprawdzono 2 z 3, 1 wymaga uwagi" in text_of(app))
        await work(desk, (ids["fenix"], AuthState.ACTIVE, "", ""))
        await expect(pilot, lambda: "Sprawdzono 3, 1 wymaga uwagi." in notices(app))
        assert "gotowy: 2, brak uprawnień: 1. F5 pokazuje, kto wymaga uwagi." in notices(app)
        await expect(pilot, lambda: "· F5" in text_of(app))
        app.clear_notifications()
        await pilot.press("f5")
        await asked(app, pilot, RunDialog)
        await expect(pilot, lambda: "Bławat Jan Nowak" in text_of(app))
        assert "Enter pokaż ich na liście" in text_of(app)
        await pilot.press("enter")
        await expect(pilot, lambda: list(app.main.clients.list.ids) == [ids["blawat"]])
        assert "Klienci 1 z 12 · wymagają uwagi" in text_of(app)
        assert "· F5" not in text_of(app), "it has been looked at"
        await pilot.press("escape")
        await expect(pilot, lambda: len(app.main.clients.list.ids) == 12)
        assert rows_of(desk, begun.run_id) == {
            "Alfa Instal sp. z o.o.": "done", "Bławat Jan Nowak": "done", "Fenix Druk sp. z o.o.": "done",
        }  # fmt: skip


async def test_a_run_of_somebody_else_is_seen_but_its_end_is_not_told_here(
    desk: Desk, ids: dict[str, int], program: Program
) -> None:
    office, anna = desk
    with office.db.write() as connection:
        connection.execute(
            "INSERT INTO operator (login, name, role, created_at) VALUES ('ola', 'Ola Ga', 'accountant', '')"
        )
    app = program()
    async with app.run_test(size=NARROW, notifications=True) as pilot:
        await ready(app, pilot)
        begun = bulk.begin(office, anna, "check", [ids["alfa"]])
        with office.db.write() as connection:
            connection.execute("UPDATE bulk_run SET operator_id = (SELECT id FROM operator WHERE login = 'ola')")
        await work(desk)
        await expect(pilot, lambda: "sprawdzono 0 z 1" in text_of(app))
        await work(desk, (ids["alfa"], AuthState.ACTIVE, "", ""))
        await expect(pilot, lambda: not app.main.runs.open)
        assert "Sprawdzono" not in notices(app)
        assert bulk.progress(office, anna, begun.run_id).over


async def test_the_end_is_not_told_over_the_dialog_that_shows_it(
    desk: Desk, ids: dict[str, int], program: Program
) -> None:
    app = program()
    async with app.run_test(size=NARROW, notifications=True) as pilot:
        await on_client(app, pilot, ids["alfa"])
        bulk.begin(*desk, "check", [ids["alfa"]])
        await work(desk)
        await expect(pilot, lambda: bool(app.main.runs.open))
        await pilot.press("f5")
        await asked(app, pilot, RunDialog)
        await expect(pilot, lambda: "sprawdzono 0 z 1" in text_of(app))
        await work(desk, (ids["alfa"], AuthState.ACTIVE, "", ""))
        await expect(pilot, lambda: not app.main.runs.open)
        await expect(pilot, lambda: "1  gotowy" in text_of(app))
        assert notices(app) == ""
        await pilot.press("enter")
        await expect(pilot, lambda: app.screen is app.main)
        assert "· F5" not in text_of(app)


def test_a_stop_that_comes_too_late_does_not_count_nobody() -> None:
    assert describe_runs.stopped(1) == "Przerwano. Nie ruszono 1 klienta."
    assert describe_runs.stopped(0) == "Za późno: wszyscy byli już zapytani, KSeF zaraz odpowie."


@pytest.mark.parametrize("key", ["b", "in the dialog"])
async def test_a_run_is_stopped_and_the_safe_answer_comes_first(
    desk: Desk, ids: dict[str, int], program: Program, key: str
) -> None:
    app = program()
    async with app.run_test(size=NARROW, notifications=True) as pilot:
        await on_client(app, pilot, ids["alfa"])
        begun = bulk.begin(*desk, "check", list(app.main.clients.list.ids))
        app.main.runs.touch()
        await expect(pilot, lambda: bool(app.main.runs.open))
        if key == "in the dialog":
            await pilot.press("f5")
            await asked(app, pilot, RunDialog)
            await expect(pilot, lambda: "b przerwij" in text_of(app))
        await pilot.press("b")
        await asked(app, pilot, Pick)
        await pilot.press("enter")
        await expect(pilot, lambda: app.screen is app.main)
        assert not bulk.progress(*desk, begun.run_id).stopped
        await pilot.press("b")
        await asked(app, pilot, Pick)
        await pilot.press("down", "enter")
        await expect(pilot, lambda: bulk.progress(*desk, begun.run_id).stopped)
        await expect(pilot, lambda: "Przerwano. Nie ruszono 12 klientów." in notices(app))


async def test_nothing_to_show_says_how_to_begin(ids: dict[str, int], program: Program) -> None:
    app = program()
    async with app.run_test(size=NARROW, notifications=True) as pilot:
        await ready(app, pilot)
        await pilot.press("f5")
        await expect(pilot, lambda: "zaznacz klientów spacją" in notices(app))


# The list from KSeF, against the sandbox


@pytest.fixture
def at_work(house: House) -> Iterator[KsefTui]:
    """The screen over an office that is authorised at home."""
    row = house.db.row("SELECT id, nip FROM client WHERE office = 1")
    asyncio.run(house.authorise(Client(row["id"], row["nip"])))
    app = KsefTui(house.office, house.admin)
    yield app
    app.leave_nothing()


async def begun_sync(app: KsefTui, pilot: Pilot[Any]) -> SyncDialog:
    await expect(pilot, lambda: bool(app.main.clients.list.ids))
    await pilot.press("y")
    await asked(app, pilot, SyncDialog)
    assert isinstance(app.screen, SyncDialog)
    return app.screen


async def test_the_list_is_shown_first_and_enter_adds_nobody(house: House, at_work: KsefTui) -> None:
    nips = [new_nip() for _ in range(3)]
    for nip in nips:
        house.ministry.grant(nip, house.nip, *BOTH)
    async with at_work.run_test(size=NARROW) as pilot:
        dialog = await begun_sync(at_work, pilot)
        await expect(pilot, lambda: dialog.found is not None)
        await pilot.pause()
        shown = text_of(at_work)
        assert "Uprawnienia nadało biuru: 3 klientów." in shown
        assert all(nip in shown for nip in nips)
        assert "obsługa księgowa" in shown
        await pilot.press("enter")
        await expect(pilot, lambda: at_work.screen is at_work.main)
        assert house.db.value("SELECT count(*) FROM client") == 1


async def test_one_answer_adds_them_and_authorises_them(house: House, at_work: KsefTui) -> None:
    nips = [new_nip() for _ in range(3)]
    for nip in nips:
        house.ministry.grant(nip, house.nip, *BOTH)
    async with at_work.run_test(size=NARROW, notifications=True) as pilot:
        dialog = await begun_sync(at_work, pilot)
        await expect(pilot, lambda: dialog.found is not None)
        await pilot.press("down", "down", "enter")
        await expect(pilot, lambda: "Dodano: 3." in notices(at_work))
        await asyncio.to_thread(lambda: asyncio.run(house.work()))  # a screen hears of other connections only
        await expect(pilot, lambda: "Załatwiono 3." in notices(at_work))
    states = house.db.rows("SELECT a.state FROM authorization a JOIN client c ON c.id = a.client_id WHERE c.office = 0")
    assert [row["state"] for row in states] == ["active"] * 3


async def test_two_thousand_lines_scroll_while_the_answer_waits(house: House, at_work: KsefTui) -> None:
    from ksef_tui.services.syncing import Received, SyncPreview

    async with at_work.run_test(size=NARROW) as pilot:
        dialog = await begun_sync(at_work, pilot)
        await expect(pilot, lambda: dialog.found is not None)
        many = tuple(Received(f"{n:010}", BOTH, can_delegate=True) for n in range(2000))
        dialog._found(SyncPreview(2000, many, (), ()))
        await pilot.pause()
        assert "0000000000" in text_of(at_work)
        await pilot.press("pagedown", "pagedown")
        await pilot.pause()
        assert "0000000000" not in text_of(at_work)
        assert "Nie, wróć" in text_of(at_work)


async def test_a_refusal_is_told_in_the_dialog(house: House) -> None:
    app = KsefTui(house.office, house.admin)
    async with app.run_test(size=NARROW) as pilot:
        await begun_sync(app, pilot)
        await expect(pilot, lambda: "Najpierw autoryzuj samo biuro" in text_of(app))
        await pilot.press("escape")
        await expect(pilot, lambda: app.screen is app.main)
    app.leave_nothing()


async def test_the_reading_is_given_up_at_once_and_its_lease_is_free(house: House, at_work: KsefTui) -> None:
    from ksef_tui.store import leases

    house.ministry.grant(new_nip(), house.nip, *BOTH)
    house.ministry.fault("hang", match={"path": "entities/grants"}, params={"seconds": 600})
    async with at_work.run_test(size=NARROW) as pilot:
        await begun_sync(at_work, pilot)
        await expect(pilot, lambda: house.ministry.struck("hang") > 0)
        assert "Czytam z KSeF" in text_of(at_work)
        await pilot.press("escape")
        await expect(pilot, lambda: at_work.screen is at_work.main)
        await expect(pilot, lambda: leases.holders(house.db, "client:") == [])
    assert house.db.value("SELECT count(*) FROM client") == 1
    assert house.ministry.posts(REFRESH) <= 1
