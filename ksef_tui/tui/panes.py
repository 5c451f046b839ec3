"""The panes with lists: clients and queue. Each knows what it shows; the main screen knows what happens."""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace

from textual import events, on
from textual.app import ComposeResult
from textual.containers import Vertical
from textual.message import Message
from textual.timer import Timer
from textual.widget import Widget
from textual.widgets import Input

from ksef_tui.domain.authorizations import seconds_to_sign
from ksef_tui.domain.invoices import INVOICE_BADGES, InvoiceState
from ksef_tui.domain.text import count_of
from ksef_tui.services import client_views, invoice_views
from ksef_tui.services.views import ClientCounts, ClientRow, QueueFilter, QueueRow
from ksef_tui.tui import present
from ksef_tui.tui.desk import Desk, Loader
from ksef_tui.tui.entries import Entry
from ksef_tui.tui.lines import Lines
from ksef_tui.tui.present import Line, Span, clean
from ksef_tui.tui.windowed import WindowList

MOST_AMENDED = 60  # changed rows whose places are sought one by one; for more the list is read anew
TYPING_PAUSE = 0.12  # seconds without a key before a filter is looked up
LOOK_WHY_EVERY = 3  # seconds after which the reasons of what waits to be sent are read again: no change tells of them


Sifted = tuple[frozenset[int], frozenset[int]]  # invoices that changed, and those of them that the list lets through


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
        self._begun: array[int] | None = None
        self._sought: int | None = None  # gets the cursor when it is in the list
        self.counts = ClientCounts(0, 0)
        self.list: WindowList[ClientRow] = WindowList(self._read, self._paint, present.client_lit, id="client-list")
        self._loader: Loader[array[int]] = Loader(desk, self._job, self._show, self.run_worker, self.fail)
        self._counter: Loader[ClientCounts] = Loader(
            desk, self._count_job, self._show_counts, self.run_worker, self.fail
        )

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
        """Read the order anew, and then how many there are: both at once would take twice the memory."""
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

    def _job(self) -> Callable[[], array[int]]:
        office, operator, text, mine, among = self.desk.office, self.desk.operator, self.text, self.mine, self.among

        def job() -> array[int]:
            found = client_views.client_ids(office, operator, text, mine)
            return found if among is None else array("q", [one for one in found if one in among])

        return job

    def _show(self, ids: array[int]) -> None:
        if not ids:
            self.list.say_when_empty(self._when_empty())
        self.list.set_ids(ids, from_top=self._other)
        self._other = False
        if self._sought is not None and self.list.go_to(self._sought):
            self._sought = None
        self._draw_title()
        self.post_message(self.Loaded())
        self.call_after_refresh(self._counter.request)

    def _count_job(self) -> Callable[[], ClientCounts]:
        office, operator = self.desk.office, self.desk.operator
        return lambda: client_views.client_counts(office, operator)

    def _show_counts(self, counts: ClientCounts) -> None:
        self.counts = counts
        self._draw_title()

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


