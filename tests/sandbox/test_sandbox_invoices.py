"""What KSeF says of each invoice: one table, in the order in which it looks."""

from __future__ import annotations

from datetime import date, timedelta
from pathlib import Path

import pytest
from lxml import etree
from sandbox_client import until
from sandbox_crypto import encrypt, random_key, sha
from sandbox_invoices import invoice, nip, number, today

SAMPLES = Path(__file__).parents[3] / "shared" / "ksef" / "samples"
UPO_SCHEMA = Path(__file__).parents[3] / "shared" / "ksef" / "xsd" / "upo-v4-3.xsd"
TOMORROW = (date.fromisoformat(today()) + timedelta(days=1)).isoformat()
YESTERDAY = (date.fromisoformat(today()) - timedelta(days=1)).isoformat()
ATTACHMENT = (
    "<Zalacznik><BlokDanych><MetaDane><ZKlucz>k</ZKlucz><ZWartosc>w</ZWartosc></MetaDane></BlokDanych></Zalacznik>"
)


@pytest.fixture
def company(ksef):
    me = nip()
    token = ksef.owner(me)
    return me, token, ksef.open(token)


def _big(me: str) -> bytes:
    line = "<FaWiersz><NrWierszaFa>2</NrWierszaFa><P_7>" + "x" * 400 + "</P_7></FaWiersz>"
    return invoice(me).replace(b"</Fa>", (line * 2200).encode() + b"</Fa>")


# name: document, changes of the request, code, a part of the first detail
JUDGED = {
    "not encrypted with the key": (lambda m: invoice(m), {"content": encrypt(b"x", *random_key())}, 435, ""),
    "no whole blocks": (lambda m: invoice(m), {"content": b"12345"}, 435, "16 bajtów"),
    "another hash": (lambda m: invoice(m), {"invoiceHash": sha(b"")}, 430, "Skrót"),
    "another size": (lambda m: invoice(m), {"invoiceSize": 3}, 430, "Rozmiar"),
    "over a megabyte": (_big, {}, 430, "limit 1000000"),
    "a BOM": (lambda m: b"\xef\xbb\xbf" + invoice(m), {}, 430, "BOM"),
    "not UTF-8": (lambda m: invoice(m).replace("ł".encode(), b"\xb3"), {}, 450, "Invalid XML"),
    "another encoding": (
        lambda m: (
            invoice(m, head='<?xml version="1.0" encoding="ascii"?>', item="a")
            .decode()
            .encode("ascii", "xmlcharrefreplace")
        ),
        {},
        430,
        "UTF-8",
    ),
    "not XML": (lambda m: invoice(m)[:-5], {}, 450, "Invalid XML"),
    "a document type": (lambda m: invoice(m, head="<!DOCTYPE Faktura>"), {}, 450, "DOCTYPE"),
    "a processing instruction": (lambda m: invoice(m, head="<?ala ma kota?>"), {}, 430, "Instrukcje"),
    "a discouraged character": (lambda m: invoice(m, item="a\x81b"), {}, 430, "znaki"),
    "a discouraged character as a reference": (lambda m: invoice(m, item="a&#x81;b"), {}, 430, "znaki"),
    "another schema": (lambda m: b'<Faktura xmlns="http://crd.gov.pl/wzor/2023/06/29/12648/"/>', {}, 450, "Faktura"),
    "an amount with a comma": (lambda m: invoice(m).replace(b"<P_15>123<", b"<P_15>123,00<"), {}, 450, "P_15"),
    "another seller": (lambda m: invoice(nip()), {}, 410, "nie jest uprawniony"),
    "an attachment": (lambda m: invoice(m, extra=ATTACHMENT), {}, 415, "wsadowej"),
    "a date of tomorrow": (lambda m: invoice(m, day=TOMORROW), {}, 450, "P_1"),
}


