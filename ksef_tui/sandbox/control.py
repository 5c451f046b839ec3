"""The sandbox's own switches: faults and counts, for tests and for the demo. Nothing of this exists in KSeF."""

from __future__ import annotations

import ipaddress
import json
from collections.abc import Awaitable, Callable

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from ksef_tui.sandbox.clock import now_ms
from ksef_tui.sandbox.faults import KINDS, read_fault
from ksef_tui.sandbox.web import Sandbox

_Face = Callable[[Request], Awaitable[Response]]


def _local(face: _Face) -> _Face:
    async def guarded(request: Request) -> Response:
        host = request.client.host if request.client else ""
        if not ipaddress.ip_address(host or "0.0.0.0").is_loopback:  # noqa: S104 an address that is refused
            return JSONResponse({"error": "loopback only"}, 403)
        return await face(request)

    return guarded


def _received(sandbox: Sandbox) -> list[dict[str, object]]:
    """Every document that was ever sent, and in whose context."""
    rows = sandbox.state.rows(
        """SELECT i.hash, i.code, s.context_value FROM invoice i JOIN session s ON s.ref = i.session_ref ORDER BY i.rowid"""
    )
    return [{"hash": row["hash"], "code": row["code"], "context": row["context_value"]} for row in rows]


def _logins(sandbox: Sandbox) -> list[dict[str, object]]:
    """Every login: in whose context, by whom, how it ended, and (by a KSeF token) whose token it was."""
    rows = sandbox.state.rows(
        """SELECT a.context_value, a.subject_value, a.code, t.context_value AS token_context
           FROM authentication a LEFT JOIN token t ON t.ref = a.token_ref ORDER BY a.created"""
    )
    names = ("context_value", "subject_value", "code", "token_context")
    return [dict(zip(("context", "subject", "code", "token_of"), (row[n] for n in names), strict=True)) for row in rows]


def faces(sandbox: Sandbox) -> list[tuple[str, str, _Face]]:
    """Method, path and handler of each switch."""
    return [
        (method, f"/_sandbox/{path}", _local(face)) for method, path, face in [*_troubles(sandbox), *_facts(sandbox)]
    ]


def _troubles(sandbox: Sandbox) -> list[tuple[str, str, _Face]]:
    """What goes wrong: put on, listed, taken off."""

    async def set_fault(request: Request) -> Response:
        try:
            fault = read_fault(json.loads(await request.body()))
        except ValueError as error:
            return JSONResponse({"error": str(error)}, 400)
        if fault.name == "key_rotation":
            with sandbox.state.transaction():
                sandbox.keys.rotate(keep_old=bool(fault.params.get("keep_old", False)))
        else:
            sandbox.faults.active.append(fault)
        sandbox.stir()
        return JSONResponse(fault.as_json())

    async def list_faults(request: Request) -> Response:
        return JSONResponse([fault.as_json() for fault in sandbox.faults.active])

    async def known_faults(request: Request) -> Response:
        """Every trouble that there is, with the rows of the field notes that it makes happen."""
        return JSONResponse({name: list(rows) for name, rows in KINDS.items()})

    async def clear_faults(request: Request) -> Response:
        sandbox.faults.active.clear()
        sandbox.stir()
        return Response(status_code=204)

    return [
        ("POST", "faults", set_fault),
        ("GET", "faults", list_faults),
        ("GET", "faults/known", known_faults),
        ("DELETE", "faults", clear_faults),
    ]


def _facts(sandbox: Sandbox) -> list[tuple[str, str, _Face]]:
    """What is so in KSeF, and what changes it from outside."""

    async def store_all(request: Request) -> Response:
        """What waited to be stored for good (`storage_late`) is stored now."""
        with sandbox.state.transaction():
            sandbox.state.run("UPDATE invoice SET stored = ? WHERE stored > ?", now_ms(), now_ms())
        return Response(status_code=204)

    async def block_subject(request: Request) -> Response:
        """`{"type", "value", "blocked"}`: logins of this NIP, PESEL or fingerprint end with 480 in every context."""
        try:
            body = json.loads(await request.body())
            subject, blocked = (str(body["type"]), str(body["value"])), bool(body["blocked"])
        except (ValueError, KeyError, TypeError):
            return JSONResponse({"error": "type, value and blocked are needed"}, 400)
        with sandbox.state.transaction():
            sandbox.state.run("DELETE FROM blocked_subject WHERE type = ? AND value = ?", *subject)
            if blocked:
                sandbox.state.insert("blocked_subject", type=subject[0], value=subject[1])
        return Response(status_code=204)

    async def show_state(request: Request) -> Response:
        """What is in KSeF, what waits, how often each operation was asked for, how many 429 were given."""
        rows = sandbox.state.rows(
            """SELECT seller, kind, number, hash, ksef_number, session_ref FROM invoice
               WHERE ksef_number IS NOT NULL ORDER BY rowid"""
        )
        names = ("seller", "kind", "number", "hash", "ksef_number", "session_ref")
        body = {
            "invoices": [{name: row[name] for name in names} for row in rows],
            "waiting": sandbox.state.value("SELECT count(*) FROM invoice WHERE code IS NULL"),
            "posts": dict(sandbox.posts),
            "too_many_requests": sandbox.limiter.refused,
            "received": _received(sandbox),
            "logins": _logins(sandbox),
        }
        return JSONResponse(body)

    return [
        ("POST", "storage", store_all),
        ("POST", "subjects", block_subject),
        ("GET", "state", show_state),
    ]
