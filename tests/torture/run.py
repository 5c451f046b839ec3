"""One run: two workers that are killed at random, and a KSeF where everything goes wrong now and then."""

from __future__ import annotations

import random
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from support.houses import LOGIN, House
from support.ministry import Ministry, Process

from torture.field import Field, approve, complaints, prepare

KILLS = 25  # about so many while there is still something to approve
ROTATION_BY = 8  # KSeF changes its keys at one of the first kills
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


@dataclass(frozen=True)
class Ran:
    """What is not as it must be at the end, and what it took to get there."""

    found: list[str]
    kills: int
    ways: dict[str, int]  # how many invoices went which way


async def torture(folder: Path, *, clients: int, invoices: int, seed: int, minutes: float) -> Ran:
    """Everything is approved, sent and killed until nothing is left to do, or the minutes are over."""
    process = Process(folder / "ministry")
    ministry = Ministry(process.url)
    house = House(folder / "office", ministry)
    try:
        made = await prepare(house, clients, invoices, seed)
        kills = _work(made, seed, minutes)
        ways = house.db.rows("SELECT channel, count(*) FROM invoice WHERE session_id IS NOT NULL GROUP BY channel")
        return Ran(complaints(made), kills, {row[0]: row[1] for row in ways})
    finally:
        house.close()
        ministry.close()
        process.stop()


def _work(made: Field, seed: int, minutes: float) -> int:
    house, chance = made.house, random.Random(seed + 1)
    for name, probability, match, params in TROUBLES:
        house.ministry.fault(name, probability=probability, match=match, params=params)
    workers = [Worker(house), Worker(house)]
    deadline = time.monotonic() + 60 * minutes
    kills, rotation = 0, chance.randint(1, ROTATION_BY)
    most = max(1, len(made.lots) // KILLS)  # lots between two kills
    try:
        while made.lots or not _settled(house):
            if time.monotonic() > deadline:
                break
            approve(made, chance.randint(1, 2 * most))
            time.sleep(chance.uniform(1, 3))
            victim = chance.randrange(len(workers))
            workers[victim].kill()
            workers[victim] = Worker(house)
            kills += 1
            if kills == rotation:
                house.ministry.fault("key_rotation", times=1)
        return kills
    finally:
        for worker in workers:
            worker.kill()


def _settled(house: House) -> bool:
    return not house.db.value(
        "SELECT 1 FROM invoice WHERE state IN ('approved', 'sending', 'unknown', 'processing') "
        "OR (state = 'accepted' AND upo IN ('none', 'late')) LIMIT 1"
    )
