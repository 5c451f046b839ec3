"""Sending that a person stopped, for one client or for all; and clients that the worker leaves alone after a failure."""

from __future__ import annotations

import sqlite3
from datetime import datetime

from ksef_tui.domain.times import to_text
from ksef_tui.store.database import Database

_IN_FORCE = "SELECT p.*, o.login FROM pause p JOIN operator o ON o.id = p.operator_id WHERE p.ended_at IS NULL"


def of_all(db: Database) -> sqlite3.Row | None:
    """The pause of everything that is in force, with the `login` of who made it."""
    return db.row(f"{_IN_FORCE} AND p.client_id IS NULL")


def of_client(db: Database, client_id: int) -> sqlite3.Row | None:
    """The pause of this very client that is in force."""
    return db.row(f"{_IN_FORCE} AND p.client_id = ?", (client_id,))


def in_force(db: Database, client_id: int) -> sqlite3.Row | None:
    """What stops the sending of a client: the pause of everything, else its own."""
    return of_all(db) or of_client(db, client_id)


def of_clients(db: Database) -> list[sqlite3.Row]:
    """The pauses of single clients that are in force, oldest first."""
    return db.rows(f"{_IN_FORCE} AND p.client_id IS NOT NULL ORDER BY p.id")


def begin(connection: sqlite3.Connection, now: datetime, client_id: int | None, operator_id: int, why: str) -> bool:
    """Stop a client (None: everything); False when it is stopped already."""
    cursor = connection.execute(
        "INSERT INTO pause (client_id, at, operator_id, why) VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING",
        (client_id, to_text(now), operator_id, why),
    )
    return cursor.rowcount == 1


def end(connection: sqlite3.Connection, now: datetime, client_id: int | None, operator_id: int) -> bool:
    """Let a client (None: everything) go on; False when it was not stopped."""
    cursor = connection.execute(
        "UPDATE pause SET ended_at = ?, ended_by = ? WHERE client_id IS ? AND ended_at IS NULL",
        (to_text(now), operator_id, client_id),
    )
    return cursor.rowcount == 1


def put_rest(connection: sqlite3.Connection, client_id: int, until: datetime, reason: str) -> None:
    """The worker leaves a client alone until then."""
    connection.execute(
        "INSERT INTO client_rest VALUES (?, ?, ?) ON CONFLICT (client_id) "
        "DO UPDATE SET until = excluded.until, reason = excluded.reason",
        (client_id, to_text(until), reason),
    )


def end_rest(connection: sqlite3.Connection, client_id: int) -> None:
    """The worker serves the client again."""
    connection.execute("DELETE FROM client_rest WHERE client_id = ?", (client_id,))


def rest(db: Database, client_id: int, now: datetime) -> sqlite3.Row | None:
    """Until when the worker leaves the client alone, and why; None when it does not."""
    return db.row("SELECT * FROM client_rest WHERE client_id = ? AND until > ?", (client_id, to_text(now)))
