"""One exercise is filled for all these tests; each gets a copy, which starts at once."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from demo_helpers import Visitor

from ksef_tui import compose
from ksef_tui.demo import ministry
from ksef_tui.demo.folder import Folder
from ksef_tui.demo.seed import build
from ksef_tui.services.office import Office

CLIENTS, INVOICES = 17, 60


@pytest.fixture(scope="session")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder as the first start leaves it, with the sandbox stopped."""
    folder = tmp_path_factory.mktemp("demo") / "demo"
    build(folder, CLIENTS, INVOICES, login="anna")
    return folder


@pytest.fixture
def folder(filled: Path, tmp_path: Path) -> Iterator[Folder]:
    """A copy of the filled folder; nothing of it runs on after the test."""
    copy = Folder(Path(shutil.copytree(filled, tmp_path / "demo")))
    yield copy
    ministry.stop(copy)


@pytest.fixture
def office(folder: Folder) -> Iterator[Office]:
    office = compose.open_office(folder.office)
    yield office
    office.close()


@pytest.fixture
def visit() -> Iterator[Callable[[Folder], Visitor]]:
    """Opens the exercise in a process of its own."""
    visitors: list[Visitor] = []

    def opened(folder: Folder) -> Visitor:
        visitors.append(Visitor(folder.path))
        return visitors[-1]

    yield opened
    for visitor in visitors:
        visitor.die()
