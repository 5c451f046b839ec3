"""Logging in to KSeF in one client's context, and keeping the login alive (design §7, facts §4).

Whoever calls these holds the client's lease. A token is used only in the context it was issued for (rule 1).
"""

from __future__ import annotations

import asyncio
import json
import sqlite3
from datetime import timedelta

from ksef_tui.domain.authorizations import CAN_SEND, AuthMethod, AuthState, AuthStep, effective
from ksef_tui.domain.problems import Problem
from ksef_tui.domain.secret import Secret
from ksef_tui.domain.staff import masked
from ksef_tui.domain.times import from_text, to_text
from ksef_tui.ksef import claims
from ksef_tui.ksef.api import Access
from ksef_tui.ksef.errors import KsefError, Limited, Refused, Unknown
from ksef_tui.ksef.models import AccessToken
from ksef_tui.services import client_sessions, ending, external, identity_rules, lost_logins, onboarding, personal
from ksef_tui.services.authorising import FORGET
from ksef_tui.services.calls import NotNow
from ksef_tui.services.one_login import log_in
from ksef_tui.services.turn import NoAccess, Turn
from ksef_tui.services.verdicts import (
    Verdict,
    end_login,
    end_replaced,
    is_weather,
    opened,
    read_rights,
    seal,
    write_verdict,
)
from ksef_tui.store import authorizations, offices, onboardings, settings, signature_requests, switches
from ksef_tui.store.records import audit

REFRESH_AHEAD = timedelta(seconds=90)  # an access token this near its end is renewed first
NOT_CHECKED = "Teraz nie sprawdzono: KSeF nie odpowiada."
REVOKE_AGAIN = 30.0  # seconds between attempts to log out of a client that is off the lists
REFRESH_PAUSE = 0.5  # seconds before a refresh that got no answer is asked once more


async def carry_out_intent(turn: Turn) -> None:
    """Do what a person asked for this client's authorisation, if anything; end what logins of its own are left."""
    row = authorizations.get(turn.office.db, turn.client_id)
    by_hand = row["method"] == AuthMethod.EXTERNAL
    if row["intent"] in ("login", "check"):
        try:
            turn.signs_for = personal.who_started(turn, row)
        except Problem as problem:
            _lent(turn, row, problem)
            return
    if row["state"] == AuthState.ENDED:
        await ending.go_on(turn, row)
    elif row["intent"] == "login" and onboarding.is_under_way(turn):
        await onboarding.go_on(turn, row, authorise=_authorise)
    elif row["intent"] == "login":
        await (external.go_on(turn, row) if by_hand else _authorise(turn, row))
    elif row["intent"] == "check":
        await (_check_standing(turn, row) if by_hand else _check(turn, row))
    elif row["intent"] == "revoke":
        await _revoke(turn, row)
    elif row["state"] == AuthState.TO_SIGN and by_hand and not onboarding.is_under_way(turn):
        external.give_up(turn)
    turn.signs_for = None
    await client_sessions.end(turn)


async def access_for(turn: Turn) -> Access:
    """The access token to call with in this client's context: kept, refreshed, or from a new login.

    Raises NoAccess when the authorisation does not work (any more), KsefError for the weather.
    """
    row = authorizations.get(turn.office.db, turn.client_id)
    personal.refuse_to_lend(turn, row)
    if turn.access is not None:
        return turn.access
    until = from_text(row["valid_until"]) if row["valid_until"] else None
    days = settings.get_int(turn.office.db, "expiring_days")
    state = effective(AuthState(row["state"]), until, turn.now, days, row["method"])
    if state not in (*CAN_SEND, AuthState.READ_ONLY):
        raise NoAccess(state)
    _refuse_identity(turn, row)
    turn.access = _kept(turn, row) or await _refreshed(turn, row) or await _logged_in_again(turn, row)
    return turn.access


def _refuse_identity(turn: Turn, row: sqlite3.Row) -> None:
    """A kept login is used only while its identity may work here. Raises NoAccess; the authorisation says why."""
    if row["method"] != AuthMethod.CERTIFICATE:
        return
    problem = identity_rules.refusal(turn.office, turn.client, offices.identity(turn.office.db, row["identity_id"]))
    if problem is None:
        return
    if problem.code == identity_rules.STOPPED:
        with turn.office.db.write() as connection:
            identity_rules.stand_still(connection, turn.now, row, problem.message)
        raise NoAccess(AuthState.BLOCKED)
    verdict = Verdict(AuthState.FAILED, AuthStep.SIGN, problem.code, problem.message)
    write_verdict(turn, row, "learn", AuthState(row["state"]), verdict)
    raise NoAccess(AuthState.FAILED)


