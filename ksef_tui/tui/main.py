"""The one screen: the panes, the status line above, the keys below. It listens to the database and to the keys."""

from __future__ import annotations

import sys
from datetime import timedelta
from typing import TYPE_CHECKING, ClassVar

from textual import events, on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Container
from textual.geometry import Size
from textual.screen import Screen
from textual.signal import Signal
from textual.timer import Timer
from textual.widgets import Input

from ksef_tui.domain.actions import ACTIONS, BY_ID
from ksef_tui.domain.situations import Pane, Situation
from ksef_tui.services import views
from ksef_tui.services.views import ClientRow, HeaderView, QueueRow
from ksef_tui.tui import describe, present
from ksef_tui.tui.access import AuthorizationPane, facts_of
from ksef_tui.tui.desk import Desk, Loader
from ksef_tui.tui.keys import Keys
from ksef_tui.tui.lines import TONE_CLASSES, Lines
from ksef_tui.tui.panes import ClientsPane, FilteredPane
from ksef_tui.tui.panes import Pane as PaneWidget
from ksef_tui.tui.present import Line
from ksef_tui.tui.queue_pane import QueuePane
from ksef_tui.tui.runs import RunWatch
from ksef_tui.tui.today import Row, TodayPane, with_facts
from ksef_tui.tui.windowed import WindowList

if TYPE_CHECKING:
    from ksef_tui.tui.acts import Acts
    from ksef_tui.tui.app import KsefTui

LOOK_EVERY = 0.1  # seconds between two looks for changes (4 µs each)
SETTLED_AFTER = 0.08  # seconds without a move before the keys and the authorisation follow the cursor
WIDE = 110  # columns from which the panes stand side by side
WIDEST = 140  # columns from which both lists take their share of the rest
SMALLEST = (64, 16)  # columns and rows below which nothing useful can be shown
REAL = frozenset({"preprod", "production"})
ORDER = (Pane.CLIENTS, Pane.QUEUE, Pane.AUTHORIZATION)  # what stands side by side
FOCUS = {
    Pane.TODAY: "#today-list",
    Pane.CLIENTS: "#client-list",
    Pane.QUEUE: "#queue-list",
    Pane.AUTHORIZATION: "#flow",
}


