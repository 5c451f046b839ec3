"""The guards between an invoice and KSeF: what stops it before anything goes out (design §6 rules 1, 2 and 12)."""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass
from datetime import date, datetime

from ksef_tui.domain.invoices import INVOICE_BADGES, InvoiceState
from ksef_tui.domain.problems import Problem
from ksef_tui.domain.times import polish_day, warsaw
from ksef_tui.services.office import Office
from ksef_tui.store import endings, invoices, offices


@dataclass(frozen=True, slots=True)
class Stop:
    """Why an invoice must not go on: a code for scripts and a Polish sentence."""

    code: str
    message: str


def guard(office: Office, row: sqlite3.Row, now: datetime) -> Stop | None:
    """The first thing that stops this invoice, or None. Asked at import, approval and release."""
    return (
        _wrong_name(office, row["client_id"], row["seller_nip"])
        or _ended(office, row["client_id"])
        or _duplicate(office, row["client_id"], row["number_key"], row["id"])
        or _future(row["issue_date"], now)
    )


def guard_new(office: Office, client_id: int, *, number_key: str) -> Stop | None:
    """The same for a document that has no row yet and whose seller was found to be the client's by the checks."""
    return _ended(office, client_id) or _duplicate(office, client_id, number_key, 0)


def _wrong_name(office: Office, client_id: int, seller_nip: str) -> Stop | None:
    """Rule 1: seller = client. Checked again with the token's context before encryption (F22)."""
    client = offices.client(office.db, client_id)
    if client is None or client["nip"] != seller_nip:
        name = client["name"] if client is not None else "?"
        return Stop(
            "other_seller",
            f"sprzedawcą jest NIP {seller_nip}, a klientem {name} (NIP {client['nip'] if client else '?'})",
        )
    return None


def _ended(office: Office, client_id: int) -> Stop | None:
    """Nothing is issued in the name of a company that the office serves no more."""
    if endings.get(office.db, client_id) is None:
        return None
    return Stop("ended", "obsługa tego klienta jest zakończona – wznów ją albo wycofaj fakturę")


def _duplicate(office: Office, client_id: int, number_key: str, except_id: int) -> Stop | None:
    """Rule 2: KSeF's own key has the kind in it and lets a VAT and a ROZ of one number through (F4); ours has not."""
    other = invoices.occupying(office.db, client_id, number_key, except_id)
    if other is None:
        return None
    when = warsaw(datetime.fromisoformat(other["created_at"])).strftime("%d.%m.%Y")
    label = INVOICE_BADGES[InvoiceState(other["state"])].label
    return Stop(
        "own_duplicate", f"numer {other['number']} ma już inna faktura (z {when}, {label}) – wycofaj jedną z nich"
    )


def _future(issue_date: str, now: datetime) -> Stop | None:
    """Rule 12: KSeF refuses a date of issue after the day it receives the invoice."""
    if date.fromisoformat(issue_date) > polish_day(now):
        return Stop("future_date", f"data wystawienia {issue_date} jest w przyszłości – zwolnij fakturę w tym dniu")
    return None


def seller_written(data: bytes) -> str:
    """The seller in the bytes themselves, not in what was once read from them; empty when it cannot be read."""
    from ksef_tui.fa3.read import read  # late: lxml

    try:
        return read(data).seller_nip
    except Problem:
        return ""


def is_anothers(row: sqlite3.Row, data: bytes) -> bool:
    """Whether these bytes are another seller's than the invoice's row says: the database was changed by hand."""
    return seller_written(data) not in ("", row["seller_nip"])
