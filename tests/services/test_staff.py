"""Employees' rights at clients: given and taken back once, and shown by what works, not by what KSeF lists (F28)."""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime

import pytest
from support import papers
from support.client_side import ClientSide
from support.companies import new_nip, new_pesel, person
from support.houses import Client as OfficeClient
from support.houses import House
from support.ministry import SIGNED_LOGIN

from ksef_tui.domain.problems import Problem
from ksef_tui.domain.roles import Operator, Role
from ksef_tui.domain.secret import Secret
from ksef_tui.domain.staff import READ, WRITE
from ksef_tui.domain.times import polish_day
from ksef_tui.services import (
    approving,
    authorising,
    clients,
    staff,
    staff_orders,
    staff_views,
)
from ksef_tui.services import (
    office as offices_service,
)
from ksef_tui.services.staff import Newcomer
from ksef_tui.services.worker import Worker

GRANT = "POST /v2/permissions/indirect/grants"
GRANTING = {"method": "POST", "path": "/permissions/indirect/grants$"}
REVOKING = {"method": "DELETE", "path": "/permissions/common/grants/"}


def today() -> str:
    return f"{polish_day(datetime.now(UTC)):%d.%m}"


def zofia(pesel: str, first: str = "Zofia", last: str = "Próbna") -> Newcomer:
    return Newcomer("Pesel", Secret(pesel), first, last)


async def own_account(house: House) -> None:
    """The office is logged in where it gives rights: in its own context, as its owner."""
    own = OfficeClient(staff.own_client(house.office), house.nip)
    row = await house.authorise(own)
    assert row["state"] == "active", dict(row)


@pytest.fixture
async def at_home(house: House) -> House:
    await own_account(house)
    return house


async def settle(house: House, operator: Operator | None = None) -> None:
    await staff_orders.carry_out(house.office, operator or house.admin, patience=30.0)


async def delegating_client(
    house: House, *rights: str, delegate: bool = True, name: str = "Jodła Próbna"
) -> OfficeClient:
    client = house.client(name=name)
    async with ClientSide(house.ministry.url, client.nip) as side:
        await side.grant(house.nip, rights or (WRITE, READ), delegate=delegate)
    return client


async def code(house: House, client: OfficeClient, pesel: str) -> int:
    """How KSeF judges a login of this person in the client's context."""
    async with ClientSide(house.ministry.url, client.nip, person(pesel)) as side:
        return await side.login_code()


def works(house: House, client: OfficeClient) -> list[str]:
    return [row.words for row in staff_views.at_client(house.office, house.admin, client.id)]


def state_of(house: House, order_id: int) -> str:
    return str(house.db.value("SELECT state FROM staff_order WHERE id = ?", (order_id,)))


async def granted(house: House, client: OfficeClient | None, pesel: str, *scopes: str) -> int:
    """A right given to the end; the person's number."""
    order = staff.grant(house.office, house.admin, zofia(pesel), client and client.id, scopes or (WRITE, READ))
    await settle(house)
    row = house.db.row("SELECT * FROM staff_order WHERE id = ?", (order,))
    assert row["state"] == "done", dict(row)
    return int(row["person_id"])


async def test_a_right_to_one_client_lets_the_employee_in_there_and_nowhere_else(at_home: House):
    client, other, pesel = await delegating_client(at_home), await delegating_client(at_home), new_pesel()
    assert await code(at_home, client, pesel) == 415
    await granted(at_home, client, pesel)
    assert works(at_home, client) == ["W P"]
    assert works(at_home, other) == []
    assert await code(at_home, client, pesel) == 200
    assert await code(at_home, other, pesel) == 415


