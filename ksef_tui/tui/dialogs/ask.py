"""A question before something that cannot be undone: the safe answer has the focus, Enter and Escape are harmless."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import ClassVar

from textual import on
from textual.binding import Binding, BindingType
from textual.widget import Widget
from textual.widgets import Input

from ksef_tui.tui.dialogs.base import Dialog, Text
from ksef_tui.tui.dialogs.choices import Choice, Choices
from ksef_tui.tui.entries import Entry
from ksef_tui.tui.present import Line


class Ask(Dialog[bool]):
    """True only when a person went to the other answer, or typed the count where that is asked for."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "dismiss(False)", show=False),
        Binding("tab,shift+tab", "turn", show=False),
    ]

    def __init__(
        self,
        title: str,
        body: Callable[[int], Sequence[Line]],
        *,
        yes: str,
        no: str = "Nie, wróć",
        typed: str = "",
        production: bool = False,
    ) -> None:
        super().__init__(title, production=production)
        self._body = body
        self._yes, self._no, self._typed = yes, no, typed

    def content(self) -> Sequence[Widget]:
        text = Text([*self._body(self.inner_width), ()])
        if self._typed:
            note = Text([((f"Aby potwierdzić, wpisz liczbę: {self._typed}. Esc wraca bez zmian.", "key"),)], id="note")
            return (text, note, Entry(id="typed", max_length=12))
        choices = Choices([Choice("no", ((self._no, "text"),)), Choice("yes", ((self._yes, "text"),))])
        choices.styles.height = 2
        return (text, choices)

    def action_turn(self) -> None:
        """Tab goes to the other answer, as in other programs; from an answer that is typed it goes nowhere."""
        for choices in self.query(Choices):
            choices.action_step(-1 if choices.cursor else 1)

    @on(Choices.Chosen)
    def _chosen(self, event: Choices.Chosen) -> None:
        self.dismiss(event.choice.id == "yes")

    @on(Input.Submitted)
    def _submitted(self, event: Input.Submitted) -> None:
        if event.value.strip() == self._typed:
            self.dismiss(True)
        elif event.value.strip():
            self.query_one("#note", Text).say(
                [((f"To nie jest {self._typed}. Wpisz dokładnie tę liczbę albo Esc.", "bad"),)]
            )
