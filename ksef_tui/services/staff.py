"""Employees of the office and their rights at clients: who asks for what (design §7; facts §7.2; field notes 4.1 B).

Everything is written down as an order in the office's own context before anything is called; `staff_orders` carries it
out. A PESEL is nowhere but in the person's own row: not in the audit log, not in the journal, not in a message.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

from ksef_tui.domain.authorizations import AuthState
from ksef_tui.domain.problems import Problem
from ksef_tui.domain.roles import Act, Operator, require
from ksef_tui.domain.secret import Secret
from ksef_tui.domain.staff import SCOPES, OrderState, Subject, letters, parse_name, parse_subject
from ksef_tui.services import operators
from ksef_tui.services.office import Office
from ksef_tui.store import authorizations, offices, staff
from ksef_tui.store.records import audit

MANAGES = frozenset({"Owner", "CredentialsManage"})
UNKNOWN = "Nie ma pracownika o numerze {person_id} – numery podaje staff list."
NOT_AUTHORISED = (
    "Najpierw autoryzuj samo biuro (NIP {nip}, jest na liście klientów; klawisz a): uprawnienia pracowników nadaje się "
    "z jego konta w KSeF."
)
MISSING_RIGHT = (
    "Profil, którym biuro jest zalogowane na własnym koncie, nie ma prawa CredentialsManage (zarządzanie uprawnieniami) "
    "– autoryzuj biuro jako właściciel."
)


@dataclass(frozen=True, slots=True)
class Newcomer:
    """A person as somebody types them in. `kind` Pesel, Nip or Fingerprint; who is named by the fingerprint of a
    certificate also has an `identifier` (Pesel or Nip), or else the day of birth and a document."""

    kind: str
    number: Secret
    first_name: str
    last_name: str
    identifier_kind: str = ""
    identifier: Secret | None = None
    born: str = ""
    document: tuple[str, str, str] | None = None  # kind, number, country


@dataclass(frozen=True, slots=True)
class Dismissal:
    """What dismissing a person set going: orders, operators shut out, and clients whose login ends now or, because
    invoices are on the wire, when these are in."""

    orders: tuple[int, ...]
    operators: tuple[str, ...]
    ending: tuple[int, ...]
    ending_later: tuple[int, ...]


def grant(
    office: Office, operator: Operator, who: Newcomer, client_id: int | None, scopes: Sequence[str] = SCOPES
) -> int:
    """Ask for a person's right to one client, or to all that pass rights on (None); the order's id.

    Raises Problem: a wrong number or name, a right that is there already or asked for already, an office that is not
    authorised in its own context or may not manage rights there.
    """
    require(operator, Act.STAFF_GRANT, client_id)
    subject = _subject(who.kind, who.number)
    first, last = parse_name(who.first_name, "Imię", 30), parse_name(who.last_name, "Nazwisko", 81)
    details = _details(who) if subject.kind == "Fingerprint" else {}
    with office.db.write() as connection:
        person_id = staff.put_person(connection, subject, first, last, details)
        return grant_more(office, operator, person_id, client_id, scopes)


def grant_more(
    office: Office, operator: Operator, person_id: int, client_id: int | None, scopes: Sequence[str] = SCOPES
) -> int:
    """The same for a person who is known already."""
    require(operator, Act.STAFF_GRANT, client_id)
    refuse_without_right(office)
    _known(office, person_id)
    target = _target(office, client_id)
    if not scopes or set(scopes) - set(SCOPES):
        raise Problem("bad_rights", "Pracownikowi można nadać wystawianie i przeglądanie faktur.")
    now = office.clock()
    with office.db.write() as connection:
        listed = [row for row in staff.grants(office.db, person_id) if row["target_nip"] == target]
        missing = [scope for scope in SCOPES if scope in scopes and scope not in {row["scope"] for row in listed}]
        if not missing:
            raise Problem("has_already", "Ta osoba ma już to uprawnienie; czy działa, mówi lista.")
        if any(row["person_id"] == person_id and row["target_nip"] == target for row in staff.pending(office.db)):
            raise Problem("asked_already", "Dla tej osoby i tego klienta jest już zlecenie w toku – poczekaj na wynik.")
        staff.set_dismissed(connection, person_id, None, None)
        order_id = staff.insert_order(
            connection, now, operator.id, "grant", person_id=person_id, target_nip=target, scopes=json.dumps(missing)
        )
        audit(
            connection, now, operator, Act.STAFF_GRANT, client_id=client_id,
            person=person_id, rights=letters(frozenset(missing)), everywhere=client_id is None, order=order_id,
        )  # fmt: skip
    return order_id


def revoke(
    office: Office, operator: Operator, person_id: int, client_id: int | None, scopes: Sequence[str] = SCOPES
) -> list[int]:
    """Ask to take back what a person was given for one client, or for all in one (None); the orders' ids.

    Raises Problem: nothing of the kind is listed, or it is asked for already; an office as in `grant`.
    """
    require(operator, Act.STAFF_REVOKE, client_id)
    refuse_without_right(office)
    _known(office, person_id)
    target = _target(office, client_id)
    with office.db.write() as connection:
        rows = [
            row for row in staff.grants(office.db, person_id) if row["target_nip"] == target and row["scope"] in scopes
        ]
        if not rows:
            raise Problem("nothing_given", "Na liście nie ma takiego uprawnienia tej osoby – odśwież listę z KSeF.")
        found = take_back(office, connection, operator, rows)
        if not found:
            raise Problem("asked_already", "Odebranie jest już zlecone – poczekaj na wynik.")
    return found


def dismiss(office: Office, operator: Operator, person_id: int) -> Dismissal:
    """A person leaves: everything they were given is taken back, also what only KSeF's list knows yet; whoever uses the
    program with their certificate is shut out, its key here destroyed and the logins made with it ended (F32).

    Raises Problem: oneself; an office as in `grant`.
    """
    require(operator, Act.STAFF_REVOKE, None)
    require(operator, Act.OPERATOR_DISABLE, None)
    refuse_without_right(office)
    row, now = _known(office, person_id), office.clock()
    mine = office.db.rows(
        "SELECT i.id, o.login, o.disabled_at, i.operator_id FROM identity i JOIN operator o ON o.id = i.operator_id "
        "WHERE i.subject_type = ? AND i.subject_value = ?",
        (row["subject_type"], row["subject_value"]),
    )
    if any(found["operator_id"] == operator.id for found in mine):
        raise Problem("oneself", "Nie można zwolnić samego siebie.")
    with office.db.write() as connection:
        staff.set_dismissed(connection, person_id, now, operator.id)
        for order in staff.pending(office.db):
            if order["person_id"] == person_id and order["act"] == "grant" and order["state"] == OrderState.WANTED:
                staff.move(
                    connection, now, order["id"], "settle", OrderState.WANTED, OrderState.FAILED,
                    reason_code="dismissed", reason="Odwołane: osoba odeszła z biura.",
                )  # fmt: skip
        orders = take_back(office, connection, operator, staff.grants(office.db, person_id))
        orders.append(staff.insert_order(connection, now, operator.id, "read"))
        audit(connection, now, operator, "staff.dismiss", person=person_id, orders=len(orders) - 1)
        ending: list[int] = []
        later: list[int] = []
        shut_out: list[str] = []
        for login in sorted({found["login"] for found in mine if found["disabled_at"] is None}):
            shut_out.append(login)
            now_ending, for_later = operators.disable(office, operator, login)
            ending += now_ending
            later += for_later
        for found in mine:
            if later:  # that login follows what is on the wire to its end, and never signs again
                offices.destroy_key(connection, found["id"])
            else:
                offices.remove_identity(connection, now, found["id"])
    return Dismissal(tuple(orders), tuple(shut_out), tuple(ending), tuple(later))


def refresh(office: Office, operator: Operator) -> int:
    """Ask for both lists of KSeF: what the office gave and what it received; the order's id. Raises Problem as `grant`."""
    require(operator, Act.STAFF_SEE, None)
    _refuse_unauthorised(office)
    with office.db.write() as connection:
        for row in staff.pending(office.db):
            if row["act"] == "read":
                return int(row["id"])
        return staff.insert_order(connection, office.clock(), operator.id, "read")


