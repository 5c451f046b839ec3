"""Authorisations between companies, and the right to collective identifiers that may be passed on."""

from __future__ import annotations

import pytest
from sandbox_client import until
from sandbox_crypto import person, seal
from sandbox_invoices import invoice, nip

GRANTS = "/permissions/authorizations/grants"
QUERY = "/permissions/query/authorizations/grants"


@pytest.fixture
def pair(ksef):
    """A seller and a company that wants to issue for it, with their tokens."""
    seller, other = nip(), nip()
    return seller, other, ksef.owner(seller), ksef.owner(other)


def done(ksef, token, response) -> dict:
    assert response.status_code == 202, response.text
    ref = response.json()["referenceNumber"]
    read = lambda: ksef.get(f"/permissions/operations/{ref}", token).json()["status"]  # noqa: E731
    return until(read, lambda status: status["code"] != 100)


def authorize(ksef, token, other, permission="SelfInvoicing", kind="Nip") -> dict:
    body = {
        "subjectIdentifier": {"type": kind, "value": other},
        "permission": permission,
        "description": "umowa z 12.11",
        "subjectDetails": {"fullName": "Firma Testowa sp. z o.o."},
    }
    return done(ksef, token, ksef.post(GRANTS, token, body))


def listed(ksef, token, query_type, **filters) -> list[dict]:
    response = ksef.post(QUERY, token, {"queryType": query_type, **filters})
    assert response.status_code == 200, response.text
    return response.json()["authorizationGrants"]


def self_invoice(seller, buyer) -> bytes:
    return invoice(seller, buyer=buyer).replace(b"<P_17>2<", b"<P_17>1<")


def by_representative(seller, agent) -> bytes:
    part = f"""<PodmiotUpowazniony><DaneIdentyfikacyjne><NIP>{agent}</NIP><Nazwa>Pełnomocnik</Nazwa>\
</DaneIdentyfikacyjne><Adres><KodKraju>PL</KodKraju><AdresL1>ul. B 3</AdresL1></Adres><RolaPU>3</RolaPU>\
</PodmiotUpowazniony>"""
    return invoice(seller, third=part)


@pytest.mark.parametrize(
    ("permission", "right", "wrong"),
    [
        ("SelfInvoicing", self_invoice, lambda seller, me: invoice(seller, buyer=me)),
        ("TaxRepresentative", by_representative, self_invoice),
        ("RRInvoicing", None, self_invoice),
    ],
)
def test_an_authorised_company_issues_in_its_own_context_as_far_as_it_goes(ksef, pair, permission, right, wrong):
    seller, me, theirs, mine = pair
    for document in filter(None, (right, wrong)):
        assert ksef.judged(mine, document(seller, me))["status"]["code"] == 410
    assert authorize(ksef, theirs, me, permission)["code"] == 200
    assert ksef.judged(mine, wrong(seller, me))["status"]["code"] == 410
    (item,) = listed(ksef, mine, "Received")
    if right:
        accepted = ksef.judged(mine, right(seller, me))
        assert accepted["status"]["code"] == 200
        assert ksef.get(f"/invoices/ksef/{accepted['ksefNumber']}", theirs).status_code == 200
    assert done(ksef, theirs, ksef.call("DELETE", f"{GRANTS}/{item['id']}", theirs))["code"] == 200
    if right:
        assert ksef.judged(mine, right(seller, me))["status"]["code"] == 410


def test_both_sides_see_an_authorisation_and_it_is_no_permission(ksef, pair):
    seller, me, theirs, mine = pair
    assert authorize(ksef, theirs, me)["code"] == 200
    assert authorize(ksef, theirs, me)["code"] == 200
    assert authorize(ksef, theirs, me, "TaxRepresentative")["code"] == 200
    assert listed(ksef, mine, "Granted") == listed(ksef, theirs, "Received") == []
    granted = listed(ksef, theirs, "Granted")
    assert granted == listed(ksef, mine, "Received")
    assert {item["authorizationScope"] for item in granted} == {"SelfInvoicing", "TaxRepresentative"}
    (item,) = listed(ksef, mine, "Received", permissionTypes=["SelfInvoicing"])
    assert item["authorizingEntityIdentifier"] == {"type": "Nip", "value": seller}
    assert item["authorizedEntityIdentifier"] == {"type": "Nip", "value": me}
    assert item["subjectEntityDetails"]["fullName"] == "Firma Testowa sp. z o.o."
    stranger = {"type": "Nip", "value": nip()}
    assert listed(ksef, mine, "Received", authorizingIdentifier=stranger) == []
    assert listed(ksef, theirs, "Granted", authorizedIdentifier=stranger) == []
    assert len(listed(ksef, theirs, "Granted", authorizedIdentifier={"type": "Nip", "value": me})) == 2
    # It opens no door, shows in no other list and cannot be ended as a permission.
    assert ksef.outcome(ksef.start(seal(me), seller))["code"] == 415
    body = {"queryType": "PermissionsGrantedInCurrentContext"}
    assert ksef.post("/permissions/query/persons/grants", theirs, body).json()["permissions"] == []
    assert ksef.post("/permissions/query/personal/grants", mine, {}).json()["permissions"] == []
    assert ksef.post("/permissions/query/entities/grants", mine, {}).json()["permissions"] == []
    common = ksef.call("DELETE", f"/permissions/common/grants/{item['id']}", theirs)
    assert done(ksef, theirs, common)["code"] == 400
    foreign = ksef.call("DELETE", f"{GRANTS}/{item['id']}", mine)
    assert done(ksef, mine, foreign)["code"] == 400
    assert len(listed(ksef, theirs, "Granted")) == 2


