"""One call on the wire: announced before it leaves, its outcome told whatever happens, its failure put into the tree."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol, TypeVar
from urllib.parse import SplitResult, quote, urlsplit

from ksef_tui.domain.secret import Secret
from ksef_tui.ksef.answers import Answer, failure, unreadable
from ksef_tui.ksef.environments import is_loopback
from ksef_tui.ksef.errors import KsefError, Limited, NotReachable, Refused, Unknown
from ksef_tui.ksef.operations import Operation

if TYPE_CHECKING:
    import httpx

T = TypeVar("T")

CONNECT_TIMEOUT = 5.0  # seconds for each of: a free place in the pool, TCP, TLS
READ_TIMEOUT = 30.0  # seconds from a connection to the whole answer
MAX_ANSWER = 10_000_000  # bytes; the largest real answer is an invoice with attachment, 3 MB


@dataclass(frozen=True, slots=True)
class Call:
    """What is about to be asked. Never a body, a token or a query string.

    `path` has its references filled in; `group` is the rate-limit group of facts §12, `anonymous` for logging in, empty
    for files from given addresses; `context` the NIP in whose context it is made, or empty; `reference` what it is about.
    """

    operation: str
    method: str
    path: str
    group: str
    context: str
    reference: str


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a call ended: `kind` is ok, refused, limited, unknown or unreachable.

    `code` is KSeF's code of a refusal; `detail` one line or a cause of `errors.CAUSES`; `reference` the reference number
    that the answer gave; `seconds` how long it took; `warning` the X-System-Warning header; `body_sample` the masked
    start of an answer that could not be read; `retry_after` the seconds of a 429.
    """

    kind: str
    status: int | None
    code: int | None
    detail: str
    reference: str
    seconds: float
    warning: str = ""
    body_sample: str = ""
    retry_after: float | None = None


class CallObserver(Protocol):
    """Who keeps the journal, and the pace. A call waits in `before` until it may leave; if that raises, it never leaves
    and nothing is observed. `started` must be durable when it returns; the request leaves only then."""

    async def before(self, call: Call) -> None: ...

    def started(self, call: Call) -> int: ...

    def ended(self, call_id: int, outcome: Outcome) -> None: ...


@dataclass(frozen=True, slots=True)
class Order:
    """One call with everything that goes on the wire."""

    operation: Operation
    context: str = ""
    reference: str = ""
    session: str = ""
    token: Secret | None = None
    body: bytes | None = field(default=None, repr=False)  # a signed request or an invoice
    content_type: str = "application/json"
    query: tuple[tuple[str, str], ...] = ()
    headers: Mapping[str, str] = field(default_factory=dict)
    url: str = field(default="", repr=False)  # a whole address that KSeF handed out, signed; goes without our token

    @property
    def path(self) -> str:
        """The address below `/v2`; of a handed-out one the part without its query, which carries a signature."""
        if not self.operation.path:
            parts = _split(self.url)
            return f"{parts.hostname or ''}{parts.path}"
        return self.operation.path.format(
            reference=quote(self.reference, safe=""), session=quote(self.session, safe="")
        )

    def call(self) -> Call:
        """The same for the journal."""
        operation = self.operation
        return Call(
            operation=operation.code,
            method=operation.method,
            path=self.path,
            group=operation.group,
            context=self.context,
            reference=self.reference or self.session,
        )


