"""The whole list at once: what clients granted to the office, asked in the office's own context (facts §7.4; design §7).

What was received is only compared and shown; nothing changes before `apply`. And even then no list takes a client's
access away or gives it: where the list and a badge disagree, a login in that client's context is asked for, and it
decides (field notes 4.2). An empty or failed answer changes nothing.
"""

from __future__ import annotations

import asyncio
import json
import sqlite3
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from ksef_tui.domain.authorizations import AuthMethod, AuthState
from ksef_tui.domain.nip import parse_nip
from ksef_tui.domain.problems import Problem
from ksef_tui.domain.roles import Act, Operator, require
from ksef_tui.domain.times import from_text, to_text, warsaw
from ksef_tui.ksef.errors import KsefError, Limited, Refused, Unauthorized
from ksef_tui.ksef.models import Grant
from ksef_tui.services import bulk, clients, login
from ksef_tui.services.bulk import Begun
from ksef_tui.services.calls import NotNow
from ksef_tui.services.office import Office
from ksef_tui.services.own_work import own_turn
from ksef_tui.services.turn import NoAccess, Turn
from ksef_tui.store import authorizations, offices
from ksef_tui.store.records import audit

PATIENCE = 90.0  # seconds: 40 pages of 2,000 clients do not fit in one minute's limit (facts §12)
READING_TAKES = timedelta(minutes=6)  # at most: an access token lives for some 15, and a list is not begun twice
SCOPES = ("InvoiceWrite", "InvoiceRead")
_ASKED_AGAIN = frozenset({AuthState.NO_PERMISSION, AuthState.READ_ONLY, AuthState.REQUESTED})
_WORKS = frozenset({AuthState.ACTIVE, AuthState.EXPIRING, AuthState.READ_ONLY})


@dataclass(frozen=True, slots=True)
class Received:
    """What one client granted to the office. `can_delegate`: `InvoiceWrite` may be passed on."""

    nip: str
    rights: tuple[str, ...]
    can_delegate: bool
    description: str = ""  # what the client wrote to the grant; the nearest to a name that KSeF tells (facts §7.4)

    @property
    def words(self) -> str:
        """The rights as badges show them: W P D."""
        shown = (("W", "InvoiceWrite" in self.rights), ("P", "InvoiceRead" in self.rights), ("D", self.can_delegate))
        return " ".join(letter for letter, has in shown if has)


@dataclass(frozen=True, slots=True)
class Change:
    """A client whose badge does not say what was received. `check`: a login will decide; else it is only noted."""

    client_id: int
    nip: str
    name: str
    state: AuthState
    received: Received | None  # None: nothing (any more)
    check: bool
    sentence: str  # Polish


@dataclass(frozen=True, slots=True)
class SyncPreview:
    """What `apply` will do. `archived`: NIPs that grant rights though their service has ended; they stay as they are."""

    received: int
    to_add: tuple[Received, ...]
    changes: tuple[Change, ...]
    archived: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class SyncResult:
    """What `apply` did: ids of new clients, of those whose check was asked for, and of those that were only noted."""

    added: tuple[int, ...]
    to_check: tuple[int, ...]
    noted: tuple[int, ...]
    runs: tuple[Begun, ...] = ()  # who is being checked, and authorised, now


@dataclass(frozen=True, slots=True)
class Reading:
    """How far the reading is. `wait`: seconds until the limit of KSeF lets it go on (0: it reads)."""

    pages: int
    grants: int
    wait: float = 0.0

    @property
    def sentence(self) -> str:
        """Polish, for a line of progress."""
        said = f"strona {self.pages}, uprawnień: {self.grants}"
        return f"{said} – limit zapytań KSeF, dalej za {self.wait:.0f} s" if self.wait >= 1 else said


async def preview(
    office: Office, operator: Operator, tell: Callable[[Reading], None] = lambda reading: None
) -> SyncPreview:
    """Ask KSeF what the office has received, and compare. Changes nothing; `tell` hears of every page and wait.

    2,000 clients are 80 pages: a minute under production's limits (30 a minute for each of the two lists).

    Raises Problem: the office is not authorised in its own context, may not read grants there (it needs
    CredentialsRead or CredentialsManage; an owner has them), or KSeF does not answer.
    """
    require(operator, Act.CLIENT_ADD, None)
    received = _merged(await _grants(office, operator, tell), office.nip)
    with office.db.write() as connection:
        audit(connection, office.clock(), operator, "client.sync.read", received=len(received))
        if received:  # an empty answer says nothing about anybody
            rights = {one.nip: json.dumps(one.rights) for one in received}
            for client in offices.clients(office.db):
                offices.note_grants(connection, office.clock(), client["id"], rights.get(client["nip"], "[]"))
    return _compared(office, operator, received)


