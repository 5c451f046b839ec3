"""One sandbox process for all these tests; what it answers is held against the official OpenAPI document."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from sandbox_client import Process, Sandbox

sys.path.insert(0, str(Path(__file__).parents[1]))  # tests/openapi.py serves other folders too

import openapi
from sandbox_exchanges import disagreements

Start = Callable[..., Process]


@pytest.fixture(scope="session")
def sandbox_record(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The file that receives every exchange of the shared sandbox."""
    return tmp_path_factory.mktemp("sandbox") / "exchanges.jsonl"


@pytest.fixture(scope="session")
def sandbox_url(tmp_path_factory: pytest.TempPathFactory, sandbox_record: Path) -> Iterator[str]:
    process = Process(tmp_path_factory.mktemp("sandbox-data"), record=sandbox_record)
    yield process.url
    assert process.stop() == 0


@pytest.fixture
def ksef(sandbox_url: str, sandbox_record: Path) -> Iterator[Sandbox]:
    """A client of the shared sandbox; faults do not outlive a test, wrong answers fail the one that got them."""
    before = len(sandbox_record.read_text("utf-8").splitlines())
    client = Sandbox(sandbox_url)
    yield client
    client.calm()
    client.close()
    if openapi.available():
        assert disagreements(sandbox_record, before) == []


@pytest.fixture(scope="session")
def delayed_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    process = Process(tmp_path_factory.mktemp("delayed-data"), delay=500)
    yield process.url
    assert process.stop() == 0


@pytest.fixture
def delayed(delayed_url: str) -> Iterator[Sandbox]:
    """A client of a sandbox in which every step takes its time, so that the states in between can be seen."""
    client = Sandbox(delayed_url)
    yield client
    client.close()


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Starts sandboxes of a test's own, in `tmp_path/data` unless told otherwise."""
    running: list[Process] = []

    def begin(**options: object) -> Process:
        process = Process(options.pop("folder", tmp_path / "data"), **options)  # type: ignore[arg-type]
        running.append(process)
        return process

    yield begin
    for process in running:
        process.end()
