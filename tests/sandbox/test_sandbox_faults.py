"""Troubles on demand, limits, and what survives a restart."""

from __future__ import annotations

import contextlib
import signal
import socket
import sqlite3
import subprocess
import sys

import httpx
import pytest
from sandbox_client import DidNotStart, Sandbox, until
from sandbox_crypto import seal
from sandbox_invoices import invoice, nip, number


def code_of(response) -> int:
    assert response.status_code == 400, response.text
    return response.json()["exception"]["exceptionDetailList"][0]["exceptionCode"]


@pytest.fixture
def company(ksef):
    me = nip()
    return me, ksef.owner(me)


SEND = {"method": "POST", "path": "/invoices$"}


def test_a_lost_answer_was_acted_upon_and_a_lost_request_was_not(ksef, company):
    me, token = company
    session = ksef.open(token)
    for fault, expected in (("lost_request", 0), ("lost_answer", 1)):
        ksef.fault(fault, times=1, match=SEND)
        with pytest.raises((httpx.RemoteProtocolError, httpx.ReadError)):
            ksef.try_send(token, session, invoice(me))
        assert len(ksef.get(f"/sessions/{session.ref}/invoices", token).json()["invoices"]) == expected
    assert ksef.try_send(token, session, invoice(me)).status_code == 202


@pytest.mark.parametrize(
    ("fault", "status", "kind"),
    [
        ({"name": "html_5xx", "params": {"status": 504}}, 504, "text/html"),
        ({"name": "outage"}, 503, "text/html"),
        ({"name": "waf_403"}, 403, "application/json"),
        ({"name": "rate_limited", "params": {"retry_after": 7}}, 429, "application/json"),
        ({"name": "unauthorized"}, 401, "application/problem+json"),
    ],
)
def test_faults_answer_instead_of_ksef_until_they_are_cleared(ksef, company, fault, status, kind):
    token = company[1]
    ksef.fault(**fault)
    answers = [ksef.get("/rate-limits", token) for _ in range(2)]
    for answer in answers:
        assert (answer.status_code, answer.headers["content-type"].split(";")[0]) == (status, kind)
        assert "reasonCode" not in answer.text
    assert answers[0].headers.get("Retry-After") == ("7" if status == 429 else None)
    ksef.calm()
    assert ksef.get("/rate-limits", token).status_code == 200


def test_a_fault_happens_so_many_times_and_only_where_it_should(ksef, company):
    token = company[1]
    ksef.fault("outage", times=2, match={"method": "GET", "path": "/v2/limits"})
    seen = [ksef.get(path, token).status_code for path in ("/rate-limits", *["/limits/context"] * 3)]
    assert seen == [200, 503, 503, 200]
    assert ksef.http.get("/_sandbox/faults").json() == []


@pytest.mark.parametrize(
    "body",
    [
        {"fault": "nieznana"},
        {"fault": "slow", "times": 0},
        {"fault": "slow", "probability": 2},
        {"fault": "slow", "x": 1},
    ],
)
def test_a_wrong_fault_is_refused(ksef, body):
    assert ksef.http.post("/_sandbox/faults", json=body).status_code == 400


def test_a_probability_of_nothing_never_happens(ksef, company):
    ksef.fault("outage", probability=0)
    assert {ksef.get("/rate-limits", company[1]).status_code for _ in range(20)} == {200}


def test_a_rotated_key_is_refused_and_the_new_one_works(ksef, company):
    me, token = company
    old = ksef.key("SymmetricKeyEncryption")["publicKeyId"]
    ksef.fault("key_rotation")
    new = ksef.key("SymmetricKeyEncryption")
    assert new["publicKeyId"] != old
    assert code_of(ksef.try_open(token, publicKeyId=old)[0]) == 21470
    assert ksef.judged(token, invoice(me))["status"]["code"] == 200
    ksef.fault("key_rotation", params={"keep_old": True})
    assert ksef.try_open(token, publicKeyId=new["publicKeyId"])[0].status_code == 201


