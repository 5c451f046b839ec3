"""Employees' rights from the command line: exit codes, JSON, and a PESEL that is never an argument."""

from __future__ import annotations

import asyncio
import json

import pytest
from cli_office import Desk
from support.client_side import ClientSide
from support.companies import new_pesel
from support.houses import Client

from ksef_tui.services import staff

NAMES = ("--first-name", "Zofia", "--last-name", "Próbna")


@pytest.fixture
def office(desk: Desk) -> Desk:
    """An office that is logged in in its own context."""
    house = desk.house
    asyncio.run(house.authorise(Client(staff.own_client(house.office), house.nip)))
    return desk


def delegating(desk: Desk, *, delegate: bool = True) -> str:
    client = desk.house.client()

    async def grant() -> None:
        async with ClientSide(desk.house.ministry.url, client.nip) as side:
            await side.grant(desk.house.nip, delegate=delegate)

    asyncio.run(grant())
    return client.nip


def test_a_right_is_given_listed_and_taken_back(office: Desk):
    nip, pesel = delegating(office), new_pesel()
    done = office.json("staff", "grant", "--pesel-stdin", *NAMES, "--client", nip, stdin=f"{pesel}\n")
    assert (done["state"], done["client"], done["rights"]) == ("done", nip, ["InvoiceWrite", "InvoiceRead"])
    assert (done["works"], done["effect"]) == (["InvoiceRead", "InvoiceWrite"], "works")
    [row] = office.json("staff", "list")
    assert (row["name"], row["client"], row["all_clients"]) == ("Zofia Próbna", nip, False)
    assert row["subject"] == f"PESEL {pesel[:6]}*****"
    assert office.json("staff", "list", "--client", nip) == [row]
    assert office.json("staff", "show", str(row["person"])) == [row]
    assert "działa" in office.done("staff", "list", "--refresh")
    [one] = office.json("staff", "revoke", str(row["person"]), "--client", nip, "--right", "InvoiceWrite")
    assert (one["act"], one["state"], one["rights"]) == ("revoke", "done", ["InvoiceWrite"])
    report = office.json("staff", "dismiss", str(row["person"]))
    assert [order["state"] for order in report["orders"]] == ["done", "done"]
    assert office.json("staff", "list", "--refresh") == []
    orders = office.json("staff", "orders")
    assert [order["act"] for order in orders] == ["revoke", "revoke", "grant"]
    assert pesel not in json.dumps([orders, report, row, done])


def test_a_known_person_gets_all_clients_for_reading(office: Desk):
    nip, pesel = delegating(office), new_pesel()
    first = office.json("staff", "grant", "--pesel-stdin", *NAMES, "--client", nip, stdin=pesel)
    more = office.json("staff", "grant", "--person", str(first["person"]), "--all-clients", "--read-only")
    assert (more["all_clients"], more["rights"], more["state"]) == (True, ["InvoiceRead"], "done")
    general, single = office.json("staff", "list")
    assert (general["client"], general["works_at"], general["clients"]) == ("", 1, 1)
    assert single["client"] == nip


def test_what_ksef_refuses_ends_with_one_and_says_what_the_client_must_do(office: Desk):
    nip = delegating(office, delegate=False)
    result = office.run("staff", "grant", "--pesel-stdin", *NAMES, "--client", nip, stdin=new_pesel())
    assert result.exit_code == 1
    assert "z prawem do dalszego przekazywania" in result.stderr
    row = office.json("staff", "orders")[0]
    assert (row["state"], row["reason_code"]) == ("failed", "430")


def test_a_right_to_all_that_works_nowhere_says_so(office: Desk):
    nip = delegating(office, delegate=False)
    office.done("staff", "grant", "--pesel-stdin", *NAMES, "--all-clients", stdin=new_pesel())
    assert "nic: klient nie nadał prawa dalszego przekazywania" in office.done("staff", "list", "--client", nip)
    assert "działa u 0 z 1" in office.done("staff", "list")


@pytest.mark.parametrize(
    "wrong",
    [
        ("--pesel-stdin", *NAMES),
        ("--pesel-stdin", *NAMES, "--all-clients", "--client", "5260250274"),
        ("--pesel-stdin", "--all-clients"),
        ("--pesel-stdin", "--nip", "5260250274", *NAMES, "--all-clients"),
        (*NAMES, "--all-clients"),
        ("--person", "1", "--pesel-stdin", "--all-clients"),
    ],
)
def test_what_is_not_a_command_ends_with_two(office: Desk, wrong: tuple[str, ...]):
    assert office.run("staff", "grant", *wrong, stdin="90010112345").exit_code == 2


def test_a_wrong_pesel_is_refused_and_not_repeated(office: Desk):
    line = office.refused("staff", "grant", "--pesel-stdin", *NAMES, "--all-clients", stdin="90010112345")
    assert "PESEL" in line
    assert "90010112345" not in line


def test_without_the_offices_own_login_nothing_is_written(desk: Desk):
    line = desk.refused("staff", "grant", "--pesel-stdin", *NAMES, "--all-clients", stdin=new_pesel())
    assert desk.house.nip in line
    assert desk.json("staff", "orders") == []
    assert desk.refused("staff", "list", "--refresh") == line


def test_only_written_down_until_a_worker_comes(office: Desk):
    nip = delegating(office)
    row = office.json("staff", "grant", "--pesel-stdin", *NAMES, "--client", nip, "--no-wait", stdin=new_pesel())
    assert row["state"] == "wanted"
    assert "nadanie W P: zlecone" in office.done("staff", "list", "--client", nip)
    office.done("worker", "--until-idle")
    assert office.json("staff", "orders")[0]["state"] == "done"


def test_an_unknown_person_is_said(office: Desk):
    assert "Nie ma pracownika o numerze 7" in office.refused("staff", "dismiss", "7")
    assert "Nie ma pracownika o numerze 7" in office.refused("staff", "revoke", "7", "--all-clients")


def test_an_unknown_person_is_not_shown_as_one_without_rights(desk: Desk):
    assert "Nie ma pracownika o numerze 99" in desk.refused("staff", "show", "99")
