"""A person stops the sending of a client, or of everything, and lets it go on: who, when and why is kept.

The worker takes nothing new of what is paused; what is on its way is followed to its end (sessions are closed, results
and UPOs read). A pause of everything leaves those of single clients as they are.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from ksef_tui.domain.problems import Problem
from ksef_tui.domain.roles import Act, Operator, require
from ksef_tui.domain.standing import Pause
from ksef_tui.domain.times import from_text
from ksef_tui.services.office import Office
from ksef_tui.store import offices, pauses
from ksef_tui.store.records import audit

LONGEST_WHY = 200  # characters
EVERYTHING: tuple[None] = (None,)
RESUME = "sending.resume"


@dataclass(frozen=True, slots=True)
class PausedClient:
    """A client whose sending a person stopped."""

    client_id: int
    nip: str
    name: str
    pause: Pause


def pause(office: Office, operator: Operator, client_ids: Sequence[int | None], why: str = "") -> int:
    """Stop the sending of these clients (EVERYTHING: of all, those of tomorrow too); how many were not stopped yet.

    Raises Problem for a reason that is too long, and for an unknown client.
    """
    why = " ".join(why.split())
    if len(why) > LONGEST_WHY:
        raise Problem("bad_value", f"Powód może mieć najwyżej {LONGEST_WHY} znaków.")
    done = 0
    with office.db.write() as connection:
        for client_id in _asked(office, operator, client_ids):
            now = office.clock()
            if pauses.begin(connection, now, client_id, operator.id, why):
                audit(connection, now, operator, Act.SENDING_PAUSE, client_id=client_id, why=why)
                done += 1
    return done


def resume(office: Office, operator: Operator, client_ids: Sequence[int | None]) -> int:
    """Let the sending of these clients (EVERYTHING: of all that are not paused by themselves) go on; how many were
    stopped. Raises Problem."""
    done = 0
    with office.db.write() as connection:
        for client_id in _asked(office, operator, client_ids):
            now = office.clock()
            if pauses.end(connection, now, client_id, operator.id):
                audit(connection, now, operator, RESUME, client_id=client_id)
                done += 1
    return done


def _asked(office: Office, operator: Operator, client_ids: Iterable[int | None]) -> list[int | None]:
    asked = list(dict.fromkeys(client_ids))
    for client_id in asked:
        require(operator, Act.SENDING_PAUSE, client_id)
        if client_id is not None and offices.client(office.db, client_id) is None:
            raise Problem("unknown_client", "Nie ma takiego klienta.")
    return asked


def of_everything(office: Office) -> Pause | None:
    """The pause of everything, if there is one."""
    return as_pause(pauses.of_all(office.db))


def of_client(office: Office, client_id: int) -> Pause | None:
    """What stops the sending of a client: the pause of everything, else its own."""
    return as_pause(pauses.in_force(office.db, client_id))


def paused_clients(office: Office, operator: Operator) -> list[PausedClient]:
    """Who is paused by name, oldest first."""
    found = []
    for row in pauses.of_clients(office.db):
        stopped = as_pause(row)
        client = offices.client(office.db, row["client_id"])
        if stopped is not None and client is not None and operator.client_id in (None, row["client_id"]):
            found.append(PausedClient(client["id"], client["nip"], client["name"], stopped))
    return found


def as_pause(row: sqlite3.Row | None) -> Pause | None:
    """A stored pause with the login of who made it."""
    if row is None:
        return None
    at: datetime = from_text(row["at"])
    return Pause(row["login"], at, row["why"], everything=row["client_id"] is None)
