"""What a key sends now and what a person stops: urgent invoices, and pauses of clients or of everything."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from ksef_tui.domain.actions import Action
from ksef_tui.domain.situations import INVOICE_PANES, Pane, Situation
from ksef_tui.domain.standing import Pause
from ksef_tui.domain.text import count_of
from ksef_tui.services import approving, client_views, invoice_views, pausing
from ksef_tui.tui import describe
from ksef_tui.tui.desk import Desk
from ksef_tui.tui.dialogs.choices import Choice
from ksef_tui.tui.dialogs.form import Field, Form
from ksef_tui.tui.dialogs.pick import Pick
from ksef_tui.tui.present import clean, fit, short_name

if TYPE_CHECKING:
    from ksef_tui.tui.access_acts import Flow
    from ksef_tui.tui.acts import Decide
    from ksef_tui.tui.app import KsefTui
    from ksef_tui.tui.main import MainScreen

FINISHES = "Nic nowego nie pójdzie. To, co już w drodze, skończy się: wyniki i UPO przyjdą."


class UrgencyActs:
    """Urgency and pauses by their ids."""

    def __init__(self, screen: MainScreen, app: KsefTui, decide: Decide) -> None:
        self._screen = screen
        self._app = app
        self._decide = decide
        self.flows: dict[str, Flow] = {"invoice.urge": self._urge, "sending.pause": self._pause}

    @property
    def desk(self) -> Desk:
        return self._screen.desk

    async def _urge(self, action: Action, situation: Situation) -> None:
        await self._decide(approving.urge, "Pilne, idą pierwsze")

    async def _pause(self, action: Action, situation: Situation) -> None:
        """This client, the marked ones or everything; what is stopped goes on."""
        desk = self.desk
        one = self._this_client(situation)
        marked = await desk.read(lambda: self._marked_clients(situation))
        everything = await desk.read(lambda: pausing.of_everything(desk.office))
        paused = {
            p.client_id: p.pause for p in await desk.read(lambda: pausing.paused_clients(desk.office, desk.operator))
        }
        asked: dict[str, tuple[Sequence[int | None], str, bool]] = {}  # whom, in words, whether it goes on
        choices: list[Choice] = []

        def offer(key: str, whom: Sequence[int | None], words: str, stopped: bool, pause: Pause | None) -> None:
            asked[key] = (whom, words, stopped)
            said = clean(pause.said(desk.now())) if pause is not None else ""
            verb = "Wznów" if stopped else "Wstrzymaj"
            choices.append(Choice(key, ((fit(verb, 10), "strong"), (fit(words, 24), "text"), (said, "dim"))))

        if one is not None:
            name = client_views.client_rows(desk.office, desk.operator, [one])[one].name
            offer("one", [one], short_name(name), one in paused, paused.get(one))
        if marked:
            words = "zaznaczonych: " + count_of(len(marked), "klienta", "klientów", "klientów")
            offer("marked", marked, words, all(client in paused for client in marked), None)
        offer("all", pausing.EVERYTHING, "wszystko", everything is not None, everything)
        choices.sort(key=lambda choice: not asked[choice.id][2])  # the same key again lets go on what stands
        chosen = await self._app.push_screen_wait(Pick("Wysyłka", choices))
        if chosen is None:
            return
        whom, words, stopped = asked[chosen]
        if stopped:
            await desk.act(lambda: pausing.resume(desk.office, desk.operator, whom))
            left = len(paused) if whom is pausing.EVERYTHING else 0
            also = f" Z osobna wstrzymani stoją dalej: {left}." if left else ""
            self._app.say(f"Wznowiono wysyłkę: {words}.{also}")
        else:
            await self._ask_why(whom, words)

    async def _ask_why(self, whom: Sequence[int | None], words: str) -> None:
        desk = self.desk

        async def submit(values: Mapping[str, str]) -> None:
            await desk.act(lambda: pausing.pause(desk.office, desk.operator, whom, values["why"]))

        form = Form(
            f"Wstrzymanie wysyłki: {words}", lambda width: describe.plain([FINISHES], width),
            [Field("why", "Powód", optional=True, placeholder="może zostać pusty; widać go przy fakturach")],
            submit, failed=self._app.trouble,
        )  # fmt: skip
        if await self._app.push_screen_wait(form):
            self._app.say(f"Wstrzymano wysyłkę: {words}. Klawisz h wznawia.")

    def _this_client(self, situation: Situation) -> int | None:
        if situation.pane is Pane.QUEUE:
            row = self._screen.queue.list.current
            return row.client_id if row is not None else None
        return situation.client.id if situation.client is not None else None

    def _marked_clients(self, situation: Situation) -> list[int]:
        if not situation.marked:
            return []
        if situation.pane in INVOICE_PANES:
            return invoice_views.clients_of(self.desk.office, self.desk.operator, self._screen.invoices())
        return self._screen.clients.targets()
