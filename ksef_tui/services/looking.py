"""Looking for many invoices among what KSeF has, at the price of few questions.

The metadata query may be asked 20 times an hour (facts §12), so one question for each invoice would take days. Up to a
few are asked for by their number; more by their days of issue, 250 a page: 3,000 invoices are 12 questions. What was
read is kept between passes, for a limit may interrupt it anywhere.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from typing import TYPE_CHECKING

from ksef_tui.domain.invoices import normal_number
from ksef_tui.ksef.api import Access
from ksef_tui.ksef.crypto import hash_b64, sha256_b64
from ksef_tui.ksef.errors import Refused

if TYPE_CHECKING:
    from ksef_tui.ksef.models import InvoiceMetadata
    from ksef_tui.services.turn import Turn

FEW = 3  # invoices that are asked for one by one
ISSUE_WINDOW = timedelta(days=45)  # around the date of issue; a query takes at most 90 days
LONGEST = timedelta(days=88)
KEPT = 3600.0  # seconds that what was read is believed
NOT_STORED_YET = (21164, 21165)

# Told for each invoice: the row, the original's KSeF number, the hash (Base64) of its bytes; None: KSeF does not show it.
Tell = Callable[[sqlite3.Row, str, str | None], None]


@dataclass(slots=True)
class Read:
    """What the metadata of some days of issue say, as far as they were read."""

    offset: int = 0
    read_at: float | None = None  # seconds since 1970; None: not to the end
    by_hash: dict[str, str] = field(default_factory=dict)
    by_number: dict[str, str] = field(default_factory=dict)
    by_key: dict[tuple[str, str], str] = field(default_factory=dict)

    def take(self, found: Sequence[InvoiceMetadata], seller: str) -> None:
        """Another page."""
        for one in found:
            if one.seller is not None and one.seller.nip not in ("", seller):
                continue
            self.by_hash[one.invoice_hash] = one.ksef_number
            self.by_number[one.ksef_number] = one.invoice_hash
            self.by_key[(one.invoice_type.upper(), normal_number(one.invoice_number))] = one.ksef_number

    def answer(self, row: sqlite3.Row) -> tuple[str, str] | None:
        """The original of an invoice: its number and the hash of its bytes. Seller, kind and number are KSeF's key (F4)."""
        wanted = hash_b64(row["sha256"])
        if wanted in self.by_hash:
            return self.by_hash[wanted], wanted
        number = row["ksef_number"] or self.by_key.get((kind_of(row), row["number_key"]), "")
        return (number, self.by_number[number]) if number in self.by_number else None


def kind_of(row: sqlite3.Row) -> str:
    """The kind of an invoice as the metadata write it."""
    return str(row["kind"]).replace("_", "").upper()


async def look_for(turn: Turn, access: Access, rows: Sequence[sqlite3.Row], tell: Tell, *, others: bool = True) -> None:
    """Tell of each invoice whether KSeF has it. `others`: also another document with its number, issued on another day.

    Raises NotNow and Refused; what was told by then stands.
    """
    left = list(rows)
    if len(left) > FEW:
        left = await _by_days(turn, access, left, tell)
        if not others:
            for row in left:
                tell(row, "", None)
            return
    for row in left:
        turn.doing.invoice_id = row["id"]
        try:
            tell(row, *await in_ksef(turn, access, row))
        finally:
            turn.doing.invoice_id = None


async def _by_days(turn: Turn, access: Access, rows: list[sqlite3.Row], tell: Tell) -> list[sqlite3.Row]:
    """The metadata of the days on which these were issued, page by page; what is not among them is asked for alone."""
    ordered = sorted(rows, key=lambda row: str(row["issue_date"]))
    first = _noon(ordered[0])
    near = [row for row in ordered if _noon(row) - first <= LONGEST]
    last = _noon(near[-1])
    name = (first.isoformat(), last.isoformat())
    read = turn.polls.metadata.get(name)
    if read is None or (read.read_at is not None and turn.now.timestamp() - read.read_at > KEPT):
        read = turn.polls.metadata[name] = Read()
    left = _told(read, near, tell)
    while left and read.read_at is None:
        page = await turn.api.metadata_page(
            access, subject="Subject1", date_type="Issue", since=first - timedelta(hours=36), until=last + timedelta(hours=36),
            offset=read.offset,
        )  # fmt: skip
        read.take(page.invoices, turn.nip)
        read.offset += 1
        if not page.has_more or page.is_truncated:  # beyond 10,000 each is asked for by its number
            read.read_at = turn.now.timestamp()
        left = _told(read, left, tell)
    return [*left, *(row for row in ordered if row not in near)]


def _told(read: Read, rows: list[sqlite3.Row], tell: Tell) -> list[sqlite3.Row]:
    left = []
    for row in rows:
        answer = read.answer(row)
        if answer is None:
            left.append(row)
        else:
            tell(row, *answer)
    return left


def _noon(row: sqlite3.Row) -> datetime:
    return datetime.combine(date.fromisoformat(row["issue_date"]), time(12), UTC)


async def in_ksef(turn: Turn, access: Access, row: sqlite3.Row) -> tuple[str, str | None]:
    """The original's number and hash (Base64), by the metadata query, then by download. Raises Refused (403)."""
    day = _noon(row)
    found = await turn.api.query_metadata(
        access, subject="Subject1", date_type="Issue", since=day - ISSUE_WINDOW, until=day + ISSUE_WINDOW - timedelta(days=1),
        invoice_number=row["number_key"],
    )  # fmt: skip
    read = Read()
    read.take(found, turn.nip)
    answer = read.answer(row)
    if answer is not None:
        return answer
    if not row["ksef_number"]:
        return "", None
    try:
        original = await turn.api.invoice(access, row["ksef_number"])
    except Refused as refused:
        if refused.code in NOT_STORED_YET:  # later (F17)
            return row["ksef_number"], None
        raise
    return row["ksef_number"], sha256_b64(original.body)
