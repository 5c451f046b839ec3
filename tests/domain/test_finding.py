"""Words that find invoices: what each means, and that any text means something."""

from __future__ import annotations

from datetime import date, timedelta
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ksef_tui.domain.finding import MONTH_NAMES, OTHER_WORDS, STATE_WORDS, Query, parse
from ksef_tui.domain.invoices import INVOICE_BADGES, InvoiceState, UpoState
from ksef_tui.domain.text import fold

S = InvoiceState
TODAY = date(2026, 11, 24)  # a Tuesday


def day(text: str) -> dict[str, object]:
    since, _, until = text.partition("/")
    return {"since": date.fromisoformat(since), "until": date.fromisoformat(until or since)}


CASES: dict[str, Query] = {
    "": Query(),
    "jodła odrzucone wczoraj >1000": Query(
        texts=("jodla",), states=(S.REJECTED,), over=Decimal(1000), **day("2026-11-23")
    ),
    "dziś": Query(**day("2026-11-24")),
    "DZISIAJ": Query(**day("2026-11-24")),
    "przedwczoraj": Query(**day("2026-11-22")),
    "tydzień": Query(**day("2026-11-23/2026-11-24")),
    "listopad": Query(**day("2026-11-01/2026-11-30")),
    "grudnia": Query(**day("2025-12-01/2025-12-31")),
    "luty 2024": Query(**day("2024-02-01/2024-02-29")),
    "zeszły miesiąc": Query(**day("2026-10-01/2026-10-31")),
    "11.2025": Query(**day("2025-11-01/2025-11-30")),
    "2025-11": Query(**day("2025-11-01/2025-11-30")),
    "12.11": Query(**day("2026-11-12")),
    "25.11": Query(**day("2025-11-25")),
    "29.02": Query(**day("2024-02-29")),
    "12.11.2024": Query(**day("2024-11-12")),
    "2026-11-12": Query(**day("2026-11-12")),
    "12.11-15.11": Query(**day("2026-11-12/2026-11-15")),
    "12-15.11": Query(**day("2026-11-12/2026-11-15")),
    "20.12-05.01": Query(**day("2025-12-20/2026-01-05")),
    "12.11.2024-15.11.2024": Query(**day("2024-11-12/2024-11-15")),
    ">5000": Query(over=Decimal(5000)),
    "> 5000": Query(over=Decimal(5000)),
    ">=100,50": Query(low=Decimal("100.50")),
    "<20zł": Query(under=Decimal(20)),
    "<=20": Query(high=Decimal(20)),
    "100-200": Query(low=Decimal(100), high=Decimal(200)),
    "200-100": Query(low=Decimal(100), high=Decimal(200)),
    "1230,00": Query(low=Decimal(1230), high=Decimal(1230)),
    "=1230": Query(low=Decimal(1230), high=Decimal(1230)),
    "1230zł": Query(low=Decimal(1230), high=Decimal(1230)),
    "1230": Query(texts=("1230",)),  # a number of an invoice as well
    "upo": Query(upo=(UpoState.SAVED,)),
    "bez upo": Query(upo=(UpoState.NONE, UpoState.LATE, UpoState.UNAVAILABLE)),
    "bez": Query(texts=("bez",)),
    "pilne": Query(urgent=True),
    "offline": Query(mode="offline"),
    "paczka": Query(channel="batch"),
    "korekty jodła": Query(corrections=True, texts=("jodla",)),
    "do wysłania": Query(states=(S.APPROVED,)),
    "odrzucone zablokowane": Query(states=(S.REJECTED, S.BLOCKED)),
    "w drodze": Query(states=(S.SENDING, S.UNKNOWN, S.PROCESSING)),
    '"dziś': Query(texts=("dzis",)),
    "„odrzucone”": Query(texts=("odrzucone",)),
    "31.02": Query(texts=("31.02",)),
    "99.99": Query(texts=("99.99",)),
    "FV/12/2026": Query(texts=("fv/12/2026",)),
    "5265877635": Query(texts=("5265877635",)),
}


@pytest.mark.parametrize("text", CASES)
def test_words_mean_what_an_accountant_means(text: str):
    assert parse(text, TODAY) == CASES[text]


def test_it_is_said_how_the_words_were_understood():
    said = parse("jodła odrzucone wczoraj >1000 bez upo listopad 12-15.11", TODAY).said
    assert said == (
        "„jodła”",
        "odrzucona",
        "z 23.11.2026",
        "powyżej 1\u00a0000,00 zł",
        "przyjęte bez UPO",
        "listopad 2026",
        "od 12.11.2026 do 15.11.2026",
    )


def test_every_state_that_a_row_can_show_is_found_by_its_own_label():
    for state, badge in INVOICE_BADGES.items():
        if state not in (S.DRAFT, S.WITHDRAWN):  # nobody drafts here; "nie wysłano (cofnięta)" is found by its bracket
            assert parse(badge.label, TODAY).states == (state,), badge.label
    assert parse("cofnięta", TODAY).states == (S.WITHDRAWN,)


@given(st.text(max_size=60), st.dates(date(2026, 1, 1), date(2030, 12, 31)))
def test_any_text_means_something_and_each_word_is_told(text: str, today: date):
    query = parse(text, today)
    words = [word for word in fold(text).split() if word.strip('"„”')]
    assert bool(words) == bool(query.said)
    assert len(query.said) <= len(words)
    assert query.since is None or (query.until is not None and query.since <= query.until)
    assert query.low is None or query.high is None or query.low <= query.high


PARTS = st.lists(st.sampled_from([*STATE_WORDS, *OTHER_WORDS, ">7", "dzis", "12.11", "jodla"]), max_size=5)


@given(PARTS, PARTS)
def test_what_more_words_say_is_added(one: list[str], two: list[str]):
    first, second = parse(" ".join(one), TODAY), parse(" ".join(two), TODAY)
    both = parse(" . ".join([" ".join(one), " ".join(two)]), TODAY)  # a word between, so that no phrase comes about
    assert set(both.states) == {*first.states, *second.states}
    assert both.texts == (*first.texts, ".", *second.texts)
    assert both.said == (*first.said, "„.”", *second.said)
    assert both.urgent == (first.urgent or second.urgent)


@given(st.dates(date(2001, 1, 1), date(2025, 12, 31)), st.integers(0, 40))
def test_days_written_in_full_are_those_days(since: date, more: int):
    until = since + timedelta(days=more)
    found = parse(f"{since:%d.%m.%Y}-{until:%d.%m.%Y}", TODAY)
    assert (found.since, found.until) == (since, until)
    assert parse(since.isoformat(), TODAY).since == since


@given(st.dates(date(2026, 1, 1), date(2030, 12, 31)), st.dates(date(2026, 1, 1), date(2026, 12, 31)))
def test_a_day_without_its_year_is_the_last_that_has_come(today: date, written: date):
    found = parse(f"{written:%d.%m}", today).since
    assert found is not None
    assert (found.day, found.month) == (written.day, written.month)
    assert timedelta(0) <= today - found < timedelta(days=366)


@given(st.sampled_from(MONTH_NAMES), st.dates(date(2026, 1, 1), date(2030, 12, 31)))
def test_a_month_is_the_last_that_has_begun_and_whole(name: str, today: date):
    found = parse(name, today)
    assert found.since is not None
    assert found.until is not None
    assert found.since <= today
    assert found.since.day == 1
    assert (found.until + timedelta(days=1)).day == 1
    assert MONTH_NAMES[found.since.month - 1] == name
