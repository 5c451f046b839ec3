"""KSeF tokens: made by a XAdES login, bound to context and author (facts §5)."""

from __future__ import annotations

import json
import secrets
import sqlite3
from typing import Any

from ksef_tui.sandbox.clock import iso, now_ms
from ksef_tui.sandbox.errors import BadRequest, Forbidden, foreign_resource
from ksef_tui.sandbox.fields import Fields, invalid
from ksef_tui.sandbox.login import hash_secret
from ksef_tui.sandbox.numbers import reference
from ksef_tui.sandbox.rights import CREDENTIALS_MANAGE, CREDENTIALS_READ, SCOPES, identities
from ksef_tui.sandbox.web import Call, Endpoint, Reply, continuation, paged

_CONTEXTS = ("Nip", "InternalId")
_AUTHORS = ("Nip", "Pesel", "Fingerprint")
# Each status as a condition on a row; :now is the moment of asking, :gone: what was revoked later is not gone yet.
_STATUSES = {
    "Pending": "(revoked IS NULL AND due > :now)",
    "Active": "(revoked IS NULL AND due <= :now)",
    "Revoking": "(revoked > :gone)",
    "Revoked": "(revoked <= :gone)",
    "Failed": "0",
}


def create(call: Call) -> Reply:
    """`POST /tokens`: the secret is shown this once."""
    fields, who = call.fields(), call.who
    if who.method == "Token":
        raise Forbidden(
            "auth-method-not-allowed",
            "Tokena nie można wygenerować po uwierzytelnieniu tokenem.",
            authenticationMethodCategory="Token",
        )
    if who.context[0] not in _CONTEXTS:
        raise BadRequest(26002, f"Aktualny typ kontekstu: {who.context[0]}, dozwolone: {', '.join(_CONTEXTS)}.")
    permissions = fields.choices("permissions", SCOPES)
    description = fields.text("description", 5, 256)
    missing = [p for p in permissions if p not in who.permissions]
    if missing:
        raise BadRequest(26001, f"Brakujące uprawnienia: {', '.join(missing)}.")
    number = reference("EC")
    secret = f"{number}|{who.context[0][0].lower()}{who.context[0][1:]}-{who.context[1]}|{secrets.token_hex(32)}"
    call.state.insert(
        "token",
        ref=number,
        secret_hash=hash_secret(secret),
        context_type=who.context[0],
        context_value=who.context[1],
        author_type=who.subject[0],
        author_value=who.subject[1],
        description=description,
        permissions=permissions,
        created=now_ms(),
        due=call.due(),
    )
    return Reply(202, {"referenceNumber": number, "token": secret})


def _state(call: Call, row: sqlite3.Row) -> str:
    if row["revoked"] is not None:
        return "Revoking" if row["revoked"] > _gone(call) else "Revoked"
    return "Pending" if row["due"] > now_ms() else "Active"


def _gone(call: Call) -> int:
    """What was revoked up to this moment has lost its token for good; a login with it fails from the start."""
    return now_ms() - call.sandbox.delay_ms


def _shown(call: Call, row: sqlite3.Row) -> dict[str, Any]:
    body = {
        "referenceNumber": row["ref"],
        "authorIdentifier": {"type": row["author_type"], "value": row["author_value"]},
        "contextIdentifier": {"type": row["context_type"], "value": row["context_value"]},
        "description": row["description"],
        "requestedPermissions": json.loads(row["permissions"]),
        "dateCreated": iso(row["created"]),
        "status": _state(call, row),
    }
    return {**body, "lastUseDate": iso(row["used"])} if row["used"] is not None else body


def _own_token(call: Call) -> str | None:
    """The KSeF token that this login was made with."""
    found: str | None = call.state.value("SELECT token_ref FROM authentication WHERE ref = ?", call.who.ref)
    return found


def _visible(call: Call, *, revoking: bool = False) -> tuple[str, list[Any]]:
    """The condition for the tokens that this login may see, or revoke."""
    who = call.who
    values: list[Any] = [*who.context]
    where = "context_type = ? AND context_value = ?"
    wide = {CREDENTIALS_MANAGE} if revoking else {CREDENTIALS_MANAGE, CREDENTIALS_READ}
    if wide & set(who.permissions):
        return where, values
    own = _own_token(call)
    if own is not None:
        return f"{where} AND ref = ?", [*values, own]
    same = sorted(identities(call.state, who.subject))
    authored = " OR ".join(["(author_type = ? AND author_value = ?)"] * len(same))
    return f"{where} AND ({authored})", [*values, *(part for pair in same for part in pair)]


def listed(call: Call) -> Reply:
    """`GET /tokens`, newest first."""
    size, start = call.page_size(100), continuation(call)
    where, values = _visible(call)
    query = Fields(call.query)
    statuses = call.query_lists("status")
    if any(status not in _STATUSES for status in statuses):
        raise invalid("status", f"dozwolone wartości: {', '.join(_STATUSES)}.")
    if statuses:
        conditions = " OR ".join(_STATUSES[status] for status in statuses)
        conditions = conditions.replace(":now", str(now_ms())).replace(":gone", str(_gone(call)))
        where += f" AND ({conditions})"
    if query.has("authorIdentifier"):
        where += " AND instr(author_value, ?) > 0"
        values.append(query.text("authorIdentifier", 3))
    if query.has("authorIdentifierType"):
        where += " AND author_type = ?"
        values.append(query.choice("authorIdentifierType", _AUTHORS))
    rows = call.state.rows(f"SELECT * FROM token WHERE {where} ORDER BY created DESC, ref", *values)  # noqa: S608 bound
    # Compared here, because SQLite folds the case of ASCII letters only.
    wanted = query.text("description", 3).lower() if query.has("description") else ""
    found = [_shown(call, row) for row in rows if wanted in row["description"].lower()]
    return Reply(json=paged("tokens", found[start : start + size + 1], start, size))


def _row(call: Call, *, revoking: bool = False) -> sqlite3.Row:
    number = call.params["reference"]
    if call.state.value("SELECT 1 FROM token WHERE ref = ?", number) is None:
        raise invalid("referenceNumber", f"token o numerze referencyjnym {number} nie został znaleziony.")
    where, values = _visible(call, revoking=revoking)
    row = call.state.row(f"SELECT * FROM token WHERE {where} AND ref = ?", *values, number)  # noqa: S608 bound
    if row is None:
        raise foreign_resource()
    return row


def status(call: Call) -> Reply:
    """`GET /tokens/{referenceNumber}`."""
    return Reply(json=_shown(call, _row(call)))


def revoke(call: Call) -> Reply:
    """`DELETE /tokens/{referenceNumber}`; logins made with it cannot be refreshed any more."""
    row = _row(call, revoking=True)
    call.state.run("UPDATE token SET revoked = ifnull(revoked, ?) WHERE ref = ?", now_ms(), row["ref"])
    return Reply(204)


ENDPOINTS = (
    Endpoint("POST", "/tokens", create),
    Endpoint("GET", "/tokens", listed),
    Endpoint("GET", "/tokens/{reference}", status),
    Endpoint("DELETE", "/tokens/{reference}", revoke),
)
