"""The ministry's own example invoices, from the folder to their numbers: real input of one seller, 9999999999."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.houses import BOTH, Client, House

from ksef_tui.ksef.numbers import parse_ksef_number
from ksef_tui.services import approving, clients, importing

SAMPLES = Path(__file__).parents[3] / "shared" / "ksef" / "samples"
SELLER = "9999999999"

pytestmark = pytest.mark.skipif(not SAMPLES.is_dir(), reason="the ministry's example invoices are not on this machine")


async def test_every_example_is_accepted_or_stopped_as_a_duplicate(house: House):
    client = Client(clients.add(house.office, house.admin, SELLER, "Firma z przykładów"), SELLER)
    house.ministry.grant(SELLER, house.nip, *BOTH)
    assert (await house.authorise(client))["state"] == "active"
    rows = importing.import_paths(house.office, house.admin, client.id, [SAMPLES])
    assert len(rows) == 13
    assert {row.state for row in rows} == {"waiting", "blocked"}, [(r.file, r.errors) for r in rows if r.is_bad]
    numbers = [row.number for row in rows if row.state == "waiting"]
    assert len(set(numbers)) == len(numbers)
    assert {row.number for row in rows} == set(numbers), "of each number exactly one goes on"
    blocked = [house.invoice(row.id) for row in rows if row.state == "blocked"]
    assert {row["reason_code"] for row in blocked} == {"own_duplicate"}
    approving.approve(house.office, house.admin, approving.waiting_ids(house.office, house.admin, client.id))
    await house.work()
    for row in rows:
        found = house.invoice(row.id)
        if row.state == "waiting":
            assert (found["state"], found["upo"], found["mode"]) == ("accepted", "saved", "offline"), dict(found)
            assert parse_ksef_number(found["ksef_number"]).nip == SELLER
    assert len(house.ministry.numbered(SELLER)) == len(numbers)
