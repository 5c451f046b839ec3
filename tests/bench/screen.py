"""The screen: start, keys, bytes, memory, rest."""

from __future__ import annotations

import json
import tempfile
import time
from datetime import datetime
from pathlib import Path
from statistics import median

from tests.bench import bare, big_office
from tests.bench.plan import Scale
from tests.bench.table import Budget, Figure, percentile
from tests.bench.terminal import DOWN, END, HOME, PAGE_DOWN, UP, Terminal, cpu_seconds, memory_mb, program

FIRST_CLIENT = "Zakład "  # how the names of all clients begin
PANES = {"1": "clients", "2": "queue"}


def start(scale: Scale) -> list[Figure]:
    """From the start of the process to the first name of a client on its way to the terminal."""
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        place = Path(folder) / "office"
        big_office.make(place, scale.start_office)
        ours, theirs = [], []
        with big_office.somebody_sends(place):
            for _ in range(scale.starts):  # in turns, so that both meet the same weather
                theirs.append(_start("tests.bench.bare", "list", shows=bare.FIRST_ROW))
                ours.append(_start(*program(place), shows=FIRST_CLIENT))
        alone = [_start(*program(place), shows=FIRST_CLIENT) for _ in range(scale.starts)]
    what = f"start to first painted client list, {scale.start_office}"
    return [
        _start_figure(what, 0, ours, theirs, "s bare Textual list"),
        _start_figure("processor time until then", 1, ours, theirs, "s bare Textual list"),
        _start_figure("start, when it also starts the worker", 0, alone, theirs, "s bare Textual list"),
    ]


def _start_figure(
    what: str, which: int, ours: list[tuple[float, float]], theirs: list[tuple[float, float]], beside: str
) -> Figure:
    mine, base = [run[which] for run in ours], [run[which] for run in theirs]
    note = f"fastest {min(mine):.2f} s beside {min(base):.2f} s, of {len(mine)}"
    return Figure(what, median(mine), "s", median(base), beside, Budget(1.5, "ratio"), note)


def _start(module: str, *arguments: str, shows: str) -> tuple[float, float]:
    """Seconds until the text is shown, and the processor time of the process until then."""
    with Terminal(module, *arguments) as terminal:
        shown = terminal.until(shows) - terminal.started
        return shown, cpu_seconds(terminal.pid)


def keys(scale: Scale) -> list[Figure]:
    """From a key handed to the driver to the end of the repaint, inside the app on a real terminal."""
    table = _keyed(scale, "table", "1000")
    places = scale.hundred_place(), scale.small_place(), scale.big_place()
    figures = []
    for pane, name in PANES.items():
        hundred, few, many = (_keyed(scale, "ksef", str(place), pane) for place in places)
        for kind in ("page", "scroll"):
            times = [first for first, _, _ in many[kind]]
            busy = median(used for _, used, _ in many[kind])
            footer = median(last for _, _, last in many[kind])
            what = f"key to repaint, p95, {name}, {'in page' if kind == 'page' else 'scrolling'}"
            least, same, p95 = (percentile([first for first, _, _ in one[kind]], 0.95) for one in (hundred, few, many))
            note = (
                f"{least:.1f} ms at {scale.hundred.invoices}; median {median(times):.1f} ms, {busy:.1f} ms of it processor; "
                f"all that follows {footer:.0f} ms"
            )
            figures.append(
                Figure(f"{what}, {scale.big}", p95, "ms", same, f"ms at {scale.small.invoices:,}", Budget(10.0), note)
            )
    for kind in ("page", "scroll"):
        p95 = percentile([first for first, _, _ in table[kind]], 0.95)
        figures.append(Figure(f"a DataTable of 1,000 rows beside it, {kind}", p95, "ms"))
    return figures


def _keyed(scale: Scale, *what: str) -> dict[str, list[tuple[float, float, float]]]:
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        out = Path(folder) / "times.json"
        with Terminal("tests.bench.keyed", *what, str(scale.keys), str(scale.calm), str(out)) as terminal:
            if terminal.wait() != 0:
                raise RuntimeError(terminal.text()[-2000:])
        found: dict[str, list[tuple[float, float, float]]] = json.loads(out.read_text())
        return found