class MainScreen(Screen[None]):
    """Everything an accountant sees all day."""

    AUTO_FOCUS = "#client-list"
    COMPONENT_CLASSES: ClassVar[set[str]] = set(TONE_CLASSES)
    BINDINGS: ClassVar[list[BindingType]] = [
        *(Binding(action.key, f"act('{action.id}')", action.label, show=False, id=action.id) for action in ACTIONS),
        Binding("question_mark", "act('help')", show=False),
        Binding("shift+tab", "turn(-1)", show=False),
    ]

    def __init__(self, desk: Desk, app: KsefTui) -> None:
        # Known now, set now: a class that changes when all is mounted styles everything anew.
        super().__init__(classes=f"-env-{desk.office.environment.code} -on-{Pane.CLIENTS.value}")
        self.desk = desk
        self.pane = Pane.CLIENTS
        self.header_view: HeaderView | None = None
        self.clients = ClientsPane(desk)
        self.queue = QueuePane(desk)
        self.authorization = AuthorizationPane(desk, self.situation)
        self.today = TodayPane(desk, lambda: self.clients.mine, self.situation, self._draw_header)
        self._panes = {
            Pane.TODAY: self.today, Pane.CLIENTS: self.clients, Pane.QUEUE: self.queue, Pane.AUTHORIZATION: self.authorization,
        }  # fmt: skip
        self._home = Pane.CLIENTS  # where Esc leads in the end
        self.keys = Keys(self._keys_now)
        self._program = app
        self._acts: Acts | None = None
        self._trouble = app.trouble
        self._version = -1
        self._seq = 0
        self.runs = RunWatch(desk, self._runs_changed, app.run_ended)
        self.clients.run_line = self.runs.line
        self.invoices_changed: Signal[tuple[int, ...]] = Signal(self, "invoices_changed")
        self._ticks = 0
        self._put_off: frozenset[int] | None = None
        self._changed_at = -10
        self._queue_wanted = False
        self._terminal = sys.__stdin__ if sys.__stdin__ is not None and sys.__stdin__.isatty() else None
        self._settling: Timer | None = None
        self._header: Loader[HeaderView] = Loader(
            desk, lambda: self._read_header, self._show_header, self.run_worker, self._trouble
        )
        self._begin()

    def _begin(self) -> None:
        """Read the clients; what changes after that is told by the database."""
        try:
            version, self._seq = views.data_version(self.desk.office), views.newest_seq(self.desk.office)
            self.clients.begin()
        except Exception:
            return  # it is tried again, and told, when there is a screen
        self._version = version

    def compose(self) -> ComposeResult:
        self._fit(self.app.size)
        self._show_pane()
        yield Lines(id="header")
        yield Lines(id="alarm")
        with Container(id="panes"):
            yield self.today
            yield self.clients
            yield self.queue
            yield self.authorization
        yield Lines(id="too-small")
        yield self.keys

    def on_mount(self) -> None:
        self.query_one("#too-small", Lines).show(self._too_small)
        self.clients.show_begun()
        self._look()
        self.set_interval(LOOK_EVERY, self._look)
        self._at_next_minute()

    def _too_small(self, width: int) -> list[Line]:
        size = f"Za małe okno ({self.size.width}×{self.size.height}), potrzeba co najmniej 80×24."
        return describe.plain([size, "Powiększ okno: nic nie przepadło."], max(10, width), "wait")

    # Listening to the database ------------------------------------------------------------------------------------

    def _look(self) -> None:
        self._ticks += 1
        if self._ticks % 10 == 0:
            self.queue.tick()
            if self.clients.tick():
                self.keys.renew()  # a request cannot be handed in any more
            self.authorization.tick()
            self.today.tick()
            self.look_at_runs()
            self._read_put_off()
            if self._terminal is not None and not self._terminal.isatty():
                self.app.exit(0)  # it is gone, and no signal has told
        try:
            version = views.data_version(self.desk.office)
            if version == self._version:
                return
            first, self._version = self._version < 0, version
            self.runs.touch()
            if first:
                self._seq = views.newest_seq(self.desk.office)
                self.clients.reload()  # the rest, which may take long, when they have been painted
                return
            changes = views.changes_since(self.desk.office, self.desk.operator, self._seq)
        except Exception as error:
            self._trouble(error)
            return
        self._seq = changes.seq
        if changes.everything or changes.invoice_ids or changes.client_ids:
            self.today.touch()
        if changes.everything:
            self._reload_everything()
            return
        if changes.invoice_ids:
            self.queue.changed(changes.invoice_ids)
            self.invoices_changed.publish(changes.invoice_ids)
        if changes.client_ids:
            self.clients.list.changed(changes.client_ids)
            self.queue.clients_changed(changes.client_ids)
        often = self._ticks - self._changed_at < 10
        self._changed_at = self._ticks
        if self.runs.open or often:  # many times a second: what is sorted and counted is read once in it
            self._put_off = (self._put_off or frozenset()) | frozenset(changes.client_ids)
        else:
            self.call_after_refresh(self._read_after, frozenset(changes.client_ids))

    def _read_put_off(self) -> None:
        if self._put_off is not None:
            put_off, self._put_off = self._put_off, None
            self._read_after(put_off)

    def look_at_runs(self) -> None:
        """How what is done for many clients stands."""
        try:
            self.runs.look()
        except Exception as error:
            self._trouble(error)

    def _runs_changed(self) -> None:
        self.clients.renew_edges()
        self.keys.renew()

    def _read_after(self, client_ids: frozenset[int]) -> None:
        """What other threads read for a change, when the rows themselves are on the screen: threads take turns."""
        self._header.request()
        self.queue.recount()
        if client_ids:
            self.clients.reload()
            if self.authorization.client_id in client_ids:
                self.authorization.reload()

    def _reload_everything(self) -> None:
        self._header.request()
        for pane in (self.clients, self.queue):
            pane.list.changed()
            pane.reload()
        self.authorization.reload()

    def _read_header(self) -> HeaderView:
        return views.header(self.desk.office, self.desk.operator)

    def _show_header(self, view: HeaderView) -> None:
        self.header_view = view
        alarm = self.query_one("#alarm", Lines)
        alarm.set_class(bool(view.alarm), "-on")
        for dialog in self.app.screen_stack[1:]:  # those on the whole screen leave it free
            dialog.set_class(bool(view.alarm), "-alarmed")
        alarm.show(lambda width: [present.alarm(view.alarm, width)])
        self._draw_header()

    def _draw_header(self) -> None:
        view, desk = self.header_view, self.desk
        if view is not None:
            self.query_one("#header", Lines).show(
                lambda width: [
                    present.header(
                        desk.look, view, desk.operator.name, desk.now(), width, self.today.count, self.today.due
                    )
                ]
            )

    def _keys_now(self, width: int) -> list[tuple[int, Line]]:
        typing = isinstance(self.focused, Input)
        return describe.filter_footer() if typing else describe.footer(self.situation(), width)

    def _at_next_minute(self) -> None:
        now = self.desk.now()
        rest = timedelta(seconds=60 - now.second, microseconds=-now.microsecond)
        self.set_timer(max(0.05, rest.total_seconds()), self._minute)

    def _minute(self) -> None:
        self._header.request()
        self.queue.list.redraw()
        self.clients.list.changed()
        self.authorization.reload()
        self.today.reload()
        self._at_next_minute()

    # Where the person is ------------------------------------------------------------------------------------------

    def situation(self) -> Situation:
        """Who stands where, on what."""
        row = self.clients.list.current
        client = facts_of(row, self.desk.now()) if row is not None else None
        situation = Situation(
            role=self.desk.operator.role,
            pane=self.pane,
            client=client,
            states=self.queue.target_states() if self.pane is Pane.QUEUE else {},
            marked=len(self.marked_list().marks) if self.pane is not Pane.AUTHORIZATION else 0,
            runs=bool(self.runs.open),
            ran=self.runs.ran,
            exercise=self.desk.exercise is not None,
            real=self.environment in REAL,
        )
        return with_facts(situation, self.today) if self.pane is Pane.TODAY else situation

    @property
    def acting(self) -> bool:
        """Whether an act runs: it may be about to ask."""
        return self._acts is not None and self._acts.running

    @property
    def environment(self) -> str:
        """The code of the environment."""
        return self.desk.office.environment.code

    def show(self, pane: Pane, *, home: Pane = Pane.CLIENTS) -> None:
        """Go to a pane, from which Esc leads `home`."""
        self.pane, self._home = pane, home
        if pane is Pane.TODAY:
            self.today.reload()
        self._show_pane()
        self.set_focus(self.query_one(FOCUS[pane]))  # at once: the next key belongs to it already

    def _fit(self, size: Size) -> None:
        """Panes side by side, or as tabs, or nothing but a word that there is no room."""
        self.set_class(size.width >= WIDE, "-wide")
        self.set_class(size.width >= WIDEST, "-widest")
        self.set_class(size.width < WIDE, "-narrow")
        self.set_class(size.width < SMALLEST[0] or size.height < SMALLEST[1], "-tiny")

    def _show_pane(self) -> None:
        wide = self.app.size.width >= WIDE
        shown = {self.pane, Pane.AUTHORIZATION} if self.pane is Pane.CLIENTS else {self.pane}
        for pane, widget in self._panes.items():
            alone = Pane.TODAY in (pane, self.pane)
            widget.display = pane is self.pane if alone else wide or pane in shown
            self.set_class(pane is self.pane, f"-on-{pane.value}")
        self.keys.renew()

    def action_turn(self, by: int) -> None:
        at = ORDER.index(self.pane) if self.pane in ORDER else -1 if by > 0 else 0
        self.show(ORDER[(at + by) % len(ORDER)])

    def back(self) -> None:
        """One step back: marks, filter, the one client, the other pane."""
        if self.pane is not Pane.AUTHORIZATION and self.marked_list().unmark():
            return
        if self._home is Pane.TODAY:  # where that row stood, and what it showed is not narrowed any more
            self.queue.widen_all()
            self.clients.only(None)
        elif self.pane is Pane.QUEUE:
            if self.queue.widen():
                return
        elif self.pane is Pane.CLIENTS and (self.clients.end_filter(clear=True) or self._everybody()):
            return
        self.show(self._home)

    def _everybody(self) -> bool:
        if self.clients.among is not None:
            self.clients.only(None)
            return True
        if self.clients.mine:
            self.toggle_mine()
            return True
        return False

    def toggle_mine(self) -> None:
        """Only the operator's clients, or all."""
        self.clients.mine = not self.clients.mine
        if self.clients.mine:
            self.clients.other_list()
        else:
            self.clients.reload()
        self.today.reload()

    def marked_list(self) -> WindowList[ClientRow] | WindowList[QueueRow] | WindowList[Row]:
        """The list that marks belong to now."""
        if self.pane is Pane.TODAY:
            return self.today.list
        return self.queue.list if self.pane is Pane.QUEUE else self.clients.list

    def invoices(self) -> list[int]:
        """The invoices that an action works on: of the queue, or of what needs a person."""
        return self.today.targets() if self.pane is Pane.TODAY else self.queue.targets()

    def filtered_pane(self) -> FilteredPane:
        """The list that a filter belongs to now."""
        return self.queue if self.pane is Pane.QUEUE else self.clients

    def action_act(self, action_id: str) -> None:
        action = BY_ID[action_id]
        situation = self.situation()
        why = action.why_disabled(situation)
        if why is not None:
            self._program.refuse(why)
            return
        if self._acts is None:
            from ksef_tui.tui.acts import Acts  # late: the dialogs are a fifth of the program

            self._acts = Acts(self, self._program)
        self._acts.start(action, situation)

    # What widgets tell --------------------------------------------------------------------------------------------

    def on_descendant_focus(self, event: events.DescendantFocus) -> None:
        for pane in Pane:
            if event.widget in self.query_one(f"#{pane.value}").query("*") and pane is not self.pane:
                self.pane = pane
                self._show_pane()
        self.keys.renew()  # letters are not commands while a filter is typed

    def on_resize(self, event: events.Resize) -> None:
        self._fit(event.size)
        self._show_pane()
        self.call_after_refresh(self.authorization.draw)

    @on(WindowList.Moved)
    def _moved(self, event: WindowList.Moved) -> None:
        if self._settling is not None:
            self._settling.stop()
        self._settling = self.set_timer(SETTLED_AFTER, self._settle)

    def _settle(self) -> None:
        self._settling = None
        self.keys.renew()
        if self.pane is Pane.TODAY:
            self.today.draw_detail()
        self.authorization.select(self.clients.list.current_id)

    @on(ClientsPane.Loaded)
    def _clients_loaded(self) -> None:
        if not self._queue_wanted:
            self._queue_wanted = True
            self.call_after_refresh(self._read_the_rest)

    def _read_the_rest(self) -> None:
        self._header.request()
        self.queue.reload()
        self.today.reload()

    @on(WindowList.Marked)
    def _marked(self, event: WindowList.Marked) -> None:
        if event.list is self.queue.list:
            self.queue.count_marks()
        elif event.list is self.today.list:
            self.today.marks_changed()
        else:
            self.clients.renew_edges()
        self.keys.renew()

    @on(QueuePane.Counted)
    def _counted(self) -> None:
        self.keys.renew()

    @on(WindowList.ReadFailed)
    def _read_failed(self, event: WindowList.ReadFailed) -> None:
        self._trouble(event.error)

    @on(PaneWidget.Failed)
    def _failed(self, event: PaneWidget.Failed) -> None:
        self._trouble(event.error)
