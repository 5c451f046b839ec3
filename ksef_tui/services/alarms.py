"""What every screen says until it is mended: identities that have fallen out, and tokens that end with the year."""

from __future__ import annotations

import sqlite3
from datetime import UTC, date, datetime, time, timedelta

from ksef_tui.domain.roles import Operator
from ksef_tui.domain.text import count_of
from ksef_tui.domain.times import WARSAW, from_text, to_text, warsaw
from ksef_tui.services.office import Office
from ksef_tui.store import settings

_FALLEN = """
SELECT * FROM identity WHERE client_id IS NULL
AND (stopped_at IS NOT NULL OR revoked_at IS NOT NULL OR removed_at IS NOT NULL OR valid_to <= ?) ORDER BY id
"""
# Whom an identity still serves: not those that are about to change to another one.
SERVED = """
SELECT a.client_id FROM authorization a JOIN client c ON c.id = a.client_id
WHERE a.identity_id = ? AND a.method = 'certificate' AND a.state <> 'ended' AND c.archived_at IS NULL
AND NOT EXISTS (SELECT 1 FROM identity_switch w WHERE w.client_id = a.client_id) ORDER BY a.client_id
"""


def token_end(office: Office) -> datetime:
    """The moment after which tokens are dead by law (a setting), UTC."""
    last_day = date.fromisoformat(settings.get(office.db, "token_end"))
    return datetime.combine(last_day, time(23, 59, 59), WARSAW).astimezone(UTC)


def fallen(office: Office) -> list[tuple[sqlite3.Row, list[int]]]:
    """The office's identities that cannot log in any more, each with the clients that it leaves standing."""
    found = office.db.rows(_FALLEN, (to_text(office.clock()),))
    clients = [(one, [row[0] for row in office.db.rows(SERVED, (one["id"],))]) for one in found]
    return [(one, ids) for one, ids in clients if ids]


def reserve(office: Office) -> sqlite3.Row | None:
    """The identity that is kept ready to take over, when it can log in."""
    row = office.db.row(
        "SELECT * FROM identity WHERE reserve = 1 AND removed_at IS NULL AND revoked_at IS NULL AND stopped_at IS NULL"
    )
    return row if row is not None and from_text(row["valid_to"]) > office.clock() else None


def takeover(office: Office, operator: Operator) -> str:
    """The key that mends it, when an identity has fallen out and another that this operator may sign with is kept ready
    for it; else empty."""
    ready = reserve(office)
    if ready is not None and ready["operator_id"] not in (None, operator.id):
        return ""
    left = [ids for one, ids in fallen(office) if ready is not None and one["id"] != ready["id"]]
    if ready is None or not left:
        return ""
    clients = count_of(sum(map(len, left)), "klienta", "klientów", "klientów")
    return f"j: {ready['label']} przejmuje {clients}"


_RECONCILED = """
SELECT count(*) FROM client c JOIN authorization a ON a.client_id = c.id
WHERE c.reconcile_since IS NOT NULL AND c.office = 0 AND c.archived_at IS NULL AND a.state IN ('active', 'read_only', 'expiring')
"""


def reconciled(office: Office) -> str:
    """After a restored backup: whose invoices wait until KSeF was asked what went out since then (F6); else empty."""
    left: int = office.db.value(_RECONCILED)
    if not left:
        return ""
    return f"Po odtworzeniu kopii sprawdzam w KSeF, co już wysłano: {count_of(left, 'klient', 'klienci', 'klientów')}"


def tokens(office: Office) -> str:
    """How many clients still have a token, from 30 days (a setting) before tokens end; else empty."""
    end, now = token_end(office), office.clock()
    if end - now > timedelta(days=settings.get_int(office.db, "expiring_days")):
        return ""
    left: int = office.db.value(
        "SELECT count(*) FROM authorization a JOIN client c ON c.id = a.client_id "
        "WHERE a.method = 'token' AND a.state <> 'ended' AND c.archived_at IS NULL"
    )
    if not left:
        return ""
    said = "skończyły się" if end <= now else "kończą się"
    return (
        f"Tokeny KSeF {said} {warsaw(end):%d.%m}: ma je jeszcze {count_of(left, 'klient', 'klienci', 'klientów')} (g)"
    )
