"""Employees' rights: who they are, what KSeF listed last, and the orders to give and take back (domain/staff)."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable
from datetime import datetime
from typing import Any

from ksef_tui.domain.staff import ORDER_MOVES, OrderState, Subject
from ksef_tui.domain.times import to_text
from ksef_tui.store.columns import assignments
from ksef_tui.store.database import Database

_COLUMNS = frozenset({"reference", "reason_code", "reason", "sent_at"})
_PENDING = "state IN ('wanted', 'sent', 'unknown')"


def put_person(
    connection: sqlite3.Connection,
    subject: Subject,
    first_name: str,
    last_name: str,
    details: dict[str, Any] | None = None,
) -> int:
    """A person's id, new or known by the same number; names (and details, when given) are those of now."""
    connection.execute(
        "INSERT INTO staff_person (subject_type, subject_value, first_name, last_name, details) VALUES (?, ?, ?, ?, ?) "
        "ON CONFLICT (subject_type, subject_value) DO UPDATE SET first_name = excluded.first_name, "
        "last_name = excluded.last_name, details = CASE WHEN excluded.details = '{}' THEN details ELSE excluded.details END",
        (subject.kind, subject.value, first_name, last_name, json.dumps(details or {})),
    )
    row = connection.execute(
        "SELECT id FROM staff_person WHERE subject_type = ? AND subject_value = ?", (subject.kind, subject.value)
    ).fetchone()
    return int(row[0])


def person(db: Database, person_id: int) -> sqlite3.Row | None:
    """A person by id."""
    return db.row("SELECT * FROM staff_person WHERE id = ?", (person_id,))


def set_dismissed(connection: sqlite3.Connection, person_id: int, at: datetime | None, by: int | None) -> None:
    """The person has left, by an operator's decision, or works here again (None)."""
    connection.execute(
        "UPDATE staff_person SET dismissed_at = ?, dismissed_by = ? WHERE id = ?",
        (to_text(at) if at else None, by, person_id),
    )


def dismissed_with_rights(db: Database) -> list[sqlite3.Row]:
    """People who have left and still hold something, as listed last."""
    return db.rows(
        "SELECT * FROM staff_person p WHERE dismissed_by IS NOT NULL AND EXISTS (SELECT 1 FROM staff_grant WHERE person_id = p.id)"
    )


def people(db: Database) -> list[sqlite3.Row]:
    """Everybody with rights or an order under way, by name, with the operator whose certificate here is theirs."""
    return db.rows(
        "SELECT p.*, (SELECT o.name FROM identity i JOIN operator o ON o.id = i.operator_id WHERE i.subject_type = p.subject_type "
        "AND i.subject_value = p.subject_value ORDER BY i.id DESC LIMIT 1) AS operator FROM staff_person p "
        "WHERE EXISTS (SELECT 1 FROM staff_grant g WHERE g.person_id = p.id) "
        f"OR EXISTS (SELECT 1 FROM staff_order o WHERE o.person_id = p.id AND o.{_PENDING}) ORDER BY p.last_name, p.first_name, p.id"
    )


def grants(db: Database, person_id: int | None = None) -> list[sqlite3.Row]:
    """What the office gave, as listed last; to one person or to all."""
    return db.rows(
        "SELECT * FROM staff_grant WHERE :person IS NULL OR person_id = :person ORDER BY person_id, target_nip, scope DESC",
        {"person": person_id},
    )


def received(db: Database) -> list[sqlite3.Row]:
    """What clients gave the office, as listed last; `gone_at`: what is not listed any more."""
    return db.rows("SELECT * FROM staff_received ORDER BY nip")


def last_read(db: Database) -> sqlite3.Row | None:
    """When both lists were last read whole; None: never."""
    return db.row("SELECT * FROM staff_read")


def put_grants(
    connection: sqlite3.Connection, listed: Iterable[tuple[str, int, str, str, bool, datetime | None]]
) -> None:
    """What KSeF lists now (id, person, target, scope, works, since), in place of what it listed before."""
    connection.execute("DELETE FROM staff_grant")
    connection.executemany(
        "INSERT OR REPLACE INTO staff_grant VALUES (?, ?, ?, ?, ?, ?)",
        [
            (i, person_id, to, scope, int(works), to_text(at) if at else None)
            for i, person_id, to, scope, works, at in listed
        ],
    )


