"""440 is a question, not an answer: is the original that KSeF has this very document? (design §6 rule 5; F3, F5, F8)

Looked for by hash in our own sessions, then in the metadata query, then by downloading the original. The same hash:
accepted with the original's number. Another hash: the number is taken, a person must decide. No right to look: it
stays unknown and says which right is missing.
"""

from __future__ import annotations

import sqlite3
from datetime import UTC, date, datetime, time, timedelta
from typing import TYPE_CHECKING, Any

from ksef_tui.domain.invoices import InvoiceState, UpoState
from ksef_tui.domain.times import to_text
from ksef_tui.ksef.api import Access
from ksef_tui.ksef.crypto import hash_b64, sha256_b64
from ksef_tui.ksef.errors import Refused
from ksef_tui.services import login
from ksef_tui.services.outcomes import accept
from ksef_tui.store import invoices, sessions

if TYPE_CHECKING:
    from ksef_tui.ksef.models import InvoiceMetadata, SessionInvoice
    from ksef_tui.services.turn import Turn

S = InvoiceState
DUPLICATE = 440
OWN_SESSIONS_SEARCHED = 20
ISSUE_WINDOW = timedelta(days=45)  # around the date of issue; a query takes at most 90 days
ASK_AGAIN = timedelta(minutes=10)
CHECKING = "KSeF zna już ten numer – sprawdzam, czy to ta sama faktura"


def ask(turn: Turn, row: sqlite3.Row, item: SessionInvoice) -> None:
    """KSeF refused the invoice as a duplicate: keep what it says of the original and start looking."""
    state = S(row["state"])
    values: dict[str, Any] = {
        "reason_code": str(DUPLICATE),
        "reason": CHECKING,
        "reference": item.reference_number,
        "original_session": item.status.original_session,
        "ksef_number": item.status.original_ksef_number,
        "next_look": None,
    }
    with turn.office.db.write() as connection:
        if state is S.UNKNOWN:
            invoices.note(connection, turn.now, row["id"], state, **values)
        else:
            invoices.move(connection, turn.now, row["id"], "track", state, S.UNKNOWN, attempt=row["attempts"], **values)
    turn.come_back(0)


async def settle(turn: Turn) -> None:
    """Answer the open questions of this client that are due."""
    rows = turn.office.db.rows(
        "SELECT * FROM invoice WHERE client_id = ? AND state = 'unknown' AND reason_code = '440' "
        "AND (next_look IS NULL OR next_look <= ?) ORDER BY id LIMIT 20",
        (turn.client_id, to_text(turn.now)),
    )
    for row in rows:
        access = await login.access_for(turn)
        turn.doing.invoice_id = row["id"]
        try:
            await _settle_one(turn, access, row)
        finally:
            turn.doing.invoice_id = None


async def _settle_one(turn: Turn, access: Access, row: sqlite3.Row) -> None:
    wanted = hash_b64(row["sha256"])
    own = await _in_our_sessions(turn, access, row, wanted)
    if own is not None:
        session, item = own
        accept(
            turn,
            row,
            "settle",
            item.ksef_number,
            item.invoicing_mode,
            reference=item.reference_number,
            original_session=session,
        )
        return
    try:
        number, found = await in_ksef(turn, access, row)
    except Refused as refused:
        _still_unknown(turn, row, refused)
        return
    if found is None:
        _look_later(turn, row, CHECKING)
    elif found == wanted:
        elsewhere = _session_of_original(turn, row)
        accept(
            turn, row, "settle", number, row["mode"].capitalize(),
            reference=row["reference"], original_session=elsewhere,
            upo=UpoState.NONE if elsewhere else UpoState.UNAVAILABLE,
        )  # fmt: skip
    else:
        reason = f"numer {row['number']} ma już w KSeF inna faktura ({number}) – popraw numer i zaimportuj nowy plik"
        with turn.office.db.write() as connection:
            invoices.move(
                connection, turn.now, row["id"], "settle", S.UNKNOWN, S.REJECTED,
                attempt=row["attempts"], reason_code=str(DUPLICATE), reason=reason, ksef_number="",
            )  # fmt: skip


def _session_of_original(turn: Turn, row: sqlite3.Row) -> str:
    """The session that 440 named, unless it is the refused copy's own (F8); then nobody knows it."""
    refused_in = turn.office.db.value("SELECT reference FROM session WHERE id = ?", (row["session_id"],)) or ""
    return "" if row["original_session"] == refused_in else str(row["original_session"])


async def _in_our_sessions(
    turn: Turn, access: Access, row: sqlite3.Row, wanted: str
) -> tuple[str, SessionInvoice] | None:
    """An accepted invoice with this hash in a session of ours. What 440 names is tried first, but not believed (F8)."""
    refused_in = turn.office.db.value("SELECT reference FROM session WHERE id = ?", (row["session_id"],)) or ""
    own = [s["reference"] for s in sessions.of_client(turn.office.db, turn.client_id, OWN_SESSIONS_SEARCHED)]
    named = [row["original_session"]] if row["original_session"] not in ("", refused_in) else own
    for reference in dict.fromkeys(named):
        if reference == refused_in or not reference:
            continue
        try:
            items = await turn.api.session_invoices(access, reference)
        except Refused:  # another subject's session (F23), or one that is gone
            continue
        for item in items:
            if item.invoice_hash == wanted and item.status.code == 200 and item.ksef_number:
                return reference, item
    return None


async def in_ksef(turn: Turn, access: Access, row: sqlite3.Row) -> tuple[str, str | None]:
    """The original's number and hash (Base64), by the metadata query, then by download. Raises Refused (403)."""
    day = datetime.combine(date.fromisoformat(row["issue_date"]), time(12), UTC)
    found = await turn.api.query_metadata(
        access, subject="Subject1", date_type="Issue", since=day - ISSUE_WINDOW, until=day + ISSUE_WINDOW - timedelta(days=1),
        invoice_number=row["number_key"],
    )  # fmt: skip
    wanted = hash_b64(row["sha256"])
    for invoice in found:
        if invoice.invoice_hash == wanted:
            return invoice.ksef_number, wanted
    for invoice in found:  # seller, kind and number are KSeF's key (F4): of these there is one, and it is the original
        if invoice.ksef_number == row["ksef_number"] or (not row["ksef_number"] and _same_key(invoice, row)):
            return invoice.ksef_number, invoice.invoice_hash
    if not row["ksef_number"]:
        return "", None
    try:
        original = await turn.api.invoice(access, row["ksef_number"])
    except Refused as refused:
        if refused.code in (21164, 21165):  # not stored yet: later (F17)
            return row["ksef_number"], None
        raise
    return row["ksef_number"], sha256_b64(original.body)


def _same_key(invoice: InvoiceMetadata, row: sqlite3.Row) -> bool:
    seller = invoice.seller.nip if invoice.seller is not None else row["seller_nip"]
    kind = str(row["kind"]).replace("_", "")
    return bool(seller == row["seller_nip"] and invoice.invoice_type.upper() == kind)


def _still_unknown(turn: Turn, row: sqlite3.Row, refused: Refused) -> None:
    right = "przeglądanie faktur (InvoiceRead)" if refused.status == 403 else "dostęp do oryginału"
    _look_later(turn, row, f"{CHECKING}; brakuje uprawnienia: {right}")


def _look_later(turn: Turn, row: sqlite3.Row, reason: str) -> None:
    with turn.office.db.write() as connection:
        invoices.note(
            connection, turn.now, row["id"], S.UNKNOWN, reason=reason, next_look=to_text(turn.now + ASK_AGAIN)
        )
    turn.come_back(ASK_AGAIN.total_seconds())
