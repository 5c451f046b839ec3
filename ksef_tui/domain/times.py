"""Time: UTC inside, Europe/Warsaw on screen and in law."""

from __future__ import annotations

from datetime import UTC, date, datetime
from zoneinfo import ZoneInfo

WARSAW = ZoneInfo("Europe/Warsaw")


def to_text(moment: datetime) -> str:
    """A moment as stored: UTC, milliseconds, `2026-11-24T08:14:18.000Z`. Sorts as text."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.") + f"{moment.microsecond // 1000:03d}Z"


def from_text(text: str) -> datetime:
    """The moment that `to_text` (or KSeF, with up to 7 fractional digits, facts §1) wrote; always aware."""
    moment = datetime.fromisoformat(text)
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def warsaw(moment: datetime) -> datetime:
    """The same moment on the wall clock in Poland."""
    return moment.astimezone(WARSAW)


def polish_day(moment: datetime) -> date:
    """The calendar day in Poland, by which the law counts."""
    return warsaw(moment).date()
