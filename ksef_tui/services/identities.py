"""The office's identities: who signs (design §2). A key is tested before it is kept, and kept only sealed."""

from __future__ import annotations

import secrets
import sqlite3
from dataclasses import dataclass
from datetime import datetime

from ksef_tui.domain.certificates import KINDS
from ksef_tui.domain.problems import Problem
from ksef_tui.domain.roles import Act, Operator, require
from ksef_tui.domain.secret import Secret
from ksef_tui.domain.times import to_text, warsaw
from ksef_tui.services import identity_rules
from ksef_tui.services.office import Office, checked_name
from ksef_tui.store import offices
from ksef_tui.store.records import KEPT, audit


@dataclass(frozen=True, slots=True)
class Found:
    """What is in the files of an identity: shown before it is kept."""

    subject_type: str  # Nip, Pesel, Fingerprint
    subject_value: str
    name: str
    kind: str  # ksef, seal, person
    issuer: str
    serial: str
    fingerprint: str  # SHA-256 of the certificate, hex
    key_kind: str
    valid_from: datetime
    valid_to: datetime
    personal_to: str  # the operator's login whose own profile it becomes; empty: the office's


def kind_of(identity: sqlite3.Row) -> str:
    """The kind of a kept identity, read from its certificate when it was added before kinds were noted."""
    if identity["kind"]:
        return str(identity["kind"])
    return found_in(identity["certificate"], personal_to="")[0].kind


def whose(subject_type: str, subject_value: str) -> str:
    """`NIP 5265877635`, `PESEL 90010112345`, or the beginning of a fingerprint."""
    if subject_type == "Fingerprint":
        return f"odcisk {subject_value[:16]}"
    return f"{subject_type.upper()} {subject_value}"


def words(found: Found, client: str = "") -> list[str]:
    """What was found in the files, a line for each thing; `client`: the name of the one whose own certificate it is."""
    owner = f"osobisty operatora {found.personal_to}: podpisuje tylko to, co on zleci" if found.personal_to else "biura"
    if client:
        owner = f"klienta {client}: otwiera tylko jego konto"
    return [
        f"Czyj:      {found.name}, {whose(found.subject_type, found.subject_value)}",
        f"Rodzaj:    {KINDS[found.kind]}, klucz {found.key_kind}",
        f"Ważny:     od {warsaw(found.valid_from):%d.%m.%Y} do {warsaw(found.valid_to):%d.%m.%Y}",
        f"Wystawił:  {found.issuer}",
        f"Numer:     {found.serial}",
        f"Odcisk:    {found.fingerprint}",
        f"Profil:    {owner}",
    ]


def inspect(
    office: Office,
    operator: Operator,
    certificate: bytes,
    key: bytes | None,
    password: Secret | None,
    *,
    client_id: int | None = None,
) -> Found:
    """What these files hold, tested as `add` tests it; nothing is kept. Raises the Problems of `add`."""
    require(operator, Act.IDENTITY_ADD, None)
    found, _, _ = _examined(office, operator, certificate, key, password, client_id)
    return found


def add(
    office: Office,
    operator: Operator,
    label: str,
    certificate: bytes,
    key: bytes | None,
    password: Secret | None,
    *,
    client_id: int | None = None,
) -> int:
    """A new identity from the bytes of its files (PEM, DER, PKCS#12, encrypted `.key`); its id. `client_id`: the
    self-service client whose own certificate it is, to be used for that client alone (F31).

    Raises Problem: a certificate that the ministry blocked (F27), another company's certificate (design §1, F31), one
    that is only for QR codes, label taken, unreadable file, wrong password, key of another certificate, expired
    certificate.
    """
    require(operator, Act.IDENTITY_ADD, None)
    label, now = free_label(office, label), office.clock()
    found, document, plain = _examined(office, operator, certificate, key, password, client_id)
    with office.db.write() as connection:
        identity_id = keep(
            office, connection, now, label, found, document, plain,
            operator_id=operator.id if found.personal_to else None, client_id=client_id,
        )  # fmt: skip
        audit(
            connection, now, operator, Act.IDENTITY_ADD,
            client_id=client_id, label=label, fingerprint=found.fingerprint,
        )  # fmt: skip
    return identity_id


def free_label(office: Office, label: str) -> str:
    """A name for an identity that none in use has. Raises Problem: bad_name, label_taken."""
    label = checked_name(label)
    if offices.identity_by_label(office.db, label) is not None:
        raise Problem("label_taken", f"Profil o nazwie {label} już jest.")
    return label