def refuse_without_right(office: Office) -> None:
    """Raises Problem unless the office is logged in its own context and, as far as is known, may manage rights there."""
    row = _refuse_unauthorised(office)
    rights = set(json.loads(row["rights"]))
    if rights and not rights & MANAGES:
        raise Problem("may_not_grant", MISSING_RIGHT)


def own_client(office: Office) -> int:
    """The id of the office's own account, in whose context rights are given."""
    found = office.db.value("SELECT id FROM client WHERE office = 1")
    if found is None:
        raise Problem("office_not_authorised", NOT_AUTHORISED.format(nip=office.nip))
    return int(found)


def _refuse_unauthorised(office: Office) -> sqlite3.Row:
    row = authorizations.get(office.db, own_client(office))
    if row["state"] not in (AuthState.ACTIVE, AuthState.EXPIRING, AuthState.READ_ONLY):
        raise Problem("office_not_authorised", NOT_AUTHORISED.format(nip=office.nip))
    return row


def take_back(
    office: Office, connection: sqlite3.Connection, operator: Operator, rows: Sequence[sqlite3.Row]
) -> list[int]:
    """An order to take back each of these grants that has none under way; the orders' ids."""
    require(operator, Act.STAFF_REVOKE, None)
    now = office.clock()
    asked = {row["grant_id"] for row in staff.pending(office.db) if row["act"] == "revoke"}
    found: list[int] = []
    for row in rows:
        if row["id"] in asked:
            continue
        order_id = staff.insert_order(
            connection, now, operator.id, "revoke",
            person_id=row["person_id"], target_nip=row["target_nip"], scopes=json.dumps([row["scope"]]), grant_id=row["id"],
        )  # fmt: skip
        found.append(order_id)
        client = offices.client_by_nip(office.db, row["target_nip"]) if row["target_nip"] else None
        audit(
            connection, now, operator, Act.STAFF_REVOKE, client_id=client["id"] if client else None,
            person=row["person_id"], rights=letters(frozenset({row["scope"]})), everywhere=not row["target_nip"], order=order_id,
        )  # fmt: skip
    return found


