"""What becomes of a certificate's clients when it is renewed or revoked (design §7; F23, F32, F33).

Each client is served under its own lease: renewed, its authorisation goes over to the new certificate – the same
subject, so what was sent can still be followed – and is checked; revoked, its logins are ended at KSeF and it stands
until somebody authorises it anew.
"""

from __future__ import annotations

import sqlite3
from datetime import timedelta

from ksef_tui.domain.authorizations import AuthMethod, AuthState
from ksef_tui.domain.roles import Act
from ksef_tui.domain.times import from_text, to_text, warsaw
from ksef_tui.ksef.codes import certificate_refusal
from ksef_tui.ksef.errors import KsefError, Limited, NotReachable, Refused, Unauthorized, Unknown
from ksef_tui.ksef.models import Access, AuthSession
from ksef_tui.services import enrolment, login
from ksef_tui.services.calls import NotNow
from ksef_tui.services.office import Office
from ksef_tui.services.turn import NoAccess, Turn
from ksef_tui.store import authorizations, certificates, offices, settings
from ksef_tui.store.records import audit

KNOWN_NO_GOOD = 25009
REVOKED = "certificate_revoked"
_WORKS = (AuthState.ACTIVE, AuthState.EXPIRING, AuthState.READ_ONLY)
_CHECKED = (*_WORKS, AuthState.EXPIRED)

# Clients whose identity is no more, for the worker; ends of revoked ones are behind them when no login is left.
CLIENTS_WITH_WORK = """
SELECT client_id FROM enrolment WHERE state NOT IN ('done', 'failed')
UNION SELECT client_id FROM revocation WHERE state IN ('asked', 'unused')
UNION SELECT a.client_id FROM identity i JOIN authorization a ON a.identity_id = i.id
  WHERE (i.replaced_by IS NOT NULL AND a.method = 'certificate')
     OR (i.revoked_at IS NOT NULL AND a.method = 'certificate' AND (a.sealed_refresh IS NOT NULL OR a.state <> 'failed'))
"""


async def follow(turn: Turn) -> None:
    """Before anything is done for a client: go over to the new certificate, or end what the revoked one has opened."""
    row = authorizations.get(turn.office.db, turn.client_id)
    identity = offices.identity(turn.office.db, row["identity_id"]) if row["identity_id"] is not None else None
    if identity is None or row["method"] != AuthMethod.CERTIFICATE:
        return
    if identity["revoked_at"] is not None and identity["replaced_by"] is None:
        await _stands(turn, row, identity)
    elif identity["replaced_by"] is not None:
        _goes_over(turn, row, identity)


def _goes_over(turn: Turn, row: sqlite3.Row, old: sqlite3.Row) -> None:
    new = _newest(turn.office, old)
    state = AuthState(row["state"])
    values: dict[str, object] = {"identity_id": new["id"]}
    if row["valid_until"] is not None:
        values["valid_until"] = new["valid_to"]
    if not row["intent"] and state in _CHECKED:
        values["intent"] = "check"
    with turn.office.db.write() as connection:
        if authorizations.note(connection, turn.now, turn.client_id, state, **values):
            if new["operator_id"] is not None:  # who renewed a personal certificate asked for this check too
                owner = offices.operator_by_id(turn.office.db, new["operator_id"])
                audit(connection, turn.now, owner, Act.AUTH_CHECK, client_id=turn.client_id)
            audit(connection, turn.now, None, "certificate.follows", client_id=turn.client_id, label=new["label"])


def _newest(office: Office, identity: sqlite3.Row) -> sqlite3.Row:
    """The certificate at the end of a line of renewals."""
    while identity["replaced_by"] is not None:
        following = offices.identity(office.db, identity["replaced_by"])
        assert following is not None
        identity = following
    return identity


async def _stands(turn: Turn, row: sqlite3.Row, identity: sqlite3.Row) -> None:
    """First nothing is sent any more; then the logins are ended, all that were made by certificate: who stole it may
    have made some (F32). What cannot be ended now is tried again."""
    state = AuthState(row["state"])
    day = f"{warsaw(from_text(identity['revoked_at'])):%d.%m.%Y}"
    reason = f"Certyfikat profilu {identity['label']} odwołano {day} – autoryzuj klienta innym profilem."
    if row["reason_code"] != REVOKED:
        act = "finish" if state is AuthState.RUNNING else "learn"
        with turn.office.db.write() as connection:
            authorizations.move(
                connection, turn.now, turn.client_id, act, state, AuthState.FAILED,
                intent="", fallback=None, step_failed=1, reason_code=REVOKED, reason=reason, valid_until=None,
            )  # fmt: skip
        row = authorizations.get(turn.office.db, turn.client_id)
    try:
        access = await login.standing_access(turn, row)
        if access is not None:
            await _end_logins(turn, access)
    except NotNow as wait:
        turn.come_back(wait.seconds)
        return
    except Limited as limited:
        turn.come_back(limited.retry_after)
        return
    except (NotReachable, Unknown):
        turn.come_back(enrolment.AGAIN)
        return
    except KsefError:
        pass  # it had ended before
    with turn.office.db.write() as connection:
        authorizations.note(
            connection, turn.now, turn.client_id, AuthState.FAILED,
            sealed_access=None, access_until=None, sealed_refresh=None, refresh_until=None, reason_code=REVOKED, reason=reason,
        )  # fmt: skip
        audit(connection, turn.now, None, "certificate.logins_ended", client_id=turn.client_id)
    turn.access = None


