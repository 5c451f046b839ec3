"""A refused invoice is looked for in KSeF before it may go again (design §5 `retry`, §6 rule 5; field notes 5.3: 500, 550).

By the hash of its bytes: in our own sessions, then in the metadata query. Found: accepted with that number, whatever the
refusal said. Not there: it waits for approval again, with all checks anew. No right to look: it stays refused and says
which right. A lost answer tells nothing: it stays unknown and is looked for again.
"""

from __future__ import annotations

import sqlite3
from datetime import timedelta

from ksef_tui.domain.invoices import InvoiceState, UpoState
from ksef_tui.domain.times import from_text, to_text
from ksef_tui.ksef.api import Access
from ksef_tui.ksef.codes import invoice_code
from ksef_tui.ksef.crypto import hash_b64
from ksef_tui.ksef.errors import Refused, Unauthorized
from ksef_tui.services import login, looking
from ksef_tui.services.guards import guard
from ksef_tui.services.originals import OWN_SESSIONS_SEARCHED
from ksef_tui.services.outcomes import accept
from ksef_tui.services.turn import Turn
from ksef_tui.store import invoices, sessions

S = InvoiceState
AT_A_TIME = 200
ASK_AGAIN = timedelta(seconds=5)  # a copy of it is still being processed
NO_RIGHT = "nie ponowiono: bez prawa przeglądania faktur (InvoiceRead) nie da się sprawdzić, czy nie ma jej już w KSeF"

Rows = dict[str, sqlite3.Row]  # by the hash of their bytes, Base64


async def go_on(turn: Turn) -> None:
    """Look for the client's invoices that somebody wants to try again. Raises NoAccess, NotNow, KsefError."""
    due = invoices.looked_for(turn.office.db, turn.client_id, turn.now, AT_A_TIME)
    if not due:
        return
    access = await login.access_for(turn)
    rows = {hash_b64(row["sha256"]): row for row in due}
    try:
        await _in_our_sessions(turn, access, rows)
        await _in_the_list(turn, access, rows)
    except Unauthorized:
        raise
    except Refused as refused:
        why = NO_RIGHT if refused.status == 403 else f"nie ponowiono: KSeF odmówił sprawdzenia ({refused.message})"
        for row in rows.values():
            _stays_refused(turn, row, why)


async def _in_our_sessions(turn: Turn, access: Access, rows: Rows) -> None:
    """Those that a session of ours holds leave `rows`: accepted, or still being processed there."""
    oldest = min(from_text(row["created_at"]) for row in rows.values())
    for session in sessions.of_client(turn.office.db, turn.client_id, OWN_SESSIONS_SEARCHED):
        if not rows or from_text(session["created_at"]) < oldest:
            return
        try:
            items = await turn.api.session_invoices(access, session["reference"])
        except Unauthorized:
            raise
        except Refused:  # another subject's session (F23), or one that is gone
            continue
        for item in items:
            row = rows.get(item.invoice_hash)
            if row is None:
                continue
            if item.status.code == 200 and item.ksef_number:
                del rows[item.invoice_hash]
                accept(
                    turn, row, "look", item.ksef_number, item.invoicing_mode,
                    reference=item.reference_number, original_session=session["reference"],
                )  # fmt: skip
            elif not invoice_code(item.status.code).terminal:
                del rows[item.invoice_hash]
                _again(turn, row)


async def _in_the_list(turn: Turn, access: Access, rows: Rows) -> None:
    """Those that KSeF has, whoever sent them, leave `rows`; so do those that it has not, asked after somebody wanted to
    try them again."""

    def tell(row: sqlite3.Row, number: str, digest: str | None) -> None:
        wanted = hash_b64(row["sha256"])
        if digest == wanted:
            _is_there(turn, rows, wanted, number)
        elif number and digest is None:  # numbered, but not shown yet (F17)
            del rows[wanted]
            _again(turn, row)
        else:
            _free(turn, rows.pop(wanted))

    asked = max(from_text(row["changed_at"]) for row in rows.values()) if rows else None
    await looking.look_for_bytes(turn, access, list(rows.values()), tell, proof=asked)


def _is_there(turn: Turn, rows: Rows, digest: str, number: str) -> None:
    """KSeF has these very bytes: accepted, whatever it said before; the receipt belongs to who sent them."""
    row = rows.pop(digest)
    accept(turn, row, "look", number, row["mode"].capitalize(), reference="", upo=UpoState.UNAVAILABLE)


def _again(turn: Turn, row: sqlite3.Row) -> None:
    with turn.office.db.write() as connection:
        invoices.note(connection, turn.now, row["id"], S.UNKNOWN, next_look=to_text(turn.now + ASK_AGAIN))
    turn.come_back(ASK_AGAIN.total_seconds())


def _free(turn: Turn, row: sqlite3.Row) -> None:
    """KSeF has not got it: it may be approved again, unless a guard stops it."""
    with turn.office.db.write() as connection:
        stop = guard(turn.office, row, turn.now)
        new, code, reason = (S.WAITING, "", "") if stop is None else (S.BLOCKED, stop.code, stop.message)
        invoices.move(
            connection, turn.now, row["id"], "look", S.UNKNOWN, new, attempt=row["attempts"],
            reason_code=code, reason=reason, send_after=None, urgent_at=None,
        )  # fmt: skip


def _stays_refused(turn: Turn, row: sqlite3.Row, why: str) -> None:
    before = invoices.last_refusal(turn.office.db, row["id"])
    with turn.office.db.write() as connection:
        invoices.move(
            connection, turn.now, row["id"], "look", S.UNKNOWN, S.REJECTED, attempt=row["attempts"],
            reason_code=before["reason_code"] if before is not None else "", reason=why,
        )  # fmt: skip
