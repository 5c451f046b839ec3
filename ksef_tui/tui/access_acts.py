"""What the actions on a client's access do: authorise, check, revoke; clients and identities.

The rules of `acts` hold: services run in the acting thread, a dialog returns a value and nothing else, a refusal
(`Problem`) becomes a notice.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import TYPE_CHECKING

from ksef_tui.domain.actions import Action
from ksef_tui.domain.secret import Secret
from ksef_tui.domain.situations import Pane, Situation
from ksef_tui.domain.times import warsaw
from ksef_tui.services import authorising, client_views, clients, identity_views
from ksef_tui.services.views import IdentityRow
from ksef_tui.tui import describe
from ksef_tui.tui.desk import Desk
from ksef_tui.tui.dialogs.ask import Ask
from ksef_tui.tui.dialogs.choices import Choice
from ksef_tui.tui.dialogs.form import Field, Form
from ksef_tui.tui.dialogs.pick import Pick
from ksef_tui.tui.external_acts import ExternalActs
from ksef_tui.tui.letter_acts import LetterActs
from ksef_tui.tui.onboarding_acts import RESUME, VISIT, OnboardingActs
from ksef_tui.tui.present import Line, clean, fit
from ksef_tui.tui.profile_acts import ProfileActs

if TYPE_CHECKING:
    from ksef_tui.tui.app import KsefTui
    from ksef_tui.tui.main import MainScreen

Flow = Callable[[Action, Situation], Awaitable[None]]


class AccessActs:
    """The actions on access by their ids."""

    def __init__(self, screen: MainScreen, app: KsefTui) -> None:
        self._screen = screen
        self._app = app
        self._external = ExternalActs(screen, app)
        self._onboarding = OnboardingActs(screen, app, self._external)
        self.flows: dict[str, Flow] = {
            **self._external.flows,
            **LetterActs(screen, app).flows,
            **ProfileActs(screen, app, self._external).flows,
            "auth.start": self._authorise,
            "auth.check": self._check,
            "auth.cancel": self._cancel,
            "auth.revoke": self._revoke,
            "client.add": self._add_client,
        }

    @property
    def desk(self) -> Desk:
        return self._screen.desk

    # Authorisation ------------------------------------------------------------------------------------------------

    async def _authorise(self, action: Action, situation: Situation) -> None:
        client, desk = situation.client, self.desk
        assert client is not None
        found = await desk.read(lambda: identity_views.identities(desk.office, desk.operator, client.id))
        found.sort(key=lambda one: one.valid_to <= desk.now())  # what still works first: the cursor stands there
        view = await desk.read(lambda: client_views.authorization(desk.office, desk.operator, client.id))
        choices = self._onboarding.resumed(view.visit)
        choices += [Choice(f"identity:{one.id}", self._identity_line(one)) for one in found]
        if not found:
            why = "Nie ma jeszcze profilu biura: dodaj go klawiszem d."
            choices.append(Choice("identity:", (("profil biura", "strong"),), why))
        choices.append(self._onboarding.offered(client, found))
        signature: Line = (
            (fit("podpis zewnętrzny", 19), "text"),
            ("wyjątek: żądanie podpisane poza programem", "dim"),
        )
        choices.append(Choice("external", signature))
        token: Line = ((fit("token KSeF klienta", 19), "text"), ("wyjątek: działa najdłużej do 31.12.2026", "dim"))
        choices.append(Choice("token", token))
        intro = [((f"Klient: {clean(client.name)}", "text"),)]
        chosen = await self._app.push_screen_wait(Pick("Autoryzacja – wybierz sposób", choices, intro=intro))
        if chosen == "token":
            await self._authorise_by_token(client.id, client.name)
        elif chosen == VISIT:
            await self._onboarding.begin(client)
        elif chosen == RESUME:
            await self._onboarding.resume(client)
        elif chosen == "external":
            await self._external.begin(client.id)
        elif chosen is not None:
            identity_id = int(chosen.partition(":")[2])
            await desk.act(lambda: authorising.start_with_identity(desk.office, desk.operator, client.id, identity_id))

    def _identity_line(self, one: IdentityRow) -> Line:
        until = warsaw(one.valid_to).strftime("%d.%m.%Y")
        ended = one.valid_to <= self.desk.now()
        return (
            (fit("własny klienta" if one.client else "profil biura", 14) + " ", "text"),
            (fit(clean(one.label), 20) + " ", "strong"),
            (fit(clean(one.whose), 15) + " ", "dim"),
            (f"{'wygasł' if ended else 'do'} {until}", "bad" if ended else "dim"),
        )

    async def _authorise_by_token(self, client_id: int, name: str) -> None:
        desk = self.desk

        async def submit(values: Mapping[str, str]) -> None:
            token = Secret(values["token"])
            await desk.act(lambda: authorising.start_with_token(desk.office, desk.operator, client_id, token))

        intro = f"{name}: token wygenerowany przez klienta w KSeF. Nie widać go przy pisaniu; można wkleić."
        await self._form("Token KSeF", intro, [Field("token", "Token", hidden=True)], submit)

    async def _check(self, action: Action, situation: Situation) -> None:
        await self._authorization(authorising.check, situation)

    async def _cancel(self, action: Action, situation: Situation) -> None:
        client = situation.client
        assert client is not None
        if client.visit:  # the client's signature is spent: to begin anew they must come again
            text = (
                f"{client.name}: klient już podpisał, a wizyta nie jest dokończona. Gdy ją przerwiesz, program wyloguje "
                "klienta i zapomni jego podpis: żeby zacząć od nowa, klient musi podpisać jeszcze raz. Dokończyć bez "
                "nowego podpisu można klawiszem a."
            )
            question = Ask("Przerwanie wizyty", lambda width: describe.plain([text], width), yes="Tak, przerwij wizytę")
            if not await self._app.push_screen_wait(question):
                return
        await self._authorization(authorising.cancel, situation)

    async def _revoke(self, action: Action, situation: Situation) -> None:
        assert situation.client is not None
        text = f"{situation.client.name}: biuro wyloguje się z konta klienta w KSeF. Jego faktury staną, aż połączysz go znowu."
        question = Ask("Unieważnienie autoryzacji", lambda width: describe.plain([text], width), yes="Tak, unieważnij")
        if await self._app.push_screen_wait(question):
            await self._authorization(authorising.revoke, situation)

    async def _authorization(self, service: Callable[..., None], situation: Situation) -> None:
        desk, client = self.desk, situation.client
        assert client is not None
        await desk.act(lambda: service(desk.office, desk.operator, client.id))

    # Clients and identities ---------------------------------------------------------------------------------------

    async def _add_client(self, action: Action, situation: Situation) -> None:
        desk = self.desk
        added: list[int] = []

        async def submit(values: Mapping[str, str]) -> None:
            added.append(await desk.act(lambda: clients.add(desk.office, desk.operator, values["nip"], values["name"])))

        fields = [Field("nip", "NIP"), Field("name", "Nazwa")]
        await self._form("Nowy klient", "Klient nadaje potem w KSeF uprawnienia dla NIP biura.", fields, submit)
        if added:
            self._screen.show(Pane.CLIENTS)
            self._screen.clients.seek(added[-1])

    async def _form(
        self, title: str, intro: str, fields: Sequence[Field], submit: Callable[[Mapping[str, str]], Awaitable[None]]
    ) -> bool:
        form = Form(
            title, lambda width: describe.plain([intro], width, "dim"), fields, submit, failed=self._app.trouble
        )
        return await self._app.push_screen_wait(form)
