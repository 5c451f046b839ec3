"""Batch sessions: open, upload, close, and every way in which a package ends."""

from __future__ import annotations

import contextlib
import gzip
import sqlite3
import time
import zipfile
from concurrent.futures import ThreadPoolExecutor

import pytest
from lxml import etree
from sandbox_batches import close, ended, listed, opened, prepare, put, sent, tarred, upload, zipped
from sandbox_client import Sandbox, until
from sandbox_crypto import b64, encrypt, random_key, sha
from sandbox_invoices import invoice, nip, number

UPO = "{http://upo.schematy.mf.gov.pl/KSeF/v4-3}"
ATTACHMENT = (
    "<Zalacznik><BlokDanych><MetaDane><ZKlucz>k</ZKlucz><ZWartosc>w</ZWartosc></MetaDane></BlokDanych></Zalacznik>"
)


def code_of(response) -> int:
    assert response.status_code == 400, response.text
    return response.json()["exception"]["exceptionDetailList"][0]["exceptionCode"]


@pytest.fixture
def company(ksef):
    me = nip()
    return me, ksef.owner(me)


def one(me: str) -> bytes:
    return zipped({"a.xml": invoice(me)})


# the way


@pytest.mark.parametrize(
    ("pack", "compression", "parts"),
    [(zipped, "Zip", 1), (zipped, None, 3), (tarred, "TarGz", 1), (tarred, "TarGz", 4)],
)
def test_a_package_goes_all_the_way_to_its_receipts(ksef, company, pack, compression, parts):
    me, token = company
    files = {f"faktury/{n}.xml": invoice(me) for n in range(5)} | {"zła.xml": b"<a/>"}
    batch = opened(ksef, token, pack(files), parts=parts, compression=compression)
    before = ksef.get(f"/sessions/{batch.ref}", token).json()
    assert before["status"] == {"code": 100, "description": "Sesja wsadowa rozpoczęta"}
    assert "validUntil" not in before
    upload(ksef, batch)
    assert close(ksef, token, batch).status_code == 204
    final = ended(ksef, token, batch)
    assert final["status"] == {"code": 200, "description": "Sesja wsadowa przetworzona pomyślnie"}
    assert (final["invoiceCount"], final["successfulInvoiceCount"], final["failedInvoiceCount"]) == (6, 5, 1)

    items = {item["invoiceFileName"]: item for item in listed(ksef, token, batch)}
    assert {name: item["invoiceHash"] for name, item in items.items()} == {n: sha(c) for n, c in files.items()}
    assert {name: item["status"]["code"] for name, item in items.items()} == {
        name: 450 if name == "zła.xml" else 200 for name in files
    }
    assert {item["invoicingDate"] for item in items.values()} == {final["dateCreated"]}
    failed = ksef.get(f"/sessions/{batch.ref}/invoices/failed", token).json()["invoices"]
    assert [item["invoiceFileName"] for item in failed] == ["zła.xml"]

    (page,) = final["upo"]["pages"]
    receipt = etree.fromstring(ksef.get(f"/sessions/{batch.ref}/upo/{page['referenceNumber']}", token).content)
    numbers = [d.findtext(f"{UPO}NumerKSeFDokumentu") for d in receipt.findall(f"{UPO}Dokument")]
    assert sorted(numbers) == sorted(item["ksefNumber"] for item in items.values() if "ksefNumber" in item)
    good = items["faktury/3.xml"]
    assert ksef.get(f"/invoices/ksef/{good['ksefNumber']}", token).content == files["faktury/3.xml"]
    assert ksef.get(f"/sessions/{batch.ref}/invoices/{good['referenceNumber']}/upo", token).status_code == 200
    (shown,) = ksef.get("/sessions?sessionType=Batch", token).json()["sessions"]
    assert (shown["referenceNumber"], shown["totalInvoiceCount"]) == (batch.ref, 6)
    assert ksef.get("/sessions?sessionType=Online", token).json()["sessions"] == []


