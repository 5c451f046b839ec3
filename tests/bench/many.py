"""All clients at once, under production's limits: a check of every client while somebody works on the screen, and the
list of those who granted rights."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from time import perf_counter

from support.companies import Paper, seal
from support.houses import BOTH, LOGIN, Client, House
from support.ministry import Ministry, Process

from ksef_tui.domain.times import from_text, to_text
from ksef_tui.ksef import certificates, xades
from ksef_tui.ksef.api import KsefApi
from ksef_tui.ksef.errors import Limited
from ksef_tui.ksef.http import Call, Outcome
from ksef_tui.services import bulk, syncing
from tests.bench import ROOT
from tests.bench.big_office import new_nip
from tests.bench.plan import Scale
from tests.bench.sending import PROCESSING_MS
from tests.bench.table import Budget, Figure, percentile
from tests.bench.terminal import PATIENCE, Terminal

TOOK_BACK = 3  # clients that took their grants back since they were seen last
SECOND_OVER = 2.0  # seconds after which the limit of a second is empty again


@contextmanager
def limited_house(clients: int, took_back: int = TOOK_BACK) -> Iterator[tuple[House, list[Client], Paper]]:
    """An office with so many clients that granted it rights, at a KSeF that keeps production's limits from now on; of
    every 200 clients `took_back` took them back."""
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        place = Path(folder) / "ministry"
        furnishing = Process(place)
        house = House(Path(folder) / "office", Ministry(furnishing.url))
        paper = seal(house.nip)
        try:
            identity = house.identity(paper=paper)
            known = [_client(house, n, identity, took_back) for n in range(clients)]
        finally:
            house.ministry.close()
            furnishing.stop()
        process = Process(place, port=furnishing.port, limits="production", delay=PROCESSING_MS)
        house.ministry = Ministry(process.url)
        try:
            yield house, known, paper
        finally:
            house.close()
            house.ministry.close()
            process.stop()


def _client(house: House, n: int, identity: int, took_back: int) -> Client:
    """A client whose authorisation worked yesterday."""
    nip = new_nip(n)
    if n % 200 >= took_back:
        house.ministry.grant(nip, house.nip, *BOTH)
    now = to_text(house.office.clock())
    with house.db.write() as connection:
        cursor = connection.execute(
            "INSERT INTO client (nip, name, created_at) VALUES (?, ?, ?)",
            (nip, f"Zakład {n:04d} Próbny sp. z o.o.", now),
        )
        connection.execute(
            "INSERT INTO authorization (client_id, state, method, identity_id, rights, subject, checked_at, valid_until, changed_at) "
            "VALUES (?, 'active', 'certificate', ?, '[\"InvoiceRead\", \"InvoiceWrite\"]', ?, ?, '2030-01-01T00:00:00.000Z', ?)",
            (cursor.lastrowid, identity, f"Nip:{house.nip}", now, now),
        )
        return Client(int(cursor.lastrowid or 0), nip)


def many(scale: Scale) -> list[Figure]:
    """Every client is checked by a worker while keys are pressed on a screen beside it."""
    with limited_house(scale.many) as (house, clients, paper):
        before = house.ministry.refused_by_limits()
        bare = asyncio.run(_one_after_another(house, clients, paper))
        bare_refused = house.ministry.refused_by_limits() - before
        time.sleep(SECOND_OVER)
        before = house.ministry.refused_by_limits()
        times, written = _with_a_screen(house, scale)
        run_id = bulk.newest(house.office, house.admin)
        assert run_id is not None
        stands = bulk.progress(house.office, house.admin, run_id)
        refused = house.ministry.refused_by_limits() - before
        row = house.db.row("SELECT begun_at, ended_at FROM bulk_run WHERE id = ?", (run_id,))
        seconds = (from_text(row["ended_at"]) - from_text(row["begun_at"])).total_seconds()
    if refused or stands.done != len(clients):
        raise RuntimeError(f"{refused} answers of 429, {stands}")
    outcomes = ", ".join(f"{state} {n}" for state, n in stands.outcomes.items())
    what = f"check of {len(clients)} clients by a worker beside a screen, production limits"
    return [
        Figure(what, seconds, "s", bare, f"s bare client, one login after another, {bare_refused} × 429",
               note=f"0 × 429; {outcomes}"),
        Figure("key to repaint meanwhile, p95", percentile(times["busy"], 0.95), "ms", percentile(times["idle"], 0.95),
               "ms at rest", Budget(10.0), f"median {median(times['busy']):.1f} of {len(times['busy'])} keys"),
        Figure("bytes to the terminal meanwhile", written / seconds, "B/s", note="keys pressed included"),
    ]  # fmt: skip


class _Nobody:
    """An observer that observes nothing."""

    async def before(self, call: Call) -> None: ...

    def started(self, call: Call) -> int:
        return 0

    def ended(self, call_id: int, outcome: Outcome) -> None: ...


async def _one_after_another(house: House, clients: list[Client], paper: Paper) -> float:
    """Seconds for a login in each client's context by the same protocol code, without office, journal and limits."""
    loaded = certificates.load(paper.certificate, paper.key)
    api = KsefApi(house.ministry.url, _Nobody())
    start = perf_counter()
    for client in clients:
        done = False
        while not done:
            try:
                await _log_in(api, client.nip, loaded, house)
                done = True
            except Limited as limited:
                await asyncio.sleep(limited.retry_after)
    seconds = perf_counter() - start
    await api.aclose()
    return seconds


