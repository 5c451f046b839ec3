"""Logging in: what is taken, and each refusal with its code."""

from __future__ import annotations

import base64
import json
import re

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from lxml import etree
from sandbox_client import until
from sandbox_crypto import (
    C14N,
    C14N11,
    DS,
    EXC,
    FILTER2,
    PSS,
    XPATH,
    auth_document,
    ec_key,
    identity,
    person,
    rsa_key,
    seal,
    sign,
)
from sandbox_invoices import nip
from signxml import SignatureMethod
from signxml.xades import XAdESSigner

PESEL = "85050512345"


def codes(response) -> int:
    assert response.status_code == 400, response.text
    return response.json()["exception"]["exceptionDetailList"][0]["exceptionCode"]


def claims(token: str) -> dict:
    part = token.split(".")[1]
    return json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))


@pytest.mark.parametrize("key", [rsa_key, ec_key], ids=["rsa", "ec"])
@pytest.mark.parametrize("method", [EXC, C14N, C14N11], ids=["exclusive", "inclusive", "c14n11"])
@pytest.mark.parametrize("v2", [False, True], ids=["v1", "v2"])
@pytest.mark.parametrize("references", [2, 3])
def test_every_form_of_signature_that_clients_make_is_taken(ksef, key, method, v2, references):
    me = nip()
    started = ksef.start(seal(me, key()), me, method=method, v2=v2, key_info_signed=references == 3)
    assert ksef.outcome(started) == {"code": 200, "description": "Uwierzytelnianie zakończone sukcesem"}


@pytest.mark.parametrize("schema", ["2.0", "2.1"])
def test_both_schemas_are_taken_and_rsa_pss_too(ksef, schema):
    me = nip()
    started = ksef.start(seal(me, rsa_key()), me, document={"schema": schema}, algorithm=PSS)
    assert ksef.outcome(started)["code"] == 200


@pytest.mark.parametrize(
    "form", [{"enveloping": True}, {"enveloping": True, "method": C14N}, {"out": XPATH}, {"out": FILTER2}]
)
def test_other_ways_to_place_and_cut_out_a_signature_are_taken(ksef, form):
    me = nip()
    assert ksef.outcome(ksef.start(seal(me), me, **form))["code"] == 200


@pytest.mark.parametrize("key", [rsa_key, ec_key], ids=["rsa", "ec"])
def test_signatures_of_signxml_are_taken(ksef, key):
    me = nip()
    who = seal(me, key())
    method = SignatureMethod.RSA_SHA256 if key is rsa_key else SignatureMethod.ECDSA_SHA256
    signer = XAdESSigner(signature_algorithm=method, digest_algorithm="sha256")
    document = etree.fromstring(_text(ksef, me).encode())
    content = etree.tostring(signer.sign(document, key=who.key, cert=[who.certificate]))
    assert ksef.outcome(ksef.submit(content))["code"] == 200


def _text(ksef, me, **document) -> str:
    return auth_document(ksef.challenge()["challenge"], me, **document)


def _tampered_nip(ksef, me):
    return sign(_text(ksef, nip()), seal(me)).replace(b"<Nip>", b"<Nip>1", 1)


def _other_context(ksef, me):
    other = nip()
    return re.sub(rb"<Nip>\d+</Nip>", f"<Nip>{other}</Nip>".encode(), sign(_text(ksef, me), seal(me)))


def _wrapped(ksef, me):
    """The signed document moved inside another one, and referred to by an Id."""
    signed = etree.fromstring(sign(_text(ksef, me), seal(me)))
    victim = etree.fromstring(_text(ksef, nip()).encode())
    victim.append(signed.find(f"{{{DS}}}Signature"))
    return etree.tostring(victim)


def _deeper(ksef, me):
    """The signature is not a child of the root: what it covers is not what is read."""
    outer = etree.fromstring(_text(ksef, nip()).encode())
    outer.append(etree.fromstring(sign(_text(ksef, me), seal(me))))
    return etree.tostring(outer)


