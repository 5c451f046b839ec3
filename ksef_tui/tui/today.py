"""The pane of what needs a person now: a row each, the sentence and the keys of the row under the cursor below them."""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from decimal import Decimal

from textual.app import ComposeResult

from ksef_tui.domain.actions import BY_ID
from ksef_tui.domain.invoices import InvoiceState
from ksef_tui.domain.situations import ClientFacts, Situation
from ksef_tui.domain.text import count_of
from ksef_tui.domain.today import BY_KIND, Done, Item, Kind, farewell
from ksef_tui.services import client_views
from ksef_tui.services import today as todays
from ksef_tui.tui.access import facts_of
from ksef_tui.tui.desk import Desk, Loader
from ksef_tui.tui.lines import Lines
from ksef_tui.tui.panes import Pane
from ksef_tui.tui.present import Line, Look, Span, clean, cut, fit, money, short_name, width_of, wrap
from ksef_tui.tui.windowed import WindowList

DETAIL = 4  # lines below the list: a rule, two of the sentence, the keys
UNSEEN_EVERY = 3  # seconds between two readings for the count in the header alone, which take turns with the keys
ON_INVOICES = frozenset(kind for kind in Kind if BY_KIND[kind].states and kind is not Kind.ACCESS)


@dataclass(frozen=True, slots=True)
class Row:
    """What needs a person, with the number that the list knows it by while it stands."""

    id: int
    item: Item


@dataclass(frozen=True, slots=True)
class Found:
    """What was read: the rows, and what was done when there are none."""

    items: list[Item]
    done: Done | None


