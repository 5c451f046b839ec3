"""A worker stands still for longer than its leases last (a suspended machine, SIGSTOP), another takes over, and it wakes."""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest
from crash_workers import WorkerProcess, falls_asleep, finish
from support import papers
from support.houses import Client, House, wait_for

from ksef_tui.services import batches, configuring
from ksef_tui.store import leases

Start = Callable[..., WorkerProcess]
COUNT = 5
BATCH = {"method": "POST", "path": "^/v2/sessions/batch$"}
UPLOAD = {"method": "PUT", "path": "^/storage/batch/"}
CLOSE = {"method": "POST", "path": "^/v2/sessions/batch/[^/]+/close$"}


async def prepared(house: House, way: str) -> tuple[list[int], list[bytes]]:
    configuring.change(house.office, house.admin, "batch_from", "3" if way == "in a package" else "1000")
    client = await house.ready_client()
    documents = [papers.invoice(client.nip) for _ in range(COUNT)]
    return house.approved(client, *documents), documents


def an_hour_passes(house: House) -> None:
    """By the clock of leases: whoever sleeps holds none any more."""
    house.edit("UPDATE lease SET expires = 0")


def received(house: House) -> list[str]:
    context = house.db.value("SELECT nip FROM client WHERE office = 0")
    return [row["hash"] for row in house.ministry.received() if row["context"] == context]


def no_harm(house: House, sleeper: WorkerProcess, ids: list[int], documents: list[bytes]) -> None:
    """The other one has finished; this one wakes, works on, and changes nothing of what is done."""
    assert house.states(ids) == ["accepted"] * COUNT, [dict(house.invoice(one)) for one in ids]
    before = [dict(house.invoice(one)) for one in ids]
    sleeper.go_on()
    client_id = house.invoice(ids[0])["client_id"]
    client = Client(client_id, house.db.value("SELECT nip FROM client WHERE id = ?", (client_id,)))
    [again] = house.approved(client)
    wait_for(lambda: house.states([again]) == ["accepted"] and house.invoice(again)["upo"] == "saved")
    sleeper.stop()
    finish(house)
    assert [dict(house.invoice(one)) for one in ids] == before
    assert [len(house.ministry.holds(document)) for document in documents] == [1] * COUNT
    sent = received(house)
    assert len(sent) == len(set(sent)) == COUNT + 1, "KSeF was given a document twice"
    assert {row["state"] for row in house.db.rows("SELECT state FROM session")} <= {"finished", "lost"}
    assert not list((house.folder / batches.FOLDER).glob("*"))


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("way", ["one by one", "in a package"])
async def test_asleep_at_any_moment(house: House, worker: Start, way: str, seed: int):
    chance = random.Random(f"sleeper {way} {seed}")
    ids, documents = await prepared(house, way)
    count = "SELECT count(*) FROM journal"
    rows = house.db.value(count) + chance.randrange(1, 3 * COUNT)
    sleeper = worker()
    wait_for(lambda: house.db.value(count) >= rows or set(house.states(ids)) == {"accepted"})
    falls_asleep(house, sleeper)
    an_hour_passes(house)
    finish(house)
    no_harm(house, sleeper, ids, documents)


@pytest.mark.parametrize("moment", ["opening", "uploading", "closing"])
async def test_asleep_while_its_package_waits_for_an_answer(house: House, worker: Start, moment: str):
    """KSeF did it and says so while nobody listens."""
    ids, documents = await prepared(house, "in a package")
    match = {"opening": BATCH, "uploading": UPLOAD, "closing": CLOSE}[moment]
    house.ministry.fault("late_answer", times=1, match=match, params={"seconds": 2})
    sleeper = worker()
    operation = {"opening": "batch.open", "uploading": "batch.upload", "closing": "batch.close"}[moment]
    wait_for(lambda: house.calls(operation))
    falls_asleep(house, sleeper)
    an_hour_passes(house)
    finish(house)
    no_harm(house, sleeper, ids, documents)


async def test_a_lease_of_a_worker_that_stands_still_holds_until_its_time_is_over(house: House, worker: Start):
    """It lives, so its lease is not free at once; it is free when its time is over, not before."""
    await prepared(house, "one by one")
    house.ministry.fault("hang", match={"method": "POST", "path": "/invoices$"}, params={"seconds": 600})
    sleeper = worker()
    wait_for(lambda: house.ministry.struck("hang"))
    falls_asleep(house, sleeper)
    [name] = leases.holders(house.db, "client:")
    assert leases.take(house.db, name, 1) is None
    an_hour_passes(house)
    assert leases.take(house.db, name, 1) is not None
    sleeper.stop()
