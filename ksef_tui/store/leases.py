"""Leases: who works for a client right now.

A lease belongs to a process (its number, its start time and the boot of the machine), so that a dead owner's lease
is free at once, and ends by CLOCK_BOOTTIME, which neither jumps nor stops while the machine sleeps (design §3).
"""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from ksef_tui.store.database import Database


@dataclass(frozen=True, slots=True)
class Lease:
    """A lease held. `fence` grows with every new owner of the name."""

    name: str
    fence: int
    expires: float  # seconds of CLOCK_BOOTTIME


def boot_seconds() -> float:
    """Seconds since the machine started, sleep included."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


@cache
def boot_id() -> str:
    """The name of this run of the machine."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return "unknown"


def started_ticks(pid: int) -> int | None:
    """When a process started, in clock ticks since boot; None when there is no such process (or it is a zombie)."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return None if fields[0] in "ZX" else int(fields[19])


def is_stopped(pid: int) -> bool:
    """Whether a process stands still (SIGSTOP, a debugger): it lives, and does nothing."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] in "Tt"
    except OSError:
        return False


def is_alive(pid: int, started: int, boot: str) -> bool:
    """Whether the process that took a lease still runs."""
    return boot == boot_id() and started_ticks(pid) == started


def take(db: Database, name: str, seconds: float) -> Lease | None:
    """The lease `name` for `seconds`, or None while a living process holds it. The holder itself gets None too."""
    me, my_start, boot = os.getpid(), started_ticks(os.getpid()) or 0, boot_id()
    expires = boot_seconds() + seconds
    with db.write() as connection:
        held = connection.execute("SELECT * FROM lease WHERE name = ?", (name,)).fetchone()
        if (
            held is not None
            and held["expires"] > boot_seconds()
            and is_alive(held["pid"], held["pid_started"], held["boot_id"])
        ):
            return None
        fence = 1 if held is None else held["fence"] + 1
        connection.execute(
            "INSERT INTO lease VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT (name) DO UPDATE SET pid = excluded.pid, "
            "pid_started = excluded.pid_started, boot_id = excluded.boot_id, expires = excluded.expires, fence = excluded.fence",
            (name, me, my_start, boot, expires, fence),
        )
    return Lease(name, fence, expires)


def renew(db: Database, lease: Lease, seconds: float) -> Lease | None:
    """The same lease for `seconds` from now, or None when it is no longer ours."""
    expires = boot_seconds() + seconds
    with db.write() as connection:
        changed = connection.execute(
            "UPDATE lease SET expires = ? WHERE name = ? AND fence = ? AND pid = ?",
            (expires, lease.name, lease.fence, os.getpid()),
        )
        return Lease(lease.name, lease.fence, expires) if changed.rowcount else None


def release(db: Database, lease: Lease) -> None:
    """Give the lease back; nothing happens when it is no longer ours."""
    with db.write() as connection:
        connection.execute(
            "UPDATE lease SET expires = 0, pid = 0 WHERE name = ? AND fence = ? AND pid = ?",
            (lease.name, lease.fence, os.getpid()),
        )


def holders(db: Database, prefix: str) -> list[str]:
    """The names that begin with `prefix` and are held by living processes now."""
    now = boot_seconds()
    rows = db.rows("SELECT * FROM lease WHERE name >= ? AND name < ? AND expires > ?", (prefix, prefix + "\uffff", now))
    return [r["name"] for r in rows if is_alive(r["pid"], r["pid_started"], r["boot_id"])]


def held_by(db: Database, name: str) -> int | None:
    """The number of the living process that holds this lease; None when nobody does."""
    row = db.row("SELECT * FROM lease WHERE name = ? AND expires > ?", (name, boot_seconds()))
    return row["pid"] if row is not None and is_alive(row["pid"], row["pid_started"], row["boot_id"]) else None


def overdue(db: Database) -> list[str]:
    """Leases of clients that this process took, neither renewed in time nor gave back: whoever works under one is stuck."""
    rows = db.rows(
        "SELECT name FROM lease WHERE pid = ? AND name LIKE 'client:%' AND expires > 0 AND expires < ?",
        (os.getpid(), boot_seconds()),
    )
    return [row["name"] for row in rows]
