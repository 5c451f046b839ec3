"""Logging in to KSeF in one client's context, and keeping the login alive (design §7, facts §4).

Whoever calls these holds the client's lease. A token is used only in the context it was issued for (rule 1).
"""

from __future__ import annotations

import asyncio
import json
import sqlite3
from contextlib import suppress
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from typing import Any

from ksef_tui.domain.authorizations import CAN_SEND, AuthMethod, AuthState, AuthStep, effective
from ksef_tui.domain.problems import Problem
from ksef_tui.domain.secret import Secret
from ksef_tui.domain.times import WARSAW, from_text, to_text
from ksef_tui.ksef import claims
from ksef_tui.ksef.api import Access
from ksef_tui.ksef.codes import auth_code
from ksef_tui.ksef.errors import KsefError, Limited, NotReachable, Refused, Unknown
from ksef_tui.ksef.models import AuthStarted, TokenPair
from ksef_tui.services.authorising import FORGET, restored
from ksef_tui.services.calls import NotNow
from ksef_tui.services.turn import NoAccess, Turn
from ksef_tui.store import authorizations, limits, offices, settings
from ksef_tui.store.records import audit

REFRESH_AHEAD = timedelta(seconds=90)  # an access token this near its end is renewed first
LOGIN_PATIENCE = 300.0  # seconds for KSeF to judge a login; certificates of the ministry take none of it
CERTIFICATE_ERROR, REVOKED_BY_USER, BAD_TOKEN, NO_PERMISSIONS, BLOCKED_BY_MF = 460, 425, 450, 415, 480
UNKNOWN_KEY = 21470


@dataclass(slots=True)
class Verdict:
    """How a login ended: the state it leads to, and for a good one its tokens and rights."""

    state: AuthState
    step: AuthStep
    reason_code: str = ""
    reason: str = ""
    tokens: TokenPair | None = None
    reference: str = ""
    subject: str = ""
    rights: tuple[str, ...] = ()
    can_delegate: bool = False

    @property
    def is_good(self) -> bool:
        """Whether there are tokens to work with."""
        return self.tokens is not None


async def carry_out_intent(turn: Turn) -> None:
    """Do what a person asked for this client's authorisation, if anything."""
    row = authorizations.get(turn.office.db, turn.client_id)
    if row["intent"] == "login":
        await _authorise(turn, row)
    elif row["intent"] == "check":
        await _check(turn, row)
    elif row["intent"] == "revoke":
        await _revoke(turn, row)


async def access_for(turn: Turn) -> Access:
    """The access token to call with in this client's context: kept, refreshed, or from a new login.

    Raises NoAccess when the authorisation does not work (any more), KsefError for the weather.
    """
    if turn.access is not None:
        return turn.access
    row = authorizations.get(turn.office.db, turn.client_id)
    until = from_text(row["valid_until"]) if row["valid_until"] else None
    state = effective(AuthState(row["state"]), until, turn.now, settings.get_int(turn.office.db, "expiring_days"))
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
    replaced = _opened(turn, row, "refresh")
    _write_verdict(turn, row, "finish", AuthState.RUNNING, verdict)
    await _end_replaced(turn, verdict, replaced)


async def _check(turn: Turn, row: sqlite3.Row) -> None:
    """A fresh login tells the truth about rights: a kept token would show yesterday's (facts §4.5)."""
    try:
        verdict = await _log_in(turn, row, show_steps=False)
    except NotNow as wait:
        turn.come_back(wait.seconds)
        return
    old = AuthState(row["state"])
    if _is_weather(turn, row, verdict) and old is not AuthState.FAILED:  # it says nothing about rights
        with turn.office.db.write() as connection:
            authorizations.note(
                connection, turn.now, turn.client_id, old, intent="", reason_code="unreachable", reason=verdict.reason
            )
        return
    replaced = _opened(turn, row, "refresh")
    _write_verdict(turn, row, "learn", old, verdict)
    await _end_replaced(turn, verdict, replaced)