def test_a_stuck_ksef_keeps_invoices_at_150(ksef, company):
    me, token = company
    session = ksef.open(token)
    ksef.fault("stuck")
    ref = ksef.send(token, session, invoice(me))
    assert ksef.post(f"/sessions/online/{session.ref}/close", token).status_code == 204
    read = lambda: ksef.get(f"/sessions/{session.ref}/invoices/{ref}", token).json()["status"]["code"]  # noqa: E731
    assert until(read, lambda code: code != 100) == 150
    assert ksef.get(f"/sessions/{session.ref}", token).json()["status"]["code"] == 170
    assert ksef.state()["waiting"] == 1
    ksef.calm()
    assert until(read, lambda code: code != 150) == 200


def test_the_rest_of_the_troubles(ksef, company):
    me, token = company
    session = ksef.open(token)
    ksef.fault("session_unavailable", times=1)
    assert code_of(ksef.try_send(token, session, invoice(me))) == 21184
    ksef.fault("not_found_after_open", times=1)
    assert code_of(ksef.post(f"/sessions/online/{session.ref}/close", token)) == 21173
    plain = invoice(me)
    first = ksef.judged(token, plain, session)
    ksef.fault("duplicate_without_original", times=1)
    assert "extensions" not in ksef.judged(token, plain, session)["status"]
    other = ksef.open(token)
    ksef.fault("duplicate_wrong_session", times=1)
    extensions = ksef.judged(token, plain, other)["status"]["extensions"]
    assert extensions["originalSessionReferenceNumber"] == other.ref
    assert extensions["originalKsefNumber"] == first["ksefNumber"]
    ksef.fault("upo_html", times=1)
    path = f"/sessions/{session.ref}/invoices/{first['referenceNumber']}/upo"
    answer = ksef.get(path, token)
    assert (answer.status_code, answer.headers["content-type"].split(";")[0]) == (200, "text/html")
    assert ksef.get(path, token).headers["content-type"] == "application/xml"


@pytest.mark.parametrize("code", [500, 550])
def test_ksef_itself_fails_on_an_invoice_and_takes_it_later(ksef, company, code):
    me, token = company
    plain, session = invoice(me), ksef.open(token)
    ksef.fault("invoice_fails", times=1, params={"code": code})
    assert ksef.judged(token, plain, session)["status"]["code"] == code
    assert ksef.judged(token, plain, session)["status"]["code"] == 200


def test_an_accepted_invoice_may_be_stored_late(ksef, company):
    me, token = company
    session = ksef.open(token)
    ksef.fault("storage_late", times=1)
    item = ksef.judged(token, invoice(me), session)
    assert (item["status"]["code"], "permanentStorageDate" in item) == (200, False)
    path = f"/sessions/{session.ref}/invoices/{item['referenceNumber']}/upo"
    assert ksef.get(path, token).headers["content-type"] == "application/xml"
    assert code_of(ksef.get(f"/invoices/ksef/{item['ksefNumber']}", token)) == 21165


def test_revoked_and_blocked_logins(ksef):
    me = nip()
    pair = ksef.redeem(ksef.start(seal(me), me))
    ksef.fault("auth_revoked")
    assert code_of(ksef.post("/auth/token/refresh", pair["refreshToken"]["token"])) == 21301
    ksef.fault("blocked_480", params={"nip": me})
    assert ksef.outcome(ksef.start(seal(me), me))["code"] == 480
    other = nip()
    assert ksef.outcome(ksef.start(seal(other), other))["code"] == 200


def test_slow_processing_delays_what_begins_while_it_is_on(ksef, company):
    me, token = company
    session = ksef.open(token)
    ksef.fault("slow", params={"ms": 600_000}, match=SEND)
    ref = ksef.send(token, session, invoice(me))
    ksef.calm()
    quick = ksef.judged(token, invoice(me), ksef.open(token))
    assert quick["status"]["code"] == 200
    assert ksef.get(f"/sessions/{session.ref}/invoices/{ref}", token).json()["status"]["code"] == 100


