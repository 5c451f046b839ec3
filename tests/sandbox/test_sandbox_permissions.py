"""Who may do what where: grants, their intersection, their end, and what the queries say."""

from __future__ import annotations

import pytest
from sandbox_client import until
from sandbox_crypto import person, seal
from sandbox_invoices import invoice, nip

BOTH = ("InvoiceRead", "InvoiceWrite")


def pesel(last: str) -> str:
    return f"85050512{last}"


@pytest.fixture
def office(ksef):
    """A client, its office and an employee of the office."""
    client, bureau = nip(), nip()
    return client, bureau, pesel(bureau[:3]), ksef.owner(client), ksef.owner(bureau)


def done(ksef, token, response) -> dict:
    assert response.status_code == 202, response.text
    ref = response.json()["referenceNumber"]
    read = lambda: ksef.get(f"/permissions/operations/{ref}", token).json()["status"]  # noqa: E731
    return until(read, lambda status: status["code"] != 100)


def to_office(ksef, token, bureau, *, delegate=True, scopes=BOTH):
    body = {
        "subjectIdentifier": {"type": "Nip", "value": bureau},
        "permissions": [{"type": scope, "canDelegate": delegate} for scope in scopes],
        "description": "biuro rachunkowe",
        "subjectDetails": {"fullName": "Biuro Testowe sp. z o.o."},
    }
    return done(ksef, token, ksef.post("/permissions/entities/grants", token, body))


def to_person(ksef, token, number, scopes, target=None, kind="indirect"):
    details = {"firstName": "Jan", "lastName": "Testowy"}
    body = {
        "subjectIdentifier": {"type": "Pesel", "value": number},
        "permissions": list(scopes),
        "description": "praca dla klienta",
        "subjectDetails": {"subjectDetailsType": "PersonByIdentifier", "personById": details},
        **({"targetIdentifier": target} if target else {}),
    }
    return done(ksef, token, ksef.post(f"/permissions/{kind}/grants", token, body))


def rights(ksef, who, client) -> list[str] | int:
    """The rights of a login as its refusal lists them, or the status when there is no login."""
    started = ksef.start(who, client)
    status = ksef.outcome(started)
    if status["code"] != 200:
        return status["code"]
    token = ksef.redeem(started)["accessToken"]["token"]
    answer = ksef.post("/permissions/entities/grants", token, {})
    return answer.json()["security"]["presentPermissions"]


def test_the_office_works_where_it_was_let_in(ksef, office):
    client, bureau, _, theirs, _ = office
    assert rights(ksef, seal(bureau), client) == 415
    assert to_office(ksef, theirs, bureau, delegate=False) == {
        "code": 200,
        "description": "Operacja zakończona sukcesem",
    }
    assert sorted(rights(ksef, seal(bureau), client)) == list(BOTH)
    token = ksef.login(seal(bureau), client)
    assert ksef.judged(token, invoice(client))["status"]["code"] == 200


@pytest.mark.parametrize("target", [{"type": "AllPartners"}, None, "client"])
def test_an_employee_has_what_both_gave(ksef, office, target):
    client, bureau, number, theirs, ours = office
    to_office(ksef, theirs, bureau)
    chosen = {"type": "Nip", "value": client} if target == "client" else target
    assert to_person(ksef, ours, number, ["InvoiceRead"], chosen)["code"] == 200
    assert rights(ksef, person(f"PNOPL-{number}"), client) == ["InvoiceRead"]


def test_without_delegation_an_employee_has_nothing(ksef, office):
    client, bureau, number, theirs, ours = office
    to_office(ksef, theirs, bureau, delegate=False)
    assert to_person(ksef, ours, number, BOTH, {"type": "AllPartners"})["code"] == 200
    assert rights(ksef, person(f"PNOPL-{number}"), client) == 415
    selective = to_person(ksef, ours, number, BOTH, {"type": "Nip", "value": client})
    assert selective["code"] == 430
    assert client in selective["details"][0]


