"""Import: the path, then progress that can be stopped, then what became of each file."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import ClassVar

from textual import on
from textual.binding import Binding, BindingType
from textual.widget import Widget
from textual.widgets import Input

from ksef_tui.domain.invoices import INVOICE_BADGES, InvoiceState
from ksef_tui.domain.problems import Problem
from ksef_tui.domain.text import count_of
from ksef_tui.services import importing
from ksef_tui.services.importing import ImportRow
from ksef_tui.tui.describe import plain
from ksef_tui.tui.desk import Desk
from ksef_tui.tui.dialogs.base import Dialog, Text
from ksef_tui.tui.entries import PathEntry, path_of
from ksef_tui.tui.lines import LineView
from ksef_tui.tui.present import Line, Look, clean, wrap

PROGRESS_EVERY = 0.2  # seconds


class BringIn(Dialog["str | None"]):
    """The folder from which was imported, or None when nothing was."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape", "back", show=False)]

    def __init__(
        self, desk: Desk, client_id: int, client: str, nip: str, folder: str, failed: Callable[[Exception], None]
    ) -> None:
        super().__init__("Import faktur")
        self._desk = desk
        self._client_id = client_id
        self._intro = f"{client}, NIP {nip}. Plik XML, folder albo ZIP; faktury innego sprzedawcy nie przejdą."
        self._folder = folder
        self._failed = failed
        self._stop = threading.Event()
        self._progress = (0, 0)
        self._state = "asking"  # asking | running | done

    def content(self) -> Sequence[Widget]:
        results = LineView(id="results")
        results.styles.height = max(4, self.app.size.height - 14)
        results.display = False
        return (
            Text([*plain([self._intro], self.inner_width), ()]),
            PathEntry(value=self._folder, id="path"),
            results,
            Text([(), (("Tab dopisuje nazwę · Enter wczytuje · Esc wraca", "dim"),)], id="note"),
        )

    def on_mount(self) -> None:
        self.set_interval(PROGRESS_EVERY, self._show_progress)

    def on_unmount(self) -> None:
        self._stop.set()  # a program that ends does not wait for the rest of a long import

    @on(Input.Submitted)
    def _submitted(self, event: Input.Submitted) -> None:
        path = path_of(event.value)
        if not event.value.strip() or self._state != "asking":
            return
        if not path.exists():
            self._say(f"Nie ma takiego pliku ani folderu: {path}", "bad")
            return
        self._state = "running"
        folder = str(path if path.is_dir() else path.parent) + "/"
        self.query_one(PathEntry).disabled = True
        self.focus()
        self.run_worker(self._run(path, folder), group="import", exit_on_error=False, description="import")

    async def _run(self, path: Path, folder: str) -> None:
        desk, client_id = self._desk, self._client_id

        def job() -> list[ImportRow]:
            return importing.import_paths(
                desk.office, desk.operator, client_id, [path], self._note_progress, self._stop.is_set
            )

        try:
            rows = await desk.bring_in(job)
        except Problem as problem:
            self._again(problem.message)
        except Exception as error:
            self._again("Import się nie udał – co wczytano wcześniej, zostaje.")
            self._failed(error)
        else:
            self._folder = folder
            self._show_results(rows)

    def _note_progress(self, done: int, total: int) -> None:
        self._progress = (done, total)

    def _show_progress(self) -> None:
        if self._state == "running":
            done, total = self._progress
            stop = "zatrzymuję po bieżących plikach…" if self._stop.is_set() else "Esc zatrzymuje"
            self._say(f"Wczytano {done} z {total or '?'} plików · {stop}", "busy")

    def _again(self, message: str) -> None:
        self._state = "asking"
        self._stop.clear()
        self.query_one(PathEntry).disabled = False
        self.query_one(PathEntry).focus()
        self._say(message, "bad")

    def _show_results(self, rows: Sequence[ImportRow]) -> None:
        self._state = "done"
        results = self.query_one("#results", LineView)
        results.display = True
        look = self._desk.look
        folder = self._folder
        results.show(lambda width: result_lines(look, rows, folder, width))
        results.focus()
        stopped = " Import zatrzymano." if self._stop.is_set() else ""
        self._say(totals(rows) + stopped + " Enter albo Esc zamyka.", "strong")

    def _say(self, text: str, tone: str) -> None:
        self.query_one("#note", Text).say([(), *plain([text], self.inner_width, tone)])

    def action_back(self) -> None:
        if self._state == "running":
            self._stop.set()
        else:
            self.dismiss(self._folder if self._state == "done" else None)

    def key_enter(self) -> None:
        if self._state == "done":
            self.action_back()


def totals(rows: Sequence[ImportRow]) -> str:
    """`Wczytano 12 plików: do zatwierdzenia 9, zablokowana 2, do poprawy 1.`"""
    if not rows:
        return "Nie znaleziono żadnych plików XML."
    states: Counter[str] = Counter(
        "już były"
        if row.known
        else INVOICE_BADGES[InvoiceState(row.state)].label
        if row.state
        else "nie da się wczytać"
        for row in rows
    )
    listed = ", ".join(f"{label} {count}" for label, count in states.most_common())
    return f"{count_of(len(rows), 'plik', 'pliki', 'plików')}: {listed}."


def result_lines(look: Look, rows: Sequence[ImportRow], folder: str, width: int) -> list[Line]:
    """Files that need a person first, each with its errors and warnings."""
    lines: list[Line] = []
    for row in sorted(rows, key=lambda r: not (r.is_bad or r.state == InvoiceState.BLOCKED)):
        if row.state:
            badge = INVOICE_BADGES[InvoiceState(row.state)]
            sign, tone, label = look.glyph(badge), badge.tone, "ta sama faktura już jest" if row.known else badge.label
        else:
            sign, tone, label = "✖", "bad", "nie da się wczytać"
        number = f"{clean(row.number)}  " if row.number else ""
        lines.append(
            (
                (f"{sign} ", tone),
                (number, "strong"),
                (f"{label}  ", tone),
                (clean(row.file.removeprefix(folder)), "dim"),
            )
        )
        for text, text_tone in (
            *((error, "text") for error in row.errors),
            *(((row.reason, "text"),) if row.reason and not row.errors else ()),
            *((warning, "wait") for warning in row.warnings),
        ):
            lines += [(("    ", "text"), (piece, text_tone)) for piece in wrap(text, max(10, width - 4))]
    return lines
