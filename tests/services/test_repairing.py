"""What does not go is mended: replaced by a corrected file, looked for and tried again, settled by a person."""

from __future__ import annotations

import json

import pytest
from support import papers
from support.houses import Client, House
from support.ministry import SEND
from support.strangers import Stranger

from ksef_tui.domain.problems import Problem
from ksef_tui.domain.repair import Way
from ksef_tui.domain.roles import Role
from ksef_tui.services import (
    approving,
    client_views,
    collisions,
    importing,
    invoice_views,
    own_work,
    repair_views,
    replacing,
    today,
)
from ksef_tui.store import collisions as stored_collisions
from ksef_tui.store import documents

METADATA = {"path": "/v2/invoices/query/metadata"}


def replaced(house: House, invoice_id: int, data: bytes, **options: bool) -> int:
    return replacing.replace(house.office, house.admin, invoice_id, "poprawiona.xml", data, **options)


def refusal(house: House, invoice_id: int, data: bytes) -> str:
    """The code with which a file is refused; nothing may have changed."""
    before = house.db.value("SELECT seq FROM change_counter")
    with pytest.raises(Problem) as caught:
        replaced(house, invoice_id, data)
    found = replacing.preview(house.office, house.admin, invoice_id, "poprawiona.xml", data)
    assert (found.code, found.refusal) == (caught.value.code, caught.value.message), "shown before as refused after"
    assert house.db.value("SELECT seq FROM change_counter") == before
    return caught.value.code


def bad(nip: str, number: str) -> bytes:
    return papers.invoice(nip, number).replace(b"<KodWaluty>PLN</KodWaluty>", b"")


async def refused_by(house: House, code: int, *rights: str) -> tuple[Client, int, bytes]:
    """An invoice that KSeF refused with this code."""
    client = await house.ready_client(*rights)
    document = papers.invoice(client.nip)
    house.ministry.fault("invoice_fails", times=1, params={"code": code})
    [invoice_id] = house.approved(client, document)
    await house.work()
    assert (house.invoice(invoice_id)["state"], house.invoice(invoice_id)["reason_code"]) == ("rejected", str(code))
    return client, invoice_id, document


async def collided(house: House, *rights: str) -> tuple[Client, int, str, bytes]:
    """Our invoice, whose number KSeF has for another document; the original's number and bytes."""
    client = await house.ready_client(*rights)
    theirs = papers.invoice(client.nip, "FV/77", item="Zupełnie inna usługa", net=999)
    original = await Stranger(house.ministry, client.nip).send(theirs)
    [invoice_id] = house.approved(client, papers.invoice(client.nip, "FV/77"))
    await house.work()
    assert house.invoice(invoice_id)["reason_code"] == "440"
    return client, invoice_id, original, theirs


# ---- replaced by a corrected file


def test_an_invalid_invoice_is_replaced_under_the_same_number_and_both_are_linked(house: House):
    client = house.client()
    [old] = house.bring(client, bad(client.nip, "FV/5"))
    assert house.states([old]) == ["invalid"]
    new = replaced(house, old, papers.invoice(client.nip, "FV/5"))
    assert house.states([old, new]) == ["replaced", "waiting"]
    assert house.invoice(old)["replaced_by"] == new
    of_old = invoice_views.invoice_details(house.office, house.admin, old)
    of_new = invoice_views.invoice_details(house.office, house.admin, new)
    assert any(f"nr wewn. {new}" in text for text in of_old.links)
    assert any(f"nr wewn. {old}" in text for text in of_new.links)
    assert f"nr wewn. {new}" in of_old.timeline[-1].text
    assert f"nr wewn. {old}" in of_new.timeline[0].text
    audited = house.db.rows("SELECT invoice_id, detail FROM audit WHERE act = 'invoice.replace' ORDER BY invoice_id")
    assert [(row["invoice_id"], json.loads(row["detail"])) for row in audited] == [
        (old, {"file": "poprawiona.xml", "replaced_by": new}),
        (new, {"file": "poprawiona.xml", "replaces": old}),
    ]
    assert approving.approve(house.office, house.admin, [new]).done == 1, "rule 2 sees only the new one"


