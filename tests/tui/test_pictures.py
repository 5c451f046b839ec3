"""Pictures of the screen, few and meaningful. Look at the report before taking a new one."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import tui_office
from textual.pilot import Pilot
from tui_helpers import expect, text_of

from ksef_tui.tui.app import KsefTui

Snap = Callable[..., bool]


@pytest.fixture
def picture(snap_compare: Snap, tmp_path: Path) -> Callable[..., bool]:
    """Compare the screen of a furnished office with its picture."""

    def take(
        size: tuple[int, int], *keys: str, shows: str, environment: str = "sandbox", empty: bool = False, **options: Any
    ) -> bool:
        office, operator = tui_office.new_office(tmp_path, environment, exercise=environment == "sandbox")
        if not empty:
            tui_office.furnish(office)
        app = KsefTui(office, operator, now=lambda: tui_office.NOW, **options)

        async def settle(pilot: Pilot[int]) -> None:
            await expect(pilot, lambda: app.main.header_view is not None and app.main.today.read_once)
            if not empty:
                await expect(pilot, lambda: app.main.authorization.view is not None and bool(app.main.queue.counts))
            await pilot.press(*keys)
            await expect(pilot, lambda: shows in text_of(app))
            await pilot.pause()

        try:
            return snap_compare(app, terminal_size=size, run_before=settle)
        finally:
            app.leave_nothing()
            office.close()

    return take


def test_an_office_at_work_on_a_small_terminal(picture: Callable[..., bool]) -> None:
    """You should see clients with badges, the first one's refused authorisation below, six keys, nothing cut mid-word."""
    assert picture((80, 24), shows="uprawnienia 415")


def test_an_office_at_work_side_by_side(picture: Callable[..., bool]) -> None:
    """You should see clients, the queue in all states beside them, and the authorisation below both."""
    assert picture((120, 40), shows="JM/2026/90")


def test_the_queue_on_a_small_terminal(picture: Callable[..., bool]) -> None:
    """You should see the queue alone, each state with its sign and word, the counts in the lower edge."""
    assert picture((80, 24), "2", shows="JM/2026/90")


def test_production_cannot_be_mistaken(picture: Callable[..., bool]) -> None:
    """You should see a red header and red frames, and a question that wants the count typed."""
    assert picture((120, 40), "2", "end", "z", shows="wpisz liczbę: 1", environment="production")


def test_an_empty_office_says_what_to_do(picture: Callable[..., bool]) -> None:
    """You should see which keys add a client and a profile."""
    assert picture((80, 24), shows="Nie ma jeszcze klientów.", empty=True)


def test_plain_ascii(picture: Callable[..., bool]) -> None:
    """You should see no sign outside ASCII but Polish letters."""
    assert picture((80, 24), "2", shows="JM/2026/90", ascii_only=True)


def test_what_needs_a_person_on_a_small_terminal(picture: Callable[..., bool]) -> None:
    """You should see a row for each kind and client, most urgent first, and below them the first one's sentence and keys."""
    assert picture((80, 24), "0", shows="1 faktura czeka.")


def test_what_needs_a_person_in_plain_ascii(picture: Callable[..., bool]) -> None:
    """You should see sums and whole sentences, and no sign outside ASCII but Polish letters."""
    assert picture((120, 40), "0", "down", shows="z Zatwierdź   Enter te faktury", ascii_only=True)
