"""Parts of batches by presigned URLs, as a blob storage takes them: to disk, piece by piece, without a token (facts §9)."""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import logging
import secrets
import sqlite3
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from ksef_tui.sandbox.clock import now_ms
from ksef_tui.sandbox.sessions import OPEN, status_code
from ksef_tui.sandbox.web import Sandbox, through

_log = logging.getLogger(__name__)

PATH = "/storage/batch/{reference}/{ordinal:int}"
_HEADERS = {"x-ms-blob-type": "BlockBlob"}
# More than any part may have; what is longer is not read to its end.
_LONGEST = 101_000_000
_HTML = "<html><head><title>Request</title></head><body>Request unsuccessful. Incapsula incident ID: 0</body></html>"


class _Refused(Exception):
    """The status of an upload that is not taken, and why."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status


def upload_request(sandbox: Sandbox, number: str, ordinal: int, until: int) -> dict[str, Any]:
    """What the opening of a session says about the sending of one part."""
    url = f"{sandbox.url_base}/storage/batch/{number}/{ordinal}?se={until}&sig={_sign(sandbox, number, ordinal, until)}"
    return {"ordinalNumber": ordinal, "method": "PUT", "url": url, "headers": dict(_HEADERS)}


def _sign(sandbox: Sandbox, number: str, ordinal: int, until: int) -> str:
    return hmac.new(sandbox.secret, f"part {number} {ordinal} {until}".encode(), hashlib.sha256).hexdigest()


def folder_of(sandbox: Sandbox, number: str) -> Path:
    """Where the parts of a session lie until it is unpacked or over."""
    return sandbox.folder / "parts" / number


def part_of(sandbox: Sandbox, number: str, ordinal: int) -> Path:
    """The file of one part, as it was sent."""
    return folder_of(sandbox, number) / f"{ordinal}.part"


def face(sandbox: Sandbox) -> Callable[[Request], Awaitable[Response]]:
    """The ASGI face of `PUT` to an upload URL: 201, or 400, 401 and 403 as plain text."""

    async def serve(request: Request) -> Response:
        """Checked first, then taken to disk, then answered: also what is refused is read to its end."""
        number, ordinal = request.path_params["reference"], request.path_params["ordinal"]
        refused: _Refused | None = None
        temporary: Path | None = None
        try:
            _admit(sandbox, request, number, ordinal)
            temporary = folder_of(sandbox, number) / f"{ordinal}.{secrets.token_hex(4)}.tmp"
            temporary.parent.mkdir(parents=True, exist_ok=True)
        except _Refused as refusal:
            refused = refusal
        try:
            size = await _receive(request, temporary)
            return await through(sandbox, request, b"", lambda: _answer(sandbox, request, temporary, size, refused))
        except ClientDisconnect:
            return Response(status_code=400)
        finally:
            if temporary is not None:
                temporary.unlink(missing_ok=True)

    return serve


def _admit(sandbox: Sandbox, request: Request, number: str, ordinal: int) -> None:
    """What is checked when the request starts: signature, time, headers, and that the session is open."""
    until, signature = request.query_params.get("se", ""), request.query_params.get("sig", "")
    moment = int(until) if until.isascii() and until.isdigit() and len(until) < 20 else 0
    if not hmac.compare_digest(signature.encode(), _sign(sandbox, number, ordinal, moment).encode()):
        raise _Refused(401, "Signature did not match.")
    if "authorization" in request.headers:
        raise _Refused(401, "The URL carries its own signature; a token must not be sent with it.")
    if sandbox.state.value("SELECT upload_until FROM batch WHERE session_ref = ?", number) < now_ms():
        raise _Refused(403, "Signature not valid in the specified time frame.")
    if any(request.headers.get(name) != value for name, value in _HEADERS.items()):
        raise _Refused(400, "A header of the upload request is missing.")
    length = request.headers.get("content-length", "")
    if not length.isdigit() or not 0 < int(length) <= _LONGEST:
        raise _Refused(400, "Content-Length is missing or out of range.")
    _check_open(sandbox, number)


def _check_open(sandbox: Sandbox, number: str) -> None:
    row = sandbox.state.row("SELECT * FROM session WHERE ref = ?", number)
    if row is None or status_code(row) != OPEN:
        raise _Refused(403, "The session does not take parts any more.")


async def _receive(request: Request, target: Path | None) -> int:
    """The body into a file, or to nowhere so that a refusal can be read; the number of bytes."""
    size = 0
    with target.open("wb") if target is not None else contextlib.nullcontext() as file:
        async for piece in request.stream():
            size += len(piece)
            if file is not None:
                file.write(piece)
            elif size > _LONGEST:
                break
    return size


def _answer(
    sandbox: Sandbox, request: Request, temporary: Path | None, size: int, refused: _Refused | None
) -> Response:
    """201 when the part has its final name and is in the database."""
    if sandbox.faults.strike("upload_html", request.method, request.url.path):
        return Response(_HTML, 200, media_type="text/html")
    try:
        if refused is not None:
            raise refused
        _check_open(sandbox, request.path_params["reference"])
    except _Refused as refusal:
        return Response(str(refusal), refusal.status, media_type="text/plain")
    if temporary is not None and not sandbox.faults.strike("part_lost", request.method, request.url.path):
        try:
            _keep(sandbox, temporary, size, request.path_params["reference"], request.path_params["ordinal"])
        except (OSError, sqlite3.Error):
            _log.exception("upload")
            return Response(status_code=500)
    return Response(status_code=201)


def _keep(sandbox: Sandbox, temporary: Path, size: int, number: str, ordinal: int) -> None:
    temporary.replace(part_of(sandbox, number, ordinal))
    with sandbox.state.transaction():
        sql = "UPDATE batch_part SET received = ? WHERE session_ref = ? AND ordinal = ?"
        sandbox.state.run(sql, size, number, ordinal)
