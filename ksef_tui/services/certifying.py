"""What a person asks about KSeF certificates: limits, list, order, renew, revoke (design §7; facts §6; F33).

An order is an intent in the database; `enrolment` and `lineage` carry it out under the lease of the client in whose
context the office is logged in.
"""

from __future__ import annotations

import re
import secrets
import sqlite3
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TypeVar

from ksef_tui.domain.authorizations import AuthMethod, AuthState
from ksef_tui.domain.certificates import ORDER_WORDS
from ksef_tui.domain.problems import Problem
from ksef_tui.domain.roles import Act, Operator, require
from ksef_tui.domain.times import from_text, to_text
from ksef_tui.ksef.api_certificates import AUTHENTICATION, OFFLINE, REASONS
from ksef_tui.ksef.codes import certificate_refusal
from ksef_tui.ksef.errors import KsefError, Limited, Refused, Unauthorized
from ksef_tui.ksef.models import Access
from ksef_tui.services import identities, lineage, login, personal
from ksef_tui.services.calls import NotNow
from ksef_tui.services.enrolment import NO_LOGIN
from ksef_tui.services.office import Office
from ksef_tui.services.own_work import carry_out, own_turn, serve_until
from ksef_tui.services.turn import NoAccess, Turn
from ksef_tui.store import authorizations, certificates, offices, settings
from ksef_tui.store.records import audit

PATIENCE = 30.0  # seconds for the lease and for each limit, when a person asks and waits
TYPES = {"authentication": AUTHENTICATION, "offline": OFFLINE}
REVOCATION_REASONS = REASONS
_NAME = re.compile(r"[a-zA-Z0-9_\- ąćęłńóśźżĄĆĘŁŃÓŚŹŻ]{5,100}")
_WORKS = (AuthState.ACTIVE, AuthState.EXPIRING, AuthState.READ_ONLY)
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Limits:
    """How many certificates the one who is logged in may still order and hold."""

    can_request: bool
    orders_left: int
    orders_limit: int
    held_left: int
    held_limit: int
    subject: str  # "Nip:5265877635"; empty when KSeF did not say

    @property
    def words(self) -> str:
        """Polish, one line."""
        if not self.orders_left:
            return str(certificate_refusal(25006))
        if not self.held_left:
            return str(certificate_refusal(25007))
        held = f"miejsc na certyfikaty {self.held_left} z {self.held_limit}"
        return f"Wniosków zostało {self.orders_left} z {self.orders_limit}, {held}."


@dataclass(frozen=True, slots=True)
class Certificate:
    """A certificate as KSeF lists it; `label`: what we call it, when we hold it."""

    serial: str
    name: str
    type: str
    status: str
    subject: str
    valid_from: datetime
    valid_to: datetime
    last_used: datetime | None
    requested: datetime
    label: str


@dataclass(frozen=True, slots=True)
class Order:
    """An order or a certificate for QR codes, as screens show it."""

    id: int
    name: str
    label: str
    type: str
    state: str
    reason_code: str
    reason: str
    serial: str
    valid_to: datetime | None
    client_id: int
    renews: bool

    @property
    def is_live(self) -> bool:
        """Whether it is under way."""
        return self.state in certificates.LIVE

    @property
    def is_offline(self) -> bool:
        """Whether it is a certificate for QR codes that the office holds."""
        return self.type == OFFLINE and self.state == "done"

    @property
    def word(self) -> str:
        """Where it stands, in Polish."""
        return self.reason if self.is_live and self.reason else ORDER_WORDS[self.state]


# ---- reading


async def limits(office: Office, operator: Operator, client_id: int | None = None) -> Limits:
    """What is left of the limits of the one who is logged in in this context (None: the office's own). Raises Problem."""
    where = _context(office, operator, client_id)
    found = await _ask(office, operator, where, lambda turn, access: turn.api.certificate_limits(access))
    subject = authorizations.get(office.db, where)["subject"]
    return Limits(
        found.can_request, found.enrollment.remaining, found.enrollment.limit,
        found.certificate.remaining, found.certificate.limit, subject,
    )  # fmt: skip


