"""The queue while much changes: fifty changes a second by another process, keys and bytes beside them.

python -m tests.bench.steady screen FOLDER WORDS COUNT SECONDS CALM OUT     runs the screen on this terminal
python -m tests.bench.steady change FOLDER RATE                            changes invoices until its input ends
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import tempfile
import threading
from itertools import cycle
from pathlib import Path
from time import perf_counter, sleep, thread_time

from textual import events

from ksef_tui.compose import open_office
from ksef_tui.services import approving
from ksef_tui.services.office import operator_named
from ksef_tui.tui.app import KsefTui
from tests.bench import ROOT, big_office
from tests.bench.big_office import LOGIN
from tests.bench.plan import Scale
from tests.bench.table import Budget, Figure, percentile
from tests.bench.terminal import PATIENCE, Terminal

RATE = 50  # changes a second
ROWS = 60  # so many invoices change in turn: the page shows some of them
IN_PAGE = 8
FRAME = 1000 / 60  # ms; a key that meets the repaint of a change waits for Textual's next frame (TEXTUAL_FPS)
WORDS = {"": "all of them", "zaklad": "found by a word"}  # what stands in the filter


def steady(scale: Scale) -> list[Figure]:
    """Keys in the queue beside a process that changes its newest invoices; then nobody types, and bytes are counted."""
    figures = []
    with big_office.somebody_sends(scale.big_place()):
        for words, what in WORDS.items():
            figures += _one(scale, words, what)
    return figures


def _one(scale: Scale, words: str, what: str) -> list[Figure]:
    place, seconds = scale.big_place(), scale.rest / 2
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        out = Path(folder) / "out.json"
        arguments = ["screen", str(place), words, str(2 * scale.keys), str(seconds), str(scale.calm), str(out)]
        with Terminal("tests.bench.steady", *arguments) as terminal:
            if terminal.wait() != 0:
                raise RuntimeError(terminal.text()[-2000:])
            found = json.loads(out.read_text())
            written = [len(data) for at, data in terminal.since(found["began"]) if at < found["ended"]]
    note = (
        f"{found['changes']:.0f} changes/s, the cursor {'kept' if found['kept'] else 'LOST'} its invoice, {scale.big}"
    )
    figures = [
        _keys(f"key to repaint beside changes, p95, queue, {what}", found["busy"], found["idle"], note),
        Figure(f"bytes meanwhile at 80×24, queue, {what}", sum(written) / (found["ended"] - found["began"]), "B/s"),
    ]
    if "typed" in found:
        figures.append(_keys("letter to repaint in the filter of the queue, p95", found["typed"], found["idle"], ""))
    return figures


def _keys(what: str, times: list[tuple[float, float]], rest: list[tuple[float, float]], note: str) -> Figure:
    p95, worked = (percentile([one[n] for one in times], 0.95) for n in range(2))
    base = percentile([one[0] for one in rest], 0.95)
    said = f"{worked:.1f} ms of it processor (p95); {note}".rstrip("; ")
    return Figure(what, p95, "ms", base, "ms at rest", Budget(10.0 + FRAME), said)


class _Screen:
    """The queue with the moments when its cursor was shown elsewhere."""

    def __init__(self, app: KsefTui) -> None:
        self.app = app
        self.shown: list[tuple[float, float, int | None]] = []  # by the clock, by this thread's processor time
        setattr(app, "post_display_hook", self._note)  # noqa: B010  # Textual calls it at the end of _display

    def _note(self) -> None:
        self.shown.append((perf_counter(), thread_time(), self.app.main.queue.list.current_id))

    async def press(self, key: str) -> tuple[float, float]:
        """Milliseconds from the key to the end of the repaint that shows the cursor on another row, and how many of them
        this thread worked."""
        driver, queue = self.app._driver, self.app.main.queue.list
        assert driver is not None
        before, seen, start, busy = queue.current_id, len(self.shown), perf_counter(), thread_time()
        driver.process_message(events.Key(key, key if len(key) == 1 else None))
        while True:
            for at, used, current in self.shown[seen:]:
                if current != before:
                    return (at - start) * 1000, (used - busy) * 1000
            if perf_counter() - start > PATIENCE:
                raise RuntimeError(f"the key {key} did not move the cursor")
            await asyncio.sleep(0.001)

    async def keys(self, count: int, calm: float) -> list[tuple[float, float]]:
        times = []
        for n in range(count):
            times.append(await self.press("down" if n // IN_PAGE % 2 == 0 else "up"))
            await asyncio.sleep(0.13 * calm)
        return times

    async def type(self, text: str, calm: float) -> list[tuple[float, float]]:
        """Milliseconds from each letter typed into the filter to its repaint, while the letters before are looked up;
        the filter is taken off again."""
        driver, main = self.app._driver, self.app.main
        assert driver is not None
        driver.process_message(events.Key("slash", "/"))
        await asyncio.sleep(0.5)
        times = []
        for letter in text:
            seen, start, busy = len(self.shown), perf_counter(), thread_time()
            driver.process_message(events.Key(letter if letter != " " else "space", letter))
            while len(self.shown) == seen:
                await asyncio.sleep(0.001)
            at, used, _ = self.shown[seen]
            times.append(((at - start) * 1000, (used - busy) * 1000))
            await asyncio.sleep(0.25 * calm)  # the pause after which it is looked up, and some of that
        driver.process_message(events.Key("escape", None))
        await _until(lambda: not main.queue.text and main.queue._loader.idle)
        await asyncio.sleep(1.0 * calm)
        return times

    async def drive(self, folder: Path, words: str, count: int, seconds: float, calm: float, out: Path) -> None:
        main = self.app.main
        await _until(lambda: bool(main.clients.list.ids and main.queue.list.ids and main.header_view))
        driver = self.app._driver
        assert driver is not None
        for key in ["2", *(["slash", *words, "enter"] if words else [])]:
            driver.process_message(events.Key(key, key if len(key) == 1 else None))
            await asyncio.sleep(0.05)
        await _until(lambda: main.queue.text == words and main.queue._loader.idle)
        await asyncio.sleep(1.0 * calm)
        if not words:
            typed = await self.type("lesna wczoraj >1000 fv/00", calm)
        idle = await self.keys(count, calm)
        with _changes(folder):
            await asyncio.sleep(0.5)
            first = main.desk.office.db.value("SELECT seq FROM change_counter")
            start = perf_counter()
            busy = await self.keys(count, calm)
            stays, began = main.queue.list.current_id, perf_counter()
            await asyncio.sleep(seconds)
            ended, kept = perf_counter(), main.queue.list.current_id == stays
            last = main.desk.office.db.value("SELECT seq FROM change_counter")
        found: dict[str, object] = {"typed": typed} if not words else {}
        found |= {"idle": idle, "busy": busy, "began": began, "ended": ended, "kept": kept}
        out.write_text(json.dumps({**found, "changes": (last - first) / (ended - start)}))


async def _until(reached: object) -> None:
    deadline = perf_counter() + PATIENCE
    while not reached():  # type: ignore[operator]
        if perf_counter() > deadline:
            raise RuntimeError("the screen did not come so far")
        await asyncio.sleep(0.02)


class _changes:  # it reads as a phrase
    """Another process changes invoices meanwhile."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def __enter__(self) -> None:
        command = [sys.executable, "-m", "tests.bench.steady", "change", str(self._folder), str(RATE)]
        self._child = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        assert self._child.stdout is not None
        self._child.stdout.readline()  # it is open and begins

    def __exit__(self, *_: object) -> None:
        assert self._child.stdin is not None
        self._child.stdin.close()
        self._child.wait(PATIENCE)


