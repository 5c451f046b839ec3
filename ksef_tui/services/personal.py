"""A certificate issued to a person signs only for what that person approved or started: lending it is forbidden (design §2).

Whoever calls KSeF with such an identity asks here, last before the signature, whatever was asked before.
"""

from __future__ import annotations

import sqlite3
from typing import TYPE_CHECKING

from ksef_tui.domain.authorizations import AuthState
from ksef_tui.domain.invoices import LOOKED_FOR
from ksef_tui.domain.problems import Problem
from ksef_tui.domain.roles import Operator
from ksef_tui.services.office import Office
from ksef_tui.services.wire import left_behind
from ksef_tui.store import authorizations, invoices, offices, switches
from ksef_tui.store.database import Database
from ksef_tui.store.records import audit, recorded_owner

if TYPE_CHECKING:
    from ksef_tui.services.turn import Turn

NOBODY = 0  # no operator has this id
LENT = "To certyfikat innej osoby – podpisywać może nim tylko ona."
NOT_THEIR_WORK = (
    "Faktury tego klienta zatwierdził kto inny niż właściciel certyfikatu – autoryzuj klienta profilem biura."
)
LEFT = "Właściciel tego certyfikatu nie ma już dostępu do programu – wybierz inny profil."


def refuse_someone_elses(operator: Operator, identity: sqlite3.Row | None) -> None:
    """Raises Problem("someone_elses") when the identity is another person's certificate."""
    if identity is not None and identity["operator_id"] not in (None, operator.id):
        raise Problem("someone_elses", LENT)


def refuse_to_lend(turn: Turn, row: sqlite3.Row) -> None:
    """In a turn that somebody asked for, a person's login serves that very person. Raises Problem("someone_elses")."""
    if turn.operator is not None and row["identity_id"] is not None:
        refuse_someone_elses(turn.operator, offices.identity(turn.office.db, row["identity_id"]))


def refuse_signature(turn: Turn, identity: sqlite3.Row) -> None:
    """The last question before a signature, whoever calls: a person's certificate signs only in a turn that this person
    asked for, or for what was found to be theirs. Whose it is the certificate says, and the record of its coming into
    use, not the row beside it.

    Raises Problem: someone_elses, other_certificate.
    """
    _refuse_another_certificate(identity)
    owner = identity["operator_id"]
    if owner != recorded_owner(turn.office.db, identity["fingerprint"], owner):
        raise Problem("someone_elses", LENT)
    asked_by = turn.operator.id if turn.operator is not None else turn.signs_for
    if owner is not None and owner != asked_by:
        raise Problem("someone_elses", LENT)


def _refuse_another_certificate(identity: sqlite3.Row) -> None:
    """A row changed by hand does not make a person's certificate the office's, nor one person's another's."""
    from ksef_tui.services import identities  # late: it builds on the rules of this

    found, _ = identities.found_in(identity["certificate"], personal_to="somebody")
    if (found.subject_type, found.subject_value) != (identity["subject_type"], identity["subject_value"]):
        raise Problem(
            "other_certificate",
            f"W profilu {identity['label']} jest certyfikat kogoś innego, niż mówi baza danych – niczego nie podpisano.",
        )
    if found.personal_to and identity["operator_id"] is None and identity["client_id"] is None:
        raise Problem("someone_elses", LENT)


def who_started(turn: Turn, row: sqlite3.Row) -> int | None:
    """The owner of the identity, who asked for this login; None for the office's identity, which anybody may ask for.
    Raises Problem when somebody else asked, or the owner has left."""
    owner = _owner(turn.office.db, row["identity_id"])
    if owner is None:
        return None
    if not _works_here(turn.office.db, owner):
        raise Problem("operator_left", LEFT)
    wish = switches.get(turn.office.db, turn.client_id)
    acts = "'auth.switch'" if wish is not None and wish["phase"] == "login" else "'auth.start', 'auth.check'"
    asked_by = turn.office.db.value(
        f"SELECT operator_id FROM audit WHERE client_id = ? AND act IN ({acts}) ORDER BY id DESC LIMIT 1",  # noqa: S608
        (turn.client_id,),
    )
    if asked_by != owner:
        raise Problem("someone_elses", LENT)
    return owner


def whose_work(turn: Turn, row: sqlite3.Row) -> int | None:
    """The owner of the identity, for whose work a login is made that nobody asks for now: with a person's certificate
    only for what that person approved, and only while that person works here; None for the office's. Raises Problem."""
    owner = _owner(turn.office.db, row["identity_id"])
    if owner is None:
        return None
    if not _works_here(turn.office.db, owner):
        raise Problem("operator_left", LEFT)
    if turn.operator is not None:
        refuse_to_lend(turn, row)
    elif not turn.office.db.value(_OWN_WORK, {"client": turn.client_id, "owner": owner, "subject": row["subject"]}):
        raise Problem("someone_elses", NOT_THEIR_WORK)
    return owner


