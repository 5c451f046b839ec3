"""Everything a person can do on the screen: one record each (design §9).

The footer, the help, the palette, the keys of the authorisation pane and the README's table are made from these
records, so a key cannot be documented in one place and mean something else in another. A key that does nothing now
stays where it is, greyed, and says why.
"""

from __future__ import annotations

from dataclasses import dataclass

from ksef_tui.domain import situations as why
from ksef_tui.domain.roles import ALLOWED, Act
from ksef_tui.domain.situations import Danger, Pane, Scope, Situation, WhyDisabled


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


P, L, C, I = Scope.PROGRAM, Scope.LIST, Scope.CLIENT, Scope.INVOICES  # noqa: E741

ACTIONS: tuple[Action, ...] = (
    Action(
        "pane.today",
        "0",
        "0",
        "Dziś",
        "Co wymaga człowieka, od najpilniejszego; czynności działają na wierszu, a załatwione znika samo.",
        P,
    ),
    Action("pane.clients", "1", "1", "Klienci", "Lista klientów: od tych, którzy potrzebują człowieka.", P),
    Action("pane.queue", "2", "2", "Kolejka", "Wszystkie faktury wychodzące, najnowsze na górze.", P),
    Action("pane.authorization", "3", "3", "Autoryzacja", "Dostęp do KSeF wybranego klienta: kroki i co dalej.", P),
    Action("pane.next", "tab", "Tab", "Następny panel", "Przechodzi do następnego panelu.", P),
    Action(
        "open",
        "enter",
        "Enter",
        "Szczegóły",
        "Na kliencie: jego faktury. Na fakturze: treść, przebieg i XML. W „Dziś”: te faktury albo autoryzacja.",
        L,
        applies=why.open_row,
    ),
    Action("back", "escape", "Esc", "Wróć", "Odznacza, zdejmuje filtr, wraca do klientów. Zawsze bezpieczny.", L),
    Action(
        "auth.start",
        "a",
        "a",
        "Autoryzuj",
        "Łączy klienta z KSeF: profilem biura, podpisem zewnętrznym albo tokenem; zaznaczonych – profilem.",
        C,
        act=Act.AUTH_START,
        applies=why.start,
    ),
    Action(
        "auth.check",
        "r",
        "r",
        "Sprawdź",
        "Sprawdza w KSeF, czy dostęp działa (także zaznaczonych); po końcu obsługi: czy klient odebrał uprawnienia.",
        C,
        act=Act.AUTH_CHECK,
        applies=why.check,
    ),
    Action(
        "auth.cancel",
        "b",
        "b",
        "Przerwij",
        "Przerywa łączenie, które trwa, czeka na podpis albo stanęło w połowie, i to, co dzieje się zbiorczo.",
        C,
        act=Act.AUTH_START,
        applies=why.cancel,
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
        applies=why.revoke,
    ),
    Action(
        "auth.export",
        "e",
        "e",
        "Żądanie do podpisu",
        "Zapisuje żądanie do pliku, który podpisuje się poza programem; gdy straciło ważność, robi nowe.",
        C,
        act=Act.AUTH_START,
        applies=why.export,
    ),
    Action(
        "auth.submit",
        "f",
        "f",
        "Podpisany plik",
        "Wczytuje podpisane żądanie i przekazuje je do KSeF bez zmiany choćby bajtu.",
        C,
        act=Act.AUTH_START,
        applies=why.submit,
    ),
    Action(
        "client.letter",
        "l",
        "l",
        "Pismo",
        "Pismo do klienta: które uprawnienia nadać biuru, a po końcu obsługi – które odebrać, i gdzie kliknąć.",
        C,
        act=Act.AUTH_START,
        applies=why.letter,
    ),
    Action(
        "client.end",
        "k",
        "k",
        "Koniec obsługi",
        "Kończy obsługę klienta: nic więcej nie pójdzie, biuro wylogowuje się z KSeF. Zakończoną wznawia. Najpierw pyta.",
        C,
        Danger.ASK,
        act=Act.CLIENT_END,
        applies=why.end,
    ),
    Action(
        "auth.switch",
        "g",
        "g",
        "Zmień profil",
        "Z tokenu (albo innego profilu) na profil biura: klient, zaznaczeni albo wszyscy z tokenem. Gdy nic nie jest w drodze.",
        C,
        Danger.ASK,
        act=Act.AUTH_SWITCH,
        applies=why.switch,
    ),
    Action(
        "identity.takeover",
        "j",
        "j",
        "Profil rezerwowy",
        "Przejmuje klientów profilu, który stanął. Gdy wszystkie działają: wybór profilu rezerwowego.",
        P,
        Danger.ASK,
        act=Act.IDENTITY_TAKEOVER,
    ),
    Action(
        "invoice.import",
        "i",
        "i",
        "Importuj",
        "Wczytuje faktury XML wybranego klienta: plik, folder albo ZIP.",
        C,
        act=Act.INVOICE_IMPORT,
        applies=why.needs_client,
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
        applies=why.approve,
    ),
    Action(
        "invoice.recall",
        "c",
        "c",
        "Cofnij",
        "Cofa zatwierdzenie, dopóki faktura nie zaczęła się wysyłać.",
        I,
        act=Act.INVOICE_RECALL,
        applies=why.recall,
    ),
    Action(
        "invoice.hold",
        "w",
        "w",
        "Wstrzymaj",
        "Zatrzymuje fakturę, aż ktoś ją przywróci.",
        I,
        act=Act.INVOICE_HOLD,
        applies=why.on_invoices("hold", "Wstrzymać można fakturę do zatwierdzenia albo do wysłania."),
    ),
    Action(
        "invoice.release",
        "p",
        "p",
        "Przywróć",
        "Przywraca fakturę wstrzymaną lub zablokowaną; wszystkie kontrole od nowa.",
        I,
        act=Act.INVOICE_RELEASE,
        applies=why.on_invoices("release", "Przywraca się faktury wstrzymane i zablokowane."),
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
        applies=why.on_invoices(
            "withdraw", "Tej faktury nie można już wycofać. Wysłaną poprawia się fakturą korygującą."
        ),
    ),
    Action(
        "invoice.retry",
        "o",
        "o",
        "Ponów",
        "Odrzuconą z przyczyn technicznych: sprawdza, czy nie ma jej w KSeF, i kieruje do zatwierdzenia.",
        I,
        act=Act.INVOICE_RETRY,
        applies=why.on_invoices("retry", "Ponawia się faktury odrzucone przez KSeF."),
    ),
    Action(
        "invoice.urge",
        "q",
        "q",
        "Pilne",
        "Zatwierdzona faktura idzie pierwsza, zaraz po czasie na cofnięcie; c zdejmuje znak i cofa.",
        I,
        act=Act.INVOICE_URGE,
        applies=why.on_invoices(
            "urge", "Pilna może być tylko faktura zatwierdzona, która czeka na wysłanie: najpierw z, wstrzymaną p."
        ),
    ),
    Action(
        "invoice.repair",
        "f4",
        "F4",
        "Napraw",
        "Faktura do poprawy, zablokowana albo odrzucona: co znaczy powód i co można z nią zrobić.",
        I,
        act=Act.SEE,
        applies=why.repair,
    ),
    Action(
        "sending.pause",
        "h",
        "h",
        "Pauza wysyłki",
        "Wstrzymuje wysyłkę klienta, zaznaczonych albo wszystkiego, z powodem; drugi raz wznawia. Co w drodze, kończy się.",
        C,
        act=Act.SENDING_PAUSE,
    ),
    Action(
        "client.sync",
        "y",
        "y",
        "Lista z KSeF",
        "Czyta z KSeF, kto nadał biuru uprawnienia: pokazuje, kogo brak i co się zmieniło, i dodaje po potwierdzeniu.",
        P,
        Danger.ASK,
        act=Act.CLIENT_ADD,
    ),
    Action(
        "bulk.show",
        "f5",
        "F5",
        "Przebieg",
        "Jak idzie sprawdzanie albo autoryzacja wielu klientów; Enter pokazuje tych, którzy wymagają uwagi.",
        P,
        act=Act.AUTH_CHECK,
        applies=why.runs,
    ),
    Action(
        "staff",
        "t",
        "t",
        "Pracownicy",
        "Kto z biura co może u klientów i co z tego działa; nadawanie i odbieranie.",
        P,
        act=Act.STAFF_SEE,
    ),
    Action("client.add", "n", "n", "Nowy klient", "Dodaje klienta: NIP i nazwa.", P, act=Act.CLIENT_ADD),
    Action(
        "profiles",
        "d",
        "d",
        "Profile biura",
        "Certyfikaty, którymi biuro się loguje: czyje, do kiedy, kto ich używa; nowe, odnowienie, odwołanie.",
        P,
        act=Act.IDENTITY_ADD,
    ),
    Action(
        "list.filter",
        "slash",
        "/",
        "Filtruj",
        "Zawęża listę w trakcie pisania, kolejkę słowami: jodła odrzucone wczoraj >1000, 12-15.11, upo; Esc zdejmuje.",
        L,
        applies=why.needs_clients_or_queue,
    ),
    Action(
        "list.state",
        "s",
        "s",
        "Stan",
        "Pokazuje w kolejce tylko faktury w wybranym stanie.",
        L,
        applies=why.needs_queue,
    ),
    Action("list.mine", "m", "m", "Moi / wszyscy", "Klienci: tylko moi albo wszyscy.", L),
    Action(
        "mark.one",
        "space",
        "Spacja",
        "Zaznacz",
        "Zaznacza fakturę albo klienta; czynności działają na zaznaczone.",
        L,
        applies=why.needs_list,
    ),
    Action(
        "mark.range",
        "v",
        "v",
        "Zaznacz zakres",
        "Zaznacza od tego miejsca; drugie v kończy zakres.",
        L,
        applies=why.needs_list,
    ),
    Action(
        "mark.all",
        "asterisk",
        "*",
        "Zaznacz wszystkie",
        "Zaznacza wszystkie pokazane faktury albo klientów.",
        L,
        applies=why.needs_list,
    ),
    Action(
        "search", "ctrl+f", "Ctrl+F", "Szukaj", "Szuka wszędzie: klient, NIP, numer faktury, nabywca, numer KSeF.", P
    ),
    Action(
        "exercise.troubles",
        "f9",
        "F9",
        "Awaria",
        "W ćwiczeniu: włącza i wyłącza kłopoty z KSeF.",
        P,
        applies=why.exercise,
    ),
    Action("palette", "ctrl+p", "Ctrl+P", "Czynności", "Wszystkie czynności na jednej liście, z wyszukiwaniem.", P),
    Action("help", "f1", "F1", "Pomoc", "Klawisze i znaczenie znaków (także ?).", P),
    Action("quit", "ctrl+q", "Ctrl+Q", "Zakończ", "Kończy program (także dwa razy Ctrl+C). Kolejka zostaje.", P),
)

