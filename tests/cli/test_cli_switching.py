"""`auth switch`, `auth tokens`, `identity reserve`, `identity takeover`, as scripts use them."""

from __future__ import annotations

import asyncio

from cli_office import Desk
from support.companies import seal
from support.houses import BOTH, Client
from support.strangers import Stranger

from ksef_tui.services import identity_rules
from ksef_tui.store import offices


def with_token(desk: Desk, *rights: str, name: str = "Jodła Próbna") -> Client:
    house = desk.house
    client = house.client(*rights, name=name)
    token = asyncio.run(Stranger(house.ministry, client.nip).token(*BOTH))
    desk.json("auth", "start", client.nip, "--token-stdin", stdin=token + "\n")
    return client


def test_who_has_a_token_is_listed_and_all_of_them_change(desk: Desk):
    good, bare = with_token(desk, *BOTH), with_token(desk, name="Świerk Próbny")
    desk.house.identity()
    rows = {row["nip"]: row for row in desk.json("auth", "tokens")}
    assert rows.keys() == {good.nip, bare.nip}
    assert rows[good.nip]["valid_until"].startswith("2026-12-31T22:59:59")
    assert [rows[good.nip][key] for key in ("waiting", "on_wire", "profile", "switching_to")] == [0, 0, None, ""]
    answer = desk.json("auth", "switch", "--tokens", "--identity", "pieczęć", exit_code=1)
    found = {row["nip"]: row for row in answer}
    assert (found[good.nip]["switched"], found[good.nip]["method"]) == (True, "certificate")
    assert (found[bare.nip]["switched"], found[bare.nip]["method"], found[bare.nip]["reason_code"]) == (
        False,
        "token",
        "415",
    )
    assert [row["nip"] for row in desk.json("auth", "tokens")] == [bare.nip]
    told = desk.run("auth", "switch", bare.nip, "--identity", "pieczęć").stderr
    assert told.count("Świerk Próbny") == 1, "a client is named once"


def test_nobody_on_a_token_is_said(desk: Desk):
    desk.house.client(*BOTH)
    desk.house.identity()
    result = desk.run("auth", "switch", "--tokens", "--identity", "pieczęć", "--json")
    assert (result.exit_code, result.stdout, result.stderr) == (
        0, "[]\n", "Nikt nie ma już tokenu – nie ma czego zmieniać.\n",
    )  # fmt: skip


def test_whether_the_profile_would_work_is_known_after_a_list_from_ksef(desk: Desk):
    good, bare = with_token(desk, *BOTH), with_token(desk)
    desk.house.identity()
    desk.json("auth", "start", desk.house.nip, "--identity", "pieczęć")
    desk.json("client", "sync")
    assert {row["nip"]: row["profile"] for row in desk.json("auth", "tokens")} == {good.nip: True, bare.nip: False}
    assert "nie nadał" in desk.done("auth", "tokens")


def test_a_change_that_must_wait_is_left_to_the_worker_and_can_be_given_up(desk: Desk):
    client = with_token(desk, *BOTH)
    house = desk.house
    house.identity()
    [invoice_id] = house.approved(client)
    house.ministry.fault("stuck")
    asyncio.run(house.work_until(lambda: house.states([invoice_id]) == ["processing"]))
    [row] = desk.json("auth", "switch", client.nip, "--identity", "pieczęć", "--timeout", "0", exit_code=1)
    assert (row["switched"], row["method"], row["switching_to"], row["waits_for"]) == (
        False, "token", "pieczęć", "1 faktura w drodze",
    )  # fmt: skip
    assert desk.json("auth", "tokens")[0]["switching_to"] == "pieczęć"
    assert desk.json("auth", "cancel", client.nip)["switching_to"] == ""
    desk.json("auth", "switch", client.nip, "--identity", "pieczęć", "--no-wait")
    house.ministry.calm()
    asyncio.run(house.work())
    assert desk.json("auth", "status", client.nip)["method"] == "certificate"


def test_wrong_uses_end_in_one_line(desk: Desk):
    client = with_token(desk, *BOTH)
    house = desk.house
    assert desk.run("auth", "switch", "--identity", "pieczęć").exit_code == 2
    assert "Nie ma profilu" in desk.refused("auth", "switch", client.nip, "--identity", "pieczęć")
    house.identity()
    desk.json("auth", "switch", client.nip, "--identity", "pieczęć")
    assert "ma już profil" in desk.run("auth", "switch", client.nip, "--identity", "pieczęć").stderr


def test_the_reserve_takes_over(desk: Desk):
    house = desk.house
    house.identity()
    client = house.client(*BOTH)
    desk.json("auth", "start", client.nip, "--identity", "pieczęć")
    assert "rezerwowy" in desk.refused("identity", "takeover")
    house.identity("zapasowa", seal(house.nip))
    desk.done("identity", "reserve", "zapasowa")
    assert "nie ma czego przejmować" in desk.refused("identity", "takeover")
    main = offices.identity_by_label(house.db, "pieczęć")
    assert main is not None
    with house.db.write() as connection:
        identity_rules.stop(house.office, connection, house.office.clock(), main)
    [row] = desk.json("identity", "takeover", "--dry-run")
    assert (row["label"], row["clients"], row["reserve"], row["without_upo"]) == ("pieczęć", 1, "zapasowa", 0)
    [row] = desk.json("identity", "takeover")
    assert (row["nip"], row["identity"], row["status"], row["switched"]) == (client.nip, "zapasowa", "active", True)
    desk.done("identity", "reserve", "zapasowa", "--off")
    assert "rezerwowy" in desk.refused("identity", "takeover")
