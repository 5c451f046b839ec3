"""A profile that the ministry blocked, and the rights with the day they were seen, on the screen."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime

import pytest
from support import papers
from support.houses import BOTH, Client, House
from support.ministry import PATIENCE
from tui_helpers import asked, expect, on_client, text_of

from ksef_tui.compose import open_office
from ksef_tui.domain.times import warsaw
from ksef_tui.services import authorising
from ksef_tui.services.own_work import carry_out
from ksef_tui.tui.app import KsefTui
from ksef_tui.tui.dialogs.details import Reader
from ksef_tui.tui.dialogs.pick import Pick

SIZES = [(80, 24), (120, 40)]


@pytest.fixture
def screen(house: House) -> Iterator[Callable[[], KsefTui]]:
    """Makes programs over the office, and ends their threads."""
    made: list[KsefTui] = []

    def make() -> KsefTui:
        made.append(KsefTui(house.office, house.admin))
        return made[-1]

    yield make
    for app in made:
        app.leave_nothing()


async def elsewhere(house: House, client: Client) -> None:
    """Another process authorises a client."""
    office = open_office(house.folder)
    try:
        authorising.start_with_identity(office, house.admin, client.id, house.db.value("SELECT id FROM identity"))
        await carry_out(office, client.id, patience=PATIENCE)
    finally:
        office.close()


@pytest.mark.parametrize("size", SIZES)
async def test_every_screen_says_that_a_profile_is_blocked_and_what_to_do(house: House, screen, size: tuple[int, int]):
    works, client = await house.ready_client(), house.client(*BOTH, name="Sosna Próbna")
    house.bring(works, papers.invoice(works.nip))
    app = screen()
    async with app.run_test(size=size, notifications=True) as pilot:
        await on_client(app, pilot, works.id)
        assert "zablokowało" not in text_of(app)
        await pilot.press("f1")
        await asked(app, pilot, Reader)
        await expect(pilot, lambda: app.screen.query_one("#box").region.y == 1)  # the environment stays
        await pilot.press("escape")
        house.ministry.block_subject(house.nip)
        await elsewhere(house, client)
        for key in ("1", "2", "3"):
            await pilot.press(key)
            await expect(pilot, lambda: "MF zablokowało profil pieczęć: zadzwoń do MF" in text_of(app))
        await pilot.press("f1")
        await asked(app, pilot, Reader)
        await expect(pilot, lambda: app.screen.query_one("#box").region.y == 2)  # the environment and the alarm stay
        await pilot.press("escape", "1")
        await expect(pilot, lambda: "blokada MF" in text_of(app))
        await expect(pilot, lambda: "Ministerstwo zablokowało profil pieczęć" in text_of(app))
        await pilot.press("r")
        await expect(pilot, lambda: any("zablokowało profil" in n.message for n in app._notifications))
        await pilot.press("a")
        await asked(app, pilot, Pick)
        await expect(pilot, lambda: "profil biura" in text_of(app))
        await pilot.press("enter")
        await pilot.pause()
        assert "nikt się nim nie loguje" in text_of(app), "it cannot be chosen, and says why"
        assert house.auth(works)["state"] == "blocked"


@pytest.mark.parametrize("size", SIZES)
async def test_the_rights_stand_in_letters_with_the_day_they_were_seen(house: House, screen, size: tuple[int, int]):
    client = await house.ready_client()
    house.bring(client, papers.invoice(client.nip))
    app = screen()
    async with app.run_test(size=size, notifications=True) as pilot:
        await on_client(app, pilot, client.id)
        day = f"{warsaw(datetime.now(UTC)):%d.%m}"
        await expect(pilot, lambda: f"✔ uprawnienia W P {day}" in text_of(app))
        await pilot.press("3")
        if size == (80, 24):  # the pane alone has room for more
            await expect(pilot, lambda: f"Uprawnienia: W P, widziane {day}" in text_of(app))