async def test_a_right_to_all_clients_works_where_the_client_passes_it_on_also_later(at_home: House):
    client, pesel = await delegating_client(at_home, READ), new_pesel()
    bare = await delegating_client(at_home, delegate=False, name="Sosna Próbna")
    person_id = await granted(at_home, None, pesel)
    assert works(at_home, client) == ["P (więcej klient nie przekazał)"]
    assert works(at_home, bare) == ["nic: klient nie nadał prawa dalszego przekazywania"]
    [row] = staff_views.people(at_home.office, at_home.admin)
    assert (row.person_id, row.nip, row.words) == (person_id, "", "działa u 1 z 2 klientów")
    later = await delegating_client(at_home, name="Brzoza Próbna")
    assert works(at_home, later) == ["nic: klient nie nadał biuru uprawnień"]
    staff.refresh(at_home.office, at_home.admin)
    await settle(at_home)
    assert works(at_home, later) == ["W P"]
    assert await code(at_home, later, pesel) == 200


async def test_only_reading_when_only_reading_was_asked(at_home: House):
    client, pesel = await delegating_client(at_home), new_pesel()
    await granted(at_home, client, pesel, READ)
    assert works(at_home, client) == ["P"]
    async with ClientSide(at_home.ministry.url, client.nip, person(pesel)) as side:
        [own] = await side.api.personal_grants(await side.access())
    assert own.permission_scope == READ


async def test_a_client_that_may_not_be_passed_on_is_refused_with_what_the_client_must_do(at_home: House):
    client = await delegating_client(at_home, delegate=False)
    order = staff.grant(at_home.office, at_home.admin, zofia(new_pesel()), client.id)
    await settle(at_home)
    [row] = staff_views.orders(at_home.office, at_home.admin, 0)
    assert (row["order"], row["state"], row["reason_code"]) == (order, "failed", "430")
    assert "z prawem do dalszego przekazywania" in row["reason"]


async def test_the_employee_works_until_the_client_withdraws_and_the_program_says_so_at_once(at_home: House):
    house = at_home
    client, pesel = await delegating_client(house), new_pesel()
    operator = house.operator("zofia", Role.ACCOUNTANT)
    await granted(house, client, pesel)
    identity = house.identity("Zofia", person(pesel), operator)
    row = await house.authorise(client, identity, operator)
    assert (row["state"], sorted(json.loads(row["rights"]))) == ("active", [READ, WRITE])
    [invoice] = house.bring(client, papers.invoice(client.nip))
    assert approving.approve(house.office, operator, [invoice]).done == 1
    await house.work()
    assert house.states([invoice]) == ["accepted"]
    [listed] = staff_views.at_client(house.office, house.admin, client.id)
    assert (listed.words, listed.operator) == ("W P", "zofia")

    async with ClientSide(house.ministry.url, client.nip) as side:
        await side.take_back(house.nip)
    assert await code(house, client, pesel) == 415
    authorising.check(house.office, operator, client.id)
    await house.carry_out(client)
    assert house.auth(client)["state"] == "no_permission"
    # nobody has read the lists anew: the refused login is what is known newest
    assert works(house, client) == [f"nic: klient odebrał {today()}"]
    staff.refresh(house.office, house.admin)
    await settle(house)
    assert works(house, client)[0].startswith("nic: ")


async def test_a_withdrawal_is_seen_by_the_list_although_the_grant_is_still_there(at_home: House):
    client, pesel = await delegating_client(at_home), new_pesel()
    await delegating_client(at_home, name="Sosna Próbna")
    person_id = await granted(at_home, client, pesel)
    async with ClientSide(at_home.ministry.url, client.nip) as side:
        await side.take_back(at_home.nip, WRITE)
        staff.refresh(at_home.office, at_home.admin)
        await settle(at_home)
        assert works(at_home, client) == ["P (więcej klient nie przekazał)"]
        await side.take_back(at_home.nip)
        staff.refresh(at_home.office, at_home.admin)
        await settle(at_home)
        assert works(at_home, client) == [f"nic: klient odebrał {today()}"]
        # a new right without delegation revives nothing (F28)
        await side.grant(at_home.nip, delegate=False)
    staff.refresh(at_home.office, at_home.admin)
    await settle(at_home)
    assert works(at_home, client) == ["nic: klient nie nadał prawa dalszego przekazywania"]
    assert {row.person_id for row in staff_views.at_client(at_home.office, at_home.admin, client.id)} == {person_id}