async def _end_logins(turn: Turn, access: Access) -> None:
    for one in await turn.api.auth_sessions(access):
        if not one.is_current and _by_certificate(one):
            try:
                await turn.api.end_auth_session(turn.nip, access.token, one.reference_number)
            except (Limited, Unauthorized):
                raise
            except Refused:
                continue
    await turn.api.end_auth_session(turn.nip, access.token)


def _by_certificate(one: AuthSession) -> bool:
    """Whether somebody logged in with a signature, by whatever name KSeF calls it."""
    category = one.authentication_method_info.category if one.authentication_method_info is not None else ""
    return category in ("", "XadesSignature") and one.authentication_method != "Token"


# ---- revoking


async def revoke(turn: Turn) -> None:
    """Revoke what was asked in this client's context; a renewed certificate only when nobody uses it any more."""
    for row in certificates.revocations(turn.office.db, turn.client_id):
        if row["state"] == "unused" and not _is_unused(turn.office, row["identity_id"]):
            turn.come_back(enrolment.AGAIN)
            continue
        try:
            await turn.api.revoke_certificate(await login.access_for(turn), row["serial"], row["reason"])
        except NoAccess:
            _end(turn, row, "failed", enrolment.NO_LOGIN)
        except NotNow as wait:
            turn.come_back(wait.seconds)
        except Unauthorized:
            raise
        except Limited as limited:
            turn.come_back(limited.retry_after)
        except (NotReachable, Unknown):
            turn.come_back(enrolment.AGAIN)
        except Refused as refused:
            if KNOWN_NO_GOOD in refused.codes:
                _end(turn, row, "done", "")
            else:
                _end(turn, row, "failed", certificate_refusal(refused.code) or refused.message)
        else:
            _end(turn, row, "done", "")


def _is_unused(office: Office, identity_id: int) -> bool:
    """Whether every client went over, and the new certificate has proved itself with one of them."""
    if certificates.users(office.db, identity_id):
        return False
    old = offices.identity(office.db, identity_id)
    assert old is not None
    new = _newest(office, old)
    rows = office.db.rows("SELECT state, intent, checked_at FROM authorization WHERE identity_id = ?", (new["id"],))
    if any(row["intent"] for row in rows):
        return False
    return not rows or any(
        row["state"] in _WORKS and row["checked_at"] is not None and row["checked_at"] >= new["created_at"]
        for row in rows
    )


def _end(turn: Turn, row: sqlite3.Row, state: str, message: str) -> None:
    """Revoked, the key is destroyed, and clients that still use it are told; refused, everything stays as it was."""
    office, now = turn.office, turn.now
    with office.db.write() as connection:
        certificates.end_revocation(connection, now, row["id"], state, message)
        if state == "done" and row["identity_id"] is not None:
            offices.revoke_identity(connection, now, row["identity_id"])
            offices.remove_identity(connection, now, row["identity_id"])
            enrolment.wake(turn, connection, row["identity_id"])
        if state == "done" and row["enrolment_id"] is not None:
            one = certificates.get(office.db, row["enrolment_id"])
            certificates.move(
                connection, now, one["id"], "done", "failed",
                reason_code="revoked", reason="Certyfikat odwołany.", sealed_key=None,
            )  # fmt: skip
        enrolment.tell(turn, connection)
        audit(connection, now, None, f"certificate.revoke.{state}", serial=row["serial"], reason=row["reason"])


# ---- renewing ahead of time


def ending(office: Office) -> list[sqlite3.Row]:
    """The identities in use, by KSeF, that end within `renew_days` and have no successor on its way."""
    last = office.clock() + timedelta(days=settings.get_int(office.db, "renew_days"))
    return office.db.rows(
        "SELECT * FROM identity i WHERE removed_at IS NULL "
        "AND replaced_by IS NULL AND client_id IS NULL AND kind = 'ksef' AND valid_to <= ? "
        "AND valid_to > ? AND NOT EXISTS (SELECT 1 FROM enrolment e WHERE e.renews = i.id AND e.state NOT IN ('done', 'failed'))",
        (to_text(last), to_text(office.clock())),
    )


def moves(office: Office) -> bool:
    """Whether an order or a revocation is under way, or a client has to go over."""
    if office.db.value(
        "SELECT 1 FROM enrolment WHERE state NOT IN ('done', 'failed') AND reason_code <> 'office_not_authorised' LIMIT 1"
    ):
        return True
    if any(
        row["state"] == "asked" or _is_unused(office, row["identity_id"]) for row in certificates.revocations(office.db)
    ):
        return True
    return bool(
        office.db.value(
            "SELECT 1 FROM identity i JOIN authorization a ON a.identity_id = i.id WHERE a.method = 'certificate' AND "
            "(i.replaced_by IS NOT NULL OR (i.revoked_at IS NOT NULL AND a.sealed_refresh IS NOT NULL))"
        )
    )