def test_when_the_client_takes_back_the_employee_is_out(ksef, office):
    client, bureau, number, theirs, ours = office
    to_office(ksef, theirs, bureau)
    to_person(ksef, ours, number, BOTH, {"type": "Nip", "value": client})
    employee = ksef.redeem(ksef.start(person(f"PNOPL-{number}"), client))
    listed = ksef.post("/permissions/query/entities/grants", ours, {}).json()["permissions"]
    for item in listed:
        assert (
            done(ksef, theirs, ksef.call("DELETE", f"/permissions/common/grants/{item['id']}", theirs))["code"] == 200
        )
    assert rights(ksef, person(f"PNOPL-{number}"), client) == 415
    # The access token lives on; the refresh token does not.
    assert ksef.get("/rate-limits", employee["accessToken"]["token"]).status_code == 200
    refreshed = ksef.post("/auth/token/refresh", employee["refreshToken"]["token"])
    assert refreshed.json()["exception"]["exceptionDetailList"][0]["exceptionCode"] == 21301
    query = {"queryType": "PermissionsGrantedInCurrentContext"}
    states = [
        p["permissionState"] for p in ksef.post("/permissions/query/persons/grants", ours, query).json()["permissions"]
    ]
    assert states == ["Inactive", "Inactive"]


def test_the_office_reads_which_clients_let_it_in(ksef, office):
    client, bureau, _, theirs, ours = office
    to_office(ksef, theirs, bureau)
    for path in ("entities", "personal"):
        items = ksef.post(f"/permissions/query/{path}/grants", ours, {}).json()["permissions"]
        found = {(p["contextIdentifier"]["value"], p["permissionScope"], p["canDelegate"]) for p in items}
        assert found == {(client, "InvoiceRead", True), (client, "InvoiceWrite", True)}
    other = {"contextIdentifier": {"type": "Nip", "value": nip()}}
    assert ksef.post("/permissions/query/entities/grants", ours, other).json() == {"permissions": [], "hasMore": False}


def test_the_client_reads_whom_it_let_in(ksef, office):
    _, bureau, number, theirs, _ = office
    to_office(ksef, theirs, bureau)
    to_person(ksef, theirs, number, ["CredentialsRead"], kind="persons")
    body = {"queryType": "PermissionsInCurrentContext"}
    items = ksef.post("/permissions/query/persons/grants", theirs, body).json()["permissions"]
    assert {(p["authorizedIdentifier"]["value"], p["permissionScope"]) for p in items} == {
        (bureau, "InvoiceRead"),
        (bureau, "InvoiceWrite"),
        (number, "CredentialsRead"),
    }
    entity = next(p for p in items if p["authorizedIdentifier"]["value"] == bureau)
    assert entity["subjectEntityDetails"]["fullName"] == "Biuro Testowe sp. z o.o."
    narrowed = {**body, "permissionTypes": ["CredentialsRead"]}
    (one,) = ksef.post("/permissions/query/persons/grants", theirs, narrowed).json()["permissions"]
    assert one["subjectPersonDetails"]["lastName"] == "Testowy"


def test_a_grant_of_the_test_environment_is_seen_and_ends(ksef):
    client, bureau = nip(), nip()
    pair = {
        "contextIdentifier": {"type": "Nip", "value": client},
        "authorizedIdentifier": {"type": "Nip", "value": bureau},
    }
    body = {**pair, "permissions": [{"permissionType": s, "description": "biuro rachunkowe"} for s in BOTH]}
    assert ksef.post("/testdata/permissions", body=body).status_code == 200
    again = ksef.post("/testdata/permissions", body=body)
    assert again.json()["exception"]["exceptionDetailList"][0]["exceptionCode"] == 30001
    ours = ksef.login(seal(bureau), client)
    items = ksef.post("/permissions/query/personal/grants", ours, {}).json()["permissions"]
    assert sorted(p["permissionScope"] for p in items) == list(BOTH)
    assert ksef.post("/testdata/permissions/revoke", body=pair).status_code == 200
    assert rights(ksef, seal(bureau), client) == 415


def test_an_owner_reads_that_it_owns(ksef):
    me = nip()
    body = ksef.post("/permissions/query/personal/grants", ksef.owner(me), {}).json()
    assert body["permissions"] == []
    assert "InvoiceWrite" in body["ownerPermissions"]


def test_grants_need_the_right_to_manage(ksef, office):
    client, bureau, _, theirs, _ = office
    to_office(ksef, theirs, bureau)
    token = ksef.login(seal(bureau), client)
    for path in ("entities", "persons", "indirect"):
        answer = ksef.post(f"/permissions/{path}/grants", token, {})
        assert (answer.status_code, answer.json()["security"]["requiredAnyOfPermissions"]) == (
            403,
            ["CredentialsManage"],
        )


