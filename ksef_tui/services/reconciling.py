"""After a restored backup: what was sent since the backup was made is found in KSeF before anything is sent (F6).

Our own sessions are listed, and every invoice in them is matched by the hash of its bytes. What is found follows its
session to the end like anything that was sent; only then may the client's invoices go out. What a session does not
show, KSeF's 440 does (design §6 rule 5).
"""

from __future__ import annotations

import secrets
import sqlite3
from datetime import timedelta
from typing import Literal

from ksef_tui.domain.invoices import InvoiceState
from ksef_tui.domain.secret import Secret
from ksef_tui.domain.times import from_text, to_text
from ksef_tui.ksef.api import Access
from ksef_tui.ksef.codes import invoice_code, session_code
from ksef_tui.ksef.crypto import hash_b64
from ksef_tui.ksef.errors import Refused
from ksef_tui.ksef.models import FA3, SessionInvoice, SessionSummary
from ksef_tui.services import login
from ksef_tui.services.calls import NotNow
from ksef_tui.services.turn import Turn
from ksef_tui.store import authorizations, invoices, offices, sessions
from ksef_tui.store.records import audit

S = InvoiceState
MARGIN = timedelta(hours=13)  # a session lives 12 hours: one opened before the backup may have taken invoices after it
ACCEPTED = 200
UNDER_WAY_PAUSE = 5.0  # seconds until it is looked at whether what was on its way is decided; no call is made for that
SHORTEST_PAUSE, LONGEST_PAUSE = 3.0, 180.0  # seconds between two looks at a package that KSeF still judges
FOUND_IN_KSEF = "po odtworzeniu kopii znaleziona w KSeF – sprawdzam, co z nią"
_BEFORE_SENDING = (S.WAITING, S.APPROVED, S.HELD, S.BLOCKED)
# Of these KSeF has nothing in the books' opinion. Since the backup they may have been sent all the same: refused and tried
# again, invalid and checked anew, or laid aside by somebody who went by the books before they were brought up to date.
_LAID_ASIDE = (S.INVALID, S.REJECTED, S.WITHDRAWN, S.REPLACED)


async def reconcile(turn: Turn) -> None:
    """Find what this client's sessions hold since the backup, before anything of the client goes out.

    What the backup says to be on its way is decided first: freed, it may be in a session that the backup does not know.
    Raises NoAccess, NotNow, KsefError: then it is tried again, and nothing is sent meanwhile.
    """
    since = offices.reconcile_since(turn.office.db, turn.client_id)
    if since is None:
        return
    if invoices.may_come_free(turn.office.db, turn.client_id):
        raise NotNow(UNDER_WAY_PAUSE)
    access = await login.access_for(turn)
    found = 0
    for kind in ("interactive", "batch"):
        listed: Literal["Online", "Batch"] = "Online" if kind == "interactive" else "Batch"
        for summary in await turn.api.sessions(access, listed, from_text(since) - MARGIN):
            found += await _one_session(turn, access, summary, kind)
    with turn.office.db.write() as connection:
        connection.execute(
            "UPDATE client SET reconcile_since = NULL WHERE id = ? AND reconcile_since = ?", (turn.client_id, since)
        )
        audit(connection, turn.now, None, "client.reconciled", client_id=turn.client_id, found=found)
    turn.polls.reconciled.clear()


async def _one_session(turn: Turn, access: Access, summary: SessionSummary, kind: str) -> int:
    """A session of ours at KSeF: closed if it is still open, and what it holds of ours taken into it."""
    reference = summary.reference_number
    known = turn.office.db.row(
        "SELECT * FROM session WHERE client_id = ? AND reference = ?", (turn.client_id, reference)
    )
    if not session_code(summary.status.code).terminal and known is None:
        is_closed = await _closed(turn, access, reference, kind)
        if kind == "batch" and is_closed:  # what is in a package shows only when it is unpacked and judged (F18)
            raise NotNow(_pause(turn, summary))
    items = await _items(turn, access, summary)
    rows = [row for row in _not_sent(turn) if hash_b64(row["sha256"]) in items]
    rows += [row for row in _laid_aside(turn) if _may_be_in_ksef(items.get(hash_b64(row["sha256"])))]
    if not rows:
        return 0
    session_id = known["id"] if known is not None else _remember(turn, reference, kind)
    with turn.office.db.write() as connection:
        for row in rows:
            _take(turn, connection, row, session_id, items[hash_b64(row["sha256"])])
    return len(rows)