async def listed(office: Office, operator: Operator, client_id: int | None = None) -> list[Certificate]:
    """The certificates of the one who is logged in in this context, the latest order first. Raises Problem."""
    where = _context(office, operator, client_id)
    found = await _ask(office, operator, where, lambda turn, access: turn.api.certificates(access))
    labels = {row["serial"]: row["label"] for row in [*offices.identities(office.db), *certificates.offline(office.db)]}
    return [
        Certificate(
            one.certificate_serial_number, one.name, one.type, one.status,
            f"{one.subject_identifier.type}:{one.subject_identifier.value}",
            one.valid_from, one.valid_to, one.last_use_date, one.request_date,
            labels.get(one.certificate_serial_number, ""),
        )
        for one in found
    ]  # fmt: skip


def orders(office: Office, operator: Operator) -> list[Order]:
    """The orders that this operator may see, newest first; those for QR codes stay as what the office holds."""
    require(operator, Act.CERTIFICATE_ENROL, None)
    return [
        _order(row)
        for row in certificates.newest(office.db)
        if row["subject_type"] != "Pesel" or row["operator_id"] == operator.id
    ]


def order_by_id(office: Office, operator: Operator, enrolment_id: int) -> Order:
    """One order. Raises KeyError."""
    require(operator, Act.CERTIFICATE_ENROL, None)
    return _order(certificates.get(office.db, enrolment_id))


def _order(row: sqlite3.Row) -> Order:
    return Order(
        row["id"], row["name"], row["label"], row["type"], row["state"], row["reason_code"], row["reason"], row["serial"],
        from_text(row["valid_to"]) if row["valid_to"] else None, row["client_id"], row["renews"] is not None,
    )  # fmt: skip


async def _ask(office: Office, operator: Operator, client_id: int, ask: Callable[[Turn, Access], Awaitable[T]]) -> T:
    """Ask KSeF something while a person waits."""
    try:
        async with own_turn(office, client_id, operator, patience=PATIENCE) as turn:
            try:
                return await ask(turn, await login.access_for(turn))
            except Unauthorized:  # the kept token does not work any more, though its time has not come
                login.forget_access(turn)
                return await ask(turn, await login.access_for(turn))
    except NoAccess:
        raise Problem("office_not_authorised", NO_LOGIN) from None
    except (NotNow, Limited) as wait:
        seconds = wait.seconds if isinstance(wait, NotNow) else wait.retry_after
        raise Problem("limit", f"Limit zapytań KSeF jest wyczerpany – ponów za {seconds:.0f} s.") from None
    except Refused as refused:
        raise Problem("refused", certificate_refusal(refused.code) or f"KSeF odmówił: {refused.message}") from None
    except KsefError as error:
        raise Problem("unreachable", f"KSeF nie odpowiada. {error.message}") from None


def _context(office: Office, operator: Operator, client_id: int | None) -> int:
    """The client in whose context the office is logged in as whoever the certificate shall be for.

    Raises Problem: nobody is logged in there, a token is (25001), another person is, or the client itself.
    """
    require(operator, Act.CERTIFICATE_ENROL, None)
    where = _own_client(office) if client_id is None else client_id
    row, client = authorizations.get(office.db, where), offices.client(office.db, where)
    assert client is not None
    if row["method"] is None or row["state"] not in _WORKS:
        raise Problem(
            "office_not_authorised",
            f"Najpierw zaloguj biuro u siebie: autoryzuj klienta {client['name']} (NIP {client['nip']}) podpisem "
            "zewnętrznym albo certyfikatem.",
        )
    if row["method"] == AuthMethod.TOKEN:
        raise Problem("logged_in_by_token", str(certificate_refusal(25002)))
    kind, _, value = row["subject"].partition(":")
    if kind == "Nip":
        identities.refuse_foreign(office, kind, value)
    elif not _is_operators_own(office, operator, row, client):
        raise Problem(
            "someone_elses",
            "Biuro jest tu zalogowane przez inną osobę – certyfikat osobisty zamawia tylko ona, na własnym loginie.",
        )
    return where