async def test_whom_the_list_names_no_more_is_asked_about_at_once(at_home: House):
    """Else the badge says "gotowy" until the daily probe, beside a list of employees that knows better."""
    client, other = await delegating_client(at_home), await delegating_client(at_home, name="Sosna Próbna")
    for one in (client, other):
        assert (await at_home.authorise(one))["state"] == "active"
    async with ClientSide(at_home.ministry.url, client.nip) as side:
        await side.take_back(at_home.nip)
    staff.refresh(at_home.office, at_home.admin)
    await settle(at_home)
    assert at_home.auth(client)["state"] == "active", "the list by itself takes nothing away"
    assert [at_home.auth(one)["intent"] for one in (client, other)] == ["check", ""]
    await at_home.carry_out(client)
    assert (at_home.auth(client)["state"], at_home.auth(client)["reason_code"]) == ("no_permission", "withdrawn")


async def test_an_empty_list_of_what_was_received_deletes_nothing_and_says_so(at_home: House):
    client, pesel = await delegating_client(at_home), new_pesel()
    await granted(at_home, client, pesel)
    async with ClientSide(at_home.ministry.url, client.nip) as side:
        await side.take_back(at_home.nip)
    staff.refresh(at_home.office, at_home.admin)
    await settle(at_home)
    assert staff_views.status(at_home.office, at_home.admin).empty
    assert not at_home.db.value("SELECT count(*) FROM authorization WHERE intent <> ''")
    assert works(at_home, client) == ["nic: KSeF podaje uprawnienie jako nieaktywne"]


async def test_the_offices_own_refused_login_empties_the_employees_right_at_once(at_home: House):
    client, pesel = await delegating_client(at_home), new_pesel()
    await granted(at_home, client, pesel)
    await at_home.authorise(client)
    assert works(at_home, client) == ["W P"]
    async with ClientSide(at_home.ministry.url, client.nip) as side:
        await side.take_back(at_home.nip)
    authorising.check(at_home.office, at_home.admin, client.id)
    await at_home.carry_out(client)
    assert works(at_home, client) == [f"nic: klient odebrał {today()}"]


async def test_taking_back_ends_the_employees_login(at_home: House):
    client, pesel = await delegating_client(at_home), new_pesel()
    person_id = await granted(at_home, client, pesel)
    orders = staff.revoke(at_home.office, at_home.admin, person_id, client.id)
    await settle(at_home)
    assert [state_of(at_home, order) for order in orders] == ["done", "done"]
    assert works(at_home, client) == []
    assert await code(at_home, client, pesel) == 415


async def test_one_right_is_taken_back_and_the_other_stays(at_home: House):
    client, pesel = await delegating_client(at_home), new_pesel()
    person_id = await granted(at_home, client, pesel)
    staff.revoke(at_home.office, at_home.admin, person_id, client.id, (WRITE,))
    await settle(at_home)
    assert works(at_home, client) == ["P"]
    order = staff.grant_more(at_home.office, at_home.admin, person_id, client.id)
    assert json.loads(at_home.db.value("SELECT scopes FROM staff_order WHERE id = ?", (order,))) == [WRITE]
    await settle(at_home)
    assert works(at_home, client) == ["W P"]


async def test_a_worker_carries_out_what_was_only_written_down(at_home: House):
    client, pesel = await delegating_client(at_home), new_pesel()
    order = staff.grant(at_home.office, at_home.admin, zofia(pesel), client.id)
    assert at_home.ministry.posts(GRANT) == 0
    await at_home.work()
    assert state_of(at_home, order) == "done"
    assert works(at_home, client) == ["W P"]


