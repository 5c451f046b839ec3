"""Logging in to KSeF in one client's context, and keeping the login alive (design §7, facts §4).

Whoever calls these holds the client's lease. A token is used only in the context it was issued for (rule 1).
"""

from __future__ import annotations

import asyncio
import json
import sqlite3
from datetime import timedelta
from typing import Any

from ksef_tui.domain.authorizations import CAN_SEND, AuthMethod, AuthState, AuthStep, effective
from ksef_tui.domain.problems import Problem
from ksef_tui.domain.secret import Secret
from ksef_tui.domain.times import from_text, to_text
from ksef_tui.ksef import claims
from ksef_tui.ksef.api import Access
from ksef_tui.ksef.codes import auth_code
from ksef_tui.ksef.errors import KsefError, Limited, NotReachable, Refused, Unknown
from ksef_tui.ksef.models import AuthStarted
from ksef_tui.services import external, personal
from ksef_tui.services.authorising import FORGET
from ksef_tui.services.calls import NotNow
from ksef_tui.services.turn import NoAccess, Turn
from ksef_tui.services.verdicts import (
    Verdict,
    end_replaced,
    is_weather,
    judgement,
    opened,
    read_rights,
    seal,
    write_verdict,
)
from ksef_tui.store import authorizations, offices, settings, signature_requests
from ksef_tui.store.records import audit

REFRESH_AHEAD = timedelta(seconds=90)  # an access token this near its end is renewed first
LOGIN_PATIENCE = 300.0  # seconds for KSeF to judge a login; certificates of the ministry take none of it
UNKNOWN_KEY = 21470


async def carry_out_intent(turn: Turn) -> None:
    """Do what a person asked for this client's authorisation, if anything."""
    row = authorizations.get(turn.office.db, turn.client_id)
    by_hand = row["method"] == AuthMethod.EXTERNAL
    if row["intent"] in ("login", "check"):
        try:
            personal.refuse_what_others_started(turn, row)
        except Problem as problem:
            _lent(turn, row, problem)
            return
    if row["intent"] == "login":
        await (external.go_on(turn, row) if by_hand else _authorise(turn, row))
    elif row["intent"] == "check":
        await (_check_standing(turn, row) if by_hand else _check(turn, row))
    elif row["intent"] == "revoke":
        await _revoke(turn, row)


async def access_for(turn: Turn) -> Access:
    """The access token to call with in this client's context: kept, refreshed, or from a new login.

    Raises NoAccess when the authorisation does not work (any more), KsefError for the weather.
    """
    if turn.access is not None:
        return turn.access
    row = authorizations.get(turn.office.db, turn.client_id)
    personal.refuse_to_lend(turn, row)
    until = from_text(row["valid_until"]) if row["valid_until"] else None
    days = settings.get_int(turn.office.db, "expiring_days")
    state = effective(AuthState(row["state"]), until, turn.now, days, row["method"])
    if state not in (*CAN_SEND, AuthState.READ_ONLY):
        raise NoAccess(state)
    turn.access = _kept(turn, row) or await _refreshed(turn, row) or await _logged_in_again(turn, row)
    return turn.access


def forget_access(turn: Turn) -> None:
    """The access token was refused (401): the next call gets a new one."""
    turn.access = None
    row = authorizations.get(turn.office.db, turn.client_id)
    with turn.office.db.write() as connection:
        authorizations.note(
            connection, turn.now, turn.client_id, AuthState(row["state"]), sealed_access=None, access_until=None
        )


def lost_permission(turn: Turn, refused: Refused) -> None:
    """A call was refused for missing permissions (403): the authorisation learns it at once (F30)."""
    row = authorizations.get(turn.office.db, turn.client_id)
    old = AuthState(row["state"])
    present = [p for p in refused.present if p]
    state = AuthState.READ_ONLY if "InvoiceRead" in present else AuthState.NO_PERMISSION
    if old not in (AuthState.ACTIVE, AuthState.EXPIRING, AuthState.READ_ONLY):
        return
    needed = ", ".join(refused.required) or "InvoiceWrite"
    reason = f"{turn.client['name']}: KSeF odmówił, brakuje uprawnienia {needed}."
    with turn.office.db.write() as connection:
        authorizations.move(
            connection, turn.now, turn.client_id, "learn", old, state,
            reason_code="missing-permissions", reason=reason, rights=json.dumps(present), checked_at=to_text(turn.now),
            step=AuthStep.RIGHTS, step_failed=1, sealed_access=None, access_until=None,
        )  # fmt: skip
    turn.access = None


