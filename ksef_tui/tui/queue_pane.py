"""The pane of outgoing invoices: a list that may have a million rows, and what narrows it."""

from __future__ import annotations

import asyncio
from array import array
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace

from textual.app import ComposeResult
from textual.message import Message

from ksef_tui.domain.invoices import INVOICE_BADGES, InvoiceState
from ksef_tui.services import invoice_views
from ksef_tui.services.views import QueueFilter, QueueRow
from ksef_tui.tui import present
from ksef_tui.tui.desk import Desk, Loader
from ksef_tui.tui.panes import FilteredPane
from ksef_tui.tui.present import Line
from ksef_tui.tui.windowed import WindowList

COUNTED_AT_ONCE = 500  # marked rows whose states are read in the event loop
MOST_AMENDED = 60  # changed rows whose places are sought one by one; for more the list is read anew
LOOK_WHY_EVERY = 3  # seconds after which the reasons of what waits to be sent are read again: no change tells of them
Sifted = tuple[frozenset[int], frozenset[int]]  # invoices that changed, and those of them that the list lets through


class QueuePane(FilteredPane):
    """Outgoing invoices, newest first, of all clients or of one."""

    class Counted(Message):
        """It is known in which states the marked invoices stand."""

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
        self._mark_counter: Loader[Counter[InvoiceState]] = Loader(
            desk, self._count_marks_job, self._show_marked, self.run_worker, self.fail
        )
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
        if client_ids and self.text and invoice_views.understood(self.desk.office, self.text).stands:
            self._loader.request()  # a pause or a lost access makes them stand

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
        """Read the states of the marked invoices: a few at once, many beside."""
        if len(self.list.marks) > COUNTED_AT_ONCE:
            self._mark_counter.request()
            return
        try:
            self._show_marked(self._count_marks_job()())
        except Exception as error:
            self.fail(error)

    def _count_marks_job(self) -> Callable[[], Counter[InvoiceState]]:
        office, operator, ids = self.desk.office, self.desk.operator, list(self.list.marks)
        return lambda: Counter(invoice_views.state_counts(office, operator, ids) if ids else {})

    def _show_marked(self, states: Counter[InvoiceState]) -> None:
        self.marked_states = states
        self._draw_title()
        self.post_message(self.Counted())

    def _read(self, ids: list[int]) -> Mapping[int, QueueRow]:
        return invoice_views.queue_rows(self.desk.office, self.desk.operator, ids)

    def _paint(self, row: QueueRow, width: int, marked: bool) -> Line:
        columns = present.queue_columns(width, self.client_id is not None)
        return present.queue_row(self.desk.look, row, columns, marked, self.desk.now())

    def _lit(self, width: int) -> int:
        return present.queue_columns(width, self.client_id is not None).lit

    def _job(self) -> Callable[[], array[int]]:
        office, operator, wanted = self.desk.office, self.desk.operator, self.filter
        if self.list.ids and not self._other:  # there is a list to look at meanwhile
            return lambda: invoice_views.queue_ids(office, operator, wanted)
        loop = asyncio.get_running_loop()
        return lambda: invoice_views.queue_ids(
            office, operator, wanted, early=lambda ids: loop.call_soon_threadsafe(self._show_early, ids, wanted)
        )

    def _show_early(self, ids: array[int], wanted: QueueFilter) -> None:
        """The first pages of a list whose rest is still being read."""
        if wanted == self.filter:
            self.list.set_ids(ids, from_top=True, whole=False)
            self._other = False
            self._draw_title()

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
            parts.append(str(len(self.list.ids)) + ("" if self.list.whole else "…"))
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
