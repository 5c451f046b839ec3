"""Looking for many invoices among what KSeF has, at the price of few questions.

The metadata query may be asked 20 times an hour (facts §12), so one question for each invoice would take days. Up to a
few are asked for by their number; more by their days of issue, 250 a page: 3,000 invoices are 12 questions. What was
read is kept between passes, for a limit may interrupt it anywhere.

That an invoice is there, any page proves. That it is not, only a list does that was asked for after it could last have
gone out, shows its day of issue, and was read to its end (facts §16: one list is cut off after 10,000 rows).
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from typing import TYPE_CHECKING

from ksef_tui.domain.invoices import normal_number
from ksef_tui.domain.times import WARSAW
from ksef_tui.ksef.api import Access
from ksef_tui.ksef.crypto import hash_b64, sha256_b64
from ksef_tui.ksef.errors import Refused

if TYPE_CHECKING:
    from ksef_tui.ksef.api_sessions import MetadataPage
    from ksef_tui.ksef.models import InvoiceMetadata
    from ksef_tui.services.turn import Turn

FEW = 3  # invoices that are asked for one by one
ISSUE_WINDOW = timedelta(days=45)  # around the date of issue; a query takes at most 90 days
AROUND = timedelta(hours=36)  # before and after the noon of a day of issue, in whatever time KSeF counts its days
LONGEST = timedelta(days=86)  # from the first to the last day of one list, so that with both margins it has 89
KEPT = 3600.0  # seconds that what was read is believed
A_DAY = timedelta(days=1)
NEVER = datetime.min.replace(tzinfo=UTC)
NOT_STORED_YET = (21164, 21165)

# Told for each invoice: the row, the original's KSeF number, the hash (Base64) of its bytes; None: KSeF does not show it.
Tell = Callable[[sqlite3.Row, str, str | None], None]


@dataclass(slots=True)
class Read:
    """What the metadata of some days of issue (`first` to `last`, ISO) say, as far as they were read.

    `begun`, `ended`: when the first page was asked for and the last was read, seconds since 1970; None: not to the end.
    `cut`: days with more rows than KSeF shows; `is_partial`: it is not known which days it left out.
    """

    first: str = ""
    last: str = ""
    begun: float = 0.0
    ended: float | None = None
    since: datetime = NEVER
    offset: int = 0
    cut: set[str] = field(default_factory=set)
    is_partial: bool = False
    by_hash: dict[str, str] = field(default_factory=dict)
    by_number: dict[str, str] = field(default_factory=dict)
    by_key: dict[tuple[str, str], str] = field(default_factory=dict)

    def shows(self, day: str) -> bool:
        """Whether all that was issued on a day (ISO) was read."""
        return self.ended is not None and not self.is_partial and self.first <= day <= self.last and day not in self.cut

    def page(self, page: MetadataPage, seller: str, now: float) -> None:
        """Another page. A list that KSeF cuts off goes on from the day where it was cut (facts §16)."""
        self.take(page.invoices, seller)
        self.offset += 1
        if page.is_truncated or (page.has_more and not page.invoices):
            self._go_on_from(page.invoices[-1].issue_date if page.invoices else None)
        elif not page.has_more:
            self.ended = now
            return
        if self.is_partial or self.since > _noon(self.last) + AROUND:
            self.ended = now

    def _go_on_from(self, day: date | None) -> None:
        start = self.since if day is None else _midnight(day)
        if day is not None and start <= self.since:  # that day alone has more rows than KSeF shows
            self.cut.add(day.isoformat())
            start = _midnight(day + A_DAY)
        if start <= self.since:
            self.is_partial = True
        self.since, self.offset = start, 0

    def take(self, found: Sequence[InvoiceMetadata], seller: str) -> None:
        """What KSeF shows."""
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


async def look_for(turn: Turn, access: Access, rows: Sequence[sqlite3.Row], tell: Tell) -> None:
    """Tell of each invoice what KSeF has with its number, also when that was issued on another day.

    Raises NotNow and Refused; what was told by then stands.
    """
    for span in _spans(turn, rows):
        left = list(span)
        if len(left) > FEW:
            _, left = await _by_days(turn, access, left, lambda read, row: read.answer(row), tell, None)
        await _alone(turn, access, left, tell)


async def look_for_bytes(
    turn: Turn, access: Access, rows: Sequence[sqlite3.Row], tell: Tell, *, proof: datetime | None
) -> None:
    """Tell of each invoice whether KSeF has these very bytes.

    `proof`: None is told only of what a question put after this moment, and answered in full, did not find; without it
    it may also be told of what a list of the last hour does not show. Raises as `look_for`.
    """
    left, alone = list(rows), []
    if len(left) <= FEW:
        await _alone(turn, access, left, tell)
        return
    for span in _spans(turn, left):
        read, missing = await _by_days(turn, access, span, _same_bytes, tell, proof)
        for row in missing:
            if proof is not None and not read.shows(row["issue_date"]):
                alone.append(row)
            else:
                tell(row, "", None)
    await _alone(turn, access, alone, tell)


async def _alone(turn: Turn, access: Access, rows: list[sqlite3.Row], tell: Tell) -> None:
    for row in rows:
        turn.doing.invoice_id = row["id"]
        try:
            tell(row, *await in_ksef(turn, access, row))
        finally:
            turn.doing.invoice_id = None


def _spans(turn: Turn, rows: Sequence[sqlite3.Row]) -> list[list[sqlite3.Row]]:
    """The invoices by days of issue that fit into one list; those that were never read first, so that each has its turn
    however few questions an hour allows."""
    spans: list[list[sqlite3.Row]] = []
    for row in sorted(rows, key=lambda row: str(row["issue_date"])):
        if spans and _noon(row["issue_date"]) - _noon(spans[-1][0]["issue_date"]) <= LONGEST:
            spans[-1].append(row)
        else:
            spans.append([row])

    def read_at(span: list[sqlite3.Row]) -> float:
        read = turn.polls.metadata.get((span[0]["issue_date"], span[-1]["issue_date"]))
        return 0.0 if read is None or read.ended is None else read.ended

    return sorted(spans, key=read_at)


async def _by_days(
    turn: Turn,
    access: Access,
    rows: list[sqlite3.Row],
    answer: Callable[[Read, sqlite3.Row], tuple[str, str] | None],
    tell: Tell,
    proof: datetime | None,
) -> tuple[Read, list[sqlite3.Row]]:
    """The metadata of the days on which these were issued, page by page, and what is not among them."""

    def told(rows: list[sqlite3.Row]) -> list[sqlite3.Row]:
        left = []
        for row in rows:
            found = answer(read, row)
            if found is None:
                left.append(row)
            else:
                tell(row, *found)
        return left

    read = _reading(turn, rows[0]["issue_date"], rows[-1]["issue_date"], proof)
    left = told(rows)
    while left and read.ended is None:
        page = await turn.api.metadata_page(
            access, subject="Subject1", date_type="Issue", since=read.since, until=_noon(read.last) + AROUND,
            offset=read.offset,
        )  # fmt: skip
        read.page(page, turn.nip, turn.now.timestamp())
        left = told(left)
    return read, left


def _reading(turn: Turn, first: str, last: str, proof: datetime | None) -> Read:
    """The list of these days that is being read, or was lately; a new one when that would prove nothing."""
    known, now = turn.polls.metadata, turn.now.timestamp()
    for name, read in list(known.items()):
        if read.ended is not None and now - read.ended > KEPT:
            del known[name]
    for read in known.values():
        if read.first <= first and last <= read.last and (proof is None or read.begun >= proof.timestamp()):
            return read
    read = known[(first, last)] = Read(first, last, begun=now, since=_noon(first) - AROUND)
    return read


def _same_bytes(read: Read, row: sqlite3.Row) -> tuple[str, str] | None:
    digest = hash_b64(row["sha256"])
    return (read.by_hash[digest], digest) if digest in read.by_hash else None


def _noon(day: str) -> datetime:
    return datetime.combine(date.fromisoformat(day), time(12), UTC)


def _midnight(day: date) -> datetime:
    return datetime.combine(day, time(), WARSAW).astimezone(UTC)


async def in_ksef(turn: Turn, access: Access, row: sqlite3.Row) -> tuple[str, str | None]:
    """The original's number and hash (Base64), by the metadata query, then by download. Raises Refused (403)."""
    day = _noon(row["issue_date"])
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
