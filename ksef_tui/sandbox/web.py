"""What every request goes through: faults, tokens, limits, permissions, one transaction, one answer."""

from __future__ import annotations

import asyncio
import json
import logging
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from pathlib import Path
from typing import Any

from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from ksef_tui.sandbox import jwt
from ksef_tui.sandbox.authority import Authority
from ksef_tui.sandbox.clock import now_ms
from ksef_tui.sandbox.errors import (
    BadRequest,
    Forbidden,
    Refusal,
    TooManyRequests,
    Unauthorized,
    missing_permissions,
)
from ksef_tui.sandbox.faults import BEFORE, Fault, Faults
from ksef_tui.sandbox.fields import Fields, invalid
from ksef_tui.sandbox.keys import MinistryKeys
from ksef_tui.sandbox.limits import ANONYMOUS, OTHER, Limiter
from ksef_tui.sandbox.recorder import Recorder
from ksef_tui.sandbox.rights import address_allowed
from ksef_tui.sandbox.state import State

_log = logging.getLogger(__name__)

NO_TOKEN = "none"
_HTML = "<html><head><title>{0}</title></head><body><h1>{0} {1}</h1></body></html>"


@dataclass(frozen=True)
class Login:
    """Who is asking, in whose name, with which permissions: the claims of the token."""

    ref: str
    context: tuple[str, str]
    subject: tuple[str, str]
    method: str
    owner: bool
    permissions: tuple[str, ...]


@dataclass
class Sandbox:
    """Everything the handlers share."""

    state: State
    folder: Path
    keys: MinistryKeys
    authority: Authority
    faults: Faults
    limiter: Limiter
    recorder: Recorder
    secret: bytes
    delay_ms: int
    latency_ms: int
    url_base: str
    posts: Counter[str] = field(default_factory=Counter)
    wake: asyncio.Event = field(default_factory=asyncio.Event)
    wake_unpacking: asyncio.Event = field(default_factory=asyncio.Event)
    drop: Callable[[Request], Awaitable[None]] | None = None

    def due(self, method: str, path: str) -> int:
        """When a step that starts now is done; later while the fault `slow` is on."""
        slow = self.faults.strike("slow", method, path)
        return now_ms() + self.delay_ms + (int(slow.params.get("ms", 5000)) if slow else 0)

    def stir(self) -> None:
        """Something may have come to be processed."""
        self.wake.set()
        self.wake_unpacking.set()


@dataclass
class Call:
    """One request, ready to be handled."""

    sandbox: Sandbox
    method: str
    path: str
    params: Mapping[str, str]
    query: Mapping[str, str]
    query_lists: Callable[[str], list[str]]
    headers: Mapping[str, str]
    body: bytes
    address: str
    login: Login | None = None
    _due: int | None = None

    @property
    def state(self) -> State:
        """The sandbox's memory."""
        return self.sandbox.state

    @property
    def who(self) -> Login:
        """The login; only for endpoints that ask for a token."""
        if self.login is None:
            raise Unauthorized("Brak tokena.")
        return self.login

    def fields(self) -> Fields:
        """The JSON of the request."""
        return Fields.parse(self.body)

    def due(self) -> int:
        """When the step started by this request is done."""
        if self._due is None:
            self._due = self.sandbox.due(self.method, self.path)
        return self._due

    def page_size(self, highest: int, default: int = 10) -> int:
        """The query parameter `pageSize`."""
        return self._whole("pageSize", 10, highest, default)

    def page_offset(self) -> int:
        """The query parameter `pageOffset`."""
        return self._whole("pageOffset", 0, 1_000_000, 0)

    def _whole(self, name: str, lowest: int, highest: int, default: int) -> int:
        text = self.query.get(name, str(default))
        if not text.isascii() or not text.isdigit() or not lowest <= int(text) <= highest:
            raise invalid(name, f"wartość musi być od {lowest} do {highest}.")
        return int(text)


@dataclass(frozen=True)
class Reply:
    """A successful answer: JSON, or bytes of another type; or a refusal that leaves what was changed before it."""

    status: int = 200
    json: Any = None
    content: bytes | None = None
    media_type: str = "application/json"
    headers: Mapping[str, str] = field(default_factory=dict)
    refusal: Refusal | None = None


Handler = Callable[[Call], Reply]


