"""Seeing runs over many clients through in this process: what a command does that waits for their end (design §3).

It works beside a worker and screens: each client is served by whoever takes its lease, and the rows are everybody's.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from ksef_tui.domain.problems import Problem
from ksef_tui.domain.roles import Operator
from ksef_tui.services import bulk
from ksef_tui.services.calls import LEASE_SECONDS
from ksef_tui.services.office import Office
from ksef_tui.services.own_work import intent_once
from ksef_tui.services.turn import Polls
from ksef_tui.services.worker import LOOK_EVERY, Worker
from ksef_tui.store import authorizations, leases

AFTER_A_FAULT = 1.0  # seconds before a client is tried again whose step broke


async def see_through(
    office: Office, operator: Operator, run_ids: Sequence[int], tell: Callable[[bulk.Progress], None] = lambda _: None
) -> None:
    """Serve the clients of these runs, many side by side, until all runs are over; `tell` hears how they stand.

    Raises Problem when the database takes no writing.
    """
    worker = Worker(office)
    running: dict[int, asyncio.Task[None]] = {}
    try:
        while True:
            bulk.advance(office)
            stand = [bulk.progress(office, operator, run_id) for run_id in run_ids]
            for one in stand:
                tell(one)
            if all(one.over for one in stand):
                return
            asked = [c for one in stand for c in bulk.asked_ids(office, one.run_id)]
            for client_id in (*asked, *(c for one in stand for c in bulk.held_up_ids(office, one.run_id))):
                if client_id not in running:
                    running[client_id] = asyncio.create_task(_serve(worker, client_id))
            await _until_one_ends(running)
    finally:
        for task in running.values():
            task.cancel()
        await asyncio.gather(*running.values(), return_exceptions=True)
        await worker.api.aclose()


async def _until_one_ends(running: dict[int, asyncio.Task[None]]) -> None:
    if not running:
        await asyncio.sleep(LOOK_EVERY)
        return
    await asyncio.wait(running.values(), timeout=LOOK_EVERY, return_when=asyncio.FIRST_COMPLETED)
    for client_id in [one for one, task in running.items() if task.done()]:
        task = running.pop(client_id)
        if (error := task.exception()) is not None:
            raise error


async def _serve(worker: Worker, client_id: int) -> None:
    """Until the client's intent is gone, whoever carried it out."""
    polls = Polls()
    while authorizations.get(worker.office.db, client_id)["intent"]:
        lease = leases.take(worker.office.db, f"client:{client_id}", LEASE_SECONDS)
        pause = LOOK_EVERY
        if lease is not None:
            try:
                pause = await intent_once(worker, client_id, polls, lease)
            except Problem:
                raise
            except Exception:  # one client's trouble stops no other; its row ends when its time is over
                pause = AFTER_A_FAULT
        await asyncio.sleep(pause)
