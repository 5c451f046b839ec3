"""What the sandbox remembers: one SQLite file in WAL mode, so that killing the process loses nothing it answered."""

from __future__ import annotations

import json
import secrets
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

_SCHEMA = """
CREATE TABLE IF NOT EXISTS meta (name TEXT PRIMARY KEY, value BLOB NOT NULL) STRICT;

CREATE TABLE IF NOT EXISTS public_key (
    id TEXT PRIMARY KEY, usage TEXT NOT NULL, certificate BLOB NOT NULL, private_key BLOB NOT NULL,
    valid_from INTEGER NOT NULL, valid_to INTEGER NOT NULL, withdrawn INTEGER NOT NULL DEFAULT 0) STRICT;

CREATE TABLE IF NOT EXISTS challenge (
    challenge TEXT PRIMARY KEY, created INTEGER NOT NULL, used INTEGER NOT NULL DEFAULT 0) STRICT;

CREATE TABLE IF NOT EXISTS authentication (
    ref TEXT PRIMARY KEY, created INTEGER NOT NULL, due INTEGER NOT NULL,
    context_type TEXT NOT NULL, context_value TEXT NOT NULL, subject_type TEXT NOT NULL, subject_value TEXT NOT NULL,
    method TEXT NOT NULL, token_ref TEXT, document_hash TEXT, ip_policy TEXT,
    code INTEGER NOT NULL, details TEXT NOT NULL,
    redeemed INTEGER NOT NULL DEFAULT 0, refreshed INTEGER, refresh_until INTEGER, revoked INTEGER) STRICT;
CREATE INDEX IF NOT EXISTS authentication_context ON authentication (context_value, created);

-- The subject of the certificate that a login was signed with.
CREATE TABLE IF NOT EXISTS signer (auth_ref TEXT PRIMARY KEY, names TEXT NOT NULL) STRICT;

CREATE TABLE IF NOT EXISTS authority (private_key BLOB NOT NULL, certificate BLOB NOT NULL) STRICT;
CREATE TABLE IF NOT EXISTS enrollment (
    ref TEXT PRIMARY KEY, subject_type TEXT NOT NULL, subject_value TEXT NOT NULL,
    requested INTEGER NOT NULL, due INTEGER NOT NULL, code INTEGER NOT NULL, details TEXT NOT NULL,
    serial TEXT) STRICT;
CREATE INDEX IF NOT EXISTS enrollment_subject ON enrollment (subject_value);
CREATE TABLE IF NOT EXISTS certificate (
    serial TEXT PRIMARY KEY, name TEXT NOT NULL, type TEXT NOT NULL, common_name TEXT NOT NULL,
    subject_type TEXT NOT NULL, subject_value TEXT NOT NULL, der BLOB NOT NULL, public_key TEXT NOT NULL,
    valid_from INTEGER NOT NULL, valid_to INTEGER NOT NULL, requested INTEGER NOT NULL, due INTEGER NOT NULL,
    used INTEGER, revoked INTEGER) STRICT;
CREATE INDEX IF NOT EXISTS certificate_subject ON certificate (subject_value);
CREATE INDEX IF NOT EXISTS certificate_key ON certificate (public_key);

CREATE TABLE IF NOT EXISTS token (
    ref TEXT PRIMARY KEY, secret_hash TEXT NOT NULL, context_type TEXT NOT NULL, context_value TEXT NOT NULL,
    author_type TEXT NOT NULL, author_value TEXT NOT NULL, description TEXT NOT NULL, permissions TEXT NOT NULL,
    created INTEGER NOT NULL, due INTEGER NOT NULL, used INTEGER, revoked INTEGER) STRICT;
CREATE INDEX IF NOT EXISTS token_context ON token (context_value, created);

CREATE TABLE IF NOT EXISTS permission (
    id TEXT PRIMARY KEY, kind TEXT NOT NULL, context_value TEXT NOT NULL,
    authorized_type TEXT NOT NULL, authorized_value TEXT NOT NULL, scope TEXT NOT NULL,
    can_delegate INTEGER NOT NULL DEFAULT 0, target_type TEXT, target_value TEXT,
    author_type TEXT NOT NULL, author_value TEXT, description TEXT NOT NULL, subject_details TEXT,
    starts INTEGER NOT NULL, revoked INTEGER) STRICT;
CREATE INDEX IF NOT EXISTS permission_context ON permission (context_value);
CREATE INDEX IF NOT EXISTS permission_authorized ON permission (authorized_value);

CREATE TABLE IF NOT EXISTS operation (
    ref TEXT PRIMARY KEY, context_value TEXT NOT NULL, created INTEGER NOT NULL, due INTEGER NOT NULL,
    code INTEGER NOT NULL, details TEXT NOT NULL) STRICT;

CREATE TABLE IF NOT EXISTS subject (
    nip TEXT PRIMARY KEY, type TEXT NOT NULL, parent TEXT, description TEXT NOT NULL, created INTEGER NOT NULL) STRICT;
CREATE TABLE IF NOT EXISTS person (
    nip TEXT PRIMARY KEY, pesel TEXT NOT NULL, bailiff INTEGER NOT NULL, deceased INTEGER NOT NULL,
    description TEXT NOT NULL, created INTEGER NOT NULL) STRICT;
CREATE INDEX IF NOT EXISTS person_pesel ON person (pesel);
CREATE TABLE IF NOT EXISTS attachment (nip TEXT PRIMARY KEY, revoked INTEGER) STRICT;
CREATE TABLE IF NOT EXISTS blocked (type TEXT NOT NULL, value TEXT NOT NULL, PRIMARY KEY (type, value)) STRICT;
-- Who is blocked wherever they log in: real KSeF does this by hand, and has no endpoint for it.
CREATE TABLE IF NOT EXISTS blocked_subject (
    type TEXT NOT NULL, value TEXT NOT NULL, PRIMARY KEY (type, value)) STRICT;
CREATE TABLE IF NOT EXISTS override (
    context TEXT NOT NULL, kind TEXT NOT NULL, value TEXT NOT NULL, PRIMARY KEY (context, kind)) STRICT;

CREATE TABLE IF NOT EXISTS session (
    ref TEXT PRIMARY KEY, kind TEXT NOT NULL, context_type TEXT NOT NULL, context_value TEXT NOT NULL,
    subject_type TEXT NOT NULL, subject_value TEXT NOT NULL, auth_ref TEXT NOT NULL,
    key BLOB, iv BLOB NOT NULL, checks_nip INTEGER NOT NULL,
    created INTEGER NOT NULL, updated INTEGER NOT NULL, due INTEGER NOT NULL, valid_until INTEGER NOT NULL,
    closed INTEGER, code INTEGER, invoices INTEGER NOT NULL DEFAULT 0) STRICT;
CREATE INDEX IF NOT EXISTS session_context ON session (context_value, created);
CREATE INDEX IF NOT EXISTS session_open ON session (due) WHERE code IS NULL;

CREATE TABLE IF NOT EXISTS batch (
    session_ref TEXT PRIMARY KEY, compression TEXT NOT NULL, size INTEGER NOT NULL, hash TEXT NOT NULL,
    offline INTEGER NOT NULL, upload_until INTEGER NOT NULL, unpacked INTEGER NOT NULL DEFAULT 0, details TEXT) STRICT;
CREATE TABLE IF NOT EXISTS batch_part (
    session_ref TEXT NOT NULL, ordinal INTEGER NOT NULL, size INTEGER NOT NULL, hash TEXT NOT NULL, received INTEGER,
    PRIMARY KEY (session_ref, ordinal)) STRICT, WITHOUT ROWID;

CREATE TABLE IF NOT EXISTS upo_page (
    ref TEXT PRIMARY KEY, session_ref TEXT NOT NULL, page INTEGER NOT NULL, pages INTEGER NOT NULL) STRICT;
CREATE INDEX IF NOT EXISTS upo_page_session ON upo_page (session_ref, page);

CREATE TABLE IF NOT EXISTS invoice (
    ref TEXT PRIMARY KEY, session_ref TEXT NOT NULL, ordinal INTEGER NOT NULL, file_name TEXT,
    hash TEXT NOT NULL, size INTEGER NOT NULL, content BLOB NOT NULL, offline INTEGER NOT NULL, corrected_hash TEXT,
    received INTEGER NOT NULL, invoicing INTEGER NOT NULL, due INTEGER NOT NULL,
    code INTEGER, details TEXT, extensions TEXT,
    number TEXT, kind TEXT, seller TEXT, issued TEXT, ksef_number TEXT, acquired INTEGER, stored INTEGER, mode TEXT,
    metadata TEXT) STRICT;
CREATE UNIQUE INDEX IF NOT EXISTS invoice_session ON invoice (session_ref, ordinal);
CREATE INDEX IF NOT EXISTS invoice_due ON invoice (due) WHERE code IS NULL;
CREATE INDEX IF NOT EXISTS invoice_waiting ON invoice (session_ref) WHERE code IS NULL;
CREATE INDEX IF NOT EXISTS invoice_result ON invoice (session_ref, code);
CREATE INDEX IF NOT EXISTS invoice_hash ON invoice (hash);
CREATE UNIQUE INDEX IF NOT EXISTS invoice_key ON invoice (seller, kind, number) WHERE ksef_number IS NOT NULL;
CREATE UNIQUE INDEX IF NOT EXISTS invoice_ksef_number ON invoice (ksef_number) WHERE ksef_number IS NOT NULL;

CREATE TABLE IF NOT EXISTS party (
    nip TEXT NOT NULL, role TEXT NOT NULL, invoice_ref TEXT NOT NULL,
    PRIMARY KEY (nip, role, invoice_ref)) STRICT, WITHOUT ROWID;
"""