class Wire:
    """Makes calls to one address. `transport` is the seam for tests; `read_timeout` in seconds."""

    def __init__(
        self,
        base_url: str,
        observer: CallObserver,
        *,
        transport: httpx.AsyncBaseTransport | None = None,
        read_timeout: float = READ_TIMEOUT,
    ) -> None:
        self.base_url = base_url.rstrip("/").removesuffix("/v2") + "/v2"
        self._observer = observer
        self._transport = transport
        self._read_timeout = read_timeout
        self._client: httpx.AsyncClient | None = None
        self._local = is_loopback(urlsplit(base_url).hostname or "")

    @property
    def longest_call(self) -> float:
        """Seconds within which every call ends, one way or another."""
        return 3 * CONNECT_TIMEOUT + self._read_timeout

    async def aclose(self) -> None:
        """Closes the connections; the next call opens new ones."""
        client, self._client = self._client, None
        if client is not None:
            await client.aclose()

    async def make(self, order: Order, read: Callable[[Answer], T]) -> T:
        """Makes one call and returns what `read` finds in the answer.

        `read` raises ValueError for an answer it does not understand. Raises a KsefError, or whatever the observer
        raises: then nothing has left, or the outcome is known but not written.
        """
        call = order.call()
        await self._observer.before(call)
        call_id = self._observer.started(call)
        start = time.monotonic()
        warning = ""

        def end(facts: Mapping[str, object]) -> None:
            self._observer.ended(call_id, _outcome(facts, time.monotonic() - start, warning))

        try:
            answer = await self._exchange(order)
            warning = answer.headers.get("x-system-warning", "")
            problem = failure(answer)
            if problem is not None:
                raise problem
            result = _read(answer, read)
        except KsefError as error:
            end(_facts(error))
            raise
        except asyncio.CancelledError:
            end({"kind": "unknown", "detail": "cancelled"})
            raise
        except BaseException as error:
            end({"kind": "unknown", "detail": type(error).__name__})
            raise
        end({"kind": "ok", "status": answer.status, "reference": _reference(result)})
        return result

    async def _exchange(self, order: Order) -> Answer:
        import httpx

        try:
            async with asyncio.timeout(self.longest_call):
                client = self._opened()
                response = await client.send(self._request(client, order), stream=True)
                try:
                    return await _whole(response)
                finally:
                    await response.aclose()
        except (httpx.ConnectTimeout, httpx.PoolTimeout) as error:
            raise NotReachable(f"Brak połączenia z KSeF ({self._host(order)}) w {CONNECT_TIMEOUT:.0f} s.") from error
        except (httpx.ConnectError, httpx.ProxyError) as error:
            raise NotReachable(f"Brak połączenia z KSeF ({self._host(order)}): {_why(error)}.") from error
        except (httpx.UnsupportedProtocol, httpx.InvalidURL) as error:
            raise NotReachable("Adres podany przez KSeF nie jest poprawny.") from error
        except (httpx.TimeoutException, TimeoutError) as error:
            raise Unknown(
                f"KSeF nie odpowiedział w {self._read_timeout:.0f} s – nie wiadomo, czy polecenie zostało wykonane.",
                cause="timeout",
            ) from error
        except httpx.HTTPError as error:
            raise Unknown(
                "Połączenie z KSeF zerwało się w trakcie – nie wiadomo, czy polecenie zostało wykonane.", cause="broken"
            ) from error

    def _opened(self) -> httpx.AsyncClient:
        if self._client is None:
            import logging

            import httpx

            # At INFO httpx logs whole addresses, and those that KSeF hands out carry a signature.
            for name in ("httpx", "httpcore"):
                logging.getLogger(name).setLevel(logging.WARNING)
            self._client = httpx.AsyncClient(
                transport=self._transport,
                timeout=httpx.Timeout(self._read_timeout, connect=CONNECT_TIMEOUT, pool=CONNECT_TIMEOUT),
                # An idle connection is dropped before a server would: one that breaks under a POST makes an unknown outcome.
                limits=httpx.Limits(max_connections=40, keepalive_expiry=2.0),
                follow_redirects=False,
                trust_env=not self._local,
                headers={"User-Agent": f"ksef-tui/{_version()}", "X-Error-Format": "problem-details"},
            )
        return self._client

    def _request(self, client: httpx.AsyncClient, order: Order) -> httpx.Request:
        import httpx

        _rich_traceback_omit = True
        if not order.operation.path:
            self._check_handed_out(order.url)
        headers = dict(order.headers)
        if order.body is not None:
            headers["Content-Type"] = order.content_type
        if order.token is not None:
            headers["Authorization"] = f"Bearer {order.token.reveal_text()}"
        return client.build_request(
            order.operation.method,
            order.url or self.base_url + order.path,
            content=order.body,
            # An address that was handed out is signed as it stands: nothing may be added to it.
            params=httpx.QueryParams(list(order.query)) if order.query else None,
            headers=headers,
        )

    def _check_handed_out(self, url: str) -> None:
        parts = _split(url)
        allowed = ("https", "http") if self._local else ("https",)
        if parts.scheme not in allowed or not parts.hostname:
            raise NotReachable("Adres podany przez KSeF nie jest bezpieczny, plik nie został pobrany.")

    def _host(self, order: Order) -> str:
        return _split(order.url or self.base_url).netloc.rpartition("@")[2]


def _split(url: str) -> SplitResult:
    """An address in parts; all empty when it is not one."""
    try:
        return urlsplit(url)
    except ValueError:
        return urlsplit("")


def _version() -> str:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version("ksef-tui")
    except PackageNotFoundError:  # run from a source tree
        return "0"


async def _whole(response: httpx.Response) -> Answer:
    body = bytearray()
    async for chunk in response.aiter_bytes():
        body += chunk
        if len(body) > MAX_ANSWER:
            raise Unknown(
                f"Odpowiedź KSeF jest dłuższa niż {MAX_ANSWER // 1_000_000} MB.",
                cause="too_big",
                status=response.status_code,
            )
    headers = {name.lower(): value for name, value in response.headers.items()}
    return Answer(response.status_code, bytes(body), headers)


def _read(answer: Answer, read: Callable[[Answer], T]) -> T:
    try:
        return read(answer)
    except (ValueError, RecursionError) as error:  # msgspec's errors are ValueErrors
        raise unreadable(answer) from error


def _facts(error: KsefError) -> dict[str, object]:
    if isinstance(error, Refused):
        return {"kind": "refused", "status": error.status, "code": error.code, "detail": error.message}
    if isinstance(error, Limited):
        wait = error.retry_after
        return {"kind": "limited", "status": 429, "detail": f"{wait:.0f} s", "retry_after": wait}
    if isinstance(error, Unknown):
        sample = error.body_sample
        return {"kind": "unknown", "status": error.status, "detail": error.cause, "body_sample": sample}
    return {"kind": "unreachable", "detail": error.message}


def _outcome(facts: Mapping[str, object], seconds: float, warning: str) -> Outcome:
    status, code, wait = facts.get("status"), facts.get("code"), facts.get("retry_after")
    return Outcome(
        kind=str(facts["kind"]),
        status=status if isinstance(status, int) else None,
        code=code if isinstance(code, int) else None,
        detail=str(facts.get("detail", "")),
        reference=str(facts.get("reference", "")),
        seconds=seconds,
        warning=warning,
        body_sample=str(facts.get("body_sample", "")),
        retry_after=wait if isinstance(wait, float | int) else None,
    )


def _reference(result: object) -> str:
    for name in ("reference_number", "reference"):
        value = getattr(result, name, None)
        if isinstance(value, str):
            return value
    return ""


def _why(error: Exception) -> str:
    """The reason of a failed connection in Polish; the libraries tell it in English or not at all."""
    text = str(error).lower()
    if "certificate" in text or "ssl" in text or "tls" in text:
        return "certyfikat serwera nie budzi zaufania"
    if "name or service" in text or "getaddrinfo" in text or "name resolution" in text or "nodename" in text:
        return "nie znaleziono takiego adresu"
    return "nikt tam nie odpowiada"
