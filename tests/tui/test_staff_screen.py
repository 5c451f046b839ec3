"""t at 80×24: the people, what works, giving, taking back and dismissing, carried out by a worker over HTTP."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from support.client_side import ClientSide
from support.companies import new_pesel
from support.houses import Client, House
from tui_helpers import NARROW, WIDE, expect, text_of

from ksef_tui.compose import open_office
from ksef_tui.domain.roles import Operator, Role
from ksef_tui.domain.secret import Secret
from ksef_tui.services import staff, staff_orders
from ksef_tui.services.staff import Newcomer
from ksef_tui.services.worker import Worker
from ksef_tui.tui.app import KsefTui
from ksef_tui.tui.dialogs.base import Text
from ksef_tui.tui.dialogs.staff import StaffBoard

Screen = Callable[..., KsefTui]


@pytest.fixture
def screen(house: House) -> Iterator[Screen]:
    made: list[KsefTui] = []

    def make(operator: Operator | None = None) -> KsefTui:
        app = KsefTui(house.office, operator or house.admin)
        made.append(app)
        return app

    yield make
    for app in made:
        app.leave_nothing()


@pytest.fixture
async def client(house: House) -> Client:
    """A client that lets the office pass its rights on; the office is logged in its own account."""
    await house.authorise(Client(staff.own_client(house.office), house.nip))
    client = house.client(name="Jodła Próbna")
    async with ClientSide(house.ministry.url, client.nip) as side:
        await side.grant(house.nip)
    return client


async def given(house: House, client: Client | None, last: str = "Próbna", pesel: str | None = None) -> None:
    who = Newcomer("Pesel", Secret(pesel or new_pesel()), "Zofia", last)
    staff.grant(house.office, house.admin, who, client and client.id)
    await staff_orders.carry_out(house.office, house.admin, patience=30.0)


async def on_board(app: KsefTui, pilot: Any, client: Client) -> None:
    await expect(pilot, lambda: bool(app.main.clients.list.ids))
    assert app.main.clients.list.go_to(client.id)
    await pilot.press("t")
    await expect(pilot, lambda: isinstance(app.screen, StaffBoard))


async def choose(app: KsefTui, pilot: Any, shown: str, *keys: str) -> None:
    """Wait until a question stands there, then answer it."""
    await expect(pilot, lambda: shown in text_of(app))
    await pilot.press(*keys)


async def another_process_works(house: House) -> None:
    """A worker with connections of its own, as another process has: only what others commit wakes the screen."""
    office = open_office(house.folder)
    try:
        async with asyncio.timeout(30.0):
            await Worker(office, until_idle=True).run()
    finally:
        office.close()


def states(house: House) -> list[str]:
    return [row["state"] for row in house.db.rows("SELECT state FROM staff_order WHERE act <> 'read' ORDER BY id")]


async def test_a_new_employee_gets_the_selected_client_and_the_board_follows(
    house: House, client: Client, screen: Screen
):
    app, pesel = screen(), new_pesel()
    async with app.run_test(size=NARROW) as pilot:
        await on_board(app, pilot, client)
        await expect(pilot, lambda: "Nikt nie ma tu jeszcze praw" in text_of(app))
        await pilot.press("n")
        await choose(app, pilot, "do kogo?", "enter")
        await choose(app, pilot, "do czego?", "enter")
        await choose(app, pilot, "Nowy pracownik", *"Jan", "enter", *"Lis", "enter", *"90010112345", "enter", "enter")
        await expect(pilot, lambda: "To nie jest PESEL" in text_of(app))
        await pilot.press("up", *["backspace"] * 11, *pesel, "enter", "enter")
        await expect(pilot, lambda: states(house) == ["wanted"])
        await expect(pilot, lambda: "nadanie W P: zlecone" in text_of(app))
        assert "nikt nie wysyła" in text_of(app)
        await another_process_works(house)
        await expect(pilot, lambda: "Jan Lis" in text_of(app) and "Jodła Próbna: W P" in text_of(app))
        assert f"PESEL {pesel[:6]}*****" in text_of(app)
        assert pesel not in text_of(app)
        await pilot.press("escape")
        await expect(pilot, lambda: app.screen is app.main)


async def test_what_does_not_work_says_why_and_is_seen_without_a_key(house: House, client: Client, screen: Screen):
    await given(house, None)
    app = screen()
    async with app.run_test(size=NARROW) as pilot:
        await on_board(app, pilot, client)
        await expect(pilot, lambda: "działa u 1 z 1 klientów" in text_of(app))
        await pilot.press("right")
        await expect(pilot, lambda: "Jodła Próbna: W P (z prawa do wszystkich klientów)" in text_of(app))
        async with ClientSide(house.ministry.url, client.nip) as side:
            await side.take_back(house.nip)
            await side.grant(house.nip, delegate=False)
        await pilot.press("r")
        await expect(pilot, lambda: "1 zlecenie w toku" in text_of(app))
        await another_process_works(house)
        await expect(pilot, lambda: "nic: klient nie nadał prawa dalszego przekazywania" in text_of(app))


async def test_taking_back_asks_and_enter_is_harmless(house: House, client: Client, screen: Screen):
    await given(house, client)
    app = screen()
    async with app.run_test(size=NARROW) as pilot:
        await on_board(app, pilot, client)
        await expect(pilot, lambda: "Zofia Próbna" in text_of(app))
        await pilot.press("x")
        await choose(app, pilot, "straci prawo do faktur klienta Jodła Próbna", "enter")
        await expect(pilot, lambda: isinstance(app.screen, StaffBoard))
        assert states(house) == ["done"]
        await expect(pilot, lambda: "Zofia Próbna" in text_of(app))
        await pilot.press("x")
        await choose(app, pilot, "straci prawo", "down", "enter")
        await expect(pilot, lambda: states(house) == ["done", "wanted", "wanted"])
        await another_process_works(house)
        await expect(pilot, lambda: "Nikt nie ma tu jeszcze praw" in text_of(app))
        await pilot.press("h")
        await expect(pilot, lambda: "odebranie P" in text_of(app) and "zrobione" in text_of(app))


async def test_a_right_to_all_seen_at_a_client_is_taken_back_from_all_and_says_so(
    house: House, client: Client, screen: Screen
):
    await given(house, None)
    app = screen()
    async with app.run_test(size=NARROW) as pilot:
        await on_board(app, pilot, client)
        await pilot.press("right")
        await expect(pilot, lambda: "Jodła Próbna: W P" in text_of(app))
        await pilot.press("x")
        await choose(app, pilot, "odebranie działa u wszystkich", "down", "enter")
        await expect(pilot, lambda: states(house) == ["done", "wanted", "wanted"])


async def test_dismissing_asks_and_says_what_goes(house: House, client: Client, screen: Screen):
    await given(house, client)
    await given(house, None, "Druga")
    app = screen()
    async with app.run_test(size=WIDE) as pilot:
        await on_board(app, pilot, client)
        await expect(pilot, lambda: "Zofia Druga" in text_of(app) and "Zofia Próbna" in text_of(app))
        await pilot.press("down", "w")
        await choose(app, pilot, "Zofia Próbna odchodzi z biura", "down", "enter")
        await expect(pilot, lambda: states(house) == ["done", "done", "wanted", "wanted"])
        await another_process_works(house)
        await expect(pilot, lambda: "Zofia Próbna" not in text_of(app) and "Zofia Druga" in text_of(app))
        await pilot.press("enter")
        await expect(pilot, lambda: "co działa u kogo" in text_of(app) and "Jodła Próbna" in text_of(app))


async def test_a_refusal_stands_on_the_board(house: House, screen: Screen):
    await house.authorise(Client(staff.own_client(house.office), house.nip))
    bare = house.client("InvoiceWrite", "InvoiceRead", name="Sosna Próbna")
    await given(house, bare)
    app = screen()
    async with app.run_test(size=NARROW) as pilot:
        await on_board(app, pilot, bare)
        await expect(pilot, lambda: "Nieudane: nadanie W P – Zofia Próbna, Sosna Próbna" in text_of(app))


async def test_without_the_offices_own_login_the_board_says_what_to_do(house: House, screen: Screen):
    client, app = house.client(), screen()
    async with app.run_test(size=NARROW, notifications=True) as pilot:
        await on_board(app, pilot, client)
        await expect(pilot, lambda: "Najpierw autoryzuj samo biuro" in text_of(app))
        await pilot.press("n")
        await expect(pilot, lambda: any("Najpierw autoryzuj" in n.message for n in app._notifications))


def toned(app: KsefTui, text: str) -> set[str]:
    """The tones of the spans that say exactly this among the keys below the board."""
    line = app.screen.query_one("#note", Text).lines[-1]
    return {tone for said, tone in line if said.strip() == text}


async def test_keys_that_do_nothing_on_an_empty_board_are_grey_and_say_why(house: House, screen: Screen):
    client, app = house.client(), screen()
    async with app.run_test(size=NARROW, notifications=True) as pilot:
        await on_board(app, pilot, client)
        await expect(pilot, lambda: "Nikt nie ma tu jeszcze praw" in text_of(app))
        assert (toned(app, "x"), toned(app, "w"), toned(app, "Enter")) == ({"quiet"},) * 3
        assert (toned(app, "n"), toned(app, "r"), toned(app, "h")) == ({"key"},) * 3
        for key in ("x", "w", "enter"):
            app.clear_notifications()
            await pilot.press(key)
            await expect(pilot, lambda: any("Lista jest pusta" in n.message for n in app._notifications))
        assert isinstance(app.screen, StaffBoard)


async def test_keys_of_a_filled_board_are_not_grey(house: House, client: Client, screen: Screen):
    await given(house, client)
    app = screen()
    async with app.run_test(size=NARROW) as pilot:
        await on_board(app, pilot, client)
        await expect(pilot, lambda: "Zofia Próbna" in text_of(app))
        assert (toned(app, "x"), toned(app, "w"), toned(app, "Enter")) == ({"key"},) * 3


async def test_why_nothing_works_is_read_in_full(house: House, screen: Screen):
    """At 80 columns the sentence takes two lines; it was cut in the middle of the word that says what is missing."""
    await house.authorise(Client(staff.own_client(house.office), house.nip))
    bare = await house.ready_client()
    await given(house, None)
    app = screen()
    async with app.run_test(size=NARROW) as pilot:
        await on_board(app, pilot, bare)
        await expect(pilot, lambda: "Zofia Próbna" in text_of(app))
        await pilot.press("enter")
        await expect(pilot, lambda: "co działa u kogo" in text_of(app) and "przekazywania" in text_of(app))


async def test_an_accountant_looks_and_a_client_has_no_such_key(house: House, client: Client, screen: Screen):
    await given(house, client)
    app = screen(house.operator("ola", Role.ACCOUNTANT))
    async with app.run_test(size=NARROW, notifications=True) as pilot:
        await on_board(app, pilot, client)
        await expect(pilot, lambda: "Zofia Próbna" in text_of(app))
        assert "Nadaj" not in text_of(app)
        await pilot.press("x")
        await expect(pilot, lambda: any("administrator" in n.message for n in app._notifications))
    theirs = screen(house.operator("jodla", Role.CLIENT, client))
    async with theirs.run_test(size=NARROW, notifications=True) as pilot:
        await expect(pilot, lambda: bool(theirs.main.clients.list.ids))
        await pilot.press("t")
        await expect(pilot, lambda: any("Twoja rola" in n.message for n in theirs._notifications))
        assert theirs.screen is theirs.main
