"""What is written down and never changed: the audit log of what people did, the journal of calls.

But for `journal.epoch`, by which calls are counted: it moves with a clock that was set (`store.clocks`); `at` stays.
"""

from __future__ import annotations

import json
import os
import sqlite3
from datetime import datetime
from typing import Any

from ksef_tui.domain.roles import Operator
from ksef_tui.domain.times import to_text
from ksef_tui.store.database import Database

ODD_ANSWER_CHARACTERS = 8192
LEFT = "auth.left"  # a login that could not be ended at KSeF
KEPT = "identity.kept"  # a certificate came into use: whose it is for good


def audit(
    connection: sqlite3.Connection,
    now: datetime,
    operator: Operator | None,
    act: str,
    *,
    client_id: int | None = None,
    invoice_id: int | None = None,
    **detail: Any,
) -> None:
    """One row for what a person did (None: the program itself), in the transaction that does it."""
    connection.execute(
        "INSERT INTO audit (at, operator_id, login, act, client_id, invoice_id, detail) VALUES (?, ?, ?, ?, ?, ?, ?)",
        (
            to_text(now),
            operator.id if operator else None,
            operator.login if operator else "",
            act,
            client_id,
            invoice_id,
            json.dumps(detail, ensure_ascii=False, default=str),
        ),
    )


def recorded_owner(db: Database, fingerprint: str, otherwise: int | None) -> int | None:
    """Whose personal certificate it was when it came into use; `otherwise` for one older than this record."""
    row = db.row(
        "SELECT json_extract(detail, '$.owner') AS owner FROM audit WHERE act = ? "
        "AND json_extract(detail, '$.fingerprint') = ? ORDER BY id DESC LIMIT 1",
        (KEPT, fingerprint),
    )
    return otherwise if row is None else row["owner"]


def call_started(
    connection: sqlite3.Connection,
    now: datetime,
    *,
    context: str,
    operation: str,
    method: str,
    path: str,
    limit_group: str,
    reference: str,
    invoice_id: int | None,
) -> int:
    """The first of a call's two rows, committed before the call; its id names the call. Never a secret, never a body."""
    cursor = connection.execute(
        "INSERT INTO journal (phase, at, epoch, pid, context, operation, method, path, limit_group, reference, invoice_id) "
        "VALUES ('started', ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            to_text(now),
            now.timestamp(),
            os.getpid(),
            context,
            operation,
            method,
            path,
            limit_group,
            reference,
            invoice_id,
        ),
    )
    return int(cursor.lastrowid or 0)


def call_ended(
    connection: sqlite3.Connection,
    now: datetime,
    call_id: int,
    *,
    kind: str,
    status: int | None,
    code: int | None,
    detail: str,
    reference: str,
    seconds: float,
) -> None:
    """The second row: what came of the call (`kind`: ok, refused, limited, unknown, unreachable)."""
    connection.execute(
        "INSERT INTO journal (call_id, phase, at, epoch, pid, context, operation, method, path, limit_group, reference, "
        "invoice_id, kind, status, code, detail, seconds) SELECT id, 'ended', ?, ?, ?, context, operation, method, path, "
        "limit_group, CASE WHEN ? = '' THEN reference ELSE ? END, invoice_id, ?, ?, ?, ?, ? FROM journal WHERE id = ?",
        (
            to_text(now), now.timestamp(), os.getpid(), reference, reference, kind, status, code, detail[:1000], seconds, call_id,
        ),
    )  # fmt: skip


def keep_odd_answer(connection: sqlite3.Connection, now: datetime, call_id: int, body: str) -> None:
    """An answer that could not be parsed, masked by the caller, at most 8 kB."""
    connection.execute(
        "INSERT OR REPLACE INTO odd_answer VALUES (?, ?, ?)", (call_id, to_text(now), body[:ODD_ANSWER_CHARACTERS])
    )


def calls_since(
    db: Database, context: str | None, limit_group: str, since_epoch: float
) -> list[tuple[float, float | None]]:
    """When calls of a limit group started and were answered (None: they were not), oldest first, in seconds since 1970.
    `context` None: of every context."""
    which, args = (
        ("", [limit_group, since_epoch])
        if context is None
        else ("AND s.context = ?", [limit_group, since_epoch, context])
    )
    rows = db.rows(
        "SELECT s.epoch, (SELECT e.epoch FROM journal e WHERE e.call_id = s.id AND e.kind IN ('ok', 'refused', 'limited')) "
        f"FROM journal s WHERE s.phase = 'started' AND s.limit_group = ? AND s.epoch > ? {which} ORDER BY s.epoch",
        args,
    )
    return [(row[0], row[1]) for row in rows]


def logins_since(db: Database, context: str, since_epoch: float, after: str) -> set[str]:
    """KSeF's references of the logins that were begun in a context since then and after the login `after` (empty: all),
    but for those in the client's own name, which are followed by themselves."""
    rows = db.rows(
        "SELECT e.reference FROM journal s JOIN journal e ON e.call_id = s.id WHERE s.phase = 'started' "
        "AND s.context = :context AND s.limit_group = 'anonymous' AND s.epoch > :since "
        "AND s.operation IN ('auth.xades', 'auth.token') AND e.reference NOT IN ('', :after) "
        "AND e.id > ifnull((SELECT max(k.id) FROM journal k JOIN journal b ON b.id = k.call_id WHERE b.phase = 'started' "
        "AND b.context = :context AND b.limit_group = 'anonymous' AND b.epoch > :since AND k.reference = :after AND :after <> ''), 0) "
        "AND e.reference NOT IN (SELECT reference FROM client_session)",
        {"context": context, "since": since_epoch, "after": after},
    )
    return {row[0] for row in rows}


def logins_left(db: Database, client_id: int, since: datetime) -> set[str]:
    """References of the logins that could not be ended since then, for want of an answer."""
    rows = db.rows(
        "SELECT json_extract(detail, '$.reference') FROM audit WHERE client_id = ? AND act = ? AND at > ?",
        (client_id, LEFT, to_text(since)),
    )
    return {row[0] for row in rows}


def calls_of_invoice(db: Database, invoice_id: int) -> list[sqlite3.Row]:
    """The journal of one invoice, oldest first."""
    return db.rows("SELECT * FROM journal WHERE invoice_id = ? ORDER BY id", (invoice_id,))


def recent_outcomes(db: Database, since_epoch: float) -> dict[str, int]:
    """How the calls of the last minutes ended: kind → count (`other` contexts included)."""
    newest = db.value("SELECT max(id) FROM journal") or 0
    rows = db.rows(
        "SELECT kind, count(*) FROM journal WHERE id > ? AND phase = 'ended' AND epoch > ? GROUP BY kind",
        (newest - 400, since_epoch),
    )
    return {row[0]: row[1] for row in rows}


def newest_outcomes(db: Database, since_epoch: float, how_many: int) -> list[str]:
    """How the last calls of the last minutes ended, newest first."""
    newest = db.value("SELECT max(id) FROM journal") or 0
    rows = db.rows(
        "SELECT kind FROM journal WHERE id > ? AND phase = 'ended' AND epoch > ? ORDER BY id DESC LIMIT ?",
        (newest - 400, since_epoch, how_many),
    )
    return [row[0] for row in rows]


def acts_on_invoice(db: Database, invoice_id: int) -> list[sqlite3.Row]:
    """The audit rows of one invoice, oldest first."""
    return db.rows("SELECT * FROM audit WHERE invoice_id = ? ORDER BY id", (invoice_id,))