async def test_a_lost_answer_is_settled_by_reading_and_the_grant_is_made_once(at_home: House):
    client, pesel = await delegating_client(at_home), new_pesel()
    at_home.ministry.fault("lost_answer", times=1, match=GRANTING)
    order = staff.grant(at_home.office, at_home.admin, zofia(pesel), client.id)
    await settle(at_home)
    assert state_of(at_home, order) == "done"
    assert len(at_home.calls("grant.indirect")) == 1
    assert works(at_home, client) == ["W P"]


async def test_what_never_arrived_fails_after_a_while_and_is_not_sent_again_by_itself(at_home: House):
    client, pesel = await delegating_client(at_home), new_pesel()
    at_home.ministry.fault("html_5xx", times=1, match=GRANTING)
    order = staff.grant(at_home.office, at_home.admin, zofia(pesel), client.id)
    await staff_orders.carry_out(at_home.office, at_home.admin, patience=1.0)
    assert state_of(at_home, order) == "unknown"
    at_home.later(minutes=3)
    await settle(at_home)
    row = at_home.db.row("SELECT * FROM staff_order WHERE id = ?", (order,))
    assert (row["state"], row["reason_code"]) == ("failed", "not_there")
    assert len(at_home.calls("grant.indirect")) == 1
    assert works(at_home, client) == []


async def test_a_program_killed_between_writing_and_the_answer_resumes_by_reading(at_home: House):
    client, pesel = await delegating_client(at_home), new_pesel()
    person_id = await granted(at_home, client, pesel)
    grant = staff.grant(at_home.office, at_home.admin, zofia(new_pesel(), "Jan", "Niebyły"), client.id)
    [revoke, _] = staff.revoke(at_home.office, at_home.admin, person_id, client.id)
    at_home.edit(
        "UPDATE staff_order SET state = 'sent', sent_at = asked_at WHERE id IN (?, ?)", grant, revoke
    )  # as a kill -9 right after the commit leaves them
    at_home.later(minutes=3)
    await settle(at_home)
    # neither arrived, and neither is sent again: the list tells
    assert (state_of(at_home, grant), state_of(at_home, revoke)) == ("failed", "failed")
    assert len(at_home.calls("grant.indirect")) == 1
    assert len(at_home.calls("grant.revoke")) == 1


async def test_an_order_that_never_left_waits_and_goes_out_later(at_home: House, own_ministry):
    client, pesel = await delegating_client(at_home), new_pesel()
    order = staff.grant(at_home.office, at_home.admin, zofia(pesel), client.id)
    at_home.ministry.fault("rate_limited", times=1, match=GRANTING, params={"retry_after": 1})
    await settle(at_home)
    assert state_of(at_home, order) == "done"
    assert works(at_home, client) == ["W P"]


async def test_dismissal_takes_everything_back_and_ends_what_the_persons_certificate_started(at_home: House):
    house = at_home
    client, second, pesel = await delegating_client(house), await delegating_client(house, name="Sosna"), new_pesel()
    operator = house.operator("zofia", Role.ACCOUNTANT)
    person_id = await granted(house, client, pesel)
    staff.grant_more(house.office, house.admin, person_id, None)
    await settle(house)
    identity = house.identity("Zofia", person(pesel), operator)
    await house.authorise(client, identity, operator)
    [approved] = house.bring(client, papers.invoice(client.nip))
    approving.approve(house.office, operator, [approved])

    done = staff.dismiss(house.office, house.admin, person_id)
    assert (done.operators, done.ending) == (("zofia",), (client.id,))
    with pytest.raises(Problem) as caught:
        offices_service.operator_named(house.office, "zofia")
    assert caught.value.code == "unknown_operator"
    await house.work()
    assert house.db.value("SELECT count(*) FROM staff_grant WHERE person_id = ?", (person_id,)) == 0
    assert house.auth(client)["state"] == "missing"
    assert house.states([approved]) == ["approved"]
    assert house.ministry.numbered(client.nip) == []
    assert bytes(house.db.value("SELECT sealed_key FROM identity WHERE id = ?", (identity,))) == b""
    assert [await code(house, c, pesel) for c in (client, second)] == [415, 415]
    assert staff_views.people(house.office, house.admin) == []
    assert len(house.calls("auth.end_current")) == 1


