"""`ksef-tui demo`: an office at work against a KSeF on this machine, with no network and no credentials."""

from __future__ import annotations

import os
import signal
import sys
import termios
from collections.abc import Callable
from pathlib import Path

from ksef_tui import compose
from ksef_tui.demo import ministry
from ksef_tui.demo.folder import Folder
from ksef_tui.domain.problems import Problem
from ksef_tui.domain.roles import Role
from ksef_tui.services.office import Office, operator_named
from ksef_tui.store import offices

Tell = Callable[[str], None]

FOREIGN = ("KSEF_TUI_DATA_DIR", "KSEF_TUI_API_URL")  # they belong to a real office (contract)


def run(*, data_dir: Path | None, clients: int, invoices: int, reset: bool, login: str) -> int:
    """Show the exercise until the person leaves; the exit status.

    It lives in the user's data folder unless `data_dir` is given, is filled at the first start (or with `reset`) and
    goes on where it stopped at the next ones. A second one joins the first; the last to leave stops the sandbox.
    Raises Problem: no terminal, a folder that is not the exercise's, a sandbox that does not start.
    """
    from ksef_tui.tui.app import check_terminal

    check_terminal()
    for name in FOREIGN:
        os.environ.pop(name, None)
    for number in (signal.SIGTERM, signal.SIGHUP):  # until the screen answers them, they end us in order
        signal.signal(number, _end)
    folder = Folder(data_dir or compose.user_data_dir() / "demo")
    folder.prepare()
    tell = _teller()
    try:
        with folder.locked(waiting=lambda: tell("czekam na drugie okno")):
            folder.enter()
            url = make_ready(folder, clients=clients, invoices=invoices, reset=reset, login=login, tell=tell)
        tell("")
        termios.tcflush(sys.stdin, termios.TCIFLUSH)  # what was typed meanwhile was not meant for the screen
        return _show(folder, url, login)
    finally:
        depart(folder)


def make_ready(
    folder: Folder, *, clients: int, invoices: int, reset: bool, login: str, tell: Tell = lambda _: None
) -> str:
    """A filled office and a running sandbox; its address. Hold the folder's lock. Raises Problem."""
    if reset and folder.others():
        raise Problem("demo_open", "Ćwiczenie jest otwarte w innym oknie – zamknij je, zanim zaczniesz od nowa.")
    notes = folder.notes()
    if reset or not notes:
        from ksef_tui.demo.seed import fill

        fill(folder, clients, invoices, login, tell)
        url = ministry.running_url(folder)
        assert url is not None
        return url
    url = ministry.running_url(folder) or ministry.start(folder, port=int(notes["port"]), meanwhile=_imports)
    office = compose.open_office(folder.office)
    try:
        if office.environment.api_url != url:
            ministry.set_address(office, url)
    finally:
        office.close()
    return url


def _imports() -> None:
    """What the screen will need: a third of a second in which the sandbox can start."""
    import ksef_tui.demo.live
    import ksef_tui.tui.app  # noqa: F401


def depart(folder: Folder) -> None:
    """Leave; the last one stops the sandbox."""
    with folder.locked():
        folder.leave()
        if not folder.others():
            ministry.stop(folder)


def _show(folder: Folder, url: str, login: str) -> int:
    """The screen, with the exercise going on behind it."""
    from ksef_tui.demo.live import Live
    from ksef_tui.demo.troubles import Menu
    from ksef_tui.tui.app import run as show

    office = compose.open_office(folder.office)
    office.exercise = True
    switches = ministry.Switches(url)
    try:
        _ensure_operator(office, login)
        menu = Menu(switches)
        live = Live(office, login, switches, menu, folder.notes())
        live.start()
        try:
            return show(office, operator_named(office, login), menu)
        finally:
            live.stop()
    finally:
        switches.close()
        office.close()


def _ensure_operator(office: Office, login: str) -> None:
    """In an exercise everybody may do everything."""
    if offices.operator(office.db, login) is None:
        with office.db.write() as connection:
            offices.insert_operator(connection, office.clock(), login, login, Role.ADMIN)


def _teller() -> Tell:
    """One line of progress on stderr."""
    shown = sys.stderr.isatty()

    def tell(what: str) -> None:
        if shown:
            sys.stderr.write(f"\r\x1b[KPrzygotowuję ćwiczenie: {what}…" if what else "\r\x1b[K")
            sys.stderr.flush()

    return tell


def _end(number: int, frame: object) -> None:
    """End as Ctrl+C does, which is the way out of whatever is being waited for."""
    signal.raise_signal(signal.SIGINT)
