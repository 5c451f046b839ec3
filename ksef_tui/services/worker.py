"""The worker: turns what people wrote into calls to KSeF, one pass for one client at a time, many clients side by side.

A pass does what can be done now and says when it wants to come back; it may be run at any moment and any number of
times. Each runs under the client's lease, so any number of workers, screens and commands may do this at once.
"""

from __future__ import annotations

import asyncio
import os
import random
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING

from ksef_tui.domain.problems import Problem
from ksef_tui.domain.times import from_text, to_text
from ksef_tui.ksef.errors import Unauthorized
from ksef_tui.services import (
    bulk,
    collision_reading,
    dispatching,
    enrolment,
    interactive,
    lineage,
    login,
    originals,
    personal,
    probing,
    receipts,
    retrying,
    staff,
    staff_orders,
    standing_identities,
    storage,
    switch_over,
    tracking,
)
from ksef_tui.services.calls import LEASE_SECONDS, CallKeeper, Doing, LeaseLost, NotNow, doing
from ksef_tui.services.clock_jumps import Watch
from ksef_tui.services.idleness import anything_moves
from ksef_tui.services.office import Office
from ksef_tui.services.turn import NoAccess, Polls, Turn, to_serve
from ksef_tui.store import authorizations, leases, pauses, settings
from ksef_tui.store.records import audit

if TYPE_CHECKING:
    from ksef_tui.ksef.api import KsefApi
    from ksef_tui.ksef.public_keys import KeyRing

LOOK_EVERY = 0.1  # seconds between looks at the database's version
LOOK_ANYWAY = 5.0  # seconds after which everything is looked at, changed or not
PRESENCE_SECONDS = 30.0  # how long the sign "somebody sends" outlives its last renewal
LONGEST_BACKOFF = 30.0
STOP_WITHIN = 45.0  # seconds from the order to stop until calls under way are given up: longer than a call takes
ENDS_WORK = frozenset({"read_only", "corrupt", "not_a_database", "cannot_open", "restart_needed"})

# Clients that may have something to do. Only indexed rows are touched.
_CLIENTS_WITH_WORK = """
SELECT client_id FROM authorization WHERE intent <> ''
UNION SELECT client_id FROM invoice_count WHERE n > 0 AND state IN ('approved', 'sending', 'unknown', 'processing')
UNION SELECT client_id FROM invoice WHERE state = 'accepted' AND upo IN ('none', 'late')
UNION SELECT client_id FROM unstored WHERE look_at <= :now
UNION SELECT client_id FROM session WHERE state NOT IN ('finished', 'lost')
UNION SELECT client_id FROM identity_switch
UNION SELECT client_id FROM authorization WHERE state = 'to_sign' AND fallback IS NOT NULL
UNION SELECT id FROM client WHERE office = 1 AND EXISTS (SELECT 1 FROM identity WHERE suspected_at IS NOT NULL AND removed_at IS NULL)
UNION SELECT client_id FROM client_session WHERE end_at <= :now OR refresh_until <= :now
UNION SELECT client_id FROM staff_order WHERE state IN ('wanted', 'sent', 'unknown')
UNION SELECT id FROM client WHERE reconcile_since IS NOT NULL
UNION SELECT v.client_id FROM collision c JOIN invoice v ON v.id = c.invoice_id WHERE c.wanted = 1
"""


@dataclass(slots=True)
class Client:
    """What the worker remembers of a client between passes; all of it may be forgotten."""

    polls: Polls = field(default_factory=Polls)
    next_at: float | None = 0.0  # seconds of the loop's clock; None: when something changes
    not_before: float = 0.0  # after a failure: no sooner, whatever changes
    failures: int = 0
    probe: bool = False  # the next pass asks whether the login still stands (F28)


