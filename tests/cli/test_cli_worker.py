"""`worker --until-idle` and `--timeout`, word for word as the contract has them, by real processes."""

from __future__ import annotations

import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest
from cli_office import process
from support import papers
from support.houses import LOGIN, House
from support.ministry import SENDING

from ksef_tui.domain.roles import Role
from ksef_tui.services import backups, configuring
from ksef_tui.store import leases


def idle(house: House, *more: str) -> subprocess.CompletedProcess[bytes]:
    return process("--data-dir", str(house.folder), "--operator", LOGIN, "worker", "--until-idle", *more)


def well(done: subprocess.CompletedProcess[bytes]) -> None:
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")


async def test_nothing_to_do_is_idle_at_once(house: House):
    await house.ready_client()
    well(idle(house))


async def test_the_time_to_recall_is_waited_out(house: House):
    client = await house.ready_client()
    configuring.change(house.office, house.admin, "recall_seconds", "2")
    ids = house.approved(client)
    well(idle(house))
    assert house.states(ids) == ["accepted"] and house.invoice(ids[0])["upo"] == "saved"


async def test_a_rest_that_ksef_asks_for_is_waited_out(house: House):
    client = await house.ready_client()
    ids = house.approved(client)
    house.ministry.fault("rate_limited", times=1, match=SENDING, params={"retry_after": 5})
    well(idle(house))
    assert house.states(ids) == ["accepted"]


async def test_what_another_holds_is_waited_for(house: House):
    """It lives, so its lease counts; when its time is over the work goes on."""
    client = await house.ready_client()
    ids = house.approved(client)
    other = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    try:
        house.edit(
            "INSERT OR REPLACE INTO lease VALUES (?, ?, ?, ?, ?, 99)",
            f"client:{client.id}", other.pid, leases.started_ticks(other.pid), leases.boot_id(), leases.boot_seconds() + 3,
        )  # fmt: skip
        well(idle(house))
    finally:
        other.kill()
        other.communicate()
    assert house.states(ids) == ["accepted"]


async def test_what_ksef_judges_for_long_is_waited_for_and_the_time_that_was_given_is_kept(house: House):
    client = await house.ready_client()
    ids = house.approved(client)
    house.ministry.fault("stuck")
    done = idle(house, "--timeout", "3")
    assert (done.returncode, done.stdout) == (1, b"")
    [line] = done.stderr.decode().splitlines()
    assert line == "Nie wszystko zostało zrobione w wyznaczonym czasie."
    assert house.states(ids) == ["processing"]
    assert leases.holders(house.db, "") == [], "it left in order"


async def test_a_call_that_hangs_does_not_outlast_the_time_by_much(house: House):
    client = await house.ready_client()
    ids = house.approved(client)
    house.ministry.fault("hang", match=SENDING, params={"seconds": 600})
    done = idle(house, "--timeout", "1")  # `process` itself gives up after a minute
    assert done.returncode == 1
    assert house.states(ids) == ["sending"], "whether it arrived is found out by the next worker"


async def test_without_time_nothing_is_begun(house: House):
    client = await house.ready_client()
    ids = house.approved(client)
    assert idle(house, "--timeout", "0").returncode == 1
    assert house.states(ids) == ["approved"]


@pytest.mark.parametrize("text", ["-1", "szybko", ""])
def test_a_time_that_is_none_is_wrong_usage(house: House, text: str):
    assert idle(house, "--timeout", text).returncode == 2


async def test_who_cannot_send_does_not_count_and_is_listed(house: House):
    """Without a working authorisation, paused, or approved by nobody who may: on stderr, one line each, and 0."""
    works, asks, paused = await house.ready_client(), house.client(name="Sosna Próbna"), await house.ready_client()
    ids = house.approved(works) + house.approved(asks, papers.invoice(asks.nip), papers.invoice(asks.nip))
    ids += house.approved(paused)
    stopped = process(
        "--data-dir", str(house.folder), "--operator", LOGIN, "queue", "pause", paused.nip, "--why", "urlop"
    )
    assert stopped.returncode == 0, stopped.stderr
    done = idle(house)
    assert (done.returncode, done.stdout) == (0, b"")
    assert house.states(ids) == ["accepted", "approved", "approved", "approved"]
    lines = sorted(done.stderr.decode().splitlines())
    assert len(lines) == 2
    assert any(asks.nip in line and ": 2 czeka" in line for line in lines)
    assert any(paused.nip in line and ": 1 czeka" in line for line in lines)


async def test_after_a_backup_idle_means_that_ksef_was_asked(house: House, tmp_path: Path):
    await house.ready_client()
    copy = tmp_path / "kopia.db"
    backups.backup(house.office, house.admin, copy)
    backups.restore(house.folder, LOGIN, copy, datetime.now(UTC))
    house.ministry.fault("html_5xx", times=2, match={"method": "GET", "path": "^/v2/sessions$"})
    well(idle(house))
    assert house.db.value("SELECT count(*) FROM client WHERE reconcile_since IS NOT NULL AND office = 0") == 0


def test_an_operator_of_a_client_is_no_worker(house: House):
    house.operator("firma", Role.CLIENT, house.client())
    done = process("--data-dir", str(house.folder), "--operator", "firma", "worker", "--until-idle")
    assert done.returncode == 1