class QueuePane(FilteredPane):
    """Outgoing invoices, newest first, of all clients or of one."""

    placeholder = "filtr, np. jodła odrzucone wczoraj >1000 · listopad · 12-15.11 · upo"

    def __init__(self, desk: Desk) -> None:
        super().__init__(desk, "queue")
        self.client_id: int | None = None
        self.client_name = ""
        self.state: InvoiceState | None = None
        self.among: frozenset[int] = frozenset()  # only these, with the words what they are
        self.among_words = ""
        self.counts: dict[InvoiceState, int] = {}
        self.list: WindowList[QueueRow] = WindowList(self._read, self._paint, self._lit, follows=True, id="queue-list")
        self.marked_states: Counter[InvoiceState] = Counter()
        self._newest = 0
        self._counting: set[int] = set()
        self._seconds = 0
        self._said: tuple[str, ...] = ()
        self._unsifted: set[int] = set()  # changed, and not looked at yet whether they belong to the list
        self._sifter: Loader[Sifted] = Loader(desk, self._sift_job, self._show_sifted, self.run_worker, self.fail)
        self._loader: Loader[array[int]] = Loader(desk, self._job, self._show, self.run_worker, self.fail)
        self._counter: Loader[dict[InvoiceState, int]] = Loader(
            desk, self._count_job, self._show_counts, self.run_worker, self.fail
        )

    def compose(self) -> ComposeResult:
        yield from self.frame(self.list, self.filter_input())

    @property
    def filter(self) -> QueueFilter:
        """What the list is narrowed to."""
        return QueueFilter(self.client_id, (self.state,) if self.state else (), self.text, tuple(self.among))

    def reload(self) -> None:
        """Read the list and the counts anew."""
        self._loader.request()
        self._counter.request()

    def recount(self) -> None:
        """Read the counts anew."""
        self._counter.request()

    def narrow(self, client_id: int | None, name: str = "", among: Sequence[int] = (), words: str = "") -> None:
        """Only this client's invoices (None: everybody's), and of them only those `among`, if any are named."""
        self.client_id, self.client_name = client_id, name
        self.among, self.among_words = frozenset(among), words
        self.list.unmark()
        self.list.repaint()  # the columns are others
        self.other_list()

    def only(self, state: InvoiceState | None) -> None:
        """Only invoices in this state; None: all."""
        self.state = state
        self.list.unmark()
        self.other_list()

    def widen(self) -> bool:
        """Take off the last narrowing; False when there was none."""
        if self.end_filter(clear=True):
            return True
        if self.state is not None:
            self.only(None)
            return True
        if self.client_id is not None or self.among:
            self.narrow(None)
            return True
        return False

    def widen_all(self) -> None:
        """Take off all narrowing."""
        while self.widen():
            pass

    def changed(self, ids: tuple[int, ...]) -> None:
        """These invoices changed or came: a million need not be read again for them."""
        self.list.changed(ids)
        if self.among:
            ids = tuple(self.among.intersection(ids))
        self._unsifted.update(ids if self._narrowed else (one for one in ids if one > self._newest))
        if self._unsifted and self._loader.idle:  # else when the list that is being read has come
            if self._narrowed or self.client_id is not None:
                self._sifter.request()
            else:
                self._show_sifted((frozenset(self._unsifted), frozenset(self._unsifted)))
        if self.list.marks.intersection(ids):
            self.count_marks()

    @property
    def _narrowed(self) -> bool:
        """Whether a change may take an invoice off the list, or bring it back."""
        return self.state is not None or bool(self.text)

    def _sift_job(self) -> Callable[[], Sifted]:
        """Which of the changed invoices the list lets through."""
        office, operator, changed = self.desk.office, self.desk.operator, frozenset(self._unsifted)
        wanted = replace(self.filter, among=tuple(changed))
        return lambda: (changed, frozenset(invoice_views.queue_ids(office, operator, wanted)) if changed else changed)

    def _show_sifted(self, sifted: Sifted) -> None:
        changed, belong = sifted
        if not self._loader.idle:  # another list is on its way
            return
        self._unsifted -= changed
        self._newest = max((self._newest, *changed))
        if len(changed) > MOST_AMENDED:
            self._loader.request()
        else:
            self.list.amend(changed - belong, belong)
            self._draw_title()

    def clients_changed(self, client_ids: Collection[int]) -> None:
        """What is so for a client decides why its invoices stand."""
        self.list.changed([row.id for row in self.list.visible_rows() if row.why and row.client_id in client_ids])

    def tick(self) -> None:
        """A second has passed: rows that count down are drawn anew, and now and then why others stand is looked at."""
        self._seconds += 1
        if self._seconds % LOOK_WHY_EVERY == 0 and (
            waiting := [row.id for row in self.list.visible_rows() if row.why is not None]
        ):
            self.list.changed(waiting)
        now = self.desk.now()
        counting = {row.id for row in self.list.visible_rows() if present.seconds_to_recall(row, now)}
        if counting:
            self.list.redraw()
        if ended := self._counting - counting:
            self.list.changed(ended)
        self._counting = counting

    def targets(self) -> list[int]:
        """The marked invoices, else the one under the cursor."""
        if self.list.marks:
            return sorted(self.list.marks)
        return [self.list.current_id] if self.list.current_id is not None else []

    def target_states(self) -> Counter[InvoiceState]:
        """How many of the targets stand in which state."""
        if self.list.marks:
            return self.marked_states
        row = self.list.current
        return Counter([row.state]) if row is not None else Counter()

    def count_marks(self) -> None:
        """Read the states of the marked invoices."""
        ids = sorted(self.list.marks)
        try:
            found = invoice_views.queue_rows(self.desk.office, self.desk.operator, ids) if ids else {}
        except Exception as error:
            self.fail(error)
            return
        self.marked_states = Counter(row.state for row in found.values())
        self._draw_title()

    def _read(self, ids: list[int]) -> Mapping[int, QueueRow]:
        return invoice_views.queue_rows(self.desk.office, self.desk.operator, ids)

    def _paint(self, row: QueueRow, width: int, marked: bool) -> Line:
        columns = present.queue_columns(width, self.client_id is not None)
        return present.queue_row(self.desk.look, row, columns, marked, self.desk.now())

    def _lit(self, width: int) -> int:
        return present.queue_columns(width, self.client_id is not None).lit

    def _job(self) -> Callable[[], array[int]]:
        office, operator, wanted = self.desk.office, self.desk.operator, self.filter
        return lambda: invoice_views.queue_ids(office, operator, wanted)

    def _show(self, ids: array[int]) -> None:
        self._newest = max(self._newest, ids[0] if ids else 0)
        if not ids:
            self.list.say_when_empty(self._when_empty())
        self.list.set_ids(ids, from_top=self._other)
        self._other = False
        self._draw_title()
        if self._unsifted:  # changed while the list was read
            self._sifter.request()

    def _count_job(self) -> Callable[[], dict[InvoiceState, int]]:
        office, operator, client_id = self.desk.office, self.desk.operator, self.client_id
        return lambda: invoice_views.queue_counts(office, operator, client_id)

    def _show_counts(self, counts: dict[InvoiceState, int]) -> None:
        self.counts = counts
        self._draw_title()

    def _draw_title(self) -> None:
        parts = ["Kolejka", self.client_name if self.client_id is not None else "wszyscy klienci"]
        if self.among:
            parts.append(self.among_words)
        if self.state is not None:
            parts.append(INVOICE_BADGES[self.state].label)
        if self.text:
            parts.append(f"„{self.text}”")
        if self.state is not None or self.text:
            parts.append(str(len(self.list.ids)))
        if self.list.marks:
            parts.append(f"zaznaczone {len(self.list.marks)}")
        look, counts, said = self.desk.look, self.counts, self._said
        self.edges(
            self.title_line("2", *parts),
            lambda room: present.said_line(said, room) if said else present.counts_line(look, counts, room),
        )

    def typed(self, text: str) -> None:
        """How the words are understood stands in the lower edge while there is a filter."""
        said = invoice_views.understood(self.desk.office, text).said
        if said != self._said:
            self._said = said
            self._draw_title()

    def _when_empty(self) -> list[Line]:
        if self.text or self.state is not None:
            return [(), (("  Żadna faktura nie pasuje. ", "text"), ("Esc", "key"), (" zdejmuje filtr.", "text"))]
        whose = "Ten klient nie ma" if self.client_id is not None else "Nie ma"
        return [
            (),
            ((f"  {whose} jeszcze faktur.", "strong"),),
            (),
            (("  i", "key"), (" wczytuje pliki XML wybranego klienta", "text")),
        ]
