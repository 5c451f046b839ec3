"""What all dialogs share: a box with a title, lines of text, and Escape as the safe answer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Generic, TypeVar

from textual.app import ComposeResult
from textual.containers import Vertical
from textual.screen import ModalScreen
from textual.widget import Widget

from ksef_tui.tui.lines import TONE_CLASSES, Lines
from ksef_tui.tui.present import Line

T = TypeVar("T")


class Text(Lines):
    """Fixed lines, as high as they are many."""

    def __init__(self, lines: Sequence[Line], *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._build = lambda width: lines
        self.styles.height = max(1, len(lines))

    def say(self, lines: Sequence[Line]) -> None:
        """Other lines; the dialog grows or shrinks with them."""
        self.styles.height = max(1, len(lines))
        self.show(lambda width: lines)


class Dialog(ModalScreen[T], Generic[T]):
    """A box in the middle of the screen."""

    COMPONENT_CLASSES: ClassVar[set[str]] = set(TONE_CLASSES)
    WIDEST = 76

    def __init__(self, title: str, *, production: bool = False) -> None:
        super().__init__(classes="-production" if production else None)
        self._heading = title

    @property
    def inner_width(self) -> int:
        """Cells for text inside the box."""
        return max(20, min(self.WIDEST, self.app.size.width - 4) - 6)

    def on_mount(self) -> None:
        self.set_class(any(screen.query("#alarm.-on") for screen in self.app.screen_stack), "-alarmed")

    def compose(self) -> ComposeResult:
        with Vertical(id="box") as box:
            if not self.has_class("-whole"):
                box.styles.width = self.inner_width + 6
            yield Text([((self._heading, "strong"),), ()], id="heading")
            yield from self.content()

    def content(self) -> Sequence[Widget]:
        """The widgets below the title."""
        return ()
