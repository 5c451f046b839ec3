"""A client that is taken off the lists: what was begun for it is given up, and no login stays at KSeF (F32)."""

from __future__ import annotations

import pytest
from support.companies import seal, signed
from support.houses import BOTH, Client, House
from support.ministry import RECEIPTS, SIGNED_LOGIN

from ksef_tui.domain.problems import Problem
from ksef_tui.services import authorising, bulk, bulk_work, clients, external, onboarding, switching

SECRETS = ("sealed_token", "sealed_operation", "sealed_refresh", "sealed_access")


ENDING = {"method": "DELETE", "path": "^/v2/auth/sessions"}


async def visiting(house: House) -> Client:
    """A client that shall sign at the desk: the request waits."""
    client = house.client()
    known = house.db.value("SELECT id FROM identity")
    onboarding.start(house.office, house.admin, client.id, known or house.identity())
    await house.carry_out(client)
    assert house.auth(client)["state"] == "to_sign"
    return client


def sign(house: House, client: Client) -> None:
    document = external.request(house.office, house.admin, client.id).document
    authorising.submit(house.office, house.admin, client.id, signed(document, seal(client.nip)))


def archived(house: House, client: Client) -> None:
    clients.archive(house.office, house.admin, client.id)


def refused(house: House, client: Client) -> str:
    """Why it stays on the lists, with nothing changed."""
    before = dict(house.auth(client))
    with pytest.raises(Problem) as caught:
        archived(house, client)
    assert dict(house.auth(client)) == before
    assert house.db.value("SELECT archived_at FROM client WHERE id = ?", (client.id,)) is None
    return caught.value.code


async def test_the_office_is_logged_out_and_keeps_nothing(house: House):
    client = await house.ready_client()
    archived(house, client)
    await house.work()
    assert [call["kind"] for call in house.calls("auth.end_current", "ended")] == ["ok"]
    row = house.auth(client)
    assert (row["state"], row["intent"], row["method"]) == ("missing", "", None)
    assert [row[name] for name in SECRETS] == [None] * 4
    assert clients.add(house.office, house.admin, client.nip, "Jodła Próbna") == client.id
    assert (await house.authorise(client))["state"] == "active"


async def test_a_logout_without_an_answer_is_tried_until_ksef_answers(house: House):
    client = await house.ready_client()
    archived(house, client)
    house.ministry.fault("html_5xx", match=ENDING)
    await house.work_until(lambda: house.calls("auth.end_current", "ended"))
    assert house.auth(client)["intent"] == "revoke"
    house.ministry.calm()
    await house.work()
    assert [call["kind"] for call in house.calls("auth.end_current", "ended")][-1] == "ok"
    assert house.auth(client)["state"] == "missing"


async def test_a_request_that_waits_for_a_signature_is_given_up(house: House):
    client = await visiting(house)
    archived(house, client)
    assert house.auth(client)["state"] == "missing"
    with pytest.raises(Problem):
        external.request(house.office, house.admin, client.id)
    assert house.db.value("SELECT count(*) FROM onboarding") == 0


async def test_a_visit_that_stopped_half_way_is_given_up_and_the_client_is_logged_out(house: House):
    client = await visiting(house)
    house.ministry.fault("operation_fails", times=1, params={"code": 500})
    sign(house, client)
    await house.carry_out(client)
    assert house.db.value("SELECT count(*) FROM client_session WHERE end_at IS NULL") == 1
    house.ministry.calm()
    archived(house, client)
    await house.work()
    assert house.db.value("SELECT count(*) FROM onboarding") == 0
    assert house.db.value("SELECT count(*) FROM client_session") == 0
    assert [call["kind"] for call in house.calls("auth.end_current", "ended")] == ["ok"]


async def test_what_runs_is_waited_for(house: House):
    client = await house.ready_client()
    authorising.start_with_identity(house.office, house.admin, client.id, house.auth(client)["identity_id"])
    assert refused(house, client) == "runs_already"
    visitor = await visiting(house)
    sign(house, visitor)
    assert refused(house, visitor) == "runs_already"


async def test_receipts_that_only_this_login_can_fetch_come_first(house: House):
    client = await house.ready_client()
    house.ministry.fault("html_5xx", match=RECEIPTS)
    [sent] = house.approved(client)
    await house.work_until(lambda: house.states([sent]) == ["accepted"])
    assert refused(house, client) == "receipts_missing"
    house.ministry.calm()
    await house.work()
    archived(house, client)


async def test_a_change_of_profile_that_waits_is_forgotten(house: House):
    client = await house.ready_client()
    other = house.identity("druga")
    switching.ask(house.office, house.admin, [client.id], other)
    archived(house, client)
    await house.work()
    assert house.db.value("SELECT count(*) FROM identity_switch") == 0
    assert house.auth(client)["state"] == "missing"


async def test_a_run_over_many_leaves_it_alone(house: House):
    identity = house.identity()
    stays, goes = house.client(*BOTH), house.client(*BOTH)
    run = bulk.begin(house.office, house.admin, "start", [stays.id, goes.id], identity)
    archived(house, goes)
    await bulk_work.see_through(house.office, house.admin, [run.run_id], lambda progress: None)
    assert (house.auth(stays)["state"], house.auth(goes)["state"]) == ("active", "missing")
    assert house.ministry.posts(SIGNED_LOGIN) == 1
    assert [one.reason for one in bulk.members(house.office, house.admin, run.run_id) if one.client_id == goes.id] == [
        "Jodła Próbna: klienta zdjęto z list."
    ]
