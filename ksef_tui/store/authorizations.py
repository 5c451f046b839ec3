"""Authorisations: one row for each client; every change of state names the state it leaves."""

from __future__ import annotations

import sqlite3
from datetime import datetime
from typing import Any

from ksef_tui.domain.authorizations import AuthState, may_become
from ksef_tui.domain.times import to_text
from ksef_tui.store.columns import assignments
from ksef_tui.store.database import Database

_COLUMNS = frozenset(
    {
        "method", "identity_id", "intent", "step", "step_failed", "reason_code", "reason", "rights",
        "can_delegate", "subject", "context_nip", "reference", "sealed_operation", "sealed_token", "sealed_refresh",
        "refresh_until", "sealed_access", "access_until", "fallback", "retry_at", "requested_at", "checked_at", "valid_until",
        "withdrawn_at",
    }
)  # fmt: skip


def get(db: Database, client_id: int) -> sqlite3.Row:
    """A client's authorisation. Raises KeyError for an unknown client."""
    row = db.row("SELECT * FROM authorization WHERE client_id = ?", (client_id,))
    if row is None:
        raise KeyError(client_id)
    return row


def move(
    connection: sqlite3.Connection,
    now: datetime,
    client_id: int,
    act: str,
    old: AuthState,
    new: AuthState,
    *,
    operator_id: int | None = None,
    **values: Any,
) -> bool:
    """Take an authorisation from `old` to `new`, with its event; False when it is not in `old` any more.

    Raises ValueError for a move that the table of the domain does not know.
    """
    if not may_become(act, old, new):
        raise ValueError(f"an authorisation does not go from {old} to {new} by {act}")
    changed = _update(connection, now, client_id, "state = ?", (old,), {**values}, new)
    if changed:
        connection.execute(
            "INSERT INTO authorization_event (client_id, at, act, from_state, to_state, operator_id, reason_code, reason) "
            "VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            (
                client_id,
                to_text(now),
                act,
                old,
                new,
                operator_id,
                str(values.get("reason_code", "")),
                str(values.get("reason", "")),
            ),
        )
    return changed


def note(connection: sqlite3.Connection, now: datetime, client_id: int, state: AuthState, **values: Any) -> bool:
    """Write down what was learned without leaving `state`; False when it is not in that state any more."""
    return _update(connection, now, client_id, "state = ?", (state,), values, state)


def _update(
    connection: sqlite3.Connection,
    now: datetime,
    client_id: int,
    where: str,
    where_args: tuple[Any, ...],
    values: dict[str, Any],
    new: AuthState,
) -> bool:
    columns = assignments(values, _COLUMNS, "state", "changed_at")
    cursor = connection.execute(
        f"UPDATE authorization SET {columns} WHERE client_id = ? AND {where}",
        (new, to_text(now), *values.values(), client_id, *where_args),
    )
    return cursor.rowcount == 1


def working_by(db: Database, subject_type: str, subject_value: str) -> list[sqlite3.Row]:
    """Logins that stand by a certificate of this subject which may still be used, and of which nothing is asked now."""
    return db.rows(
        "SELECT a.client_id, a.state, a.rights, c.nip, c.office FROM authorization a "
        "JOIN client c ON c.id = a.client_id JOIN identity i ON i.id = a.identity_id "
        "WHERE a.method = 'certificate' AND a.state IN ('active', 'expiring', 'read_only') AND a.intent = '' "
        "AND i.subject_type = ? AND i.subject_value = ? AND i.operator_id IS NULL AND i.removed_at IS NULL "
        "AND i.revoked_at IS NULL AND i.stopped_at IS NULL AND c.archived_at IS NULL",
        (subject_type, subject_value),
    )


def with_intent(db: Database) -> list[sqlite3.Row]:
    """Clients for which somebody asked something that a worker must do, oldest first."""
    return db.rows("SELECT client_id, intent, retry_at FROM authorization WHERE intent <> '' ORDER BY changed_at")


def events(db: Database, client_id: int) -> list[sqlite3.Row]:
    """What happened to a client's authorisation, oldest first."""
    return db.rows("SELECT * FROM authorization_event WHERE client_id = ? ORDER BY id", (client_id,))
