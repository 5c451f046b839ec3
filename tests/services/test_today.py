"""What needs a person, read from an office that works with the sandbox; whatever is mended goes away by itself."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, datetime, time, timedelta
from decimal import Decimal

import pytest
from support import papers
from support.houses import Client, House

from ksef_tui.domain.roles import Role
from ksef_tui.domain.times import WARSAW, to_text
from ksef_tui.domain.today import Item, Kind, farewell
from ksef_tui.services import approving, configuring, contract, pausing
from ksef_tui.services.today import done_today, today
from ksef_tui.store import leases


@pytest.fixture
def sending(house: House) -> Iterator[House]:
    """An office in which somebody sends, in the morning."""
    lease = leases.take(house.db, "worker:1", 600)
    assert lease is not None
    at(house, 9)
    yield house
    leases.release(house.db, lease)


def at(house: House, hour: int, minute: int = 0, day: date | None = None) -> datetime:
    """The office's clock stands at this time of day in Poland."""
    now = datetime.combine(day or papers.today(), time(hour, minute), WARSAW)
    house.office.clock = lambda: now
    return now


def found(house: House, *, mine: bool = False) -> list[Item]:
    return today(house.office, house.admin, mine)


def kinds(house: House) -> list[Kind]:
    return [item.kind for item in found(house)]


def authorised(house: House, name: str = "Jodła Próbna") -> Client:
    """A client whose authorisation stands as working."""
    client = house.client(name=name)
    until = to_text(house.office.clock() + timedelta(days=400))
    access(house, client, state="active", method="certificate", valid_until=until)
    return client


def put(house: House, invoice_id: int, **columns: object) -> None:
    """An invoice as the worker would have left it."""
    names = ", ".join(f"{name} = ?" for name in columns)
    house.edit(f"UPDATE invoice SET {names} WHERE id = ?", *columns.values(), invoice_id)


def access(house: House, client: Client, **columns: object) -> None:
    """A client's authorisation as it was left."""
    names = ", ".join(f"{name} = ?" for name in columns)
    house.edit(f"UPDATE authorization SET {names} WHERE client_id = ?", *columns.values(), client.id)


def test_a_hundred_waiting_invoices_of_two_clients_are_two_rows(sending: House):
    one, other = authorised(sending, "Alfa"), authorised(sending, "Żubr")
    yesterday = papers.today() - timedelta(days=1)
    ids = sending.bring(one, *(papers.invoice(one.nip, day=yesterday, net=10) for _ in range(60)))
    sending.bring(other, *(papers.invoice(other.nip, day=yesterday) for _ in range(40)))
    first, second = found(sending)
    assert (first.kind, first.client, first.name, first.count) == (Kind.APPROVE, one.id, "Alfa", 60)
    assert first.money.sums == (("PLN", Decimal("738.00")),)
    assert first.invoices == tuple(sorted(ids))
    assert (second.client, second.count, second.actions) == (other.id, 40, ("invoice.approve",))


def test_a_row_goes_away_whoever_mends_it(sending: House):
    client = authorised(sending)
    ids = sending.bring(client, papers.invoice(client.nip), papers.invoice(client.nip))
    [item] = found(sending)
    approving.approve(sending.office, sending.operator("zofia", Role.ACCOUNTANT), [ids[0]])
    assert [one.count for one in found(sending)] == [1]
    assert found(sending)[0].key == item.key
    approving.withdraw(sending.office, sending.admin, [ids[1]])
    assert found(sending) == []


def test_what_is_dated_today_is_shown_apart_from_half_past_two_approved_or_not(sending: House):
    client = authorised(sending)
    waiting, approved, older = sending.bring(
        client, *(papers.invoice(client.nip, day=papers.today() - timedelta(days=ago)) for ago in (0, 0, 1))
    )
    approving.approve(sending.office, sending.admin, [approved])
    at(sending, 14, 29)
    assert [(item.kind, item.due, item.count) for item in found(sending)] == [(Kind.APPROVE, False, 2)]
    at(sending, 14, 30)
    rows = [(item.kind, item.due, item.invoices) for item in found(sending)]
    assert rows == [
        (Kind.APPROVE, True, (waiting,)),
        (Kind.OUTGOING, True, (approved,)),
        (Kind.APPROVE, False, (older,)),
    ]
    assert found(sending)[0].why == "Czekają, aż ktoś je zatwierdzi – z dzisiejszą datą, do północy 9 h"
    at(sending, 23, 15)
    assert found(sending)[0].why.endswith("z dzisiejszą datą, zostało 45 min do północy")
    at(sending, 0, 5, papers.today() + timedelta(days=1))
    assert [(item.due, item.count) for item in found(sending)] == [(False, 2)]


