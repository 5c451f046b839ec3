"""Whether an identity of the office is let in by KSeF at all (F27).

A client's login that ends with 480 says that the ministry blocked this client – or this identity, everywhere. Which of
the two, one login of the same identity in the office's own context tells. It is asked for in the transaction that
writes the 480 down, and carried out by whoever holds the lease of the office's own client.
"""

from __future__ import annotations

from ksef_tui.domain.authorizations import AuthState
from ksef_tui.domain.problems import Problem
from ksef_tui.domain.roles import Act, Operator, require
from ksef_tui.services import identities, identity_rules, one_login, personal
from ksef_tui.services.calls import NotNow
from ksef_tui.services.office import Office
from ksef_tui.services.turn import Turn
from ksef_tui.services.verdicts import BLOCKED_BY_MF, NO_PERMISSIONS, Verdict, is_weather
from ksef_tui.store import offices
from ksef_tui.store.records import audit

AGAIN = 30.0  # seconds until the next attempt when KSeF does not answer
PATIENCE = 90.0


def waits(office: Office) -> bool:
    """Whether an identity waits for its test."""
    return bool(offices.suspected_identities(office.db))


async def test_suspects(turn: Turn) -> None:
    """Test every identity that a client's 480 made suspect; only in the turn of the office's own client."""
    if not turn.client["office"]:
        return
    for identity in offices.suspected_identities(turn.office.db):
        turn.signs_for = personal.who_met_a_480(turn.office, identity)
        try:
            verdict = await one_login.try_identity(turn, identity["id"])
        except NotNow as wait:
            turn.come_back(wait.seconds)
            return
        finally:
            turn.signs_for = None
        if _says_nothing(turn, identity["id"], verdict):
            turn.come_back(AGAIN)
            continue
        with turn.office.db.write() as connection:
            if _is_blocked(verdict):
                identity_rules.stop(turn.office, connection, turn.now, identity)
            else:
                offices.clear_suspicion(connection, identity["id"])
                audit(connection, turn.now, None, "identity.tested", label=identity["label"], code=verdict.reason_code)


def _is_blocked(verdict: Verdict) -> bool:
    return verdict.state is AuthState.BLOCKED and verdict.reason_code == str(BLOCKED_BY_MF)


def _says_nothing(turn: Turn, identity_id: int, verdict: Verdict) -> bool:
    return is_weather(turn, {"identity_id": identity_id}, verdict)


async def resume(office: Office, operator: Operator, label: str) -> None:
    """Let a stopped identity log in again, when KSeF lets it in at home: tested first. Clients that worked with it work
    again; the rest is asked about. An administrator's act; a personal certificate is its owner's to try.

    Raises Problem: no such identity, not stopped, another person's certificate, still blocked, or KSeF does not answer.
    """
    from ksef_tui.services.own_work import own_turn  # late: the worker knows this module

    known = offices.identity_by_label(office.db, label)
    is_own = known is not None and known["operator_id"] == operator.id  # nobody else may try a person's certificate
    require(operator, Act.IDENTITY_ADD if is_own else Act.IDENTITY_RESUME, None)
    identity = identities.named(office, label)
    if identity["stopped_at"] is None:
        raise Problem("not_stopped", f"Profil {label} nie jest zatrzymany.")
    personal.refuse_someone_elses(operator, identity)
    own = office.db.value("SELECT id FROM client WHERE office = 1")
    try:
        async with own_turn(office, own, operator, patience=PATIENCE) as turn:
            verdict = await one_login.try_identity(turn, identity["id"])
            silent = _says_nothing(turn, identity["id"], verdict)
    except NotNow as wait:
        raise Problem("limit", f"Limit zapytań KSeF jest wyczerpany – ponów za {wait.seconds:.0f} s.") from None
    if silent:
        raise Problem("unreachable", f"Profil {label} zostaje zatrzymany: {verdict.reason}")
    if verdict.tokens is None and verdict.reason_code != str(NO_PERMISSIONS):  # who has no rights at home is let in too
        raise Problem("still_blocked", f"Profil {label} zostaje zatrzymany. {verdict.reason}")
    now = office.clock()
    with office.db.write() as connection:
        identity_rules.resume(office, connection, now, identity)
        audit(connection, now, operator, Act.IDENTITY_RESUME, label=label, fingerprint=identity["fingerprint"])
