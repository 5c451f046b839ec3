"""440 is a question (design §6 rule 5; F3, F5, F8, F23), and receipts are kept only when they are receipts (F45)."""

from __future__ import annotations

import hashlib

import pytest
from support import papers
from support.houses import Client, House
from support.ministry import RECEIPTS, SEND
from support.strangers import Stranger

from ksef_tui.services import approving, exporting, invoice_views
from ksef_tui.store import documents


async def sent_elsewhere(house: House, *rights: str, same: bool = True) -> tuple[Client, int, str, bytes]:
    """A client whose own program has sent the number already; our invoice with that number, approved."""
    client = await house.ready_client(*rights)
    ours = papers.invoice(client.nip, "FV/77")
    theirs = ours if same else papers.invoice(client.nip, "FV/77", item="Zupełnie inna usługa", net=999)
    original = await Stranger(house.ministry, client.nip).send(theirs)
    [invoice_id] = house.approved(client, ours)
    return client, invoice_id, original, ours


async def test_rule_05_f3_f23_the_same_bytes_sent_by_another_program_are_accepted_with_the_originals_number(
    house: House,
):
    """Number and equal hash are the proof; the receipt belongs to who sent the original."""
    client, invoice_id, original, ours = await sent_elsewhere(house)
    await house.work()
    row = house.invoice(invoice_id)
    assert (row["state"], row["ksef_number"], row["upo"]) == ("accepted", original, "unavailable")
    assert house.ministry.posts(SEND) == 2, "once by the other program, once by us"
    assert len(house.ministry.holds(ours)) == 1
    assert exporting.export_upos(house.office, house.admin, house.folder / "upo", client_id=client.id) == 0


async def test_rule_05_f3_the_same_bytes_sent_by_ourselves_before_get_number_and_receipt(house: House):
    """A restored database sends once more what is in KSeF already: our own session knows it."""
    client = await house.ready_client()
    document = papers.invoice(client.nip, "FV/78")
    [invoice_id] = house.approved(client, document)
    await house.work()
    number = house.invoice(invoice_id)["ksef_number"]
    house.edit(
        "UPDATE invoice SET state = 'approved', ksef_number = '', upo = 'none', upo_sha256 = NULL, session_id = NULL, "
        "ordinal = NULL, reference = '', attempts = 0 WHERE id = ?",
        invoice_id,
    )
    await house.work()
    row = house.invoice(invoice_id)
    assert (row["state"], row["ksef_number"], row["upo"]) == ("accepted", number, "saved")
    assert row["original_session"] == house.db.value("SELECT reference FROM session ORDER BY id LIMIT 1")
    assert len(house.ministry.holds(document)) == 1


async def test_rule_05_f5_other_bytes_with_this_number_are_a_collision_that_a_person_settles(house: House):
    """Binding every 440 to the local document would record a different invoice's number."""
    client, invoice_id, original, _ = await sent_elsewhere(house, same=False)
    await house.work()
    row = house.invoice(invoice_id)
    assert (row["state"], row["reason_code"], row["ksef_number"]) == ("rejected", "440", "")
    assert original in row["reason"]
    assert "FV/77" in row["reason"]
    assert approving.retry(house.office, house.admin, [invoice_id]).done == 0
    [corrected] = house.bring(client, papers.invoice(client.nip, "FV/77", item="Jeszcze inna"))
    assert house.states([corrected]) == ["blocked"], "the number stays taken (rule 2)"


@pytest.mark.parametrize("same", [True, False], ids=["same document", "another document"])
async def test_rule_05_f5_440_without_the_original_is_settled_by_the_metadata(house: House, same: bool):
    _, invoice_id, original, _ = await sent_elsewhere(house, same=same)
    house.ministry.fault("duplicate_without_original", times=1)
    await house.work()
    row = house.invoice(invoice_id)
    if same:
        assert (row["state"], row["ksef_number"], row["upo"]) == ("accepted", original, "unavailable")
    else:
        assert (row["state"], row["reason_code"]) == ("rejected", "440")


async def test_rule_05_without_the_right_to_look_it_stays_unknown_and_says_which_right(house: House):
    client, invoice_id, original, _ = await sent_elsewhere(house, "InvoiceWrite")
    await house.work_until(lambda: "InvoiceRead" in house.invoice(invoice_id)["reason"])
    row = house.invoice(invoice_id)
    assert (row["state"], row["reason_code"]) == ("unknown", "440")
    assert "przeglądanie faktur" in row["reason"]
    posts = house.ministry.posts(SEND)
    house.ministry.grant(client.nip, house.nip, "InvoiceRead")
    house.edit("UPDATE invoice SET next_look = NULL")
    house.edit("UPDATE authorization SET access_until = NULL")
    await house.work()
    assert house.invoice(invoice_id)["ksef_number"] == original
    assert house.ministry.posts(SEND) == posts