def put_received(connection: sqlite3.Connection, now: datetime, listed: dict[tuple[str, str], bool]) -> None:
    """What clients give the office now ((NIP, scope) → may be passed on); what is missing is kept with the day of it.

    An empty list deletes nothing (design §7); that it came is remembered.
    """
    known = {
        (row["nip"], row["scope"])
        for row in connection.execute("SELECT nip, scope FROM staff_received WHERE gone_at IS NULL")
    }
    if listed:
        gone = sorted(known - listed.keys())
        connection.executemany(
            "UPDATE staff_received SET gone_at = ? WHERE nip = ? AND scope = ?", [(to_text(now), *key) for key in gone]
        )
        connection.executemany(
            "INSERT INTO staff_received (nip, scope, can_delegate) VALUES (?, ?, ?) "
            "ON CONFLICT (nip, scope) DO UPDATE SET can_delegate = excluded.can_delegate, gone_at = NULL",
            [(nip, scope, int(delegable)) for (nip, scope), delegable in listed.items()],
        )
    connection.execute(
        "INSERT OR REPLACE INTO staff_read VALUES (1, ?, ?)", (to_text(now), int(bool(known) and not listed))
    )


def insert_order(connection: sqlite3.Connection, now: datetime, operator_id: int, act: str, **values: Any) -> int:
    """A new order in the office's own context: to `grant`, `revoke` or `read`; its id."""
    names = ["person_id", "target_nip", "scopes", "grant_id"]
    given = {name: values[name] for name in names if name in values}
    columns, marks = "".join(f", {name}" for name in given), ", ?" * len(given)
    cursor = connection.execute(
        f"INSERT INTO staff_order (client_id, act, state, asked_by, asked_at, changed_at{columns}) "
        f"VALUES ((SELECT id FROM client WHERE office = 1), ?, 'wanted', ?, ?, ?{marks})",
        (act, operator_id, to_text(now), to_text(now), *given.values()),
    )
    return int(cursor.lastrowid or 0)


def order(db: Database, order_id: int) -> sqlite3.Row:
    """An order by id. Raises KeyError."""
    row = db.row("SELECT * FROM staff_order WHERE id = ?", (order_id,))
    if row is None:
        raise KeyError(order_id)
    return row


def pending(db: Database) -> list[sqlite3.Row]:
    """The orders that are not settled, oldest first."""
    return db.rows(f"SELECT * FROM staff_order WHERE {_PENDING} ORDER BY id")


def orders(db: Database, limit: int) -> list[sqlite3.Row]:
    """Orders to give and take back, newest first, with the person and who asked. `limit` 0: all."""
    return db.rows(
        "SELECT s.*, p.first_name, p.last_name, o.login, c.name AS client_name FROM staff_order s "
        "JOIN staff_person p ON p.id = s.person_id JOIN operator o ON o.id = s.asked_by "
        "LEFT JOIN client c ON c.nip = s.target_nip WHERE s.act <> 'read' ORDER BY s.id DESC LIMIT ?",
        (limit or -1,),
    )


def last_failed_read(db: Database) -> str:
    """Why the last wish to read the lists was not met; empty when it was, or when there is none."""
    row = db.row("SELECT state, reason FROM staff_order WHERE act = 'read' ORDER BY id DESC LIMIT 1")
    return row["reason"] if row is not None and row["state"] == OrderState.FAILED else ""


def move(
    connection: sqlite3.Connection,
    now: datetime,
    order_id: int,
    act: str,
    old: OrderState,
    new: OrderState,
    **values: Any,
) -> bool:
    """Take an order from `old` to `new`; False when it is not in `old` any more. Raises ValueError for an unknown move."""
    if new not in ORDER_MOVES[act].get(old, frozenset()):
        raise ValueError(f"an order does not go from {old} to {new} by {act}")
    return _update(connection, now, order_id, old, new, values)


def note(connection: sqlite3.Connection, now: datetime, order_id: int, state: OrderState, **values: Any) -> bool:
    """Write down how far it came without leaving `state`."""
    return _update(connection, now, order_id, state, state, values)


def _update(
    connection: sqlite3.Connection,
    now: datetime,
    order_id: int,
    old: OrderState,
    new: OrderState,
    values: dict[str, Any],
) -> bool:
    columns = assignments(values, _COLUMNS, "state", "changed_at")
    cursor = connection.execute(
        f"UPDATE staff_order SET {columns} WHERE id = ? AND state = ?",
        (new, to_text(now), *values.values(), order_id, old),
    )
    return cursor.rowcount == 1
