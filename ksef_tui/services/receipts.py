"""UPO, the official receipt of each accepted invoice: fetched, checked, kept byte for byte (facts §10.4, F45)."""

from __future__ import annotations

import asyncio
import sqlite3
from datetime import timedelta

from ksef_tui.domain.invoices import InvoiceState, UpoState
from ksef_tui.domain.times import from_text, to_text
from ksef_tui.ksef.api import Access, Download
from ksef_tui.ksef.crypto import hash_b64
from ksef_tui.ksef.errors import Refused, Unknown
from ksef_tui.ksef.upo import UpoProblem, check_upo
from ksef_tui.services import foreign_sessions, login, storage
from ksef_tui.services.turn import Turn
from ksef_tui.store import documents, invoices, settings

AT_A_TIME = 100
AT_ONCE = 4  # receipts fetched side by side
MANY = 3  # receipts of one session from which its list is cheaper than asking for each
FIRST_WAIT = timedelta(seconds=2)
LONGEST_WAIT = timedelta(minutes=10)
NOT_READY = 21178
LONG = timedelta(minutes=1)  # receipts take seconds
OTHER_UPO = "KSeF daje UPO innej faktury niż zapisana – program go nie przyjmuje i pyta dalej"
NOT_OURS = frozenset({"insufficient-resource-access", "missing-permissions"})


async def fetch_receipts(turn: Turn) -> None:
    """Fetch what can be had now; what cannot is asked again later, ever more rarely."""
    rows = invoices.without_upo(turn.office.db, turn.client_id, turn.now, AT_A_TIME)
    if not rows:
        _come_back_for_the_next(turn)
        return
    await _collect_addresses(turn, rows)
    access = await login.access_for(turn)
    gate = asyncio.Semaphore(AT_ONCE)
    results = await asyncio.gather(*(_one(turn, access, row, gate) for row in rows), return_exceptions=True)
    failed = [result for result in results if isinstance(result, BaseException)]
    if failed:
        raise failed[0]
    if len(rows) == AT_A_TIME:
        turn.come_back(0)
    _come_back_for_the_next(turn)


async def _one(turn: Turn, access: Access, row: sqlite3.Row, gate: asyncio.Semaphore) -> None:
    async with gate:
        with turn.doing.about(row["id"]):
            await _fetch(turn, access, row)


def _come_back_for_the_next(turn: Turn) -> None:
    soonest = turn.office.db.value(
        "SELECT min(next_look) FROM invoice WHERE client_id = ? AND state = 'accepted' AND upo IN ('none', 'late')",
        (turn.client_id,),
    )
    if soonest is not None:
        turn.come_back((from_text(soonest) - turn.now).total_seconds())


async def _collect_addresses(turn: Turn, rows: list[sqlite3.Row]) -> None:
    """Many receipts of one session: its list gives the addresses of all at the price of one question."""
    wanted: dict[int, list[sqlite3.Row]] = {}
    for row in rows:
        if row["session_id"] is not None and not row["original_session"] and row["id"] not in turn.polls.upo_urls:
            wanted.setdefault(row["session_id"], []).append(row)
    for session_id, missing in wanted.items():
        if len(missing) < MANY:
            continue
        access = await login.access_for(turn)
        reference = turn.office.db.value("SELECT reference FROM session WHERE id = ?", (session_id,))
        try:
            items = {item.invoice_hash: item for item in await turn.api.session_invoices(access, reference)}
        except Refused:  # then each is asked for by itself
            continue
        storage.seen(turn, missing, items)
        for row in missing:
            item = items.get(hash_b64(row["sha256"]))
            if item is not None and item.upo_download_url:
                turn.polls.upo_urls[row["id"]] = item.upo_download_url


