"""The office (one row), its operators, its clients and its identities."""

from __future__ import annotations

import sqlite3
from datetime import datetime
from typing import Any

from ksef_tui.domain.authorizations import AuthState
from ksef_tui.domain.roles import Operator, Role
from ksef_tui.domain.times import to_text
from ksef_tui.store.database import Database


def office(db: Database) -> sqlite3.Row | None:
    """The office's row; None before `init`."""
    return db.row("SELECT * FROM office")


def insert_office(
    connection: sqlite3.Connection,
    now: datetime,
    *,
    office_id: str,
    environment: str,
    api_url: str | None,
    nip: str,
    name: str,
    secrets: str,
    seal_header: bytes = b"\x01",
) -> None:
    """Make the office; sqlite3.IntegrityError when there is one."""
    connection.execute(
        "INSERT INTO office (id, office_id, environment, api_url, nip, name, secrets, seal_header, created_at) "
        "VALUES (1, ?, ?, ?, ?, ?, ?, ?, ?)",
        (office_id, environment, api_url, nip, name, secrets, seal_header, to_text(now)),
    )


def secrets(db: Database) -> Any:
    """Where the office's data key is kept: file, passphrase or system."""
    return db.value("SELECT secrets FROM office")


def set_secrets(connection: sqlite3.Connection, secrets: str) -> None:
    """Where the office's data key is kept from now on: file, passphrase or system."""
    connection.execute("UPDATE office SET secrets = ?", (secrets,))


def set_api_url(connection: sqlite3.Connection, api_url: str) -> None:
    """The address at which every process finds this office's KSeF from its next start on."""
    connection.execute("UPDATE office SET api_url = ?", (api_url,))


def insert_operator(
    connection: sqlite3.Connection, now: datetime, login: str, name: str, role: Role, client_id: int | None = None
) -> int:
    """A new operator's id."""
    cursor = connection.execute(
        "INSERT INTO operator (login, name, role, client_id, created_at) VALUES (?, ?, ?, ?, ?)",
        (login, name, role, client_id, to_text(now)),
    )
    return int(cursor.lastrowid or 0)


def operator(db: Database, login: str) -> Operator | None:
    """An operator who may work, by login."""
    row = db.row("SELECT * FROM operator WHERE login = ? AND disabled_at IS NULL", (login,))
    return None if row is None else Operator(row["id"], row["login"], row["name"], Role(row["role"]), row["client_id"])


def operator_by_id(db: Database, operator_id: int) -> Operator | None:
    """An operator who may work, by id."""
    row = db.row("SELECT * FROM operator WHERE id = ? AND disabled_at IS NULL", (operator_id,))
    return None if row is None else Operator(row["id"], row["login"], row["name"], Role(row["role"]), row["client_id"])


def operators(db: Database) -> list[sqlite3.Row]:
    """The operators who may work, with the NIP of a `client` operator's company."""
    return db.rows(
        "SELECT o.*, c.nip FROM operator o LEFT JOIN client c ON c.id = o.client_id WHERE o.disabled_at IS NULL ORDER BY o.login"
    )


def disable_operator(connection: sqlite3.Connection, now: datetime, login: str) -> bool:
    """Shut an operator out; False when there is none of that login."""
    cursor = connection.execute(
        "UPDATE operator SET disabled_at = ? WHERE login = ? AND disabled_at IS NULL", (to_text(now), login)
    )
    return cursor.rowcount == 1


def insert_client(
    connection: sqlite3.Connection, now: datetime, nip: str, name: str, *, is_office: bool, keeper_id: int | None
) -> int:
    """A new client with an authorisation that is missing; sqlite3.IntegrityError when the NIP is known."""
    cursor = connection.execute(
        "INSERT INTO client (nip, name, office, keeper_id, created_at) VALUES (?, ?, ?, ?, ?)",
        (nip, name, int(is_office), keeper_id, to_text(now)),
    )
    client_id = int(cursor.lastrowid or 0)
    connection.execute(
        "INSERT INTO authorization (client_id, state, changed_at) VALUES (?, ?, ?)",
        (client_id, AuthState.MISSING, to_text(now)),
    )
    return client_id