async def test_a_refused_invoice_is_replaced_and_the_corrected_one_is_sent_once(house: House):
    client = await house.ready_client()
    [old] = house.approved(client, papers.invoice(client.nip, "FV/6"))
    wrong = bad(client.nip, "FV/6")
    with house.db.write() as connection:
        connection.execute("UPDATE invoice SET sha256 = ? WHERE id = ?", (documents.put(connection, wrong), old))
    await house.work()
    assert house.invoice(old)["reason_code"] == "450"
    corrected = papers.invoice(client.nip, "FV/6", item="Poprawiona")
    new = replaced(house, old, corrected)
    approving.approve(house.office, house.admin, [new])
    await house.work()
    assert house.states([old, new]) == ["replaced", "accepted"]
    assert len(house.ministry.holds(corrected)) == 1


def test_which_files_may_not_take_the_place(house: House):
    client, other = house.client(), house.client(name="Sosna Próbna")
    wrong = bad(client.nip, "FV/7")
    [old] = house.bring(client, wrong)
    kept = papers.invoice(client.nip, "FV/8")
    house.bring(client, kept)
    house.edit("UPDATE invoice SET number = 'FV/7', number_key = 'FV/7' WHERE id = ?", old)
    assert refusal(house, old, wrong) == "same_bytes"
    assert refusal(house, old, kept) == "known_bytes"
    assert refusal(house, old, papers.invoice(other.nip, "FV/7")) == "invalid_file"
    assert refusal(house, old, bad(client.nip, "FV/7") + b"\n") == "invalid_file"
    assert refusal(house, old, papers.invoice(client.nip, "FV/8", item="Inna")) == "stopped"
    assert refusal(house, old, papers.invoice(client.nip, "FV/9")) == "number_differs"
    assert refusal(house, old, b"x") == "invalid_file"
    new = replaced(house, old, papers.invoice(client.nip, "FV/9"), number_may_differ=True)
    assert refusal(house, new, papers.invoice(client.nip, "FV/9", item="Inna")) == "not_replaceable"
    assert refusal(house, old, papers.invoice(client.nip, "FV/9", item="Inna")) == "not_replaceable"


def test_another_file_than_one_is_refused(house: House, tmp_path):
    with pytest.raises(Problem, match="jeden plik"):
        replacing.read_file(tmp_path)
    with pytest.raises(Problem, match="brak"):
        replacing.read_file(tmp_path / "brak.xml")


# ---- tried again after a look-up


@pytest.mark.parametrize("code", [405, 410, 435, 500, 550])
async def test_what_is_not_in_ksef_waits_for_approval_again(house: House, code: int):
    _, invoice_id, document = await refused_by(house, code)
    assert approving.retry(house.office, house.admin, [invoice_id]).done == 1
    row = house.invoice(invoice_id)
    assert (row["state"], row["reason_code"]) == ("unknown", "retry"), "first it is looked for"
    assert approving.approve(house.office, house.admin, [invoice_id]).done == 0
    await house.work()
    assert (house.invoice(invoice_id)["state"], house.invoice(invoice_id)["reason"]) == ("waiting", "")
    assert house.db.value("SELECT 1 FROM journal WHERE path LIKE '%metadata%'")
    assert house.ministry.posts(SEND) == 1, "looking sends nothing"
    approving.approve(house.office, house.admin, [invoice_id])
    await house.work()
    assert house.states([invoice_id]) == ["accepted"]
    assert len(house.ministry.holds(document)) == 1


async def test_what_is_in_ksef_all_the_same_is_accepted_with_that_number(house: House):
    """550 said it was cancelled, and somebody's copy of the same bytes went through."""
    client, invoice_id, document = await refused_by(house, 550)
    number = await Stranger(house.ministry, client.nip).send(document)
    approving.retry(house.office, house.admin, [invoice_id])
    await house.work()
    row = house.invoice(invoice_id)
    assert (row["state"], row["ksef_number"], row["upo"]) == ("accepted", number, "unavailable")
    assert house.ministry.posts(SEND) == 2, "once by us, once by the other program"


