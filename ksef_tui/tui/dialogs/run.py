"""How a run over many clients stands, live, on the whole screen."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import ClassVar

from textual.binding import Binding, BindingType
from textual.widget import Widget

from ksef_tui.services import bulk
from ksef_tui.services.bulk import Member, Progress
from ksef_tui.tui import describe_runs
from ksef_tui.tui.desk import Desk, Loader
from ksef_tui.tui.dialogs.base import Dialog, Text
from ksef_tui.tui.lines import LineView
from ksef_tui.tui.present import Line

LOOK_EVERY = 1.0  # seconds


class RunDialog(Dialog["str | None"]):
    """`stop`, `attention` (show those who need a person on the list), or None."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,f5", "dismiss(None)", show=False),
        Binding("enter", "attention", show=False),
        Binding("b", "stop", show=False),
    ]

    def __init__(self, desk: Desk, run_id: int, failed: Callable[[Exception], None]) -> None:
        super().__init__("Przebieg")
        self.add_class("-whole")
        self._desk = desk
        self._run_id = run_id
        self.stands: Progress | None = None
        self._members: list[Member] = []
        self._loader: Loader[tuple[Progress, list[Member]]] = Loader(
            desk, lambda: self._read, self._show, self.run_worker, failed
        )

    def content(self) -> Sequence[Widget]:
        return (LineView(), Text([()], id="note"))

    def on_mount(self) -> None:
        self.query_one(LineView).focus()
        self._loader.request()
        self.set_interval(LOOK_EVERY, self._look)

    def _look(self) -> None:
        if self.stands is None or not self.stands.over:
            self._loader.request()

    def _read(self) -> tuple[Progress, list[Member]]:
        desk = self._desk
        stands = bulk.progress(desk.office, desk.operator, self._run_id)
        return stands, bulk.members(
            desk.office, desk.operator, self._run_id, attention=True
        ) if stands.attention else []

    def _show(self, found: tuple[Progress, list[Member]]) -> None:
        if found == (self.stands, self._members):
            return
        self.stands, self._members = found
        stands, members, look = self.stands, self._members, self._desk.look
        self.query_one(LineView).show(lambda width: describe_runs.run(look, stands, members, width), stay=True)
        keys = [("Enter", "pokaż ich na liście")] if members else []
        keys += [] if stands.over else [("b", "przerwij")]
        line: Line = tuple(
            span for key, label in (*keys, ("Esc", "wróć")) for span in ((key, "key"), (f" {label}   ", "text"))
        )
        self.query_one("#note", Text).say([line])

    def action_attention(self) -> None:
        self.dismiss("attention" if self._members else None)

    def action_stop(self) -> None:
        if self.stands is not None and not self.stands.over:
            self.dismiss("stop")
