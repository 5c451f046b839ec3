"""`kill -9` at the worst moments: nothing lost, nothing sent twice, leases free at once (design §3, §6 rules 3 and 4)."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from crash_workers import WorkerProcess, falls_asleep, finish
from support import papers
from support.houses import Client, House, wait_for
from support.ministry import ASKING, CLOSING, OPENING, SEND, SENDING

from ksef_tui.store import leases

Start = Callable[..., WorkerProcess]
LONG = {"seconds": 600}


def settled(house: House, ids: list[int], documents: list[bytes]) -> None:
    """Everything has its number and receipt, and KSeF holds each document exactly once."""
    rows = [house.invoice(i) for i in ids]
    assert [(r["state"], r["upo"]) for r in rows] == [("accepted", "saved")] * len(ids), [dict(r) for r in rows]
    for row, document in zip(rows, documents, strict=True):
        [kept] = house.ministry.holds(document)
        assert kept["ksef_number"] == row["ksef_number"]
    assert {s["state"] for s in house.db.rows("SELECT state FROM session")} <= {"finished", "lost"}
    assert leases.holders(house.db, "client:") == []


async def prepared(house: House, count: int = 2) -> tuple[Client, list[int], list[bytes]]:
    client = await house.ready_client()
    documents = [papers.invoice(client.nip) for _ in range(count)]
    return client, house.approved(client, *documents), documents


def lease_is_free_at_once(house: House, client: Client) -> None:
    """Its expiry is two minutes away, its owner is dead."""
    row = house.db.row("SELECT * FROM lease WHERE name = ?", (f"client:{client.id}",))
    assert row["expires"] > leases.boot_seconds() + 30, "the worker died without its lease: the test saw another moment"
    taken = leases.take(house.db, f"client:{client.id}", 10)
    assert taken is not None
    leases.release(house.db, taken)


async def test_killed_while_opening_the_session(house: House, worker: Start):
    client, ids, documents = await prepared(house)
    house.ministry.fault("hang", match=OPENING, params=LONG)
    first = worker()
    wait_for(lambda: house.db.value("SELECT 1 FROM session WHERE state = 'opening'") and house.ministry.struck("hang"))
    first.kill()
    lease_is_free_at_once(house, client)
    assert house.states(ids) == ["approved", "approved"]
    house.ministry.calm()
    finish(house)
    settled(house, ids, documents)
    assert house.ministry.posts(SEND) == 2


async def test_killed_when_the_post_was_committed_but_had_not_arrived(house: House, worker: Start):
    """KSeF never sees it: the intent stands, the session is closed and terminal, then it goes out once."""
    client, ids, documents = await prepared(house)
    house.ministry.fault("hang", match=SENDING, params=LONG)
    first = worker()
    wait_for(lambda: "sending" in house.states(ids) and house.ministry.struck("hang"))
    first.kill()
    lease_is_free_at_once(house, client)
    assert house.states(ids) == ["sending", "approved"]
    house.ministry.calm()
    finish(house)
    settled(house, ids, documents)
    assert house.ministry.posts(SEND) == 2
    acts = house.db.rows("SELECT act, to_state FROM invoice_event WHERE invoice_id = ? ORDER BY id", (ids[0],))
    assert [(r["act"], r["to_state"]) for r in acts][2:6] == [
        ("send", "sending"), ("sent", "unknown"), ("settle", "approved"), ("send", "sending"),
    ]  # fmt: skip


async def test_killed_when_ksef_had_it_and_our_database_did_not_know(house: House, worker: Start):
    """The hash in the session's list tells; no second POST."""
    _, ids, documents = await prepared(house, 1)
    house.ministry.fault("stuck")
    first = worker()
    wait_for(lambda: house.states(ids) == ["processing"])
    first.kill()
    # the moment between KSeF's commit and ours, as the database would have it
    house.edit("UPDATE invoice SET state = 'sending', reference = ''")
    house.ministry.calm()
    finish(house)
    settled(house, ids, documents)
    assert house.ministry.posts(SEND) == 1
    assert house.invoice(ids[0])["attempts"] == 1