async def test_what_a_session_of_ours_holds_is_accepted_with_its_receipt(house: House):
    client = await house.ready_client()
    [invoice_id] = house.approved(client)
    await house.work()
    number = house.invoice(invoice_id)["ksef_number"]
    house.edit(
        "UPDATE invoice SET state = 'rejected', reason_code = '500', ksef_number = '', upo = 'none', upo_sha256 = NULL "
        "WHERE id = ?", invoice_id,
    )  # fmt: skip
    approving.retry(house.office, house.admin, [invoice_id])
    await house.work()
    row = house.invoice(invoice_id)
    assert (row["state"], row["ksef_number"], row["upo"]) == ("accepted", number, "saved")


async def test_many_are_looked_for_with_one_question(house: House):
    client = await house.ready_client()
    ids = house.approved(client, *(papers.invoice(client.nip) for _ in range(4)))
    house.ministry.fault("invoice_fails", times=4, params={"code": 550})
    await house.work()
    assert house.states(ids) == ["rejected"] * 4
    approving.retry(house.office, house.admin, ids)
    await house.work()
    assert house.states(ids) == ["waiting"] * 4
    assert house.db.value("SELECT count(*) FROM journal WHERE path LIKE '%metadata%' AND phase = 'started'") == 1


async def test_without_the_right_to_look_it_stays_refused_and_says_which_right(house: House):
    client, invoice_id, _ = await refused_by(house, 550, "InvoiceWrite")
    approving.retry(house.office, house.admin, [invoice_id])
    await house.work()
    row = house.invoice(invoice_id)
    assert (row["state"], row["reason_code"]) == ("rejected", "550")
    assert "InvoiceRead" in row["reason"]
    house.ministry.grant(client.nip, house.nip, "InvoiceRead")
    await house.authorise(client)
    approving.retry(house.office, house.admin, [invoice_id])
    await house.work()
    assert house.states([invoice_id]) == ["waiting"]


async def test_a_lost_answer_leaves_it_unknown_and_it_is_asked_again(house: House):
    _, invoice_id, _ = await refused_by(house, 500)
    house.ministry.fault("html_5xx", times=1, match=METADATA, params={"status": 502})
    approving.retry(house.office, house.admin, [invoice_id])
    await house.work_until(lambda: house.db.value("SELECT 1 FROM client_rest"))
    assert house.states([invoice_id]) == ["unknown"]
    await house.work()
    assert house.states([invoice_id]) == ["waiting"]


async def test_in_a_commands_own_process_it_is_looked_for_under_the_lease(house: House):
    client, invoice_id, document = await refused_by(house, 500)
    number = await Stranger(house.ministry, client.nip).send(document)
    approving.retry(house.office, house.admin, [invoice_id])
    await own_work.look_for(house.office, [invoice_id], patience=20)
    assert house.invoice(invoice_id)["ksef_number"] == number


async def test_a_guard_stops_what_was_not_found(house: House):
    client, invoice_id, _ = await refused_by(house, 550)
    number = house.invoice(invoice_id)["number"]
    [twin] = house.bring(client, papers.invoice(client.nip, number, item="Inna"))
    assert house.states([twin]) == ["waiting"], "a refused one does not count"
    approving.retry(house.office, house.admin, [invoice_id])
    await house.work()
    assert (house.invoice(invoice_id)["state"], house.invoice(invoice_id)["reason_code"]) == (
        "blocked",
        "own_duplicate",
    )


def test_nobody_is_asked_without_a_working_authorisation(house: House):
    client = house.client()
    [invoice_id] = house.bring(client, papers.invoice(client.nip))
    house.edit("UPDATE invoice SET state = 'rejected', reason_code = '550' WHERE id = ?", invoice_id)
    [(_, why)] = approving.retry(house.office, house.admin, [invoice_id]).refused
    assert "połącz klienta" in why
    assert house.states([invoice_id]) == ["rejected"]


