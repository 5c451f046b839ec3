"""A menu says the whole of every sentence, on every size of screen."""

from __future__ import annotations

import pytest
from tui_helpers import Desk, Program, asked, expect, text_of

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