def test_what_can_still_be_recalled_goes_by_itself(sending: House):
    configuring.change(sending.office, sending.admin, "recall_seconds", "60")
    client = authorised(sending)
    at(sending, 15)
    sending.approved(client)
    assert found(sending) == []
    at(sending, 15, 2)
    assert kinds(sending) == [Kind.OUTGOING]


def test_each_state_that_needs_a_person_says_why(sending: House):
    client, now = authorised(sending), sending.office.clock()
    ids = sending.bring(client, *(papers.invoice(client.nip) for _ in range(6)))
    early = to_text(now - timedelta(minutes=12))
    put(sending, ids[0], state="unknown", changed_at=early)
    put(sending, ids[1], state="rejected", reason_code="450", reason="Nie zgadza się ze wzorem.")
    put(sending, ids[2], state="invalid", reason="zły NIP nabywcy")
    put(sending, ids[3], state="blocked", reason="ten numer już czeka")
    put(sending, ids[4], state="held", changed_at=early)
    put(sending, ids[5], state="accepted", upo="late", accepted_at=early)
    assert {item.kind: item.why for item in found(sending)} == {
        Kind.CHECKED: "Wynik wysłania nieznany od 12 min: program pyta KSeF, nie wysyłaj drugi raz",
        Kind.REFUSED: "Nie zgadza się ze wzorem",
        Kind.INVALID: "Zły NIP nabywcy",
        Kind.BLOCKED: "Ten numer już czeka",
        Kind.HELD: "Wstrzymane przez biuro od 12 min",
        Kind.RECEIPT: "Przyjęte 12 min temu, KSeF nie wydał jeszcze UPO: program pyta dalej",
    }
    assert kinds(sending) == [Kind.BLOCKED, Kind.REFUSED, Kind.INVALID, Kind.CHECKED, Kind.RECEIPT, Kind.HELD]


def test_a_paused_client_stands_and_a_pause_of_everything_is_one_row(sending: House):
    clients = [authorised(sending, name) for name in ("Alfa", "Beta")]
    for client in clients:
        sending.approved(client)
    assert found(sending) == []
    pausing.pause(sending.office, sending.admin, [clients[0].id], "czekamy na korekty")
    [item] = found(sending)
    assert (item.kind, item.client, item.actions[0]) == (Kind.STANDING, clients[0].id, "sending.pause")
    assert item.why.startswith("Wstrzymane przez KIEROWNIK")
    assert item.why.endswith("czekamy na korekty")
    pausing.pause(sending.office, sending.admin, pausing.EVERYTHING)
    [item] = found(sending)
    assert (item.client, item.count, item.name) == (None, 2, "2 klienci")
    assert item.why.startswith("Wszystko wstrzymane przez KIEROWNIK")
    pausing.resume(sending.office, sending.admin, [*pausing.EVERYTHING, clients[0].id])
    assert found(sending) == []


def test_that_nobody_sends_is_one_row(house: House):
    at(house, 9)
    for name in ("Alfa", "Beta"):
        house.approved(authorised(house, name))
    [item] = found(house)
    assert (item.kind, item.count, item.reason_code) == (Kind.STANDING, 2, "nobody_sends")


def test_access_that_does_not_work_is_named_only_while_something_waits_for_it(sending: House):
    client = sending.client()
    house_rows = (
        "UPDATE authorization SET state = 'no_permission', reason = 'Klient nie nadał uprawnień.' WHERE client_id = ?"
    )
    sending.edit(house_rows, client.id)
    assert found(sending) == []
    [approved, waiting] = sending.bring(client, papers.invoice(client.nip), papers.invoice(client.nip))
    approving.approve(sending.office, sending.admin, [approved])
    access, approve = found(sending)
    assert (access.kind, access.invoices, access.count) == (Kind.ACCESS, (approved,), 2)
    assert access.why == "Klient nie nadał uprawnień – 2 faktury czekają"
    assert access.actions[0] == "auth.check"
    assert (approve.kind, approve.invoices) == (Kind.APPROVE, (waiting,))
    at(sending, 15)
    assert [(item.kind, item.due) for item in found(sending)] == [(Kind.ACCESS, True), (Kind.APPROVE, True)]


def test_one_certificate_that_ends_is_one_row_for_all_who_need_it(sending: House):
    identity = sending.identity()
    now = sending.office.clock()
    for name in ("Alfa", "Beta", "Gama"):
        client = authorised(sending, name)
        access(sending, client, identity_id=identity, valid_until=to_text(now + timedelta(days=5)))
    [item] = found(sending)
    assert (item.kind, item.name, len(item.clients), item.actions[0]) == (Kind.ENDS, "3 klienci", 3, "profiles")
    assert item.why.startswith("Certyfikat „pieczęć” kończy się")
    assert "za 5 dni" in item.why