def _is_operators_own(office: Office, operator: Operator, row: sqlite3.Row, client: sqlite3.Row) -> bool:
    """Whether a person's login is this operator's: their own profile, or a signature that they brought to the office."""
    identity = offices.identity(office.db, row["identity_id"]) if row["identity_id"] is not None else None
    if identity is not None:
        return identity["operator_id"] in (None, operator.id)
    brought = office.db.value(
        "SELECT operator_id FROM authorization_event WHERE client_id = ? AND act = 'submit' ORDER BY id DESC LIMIT 1",
        (row["client_id"],),
    )
    return bool(client["office"]) and brought == operator.id


def _own_client(office: Office) -> int:
    return int(office.db.value("SELECT id FROM client WHERE office = 1"))


# ---- asking


def order(
    office: Office,
    operator: Operator,
    name: str,
    label: str,
    kind: str = AUTHENTICATION,
    client_id: int | None = None,
) -> int:
    """Order a certificate for whoever is logged in in this context (None: the office's own); the order's id. An order
    under way with the same label goes on instead.

    Raises Problem: a name that KSeF does not take, a label that is taken, and those of the context.
    """
    require(operator, Act.CERTIFICATE_ENROL, None)
    if not _NAME.fullmatch(name):
        raise Problem("bad_name", "Nazwa certyfikatu ma mieć od 5 do 100 znaków: litery, cyfry, spacje, _ i -.")
    if kind not in (AUTHENTICATION, OFFLINE):
        raise Problem("bad_type", "Typ certyfikatu to authentication albo offline.")
    label = identities.free_label(office, label)
    under_way = next((row for row in certificates.live(office.db) if row["label"] == label), None)
    if under_way is not None:
        return int(under_way["id"])
    if any(row["label"] == label for row in certificates.offline(office.db)):
        raise Problem("label_taken", f"Certyfikat o nazwie {label} już jest.")
    where = _context(office, operator, client_id)
    now = office.clock()
    values: dict[str, object] = {
        "client_id": where, "operator_id": operator.id, "renews": None, "name": name, "label": label, "type": kind
    }  # fmt: skip
    return _insert(office, operator, now, values)


def renew(office: Office, operator: Operator, label: str) -> int:
    """Order a new certificate with one that is still valid; the order's id. It takes the label, clients go over to it,
    and the old one is revoked when nobody uses it any more (F33).

    Raises Problem: unknown, expired, another person's, or used by no client (then nobody can log in with it).
    """
    require(operator, Act.CERTIFICATE_ENROL, None)
    identity, client_id = _renewable(office, operator, label)
    under_way = next((row for row in certificates.live(office.db) if row["renews"] == identity["id"]), None)
    return int(under_way["id"]) if under_way is not None else _insert_renewal(office, operator, identity, client_id)


def _renewable(office: Office, operator: Operator, label: str) -> tuple[sqlite3.Row, int]:
    """The identity, and a client in whose context it is logged in. Raises Problem."""
    identity = identities.named(office, label)
    personal.refuse_someone_elses(operator, identity)
    if identity["replaced_by"] is not None:
        raise Problem("renewed_already", f"Profil {label} jest już odnowiony.")
    if from_text(identity["valid_to"]) <= office.clock():
        raise Problem(
            "certificate_expired",
            f"Certyfikat profilu {label} wygasł i nie odnowi sam siebie – zaloguj biuro podpisem i zamów nowy.",
        )
    client_id = context_of(office, identity)
    if client_id is None:
        raise Problem(
            "identity_unused",
            f"Profil {label} nigdzie nie jest zalogowany – najpierw autoryzuj nim biuro albo klienta.",
        )
    return identity, client_id


