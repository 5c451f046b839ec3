"""One login by a certificate or a KSeF token, from the challenge to the rights (facts §4): nothing is written down here
but the steps that screens show.

Whoever calls these holds the client's lease. A token is used only in the context it was issued for (rule 1).
"""

from __future__ import annotations

import asyncio
import sqlite3
from typing import Any

from ksef_tui.domain.authorizations import AuthMethod, AuthState, AuthStep
from ksef_tui.domain.problems import Problem
from ksef_tui.domain.times import from_text
from ksef_tui.ksef.codes import auth_code
from ksef_tui.ksef.errors import Limited, NotReachable, Refused, Unknown
from ksef_tui.ksef.models import AuthStarted
from ksef_tui.services import identity_rules, personal
from ksef_tui.services.calls import NotNow
from ksef_tui.services.turn import Turn
from ksef_tui.services.verdicts import Proof, Verdict, end_login, judgement, opened, read_rights
from ksef_tui.store import authorizations, offices

LOGIN_PATIENCE = 300.0  # seconds for KSeF to judge a login; certificates of the ministry take none of it
UNKNOWN_KEY = 21470
# What a login that was not even tried leads to, by the code of its refusal; else it failed.
_WITHOUT_CALL = {"certificate_expired": AuthState.EXPIRED, identity_rules.STOPPED: AuthState.BLOCKED}


async def log_in(turn: Turn, row: Proof, *, show_steps: bool, stopped_too: bool = False) -> Verdict:
    """Challenge → proof → judgement → rights. Every ending is a Verdict; only NotNow is raised."""
    step = AuthStep.REQUEST

    def at(new: AuthStep) -> None:
        nonlocal step
        step = new
        if show_steps:
            _show_step(turn, new)

    try:
        at(AuthStep.REQUEST)
        started = await _submit(turn, row, at, stopped_too=stopped_too)
        at(AuthStep.VERIFY)
        failed = await _judged(turn, row, started)
        if failed is not None:
            return failed
        tokens = await turn.api.redeem(turn.nip, started.authentication_token.token)
        at(AuthStep.RIGHTS)
        verdict = await read_rights(turn, tokens.access_token.token, tokens=tokens, reference=started.reference_number)
        return await _kept_or_ended(turn, row, verdict)
    except Problem as problem:
        return Verdict(_WITHOUT_CALL.get(problem.code, AuthState.FAILED), step, problem.code, problem.message)
    except Limited as limited:
        raise NotNow(limited.retry_after) from limited
    except (NotReachable, Unknown) as weather:
        return Verdict(AuthState.FAILED, step, "unreachable", f"KSeF nie odpowiada. {weather.message}")
    except Refused as refused:
        return Verdict(
            AuthState.FAILED, step, str(refused.code or refused.reason_code or refused.status), refused.message
        )


async def _kept_or_ended(turn: Turn, row: Proof, verdict: Verdict) -> Verdict:
    """The verdict, or its refusal: a client's owner does not work for the office, and is logged out at once (F31, F32)."""
    if verdict.tokens is None or row["method"] != AuthMethod.CERTIFICATE:
        return verdict
    identity = offices.identity(turn.office.db, row["identity_id"])
    problem = identity_rules.owner_refusal(turn.office, turn.client, identity, verdict.rights)
    if problem is None:
        return verdict
    await end_login(turn, verdict.tokens.refresh_token.token)
    return Verdict(AuthState.FAILED, AuthStep.RIGHTS, problem.code, problem.message)


async def _submit(turn: Turn, row: Proof, at: Any, *, stopped_too: bool) -> AuthStarted:
    if row["method"] == AuthMethod.TOKEN:
        return await _submit_token(turn, row, at, retry=True)
    identity = offices.identity(turn.office.db, row["identity_id"]) if row["identity_id"] else None
    problem = identity_rules.refusal(turn.office, turn.client, identity)
    if problem is not None and not (stopped_too and problem.code == identity_rules.STOPPED):
        raise problem
    assert identity is not None
    personal.refuse_signature(turn, identity)
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
        identity["sealed_key"],
        client=turn.office.nip if identity["client_id"] is None else turn.nip,  # a client's opens for that client alone
        kind="private_key",
        row=identity["seal_row"],
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


async def _submit_token(turn: Turn, row: Proof, at: Any, *, retry: bool) -> AuthStarted:
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


async def _judged(turn: Turn, row: Proof, started: AuthStarted) -> Verdict | None:
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


async def try_identity(turn: Turn, identity_id: int) -> Verdict:
    """Whether KSeF lets an identity in at all, in the context of this turn; the login is ended again, nothing is kept.

    A stopped identity is tried as well: that is what the question is about. Raises NotNow.
    """
    proof: Proof = {"method": AuthMethod.CERTIFICATE, "identity_id": identity_id, "context_nip": ""}
    verdict = await log_in(turn, proof, show_steps=False, stopped_too=True)
    if verdict.tokens is not None:
        await end_login(turn, verdict.tokens.refresh_token.token)
    return verdict
