"""One SQLite file where everybody meets: WAL, `synchronous=FULL`, foreign keys, `BEGIN IMMEDIATE` for every write.

A deferred transaction that reads and then writes can fail at once with "database is locked" whatever the busy
timeout, so no write begins any other way. Connections belong to a thread; nothing keeps a read transaction open.
"""

from __future__ import annotations

import fcntl
import os
import sqlite3
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from ksef_tui.domain.problems import Problem
from ksef_tui.domain.reasons import os_reason
from ksef_tui.store.schema import STEPS

BUSY_TIMEOUT_MS = 10_000

_CLASS_OF_ERROR = {
    sqlite3.SQLITE_FULL: ("disk_full", "Brak miejsca na dysku – nic nie zapisano. Zwolnij miejsce i powtórz."),
    sqlite3.SQLITE_READONLY: (
        "read_only",
        "Baza danych jest tylko do odczytu – nic nie zapisano. Sprawdź prawa do plików.",
    ),
    sqlite3.SQLITE_BUSY: ("busy", "Baza danych jest zajęta przez inny proces – powtórz za chwilę."),
    sqlite3.SQLITE_IOERR: ("disk_error", "Błąd odczytu lub zapisu na dysku – nic nie zapisano."),
    sqlite3.SQLITE_CORRUPT: ("corrupt", "Plik bazy danych jest uszkodzony – odtwórz kopię zapasową."),
    sqlite3.SQLITE_NOTADB: ("not_a_database", "Ten plik nie jest bazą danych ksef-tui."),
    sqlite3.SQLITE_CANTOPEN: ("cannot_open", "Nie można otworzyć bazy danych – sprawdź katalog i prawa do niego."),
}
DATABASE_PROBLEMS = frozenset(code for code, _ in _CLASS_OF_ERROR.values())


def as_problem(error: sqlite3.Error) -> Problem | None:
    """What a person is told about an error of the database; None when it is a mistake of the program."""
    code = getattr(error, "sqlite_errorcode", None)
    if code is None:
        return None
    known = _CLASS_OF_ERROR.get(code & 0xFF)
    return Problem(*known) if known else None


class Database:
    """The office's database. Use `write()` for every change and `rows`/`row`/`value` to read."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._local = threading.local()
        self.before_commit: Callable[[sqlite3.Connection], None] | None = None

    @property
    def connection(self) -> sqlite3.Connection:
        """This thread's connection."""
        connection: sqlite3.Connection | None = getattr(self._local, "connection", None)
        if connection is None:
            with _problems():
                connection = connect(self.path)
            self._local.connection = connection
        return connection

    @contextmanager
    def write(self) -> Iterator[sqlite3.Connection]:
        """One transaction: all of it or nothing. Inside another `write()` it joins that one.

        Raises Problem for a full disk, a read-only file, a lock held too long; nothing has been written then.
        """
        connection = self.connection
        if connection.in_transaction:
            yield connection
            return
        with _problems():
            connection.execute("BEGIN IMMEDIATE")
            try:
                yield connection
                if self.before_commit is not None:
                    self._mend_stale(connection, self.before_commit)
                connection.execute("COMMIT")
            except BaseException:
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
                raise

    def _mend_stale(self, connection: sqlite3.Connection, mend: Callable[[sqlite3.Connection], None]) -> None:
        """Nothing is committed that was sealed by a data key which is no longer the office's (`store.sealed`)."""
        if connection.execute("SELECT EXISTS (SELECT 1 FROM stale_seal)").fetchone()[0]:
            mend(connection)

    def rows(self, sql: str, args: Sequence[Any] | dict[str, Any] = ()) -> list[sqlite3.Row]:
        """All rows of a query; no cursor stays open."""
        with _problems():
            return self.connection.execute(sql, args).fetchall()

    def row(self, sql: str, args: Sequence[Any] | dict[str, Any] = ()) -> sqlite3.Row | None:
        """The first row of a query, or None."""
        with _problems():
            found: sqlite3.Row | None = self.connection.execute(sql, args).fetchone()
            return found

    def value(self, sql: str, args: Sequence[Any] | dict[str, Any] = ()) -> Any:
        """The first column of the first row, or None."""
        found = self.row(sql, args)
        return None if found is None else found[0]

    def can_write(self, seconds: float) -> bool:
        """Whether a write could begin within `seconds`; nothing is written."""
        with closing(connect(self.path)) as other:
            other.execute(f"PRAGMA busy_timeout = {int(seconds * 1000)}")
            try:
                other.execute("BEGIN IMMEDIATE")
            except sqlite3.OperationalError:
                return False
            return True

    def data_version(self) -> int:
        """A number that changes when another connection has committed (4 µs)."""
        return int(self.connection.execute("PRAGMA data_version").fetchone()[0])

    def close(self) -> None:
        """Close this thread's connection and let those of the others go: one that reads closes when it has read.

        To close it under a thread that reads ends the process with a broken memory.
        """
        own: sqlite3.Connection | None = getattr(self._local, "connection", None)
        if own is not None:
            own.close()
        self._local = threading.local()


