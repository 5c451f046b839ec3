"""480: one client's block, or the ministry's block of an identity wherever it logs in (F27)."""

from __future__ import annotations

import json

import pytest
from support.companies import new_pesel, person, seal
from support.houses import BOTH, Client, House
from support.ministry import REFRESH, SEND, SIGNED_LOGIN
from support.strangers import Stranger

from ksef_tui.domain.problems import Problem
from ksef_tui.domain.roles import Role
from ksef_tui.services import authorising, client_views, contract, identities, standing_identities, views

PAST = "2026-01-01T00:00:00.000Z"


def stopped(house: House, label: str = "pieczęć") -> str | None:
    [row] = [row for row in contract.identities(house.office, house.admin, 0) if row["label"] == label]
    return row["stopped_at"]


def refused(ask) -> tuple[str, str]:
    with pytest.raises(Problem) as caught:
        ask()
    return caught.value.code, caught.value.message


async def test_a_block_of_one_client_is_tested_once_at_home_and_stops_nobody_else(house: House):
    other, client = await house.ready_client(), house.client(*BOTH)
    house.ministry.block(client.nip)
    assert house.ministry.posts(SIGNED_LOGIN) == 1
    assert (await house.authorise(client))["state"] == "blocked"
    assert house.ministry.posts(SIGNED_LOGIN) == 3, "the client's login, and one at home"
    assert [row["kind"] for row in house.calls("auth.end_current", "ended")] == ["ok"], "and out again"
    assert stopped(house) is None
    assert house.db.value("SELECT state FROM authorization WHERE client_id = 1") == "missing", "home is as it was"
    await house.work()
    assert house.ministry.posts(SIGNED_LOGIN) == 3, "once"
    ids = house.approved(other)
    await house.work()
    assert house.states(ids) == ["accepted"]
    assert house.auth(client)["reason_code"] == "480"


async def test_a_blocked_identity_is_stopped_everywhere_and_every_screen_says_what_to_do(house: House):
    working, client = await house.ready_client(), house.client(*BOTH, name="Sosna Próbna")
    ids = house.approved(working)
    house.ministry.block_subject(house.nip)
    row = await house.authorise(client)
    assert (row["state"], row["reason_code"]) == ("blocked", "identity_stopped")
    assert stopped(house) is not None
    row = house.auth(working)
    assert (row["state"], row["reason_code"]) == ("blocked", "identity_stopped")
    for said in ("pieczęć", "MF", "zapasow", "identity resume"):
        assert said in row["reason"], said
    assert row["sealed_refresh"] is not None
    assert json.loads(row["rights"]) == ["InvoiceRead", "InvoiceWrite"], "what it had waits"
    alarm = views.header(house.office, house.admin).alarm
    for said in ("pieczęć", "MF", "zadzwoń", "zapasowym"):
        assert said in alarm, said
    status = contract.authorization(house.office, house.admin, working.nip)
    assert (status["status"], status["reason_code"], status["reason"]) == ("blocked", "identity_stopped", row["reason"])
    view = client_views.authorization(house.office, house.admin, working.id)
    assert "auth.start" in view.actions, "with another profile"
    await house.work()
    assert (house.states(ids), house.ministry.posts(SEND)) == (["approved"], 0)


@pytest.mark.parametrize("who", ["worker", "command"])
async def test_whoever_met_the_block_makes_the_test(house: House, who: str):
    client = house.client(*BOTH)
    house.ministry.block_subject(house.nip)
    authorising.start_with_identity(house.office, house.admin, client.id, house.identity())
    if who == "worker":
        await house.work_until(lambda: stopped(house) is not None)
    else:
        await house.carry_out(client)
    assert stopped(house) is not None
    assert house.ministry.posts(SIGNED_LOGIN) == 2


async def a_stopped_house(house: House) -> Client:
    client = await house.ready_client()
    house.ministry.block_subject(house.nip)
    authorising.check(house.office, house.admin, client.id)
    await house.carry_out(client)
    assert stopped(house) is not None
    return client


