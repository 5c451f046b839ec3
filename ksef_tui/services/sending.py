"""Sending in interactive sessions: exactly once, in the right name (design §6 rules 1, 3, 4, 7, 9).

The order of things for each invoice: the guards, the intent (session, hash, ordinal, time) committed, the POST, the
reference committed. Whatever interrupts this leaves a row that says how far it got.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence

from ksef_tui.domain.invoices import InvoiceState
from ksef_tui.domain.times import to_text
from ksef_tui.ksef import operations
from ksef_tui.ksef.api import Access
from ksef_tui.ksef.crypto import encrypt_invoice
from ksef_tui.ksef.errors import KsefError, Limited, NotReachable, Refused, Unauthorized, Unknown
from ksef_tui.services import personal
from ksef_tui.services.calls import LeaseLost, NotNow
from ksef_tui.services.interactive import NOT_OPEN, Ready, learn, learn_of_end, open_session, usable_session
from ksef_tui.services.outgoing import checked
from ksef_tui.services.turn import Turn
from ksef_tui.store import invoices, pauses, sessions

FIRST_LOOK = 0.3  # seconds from a send to the first question about it
AT_A_TIME = 50  # invoices taken up in one pass, so that the pass also tracks and closes
# The session takes no more (facts §8.3): full, not there, closed or dead, temporarily unavailable. Nothing was taken.
SESSION_REFUSES = frozenset({21155, 21173, 21180, 21184})
NOT_OURS = "insufficient-resource-access"  # another subject's session, or one of another context (F22, F23)
FOREIGN_SESSION = (
    "sesja zapisana w bazie należy w KSeF do kogo innego – niczego w niej nie wysłano, faktura pójdzie w nowej"
)
UNSURE = "brak odpowiedzi KSeF – program sprawdza, nie wysyłaj ponownie"


async def send(turn: Turn, access: Access, due: Sequence[sqlite3.Row]) -> None:
    """Send these approved invoices one by one. Raises NotNow and KsefError; each says for itself what became of it."""
    if len(due) > AT_A_TIME:
        turn.come_back(0)
    await turn.ready(operations.SEND_INVOICE)  # a session is opened only for an invoice that may go out now
    ready = usable_session(turn) or await open_session(turn, access)
    if ready is None:
        return
    began = turn.now
    for row in due[:AT_A_TIME]:
        if not row["urgent_at"] and invoices.marked_urgent_since(turn.office.db, turn.client_id, began):
            turn.come_back(0)  # the next pass begins with it
            return
        await _send_one(turn, access, ready, row)


async def _send_one(turn: Turn, access: Access, ready: Ready, row: sqlite3.Row) -> None:
    """Send one invoice. Raises what stops the others as well: the weather, a limit, a dead session, a lost right."""
    session = ready.row
    data = checked(turn, access, session, row)
    if data is None:
        return
    encrypted = encrypt_invoice(data, ready.key)
    await turn.ready(operations.SEND_INVOICE)
    attempt = row["attempts"] + 1
    if not _commit_intent(turn, session, row, attempt):
        return  # a person took it back or stopped the sending, or somebody else approved it anew, in the last moment
    turn.doing.invoice_id = row["id"]
    try:
        reference = await turn.api.send_invoice(access, session["reference"], encrypted)
    except (KsefError, NotNow, LeaseLost) as error:
        _not_sent(turn, session, row["id"], attempt, error)
        if isinstance(error, Refused) and error.code == NOT_OPEN:
            await learn_of_end(turn, access, session)
        if _only_this_one(error):
            return
        raise
    finally:
        turn.doing.invoice_id = None
    _sent(turn, row["id"], attempt, InvoiceState.PROCESSING, reference=reference)
    turn.polls.progress += 1
    turn.polls.session_at[session["id"]] = turn.now.timestamp() + FIRST_LOOK
    turn.come_back(FIRST_LOOK)


def _why_again(error: Exception) -> str:
    """What the history of an invoice says of a try that KSeF did not take."""
    if isinstance(error, Refused) and error.reason_code == NOT_OURS:
        return FOREIGN_SESSION
    return error.message if isinstance(error, KsefError) else ""


def _only_this_one(error: Exception) -> bool:
    """Whether a failure says something about this invoice alone, so that the next one may go out."""
    if not isinstance(error, Refused) or isinstance(error, Unauthorized):
        return False
    return error.status != 403 and error.code not in SESSION_REFUSES


def _commit_intent(turn: Turn, session: sqlite3.Row, row: sqlite3.Row, attempt: int) -> bool:
    """Rule 3: which session, which place, which attempt, when – before the POST."""
    with turn.office.db.write() as connection:
        if (
            turn.settling
            or not personal.may_send(turn.office, row)
            or pauses.in_force(turn.office.db, turn.client_id) is not None
        ):
            return False
        ordinal = connection.execute(
            "SELECT ifnull(max(ordinal), 0) + 1 FROM invoice WHERE session_id = ?", (session["id"],)
        ).fetchone()[0]
        sessions.move(connection, session["id"], "open", "open", used_at=to_text(turn.now))
        return invoices.move(
            connection, turn.now, row["id"], "send", InvoiceState.APPROVED, InvoiceState.SENDING,
            attempt=row["attempts"], session_id=session["id"], ordinal=ordinal, reference="", channel="interactive",
            attempts=attempt,
        )  # fmt: skip


def _sent(
    turn: Turn,
    invoice_id: int,
    attempt: int,
    new: InvoiceState,
    *,
    code: str = "",
    reason: str = "",
    told: str = "",
    reference: str = "",
) -> None:
    with turn.office.db.write() as connection:
        invoices.move(
            connection, turn.now, invoice_id, "sent", InvoiceState.SENDING, new,
            attempt=attempt, reason_code=code, reason=reason, told=told, reference=reference,
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
        _sent(turn, invoice_id, attempt, InvoiceState.APPROVED, told=_why_again(error))
    elif isinstance(error, Refused):
        code = str(error.code or error.status)
        _sent(turn, invoice_id, attempt, InvoiceState.REJECTED, code=code, reason=error.message)
    learn(turn, error)
    if isinstance(error, Refused) and (error.code in SESSION_REFUSES or error.reason_code == NOT_OURS):
        with turn.office.db.write() as connection:  # it takes no more; what it has is followed to the end (F56)
            sessions.move(connection, session["id"], "open", "closing", reason=error.message)
