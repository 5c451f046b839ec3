"""Changing a client's identity, step by step, by whoever holds its lease (F23, F32; design §7).

Everything settles first with the old login; the new one must work before the old one is given up; then the old one is
ended at KSeF. Each step is in the database before the next, so any process goes on where another stopped.
"""

from __future__ import annotations

import sqlite3
from datetime import datetime, timedelta

from ksef_tui.domain.authorizations import CAN_SEND, AuthMethod, AuthState
from ksef_tui.domain.problems import Problem
from ksef_tui.domain.secret import Secret
from ksef_tui.domain.times import from_text, to_text
from ksef_tui.ksef.errors import KsefError, Refused
from ksef_tui.services import authorising, identity_rules, login
from ksef_tui.services.calls import NotNow
from ksef_tui.services.client_views import state_of
from ksef_tui.services.office import Office
from ksef_tui.services.turn import Turn
from ksef_tui.services.wire import left_behind
from ksef_tui.store import authorizations, offices, switches
from ksef_tui.store.records import audit

MOST_TRIES = 6  # logins that KSeF did not answer, before a person must ask again
FIRST_PAUSE = timedelta(minutes=1)
END_AGAIN = 30.0  # seconds until the old login is ended again when KSeF did not answer
_WORKS = (AuthState.ACTIVE, AuthState.EXPIRING, AuthState.READ_ONLY)


async def go_on(turn: Turn) -> None:
    """The next steps of a change of identity, if one is wished for this client."""
    wish = switches.get(turn.office.db, turn.client_id)
    if wish is None:
        return
    row = authorizations.get(turn.office.db, turn.client_id)
    if wish["phase"] == "waiting" and may_begin(turn.office, wish, row) and _begin(turn, wish, row):
        await login.carry_out_intent(turn)
    wish = switches.get(turn.office.db, turn.client_id)
    if wish is not None and wish["phase"] == "login":
        _outcome(turn, wish, authorizations.get(turn.office.db, turn.client_id))
        wish = switches.get(turn.office.db, turn.client_id)
    if wish is not None and wish["phase"] == "ending" and not _rests(wish, turn.now):
        await _end_replaced(turn, wish)
    turn.settling = turn.settling or holds_back(turn.office, turn.client_id)
    if turn.settling:
        turn.flush = True
    if wish is not None and wish["retry_at"] is not None:
        turn.come_back(max(0.0, (from_text(wish["retry_at"]) - turn.now).total_seconds()))


def settled(turn: Turn) -> None:
    """At the end of a pass: what had to be fetched first is there, so the next pass changes the identity."""
    wish = switches.get(turn.office.db, turn.client_id)
    if wish is not None and may_begin(turn.office, wish, authorizations.get(turn.office.db, turn.client_id)):
        turn.come_back(0)


def holds_back(office: Office, client_id: int) -> bool:
    """Whether nothing new is sent for a client because its identity is about to change. One that waits for KSeF to
    answer the new login keeps nothing waiting."""
    wish = switches.get(office.db, client_id)
    return wish is not None and wish["phase"] != "ending" and not _rests(wish, office.clock())


def may_begin(office: Office, wish: sqlite3.Row, row: sqlite3.Row) -> bool:
    """Whether the new identity may log in now: nobody is at it, and nothing is left that only the old one can read."""
    if wish["phase"] != "waiting" or row["intent"] or row["state"] == AuthState.RUNNING:
        return False
    if _rests(wish, office.clock()):
        return False
    return bool(wish["forced"]) or not left_behind(office, wish["client_id"], wish["subject"])


def can_move(office: Office, client_id: int, now: datetime) -> bool:
    """Whether a wish can get on without a person: the opposite of idle (contract, `worker`). One that waits for what the
    old login cannot fetch any more does not, nor one that rests until KSeF answers."""
    wish, row = switches.get(office.db, client_id), authorizations.get(office.db, client_id)
    if wish is None or _rests(wish, now):
        return False
    reads = state_of(office, row["state"], row["valid_until"], row["method"], now) in (*CAN_SEND, AuthState.READ_ONLY)
    return wish["phase"] != "waiting" or reads or may_begin(office, wish, row)


def _rests(wish: sqlite3.Row, now: datetime) -> bool:
    return wish["retry_at"] is not None and from_text(wish["retry_at"]) > now