def test_a_stopped_identity_speaks_for_all_its_clients(sending: House):
    identity = sending.identity()
    ids = []
    for name in ("Alfa", "Beta"):
        client = authorised(sending, name)
        access(sending, client, identity_id=identity)
        ids += sending.approved(client)
        access(sending, client, state="blocked")
    access(sending, client, state="active")  # its login still lasts, and another thing stands in its way too
    pausing.pause(sending.office, sending.admin, [client.id])
    sending.edit("UPDATE identity SET stopped_at = ? WHERE id = ?", to_text(sending.office.clock()), identity)
    [item] = found(sending)
    assert (item.kind, item.name, item.count, item.invoices) == (Kind.STOPPED, "pieczęć", 2, tuple(ids))


def test_requests_that_wait_for_a_signature_or_a_letter_that_nobody_answered(sending: House):
    now = sending.office.clock()
    letter, sign = sending.client(name="Alfa"), sending.client(name="Beta")
    access(sending, letter, state="requested", requested_at=to_text(now - timedelta(days=4)))
    access(sending, sign, state="to_sign")
    request = "INSERT INTO signature_request (client_id, challenge, valid_until, document) VALUES (?, 'c', ?, x'00')"
    sending.edit(request, sign.id, to_text(now + timedelta(minutes=4)))
    first, second = found(sending)
    assert (first.kind, first.actions[0]) == (Kind.SIGN, "auth.submit")
    assert (second.kind, second.why.endswith("bez odpowiedzi od 4 dni")) == (Kind.LETTER, True)
    at(sending, 9, 10)
    assert found(sending)[0].actions[0] == "auth.export"


def test_a_client_whose_service_has_ended_needs_nobody(sending: House):
    client = authorised(sending)
    sending.bring(client, papers.invoice(client.nip))
    access(sending, client, state="ended")
    assert found(sending) == []


def test_mine_are_those_that_the_operator_keeps(sending: House):
    mine, other = authorised(sending, "Alfa"), authorised(sending, "Beta")
    for client in (mine, other):
        sending.bring(client, papers.invoice(client.nip))
    sending.edit("UPDATE client SET keeper_id = NULL WHERE id = ?", other.id)
    sending.edit("UPDATE client SET keeper_id = ? WHERE id = ?", sending.admin.id, mine.id)
    assert [item.client for item in found(sending, mine=True)] == [mine.id]
    assert len(found(sending)) == 2


def test_a_million_settled_invoices_are_not_looked_at(sending: House):
    """Both queries over invoices read an index that holds only what is not settled."""
    from ksef_tui.services import today as module

    plan = sending.db.rows("EXPLAIN QUERY PLAN " + module._INVOICES.format(whose="1"), {"today": ""})
    on_invoices = [row["detail"] for row in plan if " invoice " in row["detail"]]
    assert len(on_invoices) == 2
    assert "invoice_unsettled" in on_invoices[0]
    assert "COVERING" in on_invoices[0]
    assert "invoice_late" in on_invoices[1]


async def test_the_end_of_a_day_tells_what_was_sent_accepted_and_kept(house: House):
    client = await house.ready_client()
    ids = house.approved(client, *(papers.invoice(client.nip) for _ in range(3)))
    assert done_today(house.office, house.admin).sent == 0
    await house.work()
    assert house.states(ids) == ["accepted"] * 3
    assert found(house) == []
    done = done_today(house.office, house.admin)
    assert (done.sent, done.accepted, done.receipts) == (3, 3, 3)
    assert done_today(house.office, house.admin, mine=True).sent in (0, 3)
    house.later(days=1)
    assert done_today(house.office, house.admin).sent == 0


def test_an_office_without_clients_is_told_how_to_begin(house: House):
    assert farewell(done_today(house.office, house.admin), house.office.clock())[0] == "Biuro nie ma jeszcze klientów."
    house.client()
    assert farewell(done_today(house.office, house.admin), house.office.clock())[0] == "Wszystko załatwione."


def test_scripts_get_codes_and_ids(sending: House):
    client = authorised(sending)
    ids = sending.bring(client, papers.invoice(client.nip))
    [row] = contract.today(sending.office, sending.admin)
    assert (row["kind"], row["nip"], row["count"], row["sums"], row["ids"], row["due"], row["actions"]) == (
        "approve", client.nip, 1, {"PLN": "123.00"}, ids, False, ["invoice.approve"],
    )  # fmt: skip