@pytest.mark.parametrize("name", JUDGED)
def test_a_bad_invoice_gets_its_code_after_it_was_taken(ksef, company, name):
    make, changes, code, part = JUDGED[name]
    me, token, session = company
    item = ksef.judged(token, make(me), session, **changes)
    assert item["status"]["code"] == code, item
    assert part in item["status"]["details"][0]
    assert "ksefNumber" not in item
    assert ksef.get(f"/sessions/{session.ref}/invoices/failed", token).json()["invoices"] == [item]
    assert ksef.get(f"/sessions/{session.ref}/invoices/{item['referenceNumber']}/upo", token).status_code == 400


@pytest.mark.parametrize(
    ("day", "offline", "mode"),
    [(today(), False, "Online"), (YESTERDAY, False, "Offline"), (today(), True, "Offline")],
)
def test_the_mode_follows_the_day_of_issue(ksef, company, day, offline, mode):
    me, token, session = company
    item = ksef.judged(token, invoice(me, day=day), session, offlineMode=offline)
    assert (item["status"]["code"], item["invoicingMode"]) == (200, mode)


def test_the_number_has_seller_day_and_a_right_checksum(ksef, company):
    me, token, session = company
    value = ksef.judged(token, invoice(me), session)["ksefNumber"]
    register = 0
    for byte in value[:32].encode():
        register ^= byte
        for _ in range(8):
            register = (register << 1) ^ (0x107 if register & 0x80 else 0)
    assert value[:10] == me
    assert value[11:19] == today().replace("-", "")
    assert value[33:] == f"{register:02X}"


def test_a_duplicate_points_to_the_original_over_sessions_and_contexts(ksef, company):
    me, token, session = company
    no = number()
    first = ksef.judged(token, invoice(me, no), session)
    again = ksef.judged(token, invoice(me, f" {no} ", item="co innego"), ksef.open(token))
    assert again["status"]["description"] == "Duplikat faktury"
    extensions = again["status"]["extensions"]
    assert extensions["originalKsefNumber"] == first["ksefNumber"]
    assert extensions["originalSessionReferenceNumber"] == session.ref
    # Another kind is another key for KSeF, another seller too.
    assert ksef.judged(token, invoice(me, no, kind="ROZ"), session)["status"]["code"] == 200
    other = nip()
    assert ksef.judged(ksef.owner(other), invoice(other, no))["status"]["code"] == 200


def test_spaces_in_a_number_collapse_but_a_hard_space_does_not(ksef, company):
    me, token, session = company
    no = number()
    found = [ksef.judged(token, invoice(me, text + no), session) for text in ("A ", "A  ", "A\u00a0")]
    assert [item["status"]["code"] for item in found] == [200, 440, 200]


def test_a_rejected_number_is_free_again(ksef, company):
    me, token, session = company
    no = number()
    assert ksef.judged(token, invoice(me, no, day=TOMORROW), session)["status"]["code"] == 450
    assert ksef.judged(token, invoice(me, no), session)["status"]["code"] == 200


def test_two_of_the_same_in_one_session_give_one_number(ksef, company):
    me, token, session = company
    plain = invoice(me)
    refs = [ksef.send(token, session, plain) for _ in range(2)]
    assert [ksef.invoice(token, session, ref)["status"]["code"] for ref in refs] == [200, 440]


