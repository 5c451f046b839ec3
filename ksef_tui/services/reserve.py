"""The identity kept in reserve: which one it is, and how it takes over the clients of one that has fallen out (F27).

Every client is a wish to change its identity (`switching`), so it goes on without the screen that began it, some
clients at a time, and what a client had is kept until the reserve works there.
"""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass

from ksef_tui.domain.problems import Problem
from ksef_tui.domain.roles import Act, Operator, require
from ksef_tui.domain.times import from_text, warsaw
from ksef_tui.services import alarms, identities, switching
from ksef_tui.services.office import Office
from ksef_tui.services.switching import Asked, SwitchPreview
from ksef_tui.store import offices
from ksef_tui.store.records import audit


@dataclass(frozen=True, slots=True)
class Fallen:
    """An identity that cannot log in any more, why, and the clients that it leaves standing."""

    identity_id: int
    label: str
    why: str  # Polish
    client_ids: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class TakeoverPreview:
    """What the reserve would take over, and what of it only the fallen identities could still read."""

    reserve_id: int
    label: str
    fallen: tuple[Fallen, ...]
    change: SwitchPreview

    @property
    def without_result(self) -> int:
        """Invoices on the wire that the reserve cannot follow: they are looked for by their hash."""
        return sum(len(wait.behind.without_result) for wait in self.change.waits)

    @property
    def without_upo(self) -> int:
        """Accepted invoices whose UPO the reserve cannot fetch."""
        return sum(len(wait.behind.without_upo) for wait in self.change.waits)


def mark(office: Office, operator: Operator, label: str, *, on: bool = True) -> None:
    """Keep this identity in reserve, instead of the one that was; or none (`on` false). Raises Problem."""
    require(operator, Act.IDENTITY_RESERVE, None)
    row = identities.named(office, label)
    if on:
        switching.usable(office, operator, row["id"])
        if row["client_id"] is not None:
            raise Problem("clients_identity", f"Profil {label} jest klienta – nie przejmie innych klientów.")
    with office.db.write() as connection:
        offices.set_reserve(connection, row["id"] if on else None)
        audit(connection, office.clock(), operator, Act.IDENTITY_RESERVE, label=label, on=on)


def fallen(office: Office, operator: Operator) -> tuple[Fallen, ...]:
    """The identities that cannot log in any more and still have clients, those with most clients first."""
    require(operator, Act.IDENTITY_TAKEOVER, None)
    found = [
        Fallen(row["id"], row["label"], _why(row), tuple(ids))
        for row, ids in alarms.fallen(office)
        if not row["reserve"]
    ]
    return tuple(sorted(found, key=lambda one: (-len(one.client_ids), one.label)))


def preview(office: Office, operator: Operator) -> TakeoverPreview:
    """What `take_over` would do. Raises Problem: no reserve, or no identity that has fallen out."""
    found = fallen(office, operator)
    ready = alarms.reserve(office)
    if ready is None:
        raise Problem(
            "no_reserve", "Żaden sprawny profil nie jest rezerwowy – wskaż go: ksef-tui identity reserve NAZWA."
        )
    if not found:
        raise Problem("nothing_fell", "Wszystkie profile działają – nie ma czego przejmować.")
    clients = [client_id for one in found for client_id in one.client_ids]
    return TakeoverPreview(
        ready["id"], ready["label"], found, switching.preview(office, operator, clients, ready["id"])
    )


def take_over(office: Office, operator: Operator) -> Asked:
    """All clients of the fallen identities change to the reserve, also where something is on the wire: waiting would
    not help. Raises Problem like `preview`."""
    found = preview(office, operator)
    clients = [client_id for one in found.fallen for client_id in one.client_ids]
    with office.db.write() as connection:
        audit(
            connection, office.clock(), operator, Act.IDENTITY_TAKEOVER,
            label=found.label, fallen=[one.label for one in found.fallen], clients=len(clients),
        )  # fmt: skip
    return switching.ask(office, operator, clients, found.reserve_id, force=True)


def _why(row: sqlite3.Row) -> str:
    if row["stopped_at"] is not None:
        return "zablokowało go ministerstwo"
    if row["revoked_at"] is not None:
        return "unieważniony"
    if row["removed_at"] is not None:
        return "usunięty"
    return f"wygasł {warsaw(from_text(row['valid_to'])):%d.%m.%Y}"
