"""Reading permissions: my own, received by the entity, granted to others, roles, attachments (facts §7.4)."""

from __future__ import annotations

import json
import sqlite3
from typing import Any

from ksef_tui.sandbox.clock import iso, now_ms
from ksef_tui.sandbox.fields import Fields
from ksef_tui.sandbox.rights import (
    CREDENTIALS_MANAGE,
    CREDENTIALS_READ,
    OWNER,
    SCOPES,
    SUBUNIT_MANAGE,
    VAT_UE_MANAGE,
    attachments_allowed,
    delegated,
    identities,
)
from ksef_tui.sandbox.web import Call, Endpoint, Reply

_NOW = "kind <> 'authorization' AND revoked IS NULL AND starts <= ?"
_ROLES = {
    ("EnforcementAuthority", False): "EnforcementAuthority",
    ("JST", False): "LocalGovernmentUnit",
    ("JST", True): "LocalGovernmentSubUnit",
    ("VatGroup", False): "VatGroupUnit",
    ("VatGroup", True): "VatGroupSubUnit",
}
_QUERIES = ("PermissionsInCurrentContext", "PermissionsGrantedInCurrentContext")


def paged_by_offset(call: Call, name: str, items: list[Any]) -> Reply:
    size, offset = call.page_size(100), call.page_offset()
    start = offset * size
    return Reply(json={name: items[start : start + size], "hasMore": len(items) > start + size})


def _base(call: Call, row: sqlite3.Row) -> dict[str, Any]:
    """The fields that personal and person items share."""
    body: dict[str, Any] = {
        "id": row["id"],
        "authorizedIdentifier": {"type": row["authorized_type"], "value": row["authorized_value"]},
        "contextIdentifier": {"type": "Nip", "value": row["context_value"]},
        "permissionScope": row["scope"],
        "description": row["description"],
        "permissionState": _state(call, row),
        "startDate": iso(row["starts"]),
        "canDelegate": bool(row["can_delegate"]),
    }
    if row["target_type"] is not None:
        value = {"value": row["target_value"]} if row["target_value"] is not None else {}
        body["targetIdentifier"] = {"type": row["target_type"], **value}
    if row["subject_details"]:
        details = json.loads(row["subject_details"])
        person = details["subjectDetailsType"].startswith("Person")
        body["subjectPersonDetails" if person else "subjectEntityDetails"] = details
    return body


def _state(call: Call, row: sqlite3.Row) -> str:
    """An indirect grant rests on what the client delegated; without it, it is there and does nothing."""
    if row["kind"] != "indirect" or row["target_value"] is None:
        return "Active"
    return "Active" if delegated(call.state, row["target_value"], row["context_value"], row["scope"]) else "Inactive"


def _filtered(fields: Fields, items: list[dict[str, Any]], kinds: tuple[str, ...]) -> list[dict[str, Any]]:
    """The filters that both queries have."""
    for name in ("contextIdentifier", "targetIdentifier", "authorizedIdentifier", "authorIdentifier"):
        if not fields.has(name):
            continue
        inner = fields.inner(name)
        wanted = {"type": inner.text("type")}
        if inner.has("value"):
            wanted["value"] = inner.text("value")
        items = [item for item in items if wanted.items() <= item.get(name, {}).items()]
    if fields.filled("permissionTypes"):
        scopes = fields.choices("permissionTypes", kinds)
        items = [item for item in items if item["permissionScope"] in scopes]
    if fields.has("permissionState"):
        state = fields.choice("permissionState", ("Active", "Inactive"))
        items = [item for item in items if item["permissionState"] == state]
    return items


def personal(call: Call) -> Reply:
    """`POST /permissions/query/personal/grants`: mine here; in my own context also what others gave me."""
    fields, who = call.fields(), call.who
    rows: list[sqlite3.Row] = []
    for kind, value in sorted(identities(call.state, who.subject)):
        sql = f"SELECT * FROM permission WHERE authorized_type = ? AND authorized_value = ? AND {_NOW}"  # noqa: S608 our own text
        rows += call.state.rows(sql, kind, value, now_ms())
    here = who.context[1]
    mine = [row for row in rows if who.owner or here == row["context_value"] or _reaches(row, here)]
    items = [_base(call, row) for row in sorted(mine, key=lambda row: -row["starts"])]
    reply = paged_by_offset(call, "permissions", _filtered(fields, items, (*SCOPES, VAT_UE_MANAGE)))
    if who.owner:
        return Reply(json={**reply.json, "ownerPermissions": list(OWNER)})
    return reply


