"""The worker as a service: what it tells systemd over a real socket, and how it ends when it is told to."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from crash_workers import WorkerProcess, finish
from support import papers
from support.houses import LOGIN, House, wait_for
from support.ministry import CLOSE, PATIENCE, SEND, SENDING

from ksef_tui.services import configuring, supervised
from ksef_tui.services.worker import Worker
from ksef_tui.store import leases

Start = Callable[..., WorkerProcess]


class Manager:
    """systemd's end of the socket."""

    def __init__(self, address: str) -> None:
        self.address = address
        self._door = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._door.bind("\0" + address[1:] if address.startswith("@") else address)
        self._door.settimeout(PATIENCE)
        self.heard: list[str] = []

    def hears(self, word: str) -> str:
        """Waits for a datagram with a line that begins so; that line."""
        while True:
            lines = self._door.recv(4096).decode().split("\n")
            self.heard += lines
            for line in lines:
                if line.startswith(word):
                    return line

    def rest(self) -> list[str]:
        """What has come and nobody waited for."""
        self._door.setblocking(False)
        with suppress(BlockingIOError):
            while True:
                self.heard += self._door.recv(4096).decode().split("\n")
        return self.heard

    def close(self) -> None:
        self._door.close()


@pytest.fixture(params=["path", "abstract"])
def manager(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Manager]:
    manager = Manager(
        str(tmp_path / "notify") if request.param == "path" else f"@ksef-tui-{os.getpid()}-{tmp_path.name}"
    )
    yield manager
    manager.close()


