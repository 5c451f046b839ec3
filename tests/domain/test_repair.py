"""The tables of repair: which way mends which code, which file may take an invoice's place, in what documents differ."""

from __future__ import annotations

from dataclasses import replace

import pytest

from ksef_tui.domain.invoices import INVOICE_MOVES, InvoiceState
from ksef_tui.domain.repair import (
    BEST_WAYS,
    MEANINGS,
    SWAP_RULES,
    WAYS,
    Broken,
    Difference,
    Document,
    Swap,
    Way,
    differences,
    menu,
    why_no_swap,
)
from ksef_tui.services.repair_views import meaning

S = InvoiceState
OPEN = """
invalid   bad_xml        replace withdraw
rejected  405            retry replace settle withdraw
rejected  410            retry replace settle withdraw
rejected  415            replace settle withdraw
rejected  430            replace settle withdraw
rejected  435            retry replace settle withdraw
rejected  440            compare replace settle withdraw
rejected  450            replace settle withdraw
rejected  500            retry replace settle withdraw
rejected  550            retry replace settle withdraw
rejected  999            replace settle withdraw
blocked   own_duplicate  release withdraw
blocked   future_date    release withdraw
blocked   ended          release withdraw
waiting   -              withdraw
accepted  -
unknown   retry
"""
ROWS = [line.split() for line in OPEN.strip().splitlines()]


@pytest.mark.parametrize("row", ROWS, ids=lambda row: "-".join(row[:2]))
def test_the_open_ways_of_each_code(row: list[str]) -> None:
    state, code, *ways = row
    offered = menu(Broken(S(state), code))
    assert {rule.way.value for rule, why_not in offered if why_not is None} == set(ways)
    assert len(offered) == len(WAYS), "what is shut stays in the menu and says why"


@pytest.mark.parametrize("code", BEST_WAYS)
def test_the_best_way_of_a_code_comes_first_and_can_be_gone(code: str) -> None:
    state = S.REJECTED if code.isdigit() else S.BLOCKED
    first, why_not = menu(Broken(state, code))[0]
    assert why_not is None
    assert first.way is BEST_WAYS[code][0]


def test_a_way_is_shut_while_its_reason_lasts() -> None:
    def shut(way: Way, broken: Broken) -> str:
        return next(why_not or "" for rule, why_not in menu(broken) if rule.way is way)

    assert "FV/1" in shut(Way.RELEASE, Broken(S.BLOCKED, "own_duplicate", holder="FV/1 z 1.11"))
    assert shut(Way.SETTLE, Broken(S.REJECTED, "440", settled=True)) == "już rozstrzygnięta"
    assert shut(Way.RETRY, Broken(S.REJECTED, "550", no_retry="połącz klienta")) == "połącz klienta"


@pytest.mark.parametrize("code", [405, 410, 415, 430, 435, 440, 450, 500, 550, 777])
def test_every_refusal_has_a_meaning_and_an_advice(code: int) -> None:
    found = meaning(S.REJECTED, str(code))
    assert found is not None
    assert found.sentence.endswith(".")
    assert found.what_to_do.endswith(".")


@pytest.mark.parametrize("code", [*(c for c in MEANINGS if c != "settled"), "never_heard_of"])
def test_every_guard_has_a_meaning_and_an_advice(code: str) -> None:
    found = meaning(S.BLOCKED, code)
    assert found is not None
    assert found.what_to_do.endswith(".")


GOOD = Swap(S.REJECTED, "450", "FV/1", "FV  1".replace("  ", "/"))
TAKEN = replace(GOOD, reason_code="440", new_number="FV/2")


@pytest.mark.parametrize(
    ("swap", "code"),
    [
        (GOOD, ""),
        (replace(GOOD, state=S.INVALID, reason_code="bad_xml", number=""), ""),
        (TAKEN, ""),
        (replace(TAKEN, new_number=" FV/1 "), "number_taken"),
        (replace(GOOD, new_number="FV/2"), "number_differs"),
        (replace(GOOD, new_number="FV/2", number_may_differ=True), ""),
        (replace(GOOD, number="FV  1", new_number="FV 1"), ""),
        (replace(GOOD, same_bytes=True), "same_bytes"),
        (replace(GOOD, known_as="FV/9"), "known_bytes"),
        (replace(GOOD, errors=("zły NIP",)), "invalid_file"),
        (replace(GOOD, stopped="numer ma już inna"), "stopped"),
        *((replace(GOOD, state=s), "not_replaceable") for s in S if s not in INVOICE_MOVES["replace"]),
    ],
)
def test_which_file_may_take_an_invoices_place(swap: Swap, code: str) -> None:
    rule = why_no_swap(swap)
    assert (rule.code if rule is not None else "") == code
    assert rule is None or rule.says(swap).endswith(".") or code == "invalid_file"


def test_only_another_number_is_a_question() -> None:
    assert [rule.code for rule in SWAP_RULES if rule.asked] == ["number_differs"]


OURS = Document("FV/1", "VAT", "2026-11-24", "1111111111", "Dąb", "123.00", "PLN", ("Usługa: 100",))


def test_documents_are_compared_by_meaning_field_by_field() -> None:
    assert differences(OURS, replace(OURS, gross="123.0", kind="Vat", number=" FV/1", items=None)) == []
    found = differences(OURS, replace(OURS, gross="99", buyer_nip="", items=("Usługa: 80", "Dojazd: 1")))
    assert found == [
        Difference("NIP nabywcy", "1111111111", "–"),
        Difference("brutto", "123.00", "99"),
        Difference("liczba pozycji", "1", "2"),
        Difference("pozycja 1", "Usługa: 100", "Usługa: 80"),
    ]
