"""The screen over the real services: keys, questions, what becomes of them in the database, and what others change."""

from __future__ import annotations

from array import array
from dataclasses import dataclass, replace
from decimal import Decimal
from pathlib import Path

import pytest
import tui_office
from textual.widgets import Input
from tui_helpers import NARROW, WIDE, Desk, Program, asked, expect, on_client, ready, states, text_of

from ksef_tui.domain.invoices import InvoiceState
from ksef_tui.domain.roles import Operator
from ksef_tui.services import approving, invoice_views
from ksef_tui.services.office import Office, database_path
from ksef_tui.services.views import QueueFilter
from ksef_tui.store.database import open_database
from ksef_tui.tui.app import KsefTui
from ksef_tui.tui.dialogs.ask import Ask
from ksef_tui.tui.dialogs.bring_in import BringIn
from ksef_tui.tui.dialogs.choices import Choices
from ksef_tui.tui.dialogs.details import Details, Reader
from ksef_tui.tui.dialogs.form import Form
from ksef_tui.tui.dialogs.pick import Pick, Search
from ksef_tui.tui.main import MainScreen


def notices(app: KsefTui) -> list[str]:
    return [notice.message for notice in app._notifications]


async def test_clients_that_need_a_person_come_first(ids: dict[str, int], program: Program) -> None:
    app = program()
    async with app.run_test(size=WIDE) as pilot:
        await ready(app, pilot)
        assert app.main.clients.list.current_id == ids["gamma"]
        shown = text_of(app)
        assert "PIASKOWNICA" in shown
        assert "1 Klienci 12" in shown
        assert "Gamma s.c. nie nadała w KSeF uprawnień." in shown
        assert "uprawnienia 415" in shown


async def test_approving_says_what_it_does_and_enter_is_harmless(
    desk: Desk, ids: dict[str, int], program: Program
) -> None:
    app = program()
    async with app.run_test(size=NARROW) as pilot:
        await on_client(app, pilot, ids["jodla"])
        await pilot.press("z")
        await asked(app, pilot, Ask)
        await pilot.pause()
        shown = text_of(app)
        assert "Do KSeF (PIASKOWNICA) pójdzie: 2 faktury." in shown
        assert "wystawienie w imieniu klienta" in shown
        assert "22\u00a0140,00 zł" in shown
        await pilot.press("enter")
        await expect(pilot, lambda: app.screen is app.main)
        assert states(desk, "JM/%") == {"waiting"}
        await pilot.press("z")
        await asked(app, pilot, Ask)
        await pilot.press("escape")
        await expect(pilot, lambda: app.screen is app.main)
        assert states(desk, "JM/%") == {"waiting"}


async def test_approving_goes_through_when_a_person_chooses_it_and_can_be_recalled(
    desk: Desk, ids: dict[str, int], program: Program
) -> None:
    app = program()
    async with app.run_test(size=NARROW, notifications=True) as pilot:
        await on_client(app, pilot, ids["jodla"])
        jodla = app.main.situation().client
        assert jodla is not None
        await pilot.press("z")
        await asked(app, pilot, Ask)
        await pilot.press("down", "enter")
        await expect(pilot, lambda: states(desk, "JM/%") == {"approved"})
        await expect(pilot, lambda: any(text.startswith("Zatwierdzono: 2 faktury.") for text in notices(app)))
        await expect(pilot, lambda: app.main.situation().client == replace(jodla, waiting=0, moving=2))
        await pilot.press("c")
        await expect(pilot, lambda: states(desk, "JM/%") == {"waiting"})


async def test_three_fast_presses_open_one_question(ids: dict[str, int], program: Program) -> None:
    app = program()
    async with app.run_test(size=NARROW) as pilot:
        await on_client(app, pilot, ids["jodla"])
        await pilot.press("z", "z", "z")
        await asked(app, pilot, Ask)
        await pilot.pause()
        assert sum(isinstance(screen, Ask) for screen in app.screen_stack) == 1