def _reaches(row: sqlite3.Row, context: str) -> bool:
    return row["kind"] == "indirect" and row["target_value"] in (None, context)


def entities(call: Call) -> Reply:
    """`POST /permissions/query/entities/grants`: what this entity received from others."""
    fields = call.fields()
    sql = f"""SELECT * FROM permission WHERE kind = 'entity' AND authorized_type = 'Nip' AND authorized_value = ?
              AND {_NOW} ORDER BY starts DESC, rowid"""  # noqa: S608 our own text
    rows = call.state.rows(sql, call.who.context[1], now_ms())
    if fields.has("contextIdentifier"):
        _, value = fields.identifier("contextIdentifier", ("Nip", "InternalId"))
        rows = [row for row in rows if row["context_value"] == value]
    items = [
        {
            "id": row["id"],
            "contextIdentifier": {"type": "Nip", "value": row["context_value"]},
            "permissionScope": row["scope"],
            "description": row["description"],
            "startDate": iso(row["starts"]),
            "canDelegate": bool(row["can_delegate"]),
        }
        for row in rows
    ]
    return paged_by_offset(call, "permissions", items)


def persons(call: Call) -> Reply:
    """`POST /permissions/query/persons/grants`: who may work here, or what this context granted. Both lists name the
    persons whom this context lets work for its clients (OpenAPI)."""
    fields, here = call.fields(), call.who.context[1]
    fields.choice("queryType", _QUERIES)
    sql = f"SELECT * FROM permission WHERE context_value = ? AND {_NOW} ORDER BY starts DESC, rowid"  # noqa: S608 our own text
    rows = call.state.rows(sql, here, now_ms())
    items = [{**_base(call, row), "authorIdentifier": _author(row)} for row in rows]
    return paged_by_offset(call, "permissions", _filtered(fields, items, SCOPES))


def _author(row: sqlite3.Row) -> dict[str, str]:
    value = {"value": row["author_value"]} if row["author_value"] is not None else {}
    return {"type": row["author_type"], **value}


def roles(call: Call) -> Reply:
    """`GET /permissions/query/entities/roles`."""
    here = call.who.context[1]
    items: list[dict[str, Any]] = []
    for row in call.state.rows("SELECT * FROM subject WHERE nip = ?", here):
        role = _ROLES.get((row["type"], row["parent"] is not None))
        parent = {"parentEntityIdentifier": {"type": "Nip", "value": row["parent"]}} if row["parent"] else {}
        if role:
            about = {"description": row["description"], "startDate": iso(row["created"])}
            items.append({**parent, "role": role, **about})
    for row in call.state.rows("SELECT * FROM person WHERE nip = ? AND bailiff", here):
        about = {"description": row["description"], "startDate": iso(row["created"])}
        items.append({"role": "CourtBailiff", **about})
    return paged_by_offset(call, "roles", items)


def attachments(call: Call) -> Reply:
    """`GET /permissions/attachments/status`."""
    row = call.state.row("SELECT revoked FROM attachment WHERE nip = ?", call.who.context[1])
    if row is None:
        return Reply(json={"isAttachmentAllowed": False})
    revoked = row["revoked"]
    allowed = attachments_allowed(call.state, call.who.context[1])
    return Reply(json={"isAttachmentAllowed": allowed, **({"revokedDate": iso(revoked)} if revoked else {})})


_READ = (CREDENTIALS_MANAGE, CREDENTIALS_READ)
_READ_PERSONS = (*_READ, SUBUNIT_MANAGE)
ENDPOINTS = (
    Endpoint("POST", "/permissions/query/personal/grants", personal),
    Endpoint("POST", "/permissions/query/entities/grants", entities, any_of=_READ),
    Endpoint("POST", "/permissions/query/persons/grants", persons, any_of=_READ_PERSONS),
    Endpoint("GET", "/permissions/query/entities/roles", roles, any_of=_READ),
    Endpoint("GET", "/permissions/attachments/status", attachments, any_of=_READ),
)