class Worker:
    """Serves all clients until told to stop."""

    def __init__(
        self, office: Office, *, until_idle: bool = False, tell: Callable[[str], None] = lambda _: None
    ) -> None:
        from ksef_tui.ksef.api import KsefApi
        from ksef_tui.ksef.public_keys import KeyRing

        self.office = office
        self.until_idle = until_idle
        self.keeper = CallKeeper(office, longest_call=60.0)
        self.api: KsefApi = KsefApi(office.environment.api_url, self.keeper, transport=office.transport)
        self.keys: KeyRing = KeyRing(self.api, verified=office.environment.real, clock=office.clock)
        self.clients: dict[int, Client] = {}
        self.running: dict[int, asyncio.Task[None]] = {}
        self.turns: dict[int, Turn] = {}
        self.stopping = asyncio.Event()
        self.stop_within = STOP_WITHIN
        self.closes_sessions = False  # at its end; for a process that ends with it
        self.works = asyncio.Event()  # it has written that it is there
        self.rounds = 0
        self.broken: Problem | None = None
        self._tell = tell
        self._told: set[str] = set()
        self._seq = -1
        self._watch = Watch(office)
        self._looked_at = 0.0

    def stop(self) -> None:
        """Take up and send nothing new; what is out is waited for, at most `stop_within` seconds."""
        self.stopping.set()
        for turn in self.turns.values():
            turn.settling = True

    async def run(self) -> None:
        """Serve until `stop`, or (until_idle) until nothing that could move is left.

        Raises Problem when the database takes no writing at all.
        """
        presence = asyncio.create_task(self._show_presence())
        try:
            version = -1
            while not self.stopping.is_set():
                seen = self.office.db.data_version()
                if seen != version:
                    version = seen
                    self._wake_changed()
                self._mind_the_clock()
                self._advance_bulk()
                self._start_due()
                self.rounds += 1
                if self.until_idle and not self.running and self._is_idle():
                    break
                await self._wait()
        finally:
            await self._wind_up()
            presence.cancel()
            await asyncio.gather(presence, return_exceptions=True)
            await self.api.aclose()
        if self.broken is not None:
            raise self.broken

    async def _wind_up(self) -> None:
        """Passes under way end, sessions are closed if nobody else works here. What takes too long is given up; what it
        led to is found out by the next worker."""
        with suppress(TimeoutError):
            async with asyncio.timeout(self.stop_within):
                await asyncio.gather(*self.running.values(), return_exceptions=True)
                if self.closes_sessions and self.broken is None:
                    await self._close_sessions()

    async def _close_sessions(self) -> None:
        """Nobody will send in them soon (design §6 rule 7). What fails is left to the next worker."""
        own = f"worker:{os.getpid()}"
        if any(name != own for name in leases.holders(self.office.db, "worker:")):
            return
        rows = self.office.db.rows(
            "SELECT DISTINCT client_id FROM session WHERE kind = 'interactive' AND state IN ('open', 'closing')"
        )
        close = partial(interactive.close_idle, idle=timedelta(0))
        await asyncio.gather(
            *(one_pass(self, row[0], Polls(), only_settle=True, steps=close) for row in rows), return_exceptions=True
        )

    async def _wait(self) -> None:
        stop = asyncio.create_task(self.stopping.wait())
        await asyncio.wait({stop, *self.running.values()}, timeout=LOOK_EVERY, return_when=asyncio.FIRST_COMPLETED)
        stop.cancel()

    def _wake_changed(self) -> None:
        """Clients that another process changed are looked at now."""
        from ksef_tui.services.views import newest_seq

        for table, column in (
            ("invoice", "client_id"),
            ("authorization", "client_id"),
            ("client", "id"),
            ("staff_order", "client_id"),
            ("pause", "client_id"),
        ):
            for row in self.office.db.rows(f"SELECT DISTINCT {column} FROM {table} WHERE change_seq > ?", (self._seq,)):  # noqa: S608
                if row[0] is None:  # everything was stopped, or goes on
                    self._looked_at = float("-inf")
                else:
                    self.clients.setdefault(row[0], Client()).next_at = 0.0
        for row in authorizations.with_intent(self.office.db):  # a person waits for it: now, whatever failed before
            self.clients.setdefault(row["client_id"], Client()).not_before = 0.0
        self._seq = newest_seq(self.office)

    def _mind_the_clock(self) -> None:
        """When it was set, every client is looked at anew: what was to be asked when is counted from now."""
        try:
            if self._watch.jumped():
                for client in self.clients.values():
                    client.polls.session_at.clear()
                    client.polls.metadata.clear()  # the moments at which it was read are of the old clock
                    client.next_at = 0.0
        except Problem as problem:
            self._cannot_write(problem)

    def _advance_bulk(self) -> None:
        """Runs over many clients go on: the next few are asked, and stand in line behind who waits already."""
        now = asyncio.get_running_loop().time()
        try:
            for client_id in bulk.advance(self.office):
                client = self.clients.setdefault(client_id, Client(next_at=None))
                client.next_at = now if client.next_at is None else min(client.next_at, now)
                client.not_before = 0.0
        except Problem as problem:
            self._cannot_write(problem)

    def _start_due(self) -> None:
        from ksef_tui.services import certifying  # it builds on this module

        now = asyncio.get_running_loop().time()
        if now - self._looked_at >= LOOK_ANYWAY:
            self._looked_at = now
            certifying.plan(self.office)
            todo = self.office.db.rows(_CLIENTS_WITH_WORK, {"now": to_text(self.office.clock())})
            for row in [*todo, *self.office.db.rows(lineage.CLIENTS_WITH_WORK)]:
                client = self.clients.setdefault(row[0], Client())
                client.next_at = now if client.next_at is None else min(client.next_at, now)
            self._want_probe(now)
            if staff_orders.due_for_reading(self.office):
                self.clients.setdefault(staff.own_client(self.office), Client()).next_at = now
        free = settings.get_int(self.office.db, "parallel_clients") - len(self.running)
        due = [
            (client.next_at, client_id)
            for client_id, client in self.clients.items()
            if client_id not in self.running
            and client.next_at is not None
            and client.next_at <= now
            and client.not_before <= now
        ]
        urgent = self._with_urgent() if len(due) > free else frozenset()
        # What a key marked goes first; then who has waited longest: no flood starves another (rule 10).
        due.sort(key=lambda one: (one[1] not in urgent, one))
        for _, client_id in due[: max(0, free)]:
            self.running[client_id] = asyncio.create_task(self._serve(client_id))

    def _with_urgent(self) -> frozenset[int]:
        """Clients with invoices that a person marked to go now."""
        rows = self.office.db.rows(
            "SELECT DISTINCT client_id FROM invoice WHERE state = 'approved' AND urgent_at IS NOT NULL"
        )
        return frozenset(row[0] for row in rows)

    def _want_probe(self, now: float) -> None:
        """At most one client at a time; a worker that ends when it is idle leaves probes to one that stays."""
        client_id = None if self.until_idle else probing.next_due(self.office)
        if client_id is not None:
            client = self.clients.setdefault(client_id, Client())
            client.probe, client.next_at = True, now

    async def _serve(self, client_id: int) -> None:
        try:
            await self._serve_safely(client_id)
        finally:
            self.running.pop(client_id, None)

    async def _serve_safely(self, client_id: int) -> None:
        client = self.clients[client_id]
        client.next_at = None
        loop = asyncio.get_running_loop()
        before = client.polls.progress
        try:
            probe, client.probe = client.probe, False
            wanted = await one_pass(self, client_id, client.polls, probe=probe)
        except LeaseLost:
            client.next_at = loop.time() + 1.0
            return
        except NoAccess:
            client.failures = 0
            return
        except Exception as error:
            client.failures = 1 if client.polls.progress > before else client.failures + 1
            pause = min(LONGEST_BACKOFF, 2.0 ** (client.failures - 1)) * random.uniform(0.8, 1.2)  # noqa: S311
            client.not_before = client.next_at = loop.time() + pause
            self._remember(client_id, error, pause)
            return
        self._rests_no_more(client_id)
        client.failures = 0
        if wanted is not None:  # a wake-up during the pass stands
            wanted_at = loop.time() + wanted
            client.next_at = wanted_at if client.next_at is None else min(client.next_at, wanted_at)

    def _remember(self, client_id: int, error: Exception, pause: float) -> None:
        """Whatever failed, the rows of the client say why nothing moves for `pause` seconds. A problem is told on every
        screen; a mistake of the program must neither stop the other clients nor be lost."""
        from ksef_tui.ksef.errors import KsefError

        reason = error.message if isinstance(error, KsefError | Problem) else "błąd programu (zapisany w dzienniku)"
        try:
            with self.office.db.write() as connection:
                pauses.put_rest(connection, client_id, self.office.clock() + timedelta(seconds=pause), reason)
        except Problem as problem:
            self._cannot_write(problem)
        if isinstance(error, KsefError):
            return
        act, text = (
            ("program.problem", error.message) if isinstance(error, Problem) else ("program.fault", _where(error))
        )
        try:
            with self.office.db.write() as connection:
                audit(
                    connection,
                    self.office.clock(),
                    None,
                    act,
                    client_id=client_id,
                    kind=type(error).__name__,
                    text=text,
                )
        except Problem as problem:  # a full disk takes no record either
            self._cannot_write(problem)
        else:
            if isinstance(error, Problem):
                self._cannot_write(error)

    def _rests_no_more(self, client_id: int) -> None:
        """It was served, whoever had failed before."""
        if pauses.rest(self.office.db, client_id, self.office.clock()) is None:
            return
        try:
            with self.office.db.write() as connection:
                pauses.end_rest(connection, client_id)
        except Problem as problem:
            self._cannot_write(problem)

    def _cannot_write(self, problem: Problem) -> None:
        """Tell what is wrong with this installation, once; a database that takes nothing ends the work."""
        if problem.code in ENDS_WORK:
            self.broken = problem
            self.stop()
        elif problem.message not in self._told:
            self._told.add(problem.message)
            self._tell(problem.message)

    async def _show_presence(self) -> None:
        """Screens say "nikt nie wysyła" when no such lease is there."""
        lease: leases.Lease | None = None
        try:
            while True:
                try:
                    lease = leases.renew(self.office.db, lease, PRESENCE_SECONDS) if lease else None
                    lease = lease or leases.take(self.office.db, f"worker:{os.getpid()}", PRESENCE_SECONDS)
                    self.works.set()
                except Problem as problem:
                    self._cannot_write(problem)
                await asyncio.sleep(PRESENCE_SECONDS / 3)
        finally:
            if lease is not None:
                with suppress(Problem):
                    leases.release(self.office.db, lease)

    def _is_idle(self) -> bool:
        return not anything_moves(self.office)


