"""The ministry's service that tells of outages ("Latarnia", facts §20): public, apart from KSeF, and down at times (F40)."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from ksef_tui.sandbox.web import Sandbox

_PAGE = "<html><body><h1>504 Gateway Time-out</h1></body></html>"


def faces(sandbox: Sandbox) -> list[tuple[str, str, Callable[[Request], Awaitable[Response]]]]:
    """Method, path and handler: `GET /latarnia/status` and `/latarnia/messages`."""

    async def status(request: Request) -> Response:
        word = "TOTAL_FAILURE" if sandbox.faults.is_on("outage") else "AVAILABLE"
        return _down(sandbox, request) or JSONResponse({"status": word})

    async def messages(request: Request) -> Response:
        return _down(sandbox, request) or JSONResponse([])

    return [("GET", "/latarnia/status", status), ("GET", "/latarnia/messages", messages)]


def _down(sandbox: Sandbox, request: Request) -> Response | None:
    if sandbox.faults.strike("lighthouse_down", request.method, request.url.path) is None:
        return None
    return Response(_PAGE, 504, media_type="text/html")
