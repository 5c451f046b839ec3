"""Files that only their owner may read: written whole or not at all, refused when anybody else could look in."""

from __future__ import annotations

import fcntl
import os
import stat
from contextlib import contextmanager
from typing import TYPE_CHECKING

from ksef_tui.domain.problems import Problem

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

_OTHERS = stat.S_IRWXG | stat.S_IRWXO
_MAX_BYTES = 1_000_000


def make_private_folder(folder: Path) -> None:
    """The folder with mode 0700, made when it is not there. Raises Problem("key_too_open") as `read_private`."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    _refuse_if_open(folder, folder.lstat(), stat.S_ISDIR)


def read_private(path: Path) -> bytes | None:
    """The bytes of a file; None when it is not there.

    Raises Problem("key_too_open") when the file or its folder is a link, belongs to another user or may be read
    or written by anybody but the owner.
    """
    _rich_traceback_omit = True
    try:
        _refuse_if_open(path.parent, path.parent.lstat(), stat.S_ISDIR)
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise Problem("key_too_open", f"Plik klucza {path} jest dowiązaniem lub nie można go otworzyć.") from error
    with os.fdopen(handle, "rb") as file:
        _refuse_if_open(path, os.fstat(file.fileno()), stat.S_ISREG)
        return file.read(_MAX_BYTES)


def write_private(path: Path, content: bytes) -> None:
    """Puts the content in place of the file in one step, mode 0600; after a power cut it is the old or the new one.
    Drafts that a killed process left are removed: who writes holds the lock of the folder."""
    _rich_traceback_omit = True
    make_private_folder(path.parent)
    for left in path.parent.glob(f".{path.name}.*.new"):
        left.unlink(missing_ok=True)
    draft = path.with_name(f".{path.name}.{os.getpid()}.new")
    try:
        _write_new(draft, content)
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)
    _sync_folder(path.parent)


def new_private(path: Path, content: bytes) -> None:
    """A file that was not there, mode 0600, whole or not at all. Raises FileExistsError and other OSErrors."""
    try:
        _write_new(path, content)
    except FileExistsError:
        raise
    except BaseException:
        path.unlink(missing_ok=True)
        raise
    _sync_folder(path.parent)


def _write_new(path: Path, content: bytes) -> None:
    _rich_traceback_omit = True
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    with os.fdopen(handle, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Holds the lock file for the time of the block; a process that dies lets go of it."""
    make_private_folder(path.parent)
    handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def _refuse_if_open(path: Path, found: os.stat_result, is_right_kind: Callable[[int], bool]) -> None:
    if not is_right_kind(found.st_mode):
        raise Problem("key_too_open", f"{path} nie jest zwykłym plikiem lub folderem.")
    if found.st_uid != os.geteuid():
        raise Problem("key_too_open", f"{path} należy do innego użytkownika systemu – klucza nie użyto.")
    if found.st_mode & _OTHERS:
        right = "700" if stat.S_ISDIR(found.st_mode) else "600"
        raise Problem(
            "key_too_open",
            f"Do {path} mają dostęp inni użytkownicy systemu. Odbierz im go poleceniem: chmod {right} {path}",
        )
