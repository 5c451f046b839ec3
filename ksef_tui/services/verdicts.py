"""What became of a login: KSeF's judgement, the rights that came with it, and how both are written down (facts §4, §7).

Whoever calls these holds the client's lease.
"""

from __future__ import annotations

import json
import sqlite3
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from typing import Any

from ksef_tui.domain.authorizations import AuthMethod, AuthState, AuthStep, effective
from ksef_tui.domain.problems import Problem
from ksef_tui.domain.secret import Secret
from ksef_tui.domain.staff import masked
from ksef_tui.domain.times import WARSAW, from_text, to_text
from ksef_tui.ksef import claims
from ksef_tui.ksef.api import Access
from ksef_tui.ksef.api_permissions import PersonalRights
from ksef_tui.ksef.codes import auth_code
from ksef_tui.ksef.errors import KsefError, Refused
from ksef_tui.ksef.models import AuthStatus, TokenPair
from ksef_tui.services import identity_rules
from ksef_tui.services.authorising import restored
from ksef_tui.services.calls import NotNow
from ksef_tui.services.turn import Turn
from ksef_tui.store import authorizations, limits, offices, onboardings, settings
from ksef_tui.store.records import LEFT, audit

NO_PERMISSIONS, BLOCKED_BY_MF = 415, 480
CERTIFICATE_CODES = ("460", "21115")  # what KSeF also says while its own check of certificates is down (F41)
Proof = sqlite3.Row | dict[str, Any]  # a client's authorisation, or the way that is only tried
_OF_THE_SUBJECT = (str(NO_PERMISSIONS), str(BLOCKED_BY_MF))  # judgements about who it is, not about the certificate
_WORKS = (AuthState.ACTIVE, AuthState.EXPIRING, AuthState.READ_ONLY)


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
    stands: bool = False  # about a login that stands: there are no new tokens, the old ones are kept

    @property
    def is_good(self) -> bool:
        """Whether there are tokens to work with."""
        return self.tokens is not None


def judgement(turn: Turn, row: Proof, answer: AuthStatus) -> Verdict | None:
    """What KSeF's judgement means for the client; None when it is good."""
    code, known = answer.status.code, auth_code(answer.status.code)
    if code == 200:
        return None
    details = "; ".join(answer.status.details)
    if code == NO_PERMISSIONS:
        return Verdict(AuthState.NO_PERMISSION, AuthStep.RIGHTS, str(code), _nobody_granted(turn, row))
    if code == BLOCKED_BY_MF:
        return Verdict(AuthState.BLOCKED, AuthStep.VERIFY, str(code), f"{known.sentence} {known.what_to_do}")
    reason = f"{known.sentence} {f'({details}) ' if details else ''}{known.what_to_do}".strip()
    return Verdict(AuthState.FAILED, AuthStep.VERIFY, str(code), reason)


def _nobody_granted(turn: Turn, row: Proof) -> str:
    """Which rights are missing, at which client and for which identity (F29, design §7): without any there is no login."""
    identity = offices.identity(turn.office.db, row["identity_id"]) if row["identity_id"] else None
    if identity is not None:
        whom = f"dla {identity_rules.named(identity)}"
    elif row["method"] == AuthMethod.EXTERNAL:
        whom = "dla osoby albo firmy, która podpisała żądanie"
    else:
        whom = "temu tokenowi"
    return f"{turn.client['name']}: brak uprawnień w KSeF {whom} (wystawianie i przeglądanie faktur)."


