"""KSeF certificates: limits, enrolment, collection, list, revocation (facts §6)."""

from __future__ import annotations

import base64
import json
import re
import sqlite3
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from ksef_tui.sandbox.authority import AUTHENTICATION, OFFLINE, serial_of
from ksef_tui.sandbox.clock import DAY, iso, now_ms
from ksef_tui.sandbox.errors import BadRequest, Forbidden, Gone
from ksef_tui.sandbox.fields import Fields, invalid
from ksef_tui.sandbox.numbers import reference
from ksef_tui.sandbox.quota import subject_limits
from ksef_tui.sandbox.rights import Identifier, identities
from ksef_tui.sandbox.signers import key_hash, read_request
from ksef_tui.sandbox.web import Call, Endpoint, Reply

_KEPT = 30 * DAY
# How far ahead the start of a certificate may lie (field note F33).
_AHEAD = 90 * DAY
_ISSUED = 200
_DESCRIPTIONS = {
    100: "Wniosek przyjęty do realizacji",
    _ISSUED: "Wniosek obsłużony (certyfikat wygenerowany)",
    400: "Wniosek odrzucony",
    500: "Nieznany błąd",
    550: "Operacja została anulowana przez system",
}
_TYPES = (AUTHENTICATION, OFFLINE)
_STATUSES = ("Active", "Blocked", "Revoked", "Expired")
_REASONS = ("Unspecified", "Superseded", "KeyCompromise")
_NAME = re.compile(r"[a-zA-Z0-9_\- ąćęłńóśźżĄĆĘŁŃÓŚŹŻ]+")
_SERIAL = re.compile(r"[0-9A-F]{16}")


def _left(call: Call) -> dict[str, dict[str, int]]:
    """Limits of the identifier in the certificate, and what is left of them."""
    subject, now = call.who.subject, now_ms()
    limits = subject_limits(call.state, subject)
    sql = "SELECT count(*) FROM {} WHERE subject_type = ? AND subject_value = ?"
    asked = call.state.value(sql.format("enrollment"), *subject)
    living = f"{sql.format('certificate')} AND revoked IS NULL AND valid_to > ?"
    held = call.state.value(living, *subject, now)
    enrolments, certificates = limits["enrollment"]["maxEnrollments"], limits["certificate"]["maxCertificates"]
    return {
        "enrollment": {"remaining": max(0, enrolments - asked), "limit": enrolments},
        "certificate": {"remaining": max(0, certificates - held), "limit": certificates},
    }


def limits(call: Call) -> Reply:
    """`GET /certificates/limits`."""
    left = _left(call)
    may = call.who.method != "Token" and all(limit["remaining"] for limit in left.values())
    return Reply(json={"canRequest": may, **left})


def _names(call: Call, refusal: int) -> dict[str, str]:
    """The subject of the certificate behind this login. Raises BadRequest(`refusal`) when there is none."""
    text = call.state.value("SELECT names FROM signer WHERE auth_ref = ?", call.who.ref)
    names: dict[str, str] = json.loads(text) if text is not None else {}
    if not {"commonName", "countryName"} <= set(names):
        raise BadRequest(refusal)
    return names


def data(call: Call) -> Reply:
    """`GET /certificates/enrollments/data`: what the request must repeat."""
    return Reply(json=_names(call, 25001))


