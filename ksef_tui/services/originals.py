"""440 is a question, not an answer: is the original that KSeF has this very document? (design §6 rule 5; F3, F5, F8)

Looked for by hash in our own sessions, then in the metadata query, then by downloading the original. The same hash:
accepted with the original's number. Another hash: the number is taken, a person must decide. No right to look: it
stays unknown and says which right is missing.
"""

from __future__ import annotations

import sqlite3
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Literal

from ksef_tui.domain.invoices import COLLISION, InvoiceState, UpoState
from ksef_tui.domain.times import to_text
from ksef_tui.ksef.api import Access
from ksef_tui.ksef.crypto import hash_b64
from ksef_tui.ksef.errors import Refused
from ksef_tui.services import login, looking
from ksef_tui.services.outcomes import accept
from ksef_tui.services.turn import Listed
from ksef_tui.store import collisions, invoices, sessions

if TYPE_CHECKING:
    from ksef_tui.ksef.models import SessionInvoice
    from ksef_tui.services.turn import Turn

S = InvoiceState
DUPLICATE = int(COLLISION)
OWN_SESSIONS_SEARCHED = 20
_KINDS: tuple[Literal["Online", "Batch"], ...] = ("Online", "Batch")
ASK_AGAIN = timedelta(minutes=10)
CHECKING = "KSeF zna już ten numer – sprawdzam, czy to ta sama faktura"


def ask(turn: Turn, row: sqlite3.Row, item: SessionInvoice) -> None:
    """KSeF refused the invoice as a duplicate: keep what it says of the original and start looking."""
    state = S(row["state"])
    values: dict[str, Any] = {
        "reason_code": str(DUPLICATE),
        "reason": CHECKING,
        "reference": item.reference_number,
        "original_session": item.status.original_session,
        "ksef_number": item.status.original_ksef_number,
        "next_look": None,
    }
    with turn.office.db.write() as connection:
        if state is S.UNKNOWN:
            invoices.note(connection, turn.now, row["id"], state, **values)
        else:
            invoices.move(connection, turn.now, row["id"], "track", state, S.UNKNOWN, attempt=row["attempts"], **values)
    turn.come_back(0)


async def settle(turn: Turn) -> None:
    """Answer the open questions of this client that are due: all at once, for each alone would take days (F35).

    Raises NotNow (what was settled stands), KsefError.
    """
    rows = turn.office.db.rows(
        "SELECT * FROM invoice WHERE client_id = ? AND state = 'unknown' AND reason_code = '440' "
        "AND (next_look IS NULL OR next_look <= ?) ORDER BY id",
        (turn.client_id, to_text(turn.now)),
    )
    if not rows:
        return
    access = await login.access_for(turn)
    sent_in = {
        row["id"]: row["reference"]
        for row in turn.office.db.rows("SELECT id, reference FROM session WHERE client_id = ?", (turn.client_id,))
    }
    # A session that 440 names is not believed when it is the refused copy's own (F8).
    named = {r["id"]: r["original_session"] for r in rows if r["original_session"] != sent_in.get(r["session_id"], "")}
    ours = await _ours(turn, access, {name for name in named.values() if name}, rows)
    left = await _in_our_sessions(turn, access, rows, named, ours, sent_in)
    try:
        await looking.look_for(turn, access, left, lambda *found: _found(turn, named, ours, *found))
    except Refused as refused:
        for row in left:
            _still_unknown(turn, row, refused)


async def _ours(turn: Turn, access: Access, named: set[str], rows: list[sqlite3.Row]) -> set[str]:
    """Those of the named sessions that we may look into: a few are just tried, many are compared with KSeF's own list of
    our sessions, which shows nobody else's (facts §7.1)."""
    known = {row["reference"] for row in sessions.of_client(turn.office.db, turn.client_id, -1)}
    strange = named - known
    if len(strange) <= looking.FEW:
        return known | strange
    since = min(datetime.fromisoformat(row["issue_date"]) for row in rows).replace(tzinfo=UTC) - timedelta(days=1)
    for kind in _KINDS:
        known |= {one.reference_number for one in await turn.api.sessions(access, kind, since)}
    return known


