"""Invoices of invented companies, built by the product's own builder and spoilt by hand."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal

import pytest

from ksef_tui.fa3.build import Item, Party, Sale

TODAY = date(2026, 11, 24)


@pytest.fixture
def today() -> date:
    return TODAY


@pytest.fixture
def sale() -> Sale:
    """An invoice of today without any fault."""
    return Sale(
        seller=Party("5260001246", "Jodła Przykładowa sp. z o.o.", "ul. Zmyślona 7", "00-001 Warszawa"),
        buyer=Party("1234563218", "Zakład Wymyślony Anna Niby", "ul. Nieistniejąca 1", "30-002 Kraków"),
        number="FV/12/2026",
        issue_date=TODAY,
        created_at=datetime(2026, 11, 24, 8, 30, tzinfo=UTC),
        items=(
            Item("Księgowanie dokumentów", Decimal(3), Decimal("120.50")),
            Item("Podręcznik", Decimal(2), Decimal("19.99"), rate="5"),
        ),
    )
