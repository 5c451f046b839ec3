"""Granting and revoking: asynchronous operations with a status of their own (facts §7.2, §7.3)."""

from __future__ import annotations

import json
import uuid
from typing import Any

from ksef_tui.sandbox.clock import DAY, now_ms
from ksef_tui.sandbox.errors import Gone
from ksef_tui.sandbox.fields import Fields, invalid
from ksef_tui.sandbox.numbers import reference
from ksef_tui.sandbox.rights import (
    CREDENTIALS_MANAGE,
    DELEGABLE,
    SCOPES,
    SUBUNIT_MANAGE,
    VAT_UE_MANAGE,
    delegated,
)
from ksef_tui.sandbox.web import Call, Endpoint, Handler, Reply

_KEPT = 30 * DAY
_DONE = 200
_DESCRIPTIONS = {
    100: "Operacja przyjęta do realizacji",
    _DONE: "Operacja zakończona sukcesem",
    400: "Operacja zakończona niepowodzeniem",
    410: "Podane identyfikatory są niezgodne lub pozostają w niewłaściwej relacji",
    420: "Użyte poświadczenia nie mają uprawnień do wykonania tej operacji",
    430: "Kontekst identyfikatora nie odpowiada wymaganej roli lub uprawnieniom",
    440: "Operacja niedozwolona dla wskazanych powiązań identyfikatorów",
    450: "Operacja niedozwolona dla wskazanego identyfikatora lub jego typu",
    500: "Nieznany błąd",
    550: "Operacja została anulowana przez system",
}
_PERSONS = ("Nip", "Pesel", "Fingerprint")
_DETAILS = {
    "PersonByIdentifier": "personById",
    "PersonByFingerprintWithIdentifier": "personByFpWithId",
    "PersonByFingerprintWithoutIdentifier": "personByFpNoId",
}

Identifier = tuple[str, str]


def accept(call: Call, code: int = _DONE, *details: str) -> Reply:
    """A new operation; what it does takes effect when it is done."""
    number = reference("EG")
    call.state.insert(
        "operation",
        ref=number,
        context_value=call.who.context[1],
        created=now_ms(),
        due=call.due(),
        code=code,
        details=list(details),
    )
    return Reply(202, {"referenceNumber": number})


def unless_it_fails(handler: Handler) -> Handler:
    """The operation of `handler`, or one that ends with the code of the fault `operation_fails` and does nothing."""

    def serve(call: Call) -> Reply:
        fault = call.sandbox.faults.strike("operation_fails", call.method, call.path)
        if fault is None:
            return handler(call)
        return accept(call, int(fault.params.get("code", 550)), *fault.params.get("details", []))

    return serve


def give(call: Call, kind: str, subject: Identifier, scope: str, description: str, **more: Any) -> None:
    """A permission from this context on, when the operation is done; granting it again changes nothing."""
    target = more.get("target_type"), more.get("target_value")
    same = call.state.value(
        """SELECT id FROM permission WHERE kind = ? AND context_value = ? AND authorized_type = ?
           AND authorized_value = ? AND scope = ? AND target_type IS ? AND target_value IS ? AND can_delegate = ?
           AND revoked IS NULL""",
        kind,
        call.who.context[1],
        *subject,
        scope,
        *target,
        more.get("can_delegate", 0),
    )
    if same is not None:
        return
    call.state.insert(
        "permission",
        id=str(uuid.uuid4()),
        kind=kind,
        context_value=call.who.context[1],
        authorized_type=subject[0],
        authorized_value=subject[1],
        scope=scope,
        author_type=call.who.subject[0],
        author_value=call.who.subject[1],
        description=description,
        starts=call.due(),
        **more,
    )


def grant_entity(call: Call) -> Reply:
    """`POST /permissions/entities/grants`: to an office, with or without the right to pass it on."""
    fields = call.fields()
    subject = fields.identifier("subjectIdentifier", ("Nip",))
    description = fields.text("description", 5, 256)
    name = fields.inner("subjectDetails").text("fullName", 5, 90)
    wanted = [(p.choice("type", DELEGABLE), p.flag("canDelegate", default=False)) for p in fields.inners("permissions")]
    if len({scope for scope, _ in wanted}) != len(wanted):
        raise invalid("permissions", "wartości nie mogą się powtarzać.")
    if subject == call.who.context:
        return accept(call, 410, "Podmiot nie może nadać uprawnień samemu sobie.")
    details = json.dumps({"subjectDetailsType": "EntityByIdentifier", "fullName": name}, ensure_ascii=False)
    for scope, delegates in wanted:
        more = {"can_delegate": int(delegates), "subject_details": details}
        give(call, "entity", subject, scope, description, **more)
    return accept(call)


def grant_person(call: Call) -> Reply:
    """`POST /permissions/persons/grants`: to a person, in the own context."""
    fields = call.fields()
    subject, description, details = _person(fields)
    for scope in fields.choices("permissions", SCOPES):
        give(call, "person", subject, scope, description, subject_details=details)
    return accept(call)


