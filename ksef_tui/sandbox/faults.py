"""Troubles on demand: what goes wrong with KSeF in practice, switched on by tests and by the demo."""

from __future__ import annotations

import random
import re
from dataclasses import dataclass, field
from typing import Any

# Before the request is handled.
BEFORE = (
    "outage", "lost_request", "hang", "html_5xx", "waf_403", "rate_limited", "unauthorized", "moved", "redirect_loop",
)  # fmt: skip

# Every trouble, with the rows of the field notes that it makes happen.
KINDS: dict[str, tuple[str, ...]] = {
    "outage": ("F1", "F13", "F14", "F39"),
    "lost_request": ("F1", "F7", "F9", "F13"),
    "lost_answer": ("F1", "F7", "F9"),
    "late_answer": ("F1", "F7"),
    "hang": ("F1", "F7"),
    "html_5xx": ("F1", "F39"),
    "waf_403": ("F26",),
    "rate_limited": ("F35", "F36", "F37"),
    "unauthorized": ("F25",),
    "moved": ("F42",),
    "redirect_loop": ("F43",),
    "lighthouse_down": ("F40",),
    "slow": ("F2", "F38"),
    "stuck": ("F2", "F6", "F38"),
    "key_rotation": ("F44",),
    "key_unreadable": ("F20", "F44"),
    "session_unavailable": ("F56",),
    "session_fails": ("F13", "F14", "F19"),
    "not_found_after_open": ("F16",),
    "list_empty": ("F18",),
    "list_scrambled": ("F12",),
    "number_respelled": ("F50",),
    "query_cut": ("F35",),
    "new_fields": ("F55",),
    "invoice_fails": ("F11", "F21", "F47"),
    "sent_before": ("F3", "F6", "F19", "F23"),
    "number_taken": ("F4", "F5", "F10"),
    "duplicate_without_original": ("F5",),
    "duplicate_wrong_session": ("F8",),
    "after_midnight": ("F52",),
    "storage_late": ("F17",),
    "upo_html": ("F45",),
    "upload_html": ("F15",),
    "part_lost": ("F15",),
    "auth_revoked": ("F25",),
    "certificate_check_down": ("F41",),
    "blocked_480": ("F27",),
    "operation_fails": (),
    "enrolment_fails": (),
    "enrolment_mixed_up": (),
}
NAMES = frozenset(KINDS)


@dataclass
class Fault:
    """One switched-on trouble; `times` is how often it still happens, None: until cleared."""

    name: str
    times: int | None = None
    probability: float = 1.0
    match: dict[str, str] = field(default_factory=dict)
    params: dict[str, Any] = field(default_factory=dict)
    happened: int = 0

    def concerns(self, method: str, path: str) -> bool:
        """Whether this request is one of those it was set for: method, and a path prefix or a pattern."""
        if self.match.get("method", method).upper() != method:
            return False
        wanted = self.match.get("path")
        return wanted is None or path.startswith(wanted) or re.search(wanted, path) is not None

    def as_json(self) -> dict[str, Any]:
        """The shape that `GET /_sandbox/faults` shows."""
        return {
            "fault": self.name,
            "times": self.times,
            "probability": self.probability,
            "match": self.match,
            "params": self.params,
            "happened": self.happened,
        }


def read_fault(body: Any) -> Fault:
    """A fault from the JSON of a request. Raises ValueError with what is wrong."""
    if not isinstance(body, dict) or body.get("fault") not in NAMES:
        raise ValueError(f"fault must be one of {', '.join(sorted(NAMES))}")
    unknown = set(body) - {"fault", "times", "probability", "match", "params"}
    if unknown:
        raise ValueError(f"unknown fields: {', '.join(sorted(unknown))}")
    times, probability = body.get("times"), body.get("probability", 1.0)
    match, params = body.get("match") or {}, body.get("params") or {}
    if times is not None and (not isinstance(times, int) or times < 1):
        raise ValueError("times must be a positive integer or null")
    if not isinstance(probability, int | float) or not 0 <= probability <= 1:
        raise ValueError("probability must be between 0 and 1")
    if not isinstance(match, dict) or set(match) - {"method", "path"}:
        raise ValueError("match takes method and path")
    if not isinstance(params, dict):
        raise ValueError("params must be an object")
    try:
        re.compile(match.get("path", ""))
    except re.error as error:
        raise ValueError(f"match.path: {error}") from error
    return Fault(body["fault"], times, float(probability), match, params)


class Faults:
    """All that are switched on, in the order they were set."""

    def __init__(self) -> None:
        self.active: list[Fault] = []

    def strike(self, name: str, method: str = "", path: str = "") -> Fault | None:
        """Whether this trouble happens now; counts down `times`."""
        for fault in self.active:
            if fault.name != name or not fault.concerns(method, path):
                continue
            if random.random() >= fault.probability:  # noqa: S311 no secret depends on it
                continue
            fault.happened += 1
            if fault.times is not None:
                fault.times -= 1
                if fault.times == 0:
                    self.active.remove(fault)
            return fault
        return None

    def is_on(self, name: str) -> bool:
        """Whether the trouble is switched on at all; does not count as happening."""
        return any(fault.name == name for fault in self.active)
