"""The exercise while it runs: troubles from the menu, invoices that come by themselves, and an end that leaves nothing."""

from __future__ import annotations

import fcntl
import os
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from demo_helpers import wait_for_end, wait_until

from ksef_tui.demo import live as live_module
from ksef_tui.demo import ministry
from ksef_tui.demo.folder import Folder
from ksef_tui.demo.live import Live
from ksef_tui.demo.troubles import TROUBLES, Menu
from ksef_tui.domain.problems import Problem
from ksef_tui.services.office import Office
from ksef_tui.store import leases


@pytest.fixture
def switches(folder: Folder) -> Iterator[ministry.Switches]:
    folder.enter()
    switches = ministry.Switches(ministry.start(folder, port=0, delay_ms=0))
    yield switches
    switches.close()
    ministry.stop(folder)
    folder.leave()


def on(menu: Menu) -> set[str]:
    return {trouble.id for trouble in menu.troubles() if trouble.on}


class TestMenu:
    @pytest.mark.parametrize("trouble", [t.id for t in TROUBLES if not t.once])
    async def test_on_and_off(self, switches: ministry.Switches, trouble: str) -> None:
        menu = Menu(switches)
        await menu.switch(trouble)
        assert on(menu) == {trouble}
        await menu.switch(trouble)
        assert on(menu) == set()
        assert switches.faults() == []

    async def test_the_others_stay_on(self, switches: ministry.Switches) -> None:
        menu, joined = Menu(switches), Menu(switches)
        switches.put("upo_html", match={"path": "abc"}, params={"standing": True})
        await menu.switch("lost_answer")
        await joined.switch("slow")
        await menu.switch("lost_answer")
        joined.look()
        assert on(menu) == on(joined) == {"slow"}
        left = {f["fault"]: f for f in switches.faults()}
        assert left["upo_html"]["match"] == {"path": "abc"}
        assert left["slow"]["params"]["ms"] == 20_000

    async def test_a_new_key_is_there_at_once_and_is_no_state(self, switches: ministry.Switches) -> None:
        menu = Menu(switches)
        await menu.switch("key_rotation")
        assert on(menu) == set()

    async def test_a_sandbox_that_is_gone_is_said(self, switches: ministry.Switches, folder: Folder) -> None:
        ministry.stop(folder)
        with pytest.raises(Problem, match="Piaskownica nie odpowiada"):
            await Menu(switches).switch("outage")


class TestLive:
    @pytest.fixture
    def live(self, folder: Folder, office: Office, switches: ministry.Switches, monkeypatch) -> Iterator[Live]:
        monkeypatch.setattr(live_module, "BEAT", 0.05)
        monkeypatch.setattr(live_module, "PER_CLIENT", 0.05)
        monkeypatch.setattr(live_module, "SOMEBODY_AFTER", 1_000_000)
        ministry.set_address(office, switches.url)
        live = Live(office, "anna", switches, Menu(switches), folder.notes())
        yield live
        if live.is_alive():
            live.stop()

    def test_invoices_come_and_some_are_approved(self, live: Live, office: Office) -> None:
        newest = office.db.value("SELECT max(id) FROM invoice")
        live.start()
        wait_until(
            lambda: (
                office.db.value(
                    "SELECT count(DISTINCT state) FROM invoice WHERE id > ? AND state IN ('waiting', 'approved')",
                    (newest,),
                )
                == 2
            )
        )
        acting = {row[0] for row in office.db.rows("SELECT login FROM audit WHERE invoice_id > ?", (newest,))}
        assert acting == {"demo"}

    def test_only_one_drives(self, live: Live, office: Office) -> None:
        live.start()
        wait_until(lambda: leases.holders(office.db, live_module.LEASE) == [live_module.LEASE])
        assert leases.take(office.db, live_module.LEASE, 1) is None
        live.stop()
        assert leases.holders(office.db, live_module.LEASE) == []

    def test_it_does_not_grow_for_ever(self, live: Live, office: Office, monkeypatch) -> None:
        before = office.db.value("SELECT count(*) FROM invoice")
        monkeypatch.setattr(live_module, "MOST_INVOICES", before)
        monkeypatch.setattr(live_module, "MOST_WAITING", 4)
        waiting = office.db.value("SELECT count(*) FROM invoice WHERE state = 'waiting'")
        live.start()
        wait_until(lambda: office.db.value("SELECT count(*) FROM invoice WHERE state = 'waiting'") < waiting)
        live.stop()
        assert office.db.value("SELECT count(*) FROM invoice") == before

    def test_somebody_always_sends(self, live: Live, office: Office, monkeypatch) -> None:
        """The screen that had started the worker was closed; this one starts another, and ends it at its own end."""
        monkeypatch.setattr(live_module, "SOMEBODY_AFTER", 1)
        live.start()
        wait_until(lambda: bool(leases.holders(office.db, "worker:")))
        worker = int(leases.holders(office.db, "worker:")[0].partition(":")[2])
        live.stop()
        assert wait_for_end(worker)

    def test_late_receipts_stay_late(self, live: Live, folder: Folder, switches: ministry.Switches) -> None:
        live.start()
        wait_until(lambda: any(f["params"].get("standing") for f in switches.faults()))
        assert [f["match"] for f in switches.faults() if f["fault"] == "upo_html"] == [
            folder.notes()["standing"]["match"]
        ]


SCREEN = """
import sys
from pathlib import Path
from ksef_tui.demo.run import run
sys.exit(run(data_dir=Path(sys.argv[1]), clients=17, invoices=60, reset=False, login="anna"))
"""


class TestTheScreen:
    @pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGTERM])
    def test_it_says_that_it_is_an_exercise_and_leaves_no_process(self, folder: Folder, office: Office, number) -> None:
        ours, theirs = os.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 120, 0, 0))
        process = subprocess.Popen(
            [sys.executable, "-c", SCREEN, str(folder.path)],
            stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True, env={**os.environ, "TERM": "xterm-256color"},
        )  # fmt: skip
        os.close(theirs)
        shown = b""
        while "ĆWICZENIE".encode() not in shown or not leases.holders(office.db, "worker:"):
            assert process.poll() is None, shown[-500:]
            if select.select([ours], [], [], 0.1)[0]:
                shown += os.read(ours, 65536)
        sandbox = folder.running()["pid"]
        worker = int(leases.holders(office.db, "worker:")[0].partition(":")[2])
        process.send_signal(number)
        while process.poll() is None:
            if select.select([ours], [], [], 0.1)[0]:
                drain(ours)
        os.close(ours)
        assert wait_for_end(sandbox)
        assert wait_for_end(worker)
        assert not any(Path(folder.path / "present").iterdir())


def drain(descriptor: int) -> None:
    try:
        os.read(descriptor, 65536)
    except OSError:  # the other end is closed
        time.sleep(0.02)
