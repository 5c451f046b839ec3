"""Ordering a KSeF certificate, step by step (facts §6; F33). Whoever calls `go_on` holds the lease of the client in whose
context the office is logged in.

Every step is in the database before the next is taken, so any process goes on where another one ended:

    asked    limits and subject are read; the key is made and sealed
    ready    the request is there; it leaves once
    sending  nobody knows whether KSeF has it: it is looked for, never simply sent again
    waiting  KSeF has it and gave a reference
    issued   there is a serial number to collect it by
    done     an identity, or (Offline) kept for QR codes · failed
"""

from __future__ import annotations

import secrets
import sqlite3
from dataclasses import replace
from datetime import timedelta
from typing import Any

from ksef_tui.domain.authorizations import AuthMethod, AuthState
from ksef_tui.domain.problems import Problem
from ksef_tui.domain.times import from_text, to_text
from ksef_tui.ksef import operations as op
from ksef_tui.ksef.api_certificates import AUTHENTICATION, CertificateLimits
from ksef_tui.ksef.codes import certificate_refusal, enrolment_code
from ksef_tui.ksef.errors import Limited, NotReachable, Refused, Unauthorized, Unknown
from ksef_tui.ksef.models import Access
from ksef_tui.services import authorising, identities, login
from ksef_tui.services.calls import NotNow
from ksef_tui.services.turn import NoAccess, Turn
from ksef_tui.store import authorizations, certificates, offices
from ksef_tui.store.records import audit

AGAIN = 2.0  # seconds until the next attempt when KSeF did not answer
SETTLED_AFTER = timedelta(seconds=15)  # what KSeF took is counted in its limits by then
LOOKED_FOR = timedelta(hours=24)  # how long an order is looked for that may have arrived
COLLECTED_WITHIN = timedelta(hours=1)
NO_LOGIN = "Biuro nie jest zalogowane tam, gdzie zamawia certyfikat – zaloguj je i wróć do zamówienia."


class _Failed(Exception):
    """The order ends here: a code and a Polish sentence."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


async def go_on(turn: Turn) -> None:
    """Take the orders in this client's context as far as they go now. Raises Unauthorized when the token is refused."""
    for row in certificates.live(turn.office.db, turn.client_id):
        try:
            await _as_far_as_it_goes(turn, row["id"])
        except NotNow as wait:
            turn.come_back(wait.seconds)
        except NoAccess:
            _without_login(turn, row["id"])
        except Unauthorized:
            raise
        except Limited as limited:
            turn.come_back(limited.retry_after)
        except (NotReachable, Unknown):
            turn.come_back(AGAIN)
        except Refused as refused:
            code = str(refused.code or refused.reason_code or refused.status)
            _fail(turn, row["id"], code, certificate_refusal(refused.code) or refused.message)
        except _Failed as failed:
            _fail(turn, row["id"], failed.code, failed.message)
        except Problem as problem:
            _troubled(turn, row["id"], problem)


async def _as_far_as_it_goes(turn: Turn, enrolment_id: int) -> None:
    steps = {"asked": _prepare, "ready": _submit, "sending": _look_for, "waiting": _follow, "issued": _collect}
    while True:
        row = certificates.get(turn.office.db, enrolment_id)
        step = steps.get(row["state"])
        if step is None:
            return
        await step(turn, await _access(turn, row), row)
        if certificates.get(turn.office.db, enrolment_id)["state"] == row["state"]:
            return  # it waits


async def _access(turn: Turn, row: sqlite3.Row) -> Access:
    """The login to order with; a person's own may be made anew for what that person ordered. Raises NoAccess."""
    before = turn.operator
    if before is None and row["operator_id"] is not None:
        turn.operator = offices.operator_by_id(turn.office.db, row["operator_id"])
    try:
        return await login.access_for(turn)
    except Problem as problem:
        raise NoAccess(problem.code) from problem
    finally:
        turn.operator = before


def _move(turn: Turn, row: sqlite3.Row, new: str, **values: Any) -> bool:
    """The next state, in the change feed too: screens follow the client in whose context it happens."""
    now = turn.now
    with turn.office.db.write() as connection:
        moved = certificates.move(connection, now, row["id"], row["state"], new, **values)
        if moved:
            tell(turn, connection)
    return moved