def wire(scale: Scale) -> list[Figure]:
    """Bytes to the terminal for one step of the cursor."""
    with Terminal("tests.bench.bare", "list", "1000") as terminal:
        terminal.until(bare.FIRST_ROW)
        base = _bytes_of_steps(terminal, scale)
    figures = []
    with big_office.somebody_sends(scale.big_place()), Terminal(*program(scale.big_place())) as terminal:
        terminal.until(FIRST_CLIENT)
        for pane, name in PANES.items():
            terminal.press(pane.encode())
            steps = _bytes_of_steps(terminal, scale)
            for kind, limit in (("in page", 500), ("scrolling", 6_000)):
                what = f"bytes for a cursor move at 80×24, {name}, {kind}, most of {scale.steps}"
                note = f"median {median(steps[kind]):.0f}"
                figures.append(Figure(what, max(steps[kind]), "B", max(base[kind]), "B DataTable", Budget(limit), note))
    return figures


def _within_a_minute(seconds: float) -> None:
    """Wait until no full minute will come for so long: the clock of the screen is written then."""
    second = datetime.now().second  # noqa: DTZ005  # the minute is the same in all zones that matter
    if second + seconds > 57:
        time.sleep(63 - second)


def _bytes_of_steps(terminal: Terminal, scale: Scale) -> dict[str, list[int]]:
    terminal.bytes_until_quiet(scale.calm)
    _within_a_minute(1.1 * scale.steps * scale.calm)
    steps = {"in page": [_bytes(terminal, UP if n // 4 % 2 else DOWN, scale.calm) for n in range(scale.steps)]}
    for key in (PAGE_DOWN, PAGE_DOWN):
        _bytes(terminal, key, scale.calm)
    steps["scrolling"] = [_bytes(terminal, DOWN, scale.calm) for _ in range(scale.steps)]
    return steps


def _bytes(terminal: Terminal, key: bytes, calm: float) -> int:
    terminal.bytes_until_quiet(0.1 * calm)
    start = time.perf_counter()
    terminal.press(key)
    terminal.first_after(start)
    return sum(len(data) for _, data in terminal.bytes_until_quiet(0.3 * calm, start))


def memory(scale: Scale) -> list[Figure]:
    """One screen after some use, its worker apart."""
    pages = [PAGE_DOWN] * scale.pages
    with Terminal("tests.bench.bare", "empty") as terminal:
        terminal.bytes_until_quiet(scale.calm)
        empty_rss, empty_pss = memory_mb(terminal.pid)
    with big_office.somebody_sends(scale.big_place()), Terminal(*program(scale.big_place())) as terminal:
        terminal.until(FIRST_CLIENT)
        for key in (END, HOME, *pages, b"2", END, HOME, *pages, b"\r", b"\x1b"):
            terminal.press(key)
            terminal.bytes_until_quiet(0.3 * scale.calm)
        rss, pss = memory_mb(terminal.pid)
    return [
        Figure(f"memory of one TUI, RSS, {scale.big}", rss, "MB", empty_rss, "MB empty app", Budget(80)),
        Figure("the same, PSS", pss, "MB", empty_pss, "MB empty app"),
    ]


def idle(scale: Scale) -> list[Figure]:
    """A screen that nobody touches, between two full minutes."""
    with Terminal("tests.bench.bare", "list") as terminal:
        terminal.until(bare.FIRST_ROW)
        base, _ = _rest(terminal, scale)
    with big_office.somebody_sends(scale.big_place()), Terminal(*program(scale.big_place())) as terminal:
        terminal.until(FIRST_CLIENT)
        terminal.press(b"2")
        busy, written = _rest(terminal, scale)
    return [
        Figure(f"idle TUI, {scale.rest:.0f} s", busy, "% of a core", base, "% bare Textual list", Budget(1.0)),
        Figure("bytes to the terminal meanwhile", written, "B", budget=Budget(0)),
    ]


def _rest(terminal: Terminal, scale: Scale) -> tuple[float, int]:
    """Percent of a core and bytes written while nothing happens."""
    terminal.bytes_until_quiet(3 * scale.calm)  # a long list comes in two parts
    _within_a_minute(scale.rest)
    start, before = time.perf_counter(), cpu_seconds(terminal.pid)
    time.sleep(scale.rest)
    used, passed = cpu_seconds(terminal.pid) - before, time.perf_counter() - start
    return 100 * used / passed, sum(len(data) for _, data in terminal.since(start))
