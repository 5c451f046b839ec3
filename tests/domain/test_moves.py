"""Every move that an invoice or an authorisation may make, written down once more, and every other one refused."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from ksef_tui.domain.authorizations import (
    AUTH_BADGES,
    AUTH_MOVES,
    CAN_SEND,
    METHOD_LABELS,
    STEP_LABELS,
    AuthMethod,
    AuthState,
    AuthStep,
    effective,
    may_become,
)
from ksef_tui.domain.invoices import (
    INVOICE_BADGES,
    INVOICE_MOVES,
    OCCUPIES_NUMBER,
    ON_THE_WIRE,
    RETRYABLE_REJECTIONS,
    Badge,
    InvoiceState,
    may_move,
    normal_number,
)

INVOICE_TABLE = """
approve   waiting    -> approved
recall    approved   -> waiting
urge      approved   -> approved
hold      waiting    -> held
hold      approved   -> held
release   held       -> waiting blocked
release   blocked    -> waiting blocked
guard     waiting    -> blocked
guard     approved   -> blocked
withdraw  invalid    -> withdrawn
withdraw  waiting    -> withdrawn
withdraw  approved   -> withdrawn
withdraw  held       -> withdrawn
withdraw  blocked    -> withdrawn
withdraw  rejected   -> withdrawn
replace   invalid    -> replaced
replace   rejected   -> replaced
recheck   invalid    -> waiting blocked
recover   waiting    -> unknown
recover   approved   -> unknown
recover   held       -> unknown
recover   blocked    -> unknown
recover   invalid    -> unknown
recover   rejected   -> unknown
recover   withdrawn  -> unknown
recover   replaced   -> unknown
retry     rejected   -> unknown
look      unknown    -> accepted waiting blocked rejected
decide    rejected   -> rejected
send      approved   -> sending
sent      sending    -> processing unknown rejected approved
settle    unknown    -> processing accepted rejected approved
track     processing -> accepted rejected unknown approved
"""

AUTH_TABLE = """
start     missing requested to_sign active read_only expiring expired no_permission blocked failed running -> running
export    missing requested to_sign active read_only expiring expired no_permission blocked failed running -> to_sign
submit    to_sign                -> running
cancel    running to_sign        -> missing active read_only blocked
cancel    failed no_permission   -> missing
finish    running                -> active read_only expiring expired no_permission blocked failed
learn     active read_only expiring expired no_permission blocked failed -> active read_only expiring expired no_permission blocked failed
learn     requested              -> active read_only expiring expired no_permission blocked failed missing
request   missing read_only no_permission failed requested -> requested
revoke    missing requested to_sign active read_only expiring expired no_permission blocked failed running -> missing
end       missing requested to_sign active read_only expiring expired no_permission blocked failed -> ended
resume    ended                  -> missing
"""  # noqa: E501  (one row of a table is one line)


def moves(table: str) -> set[tuple[str, str, str]]:
    found = set()
    for line in table.strip().splitlines():
        left, right = line.split("->")
        act, *olds = left.split()
        found |= {(act, old, new) for old in olds for new in right.split()}
    return found


def test_an_invoice_makes_the_moves_of_the_table_and_no_other() -> None:
    allowed = moves(INVOICE_TABLE)
    acts = {act for act, _, _ in allowed}
    assert set(INVOICE_MOVES) == acts
    for act in acts:
        for old in InvoiceState:
            for new in InvoiceState:
                assert may_move(act, old, new) == ((act, old, new) in allowed), (act, old, new)


def test_an_authorisation_makes_the_moves_of_the_table_and_no_other() -> None:
    allowed = moves(AUTH_TABLE)
    acts = {act for act, _, _ in allowed}
    assert set(AUTH_MOVES) == acts
    for act in acts:
        for old in AuthState:
            for new in AuthState:
                assert may_become(act, old, new) == ((act, old, new) in allowed), (act, old, new)


@pytest.mark.parametrize("act", ["", "teleport", "APPROVE"])
def test_an_act_that_is_not_known_moves_nothing(act: str) -> None:
    assert not any(may_move(act, old, new) for old in InvoiceState for new in InvoiceState)
    assert not any(may_become(act, old, new) for old in AuthState for new in AuthState)


# What the damage of double or wrong sending hangs on, said apart from the table (design §6)


@pytest.mark.parametrize("state", ["accepted", "withdrawn", "replaced"])
def test_an_end_is_an_end(state: str) -> None:
    """Only what KSeF holds after a restored backup says otherwise than the books (F6)."""
    acts = {act for act in INVOICE_MOVES for new in InvoiceState if may_move(act, InvoiceState(state), new)}
    assert acts <= {"recover"}


def test_only_an_approved_invoice_is_sent_and_only_a_waiting_one_is_approved() -> None:
    into_sending = {old for act in INVOICE_MOVES for old in InvoiceState if may_move(act, old, InvoiceState.SENDING)}
    assert into_sending == {InvoiceState.APPROVED}
    by_hand = {old for old in InvoiceState if may_move("approve", old, InvoiceState.APPROVED)}
    assert by_hand == {InvoiceState.WAITING}


@pytest.mark.parametrize(
    "act", ["approve", "recall", "urge", "hold", "release", "withdraw", "replace", "retry", "recheck", "decide"]
)
def test_no_person_moves_an_invoice_that_is_on_the_wire(act: str) -> None:
    assert not any(may_move(act, old, new) for old in ON_THE_WIRE for new in InvoiceState)


def test_a_number_is_free_only_when_the_invoice_can_no_longer_be_in_ksef() -> None:
    free = set(InvoiceState) - OCCUPIES_NUMBER
    assert free == {InvoiceState(name) for name in ("invalid", "blocked", "rejected", "withdrawn", "replaced")}


def test_a_duplicate_is_never_retried() -> None:
    assert {405, 410, 435, 500, 550} == RETRYABLE_REJECTIONS


def test_the_codes_that_scripts_read_are_those_of_the_contract() -> None:
    invoice = (
        "draft invalid waiting approved held blocked sending unknown processing accepted rejected withdrawn replaced"
    )
    assert [state.value for state in InvoiceState] == invoice.split()
    authorisation = (
        "missing requested running to_sign active read_only expiring expired no_permission blocked failed ended"
    )
    assert [state.value for state in AuthState] == authorisation.split()


@pytest.mark.parametrize("badges", [INVOICE_BADGES, AUTH_BADGES])
def test_every_state_has_a_badge_of_its_own_with_and_without_colour(badges: dict[str, Badge]) -> None:
    states = InvoiceState if badges is INVOICE_BADGES else AuthState
    assert set(badges) == set(states)
    for look in ("glyph", "ascii", "label"):
        assert len({getattr(badge, look) for badge in badges.values()}) == len(badges), look
    assert all(badge.ascii.isascii() and len(badge.ascii) == len(badge.glyph) == 1 for badge in badges.values())
    assert {badge.tone for badge in badges.values()} <= {"good", "busy", "wait", "bad", "quiet"}


def test_every_way_and_step_has_its_words() -> None:
    assert (set(METHOD_LABELS), set(STEP_LABELS)) == (set(AuthMethod), set(AuthStep))


NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("state", "left", "expected"),
    [
        ("active", timedelta(days=31), "active"),
        ("active", timedelta(days=30), "expiring"),
        ("active", timedelta(seconds=1), "expiring"),
        ("active", timedelta(0), "expired"),
        ("expiring", timedelta(days=31), "active"),
        ("expiring", timedelta(seconds=-1), "expired"),
        ("active", None, "active"),
        ("expiring", None, "expiring"),
        ("read_only", timedelta(seconds=1), "read_only"),
        ("read_only", timedelta(0), "expired"),
        ("no_permission", timedelta(days=1), "no_permission"),
        ("blocked", timedelta(seconds=-1), "blocked"),
    ],
)
def test_time_alone_lets_a_standing_authorisation_run_out(state: str, left: timedelta | None, expected: str) -> None:
    valid_until = None if left is None else NOW + left
    assert effective(AuthState(state), valid_until, NOW, warn_days=30) == expected


@pytest.mark.parametrize(
    ("hours", "expected"), [(24 * 7, "active"), (25, "active"), (24, "expiring"), (0.01, "expiring"), (0, "expired")]
)
def test_a_login_that_somebody_signed_for_warns_a_day_before_its_end(hours: float, expected: str) -> None:
    until = NOW + timedelta(hours=hours)
    assert effective(AuthState.ACTIVE, until, NOW, 30, AuthMethod.EXTERNAL) == expected


def test_invoices_are_sent_while_the_authorisation_works() -> None:
    assert {AuthState.ACTIVE, AuthState.EXPIRING} == CAN_SEND


@pytest.mark.parametrize(
    ("written", "compared"),
    [("FV/1", "FV/1"), (" FV  1 ", "FV 1"), ("FV\t\n1", "FV 1"), ("fv/1", "fv/1"), ("FV1", "FV1"), ("  ", "")],
)
def test_numbers_are_compared_as_ksef_keeps_them(written: str, compared: str) -> None:
    assert normal_number(written) == compared
