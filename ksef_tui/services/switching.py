"""Another identity for clients, safely (design §7, F23): what people ask, and what they are told before.

A wish is written down for each client; whoever holds the client's lease settles the queue, fetches what only the old
login can fetch, and then lets the new identity log in (`switch_over`). Until then nothing new is sent.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from ksef_tui.domain.authorizations import CAN_SEND, AuthMethod, AuthState
from ksef_tui.domain.problems import Problem
from ksef_tui.domain.roles import Act, Operator, require
from ksef_tui.domain.times import from_text
from ksef_tui.services import alarms, identity_rules
from ksef_tui.services.authorising import usable_identity
from ksef_tui.services.client_views import state_of
from ksef_tui.services.office import Office
from ksef_tui.services.wire import Behind, left_behind
from ksef_tui.store import authorizations, offices, switches
from ksef_tui.store.records import audit

AT_A_TIME = 100  # clients in one transaction


@dataclass(frozen=True, slots=True)
class Refusal:
    """A client whose identity cannot be changed to the one asked for, and why, in Polish."""

    client_id: int
    name: str
    reason: str


@dataclass(frozen=True, slots=True)
class Wait:
    """A client that changes later: what only its present login can still read."""

    client_id: int
    name: str
    behind: Behind
    works: bool  # whether the present login can still fetch it; if not, only a person's "all the same" helps


@dataclass(frozen=True, slots=True)
class SwitchPreview:
    """What `ask` would do: who changes at once, who when the queue has settled, and who cannot."""

    label: str
    at_once: tuple[int, ...]
    waits: tuple[Wait, ...]
    refused: tuple[Refusal, ...]

    @property
    def count(self) -> int:
        """How many clients would change, now or later."""
        return len(self.at_once) + len(self.waits)


@dataclass(frozen=True, slots=True)
class Asked:
    """For whom the change was written down, and for whom not."""

    client_ids: tuple[int, ...]
    refused: tuple[Refusal, ...]


@dataclass(frozen=True, slots=True)
class TokenHolder:
    """A client that the office still serves by a KSeF token. `profile`: whether the client is known to have granted the
    office's NIP the right to issue (None: never seen)."""

    client_id: int
    nip: str
    name: str
    status: AuthState
    valid_until: datetime  # UTC
    waiting: int  # invoices to approve or to send
    on_wire: int  # sent, without a result or an UPO
    profile: bool | None
    switching_to: str  # label of the identity that it is about to change to


def preview(office: Office, operator: Operator, client_ids: Sequence[int], identity_id: int) -> SwitchPreview:
    """What a change of these clients to an identity would do. Changes nothing. Raises Problem for an identity that
    cannot be used: unknown, expired, or another person's."""
    identity = usable(office, operator, identity_id)
    subject = f"{identity['subject_type']}:{identity['subject_value']}"
    at_once: list[int] = []
    waits: list[Wait] = []
    refused: list[Refusal] = []
    for client_id in dict.fromkeys(client_ids):
        require(operator, Act.AUTH_SWITCH, client_id)
        row, client = _authorization(office, client_id), offices.client(office.db, client_id)
        assert client is not None
        why = _why_not(office, client, row, identity)
        if why:
            refused.append(Refusal(client_id, client["name"], why))
        elif behind := left_behind(office, client_id, subject):
            waits.append(Wait(client_id, client["name"], behind, _still_reads(office, row)))
        else:
            at_once.append(client_id)
    return SwitchPreview(identity["label"], tuple(at_once), tuple(waits), tuple(refused))


