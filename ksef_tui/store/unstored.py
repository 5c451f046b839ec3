"""Invoices that have a KSeF number and were not yet seen stored for good (F17): a few rows for a few minutes."""

from __future__ import annotations

import sqlite3
from datetime import datetime

from ksef_tui.domain.times import to_text
from ksef_tui.store.database import Database


def put(
    connection: sqlite3.Connection, invoice_id: int, client_id: int, numbered_at: datetime, look_at: datetime
) -> None:
    """Keep that an invoice is to be looked for."""
    connection.execute(
        "INSERT OR IGNORE INTO unstored VALUES (?, ?, ?, ?)",
        (invoice_id, client_id, to_text(numbered_at), to_text(look_at)),
    )


def later(connection: sqlite3.Connection, invoice_id: int, look_at: datetime) -> None:
    """It is not there yet."""
    connection.execute("UPDATE unstored SET look_at = ? WHERE invoice_id = ?", (to_text(look_at), invoice_id))


def forget(connection: sqlite3.Connection, invoice_id: int) -> None:
    """It is stored, or nothing can be learned of it."""
    connection.execute("DELETE FROM unstored WHERE invoice_id = ?", (invoice_id,))


def due(db: Database, client_id: int, now: datetime) -> list[sqlite3.Row]:
    """The client's invoices to be looked for now, with the reference of the session that has them."""
    return db.rows(
        "SELECT v.*, u.numbered_at, CASE v.original_session WHEN '' THEN s.reference ELSE v.original_session END "
        "AS session_reference FROM unstored u JOIN invoice v ON v.id = u.invoice_id "
        "LEFT JOIN session s ON s.id = v.session_id WHERE u.client_id = ? AND v.client_id = u.client_id AND u.look_at <= ? "
        "ORDER BY v.id",
        (client_id, to_text(now)),
    )
