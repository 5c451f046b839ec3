"""What the letter and the end of a service do on the screen."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from ksef_tui.domain.actions import Action
from ksef_tui.domain.authorizations import AuthState, may_become
from ksef_tui.domain.situations import Situation
from ksef_tui.domain.text import count_of
from ksef_tui.services import authorising, client_views, letters
from ksef_tui.tui import describe
from ksef_tui.tui.desk import Desk
from ksef_tui.tui.dialogs.ask import Ask
from ksef_tui.tui.dialogs.form import Field, Form
from ksef_tui.tui.dialogs.letter import Letter
from ksef_tui.tui.files import Saver
from ksef_tui.tui.present import Line, clean

if TYPE_CHECKING:
    from ksef_tui.services.ending import EndPreview
    from ksef_tui.tui.access_acts import Flow
    from ksef_tui.tui.app import KsefTui
    from ksef_tui.tui.main import MainScreen


class LetterActs:
    """The letter and the end of a service by their ids."""

    def __init__(self, screen: MainScreen, app: KsefTui) -> None:
        self._screen = screen
        self._app = app
        self._folder = str(Path.home()) + "/"
        self.flows: dict[str, Flow] = {"client.letter": self._letter, "client.end": self._end}

    @property
    def desk(self) -> Desk:
        return self._screen.desk

    async def _letter(self, action: Action, situation: Situation) -> None:
        client, desk = situation.client, self.desk
        assert client is not None
        ended = client.status is AuthState.ENDED
        write = letters.goodbye if ended else letters.letter
        view = await desk.read(lambda: client_views.authorization(desk.office, desk.operator, client.id))
        text = await desk.read(lambda: write(desk.office, desk.operator, client.id))
        title = f"{'Pismo na koniec obsługi' if ended else 'Pismo do klienta'}: {clean(client.name)}"
        sendable = not ended and may_become("request", view.status, AuthState.REQUESTED)
        while True:
            wish = await self._app.push_screen_wait(Letter(title, text, sent=sendable))
            if wish == "save":
                await self._save(view.nip, "odebranie" if ended else "nadanie", text)
            elif wish == "sent":
                await desk.act(lambda: authorising.requested(desk.office, desk.operator, client.id))
                self._app.say("Zapamiętano, że pismo wysłano dzisiaj. Gdy klient nada uprawnienia, program to zauważy.")
                return
            else:
                return

    async def _save(self, nip: str, what: str, text: str) -> None:
        desk, name = self.desk, f"pismo-{nip}-{what}-uprawnien.txt"
        saver, saved = Saver(name), list[Path]()

        async def submit(values: Mapping[str, str]) -> None:
            saved.append(await desk.act(lambda: saver.save(values["path"], text.encode())))

        form = Form(
            "Zapis pisma", lambda width: (), [Field("path", "Zapisz jako", path=True, value=self._folder + name)],
            submit, failed=self._app.trouble,
        )  # fmt: skip
        if await self._app.push_screen_wait(form):
            self._folder = f"{saved[-1].parent}/"
            self._app.say(f"Zapisano {saved[-1]}.")

    async def _end(self, action: Action, situation: Situation) -> None:
        from ksef_tui.services import ending  # late: it calls KSeF, the screen does not

        client, desk = situation.client, self.desk
        assert client is not None
        if client.status is AuthState.ENDED:
            await self._resume(client.id, client.name)
            return
        found = await desk.act(lambda: ending.preview(desk.office, desk.operator, client.id))
        question = Ask(
            "Koniec obsługi klienta",
            lambda width: end_lines(found, width),
            yes="Tak, zakończ obsługę",
            production=self._screen.environment == "production",
        )
        if await self._app.push_screen_wait(question):
            await desk.act(lambda: ending.end(desk.office, desk.operator, client.id))
            self._app.say("Obsługa zakończona. l pokazuje pismo do klienta, r sprawdza, czy odebrał uprawnienia.")

    async def _resume(self, client_id: int, name: str) -> None:
        from ksef_tui.services import ending

        desk = self.desk
        text = (
            f"{name} wraca do obsługi. Autoryzuje się go od nowa, a wstrzymane faktury czekają, aż ktoś je przywróci."
        )
        question = Ask("Wznowienie obsługi", lambda width: describe.plain([text], width), yes="Tak, wznów obsługę")
        if await self._app.push_screen_wait(question):
            await desk.act(lambda: ending.resume(desk.office, desk.operator, client_id))
            self._app.say("Obsługa wznowiona. Teraz a łączy klienta z KSeF.")


def end_lines(found: EndPreview, width: int) -> list[Line]:
    """What the end of a service does, and to which invoices."""
    from ksef_tui.services import ending

    texts = [
        (f"{found.name}, NIP {found.nip}: biuro przestaje obsługiwać tego klienta.", "strong"),
        ("Program wyloguje biuro z konta klienta w KSeF i zniszczy zapisane tokeny. Nic więcej nie zostanie wysłane.", "text"),
    ]  # fmt: skip
    if found.held:
        count = count_of(len(found.held), "faktura", "faktury", "faktur")
        held = f"! Niewysłane – {count}: {ending.named(found.held)}. Program je wstrzyma; po wznowieniu obsługi przywraca p."
        texts.append((held, "wait"))
    if found.lost:
        texts.append(
            (
                "! Klient już odebrał uprawnienia, więc program nie dowie się, co się stało z: "
                f"{ending.named(found.lost)}. Zapytaj klienta.",
                "bad",
            )
        )
    return [line for text, tone in texts for line in describe.plain([text], width, tone)]