async def test_no_login_by_a_stopped_identity_anywhere_each_with_a_clear_sentence(house: House):
    client = await a_stopped_house(house)
    other, logins = house.client(*BOTH), house.ministry.posts(SIGNED_LOGIN)
    identity = house.db.value("SELECT id FROM identity")
    asks = (
        lambda: authorising.start_with_identity(house.office, house.admin, other.id, identity),
        lambda: authorising.usable_identity(house.office, house.admin, identity),
        lambda: authorising.check(house.office, house.admin, client.id),
    )
    for ask in asks:
        code, message = refused(ask)
        assert code == "identity_stopped"
        assert "zablokowało profil pieczęć" in message
    assert contract.authorised_ids(house.office, house.admin) == []
    # written by hand or before: the last look is before the signature
    for intent, state in (("check", "active"), ("login", "running")):
        house.edit("UPDATE authorization SET intent = ?, state = ? WHERE client_id = ?", intent, state, client.id)
        await house.carry_out(client)
        assert (house.auth(client)["state"], house.auth(client)["reason_code"]) == ("blocked", "identity_stopped")
    # what was kept is not used either
    house.edit("UPDATE authorization SET state = 'active', reason = '', rights = ?", '["InvoiceWrite"]')
    [invoice] = house.approved(client)
    refreshed = house.ministry.posts(REFRESH)
    await house.work()
    assert house.states([invoice]) == ["approved"]
    assert house.auth(client)["state"] == "blocked"
    assert (house.ministry.posts(SIGNED_LOGIN), house.ministry.posts(REFRESH)) == (logins, refreshed)


async def test_the_same_certificate_under_another_name_is_stopped_too(house: House):
    paper = seal(house.nip)
    house.identity(paper=paper)
    await a_stopped_house(house)
    assert refused(lambda: house.identity("inna nazwa", paper))[0] == "identity_stopped"


async def test_a_client_of_a_stopped_identity_works_with_another(house: House):
    client = await a_stopped_house(house)
    pesel = new_pesel()
    house.ministry.grant(client.nip, pesel, *BOTH, kind="Pesel")
    row = await house.authorise(client, house.identity("zapas", person(pesel), house.admin))
    assert (row["state"], row["reason_code"]) == ("active", "")


async def test_a_login_that_ran_before_the_block_was_seen_ends_blocked(house: House):
    late = house.client(*BOTH)
    authorising.start_with_identity(house.office, house.admin, late.id, house.identity())
    client = house.client(*BOTH)
    house.ministry.block_subject(house.nip)
    await house.authorise(client)
    await house.carry_out(late)
    assert (house.auth(late)["state"], house.auth(late)["reason_code"]) == ("blocked", "identity_stopped")


async def test_weather_at_home_stops_nothing_and_the_test_is_made_when_ksef_answers(house: House):
    """A suspicion that KSeF did not answer to stays one: it is neither believed nor forgotten."""
    client = await house.ready_client()
    house.ministry.block_subject(house.nip)
    house.edit("UPDATE identity SET suspected_at = ?", PAST)
    house.ministry.fault("html_5xx", match={"path": "^/v2/auth/challenge"})
    authorising.check(house.office, house.admin, client.id)
    await house.carry_out(client)
    assert stopped(house) is None
    assert house.db.value("SELECT suspected_at FROM identity") == PAST
    assert house.auth(client)["state"] == "active"
    house.ministry.calm()
    await house.work()
    assert stopped(house) is not None


async def test_other_ways_to_log_in_make_no_identity_suspect(house: House):
    client = house.client()
    token = await Stranger(house.ministry, client.nip).token(*BOTH)
    house.identity()
    house.ministry.block(client.nip)
    assert (await house.authorise_with_token(client, token))["state"] == "blocked"
    assert house.ministry.posts(SIGNED_LOGIN) == 1, "the stranger's own"
    assert stopped(house) is None


