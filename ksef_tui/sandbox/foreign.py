"""Invoices that the taxpayer's own program has in KSeF already, a moment before ours is judged (F3, F4, F5, F10, F23)."""

from __future__ import annotations

import base64
import hashlib
import json
import sqlite3

from ksef_tui.sandbox.clock import HOUR, now_ms, warsaw_day
from ksef_tui.sandbox.document import Document
from ksef_tui.sandbox.numbers import ksef_number, reference
from ksef_tui.sandbox.web import Sandbox


def come_first(sandbox: Sandbox, row: sqlite3.Row, plain: bytes, document: Document) -> None:
    """While `sent_before` or `number_taken` is on: the same document, or another with this number, is there already.

    `number_taken` takes `kind`: then the other one is of that kind, and KSeF has nothing against both (F4).
    """
    if sandbox.faults.strike("sent_before") is not None:
        _put(sandbox, row, plain, document, document.kind)
    taken = sandbox.faults.strike("number_taken")
    if taken is not None:
        other = plain + b"<!-- inna -->"
        _put(sandbox, row, other, document, str(taken.params.get("kind", document.kind)))


def _put(sandbox: Sandbox, row: sqlite3.Row, content: bytes, document: Document, kind: str) -> None:
    state, now = sandbox.state, now_ms()
    if state.value(
        "SELECT 1 FROM invoice WHERE seller = ? AND kind = ? AND number = ? AND ksef_number IS NOT NULL",
        document.seller, kind, document.number,
    ):  # fmt: skip
        return
    ours = state.row("SELECT * FROM session WHERE ref = ?", row["session_ref"])
    if ours is None:
        raise LookupError(row["session_ref"])
    session, number = reference("SO"), reference("EE")
    state.insert(
        "session", ref=session, kind="Online", context_type=ours["context_type"], context_value=ours["context_value"],
        subject_type="Nip", subject_value=document.seller, auth_ref=ours["auth_ref"], key=None, iv=b"", checks_nip=0,
        created=now, updated=now, due=now, valid_until=now + 12 * HOUR, closed=now, code=200, invoices=1,
    )  # fmt: skip
    state.insert(
        "invoice", ref=number, session_ref=session, ordinal=1, size=len(content), content=content, offline=0,
        hash=base64.b64encode(hashlib.sha256(content).digest()).decode(), received=now, invoicing=now, due=now, code=200,
        details="[]", number=document.number, kind=kind, seller=document.seller, issued=document.issued.isoformat(),
        ksef_number=ksef_number(document.seller, warsaw_day(now)), acquired=now, stored=now, mode="Online",
        metadata=json.dumps(document.metadata(), ensure_ascii=False),
    )  # fmt: skip
    for nip, role in document.parties():
        state.insert("party", nip=nip, role=role, invoice_ref=number)