async def test_what_the_list_did_not_know_of_a_dismissed_person_is_taken_back_too(at_home: House):
    client, pesel = await delegating_client(at_home), new_pesel()
    person_id = await granted(at_home, client, pesel)
    at_home.edit("DELETE FROM staff_grant WHERE scope = ?", WRITE)
    staff.dismiss(at_home.office, at_home.admin, person_id)
    await settle(at_home)
    assert await code(at_home, client, pesel) == 415


async def test_the_login_of_who_left_ends_when_the_invoices_are_in(at_home: House):
    house = at_home
    client, pesel = await delegating_client(house), new_pesel()
    operator = house.operator("zofia", Role.ACCOUNTANT)
    person_id = await granted(house, client, pesel)
    await house.authorise(client, house.identity("Zofia", person(pesel), operator), operator)
    [sent, more] = house.bring(client, papers.invoice(client.nip), papers.invoice(client.nip))
    approving.approve(house.office, operator, [sent])
    house.ministry.fault("stuck")
    await house.work_until(lambda: house.states([sent]) == ["processing"])
    done = staff.dismiss(house.office, house.admin, person_id)
    assert (done.ending, done.ending_later) == ((), (client.id,))
    # whatever says that they approved it: who has left sends nothing
    house.edit("UPDATE invoice SET state = 'approved', approved_by = ? WHERE id = ?", operator.id, more)
    signatures = house.ministry.posts(SIGNED_LOGIN)
    house.ministry.calm()
    await house.work()
    assert house.states([sent, more]) == ["accepted", "approved"]
    assert house.ministry.posts(SIGNED_LOGIN) == signatures
    assert house.auth(client)["state"] == "missing"


async def test_nobody_dismisses_themselves(at_home: House):
    client, pesel = await delegating_client(at_home), new_pesel()
    person_id = await granted(at_home, client, pesel)
    at_home.identity("szef", person(pesel), at_home.admin)
    with pytest.raises(Problem) as caught:
        staff.dismiss(at_home.office, at_home.admin, person_id)
    assert caught.value.code == "oneself"
    assert state_of(at_home, 1) == "done"
    assert works(at_home, client) == ["W P"]


async def test_an_accountant_sees_and_does_not_give_and_a_client_sees_nothing(at_home: House):
    client, pesel = await delegating_client(at_home), new_pesel()
    person_id = await granted(at_home, client, pesel)
    accountant, theirs = at_home.operator("ola", Role.ACCOUNTANT), at_home.operator("klient", Role.CLIENT, client)
    assert [row.words for row in staff_views.at_client(at_home.office, accountant, client.id)] == ["W P"]
    staff.refresh(at_home.office, accountant)
    await settle(at_home, accountant)
    for act in (
        lambda o: staff.grant(at_home.office, o, zofia(new_pesel()), client.id),
        lambda o: staff.revoke(at_home.office, o, person_id, client.id),
        lambda o: staff.dismiss(at_home.office, o, person_id),
    ):
        for who in (accountant, theirs):
            with pytest.raises(Problem) as caught:
                act(who)
            assert caught.value.code == "not_allowed"
    for look in (staff_views.people, staff_views.status):
        with pytest.raises(Problem):
            look(at_home.office, theirs)
    assert at_home.db.value("SELECT count(*) FROM staff_order WHERE state = 'wanted'") == 0


async def test_without_a_login_of_the_office_it_is_said_what_to_do_first(house: House):
    client = house.client()
    with pytest.raises(Problem) as caught:
        staff.grant(house.office, house.admin, zofia(new_pesel()), client.id)
    assert caught.value.code == "office_not_authorised"
    assert house.nip in caught.value.message
    assert house.db.value("SELECT count(*) FROM staff_person") == 0


