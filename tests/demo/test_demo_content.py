"""What the exercise shows: every state, by what really happened."""

from __future__ import annotations

import random
from datetime import UTC, datetime

import pytest

from ksef_tui.demo import cast, papers
from ksef_tui.demo.cast import Part
from ksef_tui.domain.authorizations import AuthMethod, AuthState
from ksef_tui.domain.invoices import InvoiceState, UpoState
from ksef_tui.domain.nip import parse_nip
from ksef_tui.domain.roles import Operator
from ksef_tui.fa3.check import check
from ksef_tui.services import client_views, external, invoice_views
from ksef_tui.services.office import Office, operator_named
from ksef_tui.services.views import ClientRow, QueueFilter, QueueRow
from ksef_tui.store import limits

# Nothing makes drafts; `sending` lasts as long as a call and is seen while the exercise runs.
NOT_STANDING = {InvoiceState.DRAFT, InvoiceState.SENDING}


@pytest.fixture
def anna(office: Office) -> Operator:
    return operator_named(office, "anna")


@pytest.fixture
def clients(office: Office, anna: Operator) -> list[ClientRow]:
    ids = client_views.client_ids(office, anna)
    return list(client_views.client_rows(office, anna, ids).values())


@pytest.fixture
def queue(office: Office, anna: Operator) -> list[QueueRow]:
    ids = invoice_views.queue_ids(office, anna, QueueFilter())
    return list(invoice_views.queue_rows(office, anna, ids).values())


class TestClients:
    def test_every_state_of_an_authorisation(self, clients: list[ClientRow]) -> None:
        assert {row.status for row in clients} == set(AuthState)

    @pytest.mark.parametrize(
        "word",
        [
            "gotowy W P D",
            "gotowy W P",
            "gotowy W",
            "klient nie nadał",
            "klient odebrał",
            "cert. do",
            "token do",
            "cert. wygasł",
            "uprawnienia odebrane",
            "do podpisu",
            "czeka na klienta (pismo",
        ],
    )
    def test_the_faces_of_a_state(self, clients: list[ClientRow], word: str) -> None:
        assert any(row.word == word or row.word.startswith(f"{word} ") for row in clients)

    def test_what_failed_says_that_ksef_did_not_answer(self, clients: list[ClientRow]) -> None:
        assert [row.word for row in clients if row.status is AuthState.FAILED] == ["KSeF nie odpowiada"]

    def test_the_office_is_a_client_too(self, clients: list[ClientRow]) -> None:
        assert [row.status for row in clients if row.office] == [AuthState.ACTIVE]

    def test_a_request_to_sign_is_a_real_one(self, office: Office, anna: Operator, clients: list[ClientRow]) -> None:
        [row] = [row for row in clients if row.status is AuthState.TO_SIGN]
        assert b"<Challenge>" in external.request(office, anna, row.id).document
        visit = client_views.authorization(office, anna, row.id).visit
        assert visit is not None, "the client sits at the desk: a visit is shown too"

    def test_an_owner_signed_elsewhere(self, office: Office, anna: Operator, clients: list[ClientRow]) -> None:
        ways = [client_views.authorization(office, anna, row.id).method for row in clients]
        assert ways.count(AuthMethod.EXTERNAL) == 2  # one works, one waits

    def test_each_flow_has_a_sentence(self, office: Office, anna: Operator, clients: list[ClientRow]) -> None:
        for row in clients:
            assert client_views.authorization(office, anna, row.id).sentence, row.name

    def test_the_first_twelve_show_every_state(self) -> None:
        states = {
            Part.READY: AuthState.ACTIVE, Part.ENDING: AuthState.EXPIRING, Part.WITHDRAWN: AuthState.NO_PERMISSION,
            Part.READS: AuthState.READ_ONLY, Part.EXPIRED: AuthState.EXPIRED, Part.SILENT: AuthState.FAILED,
            Part.CONNECTING: AuthState.RUNNING, Part.BLOCKED: AuthState.BLOCKED, Part.NEW: AuthState.MISSING,
            Part.LETTER: AuthState.REQUESTED, Part.TO_SIGN: AuthState.TO_SIGN, Part.LEFT: AuthState.ENDED,
        }  # fmt: skip
        assert {states[member.part] for member in cast.cast(12)} == set(AuthState)

    def test_the_cast_has_right_and_different_nips(self) -> None:
        nips = [member.nip for member in [*cast.cast(300), cast.office()]]
        assert [parse_nip(nip) for nip in nips] == nips
        assert len(set(nips)) == len(nips)


