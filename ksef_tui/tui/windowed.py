"""A list of any length: an array of ids, and only the rows of the visible window are read, drawn and repainted.

A `DataTable` takes 14 seconds for 100,000 rows; this takes as long for a million as for ten. The cursor stays on its row
when others come and go.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import ClassVar, Generic, Protocol, TypeVar

from textual import events
from textual.binding import Binding, BindingType
from textual.geometry import Region, Size
from textual.message import Message
from textual.scroll_view import ScrollView
from textual.strip import Strip

from ksef_tui.tui.lines import Toned, changed_cells
from ksef_tui.tui.present import Line

KEPT_ROWS = 400  # rows held in memory; the rest is read again when it comes into sight
MOST_MARKS = 200_000
NEARBY = 200  # how far from its old place a row is sought first


class HasId(Protocol):
    @property
    def id(self) -> int: ...


Row = TypeVar("Row", bound=HasId)


@dataclass(frozen=True, slots=True)
class Painted:
    """A row as it was drawn last."""

    line: Line
    marked: bool
    strip: Strip


class WindowList(Toned, ScrollView, Generic[Row], can_focus=True):
    """Rows of one kind, of which `read` fetches some and `paint` draws one (row, width, marked).

    The cursor lights the first `lit` cells of its row: what lies behind them keeps its colours, and need not be sent.
    With `follows` a cursor on the first row stays on whatever comes first while nobody works in the list.
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("up", "step(-1)", show=False),
        Binding("down", "step(1)", show=False),
        Binding("pageup", "page(-1)", show=False),
        Binding("pagedown", "page(1)", show=False),
        Binding("home", "edge(False)", show=False),
        Binding("end", "edge(True)", show=False),
    ]

    @dataclass
    class Moved(Message):
        """The cursor is on another row, or the row under it changed."""

        list: WindowList  # type: ignore[type-arg]  # a message does not care of which rows

        @property
        def control(self) -> WindowList:  # type: ignore[type-arg]
            return self.list

    @dataclass
    class Marked(Message):
        """The marks changed."""

        list: WindowList  # type: ignore[type-arg]

        @property
        def control(self) -> WindowList:  # type: ignore[type-arg]
            return self.list

    @dataclass
    class ReadFailed(Message):
        """Rows could not be read; they stay blank until the next change."""

        error: Exception

    def __init__(
        self,
        read: Callable[[list[int]], Mapping[int, Row]],
        paint: Callable[[Row, int, bool], Line],
        lit: Callable[[int], int] = lambda width: width,
        *,
        follows: bool = False,
        id: str | None = None,
    ) -> None:
        super().__init__(id=id)
        self._read = read
        self._paint = paint
        self._lit = lit
        self._follows = follows
        self.ids = array("q")
        self.whole = True  # else more rows follow when they have been read
        self.cursor = 0
        self.marks: set[int] = set()
        self.empty_lines: Sequence[Line] = ()
        self._anchor: int | None = None
        self._to_end = False  # the cursor goes to the end when the list is whole
        self._rows: dict[int, Row] = {}
        self._painted: dict[int, Painted] = {}  # by id: a step that scrolls paints one row, not the page

    # What is shown ------------------------------------------------------------------------------------------------

    @property
    def current_id(self) -> int | None:
        """The id under the cursor."""
        return self.ids[self.cursor] if self.cursor < len(self.ids) else None

    @property
    def current(self) -> Row | None:
        """The row under the cursor; read if need be."""
        if self.current_id is None:
            return None
        if self.current_id not in self._rows:
            self._fetch([self.current_id])
        return self._rows.get(self.current_id)

    @property
    def window(self) -> range:
        """Indexes of the rows on the screen."""
        top = self.scroll_offset.y
        return range(top, min(top + self.size.height, len(self.ids)))

    @property
    def row_width(self) -> int:
        """Cells of a row: what the scrollbar leaves; its place is kept free, so that rows do not jump."""
        return self.scrollable_content_region.width

    def visible_rows(self) -> list[Row]:
        """The rows on the screen that have been read."""
        return [self._rows[self.ids[index]] for index in self.window if self.ids[index] in self._rows]

    def set_ids(self, ids: array[int], *, from_top: bool = False, whole: bool = True) -> None:
        """Show another list. The cursor stays on its row; if that is gone, at its place. `from_top`: at the first.
        What is not `whole` is its beginning, and the rest follows."""
        self.whole = whole
        with self._other_rows(from_top) as keep:
            self.ids = ids
            self._anchor = None
            if whole:
                self._forget_marks(ids)
            if keep is not None:
                self.cursor = _place(ids, keep, self.cursor)
        if whole and self._to_end:
            self._move(len(ids) - 1)

    def amend(self, gone: Collection[int], came: Collection[int]) -> None:
        """Rows leave and come, in a list of falling ids: their places are found without looking through a million. The
        cursor stays on its row; if that is gone, at its place."""
        with self._other_rows(from_top=False) as keep:
            for one in gone:
                place = _falling(self.ids, one)
                if place < len(self.ids) and self.ids[place] == one:
                    del self.ids[place]
                    self._shift(place + 1, -1, keep is not None)
            for one in sorted(came):
                place = _falling(self.ids, one)
                if place == len(self.ids) or self.ids[place] != one:
                    self.ids.insert(place, one)
                    self._shift(place, 1, keep is not None)
            self.cursor = max(0, min(self.cursor, len(self.ids) - 1))
        if not self.marks.isdisjoint(gone):
            self.marks.difference_update(gone)
            self._marks_changed()

    def _shift(self, place: int, by: int, with_cursor: bool) -> None:
        """The rows from `place` on stand elsewhere now."""
        if with_cursor and self.cursor >= place:
            self.cursor += by
        if self._anchor is not None and self._anchor >= place:
            self._anchor += by

    @contextmanager
    def _other_rows(self, from_top: bool) -> Iterator[int | None]:
        """Around a change of `ids`, which is told the id that the cursor has to stay on: repaint what differs."""
        old_cursor, old_top, had = self.cursor, self.scroll_offset.y, len(self.ids)
        before = {index - old_top: self.ids[index] for index in self.window}
        current = self.current_id
        following = from_top or (self._follows and old_cursor == 0 and not self.has_focus)
        yield None if following else current
        ids = self.ids
        if following or current is None:
            self.cursor = 0
        self._tell_scrollbar()
        top = old_top
        if not following and (old_top or (old_cursor and self.has_focus)):
            top = self._stay(old_top + self.cursor - old_cursor)
        self._reveal()
        if not ids or not had:
            self.refresh()
        elif self.scroll_offset.y == top:
            lit = {old_cursor - old_top, self.cursor - top}
            for line in range(self.size.height):
                now = ids[top + line] if top + line < len(ids) else None
                if before.get(line) != now or (line in lit and len(lit) > 1):
                    self.refresh_line(top + line)
        if self.current_id != current:
            self.post_message(self.Moved(self))

    def _stay(self, top: int) -> int:
        """Begin the page at this row, without a repaint: its lines show what they did. Where it begins then."""
        top = max(0, min(top, len(self.ids) - self.size.height))
        self.set_reactive(WindowList.scroll_y, float(top))
        self.set_reactive(WindowList.scroll_target_y, float(top))
        if self.show_vertical_scrollbar:
            self.vertical_scrollbar.position = top
        return top

    def _tell_scrollbar(self) -> None:
        """The list is longer or shorter. Only a scrollbar that comes or goes needs a new layout, which would send the
        scrollbars of all lists again."""
        size = Size(self.row_width, len(self.ids))
        shown = bool(self.size.height)
        if shown and self.show_vertical_scrollbar != (size.height > self.size.height):
            self.virtual_size = size
            return
        self.set_reactive(WindowList.virtual_size, size)
        if shown and self.show_vertical_scrollbar:
            self.vertical_scrollbar.window_virtual_size = size.height

    def changed(self, ids: Collection[int] | None = None) -> None:
        """These rows (None: all) may have changed: read the visible ones again and repaint what differs."""
        touched = set(self._rows) if ids is None else set(ids)
        visible = [self.ids[index] for index in self.window]
        wanted = visible if ids is None else [one for one in visible if one in touched]
        if self.current_id in touched and self.current_id not in wanted:  # the keys go by it, on other panes too
            wanted = [*wanted, self.current_id]
        for one in touched.difference(wanted):
            self._painted.pop(one, None)
            if one != self.current_id:
                self._rows.pop(one, None)
        if wanted:
            before = self._rows.get(self.current_id) if self.current_id is not None else None
            self._fetch(wanted)
            self.redraw()
            if before != (self._rows.get(self.current_id) if self.current_id is not None else None):
                self.post_message(self.Moved(self))

    def redraw(self) -> None:
        """Draw the visible rows anew and repaint the cells that differ."""
        before, self._painted = self._painted, {}
        for index in self.window:
            one = self.ids[index]
            row, old = self._rows.get(one), before.get(one)
            if row is None or old is None:
                self.refresh_line(index)
                continue
            line = self._paint(row, self.row_width, one in self.marks)
            cells = changed_cells(old.line, line)
            if cells is None:
                self._painted[one] = replace(old, line=line, marked=one in self.marks)
            else:
                self.refresh(Region(cells[0], index - self.scroll_offset.y, cells[1] - cells[0], 1))

    def repaint(self) -> None:
        """Rows are painted in another way now."""
        self._painted.clear()
        self.refresh()

    def say_when_empty(self, lines: Sequence[Line]) -> None:
        """What stands here while the list is empty: what to do next."""
        if lines != self.empty_lines:
            self.empty_lines = lines
            if not self.ids:
                self.refresh()

    # Moving and marking -------------------------------------------------------------------------------------------

    def go_to(self, one: int) -> bool:
        """Put the cursor on the row with this id; False when it is not in the list."""
        index = _place(self.ids, one, self.cursor)
        if index < len(self.ids) and self.ids[index] == one:
            self._move(index)
            return True
        return False

    def action_step(self, by: int) -> None:
        self._move(self.cursor + by)

    def action_page(self, direction: int) -> None:
        self._move(self.cursor + direction * max(1, self.size.height - 1))

    def action_edge(self, last: bool) -> None:
        self._move(len(self.ids) - 1 if last else 0)
        self._to_end = last and not self.whole

    def _move(self, index: int) -> None:
        self._to_end = False
        index = max(0, min(index, len(self.ids) - 1))
        if index == self.cursor:
            return
        old, self.cursor = self.cursor, index
        self._refresh_lit(old)
        self._refresh_lit(index)
        self._reveal()
        self.post_message(self.Moved(self))

    def _reveal(self) -> None:
        height = self.size.height
        if height and self.cursor < self.scroll_offset.y:
            self.scroll_to(y=self.cursor, animate=False)
        elif height and self.cursor >= self.scroll_offset.y + height:
            self.scroll_to(y=self.cursor - height + 1, animate=False)

    def mark(self) -> None:
        """Mark or unmark the row under the cursor and go to the next."""
        if self.current_id is not None:
            self.marks ^= {self.current_id}
            self._marks_changed()
            self._move(self.cursor + 1)

    def mark_range(self) -> bool:
        """Begin a range here, or end it and mark what lies between. True when it began."""
        if self._anchor is None and self.ids:
            self._anchor = self.cursor
            return True
        if self._anchor is not None:
            low, high = sorted((self._anchor, self.cursor))
            self.marks |= set(self.ids[low : min(high + 1, low + MOST_MARKS)])
            self._anchor = None
            self._marks_changed()
        return False

    def mark_all(self) -> bool:
        """Mark all rows, or none when all are marked. False when there are too many."""
        if len(self.ids) > MOST_MARKS:
            return False
        everything = set(self.ids)
        self.marks = set() if self.marks == everything else everything
        self._marks_changed()
        return True

    def unmark(self) -> bool:
        """Take all marks away; False when there were none."""
        had = bool(self.marks) or self._anchor is not None
        self.marks, self._anchor = set(), None
        if had:
            self._marks_changed()
        return had

    def _forget_marks(self, ids: Sequence[int]) -> None:
        if self.marks and (left := self.marks.intersection(ids)) != self.marks:
            self.marks = left
            self._marks_changed()

    def _marks_changed(self) -> None:
        self.redraw()
        self.post_message(self.Marked(self))

    def on_click(self, event: events.Click) -> None:
        index = event.y + self.scroll_offset.y
        if index < len(self.ids):
            self._move(index)

    # Drawing ------------------------------------------------------------------------------------------------------

    def _fetch(self, ids: list[int]) -> None:
        if len(self._rows) > KEPT_ROWS:
            self._rows.clear()
            self._painted.clear()
        try:
            found = self._read(ids)
        except Exception as error:
            self.post_message(self.ReadFailed(error))
            return
        for one in ids:
            self._rows.pop(one, None)
        self._rows.update(found)

    def notify_style_update(self) -> None:
        """The theme or a class changed: forget what was drawn."""
        self._painted.clear()
        super().notify_style_update()

    def on_resize(self, event: events.Resize) -> None:
        self._painted.clear()
        self.virtual_size = Size(self.row_width, len(self.ids))
        self._reveal()

    def on_focus(self) -> None:
        self._refresh_lit(self.cursor)

    def on_blur(self) -> None:
        self._refresh_lit(self.cursor)

    def _refresh_lit(self, index: int) -> None:
        self.refresh(Region(0, index - self.scroll_offset.y, self._lit(self.row_width), 1))

    def render_line(self, y: int) -> Strip:
        width = self.row_width
        index = y + self.scroll_offset.y
        if index >= len(self.ids):
            empty = self.empty_lines if not self.ids else ()
            return self.strip(empty[y] if y < len(empty) else (), width)
        painted = self._painted_row(self.ids[index], width)
        if index != self.cursor:
            return painted.strip
        return self.strip(painted.line, width, "row--cursor" if self.has_focus else "row--resting", self._lit(width))

    def _painted_row(self, one: int, width: int) -> Painted:
        """The row as it stands on a line without the cursor."""
        marked = one in self.marks
        painted = self._painted.get(one)
        if painted is None or painted.marked != marked:
            if one not in self._rows:
                self._fetch([self.ids[i] for i in self.window if self.ids[i] not in self._rows])
            row = self._rows.get(one)
            line: Line = () if row is None else self._paint(row, width, marked)
            painted = Painted(line, marked, self.strip(line, width))
            if row is not None:
                self._keep(one, painted)
        return painted

    def _keep(self, one: int, painted: Painted) -> None:
        if len(self._painted) > 2 * self.size.height:
            near = {self.ids[index] for index in self.window}
            self._painted = {known: drawn for known, drawn in self._painted.items() if known in near}
        self._painted[one] = painted


def _falling(ids: Sequence[int], one: int) -> int:
    """Where `one` stands, or would stand, among falling ids."""
    return bisect_left(ids, -one, key=lambda other: -other)


def _place(ids: Sequence[int], one: int, old: int) -> int:
    """Where `one` is now, looking near its old place first; the old place when it is gone."""
    low = max(0, old - NEARBY)
    near = ids[low : old + NEARBY]
    for offset, candidate in enumerate(near):
        if candidate == one:
            return low + offset
    try:
        return ids.index(one)
    except ValueError:
        return max(0, min(old, len(ids) - 1))
