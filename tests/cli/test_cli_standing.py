"""Self-service clients, stopped identities and the rights in `auth status`, as scripts and people at the prompt see them."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

from cli_office import Desk, files
from support.companies import new_nip, seal
from support.houses import BOTH, LOGIN

from ksef_tui.domain.roles import Role
from ksef_tui.domain.times import warsaw


def test_a_self_service_client_from_its_beginning_to_its_end(desk: Desk, tmp_path: Path):
    nip = new_nip()
    desk.done("client", "add", nip, "Sosna Samodzielna", "--self-service")
    assert desk.json("client", "show", nip)["self_service"] is True
    certificate, key = files(tmp_path, seal(nip))
    with_files = ("--certificate", certificate, "--key", key)
    assert f"NIP {nip}, a nie biura" in desk.refused("identity", "add", "sosna", *with_files)
    said = desk.done("identity", "add", "sosna", *with_files, "--client", nip)
    assert "Profil:    klienta Sosna Samodzielna: otwiera tylko jego konto" in said
    assert [row["client"] for row in desk.json("identity", "list")] == [nip]
    assert f"tylko klient {nip}" in desk.done("identity", "list")
    assert desk.json("auth", "start", nip, "--identity", "sosna")["status"] == "active"
    other = desk.house.client(*BOTH)
    assert "innego klienta" in desk.refused("auth", "start", other.nip, "--identity", "sosna")
    assert "pracuje certyfikatem właściciela" in desk.refused("client", "self-service", nip, "off")
    desk.done("auth", "revoke", nip)
    assert desk.json("client", "self-service", nip, "off")["self_service"] is False
    assert desk.json("identity", "list") == []
    assert "nie jest klientem samoobsługowym" in desk.refused("identity", "add", "sosna", *with_files, "--client", nip)
    assert desk.json("client", "self-service", nip, "on")["self_service"] is True
    assert desk.run("client", "self-service", nip, "może").exit_code == 2


def test_self_service_is_for_the_administrator(desk: Desk):
    client = desk.house.client()
    desk.house.operator("zofia", Role.ACCOUNTANT)
    base = [*desk.base[:-1], "zofia"]
    for command in (("client", "self-service", client.nip, "on"), ("identity", "resume", "pieczęć")):
        assert "nie ma prawa" in desk.refused(*command, base=base)
    assert desk.base[-1] == LOGIN


def test_a_stopped_identity_in_lists_and_states_and_its_resuming(desk: Desk):
    house = desk.house
    identity = house.identity()
    works, client = house.client(*BOTH), house.client(*BOTH)
    desk.json("auth", "start", works.nip, "--identity", "pieczęć")
    assert desk.json("identity", "list")[0]["stopped_at"] is None
    assert "nie jest zatrzymany" in desk.refused("identity", "resume", "pieczęć")
    house.ministry.block_subject(house.nip)
    assert desk.json("auth", "start", client.nip, "--identity", "pieczęć", exit_code=1)["status"] == "blocked"
    [row] = desk.json("identity", "list")
    assert datetime.fromisoformat(row["stopped_at"]).tzinfo is not None
    assert "ZABLOKOWANY PRZEZ MF" in desk.done("identity", "list")
    status = desk.json("auth", "status", works.nip)
    assert (status["status"], status["reason_code"]) == ("blocked", "identity_stopped")
    assert "Ministerstwo zablokowało profil pieczęć" in status["reason"]
    checked = desk.run("auth", "check", "--all", "--json")
    assert (checked.exit_code, len(checked.stderr.splitlines())) == (1, 1)
    assert "Nie sprawdzono 2: Ministerstwo zablokowało profil pieczęć" in checked.stderr
    assert {row["nip"]: row["status"] for row in json.loads(checked.stdout)} == dict.fromkeys(
        (works.nip, client.nip), "blocked"
    )
    for command in (("auth", "check", works.nip), ("auth", "start", client.nip, "--identity", "pieczęć")):
        assert "zablokowało profil pieczęć" in desk.refused(*command)
    assert "zostaje zatrzymany" in desk.refused("identity", "resume", "pieczęć")
    house.ministry.block_subject(house.nip, blocked=False)
    assert desk.done("identity", "resume", "pieczęć") == ""
    assert desk.json("auth", "status", works.nip)["status"] == "active"
    assert house.db.value("SELECT stopped_at FROM identity WHERE id = ?", (identity,)) is None


def test_rights_and_the_day_they_were_seen(desk: Desk):
    desk.house.identity()
    client = desk.house.client(*BOTH)
    desk.json("auth", "start", client.nip, "--identity", "pieczęć")
    assert f"active  W P widziane {warsaw(datetime.now(UTC)):%d.%m}" in desk.done("auth", "status", client.nip)
    row = desk.json("auth", "status", client.nip)
    assert (row["rights"], row["rights_seen_at"]) == (["InvoiceRead", "InvoiceWrite"], row["checked_at"])


def test_the_daily_probe_is_a_setting(desk: Desk):
    assert desk.done("config", "get", "probe").strip() == "1"
    desk.done("config", "set", "probe", "0")
    assert "0 albo 1" in desk.refused("config", "set", "probe", "raz dziennie")