def client(db: Database, client_id: int) -> sqlite3.Row | None:
    """A client by id, archived or not."""
    return db.row("SELECT * FROM client WHERE id = ?", (client_id,))


def client_by_nip(db: Database, nip: str) -> sqlite3.Row | None:
    """A client by NIP, archived or not."""
    return db.row("SELECT * FROM client WHERE nip = ?", (nip,))


def reconcile_since(db: Database, client_id: int) -> str | None:
    """The moment of a restored backup, while what was sent after it has not been looked for yet."""
    found: str | None = db.value("SELECT reconcile_since FROM client WHERE id = ?", (client_id,))
    return found


def rename_client(connection: sqlite3.Connection, client_id: int, name: str) -> None:
    """Another name for a client; its NIP is its identity and never changes."""
    connection.execute("UPDATE client SET name = ? WHERE id = ?", (name, client_id))


def set_archived(connection: sqlite3.Connection, client_id: int, at: datetime | None) -> None:
    """Archive a client, or take it back (None)."""
    connection.execute("UPDATE client SET archived_at = ? WHERE id = ?", (to_text(at) if at else None, client_id))


def set_self_service(connection: sqlite3.Connection, client_id: int, on: bool) -> None:
    """Whether a client works by itself, with a certificate of its own (F31)."""
    connection.execute("UPDATE client SET self_service = ? WHERE id = ?", (int(on), client_id))


def insert_identity(connection: sqlite3.Connection, now: datetime, values: dict[str, object]) -> int:
    """A new identity's id; sqlite3.IntegrityError when the label is taken."""
    names = (
        "label", "operator_id", "subject_type", "subject_value", "common_name", "serial", "fingerprint",
        "key_kind", "valid_from", "valid_to", "certificate", "seal_row", "sealed_key", "kind", "proof", "client_id",
    )  # fmt: skip
    cursor = connection.execute(
        f"INSERT INTO identity ({', '.join(names)}, created_at) VALUES ({', '.join(':' + n for n in names)}, :created_at)",
        {"kind": "", "proof": None, "client_id": None, **values, "created_at": to_text(now)},
    )
    return int(cursor.lastrowid or 0)


def identities(db: Database) -> list[sqlite3.Row]:
    """The identities in use, by label (with their sealed keys: for services, not for screens)."""
    return db.rows("SELECT * FROM identity WHERE removed_at IS NULL ORDER BY label")


def identity(db: Database, identity_id: int) -> sqlite3.Row | None:
    """An identity by id, removed or not."""
    return db.row("SELECT * FROM identity WHERE id = ?", (identity_id,))


def identity_by_label(db: Database, label: str) -> sqlite3.Row | None:
    """An identity in use by its label."""
    return db.row("SELECT * FROM identity WHERE label = ? AND removed_at IS NULL", (label,))


def belongs_to_another(db: Database, subject_type: str, subject_value: str, operator_id: int) -> bool:
    """Whether this person's certificates, in use or removed, are another operator's."""
    return bool(
        db.value(
            "SELECT 1 FROM identity WHERE subject_type = ? AND subject_value = ? AND operator_id <> ?",
            (subject_type, subject_value, operator_id),
        )
    )


def destroy_key(connection: sqlite3.Connection, identity_id: int) -> None:
    """Nothing is ever signed with this identity again; the logins made with it are another matter."""
    connection.execute("UPDATE identity SET sealed_key = x'' WHERE id = ?", (identity_id,))


def remove_identity(connection: sqlite3.Connection, now: datetime, identity_id: int) -> None:
    """Take an identity out of use; its sealed key is destroyed."""
    connection.execute("UPDATE identity SET removed_at = ?, sealed_key = x'' WHERE id = ?", (to_text(now), identity_id))


def rename_identity(connection: sqlite3.Connection, identity_id: int, label: str) -> None:
    """The identity gives its label away to the certificate that takes its place."""
    connection.execute("UPDATE identity SET label = ? WHERE id = ?", (label, identity_id))


