"""Interactive or batch: which way the invoices of one client go that are due now (design §6 rule 10).

What a person marked as urgent is asked about apart, and goes before the rest.
"""

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
    if some of what is due is dated today, else None; `per_minute`: invoices that go out one by one in a minute; `urgent`: a
    key marked them to go now."""

    count: int
    single: int
    packages: bool
    until_midnight: float | None
    per_minute: int
    urgent: bool = False


def way(due: Due, from_count: int) -> Way:
    """The cheaper way that is open. `from_count`: from how many invoices on a package costs fewer calls.

    Before midnight a package keeps online what would not all go out one by one on its day (F52). A few urgent ones go one
    by one; where not even one may go now, even a single urgent one goes in a package rather than wait for its limit.
    """
    if not due.packages:
        return Way.INTERACTIVE
    if due.count >= from_count:
        return Way.BATCH
    if due.until_midnight is not None and due.count > due.until_midnight / 60 * due.per_minute:
        return Way.BATCH
    soon = due.single if due.urgent else max(due.single, 1)
    return Way.BATCH if due.count > soon else Way.INTERACTIVE
