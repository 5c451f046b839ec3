"""Interactive or batch: which way the invoices of one client go that are due now (design §6 rule 10)."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Way(StrEnum):
    """How an invoice goes to KSeF."""

    INTERACTIVE = "interactive"
    BATCH = "batch"


@dataclass(frozen=True, slots=True)
class Due:
    """What is due and what may be called. `single`: calls that may send one invoice each within the next minute;
    `packages`: whether a package may be opened and closed now; `until_midnight`: seconds to the end of the Polish day
    if some of what is due is dated today, else None; `per_minute`: invoices that go out one by one in a minute."""

    count: int
    single: int
    packages: bool
    until_midnight: float | None
    per_minute: int


def way(due: Due, from_count: int) -> Way:
    """The cheaper way that is open. `from_count`: from how many invoices on a package costs fewer calls.

    Before midnight a package keeps online what would not all go out one by one on its day (F52).
    """
    if not due.packages:
        return Way.INTERACTIVE
    if due.count >= from_count:
        return Way.BATCH
    if due.until_midnight is not None and due.count > due.until_midnight / 60 * due.per_minute:
        return Way.BATCH
    return Way.BATCH if due.count > max(due.single, 1) else Way.INTERACTIVE
