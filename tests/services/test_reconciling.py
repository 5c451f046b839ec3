"""What is unknown becomes known by reading, in few questions, and never by sending again (design §6 rules 4–6)."""

from __future__ import annotations

import asyncio

import pytest
from support import papers
from support.houses import Client, House
from support.ministry import SEND, SENDING
from support.strangers import Stranger

from ksef_tui.services import batches, configuring
from ksef_tui.services.worker import Worker

OPEN_BATCH = "POST /v2/sessions/batch"
CLOSING_BATCH = {"method": "POST", "path": "^/v2/sessions/batch/[^/]+/close$"}


async def packed(house: House, count: int = 3) -> tuple[Client, list[int], list[bytes]]:
    configuring.change(house.office, house.admin, "batch_from", "3")
    client = await house.ready_client()
    documents = [papers.invoice(client.nip) for _ in range(count)]
    return client, house.approved(client, *documents), documents


def once(house: House, documents: list[bytes]) -> bool:
    return [len(house.ministry.holds(document)) for document in documents] == [1] * len(documents)


def events(house: House, invoice_id: int) -> list[str]:
    rows = house.db.rows("SELECT act, to_state FROM invoice_event WHERE invoice_id = ? ORDER BY id", (invoice_id,))
    return [f"{row['act']} {row['to_state']}" for row in rows]


# ---- rule 5 for many


async def test_rule_05_f3_f35_many_duplicates_are_settled_in_few_questions(house: House):
    """Each in a session of the client's own program: 20 metadata queries an hour would take days, one for each."""
    count = 300
    house.ministry.fault("sent_before")
    client, ids, documents = await packed(house, count)
    await house.work(120)
    assert set(house.states(ids)) == {"accepted"}
    assert once(house, documents), "the copy of the client's own program is the only one"
    assert {house.invoice(one)["upo"] for one in ids} == {"unavailable"}
    asked = {name: len(house.calls(name)) for name in ("invoice.query", "session.list", "invoice.get", "upo.number")}
    assert asked == {"invoice.query": 2, "session.list": 2, "invoice.get": 0, "upo.number": 0}, asked
    assert len(house.calls("session.invoices")) <= 2 + count / 250
    assert len({row["ksef_number"] for row in house.ministry.numbered(client.nip)}) == count


async def test_rule_05_f3_many_of_our_own_are_settled_by_the_lists_of_their_sessions_with_their_receipts(house: House):
    _, ids, documents = await packed(house, 30)
    await house.work()
    house.edit(
        "UPDATE invoice SET state = 'approved', ksef_number = '', upo = 'none', upo_sha256 = NULL, session_id = NULL, "
        "ordinal = NULL, reference = '', attempts = 0"
    )
    before = len(house.calls("session.invoices"))
    await house.work()
    assert set(house.states(ids)) == {"accepted"}
    assert {house.invoice(one)["upo"] for one in ids} == {"saved"}
    assert once(house, documents)
    assert len(house.calls("invoice.query")) == len(house.calls("upo.number")) == 0
    assert len(house.calls("session.invoices")) - before <= 3


async def test_rule_05_f5_many_collisions_name_their_originals(house: House):
    house.ministry.fault("number_taken")
    client, ids, _ = await packed(house, 8)
    await house.work()
    assert set(house.states(ids)) == {"rejected"}
    numbers = {row["number"]: row["ksef_number"] for row in house.ministry.numbered(client.nip)}
    for row in map(house.invoice, ids):
        assert numbers[row["number"]] in row["reason"]
        assert (row["reason_code"], row["ksef_number"]) == ("440", "")
    assert len(house.calls("invoice.query")) == 1


async def test_rule_05_f35_what_was_read_before_a_limit_is_not_read_again(house: House):
    """The limit of the metadata query closes between two pages."""
    house.ministry.fault("sent_before")
    client, ids, _ = await packed(house, 300)
    house.edit(
        "INSERT OR REPLACE INTO rate_limit VALUES (?, 'invoiceMetadata', -1, 1, -1, '2099-01-01T00:00:00.000Z')",
        client.nip,
    )
    worker = Worker(house.office)
    run = asyncio.create_task(worker.run())
    async with asyncio.timeout(120):
        while "accepted" not in house.states(ids):
            await asyncio.sleep(0.05)
        assert house.states(ids).count("accepted") == 250
        house.later(seconds=61)
        house.edit("UPDATE client SET name = name")  # any change wakes the worker
        while set(house.states(ids)) != {"accepted"}:
            await asyncio.sleep(0.05)
    worker.stop()
    await run
    assert len(house.calls("invoice.query")) == 2


# ---- rule 6: the session as a whole


@pytest.mark.parametrize("code", [405, 415, 420, 430, 435, 440])
async def test_rule_06_f13_f14_f19_a_package_that_was_not_processed_frees_its_invoices(house: House, code: int):
    house.ministry.fault("session_fails", times=1, params={"code": code})
    _, ids, documents = await packed(house)
    await house.work()
    assert house.states(ids) == ["accepted"] * 3
    assert once(house, documents)
    assert "track approved" in events(house, ids[0])
    assert house.db.value("SELECT code FROM session ORDER BY id LIMIT 1") == code


