"""Somebody sets the clock: what waits goes on waiting for as long as it would have, and nothing goes out sooner."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from support import papers
from support.houses import House
from support.ministry import CLOSE, SEND

from ksef_tui.domain.times import from_text
from ksef_tui.ksef import operations
from ksef_tui.ksef.http import Order
from ksef_tui.services import approving, clock_jumps, configuring
from ksef_tui.services.calls import CallKeeper
from ksef_tui.store import clocks, leases, limits

JUMPS = [{"days": -1}, {"hours": -1}, {"hours": 1}, {"days": 1}]
jumps = pytest.mark.parametrize("jump", JUMPS, ids=lambda j: " ".join(f"{v:+d} {k}" for k, v in j.items()))


def left(house: House, invoice_id: int) -> float:
    """Seconds in which it can still be recalled."""
    return (from_text(house.invoice(invoice_id)["send_after"]) - house.office.clock()).total_seconds()


@jumps
async def test_the_time_to_recall_stays_as_long_as_it_was(house: House, jump: dict[str, float]):
    configuring.change(house.office, house.admin, "recall_seconds", "300")
    client = await house.ready_client()
    [one] = house.approved(client)
    house.set_clock(**jump)
    assert clock_jumps.settle(house.office)
    assert 290 < left(house, one) <= 300
    assert not clock_jumps.settle(house.office), "it jumped once"
    assert approving.recall(house.office, house.admin, [one]).done == 1


@jumps
async def test_a_worker_goes_on_over_a_jump_and_sends_nothing_too_soon(house: House, jump: dict[str, float]):
    """Approved, the clock is set, the window passes: it goes out, once, and its session is closed."""
    house.later(days=2)  # keys of a sandbox that has just begun are not valid on the day before
    configuring.change(house.office, house.admin, "recall_seconds", "600")
    client = await house.ready_client()
    [early] = house.approved(client)
    house.set_clock(**jump)
    configuring.change(house.office, house.admin, "recall_seconds", "0")
    [late] = house.approved(client, papers.invoice(client.nip))
    await house.work_until(lambda: house.states([late]) == ["accepted"])
    assert house.states([early]) == ["approved"], "the time to recall it was cut short"
    house.later(minutes=11)
    await house.work()
    assert house.states([early, late]) == ["accepted"] * 2
    assert {house.invoice(one)["upo"] for one in (early, late)} == {"saved"}
    assert house.ministry.posts(SEND) == 2
    assert {row["state"] for row in house.db.rows("SELECT state FROM session")} == {"finished"}
    assert house.ministry.posts(CLOSE) >= 1


@jumps
async def test_the_clock_is_set_while_ksef_judges(house: House, jump: dict[str, float]):
    """What a worker remembers of when to ask next is of the old clock."""
    client = await house.ready_client()
    [one] = house.approved(client)
    house.ministry.fault("stuck")
    jumped = False

    def reached() -> bool:
        nonlocal jumped
        if not jumped and house.states([one]) == ["processing"]:
            house.set_clock(**jump)
            house.ministry.calm()
            jumped = True
        return house.states([one]) == ["accepted"]

    await house.work_until(reached)
    assert house.ministry.posts(SEND) == 1
    assert house.db.value("SELECT count(*) FROM audit WHERE act = 'clock.jumped'") == 1


@jumps
async def test_calls_count_for_as_long_as_ksef_counts_them(house: House, jump: dict[str, float]):
    """Windows neither forget (a 429 would lengthen the block, F35) nor hold for a day."""
    client = await house.ready_client()
    keeper, order = (
        CallKeeper(house.office, longest_call=60.0),
        Order(operations.SEND_INVOICE, context=client.nip).call(),
    )
    with house.db.write() as connection:
        limits.put_limits(connection, house.office.clock(), client.nip, {"invoiceSend": (10, 30, 3)})
    house.later(minutes=-40)
    for _ in range(3):
        keeper.ended(keeper.started(order), _ok())
    house.later(minutes=40)
    clock_jumps.settle(house.office)
    before = keeper.wait_for(order)
    assert 1100 < before <= 1200
    house.edit("DELETE FROM rate_block")
    house.set_clock(**jump)
    clock_jumps.settle(house.office)
    assert abs(keeper.wait_for(order) - before) < 30
    house.edit("DELETE FROM rate_block")
    house.later(minutes=21)
    assert keeper.wait_for(order) == 0


def _ok():
    from ksef_tui.ksef.http import Outcome

    return Outcome("ok", 200, None, "", "", 0.1)


@jumps
async def test_a_rest_that_ksef_asked_for_lasts_as_long_as_it_said(house: House, jump: dict[str, float]):
    client = await house.ready_client()
    with house.db.write() as connection:
        limits.block(connection, client.nip, "invoiceSend", house.office.clock().timestamp() + 900)
    clock_jumps.settle(house.office)
    house.set_clock(**jump)
    clock_jumps.settle(house.office)
    until = limits.blocked_until(house.db, client.nip, "invoiceSend")
    assert 880 < until - house.office.clock().timestamp() <= 901


@jumps
async def test_leases_do_not_hear_of_it(house: House, jump: dict[str, float]):
    lease = leases.take(house.db, "client:4711", 60)
    house.set_clock(**jump)
    assert leases.take(house.db, "client:4711", 60) is None
    assert lease is not None and leases.renew(house.db, lease, 60) is not None


async def test_rows_from_the_future_after_a_boot_hold_nobody_up(house: House):
    """The clock of a machine that starts with a flat battery is far behind what was written."""
    configuring.change(house.office, house.admin, "recall_seconds", "5")
    client = await house.ready_client()
    [one] = house.approved(client)
    house.edit("UPDATE clock SET boot_id = 'another'")
    house.set_clock(days=-400)
    assert clock_jumps.settle(house.office)
    assert left(house, one) <= 6
    newest = clocks.newest_record(house.db)
    assert newest is not None
    house.set_clock(days=400)
    house.later(seconds=10)
    await house.work()
    assert house.states([one]) == ["accepted"], "set right again, it goes on"
    assert house.db.value("SELECT count(*) FROM journal WHERE epoch > ?", house_epoch(house)) == 0


def house_epoch(house: House):
    return ((house.office.clock() + timedelta(seconds=2)).timestamp(),)


async def test_time_that_passes_and_a_clock_that_is_pulled_right_are_no_jumps(house: House):
    client = await house.ready_client()
    house.later(days=3)
    assert not clock_jumps.settle(house.office)
    house.set_clock(seconds=1)
    assert not clock_jumps.settle(house.office)
    house.set_clock(seconds=1.5)
    assert clock_jumps.settle(house.office), "little by little is a jump as well"
    assert client.nip
    assert datetime.now(UTC) < house.office.clock()


async def test_two_processes_see_one_jump(house: House):
    """Each forgets what it remembers; what is in the database moves once."""
    configuring.change(house.office, house.admin, "recall_seconds", "300")
    client = await house.ready_client()
    [one] = house.bring(client, papers.invoice(client.nip))
    approving.approve(house.office, house.admin, [one])
    first, second = clock_jumps.Watch(house.office), clock_jumps.Watch(house.office)
    assert not first.jumped() and not second.jumped()
    house.set_clock(hours=-1)
    assert first.jumped() and second.jumped()
    assert not first.jumped() and not second.jumped()
    assert 290 < left(house, one) <= 300
