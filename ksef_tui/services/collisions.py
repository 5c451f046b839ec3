"""A number that another document has in KSeF (440, other bytes): what that document is, for a person who must decide (F5)."""

from __future__ import annotations

import sqlite3

from ksef_tui.domain.invoices import COLLISION, InvoiceState
from ksef_tui.domain.problems import Problem
from ksef_tui.domain.repair import Document
from ksef_tui.domain.roles import Act, Operator, may, require
from ksef_tui.services.guards import is_anothers
from ksef_tui.services.office import Office
from ksef_tui.store import collisions, documents, invoices

ANOTHERS = "dokument odczytany pod tym numerem wystawił kto inny niż klient, więc go nie pokazano"


def ask_again(office: Office, operator: Operator, invoice_id: int) -> None:
    """Have what KSeF has read once more, for instance after the client granted the right. Raises Problem."""
    row = refused_as_collision(office, operator, invoice_id)
    require(operator, Act.INVOICE_SETTLE, row["client_id"])
    with office.db.write() as connection:
        collisions.put(connection, invoice_id, wanted=1, missing="", next_look=None)
        invoices.note(connection, office.clock(), invoice_id, InvoiceState.REJECTED)  # a worker wakes by it


def refused_as_collision(office: Office, operator: Operator, invoice_id: int) -> sqlite3.Row:
    """The invoice that was refused because of its number. Raises Problem("unknown_invoice"), Problem("no_collision")."""
    row = invoices.get(office.db, invoice_id)
    if row is None or not may(operator, Act.SEE, row["client_id"]):
        raise Problem("unknown_invoice", f"Nie ma faktury {invoice_id}.")
    if (row["state"], row["reason_code"]) != (InvoiceState.REJECTED, COLLISION):
        raise Problem("no_collision", f"{row['number']}: jej numer nie jest zajęty w KSeF przez inną fakturę.")
    return row


def original(office: Office, row: sqlite3.Row) -> tuple[str, Document | None, str]:
    """KSeF's number and document under the number of an invoice, and why there is none. What the database says of another
    seller's document is shown to nobody: it was changed by hand."""
    known = collisions.get(office.db, row["id"])
    if known is None:
        return "", None, ""
    number, data = known["ksef_number"], b""
    if known["document_sha256"] is not None:
        data = documents.get(office.db, known["document_sha256"])
    if (number and not number.startswith(row["seller_nip"])) or (data and is_anothers(row, data)):
        return "", None, ANOTHERS
    return number, written(data) if data else None, known["missing"]


def written(data: bytes) -> Document | None:
    """What a document says, for a comparison; None when it cannot be read."""
    from ksef_tui.fa3.read import lines, read  # late: lxml

    try:
        facts = read(data)
        rows, more = lines(data, 200)
    except (Problem, ValueError):
        return None
    items = tuple(f"{row.name}: {'' if row.net is None else format(row.net, 'f').replace('.', ',')}" for row in rows)
    return Document(
        number=facts.number, kind=facts.kind, issue_date=facts.issue_date.isoformat(), buyer_nip=facts.buyer_nip or "",
        buyer=facts.buyer, gross=str(facts.gross), currency=facts.currency, items=items if not more else None,
    )  # fmt: skip
