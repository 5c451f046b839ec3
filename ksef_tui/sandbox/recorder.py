"""A log of exchanges for tests: one JSON object a line, without tokens in headers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from starlette.requests import Request
from starlette.responses import Response


class Recorder:
    """Writes each exchange to a file; without a file it does nothing."""

    def __init__(self, path: Path | None) -> None:
        self._file = path.open("a", encoding="utf-8") if path else None

    def write(self, request: Request, body: bytes, response: Response, *, injected: str | None) -> None:
        """One exchange; `injected` names the fault that made or ate the answer."""
        if self._file is None:
            return
        line = {
            "method": request.method,
            "path": request.url.path,
            "query": request.url.query,
            "request_headers": {k: v for k, v in request.headers.items() if k != "authorization"},
            "request_json": _json(request.headers.get("content-type", ""), body),
            "status": response.status_code,
            "response_type": response.headers.get("content-type", ""),
            "response_json": _json(response.headers.get("content-type", ""), bytes(response.body)),
            "injected": injected,
        }
        self._file.write(json.dumps(line, ensure_ascii=False) + "\n")
        self._file.flush()

    def close(self) -> None:
        """The file is complete."""
        if self._file is not None:
            self._file.close()


def _json(content_type: str, body: bytes) -> Any:
    if not body or "json" not in content_type:
        return None
    try:
        return json.loads(body)
    except ValueError:
        return None
