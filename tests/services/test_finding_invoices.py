"""Finding invoices by words: what the database answers, on rows that differ in everything that can be asked for."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any

import pytest
from support import papers
from support.houses import Client, House

from ksef_tui.domain.invoices import InvoiceState, UpoState
from ksef_tui.services import client_views, contract, invoice_views, pausing
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
    "stoi": [2, 3, 7, 8],  # 7: its client is not connected
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


def test_what_stands_is_what_the_list_of_clients_counts_and_what_is_paused(shelf: Shelf):
    """The badge says "3 stoi": the word finds those three."""
    house, office, admin = shelf.house, shelf.house.office, shelf.house.admin
    [row] = client_views.client_rows(office, admin, [shelf.fir.id]).values()
    assert row.stuck == 3, "2 and 8 by themselves, 7 without access"
    house.edit("UPDATE authorization SET state = 'active' WHERE client_id = ?", shelf.fir.id)
    assert shelf.found("stoi") == [2, 3, 8]
    pausing.pause(office, admin, [shelf.fir.id])
    assert shelf.found("stoi") == [2, 3, 7, 8]
    pausing.resume(office, admin, [shelf.fir.id])
    pausing.pause(office, admin, pausing.EVERYTHING)
    assert shelf.found("stoi jodła") == [2, 7, 8]


def test_a_settled_collision_stands_nowhere(shelf: Shelf):
    house, office, admin = shelf.house, shelf.house.office, shelf.house.admin
    house.edit("UPDATE authorization SET state = 'active' WHERE client_id = ?", shelf.pine.id)
    assert client_views.client_ids(office, admin)[0] in (shelf.fir.id, shelf.pine.id)
    before = client_views.client_list(office, admin).counts
    house.edit("UPDATE invoice SET settled_at = '2026-11-24' WHERE number = 'WCZORAJ/3'")
    assert shelf.found("stoi sosna") == []
    [row] = client_views.client_rows(office, admin, [shelf.pine.id]).values()
    assert row.stuck == 0
    after = client_views.client_list(office, admin).counts
    assert after.trouble == before.trouble - 1, "the list goes by what its rows say"


def test_the_beginning_of_a_long_list_is_told_first(shelf: Shelf, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("ksef_tui.services.invoice_views.FIRST_PAGES", 2)
    told: list[list[int]] = []
    office, admin = shelf.house.office, shelf.house.admin
    found = invoice_views.queue_ids(office, admin, QueueFilter(), early=lambda ids: told.append(list(ids)))
    assert len(found) > 2
    assert told == [list(found)[:2]]
    assert list(found) == list(invoice_views.queue_ids(office, admin, QueueFilter())) == sorted(found, reverse=True)
    invoice_views.queue_ids(office, admin, QueueFilter(among=(found[0],)), early=lambda ids: told.append(list(ids)))
    assert len(told) == 1, "a short one is whole at once"


def test_the_whole_queue_is_read_from_an_index_of_ids_alone(shelf: Shelf):
    rows = shelf.house.db.rows("EXPLAIN QUERY PLAN SELECT id FROM invoice v ORDER BY id DESC")
    assert [row["detail"] for row in rows] == ["SCAN v USING COVERING INDEX invoice_id"]


@pytest.mark.parametrize("words", ["listopad 2024", ">5000 rejected", "odrzucone 12-15.11", "100-200"])
def test_days_and_amounts_are_answered_by_an_index(shelf: Shelf, words: str):
    where, args = invoice_views._where(shelf.house.office, shelf.house.admin, QueueFilter(text=words))
    plan = [row["detail"] for row in shelf.house.db.rows(f"EXPLAIN QUERY PLAN SELECT id FROM invoice v {where}", args)]
    assert any("INDEX" in step for step in plan), plan
