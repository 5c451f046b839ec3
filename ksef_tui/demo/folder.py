"""Where the exercise lives, who is in it, and what of it may be removed.

A file of its own marks the folder, so that nobody's office is ever taken for an exercise. Whoever has it open holds a
lock on a file in `present`; the lock ends with its process, however that ends.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any

from ksef_tui.domain.problems import Problem
from ksef_tui.domain.reasons import os_reason
from ksef_tui.services.office import DATABASE_FILE

MARKER = ".ksef-tui-demo"
_MARK = "Ten katalog założyło ćwiczenie ksef-tui (ksef-tui demo) i może je usunąć.\n"


class Folder:
    """The folder of one exercise. `enter` it before anything else."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.office = path / "office"
        self.sandbox = path / "sandbox"
        self.log = path / "sandbox.log"
        self._notes = path / "demo.json"
        self._running = path / "sandbox.json"
        self._present = path / "present"
        self._mine: IO[str] | None = None

    def prepare(self) -> None:
        """Make the folder, or make sure that it is ours. Raises Problem("not_a_demo")."""
        try:
            self._prepare()
        except OSError as error:
            raise Problem("not_a_demo", f"Nie można użyć katalogu {self.path}: {os_reason(error)}.") from error

    def _prepare(self) -> None:
        if self.path.is_symlink() or (self.path.exists() and not self.path.is_dir()):
            raise Problem("not_a_demo", f"{self.path} nie jest zwykłym katalogiem – wskaż inny.")
        if not self._is_ours():
            if self.path.exists() and any(self.path.iterdir()):
                raise Problem(
                    "not_a_demo",
                    f"Katalog {self.path} nie jest pusty i nie założyło go ćwiczenie – wskaż inny. Niczego nie zmieniono.",
                )
            self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
            (self.path / MARKER).write_text(_MARK, "utf-8")
        self._present.mkdir(mode=0o700, exist_ok=True)

    def _is_ours(self) -> bool:
        try:
            return (self.path / MARKER).read_text("utf-8") == _MARK
        except (OSError, UnicodeDecodeError):
            return False

    @contextlib.contextmanager
    def locked(self, *, wait: bool = True, waiting: Callable[[], None] = lambda: None) -> Iterator[None]:
        """Alone in starting, filling, leaving and stopping; `waiting` is called when somebody else is at it.

        Without `wait`: BlockingIOError then.
        """
        with (self.path / "demo.lock").open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if not wait:
                    raise
                waiting()
                fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    # Who is here --------------------------------------------------------------------------------------------------

    def enter(self) -> None:
        """Be seen, until `leave` or the end of the process."""
        mine = (self._present / f"{os.getpid()}").open("w")
        fcntl.flock(mine, fcntl.LOCK_EX)
        self._mine = mine

    def leave(self) -> None:
        """Be seen no more."""
        if self._mine is not None:
            Path(self._mine.name).unlink(missing_ok=True)
            self._mine.close()
            self._mine = None

    def others(self) -> int:
        """How many living processes but this one have the exercise open; forgets the dead."""
        count = 0
        for file in self._present.iterdir() if self._present.is_dir() else ():
            if self._mine is not None and file.name == str(os.getpid()):
                continue
            with contextlib.suppress(FileNotFoundError), file.open("r") as seen:
                try:
                    fcntl.flock(seen, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    count += 1
                else:
                    file.unlink(missing_ok=True)
        return count

    # What is written down -----------------------------------------------------------------------------------------

    def notes(self) -> dict[str, Any]:
        """What the filling left: empty until it was finished, and when half of it was removed since."""
        whole = (self.office / DATABASE_FILE).is_file() and (self.sandbox / "sandbox.db").is_file()
        return _read(self._notes) if whole else {}

    def finish(self, **notes: Any) -> None:
        """The office is complete; the next start uses it as it is."""
        _write(self._notes, notes)

    def running(self) -> dict[str, Any]:
        """The process of the sandbox as it was started: pid, started, boot, url; empty without one."""
        return _read(self._running)

    def set_running(self, process: dict[str, Any] | None) -> None:
        """Write down which process the sandbox is, or that there is none."""
        if process is None:
            self._running.unlink(missing_ok=True)
        else:
            _write(self._running, process)

    def clear(self) -> None:
        """Remove the office and the sandbox's state: what the exercise has made, by name, and nothing else."""
        self._notes.unlink(missing_ok=True)  # first: what follows may be interrupted
        for folder in (self.office, self.sandbox):
            if folder.is_symlink():
                folder.unlink()
            elif folder.is_dir():
                shutil.rmtree(folder)
        self.log.unlink(missing_ok=True)


def _read(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _write(path: Path, content: dict[str, Any]) -> None:
    """All of it or nothing."""
    fresh = path.with_name(path.name + ".new")
    fresh.write_text(json.dumps(content, ensure_ascii=False, indent=1), "utf-8")
    fresh.replace(path)
