"""An order of a certificate, live: it goes on whether somebody looks or not."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import ClassVar

from textual.binding import Binding, BindingType
from textual.widget import Widget

from ksef_tui.services import views
from ksef_tui.services.certifying import Order, order_by_id
from ksef_tui.tui.describe import plain
from ksef_tui.tui.desk import Desk
from ksef_tui.tui.dialogs.base import Dialog, Text
from ksef_tui.tui.present import Line, Span, clean, day

LOOK_EVERY = 0.1  # seconds
STEPS = (
    (("asked",), "limity"),
    (("ready",), "klucz"),
    (("sending",), "wniosek"),
    (("waiting",), "wystawienie"),
    (("issued",), "odbiór"),
)


def order_lines(order: Order, nobody_sends: bool, width: int) -> list[Line]:
    """Where it stands, what that means, and what comes next."""
    states = [states for states, _ in STEPS]
    at = next((n for n, names in enumerate(states) if order.state in names), len(STEPS))
    spans: list[Span] = []
    for place, (_, label) in enumerate(STEPS):
        sign, tone = ("✔", "good") if place < at and order.state != "failed" else ("○", "quiet")
        if place == at:
            sign, tone = "◌", "busy"
        spans += [(" ─▸ ", "dim")] if spans else []
        spans.append((f"{sign} {label}", tone))
    lines: list[Line] = [] if order.state == "failed" else [tuple(spans), ()]
    if order.state == "done":
        until = day(order.valid_to.date().isoformat()) if order.valid_to is not None else ""
        lines += plain([f"Certyfikat jest: {clean(order.label)}, ważny do {until}, nr {order.serial}."], width, "good")
        if order.type == "Offline":
            lines += plain(["Służy tylko do kodów QR na fakturach offline; zalogować się nim nie można."], width)
        elif order.renews:
            lines += plain(["Klienci przechodzą na niego po kolei; starego program potem nie używa."], width)
        else:
            lines += plain(["Jest profilem: a Autoryzuj łączy nim klientów."], width)
    elif order.state == "failed":
        lines += plain(["Certyfikatu nie ma.", order.reason], width, "bad")
    else:
        lines += plain([f"{order.word}…"], width)
        if nobody_sends:
            lines += plain(["Nikt nie wysyła: zamówienie ruszy, gdy będzie działać worker."], width, "wait")
        lines += [(), *plain(["Esc zamyka okno; zamówienie idzie dalej i widać je w profilach (d)."], width, "dim")]
    return lines


class Ordering(Dialog[None]):
    """How far an order has come."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape,enter", "dismiss(None)", show=False)]

    def __init__(
        self, desk: Desk, order: Order, nobody_sends: Callable[[], bool], failed: Callable[[Exception], None]
    ) -> None:
        super().__init__(f"Certyfikat KSeF „{clean(order.label)}”")
        self._desk = desk
        self.order = order
        self._nobody_sends = nobody_sends
        self._failed = failed
        self._version = -1

    def content(self) -> Sequence[Widget]:
        return (Text(self._lines(), id="state"), Text([(), (("Enter zamyka", "dim"),)]))

    def on_mount(self) -> None:
        self.set_interval(LOOK_EVERY, self._look)

    def _look(self) -> None:
        try:
            version = views.data_version(self._desk.office)
            if version == self._version:
                return
            self._version = version
            self.order = order_by_id(self._desk.office, self._desk.operator, self.order.id)
        except Exception as error:
            self._failed(error)
            self.dismiss(None)
            return
        self.query_one("#state", Text).say(self._lines())

    def _lines(self) -> list[Line]:
        return order_lines(self.order, self._nobody_sends(), self.inner_width)
