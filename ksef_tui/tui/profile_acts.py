"""The menu "Profile biura": whose certificates there are, and what is done with them; the way to the first one."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from ksef_tui.domain.actions import Action
from ksef_tui.domain.authorizations import AuthMethod, AuthState
from ksef_tui.domain.certificates import KINDS, REVOCATION_WORDS
from ksef_tui.domain.roles import Act, may
from ksef_tui.domain.secret import Secret
from ksef_tui.domain.situations import Pane, Situation
from ksef_tui.domain.text import count_of
from ksef_tui.domain.times import warsaw
from ksef_tui.services import client_views, clients, identities, identity_views
from ksef_tui.services.views import AuthorizationView, IdentityRow
from ksef_tui.tui import describe
from ksef_tui.tui.desk import Desk
from ksef_tui.tui.dialogs.ask import Ask
from ksef_tui.tui.dialogs.choices import Choice
from ksef_tui.tui.dialogs.details import Reader
from ksef_tui.tui.dialogs.form import Field, Form, Submit
from ksef_tui.tui.dialogs.pick import Pick
from ksef_tui.tui.external_acts import ExternalActs
from ksef_tui.tui.files import read_small
from ksef_tui.tui.present import Line, clean, fit

if TYPE_CHECKING:
    from ksef_tui.services.certifying import Limits, Order
    from ksef_tui.tui.access_acts import Flow
    from ksef_tui.tui.app import KsefTui
    from ksef_tui.tui.main import MainScreen

KEY_FILE_BYTES = 200_000  # a certificate or a key is far smaller
_KEY_FILE = "plik certyfikatu ani klucza"
_WORKS = (AuthState.ACTIVE, AuthState.EXPIRING, AuthState.READ_ONLY)


class ProfileActs:
    """The menu of the office's profiles."""

    def __init__(self, screen: MainScreen, app: KsefTui, external: ExternalActs) -> None:
        self._screen = screen
        self._app = app
        self._external = external
        self.flows: dict[str, Flow] = {"profiles": self._menu}

    @property
    def desk(self) -> Desk:
        return self._screen.desk

    # The menu -----------------------------------------------------------------------------------------------------

    async def _menu(self, action: Action, situation: Situation) -> None:
        desk = self.desk
        await desk.read(_warm)
        from ksef_tui.services import certifying  # late: it calls KSeF, the screen does not

        found = await desk.read(lambda: identity_views.identities(desk.office, desk.operator, everybodys=True))
        orders = await desk.read(lambda: certifying.orders(desk.office, desk.operator))
        home = await desk.read(lambda: self._home())
        choices = [Choice(f"profile:{one.id}", self._line(one), about=_about(one)) for one in found]
        choices += [Choice(f"order:{one.id}", _order_line(one)) for one in orders if one.is_live]
        choices += [Choice(f"offline:{one.id}", _order_line(one)) for one in orders if one.is_offline]
        ways = _ways(home, first=not found)
        chosen = await self._app.push_screen_wait(Pick("Profile biura", [*choices, *ways], intro=_intro(found)))
        kind, _, one_id = (chosen or "").partition(":")
        if kind == "profile":
            await self._profile(next(one for one in found if one.id == int(one_id)))
        elif kind == "order":
            await self._watch(int(one_id))
        elif kind == "offline":
            one = next(one for one in orders if one.id == int(one_id))
            await self._revoke(one.label, 0)
        elif kind == "sign":
            await self._sign_at_home(home)
        elif kind == "enrol":
            await self._enrol()
        elif kind == "files":
            await self._from_files()
        elif kind == "help":
            note = "↑↓ PgUp PgDn przewija · Esc wraca"
            await self._app.push_screen_wait(Reader("Pierwszy certyfikat biura", first_certificate, note))

    def _home(self) -> AuthorizationView | None:
        """Where the office stands in its own context."""
        office, operator = self.desk.office, self.desk.operator
        return client_views.authorization(office, operator, clients.id_of(office, office.nip))

    def _line(self, one: IdentityRow) -> Line:
        ended = one.valid_to <= self.desk.now()
        soon = (one.valid_to - self.desk.now()).days <= 30
        until = f"{'wygasł' if ended else 'do'} {warsaw(one.valid_to):%d.%m.%Y}"
        marks = ("osobisty",) * bool(one.personal_to) + one.marks
        used = count_of(one.clients, "klient", "klienci", "klientów") if one.clients else "" if marks else "nieużywany"
        return (
            (fit(clean(one.label), 20) + " ", "strong"),
            (fit(clean(one.whose), 17) + " ", "dim"),
            (fit(until, 17), "bad" if ended else "wait" if soon else "dim"),
            (f" {used}", "text"),
            (f"{' · ' * bool(used and marks)}{', '.join(marks)}", "wait"),
        )

    # One profile --------------------------------------------------------------------------------------------------

    async def _profile(self, one: IdentityRow) -> None:
        operator, ended = self.desk.operator, one.valid_to <= self.desk.now()
        used = count_of(one.clients, "klient", "klientów", "klientów")
        why_renew = "Wygasł: sam siebie nie odnowi." if ended else "Jest już odnowiony." if one.replaced else None
        why_revoke = None if one.kind in ("ksef", "") else "Nie wystawił go KSeF: odwołuje się go tam, gdzie go wydano."
        why_remove = f"Używa go {used}: najpierw zmień im profil (g)." if one.clients else None
        if not one.personal_to and not may(operator, Act.IDENTITY_REMOVE, None):
            why_revoke = "Certyfikat biura odwołuje administrator."
        if not may(operator, Act.IDENTITY_REMOVE, None):
            why_remove = "Profile usuwa administrator."
        choices = [
            Choice("renew", _way("odnów", "nowy certyfikat KSeF, klienci przechodzą na niego"), why_renew),
            Choice("revoke", _way("odwołaj w KSeF", "na zawsze; wylogowuje wszędzie"), why_revoke),
            Choice("remove", _way("usuń z programu", "niszczy klucz, w KSeF nic się nie zmienia"), why_remove),
        ]
        title = f"Profil {clean(one.label)}"
        chosen = await self._app.push_screen_wait(Pick(title, choices, intro=profile_lines(one)))
        if chosen == "renew":
            await self._renew(one)
        elif chosen == "revoke":
            await self._revoke(one.label, one.clients)
        elif chosen == "remove":
            await self._remove(one)

    async def _renew(self, one: IdentityRow) -> None:
        from ksef_tui.services import certifying

        desk = self.desk
        self._app.say("Pytam KSeF o limity…")
        limits = await desk.act(lambda: asyncio.run(certifying.renewal_limits(desk.office, desk.operator, one.label)))
        text = [
            f"Nowy certyfikat KSeF przejmie nazwę „{clean(one.label)}”. Przejdzie na niego "
            f"{count_of(one.clients, 'klient', 'klientów', 'klientów')}; kolejki stoją tylko na chwilę sprawdzenia.",
            "Stary zostanie odwołany, gdy nikt go już nie używa."
            if one.kind == "ksef"
            else "Starego nie wystawił KSeF: zostanie w programie, aż go usuniesz.",
            limits.words,
        ]
        question = Ask("Odnowienie certyfikatu", lambda width: describe.plain(text, width), yes="Tak, zamów nowy")
        if await self._app.push_screen_wait(question):
            await self._watch(await desk.act(lambda: certifying.renew(desk.office, desk.operator, one.label)))

    async def _revoke(self, label: str, used: int) -> None:
        from ksef_tui.services import certifying

        desk = self.desk
        reasons = [Choice(code, ((words, "text"),)) for code, words in REVOCATION_WORDS.items()]
        reason = await self._app.push_screen_wait(Pick(f"Odwołanie „{clean(label)}” – dlaczego?", reasons))
        if reason is None:
            return
        stand = (
            f" Stanie {count_of(used, 'klient', 'klientów', 'klientów')}, aż autoryzujesz ich innym profilem."
            * bool(used)
        )
        text = f"Certyfikat „{clean(label)}” zostanie odwołany w KSeF. Tego nie da się odwrócić.{stand}"
        question = Ask(
            "Odwołanie certyfikatu",
            lambda width: describe.plain([text], width),
            yes="Tak, odwołaj na zawsze",
            production=self._screen.environment == "production",
        )
        if await self._app.push_screen_wait(question):
            await desk.act(lambda: certifying.revoke(desk.office, desk.operator, label, reason))
            self._app.say("Odwołanie zlecone; logowania tym certyfikatem zostaną zakończone u wszystkich klientów.")

    async def _remove(self, one: IdentityRow) -> None:
        desk = self.desk
        text = f"Klucz profilu „{clean(one.label)}” zostanie zniszczony. W KSeF certyfikat pozostanie ważny."
        question = Ask("Usunięcie profilu", lambda width: describe.plain([text], width), yes="Tak, usuń z programu")
        if await self._app.push_screen_wait(question):
            await desk.act(lambda: identities.remove(desk.office, desk.operator, one.label))
            self._screen.authorization.reload()
            self._app.say("Profil usunięty.")

    # New ones -----------------------------------------------------------------------------------------------------

    async def _sign_at_home(self, home: AuthorizationView | None) -> None:
        """The office signs elsewhere in its own name; the pane shows the steps."""
        if home is None:
            return
        screen = self._screen
        screen.clients.end_filter(clear=True)
        screen.clients.list.go_to(home.client_id)
        screen.authorization.select(home.client_id)
        screen.show(Pane.CLIENTS)
        if home.status is AuthState.TO_SIGN:
            self._app.say("Żądanie czeka na podpis: e zapisuje je do pliku, f wczytuje podpisany.")
        else:
            await self._external.begin(home.client_id)

    async def _enrol(self) -> None:
        from ksef_tui.services import certifying

        desk = self.desk
        self._app.say("Pytam KSeF o limity…")
        limits = await desk.act(lambda: asyncio.run(certifying.limits(desk.office, desk.operator)))
        kinds = [
            Choice("authentication", _way("do logowania", "staje się profilem biura")),
            Choice("offline", _way("offline", "tylko do kodów QR na fakturach offline")),
        ]
        intro = [*describe.plain(_limits_words(limits, desk.operator.login), 64, "dim")]
        kind = await self._app.push_screen_wait(Pick("Certyfikat KSeF – jaki?", kinds, intro=intro))
        if kind is None:
            return
        made: list[int] = []

        async def submit(values: Mapping[str, str]) -> None:
            name, label, code = values["name"].strip(), values["label"], certifying.TYPES[kind]
            made.append(await desk.act(lambda: certifying.order(desk.office, desk.operator, name, label, code)))

        usual = "KSeF biura" if kind == "authentication" else "kody QR"
        fields = [
            Field("name", "Nazwa w KSeF", value=certifying.name_for(desk.office.name, desk.now())),
            Field("label", "Nazwa profilu", value=usual),
        ]
        if await self._form("Nowy certyfikat KSeF", _limits_words(limits, desk.operator.login), fields, submit):
            await self._watch(made[-1])

    async def _watch(self, order_id: int) -> None:
        from ksef_tui.services import certifying
        from ksef_tui.tui.dialogs.ordering import Ordering

        desk, screen = self.desk, self._screen
        order = await desk.read(lambda: certifying.order_by_id(desk.office, desk.operator, order_id))

        def nobody_sends() -> bool:
            return screen.header_view is not None and screen.header_view.sending == "off"

        await self._app.push_screen_wait(Ordering(desk, order, nobody_sends, self._app.trouble))

    async def _from_files(self) -> None:
        """What is in the files is shown before it is kept."""
        desk = self.desk
        brought: list[tuple[identities.Found, str, bytes, bytes | None, Secret | None]] = []

        async def submit(values: Mapping[str, str]) -> None:
            password = Secret(values["password"]) if values["password"] else None
            label, certificate, key = values["label"], values["certificate"], values["key"].strip()

            def job() -> None:
                identities.free_label(desk.office, label)
                key_bytes = read_small(key, KEY_FILE_BYTES, _KEY_FILE) if key else None
                document = read_small(certificate, KEY_FILE_BYTES, _KEY_FILE)
                found = identities.inspect(desk.office, desk.operator, document, key_bytes, password)
                brought.append((found, label, document, key_bytes, password))

            await desk.act(job)

        intro = ["Certyfikat (.crt, .pem) i jego klucz (.key), albo jeden plik .p12. Klucz zostaje tylko zaszyfrowany."]
        fields = [
            Field("label", "Nazwa profilu", placeholder="np. KSeF biura"),
            Field("certificate", "Certyfikat", path=True, placeholder="ścieżka; Tab dopisuje"),
            Field("key", "Klucz", path=True, optional=True, placeholder="puste dla .p12"),
            Field("password", "Hasło klucza", hidden=True, optional=True),
        ]
        if not await self._form("Profil z plików", intro, fields, submit):
            return
        found, label, document, key_bytes, password = brought[-1]
        question = Ask(
            f"Profil „{clean(label)}” – to znaleziono",
            lambda width: found_lines(found, width),
            yes="Tak, zachowaj profil",
            no="Nie zachowuj",
        )
        if await self._app.push_screen_wait(question):
            await desk.act(lambda: identities.add(desk.office, desk.operator, label, document, key_bytes, password))
            self._screen.authorization.reload()  # a profile is no client: nothing else tells the flow of it
            self._app.say("Profil dodany. Teraz a łączy klientów.")

    async def _form(self, title: str, intro: Sequence[str], fields: Sequence[Field], submit: Submit) -> bool:
        form = Form(
            title, lambda width: describe.plain(list(intro), width, "dim"), fields, submit, failed=self._app.trouble
        )
        return await self._app.push_screen_wait(form)