def test_a_hanging_answer_ends_in_a_broken_connection(ksef, company):
    ksef.fault("hang", times=1, params={"seconds": 0.05})
    with pytest.raises((httpx.RemoteProtocolError, httpx.ReadError)):
        ksef.get("/rate-limits", company[1])


def test_a_warning_is_given_only_when_asked_for(ksef, company):
    assert "X-System-Warning" not in ksef.get("/rate-limits", company[1]).headers
    answer = ksef.get("/rate-limits", company[1], headers={"X-Test-System-Warning": "proba"})
    assert answer.headers["X-System-Warning"] == "[test-001]: proba"


def test_the_counts_name_operations_and_invoices(ksef, company):
    me, token = company
    no, name = number(), "POST /v2/sessions/online/{reference}/invoices"
    before = ksef.state()["posts"].get(name, 0)
    item = ksef.judged(token, invoice(me, no))
    state = ksef.state()
    assert state["posts"][name] == before + 1
    found = [row for row in state["invoices"] if row["seller"] == me]
    assert [(row["number"], row["hash"], row["ksef_number"]) for row in found] == [
        (no, item["invoiceHash"], item["ksefNumber"])
    ]


def test_an_address_that_does_not_exist(ksef):
    assert ksef.get("/nic").status_code == 404
    assert ksef.call("DELETE", "/auth/challenge").status_code == 405


# limits


@pytest.fixture
def limited(start):
    client = Sandbox(start(limits="production").url)
    yield client
    client.close()


def test_production_limits_are_shown_and_enforced_for_each_context_alone(limited):
    one, two = nip(), nip()
    token, other = limited.owner(one), limited.owner(two)
    assert limited.get("/rate-limits", token).json()["sessionList"] == {"perSecond": 5, "perMinute": 10, "perHour": 60}
    codes = [limited.get("/sessions?sessionType=Online", token) for _ in range(11)]
    refused = [answer for answer in codes if answer.status_code == 429]
    assert refused
    assert refused[0].json()["status"]["code"] == 429
    assert int(refused[0].headers["Retry-After"]) >= 1
    problem = limited.get("/sessions?sessionType=Online", token, headers={"X-Error-Format": "problem-details"})
    assert (problem.status_code, problem.headers["content-type"]) == (429, "application/problem+json")
    assert limited.get("/sessions?sessionType=Online", other).status_code == 200
    assert limited.get("/limits/context", token).status_code == 200
    assert limited.state()["too_many_requests"] == len(refused) + 1


def test_limits_can_be_set_for_a_context(ksef, company):
    token = company[1]
    shown = ksef.get("/rate-limits", token).json()
    assert shown["invoiceSend"]["perHour"] == -1
    groups = [g for g in shown if not g.endswith("Close") and g not in ("anonymous", "global")]
    three = {"perSecond": 100, "perMinute": 100, "perHour": 3}
    body = {"rateLimits": dict.fromkeys(groups, three)}
    assert ksef.post("/testdata/rate-limits", token, body).status_code == 200
    codes = [ksef.get("/limits/context", token).status_code for _ in range(4)]
    assert codes == [200, 200, 200, 429]
    assert ksef.post("/testdata/rate-limits/production", token).status_code == 200
    assert ksef.get("/rate-limits", token).json()["invoiceSend"] == {"perSecond": 10, "perMinute": 30, "perHour": 180}
    assert ksef.call("DELETE", "/testdata/rate-limits", token).status_code == 200
    assert ksef.get("/rate-limits", token).json() == shown


def test_limits_of_certificates_can_be_set_for_a_subject(ksef, company):
    token = company[1]
    usual = {"enrollment": {"maxEnrollments": 300}, "certificate": {"maxCertificates": 100}}
    assert ksef.get("/limits/subject", token).json() == usual
    path = "/testdata/limits/subject/certificate"
    assert ksef.post(path, token, {"certificate": {"maxCertificates": 1}}).status_code == 200
    assert ksef.get("/limits/subject", token).json() == {**usual, "certificate": {"maxCertificates": 1}}
    assert ksef.call("DELETE", path, token).status_code == 200
    assert ksef.get("/limits/subject", token).json() == usual


