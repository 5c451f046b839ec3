"""A letter on the whole screen, to be read, copied, saved and remembered as sent."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Literal

from textual.binding import Binding, BindingType
from textual.widget import Widget

from ksef_tui.tui.dialogs.base import Dialog, Text
from ksef_tui.tui.lines import LineView
from ksef_tui.tui.present import Line, clean, wrap

Wish = Literal["save", "sent"]


class Letter(Dialog["Wish | None"]):
    """What a person wants done with the letter; None when they went back. `sent`: it can be remembered as sent."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "dismiss(None)", show=False),
        Binding("y", "copy", show=False),
        Binding("s", "dismiss('save')", show=False),
        Binding("w", "sent", show=False),
    ]

    def __init__(self, title: str, text: str, *, sent: bool) -> None:
        super().__init__(title)
        self.add_class("-whole")
        self._text = text
        self._sent = sent

    def content(self) -> Sequence[Widget]:
        keys: list[tuple[str, str]] = [("y", "kopiuj"), ("s", "zapisz do pliku")]
        keys += [("w", "wysłano dzisiaj")] if self._sent else []
        line: Line = tuple(
            span for key, label in (*keys, ("Esc", "wróć")) for span in ((key, "key"), (f" {label}   ", "text"))
        )
        return (LineView(), Text([line], id="note"))

    def on_mount(self) -> None:
        view = self.query_one(LineView)
        view.focus()
        view.show(lambda width: lines_of(self._text, width))

    def action_copy(self) -> None:
        self.app.copy_to_clipboard(self._text)
        self.app.notify("Skopiowano pismo (gdy terminal na to pozwala).", markup=False)

    def action_sent(self) -> None:
        if self._sent:
            self.dismiss("sent")


def lines_of(text: str, width: int) -> list[Line]:
    """The letter's lines, the long ones broken under their own indent: from one on to the end of its paragraph the words
    flow, so that no line ends after a word or two."""
    lines: list[Line] = []
    rest = text.splitlines()
    while rest:
        line = rest.pop(0)
        words = line.lstrip(" ")
        indent = len(line) - len(words)
        if len(line) <= width:
            lines.append(((clean(line), "text"),))
            continue
        while not indent and rest and rest[0] and not rest[0].startswith(" "):
            words += " " + rest.pop(0)
        lines += [((" " * indent + piece, "text"),) for piece in wrap(words, max(10, width - indent))]
    return lines
