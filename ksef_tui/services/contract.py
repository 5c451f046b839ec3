"""Rows as scripts see them: the fields of `contract.md`, never renamed, only added. Codes, not labels; UTC, ISO 8601."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from ksef_tui.domain.authorizations import AuthMethod
from ksef_tui.domain.invoices import InvoiceState
from ksef_tui.domain.problems import Problem
from ksef_tui.domain.roles import Act, Operator, require
from ksef_tui.domain.standing import Pause
from ksef_tui.domain.times import to_text
from ksef_tui.services import (
    client_views,
    clients,
    identity_views,
    invoice_views,
    onboarding_views,
    pausing,
    repair_views,
    switching,
)
from ksef_tui.services import today as todays
from ksef_tui.services.importing import ImportRow
from ksef_tui.services.office import Office
from ksef_tui.services.reserve import TakeoverPreview
from ksef_tui.services.views import QueueFilter, QueueRow
from ksef_tui.store import offices

WINDOW = 500  # rows read at a time


def queue(
    office: Office,
    operator: Operator,
    *,
    nip: str | None = None,
    state: str | None = None,
    find: str = "",
    limit: int = 1000,
) -> list[dict[str, Any]]:
    """The rows of `queue list`, newest first; `find`: words as in the filter. Raises Problem for an unknown client or state."""
    states: tuple[InvoiceState, ...] = ()
    if state is not None:
        try:
            states = (InvoiceState(state),)
        except ValueError:
            codes = ", ".join(s.value for s in InvoiceState)
            raise Problem("unknown_state", f"Nie ma stanu {state}. Są: {codes}.") from None
    client_id = clients.id_of(office, nip) if nip else None
    if client_id is not None:
        require(operator, Act.SEE, client_id)
    ids = invoice_views.queue_ids(office, operator, QueueFilter(client_id, states, find), limit)
    rows: list[dict[str, Any]] = []
    for start in range(0, len(ids), WINDOW):
        window = ids[start : start + WINDOW]
        found = invoice_views.queue_rows(office, operator, window)
        rows += [_queue_row(found[i]) for i in window if i in found]
    return rows


def _queue_row(row: QueueRow) -> dict[str, Any]:
    return {
        "id": row.id,
        "nip": row.nip,
        "client": row.client,
        "number": row.number,
        "kind": row.kind,
        "issue_date": row.issue_date,
        "buyer_nip": row.buyer_nip,
        "buyer": row.buyer,
        "gross": "" if row.gross is None else f"{row.gross:f}",
        "currency": row.currency,
        "mode": row.mode,
        "channel": row.channel,
        "state": row.state.value,
        "reason_code": row.reason_code or ("standing" if row.standing else ""),
        "reason": row.reason or (row.why.text if row.why is not None else ""),
        "why": row.why.code if row.why is not None else "",
        "next_at": to_text(row.why.until) if row.why is not None and row.why.until is not None else None,
        "urgent": row.urgent,
        "ksef_number": row.ksef_number,
        "upo": row.upo.value,
        "sha256": row.sha256,
        "session": row.session,
        "reference": row.reference,
        "attempts": row.attempts,
        "changed_at": to_text(row.changed_at),
        "settled": row.settled,
        "replaced_by": row.replaced_by,
    }


def explanation(office: Office, operator: Operator, invoice_id: int) -> dict[str, Any]:
    """What is wrong with an invoice and what can be done: `queue explain`. Raises Problem."""
    found = repair_views.explain(office, operator, invoice_id)
    compared = found.comparison
    return {
        "id": found.invoice_id,
        "number": found.number,
        "state": found.state.value,
        "reason_code": found.reason_code,
        "reason": found.reason,
        "settled": found.settled,
        "meaning": found.meaning.sentence,
        "what_to_do": found.meaning.what_to_do,
        "ways": [{"way": w.way.value, "label": w.label, "key": w.key, "why_not": why_not} for w, why_not in found.ways],
        "replaces": found.replaces,
        "replaced_by": found.replaced_by,
        "original": None
        if compared is None
        else {
            "ksef_number": compared.ksef_number,
            "document": None if compared.theirs is None else asdict(compared.theirs),
            "differences": [asdict(one) for one in compared.differences],
            "missing": compared.missing,
            "text": list(repair_views.in_sentences(compared)),
        },
    }


def today(office: Office, operator: Operator, mine: bool = False) -> list[dict[str, Any]]:
    """The rows of `queue today`: what needs a person, most urgent first. `sums`: gross by currency, as text."""
    return [
        {
            "kind": item.kind.value,
            "due": item.due,
            "nip": item.nip,
            "client": item.name,
            "clients": len(item.clients),
            "count": item.count,
            "sums": {currency: f"{amount:.2f}" for currency, amount in item.money.sums},
            "reason_code": item.reason_code,
            "reason": item.why,
            "actions": list(item.actions),
            "ids": list(item.invoices),
            "since": to_text(item.since) if item.since is not None else None,
            "until": to_text(item.until) if item.until is not None else None,
        }
        for item in todays.today(office, operator, mine)
    ]


def invoice(office: Office, operator: Operator, invoice_id: int) -> dict[str, Any]:
    """One invoice: the fields of `queue list`, what is wrong, and what happened. Raises Problem."""
    details = invoice_views.invoice_details(office, operator, invoice_id)
    return {
        **_queue_row(details.row),
        "errors": list(details.errors),
        "warnings": list(details.warnings),
        "what_to_do": details.what_to_do,
        "qr_link": details.qr_link,
        "timeline": [{"at": to_text(t.at), "kind": t.kind, "who": t.who, "text": t.text} for t in details.timeline],
    }


def import_row(row: ImportRow) -> dict[str, Any]:
    """A file that was checked or imported."""
    return {
        "file": row.file,
        "id": row.id,
        "state": row.state,
        "number": row.number,
        "errors": list(row.errors),
        "warnings": list(row.warnings),
        "reason": row.reason,
        "known": row.known,
    }


def clients_newest(office: Office, operator: Operator, limit: int) -> list[int]:
    """The ids of clients on the lists, newest first."""
    rows = office.db.rows(
        "SELECT id FROM client WHERE archived_at IS NULL AND (:only IS NULL OR id = :only) ORDER BY id DESC LIMIT :limit",
        {"only": operator.client_id, "limit": limit or -1},
    )
    return [row[0] for row in rows]


def clients_list(office: Office, operator: Operator, limit: int) -> list[dict[str, Any]]:
    """The rows of `client list`, newest first."""
    return [_client(office, operator, client_id) for client_id in clients_newest(office, operator, limit)]


def client(office: Office, operator: Operator, nip: str) -> dict[str, Any]:
    """One client by NIP. Raises Problem."""
    client_id = clients.id_of(office, nip)
    require(operator, Act.SEE, client_id)
    return _client(office, operator, client_id)


def _client(office: Office, operator: Operator, client_id: int) -> dict[str, Any]:
    row = client_views.client_rows(office, operator, [client_id])[client_id]
    stored = offices.client(office.db, client_id)
    return {
        **authorization_by_id(office, operator, client_id),
        "waiting": row.waiting,
        "stuck": row.stuck,
        "self_service": bool(stored is not None and stored["self_service"]),
        "paused": _pause(pausing.of_client(office, client_id)),
    }


def _pause(pause: Pause | None) -> dict[str, Any] | None:
    """Who stopped the sending of a client, when and why; `everything`: not this client alone. Null: nobody."""
    if pause is None:
        return None
    return {"by": pause.login, "at": to_text(pause.at), "why": pause.why, "everything": pause.everything}


def authorizations(office: Office, operator: Operator, limit: int) -> list[dict[str, Any]]:
    """The rows of `auth status`, newest client first."""
    return [authorization_by_id(office, operator, i) for i in clients_newest(office, operator, limit)]


def authorization(office: Office, operator: Operator, nip: str) -> dict[str, Any]:
    """One client's authorisation by NIP. Raises Problem."""
    return authorization_by_id(office, operator, clients.id_of(office, nip))


