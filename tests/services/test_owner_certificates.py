"""Whose certificate may log in where: the office's own everywhere, a client's owner nowhere – but a self-service client's
own certificate at that client alone (F31, F32)."""

from __future__ import annotations

import json

import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from support.companies import new_pesel, person, seal, signed
from support.houses import BOTH, Client, House
from support.ministry import SEND, SIGNED_LOGIN

from ksef_tui.domain.problems import Problem
from ksef_tui.domain.roles import Role
from ksef_tui.services import authorising, clients, contract, external, identities, identity_views
from ksef_tui.services.worker import Worker

PAST = "2026-01-01T00:00:00.000Z"


def refused(ask) -> str:
    with pytest.raises(Problem) as caught:
        ask()
    return caught.value.code


async def a_working_owner(house: House, *, self_service: bool = False) -> tuple[Client, int, str]:
    """A client whose owner's PESEL an employee of the office has as her own profile."""
    client, pesel = house.client(), new_pesel()
    if self_service:
        clients.set_self_service(house.office, house.admin, client.id, on=True)
    house.ministry.own(client.nip, pesel)
    return client, house.identity("właścicielka", person(pesel), house.admin), pesel


async def test_an_owners_certificate_is_refused_and_logged_out_and_the_sentence_says_why(house: House):
    client, identity, pesel = await a_working_owner(house)
    row = await house.authorise(client, identity)
    assert (row["state"], row["reason_code"], row["step_failed"]) == ("failed", "owner_certificate", 1)
    assert pesel not in row["reason"]
    for said in (f"PESEL {pesel[:6]}*****", house.nip, "właściciel", "profilem"):
        assert said in row["reason"], said
    for column in ("sealed_refresh", "sealed_access", "refresh_until", "access_until"):
        assert row[column] is None, column
    assert json.loads(row["rights"]) == []
    assert [call["kind"] for call in house.calls("auth.end_current", "ended")] == ["ok"], "F32"
    [invoice] = house.approved(client)
    await house.work()
    assert house.states([invoice]) == ["approved"]


async def test_the_session_that_an_owners_certificate_made_is_over_at_ksef(house: House):
    """Not only asked for: the refresh token that KSeF gave does not work any more."""
    client, identity, _ = await a_working_owner(house)
    given: list[str] = []

    class Watch(httpx.AsyncHTTPTransport):
        async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
            response = await super().handle_async_request(request)
            if request.url.path.endswith("/token/redeem"):
                given.append(json.loads(await response.aread())["refreshToken"]["token"])
            return response

    house.office.transport = Watch()
    await house.authorise(client, identity)
    address = f"{house.ministry.url}/v2/auth/token/refresh"
    answer = httpx.post(address, headers={"Authorization": f"Bearer {given[0]}"}, trust_env=False)
    assert (len(given), answer.status_code) == (1, 400)


async def test_a_login_that_works_outlives_an_owners_certificate(house: House):
    client = await house.ready_client()
    pesel = new_pesel()
    house.ministry.own(client.nip, pesel)
    row = await house.authorise(client, house.identity("właściciel", person(pesel), house.admin))
    assert (row["state"], row["method"], row["reason_code"]) == ("active", "certificate", "owner_certificate")
    assert "działa poprzednia" in row["reason"]
    ids = house.approved(client)
    await house.work()
    assert house.states(ids) == ["accepted"]


@pytest.mark.parametrize("how", ["check", "sending"])
async def test_who_became_the_owner_after_the_login_is_logged_out_too(house: House, how: str):
    """The register may link a NIP and a PESEL any day; a refreshed token says so."""
    client, pesel = house.client(), new_pesel()
    house.ministry.grant(client.nip, pesel, *BOTH, kind="Pesel")
    assert (await house.authorise(client, house.identity("Zofia", person(pesel), house.admin)))["state"] == "active"
    house.ministry.own(client.nip, pesel)
    if how == "check":
        authorising.check(house.office, house.admin, client.id)
        await house.carry_out(client)
    else:
        house.edit("UPDATE authorization SET access_until = ?", PAST)
        house.approved(client)
        await house.work()
    row = house.auth(client)
    assert (row["state"], row["reason_code"], row["sealed_refresh"]) == ("failed", "owner_certificate", None)
    assert house.ministry.posts(SEND) == 0
    assert [call["kind"] for call in house.calls("auth.end_current", "ended")] == ["ok", "ok"], (
        "the old login and the new"
    )


async def test_the_owner_may_sign_elsewhere_and_the_office_is_owner_at_home(house: House):
    client, pesel = house.client(), new_pesel()
    house.ministry.own(client.nip, pesel)
    authorising.start_external(house.office, house.admin, client.id)
    await house.carry_out(client)
    document = external.request(house.office, house.admin, client.id).document
    authorising.submit(house.office, house.admin, client.id, signed(document, person(pesel)))
    await house.carry_out(client)
    assert (house.auth(client)["state"], "Owner" in house.auth(client)["rights"]) == ("active", True)
    own = house.db.row("SELECT id, nip FROM client WHERE office = 1")
    assert (await house.authorise(Client(own["id"], own["nip"])))["state"] == "active"


