"""All routes of the sandbox as one ASGI application."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from http import HTTPStatus

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from ksef_tui.sandbox import (
    authorizations,
    batches,
    certificates,
    control,
    invoices,
    lighthouse,
    login,
    permission_queries,
    permissions,
    quota,
    session_reads,
    sessions,
    testdata,
    tokens,
    uploads,
    upo,
)
from ksef_tui.sandbox.errors import NotFound
from ksef_tui.sandbox.judge import Judge
from ksef_tui.sandbox.processing import Processor
from ksef_tui.sandbox.unpacking import Unpacker
from ksef_tui.sandbox.web import Sandbox, endpoint, refused

_API = "/v2"
_OPERATIONS = (
    *login.ENDPOINTS,
    *sessions.ENDPOINTS,
    *batches.ENDPOINTS,
    *upo.ENDPOINTS,
    *session_reads.ENDPOINTS,
    *invoices.ENDPOINTS,
    *permissions.ENDPOINTS,
    *permission_queries.ENDPOINTS,
    *authorizations.ENDPOINTS,
    *tokens.ENDPOINTS,
    *certificates.ENDPOINTS,
    *quota.ENDPOINTS,
    *testdata.ENDPOINTS,
)


def build(sandbox: Sandbox, judge: Judge) -> Starlette:
    """The application; its lifespan runs the processing of what was sent."""

    @contextlib.asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        workers = (Processor(sandbox, judge), Unpacker(sandbox))
        tasks = [asyncio.create_task(worker.run()) for worker in workers]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await task

    async def not_found(request: Request, error: Exception) -> Response:
        return refused(NotFound(), request)

    async def not_allowed(request: Request, error: Exception) -> Response:
        headers = error.headers if isinstance(error, HTTPException) else None
        return Response(status_code=HTTPStatus.METHOD_NOT_ALLOWED, headers=headers)

    routes = [Route(_API + op.path, endpoint(sandbox, op, _API), methods=[op.method]) for op in _OPERATIONS]
    routes += [Route(op.path, endpoint(sandbox, op, ""), methods=[op.method]) for op in upo.STORAGE]
    routes += [Route(uploads.PATH, uploads.face(sandbox), methods=["PUT"])]
    routes += [Route(path, face, methods=[method]) for method, path, face in control.faces(sandbox)]
    routes += [Route(path, face, methods=[method]) for method, path, face in lighthouse.faces(sandbox)]
    handlers = {HTTPStatus.NOT_FOUND: not_found, HTTPStatus.METHOD_NOT_ALLOWED: not_allowed}
    return Starlette(routes=routes, lifespan=lifespan, exception_handlers=handlers)
