"""The tables of what needs a person: which kind, how urgent, when it is due, what mends it."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from ksef_tui.domain import today as rules
from ksef_tui.domain.actions import BY_ID
from ksef_tui.domain.authorizations import AuthState
from ksef_tui.domain.invoices import InvoiceState
from ksef_tui.domain.today import Done, Item, Kind, Money

S, A = InvoiceState, AuthState
MORNING = datetime(2026, 11, 24, 8, 14, tzinfo=UTC)  # 09:14 in Warsaw
SECOND_BEFORE = datetime(2026, 11, 24, 13, 29, 59, tzinfo=UTC)
AFTERNOON = datetime(2026, 11, 24, 13, 30, tzinfo=UTC)  # 14:30
EVENING = datetime(2026, 11, 24, 22, 15, tzinfo=UTC)  # 23:15
AFTER_MIDNIGHT = datetime(2026, 11, 24, 23, 5, tzinfo=UTC)  # 00:05 of the next day in Warsaw


@pytest.mark.parametrize(
    ("state", "stands", "due", "kind"),
    [
        (S.WAITING, False, False, Kind.APPROVE),
        (S.APPROVED, True, False, Kind.STANDING),
        (S.APPROVED, True, True, Kind.STANDING),
        (S.APPROVED, False, True, Kind.OUTGOING),
        (S.APPROVED, False, False, None),
        (S.SENDING, True, False, Kind.STANDING),
        (S.SENDING, False, True, None),
        (S.BLOCKED, False, False, Kind.BLOCKED),
        (S.HELD, False, True, Kind.HELD),
        (S.REJECTED, False, False, Kind.REFUSED),
        (S.INVALID, False, False, Kind.INVALID),
        (S.UNKNOWN, False, False, Kind.CHECKED),
        (S.PROCESSING, False, True, None),
        (S.ACCEPTED, False, False, None),
        (S.WITHDRAWN, False, True, None),
        (S.REPLACED, False, True, None),
        (S.DRAFT, False, True, None),
    ],
)
def test_what_an_invoice_needs(state: InvoiceState, stands: bool, due: bool, kind: Kind | None):
    assert rules.kind_of(state, stands=stands, due=due) is kind


@pytest.mark.parametrize(
    ("now", "dated", "state", "due"),
    [
        (SECOND_BEFORE, "2026-11-24", S.WAITING, False),
        (AFTERNOON, "2026-11-24", S.WAITING, True),
        (AFTERNOON, "2026-11-24", S.APPROVED, True),
        (AFTERNOON, "2026-11-24", S.HELD, True),
        (AFTERNOON, "2026-11-24", S.REJECTED, True),
        (AFTERNOON, "2026-11-23", S.WAITING, False),
        (AFTERNOON, "", S.INVALID, False),
        (AFTERNOON, "2026-11-24", S.UNKNOWN, False),
        (AFTERNOON, "2026-11-24", S.ACCEPTED, False),
        (EVENING, "2026-11-24", S.APPROVED, True),
        (AFTER_MIDNIGHT, "2026-11-24", S.APPROVED, False),
        (AFTER_MIDNIGHT, "2026-11-25", S.APPROVED, False),
    ],
)
def test_what_is_dated_today_is_due_from_half_past_two_in_poland(now, dated: str, state: InvoiceState, due: bool):
    """F52: approved or not; the day is Poland's."""
    assert rules.is_due(dated, state, rules.due_day(now)) is due


def test_the_afternoon_counts_hours_and_the_evening_minutes():
    assert rules.before_midnight(AFTERNOON) == "z dzisiejszą datą, do północy 9 h"
    assert rules.before_midnight(EVENING) == "z dzisiejszą datą, zostało 45 min do północy"
    assert rules.before_midnight(EVENING + timedelta(minutes=44, seconds=59)).endswith("zostało 1 min do północy")


@pytest.mark.parametrize(
    ("state", "waits", "kind"),
    [
        (A.ACTIVE, 9, None),
        (A.RUNNING, 9, None),
        (A.ENDED, 9, None),
        (A.MISSING, 0, None),
        (A.MISSING, 1, Kind.ACCESS),
        (A.NO_PERMISSION, 0, None),
        (A.NO_PERMISSION, 1, Kind.ACCESS),
        (A.READ_ONLY, 1, Kind.ACCESS),
        (A.EXPIRED, 1, Kind.ACCESS),
        (A.BLOCKED, 1, Kind.ACCESS),
        (A.FAILED, 1, Kind.ACCESS),
        (A.TO_SIGN, 0, Kind.SIGN),
        (A.EXPIRING, 0, Kind.ENDS),
        (A.REQUESTED, 0, None),
        (A.REQUESTED, 1, Kind.ACCESS),
    ],
)
def test_what_an_authorisation_needs(state: AuthState, waits: int, kind: Kind | None):
    assert rules.access_kind(state, waits=waits, requested_at=None, visit=False, now=MORNING) is kind


@pytest.mark.parametrize(("days", "kind"), [(0, None), (2, None), (3, Kind.LETTER), (12, Kind.LETTER)])
def test_a_letter_may_take_three_days(days: int, kind: Kind | None):
    sent = MORNING - timedelta(days=days)
    assert rules.access_kind(A.REQUESTED, waits=0, requested_at=sent, visit=False, now=MORNING) is kind


