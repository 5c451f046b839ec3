"""What screens and lists read: plain rows, a window at a time. Nothing here changes anything.

Lists are an array of ids in order (cheap even for a million rows) plus the rows of the visible window; `changes_since`
tells which of them to read again. Every function is told who looks, and a `client` operator sees one company only.
"""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from ksef_tui.domain.authorizations import AuthMethod, AuthState, AuthStep
from ksef_tui.domain.invoices import InvoiceState, UpoState


@dataclass(frozen=True, slots=True)
class ClientRow:
    """A client as the list shows it."""

    id: int
    nip: str
    name: str
    office: bool  # the office's own company
    status: AuthState
    word: str  # the badge in words: "gotowy W P D", "cert. do 29.11", "klient nie nadał"
    waiting: int  # invoices to approve
    stuck: int  # invoices that stand until a person acts, or approved without a working authorisation
    moving: int  # approved, sending, unknown, processing
    paused: bool


@dataclass(frozen=True, slots=True)
class QueueRow:
    """An invoice as the queue shows it."""

    id: int
    client_id: int
    nip: str
    client: str
    number: str
    kind: str
    issue_date: str
    buyer_nip: str
    buyer: str
    gross: Decimal | None
    currency: str
    mode: str
    channel: str
    state: InvoiceState
    reason_code: str
    reason: str  # Polish; empty when all is well
    hint: str  # what is happening, why it stands, what to do: one short Polish phrase for the row
    ksef_number: str
    upo: UpoState
    sha256: str
    session: str
    reference: str
    attempts: int
    send_after: datetime | None  # until then it can be recalled; UTC
    changed_at: datetime  # UTC


@dataclass(frozen=True, slots=True)
class QueueFilter:
    """Which invoices a list shows; empty fields do not narrow."""

    client_id: int | None = None
    states: tuple[InvoiceState, ...] = ()
    text: str = ""  # in number, buyer, NIP, KSeF number, client's name; every word must be found


@dataclass(frozen=True, slots=True)
class StepView:
    """One step of the authorisation flow."""

    step: AuthStep
    state: str  # pending | running | done | failed
    detail: str  # e.g. "415"


@dataclass(frozen=True, slots=True)
class AuthorizationView:
    """The selected client's flow: where it stands, what is wrong in one sentence, what mends it."""

    client_id: int
    nip: str
    name: str
    status: AuthState
    word: str
    method: AuthMethod | None
    identity: str  # label of the identity, empty for a token
    identity_line: str  # "certyfikat KSeF, NIP 5265877635, ważny do 14.03.2028"
    steps: tuple[StepView, ...]
    rights: tuple[str, ...]  # KSeF codes
    can_delegate: bool
    sentence: str  # what is wrong or right, in Polish
    needed: str  # what is needed, when something is
    checked_at: datetime | None
    valid_until: datetime | None
    reason_code: str
    actions: tuple[str, ...]  # ids of the actions that mend it, most useful first


@dataclass(frozen=True, slots=True)
class IdentityRow:
    """An identity of the office as menus show it."""

    id: int
    label: str
    subject: str  # "NIP 5265877635" or "PESEL …"
    name: str  # common name of the certificate
    serial: str
    fingerprint: str  # SHA-256 of the certificate, hex
    key_kind: str  # RSA 2048, EC P-256
    valid_from: datetime
    valid_to: datetime


@dataclass(frozen=True, slots=True)
class TimelineRow:
    """One thing that happened to an invoice: a state, a call, or what a person did."""

    at: datetime
    kind: str  # state | call | act
    who: str  # login, or empty for the program
    text: str  # Polish


@dataclass(frozen=True, slots=True)
class InvoiceLine:
    """A line of goods or services."""

    name: str
    quantity: str
    unit: str
    net: str
    rate: str


@dataclass(frozen=True, slots=True)
class InvoiceDetails:
    """Everything about one invoice."""

    row: QueueRow
    seller: str
    lines: tuple[InvoiceLine, ...]  # at most 200
    more_lines: int
    errors: tuple[str, ...]  # Polish, when it is invalid
    warnings: tuple[str, ...]
    what_to_do: str
    timeline: tuple[TimelineRow, ...]
    qr_link: str  # code I (facts §15); empty until accepted
    xml: str  # the document as text, at most 200 kB


@dataclass(frozen=True, slots=True)
class Changes:
    """What changed after a moment of the feed."""

    seq: int
    client_ids: tuple[int, ...]
    invoice_ids: tuple[int, ...]
    everything: bool  # too many to name: read anew


@dataclass(frozen=True, slots=True)
class HeaderView:
    """The status line."""

    environment: str  # code
    environment_label: str  # PIASKOWNICA …
    office_name: str
    ksef: str  # works | trouble | silent | untried: our own calls of the last minutes
    ksef_word: str  # Polish
    sending: str  # on | off | paused
    sending_word: str  # "wysyłka", "nikt nie wysyła"
    alarm: str  # a sentence for every screen (480), else empty
    exercise: bool  # the demo says so on screen


@dataclass(frozen=True, slots=True)
class ClientCounts:
    """How many clients there are, and how many need a person."""

    total: int
    trouble: int


Ids = array  # of 'q'


def window(ids: Sequence[int], start: int, height: int) -> list[int]:
    """The ids of a window; empty beyond the end."""
    return list(ids[start : start + height])
