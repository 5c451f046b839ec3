"""A refused invoice is looked for in KSeF before it may go again (design §5 `retry`, §6 rule 5; field notes 5.3: 500, 550).

By the hash of its bytes: in our own sessions, then in the metadata query. Found: accepted with that number, whatever the
refusal said. Not there: it waits for approval again, with all checks anew. No right to look: it stays refused and says
which right. A lost answer tells nothing: it stays unknown and is looked for again.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from datetime import UTC, date, datetime, time, timedelta

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
A_DAY = timedelta(days=1)
MOST_DAYS = timedelta(days=88)  # of one query, which takes at most 90 (facts §16)
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
    """Those that KSeF has, whoever sent them, leave `rows`: a few are asked for by their number, many by their days."""
    if len(rows) > looking.FEW:
        for since, until in _spans(rows):
            await _days(turn, access, rows, since, until)
        return
    for digest, row in list(rows.items()):
        await _alone(turn, access, rows, digest, row)


async def _alone(turn: Turn, access: Access, rows: Rows, digest: str, row: sqlite3.Row) -> None:
    day = _noon(row["issue_date"])
    turn.doing.invoice_id = row["id"]
    try:
        found = await turn.api.query_metadata(
            access, subject="Subject1", date_type="Issue", since=day - A_DAY, until=day + A_DAY,
            invoice_number=row["number_key"],
        )  # fmt: skip
    finally:
        turn.doing.invoice_id = None
    number = next((one.ksef_number for one in found if one.invoice_hash == digest), "")
    if number:
        _is_there(turn, rows, digest, number)
    else:
        _free(turn, rows.pop(digest))


async def _days(turn: Turn, access: Access, rows: Rows, since: datetime, until: datetime) -> None:
    """All that was issued on these days, page by page; a limit may interrupt it, and it goes on where it was (F35)."""
    asked = max(row["changed_at"] for row in rows.values())  # what was read before they were asked for proves nothing
    name = (f"retry {since:%Y-%m-%d} {until:%Y-%m-%d}", asked)
    read = turn.polls.metadata.setdefault(name, looking.Read())
    more = True
    while more:
        page = await turn.api.metadata_page(
            access, subject="Subject1", date_type="Issue", since=since, until=until, offset=read.offset
        )
        read.take(page.invoices, turn.nip)
        read.offset += 1
        more = page.has_more and not page.is_truncated
    del turn.polls.metadata[name]
    days = (since.date().isoformat(), until.date().isoformat())
    for digest, row in list(rows.items()):
        if digest in read.by_hash:
            _is_there(turn, rows, digest, read.by_hash[digest])
        elif page.is_truncated:  # beyond 10,000 the list does not go
            await _alone(turn, access, rows, digest, row)
        elif days[0] < row["issue_date"] < days[1]:
            _free(turn, rows.pop(digest))


def _spans(rows: Rows) -> Iterator[tuple[datetime, datetime]]:
    """The days of issue of what is looked for, in queries that KSeF takes: each day lies within one of them."""
    days = sorted({str(row["issue_date"]) for row in rows.values()})
    while days:
        start = _noon(days[0]) - A_DAY
        near = [day for day in days if _noon(day) + A_DAY - start <= MOST_DAYS]
        yield start, _noon(near[-1]) + A_DAY
        days = days[len(near) :]


def _noon(day: str) -> datetime:
    return datetime.combine(date.fromisoformat(day), time(12), UTC)


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
