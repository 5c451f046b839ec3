"""Looking at a running screen."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from textual.app import App
from textual.pilot import Pilot

from ksef_tui.domain.roles import Operator
from ksef_tui.services.office import Office
from ksef_tui.tui.app import KsefTui

Program = Callable[..., KsefTui]
Desk = tuple[Office, Operator]
NARROW, WIDE = (80, 24), (150, 38)
LONGEST = 20.0  # seconds until something that must come is given up


async def expect(pilot: Pilot[Any], condition: Callable[[], bool]) -> None:
    """Wait for something to become true on the screen."""
    async with asyncio.timeout(LONGEST):
        while not condition():
            await pilot.pause(0.01)


def text_of(app: App[Any]) -> str:
    """What stands on the screen, line by line."""
    lines = app.screen._compositor.render_strips()
    return "\n".join("".join(segment.text for segment in strip) for strip in lines)


async def ready(app: KsefTui, pilot: Pilot[int]) -> None:
    """Wait until the lists and the status line have been read."""
    await expect(pilot, lambda: app.main.header_view is not None and bool(app.main.clients.list.ids))
    await expect(pilot, lambda: app.main.authorization.view is not None and bool(app.main.queue.counts))


def states(desk: Desk, numbers: str) -> set[str]:
    rows = desk[0].db.rows("SELECT state FROM invoice WHERE number LIKE ?", (numbers,))
    return {row["state"] for row in rows}


async def on_client(app: KsefTui, pilot: Pilot[int], client_id: int) -> None:
    await ready(app, pilot)
    assert app.main.clients.list.go_to(client_id)
    await expect(
        pilot, lambda: app.main.authorization.view is not None and app.main.authorization.view.client_id == client_id
    )


async def asked(app: KsefTui, pilot: Pilot[int], kind: type) -> None:
    await expect(pilot, lambda: isinstance(app.screen, kind))