@contextmanager
def _problems() -> Iterator[None]:
    try:
        yield
    except sqlite3.Error as error:
        problem = as_problem(error)
        if problem is None:
            raise
        raise problem from error


def connect(path: Path) -> sqlite3.Connection:
    """A connection that promises what all of them do: what is committed lasts through a loss of power, and no row points
    at one that is not there. The one place where a database is opened to be written."""
    connection = sqlite3.connect(path, timeout=BUSY_TIMEOUT_MS / 1000, isolation_level=None, check_same_thread=False)
    connection.row_factory = sqlite3.Row
    try:
        connection.execute("PRAGMA foreign_keys = ON")
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("PRAGMA temp_store = MEMORY")
    except sqlite3.Error:
        connection.close()
        raise
    return connection


def open_database(path: Path) -> Database:
    """The database at `path`, made or brought up to date first.

    Any number of processes may do this at once: the schema is changed under a lock of the file system, which
    ends with its process, and in one exclusive transaction. Raises Problem, also for a database of a newer program.
    """
    database = Database(path)
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not path.exists() or _version(database) != len(STEPS) or not _in_wal(database):
            with _file_lock(path.with_name(path.name + ".lock")):
                _bring_up_to_date(database)
    except OSError as error:
        database.close()
        why = os_reason(error)
        raise Problem("cannot_open", f"Nie można otworzyć bazy danych w {path.parent}: {why}.") from error
    except BaseException:
        database.close()
        raise
    return database


def _version(database: Database) -> int:
    return int(database.value("PRAGMA user_version"))


def _in_wal(database: Database) -> bool:
    """A file that was put in the place of the database (a backup) may be in another mode; then readers and writers would
    wait for each other."""
    return bool(database.value("PRAGMA journal_mode") == "wal")


def _bring_up_to_date(database: Database) -> None:
    if not database.path.exists():
        os.close(os.open(database.path, os.O_CREAT | os.O_RDWR, 0o600))
    version = _version(database)
    if version > len(STEPS):
        raise Problem("newer_database", "Tę bazę założyła nowsza wersja ksef-tui – zaktualizuj program.")
    if version == len(STEPS):
        database.value("PRAGMA journal_mode = WAL")
        return
    import sqlite_utils  # late: 80 ms that only a changed schema needs

    from ksef_tui.store.sealed import triggers

    migrations = sqlite_utils.Migrations("ksef_tui")
    for name, statements in STEPS:
        migrations(name=name)(_step(statements))
    connection = database.connection
    with _problems():
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("BEGIN EXCLUSIVE")
        try:
            migrations.apply(sqlite_utils.Database(connection))
            for statement in triggers():
                connection.execute(statement)
            connection.execute(f"PRAGMA user_version = {len(STEPS)}")
            connection.execute("COMMIT")
        except BaseException:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            raise


def _step(statements: list[str]) -> Any:
    def apply(db: Any) -> None:
        for statement in statements:
            db.execute(statement)

    apply.__name__ = "apply"
    return apply


@contextmanager
def _file_lock(path: Path) -> Iterator[None]:
    descriptor = os.open(path, os.O_CREAT | os.O_RDWR, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
