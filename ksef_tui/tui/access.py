"""The third pane: the selected client's access to KSeF."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime

from textual.app import ComposeResult
from textual.containers import Horizontal
from textual.widget import Widget

from ksef_tui.domain.authorizations import AuthState, seconds_to_sign
from ksef_tui.domain.situations import ClientFacts, Situation
from ksef_tui.services import client_views
from ksef_tui.services.views import AuthorizationView, ClientRow
from ksef_tui.tui import describe, present
from ksef_tui.tui.desk import Desk
from ksef_tui.tui.lines import Lines
from ksef_tui.tui.panes import Pane


class Flow(Lines, can_focus=True):
    """The authorisation flow as lines; it can have the focus so that keys belong to it."""


class AuthorizationPane(Pane):
    """The selected client's access to KSeF: way and identity, steps, what is wrong, the keys that mend it."""

    def __init__(self, desk: Desk, situation: Callable[[], Situation]) -> None:
        super().__init__(desk, "authorization")
        self.client_id: int | None = None
        self.view: AuthorizationView | None = None
        self._situation = situation
        self._counts = False

    def compose(self) -> ComposeResult:
        yield from self.frame(Flow(id="flow"))

    def on_mount(self) -> None:
        self.edges(self.title_line("3", "Autoryzacja"))

    def top_edge(self) -> Widget:
        """The client's name changes with each step of the cursor: it has a widget of its own, what is before it stays."""
        return Horizontal(Lines(classes="corner"), Lines(classes="top"), classes="edge")

    def draw_top(self, focused: bool) -> None:
        """Draw the title."""
        steady, name = self._title[:2], self._title[2:]
        self.query_one(".corner", Lines).show(lambda _: [present.frame_corner(steady, focused)])
        self.query_one(".top", Lines).show(lambda width: [present.frame_title(name, width, focused)])

    def select(self, client_id: int | None) -> None:
        """Show another client."""
        if client_id != self.client_id:
            self.client_id = client_id
            self.reload()

    def reload(self) -> None:
        """Read the flow anew: one client's, so at once, like the rows of a list."""
        desk, client_id = self.desk, self.client_id
        try:
            self.view = None if client_id is None else client_views.authorization(desk.office, desk.operator, client_id)
        except Exception as error:
            self.fail(error)
            return
        self.draw()

    def draw(self) -> None:
        """Draw the flow; also when the height of the pane has changed."""
        view, look = self.view, self.desk.look
        flow = self.query_one(Flow)
        if view is None:
            self.edges(self.title_line("3", "Autoryzacja"))
            flow.show(lambda width: describe.first_client(look))
            return
        whose = [view.name] if view.nip in view.name else [view.name, f"NIP {view.nip}"]  # KSeF's list gives no names
        self.edges(self.title_line("3", "Autoryzacja", *whose))
        now = self.desk.now()
        self._counts = bool(seconds_to_sign(view.sign_until, now))
        situation = replace(self._situation(), client=self._facts(view))
        flow.show(lambda width: describe.authorization(look, view, situation, width, flow.size.height, now))

    def tick(self) -> None:
        """A second has passed: the minutes to sign count down, and at their end the flow says something else."""
        view = self.view
        if view is None or view.status is not AuthState.TO_SIGN or not self._counts:
            return
        if seconds_to_sign(view.sign_until, self.desk.now()):
            self.draw()
        else:
            self.reload()

    def _facts(self, view: AuthorizationView) -> ClientFacts:
        known = self._situation().client
        waiting, moving, office = (known.waiting, known.moving, known.office) if known is not None else (0, 0, False)
        over = _is_over(view.status, view.sign_until, self.desk.now())
        stopped = view.visit is not None and "auth.cancel" in view.actions
        return ClientFacts(
            view.client_id, view.name, view.status, waiting, moving, office, over, stopped, bool(view.switching_to)
        )


def facts_of(row: ClientRow, now: datetime) -> ClientFacts:
    """What decides about the keys on a client's row."""
    over = _is_over(row.status, row.sign_until, now)
    return ClientFacts(
        row.id, row.name, row.status, row.waiting, row.moving, row.office, over, row.visit, row.switching
    )


def _is_over(status: AuthState, sign_until: datetime | None, now: datetime) -> bool:
    return status is AuthState.TO_SIGN and not seconds_to_sign(sign_until, now)