def test_states_are_passed_one_after_another(delayed):
    ksef, me = delayed, nip()
    token = ksef.owner(me)
    batch = opened(ksef, token, one(me))
    upload(ksef, batch)
    read = lambda: ksef.get(f"/sessions/{batch.ref}", token).json()["status"]  # noqa: E731
    assert read()["code"] == 100
    close(ksef, token, batch)
    assert read() == {"code": 150, "description": "Trwa przetwarzanie"}
    assert listed(ksef, token, batch) == []
    assert ended(ksef, token, batch)["status"]["code"] == 200
    assert len(listed(ksef, token, batch)) == 1


def test_the_whole_package_is_offline_when_it_says_so(ksef, company):
    me, token = company
    batch, _ = sent(ksef, token, one(me), change=lambda body: body.update(offlineMode=True))
    assert [item["invoicingMode"] for item in listed(ksef, token, batch)] == ["Offline"]


def test_invoices_of_one_package_are_judged_one_by_one(ksef, company):
    me, token = company
    no, known = number(), invoice(me)
    original = ksef.judged(token, known)
    files = {
        "dobra.xml": invoice(me, no),
        "ten sam numer.xml": invoice(me, no),
        "już w KSeF.xml": known,
        "cudza.xml": invoice(nip()),
        "BOM.xml": b"\xef\xbb\xbf" + invoice(me),
        "za duża.xml": b"<a>" + b" " * 1_000_000 + b"</a>",
        "ogromna.xml": b" " * 11_000_000,
    }
    batch, final = sent(ksef, token, tarred(files), compression="TarGz")
    items = {item["invoiceFileName"]: item["status"] for item in listed(ksef, token, batch)}
    assert {name: status["code"] for name, status in items.items()} == {
        "dobra.xml": 200,
        "ten sam numer.xml": 440,
        "już w KSeF.xml": 440,
        "cudza.xml": 410,
        "BOM.xml": 430,
        "za duża.xml": 430,
        "ogromna.xml": 430,
    }
    assert items["już w KSeF.xml"]["extensions"]["originalKsefNumber"] == original["ksefNumber"]
    assert items["ten sam numer.xml"]["extensions"]["originalSessionReferenceNumber"] == batch.ref
    assert (final["successfulInvoiceCount"], final["failedInvoiceCount"]) == (1, 6)


def test_attachments_go_here_once_the_taxpayer_has_declared_them(ksef, company):
    me, token = company

    def outcome() -> int:
        batch, _ = sent(ksef, token, zipped({"a.xml": invoice(me, extra=ATTACHMENT)}))
        return listed(ksef, token, batch)[0]["status"]["code"]

    assert outcome() == 415
    assert ksef.post("/testdata/attachment", body={"nip": me}).status_code == 200
    assert outcome() == 200
    assert ksef.judged(token, invoice(me, extra=ATTACHMENT))["status"]["code"] == 415
    assert ksef.post("/testdata/attachment/revoke", body={"nip": me}).status_code == 200
    assert outcome() == 415


# opening


def _spoil(*path, value):
    def change(body):
        for name in path[:-1]:
            body = body[name]
        if callable(value):
            body[path[-1]] = value(body[path[-1]])
        else:
            body[path[-1]] = value

    return change


PART = ("batchFile", "fileParts", 0)


