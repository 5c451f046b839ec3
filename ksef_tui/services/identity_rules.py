"""Which identity may log in where (design §2, §7; F27, F31). Asked when a person chooses, before each login, and before
a kept login is used – so that a row changed by hand opens nothing either."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Collection
from datetime import datetime

from ksef_tui.domain.authorizations import AuthState
from ksef_tui.domain.problems import Problem
from ksef_tui.domain.staff import masked
from ksef_tui.domain.times import warsaw
from ksef_tui.services.office import Office
from ksef_tui.store import authorizations, offices
from ksef_tui.store.records import audit

STOPPED = "identity_stopped"
OWNER_CERTIFICATE, NOT_OWNER = "owner_certificate", "not_owner"
_WORKS = (AuthState.ACTIVE, AuthState.EXPIRING, AuthState.READ_ONLY)


def named(identity: sqlite3.Row) -> str:
    """An identity as sentences name it: its type and value; of a PESEL the beginning (sentences stand on everybody's
    screens)."""
    if identity["subject_type"] == "Fingerprint":
        return f"certyfikat o odcisku {identity['subject_value'][:16]}…"
    return masked(identity["subject_type"], identity["subject_value"])


def is_personal(identity: sqlite3.Row) -> bool:
    """Whether it is one person's: it signs nothing that this person did not ask for (design §2)."""
    return identity["subject_type"] == "Pesel" or identity["operator_id"] is not None


def refusal(office: Office, client: sqlite3.Row, identity: sqlite3.Row | None) -> Problem | None:
    """Why this identity must not log in at this client, or None. What KSeF says comes later (`owner_refusal`)."""
    if identity is None or identity["removed_at"] is not None:
        return Problem("unknown_identity", "Profil, którym klient był autoryzowany, został usunięty.")
    return _foreign(office, client, identity) or unusable(identity)


def unusable(identity: sqlite3.Row) -> Problem | None:
    """Why nobody may log in with this identity anywhere, or None."""
    if identity["revoked_at"] is not None:
        return Problem(
            "certificate_revoked", f"Certyfikat profilu {identity['label']} jest odwołany – wybierz inny profil."
        )
    return stopped(identity)


def stopped(identity: sqlite3.Row) -> Problem | None:
    """The sentence about an identity that the ministry blocked everywhere, or None (F27)."""
    return None if identity["stopped_at"] is None else Problem(STOPPED, identity["stop_reason"])


def _foreign(office: Office, client: sqlite3.Row, identity: sqlite3.Row) -> Problem | None:
    """The office signs with its own certificates and its people's; a self-service client's opens that client alone."""
    kind, value, label = identity["subject_type"], identity["subject_value"], identity["label"]
    if identity["client_id"] is None:
        if kind == "Nip" and value != office.nip:
            return Problem("foreign_certificate", f"Profil {label} to certyfikat firmy o NIP {value}, a nie biura.")
        if kind == "Pesel" and identity["operator_id"] is None:
            return Problem("someone_elses", f"Profil {label} to certyfikat osoby, która nie jest operatorem biura.")
        return None
    if identity["client_id"] != client["id"] or (kind == "Nip" and value != client["nip"]):
        return Problem("other_clients_identity", f"Profil {label} to certyfikat innego klienta – działa tylko u niego.")
    if not client["self_service"]:
        return Problem(
            "not_self_service",
            f"Profil {label} to certyfikat klienta, a klient nie jest samoobsługowy – biuro loguje się własnym profilem.",
        )
    return None


def owner_refusal(
    office: Office, client: sqlite3.Row, identity: sqlite3.Row | None, rights: Collection[str]
) -> Problem | None:
    """Why a login by certificate that KSeF let in is not kept: it is the owner's, or should have been (F31)."""
    if identity is None or client["office"]:
        return None
    owner = "Owner" in rights
    if owner and not client["self_service"]:
        return Problem(
            OWNER_CERTIFICATE,
            f"{client['name']}: {named(identity)} to właściciel tej firmy – otwierałby w KSeF wszystko, więc wylogowano. "
            f"Biuro pracuje własnym profilem: klient nadaje uprawnienia dla NIP {office.nip}.",
        )
    if identity["client_id"] is not None and not owner:
        return Problem(
            NOT_OWNER,
            f"{client['name']}: {named(identity)} nie jest w KSeF właścicielem tej firmy, a profil klienta "
            "samoobsługowego musi nim być – wylogowano.",
        )
    return None


# ---- an identity that the ministry blocked everywhere


def stop(office: Office, connection: sqlite3.Connection, now: datetime, identity: sqlite3.Row) -> None:
    """No login by this identity from now on, anywhere; its clients are blocked, and what they had is kept for later."""
    label = identity["label"]
    reason = (
        f"Ministerstwo zablokowało profil {label} ({warsaw(now):%d.%m %H:%M}, kod 480 także u biura): nikt się nim nie "
        f"loguje. Zgłoś to w MF i autoryzuj klientów profilem zapasowym; gdy MF odblokuje: ksef-tui identity resume {label}."
    )
    if not offices.stop_identity(connection, now, identity["id"], reason):
        return
    for row in office.db.rows("SELECT * FROM authorization WHERE identity_id = ?", (identity["id"],)):
        stand_still(connection, now, row, reason)
    audit(connection, now, None, "identity.stopped", label=label, fingerprint=identity["fingerprint"])


def stand_still(connection: sqlite3.Connection, now: datetime, row: sqlite3.Row, reason: str) -> None:
    """A client whose identity is stopped is blocked; its tokens and rights wait for the day when it is let in again."""
    if row["state"] in _WORKS:
        authorizations.move(
            connection, now, row["client_id"], "learn", AuthState(row["state"]), AuthState.BLOCKED,
            reason_code=STOPPED, reason=reason,
        )  # fmt: skip
    elif row["state"] == AuthState.BLOCKED:
        authorizations.note(connection, now, row["client_id"], AuthState.BLOCKED, reason_code=STOPPED, reason=reason)


def resume(office: Office, connection: sqlite3.Connection, now: datetime, identity: sqlite3.Row) -> None:
    """KSeF lets it in again: what worked before works again; who was blocked without rights is asked about."""
    offices.resume_identity(connection, identity["id"])
    for row in office.db.rows(
        "SELECT * FROM authorization WHERE identity_id = ? AND state = 'blocked' AND reason_code = ?",
        (identity["id"], STOPPED),
    ):
        rights = set(json.loads(row["rights"]))
        works = AuthState.ACTIVE if rights & {"Owner", "InvoiceWrite"} else AuthState.READ_ONLY
        if rights & {"Owner", "InvoiceWrite", "InvoiceRead"}:
            authorizations.move(
                connection, now, row["client_id"], "learn", AuthState.BLOCKED, works, reason_code="", reason=""
            )
        else:
            reason = f"Profil {identity['label']} znów działa – sprawdź dostęp do tego klienta."
            may_sign = (
                identity["subject_type"] != "Pesel" and not row["intent"]
            )  # a person's signs only for that person
            authorizations.note(
                connection, now, row["client_id"], AuthState.BLOCKED, reason_code="identity_resumed", reason=reason,
                **({"intent": "check"} if may_sign else {}),
            )  # fmt: skip