def _two(ksef, me):
    root = etree.fromstring(sign(_text(ksef, me), seal(me)))
    root.append(etree.fromstring(etree.tostring(root.find(f"{{{DS}}}Signature"))))
    return etree.tostring(root)


def _no_coverage(ksef, me):
    """Only the SignedProperties are signed: take the reference to the document out."""
    root = etree.fromstring(sign(_text(ksef, me), seal(me)))
    info = root.find(f"{{{DS}}}Signature/{{{DS}}}SignedInfo")
    info.remove(info.findall(f"{{{DS}}}Reference")[0])
    return etree.tostring(root)


def _second_payload(ksef, me):
    """An enveloping signature with another, unsigned document beside the signed one."""
    root = etree.fromstring(sign(_text(ksef, me), seal(me), enveloping=True))
    signed = root.find(f"{{{DS}}}Object")
    extra = etree.fromstring(f'<Object xmlns="{DS}"/>')
    extra.append(etree.fromstring(_text(ksef, nip()).encode()))
    signed.append(extra[0])
    return etree.tostring(root)


def _same_id_twice(ksef, me):
    """The Id that the signature names stands on two elements."""
    root = etree.fromstring(sign(_text(ksef, me), seal(me), enveloping=True))
    extra = etree.SubElement(root, f"{{{DS}}}Object", Id="payload")
    extra.append(etree.fromstring(_text(ksef, nip()).encode()))
    return etree.tostring(root)


def _changed_time(ksef, me):
    return re.sub(rb"<xades:SigningTime>20\d\d", b"<xades:SigningTime>1999", sign(_text(ksef, me), seal(me)))


BAD_DOCUMENTS = {
    "not XML": (lambda k, m: b"to nie jest XML", 21001),
    "a document type": (lambda k, m: b'<!DOCTYPE a [<!ENTITY e "x">]><a>&e;</a>', 21001),
    "another encoding": (lambda k, m: _text(k, m).encode() + "ł".encode("cp1250"), 21217),
    "another root": (lambda k, m: b"<a/>", 9101),
    "no signature": (lambda k, m: _text(k, m).encode(), 9102),
    "two signatures": (_two, 9103),
    "a changed document": (_tampered_nip, 9105),
    "another context put in": (_other_context, 9105),
    "a signature moved to another document": (_wrapped, 9105),
    "a signed document inside another": (_deeper, 9105),
    "a signature that does not cover the document": (_no_coverage, 9105),
    "two payloads in one object": (_second_payload, 9105),
    "two objects of one name": (_same_id_twice, 9105),
    "changed properties": (_changed_time, 9105),
    "no XAdES properties": (lambda k, m: sign(_text(k, m), seal(m), with_properties=False), 9105),
    "digest of another certificate": (lambda k, m: sign(_text(k, m), seal(m), cert_digest="A" * 43 + "="), 9105),
    "ECDSA in DER": (lambda k, m: sign(_text(k, m), seal(m), der_signature=True), 9105),
    "another person's certificate": (lambda k, m: sign(_text(k, m), seal(m), named=seal(nip(), ec_key(1))), 9105),
    "RSA of 1024 bits": (lambda k, m: sign(_text(k, m), seal(m, rsa_key(0, 1024))), 9105),
    "no NIP and no PESEL": (lambda k, m: sign(_text(k, m), identity([(NameOID.COMMON_NAME, "Nikt")])), 21115),
    "a person without a number": (lambda k, m: sign(_text(k, m), person("ABC")), 21115),
    "a wrong NIP": (lambda k, m: sign(_text(k, "0123456789"), seal(m)), 21401),
    "an unknown subject type": (lambda k, m: sign(_text(k, m, subject="kto"), seal(m)), 21401),
    "two contexts": (lambda k, m: sign(_text(k, m, context=f"<Nip>{m}</Nip><Nip>{m}</Nip>"), seal(m)), 21401),
    "a comment that hides digits": (lambda k, m: sign(_text(k, m, context=f"<Nip>{m}<!-- --></Nip>"), seal(m)), 21401),
    "another schema": (lambda k, m: sign(_text(k, m, schema="3.0"), seal(m)), 9101),
    "an unknown challenge": (
        lambda k, m: sign(auth_document("20260101-CR-0123456789-ABCDEF0123-00", m), seal(m)),
        21111,
    ),
    "a certificate of Peppol is needed": (
        lambda k, m: sign(_text(k, m, context="<PeppolId>PPL000001</PeppolId>"), seal(m)),
        21117,
    ),
}


