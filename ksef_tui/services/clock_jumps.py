"""Somebody set the clock, or it was wrong after a boot: what waits goes on waiting for as long as it would have.

Otherwise a day back would hold invoices, closings and limits for a day, and an hour forward would cut short the time in
which an approval can be recalled, and forget the calls that KSeF still counts.
"""

from __future__ import annotations

from ksef_tui.services.office import Office
from ksef_tui.store import clocks, leases
from ksef_tui.store.records import audit

TOLERANCE = 2.0  # seconds: less is a correction of the running clock


class Watch:
    """Looks at the two clocks for one process; a look costs microseconds while nothing has jumped."""

    def __init__(self, office: Office) -> None:
        self._office = office
        self._distance: float | None = None

    def jumped(self) -> bool:
        """Whether the wall clock jumped since the last look of this process. What waits in the database has been moved
        by whoever saw it first. Raises Problem."""
        now = _distance(self._office)
        if self._distance is not None and abs(now - self._distance) <= TOLERANCE:
            return False
        first, self._distance = self._distance is None, now
        return settle(self._office) or not first


def settle(office: Office) -> bool:
    """Move what waits when the clock has jumped since anybody looked; whether it had. Before anything that will wait is
    written, so that nothing written by the new clock is moved."""
    boot, now = leases.boot_id(), _distance(office)
    seen = clocks.known(office.db)
    if seen is not None and seen[0] == boot and abs(now - seen[1]) <= TOLERANCE:
        return False
    with office.db.write() as connection:
        by = _jump(office, clocks.known(office.db), boot, now)
        clocks.note(connection, boot, now)
        if abs(by) <= TOLERANCE:
            return False
        clocks.shift(connection, by, office.clock().timestamp() - by)
        audit(connection, office.clock(), None, "clock.jumped", seconds=round(by))
    return True


def _jump(office: Office, seen: tuple[str, float] | None, boot: str, now: float) -> float:
    """By how many seconds the clock jumped. After a boot only a clock that is behind what was written gives itself away."""
    if seen is not None and seen[0] == boot:
        return now - seen[1]
    newest = clocks.newest_record(office.db)
    return 0.0 if newest is None else min(0.0, office.clock().timestamp() - newest)


def _distance(office: Office) -> float:
    return office.clock().timestamp() - office.since_boot()