async def test_on_production_the_count_is_typed(tmp_path: Path) -> None:
    desk = tui_office.new_office(tmp_path, "production")
    ids = tui_office.furnish(desk[0])
    app = KsefTui(*desk, now=lambda: tui_office.NOW)
    try:
        async with app.run_test(size=NARROW) as pilot:
            await on_client(app, pilot, ids["jodla"])
            assert "PRODUKCJA" in text_of(app)
            assert app.main.has_class("-env-production")
            await pilot.press("z")
            await asked(app, pilot, Ask)
            await pilot.press("1", "enter")
            await pilot.pause()
            assert isinstance(app.screen, Ask)
            assert states(desk, "JM/%") == {"waiting"}
            await pilot.press("backspace", "2", "enter")
            await expect(pilot, lambda: states(desk, "JM/%") == {"approved"})
    finally:
        app.leave_nothing()
        desk[0].close()


async def test_a_key_that_does_nothing_says_why(ids: dict[str, int], program: Program) -> None:
    app = program()
    async with app.run_test(size=NARROW, notifications=True) as pilot:
        await on_client(app, pilot, ids["wrzos"])
        await pilot.press("z")
        await expect(pilot, lambda: "Ten klient nie ma faktur do zatwierdzenia." in notices(app))
        await pilot.press("r")
        await expect(pilot, lambda: any("naciśnij a" in text for text in notices(app)))
        assert app.screen is app.main


async def test_marked_invoices_are_worked_on_together(desk: Desk, ids: dict[str, int], program: Program) -> None:
    app = program()
    async with app.run_test(size=NARROW, notifications=True) as pilot:
        await ready(app, pilot)
        await pilot.press("2", "end", "space", "up", "space")
        await expect(pilot, lambda: len(app.main.queue.list.marks) == 2)
        await expect(pilot, lambda: "Zatwierdź 2 zazn." in text_of(app))
        await pilot.press("w")
        await expect(pilot, lambda: states(desk, "JM/%") == {"held"})
        assert not app.main.queue.list.marks


async def test_withdrawing_asks_first(desk: Desk, ids: dict[str, int], program: Program) -> None:
    app = program()
    async with app.run_test(size=NARROW) as pilot:
        await ready(app, pilot)
        await pilot.press("2", "end", "x")
        await asked(app, pilot, Ask)
        await pilot.press("escape")
        await expect(pilot, lambda: app.screen is app.main)
        assert states(desk, "JM/2026/90") == {"waiting"}
        await pilot.press("x")
        await asked(app, pilot, Ask)
        await pilot.press("down", "enter")
        await expect(pilot, lambda: states(desk, "JM/2026/90") == {"withdrawn"})


async def test_what_another_process_does_is_shown(
    desk: Desk, ids: dict[str, int], program: Program, tmp_path: Path
) -> None:
    app = program()
    elsewhere = open_database(desk[0].db.path)
    other = Office(**{**_fields(desk[0]), "db": elsewhere})
    try:
        async with app.run_test(size=NARROW) as pilot:
            await ready(app, pilot)
            await pilot.press("2")
            waiting = approving.waiting_ids(other, desk[1], ids["jodla"])
            approving.hold(other, desk[1], waiting)
            await expect(pilot, lambda: text_of(app).count("‖ wstrzymana") == 3)
            tui_office.add_invoice(other, ids["jodla"], "JM/2026/92", InvoiceState.WAITING, seconds_ago=0)
            await expect(pilot, lambda: "JM/2026/92" in text_of(app))
            tui_office.add_client(other, 50, "Zakład Nowy")
            await pilot.press("1")
            await expect(pilot, lambda: "Zakład Nowy" in text_of(app) and "Klienci 13" in text_of(app))
    finally:
        elsewhere.close()


