"""A login whose tokens were lost, with the answer or with the process, does not live on at KSeF for days (F24, F32)."""

from __future__ import annotations

from support.companies import seal, signed
from support.houses import House
from support.ministry import Ministry
from support.strangers import Stranger

from ksef_tui.services import authorising, external, onboarding

REDEEMING = {"method": "POST", "path": "/auth/token/redeem"}


async def lost(house: House, client) -> None:
    """A check whose tokens are lost on their way."""
    house.ministry.fault("lost_answer", match=REDEEMING, times=1)
    authorising.check(house.office, house.admin, client.id)
    await house.carry_out(client)
    assert house.auth(client)["reason_code"] == "unreachable"


def ended(house: House) -> list[str]:
    return [call["reference"] for call in house.calls("auth.end") if call["reference"]]


def begun(house: House, client) -> list[str]:
    return [
        row["reference"]
        for row in house.calls("auth.xades", "ended")
        if row["reference"] and row["context"] == client.nip
    ]


async def test_the_next_login_that_works_ends_it(house: House):
    client = await house.ready_client()
    await lost(house, client)
    authorising.check(house.office, house.admin, client.id)
    await house.carry_out(client)
    assert house.auth(client)["reason_code"] == ""
    assert ended(house) == [begun(house, client)[1]]
    assert len(house.calls("auth.end_current")) == 1  # the one that the new one replaced


async def test_a_login_that_was_not_interrupted_asks_for_no_list(house: House):
    client = await house.ready_client()
    for _ in range(2):
        authorising.check(house.office, house.admin, client.id)
        await house.carry_out(client)
    assert house.calls("auth.sessions") == []


async def test_one_that_was_replaced_while_nobody_answered_to_logging_out_ends_with_the_next(house: House):
    client = await house.ready_client()
    house.ministry.fault("html_5xx", match={"method": "DELETE", "path": "^/v2/auth/sessions"})
    authorising.check(house.office, house.admin, client.id)
    await house.carry_out(client)
    assert house.auth(client)["reference"] == begun(house, client)[1]
    house.ministry.calm()
    authorising.check(house.office, house.admin, client.id)
    await house.carry_out(client)
    assert ended(house) == [begun(house, client)[0]]


async def test_logging_out_ends_it_too(house: House):
    client = await house.ready_client()
    await lost(house, client)
    authorising.revoke(house.office, house.admin, client.id)
    await house.carry_out(client)
    assert house.auth(client)["state"] == "missing"
    assert ended(house) == [begun(house, client)[1]]


async def test_what_another_program_of_the_office_has_made_stays(house: House, ministry: Ministry):
    paper = seal(house.nip)
    client = house.client("InvoiceWrite", "InvoiceRead")
    house.identity("pieczęć", paper)
    await house.authorise(client)
    stranger = Stranger(ministry, client.nip, paper)
    token = await stranger.refresh_token()
    await lost(house, client)
    authorising.revoke(house.office, house.admin, client.id)
    await house.carry_out(client)
    assert ministry.refreshes(token) == 200
    assert ended(house) == [begun(house, client)[1]]


async def test_a_client_that_signs_again_leaves_no_login_of_its_first_visit(house: House):
    client, identity = house.client(), house.identity()
    for attempt in range(2):
        onboarding.start(house.office, house.admin, client.id, identity)
        await house.carry_out(client)
        document = external.request(house.office, house.admin, client.id).document
        if attempt == 0:
            house.ministry.fault("lost_answer", match=REDEEMING, times=1)
        authorising.submit(house.office, house.admin, client.id, signed(document, seal(client.nip)))
        await house.carry_out(client)
    assert house.auth(client)["state"] == "active"
    assert ended(house) == [begun(house, client)[0]]
    assert len(house.calls("auth.end_current")) == 1