def tell(turn: Turn, connection: sqlite3.Connection) -> None:
    """Put the client in whose context something happened into the change feed."""
    state = AuthState(authorizations.get(turn.office.db, turn.client_id)["state"])
    authorizations.note(connection, turn.now, turn.client_id, state)


def _fail(turn: Turn, enrolment_id: int, code: str, message: str) -> None:
    row = certificates.get(turn.office.db, enrolment_id)
    with turn.office.db.write() as connection:
        if certificates.move(
            connection, turn.now, row["id"], row["state"], "failed", reason_code=code, reason=message, sealed_key=None
        ):
            tell(turn, connection)
            audit(
                connection,
                turn.now,
                None,
                "certificate.failed",
                client_id=turn.client_id,
                label=row["label"],
                code=code,
            )


def _troubled(turn: Turn, enrolment_id: int, problem: Problem) -> None:
    """Trouble of ours: what KSeF does not have yet is given up, but never the key of what it may have issued."""
    row = certificates.get(turn.office.db, enrolment_id)
    if row["state"] in ("asked", "ready"):
        _fail(turn, enrolment_id, problem.code, problem.message)
        return
    if row["reason"] != problem.message:
        _move(turn, row, row["state"], reason_code=problem.code, reason=problem.message)
    turn.come_back(5 * AGAIN)


def _without_login(turn: Turn, enrolment_id: int) -> None:
    """What KSeF does not have yet is given up; what it may have waits until somebody logs the office in."""
    row = certificates.get(turn.office.db, enrolment_id)
    if row["state"] in ("asked", "ready"):
        _fail(turn, enrolment_id, "office_not_authorised", NO_LOGIN)
    elif row["reason"] != NO_LOGIN:
        _move(turn, row, row["state"], reason_code="office_not_authorised", reason=NO_LOGIN)


# ---- before it leaves


async def _prepare(turn: Turn, access: Access, row: sqlite3.Row) -> None:
    """Limits first: nothing is made that could not be ordered. The key is sealed before anything leaves (F33)."""
    from ksef_tui.ksef import certificates as papers
    from ksef_tui.ksef import requests

    _rich_traceback_omit = True
    refuse_without_limit(await turn.api.certificate_limits(access))
    subject = requests.subject_name(await turn.api.enrolment_data(access))
    kind, value, _ = papers.subject_of(subject)
    _refuse_other_subject(turn, row, kind, value)
    key, request = requests.new_request(subject)
    seal_row = secrets.token_hex(8)
    sealed = turn.office.sealer.seal(key, client=turn.office.nip, kind="private_key", row=seal_row)
    _move(
        turn,
        row,
        "ready",
        subject_type=kind,
        subject_value=value,
        seal_row=seal_row,
        sealed_key=sealed,
        request=request,
    )


def refuse_without_limit(limits: CertificateLimits) -> None:
    """Raises Problem("no_quota") when KSeF would take no order (25006, 25007)."""
    if limits.enrollment.remaining <= 0:
        raise Problem("no_quota", str(certificate_refusal(25006)))
    if limits.certificate.remaining <= 0:
        raise Problem("no_quota", str(certificate_refusal(25007)))
    if not limits.can_request:
        raise Problem("no_quota", "KSeF nie pozwala teraz zamówić certyfikatu po tym zalogowaniu.")


def _refuse_other_subject(turn: Turn, row: sqlite3.Row, kind: str, value: str) -> None:
    """Whose certificate it will be: the office's, or that of the person who ordered it."""
    identities.refuse_foreign(turn.office, kind, value)
    if row["renews"] is not None:
        old = offices.identity(turn.office.db, row["renews"])
        if old is None or (old["subject_type"], old["subject_value"]) != (kind, value):
            raise _Failed(
                "other_subject", "Biuro jest zalogowane kim innym niż odnawiany profil – certyfikatu nie zamówiono."
            )
    if kind == "Pesel":
        other = turn.office.db.row(
            "SELECT o.login FROM identity i JOIN operator o ON o.id = i.operator_id WHERE i.subject_type = 'Pesel' "
            "AND i.subject_value = ? AND i.operator_id IS NOT ?",
            (value, row["operator_id"]),
        )
        if other is not None:
            raise _Failed(
                "someone_elses", f"To byłby certyfikat osobisty operatora {other['login']} – zamówić go może tylko on."
            )


