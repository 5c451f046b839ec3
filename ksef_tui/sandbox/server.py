"""The sandbox as a process: one port on loopback, one line on stdout, a clean end on SIGTERM and SIGINT."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import logging
import signal
import socket
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO

import uvicorn
from starlette.requests import Request
from uvicorn.protocols.http.h11_impl import H11Protocol

from ksef_tui.fa3 import xsd_files
from ksef_tui.sandbox.app import build
from ksef_tui.sandbox.authority import Authority
from ksef_tui.sandbox.faults import Faults
from ksef_tui.sandbox.judge import Judge
from ksef_tui.sandbox.keys import MinistryKeys
from ksef_tui.sandbox.limits import Limiter
from ksef_tui.sandbox.recorder import Recorder
from ksef_tui.sandbox.state import State
from ksef_tui.sandbox.web import Sandbox

LIMITS = ("production", "off")
_HOST = "127.0.0.1"
_BACKLOG = 1024


def serve(
    *,
    port: int,
    data_dir: Path,
    limits: str = "production",
    delay_ms: int = 300,
    latency_ms: int = 0,
    url_host: str = _HOST,
    xsd_folder: Path | None = None,
    record: Path | None = None,
) -> int:
    """Run a KSeF until SIGTERM or SIGINT; the exit status.

    Prints one line on stdout once it accepts: `http://127.0.0.1:PORT`. Port 0 is a free one. `delay_ms` is the time
    that an invoice, a login or a session takes, `latency_ms` that of each answer. `url_host` stands in the URLs that
    are handed out. `xsd_folder` holds the FA(3) schemas, `record` receives every exchange, both optional.
    1 when the port is taken or another process serves the same folder.
    """
    data_dir.mkdir(parents=True, exist_ok=True)
    with contextlib.ExitStack() as stack:
        try:
            stack.enter_context(_alone(data_dir))
            listener = stack.enter_context(_listen(port))
        except OSError as error:
            sys.stderr.write(f"Piaskownica nie wystartowała: {error}\n")
            return 1
        number = listener.getsockname()[1]
        state = State(data_dir / "sandbox.db")
        stack.callback(state.close)
        recorder = Recorder(record)
        stack.callback(recorder.close)
        with state.transaction():
            keys, authority, secret = MinistryKeys(state), Authority(state, delay_ms), state.secret()
        sandbox = Sandbox(
            state=state,
            folder=data_dir,
            keys=keys,
            authority=authority,
            faults=Faults(),
            limiter=Limiter(state, enforced=limits == "production"),
            recorder=recorder,
            secret=secret,
            delay_ms=delay_ms,
            latency_ms=latency_ms,
            url_base=f"http://{url_host}:{number}",
            drop=_drop,
        )
        config = uvicorn.Config(
            build(sandbox, Judge(xsd_files.locate(xsd_folder))),
            http=_Protocol,
            log_config=None,
            access_log=False,
            server_header=False,
            timeout_keep_alive=75,
            timeout_graceful_shutdown=1,
        )
        logging.getLogger("uvicorn.error").addFilter(_is_no_stop)
        server = _Server(config, lambda: _announce(number))
        asyncio.run(server.serve(sockets=[listener]))
    return 0


def _is_no_stop(record: logging.LogRecord) -> bool:
    """An answer that is given up because the sandbox ends is no fault of it: nobody wants to read where it hung."""
    return not (record.exc_info and isinstance(record.exc_info[1], asyncio.CancelledError))


def _announce(port: int) -> None:
    sys.stdout.write(f"http://{_HOST}:{port}\n")
    sys.stdout.flush()


def _listen(port: int) -> socket.socket:
    # Named as TCP, or asyncio would leave Nagle's delay of 40 ms on every answer.
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((_HOST, port))
        listener.listen(_BACKLOG)
    except OSError:
        listener.close()
        raise
    return listener


@contextlib.contextmanager
def _alone(data_dir: Path) -> Iterator[IO[str]]:
    """A lock on the folder that ends with the process. Raises OSError when another process has it."""
    with (data_dir / "sandbox.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise OSError(f"folder {data_dir} jest używany przez inną piaskownicę") from error
        yield lock


class _Server(uvicorn.Server):
    """Announces itself when it accepts, and ends with status 0 on the usual signals."""

    def __init__(self, config: uvicorn.Config, announce: Callable[[], None]) -> None:
        super().__init__(config)
        self._announce = announce

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Uvicorn's own start, then the line on stdout."""
        await super().startup(sockets)
        self._announce()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Unlike uvicorn's own, does not raise the signal again after a clean end."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self.handle_exit, number, None)
        yield


class _Protocol(H11Protocol):
    """Remembers its connections by the client's address, so that a fault can break one off."""

    open: dict[tuple[str, int], asyncio.Transport] = {}  # noqa: RUF012 shared on purpose

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """A client has come."""
        super().connection_made(transport)
        if self.client is not None:
            self.open[self.client] = transport

    def connection_lost(self, exc: Exception | None) -> None:
        """The client has gone."""
        if self.client is not None:
            self.open.pop(self.client, None)
        super().connection_lost(exc)


async def _drop(request: Request) -> None:
    """Break the connection of a request without an answer."""
    if request.client is None:
        return
    transport = _Protocol.open.get((request.client.host, request.client.port))
    if transport is not None:
        transport.abort()
    # Uvicorn must see that the client has gone before the handler returns, or it would try to answer.
    await asyncio.sleep(0)
    await asyncio.sleep(0)
