"""Runs an app on this terminal, gives it keys and writes down how long each took to be repainted.

    python -m tests.bench.keyed ksef FOLDER PANE COUNT CALM OUT | table ROWS COUNT CALM OUT | many FOLDER LOGIN COUNT CALM OUT

The time runs from the key event handed to the driver until `App._display` has returned. Not through `Pilot.press`,
which sleeps. `many` checks all clients meanwhile: keys at rest first, then until that is over.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Callable
from pathlib import Path
from time import perf_counter, thread_time
from typing import Any

from textual import events
from textual.app import App

from ksef_tui.compose import open_office
from ksef_tui.services.office import operator_named
from ksef_tui.tui.app import KsefTui
from tests.bench.bare import ListApp
from tests.bench.big_office import LOGIN
from tests.bench.terminal import PATIENCE

QUIET = 0.13  # seconds without a repaint after which all effects of a key are over
SETTLED = 0.5  # the same, before measuring begins
IN_PAGE = 8  # rows from the top of the page within which the cursor goes up and down


class Watched:
    """An app and the moments when it wrote to the terminal."""

    def __init__(self, app: App[Any], calm: float) -> None:
        self.app = app
        self.calm = calm
        self.displays: list[tuple[float, float]] = [(0.0, 0.0)]  # by the clock, by the processor time of this thread
        setattr(app, "post_display_hook", self._note)  # noqa: B010  # Textual calls it at the end of _display, for tests

    def _note(self) -> None:
        self.displays.append((perf_counter(), thread_time()))

    async def quiet(self, seconds: float) -> None:
        """Wait until nothing has been displayed for so long, as calm as it is to be."""
        start, seconds = perf_counter(), seconds * self.calm
        while (left := max(start, self.displays[-1][0]) + seconds - perf_counter()) > 0:
            await asyncio.sleep(left)

    async def press(self, key: str) -> tuple[float, float, float]:
        """Milliseconds from the key to the end of the first repaint, the processor's part of it, and to the last one.

        The first is the list's; the footer follows. RuntimeError when nothing is repainted.
        """
        await self.quiet(QUIET)
        driver = self.app._driver
        assert driver is not None
        before = len(self.displays)
        start, busy = perf_counter(), thread_time()
        driver.process_message(events.Key(key, key if len(key) == 1 else None))
        while len(self.displays) == before:
            if perf_counter() - start > PATIENCE:
                raise RuntimeError(f"the key {key} was not followed by a repaint")
            await asyncio.sleep(0.001)
        await self.quiet(QUIET)
        (first, used), (last, _) = self.displays[before], self.displays[-1]
        return (first - start) * 1000, (used - busy) * 1000, (last - start) * 1000

    async def measure(self, count: int) -> dict[str, list[tuple[float, float, float]]]:
        """`page`: the cursor goes up and down within the page; `scroll`: each step moves the whole list."""
        for _ in range(3):
            await self.press("down")
        page = [await self.press("down" if n // IN_PAGE % 2 == 0 else "up") for n in range(count)]
        await self.press("pagedown")
        await self.press("pagedown")  # on the last row of the page now, so that each further step scrolls
        return {"page": page, "scroll": [await self.press("down") for _ in range(count)]}


class Moving:
    """The list of clients while much else is repainted: a key is over when the row under the cursor is another one."""

    def __init__(self, app: KsefTui, calm: float) -> None:
        self.app = app
        self.calm = calm
        self.shown: list[tuple[float, int | None]] = []
        setattr(app, "post_display_hook", self._note)  # noqa: B010

    def _note(self) -> None:
        self.shown.append((perf_counter(), self.app.main.clients.list.current_id))

    async def press(self, key: str) -> float:
        """Milliseconds from the key to the end of the repaint that shows the cursor on another row."""
        driver = self.app._driver
        assert driver is not None
        before, seen, start = self.app.main.clients.list.current_id, len(self.shown), perf_counter()
        driver.process_message(events.Key(key, None))
        while True:
            for at, current in self.shown[seen:]:
                if current != before:
                    return (at - start) * 1000
            if perf_counter() - start > PATIENCE:
                raise RuntimeError(f"the key {key} did not move the cursor")
            await asyncio.sleep(0.001)

    async def keys(self, count: int, go_on: Callable[[], bool]) -> list[float]:
        """Up and down within the page, at least `count` times and while `go_on` says so."""
        times: list[float] = []
        while len(times) < count or go_on():
            times.append(await self.press("down" if len(times) // IN_PAGE % 2 == 0 else "up"))
            await asyncio.sleep(QUIET * self.calm)
        return times

    async def drive(self, count: int, out: Path) -> None:
        """At rest, then while all clients are checked."""
        from ksef_tui.services import bulk

        main, desk = self.app.main, self.app.desk
        deadline = perf_counter() + PATIENCE
        while not (main.clients.list.ids and main.header_view is not None):
            if perf_counter() > deadline:
                raise RuntimeError("the list did not fill")
            await asyncio.sleep(0.02)
        await asyncio.sleep(SETTLED)
        idle = await self.keys(count, lambda: False)
        ids = bulk.everybody(desk.office, desk.operator, "check")
        began = perf_counter()
        run = await desk.act(lambda: bulk.begin(desk.office, desk.operator, "check", ids))
        over = lambda: bulk.progress(desk.office, desk.operator, run.run_id).over  # noqa: E731
        busy = await self.keys(count, lambda: not over())
        out.write_text(json.dumps({"idle": idle, "busy": busy, "began": began, "ended": perf_counter()}))


def driven(app: App[Any], ready: Callable[[], bool], first_keys: str, count: int, calm: float, out: Path) -> None:
    """Run the app, press the keys, leave the times in `out`."""
    watched = Watched(app, calm)

    async def drive() -> None:
        deadline = perf_counter() + PATIENCE
        while not ready():
            if perf_counter() > deadline:
                raise RuntimeError("the list did not fill")
            await asyncio.sleep(0.02)
        await watched.quiet(SETTLED)
        for key in first_keys:
            await watched.press(key)
        await watched.quiet(SETTLED)
        out.write_text(json.dumps(await watched.measure(count)))

    async def run() -> None:
        driving = asyncio.create_task(drive())
        driving.add_done_callback(lambda _: app.exit())
        await app.run_async()
        driving.cancel()  # when the app ended first
        await driving

    asyncio.run(run())


def _many(folder: Path, login: str, count: int, calm: float, out: Path) -> None:
    office = open_office(folder)
    app = KsefTui(office, operator_named(office, login))
    moving = Moving(app, calm)

    async def run() -> None:
        driving = asyncio.create_task(moving.drive(count, out))
        driving.add_done_callback(lambda _: app.exit())
        await app.run_async()
        driving.cancel()  # when the app ended first
        await driving

    try:
        asyncio.run(run())
    finally:
        app.leave_nothing()


def main() -> None:
    """As the arguments say."""
    kind, *arguments = sys.argv[1:]
    count, calm, out = int(arguments[-3]), float(arguments[-2]), Path(arguments[-1])
    if kind == "many":
        _many(Path(arguments[0]), arguments[1], count, calm, out)
        return
    if kind == "table":
        driven(ListApp(int(arguments[0])), lambda: True, "", count, calm, out)
        return
    folder, pane = Path(arguments[0]), arguments[1]
    office = open_office(folder)
    first_keys = "" if pane == "1" else pane  # the clients have the focus from the start
    app = KsefTui(office, operator_named(office, LOGIN))
    try:
        driven(app, lambda: bool(app.main.clients.list.ids and app.main.queue.list.ids), first_keys, count, calm, out)
    finally:
        app.leave_nothing()


if __name__ == "__main__":
    main()