def who_met_a_480(office: Office, identity: sqlite3.Row) -> int | None:
    """The owner of a certificate whose own login at a client ended with 480: the test at home is a part of that login.
    None for the office's, and when somebody else asked."""
    owner: int | None = identity["operator_id"]
    met = office.db.value(
        "SELECT 1 FROM authorization a WHERE a.identity_id = ?1 AND a.state = 'blocked' AND a.reason_code = '480' AND ?2 = "
        "(SELECT operator_id FROM audit u WHERE u.client_id = a.client_id AND u.act IN ('auth.start', 'auth.check') "
        "ORDER BY u.id DESC LIMIT 1)",
        (identity["id"], owner),
    )
    return owner if met else None


def end_when_left(turn: Turn) -> None:
    """The login of a person who has left ends as soon as nothing is on the wire with it (F32, F23)."""
    row = turn.office.db.row(
        "SELECT a.state, a.intent FROM authorization a JOIN identity i ON i.id = a.identity_id "
        "JOIN operator o ON o.id = i.operator_id WHERE a.client_id = ? AND o.disabled_at IS NOT NULL "
        "AND a.intent = '' AND a.sealed_refresh IS NOT NULL AND a.state NOT IN ('running', 'to_sign')",
        (turn.client_id,),
    )
    if row is None:
        return
    behind = left_behind(turn.office, turn.client_id, None)
    if behind.without_result or behind.without_upo:
        return
    with turn.office.db.write() as connection:
        authorizations.note(connection, turn.now, turn.client_id, AuthState(row["state"]), intent="revoke")
        audit(connection, turn.now, None, "auth.revoke", client_id=turn.client_id, why="operator_left")
    turn.come_back(0)


def may_close(turn: Turn, session: sqlite3.Row) -> bool:
    """A person's login does not close what another subject opened; KSeF closes that by itself."""
    row = turn.office.db.row("SELECT identity_id, subject FROM authorization WHERE client_id = ?", (turn.client_id,))
    return row is None or _owner(turn.office.db, row["identity_id"]) is None or row["subject"] == session["subject"]


# A look before another try is the work of who wants to try again, not of who had approved what KSeF refused.
_OWN_WORK = f"""
SELECT EXISTS (SELECT 1 FROM invoice v WHERE v.client_id = :client AND v.approved_by = :owner AND {invoices.RECORDED} = :owner
                 AND (state IN ('approved', 'sending', 'processing') OR (state = 'accepted' AND upo IN ('none', 'late'))
                      OR (state = 'unknown' AND (reason_code <> '{LOOKED_FOR}' OR {invoices.TRIED_AGAIN_BY} = :owner))))
    OR EXISTS (SELECT 1 FROM session WHERE client_id = :client AND subject = :subject AND state NOT IN ('finished', 'lost'))
"""  # noqa: S608 our own text


def sends_for(office: Office, client_id: int) -> int | None:
    """Whose approvals alone the client's identity sends: None – everybody's, for it is the office's; NOBODY – its owner
    has left."""
    owner = _owner_of_client(office.db, client_id)
    return owner if owner is None or _works_here(office.db, owner) else NOBODY


def may_send(office: Office, row: sqlite3.Row) -> bool:
    """Asked in the transaction that commits the intent to send: the invoice as it is now, approved by the owner of the
    identity, and the record of what happened says the same."""
    owner = sends_for(office, row["client_id"])
    if owner is None:
        return True
    approved = office.db.row(
        f"SELECT v.approved_by, {invoices.RECORDED} AS recorded FROM invoice v WHERE v.id = ?",  # noqa: S608 our own text
        (row["id"],),
    )
    return approved is not None and approved["approved_by"] == approved["recorded"] == owner


def _owner(db: Database, identity_id: int | None) -> int | None:
    identity = offices.identity(db, identity_id) if identity_id is not None else None
    owner: int | None = identity["operator_id"] if identity is not None else None
    return owner


def _owner_of_client(db: Database, client_id: int) -> int | None:
    return _owner(db, db.value("SELECT identity_id FROM authorization WHERE client_id = ?", (client_id,)))


def _works_here(db: Database, operator_id: int) -> bool:
    return bool(db.value("SELECT disabled_at IS NULL FROM operator WHERE id = ?", (operator_id,)))
