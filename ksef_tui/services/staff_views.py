"""Employees' rights as screens and commands show them: not what KSeF lists, but what of it works (F28).

What is known newest counts: the lists that were read last, or a login in the client's context after that.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from ksef_tui.domain.authorizations import AuthMethod, AuthState
from ksef_tui.domain.problems import Problem
from ksef_tui.domain.roles import Act, Operator, require
from ksef_tui.domain.staff import (
    ORDER_LABELS,
    PENDING,
    SCOPES,
    Effect,
    OrderState,
    Received,
    Working,
    letters,
    masked,
    working,
)
from ksef_tui.domain.text import alphabetical
from ksef_tui.domain.times import from_text, polish_day
from ksef_tui.services import staff as asking
from ksef_tui.services.office import Office
from ksef_tui.store import leases, offices, staff

ALL = ""  # the target of a right to all clients


@dataclass(frozen=True, slots=True)
class StaffRow:
    """What one person was given for one client, or for all (`nip` empty), and what of it works.

    For all clients `working` is None, and `works_at` of `clients` tells at how many it works.
    """

    person_id: int
    name: str
    subject: str  # masked
    operator: str  # name of the operator who uses the program with this person's certificate, or empty
    nip: str
    client: str
    general: bool  # by a right to all clients
    single: bool  # by a right to this client alone
    given: frozenset[str]
    working: Working | None
    works_at: int
    clients: int
    since: datetime | None
    pending: str  # Polish: what is asked for and not settled

    @property
    def words(self) -> str:
        """`W P`, why nothing works, or at how many clients it does."""
        if self.working is not None:
            return self.working.words
        return f"działa u {self.works_at} z {self.clients} klientów" if self.given else ""


@dataclass(frozen=True, slots=True)
class StaffStatus:
    """What the lists rest on: when they were read, whether KSeF gave an empty one, what is under way, what is wrong."""

    read_at: datetime | None
    empty: bool
    pending: int
    trouble: str  # Polish; empty when rights can be given
    failed: str  # the newest order, when it came to nothing, and why; Polish
    working: bool  # whether somebody carries orders out


@dataclass(frozen=True, slots=True)
class _Login:
    """What a login in a client's context taught."""

    at: datetime
    by: tuple[str, str]
    state: AuthState
    rights: frozenset[str]
    withdrawn: bool


def status(office: Office, operator: Operator) -> StaffStatus:
    """Where the lists stand."""
    require(operator, Act.STAFF_SEE, None)
    read = staff.last_read(office.db)
    try:
        asking.refuse_without_right(office)
        trouble = staff.last_failed_read(office.db)
    except Problem as problem:
        trouble = problem.message
    return StaffStatus(
        read_at=from_text(read["read_at"]) if read is not None else None,
        empty=bool(read is not None and read["empty"]),
        pending=len(staff.pending(office.db)),
        trouble=trouble,
        failed=_newest_failure(office),
        working=bool(leases.holders(office.db, "worker:")),
    )


def _newest_failure(office: Office) -> str:
    newest = staff.orders(office.db, 1)
    if not newest or newest[0]["state"] != OrderState.FAILED:
        return ""
    row = newest[0]
    client = offices.client_by_nip(office.db, row["target_nip"]) if row["target_nip"] else None
    where = client["name"] if client is not None else row["target_nip"] or "wszyscy klienci"
    return f"{_what(row)} – {row['first_name']} {row['last_name']}, {where}: {row['reason']}"


def people(office: Office, operator: Operator) -> list[StaffRow]:
    """Everybody with everything they were given: a row for each client named, and one for all clients."""
    require(operator, Act.STAFF_SEE, None)
    knowledge = _Knowledge(office)
    return [row for person in staff.people(office.db) for row in knowledge.targets(person)]


def at_client(office: Office, operator: Operator, client_id: int) -> list[StaffRow]:
    """Who of the office may do what for one client, also by a right to all."""
    require(operator, Act.STAFF_SEE, client_id)
    client = offices.client(office.db, client_id)
    if client is None:
        raise Problem("unknown_client", "Nie ma takiego klienta.")
    knowledge = _Knowledge(office)
    rows = [knowledge.there(person, client["nip"]) for person in staff.people(office.db)]
    return [row for row in rows if row.given or row.pending]


