"""The change feed: rows with a larger number than the one last seen have changed, whoever changed them (design §3)."""

from __future__ import annotations

import subprocess
import sys

import pytest
from store_rows import JODLA, NOW, SOSNA, new_invoice

from ksef_tui.domain.authorizations import AuthState
from ksef_tui.domain.invoices import InvoiceState
from ksef_tui.store import authorizations, invoices, offices
from ksef_tui.store.database import Database


def seq(db: Database) -> int:
    return db.value("SELECT seq FROM change_counter")


def changed(db: Database, table: str, since: int) -> list[int]:
    return [r[0] for r in db.rows(f"SELECT rowid FROM {table} WHERE change_seq > ? ORDER BY change_seq", (since,))]


def test_what_is_inserted_or_changed_is_in_the_feed_in_its_order(db: Database):
    before = seq(db)
    first, second = new_invoice(db), new_invoice(db)
    assert changed(db, "invoice", before) == [first, second]
    middle = seq(db)
    with db.write() as connection:
        invoices.move(connection, NOW, first, "approve", InvoiceState.WAITING, InvoiceState.APPROVED)
    assert changed(db, "invoice", middle) == [first]
    assert changed(db, "invoice", before) == [second, first]


def test_notes_without_a_move_are_in_the_feed(db: Database):
    invoice_id = new_invoice(db)
    before = seq(db)
    with db.write() as connection:
        invoices.note(connection, NOW, invoice_id, InvoiceState.WAITING, reason="…")
        authorizations.note(connection, NOW, SOSNA, AuthState.MISSING, reason="…")
        offices.set_archived(connection, JODLA, NOW)
    assert changed(db, "invoice", before) == [invoice_id]
    assert changed(db, "authorization", before) == [SOSNA]
    assert changed(db, "client", before) == [JODLA]


def test_every_change_has_a_number_of_its_own(db: Database):
    ids = [new_invoice(db) for _ in range(5)]
    with db.write() as connection:
        connection.execute("UPDATE invoice SET mode = 'offline'")
    numbers = [r[0] for r in db.rows("SELECT change_seq FROM invoice")]
    assert len(set(numbers)) == len(ids)
    assert max(numbers) == seq(db)


def test_what_was_rolled_back_is_not_in_the_feed(db: Database):
    invoice_id = new_invoice(db)
    before = seq(db)
    with pytest.raises(InterruptedError), db.write() as connection:
        invoices.move(connection, NOW, invoice_id, "approve", InvoiceState.WAITING, InvoiceState.APPROVED)
        raise InterruptedError
    assert seq(db) == before
    assert changed(db, "invoice", before) == []


OTHER = """
import sys
from datetime import UTC, datetime
from pathlib import Path
from ksef_tui.domain.invoices import InvoiceState
from ksef_tui.store import invoices
from ksef_tui.store.database import open_database
db = open_database(Path(sys.argv[1]))
with db.write() as connection:
    invoices.move(connection, datetime.now(UTC), int(sys.argv[2]), "hold", InvoiceState.WAITING, InvoiceState.HELD)
"""


def test_another_process_is_noticed_by_the_version_and_found_in_the_feed(db: Database):
    invoice_id = new_invoice(db)
    version, before = db.data_version(), seq(db)
    assert db.data_version() == version, "nobody has written"
    subprocess.run([sys.executable, "-c", OTHER, str(db.path), str(invoice_id)], check=True, timeout=30)
    assert db.data_version() != version
    assert changed(db, "invoice", before) == [invoice_id]
