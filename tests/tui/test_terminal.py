"""A program whose terminal vanished is gone as well, whatever it was doing."""

from __future__ import annotations

import fcntl
import os
import pty
import signal
import struct
import subprocess
import sys
import termios
from pathlib import Path

from tui_office import furnish, new_office

from ksef_tui.tui.terminal import is_gone

LONGEST = 30.0  # seconds until an end that must come is given up


def test_a_terminal_is_there_until_its_other_end_is_closed() -> None:
    master, slave = pty.openpty()
    assert not is_gone(slave)
    os.close(master)
    assert is_gone(slave)
    os.close(slave)


def test_a_program_that_stands_in_a_write_ends_with_its_terminal(tmp_path: Path) -> None:
    """Nobody reads the output, so the event loop stands in the middle of a repaint and hears no hang-up."""
    office, operator = new_office(tmp_path)
    office.keys.create()
    furnish(office)
    office.close()
    master, slave = pty.openpty()
    resize(master, 120)
    program = subprocess.Popen(
        [sys.executable, "-m", "ksef_tui", "--data-dir", str(tmp_path), "--operator", operator.login],
        stdin=slave, stdout=slave, stderr=slave, start_new_session=True, env={**os.environ, "TERM": "xterm-256color"},
    )  # fmt: skip
    os.close(slave)
    os.read(master, 1)  # it has begun to draw; from here on nothing is read
    for columns in (100, 120, 90, 130) * 5:
        resize(master, columns)
        os.kill(program.pid, signal.SIGWINCH)
    os.close(master)
    assert program.wait(timeout=LONGEST) == 0


def test_a_terminal_without_a_size_is_refused(tmp_path: Path) -> None:
    """A screen of nothing would be laid out again and again, for ever."""
    office, operator = new_office(tmp_path)
    office.close()
    master, slave = pty.openpty()
    program = subprocess.run(
        [sys.executable, "-m", "ksef_tui", "--data-dir", str(tmp_path), "--operator", operator.login],
        stdin=slave, stdout=slave, stderr=subprocess.PIPE, env={**os.environ, "TERM": "xterm-256color"},
        timeout=LONGEST, check=False,
    )  # fmt: skip
    os.close(slave)
    os.close(master)
    assert (program.returncode, program.stderr.decode().count("\n")) == (1, 1)
    assert "jak jest duży" in program.stderr.decode()


def resize(master: int, columns: int) -> None:
    """Give the terminal 40 rows and so many columns."""
    fcntl.ioctl(master, termios.TIOCSWINSZ, struct.pack("HHHH", 40, columns, 0, 0))