async def test_of_invoices_that_come_a_narrowed_queue_shows_only_its_own_and_no_list_is_read_again(
    desk: Desk, ids: dict[str, int], program: Program, monkeypatch: pytest.MonkeyPatch
) -> None:
    app = program()
    elsewhere = open_database(desk[0].db.path)
    other = Office(**{**_fields(desk[0]), "db": elsewhere})
    try:
        async with app.run_test(size=NARROW) as pilot:
            await on_client(app, pilot, ids["jodla"])
            await pilot.press("enter")
            await expect(pilot, lambda: len(app.main.queue.list.ids) == 2)

            whole = invoice_views.queue_ids

            def named(office: Office, operator: Operator, chosen: QueueFilter) -> array[int]:
                assert chosen.among, "the whole list was read for one invoice"
                return whole(office, operator, chosen)

            monkeypatch.setattr("ksef_tui.services.invoice_views.queue_ids", named)
            foreign = tui_office.add_invoice(other, ids["alfa"], "FV/NIE-TU", InvoiceState.WAITING, seconds_ago=0)
            own = tui_office.add_invoice(other, ids["jodla"], "JM/2026/93", InvoiceState.WAITING, seconds_ago=0)
            await expect(pilot, lambda: "JM/2026/93" in text_of(app))
            assert own in app.main.queue.list.ids
            assert foreign not in app.main.queue.list.ids
            assert len(app.main.queue.list.ids) == 3
    finally:
        elsewhere.close()


def _fields(office: Office) -> dict[str, object]:
    names = ("data_dir", "environment", "office_id", "nip", "name", "keys", "clock")
    return {name: getattr(office, name) for name in names}


async def test_text_from_outside_is_never_markup_on_any_screen(desk: Desk, program: Program) -> None:
    hostile = "[/b] [red] \\[x]\x1b[31m\x1b]0;title\x07"
    client_id = tui_office.add_client(desk[0], 20, hostile)
    tui_office.add_invoice(desk[0], client_id, hostile, InvoiceState.WAITING, buyer=hostile)
    tui_office.add_invoice(desk[0], client_id, hostile + "2", InvoiceState.REJECTED, reason=hostile, reason_code="450")
    app = program()
    async with app.run_test(size=WIDE, notifications=True) as pilot:
        await expect(pilot, lambda: len(app.main.queue.list.ids) == 2 and app.main.authorization.view is not None)
        plain = "[/b] [red] \\[x]\ufffd[31m"
        screens = {
            ("1", "z"): (Ask, plain),
            ("2", "enter"): (Details, plain),
            ("2", "enter", "right"): (Details, "stan"),
            ("2", "enter", "left"): (Details, "[/b] [red] \\[x]"),
            ("1", "a"): (Pick, f"Klient: {plain}"),
            ("1", "i"): (BringIn, plain),
            ("1", "u"): (MainScreen, "2 Kolejka"),
            ("2", "x"): (Ask, plain),
            ("ctrl+f", "r", "e", "d"): (Search, plain),
            ("1", "slash", "r", "e", "d"): (MainScreen, "Klienci 1 z 1"),
            ("f1",): (Reader, "Pomoc"),
        }
        for keys, (kind, shows) in screens.items():
            await pilot.press(*keys)
            await expect(pilot, lambda kind=kind, shows=shows: isinstance(app.screen, kind) and shows in text_of(app))
            assert "\x1b" not in text_of(app), keys
            while app.screen is not app.main:
                await pilot.press("escape")
                await pilot.pause()
            await pilot.press("escape", "escape", "escape")
            await expect(pilot, lambda: len(app.main.clients.list.ids) == 1)
        app.say(hostile)
        await expect(pilot, lambda: hostile in notices(app) and "[/b] [red] \\[x]" in text_of(app))


async def test_a_client_s_invoices_open_with_enter_and_close_with_escape(ids: dict[str, int], program: Program) -> None:
    app = program()
    async with app.run_test(size=NARROW) as pilot:
        await on_client(app, pilot, ids["gamma"])
        await pilot.press("enter")
        await expect(pilot, lambda: len(app.main.queue.list.ids) == 2)
        assert "2 Kolejka · Gamma s.c." in text_of(app)
        await pilot.press("enter")
        await asked(app, pilot, Details)
        await pilot.press("escape")
        await expect(pilot, lambda: app.screen is app.main)
        await pilot.press("escape")
        await expect(pilot, lambda: len(app.main.queue.list.ids) == 16)
        await pilot.press("escape")
        await expect(pilot, lambda: app.main.clients.list.has_focus)