async def test_a_block_at_home_alone_stops_no_identity(house: House):
    own = house.db.row("SELECT id, nip FROM client WHERE office = 1")
    house.ministry.block(own["nip"])
    row = await house.authorise(Client(own["id"], own["nip"]))
    assert (row["state"], stopped(house)) == ("blocked", None)
    assert house.ministry.posts(SIGNED_LOGIN) == 1
    house.ministry.unblock(own["nip"])


# ---- lifting it


async def test_resuming_tests_first_and_what_worked_works_again(house: House):
    kept = await house.ready_client()
    asked = await a_stopped_house(house)
    ids = [*house.approved(kept), *house.approved(asked)]
    with pytest.raises(Problem) as caught:
        await standing_identities.resume(house.office, house.admin, "pieczęć")
    assert caught.value.code == "still_blocked"
    assert stopped(house) is not None
    house.ministry.fault("outage")
    with pytest.raises(Problem) as caught:
        await standing_identities.resume(house.office, house.admin, "pieczęć")
    assert caught.value.code == "unreachable"
    assert stopped(house) is not None
    house.ministry.calm()
    house.ministry.block_subject(house.nip, blocked=False)
    await standing_identities.resume(house.office, house.admin, "pieczęć")
    assert stopped(house) is None
    assert house.auth(kept)["state"] == "active", "at once, with the login that it had"
    await house.work()
    assert (house.auth(asked)["state"], house.states(ids)) == ("active", ["accepted", "accepted"])
    assert views.header(house.office, house.admin).alarm == ""
    acts = [row["act"] for row in house.db.rows("SELECT act FROM audit ORDER BY id")]
    assert acts.index("identity.stopped") < acts.index("identity.resume")
    with pytest.raises(Problem) as caught:
        await standing_identities.resume(house.office, house.admin, "pieczęć")
    assert caught.value.code == "not_stopped"


async def test_what_never_worked_is_asked_about_after_resuming(house: House):
    client = house.client(*BOTH)
    house.ministry.block_subject(house.nip)
    await house.authorise(client)
    assert house.auth(client)["state"] == "blocked"
    house.ministry.block_subject(house.nip, blocked=False)
    await standing_identities.resume(house.office, house.admin, "pieczęć")
    await house.work()
    assert house.auth(client)["state"] == "active"


@pytest.mark.parametrize("role", [Role.ADMIN, Role.ACCOUNTANT])
async def test_a_persons_stopped_certificate_is_resumed_by_that_person(house: House, role: Role):
    anna = house.operator("anna", role)
    pesel, client = new_pesel(), house.client()
    house.ministry.grant(client.nip, pesel, *BOTH, kind="Pesel")
    identity = house.identity("Anna", person(pesel), anna)
    await house.authorise(client, identity, anna)
    house.ministry.block_subject(pesel, "Pesel")
    authorising.check(house.office, anna, client.id)
    await house.carry_out(client)
    assert house.db.value("SELECT stopped_at FROM identity") is not None
    with pytest.raises(Problem) as caught:
        await standing_identities.resume(house.office, house.admin, "Anna")
    assert caught.value.code == "someone_elses"
    house.ministry.block_subject(pesel, "Pesel", blocked=False)
    await standing_identities.resume(house.office, anna, "Anna")
    assert house.db.value("SELECT stopped_at FROM identity") is None
    assert house.auth(client)["state"] == "blocked", "KSeF said 480 about it last; only its owner may sign a check"


async def test_a_stopped_identity_may_be_removed(house: House):
    await a_stopped_house(house)
    identities.remove(house.office, house.admin, "pieczęć")
    assert views.header(house.office, house.admin).alarm == "Ministerstwo zablokowało logowanie: 1 klient"


async def test_a_clients_operator_is_told_of_no_profile(house: House):
    client = await a_stopped_house(house)
    other = house.client()
    for of, told in ((client, "1 klient"), (other, "")):
        operator = house.operator(f"k{of.id}", Role.CLIENT, of)
        alarm = views.header(house.office, operator).alarm
        assert ("pieczęć" in alarm, told in alarm) == (False, True)
