"""Sending in interactive sessions: exactly once, in the right name (design §6 rules 1, 3, 4, 7, 9).

The order of things for each invoice: the guards, the intent (session, hash, ordinal, time) committed, the POST, the
reference committed. Whatever interrupts this leaves a row that says how far it got.
"""

from __future__ import annotations

import secrets
import sqlite3
from dataclasses import dataclass
from datetime import datetime, timedelta

from ksef_tui.domain.authorizations import CAN_SEND, AuthState
from ksef_tui.domain.invoices import InvoiceState
from ksef_tui.domain.problems import Problem
from ksef_tui.domain.times import from_text, to_text
from ksef_tui.ksef import claims, operations
from ksef_tui.ksef.api import Access
from ksef_tui.ksef.crypto import SessionKey, encrypt_invoice, encryption_info, new_session_key
from ksef_tui.ksef.errors import KsefError, Limited, NotReachable, Refused, Unauthorized, Unknown
from ksef_tui.ksef.http import Order
from ksef_tui.ksef.models import FA3
from ksef_tui.ksef.public_keys import KEY_ENCRYPTION
from ksef_tui.services import login
from ksef_tui.services.calls import LeaseLost, NotNow
from ksef_tui.services.guards import guard
from ksef_tui.services.turn import Turn
from ksef_tui.store import authorizations, documents, invoices, sessions

FIRST_LOOK = 0.3  # seconds from a send to the first question about it
AT_A_TIME = 50  # invoices taken up in one pass, so that the pass also tracks and closes
SESSION_LIFE = timedelta(hours=11)  # no new invoices after that
KSEF_CLOSES_AFTER = timedelta(hours=12)
KEEP_OPEN = 180.0  # seconds that an open session waits for the limit of sending to let its next invoice through
NO_SUCH_SESSION = 21173
MISSING_PERMISSIONS = "missing-permissions"
UNKNOWN_KEY = 21470
# The session takes no more (facts §8.3): full, not there, closed or dead, temporarily unavailable. Nothing was taken.
SESSION_REFUSES = frozenset({21155, 21173, 21180, 21184})
ALTERED = (
    "zapisany plik faktury został zmieniony po imporcie – niczego nie wysłano; wycofaj ją i zaimportuj plik ponownie"
)
UNSURE = "brak odpowiedzi KSeF – program sprawdza, nie wysyłaj ponownie"


async def dispatch(turn: Turn) -> None:
    """Send what is due. Raises NotNow, NoAccess and KsefError; each invoice says for itself what became of it."""
    due = invoices.due_to_send(turn.office.db, turn.client_id, turn.now, AT_A_TIME, _only_approved_by(turn))
    if not due or turn.client["paused"]:
        return
    if len(due) == AT_A_TIME:
        turn.come_back(0)
    access = await login.access_for(turn)
    if AuthState(authorizations.get(turn.office.db, turn.client_id)["state"]) not in CAN_SEND:
        return
    await turn.ready(operations.SEND_INVOICE)  # a session is opened only for an invoice that may go out now
    ready = _usable_session(turn) or await _open_session(turn, access)
    if ready is None:
        return
    for row in due:
        await _send_one(turn, access, ready, row)


def _only_approved_by(turn: Turn) -> int | None:
    """A person's certificate signs only for what that person approved (design §2); an office's for everybody."""
    owner: int | None = turn.office.db.value(
        "SELECT i.operator_id FROM authorization a JOIN identity i ON i.id = a.identity_id WHERE a.client_id = ?",
        (turn.client_id,),
    )
    return owner


@dataclass(frozen=True, slots=True)
class Ready:
    """An open session with its key."""

    row: sqlite3.Row
    key: SessionKey


def _usable_session(turn: Turn) -> Ready | None:
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


async def _open_session(turn: Turn, access: Access, *, retry: bool = True) -> Ready | None:
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
            return await _open_session(turn, access, retry=False)
        _learn(turn, error)
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


def _lose(turn: Turn, session_id: int, state: str, reason: str) -> None:
    with turn.office.db.write() as connection:
        sessions.move(connection, session_id, state, "lost", reason=reason)


async def _send_one(turn: Turn, access: Access, ready: Ready, row: sqlite3.Row) -> None:
    """Send one invoice. Raises what stops the others as well: the weather, a limit, a dead session, a lost right."""
    session = ready.row
    try:
        data = documents.get(turn.office.db, row["sha256"])
    except Problem as problem:
        if problem.code != "document_altered":
            raise
        _block(turn, row, problem.code, ALTERED)
        return
    wrong = _not_in_our_name(turn, access, session, row, data)
    if wrong is not None:
        _block(turn, row, "wrong_name", wrong)
        return
    stop = guard(turn.office, row, turn.now)
    if stop is not None:
        _block(turn, row, stop.code, stop.message)
        return
    encrypted = encrypt_invoice(data, ready.key)
    await turn.ready(operations.SEND_INVOICE)
    attempt = row["attempts"] + 1
    if not _commit_intent(turn, session, row, attempt):
        return  # a person took it back in the last moment
    turn.doing.invoice_id = row["id"]
    try:
        reference = await turn.api.send_invoice(access, session["reference"], encrypted)
    except (KsefError, NotNow, LeaseLost) as error:
        _not_sent(turn, session, row["id"], attempt, error)
        if _only_this_one(error):
            return
        raise
    finally:
        turn.doing.invoice_id = None
    _sent(turn, row["id"], attempt, InvoiceState.PROCESSING, reference=reference)
    turn.polls.progress += 1
    turn.polls.session_at[session["id"]] = turn.now.timestamp() + FIRST_LOOK
    turn.come_back(FIRST_LOOK)


