"""The worker against the sandbox: how many requests, how fast, and whether everything arrived."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from time import perf_counter

from support import papers
from support.houses import LOGIN, Client, House
from support.ministry import Ministry, Process

from tests.bench import ROOT
from tests.bench.plan import Scale
from tests.bench.table import Budget, Figure

PROCESSING_MS = 300  # how long the sandbox takes for an invoice, as it does by itself


@contextmanager
def _house() -> Iterator[House]:
    """An office and a sandbox without limits."""
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        process = Process(Path(folder) / "ministry", delay=PROCESSING_MS)
        try:
            ministry = Ministry(process.url)
            house = House(Path(folder) / "office", ministry)
            yield house
            house.close()
            ministry.close()
        finally:
            process.stop()


def requests(scale: Scale) -> list[Figure]:
    """All calls from the approval of one client's invoices until the last receipt is kept and the session closed.

    Receipts come from addresses that KSeF hands out and do not count.
    """
    count = scale.interactive
    with _house() as house:
        client = asyncio.run(house.ready_client())
        house.bring(client, *[papers.invoice(client.nip) for _ in range(count)])
        before = _calls(house)
        _approve_and_work(house, [client])
        _prove(house, [client], count)
        made = _calls(house) - before
    transfers = made.pop("fetch", 0)
    kinds = ", ".join(f"{operation} {n}" for operation, n in made.most_common())
    note = f"{kinds}; beside them {transfers} from addresses handed out"
    what = f"API requests for {count} interactive invoices of one client"
    return [Figure(what, made.total(), "", count, "invoices", Budget(2.2, "ratio"), note)]


def throughput(scale: Scale) -> list[Figure]:
    """Many clients at once, end to end: the worker's start, sending, tracking, receipts, its end."""
    with _house() as house:
        clients = [asyncio.run(house.ready_client()) for _ in range(scale.clients)]
        for client in clients:
            house.bring(client, *[papers.invoice(client.nip) for _ in range(scale.each)])
        seconds = _approve_and_work(house, clients)
        _prove(house, clients, scale.each)
    total = scale.clients * scale.each
    what = f"worker, end to end, {scale.clients} clients × {scale.each} invoices"
    note = f"{total} of {total} accepted once, each with its receipt, in {seconds:.1f} s; no limits"
    return [Figure(what, total / seconds, "invoices/s", note=note)]


def _calls(house: House) -> Counter[str]:
    rows = house.db.rows("SELECT operation, count(*) FROM journal WHERE phase = 'started' GROUP BY operation")
    return Counter({row[0]: row[1] for row in rows})


def _command(house: House, *arguments: str) -> None:
    command = [sys.executable, "-m", "ksef_tui", "--data-dir", str(house.folder), "--operator", LOGIN, *arguments]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    if done.returncode != 0:
        raise RuntimeError(f"{arguments}: {done.stderr}")


def _approve_and_work(house: House, clients: list[Client]) -> float:
    """Seconds that a worker process of its own took."""
    for client in clients:
        _command(house, "queue", "approve", "--client", client.nip)
    start = perf_counter()
    _command(house, "worker", "--until-idle", "--timeout", "300")
    return perf_counter() - start


def _prove(house: House, clients: list[Client], each: int) -> None:
    """Everything is accepted with its receipt here, and is there exactly once. RuntimeError when not."""
    for client in clients:
        rows = house.db.rows("SELECT state, upo, ksef_number FROM invoice WHERE client_id = ?", (client.id,))
        ours = sorted(row["ksef_number"] for row in rows if (row["state"], row["upo"]) == ("accepted", "saved"))
        theirs = sorted(row["ksef_number"] for row in house.ministry.numbered(client.nip))
        if len(ours) != each or ours != theirs:
            raise RuntimeError(f"{client.nip}: {len(ours)} accepted here, {len(theirs)} there, {each} sent")