def test_peppol_providers_get_what_is_theirs_only(ksef, pair):
    _, me, theirs, _ = pair
    assert authorize(ksef, theirs, "PPL123456", "PefInvoicing", "PeppolId")["code"] == 200
    assert authorize(ksef, theirs, "PPL123456", "SelfInvoicing", "PeppolId")["code"] == 450
    assert authorize(ksef, theirs, me, "PefInvoicing")["code"] == 450
    (item,) = listed(ksef, theirs, "Granted")
    assert item["authorizedEntityIdentifier"] == {"type": "PeppolId", "value": "PPL123456"}


@pytest.mark.parametrize(
    "change",
    [
        {"permission": "Wszystko"},
        {"description": "abc"},
        {"subjectDetails": {"fullName": "A"}},
        {"subjectIdentifier": {"type": "Pesel", "value": "85050512345"}},
        {"subjectIdentifier": {"type": "Nip", "value": "1"}},
    ],
)
def test_a_malformed_authorisation_is_refused(ksef, pair, change):
    _, me, theirs, _ = pair
    body = {
        "subjectIdentifier": {"type": "Nip", "value": me},
        "permission": "SelfInvoicing",
        "description": "umowa z 12.11",
        "subjectDetails": {"fullName": "Firma Testowa"},
    }
    refused = ksef.post(GRANTS, theirs, {**body, **change})
    assert refused.status_code == 400
    assert refused.json()["exception"]["exceptionDetailList"][0]["exceptionCode"] == 21405


def test_authorising_oneself_fails(ksef, pair):
    seller, _, theirs, _ = pair
    assert authorize(ksef, theirs, seller)["code"] == 410


def test_an_authorisation_needs_the_right_to_manage(ksef, pair):
    seller, me, _, _ = pair
    body = {
        "contextIdentifier": {"type": "Nip", "value": seller},
        "authorizedIdentifier": {"type": "Nip", "value": me},
        "permissions": [{"permissionType": "InvoiceWrite", "description": "tylko wysyłka"}],
    }
    assert ksef.post("/testdata/permissions", body=body).status_code == 200
    token = ksef.login(seal(me), seller)
    assert ksef.post(GRANTS, token, {}).status_code == 403
    assert ksef.call("DELETE", f"{GRANTS}/{'0' * 36}", token).status_code == 403
    assert ksef.post(QUERY, token, {"queryType": "Granted"}).status_code == 403


def test_collective_identifiers_can_be_passed_on(ksef, pair):
    client, bureau, theirs, mine = pair
    worker = f"85050513{bureau[:3]}"
    entity = {
        "subjectIdentifier": {"type": "Nip", "value": bureau},
        "permissions": [{"type": "CollectiveIdentifierManage", "canDelegate": True}],
        "description": "biuro rachunkowe",
        "subjectDetails": {"fullName": "Biuro Testowe sp. z o.o."},
    }
    assert done(ksef, theirs, ksef.post("/permissions/entities/grants", theirs, entity))["code"] == 200
    indirect = {
        "subjectIdentifier": {"type": "Pesel", "value": worker},
        "permissions": ["CollectiveIdentifierManage", "InvoiceRead"],
        "description": "praca dla klienta",
        "subjectDetails": {
            "subjectDetailsType": "PersonByIdentifier",
            "personById": {"firstName": "Jan", "lastName": "Testowy"},
        },
        "targetIdentifier": {"type": "Nip", "value": client},
    }
    assert done(ksef, mine, ksef.post("/permissions/indirect/grants", mine, indirect))["code"] == 200
    token = ksef.login(person(f"PNOPL-{worker}"), client)
    refused = ksef.post(GRANTS, token, {}).json()
    assert refused["security"]["presentPermissions"] == ["CollectiveIdentifierManage"]
    (item,) = ksef.post("/permissions/query/entities/grants", mine, {}).json()["permissions"]
    assert (item["permissionScope"], item["canDelegate"]) == ("CollectiveIdentifierManage", True)
