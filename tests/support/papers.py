"""Invoices of invented companies, made by the program's own builder; `extra` says what the builder cannot."""

from __future__ import annotations

import itertools
from datetime import UTC, date, datetime
from decimal import Decimal

from ksef_tui.domain.times import polish_day
from ksef_tui.fa3.build import Item, Party, Sale, build

_numbers = itertools.count(1)
BUYER = Party("1111111111", "Nabywca Jałowcowy", "ul. Dębowa 4", "00-001 Warszawa")


def today() -> date:
    """Today in Poland, the date that KSeF compares with."""
    return polish_day(datetime.now(UTC))


def invoice(
    seller: str, number: str | None = None, *, day: date | None = None, item: str = "Usługa", net: int = 100
) -> bytes:
    """A valid invoice; two with the same arguments have different bytes only if the number differs or was not given."""
    sale = Sale(
        seller=Party(seller, "Jodła Próbna sp. z o.o.", "ul. Leśna 2", "00-002 Warszawa"),
        buyer=BUYER,
        number=number or f"FV/{next(_numbers)}/2026",
        issue_date=day or today(),
        created_at=datetime(2026, 1, 2, 10, tzinfo=UTC),
        items=(Item(item, Decimal(1), Decimal(net)),),
    )
    return build(sale)


def of_kind(document: bytes, kind: str) -> bytes:
    """The same invoice as another kind (KSeF's key has the kind in it, F4)."""
    return document.replace(b"<RodzajFaktury>VAT<", f"<RodzajFaktury>{kind}<".encode())


def with_attachment(document: bytes) -> bytes:
    """The same invoice with an attachment, which goes only in batch sessions (facts §11)."""
    block = (
        "<Zalacznik><BlokDanych><ZNaglowek>Zużycie</ZNaglowek><MetaDane><ZKlucz>Licznik</ZKlucz><ZWartosc>12</ZWartosc>"
        "</MetaDane></BlokDanych></Zalacznik>"
    )
    return document.replace(b"</Faktura>", block.encode() + b"</Faktura>")


def long_invoice(seller: str, rows: int) -> bytes:
    """A valid invoice with so many rows."""
    sale = Sale(
        seller=Party(seller, "Jodła Próbna sp. z o.o.", "ul. Leśna 2", "00-002 Warszawa"),
        buyer=BUYER,
        number=f"FV/{next(_numbers)}/2026",
        issue_date=today(),
        created_at=datetime(2026, 1, 2, 10, tzinfo=UTC),
        items=tuple(Item(f"Usługa {n}", Decimal(1), Decimal(100 + n)) for n in range(rows)),
    )
    return build(sale)


def changed(document: bytes) -> bytes:
    """Another invoice under the same number: what was sold has another name."""
    return document.replace("Usługa".encode(), "Inna usługa".encode())
