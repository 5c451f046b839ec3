"""Changing the identity of clients on the screen: one, marked ones, all with a token; and the reserve that takes over."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ksef_tui.domain.actions import Action
from ksef_tui.domain.situations import Pane, Situation
from ksef_tui.domain.text import count_of
from ksef_tui.domain.times import warsaw
from ksef_tui.services import alarms, identity_views, reserve, switching
from ksef_tui.services.reserve import TakeoverPreview
from ksef_tui.services.switching import SwitchPreview, TokenHolder, Wait
from ksef_tui.services.views import IdentityRow
from ksef_tui.tui import describe
from ksef_tui.tui.desk import Desk
from ksef_tui.tui.dialogs.ask import Ask
from ksef_tui.tui.dialogs.choices import Choice
from ksef_tui.tui.dialogs.pick import Pick
from ksef_tui.tui.present import Line, clean, fit

if TYPE_CHECKING:
    from ksef_tui.tui.access_acts import Flow
    from ksef_tui.tui.app import KsefTui
    from ksef_tui.tui.main import MainScreen

NAMED = 5  # clients, or invoices, that a question names before "and so many more"


class SwitchActs:
    """The change of identity and the takeover by their ids."""

    def __init__(self, screen: MainScreen, app: KsefTui) -> None:
        self._screen = screen
        self._app = app
        self.flows: dict[str, Flow] = {"auth.switch": self._switch, "identity.takeover": self._takeover}

    @property
    def desk(self) -> Desk:
        return self._screen.desk

    # Another identity for clients ---------------------------------------------------------------------------------

    async def _switch(self, action: Action, situation: Situation) -> None:
        desk = self.desk
        holders = await desk.read(lambda: switching.with_token(desk.office, desk.operator))
        ids = await self._whom(situation, holders)
        if not ids:
            return
        identity_id = await self._to_which(_scope(ids, situation))
        if identity_id is None:
            return
        found = await desk.act(lambda: switching.preview(desk.office, desk.operator, ids, identity_id))
        if not found.count:
            said = [f"{one.name}: {one.reason}" for one in found.refused[:3]]
            self._app.say("\n".join(said) or "Nie ma kogo zmieniać.", "warning")
            return
        force = bool(found.waits) and await self._all_the_same(found)
        if force is None:
            return
        question = Ask(
            "Zmiana profilu",
            lambda width: switch_lines(found, force, width),
            yes=f"Tak, zmień: {_clients(found.count)}",
            production=self._screen.environment == "production",
        )
        if await self._app.push_screen_wait(question):
            await desk.act(lambda: switching.ask(desk.office, desk.operator, ids, identity_id, force=force))
            self._screen.clients.list.unmark()
            later = f", {len(found.waits)} poczeka na kolejkę" if found.waits and not force else ""
            self._app.say(f"Zmiana na profil {found.label}: {_clients(found.count)}{later}.")

    async def _whom(self, situation: Situation, holders: Sequence[TokenHolder]) -> list[int]:
        """The clients to change; empty when a person went back."""
        client, marked = situation.client, sorted(self._screen.clients.list.marks)
        end = f"{warsaw(alarms.token_end(self.desk.office)):%d.%m.%Y}"
        choices = []
        if marked:
            choices.append(Choice("marked", ((fit("zaznaczeni", 20), "strong"), (_clients(len(marked)), "dim"))))
        if client is not None:
            choices.append(Choice("one", ((fit("ten klient", 20), "strong"), (clean(client.name), "dim"))))
        none = None if holders else "Żaden klient nie ma już tokenu."
        many: Line = (
            (fit(f"wszyscy z tokenem: {len(holders)}", 26), "strong"),
            (f"tokeny działają do {end}", "dim"),
        )
        choices.append(Choice("tokens", many, none))
        choices.append(Choice("list", (("pokaż, kto ma jeszcze token", "text"),), none))
        chosen = await self._app.push_screen_wait(Pick("Zmiana profilu – kogo?", choices))
        if chosen == "list":
            await self._show_holders(holders, end)
            return []
        wanted = {"marked": marked, "one": [client.id] if client is not None else []}
        return wanted.get(chosen or "", []) if chosen != "tokens" else [one.client_id for one in holders]

    async def _show_holders(self, holders: Sequence[TokenHolder], end: str) -> None:
        """Who still has a token; the one chosen gets the cursor."""
        choices = [Choice(str(one.client_id), holder_line(one)) for one in holders]
        title = f"Kto ma jeszcze token: {_clients(len(holders))}, do {end}"
        chosen = await self._app.push_screen_wait(Pick(title, choices))
        if chosen is not None:
            self._screen.clients.end_filter(clear=True)
            self._screen.show(Pane.CLIENTS)
            self._screen.clients.list.go_to(int(chosen))

    async def _to_which(self, scope: str) -> int | None:
        desk = self.desk
        found = await desk.read(lambda: identity_views.identities(desk.office, desk.operator))
        found = [one for one in found if one.valid_to > desk.now()]
        if not found:
            self._app.say("Nie ma jeszcze profilu biura z ważnym certyfikatem: dodaj go klawiszem d.", "warning")
            return None
        if len(found) == 1:
            return found[0].id
        choices = [Choice(str(one.id), _identity_line(one)) for one in found]
        intro = [((scope, "text"),)]
        chosen = await self._app.push_screen_wait(Pick("Zmiana profilu – na który?", choices, intro=intro))
        return None if chosen is None else int(chosen)

    async def _all_the_same(self, found: SwitchPreview) -> bool | None:
        """Whether to change at once although something is on the wire; None: neither."""
        what = found.waits[0].behind.words if len(found.waits) == 1 else _clients(len(found.waits))
        choices = [
            Choice("wait", ((fit("gdy kolejka się uspokoi", 26), "strong"), ("nic nie przepada", "dim"))),
            Choice("force", ((fit("od razu, mimo to", 26), "strong"), ("przepadnie UPO tego, co w drodze", "wait"))),
        ]
        intro: list[Line] = [
            (("Tylko dotychczasowe logowanie odbierze to, co jest w drodze:", "text"),),
            ((what, "strong"),),
        ]
        if not all(wait.works for wait in found.waits):
            intro.append((("Ono już nie działa, więc samo się to nie uspokoi.", "bad"),))
        chosen = await self._app.push_screen_wait(Pick("Zmiana profilu – kiedy?", choices, intro=intro))
        return None if chosen is None else chosen == "force"

    # The reserve ----------------------------------------------------------------------------------------------------

    async def _takeover(self, action: Action, situation: Situation) -> None:
        desk = self.desk
        down = await desk.act(lambda: reserve.fallen(desk.office, desk.operator))
        if not down or await desk.act(lambda: alarms.reserve(desk.office)) is None:
            await self._choose_reserve(bool(down))
            return
        found = await desk.act(lambda: reserve.preview(desk.office, desk.operator))
        question = Ask(
            "Profil rezerwowy przejmuje klientów",
            lambda width: takeover_lines(found, width),
            yes=f"Tak, przejmij {_whom(found.change.count)}",
            production=self._screen.environment == "production",
        )
        if await self._app.push_screen_wait(question):
            asked = await desk.act(lambda: reserve.take_over(desk.office, desk.operator))
            self._app.say(f"Profil {found.label} przejmuje {_whom(len(asked.client_ids))}.")

    async def _choose_reserve(self, down: bool) -> None:
        """Which identity is kept ready, when there is nothing to take over or nobody to do it."""
        desk = self.desk
        found = await desk.read(lambda: identity_views.identities(desk.office, desk.operator))
        now = await desk.read(lambda: alarms.reserve(desk.office))
        kept = None if now is None else now["label"]
        choices = [
            Choice(one.label, (*_identity_line(one), (" ● rezerwowy" if one.label == kept else "", "good")))
            for one in found
            if one.valid_to > desk.now()
        ]
        if not choices:
            self._app.say("Nie ma jeszcze profilu biura z ważnym certyfikatem: dodaj go klawiszem d.", "warning")
            return
        said = "Wskaż sprawny profil, a potem j przejmie nim klientów." if down else "Wszystkie profile działają."
        intro: list[Line] = [((said, "strong"),), (("Rezerwowy przejmuje klientów, gdy główny stanie.", "text"),)]
        chosen = await self._app.push_screen_wait(Pick("Który profil trzymać w rezerwie?", choices, intro=intro))
        if chosen is not None:
            on = chosen != kept
            await desk.act(lambda: reserve.mark(desk.office, desk.operator, chosen, on=on))
            self._app.say(f"Profil {chosen} jest rezerwowy." if on else f"Profil {chosen} nie jest już rezerwowy.")


# What questions and lists say -------------------------------------------------------------------------------------------


def holder_line(one: TokenHolder) -> Line:
    """A client that still has a token: who, until when, what waits, and whether the office's profile would work."""
    waits = (f"{one.waiting} do wysł." if one.waiting else "") + (f" {one.on_wire} w drodze" if one.on_wire else "")
    known = {True: "profil zadziała", False: "brak uprawnień", None: ""}[one.profile]
    tone = "good" if one.profile else "wait"
    return (
        (fit(clean(one.name), 30) + " ", "strong"),
        (f"{warsaw(one.valid_until):%d.%m} ", "dim"),
        (fit(waits.strip(), 22) + " ", "text"),
        ("zmienia się" if one.switching_to else known, "busy" if one.switching_to else tone),
    )


