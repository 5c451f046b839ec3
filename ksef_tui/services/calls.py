"""Every call to KSeF on its way: the lease is renewed, the limits are kept, the journal is written.

The same object stands before each call (`before`) and observes it (`started`, `ended`). Limits are counted from the
journal, so all processes share them and a restart forgets nothing (design §6 rule 10).
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, TypeVar

from ksef_tui.domain.times import from_text
from ksef_tui.ksef.limits import PRODUCTION_LIMITS, RateLimit, calls_left, counter, limit_for, wait_needed
from ksef_tui.services.clock_jumps import Watch
from ksef_tui.services.office import Office
from ksef_tui.store import leases, limits, records

if TYPE_CHECKING:
    from ksef_tui.ksef.http import Call, Outcome

T = TypeVar("T")

ON_THE_WAY = 0.5  # seconds that a call may travel: KSeF counts it when it arrives, at the latest when it answers
LATE_ANSWERS = 5.0  # seconds that an answer may take and its call still be looked up for a window of a second
ANONYMOUS_SPARE = 5  # calls a second left to others: logins share their limit with every process of this address (F37)
PATIENCE = 3.0  # seconds that a call of a pass waits for its limit by itself; longer waits end the pass
LEASE_SECONDS = 120.0
HOUR = 3600.0
_KNOWN = PRODUCTION_LIMITS.keys() | {"onlineSessionClose", "batchSessionClose"}
LIMITS_FRESH_HOURS = 24


class NotNow(Exception):
    """The call must wait `seconds`; it has not left. The pass ends and comes back."""

    def __init__(self, seconds: float) -> None:
        super().__init__(f"not for {seconds:.1f} s")
        self.seconds = seconds


class LeaseLost(Exception):
    """Another process works for this client now; the call has not left."""


@dataclass(slots=True)
class Doing:
    """On whose behalf the current task calls."""

    lease: leases.Lease | None = None
    invoice_id: int | None = None
    patience: float = PATIENCE  # seconds that a call may wait for its limit by itself
    reserve: int = 0  # calls of the same limit that must stay possible after this one (closing what is opened)
    waits: Callable[[float], None] | None = None  # hears how many seconds a call is about to wait for its limit

    @contextmanager
    def about(self, invoice_id: int) -> Iterator[None]:
        """Calls of this task are about that invoice; tasks side by side do not write over each other's."""
        token = doing.set(replace(self, invoice_id=invoice_id))
        try:
            yield
        finally:
            doing.reset(token)


doing: ContextVar[Doing | None] = ContextVar("doing", default=None)


@dataclass(frozen=True, slots=True)
class _Standing:
    """How one limit is used: its counter, whose, the calls that count (seconds since 1970), and for how many seconds
    more KSeF closed it (negative: it did not)."""

    name: str
    context: str
    limit: RateLimit
    times: list[float]
    blocked: float
    now: float


