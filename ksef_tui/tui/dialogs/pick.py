"""Choosing one thing: from a short menu, or from what is found while one types (the palette, the search)."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import ClassVar

from textual import on
from textual.binding import Binding, BindingType
from textual.timer import Timer
from textual.widget import Widget
from textual.widgets import Input

from ksef_tui.domain.text import fold
from ksef_tui.tui.dialogs.base import Dialog, Text
from ksef_tui.tui.dialogs.choices import Choice, Choices
from ksef_tui.tui.entries import Entry
from ksef_tui.tui.present import Line, wrap

Find = Callable[[str], Awaitable[Sequence[Choice]]]
MOST_CELLS = 70  # of a sentence, in the widest menu
PAUSE = 0.12  # seconds without a key before a search begins


class Pick(Dialog["str | None"]):
    """The id of what was chosen; None when a person went back."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape", "dismiss(None)", show=False)]

    def __init__(self, title: str, choices: Sequence[Choice], *, intro: Sequence[Line] = ()) -> None:
        super().__init__(title)
        self._choices = choices
        self._intro = intro

    def content(self) -> Sequence[Widget]:
        choices = Choices(self._choices)
        said = [piece for line in self._intro for piece in self._wrapped(line)]
        below = 2 if any(choice.about for choice in self._choices) else 0
        choices.styles.height = max(1, min(len(self._choices), self.app.size.height - 9 - len(said) - below))
        intro = (Text([*said, ()]),) if said else ()
        return (*intro, choices, Text(self._note(self._choices[0] if self._choices else None), id="note"))

    def _note(self, choice: Choice | None) -> list[Line]:
        keys: Line = (("Enter wybiera · Esc wraca", "dim"),)
        if choice is None or not any(one.about for one in self._choices):
            return [(), keys]
        lines = self._wrapped(((choice.about, "text"),))[:2]
        return [(), *lines, *([()] * (2 - len(lines))), keys]

    @on(Choices.Moved)
    def _moved(self, event: Choices.Moved) -> None:
        if any(one.about for one in self._choices):
            self.query_one("#note", Text).say(self._note(event.choice))

    def _wrapped(self, line: Line) -> list[Line]:
        """A sentence in as many lines as it takes; a line of several columns as it is."""
        if len(line) != 1:
            return [line]
        [(text, tone)] = line
        return [((piece, tone),) for piece in wrap(text, max(20, min(MOST_CELLS, self.app.size.width - 10)))]

    @on(Choices.Chosen)
    def _chosen(self, event: Choices.Chosen) -> None:
        if event.choice.why_not is not None:
            self.query_one("#note", Text).say([(), *self._wrapped(((event.choice.why_not, "wait"),))])
        else:
            self.dismiss(event.choice.id)


class Search(Pick):
    """The same with a line to type in; the arrows move in what was found while the line keeps the focus."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("down", "step(1)", show=False, priority=True),
        Binding("up", "step(-1)", show=False, priority=True),
        Binding("pagedown", "step(8)", show=False, priority=True),
        Binding("pageup", "step(-8)", show=False, priority=True),
    ]

    def __init__(self, title: str, find: Find, *, placeholder: str, failed: Callable[[Exception], None]) -> None:
        super().__init__(title, ())
        self._find = find
        self._placeholder = placeholder
        self._failed = failed
        self._pause: Timer | None = None

    def content(self) -> Sequence[Widget]:
        choices = Choices()
        choices.can_focus = False
        choices.styles.height = max(4, self.app.size.height - 12)
        note = Text([(), (("Enter wybiera · Esc wraca", "dim"),)], id="note")
        return (Entry(placeholder=self._placeholder), Text([()]), choices, note)

    def on_mount(self) -> None:
        self._look_up()

    def action_step(self, by: int) -> None:
        self.query_one(Choices).action_step(by)

    @on(Input.Changed)
    def _typed(self) -> None:
        if self._pause is not None:
            self._pause.stop()
        self._pause = self.set_timer(PAUSE, self._look_up)

    @on(Input.Submitted)
    def _submitted(self) -> None:
        self.query_one(Choices).action_choose()

    def _look_up(self) -> None:
        self.run_worker(self._fill(self.query_one(Input).value), group="find", exclusive=True, exit_on_error=False)

    async def _fill(self, text: str) -> None:
        try:
            found = await self._find(text)
        except Exception as error:
            self._failed(error)
            return
        self.query_one(Choices).offer(found)
        count = f"{len(found)} · " if found else "Nic nie znaleziono · "
        self.query_one("#note", Text).say([(), ((f"{count}Enter wybiera · Esc wraca", "dim"),)])


def matching(choices: Sequence[Choice], text: str) -> list[Choice]:
    """Choices in whose text every word is found."""
    words = fold(text).split()
    return [choice for choice in choices if all(word in fold(" ".join(t for t, _ in choice.line)) for word in words)]
