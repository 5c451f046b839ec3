"""A machine, a clock and a network that exist only in a test: processes that interleave, die and sleep as it says.

KSeF is the sandbox's own application, called without sockets. A request waits on its worker's line until the test says
what becomes of it; time passes only when the test says so. Everything else is the program as it is.
"""

from __future__ import annotations

import asyncio
import contextvars
import shutil
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, time, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import pytest

from ksef_tui.domain.times import WARSAW
from ksef_tui.fa3 import xsd_files
from ksef_tui.sandbox import app, clock, keys
from ksef_tui.sandbox.authority import Authority
from ksef_tui.sandbox.faults import Faults
from ksef_tui.sandbox.judge import Judge
from ksef_tui.sandbox.keys import MinistryKeys
from ksef_tui.sandbox.limits import Limiter
from ksef_tui.sandbox.processing import Processor
from ksef_tui.sandbox.recorder import Recorder
from ksef_tui.sandbox.state import State
from ksef_tui.sandbox.unpacking import Unpacker
from ksef_tui.sandbox.web import Sandbox
from ksef_tui.store import leases, records
from ksef_tui.store.database import Database

URL = "http://127.0.0.1:9"
PEOPLE = 1  # the process in which people decide
DELAY_MS = 300
WAY = 0.004  # seconds that a request or an answer travels
ROTATIONS = 2  # of the ministry's keys, between two restarts of the machine


class Killed(BaseException):
    """The process that this happened in is no more: nothing of it runs, not even what tidies up."""


