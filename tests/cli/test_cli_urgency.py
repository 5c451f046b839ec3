"""`queue urgent`, `queue pause` and `queue resume`: what is done, what is said, how they end."""

from __future__ import annotations

from cli_office import Desk


def test_urgent_marks_approved_invoices_only(desk: Desk):
    client = desk.house.client()
    [approved] = desk.house.approved(client)
    assert desk.json("queue", "urgent", str(approved))["done"] == 1
    [row] = desk.json("queue", "list")
    assert row["urgent"] is True
    desk.done("queue", "recall", str(approved))
    result = desk.json("queue", "urgent", str(approved), exit_code=1)
    assert (result["done"], result["refused"][0]["id"]) == (0, approved)
    [row] = desk.json("queue", "list")
    assert row["urgent"] is False


def test_a_paused_client_is_listed_by_an_idle_worker_and_resumed(desk: Desk):
    client = desk.house.client("InvoiceWrite", "InvoiceRead", name="Sosna Próbna")
    desk.house.identity()
    desk.done("auth", "start", client.nip, "--identity", "pieczęć")
    desk.house.approved(client)
    assert desk.json("queue", "pause", client.nip, "--why", "urlop")["done"] == 1
    assert desk.json("queue", "pause", client.nip)["done"] == 0
    result = desk.run("worker", "--until-idle", "--timeout", "60")
    assert result.exit_code == 0
    assert "Sosna Próbna" in result.stderr
    assert "wstrzymane przez KIEROWNIK" in result.stderr
    assert "urlop" in result.stderr
    assert desk.json("client", "show", client.nip)["paused"]["why"] == "urlop"

    desk.done("queue", "pause", "--all")
    result = desk.run("queue", "resume", "--all")
    assert (result.exit_code, result.stdout) == (0, "wznowiono: 1\n")
    assert client.nip in result.stderr, "it stays paused, and that is said"
    desk.done("queue", "resume", client.nip)
    desk.done("worker", "--until-idle", "--timeout", "60")
    [row] = desk.json("queue", "list")
    assert (row["state"], row["why"], row["next_at"]) == ("accepted", "", None)


def test_whom_to_pause_is_said_exactly(desk: Desk):
    client = desk.house.client()
    assert desk.run("queue", "pause").exit_code == 2
    assert desk.run("queue", "resume", client.nip, "--all").exit_code == 2
    assert "Nie ma klienta" in desk.refused("queue", "pause", "5260250274")
    assert "najwyżej" in desk.refused("queue", "pause", client.nip, "--why", "x" * 300)