# ---- what people ask for


async def _authorise(turn: Turn, row: sqlite3.Row) -> None:
    try:
        verdict = await _log_in(turn, row, show_steps=True)
    except NotNow as wait:
        turn.come_back(wait.seconds)
        return
    replaced = opened(turn, row, "refresh")
    write_verdict(turn, row, "finish", AuthState.RUNNING, verdict)
    await end_replaced(turn, verdict, replaced)


async def _check(turn: Turn, row: sqlite3.Row) -> None:
    """A fresh login tells the truth about rights: a kept token would show yesterday's (facts §4.5)."""
    try:
        verdict = await _log_in(turn, row, show_steps=False)
    except NotNow as wait:
        turn.come_back(wait.seconds)
        return
    old = AuthState(row["state"])
    if is_weather(turn, row, verdict) and old is not AuthState.FAILED:  # it says nothing about rights
        _note_weather(turn, old, verdict.reason)
        return
    replaced = opened(turn, row, "refresh")
    write_verdict(turn, row, "learn", old, verdict)
    await end_replaced(turn, verdict, replaced)


def _lent(turn: Turn, row: sqlite3.Row, problem: Problem) -> None:
    """An intent that would lend a person's certificate: nothing is signed, what works stays."""
    if row["intent"] == "login":
        verdict = Verdict(AuthState.FAILED, AuthStep.SIGN, problem.code, problem.message)
        write_verdict(turn, row, "finish", AuthState.RUNNING, verdict)
        return
    with turn.office.db.write() as connection:
        authorizations.note(connection, turn.now, turn.client_id, AuthState(row["state"]), intent="")
        audit(connection, turn.now, None, "auth.lent", client_id=turn.client_id, code=problem.code)


async def _check_standing(turn: Turn, row: sqlite3.Row) -> None:
    """A login that somebody signed for cannot be made again without them; a refreshed token carries the rights of now
    (facts §4.5)."""
    old = AuthState(row["state"])
    try:
        access = await _refreshed(turn, row)
        verdict = _over() if access is None else await read_rights(turn, access.token)
    except NotNow as wait:
        turn.come_back(wait.seconds)
        return
    except Limited as limited:
        turn.come_back(limited.retry_after)
        return
    except KsefError as weather:
        _note_weather(turn, old, f"KSeF nie odpowiada. {weather.message}")
        return
    write_verdict(turn, row, "learn", old, verdict)


def _over() -> Verdict:
    """A login by an external signature that ended: its time is over, it was revoked, or the rights were taken back."""
    reason = "Logowanie podpisem zewnętrznym skończyło się w KSeF – zrób nowe żądanie do podpisu."
    return Verdict(AuthState.EXPIRED, AuthStep.SIGN, "sign_again", reason)


def _note_weather(turn: Turn, state: AuthState, reason: str) -> None:
    with turn.office.db.write() as connection:
        authorizations.note(
            connection, turn.now, turn.client_id, state, intent="", reason_code="unreachable", reason=reason
        )


async def _revoke(turn: Turn, row: sqlite3.Row) -> None:
    """End the login at KSeF (F32), then forget it here. Without an answer it is not over, and the row says so."""
    refresh = opened(turn, row, "refresh")
    if refresh is not None:
        try:
            await turn.api.end_auth_session(turn.nip, refresh)
        except Refused:
            pass  # it had ended before
        except KsefError as error:
            reason = f"Nie odwołano: {error.message} Ponów."
            with turn.office.db.write() as connection:
                authorizations.note(
                    connection,
                    turn.now,
                    turn.client_id,
                    AuthState(row["state"]),
                    intent="",
                    reason_code="unreachable",
                    reason=reason,
                )
            return
    with turn.office.db.write() as connection:
        authorizations.move(
            connection, turn.now, turn.client_id, "revoke", AuthState(row["state"]), AuthState.MISSING,
            intent="", method=None, identity_id=None, sealed_token=None, step="", step_failed=0, reason_code="", reason="",
            rights="[]", can_delegate=0, checked_at=None, valid_until=None, **FORGET,
        )  # fmt: skip
        signature_requests.delete(connection, turn.client_id)
        audit(connection, turn.now, None, "auth.revoked", client_id=turn.client_id)
    turn.access = None


