"""Commands over many clients: one run, waited for; refusals told at the end (contract: auth check, auth start)."""

from __future__ import annotations

import asyncio
import json

from cli_office import Desk, process
from support.companies import new_pesel, person, seal, signed
from support.houses import BOTH, LOGIN, House
from support.ministry import SIGNED_LOGIN

from ksef_tui.domain.roles import Role
from ksef_tui.services import bulk


def statuses(rows: list[dict[str, str]]) -> dict[str, str]:
    return {row["nip"]: row["status"] for row in rows}


def test_all_are_authorised_and_those_that_work_are_passed_over(house: House, desk: Desk):
    house.identity()
    one, two = house.client(*BOTH), house.client(*BOTH)
    desk.done("auth", "start", one.nip, "--identity", "pieczęć")
    result = desk.run("auth", "start", "--all", "--identity", "pieczęć")
    assert result.exit_code == 0, result.output
    assert result.stderr.splitlines() == ["Pominięto 1: autoryzacja już działa."]
    rows = desk.json("auth", "check", "--all")
    assert statuses(rows) == {house.nip: "active", one.nip: "active", two.nip: "active"}
    assert house.ministry.posts(SIGNED_LOGIN) == 3 + 3


def test_who_needs_a_person_is_told_in_one_line_and_the_rest_is_done(house: House, desk: Desk):
    house.identity()
    clients = [house.client(*BOTH, name=f"Sosna {n}") for n in range(2)]
    nobody = [house.client(name=f"Buk {n}") for n in range(5)]
    result = desk.run("auth", "start", "--all", "--identity", "pieczęć", "--json")
    assert result.exit_code == 1
    [line] = result.stderr.splitlines()
    assert line.startswith("Buk 0: brak uprawnień")
    assert line.endswith("… i jeszcze 2.")
    assert {house.auth(c)["state"] for c in clients} == {"active"}
    assert {house.auth(c)["state"] for c in nobody} == {"no_permission"}


def test_mine_are_those_that_i_keep(house: House, desk: Desk):
    house.identity()
    mine, hers = house.client(*BOTH), house.client(*BOTH)
    zofia = house.operator("zofia", Role.ACCOUNTANT)
    house.edit("UPDATE client SET keeper_id = ? WHERE id = ?", zofia.id, hers.id)
    house.edit("UPDATE client SET keeper_id = NULL WHERE office = 1")
    rows = desk.json("auth", "start", "--mine", "--identity", "pieczęć")
    assert statuses(rows) == {mine.nip: "active"}
    assert statuses(desk.json("auth", "check", "--mine")) == {mine.nip: "active"}


def test_what_was_asked_before_and_nobody_has_done_holds_no_run_up(house: House, desk: Desk):
    house.identity()
    one, two = house.client(*BOTH), house.client(*BOTH)
    desk.done("auth", "start", "--all", "--identity", "pieczęć")
    desk.done("auth", "check", one.nip, "--no-wait")
    assert statuses(desk.json("auth", "check", one.nip, two.nip)) == {one.nip: "active", two.nip: "active"}


def test_a_client_named_twice_is_one_row_and_one_login(house: House, desk: Desk):
    house.identity()
    one, two = house.client(*BOTH), house.client(*BOTH)
    desk.done("auth", "start", "--all", "--identity", "pieczęć")
    before = house.ministry.posts(SIGNED_LOGIN)
    spaced = f"{two.nip[:3]} {two.nip[3:]}"
    rows = desk.json("auth", "check", two.nip, one.nip, spaced, two.nip)
    assert [row["nip"] for row in rows] == [two.nip, one.nip]
    assert house.ministry.posts(SIGNED_LOGIN) == before + 2


def test_some_by_nip_and_one_that_was_never_connected(house: House, desk: Desk):
    house.identity()
    one, never = house.client(*BOTH), house.client(*BOTH, name="Buk Próbny")
    desk.done("auth", "start", one.nip, "--identity", "pieczęć")
    result = desk.run("auth", "check", one.nip, never.nip)
    assert result.exit_code == 1
    assert "Buk Próbny" in result.stderr
    assert "nie ma jeszcze autoryzacji" in result.stderr
    assert result.stdout.splitlines()[0].split()[0] == one.nip


def test_only_the_run_is_written_when_nobody_waits(house: House, desk: Desk):
    house.identity()
    client = house.client(*BOTH)
    desk.done("auth", "start", "--all", "--identity", "pieczęć", "--no-wait")
    [run] = bulk.open_progress(house.office, house.admin)
    assert (run.kind, run.total, run.done) == ("start", 2, 0)
    assert process("--data-dir", str(house.folder), "--operator", LOGIN, "worker", "--until-idle").returncode == 0
    assert house.auth(client)["state"] == "active"


def test_nobody_to_check_is_an_empty_list(desk: Desk):
    assert desk.json("auth", "check", "--all") == []


def test_wrong_usage(house: House, desk: Desk):
    nip = house.client().nip
    for wrong in (
        ("auth", "check"),
        ("auth", "check", nip, "--all"),
        ("auth", "check", "--all", "--mine"),
        ("auth", "start", "--identity", "pieczęć"),
        ("auth", "start", nip, "--all", "--identity", "pieczęć"),
        ("auth", "start", "--all", "--token-stdin"),
    ):
        assert desk.run(*wrong).exit_code == 2, wrong


def test_those_that_a_check_of_all_passes_over_are_named(house: House, desk: Desk):
    house.identity()
    works, ended, waits, anothers = (house.client(*BOTH, name=name) for name in ("Jodła", "Świerk", "Buk", "Dąb"))
    desk.json("auth", "start", works.nip, "--identity", "pieczęć")
    request = desk.run("auth", "start", ended.nip, "--external", "-").stdout_bytes
    desk.json("auth", "submit", ended.nip, "-", stdin=signed(request, seal(ended.nip)))
    house.edit("UPDATE authorization SET sealed_refresh = NULL WHERE client_id = ?", ended.id)
    desk.run("auth", "start", waits.nip, "--external", "-")
    zofia = house.operator("zofia", Role.ACCOUNTANT)
    pesel = new_pesel()
    house.ministry.grant(anothers.nip, pesel, *BOTH, kind="Pesel")
    asyncio.run(house.authorise(anothers, house.identity("zofii", person(pesel), zofia), zofia))
    result = desk.run("auth", "check", "--all", "--json")
    assert [row["nip"] for row in json.loads(result.stdout)] == [works.nip]
    assert [line for line in result.stderr.splitlines() if line.startswith("Nie sprawdzam")] == [
        "Nie sprawdzam 1 (Świerk): logowanie podpisem złożonym poza programem skończyło się, trzeba nowego.",
        "Nie sprawdzam 1 (Buk): żądanie czeka na podpis.",
        "Nie sprawdzam 1 (Dąb): certyfikat innej osoby, sprawdza ona sama.",
    ]