def _warm() -> None:
    """What calls KSeF takes a moment to load: not in the event loop."""
    from ksef_tui.services import certifying  # noqa: F401


# What it says -------------------------------------------------------------------------------------------------------


def _way(name: str, what: str) -> Line:
    return ((fit(name, 20), "text"), (what, "dim"))


def _intro(found: Sequence[IdentityRow]) -> list[Line]:
    if found:
        return []
    text = "Biuro nie ma jeszcze profilu, czyli certyfikatu, którym loguje się u klientów. Są dwie drogi:"
    return describe.plain([text], 64)


def _ways(home: AuthorizationView | None, *, first: bool) -> list[Choice]:
    """How a new one comes about; with none yet the way that goes on from here is the first."""
    by_token = home is not None and home.method is AuthMethod.TOKEN
    ready = home is not None and home.status in _WORKS and not by_token
    to_sign = home is not None and home.status is AuthState.TO_SIGN
    why = "Biuro jest zalogowane tokenem: certyfikatu się nim nie zamówi." if by_token else (
        "Najpierw zaloguj biuro u siebie: podpisem albo profilem (a na kliencie, którym jest biuro)."
    )  # fmt: skip
    enrol = Choice(
        "enrol", _way("zamów w KSeF", "certyfikat KSeF biura; najpierw widać limity"), None if ready else why
    )
    signing = "żądanie czeka na podpis: e i f" if to_sign else "pieczęć, właściciel albo osoba z ZAW-FA"
    sign = Choice("sign", _way("podpisz u siebie", signing))
    files = Choice("files", _way("dodaj z plików", "certyfikat z kluczem: .crt i .key albo .p12"))
    help_ = Choice("help", _way("jak zacząć", "krok po kroku, także bez pieczęci"))
    if first and not ready:
        return [sign, files, help_]
    return [enrol, files, *([sign] if first else []), help_]


