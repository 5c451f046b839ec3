"""Sessions: how they end, who sees them, lists and pages."""

from __future__ import annotations

import os

import pytest
from sandbox_client import until
from sandbox_crypto import b64, seal
from sandbox_invoices import invoice, nip


def code_of(response) -> int:
    assert response.status_code == 400, response.text
    return response.json()["exception"]["exceptionDetailList"][0]["exceptionCode"]


@pytest.fixture
def company(ksef):
    me = nip()
    return me, ksef.owner(me)


def grant(ksef, client: str, office: str, *scopes: str) -> None:
    body = {
        "contextIdentifier": {"type": "Nip", "value": client},
        "authorizedIdentifier": {"type": "Nip", "value": office},
        "permissions": [{"permissionType": scope, "description": "biuro rachunkowe"} for scope in scopes],
    }
    assert ksef.post("/testdata/permissions", body=body).status_code == 200


def test_an_empty_session_is_cancelled(ksef, company):
    _, token = company
    final = ksef.close_session(token, ksef.open(token))
    assert final["status"] == {"code": 440, "description": "Sesja anulowana", "details": ["Nie przesłano faktur"]}
    assert "upo" not in final


def test_a_session_with_no_good_invoice_ends_445(ksef, company):
    _, token = company
    session = ksef.open(token)
    ksef.send(token, session, invoice(nip()))
    final = ksef.close_session(token, session)
    assert final["status"] == {"code": 445, "description": "Błąd weryfikacji, brak poprawnych faktur"}
    assert (final["invoiceCount"], final["failedInvoiceCount"]) == (1, 1)


def test_a_key_that_cannot_be_opened_shows_as_415_and_sinks_what_was_sent(ksef, company):
    me, token = company
    response, session = ksef.try_open(token, encryptedSymmetricKey=b64(os.urandom(256)))
    session.ref = response.json()["referenceNumber"]
    read = lambda: ksef.get(f"/sessions/{session.ref}", token).json()["status"]  # noqa: E731
    status = until(read, lambda status: status["code"] != 100)
    assert status == {"code": 415, "description": "Błąd odszyfrowania dostarczonego klucza"}
    assert code_of(ksef.try_send(token, session, invoice(me))) == 21180
    assert code_of(ksef.post(f"/sessions/online/{session.ref}/close", token)) == 21180


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"publicKeyId": "A" * 43 + "="}, 21470),
        ({"initializationVector": b64(b"short")}, 21405),
        ({"encryptedSymmetricKey": "???"}, 21405),
        ({"form": {"systemCode": "FA(3)", "schemaVersion": "1-0E", "value": "FA"}}, 21405),
    ],
)
def test_a_session_that_cannot_be_opened_says_why(ksef, company, changes, code):
    response, _ = ksef.try_open(company[1], **changes)
    assert code_of(response) == code


def test_a_closed_session_takes_nothing_more(ksef, company):
    me, token = company
    session = ksef.open(token)
    ksef.close_session(token, session)
    assert code_of(ksef.try_send(token, session, invoice(me))) == 21180
    assert code_of(ksef.post(f"/sessions/online/{session.ref}/close", token)) == 21180


@pytest.mark.parametrize("path", ["", "/invoices", "/invoices/failed", "/invoices/x", "/upo/x"])
def test_a_session_that_does_not_exist(ksef, company, path):
    assert code_of(ksef.get(f"/sessions/20260101-SO-0000000000-0000000000-00{path}", company[1])) == 21173


def test_another_context_and_another_subject_do_not_see_a_session(ksef, company):
    client, office, second = nip(), nip(), nip()
    for who in (office, second):
        grant(ksef, client, who, "InvoiceWrite", "InvoiceRead")
    mine = ksef.login(seal(office), client)
    session = ksef.open(mine)
    owner, colleague = ksef.owner(client), ksef.login(seal(second), client)
    assert ksef.get(f"/sessions/{session.ref}", owner).status_code == 200
    for stranger in (colleague, company[1]):
        answer = ksef.get(f"/sessions/{session.ref}", stranger)
        assert (answer.status_code, answer.json()["reasonCode"]) == (403, "insufficient-resource-access")
    listed = lambda token: ksef.get("/sessions?sessionType=Online", token).json()["sessions"]  # noqa: E731
    assert [s["referenceNumber"] for s in listed(mine)] == [session.ref]
    assert [s["referenceNumber"] for s in listed(owner)] == [session.ref]
    assert listed(colleague) == []
    grant(ksef, client, second, "Introspection")
    seeing = ksef.login(seal(second), client)
    assert ksef.get(f"/sessions/{session.ref}", seeing).status_code == 200
    assert [s["referenceNumber"] for s in listed(seeing)] == [session.ref]


def test_lists_come_in_pages(ksef, company):
    me, token = company
    session = ksef.open(token)
    refs = [ksef.send(token, session, invoice(me)) for _ in range(25)]
    ksef.close_session(token, session)
    seen, headers, pages = [], {}, 0
    while True:
        body = ksef.get(f"/sessions/{session.ref}/invoices?pageSize=10", token, headers=headers).json()
        seen += [item["referenceNumber"] for item in body["invoices"]]
        pages += 1
        if "continuationToken" not in body:
            break
        headers = {"x-continuation-token": body["continuationToken"]}
    assert (seen, pages) == (refs, 3)
    bad = ksef.get(f"/sessions/{session.ref}/invoices", token, headers={"x-continuation-token": "ala"})
    assert code_of(bad) == 21418
    assert code_of(ksef.get(f"/sessions/{session.ref}/invoices?pageSize=9", token)) == 21405


def test_the_list_of_sessions_can_be_narrowed(ksef, company):
    _, token = company
    left, closed = ksef.open(token), ksef.open(token)
    ksef.close_session(token, closed)

    def ask(query: str) -> list[str]:
        answer = ksef.get(f"/sessions?sessionType=Online{query}", token)
        return [session["referenceNumber"] for session in answer.json()["sessions"]]

    assert ask("") == [closed.ref, left.ref]
    assert ask("&statuses=InProgress") == [left.ref]
    assert ask("&statuses=Cancelled&statuses=Failed") == [closed.ref]
    assert ask(f"&referenceNumber={left.ref}") == [left.ref]
    assert ask("&dateClosedFrom=2020-01-01T00:00:00Z") == [closed.ref]
    assert ask("&dateCreatedTo=2020-01-01T00:00:00Z") == []
    assert code_of(ksef.get("/sessions", token)) == 21405
    assert ksef.get("/sessions?sessionType=Batch", token).json() == {"sessions": []}


def test_sending_needs_its_permission(ksef):
    client, office = nip(), nip()
    grant(ksef, client, office, "InvoiceRead")
    response, _ = ksef.try_open(ksef.login(seal(office), client))
    assert response.status_code == 403
    assert response.json()["security"] == {
        "requiredAnyOfPermissions": ["InvoiceWrite", "PefInvoiceWrite", "EnforcementOperations"],
        "presentPermissions": ["InvoiceRead"],
    }
