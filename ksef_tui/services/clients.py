"""The office's clients."""

from __future__ import annotations

import json
import sqlite3

from ksef_tui.domain.authorizations import AuthMethod, AuthState
from ksef_tui.domain.nip import parse_nip
from ksef_tui.domain.problems import Problem
from ksef_tui.domain.roles import Act, Operator, require
from ksef_tui.services import authorising
from ksef_tui.services.office import Office, checked_name
from ksef_tui.services.wire import left_behind
from ksef_tui.store import authorizations, offices, onboardings, switches
from ksef_tui.store.records import audit


def add(office: Office, operator: Operator, nip: str, name: str, *, self_service: bool = False) -> int:
    """A new client; its id. `self_service`: it works by itself, with a certificate of its own (F31).

    Raises Problem: bad NIP or name, a NIP that is known already.
    """
    require(operator, Act.CLIENT_ADD, None)
    if self_service:
        require(operator, Act.CLIENT_SELF_SERVICE, None)
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
        if self_service:
            set_self_service(office, operator, client_id, on=True)
    return client_id


def set_self_service(office: Office, operator: Operator, client_id: int, *, on: bool) -> None:
    """Whether a client works by itself, with a certificate of its own that opens this client and no other (F31).

    Switched off, the client's own profiles are removed and their keys destroyed. Raises Problem: the office itself; or,
    while a login by the owner's certificate stands or is under way, "identity_in_use".
    """
    require(operator, Act.CLIENT_SELF_SERVICE, client_id)
    now, name = office.clock(), name_of(office, client_id)
    with office.db.write() as connection:
        client = offices.client(office.db, client_id)
        assert client is not None
        if client["office"]:
            raise Problem("own_office", "To samo biuro: ono zawsze pracuje własnym certyfikatem.")
        if bool(client["self_service"]) == on:
            return
        own = offices.identities_of_client(office.db, client_id)
        if not on and _owner_works(office, client_id, [row["id"] for row in own]):
            raise Problem(
                "identity_in_use",
                f"{name} pracuje certyfikatem właściciela – najpierw go wyloguj (ksef-tui auth revoke) albo "
                "autoryzuj profilem biura.",
            )
        for row in own:
            offices.remove_identity(connection, now, row["id"])
            audit(connection, now, operator, Act.IDENTITY_REMOVE, client_id=client_id, label=row["label"])
        offices.set_self_service(connection, client_id, on)
        audit(connection, now, operator, Act.CLIENT_SELF_SERVICE, client_id=client_id, on=on)


def _owner_works(office: Office, client_id: int, own: list[int]) -> bool:
    """Whether a login that only a self-service client may have stands, waits as the one to go back to, or runs."""
    row = authorizations.get(office.db, client_id)
    used = {row["identity_id"]}
    if row["fallback"] is not None:
        used.add(json.loads(row["fallback"])["identity_id"])
    by_owner = row["method"] == AuthMethod.CERTIFICATE and "Owner" in json.loads(row["rights"])
    ended = (AuthState.MISSING, AuthState.REQUESTED, AuthState.ENDED)
    return row["state"] not in ended and (by_owner or bool(used & set(own)))


def rename(office: Office, operator: Operator, client_id: int, name: str) -> None:
    """Call a client by its name: a list from KSeF gives only NIPs. Raises Problem for an empty or endless one."""
    require(operator, Act.CLIENT_ADD, client_id)
    name, before = checked_name(name), name_of(office, client_id)
    with office.db.write() as connection:
        offices.rename_client(connection, client_id, name)
        audit(connection, office.clock(), operator, "client.rename", client_id=client_id, name=name, before=before)


def archive(office: Office, operator: Operator, client_id: int) -> None:
    """Take a client off the lists. What was begun for it is given up, and whoever holds its lease ends the office's login
    at KSeF, and the client's own where one is left (F32).

    Raises Problem: the office itself, in whose account it logs in, orders certificates and gives rights; while a login
    runs; while invoices are on their way, or UPOs that only this login can still fetch.
    """
    require(operator, Act.CLIENT_ARCHIVE, client_id)
    now = office.clock()
    client = offices.client(office.db, client_id)
    if client is not None and client["office"]:
        raise Problem("own_office", "To samo biuro – jego konta nie można zdjąć z list.")
    with office.db.write() as connection:
        row, switch = authorizations.get(office.db, client_id), switches.get(office.db, client_id)
        state = AuthState(row["state"])
        _refuse_while_busy(office, client_id, state)
        if switch is not None and switch["phase"] != "waiting":
            raise Problem("runs_already", "Trwa zmiana profilu tego klienta – spróbuj za chwilę.")
        if state is AuthState.TO_SIGN:
            authorising.cancel(office, operator, client_id)
            row = authorizations.get(office.db, client_id)
        onboardings.drop(connection, now, client_id)
        switches.delete(connection, client_id)
        if state is not AuthState.ENDED and row["method"] is not None:
            authorizations.note(connection, now, client_id, AuthState(row["state"]), intent="revoke", retry_at=None)
        offices.set_archived(connection, client_id, now)
        audit(connection, now, operator, Act.CLIENT_ARCHIVE, client_id=client_id)


def _refuse_while_busy(office: Office, client_id: int, state: AuthState) -> None:
    moving = office.db.value(
        "SELECT sum(n) FROM invoice_count WHERE client_id = ? "
        "AND state IN ('waiting', 'approved', 'held', 'sending', 'unknown', 'processing')",
        (client_id,),
    )
    if moving:
        raise Problem("client_busy", "Klient ma faktury w kolejce – najpierw je wyślij albo wycofaj.")
    if state is AuthState.RUNNING:
        raise Problem("runs_already", "Trwa łączenie z KSeF – poczekaj na jego koniec albo je przerwij.")
    behind = left_behind(office, client_id, None)
    if behind and state in (AuthState.ACTIVE, AuthState.EXPIRING, AuthState.READ_ONLY):
        raise Problem(
            "receipts_missing", f"Najpierw program pobierze z KSeF {behind.words}, potem już nie będzie mógł."
        )


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