# ---- one login


async def _log_in(turn: Turn, row: sqlite3.Row, *, show_steps: bool) -> Verdict:
    """Challenge → proof → judgement → rights. Every ending is a Verdict; only NotNow is raised."""
    step = AuthStep.REQUEST

    def at(new: AuthStep) -> None:
        nonlocal step
        step = new
        if show_steps:
            _show_step(turn, new)

    try:
        at(AuthStep.REQUEST)
        started = await _submit(turn, row, at)
        at(AuthStep.VERIFY)
        failed = await _judged(turn, row, started)
        if failed is not None:
            return failed
        tokens = await turn.api.redeem(turn.nip, started.authentication_token.token)
        at(AuthStep.RIGHTS)
        return await read_rights(turn, tokens.access_token.token, tokens=tokens, reference=started.reference_number)
    except Problem as problem:
        state = AuthState.EXPIRED if problem.code == "certificate_expired" else AuthState.FAILED
        return Verdict(state, step, problem.code, problem.message)
    except Limited as limited:
        raise NotNow(limited.retry_after) from limited
    except (NotReachable, Unknown) as weather:
        return Verdict(AuthState.FAILED, step, "unreachable", f"KSeF nie odpowiada. {weather.message}")
    except Refused as refused:
        return Verdict(
            AuthState.FAILED, step, str(refused.code or refused.reason_code or refused.status), refused.message
        )


async def _submit(turn: Turn, row: sqlite3.Row, at: Any) -> AuthStarted:
    if row["method"] == AuthMethod.TOKEN:
        return await _submit_token(turn, row, at, retry=True)
    identity = offices.identity(turn.office.db, row["identity_id"]) if row["identity_id"] else None
    if identity is None or identity["removed_at"] is not None:
        raise Problem("unknown_identity", "Profil, którym klient był autoryzowany, został usunięty.")
    if from_text(identity["valid_to"]) <= turn.now:
        raise Problem("certificate_expired", f"Certyfikat profilu {identity['label']} wygasł – dodaj nowy.")
    challenge = await turn.api.challenge(turn.nip)
    at(AuthStep.SIGN)
    signed = await asyncio.to_thread(_signed, turn, identity, challenge.challenge)
    return await turn.api.submit_signed(signed, turn.nip)


def _signed(turn: Turn, identity: sqlite3.Row, challenge: str) -> bytes:
    from ksef_tui.ksef import certificates, xades  # late: signxml costs 80 ms

    _rich_traceback_omit = True
    key = turn.office.sealer.open(
        identity["sealed_key"], client=turn.office.nip, kind="private_key", row=identity["seal_row"]
    )
    by_subject = identity["subject_type"] in ("Nip", "Pesel")
    request = xades.auth_request(
        challenge, turn.nip, subject="certificateSubject" if by_subject else "certificateFingerprint"
    )
    return xades.sign(
        request,
        certificates.certificate_from_bytes(identity["certificate"]),
        certificates.key_from_bytes(key),
        signing_time=turn.now,
    )


async def _submit_token(turn: Turn, row: sqlite3.Row, at: Any, *, retry: bool) -> AuthStarted:
    from ksef_tui.ksef.crypto import encrypt_token
    from ksef_tui.ksef.public_keys import TOKEN_ENCRYPTION

    _rich_traceback_omit = True
    token = opened(turn, row, "token")
    if token is None:
        raise Problem("no_token", "Token KSeF tego klienta jest nieczytelny – wpisz go jeszcze raz.")
    certificate = await turn.keys.get(TOKEN_ENCRYPTION)
    challenge = await turn.api.challenge(turn.nip)
    at(AuthStep.SIGN)
    encrypted = encrypt_token(token, challenge.timestamp_ms, certificate)
    try:
        return await turn.api.submit_token(turn.nip, challenge, encrypted, certificate.public_key_id)
    except Refused as refused:
        if UNKNOWN_KEY not in refused.codes or not retry:
            raise
        turn.keys.forget()  # the ministry changed its key: fetch the new one, once (facts §3)
        return await _submit_token(turn, row, at, retry=False)


