"""Rows for the tests of the store."""

from __future__ import annotations

import hashlib
import itertools
from datetime import UTC, datetime

from ksef_tui.domain.invoices import InvoiceState
from ksef_tui.store import documents, invoices, offices
from ksef_tui.store.database import Database

NOW = datetime(2026, 11, 24, 9, tzinfo=UTC)
JODLA, SOSNA = 1, 2  # the ids of the two clients
_bodies = itertools.count(1)


def furnish(db: Database) -> None:
    with db.write() as connection:
        offices.insert_client(connection, NOW, "1111111111", "Jodła Próbna", is_office=False, keeper_id=None)
        offices.insert_client(connection, NOW, "5265877635", "Sosna Próbna", is_office=False, keeper_id=None)


def new_invoice(
    db: Database, state: InvoiceState = InvoiceState.WAITING, *, client: int = JODLA, number: str = "", reason: str = ""
) -> int:
    """An invoice that was imported into this state."""
    body = f"<Faktura>{next(_bodies)}</Faktura>".encode()
    number = number or f"FV/{next(_bodies)}"
    values = {
        "client_id": client, "sha256": hashlib.sha256(body).hexdigest(), "file": "f.xml", "size": len(body),
        "seller_nip": "1111111111", "number": number, "number_key": number, "kind": "VAT", "issue_date": "2026-11-24",
        "buyer_nip": "", "buyer": "", "gross": "123.00", "currency": "PLN", "form_code": "FA (3)", "attachment": 0,
        "search": "", "state": state, "reason_code": reason, "reason": "", "findings": "[]",
    }  # fmt: skip
    with db.write() as connection:
        documents.put(connection, body)
        return invoices.insert(connection, NOW, None, values)


def set_authorization(db: Database, state: str, client: int = JODLA) -> None:
    """Put an authorisation into a state, however it got there."""
    with db.write() as connection:
        connection.execute("UPDATE authorization SET state = ? WHERE client_id = ?", (state, client))
