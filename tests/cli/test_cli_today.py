"""`queue today`: what needs a person, for people and for cron."""

from __future__ import annotations

from cli_office import Desk
from support import papers

from ksef_tui.services import approving


def test_what_needs_a_person_is_a_line_each_and_codes_for_scripts(desk: Desk):
    client = desk.house.client(name="Jodła Próbna")
    ids = desk.house.bring(client, papers.invoice(client.nip), papers.invoice(client.nip))
    lines = desk.done("queue", "today").splitlines()
    assert any(
        "Jodła Próbna: 2 do zatwierdzenia, 246.00 PLN" in line and line.endswith("[z Zatwierdź]") for line in lines
    )
    rows = desk.json("queue", "today")
    assert {row["kind"] for row in rows} == {"access", "approve"}
    assert [row["ids"] for row in rows if row["kind"] == "approve"] == [ids]
    assert desk.json("queue", "today", "--mine") != []
    desk.house.edit("UPDATE client SET keeper_id = NULL")
    assert desk.json("queue", "today", "--mine") == []


def test_a_day_on_which_all_is_done_says_so(desk: Desk):
    client = desk.house.client()
    approving.withdraw(desk.house.office, desk.house.admin, desk.house.bring(client, papers.invoice(client.nip)))
    assert desk.done("queue", "today").splitlines()[0] == "Wszystko załatwione."
    assert desk.json("queue", "today") == []
