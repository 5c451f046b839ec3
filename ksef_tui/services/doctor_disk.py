"""What `doctor` looks at on the disk, whether the office opens or not: folder, files, file system, space, database."""

from __future__ import annotations

import os
import shutil
import sqlite3
import stat
from collections.abc import Iterator
from pathlib import Path

from ksef_tui.domain.problems import Problem
from ksef_tui.domain.reasons import os_reason
from ksef_tui.services.doctor import Finding, Installation, Severity, check
from ksef_tui.store import copies
from ksef_tui.store.database import as_problem

# WAL shares memory between processes, which works on one machine alone; locks over a network are not to be trusted.
NETWORK = frozenset(
    {
        "nfs", "nfs4", "cifs", "smb3", "smbfs", "fuse.sshfs", "sshfs", "9p", "ceph", "fuse.ceph", "glusterfs",
        "fuse.glusterfs", "lustre", "afs", "ncpfs", "davfs",
    }
)  # fmt: skip
VOLATILE = frozenset({"tmpfs", "ramfs"})
LARGE_WAL = 200_000_000  # bytes; a checkpoint keeps it at some MB unless a reader never ends
_OTHERS = stat.S_IRWXG | stat.S_IRWXO


@check("katalog danych")
def folder(at: Installation) -> Iterator[Finding]:
    """There, the user's own, closed to others."""
    where = at.data_dir
    if not at.database.exists():
        yield Finding(
            "no_office", Severity.ERROR, f"W katalogu {where} nie ma biura.",
            "Załóż je (ksef-tui init), odtwórz z kopii (ksef-tui restore) albo wskaż właściwy katalog (--data-dir).",
        )  # fmt: skip
        return
    if not os.access(where, os.W_OK | os.X_OK):
        yield Finding(
            "folder_unwritable", Severity.ERROR, f"Nie wolno zapisywać w katalogu {where}.",
            "Uruchamiaj program jako użytkownik, do którego katalog należy.",
        )  # fmt: skip
    mode = stat.S_IMODE(where.stat().st_mode)
    if mode & _OTHERS:
        severity = Severity.ERROR if mode & (stat.S_IWGRP | stat.S_IWOTH) else Severity.WARNING
        yield Finding("folder_open", severity, f"Do katalogu {where} mają dostęp inni.", f"chmod 700 {where}")


@check("prawa do plików")
def files(at: Installation) -> Iterator[Finding]:
    """The database and what lies beside it: readable by the owner alone, all of one owner."""
    owner = at.data_dir.stat().st_uid if at.data_dir.exists() else os.geteuid()
    for path in (at.database, *(at.database.with_name(at.database.name + tail) for tail in ("-wal", "-shm"))):
        if not path.exists():
            continue
        found = path.stat()
        if found.st_mode & _OTHERS:
            yield Finding("file_open", Severity.ERROR, f"Plik {path} mogą czytać inni.", f"chmod 600 {path}")
        if found.st_uid != owner:
            yield Finding(
                "file_owner", Severity.ERROR, f"Plik {path} należy do innego użytkownika niż katalog.",
                f"Oddaj go właścicielowi katalogu (chown) i nie uruchamiaj programu jako root: {path}",
            )  # fmt: skip
        elif not os.access(path, os.R_OK | os.W_OK):
            yield Finding(
                "file_unwritable", Severity.ERROR, f"Nie wolno zapisywać w pliku {path}.", f"chmod 600 {path}"
            )


@check("system plików")
def file_system(at: Installation) -> Iterator[Finding]:
    """Neither over a network nor in memory."""
    kind = kind_of(at.data_dir, Path(at.mounts).read_text() if Path(at.mounts).exists() else "")
    if kind in NETWORK:
        yield Finding(
            "network_filesystem", Severity.ERROR, f"Katalog {at.data_dir} leży na dysku sieciowym ({kind}).",
            "Przenieś biuro na dysk tego komputera: na sieciowym baza może się uszkodzić.",
        )  # fmt: skip
    elif kind in VOLATILE:
        yield Finding(
            "volatile_filesystem", Severity.WARNING, f"Katalog {at.data_dir} leży w pamięci ({kind}).",
            "Po wyłączeniu komputera wszystko zniknie: przenieś biuro na dysk.",
        )  # fmt: skip


