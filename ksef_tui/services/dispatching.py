"""What is due goes out: which invoices, one by one or in a package (design §6 rule 10)."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from datetime import datetime, time, timedelta

from ksef_tui.domain.authorizations import CAN_SEND, AuthState
from ksef_tui.domain.dispatching import Due, Way, way
from ksef_tui.domain.times import WARSAW, polish_day
from ksef_tui.ksef import operations
from ksef_tui.ksef.api import Access
from ksef_tui.ksef.http import Order
from ksef_tui.ksef.limits import limit_for
from ksef_tui.ksef.packages import MOST_INVOICES, Compression
from ksef_tui.services import batches, login, personal, reconciling, sending, verdicts
from ksef_tui.services.standing import AFTER_A_FAILURE, UNPACKED, refused_until
from ksef_tui.services.turn import Turn
from ksef_tui.store import authorizations, invoices, pauses, sessions, settings


async def dispatch(turn: Turn) -> None:
    """Send what is due. Raises NotNow, NoAccess and KsefError; each invoice says for itself what became of it."""
    await batches.go_on(turn)
    await reconciling.reconcile(turn)
    if turn.settling or pauses.in_force(turn.office.db, turn.client_id) is not None:
        return
    owner = personal.sends_for(turn.office, turn.client_id)
    due = invoices.due_to_send(turn.office.db, turn.client_id, turn.now, MOST_INVOICES, owner)
    if not due:
        return
    access = await login.access_for(turn)
    if AuthState(authorizations.get(turn.office.db, turn.client_id)["state"]) not in CAN_SEND:
        return
    if turn.keeper.limits_are_stale(turn.nip):  # a day old, or KSeF has just said that they are others
        await verdicts.read_limits(turn, access)
    urgent = [row for row in due if row["urgent_at"]]
    rest = [row for row in due if not row["urgent_at"]]
    for rows in (urgent, rest):  # what a person marked goes before the rest and apart from it
        if rows and not turn.settling:
            await _send(turn, access, rows)


async def _send(turn: Turn, access: Access, due: Sequence[sqlite3.Row]) -> None:
    """Send these the way that is right for so many."""
    attached = [row for row in due if row["attachment"]]  # facts §11: they go only in packages
    others = [row for row in due if not row["attachment"]]
    if attached and _package_possible(turn):
        await batches.send_package(turn, access, _fitting(attached), _compression(turn))
    elif others and way(_what_is_due(turn, others), settings.get_int(turn.office.db, "batch_from")) is Way.BATCH:
        await batches.send_package(turn, access, _fitting(due), _compression(turn))
    elif others:
        await sending.send(turn, access, others)


def _what_is_due(turn: Turn, due: Sequence[sqlite3.Row]) -> Due:
    known = limit_for(operations.SEND_INVOICE.group, turn.keeper.limits_of(turn.nip))
    today = any(row["issue_date"] == polish_day(turn.now).isoformat() for row in due)
    return Due(
        count=len(due),
        single=turn.keeper.left(Order(operations.SEND_INVOICE, context=turn.nip).call()),
        packages=_package_possible(turn),
        until_midnight=_until_midnight(turn.now) if today else None,
        per_minute=known.per_minute if known.per_minute >= 0 else MOST_INVOICES,
        urgent=bool(due[0]["urgent_at"]),
    )


def _until_midnight(now: datetime) -> float:
    tomorrow = polish_day(now) + timedelta(days=1)
    return (datetime.combine(tomorrow, time(), WARSAW) - now).total_seconds()


def _package_possible(turn: Turn) -> bool:
    """Whether a package may be opened now and closed after it, and KSeF has not just refused one."""
    return (
        refused_until(turn.office, turn.client_id, turn.now) is None
        and turn.keeper.left(Order(operations.OPEN_BATCH, context=turn.nip).call()) >= 2
    )


def _compression(turn: Turn) -> Compression:
    since = turn.now - AFTER_A_FAILURE
    return "Zip" if sessions.has_ended(turn.office.db, turn.client_id, UNPACKED, "TarGz", since) else "TarGz"


def _fitting(rows: Sequence[sqlite3.Row]) -> list[sqlite3.Row]:
    """As many as one package takes, the oldest first."""
    fitting: list[sqlite3.Row] = []
    size = 0
    for row in rows:
        size += row["size"]
        if fitting and size > batches.LARGEST_PACKAGE:
            break
        fitting.append(row)
    return fitting
