"""The worker: when it is idle, what it remembers, what survives KSeF being away (design §3, contract `worker`)."""

from __future__ import annotations

import asyncio
import json
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import load_der_private_key
from support import papers
from support.houses import House
from support.ministry import OPEN, OPENING, SEND, SENDING, Ministry, Process
from support.strangers import Stranger

from ksef_tui.compose import open_office
from ksef_tui.domain.problems import Problem
from ksef_tui.services import approving, authorising, clients, invoice_views, pausing, standing
from ksef_tui.services.idleness import anything_moves
from ksef_tui.services.worker import Worker
from ksef_tui.store import leases


async def test_ksef_switched_off_in_the_middle_and_back_loses_nothing(
    tmp_path: Path, own_ministry: Callable[..., Process]
):
    process = own_ministry()
    ministry = Ministry(process.url)
    house = House(tmp_path / "biuro", ministry)
    client = await house.ready_client()
    documents = [papers.invoice(client.nip) for _ in range(3)]
    first = house.approved(client, documents[0])
    await house.work_until(lambda: house.states(first) == ["accepted"])
    process.stop()
    ids = first + house.approved(client, *documents[1:])

    def tried() -> bool:
        return any(row["kind"] == "unreachable" for row in house.calls("session.send", "ended"))

    worker = Worker(house.office, until_idle=True)
    run = asyncio.create_task(worker.run())
    async with asyncio.timeout(30):
        while not tried():
            await asyncio.sleep(0.02)
        assert house.states(ids) == ["accepted", "approved", "approved"], "what never left is not unknown"
        own_ministry(port=process.port)
        await run
    assert house.states(ids) == ["accepted"] * 3
    again = Ministry(process.url)
    assert [len(again.holds(document)) for document in documents] == [1, 1, 1]
    again.close()
    ministry.close()
    house.close()


async def test_authorising_while_ksef_is_off_fails_with_a_sentence_and_can_be_repeated(
    tmp_path: Path, own_ministry: Callable[..., Process]
):
    process = own_ministry()
    ministry = Ministry(process.url)
    house = House(tmp_path / "biuro", ministry)
    client = house.client("InvoiceWrite", "InvoiceRead")
    process.stop()
    row = await house.authorise(client)
    assert (row["state"], row["reason_code"]) == ("failed", "unreachable")
    assert "KSeF nie odpowiada" in row["reason"]
    own_ministry(port=process.port)
    assert (await house.authorise(client))["state"] == "active"
    ministry.close()
    house.close()


async def test_a_worker_with_nothing_to_do_ends_at_once_and_calls_nobody(house: House):
    await house.work()
    assert house.db.value("SELECT count(*) FROM journal") == 0


async def test_paused_clients_and_those_without_authorisation_do_not_keep_a_worker(house: House):
    paused = await house.ready_client()
    without = house.client()
    pausing.pause(house.office, house.admin, [paused.id])
    ids = [*house.approved(paused), *house.approved(without)]
    await house.work()
    assert house.states(ids) == ["approved", "approved"]
    assert len(standing.standing(house.office, house.admin)) == 2


async def test_idle_is_asked_of_the_database(house: House):
    client = await house.ready_client()
    assert not anything_moves(house.office)
    house.approved(client)
    assert anything_moves(house.office)
    await house.work()
    assert not anything_moves(house.office)
    authorising.check(house.office, house.admin, client.id)
    assert anything_moves(house.office)


async def test_two_workers_share_the_work_and_send_nothing_twice(house: House):
    pairs = []
    for _ in range(3):
        client = await house.ready_client()
        documents = [papers.invoice(client.nip) for _ in range(3)]
        pairs += list(zip(house.approved(client, *documents), documents, strict=True))
    second = open_office(house.folder)
    async with asyncio.timeout(60):
        await asyncio.gather(Worker(house.office, until_idle=True).run(), Worker(second, until_idle=True).run())
    second.close()
    assert house.states([i for i, _ in pairs]) == ["accepted"] * 9
    assert house.ministry.posts(SEND) == 9
    assert [len(house.ministry.holds(document)) for _, document in pairs] == [1] * 9


async def test_what_another_process_approves_is_sent_by_a_running_worker(house: House):
    client = await house.ready_client()
    ids = house.bring(client, papers.invoice(client.nip))
    screen = open_office(house.folder)

    def presence() -> bool:
        return bool(leases.holders(house.db, "worker:"))

    worker = Worker(house.office)
    run = asyncio.create_task(worker.run())
    async with asyncio.timeout(30):
        while not presence():
            await asyncio.sleep(0.01)
        assert approving.approve(screen, house.admin, ids).done == 1
        while house.invoice(ids[0])["upo"] != "saved":
            await asyncio.sleep(0.02)
    worker.stop()
    await run
    screen.close()
    assert house.states(ids) == ["accepted"]
    assert not presence()


async def test_leases_are_given_back_and_presence_ends_with_the_worker(house: House):
    client = await house.ready_client()
    house.approved(client)
    worker = Worker(house.office)
    run = asyncio.create_task(worker.run())
    async with asyncio.timeout(30):
        while not leases.holders(house.db, "worker:"):
            await asyncio.sleep(0.01)
        worker.stop()
        await run
    assert leases.holders(house.db, "worker:") == []
    assert leases.holders(house.db, "client:") == []