@pytest.mark.parametrize(
    ("change", "code"),
    [
        (_spoil(*PART, "fileSize", value=100_000_017), 21157),
        (_spoil("batchFile", "fileParts", value=lambda parts: parts * 51), 21161),
        (_spoil("batchFile", "fileParts", value=lambda parts: parts * 2), 21405),
        (_spoil("batchFile", "fileParts", value=[]), 21405),
        (_spoil(*PART, "ordinalNumber", value=2), 21405),
        (_spoil(*PART, "fileHash", value="YWJj"), 21405),
        (_spoil("batchFile", "fileSize", value=5_000_000_001), 21405),
        (_spoil("batchFile", "fileHash", value=None), 21405),
        (_spoil("batchFile", "compressionType", value="Rar"), 21405),
        (_spoil("encryption", "publicKeyId", value="A" * 44), 21470),
        (_spoil("encryption", "initializationVector", value=b64(b"short")), 21405),
        (_spoil("formCode", "systemCode", value="PEF (3)"), 21405),
        (_spoil("offlineMode", value="tak"), 21405),
    ],
)
def test_a_session_that_cannot_be_opened_says_why(ksef, company, change, code):
    me, token = company
    body, _ = prepare(ksef, one(me))
    change(body)
    assert code_of(ksef.post("/sessions/batch", token, body)) == code


def test_sending_packages_needs_the_right_to_write(ksef, company):
    me, token = company
    body = {"permissions": ["InvoiceRead"], "description": "tylko czytanie"}
    made = ksef.post("/tokens", token, body).json()
    until(lambda: ksef.get(f"/tokens/{made['referenceNumber']}", token).json()["status"], lambda s: s == "Active")
    reader = ksef.redeem(ksef.start_with_token(made["token"], me))["accessToken"]["token"]
    request, _ = prepare(ksef, one(me))
    refused = ksef.post("/sessions/batch", reader, request)
    assert refused.status_code == 403
    assert refused.json()["security"]["requiredAnyOfPermissions"] == ["InvoiceWrite", "EnforcementOperations"]


# uploading


def test_an_upload_is_held_to_its_url(ksef, company):
    me, token = company
    batch = opened(ksef, token, one(me))
    (request,), (part,) = batch.requests, batch.parts
    assert (request["ordinalNumber"], request["method"]) == (1, "PUT")
    forged = request["url"].replace(f"{batch.ref}/1", f"{batch.ref}/2")
    later = request["url"].replace("se=", "se=1")
    assert put(ksef, request, part, url=forged).status_code == 401
    assert put(ksef, request, part, url=later).status_code == 401
    assert put(ksef, request, part, url=request["url"].partition("?")[0]).status_code == 401
    with_token = {**request["headers"], "Authorization": f"Bearer {token}"}
    assert put(ksef, request, part, headers=with_token).status_code == 401
    assert put(ksef, request, part, headers={}).status_code == 400
    assert put(ksef, request, b"").status_code == 400
    assert put(ksef, request, iter([part])).status_code == 400  # chunked, so without a length
    assert code_of(close(ksef, token, batch)) == 21205
    assert put(ksef, request, part).status_code == 201
    assert put(ksef, request, part).status_code == 201
    assert close(ksef, token, batch).status_code == 204
    assert put(ksef, request, part).status_code == 403
    assert ended(ksef, token, batch)["status"]["code"] == 200


def test_parts_may_come_side_by_side_in_any_order_and_again(ksef, company):
    me, token = company
    batch = opened(ksef, token, tarred({f"{n}.xml": invoice(me) for n in range(40)}), parts=7, compression="TarGz")
    assert len(batch.parts) == 7
    assert put(ksef, batch.requests[2], b"x" * len(batch.parts[2])).status_code == 201
    pairs = list(zip(batch.requests, batch.parts, strict=True))[::-1]
    with ThreadPoolExecutor(7) as pool:
        assert {r.status_code for r in pool.map(lambda pair: put(ksef, *pair), pairs)} == {201}
    assert close(ksef, token, batch).status_code == 204
    assert ended(ksef, token, batch)["successfulInvoiceCount"] == 40


# closing


