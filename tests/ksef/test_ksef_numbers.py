import base64
from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ksef_tui.ksef.numbers import crc8, parse_ksef_number
from ksef_tui.ksef.qr import invoice_link

# facts §14: the register after each character of the worked example
WORKED = "5265877635-20250826-0100001AF629"
REGISTERS = bytes.fromhex("8B2670DCB29272DB9660E42C5435009051 2E483C246B860BA1FE63EE513200AF")


def test_crc_runs_through_the_worked_example_register_by_register() -> None:
    assert bytes.fromhex("".join(crc8(WORKED[: n + 1]) for n in range(len(WORKED)))) == REGISTERS


def test_crc_has_the_standard_check_value() -> None:
    assert crc8("123456789") == "F4"


@pytest.mark.parametrize(
    "number",
    [
        "5265877635-20250826-0100001AF629-AF",
        "5265877635-20250626-010080DD2B5E-26",
        "5555555555-20250828-010080615740-E4",
        "5265877635-20250916-0100C002FF3E-D5",
    ],
)
def test_numbers_of_the_documentation_are_right(number: str) -> None:
    parsed = parse_ksef_number(number)
    assert parsed is not None
    assert (parsed.nip, parsed.check) == (number[:10], number[-2:])
    assert parsed.day == date.fromisoformat(number[11:19])


def test_a_collective_identifier_has_the_same_check_sum() -> None:
    number = "1111111111-IZ202607-65ED02180000-E7"
    assert crc8(number[:32]) == number[-2:]
    assert parse_ksef_number(number) is None


@given(st.integers(0, 31), st.sampled_from("0123456789ABCDEF"))
def test_one_wrong_character_is_noticed(place: int, character: str) -> None:
    number = WORKED + "-AF"
    if number[place] in (character, "-"):
        return
    assert parse_ksef_number(number[:place] + character + number[place + 1 :]) is None


@pytest.mark.parametrize(
    "text",
    [
        "",
        "5265877635",
        WORKED,
        WORKED + "-af",
        WORKED + "-AE",
        " " + WORKED + "-AF",
        "5265877635-20251301-0100001AF629-00",
    ],
)
def test_what_is_no_number_is_refused(text: str) -> None:
    assert parse_ksef_number(text) is None


def test_a_number_of_ksef_1_need_not_have_the_check_sum() -> None:
    parsed = parse_ksef_number("5265877635-20230916-01C002-FF3E00-00")
    assert parsed is not None and parsed.technical == "01C002-FF3E00"


def test_the_link_in_the_qr_code_is_that_of_the_documentation() -> None:
    digest = "UtQp9Gpc51y-u3xApZjIjgkpZ01js-J8KflSPW8WzIE"
    link = invoice_link(
        "https://qr-test.ksef.mf.gov.pl", "1111111111", date(2026, 2, 1), base64.urlsafe_b64decode(digest + "=")
    )
    assert link == f"https://qr-test.ksef.mf.gov.pl/invoice/1111111111/01-02-2026/{digest}"