@pytest.mark.parametrize("name", BAD_DOCUMENTS)
def test_a_bad_document_is_refused_with_its_code(ksef, name):
    make, code = BAD_DOCUMENTS[name]
    assert codes(ksef.submit(make(ksef, nip()))) == code


def test_a_challenge_serves_once(ksef):
    me = nip()
    content = sign(_text(ksef, me), seal(me))
    assert ksef.submit(content).status_code == 202
    assert codes(ksef.submit(content)) == 21111


def test_a_refused_document_does_not_use_up_its_challenge(ksef):
    me = nip()
    text = _text(ksef, me)
    assert codes(ksef.submit(sign(text, seal(me), with_properties=False))) == 9105
    assert ksef.submit(sign(text, seal(me))).status_code == 202


@pytest.mark.parametrize(
    ("dates", "query", "code", "detail"),
    [
        ({"start": -30, "end": -1}, "", 460, "Nieważny certyfikat"),
        ({"start": 1, "end": 30}, "", 460, "Nieważny certyfikat"),
        ({}, "?verifyCertificateChain=true", 460, "Niezaufany łańcuch certyfikatów"),
    ],
)
def test_a_certificate_that_is_not_in_force_shows_as_460(ksef, dates, query, code, detail):
    me = nip()
    status = ksef.outcome(ksef.start(seal(me, **dates), me, query=query))
    assert (status["code"], status["details"]) == (code, [detail])


def test_a_subject_without_rights_shows_as_415(ksef):
    status = ksef.outcome(ksef.start(seal(nip()), nip()))
    assert status["description"] == "Uwierzytelnianie zakończone niepowodzeniem"
    assert (status["code"], status["details"]) == (415, ["Brak przypisanych uprawnień"])


def test_a_blocked_context_shows_as_480_until_it_is_unblocked(ksef):
    me = nip()
    context = {"contextIdentifier": {"type": "Nip", "value": me}}
    assert ksef.post("/testdata/context/block", body=context).status_code == 200
    assert ksef.outcome(ksef.start(seal(me), me))["code"] == 480
    assert ksef.post("/testdata/context/unblock", body=context).status_code == 200
    assert ksef.outcome(ksef.start(seal(me), me))["code"] == 200


def test_a_blocked_subject_is_refused_in_every_context_and_its_refresh_tokens_die(ksef):
    me, other = nip(), nip()
    for context in (me, other):
        body = {
            "contextIdentifier": {"type": "Nip", "value": context},
            "authorizedIdentifier": {"type": "Nip", "value": me},
            "permissions": [{"permissionType": "InvoiceWrite", "description": "obsługa"}],
        }
        assert ksef.post("/testdata/permissions", body=body).status_code == 200
    pair = ksef.redeem(ksef.start(seal(me), other))
    switch = {"type": "Nip", "value": me, "blocked": True}
    assert ksef.http.post("/_sandbox/subjects", json=switch).status_code == 204
    assert [ksef.outcome(ksef.start(seal(me), context))["code"] for context in (me, other)] == [480, 480]
    assert ksef.outcome(ksef.start(seal(other), other))["code"] == 200, "the company itself is not blocked"
    assert ksef.post("/auth/token/refresh", pair["refreshToken"]["token"]).status_code == 400
    assert ksef.http.post("/_sandbox/subjects", json={**switch, "blocked": False}).status_code == 204
    assert ksef.outcome(ksef.start(seal(me), other))["code"] == 200
    assert ksef.http.post("/_sandbox/subjects", json={"type": "Nip"}).status_code == 400