async def test_the_details_show_the_document_and_what_happened(ids: dict[str, int], program: Program) -> None:
    app = program()
    async with app.run_test(size=NARROW) as pilot:
        await ready(app, pilot)
        await pilot.press("2", "end", "enter")
        await asked(app, pilot, Details)
        await expect(pilot, lambda: "Usługa montażowa" in text_of(app))
        assert "6\u00a0150,00 zł" in text_of(app)
        await pilot.press("right")
        await expect(pilot, lambda: "24.11.2026 09:10:30" in text_of(app))
        await pilot.press("right")
        await expect(pilot, lambda: "<Faktura xmlns=" in text_of(app))


async def test_filter_as_one_types_and_escape_takes_it_off(ids: dict[str, int], program: Program) -> None:
    app = program()
    async with app.run_test(size=NARROW) as pilot:
        await ready(app, pilot)
        await pilot.press("slash", *"instal")
        await expect(pilot, lambda: "Klienci 2 z 12" in text_of(app))
        await pilot.press("enter", "down")
        assert app.main.clients.list.has_focus
        found = app.main.clients.list.current_id
        await pilot.press("escape")
        await expect(pilot, lambda: "Klienci 12" in text_of(app))
        assert app.main.clients.list.current_id == found, "what was looked for stays under the cursor"


async def test_only_invoices_in_one_state(ids: dict[str, int], program: Program) -> None:
    app = program()
    async with app.run_test(size=NARROW) as pilot:
        await ready(app, pilot)
        await pilot.press("2", "s")
        await asked(app, pilot, Pick)
        await expect(pilot, lambda: any(choice.id == "accepted" for choice in app.screen.query_one(Choices).choices))
        menu = app.screen.query_one(Choices)
        await pilot.press(*["down"] * [choice.id for choice in menu.choices].index("accepted"), "enter")
        await expect(pilot, lambda: len(app.main.queue.list.ids) == 3)


async def test_search_finds_by_everything_and_opens_what_was_chosen(ids: dict[str, int], program: Program) -> None:
    app = program()
    async with app.run_test(size=NARROW) as pilot:
        await ready(app, pilot)
        await pilot.press("ctrl+f", *"01a0c3")
        await expect(pilot, lambda: isinstance(app.screen, Search) and len(app.screen.query_one(Choices).choices) == 3)
        await pilot.press("down", "enter")
        await asked(app, pilot, Details)
        await pilot.press("escape")
        await expect(pilot, lambda: app.screen is app.main)
        await pilot.press("ctrl+f", *"cwik")
        await expect(pilot, lambda: isinstance(app.screen, Search) and len(app.screen.query_one(Choices).choices) == 3)
        await pilot.press("enter")
        await expect(pilot, lambda: app.main.clients.list.current_id == ids["cwik"])


async def test_the_palette_runs_what_is_chosen(ids: dict[str, int], program: Program) -> None:
    app = program()
    async with app.run_test(size=NARROW) as pilot:
        await ready(app, pilot)
        await pilot.press("ctrl+p", *"nowy")
        await expect(pilot, lambda: isinstance(app.screen, Search) and app.screen.query_one(Choices).choices[:1] != ())
        await expect(pilot, lambda: app.screen.query_one(Choices).choices[0].id == "client.add")
        await pilot.press("enter")
        await asked(app, pilot, Form)


