"""KSeF certificates: enrolment, collection, list, revocation, and logging in with what was issued."""

from __future__ import annotations

import base64
import contextlib
import dataclasses
import sqlite3
from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding
from cryptography.x509.oid import NameOID, ObjectIdentifier
from sandbox_client import Sandbox, until
from sandbox_crypto import Identity, auth_document, b64, ec_key, identity, person, rsa_key, seal, sign
from sandbox_invoices import invoice, nip

OIDS = {
    "commonName": NameOID.COMMON_NAME,
    "countryName": NameOID.COUNTRY_NAME,
    "givenName": NameOID.GIVEN_NAME,
    "surname": NameOID.SURNAME,
    "serialNumber": NameOID.SERIAL_NUMBER,
    "uniqueIdentifier": NameOID.X500_UNIQUE_IDENTIFIER,
    "organizationName": NameOID.ORGANIZATION_NAME,
    "organizationIdentifier": ObjectIdentifier("2.5.4.97"),
}
PESEL = "90010112345"


def code_of(response) -> int:
    assert response.status_code == 400, response.text
    return response.json()["exception"]["exceptionDetailList"][0]["exceptionCode"]


def request_of(names: dict[str, str], key, algorithm=None, rsa_padding=None) -> bytes:
    subject = x509.Name([x509.NameAttribute(OIDS[name], value) for name, value in names.items()])
    builder = x509.CertificateSigningRequestBuilder().subject_name(subject)
    if not isinstance(key, ed25519.Ed25519PrivateKey):
        algorithm = algorithm or hashes.SHA256()
    signed = builder.sign(key, algorithm, **({"rsa_padding": rsa_padding} if rsa_padding else {}))
    return signed.public_bytes(serialization.Encoding.DER)


def order(ksef: Sandbox, token: str, request: bytes, **changes):
    body = {"certificateName": "Certyfikat próbny", "certificateType": "Authentication", "csr": b64(request), **changes}
    return ksef.post("/certificates/enrollments", token, body)


def names_for(ksef: Sandbox, token: str) -> dict[str, str]:
    response = ksef.get("/certificates/enrollments/data", token)
    assert response.status_code == 200, response.text
    return response.json()


def ended(ksef: Sandbox, token: str, number: str) -> dict:
    read = lambda: ksef.get(f"/certificates/enrollments/{number}", token).json()  # noqa: E731
    return until(read, lambda body: body["status"]["code"] != 100)


def enrolled(ksef: Sandbox, token: str, key=None, **changes) -> Identity:
    """A certificate that KSeF issued, with its key."""
    key = key or ec.generate_private_key(ec.SECP256R1())
    response = order(ksef, token, request_of(names_for(ksef, token), key), **changes)
    assert response.status_code == 202, response.text
    status = ended(ksef, token, response.json()["referenceNumber"])
    assert status["status"]["code"] == 200, status
    body = {"certificateSerialNumbers": [status["certificateSerialNumber"]]}
    (item,) = ksef.post("/certificates/retrieve", token, body).json()["certificates"]
    return Identity(x509.load_der_x509_certificate(base64.b64decode(item["certificate"])), key)


def serial_of(who: Identity) -> str:
    return f"{who.certificate.serial_number:016X}"


def shown(ksef: Sandbox, token: str, **filters) -> list[dict]:
    return ksef.post("/certificates/query", token, filters).json()["certificates"]


def _plain(body: dict) -> dict:
    return {name: value for name, value in body.items() if value is not None}


@pytest.fixture
def company(ksef):
    me = nip()
    return me, ksef.owner(me)


# enrolment


