"""A client that signs at the desk, on the screen: the menu, the request, the chain of steps, and what resumes it."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support import papers
from support.companies import seal, signed
from support.houses import Client, House
from textual.pilot import Pilot
from tui_helpers import NARROW, asked, expect, on_client, text_of

from ksef_tui.services import authorising, external
from ksef_tui.services.worker import Worker
from ksef_tui.tui.app import KsefTui
from ksef_tui.tui.dialogs.ask import Ask
from ksef_tui.tui.dialogs.form import Form
from ksef_tui.tui.dialogs.pick import Pick

GRANTING = {"method": "POST", "path": "^/v2/permissions/entities/grants"}


class _Working(threading.Thread):
    """A worker beside the screen, as in life."""

    def __init__(self, house: House) -> None:
        super().__init__(name="worker-of-the-test")
        self._house = house
        self.worker: Worker | None = None

    def run(self) -> None:
        import asyncio

        async def serve() -> None:
            self.worker = Worker(self._house.office)
            await self.worker.run()

        asyncio.run(serve())

    def stop(self) -> None:
        if self.worker is not None:
            self.worker.stop()
        self.join(30)


@pytest.fixture
def app(house: House) -> Iterator[KsefTui]:
    working = _Working(house)
    working.start()
    app = KsefTui(house.office, house.admin)
    yield app
    app.leave_nothing()
    working.stop()


def words(app: KsefTui) -> str:
    """What stands on the screen as running text."""
    return " ".join(text_of(app).replace("│", " ").split())


def visitor(house: House) -> Client:
    """A client that has come, with an invoice to issue."""
    client = house.client(name="Jodła Meble sp. z o.o.")
    house.bring(client, papers.invoice(client.nip))
    return client


async def to_the_menu(app: KsefTui, pilot: Pilot[Any], client: Client) -> None:
    await on_client(app, pilot, client.id)
    await pilot.press("a")
    await asked(app, pilot, Pick)


async def begun(app: KsefTui, pilot: Pilot[Any], client: Client) -> None:
    """As far as the question where to save the request."""
    await to_the_menu(app, pilot, client)
    await pilot.press("down", "enter")
    await asked(app, pilot, Ask)
    await expect(pilot, lambda: "od razu wyloguje klienta" in words(app))
    await pilot.press("down", "enter")
    await asked(app, pilot, Form)


def hand_in(house: House, client: Client) -> None:
    document = external.request(house.office, house.admin, client.id).document
    authorising.submit(house.office, house.admin, client.id, signed(document, seal(client.nip)))


async def test_a_client_signs_between_two_keys_and_the_office_works(house: House, app: KsefTui, tmp_path: Path):
    client = visitor(house)
    house.identity("pieczęć biura")
    out, back = tmp_path / "z.xml", tmp_path / "p.xml"
    async with app.run_test(size=NARROW) as pilot:
        await begun(app, pilot, client)
        await pilot.press("ctrl+u", *str(out), "enter")
        await expect(pilot, lambda: out.exists() and app.screen is app.main)
        await pilot.press("3")
        await expect(pilot, lambda: "Żądanie czeka na podpis klienta" in text_of(app))
        shown = text_of(app)
        assert "nadanie uprawnień" in shown
        assert "koniec sesji klienta" in shown
        assert "potem profil biura: pieczęć biura" in shown
        back.write_bytes(signed(out.read_bytes(), seal(client.nip)))
        await pilot.press("f")
        await asked(app, pilot, Form)
        await pilot.press("ctrl+u", *str(back), "enter")
        await expect(pilot, lambda: "✔ koniec sesji klienta" in text_of(app))
        assert "Biuro może wystawiać faktury w imieniu klienta" in text_of(app)
        await expect(pilot, lambda: app.main.situation().client.status == "active")  # the keys below know it too
        assert house.auth(client)["method"] == "certificate"


async def test_what_stopped_half_way_says_so_and_goes_on_from_the_menu(house: House, app: KsefTui):
    client = visitor(house)
    house.identity("pieczęć biura")
    house.ministry.fault("operation_fails", times=1, match=GRANTING, params={"code": 550})
    async with app.run_test(size=NARROW) as pilot:
        await begun(app, pilot, client)
        await pilot.press("escape")
        await expect(pilot, lambda: app.screen is app.main)
        hand_in(house, client)
        await expect(pilot, lambda: "do dokończenia" in text_of(app))
        await pilot.press("3")
        await expect(pilot, lambda: "✖ nadanie uprawnień 550" in text_of(app))
        said = words(app)
        assert "KSeF anulował nadawanie uprawnień" in said
        assert "dokończy bez nowego podpisu" in said
        assert "b przerwij" in said
        await pilot.press("a")
        await asked(app, pilot, Pick)
        assert "dokończ wizytę" in text_of(app)
        await pilot.press("enter")
        await expect(pilot, lambda: "✔ koniec sesji klienta" in text_of(app))


async def test_giving_it_up_logs_the_client_out(house: House, app: KsefTui):
    client = visitor(house)
    house.identity("pieczęć biura")
    house.ministry.fault("operation_fails", times=1, match=GRANTING, params={"code": 550})
    async with app.run_test(size=NARROW) as pilot:
        await begun(app, pilot, client)
        await pilot.press("escape")
        await expect(pilot, lambda: app.screen is app.main)
        hand_in(house, client)
        await expect(pilot, lambda: "do dokończenia" in text_of(app))
        for answer in ("enter", "escape"):  # the client would have to come again, so the safe answer has the focus
            await pilot.press("b")
            await asked(app, pilot, Ask)
            assert "klient musi podpisać jeszcze raz" in words(app)
            await pilot.press(answer)
            await expect(pilot, lambda: app.screen is app.main)
            assert house.db.value("SELECT count(*) FROM onboarding") == 1
        await pilot.press("b")
        await asked(app, pilot, Ask)
        await pilot.press("down", "enter")
        await expect(pilot, lambda: house.auth(client)["state"] == "missing")
        await expect(pilot, lambda: not house.db.value("SELECT count(*) FROM client_session"))
        assert [call["kind"] for call in house.calls("auth.end_current", "ended")] == ["ok"]


async def test_each_step_is_seen_as_it_happens(house: House, app: KsefTui):
    client = visitor(house)
    house.identity("pieczęć biura")
    house.ministry.fault("slow", times=1, match=GRANTING, params={"ms": 1500})
    async with app.run_test(size=NARROW) as pilot:
        await begun(app, pilot, client)
        await pilot.press("escape")
        await expect(pilot, lambda: app.screen is app.main)
        hand_in(house, client)
        await pilot.press("3")
        await expect(pilot, lambda: "◌ nadanie uprawnień" in text_of(app))
        await expect(pilot, lambda: "KSeF zapisuje nadanie uprawnień" in text_of(app))
        await expect(pilot, lambda: "✔ koniec sesji klienta" in text_of(app))


async def test_the_profile_is_chosen_where_there_are_several(house: House, app: KsefTui):
    client = visitor(house)
    house.identity("pieczęć pierwsza")
    second = house.identity("pieczęć druga")
    async with app.run_test(size=NARROW) as pilot:
        await to_the_menu(app, pilot, client)
        await pilot.press("down", "down", "enter")
        await expect(pilot, lambda: "Którym profilem" in text_of(app))
        await pilot.press("enter")  # by label: "druga" comes first
        await asked(app, pilot, Form)
        assert house.db.value("SELECT identity_id FROM onboarding") == second


async def test_the_offices_own_account_and_an_office_without_a_profile_say_why_not(house: House, app: KsefTui):
    client = visitor(house)
    own = house.db.row("SELECT id, nip FROM client WHERE office = 1")
    async with app.run_test(size=NARROW) as pilot:
        await to_the_menu(app, pilot, Client(own["id"], own["nip"]))
        await pilot.press("down", "enter")
        await expect(pilot, lambda: "nikt nie nadaje uprawnień sam sobie" in text_of(app))
        await pilot.press("escape")
        await to_the_menu(app, pilot, client)
        await pilot.press("down", "enter")
        await expect(pilot, lambda: "profil na NIP biura" in text_of(app))