def _begin(turn: Turn, wish: sqlite3.Row, row: sqlite3.Row) -> bool:
    """Write down that the new identity logs in, together with what has to be ended when it has (F32)."""
    why = _unusable(turn, wish, row)
    if why:
        _give_up(turn, wish, row, why)
        return False
    with turn.office.db.write() as connection:
        current = switches.get(turn.office.db, turn.client_id)
        if current is None or (current["identity_id"], current["phase"]) != (wish["identity_id"], "waiting"):
            return False  # a person thought better of it
        if not authorising.begin(
            connection,
            turn.now,
            row,
            wish["operator_id"],
            method=AuthMethod.CERTIFICATE,
            identity_id=wish["identity_id"],
        ):
            return False
        switches.note(
            connection, turn.client_id, wish["identity_id"],
            phase="login", attempts=wish["attempts"] + 1, retry_at=None, sealed_replaced=row["sealed_refresh"],
        )  # fmt: skip
        audit(connection, turn.now, None, "auth.switch.begin", client_id=turn.client_id, identity=wish["label"])
    turn.access = None
    return True


def _unusable(turn: Turn, wish: sqlite3.Row, row: sqlite3.Row) -> str:
    if row["state"] == AuthState.ENDED:
        return "obsługa klienta jest zakończona"
    refusal = identity_rules.refusal(turn.office, turn.client, offices.identity(turn.office.db, wish["identity_id"]))
    if refusal is not None:
        return refusal.message.removesuffix(".")
    return "jego certyfikat wygasł" if from_text(wish["valid_to"]) <= turn.now else ""


def _give_up(turn: Turn, wish: sqlite3.Row, row: sqlite3.Row, why: str) -> None:
    with turn.office.db.write() as connection:
        switches.delete(connection, turn.client_id)
        said = {} if row["state"] == AuthState.ENDED else {
            "reason_code": "not_switched", "reason": f"Zmiany na profil {wish['label']} nie będzie: {why}."
        }  # fmt: skip
        authorizations.note(connection, turn.now, turn.client_id, AuthState(row["state"]), **said)
        audit(
            connection, turn.now, None, "auth.switch.failed", client_id=turn.client_id, identity=wish["label"], why=why
        )


def _outcome(turn: Turn, wish: sqlite3.Row, row: sqlite3.Row) -> None:
    """What became of the new login: it took over, it was refused for good, or KSeF did not answer."""
    if row["state"] == AuthState.RUNNING:
        return  # a limit is waited for; the login is still to come
    works = row["state"] in _WORKS
    took_over = works and row["method"] == AuthMethod.CERTIFICATE and row["identity_id"] == wish["identity_id"]
    again = not took_over and row["reason_code"] == "unreachable" and wish["attempts"] < MOST_TRIES
    with turn.office.db.write() as connection:
        if took_over and wish["sealed_replaced"] is not None:
            switches.note(connection, turn.client_id, wish["identity_id"], phase="ending", retry_at=None)
        elif again:
            pause = FIRST_PAUSE * 2 ** (wish["attempts"] - 1)
            switches.note(
                connection, turn.client_id, wish["identity_id"], phase="waiting", retry_at=to_text(turn.now + pause)
            )
        else:
            switches.delete(connection, turn.client_id)
        blocked = not again and row["state"] == AuthState.BLOCKED and row["reason_code"] == "unreachable"
        said = {"reason_code": identity_rules.STOPPED} if blocked else {}  # it works again when that identity does
        authorizations.note(connection, turn.now, turn.client_id, AuthState(row["state"]), **said)
        if not again:
            act = "auth.switched" if took_over else "auth.switch.failed"
            audit(
                connection, turn.now, None, act,
                client_id=turn.client_id, identity=wish["label"], code=row["reason_code"],
            )  # fmt: skip


async def _end_replaced(turn: Turn, wish: sqlite3.Row) -> None:
    """End the old login at KSeF, or it would live on for days (F32); until KSeF has answered it is tried again."""
    old = _replaced(turn, wish)
    if old is not None:
        try:
            await turn.api.end_auth_session(turn.nip, old)
        except Refused:
            pass  # it had ended by itself
        except NotNow as wait:
            turn.come_back(wait.seconds)
            return
        except KsefError:
            again = to_text(turn.now + timedelta(seconds=END_AGAIN))
            with turn.office.db.write() as connection:
                switches.note(connection, turn.client_id, wish["identity_id"], retry_at=again)
            turn.come_back(END_AGAIN)
            return
    with turn.office.db.write() as connection:
        switches.delete(connection, turn.client_id)
        row = authorizations.get(turn.office.db, turn.client_id)
        authorizations.note(connection, turn.now, turn.client_id, AuthState(row["state"]))


def _replaced(turn: Turn, wish: sqlite3.Row) -> Secret | None:
    """The old login's refresh token; None when it is not this client's."""
    try:
        return turn.office.sealer.open(
            wish["sealed_replaced"], client=turn.nip, kind="refresh_token", row=str(turn.client_id)
        )
    except Problem as problem:
        if problem.code != "sealed_value_broken":
            raise
        return None