async def renewal_limits(office: Office, operator: Operator, label: str) -> Limits:
    """The limits that a renewal would take from. Raises the Problems of `renew`."""
    require(operator, Act.CERTIFICATE_ENROL, None)
    return await limits(office, operator, _renewable(office, operator, label)[1])


def _insert_renewal(office: Office, operator: Operator | None, identity: sqlite3.Row, client_id: int) -> int:
    """The order of a renewal, by a person or (None) by the setting `renew_automatically`."""
    now = office.clock()
    values: dict[str, object] = {
        "client_id": client_id, "operator_id": operator.id if operator else None, "renews": identity["id"],
        "name": name_for(identity["label"], now), "label": identity["label"], "type": AUTHENTICATION,
    }  # fmt: skip
    return _insert(office, operator, now, values)


def plan(office: Office) -> None:
    """Order new certificates for those of the office that end soon, when the setting says so; once a day each. A
    personal one is only announced: nobody orders in a person's name."""
    if settings.get(office.db, "renew_automatically") != "1":
        return
    yesterday = to_text(office.clock() - timedelta(days=1))
    for identity in lineage.ending(office):
        tried = office.db.value(
            "SELECT 1 FROM enrolment WHERE renews = ? AND created_at > ?", (identity["id"], yesterday)
        )
        client_id = context_of(office, identity)
        if tried is None and identity["operator_id"] is None and client_id is not None:
            _insert_renewal(office, None, identity, client_id)


def _insert(office: Office, operator: Operator | None, now: datetime, values: dict[str, object]) -> int:
    client_id = values["client_id"]
    assert isinstance(client_id, int)
    with office.db.write() as connection:
        try:
            made = certificates.insert(connection, now, values)
        except sqlite3.IntegrityError:
            raise Problem("changed_meanwhile", "Ten certyfikat właśnie ktoś zamówił.") from None
        state = AuthState(authorizations.get(office.db, client_id)["state"])
        authorizations.note(connection, now, client_id, state)  # the worker wakes up, screens show it
        audit(
            connection, now, operator, Act.CERTIFICATE_ENROL, client_id=client_id,
            label=values["label"], type=values["type"], renews=values["renews"],
        )  # fmt: skip
    return made


def name_for(label: str, now: datetime) -> str:
    """A certificate's name in KSeF, from a label: only what KSeF takes, and different each time."""
    kept = "".join(c for c in label if _NAME.fullmatch(c * 5)).strip() or "certyfikat"
    return f"{kept[:80]} {now:%Y%m%d}-{secrets.token_hex(2)}"


def context_of(office: Office, identity: sqlite3.Row) -> int | None:
    """A client in whose context an identity (or the same subject) is logged in: the office first."""
    rows = office.db.rows(
        "SELECT a.client_id, a.state FROM authorization a JOIN client c ON c.id = a.client_id "
        "WHERE a.identity_id = ? OR (c.office = 1 AND a.method = 'external' AND a.subject = ?) ORDER BY c.office DESC, c.id",
        (identity["id"], f"{identity['subject_type']}:{identity['subject_value']}"),
    )
    return next((row["client_id"] for row in rows if row["state"] in _WORKS), None)


def revoke(office: Office, operator: Operator, label: str, reason: str) -> int:
    """Revoke a certificate at KSeF, for good; the revocation's id. Its logins are ended in every client's context (F32),
    and those clients stand until they are authorised with another one.

    The office's own certificates are revoked by an administrator, a personal one by whom it names. Raises Problem.
    """
    require(operator, Act.CERTIFICATE_REVOKE, None)
    if reason not in REASONS:
        raise Problem("bad_reason", f"Powód to jeden z: {', '.join(REASONS)}.")
    held = next((row for row in certificates.offline(office.db) if row["label"] == label), None)
    identity = None if held is not None else identities.named(office, label)
    row = held or identity
    assert row is not None
    if row["subject_type"] == "Pesel":
        if row["operator_id"] != operator.id:
            raise Problem("someone_elses", "To certyfikat innej osoby – odwołać może go tylko ona.")
    else:
        require(operator, Act.IDENTITY_REMOVE, None)
    if identity is not None and identities.kind_of(identity) != "ksef":
        raise Problem(
            "not_by_ksef", f"Certyfikatu profilu {label} nie wystawił KSeF – odwołuje się go tam, gdzie go wydano."
        )
    where = held["client_id"] if held is not None else context_of(office, row)
    where = _own_client(office) if where is None else where
    return _insert_revocation(office, operator, where, row, identity, held, reason)