async def test_a_login_that_may_not_manage_rights_says_which_right_is_missing(house: House):
    """A person with reading rights only is logged in in the office's own context."""
    pesel = new_pesel()
    house.ministry.grant(house.nip, pesel, "InvoiceRead", "InvoiceWrite", kind="Pesel")
    own = OfficeClient(staff.own_client(house.office), house.nip)
    await house.authorise(own, house.identity("szef", person(pesel)))
    with pytest.raises(Problem) as caught:
        staff.grant(house.office, house.admin, zofia(new_pesel()), house.client().id)
    assert caught.value.code == "may_not_grant"
    assert "CredentialsManage" in caught.value.message
    # a right that was lost after the login shows in KSeF's refusal
    house.edit("UPDATE authorization SET rights = '[]' WHERE client_id = ?", own.id)
    order = staff.grant(house.office, house.admin, zofia(new_pesel()), house.client().id)
    await settle(house)
    row = house.db.row("SELECT * FROM staff_order WHERE id = ?", (order,))
    assert (row["state"], row["reason_code"]) == ("failed", "missing-permissions")
    assert "CredentialsManage" in row["reason"]


async def test_a_managers_personal_login_gives_rights_only_for_that_manager(house: House):
    """The office's own account is opened with one administrator's certificate: another's orders are not signed by it."""
    pesel = new_pesel()
    house.ministry.grant(house.nip, pesel, "CredentialsManage", kind="Pesel")
    own = OfficeClient(staff.own_client(house.office), house.nip)
    await house.authorise(own, house.identity("szef", person(pesel)))
    house.edit("UPDATE authorization SET state = 'active', reason_code = '' WHERE client_id = ?", own.id)
    client, second = await delegating_client(house), house.operator("druga", Role.ADMIN)
    theirs = staff.grant(house.office, second, zofia(new_pesel()), client.id)
    await settle(house, second)
    more = staff.grant(house.office, second, zofia(new_pesel()), client.id)
    await house.work()
    for order in (theirs, more):
        row = house.db.row("SELECT * FROM staff_order WHERE id = ?", (order,))
        assert (row["state"], row["reason_code"]) == ("failed", "someone_elses")
    assert house.ministry.posts(GRANT) == 0
    mine = staff.grant(house.office, house.admin, zofia(new_pesel()), client.id)
    await house.work()
    assert state_of(house, mine) == "done"


async def test_a_wrong_number_is_said_before_anything_is_written_and_a_pesel_is_not_repeated(at_home: House):
    client = await delegating_client(at_home)
    for who, code_ in (
        (Newcomer("Pesel", Secret("90010112345"), "Jan", "Zły"), "bad_pesel"),
        (Newcomer("Nip", Secret("1234567890"), "Jan", "Zły"), "bad_nip"),
        (Newcomer("Fingerprint", Secret("AB"), "Jan", "Zły"), "bad_fingerprint"),
        (Newcomer("Fingerprint", Secret("AB" * 32), "Jan", "Zły"), "bad_person"),
        (Newcomer("Pesel", Secret(new_pesel()), "J", "Zły"), "bad_name"),
    ):
        with pytest.raises(Problem) as caught:
            staff.grant(at_home.office, at_home.admin, who, client.id)
        assert caught.value.code == code_
        assert "90010112345" not in caught.value.message
    assert at_home.db.value("SELECT count(*) FROM staff_person") == 0


@pytest.mark.parametrize("known", ["pesel", "document"])
async def test_a_person_is_known_by_the_fingerprint_of_a_certificate(at_home: House, known: str):
    client, fingerprint = await delegating_client(at_home), "AB" * 24 + new_nip() + "CDCDCD"
    who = (
        Newcomer("Fingerprint", Secret(fingerprint), "Hans", "Probe", "Pesel", Secret(new_pesel()))
        if known == "pesel"
        else Newcomer(
            "Fingerprint", Secret(fingerprint), "Hans", "Probe", born="1990-01-01", document=("Paszport", "X1", "DE")
        )
    )
    order = staff.grant(at_home.office, at_home.admin, who, client.id)
    await settle(at_home)
    assert state_of(at_home, order) == "done"
    [row] = staff_views.at_client(at_home.office, at_home.admin, client.id)
    assert (row.name, row.words) == ("Hans Probe", "W P")
    assert row.subject.startswith("odcisk ABABABAB")


