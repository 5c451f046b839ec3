"""Keys typed faster than the screen, keys that leave, and terminals on which nothing can be shown."""

from __future__ import annotations

import pytest
from textual.events import Key
from tui_helpers import NARROW, Desk, Program, asked, expect, on_client, ready, states, text_of

from ksef_tui.domain.problems import Problem
from ksef_tui.services import configuring
from ksef_tui.tui.app import check_terminal, run, wants_ascii
from ksef_tui.tui.dialogs.ask import Ask


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


async def test_keys_typed_faster_than_the_screen_belong_to_what_was_opened(
    desk: Desk, ids: dict[str, int], program: Program
) -> None:
    app = program()
    async with app.run_test(size=NARROW) as pilot:
        await on_client(app, pilot, ids["alfa"])
        for key in ("slash", "c", "w", "i"):  # a filter, not "recall", "hold", "import"
            app.post_message(Key(key, key if len(key) == 1 else "/"))
        await expect(pilot, lambda: "„cwi”" in text_of(app))
        assert app.screen is app.main
        assert states(desk, "FV/11/2026/030") == {"approved"}
        await pilot.press("escape")
        await expect(pilot, lambda: len(app.main.clients.list.ids) == 12)
        for key in ("2", "end", "z", "c", "w"):  # a question; nothing is recalled or held behind its back
            app.post_message(Key(key, key if len(key) == 1 else None))
        await asked(app, pilot, Ask)
        assert states(desk, "JM/2026/90") == {"waiting"}


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