def apply(office: Office, operator: Operator, found: SyncPreview, identity_id: int | None = None) -> SyncResult:
    """Do what the preview showed, in one transaction: add the clients, note what was seen, ask for the checks, and
    (`identity_id`) for the new clients' authorisation with that identity.

    What somebody changed meanwhile is left alone. KSeF gives no names: the details of a grant are those of the one who
    received it, so a new client is called by its NIP.
    """
    require(operator, Act.CLIENT_ADD, None)
    added: list[int] = []
    checked: list[int] = []
    noted: list[int] = []
    with office.db.write() as connection:
        for one in found.to_add:
            if offices.client_by_nip(office.db, one.nip) is None:
                client_id = clients.add(office, operator, one.nip, f"NIP {one.nip}")
                _note_seen(office, connection, client_id, AuthState.MISSING, one)
                added.append(client_id)
        for change in found.changes:
            row = authorizations.get(office.db, change.client_id)
            if row["state"] != change.state or row["intent"]:
                continue
            if change.check:
                checked.append(change.client_id)
            else:
                _note_seen(office, connection, change.client_id, change.state, change.received)
                noted.append(change.client_id)
        runs = [bulk.begin(office, operator, "check", checked)] if checked else []
        if added and identity_id is not None:
            runs.append(bulk.begin(office, operator, "start", added, identity_id))
        audit(
            connection, office.clock(), operator, "client.sync",
            received=found.received, added=len(added), checked=len(checked), noted=len(noted),
        )  # fmt: skip
    return SyncResult(tuple(added), tuple(checked), tuple(noted), tuple(runs))


# ---- asking


async def _grants(office: Office, operator: Operator, tell: Callable[[Reading], None]) -> list[Grant]:
    """All pages of both queries; the second knows what was given to the person who logs in (field notes 4.2)."""
    own = office.db.row("SELECT id FROM client WHERE office = 1")
    assert own is not None
    try:
        async with own_turn(office, own["id"], operator, patience=PATIENCE) as turn:
            until = authorizations.get(office.db, own["id"])["access_until"]
            if until is not None and from_text(until) - office.clock() < READING_TAKES:
                login.forget_access(turn)
            try:
                return await _both(turn, tell)
            except Unauthorized:  # the kept token does not work any more, though its time has not come
                login.forget_access(turn)
                return await _both(turn, tell)
    except NoAccess:
        raise Problem(
            "office_not_authorised",
            f"Najpierw autoryzuj samo biuro (NIP {office.nip}, jest na liście klientów; klawisz a): "
            "klienci nadają uprawnienia jemu i tam je widać.",
        ) from None
    except (NotNow, Limited) as wait:
        seconds = wait.seconds if isinstance(wait, NotNow) else wait.retry_after
        again = warsaw(office.clock() + timedelta(seconds=seconds))
        raise Problem(
            "limit", f"Limit zapytań KSeF jest wyczerpany do {again:%H:%M:%S} – ponów wtedy; niczego nie zmieniono."
        ) from None
    except Refused as refused:
        if refused.reason_code == "missing-permissions":
            raise Problem(
                "may_not_read_grants",
                "Profil biura nie ma prawa oglądać uprawnień we własnym kontekście (CredentialsRead) – "
                "autoryzuj biuro jako właściciel.",
            ) from None
        raise Problem("refused", f"KSeF odmówił listy uprawnień: {refused.message}") from None
    except KsefError as error:
        raise Problem("unreachable", f"KSeF nie odpowiada, niczego nie zmieniono. {error.message}") from None


async def _both(turn: Turn, tell: Callable[[Reading], None]) -> list[Grant]:
    """Both lists at once: each has a limit of its own, and one can be read while the other waits."""
    access = await login.access_for(turn)
    pages = grants = 0

    def page(rows: int) -> None:
        nonlocal pages, grants
        pages, grants = pages + 1, grants + rows
        tell(Reading(pages, grants))

    turn.doing.waits = lambda seconds: tell(Reading(pages, grants, seconds))
    lists = [
        asyncio.create_task(turn.api.entity_grants(access, tell=page)),
        asyncio.create_task(turn.api.personal_grants(access, scopes=SCOPES, tell=page)),
    ]
    try:
        received, personal = await asyncio.gather(*lists)
    finally:  # nothing may call on when the lease is given back
        for one in lists:
            one.cancel()
        await asyncio.gather(*lists, return_exceptions=True)
    return [*received, *personal]


