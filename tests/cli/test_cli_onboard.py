"""`auth onboard` with `auth submit`: a client connected in one sitting, as scripts do it."""

from __future__ import annotations

from pathlib import Path

from cli_office import Desk
from support.companies import new_pesel, person, seal, signed

GRANTING = {"method": "POST", "path": "^/v2/permissions/entities/grants"}


def test_the_client_signs_one_file_and_submit_does_the_rest(desk: Desk, tmp_path: Path):
    client = desk.house.client()
    desk.house.identity()
    out, back = tmp_path / "żądanie.xml", tmp_path / "podpisane.xml"
    shown = desk.json("auth", "onboard", client.nip, "--identity", "pieczęć", "--external", str(out))
    assert (shown["status"], shown["onboarding"]) == ("to_sign", "sign")
    assert desk.json("auth", "status", client.nip)["onboarding"] == "sign"
    back.write_bytes(signed(out.read_bytes(), seal(client.nip)))
    row = desk.json("auth", "submit", client.nip, str(back))
    assert (row["status"], row["method"], row["identity"], row["onboarding"]) == (
        "active", "certificate", "pieczęć", "done",
    )  # fmt: skip
    assert (sorted(row["rights"]), row["can_delegate"]) == (["InvoiceRead", "InvoiceWrite"], True)


def test_what_stopped_is_resumed_without_a_file(desk: Desk):
    client = desk.house.client()
    desk.house.identity()
    desk.house.ministry.fault("operation_fails", times=1, match=GRANTING, params={"code": 550})
    document = desk.run("auth", "onboard", client.nip, "--external", "-").stdout_bytes
    row = desk.json("auth", "submit", client.nip, "-", stdin=signed(document, seal(client.nip)), exit_code=1)
    assert (row["status"], row["reason_code"], row["onboarding"]) == ("failed", "grant_550", "grant")
    assert "anulował" in desk.run("auth", "status", client.nip).stdout
    row = desk.json("auth", "onboard", client.nip)
    assert (row["status"], row["onboarding"]) == ("active", "done")


def test_cancelling_what_stopped_logs_the_client_out(desk: Desk):
    client = desk.house.client()
    desk.house.identity()
    desk.house.ministry.fault("operation_fails", times=1, match=GRANTING, params={"code": 550})
    document = desk.run("auth", "onboard", client.nip, "--external", "-").stdout_bytes
    desk.run("auth", "submit", client.nip, "-", stdin=signed(document, seal(client.nip)))
    assert desk.house.db.value("SELECT count(*) FROM client_session") == 1
    row = desk.json("auth", "cancel", client.nip)
    assert (row["status"], row["onboarding"]) == ("missing", "")
    assert desk.house.db.value("SELECT count(*) FROM client_session") == 0
    assert [call["kind"] for call in desk.house.calls("auth.end_current", "ended")] == ["ok"]


def test_whoever_may_not_grant_gets_1_and_the_right_that_is_missing(desk: Desk):
    client, pesel = desk.house.client(), new_pesel()
    desk.house.identity()
    desk.house.ministry.grant(client.nip, pesel, "InvoiceWrite", kind="Pesel")
    document = desk.run("auth", "onboard", client.nip, "--external", "-").stdout_bytes
    row = desk.json("auth", "submit", client.nip, "-", stdin=signed(document, person(pesel)), exit_code=1)
    assert (row["status"], row["reason_code"]) == ("failed", "missing-permissions")
    assert "podpis klienta" in desk.refused("auth", "onboard", client.nip)


def test_the_profile_is_named_where_there_are_several_and_remembered_for_a_second_signature(desk: Desk):
    client = desk.house.client()
    assert "Dodaj profil" in desk.refused("auth", "onboard", client.nip, "--external", "-")
    desk.house.identity("pierwszy")
    desk.house.identity("drugi")
    assert "pierwszy" in desk.refused("auth", "onboard", client.nip, "--external", "-")
    desk.house.identity("osobisty", person(new_pesel()))
    refused = desk.refused("auth", "onboard", client.nip, "--external", "-", "--identity", "osobisty")
    assert f"NIP {desk.house.nip}" in refused
    assert desk.run("auth", "onboard", client.nip, "--identity", "drugi", "--external", "-").exit_code == 0
    document = desk.run("auth", "onboard", client.nip, "--external", "-").stdout_bytes
    row = desk.json("auth", "submit", client.nip, "-", stdin=signed(document, seal(client.nip)))
    assert (row["status"], row["identity"]) == ("active", "drugi")


def test_what_makes_no_sense_is_wrong_usage_or_one_line(desk: Desk):
    client = desk.house.client()
    assert desk.run("auth", "onboard", client.nip, "--identity", "pieczęć").exit_code == 2
    assert "zaczętego" in desk.refused("auth", "onboard", client.nip)


def test_the_intent_alone_is_carried_out_by_the_worker(desk: Desk, tmp_path: Path):
    client = desk.house.client()
    desk.house.identity()
    out = tmp_path / "z.xml"
    assert desk.json("auth", "onboard", client.nip, "--external", str(out), "--no-wait")["status"] == "running"
    desk.done("worker", "--until-idle", "--timeout", "30")
    desk.done("auth", "request", client.nip, str(out))
    back = signed(out.read_bytes(), seal(client.nip))
    assert desk.json("auth", "submit", client.nip, "-", "--no-wait", stdin=back)["status"] == "running"
    desk.done("worker", "--until-idle", "--timeout", "30")
    row = desk.json("auth", "status", client.nip)
    assert (row["status"], row["onboarding"]) == ("active", "done")