class State:
    """One connection, used from the event loop only; every change is inside `transaction()`."""

    def __init__(self, path: Path) -> None:
        self._connection = sqlite3.connect(path, isolation_level=None)
        self._connection.row_factory = sqlite3.Row
        self._connection.execute("PRAGMA journal_mode = WAL")
        self._connection.execute("PRAGMA synchronous = NORMAL")
        self._connection.executescript(_SCHEMA)

    def close(self) -> None:
        """Give the file back."""
        self._connection.close()

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """All or nothing; nested use joins the outer one."""
        if self._connection.in_transaction:
            yield
            return
        self._connection.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            self._connection.execute("ROLLBACK")
            raise
        self._connection.execute("COMMIT")

    def rows(self, sql: str, *values: Any) -> list[sqlite3.Row]:
        """All rows of a query."""
        return self._connection.execute(sql, values).fetchall()

    def row(self, sql: str, *values: Any) -> sqlite3.Row | None:
        """The first row of a query."""
        found: sqlite3.Row | None = self._connection.execute(sql, values).fetchone()
        return found

    def value(self, sql: str, *values: Any) -> Any:
        """The first field of the first row; None without a row."""
        found = self.row(sql, *values)
        return None if found is None else found[0]

    def run(self, sql: str, *values: Any) -> int:
        """Change something; the number of rows that changed."""
        return self._connection.execute(sql, values).rowcount

    def insert(self, table: str, **fields: Any) -> None:
        """A new row; lists and dicts are kept as JSON. Raises sqlite3.IntegrityError when it exists."""
        values = [json.dumps(v, ensure_ascii=False) if isinstance(v, list | dict) else v for v in fields.values()]
        marks = ", ".join("?" * len(values))
        self._connection.execute(f"INSERT INTO {table} ({', '.join(fields)}) VALUES ({marks})", values)  # noqa: S608 names are our own

    def secret(self) -> bytes:
        """The key that signs tokens and URLs; made at the first start, kept with the data."""
        known = self.value("SELECT value FROM meta WHERE name = 'secret'")
        if known is None:
            known = secrets.token_bytes(32)
            self.insert("meta", name="secret", value=known)
        return bytes(known)
