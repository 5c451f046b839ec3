from hypothesis import given
from hypothesis import strategies as st

from ksef_tui.ksef.limits import PRODUCTION_LIMITS, RateLimit, charged_group, counter, limit_for, wait_needed

limits = st.builds(RateLimit, st.integers(1, 5), st.integers(1, 8), st.integers(1, 12))
moments = st.lists(st.floats(0, 4000, allow_nan=False), max_size=20)


def fits(limit: RateLimit, times: list[float]) -> bool:
    """The rule itself, checked the long way: no window that ends at a request holds more than it may."""
    rules = ((limit.per_second, 1.0), (limit.per_minute, 60.0), (limit.per_hour, 3600.0))
    return all(
        sum(1 for t in times if window - (end - t) > 1e-5 and t <= end) <= allowed
        for end in times
        for allowed, window in rules
    )


@given(limits, st.lists(st.floats(0, 30), min_size=1, max_size=30))
def test_a_sender_that_waits_as_told_never_breaks_a_limit(limit: RateLimit, gaps: list[float]) -> None:
    times: list[float] = []
    now = 0.0
    for gap in gaps:
        now += gap
        while wait := wait_needed(limit, times, now):
            now += wait
        times.append(now)
    assert fits(limit, times)


@given(limits, moments)
def test_the_wait_is_not_longer_than_needed(limit: RateLimit, times: list[float]) -> None:
    now = 4000.0
    wait = wait_needed(limit, times, now)
    assert 0 <= wait <= 3600
    if wait > 0.01:
        assert wait_needed(limit, times, now + wait - 0.005) > 0


@given(limits, moments)
def test_the_order_of_the_moments_does_not_matter(limit: RateLimit, times: list[float]) -> None:
    assert wait_needed(limit, times, 4000.0) == wait_needed(limit, times[::-1], 4000.0)


def test_each_window_counts() -> None:
    limit = RateLimit(2, 3, 4)
    assert wait_needed(limit, [9.5, 9.9], 10.0) == 0.5
    assert wait_needed(limit, [1.0, 2.0, 3.0], 10.0) == 51.0
    assert wait_needed(limit, [0.0, 100.0, 200.0, 300.0], 1000.0) == 2600.0
    assert wait_needed(limit, [], 0.0) == 0.0


def test_minus_one_is_unlimited_and_zero_is_shut() -> None:
    assert wait_needed(RateLimit(), [1.0] * 1000, 1.0) == 0.0
    assert wait_needed(RateLimit(0, -1, -1), [], 5.0) == 1.0


def test_closing_shares_the_limit_of_opening_until_it_has_its_own() -> None:
    assert charged_group("onlineSessionClose", PRODUCTION_LIMITS) == "onlineSession"
    assert limit_for("onlineSessionClose", PRODUCTION_LIMITS) == RateLimit(10, 30, 120)
    newer = PRODUCTION_LIMITS | {"onlineSessionClose": RateLimit(20, 60, 240)}
    assert charged_group("onlineSessionClose", newer) == "onlineSessionClose"
    assert limit_for("onlineSessionClose", newer) == RateLimit(20, 60, 240)


def test_other_calls_are_counted_each_on_its_own() -> None:
    assert counter("other", "limits.rates", PRODUCTION_LIMITS) != counter("other", "grants.personal", PRODUCTION_LIMITS)
    assert counter("sessionMisc", "upo.invoice", PRODUCTION_LIMITS) == "sessionMisc"
    assert limit_for("", PRODUCTION_LIMITS) == RateLimit()