async def read_rights(turn: Turn, token: Secret, *, tokens: TokenPair | None = None, reference: str = "") -> Verdict:
    """What an access token may do: claims first, then the query, which also knows delegation (facts §4.6, §7.4).

    `tokens` and `reference` are those of a new login; without them the verdict is about one that stands.
    """
    said = claims.read(token)
    if said.context_value is not None and said.context_value != turn.nip:
        return Verdict(
            AuthState.FAILED, AuthStep.RIGHTS, "wrong_context",
            f"KSeF zalogował do NIP {said.context_value} zamiast {turn.nip} – niczego nie wysłano.",
        )  # fmt: skip
    access = Access(turn.nip, token)
    subject = f"{said.subject_type}:{said.subject_value}" if said.subject_value else ""
    rights = set(said.permissions)
    can_delegate = False
    try:
        # an owner may do everything; at the office's own company the list is that of all its clients
        known = PersonalRights([], ()) if "Owner" in rights else await turn.api.personal_rights(access)
        if known.owner_permissions and not said.permissions:  # only owners get any (facts §7.5)
            rights.add("Owner")
        for grant in known.grants:
            if grant.permission_state == "Active" and grant.permission_scope in ("InvoiceWrite", "InvoiceRead"):
                if grant.context_identifier is not None and grant.context_identifier.value not in ("", turn.nip):
                    continue
                can_delegate = can_delegate or (grant.can_delegate and grant.permission_scope == "InvoiceWrite")
                if not said.permissions:
                    rights.add(grant.permission_scope)
    except KsefError:  # an empty or missing list is not "no rights" (field notes 4.2): the claims stand
        can_delegate = False
    if turn.keeper.limits_are_stale(turn.nip):
        await read_limits(turn, access)
    state, reason = AuthState.ACTIVE, ""
    if not rights & {"Owner", "InvoiceWrite"}:
        state = AuthState.READ_ONLY if "InvoiceRead" in rights else AuthState.NO_PERMISSION
        missing = "wystawianie faktur" if state is AuthState.READ_ONLY else "wystawianie i przeglądanie faktur"
        whom = (
            f" dla {masked(said.subject_type, said.subject_value)}" if said.subject_type and said.subject_value else ""
        )
        reason = f"{turn.client['name']}: klient nie nadał{whom} uprawnienia: {missing}."
    return Verdict(
        state,
        AuthStep.RIGHTS,
        reason_code="" if state is AuthState.ACTIVE else "missing-permissions",
        reason=reason,
        tokens=tokens,
        reference=reference,
        subject=subject,
        rights=tuple(sorted(rights)),
        can_delegate=can_delegate,
        stands=tokens is None,
    )


async def read_limits(turn: Turn, access: Access) -> None:
    """The real limits of this context (facts §12); without them those that are known are kept."""
    try:
        known = await turn.api.rate_limits(access)
    except (KsefError, NotNow):
        return
    with turn.office.db.write() as connection:
        limits.put_limits(
            connection, turn.now, turn.nip, {g: (r.per_second, r.per_minute, r.per_hour) for g, r in known.items()}
        )


def is_weather(turn: Turn, row: Proof, verdict: Verdict) -> bool:
    """Whether a failed login says nothing lasting: no answer, a fault of KSeF (500, 550), or "bad certificate" for one
    that worked within a day and has not expired (F41)."""
    code = verdict.reason_code
    if code in ("unreachable", "timeout") or (
        code.isdigit() and not auth_code(int(code)).lasting and verdict.state is AuthState.FAILED
    ):
        return True
    return code in CERTIFICATE_CODES and _let_in_today(turn, row)


def _let_in_today(turn: Turn, row: Proof) -> bool:
    """Whether KSeF let the same identity in within a day, at this client or another."""
    seen = turn.office.db.value(
        "SELECT max(a.checked_at) FROM authorization a JOIN identity i ON i.id = a.identity_id WHERE a.identity_id = ? "
        "AND i.valid_to > ? AND (a.state IN ('active', 'expiring', 'read_only') OR a.fallback IS NOT NULL)",
        (row["identity_id"], to_text(turn.now)),
    )
    return seen is not None and turn.now - from_text(seen) < timedelta(days=1)


def write_verdict(turn: Turn, row: sqlite3.Row, act: str, old: AuthState, verdict: Verdict) -> bool:
    """Write down how a login or a check ended; False when what worked before was put back instead. It is given up only
    for something that works, or for a judgement about the very identity that is in use."""
    with turn.office.db.write() as connection:
        if _suspects_identity(turn, row, act, old, verdict):
            offices.suspect_identity(connection, turn.now, row["identity_id"])
        onboardings.judged(
            connection, turn.now, turn.client_id, row["identity_id"],
            finishing=act == "finish", works=verdict.state in _WORKS,
            reason_code=verdict.reason_code, reason=verdict.reason,
        )  # fmt: skip
        spares = is_weather(turn, row, verdict) or (not verdict.is_good and _is_another_way(turn, row, verdict))
        if act == "finish" and spares and put_back(turn, row, verdict):
            return False
        _write(turn, connection, row, act, old, verdict)
    turn.access = None
    return True


