"""Rate limits: sliding windows per context, address and group, with growing blocks (facts §12)."""

from __future__ import annotations

import json
import math
import time
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Callable
from typing import Any

from ksef_tui.sandbox.errors import TooManyRequests
from ksef_tui.sandbox.state import State

_WINDOWS = ((1.0, "sekundę"), (60.0, "minutę"), (3600.0, "godzinę"))
_UNLIMITED = -1
ANONYMOUS = "anonymous"
OTHER = "other"

# group: per second, per minute, per hour
PRODUCTION: dict[str, tuple[int, int, int]] = {
    "onlineSession": (10, 30, 120),
    "onlineSessionClose": (20, 60, 240),
    "batchSession": (10, 20, 60),
    "batchSessionClose": (20, 40, 120),
    "invoiceSend": (10, 30, 180),
    "invoiceStatus": (30, 120, 1200),
    "sessionList": (5, 10, 60),
    "sessionInvoiceList": (10, 20, 200),
    "sessionMisc": (10, 120, 1200),
    "invoiceMetadata": (8, 16, 20),
    "invoiceExport": (8, 16, 20),
    "invoiceExportStatus": (10, 60, 600),
    "invoiceDownload": (8, 16, 64),
    "collectiveIdentifier": (20, 120, 240),
    OTHER: (10, 30, 120),
    ANONYMOUS: (60, _UNLIMITED, _UNLIMITED),
    "global": (_UNLIMITED, _UNLIMITED, _UNLIMITED),
}
OVERRIDABLE = tuple(g for g in PRODUCTION if not g.endswith("Close") and g not in (ANONYMOUS, "global"))


class Limiter:
    """Counts the accepted requests of the last hour; held in memory, a restart forgets them."""

    def __init__(self, state: State, *, enforced: bool, clock: Callable[[], float] = time.monotonic) -> None:
        self._state = state
        self._enforced = enforced
        self._clock = clock
        self._seen: dict[tuple[str, ...], list[float]] = defaultdict(list)
        self._blocked: dict[tuple[str, ...], float] = {}
        self.refused = 0

    def effective(self, context: str) -> dict[str, tuple[int, int, int]]:
        """The limits in force for a context: production's, none, or those set by the test-data endpoint."""
        values = dict(PRODUCTION) if self._enforced else dict.fromkeys(PRODUCTION, (_UNLIMITED,) * 3)
        override = self._state.value("SELECT value FROM override WHERE context = ? AND kind = 'rate'", context)
        if override is not None:
            values.update({group: tuple(limit) for group, limit in json.loads(override).items()})
        return values

    def count(self, context: str, address: str, group: str, endpoint: str) -> None:
        """Count a request, or refuse it: TooManyRequests with the seconds to wait."""
        limits = self.effective(context).get(group, PRODUCTION[group])
        if limits == (_UNLIMITED,) * 3:
            return
        now = self._clock()
        # `other` is one limit, but every endpoint has its own counter.
        key = (context, address, group, endpoint if group == OTHER else "")
        until = self._blocked.get(key, 0.0)
        if until > now:
            self._blocked[key] = until = until + 1.0
            self._refuse(until - now, "Zbyt wiele żądań.")
        seen = self._seen[key]
        del seen[: bisect_right(seen, now - _WINDOWS[-1][0])]
        for limit, (seconds, word) in zip(limits, _WINDOWS, strict=True):
            first = bisect_right(seen, now - seconds)
            if limit != _UNLIMITED and len(seen) - first >= limit:
                wait = seconds if limit == 0 else seen[len(seen) - limit] + seconds - now
                self._blocked[key] = now + math.ceil(wait)
                self._refuse(math.ceil(wait), f"Przekroczono limit {limit} żądań na {word}.")
        seen.append(now)

    def forget(self, context: str) -> None:
        """Start counting anew after the limits of a context were changed."""
        for book in (self._seen, self._blocked):
            for key in [key for key in book if key[0] == context]:
                del book[key]

    def _refuse(self, wait: float, text: str) -> None:
        self.refused += 1
        seconds = max(1, math.ceil(wait))
        raise TooManyRequests(seconds, f"{text} Spróbuj ponownie po {seconds} sekundach.")


def rates_json(values: dict[str, tuple[int, int, int]]) -> dict[str, Any]:
    """The answer of `GET /rate-limits`."""
    names = ("perSecond", "perMinute", "perHour")
    return {group: dict(zip(names, limits, strict=True)) for group, limits in values.items()}
