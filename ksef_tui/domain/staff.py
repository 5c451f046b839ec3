"""Employees of the office and what they may do for clients in KSeF (facts §7.1; F28).

A right works only as far as both gave it: the client to the office, with the right to pass it on, and the office to the
person. KSeF goes on listing what the office gave when the client has taken its own part back.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import date
from enum import StrEnum

from ksef_tui.domain.nip import parse_nip
from ksef_tui.domain.problems import Problem

WRITE, READ = "InvoiceWrite", "InvoiceRead"
SCOPES = (WRITE, READ)  # what can be passed on
LETTERS = {WRITE: "W", READ: "P"}


class OrderState(StrEnum):
    """How far a wish to give or take back a right has come."""

    WANTED = "wanted"
    SENT = "sent"
    UNKNOWN = "unknown"
    DONE = "done"
    FAILED = "failed"


O = OrderState  # noqa: E741
PENDING = (O.WANTED, O.SENT, O.UNKNOWN)

ORDER_MOVES: dict[str, dict[OrderState, frozenset[OrderState]]] = {
    "send": {O.WANTED: frozenset({O.SENT})},
    "not_sent": {O.SENT: frozenset({O.WANTED})},  # it provably never left
    "lose": {O.SENT: frozenset({O.UNKNOWN})},  # only reading can tell; it is never sent again by itself
    "settle": dict.fromkeys(PENDING, frozenset({O.DONE, O.FAILED})),
}

ORDER_LABELS: dict[OrderState, str] = {
    O.WANTED: "zlecone",
    O.SENT: "wysłane do KSeF",
    O.UNKNOWN: "sprawdzane",
    O.DONE: "zrobione",
    O.FAILED: "nieudane",
}


class Effect(StrEnum):
    """What a person's right at a client comes to. The value is the code that scripts see."""

    WORKS = "works"
    PARTLY = "partly"
    NONE = "none"  # nothing was given to the person
    NO_DELEGATION = "no_delegation"
    WITHDRAWN = "withdrawn"
    NOT_GRANTED = "not_granted"
    OTHER_RIGHT = "other_right"
    INACTIVE = "inactive"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True)
class Received:
    """What one client gave the office: its rights, those it may pass on, and when it was seen that all is gone."""

    rights: frozenset[str] = frozenset()
    delegable: frozenset[str] = frozenset()
    gone_on: date | None = None


@dataclass(frozen=True, slots=True)
class Working:
    """What really works, why nothing or not all does, and since when."""

    scopes: frozenset[str]
    effect: Effect
    since: date | None = None

    @property
    def words(self) -> str:
        """`W P`, or in Polish why nothing works."""
        day = f" {self.since:%d.%m}" if self.since is not None else ""
        if self.effect is Effect.PARTLY:
            return f"{letters(self.scopes)} (więcej klient nie przekazał)"
        why = {
            Effect.NO_DELEGATION: "klient nie nadał prawa dalszego przekazywania",
            Effect.WITHDRAWN: f"klient odebrał{day}",
            Effect.NOT_GRANTED: "klient nie nadał biuru uprawnień",
            Effect.OTHER_RIGHT: "klient przekazał inne uprawnienie niż biuro pracownikowi",
            Effect.INACTIVE: "KSeF podaje uprawnienie jako nieaktywne",
            Effect.REFUSED: f"KSeF odmówił logowania{day}",
            Effect.NONE: "biuro niczego nie nadało",
        }.get(self.effect)
        return letters(self.scopes) if why is None else f"nic: {why}"


def letters(scopes: frozenset[str]) -> str:
    """`W P`: wystawianie, przeglądanie."""
    return " ".join(LETTERS[scope] for scope in SCOPES if scope in scopes)


def working(given: frozenset[str], inactive: frozenset[str], received: Received) -> Working:
    """What of a person's rights works at a client. `inactive`: given, but KSeF says that it does nothing."""
    if not given | inactive:
        return Working(frozenset(), Effect.NONE)
    works = given & received.delegable
    if works:
        return Working(works, Effect.WORKS if works == given | inactive else Effect.PARTLY)
    if not received.rights:
        effect = Effect.WITHDRAWN if received.gone_on is not None else Effect.NOT_GRANTED
        return Working(frozenset(), effect, received.gone_on)
    if (given | inactive) & received.rights and not (given | inactive) & received.delegable:
        return Working(frozenset(), Effect.NO_DELEGATION)
    if inactive & received.delegable:
        return Working(frozenset(), Effect.INACTIVE)
    return Working(frozenset(), Effect.OTHER_RIGHT)


@dataclass(frozen=True, slots=True)
class Subject:
    """By which number KSeF knows a person: `kind` Pesel, Nip or Fingerprint. The number is not shown by accident."""

    kind: str
    value: str

    def __repr__(self) -> str:
        return f"Subject({self.kind}, {masked(self.kind, self.value)})"


def parse_subject(kind: str, text: str) -> Subject:
    """A person's number as somebody types it. Raises Problem("bad_pesel", "bad_nip", "bad_fingerprint"); a wrong PESEL
    is not repeated in the message."""
    if kind == "Nip":
        return Subject(kind, parse_nip(text))
    if kind == "Pesel":
        from stdnum.pl import pesel  # late, like the NIP's

        digits = re.sub(r"[\s\-]", "", text)
        if not re.fullmatch(r"[0-9]{11}", digits) or not pesel.is_valid(digits):
            raise Problem("bad_pesel", "To nie jest PESEL: ma mieć 11 cyfr, a ostatnia jest kontrolna.")
        return Subject(kind, digits)
    plain = re.sub(r"[\s:]", "", text).upper()
    if not re.fullmatch(r"[0-9A-F]{64}", plain):
        raise Problem("bad_fingerprint", "Odcisk certyfikatu to SHA-256: 64 znaki 0–9 i A–F.")
    return Subject("Fingerprint", plain)


def masked(kind: str, value: str) -> str:
    """A person's number for lists: `PESEL 900101*****`, the NIP in full, the beginning of a fingerprint."""
    if kind == "Pesel":
        return f"PESEL {value[:6]}*****"
    return f"NIP {value}" if kind == "Nip" else f"odcisk {value[:8]}…"


def parse_name(text: str, what: str, longest: int) -> str:
    """A first or last name as KSeF takes it (facts §7.2). Raises Problem("bad_name")."""
    name = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    if not 2 <= len(name) <= longest:
        raise Problem("bad_name", f"{what} ma mieć od 2 do {longest} znaków.")
    return name
