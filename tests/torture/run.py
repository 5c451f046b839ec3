"""One run: two workers that are killed at random, and a KSeF where everything goes wrong now and then."""

from __future__ import annotations

import random
import subprocess
import sys
import time
from pathlib import Path

from support.houses import LOGIN, House
from support.ministry import Ministry, Process

from torture.field import Field, complaints, prepare

POSTS = {"method": "POST"}
TROUBLES = (
    ("lost_answer", 0.05, {"path": "^/v2/(sessions|auth)"}, {}),
    ("html_5xx", 0.02, {"path": "^/v2/(sessions|auth)"}, {}),
    ("rate_limited", 0.01, {"path": "^/v2/sessions"}, {"retry_after": 1}),
    ("slow", 0.05, {"path": "^/v2/sessions"}, {"ms": 1500}),
    ("upload_html", 0.05, {"path": "^/storage/"}, {}),
)


class Worker:
    """`python -m ksef_tui worker` as a process of its own."""

    def __init__(self, house: House) -> None:
        command = [sys.executable, "-m", "ksef_tui", "--data-dir", str(house.folder), "--operator", LOGIN, "worker"]
        self._process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )

    def kill(self) -> None:
        """kill -9."""
        self._process.kill()
        self._process.wait()


async def torture(folder: Path, *, clients: int, invoices: int, seed: int, minutes: float) -> list[str]:
    """What is not as it must be at the end; empty when all is well."""
    process = Process(folder / "ministry")
    ministry = Ministry(process.url)
    house = House(folder / "office", ministry)
    try:
        made = await prepare(house, clients, invoices, seed)
        _work(made, seed, minutes)
        return complaints(made)
    finally:
        house.close()
        ministry.close()
        process.stop()


def _work(made: Field, seed: int, minutes: float) -> None:
    house, chance = made.house, random.Random(seed + 1)
    for name, probability, match, params in TROUBLES:
        house.ministry.fault(name, probability=probability, match=match, params=params)
    workers = [Worker(house), Worker(house)]
    deadline = time.monotonic() + 60 * minutes
    rotated = False
    try:
        while not _settled(house):
            if time.monotonic() > deadline:
                return
            time.sleep(chance.uniform(1, 3))
            victim = chance.randrange(len(workers))
            workers[victim].kill()
            workers[victim] = Worker(house)
            if not rotated:
                house.ministry.fault("key_rotation", times=1)
                rotated = True
    finally:
        for worker in workers:
            worker.kill()


def _settled(house: House) -> bool:
    return not house.db.value(
        "SELECT 1 FROM invoice WHERE state IN ('approved', 'sending', 'unknown', 'processing') "
        "OR (state = 'accepted' AND upo IN ('none', 'late')) LIMIT 1"
    )
