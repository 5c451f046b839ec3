"""The bytes of invoices and receipts, by their SHA-256. Written with the row that needs them, never read by lists."""

from __future__ import annotations

import hashlib
import sqlite3

from ksef_tui.domain.problems import Problem
from ksef_tui.store.database import Database


def put(connection: sqlite3.Connection, data: bytes) -> str:
    """Keep the bytes; returns their SHA-256 in hex. The same bytes again change nothing."""
    sha256 = hashlib.sha256(data).hexdigest()
    connection.execute("INSERT INTO document VALUES (?, ?) ON CONFLICT DO NOTHING", (sha256, data))
    return sha256


def get(db: Database, sha256: str) -> bytes:
    """The bytes, proved to be those that were kept. Raises Problem("document_altered") when they are not (any more)."""
    data: bytes | None = db.value("SELECT bytes FROM document WHERE sha256 = ?", (sha256,))
    if data is None or hashlib.sha256(data).hexdigest() != sha256:
        raise Problem("document_altered", "Zapisany plik został zmieniony po imporcie – to nie jest już ten dokument.")
    return data
