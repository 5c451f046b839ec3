"""The end of a service: nothing goes out any more, the logins end at KSeF, and that the right is gone is asked (F32)."""

from __future__ import annotations

import json

import pytest
from support import papers
from support.companies import new_pesel, person
from support.houses import BOTH, Client, House
from support.ministry import SIGNED_LOGIN

from ksef_tui.domain.problems import Problem
from ksef_tui.domain.roles import Role
from ksef_tui.services import approving, authorising, client_views, contract, ending, exporting, letters, syncing
from ksef_tui.services.own_work import carry_out

SECRETS = ("sealed_token", "sealed_operation", "sealed_refresh", "sealed_access")


async def ended(house: House, client: Client) -> None:
    ending.end(house.office, house.admin, client.id)
    await house.carry_out(client)
    assert (house.auth(client)["state"], house.auth(client)["intent"]) == ("ended", "")


async def looked(house: House, client: Client) -> dict[str, object]:
    authorising.check(house.office, house.admin, client.id)
    await house.carry_out(client)
    return contract.authorization(house.office, house.admin, client.nip)


def refused(house: House, client: Client) -> Problem:
    """The refusal of an end, after which nothing has changed."""
    before = dict(house.auth(client))
    for ask in (ending.preview, ending.end):
        with pytest.raises(Problem) as caught:
            ask(house.office, house.admin, client.id)
    assert dict(house.auth(client)) == before
    return caught.value


def shown(house: House, client: Client) -> tuple[str, str, str]:
    view = client_views.authorization(house.office, house.admin, client.id)
    return view.word, view.sentence, view.needed


async def test_the_login_ends_at_ksef_and_nothing_secret_is_left(house: House):
    client = await house.ready_client()
    await ended(house, client)
    assert [call["kind"] for call in house.calls("auth.end_current", "ended")] == ["ok"]
    row = house.auth(client)
    assert [row[name] for name in SECRETS] == [None] * 4
    assert row["rights"] == "[]"
    said = contract.authorization(house.office, house.admin, client.nip)
    assert (said["status"], said["rights_gone"], said["reason_code"]) == ("ended", None, "")
    assert said["ended_at"]
    assert shown(house, client)[0] == "obsługa zakończona"
    acts = {row["act"] for row in house.db.rows("SELECT act FROM audit WHERE client_id = ?", (client.id,))}
    assert acts >= {"client.end", "auth.revoked"}


async def test_a_login_that_nobody_remembers_ends_too(house: House):
    """One whose tokens were lost with the answer lives on at KSeF until somebody ends it (F32)."""
    client = await house.ready_client()
    house.edit("UPDATE authorization SET sealed_refresh = NULL, sealed_access = NULL, access_until = NULL")
    authorising.check(house.office, house.admin, client.id)
    await house.carry_out(client)
    await ended(house, client)
    assert [call["kind"] for call in house.calls("auth.end", "ended")] == ["ok"]
    assert [call["kind"] for call in house.calls("auth.end_current", "ended")] == ["ok"]


async def test_waiting_and_approved_invoices_are_held_back_and_not_lost(house: House):
    client = await house.ready_client()
    house.edit("UPDATE setting SET value = '600' WHERE key = 'recall_seconds'")
    [waiting] = house.bring(client, papers.invoice(client.nip, "FV/1"))
    [approved] = house.approved(client, papers.invoice(client.nip, "FV/2"))
    assert ending.preview(house.office, house.admin, client.id).held == ("FV/1", "FV/2")
    await ended(house, client)
    await house.work()
    assert house.states([waiting, approved]) == ["held", "held"]
    assert house.invoice(approved)["reason_code"] == "ended"
    assert house.ministry.numbered(client.nip) == []
    assert approving.release(house.office, house.admin, [approved]).done == 0
    assert house.states([approved]) == ["blocked"]
    ending.resume(house.office, house.admin, client.id)
    await house.authorise(client)
    assert approving.release(house.office, house.admin, [waiting, approved]).done == 2
    house.edit("UPDATE setting SET value = '0' WHERE key = 'recall_seconds'")
    approving.approve(house.office, house.admin, [waiting, approved])
    await house.work()
    assert house.states([waiting, approved]) == ["accepted", "accepted"]


async def test_nothing_new_is_taken_up_for_who_is_not_served(house: House):
    client = await house.ready_client()
    await ended(house, client)
    [brought] = house.bring(client, papers.invoice(client.nip))
    assert (house.states([brought]), house.invoice(brought)["reason_code"]) == (["blocked"], "ended")
    with pytest.raises(Problem) as caught:
        authorising.start_with_identity(house.office, house.admin, client.id, 1)
    assert caught.value.code == "ended"
    for act in (authorising.revoke, authorising.requested, authorising.start_external):
        with pytest.raises(Problem):
            act(house.office, house.admin, client.id)


async def test_while_invoices_are_on_the_wire_it_is_refused_and_they_are_named(house: House):
    client = await house.ready_client()
    [invoice] = house.approved(client, papers.invoice(client.nip, "FV/7"))
    house.ministry.fault("stuck")
    await house.work_until(lambda: house.states([invoice]) == ["processing"])
    problem = refused(house, client)
    assert problem.code == "on_the_wire"
    assert "1 faktura: FV/7" in problem.message
    house.ministry.calm()
    await house.work()
    await ended(house, client)