def grant_indirect(call: Call) -> Reply:
    """`POST /permissions/indirect/grants`: an office lets its employee work for one client, or for all of them."""
    fields = call.fields()
    subject, description, details = _person(fields)
    scopes = fields.choices("permissions", DELEGABLE)
    target = _target(fields)
    if target[1] is not None and not delegated(call.state, target[1], call.who.context[1]):
        text = (
            f"Podmiot {target[1]} nie nadał kontekstowi {call.who.context[1]} uprawnień z prawem do dalszego nadawania."
        )
        return accept(call, 430, text)
    for scope in scopes:
        more = {"target_type": target[0], "target_value": target[1], "subject_details": details}
        give(call, "indirect", subject, scope, description, **more)
    return accept(call)


def _target(fields: Fields) -> tuple[str, str | None]:
    if not fields.has("targetIdentifier"):
        return "AllPartners", None
    inner = fields.inner("targetIdentifier")
    if inner.choice("type", ("Nip", "AllPartners", "InternalId")) == "AllPartners":
        if inner.has("value"):
            raise invalid(inner.name("value"), "uprawnienie generalne nie ma wartości.")
        return "AllPartners", None
    return fields.identifier("targetIdentifier", ("Nip", "InternalId"))


def _person(fields: Fields) -> tuple[Identifier, str, str]:
    """Identifier, description and details (as the queries show them, JSON) of a person."""
    subject = fields.identifier("subjectIdentifier", _PERSONS)
    description = fields.text("description", 5, 256)
    holder = fields.inner("subjectDetails")
    kind = holder.choice("subjectDetailsType", tuple(_DETAILS))
    if (subject[0] == "Fingerprint") != (kind != "PersonByIdentifier"):
        raise invalid(holder.name("subjectDetailsType"), f"nie pasuje do identyfikatora typu {subject[0]}.")
    inner = holder.inner(_DETAILS[kind])
    shown: dict[str, Any] = {
        "subjectDetailsType": kind,
        "firstName": inner.text("firstName", 2, 30),
        "lastName": inner.text("lastName", 2, 81),
    }
    if kind == "PersonByFingerprintWithIdentifier":
        found = inner.identifier("identifier", ("Pesel", "Nip"))
        shown["personIdentifier"] = {"type": found[0], "value": found[1]}
    if kind == "PersonByFingerprintWithoutIdentifier":
        document = inner.inner("idDocument")
        shown["birthDate"] = inner.day("birthDate")
        shown["idDocument"] = {
            "type": document.text("type", 1, 20),
            "number": document.text("number", 1, 20),
            "country": document.text("country", 2, 2),
        }
    return subject, description, json.dumps(shown, ensure_ascii=False)


def revoke(call: Call) -> Reply:
    """`DELETE /permissions/common/grants/{permissionId}`: of this context."""
    return take_back(call, "kind <> 'authorization'")


def take_back(call: Call, condition: str) -> Reply:
    """Ends the permission of the path, if this context gave it and it meets the condition (SQL of our own)."""
    number = call.params["permission"]
    if len(number) != 36:
        raise invalid("permissionId", "oczekiwano 36 znaków.")
    sql = f"UPDATE permission SET revoked = ? WHERE id = ? AND context_value = ? AND revoked IS NULL AND {condition}"  # noqa: S608
    if not call.state.run(sql, now_ms(), number, call.who.context[1]):
        return accept(call, 400, f"Uprawnienie {number} nie istnieje w bieżącym kontekście.")
    return accept(call)


def operation(call: Call) -> Reply:
    """`GET /permissions/operations/{referenceNumber}`."""
    number = call.params["reference"]
    row = call.state.row("SELECT * FROM operation WHERE ref = ? AND context_value = ?", number, call.who.context[1])
    if row is None:
        raise invalid("referenceNumber", f"operacja {number} nie została znaleziona.")
    if row["created"] + _KEPT < now_ms():
        raise Gone("Status operacji nie jest już dostępny.")
    code = 100 if row["due"] > now_ms() else row["code"]
    details = json.loads(row["details"]) if code == row["code"] else []
    status = {"code": code, "description": _DESCRIPTIONS[code], **({"details": details} if details else {})}
    return Reply(json={"status": status})


_MANAGE = (CREDENTIALS_MANAGE,)
_REVOKE = (CREDENTIALS_MANAGE, VAT_UE_MANAGE, SUBUNIT_MANAGE)
ENDPOINTS = (
    Endpoint("POST", "/permissions/entities/grants", unless_it_fails(grant_entity), any_of=_MANAGE),
    Endpoint("POST", "/permissions/persons/grants", unless_it_fails(grant_person), any_of=_MANAGE),
    Endpoint("POST", "/permissions/indirect/grants", unless_it_fails(grant_indirect), any_of=_MANAGE),
    Endpoint("DELETE", "/permissions/common/grants/{permission}", unless_it_fails(revoke), any_of=_REVOKE),
    Endpoint("GET", "/permissions/operations/{reference}", operation),
)