def _known(office: Office, person_id: int) -> sqlite3.Row:
    row = staff.person(office.db, person_id)
    if row is None:
        raise Problem("unknown_person", UNKNOWN.format(person_id=person_id))
    return row


def _target(office: Office, client_id: int | None) -> str:
    """The client's NIP; empty for all clients."""
    if client_id is None:
        return ""
    row = offices.client(office.db, client_id)
    if row is None or row["archived_at"] is not None:
        raise Problem("unknown_client", "Nie ma takiego klienta.")
    if row["office"]:
        raise Problem("own_office", "To samo biuro: pracownikowi nadaje się stąd prawa do klientów.")
    return str(row["nip"])


def _subject(kind: str, number: Secret) -> Subject:
    return parse_subject(kind, number.reveal().decode("utf-8", "replace"))


def _details(who: Newcomer) -> dict[str, Any]:
    """Who the holder of a certificate without a number is (facts §7.2). Raises Problem("bad_person")."""
    if who.identifier is not None and who.identifier_kind:
        subject = _subject(who.identifier_kind, who.identifier)
        return {"identifier": [subject.kind, subject.value]}
    try:
        born = date.fromisoformat(who.born).isoformat()
    except ValueError:
        born = ""
    kind, number, country = (part.strip() for part in who.document or ("", "", ""))
    if (
        not born
        or not 0 < len(kind) <= 20
        or not 0 < len(number) <= 20
        or not (len(country) == 2 and country.isupper())
    ):
        raise Problem(
            "bad_person",
            "Przy odcisku certyfikatu podaj PESEL albo NIP osoby; gdy ich nie ma – datę urodzenia i dokument.",
        )
    return {"born": born, "document": [kind, number, country]}
