"""A NIP as people type it: what is taken, and why the rest is not."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ksef_tui.domain.nip import has_right_check_digit, matches_ksef_pattern, parse_nip
from ksef_tui.domain.problems import Problem


@pytest.mark.parametrize(
    "typed",
    [
        "5265877635",
        "526-587-76-35",
        "526 587 76 35",
        " PL 5265877635 ",
        "pl5265877635",
        "PL-526-58-77-635",
        "526–587–76–35",
        "526\u00a0587\u00a076\u00a035",
        "526\t5877635\n",
    ],
)
def test_decoration_is_dropped(typed: str) -> None:
    assert parse_nip(typed) == "5265877635"


@pytest.mark.parametrize(
    ("typed", "word"),
    [
        ("", "puste pole"),
        ("   ", "puste pole"),
        ("526587763", "10 cyfr"),
        ("52658776355", "10 cyfr"),
        ("526587763X", "10 cyfr"),
        ("DE5265877635", "10 cyfr"),
        ("٥٢٦٥٨٧٧٦٣٥", "10 cyfr"),
        ("526587763\uff15", "10 cyfr"),
        ("0000000000", "nie istnieje"),
        ("0265877635", "nie istnieje"),
        ("5005877635", "nie istnieje"),
        ("5265877636", "cyfrę kontrolną"),
        ("2565877635", "cyfrę kontrolną"),
    ],
)
def test_a_refusal_says_why(typed: str, word: str) -> None:
    with pytest.raises(Problem) as refused:
        parse_nip(typed)
    assert refused.value.code == "bad_nip"
    assert word in refused.value.message


@given(st.from_regex(r"[1-9][0-9]{8}", fullmatch=True), st.integers(0, 9))
def test_the_check_digit_is_the_weighted_sum_modulo_eleven(nine: str, last: int) -> None:
    weighted = sum(weight * int(digit) for weight, digit in zip((6, 5, 7, 2, 3, 4, 5, 6, 7), nine, strict=True)) % 11
    assert has_right_check_digit(f"{nine}{last}") == (weighted == last)


@pytest.mark.parametrize(
    ("digits", "fits"),
    [
        ("1110000000", True),
        ("1010000000", True),
        ("1100000000", True),
        ("1000000000", False),
        ("0110000000", False),
        ("111000000", False),
        ("11100000000", False),
        ("1110000000\n", False),
    ],
)
def test_the_pattern_of_ksefs_schema(digits: str, fits: bool) -> None:
    assert matches_ksef_pattern(digits) is fits