async def test_a_wrong_nip_is_told_and_nothing_typed_is_lost(desk: Desk, program: Program) -> None:
    app = program()
    async with app.run_test(size=NARROW) as pilot:
        await expect(pilot, lambda: "Nie ma jeszcze klientów." in text_of(app))
        await pilot.press("n")
        await asked(app, pilot, Form)
        await pilot.press(*"5260001247", "enter", *"Bajka", "enter")
        await expect(pilot, lambda: "cyfrę kontrolną" in text_of(app))
        assert [field.value for field in app.screen.query(Input)] == ["5260001247", "Bajka"]
        await pilot.press("up", "home", *["delete"] * 10, *tui_office.nip(3), "enter", "enter")
        await expect(pilot, lambda: app.screen is app.main)
        await expect(pilot, lambda: "Bajka" in text_of(app))
        assert desk[0].db.value("SELECT name FROM client WHERE nip = ?", (tui_office.nip(3),)) == "Bajka"


async def test_a_new_client_gets_the_cursor_whatever_the_list_was_narrowed_to(
    desk: Desk, ids: dict[str, int], program: Program
) -> None:
    app = program()
    async with app.run_test(size=NARROW) as pilot:
        await ready(app, pilot)
        await pilot.press("m", "slash", *"instal", "enter", "n")
        await asked(app, pilot, Form)
        await pilot.press(*tui_office.nip(40), "enter", *"Bajka", "enter")
        await expect(pilot, lambda: "NIP " + tui_office.nip(40) in text_of(app))
        assert app.main.clients.list.current.name == "Bajka"
        assert len(app.main.clients.list.ids) == 13


async def test_the_client_of_another_pane_stays_when_its_change_moves_it_in_the_list(
    desk: Desk, ids: dict[str, int], program: Program
) -> None:
    app = program()
    async with app.run_test(size=NARROW) as pilot:
        await ready(app, pilot)
        assert app.main.clients.list.cursor == 0
        assert app.main.clients.list.current_id == ids["gamma"]
        await pilot.press("3")
        other = open_database(database_path(desk[0].data_dir))
        with other.write() as connection:
            connection.execute("UPDATE authorization SET state = 'ended' WHERE client_id = ?", (ids["gamma"],))
        other.close()
        await expect(pilot, lambda: app.main.clients.list.ids[0] != ids["gamma"])
        await pilot.pause()
        assert app.main.clients.list.current_id == ids["gamma"]
        assert app.main.authorization.client_id == ids["gamma"]


async def test_what_does_not_fit_below_the_list_names_the_key_that_shows_it(
    desk: Desk, ids: dict[str, int], program: Program
) -> None:
    name = "Przedsiębiorstwo Produkcyjno-Handlowo-Usługowe Jesion i Synowie sp. z o.o."
    reason = f"{name}: brak uprawnień w KSeF dla NIP 1111111111 (wystawianie i przeglądanie faktur)."
    one = tui_office.add_client(desk[0], 41, name, state="no_permission", reason_code="415", reason=reason)
    app = program()
    async with app.run_test(size=NARROW) as pilot:
        await on_client(app, pilot, one)
        await expect(pilot, lambda: " … 3" in text_of(app))
        await pilot.press("3")
        await expect(pilot, lambda: "z prawem dalszego" in text_of(app) and "przekazywania, dla NIP" in text_of(app))
        assert " … " not in text_of(app)


async def test_import_of_a_folder_shows_what_became_of_each_file(
    desk: Desk, ids: dict[str, int], program: Program, tmp_path: Path
) -> None:
    folder = tmp_path / "faktury"
    folder.mkdir()
    seller = desk[0].db.value("SELECT nip FROM client WHERE id = ?", (ids["jodla"],))
    for number in ("JM/2026/101", "JM/2026/102"):
        data = tui_office.document(seller, "Jodła Meble sp. z o.o.", number, Decimal("123.00"), "Hurtownia Leśna")
        (folder / f"{number.replace('/', '-')}.xml").write_bytes(data)
    (folder / "zdjecie.xml").write_bytes(b"\x89PNG not an invoice")
    app = program()
    async with app.run_test(size=WIDE) as pilot:
        await on_client(app, pilot, ids["jodla"])
        await pilot.press("i")
        await asked(app, pilot, BringIn)
        app.screen.query_one(Input).value = str(tmp_path / "nie-ma")
        await pilot.press("enter")
        await expect(pilot, lambda: "Nie ma takiego pliku ani folderu" in text_of(app))
        app.screen.query_one(Input).value = str(folder)
        await pilot.press("enter")
        await expect(pilot, lambda: "3 pliki:" in text_of(app) and "JM-2026-102.xml" in text_of(app))
        shown = text_of(app)
        assert "do zatwierdzenia 2" in shown
        assert shown.index("zdjecie.xml") < shown.index("JM-2026-101.xml")  # what needs a person comes first
        await pilot.press("enter")
        await expect(pilot, lambda: app.screen is app.main)
        assert states(desk, "JM/2026/10%") == {"waiting"}


