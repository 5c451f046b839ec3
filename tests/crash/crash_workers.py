"""Worker processes that are killed, stopped and started again."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

from support.houses import LOGIN, House
from support.ministry import PATIENCE


class WorkerProcess:
    """`python -m ksef_tui worker` on an office's directory."""

    def __init__(self, folder: Path, *options: str) -> None:
        command = [sys.executable, "-m", "ksef_tui", "--data-dir", str(folder), "--operator", LOGIN, "worker", *options]
        self._process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )

    @property
    def pid(self) -> int:
        return self._process.pid

    def kill(self) -> None:
        """kill -9."""
        os.kill(self.pid, signal.SIGKILL)
        self._process.communicate(timeout=PATIENCE)
        assert self._process.returncode == -signal.SIGKILL, "it had ended by itself"

    def pause(self) -> None:
        os.kill(self.pid, signal.SIGSTOP)
        os.waitid(os.P_PID, self.pid, os.WSTOPPED | os.WNOWAIT)  # a thread may still be inside a call: until it stands

    def go_on(self) -> None:
        os.kill(self.pid, signal.SIGCONT)

    def ends(self) -> str:
        """Waits for a good end; what it said on stderr."""
        out, error = self._process.communicate(timeout=PATIENCE * 2)
        assert (self._process.returncode, out) == (0, ""), error
        return error

    def stop(self) -> None:
        """Ends it, however it stands with it."""
        if self._process.poll() is None:
            os.kill(self.pid, signal.SIGKILL)
        self._process.communicate(timeout=PATIENCE)


def falls_asleep(house: House, sleeper: WorkerProcess) -> None:
    """It stops between two transactions; in one of them it would hold up everybody (`doctor` names it then)."""
    while True:
        sleeper.pause()
        with closing(sqlite3.connect(house.folder / "office.db", timeout=0.1, isolation_level=None)) as other:
            try:
                other.execute("BEGIN IMMEDIATE")
                return
            except sqlite3.OperationalError:
                sleeper.go_on()


def finish(house: House) -> None:
    """A new worker until nothing is left to do."""
    WorkerProcess(house.folder, "--until-idle").ends()
