"""Why an invoice stands: one case for each reason of the table, and what comes before what."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from ksef_tui.domain.authorizations import AuthState
from ksef_tui.domain.invoices import InvoiceState
from ksef_tui.domain.standing import RULES, ClientFacts, Closed, Facts, Pause, why

NOW = datetime(2026, 11, 24, 13, 0, tzinfo=UTC)  # 14:00 in Warsaw
SOON = NOW + timedelta(minutes=32)
READY = ClientFacts(auth=AuthState.ACTIVE)
APPROVED = Facts(InvoiceState.APPROVED, NOW, NOW, READY, approved_by=1)
SENDING = Facts(InvoiceState.SENDING, NOW, NOW, READY, approved_by=1, session="interactive open")
PAUSE = Pause("anna", NOW - timedelta(hours=2), "urlop", everything=False)
LIMIT = Closed("limit 180/h wyczerpany", SOON)
BROKEN = Closed("brak połączenia z KSeF", SOON)


def approved(**client: object) -> Facts:
    return replace(APPROVED, client=replace(READY, **client))


def sending(**client: object) -> Facts:
    return replace(SENDING, client=replace(READY, **client))


# In the order of the table: what is so, which reason, what it says.
CASES: list[tuple[Facts, str, str]] = [
    (approved(pause=PAUSE), "paused", "wstrzymane przez ANNA 12:00: urlop"),
    (replace(APPROVED, send_after=SOON), "recall", "wyjdzie o 14:32:00, do tego czasu c cofa"),
    (approved(switching=True), "switching", "klient zmienia się na profil biura: wyśle, gdy przyjdzie to, co w drodze"),
    (
        approved(personal_to=2),
        "personal",
        "klient ma certyfikat osobisty – wyśle tylko to, co zatwierdzi jego właściciel",
    ),
    (approved(auth=AuthState.RUNNING), "connecting", "łączenie z KSeF"),
    (
        approved(auth=AuthState.FAILED, auth_reason="Certyfikat odwołano."),
        "no_access",
        "autoryzacja nieudana: Certyfikat odwołano.",
    ),
    (
        replace(APPROVED, approved_by=None),
        "not_approved",
        "nie wiadomo, kto ją zatwierdził – cofnij ją (c) i zatwierdź",
    ),
    (approved(reconciling=True), "reconciling", "po odtworzeniu kopii sprawdzam w KSeF, co już wysłano"),
    (approved(sends=False), "nobody_sends", "nikt nie wysyła – uruchom program albo ksef-tui worker"),
    (approved(rest=BROKEN), "rest", "przerwa po błędzie do 14:32:00: brak połączenia z KSeF"),
    (approved(serving="other"), "other_process", "inny proces pracuje dla tego klienta – po nim"),
    (approved(single=LIMIT), "limit", "limit 180/h wyczerpany, następna 14:32:00"),
    (approved(urgent=2), "urgent_first", "najpierw pilne: 2"),
    (approved(serving="worker"), "served", "kolejka klienta właśnie się wysyła"),
    (approved(others_first=8), "others_first", "kolej innych klientów (naraz 8)"),
    (APPROVED, "turn", "czeka na swoją kolej"),
    (sending(auth=AuthState.NO_PERMISSION), "no_access", "brak uprawnień w KSeF"),
    (sending(sends=False), "nobody_sends", "nikt nie wysyła – uruchom program albo ksef-tui worker"),
    (sending(rest=BROKEN), "rest", "przerwa po błędzie do 14:32:00: brak połączenia z KSeF"),
    (
        replace(sending(packages=replace(LIMIT, what="limit paczek 60/h wyczerpany")), session="batch closing"),
        "limit",
        "limit paczek 60/h wyczerpany, następna 14:32:00",
    ),
    (
        replace(SENDING, changed_at=NOW - timedelta(minutes=2)),
        "interrupted",
        "przerwana w trakcie – program sprawdzi, czy doszła",
    ),
    (replace(SENDING, session="batch open"), "package", "przesyłanie paczki"),
]


@pytest.mark.parametrize(("facts", "code", "text"), CASES, ids=[f"{f.state} {code}" for f, code, _ in CASES])
def test_each_reason_is_said(facts: Facts, code: str, text: str):
    said = why(facts)
    assert said is not None
    assert (said.code, said.text) == (code, text)
    assert len(said.brief) <= 10, "the state's column of an 80 column terminal"
    assert (said.until == SOON) == (text.find("14:32") >= 0)


def test_every_reason_of_the_table_has_a_case():
    assert [(rule.state, rule.code) for rule in RULES] == [(facts.state, code) for facts, code, _ in CASES]


@pytest.mark.parametrize("place", range(len(CASES)))
def test_the_first_reason_that_applies_speaks(place: int):
    """All that comes later in the table, at once, changes nothing."""
    facts, code, _ = CASES[place]
    for later, _, _ in reversed(CASES[place + 1 :]):
        if later.state is facts.state:
            facts = replace(_over(later, facts), state=facts.state)
    said = why(facts)
    assert said is not None
    assert said.code == code


def _over(below: Facts, above: Facts) -> Facts:
    """What is so in either; where both say something, what is so above."""

    def merged(plain: object, one: object, other: object) -> dict[str, object]:
        names = type(plain).__slots__  # type: ignore[attr-defined]
        return {
            name: getattr(other if getattr(other, name) != getattr(plain, name) else one, name)
            for name in names
            if name not in ("client", "session")
        }

    base = APPROVED if above.state is InvoiceState.APPROVED else SENDING
    return replace(
        below,
        **merged(base, below, above),
        client=ClientFacts(**merged(READY, below.client, above.client)),
        session=above.session,
    )


def test_what_moves_says_nothing():
    assert why(SENDING) is None
    assert all(
        why(replace(APPROVED, state=state)) is None
        for state in InvoiceState
        if state not in (InvoiceState.APPROVED, InvoiceState.SENDING)
    )


def test_an_attachment_waits_for_packages_and_the_rest_does_not():
    closed = approved(packages=Closed("KSeF odrzucił ostatnią paczkę", SOON))
    assert why(closed).code == "turn"  # type: ignore[union-attr]
    assert why(replace(closed, attachment=True)).code == "limit"  # type: ignore[union-attr]
    assert why(replace(approved(single=LIMIT), attachment=True)).code == "turn"  # type: ignore[union-attr]


def test_a_pause_of_another_day_names_the_day():
    assert Pause("jan", NOW - timedelta(days=3), "", everything=True).said(NOW) == "wstrzymane przez JAN 21.11 14:00"