async def _items(turn: Turn, access: Access, summary: SessionSummary) -> dict[str, SessionInvoice]:
    """The invoices of a session by hash. What is over is read once and kept until the client is done: a limit ends the pass
    anywhere (20 lists a minute), and one that began anew each time would never come to its end."""
    reference = summary.reference_number
    known = turn.polls.reconciled.get(reference)
    if known is None:
        known = {item.invoice_hash: item for item in await turn.api.session_invoices(access, reference)}
        if session_code(summary.status.code).terminal:
            turn.polls.reconciled[reference] = known
    return known


def _pause(turn: Turn, summary: SessionSummary) -> float:
    """Seconds until a package is asked for again: the longer it takes, the rarer; the list of sessions is short of calls."""
    opened = summary.date_created or turn.now
    return min(LONGEST_PAUSE, max(SHORTEST_PAUSE, (turn.now - opened).total_seconds() / 4))


async def _closed(turn: Turn, access: Access, reference: str, kind: str) -> bool:
    """Nobody has its key any more, so nothing of ours goes there; closed, it also takes no late arrival. False when KSeF
    does not close it, so that nothing of it is processed: a package without its parts, or one that ended meanwhile."""
    close = turn.api.close_online if kind == "interactive" else turn.api.close_batch
    try:
        await close(access, reference)
    except Refused:
        return False
    return True


def _not_sent(turn: Turn) -> list[sqlite3.Row]:
    return invoices.in_states(turn.office.db, turn.client_id, _BEFORE_SENDING)


def _laid_aside(turn: Turn) -> list[sqlite3.Row]:
    return invoices.in_states(turn.office.db, turn.client_id, _LAID_ASIDE)


def _may_be_in_ksef(item: SessionInvoice | None) -> bool:
    """Whether KSeF took it or still judges it; a copy that it refused leaves what was laid aside where it is."""
    return item is not None and (item.status.code == ACCEPTED or not invoice_code(item.status.code).terminal)


def _remember(turn: Turn, reference: str, kind: str) -> int:
    """The session's row, which the backup does not have. Its key is lost; a closed session needs none."""
    seal_row, nothing = secrets.token_hex(8), Secret(b"")
    sealed = turn.office.sealer.seal(nothing, client=turn.nip, kind="session_key", row=seal_row)
    with turn.office.db.write() as connection:
        session_id = sessions.insert(
            connection, turn.now,
            {
                "client_id": turn.client_id, "kind": kind, "context_nip": turn.nip,
                "subject": authorizations.get(turn.office.db, turn.client_id)["subject"],
                "form_code": FA3.system_code, "seal_row": seal_row, "sealed_key": sealed, "iv": b"",
            },
        )  # fmt: skip
        sessions.move(connection, session_id, "opening", "closed", reference=reference, closed_at=to_text(turn.now))
    return session_id


def _take(turn: Turn, connection: sqlite3.Connection, row: sqlite3.Row, session_id: int, item: SessionInvoice) -> None:
    """The invoice is one that was sent: what becomes of it is found out as after any lost answer."""
    invoices.move(
        connection, turn.now, row["id"], "recover", S(row["state"]), S.UNKNOWN,
        attempt=row["attempts"], reason_code="recovered", reason=FOUND_IN_KSEF, session_id=session_id,
        ordinal=item.ordinal_number, reference=item.reference_number, attempts=row["attempts"] + 1,
    )  # fmt: skip