async def standing_access(turn: Turn, row: sqlite3.Row) -> Access | None:
    """The access token that is kept or refreshed, whatever the state says; never by a new login. Raises KsefError."""
    return _kept(turn, row) or await _refreshed(turn, row)


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
    kind, _, value = row["subject"].partition(":")
    whom = f" dla {masked(kind, value)}" if value else ""
    reason = f"{turn.client['name']}: KSeF odmówił, brakuje{whom} uprawnienia {needed}."
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
        verdict = await log_in(turn, row, show_steps=True)
    except NotNow as wait:
        turn.come_back(wait.seconds)
        return
    await _learned(turn, row, "finish", AuthState.RUNNING, verdict)


async def _check(turn: Turn, row: sqlite3.Row) -> None:
    """A fresh login tells the truth about rights: a kept token would show yesterday's (facts §4.5)."""
    try:
        verdict = await log_in(turn, row, show_steps=False)
    except NotNow as wait:
        turn.come_back(wait.seconds)
        return
    old = AuthState(row["state"])
    if is_weather(turn, row, verdict) and old is not AuthState.FAILED:  # it says nothing about rights
        _note_weather(turn, row, verdict.reason)
        return
    await _learned(turn, row, "learn", old, verdict)


async def _learned(turn: Turn, row: sqlite3.Row, act: str, old: AuthState, verdict: Verdict) -> None:
    """Write down how a login ended. The one that stood before ends at KSeF when a new one takes its place, or when an
    owner's certificate is thrown out (F31, F32)."""
    replaced = opened(turn, row, "refresh")
    written = write_verdict(turn, row, act, old, verdict)
    await lost_logins.end_before(turn, row, verdict)
    change = switches.get(turn.office.db, turn.client_id)
    if change is None or change["phase"] == "ending":  # a change of identity sees to it, whatever happens
        await end_replaced(turn, verdict, replaced, row["reference"])
    thrown_out = verdict.reason_code in (identity_rules.OWNER_CERTIFICATE, identity_rules.NOT_OWNER)
    if written and thrown_out and replaced is not None:
        await end_login(turn, replaced, row["reference"])


async def look(turn: Turn, row: sqlite3.Row) -> bool:
    """Ask KSeF about a login that stands, though nobody asked (F28); False when KSeF could not answer, and nothing is
    changed. A person's certificate and a signature made elsewhere sign nothing: a refreshed token tells their rights.

    Raises NotNow, Limited.
    """
    identity = offices.identity(turn.office.db, row["identity_id"]) if row["identity_id"] else None
    old = AuthState(row["state"])
    if row["method"] == AuthMethod.EXTERNAL or (identity is not None and identity_rules.is_personal(identity)):
        try:
            access = await _refreshed(turn, row)
            if access is None:
                await _lapsed(turn, row)
                return True
            verdict = await read_rights(turn, access.token)
        except Limited:
            raise
        except KsefError:
            return False
        write_verdict(turn, row, "learn", old, verdict)
        return True
    verdict = await log_in(turn, row, show_steps=False)
    if is_weather(turn, row, verdict):
        return False
    await _learned(turn, row, "learn", old, verdict)
    return True


async def _lapsed(turn: Turn, row: sqlite3.Row) -> None:
    """A login that cannot be refreshed any more and that only a person can make anew: an external one has ended, a
    personal certificate signs when its owner sends or checks."""
    if row["method"] == AuthMethod.EXTERNAL:
        write_verdict(turn, row, "learn", AuthState(row["state"]), _over())
        return
    refresh = opened(turn, row, "refresh")
    if refresh is not None:
        await end_login(turn, refresh, row["reference"])
    with turn.office.db.write() as connection:
        authorizations.note(
            connection, turn.now, turn.client_id, AuthState(row["state"]),
            sealed_refresh=None, refresh_until=None, sealed_access=None, access_until=None,
        )  # fmt: skip


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
        _note_weather(turn, row, f"KSeF nie odpowiada. {weather.message}")
        return
    write_verdict(turn, row, "learn", old, verdict)


def _over() -> Verdict:
    """A login by an external signature that ended: its time is over, it was revoked, or the rights were taken back."""
    reason = "Logowanie podpisem zewnętrznym skończyło się w KSeF – zrób nowe żądanie do podpisu."
    return Verdict(AuthState.EXPIRED, AuthStep.SIGN, "sign_again", reason)


def _note_weather(turn: Turn, row: sqlite3.Row, reason: str) -> None:
    """A check that KSeF did not answer changes nothing; what was wrong before is still wrong, and is still said."""
    state = AuthState(row["state"])
    known = row["reason"].removesuffix(NOT_CHECKED).rstrip()
    if known and state not in CAN_SEND:
        reason = f"{known} {NOT_CHECKED}"
    with turn.office.db.write() as connection:
        authorizations.note(
            connection, turn.now, turn.client_id, state, intent="", reason_code="unreachable", reason=reason
        )