def authorization_by_id(office: Office, operator: Operator, client_id: int) -> dict[str, Any]:
    """One client's authorisation."""
    view = client_views.authorization(office, operator, client_id)
    stored = office.db.row("SELECT reason FROM authorization WHERE client_id = ?", (client_id,))
    assert stored is not None
    seen = view.rights_seen_at or (view.checked_at if view.rights else None)
    return {
        "nip": view.nip,
        "name": view.name,
        "status": view.status.value,
        "method": view.method.value if view.method else "",
        "identity": view.identity,
        "rights": list(view.rights),
        "can_delegate": view.can_delegate,
        "valid_until": to_text(view.valid_until) if view.valid_until else None,
        "checked_at": to_text(view.checked_at) if view.checked_at else None,
        "reason_code": view.reason_code,
        "reason": stored["reason"],
        "sign_until": to_text(view.sign_until) if view.sign_until else None,
        "ended_at": to_text(view.ended_at) if view.ended_at else None,
        "rights_gone": view.rights_gone,
        "rights_seen_at": to_text(seen) if seen else None,
        "switching_to": view.switching_to,
        "waits_for": view.waits_for,
        "onboarding": onboarding_views.code(view.visit),
    }


def authorised_ids(office: Office, operator: Operator) -> list[int]:
    """The clients whose authorisation this operator may check: not those on another person's certificate."""
    rows = office.db.rows(
        "SELECT a.client_id FROM authorization a JOIN client c ON c.id = a.client_id LEFT JOIN identity i ON i.id = a.identity_id "
        "WHERE a.method IS NOT NULL AND (i.operator_id IS NULL OR i.operator_id = :me) AND i.stopped_at IS NULL "
        "AND c.archived_at IS NULL AND a.state NOT IN ('running', 'to_sign', 'ended') "
        "AND NOT (a.method = 'external' AND a.sealed_refresh IS NULL) AND (:only IS NULL OR c.id = :only) ORDER BY c.id",
        {"only": operator.client_id, "me": operator.id},
    )
    return [row[0] for row in rows]


