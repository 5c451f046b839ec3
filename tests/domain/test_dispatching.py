"""One by one or in a package: the rule as a table (design §6 rule 10, F52)."""

from __future__ import annotations

import pytest

from ksef_tui.domain.dispatching import Due, Way, way

ONE_BY_ONE, PACKAGE = Way.INTERACTIVE, Way.BATCH
MINUTE = 60.0
CASES = {
    # how many, how many may go one by one now, may a package be opened, seconds to midnight of what is dated today
    "a few": ((3, 30, True, None), ONE_BY_ONE),
    "as many as make a package cheaper": ((12, 30, True, None), PACKAGE),
    "one less": ((11, 30, True, None), ONE_BY_ONE),
    "many, but no package may be opened": ((500, 30, False, None), ONE_BY_ONE),
    "a few more than this minute and hour allow": ((5, 4, True, None), PACKAGE),
    "one that no limit lets through now is no package": ((1, 0, True, None), ONE_BY_ONE),
    "today's, long before midnight": ((11, 30, True, 60 * MINUTE), ONE_BY_ONE),
    "today's, that would not all go out before midnight": ((11, 30, True, MINUTE / 3), PACKAGE),
}


@pytest.mark.parametrize("case", CASES)
def test_the_cheaper_way_that_is_open(case: str):
    (count, single, packages, until_midnight), wanted = CASES[case]
    due = Due(count=count, single=single, packages=packages, until_midnight=until_midnight, per_minute=30)
    assert way(due, from_count=12) is wanted


URGENT = {
    "one": ((1, 30, True), ONE_BY_ONE),
    "one that no limit lets through now": ((1, 0, True), PACKAGE),
    "the same where no package may be opened": ((1, 0, False), ONE_BY_ONE),
    "as many as make a package cheaper": ((12, 30, True), PACKAGE),
    "a few more than may go now": ((5, 4, True), PACKAGE),
}


@pytest.mark.parametrize("case", URGENT)
def test_what_is_urgent_goes_the_way_that_is_open_now(case: str):
    (count, single, packages), wanted = URGENT[case]
    due = Due(count=count, single=single, packages=packages, until_midnight=None, per_minute=30, urgent=True)
    assert way(due, from_count=12) is wanted
