"""Invoices: inserted once, then moved from state to state; every move names the state it leaves."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from ksef_tui.domain.invoices import OCCUPIES_NUMBER, InvoiceState, may_move
from ksef_tui.domain.times import to_text
from ksef_tui.store.columns import assignments
from ksef_tui.store.database import Database

_COLUMNS = frozenset(
    {
        "reason_code", "reason", "mode", "channel", "send_after", "approved_by", "session_id", "ordinal", "reference",
        "attempts", "ksef_number", "original_session", "accepted_at", "upo", "upo_sha256", "upo_at", "replaced_by", "next_look",
        "urgent_at", "settled_at",
    }
)  # fmt: skip
_INSERTED = (
    "client_id", "sha256", "file", "size", "seller_nip", "number", "number_key", "kind", "issue_date", "buyer_nip", "buyer",
    "gross", "currency", "form_code", "attachment", "search", "state", "reason_code", "reason", "findings",
)  # fmt: skip


# Who approved invoice `v`, and who wanted to try it again, as the record of what happened says.
_LAST = (
    "(SELECT e.operator_id FROM invoice_event e WHERE e.invoice_id = v.id AND e.act = '{}' ORDER BY e.id DESC LIMIT 1)"
)
RECORDED = _LAST.format("approve")
TRIED_AGAIN_BY = _LAST.format("retry")


def insert(
    connection: sqlite3.Connection, now: datetime, operator_id: int | None, values: dict[str, Any], why: str = ""
) -> int:
    """A new invoice's id, with its first event, which may say `why` it came. sqlite3.IntegrityError when the client has
    these bytes already."""
    at = to_text(now)
    cursor = connection.execute(
        f"INSERT INTO invoice ({', '.join(_INSERTED)}, created_at, changed_at) "
        f"VALUES ({', '.join(':' + name for name in _INSERTED)}, :at, :at)",
        {**values, "at": at},
    )
    invoice_id = int(cursor.lastrowid or 0)
    said = why or values["reason"]
    _event(connection, at, invoice_id, "import", "", values["state"], operator_id, values["reason_code"], said)
    return invoice_id


def move(
    connection: sqlite3.Connection,
    now: datetime,
    invoice_id: int,
    act: str,
    old: InvoiceState,
    new: InvoiceState,
    *,
    operator_id: int | None = None,
    reason_code: str = "",
    reason: str = "",
    told: str = "",
    attempt: int | None = None,
    **values: Any,
) -> bool:
    """Take an invoice from `old` to `new`, with its event; False when it is not in `old` any more.

    With `attempt` it must also still be that attempt to send, so that a process that slept through a take-over
    cannot speak for another one's. `told` is said in its history alone: why an invoice that waits again does not go, the
    screens find out for themselves. Raises ValueError for a move that the table of the domain does not know.
    """
    if not may_move(act, old, new):
        raise ValueError(f"an invoice does not go from {old} to {new} by {act}")
    at = to_text(now)
    values = {"settled_at": None, **values, "reason_code": reason_code, "reason": reason}  # settled is where it stands
    changed = _update(connection, at, invoice_id, old, values, new, attempt)
    if changed:
        _event(connection, at, invoice_id, act, old, new, operator_id, reason_code, reason or told)
    return changed


def note(connection: sqlite3.Connection, now: datetime, invoice_id: int, state: InvoiceState, **values: Any) -> bool:
    """Write down what was learned without leaving `state`; False when it is not in that state any more."""
    return _update(connection, to_text(now), invoice_id, state, values, state, None)


def _update(
    connection: sqlite3.Connection,
    at: str,
    invoice_id: int,
    old: InvoiceState,
    values: dict[str, Any],
    new: InvoiceState,
    attempt: int | None,
) -> bool:
    columns = assignments(values, _COLUMNS, "state", "changed_at")
    cursor = connection.execute(
        f"UPDATE invoice SET {columns} WHERE id = ? AND state = ? AND attempts = ifnull(?, attempts)",
        (new, at, *values.values(), invoice_id, old, attempt),
    )
    return cursor.rowcount == 1


def _event(
    connection: sqlite3.Connection,
    at: str,
    invoice_id: int,
    act: str,
    old: str,
    new: str,
    operator_id: int | None,
    reason_code: str,
    reason: str,
) -> None:
    connection.execute(
        "INSERT INTO invoice_event (invoice_id, at, act, from_state, to_state, operator_id, reason_code, reason) "
        "VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        (invoice_id, at, act, old, new, operator_id, reason_code, reason),
    )


def get(db: Database, invoice_id: int) -> sqlite3.Row | None:
    """An invoice by id."""
    return db.row("SELECT * FROM invoice WHERE id = ?", (invoice_id,))


def by_bytes(db: Database, client_id: int, sha256: str) -> sqlite3.Row | None:
    """The client's invoice with exactly these bytes."""
    return db.row("SELECT * FROM invoice WHERE client_id = ? AND sha256 = ?", (client_id, sha256))


