"""Time as KSeF shows it: milliseconds inside, ISO with seven fractional digits outside (facts §1)."""

from __future__ import annotations

import time
from datetime import UTC, date, datetime
from zoneinfo import ZoneInfo

_WARSAW = ZoneInfo("Europe/Warsaw")

SECOND = 1_000
MINUTE = 60 * SECOND
HOUR = 60 * MINUTE
DAY = 24 * HOUR


def now_ms() -> int:
    """Milliseconds since 1970 in UTC."""
    return time.time_ns() // 1_000_000


def iso(ms: int) -> str:
    """A moment of the API: UTC offset and seven fractional digits, e.g. 2026-01-01T10:00:00.1230000+00:00."""
    moment = datetime.fromtimestamp(ms // 1000, UTC)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{ms % 1000:03d}0000+00:00"


def iso_warsaw(ms: int) -> str:
    """A moment of the UPO: Polish offset and milliseconds (facts §10.4)."""
    return (
        datetime.fromtimestamp(ms // 1000, _WARSAW).replace(microsecond=ms % 1000 * 1000).isoformat("T", "milliseconds")
    )


def warsaw_day(ms: int) -> date:
    """The calendar day in Poland at this moment."""
    return datetime.fromtimestamp(ms // 1000, _WARSAW).date()


def parse_iso(text: str) -> int:
    """Milliseconds of a moment sent by a client; without an offset it is Polish time (facts §16).

    Raises ValueError.
    """
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=_WARSAW)
    return round(moment.timestamp() * 1000)
