"""`python -m tests.bench [--small] [--only NAME]`: measure the budgets of the design and print one table.

The exit status is 1 only when something does not work; slow is not broken.
"""

from __future__ import annotations

import argparse
import compileall
import sys
import traceback
from collections.abc import Callable
from time import perf_counter

from tests.bench import ROOT, documents, first, live, many, month, package, plan, screen, sending, steady, today
from tests.bench.plan import Scale
from tests.bench.table import Figure, machine, table

GROUPS: dict[str, Callable[[Scale], list[Figure]]] = {
    "start": screen.start,
    "first": first.first,
    "documents": documents.documents,
    "requests": sending.requests,
    "throughput": sending.throughput,
    "keys": screen.keys,
    "wire": screen.wire,
    "memory": screen.memory,
    "idle": screen.idle,
    "live": live.live,
    "steady": steady.steady,
    "bulk": many.many,
    "sync": many.sync,
    "month": month.month,
    "package": package.package,
    "today": today.today,
}


def main() -> int:
    """Run the groups asked for."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument("--small", action="store_true", help="a small form of each: only whether it works")
    parser.add_argument("--only", action="append", choices=list(GROUPS), metavar="NAME", help=", ".join(GROUPS))
    chosen = parser.parse_args()
    scale = plan.small() if chosen.small else plan.full()
    figures: list[Figure] = []
    broken = []
    # As it is once installed: with PYTHONDONTWRITEBYTECODE set, each process would compile it all anew.
    compileall.compile_dir(ROOT / "ksef_tui", quiet=1)
    print(machine(), end="\n\n", flush=True)
    try:
        for name in chosen.only or GROUPS:
            start = perf_counter()
            try:
                figures += GROUPS[name](scale)
            except Exception:
                traceback.print_exc()
                broken.append(name)
            print(f"{name}: {perf_counter() - start:.1f} s", file=sys.stderr, flush=True)
    finally:
        scale.clean()
    print(table(figures))
    if broken:
        print(f"\nDoes not work: {', '.join(broken)}")
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
