"""Every change of state is guarded: by the table of the domain, by the state it leaves, by the attempt to send."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from store_rows import JODLA, NOW, SOSNA, furnish, new_invoice, set_authorization

from ksef_tui.domain.authorizations import AUTH_MOVES, AuthState, may_become
from ksef_tui.domain.invoices import INVOICE_MOVES, InvoiceState, may_move
from ksef_tui.store import authorizations, invoices
from ksef_tui.store.database import Database, open_database

PAIRS = list(itertools.product(InvoiceState, InvoiceState))
AUTH_PAIRS = list(itertools.product(AuthState, AuthState))


@pytest.mark.parametrize("act", INVOICE_MOVES)
def test_an_invoice_moves_exactly_as_the_table_says(db: Database, act: str):
    """All pairs of states: what the table allows happens with its event, everything else raises and changes nothing."""
    for old, new in PAIRS:
        invoice_id = new_invoice(db, old)
        if may_move(act, old, new):
            with db.write() as connection:
                assert invoices.move(connection, NOW, invoice_id, act, old, new, reason_code="k", reason="powód")
            event = dict(invoices.events(db, invoice_id)[-1])
            assert (event["act"], event["from_state"], event["to_state"]) == (act, old, new)
            assert (event["reason_code"], event["reason"]) == ("k", "powód")
            assert invoices.get(db, invoice_id)["state"] == new
        else:
            with pytest.raises(ValueError, match="does not go"), db.write() as connection:
                invoices.move(connection, NOW, invoice_id, act, old, new)
            assert invoices.get(db, invoice_id)["state"] == old
            assert len(invoices.events(db, invoice_id)) == 1


@pytest.mark.parametrize("act", INVOICE_MOVES)
def test_an_invoice_that_is_elsewhere_by_now_does_not_move(db: Database, act: str):
    for old, targets in INVOICE_MOVES[act].items():
        for elsewhere in set(InvoiceState) - {old}:
            invoice_id = new_invoice(db, elsewhere)
            with db.write() as connection:
                assert not invoices.move(connection, NOW, invoice_id, act, old, next(iter(targets)))
            assert invoices.get(db, invoice_id)["state"] == elsewhere
            assert len(invoices.events(db, invoice_id)) == 1, "what did not happen has no event"


@pytest.mark.parametrize("act", AUTH_MOVES)
def test_an_authorisation_moves_exactly_as_the_table_says(db: Database, act: str):
    for old, new in AUTH_PAIRS:
        set_authorization(db, old)
        events = len(authorizations.events(db, JODLA))
        if may_become(act, old, new):
            with db.write() as connection:
                assert authorizations.move(connection, NOW, JODLA, act, old, new, reason="powód")
            assert authorizations.get(db, JODLA)["state"] == new
            assert authorizations.events(db, JODLA)[-1]["to_state"] == new
        else:
            with pytest.raises(ValueError, match="does not go"), db.write() as connection:
                authorizations.move(connection, NOW, JODLA, act, old, new)
            assert authorizations.get(db, JODLA)["state"] == old
            assert len(authorizations.events(db, JODLA)) == events


def test_an_authorisation_that_is_elsewhere_by_now_does_not_move(db: Database):
    set_authorization(db, AuthState.MISSING)
    with db.write() as connection:
        assert not authorizations.move(connection, NOW, JODLA, "finish", AuthState.RUNNING, AuthState.ACTIVE)
    assert authorizations.get(db, JODLA)["state"] == AuthState.MISSING
    assert authorizations.events(db, JODLA) == []


def test_who_slept_through_a_take_over_cannot_speak_for_the_next_attempt(db: Database):
    """The first worker's late answer to attempt 1 must not touch attempt 2 (design §3)."""
    invoice_id = new_invoice(db, InvoiceState.APPROVED)

    def move(act: str, old: InvoiceState, new: InvoiceState, **values: object) -> bool:
        with db.write() as connection:
            return invoices.move(connection, NOW, invoice_id, act, old, new, **values)

    assert move("send", InvoiceState.APPROVED, InvoiceState.SENDING, attempt=0, attempts=1)
    assert move("sent", InvoiceState.SENDING, InvoiceState.UNKNOWN, attempt=1)  # taken over
    assert move("settle", InvoiceState.UNKNOWN, InvoiceState.APPROVED, attempt=1)
    assert move("send", InvoiceState.APPROVED, InvoiceState.SENDING, attempt=1, attempts=2)
    assert not move("sent", InvoiceState.SENDING, InvoiceState.PROCESSING, attempt=1, reference="late")
    row = invoices.get(db, invoice_id)
    assert (row["state"], row["attempts"], row["reference"]) == ("sending", 2, "")


