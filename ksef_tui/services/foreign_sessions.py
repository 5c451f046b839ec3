"""Invoices of ours in a session that the present login may not read: another subject opened it (F23), or it is not of
this client's context (F22). Nothing of them is sent again; they are looked for by their hash among what KSeF has.
"""

from __future__ import annotations

import sqlite3
from datetime import timedelta

from ksef_tui.domain.invoices import InvoiceState, UpoState
from ksef_tui.domain.staff import masked
from ksef_tui.domain.times import to_text
from ksef_tui.ksef.api import Access
from ksef_tui.ksef.crypto import hash_b64
from ksef_tui.ksef.errors import Refused
from ksef_tui.services import looking
from ksef_tui.services.interactive import age
from ksef_tui.services.outcomes import accept, move_on
from ksef_tui.services.turn import Turn
from ksef_tui.store import authorizations, invoices

S = InvoiceState
NOT_OURS = "insufficient-resource-access"
SURELY_OVER = timedelta(hours=24)  # KSeF ends a session after 12 hours (facts §8.1), whoever opened it
FAILED_OVER = timedelta(hours=1)
KSEF_FAILED = "KSeF nie zdołał przetworzyć paczki (500) – szukam faktury w KSeF po skrócie."
ASK_AGAIN = 60.0  # seconds
LOST_RECEIPT = "UPO może pobrać tylko ten, kto wysłał fakturę; dowodem jest numer KSeF i zgodny skrót"


def opened_by_another(turn: Turn, session: sqlite3.Row) -> bool:
    """Whether the database itself says that another subject opened the session."""
    subject = authorizations.get(turn.office.db, turn.client_id)["subject"]
    return session["subject"] not in ("", subject) and subject != f"Nip:{turn.nip}"


async def settle(turn: Turn, access: Access, session: sqlite3.Row, rows: list[sqlite3.Row]) -> None:
    """Look for the invoices by their hash: found, one is accepted, without an UPO; not found a day after its session, when
    nothing can be on its way any more, it is free again. KSeF takes no number twice, whatever we believe (F4)."""
    await _look(turn, access, rows, _whose(turn, session), over=age(turn, session["used_at"]) > SURELY_OVER)
    turn.come_back(ASK_AGAIN)


async def settle_without_list(turn: Turn, access: Access, session: sqlite3.Row, rows: list[sqlite3.Row]) -> None:
    """KSeF itself failed on the session (500) and does not list these: they are looked for by hash (facts §10.1). An hour
    later, when what it had taken would long be shown, they are free again."""
    await _look(turn, access, rows, KSEF_FAILED, over=age(turn, session["used_at"]) > FAILED_OVER)


async def _look(turn: Turn, access: Access, rows: list[sqlite3.Row], why: str, *, over: bool) -> None:
    def tell(row: sqlite3.Row, number: str, digest: str | None) -> None:
        if digest == hash_b64(row["sha256"]):
            accept(
                turn, row, _act(row), number, row["mode"].capitalize(), reference=row["reference"],
                upo=UpoState.UNAVAILABLE,
            )  # fmt: skip
        elif over:  # should another document have its number, KSeF's 440 will say so (rule 5)
            move_on(turn, row, _act(row), S.APPROVED, session_id=None, ordinal=None, reference="")
            turn.come_back(0)
        else:
            _stands(turn, row, why)

    try:
        await looking.look_for(turn, access, rows, tell, others=False)
    except Refused as refused:
        if refused.status != 403:
            raise
        for row in rows:
            _stands(turn, row, f"{why} Brakuje prawa przeglądania faktur (InvoiceRead).")


def _act(row: sqlite3.Row) -> str:
    return "settle" if row["state"] == S.UNKNOWN else "track"


def _whose(turn: Turn, session: sqlite3.Row) -> str:
    if opened_by_another(turn, session):
        kind, _, value = session["subject"].partition(":")
        return f"wysłał ją {masked(kind, value)} i tylko on widzi wynik – szukam jej w KSeF po skrócie."
    return "KSeF nie pokazuje sesji, w której ją wysłano, bo należy ona do kogo innego – szukam po skrócie."


def _stands(turn: Turn, row: sqlite3.Row, reason: str) -> None:
    if (row["reason_code"], row["reason"]) == (NOT_OURS, reason):
        return
    with turn.office.db.write() as connection:
        invoices.note(
            connection, turn.now, row["id"], S(row["state"]), reason_code=NOT_OURS, reason=reason,
            next_look=to_text(turn.now + timedelta(seconds=ASK_AGAIN)),
        )  # fmt: skip
