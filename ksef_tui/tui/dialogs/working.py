"""Something is done to many invoices, some at a time: how far it is, how long it may take, and Escape stops it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from time import monotonic
from typing import ClassVar

from textual.binding import Binding, BindingType
from textual.widget import Widget

from ksef_tui.services.approving import ActResult
from ksef_tui.tui.dialogs.base import Dialog, Text
from ksef_tui.tui.present import Line

AT_A_TIME = 400  # invoices between two looks at whether to go on

Step = Callable[[Sequence[int]], Awaitable[ActResult]]


class Working(Dialog[ActResult]):
    """The result of all that was done before it ended, was stopped or failed."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape", "stop", show=False)]

    def __init__(self, title: str, ids: Sequence[int], step: Step, failed: Callable[[Exception], None]) -> None:
        super().__init__(title)
        self._ids = ids
        self._step = step
        self._failed = failed
        self._over = False
        self._began = monotonic()

    def content(self) -> Sequence[Widget]:
        return (
            Text(self._lines(0), id="progress"),
            Text([(), (("Esc zatrzymuje: to, co zrobione, zostaje", "dim"),)], id="note"),
        )

    def on_mount(self) -> None:
        self.run_worker(self._run(), exit_on_error=False)

    def action_stop(self) -> None:
        """Go no further; what is under way ends first."""
        self._over = True
        self.query_one("#note", Text).say([(), (("Zatrzymuję…", "wait"),)])

    async def _run(self) -> None:
        done, refused, place = 0, list[tuple[int, str]](), 0
        try:
            while place < len(self._ids) and not self._over:
                result = await self._step(self._ids[place : place + AT_A_TIME])
                place += AT_A_TIME
                done += result.done
                refused += result.refused
                self.query_one("#progress", Text).say(self._lines(min(place, len(self._ids))))
        except Exception as error:  # what was done before is done
            self._failed(error)
        left = max(0, len(self._ids) - place)
        self.dismiss(ActResult(done, tuple(refused), left))

    def _lines(self, place: int) -> list[Line]:
        total = len(self._ids)
        filled = 40 * place // total
        said = f"{place:,} z {total:,}".replace(",", "\u00a0")
        if place:
            left = (monotonic() - self._began) / place * (total - place)
            said += f" · jeszcze ok. {left:.0f} s" if left < 90 else f" · jeszcze ok. {left / 60:.0f} min"
        return [((said, "strong"),), (("▪" * filled, "good"), ("·" * (40 - filled), "dim"))]
