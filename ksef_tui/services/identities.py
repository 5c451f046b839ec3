"""The office's identities: who signs (design §2). A key is tested before it is kept, and kept only sealed."""

from __future__ import annotations

import secrets
import sqlite3

from ksef_tui.domain.problems import Problem
from ksef_tui.domain.roles import Act, Operator, require
from ksef_tui.domain.secret import Secret
from ksef_tui.domain.times import to_text
from ksef_tui.services.office import Office, checked_name
from ksef_tui.store import offices
from ksef_tui.store.records import audit


def add(
    office: Office, operator: Operator, label: str, certificate: bytes, key: bytes | None, password: Secret | None
) -> int:
    """A new identity from the bytes of its files (PEM, DER, PKCS#12, encrypted `.key`); its id.

    Raises Problem: another company's certificate (design §1, F31), label taken, unreadable file, wrong password,
    key of another certificate, expired certificate.
    """
    from ksef_tui.ksef import certificates  # late: x509 costs 50 ms

    require(operator, Act.IDENTITY_ADD, None)
    label, now = checked_name(label), office.clock()
    if offices.identity_by_label(office.db, label) is not None:
        raise Problem("label_taken", f"Profil o nazwie {label} już jest.")
    loaded = certificates.load(certificate, key, password, now=now)
    facts = certificates.describe(loaded.certificate)
    if facts.subject_type == "Nip" and facts.subject_value != office.nip:
        raise Problem(
            "foreign_certificate",
            f"To certyfikat firmy o NIP {facts.subject_value}, a nie biura (NIP {office.nip}). Biuro loguje się tylko "
            "własnym certyfikatem; klient nadaje mu uprawnienia w KSeF.",
        )
    seal_row = secrets.token_hex(8)
    sealed = office.sealer.seal(
        certificates.private_key_bytes(loaded), client=office.nip, kind="private_key", row=seal_row
    )
    with office.db.write() as connection:
        try:
            identity_id = offices.insert_identity(
                connection,
                now,
                {
                    "label": label,
                    "operator_id": operator.id if facts.subject_type == "Pesel" else None,
                    "subject_type": facts.subject_type,
                    "subject_value": facts.subject_value,
                    "common_name": facts.common_name,
                    "serial": facts.serial,
                    "fingerprint": facts.fingerprint,
                    "key_kind": facts.key_kind,
                    "valid_from": to_text(facts.valid_from),
                    "valid_to": to_text(facts.valid_to),
                    "certificate": certificates.certificate_bytes(loaded),
                    "seal_row": seal_row,
                    "sealed_key": sealed,
                },
            )
        except sqlite3.IntegrityError:
            raise Problem("label_taken", f"Profil o nazwie {label} już jest.") from None
        audit(connection, now, operator, Act.IDENTITY_ADD, label=label, fingerprint=facts.fingerprint)
    return identity_id


def remove(office: Office, operator: Operator, label: str) -> None:
    """Take an identity out of use and destroy its key. Raises Problem while a client is authorised with it."""
    require(operator, Act.IDENTITY_REMOVE, None)
    row = named(office, label)
    users = office.db.value(
        "SELECT count(*) FROM authorization WHERE identity_id = ? AND state IN ('running', 'active', 'expiring', 'read_only')",
        (row["id"],),
    )
    if users:
        raise Problem(
            "identity_in_use", f"Profil {label} służy {users} klientom – najpierw zmień im sposób autoryzacji."
        )
    now = office.clock()
    with office.db.write() as connection:
        offices.remove_identity(connection, now, row["id"])
        audit(connection, now, operator, Act.IDENTITY_REMOVE, label=label)


def named(office: Office, label: str) -> sqlite3.Row:
    """The identity in use with that label. Raises Problem("unknown_identity")."""
    row = offices.identity_by_label(office.db, label)
    if row is None:
        known = ", ".join(r["label"] for r in offices.identities(office.db)) or "żadnego"
        raise Problem("unknown_identity", f"Nie ma profilu {label}. Są: {known}.")
    return row
