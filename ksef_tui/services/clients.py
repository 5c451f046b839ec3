"""The office's clients."""

from __future__ import annotations

import sqlite3

from ksef_tui.domain.nip import parse_nip
from ksef_tui.domain.problems import Problem
from ksef_tui.domain.roles import Act, Operator, require
from ksef_tui.services.office import Office, checked_name
from ksef_tui.store import offices
from ksef_tui.store.records import audit


def add(office: Office, operator: Operator, nip: str, name: str) -> int:
    """A new client; its id. Raises Problem: bad NIP or name, a NIP that is known already."""
    require(operator, Act.CLIENT_ADD, None)
    nip, name, now = parse_nip(nip), checked_name(name), office.clock()
    known = offices.client_by_nip(office.db, nip)
    if known is not None and known["archived_at"] is None:
        raise Problem("client_exists", f"Klient o NIP {nip} już jest: {known['name']}.")
    with office.db.write() as connection:
        if known is not None:
            offices.set_archived(connection, known["id"], None)
            client_id = int(known["id"])
        else:
            try:
                client_id = offices.insert_client(connection, now, nip, name, is_office=False, keeper_id=operator.id)
            except sqlite3.IntegrityError:
                raise Problem("client_exists", f"Klient o NIP {nip} już jest.") from None
        audit(connection, now, operator, Act.CLIENT_ADD, client_id=client_id, nip=nip, name=name)
    return client_id


def rename(office: Office, operator: Operator, client_id: int, name: str) -> None:
    """Call a client by its name: a list from KSeF gives only NIPs. Raises Problem for an empty or endless one."""
    require(operator, Act.CLIENT_ADD, client_id)
    name, before = checked_name(name), name_of(office, client_id)
    with office.db.write() as connection:
        offices.rename_client(connection, client_id, name)
        audit(connection, office.clock(), operator, "client.rename", client_id=client_id, name=name, before=before)


def archive(office: Office, operator: Operator, client_id: int) -> None:
    """Take a client off the lists. Raises Problem while invoices of theirs are on their way."""
    require(operator, Act.CLIENT_ARCHIVE, client_id)
    now = office.clock()
    moving = office.db.value(
        "SELECT sum(n) FROM invoice_count WHERE client_id = ? "
        "AND state IN ('waiting', 'approved', 'held', 'sending', 'unknown', 'processing')",
        (client_id,),
    )
    if moving:
        raise Problem("client_busy", "Klient ma faktury w kolejce – najpierw je wyślij albo wycofaj.")
    with office.db.write() as connection:
        offices.set_archived(connection, client_id, now)
        audit(connection, now, operator, Act.CLIENT_ARCHIVE, client_id=client_id)


def id_of(office: Office, nip: str) -> int:
    """A client's id by NIP as a person types it. Raises Problem("unknown_client")."""
    digits = parse_nip(nip)
    row = offices.client_by_nip(office.db, digits)
    if row is None or row["archived_at"] is not None:
        raise Problem("unknown_client", f"Nie ma klienta o NIP {digits}.")
    return int(row["id"])


def name_of(office: Office, client_id: int) -> str:
    """A client's name. Raises Problem("unknown_client")."""
    row = offices.client(office.db, client_id)
    if row is None:
        raise Problem("unknown_client", "Nie ma takiego klienta.")
    return str(row["name"])