@pytest.mark.parametrize(
    ("make", "names"),
    [
        (seal, {"organizationName": "Biuro Testowe", "commonName": "Biuro Testowe"}),
        (
            lambda me: person(f"TINPL-{me}"),
            {"givenName": "Jan", "surname": "Testowy", "commonName": "Jan Testowy"},
        ),
    ],
)
@pytest.mark.parametrize("key", [lambda: ec.generate_private_key(ec.SECP256R1()), rsa_key])
def test_a_certificate_is_ordered_collected_and_logs_in(ksef, make, names, key):
    me = nip()
    token = ksef.login(make(me), me)
    data = names_for(ksef, token)
    assert names.items() <= data.items()
    assert data["countryName"] == "PL"
    if key is rsa_key and make is not seal:
        key = lambda: rsa_key(1)  # noqa: E731 a key belongs to one subject
    own = enrolled(ksef, token, key())
    certificate = own.certificate
    subject = {name: certificate.subject.get_attributes_for_oid(OIDS[name])[0].value for name in data}
    assert (subject, len(list(certificate.subject))) == (data, len(data))
    assert certificate.issuer != certificate.subject
    life = certificate.not_valid_after_utc - certificate.not_valid_before_utc
    assert life == timedelta(days=730)
    assert abs(certificate.not_valid_before_utc - datetime.now(UTC)) < timedelta(minutes=1)
    usage = certificate.extensions.get_extension_for_class(x509.KeyUsage).value
    assert (usage.digital_signature, usage.content_commitment) == (True, False)

    assert "lastUseDate" not in shown(ksef, token)[0]
    started = ksef.start(own, me, query="?verifyCertificateChain=true")
    status = ksef.outcome(started)
    assert status["code"] == 200
    answer = started.json()
    whole = ksef.get(f"/auth/{answer['referenceNumber']}", answer["authenticationToken"]["token"]).json()
    info = whole["authenticationMethodInfo"]
    assert (info["category"], info["code"]) == ("XadesSignature", "xades.ksef-certificate")
    access = ksef.redeem(started)["accessToken"]["token"]
    assert ksef.judged(access, invoice(me))["status"]["code"] == 200
    assert names_for(ksef, access) == data  # so that it can be renewed
    assert "lastUseDate" in shown(ksef, token)[0]


def test_a_person_works_in_every_context_with_one_certificate(ksef):
    me, client = nip(), nip()
    assert ksef.post("/testdata/person", body=_person(me, PESEL)).status_code == 200
    token = ksef.login(person(f"PNOPL-{PESEL}"), me)
    own = enrolled(ksef, token)
    assert shown(ksef, token)[0]["subjectIdentifier"] == {"type": "Pesel", "value": PESEL}
    assert ksef.outcome(ksef.start(own, client))["code"] == 415
    body = {
        "contextIdentifier": {"type": "Nip", "value": client},
        "authorizedIdentifier": {"type": "Pesel", "value": PESEL},
        "permissions": [{"permissionType": "InvoiceWrite", "description": "praca zdalna"}],
    }
    assert ksef.post("/testdata/permissions", body=body).status_code == 200
    assert ksef.outcome(ksef.start(own, client))["code"] == 200
    # The link of NIP and PESEL counts: the company's seal sees and may revoke the owner's certificate.
    company = ksef.owner(me)
    assert [item["certificateSerialNumber"] for item in shown(ksef, company)] == [serial_of(own)]
    assert ksef.post(f"/certificates/{serial_of(own)}/revoke", company, {}).status_code == 204
    assert ksef.post("/testdata/person/remove", body={"nip": me}).status_code == 200


def _person(me: str, pesel: str) -> dict:
    return {"nip": me, "pesel": pesel, "isBailiff": False, "description": "właściciel"}


def test_states_are_passed_one_after_another(delayed):
    ksef, me = delayed, nip()
    token = ksef.owner(me)
    response = order(ksef, token, request_of(names_for(ksef, token), ec_key()))
    number = response.json()["referenceNumber"]
    assert number[8:12] == "-EH-"
    first = ksef.get(f"/certificates/enrollments/{number}", token).json()
    assert first["status"] == {"code": 100, "description": "Wniosek przyjęty do realizacji"}
    assert "certificateSerialNumber" not in _plain(first)
    assert shown(ksef, token) == []
    serial = ended(ksef, token, number)["certificateSerialNumber"]
    assert ksef.post(f"/certificates/{serial}/revoke", token, {}).status_code == 204
    assert shown(ksef, token)[0]["status"] == "Blocked"
    until(lambda: shown(ksef, token)[0]["status"], lambda status: status == "Revoked")


