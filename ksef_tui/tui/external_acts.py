"""What the actions on a signature made elsewhere do: ask for the request, save it, hand the signed file in (F53).

The request and how far it has come are in the database, so every step may be taken by another screen, or tomorrow.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from textual.widgets import Input

from ksef_tui.domain.actions import Action
from ksef_tui.domain.authorizations import AuthState
from ksef_tui.domain.problems import Problem
from ksef_tui.domain.situations import Situation
from ksef_tui.domain.times import warsaw
from ksef_tui.services import authorising, client_views
from ksef_tui.tui import describe
from ksef_tui.tui.desk import Desk
from ksef_tui.tui.dialogs.form import Field, Form, Submit
from ksef_tui.tui.files import Saver, read_small
from ksef_tui.tui.present import clean

if TYPE_CHECKING:
    from ksef_tui.tui.access_acts import Flow
    from ksef_tui.tui.app import KsefTui
    from ksef_tui.tui.main import MainScreen

SIGNED_BYTES = 1_000_000  # far more than a signed request with all its certificates
LOOK_EVERY = 0.1  # seconds between looks whether the request is there
_UNTOUCHED = "Nie otwieraj go i nie zapisuj w edytorze: podpis przestałby pasować."


class ExternalActs:
    """The actions on a signature made elsewhere by their ids."""

    def __init__(self, screen: MainScreen, app: KsefTui) -> None:
        self._screen = screen
        self._app = app
        self._folder = str(Path.home()) + "/"
        self.flows: dict[str, Flow] = {"auth.export": self._export, "auth.submit": self._submit}

    @property
    def desk(self) -> Desk:
        return self._screen.desk

    async def begin(self, client_id: int) -> None:
        """Ask for a new request; as soon as it is there, where to save it is asked, if the person still stands there."""
        desk = self.desk
        await desk.act(lambda: authorising.start_external(desk.office, desk.operator, client_id))
        self._app.do(self._offer(client_id), "request")

    async def begin_visit(self, client_id: int, identity_id: int) -> None:
        """The same for a client that signs at the desk; then the office works with that profile."""
        from ksef_tui.services import onboarding  # late: it calls KSeF, the screen does not

        desk = self.desk
        await desk.act(lambda: onboarding.start(desk.office, desk.operator, client_id, identity_id))
        self._app.do(self._offer(client_id), "request")

    async def _offer(self, client_id: int) -> None:
        desk, screen = self.desk, self._screen
        while True:
            view = await desk.read(lambda: client_views.authorization(desk.office, desk.operator, client_id))
            if view.status is not AuthState.RUNNING:
                break
            await asyncio.sleep(LOOK_EVERY)
        if view.status is not AuthState.TO_SIGN:
            return  # the pane says why
        here = self._app.screen is screen and screen.clients.list.current_id == client_id
        if here and not isinstance(screen.focused, Input):
            screen.clients.list.changed((client_id,))  # the keys must know already
            screen.action_act("auth.export")
        else:
            self._app.say(f"{clean(view.name)}: żądanie czeka na podpis. Klawisz e zapisuje je do pliku.")

    async def _export(self, action: Action, situation: Situation) -> None:
        """Save the request; one whose time is over is made anew first."""
        from ksef_tui.services import external  # late: it calls KSeF, the screen does not

        client, desk = situation.client, self.desk
        assert client is not None
        view = await desk.read(lambda: client_views.authorization(desk.office, desk.operator, client.id))
        if client.request_over:
            if view.visit is not None:
                await self.begin_visit(client.id, view.visit.identity_id)
            else:
                await self.begin(client.id)
            return
        asked = await desk.read(lambda: external.request(desk.office, desk.operator, client.id))
        saver = Saver(f"ksef-{view.nip}-do-podpisu.xml")
        saved: list[Path] = []

        async def submit(values: Mapping[str, str]) -> None:
            now = await desk.read(lambda: external.request(desk.office, desk.operator, client.id))  # not an older one
            if now.valid_until <= desk.now():
                raise Problem("challenge_expired", "Minęło 10 minut na podpis tego żądania: Esc, potem e robi nowe.")
            saved.append(await desk.act(lambda: saver.save(values["path"], now.document)))

        until = f"{warsaw(asked.valid_until):%H:%M:%S}"
        intro = [
            f"{view.name}, NIP {view.nip}: zapisz żądanie i podpisz je poza programem do {until} – Podpisem Zaufanym "
            "albo podpisem lub pieczęcią kwalifikowaną (XAdES).",
            f"{_UNTOUCHED} Podpisany plik wczytuje klawisz f.",
        ]
        fields = [Field("path", "Zapisz jako", path=True, value=f"{self._folder}ksef-{view.nip}-do-podpisu.xml")]
        if await self._form("Żądanie do podpisu", intro, fields, submit):
            self._folder = f"{saved[-1].parent}/"
            self._app.say(f"Zapisano {saved[-1]}. Podpisz do {until}, potem f wczytuje podpisany plik.")

    async def _submit(self, action: Action, situation: Situation) -> None:
        client, desk = situation.client, self.desk
        assert client is not None

        async def submit(values: Mapping[str, str]) -> None:
            def job() -> None:
                signed = read_small(values["path"], SIGNED_BYTES, "podpisane żądanie")
                authorising.submit(desk.office, desk.operator, client.id, signed)

            await desk.act(job)

        intro = [f"{client.name}: plik, który wyszedł z podpisywania. {_UNTOUCHED}"]
        fields = [Field("path", "Podpisany plik", path=True, value=self._folder)]
        if await self._form("Podpisany plik", intro, fields, submit):
            self._app.say("Podpis przekazany do KSeF. Kroki widać w autoryzacji; b przerywa.")

    async def _form(self, title: str, intro: list[str], fields: list[Field], submit: Submit) -> bool:
        form = Form(title, lambda width: describe.plain(intro, width, "dim"), fields, submit, failed=self._app.trouble)
        return await self._app.push_screen_wait(form)
