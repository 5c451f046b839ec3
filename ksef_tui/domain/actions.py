"""Everything a person can do on the screen: one record each (design §9).

The footer, the help, the palette, the keys of the authorisation pane and the README's table are made from these
records, so a key cannot be documented in one place and mean something else in another. A key that does nothing now
stays where it is, greyed, and says why.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from ksef_tui.domain.authorizations import AUTH_MOVES, AuthState
from ksef_tui.domain.invoices import INVOICE_MOVES, InvoiceState
from ksef_tui.domain.roles import ALLOWED, Act, Role


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
    """The three panes, in the order of their digits."""

    CLIENTS = "clients"
    QUEUE = "queue"
    AUTHORIZATION = "authorization"


@dataclass(frozen=True, slots=True)
class ClientFacts:
    """What decides about the selected client."""

    id: int
    name: str
    status: AuthState
    waiting: int
    moving: int


@dataclass(frozen=True, slots=True)
class Situation:
    """Where the person stands: who, in which pane, on what. `states` counts the invoices an action would work on."""

    role: Role
    pane: Pane
    client: ClientFacts | None = None
    states: Mapping[InvoiceState, int] = field(default_factory=dict)
    marked: int = 0
    exercise: bool = False
    real: bool = False  # an environment where identities are real: mass acts ask for the count


WhyDisabled = Callable[[Situation], str | None]


@dataclass(frozen=True, slots=True)
class Action:
    """One thing a person can do. `key` is Textual's name of the key; `shown` how people write it."""

    id: str
    key: str
    shown: str
    label: str
    help: str
    scope: Scope
    danger: Danger = Danger.NONE
    act: Act | None = None
    applies: WhyDisabled | None = None

    def why_disabled(self, situation: Situation) -> str | None:
        """One Polish sentence why the key does nothing now; None when it works."""
        if self.act is not None and self.act not in ALLOWED[situation.role]:
            return "Twoja rola nie pozwala na tę czynność."
        return self.applies(situation) if self.applies is not None else None

    def grade(self, situation: Situation) -> Danger:
        """How it must be confirmed here: issuing wants the count typed where identities are real."""
        if self.danger is Danger.ASK and situation.real and self.id == "invoice.approve":
            return Danger.TYPED
        return self.danger


def _needs_client(situation: Situation) -> str | None:
    return None if situation.client is not None else "Najpierw dodaj albo wybierz klienta."


def _needs_queue(situation: Situation) -> str | None:
    return None if situation.pane is Pane.QUEUE else "To działa w kolejce: naciśnij 2."


def _needs_clients_or_queue(situation: Situation) -> str | None:
    return None if situation.pane is not Pane.AUTHORIZATION else "To działa na listach: naciśnij 1 albo 2."


def _open(situation: Situation) -> str | None:
    if situation.pane is Pane.CLIENTS and situation.client is None:
        return "Lista klientów jest pusta."
    if situation.pane is Pane.QUEUE and not situation.states:
        return "Kolejka jest pusta."
    return _needs_clients_or_queue(situation)


def _on_invoices(move: str, nothing: str) -> WhyDisabled:
    """Works when the move is allowed from the state of at least one of the invoices."""
    allowed = frozenset(INVOICE_MOVES[move])

    def why(situation: Situation) -> str | None:
        if situation.pane is not Pane.QUEUE:
            return "Wybierz faktury w kolejce: naciśnij 2."
        if not situation.states:
            return "Kolejka jest pusta."
        return None if any(situation.states.get(state) for state in allowed) else nothing

    return why


def _approve(situation: Situation) -> str | None:
    if situation.pane is Pane.QUEUE:
        return _on_invoices("approve", "Zatwierdza się tylko faktury, które czekają na zatwierdzenie.")(situation)
    if situation.client is None:
        return _needs_client(situation)
    return None if situation.client.waiting else "Ten klient nie ma faktur do zatwierdzenia."


def _recall(situation: Situation) -> str | None:
    if situation.pane is Pane.QUEUE:
        return _on_invoices("recall", "Cofnąć można tylko fakturę zatwierdzoną, zanim zacznie się wysyłać.")(situation)
    if situation.client is None:
        return _needs_client(situation)
    return None if situation.client.moving else "Nic tego klienta nie czeka na wysłanie."


def _on_authorization(move: str, nothing: str) -> WhyDisabled:
    allowed = frozenset(AUTH_MOVES[move])

    def why(situation: Situation) -> str | None:
        if situation.client is None:
            return _needs_client(situation)
        return None if situation.client.status in allowed else nothing

    return why


def _start(situation: Situation) -> str | None:
    if situation.client is not None and situation.client.status is AuthState.RUNNING:
        return "Łączenie już trwa."
    return _on_authorization("start", "Obsługa tego klienta jest zakończona.")(situation)