def _broken(csr: bytes) -> bytes:
    return csr[:-1] + bytes([csr[-1] ^ 1])


FORGED = {
    "not a request": (lambda names: b"abc", 25004),
    "a broken signature": (lambda names: _broken(request_of(names, ec_key())), 25004),
    "a longer key": (lambda names: request_of(names, rsa_key(0, 3072)), 25010),
    "another curve": (lambda names: request_of(names, ec.generate_private_key(ec.SECP384R1())), 25010),
    "another kind of key": (lambda names: request_of(names, ed25519.Ed25519PrivateKey.generate()), 25010),
    "another hash": (lambda names: request_of(names, ec_key(), hashes.SHA3_256()), 25011),
    "another name": (lambda names: request_of({**names, "commonName": "Inna Firma"}, ec_key()), 25003),
    "one name more": (lambda names: request_of({**names, "surname": "Testowy"}, ec_key()), 25003),
    "one name less": (
        lambda names: request_of({n: v for n, v in names.items() if n != "organizationName"}, ec_key()),
        25003,
    ),
}


@pytest.mark.parametrize("name", FORGED)
def test_a_request_that_is_not_right_is_refused(ksef, company, name):
    _, token = company
    make, code = FORGED[name]
    assert code_of(order(ksef, token, make(names_for(ksef, token)))) == code
    assert ksef.get("/certificates/limits", token).json()["enrollment"]["remaining"] == 300


@pytest.mark.parametrize("algorithm", [hashes.SHA256(), hashes.SHA384(), hashes.SHA512()])
@pytest.mark.parametrize("key", ["ec", "rsa", "pss"])
def test_every_signature_that_the_ministry_takes_is_taken(ksef, company, key, algorithm):
    _, token = company
    pss = padding.PSS(padding.MGF1(algorithm), padding.PSS.DIGEST_LENGTH) if key == "pss" else None
    private = ec_key() if key == "ec" else rsa_key(2)
    csr = request_of(names_for(ksef, token), private, algorithm, pss)
    assert order(ksef, token, csr).status_code == 202


@pytest.mark.parametrize(
    "changes",
    [
        {"certificateName": "abcd"},
        {"certificateName": "a" * 101},
        {"certificateName": "Certyfikat/1"},
        {"certificateType": "Podpis"},
        {"csr": "to nie base64"},
        {"csr": None},
        {"validFrom": "jutro"},
        {"validFrom": (datetime.now(UTC) + timedelta(days=91)).isoformat()},
    ],
)
def test_a_malformed_order_is_refused(ksef, company, changes):
    _, token = company
    assert code_of(order(ksef, token, request_of(names_for(ksef, token), ec_key()), **changes)) == 21405


def test_a_certificate_may_begin_later_and_is_no_good_before(ksef, company):
    me, token = company
    start = datetime.now(UTC) + timedelta(days=30)
    own = enrolled(ksef, token, validFrom=start.isoformat())
    assert own.certificate.not_valid_before_utc == start.replace(microsecond=0)
    status = ksef.outcome(ksef.start(own, me))
    assert (status["code"], status["details"]) == (460, ["Nieważny certyfikat"])


