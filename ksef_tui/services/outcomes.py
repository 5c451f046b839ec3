"""What KSeF said of an invoice, written down: every such move names the attempt that it speaks of."""

from __future__ import annotations

import sqlite3
from datetime import timedelta
from typing import Any

from ksef_tui.domain.invoices import InvoiceState, UpoState
from ksef_tui.domain.times import to_text
from ksef_tui.ksef.numbers import parse_ksef_number
from ksef_tui.services import storage
from ksef_tui.services.turn import Turn
from ksef_tui.store import invoices

UPO_SOON = timedelta(seconds=1)  # a receipt that is not there with the number is asked for a little later


def accept(
    turn: Turn,
    row: sqlite3.Row,
    act: str,
    ksef_number: str,
    mode: str,
    *,
    reference: str,
    original_session: str = "",
    upo: UpoState = UpoState.NONE,
    upo_ready: bool = True,
    stored: bool = True,
) -> None:
    """The invoice has a KSeF number. One that is not this seller's, or fails its checksum, is not believed. `stored`:
    KSeF shows it to others already (F17)."""
    parsed = parse_ksef_number(ksef_number)
    if parsed is None or parsed.nip != row["seller_nip"]:
        with turn.office.db.write() as connection:
            reason = f"KSeF podał dziwny numer: {ksef_number[:40] or 'pusty'} – sprawdzam dalej"
            invoices.note(connection, turn.now, row["id"], InvoiceState(row["state"]), reason=reason)
        return
    turn.polls.progress += 1
    with turn.office.db.write() as connection:
        move_on(
            turn, row, act, InvoiceState.ACCEPTED, ksef_number=ksef_number, mode="offline" if mode == "Offline" else "online",
            accepted_at=to_text(turn.now), reference=reference, original_session=original_session, upo=upo,
            next_look=None if upo_ready else to_text(turn.now + UPO_SOON),
        )  # fmt: skip
        if not stored:
            storage.numbered(turn, connection, row["id"])


def move_on(turn: Turn, row: sqlite3.Row, act: str, new: InvoiceState, **values: Any) -> None:
    """Take an invoice on, if it is still where the row saw it and still the same attempt."""
    with turn.office.db.write() as connection:
        invoices.move(
            connection, turn.now, row["id"], act, InvoiceState(row["state"]), new, attempt=row["attempts"], **values
        )