async def _end_replaced(turn: Turn, verdict: Verdict, replaced: Secret | None) -> None:
    """A login that a new one replaces is ended at KSeF, or it would live on for days (F32). Best effort."""
    if verdict.is_good and replaced is not None:
        with suppress(KsefError, NotNow):
            await turn.api.end_auth_session(turn.nip, replaced)


async def _revoke(turn: Turn, row: sqlite3.Row) -> None:
    """End the login at KSeF (F32), then forget it here. Without an answer it is not over, and the row says so."""
    refresh = _opened(turn, row, "refresh")
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
        return await _rights(turn, tokens, started.reference_number)
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
    token = _opened(turn, row, "token")
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
        known = auth_code(answer.status.code)
        if known.terminal:
            break
        if waited > LOGIN_PATIENCE:
            return Verdict(
                AuthState.FAILED, AuthStep.VERIFY, "timeout", "KSeF nie rozstrzygnął logowania w 5 minut – ponów."
            )
        await asyncio.sleep(pause)
        waited, pause = waited + pause, min(pause * 1.5, 2.0)
    code = answer.status.code
    if code == 200:
        return None
    details = "; ".join(answer.status.details)
    if code == NO_PERMISSIONS:
        return Verdict(AuthState.NO_PERMISSION, AuthStep.RIGHTS, str(code), _nobody_granted(turn, row))
    if code == BLOCKED_BY_MF:
        return Verdict(AuthState.BLOCKED, AuthStep.VERIFY, str(code), f"{known.sentence} {known.what_to_do}")
    reason = f"{known.sentence} {f'({details}) ' if details else ''}{known.what_to_do}".strip()
    return Verdict(AuthState.FAILED, AuthStep.VERIFY, str(code), reason)


def _nobody_granted(turn: Turn, row: sqlite3.Row) -> str:
    """Which client has not granted anything to which identity (F29)."""
    identity = offices.identity(turn.office.db, row["identity_id"]) if row["identity_id"] else None
    whom = (
        "temu tokenowi" if identity is None else f"dla {identity['subject_type'].upper()} {identity['subject_value']}"
    )
    return f"{turn.client['name']}: brak uprawnień w KSeF {whom}."


async def _rights(turn: Turn, tokens: TokenPair, reference: str) -> Verdict:
    """What the login may do: claims first, then the query, which also knows delegation (facts §4.6, §7.4)."""
    said = claims.read(tokens.access_token.token)
    if said.context_value is not None and said.context_value != turn.nip:
        return Verdict(
            AuthState.FAILED, AuthStep.RIGHTS, "wrong_context",
            f"KSeF zalogował do NIP {said.context_value} zamiast {turn.nip} – niczego nie wysłano.",
        )  # fmt: skip
    access = Access(turn.nip, tokens.access_token.token)
    rights = set(said.permissions)
    can_delegate = False
    try:
        for grant in await turn.api.personal_grants(access):
            if grant.permission_state == "Active" and grant.permission_scope in ("InvoiceWrite", "InvoiceRead"):
                if grant.context_identifier is not None and grant.context_identifier.value not in ("", turn.nip):
                    continue
                can_delegate = can_delegate or (grant.can_delegate and grant.permission_scope == "InvoiceWrite")
                if not said.permissions:
                    rights.add(grant.permission_scope)
    except KsefError:  # an empty or missing list is not "no rights" (field notes 4.2): the claims stand
        can_delegate = False
    if turn.keeper.limits_are_stale(turn.nip):
        await _read_limits(turn, access)
    state, reason = AuthState.ACTIVE, ""
    if not rights & {"Owner", "InvoiceWrite"}:
        state = AuthState.READ_ONLY if "InvoiceRead" in rights else AuthState.NO_PERMISSION
        missing = "wystawianie faktur" if state is AuthState.READ_ONLY else "wystawianie i przeglądanie faktur"
        reason = f"{turn.client['name']}: klient nie nadał uprawnienia: {missing}."
    return Verdict(
        state,
        AuthStep.RIGHTS,
        reason_code="" if state is AuthState.ACTIVE else "missing-permissions",
        reason=reason,
        tokens=tokens,
        reference=reference,
        subject=f"{said.subject_type}:{said.subject_value}" if said.subject_value else "",
        rights=tuple(sorted(rights)),
        can_delegate=can_delegate,
    )


