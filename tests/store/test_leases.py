"""Leases: one owner at a time; a dead owner's lease is free at once, a living one's when it has run out (design §3)."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator

import pytest

from ksef_tui.store import leases
from ksef_tui.store.database import Database, open_database

NAME = "client:1"
HOLDER = """
import sys
from pathlib import Path
from ksef_tui.store import leases
from ksef_tui.store.database import open_database
db = open_database(Path(sys.argv[1]))
print(leases.take(db, sys.argv[2], 3600).fence, flush=True)
sys.stdin.read()
"""


@pytest.fixture
def holder(db: Database) -> Iterator[subprocess.Popen[str]]:
    """Another process that holds the lease for an hour."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(db.path), NAME], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout.readline() == "1\n"
    yield process
    if process.poll() is None:
        process.kill()
    process.communicate(timeout=30)


def test_nobody_takes_what_a_living_process_holds(db: Database, holder):
    assert leases.take(db, NAME, 60) is None
    assert leases.holders(db, "client:") == [NAME]
    assert leases.take(db, "client:2", 60) is not None


def test_a_killed_owners_lease_is_free_at_once_with_a_new_fence(db: Database, holder):
    holder.kill()
    holder.wait(30)
    assert leases.holders(db, "client:") == []
    lease = leases.take(db, NAME, 60)
    assert lease is not None
    assert lease.fence == 2


def test_the_lease_of_an_earlier_process_with_the_same_number_is_free(db: Database, holder):
    """Process numbers come again: the time of the start tells them apart."""
    with db.write() as connection:
        connection.execute("UPDATE lease SET pid_started = pid_started - 1")
    assert leases.take(db, NAME, 60) is not None


def test_a_lease_from_before_the_machine_started_is_free(db: Database, holder):
    with db.write() as connection:
        connection.execute("UPDATE lease SET boot_id = 'another run of the machine'")
    assert leases.take(db, NAME, 60) is not None


def test_a_lease_that_has_run_out_is_free_though_its_owner_lives(db: Database, holder):
    with db.write() as connection:
        connection.execute("UPDATE lease SET expires = ?", (leases.boot_seconds(),))
    assert leases.take(db, NAME, 60) is not None


def test_who_lost_a_lease_cannot_renew_or_release_it(db: Database):
    mine = leases.take(db, NAME, 60)
    with db.write() as connection:
        connection.execute("UPDATE lease SET expires = 0")
    other = open_database(db.path)
    taken = leases.take(other, NAME, 60)
    assert taken.fence == mine.fence + 1
    assert leases.renew(db, mine, 60) is None
    leases.release(db, mine)
    assert leases.take(db, NAME, 60) is None, "the loser gave away what is not its own"
    assert leases.renew(other, taken, 60) is not None
    other.close()


def test_a_renewed_lease_lasts_longer_and_keeps_its_fence(db: Database):
    lease = leases.take(db, NAME, 10)
    longer = leases.renew(db, lease, 1000)
    assert longer.fence == lease.fence
    assert longer.expires - lease.expires > 900


def test_a_released_lease_is_free_at_once_also_for_its_owner(db: Database):
    lease = leases.take(db, NAME, 60)
    assert leases.take(db, NAME, 60) is None, "the holder itself is no exception: two tasks share a process"
    leases.release(db, lease)
    again = leases.take(db, NAME, 60)
    assert again.fence == lease.fence + 1


def test_a_process_is_known_by_number_and_start(db: Database):
    me = leases.started_ticks(os.getpid())
    assert leases.is_alive(os.getpid(), me, leases.boot_id())
    assert not leases.is_alive(os.getpid(), me + 1, leases.boot_id())
    assert not leases.is_alive(os.getpid(), me, "another")
    child = subprocess.Popen([sys.executable, "-c", ""])
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    assert leases.started_ticks(child.pid) is None, "a zombie holds nothing"
    child.wait(30)