@dataclass(frozen=True)
class Endpoint:
    """One operation: where it is, what it needs, how it is limited. Paths are below /v2 unless `root`."""

    method: str
    path: str
    handler: Handler
    tokens: tuple[str, ...] = (jwt.ACCESS,)
    any_of: tuple[str, ...] = ()
    group: str | None = OTHER

    @property
    def anonymous(self) -> bool:
        """Whether no access token is needed, so that only the address is limited."""
        return jwt.ACCESS not in self.tokens


def endpoint(sandbox: Sandbox, operation: Endpoint, prefix: str) -> Callable[[Request], Awaitable[Response]]:
    """The ASGI face of an operation."""
    template = f"{operation.method} {prefix}{operation.path}"

    async def serve(request: Request) -> Response:
        try:
            body = await request.body()
        except ClientDisconnect:  # it broke off in the middle: nothing was asked
            return Response(status_code=400)
        return await through(sandbox, request, body, lambda: _answer(sandbox, operation, template, request, body))

    return serve


async def through(sandbox: Sandbox, request: Request, body: bytes, answer: Callable[[], Response]) -> Response:
    """Faults first, then the operation's answer; it is recorded before it can get lost."""
    fault = next((f for f in (_strike(sandbox, name, request) for name in BEFORE) if f), None)
    if fault is not None:
        return await _suffer(sandbox, fault, request, body)
    if sandbox.latency_ms:
        await asyncio.sleep(sandbox.latency_ms / 1000)
    response = answer()
    injected: str | None = None
    sandbox.stir()
    warning = request.headers.get("X-Test-System-Warning")
    if warning:
        response.headers["X-System-Warning"] = f"[test-001]: {warning}"
    fine = response.media_type == "application/json" and response.status_code < HTTPStatus.BAD_REQUEST
    if fine and _strike(sandbox, "new_fields", request) is not None:
        response = Response(_grown(bytes(response.body)), response.status_code, media_type="application/json")
        injected = "new_fields"
    late = sandbox.faults.strike("late_answer", request.method, request.url.path)
    if late is not None:  # done, and told much later
        await asyncio.sleep(float(late.params.get("seconds", 60)))
    lost = sandbox.faults.strike("lost_answer", request.method, request.url.path)
    sandbox.recorder.write(request, body, response, injected="lost_answer" if lost else injected)
    if lost is not None and sandbox.drop is not None:
        await sandbox.drop(request)
    return response


def _grown(body: bytes) -> bytes:
    """The answer of a newer KSeF: fields that nobody knows yet in every object; names, values and nulls (F55)."""

    def grow(value: Any) -> Any:
        if isinstance(value, list):
            return [grow(item) for item in value]
        if isinstance(value, dict):
            return {
                **{key: grow(item) for key, item in value.items()},
                "nowePole": {"wersja": [3, None]},
                "puste": None,
            }
        return value

    return json.dumps(grow(json.loads(body)), ensure_ascii=False).encode() if body else body


def _strike(sandbox: Sandbox, name: str, request: Request) -> Fault | None:
    return sandbox.faults.strike(name, request.method, request.url.path)


def _answer(sandbox: Sandbox, operation: Endpoint, template: str, request: Request, body: bytes) -> Response:
    path = request.url.path
    if request.method == "POST":
        sandbox.posts[template] += 1
    call = Call(
        sandbox=sandbox,
        method=request.method,
        path=path,
        params=request.path_params,
        query=request.query_params,
        query_lists=request.query_params.getlist,
        headers=request.headers,
        body=body,
        address=request.client.host if request.client else "127.0.0.1",
    )
    try:
        with sandbox.state.transaction():
            _admit(call, operation, template)
            reply = operation.handler(call)
    except Refusal as refusal:
        return refused(refusal, request)
    except Exception:
        _log.exception("%s failed", template)
        return Response(status_code=500, content=b"", media_type="application/json")
    return _response(reply) if reply.refusal is None else refused(reply.refusal, request)


def _admit(call: Call, operation: Endpoint, template: str) -> None:
    """Token, limits and permissions, in this order. Raises Refusal."""
    if operation.group is not None and operation.anonymous:
        call.sandbox.limiter.count("", call.address, ANONYMOUS, "")
    if NO_TOKEN in operation.tokens:
        return
    claims = _claims(call)
    if claims["typ"] not in operation.tokens:
        raise Unauthorized("Token nie jest przeznaczony do tej operacji.")
    if not address_allowed(claims.get("ipp"), call.address):
        raise Forbidden("ip-not-allowed", "Adres IP nie jest dozwolony.", clientIp=call.address)
    call.login = login_of(claims)
    if operation.group is not None and not operation.anonymous:
        call.sandbox.limiter.count(":".join(call.login.context), call.address, operation.group, template)
    if operation.any_of and not set(operation.any_of) & set(call.login.permissions):
        raise missing_permissions(operation.any_of, call.login.permissions)