@pytest.mark.parametrize(
    "change",
    [
        {"subjectIdentifier": {"type": "Nip", "value": "123"}},
        {"subjectIdentifier": {"type": "Pesel", "value": "85050512345"}},
        {"permissions": []},
        {"permissions": [{"type": "Introspection"}]},
        {"permissions": [{"type": "InvoiceRead"}, {"type": "InvoiceRead"}]},
        {"description": "abc"},
        {"subjectDetails": None},
    ],
)
def test_a_malformed_grant_is_refused(ksef, office, change):
    _, bureau, _, theirs, _ = office
    body = {
        "subjectIdentifier": {"type": "Nip", "value": bureau},
        "permissions": [{"type": "InvoiceRead", "canDelegate": True}],
        "description": "biuro rachunkowe",
        "subjectDetails": {"fullName": "Biuro Testowe"},
    }
    answer = ksef.post("/permissions/entities/grants", theirs, {**body, **change})
    assert answer.json()["exception"]["exceptionDetailList"][0]["exceptionCode"] == 21405


def test_revoking_what_is_not_there_fails_as_an_operation(ksef, office):
    _, _, _, theirs, _ = office
    path = "/permissions/common/grants/00000000-0000-0000-0000-000000000000"
    assert done(ksef, theirs, ksef.call("DELETE", path, theirs))["code"] == 400


def test_tokens_see_and_give_only_what_they_may(ksef, office):
    client, bureau, _, theirs, _ = office
    to_office(ksef, theirs, bureau)
    token = ksef.login(seal(bureau), client)
    lacking = ksef.post("/tokens", token, {"permissions": ["CredentialsManage"], "description": "za dużo"})
    assert lacking.json()["exception"]["exceptionDetailList"][0]["exceptionCode"] == 26001
    mine = ksef.post("/tokens", token, {"permissions": ["InvoiceRead"], "description": "biuro: odczyt"}).json()
    own = ksef.post("/tokens", theirs, {"permissions": ["InvoiceRead"], "description": "własny odczyt"}).json()
    listed = lambda who, q="": [t["referenceNumber"] for t in ksef.get(f"/tokens{q}", who).json()["tokens"]]  # noqa: E731
    assert listed(token) == [mine["referenceNumber"]]
    assert sorted(listed(theirs)) == sorted([mine["referenceNumber"], own["referenceNumber"]])
    assert listed(theirs, "?description=WŁASNY") == [own["referenceNumber"]]
    assert listed(theirs, "?status=Revoked") == []
    foreign = ksef.get(f"/tokens/{own['referenceNumber']}", token)
    assert (foreign.status_code, foreign.json()["reasonCode"]) == (403, "insufficient-resource-access")


def test_roles_and_attachments_come_from_the_test_data(ksef):
    group, part = nip(), nip()
    body = {
        "subjectNip": group,
        "subjectType": "VatGroup",
        "subunits": [{"subjectNip": part, "description": "członek grupy"}],
        "description": "grupa VAT",
    }
    assert ksef.post("/testdata/subject", body=body).status_code == 200
    token = ksef.owner(part)
    (role,) = ksef.get("/permissions/query/entities/roles", token).json()["roles"]
    assert (role["role"], role["parentEntityIdentifier"]["value"]) == ("VatGroupSubUnit", group)
    assert ksef.get("/permissions/attachments/status", token).json() == {"isAttachmentAllowed": False}
    assert ksef.post("/testdata/attachment", body={"nip": part}).status_code == 200
    assert ksef.get("/permissions/attachments/status", token).json() == {"isAttachmentAllowed": True}
    assert ksef.post("/testdata/attachment/revoke", body={"nip": part}).status_code == 200
    assert ksef.get("/permissions/attachments/status", token).json()["isAttachmentAllowed"] is False
    assert ksef.post("/testdata/subject/remove", body={"subjectNip": group}).status_code == 200
    assert ksef.get("/permissions/query/entities/roles", token).json()["roles"] == []


@pytest.mark.parametrize("code", [400, 410, 420, 430, 440, 450, 500, 550])
def test_an_operation_that_fails_on_demand_grants_nothing(ksef, office, code):
    client, bureau, _, token, _ = office
    ksef.fault("operation_fails", times=1, match={"path": "/v2/permissions/entities"}, params={"code": code})
    status = to_office(ksef, token, bureau)
    assert (status["code"], bool(status["description"])) == (code, True)
    assert rights(ksef, seal(bureau), client) == 415
    assert to_office(ksef, token, bureau)["code"] == 200
    assert sorted(rights(ksef, seal(bureau), client)) == list(BOTH)
