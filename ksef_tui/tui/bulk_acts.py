"""What actions do to many clients at once: those that are marked. On one client they stay what they were."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from ksef_tui.domain import situations as why
from ksef_tui.domain.actions import Action
from ksef_tui.domain.situations import Pane, Situation, many
from ksef_tui.domain.times import warsaw
from ksef_tui.services import bulk, identity_views
from ksef_tui.services.bulk import Begun
from ksef_tui.services.views import IdentityRow
from ksef_tui.tui import describe_runs
from ksef_tui.tui.access_acts import Flow
from ksef_tui.tui.desk import Desk
from ksef_tui.tui.dialogs.choices import Choice
from ksef_tui.tui.dialogs.pick import Pick
from ksef_tui.tui.dialogs.run import RunDialog
from ksef_tui.tui.present import Line, clean, fit

if TYPE_CHECKING:
    from ksef_tui.tui.app import KsefTui
    from ksef_tui.tui.main import MainScreen


class BulkActs:
    """The actions by their ids; `on_one` are those of the same ids on a single client."""

    def __init__(self, screen: MainScreen, app: KsefTui, on_one: Mapping[str, Flow]) -> None:
        self._screen = screen
        self._app = app
        self._on_one = on_one
        self.flows: dict[str, Flow] = {
            "auth.start": self._start,
            "auth.check": self._check,
            "auth.cancel": self._cancel,
            "bulk.show": self._show,
            "client.sync": self._sync,
        }

    @property
    def desk(self) -> Desk:
        return self._screen.desk

    async def _check(self, action: Action, situation: Situation) -> None:
        if not many(situation):
            await self._on_one["auth.check"](action, situation)
            return
        desk, ids = self.desk, self._screen.clients.targets()
        self._going("Sprawdzam", await desk.act(lambda: bulk.begin(desk.office, desk.operator, "check", ids)))

    async def _start(self, action: Action, situation: Situation) -> None:
        if not many(situation):
            await self._on_one["auth.start"](action, situation)
            return
        desk, ids = self.desk, self._screen.clients.targets()
        found = await desk.read(lambda: identity_views.identities(desk.office, desk.operator))
        choices = [self._profile(one) for one in found if one.stopped_at is None and one.revoked_at is None]
        choices.sort(key=lambda one: one.why_not is not None)  # the cursor stands on one that works
        if not choices:
            nothing = "Nie ma jeszcze profilu biura: dodaj go klawiszem d."
            choices.append(Choice("", (("profil biura", "strong"),), nothing))
        text = f"Zaznaczeni: {len(ids)}. Ci, u których autoryzacja już działa, zostaną pominięci."
        chosen = await self._app.push_screen_wait(
            Pick(f"Autoryzacja {describe_runs.clients(len(ids))} – wybierz profil", choices, intro=[((text, "text"),)])
        )
        if chosen:
            job = partial(bulk.begin, desk.office, desk.operator, "start", ids, int(chosen))
            self._going("Autoryzuję", await desk.act(job))

    def _profile(self, one: IdentityRow) -> Choice:
        until = warsaw(one.valid_to).strftime("%d.%m.%Y")
        ended = one.valid_to <= self.desk.now()
        line: Line = (
            (fit(clean(one.label), 25) + " ", "strong"),
            (fit(clean(one.whose), 16) + " ", "dim"),
            (f"{'wygasł' if ended else 'do'} {until}", "bad" if ended else "dim"),
        )
        return Choice(str(one.id), line, "Ten certyfikat wygasł – wybierz inny profil." if ended else None)

    def _going(self, verb: str, begun: Begun) -> None:
        self._screen.clients.list.unmark()
        self._screen.runs.touch()
        self._screen.look_at_runs()
        self._app.say(describe_runs.begun(verb, [begun]))

    # What is under way --------------------------------------------------------------------------------------------

    async def _cancel(self, action: Action, situation: Situation) -> None:
        runs, client, desk = self._screen.runs.open, situation.client, self.desk
        if not runs:
            await self._on_one["auth.cancel"](action, situation)
            return
        choices = [Choice("", (("Nie, niech idzie", "text"),))]
        choices += [
            Choice(str(one.run_id), ((f"Przerwij: {one.noun}, zostało {one.total - one.done}", "text"),))
            for one in runs
        ]
        if client is not None and why.cancel(replace(situation, runs=False)) is None:
            choices.append(Choice("one", ((f"Przerwij tylko łączenie: {clean(client.name)}", "text"),)))
        text = "Kto jest już sprawdzony albo połączony, zostaje; reszty program nie ruszy."
        chosen = await self._app.push_screen_wait(Pick("Przerwanie", choices, intro=[((text, "text"),)]))
        if chosen == "one":
            await self._on_one["auth.cancel"](action, situation)
        elif chosen:
            left = await desk.act(lambda: bulk.stop(desk.office, desk.operator, int(chosen)))
            self._app.say(describe_runs.stopped(left))

    async def _show(self, action: Action, situation: Situation) -> None:
        desk, watch = self.desk, self._screen.runs
        run_id = watch.open[0].run_id if watch.open else bulk.newest(desk.office, desk.operator)
        assert run_id is not None
        watch.watched = True
        try:
            wish = await self._app.push_screen_wait(RunDialog(desk, run_id, self._app.trouble))
        finally:
            watch.watched = False
        if not watch.open:
            watch.seen()
        if wish == "stop":
            await self._cancel(action, situation)
        elif wish == "attention":
            found = await desk.read(lambda: bulk.members(desk.office, desk.operator, run_id, attention=True))
            self._screen.clients.only(frozenset(one.client_id for one in found), "wymagają uwagi")
            self._screen.show(Pane.CLIENTS)

    # The list from KSeF -------------------------------------------------------------------------------------------

    async def _sync(self, action: Action, situation: Situation) -> None:
        from ksef_tui.services import syncing  # late: the protocol costs a tenth of a second
        from ksef_tui.tui.dialogs.sync import SyncDialog

        desk = self.desk
        profiles = await desk.read(lambda: identity_views.identities(desk.office, desk.operator))
        usable = [
            one for one in profiles if one.stopped_at is None and one.revoked_at is None and one.valid_to > desk.now()
        ]
        answer = await self._app.push_screen_wait(SyncDialog(desk, usable))
        if answer is None:
            return
        found, identity_id = answer
        done = await desk.act(lambda: syncing.apply(desk.office, desk.operator, found, identity_id))
        self._screen.runs.touch()
        self._screen.look_at_runs()
        self._app.say(describe_runs.synced(done))
