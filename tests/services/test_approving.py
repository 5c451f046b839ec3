"""What a person decides about invoices: approve, recall, hold, release, withdraw, retry – as tables (design §5)."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal

import pytest
from support import papers
from support.houses import Client, House

from ksef_tui.domain.invoices import InvoiceState
from ksef_tui.services import approving, pausing

S = InvoiceState
ACTS = {
    "approve": {S.WAITING: S.APPROVED},
    "recall": {S.APPROVED: S.WAITING},
    "hold": {S.WAITING: S.HELD, S.APPROVED: S.HELD},
    "release": {S.HELD: S.WAITING, S.BLOCKED: S.WAITING},
    "withdraw": dict.fromkeys((S.INVALID, S.WAITING, S.APPROVED, S.HELD, S.BLOCKED, S.REJECTED), S.WITHDRAWN),
    "retry": {S.REJECTED: S.UNKNOWN},
}


@pytest.fixture
def client(house: House) -> Client:
    return house.client()


def in_state(house: House, client: Client, state: InvoiceState, code: str = "") -> int:
    """An invoice in that state, however it got there; of a client where KSeF could be asked about a refused one."""
    if state is S.REJECTED:
        house.edit("UPDATE authorization SET state = 'active' WHERE client_id = ?", client.id)
    [invoice_id] = house.bring(client, papers.invoice(client.nip))
    house.edit("UPDATE invoice SET state = ?, reason_code = ? WHERE id = ?", state, code, invoice_id)
    return invoice_id


@pytest.mark.parametrize("act", ACTS)
def test_an_act_does_what_the_table_says_and_refuses_the_rest(house: House, client: Client, act: str):
    for state in InvoiceState:
        invoice_id = in_state(house, client, state, "550" if state is S.REJECTED else "")
        result = getattr(approving, act)(house.office, house.admin, [invoice_id])
        expected = ACTS[act].get(state)
        assert house.states([invoice_id]) == [expected or state]
        assert result.done == (expected is not None)
        events = house.db.value("SELECT count(*) FROM invoice_event WHERE invoice_id = ?", (invoice_id,))
        audited = house.db.value(
            "SELECT count(*) FROM audit WHERE invoice_id = ? AND act <> 'invoice.import'", (invoice_id,)
        )
        assert (events, audited) == ((2, 1) if expected else (1, 0))
        if expected is None:
            [(refused, why)] = result.refused
            assert refused == invoice_id
            assert why.endswith("więc tego nie można zrobić")


@pytest.mark.parametrize("code", [405, 410, 415, 430, 435, 440, 450, 500, 550])
def test_retry_only_where_another_try_can_help(house: House, client: Client, code: int):
    """Facts §10.2: 440 never, the file's own faults only with another file."""
    invoice_id = in_state(house, client, S.REJECTED, str(code))
    result = approving.retry(house.office, house.admin, [invoice_id])
    helps = code in (405, 410, 435, 500, 550)
    assert house.states([invoice_id]) == ["unknown" if helps else "rejected"]
    assert bool(result.refused) is not helps


def test_rule_11_the_recall_window_is_written_with_the_approval(house: House, client: Client):
    house.edit("INSERT OR REPLACE INTO setting VALUES ('recall_seconds', '60')")
    ids = house.bring(client, papers.invoice(client.nip))
    approving.approve(house.office, house.admin, ids)
    row = house.invoice(ids[0])
    assert row["send_after"] > row["changed_at"]
    assert row["approved_by"] == house.admin.id
    approving.recall(house.office, house.admin, ids)
    assert house.invoice(ids[0])["send_after"] is None


async def test_rule_11_nothing_leaves_within_the_recall_window(house: House):
    client = await house.ready_client()
    house.edit("INSERT OR REPLACE INTO setting VALUES ('recall_seconds', '3600')")
    [first, second] = house.approved(client, papers.invoice(client.nip), papers.invoice(client.nip))
    house.edit("UPDATE invoice SET send_after = NULL WHERE id = ?", second)
    await house.work_until(lambda: house.states([second]) == ["accepted"])
    assert house.states([first]) == ["approved"]
    approving.recall(house.office, house.admin, [first])
    await house.work()
    assert house.states([first, second]) == ["waiting", "accepted"]
    assert len(house.ministry.numbered(client.nip)) == 1