def kind_of(folder: Path, mounts: str) -> str:
    """The kind of file system that holds a folder, by the text of /proc/self/mountinfo; empty when it cannot be told."""
    real, best, kind = folder.resolve(), -1, ""
    for line in mounts.splitlines():
        before, _, after = line.partition(" - ")
        parts, rest = before.split(), after.split()
        if len(parts) < 5 or not rest:
            continue
        point = Path(parts[4].encode("latin-1", "replace").decode("unicode_escape"))
        if (real == point or point in real.parents) and len(point.parts) >= best:
            best, kind = len(point.parts), rest[0]
    return kind


@check("miejsce na dysku")
def space(at: Installation) -> Iterator[Finding]:
    """Enough for the database to grow and for packages."""
    place = at.data_dir if at.data_dir.exists() else Path.cwd()
    free = shutil.disk_usage(place).free
    if free < at.little_space:
        severity = Severity.ERROR if free < at.little_space / 10 else Severity.WARNING
        yield Finding(
            "little_space", severity, f"Na dysku zostało {free / 1_000_000:.0f} MB.",
            "Zwolnij miejsce: bez niego nie da się zapisać faktur, UPO ani paczek.",
        )  # fmt: skip


@check("baza danych")
def database(at: Installation) -> Iterator[Finding]:
    """Whole, in WAL, with every reference kept; asked before the program opens it, which would mend some of that."""
    if not at.database.exists():
        return
    try:
        with copies.looked_into(at.database) as connection:
            yield from _database(connection)
    except sqlite3.Error as error:
        problem = as_problem(error) or Problem("corrupt", "Bazy danych nie da się odczytać.")
        yield Finding(problem.code, Severity.ERROR, problem.message, "Odtwórz kopię: ksef-tui restore PLIK.")
    wal = at.database.with_name(at.database.name + "-wal")
    size = at.database.stat().st_size + (wal.stat().st_size if wal.exists() else 0)
    yield Finding("database_size", Severity.NOTE, f"Baza danych ma {size / 1_000_000:.1f} MB.")
    if wal.exists() and wal.stat().st_size > LARGE_WAL:
        yield Finding(
            "large_wal", Severity.WARNING, f"Dziennik bazy ma {wal.stat().st_size / 1_000_000:.0f} MB.",
            "Któryś proces długo czyta starą wersję: zamknij zapomniane ekrany i uruchom workera ponownie.",
        )  # fmt: skip


def _database(connection: sqlite3.Connection) -> Iterator[Finding]:
    said = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
    if said != "ok":
        yield Finding(
            "corrupt", Severity.ERROR, "Plik bazy danych jest uszkodzony.",
            "Zatrzymaj wszystko, zachowaj katalog i odtwórz kopię: ksef-tui restore PLIK.",
        )  # fmt: skip
        return
    mode = connection.execute("PRAGMA journal_mode").fetchone()[0]
    if mode != "wal":
        yield Finding(
            "not_wal", Severity.WARNING, f"Baza danych była w trybie {mode}, a nie WAL.",
            "Program przełącza ją przy otwarciu; jeśli to wraca, sprawdź system plików.",
        )  # fmt: skip
    broken = connection.execute("SELECT count(*) FROM pragma_foreign_key_check").fetchone()[0]
    if broken:
        yield Finding(
            "broken_references", Severity.ERROR, f"W bazie brakuje wierszy, na które wskazują inne ({broken}).",
            "Ktoś zmieniał bazę poza programem: odtwórz kopię (ksef-tui restore PLIK).",
        )  # fmt: skip


@check("pozostałości")
def left_files(at: Installation) -> Iterator[Finding]:
    """What a killed backup or restore left behind."""
    try:
        left = sorted(path.name for path in at.data_dir.glob(".*.part"))
    except OSError as error:
        yield Finding("left_files", Severity.NOTE, f"Nie można przejrzeć katalogu: {os_reason(error)}.")
        return
    if left:
        yield Finding(
            "left_files", Severity.NOTE, f"Przerwane kopiowanie zostawiło pliki: {', '.join(left)}.",
            "Usuń je, gdy nic się nie kopiuje.",
        )  # fmt: skip
