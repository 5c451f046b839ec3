"""KSeF certificates that the office orders and revokes: how far each order and each revocation has come."""

from __future__ import annotations

import sqlite3
from datetime import datetime
from typing import Any

from ksef_tui.domain.times import to_text
from ksef_tui.store.columns import assignments
from ksef_tui.store.database import Database

LIVE = ("asked", "ready", "sending", "waiting", "issued")  # an order that is not at its end

_COLUMNS = frozenset(
    {
        "reason_code", "reason", "subject_type", "subject_value", "seal_row", "sealed_key", "request", "left_before",
        "reference", "serial", "certificate", "identity_id", "submitted_at", "valid_to",
    }
)  # fmt: skip


def insert(connection: sqlite3.Connection, now: datetime, values: dict[str, object]) -> int:
    """A new order, `asked`; sqlite3.IntegrityError when one with that label is under way."""
    names = ("client_id", "operator_id", "renews", "name", "label", "type")
    cursor = connection.execute(
        f"INSERT INTO enrolment ({', '.join(names)}, state, created_at, changed_at) "
        f"VALUES ({', '.join(':' + n for n in names)}, 'asked', :now, :now)",
        {**values, "now": to_text(now)},
    )
    return int(cursor.lastrowid or 0)


def get(db: Database, enrolment_id: int) -> sqlite3.Row:
    """An order. Raises KeyError."""
    row = db.row("SELECT * FROM enrolment WHERE id = ?", (enrolment_id,))
    if row is None:
        raise KeyError(enrolment_id)
    return row


def move(connection: sqlite3.Connection, now: datetime, enrolment_id: int, old: str, new: str, **values: Any) -> bool:
    """Take an order from `old` to `new`; False when it is not in `old` any more."""
    columns = assignments(values, _COLUMNS, "state", "changed_at")
    cursor = connection.execute(
        f"UPDATE enrolment SET {columns} WHERE id = ? AND state = ?",
        (new, to_text(now), *values.values(), enrolment_id, old),
    )
    return cursor.rowcount == 1


def live(db: Database, client_id: int | None = None) -> list[sqlite3.Row]:
    """The orders under way (of one client's context), oldest first."""
    marks = ", ".join("?" * len(LIVE))
    return db.rows(
        f"SELECT * FROM enrolment WHERE state IN ({marks}) AND (? IS NULL OR client_id = ?) ORDER BY id",
        (*LIVE, client_id, client_id),
    )


def newest(db: Database) -> list[sqlite3.Row]:
    """All orders, newest first."""
    return db.rows("SELECT * FROM enrolment ORDER BY id DESC")


def offline(db: Database) -> list[sqlite3.Row]:
    """The certificates for QR codes that the office holds: never an identity, so none can log in with them."""
    return db.rows("SELECT * FROM enrolment WHERE type = 'Offline' AND state = 'done' ORDER BY label")


def insert_revocation(connection: sqlite3.Connection, now: datetime, values: dict[str, object]) -> int:
    """A certificate to revoke: `asked`, or `unused` (as soon as nobody uses it)."""
    names = ("client_id", "identity_id", "enrolment_id", "serial", "reason", "operator_id", "state")
    cursor = connection.execute(
        f"INSERT INTO revocation ({', '.join(names)}, created_at) VALUES ({', '.join(':' + n for n in names)}, :now)",
        {**values, "now": to_text(now)},
    )
    return int(cursor.lastrowid or 0)


def revocation(db: Database, revocation_id: int) -> sqlite3.Row:
    """A revocation. Raises KeyError."""
    row = db.row("SELECT * FROM revocation WHERE id = ?", (revocation_id,))
    if row is None:
        raise KeyError(revocation_id)
    return row


def revocations(db: Database, client_id: int | None = None) -> list[sqlite3.Row]:
    """What is to be revoked (by a login in one client's context), oldest first."""
    return db.rows(
        "SELECT * FROM revocation WHERE state IN ('asked', 'unused') AND (? IS NULL OR client_id = ?) ORDER BY id",
        (client_id, client_id),
    )


def end_revocation(
    connection: sqlite3.Connection, now: datetime, revocation_id: int, state: str, message: str = ""
) -> None:
    """A revocation came to `done` or `failed`."""
    connection.execute(
        "UPDATE revocation SET state = ?, message = ?, ended_at = ? WHERE id = ?",
        (state, message, to_text(now), revocation_id),
    )


def users(db: Database, identity_id: int) -> list[int]:
    """The clients whose authorisation is made with an identity, or would fall back to it."""
    rows = db.rows(
        "SELECT client_id FROM authorization WHERE identity_id = :one "
        "OR (fallback IS NOT NULL AND json_extract(fallback, '$.identity_id') = :one) ORDER BY client_id",
        {"one": identity_id},
    )
    return [row[0] for row in rows]
