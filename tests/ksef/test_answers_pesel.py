"""A person's number that KSeF repeats in its words does not reach the journal."""

from __future__ import annotations

import json

from ksef_tui.ksef.answers import Answer, failure, sample


def test_a_pesel_in_a_refusal_is_masked_in_what_is_kept() -> None:
    details = ["Identyfikator 44051401359 jest nieprawidłowy.", "NIP 5265877635"]
    body = {
        "status": 400,
        "title": "Bad Request",
        "errors": [{"code": 21405, "description": "Błąd", "details": details}],
    }
    error = failure(Answer(400, json.dumps(body).encode()))
    assert error is not None
    assert "44051401359" not in error.message
    assert "5265877635" in error.message
    assert (
        sample(b"<html>44051401359 5251000337-20261124-01A0C3-000012-5F")
        == "<html>*** 5251000337-20261124-01A0C3-000012-5F"
    )
