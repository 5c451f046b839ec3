"""One sandbox for all tests of a pytest process; an office of its own for each test that asks for one."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from support.houses import House
from support.ministry import Ministry, Process


@pytest.fixture(scope="session")
def ministry_process(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Process]:
    process = Process(tmp_path_factory.mktemp("ministry"))
    yield process
    process.stop()


@pytest.fixture
def ministry(ministry_process: Process) -> Iterator[Ministry]:
    """The shared sandbox; troubles do not outlive a test."""
    ministry = Ministry(ministry_process.url)
    yield ministry
    ministry.calm()
    ministry.close()


@pytest.fixture
def house(tmp_path: Path, ministry: Ministry) -> Iterator[House]:
    """An office that works with the shared sandbox, without a recall window."""
    house = House(tmp_path / "biuro", ministry)
    yield house
    house.close()


@pytest.fixture
def own_ministry(tmp_path: Path) -> Iterator[Callable[..., Process]]:
    """Starts sandboxes of the test's own, which it may switch off; the same folder goes on where it stopped."""
    running: list[Process] = []

    def start(**options: object) -> Process:
        process = Process(tmp_path / "ministry", **options)  # type: ignore[arg-type]
        running.append(process)
        return process

    yield start
    for process in running:
        process.stop()
