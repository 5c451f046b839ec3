"""The life of a KSeF token, and who finds which in the list."""

from __future__ import annotations

import pytest
from sandbox_client import until
from sandbox_crypto import person
from sandbox_invoices import nip


def code_of(response) -> int:
    assert response.status_code == 400, response.text
    return response.json()["exception"]["exceptionDetailList"][0]["exceptionCode"]


def make(ksef, token, *permissions, description="program biura"):
    body = {"permissions": list(permissions or ("InvoiceRead",)), "description": description}
    return ksef.post("/tokens", token, body)


def made(ksef, token, *permissions, **options) -> tuple[str, str]:
    """Reference and secret of a token that works."""
    body = make(ksef, token, *permissions, **options).json()
    ref = body["referenceNumber"]
    until(lambda: ksef.get(f"/tokens/{ref}", token).json()["status"], lambda status: status == "Active")
    return ref, body["token"]


def test_a_token_lives_through_its_four_states(delayed):
    ksef, me = delayed, nip()
    token = ksef.owner(me)
    answer = make(ksef, token).json()
    ref = answer["referenceNumber"]
    state = lambda: ksef.get(f"/tokens/{ref}", token).json()["status"]  # noqa: E731
    found = lambda status: [t["referenceNumber"] for t in ksef.get(f"/tokens?status={status}", token).json()["tokens"]]  # noqa: E731
    assert (state(), found("Pending"), found("Active")) == ("Pending", [ref], [])
    status = ksef.outcome(ksef.start_with_token(answer["token"], me))
    assert (status["code"], status["details"]) == (450, ["Token nieaktywny"])
    until(state, lambda status: status == "Active")
    assert (found("Active"), found("Pending")) == ([ref], [])
    assert ksef.call("DELETE", f"/tokens/{ref}", token).status_code == 204
    assert (state(), found("Revoking"), found("Revoked"), found("Active")) == ("Revoking", [ref], [], [])
    status = ksef.outcome(ksef.start_with_token(answer["token"], me))
    assert (status["code"], status["details"]) == (450, ["Token unieważniony"])
    until(state, lambda status: status == "Revoked")
    assert (found("Revoked"), found("Revoking"), found("Failed")) == ([ref], [], [])
    assert found("Revoked&status=Active") == [ref]
    assert ksef.call("DELETE", f"/tokens/{ref}", token).status_code == 204


def test_the_use_of_a_token_is_noted_and_its_end_ends_refreshing(ksef):
    me = nip()
    token = ksef.owner(me)
    ref, secret = made(ksef, token, "InvoiceRead", "InvoiceWrite")
    assert "lastUseDate" not in ksef.get(f"/tokens/{ref}", token).json()
    pair = ksef.redeem(ksef.start_with_token(secret, me))
    assert "lastUseDate" in ksef.get(f"/tokens/{ref}", token).json()
    own = pair["accessToken"]["token"]
    assert [t["referenceNumber"] for t in ksef.get("/tokens", own).json()["tokens"]] == [ref]
    refused = make(ksef, own)
    assert (refused.status_code, refused.json()["reasonCode"]) == (403, "auth-method-not-allowed")
    assert ksef.post("/auth/token/refresh", pair["refreshToken"]["token"]).status_code == 200
    assert ksef.call("DELETE", f"/tokens/{ref}", own).status_code == 204
    assert code_of(ksef.post("/auth/token/refresh", pair["refreshToken"]["token"])) == 21301


@pytest.mark.parametrize(
    "body",
    [
        {"permissions": [], "description": "program biura"},
        {"permissions": ["VatUeManage"], "description": "program biura"},
        {"permissions": ["InvoiceRead", "InvoiceRead"], "description": "program biura"},
        {"permissions": ["InvoiceRead"], "description": "abcd"},
        {"permissions": ["InvoiceRead"], "description": "a" * 257},
        {"permissions": ["InvoiceRead"]},
    ],
)
def test_a_malformed_order_is_refused(ksef, body):
    assert code_of(ksef.post("/tokens", ksef.owner(nip()), body)) == 21405


def test_the_list_can_be_narrowed_and_comes_in_pages(ksef):
    me = nip()
    clerk = f"85050514{me[:3]}"
    token = ksef.owner(me)
    body = {
        "contextIdentifier": {"type": "Nip", "value": me},
        "authorizedIdentifier": {"type": "Pesel", "value": clerk},
        "permissions": [{"permissionType": "InvoiceRead", "description": "podgląd faktur"}],
    }
    assert ksef.post("/testdata/permissions", body=body).status_code == 200
    refs = [made(ksef, token, description=f"program nr {n}")[0] for n in range(12)]
    theirs, _ = made(ksef, ksef.login(person(f"PNOPL-{clerk}"), me), description="podgląd kadrowej")
    newest = [theirs, *refs[::-1]]

    def page(query: str, **headers) -> dict:
        return ksef.get(f"/tokens{query}", token, headers=headers).json()

    def found(query: str) -> list[str]:
        return [item["referenceNumber"] for item in page(query)["tokens"]]

    first = page("?pageSize=10")
    rest = page("?pageSize=10", **{"x-continuation-token": first["continuationToken"]})
    assert [item["referenceNumber"] for item in first["tokens"] + rest["tokens"]] == newest
    assert "continuationToken" not in rest
    assert found(f"?authorIdentifier={clerk[:5]}&pageSize=100") == [theirs]
    assert found("?authorIdentifierType=Pesel") == [theirs]
    assert found("?description=PROGRAM NR 1&pageSize=100") == [refs[11], refs[10], refs[1]]
    for query in (
        "?status=Nowy",
        "?description=ab",
        "?authorIdentifier=12",
        "?authorIdentifierType=Imie",
        "?pageSize=9",
    ):
        assert code_of(ksef.get(f"/tokens{query}", token)) == 21405
    assert code_of(ksef.get("/tokens", token, headers={"x-continuation-token": "zz"})) == 21418
    assert code_of(ksef.get(f"/tokens/{'x' * 36}", token)) == 21405
    assert ksef.get(f"/tokens/{refs[0]}", ksef.owner(nip())).json()["reasonCode"] == "insufficient-resource-access"
