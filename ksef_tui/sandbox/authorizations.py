"""Authorisations between companies: self-invoicing, tax representative and the like (facts §7.1, §7.2, §7.4)."""

from __future__ import annotations

import json
import sqlite3
from typing import Any

from ksef_tui.sandbox.clock import iso, now_ms
from ksef_tui.sandbox.fields import Fields
from ksef_tui.sandbox.permission_queries import paged_by_offset
from ksef_tui.sandbox.permissions import accept, give, take_back
from ksef_tui.sandbox.rights import CREDENTIALS_MANAGE, CREDENTIALS_READ, PEF_INVOICE_WRITE
from ksef_tui.sandbox.web import Call, Endpoint, Reply

KIND = "authorization"
_PEF = "PefInvoicing"
_SCOPES = ("SelfInvoicing", "TaxRepresentative", "RRInvoicing", _PEF)
_AUTHORIZED = ("Nip", "PeppolId")
_QUERIES = ("Granted", "Received")


def grant(call: Call) -> Reply:
    """`POST /permissions/authorizations/grants`: lets another company issue invoices in its own context."""
    fields = call.fields()
    subject = fields.identifier("subjectIdentifier", _AUTHORIZED)
    scope = fields.choice("permission", _SCOPES)
    description = fields.text("description", 5, 256)
    name = fields.inner("subjectDetails").text("fullName", 5, 90)
    if subject == call.who.context:
        return accept(call, 410, "Podmiot nie może nadać uprawnień samemu sobie.")
    if (scope == _PEF) != (subject[0] == "PeppolId"):
        return accept(call, 450, f"Uprawnienia {scope} nie można nadać podmiotowi o identyfikatorze typu {subject[0]}.")
    details = json.dumps({"subjectDetailsType": "EntityByIdentifier", "fullName": name}, ensure_ascii=False)
    give(call, KIND, subject, scope, description, subject_details=details)
    return accept(call)


def revoke(call: Call) -> Reply:
    """`DELETE /permissions/authorizations/grants/{permissionId}`: one that this context gave."""
    return take_back(call, "kind = 'authorization'")


def query(call: Call) -> Reply:
    """`POST /permissions/query/authorizations/grants`: given to others, or received from them."""
    fields, who = call.fields(), call.who
    granted = fields.choice("queryType", _QUERIES) == "Granted"
    mine = "context_value = ?" if granted else "authorized_type = ? AND authorized_value = ?"
    sql = f"""SELECT * FROM permission WHERE kind = ? AND {mine} AND revoked IS NULL AND starts <= ?
              ORDER BY starts DESC, rowid"""  # noqa: S608 our own text
    values = (who.context[1],) if granted else who.context
    items = [_shown(row) for row in call.state.rows(sql, KIND, *values, now_ms())]
    return paged_by_offset(call, "authorizationGrants", _filtered(fields, items))


def _shown(row: sqlite3.Row) -> dict[str, Any]:
    return {
        "id": row["id"],
        "authorIdentifier": {"type": row["author_type"], "value": row["author_value"]},
        "authorizedEntityIdentifier": {"type": row["authorized_type"], "value": row["authorized_value"]},
        "authorizingEntityIdentifier": {"type": "Nip", "value": row["context_value"]},
        "authorizationScope": row["scope"],
        "description": row["description"],
        "subjectEntityDetails": json.loads(row["subject_details"]),
        "startDate": iso(row["starts"]),
    }


def _filtered(fields: Fields, items: list[dict[str, Any]]) -> list[dict[str, Any]]:
    for name, key, kinds in (
        ("authorizingIdentifier", "authorizingEntityIdentifier", ("Nip",)),
        ("authorizedIdentifier", "authorizedEntityIdentifier", _AUTHORIZED),
    ):
        if fields.has(name):
            kind, value = fields.identifier(name, kinds)
            items = [item for item in items if item[key] == {"type": kind, "value": value}]
    if fields.filled("permissionTypes"):
        scopes = fields.choices("permissionTypes", _SCOPES)
        items = [item for item in items if item["authorizationScope"] in scopes]
    return items


_MANAGE = (CREDENTIALS_MANAGE,)
_READ = (CREDENTIALS_MANAGE, CREDENTIALS_READ, PEF_INVOICE_WRITE)
ENDPOINTS = (
    Endpoint("POST", "/permissions/authorizations/grants", grant, any_of=_MANAGE),
    Endpoint("DELETE", "/permissions/authorizations/grants/{permission}", revoke, any_of=_MANAGE),
    Endpoint("POST", "/permissions/query/authorizations/grants", query, any_of=_READ),
)
