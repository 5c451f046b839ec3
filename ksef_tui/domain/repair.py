"""What can be done about an invoice that does not go: refused, invalid, blocked, or with a number that is taken (design §5).

Tables only: what each of our own codes means, which way mends which code, why a way is shut, which file may take an
invoice's place, and in what two documents differ. What KSeF's codes mean is in `ksef.codes`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from enum import StrEnum

from ksef_tui.domain.invoices import COLLISION, INVOICE_MOVES, RETRYABLE_REJECTIONS, InvoiceState, normal_number

S = InvoiceState
REPAIRABLE = frozenset({S.INVALID, S.REJECTED, S.BLOCKED})


class Way(StrEnum):
    """A way to mend it."""

    REPLACE = "replace"
    RETRY = "retry"
    COMPARE = "compare"
    SETTLE = "settle"
    RELEASE = "release"
    WITHDRAW = "withdraw"


@dataclass(frozen=True, slots=True)
class Broken:
    """What decides about an invoice. `holder`: in words, the other invoice that has its number; `no_retry`, why KSeF cannot
    be asked whether it is there."""

    state: InvoiceState
    reason_code: str
    settled: bool = False
    holder: str = ""
    no_retry: str = ""


@dataclass(frozen=True, slots=True)
class WayRule:
    """A line of the menu: its words, the key that does the same in the queue, and why it is shut (None: open)."""

    way: Way
    label: str
    help: str
    key: str
    why_not: Callable[[Broken], str | None]


def _moves(move: str, otherwise: str) -> Callable[[Broken], str | None]:
    return lambda b: None if b.state in INVOICE_MOVES[move] else otherwise


def _retry(b: Broken) -> str | None:
    if b.state is not S.REJECTED:
        return "ponawia się faktury odrzucone przez KSeF"
    if not (b.reason_code.isdigit() and int(b.reason_code) in RETRYABLE_REJECTIONS):
        return "tej odmowy nie zmieni ponowna wysyłka: potrzebny jest inny plik"
    return b.no_retry or None


def _collision(b: Broken) -> str | None:
    if (b.state, b.reason_code) == (S.REJECTED, COLLISION):
        return None
    return "KSeF nie ma innej faktury o tym numerze"


def _settle(b: Broken) -> str | None:
    if b.state is not S.REJECTED:
        return "rozstrzyga się faktury odrzucone przez KSeF"
    return "już rozstrzygnięta" if b.settled else None


def _release(b: Broken) -> str | None:
    if b.state is not S.BLOCKED:
        return "przywraca się faktury zablokowane"
    return f"numer ma wciąż {b.holder}" if b.reason_code == "own_duplicate" and b.holder else None


WAYS: tuple[WayRule, ...] = (
    WayRule(
        Way.COMPARE, "Porównaj z KSeF", "co jest w KSeF pod tym numerem i czym się różni", "", _collision
    ),
    WayRule(
        Way.REPLACE,
        "Zastąp plikiem",
        "poprawiony plik, sprawdzony i pokazany",
        "",
        _moves("replace", "zastępuje się faktury do poprawy i odrzucone"),
    ),
    WayRule(Way.RETRY, "Ponów", "najpierw sprawdza, czy nie ma jej w KSeF", "o", _retry),
    WayRule(Way.RELEASE, "Przywróć", "wszystkie kontrole od nowa", "p", _release),
    WayRule(Way.SETTLE, "Zostaw odrzuconą", "z uwagą, kto i dlaczego; znika z „Dziś”", "", _settle),
    WayRule(
        Way.WITHDRAW, "Wycofaj", "nie zostanie wysłana; tego nie da się odwrócić", "x",
        _moves("withdraw", "tej faktury nie można już wycofać"),
    ),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Meaning:
    """What one of our own codes means and what to do about it."""

    sentence: str
    what_to_do: str


# Codes of our guards (`services.guards`, `outgoing`, `ending`); KSeF's are in `ksef.codes`.
MEANINGS: dict[str, Meaning] = {
    "own_duplicate": Meaning(
        "Ten numer ma już inna faktura tego klienta.",
        "Wycofaj tę, jeśli to powtórka; przywróć ją, gdy tamta przestanie się liczyć; inną wystaw pod nowym numerem.",
    ),
    "future_date": Meaning("Data wystawienia jest w przyszłości.", "Przywróć fakturę w dniu jej wystawienia."),
    "other_seller": Meaning("Sprzedawcą na fakturze jest inna firma.", "Wycofaj ją i zaimportuj u właściwego klienta."),
    "wrong_name": Meaning(
        "Sprzedawca, klient i sesja KSeF to nie ta sama firma – niczego nie wysłano.",
        "Wycofaj fakturę i zgłoś to administratorowi biura.",
    ),
    "ended": Meaning("Obsługa klienta jest zakończona.", "Wznów obsługę (k) i przywróć fakturę albo ją wycofaj."),
    "document_altered": Meaning(
        "Zapisany plik zmieniono po imporcie.", "Wycofaj fakturę i zaimportuj plik jeszcze raz."
    ),
    "settled": Meaning("Postanowiono, że zostaje odrzucona.", "Nic – chyba że ma jednak iść: zastąp ją plikiem."),
}

# A file whose date of issue was in the future when it was read: it is as good as any on its day.
READ_TOO_EARLY = Meaning(
    "Data wystawienia była w chwili wczytania w przyszłości.",
    "Wczytaj ten sam plik jeszcze raz w dniu wystawienia; jeśli data jest zła, zastąp plik (F4).",
)

# Which ways mend which code, the best first; codes of the checks of a file (invalid) are all mended by another file.
BY_FILE = (Way.REPLACE, Way.WITHDRAW)
BEST_WAYS: dict[str, tuple[Way, ...]] = {
    "405": (Way.RETRY, Way.WITHDRAW),
    "410": (Way.RETRY, Way.REPLACE, Way.WITHDRAW),
    "415": (Way.REPLACE, Way.SETTLE, Way.WITHDRAW),
    "430": BY_FILE,
    "435": (Way.RETRY, Way.WITHDRAW),
    COLLISION: (Way.COMPARE, Way.REPLACE, Way.SETTLE, Way.WITHDRAW),
    "450": BY_FILE,
    "500": (Way.RETRY, Way.WITHDRAW),
    "550": (Way.RETRY, Way.WITHDRAW),
    "own_duplicate": (Way.WITHDRAW, Way.RELEASE),
    "future_date": (Way.RELEASE, Way.WITHDRAW),
    "other_seller": (Way.WITHDRAW,),
    "wrong_name": (Way.WITHDRAW,),
    "ended": (Way.RELEASE, Way.WITHDRAW),
    "document_altered": (Way.WITHDRAW,),
}


def menu(broken: Broken) -> list[tuple[WayRule, str | None]]:
    """All ways with why each is shut: those that mend this code first, then the open ones, then the rest."""
    best = BEST_WAYS.get(broken.reason_code, BY_FILE)
    offered = [(rule, rule.why_not(broken)) for rule in WAYS]

    def rank(one: tuple[WayRule, str | None]) -> tuple[bool, int]:
        rule, why_not = one
        return (why_not is not None, best.index(rule.way) if rule.way in best else len(best))

    return sorted(offered, key=rank)


# Which file may take an invoice's place ---------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Swap:
    """An invoice and the file that is to take its place. `known_as`: in words, the invoice that has these bytes already;
    `stopped`: what a guard says of the new one once the old one counts no more."""

    state: InvoiceState
    reason_code: str
    number: str
    new_number: str
    same_bytes: bool = False
    known_as: str = ""
    errors: tuple[str, ...] = ()
    stopped: str = ""
    number_may_differ: bool = False


@dataclass(frozen=True, slots=True)
class SwapRule:
    """Why a file may not take its place. `asked`: a person may say that it shall."""

    code: str
    applies: Callable[[Swap], bool]
    says: Callable[[Swap], str]
    asked: bool = False


SWAP_RULES: tuple[SwapRule, ...] = (
    SwapRule(
        "not_replaceable",
        lambda s: s.state not in INVOICE_MOVES["replace"],
        lambda s: "Zastąpić można tylko fakturę do poprawy albo odrzuconą przez KSeF.",
    ),
    SwapRule(
        "same_bytes",
        lambda s: s.same_bytes,
        lambda s: "To jest dokładnie ten sam plik, co do bajta – KSeF odpowiedziałby tak samo.",
    ),
    SwapRule("known_bytes", lambda s: bool(s.known_as), lambda s: f"Ten plik już jest w kolejce: {s.known_as}."),
    SwapRule(
        "invalid_file",
        lambda s: bool(s.errors),
        lambda s: "Ten plik też wymaga poprawy: " + "; ".join(s.errors[:3]),
    ),
    SwapRule(
        "number_taken",
        lambda s: s.reason_code == COLLISION and normal_number(s.number) == normal_number(s.new_number),
        lambda s: f"Numer {s.number} ma już w KSeF inna faktura: nowy plik musi mieć nowy numer.",
    ),
    SwapRule("stopped", lambda s: bool(s.stopped), lambda s: f"Nowej faktury nie można przyjąć: {s.stopped}."),
    SwapRule(
        "number_differs",
        lambda s: (
            bool(s.number)
            and s.reason_code != COLLISION
            and normal_number(s.number) != normal_number(s.new_number)
            and not s.number_may_differ
        ),
        lambda s: f"Plik ma inny numer: {s.new_number} zamiast {s.number}.",
        asked=True,
    ),
)


def why_no_swap(swap: Swap) -> SwapRule | None:
    """The first rule that forbids it; None: the file may take the invoice's place."""
    return next((rule for rule in SWAP_RULES if rule.applies(swap)), None)


