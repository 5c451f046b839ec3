"""The records of actions: keys that exist on every keyboard, reasons for what does nothing, one source for all lists."""

from __future__ import annotations

import itertools

import pytest

from ksef_tui.domain.actions import ACTIONS, BY_ID, FOOTERS, markdown_table
from ksef_tui.domain.authorizations import AuthState
from ksef_tui.domain.invoices import INVOICE_MOVES, InvoiceState
from ksef_tui.domain.roles import Role
from ksef_tui.domain.situations import ClientFacts, Danger, Pane, Situation
from ksef_tui.services.client_views import next_actions
from ksef_tui.tui.describe import footer
from ksef_tui.tui.present import width_of

CLIENT = ClientFacts(1, "Jodła Meble sp. z o.o.", AuthState.ACTIVE, waiting=2, moving=1)


def test_every_action_has_its_own_id_and_key() -> None:
    assert len(BY_ID) == len(ACTIONS)
    assert len({action.key for action in ACTIONS}) == len(ACTIONS)


def test_keys_are_those_that_every_terminal_sends() -> None:
    keys = {action.key for action in ACTIONS}
    assert not [key for key in keys if key.startswith("alt+")]
    assert not keys & {"ctrl+h", "ctrl+i", "ctrl+m"}
    letters = [key for key in keys if len(key) == 1 and key.isalpha()]
    assert all(letter.islower() for letter in letters)  # so no two keys differ by Shift alone


def test_the_table_for_the_readme_names_every_action() -> None:
    table = markdown_table()
    assert table.count("\n") == len(ACTIONS) + 2
    assert all(f"| {action.label} |" in table for action in ACTIONS)


def test_what_the_authorisation_pane_offers_is_an_action() -> None:
    for state in AuthState:
        for reason_code in ("", "415", "identity_stopped"):
            assert all(action_id in BY_ID for action_id in next_actions(state, reason_code, token=True))
        assert all(action_id in BY_ID for action_id in next_actions(state, "", switching=True))


@pytest.mark.parametrize("move", ["approve", "recall", "hold", "release", "withdraw", "retry"])
@pytest.mark.parametrize("state", list(InvoiceState))
def test_an_invoice_key_works_exactly_where_the_move_is_allowed(move: str, state: InvoiceState) -> None:
    situation = Situation(Role.ACCOUNTANT, Pane.QUEUE, CLIENT, {state: 1})
    why = BY_ID[f"invoice.{move}"].why_disabled(situation)
    assert (why is None) == (state in INVOICE_MOVES[move])
    assert why is None or why.endswith(".")


def test_invoice_keys_that_need_the_queue_say_so_on_a_client() -> None:
    on_client = Situation(Role.ACCOUNTANT, Pane.CLIENTS, CLIENT)
    assert BY_ID["invoice.approve"].why_disabled(on_client) is None
    assert BY_ID["invoice.withdraw"].why_disabled(on_client) == "Wybierz faktury w kolejce: naciśnij 2."


def test_a_check_of_a_request_that_waits_names_the_keys_that_go_on() -> None:
    waits = ClientFacts(1, "Jodła Meble sp. z o.o.", AuthState.TO_SIGN, waiting=0, moving=0)
    why = BY_ID["auth.check"].why_disabled(Situation(Role.ACCOUNTANT, Pane.CLIENTS, waits))
    assert why == "Żądanie czeka na podpis: f wczytuje podpisany plik, b przerywa."


def test_a_client_operator_may_not_start_or_revoke_an_authorisation() -> None:
    situation = Situation(Role.CLIENT, Pane.CLIENTS, CLIENT)
    for action_id in ("auth.start", "auth.revoke", "client.add", "profiles"):
        assert BY_ID[action_id].why_disabled(situation) == "Twoja rola nie pozwala na tę czynność."


def test_issuing_is_asked_and_where_identities_are_real_the_count_is_typed() -> None:
    approve = BY_ID["invoice.approve"]
    assert approve.grade(Situation(Role.ADMIN, Pane.QUEUE)) is Danger.ASK
    assert approve.grade(Situation(Role.ADMIN, Pane.QUEUE, real=True)) is Danger.TYPED


@pytest.mark.parametrize(("pane", "width"), itertools.product(Pane, (64, 80, 99, 110, 150, 240)))
def test_the_footer_fits_and_names_help(pane: Pane, width: int) -> None:
    situation = Situation(Role.ADMIN, pane, CLIENT, {InvoiceState.WAITING: 3}, marked=3, exercise=True)
    cells = footer(situation, width)
    assert 1 + sum(taken for taken, _ in cells) <= width + 2  # the last two are blanks
    assert all(width_of(line) <= taken - 2 for taken, line in cells)
    assert any(line[0][0].startswith("F1") for _, line in cells)
    if width < 100:
        assert len(cells) <= 6


@pytest.mark.parametrize(("pane", "width"), itertools.product(Pane, (80, 120)))
def test_the_keys_of_the_footer_stay_in_their_places_wherever_the_cursor_stands(pane: Pane, width: int) -> None:
    other = ClientFacts(2, "Bardzo Długa Nazwa Spółki Handlowej s.c.", AuthState.MISSING, waiting=0, moving=0)
    here = footer(Situation(Role.ADMIN, pane, CLIENT, {InvoiceState.WAITING: 1}), width)
    there = footer(Situation(Role.ADMIN, pane, other, {InvoiceState.ACCEPTED: 1}), width)
    assert [taken for taken, _ in here] == [taken for taken, _ in there]


def test_the_footer_names_the_scope_and_a_key_that_does_nothing_is_grey() -> None:
    on_client = footer(Situation(Role.ADMIN, Pane.CLIENTS, CLIENT), 80)
    assert (("z", "key"), (" Zatwierdź 2 · Jodła Me…", "text")) in [line for _, line in on_client]
    accepted = footer(Situation(Role.ADMIN, Pane.QUEUE, CLIENT, {InvoiceState.ACCEPTED: 1}), 80)
    assert (("z Zatwierdź", "quiet"),) in [line for _, line in accepted]


def test_every_footer_names_known_actions() -> None:
    assert all(action_id in BY_ID for footers in FOOTERS.values() for action_id in footers)
