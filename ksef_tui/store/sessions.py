"""KSeF sessions of ours: written down before they are opened, followed until they are terminal."""

from __future__ import annotations

import sqlite3
from datetime import datetime
from typing import Any

from ksef_tui.domain.times import to_text
from ksef_tui.store.columns import assignments
from ksef_tui.store.database import Database

_COLUMNS = frozenset({"reference", "code", "reason", "used_at", "closed_at", "checked_at"})


def insert(connection: sqlite3.Connection, now: datetime, values: dict[str, Any]) -> int:
    """A session about to be opened; its id."""
    cursor = connection.execute(
        "INSERT INTO session (client_id, kind, state, context_nip, subject, form_code, seal_row, sealed_key, iv, created_at, used_at) "
        "VALUES (:client_id, :kind, 'opening', :context_nip, :subject, :form_code, :seal_row, :sealed_key, :iv, :at, :at)",
        {**values, "at": to_text(now)},
    )
    return int(cursor.lastrowid or 0)


def move(connection: sqlite3.Connection, session_id: int, old: str, new: str, **values: Any) -> bool:
    """Take a session from `old` to `new`; False when it is not in `old` any more."""
    columns = assignments(values, _COLUMNS, "state")
    cursor = connection.execute(
        f"UPDATE session SET {columns} WHERE id = ? AND state = ?",
        (new, *values.values(), session_id, old),
    )
    return cursor.rowcount == 1


def note(connection: sqlite3.Connection, session_id: int, **values: Any) -> None:
    """Write down what KSeF said of a session without leaving its state."""
    columns = assignments(values, _COLUMNS)
    connection.execute(f"UPDATE session SET {columns} WHERE id = ?", (*values.values(), session_id))


def get(db: Database, session_id: int) -> sqlite3.Row:
    """A session by id. Raises KeyError."""
    row = db.row("SELECT * FROM session WHERE id = ?", (session_id,))
    if row is None:
        raise KeyError(session_id)
    return row


def live(db: Database, client_id: int) -> list[sqlite3.Row]:
    """A client's sessions that are not over, oldest first."""
    return db.rows(
        "SELECT * FROM session WHERE client_id = ? AND state NOT IN ('finished', 'lost') ORDER BY id", (client_id,)
    )


def of_client(db: Database, client_id: int, limit: int) -> list[sqlite3.Row]:
    """A client's sessions with a reference, newest first."""
    return db.rows(
        "SELECT * FROM session WHERE client_id = ? AND reference <> '' ORDER BY id DESC LIMIT ?", (client_id, limit)
    )


def last_of_kind(db: Database, client_id: int, kind: str) -> sqlite3.Row | None:
    """A client's newest session of a kind, with the compression of its package."""
    return db.row(
        "SELECT s.*, b.compression FROM session s LEFT JOIN batch b ON b.session_id = s.id "
        "WHERE s.client_id = ? AND s.kind = ? ORDER BY s.id DESC LIMIT 1",
        (client_id, kind),
    )


def has_ended(db: Database, client_id: int, code: int, compression: str, since: datetime) -> bool:
    """Whether a package of a client, packed this way and opened after `since`, ended with this code."""
    return bool(
        db.value(
            "SELECT 1 FROM session s JOIN batch b ON b.session_id = s.id WHERE s.client_id = ? AND s.code = ? "
            "AND b.compression = ? AND s.created_at > ? LIMIT 1",
            (client_id, code, compression, to_text(since)),
        )
    )
