"""The list from KSeF: progress while it is read, then what it would change, and one confirmation."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from time import monotonic
from typing import ClassVar

from textual import on
from textual.binding import Binding, BindingType
from textual.widget import Widget

from ksef_tui.domain.problems import Problem
from ksef_tui.services import syncing
from ksef_tui.services.syncing import Reading, SyncPreview
from ksef_tui.services.views import IdentityRow
from ksef_tui.tui import describe_runs
from ksef_tui.tui.desk import Desk
from ksef_tui.tui.dialogs.base import Dialog, Text
from ksef_tui.tui.dialogs.choices import Choice, Choices
from ksef_tui.tui.lines import LineView
from ksef_tui.tui.present import Line, clean, wrap

DRAW_EVERY = 0.5  # seconds between two looks at how far the reading is
Answer = tuple[SyncPreview, int | None]


class SyncDialog(Dialog["Answer | None"]):
    """What to apply, and the identity with which to authorise the new ones; None when a person went back."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "dismiss(None)", show=False),
        Binding("pagedown", "scroll(1)", show=False, priority=True),
        Binding("pageup", "scroll(-1)", show=False, priority=True),
    ]

    def __init__(self, desk: Desk, profiles: Sequence[IdentityRow]) -> None:
        super().__init__("Lista z KSeF: kto nadał biuru uprawnienia")
        self.add_class("-whole")
        self._desk = desk
        self._profiles = profiles
        self._reading = Reading(0, 0)
        self._at = monotonic()
        self._reader: asyncio.Task[None] | None = None
        self.found: SyncPreview | None = None

    def content(self) -> Sequence[Widget]:
        return (LineView(), Choices(), Text([((("Esc przerywa"), "dim"),)], id="note"))

    def on_mount(self) -> None:
        self.query_one(Choices).display = False
        self._draw_reading()
        self.set_interval(DRAW_EVERY, self._draw_reading)
        self._reader = asyncio.create_task(self._read())

    def on_unmount(self) -> None:
        if self._reader is not None:
            self._reader.cancel()

    # Reading ------------------------------------------------------------------------------------------------------

    async def _read(self) -> None:
        desk, loop = self._desk, asyncio.get_running_loop()

        def tell(reading: Reading) -> None:
            loop.call_soon_threadsafe(self._told, reading)

        try:
            found = await desk.ask(lambda: syncing.preview(desk.office, desk.operator, tell))
        except Problem as problem:
            self._failed(problem.message)
        except Exception as error:
            self._failed(f"Błąd programu ({type(error).__name__}). Niczego nie zmieniono.")
        else:
            self._found(found)

    def _told(self, reading: Reading) -> None:
        self._reading, self._at = reading, monotonic()

    def _draw_reading(self) -> None:
        if self._reader is None or not self._reader.done():
            left = max(0.0, self._reading.wait - (monotonic() - self._at))
            said = Reading(self._reading.pages, self._reading.grants, left).sentence
            lines: list[Line] = [(("Czytam z KSeF…", "busy"),), (), ((said, "text"),)]
            self.query_one(LineView).show(lambda width: lines, stay=True)

    def _failed(self, message: str) -> None:
        self.query_one(LineView).show(lambda width: [((line, "bad"),) for line in wrap(message, width)])
        self._say("Esc wraca")

    # What it would change -----------------------------------------------------------------------------------------

    def _found(self, found: SyncPreview) -> None:
        self.found = found
        self.query_one(LineView).show(lambda width: describe_runs.preview(found, width))
        if not (found.to_add or found.changes):
            self._say("Esc wraca")
            self.query_one(LineView).focus()
            return
        choices = self.query_one(Choices)
        choices.display = True
        offered = self._choices(found)
        choices.styles.height = min(len(offered), 5)
        choices.offer(offered)
        choices.focus()
        self._say("Enter wybiera · PgUp PgDn przewija listę · Esc wraca bez zmian")

    def _choices(self, found: SyncPreview) -> list[Choice]:
        parts = [f"dodaj {describe_runs.clients(len(found.to_add))}"] if found.to_add else []
        checks = sum(one.check for one in found.changes)
        parts += [f"sprawdź {checks}"] if checks else []
        parts += [f"zapisz zmiany: {len(found.changes) - checks}"] if checks < len(found.changes) else []
        yes = "Tak, " + " i ".join(parts)
        choices = [Choice("no", (("Nie, wróć", "text"),)), Choice("yes", ((yes, "text"),))]
        if found.to_add:
            choices += [
                Choice(
                    str(one.id), (("Tak, a nowych od razu autoryzuj profilem: ", "text"), (clean(one.label), "strong"))
                )
                for one in self._profiles
            ]
        return choices

    @on(Choices.Chosen)
    def _chosen(self, event: Choices.Chosen) -> None:
        if event.choice.id == "no" or self.found is None:
            self.dismiss(None)
        else:
            self.dismiss((self.found, None if event.choice.id == "yes" else int(event.choice.id)))

    def action_scroll(self, direction: int) -> None:
        view = self.query_one(LineView)
        view.scroll_to(y=view.scroll_offset.y + direction * max(1, view.size.height - 1), animate=False)

    def _say(self, text: str) -> None:
        self.query_one("#note", Text).say([((text, "dim"),)])