def test_a_linked_pesel_is_the_owner_and_a_dead_one_is_refused(ksef):
    me, dead = nip(), nip()
    body = {"nip": me, "pesel": PESEL, "isBailiff": False, "description": "właściciel"}
    assert ksef.post("/testdata/person", body=body).status_code == 200
    token = ksef.login(person(f"PNOPL-{PESEL}"), me)
    assert json.loads(claims(token)["per"]) == ["Owner"]
    assert ksef.post("/testdata/person/remove", body={"nip": me}).status_code == 200
    assert ksef.outcome(ksef.start(person(f"PNOPL-{PESEL}"), me))["code"] == 415
    body = {**body, "nip": dead, "pesel": "85050554321", "isDeceased": True}
    assert ksef.post("/testdata/person", body=body).status_code == 200
    assert ksef.outcome(ksef.start(person("PNOPL-85050554321"), dead))["code"] == 470
    assert codes(ksef.post("/testdata/person", body=body)) == 30001


def test_a_fingerprint_works_only_when_it_was_given_rights(ksef):
    me, who = nip(), person("ABC")
    form = {"document": {"subject": "certificateFingerprint"}}
    assert ksef.outcome(ksef.start(who, me, **form))["code"] == 415
    from cryptography.hazmat.primitives import hashes

    value = who.certificate.fingerprint(hashes.SHA256()).hex().upper()
    permission = {"permissionType": "InvoiceRead", "description": "odcisk palca"}
    body = {
        "contextIdentifier": {"type": "Nip", "value": me},
        "authorizedIdentifier": {"type": "Fingerprint", "value": value},
        "permissions": [permission],
    }
    assert ksef.post("/testdata/permissions", body=body).status_code == 200
    assert ksef.outcome(ksef.start(who, me, **form))["code"] == 200


def test_the_claims_tell_context_subject_and_rights(ksef):
    me = nip()
    found = claims(ksef.owner(me))
    assert (found["typ"], found["cit"], found["civ"]) == ("ContextToken", "Nip", me)
    assert json.loads(found["sud"]) == {"SubjectIdentifier": {"Type": "Nip", "Value": me}}
    assert "InvoiceWrite" in json.loads(found["pep"])
    assert found["exp"] - found["iat"] == 900


def test_tokens_are_redeemed_once_and_serve_one_purpose(ksef):
    me = nip()
    started = ksef.start(seal(me), me)
    pair = ksef.redeem(started)
    first = started.json()["authenticationToken"]["token"]
    access, refresh = pair["accessToken"]["token"], pair["refreshToken"]["token"]
    assert codes(ksef.post("/auth/token/redeem", first)) == 21301
    assert ksef.get("/rate-limits", refresh).status_code == 401
    assert ksef.get("/rate-limits", first).status_code == 401
    assert ksef.get("/rate-limits", access + "x").status_code == 401
    assert ksef.get("/rate-limits").status_code == 401
    assert ksef.post("/auth/token/refresh", access).status_code == 401
    again = ksef.post("/auth/token/refresh", refresh).json()["accessToken"]["token"]
    assert ksef.get("/rate-limits", again).status_code == 200


def test_a_revoked_login_cannot_be_refreshed_but_its_access_token_lives_on(ksef):
    me = nip()
    started = ksef.start(seal(me), me)
    pair = ksef.redeem(started)
    other = ksef.redeem(ksef.start(seal(me), me))["accessToken"]["token"]
    access, refresh = pair["accessToken"]["token"], pair["refreshToken"]["token"]
    listed = ksef.get("/auth/sessions", access).json()["items"]
    assert [item["isCurrent"] for item in listed] == [False, True]
    current = next(item["referenceNumber"] for item in listed if item["isCurrent"])
    assert ksef.call("DELETE", f"/auth/sessions/{current}", other).status_code == 204
    assert codes(ksef.post("/auth/token/refresh", refresh)) == 21301
    assert ksef.outcome(started) == {"code": 425, "description": "Uwierzytelnienie unieważnione"}
    assert ksef.get("/rate-limits", access).status_code == 200
    assert len(ksef.get("/auth/sessions", other).json()["items"]) == 1
    assert ksef.call("DELETE", "/auth/sessions/current", other).status_code == 204


