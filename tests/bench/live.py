"""A change that another process makes, until it is on the way to every terminal."""

from __future__ import annotations

import random
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from contextlib import ExitStack
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from statistics import median
from time import perf_counter

from ksef_tui.domain.roles import Operator
from ksef_tui.domain.times import polish_day
from ksef_tui.fa3.build import Item, Party, Sale, build
from ksef_tui.services import approving, importing
from ksef_tui.services.office import Office
from tests.bench import ROOT, big_office
from tests.bench.plan import Scale
from tests.bench.screen import FIRST_CLIENT
from tests.bench.table import Budget, Figure
from tests.bench.terminal import HOME, Terminal, program

BUDGET = Budget(200.0)
POLL = "ms polling"  # the screens look every 100 ms, so the mean is half of that


def live(scale: Scale) -> list[Figure]:
    """Two screens on one data directory; this process and the command line change things."""
    place = scale.big_place()
    with ExitStack() as stack:
        office, operator = stack.enter_context(big_office.somebody_sends(place))
        screens = [stack.enter_context(Terminal(*program(place))) for _ in range(2)]
        for screen in screens:
            screen.until(FIRST_CLIENT)
            screen.press(b"2")
        wait_for_rest(screens, scale.calm)
        ids = big_office.waiting_ids(office.db, 4)
        held = [_seen(screens, office, operator, ids[n % 4], scale.calm) for n in range(scale.changes)]
        by_command = [_seen_command(office, place, screens, ids[0], scale.calm) for _ in range(scale.commands)]
        came = [_seen_new(office, operator, screens, n, scale.calm) for n in range(scale.changes)]
    return [
        _figure(f"a change by another process on two screens, {scale.big}", held),
        _figure("a change by the command line on two screens", by_command),
        _figure("a new invoice by another process on two screens", came),
    ]


def _figure(what: str, times: Sequence[float]) -> Figure:
    note = f"median {median(times):.0f} ms of {len(times)}"
    return Figure(f"{what}, longest", max(times), "ms", 100.0, POLL, BUDGET, note)


def wait_for_rest(screens: Sequence[Terminal], calm: float) -> None:
    """Until none of the screens writes."""
    for screen in screens:
        screen.bytes_until_quiet(0.6 * calm)
    time.sleep(random.random() / 10)  # so that the change meets any phase of the screens' polling


def _hold(office: Office, operator: Operator, invoice_id: int) -> None:
    """Hold the invoice, or release it when it is held."""
    state = office.db.value("SELECT state FROM invoice WHERE id = ?", (invoice_id,))
    act = approving.release if state == "held" else approving.hold
    result = act(office, operator, [invoice_id])
    if result.done != 1:
        raise RuntimeError(f"the change was refused: {result.refused}")


def _seen(screens: Sequence[Terminal], office: Office, operator: Operator, invoice_id: int, calm: float) -> float:
    """Milliseconds from the end of the change (its commit) to the first bytes on the last screen."""
    wait_for_rest(screens, calm)
    before = perf_counter()
    _hold(office, operator, invoice_id)
    committed = perf_counter()
    return max(0.0, max(screen.first_after(before) for screen in screens) - committed) * 1000


def _seen_new(office: Office, operator: Operator, screens: Sequence[Terminal], n: int, calm: float) -> float:
    """The same for an import, until the number of the invoice is on the last screen."""
    for screen in screens:
        screen.press(HOME)  # a list keeps the row under its cursor in sight, so new ones may come above the page
    wait_for_rest(screens, calm)
    row = office.db.row("SELECT id, nip, name FROM client WHERE office = 0 ORDER BY id LIMIT 1")
    assert row is not None
    number = f"NOWA/{datetime.now(UTC):%H%M%S}/{n:02d}"
    data = build(
        Sale(
            seller=Party(row["nip"], row["name"], "ul. Polna 1", "00-001 Warszawa"),
            buyer=Party("1111111111", "Nabywca Próbny", "ul. Leśna 7", "30-002 Kraków"),
            number=number,
            issue_date=polish_day(datetime.now(UTC)),
            created_at=datetime.now(UTC),
            items=(Item("Usługa", Decimal(1), Decimal(100)),),
        )
    )
    result = importing.import_bytes(office, operator, row["id"], "nowa.xml", data)
    committed = perf_counter()
    if result.id is None or result.errors:
        raise RuntimeError(f"the invoice was not imported: {result}")
    return max(0.0, max(screen.until(number) for screen in screens) - committed) * 1000


def _seen_command(office: Office, place: Path, screens: Sequence[Terminal], invoice_id: int, calm: float) -> float:
    """The same for the command line; the moment of its commit is watched for in the database."""
    wait_for_rest(screens, calm)
    committed = _Commit(office)
    state = office.db.value("SELECT state FROM invoice WHERE id = ?", (invoice_id,))
    act = "release" if state == "held" else "hold"
    _, *arguments = program(place, "queue", act, str(invoice_id))
    done = subprocess.run([sys.executable, "-m", "ksef_tui", *arguments], cwd=ROOT, capture_output=True, text=True)
    if done.returncode != 0:
        raise RuntimeError(done.stderr)
    at = committed.at()
    return max(0.0, max(screen.first_after(at - 0.002) for screen in screens) - at) * 1000


class _Commit:
    """Watches for the next commit of another process, to the millisecond."""

    def __init__(self, office: Office) -> None:
        self._office = office
        self._at = 0.0
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()
        self._ready.wait()

    def _watch(self) -> None:
        version = self._office.db.data_version()
        self._ready.set()
        deadline = perf_counter() + 60
        while self._office.db.data_version() == version and perf_counter() < deadline:
            time.sleep(0.0005)
        self._at = perf_counter()

    def at(self) -> float:
        """When it came."""
        self._thread.join()
        return self._at
