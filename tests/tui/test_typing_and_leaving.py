"""Keys typed faster than the screen, keys that leave, and terminals on which nothing can be shown."""

from __future__ import annotations

import pytest
from support.companies import new_nip
from support.houses import House
from textual.events import Key
from tui_helpers import NARROW, Desk, Program, asked, expect, on_client, ready, states, text_of

from ksef_tui.domain.problems import Problem
from ksef_tui.domain.situations import Pane
from ksef_tui.services import configuring
from ksef_tui.tui.app import KsefTui, check_terminal, run, wants_ascii
from ksef_tui.tui.dialogs.ask import Ask
from ksef_tui.tui.dialogs.details import Reader

NAMED = {"/": "slash", " ": "space", "enter": "enter", "end": "end"}


async def test_ctrl_c_twice_ends_the_program(ids: dict[str, int], program: Program) -> None:
    app = program()
    async with app.run_test(size=NARROW, notifications=True) as pilot:
        await ready(app, pilot)
        await pilot.press("ctrl+c")
        assert app.is_running
        await pilot.press("ctrl+c")
        await expect(pilot, lambda: app.return_value == 0)


class Child:
    """A companion that remembers how it was treated."""

    stopped = 0

    def stop(self) -> None:
        self.stopped += 1


async def test_the_worker_that_the_screen_started_is_stopped_with_it(ids: dict[str, int], program: Program) -> None:
    child = Child()
    app = program(companion=lambda: child)
    async with app.run_test(size=NARROW) as pilot:
        await ready(app, pilot)
        await expect(pilot, lambda: app._companion is child)
    app.leave_nothing()
    assert child.stopped == 1


def test_without_a_terminal_the_screen_refuses(desk: Desk) -> None:
    with pytest.raises(Problem) as caught:
        run(*desk)
    assert caught.value.code == "no_terminal"
    assert "ssh -t" in caught.value.message


def test_a_dumb_terminal_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
    monkeypatch.setattr("sys.stdout.isatty", lambda: True, raising=False)
    monkeypatch.setenv("TERM", "dumb")
    with pytest.raises(Problem) as caught:
        check_terminal()
    assert caught.value.code == "dumb_terminal"


def at_once(app: KsefTui, *keys: str) -> None:
    """Keys that are all there before the first has done anything; a word is typed letter by letter."""
    for key in keys:
        letters = [key] if key in NAMED else list(key)
        for letter in letters:
            app.post_message(Key(NAMED.get(letter, letter), letter if len(letter) == 1 else None))


async def test_keys_typed_faster_than_the_screen_belong_to_what_was_opened(
    desk: Desk, ids: dict[str, int], program: Program
) -> None:
    app = program()
    async with app.run_test(size=NARROW) as pilot:
        await on_client(app, pilot, ids["alfa"])
        at_once(app, "/", "cwi")  # a filter, not "recall", "hold", "import"
        await expect(pilot, lambda: "„cwi”" in text_of(app))
        assert app.screen is app.main
        assert states(desk, "FV/11/2026/030") == {"approved"}
        await pilot.press("escape")
        await expect(pilot, lambda: len(app.main.clients.list.ids) == 12)
        at_once(app, "2", "end", "zcw")  # a question; nothing is recalled or held behind its back
        await asked(app, pilot, Ask)
        assert states(desk, "JM/2026/90") == {"waiting"}


async def test_a_whole_dialog_can_be_typed_ahead(desk: Desk, ids: dict[str, int], program: Program) -> None:
    app = program()
    nip = new_nip()
    async with app.run_test(size=NARROW) as pilot:
        await on_client(app, pilot, ids["alfa"])
        at_once(app, "n", nip, "enter", "Zazdrosna Wydra", "enter")
        await expect(pilot, lambda: bool(desk[0].db.rows("SELECT 1 FROM client WHERE nip = ?", (nip,))))
    [row] = desk[0].db.rows("SELECT name FROM client WHERE nip = ?", (nip,))
    assert row["name"] == "Zazdrosna Wydra"


async def test_arrows_typed_ahead_choose_in_the_menu_that_opens(house: House, screen: Program) -> None:
    client = house.client(name="Świerk Próbny")
    app = screen()
    async with app.run_test(size=NARROW) as pilot:
        await expect(pilot, lambda: app.main.clients.list.go_to(client.id))
        at_once(app, "d", "end", "enter")  # the last line of the menu: how one comes to the first certificate
        await asked(app, pilot, Reader)
        await expect(pilot, lambda: "Pierwszy certyfikat biura" in text_of(app))
        assert app.main.clients.list.current_id == client.id


async def test_what_was_typed_for_a_question_that_is_refused_does_nothing(
    ids: dict[str, int], program: Program
) -> None:
    app = program()
    async with app.run_test(size=NARROW, notifications=True) as pilot:
        await on_client(app, pilot, ids["alfa"])
        at_once(app, "o", "end", "2")  # there is nothing refused to send again
        await expect(pilot, lambda: len(app._notifications) == 1)
        await pilot.press("escape")
        assert app.main.clients.list.current_id == ids["alfa"]
        assert app.main.pane is Pane.CLIENTS


async def test_while_a_filter_is_typed_the_footer_names_no_command(ids: dict[str, int], program: Program) -> None:
    app = program()
    async with app.run_test(size=NARROW) as pilot:
        await ready(app, pilot)
        assert "Autoryzuj" in text_of(app).splitlines()[-1]
        await pilot.press("slash")
        await expect(pilot, lambda: text_of(app).splitlines()[-1].strip() == "Enter Zostaw filtr  Esc Zdejmij filtr")
        await pilot.press("escape")
        await expect(pilot, lambda: "Autoryzuj" in text_of(app).splitlines()[-1])


def test_plain_signs_for_a_plain_terminal_or_by_the_setting(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    office, operator = desk
    assert not wants_ascii(office)
    configuring.change(office, operator, "ascii", "1")
    assert wants_ascii(office)
    configuring.change(office, operator, "ascii", "0")
    monkeypatch.setenv("TERM", "linux")
    assert wants_ascii(office)