def occupying(db: Database, client_id: int, number_key: str, except_id: int = 0) -> sqlite3.Row | None:
    """Another invoice that has this seller's number already, whatever its kind (design §6 rule 2, F4)."""
    states = sorted(OCCUPIES_NUMBER)
    marks = ", ".join("?" for _ in states)
    return db.row(
        f"SELECT * FROM invoice WHERE client_id = ? AND number_key = ? AND id <> ? AND (state IN ({marks}) "
        "OR (state = 'rejected' AND reason_code = '440')) ORDER BY id LIMIT 1",
        (client_id, number_key, except_id, *states),
    )


def replaced_from(db: Database, invoice_id: int) -> sqlite3.Row | None:
    """The invoice whose place this one took."""
    return db.row("SELECT * FROM invoice WHERE replaced_by = ?", (invoice_id,))


def last_refusal(db: Database, invoice_id: int) -> sqlite3.Row | None:
    """The event with which KSeF refused it the last time: its `reason_code` and `reason`."""
    return db.row(
        "SELECT * FROM invoice_event WHERE invoice_id = ? AND to_state = 'rejected' AND act NOT IN ('look', 'decide') "
        "ORDER BY id DESC LIMIT 1",
        (invoice_id,),
    )


def looked_for(db: Database, client_id: int, now: datetime, limit: int) -> list[sqlite3.Row]:
    """A client's invoices that must be looked for in KSeF before another try, and whose look has come."""
    return db.rows(
        "SELECT * FROM invoice WHERE client_id = ? AND state = 'unknown' AND reason_code = 'retry' "
        "AND (next_look IS NULL OR next_look <= ?) ORDER BY id LIMIT ?",
        (client_id, to_text(now), limit),
    )


def clients_of(db: Database, ids: Sequence[int]) -> list[int]:
    """Whose invoices these are."""
    rows = db.rows(
        "SELECT DISTINCT client_id FROM invoice WHERE id IN (SELECT value FROM json_each(?)) ORDER BY client_id",
        (json.dumps(list(ids)),),
    )
    return [row[0] for row in rows]


def still_looked_for(db: Database, client_id: int, ids: Sequence[int]) -> bool:
    """Whether one of these invoices of a client is not found or given up yet."""
    return bool(
        db.value(
            "SELECT 1 FROM invoice WHERE client_id = ? AND state = 'unknown' AND reason_code = 'retry' "
            "AND id IN (SELECT value FROM json_each(?)) LIMIT 1",
            (client_id, json.dumps(list(ids))),
        )
    )


def events(db: Database, invoice_id: int) -> list[sqlite3.Row]:
    """What happened to an invoice, oldest first, with the login of who did it."""
    return db.rows(
        "SELECT e.*, o.login FROM invoice_event e LEFT JOIN operator o ON o.id = e.operator_id WHERE invoice_id = ? ORDER BY e.id",
        (invoice_id,),
    )


def ids_in_state(db: Database, state: InvoiceState, client_id: int | None = None) -> list[int]:
    """The ids in a state, oldest first; of one client or of all."""
    if client_id is None:
        found = db.rows("SELECT id FROM invoice WHERE state = ? ORDER BY id", (state,))
    else:
        found = db.rows("SELECT id FROM invoice WHERE client_id = ? AND state = ? ORDER BY id", (client_id, state))
    return [row[0] for row in found]


def in_states(db: Database, client_id: int, states: Sequence[InvoiceState]) -> list[sqlite3.Row]:
    """A client's invoices in these states, oldest first."""
    marks = ", ".join("?" for _ in states)
    return db.rows(
        f"SELECT * FROM invoice WHERE client_id = ? AND state IN ({marks}) ORDER BY id", (client_id, *states)
    )