async def _judged(turn: Turn, row: sqlite3.Row, started: AuthStarted) -> Verdict | None:
    """Wait for KSeF's judgement; None when it is good."""
    token, waited, pause = started.authentication_token.token, 0.0, 0.2
    while True:
        answer = await turn.api.auth_status(turn.nip, started.reference_number, token)
        if auth_code(answer.status.code).terminal:
            return judgement(turn, row, answer)
        if waited > LOGIN_PATIENCE:
            return Verdict(
                AuthState.FAILED, AuthStep.VERIFY, "timeout", "KSeF nie rozstrzygnął logowania w 5 minut – ponów."
            )
        await asyncio.sleep(pause)
        waited, pause = waited + pause, min(pause * 1.5, 2.0)


def _show_step(turn: Turn, step: AuthStep) -> None:
    with turn.office.db.write() as connection:
        authorizations.note(connection, turn.now, turn.client_id, AuthState.RUNNING, step=step, step_failed=0)


# ---- keeping a login alive


def _kept(turn: Turn, row: sqlite3.Row) -> Access | None:
    if row["access_until"] is None or from_text(row["access_until"]) - turn.now < REFRESH_AHEAD:
        return None
    token = opened(turn, row, "access")
    return None if token is None else _in_context(turn, row, token)


def _in_context(turn: Turn, row: sqlite3.Row, token: Secret) -> Access | None:
    """The token as access to this client, if it is for this client (rule 1): by its claims, else by its login."""
    context = claims.read(token).context_value or row["context_nip"]
    return Access(turn.nip, token) if context == turn.nip else None


async def _refreshed(turn: Turn, row: sqlite3.Row) -> Access | None:
    refresh = opened(turn, row, "refresh")
    if refresh is None or row["refresh_until"] is None or from_text(row["refresh_until"]) <= turn.now:
        return None
    try:
        new = await turn.api.refresh(turn.nip, refresh)
    except Refused:  # any typed refusal means "log in again" (F25)
        return None
    access = _in_context(turn, row, new.token)
    if access is None:
        return None
    with turn.office.db.write() as connection:
        authorizations.note(
            connection, turn.now, turn.client_id, AuthState(row["state"]),
            sealed_access=seal(turn, "access", new.token), access_until=to_text(new.valid_until),
            **({"reason_code": "", "reason": ""} if row["reason_code"] == "unreachable" else {}),
        )  # fmt: skip
    return access


async def _logged_in_again(turn: Turn, row: sqlite3.Row) -> Access:
    """A certificate or a token logs in by itself; what it finds is learned. Raises NoAccess, NotNow, Unknown."""
    if row["method"] == AuthMethod.EXTERNAL:  # only a person can: the client stands until somebody signs
        write_verdict(turn, row, "learn", AuthState(row["state"]), _over())
        raise NoAccess(AuthState.EXPIRED)
    try:
        personal.refuse_without_work(turn, row)
    except Problem as problem:
        if turn.operator is not None:
            raise
        lent = Verdict(AuthState.FAILED, AuthStep.SIGN, problem.code, problem.message)
        write_verdict(turn, row, "learn", AuthState(row["state"]), lent)
        raise NoAccess(AuthState.FAILED) from None
    verdict = await _log_in(turn, row, show_steps=False)
    if is_weather(turn, row, verdict):
        raise Unknown(verdict.reason, cause="timeout")
    write_verdict(turn, row, "learn", AuthState(row["state"]), verdict)
    if verdict.tokens is None or verdict.state not in (*CAN_SEND, AuthState.READ_ONLY):
        raise NoAccess(verdict.state)
    return Access(turn.nip, verdict.tokens.access_token.token)
