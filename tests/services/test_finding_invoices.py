"""Finding invoices by words: what the database answers, on rows that differ in everything that can be asked for."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any

import pytest
from support import papers
from support.houses import Client, House

from ksef_tui.domain.invoices import InvoiceState, UpoState
from ksef_tui.services import contract, invoice_views
from ksef_tui.services.views import QueueFilter


class Shelf:
    """Invoices of two clients, edited into every condition; found by their numbers."""

    def __init__(self, house: House) -> None:
        self.house = house
        self.fir = house.client(name="Jodła Próbna sp. z o.o.")
        self.pine = house.client(name="Sosna Próbna")
        self.today = papers.today()
        self.put(self.fir, "DZIŚ/1")
        self.put(self.fir, "WCZORAJ/2", issue_date=self.today - timedelta(days=1), state="rejected", gross="1500.00")
        self.put(self.pine, "WCZORAJ/3", issue_date=self.today - timedelta(days=1), state="rejected", gross="900.00")
        self.put(
            self.fir, "DAWNO/4", issue_date=date(2024, 11, 12), state="accepted", upo=UpoState.SAVED, gross="99.99"
        )
        self.put(self.pine, "DAWNO/5", issue_date=date(2024, 11, 15), state="accepted", mode="offline", gross="100.00")
        self.put(self.pine, "DAWNO/6", issue_date=date(2024, 12, 1), kind="KOR", gross="-574.15")
        self.put(self.fir, "PILNA/7", state="approved", urgent_at="2026-11-24", gross="200.01")
        self.put(self.fir, "PUSTA/8", state="invalid", gross="")

    def put(self, client: Client, number: str, **columns: Any) -> None:
        [one] = self.house.bring(client, papers.invoice(client.nip, number))
        for name, value in columns.items():
            self.house.edit(f"UPDATE invoice SET {name} = ? WHERE id = ?", str(value), one)

    def found(self, words: str) -> list[int]:
        rows = contract.queue(self.house.office, self.house.admin, find=words)
        return sorted(int(row["number"].rpartition("/")[2]) for row in rows)


@pytest.fixture
def shelf(house: House) -> Shelf:
    return Shelf(house)


CASES = {
    "": [1, 2, 3, 4, 5, 6, 7, 8],
    "jodła": [1, 2, 4, 7, 8],
    "jodła odrzucone wczoraj >1000": [2],
    "odrzucone wczoraj": [2, 3],
    "dziś": [1, 7, 8],
    "listopad 2024": [4, 5],
    "12.11.2024": [4],
    "12.11.2024-15.11.2024": [4, 5],
    ">1000": [2],
    "<100": [4, 6],
    "<=100": [4, 5, 6],
    "100-200": [1, 5],
    "200,01": [7],
    "upo": [4],
    "bez upo": [5],
    "pilne": [7],
    "offline": [5],
    "korekty": [6],
    "stoi": [2, 3, 8],
    "sosna offline listopad 2024 100-200": [5],
    "dawno upo korekty": [],
    '"wczoraj': [2, 3],
    "%": [],
}


@pytest.mark.parametrize("words", CASES)
def test_words_find_what_they_say(shelf: Shelf, words: str):
    assert shelf.found(words) == CASES[words]


def test_a_filter_by_words_goes_with_client_state_and_named_rows(shelf: Shelf):
    office, admin = shelf.house.office, shelf.house.admin
    chosen = QueueFilter(shelf.fir.id, (InvoiceState.REJECTED,), "wczoraj")
    [one] = invoice_views.queue_ids(office, admin, chosen)
    assert list(invoice_views.queue_ids(office, admin, QueueFilter(text="wczoraj", among=(one, 1)))) == [one]


@pytest.mark.parametrize("words", ["listopad 2024", ">5000 rejected", "odrzucone 12-15.11", "100-200"])
def test_days_and_amounts_are_answered_by_an_index(shelf: Shelf, words: str):
    where, args = invoice_views._where(shelf.house.office, shelf.house.admin, QueueFilter(text=words))
    plan = [row["detail"] for row in shelf.house.db.rows(f"EXPLAIN QUERY PLAN SELECT id FROM invoice v {where}", args)]
    assert any("INDEX" in step for step in plan), plan
