"""`client sync`, `client rename` and `client letter`, as scripts use them."""

from __future__ import annotations

from pathlib import Path

from cli_office import Desk
from support.companies import new_nip
from support.houses import BOTH


def at_home(desk: Desk) -> None:
    desk.house.identity()
    assert desk.json("auth", "start", desk.house.nip, "--identity", "pieczęć")["status"] == "active"


def test_sync_adds_what_is_missing_and_reports(desk: Desk):
    at_home(desk)
    nip = new_nip()
    desk.house.ministry.grant(nip, desk.house.nip, *BOTH)
    report = desk.json("client", "sync")
    [added] = report["added"]
    assert (report["received"], report["changed"], report["archived"]) == (1, [], [])
    assert (added["nip"], added["status"], added["rights"]) == (nip, "missing", ["InvoiceRead", "InvoiceWrite"])
    assert desk.json("client", "list")[0]["nip"] == nip
    assert desk.json("client", "sync")["added"] == []
    desk.done("client", "rename", nip, "Sosna Próbna")
    assert desk.json("client", "show", nip)["name"] == "Sosna Próbna"


def test_sync_authorises_the_new_ones_with_an_identity(desk: Desk):
    at_home(desk)
    writes, reads = new_nip(), new_nip()
    desk.house.ministry.grant(writes, desk.house.nip, *BOTH)
    desk.house.ministry.grant(reads, desk.house.nip, "InvoiceRead")
    report = desk.json("client", "sync", "--identity", "pieczęć", exit_code=1)
    assert {row["nip"]: row["status"] for row in report["added"]} == {writes: "active", reads: "read_only"}
    desk.house.ministry.take_back(writes, desk.house.nip)
    report = desk.json("client", "sync", "--identity", "pieczęć")
    assert [(row["nip"], row["status"]) for row in report["changed"]] == [(writes, "no_permission")]


def test_a_letter_goes_to_stdout_or_a_file_and_is_remembered_when_sent(desk: Desk, tmp_path: Path):
    client = desk.house.client(name="Świerk Próbny")
    text = desk.done("client", "letter", client.nip)
    assert desk.house.nip in text
    assert "Świerk Próbny" in text
    assert "Nie udało się" in desk.refused("client", "letter", client.nip, "--to", str(tmp_path / "a" / "b"), "--sent")
    assert desk.json("auth", "status", client.nip)["status"] == "missing"
    file = tmp_path / "pismo.txt"
    assert desk.done("client", "letter", client.nip, "--to", str(file), "--sent") == ""
    assert file.read_bytes().decode() == text
    assert desk.json("auth", "status", client.nip)["status"] == "requested"
    at_home(desk)
    assert "To samo biuro" in desk.refused("client", "letter", desk.house.nip)
    ready = desk.house.client(*BOTH)
    desk.json("auth", "start", ready.nip, "--identity", "pieczęć")
    assert "Pismo nie jest potrzebne" in desk.refused("client", "letter", ready.nip, "--sent")


def test_sync_without_an_office_at_home_is_one_line(desk: Desk):
    assert "Najpierw autoryzuj samo biuro" in desk.refused("client", "sync")
    assert "Nie ma profilu brak" in desk.refused("client", "sync", "--identity", "brak")
    assert "Podaj nazwę" in desk.refused("client", "rename", desk.house.client().nip, " ")


def test_sync_for_people_is_a_line_for_each(desk: Desk):
    at_home(desk)
    nip = new_nip()
    desk.house.ministry.grant(nip, desk.house.nip, *BOTH)
    first, second = desk.done("client", "sync").splitlines()
    assert "Dodano: 1" in first
    assert second.startswith(f"+ {nip}  NIP {nip}  missing")


def test_the_office_itself_stays_on_the_lists(desk: Desk):
    """Without its own account it could neither log in nor order a certificate any more."""
    at_home(desk)
    assert "To samo biuro" in desk.refused("client", "archive", desk.house.nip)
    assert desk.json("auth", "check", desk.house.nip)["status"] == "active"
