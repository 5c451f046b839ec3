"""The same tree over real sockets, where the operating system has its say."""

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest
from ksef_helpers import Journal

from ksef_tui.domain.secret import Secret
from ksef_tui.ksef.api import Access, KsefApi
from ksef_tui.ksef.errors import KsefError, NotReachable, Unknown

ACCESS = Access("1111111111", Secret("token"))
SESSION = "20260101-SO-0000000000-0000000000-00"
Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@asynccontextmanager
async def served(handler: Handler) -> AsyncIterator[str]:
    """The address of a server that gives every connection to `handler`."""

    async def one(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await handler(reader, writer)
        finally:
            writer.close()

    server = await asyncio.start_server(one, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()
        await server.wait_closed()


async def outcome(address: str, **options: float) -> tuple[KsefError, Journal]:
    journal = Journal()
    async with KsefApi(address, journal, **options) as api:
        with pytest.raises(KsefError) as caught:
            await api.session_status(ACCESS, SESSION)
    return caught.value, journal


def says(*lines: str, body: str = "") -> Handler:
    """Reads a whole request, answers, and hangs up."""

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        head = "\r\n".join([*lines, f"Content-Length: {len(body.encode())}", "Connection: close"])
        writer.write(f"{head}\r\n\r\n{body}".encode())
        await writer.drain()

    return handler


async def test_nobody_listens() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        error, journal = await outcome(f"http://127.0.0.1:{free.getsockname()[1]}")
    assert isinstance(error, NotReachable)
    assert journal.last.kind == "unreachable"


async def test_a_name_that_does_not_exist() -> None:
    error, _ = await outcome("http://nie.ma.takiego.invalid:80")
    assert isinstance(error, NotReachable)


async def test_read_and_hung_up() -> None:
    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")

    async with served(handler) as address:
        error, journal = await outcome(address)
    assert isinstance(error, Unknown) and error.cause == "broken"
    assert (journal.last.kind, journal.last.status) == ("unknown", None)


async def test_read_and_silent() -> None:
    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()  # until the client hangs up

    async with served(handler) as address:
        error, _ = await outcome(address, read_timeout=0.2)
    assert isinstance(error, Unknown) and error.cause == "timeout"


async def test_half_an_answer() -> None:
    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b'HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{"status"')
        await writer.drain()

    async with served(handler) as address:
        error, _ = await outcome(address)
    assert isinstance(error, Unknown) and error.cause == "broken"


async def test_something_that_is_not_http() -> None:
    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"220 poczta.example ESMTP\r\n")
        await writer.drain()

    async with served(handler) as address:
        error, _ = await outcome(address)
    assert isinstance(error, Unknown) and error.cause == "broken"


ANSWERS = [
    (says("HTTP/1.1 502 Bad Gateway", "Content-Type: text/html", body="<html>502</html>"), "html", 502),
    (says("HTTP/1.1 403 Forbidden", body='{"title":"Request blocked","status":403}'), "forbidden", 403),
    (says("HTTP/1.1 200 OK", "Content-Type: application/json", body="{]"), "unparseable", 200),
    (says("HTTP/1.1 200 OK", "Content-Encoding: gzip", body="to nie jest gzip"), "broken", None),
]


@pytest.mark.parametrize(("handler", "cause", "status"), ANSWERS)
async def test_answers_of_gateways(handler: Handler, cause: str, status: int | None) -> None:
    async with served(handler) as address:
        error, _ = await outcome(address)
    assert isinstance(error, Unknown)
    assert (error.cause, error.status) == (cause, status)


async def test_a_redirect_is_not_followed() -> None:
    visits = 0

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal visits
        visits += 1
        await says("HTTP/1.1 307 Temporary Redirect", "Location: /v2/again")(reader, writer)

    async with served(handler) as address:
        error, _ = await outcome(address)
    assert isinstance(error, Unknown) and error.cause == "redirect"
    assert visits == 1


async def test_a_proxy_of_the_environment_is_not_used_on_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    async with (
        served(says("HTTP/1.1 200 OK", body='{"status":{"code":200}}')) as address,
        KsefApi(address, Journal()) as api,
    ):
        assert (await api.session_status(ACCESS, SESSION)).status.code == 200
