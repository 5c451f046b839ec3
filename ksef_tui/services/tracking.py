"""What became of invoices that KSeF has: followed until each has a number or a refusal (design §6 rules 4–6).

An invoice is ours by the hash of its bytes, never by its number (F12). Nothing in 100/150 is ever sent again.
"""

from __future__ import annotations

import asyncio
import sqlite3

from ksef_tui.domain.invoices import InvoiceState
from ksef_tui.domain.times import to_text
from ksef_tui.ksef.api import Access
from ksef_tui.ksef.codes import invoice_code, session_code
from ksef_tui.ksef.crypto import hash_b64
from ksef_tui.ksef.errors import Refused, Unauthorized
from ksef_tui.ksef.models import SessionInvoice
from ksef_tui.services import foreign_sessions, login, originals
from ksef_tui.services.calls import NotNow
from ksef_tui.services.interactive import NO_SUCH_SESSION, age, close_now, denied_for_good
from ksef_tui.services.outcomes import accept, move_on
from ksef_tui.services.turn import Turn
from ksef_tui.store import invoices, sessions

S = InvoiceState
ROWS_AT_A_TIME = 500  # rows of one transaction, so that other writers get their turn
KSEF_FAILED = 500
FEW = 3  # up to so many are asked one by one, more by the session's list (F38)
INTERRUPTED = "program przerwany przy wysyłaniu – sprawdzam w KSeF, czy faktura dotarła"


def take_over(turn: Turn) -> None:
    """What a dead process left `sending` is unknown: its POST may have arrived. Asked with the lease in hand.

    What lies in a package that is under way is not: nothing of it is processed before the package is closed."""
    for invoice_id in invoices.interrupted(turn.office.db, turn.client_id):
        with turn.office.db.write() as connection:
            invoices.move(
                connection,
                turn.now,
                invoice_id,
                "sent",
                S.SENDING,
                S.UNKNOWN,
                reason_code="interrupted",
                reason=INTERRUPTED,
            )


async def follow(turn: Turn) -> None:
    """Ask about every session that has invoices of ours under way, when it is time to."""
    refused: Refused | None = None
    for session in _sessions_under_way(turn):
        due = turn.polls.session_at.get(session["id"], 0.0)
        wait = due - turn.now.timestamp()
        if wait > 0:
            turn.come_back(wait)
            continue
        try:
            await _follow_session(turn, session)
        except Unauthorized:
            raise
        except NotNow as wait:  # its limit is used up; the others may have asked for something else
            turn.come_back(wait.seconds)
        except Refused as error:  # one that KSeF refuses does not keep the others from being asked about
            refused = refused or error
        again = _pause(turn, session)
        turn.polls.session_at[session["id"]] = turn.now.timestamp() + again
        if _under_way(turn, session):
            turn.come_back(again)
    if refused is not None:
        raise refused


def _sessions_under_way(turn: Turn) -> list[sqlite3.Row]:
    return turn.office.db.rows(
        "SELECT * FROM session WHERE id IN (SELECT DISTINCT session_id FROM invoice WHERE client_id = ? "
        "AND state IN ('processing', 'unknown') AND reason_code <> '440') ORDER BY id",
        (turn.client_id,),
    )


def _under_way(turn: Turn, session: sqlite3.Row) -> list[sqlite3.Row]:
    rows = invoices.of_session(turn.office.db, session["id"], (S.PROCESSING, S.UNKNOWN))
    return [row for row in rows if row["reason_code"] != "440"]


def _pause(turn: Turn, session: sqlite3.Row) -> float:
    """Seconds to the next question: the longer it takes, the rarer (F38)."""
    waited = age(turn, session["used_at"]).total_seconds()
    if any(row["reason_code"] == foreign_sessions.NOT_OURS for row in _under_way(turn, session)):
        return foreign_sessions.ASK_AGAIN
    if waited < 5:
        return 0.5
    return min(60.0, max(1.0, waited / 8))


async def _follow_session(turn: Turn, session: sqlite3.Row) -> None:
    rows = _under_way(turn, session)
    if not session["reference"]:  # it was never opened, so nothing can have been sent in it
        _free(turn, rows)
        return
    access = await login.access_for(turn)
    unsure = [row for row in rows if row["state"] == S.UNKNOWN or not row["reference"]]
    try:
        if session["kind"] == "batch":
            await _follow_package(turn, access, session, rows)
        elif unsure or len(rows) > FEW:
            await _by_list(turn, access, session, rows)
        else:
            strange = [row for row in rows if not await _by_reference(turn, access, session, row)]
            turn.doing.invoice_id = None
            if strange:
                await _by_list(turn, access, session, strange)
    except Refused as refused:
        if refused.reason_code == foreign_sessions.NOT_OURS:
            await foreign_sessions.settle(turn, access, session, _under_way(turn, session))
        elif refused.code == NO_SUCH_SESSION:
            await _denied(turn, access, session)
        else:
            raise
    finally:
        turn.doing.invoice_id = None


async def _by_reference(turn: Turn, access: Access, session: sqlite3.Row, row: sqlite3.Row) -> bool:
    """Ask for one invoice; False when its reference is not one of this session, or that of another document (F12)."""
    turn.doing.invoice_id = row["id"]
    try:
        item = await turn.api.invoice_status(access, session["reference"], row["reference"])
    except Unauthorized:
        raise
    except Refused as refused:
        if refused.code == NO_SUCH_SESSION or refused.status != 400:
            raise
        return False
    if item.invoice_hash not in ("", hash_b64(row["sha256"])):
        return False
    apply(turn, row, item)
    return True