def _check(situation: Situation) -> str | None:
    if situation.client is not None and situation.client.status is AuthState.RUNNING:
        return "Łączenie już trwa."
    return _on_authorization("learn", "Ten klient nie ma jeszcze autoryzacji, którą można sprawdzić: naciśnij a.")(
        situation
    )


def _revoke(situation: Situation) -> str | None:
    if situation.client is not None and situation.client.status is AuthState.MISSING:
        return "Ten klient nie ma autoryzacji."
    return _on_authorization("revoke", "Obsługa tego klienta jest zakończona.")(situation)


def _exercise(situation: Situation) -> str | None:
    return None if situation.exercise else "Awarie wywołuje się tylko w ćwiczeniu (ksef-tui demo)."


P, L, C, I = Scope.PROGRAM, Scope.LIST, Scope.CLIENT, Scope.INVOICES  # noqa: E741

ACTIONS: tuple[Action, ...] = (
    Action("pane.clients", "1", "1", "Klienci", "Lista klientów: od tych, którzy potrzebują człowieka.", P),
    Action("pane.queue", "2", "2", "Kolejka", "Wszystkie faktury wychodzące, najnowsze na górze.", P),
    Action("pane.authorization", "3", "3", "Autoryzacja", "Dostęp do KSeF wybranego klienta: kroki i co dalej.", P),
    Action("pane.next", "tab", "Tab", "Następny panel", "Przechodzi do następnego panelu.", P),
    Action(
        "open",
        "enter",
        "Enter",
        "Szczegóły",
        "Na kliencie: jego faktury. Na fakturze: treść, przebieg i XML.",
        L,
        applies=_open,
    ),
    Action("back", "escape", "Esc", "Wróć", "Odznacza, zdejmuje filtr, wraca do klientów. Zawsze bezpieczny.", L),
    Action(
        "auth.start",
        "a",
        "a",
        "Autoryzuj",
        "Łączy klienta z KSeF: profilem biura albo tokenem KSeF.",
        C,
        act=Act.AUTH_START,
        applies=_start,
    ),
    Action(
        "auth.check",
        "r",
        "r",
        "Sprawdź",
        "Sprawdza w KSeF, czy dostęp działa i jakie daje uprawnienia.",
        C,
        act=Act.AUTH_CHECK,
        applies=_check,
    ),
    Action(
        "auth.cancel",
        "b",
        "b",
        "Przerwij",
        "Przerywa łączenie, które trwa.",
        C,
        act=Act.AUTH_START,
        applies=_on_authorization("cancel", "Żadne łączenie nie trwa."),
    ),
    Action(
        "auth.revoke",
        "u",
        "u",
        "Unieważnij",
        "Wylogowuje biuro z konta klienta w KSeF. Kolejka klienta staje.",
        C,
        Danger.ASK,
        act=Act.AUTH_REVOKE,
        applies=_revoke,
    ),
    Action(
        "invoice.import",
        "i",
        "i",
        "Importuj",
        "Wczytuje faktury XML wybranego klienta: plik, folder albo ZIP.",
        C,
        act=Act.INVOICE_IMPORT,
        applies=_needs_client,
    ),
    Action(
        "invoice.approve",
        "z",
        "z",
        "Zatwierdź",
        "Wystawia faktury w imieniu klienta i wysyła je do KSeF. Najpierw pyta.",
        I,
        Danger.ASK,
        act=Act.INVOICE_APPROVE,
        applies=_approve,
    ),
    Action(
        "invoice.recall",
        "c",
        "c",
        "Cofnij",
        "Cofa zatwierdzenie, dopóki faktura nie zaczęła się wysyłać.",
        I,
        act=Act.INVOICE_RECALL,
        applies=_recall,
    ),
    Action(
        "invoice.hold",
        "w",
        "w",
        "Wstrzymaj",
        "Zatrzymuje fakturę, aż ktoś ją przywróci.",
        I,
        act=Act.INVOICE_HOLD,
        applies=_on_invoices("hold", "Wstrzymać można fakturę do zatwierdzenia albo do wysłania."),
    ),
    Action(
        "invoice.release",
        "p",
        "p",
        "Przywróć",
        "Przywraca fakturę wstrzymaną lub zablokowaną; wszystkie kontrole od nowa.",
        I,
        act=Act.INVOICE_RELEASE,
        applies=_on_invoices("release", "Przywraca się faktury wstrzymane i zablokowane."),
    ),
    Action(
        "invoice.withdraw",
        "x",
        "x",
        "Wycofaj",
        "Wycofuje fakturę na stałe: nie zostanie wysłana.",
        I,
        Danger.ASK,
        act=Act.INVOICE_WITHDRAW,
        applies=_on_invoices("withdraw", "Tej faktury nie można już wycofać. Wysłaną poprawia się fakturą korygującą."),
    ),
    Action(
        "invoice.retry",
        "o",
        "o",
        "Ponów",
        "Odrzuconą z przyczyn technicznych kieruje ponownie do zatwierdzenia.",
        I,
        act=Act.INVOICE_RETRY,
        applies=_on_invoices("retry", "Ponawia się faktury odrzucone przez KSeF."),
    ),
    Action("client.add", "n", "n", "Nowy klient", "Dodaje klienta: NIP i nazwa.", P, act=Act.CLIENT_ADD),
    Action(
        "identity.add",
        "d",
        "d",
        "Dodaj profil",
        "Dodaje profil biura: certyfikat KSeF z kluczem, którym biuro się podpisuje.",
        P,
        act=Act.IDENTITY_ADD,
    ),
    Action(
        "list.filter",
        "slash",
        "/",
        "Filtruj",
        "Zawęża listę w trakcie pisania; Esc zdejmuje filtr.",
        L,
        applies=_needs_clients_or_queue,
    ),
    Action(
        "list.state", "s", "s", "Stan", "Pokazuje w kolejce tylko faktury w wybranym stanie.", L, applies=_needs_queue
    ),
    Action("list.mine", "m", "m", "Moi / wszyscy", "Klienci: tylko moi albo wszyscy.", L),
    Action(
        "mark.one",
        "space",
        "Spacja",
        "Zaznacz",
        "Zaznacza fakturę; czynności działają na zaznaczone.",
        L,
        applies=_needs_queue,
    ),
    Action(
        "mark.range",
        "v",
        "v",
        "Zaznacz zakres",
        "Zaznacza od tego miejsca; drugie v kończy zakres.",
        L,
        applies=_needs_queue,
    ),
    Action(
        "mark.all",
        "asterisk",
        "*",
        "Zaznacz wszystkie",
        "Zaznacza wszystkie pokazane faktury.",
        L,
        applies=_needs_queue,
    ),
    Action(
        "search", "ctrl+f", "Ctrl+F", "Szukaj", "Szuka wszędzie: klient, NIP, numer faktury, nabywca, numer KSeF.", P
    ),
    Action(
        "exercise.troubles", "f9", "F9", "Awaria", "W ćwiczeniu: włącza i wyłącza kłopoty z KSeF.", P, applies=_exercise
    ),
    Action("palette", "ctrl+p", "Ctrl+P", "Czynności", "Wszystkie czynności na jednej liście, z wyszukiwaniem.", P),
    Action("help", "f1", "F1", "Pomoc", "Klawisze i znaczenie znaków (także ?).", P),
    Action("quit", "ctrl+q", "Ctrl+Q", "Zakończ", "Kończy program (także dwa razy Ctrl+C). Kolejka zostaje.", P),
)