async def _revoke(turn: Turn, row: sqlite3.Row) -> None:
    """End the login at KSeF (F32), then forget it here. Without an answer it is not over, and the row says so."""
    refresh = opened(turn, row, "refresh")
    if refresh is not None and row["refresh_until"] and from_text(row["refresh_until"]) > turn.now:
        try:
            if lost := lost_logins.suspected(turn) - {row["reference"]}:
                access = await standing_access(turn, row)
                await lost_logins.end(turn, access, lost)
            await turn.api.end_auth_session(turn.nip, refresh)
        except Refused:
            pass  # it had ended before
        except KsefError as error:
            if turn.client["archived_at"] is not None:  # nobody looks at it any more: it is tried until KSeF answers
                turn.come_back(error.retry_after if isinstance(error, Limited) else REVOKE_AGAIN)
                return
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
        onboardings.drop(connection, turn.now, turn.client_id)
        audit(connection, turn.now, None, "auth.revoked", client_id=turn.client_id)
    turn.access = None


# ---- keeping a login alive


def _kept(turn: Turn, row: sqlite3.Row) -> Access | None:
    if row["access_until"] is None or from_text(row["access_until"]) - turn.now < REFRESH_AHEAD:
        return None
    token = opened(turn, row, "access")
    return None if token is None else _in_context(turn, row, token)


def _in_context(turn: Turn, row: sqlite3.Row, token: Secret) -> Access | None:
    """The token as access to this client, if it is for this client (rule 1): by its claims, else by its login."""
    said = claims.read(token)
    if (said.context_value or row["context_nip"]) != turn.nip:
        return None
    if row["method"] == AuthMethod.CERTIFICATE:  # the link of a NIP and a PESEL may be younger than the login (F31)
        identity = offices.identity(turn.office.db, row["identity_id"])
        if said.permissions and identity_rules.owner_refusal(turn.office, turn.client, identity, said.permissions):
            return None
    return Access(turn.nip, token)


async def _refreshed(turn: Turn, row: sqlite3.Row) -> Access | None:
    refresh = opened(turn, row, "refresh")
    if refresh is None or row["refresh_until"] is None or from_text(row["refresh_until"]) <= turn.now:
        return None
    new = await _asked_to_refresh(turn, row, refresh)
    if new is None:
        return None
    access = _in_context(turn, row, new.token)
    if access is None:
        return None
    works = AuthState(row["state"]) in CAN_SEND  # else the reason says more than that KSeF answers again
    with turn.office.db.write() as connection:
        authorizations.note(
            connection, turn.now, turn.client_id, AuthState(row["state"]),
            sealed_access=seal(turn, "access", new.token), access_until=to_text(new.valid_until),
            **({"reason_code": "", "reason": ""} if row["reason_code"] == "unreachable" and works else {}),
        )  # fmt: skip
    return access


async def _asked_to_refresh(turn: Turn, row: sqlite3.Row, refresh: Secret) -> AccessToken | None:
    """A new access token; None when a new login is needed: KSeF refused, in whatever words, or twice gave no answer to
    what it can be asked any number of times (F25). A login that only a person can make anew waits for better weather."""
    for last in (False, True):
        try:
            return await turn.api.refresh(turn.nip, refresh)
        except Refused:
            return None
        except Unknown:
            if last and row["method"] == AuthMethod.EXTERNAL:
                raise
            if not last:
                await asyncio.sleep(REFRESH_PAUSE)
    return None


async def _logged_in_again(turn: Turn, row: sqlite3.Row) -> Access:
    """A certificate or a token logs in by itself; what it finds is learned. Raises NoAccess, NotNow, Unknown."""
    if row["method"] == AuthMethod.EXTERNAL:  # only a person can: the client stands until somebody signs
        write_verdict(turn, row, "learn", AuthState(row["state"]), _over())
        raise NoAccess(AuthState.EXPIRED)
    try:
        turn.signs_for = personal.whose_work(turn, row)
    except Problem as problem:
        if turn.operator is not None:
            raise
        lent = Verdict(AuthState.FAILED, AuthStep.SIGN, problem.code, problem.message)
        write_verdict(turn, row, "learn", AuthState(row["state"]), lent)
        raise NoAccess(AuthState.FAILED) from None
    verdict = await log_in(turn, row, show_steps=False)
    turn.signs_for = None
    if is_weather(turn, row, verdict):
        raise Unknown(verdict.reason, cause="timeout")
    await _learned(turn, row, "learn", AuthState(row["state"]), verdict)
    if verdict.tokens is None or verdict.state not in (*CAN_SEND, AuthState.READ_ONLY):
        raise NoAccess(verdict.state)
    return Access(turn.nip, verdict.tokens.access_token.token)
