"""A menu says the whole of every sentence, on every size of screen."""

from __future__ import annotations

import pytest
from textual.geometry import Region
from textual.widgets._toast import Toast
from tui_helpers import Desk, Program, asked, expect, text_of

from ksef_tui.tui.dialogs.ask import Ask
from ksef_tui.tui.dialogs.choices import Choice
from ksef_tui.tui.dialogs.pick import Pick

WHAT = "Kto jest już sprawdzony albo połączony, zostaje; reszty program nie ruszy."
WHY = "Najpierw zaloguj biuro u siebie: podpisem albo profilem (a na kliencie, którym jest biuro)."


@pytest.mark.parametrize("size", [(64, 16), (80, 24), (120, 40)])
async def test_neither_what_it_is_about_nor_why_not_is_cut_off(
    desk: Desk, ids: dict[str, int], program: Program, size: tuple[int, int]
) -> None:
    app = program()
    async with app.run_test(size=size) as pilot:
        app.push_screen(Pick("Przerwanie", [Choice("one", (("jedno", "text"),), WHY)], intro=[((WHAT, "text"),)]))
        await asked(app, pilot, Pick)
        await expect(pilot, lambda: WHAT in read(text_of(app)))
        await pilot.press("enter")
        await expect(pilot, lambda: WHY in read(text_of(app)))


async def test_the_cursor_of_a_long_menu_stays_to_be_seen_and_says_what_its_line_is_about(
    desk: Desk, ids: dict[str, int], program: Program
) -> None:
    app = program()
    async with app.run_test(size=(80, 24)) as pilot:
        lines = [Choice(str(n), ((f"linia {n}", "text"),), about=f"O linii {n}.") for n in range(40)]
        app.push_screen(Pick("Długie menu", lines))
        await asked(app, pilot, Pick)
        await expect(pilot, lambda: "O linii 0." in text_of(app))
        await pilot.press("end")
        await expect(pilot, lambda: "linia 39 " in text_of(app) and "O linii 39." in text_of(app))
        await pilot.press("home")
        await expect(pilot, lambda: "linia 0 " in text_of(app) and "O linii 0." in text_of(app))


@pytest.mark.parametrize("size", [(80, 24), (120, 40)])
async def test_a_notice_lies_on_an_edge_and_hides_no_keys(
    desk: Desk, ids: dict[str, int], program: Program, size: tuple[int, int]
) -> None:
    app = program()
    async with app.run_test(size=size, notifications=True) as pilot:
        app.say("Nie ma żądania do podpisu: zacznij od a, podpis zewnętrzny.")
        edge = Region(0, size[1] - 2, size[0] - 2, 1)  # the rack keeps two cells for itself
        await expect(pilot, lambda: [one.region for one in app.screen.walk_children(Toast)] == [edge])


async def test_tab_goes_to_the_other_answer_and_back(desk: Desk, ids: dict[str, int], program: Program) -> None:
    app = program()
    answers: list[bool | None] = []
    async with app.run_test(size=(80, 24)) as pilot:
        for keys in (["enter"], ["tab", "enter"], ["tab", "tab", "enter"], ["shift+tab", "enter"]):
            app.push_screen(Ask("Pytanie", lambda width: [], yes="Tak"), answers.append)
            await asked(app, pilot, Ask)
            await pilot.press(*keys)
            await expect(pilot, lambda: app.screen is app.main)
    assert answers == [False, True, False, True]


def read(shown: str) -> str:
    """The text of a dialog without its frame and the frames behind it."""
    return " ".join(
        shown.replace("│", " ")
        .replace("╭", " ")
        .replace("╰", " ")
        .replace("╯", " ")
        .replace("╮", " ")
        .replace("─", " ")
        .split()
    )