def interrupted(db: Database, client_id: int) -> list[int]:
    """The ids of a client's invoices that are `sending` outside a package that is under way, oldest first."""
    rows = db.rows(
        "SELECT v.id FROM invoice v LEFT JOIN session s ON s.id = v.session_id WHERE v.client_id = ? AND v.state = 'sending' "
        "AND NOT (s.kind = 'batch' AND s.state IN ('opening', 'open', 'closing', 'closed')) ORDER BY v.id",
        (client_id,),
    )
    return [row[0] for row in rows]


def may_come_free(db: Database, client_id: int) -> bool:
    """Whether something of a client is on its way that its session alone decides: 440 and sessions of other subjects are
    settled by what KSeF holds, whatever session it came in."""
    return bool(
        db.value(
            "SELECT 1 FROM invoice WHERE client_id = ? AND state IN ('sending', 'unknown', 'processing') "
            "AND reason_code NOT IN ('440', 'insufficient-resource-access') LIMIT 1",
            (client_id,),
        )
    )


def _due(client_id: int, now: datetime, approved_by: int | None) -> tuple[str, tuple[int | str, ...]]:
    """Approved invoices of a client whose recall window has passed; of one operator's approval, which the record of what
    happened confirms, or of anybody's. A condition on `invoice v`, and its values."""
    whose = "v.approved_by IS NOT NULL" if approved_by is None else f"v.approved_by = ? AND {RECORDED} = ?"
    return (
        f"v.client_id = ? AND v.state = 'approved' AND (v.send_after IS NULL OR v.send_after <= ?) AND {whose}",
        (client_id, to_text(now), *(() if approved_by is None else (approved_by, approved_by))),
    )


def due_to_send(
    db: Database, client_id: int, now: datetime, limit: int, approved_by: int | None = None
) -> list[sqlite3.Row]:
    """What is due of a client, the urgent ones first, then the oldest."""
    due, values = _due(client_id, now, approved_by)
    return db.rows(
        f"SELECT v.* FROM invoice v WHERE {due} ORDER BY v.urgent_at IS NULL, v.id LIMIT ?",
        (*values, limit),
    )


def due_one_by_one(db: Database, client_id: int, now: datetime, approved_by: int | None = None) -> bool:
    """Whether any invoice of a client that is due may go without a package."""
    due, values = _due(client_id, now, approved_by)
    sql = f"SELECT 1 FROM invoice v WHERE {due} AND v.attachment = 0 LIMIT 1"
    return bool(db.value(sql, values))


def urgent_due(db: Database, client_id: int, now: datetime, approved_by: int | None = None) -> int:
    """How many invoices of a client were marked as urgent and may go one by one now."""
    due, values = _due(client_id, now, approved_by)
    sql = f"SELECT count(*) FROM invoice v WHERE {due} AND v.attachment = 0 AND v.urgent_at IS NOT NULL"
    found: int = db.value(sql, values)
    return found


def marked_urgent_since(db: Database, client_id: int, since: datetime) -> bool:
    """Whether a person has marked an invoice of this client since then."""
    return bool(
        db.value(
            "SELECT 1 FROM invoice WHERE client_id = ? AND state = 'approved' AND urgent_at > ? LIMIT 1",
            (client_id, to_text(since)),
        )
    )


def of_session(db: Database, session_id: int, states: Sequence[InvoiceState]) -> list[sqlite3.Row]:
    """The invoices meant for a session that are in one of `states`."""
    marks = ", ".join("?" for _ in states)
    return db.rows(
        f"SELECT * FROM invoice WHERE session_id = ? AND state IN ({marks}) ORDER BY ordinal",
        (session_id, *states),
    )


def without_upo(db: Database, client_id: int, now: datetime, limit: int) -> list[sqlite3.Row]:
    """Accepted invoices of a client whose UPO is still to be had and whose next look has come."""
    return db.rows(
        "SELECT * FROM invoice WHERE client_id = ? AND state = 'accepted' AND upo IN ('none', 'late') "
        "AND (next_look IS NULL OR next_look <= ?) ORDER BY id LIMIT ?",
        (client_id, to_text(now), limit),
    )
