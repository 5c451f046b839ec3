"""What is wrong with this installation and what to do: one check is one small function of the registry.

The checks of the disk need no office, so they also say what keeps one from being opened. Nothing is mended here.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING

from ksef_tui.domain.problems import Problem
from ksef_tui.domain.roles import Act, Operator, require
from ksef_tui.services.office import Office, database_path, utc_now

if TYPE_CHECKING:
    from ksef_tui.ksef.models import PublicKeyCertificate


class Severity(StrEnum):
    """How bad it is. An error ends the command with 1; `ok` is the sentence of a check that found nothing."""

    ERROR = "error"
    WARNING = "warning"
    NOTE = "note"
    OK = "ok"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was found. `code` is stable; `text` and `action` are Polish, `action` empty where nothing is to do."""

    code: str
    severity: Severity
    text: str
    action: str = ""


@dataclass(slots=True)
class Asked:
    """What KSeF answered: how far this machine's clock is from its own (seconds, positive: we are ahead), how long an
    answer took, the ministry's certificates. `problem`: why there is no answer."""

    ahead: float | None = None
    seconds: float = 0.0
    keys: list[PublicKeyCertificate] = field(default_factory=list)
    problem: str = ""


@dataclass(slots=True)
class Installation:
    """What is examined. The rest of the fields are what a test may set otherwise than the machine has it."""

    data_dir: Path
    office: Office | None = None
    operator: Operator | None = None
    asked: Asked | None = None  # None: not asked (--offline)
    little_space: int = 1_000_000_000  # bytes free below which a warning is due; a tenth of it is an error
    mounts: str = "/proc/self/mountinfo"

    @property
    def database(self) -> Path:
        """The office's database."""
        return database_path(self.data_dir)

    @property
    def now(self) -> datetime:
        """The time on this machine."""
        return self.office.clock() if self.office is not None else utc_now()


class NotLooked(Exception):
    """A check could not look: it neither found something nor may it say that all is well."""


Check = Callable[[Installation], Iterator[Finding]]
OfficeCheck = Callable[[Installation, Office], Iterator[Finding]]


@dataclass(frozen=True, slots=True)
class Entry:
    """A check: what it looks at, in Polish, and the function; one with `of_office` needs an office that opens."""

    name: str
    look: Callable[..., Iterator[Finding]]
    of_office: bool


CHECKS: list[Entry] = []
_HOMES = ("doctor_disk", "doctor_machine", "doctor_ksef", "doctor_work")


def check(name: str) -> Callable[[Check], Check]:
    """Put a check that needs no office into the registry."""

    def register(look: Check) -> Check:
        CHECKS.append(Entry(name, look, False))
        return look

    return register


def office_check(name: str) -> Callable[[OfficeCheck], OfficeCheck]:
    """Put a check of an office that opens into the registry."""

    def register(look: OfficeCheck) -> OfficeCheck:
        CHECKS.append(Entry(name, look, True))
        return look

    return register


def all_checks() -> list[Entry]:
    """The whole registry, in the order of its modules."""
    for home in _HOMES:
        importlib.import_module(f"ksef_tui.services.{home}")
    return CHECKS


def examine(
    installation: Installation, open_office: Callable[[], Office], login: str, *, offline: bool
) -> list[Finding]:
    """Every finding, the worst first. Raises Problem for an operator who may not ask; an office that does not open is a
    finding."""
    entries = all_checks()
    found = [finding for entry in entries if not entry.of_office for finding in _looked(entry, installation)]
    if installation.database.exists():
        try:
            installation.office = open_office()
        except Problem as problem:
            if problem.code not in {finding.code for finding in found}:
                found.append(Finding(problem.code, Severity.ERROR, problem.message))
    if installation.office is not None:
        from ksef_tui.services.doctor_ksef import ask
        from ksef_tui.services.office import operator_named

        office = installation.office
        installation.operator = operator_named(office, login)
        require(installation.operator, Act.DOCTOR, None)
        installation.asked = None if offline else ask(office)
        found += [finding for entry in entries if entry.of_office for finding in _looked(entry, installation, office)]
    order = list(Severity)
    return sorted(found, key=lambda finding: order.index(finding.severity))


def _looked(entry: Entry, *what: object) -> list[Finding]:
    """What a check found; nothing to do means well. One that breaks must not hide what the others find."""
    found: list[Finding] = []
    try:
        for finding in entry.look(*what):
            found.append(finding)  # noqa: PERF402 what was found before it broke stays
    except NotLooked:
        return found
    except Problem as problem:
        return [*found, Finding(problem.code, Severity.ERROR, f"{entry.name}: {problem.message}")]
    except Exception as error:
        text = f"{entry.name}: nie udało się sprawdzić ({type(error).__name__})."
        return [*found, Finding("check_failed", Severity.WARNING, text, "Zgłoś to autorom programu.")]
    if all(finding.severity is Severity.NOTE and not finding.action for finding in found):
        found.append(Finding(entry.look.__name__, Severity.OK, entry.name))
    return found