BY_ID: dict[str, Action] = {action.id: action for action in ACTIONS}

# What the footer offers, most useful first; at 80 columns the first six that fit are shown.
FOOTERS: dict[Pane, tuple[str, ...]] = {
    Pane.CLIENTS: (
        "auth.start",
        "invoice.import",
        "invoice.approve",
        "invoice.recall",
        "open",
        "help",
        "exercise.troubles",
        "list.filter",
        "auth.check",
        "client.add",
        "search",
        "palette",
    ),
    Pane.QUEUE: (
        "invoice.approve",
        "invoice.recall",
        "invoice.hold",
        "open",
        "list.filter",
        "help",
        "exercise.troubles",
        "mark.one",
        "invoice.withdraw",
        "invoice.release",
        "list.state",
        "search",
        "palette",
    ),
    Pane.AUTHORIZATION: (
        "auth.start",
        "auth.check",
        "auth.cancel",
        "auth.revoke",
        "identity.add",
        "help",
        "exercise.troubles",
        "invoice.import",
        "search",
        "palette",
    ),
}

SCOPE_TITLES: dict[Scope, str] = {
    Scope.CLIENT: "Wybrany klient",
    Scope.INVOICES: "Faktury: zaznaczone, a gdy nic nie zaznaczono – ta pod kursorem",
    Scope.LIST: "Listy",
    Scope.PROGRAM: "Program",
}


def markdown_table() -> str:
    """The README's table of keys."""
    rows = ["| klawisz | czynność | co robi |", "|---|---|---|"]
    for scope in SCOPE_TITLES:
        rows += [f"| `{a.shown}` | {a.label} | {a.help.replace('|', '/')} |" for a in ACTIONS if a.scope is scope]
    return "\n".join(rows) + "\n"
