"""Nothing is free to be sent again before KSeF was asked for exactly that invoice, after it could last have gone out, and
answered in full: all days, all rows, no old list (design §6 rules 4 and 6; F6, F23, F35)."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest
from support import papers
from support.houses import LOGIN, Client, House
from support.ministry import ASKING, SEND
from support.strangers import Stranger

from ksef_tui.domain.times import from_text
from ksef_tui.services import approving, backups, configuring
from ksef_tui.services.worker import Worker

QUERY = "invoice.query"


def written(client: Client, *ago: int) -> list[bytes]:
    """Invoices issued so many days ago."""
    return [papers.invoice(client.nip, day=papers.today() - timedelta(days=days)) for days in ago]


async def strange(house: House, client: Client, documents: list[bytes]) -> list[int]:
    """Invoices of which the books say that they went out in a session that KSeF does not show to this login."""
    other = await house.ready_client()
    house.approved(other)
    house.approved(client)
    await house.work()
    ids = house.approved(client, *documents)
    house.edit(
        "UPDATE session SET reference = (SELECT reference FROM session WHERE client_id = ?) WHERE client_id = ?",
        other.id, client.id,
    )  # fmt: skip
    house.edit(
        "UPDATE invoice SET state = 'unknown', reason_code = 'no_answer', attempts = 1, ordinal = id, "
        "session_id = (SELECT id FROM session WHERE client_id = ?1) WHERE client_id = ?1 AND state = 'approved'",
        client.id,
    )  # fmt: skip
    return ids


def freed(house: House, ids: list[int]) -> list[int]:
    """Those that were free to be sent again."""
    sql = "SELECT 1 FROM invoice_event WHERE invoice_id = ? AND act = 'settle' AND to_state = 'approved'"
    return [one for one in ids if house.db.value(sql, (one,))]


async def until(reached) -> None:
    async with asyncio.timeout(60):
        while not reached():
            await asyncio.sleep(0.02)


@pytest.mark.parametrize("rows", [None, 2])
async def test_rule_04_f23_what_was_issued_long_before_or_beyond_the_rows_of_a_list_is_asked_for_too(
    house: House, rows: int | None
):
    """200 days apart; or one list shows fewer rows than there are, over several days and on one day alone."""
    client = await house.ready_client()
    there = written(client, 200, 199, 198, 0, 0, 0, 0)
    absent = written(client, 200, 100, 0)
    for document in there:
        await Stranger(house.ministry, client.nip).send(document)
    ids = await strange(house, client, [*absent, *there])
    if rows is not None:
        house.ministry.fault("query_cut", params={"rows": rows})
    sent = house.ministry.posts(SEND)
    house.later(hours=25)
    await house.work()
    assert house.states(ids) == ["accepted"] * len(ids)
    assert freed(house, ids) == ids[: len(absent)]
    assert house.ministry.posts(SEND) == sent + len(absent)
    assert [len(house.ministry.holds(document)) for document in [*absent, *there]] == [1] * len(ids)
    if rows is None:
        assert len(house.calls(QUERY)) == 3, "one list for each stretch of days"


async def test_rule_04_f23_a_list_read_before_it_could_last_have_gone_out_frees_nothing(house: House):
    client = await house.ready_client()
    documents = written(client, 0, 0, 0, 0)
    ids = await strange(house, client, documents)
    house.later(hours=23.5)
    worker = Worker(house.office)
    run = asyncio.create_task(worker.run())
    await until(lambda: len(house.calls(QUERY, "ended")) == 1 and "po skrócie" in house.invoice(ids[-1])["reason"])
    number = await Stranger(house.ministry, client.nip).send(documents[0])
    house.later(hours=0.75)
    house.edit("UPDATE client SET name = name")  # any change wakes the worker
    await until(lambda: house.states(ids) == ["accepted"] * 4)
    worker.stop()
    await run
    assert (house.invoice(ids[0])["ksef_number"], house.invoice(ids[0])["upo"]) == (number, "unavailable")
    assert freed(house, ids) == ids[1:]


async def test_rule_04_f23_f35_what_a_limit_kept_from_being_asked_stays_unknown_and_says_why_and_when(house: House):
    client = await house.ready_client()
    documents = written(client, 200, 200, 0, 0, 0, 0)
    for document in documents[2:]:
        await Stranger(house.ministry, client.nip).send(document)
    ids = await strange(house, client, documents)
    house.edit(
        "INSERT OR REPLACE INTO rate_limit VALUES (?, 'invoiceMetadata', -1, 1, -1, '2099-01-01T00:00:00.000Z')",
        client.nip,
    )
    house.later(hours=25)
    worker = Worker(house.office)
    run = asyncio.create_task(worker.run())
    await until(lambda: house.states(ids[:2]) == ["accepted"] * 2)
    assert house.states(ids[2:]) == ["unknown"] * 4
    for row in map(house.invoice, ids[2:]):
        assert "po skrócie" in row["reason"] and from_text(row["next_look"]) > house.office.clock()
    house.later(minutes=3)
    house.edit("UPDATE client SET name = name")
    await until(lambda: house.states(ids) == ["accepted"] * 6)
    worker.stop()
    await run
    assert freed(house, ids) == ids[:2]


async def test_rule_04_f6_in_a_restored_backup_the_day_begins_when_it_was_restored(house: House, tmp_path):
    """Until then somebody may have sent it, in a session that the backup does not know."""
    client = await house.ready_client()
    documents = written(client, 200, 0, 0, 0)
    ids = await strange(house, client, documents)
    copy = tmp_path / "kopia.db"
    backups.backup(house.office, house.admin, copy)
    house.later(hours=25)
    backups.restore(house.folder, LOGIN, copy, house.office.clock())
    await house.work_until(lambda: all("po skrócie" in house.invoice(one)["reason"] for one in ids))
    assert house.states(ids) == ["unknown"] * 4
    number = await Stranger(house.ministry, client.nip).send(documents[0])
    house.later(hours=25)
    await house.work()
    assert house.states(ids) == ["accepted"] * 4
    assert house.invoice(ids[0])["ksef_number"] == number
    assert freed(house, ids) == ids[1:]


async def test_rule_06_500_the_hour_begins_when_ksef_said_so(house: House):
    """A package may have waited for hours before KSeF judged it."""
    configuring.change(house.office, house.admin, "batch_from", "3")
    client = await house.ready_client()
    house.ministry.fault("session_fails", params={"code": 500})
    house.ministry.fault("html_5xx", match=ASKING)
    ids = house.approved(client, *written(client, 0, 0, 0, 0))
    await house.work_until(lambda: house.ministry.struck("session_fails"))
    house.later(hours=3)
    house.ministry.calm()
    await house.work_until(lambda: all("(500)" in house.invoice(one)["reason"] for one in ids))
    assert house.states(ids) == ["processing"] * 4
    house.later(hours=2)
    await house.work()
    assert house.states(ids) == ["accepted"] * 4


@pytest.mark.parametrize("rows", [None, 2])
async def test_rule_05_f3_what_is_tried_again_is_looked_for_on_all_its_days_and_beyond_the_rows_of_a_list(
    house: House, rows: int | None
):
    client = await house.ready_client()
    there, absent = written(client, 200, 0, 0, 0), written(client, 200, 0)
    for document in there:
        await Stranger(house.ministry, client.nip).send(document)
    ids = house.bring(client, *there, *absent)
    house.edit("UPDATE invoice SET state = 'rejected', reason_code = '550', attempts = 1")
    if rows is not None:
        house.ministry.fault("query_cut", params={"rows": rows})
    assert approving.retry(house.office, house.admin, ids).done == len(ids)
    await house.work()
    assert house.states(ids) == ["accepted"] * 4 + ["waiting"] * 2


async def test_rule_05_f3_f35_duplicates_issued_far_apart_take_one_list_for_each_stretch_of_days(house: House):
    configuring.change(house.office, house.admin, "batch_from", "3")
    house.ministry.fault("sent_before")
    client = await house.ready_client()
    ids = house.approved(client, *written(client, *[200] * 5, *[0] * 5))
    await house.work()
    assert house.states(ids) == ["accepted"] * 10
    assert len(house.calls(QUERY)) == 2
