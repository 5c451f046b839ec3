"""A figure, its budget, and the table they are printed in."""

from __future__ import annotations

import os
import platform
import sqlite3
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from importlib import metadata
from typing import Literal

from tests.bench import ROOT


@dataclass(frozen=True, slots=True)
class Budget:
    """What design §11 allows: at most (or at least) so much, of the figure itself or of its ratio to the baseline."""

    limit: float
    of: Literal["value", "ratio"] = "value"
    at_least: bool = False

    def kept(self, value: float, ratio: float | None) -> bool | None:
        """Whether it is kept; None when there is no ratio to judge."""
        judged = ratio if self.of == "ratio" else value
        if judged is None:
            return None
        return judged >= self.limit if self.at_least else judged <= self.limit


@dataclass(frozen=True, slots=True)
class Figure:
    """One row: what was measured, in which unit, beside which baseline of the same run."""

    what: str
    value: float
    unit: str
    baseline: float | None = None
    beside: str = ""  # what the baseline is
    budget: Budget | None = None
    note: str = ""

    @property
    def ratio(self) -> float | None:
        """The figure in baselines."""
        return self.value / self.baseline if self.baseline else None

    def cells(self) -> tuple[str, ...]:
        """The row as text."""
        ratio = self.ratio
        kept = self.budget.kept(self.value, ratio) if self.budget else None
        return (
            self.what,
            f"{number(self.value)} {self.unit}".strip(),
            f"{number(self.baseline)} {self.beside}" if self.baseline is not None else "",
            f"{ratio:.2f}" if ratio is not None else "",
            self._budget_text(),
            {True: "yes", False: "NO", None: ""}[kept],
            self.note,
        )

    def _budget_text(self) -> str:
        if self.budget is None:
            return ""
        sign = "≥" if self.budget.at_least else "≤"
        unit = "× baseline" if self.budget.of == "ratio" else self.unit
        return f"{sign} {number(self.budget.limit)} {unit}".strip()


HEAD = ("what", "measured", "baseline in the same run", "ratio", "budget", "ok", "note")


def number(value: float) -> str:
    """Three digits that matter, thousands apart."""
    if value == 0:
        return "0"
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"


def table(figures: Iterable[Figure]) -> str:
    """The figures as a Markdown table."""
    rows = [HEAD, *(figure.cells() for figure in figures)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(HEAD))]
    lines = [
        "| " + " | ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) + " |" for row in rows
    ]
    lines.insert(1, "|" + "|".join("-" * (width + 2) for width in widths) + "|")
    return "\n".join(lines)


def machine() -> str:
    """On what it was measured."""
    versions = ", ".join(f"{name} {metadata.version(name)}" for name in ("textual", "httpx", "lxml", "cryptography"))
    commit = (ROOT / ".git" / "HEAD").is_file() and _commit()
    return (
        f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}, {platform.system()} {platform.machine()}, "
        f"Python {platform.python_version()}, SQLite {sqlite3.sqlite_version}, {versions}"
        + (f", commit {commit}" if commit else "")
    )


def _commit() -> str:
    import subprocess

    found = subprocess.run(["git", "rev-parse", "--short", "HEAD"], cwd=ROOT, capture_output=True, text=True)
    return found.stdout.strip()


def percentile(values: Sequence[float], share: float) -> float:
    """The value below which that share of the values lies (nearest rank)."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]
