"""The people who use the program: added and shut out by an administrator."""

from __future__ import annotations

import re
import sqlite3

from ksef_tui.domain.problems import Problem
from ksef_tui.domain.roles import Act, Operator, Role, require
from ksef_tui.services import authorising
from ksef_tui.services.clients import id_of
from ksef_tui.services.office import Office, checked_name
from ksef_tui.store import offices
from ksef_tui.store.records import audit

_LOGIN = re.compile(r"[a-z0-9_][a-z0-9_.-]{0,31}")


def add(office: Office, operator: Operator, login: str, name: str, role: Role, client_nip: str | None = None) -> int:
    """A new operator's id. A `client` operator belongs to one company (`client_nip`). Raises Problem."""
    require(operator, Act.OPERATOR_ADD, None)
    if not _LOGIN.fullmatch(login):
        raise Problem("bad_login", "Login: małe litery, cyfry, _ . - i najwyżej 32 znaki.")
    if (role is Role.CLIENT) != (client_nip is not None):
        raise Problem("bad_role", "Operator-klient musi mieć swoją firmę (--client NIP), a inni jej nie mają.")
    client_id = id_of(office, client_nip) if client_nip is not None else None
    now = office.clock()
    try:
        with office.db.write() as connection:
            new = offices.insert_operator(connection, now, login, checked_name(name), role, client_id)
            audit(connection, now, operator, Act.OPERATOR_ADD, client_id=client_id, login=login, role=role)
    except sqlite3.IntegrityError:
        raise Problem("login_taken", f"Operator {login} już jest.") from None
    return new


def disable(office: Office, operator: Operator, login: str) -> tuple[list[int], list[int]]:
    """Shut an operator out, and end what was logged in with their own certificates: the clients for whom that begins
    now, and those for whom it waits until their invoices are in. Raises Problem for an unknown login or oneself."""
    require(operator, Act.OPERATOR_DISABLE, None)
    if login == operator.login:
        raise Problem("oneself", "Nie można odebrać dostępu samemu sobie.")
    now = office.clock()
    with office.db.write() as connection:
        if not offices.disable_operator(connection, now, login):
            raise Problem("unknown_operator", f"Nie ma operatora {login}.")
        audit(connection, now, operator, Act.OPERATOR_DISABLE, login=login)
        owner_id = connection.execute("SELECT id FROM operator WHERE login = ?", (login,)).fetchone()[0]
        return authorising.end_logins(office, operator, owner_id)


def listed(office: Office, operator: Operator) -> list[dict[str, str]]:
    """Who may use the program."""
    require(operator, Act.OPERATOR_ADD, None)
    return [
        {"login": row["login"], "name": row["name"], "role": row["role"], "client": row["nip"] or ""}
        for row in offices.operators(office.db)
    ]