async def test_no_pesel_is_in_the_journal_the_audit_log_or_a_reason(at_home: House):
    client, pesel = await delegating_client(at_home), new_pesel()
    person_id = await granted(at_home, client, pesel)
    at_home.ministry.fault("html_5xx", times=1, match=GRANTING)
    staff.grant(at_home.office, at_home.admin, zofia(pesel), None)
    await staff_orders.carry_out(at_home.office, at_home.admin, patience=1.0)
    staff.dismiss(at_home.office, at_home.admin, person_id)
    at_home.later(minutes=3)
    await settle(at_home)
    everything = [
        str(tuple(row))
        for table in ("journal", "audit", "odd_answer", "staff_order", "authorization_event")
        for row in at_home.db.rows(f"SELECT * FROM {table}")
    ]
    assert not [text for text in everything if pesel in text]
    assert pesel not in repr(staff_views.people(at_home.office, at_home.admin))
    assert any("staff.grant" in text for text in everything)


async def test_asked_twice_is_said_and_not_done_twice(at_home: House):
    client, pesel = await delegating_client(at_home), new_pesel()
    staff.grant(at_home.office, at_home.admin, zofia(pesel), client.id)
    with pytest.raises(Problem) as caught:
        staff.grant(at_home.office, at_home.admin, zofia(pesel), client.id)
    assert caught.value.code == "asked_already"
    await settle(at_home)
    with pytest.raises(Problem) as caught:
        staff.grant(at_home.office, at_home.admin, zofia(pesel), client.id)
    assert caught.value.code == "has_already"
    person_id = staff_views.people(at_home.office, at_home.admin)[0].person_id
    staff.revoke(at_home.office, at_home.admin, person_id, client.id)
    with pytest.raises(Problem) as caught:
        staff.revoke(at_home.office, at_home.admin, person_id, client.id)
    assert caught.value.code == "asked_already"


async def test_all_pages_are_read(at_home: House):
    client = await delegating_client(at_home)
    people = [Newcomer("Nip", Secret(new_nip()), "Osoba", f"Numer {n}") for n in range(51)]
    for who in people:
        staff.grant(at_home.office, at_home.admin, who, client.id)
    await settle(at_home)
    at_home.edit("DELETE FROM staff_grant")
    staff.refresh(at_home.office, at_home.admin)
    await settle(at_home)
    assert works(at_home, client) == ["W P"] * 51


async def test_the_lists_are_read_once_a_day_without_anybody_asking(at_home: House):
    client, pesel = await delegating_client(at_home), new_pesel()
    await delegating_client(at_home, name="Sosna")
    await granted(at_home, client, pesel)
    async with ClientSide(at_home.ministry.url, client.nip) as side:
        await side.take_back(at_home.nip)
    await at_home.work()
    assert works(at_home, client) == ["W P"]
    at_home.later(hours=25)
    await at_home.work_until(lambda: works(at_home, client) != ["W P"])
    assert works(at_home, client)[0].startswith("nic: klient odebrał")


async def test_two_programs_carry_one_order_out_once(at_home: House):
    client, pesel = await delegating_client(at_home), new_pesel()
    order = staff.grant(at_home.office, at_home.admin, zofia(pesel), client.id)
    worker = Worker(at_home.office, until_idle=True)
    await asyncio.gather(worker.run(), settle(at_home))
    assert state_of(at_home, order) == "done"
    assert len(at_home.calls("grant.indirect")) == 1


