"""Sending: exactly once, in the right name. Each test is named after the rule of design §6 and the row of the field notes."""

from __future__ import annotations

from datetime import timedelta

import pytest
from support import papers
from support.houses import Client, House
from support.ministry import ASKING, CLOSE, CLOSING, OPEN, OPENING, SEND, SENDING, SIGNED_LOGIN, Ministry

from ksef_tui.services import approving, authorising, configuring
from ksef_tui.services.standing import standing
from ksef_tui.services.turn import Polls
from ksef_tui.services.worker import Worker, one_pass
from ksef_tui.store import documents

# ---- rule 1: the right name


# What is swapped between two clients behind the program's back: table, columns, which row of each.
SWAPS = {
    "sealed tokens": ("authorization", ("sealed_access", "sealed_refresh", "reference"), "client_id"),
    "sessions": ("session", ("client_id",), "client_id"),
    "references of sessions": ("session", ("reference",), "client_id"),
    "NIPs": ("client", ("nip",), "id"),
    "sellers": ("invoice", ("seller_nip",), "client_id"),
    "documents": ("invoice", ("sha256",), "client_id"),
    "invoices": ("invoice", ("client_id",), "client_id"),
}


def swap(house: House, one: Client, two: Client, table: str, columns: tuple[str, ...], key: str) -> None:
    where = f"{key} = ?" + (" AND state = 'approved'" if table == "invoice" else "")
    found = [
        house.db.row(f"SELECT *, rowid AS place FROM {table} WHERE {where}", (client.id,)) for client in (one, two)
    ]
    with house.db.write() as connection:
        connection.execute("PRAGMA defer_foreign_keys = ON")
        for row, other in zip(found, reversed(found), strict=True):
            for column in columns:
                if column == "nip":  # unique: by way of a third value
                    connection.execute(
                        f"UPDATE {table} SET nip = ? WHERE rowid = ?", (str(row["place"]) * 10, other["place"])
                    )
        for row, other in zip(found, reversed(found), strict=True):
            for column in columns:
                connection.execute(f"UPDATE {table} SET {column} = ? WHERE rowid = ?", (other[column], row["place"]))


@pytest.mark.parametrize("swapped", SWAPS)
async def test_rule_01_f22_a_wrong_name_never_goes_out_even_from_an_edited_database(house: House, swapped: str):
    one, two = await house.ready_client(), await house.ready_client()
    house.approved(one)
    house.approved(two)
    # until both have an open session and live tokens
    await house.work_until(lambda: house.db.value("SELECT count(*) FROM invoice WHERE upo = 'saved'") == 2)
    sent = house.ministry.posts(SEND)
    documents = [papers.invoice(one.nip), papers.invoice(two.nip)]
    ids = [*house.approved(one, documents[0]), *house.approved(two, documents[1])]
    swap(house, one, two, *SWAPS[swapped])

    if swapped == "sealed tokens":  # another client's token does not open: each logs in anew, in its own name
        await house.work()
        assert house.states(ids) == ["accepted", "accepted"]
        assert house.ministry.posts(SIGNED_LOGIN) == 4
    elif swapped == "sessions":  # nor does another client's session: it is closed, and each opens its own
        await house.work()
        assert house.states(ids) == ["accepted", "accepted"]
        assert {row["context"] for row in house.calls("session.send", "started")[2:]} == {one.nip, two.nip}
    elif (
        swapped == "references of sessions"
    ):  # the session at KSeF is another's: it takes nothing and is not used again
        await house.work()
        assert house.states(ids) == ["accepted", "accepted"]
        assert [row["kind"] for row in house.calls("session.send", "ended")].count("refused") == 2
    else:
        await house.work_until(lambda: house.states(ids) == ["blocked", "blocked"])
        for invoice_id in ids:
            row = house.invoice(invoice_id)
            assert row["reason_code"] == "wrong_name"
            assert one.nip in row["reason"]
            assert two.nip in row["reason"]
        assert house.ministry.posts(SEND) == sent, "a call left though the names did not fit"
    for client, document in zip((one, two), documents, strict=True):
        assert all(kept["seller"] == client.nip for kept in house.ministry.holds(document))
    expected = 2 if swapped in ("sealed tokens", "sessions", "references of sessions") else 1
    assert [len(house.ministry.numbered(client.nip)) for client in (one, two)] == [expected, expected]


