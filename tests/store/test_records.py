"""What is written down: two rows for a call, an audit row for what a person did, odd answers apart."""

from __future__ import annotations

import json
from datetime import timedelta

import pytest
from store_rows import JODLA, NOW, new_invoice

from ksef_tui.domain.problems import Problem
from ksef_tui.domain.roles import Operator, Role
from ksef_tui.store import documents, limits, offices, records, settings
from ksef_tui.store.database import Database


def start(
    db: Database, invoice_id: int | None = None, *, context: str = "1111111111", group: str = "invoiceSend"
) -> int:
    with db.write() as connection:
        return records.call_started(
            connection, NOW, context=context, operation="session.send", method="POST", path="/sessions/online/x/invoices",
            limit_group=group, reference="x", invoice_id=invoice_id,
        )  # fmt: skip


def end(db: Database, call_id: int, **values: object) -> None:
    outcome = {"kind": "ok", "status": 202, "code": None, "detail": "", "reference": "", "seconds": 0.1, **values}
    with db.write() as connection:
        records.call_ended(connection, NOW + timedelta(seconds=1), call_id, **outcome)


def test_a_call_leaves_two_rows_and_the_first_is_there_before_it_ends(db: Database):
    invoice_id = new_invoice(db)
    call_id = start(db, invoice_id)
    [started] = records.calls_of_invoice(db, invoice_id)
    assert (started["phase"], started["kind"], started["call_id"]) == ("started", "", None)
    end(db, call_id, reference="20261124-EE-1")
    started, ended = records.calls_of_invoice(db, invoice_id)
    assert (ended["phase"], ended["call_id"], ended["kind"], ended["reference"]) == (
        "ended",
        call_id,
        "ok",
        "20261124-EE-1",
    )
    assert started["reference"] == "x"


def test_windows_of_limits_are_counted_from_the_first_rows_only(db: Database):
    end(db, start(db))
    start(db, context="5265877635")
    start(db, group="sessionMisc")
    since, now = NOW.timestamp() - 1, NOW.timestamp()
    assert records.calls_since(db, "1111111111", "invoiceSend", since) == [(now, now + 1)]
    assert records.calls_since(db, None, "invoiceSend", since) == [(now, now + 1), (now, None)]
    assert records.calls_since(db, None, "invoiceSend", NOW.timestamp()) == []


def test_a_block_is_never_shortened(db: Database):
    with db.write() as connection:
        limits.block(connection, "1111111111", "invoiceSend", 2000.0)
        limits.block(connection, "1111111111", "invoiceSend", 1000.0)
    assert limits.blocked_until(db, "1111111111", "invoiceSend") == 2000.0
    assert limits.blocked_until(db, "5265877635", "invoiceSend") == 0


def test_an_odd_answer_is_kept_apart_and_cut(db: Database):
    call_id = start(db)
    with db.write() as connection:
        records.keep_odd_answer(connection, NOW, call_id, "ą" * 20_000)
    assert len(db.value("SELECT body FROM odd_answer WHERE call_id = ?", (call_id,))) == records.ODD_ANSWER_CHARACTERS


def test_an_audit_row_names_who_what_and_for_whom(db: Database):
    with db.write() as connection:
        operator_id = offices.insert_operator(connection, NOW, "zofia", "Zofia", Role.ACCOUNTANT)
        operator = Operator(operator_id, "zofia", "Zofia", Role.ACCOUNTANT)
        records.audit(connection, NOW, operator, "invoice.hold", client_id=JODLA, powód="święta")
        records.audit(connection, NOW, None, "auth.finish", client_id=JODLA)
    human, program = db.rows("SELECT * FROM audit ORDER BY id")
    assert (human["login"], human["act"], human["client_id"]) == ("zofia", "invoice.hold", JODLA)
    assert json.loads(human["detail"]) == {"powód": "święta"}
    assert "święta" in human["detail"], "readable without a decoder"
    assert (program["login"], program["operator_id"]) == ("", None)


def test_a_document_that_was_altered_is_not_given_out(db: Database):
    with db.write() as connection:
        sha256 = documents.put(connection, b"<Faktura/>")
        assert documents.put(connection, b"<Faktura/>") == sha256
    assert documents.get(db, sha256) == b"<Faktura/>"
    with db.write() as connection:
        connection.execute("UPDATE document SET bytes = x'00' WHERE sha256 = ?", (sha256,))
    for wanted in (sha256, "0" * 64):
        with pytest.raises(Problem) as caught:
            documents.get(db, wanted)
        assert caught.value.code == "document_altered"


def test_an_operator_who_left_is_nobody(db: Database):
    with db.write() as connection:
        offices.insert_operator(connection, NOW, "zofia", "Zofia", Role.ADMIN)
    assert offices.operator(db, "zofia") is not None
    with db.write() as connection:
        connection.execute("UPDATE operator SET disabled_at = '2026-11-24T09:00:00.000Z'")
    assert offices.operator(db, "zofia") is None


def test_settings_have_defaults_and_unknown_ones_are_refused(db: Database):
    assert settings.get_int(db, "recall_seconds") == 10
    with db.write() as connection:
        settings.put(connection, "recall_seconds", "0")
        settings.put(connection, "recall_seconds", "30")
    assert settings.get_int(db, "recall_seconds") == 30
    with pytest.raises(Problem) as caught:
        settings.get(db, "kolor")
    assert caught.value.code == "unknown_setting"
