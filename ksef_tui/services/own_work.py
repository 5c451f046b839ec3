"""What people ask and wait for, carried out in their own process under the client's lease (design §3).

While another process holds the lease it does the work, and this one waits.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress

from ksef_tui.domain.problems import Problem
from ksef_tui.domain.roles import Operator
from ksef_tui.ksef.errors import Unauthorized
from ksef_tui.services import (
    enrolment,
    lineage,
    login,
    retrying,
    standing_identities,
    switch_over,
)
from ksef_tui.services.calls import LEASE_SECONDS, Doing, LeaseLost, NotNow, doing
from ksef_tui.services.office import Office
from ksef_tui.services.turn import NoAccess, Polls, Turn, to_serve
from ksef_tui.services.worker import LOOK_EVERY, Worker, one_pass
from ksef_tui.store import authorizations, invoices, leases, onboardings, settings


async def carry_out(office: Office, client_id: int, *, patience: float, tell: Callable[[], None] | None = None) -> None:
    """Carry out what was just asked for one client, in this process, and wait for its end (design §3); a login of the
    client's own that is left is ended too, if KSeF answers. Raises Problem("timeout") after `patience` seconds."""

    def reached() -> bool:
        asked = authorizations.get(office.db, client_id)["intent"]
        return not asked and not onboardings.to_end(office.db, client_id, office.clock())

    await serve_until(office, client_id, reached, patience=patience, tell=tell)


async def serve_until(
    office: Office,
    client_id: int,
    reached: Callable[[], bool],
    *,
    patience: float,
    tell: Callable[[], None] | None = None,
) -> None:
    """Serve what people ask for one client – its authorisation, certificates ordered in its context – until it is so.

    While another process holds the client's lease it does the work, and this one waits. Raises Problem("timeout")
    after `patience` seconds.
    """
    worker = Worker(office)
    polls = Polls()
    loop = asyncio.get_running_loop()
    end = loop.time() + patience
    try:
        while not reached():
            if loop.time() > end:
                raise Problem(
                    "timeout", "KSeF nie odpowiedział w wyznaczonym czasie – sprawdź stan poleceniem auth status."
                )
            lease = leases.take(office.db, f"client:{client_id}", LEASE_SECONDS)
            if lease is None:
                await asyncio.sleep(LOOK_EVERY)
                continue
            pause = await intent_once(worker, client_id, polls, lease)
            if tell is not None:
                tell()
            if not reached():  # KSeF may ask for a longer wait than we have
                await asyncio.sleep(min(pause, max(0.0, end - loop.time())))
        await _test_suspects_once(worker, end)
    finally:
        await worker.api.aclose()


async def carry_out_switches(office: Office, client_ids: Sequence[int], *, patience: float) -> None:
    """Go on with the changes of identity of these clients in this process until each is over, waits for a person or for
    KSeF, or `patience` seconds have passed. Nothing new is sent meanwhile; what is left, a worker does."""
    worker, loop = Worker(office), asyncio.get_running_loop()
    end, side_by_side = loop.time() + patience, asyncio.Semaphore(settings.get_int(office.db, "parallel_clients"))

    async def one(client_id: int) -> None:
        polls = Polls()
        async with side_by_side:
            while switch_over.can_move(office, client_id, office.clock()) and loop.time() < end:
                pause: float | None = None
                with suppress(NoAccess, LeaseLost, KsefError):
                    pause = await one_pass(worker, client_id, polls, only_settle=True)
                # not longer: the pass may have come to the end, or another process does
                await asyncio.sleep(min(1.0, 1.0 if pause is None else pause, max(0.0, end - loop.time())))

    from ksef_tui.ksef.errors import KsefError

    try:
        await asyncio.gather(*(one(client_id) for client_id in client_ids))
    finally:
        await worker.api.aclose()


