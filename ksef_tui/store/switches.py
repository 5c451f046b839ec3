"""Wishes to change the identity of a client: one row for each client that has one (design §7, F23)."""

from __future__ import annotations

import sqlite3
from datetime import datetime
from typing import Any

from ksef_tui.domain.times import to_text
from ksef_tui.store.columns import assignments
from ksef_tui.store.database import Database

_COLUMNS = frozenset({"phase", "attempts", "retry_at", "sealed_replaced"})


def get(db: Database, client_id: int) -> sqlite3.Row | None:
    """A client's wish with the new identity's label and subject; None when there is none."""
    return db.row(
        "SELECT w.*, i.label, i.subject_type || ':' || i.subject_value AS subject, i.valid_to, i.removed_at "
        "FROM identity_switch w JOIN identity i ON i.id = w.identity_id WHERE w.client_id = ?",
        (client_id,),
    )


def put(
    connection: sqlite3.Connection, now: datetime, client_id: int, *, identity_id: int, operator_id: int, forced: bool
) -> None:
    """A new wish in place of an earlier one."""
    connection.execute(
        "INSERT OR REPLACE INTO identity_switch (client_id, identity_id, operator_id, asked_at, forced) VALUES (?, ?, ?, ?, ?)",
        (client_id, identity_id, operator_id, to_text(now), int(forced)),
    )


def note(connection: sqlite3.Connection, client_id: int, identity_id: int, **values: Any) -> bool:
    """Write down how far the change to this identity has come; False when another wish, or none, is in its place."""
    columns = assignments(values, _COLUMNS)
    cursor = connection.execute(
        f"UPDATE identity_switch SET {columns} WHERE client_id = ? AND identity_id = ?",
        (*values.values(), client_id, identity_id),
    )
    return cursor.rowcount == 1


def delete(connection: sqlite3.Connection, client_id: int) -> bool:
    """Forget a client's wish; False when there was none."""
    return connection.execute("DELETE FROM identity_switch WHERE client_id = ?", (client_id,)).rowcount == 1


def forget(connection: sqlite3.Connection, client_id: int) -> None:
    """Forget a client's wish, unless it has come true and only the old login is still to be ended at KSeF (F32)."""
    connection.execute("DELETE FROM identity_switch WHERE client_id = ? AND phase <> 'ending'", (client_id,))


def client_ids(db: Database) -> list[int]:
    """The clients that have one."""
    return [row[0] for row in db.rows("SELECT client_id FROM identity_switch ORDER BY client_id")]