def keep(
    office: Office,
    connection: sqlite3.Connection,
    now: datetime,
    label: str,
    found: Found,
    certificate: bytes,
    key: Secret,
    *,
    operator_id: int | None,
    client_id: int | None = None,
) -> int:
    """Seal the key, prove that it opens and signs for this certificate (F34), write both down; the identity's id.

    Raises Problem("label_taken") and those of `certificates.prove`.
    """
    from ksef_tui.ksef import certificates

    _rich_traceback_omit = True
    seal_row = secrets.token_hex(8)
    whose_nip = office.nip if client_id is None else _client(office, client_id)["nip"]
    sealed = office.sealer.seal(key, client=whose_nip, kind="private_key", row=seal_row)
    kept = office.sealer.open(sealed, client=whose_nip, kind="private_key", row=seal_row)
    try:
        identity_id = offices.insert_identity(
            connection,
            now,
            {
                "label": label,
                "operator_id": operator_id,
                "subject_type": found.subject_type,
                "subject_value": found.subject_value,
                "common_name": found.name,
                "serial": found.serial,
                "fingerprint": found.fingerprint,
                "key_kind": found.key_kind,
                "valid_from": to_text(found.valid_from),
                "valid_to": to_text(found.valid_to),
                "certificate": certificate,
                "seal_row": seal_row,
                "sealed_key": sealed,
                "kind": found.kind,
                "proof": certificates.prove(certificate, kept),
                "client_id": client_id,
            },
        )
    except sqlite3.IntegrityError:
        raise Problem("label_taken", f"Profil o nazwie {label} już jest.") from None
    audit(connection, now, None, KEPT, fingerprint=found.fingerprint, owner=operator_id)
    return identity_id


def _client(office: Office, client_id: int) -> sqlite3.Row:
    client = offices.client(office.db, client_id)
    if client is None:
        raise Problem("unknown_client", "Nie ma takiego klienta.")
    return client


def _examined(
    office: Office,
    operator: Operator,
    certificate: bytes,
    key: bytes | None,
    password: Secret | None,
    client_id: int | None,
) -> tuple[Found, bytes, Secret]:
    """What the files hold, the certificate as DER and its key, plain."""
    from ksef_tui.ksef import certificates  # late: x509 costs 50 ms

    _rich_traceback_omit = True
    loaded = certificates.load(certificate, key, password, now=office.clock())
    document, plain = certificates.certificate_bytes(loaded), certificates.private_key_bytes(loaded)
    found, offline = found_in(document, personal_to=operator.login if client_id is None else "")
    if client_id is None:
        refuse_foreign(office, found.subject_type, found.subject_value)
    else:
        refuse_not_the_clients(_client(office, client_id), found.subject_type, found.subject_value)
    blocked = offices.stopped_certificate(office.db, found.fingerprint)
    if blocked is not None:
        raise Problem(identity_rules.STOPPED, blocked["stop_reason"])
    if found.personal_to and offices.belongs_to_another(
        office.db, found.subject_type, found.subject_value, operator.id
    ):
        raise Problem("someone_elses", "To certyfikat innej osoby: dodał go do programu inny operator.")
    if offline:
        raise Problem(
            "offline_certificate",
            "To certyfikat KSeF typu Offline: służy tylko do kodów QR na fakturach, zalogować się nim nie można.",
        )
    certificates.prove(document, plain)
    return found, document, plain


def found_in(certificate: bytes, *, personal_to: str) -> tuple[Found, bool]:
    """What a certificate (DER) says, and whether it is only for QR codes; `personal_to`: whose it is if a person's."""
    from ksef_tui.ksef import certificates

    facts = certificates.describe(certificates.certificate_from_bytes(certificate))
    # without a company's NIP it is a person's, also one that says whose it is by its fingerprint alone
    of_a_person = facts.subject_type == "Pesel" or (facts.subject_type == "Fingerprint" and facts.kind != "seal")
    found = Found(
        subject_type=facts.subject_type,
        subject_value=facts.subject_value,
        name=facts.common_name,
        kind=facts.kind,
        issuer=facts.issuer,
        serial=facts.serial,
        fingerprint=facts.fingerprint,
        key_kind=facts.key_kind,
        valid_from=facts.valid_from,
        valid_to=facts.valid_to,
        personal_to=personal_to if of_a_person else "",
    )
    return found, facts.offline


def refuse_foreign(office: Office, subject_type: str, subject_value: str) -> None:
    """Raises Problem("foreign_certificate"): the office signs with its own certificate only (design §1, F31)."""
    if subject_type == "Nip" and subject_value != office.nip:
        raise Problem(
            "foreign_certificate",
            f"To certyfikat firmy o NIP {subject_value}, a nie biura (NIP {office.nip}). Biuro loguje się tylko "
            "własnym certyfikatem; klient nadaje mu uprawnienia w KSeF.",
        )


def refuse_not_the_clients(client: sqlite3.Row, subject_type: str, subject_value: str) -> None:
    """Raises Problem: a certificate that cannot be the owner's of this self-service client (F31). Whether a person's
    is, only KSeF knows: the first login tells."""
    if not client["self_service"]:
        raise Problem(
            "not_self_service",
            f"{client['name']} nie jest klientem samoobsługowym: biuro loguje się własnym profilem, a klient nadaje mu "
            "uprawnienia w KSeF.",
        )
    if subject_type == "Nip" and subject_value != client["nip"]:
        raise Problem(
            "foreign_certificate",
            f"To certyfikat firmy o NIP {subject_value}, a nie klienta {client['name']} (NIP {client['nip']}).",
        )
    if subject_type == "Fingerprint":
        raise Problem("foreign_certificate", "W tym certyfikacie nie ma NIP ani PESEL, więc nie wiadomo, czyj jest.")


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