# ---- self-service clients


def own_profile(house: House, client: Client, label: str = "klienta") -> int:
    paper = seal(client.nip)
    return identities.add(house.office, house.admin, label, paper.certificate, paper.key, None, client_id=client.id)


@pytest.fixture
def own_boss(house: House) -> Client:
    """A client that works by itself."""
    client = house.client(name="Sosna Samodzielna")
    clients.set_self_service(house.office, house.admin, client.id, on=True)
    return client


async def test_a_self_service_client_works_with_its_own_seal(house: House, own_boss: Client):
    row = await house.authorise(own_boss, own_profile(house, own_boss))
    assert (row["state"], "Owner" in row["rights"]) == ("active", True)
    ids = house.approved(own_boss)
    await house.work()
    assert house.states(ids) == ["accepted"]
    house.edit("UPDATE authorization SET access_until = ?, refresh_until = ?", PAST, PAST)
    ids = house.approved(own_boss)
    await house.work()
    assert house.states(ids) == ["accepted"], "and logs in again with it"


async def test_a_self_service_clients_person_must_turn_out_to_be_the_owner(house: House, own_boss: Client):
    owner, clerk = new_pesel(), new_pesel()
    house.ministry.own(own_boss.nip, owner)
    house.ministry.grant(own_boss.nip, clerk, *BOTH, kind="Pesel")
    ids = [
        identities.add(house.office, house.admin, label, paper.certificate, paper.key, None, client_id=own_boss.id)
        for label, paper in (("pracownik", person(clerk)), ("właściciel", person(owner)))
    ]
    row = await house.authorise(own_boss, ids[0])
    assert (row["state"], row["reason_code"], row["sealed_refresh"]) == ("failed", "not_owner", None)
    assert clerk not in row["reason"]
    assert f"PESEL {clerk[:6]}*****" in row["reason"]
    assert [call["kind"] for call in house.calls("auth.end_current", "ended")] == ["ok"]
    assert (await house.authorise(own_boss, ids[1]))["state"] == "active"


def test_what_cannot_be_a_self_service_clients_own_certificate(house: House, own_boss: Client):
    other = house.client()

    def add(paper, client: Client):
        return lambda: identities.add(
            house.office, house.admin, "x", paper.certificate, paper.key, None, client_id=client.id
        )

    assert refused(add(seal(other.nip), own_boss)) == "foreign_certificate"
    assert refused(add(seal(house.nip), own_boss)) == "foreign_certificate"
    assert refused(add(seal(other.nip), other)) == "not_self_service"
    assert refused(add(person(new_pesel()), other)) == "not_self_service"
    assert refused(lambda: house.identity("x", seal(own_boss.nip))) == "foreign_certificate", "not as the office's"
    assert house.db.value("SELECT count(*) FROM identity") == 0


async def test_a_clients_own_certificate_is_offered_and_works_at_that_client_alone(house: House, own_boss: Client):
    identity, other = own_profile(house, own_boss), house.client()
    clients.set_self_service(house.office, house.admin, other.id, on=True)

    def offered(client_id: int | None) -> list[str]:
        return [row.label for row in identity_views.identities(house.office, house.admin, client_id)]

    assert (offered(own_boss.id), offered(other.id), offered(None)) == (["klienta"], [], [])
    assert [row["client"] for row in contract.identities(house.office, house.admin, 0)] == [own_boss.nip]
    assert (
        refused(lambda: authorising.start_with_identity(house.office, house.admin, other.id, identity))
        == "other_clients_identity"
    )
    assert house.ministry.posts(SIGNED_LOGIN) == 0


# What somebody with an editor makes of the database, and what the program says then.
TAMPERED = {
    "another client's identity": (
        "UPDATE authorization SET identity_id = (SELECT id FROM identity WHERE label = 'obcego')", "other_clients_identity",
    ),
    "not a self-service client": ("UPDATE client SET self_service = 0", "not_self_service"),
    "as if it were the office's": ("UPDATE identity SET client_id = NULL", "foreign_certificate"),
    "a person's as if it were the office's": (
        "UPDATE identity SET client_id = NULL, subject_type = 'Pesel'", "someone_elses",
    ),
}  # fmt: skip


