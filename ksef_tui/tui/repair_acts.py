"""F4: what can be done about an invoice that is refused, invalid, blocked, or whose number is taken in KSeF."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from ksef_tui.domain.actions import Action
from ksef_tui.domain.problems import Problem
from ksef_tui.domain.repair import REPAIRABLE, Way
from ksef_tui.domain.roles import Act, may
from ksef_tui.domain.situations import Pane, Situation
from ksef_tui.services import approving, collisions, repair_views, replacing
from ksef_tui.services.approving import ActResult
from ksef_tui.services.repair_views import Comparison, Explanation
from ksef_tui.services.replacing import Preview
from ksef_tui.tui import describe
from ksef_tui.tui.desk import Desk
from ksef_tui.tui.dialogs.ask import Ask
from ksef_tui.tui.dialogs.choices import Choice
from ksef_tui.tui.dialogs.details import Reader
from ksef_tui.tui.dialogs.form import Field, Form
from ksef_tui.tui.dialogs.pick import Pick
from ksef_tui.tui.entries import path_of
from ksef_tui.tui.present import Line, clean, day, fit, grouped
from ksef_tui.tui.today_acts import open_today

if TYPE_CHECKING:
    from ksef_tui.tui.access_acts import Flow
    from ksef_tui.tui.app import KsefTui
    from ksef_tui.tui.main import MainScreen

ACTS = {
    Way.REPLACE: Act.INVOICE_REPLACE,
    Way.RETRY: Act.INVOICE_RETRY,
    Way.COMPARE: Act.SEE,
    Way.SETTLE: Act.INVOICE_SETTLE,
    Way.RELEASE: Act.INVOICE_RELEASE,
    Way.WITHDRAW: Act.INVOICE_WITHDRAW,
}


class RepairActs:
    """The repair by its id."""

    def __init__(self, screen: MainScreen, app: KsefTui) -> None:
        self._screen = screen
        self._app = app
        self._folder = str(Path.home()) + "/"
        self.flows: dict[str, Flow] = {"invoice.repair": self._repair}
        self._ways: dict[Way, Callable[[Explanation], Awaitable[None]]] = {
            Way.REPLACE: self._replace,
            Way.RETRY: self._retry,
            Way.COMPARE: self._compare,
            Way.SETTLE: self._settle,
            Way.RELEASE: self._release,
            Way.WITHDRAW: self._withdraw,
        }

    @property
    def desk(self) -> Desk:
        return self._screen.desk

    async def _repair(self, action: Action, situation: Situation) -> None:
        desk, screen = self.desk, self._screen
        if situation.pane is Pane.TODAY:
            ids = screen.invoices()
            if len(ids) > 1:  # one after another
                open_today(screen)
                self._app.say("Wybierz fakturę i naciśnij F4.")
                return
            invoice_id = ids[0] if ids else None
        else:
            invoice_id = screen.queue.list.current_id
        if invoice_id is None:
            return
        found = await desk.read(lambda: repair_views.explain(desk.office, desk.operator, invoice_id))
        if found.state not in REPAIRABLE:
            self._app.say("Z fakturą pod kursorem nic nie trzeba robić.", "warning")
            return
        choices = [
            Choice(
                rule.way.value,
                ((fit(rule.label, 19), "strong"), (fit(rule.key, 3), "key"), (rule.help, "dim")),
                self._why_not(found, rule.way, why_not),
            )
            for rule, why_not in found.ways
        ]
        chosen = await self._app.push_screen_wait(Pick(f"Napraw: {clean(found.number)}", choices, intro=_intro(found)))
        if chosen is not None:
            await self._ways[Way(chosen)](found)

    def _why_not(self, found: Explanation, way: Way, why_not: str | None) -> str | None:
        if not may(self.desk.operator, ACTS[way], found.client_id):
            return "Twoja rola nie pozwala na tę czynność."
        return None if why_not is None else f"{why_not[0].upper()}{why_not[1:]}."

    # The ways -----------------------------------------------------------------------------------------------------

    async def _replace(self, found: Explanation) -> None:
        """Path, then all checks and the file beside the old invoice; only then it is kept."""
        desk, checked = self.desk, list[Preview]()

        async def submit(values: Mapping[str, str]) -> None:
            path = path_of(values["path"])
            name, data = await desk.act(lambda: replacing.read_file(path))
            one = await desk.act(lambda: replacing.preview(desk.office, desk.operator, found.invoice_id, name, data))
            if one.refusal and not one.asked:
                raise Problem(one.code, one.refusal)
            self._folder = f"{path.parent}/"
            checked.append(one)

        intro = f"Poprawiony plik XML w miejsce faktury {clean(found.number)}. Tab dopisuje nazwę. Najpierw kontrole i pytanie."
        form = Form(
            "Zastąpienie plikiem", lambda width: describe.plain([intro], width),
            [Field("path", "Plik", path=True, value=self._folder)], submit, failed=self._app.trouble,
        )  # fmt: skip
        if not await self._app.push_screen_wait(form):
            return
        one = checked[-1]
        question = Ask(
            "Zastąpić tym plikiem?",
            lambda width: preview_lines(found, one, width),
            yes="Tak, inny numer jest zamierzony: zastąp" if one.asked else "Tak, zastąp",
        )
        if await self._app.push_screen_wait(question):
            new_id = await desk.act(
                lambda: replacing.replace(
                    desk.office, desk.operator, found.invoice_id, one.file, one.data, number_may_differ=one.asked
                )
            )
            self._app.say(f"Zastąpiona: {clean(one.number)} czeka na zatwierdzenie (z). Nr wewn. {new_id}.")

    async def _retry(self, found: Explanation) -> None:
        await self._one(
            found, approving.retry, "Sprawdzam w KSeF, czy jej tam nie ma; jeśli nie – wróci do zatwierdzenia."
        )

    async def _release(self, found: Explanation) -> None:
        await self._one(found, approving.release, "Przywrócona: czeka na zatwierdzenie (z).")

    async def _withdraw(self, found: Explanation) -> None:
        text = f"Faktura {clean(found.number)} nie pójdzie do KSeF. Tego nie da się odwrócić."
        question = Ask("Wycofanie", lambda width: describe.plain([text], width), yes="Tak, wycofaj")
        if await self._app.push_screen_wait(question):
            await self._one(found, approving.withdraw, "Wycofana.")

    async def _settle(self, found: Explanation) -> None:
        desk = self.desk

        async def submit(values: Mapping[str, str]) -> None:
            result = await desk.act(
                lambda: approving.settle(desk.office, desk.operator, [found.invoice_id], values["why"])
            )
            if result.refused:
                raise Problem("refused", result.refused[0][1])

        intro = f"{clean(found.number)} zostaje odrzucona i znika ze spraw do zrobienia. Kto i dlaczego tak postanowił?"
        form = Form(
            "Zostaw odrzuconą", lambda width: describe.plain([intro], width),
            [Field("why", "Uwaga", placeholder="np. klient wystawił ją sam w swoim programie")],
            submit, failed=self._app.trouble,
        )  # fmt: skip
        if await self._app.push_screen_wait(form):
            self._app.say("Rozstrzygnięta: uwaga jest przy fakturze i w jej przebiegu.")

    async def _compare(self, found: Explanation) -> None:
        compared = found.comparison
        if compared is None:
            return
        await self._app.push_screen_wait(
            Reader("Nasza faktura i faktura w KSeF", lambda width: comparison_lines(compared, width), "Esc wraca")
        )
        desk = self.desk
        if compared.missing and may(desk.operator, Act.INVOICE_SETTLE, found.client_id):
            question = Ask(
                "Odczytać z KSeF jeszcze raz?",
                lambda width: describe.plain([f"{compared.missing}."], width),
                yes="Tak, odczytaj",
            )
            if await self._app.push_screen_wait(question):
                await desk.act(lambda: collisions.ask_again(desk.office, desk.operator, found.invoice_id))

    async def _one(self, found: Explanation, service: Callable[..., ActResult], done: str) -> None:
        desk = self.desk
        result = await desk.act(lambda: service(desk.office, desk.operator, [found.invoice_id]))
        if result.refused:
            self._app.say(result.refused[0][1], "warning")
        else:
            self._app.say(done)


def _intro(found: Explanation) -> list[Line]:
    code = f"{found.reason_code}: " if found.reason_code.isdigit() else ""
    lines: list[Line] = [((f"{code}{found.meaning.sentence}", "strong"),), ((found.meaning.what_to_do, "text"),)]
    reason = found.reason.removeprefix(found.meaning.sentence).strip(" .").removesuffix(" – F4: co dalej")
    if reason and reason != found.meaning.sentence.rstrip("."):
        lines.insert(1, ((f"{clean(reason[:1].upper() + reason[1:])}.", "wait"),))
    return lines


def preview_lines(found: Explanation, one: Preview, width: int) -> list[Line]:
    """The new file as the checks read it, beside the number it replaces."""
    lines = describe.plain(
        [f"W miejsce: {clean(found.number)} – zostanie „zastąpiona”, nowa czeka na zatwierdzenie."], width, "dim"
    )
    lines += [
        (("Plik    ", "dim"), (clean(one.file), "text")),
        (("Numer   ", "dim"), (clean(one.number), "strong"), (f"  z {day(one.issue_date)}", "dim")),
        (("Nabywca ", "dim"), (clean(one.buyer), "text")),
        (("Brutto  ", "dim"), (f"{grouped(one.gross)} {clean(one.currency)}", "strong")),
    ]
    if one.refusal:
        lines += [(), *describe.plain([one.refusal], width, "bad")]
    for warning in one.warnings[:4]:
        lines += describe.plain([f"! {warning}"], width, "wait")
    return lines


def comparison_lines(compared: Comparison, width: int) -> list[Line]:
    """Ours and KSeF's, field by field; what differs stands out."""
    ours, theirs = compared.ours, compared.theirs
    lines: list[Line] = [
        (("Numer KSeF tamtej faktury  ", "dim"), (clean(compared.ksef_number) or "nieznany", "strong")),
        (),
    ]
    if theirs is not None and ours is not None:
        half = max(12, (width - 20) // 2)
        lines.append(((fit("", 18), "dim"), (fit("nasza", half), "dim"), (fit("w KSeF", half), "dim")))
        rows = (
            ("numer", ours.number, theirs.number),
            ("rodzaj", ours.kind, theirs.kind),
            ("data wystawienia", day(ours.issue_date), day(theirs.issue_date)),
            ("NIP nabywcy", ours.buyer_nip, theirs.buyer_nip),
            ("nabywca", ours.buyer, theirs.buyer),
            ("brutto", grouped(ours.gross), grouped(theirs.gross)),
            ("waluta", ours.currency, theirs.currency),
        )
        differ = {one.field for one in compared.differences}
        for name, mine, other in rows:
            tone = "bad" if name in differ else "text"
            lines.append(
                ((fit(name, 18), "dim"), (fit(clean(mine), half - 1) + " ", tone), (fit(clean(other), half), tone))
            )
        for one in compared.differences:
            if one.field not in {name for name, _, _ in rows}:
                lines += [(), ((one.field, "dim"),)]
                lines += describe.plain([f"nasza: {one.ours}", f"w KSeF: {one.theirs}"], width, "bad")
        if not compared.differences:
            lines += [(), *describe.plain(["Te pola są takie same; pliki różnią się czymś innym."], width, "wait")]
    if compared.missing:
        lines += [(), *describe.plain([f"! {compared.missing}."], width, "wait")]
    elif compared.reading:
        lines += [(), *describe.plain(["Program czyta tę fakturę z KSeF – zajrzyj tu za chwilę."], width, "busy")]
    return lines