def test_an_ip_policy_keeps_other_addresses_out(ksef):
    me = nip()
    policy = "<AuthorizationPolicy><AllowedIps><Ip4Mask>10.0.0.0/8</Ip4Mask></AllowedIps></AuthorizationPolicy>"
    started = ksef.start(seal(me), me, document={"policy": policy})
    answer = ksef.get(f"/auth/{started.json()['referenceNumber']}", started.json()["authenticationToken"]["token"])
    assert (answer.status_code, answer.json()["reasonCode"]) == (403, "ip-not-allowed")


@pytest.fixture
def ksef_token(ksef):
    """A company with a KSeF token that may send."""
    me = nip()
    access = ksef.owner(me)
    body = {"permissions": ["InvoiceWrite"], "description": "program biura"}
    answer = ksef.post("/tokens", access, body)
    assert answer.status_code == 202, answer.text
    ref = answer.json()["referenceNumber"]
    until(lambda: ksef.get(f"/tokens/{ref}", access).json()["status"], lambda status: status == "Active")
    return me, access, ref, answer.json()["token"]


def test_a_ksef_token_logs_in_with_its_own_rights_only(ksef, ksef_token):
    me, access, ref, secret = ksef_token
    token = ksef.redeem(ksef.start_with_token(secret, me))["accessToken"]["token"]
    assert json.loads(claims(token)["per"]) == ["InvoiceWrite"]
    denied = ksef.post("/invoices/query/metadata", token, {})
    assert denied.status_code == 403
    security = denied.json()["security"]
    assert security == {"requiredAnyOfPermissions": ["InvoiceRead"], "presentPermissions": ["InvoiceWrite"]}
    another = ksef.post("/tokens", token, {"permissions": ["InvoiceWrite"], "description": "z tokena"})
    assert (another.status_code, another.json()["reasonCode"]) == (403, "auth-method-not-allowed")
    assert "lastUseDate" in ksef.get(f"/tokens/{ref}", access).json()


@pytest.mark.parametrize(
    ("change", "detail"),
    [
        ({"stamp": 1}, "Nieprawidłowy czas tokena"),
        ({"plain": b"bez kreski"}, "Nieprawidłowy token"),
        ({"plain": b"\xff\xfe|1"}, "Nieprawidłowe kodowanie tokena"),
        ({"encryptedToken": base64.b64encode(b"x" * 256).decode()}, "Nieprawidłowe szyfrowanie tokena"),
    ],
)
def test_a_wrong_token_shows_as_450_with_the_reason(ksef, ksef_token, change, detail):
    me, _, _, secret = ksef_token
    status = ksef.outcome(ksef.start_with_token(secret, me, **change))
    assert (status["code"], status["details"]) == (450, [detail])


def test_a_token_belongs_to_its_context_and_dies_when_revoked(ksef, ksef_token):
    me, access, ref, secret = ksef_token
    other = nip()
    status = ksef.outcome(ksef.start_with_token(secret, other))
    assert status["details"] == [f"Token nie może być użyty w kontekście {other}"]
    pair = ksef.redeem(ksef.start_with_token(secret, me))
    assert ksef.call("DELETE", f"/tokens/{ref}", access).status_code == 204
    assert ksef.get(f"/tokens/{ref}", access).json()["status"] == "Revoked"
    assert ksef.outcome(ksef.start_with_token(secret, me))["details"] == ["Token unieważniony"]
    assert codes(ksef.post("/auth/token/refresh", pair["refreshToken"]["token"])) == 21301


def test_a_key_that_the_ministry_does_not_have_is_refused(ksef, ksef_token):
    me, _, _, secret = ksef_token
    assert codes(ksef.start_with_token(secret, me, publicKeyId="A" * 43 + "=")) == 21470


def test_problem_details_are_given_when_asked_for(ksef):
    answer = ksef.call("POST", "/auth/xades-signature", content=b"<a/>", headers={"X-Error-Format": "problem-details"})
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["errors"][0]["code"] == 9101


def test_a_short_curve_is_refused(ksef):
    me = nip()
    weak = seal(me, ec.generate_private_key(ec.SECP192R1()))
    assert codes(ksef.submit(sign(_text(ksef, me), weak))) == 9105