async def test_rule_08_a_document_that_was_altered_is_not_sent_and_holds_up_no_other(house: House):
    client = await house.ready_client()
    altered, good = house.approved(client, papers.invoice(client.nip), papers.invoice(client.nip))
    house.edit(
        "UPDATE document SET bytes = CAST(bytes || ' ' AS BLOB) WHERE sha256 = ?", house.invoice(altered)["sha256"]
    )
    await house.work()
    assert house.states([altered, good]) == ["blocked", "accepted"]
    assert house.invoice(altered)["reason_code"] == "document_altered"
    assert house.ministry.posts(SEND) == 1


# ---- rule 2: own duplicates


async def test_rule_02_f4_a_second_kind_with_the_same_number_is_stopped_also_after_the_first_went_out(house: House):
    client = await house.ready_client()
    house.approved(client, papers.invoice(client.nip, "FV/1"))
    await house.work()
    [again] = house.bring(client, papers.of_kind(papers.invoice(client.nip, "FV/1", item="Inna"), "ROZ"))
    assert (house.invoice(again)["state"], house.invoice(again)["reason_code"]) == ("blocked", "own_duplicate")


# ---- rules 3, 4 and 9: a lost answer is unknown, only reading can tell


async def test_rule_04_f1_f7_f9_a_lost_answer_is_settled_without_a_second_post(house: House):
    client = await house.ready_client()
    document = papers.invoice(client.nip)
    house.ministry.fault("lost_answer", times=1, match=SENDING)
    [invoice_id] = house.approved(client, document)
    await house.work()
    row = house.invoice(invoice_id)
    assert (row["state"], row["upo"], row["attempts"]) == ("accepted", "saved", 1)
    assert history(house, invoice_id) == [
        "import waiting", "approve approved", "send sending", "sent unknown", "settle accepted",
    ] or history(house, invoice_id)[3:5] == ["sent unknown", "settle processing"]  # fmt: skip
    assert house.ministry.posts(SEND) == 1
    assert len(house.ministry.holds(document)) == 1


async def test_rule_04_f7_a_lost_request_is_proved_absent_and_sent_again_once(house: House):
    client = await house.ready_client()
    document = papers.invoice(client.nip)
    house.ministry.fault("lost_request", times=1, match=SENDING)
    [invoice_id] = house.approved(client, document)
    await house.work()
    row = house.invoice(invoice_id)
    assert (row["state"], row["attempts"]) == ("accepted", 2)
    assert history(house, invoice_id)[2:6] == ["send sending", "sent unknown", "settle approved", "send sending"]
    assert house.ministry.posts(SEND) == 1, "the lost one was never handled"
    assert len(house.ministry.holds(document)) == 1
    states = house.db.rows("SELECT state, code FROM session ORDER BY id")
    assert [s["state"] for s in states] == ["finished", "finished"]
    assert states[0]["code"] == 440, "it was freed before its session was closed and over"


@pytest.mark.parametrize(
    "trouble",
    [("html_5xx", {"status": 502}), ("html_5xx", {"status": 500}), ("waf_403", {})],
    ids=["502 as a page", "500 as a page", "403 without reasonCode"],
)
async def test_rule_04_f26_f39_weather_on_a_send_is_unknown_then_settled(house: House, trouble):
    name, params = trouble
    client = await house.ready_client()
    document = papers.invoice(client.nip)
    house.ministry.fault(name, times=1, match=SENDING, params=params)
    [invoice_id] = house.approved(client, document)
    await house.work()
    assert "sent unknown" in history(house, invoice_id)
    assert house.states([invoice_id]) == ["accepted"]
    assert len(house.ministry.holds(document)) == 1
    assert house.auth(client)["state"] == "active", "weather is no denial"