def switch_lines(found: SwitchPreview, force: bool, width: int) -> list[Line]:
    """Who changes, when, and what happens to what is on the wire."""
    texts = [(f"Na profil „{found.label}”: {_clients(found.count)}.", "strong")]
    if found.waits and not force:
        texts.append((f"Od razu: {len(found.at_once)}. Gdy kolejka się uspokoi: {len(found.waits)}.", "text"))
        texts.append(("Do tego czasu nic nowego nie wyślą; b rezygnuje ze zmiany.", "text"))
    texts += _named(found.waits, force)
    if force:
        texts.append(
            ("Wynik program sprawdzi w KSeF po skrócie faktury. UPO nie będzie: dowodem jest numer i skrót.", "wait")
        )
    texts.append(("Dotychczasowe logowanie działa, aż zadziała nowe; potem program kończy je w KSeF.", "dim"))
    texts += [(f"! {one.name}: {one.reason}", "wait") for one in found.refused[:3]]
    if len(found.refused) > 3:
        texts.append((f"! … i jeszcze {len(found.refused) - 3} bez zmiany", "wait"))
    return [line for text, tone in texts for line in describe.plain([text], width, tone)]


def takeover_lines(found: TakeoverPreview, width: int) -> list[Line]:
    """Which identity fell, whom the reserve takes over, and what it cannot read."""
    texts = [(f"Profil {one.label} nie działa: {one.why}.", "bad") for one in found.fallen[:3]]
    texts.append((f"Profil „{found.label}” przejmie {_whom(found.change.count)}.", "strong"))
    if found.change.waits:
        count = count_of(found.without_result, "faktury", "faktur", "faktur")
        texts.append(
            (f"! W drodze jest coś, czego nie odczyta: wynik {count} i {found.without_upo} UPO.", "wait")
        )  # fmt: skip
        texts.append(("Wynik sprawdzi po skrócie; UPO nie będzie. Nic nie zostanie wysłane drugi raz.", "text"))
    else:
        texts.append(("To, co w drodze, odczyta dalej: podmiot jest ten sam.", "text"))
    texts.append(("Gdzie KSeF go nie wpuści, klient zostaje, jak jest, i mówi, czego brakuje.", "dim"))
    return [line for text, tone in texts for line in describe.plain([text], width, tone)]