def _suspects_identity(turn: Turn, row: sqlite3.Row, act: str, old: AuthState, verdict: Verdict) -> bool:
    """Whether this 480 asks for a test of the identity at home: each block once, and not a block at home (F27)."""
    if verdict.reason_code != str(BLOCKED_BY_MF) or row["method"] != AuthMethod.CERTIFICATE or turn.client["office"]:
        return False
    return act == "finish" or old is not AuthState.BLOCKED


def _write(
    turn: Turn, connection: sqlite3.Connection, row: sqlite3.Row, act: str, old: AuthState, verdict: Verdict
) -> None:
    values: dict[str, Any] = {
        "fallback": None,
        "step": verdict.step,
        "step_failed": int(verdict.state not in (AuthState.ACTIVE, AuthState.EXPIRING)),
        "reason_code": verdict.reason_code,
        "reason": verdict.reason,
        "checked_at": to_text(turn.now),
        "rights": json.dumps(verdict.rights),
        "can_delegate": int(verdict.can_delegate),
        **_withdrawn(turn, row, act, old, verdict),
    }
    if act == "finish" or authorizations.get(turn.office.db, turn.client_id)["intent"] == row["intent"]:
        values["intent"] = ""  # what somebody asked for meanwhile is still to be done
    if verdict.is_good:
        values |= _sealed_tokens(turn, verdict)
        until = _valid_until(turn, row, verdict)
        values["valid_until"] = to_text(until) if until else None
    elif verdict.reason_code != "unreachable" and not (verdict.stands and verdict.state in _WORKS):
        values |= {"sealed_access": None, "access_until": None, "sealed_refresh": None, "refresh_until": None}
        if verdict.state is not AuthState.EXPIRED:
            values["valid_until"] = None
    if _still_waits(row, old, verdict):
        authorizations.note(connection, turn.now, turn.client_id, old, **values)
    else:
        authorizations.move(connection, turn.now, turn.client_id, act, old, verdict.state, **values)
    audit(
        connection, turn.now, None, f"auth.{act}",
        client_id=turn.client_id, state=verdict.state, code=verdict.reason_code,
    )  # fmt: skip


def _withdrawn(turn: Turn, row: sqlite3.Row, act: str, old: AuthState, verdict: Verdict) -> dict[str, Any]:
    """That a client took back what it had granted to this very subject, and when that was seen first: later checks do
    not move the day (F28)."""
    if verdict.state in (AuthState.ACTIVE, AuthState.EXPIRING) or (act == "finish" and _is_another_subject(turn, row)):
        return {"withdrawn_at": None}
    if verdict.state not in (AuthState.NO_PERMISSION, AuthState.READ_ONLY):
        return {}
    before = json.loads(row["fallback"]) if act == "finish" and row["fallback"] is not None else row
    could_issue = bool(set(json.loads(before["rights"])) & {"Owner", "InvoiceWrite"})
    if verdict.state is AuthState.READ_ONLY:
        seen = to_text(turn.now) if could_issue else row["withdrawn_at"]
        gone = f"{turn.client['name']}: klient odebrał uprawnienie: wystawianie faktur ({_whom(verdict.subject)})."
        return {"withdrawn_at": seen, **({"reason": gone} if seen is not None else {})}
    worked = old in _WORKS or (act == "finish" and row["fallback"] is not None)
    seen = to_text(turn.now) if worked else row["withdrawn_at"]
    return {"withdrawn_at": seen, "reason_code": "withdrawn"} if seen is not None else {}


def _whom(subject: str) -> str:
    """`Nip:5265877635` as sentences name it."""
    kind, _, value = subject.partition(":")
    return f"dla {masked(kind, value)}" if value else "dla biura"


def _is_another_subject(turn: Turn, row: sqlite3.Row) -> bool:
    """Whether another identity was tried than the one that had been let in before."""
    identity = offices.identity(turn.office.db, row["identity_id"]) if row["identity_id"] else None
    return identity is None or row["subject"] != f"{identity['subject_type']}:{identity['subject_value']}"


def _is_another_way(turn: Turn, row: sqlite3.Row, verdict: Verdict) -> bool:
    """Whether what was tried is not what worked before: another identity, or a proof that is new each time. What KSeF
    says of rights and blocks it says of whoever the certificate names, so a renewed certificate is no other way then."""
    if row["method"] in (AuthMethod.EXTERNAL, AuthMethod.TOKEN) or row["fallback"] is None:
        return True
    before = json.loads(row["fallback"])
    if verdict.reason_code in _OF_THE_SUBJECT and before["method"] == row["method"]:
        return _is_another_subject(turn, row)
    return (before["method"], before["identity_id"]) != (row["method"], row["identity_id"])