@pytest.fixture
def service(house: House) -> Iterator[Callable[[Manager], subprocess.Popen[str]]]:
    running: list[subprocess.Popen[str]] = []

    def start(manager: Manager, **more: str) -> subprocess.Popen[str]:
        command = [sys.executable, "-m", "ksef_tui", "--data-dir", str(house.folder), "--operator", LOGIN, "worker"]
        process = subprocess.Popen(
            command, env=os.environ | {"NOTIFY_SOCKET": manager.address, "WATCHDOG_USEC": "300000"} | more,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        running.append(process)
        return process

    yield start
    for process in running:
        if process.poll() is None:
            process.kill()
        process.communicate()


async def test_ready_status_watchdog_stopping(house: House, manager: Manager, service):
    process = service(manager)
    manager.hears("READY=1")
    assert f"MAINPID={process.pid}" in manager.heard
    assert leases.holders(house.db, "worker:"), "it said it works before it did"
    for _ in range(3):
        manager.hears("WATCHDOG=1")
    client = await house.ready_client()
    house.ministry.fault("stuck")
    house.approved(client)
    while "w drodze 1" not in manager.hears("STATUS="):
        pass
    house.ministry.calm()
    process.send_signal(signal.SIGTERM)
    manager.hears("STOPPING=1")
    assert process.wait(PATIENCE) == 0
    after = manager.rest()[manager.heard.index("STOPPING=1") :]
    assert "WATCHDOG=1" not in after


async def test_a_worker_that_cannot_work_is_never_ready(house: House, tmp_path: Path, service):
    (house.folder / "keys" / "office.key").unlink()
    manager = Manager(str(tmp_path / "notify"))
    process = service(manager)
    assert process.wait(PATIENCE) == 1
    assert manager.rest() == []
    manager.close()


async def test_the_watchdog_of_another_process_is_not_fed(tmp_path: Path):
    env = {"NOTIFY_SOCKET": "/x", "WATCHDOG_USEC": "1000000"}
    assert supervised.Notifier(env).watchdog == 1.0
    assert supervised.Notifier(env | {"WATCHDOG_PID": str(os.getpid())}).watchdog == 1.0
    assert supervised.Notifier(env | {"WATCHDOG_PID": "1"}).watchdog is None
    supervised.Notifier({"NOTIFY_SOCKET": str(tmp_path / "nobody")}).tell("READY=1")  # nobody listens: no matter


async def test_a_pass_that_stands_longer_than_its_lease_starves_the_watchdog(house: House):
    client = await house.ready_client()
    house.approved(client)
    house.ministry.fault("hang", match=SENDING, params={"seconds": 600})
    worker = Worker(house.office)
    worker.stop_within = 0
    run = asyncio.create_task(worker.run())
    async with asyncio.timeout(PATIENCE):
        while not house.ministry.struck("hang"):
            await asyncio.sleep(0.02)
    assert supervised.moves(worker, worker.rounds - 1)
    assert not supervised.moves(worker, worker.rounds), "the loop stands"
    house.edit("UPDATE lease SET expires = 1 WHERE name LIKE 'client:%'")
    assert not supervised.moves(worker, worker.rounds - 1)
    worker.stop()
    await run


# ---- the end


async def test_told_to_stop_it_sends_nothing_new_writes_what_came_and_closes_the_session(house: House, worker: Start):
    client = await house.ready_client()
    documents = [papers.invoice(client.nip) for _ in range(3)]
    ids = house.approved(client, *documents)
    house.ministry.fault("late_answer", match=SENDING, params={"seconds": 1.5})
    process = worker()
    wait_for(lambda: house.ministry.struck("late_answer"))
    os.kill(process.pid, signal.SIGTERM)
    assert process.ends() == ""
    assert house.states(ids)[0] in ("processing", "accepted"), "the answer that was on its way is lost"
    assert house.states(ids)[1:] == ["approved", "approved"]
    assert (house.ministry.posts(SEND), house.ministry.posts(CLOSE)) == (1, 1)
    assert house.db.value("SELECT state FROM session") in ("closed", "finished")
    assert leases.holders(house.db, "") == []
    house.ministry.calm()
    finish(house)
    assert house.states(ids) == ["accepted"] * 3
    assert [len(house.ministry.holds(document)) for document in documents] == [1, 1, 1]


async def test_while_another_works_on_the_session_stays_open_for_it(house: House, worker: Start):
    configuring.change(house.office, house.admin, "session_idle_seconds", "600")
    client = await house.ready_client()
    first, second = worker(), worker()
    wait_for(lambda: len(leases.holders(house.db, "worker:")) == 2)
    [one] = house.approved(client)
    wait_for(lambda: house.states([one]) == ["accepted"])
    os.kill(first.pid, signal.SIGTERM)
    first.ends()
    assert house.db.value("SELECT state FROM session") == "open"
    [two] = house.approved(client)
    wait_for(lambda: house.states([two]) == ["accepted"])
    assert house.db.value("SELECT count(*) FROM session") == 1
    os.kill(second.pid, signal.SIGTERM)
    second.ends()
    assert house.ministry.posts(CLOSE) == 1


async def test_a_call_that_never_ends_does_not_hold_the_end_for_ever(house: House):
    client = await house.ready_client()
    ids = house.approved(client)
    house.ministry.fault("hang", match=SENDING, params={"seconds": 600})
    worker = Worker(house.office)
    worker.stop_within = 0.2
    run = asyncio.create_task(worker.run())
    async with asyncio.timeout(PATIENCE):
        while not house.ministry.struck("hang"):
            await asyncio.sleep(0.02)
        worker.stop()
        await run
    assert house.states(ids) == ["sending"], "whether it arrived is found out later"
    assert leases.holders(house.db, "") == []
    house.ministry.calm()
    finish(house)
    assert house.states(ids) == ["accepted"]
    assert house.ministry.posts(SEND) == 1


async def test_told_to_stop_while_a_package_goes_up_it_is_finished_by_the_next(house: House, worker: Start):
    configuring.change(house.office, house.admin, "batch_from", "3")
    client = await house.ready_client()
    ids = house.approved(client, *(papers.invoice(client.nip) for _ in range(4)))
    house.ministry.fault("late_answer", match={"method": "PUT", "path": "^/storage/batch/"}, params={"seconds": 1})
    process = worker()
    wait_for(lambda: house.ministry.struck("late_answer"))
    os.kill(process.pid, signal.SIGTERM)
    process.ends()
    later = house.approved(client, *(papers.invoice(client.nip) for _ in range(4)))
    finish(house)
    assert set(house.states(ids + later)) == {"accepted"}
    assert house.ministry.posts("POST /v2/sessions/batch") == 2
    assert len(house.ministry.numbered(client.nip)) == 8


async def test_told_to_stop_while_a_package_is_made_it_is_not_opened(house: House):
    configuring.change(house.office, house.admin, "batch_from", "3")
    client = await house.ready_client()
    ids = house.approved(client, *(papers.invoice(client.nip) for _ in range(120)))
    worker = Worker(house.office)
    run = asyncio.create_task(worker.run())
    async with asyncio.timeout(PATIENCE):
        while not house.db.value("SELECT 1 FROM session WHERE state = 'opening'"):
            await asyncio.sleep(0.005)
        worker.stop()
        await run
    assert house.ministry.posts("POST /v2/sessions/batch") == 0
    assert set(house.states(ids)) == {"approved"}
    assert not list((house.folder / "packages").glob("*"))
    await house.work()
    assert set(house.states(ids)) == {"accepted"}
    assert house.ministry.posts("POST /v2/sessions/batch") == 1


# ---- the unit


def unit_of(house: House, *, program: list[str] | None = None) -> str:
    return supervised.unit(house.office, house.admin, "root", program or [sys.executable, "-m", "ksef_tui"])


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd is not installed")
def test_systemd_takes_the_unit(house: House, tmp_path: Path):
    path = tmp_path / "ksef-tui.service"
    path.write_text(unit_of(house))
    done = subprocess.run(["systemd-analyze", "verify", str(path)], capture_output=True, text=True, timeout=60)
    assert (done.returncode, [line for line in done.stderr.splitlines() if path.name in line]) == (0, [])


def test_the_unit_is_printed_for_this_office(house: House):
    printed = subprocess.run(
        [sys.executable, "-m", "ksef_tui", "--data-dir", str(house.folder), "--operator", LOGIN, "worker", "--print-unit"],
        capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert (printed.returncode, printed.stderr) == (0, "")
    lines = printed.stdout.splitlines()
    assert f"ExecStart={sys.executable} -m ksef_tui --data-dir {house.folder} --operator {LOGIN} worker" in lines
    for line in ("Type=notify", "NoNewPrivileges=yes", "ProtectSystem=strict", f"ReadWritePaths={house.folder}"):
        assert line in lines
    assert "# LoadCredential=ksef-tui-passphrase:/etc/ksef-tui/passphrase" in lines


def test_what_systemd_would_read_as_more_than_a_word_is_quoted(house: House):
    unit = unit_of(house, program=["/opt/ksef tui/100%/$x", "-m", "ksef_tui"])
    assert 'ExecStart="/opt/ksef tui/100%%/$$x" -m ksef_tui' in unit


def test_with_a_passphrase_the_unit_loads_it(house: House):
    from ksef_tui.domain.secret import Secret
    from ksef_tui.services import vaulting

    vaulting.protect(house.office, house.admin, "passphrase", Secret("hasło biura"))
    assert "\nLoadCredential=ksef-tui-passphrase:/etc/ksef-tui/passphrase\n" in unit_of(house)