class Machine:
    """The clock of the machine, and its processes. `boot` is CLOCK_BOOTTIME."""

    def __init__(self) -> None:
        self.process = contextvars.ContextVar("process", default=PEOPLE)
        self._made: list[Any] = []
        self.restart()

    def restart(self, *, spent_keys: int = 0) -> None:
        """As it was in the morning of today, at ten by Greenwich: the same in every run of a day. Today is Poland's, as
        in the invoices. `spent_keys`: how many of the ministry's keys a KSeF that goes on has made already."""
        morning = datetime.combine(datetime.now(WARSAW), time(10), UTC)
        self.epoch, self.boot = morning.timestamp(), 1_000.0
        self.alive = {PEOPLE}
        self._fresh_keys = iter(self._made[spent_keys:])

    def now(self) -> datetime:
        return datetime.fromtimestamp(self.epoch, UTC)

    def sleep(self, seconds: float) -> None:
        """Time passes, for everybody."""
        self.epoch += seconds
        self.boot += seconds

    def until_midnight(self) -> float:
        """Seconds to the next Polish day, and one."""
        here = self.now().astimezone(WARSAW)
        tomorrow = (here + timedelta(days=1)).replace(hour=0, minute=0, second=1)
        return tomorrow.timestamp() - self.epoch

    def rules(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """The program and the sandbox live on this machine from now on."""
        numbered = SimpleNamespace(getpid=self.process.get)
        monkeypatch.setattr(leases, "os", numbered)
        monkeypatch.setattr(records, "os", numbered)
        monkeypatch.setattr(leases, "boot_seconds", lambda: self.boot)
        monkeypatch.setattr(leases, "started_ticks", lambda pid: pid if pid in self.alive else None)
        monkeypatch.setattr(clock, "time", SimpleNamespace(time_ns=lambda: int(self.epoch * 1e9)))
        self._made = [keys.rsa.generate_private_key(65537, 2048) for _ in range(2 + 2 * ROTATIONS)]  # 0.1 s each
        monkeypatch.setattr(keys.rsa, "generate_private_key", lambda **_: next(self._fresh_keys))


class Loop(asyncio.SelectorEventLoop):
    """An event loop by the machine's clock; threads are done with at once."""

    def __init__(self, machine: Machine) -> None:
        super().__init__()
        self._machine = machine

    def time(self) -> float:
        return self._machine.boot

    def run_in_executor(self, executor: Any, func: Callable[..., Any], *args: Any) -> asyncio.Future[Any]:
        done = self.create_future()
        try:
            done.set_result(func(*args))
        except BaseException as error:
            done.set_exception(error)
        return done

    def settle(self) -> None:
        """Go on until everybody waits: for the clock, or for an answer."""
        while True:
            self.call_soon(self.stop)
            self.run_forever()
            if not self._ready:  # type: ignore[attr-defined] the loop's own list of what can go on
                return

    def do(self, work: Coroutine[Any, Any, Any]) -> Any:
        """Something that waits for nobody."""
        task = self.create_task(work)
        self.settle()
        return task.result()


class FarEnd:
    """KSeF: the sandbox's own state, handlers and processing, on the machine's clock. `folder` is its own."""

    def __init__(self, machine: Machine, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.state = State(folder / "sandbox.db")
        with self.state.transaction():
            ministry, authority, secret = MinistryKeys(self.state), Authority(self.state, DELAY_MS), self.state.secret()
        ministry._loaded = _KEYS  # opening one takes longer than many calls
        self.sandbox = Sandbox(
            state=self.state,
            folder=folder,
            keys=ministry,
            authority=authority,
            faults=Faults(),
            limiter=Limiter(self.state, enforced=True, clock=lambda: machine.epoch),
            recorder=Recorder(None),
            secret=secret,
            delay_ms=DELAY_MS,
            latency_ms=0,
            url_base=URL,
        )
        judge = _judge()
        self._app = app.build(self.sandbox, judge)
        self._processor, self._unpacker = Processor(self.sandbox, judge), Unpacker(self.sandbox)

    def close(self) -> None:
        self.state.close()

    async def work(self) -> None:
        """Everything whose time has come."""
        while self._processor.advance() or await self._unpacker.advance():
            pass

    async def answer(self, method: str, url: httpx.URL, headers: httpx.Headers, body: bytes) -> httpx.Response:
        """What KSeF says to a request, after all that was due before it."""
        await self.work()
        scope = {
            "type": "http",
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "method": method,
            "scheme": "http",
            "path": url.path,
            "raw_path": url.raw_path.partition(b"?")[0],
            "query_string": url.query,
            "root_path": "",
            "headers": [(name.lower(), value) for name, value in headers.raw],
            "client": ("127.0.0.1", 1),
            "server": ("127.0.0.1", 9),
        }
        told: list[dict[str, Any]] = []

        async def receive() -> dict[str, Any]:
            return {"type": "http.request", "body": body, "more_body": False}

        async def send(message: dict[str, Any]) -> None:
            told.append(message)

        await self._app(scope, receive, send)
        content = b"".join(message.get("body", b"") for message in told)
        return httpx.Response(told[0]["status"], headers=told[0]["headers"], content=content)


_KEYS: dict[str, Any] = {}
_JUDGES: list[Judge] = []


def _judge() -> Judge:
    if not _JUDGES:  # reading the schemas takes longer than a whole example
        _JUDGES.append(Judge(xsd_files.locate(None)))
    return _JUDGES[0]


@dataclass
class Request:
    """A request that has left its worker and not yet been answered."""

    method: str
    url: httpx.URL
    headers: httpx.Headers
    body: bytes
    fate: asyncio.Future[str]
    left_at: float

    @property
    def name(self) -> str:
        return f"{self.method} {self.url.path}"


class Line(httpx.AsyncBaseTransport):
    """One process's line to KSeF. What becomes of a request is its fate:

    `answer`; `lost` (done, and the connection breaks), `html` (done, and a gateway's page comes instead), `broken` (it never
    arrived, which nobody can know), `unreachable` (never connected), `weather` (502 before KSeF), `waf`, `limited`,
    `unauthorized`, `die before` and `die after` (KSeF has done it).
    """

    def __init__(self, machine: Machine, far: FarEnd, die: Callable[[], None]) -> None:
        self._machine, self._far, self._die = machine, far, die
        self.waiting: list[Request] = []
        self.travelling: list[Request] = []  # nobody waits for the answer any more; they may still arrive

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        body = await request.aread()
        fate: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        mine = Request(request.method, request.url, request.headers, body, fate, self._machine.epoch)
        self.waiting.append(mine)
        try:
            return await self._suffer(await fate, mine)
        except asyncio.CancelledError:
            self.travelling.append(mine)
            raise
        finally:
            if mine in self.waiting:
                self.waiting.remove(mine)

    def decide(self, request: Request, fate: str) -> None:
        """What becomes of a request that waits."""
        self.waiting.remove(request)
        request.fate.set_result(fate)

    async def _suffer(self, fate: str, mine: Request) -> httpx.Response:
        if fate in ("answer", "lost", "html", "die after"):
            answer = await self.arrive(mine)
            if fate == "answer":
                return answer
        if fate.startswith("die"):
            self._die()
            raise Killed
        if fate == "unreachable":
            raise httpx.ConnectError("no route")
        if fate in ("lost", "broken"):
            raise httpx.ReadError("broken off")
        if fate == "limited":
            return httpx.Response(429, headers={"Retry-After": "7"}, json={"status": 429, "title": "Too Many Requests"})
        if fate == "unauthorized":
            return httpx.Response(401, json={"status": 401, "title": "Unauthorized", "detail": "token"})
        if fate == "waf":
            return httpx.Response(403, json={"status": 403, "title": "Forbidden", "detail": "Request blocked"})
        return httpx.Response(502, headers={"Content-Type": "text/html"}, content=b"<html><body>502</body></html>")

    async def arrive(self, mine: Request) -> httpx.Response:
        """KSeF gets it; there and back takes its time."""
        self._machine.sleep(WAY)
        answer = await self._far.answer(mine.method, mine.url, mine.headers, mine.body)
        self._machine.sleep(WAY)
        return answer


class _Mortal(Database):
    """The database as one process has it. `fuse`: how many commits it lives for yet; 0: many."""

    fuse = 0
    die: Callable[[], None] = staticmethod(lambda: None)

    @contextmanager
    def write(self) -> Iterator[Any]:
        outer = not self.connection.in_transaction
        with super().write() as connection:
            yield connection
        if outer and self.fuse:
            self.fuse -= 1
            if not self.fuse:
                self.die()
                raise Killed


class _Dead(Database):
    """The database as a process that is no more has it."""

    @property
    def connection(self) -> Any:
        raise Killed


@dataclass
class Process:
    """A worker's process: its own office, its own connection, passes for several clients side by side."""

    machine: Machine
    loop: Loop
    pid: int
    office: Any
    line: Line
    worker: Any
    polls: dict[int, Any] = field(default_factory=dict)
    tasks: dict[int, asyncio.Task[float | None]] = field(default_factory=dict)
    wants: dict[int, float | None] = field(default_factory=dict)

    @classmethod
    def start(cls, machine: Machine, loop: Loop, pid: int, far: FarEnd, open_office: Callable[[], Any]) -> Process:
        from ksef_tui.services.worker import Worker

        office = open_office()
        line = Line(machine, far, lambda: process.die())
        office.transport = line
        office.db.__class__ = _Mortal
        office.db.die = lambda: process.die()
        machine.alive.add(pid)
        process = cls(machine, loop, pid, office, line, Worker(office))
        return process

    @property
    def alive(self) -> bool:
        return self.pid in self.machine.alive

    def serve(self, client_id: int) -> None:
        """Begin a pass for a client, unless one is under way."""
        from ksef_tui.services.turn import Polls
        from ksef_tui.services.worker import one_pass

        if client_id in self.tasks:
            return
        context = contextvars.copy_context()
        context.run(self.machine.process.set, self.pid)
        polls = self.polls.setdefault(client_id, Polls())
        self.tasks[client_id] = self.loop.create_task(one_pass(self.worker, client_id, polls), context=context)

    def reap(self, expected: tuple[type[BaseException], ...]) -> list[int]:
        """Passes that are over. What may end one is expected; anything else is a mistake of the program."""
        over = [client_id for client_id, task in self.tasks.items() if task.done()]
        for client_id in over:
            task = self.tasks.pop(client_id)
            error = None if task.cancelled() else task.exception()
            if error is not None and not isinstance(error, (*expected, Killed)):
                raise error
            self.wants[client_id] = None if task.cancelled() or error is not None else task.result()
        return over

    def die(self) -> None:
        """At once: its connection is gone, what it began in the database with it, and whatever it had to say."""
        self.machine.alive.discard(self.pid)
        if not isinstance(self.office.db, _Dead):
            self.office.db.close()
            self.office.db.__class__ = _Dead

    def bury(self) -> None:
        """Stop what is left of a dead process's tasks; none of them can do anything any more."""
        self.die()
        for task in self.tasks.values():
            task.cancel()
        self.loop.settle()
        for task in self.tasks.values():
            if not task.cancelled():
                task.exception()
        self.tasks.clear()


def copy_database(source: Path, target: Path) -> None:
    """A database that nobody has open in the place of another."""
    for tail in ("-wal", "-shm"):
        target.with_name(target.name + tail).unlink(missing_ok=True)
    shutil.copyfile(source, target)
