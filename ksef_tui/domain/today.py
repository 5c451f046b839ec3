"""What needs a person now: the kinds of it in the order of urgency, how they are grouped, what mends each (design §6, F52).

Pure tables and rules; `services.today` reads the facts. One row of the screen is one kind of one client, so that a
hundred clients with thirty waiting invoices are a hundred rows. What is so for all clients alike is one row.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from enum import StrEnum

from ksef_tui.domain.authorizations import AuthMethod, AuthState
from ksef_tui.domain.invoices import RETRYABLE_REJECTIONS, Badge, InvoiceState
from ksef_tui.domain.text import count_of
from ksef_tui.domain.times import WARSAW, warsaw

S, A = InvoiceState, AuthState


class Kind(StrEnum):
    """What needs a person. The value is the code that scripts see."""

    STOPPED = "stopped"  # an identity of the office that cannot log in any more
    ACCESS = "access"  # an authorisation that does not work while something waits for it
    APPROVE = "approve"
    STANDING = "standing"  # approved, and does not move
    BLOCKED = "blocked"  # by a check of ours
    REFUSED = "refused"  # by KSeF
    INVALID = "invalid"
    CHECKED = "checked"  # nobody knows yet whether KSeF has it
    OUTGOING = "outgoing"  # dated today, approved, not gone yet
    RECEIPT = "receipt"  # accepted, and the UPO is late
    HELD = "held"
    SIGN = "sign"  # a request that waits for its signature
    VISIT = "visit"  # a client's visit that stopped half way
    ENDS = "ends"  # an authorisation that stops soon
    LETTER = "letter"  # a letter that the client has not answered


@dataclass(frozen=True, slots=True)
class Rule:
    """How a kind looks and what mends it, most useful key first. `states`: of which invoices it consists."""

    kind: Kind
    badge: Badge
    actions: tuple[str, ...]
    states: frozenset[InvoiceState] = frozenset()


def _rule(
    kind: Kind, glyph: str, plain: str, label: str, tone: str, actions: tuple[str, ...], *states: InvoiceState
) -> Rule:
    return Rule(kind, Badge(glyph, plain, label, tone), actions, frozenset(states))


# In the order of urgency, of what is equally due. The label stands behind a count: "12 do zatwierdzenia".
RULES: tuple[Rule, ...] = (
    _rule(Kind.STOPPED, "■", "#", "bez profilu", "bad", ("identity.takeover", "auth.switch", "profiles")),
    _rule(Kind.ACCESS, "⊘", "&", "bez dostępu", "bad", (), S.APPROVED, S.SENDING),
    _rule(Kind.APPROVE, "○", "o", "do zatwierdzenia", "wait", ("invoice.approve",), S.WAITING),
    _rule(Kind.STANDING, "◷", "@", "stoi", "bad", ("open",), S.APPROVED, S.SENDING),
    _rule(
        Kind.BLOCKED,
        "!",
        "!",
        "zablokowane",
        "bad",
        ("invoice.release", "invoice.repair", "invoice.withdraw"),
        S.BLOCKED,
    ),
    _rule(Kind.REFUSED, "✘", "X", "odrzucone", "bad", ("invoice.repair", "invoice.withdraw"), S.REJECTED),
    _rule(Kind.INVALID, "✖", "x", "do poprawy", "bad", ("invoice.repair", "invoice.import"), S.INVALID),
    _rule(Kind.CHECKED, "?", "?", "sprawdzane", "wait", ("open",), S.UNKNOWN),
    _rule(Kind.OUTGOING, "▸", ">", "do wysłania", "busy", ("invoice.urge",), S.APPROVED),
    _rule(Kind.RECEIPT, "✔", "+", "bez UPO", "bad", ("open",), S.ACCEPTED),
    _rule(Kind.HELD, "‖", "=", "wstrzymane", "wait", ("invoice.release", "invoice.withdraw"), S.HELD),
    _rule(Kind.SIGN, "✎", "/", "do podpisu", "wait", ("auth.submit", "auth.export")),
    _rule(Kind.VISIT, "◌", "~", "do dokończenia", "wait", ("auth.start", "auth.cancel")),
    _rule(Kind.ENDS, "◔", "%", "kończy się", "wait", ("auth.start",)),
    _rule(Kind.LETTER, "✉", "@", "pismo bez odpowiedzi", "quiet", ("auth.check", "client.letter")),
)
BY_KIND: dict[Kind, Rule] = {rule.kind: rule for rule in RULES}
_PLACE: dict[Kind, int] = {rule.kind: place for place, rule in enumerate(RULES)}

# What stands apart from all others of its state by the reason why it stands (`domain.standing`).
_BY_WHY: dict[str, tuple[str, ...]] = {
    "paused": ("sending.pause",),
    "switching": ("auth.switch", "auth.cancel"),
    "personal": ("auth.switch",),
    "not_approved": ("invoice.recall",),
}
_ENDS_BY: dict[str, tuple[str, ...]] = {
    AuthMethod.CERTIFICATE: ("profiles", "auth.switch"),
    AuthMethod.TOKEN: ("auth.switch", "auth.start"),
}

AFTERNOON, EVENING = time(14, 30), time(22, 0)  # in Poland: when what is dated today is shown, and again (F52)
LETTER_DAYS = 3  # a client may take so long to answer before somebody asks
UNSENT = frozenset({S.WAITING, S.APPROVED, S.HELD, S.BLOCKED, S.REJECTED, S.INVALID, S.SENDING})
_NOT_WORKING = frozenset({A.BLOCKED, A.EXPIRED, A.NO_PERMISSION, A.READ_ONLY, A.FAILED, A.MISSING, A.REQUESTED})


@dataclass(frozen=True, slots=True)
class Money:
    """Sums by currency, the złoty first. They are of whole groszy."""

    sums: tuple[tuple[str, Decimal], ...] = ()

    @classmethod
    def of(cls, cents: Mapping[str, int]) -> Money:
        """From hundredths by currency."""
        order = sorted(cents, key=lambda currency: (currency != "PLN", currency))
        return cls(tuple((currency, Decimal(cents[currency]) / 100) for currency in order if cents[currency]))


@dataclass(frozen=True, slots=True)
class Item:
    """One thing that needs a person. `key` stays the same while it stands; `clients` are all whom it concerns."""

    key: str
    kind: Kind
    due: bool  # dated today, and the day is passing
    clients: tuple[int, ...]
    name: str  # the client, "34 klientów", the identity
    nip: str  # of the client, empty when there are several
    count: int  # of invoices, or of clients where it is about an identity
    why: str  # one Polish sentence
    actions: tuple[str, ...]  # ids, the one that mends it first
    money: Money = field(default_factory=Money)
    invoices: tuple[int, ...] = ()
    states: Mapping[InvoiceState, int] = field(default_factory=dict)
    reason_code: str = ""
    since: datetime | None = None
    until: datetime | None = None

    @property
    def client(self) -> int | None:
        """The one client that it concerns."""
        return self.clients[0] if len(self.clients) == 1 else None


def by_urgency(items: Iterable[Item]) -> list[Item]:
    """Most urgent first: identities that stopped, what has to go out before midnight, the rest by kind; of a kind the
    oldest first, then by name."""

    def rank(item: Item) -> tuple[bool, bool, int, bool, float, str]:
        oldest = item.until or item.since
        return (
            item.kind is not Kind.STOPPED,
            not item.due,
            _PLACE[item.kind],
            oldest is None,
            oldest.timestamp() if oldest is not None else 0.0,
            item.name.casefold(),
        )

    return sorted(items, key=rank)


def due_day(now: datetime) -> str:
    """The date (as documents write it) of what has to go out before midnight: from 14:30 in Poland today's, else none."""
    local = warsaw(now)
    return local.date().isoformat() if local.time() >= AFTERNOON else ""