async def _submit(turn: Turn, access: Access, row: sqlite3.Row) -> None:
    """Send the request: once, for it takes from the limit whatever becomes of the answer."""
    limits = await turn.api.certificate_limits(access)
    refuse_without_limit(limits)
    await turn.ready(op.ENROL)
    left = limits.enrollment.remaining
    if not _move(turn, row, "sending", submitted_at=to_text(turn.now), left_before=left):
        return
    sending = certificates.get(turn.office.db, row["id"])
    try:
        reference = await turn.api.enrol(access, row["name"], row["type"], row["request"])
    except (NotReachable, Limited, NotNow, Unauthorized):  # it was not taken
        _move(turn, sending, "ready", submitted_at=None)
        raise
    except Unknown:
        turn.come_back(AGAIN)
        return
    _move(turn, sending, "waiting", reference=reference, reason_code="", reason="")


# ---- after it left


async def _look_for(turn: Turn, access: Access, row: sqlite3.Row) -> None:
    """Whether KSeF has the order: a certificate with our key is ours; an untouched limit says that it never arrived."""
    serial = await _serial_by_key(turn, access, row)
    if serial:
        _move(turn, row, "issued", serial=serial, reason_code="", reason="")
        return
    waited = turn.now - from_text(row["submitted_at"])
    if waited < SETTLED_AFTER:
        turn.come_back(AGAIN)
        return
    limits = await turn.api.certificate_limits(access)
    if not row["reference"] and limits.enrollment.remaining >= row["left_before"]:
        _move(turn, row, "ready", submitted_at=None)
    elif waited < LOOKED_FOR and not row["reference"]:
        turn.come_back(min(300.0, waited.total_seconds()))
    else:
        raise _Failed(
            "unknown_order",
            "Nie wiadomo, co KSeF zrobił z wnioskiem o certyfikat, a certyfikatu nie ma – zamów go jeszcze raz.",
        )


async def _serial_by_key(turn: Turn, access: Access, row: sqlite3.Row) -> str:
    """The serial number of the certificate that was issued for our request; empty when there is none."""
    from ksef_tui.ksef import requests

    for one in await turn.api.certificates(access, row["name"]):
        if one.name != row["name"] or one.type != row["type"]:
            continue
        found = await turn.api.collect_certificate(access, one.certificate_serial_number)
        if found is not None and not requests.fits(found.der, row["request"]):
            return one.certificate_serial_number
    return ""


async def _follow(turn: Turn, access: Access, row: sqlite3.Row) -> None:
    try:
        answer = await turn.api.enrolment_status(access, row["reference"])
    except Refused as refused:
        if refused.status != 410:
            raise
        _move(turn, row, "sending")  # KSeF forgot the order after 30 days, not the certificate
        return
    code = enrolment_code(answer.status.code)
    if answer.status.code == 200 and answer.certificate_serial_number:
        _move(turn, row, "issued", serial=answer.certificate_serial_number, reason_code="", reason="")
    elif code.terminal and answer.status.code != 200:
        details = "; ".join(answer.status.details)
        raise _Failed(str(code.code), f"{code.sentence} {f'({details}) ' if details else ''}{code.what_to_do}")
    else:
        waited = (turn.now - from_text(row["submitted_at"])).total_seconds()
        turn.come_back(min(30.0, max(0.2, waited / 5)))


async def _collect(turn: Turn, access: Access, row: sqlite3.Row) -> None:
    """The certificate by its serial number; it must be the answer to our request, whatever KSeF says of it."""
    from ksef_tui.ksef import requests

    found = await turn.api.collect_certificate(access, row["serial"])
    if found is None:
        if turn.now - from_text(row["submitted_at"]) > COLLECTED_WITHIN:
            raise _Failed(
                "not_collected", "KSeF wystawił certyfikat, ale go nie wydaje – zamów certyfikat jeszcze raz."
            )
        turn.come_back(AGAIN)
        return
    wrong = requests.fits(found.der, row["request"])
    if wrong or found.certificate_type != row["type"]:
        raise _Failed(
            "wrong_certificate",
            f"KSeF wydał inny certyfikat, niż zamówiono (nr {row['serial']}) – nie zostanie użyty.",
        )
    if row["type"] == AUTHENTICATION:
        _becomes_identity(turn, row, found.der)
    else:
        _kept_for_codes(turn, row, found.der)


