"""Whole databases as files: copied at one moment while others write, looked into without touching them."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from ksef_tui.store.database import connect


def new_copy(source: sqlite3.Connection, target: Path) -> None:
    """The database as it is at one moment, in a new file of the owner's only (0600), on the disk when this returns.

    One file without a `-wal` beside it. All pages in one step: in WAL nobody waits for that, and a copy in pieces would
    begin anew whenever another process writes. Raises FileExistsError, OSError, sqlite3.Error.
    """
    os.close(os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
    with closing(connect(target)) as copy:
        source.backup(copy)
        copy.execute("PRAGMA journal_mode = DELETE")
    on_disk(target)


def copy_over(source: Path, target: Path) -> None:
    """All of one database in the place of what another one holds, in one transaction of the other: who has it open sees
    the new content. A target that is not there is made (0600). Raises OSError, sqlite3.Error."""
    if not target.exists():
        os.close(os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
    with closing(connect(source)) as old, closing(connect(target)) as new:
        old.backup(new)
    on_disk(target)


@contextmanager
def untouched(path: Path) -> Iterator[sqlite3.Connection]:
    """A database that nobody writes, to be read; no file is made beside it. Raises sqlite3.Error."""
    with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro&immutable=1", uri=True)) as connection:
        connection.row_factory = sqlite3.Row
        yield connection


@contextmanager
def looked_into(path: Path) -> Iterator[sqlite3.Connection]:
    """A database that others may write meanwhile, only to be read. Raises sqlite3.Error."""
    with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, timeout=10)) as connection:
        connection.row_factory = sqlite3.Row
        yield connection


def on_disk(path: Path) -> None:
    """Make a file, or the names in a folder, last through a loss of power."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
