"""The sliding windows, on a clock of the test's own."""

from __future__ import annotations

import pytest

from ksef_tui.sandbox.errors import TooManyRequests
from ksef_tui.sandbox.limits import Limiter
from ksef_tui.sandbox.state import State


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def limiter(tmp_path, clock):
    state = State(tmp_path / "limits.db")
    yield Limiter(state, enforced=True, clock=clock)
    state.close()


def ask(limiter: Limiter, group: str = "invoiceSend", *, context="Nip:1", address="127.0.0.1", endpoint="POST /a"):
    """Seconds to wait, 0 when let in."""
    try:
        limiter.count(context, address, group, endpoint)
    except TooManyRequests as refusal:
        return refusal.retry_after
    return 0


def test_each_window_has_its_own_limit(limiter, clock):
    # 10 a second, 30 a minute, 180 an hour
    assert [ask(limiter) for _ in range(11)] == [0] * 10 + [1]
    clock.now += 1.5
    assert [ask(limiter) for _ in range(10)] == [0] * 10
    clock.now += 1.5
    assert [ask(limiter) for _ in range(10)] == [0] * 10
    clock.now += 1.5
    assert ask(limiter) == 56  # the first ten leave the minute 55.5 s from now
    clock.now += 56
    assert ask(limiter) == 0


def test_the_hour_is_counted_too(limiter, clock):
    let_in = 0
    for _ in range(200):
        clock.now += 6
        let_in += ask(limiter) == 0
    assert let_in == 180


def test_waiting_exactly_as_told_is_enough(limiter, clock):
    for _ in range(10):
        ask(limiter)
    clock.now += ask(limiter)
    assert ask(limiter) == 0


def test_asking_while_blocked_lengthens_the_block(limiter, clock):
    for _ in range(10):
        ask(limiter)
    assert [ask(limiter) for _ in range(3)] == [1, 2, 3]


def test_contexts_addresses_and_groups_do_not_share(limiter):
    assert [ask(limiter) for _ in range(11)][-1] > 0
    assert ask(limiter, context="Nip:2") == 0
    assert ask(limiter, address="127.0.0.2") == 0
    assert ask(limiter, "onlineSession") == 0
    assert ask(limiter, endpoint="POST /b") > 0


def test_other_endpoints_have_a_counter_each(limiter):
    assert [ask(limiter, "other") for _ in range(11)][-1] > 0
    assert ask(limiter, "other", endpoint="POST /b") == 0


def test_anonymous_calls_are_sixty_a_second(limiter, clock):
    answers = [ask(limiter, "anonymous", context="", endpoint=str(n)) for n in range(61)]
    assert answers == [0] * 60 + [1]
