"""The office's people on the whole screen: what each was given, what of it works, and the keys that change it. Live."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar, Literal

from textual import on
from textual.binding import Binding, BindingType
from textual.message import Message
from textual.widget import Widget

from ksef_tui.domain.roles import Role
from ksef_tui.domain.staff import Effect, letters
from ksef_tui.domain.text import count_of
from ksef_tui.services import staff_views, views
from ksef_tui.services.staff_views import StaffRow, StaffStatus
from ksef_tui.tui.describe import plain
from ksef_tui.tui.desk import Desk, Loader
from ksef_tui.tui.dialogs.base import Dialog, Text
from ksef_tui.tui.dialogs.choices import Choice, Choices
from ksef_tui.tui.present import Line, Span, clean, fit, moment

LOOK_EVERY = 0.1  # seconds between two looks for changes
NAME, CLIENT, GIVEN = 22, 20, 4  # cells
Act = Literal["grant", "revoke", "dismiss", "show", "orders"]
_KEYS: dict[Act, str] = {"grant": "n", "revoke": "x", "dismiss": "w", "show": "Enter"}


@dataclass(frozen=True, slots=True)
class Place:
    """Where a person stands on the board: at everybody or at one client, and on which row."""

    client_id: int | None = None
    name: str = ""  # of the selected client; empty: there is none
    at_client: bool = False
    cursor: int = 0


@dataclass(frozen=True, slots=True)
class Wish:
    """What a person wants, about which row (None: there is none), and where to come back to."""

    act: Act
    row: StaffRow | None
    place: Place


class Rows(Choices):
    """The people; on an empty list Enter is told too, so that it says why it does nothing."""

    class Nobody(Message):
        """Enter was pressed, and there is no row."""

    def action_choose(self) -> None:
        if self.choices:
            super().action_choose()
        else:
            self.post_message(self.Nobody())


class StaffBoard(Dialog["Wish | None"]):
    """Who may do what; None when a person went back."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "dismiss(None)", show=False),
        Binding("left,right,tab", "turn", show=False),
        Binding("n", "wish('grant')", show=False),
        Binding("x", "wish('revoke')", show=False),
        Binding("w", "wish('dismiss')", show=False),
        Binding("h", "wish('orders')", show=False),
        Binding("r", "refresh_lists", show=False),
    ]

    def __init__(
        self, desk: Desk, place: Place, refresh: Callable[[], object], failed: Callable[[Exception], None]
    ) -> None:
        super().__init__("Pracownicy biura i ich prawa u klientów")
        self.add_class("-whole")
        self._desk, self._place, self._refresh = desk, place, refresh
        self._rows: list[StaffRow] = []
        self._status: StaffStatus | None = None
        self._version = -1
        self._loader: Loader[tuple[list[StaffRow], StaffStatus]] = Loader(
            desk, lambda: self._read, self._show, self.run_worker, failed
        )

    def content(self) -> Sequence[Widget]:
        rows = Rows()
        rows.styles.height = "1fr"
        return (Text([()], id="tabs"), Text([()], id="state"), rows, Text([()], id="detail"), Text([()], id="note"))

    def on_mount(self) -> None:
        self.query_one(Rows).focus()
        self._say_keys()
        self._look()
        self.set_interval(LOOK_EVERY, self._look)

    def on_resize(self) -> None:
        self._say_keys()
        self._draw()

    # Reading ------------------------------------------------------------------------------------------------------

    def _look(self) -> None:
        version = views.data_version(self._desk.office)
        if version != self._version:
            self._version = version
            self._loader.request()

    def _read(self) -> tuple[list[StaffRow], StaffStatus]:
        office, operator, place = self._desk.office, self._desk.operator, self._place
        if place.at_client and place.client_id is not None:
            rows = staff_views.at_client(office, operator, place.client_id)
        else:
            rows = staff_views.people(office, operator)
        return rows, staff_views.status(office, operator)

    def _show(self, found: tuple[list[StaffRow], StaffStatus]) -> None:
        self._rows, self._status = found
        self._draw()

    # Showing ------------------------------------------------------------------------------------------------------

    def _draw(self) -> None:
        if self._status is None:
            return
        width = max(20, self.app.size.width - 6)
        self.query_one("#tabs", Text).say([self._tabs(), ()])
        self.query_one("#state", Text).say([*_state(self._status, width), ()])
        rows = self.query_one(Rows)
        rows.offer([Choice(str(n), _line(row, width - 2)) for n, row in enumerate(self._rows)])
        rows.action_step(min(self._place.cursor, len(self._rows) - 1))
        self._draw_detail()

    def _tabs(self) -> Line:
        if not self._place.name:
            return (("▸wszyscy", "key"),)
        names = ("wszyscy", fit(clean(self._place.name), 40).rstrip())
        tabs = [
            span
            for here, name in zip((False, True), names, strict=True)
            for span in ((f"▸{name}", "key") if here == self._place.at_client else (f" {name}", "dim"), ("   ", "text"))
        ]
        return (*tabs, ("←→", "key"), (" wszyscy albo ten klient", "dim"))

    @on(Choices.Moved)
    def _moved(self) -> None:
        self._draw_detail()

    def _draw_detail(self) -> None:
        width = max(20, self.app.size.width - 6)
        row = self._row
        self._say_keys()
        if row is None:
            nobody = "Nikt nie ma tu jeszcze praw z biura: n nadaje, r odczytuje listy z KSeF."
            self.query_one("#detail", Text).say([(), *plain([nobody if self._status else ""], width, "dim")])
            return
        operator = f", operator {row.operator}" if row.operator else ""
        said = [f"{row.name}, {row.subject}{operator}", f"{row.client}: {row.words or row.pending}"]
        if row.general and row.nip:
            said[1] += " (z prawa do wszystkich klientów)" if not row.single else " (także z prawa do wszystkich)"
        first, second = (plain([text], width, tone) for text, tone in zip(said, ("dim", "strong"), strict=True))
        self.query_one("#detail", Text).say([(), *first, *second])

    @property
    def _row(self) -> StaffRow | None:
        cursor = self.query_one(Rows).cursor
        return self._rows[cursor] if cursor < len(self._rows) else None

    def _say_keys(self) -> None:
        keys = [("n", "Nadaj"), ("x", "Odbierz"), ("w", "Odchodzi")] if self._may_change else []
        keys += [("Enter", "Więcej"), ("r", "Odśwież"), ("h", "Zlecenia"), ("Esc", "Wróć")]
        apart = "  " if self.app.size.width >= 90 else " "
        spans: list[Span] = []
        for key, label in keys:
            off = self._why_not(key) is not None
            spans += [(key, "quiet" if off else "key"), (f" {label}{apart}", "quiet" if off else "text")]
        self.query_one("#note", Text).say([(), tuple(spans)])

    def _why_not(self, key: str) -> str | None:
        """One Polish sentence why a key does nothing now; None when it works."""
        row = self._row
        if key in ("n", "x", "w") and not self._may_change:
            return "Nadaje i odbiera tylko administrator biura."
        if key in ("x", "w", "Enter") and row is None:
            return "Lista jest pusta: najpierw n nadaje prawo albo r odczytuje listy z KSeF."
        if key == "x" and row is not None and not row.given:
            return "Ta osoba nie ma tu jeszcze niczego, co można odebrać."
        return None

    @property
    def _may_change(self) -> bool:
        return self._desk.operator.role is Role.ADMIN

    # Keys ---------------------------------------------------------------------------------------------------------

    def action_turn(self) -> None:
        if self._place.name:
            self._place = replace(self._place, at_client=not self._place.at_client, cursor=0)
            self._loader.request()

    def action_refresh_lists(self) -> None:
        self._refresh()

    def action_wish(self, act: Act) -> None:
        if self._status is None:
            return  # nothing has been read yet: what stands under the cursor is not known
        why = self._why_not(_KEYS.get(act, ""))
        if why is not None:
            self.app.notify(why, severity="warning", markup=False)
        else:
            self._leave(act)

    @on(Rows.Nobody)
    def _nobody(self) -> None:
        self.action_wish("show")

    @on(Choices.Chosen)
    def _chosen(self, event: Choices.Chosen) -> None:
        self._leave("show")

    def _leave(self, act: Act) -> None:
        cursor = self.query_one(Rows).cursor
        self.dismiss(Wish(act, self._row, replace(self._place, cursor=cursor)))


