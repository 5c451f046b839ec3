"""`kill -9` while a package is made, opened, uploaded, closed and judged: nothing lost, nothing sent twice."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from crash_workers import WorkerProcess, finish
from support import papers
from support.houses import House, wait_for
from support.ministry import SEND

from ksef_tui.services import batches, configuring
from ksef_tui.store import leases

Start = Callable[..., WorkerProcess]
OPEN_BATCH = "POST /v2/sessions/batch"
LONG = {"seconds": 600}
COUNT = 5

# The call in which the worker dies, how often KSeF sees a package opened altogether, and what then is true.
MOMENTS = {
    "opening": ({"method": "POST", "path": "^/v2/sessions/batch$"}, 1),
    "uploading": ({"method": "PUT", "path": "^/storage/batch/"}, 1),
    "closing": ({"method": "POST", "path": "^/v2/sessions/batch/[^/]+/close$"}, 1),
    "asking": ({"method": "GET", "path": "^/v2/sessions/[^/]+$"}, 1),
}


async def package(house: House) -> tuple[list[int], list[bytes]]:
    configuring.change(house.office, house.admin, "batch_from", "3")
    client = await house.ready_client()
    documents = [papers.invoice(client.nip) for _ in range(COUNT)]
    return house.approved(client, *documents), documents


def settled(house: House, ids: list[int], documents: list[bytes]) -> None:
    rows = [house.invoice(one) for one in ids]
    assert [(row["state"], row["upo"]) for row in rows] == [("accepted", "saved")] * COUNT, [dict(r) for r in rows]
    for row, document in zip(rows, documents, strict=True):
        [kept] = house.ministry.holds(document)
        assert kept["ksef_number"] == row["ksef_number"]
    assert {s["state"] for s in house.db.rows("SELECT state FROM session")} <= {"finished", "lost"}
    assert leases.holders(house.db, "client:") == []
    assert not list((house.folder / batches.FOLDER).glob("*"))


@pytest.mark.parametrize("moment", MOMENTS)
async def test_killed_before_ksef_gets_the_call(house: House, worker: Start, moment: str):
    ids, documents = await package(house)
    match, opened = MOMENTS[moment]
    house.ministry.fault("hang", match=match, params=LONG)
    first = worker()
    wait_for(lambda: house.ministry.struck("hang"))
    first.kill()
    house.ministry.calm()
    finish(house)
    settled(house, ids, documents)
    assert house.ministry.posts(OPEN_BATCH) == opened and house.ministry.posts(SEND) == 0


@pytest.mark.parametrize("moment", ["opening", "closing"])
async def test_killed_after_ksef_did_it_and_before_we_knew(house: House, worker: Start, moment: str):
    ids, documents = await package(house)
    match, _ = MOMENTS[moment]
    house.ministry.fault("late_answer", match=match, params=LONG)
    first = worker()
    wait_for(lambda: house.ministry.struck("late_answer"))
    first.kill()
    house.ministry.calm()
    finish(house)
    settled(house, ids, documents)
