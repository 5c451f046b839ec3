"""One thing for many clients: who is asked, what is written down, and that nobody's trouble stops the rest (design §7)."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from support.companies import new_pesel, person, seal
from support.houses import BOTH, Client, House
from support.ministry import SEND, SIGNED_LOGIN

from ksef_tui.domain.problems import Problem
from ksef_tui.domain.roles import Role
from ksef_tui.services import authorising, bulk, bulk_work, ending
from ksef_tui.services.calls import CallKeeper
from ksef_tui.services.worker import Worker
from ksef_tui.store import offices

XADES = {"path": "^/v2/auth/xades"}


def ids(*clients: Client) -> list[int]:
    return [client.id for client in clients]


def member(house: House, run_id: int, client: Client) -> bulk.Member:
    [found] = [one for one in bulk.members(house.office, house.admin, run_id) if one.client_id == client.id]
    return found


def stands(house: House, run_id: int) -> bulk.Progress:
    return bulk.progress(house.office, house.admin, run_id)


async def see_through(house: House, run_id: int) -> bulk.Progress:
    async with asyncio.timeout(60):
        await bulk_work.see_through(house.office, house.admin, [run_id])
    return stands(house, run_id)


async def test_a_service_that_has_ended_with_its_rights_taken_back_needs_nobody(house: House):
    client = await house.ready_client()
    ending.end(house.office, house.admin, client.id)
    await house.work()
    house.ministry.take_back(client.nip, house.nip)
    begun = bulk.begin(house.office, house.admin, "check", [client.id])
    done = await see_through(house, begun.run_id)
    assert (done.outcomes, done.attention) == ({"ended": 1}, 0)
    assert member(house, begun.run_id, client).reason == "obsługa zakończona"


async def ready(house: House, count: int) -> list[Client]:
    return [await house.ready_client() for _ in range(count)]


async def test_all_are_checked_and_each_has_its_own_outcome(house: House):
    good, gone, blocked = await ready(house, 3)
    never = house.client(*BOTH)
    house.ministry.take_back(gone.nip, house.nip)
    house.ministry.block(blocked.nip)
    begun = bulk.begin(house.office, house.admin, "check", ids(blocked, gone, never, good))
    assert (begun.joined, begun.added, begun.skipped) == (False, 4, {})
    await house.work()
    done = stands(house, begun.run_id)
    assert (done.total, done.done, done.attention, done.over) == (4, 4, 3, True)
    assert done.outcomes == {"active": 1, "no_permission": 1, "blocked": 1, "refused": 1}
    assert done.sentence == "sprawdzono 4, 3 wymagają uwagi"
    assert "nie ma jeszcze autoryzacji" in member(house, begun.run_id, never).reason
    assert "brak uprawnień" in member(house, begun.run_id, gone).reason
    looked_at = bulk.members(house.office, house.admin, begun.run_id, attention=True)
    assert [one.client_id for one in looked_at] == ids(blocked, gone, never)
    acts = {r["act"]: r["login"] for r in house.db.rows("SELECT act, login FROM audit WHERE act LIKE 'bulk.%'")}
    assert acts == {"bulk.begin": "kierownik", "bulk.end": ""}


async def test_those_that_work_are_passed_over_when_all_are_authorised(house: House):
    identity = house.identity()
    works, new, refused = await house.ready_client(), house.client(*BOTH), house.client()
    begun = bulk.begin(house.office, house.admin, "start", ids(works, new, refused), identity)
    assert (begun.added, begun.skipped) == (2, {"autoryzacja już działa": 1})
    logins = house.ministry.posts(SIGNED_LOGIN)
    done = await see_through(house, begun.run_id)
    assert (done.total, done.skipped, done.outcomes) == (2, 1, {"active": 1, "no_permission": 1})
    assert house.ministry.posts(SIGNED_LOGIN) == logins + 2
    assert house.auth(new)["state"] == "active"


async def test_one_that_somebody_is_signing_for_is_refused_and_keeps_its_request(house: House):
    identity, signing = house.identity(), house.client(*BOTH)
    authorising.start_external(house.office, house.admin, signing.id)
    await house.carry_out(signing)
    begun = bulk.begin(house.office, house.admin, "start", ids(signing), identity)
    done = await see_through(house, begun.run_id)
    assert (done.outcomes, house.auth(signing)["state"]) == ({"refused": 1}, "to_sign")
    assert "czeka na podpis" in member(house, begun.run_id, signing).reason


async def test_a_persons_certificate_signs_only_what_that_person_asked_for(house: House):
    zofia, pesel, hers = house.operator("zofia", Role.ACCOUNTANT), new_pesel(), house.client()
    house.ministry.grant(hers.nip, pesel, *BOTH, kind="Pesel")
    own, offices_client = house.identity("Zofia", person(pesel), zofia), await house.ready_client()
    with pytest.raises(Problem) as caught:
        bulk.begin(house.office, house.admin, "start", ids(hers), own)
    assert caught.value.code == "someone_elses"
    begun = bulk.begin(house.office, zofia, "start", ids(hers), own)
    assert (await see_through(house, begun.run_id)).outcomes == {"active": 1}
    everybody = bulk.begin(house.office, house.admin, "check", ids(hers, offices_client))
    done = await see_through(house, everybody.run_id)
    assert done.outcomes == {"active": 1, "refused": 1}
    assert "certyfikat innej osoby" in member(house, everybody.run_id, hers).reason


async def test_an_identity_that_cannot_sign_is_refused_once_and_not_for_each_client(house: House):
    client = house.client(*BOTH)
    identity = house.identity(paper=seal(house.nip, days=30))
    house.later(days=31)
    with pytest.raises(Problem) as caught:
        bulk.begin(house.office, house.admin, "start", ids(client), identity)
    assert caught.value.code == "certificate_expired"
    assert not bulk.is_open(house.office)


async def test_weather_in_the_middle_is_waited_out(house: House):
    clients = await ready(house, 3)
    house.ministry.fault("outage", match=XADES)
    begun = bulk.begin(house.office, house.admin, "check", ids(*clients))
    working = asyncio.create_task(house.work_until(lambda: stands(house, begun.run_id).over))
    async with asyncio.timeout(30):
        while not stands(house, begun.run_id).silent:
            await asyncio.sleep(0.02)
    assert stands(house, begun.run_id).sentence == "sprawdzono 0 z 3, KSeF nie odpowiada"
    house.ministry.calm()
    while not working.done():
        house.later(seconds=bulk.PROBE_EVERY.total_seconds())
        await asyncio.sleep(0.05)
    await working
    assert stands(house, begun.run_id).outcomes == {"active": 3}


async def test_a_silence_of_minutes_ends_the_run_and_says_so(house: House):
    clients = await ready(house, 9)
    house.ministry.fault("outage", match=XADES)
    begun = bulk.begin(house.office, house.admin, "check", ids(*clients))
    working = asyncio.create_task(house.work_until(lambda: stands(house, begun.run_id).over))
    while not working.done():
        house.later(seconds=60)
        await asyncio.sleep(0.05)
    await working
    done = stands(house, begun.run_id)
    assert (done.done, done.attention) == (9, 9)
    assert any("nie odpowiadał" in one.reason for one in bulk.members(house.office, house.admin, begun.run_id))
    assert [house.auth(client)["state"] for client in clients] == ["active"] * 9, "weather takes nobody's access away"


async def test_no_more_are_asked_at_once_than_the_share(house: House):
    house.edit("INSERT OR REPLACE INTO setting VALUES ('parallel_clients', '4')")
    clients = await ready(house, 6)
    house.ministry.fault("hang", match=XADES, params={"seconds": 600})
    bulk.begin(house.office, house.admin, "check", ids(*clients))
    assert bulk.share(house.office) == 3
    assert len(bulk.advance(house.office)) == 3
    assert bulk.advance(house.office) == []
    assert house.db.value("SELECT count(*) FROM authorization WHERE intent = 'check'") == 3


async def test_invoices_are_sent_while_all_hands_of_a_run_are_stuck(house: House):
    """The share leaves hands free, so what waits goes out before a single check has ended."""
    house.edit("INSERT OR REPLACE INTO setting VALUES ('parallel_clients', '4')")
    clients, sends = await ready(house, 5), await house.ready_client()
    house.ministry.fault("hang", match=XADES, params={"seconds": 600})
    begun = bulk.begin(house.office, house.admin, "check", ids(*clients))
    worker = Worker(house.office)
    run = asyncio.create_task(worker.run())
    async with asyncio.timeout(30):
        while house.ministry.struck("hang") < 3:
            await asyncio.sleep(0.02)
        [invoice] = house.approved(sends)
        while house.states([invoice]) != ["accepted"]:
            await asyncio.sleep(0.02)
    assert stands(house, begun.run_id).done == 0
    assert house.ministry.posts(SEND) == 1
    worker.stop_within = 0
    worker.stop()
    await asyncio.gather(run, return_exceptions=True)


async def test_stopped_in_the_middle_those_asked_end_and_the_rest_is_left_out(house: House):
    house.edit("INSERT OR REPLACE INTO setting VALUES ('parallel_clients', '2')")
    clients = await ready(house, 3)
    begun = bulk.begin(house.office, house.admin, "check", ids(*clients))
    assert bulk.advance(house.office) == [clients[0].id]
    assert bulk.stop(house.office, house.admin, begun.run_id) == 2
    await house.work()
    done = stands(house, begun.run_id)
    assert (done.outcomes, done.over, done.stopped, done.done) == ({"active": 1, "stopped": 2}, True, True, 1)
    assert done.sentence == "sprawdzono 1, przerwano"
    with pytest.raises(Problem) as caught:
        bulk.stop(house.office, house.admin, begun.run_id)
    assert caught.value.code == "run_over"


async def test_the_same_asked_again_joins_and_something_else_goes_beside_it(house: House):
    one, two, new = await house.ready_client(), await house.ready_client(), house.client(*BOTH)
    zofia = house.operator("zofia", Role.ACCOUNTANT)
    first = bulk.begin(house.office, house.admin, "check", ids(one))
    second = bulk.begin(house.office, zofia, "check", ids(one, two))
    third = bulk.begin(house.office, zofia, "start", ids(new), offices.identity_by_label(house.db, "pieczęć")["id"])
    assert (second.run_id, second.joined, third.joined) == (first.run_id, True, False)
    assert [p.kind for p in bulk.open_progress(house.office, zofia)] == ["check", "start"]
    logins = house.ministry.posts(SIGNED_LOGIN)
    await house.work()
    assert house.ministry.posts(SIGNED_LOGIN) == logins + 3, "nobody is asked twice"
    assert stands(house, first.run_id).outcomes == {"active": 2}
    assert stands(house, third.run_id).outcomes == {"active": 1}


async def test_a_client_with_an_intent_of_its_own_waits_its_turn(house: House):
    one, two = await ready(house, 2)
    authorising.revoke(house.office, house.admin, one.id)
    begun = bulk.begin(house.office, house.admin, "check", ids(one, two))
    assert bulk.advance(house.office) == [two.id]
    assert house.auth(one)["intent"] == "revoke", "a check must not overwrite what a person asked for"
    await house.work()
    assert (house.auth(one)["state"], member(house, begun.run_id, one).state) == ("missing", "refused")


async def test_who_was_shut_out_since_asks_nothing_any_more(house: House):
    client, zofia = await house.ready_client(), house.operator("zofia", Role.ACCOUNTANT)
    begun = bulk.begin(house.office, zofia, "check", ids(client))
    house.edit("UPDATE operator SET disabled_at = '2026-11-24T00:00:00.000Z' WHERE id = ?", zofia.id)
    await house.work()
    assert member(house, begun.run_id, client).state == "refused"
    assert "nie ma już dostępu" in member(house, begun.run_id, client).reason


async def test_a_command_and_a_worker_do_it_together_and_nobody_twice(house: House):
    clients = await ready(house, 10)
    logins = house.ministry.posts(SIGNED_LOGIN)
    begun = bulk.begin(house.office, house.admin, "check", ids(*clients))
    worker = Worker(house.office)
    run = asyncio.create_task(worker.run())
    done = await see_through(house, begun.run_id)
    worker.stop()
    await run
    assert done.outcomes == {"active": 10}
    assert house.ministry.posts(SIGNED_LOGIN) == logins + 10


async def test_nobody_to_ask_is_said(house: House):
    with pytest.raises(Problem) as caught:
        bulk.begin(house.office, house.admin, "check", [])
    assert caught.value.code == "nobody"


def test_a_company_sees_no_runs(house: House):
    client = house.client()
    owner = house.operator("sosna", Role.CLIENT, client)
    asked: list[Any] = [
        lambda: bulk.begin(house.office, owner, "check", [client.id]),
        lambda: bulk.begin(house.office, owner, "start", [client.id], 1),
        lambda: bulk.stop(house.office, owner, 1),
        lambda: bulk.progress(house.office, owner, 1),
        lambda: bulk.members(house.office, owner, 1),
    ]
    for ask in asked:
        with pytest.raises(Problem) as caught:
            ask()
        assert caught.value.code == "not_allowed"
    assert (bulk.open_progress(house.office, owner), bulk.newest(house.office, owner)) == ([], None)


async def test_rule_10_f37_logins_leave_room_in_the_limit_they_share_with_the_whole_address(house: House):
    """F37: 60 anonymous calls a second for the address; an answered call counts from its answer, others may be late."""
    from ksef_tui.ksef.http import Call

    keeper = CallKeeper(house.office, 60.0)
    challenge = Call("auth.challenge", "POST", "/auth/challenge", "anonymous", house.nip, "")
    for _ in range(54):
        keeper.started(challenge)
    assert keeper.wait_for(challenge) == 0
    keeper.started(challenge)
    assert 0.5 < keeper.wait_for(challenge) <= 1.5