def test_check_digits_are_looked_at_only_when_asked_for(ksef):
    me = nip()
    token = ksef.owner(me)
    wrong = invoice(me, buyer="1234567890")
    session = ksef.open(token, headers={"X-KSeF-Feature": "subject-identifier-validation"})
    item = ksef.judged(token, wrong, session)
    assert (item["status"]["code"], "1234567890" in item["status"]["details"][0]) == (450, True)
    assert ksef.judged(token, wrong)["status"]["code"] == 200


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"encryptedInvoiceSize": 1}, 21402),
        ({"encryptedInvoiceHash": sha(b"")}, 21403),
        ({"encryptedInvoiceContent": "nie base64!"}, 21405),
        ({"invoiceHash": None}, 21405),
        ({"invoiceSize": 0}, 21405),
        ({"invoiceSize": "3"}, 21405),
        ({"hashOfCorrectedInvoice": sha(b"x")}, 21405),
    ],
)
def test_what_is_wrong_with_the_request_is_said_at_once(ksef, company, changes, code):
    me, token, session = company
    response = ksef.try_send(token, session, invoice(me), **changes)
    assert response.status_code == 400
    assert response.json()["exception"]["exceptionDetailList"][0]["exceptionCode"] == code


def test_a_technical_correction_is_taken_once_and_only_of_a_rejected_invoice(ksef, company):
    me, token, session = company
    bad, good = invoice(me, "F/T 1", day=TOMORROW), invoice(me, "F/T 1")
    assert ksef.judged(token, bad, session, offlineMode=True)["status"]["code"] == 450
    change = {"offlineMode": True, "hashOfCorrectedInvoice": sha(bad)}
    assert ksef.judged(token, good, session, **change)["status"]["code"] == 200
    for wrong, code in ((change, 21166), ({**change, "hashOfCorrectedInvoice": sha(good)}, 21167)):
        answer = ksef.try_send(token, session, invoice(me), **wrong)
        assert answer.json()["exception"]["exceptionDetailList"][0]["exceptionCode"] == code


def test_limits_of_the_context_are_those_that_are_enforced(ksef, company):
    me, token, session = company
    small = {"maxInvoiceSizeInMB": 0, "maxInvoiceWithAttachmentSizeInMB": 3, "maxInvoices": 1}
    body = {"onlineSession": small, "batchSession": small}
    assert ksef.post("/testdata/limits/context/session", token, body).status_code == 200
    assert ksef.get("/limits/context", token).json()["onlineSession"] == small
    assert ksef.judged(token, invoice(me), session)["status"]["code"] == 430
    answer = ksef.try_send(token, session, invoice(me))
    assert answer.json()["exception"]["exceptionDetailList"][0]["exceptionCode"] == 21155
    assert ksef.call("DELETE", "/testdata/limits/context/session", token).status_code == 200
    assert ksef.judged(token, invoice(me), session)["status"]["code"] == 200


def test_both_parties_see_the_invoice_and_nobody_else(ksef, company):
    me, token, session = company
    buyer = nip()
    plain = invoice(me, buyer=buyer)
    value = ksef.judged(token, plain, session)["ksefNumber"]
    theirs = ksef.owner(buyer)
    for reader in (token, theirs):
        answer = ksef.get(f"/invoices/ksef/{value}", reader)
        assert (answer.content, answer.headers["x-ms-meta-hash"]) == (plain, sha(plain))
    stranger = ksef.get(f"/invoices/ksef/{value}", ksef.owner(nip()))
    assert stranger.json()["exception"]["exceptionDetailList"][0]["exceptionCode"] == 21164


def test_the_metadata_query_finds_by_role_number_and_kind(ksef, company):
    me, token, session = company
    buyer, numbers = nip(), [number() for _ in range(12)]
    items = [ksef.judged(token, invoice(me, no, buyer=buyer), session) for no in numbers]

    def ask(reader, query="", **filters):
        day = f"{today()}T00:00:00Z"
        span = {"dateType": "PermanentStorage", "from": f"{YESTERDAY}{day[10:]}"}
        body = {"subjectType": "Subject1", "dateRange": span, **filters}
        answer = ksef.post(f"/invoices/query/metadata{query}", reader, body)
        assert answer.status_code == 200, answer.text
        return answer.json()

    first = ask(token)
    assert [row["invoiceNumber"] for row in first["invoices"]] == numbers[:10]
    assert (first["hasMore"], first["isTruncated"]) == (True, False)
    second = ask(token, "?pageOffset=1")
    assert ([row["invoiceNumber"] for row in second["invoices"]], second["hasMore"]) == (numbers[10:], False)
    assert ask(token, "?sortOrder=Desc")["invoices"][0]["invoiceNumber"] == numbers[-1]
    one = ask(ksef.owner(buyer), subjectType="Subject2", invoiceNumber=numbers[3])["invoices"]
    assert [(row["ksefNumber"], row["grossAmount"]) for row in one] == [(items[3]["ksefNumber"], 123.0)]
    assert ask(token, invoiceTypes=["Kor"])["invoices"] == []
    assert ask(token, amount={"type": "Netto", "from": 101})["invoices"] == []
    assert ask(ksef.owner(nip()))["invoices"] == []


