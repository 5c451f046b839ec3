"""The judge that holds every answer of these tests against the official document, itself put to the test."""

from __future__ import annotations

import json

import openapi
import pytest
from sandbox_client import Sandbox
from sandbox_exchanges import disagreements
from sandbox_invoices import invoice, nip

pytestmark = pytest.mark.skipif(not openapi.available(), reason="the official OpenAPI document is not on this machine")

STATUS = {"code": 100, "description": "Sesja interaktywna otwarta"}
MOMENT = "2026-02-01T10:00:00.1234567+00:00"
PATH = "/v2/sessions/20260101-SO-0000000000-0000000000-00"


@pytest.mark.parametrize(
    ("body", "part"),
    [
        ({"status": STATUS, "dateCreated": MOMENT, "dateUpdated": MOMENT}, None),
        ({"status": STATUS, "dateCreated": MOMENT, "dateUpdated": MOMENT, "validUntil": None}, None),
        ({"status": STATUS, "dateCreated": MOMENT}, "dateUpdated"),
        ({"status": STATUS, "dateCreated": MOMENT, "dateUpdated": MOMENT, "nowe": 1}, "nowe"),
        ({"status": {**STATUS, "nowe": 1}, "dateCreated": MOMENT, "dateUpdated": MOMENT}, "nowe"),
        ({"status": STATUS, "dateCreated": "2026-02-01T10:00:00", "dateUpdated": MOMENT}, "date-time"),
        ({"status": STATUS, "dateCreated": MOMENT, "dateUpdated": None}, "None"),
        (None, "None"),
    ],
)
def test_the_judge_takes_what_is_declared_and_nothing_else(body, part):
    found = openapi.check_exchange("GET", PATH, None, 200, body)
    assert found == [] if part is None else part in found[0]


@pytest.mark.parametrize(
    ("method", "path", "request_json", "status", "part"),
    [
        ("POST", "/v2/nic", None, 200, "no such operation"),
        ("POST", "/v2/auth/challenge", None, 418, "not declared"),
        ("POST", "/v2/auth/challenge", {"a": 1}, 429, "a body is not declared"),
        ("POST", "/v2/tokens", {"permissions": ["Wszystko"], "description": "opis tokena"}, 401, "Wszystko"),
    ],
)
def test_the_judge_looks_at_requests_and_statuses(method, path, request_json, status, part):
    assert any(part in line for line in openapi.check_exchange(method, path, request_json, status, None))


def test_both_error_formats_are_known():
    problem = {
        "title": "Bad Request",
        "status": 400,
        "instance": "/v2",
        "detail": "x",
        "timestamp": MOMENT,
        "traceId": "1",
    }
    assert openapi.check_exchange("POST", "/v2/auth/challenge", None, 400, {**problem, "errors": []}) == []
    assert openapi.check_exchange("POST", "/v2/auth/challenge", None, 400, {"exception": None}) == []
    assert openapi.check_exchange("POST", "/v2/auth/challenge", None, 400, problem) != []


def test_refusals_agree_with_the_document_in_both_formats(start, tmp_path):
    record = tmp_path / "exchanges.jsonl"
    ksef = Sandbox(start(limits="production", record=record).url)
    me = nip()
    token = ksef.owner(me)
    for headers in ({}, {"X-Error-Format": "problem-details"}):
        ksef.get("/sessions?sessionType=Online", headers=headers)
        ksef.get("/sessions", token, headers=headers)
        ksef.get(f"{PATH.removeprefix('/v2')}", token, headers=headers)
        for _ in range(12):
            ksef.get("/sessions?sessionType=Online", token, headers=headers)
    ksef.close()
    entries = [json.loads(line) for line in record.read_text("utf-8").splitlines()]
    assert {entry["status"] for entry in entries} >= {200, 202, 400, 401, 429}
    assert disagreements(record) == []
    assert not any("authorization" in entry["request_headers"] for entry in entries)


def test_a_wrong_answer_would_be_seen(start, tmp_path):
    record = tmp_path / "exchanges.jsonl"
    ksef = Sandbox(start(record=record).url)
    me = nip()
    ksef.judged(ksef.owner(me), invoice(me))
    ksef.close()
    text = record.read_text("utf-8")
    assert disagreements(record) == []
    record.write_text(
        text.replace('"ordinalNumber": 1', '"ordinalNumber": 0').replace('"ordinalNumber":1', '"ordinalNumber":0')
    )
    assert disagreements(record) != []
