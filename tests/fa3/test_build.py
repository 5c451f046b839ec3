"""Whatever is built is valid, adds up to the grosz, and says what it was told."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, datetime
from decimal import ROUND_HALF_UP, Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ksef_tui.domain.problems import Problem
from ksef_tui.fa3.build import RATES, Corrected, Item, Party, Sale, build, totals
from ksef_tui.fa3.check import check
from ksef_tui.fa3.read import lines

FIRST, LAST = datetime(2025, 9, 2), datetime(2049, 1, 1)  # noqa: DTZ001  (the strategy adds the zone)
WEIGHTS = (6, 5, 7, 2, 3, 4, 5, 6, 7)


def with_check_digit(nine: str) -> str | None:
    digit = sum(weight * int(figure) for weight, figure in zip(WEIGHTS, nine, strict=True)) % 11
    return None if digit == 10 else nine + str(digit)


nips = st.from_regex(r"[1-9](\d[1-9]|[1-9]\d)\d{6}", fullmatch=True, alphabet="0123456789")
nips = nips.map(with_check_digit).filter(bool)

# Text that the schema takes: something visible, no white space to collapse, no characters that warn.
words = st.text(st.characters(categories=["L", "N", "P", "S"]), min_size=1, max_size=40)
parties = st.builds(Party, nip=nips, name=words, street=words, city=words | st.just(""))
items = st.builds(
    Item,
    name=words,
    quantity=st.decimals(Decimal("0.001"), Decimal(10_000), places=3),
    price=st.decimals(Decimal(0), Decimal(100_000), places=4),
    rate=st.sampled_from(sorted(RATES)),
)
corrections = st.builds(Corrected, number=words, issue_date=st.dates(date(2006, 1, 1), date(2026, 1, 1)), reason=words)
sales = st.builds(
    Sale,
    seller=parties,
    buyer=parties,
    number=words,
    issue_date=st.just(date(2026, 11, 24)),
    created_at=st.datetimes(FIRST, LAST, timezones=st.timezones()),
    items=st.lists(items, min_size=1, max_size=6).map(tuple),
    due=st.none() | st.dates(date(2026, 1, 1), date(2030, 1, 1)),
    account=st.sampled_from(["", "12345678901234567890123456"]),
    corrected=st.none() | corrections,
)


@given(sales)
@settings(max_examples=150, deadline=None)
def test_whatever_is_built_passes_the_check_without_a_word(sale: Sale) -> None:
    if sale.corrected is not None:
        sale = replace(sale, items=tuple(replace(item, quantity=-item.quantity) for item in sale.items))
    result = check(build(sale), today=sale.issue_date, client_nip=sale.seller.nip)
    assert (result.errors, result.warnings) == ((), ())
    assert result.facts is not None
    assert result.facts.gross == sum(totals(sale.items).values())
    assert (result.facts.number, result.facts.buyer_nip) == (sale.number, sale.buyer.nip)
    shown, more = lines(build(sale), 100)
    assert (more, [line.net for line in shown]) == (0, [item.net for item in sale.items])


@given(st.lists(items, min_size=1, max_size=8).map(tuple))
def test_vat_is_counted_once_for_each_rate_and_rounded_half_up(rows: tuple[Item, ...]) -> None:
    expected = Decimal(0)
    for rate, (_, _, percent) in RATES.items():
        net = sum((row.net for row in rows if row.rate == rate), Decimal(0))
        expected += net + (net * percent).quantize(Decimal("0.01"), ROUND_HALF_UP)
    assert sum(totals(rows).values()) == expected


@pytest.mark.parametrize(
    ("quantity", "price", "net", "vat"),
    [
        ("1", "0.02", "0.02", "0.00"),
        ("1", "0.03", "0.03", "0.01"),
        ("0.5", "0.01", "0.01", "0.00"),
        ("-0.5", "0.01", "-0.01", "0.00"),
        ("3", "33.335", "100.01", "23.00"),
        ("1", "1.5", "1.50", "0.35"),
        ("-1", "1.5", "-1.50", "-0.35"),
    ],
)
def test_half_a_grosz_goes_up(quantity: str, price: str, net: str, vat: str) -> None:
    found = totals((Item("x", Decimal(quantity), Decimal(price)),))
    assert (found["P_13_1"], found["P_14_1"]) == (Decimal(net), Decimal(vat))


def test_two_rates_that_share_a_field_are_added(sale: Sale, today: date) -> None:
    both = replace(sale, items=(Item("a", Decimal(1), Decimal(100)), Item("b", Decimal(1), Decimal(100), rate="22")))
    assert totals(both.items) == {"P_13_1": Decimal(200), "P_14_1": Decimal(45)}
    assert check(build(both), today=today, client_nip=None).warnings == ()


def test_amounts_are_never_written_with_an_exponent_or_a_minus_zero(sale: Sale) -> None:
    data = build(
        replace(sale, items=(Item("a", Decimal("1E+3"), Decimal("1E-7")), Item("b", Decimal(-1), Decimal("0.001"))))
    )
    assert b"E" not in data.partition(b"<FaWiersz>")[2].replace(b"NrWiersza", b"")
    assert b"-0.00<" not in data
    assert b"<P_8B>1000</P_8B><P_9A>0.0000001</P_9A>" in data


@pytest.mark.parametrize(
    "change",
    [
        {"items": ()},
        {"items": (Item("x", Decimal(1), Decimal(1), rate="99"),)},
        {"created_at": FIRST},
    ],
)
def test_what_cannot_be_an_invoice_is_refused(sale: Sale, change: dict[str, object]) -> None:
    with pytest.raises(Problem) as refused:
        build(replace(sale, **change))  # type: ignore[arg-type]
    assert refused.value.code == "bad_sale"