async def test_killed_after_the_post_while_it_waits_for_the_answer(house: House, worker: Start):
    """The answer was lost and the process too."""
    _, ids, documents = await prepared(house, 1)
    house.ministry.fault("lost_answer", match=SENDING)
    house.ministry.fault("hang", match=ASKING, params=LONG)
    first = worker()
    # opening is followed by one question, which hangs: let the first one through
    wait_for(lambda: house.ministry.struck("hang"))
    first.kill()
    house.ministry.calm()
    house.ministry.fault("lost_answer", times=1, match=SENDING)
    second = worker()
    wait_for(lambda: house.db.value("SELECT 1 FROM invoice_event WHERE to_state = 'unknown'"))
    second.kill()
    house.ministry.calm()
    finish(house)
    settled(house, ids, documents)
    assert house.ministry.posts(SEND) == 1


async def test_killed_while_ksef_judges(house: House, worker: Start):
    _, ids, documents = await prepared(house, 3)
    house.ministry.fault("stuck")
    first = worker()
    wait_for(lambda: house.states(ids) == ["processing"] * 3)
    first.kill()
    assert leases.holders(house.db, "worker:") == [], "the header must not say that somebody sends"
    house.ministry.calm()
    finish(house)
    settled(house, ids, documents)
    assert house.ministry.posts(SEND) == 3


async def test_killed_while_closing_the_session(house: House, worker: Start):
    """F13: a session that nobody closes again would lose its day."""
    _, ids, documents = await prepared(house)
    house.ministry.fault("hang", match=CLOSING, params=LONG)
    first = worker("--until-idle")
    wait_for(lambda: house.ministry.struck("hang"))
    first.kill()
    assert house.db.value("SELECT state FROM session") == "closing"
    house.ministry.calm()
    finish(house)
    settled(house, ids, documents)
    assert house.ministry.posts(SEND) == 2


async def test_killed_again_and_again_with_lost_answers(house: House, worker: Start):
    """Five deaths in the middle of work, every third answer lost: 0 lost, 0 doubled."""
    _, ids, documents = await prepared(house, 8)
    house.ministry.fault("lost_answer", match=SENDING, probability=0.34)
    for round_ in range(1, 6):
        process = worker()
        # each round dies after at least one more call has left
        before = house.db.value("SELECT count(*) FROM journal WHERE operation = 'session.send' AND phase = 'started'")
        wait_for(
            lambda before=before: (
                house.db.value(
                    "SELECT count(*) FROM journal WHERE operation IN ('session.send', 'session.invoices', 'session.invoice') "
                    "AND phase = 'started'"
                )
                > before
                or set(house.states(ids)) == {"accepted"}
            )
        )
        process.kill()
        assert len([s for s in house.states(ids) if s in ("rejected", "blocked", "invalid")]) == 0, round_
    house.ministry.calm()
    finish(house)
    settled(house, ids, documents)
    intents = house.db.value("SELECT count(*) FROM invoice_event WHERE to_state = 'sending'")
    assert 8 <= house.ministry.posts(SEND) <= intents, "a call left without its intent"


@pytest.mark.parametrize("moment", ["before the POST arrives", "while KSeF judges"])
async def test_a_worker_that_slept_past_its_lease_does_no_harm_when_it_wakes(house: House, worker: Start, moment: str):
    """Design §3: a fencing number cannot stop a request that is out; KSeF's closed session can."""
    client, ids, documents = await prepared(house, 1)
    if moment == "before the POST arrives":
        house.ministry.fault("hang", match=SENDING, params={"seconds": 3})
    else:
        house.ministry.fault("stuck")
    sleeper = worker()
    if moment == "before the POST arrives":
        wait_for(lambda: house.ministry.struck("hang"))
    else:
        wait_for(lambda: house.states(ids) == ["processing"])
    falls_asleep(house, sleeper)
    house.edit("UPDATE lease SET expires = 0")
    house.ministry.calm()
    finish(house)
    settled(house, ids, documents)
    before = [dict(row) for row in house.db.rows("SELECT * FROM invoice")]
    posts = house.ministry.posts(SEND)
    sleeper.go_on()
    again = house.approved(client)
    wait_for(lambda: house.states(again) == ["accepted"])  # the sleeper works on as if nothing had happened
    sleeper.stop()
    assert [dict(row) for row in house.db.rows("SELECT * FROM invoice WHERE id <= ?", (max(ids),))] == before
    assert house.ministry.posts(SEND) == posts + 1
    assert [len(house.ministry.holds(document)) for document in documents] == [1]
