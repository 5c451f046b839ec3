"""What the menu of ways offers for a client that signs at the desk: a visit, its resumption, nothing more to press."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ksef_tui.domain.onboarding import OnboardingStep
from ksef_tui.domain.situations import ClientFacts
from ksef_tui.domain.times import from_text, warsaw
from ksef_tui.services.views import IdentityRow, VisitView
from ksef_tui.tui import describe
from ksef_tui.tui.desk import Desk
from ksef_tui.tui.dialogs.ask import Ask
from ksef_tui.tui.dialogs.choices import Choice
from ksef_tui.tui.dialogs.pick import Pick
from ksef_tui.tui.present import Line, clean, fit

if TYPE_CHECKING:
    from ksef_tui.tui.app import KsefTui
    from ksef_tui.tui.external_acts import ExternalActs
    from ksef_tui.tui.main import MainScreen

RESUME, VISIT = "resume", "visit"
NO_PROFILE = "Potrzebny jest ważny profil na NIP biura – dodaj go klawiszem d."
_LEFT = {
    OnboardingStep.GRANT: "klient podpisał, zostało nadanie uprawnień",
    OnboardingStep.WAIT: "klient podpisał, KSeF zapisuje nadanie uprawnień",
    OnboardingStep.AUTHORISE: "uprawnienia nadane, zostało połączenie profilem",
}


class OnboardingActs:
    """A client's visit, begun and resumed from the menu of ways."""

    def __init__(self, screen: MainScreen, app: KsefTui, external: ExternalActs) -> None:
        self._screen = screen
        self._app = app
        self._external = external

    @property
    def desk(self) -> Desk:
        return self._screen.desk

    def resumed(self, visit: VisitView | None) -> list[Choice]:
        """The first line of the menu where a visit stopped: to go on with it."""
        if visit is None or not visit.can_resume:
            return []
        line: Line = ((fit("dokończ wizytę", 19), "strong"), (_LEFT.get(visit.step, ""), "dim"))
        return [Choice(RESUME, line)]

    def offered(self, client: ClientFacts, known: Sequence[IdentityRow]) -> Choice:
        """The line of the menu: the client signs now."""
        desk = self.desk
        fits = any(one.subject == f"NIP {desk.office.nip}" and one.valid_to > desk.now() for one in known)
        line: Line = (
            (fit("klient podpisuje", 19), "text"),
            ("jedna wizyta: podpis, nadanie, profil biura", "dim"),
        )
        why = None if fits else NO_PROFILE
        why = "To konto biura: nikt nie nadaje uprawnień sam sobie." if client.office else why
        return Choice(VISIT, line, why)

    async def resume(self, client: ClientFacts) -> None:
        """Go on where it stopped."""
        from ksef_tui.services import onboarding  # late: it calls KSeF, the screen does not

        desk = self.desk
        await desk.act(lambda: onboarding.resume(desk.office, desk.operator, client.id))

    async def begin(self, client: ClientFacts) -> None:
        """Say what will happen, choose the profile when there are several, ask for the request."""
        from ksef_tui.services import onboarding

        desk = self.desk
        found = await desk.read(
            lambda: [
                (row["id"], row["label"], row["valid_to"]) for row in onboarding.profiles(desk.office, desk.operator)
            ]
        )
        if not found:
            self._app.say(NO_PROFILE, "warning")
            return
        text = (
            f"{clean(client.name)} podpisuje teraz jedno żądanie: właściciel albo osoba, która zarządza uprawnieniami "
            f"firmy w KSeF. W jego imieniu program nada biuru (NIP {desk.office.nip}) wystawianie i przeglądanie faktur "
            "z prawem dalszego przekazywania, połączy biuro jego profilem i od razu wyloguje klienta."
        )
        if len(found) == 1:
            question = Ask(
                "Klient podpisuje teraz",
                lambda width: describe.plain([text, f"Profil biura: {clean(found[0][1])}."], width),
                yes="Zrób żądanie",
            )
            identity_id = found[0][0] if await self._app.push_screen_wait(question) else None
        else:
            choices = [
                Choice(str(number), ((fit(clean(label), 30) + " ", "strong"), (f"do {_day(until)}", "dim")))
                for number, label, until in found
            ]
            width = min(70, self._app.size.width - 10)
            intro = [*describe.plain([text], width), (), (("Którym profilem biuro będzie pracować:", "text"),)]
            chosen = await self._app.push_screen_wait(Pick("Klient podpisuje teraz", choices, intro=intro))
            identity_id = int(chosen) if chosen is not None else None
        if identity_id is not None:
            await self._external.begin_visit(client.id, identity_id)


def _day(valid_to: str) -> str:
    return f"{warsaw(from_text(valid_to)):%d.%m.%Y}"