async def test_rule_04_while_unknown_a_person_cannot_send_it_again(house: House):
    client = await house.ready_client()
    house.ministry.fault("lost_answer", times=1, match=SENDING)
    house.ministry.fault("outage", match=ASKING)
    [invoice_id] = house.approved(client)
    await house.work_until(lambda: house.states([invoice_id]) == ["unknown"])
    for act in (approving.approve, approving.recall, approving.hold, approving.withdraw, approving.retry):
        assert act(house.office, house.admin, [invoice_id]).done == 0
    house.ministry.calm()
    await house.work()
    assert house.states([invoice_id]) == ["accepted"]
    assert house.ministry.posts(SEND) == 1


async def test_rule_04_f2_what_is_stuck_is_never_sent_again(house: House):
    """KSeF was slow for an hour: 100/150 is waited for, without limit."""
    client = await house.ready_client()
    document = papers.invoice(client.nip)
    house.ministry.fault("stuck")
    [invoice_id] = house.approved(client, document)
    await house.work_until(lambda: len(house.calls("session.invoice", "ended")) >= 2)
    house.later(hours=30)
    await house.work_until(lambda: len(house.calls("session.invoice", "ended")) >= 3)
    assert house.states([invoice_id]) == ["processing"]
    assert house.ministry.posts(SEND) == 1
    house.ministry.calm()
    await house.work()
    assert house.states([invoice_id]) == ["accepted"]
    assert house.ministry.posts(SEND) == 1


async def test_rule_09_f9_opening_is_not_repeated_inside_a_pass_and_an_empty_session_harms_nothing(house: House):
    client = await house.ready_client()
    house.ministry.fault("lost_answer", times=1, match=OPENING)
    [invoice_id] = house.approved(client)
    await house.work()
    assert house.states([invoice_id]) == ["accepted"]
    assert [s["state"] for s in house.db.rows("SELECT state FROM session ORDER BY id")] == ["lost", "finished"]
    assert house.ministry.posts(SEND) == 1


# ---- rule 7: close until closed


async def test_rule_07_f1_f13_closing_is_repeated_until_it_is_closed(house: House):
    client = await house.ready_client()
    house.ministry.fault("lost_answer", times=1, match=CLOSING)
    house.ministry.fault("html_5xx", times=1, match=CLOSING)
    [invoice_id] = house.approved(client)
    await house.work()
    assert house.states([invoice_id]) == ["accepted"]
    assert house.db.value("SELECT state FROM session") == "finished"
    ended = [(r["kind"], r["status"]) for r in house.calls("session.close", "ended")]
    assert len(ended) == 3
    assert [kind for kind, _ in ended[:2]] == ["unknown", "unknown"]


async def test_rule_07_f16_a_session_that_is_denied_soon_after_its_opening_is_closed_later(house: House):
    client = await house.ready_client()
    house.ministry.fault("not_found_after_open", times=2, match=CLOSING)
    house.approved(client)
    await house.work()
    ended = [(r["kind"], r["code"]) for r in house.calls("session.close", "ended")]
    assert ended == [("refused", 21173), ("refused", 21173), ("ok", None)]
    assert house.db.value("SELECT state FROM session") == "finished"


async def test_rule_07_an_idle_session_is_closed_while_the_worker_stays(house: House):
    client = await house.ready_client()
    house.edit("INSERT OR REPLACE INTO setting VALUES ('session_idle_seconds', '0')")
    house.approved(client)
    await house.work_until(lambda: house.db.value("SELECT state FROM session") == "finished")
    assert house.ministry.posts(CLOSE) == 1