def test_only_a_signature_leads_to_a_certificate(ksef, company):
    me, token = company
    own = enrolled(ksef, token)
    body = {"permissions": ["InvoiceRead"], "description": "tylko czytanie"}
    made = ksef.post("/tokens", token, body).json()
    until(lambda: ksef.get(f"/tokens/{made['referenceNumber']}", token).json()["status"], lambda s: s == "Active")
    access = ksef.redeem(ksef.start_with_token(made["token"], me))["accessToken"]["token"]
    assert code_of(ksef.get("/certificates/enrollments/data", access)) == 25001
    csr = request_of(names_for(ksef, token), ec_key())
    assert code_of(order(ksef, access, csr)) == 25002
    assert ksef.get("/certificates/limits", access).json()["canRequest"] is False
    refused = ksef.post(f"/certificates/{serial_of(own)}/revoke", access, {})
    assert (refused.status_code, refused.json()["reasonCode"]) == (403, "auth-method-not-allowed")


def test_the_limits_are_counted_and_enforced(ksef, company):
    _, token = company
    whole = {"remaining": 300, "limit": 300}, {"remaining": 100, "limit": 100}
    left = ksef.get("/certificates/limits", token).json()
    assert (left["canRequest"], left["enrollment"], left["certificate"]) == (True, *whole)
    limits = {"enrollment": {"maxEnrollments": 3}, "certificate": {"maxCertificates": 1}}
    assert ksef.post("/testdata/limits/subject/certificate", token, limits).status_code == 200
    own = enrolled(ksef, token)
    left = ksef.get("/certificates/limits", token).json()
    assert left == {
        "canRequest": False,
        "enrollment": {"remaining": 2, "limit": 3},
        "certificate": {"remaining": 0, "limit": 1},
    }
    csr = request_of(names_for(ksef, token), ec.generate_private_key(ec.SECP256R1()))
    assert code_of(order(ksef, token, csr)) == 25007
    for held in (own, None, None):
        if held is None:
            held = enrolled(ksef, token)
        assert ksef.post(f"/certificates/{serial_of(held)}/revoke", token, {}).status_code == 204
    assert code_of(order(ksef, token, csr)) == 25006
    assert ksef.get("/certificates/limits", token).json()["canRequest"] is False


def test_a_key_belongs_to_one_subject(ksef, company):
    _, token = company
    other = ksef.owner(nip())
    key = ec.generate_private_key(ec.SECP256R1())
    enrolled(ksef, token, key)
    enrolled(ksef, token, key)
    number = order(ksef, other, request_of(names_for(ksef, other), key)).json()["referenceNumber"]
    assert ended(ksef, other, number)["status"] == {
        "code": 400,
        "description": "Wniosek odrzucony",
        "details": ["Klucz publiczny został już certyfikowany przez inny podmiot."],
    }
    assert shown(ksef, other) == []


def test_certificates_are_ones_own(ksef, company):
    _, token = company
    own, other = enrolled(ksef, token), ksef.owner(nip())
    number = order(ksef, token, request_of(names_for(ksef, token), ec_key(7))).json()["referenceNumber"]
    serial = serial_of(own)
    assert code_of(ksef.get(f"/certificates/enrollments/{number}", other)) == 25005
    assert code_of(ksef.get(f"/certificates/enrollments/{'x' * 36}", token)) == 25005
    assert ksef.post("/certificates/retrieve", other, {"certificateSerialNumbers": [serial]}).json() == {
        "certificates": []
    }
    assert shown(ksef, other) == []
    assert code_of(ksef.post(f"/certificates/{serial}/revoke", other, {})) == 25008
    until_ = {"validTo": datetime.now(UTC).isoformat()}
    assert code_of(ksef.call("PUT", f"/testdata/certificates/{serial}", other, json=until_)) == 25008
    assert code_of(ksef.call("PUT", f"/testdata/certificates/{'0' * 16}", token, json=until_)) == 25008
    for numbers in ([], ["abc"], [serial] * 11):
        refused = ksef.post("/certificates/retrieve", token, {"certificateSerialNumbers": numbers})
        assert code_of(refused) == 21405
    assert code_of(ksef.post("/certificates/abc/revoke", token, {})) == 21405


