"""KSeF's rate limits as last read, and blocks still running: shared by all processes."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from datetime import datetime

from ksef_tui.domain.times import to_text
from ksef_tui.store.database import Database

_ANNOUNCED = " (own)"  # behind the name of a group: we wait by our own counting


def put_limits(
    connection: sqlite3.Connection, now: datetime, context: str, limits: Mapping[str, tuple[int, int, int]]
) -> None:
    """Keep a context's limits: group → (per second, per minute, per hour); -1 is unlimited."""
    for group, (second, minute, hour) in limits.items():
        connection.execute(
            "INSERT OR REPLACE INTO rate_limit VALUES (?, ?, ?, ?, ?, ?)",
            (context, group, second, minute, hour, to_text(now)),
        )


def of_context(db: Database, context: str) -> dict[str, tuple[int, int, int]]:
    """A context's limits as last read: group → (per second, per minute, per hour)."""
    rows = db.rows("SELECT limit_group, per_second, per_minute, per_hour FROM rate_limit WHERE context = ?", (context,))
    return {row[0]: (row[1], row[2], row[3]) for row in rows}


def read_at(db: Database, context: str) -> str | None:
    """When a context's limits were last read."""
    value: str | None = db.value("SELECT max(read_at) FROM rate_limit WHERE context = ?", (context,))
    return value


def doubt(connection: sqlite3.Connection, context: str) -> None:
    """A context's limits are to be read again; those that are known stand until then."""
    connection.execute("UPDATE rate_limit SET read_at = '1970-01-01T00:00:00.000Z' WHERE context = ?", (context,))


def block(connection: sqlite3.Connection, context: str, group: str, until_epoch: float) -> None:
    """Remember KSeF's `Retry-After`: nothing of the group goes out before `until_epoch` (seconds since 1970)."""
    connection.execute(
        "INSERT INTO rate_block VALUES (?, ?, ?) ON CONFLICT (context, limit_group) "
        "DO UPDATE SET until_epoch = max(until_epoch, excluded.until_epoch)",
        (context, group, until_epoch),
    )


def blocked_until(db: Database, context: str, group: str) -> float:
    """Until when the group is blocked (seconds since 1970); 0 when it is not."""
    value = db.value("SELECT until_epoch FROM rate_block WHERE context = ? AND limit_group = ?", (context, group))
    return float(value or 0)


def announce(connection: sqlite3.Connection, context: str, group: str, until_epoch: float) -> None:
    """Say on the screens until when we ourselves wait for a limit. It shuts no door: a call for which room was kept (the
    closing of what is open) may still go out."""
    connection.execute(
        "INSERT OR REPLACE INTO rate_block VALUES (?, ?, ?)", (context, f"{group}{_ANNOUNCED}", until_epoch)
    )


def closed_until(db: Database, context: str, group: str) -> float:
    """Until when nothing of the group will go out, by KSeF's word or by our own counting (seconds since 1970)."""
    return max(blocked_until(db, context, group), blocked_until(db, context, f"{group}{_ANNOUNCED}"))