def ask(
    office: Office, operator: Operator, client_ids: Sequence[int], identity_id: int, *, force: bool = False
) -> Asked:
    """Write down that these clients change to an identity; it takes the place of an earlier wish.

    `force`: also when something is on the wire that only the old login can read (a person was told what is lost).
    Raises Problem like `preview`.
    """
    found = preview(office, operator, client_ids, identity_id)
    wanted = [*found.at_once, *(wait.client_id for wait in found.waits)]
    for start in range(0, len(wanted), AT_A_TIME):
        now = office.clock()
        with office.db.write() as connection:
            for client_id in wanted[start : start + AT_A_TIME]:
                row = authorizations.get(office.db, client_id)
                if row["state"] == AuthState.ENDED:
                    continue
                switches.put(connection, now, client_id, identity_id=identity_id, operator_id=operator.id, forced=force)
                authorizations.note(connection, now, client_id, AuthState(row["state"]))  # for the change feed
                audit(
                    connection, now, operator, Act.AUTH_SWITCH, client_id=client_id, identity=found.label, forced=force
                )
    return Asked(tuple(wanted), found.refused)


def with_token(office: Office, operator: Operator) -> list[TokenHolder]:
    """Who still has a token, by name: for the end of the year (design §7)."""
    require(operator, Act.AUTH_SWITCH, operator.client_id)
    now = office.clock()
    rows = office.db.rows(_WITH_TOKEN)
    return [
        TokenHolder(
            client_id=row["id"],
            nip=row["nip"],
            name=row["name"],
            status=state_of(office, row["state"], row["valid_until"], row["method"], now),
            valid_until=from_text(row["valid_until"]) if row["valid_until"] else alarms.token_end(office),
            waiting=row["waiting"],
            on_wire=row["on_wire"],
            profile=None if row["granted"] is None else "InvoiceWrite" in row["granted"],
            switching_to=row["switching_to"] or "",
        )
        for row in rows
    ]


_WITH_TOKEN = """
SELECT c.id, c.nip, c.name, a.state, a.valid_until, a.method, i.label AS switching_to, g.rights AS granted,
  (SELECT ifnull(sum(n), 0) FROM invoice_count n WHERE n.client_id = c.id AND n.state IN ('waiting', 'approved')) AS waiting,
  (SELECT count(*) FROM invoice v WHERE v.client_id = c.id AND (v.state IN ('sending', 'unknown', 'processing')
     OR (v.state = 'accepted' AND v.upo IN ('none', 'late')))) AS on_wire
FROM client c JOIN authorization a ON a.client_id = c.id
LEFT JOIN identity_switch w ON w.client_id = c.id LEFT JOIN identity i ON i.id = w.identity_id
LEFT JOIN grant_seen g ON g.client_id = c.id
WHERE a.method = 'token' AND a.state <> 'ended' AND c.archived_at IS NULL ORDER BY c.name, c.id
"""


def usable(office: Office, operator: Operator, identity_id: int) -> sqlite3.Row:
    """An identity that this operator may change clients to. Raises Problem."""
    identity = usable_identity(office, operator, identity_id)
    stopped = identity_rules.stopped(identity)
    if stopped is not None:
        raise stopped
    return identity


def _authorization(office: Office, client_id: int) -> sqlite3.Row:
    try:
        return authorizations.get(office.db, client_id)
    except KeyError:
        raise Problem("unknown_client", "Nie ma takiego klienta.") from None


def _why_not(office: Office, client: sqlite3.Row, row: sqlite3.Row, identity: sqlite3.Row) -> str:
    if row["state"] == AuthState.ENDED or client["archived_at"] is not None:
        return "obsługa klienta jest zakończona"
    refusal = identity_rules.refusal(office, client, identity)
    if refusal is not None:
        return refusal.message
    has_it = row["method"] == AuthMethod.CERTIFICATE and row["identity_id"] == identity["id"]
    if has_it and state_of(office, row["state"], row["valid_until"], row["method"], office.clock()) in CAN_SEND:
        return f"klient ma już profil {identity['label']}"
    change = switches.get(office.db, client["id"])
    if change is not None and change["phase"] != "waiting":  # it knows the old login, which is still to be ended (F32)
        return f"trwa zmiana na profil {change['label']} – spróbuj za chwilę"
    return ""


def _still_reads(office: Office, row: sqlite3.Row) -> bool:
    """Whether the present login can still fetch results and UPOs."""
    state = state_of(office, row["state"], row["valid_until"], row["method"], office.clock())
    return state in (*CAN_SEND, AuthState.READ_ONLY)
