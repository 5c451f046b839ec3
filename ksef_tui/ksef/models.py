"""Wire models. Tolerant: unknown fields are ignored, null is absence, new enum members are plain text (F55)."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any, TypeVar

import msgspec

from ksef_tui.domain.secret import Secret


class Model(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """A document of the API. Every moment is aware: one without an offset is read as UTC."""

    def __post_init__(self) -> None:
        for name in self.__struct_fields__:
            value = getattr(self, name)
            if isinstance(value, datetime) and value.tzinfo is None:
                msgspec.structs.force_setattr(self, name, value.replace(tzinfo=UTC))


T = TypeVar("T")
_decoder = msgspec.json.Decoder(float_hook=Decimal)


def decode(body: bytes, kind: type[T]) -> T:
    """The document in `body`; raises msgspec.DecodeError (its ValidationError included) when it is not one."""
    return msgspec.convert(_without_nulls(_decoder.decode(body)), kind, dec_hook=_convert)


def encode(document: object) -> bytes:
    """A request body; fields that are None are left out."""
    return msgspec.json.encode(_without_nulls(msgspec.to_builtins(document)))


def _without_nulls(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_nulls(item) for key, item in value.items() if item is not None}
    if isinstance(value, list):
        return [_without_nulls(item) for item in value if item is not None]
    return value


def _convert(kind: type[Any], value: object) -> object:
    # A token goes into a header: anything but visible ASCII would fail there, and the failure would quote it.
    if kind is Secret and isinstance(value, str) and re.fullmatch(r"[\x21-\x7e]+", value):
        return Secret(value)
    raise ValueError("not a token")


@dataclass(frozen=True, slots=True)
class Access:
    """In whose context a call is made, and the access token that allows it."""

    context: str
    token: Secret


@dataclass(frozen=True, slots=True)
class Download:
    """A file as it came. `meta_hash` is the `x-ms-meta-hash` header: Base64 SHA-256 of the body, by KSeF."""

    body: bytes
    meta_hash: str | None
    content_type: str


class Status(Model, frozen=True, kw_only=True):
    """A code of the tables in `codes.py` with KSeF's own words."""

    code: int
    description: str = ""
    details: tuple[str, ...] = ()


class Identifier(Model, frozen=True, kw_only=True):
    """`type`: Nip, Pesel, Fingerprint, InternalId, AllPartners …"""

    type: str
    value: str = ""


# ---- keys and authentication (facts §3, §4)


class PublicKeyCertificate(Model, frozen=True, kw_only=True):
    """A certificate of the ministry for encryption: `certificate` is Base64 of DER."""

    certificate: str
    valid_from: datetime
    valid_to: datetime
    usage: tuple[str, ...] = ()
    certificate_id: str = ""
    public_key_id: str = ""


class Challenge(Model, frozen=True, kw_only=True):
    """What must be signed within ten minutes; `timestamp_ms` goes into an encrypted token."""

    challenge: str
    timestamp: datetime
    timestamp_ms: int
    client_ip: str = ""


class AccessToken(Model, frozen=True, kw_only=True):
    """A JWT and its end; the authentication and the refresh token have the same shape."""

    token: Secret
    valid_until: datetime


class TokenPair(Model, frozen=True, kw_only=True):
    """What `redeem` gives, once."""

    access_token: AccessToken
    refresh_token: AccessToken


class Refreshed(Model, frozen=True, kw_only=True):
    """What `refresh` gives: the refresh token stays the same."""

    access_token: AccessToken


class AuthStarted(Model, frozen=True, kw_only=True):
    """A login that KSeF now examines."""

    reference_number: str
    authentication_token: AccessToken


class MethodInfo(Model, frozen=True, kw_only=True):
    """How somebody logged in."""

    category: str = ""
    code: str = ""
    display_name: str = ""


class AuthStatus(Model, frozen=True, kw_only=True):
    """How the examination of a login stands; 200 may be redeemed."""

    status: Status
    start_date: datetime | None = None
    authentication_method: str = ""
    authentication_method_info: MethodInfo | None = None
    is_token_redeemed: bool = False
    last_token_refresh_date: datetime | None = None
    refresh_token_valid_until: datetime | None = None


