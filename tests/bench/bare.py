"""Apps of nothing but Textual, to compare with: `python -m tests.bench.bare empty | list [ROWS]`."""

from __future__ import annotations

import sys
from collections.abc import Iterator

from textual.app import App, ComposeResult
from textual.widgets import DataTable, Footer, Header

FIRST_ROW = "Firma 0000"


class Empty(App[None]):
    """An app without a widget."""


class ListApp(App[None]):
    """Header, a table of `count` rows, footer: the least that shows a list."""

    BINDINGS = [("q", "quit", "Zakończ"), ("n", "bell", "Nowy"), ("slash", "bell", "Filtr")]  # noqa: RUF012

    def __init__(self, count: int = 50) -> None:
        super().__init__()
        self.count = count

    def compose(self) -> ComposeResult:
        yield Header()
        yield DataTable(cursor_type="row")
        yield Footer()

    def on_mount(self) -> None:
        table = self.query_one(DataTable)
        table.add_columns("firma", "stan", "do zatw.", "NIP")
        table.add_rows(self._rows())
        table.focus()

    def _rows(self) -> Iterator[tuple[str, str, str, str]]:
        for n in range(self.count):
            yield f"Firma {n:04d} sp. z o.o.", "gotowy W P D", f"{n % 7} do zatw.", f"{5_110_000_000 + n}"


if __name__ == "__main__":
    (Empty() if sys.argv[1] == "empty" else ListApp(*map(int, sys.argv[2:]))).run()
