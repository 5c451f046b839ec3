"""One invoice on the whole screen: what it says, what happened to it, its XML; and the help in the same dress."""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar

from textual.binding import Binding, BindingType
from textual.signal import Signal

from ksef_tui.services import invoice_views
from ksef_tui.services.views import InvoiceDetails
from ksef_tui.tui import describe
from ksef_tui.tui.desk import Desk
from ksef_tui.tui.dialogs.base import Dialog, Text
from ksef_tui.tui.lines import Build, Lines, LineView
from ksef_tui.tui.present import Line

TABS = ("Faktura", "Przebieg", "XML")


class Reader(Dialog[None]):
    """Lines on the whole screen, to be read."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,f1,question_mark", "dismiss(None)", show=False),
    ]

    def __init__(self, title: str, build: Build, note: str) -> None:
        super().__init__(title)
        self.add_class("-whole")
        self._build = build
        self._note = note

    def content(self) -> tuple[LineView, Text]:
        return (LineView(), Text([((self._note, "dim"),)], id="note"))

    def on_mount(self) -> None:
        self.query_one(LineView).focus()
        self.draw()

    def draw(self) -> None:
        """Show the lines."""
        self.query_one(LineView).show(self._build)


class Details(Reader):
    """An invoice, live: it is read again when it changes."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("right,tab", "turn(1)", show=False),
        Binding("left,shift+tab", "turn(-1)", show=False),
        Binding("y", "copy", show=False),
        Binding("enter", "dismiss(None)", show=False),
    ]

    def __init__(
        self,
        desk: Desk,
        details: InvoiceDetails,
        changes: Signal[tuple[int, ...]],
        failed: Callable[[Exception], None],
    ) -> None:
        super().__init__("", lambda width: (), "←→ Faktura, Przebieg, XML · Esc wraca")
        self._desk = desk
        self._details = details
        self._tab = 0
        self._changes = changes
        self._failed = failed

    def on_mount(self) -> None:
        self._changes.subscribe(self, self._changed)

    def action_turn(self, by: int) -> None:
        self._tab = (self._tab + by) % len(TABS)
        self.draw()

    def action_copy(self) -> None:
        number = self._details.row.ksef_number
        if number:
            self.app.copy_to_clipboard(number)
            self.app.notify("Skopiowano numer KSeF (gdy terminal na to pozwala).", markup=False)
        else:
            self.app.notify("Ta faktura nie ma jeszcze numeru KSeF.", severity="warning", markup=False)

    def _changed(self, invoice_ids: tuple[int, ...]) -> None:
        if self._details.row.id in invoice_ids:
            self.run_worker(self._reload(), group="load", exclusive=True, exit_on_error=False)

    async def _reload(self) -> None:
        desk, invoice_id = self._desk, self._details.row.id
        try:
            self._details = await desk.read(
                lambda: invoice_views.invoice_details(desk.office, desk.operator, invoice_id)
            )
        except Exception as error:
            self._failed(error)
        else:
            self.draw(stay=True)

    def draw(self, *, stay: bool = False) -> None:
        """Show the tab, from the top unless it only changed."""
        look, details = self._desk.look, self._details
        heading: Line = tuple(
            span
            for index, title in enumerate(TABS)
            for span in ((f"▸{title}", "key") if index == self._tab else (f" {title}", "dim"), ("   ", "text"))
        )
        self.query_one("#heading", Lines).show(lambda width: [heading, ()])
        builds: tuple[Build, ...] = (
            lambda width: describe.invoice(look, details, width),
            lambda width: describe.timeline(look, details, width),
            lambda width: describe.document(details, width),
        )
        self.query_one(LineView).show(builds[self._tab], stay=stay)
