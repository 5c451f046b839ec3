"""Where a person stands on the screen, and why a key does nothing there: one Polish sentence each (design §9)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from ksef_tui.domain.authorizations import AUTH_MOVES, AuthState
from ksef_tui.domain.invoices import INVOICE_MOVES, InvoiceState
from ksef_tui.domain.repair import REPAIRABLE
from ksef_tui.domain.roles import Role


class Danger(StrEnum):
    """How hard it is to do by mistake: `none` is done at once, `ask` asks first, `typed` wants the count typed."""

    NONE = "none"
    ASK = "ask"
    TYPED = "typed"


class Scope(StrEnum):
    """What an action works on."""

    PROGRAM = "program"
    LIST = "list"
    CLIENT = "client"  # the selected client
    INVOICES = "invoices"  # marked invoices, else the one under the cursor, else (where it makes sense) the client's


class Pane(StrEnum):
    """The panes, in the order of their digits."""

    TODAY = "today"
    CLIENTS = "clients"
    QUEUE = "queue"
    AUTHORIZATION = "authorization"


INVOICE_PANES = frozenset({Pane.QUEUE, Pane.TODAY})  # where actions on invoices work on those of the row


@dataclass(frozen=True, slots=True)
class ClientFacts:
    """What decides about the selected client."""

    id: int
    name: str
    status: AuthState
    waiting: int
    moving: int
    office: bool = False  # the office's own company
    request_over: bool = False  # the ten minutes to sign are over
    visit: bool = False  # a visit of the client (`domain.onboarding`) stopped half way
    switching: bool = False  # another identity is to come when the queue has settled


@dataclass(frozen=True, slots=True)
class Situation:
    """Where the person stands: who, in which pane, on what. `states` counts the invoices an action would work on."""

    role: Role
    pane: Pane
    client: ClientFacts | None = None
    states: Mapping[InvoiceState, int] = field(default_factory=dict)
    marked: int = 0  # rows of the pane's list
    rows: int = 0  # of what needs a person, where that is the list
    runs: bool = False  # something is being done for many clients
    ran: bool = False  # or was
    exercise: bool = False
    real: bool = False  # an environment where identities are real: mass acts ask for the count


WhyDisabled = Callable[[Situation], str | None]


def needs_client(situation: Situation) -> str | None:
    return None if situation.client is not None else "Najpierw dodaj albo wybierz klienta."


def needs_queue(situation: Situation) -> str | None:
    return None if situation.pane is Pane.QUEUE else "To działa w kolejce: naciśnij 2."


def needs_clients_or_queue(situation: Situation) -> str | None:
    return (
        None
        if situation.pane in (Pane.CLIENTS, Pane.QUEUE)
        else "To działa na listach klientów i faktur: naciśnij 1 albo 2."
    )


def needs_list(situation: Situation) -> str | None:
    return None if situation.pane is not Pane.AUTHORIZATION else "To działa na listach: naciśnij 0, 1 albo 2."


def open_row(situation: Situation) -> str | None:
    if situation.pane is Pane.CLIENTS and situation.client is None:
        return "Pod kursorem nie ma klienta."
    if situation.pane is Pane.QUEUE and not situation.states:
        return "Pod kursorem nie ma faktury."
    if situation.pane is Pane.TODAY and not situation.rows:
        return "Nic już nie wymaga człowieka."
    return needs_list(situation)


def _no_invoice(situation: Situation) -> str:
    """What to do where the row is not about invoices."""
    if situation.pane is Pane.QUEUE:
        return "Pod kursorem nie ma faktury."
    return "Ten wiersz nie jest o fakturach: co go załatwia, stoi pod listą."


def on_invoices(move: str, nothing: str) -> WhyDisabled:
    """Works when the move is allowed from the state of at least one of the invoices."""
    allowed = frozenset(INVOICE_MOVES[move])

    def why(situation: Situation) -> str | None:
        if situation.pane not in INVOICE_PANES:
            return "Wybierz faktury w kolejce: naciśnij 2."
        if not situation.states:
            return _no_invoice(situation)
        return None if any(situation.states.get(state) for state in allowed) else nothing

    return why


def approve(situation: Situation) -> str | None:
    if situation.pane in INVOICE_PANES:
        return on_invoices("approve", "Zatwierdza się tylko faktury, które czekają na zatwierdzenie.")(situation)
    if situation.client is None:
        return needs_client(situation)
    return None if situation.client.waiting else "Ten klient nie ma faktur do zatwierdzenia."


def recall(situation: Situation) -> str | None:
    if situation.pane in INVOICE_PANES:
        return on_invoices("recall", "Cofnąć można tylko fakturę zatwierdzoną, zanim zacznie się wysyłać.")(situation)
    if situation.client is None:
        return needs_client(situation)
    return None if situation.client.moving else "Nic tego klienta nie czeka na wysłanie."


def repair(situation: Situation) -> str | None:
    if situation.pane not in INVOICE_PANES:
        return "Wybierz fakturę w kolejce: naciśnij 2."
    if not situation.states:
        return _no_invoice(situation)
    if any(situation.states.get(state) for state in REPAIRABLE):
        return None
    return "Naprawia się faktury do poprawy, zablokowane i odrzucone."


def on_authorization(move: str, nothing: str) -> WhyDisabled:
    allowed = frozenset(AUTH_MOVES[move])

    def why(situation: Situation) -> str | None:
        if situation.client is None:
            return needs_client(situation)
        return None if situation.client.status in allowed else nothing

    return why


def many(situation: Situation) -> bool:
    """Whether an action on a client works on the marked ones."""
    return situation.pane is Pane.CLIENTS and situation.marked > 0


def start(situation: Situation) -> str | None:
    if many(situation):
        return None
    if situation.client is not None and situation.client.status is AuthState.RUNNING:
        return "Łączenie już trwa."
    return on_authorization("start", "Obsługa tego klienta jest zakończona: k ją wznawia.")(situation)


def check(situation: Situation) -> str | None:
    if many(situation):
        return None
    if situation.client is not None and situation.client.status is AuthState.RUNNING:
        return "Łączenie już trwa."
    if situation.client is not None and situation.client.status is AuthState.ENDED:
        return None  # whether the client has taken the rights back
    if situation.client is not None and situation.client.status is AuthState.TO_SIGN:
        return "Żądanie czeka na podpis: f wczytuje podpisany plik, b przerywa."
    return on_authorization("learn", "Ten klient nie ma jeszcze autoryzacji, którą można sprawdzić: naciśnij a.")(
        situation
    )


def cancel(situation: Situation) -> str | None:
    client = situation.client
    if situation.runs:  # over many clients
        return None
    if client is None:
        return needs_client(situation)
    if client.visit or client.switching or client.status in (AuthState.RUNNING, AuthState.TO_SIGN):
        return None
    return "Żadne łączenie ani sprawdzanie nie trwa."


def switch(situation: Situation) -> str | None:
    if situation.client is not None and situation.client.status is AuthState.RUNNING:
        return "Łączenie już trwa."
    return None


def runs(situation: Situation) -> str | None:
    if situation.runs or situation.ran:
        return None
    return "Nic zbiorczego się nie działo: zaznacz klientów spacją albo * i naciśnij r lub a."


def revoke(situation: Situation) -> str | None:
    if situation.client is not None and situation.client.status is AuthState.MISSING:
        return "Ten klient nie ma autoryzacji."
    return on_authorization("revoke", "Obsługa tego klienta jest zakończona.")(situation)


def export(situation: Situation) -> str | None:
    nothing = "Nie ma żądania do podpisu: zacznij od a, podpis zewnętrzny."
    return on_authorization("submit", nothing)(situation)


def submit(situation: Situation) -> str | None:
    if situation.client is not None and situation.client.request_over:
        return "Minęło 10 minut na podpis: e robi nowe żądanie."
    return export(situation)


def letter(situation: Situation) -> str | None:
    if situation.client is not None and situation.client.office:
        return "To samo biuro: pisma nie trzeba."
    return needs_client(situation)


def end(situation: Situation) -> str | None:
    if situation.client is not None and situation.client.office:
        return "To samo biuro: jego obsługi nie da się zakończyć."
    if situation.client is not None and situation.client.status is AuthState.RUNNING:
        return "Trwa łączenie: poczekaj na jego koniec albo przerwij je klawiszem b."
    return needs_client(situation)


def exercise(situation: Situation) -> str | None:
    return None if situation.exercise else "Awarie wywołuje się tylko w ćwiczeniu (ksef-tui demo)."
