"""Invoices of ours in a session that the present login may not read: another subject opened it (F23), or it is not of
this client's context (F22). Nothing of them is sent again; they are looked for by their hash among what KSeF has.
"""

from __future__ import annotations

import sqlite3
from datetime import datetime, timedelta

from ksef_tui.domain.invoices import InvoiceState, UpoState
from ksef_tui.domain.staff import masked
from ksef_tui.domain.times import from_text, to_text
from ksef_tui.ksef.api import Access
from ksef_tui.ksef.crypto import hash_b64
from ksef_tui.ksef.errors import Refused
from ksef_tui.services import looking
from ksef_tui.services.calls import NotNow
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
    await _look(turn, access, rows, _whose(turn, session), _last_sent(turn, session) + SURELY_OVER)
    turn.come_back(ASK_AGAIN)


async def settle_without_list(turn: Turn, access: Access, session: sqlite3.Row, rows: list[sqlite3.Row]) -> None:
    """KSeF itself failed on the session (500) and does not list these: they are looked for by hash (facts §10.1). An hour
    after it said so, when what it had taken would long be shown, they are free again."""
    failed_at = from_text(session["checked_at"])
    await _look(turn, access, rows, KSEF_FAILED, max(_last_sent(turn, session), failed_at) + FAILED_OVER)


def _last_sent(turn: Turn, session: sqlite3.Row) -> datetime:
    """When one of its invoices can last have gone out: when the session was last used or closed; if the books are a
    restored backup, until they were restored, for what was done since the backup they do not know (F6)."""
    restored = turn.office.db.value("SELECT max(at) FROM audit WHERE act = 'restore'")
    return from_text(max(session["used_at"], session["closed_at"] or "", restored or ""))


async def _look(turn: Turn, access: Access, rows: list[sqlite3.Row], why: str, free_from: datetime) -> None:
    """Free is only what a question put after `free_from` did not find; what could not be asked for yet stands."""
    over = turn.now >= free_from
    left = {row["id"]: row for row in rows}

    def tell(row: sqlite3.Row, number: str, digest: str | None) -> None:
        del left[row["id"]]
        if digest == hash_b64(row["sha256"]):
            accept(
                turn, row, _act(row), number, row["mode"].capitalize(), reference=row["reference"],
                upo=UpoState.UNAVAILABLE,
            )  # fmt: skip
        elif over and (digest is not None or not number):  # has another its number, KSeF's 440 will say so (rule 5)
            move_on(turn, row, _act(row), S.APPROVED, session_id=None, ordinal=None, reference="")
            turn.come_back(0)
        else:
            _stands(turn, row, why)

    try:
        await looking.look_for_bytes(turn, access, rows, tell, proof=free_from if over else None)
    except NotNow as wait:
        for row in left.values():
            _stands(turn, row, why, wait.seconds)
        raise
    except Refused as refused:
        if refused.status != 403:
            raise
        for row in left.values():
            _stands(turn, row, f"{why} Brakuje prawa przeglądania faktur (InvoiceRead).")


def _act(row: sqlite3.Row) -> str:
    return "settle" if row["state"] == S.UNKNOWN else "track"


def _whose(turn: Turn, session: sqlite3.Row) -> str:
    if opened_by_another(turn, session):
        kind, _, value = session["subject"].partition(":")
        return f"wysłał ją {masked(kind, value)} i tylko on widzi wynik – szukam jej w KSeF po skrócie."
    return "KSeF nie pokazuje sesji, w której ją wysłano, bo należy ona do kogo innego – szukam po skrócie."


def _stands(turn: Turn, row: sqlite3.Row, reason: str, seconds: float = ASK_AGAIN) -> None:
    if (row["reason_code"], row["reason"]) == (NOT_OURS, reason):
        return
    with turn.office.db.write() as connection:
        invoices.note(
            connection, turn.now, row["id"], S(row["state"]), reason_code=NOT_OURS, reason=reason,
            next_look=to_text(turn.now + timedelta(seconds=seconds)),
        )  # fmt: skip
