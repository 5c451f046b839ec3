"""What KSeF has under the number of an invoice that it refused as a duplicate of other bytes."""

from __future__ import annotations

import sqlite3
from datetime import datetime
from typing import Any

from ksef_tui.domain.times import to_text
from ksef_tui.store.columns import assignments
from ksef_tui.store.database import Database

_COLUMNS = frozenset({"ksef_number", "document_sha256", "wanted", "missing", "next_look"})


def put(connection: sqlite3.Connection, invoice_id: int, **values: Any) -> None:
    """Write down what was learned of the original, which is still to be read unless `wanted` is 0; what is not named stays."""
    connection.execute("INSERT INTO collision (invoice_id) VALUES (?) ON CONFLICT DO NOTHING", (invoice_id,))
    values = {"wanted": 1, **values}
    connection.execute(
        f"UPDATE collision SET {assignments(values, _COLUMNS)} WHERE invoice_id = ?",
        (*values.values(), invoice_id),
    )


def get(db: Database, invoice_id: int) -> sqlite3.Row | None:
    """What is known of the original of an invoice."""
    return db.row("SELECT * FROM collision WHERE invoice_id = ?", (invoice_id,))


def due(db: Database, client_id: int, now: datetime, limit: int) -> list[sqlite3.Row]:
    """A client's refused invoices whose original is still to be read, oldest first."""
    return db.rows(
        "SELECT v.*, c.ksef_number AS original FROM collision c "
        "JOIN invoice v ON v.id = c.invoice_id WHERE c.wanted = 1 AND v.client_id = ? AND v.state = 'rejected' "
        "AND (c.next_look IS NULL OR c.next_look <= ?) ORDER BY v.id LIMIT ?",
        (client_id, to_text(now), limit),
    )
