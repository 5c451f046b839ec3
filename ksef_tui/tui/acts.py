"""What each action does: ask where the record says so, call the service, tell what came of it.

Services run in the acting thread; a dialog returns a value and nothing else; a refusal (`Problem`) becomes a notice.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ksef_tui.domain.actions import ACTIONS, Action
from ksef_tui.domain.authorizations import AUTH_BADGES
from ksef_tui.domain.invoices import INVOICE_BADGES, InvoiceState
from ksef_tui.domain.situations import INVOICE_PANES, Danger, Pane, Situation
from ksef_tui.services import approving, client_views, invoice_views
from ksef_tui.services.approving import ActResult
from ksef_tui.services.views import QueueFilter
from ksef_tui.tui import describe, present
from ksef_tui.tui.access_acts import AccessActs, Flow
from ksef_tui.tui.bulk_acts import BulkActs
from ksef_tui.tui.desk import Desk
from ksef_tui.tui.dialogs.ask import Ask
from ksef_tui.tui.dialogs.bring_in import BringIn
from ksef_tui.tui.dialogs.choices import Choice
from ksef_tui.tui.dialogs.details import Details, Reader
from ksef_tui.tui.dialogs.pick import Pick, Search, matching
from ksef_tui.tui.dialogs.working import AT_A_TIME, Working
from ksef_tui.tui.present import Line, clean, fit
from ksef_tui.tui.repair_acts import RepairActs
from ksef_tui.tui.staff_acts import StaffActs
from ksef_tui.tui.switch_acts import SwitchActs
from ksef_tui.tui.today_acts import open_today
from ksef_tui.tui.urgency_acts import UrgencyActs
from ksef_tui.tui.windowed import MOST_MARKS

if TYPE_CHECKING:
    from ksef_tui.tui.app import KsefTui
    from ksef_tui.tui.main import MainScreen

MOST_FOUND = 60  # lines of a search
Decide = Callable[[Callable[..., ActResult], str], Awaitable[None]]


class Acts:
    """The actions by their ids."""

    def __init__(self, screen: MainScreen, app: KsefTui) -> None:
        self._screen = screen
        self._app = app
        self._folder = str(Path.home()) + "/"
        self._running = False
        self._at_once: dict[str, Callable[[], object]] = {
            "pane.today": lambda: screen.show(Pane.TODAY),
            "pane.clients": lambda: screen.show(Pane.CLIENTS),
            "pane.queue": lambda: screen.show(Pane.QUEUE),
            "pane.authorization": lambda: screen.show(Pane.AUTHORIZATION),
            "pane.next": lambda: screen.action_turn(1),
            "back": screen.back,
            "list.filter": lambda: screen.filtered_pane().begin_filter(),
            "list.mine": screen.toggle_mine,
            "mark.one": lambda: screen.marked_list().mark(),
            "mark.range": self._mark_range,
            "mark.all": self._mark_all,
            "quit": app.exit,
        }
        self._flows: dict[str, Flow] = {
            "open": self._open,
            "invoice.import": self._import,
            "invoice.approve": self._approve,
            "invoice.recall": self._recall,
            "invoice.withdraw": self._withdraw,
            "invoice.hold": lambda action, situation: self._decide(approving.hold, "Wstrzymano"),
            "invoice.release": lambda action, situation: self._decide(approving.release, "Przywrócono"),
            "invoice.retry": lambda action, situation: self._decide(
                approving.retry, "Sprawdzam w KSeF przed ponowieniem"
            ),
            "list.state": self._choose_state,
            "search": self._search,
            "palette": self._palette,
            "help": self._help,
            "exercise.troubles": self._troubles,
            **(on_one := {**AccessActs(screen, app).flows, **SwitchActs(screen, app).flows}),
            **BulkActs(screen, app, on_one).flows,
            **StaffActs(screen, app).flows,
            **UrgencyActs(screen, app, self._decide).flows,
            **RepairActs(screen, app).flows,
        }

    @property
    def desk(self) -> Desk:
        return self._screen.desk

    @property
    def running(self) -> bool:
        """Whether one runs that may ask something."""
        return self._running

    def start(self, action: Action, situation: Situation) -> None:
        """Do it; the caller has made sure that it is not disabled."""
        if action.id in self._at_once:
            self._at_once[action.id]()
        elif self._running:
            self._app.refuse("Poprzednia czynność jeszcze trwa.")
        else:
            self._running = True
            self._app.do(self._one_at_a_time(self._flows[action.id](action, situation)), action.id)

    async def _one_at_a_time(self, flow: Awaitable[None]) -> None:
        """What is pressed while one runs does not start another."""
        try:
            await flow
        finally:
            self._running = False

    # Lists --------------------------------------------------------------------------------------------------------

    def _mark_range(self) -> None:
        if self._screen.marked_list().mark_range():
            self._app.say("Zakres zaczyna się tutaj; przejdź na koniec i naciśnij v.")

    def _mark_all(self) -> None:
        if not self._screen.marked_list().whole:
            self._app.say("Lista jeszcze się wczytuje.")
        elif not self._screen.marked_list().mark_all():
            self._app.say(
                f"Naraz można zaznaczyć {MOST_MARKS // 1000} tysięcy wierszy: zawęź listę filtrem (/).", "warning"
            )

    async def _open(self, action: Action, situation: Situation) -> None:
        screen = self._screen
        if situation.pane is Pane.TODAY:
            open_today(screen)
        elif situation.pane is Pane.CLIENTS:
            if situation.client is not None:
                screen.queue.narrow(situation.client.id, situation.client.name)
                screen.show(Pane.QUEUE)
        elif screen.queue.list.current_id is not None:
            await self._show_invoice(screen.queue.list.current_id)

    async def _show_invoice(self, invoice_id: int) -> None:
        desk = self.desk
        details = await desk.read(lambda: invoice_views.invoice_details(desk.office, desk.operator, invoice_id))
        await self._app.push_screen_wait(Details(desk, details, self._screen.invoices_changed, self._app.trouble))

    async def _choose_state(self, action: Action, situation: Situation) -> None:
        look, counts = self.desk.look, self._screen.queue.counts
        choices = [Choice("", ((fit("wszystkie", 26), "text"), (str(sum(counts.values())), "dim")))]
        for state, badge in INVOICE_BADGES.items():
            if counts.get(state):
                line: Line = ((fit(f"{look.glyph(badge)} {badge.label}", 26), badge.tone), (str(counts[state]), "dim"))
                choices.append(Choice(state.value, line))
        chosen = await self._app.push_screen_wait(Pick("Pokaż faktury w stanie", choices))
        if chosen is not None:
            self._screen.queue.only(InvoiceState(chosen) if chosen else None)

    # Invoices -----------------------------------------------------------------------------------------------------

    async def _approve(self, action: Action, situation: Situation) -> None:
        desk = self.desk
        if situation.pane in INVOICE_PANES:
            wanted: Sequence[int] = self._screen.invoices()
        else:
            assert situation.client is not None
            client_id = situation.client.id
            wanted = await desk.act(lambda: approving.waiting_ids(desk.office, desk.operator, client_id))
        summary = await desk.act(lambda: approving.summary(desk.office, desk.operator, wanted))
        if not summary.count:
            self._app.say("Nie ma już czego zatwierdzić.", "warning")
            return
        environment = self._screen.header_view.environment_label if self._screen.header_view is not None else ""
        typed = str(summary.count) if action.grade(situation) is Danger.TYPED else ""
        question = Ask(
            "Zatwierdzenie i wysłanie do KSeF",
            lambda width: describe.approval(summary, environment, width),
            yes=f"Tak, wystaw i wyślij: {describe.invoices(summary.count)}",
            typed=typed,
            production=self._screen.environment == "production",
        )
        if await self._app.push_screen_wait(question):
            result = await self._in_steps(approving.approve, "Zatwierdzanie", wanted)
            self._done("Zatwierdzono", result, " Klawisz c cofa, dopóki się nie wysyłają.")

    async def _recall(self, action: Action, situation: Situation) -> None:
        desk = self.desk
        if situation.pane in INVOICE_PANES:
            await self._decide(approving.recall, "Cofnięto")
            return
        assert situation.client is not None
        approved = QueueFilter(situation.client.id, (InvoiceState.APPROVED,))
        ids = await desk.act(lambda: list(invoice_views.queue_ids(desk.office, desk.operator, approved)))
        if not ids:
            self._app.say("Nic tego klienta nie czeka już na wysłanie.", "warning")
            return
        self._done("Cofnięto", await self._in_steps(approving.recall, "Cofanie", ids))

    async def _withdraw(self, action: Action, situation: Situation) -> None:
        count = len(self._screen.invoices())
        numbers = (
            ""
            if situation.marked or situation.pane is Pane.TODAY or self._screen.queue.list.current is None
            else self._screen.queue.list.current.number
        )
        text = f"{describe.invoices(count)}{f' ({numbers})' if numbers else ''} nie pójdzie do KSeF. Tego nie da się odwrócić."
        question = Ask(
            "Wycofanie", lambda width: describe.plain([text], width), yes=f"Tak, wycofaj: {describe.invoices(count)}"
        )
        if await self._app.push_screen_wait(question):
            await self._decide(approving.withdraw, "Wycofano")

    async def _decide(self, service: Callable[..., ActResult], verb: str) -> None:
        self._done(verb, await self._in_steps(service, verb, self._screen.invoices()))

    async def _in_steps(self, service: Callable[..., ActResult], title: str, ids: Sequence[int]) -> ActResult:
        """Many are done some at a time, in sight: a person sees how far it is, and may stop."""
        desk = self.desk

        async def step(some: Sequence[int]) -> ActResult:
            return await desk.act(lambda: service(desk.office, desk.operator, some))

        if len(ids) <= AT_A_TIME:
            return await step(ids)
        return await self._app.push_screen_wait(Working(title, ids, step, self._app.trouble))

    def _done(self, verb: str, result: ActResult, more: str = "") -> None:
        self._screen.marked_list().unmark()
        if result.done:
            self._app.say(f"{verb}: {describe.invoices(result.done)}.{more}")
        if result.left:
            self._app.say(f"Zatrzymano: {describe.invoices(result.left)} bez zmian.", "warning")
        if result.refused:
            shown = [reason for _, reason in result.refused[:3]]
            rest = len(result.refused) - len(shown)
            self._app.say("\n".join([*shown, f"… i jeszcze {rest}"] if rest else shown), "warning")

    async def _import(self, action: Action, situation: Situation) -> None:
        client, desk = situation.client, self.desk
        assert client is not None
        row = client_views.client_rows(desk.office, desk.operator, [client.id])[client.id]
        dialog = BringIn(desk, client.id, row.name, row.nip, self._folder, self._app.trouble)
        folder = await self._app.push_screen_wait(dialog)
        if folder is not None:
            self._folder = folder

    # Program ------------------------------------------------------------------------------------------------------

    async def _search(self, action: Action, situation: Situation) -> None:
        search = Search(
            "Szukaj wszędzie", self._find, placeholder="klient, NIP, numer faktury, nabywca, numer KSeF",
            failed=self._app.trouble,
        )  # fmt: skip
        chosen = await self._app.push_screen_wait(search)
        kind, _, one = (chosen or "").partition(":")
        if kind == "invoice":
            await self._show_invoice(int(one))
        elif kind == "client":
            self._screen.clients.end_filter(clear=True)
            self._screen.show(Pane.CLIENTS)
            if not self._screen.clients.list.go_to(int(one)):
                self._app.say("Tego klienta nie ma na liście: zdejmij „moi” klawiszem m.", "warning")

    async def _find(self, text: str) -> list[Choice]:
        if not text.strip():
            return []
        desk = self.desk

        def look_up() -> list[Choice]:
            client_ids = client_views.client_ids(desk.office, desk.operator, text, False)[:12]
            invoice_ids = invoice_views.queue_ids(desk.office, desk.operator, QueueFilter(text=text), MOST_FOUND)
            companies = client_views.client_rows(desk.office, desk.operator, list(client_ids))
            found = invoice_views.queue_rows(desk.office, desk.operator, list(invoice_ids))
            columns = present.queue_columns(74, False)
            return [
                Choice(
                    f"client:{one}", _client_line(desk, companies[one].name, companies[one].nip, companies[one].status)
                )
                for one in client_ids
            ] + [
                Choice(f"invoice:{one}", present.queue_row(desk.look, found[one], columns, False, desk.now()))
                for one in invoice_ids
            ]

        return await desk.read(look_up)

    async def _palette(self, action: Action, situation: Situation) -> None:
        offered = [
            Choice(
                one.id,
                ((fit(one.label, 20), "strong"), (fit(one.shown, 8), "key"), (one.help, "dim")),
                one.why_disabled(situation),
            )
            for one in ACTIONS
            if one.id not in ("palette", "back", "pane.next")
        ]

        async def find(text: str) -> list[Choice]:
            return matching(offered, text)

        palette = Search("Czynności", find, placeholder="czego szukasz?", failed=self._app.trouble)
        chosen = await self._app.push_screen_wait(palette)
        if chosen is not None:
            self._screen.call_later(self._screen.action_act, chosen)

    async def _help(self, action: Action, situation: Situation) -> None:
        look = self.desk.look
        note = "↑↓ PgUp PgDn przewija · Esc wraca"
        await self._app.push_screen_wait(
            Reader("Pomoc", lambda width: describe.help_lines(look, situation, width), note)
        )

    async def _troubles(self, action: Action, situation: Situation) -> None:
        exercise = self.desk.exercise
        assert exercise is not None
        choices = [
            Choice(
                one.id,
                (
                    (fit("wł." if one.on else "", 4), "bad"),
                    (fit(clean(one.label), 31), "strong"),
                    (clean(one.help), "dim"),
                ),
                about=clean(one.seen),
            )
            for one in exercise.troubles()
        ]
        chosen = await self._app.push_screen_wait(Pick("Ćwiczenie: kłopoty z KSeF", choices))
        if chosen is not None:
            await exercise.switch(chosen)


def _client_line(desk: Desk, name: str, nip: str, status: object) -> Line:
    badge = next(badge for state, badge in AUTH_BADGES.items() if state == status)
    return ((f"{desk.look.glyph(badge)} ", badge.tone), (fit(clean(name), 40), "strong"), (f" NIP {clean(nip)}", "dim"))