def _state(status: StaffStatus, width: int) -> list[Line]:
    """What the list rests on, and what stands in the way."""
    if status.read_at is None:
        said: list[tuple[str, str]] = [("List nie odczytano jeszcze z KSeF: r je odczytuje.", "wait")]
    else:
        said = [(f"Stan z KSeF: {moment(status.read_at)}.", "dim")]
    if status.pending:
        waits = count_of(status.pending, "zlecenie w toku", "zlecenia w toku", "zleceń w toku")
        idle = "" if status.working else " – nikt nie wysyła, więc czekają: uruchom worker"
        said.append((f"{waits}{idle}.", "busy" if status.working else "wait"))
    if status.empty:
        empty = "KSeF podał pustą listę uprawnień od klientów: sprawdź klientów klawiszem r na ich liście."
        said.append((empty, "wait"))
    said += [(text, "bad") for text in (status.trouble, status.failed and f"Nieudane: {status.failed}") if text]
    return [line for text, tone in said for line in plain([text], width, tone)]


def _line(row: StaffRow, width: int) -> Line:
    """A person, where, what was given, and what works: cut to the width, the rest stands below the list."""
    works = bool(row.working.scopes) if row.working is not None else row.works_at > 0
    tone = "busy" if row.pending else "good" if works else "bad"
    if works and row.working is not None and row.working.effect is not Effect.WORKS:
        tone = "wait"
    said = row.pending or row.words
    return (
        (fit(clean(row.name), NAME) + " ", "strong"),
        (fit(clean(row.client), CLIENT) + " ", "text"),
        (fit(letters(row.given) or "–", GIVEN) + " ", "dim"),
        (fit(clean(said), max(8, width - NAME - CLIENT - GIVEN - 3)), tone),
    )