class TodayPane(Pane):
    """What needs a person, of all clients or the operator's own. It is read when it is looked at, and after changes."""

    def __init__(
        self, desk: Desk, mine: Callable[[], bool], situation: Callable[[], Situation], told: Callable[[], None]
    ) -> None:
        super().__init__(desk, "today")
        self._mine = mine
        self._situation = situation
        self._told = told
        self.list: WindowList[Row] = WindowList(self._read, self._paint, _lit, id="today-list")
        self.read_once = False
        self._items: dict[int, Item] = {}
        self._numbers: dict[str, int] = {}
        self._facts: dict[int, ClientFacts] = {}
        self._stale = False
        self._seconds = UNSEEN_EVERY  # since it was read
        self._loader: Loader[Found] = Loader(desk, self._job, self._show, self.run_worker, self.fail)

    def compose(self) -> ComposeResult:
        yield from self.frame(self.list, Lines(id="today-detail"))

    def on_mount(self) -> None:
        self._draw_title()

    # Reading ------------------------------------------------------------------------------------------------------

    def reload(self) -> None:
        """Read it anew."""
        self._stale, self._seconds = False, 0
        self._loader.request()

    def touch(self) -> None:
        """Something changed: read now what is looked at, else within a second, and of what goes on changing within a few."""
        self._stale = True
        if self.display:
            self.reload()

    def tick(self) -> None:
        """A second has passed."""
        self._seconds += 1
        if self._stale and self._seconds >= UNSEEN_EVERY:
            self.reload()

    @property
    def count(self) -> int:
        """How many things need a person."""
        return len(self._items)

    @property
    def due(self) -> int:
        """How many of them have to be done before midnight."""
        return sum(1 for item in self._items.values() if item.due)

    def _job(self) -> Callable[[], Found]:
        office, operator, mine = self.desk.office, self.desk.operator, self._mine()

        def job() -> Found:
            items = todays.today(office, operator, mine)
            return Found(items, None if items else todays.done_today(office, operator, mine))

        return job

    def _show(self, found: Found) -> None:
        before = (self.count, self.due) if self.read_once else None
        self.read_once = True
        for item in found.items:
            self._numbers.setdefault(item.key, len(self._numbers) + 1)
        self._items = {self._numbers[item.key]: item for item in found.items}
        self._facts.clear()
        if found.done is not None:
            self.list.say_when_empty(
                empty_lines(self.desk.look, found.done, self._mine(), farewell(found.done, self.desk.now()))
            )
        self.list.set_ids(array("q", self._items))
        self.list.changed()
        self._draw_title()
        self.draw_detail()
        if before != (self.count, self.due):
            self._told()

    def _read(self, ids: list[int]) -> Mapping[int, Row]:
        return {one: Row(one, self._items[one]) for one in ids if one in self._items}

    # What an action works on --------------------------------------------------------------------------------------

    @property
    def current(self) -> Item | None:
        """The row under the cursor."""
        return self._items.get(self.list.current_id) if self.list.current_id is not None else None

    def chosen(self) -> list[Item]:
        """The marked rows, else the one under the cursor."""
        if self.list.marks:
            return [self._items[one] for one in self.list.ids if one in self.list.marks]
        return [self.current] if self.current is not None else []

    def targets(self) -> list[int]:
        """The invoices of the chosen rows, as they stand on the screen."""
        return sorted({one for item in self.chosen() for one in item.invoices})

    def target_states(self) -> Counter[InvoiceState]:
        """How many of the targets stand in which state."""
        states: Counter[InvoiceState] = Counter()
        for item in self.chosen():
            states.update(item.states)
        return states

    def client_facts(self) -> ClientFacts | None:
        """The one client of the row under the cursor."""
        client_id = self.current.client if self.current is not None else None
        if client_id is None:
            return None
        if client_id not in self._facts:
            try:
                row = client_views.client_rows(self.desk.office, self.desk.operator, [client_id]).get(client_id)
            except Exception as error:
                self.fail(error)
                return None
            if row is None:
                return None
            self._facts[client_id] = facts_of(row, self.desk.now())
        return self._facts[client_id]

    # Drawing ------------------------------------------------------------------------------------------------------

    def _paint(self, row: Row, width: int, marked: bool) -> Line:
        return today_row(self.desk.look, row.item, width, marked)

    def draw_detail(self) -> None:
        """Draw the sentence and the keys of the row under the cursor."""
        item = self.current
        situation = self._situation()
        self.query_one("#today-detail", Lines).show(lambda width: detail(item, situation, width) if item else ())

    def marks_changed(self) -> None:
        """Say how many rows are marked."""
        self._draw_title()
        self.draw_detail()

    def _draw_title(self) -> None:
        parts = [f"Dziś {self.count}" if self.count else "Dziś"]
        if self._mine():
            parts.append("moi")
        if self.list.marks:
            parts.append(f"zaznaczone {len(self.list.marks)}")
        due = self.due
        invoices = {one for item in self._items.values() for one in item.invoices}
        clients = {one for item in self._items.values() for one in item.clients}
        note: list[Span] = []
        if due:
            note += [(f"{due} z dzisiejszą datą", "bad"), (" · ", "frame")]
        if invoices:
            note += [(count_of(len(invoices), "faktura", "faktury", "faktur"), "dim"), (" · ", "frame")]
        if clients:
            note.append((count_of(len(clients), "klient", "klienci", "klientów"), "dim"))
        self.edges(self.title_line("0", *parts), lambda room: tuple(note))


# Rows ---------------------------------------------------------------------------------------------------------------


