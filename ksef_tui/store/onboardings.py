"""Clients that sign at the office's desk: one row each for how far it came; and the logins in the clients' own names."""

from __future__ import annotations

import sqlite3
from datetime import datetime
from typing import Any

from ksef_tui.domain.onboarding import OnboardingStep
from ksef_tui.domain.times import to_text
from ksef_tui.store.columns import assignments
from ksef_tui.store.database import Database

_COLUMNS = frozenset({"step", "step_at", "session", "granting_at", "operation", "reason_code", "reason"})
_SESSION_COLUMNS = frozenset({"sealed_access", "access_until", "end_at"})


def get(db: Database, client_id: int) -> sqlite3.Row | None:
    """A client's onboarding; None when there is none."""
    return db.row("SELECT * FROM onboarding WHERE client_id = ?", (client_id,))


def put(connection: sqlite3.Connection, now: datetime, client_id: int, *, identity_id: int, operator_id: int) -> None:
    """A new onboarding, which begins with a signature."""
    connection.execute(
        "INSERT INTO onboarding (client_id, identity_id, operator_id, step, step_at) VALUES (?, ?, ?, ?, ?)",
        (client_id, identity_id, operator_id, OnboardingStep.SIGN, to_text(now)),
    )


def note(connection: sqlite3.Connection, seen: sqlite3.Row, **values: Any) -> bool:
    """Write down how far it came; False when it is not where it was `seen` any more."""
    columns = assignments(values, _COLUMNS)
    cursor = connection.execute(
        f"UPDATE onboarding SET {columns} WHERE client_id = ? AND step = ? AND session = ?",
        (*values.values(), seen["client_id"], seen["step"], seen["session"]),
    )
    return cursor.rowcount == 1


def drop(connection: sqlite3.Connection, now: datetime, client_id: int) -> None:
    """Give an onboarding up, whatever step it is at; the client's login is to be ended at KSeF (F32)."""
    end_session(connection, now, client_id)
    connection.execute("DELETE FROM onboarding WHERE client_id = ?", (client_id,))


def judged(
    connection: sqlite3.Connection,
    now: datetime,
    client_id: int,
    identity_id: int | None,
    *,
    finishing: bool,
    works: bool,
    reason_code: str,
    reason: str,
) -> None:
    """A login was judged, at the end of an authorisation (`finishing`) or by a check. Once the rights are granted the
    client's own login serves for nothing more, however the office's went; and when that works, the aim is reached.
    What has reached it is kept for the screen until the next check."""
    row = connection.execute("SELECT step, identity_id FROM onboarding WHERE client_id = ?", (client_id,)).fetchone()
    if row is None:
        return
    if row["step"] == OnboardingStep.END:
        if not finishing:  # it is history now
            connection.execute("DELETE FROM onboarding WHERE client_id = ?", (client_id,))
        return
    granted = row["step"] == OnboardingStep.AUTHORISE
    if not (row["identity_id"] == identity_id if granted else finishing):
        return
    if granted:
        end_session(connection, now, client_id)
    connection.execute(
        "UPDATE onboarding SET step = ?, reason_code = ?, reason = ? WHERE client_id = ?",
        (OnboardingStep.END if granted and works else row["step"], reason_code, reason, client_id),
    )


# ---- the clients' own logins


def keep_session(
    connection: sqlite3.Connection,
    client_id: int,
    reference: str,
    *,
    signer: str,
    sealed_access: bytes,
    access_until: datetime,
    sealed_refresh: bytes,
    refresh_until: datetime,
    end_at: datetime | None,
) -> None:
    """A login in the client's own name; `reference` is KSeF's, and its secrets are sealed to it."""
    connection.execute(
        "INSERT INTO client_session VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        (
            reference, client_id, signer, sealed_access, to_text(access_until), sealed_refresh, to_text(refresh_until),
            None if end_at is None else to_text(end_at),
        ),
    )  # fmt: skip


def session(db: Database, reference: str) -> sqlite3.Row | None:
    """A client's own login; None when it has been ended or its time is over."""
    return db.row("SELECT * FROM client_session WHERE reference = ?", (reference,))


def note_session(connection: sqlite3.Connection, reference: str, **values: Any) -> None:
    """Write down what became of a login's access token, or when to try next to end it."""
    columns = assignments(values, _SESSION_COLUMNS)
    connection.execute(f"UPDATE client_session SET {columns} WHERE reference = ?", (*values.values(), reference))


def end_session(connection: sqlite3.Connection, now: datetime, client_id: int) -> None:
    """Ask for the end of the client's own logins at KSeF."""
    connection.execute(
        "UPDATE client_session SET sealed_access = NULL, access_until = NULL, end_at = ? "
        "WHERE client_id = ? AND end_at IS NULL",
        (to_text(now), client_id),
    )


def to_end(db: Database, client_id: int, now: datetime) -> list[sqlite3.Row]:
    """The client's own logins that are to be ended now, or whose time is over."""
    return db.rows(
        "SELECT * FROM client_session WHERE client_id = :client AND (end_at <= :now OR refresh_until <= :now)",
        {"client": client_id, "now": to_text(now)},
    )


def forget_session(connection: sqlite3.Connection, reference: str) -> None:
    """Destroy a login's tokens."""
    connection.execute("DELETE FROM client_session WHERE reference = ?", (reference,))
