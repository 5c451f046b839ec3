"""A number is not all: until KSeF has stored an invoice for good (`permanentStorageDate`), nobody else sees it (F17).

That takes seconds. Ten minutes after its number an invoice that was not seen stored is asked for, with one list for all
of its session; while it is not there, it says so, and doctor tells of it.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from datetime import timedelta

from ksef_tui.domain.invoices import NOT_STORED, InvoiceState
from ksef_tui.domain.times import from_text, warsaw
from ksef_tui.ksef.crypto import hash_b64
from ksef_tui.ksef.errors import Refused
from ksef_tui.ksef.models import SessionInvoice
from ksef_tui.services import login
from ksef_tui.services.turn import Turn
from ksef_tui.store import invoices, unstored

FIRST_LOOK = timedelta(minutes=10)
LONGEST_WAIT = timedelta(hours=6)


def numbered(turn: Turn, connection: sqlite3.Connection, invoice_id: int) -> None:
    """An invoice got its number before KSeF had stored it. In the transaction that writes the number."""
    unstored.put(connection, invoice_id, turn.client_id, turn.now, turn.now + FIRST_LOOK)


def seen(turn: Turn, rows: Iterable[sqlite3.Row], items: dict[str, SessionInvoice]) -> None:
    """What a list that was read anyway says of these invoices."""
    there = [row for row in rows if (item := items.get(hash_b64(row["sha256"]))) and item.permanent_storage_date]
    if there:
        with turn.office.db.write() as connection:
            for row in there:
                _stored(turn, connection, row)


async def look(turn: Turn) -> None:
    """Ask for those whose time has come. Raises NotNow, KsefError."""
    due = unstored.due(turn.office.db, turn.client_id, turn.now)
    by_session: dict[str, list[sqlite3.Row]] = {}
    for row in due:
        by_session.setdefault(row["session_reference"] or "", []).append(row)
    for reference, rows in by_session.items():
        access = await login.access_for(turn)
        try:
            items = await turn.api.session_invoices(access, reference) if reference else []
        except Refused:  # a session that may not be read (any more): nothing can be learned of these
            with turn.office.db.write() as connection:
                for row in rows:
                    unstored.forget(connection, row["id"])
            continue
        found = {item.invoice_hash: item for item in items}
        seen(turn, rows, found)
        missing = [row for row in rows if not ((i := found.get(hash_b64(row["sha256"]))) and i.permanent_storage_date)]
        _still_missing(turn, missing)


def _still_missing(turn: Turn, rows: list[sqlite3.Row]) -> None:
    with turn.office.db.write() as connection:
        for row in rows:
            waited = turn.now - from_text(row["numbered_at"])
            unstored.later(connection, row["id"], turn.now + min(LONGEST_WAIT, waited))
            if row["reason_code"] != NOT_STORED:
                since = warsaw(from_text(row["numbered_at"]))
                reason = (
                    f"KSeF nie udostępnia jeszcze tej faktury (numer od {since:%d.%m %H:%M}) – nabywca jej nie widzi"
                )
                invoices.note(
                    connection, turn.now, row["id"], InvoiceState.ACCEPTED, reason_code=NOT_STORED, reason=reason
                )


def _stored(turn: Turn, connection: sqlite3.Connection, row: sqlite3.Row) -> None:
    unstored.forget(connection, row["id"])
    if row["reason_code"] == NOT_STORED:
        invoices.note(connection, turn.now, row["id"], InvoiceState.ACCEPTED, reason_code="", reason="")
