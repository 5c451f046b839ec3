"""`client end`, `client letter --end`, `client resume` and the check that the right is gone, as scripts use them."""

from __future__ import annotations

from pathlib import Path

import pytest
from cli_office import Desk
from support import papers
from support.houses import Client

from ksef_tui.cli import clients


@pytest.fixture
def client(desk: Desk) -> Client:
    client = desk.house.client("InvoiceWrite", "InvoiceRead")
    desk.house.identity()
    desk.json("auth", "start", client.nip, "--identity", "pieczęć")
    return client


def test_the_end_the_letter_the_check_and_the_way_back(desk: Desk, client: Client, tmp_path: Path):
    desk.house.bring(client, papers.invoice(client.nip, "FV/1"))
    letter = tmp_path / "pismo.txt"
    result = desk.run("client", "end", client.nip, "--to", str(letter), "--json")
    assert result.exit_code == 0, result.output
    assert "Wstrzymano: FV/1." in result.stderr
    assert "Odbierz" in letter.read_text("utf-8")
    assert desk.done("client", "letter", client.nip, "--end") == letter.read_text("utf-8")
    shown = desk.json("auth", "status", client.nip)
    assert (shown["status"], shown["rights_gone"], shown["ended_at"][-1]) == ("ended", None, "Z")
    still = desk.json("auth", "check", client.nip, exit_code=1)
    assert (still["rights_gone"], still["reason_code"]) == (False, "still_granted")
    desk.house.ministry.take_back(client.nip, desk.house.nip)
    gone = desk.json("auth", "check", client.nip)
    assert (gone["status"], gone["rights_gone"], gone["reason_code"]) == ("ended", True, "")
    back = desk.json("client", "resume", client.nip)
    assert (back["status"], back["ended_at"], back["rights_gone"]) == ("missing", None, None)
    assert "nie jest zakończona" in desk.refused("client", "resume", client.nip)


def test_a_refused_end_writes_no_letter(desk: Desk, client: Client, tmp_path: Path):
    desk.done("client", "end", client.nip)
    letter = tmp_path / "pismo.txt"
    assert "już zakończona" in desk.refused("client", "end", client.nip, "--to", str(letter))
    assert not letter.exists()
    assert "zakończona" in desk.refused("auth", "revoke", client.nip)
    assert desk.run("client", "letter", client.nip, "--end", "--sent").exit_code == 2


def test_on_stdout_there_is_the_letter_alone(desk: Desk, client: Client):
    text = desk.done("client", "end", client.nip, "--to", "-")
    assert "Prośba o odebranie uprawnień" in text
    assert "ended" not in text


def test_without_ksef_it_ends_with_1_and_the_service_has_ended(desk: Desk, client: Client, monkeypatch):
    monkeypatch.setattr(clients, "END_PATIENCE", 0.3)
    desk.house.ministry.fault("outage")
    row = desk.json("client", "end", client.nip, exit_code=1)
    assert (row["status"], row["reason_code"]) == ("ended", "unreachable")
    desk.house.ministry.calm()
    desk.done("worker", "--until-idle", "--timeout", "30")
    assert desk.json("auth", "status", client.nip)["reason_code"] == ""
