"""What a login may do and since when that is known; and how a login is kept alive when KSeF is ill (F25, F26, F41)."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import httpx
import pytest
from support.companies import new_pesel, person, signed
from support.houses import BOTH, Client, House
from support.ministry import SIGNED_LOGIN
from support.strangers import Stranger

from ksef_tui.cli.shared import client_line
from ksef_tui.domain.times import warsaw
from ksef_tui.services import authorising, client_views, contract, external, identity_views

PAST = "2026-01-01T00:00:00.000Z"


@pytest.mark.parametrize("times", [1, 2, 3])
async def test_f25_a_refresh_without_an_answer_is_asked_once_more_and_then_the_certificate_logs_in(
    house: House, times: int
):
    """Sporadic 5xx at night: neither a dead login nor an endless loop."""
    client = await house.ready_client()
    house.edit("UPDATE authorization SET access_until = ?", PAST)
    house.ministry.fault("html_5xx", times=times, match={"path": "^/v2/auth/token/refresh"}, params={"status": 500})
    [invoice_id] = house.approved(client)
    await house.work()
    assert house.states([invoice_id]) == ["accepted"]
    assert len(house.calls("auth.refresh")) == 2
    assert house.ministry.posts(SIGNED_LOGIN) == (1 if times == 1 else 2)


async def test_f25_a_login_signed_elsewhere_outlives_the_nights_500(house: House):
    client, pesel = house.client(), new_pesel()
    house.ministry.grant(client.nip, pesel, *BOTH, kind="Pesel")
    authorising.start_external(house.office, house.admin, client.id)
    await house.carry_out(client)
    document = external.request(house.office, house.admin, client.id).document
    authorising.submit(house.office, house.admin, client.id, signed(document, person(pesel)))
    await house.carry_out(client)
    house.edit("UPDATE authorization SET access_until = ?", PAST)
    house.ministry.fault("html_5xx", times=5, match={"path": "^/v2/auth/token/refresh"}, params={"status": 500})
    [invoice_id] = house.approved(client)
    await house.work()
    assert (house.states([invoice_id]), house.auth(client)["state"]) == (["accepted"], "active")
    assert house.ministry.posts(SIGNED_LOGIN) == 1


@pytest.mark.parametrize("code", [21115, 460])
@pytest.mark.parametrize("where", ["the client itself", "a client that is new", "a check"])
async def test_f41_bad_certificate_for_one_that_was_let_in_today_is_weather(house: House, code: int, where: str):
    """At night KSeF takes valid certificates for bad ones: nothing that works is given up for it."""
    working = await house.ready_client()
    client = house.client(*BOTH) if where == "a client that is new" else working
    house.ministry.fault("certificate_check_down", params={"code": code})
    if where == "a check":
        authorising.check(house.office, house.admin, client.id)
        await house.carry_out(client)
        row = house.auth(client)
    else:
        row = await house.authorise(client)
    assert row["state"] == ("failed" if where == "a client that is new" else "active")
    assert house.auth(working)["sealed_refresh"] is not None
    house.ministry.calm()
    assert (await house.authorise(client))["state"] == "active"


async def test_f41_a_day_later_it_is_believed(house: House):
    client = await house.ready_client()
    house.later(hours=25)
    house.ministry.fault("certificate_check_down", params={"code": 460})
    row = await house.authorise(client)
    assert (row["state"], row["reason_code"], row["sealed_refresh"]) == ("failed", "460", None)


async def test_rights_are_shown_in_letters_with_the_day_they_were_seen(house: House):
    client = await house.ready_client()
    day = f"{warsaw(datetime.now(UTC)):%d.%m}"
    row = contract.authorization(house.office, house.admin, client.nip)
    assert row["rights_seen_at"] == row["checked_at"]
    assert client_line(row).endswith(f"active  W P widziane {day}")
    view = client_views.authorization(house.office, house.admin, client.id)
    assert (view.rights_seen, view.word) == ("W P", "gotowy W P")
    other = house.client()
    await Stranger(house.ministry, other.nip).grant_office(house.nip, delegate=True)
    await house.authorise(other)
    assert client_line(contract.authorization(house.office, house.admin, other.nip)).endswith(f"W P D widziane {day}")
    none = house.client()
    row = contract.authorization(house.office, house.admin, none.nip)
    assert (row["rights_seen_at"], "widziane" in client_line(row)) == (None, False)


@pytest.mark.parametrize("kind", ["Nip", "Pesel"])
async def test_a_missing_right_is_named_with_the_identity(house: House, kind: str):
    client = house.client(name="Sosna Próbna")
    pesel = new_pesel()
    house.ministry.grant(client.nip, house.nip if kind == "Nip" else pesel, "InvoiceRead", kind=kind)
    identity = house.identity() if kind == "Nip" else house.identity("Zofia", person(pesel), house.admin)
    row = await house.authorise(client, identity)
    whose = f"NIP {house.nip}" if kind == "Nip" else f"PESEL {pesel[:6]}*****"
    assert row["reason"] == f"Sosna Próbna: klient nie nadał dla {whose} uprawnienia: wystawianie faktur."
    view = client_views.authorization(house.office, house.admin, client.id)
    assert whose in view.needed
    assert pesel not in str(view), "a person's number is on everybody's screen"


async def test_a_persons_number_is_masked_where_nobody_granted_anything(house: House):
    """415: the sentence stands on everybody's screen, the menus too."""
    client, pesel = house.client(), new_pesel()
    identity = house.identity("Zofia", person(pesel), house.admin)
    row = await house.authorise(client, identity)
    assert f"brak uprawnień w KSeF dla PESEL {pesel[:6]}*****" in row["reason"]
    assert pesel not in row["reason"] + str(client_views.authorization(house.office, house.admin, client.id))
    [one] = [i for i in identity_views.identities(house.office, house.admin) if i.id == identity]
    assert (one.subject, one.whose) == (f"PESEL {pesel}", f"PESEL {pesel[:6]}*****")


