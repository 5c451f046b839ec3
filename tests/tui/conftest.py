"""An office on a temporary directory and the program over it; nothing of the machine shows through."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import tui_office
from support.houses import House

from ksef_tui.domain.roles import Operator
from ksef_tui.services.office import Office
from ksef_tui.tui.app import KsefTui


@pytest.fixture(autouse=True)
def _plain_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("NO_COLOR", "TEXTUAL_COLOR_SYSTEM"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("COLORTERM", "truecolor")


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[tuple[Office, Operator]]:
    """An empty sandbox office and its administrator."""
    office, operator = tui_office.new_office(tmp_path)
    yield office, operator
    office.close()


@pytest.fixture
def ids(desk: tuple[Office, Operator]) -> dict[str, int]:
    """The same office with twelve clients and sixteen invoices; the clients' ids."""
    return tui_office.furnish(desk[0])


@pytest.fixture
def program(desk: tuple[Office, Operator]) -> Iterator[Callable[..., KsefTui]]:
    """Makes programs over the office, and ends their threads."""
    made: list[KsefTui] = []

    def make(**options: Any) -> KsefTui:
        app = KsefTui(*desk, now=lambda: tui_office.NOW, **options)
        made.append(app)
        return app

    yield make
    for app in made:
        app.leave_nothing()


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The home folder of whoever sits there."""
    folder = tmp_path / "dom"
    folder.mkdir()
    monkeypatch.setenv("HOME", str(folder))
    return folder


@pytest.fixture
def screen(house: House) -> Iterator[Callable[..., KsefTui]]:
    """Makes programs over an office that works with the sandbox, and ends their threads."""
    made: list[KsefTui] = []

    def make(**options: object) -> KsefTui:
        made.append(KsefTui(house.office, house.admin, **options))  # type: ignore[arg-type]
        return made[-1]

    yield make
    for app in made:
        app.leave_nothing()