def test_the_list_can_be_narrowed_and_comes_in_pages(ksef, company):
    _, token = company
    made = [enrolled(ksef, token, certificateName=f"Seria nr {n}") for n in range(11)]
    offline = enrolled(ksef, token, certificateName="Kody QR", certificateType="Offline")
    assert ksef.post(f"/certificates/{serial_of(made[0])}/revoke", token, {}).status_code == 204

    def serials(query: str = "?pageSize=50", **filters) -> list[str]:
        body = ksef.post(f"/certificates/query{query}", token, filters).json()
        return [item["certificateSerialNumber"] for item in body["certificates"]]

    newest = [serial_of(who) for who in [*made, offline]][::-1]
    assert serials() == newest
    assert serials("?pageSize=10") == newest[:10]
    assert serials("?pageSize=10&pageOffset=1") == newest[10:]
    assert ksef.post("/certificates/query?pageSize=10", token, {}).json()["hasMore"] is True
    assert ksef.post("/certificates/query?pageSize=10&pageOffset=1", token, {}).json()["hasMore"] is False
    assert serials(type="Offline") == [serial_of(offline)]
    assert serials(name="nr 7") == [serial_of(made[7])]
    assert serials(certificateSerialNumber=serial_of(made[3])) == [serial_of(made[3])]
    assert serials(status="Revoked") == [serial_of(made[0])]
    assert len(serials(status="Active")) == 11
    assert serials(expiresAfter=(datetime.now(UTC) + timedelta(days=731)).isoformat()) == []
    assert len(serials(expiresAfter=datetime.now(UTC).isoformat())) == 12
    assert code_of(ksef.post("/certificates/query?pageSize=51", token, {})) == 21405
    assert code_of(ksef.post("/certificates/query", token, {"status": "Nowy"})) == 21405


# certificates that are no good


def test_a_revoked_certificate_does_not_log_in_but_its_logins_live_on(ksef, company):
    me, token = company
    own = enrolled(ksef, token)
    tokens = ksef.redeem(ksef.start(own, me))
    path = f"/certificates/{serial_of(own)}/revoke"
    assert code_of(ksef.post(path, token, {"revocationReason": "Bo tak"})) == 21405
    assert ksef.post(path, token, {"revocationReason": "KeyCompromise"}).status_code == 204
    assert code_of(ksef.post(path, token, {"revocationReason": "Superseded"})) == 25009
    status = ksef.outcome(ksef.start(own, me))
    assert status["code"] == 460
    assert status["description"] == "Uwierzytelnianie zakończone niepowodzeniem z powodu błędu certyfikatu"
    assert status["details"] == ["Certyfikat odwołany"]
    assert ksef.post("/auth/token/refresh", tokens["refreshToken"]["token"]).status_code == 200


def test_an_expired_certificate_does_not_log_in(ksef, company):
    me, token = company
    own = enrolled(ksef, token)
    path = f"/testdata/certificates/{serial_of(own)}"
    later = (own.certificate.not_valid_after_utc + timedelta(days=1)).isoformat()
    assert code_of(ksef.call("PUT", path, token, json={"validTo": later})) == 21405
    past = (datetime.now(UTC) - timedelta(seconds=1)).isoformat()
    assert ksef.call("PUT", path, token, json={"validTo": past}).status_code == 200
    assert shown(ksef, token)[0]["status"] == "Expired"
    status = ksef.outcome(ksef.start(own, me))
    assert (status["code"], status["details"]) == (460, ["Nieważny certyfikat"])
    assert code_of(ksef.post(f"/certificates/{serial_of(own)}/revoke", token, {})) == 25009
    assert ksef.get("/certificates/limits", token).json()["certificate"]["remaining"] == 100


def test_an_offline_certificate_is_for_codes_only(ksef, company):
    me, token = company
    own = enrolled(ksef, token, certificateType="Offline")
    usage = own.certificate.extensions.get_extension_for_class(x509.KeyUsage).value
    assert (usage.digital_signature, usage.content_commitment) == (False, True)
    status = ksef.outcome(ksef.start(own, me))
    assert (status["code"], status["details"]) == (460, ["Niepoprawny certyfikat"])


