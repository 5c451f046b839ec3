"""The daily probe: each client whose login stands or stood is asked about once a day, spread over the day (F28, F37).

A client's moment of the day is its own for good; a machine that slept makes up for it one by one. Any number of
workers may run: who takes a client up writes it down first.
"""

from __future__ import annotations

import hashlib
import sqlite3
from datetime import datetime, timedelta

from ksef_tui.domain.authorizations import AuthMethod, AuthState, effective
from ksef_tui.domain.times import from_text
from ksef_tui.ksef.codes import auth_code
from ksef_tui.ksef.errors import Limited
from ksef_tui.services import identity_rules, login
from ksef_tui.services.calls import NotNow
from ksef_tui.services.office import Office
from ksef_tui.services.turn import Turn
from ksef_tui.services.verdicts import CERTIFICATE_CODES
from ksef_tui.store import authorizations, probes, settings
from ksef_tui.store.records import audit

APART = timedelta(seconds=12)  # between two probes of this office: never more than five a minute
AFTER_WEATHER = timedelta(hours=1)
DAY = 24 * 3600
_PROBED = frozenset(
    {
        AuthState.ACTIVE, AuthState.EXPIRING, AuthState.READ_ONLY, AuthState.NO_PERMISSION, AuthState.REQUESTED,
        AuthState.BLOCKED, AuthState.FAILED,
    }
)  # fmt: skip


def next_slot(nip: str, after: datetime) -> datetime:
    """The first moment after `after` that is this client's own in its day (UTC)."""
    seconds = int.from_bytes(hashlib.sha256(nip.encode()).digest()[:4]) % DAY
    slot = after.replace(hour=0, minute=0, second=0, microsecond=0) + timedelta(seconds=seconds)
    return slot if slot > after else slot + timedelta(days=1)


def next_due(office: Office) -> int | None:
    """The client to be asked about now, if any: the one that has waited longest. None while a person waits for something
    of their own, right after another probe, and when probes are switched off."""
    now = office.clock()
    if settings.get(office.db, "probe") != "1" or _somebody_waits(office):
        return None
    newest = probes.newest(office.db)
    if newest is not None and timedelta(0) <= now - from_text(newest) < APART:
        return None
    days = settings.get_int(office.db, "expiring_days")
    waiting = [
        (due, row["client_id"])
        for row in probes.candidates(office.db)
        if (due := _due_at(row)) <= now and _may_be_probed(row, now, days)
    ]
    return min(waiting)[1] if waiting else None


async def probe(turn: Turn) -> None:
    """Ask KSeF about this client's login, if it is still its turn. What is learned is what a check would learn."""
    now = turn.now
    with turn.office.db.write() as connection:
        if next_due(turn.office) != turn.client_id:
            return
        probes.start(connection, turn.client_id, now, next_slot(turn.nip, now))
    row = authorizations.get(turn.office.db, turn.client_id)
    try:
        answered = await login.look(turn, row)
    except (NotNow, Limited):
        answered = False
    with turn.office.db.write() as connection:
        if not answered:  # nothing is known, nothing is changed: another look the same day
            probes.put_off(connection, turn.client_id, now + AFTER_WEATHER)
        audit(connection, turn.now, None, "auth.probe", client_id=turn.client_id, answered=answered)


def _somebody_waits(office: Office) -> bool:
    return bool(office.db.value("SELECT 1 FROM authorization WHERE intent <> '' OR state = 'running' LIMIT 1"))


def _due_at(row: sqlite3.Row) -> datetime:
    """After the last look, whoever looked, at the client's own moment; after weather when it was put off to."""
    own = next_slot(row["nip"], from_text(row["checked_at"] or row["changed_at"]))
    return max(own, from_text(row["due_at"])) if row["due_at"] else own


def _may_be_probed(row: sqlite3.Row, now: datetime, warn_days: int) -> bool:
    """Whether a look makes sense, and can be made without a person."""
    until = from_text(row["valid_until"]) if row["valid_until"] else None
    state = effective(AuthState(row["state"]), until, now, warn_days, row["method"])
    if state not in _PROBED or (state is AuthState.FAILED and not _failed_by_weather(row["reason_code"])):
        return False
    if row["method"] == AuthMethod.TOKEN:
        return True
    can_refresh = row["refresh_until"] is not None and from_text(row["refresh_until"]) > now
    if row["method"] == AuthMethod.EXTERNAL:
        return can_refresh
    if row["identity_id"] is None or row["removed_at"] is not None or row["revoked_at"] is not None:
        return False
    if row["stopped_at"] is not None or from_text(row["valid_to"]) <= now:
        return False
    return can_refresh or not identity_rules.is_personal(row)


def _failed_by_weather(code: str) -> bool:
    """Whether a failed login said nothing lasting (`verdicts.is_weather`; F41)."""
    return code in ("unreachable", "timeout", *CERTIFICATE_CODES) or (
        code.isdigit() and not auth_code(int(code)).lasting
    )
