"""UTC inside, Warsaw on screen and in law."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ksef_tui.domain.times import from_text, polish_day, to_text, warsaw

moments = st.datetimes(
    datetime(2000, 1, 1),  # noqa: DTZ001  (the strategy adds the zone)
    datetime(2100, 1, 1),  # noqa: DTZ001
    timezones=st.sampled_from([UTC, timezone(timedelta(hours=2)), timezone(-timedelta(hours=11))]),
)


@given(moments)
def test_a_stored_moment_is_the_same_moment_to_the_millisecond(moment: datetime) -> None:
    back = from_text(to_text(moment))
    assert back.utcoffset() == timedelta(0)
    assert timedelta(0) <= moment - back < timedelta(milliseconds=1)


@given(moments, moments)
def test_stored_moments_sort_as_text(one: datetime, other: datetime) -> None:
    if one < other:
        assert to_text(one) <= to_text(other)


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2026-11-24T08:14:18.000Z", datetime(2026, 11, 24, 8, 14, 18, tzinfo=UTC)),
        ("2026-11-24T08:14:18.1234567+00:00", datetime(2026, 11, 24, 8, 14, 18, 123456, tzinfo=UTC)),
        ("2026-11-24T08:14:18.1234567Z", datetime(2026, 11, 24, 8, 14, 18, 123456, tzinfo=UTC)),
        ("2026-11-24T09:14:18+01:00", datetime(2026, 11, 24, 8, 14, 18, tzinfo=UTC)),
        ("2026-11-24T08:14:18.5", datetime(2026, 11, 24, 8, 14, 18, 500000, tzinfo=UTC)),
        ("2026-11-24T08:14:18", datetime(2026, 11, 24, 8, 14, 18, tzinfo=UTC)),
    ],
)
def test_times_of_ksef_are_read_in_every_shape_it_writes(text: str, moment: datetime) -> None:
    read = from_text(text)
    assert read == moment
    assert read.tzinfo is not None


@pytest.mark.parametrize(
    ("moment", "clock", "day"),
    [
        (datetime(2026, 11, 24, 22, 59, tzinfo=UTC), "23:59", date(2026, 11, 24)),
        (datetime(2026, 11, 24, 23, 0, tzinfo=UTC), "00:00", date(2026, 11, 25)),
        (datetime(2026, 7, 1, 21, 59, tzinfo=UTC), "23:59", date(2026, 7, 1)),
        (datetime(2026, 7, 1, 22, 0, tzinfo=UTC), "00:00", date(2026, 7, 2)),
        (datetime(2026, 10, 25, 0, 30, tzinfo=UTC), "02:30", date(2026, 10, 25)),
        (datetime(2026, 10, 25, 1, 30, tzinfo=UTC), "02:30", date(2026, 10, 25)),
        (datetime(2026, 12, 31, 23, 0, tzinfo=UTC), "00:00", date(2027, 1, 1)),
    ],
)
def test_the_day_is_the_polish_one_in_winter_and_summer(moment: datetime, clock: str, day: date) -> None:
    assert warsaw(moment).strftime("%H:%M") == clock
    assert polish_day(moment) == day