def test_a_certificate_that_only_looks_like_one_of_the_ministry_is_not_trusted(ksef, company):
    me, token = company
    own = enrolled(ksef, token)
    key = ec.generate_private_key(ec.SECP256R1())
    forged = (
        x509.CertificateBuilder()
        .subject_name(own.certificate.subject)
        .issuer_name(own.certificate.issuer)
        .public_key(key.public_key())
        .serial_number(own.certificate.serial_number)
        .not_valid_before(own.certificate.not_valid_before_utc)
        .not_valid_after(own.certificate.not_valid_after_utc)
        .sign(key, hashes.SHA256())
    )
    status = ksef.outcome(ksef.start(Identity(forged, key), me))
    assert (status["code"], status["details"]) == (460, ["Błąd weryfikacji łańcucha certyfikatów"])
    with_wrong_key = dataclasses.replace(own, key=key)
    document = auth_document(ksef.challenge()["challenge"], me)
    assert code_of(ksef.submit(sign(document, with_wrong_key))) == 9105


def test_a_certificate_of_a_fingerprint_logs_in_as_what_it_was_ordered_by(ksef):
    me = nip()
    names = ((NameOID.COUNTRY_NAME, "PL"), (NameOID.COMMON_NAME, "Jan Nieznany"))
    foreign = identity(names)
    mark = foreign.certificate.fingerprint(hashes.SHA256()).hex().upper()
    body = {
        "contextIdentifier": {"type": "Nip", "value": me},
        "authorizedIdentifier": {"type": "Fingerprint", "value": mark},
        "permissions": [{"permissionType": "InvoiceRead", "description": "podgląd faktur"}],
    }
    assert ksef.post("/testdata/permissions", body=body).status_code == 200
    started = ksef.start(foreign, me, document={"subject": "certificateFingerprint"})
    token = ksef.redeem(started)["accessToken"]["token"]
    assert ksef.get("/certificates/limits", token).json()["enrollment"] == {"remaining": 12, "limit": 12}
    own = enrolled(ksef, token)
    assert ksef.outcome(ksef.start(own, me))["code"] == 200


def test_the_check_of_certificates_may_be_down(ksef, company):
    me, token = company
    own = enrolled(ksef, token)
    ksef.fault("certificate_check_down", times=2)
    assert code_of(ksef.start(own, me)) == 21115
    assert code_of(ksef.start(seal(me), me)) == 21115
    ksef.fault("certificate_check_down", times=1, params={"code": 460})
    assert ksef.outcome(ksef.start(own, me))["code"] == 460
    assert ksef.outcome(ksef.start(own, me))["code"] == 200


# time and restarts


def test_a_power_cut_and_thirty_days(start, tmp_path):
    process = start(delay=300)
    ksef, me = Sandbox(process.url), nip()
    token = ksef.owner(me)
    key = ec.generate_private_key(ec.SECP256R1())
    number = order(ksef, token, request_of(names_for(ksef, token), key)).json()["referenceNumber"]
    process.kill()
    ksef.close()
    process = start(delay=300)
    ksef = Sandbox(process.url)
    serial = ended(ksef, token, number)["certificateSerialNumber"]
    item = ksef.post("/certificates/retrieve", token, {"certificateSerialNumbers": [serial]}).json()["certificates"][0]
    own = Identity(x509.load_der_x509_certificate(base64.b64decode(item["certificate"])), key)
    assert ksef.outcome(ksef.start(own, me))["code"] == 200
    with contextlib.closing(sqlite3.connect(tmp_path / "data" / "sandbox.db")) as database, database:
        database.execute("UPDATE enrollment SET requested = requested - ?", (31 * 24 * 3_600_000,))
    gone = ksef.get(f"/certificates/enrollments/{number}", token)
    assert (gone.status_code, gone.headers["content-type"]) == (410, "application/problem+json")
    ksef.close()