async def test_rule_07_a_session_is_closed_while_what_is_due_waits_for_a_package(house: House):
    """KSeF refused a package: those with attachments wait an hour for the next one, and no session waits with them."""
    client = await house.ready_client()
    house.edit("INSERT OR REPLACE INTO setting VALUES ('session_idle_seconds', '0')")
    house.ministry.allow_attachments(client.nip)
    house.ministry.fault("session_fails", times=1, params={"code": 420})
    [attached] = house.approved(client, papers.with_attachment(papers.invoice(client.nip)))
    await house.work_until(lambda: house.db.value("SELECT code FROM session WHERE state = 'finished'") == 420)
    [plain] = house.approved(client)
    await house.work_until(lambda: house.db.value("SELECT state FROM session WHERE kind = 'interactive'") == "finished")
    assert house.states([attached, plain]) == ["approved", "accepted"]
    await _comes_back_at_leisure(house, client)


async def _comes_back_at_leisure(house: House, client: Client) -> None:
    """What nothing but time or a person moves is not looked at many times a second."""
    worker, polls = Worker(house.office), Polls()
    waits = [await one_pass(worker, client.id, polls) for _ in range(3)]
    await worker.api.aclose()
    assert all(wait is None or wait >= 1 for wait in waits), waits


async def test_invoices_of_one_sitting_share_a_session(house: House):
    client = await house.ready_client()
    first = house.approved(client, *[papers.invoice(client.nip) for _ in range(4)])
    await house.work_until(lambda: house.states(first) == ["accepted"] * 4)
    second = house.approved(client)
    await house.work()
    assert house.states(second) == ["accepted"]
    assert house.ministry.posts(OPEN) == 1


# ---- rule 9: typed refusals


async def test_rule_09_f56_21184_sends_the_rest_in_a_new_session(house: House):
    client = await house.ready_client()
    house.ministry.fault("session_unavailable", times=1, match=SENDING)
    documents = [papers.invoice(client.nip) for _ in range(2)]
    ids = house.approved(client, *documents)
    await house.work()
    assert house.states(ids) == ["accepted", "accepted"]
    assert house.ministry.posts(OPEN) == 2
    assert [len(house.ministry.holds(d)) for d in documents] == [1, 1]
    assert {s["state"] for s in house.db.rows("SELECT state FROM session")} == {"finished"}


async def test_rule_09_f16_21173_right_after_opening_is_no_reason_to_open_another(house: House):
    client = await house.ready_client()
    house.ministry.fault("not_found_after_open", times=1, match={"method": "GET"})
    [invoice_id] = house.approved(client)
    await house.work()
    assert house.states([invoice_id]) == ["accepted"]
    assert house.ministry.posts(OPEN) == 1


async def test_rule_09_f44_21470_a_new_key_is_fetched_once_for_a_session(house: House):
    client = await house.ready_client()
    worker = Worker(house.office, until_idle=True)
    await worker.keys.get("SymmetricKeyEncryption")
    house.ministry.fault("key_rotation")
    [invoice_id] = house.approved(client)
    await worker.run()
    assert house.states([invoice_id]) == ["accepted"]
    assert house.ministry.posts(OPEN) == 2
    assert [s["state"] for s in house.db.rows("SELECT state FROM session ORDER BY id")] == ["lost", "finished"]


async def test_rule_10_f35_retry_after_is_honoured_to_the_second(house: House):
    client = await house.ready_client()
    house.ministry.fault("rate_limited", times=1, match=SENDING, params={"retry_after": 2})
    [invoice_id] = house.approved(client)
    await house.work()
    assert house.states([invoice_id]) == ["accepted"]
    _, second = house.calls("session.send")
    [refused, _] = house.calls("session.send", "ended")
    assert (refused["kind"], refused["status"]) == ("limited", 429)
    assert second["epoch"] - refused["epoch"] >= 2.0
    assert history(house, invoice_id)[2:5] == ["send sending", "sent approved", "send sending"]
    assert house.ministry.posts(SEND) == 1