def test_a_visit_that_stopped_half_way_is_to_be_finished():
    def kind(state: AuthState) -> Kind | None:
        return rules.access_kind(state, waits=0, requested_at=None, visit=True, now=MORNING)

    assert (kind(A.FAILED), kind(A.RUNNING), kind(A.TO_SIGN)) == (Kind.VISIT, None, Kind.SIGN)


def item(kind: Kind, name: str = "Alfa", *, due: bool = False, **more) -> Item:
    nothing = {"clients": (1,), "nip": "", "count": 1, "why": "", "actions": ()}
    return Item(key=f"{kind}:{name}:{due}", kind=kind, due=due, name=name, **nothing, **more)


def test_the_order_is_a_stopped_identity_then_what_is_due_then_the_kinds():
    calm = [item(kind) for kind in Kind]
    due = [item(kind, due=True) for kind in (Kind.HELD, Kind.OUTGOING, Kind.APPROVE)]
    found = rules.by_urgency([*reversed(calm), *due])
    assert found[0].kind is Kind.STOPPED
    assert [one.kind for one in found[1:4]] == [Kind.APPROVE, Kind.OUTGOING, Kind.HELD]
    assert [one.kind for one in found[4:]] == [rule.kind for rule in rules.RULES[1:]]


def test_of_one_kind_the_oldest_comes_first_then_the_name():
    older = item(Kind.CHECKED, "Żubr", since=MORNING - timedelta(hours=2))
    newer = item(Kind.CHECKED, "Alfa", since=MORNING)
    nameless = [replace(newer, name="beta"), replace(newer, name="Alfa")]
    assert [one.name for one in rules.by_urgency([*nameless, older])] == ["Żubr", "Alfa", "beta"]


def test_every_kind_has_one_rule_and_known_keys():
    assert [rule.kind for rule in rules.RULES] == list(dict.fromkeys(rule.kind for rule in rules.RULES))
    assert set(rules.BY_KIND) == set(Kind)
    for kind in Kind:
        for why in ("", "paused", "switching", "personal", "not_approved", "limit"):
            for method in ("certificate", "token", "external"):
                actions = rules.actions_of(kind, why=why, codes=("450",), method=method)
                assert kind is Kind.ACCESS or any(one in BY_ID for one in actions), kind
    assert all(rule.badge.ascii.isascii() for rule in rules.RULES)


@pytest.mark.parametrize(
    ("kind", "facts", "first"),
    [
        (Kind.APPROVE, {}, "invoice.approve"),
        (Kind.BLOCKED, {}, "invoice.release"),
        (Kind.HELD, {}, "invoice.release"),
        (Kind.OUTGOING, {}, "invoice.urge"),
        (Kind.STANDING, {"why": "paused"}, "sending.pause"),
        (Kind.STANDING, {"why": "not_approved"}, "invoice.recall"),
        (Kind.STANDING, {"why": "limit"}, "open"),
        (Kind.REFUSED, {"codes": ["500", "550"]}, "invoice.retry"),
        (Kind.REFUSED, {"codes": ["500", "450"]}, "invoice.repair"),
        (Kind.ENDS, {"method": "certificate"}, "profiles"),
        (Kind.ENDS, {"method": "token"}, "auth.switch"),
        (Kind.ENDS, {"method": "external"}, "auth.start"),
    ],
)
def test_the_key_that_mends_it(kind: Kind, facts: dict, first: str):
    assert rules.actions_of(kind, **facts)[0] == first


def test_reasons_and_ages_are_short():
    assert rules.reasons({"numer już w KSeF.": 3, "zły wzór": 1, "": 4}) == "numer już w KSeF (i 1 inny powód)"
    assert rules.reasons({"": 4}) == ""
    ago = (timedelta(seconds=59), timedelta(minutes=59), timedelta(hours=47), timedelta(days=5))
    said = [rules.age(MORNING - one, MORNING) for one in ago]
    assert said == ["0 min", "59 min", "47 h", "5 dni"]
    ends = [rules.left(MORNING + timedelta(**more), MORNING) for more in ({"hours": 8}, {"days": 1}, {"days": 5})]
    assert ends == ["dziś o 17:14", "jutro o 09:14", "29.11, za 5 dni"]


def test_sums_name_the_zloty_first_and_leave_out_nothing():
    money = Money.of({"EUR": 12_50, "PLN": 100_001, "USD": 0})
    assert [(currency, str(amount)) for currency, amount in money.sums] == [("PLN", "1000.01"), ("EUR", "12.5")]


def test_the_end_of_the_day_says_what_was_done():
    day = MORNING.date()
    said = rules.farewell(Done(day, 22, 21, 20), EVENING)
    assert said[:2] == (
        "Wszystko załatwione.",
        "Dziś: 22 wysłane faktury, przyjęte przez KSeF: 21, zapisane UPO: 20.",
    )
    friday = datetime(2026, 11, 27, 15, 0, tzinfo=UTC)
    assert rules.farewell(Done(friday.date()), friday)[1:] == (
        "Dziś nic jeszcze nie poszło do KSeF.",
        "Miłego weekendu!",
    )