def _still_waits(row: sqlite3.Row, old: AuthState, verdict: Verdict) -> bool:
    """Whether a client that was sent a letter has not answered it: no more rights than it had given before."""
    if old is not AuthState.REQUESTED:
        return False
    if verdict.state is AuthState.READ_ONLY:
        return set(verdict.rights) <= set(json.loads(row["rights"]))
    return verdict.state in (AuthState.NO_PERMISSION, AuthState.FAILED)


def put_back(turn: Turn, row: sqlite3.Row, verdict: Verdict) -> bool:
    """A new login did not come about: the one that worked before still does. False when there was none."""
    with turn.office.db.write() as connection:
        before = restored(connection, turn.client_id)
        if before is None:
            return False
        state, values = before
        until = from_text(values["valid_until"]) if values["valid_until"] else None
        if effective(state, until, turn.now, 0, values["method"]) is AuthState.EXPIRED:
            return False  # it does not work any more either: what is true now is that the new one failed
        code = "unreachable" if is_weather(turn, row, verdict) else verdict.reason_code
        before_that = "działa poprzednia"
        if state is AuthState.BLOCKED:  # its identity is stopped: the client stays with it until that works again
            code = code if code == "unreachable" else identity_rules.STOPPED
            before_that = "a poprzednia jest zablokowana"
        reason = f"Nowa autoryzacja nieudana, {before_that}. {verdict.reason}"
        values |= {"intent": "", "step_failed": 0, "reason_code": code, "reason": reason}
        authorizations.move(connection, turn.now, turn.client_id, "finish", AuthState.RUNNING, state, **values)
    return True


async def end_replaced(turn: Turn, verdict: Verdict, replaced: Secret | None, reference: str) -> None:
    """A login that a new one replaces is ended at KSeF, or it would live on for days (F32). Best effort."""
    if verdict.is_good and replaced is not None:
        await end_login(turn, replaced, reference)


async def end_login(turn: Turn, refresh: Secret, reference: str = "") -> None:
    """End a login at KSeF, as far as KSeF can be reached: nobody here keeps its tokens. Without an answer its
    `reference` is noted, so that a later login ends it (`lost_logins`)."""
    try:
        await turn.api.end_auth_session(turn.nip, refresh)
    except Refused:
        pass  # it had ended before
    except (KsefError, NotNow):
        if reference:
            with turn.office.db.write() as connection:
                audit(connection, turn.now, None, LEFT, client_id=turn.client_id, reference=reference)


def _sealed_tokens(turn: Turn, verdict: Verdict) -> dict[str, Any]:
    assert verdict.tokens is not None
    access, refresh = verdict.tokens.access_token, verdict.tokens.refresh_token
    return {
        "reference": verdict.reference,
        "subject": verdict.subject,
        "context_nip": turn.nip,
        "sealed_access": seal(turn, "access", access.token),
        "access_until": to_text(access.valid_until),
        "sealed_refresh": seal(turn, "refresh", refresh.token),
        "refresh_until": to_text(refresh.valid_until),
    }


def _valid_until(turn: Turn, row: sqlite3.Row, verdict: Verdict) -> datetime | None:
    """When the authorisation stops without a person: the certificate's end, the day tokens end by law, or the end of
    the refresh token, after which somebody must sign again."""
    if row["method"] == AuthMethod.EXTERNAL:
        return None if verdict.tokens is None else verdict.tokens.refresh_token.valid_until
    if row["method"] == AuthMethod.TOKEN:
        last_day = date.fromisoformat(settings.get(turn.office.db, "token_end"))
        return datetime.combine(last_day, time(23, 59, 59), WARSAW)
    identity = offices.identity(turn.office.db, row["identity_id"])
    return from_text(identity["valid_to"]) if identity is not None else None


_KINDS = {"access": "access_token", "refresh": "refresh_token", "token": "ksef_token"}


def seal(turn: Turn, what: str, value: Secret) -> bytes:
    """A secret of this client, sealed for its column `sealed_<what>`."""
    return turn.office.sealer.seal(value, client=turn.nip, kind=_KINDS[what], row=str(turn.client_id))


def opened(turn: Turn, row: Proof, what: str) -> Secret | None:
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
