"""The main job, end to end over HTTP: authorise, import, approve, send, track, keep the receipt."""

from __future__ import annotations

from support import papers
from support.houses import House
from support.ministry import CLOSE, OPEN, SEND

from ksef_tui.ksef.numbers import parse_ksef_number
from ksef_tui.services import contract, exporting


async def test_approved_invoices_get_numbers_and_receipts_and_every_session_is_closed(house: House, tmp_path):
    client = await house.ready_client()
    documents = [papers.invoice(client.nip) for _ in range(3)]
    ids = house.approved(client, *documents)
    await house.work()

    for invoice_id, document in zip(ids, documents, strict=True):
        row = house.invoice(invoice_id)
        assert (row["state"], row["upo"], row["mode"]) == ("accepted", "saved", "online"), dict(row)
        [kept] = house.ministry.holds(document)
        assert row["ksef_number"] == kept["ksef_number"]
        assert parse_ksef_number(row["ksef_number"]).nip == client.nip
    assert house.ministry.posts(SEND) == 3
    assert house.ministry.posts(OPEN) == house.ministry.posts(CLOSE) == 1
    assert [s["state"] for s in house.db.rows("SELECT state FROM session")] == ["finished"]

    count = exporting.export_upos(house.office, house.admin, tmp_path / "upo")
    assert count == 3
    assert sorted(p.name for p in (tmp_path / "upo").iterdir()) == sorted(
        f"{row['ksef_number']}.xml" for row in contract.queue(house.office, house.admin)
    )