async def _read_limits(turn: Turn, access: Access) -> None:
    """The real limits of this context (facts §12); without them production's are kept."""
    try:
        known = await turn.api.rate_limits(access)
    except KsefError:
        return
    with turn.office.db.write() as connection:
        limits.put_limits(
            connection, turn.now, turn.nip, {g: (r.per_second, r.per_minute, r.per_hour) for g, r in known.items()}
        )


def _is_weather(turn: Turn, row: sqlite3.Row, verdict: Verdict) -> bool:
    """Whether a failed login says nothing lasting: no answer, a fault of KSeF (500, 550), or "bad certificate" for one
    that worked within a day and has not expired (F41)."""
    code = verdict.reason_code
    if code == "unreachable" or (
        code.isdigit() and not auth_code(int(code)).lasting and verdict.state is AuthState.FAILED
    ):
        return True
    worked = row["state"] in (AuthState.ACTIVE, AuthState.EXPIRING) and row["checked_at"] is not None
    return code in ("460", "21115") and worked and turn.now - from_text(row["checked_at"]) < timedelta(days=1)


# ---- what is written down


def _show_step(turn: Turn, step: AuthStep) -> None:
    with turn.office.db.write() as connection:
        authorizations.note(connection, turn.now, turn.client_id, AuthState.RUNNING, step=step, step_failed=0)


def _write_verdict(turn: Turn, row: sqlite3.Row, act: str, old: AuthState, verdict: Verdict) -> None:
    if act == "finish" and _is_weather(turn, row, verdict) and _put_back(turn, row, verdict):
        return
    values: dict[str, Any] = {
        "intent": "",
        "fallback": None,
        "step": verdict.step,
        "step_failed": int(verdict.state not in (AuthState.ACTIVE, AuthState.EXPIRING)),
        "reason_code": verdict.reason_code,
        "reason": verdict.reason,
        "checked_at": to_text(turn.now),
        "rights": json.dumps(verdict.rights),
        "can_delegate": int(verdict.can_delegate),
    }
    if verdict.state is AuthState.NO_PERMISSION and old in (AuthState.ACTIVE, AuthState.EXPIRING, AuthState.READ_ONLY):
        values["reason_code"] = "withdrawn"  # it was there before: the client took it back
    if verdict.is_good:
        values |= _sealed_tokens(turn, verdict)
        until = _valid_until(turn, row)
        values["valid_until"] = to_text(until) if until else None
    elif verdict.reason_code != "unreachable":
        values |= {"sealed_access": None, "access_until": None, "sealed_refresh": None, "refresh_until": None}
        if verdict.state is not AuthState.EXPIRED:
            values["valid_until"] = None
    with turn.office.db.write() as connection:
        authorizations.move(connection, turn.now, turn.client_id, act, old, verdict.state, **values)
        audit(
            connection,
            turn.now,
            None,
            f"auth.{act}",
            client_id=turn.client_id,
            state=verdict.state,
            code=verdict.reason_code,
        )
    turn.access = None


def _put_back(turn: Turn, row: sqlite3.Row, verdict: Verdict) -> bool:
    """KSeF did not answer: the login that worked before still does. False when there was none."""
    before = restored(row)
    if before is None:
        return False
    state, values = before
    reason = f"Nowa autoryzacja nieudana, działa poprzednia. {verdict.reason}"
    values |= {"intent": "", "step_failed": 0, "reason_code": "unreachable", "reason": reason}
    with turn.office.db.write() as connection:
        authorizations.move(connection, turn.now, turn.client_id, "finish", AuthState.RUNNING, state, **values)
    return True