def enroll(call: Call) -> Reply:
    """`POST /certificates/enrollments`: judged at once, issued a little later."""
    names, fields, now = _names(call, 25002), call.fields(), now_ms()
    name = fields.text("certificateName", 5, 100)
    if not _NAME.fullmatch(name):
        raise invalid("certificateName", "dozwolone są litery, cyfry, spacja oraz znaki _ i -.")
    kind = fields.choice("certificateType", _TYPES)
    start = max(now, fields.moment("validFrom")) if fields.has("validFrom") else now
    if start > now + _AHEAD:
        raise invalid("validFrom", "data początkowa może być najwyżej 90 dni naprzód.")
    request = read_request(fields.binary("csr"), names)
    left = _left(call)
    if not left["enrollment"]["remaining"]:
        raise BadRequest(25006)
    if not left["certificate"]["remaining"]:
        raise BadRequest(25007)
    number, subject = reference("EH"), call.who.subject
    row = {"subject_type": subject[0], "subject_value": subject[1], "requested": now, "due": call.due()}
    public = key_hash(request)
    if _is_certified_for_another(call, public, subject):
        details = ["Klucz publiczny został już certyfikowany przez inny podmiot."]
        call.state.insert("enrollment", ref=number, code=400, details=details, **row)
        return Reply(202, {"referenceNumber": number, "timestamp": iso(now)})
    failing = call.sandbox.faults.strike("enrolment_fails", call.method, call.path)
    if failing is not None:
        details = list(failing.params.get("details", []))
        call.state.insert("enrollment", ref=number, code=int(failing.params.get("code", 550)), details=details, **row)
        return Reply(202, {"referenceNumber": number, "timestamp": iso(now)})
    if call.sandbox.faults.strike("enrolment_mixed_up", call.method, call.path):
        request = _of_another_key(request)
    certificate = call.sandbox.authority.issue(request, kind, start)
    serial = serial_of(certificate)
    call.state.insert("enrollment", ref=number, code=_ISSUED, details=[], serial=serial, **row)
    call.state.insert(
        "certificate",
        serial=serial,
        name=name,
        type=kind,
        common_name=str(certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)[0].value),
        der=certificate.public_bytes(serialization.Encoding.DER),
        public_key=public,
        valid_from=round(certificate.not_valid_before_utc.timestamp() * 1000),
        valid_to=round(certificate.not_valid_after_utc.timestamp() * 1000),
        **row,
    )
    return Reply(202, {"referenceNumber": number, "timestamp": iso(now)})


def _of_another_key(request: x509.CertificateSigningRequest) -> x509.CertificateSigningRequest:
    """The same subject with somebody else's key."""
    key = ec.generate_private_key(ec.SECP256R1())
    return x509.CertificateSigningRequestBuilder().subject_name(request.subject).sign(key, hashes.SHA256())


def _is_certified_for_another(call: Call, public: str, subject: Identifier) -> bool:
    rows = call.state.rows("SELECT subject_type, subject_value FROM certificate WHERE public_key = ?", public)
    return any((row["subject_type"], row["subject_value"]) != subject for row in rows)


def status(call: Call) -> Reply:
    """`GET /certificates/enrollments/{referenceNumber}`."""
    number = call.params["reference"]
    row = call.state.row("SELECT * FROM enrollment WHERE ref = ?", number)
    if row is None or not _is_own(call, row):
        raise BadRequest(25005)
    if row["requested"] + _KEPT < now_ms():
        raise Gone("Status wniosku certyfikacyjnego nie jest już dostępny.")
    code = 100 if row["due"] > now_ms() else row["code"]
    details = json.loads(row["details"]) if code == row["code"] else []
    shown = {"code": code, "description": _DESCRIPTIONS[code], **({"details": details} if details else {})}
    issued = {"certificateSerialNumber": row["serial"]} if code == _ISSUED else {}
    return Reply(json={"requestDate": iso(row["requested"]), "status": shown, **issued})


def _is_own(call: Call, row: sqlite3.Row) -> bool:
    return (row["subject_type"], row["subject_value"]) in identities(call.state, call.who.subject)


def _find(call: Call, serial: str) -> sqlite3.Row | None:
    """An issued certificate of this subject, or of the NIP or PESEL linked with it."""
    row = call.state.row("SELECT * FROM certificate WHERE serial = ? AND due <= ?", serial, now_ms())
    return row if row is not None and _is_own(call, row) else None


def _serial(name: str, text: str) -> str:
    if not _SERIAL.fullmatch(text):
        raise invalid(name, "oczekiwano 16 cyfr szesnastkowych.")
    return text


def retrieve(call: Call) -> Reply:
    """`POST /certificates/retrieve`: those of the ten at most that are there and one's own."""
    name = "certificateSerialNumbers"
    serials = [_serial(name, text) for text in call.fields().texts(name)]
    if not 1 <= len(serials) <= 10:
        raise invalid(name, "lista musi zawierać od 1 do 10 numerów.")
    found = [row for row in (_find(call, serial) for serial in serials) if row is not None]
    items = [
        {
            "certificate": base64.b64encode(row["der"]).decode("ascii"),
            "certificateName": row["name"],
            "certificateSerialNumber": row["serial"],
            "certificateType": row["type"],
        }
        for row in found
    ]
    return Reply(json={"certificates": items})