async def test_a_receipt_that_can_still_be_had_is_fetched_first(house: House):
    client = await house.ready_client()
    [invoice] = house.approved(client, papers.invoice(client.nip, "FV/8"))
    house.ministry.fault("upo_html")
    await house.work_until(lambda: house.states([invoice]) == ["accepted"])
    problem = refused(house, client)
    assert problem.code == "receipts_missing"
    assert "FV/8" in problem.message
    house.ministry.calm()
    await house.work()
    await ended(house, client)
    assert exporting.export_upos(house.office, house.admin, house.folder / "upo", client_id=client.id) == 1


async def test_who_has_taken_the_rights_back_is_not_waited_for(house: House):
    """Nobody can learn any more what became of them: the question names them, and the end is possible."""
    client = await house.ready_client()
    [invoice] = house.approved(client, papers.invoice(client.nip, "FV/9"))
    house.ministry.fault("stuck")
    await house.work_until(lambda: house.states([invoice]) == ["processing"])
    house.ministry.take_back(client.nip, house.nip)
    authorising.check(house.office, house.admin, client.id)
    await house.carry_out(client)
    assert house.auth(client)["state"] == "no_permission"
    assert ending.preview(house.office, house.admin, client.id).lost == ("FV/9",)
    await ended(house, client)
    assert house.states([invoice]) == ["processing"]
    assert house.calls("auth.end_current") == [], "there was no login any more"


@pytest.mark.parametrize("what", ["the office", "again", "connecting", "a check"])
async def test_what_cannot_end_now_says_why(house: House, what: str):
    client = await house.ready_client()
    if what == "the office":
        own = house.db.row("SELECT id, nip FROM client WHERE office = 1")
        assert refused(house, Client(own["id"], own["nip"])).code == "own_office"
    elif what == "again":
        await ended(house, client)
        assert refused(house, client).code == "ended"
    elif what == "connecting":
        authorising.start_with_identity(house.office, house.admin, client.id, 1)
        assert refused(house, client).code == "runs_already"
    else:
        authorising.check(house.office, house.admin, client.id)
        assert refused(house, client).code == "runs_already"


async def test_an_end_while_a_signature_is_awaited_ends_the_login_that_works(house: House):
    client = await house.ready_client()
    authorising.start_external(house.office, house.admin, client.id)
    await house.carry_out(client)
    assert house.auth(client)["state"] == "to_sign"
    await ended(house, client)
    assert [call["kind"] for call in house.calls("auth.end_current", "ended")] == ["ok"]
    row = house.auth(client)
    assert (row["method"], row["fallback"]) == ("certificate", None)
    assert house.db.value("SELECT count(*) FROM signature_request") == 0


async def test_without_ksef_the_service_has_ended_and_the_login_ends_later(house: House):
    client = await house.ready_client()
    house.ministry.fault("outage")
    ending.end(house.office, house.admin, client.id)
    with pytest.raises(Problem) as caught:
        await carry_out(house.office, client.id, patience=0.3)
    assert caught.value.code == "timeout"
    row = house.auth(client)
    assert (row["state"], row["intent"], row["reason_code"]) == ("ended", "revoke", "unreachable")
    assert "program ponawia" in shown(house, client)[1]
    for ask in (authorising.check, ending.resume):
        with pytest.raises(Problem) as caught:
            ask(house.office, house.admin, client.id)
        assert caught.value.code == "logging_out"
    house.ministry.calm()
    await house.work()
    row = house.auth(client)
    assert (row["intent"], row["reason_code"], row["sealed_refresh"]) == ("", "", None)
    assert house.calls("auth.end_current", "ended")[-1]["kind"] == "ok"


async def test_a_right_that_is_gone_is_remembered_with_the_day(house: House):
    client = await house.ready_client()
    await ended(house, client)
    house.ministry.take_back(client.nip, house.nip)
    row = await looked(house, client)
    assert (row["status"], row["rights_gone"], row["reason_code"]) == ("ended", True, "")
    assert row["rights_seen_at"]
    word, sentence, _ = shown(house, client)
    assert word == "uprawnienia odebrane"
    assert "Uprawnienia odebrane, sprawdzono " in sentence
    house.ministry.fault("outage", match={"path": "^/v2/auth"})
    row = await looked(house, client)
    assert (row["rights_gone"], row["reason_code"]) == (True, "unreachable"), "weather forgets nothing, and is told"
    assert "Nie sprawdzono" in shown(house, client)[1]


async def test_a_right_that_is_still_there_is_told_and_the_login_ended_at_once(house: House):
    client = await house.ready_client()
    await ended(house, client)
    row = await looked(house, client)
    assert (row["status"], row["rights_gone"], row["reason_code"]) == ("ended", False, "still_granted")
    assert [call["kind"] for call in house.calls("auth.end_current", "ended")] == ["ok", "ok"]
    assert [house.auth(client)[name] for name in SECRETS] == [None] * 4
    word, sentence, needed = shown(house, client)
    assert word == "klient nie odebrał"
    assert "jeszcze nie odebrał" in sentence
    assert "pismo" in needed
    house.ministry.take_back(client.nip, house.nip)
    assert (await looked(house, client))["rights_gone"] is True
    assert house.ministry.posts(SIGNED_LOGIN) == 3