def _sealed_tokens(turn: Turn, verdict: Verdict) -> dict[str, Any]:
    assert verdict.tokens is not None
    access, refresh = verdict.tokens.access_token, verdict.tokens.refresh_token
    return {
        "reference": verdict.reference,
        "subject": verdict.subject,
        "context_nip": turn.nip,
        "sealed_access": _seal(turn, "access", access.token),
        "access_until": to_text(access.valid_until),
        "sealed_refresh": _seal(turn, "refresh", refresh.token),
        "refresh_until": to_text(refresh.valid_until),
    }


def _valid_until(turn: Turn, row: sqlite3.Row) -> datetime | None:
    """When the authorisation stops without a person: the certificate's end, or the day tokens end by law."""
    if row["method"] == AuthMethod.TOKEN:
        last_day = date.fromisoformat(settings.get(turn.office.db, "token_end"))
        return datetime.combine(last_day, time(23, 59, 59), WARSAW)
    identity = offices.identity(turn.office.db, row["identity_id"])
    return from_text(identity["valid_to"]) if identity is not None else None


_KINDS = {"access": "access_token", "refresh": "refresh_token", "token": "ksef_token"}


def _seal(turn: Turn, what: str, value: Secret) -> bytes:
    return turn.office.sealer.seal(value, client=turn.nip, kind=_KINDS[what], row=str(turn.client_id))


def _opened(turn: Turn, row: sqlite3.Row, what: str) -> Secret | None:
    """A sealed secret of this client; None when there is none or it is not this client's."""
    blob = row[f"sealed_{what}"]
    if blob is None:
        return None
    try:
        return turn.office.sealer.open(blob, client=turn.nip, kind=_KINDS[what], row=str(turn.client_id))
    except Problem as problem:
        if problem.code != "sealed_value_broken":
            raise
        return None


# ---- keeping a login alive


def _kept(turn: Turn, row: sqlite3.Row) -> Access | None:
    if row["access_until"] is None or from_text(row["access_until"]) - turn.now < REFRESH_AHEAD:
        return None
    token = _opened(turn, row, "access")
    return None if token is None else _in_context(turn, row, token)


def _in_context(turn: Turn, row: sqlite3.Row, token: Secret) -> Access | None:
    """The token as access to this client, if it is for this client (rule 1): by its claims, else by its login."""
    context = claims.read(token).context_value or row["context_nip"]
    return Access(turn.nip, token) if context == turn.nip else None


async def _refreshed(turn: Turn, row: sqlite3.Row) -> Access | None:
    refresh = _opened(turn, row, "refresh")
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
            sealed_access=_seal(turn, "access", new.token), access_until=to_text(new.valid_until),
            **({"reason_code": "", "reason": ""} if row["reason_code"] == "unreachable" else {}),
        )  # fmt: skip
    return access


async def _logged_in_again(turn: Turn, row: sqlite3.Row) -> Access:
    """A certificate or a token logs in by itself; what it finds is learned. Raises NoAccess, NotNow, Unknown."""
    if row["method"] not in (AuthMethod.CERTIFICATE, AuthMethod.TOKEN):
        raise NoAccess(row["state"])
    verdict = await _log_in(turn, row, show_steps=False)
    if _is_weather(turn, row, verdict):
        raise Unknown(verdict.reason, cause="timeout")
    _write_verdict(turn, row, "learn", AuthState(row["state"]), verdict)
    if verdict.tokens is None or verdict.state not in (*CAN_SEND, AuthState.READ_ONLY):
        raise NoAccess(verdict.state)
    return Access(turn.nip, verdict.tokens.access_token.token)