async def _in_our_sessions(
    turn: Turn,
    access: Access,
    rows: list[sqlite3.Row],
    named: dict[int, str],
    ours: set[str],
    sent_in: dict[int, str],
) -> list[sqlite3.Row]:
    """Settle what is accepted in a session of ours, with one list for all that may be in it; the rest."""
    newest = [s["reference"] for s in sessions.of_client(turn.office.db, turn.client_id, OWN_SESSIONS_SEARCHED)]
    wanted: dict[str, list[sqlite3.Row]] = {}
    for row in rows:
        name = named.get(row["id"], "")
        for reference in [name] if name else newest:
            if reference in ours and reference != sent_in.get(row["session_id"]):
                wanted.setdefault(reference, []).append(row)
    settled: set[int] = set()
    for reference, asked in wanted.items():
        if all(row["id"] in settled for row in asked):
            continue
        items = await _listed(turn, access, reference)
        for row in asked:
            item = None if items is None else items.get(hash_b64(row["sha256"]))
            if item is None or row["id"] in settled:
                continue
            settled.add(row["id"])
            if item.upo_download_url:
                turn.polls.upo_urls[row["id"]] = item.upo_download_url
            accept(
                turn, row, "settle", item.ksef_number, item.invoicing_mode, reference=item.reference_number,
                original_session=reference,
            )  # fmt: skip
    return [row for row in rows if row["id"] not in settled]


async def _listed(turn: Turn, access: Access, reference: str) -> dict[str, SessionInvoice] | None:
    """The accepted invoices of a session by hash; None when it is another subject's (F23), or gone."""
    known, now = turn.polls.lists.get(reference), turn.now.timestamp()
    if known is None or now - known.at > ASK_AGAIN.total_seconds():
        items: dict[str, SessionInvoice] | None = None
        with suppress(Refused):
            found = await turn.api.session_invoices(access, reference)
            items = {one.invoice_hash: one for one in found if one.status.code == 200 and one.ksef_number}
        known = turn.polls.lists[reference] = Listed(now, items)
    return known.items


def _found(
    turn: Turn, named: dict[int, str], ours: set[str], row: sqlite3.Row, number: str, digest: str | None
) -> None:
    """The original: the same document is accepted with its number, another one takes the number (F5)."""
    if digest is None:
        _look_later(turn, row, CHECKING)
        return
    if digest == hash_b64(row["sha256"]):
        session = named.get(row["id"], "")
        listed = turn.polls.lists.get(session)
        readable = session in ours and (listed is None or listed.items is not None)
        accept(
            turn, row, "settle", number, row["mode"].capitalize(), reference=row["reference"],
            original_session=session, upo=UpoState.NONE if session and readable else UpoState.UNAVAILABLE,
        )  # fmt: skip
        return
    reason = f"numer {row['number']} ma już w KSeF inna faktura ({number}) – F4: co dalej"
    with turn.office.db.write() as connection:
        moved = invoices.move(
            connection, turn.now, row["id"], "settle", S.UNKNOWN, S.REJECTED,
            attempt=row["attempts"], reason_code=COLLISION, reason=reason, ksef_number="",
        )  # fmt: skip
        if moved:  # what it is, is read later, so that a person can compare the two (`collisions`)
            collisions.put(connection, row["id"], ksef_number=number, missing="", next_look=None)


def _still_unknown(turn: Turn, row: sqlite3.Row, refused: Refused) -> None:
    right = "przeglądanie faktur (InvoiceRead)" if refused.status == 403 else "dostęp do oryginału"
    _look_later(turn, row, f"{CHECKING}; brakuje uprawnienia: {right}")


def _look_later(turn: Turn, row: sqlite3.Row, reason: str) -> None:
    with turn.office.db.write() as connection:
        invoices.note(
            connection, turn.now, row["id"], S.UNKNOWN, reason=reason, next_look=to_text(turn.now + ASK_AGAIN)
        )
    turn.come_back(ASK_AGAIN.total_seconds())