# ---- rights that are lost


async def test_f30_a_right_that_was_lost_is_learned_from_the_refusal_and_the_invoices_stay_approved(house: House):
    """The access token still says InvoiceWrite; the next login says what is true."""
    client = await house.ready_client()
    house.ministry.take_back(client.nip, house.nip)
    house.edit("UPDATE authorization SET access_until = '2026-01-01T00:00:00.000Z'")
    ids = house.approved(client, papers.invoice(client.nip), papers.invoice(client.nip))
    await house.work()
    assert house.states(ids) == ["approved", "approved"]
    row = house.auth(client)
    assert (row["state"], row["reason_code"]) == ("no_permission", "withdrawn")
    assert house.ministry.posts(SEND) == 0
    house.ministry.grant(client.nip, house.nip, "InvoiceWrite", "InvoiceRead")
    authorising.check(house.office, house.admin, client.id)
    await house.work()
    assert house.states(ids) == ["accepted", "accepted"]


async def test_f30_a_403_with_a_reason_makes_the_client_read_only_and_the_invoices_stay_approved(house: House):
    client = house.client("InvoiceRead")
    row = await house.authorise(client)
    assert row["state"] == "read_only"
    house.edit("UPDATE authorization SET state = 'active' WHERE client_id = ?", client.id)
    ids = house.approved(client)
    await house.work()
    row = house.auth(client)
    assert (row["state"], row["reason_code"]) == ("read_only", "missing-permissions")
    assert "InvoiceWrite" in row["reason"]
    assert house.states(ids) == ["approved"]
    assert house.ministry.posts(OPEN) == 1, "asked once, not in a loop"


async def test_invoices_of_a_client_without_an_authorisation_wait_and_say_why(house: House):
    client = house.client()
    ids = house.approved(client)
    await house.work()
    assert house.states(ids) == ["approved"]
    [(nip, _, count, why)] = standing(house.office, house.admin)
    assert (nip, count) == (client.nip, 1)
    assert "brak autoryzacji" in why


async def test_one_clients_trouble_does_not_hold_up_another(house: House):
    one, two = await house.ready_client(), await house.ready_client()
    house.ministry.block(one.nip)
    house.edit("UPDATE authorization SET access_until = NULL, refresh_until = NULL WHERE client_id = ?", one.id)
    stands, goes = house.approved(one)[0], house.approved(two)[0]
    await Worker(house.office, until_idle=True).run()
    assert house.states([stands, goes]) == ["approved", "accepted"]
    assert house.auth(one)["state"] == "blocked"


# ---- what KSeF refuses


async def test_rule_06_f11_f19_a_refusal_that_comes_later_says_what_and_what_to_do(house: House):
    """KSeF refuses a file that our checks let through: with a sentence, and not to be retried."""
    client = await house.ready_client()
    [invoice_id] = house.approved(client)
    bad = papers.invoice(client.nip).replace(b"<KodWaluty>PLN</KodWaluty>", b"")
    with house.db.write() as connection:
        digest = documents.put(connection, bad)
        connection.execute("UPDATE invoice SET sha256 = ? WHERE id = ?", (digest, invoice_id))
    await house.work()
    row = house.invoice(invoice_id)
    assert (row["state"], row["reason_code"]) == ("rejected", "450")
    assert "schem" in row["reason"]
    assert house.db.value("SELECT state FROM session") == "finished", "445 is read invoice by invoice (F19)"
    assert approving.retry(house.office, house.admin, [invoice_id]).done == 0