def _limits_words(limits: Limits, login: str) -> list[str]:
    kind, _, value = limits.subject.partition(":")
    whose = f"Certyfikat będzie na {identities.whose(kind, value)}" if value else "Certyfikat będzie na zalogowanego"
    personal = f" – osobisty, tylko dla operatora {login}." if kind == "Pesel" else "."
    return [f"{whose}{personal}", limits.words]


def _about(one: IdentityRow) -> str:
    """What stands in the way of a profile, in full: in its line it may be cut."""
    return f"{clean(one.label)}: {', '.join(one.marks)}." if one.marks else ""


def _order_line(one: Order) -> Line:
    kind = "kody QR (offline)" if one.is_offline else "zamówienie"
    until = f"do {warsaw(one.valid_to):%d.%m.%Y}" if one.valid_to is not None else ""
    said = until if one.is_offline else clean(one.word)
    return (
        (fit(clean(one.label), 20) + " ", "strong"),
        (fit(kind, 17) + " ", "dim"),
        (said, "busy" if one.is_live else "dim"),
    )


def profile_lines(one: IdentityRow) -> list[Line]:
    """Whose it is, what it is, how long it is good, by which numbers it is known."""
    personal = f", osobisty operatora {one.personal_to}" if one.personal_to else ""
    rows = (
        ("Czyj", f"{one.name}, {one.whose}{personal}"),
        ("Rodzaj", f"{KINDS.get(one.kind, one.kind)}, klucz {one.key_kind}"),
        ("Ważny", f"od {warsaw(one.valid_from):%d.%m.%Y} do {warsaw(one.valid_to):%d.%m.%Y}"),
        ("Klienci", f"{one.clients}" if one.clients else "nikt go nie używa"),
        ("Numer", one.serial),
        ("Odcisk", one.fingerprint[:32]),
        ("", one.fingerprint[32:]),
        *([("Uwaga", ", ".join(one.marks))] if one.marks else []),
    )
    return [((fit(label, 9), "dim"), (fit(clean(text), 60), "text")) for label, text in rows]