def _insert_revocation(
    office: Office,
    operator: Operator,
    client_id: int,
    row: sqlite3.Row,
    identity: sqlite3.Row | None,
    held: sqlite3.Row | None,
    reason: str,
) -> int:
    now = office.clock()
    with office.db.write() as connection:
        made = certificates.insert_revocation(
            connection, now,
            {"client_id": client_id, "identity_id": identity["id"] if identity is not None else None,
             "enrolment_id": held["id"] if held is not None else None, "serial": row["serial"], "reason": reason,
             "operator_id": operator.id, "state": "asked"},
        )  # fmt: skip
        state = AuthState(authorizations.get(office.db, client_id)["state"])
        authorizations.note(connection, now, client_id, state)
        audit(
            connection, now, operator, Act.CERTIFICATE_REVOKE, label=row["label"], serial=row["serial"], reason=reason
        )
    return made


# ---- waiting for the end, for commands


async def finish(office: Office, enrolment_id: int, *, patience: float) -> sqlite3.Row:
    """Carry an order out in this process, renewed clients and the old certificate included; its row.

    Raises Problem: timeout, or why it failed.
    """
    row = certificates.get(office.db, enrolment_id)

    def reached() -> bool:
        now = certificates.get(office.db, enrolment_id)
        return now["state"] not in certificates.LIVE or now["reason_code"] == "office_not_authorised"

    await serve_until(office, row["client_id"], reached, patience=patience)
    row = certificates.get(office.db, enrolment_id)
    if row["state"] != "done":
        raise Problem(row["reason_code"] or "failed", row["reason"] or "Certyfikatu nie zamówiono.")
    if row["renews"] is None:
        await carry_out(office, row["client_id"], patience=patience)
        return row
    for client_id in certificates.users(office.db, row["renews"]):
        await _serve_changed(office, client_id, row["renews"], patience)
    for waiting in certificates.revocations(office.db, row["client_id"]):
        if waiting["identity_id"] == row["renews"]:
            await _revoked(office, waiting["id"], patience)
    return row


async def finish_revocation(office: Office, revocation_id: int, *, patience: float) -> None:
    """Carry a revocation out in this process: at KSeF, then in every client's context. Raises Problem."""
    asked = certificates.revocation(office.db, revocation_id)
    users = [] if asked["identity_id"] is None else certificates.users(office.db, asked["identity_id"])
    await _revoked(office, revocation_id, patience)
    ended = certificates.revocation(office.db, revocation_id)
    if ended["state"] == "failed":
        raise Problem("not_revoked", ended["message"])
    for client_id in users:
        await _serve_changed(office, client_id, asked["identity_id"], patience)


async def _revoked(office: Office, revocation_id: int, patience: float) -> None:
    row = certificates.revocation(office.db, revocation_id)
    await serve_until(
        office, row["client_id"],
        lambda: certificates.revocation(office.db, revocation_id)["state"] in ("done", "failed"), patience=patience,
    )  # fmt: skip


async def _serve_changed(office: Office, client_id: int, identity_id: int, patience: float) -> None:
    """One client of a certificate that is no more: until it has gone over, or its logins are ended."""

    def reached() -> bool:
        row = authorizations.get(office.db, client_id)
        left = row["identity_id"] == identity_id and row["method"] == AuthMethod.CERTIFICATE
        return not row["intent"] and not (
            left and not (row["reason_code"] == lineage.REVOKED and not row["sealed_refresh"])
        )

    await serve_until(office, client_id, reached, patience=patience)
