"""Ends of service: one row for each client that the office serves no more."""

from __future__ import annotations

import sqlite3
from datetime import datetime

from ksef_tui.domain.times import to_text
from ksef_tui.store.database import Database


def get(db: Database, client_id: int) -> sqlite3.Row | None:
    """The end of a client's service; None while it is served."""
    return db.row("SELECT * FROM service_end WHERE client_id = ?", (client_id,))


def put(connection: sqlite3.Connection, now: datetime, client_id: int, method: str | None) -> None:
    """The service ends now; `method` is the way in which the office was authorised."""
    connection.execute(
        "INSERT OR REPLACE INTO service_end (client_id, ended_at, method) VALUES (?, ?, ?)",
        (client_id, to_text(now), method),
    )


def seen(connection: sqlite3.Connection, now: datetime, client_id: int, *, gone: bool) -> None:
    """What a login found: whether the client has taken the office's rights back."""
    connection.execute(
        "UPDATE service_end SET gone = ?, seen_at = ? WHERE client_id = ?", (int(gone), to_text(now), client_id)
    )


def delete(connection: sqlite3.Connection, client_id: int) -> None:
    """The client is served again."""
    connection.execute("DELETE FROM service_end WHERE client_id = ?", (client_id,))
