"""When each client was last asked about by the program itself, and when it may be asked again. One row for each client,
apart from the authorisation: a look that finds nothing new changes nothing on the screens."""

from __future__ import annotations

import sqlite3
from datetime import datetime

from ksef_tui.domain.times import to_text
from ksef_tui.store.database import Database


def newest(db: Database) -> str | None:
    """When the last probe of any client began."""
    found: str | None = db.value("SELECT max(started_at) FROM probe")
    return found


def candidates(db: Database) -> list[sqlite3.Row]:
    """Clients with a way to log in that nothing is asked of now, with what decides whether they are looked at."""
    return db.rows(
        "SELECT a.client_id, c.nip, a.state, a.method, a.reason_code, a.valid_until, a.refresh_until, a.checked_at, "
        "a.changed_at, a.identity_id, i.subject_type, i.operator_id, i.removed_at, i.revoked_at, i.stopped_at, i.valid_to, "
        "p.due_at FROM authorization a JOIN client c ON c.id = a.client_id LEFT JOIN identity i ON i.id = a.identity_id "
        "LEFT JOIN probe p ON p.client_id = a.client_id "
        "WHERE a.method IS NOT NULL AND a.intent = '' AND c.archived_at IS NULL"
    )


def start(connection: sqlite3.Connection, client_id: int, now: datetime, due_at: datetime) -> None:
    """A probe begins; the next one is due at `due_at`."""
    connection.execute(
        "INSERT INTO probe (client_id, started_at, due_at) VALUES (?, ?, ?) "
        "ON CONFLICT (client_id) DO UPDATE SET started_at = excluded.started_at, due_at = excluded.due_at",
        (client_id, to_text(now), to_text(due_at)),
    )


def put_off(connection: sqlite3.Connection, client_id: int, due_at: datetime) -> None:
    """Another look at another time."""
    connection.execute("UPDATE probe SET due_at = ? WHERE client_id = ?", (to_text(due_at), client_id))
