"""Runs over many clients: one row for the run, one for each client in it. Every change names the state it leaves."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

from ksef_tui.domain.times import to_text
from ksef_tui.store.columns import assignments
from ksef_tui.store.database import Database

# A client of a run that a person should look at: refused, or ended without a working authorisation, or with a remark.
# A service that has ended and whose rights are gone is as it should be.
ATTENTION = (
    "(b.state = 'refused' OR (b.state = 'done' "
    "AND (b.outcome NOT IN ('active', 'expiring', 'ended') OR b.reason_code <> '')))"
)


def insert(connection: sqlite3.Connection, now: datetime, kind: str, operator_id: int, identity_id: int | None) -> int:
    """A new run's id."""
    cursor = connection.execute(
        "INSERT INTO bulk_run (kind, operator_id, identity_id, begun_at) VALUES (?, ?, ?, ?)",
        (kind, operator_id, identity_id, to_text(now)),
    )
    return int(cursor.lastrowid or 0)


def open_runs(db: Database) -> list[sqlite3.Row]:
    """The runs that have not ended, oldest first."""
    return db.rows("SELECT * FROM bulk_run WHERE ended_at IS NULL ORDER BY id")


def run(db: Database, run_id: int) -> sqlite3.Row | None:
    """One run with the names of who asked and with what."""
    return db.row(_RUNS + " WHERE r.id = ?", (run_id,))


def newest(db: Database) -> sqlite3.Row | None:
    """The run that was begun last."""
    return db.row(_RUNS + " ORDER BY r.id DESC LIMIT 1")


_RUNS = (
    "SELECT r.*, o.name AS who, coalesce(i.label, '') AS identity_label FROM bulk_run r "
    "JOIN operator o ON o.id = r.operator_id LEFT JOIN identity i ON i.id = r.identity_id"
)


def add(
    connection: sqlite3.Connection,
    now: datetime,
    run_id: int,
    operator_id: int,
    clients: Iterable[tuple[int, str]],
) -> int:
    """Put clients into a run, each with a reason to skip it (empty: none); how many were not in it before."""
    first = connection.execute("SELECT count(*) FROM bulk_client WHERE run_id = ?", (run_id,)).fetchone()[0]
    values = [
        (
            run_id,
            client_id,
            first + n,
            operator_id,
            "skipped" if reason else "waiting",
            to_text(now) if reason else None,
            reason,
        )
        for n, (client_id, reason) in enumerate(clients)
    ]
    cursor = connection.executemany(
        "INSERT OR IGNORE INTO bulk_client (run_id, client_id, place, operator_id, state, ended_at, reason) "
        "VALUES (?, ?, ?, ?, ?, ?, ?)",
        values,
    )
    return int(cursor.rowcount)


def asked(db: Database, run_id: int | None = None) -> list[sqlite3.Row]:
    """The clients whose intent stands (of one run, or of all open runs), with their authorisation as it is now."""
    return db.rows(
        "SELECT b.*, a.intent, a.state AS auth_state, a.valid_until, a.method, a.reason_code AS auth_code, a.reason AS auth_reason "
        "FROM bulk_run r JOIN bulk_client b ON b.run_id = r.id AND b.state = 'asked' "
        "JOIN authorization a ON a.client_id = b.client_id "
        "WHERE r.ended_at IS NULL AND (:run IS NULL OR r.id = :run) ORDER BY b.run_id, b.place",
        {"run": run_id},
    )


def waiting(db: Database, run_id: int, limit: int) -> list[sqlite3.Row]:
    """The next clients of a run for whom nothing else is under way, those tried least first."""
    return db.rows(
        "SELECT b.* FROM bulk_client b JOIN authorization a ON a.client_id = b.client_id "
        "WHERE b.run_id = ? AND b.state = 'waiting' AND a.intent = '' ORDER BY b.attempts, b.place LIMIT ?",
        (run_id, limit),
    )


def held_up(db: Database, run_id: int, limit: int) -> list[int]:
    """Clients of a run that wait because something else was asked for them."""
    rows = db.rows(
        "SELECT b.client_id FROM bulk_client b JOIN authorization a ON a.client_id = b.client_id "
        "WHERE b.run_id = ? AND b.state = 'waiting' AND a.intent <> '' ORDER BY b.place LIMIT ?",
        (run_id, limit),
    )
    return [row[0] for row in rows]


def move(connection: sqlite3.Connection, run_id: int, client_id: int, old: str, new: str, **values: Any) -> bool:
    """Take a client of a run from `old` to `new`; False when it is not in `old` any more."""
    columns = assignments(values, ("attempts", "asked_at", "ended_at", "outcome", "reason_code", "reason"), "state")
    cursor = connection.execute(
        f"UPDATE bulk_client SET {columns} WHERE run_id = ? AND client_id = ? AND state = ?",
        (new, *values.values(), run_id, client_id, old),
    )
    return cursor.rowcount == 1


def end_waiting(connection: sqlite3.Connection, now: datetime, run_id: int, new: str, code: str, reason: str) -> int:
    """All that still wait end without having been asked; how many."""
    cursor = connection.execute(
        "UPDATE bulk_client SET state = ?, ended_at = ?, reason_code = ?, reason = ? WHERE run_id = ? AND state = 'waiting'",
        (new, to_text(now), code, reason, run_id),
    )
    return cursor.rowcount


def note(connection: sqlite3.Connection, run_id: int, **values: Any) -> None:
    """Change what is known of a run: ended_at, stopped_by, silent_since, next_probe."""
    columns = assignments(values, ("ended_at", "stopped_by", "silent_since", "next_probe"))
    connection.execute(f"UPDATE bulk_run SET {columns} WHERE id = ?", (*values.values(), run_id))


def is_over(db: Database, run_id: int) -> bool:
    """Whether nobody in the run waits or is being asked."""
    return (
        db.row("SELECT 1 FROM bulk_client WHERE run_id = ? AND state IN ('waiting', 'asked') LIMIT 1", (run_id,))
        is None
    )


def counts(db: Database, run_id: int) -> list[sqlite3.Row]:
    """How many clients of a run ended how: (state, outcome, attention, n)."""
    return db.rows(
        f"SELECT b.state, b.outcome, {ATTENTION} AS attention, count(*) AS n FROM bulk_client b WHERE b.run_id = ? "
        "GROUP BY 1, 2, 3",
        (run_id,),
    )


def members(db: Database, run_id: int, *, attention: bool = False) -> list[sqlite3.Row]:
    """The clients of a run in its order (`attention`: only those that a person should look at)."""
    more = f"AND {ATTENTION}" if attention else ""
    return db.rows(
        f"SELECT b.*, c.name, c.nip, {ATTENTION} AS attention FROM bulk_client b "
        f"JOIN client c ON c.id = b.client_id WHERE b.run_id = ? {more} "
        "ORDER BY b.place",
        (run_id,),
    )


def skipped(db: Database, run_id: int, client_ids: Sequence[int]) -> dict[str, int]:
    """Why how many of these clients were passed over."""
    wanted = set(client_ids)
    found: dict[str, int] = {}
    for row in db.rows("SELECT client_id, reason FROM bulk_client WHERE run_id = ? AND state = 'skipped'", (run_id,)):
        if row["client_id"] in wanted:
            found[row["reason"]] = found.get(row["reason"], 0) + 1
    return found