async def test_rule_06_500_frees_nothing_until_ksef_was_searched_for_an_hour(house: House):
    house.ministry.fault("session_fails", times=1, params={"code": 500})
    client, ids, documents = await packed(house)
    await house.work_until(lambda: "(500)" in house.invoice(ids[0])["reason"])
    assert house.states(ids) == ["processing"] * 3
    found = await Stranger(house.ministry, client.nip).send(documents[0])  # as if KSeF had taken it after all
    house.later(minutes=30)
    await house.work_until(lambda: house.states(ids)[0] == "accepted")
    assert (house.invoice(ids[0])["ksef_number"], house.states(ids)[1:]) == (found, ["processing"] * 2)
    house.later(hours=2)
    await house.work()
    assert house.states(ids) == ["accepted"] * 3
    assert once(house, documents)


async def test_rule_04_f16_a_package_that_ksef_denies_is_believed_only_when_its_list_denies_it_too(house: House):
    _, ids, documents = await packed(house)
    house.ministry.fault("stuck")
    await house.work_until(lambda: house.states(ids) == ["processing"] * 3)
    house.ministry.fault("not_found_after_open")
    house.later(minutes=30)
    await house.work_until(lambda: house.calls("session.list"))
    assert house.states(ids) == ["processing"] * 3, "its own list has it"
    house.ministry.calm()
    await house.work()
    assert house.states(ids) == ["accepted"] * 3
    assert once(house, documents)
    assert house.ministry.posts(OPEN_BATCH) == 1


# ---- sessions that are not ours (F22, F23)


async def test_rule_01_f22_a_package_whose_session_is_anothers_goes_out_in_a_new_one_and_says_so(house: House):
    """A reference that was changed in the database must not hold up the client's invoices for ever."""
    other = await house.ready_client()
    house.approved(other)
    await house.work()
    client, ids, documents = await packed(house)
    house.ministry.fault("html_5xx", match=CLOSING_BATCH)
    await house.work_until(lambda: house.calls("batch.close", "ended"))
    house.edit(
        "UPDATE session SET reference = (SELECT reference FROM session WHERE client_id = ?) WHERE client_id = ?",
        other.id, client.id,
    )  # fmt: skip
    house.ministry.calm()
    late = house.approved(client)
    await house.work()
    assert house.states([*ids, *late]) == ["accepted"] * 4
    assert once(house, documents)
    told = house.db.value(
        "SELECT reason FROM invoice_event WHERE invoice_id = ? AND to_state = 'approved' ORDER BY id DESC", (ids[0],)
    )
    assert told == batches.FOREIGN_PACKAGE


async def test_a_session_that_ksef_refuses_to_show_holds_up_no_other(house: House):
    client = await house.ready_client()
    house.ministry.fault("stuck")
    [one] = house.approved(client)
    await house.work_until(lambda: house.states([one]) == ["processing"])
    house.edit("UPDATE session SET state = 'closing'")
    [two] = house.approved(client)
    await house.work_until(lambda: house.states([two]) == ["processing"])
    first = house.db.value("SELECT reference FROM session ORDER BY id LIMIT 1")
    house.ministry.calm()
    house.edit("UPDATE session SET reference = 'x' WHERE reference = ?", first)
    await house.work_until(lambda: house.states([two]) == ["accepted"])
    assert house.states([one]) == ["processing"]


# ---- matched by hash (F12), with the key of the session (F21)


async def test_rule_04_f12_references_that_were_mixed_up_are_found_by_the_hash(house: House):
    client = await house.ready_client()
    documents = [papers.invoice(client.nip) for _ in range(2)]
    house.ministry.fault("stuck")
    ids = house.approved(client, *documents)
    await house.work_until(lambda: house.states(ids) == ["processing"] * 2)
    one, two = (house.invoice(i)["reference"] for i in ids)
    house.edit("UPDATE invoice SET reference = CASE reference WHEN ? THEN ? ELSE ? END", one, two, one)
    house.ministry.calm()
    await house.work()
    assert house.states(ids) == ["accepted"] * 2
    for invoice_id, document in zip(ids, documents, strict=True):
        assert house.invoice(invoice_id)["ksef_number"] == house.ministry.holds(document)[0]["ksef_number"]


async def test_rule_03_f21_another_process_goes_on_in_the_session_with_its_key(house: House):
    client = await house.ready_client()
    house.approved(client)
    await house.work_until(lambda: house.db.value("SELECT count(*) FROM invoice WHERE upo = 'saved'") == 1)
    [second] = house.approved(client)  # this worker knows nothing but the database
    await house.work()
    assert house.states([second]) == ["accepted"]
    assert house.db.value("SELECT count(*) FROM session") == 1


async def test_rule_04_f18_an_empty_list_proves_nothing_while_the_session_runs(house: House):
    client = await house.ready_client()
    house.ministry.fault("lost_answer", times=1, match=SENDING)
    house.ministry.fault("stuck")
    house.ministry.fault("list_empty")
    [one] = house.approved(client)
    await house.work_until(lambda: len(house.calls("session.invoices", "ended")) >= 3)
    assert house.states([one]) == ["unknown"]
    house.ministry.calm()
    await house.work()
    assert house.states([one]) == ["accepted"]
    assert house.ministry.posts(SEND) == 1