def is_due(issue_date: str, state: InvoiceState, day: str) -> bool:
    """Whether an invoice is dated that `due_day` and not sent, approved or not."""
    return bool(day) and issue_date == day and state in UNSENT


def before_midnight(now: datetime) -> str:
    """How long what is dated today can still go out as such: whole hours, in the evening minutes."""
    local = warsaw(now)
    midnight = datetime.combine(local.date() + timedelta(days=1), time(), WARSAW)
    minutes = max(1, -int((local - midnight).total_seconds() // 60))
    if local.time() < EVENING:
        return f"z dzisiejszą datą, do północy {minutes // 60} h"
    return f"z dzisiejszą datą, zostało {minutes} min do północy"


def kind_of(state: InvoiceState, *, stands: bool, due: bool) -> Kind | None:
    """What an invoice needs. `stands`: it is to be sent and something stands in its way. None: nobody."""
    if state in (S.APPROVED, S.SENDING):
        if stands:
            return Kind.STANDING
        return Kind.OUTGOING if due and state is S.APPROVED else None
    return next((rule.kind for rule in RULES if state in rule.states and state is not S.ACCEPTED), None)


def access_kind(
    state: AuthState, *, waits: int, requested_at: datetime | None, visit: bool, now: datetime
) -> Kind | None:
    """What a client's authorisation needs. `waits`: invoices that need it. None: nobody."""
    if state is A.TO_SIGN:
        return Kind.SIGN
    if visit and state is not A.RUNNING:
        return Kind.VISIT
    if state in _NOT_WORKING and waits:
        return Kind.ACCESS
    if state is A.EXPIRING:
        return Kind.ENDS
    if state is A.REQUESTED and requested_at is not None and days(requested_at, now) >= LETTER_DAYS:
        return Kind.LETTER
    return None


def actions_of(kind: Kind, *, why: str = "", codes: Iterable[str] = (), method: str = "") -> tuple[str, ...]:
    """The keys that mend it. `why`: the code of what stands in the way; `codes`: KSeF's, of what it refused."""
    if kind is Kind.STANDING:
        return (*_BY_WHY.get(why, ()), "open")
    known = set(codes)
    if kind is Kind.REFUSED and known and all(c.isdigit() and int(c) in RETRYABLE_REJECTIONS for c in known):
        return ("invoice.retry", "open")
    if kind is Kind.ENDS:
        return _ENDS_BY.get(method, BY_KIND[kind].actions)
    return BY_KIND[kind].actions


def reasons(found: Mapping[str, int]) -> str:
    """One sentence for all: the reason of most, and how many others there are."""
    said = sorted((text for text in found if text), key=lambda text: (-found[text], text))
    if not said:
        return ""
    more = len(said) - 1
    first = said[0].rstrip(".")
    return f"{first} (i {count_of(more, 'inny powód', 'inne powody', 'innych powodów')})" if more else first


def age(since: datetime, now: datetime) -> str:
    """`4 min`, `3 h`, `2 dni`: as coarse as it helps."""
    minutes = max(0, int((now - since).total_seconds() // 60))
    if minutes < 60:
        return f"{minutes} min"
    if minutes < 48 * 60:
        return f"{minutes // 60} h"
    return count_of(minutes // (24 * 60), "dzień", "dni", "dni")


def days(since: datetime, now: datetime) -> int:
    """Calendar days in Poland between two moments."""
    return (warsaw(now).date() - warsaw(since).date()).days


def left(until: datetime, now: datetime) -> str:
    """When something stops: `dziś o 17:40`, `jutro`, `29.11, za 5 dni`."""
    local = warsaw(until)
    rest = (local.date() - warsaw(now).date()).days
    if rest <= 0:
        return f"dziś o {local:%H:%M}"
    if rest == 1:
        return f"jutro o {local:%H:%M}"
    return f"{local:%d.%m}, za {count_of(rest, 'dzień', 'dni', 'dni')}"


@dataclass(frozen=True, slots=True)
class Done:
    """What came about on a day. `begun`: whether the office has clients at all."""

    day: date
    sent: int = 0
    accepted: int = 0
    receipts: int = 0
    begun: bool = True


def farewell(done: Done, now: datetime) -> tuple[str, str, str]:
    """What stands there when nothing needs anybody: that all is done, what was done, and a kind word."""
    if not done.begun:
        return "Biuro nie ma jeszcze klientów.", "n dodaje klienta; y czyta z KSeF, kto nadał biuru uprawnienia.", ""
    local = warsaw(now)
    if done.sent or done.accepted:
        sent = count_of(done.sent, "wysłana faktura", "wysłane faktury", "wysłanych faktur")
        what = f"Dziś: {sent}, przyjęte przez KSeF: {done.accepted}, zapisane UPO: {done.receipts}."
    else:
        what = "Dziś nic jeszcze nie poszło do KSeF."
    if local.hour < 14:
        return "Wszystko załatwione.", what, "Spokojnego dnia!"
    wish = "Miłego weekendu!" if local.weekday() == 4 else "Można spokojnie iść do domu."
    return "Wszystko załatwione.", what, wish
