"""The life of an outgoing invoice: its states, and every move that is allowed (design §5)."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class InvoiceState(StrEnum):
    """Where an invoice stands. The value is the code that scripts see."""

    DRAFT = "draft"
    INVALID = "invalid"
    WAITING = "waiting"
    APPROVED = "approved"
    HELD = "held"
    BLOCKED = "blocked"
    SENDING = "sending"
    UNKNOWN = "unknown"
    PROCESSING = "processing"
    ACCEPTED = "accepted"
    REJECTED = "rejected"
    WITHDRAWN = "withdrawn"
    REPLACED = "replaced"


@dataclass(frozen=True, slots=True)
class Badge:
    """How a state looks: readable without colour, and in ASCII."""

    glyph: str
    ascii: str
    label: str
    tone: str  # good | busy | wait | bad | quiet: the screen turns it into a colour of its theme


INVOICE_BADGES: dict[InvoiceState, Badge] = {
    InvoiceState.DRAFT: Badge("·", ".", "robocza", "quiet"),
    InvoiceState.INVALID: Badge("✖", "x", "do poprawy", "bad"),
    InvoiceState.WAITING: Badge("○", "o", "do zatwierdzenia", "quiet"),
    InvoiceState.APPROVED: Badge("◷", "@", "do wysłania", "wait"),
    InvoiceState.HELD: Badge("‖", "=", "wstrzymana", "wait"),
    InvoiceState.BLOCKED: Badge("!", "!", "zablokowana", "bad"),
    InvoiceState.SENDING: Badge("▸", ">", "wysyłanie", "busy"),
    InvoiceState.UNKNOWN: Badge("?", "?", "sprawdzana", "wait"),
    InvoiceState.PROCESSING: Badge("…", "~", "przetwarzana", "busy"),
    InvoiceState.ACCEPTED: Badge("✔", "+", "ma nr KSeF", "good"),
    InvoiceState.REJECTED: Badge("✘", "X", "odrzucona", "bad"),
    InvoiceState.WITHDRAWN: Badge("–", "-", "nie wysłano (cofnięta)", "quiet"),
    InvoiceState.REPLACED: Badge("↻", "%", "zastąpiona", "quiet"),
}

S = InvoiceState

# Every move: what happens → from where → to where. Whatever is not here does not happen.
INVOICE_MOVES: dict[str, dict[InvoiceState, frozenset[InvoiceState]]] = {
    "approve": {S.WAITING: frozenset({S.APPROVED})},
    "recall": {S.APPROVED: frozenset({S.WAITING})},
    "urge": {S.APPROVED: frozenset({S.APPROVED})},  # it stays where it is, and goes first
    "hold": {S.WAITING: frozenset({S.HELD}), S.APPROVED: frozenset({S.HELD})},
    "release": {  # all checks anew, so a guard may stop it again
        S.HELD: frozenset({S.WAITING, S.BLOCKED}),
        S.BLOCKED: frozenset({S.WAITING, S.BLOCKED}),
    },
    "guard": {S.WAITING: frozenset({S.BLOCKED}), S.APPROVED: frozenset({S.BLOCKED})},
    "withdraw": {
        s: frozenset({S.WITHDRAWN}) for s in (S.INVALID, S.WAITING, S.APPROVED, S.HELD, S.BLOCKED, S.REJECTED)
    },
    "replace": {S.INVALID: frozenset({S.REPLACED}), S.REJECTED: frozenset({S.REPLACED})},
    # the same file again on a day when its date is no longer in the future
    "recheck": {S.INVALID: frozenset({S.WAITING, S.BLOCKED})},
    "retry": {S.REJECTED: frozenset({S.UNKNOWN})},  # it is looked for in KSeF by its hash before it may go again
    "look": {S.UNKNOWN: frozenset({S.ACCEPTED, S.WAITING, S.BLOCKED, S.REJECTED})},  # what that look-up found
    "decide": {S.REJECTED: frozenset({S.REJECTED})},  # a person leaves it refused, and says why
    "send": {S.APPROVED: frozenset({S.SENDING})},
    # SENDING → APPROVED only when the call provably never left (never connected, or a typed refusal): rule 9.
    "sent": {S.SENDING: frozenset({S.PROCESSING, S.UNKNOWN, S.REJECTED, S.APPROVED})},
    # after a restored backup it is found in one of our sessions at KSeF (F6)
    "recover": {
        s: frozenset({S.UNKNOWN})
        for s in (S.WAITING, S.APPROVED, S.HELD, S.BLOCKED, S.INVALID, S.REJECTED, S.WITHDRAWN, S.REPLACED)
    },
    "settle": {S.UNKNOWN: frozenset({S.PROCESSING, S.ACCEPTED, S.REJECTED, S.APPROVED})},
    "track": {S.PROCESSING: frozenset({S.ACCEPTED, S.REJECTED, S.UNKNOWN, S.APPROVED})},
}

# KSeF's refusals that another try may cure (facts §10.2); 440 never, 415/430/435/450 only with another file.
NOT_STORED = "not_stored"  # an accepted invoice that KSeF shows to nobody yet (F17)
RETRYABLE_REJECTIONS = frozenset({405, 410, 435, 500, 550})
LOOKED_FOR = "retry"  # the reason code of an unknown invoice that is looked for before another try
COLLISION = "440"  # the reason code of an invoice whose number another document has in KSeF


def may_move(act: str, old: InvoiceState, new: InvoiceState) -> bool:
    """Whether `act` may take an invoice from `old` to `new`."""
    return new in INVOICE_MOVES.get(act, {}).get(old, frozenset())


class UpoState(StrEnum):
    """The receipt of an accepted invoice."""

    NONE = "none"
    SAVED = "saved"
    LATE = "late"
    UNAVAILABLE = "unavailable"


# States that hold a number of a seller, so that the same number is a duplicate (design §6 rule 2).
OCCUPIES_NUMBER = frozenset({S.DRAFT, S.WAITING, S.APPROVED, S.HELD, S.SENDING, S.UNKNOWN, S.PROCESSING, S.ACCEPTED})
STANDING = frozenset({S.INVALID, S.HELD, S.BLOCKED, S.REJECTED})
ON_THE_WIRE = frozenset({S.SENDING, S.UNKNOWN, S.PROCESSING})


def normal_number(number: str) -> str:
    """An invoice number for comparison: KSeF collapses white space (F50), so `FV  1 ` is `FV 1`."""
    return " ".join(number.split())
