"""What a person types to find invoices: words for client, state, date and amount, in Polish; a table, pure.

`jodła odrzucone wczoraj >1000` → text "jodla", state rejected, issued yesterday, at least … Dates are those of issue (P_1).
Whatever is no word of the table is text to be found in number, buyer, NIP, KSeF number or the client's name; a word in
front of which stands `"` is text whatever it says.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import date, timedelta
from decimal import Decimal

from ksef_tui.domain.invoices import INVOICE_BADGES, InvoiceState, UpoState
from ksef_tui.domain.text import fold

S = InvoiceState


@dataclass(frozen=True, slots=True)
class Query:
    """What was understood; empty fields do not narrow. Days and amounts include both ends; `over` and `under` do not."""

    texts: tuple[str, ...] = ()  # folded
    states: tuple[InvoiceState, ...] = ()
    upo: tuple[UpoState, ...] = ()  # of accepted invoices only
    since: date | None = None
    until: date | None = None
    low: Decimal | None = None
    high: Decimal | None = None
    over: Decimal | None = None
    under: Decimal | None = None
    mode: str = ""  # online | offline
    channel: str = ""  # interactive | batch
    urgent: bool = False
    stands: bool = False  # it waits for a person: in itself, or because its client's sending is stopped
    corrections: bool = False
    said: tuple[str, ...] = field(default=(), compare=False)  # how each was understood, in Polish


QUOTES = ('"', "„", "”")
ENDINGS = ("a", "e", "y", "ych")
MONTHS = (
    ("styczen", "stycznia", "styczniu"), ("luty", "lutego", "lutym"), ("marzec", "marca", "marcu"),
    ("kwiecien", "kwietnia", "kwietniu"), ("maj", "maja", "maju"), ("czerwiec", "czerwca", "czerwcu"),
    ("lipiec", "lipca", "lipcu"), ("sierpien", "sierpnia", "sierpniu"), ("wrzesien", "wrzesnia", "wrzesniu"),
    ("pazdziernik", "pazdziernika", "pazdzierniku"), ("listopad", "listopada", "listopadzie"),
    ("grudzien", "grudnia", "grudniu"),
)  # fmt: skip
MONTH_NAMES = (
    "styczeń", "luty", "marzec", "kwiecień", "maj", "czerwiec", "lipiec", "sierpień", "wrzesień", "październik",
    "listopad", "grudzień",
)  # fmt: skip


def _forms(stem: str) -> tuple[str, ...]:
    return tuple(stem + ending for ending in ENDINGS)


# Words (folded) → states. A phrase of two words stands before its first word alone.
STATE_WORDS: dict[str, tuple[InvoiceState, ...]] = {
    **{state.value: (state,) for state in InvoiceState},  # as scripts say it
    **dict.fromkeys(("do zatw", "do zatwierdzenia", "czekajace", "niezatwierdzone"), (S.WAITING,)),
    **dict.fromkeys(("do wyslania", *_forms("zatwierdzon")), (S.APPROVED,)),
    **dict.fromkeys(("do poprawy", "bledne", "bledna", *_forms("niepoprawn")), (S.INVALID,)),
    **dict.fromkeys(_forms("wstrzyman"), (S.HELD,)),
    **dict.fromkeys(_forms("zablokowan"), (S.BLOCKED,)),
    **dict.fromkeys(("wysylanie", *_forms("wysylan")), (S.SENDING,)),
    **dict.fromkeys(_forms("sprawdzan"), (S.UNKNOWN,)),
    **dict.fromkeys(_forms("przetwarzan"), (S.PROCESSING,)),
    **dict.fromkeys(("w drodze",), (S.SENDING, S.UNKNOWN, S.PROCESSING)),
    **dict.fromkeys(("ma nr", "z numerem", *_forms("przyjet"), *_forms("wyslan")), (S.ACCEPTED,)),
    **dict.fromkeys(_forms("odrzucon"), (S.REJECTED,)),
    **dict.fromkeys((*_forms("wycofan"), *_forms("cofniet")), (S.WITHDRAWN,)),
    **dict.fromkeys(_forms("zastapion"), (S.REPLACED,)),
}
# Words → what they narrow, and how that is said.
OTHER_WORDS: dict[str, tuple[dict[str, object], str]] = {
    **dict.fromkeys(("upo", "z upo"), ({"upo": (UpoState.SAVED,)}, "z UPO")),
    "bez upo": (
        {"upo": (UpoState.NONE, UpoState.LATE, UpoState.UNAVAILABLE)},
        "przyjęte bez UPO",
    ),
    **dict.fromkeys(
        ("stoi", "stoja", "stojace"),
        ({"stands": True}, "stoi, też w pauzie i bez dostępu"),
    ),
    **dict.fromkeys(("pilne", "pilna", "pilnych"), ({"urgent": True}, "pilne")),
    "offline": ({"mode": "offline"}, "offline"),
    "online": ({"mode": "online"}, "online"),
    **dict.fromkeys(("paczka", "paczki", "w paczce"), ({"channel": "batch"}, "w paczce")),
    **dict.fromkeys(("korekta", "korekty", "korygujace", "korygujaca"), ({"corrections": True}, "korekty")),
}

_DAY = re.compile(r"(\d{1,2})\.(\d{1,2})(?:\.(\d{4}))?")
_ISO_DAY = re.compile(r"(\d{4})-(\d{2})-(\d{2})")
_DAYS = re.compile(r"(\d{1,2}(?:\.\d{1,2}(?:\.\d{4})?)?)-(\d{1,2}\.\d{1,2}(?:\.\d{4})?)")
_MONTH = re.compile(r"(\d{1,2})\.(\d{4})|(\d{4})-(\d{2})")
_NUMBER = r"(\d{1,12}(?:[,.]\d{1,2})?)"
_COMPARED = re.compile(rf"(>=|<=|>|<|=){_NUMBER}(?:zl|pln)?")
_BETWEEN = re.compile(rf"{_NUMBER}-{_NUMBER}(?:zl|pln)?")
_AMOUNT = re.compile(rf"{_NUMBER}(?:zl|pln)|(\d{{1,12}},\d{{2}})")


def parse(text: str, today: date) -> Query:
    """What these words ask for, as of `today` in Poland. Any text means something: a word of no table is text."""
    query = Query()
    words = _words(text)
    place = 0
    while place < len(words):
        taken, query = _next(query, words[place:], today)
        place += taken
    return query


@dataclass(frozen=True, slots=True)
class _Word:
    """A word as it is compared, and as it was typed."""

    folded: str
    typed: str


def _words(text: str) -> list[_Word]:
    """One that began with a quotation mark keeps it. `> 1000` is one word."""
    joined = re.sub(r"([<>]=?|=)\s+(?=\d)", r"\1", text)
    return [_Word(folded, typed) for typed in joined.split() for folded in fold(typed).split()]


def _next(query: Query, words: list[_Word], today: date) -> tuple[int, Query]:
    first = words[0]
    if first.folded.startswith(QUOTES):
        literal = _Word(first.folded.strip("".join(QUOTES)), first.typed.strip("".join(QUOTES)))
        return 1, _text(query, literal) if literal.folded else query
    for taken in (2, 1):
        if len(words) >= taken:
            found = _known(query, " ".join(word.folded for word in words[:taken]), today)
            if found is not None:
                return taken, found
    return 1, _text(query, first)


def _text(query: Query, word: _Word) -> Query:
    return replace(query, texts=(*query.texts, word.folded), said=(*query.said, f"„{word.typed}”"))


def _known(query: Query, word: str, today: date) -> Query | None:
    """The query narrowed by a word of the tables, or None when it is no such word."""
    if word in STATE_WORDS:
        states = STATE_WORDS[word]
        said = " albo ".join(INVOICE_BADGES[state].label for state in states)
        return _with_states(query, states, said)
    if word in OTHER_WORDS:
        fields, said = OTHER_WORDS[word]
        return replace(query, **fields, said=(*query.said, said))  # type: ignore[arg-type]
    try:
        days = next((found for read in _DATES if (found := read(word, today)) is not None), None)
    except ValueError:  # 31.02
        days = None
    if days is not None:
        return _with_days(query, *days)
    return next((narrowed for read_amount in _AMOUNTS if (narrowed := read_amount(query, word)) is not None), None)


def _with_states(query: Query, states: tuple[InvoiceState, ...], said: str) -> Query:
    """Words for states widen: `odrzucone zablokowane` is either."""
    return replace(query, states=tuple(dict.fromkeys((*query.states, *states))), said=(*query.said, said))


def _with_days(query: Query, since: date, until: date) -> Query:
    said = f"z {_day(since)}" if since == until else f"od {_day(since)} do {_day(until)}"
    if (
        since.day == 1
        and (until + timedelta(days=1)).day == 1
        and since.month == until.month
        and since.year == until.year
    ):
        said = f"{MONTH_NAMES[since.month - 1]} {since.year}"
    return replace(query, since=since, until=until, said=(*query.said, said))


def _day(day: date) -> str:
    return f"{day:%d.%m.%Y}"


# ---- dates: a word → first and last day

Days = tuple[date, date]


def _named(word: str, today: date) -> Days | None:
    ago = {"dzis": 0, "dzisiaj": 0, "dzisiejsze": 0, "wczoraj": 1, "wczorajsze": 1, "przedwczoraj": 2}.get(word)
    if ago is not None:
        day = today - timedelta(days=ago)
        return day, day
    if word in ("tydzien", "ten tydzien"):
        return today - timedelta(days=today.weekday()), today
    if word in ("miesiac", "ten miesiac"):
        return _month(today.year, today.month)
    if word in ("zeszly miesiac", "poprzedni miesiac"):
        last = today.replace(day=1) - timedelta(days=1)
        return _month(last.year, last.month)
    return None


def _month_named(word: str, today: date) -> Days | None:
    """`listopad`: the last one that has begun; `listopad 2025`."""
    name, _, year = word.partition(" ")
    month = next((n for n, forms in enumerate(MONTHS, 1) if name in forms), None)
    if month is None or (year and not re.fullmatch(r"20\d\d", year)):
        return None
    return _month(int(year) if year else today.year - (month > today.month), month)


def _month_written(word: str, today: date) -> Days | None:
    found = _MONTH.fullmatch(word)
    if found is None:
        return None
    month, year = (found[1], found[2]) if found[1] else (found[4], found[3])
    return _month(int(year), int(month))


def _month(year: int, month: int) -> Days:
    first = date(year, month, 1)
    following = date(year + month // 12, month % 12 + 1, 1)
    return first, following - timedelta(days=1)


def _one_day(word: str, today: date) -> Days | None:
    iso = _ISO_DAY.fullmatch(word)
    if iso is not None:
        day = date(int(iso[1]), int(iso[2]), int(iso[3]))
        return day, day
    if _DAY.fullmatch(word) is None:
        return None
    day = _written(word, today)
    return day, day


def _some_days(word: str, today: date) -> Days | None:
    """`12.11-15.11`, `12-15.11`, with or without years."""
    found = _DAYS.fullmatch(word)
    if found is None:
        return None
    last = _written(found[2], today)
    first = found[1]
    if "." not in first:
        since = last.replace(day=int(first))
    elif first.count(".") == 2:
        since = _written(first, today)
    else:
        since = _written(f"{first}.{last.year}", today)
        if since > last:  # over the turn of the year
            since = since.replace(year=since.year - 1)
    return (since, last) if since <= last else (last, since)


def _written(word: str, today: date) -> date:
    """`12.11`: the last one that has come. Raises ValueError."""
    found = _DAY.fullmatch(word)
    if found is None:
        raise ValueError(word)
    day, month = int(found[1]), int(found[2])
    if found[3]:
        return date(int(found[3]), month, day)
    this_year = date(today.year, month, day) if (month, day) != (2, 29) else _leap_day(today)
    return this_year if this_year <= today else this_year.replace(year=this_year.year - 1)


def _leap_day(today: date) -> date:
    year = next(y for y in range(today.year, today.year - 9, -1) if y % 4 == 0 and (y % 100 or y % 400 == 0))
    return date(year, 2, 29)


_DATES: tuple[Callable[[str, date], Days | None], ...] = (
    _named,
    _month_named,
    _some_days,
    _month_written,
    _one_day,
)


# ---- amounts


def _compared(query: Query, word: str) -> Query | None:
    found = _COMPARED.fullmatch(word)
    if found is None:
        return None
    amount = _decimal(found[2])
    name, said = {
        ">": ("over", "powyżej"),
        "<": ("under", "poniżej"),
        ">=": ("low", "od"),
        "<=": ("high", "do"),
        "=": ("", "równo"),
    }[found[1]]
    fields = {name: amount} if name else {"low": amount, "high": amount}
    return replace(query, **fields, said=(*query.said, f"{said} {_money(amount)}"))  # type: ignore[arg-type]


def _between(query: Query, word: str) -> Query | None:
    found = _BETWEEN.fullmatch(word)
    if found is None:
        return None
    low, high = sorted((_decimal(found[1]), _decimal(found[2])))
    return replace(query, low=low, high=high, said=(*query.said, f"od {_money(low)} do {_money(high)}"))


def _exactly(query: Query, word: str) -> Query | None:
    found = _AMOUNT.fullmatch(word)
    if found is None:
        return None
    amount = _decimal(found[1] or found[2])
    return replace(query, low=amount, high=amount, said=(*query.said, f"równo {_money(amount)}"))


def _decimal(text: str) -> Decimal:
    return Decimal(text.replace(",", "."))


def _money(amount: Decimal) -> str:
    return f"{amount:,.2f}".replace(",", "\u00a0").replace(".", ",") + " zł"


_AMOUNTS: tuple[Callable[[Query, str], Query | None], ...] = (_compared, _between, _exactly)