def _claims(call: Call) -> dict[str, Any]:
    scheme, _, token = call.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not token:
        raise Unauthorized("Brak tokena.")
    claims = jwt.decode(token.strip(), call.sandbox.secret)
    if claims is None:
        raise Unauthorized("Token jest nieprawidłowy lub wygasł.")
    return claims


def login_of(claims: dict[str, Any]) -> Login:
    """The login that the claims of a token speak of."""
    subject = json.loads(claims["sud"])["SubjectIdentifier"]
    return Login(
        ref=claims["arn"],
        context=(claims["cit"], claims["civ"]),
        subject=(subject["Type"], subject["Value"]),
        method=claims["aum"],
        owner="Owner" in json.loads(claims.get("per", "[]")),
        permissions=tuple(json.loads(claims.get("pep", "[]"))),
    )


def refused(refusal: Refusal, request: Request) -> Response:
    """The answer to a refusal, in the format that `X-Error-Format` asks for."""
    wants = request.headers.get("X-Error-Format", "").lower() == "problem-details"
    media_type, body = refusal.body(request.url.path, wants)
    headers = {"Retry-After": str(refusal.retry_after)} if isinstance(refusal, TooManyRequests) else {}
    content = json.dumps(body, ensure_ascii=False).encode()
    return Response(content, status_code=refusal.status, media_type=media_type, headers=headers)


def _response(reply: Reply) -> Response:
    headers = dict(reply.headers)
    if reply.content is not None:
        return Response(reply.content, reply.status, headers, reply.media_type)
    if reply.json is None:
        return Response(b"", reply.status, headers)
    content = json.dumps(reply.json, ensure_ascii=False, separators=(",", ":")).encode()
    return Response(content, reply.status, headers, reply.media_type)


async def _suffer(sandbox: Sandbox, fault: Fault, request: Request, body: bytes) -> Response:
    """The answer of a fault that happens instead of the operation."""
    match fault.name:
        case "hang":
            await asyncio.sleep(float(fault.params.get("seconds", 60)))
            response = await _dropped(sandbox, request)
        case "lost_request":
            response = await _dropped(sandbox, request)
        case "waf_403":
            content = {"title": "Forbidden", "status": 403, "detail": "Request blocked: TCP connection timeout"}
            security = {"incidentId": "1234567890", "clientIp": "127.0.0.1"}
            response = Response(json.dumps({**content, "security": security}), 403, media_type="application/json")
        case "rate_limited":
            sandbox.limiter.refused += 1
            seconds = int(fault.params.get("retry_after", 5))
            text = f"Przekroczono limit żądań. Spróbuj ponownie po {seconds} sekundach."
            response = refused(TooManyRequests(seconds, text), request)
        case "redirect_loop":  # a firewall that sends everybody round in circles (F43)
            response = Response(status_code=307, headers={"Location": str(request.url)})
        case "moved":  # the address of before: somebody else's page (F42)
            response = Response(_HTML.format(404, "Not Found"), 404, media_type="text/html")
        case "unauthorized":
            response = refused(Unauthorized("Token jest nieprawidłowy lub wygasł."), request)
        case _:
            status = 503 if fault.name == "outage" else int(fault.params.get("status", 502))
            page = _HTML.format(status, HTTPStatus(status).phrase)
            response = Response(page, status, media_type="text/html")
    sandbox.recorder.write(request, body, response, injected=fault.name)
    return response


async def _dropped(sandbox: Sandbox, request: Request) -> Response:
    if sandbox.drop is not None:
        await sandbox.drop(request)
    return Response(b"", 500)


def continuation(call: Call) -> int:
    """The position that a continuation token stands for. Raises BadRequest(21418)."""
    token = call.headers.get("x-continuation-token")
    if not token:
        return 0
    digits = bytes.fromhex(token).decode("ascii", "replace") if _is_hex(token) else ""
    if not digits.isascii() or not digits.isdigit():
        raise BadRequest(21418)
    return int(digits)


def _is_hex(text: str) -> bool:
    return len(text) % 2 == 0 and all(c in "0123456789abcdef" for c in text)


def paged(name: str, items: list[Any], start: int, size: int) -> dict[str, Any]:
    """A page of `items`, which hold one more than the page when there is more."""
    more = {"continuationToken": str(start + size).encode().hex()} if len(items) > size else {}
    return {**more, name: items[:size]}