async def _follow_package(turn: Turn, access: Access, session: sqlite3.Row, rows: list[sqlite3.Row]) -> None:
    """A package is judged as a whole first: its list fills only when that is done (F18)."""
    status = (await turn.api.session_status(access, session["reference"])).status
    known = session_code(status.code)
    if not known.terminal:
        return
    if session["code"] != status.code or not session["checked_at"]:  # `checked_at` says since when it is so
        with turn.office.db.write() as connection:
            sessions.note(
                connection, session["id"], code=status.code, reason=status.description, checked_at=to_text(turn.now)
            )
        session = sessions.get(turn.office.db, session["id"])
    if known.frees_invoices:
        await asyncio.to_thread(_free, turn, rows)
        return
    listed = {item.invoice_hash: item for item in await turn.api.session_invoices(access, session["reference"])}
    await asyncio.to_thread(_apply_all, turn, rows, listed)
    absent = [row for row in rows if hash_b64(row["sha256"]) not in listed]
    if status.code == KSEF_FAILED:  # nobody knows what became of those that are not listed: each is a question
        await foreign_sessions.settle_without_list(turn, access, session, absent)
        return
    await asyncio.to_thread(_free, turn, absent)


def _apply_all(turn: Turn, rows: list[sqlite3.Row], listed: dict[str, SessionInvoice]) -> None:
    for start in range(0, len(rows), ROWS_AT_A_TIME):
        with turn.office.db.write():  # one transaction for many: each alone would wait for the disk
            for row in rows[start : start + ROWS_AT_A_TIME]:
                if item := listed.get(hash_b64(row["sha256"])):
                    apply(turn, row, item)


async def _by_list(turn: Turn, access: Access, session: sqlite3.Row, rows: list[sqlite3.Row]) -> None:
    found = {item.invoice_hash: item for item in await turn.api.session_invoices(access, session["reference"])}
    for row in rows:
        item = found.get(hash_b64(row["sha256"]))
        if item is not None:
            apply(turn, row, item)
    missing = [row for row in rows if hash_b64(row["sha256"]) not in found]
    if missing:
        await _prove_absent(turn, access, session, missing)


async def _prove_absent(turn: Turn, access: Access, session: sqlite3.Row, missing: list[sqlite3.Row]) -> None:
    """An invoice is free again only when its session is closed, terminal, and has not got it (rule 4, F7, F18).

    Closing first is what keeps a POST that is still travelling from arriving later (design §3).
    """
    if session["state"] in ("open", "closing"):
        with turn.office.db.write() as connection:
            sessions.move(connection, session["id"], session["state"], "closing")
        await close_now(turn, sessions.get(turn.office.db, session["id"]))
    status = (await turn.api.session_status(access, session["reference"])).status
    known = session_code(status.code)
    with turn.office.db.write() as connection:
        connection.execute(
            "UPDATE session SET code = ?, checked_at = ? WHERE id = ?", (status.code, to_text(turn.now), session["id"])
        )
    if not known.terminal:
        return
    listed = {item.invoice_hash: item for item in await turn.api.session_invoices(access, session["reference"])}
    for row in missing:
        item = listed.get(hash_b64(row["sha256"]))
        if item is not None:
            apply(turn, row, item)
        else:
            _free(turn, [row])


async def _denied(turn: Turn, access: Access, session: sqlite3.Row) -> None:
    """KSeF does not know the session: when that is believed, it was never opened."""
    if not await denied_for_good(turn, access, session):
        return
    with turn.office.db.write() as connection:
        sessions.move(connection, session["id"], session["state"], "lost", reason="KSeF nie zna tej sesji")
    _free(turn, _under_way(turn, session))


def _free(turn: Turn, rows: list[sqlite3.Row]) -> None:
    """Proved not to be in KSeF: approved again, to go out in another session."""
    for start in range(0, len(rows), ROWS_AT_A_TIME):
        with turn.office.db.write() as connection:
            for row in rows[start : start + ROWS_AT_A_TIME]:
                act = "settle" if row["state"] == S.UNKNOWN else "track"
                invoices.move(
                    connection, turn.now, row["id"], act, S(row["state"]), S.APPROVED,
                    attempt=row["attempts"], session_id=None, ordinal=None, reference="",
                )  # fmt: skip
    turn.come_back(0)


def apply(turn: Turn, row: sqlite3.Row, item: SessionInvoice) -> None:
    """Write down what KSeF says of one invoice."""
    code = item.status.code
    if not invoice_code(code).terminal:
        if row["state"] == S.UNKNOWN:  # it did arrive
            move_on(
                turn,
                row,
                "settle",
                S.PROCESSING,
                reference=item.reference_number,
                ordinal=item.ordinal_number or row["ordinal"],
            )
        return
    act = "settle" if row["state"] == S.UNKNOWN else "track"
    if code == 200:
        accept(
            turn, row, act, item.ksef_number, item.invoicing_mode,
            reference=item.reference_number, upo_ready=bool(item.upo_download_url),
            stored=item.permanent_storage_date is not None,
        )  # fmt: skip
        if item.upo_download_url:
            turn.polls.upo_urls[row["id"]] = item.upo_download_url
    elif code == originals.DUPLICATE:
        originals.ask(turn, row, item)
    else:
        known = invoice_code(code)
        details = "; ".join((item.status.details or ())[:5])
        reason = f"{known.sentence}{f' ({details})' if details else ''}"
        move_on(turn, row, act, S.REJECTED, reason_code=str(code), reason=reason, reference=item.reference_number)
