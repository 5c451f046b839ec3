"""A form: a few labelled fields, Enter goes on, errors stand below and nothing typed is lost."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

from textual import on
from textual.binding import Binding, BindingType
from textual.containers import Horizontal
from textual.widget import Widget
from textual.widgets import Input

from ksef_tui.domain.problems import Problem
from ksef_tui.tui.describe import plain
from ksef_tui.tui.dialogs.base import Dialog, Text
from ksef_tui.tui.entries import Entry, PathEntry
from ksef_tui.tui.present import Line, fit

LABEL = 18


@dataclass(frozen=True, slots=True)
class Field:
    """One field. `hidden` is typed without echo; `path` is completed from the disk."""

    id: str
    label: str
    hidden: bool = False
    path: bool = False
    value: str = ""
    optional: bool = False
    placeholder: str = ""


Submit = Callable[[Mapping[str, str]], Awaitable[None]]


class Form(Dialog[bool]):
    """True when `submit` went through. A Problem that it raises is shown below the fields."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "dismiss(False)", show=False),
        Binding("down", "app.focus_next", show=False),
        Binding("up", "app.focus_previous", show=False),
    ]

    def __init__(
        self,
        title: str,
        intro: Callable[[int], Sequence[Line]],
        fields: Sequence[Field],
        submit: Submit,
        *,
        failed: Callable[[Exception], None],
    ) -> None:
        super().__init__(title)
        self._intro = intro
        self._fields = fields
        self._submit = submit
        self._failed = failed
        self._busy = False

    def content(self) -> Sequence[Widget]:
        intro = list(self._intro(self.inner_width))
        rows: list[Widget] = [Text([*intro, ()])] if intro else []
        for field in self._fields:
            kind = PathEntry if field.path else Entry
            entry = kind(value=field.value, password=field.hidden, placeholder=field.placeholder, id=field.id)
            label = Text([((fit(field.label, LABEL), "dim"),)])
            label.styles.width = LABEL
            rows.append(Horizontal(label, entry, classes="field"))
        rows.append(Text([(), (("Enter dalej · Esc wraca bez zmian", "dim"),)], id="note"))
        return rows

    @on(Input.Submitted)
    def _submitted(self, event: Input.Submitted) -> None:
        inputs = list(self.query(Input))
        place = inputs.index(event.input)
        needed = not self._fields[place].optional
        if needed and not event.value.strip():
            self._say(f"{self._fields[place].label}: to pole jest potrzebne.", "wait")
        elif place + 1 < len(inputs):
            inputs[place + 1].focus()
        elif not self._busy:
            self._busy = True
            self._say("Chwileczkę…", "dim")
            self.run_worker(self._finish(), group="submit", exit_on_error=False, description="submit")

    async def _finish(self) -> None:
        values = {field.id: self.query_one(f"#{field.id}", Input).value for field in self._fields}
        try:
            await self._submit(values)
        except Problem as problem:
            self._say(problem.message, "bad")
        except Exception as error:
            self._say("Nie udało się – szczegóły w powiadomieniu.", "bad")
            self._failed(error)
        else:
            self.dismiss(True)
        finally:
            values.clear()
            self._busy = False

    def _say(self, text: str, tone: str) -> None:
        self.query_one("#note", Text).say([(), *plain([text], self.inner_width, tone)])