async def test_every_call_has_two_rows_and_the_invoice_tells_its_story(house: House):
    client = await house.ready_client()
    [invoice_id] = house.approved(client)
    await house.work()
    started = house.db.value("SELECT count(*) FROM journal WHERE phase = 'started'")
    ended = house.db.value("SELECT count(*) FROM journal WHERE phase = 'ended'")
    assert started == ended > 0
    told = [(row.kind, row.text) for row in invoice_views.timeline(house.office, house.admin, invoice_id)]
    assert [kind for kind, _ in told][:2] == ["state", "state"]
    assert ("call", "→ wysłanie faktury") in told
    assert ("call", "← wysłanie faktury: przyjęte") in told
    assert told[-1][1].startswith(("← pobranie UPO", "ma nr KSeF", "← pobranie pliku"))
    human = house.db.rows("SELECT act FROM audit WHERE invoice_id = ? ORDER BY id", (invoice_id,))
    assert [row["act"] for row in human] == ["invoice.import", "invoice.approve"]


async def test_no_secret_is_in_any_table_journal_or_file(house: House):
    """Design §8: sealed columns, never a secret in a row, a log or the audit."""
    client, other = await house.ready_client(), house.client()
    token = await Stranger(house.ministry, other.nip).token("InvoiceWrite")
    await house.authorise_with_token(other, token)
    house.approved(client)
    house.approved(other)
    house.ministry.fault("html_5xx", times=1, match=SENDING)
    await house.work()

    def opened(row: sqlite3.Row, column: str, client_nip: str, kind: str, place: str) -> bytes:
        return house.office.sealer.open(row[column], client=client_nip, kind=kind, row=place).reveal()

    secrets = [token.encode(), token.rpartition("|")[2].encode()]
    for who in (client, other):
        row = house.auth(who)
        secrets += [
            opened(row, f"sealed_{kind}", who.nip, f"{kind}_token", str(who.id)) for kind in ("access", "refresh")
        ]
        session = house.db.row("SELECT * FROM session WHERE client_id = ?", (who.id,))
        secrets.append(opened(session, "sealed_key", who.nip, "session_key", session["seal_row"]))
    identity = house.db.row("SELECT * FROM identity")
    key = opened(identity, "sealed_key", house.nip, "private_key", identity["seal_row"])
    secrets += [key, load_der_private_key(key, None).private_numbers().private_value.to_bytes(32, "big")]
    assert len(set(secrets)) == 10
    house.db.connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    for file in house.folder.rglob("*"):
        if file.is_file() and file.parent.name != "keys":
            content = file.read_bytes()
            assert [n for n, secret in enumerate(secrets) if secret in content] == [], file.name
    assert b"eyJ" not in (house.folder / "office.db").read_bytes(), "a token of KSeF begins like this"


async def test_rule_10_limits_of_ksef_are_read_and_kept(tmp_path: Path, own_ministry: Callable[..., Process]):
    """No 429 is provoked although the limits of production are on."""
    process = own_ministry(limits="production")
    ministry = Ministry(process.url)
    house = House(tmp_path / "biuro", ministry)
    client = await house.ready_client()
    ids = house.approved(client, *[papers.invoice(client.nip) for _ in range(12)])  # ten a second
    await house.work()
    assert house.states(ids) == ["accepted"] * 12
    assert ministry.refused_by_limits() == 0
    assert house.db.value("SELECT per_minute FROM rate_limit WHERE limit_group = 'invoiceSend'") == 30
    ministry.close()
    house.close()


async def test_a_fault_of_the_program_stops_one_client_for_a_while_and_is_written_down(house: House):
    broken, good = await house.ready_client(), await house.ready_client()
    bad, fine = house.approved(broken)[0], house.approved(good)[0]
    house.edit("UPDATE authorization SET rights = 'x', access_until = 'kiedyś' WHERE client_id = ?", broken.id)
    await house.work_until(
        lambda: (
            house.states([fine]) == ["accepted"]
            and house.db.value("SELECT count(*) FROM audit WHERE act = 'program.fault'")
        )
    )
    assert house.states([bad]) == ["approved"]
    fault = house.db.row("SELECT * FROM audit WHERE act = 'program.fault'")
    assert fault["client_id"] == broken.id
    assert json.loads(fault["detail"])["kind"] == "ValueError"


async def test_an_archived_client_sends_nothing_more_and_comes_back_with_its_history(house: House):
    client = await house.ready_client()
    [done] = house.approved(client)
    await house.work()
    clients.archive(house.office, house.admin, client.id)
    with pytest.raises(Problem, match="Nie ma klienta"):
        clients.id_of(house.office, client.nip)
    assert clients.add(house.office, house.admin, client.nip, "Jodła Próbna") == client.id
    assert house.states([done]) == ["accepted"]


async def test_opening_refused_by_a_limit_comes_back_when_it_may(house: House):
    client = await house.ready_client()
    house.ministry.fault("rate_limited", times=1, match=OPENING, params={"retry_after": 1})
    [invoice_id] = house.approved(client)
    await house.work()
    assert house.states([invoice_id]) == ["accepted"]
    assert house.ministry.posts(OPEN) == 1
