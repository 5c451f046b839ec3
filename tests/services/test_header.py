"""What the status line says of KSeF: our own calls' experience, the newest of it."""

from __future__ import annotations

from datetime import timedelta

import pytest
from support.houses import House

from ksef_tui.domain.times import to_text
from ksef_tui.services.views import header


def called(house: House, kind: str, times: int, *, ago: float = 0) -> None:
    """Calls of the program that ended so."""
    at = house.office.clock() - timedelta(seconds=ago)
    for _ in range(times):
        house.edit(
            "INSERT INTO journal (phase, at, epoch, pid, context, operation, method, path, limit_group, reference, kind) "
            "VALUES ('ended', ?, ?, 1, '', 'invoice.send', 'POST', '/', 'other', '', ?)",
            to_text(at), at.timestamp(), kind,
        )  # fmt: skip


@pytest.mark.parametrize(
    ("calls", "said"),
    [
        ((), "KSeF ?"),
        ((("ok", 3),), "KSeF działa"),
        ((("unreachable", 1),), "KSeF nie odpowiada"),
        ((("ok", 90), ("unknown", 3)), "KSeF działa"),
        ((("ok", 90), ("unknown", 5)), "KSeF z kłopotami"),
        ((("ok", 90), ("unknown", 60), ("refused", 5)), "KSeF działa"),
    ],
)
def test_the_newest_calls_tell_how_ksef_is(house: House, calls: tuple[tuple[str, int], ...], said: str):
    """An outage in a busy hour is seen within a few calls, not when its failures outnumber all that went well before."""
    for kind, times in calls:
        called(house, kind, times)
    assert header(house.office, house.admin).ksef_word == said


def test_what_was_long_ago_tells_nothing(house: House):
    called(house, "ok", 5, ago=400)
    assert header(house.office, house.admin).ksef_word == "KSeF ?"