def _widths(width: int) -> tuple[int, int, int, int]:
    """Cells of name, what, sum (0: it stands below) and why; the sign takes three, the key three, each column a blank."""
    if width < 100:
        name, what, total = 19, 21, 0
    else:
        name, what, total = min(32, max(24, width // 5)), 24, 14
    used = 3 + name + 1 + what + 1 + (total + 1 if total else 0) + 4
    return name, what, total, max(0, width - used)


def _lit(width: int) -> int:
    name, what, total, _ = _widths(width)
    return 3 + name + 1 + what + 1 + (total + 1 if total else 0)


def today_row(look: Look, item: Item, width: int, marked: bool) -> Line:
    """Sign · client · how many of what · sum · the key that mends it · why."""
    badge = BY_KIND[item.kind].badge
    name_width, what_width, total_width, why_width = _widths(width)
    tone = "bad" if item.due else badge.tone
    sign: Line = ((f" {look.glyph(badge)} ", tone),)
    if marked:
        sign = (("▪", "key"), (f"{look.glyph(badge)} ", tone))
    name = short_name(item.name)
    today: Line = (("dziś! ", "bad"),) if item.due else ()
    total: Line = ((fit(_total(item), total_width, right=True) + " ", "text"),) if total_width else ()
    return (
        *sign,
        (fit(name, name_width) + " ", "strong"),
        (fit(what(item), what_width) + " ", tone),
        *total,
        (fit(mending_key(item), 3) + " ", "key"),
        *today,
        (fit(clean(item.why), why_width - width_of(today)), "dim"),
    )


def what(item: Item) -> str:
    """`12 do zatwierdzenia`, `kończy się`."""
    label = BY_KIND[item.kind].badge.label
    if item.kind is Kind.STOPPED:
        return f"{count_of(item.count, 'klient', 'klienci', 'klientów')} {label}"
    return f"{item.count} {label}" if item.count else label


def _total(item: Item) -> str:
    """The sum of one currency; of several only that there are more."""
    if not item.money.sums:
        return ""
    currency, amount = item.money.sums[0]
    return money(amount, currency) + (" +" if len(item.money.sums) > 1 else "")


def mending_key(item: Item) -> str:
    """The key that mends it first."""
    action = next((BY_ID[one] for one in item.actions if one in BY_ID), None)
    return "" if action is None else "Ent" if action.id == "open" else action.shown


def detail(item: Item, situation: Situation, width: int) -> list[Line]:
    """The whole sentence, the sums, and the keys that work on this row."""
    inner = max(10, width - 4)
    head: list[Span] = [("── ", "frame"), (clean(item.name), "strong"), (f"  {what(item)}", "text")]
    if item.money.sums:
        head.append(("  " + " + ".join(_named(amount, currency) for currency, amount in item.money.sums), "text"))
    lines = [cut(head, width)]
    said = wrap(item.why + ".", inner)
    if len(said) > 2:
        said = [said[0], fit(" ".join(said[1:]), inner)]
    lines += [(("   ", "text"), (line, "text")) for line in said]
    lines += [()] * (DETAIL - 1 - len(lines))
    keys: list[Span] = []
    for action_id in item.actions:
        action = BY_ID.get(action_id)
        if action is not None and action.id != "open" and action.why_disabled(situation) is None:
            keys += [("   ", "text"), (action.shown, "key"), (f" {action.label}", "text")]
    keys += [("   ", "text"), ("Enter", "key"), (f" {leads_to(item)}", "text")]
    return [*lines, cut(keys, width)]


def _named(amount: Decimal, currency: str) -> str:
    said = money(amount, currency)
    return f"{said} zł" if currency == "PLN" else said


def leads_to(item: Item) -> str:
    """What Enter shows."""
    if item.kind in ON_INVOICES:
        return "te faktury" if len(item.invoices) != 1 else "ta faktura"
    return "autoryzacja" if item.client is not None else "ci klienci"


def empty_lines(look: Look, done: Done, mine: bool, said: tuple[str, str, str]) -> list[Line]:
    """All is done: what was done today, and a kind word."""
    smile = ":-)" if look.ascii else "☺"
    whose: Line = (("  (u moich klientów; ", "dim"), ("m", "key"), (" pokazuje wszystkich)", "dim")) if mine else ()
    good = "good" if done.accepted or done.sent else "strong"
    first: Line = ((f"  {said[0]} ", good), (smile, "wait")) if done.begun else ((f"  {said[0]}", good),)
    return [
        (),
        first,
        (),
        ((f"  {said[1]}", "text"),),
        ((f"  {said[2]}", "dim"),),
        (),
        whose,
    ]


def with_facts(situation: Situation, pane: TodayPane) -> Situation:
    """The situation on the row under the cursor."""
    return replace(
        situation,
        client=pane.client_facts(),
        states=pane.target_states(),
        marked=len(pane.list.marks),
        rows=pane.count,
    )
