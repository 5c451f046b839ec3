"""Looking at a running screen."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from textual.app import App
from textual.pilot import Pilot

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