def test_a_package_is_closed_once_and_complete(ksef, company):
    me, token = company
    batch = opened(ksef, token, one(me), parts=2)
    assert code_of(close(ksef, token, batch)) == 21205
    assert put(ksef, batch.requests[0], batch.parts[0]).status_code == 201
    refused = close(ksef, token, batch)
    assert code_of(refused) == 21205
    assert "'2'" in refused.text
    assert put(ksef, batch.requests[1], batch.parts[1] + b"x").status_code == 201
    assert code_of(close(ksef, token, batch)) == 21157
    assert put(ksef, batch.requests[1], batch.parts[1]).status_code == 201
    assert close(ksef, token, batch).status_code == 204
    assert code_of(close(ksef, token, batch)) == 21180
    ended(ksef, token, batch)
    assert code_of(close(ksef, token, batch)) == 21180


def test_the_kinds_of_session_do_not_mix(ksef, company):
    me, token = company
    online, batch = ksef.open(token), opened(ksef, token, one(me))
    assert code_of(ksef.post(f"/sessions/batch/{online.ref}/close", token)) == 21173
    assert code_of(ksef.post(f"/sessions/online/{batch.ref}/close", token)) == 21173
    assert code_of(ksef.post(f"/sessions/batch/{'x' * 36}/close", token)) == 21173
    online.ref = batch.ref
    assert code_of(ksef.try_send(token, online, invoice(me))) == 21173
    other = ksef.owner(nip())
    assert close(ksef, other, batch).json()["reasonCode"] == "insufficient-resource-access"


# how a package ends


@pytest.mark.parametrize(
    ("archive", "options", "code"),
    [
        (lambda m: one(m), {"change": _spoil("batchFile", "fileHash", value=sha(b"x"))}, 405),
        (lambda m: one(m), {"change": _spoil("batchFile", "fileSize", value=7)}, 405),
        (lambda m: one(m), {"change": _spoil(*PART, "fileHash", value=sha(b"x"))}, 405),
        (lambda m: one(m), {"vector": b"0" * 16}, 405),
        (lambda m: one(m), {"change": _spoil("encryption", "encryptedSymmetricKey", value=b64(b"k" * 256))}, 415),
        (lambda m: b"PK, ale nie ZIP", {}, 430),
        (lambda m: one(m)[:-30], {}, 430),
        (lambda m: one(m), {"compression": "TarGz"}, 430),
        (lambda m: tarred({"a.xml": invoice(m)}), {"compression": "Zip"}, 430),
        (lambda m: tarred({"a.xml": invoice(m) * 9})[:-20], {"compression": "TarGz"}, 430),
        (lambda m: gzip.compress(b"x" * 2048), {"compression": "TarGz"}, 430),
        (lambda m: tarred({"a.xml": invoice(m)}, "b.xml"), {"compression": "TarGz"}, 430),
        (lambda m: zipped({}), {}, 440),
        (lambda m: zipped({"pusty/": b""}), {}, 440),
        (lambda m: zipped({"a.xml": b"<a/>"}, zipfile.ZIP_STORED), {}, 445),
        (lambda m: zipped({"a.xml": invoice(nip())}), {}, 445),
    ],
)
def test_a_package_that_cannot_be_used_ends_with_its_code(ksef, company, archive, options, code):
    me, token = company
    batch, final = sent(ksef, token, archive(me), **options)
    assert final["status"]["code"] == code
    assert "upo" not in final
    assert len(listed(ksef, token, batch)) == (1 if code == 445 else 0)
    if code == 440:
        assert final["status"]["details"] == ["Nie przesłano faktur"]
    assert code_of(close(ksef, token, batch)) == 21180


def test_a_part_encrypted_with_another_key_ends_435(ksef, company):
    me, token = company
    archive = one(me)
    body, _ = prepare(ksef, archive)
    for _ in range(20):  # by chance a wrong key may leave what looks like a padding
        key, vector = random_key()
        part = encrypt(archive, key, vector)
        body["batchFile"]["fileParts"][0]["fileHash"] = sha(part)
        answer = ksef.post("/sessions/batch", token, body).json()
        (request,) = answer["partUploadRequests"]
        assert put(ksef, request, part).status_code == 201
        number_ = answer["referenceNumber"]
        assert ksef.post(f"/sessions/batch/{number_}/close", token).status_code == 204
        read = lambda: ksef.get(f"/sessions/{number_}", token).json()["status"]  # noqa: B023, E731
        status = until(read, lambda s: s["code"] >= 200)
        if status["code"] != 405:
            break
    assert status["code"] == 435
    assert status["description"] == "Błąd odszyfrowania zaszyfrowanych części archiwum"