async def one_pass(
    worker: Worker,
    client_id: int,
    polls: Polls,
    *,
    only_settle: bool = False,
    probe: bool = False,
    steps: Callable[[Turn], Awaitable[None]] | None = None,
) -> float | None:
    """Do for one client what can be done now; seconds until the next pass is wanted, None: when something changes.
    `only_settle`: what is on its way is followed, and nothing new is sent; `steps`: these alone.

    Raises LeaseLost, NoAccess, KsefError, Problem.
    """
    office = worker.office
    row = to_serve(office, client_id)
    if row is None:
        return None
    lease = leases.take(office.db, f"client:{client_id}", LEASE_SECONDS)
    if lease is None:
        return 0.5  # another process works for this client
    mine = Doing(lease)
    turn = Turn(office, worker.api, worker.keeper, worker.keys, polls, mine, row, flush=worker.until_idle)
    turn.settling = only_settle or worker.stopping.is_set()
    worker.turns[client_id] = turn
    token = doing.set(mine)
    try:
        if probe:
            await probing.probe(turn)
        await (steps or _steps)(turn)
    except Unauthorized:  # of whatever call: the token does not work any more, though its time has not come
        login.forget_access(turn)
        raise
    except NoAccess:
        if turn.next_in is None:
            raise
        # A login that is under way asked to be gone on with.
    finally:
        worker.turns.pop(client_id, None)
        doing.reset(token)
        leases.release(office.db, mine.lease or lease)
    return turn.next_in