# ---- a number that another document has in KSeF


async def test_a_collision_shows_what_ksef_has_and_in_what_the_two_differ(house: House):
    _, invoice_id, original, theirs = await collided(house)
    found = repair_views.explain(house.office, house.admin, invoice_id)
    compared = found.comparison
    assert compared is not None
    assert (compared.ksef_number, compared.missing, compared.reading) == (original, "", False)
    kept = stored_collisions.get(house.db, invoice_id)
    assert kept is not None
    assert documents.get(house.db, kept["document_sha256"]) == theirs, "the original to the byte"
    assert {one.field for one in compared.differences} == {"brutto", "pozycja 1"}
    details = invoice_views.invoice_details(house.office, house.admin, invoice_id)
    assert any("brutto: u nas 123,00" in text and "1228" in text for text in details.original)
    assert any(f" z {papers.today():%d.%m.%Y}, brutto 1228,77 PLN" in text for text in details.original), (
        details.original
    )
    assert [rule.way for rule, why_not in found.ways if why_not is None][:3] == [Way.COMPARE, Way.REPLACE, Way.SETTLE]


async def test_a_collision_without_the_right_to_read_says_so_and_is_read_when_it_is_there(house: House):
    client, invoice_id, original, _ = await collided(house)
    house.edit("DELETE FROM collision")
    house.ministry.take_back(client.nip, house.nip)
    house.ministry.grant(client.nip, house.nip, "InvoiceWrite")
    await house.authorise(client)
    collisions.ask_again(house.office, house.admin, invoice_id)
    await house.work_until(lambda: house.db.value("SELECT wanted = 0 FROM collision"))
    found = repair_views.explain(house.office, house.admin, invoice_id).comparison
    assert found is not None
    assert "InvoiceRead" in found.missing
    assert found.theirs is None
    house.ministry.grant(client.nip, house.nip, "InvoiceRead")
    await house.authorise(client)
    collisions.ask_again(house.office, house.admin, invoice_id)
    await house.work_until(lambda: house.db.value("SELECT wanted = 0 FROM collision"))
    found = repair_views.explain(house.office, house.admin, invoice_id).comparison
    assert found is not None
    assert (found.ksef_number, found.missing) == (original, "")
    assert found.theirs is not None


async def test_a_lost_answer_over_a_collision_is_asked_for_again(house: House):
    _, invoice_id, original, _ = await collided(house)
    house.edit("DELETE FROM collision")
    house.ministry.fault("html_5xx", times=1, match={"path": "/v2/invoices/ksef/"}, params={"status": 500})
    collisions.ask_again(house.office, house.admin, invoice_id)
    await house.work_until(lambda: house.db.value("SELECT document_sha256 IS NOT NULL FROM collision"))
    assert house.db.value("SELECT ksef_number FROM collision") == original
    failed = "SELECT count(*) FROM journal WHERE phase = 'ended' AND kind = 'unknown' AND invoice_id = ?"
    assert house.db.value(failed, (invoice_id,)) == 1


