"""A program on a real pty: what it writes, when it came, what it costs."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import signal
import struct
import subprocess
import sys
import termios
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from time import perf_counter

from tests.bench import ROOT

PATIENCE = 60.0  # seconds after which something has gone wrong
DOWN, UP, PAGE_DOWN, END, HOME = b"\x1b[B", b"\x1b[A", b"\x1b[6~", b"\x1b[F", b"\x1b[H"
_SEQUENCES = re.compile(rb"\x1b\[[0-?]*[ -/]*[@-~]|\x1b[\]P][^\x07\x1b]*(?:\x07|\x1b\\)|\x1b.")


class Terminal:
    """A Python module started on a terminal of 80×24 cells, TERM=xterm-256color."""

    def __init__(
        self,
        module: str,
        *arguments: str,
        size: tuple[int, int] = (80, 24),
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self._master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", size[1], size[0], 0, 0))
        around = {k: v for k, v in os.environ.items() if k not in ("COLORTERM", "NO_COLOR", "COLUMNS", "LINES")}
        around |= {"TERM": "xterm-256color", **(environment or {})}
        self._chunks: list[tuple[float, bytes]] = []
        self._news = threading.Condition()
        self.started = perf_counter()
        self._process = subprocess.Popen(
            [sys.executable, "-m", module, *arguments],
            stdin=slave, stdout=slave, stderr=slave, cwd=ROOT, env=around, start_new_session=True,
            preexec_fn=_take_terminal,
        )  # fmt: skip
        os.close(slave)
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    @property
    def pid(self) -> int:
        """The process on the terminal."""
        return self._process.pid

    def _read(self) -> None:
        while True:
            try:
                data = os.read(self._master, 65536)
            except OSError:  # the other end is closed
                data = b""
            with self._news:
                self._chunks.append((perf_counter(), data))
                self._news.notify_all()
            if not data:
                return

    def text(self, after: float = 0.0) -> str:
        """All that was written after a moment, without control sequences."""
        written = b"".join(data for at, data in self._chunks if at >= after)
        return _SEQUENCES.sub(b"", written).decode("utf-8", "replace")

    def since(self, moment: float) -> list[tuple[float, bytes]]:
        """What came after a moment, with the time of each piece."""
        with self._news:
            return [(at, data) for at, data in self._chunks if at >= moment]

    def until(self, text: str, after: float = 0.0) -> float:
        """When the text was on its way to the terminal, if not before `after`. RuntimeError when it does not come."""
        deadline = perf_counter() + PATIENCE
        with self._news:
            seen = 0
            while True:
                if len(self._chunks) > seen:
                    seen = len(self._chunks)
                    at, last = self._chunks[-1]
                    if text in self.text(after):
                        return at
                    if not last:
                        raise RuntimeError(f"the program ended before {text!r}: {self.text()[-500:]!r}")
                if not self._news.wait(deadline - perf_counter()):
                    raise RuntimeError(f"{text!r} did not appear: {self.text()[-500:]!r}")

    def bytes_until_quiet(self, quiet: float = 0.15, start: float | None = None) -> list[tuple[float, bytes]]:
        """What comes from now (or `start`) on until nothing has come for `quiet` seconds."""
        start = perf_counter() if start is None else start
        deadline = start + PATIENCE
        with self._news:
            while perf_counter() < deadline:
                last = max(start, self._chunks[-1][0] if self._chunks else start)
                left = last + quiet - perf_counter()
                if left <= 0:
                    break
                self._news.wait(left)
        return self.since(start)

    def first_after(self, moment: float) -> float:
        """When the first byte after a moment came. RuntimeError when none comes."""
        deadline = perf_counter() + PATIENCE
        with self._news:
            while not (self._chunks and self._chunks[-1][0] >= moment):
                if not self._news.wait(deadline - perf_counter()):
                    raise RuntimeError("nothing was written to the terminal")
        return self.since(moment)[0][0]

    def press(self, keys: bytes) -> None:
        """Type."""
        os.write(self._master, keys)

    def wait(self) -> int:
        """The exit status, when the program ends by itself."""
        return self._process.wait(PATIENCE * 5)

    def stop(self) -> None:
        """End the program, if it has not ended."""
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
            try:
                self._process.wait(10)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        self._reader.join(5)
        os.close(self._master)

    def __enter__(self) -> Terminal:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()


def _take_terminal() -> None:
    """In the child: standard input is its controlling terminal, so that it is hung up on when the benchmark is killed."""
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)


def program(folder: Path, *more: str) -> Sequence[str]:
    """Module and arguments of ksef-tui for the office in `folder`."""
    return ("ksef_tui", "--data-dir", str(folder), "--operator", "bench", *more)


def cpu_seconds(pid: int) -> float:
    """Processor time that a process has used."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def memory_mb(pid: int) -> tuple[float, float]:
    """RSS and PSS of a process in MB (10⁶ bytes)."""
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    kilobytes = {line.split(":")[0]: int(line.split()[1]) for line in lines[1:]}
    return kilobytes["Rss"] * 1.024 / 1000, kilobytes["Pss"] * 1.024 / 1000