async def _steps(turn: Turn) -> None:
    """Every step, even when an earlier one must wait for a limit or was refused: what is stuck does not stop the rest.

    The first refusal or problem is raised at the end; the weather (no connection, no answer) ends the pass at once.
    """
    from ksef_tui.ksef.errors import Refused

    idle = timedelta(seconds=settings.get_int(turn.office.db, "session_idle_seconds"))
    refused: Refused | Problem | None = None
    await lineage.follow(turn)
    await login.carry_out_intent(turn)
    await standing_identities.test_suspects(turn)
    tracking.take_over(turn)
    await switch_over.go_on(turn)
    for step in (
        enrolment.go_on,
        lineage.revoke,
        staff_orders.carry_on,
        tracking.follow,
        originals.settle,
        dispatching.dispatch,
        retrying.go_on,
        receipts.fetch_receipts,
        collision_reading.go_on,
        storage.look,
        partial(interactive.close_idle, idle=idle),
    ):
        try:
            await step(turn)
        except NotNow as wait:
            turn.come_back(wait.seconds)
        except (Refused, Problem) as error:
            refused = refused or error
    _come_back_for_recall(turn)
    switch_over.settled(turn)
    personal.end_when_left(turn)
    if refused is not None:
        raise refused


def _come_back_for_recall(turn: Turn) -> None:
    soonest = turn.office.db.value(
        "SELECT min(send_after) FROM invoice WHERE client_id = ? AND state = 'approved' AND send_after > ?",
        (turn.client_id, to_text(turn.now)),
    )
    if soonest is not None:
        turn.come_back((from_text(soonest) - turn.now).total_seconds())


def _where(error: Exception) -> str:
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    return "" if trace is None else f"{os.path.basename(trace.tb_frame.f_code.co_filename)}:{trace.tb_lineno}"  # noqa: PTH119