async def test_a_login_of_the_question_that_could_not_be_ended_is_ended_later(house: House):
    client = await house.ready_client()
    await ended(house, client)
    house.ministry.fault("outage", match={"path": "/auth/(sessions|token/refresh)"})
    authorising.check(house.office, house.admin, client.id)
    with pytest.raises(Problem):
        await carry_out(house.office, client.id, patience=1.0)
    assert (house.auth(client)["intent"], house.auth(client)["sealed_refresh"] is None) == ("revoke", False)
    house.ministry.calm()
    await house.work()
    row = contract.authorization(house.office, house.admin, client.nip)
    assert (row["rights_gone"], row["reason_code"]) == (False, "still_granted")
    assert house.auth(client)["sealed_refresh"] is None


async def test_a_token_is_destroyed_and_the_office_asks_with_its_own_seal(house: House):
    client = house.client()
    token = await owners_token(house, client)
    await house.authorise_with_token(client, token)
    await ended(house, client)
    assert house.auth(client)["sealed_token"] is None
    with pytest.raises(Problem) as caught:
        authorising.check(house.office, house.admin, client.id)
    assert caught.value.code == "no_identity"
    house.identity()
    assert (await looked(house, client))["rights_gone"] is True
    assert "Tokeny" in letters.goodbye(house.office, house.admin, client.id)


async def owners_token(house: House, client: Client) -> str:
    """A KSeF token that the client itself has made."""
    from ksef_tui.demo.cast import Member, Part
    from ksef_tui.demo.client_side import ClientSide

    member = Member(client.nip, "Jodła Próbna", Part.TOKEN, "meble", "J/{n}", "ul. Polna 1", "00-001 Sosnów")
    async with ClientSide(house.ministry.url, member) as side:
        return (await side.token()).reveal_text()


async def test_anothers_personal_certificate_does_not_ask(house: House):
    zofia, pesel, client = house.operator("zofia", Role.ACCOUNTANT), new_pesel(), house.client()
    house.ministry.grant(client.nip, pesel, *BOTH, kind="Pesel")
    await house.authorise(client, house.identity("Zofia", person(pesel), zofia), zofia)
    ending.end(house.office, zofia, client.id)
    await house.carry_out(client)
    with pytest.raises(Problem) as caught:
        authorising.check(house.office, house.admin, client.id)
    assert caught.value.code == "someone_elses"
    house.ministry.take_back(client.nip, pesel, kind="Pesel")
    authorising.check(house.office, zofia, client.id)
    await house.carry_out(client)
    assert contract.authorization(house.office, zofia, client.nip)["rights_gone"] is True


async def test_a_client_that_comes_back_begins_anew(house: House):
    client = await house.ready_client()
    with pytest.raises(Problem) as caught:
        ending.resume(house.office, house.admin, client.id)
    assert caught.value.code == "not_ended"
    await ended(house, client)
    ending.resume(house.office, house.admin, client.id)
    row = house.auth(client)
    assert (row["state"], row["method"], row["identity_id"]) == ("missing", None, None)
    assert contract.authorization(house.office, house.admin, client.nip)["ended_at"] is None
    acts = [e["act"] for e in house.db.rows("SELECT act FROM authorization_event ORDER BY id")]
    assert acts[-2:] == ["end", "resume"]
    assert (await house.authorise(client))["state"] == "active"
    ids = house.approved(client)
    await house.work()
    assert house.states(ids) == ["accepted"]


async def test_the_list_from_ksef_and_a_check_of_all_leave_it_alone(house: House):
    own = house.db.row("SELECT id, nip FROM client WHERE office = 1")
    await house.authorise(Client(own["id"], own["nip"]))
    client = await house.ready_client()
    await ended(house, client)
    found = await syncing.preview(house.office, house.admin)
    assert (found.archived, found.to_add, found.changes) == ((client.nip,), (), ())
    assert contract.authorised_ids(house.office, house.admin) == [own["id"]]


async def test_the_letter_says_which_rights_to_take_back_from_whom_and_where(house: House):
    client = house.client(*BOTH, name="Świerk & Syn {Próbny} [b]")
    await house.authorise(client)
    text = letters.goodbye(house.office, house.admin, client.id)
    for needed in (
        house.nip, "Biuro Modrzew", client.nip, "Świerk & Syn {Próbny} [b]", "wystawianie faktur",
        "przeglądanie faktur", "Uprawnienia → ", "→ Odbierz",
    ):  # fmt: skip
        assert needed in text, needed
    assert "Tokeny" not in text
    own = house.db.value("SELECT id FROM client WHERE office = 1")
    with pytest.raises(Problem):
        letters.goodbye(house.office, house.admin, own)
    assert json.loads(house.auth(client)["rights"])
