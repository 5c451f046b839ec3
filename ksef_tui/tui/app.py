"""The full-screen program: one app, one main screen, and a way in and out that leaves no process behind."""

from __future__ import annotations

import asyncio
import gc
import os
import signal
import sys
from collections.abc import Awaitable, Callable
from datetime import datetime
from pathlib import PurePath
from time import monotonic
from typing import TYPE_CHECKING, ClassVar, Literal, Protocol

from textual import events
from textual.app import App
from textual.binding import Binding, BindingType

from ksef_tui.domain.problems import Problem
from ksef_tui.domain.roles import Operator, Role
from ksef_tui.services.sealing import check_key
from ksef_tui.tui.desk import Desk, Exercise, Trouble, utc_now
from ksef_tui.tui.main import MainScreen
from ksef_tui.tui.present import Look
from ksef_tui.tui.terminal import end_with_terminal
from ksef_tui.tui.theme import NIGHT, SIXTEEN
from ksef_tui.tui.typeahead import Typeahead

if TYPE_CHECKING:
    from ksef_tui.services.bulk import Progress
    from ksef_tui.services.office import Office

__all__ = ["Companion", "Exercise", "KsefTui", "Trouble", "run"]

SAME_NOTICE_AFTER = 10.0  # seconds before the same trouble is told again
STARTED_AFTER = 1.0  # seconds, roughly
SECOND_CTRL_C_WITHIN = 3.0  # seconds
PLAIN_TERMINALS = frozenset({"linux", "vt100", "vt220", "ansi"})  # their fonts lack the signs: ASCII


class Companion(Protocol):
    """The worker that the screen started because nobody else was sending."""

    def stop(self) -> None:
        """End it, if it is ours."""
        ...


class KsefTui(App[int]):
    """The program on the screen."""

    TITLE = "ksef-tui"
    CSS_PATH: ClassVar[list[str | PurePath]] = ["styles/base.tcss", "styles/main.tcss", "styles/dialogs.tcss"]
    ENABLE_COMMAND_PALETTE = False
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("ctrl+c", "leave", show=False, priority=True),
        Binding("ctrl+q", "quit", show=False, priority=True),
    ]

    def __init__(
        self,
        office: Office,
        operator: Operator,
        *,
        exercise: Exercise | None = None,
        now: Callable[[], datetime] = utc_now,
        ascii_only: bool = False,
        companion: Callable[[], Companion] | None = None,
    ) -> None:
        super().__init__()
        self.set_class(ascii_only, "-ascii")
        theme = SIXTEEN if self.console.color_system in ("standard", "windows") else NIGHT
        self.register_theme(theme)
        self.set_reactive(KsefTui.theme, theme.name)  # without its watcher, which would have all styles parsed twice
        self.stylesheet.set_variables(self.get_css_variables())
        self.desk = Desk(office, operator, Look(ascii=ascii_only), now, exercise)
        self.main = MainScreen(self.desk, self)
        self._start_companion = companion
        self._companion: Companion | None = None
        self._told: dict[str, float] = {}
        self._ctrl_c_at = float("-inf")
        self._typeahead = Typeahead(self, super().on_event, self._opening)

    def get_default_screen(self) -> MainScreen:
        return self.main

    def on_mount(self) -> None:
        if not gc.isenabled():
            self.set_timer(STARTED_AFTER, _collect_again)
        loop = asyncio.get_running_loop()
        for number in (signal.SIGHUP, signal.SIGTERM):  # a dropped connection ends like a wish to quit
            try:
                loop.add_signal_handler(number, self.exit, 0)
            except (ValueError, RuntimeError, NotImplementedError):
                break  # not the main thread: somebody else answers signals
        if self._start_companion is not None:
            self.main.call_after_refresh(self._begin_to_send, self._start_companion)

    def _begin_to_send(self, start: Callable[[], Companion]) -> None:
        """When the clients are painted: a process that starts takes the processor from them."""
        self.do(self._find_a_worker(start), "companion")

    async def _find_a_worker(self, start: Callable[[], Companion]) -> None:
        self._companion = await self.desk.act(start)

    def leave_nothing(self) -> None:
        """End what the app started."""
        if self._companion is not None:
            self._companion.stop()
        self.desk.clear()

    async def on_event(self, event: events.Event) -> None:
        if not self._typeahead.holds(event):
            await super().on_event(event)

    def _opening(self) -> bool:
        """Whether an act runs and has not asked yet."""
        return self.screen is self.main and self.main.acting

    # Doing and telling --------------------------------------------------------------------------------------------

    def do(self, what: Awaitable[None], name: str) -> None:
        """Run a flow. A refusal becomes a notice; nothing that goes wrong in it ends the program."""
        self.run_worker(self._guarded(what), name=name, group="act", exit_on_error=False, description=name)

    async def _guarded(self, what: Awaitable[None]) -> None:
        try:
            await what
        except Exception as error:
            self.trouble(error)

    def say(self, text: str, severity: Literal["information", "warning", "error"] = "information") -> None:
        """A notice; its text is never read as markup."""
        self.notify(text, severity=severity, markup=False)

    def refuse(self, why: str) -> None:
        """Say why a key does nothing now."""
        self._typeahead.forget()
        self.say(why, "warning")

    def run_ended(self, run: Progress) -> None:
        """Tell how what this person asked for many clients ended."""
        from ksef_tui.tui.describe_runs import ended

        self.say(ended(run), "warning" if run.attention else "information")

    def trouble(self, error: Exception) -> None:
        """Tell a person that something went wrong; the same thing at most once in ten seconds."""
        self._typeahead.forget()
        if isinstance(error, Problem):
            text = error.message
        else:
            self.log.error(repr(error))
            text = f"Błąd programu ({type(error).__name__}). Dane są całe; zgłoś to administratorowi."
        now = monotonic()
        if now - self._told.get(text, float("-inf")) > SAME_NOTICE_AFTER:
            self._told[text] = now
            self.say(text, "error")

    def _fatal_error(self) -> None:
        """A crash is shown without local variables: Textual's own way prints them, and what was being typed with them."""
        from rich.console import Group
        from rich.text import Text
        from rich.traceback import Traceback

        told = Text("Błąd programu. Dane są całe; zgłoś to administratorowi.", style="bold")
        self.panic(Group(told, Traceback(show_locals=False, width=None)))

    def action_leave(self) -> None:
        """Ctrl+C twice ends the program; once only says so."""
        if monotonic() - self._ctrl_c_at < SECOND_CTRL_C_WITHIN:
            self.exit(0)
        else:
            self._ctrl_c_at = monotonic()
            self.say("Ctrl+C jeszcze raz kończy program. Kolejka zostaje.")