def test_only_what_may_be_written_is_written(db: Database):
    invoice_id = new_invoice(db)
    with pytest.raises(ValueError, match="no such column"), db.write() as connection:
        invoices.note(connection, NOW, invoice_id, InvoiceState.WAITING, sha256="f" * 64)
    with pytest.raises(ValueError, match="no such column"), db.write() as connection:
        authorizations.note(connection, NOW, JODLA, AuthState.MISSING, change_seq=0)


def test_the_same_bytes_are_one_invoice_of_a_client(db: Database):
    first = new_invoice(db)
    row = dict(invoices.get(db, first))
    assert invoices.by_bytes(db, JODLA, row["sha256"])["id"] == first
    assert invoices.by_bytes(db, SOSNA, row["sha256"]) is None


OCCUPYING = {
    **dict.fromkeys(InvoiceState, True),
    **dict.fromkeys(
        (
            InvoiceState.INVALID, InvoiceState.BLOCKED, InvoiceState.REJECTED, InvoiceState.WITHDRAWN, InvoiceState.REPLACED,
        ),
        False,
    ),
}  # fmt: skip


@pytest.mark.parametrize("state", InvoiceState)
def test_rule_02_which_states_hold_a_number(db: Database, state: InvoiceState):
    """F4: the seller's number is taken while an invoice with it may still reach KSeF, or has."""
    new_invoice(db, state, number="FV/1")
    assert (invoices.occupying(db, JODLA, "FV/1") is not None) is OCCUPYING[state]
    assert invoices.occupying(db, SOSNA, "FV/1") is None


def test_rule_02_a_number_collision_in_ksef_holds_the_number_too(db: Database):
    new_invoice(db, InvoiceState.REJECTED, number="FV/2", reason="440")
    assert invoices.occupying(db, JODLA, "FV/2") is not None


STEPS = st.lists(
    st.tuples(
        st.sampled_from(["insert", *INVOICE_MOVES]), st.sampled_from([JODLA, SOSNA]), st.integers(0, 30), st.booleans()
    ),
    max_size=40,
)


@settings(max_examples=40, deadline=None)
@given(steps=STEPS)
def test_counters_never_differ_from_a_scan(tmp_path_factory: pytest.TempPathFactory, steps: list):
    """invoice_count is what a scan would count after any sequence of imports, moves and rolled back transactions."""
    db = open_database(tmp_path_factory.mktemp("count") / "office.db")
    furnish(db)
    ids: list[int] = []
    for act, client, chosen, regretted in steps:
        if act == "insert":
            ids.append(new_invoice(db, list(InvoiceState)[chosen % len(InvoiceState)], client=client))
            continue
        if not ids:
            continue
        invoice_id = ids[chosen % len(ids)]
        old = InvoiceState(invoices.get(db, invoice_id)["state"])
        for new in sorted(INVOICE_MOVES[act].get(old, ())):
            try:
                with db.write() as connection:
                    assert invoices.move(connection, NOW, invoice_id, act, old, new)
                    if regretted:
                        raise InterruptedError
            except InterruptedError:
                continue
            break
    counted = {(r["client_id"], r["state"]): r["n"] for r in db.rows("SELECT * FROM invoice_count") if r["n"]}
    scanned = {
        (r[0], r[1]): r[2] for r in db.rows("SELECT client_id, state, count(*) FROM invoice GROUP BY client_id, state")
    }
    assert counted == scanned
    db.close()