async def test_rule_05_f8_440_that_names_its_own_session_is_not_believed(house: House):
    """Reported in practice: the copy's own session as the session of the original."""
    house.ministry.fault("duplicate_wrong_session", times=1)
    _, invoice_id, original, _ = await sent_elsewhere(house)
    await house.work()
    row = house.invoice(invoice_id)
    assert (row["state"], row["ksef_number"], row["upo"]) == ("accepted", original, "unavailable")
    assert row["original_session"] == "", "nobody knows the session of the original"


# ---- receipts


async def test_f45_a_page_instead_of_the_receipt_is_not_kept_and_asked_for_again(house: House):
    client = await house.ready_client()
    house.ministry.fault("upo_html", times=1)
    [invoice_id] = house.approved(client)
    await house.work()
    row = house.invoice(invoice_id)
    assert (row["state"], row["upo"]) == ("accepted", "saved")
    kept = documents.get(house.db, row["upo_sha256"])
    assert b"<html" not in kept
    assert row["ksef_number"].encode() in kept


async def test_a_receipt_of_another_invoice_is_not_kept(house: House):
    """One Dokument with our number and our hash, or it is not ours."""
    client = await house.ready_client()
    ids = house.approved(client, papers.invoice(client.nip), papers.invoice(client.nip))
    await house.work()
    one, two = (house.invoice(i) for i in ids)
    house.edit(
        "UPDATE invoice SET upo = 'none', upo_sha256 = NULL, reference = ? WHERE id = ?", two["reference"], one["id"]
    )
    await house.work_until(lambda: house.invoice(ids[0])["next_look"] is not None)
    assert house.invoice(ids[0])["upo"] == "none"
    assert house.invoice(ids[0])["upo_sha256"] is None


async def test_a_receipt_that_does_not_come_is_late_and_still_asked_for(house: House):
    client = await house.ready_client()
    house.edit("INSERT OR REPLACE INTO setting VALUES ('upo_late_minutes', '0')")
    house.ministry.fault("html_5xx", match=RECEIPTS, params={"status": 500})
    [invoice_id] = house.approved(client)
    await house.work_until(lambda: house.invoice(invoice_id)["upo"] == "late")
    assert house.states([invoice_id]) == ["accepted"], "the number is there, whatever the receipt does"
    house.ministry.calm()
    house.edit("UPDATE invoice SET next_look = NULL")
    await house.work()
    assert house.invoice(invoice_id)["upo"] == "saved"


async def test_a_receipt_is_kept_byte_for_byte_and_exported_under_the_number(house: House):
    client = await house.ready_client()
    [invoice_id] = house.approved(client)
    await house.work()
    row = house.invoice(invoice_id)
    folder = house.folder / "upo"
    assert exporting.export_upos(house.office, house.admin, folder, month=papers.today().strftime("%Y-%m")) == 1
    assert exporting.export_upos(house.office, house.admin, house.folder / "nic", month="1999-01") == 0
    [file] = folder.iterdir()
    assert file.name == f"{row['ksef_number']}.xml"
    assert hashlib.sha256(file.read_bytes()).hexdigest() == row["upo_sha256"]
    [exported] = exporting.export_invoices(house.office, house.admin, [invoice_id], house.folder / "faktury")
    assert hashlib.sha256(exported.read_bytes()).hexdigest() == row["sha256"]


async def test_f17_a_receipt_that_is_stored_later_than_the_number_is_waited_for(house: House):
    client = await house.ready_client()
    house.ministry.fault("storage_late", times=1, params={"ms": 1500})
    [invoice_id] = house.approved(client)
    await house.work()
    assert (house.invoice(invoice_id)["state"], house.invoice(invoice_id)["upo"]) == ("accepted", "saved")


async def test_f17_a_number_without_storage_is_said_after_ten_minutes_and_no_more_when_it_is_stored(house: House):
    client = await house.ready_client()
    house.ministry.fault("storage_late", times=3)
    ids = house.approved(client, *(papers.invoice(client.nip) for _ in range(3)))
    await house.work()
    assert house.states(ids) == ["accepted"] * 3
    assert house.invoice(ids[0])["reason"] == "", "seconds are nothing to speak of"
    house.later(minutes=11)
    before = len(house.calls("session.invoices"))
    await house.work_until(lambda: house.invoice(ids[2])["reason_code"] == "not_stored")
    assert len(house.calls("session.invoices")) == before + 1, "one list for all of a session"
    assert "nabywca jej nie widzi" in house.invoice(ids[0])["reason"]
    [row] = invoice_views.queue_rows(house.office, house.admin, ids[:1]).values()
    assert row.hint.endswith("niewidoczna w KSeF!")
    house.edit("UPDATE unstored SET invoice_id = invoice_id, look_at = '2026-01-01T00:00:00.000Z'")
    house.ministry.store_all()
    await house.work_until(lambda: not house.db.value("SELECT count(*) FROM unstored"))
    assert {house.invoice(one)["reason_code"] for one in ids} == {""}
    assert house.states(ids) == ["accepted"] * 3