async def _fetch(turn: Turn, access: Access, row: sqlite3.Row) -> None:
    try:
        download = await _download(turn, access, row)
        check_upo(download.body, download.meta_hash, row["ksef_number"], hash_b64(row["sha256"]))
    except Refused as refused:
        if turn.polls.upo_urls.pop(row["id"], None) is not None:
            _later(turn, row)  # an address lives for some days: that it is refused says nothing of the receipt
        elif refused.reason_code in NOT_OURS and row["original_session"]:
            _note(
                turn,
                row,
                upo=UpoState.UNAVAILABLE,
                reason="UPO ma ten, kto wysłał oryginał; dowodem jest numer i skrót",
            )
        elif refused.reason_code == foreign_sessions.NOT_OURS and _sent_by_another(turn, row):
            _note(turn, row, upo=UpoState.UNAVAILABLE, reason=foreign_sessions.LOST_RECEIPT)
        elif refused.reason_code == foreign_sessions.NOT_OURS:  # the row names a session that is not this client's
            _later(turn, row, "KSeF nie daje UPO: sesja, w której ją wysłano, należy do kogo innego")
        elif not await _reference_mended(turn, access, row):
            _later(turn, row, "" if refused.code == NOT_READY else f"KSeF nie daje UPO: {refused.message}")
    except UpoProblem as problem:
        turn.polls.upo_urls.pop(row["id"], None)
        _later(turn, row, OTHER_UPO if problem.reason == "other_document" else "")
    except Unknown:
        turn.polls.upo_urls.pop(row["id"], None)
        _later(turn, row)
    else:
        _save(turn, row, download.body)


async def _reference_mended(turn: Turn, access: Access, row: sqlite3.Row) -> bool:
    """A receipt that does not come: does KSeF's own list name the invoice, by its hash, with another reference than the
    row has? Then the row takes it, and the receipt is asked for again."""
    session = turn.office.db.value("SELECT reference FROM session WHERE id = ?", (row["session_id"],))
    if not session or row["original_session"] or turn.now - from_text(row["accepted_at"]) < LONG:
        return False
    try:
        items = {item.invoice_hash: item for item in await turn.api.session_invoices(access, session)}
    except Refused:
        return False
    item = items.get(hash_b64(row["sha256"]))
    if item is None or item.reference_number == row["reference"]:
        return False
    _note(turn, row, reference=item.reference_number, next_look=None)
    turn.come_back(0)
    return True


def _sent_by_another(turn: Turn, row: sqlite3.Row) -> bool:
    """Whether the client's identity has changed since, so that nobody here may fetch the receipt any more (F23)."""
    session = turn.office.db.row("SELECT * FROM session WHERE id = ?", (row["session_id"],))
    return session is not None and foreign_sessions.opened_by_another(turn, session)


async def _download(turn: Turn, access: Access, row: sqlite3.Row) -> Download:
    url = turn.polls.upo_urls.get(row["id"])
    if url:  # handed out with the status: costs none of the limits
        return await turn.api.fetch_url(url)
    if row["original_session"]:
        return await turn.api.upo_by_ksef_number(access, row["original_session"], row["ksef_number"])
    session = turn.office.db.value("SELECT reference FROM session WHERE id = ?", (row["session_id"],))
    if not session:
        raise Refused("Nie wiadomo, w której sesji wysłano fakturę.", status=0, reason_code="")
    return await turn.api.invoice_upo(access, session, row["reference"])


def _save(turn: Turn, row: sqlite3.Row, body: bytes) -> None:
    with turn.office.db.write() as connection:
        sha256 = documents.put(connection, body)
        invoices.note(
            connection, turn.now, row["id"], InvoiceState.ACCEPTED,
            upo=UpoState.SAVED, upo_sha256=sha256, upo_at=to_text(turn.now), next_look=None,
        )  # fmt: skip
    turn.polls.upo_urls.pop(row["id"], None)


def _later(turn: Turn, row: sqlite3.Row, reason: str = "") -> None:
    """Ask again after as long as it has already taken, and say when it is late."""
    waited = turn.now - from_text(row["accepted_at"])
    late = waited > timedelta(minutes=settings.get_int(turn.office.db, "upo_late_minutes"))
    pause = min(LONGEST_WAIT, max(FIRST_WAIT, waited))
    upo = UpoState.LATE if late else UpoState.NONE
    _note(turn, row, upo=upo, next_look=to_text(turn.now + pause), reason=reason)


def _note(turn: Turn, row: sqlite3.Row, **values: object) -> None:
    with turn.office.db.write() as connection:
        invoices.note(connection, turn.now, row["id"], InvoiceState.ACCEPTED, **values)
