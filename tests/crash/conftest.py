"""Starts workers that do not outlive the test."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from crash_workers import WorkerProcess
from support.houses import House


@pytest.fixture
def worker(house: House) -> Iterator[Callable[..., WorkerProcess]]:
    running: list[WorkerProcess] = []

    def start(*options: str) -> WorkerProcess:
        process = WorkerProcess(house.folder, *options)
        running.append(process)
        return process

    yield start
    for process in running:
        process.stop()
