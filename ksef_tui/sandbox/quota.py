"""Limits of size and count, rate limits, and the test endpoints that change them (facts §12, §17)."""

from __future__ import annotations

import json
from typing import Any

from ksef_tui.sandbox.fields import Fields, invalid
from ksef_tui.sandbox.limits import OVERRIDABLE, PRODUCTION, rates_json
from ksef_tui.sandbox.state import State
from ksef_tui.sandbox.web import Call, Endpoint, Reply

_SESSION = {"maxInvoiceSizeInMB": 1, "maxInvoiceWithAttachmentSizeInMB": 3, "maxInvoices": 10_000}
_HIGHEST = {"maxInvoiceSizeInMB": 5, "maxInvoiceWithAttachmentSizeInMB": 10, "maxInvoices": 100_000}
_DEFAULT = {"onlineSession": _SESSION, "batchSession": _SESSION, "collectiveIdentifier": {"maxInvoices": 500}}
# Per identifier in the certificate: enrolments and active certificates (facts §6).
_CERTIFICATES = {"Nip": (300, 100), "Pesel": (12, 6), "Fingerprint": (12, 6)}


def context_limits(state: State, context: str) -> dict[str, dict[str, int]]:
    """Sizes in MB (decimal) and counts in force for a context, as `GET /limits/context` shows them."""
    override = state.value("SELECT value FROM override WHERE context = ? AND kind = 'session'", context)
    return {**_DEFAULT, **(json.loads(override) if override else {})}


def subject_limits(state: State, subject: tuple[str, str]) -> dict[str, dict[str, int]]:
    """Enrolments and active certificates in force for an identifier, as `GET /limits/subject` shows them."""
    enrolments, certificates = _CERTIFICATES[subject[0]]
    sql = "SELECT value FROM override WHERE context = ? AND kind = 'certificate'"
    override = state.value(sql, ":".join(subject))
    default = {"enrollment": {"maxEnrollments": enrolments}, "certificate": {"maxCertificates": certificates}}
    return {**default, **(json.loads(override) if override else {})}


def _context(call: Call) -> str:
    return ":".join(call.who.context)


def read_context_limits(call: Call) -> Reply:
    """`GET /limits/context`."""
    return Reply(json=context_limits(call.state, _context(call)))


def read_subject_limits(call: Call) -> Reply:
    """`GET /limits/subject`."""
    return Reply(json=subject_limits(call.state, call.who.subject))


def read_rates(call: Call) -> Reply:
    """`GET /rate-limits`: what is enforced, including those of 2.8.0."""
    return Reply(json=rates_json(call.sandbox.limiter.effective(_context(call))))


def _set(call: Call, context: str, kind: str, value: Any) -> Reply:
    call.state.run("DELETE FROM override WHERE context = ? AND kind = ?", context, kind)
    if value is not None:
        call.state.insert("override", context=context, kind=kind, value=json.dumps(value))
    call.sandbox.limiter.forget(context)
    return Reply(200)


def set_session_limits(call: Call) -> Reply:
    """`POST /testdata/limits/context/session`."""
    fields = call.fields()
    value: dict[str, dict[str, int]] = {}
    for group in ("onlineSession", "batchSession"):
        inner = fields.inner(group)
        value[group] = {name: inner.integer(name, 0, highest) for name, highest in _HIGHEST.items()}
    if fields.has("collectiveIdentifier"):
        most = fields.inner("collectiveIdentifier").integer("maxInvoices", 0, 5000)
        value["collectiveIdentifier"] = {"maxInvoices": most}
    return _set(call, _context(call), "session", value)


def reset_session_limits(call: Call) -> Reply:
    """`DELETE /testdata/limits/context/session`."""
    return _set(call, _context(call), "session", None)


def set_subject_limits(call: Call) -> Reply:
    """`POST /testdata/limits/subject/certificate`."""
    fields = call.fields()
    value = {}
    for group, name in (("enrollment", "maxEnrollments"), ("certificate", "maxCertificates")):
        if fields.has(group) and fields.inner(group).has(name):
            value[group] = {name: fields.inner(group).integer(name, 0, 1_000_000)}
    return _set(call, ":".join(call.who.subject), "certificate", value)


def reset_subject_limits(call: Call) -> Reply:
    """`DELETE /testdata/limits/subject/certificate`."""
    return _set(call, ":".join(call.who.subject), "certificate", None)


def set_rates(call: Call) -> Reply:
    """`POST /testdata/rate-limits`."""
    groups = call.fields().inner("rateLimits")
    return _set(call, _context(call), "rate", {name: _rate(groups.inner(name)) for name in OVERRIDABLE})


def _rate(values: Fields) -> list[int]:
    limits = [values.integer(name, -1, 1_000_000) for name in ("perSecond", "perMinute", "perHour")]
    if 0 in limits:
        raise invalid(values.name("perSecond"), "limit musi być dodatni albo równy -1.")
    return limits


def reset_rates(call: Call) -> Reply:
    """`DELETE /testdata/rate-limits`."""
    return _set(call, _context(call), "rate", None)


def production_rates(call: Call) -> Reply:
    """`POST /testdata/rate-limits/production`."""
    return _set(call, _context(call), "rate", {name: list(PRODUCTION[name]) for name in OVERRIDABLE})


ENDPOINTS = (
    Endpoint("GET", "/limits/context", read_context_limits),
    Endpoint("GET", "/limits/subject", read_subject_limits),
    Endpoint("GET", "/rate-limits", read_rates),
    Endpoint("POST", "/testdata/limits/context/session", set_session_limits),
    Endpoint("DELETE", "/testdata/limits/context/session", reset_session_limits),
    Endpoint("POST", "/testdata/limits/subject/certificate", set_subject_limits),
    Endpoint("DELETE", "/testdata/limits/subject/certificate", reset_subject_limits),
    Endpoint("POST", "/testdata/rate-limits", set_rates, group=None),
    Endpoint("DELETE", "/testdata/rate-limits", reset_rates, group=None),
    Endpoint("POST", "/testdata/rate-limits/production", production_rates, group=None),
)
