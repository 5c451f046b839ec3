"""What of an employee's right works: the intersection of what the client gave the office and the office gave the person."""

from __future__ import annotations

from datetime import date

import pytest

from ksef_tui.domain.problems import Problem
from ksef_tui.domain.staff import READ, WRITE, Effect, Received, Subject, masked, parse_subject, working

BOTH, W, P, NO = frozenset({WRITE, READ}), frozenset({WRITE}), frozenset({READ}), frozenset[str]()
DAY = date(2026, 11, 12)


@pytest.mark.parametrize(
    ("given", "inactive", "received", "words"),
    [
        (BOTH, NO, Received(BOTH, BOTH), "W P"),
        (P, NO, Received(BOTH, BOTH), "P"),
        (BOTH, NO, Received(BOTH, P), "P (więcej klient nie przekazał)"),
        (BOTH, NO, Received(BOTH, NO), "nic: klient nie nadał prawa dalszego przekazywania"),
        (W, NO, Received(BOTH, P), "nic: klient nie nadał prawa dalszego przekazywania"),
        (BOTH, NO, Received(gone_on=DAY), "nic: klient odebrał 12.11"),
        (NO, BOTH, Received(gone_on=DAY), "nic: klient odebrał 12.11"),
        (BOTH, NO, Received(), "nic: klient nie nadał biuru uprawnień"),
        (W, NO, Received(P, P), "nic: klient przekazał inne uprawnienie niż biuro pracownikowi"),
        (NO, BOTH, Received(BOTH, BOTH), "nic: KSeF podaje uprawnienie jako nieaktywne"),
        (NO, NO, Received(BOTH, BOTH), "nic: biuro niczego nie nadało"),
    ],
)
def test_only_what_both_gave_works_and_the_rest_says_why(
    given: frozenset[str], inactive: frozenset[str], received: Received, words: str
) -> None:
    found = working(given, inactive, received)
    assert found.words == words
    assert found.scopes == given & received.delegable
    assert (found.effect in (Effect.WORKS, Effect.PARTLY)) == bool(found.scopes)


def test_a_number_is_read_as_people_type_it_and_shown_without_its_end() -> None:
    assert parse_subject("Pesel", " 440514-01359 ") == Subject("Pesel", "44051401359")
    assert parse_subject("Fingerprint", "ab:" * 31 + "ab").value == "AB" * 32
    assert masked("Pesel", "44051401359") == "PESEL 440514*****"
    assert "01359" not in repr(Subject("Pesel", "44051401359"))


@pytest.mark.parametrize("text", ["44051401358", "4405140135", "", "4405140135a"])
def test_a_wrong_pesel_is_refused_and_not_repeated(text: str) -> None:
    with pytest.raises(Problem) as caught:
        parse_subject("Pesel", text)
    assert not text or text not in caught.value.message
