"""Interactive sessions: opened with their key committed first, closed again and again until KSeF says closed (rule 7)."""

from __future__ import annotations

import secrets
import sqlite3
from dataclasses import dataclass
from datetime import timedelta
from typing import Literal

from ksef_tui.domain.invoices import InvoiceState
from ksef_tui.domain.problems import Problem
from ksef_tui.domain.times import from_text, to_text
from ksef_tui.ksef import operations
from ksef_tui.ksef.api import Access
from ksef_tui.ksef.crypto import SessionKey, encryption_info, new_session_key
from ksef_tui.ksef.errors import KsefError, Refused
from ksef_tui.ksef.http import Order
from ksef_tui.ksef.models import FA3
from ksef_tui.ksef.public_keys import KEY_ENCRYPTION
from ksef_tui.services import login, personal
from ksef_tui.services.calls import LeaseLost, NotNow
from ksef_tui.services.turn import Turn
from ksef_tui.store import authorizations, invoices, pauses, sessions

SESSION_LIFE = timedelta(hours=11)  # no new invoices after that
KSEF_CLOSES_AFTER = timedelta(hours=12)
KEEP_OPEN = 180.0  # seconds that an open session waits for the limit of sending to let its next invoice through
LOOK_AGAIN = 1.0  # seconds at least: what is due after a pass that may send was held back by something else
GIVE_UP_SESSION = timedelta(minutes=10)  # KSeF denies a session for so long before it counts as never opened (F16)
NO_SUCH_SESSION = 21173
MISSING_PERMISSIONS = "missing-permissions"
UNKNOWN_KEY = 21470
NOT_OPEN, UNREADABLE_KEY = 21180, 415


@dataclass(frozen=True, slots=True)
class Ready:
    """An open session with its key."""

    row: sqlite3.Row
    key: SessionKey


def usable_session(turn: Turn) -> Ready | None:
    """An open session of the same subject that takes our form and is far from its end.

    One whose key does not open (another client's, or damaged) is closed and never used.
    """
    subject = authorizations.get(turn.office.db, turn.client_id)["subject"]
    for row in sessions.live(turn.office.db, turn.client_id):
        young = turn.now - from_text(row["created_at"]) < SESSION_LIFE
        if row["state"] != "open" or row["kind"] != "interactive" or row["subject"] != subject or not young:
            continue
        try:
            key = turn.office.sealer.open(row["sealed_key"], client=turn.nip, kind="session_key", row=row["seal_row"])
        except Problem as problem:
            if problem.code != "sealed_value_broken":
                raise
            with turn.office.db.write() as connection:
                sessions.move(connection, row["id"], "open", "closing", reason=problem.message)
            continue
        return Ready(row, SessionKey(key, row["iv"]))
    return None


async def open_session(turn: Turn, access: Access, *, retry: bool = True) -> Ready | None:
    """A new session, its key sealed and committed before the call. None when KSeF cannot read our key (F20)."""
    certificate = await turn.keys.get(KEY_ENCRYPTION)
    turn.doing.reserve = 1 + len([s for s in sessions.live(turn.office.db, turn.client_id) if s["state"] == "open"])
    try:
        await turn.ready(operations.OPEN_ONLINE)
    finally:
        turn.doing.reserve = 0
    key = new_session_key()
    seal_row = secrets.token_hex(8)
    subject = authorizations.get(turn.office.db, turn.client_id)["subject"]
    with turn.office.db.write() as connection:
        session_id = sessions.insert(
            connection,
            turn.now,
            {
                "client_id": turn.client_id,
                "kind": "interactive",
                "context_nip": turn.nip,
                "subject": subject,
                "form_code": FA3.system_code,
                "seal_row": seal_row,
                "sealed_key": turn.office.sealer.seal(key.key, client=turn.nip, kind="session_key", row=seal_row),
                "iv": key.iv,
            },
        )
    try:
        opened = await turn.api.open_online(access, FA3, encryption_info(key, certificate))
    except (KsefError, NotNow, LeaseLost) as error:
        # Perhaps it is open at KSeF: an empty session, which nobody uses and which ends by itself.
        _lose(turn, session_id, "opening", str(error))
        if isinstance(error, Refused) and UNKNOWN_KEY in error.codes and retry:
            turn.keys.forget()
            return await open_session(turn, access, retry=False)
        learn(turn, error)
        raise
    with turn.office.db.write() as connection:
        sessions.move(connection, session_id, "opening", "open", reference=opened.reference_number)
    row = await _alive(turn, access, session_id)
    return None if row is None else Ready(row, key)


async def _alive(turn: Turn, access: Access, session_id: int) -> sqlite3.Row | None:
    """Read the status once: a key that KSeF cannot read shows only now, as 415 (facts §10.1)."""
    row = sessions.get(turn.office.db, session_id)
    try:
        status = (await turn.api.session_status(access, row["reference"])).status
    except Refused as refused:
        if refused.code == NO_SUCH_SESSION:  # "no such session" right after opening happens (F16): the send will tell
            return row
        raise
    if status.code < 400:
        return row
    turn.keys.forget()
    with turn.office.db.write() as connection:
        sessions.move(connection, session_id, "open", "finished", code=status.code, reason=status.description)
    turn.come_back(10)
    return None