def _kept_for_codes(turn: Turn, row: sqlite3.Row, certificate: bytes) -> None:
    """For QR codes only: it stays in the order, out of reach of logging in; its key is proven all the same."""
    from ksef_tui.ksef import certificates as papers

    found, _ = identities.found_in(certificate, personal_to="")
    key = turn.office.sealer.open(row["sealed_key"], client=turn.office.nip, kind="private_key", row=row["seal_row"])
    papers.prove(certificate, key)
    with turn.office.db.write() as connection:
        if _move(turn, row, "done", certificate=certificate, valid_to=to_text(found.valid_to)):
            audit(
                connection,
                turn.now,
                None,
                "certificate.kept",
                label=row["label"],
                serial=row["serial"],
                type=row["type"],
            )


def _becomes_identity(turn: Turn, row: sqlite3.Row, certificate: bytes) -> None:
    """The certificate and its key as an identity; renewed, it takes the label of the old one, whose clients follow."""
    office, now = turn.office, turn.now
    _rich_traceback_omit = True
    key = office.sealer.open(row["sealed_key"], client=office.nip, kind="private_key", row=row["seal_row"])
    found, offline = identities.found_in(certificate, personal_to="")
    if offline:
        raise _Failed(
            "wrong_certificate", "KSeF wydał certyfikat, którym nie można się zalogować – nie zostanie użyty."
        )
    found = replace(found, kind="ksef")
    with office.db.write() as connection:
        old = offices.identity(office.db, row["renews"]) if row["renews"] is not None else None
        if old is not None:
            offices.rename_identity(connection, old["id"], _label_of_old(turn, old))
        label = row["label"]
        if offices.identity_by_label(office.db, label) is not None:  # somebody took the name meanwhile
            label = f"{label} {found.serial[-6:]}"
        identity_id = identities.keep(
            office, connection, now, label, found, certificate, key,
            operator_id=row["operator_id"] if found.subject_type == "Pesel" else None,
        )  # fmt: skip
        if old is not None:
            offices.replace_identity(connection, old["id"], identity_id)
            if old["kind"] == "ksef":
                certificates.insert_revocation(
                    connection, now,
                    {"client_id": row["client_id"], "identity_id": old["id"], "enrolment_id": None, "serial": old["serial"],
                     "reason": "Superseded", "operator_id": row["operator_id"], "state": "unused"},
                )  # fmt: skip
        _move(
            turn, row, "done", certificate=certificate, valid_to=to_text(found.valid_to), identity_id=identity_id,
            sealed_key=None,
        )  # fmt: skip
        audit(
            connection, now, None, "certificate.issued", label=label, serial=found.serial, fingerprint=found.fingerprint
        )
        if old is not None:
            wake(turn, connection, old["id"])
        else:
            _log_the_office_in(turn, row, identity_id)


def wake(turn: Turn, connection: sqlite3.Connection, identity_id: int) -> None:
    """The clients of an identity that is no more have something to do: into the change feed with them."""
    for client_id in certificates.users(turn.office.db, identity_id):
        state = AuthState(authorizations.get(turn.office.db, client_id)["state"])
        authorizations.note(connection, turn.now, client_id, state)


def _label_of_old(turn: Turn, old: sqlite3.Row) -> str:
    """`pieczęć (do 24.12.2026)`: the label itself goes to the new certificate."""
    until = f"{from_text(old['valid_to']):%d.%m.%Y}"
    for label in (f"{old['label']} (do {until})", f"{old['label']} ({old['serial'][-8:]})"):
        if offices.identity_by_label(turn.office.db, label) in (None, old):
            return label
    return f"{old['label']} ({secrets.token_hex(4)})"


def _log_the_office_in(turn: Turn, row: sqlite3.Row, identity_id: int) -> None:
    """The office's first certificate takes the place of the signature that it was ordered with, which lasts for days."""
    standing = authorizations.get(turn.office.db, turn.client_id)
    operator = offices.operator_by_id(turn.office.db, row["operator_id"]) if row["operator_id"] else None
    if not turn.client["office"] or standing["method"] != AuthMethod.EXTERNAL or operator is None:
        return
    try:
        authorising.start_with_identity(turn.office, operator, turn.client_id, identity_id)
    except Problem:
        return  # somebody does something else with it: the certificate is there, and a person decides
    turn.come_back(0.05)