def of_person(office: Office, operator: Operator, person_id: int) -> list[StaffRow]:
    """What one person may do at each client where anything was given, those where it does not work first.

    Raises Problem for an unknown person.
    """
    require(operator, Act.STAFF_SEE, None)
    knowledge = _Knowledge(office)
    found = [person for person in staff.people(office.db) if person["id"] == person_id]
    if not found:
        raise Problem("unknown_person", asking.UNKNOWN.format(person_id=person_id))
    rows = [knowledge.there(person, nip) for person in found for nip in knowledge.nips(person)]
    shown = [row for row in rows if row.given or row.pending]
    return sorted(shown, key=lambda row: (bool(row.working and row.working.scopes), alphabetical(row.client)))


def orders(office: Office, operator: Operator, limit: int) -> list[dict[str, Any]]:
    """What was asked for, newest first: codes for scripts, words for people."""
    require(operator, Act.STAFF_SEE, None)
    return [
        {
            "order": row["id"],
            "act": row["act"],
            "person": row["person_id"],
            "name": f"{row['first_name']} {row['last_name']}",
            "client": row["target_nip"],
            "client_name": row["client_name"] or "",
            "all_clients": not row["target_nip"],
            "rights": json.loads(row["scopes"]),
            "state": row["state"],
            "reason_code": row["reason_code"] if row["state"] in (*PENDING, OrderState.FAILED) else "",
            "reason": row["reason"],
            "reference": row["reference"],
            "operator": row["login"],
            "asked_at": row["asked_at"],
            "changed_at": row["changed_at"],
        }
        for row in staff.orders(office.db, limit)
    ]


def order_of(office: Office, operator: Operator, order_id: int) -> dict[str, Any]:
    """One order. Raises KeyError."""
    return next(row for row in orders(office, operator, 0) if row["order"] == order_id)


def as_json(rows: Iterable[StaffRow]) -> list[dict[str, Any]]:
    """The rows of `staff list` and `staff show`."""
    return [
        {
            "person": row.person_id,
            "name": row.name,
            "subject": row.subject,
            "operator": row.operator,
            "client": row.nip,
            "client_name": row.client,
            "all_clients": row.general,
            "given": sorted(row.given),
            "works": sorted(row.working.scopes) if row.working else [],
            "effect": row.working.effect.value if row.working else "",
            "reason": "" if row.working is None or row.working.effect is Effect.WORKS else row.working.words,
            "works_at": row.works_at,
            "clients": row.clients,
            "since": row.since.isoformat() if row.since else None,
            "pending": row.pending,
        }
        for row in rows
    ]