# In what two documents differ -------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Document:
    """What a document says. `items`: its rows, None where they are not known."""

    number: str
    kind: str
    issue_date: str
    buyer_nip: str
    buyer: str
    gross: str
    currency: str
    items: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True)
class Difference:
    """One field in which ours and KSeF's differ."""

    field: str
    ours: str
    theirs: str


_FIELDS: tuple[tuple[str, Callable[[Document], object], Callable[[Document], str]], ...] = (
    ("numer", lambda d: normal_number(d.number), lambda d: d.number),
    ("rodzaj", lambda d: d.kind.replace("_", "").upper(), lambda d: d.kind),
    ("data wystawienia", lambda d: d.issue_date, lambda d: d.issue_date),
    ("NIP nabywcy", lambda d: d.buyer_nip, lambda d: d.buyer_nip),
    ("nabywca", lambda d: normal_number(d.buyer), lambda d: d.buyer),
    ("brutto", lambda d: _amount(d.gross), lambda d: d.gross),
    ("waluta", lambda d: d.currency, lambda d: d.currency),
)


def differences(ours: Document, theirs: Document) -> list[Difference]:
    """Field by field; rows only where both are known."""
    found = [
        Difference(name, said(ours) or "–", said(theirs) or "–")
        for name, value, said in _FIELDS
        if value(ours) != value(theirs)
    ]
    if ours.items is None or theirs.items is None or ours.items == theirs.items:
        return found
    if len(ours.items) != len(theirs.items):
        found.append(Difference("liczba pozycji", str(len(ours.items)), str(len(theirs.items))))
    pairs = zip(ours.items, theirs.items, strict=False)
    first = next(((n, a, b) for n, (a, b) in enumerate(pairs, 1) if a != b), None)
    if first is not None:
        found.append(Difference(f"pozycja {first[0]}", first[1], first[2]))
    return found


def _amount(text: str) -> object:
    try:
        return Decimal(text)
    except InvalidOperation:
        return text
