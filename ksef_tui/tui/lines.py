"""Widgets made of lines: they repaint only the cells that changed, because over SSH every byte is waited for."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from rich.cells import cell_len
from rich.segment import Segment
from rich.style import Style
from textual import events
from textual.geometry import Region, Size
from textual.scroll_view import ScrollView
from textual.strip import Strip
from textual.widget import Widget

from ksef_tui.tui.present import ASCII, TONES, Line

Build = Callable[[int], Sequence[Line]]  # from the width in cells to the lines


def changed_cells(old: Line, new: Line) -> tuple[int, int] | None:
    """First and one past the last cell in which two lines differ; None when they are alike."""
    if old == new:
        return None
    before = [(char, tone) for text, tone in old for char in text]
    after = [(char, tone) for text, tone in new for char in text]
    if any(cell_len(char) != 1 for char, _ in (*before, *after)):
        return 0, max(len(before), len(after)) * 2
    longest = max(len(before), len(after))
    before += [(" ", "")] * (longest - len(before))
    after += [(" ", "")] * (longest - len(after))
    different = [index for index, pair in enumerate(zip(before, after, strict=True)) if pair[0] != pair[1]]
    return (different[0], different[-1] + 1) if different else None


# The tones belong to the screen: on each widget they would be twenty nodes more to style whenever anything changes.
TONE_CLASSES = frozenset({f"tone--{tone}" for tone in TONES} | {"row--cursor", "row--resting"})


class Toned(Widget):
    """Turns tones into styles of the theme, and lines into strips. Its screen has the `TONE_CLASSES`."""

    def __init__(self, *, id: str | None = None, classes: str | None = None) -> None:
        super().__init__(id=id, classes=classes)
        self._tones: dict[tuple[str, str], Style] = {}

    def notify_style_update(self) -> None:
        """The theme or a class changed: forget the styles."""
        self._tones.clear()
        super().notify_style_update()

    def tone(self, name: str, row: str = "") -> Style:
        """The style of a tone, on a plain line or on one under the cursor."""
        style = self._tones.get((name, row))
        if style is None:
            style = self.rich_style + self.screen.get_component_rich_style(f"tone--{name}", partial=True)
            if row:
                style += Style(bgcolor=self.screen.get_component_rich_style(row).bgcolor)
            self._tones[name, row] = style
        return style

    def strip(self, line: Line, width: int, row: str = "", lit: int | None = None) -> Strip:
        """The line as exactly `width` cells; `row` is the style of a line under the cursor, for its first `lit` cells."""
        plain = self.app.has_class("-ascii")
        segments: list[Segment] = []
        at = 0
        for text, tone in line:
            under = row if lit is None or at < lit else ""
            segments.append(Segment(text.translate(ASCII) if plain else text, self.tone(tone, under)))
            at += cell_len(text)
        return Strip(segments).adjust_cell_length(width, self.tone("text", row if lit is None else "")).simplify()


class Lines(Toned):
    """A few lines without scrolling: header, footer, edges, the authorisation pane."""

    def __init__(self, *, id: str | None = None, classes: str | None = None) -> None:
        super().__init__(id=id, classes=classes)
        self._build: Build = lambda width: ()
        self.lines: list[Line] = []

    def show(self, build: Build) -> None:
        """Show what `build` makes for the width; it is asked again when the width changes."""
        self._build = build
        self.renew()

    def take(self, width: int, line: Line) -> None:
        """Show one line in so many cells; none: nothing."""
        if self.styles.width is None or self.styles.width.value != width:
            self.styles.width = width
        self.show(lambda _: (line,))

    def renew(self) -> None:
        """Build again and repaint the cells that differ."""
        width = self.size.width
        if not width:
            return
        old, self.lines = self.lines, list(self._build(width))
        for y in range(max(len(old), len(self.lines))):
            before = old[y] if y < len(old) else ()
            after = self.lines[y] if y < len(self.lines) else ()
            cells = changed_cells(before, after)
            if cells is not None:
                self.refresh(Region(cells[0], y, cells[1] - cells[0], 1))

    def on_resize(self, event: events.Resize) -> None:
        self.renew()

    def render_line(self, y: int) -> Strip:
        return self.strip(self.lines[y] if y < len(self.lines) else (), self.size.width)


class LineView(Toned, ScrollView, can_focus=True):
    """Many lines with scrolling: details, help, results. Only the visible ones are drawn."""

    def __init__(self, *, id: str | None = None, classes: str | None = None) -> None:
        super().__init__(id=id, classes=classes)
        self._build: Build = lambda width: ()
        self.lines: list[Line] = []

    def show(self, build: Build, *, stay: bool = False) -> None:
        """Show what `build` makes for the width: from the top, or where a person reads (`stay`)."""
        self._build = build
        if not stay:
            self.scroll_to(y=0, animate=False)
        self._renew()

    def _renew(self) -> None:
        width = self.scrollable_content_region.width
        if width:
            self.lines = list(self._build(width))
            self.virtual_size = Size(width, len(self.lines))
            self.refresh()

    def on_resize(self, event: events.Resize) -> None:
        self._renew()

    def render_line(self, y: int) -> Strip:
        index = y + self.scroll_offset.y
        width = self.scrollable_content_region.width
        return self.strip(self.lines[index] if index < len(self.lines) else (), width)
