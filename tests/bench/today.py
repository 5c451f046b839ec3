"""What needs a person: how long it takes to read among a million settled invoices, beside a small office."""

from __future__ import annotations

import tempfile
from pathlib import Path
from statistics import median
from time import perf_counter

from ksef_tui.services.today import done_today
from ksef_tui.services.today import today as read
from tests.bench import big_office
from tests.bench.big_office import NEWEST, Size, somebody_sends
from tests.bench.plan import Scale
from tests.bench.table import Budget, Figure

TIMES = 15


def today(scale: Scale) -> list[Figure]:
    """Both offices have as many clients and unsettled invoices, so a ratio near 1 says that the settled ones cost
    nothing."""
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        place, unsettled = Path(folder) / "office", min(NEWEST, scale.big.invoices)
        big_office.make(place, Size(scale.big.clients, unsettled))
        few, _, _ = _read(place)
    many, rows, done = _read(scale.big_place())
    note = f"{rows} rows, {1000 * many / max(1, rows):.0f} µs each; what was done today {done:.1f} ms"
    what = f"reading what needs a person, {scale.big}"
    return [Figure(what, many, "ms", few, f"ms at {unsettled:,}", Budget(2.0, "ratio"), note)]


def _read(place: Path) -> tuple[float, int, float]:
    """Milliseconds of one reading, how many rows it gave, and milliseconds of what was done."""
    with somebody_sends(place) as (office, operator):
        rows = len(read(office, operator))
        times = []
        for _ in range(TIMES):
            start = perf_counter()
            read(office, operator)
            times.append(1000 * (perf_counter() - start))
        start = perf_counter()
        done_today(office, operator)
        return median(times), rows, 1000 * (perf_counter() - start)
