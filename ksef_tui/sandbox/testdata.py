"""The endpoints of the TEST environment that make people, links, permissions and blocks (facts §17)."""

from __future__ import annotations

import sqlite3
import uuid

from ksef_tui.sandbox.clock import now_ms
from ksef_tui.sandbox.errors import BadRequest
from ksef_tui.sandbox.rights import DELEGABLE, SCOPES
from ksef_tui.sandbox.web import NO_TOKEN, Call, Endpoint, Reply

_AUTHORIZED = ("Nip", "Pesel", "Fingerprint")
_CONTEXTS = ("Nip", "InternalId", "NipVatUe", "PeppolId")
_TYPES = ("EnforcementAuthority", "VatGroup", "JST")
_DONE = Reply(200)


def subject(call: Call) -> Reply:
    """`POST /testdata/subject`: a group or unit and its parts."""
    fields = call.fields()
    nip, kind = fields.shaped("subjectNip", "Nip"), fields.choice("subjectType", _TYPES)
    created = fields.moment("createdDate") if fields.has("createdDate") else now_ms()
    units = fields.inners("subunits") if fields.filled("subunits") else []
    try:
        call.state.insert(
            "subject", nip=nip, type=kind, description=fields.text("description", 5, 256), created=created
        )
        for unit in units:
            text = unit.text("description", 5, 256)
            own = unit.shaped("subjectNip", "Nip")
            call.state.insert("subject", nip=own, type=kind, parent=nip, description=text, created=created)
    except sqlite3.IntegrityError as error:
        raise BadRequest(30001) from error
    return _DONE


def remove_subject(call: Call) -> Reply:
    """`POST /testdata/subject/remove`."""
    nip = call.fields().shaped("subjectNip", "Nip")
    call.state.run("DELETE FROM subject WHERE nip = ? OR parent = ?", nip, nip)
    return _DONE


def person(call: Call) -> Reply:
    """`POST /testdata/person`: links NIP and PESEL, so that the person owns the company."""
    fields = call.fields()
    try:
        call.state.insert(
            "person",
            nip=fields.shaped("nip", "Nip"),
            pesel=fields.shaped("pesel", "Pesel"),
            bailiff=int(fields.flag("isBailiff")),
            deceased=int(fields.flag("isDeceased", default=False)),
            description=fields.text("description", 5, 256),
            created=fields.moment("createdDate") if fields.has("createdDate") else now_ms(),
        )
    except sqlite3.IntegrityError as error:
        raise BadRequest(30001) from error
    return _DONE


def remove_person(call: Call) -> Reply:
    """`POST /testdata/person/remove`."""
    call.state.run("DELETE FROM person WHERE nip = ?", call.fields().shaped("nip", "Nip"))
    return _DONE


def grant(call: Call) -> Reply:
    """`POST /testdata/permissions`: rights at once, without the right to pass them on."""
    fields = call.fields()
    _, context = fields.identifier("contextIdentifier", ("Nip",))
    kind, value = fields.identifier("authorizedIdentifier", _AUTHORIZED)
    for item in fields.inners("permissions"):
        scope = item.choice("permissionType", SCOPES)
        description = item.text("description", 5, 256)
        sql = """SELECT 1 FROM permission WHERE context_value = ? AND authorized_type = ? AND authorized_value = ?
                 AND scope = ? AND kind NOT IN ('indirect', 'authorization') AND revoked IS NULL"""
        if call.state.value(sql, context, kind, value, scope):
            raise BadRequest(30001)
        call.state.insert(
            "permission",
            id=str(uuid.uuid4()),
            kind="entity" if kind == "Nip" and scope in DELEGABLE else "person",
            context_value=context,
            authorized_type=kind,
            authorized_value=value,
            scope=scope,
            author_type="System",
            description=description,
            starts=now_ms(),
        )
    return _DONE


def revoke(call: Call) -> Reply:
    """`POST /testdata/permissions/revoke`: everything that this context gave directly to this subject."""
    fields = call.fields()
    _, context = fields.identifier("contextIdentifier", ("Nip",))
    kind, value = fields.identifier("authorizedIdentifier", _AUTHORIZED)
    call.state.run(
        """UPDATE permission SET revoked = ? WHERE context_value = ? AND authorized_type = ? AND authorized_value = ?
           AND kind NOT IN ('indirect', 'authorization') AND revoked IS NULL""",
        now_ms(),
        context,
        kind,
        value,
    )
    return _DONE


def allow_attachments(call: Call) -> Reply:
    """`POST /testdata/attachment`."""
    call.state.run("INSERT OR REPLACE INTO attachment (nip) VALUES (?)", call.fields().shaped("nip", "Nip"))
    return _DONE


def forbid_attachments(call: Call) -> Reply:
    """`POST /testdata/attachment/revoke`: at once, or from the expected day on."""
    fields = call.fields()
    ends = fields.moment("expectedEndDate") if fields.has("expectedEndDate") else now_ms()
    call.state.run("UPDATE attachment SET revoked = ? WHERE nip = ?", ends, fields.shaped("nip", "Nip"))
    return _DONE


def block(call: Call) -> Reply:
    """`POST /testdata/context/block`: logins end with 480."""
    context = call.fields().identifier("contextIdentifier", _CONTEXTS)
    call.state.run("INSERT OR IGNORE INTO blocked (type, value) VALUES (?, ?)", *context)
    return _DONE


def unblock(call: Call) -> Reply:
    """`POST /testdata/context/unblock`."""
    context = call.fields().identifier("contextIdentifier", _CONTEXTS)
    call.state.run("DELETE FROM blocked WHERE type = ? AND value = ?", *context)
    return _DONE


_OPEN = (NO_TOKEN,)
ENDPOINTS = (
    Endpoint("POST", "/testdata/subject", subject, _OPEN),
    Endpoint("POST", "/testdata/subject/remove", remove_subject, _OPEN),
    Endpoint("POST", "/testdata/person", person, _OPEN),
    Endpoint("POST", "/testdata/person/remove", remove_person, _OPEN),
    Endpoint("POST", "/testdata/permissions", grant, _OPEN),
    Endpoint("POST", "/testdata/permissions/revoke", revoke, _OPEN),
    Endpoint("POST", "/testdata/attachment", allow_attachments, _OPEN),
    Endpoint("POST", "/testdata/attachment/revoke", forbid_attachments, _OPEN),
    Endpoint("POST", "/testdata/context/block", block, _OPEN),
    Endpoint("POST", "/testdata/context/unblock", unblock, _OPEN),
)
