"""People who have the exercise open, and waiting for processes that are nobody's children."""

from __future__ import annotations

import os
import select
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

VISITOR = """
import sys
from pathlib import Path
from ksef_tui.demo.folder import Folder
from ksef_tui.demo.run import depart, make_ready
folder = Folder(Path(sys.argv[1]))
folder.prepare()
with folder.locked():
    folder.enter()
    url = make_ready(folder, clients=17, invoices=60, reset=False, login="anna")
print(url, flush=True)
sys.stdin.read()
depart(folder)
"""


class Visitor:
    """A process that has the exercise open until told to go."""

    def __init__(self, path: Path) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-c", VISITOR, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        assert self._process.stdout is not None
        self.url = self._process.stdout.readline().strip()

    def go(self) -> None:
        """Leave in order; a process that is stuck fails the test."""
        self._process.communicate(timeout=20)

    def die(self) -> None:
        """kill -9."""
        self._process.kill()
        self._process.communicate()


def wait_for_end(pid: int, seconds: float = 20) -> bool:
    """Whether a process (not necessarily a child of ours) ends in time."""
    try:
        watched = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    try:
        return bool(select.select([watched], [], [], seconds)[0])
    finally:
        os.close(watched)


def wait_until(holds: Callable[[], bool], seconds: float = 20) -> None:
    """Asks until it holds: another thread or process tells nothing."""
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end, "it never came"
        time.sleep(0.02)