class AuthSession(AuthStatus, frozen=True, kw_only=True):
    """A login in the list of logins."""

    reference_number: str
    is_current: bool = False


# ---- sessions and invoices (facts §8, §10)


class FormCode(Model, frozen=True, kw_only=True):
    """The kind of document a session takes."""

    system_code: str
    schema_version: str
    value: str


FA3 = FormCode(system_code="FA (3)", schema_version="1-0E", value="FA")


class EncryptionInfo(Model, frozen=True, kw_only=True):
    """A session key wrapped for KSeF, Base64."""

    encrypted_symmetric_key: str
    initialization_vector: str
    public_key_id: str | None = None


class PartUpload(Model, frozen=True, kw_only=True):
    """Where and how one part of a package is sent: exactly these headers, never our token (facts §9)."""

    ordinal_number: int
    method: str
    url: str
    headers: dict[str, str] = msgspec.field(default_factory=dict)


class OpenedBatch(Model, frozen=True, kw_only=True):
    """A new batch session; it must be closed, or it ends after 12 hours with nothing processed (F13, F14)."""

    reference_number: str
    part_upload_requests: list[PartUpload]


class OpenedSession(Model, frozen=True, kw_only=True):
    """A new session; it ends by itself after `valid_until`."""

    reference_number: str
    valid_until: datetime | None = None


class UpoPage(Model, frozen=True, kw_only=True):
    """A page of a session's UPO, to be had without a token until the address expires."""

    reference_number: str
    download_url: str = ""
    download_url_expiration_date: datetime | None = None


class UpoPages(Model, frozen=True, kw_only=True):
    """The UPO of a session."""

    pages: tuple[UpoPage, ...] = ()


class SessionStatus(Model, frozen=True, kw_only=True):
    """How a session stands."""

    status: Status
    date_created: datetime | None = None
    date_updated: datetime | None = None
    valid_until: datetime | None = None
    upo: UpoPages | None = None
    invoice_count: int = 0
    successful_invoice_count: int = 0
    failed_invoice_count: int = 0


class SessionSummary(Model, frozen=True, kw_only=True):
    """A session in the list of sessions."""

    reference_number: str
    status: Status
    date_created: datetime | None = None
    date_updated: datetime | None = None
    valid_until: datetime | None = None
    total_invoice_count: int = 0
    successful_invoice_count: int = 0
    failed_invoice_count: int = 0


class InvoiceStatus(Status, frozen=True, kw_only=True):
    """A code of an invoice. For 440 `extensions` name the original, or do not (F5, F8)."""

    extensions: dict[str, Any] = {}

    @property
    def original_ksef_number(self) -> str:
        """The number of the invoice that this one duplicates, or empty."""
        return str(self.extensions.get("originalKsefNumber") or "")

    @property
    def original_session(self) -> str:
        """The session of the original, or empty; may be wrong (F8)."""
        return str(self.extensions.get("originalSessionReferenceNumber") or "")


class SessionInvoice(Model, frozen=True, kw_only=True):
    """An invoice in a session. It is ours by `invoice_hash`, never by its number (F12)."""

    reference_number: str
    invoice_hash: str
    status: InvoiceStatus
    ordinal_number: int = 0
    invoice_number: str = ""
    ksef_number: str = ""
    invoice_file_name: str = ""
    acquisition_date: datetime | None = None
    invoicing_date: datetime | None = None
    permanent_storage_date: datetime | None = None
    upo_download_url: str = ""
    upo_download_url_expiration_date: datetime | None = None
    invoicing_mode: str = ""


class SentInvoice(Model, frozen=True, kw_only=True):
    """KSeF took a file; it has not judged it."""

    reference_number: str


class Seller(Model, frozen=True, kw_only=True):
    """Who issued an invoice."""

    nip: str = ""
    name: str = ""


class Buyer(Model, frozen=True, kw_only=True):
    """Who an invoice is for."""

    identifier: Identifier | None = None
    name: str = ""


