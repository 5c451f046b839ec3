"""The line of keys at the bottom. Each key is a widget of its own, because Textual resends a line from the left edge of
the widget in which something changed."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from textual import events
from textual.widget import Widget

from ksef_tui.tui.lines import Lines
from ksef_tui.tui.present import Line

Cell = tuple[int, Line]  # how many cells it takes, and what stands in them


class Keys(Widget):
    """Cells beside each other; their number and widths follow from the pane and the width of the window."""

    def __init__(self, build: Callable[[int], Sequence[Cell]]) -> None:
        super().__init__()
        self._build = build
        self._cells: list[Lines] = []

    def renew(self) -> None:
        """Build again and repaint the cells that differ."""
        if not self.is_mounted or not self.app.size.width:
            return
        built = self._build(self.app.size.width)
        more = [Lines() for _ in built[len(self._cells) :]]
        for index, cell in enumerate([*self._cells, *more]):
            width, line = built[index] if index < len(built) else (0, ())
            cell.take(width, line)
        if more:
            self._cells += more
            self.mount(*more)

    def on_mount(self) -> None:
        self.renew()

    def on_resize(self, event: events.Resize) -> None:
        self.renew()
