"""Requests to log in that are signed elsewhere: one row for each client that has one under way."""

from __future__ import annotations

import sqlite3
from datetime import datetime
from typing import Any

from ksef_tui.domain.times import to_text
from ksef_tui.store.columns import assignments
from ksef_tui.store.database import Database

_COLUMNS = frozenset({"sealed_signed", "submitted_at", "reference", "sealed_operation"})


def get(db: Database, client_id: int) -> sqlite3.Row | None:
    """A client's request; None when there is none."""
    return db.row("SELECT * FROM signature_request WHERE client_id = ?", (client_id,))


def put(
    connection: sqlite3.Connection, client_id: int, *, challenge: str, valid_until: datetime, document: bytes
) -> None:
    """A new request in place of an earlier one, whatever became of that."""
    connection.execute(
        "INSERT OR REPLACE INTO signature_request (client_id, challenge, valid_until, document) VALUES (?, ?, ?, ?)",
        (client_id, challenge, to_text(valid_until), document),
    )


def note(connection: sqlite3.Connection, client_id: int, challenge: str, **values: Any) -> bool:
    """Write down how far the request with this challenge has come; False when another one is in its place."""
    columns = assignments(values, _COLUMNS)
    cursor = connection.execute(
        f"UPDATE signature_request SET {columns} WHERE client_id = ? AND challenge = ?",
        (*values.values(), client_id, challenge),
    )
    return cursor.rowcount == 1


def delete(connection: sqlite3.Connection, client_id: int) -> None:
    """Forget a client's request."""
    connection.execute("DELETE FROM signature_request WHERE client_id = ?", (client_id,))