def _only_this_one(error: Exception) -> bool:
    """Whether a failure says something about this invoice alone, so that the next one may go out."""
    if not isinstance(error, Refused) or isinstance(error, Unauthorized):
        return False
    return error.status != 403 and error.code not in SESSION_REFUSES


def _not_in_our_name(turn: Turn, access: Access, session: sqlite3.Row, row: sqlite3.Row, data: bytes) -> str | None:
    """Rule 1, the last time before encryption: seller = client = context of the token = context of the session (F22)."""
    seller = _seller_written(data)
    token_context = claims.read(access.token).context_value or access.context
    names = {seller, row["seller_nip"], turn.nip, access.context, token_context, session["context_nip"]}
    if len(names) == 1 and session["client_id"] == row["client_id"] == turn.client_id:
        return None
    return (
        f"sprzedawcą jest NIP {seller if seller != turn.nip else row['seller_nip']}, klientem NIP {turn.nip}, "
        f"a sesja KSeF jest dla NIP {session['context_nip']} – niczego nie wysłano"
    )


def _seller_written(data: bytes) -> str:
    """The seller in the bytes that would go out, not in what was once read from them; `?` when it cannot be read."""
    from ksef_tui.fa3.read import read  # late: lxml

    try:
        return read(data).seller_nip
    except Problem:
        return "?"


def _commit_intent(turn: Turn, session: sqlite3.Row, row: sqlite3.Row, attempt: int) -> bool:
    """Rule 3: which session, which place, which attempt, when – before the POST."""
    with turn.office.db.write() as connection:
        ordinal = connection.execute(
            "SELECT ifnull(max(ordinal), 0) + 1 FROM invoice WHERE session_id = ?", (session["id"],)
        ).fetchone()[0]
        sessions.move(connection, session["id"], "open", "open", used_at=to_text(turn.now))
        return invoices.move(
            connection, turn.now, row["id"], "send", InvoiceState.APPROVED, InvoiceState.SENDING,
            attempt=row["attempts"], session_id=session["id"], ordinal=ordinal, reference="", attempts=attempt,
        )  # fmt: skip


def _sent(
    turn: Turn,
    invoice_id: int,
    attempt: int,
    new: InvoiceState,
    *,
    code: str = "",
    reason: str = "",
    reference: str = "",
) -> None:
    with turn.office.db.write() as connection:
        invoices.move(
            connection, turn.now, invoice_id, "sent", InvoiceState.SENDING, new,
            attempt=attempt, reason_code=code, reason=reason, reference=reference,
        )  # fmt: skip


def _not_sent(turn: Turn, session: sqlite3.Row, invoice_id: int, attempt: int, error: Exception) -> None:
    """Rules 4 and 9: it provably never left, or KSeF refused it, or nobody knows."""
    if isinstance(error, Unknown):
        _sent(turn, invoice_id, attempt, InvoiceState.UNKNOWN, code="no_answer", reason=UNSURE)
        return
    never_taken = isinstance(error, NotReachable | NotNow | LeaseLost | Limited | Unauthorized)
    if isinstance(error, Refused) and not never_taken:
        never_taken = error.status == 403 or error.code in SESSION_REFUSES
    if never_taken:
        _sent(turn, invoice_id, attempt, InvoiceState.APPROVED)
    elif isinstance(error, Refused):
        code = str(error.code or error.status)
        _sent(turn, invoice_id, attempt, InvoiceState.REJECTED, code=code, reason=error.message)
    _learn(turn, error)
    if isinstance(error, Refused) and error.code in SESSION_REFUSES:
        with turn.office.db.write() as connection:  # it takes no more; what it has is followed to the end (F56)
            sessions.move(connection, session["id"], "open", "closing", reason=error.message)


def _learn(turn: Turn, error: Exception) -> None:
    """What a refused call teaches about the authorisation."""
    if isinstance(error, Refused) and error.reason_code == MISSING_PERMISSIONS:
        login.lost_permission(turn, error)


def _block(turn: Turn, row: sqlite3.Row, code: str, reason: str) -> None:
    with turn.office.db.write() as connection:
        invoices.move(
            connection, turn.now, row["id"], "guard", InvoiceState.APPROVED, InvoiceState.BLOCKED,
            attempt=row["attempts"], reason_code=code, reason=reason,
        )  # fmt: skip


async def close_idle(turn: Turn, idle: timedelta) -> None:
    """Rule 7: close what has been idle, again and again until KSeF says closed; then let it be finished.

    Raises KsefError; a session whose closing was not answered stays `closing`, and closing is repeated.
    """
    for row in sessions.live(turn.office.db, turn.client_id):
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
    """Whether invoices wait that will go out within minutes: then closing and opening anew would cost the budget."""
    if not invoices.due_to_send(turn.office.db, turn.client_id, turn.now, 1, _only_approved_by(turn)):
        return False
    wait = turn.keeper.wait_for(Order(operations.SEND_INVOICE, context=turn.nip).call())
    turn.come_back(wait)
    return wait < KEEP_OPEN


async def close_now(turn: Turn, row: sqlite3.Row) -> None:
    """One attempt to close a session that is `closing`.

    A session that KSeF does not know (any more), or that another subject opened, or that is past its 12 hours, is not
    ours to close: KSeF closes it by itself (facts §8.1).
    """
    if age(turn, row["created_at"]) < KSEF_CLOSES_AFTER:
        access = await login.access_for(turn)
        try:
            await turn.api.close_online(access, row["reference"])
        except Refused as refused:
            if refused.code != NO_SUCH_SESSION and refused.reason_code != "insufficient-resource-access":
                _learn(turn, refused)
                raise
    with turn.office.db.write() as connection:
        sessions.move(connection, row["id"], "closing", "closed", closed_at=to_text(turn.now))


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
    moment: datetime = from_text(since)
    return turn.now - moment
