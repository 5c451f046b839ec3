"""Commands about KSeF certificates; each runs to the end and waits."""

from __future__ import annotations

import asyncio
import sqlite3
from typing import Any

import click

from ksef_tui.cli.shared import Context, group, json_option, limit_option, show, show_one

certificate = group("certificate", "Certyfikaty KSeF: limity, zamawianie, odnawianie, odwoływanie.")

PATIENCE = 600.0  # seconds
in_context = click.option(
    "--client", "nip", help="NIP klienta, u którego jest zalogowany ten, kto zamawia; domyślnie biuro"
)


def _where(context: Context, nip: str | None) -> int | None:
    from ksef_tui.services import clients

    return clients.id_of(context.office, nip) if nip else None


@certificate.command("limits")
@in_context
@json_option
@click.pass_obj
def certificate_limits(context: Context, nip: str | None, as_json: bool) -> None:
    """Ile certyfikatów można jeszcze zamówić i mieć."""
    from ksef_tui.services import certifying

    found = asyncio.run(certifying.limits(context.office, context.operator, _where(context, nip)))
    row = {
        "can_request": found.can_request,
        "enrolments_remaining": found.orders_left,
        "enrolments_limit": found.orders_limit,
        "certificates_remaining": found.held_left,
        "certificates_limit": found.held_limit,
        "subject": found.subject,
    }
    show_one(row, as_json, lambda _: found.words)


@certificate.command("list")
@in_context
@limit_option
@json_option
@click.pass_obj
def certificate_list(context: Context, nip: str | None, limit: int, as_json: bool) -> None:
    """Certyfikaty zalogowanego w KSeF, najnowsze na górze."""
    from ksef_tui.domain.times import to_text
    from ksef_tui.services import certifying

    found = asyncio.run(certifying.listed(context.office, context.operator, _where(context, nip)))
    rows = [
        {
            "serial": one.serial,
            "name": one.name,
            "label": one.label,
            "type": one.type.lower(),
            "status": one.status.lower(),
            "subject": one.subject,
            "valid_from": to_text(one.valid_from),
            "valid_to": to_text(one.valid_to),
            "last_used_at": to_text(one.last_used) if one.last_used else None,
            "requested_at": to_text(one.requested),
        }
        for one in (found[:limit] if limit else found)
    ]
    show(
        rows,
        as_json,
        lambda r: (
            f"{r['serial']}  {r['name']}  {r['type']}  {r['status']}  do {r['valid_to'][:10]}  {r['label']}".rstrip()
        ),
    )


@certificate.command("enrol")
@click.argument("name")
@click.option("--label", required=True, help="jak nazwać go w programie")
@click.option(
    "--type", "kind", type=click.Choice(["authentication", "offline"]), default="authentication", show_default=True
)
@in_context
@json_option
@click.pass_obj
def certificate_enrol(context: Context, name: str, label: str, kind: str, nip: str | None, as_json: bool) -> None:
    """Zamawia certyfikat KSeF o nazwie NAME; authentication staje się profilem, offline służy tylko do kodów QR."""
    from ksef_tui.services import certifying

    where = _where(context, nip)
    made = certifying.order(context.office, context.operator, name, label, certifying.TYPES[kind], where)
    _finish(context, made, as_json)


@certificate.command("renew")
@click.argument("label")
@json_option
@click.pass_obj
def certificate_renew(context: Context, label: str, as_json: bool) -> None:
    """Zamawia nowy certyfikat profilu, przełącza na niego klientów i odwołuje stary."""
    from ksef_tui.services import certifying

    _finish(context, certifying.renew(context.office, context.operator, label), as_json)


def _finish(context: Context, enrolment_id: int, as_json: bool) -> None:
    from ksef_tui.services import certifying

    row = asyncio.run(certifying.finish(context.office, enrolment_id, patience=PATIENCE))
    show_one(_order(row), as_json, lambda r: f"{r['label']}  {r['serial']}  ważny do {r['valid_to'][:10]}")


def _order(row: sqlite3.Row) -> dict[str, Any]:
    return {
        "id": row["id"],
        "state": row["state"],
        "label": row["label"],
        "name": row["name"],
        "type": row["type"].lower(),
        "serial": row["serial"],
        "valid_to": row["valid_to"],
        "subject": f"{row['subject_type']}:{row['subject_value']}",
        "reference": row["reference"],
    }


@certificate.command("revoke")
@click.argument("label")
@click.option(
    "--reason", required=True, type=click.Choice(["Unspecified", "Superseded", "KeyCompromise"], case_sensitive=False),
    help="bez powodu, zastąpiony, klucz w obcych rękach",
)  # fmt: skip
@json_option
@click.pass_obj
def certificate_revoke(context: Context, label: str, reason: str, as_json: bool) -> None:
    """Odwołuje certyfikat w KSeF na zawsze i wylogowuje wszystko, co nim zalogowano."""
    from ksef_tui.services import certifying

    made = certifying.revoke(context.office, context.operator, label, reason)
    asyncio.run(certifying.finish_revocation(context.office, made, patience=PATIENCE))
    show_one({"label": label, "reason": reason, "state": "revoked"}, as_json, lambda r: f"{r['label']}: odwołany")
