"""Somebody who sends beside a screen that works with the sandbox."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from support.houses import House

from ksef_tui.compose import open_office
from ksef_tui.services.worker import Worker


@asynccontextmanager
async def somebody_sends(house: House) -> AsyncIterator[None]:
    """A worker, which the screen knows only from the database."""
    office = open_office(house.folder)
    office.clock = lambda: house.office.clock()
    office.since_boot = lambda: house.office.since_boot()
    worker = Worker(office)
    run = asyncio.create_task(worker.run())
    try:
        yield
    finally:
        worker.stop()
        await run
        office.close()