async def look_for(office: Office, ids: Sequence[int], *, patience: float) -> None:
    """Look in KSeF for the refused invoices that somebody wants to try again (`retrying`), in this process, until each is
    known or `patience` seconds have passed; what is left, a worker does."""
    from ksef_tui.ksef.errors import KsefError

    worker, loop = Worker(office), asyncio.get_running_loop()
    end = loop.time() + patience
    try:
        for client_id in invoices.clients_of(office.db, ids):
            polls = Polls()
            while invoices.still_looked_for(office.db, client_id, ids) and loop.time() < end:
                lease = leases.take(office.db, f"client:{client_id}", LEASE_SECONDS)
                pause = LOOK_EVERY
                if lease is not None:
                    with suppress(KsefError):  # no answer: it is asked again
                        pause = await intent_once(worker, client_id, polls, lease, do=_look) or LOOK_EVERY
                await asyncio.sleep(min(pause, max(0.0, end - loop.time())))
    except NoAccess:
        return
    finally:
        await worker.api.aclose()


async def _look(turn: Turn) -> None:
    await lineage.follow(turn)
    await retrying.go_on(turn)


async def _test_suspects_once(worker: Worker, end: float) -> None:
    """A 480 that was just met asks for a test at home, in the turn of the office's own client (F27). Without an answer
    it is left to a worker; while another process has that turn, it does the work."""
    own = worker.office.db.value("SELECT id FROM client WHERE office = 1")
    while standing_identities.waits(worker.office) and asyncio.get_running_loop().time() < end:
        lease = leases.take(worker.office.db, f"client:{own}", LEASE_SECONDS)
        if lease is not None:
            await intent_once(worker, own, Polls(), lease, do=standing_identities.test_suspects)
            return
        await asyncio.sleep(LOOK_EVERY)


@asynccontextmanager
async def own_turn(office: Office, client_id: int, operator: Operator, *, patience: float) -> AsyncIterator[Turn]:
    """A client's turn in this process, for what `operator` asks and waits for; at most `patience` seconds for the lease
    and for each limit. Another person's certificate does not sign in it (`personal`). Raises Problem("busy") when
    another process keeps the lease."""
    row = to_serve(office, client_id)
    assert row is not None
    end = asyncio.get_running_loop().time() + patience
    while (lease := leases.take(office.db, f"client:{client_id}", LEASE_SECONDS)) is None:
        if asyncio.get_running_loop().time() > end:
            raise Problem("busy", f"Inny proces pracuje właśnie dla klienta {row['name']} – spróbuj za chwilę.")
        await asyncio.sleep(LOOK_EVERY)
    worker, mine = Worker(office), Doing(lease, patience=patience)
    token = doing.set(mine)
    try:
        turn = Turn(office, worker.api, worker.keeper, worker.keys, Polls(), mine, row, operator=operator)
        await lineage.follow(turn)
        yield turn
    finally:
        doing.reset(token)
        leases.release(office.db, mine.lease or lease)
        await worker.api.aclose()


async def _what_people_asked(turn: Turn) -> None:
    """What somebody waits for: an authorisation, and certificates ordered or revoked in this client's context."""
    await lineage.follow(turn)
    await login.carry_out_intent(turn)
    await enrolment.go_on(turn)
    await lineage.revoke(turn)


async def intent_once(
    worker: Worker,
    client_id: int,
    polls: Polls,
    lease: leases.Lease,
    *,
    do: Callable[[Turn], Awaitable[None]] | None = None,
) -> float:
    """One attempt; seconds until the next one makes sense, if the intent is still there."""
    mine = Doing(lease)
    token = doing.set(mine)
    try:
        row = to_serve(worker.office, client_id)
        assert row is not None
        turn = Turn(worker.office, worker.api, worker.keeper, worker.keys, polls, mine, row)
        await (do or _what_people_asked)(turn)
    except NotNow as wait:
        turn.come_back(wait.seconds)
    except Unauthorized:
        login.forget_access(turn)
    except LeaseLost:  # another process took over: it does the work now
        turn.come_back(LOOK_EVERY)
    finally:
        doing.reset(token)
        leases.release(worker.office.db, mine.lease or lease)
    return turn.next_in or 0.0