def test_the_limit_of_invoices_is_that_of_the_context(ksef, company):
    me, token = company
    sizes = {"maxInvoiceSizeInMB": 1, "maxInvoiceWithAttachmentSizeInMB": 3, "maxInvoices": 3}
    limits = {"onlineSession": {**sizes, "maxInvoices": 1}, "batchSession": sizes}
    assert ksef.post("/testdata/limits/context/session", token, limits).status_code == 200
    four = {f"{n}.xml": invoice(me) for n in range(4)}
    batch, final = sent(ksef, token, tarred(four), compression="TarGz")
    assert (final["status"]["code"], final["status"]["description"]) == (420, "Przekroczony limit faktur w sesji")
    assert listed(ksef, token, batch) == []
    del four["0.xml"]
    _, final = sent(ksef, token, zipped(four))
    assert (final["status"]["code"], final["successfulInvoiceCount"]) == (200, 3)


def test_opening_and_closing_packages_have_limits_of_their_own(start):
    ksef, me = Sandbox(start(limits="production").url), nip()
    token = ksef.owner(me)
    body, _ = prepare(ksef, one(me))
    statuses = [ksef.post("/sessions/batch", token, body).status_code for _ in range(11)]
    assert statuses == [201] * 10 + [429]
    assert ksef.post(f"/sessions/batch/{'x' * 36}/close", token).status_code == 400
    assert ksef.post("/sessions/online", token, {}).status_code == 400
    ksef.close()


# troubles


def test_a_lost_close_was_done_and_shows_it(ksef, company):
    me, token = company
    batch = opened(ksef, token, one(me))
    upload(ksef, batch)
    ksef.fault("lost_request", times=1, match={"method": "POST", "path": "/sessions/batch/.*/close$"})
    ksef.fault("lost_answer", times=1, match={"method": "POST", "path": "/sessions/batch/.*/close$"})
    for _ in range(2):
        with pytest.raises(Exception, match="disconnected"):
            close(ksef, token, batch)
    assert code_of(close(ksef, token, batch)) == 21180
    assert ended(ksef, token, batch)["successfulInvoiceCount"] == 1


def test_troubles_of_an_upload(ksef, company):
    me, token = company
    batch = opened(ksef, token, one(me))
    (request,), (part,) = batch.requests, batch.parts
    ksef.fault("upload_html", times=1)
    page = put(ksef, request, part)
    assert (page.status_code, page.headers["content-type"]) == (200, "text/html; charset=utf-8")
    assert code_of(close(ksef, token, batch)) == 21205
    ksef.fault("part_lost", times=1)
    assert put(ksef, request, part).status_code == 201
    assert code_of(close(ksef, token, batch)) == 21205
    ksef.fault("html_5xx", times=1, match={"path": "/storage/batch"})
    assert put(ksef, request, part).status_code == 502
    ksef.fault("lost_answer", times=1, match={"method": "PUT"})
    with pytest.raises(Exception, match="disconnected"):
        put(ksef, request, part)
    assert close(ksef, token, batch).status_code == 204
    assert ended(ksef, token, batch)["status"]["code"] == 200


def test_a_stuck_ksef_keeps_packages_at_150(ksef, company):
    me, token = company
    ksef.fault("stuck")
    batch = opened(ksef, token, one(me))
    upload(ksef, batch)
    close(ksef, token, batch)
    assert ksef.get(f"/sessions/{batch.ref}", token).json()["status"]["code"] == 150
    ksef.calm()
    assert ended(ksef, token, batch)["status"]["code"] == 200


