"""A signature made elsewhere, the letters and the end of a service on the screen, over a worker and the sandbox."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from support.companies import seal, signed
from support.houses import BOTH, Client, House
from textual.pilot import Pilot
from textual.widgets import Input
from tui_helpers import asked, expect, text_of
from tui_senders import somebody_sends

from ksef_tui.services import authorising, external
from ksef_tui.tui.app import KsefTui
from ksef_tui.tui.dialogs.ask import Ask
from ksef_tui.tui.dialogs.choices import Choices
from ksef_tui.tui.dialogs.form import Form
from ksef_tui.tui.dialogs.letter import Letter
from ksef_tui.tui.dialogs.pick import Pick

SIZES = [(80, 24), (120, 40)]
Program = Callable[..., KsefTui]


pytestmark = pytest.mark.usefixtures("home")


async def on(app: KsefTui, pilot: Pilot[int], client: Client) -> None:
    """The cursor on a client whose flow is shown."""
    await expect(pilot, lambda: bool(app.main.clients.list.ids))
    assert app.main.clients.list.go_to(client.id)
    pane = app.main.authorization
    await expect(pilot, lambda: pane.view is not None and pane.view.client_id == client.id)


async def choose(app: KsefTui, pilot: Pilot[int], choice: str) -> None:
    """Go to a line of the menu by the arrows, and Enter."""
    await asked(app, pilot, Pick)
    await expect(pilot, lambda: bool(app.screen.query(Choices)))
    choices = app.screen.query_one(Choices).choices
    place = [one.id for one in choices].index(choice)
    await pilot.press(*["down"] * place, "enter")


async def type_path(app: KsefTui, pilot: Pilot[int], path: str) -> None:
    """A path in the field of the form, in place of what stands there."""
    await asked(app, pilot, Form)
    await expect(pilot, lambda: bool(app.screen.query(Input)))
    await pilot.press("ctrl+u", *path, "enter")


async def back(app: KsefTui, pilot: Pilot[int]) -> None:
    await expect(pilot, lambda: app.screen is app.main)


def notices(app: KsefTui) -> str:
    return "\n".join(notice.message for notice in app._notifications)


async def to_sign(house: House, client: Client) -> None:
    """A request that another process has fetched."""
    authorising.start_external(house.office, house.admin, client.id)
    await house.carry_out(client)
    assert house.auth(client)["state"] == "to_sign"


@pytest.mark.parametrize("size", SIZES)
async def test_from_the_menu_to_a_login_that_works(
    house: House, screen: Program, home: Path, size: tuple[int, int]
) -> None:
    client, app = house.client(), screen()
    async with somebody_sends(house), app.run_test(size=size, notifications=True) as pilot:
        await on(app, pilot, client)
        await pilot.press("a")
        await asked(app, pilot, Pick)
        await pilot.pause()
        assert "wyjątek: żądanie podpisane poza programem" in text_of(app)
        await choose(app, pilot, "external")
        await asked(app, pilot, Form)  # by itself, as soon as the request is there
        await pilot.pause()
        shown = text_of(app)
        assert "Podpisem Zaufanym" in shown
        assert "Nie otwieraj go i nie zapisuj w edytorze" in shown
        await pilot.press("enter")
        await back(app, pilot)
        request = home / f"ksef-{client.nip}-do-podpisu.xml"
        await expect(pilot, lambda: "potem f wczytuje podpisany plik" in notices(app))
        assert request.read_bytes() == external.request(house.office, house.admin, client.id).document
        await expect(pilot, lambda: "✎ podpis 9:" in text_of(app))
        (home / "gotowe.xml").write_bytes(signed(request.read_bytes(), seal(client.nip)))
        await pilot.press("f")
        await type_path(app, pilot, "~/gotowe.xml")
        await expect(pilot, lambda: house.auth(client)["state"] == "active")
        await expect(pilot, lambda: "✔ uprawnienia" in text_of(app))
        assert "gotowy W P D" in text_of(app)


@pytest.mark.parametrize("size", SIZES)
async def test_the_minutes_count_down_and_then_one_key_makes_a_new_request(
    house: House, screen: Program, home: Path, size: tuple[int, int]
) -> None:
    client = house.client()
    await to_sign(house, client)
    first = external.request(house.office, house.admin, client.id).document
    passed = timedelta(seconds=30)
    app = screen(now=lambda: datetime.now(UTC) + passed)
    async with somebody_sends(house), app.run_test(size=size, notifications=True) as pilot:
        await on(app, pilot, client)
        assert "do podpisu 9:2" in text_of(app)
        assert "✎ podpis 9:2" in text_of(app)
        passed = timedelta(minutes=4)  # the clock goes on, and nobody touches a key
        await expect(pilot, lambda: text_of(app).count(" 5:5") == 2)
        passed = timedelta(minutes=10, seconds=1)
        house.later(minutes=10, seconds=1)
        await expect(pilot, lambda: "straciło ważność" in text_of(app))
        assert "✎ podpis po czasie" in text_of(app)
        await pilot.press("f")
        await expect(pilot, lambda: "Minęło 10 minut na podpis: e robi nowe żądanie." in notices(app))
        await pilot.press("e")
        await asked(app, pilot, Form)
        await pilot.press("enter")
        await back(app, pilot)
        request = (home / f"ksef-{client.nip}-do-podpisu.xml").read_bytes()
        assert request != first
        assert request == external.request(house.office, house.admin, client.id).document


async def test_a_request_whose_time_ran_out_while_the_question_stood_there_is_not_saved(
    house: House, screen: Program, home: Path
) -> None:
    client = house.client()
    await to_sign(house, client)
    passed = timedelta()
    app = screen(now=lambda: datetime.now(UTC) + passed)
    async with app.run_test(size=(80, 24), notifications=True) as pilot:
        await on(app, pilot, client)
        await pilot.press("e")
        await asked(app, pilot, Form)
        passed = timedelta(minutes=10, seconds=1)
        await pilot.press("enter")
        await expect(pilot, lambda: "Minęło 10 minut na podpis tego żądania" in text_of(app))
        assert not list(home.glob("*-do-podpisu.xml"))


async def test_a_second_that_passes_repaints_the_seconds_and_nothing_else(house: House, screen: Program) -> None:
    """Bytes over SSH matter (design §11)."""
    client = house.client()
    await to_sign(house, client)
    passed = timedelta(0)
    start = datetime.now(UTC)
    app = screen(now=lambda: start + passed)
    async with app.run_test(size=(80, 24)) as pilot:
        await on(app, pilot, client)
        await expect(pilot, lambda: app.main.header_view is not None)
        await pilot.pause(0.3)
        before = text_of(app)
        passed = timedelta(seconds=1)
        await expect(pilot, lambda: text_of(app) != before)
        after = text_of(app)
        changed = [index for index, (old, new) in enumerate(zip(before, after, strict=True)) if old != new]
        assert len(changed) <= 6  # at most three digits in the list and three in the flow


@pytest.mark.parametrize("size", SIZES)
async def test_another_program_on_the_same_directory_goes_on_in_the_middle(
    house: House, screen: Program, home: Path, size: tuple[int, int]
) -> None:
    client, first, second = house.client(), screen(), screen()
    async with somebody_sends(house), first.run_test(size=size) as pilot:
        await on(first, pilot, client)
        await pilot.press("a")
        await choose(first, pilot, "external")
        await asked(first, pilot, Form)
        await pilot.press("escape")
        await back(first, pilot)
    document = external.request(house.office, house.admin, client.id).document
    async with somebody_sends(house), second.run_test(size=size, notifications=True) as pilot:
        await on(second, pilot, client)
        assert "do podpisu 9:" in text_of(second)
        await pilot.press("e")
        await type_path(second, pilot, "~/jeszcze-raz.xml")
        await back(second, pilot)
        assert (home / "jeszcze-raz.xml").read_bytes() == document
        (home / "p.xml").write_bytes(signed(document, seal(client.nip)))
        await pilot.press("f")
        await type_path(second, pilot, "~/p.xml")
        await expect(pilot, lambda: house.auth(client)["state"] == "active")


async def test_a_wrong_file_is_told_in_the_form_and_nothing_is_lost(house: House, screen: Program, home: Path) -> None:
    client, app = house.client(), screen()
    await to_sign(house, client)
    document = external.request(house.office, house.admin, client.id).document
    (home / "samo.xml").write_bytes(document)
    async with app.run_test(size=(80, 24)) as pilot:
        await on(app, pilot, client)
        await pilot.press("f")
        await type_path(app, pilot, "~/brak.xml")
        await expect(pilot, lambda: "Nie można odczytać pliku" in text_of(app))
        await type_path(app, pilot, "~/samo.xml")
        await expect(pilot, lambda: "W tym pliku nie ma podpisu" in text_of(app))
        assert house.auth(client)["state"] == "to_sign"
        await pilot.press("escape")
        await back(app, pilot)
        await pilot.press("b")
        await expect(pilot, lambda: house.auth(client)["state"] == "missing")
        await expect(pilot, lambda: "niepodłączony" in text_of(app))


async def test_a_file_that_is_there_is_replaced_only_by_the_second_enter(
    house: House, screen: Program, home: Path
) -> None:
    client, app = house.client(), screen()
    await to_sign(house, client)
    there = home / f"ksef-{client.nip}-do-podpisu.xml"
    there.write_bytes(b"cudze")
    async with app.run_test(size=(80, 24)) as pilot:
        await on(app, pilot, client)
        await pilot.press("e")
        await asked(app, pilot, Form)
        await pilot.press("enter")
        await expect(pilot, lambda: "już jest" in text_of(app))
        assert there.read_bytes() == b"cudze"
        await pilot.press("enter")
        await back(app, pilot)
        assert b"AuthTokenRequest" in there.read_bytes()
        assert [path.name for path in home.iterdir()] == [there.name]


async def test_a_judgement_that_takes_long_blocks_nothing_and_is_cancelled(
    house: House, screen: Program, home: Path
) -> None:
    """KSeF waits for OCSP: the flow shows it, other keys work, b ends it."""
    client, other, app = house.client(), house.client(name="Sosna Próbna"), screen()
    await to_sign(house, client)
    (home / "p.xml").write_bytes(
        signed(external.request(house.office, house.admin, client.id).document, seal(client.nip))
    )
    slow = {"method": "POST", "path": "/v2/auth/xades-signature"}
    house.ministry.fault("slow", times=1, match=slow, params={"ms": 600_000})
    async with somebody_sends(house), app.run_test(size=(80, 24)) as pilot:
        await on(app, pilot, client)
        await pilot.press("f")
        await type_path(app, pilot, "~/p.xml")
        await expect(pilot, lambda: "◌ weryfikacja" in text_of(app))
        await on(app, pilot, other)
        await pilot.press("l")
        await asked(app, pilot, Letter)
        await pilot.press("escape")
        await back(app, pilot)
        await on(app, pilot, client)
        await pilot.press("b")
        await expect(pilot, lambda: house.auth(client)["state"] == "missing")
        assert house.db.value("SELECT count(*) FROM signature_request") == 0


async def test_who_has_gone_elsewhere_is_told_and_not_asked(house: House, screen: Program) -> None:
    client, other, app = house.client(), house.client(name="Sosna Próbna"), screen()
    async with app.run_test(size=(80, 24), notifications=True) as pilot:
        await on(app, pilot, client)
        await pilot.press("a")
        await choose(app, pilot, "external")
        await expect(pilot, lambda: house.auth(client)["state"] == "running")
        await back(app, pilot)
        await on(app, pilot, other)
        async with somebody_sends(house):
            await expect(pilot, lambda: "żądanie czeka na podpis. Klawisz e" in notices(app))
        assert app.screen is app.main


@pytest.mark.parametrize("size", SIZES)
async def test_the_letter_is_read_copied_saved_and_remembered(
    house: House, screen: Program, home: Path, size: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    client, app = house.client(name="Świerk [b] Próbny"), screen()
    copied: list[str] = []
    monkeypatch.setattr(KsefTui, "copy_to_clipboard", lambda self, text: copied.append(text))
    async with app.run_test(size=size, notifications=True) as pilot:
        await on(app, pilot, client)
        assert "l pismo" in text_of(app)
        await pilot.press("l")
        await asked(app, pilot, Letter)
        await pilot.pause()
        shown = text_of(app)
        assert "Świerk [b] Próbny" in shown
        assert "w wysłano dzisiaj" in shown
        await pilot.press("y", "s")
        await asked(app, pilot, Form)
        await pilot.press("enter")
        await asked(app, pilot, Letter)
        [saved] = home.iterdir()
        assert [saved.read_text("utf-8")] == copied
        assert client.nip in saved.name
        await pilot.press("w")
        await expect(pilot, lambda: house.auth(client)["state"] == "requested")
        await expect(pilot, lambda: "(pismo" in text_of(app))


async def test_a_letter_to_who_gave_everything_is_not_remembered_as_sent(house: House, screen: Program) -> None:
    client, app = await house.ready_client(), screen()
    async with app.run_test(size=(80, 24)) as pilot:
        await on(app, pilot, client)
        await pilot.press("l")
        await asked(app, pilot, Letter)
        await pilot.pause()
        assert "wysłano dzisiaj" not in text_of(app)
        await pilot.press("w")
        await pilot.pause()
        assert isinstance(app.screen, Letter)


@pytest.mark.parametrize("size", SIZES)
async def test_a_service_ends_is_checked_and_resumed(house: House, screen: Program, size: tuple[int, int]) -> None:
    client, app = await house.ready_client(), screen()
    async with somebody_sends(house), app.run_test(size=size, notifications=True) as pilot:
        await on(app, pilot, client)
        await pilot.press("k")
        await asked(app, pilot, Ask)
        await pilot.pause()
        assert "Nic więcej nie zostanie wysłane" in text_of(app)
        await pilot.press("enter")  # the safe answer has the focus
        await back(app, pilot)
        assert house.auth(client)["state"] == "active"
        await pilot.press("k")
        await asked(app, pilot, Ask)
        await pilot.press("down", "enter")
        await expect(pilot, lambda: "obsługa zakończona" in text_of(app))
        await expect(pilot, lambda: house.auth(client)["intent"] == "")
        await expect(pilot, lambda: "Klient ma teraz odebrać" in text_of(app))
        await pilot.press("r")
        await expect(pilot, lambda: "klient nie odebrał" in text_of(app))
        await expect(pilot, lambda: "jeszcze nie odebrał" in text_of(app))
        await pilot.press("l")
        await asked(app, pilot, Letter)
        await pilot.pause()
        assert "Prośba o odebranie uprawnień" in text_of(app)
        await pilot.press("escape")
        await back(app, pilot)
        house.ministry.take_back(client.nip, house.nip)
        await pilot.press("r")
        await expect(pilot, lambda: "Uprawnienia odebrane, sprawdzono" in text_of(app))
        await pilot.press("k")
        await asked(app, pilot, Ask)
        await pilot.press("down", "enter")
        await expect(pilot, lambda: house.auth(client)["state"] == "missing")
        house.ministry.grant(client.nip, house.nip, *BOTH)


async def test_an_end_names_what_stands_in_its_way_or_is_held(house: House, screen: Program) -> None:
    from support import papers

    client, app = await house.ready_client(), screen()
    house.bring(client, papers.invoice(client.nip, "FV/77"))
    async with app.run_test(size=(80, 24), notifications=True) as pilot:
        await on(app, pilot, client)
        await pilot.press("k")
        await asked(app, pilot, Ask)
        await pilot.pause()
        assert "1 faktura: FV/77" in text_of(app)
        await pilot.press("escape")
        await back(app, pilot)
        house.edit("UPDATE invoice SET state = 'processing'")
        await pilot.press("k")
        await expect(pilot, lambda: "w KSeF są jeszcze 1 faktura: FV/77" in notices(app))
        assert app.screen is app.main