async def test_a_person_settles_a_collision_with_a_note_and_it_leaves_what_is_to_be_done(house: House):
    client, invoice_id, _, _ = await collided(house)
    assert client_views.client_rows(house.office, house.admin, [client.id])[client.id].stuck == 1
    assert [item.count for item in today.today(house.office, house.admin)] == [1]
    with pytest.raises(Problem, match="dlaczego"):
        approving.settle(house.office, house.admin, [invoice_id], "  ")
    with pytest.raises(Problem, match="najwyżej"):
        approving.settle(house.office, house.admin, [invoice_id], "x" * 301)
    assert approving.settle(house.office, house.admin, [invoice_id], "klient wystawił ją sam").done == 1
    late = house.operator("zofia", Role.ACCOUNTANT)
    assert (
        approving.settle(house.office, late, [invoice_id], "co innego").refused[0][1].endswith(": już rozstrzygnięta")
    )
    row = house.invoice(invoice_id)
    assert (row["state"], row["reason_code"]) == ("rejected", "440")
    assert "klient wystawił ją sam" in row["reason"]
    assert client_views.client_rows(house.office, house.admin, [client.id])[client.id].stuck == 0
    assert today.today(house.office, house.admin) == []
    last = invoice_views.invoice_details(house.office, house.admin, invoice_id).timeline[-1]
    assert (last.who, "klient wystawił" in last.text) == ("kierownik", True)
    assert house.db.value("SELECT count(*) FROM audit WHERE act = 'invoice.settle'") == 1
    [twin] = house.bring(client, papers.invoice(client.nip, "FV/77", item="Trzecia"))
    assert house.states([twin]) == ["blocked"], "the number stays taken in KSeF"


async def test_what_was_settled_and_is_tried_again_is_not_settled_any_more(house: House):
    _, invoice_id, _ = await refused_by(house, 550)
    approving.settle(house.office, house.admin, [invoice_id], "klient wystawi ją sam")
    assert today.today(house.office, house.admin) == []
    assert approving.retry(house.office, house.admin, [invoice_id]).done == 1
    assert house.invoice(invoice_id)["settled_at"] is None
    await house.work()
    assert [item.count for item in today.today(house.office, house.admin)] == [1]


async def test_a_collision_is_replaced_under_a_new_number_only(house: House):
    client, invoice_id, _, _ = await collided(house)
    assert refusal(house, invoice_id, papers.invoice(client.nip, "FV/77", item="Poprawiona")) == "number_taken"
    corrected = papers.invoice(client.nip, "FV/77/A")
    new = replaced(house, invoice_id, corrected)
    approving.approve(house.office, house.admin, [new])
    await house.work()
    assert house.states([invoice_id, new]) == ["replaced", "accepted"]


# ---- own duplicates


def test_an_own_duplicate_is_released_when_the_other_no_longer_counts(house: House):
    client = house.client()
    [first] = house.bring(client, papers.invoice(client.nip, "FV/3"))
    [second] = house.bring(client, papers.invoice(client.nip, "FV/3", item="Inna"))

    def why_no_release() -> str | None:
        found = repair_views.explain(house.office, house.admin, second)
        return next(why_not for rule, why_not in found.ways if rule.way is Way.RELEASE)

    assert f"nr wewn. {first}" in (why_no_release() or "")
    assert approving.release(house.office, house.admin, [second]).done == 0
    approving.withdraw(house.office, house.admin, [first])
    assert why_no_release() is None
    assert approving.release(house.office, house.admin, [second]).done == 1
    assert house.states([second]) == ["waiting"]


# ---- roles


def test_a_client_operator_mends_its_own_invoices_and_nobody_elses(house: House):
    mine, other = house.client(), house.client(name="Sosna Próbna")
    operator = house.operator("jodla", Role.CLIENT, mine)
    [own] = house.bring(mine, bad(mine.nip, "FV/1"))
    [foreign] = house.bring(other, bad(other.nip, "FV/1"))
    assert importing.import_bytes(house.office, operator, mine.id, "a.xml", bad(mine.nip, "FV/1")).known
    new = replacing.replace(house.office, operator, own, "a.xml", papers.invoice(mine.nip, "FV/1"))
    assert house.states([own, new]) == ["replaced", "waiting"]
    for ask in (
        lambda: replacing.replace(house.office, operator, foreign, "a.xml", papers.invoice(other.nip, "FV/1")),
        lambda: repair_views.explain(house.office, operator, foreign),
        lambda: collisions.ask_again(house.office, operator, foreign),
    ):
        with pytest.raises(Problem) as caught:
            ask()
        assert caught.value.code == "unknown_invoice"
    assert approving.settle(house.office, operator, [foreign], "nie nasza").done == 0
