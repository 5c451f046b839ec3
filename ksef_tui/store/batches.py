"""Packages of batch sessions and their parts: what is to be uploaded where, and what already is."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from datetime import datetime

from ksef_tui.domain.times import to_text
from ksef_tui.store.database import Database


def insert(
    connection: sqlite3.Connection,
    session_id: int,
    *,
    compression: str,
    size: int,
    sha256_b64: str,
    parts: Iterable[tuple[int, int, str]],
) -> None:
    """A package that lies encrypted on the disk; `parts`: ordinal, size in bytes, SHA-256 (Base64)."""
    connection.execute("INSERT INTO batch VALUES (?, ?, ?, ?, NULL)", (session_id, compression, size, sha256_b64))
    connection.executemany(
        "INSERT INTO batch_part (session_id, ordinal, size, hash) VALUES (?, ?, ?, ?)",
        [(session_id, *part) for part in parts],
    )


def set_uploads(
    connection: sqlite3.Connection, session_id: int, until: datetime, uploads: dict[int, tuple[bytes, str]]
) -> None:
    """Where the parts go: by ordinal the sealed address and the headers (JSON); good until `until`."""
    connection.execute("UPDATE batch SET upload_until = ? WHERE session_id = ?", (to_text(until), session_id))
    connection.executemany(
        "UPDATE batch_part SET sealed_url = ?, headers = ? WHERE session_id = ? AND ordinal = ?",
        [(url, headers, session_id, ordinal) for ordinal, (url, headers) in uploads.items()],
    )


def set_uploaded(connection: sqlite3.Connection, session_id: int, ordinal: int | None, at: datetime | None) -> None:
    """A part (None: every part) is there since `at`, or must be sent again (None)."""
    connection.execute(
        "UPDATE batch_part SET uploaded_at = ? WHERE session_id = ? AND ordinal = ifnull(?, ordinal)",
        (to_text(at) if at else None, session_id, ordinal),
    )


def get(db: Database, session_id: int) -> sqlite3.Row | None:
    """The package of a session; None before it was packed."""
    return db.row("SELECT * FROM batch WHERE session_id = ?", (session_id,))


def parts(db: Database, session_id: int) -> list[sqlite3.Row]:
    """The parts of a session in their order."""
    return db.rows("SELECT * FROM batch_part WHERE session_id = ? ORDER BY ordinal", (session_id,))


def live(db: Database, client_id: int) -> list[sqlite3.Row]:
    """A client's batch sessions that are not over, oldest first."""
    return db.rows(
        "SELECT * FROM session WHERE client_id = ? AND kind = 'batch' AND state NOT IN ('finished', 'lost') ORDER BY id",
        (client_id,),
    )
