"""Why an invoice that is to be sent does not move, and when it will: one table, the first rule that applies speaks.

Pure: `services.standing` collects the facts from the database. A sentence is Polish and short; `brief` is for a row of
80 columns; `until` is the moment of the next try, where there is one.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from ksef_tui.domain.authorizations import AUTH_BADGES, CAN_SEND, AuthState
from ksef_tui.domain.invoices import InvoiceState
from ksef_tui.domain.times import warsaw

S = InvoiceState
INTERRUPTED_AFTER = 60.0  # seconds in `sending`, with nobody serving the client, after which it was interrupted


@dataclass(frozen=True, slots=True)
class Pause:
    """Sending that a person stopped."""

    login: str
    at: datetime
    why: str
    everything: bool

    def said(self, now: datetime) -> str:
        """`wstrzymane przez ANNA 12:04: czekamy na korekty`."""
        local = warsaw(self.at)
        when = f"{local:%H:%M}" if local.date() == warsaw(now).date() else f"{local:%d.%m %H:%M}"
        why = f": {self.why}" if self.why else ""
        return f"wstrzymane przez {self.login.upper()} {when}{why}"


@dataclass(frozen=True, slots=True)
class Closed:
    """A limit that is used up, or an asked-for rest: what is closed, in Polish, and until when."""

    what: str
    until: datetime


@dataclass(frozen=True, slots=True)
class ClientFacts:
    """What is so for all invoices of a client. `serving`: who holds the client's lease, "" nobody, "worker", "other"."""

    auth: AuthState
    auth_reason: str = ""
    pause: Pause | None = None
    switching: bool = False
    personal_to: int | None = None
    reconciling: bool = False
    sends: bool = True  # some worker runs
    serving: str = ""
    others_first: int = 0  # how many clients are served at once, when all those places are taken
    rest: Closed | None = None
    single: Closed | None = None  # the way one by one
    packages: Closed | None = None  # the way by packages
    urgent: int = 0  # invoices that were marked and may go now


@dataclass(frozen=True, slots=True)
class Facts:
    """One invoice of that client. `session`: the kind and state of the session it is meant for, "batch open"."""

    state: InvoiceState
    now: datetime
    changed_at: datetime
    client: ClientFacts
    send_after: datetime | None = None
    approved_by: int | None = None
    urgent: bool = False
    attachment: bool = False
    session: str = ""


@dataclass(frozen=True, slots=True)
class Why:
    """The answer. `obstacle`: it is not merely its turn that the invoice waits for."""

    code: str
    text: str
    brief: str
    until: datetime | None
    obstacle: bool


@dataclass(frozen=True, slots=True)
class Rule:
    """A reason: for which state, when it applies, what it says. `{until}` is the time of the next try."""

    code: str
    state: InvoiceState
    applies: Callable[[Facts], bool]
    text: Callable[[Facts], str]
    brief: str
    until: Callable[[Facts], datetime | None] = lambda f: None
    obstacle: bool = True


def _always(text: str) -> Callable[[Facts], str]:
    return lambda f: text


def _pause_text(f: Facts) -> str:
    pause = f.client.pause
    assert pause is not None
    return ("wszystko " if pause.everything else "") + pause.said(f.now)


_NO_ACCESS = {
    AuthState.NO_PERMISSION: "brak uprawnień w KSeF",
    AuthState.READ_ONLY: "brak prawa wystawiania w KSeF",
    AuthState.BLOCKED: "blokada MF",
    AuthState.EXPIRED: "wygasła autoryzacja",
    AuthState.FAILED: "autoryzacja nieudana",
}


def no_access(auth: AuthState) -> str:
    """Why nothing may be called for the client."""
    return _NO_ACCESS.get(auth, f"brak autoryzacji ({AUTH_BADGES[auth].label})")


def _access_text(f: Facts) -> str:
    said, reason = no_access(f.client.auth), f.client.auth_reason
    return f"{said}: {reason}" if reason else said


def _closed_for(f: Facts) -> Closed | None:
    return f.client.packages if f.attachment else f.client.single


def _rest(f: Facts) -> Closed | None:
    return f.client.rest


def _upload(f: Facts) -> Closed | None:
    return f.client.packages if f.session.startswith("batch") else None


def _closed(
    code: str, state: InvoiceState, which: Callable[[Facts], Closed | None], text: str, brief: str = "do {until}"
) -> Rule:
    def said(f: Facts) -> str:
        closed = which(f)
        assert closed is not None
        return text.replace("{what}", closed.what)

    def until(f: Facts) -> datetime | None:
        closed = which(f)
        return closed.until if closed is not None else None

    return Rule(code, state, lambda f: which(f) is not None, said, brief, until)


def _in_recall(f: Facts) -> bool:
    return f.send_after is not None and f.send_after > f.now


def _interrupted(f: Facts) -> bool:
    old = (f.now - f.changed_at).total_seconds() > INTERRUPTED_AFTER
    return not f.session.startswith("batch") and old and not f.client.serving