class TestInvoices:
    def test_every_state_that_stands(self, queue: list[QueueRow]) -> None:
        assert {row.state for row in queue} == set(InvoiceState) - NOT_STANDING

    def test_every_state_of_a_receipt(self, queue: list[QueueRow]) -> None:
        found = {row.upo for row in queue if row.state is InvoiceState.ACCEPTED}
        assert found >= {UpoState.SAVED, UpoState.LATE, UpoState.UNAVAILABLE}

    @pytest.mark.parametrize(
        ("state", "codes"),
        [
            (InvoiceState.INVALID, {"bad_nip", "missing_field", "other_seller"}),
            (InvoiceState.BLOCKED, {"own_duplicate"}),
            (InvoiceState.REJECTED, {"430", "440"}),
            (InvoiceState.UNKNOWN, {"no_answer", "440"}),
        ],
    )
    def test_the_reasons_of_a_state(self, queue: list[QueueRow], state: InvoiceState, codes: set[str]) -> None:
        assert {row.reason_code for row in queue if row.state is state} == codes

    def test_approved_ones_count_down_or_stand(self, queue: list[QueueRow]) -> None:
        hints = {row.hint for row in queue if row.state is InvoiceState.APPROVED}
        assert any("autoryzacj" in hint for hint in hints)
        assert any(row.send_after is not None for row in queue if row.state is InvoiceState.APPROVED)

    def test_accepted_ones_have_numbers_of_their_seller(self, queue: list[QueueRow]) -> None:
        accepted = [row for row in queue if row.state is InvoiceState.ACCEPTED]
        assert all(row.ksef_number.startswith(f"{row.nip}-") for row in accepted)
        assert {row.mode for row in accepted} == {"online", "offline"}

    def test_no_mistake_of_the_program_was_met(self, office: Office) -> None:
        assert office.db.rows("SELECT detail FROM audit WHERE act = 'program.fault'") == []

    def test_who_sends_knows_the_limits_of_production(self, office: Office) -> None:
        """The filling itself works without limits; nothing of that stays."""
        senders = [member.nip for member in [*cast.cast(17), cast.office()] if member.part in cast.SENDERS]
        assert {limits.of_context(office.db, nip)["invoiceSend"] for nip in senders} == {(10, 30, 180)}


class TestPapers:
    def test_the_same_seed_writes_the_same(self) -> None:
        now, member = datetime(2026, 11, 24, 9, tzinfo=UTC), cast.cast(1)[0]
        first, second = papers.Desk(5), papers.Desk(5)
        assert [first.ordinary(member, now.date(), now) for _ in range(20)] == [
            second.ordinary(member, now.date(), now) for _ in range(20)
        ]

    def test_all_that_is_ordinary_is_right(self) -> None:
        """Of every trade: no errors, no warnings, and among them corrections and euro."""
        now, desk, kinds, currencies = datetime.now(UTC), papers.Desk(random.randrange(1000)), set(), set()
        for member in [*cast.cast(17), cast.office()]:
            for _ in range(40):
                made = desk.ordinary(member, now.date(), now)
                checked = check(made.data, today=now.date(), client_nip=member.nip)
                assert (checked.errors, checked.warnings) == ((), ()), made.name
                assert checked.facts is not None
                kinds.add(checked.facts.kind)
                currencies.add(checked.facts.currency)
        assert (kinds, currencies) == ({"VAT", "KOR"}, {"PLN", "EUR"})