def test_the_office_itself_is_no_client_to_be_worked_for(house: House):
    house.edit(
        "UPDATE authorization SET state = 'active', rights = '[\"Owner\"]' WHERE client_id = ?",
        staff.own_client(house.office),
    )
    with pytest.raises(Problem) as caught:
        staff.grant(house.office, house.admin, zofia(new_pesel()), staff.own_client(house.office))
    assert caught.value.code == "own_office"
    gone = clients.add(house.office, house.admin, new_nip(), "Zamknięta")
    clients.archive(house.office, house.admin, gone)
    with pytest.raises(Problem) as caught:
        staff.grant(house.office, house.admin, zofia(new_pesel()), gone)
    assert caught.value.code == "unknown_client"


@pytest.mark.parametrize(
    ("code_", "said"),
    [
        (400, "nie wykonał"),
        (410, "nie pasują"),
        (420, "CredentialsManage"),
        (430, "z prawem do dalszego przekazywania"),
        (440, "z prawem do dalszego przekazywania"),
        (450, "PESEL, jej NIP albo odcisk"),
        (550, "jeszcze raz"),
    ],
)
async def test_how_ksef_refuses_to_give_is_said_in_polish(at_home: House, code_: int, said: str):
    client = await delegating_client(at_home)
    at_home.ministry.fault("operation_fails", times=1, match=GRANTING, params={"code": code_})
    order = staff.grant(at_home.office, at_home.admin, zofia(new_pesel()), client.id)
    await settle(at_home)
    [row] = staff_views.orders(at_home.office, at_home.admin, 0)
    assert (row["order"], row["state"], row["reason_code"]) == (order, "failed", str(code_))
    assert said in row["reason"]
    assert works(at_home, client) == []


async def test_an_unknown_error_of_ksef_is_settled_by_reading(at_home: House):
    client = await delegating_client(at_home)
    at_home.ministry.fault("operation_fails", times=1, match=GRANTING, params={"code": 500})
    order = staff.grant(at_home.office, at_home.admin, zofia(new_pesel()), client.id)
    await staff_orders.carry_out(at_home.office, at_home.admin, patience=1.0)
    assert state_of(at_home, order) == "sent"
    at_home.later(minutes=3)
    await settle(at_home)
    assert at_home.db.value("SELECT reason_code FROM staff_order WHERE id = ?", (order,)) == "not_there"


async def test_taking_back_what_is_gone_already_is_done(at_home: House):
    """Somebody took it back in the ministry's application meanwhile; KSeF says 400, and the list tells why."""
    client, pesel = await delegating_client(at_home), new_pesel()
    person_id = await granted(at_home, client, pesel)
    async with ClientSide(at_home.ministry.url, at_home.nip) as office:
        access = await office.access()
        for right in await office.api.persons_grants(access, "PermissionsInCurrentContext"):
            await office.api.revoke_grant(access, right.id)
    orders = staff.revoke(at_home.office, at_home.admin, person_id, client.id)
    await settle(at_home)
    assert {state_of(at_home, order) for order in orders} == {"done"}
    assert works(at_home, client) == []


async def test_taking_back_that_ksef_refuses_leaves_the_right_on_the_list(at_home: House):
    client, pesel = await delegating_client(at_home), new_pesel()
    person_id = await granted(at_home, client, pesel)
    at_home.ministry.fault("operation_fails", times=1, match=REVOKING, params={"code": 400})
    [order] = staff.revoke(at_home.office, at_home.admin, person_id, client.id, (WRITE,))
    await settle(at_home)
    assert state_of(at_home, order) == "failed"
    assert works(at_home, client) == ["W P"]


async def test_a_lost_answer_to_taking_back_is_settled_by_reading(at_home: House):
    client, pesel = await delegating_client(at_home), new_pesel()
    person_id = await granted(at_home, client, pesel)
    at_home.ministry.fault("lost_answer", times=1, match=REVOKING)
    [order] = staff.revoke(at_home.office, at_home.admin, person_id, client.id, (READ,))
    await settle(at_home)
    assert state_of(at_home, order) == "done"
    assert len(at_home.calls("grant.revoke")) == 1
    assert works(at_home, client) == ["W"]