# restart


def test_a_power_cut_loses_nothing_that_was_answered(start):
    process = start(delay=600)
    ksef, me = Sandbox(process.url), nip()
    token = ksef.owner(me)
    session = ksef.open(token)
    refs = [ksef.send(token, session, invoice(me)) for _ in range(5)]
    assert ksef.post(f"/sessions/online/{session.ref}/close", token).status_code == 204
    keys = ksef.get("/security/public-key-certificates").json()
    process.kill()
    ksef.close()
    again = Sandbox(start(delay=600).url)
    assert again.get("/security/public-key-certificates").json() == keys
    final = until(
        lambda: again.get(f"/sessions/{session.ref}", token).json(), lambda body: body["status"]["code"] >= 200
    )
    assert (final["status"]["code"], final["successfulInvoiceCount"]) == (200, 5)
    listed = again.get(f"/sessions/{session.ref}/invoices", token).json()["invoices"]
    assert [item["referenceNumber"] for item in listed] == refs
    again.close()


def test_time_ends_what_it_should(start, tmp_path):
    """12 hours of a session, 7 days of a login's status, 30 days of an operation's: the clock is put back in the file."""
    process = start(host="ksef.test")
    ksef, me = Sandbox(process.url), nip()
    login = ksef.start(seal(me), me)
    token = ksef.redeem(login)["accessToken"]["token"]
    session = ksef.open(token)
    item = ksef.judged(token, invoice(me), session)
    path = f"/sessions/{session.ref}/invoices/{item['referenceNumber']}"
    assert ksef.get(path, token).json()["upoDownloadUrl"].startswith("http://ksef.test:")
    operation = ksef.call("DELETE", f"/permissions/common/grants/{'0' * 36}", token).json()["referenceNumber"]
    ksef.close()
    assert process.stop() == 0
    with contextlib.closing(sqlite3.connect(tmp_path / "data" / "sandbox.db")) as database, database:
        hour = 3_600_000
        database.execute("UPDATE session SET created = created - ?, valid_until = valid_until - ?", (13 * hour,) * 2)
        database.execute("UPDATE authentication SET created = created - ?", (8 * 24 * hour,))
        database.execute("UPDATE operation SET created = created - ?", (31 * 24 * hour,))
    again = Sandbox(start().url)
    status = again.get(f"/auth/{login.json()['referenceNumber']}", login.json()["authenticationToken"]["token"])
    assert (status.status_code, status.headers["content-type"]) == (410, "application/problem+json")
    assert again.get(f"/permissions/operations/{operation}", token).status_code == 410
    read = lambda: again.get(f"/sessions/{session.ref}", token).json()["status"]["code"]  # noqa: E731
    assert until(read, lambda code: code not in (100, 170)) == 200
    again.close()


def test_two_do_not_serve_one_folder(start):
    start()
    with pytest.raises(DidNotStart) as ended:
        start()
    assert ended.value.args == (1,)


def test_an_answer_that_hangs_when_the_sandbox_ends_leaves_no_traceback(tmp_path):
    arguments = ["--port", "0", "--data-dir", str(tmp_path / "ksef")]
    child = subprocess.Popen(
        [sys.executable, "-m", "ksef_tui.sandbox", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    url = httpx.URL(child.stdout.readline().strip())
    with httpx.Client(base_url=url, trust_env=False) as http, socket.create_connection((url.host, url.port)) as asking:
        http.post("/_sandbox/faults", json={"fault": "hang"})
        asking.sendall(b"POST /v2/auth/challenge HTTP/1.1\r\nHost: ksef\r\nContent-Length: 0\r\n\r\n")
        until(lambda: http.get("/_sandbox/faults").json()[0]["happened"], lambda times: times == 1)
        child.send_signal(signal.SIGTERM)
        _, told = child.communicate(timeout=60)
    assert child.returncode == 0
    assert "Traceback" not in told