@pytest.mark.parametrize("code", [500, 550])
async def test_what_ksef_could_not_process_is_sent_again_when_a_person_says_so(house: House, code: int):
    client = await house.ready_client()
    document = papers.invoice(client.nip)
    house.ministry.fault("invoice_fails", times=1, params={"code": code})
    [invoice_id] = house.approved(client, document)
    await house.work()
    assert (house.invoice(invoice_id)["state"], house.invoice(invoice_id)["reason_code"]) == ("rejected", str(code))
    assert house.ministry.posts(SEND) == 1, "never by itself"
    assert approving.retry(house.office, house.admin, [invoice_id]).done == 1
    await house.work()
    assert house.states([invoice_id]) == ["waiting"]
    approving.approve(house.office, house.admin, [invoice_id])
    await house.work()
    assert house.states([invoice_id]) == ["accepted"]
    assert len(house.ministry.holds(document)) == 1


async def test_rule_12_a_date_in_the_future_is_stopped_again_before_it_goes_out(house: House):
    """The checks of the import let it through, for instance on a day when the clock was wrong."""
    client = await house.ready_client()
    [invoice_id] = house.approved(client)
    tomorrow = papers.today() + timedelta(days=1)
    house.edit("UPDATE invoice SET issue_date = ? WHERE id = ?", tomorrow.isoformat(), invoice_id)
    await house.work_until(lambda: house.states([invoice_id]) == ["blocked"])
    assert house.invoice(invoice_id)["reason_code"] == "future_date"
    assert house.ministry.posts(SEND) == 0


async def test_rule_12_f52_what_ksef_marked_offline_is_shown(house: House):
    client = await house.ready_client()
    [invoice_id] = house.approved(client, papers.invoice(client.nip, day=papers.today() - timedelta(days=3)))
    await house.work()
    assert (house.invoice(invoice_id)["state"], house.invoice(invoice_id)["mode"]) == ("accepted", "offline")


def history(house: House, invoice_id: int) -> list[str]:
    rows = house.db.rows("SELECT act, to_state FROM invoice_event WHERE invoice_id = ? ORDER BY id", (invoice_id,))
    return [f"{row['act']} {row['to_state']}" for row in rows]


# ---- what is stuck does not stop the rest


async def test_a_session_whose_key_does_not_open_is_closed_and_another_takes_its_place(house: House):
    client = await house.ready_client()
    house.approved(client)
    await house.work_until(lambda: house.db.value("SELECT count(*) FROM invoice WHERE upo = 'saved'") == 1)
    house.edit("UPDATE session SET sealed_key = zeroblob(60)")
    ids = house.approved(client, papers.invoice(client.nip), papers.invoice(client.nip))
    await house.work()
    assert house.states(ids) == ["accepted", "accepted"]
    assert [row["state"] for row in house.db.rows("SELECT state FROM session ORDER BY id")] == ["finished", "finished"]


async def test_rule_10_f36_a_limit_of_sending_does_not_eat_the_limit_of_sessions(own_ministry, tmp_path):
    """F36: a session is opened only for an invoice that may go out, and waits for the next one instead of closing."""
    ministry = Ministry(own_ministry(limits="production").url)
    house = House(tmp_path / "office", ministry)
    configuring.change(house.office, house.admin, "batch_from", "100")
    client = await house.ready_client()
    ids = house.approved(client, *(papers.invoice(client.nip) for _ in range(14)))
    await house.work()
    assert house.states(ids) == ["accepted"] * 14
    assert len(house.calls("session.open")) == 1
    assert ministry.refused_by_limits() == 0
    house.close()
    ministry.close()


async def test_invoices_at_ksef_of_a_client_that_lost_access_are_told(house: House):
    client = await house.ready_client()
    house.approved(client)
    house.ministry.fault("stuck")
    await house.work_until(lambda: house.states([1]) == ["processing"])
    house.ministry.take_back(client.nip, house.nip)
    authorising.check(house.office, house.admin, client.id)
    await house.carry_out(client)
    house.ministry.calm()
    await house.work()
    [(nip, _, count, why)] = standing(house.office, house.admin)
    assert (nip, count) == (client.nip, 1)
    assert why == "wysłane, wynik nieznany – brak uprawnień w KSeF"
