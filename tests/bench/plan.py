"""How big a run is, and the offices that several groups share."""

from __future__ import annotations

import shutil
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

from tests.bench import big_office
from tests.bench.big_office import Size


@dataclass(slots=True)
class Scale:
    """How much of everything. The shared offices are made when they are first needed."""

    start_office: Size
    hundred: Size
    small: Size
    big: Size
    calm: float  # how long a terminal must be silent, in the times that are sure on a busy machine
    starts: int  # runs of each program
    keys: int  # presses of each kind
    steps: int  # steps of the cursor whose bytes are counted
    pages: int  # turned before the memory is looked at
    rest: float  # seconds
    changes: int
    commands: int  # changes made by the command line
    documents: int
    interactive: int  # invoices of one client
    clients: int
    each: int  # invoices of each of those clients
    many: int  # clients that are checked at once
    granting: int  # clients on the list from KSeF
    month: int  # clients of a month end
    month_each: int  # invoices of each of them
    month_bare: int  # clients whom the independent client serves beside it
    package: int  # invoices in one package
    _folder: Path | None = field(default=None, repr=False)

    def hundred_place(self) -> Path:
        """The data directory of the smallest one."""
        return self._place("hundred", self.hundred)

    def small_place(self) -> Path:
        """The data directory of the small office."""
        return self._place("small", self.small)

    def big_place(self) -> Path:
        """The data directory of the big one."""
        return self._place("big", self.big)

    def _place(self, name: str, size: Size) -> Path:
        if self._folder is None:
            self._folder = Path(tempfile.mkdtemp(prefix="bench-"))
        place = self._folder / name
        if not place.exists():
            big_office.make(place, size)
        return place

    def clean(self) -> None:
        """Remove the shared offices."""
        if self._folder is not None:
            shutil.rmtree(self._folder)
            self._folder = None


def full() -> Scale:
    """The sizes of design §11."""
    return Scale(
        start_office=Size(500, 100_000), hundred=Size(100, 100), small=Size(500, 1_000), big=Size(5_000, 1_000_000),
        calm=1.0, starts=7, keys=40, steps=20, pages=20, rest=20.0, changes=20, commands=5, documents=2_000,
        interactive=30, clients=10, each=30, many=500, granting=2_000,
        month=300, month_each=30, month_bare=5, package=10_000,
    )  # fmt: skip


def small() -> Scale:
    """A few seconds: only whether everything works."""
    return Scale(
        start_office=Size(20, 100), hundred=Size(30, 60), small=Size(60, 300), big=Size(80, 1_000),
        calm=0.2, starts=1, keys=2, steps=2, pages=1, rest=0.5, changes=2, commands=1, documents=20,
        interactive=3, clients=2, each=2, many=12, granting=130,
        month=2, month_each=3, month_bare=1, package=200,
    )  # fmt: skip