async def test_an_owner_of_whom_ksef_lists_nothing_has_all_rights(house: House):
    """Field notes 4.2: an empty list is not "no rights"."""
    own = house.db.row("SELECT id, nip FROM client WHERE office = 1")
    row = await house.authorise(Client(own["id"], own["nip"]))
    assert (row["state"], "Owner" in json.loads(row["rights"])) == ("active", True)


# What an answer of 2.9 may say of an owner, and whether it is believed where the token says nothing.
OWNED = {
    "the list of 2.9": (["InvoiceWrite", "InvoiceRead", "CredentialsManage"], "active"),
    "a right that nobody knows yet": (["SomethingNew"], "active"),
    "before 2.9": (None, "no_permission"),
    "nothing": ([], "no_permission"),
    "another shape": ({"all": True}, "no_permission"),
}  # fmt: skip


@pytest.mark.parametrize("said", OWNED)
async def test_owner_permissions_are_read_if_they_are_there(house: House, said: str):
    """Facts §7.5. The token is made unreadable, so that only the list can tell."""
    value, state = OWNED[said]

    opaque, real = "nic.z.tego", ""

    class Changed(httpx.AsyncHTTPTransport):
        async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
            nonlocal real
            if request.headers.get("Authorization") == f"Bearer {opaque}":
                request.headers["Authorization"] = f"Bearer {real}"
            response = await super().handle_async_request(request)
            if request.url.path.endswith("/token/redeem"):
                body = json.loads(await response.aread())
                real, body["accessToken"]["token"] = body["accessToken"]["token"], opaque
                return httpx.Response(200, json=body)
            if request.url.path.endswith("/query/personal/grants"):
                body = {"permissions": [], "hasMore": False, **({} if value is None else {"ownerPermissions": value})}
                return httpx.Response(200, json=body)
            return response

    house.office.transport = Changed()
    own = house.db.row("SELECT id, nip FROM client WHERE office = 1")
    row = await house.authorise(Client(own["id"], own["nip"]))
    assert row["state"] == state
