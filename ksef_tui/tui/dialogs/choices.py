"""A menu: arrows and Enter, never digits. What cannot be chosen stays and says why."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from textual import events
from textual.binding import Binding, BindingType
from textual.geometry import Size
from textual.message import Message
from textual.scroll_view import ScrollView
from textual.strip import Strip

from ksef_tui.tui.lines import Toned
from ksef_tui.tui.present import Line, cut


@dataclass(frozen=True, slots=True)
class Choice:
    """One line of a menu. With `why_not` it cannot be chosen, and that sentence is shown; `about` is shown below the menu
    while the cursor is on it."""

    id: str
    line: Line
    why_not: str | None = None
    about: str = ""


class Choices(Toned, ScrollView, can_focus=True):
    """The lines of a menu with a cursor."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("up", "step(-1)", show=False),
        Binding("down", "step(1)", show=False),
        Binding("pageup", "step(-8)", show=False),
        Binding("pagedown", "step(8)", show=False),
        Binding("home", "first", show=False),
        Binding("end", "last", show=False),
        Binding("enter", "choose", show=False),
    ]

    @dataclass
    class Chosen(Message):
        """Enter was pressed on a choice."""

        choice: Choice

    @dataclass
    class Moved(Message):
        """The cursor came to a choice."""

        choice: Choice

    def __init__(self, choices: Sequence[Choice] = (), *, id: str | None = None) -> None:
        super().__init__(id=id)
        self.choices: Sequence[Choice] = choices
        self.cursor = 0

    def offer(self, choices: Sequence[Choice]) -> None:
        """Other choices, from the first."""
        self.choices, self.cursor = choices, 0
        self.virtual_size = Size(self.scrollable_content_region.width, len(choices))
        self.scroll_to(y=0, animate=False)
        self.refresh()

    def on_mount(self) -> None:
        self.virtual_size = Size(self.scrollable_content_region.width, len(self.choices))

    def on_resize(self, event: events.Resize) -> None:
        self.virtual_size = Size(self.scrollable_content_region.width, len(self.choices))

    def action_step(self, by: int) -> None:
        old, self.cursor = self.cursor, max(0, min(self.cursor + by, len(self.choices) - 1))
        self.refresh_line(old)
        self.refresh_line(self.cursor)
        if self.choices:
            self.post_message(self.Moved(self.choices[self.cursor]))
        top, height = self.scroll_offset.y, self.size.height
        if self.cursor < top:
            self.scroll_to(y=self.cursor, animate=False, force=True)
        elif self.cursor >= top + height:
            self.scroll_to(y=self.cursor - height + 1, animate=False, force=True)

    def action_first(self) -> None:
        self.action_step(-len(self.choices))

    def action_last(self) -> None:
        self.action_step(len(self.choices))

    def action_choose(self) -> None:
        if self.cursor < len(self.choices):
            self.post_message(self.Chosen(self.choices[self.cursor]))

    def on_click(self, event: events.Click) -> None:
        index = event.y + self.scroll_offset.y
        if index < len(self.choices):
            self.action_step(index - self.cursor)
            self.action_choose()

    def render_line(self, y: int) -> Strip:
        index = y + self.scroll_offset.y
        width = self.scrollable_content_region.width
        if index >= len(self.choices):
            return self.strip((), width)
        choice = self.choices[index]
        line = choice.line if choice.why_not is None else tuple((text, "quiet") for text, _ in choice.line)
        return self.strip(cut(((" ", "text"), *line), width), width, "row--cursor" if index == self.cursor else "")