def query(call: Call) -> Reply:
    """`POST /certificates/query`: one's own, the latest request first."""
    fields = call.fields() if call.body else Fields({})
    size, start = call.page_size(50), call.page_offset() * call.page_size(50)
    rows: list[sqlite3.Row] = []
    for subject in identities(call.state, call.who.subject):
        sql = "SELECT rowid, * FROM certificate WHERE subject_type = ? AND subject_value = ? AND due <= ?"
        rows += call.state.rows(sql, *subject, now_ms())
    rows.sort(key=lambda row: (row["requested"], row["rowid"]), reverse=True)
    items = _filtered(fields, [_shown(call, row) for row in rows], rows)
    return Reply(json={"certificates": items[start : start + size], "hasMore": len(items) > start + size})


def _filtered(fields: Fields, items: list[dict[str, Any]], rows: list[sqlite3.Row]) -> list[dict[str, Any]]:
    pairs = list(zip(items, rows, strict=True))
    if fields.has("certificateSerialNumber"):
        serial = _serial("certificateSerialNumber", fields.text("certificateSerialNumber"))
        pairs = [pair for pair in pairs if pair[1]["serial"] == serial]
    if fields.has("name"):
        part = fields.text("name")
        pairs = [pair for pair in pairs if part in pair[1]["name"]]
    if fields.has("type"):
        kind = fields.choice("type", _TYPES)
        pairs = [pair for pair in pairs if pair[1]["type"] == kind]
    if fields.has("status"):
        wanted = fields.choice("status", _STATUSES)
        pairs = [pair for pair in pairs if pair[0]["status"] == wanted]
    if fields.has("expiresAfter"):
        after = fields.moment("expiresAfter")
        pairs = [pair for pair in pairs if pair[1]["valid_to"] > after]
    return [item for item, _ in pairs]


def _shown(call: Call, row: sqlite3.Row) -> dict[str, Any]:
    body = {
        "certificateSerialNumber": row["serial"],
        "name": row["name"],
        "type": row["type"],
        "commonName": row["common_name"],
        "status": call.sandbox.authority.status(row),
        "subjectIdentifier": {"type": row["subject_type"], "value": row["subject_value"]},
        "validFrom": iso(row["valid_from"]),
        "validTo": iso(row["valid_to"]),
        "requestDate": iso(row["requested"]),
    }
    return {**body, "lastUseDate": iso(row["used"])} if row["used"] is not None else body


def revoke(call: Call) -> Reply:
    """`POST /certificates/{certificateSerialNumber}/revoke`; logins made with it before live on (field note F32)."""
    if call.who.method == "Token":
        raise Forbidden(
            "auth-method-not-allowed",
            "Operacja nie jest dostępna po uwierzytelnieniu tokenem.",
            authenticationMethodCategory="Token",
        )
    fields = call.fields() if call.body else Fields({})
    if fields.has("revocationReason"):
        fields.choice("revocationReason", _REASONS)
    row = _find(call, _serial("certificateSerialNumber", call.params["serial"]))
    if row is None:
        raise BadRequest(25008)
    if call.sandbox.authority.status(row) != "Active":
        raise BadRequest(25009)
    call.state.run("UPDATE certificate SET revoked = ? WHERE serial = ?", now_ms(), row["serial"])
    return Reply(204)


def shorten(call: Call) -> Reply:
    """`PUT /testdata/certificates/{serialNumber}`: an earlier end of one's own certificate."""
    row = _find(call, _serial("serialNumber", call.params["serial"]))
    if row is None:
        raise BadRequest(25008)
    until = call.fields().moment("validTo")
    if until > row["valid_to"]:
        raise invalid("validTo", "nowa data nie może być późniejsza niż obecna.")
    call.state.run("UPDATE certificate SET valid_to = ? WHERE serial = ?", until, row["serial"])
    return Reply(200)


ENDPOINTS = (
    Endpoint("GET", "/certificates/limits", limits),
    Endpoint("GET", "/certificates/enrollments/data", data),
    Endpoint("POST", "/certificates/enrollments", enroll),
    Endpoint("GET", "/certificates/enrollments/{reference}", status),
    Endpoint("POST", "/certificates/retrieve", retrieve),
    Endpoint("POST", "/certificates/query", query),
    Endpoint("POST", "/certificates/{serial}/revoke", revoke),
    Endpoint("PUT", "/testdata/certificates/{serial}", shorten),
)