def stopped_ids(office: Office, operator: Operator, *, mine: bool = False) -> list[int]:
    """The clients (or only the operator's own) that are not asked about because the ministry stopped their identity."""
    rows = office.db.rows(
        "SELECT c.id FROM authorization a JOIN client c ON c.id = a.client_id JOIN identity i ON i.id = a.identity_id "
        "WHERE i.stopped_at IS NOT NULL AND a.method = 'certificate' AND a.state NOT IN ('running', 'to_sign', 'ended') "
        "AND c.archived_at IS NULL AND (i.operator_id IS NULL OR i.operator_id = :me) "
        "AND (:only IS NULL OR c.id = :only) AND (:keeper IS NULL OR c.keeper_id = :keeper) ORDER BY c.id",
        {"only": operator.client_id, "me": operator.id, "keeper": operator.id if mine else None},
    )
    return [row[0] for row in rows]


def passed_over(office: Office, operator: Operator, *, mine: bool = False) -> list[tuple[str, list[str]]]:
    """Why clients (or only the operator's own) that have a way into KSeF are not asked about when all are, and whom it
    concerns; those that `stopped_ids` names are not among them."""
    rows = office.db.rows(
        "SELECT c.name, a.state, a.method, a.sealed_refresh IS NULL AS lost FROM authorization a "
        "JOIN client c ON c.id = a.client_id LEFT JOIN identity i ON i.id = a.identity_id WHERE a.method IS NOT NULL "
        "AND c.archived_at IS NULL AND a.state <> 'ended' AND i.stopped_at IS NULL "
        "AND (a.state IN ('running', 'to_sign') OR (a.method = 'external' AND a.sealed_refresh IS NULL) "
        "OR (i.operator_id IS NOT NULL AND i.operator_id <> :me)) "
        "AND (:only IS NULL OR c.id = :only) AND (:keeper IS NULL OR c.keeper_id = :keeper) ORDER BY c.id",
        {"only": operator.client_id, "me": operator.id, "keeper": operator.id if mine else None},
    )
    found: dict[str, list[str]] = {}
    for row in rows:
        if row["state"] == "to_sign":
            why = "żądanie czeka na podpis"
        elif row["state"] == "running":
            why = "łączenie trwa"
        elif row["method"] == "external" and row["lost"]:
            why = "logowanie podpisem złożonym poza programem skończyło się, trzeba nowego"
        else:
            why = "certyfikat innej osoby, sprawdza ona sama"
        found.setdefault(why, []).append(row["name"])
    return list(found.items())


def identities(office: Office, operator: Operator, limit: int) -> list[dict[str, Any]]:
    """The rows of `identity list`, newest first."""
    rows = sorted(identity_views.identities(office, operator, everybodys=True), key=lambda row: row.id, reverse=True)
    return [
        {
            "label": row.label,
            "subject": row.subject,
            "name": row.name,
            "serial": row.serial,
            "fingerprint": row.fingerprint,
            "key_kind": row.key_kind,
            "valid_from": to_text(row.valid_from),
            "valid_to": to_text(row.valid_to),
            "method": AuthMethod.CERTIFICATE.value,
            "kind": row.kind,
            "personal_to": row.personal_to,
            "clients": row.clients,
            "replaced": row.replaced,
            "revoked_at": to_text(row.revoked_at) if row.revoked_at else None,
            "stopped_at": to_text(row.stopped_at) if row.stopped_at else None,
            "client": row.client,
        }
        for row in (rows[:limit] if limit else rows)
    ]


def token_holders(office: Office, operator: Operator) -> list[dict[str, Any]]:
    """The rows of `auth tokens`: who still has a token, by name. `profile`: whether the client is known to have granted
    the office's NIP the right to issue (null: never seen)."""
    return [
        {
            "nip": one.nip,
            "name": one.name,
            "status": one.status.value,
            "valid_until": to_text(one.valid_until),
            "waiting": one.waiting,
            "on_wire": one.on_wire,
            "profile": one.profile,
            "switching_to": one.switching_to,
        }
        for one in switching.with_token(office, operator)
    ]


def switched(office: Office, operator: Operator, client_id: int, identity_id: int) -> dict[str, Any]:
    """A client's authorisation after `auth switch`; `switched`: whether it works with the identity asked for."""
    row = authorization_by_id(office, operator, client_id)
    has_it = office.db.value("SELECT identity_id FROM authorization WHERE client_id = ?", (client_id,)) == identity_id
    return {**row, "switched": has_it and row["status"] in ("active", "expiring") and not row["reason_code"]}


def takeover_rows(found: TakeoverPreview) -> list[dict[str, Any]]:
    """The rows of `identity takeover --dry-run`: each identity that has fallen out, and what would be lost in all."""
    return [
        {
            "label": one.label,
            "why": one.why,
            "clients": len(one.client_ids),
            "reserve": found.label,
            "without_result": found.without_result,
            "without_upo": found.without_upo,
        }
        for one in found.fallen
    ]