# time and restarts


def _put_back(folder, sql: str, *values) -> None:
    with contextlib.closing(sqlite3.connect(folder / "data" / "sandbox.db")) as database, database:
        database.execute(sql, values)


MINUTE = 60_000
HOUR = 60 * MINUTE


def test_time_ends_what_nobody_closed(start, tmp_path):
    """The clock is put back in the file: the time of the URLs, and the 12 hours of a session."""
    process = start()
    ksef, me = Sandbox(process.url), nip()
    token = ksef.owner(me)
    half, whole = opened(ksef, token, one(me), parts=2), opened(ksef, token, one(me))
    upload(ksef, whole)
    assert put(ksef, half.requests[0], half.parts[0]).status_code == 201
    life = int(half.requests[0]["url"].partition("se=")[2].partition("&")[0])
    assert 40 * MINUTE - 10_000 < life - time.time() * 1000 <= 40 * MINUTE
    _put_back(tmp_path, "UPDATE batch SET upload_until = upload_until - ?", 40 * MINUTE)
    assert put(ksef, half.requests[1], half.parts[1]).status_code == 403
    assert code_of(close(ksef, token, half)) == 21208
    status = ksef.get(f"/sessions/{half.ref}", token).json()["status"]
    assert status == {"code": 440, "description": "Sesja anulowana", "details": ["Przekroczono czas wysyłki"]}
    assert put(ksef, half.requests[1], half.parts[1]).status_code == 403
    assert code_of(close(ksef, token, half)) == 21180
    assert ksef.get(f"/sessions/{whole.ref}", token).json()["status"]["code"] == 100
    parts = tmp_path / "data" / "parts"
    assert until(lambda: [left.name for left in parts.iterdir()], lambda names: names == [whole.ref])

    lost = opened(ksef, token, one(me))
    upload(ksef, lost)
    (parts / lost.ref / "1.part").unlink()
    close(ksef, token, lost)
    assert ended(ksef, token, lost)["status"] == {"code": 500, "description": "Nieznany błąd (500)"}

    _put_back(tmp_path, "UPDATE session SET valid_until = valid_until - ?", 13 * HOUR)
    status = ended(ksef, token, whole)["status"]
    assert (status["code"], status["details"]) == (440, ["Przekroczono czas wysyłki"])
    assert code_of(close(ksef, token, whole)) == 21180
    assert until(lambda: list(parts.iterdir()), lambda left: left == []) == []
    ksef.close()


def test_power_cuts_lose_and_double_nothing(start):
    """Killed after the upload, after the close, and again and again while 600 invoices are unpacked and judged."""
    process = start()
    ksef, me = Sandbox(process.url), nip()
    token = ksef.owner(me)
    files = {f"{n}.xml": invoice(me) for n in range(600)}
    batch = opened(ksef, token, zipped(files), parts=3)
    upload(ksef, batch)

    def again() -> Sandbox:
        nonlocal process
        process.kill()
        ksef.close()
        process = start()
        return Sandbox(process.url)

    ksef = again()
    assert close(ksef, token, batch).status_code == 204
    seen = -1
    for _ in range(5):
        ksef = again()
        read = lambda: ksef.get(f"/sessions/{batch.ref}", token).json()  # noqa: B023, E731
        body = until(read, lambda body: body["status"]["code"] >= 200 or body["successfulInvoiceCount"] > seen)  # noqa: B023
        seen = body["successfulInvoiceCount"]
    final = ended(ksef, token, batch)
    assert (final["status"]["code"], final["successfulInvoiceCount"], final["failedInvoiceCount"]) == (200, 600, 0)
    items = listed(ksef, token, batch)
    assert [item["invoiceFileName"] for item in items] == list(files)
    assert [item["ordinalNumber"] for item in items] == list(range(1, 601))
    assert len({item["ksefNumber"] for item in items}) == 600
    ksef.close()