@pytest.mark.skipif(not SAMPLES.is_dir(), reason="the ministry's examples are not on this machine")
def test_the_ministrys_examples_are_taken(ksef):
    me = "9999999999"
    token = ksef.owner(me)
    session = ksef.open(token)
    found = {path.name: ksef.judged(token, path.read_bytes(), session) for path in sorted(SAMPLES.glob("*.xml"))}
    refused = {name: item["status"] for name, item in found.items() if item["status"]["code"] not in (200, 440)}
    assert refused == {}
    assert ksef.judged(token, next(iter(SAMPLES.glob("*.xml"))).read_bytes(), session)["status"]["code"] == 440


@pytest.mark.skipif(not UPO_SCHEMA.is_file(), reason="the schema of the UPO is not on this machine")
def test_receipts_are_valid_and_can_be_had_in_every_way(ksef, company):
    me, token, session = company
    schema = etree.XMLSchema(etree.parse(str(UPO_SCHEMA)))
    items = [ksef.judged(token, invoice(me), session) for _ in range(3)]
    ksef.judged(token, invoice(me, day=TOMORROW), session)
    final = ksef.close_session(token, session)
    (page,) = final["upo"]["pages"]
    of_session = ksef.get(f"/sessions/{session.ref}/upo/{page['referenceNumber']}", token).content
    base = f"/sessions/{session.ref}/invoices"
    for item in items:
        one = ksef.get(f"{base}/{item['referenceNumber']}/upo", token).content
        assert ksef.get(f"{base}/ksef/{item['ksefNumber']}/upo", token).content == one
        shown = ksef.get(f"{base}/{item['referenceNumber']}", token).json()
        assert ksef.http.get(shown["upoDownloadUrl"]).content == one
        schema.assertValid(etree.fromstring(one))
    schema.assertValid(etree.fromstring(of_session))
    assert of_session.count(b"<Dokument>") == 3
    answer = ksef.http.get(page["downloadUrl"])
    assert (answer.content, answer.headers["x-ms-meta-hash"]) == (of_session, sha(of_session))
    assert ksef.http.get(page["downloadUrl"] + "0").status_code == 403
    missing = ksef.get(f"/sessions/{session.ref}/upo/{session.ref}", token)
    assert missing.json()["exception"]["exceptionDetailList"][0]["exceptionCode"] == 21178


def test_states_are_passed_one_after_another(start):
    from sandbox_client import Sandbox

    ksef = Sandbox(start(delay=400).url)
    me = nip()
    token = ksef.owner(me)
    session = ksef.open(token)
    ref = ksef.send(token, session, invoice(me))
    seen: list[int] = []

    def read():
        code = ksef.get(f"/sessions/{session.ref}/invoices/{ref}", token).json()["status"]["code"]
        if code not in seen:
            seen.append(code)
        return code

    until(read, lambda code: code == 200)
    assert seen == [100, 150, 200]
    item = until(
        lambda: ksef.get(f"/sessions/{session.ref}/invoices/{ref}", token).json(), lambda i: "permanentStorageDate" in i
    )
    assert item["permanentStorageDate"] > item["acquisitionDate"]
    ksef.close()
