"""The last look at an invoice before it is encrypted, whatever way it goes (design §6 rules 1, 2, 8, 12)."""

from __future__ import annotations

import sqlite3

from ksef_tui.domain.invoices import InvoiceState
from ksef_tui.domain.problems import Problem
from ksef_tui.ksef import claims
from ksef_tui.ksef.api import Access
from ksef_tui.services.guards import guard, seller_written
from ksef_tui.services.turn import Turn
from ksef_tui.store import documents, invoices

ALTERED = (
    "zapisany plik faktury został zmieniony po imporcie – niczego nie wysłano; wycofaj ją i zaimportuj plik ponownie"
)


def checked(turn: Turn, access: Access, session: sqlite3.Row, row: sqlite3.Row) -> bytes | None:
    """The bytes that may go out in this session; None when a guard has blocked the invoice, with the reason on it."""
    try:
        data = documents.get(turn.office.db, row["sha256"])
    except Problem as problem:
        if problem.code != "document_altered":
            raise
        _block(turn, row, problem.code, ALTERED)
        return None
    wrong = _not_in_our_name(turn, access, session, row, data)
    if wrong is not None:
        _block(turn, row, "wrong_name", wrong)
        return None
    stop = guard(turn.office, row, turn.now)
    if stop is not None:
        _block(turn, row, stop.code, stop.message)
        return None
    return data


def _not_in_our_name(turn: Turn, access: Access, session: sqlite3.Row, row: sqlite3.Row, data: bytes) -> str | None:
    """Rule 1, the last time before encryption: seller = client = context of the token = context of the session (F22)."""
    seller = seller_written(data) or "?"
    token_context = claims.read(access.token).context_value or access.context
    names = {seller, row["seller_nip"], turn.nip, access.context, token_context, session["context_nip"]}
    if len(names) == 1 and session["client_id"] == row["client_id"] == turn.client_id:
        return None
    return (
        f"sprzedawcą jest NIP {seller if seller != turn.nip else row['seller_nip']}, klientem NIP {turn.nip}, "
        f"a sesja KSeF jest dla NIP {session['context_nip']} – niczego nie wysłano"
    )


def _block(turn: Turn, row: sqlite3.Row, code: str, reason: str) -> None:
    with turn.office.db.write() as connection:
        invoices.move(
            connection, turn.now, row["id"], "guard", InvoiceState.APPROVED, InvoiceState.BLOCKED,
            attempt=row["attempts"], reason_code=code, reason=reason,
        )  # fmt: skip