class CallKeeper:
    """Keeps the rules of calling, and the journal."""

    def __init__(self, office: Office, longest_call: float) -> None:
        self._office = office
        self._longest_call = longest_call
        self._watch = Watch(office)

    async def before(self, call: Call) -> None:
        """Wait for the limits and renew the lease. Raises NotNow or LeaseLost; then nothing has left."""
        self._watch.jumped()  # before its limits are counted
        mine = doing.get()
        patience = mine.patience if mine is not None else PATIENCE
        while True:
            wait = self.wait_for(call)
            if wait <= 0:
                break
            if wait > patience:
                raise NotNow(wait)
            if mine is not None and mine.waits is not None:
                mine.waits(wait)
            await asyncio.sleep(wait)
        self.keep_lease()

    def keep_lease(self) -> None:
        """Renew the lease of the current task. Raises LeaseLost."""
        mine = doing.get()
        if mine is not None and mine.lease is not None:
            renewed = leases.renew(self._office.db, mine.lease, max(LEASE_SECONDS, 2 * self._longest_call))
            if renewed is None:
                raise LeaseLost
            mine.lease = renewed

    async def while_alive(self, work: Awaitable[T]) -> T:
        """Wait for what may take longer than a lease, and keep the lease meanwhile. Raises LeaseLost: the work is then
        cancelled, and whatever a thread of it still writes names the state it leaves."""
        task = asyncio.ensure_future(work)
        try:
            while not (await asyncio.wait({task}, timeout=LEASE_SECONDS / 4))[0]:
                self.keep_lease()
        except BaseException:
            task.cancel()
            raise
        return task.result()

    def wait_for(self, call: Call) -> float:
        """Seconds until this call fits its limits; a long wait is written down, so that screens can tell it."""
        if not call.group:
            return 0.0
        mine = doing.get()
        at = self._standing(call)
        spare = ANONYMOUS_SPARE if not at.context else 0
        limit = _less(at.limit, (mine.reserve if mine else 0) + spare)
        wait = max(wait_needed(limit, at.times, at.now), at.blocked)
        known = limits.closed_until(self._office.db, at.context, at.name) - at.now
        if wait > PATIENCE and abs(wait - known) > 1:
            with self._office.db.write() as connection:
                limits.announce(connection, at.context, at.name, at.now + wait)
        return wait

    def left(self, call: Call) -> int:
        """How many calls of this kind may be made within a short time from now."""
        at = self._standing(call)
        return 0 if at.blocked > 0 else calls_left(at.limit, at.times, at.now)

    def _standing(self, call: Call) -> _Standing:
        known = self.limits_of(call.context)
        name = counter(call.group, call.operation, known)
        context = None if call.group == "anonymous" else call.context
        limit, now = limit_for(call.group, known), self._office.clock().timestamp()
        window = _window(limit)
        since = now - window - LATE_ANSWERS
        calls = records.calls_since(self._office.db, context, name, since) if window else []
        times = [at + ON_THE_WAY if answered is None else answered for at, answered in calls]
        blocked = limits.blocked_until(self._office.db, context or "", name) - now
        return _Standing(name, context or "", limit, times, blocked, now)

    def limits_of(self, context: str) -> Mapping[str, RateLimit]:
        """The limits that KSeF gave this context, or production's until it was asked."""
        known = limits.of_context(self._office.db, context)
        return {**PRODUCTION_LIMITS, **{group: RateLimit(*most) for group, most in known.items() if group in _KNOWN}}

    def limits_are_stale(self, context: str) -> bool:
        """Whether the limits of a context were not read today."""
        read_at = limits.read_at(self._office.db, context)
        return (
            read_at is None or (self._office.clock() - from_text(read_at)).total_seconds() > LIMITS_FRESH_HOURS * HOUR
        )

    def started(self, call: Call) -> int:
        """The journal's first row, committed before the request leaves. Raises NotNow: other processes were faster."""
        mine = doing.get()
        name = counter(call.group, call.operation, self.limits_of(call.context)) if call.group else ""
        with self._office.db.write() as connection:
            if call.group == "anonymous":  # shared by processes, which look and go at the same moment (F37)
                at = self._standing(call)
                if (wait := wait_needed(at.limit, at.times, at.now)) > 0:
                    raise NotNow(wait)
            return records.call_started(
                connection,
                self._office.clock(),
                context=call.context,
                operation=call.operation,
                method=call.method,
                path=call.path,
                limit_group=name,
                reference=call.reference,
                invoice_id=mine.invoice_id if mine else None,
            )

    def ended(self, call_id: int, outcome: Outcome) -> None:
        """The journal's second row; an answer that could not be read is kept apart, a 429 blocks its limit."""
        now = self._office.clock()
        detail = f"{outcome.detail} {outcome.warning}".strip()
        with self._office.db.write() as connection:
            records.call_ended(
                connection,
                now,
                call_id,
                kind=outcome.kind,
                status=outcome.status,
                code=outcome.code,
                detail=detail,
                reference=outcome.reference,
                seconds=outcome.seconds,
            )
            if outcome.body_sample:
                records.keep_odd_answer(connection, now, call_id, outcome.body_sample)
            if outcome.retry_after is not None:
                row = connection.execute("SELECT context, limit_group FROM journal WHERE id = ?", (call_id,)).fetchone()
                context = "" if row["limit_group"] == "anonymous" else row["context"]
                limits.block(connection, context, row["limit_group"], now.timestamp() + outcome.retry_after)
                limits.doubt(connection, context)  # we kept those that we knew: KSeF may have lowered them


def _window(limit: RateLimit) -> float:
    """How far back calls count, in seconds: the longest window that is limited."""
    if limit.per_hour >= 0:
        return HOUR
    if limit.per_minute >= 0:
        return 60.0
    return 1.0 if limit.per_second >= 0 else 0.0


def _less(limit: RateLimit, reserve: int) -> RateLimit:
    if not reserve:
        return limit
    return RateLimit(
        *(n if n < 0 else max(1, n - reserve) for n in (limit.per_second, limit.per_minute, limit.per_hour))
    )
