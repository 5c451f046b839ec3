"""`python -m torture` in tests/: the whole torture, as often as asked, each with a seed that is printed."""

from __future__ import annotations

import argparse
import asyncio
import random
import tempfile
import time
from pathlib import Path

from torture.run import torture


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--clients", type=int, default=100)
    parser.add_argument("--invoices", type=int, default=30)
    parser.add_argument("--runs", type=int, default=1)
    parser.add_argument("--seed", type=int)
    parser.add_argument("--minutes", type=float, default=20)
    options = parser.parse_args()
    failed = 0
    for _ in range(options.runs):
        seed = options.seed if options.seed is not None else random.SystemRandom().randrange(2**31)
        began = time.monotonic()
        with tempfile.TemporaryDirectory() as folder:
            ran = asyncio.run(
                torture(
                    Path(folder), clients=options.clients, invoices=options.invoices, seed=seed, minutes=options.minutes
                )
            )
        verdict = "passed" if not ran.found else f"FAILED: {len(ran.found)}"
        ways = ", ".join(f"{count} {way}" for way, count in sorted(ran.ways.items()))
        print(
            f"seed {seed}: {options.clients} x {options.invoices}, {time.monotonic() - began:.0f} s, "
            f"{ran.kills} kills, {ways}: {verdict}",
            flush=True,
        )
        for line in ran.found[:20]:
            print("   ", line, flush=True)
        failed += bool(ran.found)
    raise SystemExit(1 if failed else 0)


main()