async def learn_of_end(turn: Turn, access: Access, session: sqlite3.Row) -> None:
    """KSeF says that the session takes nothing more: is it because it could not read our key (F20, F44)? That shows only
    some time after the opening, and the next session needs a fresh key of the ministry's then."""
    try:
        status = (await turn.api.session_status(access, session["reference"])).status
    except (KsefError, NotNow):  # then whoever follows the session learns it
        return
    with turn.office.db.write() as connection:
        sessions.note(connection, session["id"], code=status.code, reason=status.description)
    if status.code == UNREADABLE_KEY:
        turn.keys.forget()
        turn.come_back(10)


def _lose(turn: Turn, session_id: int, state: str, reason: str) -> None:
    with turn.office.db.write() as connection:
        sessions.move(connection, session_id, state, "lost", reason=reason)


def learn(turn: Turn, error: Exception) -> None:
    """What a refused call teaches about the authorisation."""
    if isinstance(error, Refused) and error.reason_code == MISSING_PERMISSIONS:
        login.lost_permission(turn, error)


async def close_idle(turn: Turn, idle: timedelta) -> None:
    """Rule 7: close what has been idle, again and again until KSeF says closed; then let it be finished.

    Raises KsefError; a session whose closing was not answered stays `closing`, and closing is repeated.
    """
    for row in sessions.live(turn.office.db, turn.client_id):
        if row["kind"] != "interactive":
            continue
        if row["state"] == "opening":  # a crash between the intent and the answer: empty, and it ends by itself
            _lose(turn, row["id"], "opening", "program przerwany przy otwieraniu")
            continue
        if row["state"] == "open":
            if _soon_wanted(turn):
                continue
            wait = from_text(row["used_at"]) + idle - turn.now
            if wait > timedelta(0) and not turn.flush:
                turn.come_back(wait.total_seconds())
                continue
            if invoices.of_session(turn.office.db, row["id"], (InvoiceState.SENDING,)):
                continue
            with turn.office.db.write() as connection:
                sessions.move(connection, row["id"], "open", "closing")
        if row["state"] in ("open", "closing"):
            await close_now(turn, row)
        _finish(turn, row["id"])


def _soon_wanted(turn: Turn) -> bool:
    """Whether invoices wait that will go out in this session within minutes: then closing and opening anew would cost the
    budget. One with an attachment never does: it waits for a package, for an hour when KSeF refused the last one."""
    owner = personal.sends_for(turn.office, turn.client_id)
    if turn.settling or pauses.in_force(turn.office.db, turn.client_id) is not None:
        return False
    if not invoices.due_one_by_one(turn.office.db, turn.client_id, turn.now, owner):
        return False
    wait = turn.keeper.wait_for(Order(operations.SEND_INVOICE, context=turn.nip).call())
    turn.come_back(max(wait, LOOK_AGAIN))
    return wait < KEEP_OPEN


async def close_now(turn: Turn, row: sqlite3.Row) -> None:
    """One attempt to close a session that is `closing`.

    A session that KSeF does not know (any more), or that another subject opened, or that is past its 12 hours, is not
    ours to close: KSeF closes it by itself (facts §8.1). One that is denied now and then (F16) stays `closing`.
    """
    if age(turn, row["created_at"]) < KSEF_CLOSES_AFTER and personal.may_close(turn, row):
        access = await login.access_for(turn)
        try:
            await turn.api.close_online(access, row["reference"])
        except Refused as refused:
            if refused.code == NO_SUCH_SESSION and not await denied_for_good(turn, access, row):
                turn.come_back(max(LOOK_AGAIN, age(turn, row["created_at"]).total_seconds() / 4))
                return
            if refused.code != NO_SUCH_SESSION and refused.reason_code != "insufficient-resource-access":
                learn(turn, refused)
                raise
    with turn.office.db.write() as connection:
        sessions.move(connection, row["id"], "closing", "closed", closed_at=to_text(turn.now))


async def denied_for_good(turn: Turn, access: Access, session: sqlite3.Row) -> bool:
    """ "No such session" is believed only after a while, and when KSeF's own list has not got it either (F16)."""
    if age(turn, session["created_at"]) < GIVE_UP_SESSION:
        return False
    since = from_text(session["created_at"]) - timedelta(hours=1)
    kind: Literal["Online", "Batch"] = "Batch" if session["kind"] == "batch" else "Online"
    return all(s.reference_number != session["reference"] for s in await turn.api.sessions(access, kind, since))


def _finish(turn: Turn, session_id: int) -> None:
    on_wire = invoices.of_session(
        turn.office.db, session_id, (InvoiceState.SENDING, InvoiceState.UNKNOWN, InvoiceState.PROCESSING)
    )
    if not on_wire:
        with turn.office.db.write() as connection:
            sessions.move(connection, session_id, "closed", "finished")
        turn.polls.session_at.pop(session_id, None)


def age(turn: Turn, since: str) -> timedelta:
    """How long ago a stored moment was."""
    return turn.now - from_text(since)