async def _log_in(api: KsefApi, nip: str, loaded: certificates.LoadedIdentity, house: House) -> None:
    challenge = await api.challenge(nip)
    request = xades.auth_request(challenge.challenge, nip, subject="certificateSubject")
    signed = xades.sign(request, loaded.certificate, loaded.key, signing_time=house.office.clock())
    started = await api.submit_signed(signed, nip)
    while (
        answer := await api.auth_status(nip, started.reference_number, started.authentication_token.token)
    ).status.code == 100:
        await asyncio.sleep(0.1)
    if answer.status.code == 200:
        await api.redeem(nip, started.authentication_token.token)


def _with_a_screen(house: House, scale: Scale) -> tuple[dict[str, list[float]], int]:
    """Milliseconds of keys at rest and while the run goes on, and the bytes that the screen wrote meanwhile."""
    out = house.folder / "times.json"
    command = [sys.executable, "-m", "ksef_tui", "--data-dir", str(house.folder), "--operator", LOGIN, "worker"]
    worker = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    try:
        arguments = ("many", str(house.folder), LOGIN, str(scale.keys), str(scale.calm), str(out))
        with Terminal("tests.bench.keyed", *arguments) as terminal:
            if terminal.wait() != 0:
                raise RuntimeError(terminal.text()[-2000:])
            if f"z {scale.many}" not in terminal.text():
                raise RuntimeError("the screen did not say how far it is")
            found = json.loads(out.read_text())
            return found, sum(len(data) for at, data in terminal.since(found["began"]) if at <= found["ended"])
    finally:
        worker.terminate()
        worker.wait(PATIENCE)


def sync(scale: Scale) -> list[Figure]:
    """The list of all who granted rights: read page by page within the limits, and taken over."""
    with limited_house(scale.granting) as (house, _, _):
        row = house.db.row("SELECT id, nip FROM client WHERE office = 1")
        house.edit("DELETE FROM authorization WHERE client_id <> ?", row["id"])
        house.edit("DELETE FROM client WHERE office = 0")
        asyncio.run(house.authorise(Client(row["id"], row["nip"])))
        before = house.ministry.refused_by_limits()
        heard: list[syncing.Reading] = []
        start = perf_counter()
        found = asyncio.run(syncing.preview(house.office, house.admin, heard.append))
        read = perf_counter() - start
        done = syncing.apply(house.office, house.admin, found)
        taken = perf_counter() - start - read
        refused = house.ministry.refused_by_limits() - before
    if refused or len(done.added) != found.received or not found.received:
        raise RuntimeError(f"{refused} answers of 429, {found.received} received, {len(done.added)} added")
    pages = max(one.pages for one in heard)
    waited = sum(1 for one in heard if one.wait)
    what = f"list of {found.received:,} granting clients read, production limits"
    return [
        Figure(what, read, "s", note=f"{pages} pages, waited {waited} times for a limit, 0 × 429"),
        Figure("the same taken over into the office", taken, "s"),
    ]
