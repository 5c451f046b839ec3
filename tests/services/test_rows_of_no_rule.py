"""What KSeF and the ways to it do besides (field notes F20, F38, F40, F42, F55): nothing of it loses or doubles an invoice."""

from __future__ import annotations

import httpx
from support import papers
from support.houses import House
from support.ministry import OPEN, SEND

from ksef_tui.services import configuring
from ksef_tui.services.turn import Polls
from ksef_tui.services.worker import Worker, one_pass


async def test_rule_07_f14_a_package_is_closed_by_us_for_it_never_closes_itself(house: House):
    configuring.change(house.office, house.admin, "batch_from", "3")
    client = await house.ready_client()
    ids = house.approved(client, *(papers.invoice(client.nip) for _ in range(3)))
    house.ministry.fault("lost_request", times=3, match={"method": "POST", "path": "/close$"})
    await house.work()
    assert house.states(ids) == ["accepted"] * 3
    assert len(house.calls("batch.close")) == 4
    assert house.ministry.posts("POST /v2/sessions/batch") == 1


async def test_rule_09_f20_f44_a_session_that_dies_of_its_key_makes_the_next_one_fetch_the_key_anew(house: House):
    """KSeF finds only after the opening that it cannot read the key: the sending is refused with 21180."""
    client = await house.ready_client()
    house.ministry.fault("key_unreadable", times=1)
    [one] = house.approved(client)
    worker = Worker(house.office, until_idle=True)
    await worker.keys.get("SymmetricKeyEncryption")
    await worker.run()
    assert house.states([one]) == ["accepted"]
    assert len(house.calls("public_keys")) == 2, "once more after the session had died"
    assert house.db.value("SELECT code FROM session ORDER BY id LIMIT 1") == 415
    assert (house.ministry.posts(OPEN), house.ministry.posts(SEND)) in ((2, 1), (2, 2))


async def test_rule_10_f38_the_longer_it_takes_the_rarer_ksef_is_asked(house: House):
    client = await house.ready_client()
    house.ministry.fault("stuck")
    [one] = house.approved(client)
    await house.work_until(lambda: len(house.calls("session.invoice", "ended")) >= 2)
    house.later(minutes=30)
    before = len(house.calls("session.invoice"))
    worker, polls = Worker(house.office), Polls()
    waits = [await one_pass(worker, client.id, polls) for _ in range(5)]
    await worker.api.aclose()
    assert len(house.calls("session.invoice")) == before + 1
    assert all(wait is not None and 50 < wait <= 60 for wait in waits)
    assert house.states([one]) == ["processing"]


async def test_f40_the_ministrys_status_service_is_never_asked_before_sending(house: House):
    client = await house.ready_client()
    house.ministry.fault("lighthouse_down")
    [one] = house.approved(client)
    await house.work()
    assert house.states([one]) == ["accepted"]
    assert house.ministry.struck("lighthouse_down") == 0
    assert httpx.get(f"{house.ministry.url}/latarnia/status", trust_env=False).status_code == 504


async def test_f42_a_page_at_the_old_address_frees_nothing_and_denies_nothing(house: House):
    client = await house.ready_client()
    house.ministry.fault("moved")
    [one] = house.approved(client)
    unknown = "SELECT count(*) FROM journal WHERE kind = 'unknown' AND status = 404"
    await house.work_until(lambda: house.db.value(unknown))
    assert (house.states([one]), house.auth(client)["state"]) == (["approved"], "active")
    house.ministry.calm()
    await house.work()
    assert house.states([one]) == ["accepted"]


async def test_f55_fields_that_nobody_knows_and_empty_ones_change_nothing(house: House):
    house.ministry.fault("new_fields")
    client = await house.ready_client()
    documents = [papers.invoice(client.nip) for _ in range(3)]
    ids = house.approved(client, *documents)
    await house.work()
    assert house.states(ids) == ["accepted"] * 3
    assert {house.invoice(one)["upo"] for one in ids} == {"saved"}
    assert house.ministry.struck("new_fields") > 10