class _Knowledge:
    """Everything that is known of rights given and received, read once for a list."""

    def __init__(self, office: Office) -> None:
        db = office.db
        self._office = office
        read = staff.last_read(db)
        self._read_at = from_text(read["read_at"]) if read is not None else None
        self._names: dict[str, str] = {
            row["nip"]: row["name"]
            for row in db.rows("SELECT nip, name FROM client WHERE office = 0 AND archived_at IS NULL")
        }
        self._listed = _received(staff.received(db))
        self._logins = _logins(db.rows(_LOGINS))
        self._grants: dict[int, list[sqlite3.Row]] = {}
        for row in staff.grants(db):
            self._grants.setdefault(row["person_id"], []).append(row)
        self._orders: dict[tuple[int, str], list[sqlite3.Row]] = {}
        for row in staff.pending(db):
            if row["person_id"] is not None:
                self._orders.setdefault((row["person_id"], row["target_nip"]), []).append(row)

    def nips(self, person: sqlite3.Row) -> list[str]:
        """The clients that something was given for, or asked for."""
        named = self._named(person)
        return sorted((named - {ALL}) | (set(self._names) if ALL in named else set()))

    def _named(self, person: sqlite3.Row) -> set[str]:
        given = {str(row["target_nip"]) for row in self._grants.get(person["id"], [])}
        return given | {nip for owner, nip in self._orders if owner == person["id"]}

    def _by_name(self, nip: str) -> str:
        return alphabetical(self._names.get(nip) or nip)

    def targets(self, person: sqlite3.Row) -> list[StaffRow]:
        named = self._named(person)
        clients = sorted(named - {ALL}, key=self._by_name)
        general = [self._for_all(person)] if ALL in named else []
        return [*general, *(self.there(person, nip) for nip in clients)]

    def _for_all(self, person: sqlite3.Row) -> StaffRow:
        rows = [row for row in self._grants.get(person["id"], []) if row["target_nip"] == ALL]
        given = frozenset(row["scope"] for row in rows)
        works = sum(1 for nip in self._names if self._working(person, nip, given, frozenset()).scopes)
        return replace(
            self._row(person, ALL, rows),
            client="wszyscy klienci",
            general=True,
            works_at=works,
            clients=len(self._names),
        )

    def there(self, person: sqlite3.Row, nip: str) -> StaffRow:
        """What a person may do at one client, by whatever was given."""
        rows = [row for row in self._grants.get(person["id"], []) if row["target_nip"] in (ALL, nip)]
        active = frozenset(row["scope"] for row in rows if row["active"])
        inactive = frozenset(row["scope"] for row in rows) - active
        row = self._row(person, nip, rows)
        return replace(row, working=self._working(person, nip, active, inactive))

    def _row(self, person: sqlite3.Row, nip: str, rows: Sequence[sqlite3.Row]) -> StaffRow:
        starts = [from_text(row["started_at"]) for row in rows if row["started_at"]]
        return StaffRow(
            person_id=person["id"],
            name=f"{person['first_name']} {person['last_name']}".strip(),
            subject=masked(person["subject_type"], person["subject_value"]),
            operator=person["operator"] or "",
            nip=nip,
            client=self._names.get(nip, f"NIP {nip}"),
            general=any(row["target_nip"] == ALL for row in rows),
            single=any(row["target_nip"] == nip for row in rows) and nip != ALL,
            given=frozenset(row["scope"] for row in rows),
            working=None,
            works_at=0,
            clients=0,
            since=min(starts) if starts else None,
            pending="; ".join(_asked(order) for order in self._orders.get((person["id"], nip), [])),
        )

    def _working(self, person: sqlite3.Row, nip: str, given: frozenset[str], inactive: frozenset[str]) -> Working:
        found = working(given, inactive, self._received_from(nip))
        seen = self._newer(nip)
        if seen is None or seen.by != (person["subject_type"], person["subject_value"]) or found.effect is Effect.NONE:
            return found
        if seen.state is not AuthState.NO_PERMISSION:  # this very person is logged in there: that is what works
            return Working(seen.rights, Effect.WORKS if seen.rights >= given | inactive else Effect.PARTLY)
        if not found.scopes:
            return found
        return Working(frozenset(), Effect.WITHDRAWN if seen.withdrawn else Effect.REFUSED, polish_day(seen.at))

    def _received_from(self, nip: str) -> Received:
        """What the client gave the office, by the list or by the office's own newer login there."""
        listed, seen = self._listed.get(nip, Received()), self._newer(nip)
        if seen is None or seen.by != ("Nip", self._office.nip):
            return listed
        if seen.state is AuthState.NO_PERMISSION:
            gone = polish_day(seen.at) if listed.rights or seen.withdrawn else None
            return Received(gone_on=gone or listed.gone_on)
        return replace(listed, rights=seen.rights, delegable=listed.delegable & seen.rights)

    def _newer(self, nip: str) -> _Login | None:
        """What a login at this client taught after the lists were read."""
        seen = self._logins.get(nip)
        return seen if seen is not None and (self._read_at is None or seen.at > self._read_at) else None


_LOGINS = """
SELECT c.nip, a.state, a.checked_at, a.rights, a.reason_code, a.method, i.subject_type, i.subject_value
FROM authorization a JOIN client c ON c.id = a.client_id JOIN identity i ON i.id = a.identity_id
WHERE a.checked_at IS NOT NULL AND a.state IN ('active', 'expiring', 'read_only', 'no_permission')
"""


def _logins(rows: Iterable[sqlite3.Row]) -> dict[str, _Login]:
    return {
        row["nip"]: _Login(
            at=from_text(row["checked_at"]),
            by=(row["subject_type"], row["subject_value"]),
            state=AuthState(row["state"]),
            rights=frozenset(right for right in json.loads(row["rights"]) if right in SCOPES),
            withdrawn=row["reason_code"] == "withdrawn",
        )
        for row in rows
        if row["method"] == AuthMethod.CERTIFICATE
    }


def _received(rows: Iterable[sqlite3.Row]) -> dict[str, Received]:
    found: dict[str, Received] = {}
    for row in rows:
        known = found.get(row["nip"], Received())
        if row["gone_at"] is not None:
            found[row["nip"]] = replace(known, gone_on=polish_day(from_text(row["gone_at"])))
        else:
            scope = frozenset({row["scope"]})
            delegable = known.delegable | scope if row["can_delegate"] else known.delegable
            found[row["nip"]] = replace(known, rights=known.rights | scope, delegable=delegable)
    return found


def _asked(order: sqlite3.Row) -> str:
    """`nadanie W P: zlecone`."""
    return f"{_what(order)}: {ORDER_LABELS[OrderState(order['state'])]}"


def _what(order: sqlite3.Row) -> str:
    what = "nadanie" if order["act"] == "grant" else "odebranie"
    return f"{what} {letters(frozenset(json.loads(order['scopes'])))}"
