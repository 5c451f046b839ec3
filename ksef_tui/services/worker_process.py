"""A worker as a child of the screen: started when nobody sends, gone when the screen is gone (design §3)."""

from __future__ import annotations

import subprocess
import sys
from contextlib import suppress

from ksef_tui.services.office import Office
from ksef_tui.store import leases


class WorkerChild:
    """The child process, if one was needed. It ends when its standard input does, so also when the parent is killed."""

    def __init__(self, process: subprocess.Popen[bytes] | None) -> None:
        self._process = process

    @property
    def pid(self) -> int | None:
        """The child's process id; None when somebody else works already."""
        return self._process.pid if self._process else None

    def stop(self) -> None:
        """Ask the child to end after what it is doing; killing it later loses nothing (design §3)."""
        if self._process is None:
            return
        assert self._process.stdin is not None
        self._process.stdin.close()
        try:
            self._process.wait(timeout=3)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


def somebody_works(office: Office) -> bool:
    """Whether a living worker serves this office."""
    return bool(leases.holders(office.db, "worker:"))


def ensure(office: Office, login: str) -> WorkerChild:
    """Start a worker as a child of this process unless one works already. What opens the key goes through its
    standard input: neither its command line nor its environment, which others may read."""
    if somebody_works(office):
        return WorkerChild(None)
    command = [
        sys.executable, "-m", "ksef_tui", "--data-dir", str(office.data_dir), "--operator", login, "--passphrase-stdin",
        "worker", "--until-eof",
    ]  # fmt: skip
    process = subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,  # a Ctrl+C or a hang-up of the terminal is the screen's business
    )
    passphrase = office.keys.passphrase
    assert process.stdin is not None
    with suppress(BrokenPipeError):  # it ended at once, and nobody sends: the header says so
        process.stdin.write((passphrase.reveal() if passphrase else b"") + b"\n")
        process.stdin.flush()
    return WorkerChild(process)