def found_lines(found: identities.Found, width: int) -> list[Line]:
    """What was found in the files, each thing on a line of its own."""
    lines: list[Line] = []
    for text in identities.words(found):
        label, _, rest = text.partition(":")
        pieces = describe.plain([rest.strip()], width - 11)
        lines += [((fit(label if not n else "", 11), "dim"), *piece) for n, piece in enumerate(pieces)]
    return lines


_FIRST = (
    ("Po co", "Biuro loguje się u klientów własnym certyfikatem KSeF. Nie potrzebuje ich haseł, tokenów ani certyfikatów."),
    ("1. Podpis", "Pierwszy certyfikat zamawia się po zalogowaniu biura u siebie podpisem złożonym poza programem: "
     "d → podpisz u siebie, e zapisuje żądanie, podpisujesz je w ciągu 10 minut, f wczytuje podpisany plik."),
    ("Kto podpisuje", "Biuro z pieczęcią kwalifikowaną: pieczęć. Jednoosobowe: właściciel, Podpisem Zaufanym albo "
     "kwalifikowanym. Spółka bez pieczęci: osoba wskazana w ZAW-FA."),
    ("2. Certyfikat", "d → zamów w KSeF. Program pokazuje limity, sam robi klucz, odbiera certyfikat i sprawdza, że to ten. "
     "Staje się profilem, ważnym dwa lata; miesiąc przed końcem przypomina o odnowieniu."),
    ("3. Klienci", "Klient nadaje biuru uprawnienia w KSeF (l pisze do niego pismo), a łączy go profilem; "
     "y pobiera z KSeF listę tych, którzy już nadali."),
    ("Bez pieczęci", "Spółka bez pieczęci nie ma certyfikatu na swój NIP. Osoba z ZAW-FA składa w urzędzie formularz ZAW-FA, "
     "loguje się u siebie własnym podpisem i zamawia certyfikat osobisty (na PESEL). Pracuje nim tylko ona: podpisuje to, co "
     "sama zatwierdziła. Pozostałym pracownikom nadaje w KSeF uprawnienia w imieniu biura; każdy zamawia własny certyfikat "
     "na własnym loginie. Warunek: klient nadał biuru uprawnienia z prawem dalszego przekazywania."),
    ("Certyfikat z MF", "Certyfikat pobrany z aplikacji ministerstwa (.crt i zaszyfrowany .key) dodaje: d → dodaj z plików. "
     "Program pokazuje, czyj jest i do kiedy, zanim go zachowa."),
)  # fmt: skip


def first_certificate(width: int) -> list[Line]:
    """The way to the first certificate, the branch without a seal included."""
    lines: list[Line] = []
    for title, text in _FIRST:
        lines += [((title, "strong"),), *describe.plain([text], width), ()]
    return lines
