"""Rate limits as sliding windows: the last second, minute and hour, all at once, per client context (facts §12). Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

UNLIMITED = -1
_EPSILON = 1e-6  # seconds; below it a wait is rounding, not time


class RateLimit(msgspec.Struct, frozen=True, rename="camel"):
    """How many requests a group may make in any second, minute and hour; -1 is unlimited."""

    per_second: int = UNLIMITED
    per_minute: int = UNLIMITED
    per_hour: int = UNLIMITED


# What production allows before `GET /rate-limits` was read (facts §12). Closing a session counts with opening here, as
# it did up to API 2.7: the cautious reading.
PRODUCTION_LIMITS: dict[str, RateLimit] = {
    "onlineSession": RateLimit(10, 30, 120),
    "batchSession": RateLimit(10, 20, 60),
    "invoiceSend": RateLimit(10, 30, 180),
    "invoiceStatus": RateLimit(30, 120, 1200),
    "sessionList": RateLimit(5, 10, 60),
    "sessionInvoiceList": RateLimit(10, 20, 200),
    "sessionMisc": RateLimit(10, 120, 1200),
    "invoiceMetadata": RateLimit(8, 16, 20),
    "invoiceExport": RateLimit(8, 16, 20),
    "invoiceExportStatus": RateLimit(10, 60, 600),
    "invoiceDownload": RateLimit(8, 16, 64),
    "collectiveIdentifier": RateLimit(10, 60, 120),
    "other": RateLimit(10, 30, 120),
    "anonymous": RateLimit(60, UNLIMITED, UNLIMITED),
}

_SHARED = {"onlineSessionClose": "onlineSession", "batchSessionClose": "batchSession"}


def charged_group(group: str, limits: Mapping[str, RateLimit]) -> str:
    """The group whose window a call fills: closing has its own since API 2.8.0, before it shared that of opening."""
    return group if group in limits else _SHARED.get(group, group)


def limit_for(group: str, limits: Mapping[str, RateLimit]) -> RateLimit:
    """The limit of a group; a group that nobody limits (transfers from given addresses) is unlimited."""
    return limits.get(charged_group(group, limits), RateLimit())


def counter(group: str, operation: str, limits: Mapping[str, RateLimit]) -> str:
    """The name under which calls are counted: the group, for `other` each operation on its own."""
    charged = charged_group(group, limits)
    return f"other:{operation}" if charged == "other" else charged


def wait_needed(limit: RateLimit, times: Sequence[float], now: float) -> float:
    """Seconds until one more request keeps all three windows; 0 = now.

    `times` are the moments of earlier requests in seconds on the clock of `now`, in any order. A limit of 0 is a
    closed door: ask again after the whole window.
    """
    ages = sorted(now - moment for moment in times)
    wait = 0.0
    for allowed, window in ((limit.per_second, 1.0), (limit.per_minute, 60.0), (limit.per_hour, 3600.0)):
        if allowed < 0:
            continue
        if allowed == 0:
            wait = max(wait, window)
        elif len(ages) >= allowed:
            wait = max(wait, window - ages[allowed - 1])
    return wait if wait > _EPSILON else 0.0


def calls_left(limit: RateLimit, times: Sequence[float], now: float) -> int:
    """How many more requests the minute and the hour allow now; a second's limit only spreads them."""
    left = 1_000_000
    for allowed, window in ((limit.per_minute, 60.0), (limit.per_hour, 3600.0)):
        if allowed >= 0:
            left = min(left, max(0, allowed - sum(1 for moment in times if now - moment < window)))
    return left
