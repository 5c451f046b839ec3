"""The daily probe: who is asked about, when, with what, and what is learned (F28, F37)."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import httpx
import pytest
from support.companies import new_nip, new_pesel, person, signed
from support.houses import BOTH, Client, House
from support.ministry import REFRESH, SIGNED_LOGIN, TOKEN_LOGIN
from support.strangers import Stranger

from ksef_tui.domain.times import from_text, to_text, warsaw
from ksef_tui.services import authorising, client_views, clients, configuring, contract, external, probing
from ksef_tui.services.turn import Polls
from ksef_tui.services.worker import Worker, one_pass


def due(house: House) -> int | None:
    return probing.next_due(house.office)


async def probe(house: House, client: Client) -> None:
    """The pass that a worker makes for the client whose turn it is."""
    worker = Worker(house.office)
    try:
        await one_pass(worker, client.id, Polls(), probe=True)
    finally:
        await worker.api.aclose()


async def a_day_later(house: House, client: Client) -> None:
    house.later(days=1)
    assert due(house) == client.id
    await probe(house, client)


def word(house: House, client: Client) -> str:
    return client_views.authorization(house.office, house.admin, client.id).word


# ---- when


def test_each_client_has_its_own_moment_of_the_day_for_good_and_they_are_spread():
    noon = datetime(2026, 11, 24, 12, tzinfo=UTC)
    nips = [new_nip() for _ in range(500)]
    slots = [probing.next_slot(nip, noon) for nip in nips]
    assert all(noon < slot <= noon + timedelta(days=1) for slot in slots)
    assert slots == [probing.next_slot(nip, noon) for nip in nips]
    assert all(probing.next_slot(nip, slot) == slot + timedelta(days=1) for nip, slot in zip(nips, slots, strict=True))
    hours = [slot.hour for slot in slots]
    assert max(hours.count(hour) for hour in range(24)) < 50, "20.8 an hour on the average"


async def test_a_client_is_due_once_a_day_at_its_moment(house: House):
    client = await house.ready_client()
    assert due(house) is None, "somebody looked today"
    now = datetime.now(UTC)
    wait = probing.next_slot(client.nip, now) - now
    house.later(seconds=wait.total_seconds() - 30)
    assert due(house) is None
    house.later(seconds=60)
    assert due(house) == client.id
    await probe(house, client)
    assert due(house) is None
    house.later(hours=23)
    assert due(house) is None
    house.later(hours=2)
    assert due(house) == client.id


async def test_a_check_by_a_person_counts_for_the_day(house: House):
    client = await house.ready_client()
    house.later(days=1)
    authorising.check(house.office, house.admin, client.id)
    await house.carry_out(client)
    assert due(house) is None


async def test_after_a_night_switched_off_they_are_asked_one_by_one_the_longest_waiting_first(house: House):
    them = [await house.ready_client() for _ in range(3)]
    house.later(days=2)
    order = sorted(them, key=lambda c: probing.next_slot(c.nip, from_text(house.auth(c)["checked_at"])))
    for client in order:
        assert due(house) == client.id
        await probe(house, client)
        assert due(house) is None, "not yet the next one"
        house.later(seconds=11)
        assert due(house) is None
        house.later(seconds=2)
    assert due(house) is None


async def test_a_worker_asks_and_one_that_ends_when_idle_does_not(house: House):
    client = await house.ready_client()
    house.later(days=1)
    await house.work()
    assert house.ministry.posts(SIGNED_LOGIN) == 1
    await house.work_until(lambda: due(house) is None)
    assert house.ministry.posts(SIGNED_LOGIN) == 2
    assert house.auth(client)["state"] == "active"


async def test_two_workers_ask_once(house: House):
    client = await house.ready_client()
    house.later(days=1)
    await probe(house, client)
    await probe(house, client)
    assert house.ministry.posts(SIGNED_LOGIN) == 2


async def test_no_probe_while_a_person_waits_for_something(house: House):
    client, other = await house.ready_client(), house.client(*BOTH)
    house.later(days=1)
    authorising.start_with_identity(house.office, house.admin, other.id, house.db.value("SELECT id FROM identity"))
    assert due(house) is None
    await probe(house, client)
    assert house.ministry.posts(SIGNED_LOGIN) == 1
    await house.carry_out(other)
    assert due(house) == client.id


async def test_the_setting_switches_probes_off(house: House):
    client = await house.ready_client()
    house.later(days=1)
    configuring.change(house.office, house.admin, "probe", "0")
    assert due(house) is None
    configuring.change(house.office, house.admin, "probe", "1")
    assert due(house) == client.id


# ---- who

# How a client comes to stand as it does, and whether it is asked about.
WHO = {
    "active": ("state = 'active'", True),
    "only reading": ("state = 'read_only'", True),
    "no rights": ("state = 'no_permission'", True),
    "blocked": ("state = 'blocked'", True),
    "a letter was sent": ("state = 'requested'", True),
    "failed by weather": ("state = 'failed', reason_code = 'unreachable'", True),
    "failed when KSeF was ill": ("state = 'failed', reason_code = '550'", True),
    "failed while certificates could not be checked": ("state = 'failed', reason_code = '460'", True),
    "refused for good": ("state = 'failed', reason_code = '450'", False),
    "an owner's certificate": ("state = 'failed', reason_code = 'owner_certificate'", False),
    "never authorised": ("state = 'missing', method = NULL, identity_id = NULL", False),
    "a letter, never authorised": ("state = 'requested', method = NULL, identity_id = NULL", False),
    "waits for a signature": ("state = 'to_sign'", False),
    "the service has ended": ("state = 'ended'", False),
    "its time is over": ("valid_until = '2026-01-01T00:00:00.000Z'", False),
}  # fmt: skip


@pytest.mark.parametrize("who", WHO)
async def test_who_is_asked_about(house: House, who: str):
    client = await house.ready_client()
    change, asked = WHO[who]
    house.edit(f"UPDATE authorization SET {change} WHERE client_id = ?", client.id)
    house.later(days=1)
    assert due(house) == (client.id if asked else None)


@pytest.mark.parametrize("gone", ["stopped_at", "removed_at", "revoked_at"])
async def test_an_identity_that_may_not_sign_probes_nothing(house: House, gone: str):
    await house.ready_client()
    house.edit(f"UPDATE identity SET {gone} = ?", to_text(datetime.now(UTC)))
    house.later(days=1)
    assert due(house) is None


async def test_archived_clients_are_left_alone(house: House):
    client = await house.ready_client()
    clients.archive(house.office, house.admin, client.id)
    house.later(days=1)
    assert due(house) is None


# ---- with what, and what is learned


async def test_a_right_that_was_taken_back_is_seen_with_its_day_and_the_day_stays(house: House):
    """F28: everything still says active, and nobody sends anything."""
    client = await house.ready_client()
    house.ministry.take_back(client.nip, house.nip)
    await a_day_later(house, client)
    row = house.auth(client)
    assert (row["state"], row["reason_code"]) == ("no_permission", "withdrawn")
    seen = f"klient odebrał {warsaw(house.office.clock()):%d.%m}"
    assert word(house, client) == seen
    assert house.nip in row["reason"]
    await a_day_later(house, client)
    assert word(house, client) == seen, "not the day of the last look"
    house.ministry.grant(client.nip, house.nip, *BOTH)
    await a_day_later(house, client)
    assert word(house, client) == "gotowy W P"
    house.ministry.take_back(client.nip, house.nip)
    await a_day_later(house, client)
    assert word(house, client) == f"klient odebrał {warsaw(house.office.clock()):%d.%m}"


async def test_a_right_that_became_smaller_or_was_granted_at_last_is_seen(house: House):
    client, waiting = await house.ready_client(), house.client()
    assert (await house.authorise(waiting))["state"] == "no_permission"
    authorising.requested(house.office, house.admin, waiting.id)
    house.ministry.take_back(client.nip, house.nip)
    house.ministry.grant(client.nip, house.nip, "InvoiceRead")
    house.ministry.grant(waiting.nip, house.nip, *BOTH)
    house.later(days=2)
    for _ in range(2):
        which = due(house)
        await probe(house, client if which == client.id else waiting)
        house.later(seconds=15)
    assert (house.auth(client)["state"], house.auth(waiting)["state"]) == ("read_only", "active")
    assert f"odebrał uprawnienie: wystawianie faktur (dla NIP {house.nip})" in house.auth(client)["reason"]


async def test_a_probe_replaces_the_login_and_ends_the_old_one(house: House):
    client = await house.ready_client()
    before = house.auth(client)
    await a_day_later(house, client)
    after = house.auth(client)
    assert after["reference"] != before["reference"]
    assert [row["kind"] for row in house.calls("auth.end_current", "ended")] == ["ok"]


async def test_a_token_logs_in_by_itself(house: House):
    client = house.client()
    await house.authorise_with_token(client, await Stranger(house.ministry, client.nip).token(*BOTH))
    await a_day_later(house, client)
    assert house.ministry.posts(TOKEN_LOGIN) == 2
    assert contract.authorization(house.office, house.admin, client.nip)["status"] in ("active", "expiring")


async def a_persons_client(house: House) -> tuple[Client, str]:
    client, pesel = house.client(), new_pesel()
    house.ministry.grant(client.nip, pesel, *BOTH, kind="Pesel")
    assert (await house.authorise(client, house.identity("Zofia", person(pesel), house.admin)))["state"] == "active"
    return client, pesel


async def test_a_persons_certificate_signs_nothing_for_a_probe(house: House):
    client, pesel = await a_persons_client(house)
    await a_day_later(house, client)
    assert (house.ministry.posts(SIGNED_LOGIN), house.ministry.posts(REFRESH)) == (1, 1)
    assert (house.auth(client)["state"], json.loads(house.auth(client)["rights"])) == ("active", sorted(BOTH))
    house.ministry.take_back(client.nip, pesel, "Pesel")
    house.ministry.grant(client.nip, pesel, "InvoiceRead", kind="Pesel")
    await a_day_later(house, client)
    assert house.auth(client)["state"] == "read_only"
    assert pesel not in house.auth(client)["reason"]
    assert f"PESEL {pesel[:6]}*****" in house.auth(client)["reason"]
    assert house.ministry.posts(SIGNED_LOGIN) == 1


async def test_a_persons_login_that_cannot_be_refreshed_is_left_to_that_person(house: House):
    client, _ = await a_persons_client(house)
    house.ministry.fault("auth_revoked", times=1)
    await a_day_later(house, client)
    row = house.auth(client)
    assert (row["state"], row["sealed_refresh"]) == ("active", None), "KSeF said nothing about rights"
    house.later(days=1)
    assert due(house) is None, "nothing is left to ask with"
    assert house.ministry.posts(SIGNED_LOGIN) == 1
    authorising.check(house.office, house.admin, client.id)
    await house.carry_out(client)
    assert house.auth(client)["state"] == "active"


async def test_a_login_that_somebody_signed_for_is_refreshed_and_its_end_is_seen(house: House):
    client, pesel = house.client(), new_pesel()
    house.ministry.grant(client.nip, pesel, *BOTH, kind="Pesel")
    authorising.start_external(house.office, house.admin, client.id)
    await house.carry_out(client)
    document = external.request(house.office, house.admin, client.id).document
    authorising.submit(house.office, house.admin, client.id, signed(document, person(pesel)))
    await house.carry_out(client)
    await a_day_later(house, client)
    assert (house.ministry.posts(SIGNED_LOGIN), house.ministry.posts(REFRESH)) == (1, 1)
    assert house.auth(client)["state"] == "active"
    house.ministry.take_back(client.nip, pesel, "Pesel")
    await a_day_later(house, client)
    assert (house.auth(client)["state"], house.auth(client)["reason_code"]) == ("expired", "sign_again")
    house.later(days=1)
    assert due(house) is None


async def test_weather_changes_nothing_and_the_same_day_has_another_look(house: House):
    client = await house.ready_client()
    before = house.auth(client)
    house.ministry.fault("outage", match={"path": "^/v2/auth"})
    await a_day_later(house, client)
    after = house.auth(client)
    assert dict(after) == dict(before)
    assert due(house) is None
    house.ministry.calm()
    house.later(minutes=61)
    assert due(house) == client.id
    await probe(house, client)
    assert house.auth(client)["checked_at"] > before["checked_at"]


async def test_a_block_is_seen_by_a_probe_and_its_end_too(house: House):
    client = await house.ready_client()
    house.ministry.block(client.nip)
    await a_day_later(house, client)
    await house.work()
    assert (house.auth(client)["state"], house.auth(client)["reason_code"]) == ("blocked", "480")
    logins = house.ministry.posts(SIGNED_LOGIN)
    await a_day_later(house, client)
    await house.work()
    assert house.ministry.posts(SIGNED_LOGIN) == logins + 1, "the identity was tested when the block was new"
    house.ministry.unblock(client.nip)
    await a_day_later(house, client)
    assert house.auth(client)["state"] == "active"


async def test_what_a_person_asks_during_a_probe_is_not_lost(house: House):
    """The probe does not know of the wish; its answer must not settle it."""
    client = await house.ready_client()
    house.later(days=1)
    asked: list[str] = []

    class Watch(httpx.AsyncHTTPTransport):
        async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
            if request.url.path.endswith("/auth/challenge") and not asked:
                asked.append("revoke")
                authorising.revoke(house.office, house.admin, client.id)
            return await super().handle_async_request(request)

    house.office.transport = Watch()
    await probe(house, client)
    assert asked
    await house.carry_out(client)
    assert (house.auth(client)["state"], house.auth(client)["intent"]) == ("missing", "")
