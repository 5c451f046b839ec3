"""Packages, from approval to UPO, over HTTP. Named after the rules of design §6 and the rows of the field notes."""

from __future__ import annotations

from support import papers
from support.houses import Client, House
from support.ministry import OPEN, SEND
from support.strangers import Stranger

from ksef_tui.services import batches, configuring

OPEN_BATCH = "POST /v2/sessions/batch"
CLOSE_BATCH = "POST /v2/sessions/batch/{reference}/close"
UPLOADING = {"method": "PUT", "path": "^/storage/batch/"}
CLOSING_BATCH = {"method": "POST", "path": "^/v2/sessions/batch/[^/]+/close$"}
OPENING_BATCH = {"method": "POST", "path": "^/v2/sessions/batch$"}


def by_packages(house: House, count: int = 3) -> None:
    configuring.change(house.office, house.admin, "batch_from", str(count))


async def many(house: House, count: int) -> tuple[Client, list[int]]:
    by_packages(house)
    client = await house.ready_client()
    return client, house.approved(client, *(papers.invoice(client.nip) for _ in range(count)))


def all_there_once(house: House, client: Client, ids: list[int]) -> None:
    assert house.states(ids) == ["accepted"] * len(ids)
    assert sorted(row["ksef_number"] for row in map(house.invoice, ids)) == sorted(
        row["ksef_number"] for row in house.ministry.numbered(client.nip)
    )
    assert [house.invoice(one)["upo"] for one in ids] == ["saved"] * len(ids)
    assert not list((house.folder / batches.FOLDER).glob("*")), "what was sent lies on the disk no longer than it must"


async def test_rule_10_many_invoices_go_in_one_package_and_few_one_by_one(house: House):
    client, ids = await many(house, 12)
    await house.work()
    all_there_once(house, client, ids)
    assert house.ministry.posts(OPEN_BATCH) == house.ministry.posts(CLOSE_BATCH) == 1
    assert house.ministry.posts(SEND) == house.ministry.posts(OPEN) == 0
    assert {house.invoice(one)["channel"] for one in ids} == {"batch"}

    few = house.approved(client, *(papers.invoice(client.nip) for _ in range(2)))
    await house.work()
    assert house.states(few) == ["accepted"] * 2
    assert house.ministry.posts(SEND) == 2 and house.ministry.posts(OPEN_BATCH) == 1


async def test_an_attachment_goes_in_a_package_even_alone(house: House):
    client = await house.ready_client()
    house.ministry.allow_attachments(client.nip)
    [one] = house.approved(client, papers.with_attachment(papers.invoice(client.nip)))
    await house.work()
    assert house.states([one]) == ["accepted"]
    assert house.ministry.posts(OPEN_BATCH) == 1 and house.ministry.posts(SEND) == 0


async def test_rule_09_f15_a_part_that_a_firewall_took_is_sent_again(house: House):
    client, ids = await many(house, 4)
    house.ministry.fault("upload_html", times=2, match=UPLOADING)
    await house.work()
    all_there_once(house, client, ids)


async def test_rule_09_f15_a_part_that_the_storage_lost_is_sent_again(house: House):
    client, ids = await many(house, 4)
    house.ministry.fault("part_lost", times=1, match=UPLOADING)
    await house.work()
    all_there_once(house, client, ids)
    assert house.ministry.posts(OPEN_BATCH) == 1


async def test_rule_07_f1_a_lost_answer_to_closing_is_no_reason_to_send_again(house: House):
    client, ids = await many(house, 4)
    house.ministry.fault("lost_answer", times=2, match=CLOSING_BATCH)
    await house.work()
    all_there_once(house, client, ids)
    assert house.ministry.posts(OPEN_BATCH) == 1


async def test_rule_09_a_lost_answer_to_opening_leaves_an_empty_package_behind_and_nothing_twice(house: House):
    client, ids = await many(house, 4)
    house.ministry.fault("lost_answer", times=1, match=OPENING_BATCH)
    await house.work()
    all_there_once(house, client, ids)
    assert house.ministry.posts(OPEN_BATCH) == 2


async def test_rule_06_f19_a_package_of_duplicates_alone_is_read_invoice_by_invoice(house: House):
    by_packages(house)
    client = await house.ready_client()
    documents = [papers.invoice(client.nip) for _ in range(3)]
    for document in documents:
        await Stranger(house.ministry, client.nip).send(document)
    ids = house.approved(client, *documents)
    await house.work()
    assert house.states(ids) == ["accepted"] * 3
    assert len(house.ministry.numbered(client.nip)) == 3


async def refused_package(house: House, compression: str) -> Client:
    """A client whose last package KSeF refused as a whole: its archive could not be opened."""
    client, _ = await many(house, 3)
    await house.work()
    house.edit("UPDATE session SET code = 430")
    house.edit("UPDATE batch SET compression = ?", compression)
    return client


async def test_after_an_archive_that_ksef_could_not_open_the_next_are_zips(house: House):
    client = await refused_package(house, "TarGz")
    for _ in range(2):  # a ZIP that went well does not bring the other form back at once
        ids = house.approved(client, *(papers.invoice(client.nip) for _ in range(3)))
        await house.work()
        assert house.states(ids) == ["accepted"] * 3
    assert [row[0] for row in house.db.rows("SELECT compression FROM batch ORDER BY session_id")][1:] == ["Zip", "Zip"]


async def test_after_a_refused_package_invoices_go_one_by_one_and_attachments_wait_an_hour(house: House):
    client = await refused_package(house, "Zip")
    house.ministry.allow_attachments(client.nip)
    ids = house.approved(client, *(papers.invoice(client.nip) for _ in range(3)))
    [attached] = house.approved(client, papers.with_attachment(papers.invoice(client.nip)))
    await house.work_until(lambda: house.states(ids) == ["accepted"] * 3)
    assert (house.ministry.posts(SEND), house.ministry.posts(OPEN_BATCH)) == (3, 1)
    assert house.states([attached]) == ["approved"]
    house.later(hours=2)
    await house.work()
    assert house.states([attached]) == ["accepted"] and house.ministry.posts(OPEN_BATCH) == 2
