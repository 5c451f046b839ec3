"""`auth start --external`, `auth submit` and what goes with them, as scripts use them."""

from __future__ import annotations

from pathlib import Path

from cli_office import Desk
from support.companies import new_pesel, person, seal, signed


def test_a_request_goes_out_and_comes_back_signed_as_files(desk: Desk, tmp_path: Path):
    client = desk.house.client()
    out, back = tmp_path / "żądanie.xml", tmp_path / "podpisane.xml"
    shown = desk.json("auth", "start", client.nip, "--external", str(out))
    assert (shown["status"], shown["method"], shown["sign_until"][-1]) == ("to_sign", "external", "Z")
    assert b"http://ksef.mf.gov.pl/auth/token/2.1" in out.read_bytes()
    assert b"certificateSubject" in out.read_bytes()
    assert desk.json("auth", "status", client.nip)["status"] == "to_sign"
    back.write_bytes(signed(out.read_bytes(), seal(client.nip)))
    active = desk.json("auth", "submit", client.nip, str(back))
    assert (active["status"], active["sign_until"]) == ("active", None)
    assert "Owner" in active["rights"]
    assert desk.json("auth", "check", client.nip)["status"] == "active"


def test_through_pipes_only_the_document_is_on_stdout(desk: Desk):
    client = desk.house.client()
    result = desk.run("auth", "start", client.nip, "--external", "-", "--json")
    assert result.exit_code == 0, result.output
    document = result.stdout_bytes
    assert document.startswith(b"<?xml")
    assert document.endswith(b"</AuthTokenRequest>")
    assert "to_sign" in result.stderr
    assert desk.run("auth", "request", client.nip, "-").stdout_bytes == document
    assert desk.json("auth", "submit", client.nip, "-", stdin=signed(document, seal(client.nip)))["status"] == "active"


def test_a_request_that_does_not_come_about_is_one_line(desk: Desk):
    client = desk.house.client()
    desk.house.ministry.fault("lost_answer", match={"method": "POST", "path": "challenge"})
    assert "KSeF nie odpowiada" in desk.refused("auth", "start", client.nip, "--external", "-")


def test_each_refusal_is_one_line_and_the_request_goes_on_waiting(desk: Desk, tmp_path: Path):
    client = desk.house.client()
    assert "nie ma żądania do podpisu" in desk.refused("auth", "submit", client.nip, "-", stdin=b"<a/>")
    assert "nie ma żądania do podpisu" in desk.refused("auth", "request", client.nip, "-")
    document = desk.run("auth", "start", client.nip, "--external", "-").stdout_bytes
    assert "nie ma podpisu" in desk.refused("auth", "submit", client.nip, "-", stdin=document)
    assert "BOM" in desk.refused("auth", "submit", client.nip, "-", stdin=b"\xef\xbb\xbf" + document)
    assert "Nie można odczytać" in desk.refused("auth", "submit", client.nip, str(tmp_path / "brak.xml"))
    assert desk.json("auth", "status", client.nip)["status"] == "to_sign"


def test_whoever_signs_without_rights_gets_1_and_the_reason(desk: Desk):
    client = desk.house.client()
    document = desk.run("auth", "start", client.nip, "--external", "-").stdout_bytes
    row = desk.json("auth", "submit", client.nip, "-", stdin=signed(document, person(new_pesel())), exit_code=1)
    assert (row["status"], row["reason_code"]) == ("no_permission", "415")


def test_a_refused_signature_is_1_even_where_an_earlier_login_still_works(desk: Desk):
    client = desk.house.client("InvoiceWrite", "InvoiceRead")
    desk.house.identity()
    desk.json("auth", "start", client.nip, "--identity", "pieczęć")
    document = desk.run("auth", "start", client.nip, "--external", "-").stdout_bytes
    row = desk.json("auth", "submit", client.nip, "-", stdin=signed(document, person(new_pesel())), exit_code=1)
    assert (row["status"], row["method"], row["reason_code"]) == ("active", "certificate", "415")


def test_cancelling_takes_the_request_back(desk: Desk):
    client = desk.house.client()
    desk.run("auth", "start", client.nip, "--external", "-")
    assert desk.json("auth", "cancel", client.nip)["status"] == "missing"
    assert "Nie ma czego przerwać" in desk.refused("auth", "cancel", client.nip)


def test_the_intent_alone_writes_nothing(desk: Desk, tmp_path: Path):
    client = desk.house.client()
    out = tmp_path / "z.xml"
    shown = desk.json("auth", "start", client.nip, "--external", str(out), "--no-wait")
    assert (shown["status"], out.exists()) == ("running", False)
    desk.done("worker", "--until-idle", "--timeout", "30")
    desk.done("auth", "request", client.nip, str(out))
    assert out.read_bytes().startswith(b"<?xml")


def test_one_way_at_a_time(desk: Desk):
    client = desk.house.client()
    assert desk.run("auth", "start", client.nip).exit_code == 2
    assert desk.run("auth", "start", client.nip, "--external", "-", "--token-stdin").exit_code == 2