def check_terminal() -> None:
    """Raises Problem unless there is a terminal that can show a screen."""
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise Problem("no_terminal", "Ekran wymaga terminala: uruchom przez ssh -t.")
    if os.environ.get("TERM", "dumb") in ("", "dumb", "unknown"):
        raise Problem("dumb_terminal", "Ten terminal nie umie rysować ekranu: ustaw TERM, np. TERM=xterm-256color.")
    if not all(os.get_terminal_size(sys.stdout.fileno())):
        raise Problem("no_size", "Ten terminal nie mówi, jak jest duży: ustaw go, np. stty rows 24 cols 80.")


def wants_ascii(office: Office) -> bool:
    """Whether the signs must be plain: the terminal's font lacks them, or the office says so (setting `ascii`)."""
    from ksef_tui.services import configuring

    return os.environ.get("TERM", "") in PLAIN_TERMINALS or configuring.get(office, "ascii") == "1"


def run(office: Office, operator: Operator, exercise: Exercise | None = None) -> int:
    """Show the screen until the person leaves; the exit status. Raises Problem without a terminal.

    Starts a worker when nobody sends (never for a `client` operator) and stops it at the end.
    """
    check_terminal()
    if operator.role is not Role.CLIENT:  # a passphrase is asked for before the screen is taken, never in the middle
        check_key(office)
    office.keys.ask_nobody()
    app = KsefTui(
        office,
        operator,
        exercise=exercise,
        ascii_only=wants_ascii(office),
        companion=None if operator.role is Role.CLIENT else lambda: _companion(office, operator.login),
    )
    end_with_terminal(sys.stdin.fileno())
    gc.disable()  # nothing of what is made at the start is garbage
    try:
        status = app.run()
    finally:
        app.leave_nothing()
    return status if status is not None else app.return_code or 0


def _collect_again() -> None:
    """What is there after the start stays: it is not looked through again and again."""
    gc.collect()
    gc.freeze()
    gc.enable()


def _companion(office: Office, login: str) -> Companion:
    from ksef_tui.services import worker_process

    return worker_process.ensure(office, login)