async def test_authorising_offers_the_office_s_profiles_and_writes_the_intent(
    desk: Desk, ids: dict[str, int], program: Program
) -> None:
    app = program()
    async with app.run_test(size=NARROW) as pilot:
        await on_client(app, pilot, ids["wrzos"])
        await pilot.press("a")
        await asked(app, pilot, Pick)
        await pilot.pause()
        assert "pieczęć biura" in text_of(app)
        await pilot.press("enter")
        await expect(pilot, lambda: "◌ żądanie" in text_of(app))
        assert desk[0].db.value("SELECT intent FROM authorization WHERE client_id = ?", (ids["wrzos"],)) == "login"


async def test_a_token_is_typed_unseen_and_a_refusal_stays_in_the_form(ids: dict[str, int], program: Program) -> None:
    app = program()
    async with app.run_test(size=NARROW) as pilot:
        await on_client(app, pilot, ids["wrzos"])
        await pilot.press("a")
        await asked(app, pilot, Pick)
        await pilot.press("down", "down", "down", "enter")
        await asked(app, pilot, Form)
        await pilot.press(*"tajny", "enter")
        await expect(pilot, lambda: "Brak klucza biura" in text_of(app))
        assert "tajny" not in text_of(app)


async def test_a_window_that_is_too_small_says_so_and_recovers(ids: dict[str, int], program: Program) -> None:
    app = program()
    async with app.run_test(size=(40, 10)) as pilot:
        await expect(pilot, lambda: "Za małe okno (40×10)" in text_of(app))
        await pilot.resize_terminal(80, 24)
        await expect(pilot, lambda: "Gamma s.c." in text_of(app))
        await pilot.resize_terminal(150, 38)
        await expect(pilot, lambda: "JM/2026/90" in text_of(app) and "3 Autoryzacja" in text_of(app))
        await pilot.resize_terminal(10, 3)
        await pilot.pause()
        assert app.is_running


async def test_a_broken_database_is_told_once_and_the_program_stays(
    desk: Desk, ids: dict[str, int], program: Program
) -> None:
    app = program()
    async with app.run_test(size=NARROW, notifications=True) as pilot:
        await on_client(app, pilot, ids["jodla"])
        desk[0].db.connection.execute("ALTER TABLE invoice RENAME TO lost")
        await pilot.press("z", "down", "up")
        await expect(pilot, lambda: any(text.startswith("Błąd programu") for text in notices(app)))
        assert app.is_running
        assert len(set(notices(app))) == len(notices(app))


@dataclass
class Switch:
    id: str
    label: str
    help: str
    seen: str
    on: bool


class Troubles:
    """An exercise with one trouble."""

    def __init__(self) -> None:
        self.one = Switch("awaria", "awaria KSeF", "KSeF nie odpowiada", "Nic nie ginie.", on=False)

    def troubles(self) -> list[Switch]:
        return [self.one]

    async def switch(self, trouble_id: str) -> None:
        self.one.on = not self.one.on


async def test_troubles_are_switched_in_an_exercise_only(ids: dict[str, int], program: Program) -> None:
    exercise = Troubles()
    app = program(exercise=exercise)
    async with app.run_test(size=NARROW) as pilot:
        await ready(app, pilot)
        await pilot.press("f9")
        await asked(app, pilot, Pick)
        await expect(pilot, lambda: "Nic nie ginie." in text_of(app))
        await pilot.press("enter")
        await expect(pilot, lambda: exercise.one.on)
