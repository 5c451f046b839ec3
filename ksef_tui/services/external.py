"""Logging in with a signature made elsewhere (design §7): the request to sign, and what comes of the signed one.

Every step is in the database before the next is taken, so any process shows it and any process goes on with it:
no row – fetch a challenge; a signed document – hand it in, once; a reference – ask KSeF until it has judged.
Whoever calls `go_on` holds the client's lease.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from ksef_tui.domain.authorizations import AuthMethod, AuthState, AuthStep
from ksef_tui.domain.problems import Problem
from ksef_tui.domain.roles import Act, Operator, require
from ksef_tui.domain.secret import Secret
from ksef_tui.domain.times import from_text, to_text
from ksef_tui.ksef import operations as op
from ksef_tui.ksef.codes import auth_code
from ksef_tui.ksef.errors import KsefError, Limited, NotReachable, Refused, Unknown
from ksef_tui.ksef.models import TokenPair
from ksef_tui.services import lost_logins
from ksef_tui.services.authorising import restored
from ksef_tui.services.calls import NotNow
from ksef_tui.services.office import Office
from ksef_tui.services.turn import Turn
from ksef_tui.services.verdicts import Verdict, end_replaced, judgement, opened, read_rights, write_verdict
from ksef_tui.store import authorizations, signature_requests
from ksef_tui.store.records import audit

CHALLENGE_LIVES = timedelta(minutes=10)  # facts §4.1
JUDGED_WITHIN = timedelta(minutes=40)  # the token to ask with lives 45 (facts §4.5); OCSP may take minutes of them
KINDS = {"signed": "signed_request", "operation": "operation_token"}
NOT_SIGNED = "Żądania nikt nie podpisał w 10 minut: działa poprzednia autoryzacja."
AGAIN = 2.0  # seconds until the next attempt when there was no connection

# What a login is for, by its tokens and its reference: the verdict on it, or None when it is not the client's
# authorisation and something else goes on with it.
Use = Callable[[Turn, TokenPair, str], Awaitable[Verdict | None]]


@dataclass(frozen=True, slots=True)
class ExternalRequest:
    """What is to be signed, and until when the signed file can be handed in (UTC)."""

    document: bytes
    valid_until: datetime


def request(office: Office, operator: Operator, client_id: int) -> ExternalRequest:
    """The request of a client that waits for a signature. Raises Problem("nothing_to_sign")."""
    require(operator, Act.AUTH_START, client_id)
    asked = signature_requests.get(office.db, client_id)
    if asked is None or authorizations.get(office.db, client_id)["state"] != AuthState.TO_SIGN:
        raise Problem("nothing_to_sign", "Ten klient nie ma żądania do podpisu – najpierw zrób nowe żądanie.")
    return ExternalRequest(asked["document"], from_text(asked["valid_until"]))


async def _authorises(turn: Turn, tokens: TokenPair, reference: str) -> Verdict | None:
    return await read_rights(turn, tokens.access_token.token, tokens=tokens, reference=reference)


async def go_on(turn: Turn, row: sqlite3.Row, use: Use = _authorises) -> None:
    """The next step of a login by an external signature; the intent stays until KSeF has judged or a person is needed."""
    asked = signature_requests.get(turn.office.db, turn.client_id)
    try:
        if asked is None:
            await _fetch(turn, row)
        elif asked["sealed_operation"] is not None:
            await _follow(turn, row, asked, use)
        else:
            await _hand_in(turn, row, asked)
    except NotNow as wait:
        turn.come_back(wait.seconds)
    except Limited as limited:
        turn.come_back(limited.retry_after)


def give_up(turn: Turn) -> None:
    """A request that nobody signed in its ten minutes gives way to the login that worked before, if one did: invoices
    stand no longer than that. Without such a login it stays, and a person makes a new request."""
    asked = signature_requests.get(turn.office.db, turn.client_id)
    if asked is None:
        return
    left = (from_text(asked["valid_until"]) - turn.now).total_seconds()
    if left > 0:
        turn.come_back(left)
        return
    with turn.office.db.write() as connection:
        before = restored(connection, turn.client_id)
        if before is None:
            return
        state, values = before
        values |= {"intent": "", "step_failed": 0, "reason_code": "not_signed", "reason": NOT_SIGNED}
        if authorizations.move(connection, turn.now, turn.client_id, "cancel", AuthState.TO_SIGN, state, **values):
            signature_requests.delete(connection, turn.client_id)
            audit(connection, turn.now, None, "auth.cancel", client_id=turn.client_id, code="not_signed")


async def _fetch(turn: Turn, row: sqlite3.Row) -> None:
    from ksef_tui.ksef import xades

    until = turn.now + CHALLENGE_LIVES  # counted from before the call, so never longer than KSeF counts
    try:
        challenge = (await turn.api.challenge(turn.nip)).challenge
    except Limited:
        raise
    except KsefError as error:
        _finish(turn, row, None, _failed(AuthStep.REQUEST, error))
        return
    document = xades.auth_request(challenge, turn.nip)
    with turn.office.db.write() as connection:
        moved = authorizations.move(
            connection, turn.now, turn.client_id, "export", AuthState.RUNNING, AuthState.TO_SIGN,
            intent="", step=AuthStep.SIGN, step_failed=0, reason_code="", reason="",
        )  # fmt: skip
        if moved:
            signature_requests.put(
                connection, turn.client_id, challenge=challenge, valid_until=until, document=document
            )
            audit(connection, turn.now, None, "auth.export", client_id=turn.client_id, valid_until=to_text(until))


async def _hand_in(turn: Turn, row: sqlite3.Row, asked: sqlite3.Row) -> None:
    """Hand the signed document in: once, for a challenge is good for one login and a lost answer tells nothing (F9)."""
    challenge = asked["challenge"]
    signed = _cannot_or_signed(turn, asked)
    if isinstance(signed, Verdict):
        _finish(turn, row, challenge, signed)
        return
    await turn.ready(op.SUBMIT_SIGNED)
    if not _note(turn, challenge, AuthStep.VERIFY, submitted_at=to_text(turn.now)):
        return
    try:
        started = await turn.api.submit_signed(signed.reveal(), turn.nip)
    except (NotReachable, Limited, NotNow) as error:  # it has not left: the signature is still good
        _note(turn, challenge, AuthStep.SIGN, submitted_at=None)
        if not isinstance(error, NotReachable):
            raise
        turn.come_back(AGAIN)
        return
    except KsefError as error:
        _finish(turn, row, challenge, _failed(AuthStep.VERIFY, error))
        return
    operation = turn.office.sealer.seal(
        started.authentication_token.token, client=turn.nip, kind=KINDS["operation"], row=challenge
    )
    if _note(
        turn, challenge, AuthStep.VERIFY,
        sealed_signed=None, reference=started.reference_number, sealed_operation=operation,
    ):  # fmt: skip
        turn.come_back(0.1)


def _cannot_or_signed(turn: Turn, asked: sqlite3.Row) -> Secret | Verdict:
    """The signed document, or why it cannot be handed in (any more)."""
    signed = _opened(turn, asked, "signed")
    if signed is None:
        return Verdict(
            AuthState.FAILED, AuthStep.SIGN, "no_signature", "Podpisanego pliku nie ma – zrób nowe żądanie do podpisu."
        )
    if asked["submitted_at"] is not None:
        return Verdict(
            AuthState.FAILED, AuthStep.VERIFY, "unreachable",
            "Nie wiadomo, czy KSeF przyjął podpisane żądanie, a drugi raz przyjąć go nie może – podpisz nowe.",
        )  # fmt: skip
    if from_text(asked["valid_until"]) <= turn.now:
        return Verdict(
            AuthState.FAILED, AuthStep.SIGN, "challenge_expired",
            "Nie udało się przekazać podpisu w ciągu 10 minut, KSeF nie odpowiadał – podpisz nowe żądanie.",
        )  # fmt: skip
    return signed


async def _follow(turn: Turn, row: sqlite3.Row, asked: sqlite3.Row, use: Use) -> None:
    """Ask for the judgement once; qualified certificates may wait for OCSP for minutes, and block nothing meanwhile."""
    challenge, reference = asked["challenge"], asked["reference"]
    token = _opened(turn, asked, "operation")
    if token is None:
        lost = "Tego logowania nie da się dokończyć: zapis jest uszkodzony – podpisz nowe żądanie."
        _finish(turn, row, challenge, Verdict(AuthState.FAILED, AuthStep.VERIFY, "broken", lost))
        return
    waited = turn.now - from_text(asked["submitted_at"])
    try:
        answer = await turn.api.auth_status(turn.nip, reference, token)
    except (NotReachable, Unknown) as error:
        if waited < JUDGED_WITHIN:
            turn.come_back(AGAIN)
        else:
            _finish(turn, row, challenge, _failed(AuthStep.VERIFY, error))
        return
    except Limited:
        raise
    except KsefError as error:
        _finish(turn, row, challenge, _failed(AuthStep.VERIFY, error))
        return
    if not auth_code(answer.status.code).terminal:
        if waited < JUDGED_WITHIN:
            turn.come_back(min(5.0, max(0.2, waited.total_seconds() / 10)))
            return
        late = "KSeF nie rozstrzygnął logowania w 40 minut – podpisz nowe żądanie."
        _finish(turn, row, challenge, Verdict(AuthState.FAILED, AuthStep.VERIFY, "timeout", late))
        return
    verdict = judgement(turn, row, answer) or await _redeemed(turn, token, reference, use)
    if verdict is not None:
        replaced = opened(turn, row, "refresh")
        if _finish(turn, row, challenge, verdict):
            await lost_logins.end_before(turn, row, verdict)
            await end_replaced(turn, verdict, replaced, row["reference"])


async def _redeemed(turn: Turn, token: Secret, reference: str, use: Use) -> Verdict | None:
    """The tokens and their rights; None when there was no connection, so that it is tried again. Never after a lost
    answer: they are given once (F24)."""
    try:
        tokens = await turn.api.redeem(turn.nip, token)
    except NotReachable:
        turn.come_back(AGAIN)
        return None
    except Limited:
        raise
    except KsefError as error:
        return _failed(AuthStep.RIGHTS, error)
    return await use(turn, tokens, reference)


def _opened(turn: Turn, asked: sqlite3.Row, what: str) -> Secret | None:
    """A sealed column of the request; None when there is nothing in it or it is not this client's and request's."""
    if asked[f"sealed_{what}"] is None:
        return None
    try:
        return turn.office.sealer.open(
            asked[f"sealed_{what}"], client=turn.nip, kind=KINDS[what], row=asked["challenge"]
        )
    except Problem as problem:
        if problem.code != "sealed_value_broken":
            raise
        return None


def _failed(step: AuthStep, error: KsefError) -> Verdict:
    if isinstance(error, Refused):
        code = str(error.code or error.reason_code or error.status)
        return Verdict(AuthState.FAILED, step, code, error.message)
    return Verdict(AuthState.FAILED, step, "unreachable", f"KSeF nie odpowiada. {error.message}")


def _note(turn: Turn, challenge: str, step: AuthStep, **values: object) -> bool:
    """Write down how far it came, for screens too. False when somebody cancelled it or began anew meanwhile."""
    with turn.office.db.write() as connection:
        noted = signature_requests.note(connection, turn.client_id, challenge, **values)
        if noted:
            authorizations.note(connection, turn.now, turn.client_id, AuthState.RUNNING, step=step, step_failed=0)
        return noted


def _finish(turn: Turn, row: sqlite3.Row, challenge: str | None, verdict: Verdict) -> bool:
    """The end of this request (None: of one that did not come about). False when it is not the one under way any more."""
    with turn.office.db.write() as connection:
        asked, now = (
            signature_requests.get(turn.office.db, turn.client_id),
            authorizations.get(turn.office.db, turn.client_id),
        )
        if (asked["challenge"] if asked else None) != challenge or now["state"] != AuthState.RUNNING:
            return False
        if now["method"] != AuthMethod.EXTERNAL:
            return False
        signature_requests.delete(connection, turn.client_id)
        write_verdict(turn, row, "finish", AuthState.RUNNING, verdict)
    return True
