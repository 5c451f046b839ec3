"""A person at a terminal: a process with a terminal of its own, what it showed, and what is typed into it."""

from __future__ import annotations

import fcntl
import os
import pty
import select
import signal
import struct
import sys
import termios
import time
from pathlib import Path

PATIENCE = 15.0  # seconds that a person waits for the next letter


class Terminal:
    """`python …` in a terminal of 80×24. `stdin`: bytes that it reads in place of the terminal."""

    def __init__(self, *arguments: str, stdin: bytes | None = None, env: dict[str, str] | None = None) -> None:
        self.shown = b""
        source, sink = os.pipe()
        environment = {**os.environ, "TERM": "xterm-256color", **(env or {})}
        self.pid, self._handle = pty.fork()
        if self.pid == 0:
            if stdin is not None:
                os.dup2(source, 0)
            os.closerange(3, 100)
            os.execve(sys.executable, [sys.executable, *arguments], environment)
        fcntl.ioctl(self._handle, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
        os.close(source)
        if stdin is not None:
            os.write(sink, stdin)
        os.close(sink)
        self.status: int | None = None

    def type(self, text: str) -> None:
        os.write(self._handle, text.encode())

    def wait_for(self, text: str) -> None:
        """Read until this is shown."""
        end = time.monotonic() + PATIENCE  # a screen never stops showing something
        while text.encode() not in self.shown:
            assert time.monotonic() < end, f"{text!r} never came: {self.shown!r}"
            assert self._read(), f"{text!r} never came: {self.shown!r}"

    def end(self) -> int:
        """Read to the end; the exit status."""
        while self._read():
            pass
        os.close(self._handle)
        self.status = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
        return self.status

    def kill(self) -> None:
        """End the process if it has not ended."""
        if self.status is None:
            os.kill(self.pid, signal.SIGKILL)
            self.end()

    def _read(self) -> bool:
        assert select.select([self._handle], [], [], PATIENCE)[0], self.shown
        try:
            more = os.read(self._handle, 65536)
        except OSError:
            return False
        self.shown += more
        return bool(more)


def seen_in_proc(pid: int) -> bytes:
    """What other processes can see of this one: its command line and, unless it hides it, its environment."""
    seen = Path(f"/proc/{pid}/cmdline").read_bytes()
    try:
        return seen + Path(f"/proc/{pid}/environ").read_bytes()
    except PermissionError:
        return seen
