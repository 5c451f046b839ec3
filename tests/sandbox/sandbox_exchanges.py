"""Recorded exchanges of a sandbox against the official OpenAPI document."""

from __future__ import annotations

import json
from pathlib import Path

import openapi


def disagreements(record: Path, skip: int = 0) -> list[str]:
    """What the document says against the recorded exchanges after the first `skip`.

    Exempt are injected faults, URLs outside the API and requests that were wrong on purpose.
    """
    found: list[str] = []
    for line in record.read_text("utf-8").splitlines()[skip:]:
        entry = json.loads(line)
        if entry["injected"] or not entry["path"].startswith("/v2/"):
            continue
        right = entry["status"] < 400
        found += openapi.check_exchange(
            entry["method"],
            entry["path"],
            entry["request_json"],
            entry["status"],
            entry["response_json"],
            requests=right,
        )
    return found