def _screen(folder: Path, words: str, count: int, seconds: float, calm: float, out: Path) -> None:
    office = open_office(folder)
    app = KsefTui(office, operator_named(office, LOGIN))
    screen = _Screen(app)

    async def run() -> None:
        driving = asyncio.create_task(screen.drive(folder, words, count, seconds, calm, out))
        driving.add_done_callback(lambda _: app.exit())
        await app.run_async()
        driving.cancel()  # when the app ended first
        await driving

    try:
        asyncio.run(run())
    finally:
        app.leave_nothing()


def _change(folder: Path, rate: float) -> None:
    """Hold and release the newest invoices that wait, one commit each."""
    office = open_office(folder)
    operator = operator_named(office, LOGIN)
    over = threading.Event()
    threading.Thread(target=lambda: (sys.stdin.read(), over.set()), daemon=True).start()
    newest = office.db.rows(
        "SELECT id FROM invoice WHERE state IN ('waiting', 'held') ORDER BY id DESC LIMIT ?", (ROWS,)
    )
    print("changing", flush=True)
    start = perf_counter()
    for n, one in enumerate(cycle([row[0] for row in newest])):
        if over.is_set():
            break
        state = office.db.value("SELECT state FROM invoice WHERE id = ?", (one,))
        (approving.release if state == "held" else approving.hold)(office, operator, [one])
        sleep(max(0.0, start + n / rate - perf_counter()))
    office.close()


def main() -> None:
    """As the arguments say."""
    kind, folder, *more = sys.argv[1:]
    if kind == "change":
        _change(Path(folder), float(more[0]))
    else:
        words, count, seconds, calm, out = more
        _screen(Path(folder), words, int(count), float(seconds), float(calm), Path(out))


if __name__ == "__main__":
    main()