def replace_identity(connection: sqlite3.Connection, old_id: int, new_id: int) -> None:
    """The new certificate takes the place of the old one: also as a reserve, and wherever it is still to be used."""
    connection.execute("UPDATE identity SET replaced_by = ? WHERE id = ?", (new_id, old_id))
    connection.execute(
        "UPDATE identity SET reserve = (SELECT reserve FROM identity WHERE id = ?) WHERE id = ?", (old_id, new_id)
    )
    connection.execute("UPDATE identity_switch SET identity_id = ? WHERE identity_id = ?", (new_id, old_id))
    connection.execute(
        "UPDATE bulk_run SET identity_id = ? WHERE identity_id = ? AND ended_at IS NULL", (new_id, old_id)
    )


def revoke_identity(connection: sqlite3.Connection, now: datetime, identity_id: int) -> None:
    """KSeF does not know this identity's certificate any more: nothing is signed with it."""
    connection.execute("UPDATE identity SET revoked_at = ? WHERE id = ?", (to_text(now), identity_id))


def identities_of_client(db: Database, client_id: int) -> list[sqlite3.Row]:
    """The identities in use that belong to one self-service client."""
    return db.rows("SELECT * FROM identity WHERE client_id = ? AND removed_at IS NULL ORDER BY label", (client_id,))


def stopped_certificate(db: Database, fingerprint: str) -> sqlite3.Row | None:
    """An identity in use with this certificate that is stopped: under another label it would not be another one."""
    return db.row(
        "SELECT * FROM identity WHERE fingerprint = ? AND stopped_at IS NOT NULL AND removed_at IS NULL", (fingerprint,)
    )


def suspect_identity(connection: sqlite3.Connection, now: datetime, identity_id: int) -> None:
    """Ask for a test of an identity at home; the office's own client is woken, for it carries the test out (F27)."""
    cursor = connection.execute(
        "UPDATE identity SET suspected_at = ? WHERE id = ? AND suspected_at IS NULL AND stopped_at IS NULL "
        "AND removed_at IS NULL AND client_id IS NULL",
        (to_text(now), identity_id),
    )
    if cursor.rowcount:
        connection.execute("UPDATE client SET name = name WHERE office = 1")


def suspected_identities(db: Database) -> list[sqlite3.Row]:
    """The identities that wait for a test, oldest first."""
    return db.rows("SELECT * FROM identity WHERE suspected_at IS NOT NULL AND removed_at IS NULL ORDER BY suspected_at")


def clear_suspicion(connection: sqlite3.Connection, identity_id: int) -> None:
    """The test is over."""
    connection.execute("UPDATE identity SET suspected_at = NULL WHERE id = ?", (identity_id,))


def stop_identity(connection: sqlite3.Connection, now: datetime, identity_id: int, reason: str) -> bool:
    """No login by this identity from now on; False when it was stopped before."""
    cursor = connection.execute(
        "UPDATE identity SET stopped_at = ?, stop_reason = ?, suspected_at = NULL WHERE id = ? AND stopped_at IS NULL",
        (to_text(now), reason, identity_id),
    )
    return cursor.rowcount == 1


def resume_identity(connection: sqlite3.Connection, identity_id: int) -> bool:
    """Logins by this identity are possible again; False when it was not stopped."""
    cursor = connection.execute(
        "UPDATE identity SET stopped_at = NULL, stop_reason = '' WHERE id = ? AND stopped_at IS NOT NULL",
        (identity_id,),
    )
    return cursor.rowcount == 1


def set_reserve(connection: sqlite3.Connection, identity_id: int | None) -> None:
    """The one identity that is kept in reserve; None: there is none."""
    connection.execute("UPDATE identity SET reserve = (id IS ?)", (identity_id,))


def clients(db: Database) -> list[sqlite3.Row]:
    """The clients that are not archived and not the office itself."""
    return db.rows("SELECT * FROM client WHERE archived_at IS NULL AND office = 0 ORDER BY id")


def note_grants(connection: sqlite3.Connection, now: datetime, client_id: int, rights: str) -> None:
    """What a client grants to the office's NIP, as KSeF's list said (JSON array of KSeF codes)."""
    connection.execute(
        "INSERT OR REPLACE INTO grant_seen (client_id, rights, seen_at) VALUES (?, ?, ?)",
        (client_id, rights, to_text(now)),
    )
