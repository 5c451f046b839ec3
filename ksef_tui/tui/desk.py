"""What every part of the screen works with: the office, the operator, the clock, the look, and hands for slow work."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from time import monotonic
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar

from ksef_tui.domain.roles import Operator
from ksef_tui.tui.present import Look

if TYPE_CHECKING:
    from ksef_tui.services.office import Office

T = TypeVar("T")


def utc_now() -> datetime:
    """The clock of this machine."""
    return datetime.now(UTC)


class Trouble(Protocol):
    """One trouble that the exercise can switch on and off."""

    @property
    def id(self) -> str: ...
    @property
    def label(self) -> str: ...
    @property
    def help(self) -> str: ...
    @property
    def seen(self) -> str: ...
    @property
    def on(self) -> bool: ...


class Exercise(Protocol):
    """The demo's menu of troubles with KSeF."""

    def troubles(self) -> list[Trouble]:
        """The troubles and which of them are on."""
        ...

    async def switch(self, trouble_id: str) -> None:
        """Switch one on or off."""
        ...


class Asking(Generic[T]):
    """A coroutine that runs on another thread and can be given up from this one."""

    def __init__(self, job: Callable[[], Coroutine[Any, Any, T]]) -> None:
        self._job = job
        self._lock = threading.Lock()
        self._given_up = False
        self._running: tuple[asyncio.AbstractEventLoop, asyncio.Task[T]] | None = None

    def run(self) -> T:
        """To its end, on this thread. Raises CancelledError when it was given up."""
        return asyncio.run(self._main())

    async def _main(self) -> T:
        with self._lock:
            if self._given_up:
                raise asyncio.CancelledError
            task = asyncio.ensure_future(self._job())
            self._running = (asyncio.get_running_loop(), task)
        try:
            return await task
        finally:
            with self._lock:
                self._running = None

    def cancel(self) -> None:
        """Give it up, from any thread."""
        with self._lock:
            self._given_up = True
            if self._running is not None:
                loop, task = self._running
                loop.call_soon_threadsafe(task.cancel)


class Desk:
    """Reading, acting and importing have a thread each, so that none waits for another and the screen for none."""

    def __init__(
        self, office: Office, operator: Operator, look: Look, now: Callable[[], datetime], exercise: Exercise | None
    ) -> None:
        self.office = office
        self.operator = operator
        self.look = look
        self.now = now
        self.exercise = exercise
        self._reading = ThreadPoolExecutor(1, "reading")  # two would share one processor and take 3 MB more
        self._acting = ThreadPoolExecutor(1, "acting")
        self._importing = ThreadPoolExecutor(1, "importing")
        self._asking = ThreadPoolExecutor(2, "asking")
        self._asked: set[Asking[Any]] = set()

    async def read(self, job: Callable[[], T]) -> T:
        """Run a query that may take long."""
        return await asyncio.get_running_loop().run_in_executor(self._reading, job)

    async def act(self, job: Callable[[], T]) -> T:
        """Run a service that changes something."""
        return await asyncio.get_running_loop().run_in_executor(self._acting, job)

    async def bring_in(self, job: Callable[[], T]) -> T:
        """Run an import, which may take minutes."""
        return await asyncio.get_running_loop().run_in_executor(self._importing, job)

    async def ask(self, job: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """Make calls to KSeF that a person watches, on a thread and a loop of their own. Given up here, they are given
        up there: at once, even while they wait for a limit."""
        asking = Asking(job)
        self._asked.add(asking)
        running = asyncio.get_running_loop().run_in_executor(self._asking, asking.run)
        running.add_done_callback(lambda done: self._asked.discard(asking))
        try:
            return await asyncio.shield(running)
        except asyncio.CancelledError:
            asking.cancel()
            running.add_done_callback(lambda done: done.cancelled() or done.exception())  # nobody waits for it any more
            raise

    def clear(self) -> None:
        """Let the threads go."""
        for asking in list(self._asked):
            asking.cancel()
        for pool in (self._reading, self._acting, self._importing, self._asking):
            pool.shutdown(wait=False, cancel_futures=True)


class Loader(Generic[T]):
    """Fetches in the reading thread and shows in the event loop: never two at once, the last request wins.

    When requests keep coming it rests twice as long as the fetch took, so a million rows do not fill a core.
    """

    def __init__(
        self,
        desk: Desk,
        job: Callable[[], Callable[[], T]],
        show: Callable[[T], None],
        start: Callable[..., object],
        failed: Callable[[Exception], None],
    ) -> None:
        self._desk = desk
        self._job = job
        self._show = show
        self._start = start
        self._failed = failed
        self._wanted = False
        self._running = False

    @property
    def idle(self) -> bool:
        """Nothing is being fetched or waits to be."""
        return not self._running and not self._wanted

    def request(self) -> None:
        """Fetch soon."""
        self._wanted = True
        if not self._running:
            self._running = True
            self._start(self._run(), group="load", exit_on_error=False)

    async def _run(self) -> None:
        try:
            while self._wanted:
                self._wanted = False
                began = monotonic()
                try:
                    found = await self._desk.read(self._job())
                except Exception as error:
                    self._failed(error)
                    return
                self._show(found)
                if self._wanted:
                    await asyncio.sleep(min(1.0, 2 * (monotonic() - began)))
        finally:
            self._running = False