@pytest.mark.parametrize("how", ["kept access", "new login"])
@pytest.mark.parametrize("edit", TAMPERED)
async def test_a_database_edited_by_hand_opens_nothing(house: House, own_boss: Client, edit: str, how: str):
    other = house.client()
    clients.set_self_service(house.office, house.admin, other.id, on=True)
    own_profile(house, other, "obcego")
    await house.authorise(own_boss, own_profile(house, own_boss))
    [invoice] = house.approved(own_boss)
    logins = house.ministry.posts(SIGNED_LOGIN)
    sql, code = TAMPERED[edit]
    house.edit(sql)
    if how == "new login":
        house.edit("UPDATE authorization SET access_until = ?, refresh_until = ?", PAST, PAST)
    await house.work()
    row = house.auth(own_boss)
    assert (row["state"], row["reason_code"]) == ("failed", code)
    assert house.states([invoice]) == ["approved"]
    assert (house.ministry.posts(SEND), house.ministry.posts(SIGNED_LOGIN)) == (0, logins)
    assert refused(lambda: authorising.check(house.office, house.admin, own_boss.id)) == code


@pytest.mark.parametrize(("certificate_too", "code"), [(False, "other_certificate"), (True, "sealed_value_broken")])
async def test_a_clients_key_does_not_open_for_another_client_whatever_the_row_says(
    house: House, own_boss: Client, certificate_too: bool, code: str
):
    """A changed `client_id` and NIP are not enough, for the certificate names another; with a certificate that names
    this one neither, for the key is sealed for its client."""
    other = house.client()
    clients.set_self_service(house.office, house.admin, other.id, on=True)
    identity = own_profile(house, own_boss)
    house.edit("UPDATE identity SET client_id = ?, subject_value = ?", other.id, other.nip)
    if certificate_too:
        certificate = x509.load_pem_x509_certificate(seal(other.nip).certificate).public_bytes(Encoding.DER)
        house.edit("UPDATE identity SET certificate = ?", certificate)
    row = await house.authorise(other, identity)
    assert (row["state"], row["reason_code"]) == ("failed", code)
    assert house.ministry.posts(SIGNED_LOGIN) == 0


async def test_self_service_is_switched_off_when_nobody_works_by_it_and_takes_its_profiles_along(
    house: House, own_boss: Client
):
    identity = own_profile(house, own_boss)

    def off() -> None:
        clients.set_self_service(house.office, house.admin, own_boss.id, on=False)

    authorising.start_with_identity(house.office, house.admin, own_boss.id, identity)
    assert refused(off) == "identity_in_use", "while it runs"
    await house.carry_out(own_boss)
    assert refused(off) == "identity_in_use"
    authorising.start_external(house.office, house.admin, own_boss.id)
    assert refused(off) == "identity_in_use", "a cancelled request would go back to it"
    authorising.cancel(house.office, house.admin, own_boss.id)
    authorising.revoke(house.office, house.admin, own_boss.id)
    await house.carry_out(own_boss)
    off()
    stored = house.db.row("SELECT removed_at, length(sealed_key) AS n FROM identity WHERE id = ?", (identity,))
    assert (stored["removed_at"] is not None, stored["n"]) == (True, 0)
    assert contract.client(house.office, house.admin, own_boss.nip)["self_service"] is False
    acts = [
        row["act"] for row in house.db.rows("SELECT act FROM audit WHERE client_id = ? ORDER BY id", (own_boss.id,))
    ]
    assert acts.count("client.self_service") == 2
    assert acts[-2:] == ["identity.remove", "client.self_service"]


async def test_an_owner_among_the_offices_people_works_for_her_own_self_service_company(house: House):
    client, identity, _ = await a_working_owner(house, self_service=True)
    assert (await house.authorise(client, identity))["state"] == "active"
    assert (
        refused(lambda: clients.set_self_service(house.office, house.admin, client.id, on=False)) == "identity_in_use"
    )


def test_only_the_administrator_makes_a_client_self_service(house: House):
    zofia = house.operator("zofia", Role.ACCOUNTANT)
    assert refused(lambda: clients.add(house.office, zofia, "5260250274", "Sama", self_service=True)) == "not_allowed"
    assert house.db.value("SELECT count(*) FROM client WHERE nip = '5260250274'") == 0
    client_id = clients.add(house.office, house.admin, "5260250274", "Sama", self_service=True)
    assert house.db.value("SELECT self_service FROM client WHERE id = ?", (client_id,)) == 1
    own = house.db.value("SELECT id FROM client WHERE office = 1")
    assert refused(lambda: clients.set_self_service(house.office, house.admin, own, on=True)) == "own_office"


async def test_a_worker_logs_nobody_in_for_a_client_that_is_not_self_service_any_more(house: House, own_boss: Client):
    """The intent was written when it still was; what holds is what is so before the signature."""
    authorising.start_with_identity(house.office, house.admin, own_boss.id, own_profile(house, own_boss))
    house.edit("UPDATE client SET self_service = 0")
    await Worker(house.office, until_idle=True).run()
    assert (house.auth(own_boss)["state"], house.auth(own_boss)["reason_code"]) == ("failed", "not_self_service")
    assert house.ministry.posts(SIGNED_LOGIN) == 0
