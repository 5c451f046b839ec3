"""The panes with lists: clients and queue. Each knows what it shows; the main screen knows what happens."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Mapping
from dataclasses import replace

from textual import events, on
from textual.app import ComposeResult
from textual.containers import Vertical
from textual.message import Message
from textual.timer import Timer
from textual.widget import Widget
from textual.widgets import Input

from ksef_tui.domain.authorizations import seconds_to_sign
from ksef_tui.domain.text import count_of
from ksef_tui.services import client_views
from ksef_tui.services.views import ClientCounts, ClientList, ClientRow
from ksef_tui.tui import present
from ksef_tui.tui.desk import Desk, Loader
from ksef_tui.tui.entries import Entry
from ksef_tui.tui.lines import Lines
from ksef_tui.tui.present import Line, Span, clean
from ksef_tui.tui.windowed import WindowList

TYPING_PAUSE = 0.12  # seconds without a key before a filter is looked up


class Pane(Vertical):
    """A frame with a title above and a note below; its edges repaint only what changed in them."""

    class Failed(Message):
        """Something could not be read."""

        def __init__(self, error: Exception) -> None:
            super().__init__()
            self.error = error

    def __init__(self, desk: Desk, id: str) -> None:
        super().__init__(id=id, classes="pane")
        self.desk = desk
        self._title: Line = ()
        self._note: Callable[[int], Line] = lambda room: ()

    def frame(self, *parts: Widget) -> ComposeResult:
        """The parts between the edges. The sides belong to a box of their own: a row repaints without them."""
        yield self.top_edge()
        yield Vertical(*parts, classes="body")
        yield Lines(classes="bottom")

    def top_edge(self) -> Widget:
        """The edge with the title."""
        return Lines(classes="top")

    def draw_top(self, focused: bool) -> None:
        """Draw the title."""
        self.query_one(".top", Lines).show(lambda width: [present.frame_top(self._title, width, focused)])

    def edges(self, title: Line, note: Callable[[int], Line] = lambda room: ()) -> None:
        """Say what is in the pane; the note below is told how much room it has."""
        self._title, self._note = title, note
        self.draw_edges()

    def draw_edges(self) -> None:
        focused = self.has_focus_within
        self.draw_top(focused)
        self.query_one(".bottom", Lines).show(lambda width: [present.frame_bottom(self._note, width, focused)])

    def on_descendant_focus(self, event: events.DescendantFocus) -> None:
        self.draw_edges()

    def on_descendant_blur(self, event: events.DescendantBlur) -> None:
        self.draw_edges()

    def fail(self, error: Exception) -> None:
        self.post_message(self.Failed(error))

    def title_line(self, digit: str, *parts: str) -> Line:
        """`1 Klienci · …`: the first part is strong."""
        dot = " · "
        rest = "".join(dot + clean(part) for part in parts[1:])
        spans: list[Span] = [(f"{digit} ", "key"), (parts[0], "strong")]
        return (*spans, (rest, "dim")) if rest else tuple(spans)


class FilteredPane(Pane):
    """A pane with a list and a line to filter it as one types."""

    def __init__(self, desk: Desk, id: str) -> None:
        super().__init__(desk, id)
        self.text = ""
        self._pause: Timer | None = None
        self._other = False  # another list is on its way: its first row gets the cursor

    placeholder = "filtr: każde słowo musi się znaleźć; Enter zostawia, Esc zdejmuje"

    def filter_input(self) -> Input:
        field = Entry(placeholder=self.placeholder)
        field.display = False
        return field

    def begin_filter(self) -> None:
        """Open the filter line."""
        field = self.query_one(Input)
        field.display = True
        self.screen.set_focus(field)  # at once: the next key belongs to it already

    def end_filter(self, *, clear: bool) -> bool:
        """Close the filter line; False when there was nothing to clear."""
        field = self.query_one(Input)
        had = bool(self.text) or field.display
        if clear and field.value:
            field.value = ""
            self._apply()
        if field.has_focus:
            self.screen.set_focus(self.query_one(WindowList))
        field.display = bool(field.value)
        return had

    @on(Input.Changed)
    def _typed(self, event: Input.Changed) -> None:
        event.stop()
        self.typed(event.value)
        if self._pause is not None:
            self._pause.stop()
        self._pause = self.set_timer(TYPING_PAUSE, self._apply)

    def typed(self, text: str) -> None:
        """What stands in the filter line now, before it is looked up."""

    @on(Input.Submitted)
    def _submitted(self, event: Input.Submitted) -> None:
        event.stop()
        self._apply()
        self.end_filter(clear=False)

    def _apply(self) -> None:
        text = self.query_one(Input).value.strip()
        if text == self.text:
            return
        self.text = text
        if text:
            self.other_list()
        else:
            self.reload()  # everything again: the cursor stays on what was found

    def other_list(self) -> None:
        """The list was narrowed: show from the top what is let through."""
        self._other = True
        self.reload()

    def reload(self) -> None:
        raise TypeError("a filtered pane says how it is loaded")


class ClientsPane(FilteredPane):
    """Clients: problems first, by urgency."""

    class Loaded(Message):
        """The list has been read."""

    def __init__(self, desk: Desk) -> None:
        super().__init__(desk, "clients")
        self.mine = False
        self.among: frozenset[int] | None = None  # only these, with the words why
        self.among_words = ""
        self.run_line: Callable[[int], Line] = lambda room: ()
        self._counting: set[int] = set()
        self._begun: ClientList | None = None
        self._sought: int | None = None  # gets the cursor when it is in the list
        self.counts = ClientCounts(0, 0)
        self.list: WindowList[ClientRow] = WindowList(self._read, self._paint, present.client_lit, id="client-list")
        self._loader: Loader[ClientList] = Loader(desk, self._job, self._show, self.run_worker, self.fail)

    def compose(self) -> ComposeResult:
        yield from self.frame(self.list, self.filter_input())

    def begin(self) -> None:
        """Read the order before there is a screen: in a thread beside its making it would take three times as long."""
        self._begun = self._job()()

    def show_begun(self) -> None:
        """Show what was read then."""
        begun, self._begun = self._begun, None
        if begun is not None:
            self._show(begun)

    def reload(self) -> None:
        """Read the order and the counts anew."""
        self._loader.request()

    def _read(self, ids: list[int]) -> Mapping[int, ClientRow]:
        return client_views.client_rows(self.desk.office, self.desk.operator, ids)

    def _paint(self, row: ClientRow, width: int, marked: bool) -> Line:
        return present.client_row(self.desk.look, row, width, self.desk.now(), marked)

    def only(self, among: frozenset[int] | None, words: str = "") -> None:
        """Only these clients; None: all."""
        self.among, self.among_words = among, words
        if among is not None:
            self.other_list()
        else:
            self.reload()

    def seek(self, client_id: int) -> None:
        """Go to a client that the list does not know yet, whatever the list was narrowed to."""
        self.end_filter(clear=True)
        self.mine, self.among, self._sought = False, None, client_id
        self.other_list()

    def targets(self) -> list[int]:
        """The marked clients in the order of the list, else the one under the cursor."""
        if self.list.marks:
            return [one for one in self.list.ids if one in self.list.marks]
        return [self.list.current_id] if self.list.current_id is not None else []

    def renew_edges(self) -> None:
        """The marks, or what is being done for many clients, changed."""
        self._draw_title()

    def tick(self) -> bool:
        """A second has passed: requests to sign count down. True when the time of one has just run out."""
        now = self.desk.now()
        counting = {row.id for row in self.list.visible_rows() if seconds_to_sign(row.sign_until, now)}
        over, self._counting = self._counting - counting, counting
        if counting or over:
            self.list.redraw()
        return bool(over)

    def _job(self) -> Callable[[], ClientList]:
        office, operator, text, mine, among = self.desk.office, self.desk.operator, self.text, self.mine, self.among

        def job() -> ClientList:
            found = client_views.client_list(office, operator, text, mine)
            return (
                found if among is None else replace(found, ids=array("q", [one for one in found.ids if one in among]))
            )

        return job

    def _show(self, found: ClientList) -> None:
        self.counts = found.counts
        if not found.ids:
            self.list.say_when_empty(self._when_empty())
        self.list.set_ids(found.ids, from_top=self._other)
        self._other = False
        if self._sought is not None and self.list.go_to(self._sought):
            self._sought = None
        self._draw_title()
        self.post_message(self.Loaded())

    def _draw_title(self) -> None:
        listed = len(self.list.ids)
        narrowed = self.text or self.mine or self.among is not None
        parts = [f"Klienci {listed} z {self.counts.total}" if narrowed else f"Klienci {listed}"]
        if self.among is not None:
            parts.append(self.among_words)
        if self.mine:
            parts.append("moi")
        if self.text:
            parts.append(f"„{self.text}”")
        trouble = self.counts.trouble
        note: Line = ((count_of(trouble, "wymaga", "wymagają", "wymaga") + " uwagi", "bad"),) if trouble else ()
        if self.list.marks:
            parts.append(f"zaznaczone {len(self.list.marks)}")
        self.edges(self.title_line("1", *parts), lambda room: self.run_line(room) or note)

    def _when_empty(self) -> list[Line]:
        if self.text or self.mine or self.among is not None:
            return [(), (("  Nikt nie pasuje. ", "text"), ("Esc", "key"), (" zdejmuje filtr.", "text"))]
        return [
            (),
            (("  Nie ma jeszcze klientów.", "strong"),),
            (),
            (("  n", "key"), (" dodaje klienta: NIP i nazwa", "text")),
            (("  d", "key"), (" profile biura: certyfikat KSeF, którym biuro się loguje", "text")),
            (("  a", "key"), (" łączy klienta z KSeF", "text")),
        ]
