"""What is being done for many clients, followed from the database: at most one look a second, and only after a change."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from ksef_tui.services import views
from ksef_tui.tui.desk import Desk
from ksef_tui.tui.present import Line, width_of

if TYPE_CHECKING:
    from ksef_tui.services.bulk import Progress


class RunWatch:
    """The runs under way, and the last one that ended here until somebody has looked at it.

    `changed` hears that there is something else to show; `ended` hears of each run of this operator that is over.
    """

    def __init__(self, desk: Desk, changed: Callable[[], None], ended: Callable[[Progress], None]) -> None:
        self._desk = desk
        self._changed = changed
        self._ended = ended
        self._stale = True
        self.open: list[Progress] = []
        self.last: Progress | None = None  # over, and not looked at yet
        self.ran = False  # there was one since this screen began
        self.watched = False  # somebody looks at how it stands: its end need not be told

    def touch(self) -> None:
        """The database has changed."""
        self._stale = True

    def look(self) -> None:
        """Read how the runs stand, if anything changed. Without a run this is one look into an empty index."""
        if not self._stale:
            return
        self._stale = False
        if not self.open and not views.runs_are_open(self._desk.office, self._desk.operator):
            return
        from ksef_tui.services import bulk  # late: a start without a run needs none of it

        before, self.open = self.open, bulk.open_progress(self._desk.office, self._desk.operator)
        over = {one.run_id for one in before} - {one.run_id for one in self.open}
        self.ran = True
        for run_id in sorted(over):
            self.last = bulk.progress(self._desk.office, self._desk.operator, run_id)
            if self.last.operator_id == self._desk.operator.id and not self.watched:
                self._ended(self.last)
        if before != self.open:
            self._changed()

    def seen(self) -> None:
        """Somebody looked at how it ended."""
        self.last = None
        self._changed()

    def line(self, room: int) -> Line:
        """How it stands, as much of it as there is room for; empty when there is nothing to tell."""
        if self.open:
            first, more = self.open[0], len(self.open) - 1
            also: Line = ((f" +{more}", "busy"),) if more else ()
            said = (first.sentence, first.short)
            tone = "wait" if first.silent else "busy"
        elif self.last is not None:
            also = ((" · F5", "key"),)
            said = (self.last.sentence, self.last.short)
            tone = "bad" if self.last.attention else "good"
        else:
            return ()
        lines: list[Line] = [((text, tone), *also) for text in said]
        return next((line for line in lines if width_of(line) <= room), lines[-1])
