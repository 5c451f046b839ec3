"""How far the wall clock was from the clock that never jumps, and what moves with it when it is set.

Everybody's deadlines and windows are written by the wall clock. Its distance from CLOCK_BOOTTIME stays the same while
the machine runs, whatever time passes; when it changes, somebody has set the clock.
"""

from __future__ import annotations

import sqlite3

from ksef_tui.domain.times import from_text
from ksef_tui.store.database import Database

_LIVE = "state NOT IN ('finished', 'lost')"
_OF_LIVE = f"session_id IN (SELECT id FROM session WHERE {_LIVE})"
# What our own stopwatches wait for; never what KSeF or the law says ends at a moment.
_STOPWATCHES = (
    ("invoice", "send_after", "state = 'approved'"),
    ("invoice", "next_look", "next_look IS NOT NULL"),
    *(("session", column, _LIVE) for column in ("created_at", "used_at", "closed_at", "checked_at")),
    ("batch", "upload_until", _OF_LIVE),
    ("authorization", "retry_at", "retry_at IS NOT NULL"),
    ("identity_switch", "retry_at", "retry_at IS NOT NULL"),
    ("client_session", "end_at", "end_at IS NOT NULL"),
    ("client_rest", "until", "1"),
    ("probe", "due_at", "1"),
)
LONGEST_WINDOW = 7200.0  # seconds back that calls may count; the longest limit is an hour


def known(db: Database) -> tuple[str, float] | None:
    """The boot of the machine and the distance (seconds) as last seen; None at first."""
    row = db.row("SELECT boot_id, distance FROM clock")
    return None if row is None else (row["boot_id"], row["distance"])


def note(connection: sqlite3.Connection, boot: str, distance: float) -> None:
    """The distance from now on."""
    connection.execute("INSERT OR REPLACE INTO clock VALUES (1, ?, ?)", (boot, distance))


def newest_record(db: Database) -> float | None:
    """The latest moment that was written down (seconds since 1970)."""
    call = db.value("SELECT epoch FROM journal ORDER BY id DESC LIMIT 1")
    act = db.value("SELECT at FROM audit ORDER BY id DESC LIMIT 1")
    moments = [float(call)] if call is not None else []
    if act is not None:
        moments.append(from_text(act).timestamp())
    return max(moments, default=None)


def shift(connection: sqlite3.Connection, seconds: float, before: float) -> None:
    """Move what runs by our stopwatches with the clock that was set; `before`: what it said at this moment until then."""
    by = f"{seconds:+.3f} seconds"
    for table, column, which in _STOPWATCHES:
        connection.execute(
            f"UPDATE {table} SET {column} = strftime('%Y-%m-%dT%H:%M:%fZ', {column}, ?) WHERE {which} AND {column} IS NOT NULL",
            (by,),
        )
    connection.execute("UPDATE rate_block SET until_epoch = until_epoch + ?", (seconds,))
    connection.execute("UPDATE journal SET epoch = epoch + ? WHERE epoch > ?", (seconds, before - LONGEST_WINDOW))
