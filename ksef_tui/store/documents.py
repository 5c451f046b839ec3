"""The bytes of invoices and receipts, by their SHA-256. Written with the row that needs them, never read by lists."""

from __future__ import annotations

import hashlib
import sqlite3

from ksef_tui.store.database import Database


def put(connection: sqlite3.Connection, data: bytes) -> str:
    """Keep the bytes; returns their SHA-256 in hex. The same bytes again change nothing."""
    sha256 = hashlib.sha256(data).hexdigest()
    connection.execute("INSERT INTO document VALUES (?, ?) ON CONFLICT DO NOTHING", (sha256, data))
    return sha256


def get(db: Database, sha256: str) -> bytes:
    """The bytes, proved to be those that were kept. Raises ValueError when they are not, KeyError when absent."""
    data: bytes | None = db.value("SELECT bytes FROM document WHERE sha256 = ?", (sha256,))
    if data is None:
        raise KeyError(sha256)
    if hashlib.sha256(data).hexdigest() != sha256:
        raise ValueError(f"the document {sha256} has been altered")
    return data