BY_ID: dict[str, Action] = {action.id: action for action in ACTIONS}

# What the footer offers, most useful first; at 80 columns the first six that fit are shown.
FOOTERS: dict[Pane, tuple[str, ...]] = {
    Pane.TODAY: (
        "invoice.approve",
        "auth.start",
        "invoice.release",
        "open",
        "list.mine",
        "help",
        "exercise.troubles",
        "invoice.recall",
        "invoice.retry",
        "auth.check",
        "client.letter",
        "mark.one",
        "invoice.withdraw",
        "invoice.urge",
        "sending.pause",
        "palette",
        "invoice.repair",
    ),
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
        "client.letter",
        "auth.switch",
        "client.sync",
        "mark.one",
        "bulk.show",
        "staff",
        "sending.pause",
        "pane.today",
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
        "invoice.urge",
        "sending.pause",
        "pane.today",
        "invoice.repair",
    ),
    Pane.AUTHORIZATION: (
        "auth.start",
        "auth.check",
        "auth.cancel",
        "auth.revoke",
        "profiles",
        "help",
        "exercise.troubles",
        "invoice.import",
        "search",
        "palette",
        "client.letter",
        "auth.export",
        "auth.submit",
        "client.end",
        "auth.switch",
        "identity.takeover",
        "staff",
    ),
}

# The same while clients are marked: what works on all of them.
FOOTER_OF_MARKED: tuple[str, ...] = (
    "auth.start", "auth.check", "mark.one", "help", "mark.range", "mark.all", "back", "bulk.show", "palette",
)  # fmt: skip

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
