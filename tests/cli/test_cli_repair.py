"""`queue replace`, `queue retry`, `queue settle` and `queue explain`: what is done, what is said, how they end."""

from __future__ import annotations

from pathlib import Path

from cli_office import Desk
from support import papers
from support.houses import Client


def refused_by(desk: Desk, code: int) -> tuple[Client, str]:
    """A client with a working authorisation and an invoice that KSeF refused with this code."""
    client = desk.house.client("InvoiceWrite", "InvoiceRead")
    desk.house.identity()
    desk.done("auth", "start", client.nip, "--identity", "pieczęć")
    desk.house.ministry.fault("invoice_fails", times=1, params={"code": code})
    [invoice_id] = desk.house.approved(client)
    desk.done("worker", "--until-idle", "--timeout", "60")
    assert desk.house.states([invoice_id]) == ["rejected"]
    return client, str(invoice_id)


def test_a_file_takes_the_place_of_an_invalid_invoice(desk: Desk, tmp_path: Path):
    client = desk.house.client()
    bad = papers.invoice(client.nip, "FV/1").replace(b"<KodWaluty>PLN</KodWaluty>", b"")
    [old] = desk.house.bring(client, bad)
    file = tmp_path / "poprawiona.xml"
    file.write_bytes(bad)
    assert "ten sam plik" in desk.refused("queue", "replace", str(old), str(file))
    desk.house.edit("UPDATE invoice SET number = 'FV/1' WHERE id = ?", old)
    file.write_bytes(papers.invoice(client.nip, "FV/2"))
    assert "--new-number" in desk.refused("queue", "replace", str(old), str(file))
    assert desk.house.states([old]) == ["invalid"]
    row = desk.json("queue", "replace", str(old), str(file), "--new-number")
    assert (row["number"], row["state"]) == ("FV/2", "waiting")
    [kept] = [r for r in desk.json("queue", "list") if r["id"] == old]
    assert (kept["state"], kept["replaced_by"]) == ("replaced", row["id"])
    assert str(row["id"]) in desk.json("queue", "explain", str(old))["replaced_by"]
    assert "brak.xml" in desk.refused("queue", "replace", str(old), str(tmp_path / "brak.xml"))
    assert "Nie ma faktury" in desk.refused("queue", "replace", "999", str(file))


def test_a_corrected_file_may_come_on_stdin(desk: Desk):
    client = desk.house.client()
    bad = papers.invoice(client.nip, "FV/3").replace(b"<KodWaluty>PLN</KodWaluty>", b"")
    [old] = desk.house.bring(client, bad)
    out = desk.done("queue", "replace", str(old), "-", stdin=papers.invoice(client.nip, "FV/3"))
    assert f"zastępuje {old}" in out


def test_retry_looks_in_ksef_first_and_waits_for_the_answer(desk: Desk):
    _, one = refused_by(desk, 550)
    explained = desk.json("queue", "explain", one)
    assert explained["reason_code"] == "550"
    assert explained["ways"][0] == {"way": "retry", "label": "Ponów", "key": "o", "why_not": None}
    assert desk.json("queue", "retry", one) == {"done": 1, "refused": []}
    assert desk.house.states([int(one)]) == ["waiting"]


def test_retry_without_waiting_leaves_the_look_up_to_a_worker(desk: Desk):
    _, one = refused_by(desk, 500)
    assert desk.json("queue", "retry", one, "--no-wait") == {"done": 1, "refused": []}
    assert [r["reason_code"] for r in desk.json("queue", "list")] == ["retry"]
    desk.done("worker", "--until-idle", "--timeout", "60")
    assert desk.house.states([int(one)]) == ["waiting"]


def test_a_refusal_is_settled_with_a_note(desk: Desk):
    _, one = refused_by(desk, 550)
    assert desk.run("queue", "settle", one).exit_code == 2
    assert "dlaczego" in desk.refused("queue", "settle", one, "--note", " ")
    assert desk.json("queue", "settle", one, "--note", "klient wystawił ją sam")["done"] == 1
    [row] = desk.json("queue", "list")
    assert (row["state"], row["settled"]) == ("rejected", True)
    assert "klient wystawił ją sam" in row["reason"]
    assert desk.json("client", "list")[0]["stuck"] == 0
    text = desk.done("queue", "explain", one)
    assert "settle: już rozstrzygnięta" in text