def _named(waits: Sequence[Wait], force: bool) -> list[tuple[str, str]]:
    said = []
    for wait in waits[:NAMED]:
        numbers = [*wait.behind.without_result, *wait.behind.without_upo]
        more = f" … i jeszcze {len(numbers) - NAMED}" if len(numbers) > NAMED else ""
        names = f" ({', '.join(numbers[:NAMED])}{more})" if force and numbers else ""
        said.append((f"  {wait.name}: {wait.behind.words}{names}", "wait"))
    return said + ([(f"  … i jeszcze {_clients(len(waits) - NAMED)}", "wait")] if len(waits) > NAMED else [])


def _identity_line(one: IdentityRow) -> Line:
    return (
        (fit(clean(one.label), 22) + " ", "strong"),
        (fit(clean(one.whose), 16) + " ", "dim"),
        (f"do {warsaw(one.valid_to):%d.%m.%Y}", "dim"),
    )


def _scope(ids: Sequence[int], situation: Situation) -> str:
    one = situation.client
    return f"Klient: {clean(one.name)}" if one is not None and ids == [one.id] else f"Razem: {_clients(len(ids))}"


def _clients(count: int) -> str:
    return count_of(count, "klient", "klienci", "klientów")


def _whom(count: int) -> str:
    return count_of(count, "klienta", "klientów", "klientów")