def test_approval_checks_anew_what_may_have_changed(house: House, client: Client):
    """Two of one number that both wait, by whatever way: only one of them goes on."""
    ids = house.bring(client, papers.invoice(client.nip, "FV/1"), papers.invoice(client.nip, "FV/1", item="Inna"))
    house.edit("UPDATE invoice SET state = 'waiting' WHERE id = ?", ids[1])
    result = approving.approve(house.office, house.admin, ids)
    assert result.done == 1
    assert house.states(ids) == ["blocked", "approved"]
    assert house.invoice(ids[0])["reason_code"] == "own_duplicate"


def test_release_checks_anew(house: House, client: Client):
    first, second = house.bring(
        client, papers.invoice(client.nip, "FV/1"), papers.invoice(client.nip, "FV/1", item="Inna")
    )
    result = approving.release(house.office, house.admin, [second])
    assert (result.done, house.states([second])) == (0, ["blocked"])
    approving.withdraw(house.office, house.admin, [first])
    result = approving.release(house.office, house.admin, [second])
    assert (result.done, house.states([second])) == (1, ["waiting"])


def test_held_by_whom_is_said(house: House, client: Client):
    ids = house.bring(client, papers.invoice(client.nip))
    approving.hold(house.office, house.admin, ids)
    assert house.admin.name in house.invoice(ids[0])["reason"]


def test_one_call_takes_many_and_the_same_once(house: House, client: Client):
    ids = house.bring(client, *[papers.invoice(client.nip) for _ in range(3)])
    result = approving.approve(house.office, house.admin, [*ids, *ids, 999])
    assert result.done == 3
    assert [i for i, _ in result.refused] == [999]


def test_a_summary_says_how_many_for_whom_for_how_much_and_what_to_mind(house: House, client: Client):
    other = house.client(name="Sosna Próbna")
    ids = [
        *house.bring(client, papers.invoice(client.nip, net=100), papers.invoice(client.nip, net=200)),
        *house.bring(other, papers.invoice(other.nip, day=papers.today() - timedelta(days=1))),
        in_state(house, client, S.HELD),
    ]
    summary = approving.summary(house.office, house.admin, ids)
    assert summary.count == 3
    assert [(t.name, t.nip, t.count, t.gross) for t in summary.by_client] == [
        ("Jodła Próbna", client.nip, 2, (("PLN", Decimal("369.00")),)),
        ("Sosna Próbna", other.nip, 1, (("PLN", Decimal("123.00")),)),
    ]
    *stands, past = summary.warnings  # neither client has authorised the office yet
    assert [text.partition(":")[0] for text in stands] == ["Jodła Próbna", "Sosna Próbna"]
    assert "offline" in past


def test_the_summary_says_whose_invoices_will_wait(house: House):
    """Approving for a client who has granted nothing is allowed, but nothing leaves: said before, not after."""
    client = house.client()
    [invoice_id] = house.bring(client, papers.invoice(client.nip))
    warnings = approving.summary(house.office, house.admin, [invoice_id]).warnings
    assert any("niepodłączony – faktury poczekają" in warning for warning in warnings)


@pytest.mark.parametrize("all_of_them", [False, True])
async def test_the_summary_says_that_sending_is_paused(house: House, all_of_them: bool):
    client = await house.ready_client()
    [invoice_id] = house.bring(client, papers.invoice(client.nip))
    pausing.pause(house.office, house.admin, pausing.EVERYTHING if all_of_them else [client.id], "remont")
    [warning] = approving.summary(house.office, house.admin, [invoice_id]).warnings
    assert warning.startswith("Wszystko: wstrzymane") is all_of_them
    assert "wstrzymane przez KIEROWNIK" in warning
    assert "remont – faktury poczekają" in warning


async def test_the_summary_of_a_ready_client_has_nothing_to_warn_of(house: House):
    client = await house.ready_client()
    [invoice_id] = house.bring(client, papers.invoice(client.nip))
    assert approving.summary(house.office, house.admin, [invoice_id]).warnings == ()