_PACKAGE = {
    "batch opening": "pakowanie",
    "batch open": "przesyłanie paczki",
    "batch closing": "zamykanie paczki",
    "batch closed": "paczka przyjęta",
}
_WITHOUT = "nikt nie wysyła – uruchom program albo ksef-tui worker"

# In this order: what a person decided, what nobody but a person can mend, what passes by itself, whose turn it is.
RULES: tuple[Rule, ...] = (
    Rule("paused", S.APPROVED, lambda f: f.client.pause is not None, _pause_text, "pauza"),
    Rule(
        "recall",
        S.APPROVED,
        _in_recall,
        _always("wyjdzie o {until}, do tego czasu c cofa"),
        "",
        lambda f: f.send_after,
        obstacle=False,
    ),
    Rule(
        "switching",
        S.APPROVED,
        lambda f: f.client.switching,
        _always("klient zmienia się na profil biura: wyśle, gdy przyjdzie to, co w drodze"),
        "zmiana",
    ),
    Rule(
        "personal",
        S.APPROVED,
        lambda f: f.client.personal_to is not None and f.approved_by != f.client.personal_to,
        _always("klient ma certyfikat osobisty – wyśle tylko to, co zatwierdzi jego właściciel"),
        "cudza",
    ),
    Rule(
        "connecting",
        S.APPROVED,
        lambda f: f.client.auth is AuthState.RUNNING,
        _always("łączenie z KSeF"),
        "łączenie",
    ),
    Rule("no_access", S.APPROVED, lambda f: f.client.auth not in CAN_SEND, _access_text, "dostęp!"),
    Rule(
        "not_approved",
        S.APPROVED,
        lambda f: f.approved_by is None,
        _always("nie wiadomo, kto ją zatwierdził – cofnij ją (c) i zatwierdź"),
        "cofnij ją",
    ),
    Rule(
        "reconciling",
        S.APPROVED,
        lambda f: f.client.reconciling,
        _always("po odtworzeniu kopii sprawdzam w KSeF, co już wysłano"),
        "sprawdzam",
    ),
    Rule("nobody_sends", S.APPROVED, lambda f: not f.client.sends, _always(_WITHOUT), "stoi", obstacle=False),
    _closed("rest", S.APPROVED, _rest, "przerwa po błędzie do {until}: {what}"),
    Rule(
        "other_process",
        S.APPROVED,
        lambda f: f.client.serving == "other",
        _always("inny proces pracuje dla tego klienta – po nim"),
        "zajęty",
        obstacle=False,
    ),
    _closed("limit", S.APPROVED, _closed_for, "{what}, następna {until}"),
    Rule(
        "urgent_first",
        S.APPROVED,
        lambda f: f.client.urgent > 0 and not f.urgent,
        lambda f: f"najpierw pilne: {f.client.urgent}",
        "po pilnych",
        obstacle=False,
    ),
    Rule(
        "served",
        S.APPROVED,
        lambda f: f.client.serving == "worker",
        _always("kolejka klienta właśnie się wysyła"),
        "w kolejce",
        obstacle=False,
    ),
    Rule(
        "others_first",
        S.APPROVED,
        lambda f: f.client.others_first > 0,
        lambda f: f"kolej innych klientów (naraz {f.client.others_first})",
        "w kolejce",
        obstacle=False,
    ),
    Rule("turn", S.APPROVED, lambda f: True, _always("czeka na swoją kolej"), "w kolejce", obstacle=False),
    Rule(
        "no_access",
        S.SENDING,
        lambda f: f.client.auth not in (*CAN_SEND, AuthState.READ_ONLY, AuthState.RUNNING),
        _access_text,
        "dostęp!",
    ),
    Rule("nobody_sends", S.SENDING, lambda f: not f.client.sends, _always(_WITHOUT), "stoi", obstacle=False),
    _closed("rest", S.SENDING, _rest, "przerwa po błędzie do {until}: {what}"),
    _closed("limit", S.SENDING, _upload, "{what}, następna {until}"),
    Rule(
        "interrupted",
        S.SENDING,
        _interrupted,
        _always("przerwana w trakcie – program sprawdzi, czy doszła"),
        "przerwana",
    ),
    Rule(
        "package",
        S.SENDING,
        lambda f: f.session in _PACKAGE,
        lambda f: _PACKAGE[f.session],
        "paczka",
        obstacle=False,
    ),
)


def why(facts: Facts) -> Why | None:
    """Why the invoice stands; None when it moves, or is in a state that speaks for itself."""
    for rule in RULES:
        if rule.state is facts.state and rule.applies(facts):
            until = rule.until(facts)
            when = f"{warsaw(until):%H:%M:%S}" if until is not None else ""
            text = rule.text(facts).replace("{until}", when)
            return Why(rule.code, text, rule.brief.replace("{until}", when[:5]), until, rule.obstacle)
    return None