def _merged(grants: list[Grant], office_nip: str) -> list[Received]:
    """One row for each client, in the order of the answer: both lists may name the same grant."""
    rights: dict[str, set[str]] = {}
    delegated: set[str] = set()
    described: dict[str, str] = {}
    for grant in grants:
        context = grant.context_identifier
        if context is None or context.type != "Nip" or context.value in ("", office_nip):
            continue
        if grant.permission_state != "Active" or grant.permission_scope not in SCOPES:
            continue
        rights.setdefault(context.value, set()).add(grant.permission_scope)
        if grant.can_delegate and grant.permission_scope == "InvoiceWrite":
            delegated.add(context.value)
        described.setdefault(context.value, grant.description)
    return [Received(nip, tuple(sorted(found)), nip in delegated, described[nip]) for nip, found in rights.items()]


# ---- comparing


def _compared(office: Office, operator: Operator, received: list[Received]) -> SyncPreview:
    rows = office.db.rows(_CLIENTS)
    known = {row["nip"]: row for row in rows}
    to_add = [one for one in received if one.nip not in known and _is_nip(one.nip)]
    archived = [one.nip for one in received if one.nip in known and _left(known[one.nip])]
    seen = {one.nip: one for one in received}
    changes = [
        change
        for row in rows
        if received and not row["office"] and not _left(row)  # an empty answer says nothing about anybody
        if (change := _change(operator, row, seen.get(row["nip"]))) is not None
    ]
    return SyncPreview(len(received), tuple(to_add), tuple(changes), tuple(archived))


def _left(row: sqlite3.Row) -> bool:
    """Whether the office serves this client no more."""
    return row["archived_at"] is not None or row["state"] == AuthState.ENDED


_CLIENTS = """
SELECT c.nip, c.name, c.office, c.archived_at, a.*, i.operator_id AS personal_to, i.subject_type, i.removed_at
FROM client c JOIN authorization a ON a.client_id = c.id LEFT JOIN identity i ON i.id = a.identity_id ORDER BY c.id
"""


def _change(operator: Operator, row: sqlite3.Row, received: Received | None) -> Change | None:
    """What the list says of one client that its badge does not; None when they agree or the list cannot tell."""
    state = AuthState(row["state"])
    if row["intent"]:
        return None
    if row["method"] is None and state in (AuthState.MISSING, AuthState.REQUESTED):
        return _noted(row, state, received)
    if row["method"] != AuthMethod.CERTIFICATE or row["removed_at"] is not None:
        return None  # a token and somebody's signature do not live by what the office was granted
    if row["personal_to"] not in (None, operator.id):
        return None  # only that person signs with it
    if state not in _ASKED_AGAIN | _WORKS:
        return None
    stored = {right for right in json.loads(row["rights"]) if right in SCOPES}
    now = set(received.rights) if received is not None else set()
    gained = now - stored if state in _ASKED_AGAIN or row["subject_type"] == "Nip" else set()
    lost = stored - now if state in _WORKS else set()
    passed_on = received is not None and row["subject_type"] == "Nip" and received.can_delegate != row["can_delegate"]
    if not gained and not lost and not (passed_on and state in _WORKS):
        return None
    what = f"nadane {received.words}" if received is not None else "uprawnień już nie widać"
    return Change(row["client_id"], row["nip"], row["name"], state, received, True, f"{row['name']}: {what}, sprawdzę")


def _noted(row: sqlite3.Row, state: AuthState, received: Received | None) -> Change | None:
    granted = row["reason_code"] == "granted"
    before = (tuple(json.loads(row["rights"])), bool(row["can_delegate"])) if granted else None
    if before == (None if received is None else (received.rights, received.can_delegate)):
        return None
    if received is None and state is AuthState.REQUESTED:
        return None
    what = f"klient nadał {received.words}" if received is not None else "uprawnień już nie widać"
    return Change(row["client_id"], row["nip"], row["name"], state, received, False, f"{row['name']}: {what}")


def _note_seen(
    office: Office, connection: sqlite3.Connection, client_id: int, state: AuthState, received: Received | None
) -> None:
    """What was seen of a client that is not connected yet; a letter that was answered is settled by it."""
    now = office.clock()
    day = f"{warsaw(now):%d.%m}"
    values: dict[str, Any] = {
        "rights": "[]",
        "can_delegate": 0,
        "reason_code": "",
        "reason": "",
        "checked_at": to_text(now),
    }
    if received is not None:
        reason = f"Klient nadał biuru uprawnienia ({received.words}), widziane {day}."
        values |= {
            "rights": json.dumps(received.rights), "can_delegate": int(received.can_delegate),
            "reason_code": "granted", "reason": reason,
        }  # fmt: skip
    if state is AuthState.REQUESTED:
        authorizations.move(connection, now, client_id, "learn", state, AuthState.MISSING, **values)
    else:
        authorizations.note(connection, now, client_id, state, **values)


def _is_nip(text: str) -> bool:
    try:
        return parse_nip(text) == text
    except Problem:
        return False
