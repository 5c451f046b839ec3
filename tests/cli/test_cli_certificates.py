"""`certificate …` and what `identity add` says, as scripts use them."""

from __future__ import annotations

from pathlib import Path

from cli_office import Desk, files
from support.companies import new_pesel, person, seal
from support.houses import BOTH

from ksef_tui.store import offices

NAME = "Biuro Modrzew KSeF"


def at_home(desk: Desk) -> None:
    desk.house.identity()
    assert desk.json("auth", "start", desk.house.nip, "--identity", "pieczęć")["status"] == "active"


def test_identity_add_says_what_is_in_the_files(desk: Desk, tmp_path: Path):
    paper = seal(desk.house.nip, kind="rsa")
    certificate, key = files(tmp_path, paper)
    text = desk.done("identity", "add", "pieczęć", "--certificate", certificate, "--key", key)
    for part in (f"NIP {desk.house.nip}", "pieczęć firmy", "RSA 2048", "Biuro Rachunkowe Modrzew", "Profil:    biura"):
        assert part in text
    [row] = desk.json("identity", "list")
    assert row["serial"] in text
    assert row["fingerprint"] in text
    assert (row["kind"], row["personal_to"], row["clients"], row["replaced"], row["revoked_at"]) == (
        "seal", "", 0, False, None,
    )  # fmt: skip
    assert "już jest" in desk.refused("identity", "add", "pieczęć", "--certificate", certificate, "--key", key)
    own = person(new_pesel())
    certificate, key = files(tmp_path, own)
    found = desk.json("identity", "add", "moja", "--certificate", certificate, "--key", key)
    assert (found["kind"], found["personal_to"]) == ("person", "kierownik")


def test_the_whole_life_of_a_certificate(desk: Desk):
    assert "Najpierw zaloguj biuro" in desk.refused("certificate", "limits")
    at_home(desk)
    limits = desk.json("certificate", "limits")
    assert (limits["can_request"], limits["enrolments_remaining"], limits["certificates_remaining"]) == (True, 300, 100)
    assert limits["subject"] == f"Nip:{desk.house.nip}"
    first = desk.json("certificate", "enrol", NAME, "--label", "KSeF")
    assert (first["state"], first["type"], first["subject"]) == ("done", "authentication", f"Nip:{desk.house.nip}")
    client = desk.house.client(*BOTH)
    assert desk.json("auth", "start", client.nip, "--identity", "KSeF")["status"] == "active"
    second = desk.json("certificate", "renew", "KSeF")
    assert second["serial"] != first["serial"]
    row = desk.json("auth", "status", client.nip)
    assert (row["identity"], row["status"]) == ("KSeF", "active")
    listed = {row["serial"]: row for row in desk.json("certificate", "list")}
    assert listed[second["serial"]]["label"] == "KSeF"
    assert listed[second["serial"]]["status"] == "active"
    assert listed[first["serial"]]["status"] in ("blocked", "revoked")
    assert len(desk.json("certificate", "list", "--limit", "1")) == 1
    assert "KSeF: odwołany" in desk.done("certificate", "revoke", "KSeF", "--reason", "KeyCompromise")
    row = desk.json("auth", "status", client.nip)
    assert (row["status"], row["reason_code"]) == ("failed", "certificate_revoked")
    assert "Nie ma profilu KSeF" in desk.refused("certificate", "renew", "KSeF")


def test_an_offline_certificate_is_no_identity(desk: Desk):
    at_home(desk)
    made = desk.json("certificate", "enrol", NAME, "--label", "kody QR", "--type", "offline")
    assert (made["state"], made["type"]) == ("done", "offline")
    assert offices.identity_by_label(desk.house.db, "kody QR") is None
    assert "Nie ma profilu kody QR" in desk.refused("auth", "start", desk.house.nip, "--identity", "kody QR")


def test_what_ksef_refuses_is_one_polish_line(desk: Desk):
    at_home(desk)
    desk.house.ministry.fault("enrolment_fails", times=1, params={"code": 550})
    assert "anulował wniosek" in desk.refused("certificate", "enrol", NAME, "--label", "KSeF")
    assert "od 5 do 100" in desk.refused("certificate", "enrol", "a/b", "--label", "KSeF")
    assert desk.run("certificate", "revoke", "KSeF", "--reason", "bo tak").exit_code == 2
    assert desk.json("certificate", "enrol", NAME, "--label", "KSeF")["state"] == "done"
