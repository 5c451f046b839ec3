"""What `doctor` looks at in the machine: Python, packages, SQLite, zone data, schemas, terminal, limits of processes."""

from __future__ import annotations

import locale
import os
import sqlite3
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from importlib import metadata

from ksef_tui.domain.problems import Problem
from ksef_tui.domain.times import WARSAW
from ksef_tui.fa3 import xsd_files
from ksef_tui.services.doctor import Finding, Installation, Severity, check, office_check
from ksef_tui.services.office import Office
from ksef_tui.store import settings

OLDEST_PYTHON = (3, 11)
WAL_RESET = (3, 51, 3)  # the first SQLite without a rare race that may damage a database in WAL
FEW_FILES = 256  # open files: ten calls at once, their files, the database of some threads


@check("Python i pakiety")
def packages(_: Installation) -> Iterator[Finding]:
    """Everything that the program was installed with is there."""
    if sys.version_info[:2] < OLDEST_PYTHON:
        yield Finding(
            "old_python", Severity.ERROR, f"Python {sys.version.split()[0]} jest za stary.", "Zainstaluj 3.11."
        )
    missing = [name for name in _required() if not _version(name)]
    if missing:
        yield Finding(
            "package_missing", Severity.ERROR, f"Brak pakietów: {', '.join(missing)}.", "Zainstaluj program ponownie."
        )
    named = ", ".join(f"{n} {_version(n)}" for n in ("textual", "httpx", "cryptography", "lxml") if _version(n))
    own = _version("ksef-tui") or "?"
    yield Finding(
        "versions",
        Severity.NOTE,
        f"ksef-tui {own}, Python {sys.version.split()[0]}, SQLite {sqlite3.sqlite_version}, {named}.",
    )
    if sqlite3.sqlite_version_info < WAL_RESET:
        yield Finding(
            "sqlite_wal_reset", Severity.NOTE,
            f"SQLite {sqlite3.sqlite_version} ma bardzo rzadki błąd, który może uszkodzić bazę (naprawiony w 3.51.3).",
            "Przy okazji zaktualizuj system; rób kopie: ksef-tui backup.",
        )  # fmt: skip


def _required() -> list[str]:
    try:
        lines = metadata.requires("ksef-tui") or []
    except metadata.PackageNotFoundError:
        return []
    names = [line.partition(";") for line in lines]
    bare = [name.strip() for name, _, when in names if "extra" not in when]
    return ["".join(c if c.isalnum() or c in "-_." else " " for c in name).split()[0] for name in bare]


def _version(name: str) -> str:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return ""


@check("strefa czasowa")
def zone_data(_: Installation) -> Iterator[Finding]:
    """Poland an hour ahead in winter, two in summer: deadlines and dates of issue hang on that."""
    winter, summer = (datetime(2026, month, 1, tzinfo=UTC).astimezone(WARSAW).utcoffset() for month in (1, 7))
    if (winter, summer) != (timedelta(hours=1), timedelta(hours=2)):
        yield Finding(
            "zone_data", Severity.ERROR, "Dane stref czasowych są błędne: czas polski wychodzi zły.",
            "Zainstaluj ponownie pakiet tzdata.",
        )  # fmt: skip


@office_check("schematy FA(3)")
def schemas(_: Installation, office: Office) -> Iterator[Finding]:
    """There, and the official ones."""
    from pathlib import Path

    own = settings.get(office.db, "xsd_folder")
    try:
        xsd_files.locate(Path(own) if own else None)
    except Problem as problem:
        yield Finding(
            problem.code, Severity.ERROR, problem.message, "Faktur nie da się sprawdzić ani przyjąć, dopóki to trwa."
        )


@check("terminal")
def terminal(_: Installation) -> Iterator[Finding]:
    """Whether the screen can show Polish letters and signs."""
    coding = locale.nl_langinfo(locale.CODESET)
    if coding.upper().replace("-", "") != "UTF8":
        yield Finding(
            "locale", Severity.WARNING, f"Ustawienia językowe nie są UTF-8 ({coding}).",
            "Ustaw LANG=pl_PL.UTF-8 albo LANG=C.UTF-8; znaki stanu w ASCII: ksef-tui config set ascii 1.",
        )  # fmt: skip
    if sys.stdout is not None and sys.stdout.isatty() and os.environ.get("TERM", "") in ("", "dumb", "unknown"):
        yield Finding(
            "terminal", Severity.WARNING, "Nie wiadomo, jaki to terminal (TERM).", "Ustaw TERM, np. xterm-256color."
        )


@check("limity procesu")
def process_limits(_: Installation) -> Iterator[Finding]:
    """No core files, enough open files."""
    import resource

    if resource.getrlimit(resource.RLIMIT_CORE)[0] != 0:
        yield Finding(
            "core_dumps", Severity.WARNING, "Proces może zostawić zrzut pamięci z sekretami.",
            "Uruchamiaj program poleceniem ksef-tui, które to wyłącza, albo ustaw ulimit -c 0.",
        )  # fmt: skip
    files = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    if files != resource.RLIM_INFINITY and files < FEW_FILES:
        yield Finding(
            "few_files", Severity.WARNING, f"Proces może otworzyć tylko {files} plików.", "Ustaw ulimit -n 1024."
        )
