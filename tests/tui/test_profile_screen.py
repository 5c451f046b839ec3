"""The menu of profiles and the way from an empty office to its first certificate, over a worker and the sandbox."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from support.companies import seal, signed
from support.houses import BOTH, Client, House
from support.ministry import PATIENCE
from textual.pilot import Pilot
from textual.widgets import Input
from tui_helpers import NARROW, asked, expect, text_of
from tui_senders import somebody_sends

from ksef_tui.services import certifying
from ksef_tui.store import offices
from ksef_tui.tui.app import KsefTui
from ksef_tui.tui.dialogs.ask import Ask
from ksef_tui.tui.dialogs.choices import Choices
from ksef_tui.tui.dialogs.details import Reader
from ksef_tui.tui.dialogs.form import Form
from ksef_tui.tui.dialogs.ordering import Ordering
from ksef_tui.tui.dialogs.pick import Pick

Program = Callable[..., KsefTui]


pytestmark = pytest.mark.usefixtures("home")


def own(house: House) -> Client:
    return Client(house.db.value("SELECT id FROM client WHERE office = 1"), house.nip)


def offered(app: KsefTui) -> list[str]:
    """The lines of the menu that is open."""
    return [one.id for menu in app.screen.query(Choices) for one in menu.choices]


async def choose(app: KsefTui, pilot: Pilot[int], choice: str) -> None:
    """Go to a line of the menu by the arrows, and Enter."""
    await expect(pilot, lambda: choice in offered(app))
    await pilot.press(*["down"] * offered(app).index(choice), "enter")


async def yes(app: KsefTui, pilot: Pilot[int]) -> None:
    await asked(app, pilot, Ask)
    await pilot.press("down", "enter")


async def menu(app: KsefTui, pilot: Pilot[int]) -> list[str]:
    """Open the menu; the ids of its lines."""
    await expect(pilot, lambda: bool(app.main.clients.list.ids) and app.main.authorization.view is not None)
    await pilot.press("d")
    await expect(pilot, lambda: isinstance(app.screen, Pick) and "files" in offered(app))
    return offered(app)


def seen(app: KsefTui) -> str:
    return " ".join(text_of(app).split())


async def ksef_profile(house: House) -> int:
    """The office with a KSeF certificate, logged in at home with it; its id."""
    await house.authorise(own(house))
    made = certifying.order(house.office, house.admin, "Biuro Modrzew", "KSeF biura")
    row = await certifying.finish(house.office, made, patience=PATIENCE)
    await house.authorise(own(house), row["identity_id"])
    return int(row["identity_id"])


async def test_from_the_empty_office_to_a_client_by_the_keys_it_names(
    house: House, screen: Program, home: Path
) -> None:
    client = house.client(*BOTH, name="Świerk Próbny")
    app = screen()
    async with somebody_sends(house), app.run_test(size=NARROW) as pilot:
        await expect(pilot, lambda: bool(app.main.clients.list.ids))
        app.main.clients.list.go_to(own(house).id)
        await expect(pilot, lambda: "Tu się zaczyna" in seen(app))
        assert (await menu(app, pilot))[:2] == ["sign", "files"]
        await expect(pilot, lambda: "Biuro nie ma jeszcze profilu" in seen(app))
        await choose(app, pilot, "sign")
        await asked(app, pilot, Form)  # where to save the request
        await pilot.press("enter")
        await expect(pilot, lambda: app.screen is app.main)
        [request] = home.glob("*.xml")
        (home / "podpisane.xml").write_bytes(signed(request.read_bytes(), seal(house.nip)))
        await pilot.press("f")
        await asked(app, pilot, Form)
        app.screen.query_one(Input).value = str(home / "podpisane.xml")
        await pilot.press("enter")
        await expect(pilot, lambda: "Zamów teraz certyfikat KSeF (d)" in seen(app))
        assert (await menu(app, pilot))[0] == "enrol"
        await pilot.press("enter")
        await expect(pilot, lambda: isinstance(app.screen, Pick) and "Wniosków zostało 300 z 300" in seen(app))
        assert f"NIP {house.nip}" in seen(app)
        await choose(app, pilot, "authentication")
        await asked(app, pilot, Form)
        await pilot.press("enter", "enter")
        await asked(app, pilot, Ordering)
        await expect(pilot, lambda: "Certyfikat jest: KSeF biura" in seen(app))
        await pilot.press("enter")
        await expect(pilot, lambda: house.auth(own(house))["method"] == "certificate")
        await pilot.press("3")
        await expect(pilot, lambda: "Biuro jest zalogowane u siebie profilem KSeF biura." in seen(app))
        assert "identyfikatorami" in seen(app)
        assert "CollectiveIdentifierManage" not in seen(app)
        await pilot.press("1")
        app.main.clients.list.go_to(client.id)
        await expect(pilot, lambda: app.main.authorization.client_id == client.id)
        await pilot.press("a", "enter")
        await expect(pilot, lambda: house.auth(client)["state"] == "active")
    assert offices.identity_by_label(house.db, "KSeF biura")["kind"] == "ksef"


async def test_what_is_in_the_files_is_shown_before_it_is_kept(house: House, screen: Program, home: Path) -> None:
    paper = seal(house.nip)
    (home / "biuro.crt").write_bytes(paper.certificate)
    (home / "biuro.key").write_bytes(paper.key)
    app = screen()
    async with app.run_test(size=NARROW) as pilot:
        for keep in (False, True):
            await menu(app, pilot)
            await choose(app, pilot, "files")
            await asked(app, pilot, Form)
            for field, value in (("label", "pieczęć"), ("certificate", "biuro.crt"), ("key", "biuro.key")):
                app.screen.query_one(f"#{field}", Input).value = value if field == "label" else str(home / value)
            app.screen.query_one("#password", Input).focus()
            await pilot.press("enter")
            await asked(app, pilot, Ask)
            for part in (f"NIP {house.nip}", "pieczęć firmy", "EC P-256", "Odcisk", "Ważny"):
                await expect(pilot, lambda part=part: part in seen(app))
            await pilot.press(*(("down", "enter") if keep else ("enter",)))
            await expect(pilot, lambda: app.screen is app.main)
            if keep:
                await expect(pilot, lambda: bool(offices.identity_by_label(house.db, "pieczęć")))
                await expect(pilot, lambda: "ma profil, ale nie jest zalogowane u siebie" in seen(app))
            else:
                assert offices.identities(house.db) == []


async def test_a_profile_says_what_it_is_and_is_renewed_from_there(house: House, screen: Program) -> None:
    identity = await ksef_profile(house)
    client = house.client(*BOTH)
    await house.authorise(client, identity)
    before = offices.identity(house.db, identity)
    app = screen()
    async with somebody_sends(house), app.run_test(size=NARROW) as pilot:
        assert f"profile:{identity}" in await menu(app, pilot)
        await expect(pilot, lambda: "2 klienci" in seen(app))
        await choose(app, pilot, f"profile:{identity}")
        await expect(pilot, lambda: "certyfikat KSeF, klucz EC P-256" in seen(app))
        assert before["serial"] in seen(app)
        await choose(app, pilot, "renew")
        await expect(pilot, lambda: isinstance(app.screen, Ask) and "Wniosków zostało 299 z 300" in seen(app))
        await yes(app, pilot)
        await asked(app, pilot, Ordering)
        await expect(pilot, lambda: "Klienci przechodzą na niego" in seen(app))
        new = offices.identity_by_label(house.db, "KSeF biura")["id"]
        await expect(pilot, lambda: house.auth(client)["identity_id"] == new)
        await expect(pilot, lambda: offices.identity(house.db, identity)["removed_at"] is not None)
    assert new != identity
    assert house.auth(client)["state"] == "active"


async def test_revoking_asks_why_and_whether_and_escape_changes_nothing(house: House, screen: Program) -> None:
    identity = await ksef_profile(house)
    app = screen()
    async with somebody_sends(house), app.run_test(size=NARROW) as pilot:
        for sure in (False, True):
            await menu(app, pilot)
            await choose(app, pilot, f"profile:{identity}")
            await expect(pilot, lambda: "Odcisk" in seen(app))
            await choose(app, pilot, "revoke")
            await expect(pilot, lambda: "klucz mógł trafić w obce ręce" in seen(app))
            await pilot.press("enter")
            await expect(pilot, lambda: "Tak, odwołaj na zawsze" in seen(app))
            await pilot.press(*(("down", "enter") if sure else ("enter",)))
            await expect(pilot, lambda: app.screen is app.main)
            if not sure:
                assert house.db.value("SELECT count(*) FROM revocation") == 0
        await expect(pilot, lambda: house.auth(own(house))["reason_code"] == "certificate_revoked")
        app.main.clients.list.go_to(own(house).id)
        await expect(pilot, lambda: "odwołano" in seen(app))


async def test_the_branch_without_a_seal_can_be_read(house: House, screen: Program) -> None:
    app = screen()
    async with app.run_test(size=NARROW) as pilot:
        await menu(app, pilot)
        await choose(app, pilot, "help")
        await asked(app, pilot, Reader)
        await expect(pilot, lambda: "1. Podpis" in seen(app))
        await pilot.press("end", "pagedown", "pagedown")
        await expect(pilot, lambda: "ZAW-FA" in seen(app))


async def test_a_token_at_home_orders_nothing_and_says_why(house: House, screen: Program) -> None:
    from support.strangers import Stranger

    token = await Stranger(house.ministry, house.nip).token("InvoiceRead", "InvoiceWrite")
    await house.authorise_with_token(own(house), token)
    house.identity()
    app = screen()
    async with app.run_test(size=NARROW) as pilot:
        await menu(app, pilot)
        await choose(app, pilot, "enrol")
        await expect(pilot, lambda: "zalogowane tokenem" in seen(app))