class InvoiceMetadata(Model, frozen=True, kw_only=True):
    """An invoice in KSeF, as the metadata query shows it."""

    ksef_number: str
    invoice_hash: str
    invoice_number: str = ""
    issue_date: date | None = None
    invoicing_date: datetime | None = None
    acquisition_date: datetime | None = None
    permanent_storage_date: datetime | None = None
    seller: Seller | None = None
    buyer: Buyer | None = None
    net_amount: Decimal = Decimal(0)
    gross_amount: Decimal = Decimal(0)
    vat_amount: Decimal = Decimal(0)
    currency: str = ""
    invoicing_mode: str = ""
    invoice_type: str = ""
    form_code: FormCode | None = None
    is_self_invoicing: bool = False
    has_attachment: bool = False


# ---- permissions, tokens, limits (facts §5, §7, §12)


class PersonDetails(Model, frozen=True, kw_only=True):
    """The person of a grant. `person_identifier`: of one who is known by a fingerprint."""

    first_name: str = ""
    last_name: str = ""
    person_identifier: Identifier | None = None


class EntityDetails(Model, frozen=True, kw_only=True):
    """The company of a grant."""

    full_name: str = ""


class Grant(Model, frozen=True, kw_only=True):
    """A permission: who (`authorized_identifier`) may do what (`permission_scope`) where (`context_identifier`)."""

    id: str
    permission_scope: str
    permission_state: str = "Active"
    can_delegate: bool = False
    description: str = ""
    start_date: datetime | None = None
    context_identifier: Identifier | None = None
    authorized_identifier: Identifier | None = None
    author_identifier: Identifier | None = None
    target_identifier: Identifier | None = None
    subject_person_details: PersonDetails | None = None
    subject_entity_details: EntityDetails | None = None


@dataclass(frozen=True, slots=True)
class GrantedPerson:
    """A person as a grant names them (facts §7.2): `kind` Pesel, Nip or Fingerprint, names of 2–30 and 2–81 characters.

    Who is known by a fingerprint has an `identifier` (Pesel or Nip), or else a birth date and a document.
    """

    kind: str
    value: str = field(repr=False)
    first_name: str
    last_name: str
    identifier: Identifier | None = field(default=None, repr=False)
    born: str = field(default="", repr=False)  # YYYY-MM-DD
    document: tuple[str, str, str] | None = field(default=None, repr=False)  # kind, number, country


class OperationStatus(Model, frozen=True, kw_only=True):
    """How an operation on permissions stands: 100 runs, 200 is done, the rest failed."""

    status: Status


class Accepted(Model, frozen=True, kw_only=True):
    """An operation was accepted and runs."""

    reference_number: str


class NewToken(Model, frozen=True, kw_only=True):
    """A new KSeF token. The secret is shown this once."""

    token: Secret
    reference: str = msgspec.field(name="referenceNumber")


class TokenStatus(Model, frozen=True, kw_only=True):
    """A KSeF token: Pending, Active, Revoking, Revoked, Failed."""

    reference_number: str
    status: str
    status_details: tuple[str, ...] = ()
    description: str = ""
    requested_permissions: tuple[str, ...] = ()
    date_created: datetime | None = None
    last_use_date: datetime | None = None
    author_identifier: Identifier | None = None
    context_identifier: Identifier | None = None


class SessionLimits(Model, frozen=True, kw_only=True):
    """How big and how many the invoices of one session may be."""

    max_invoice_size_in_mb: int = msgspec.field(name="maxInvoiceSizeInMB", default=1)
    max_invoice_with_attachment_size_in_mb: int = msgspec.field(name="maxInvoiceWithAttachmentSizeInMB", default=3)
    max_invoices: int = 10_000


class ContextLimits(Model, frozen=True, kw_only=True):
    """The limits of one context."""

    online_session: SessionLimits
    batch_session: SessionLimits


class AttachmentStatus(Model, frozen=True, kw_only=True):
    """Whether a taxpayer may send invoices with attachments."""

    is_attachment_allowed: bool = False
