"""What the board of employees does: give, take back, dismiss. Orders are written down here; the worker carries them out
and the board shows how far each has come."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from ksef_tui.domain.actions import Action
from ksef_tui.domain.secret import Secret
from ksef_tui.domain.situations import Situation
from ksef_tui.domain.staff import ORDER_LABELS, READ, SCOPES, OrderState, letters
from ksef_tui.domain.times import from_text
from ksef_tui.services import staff, staff_views
from ksef_tui.services.staff import Newcomer
from ksef_tui.services.staff_views import StaffRow
from ksef_tui.tui import describe
from ksef_tui.tui.desk import Desk
from ksef_tui.tui.dialogs.ask import Ask
from ksef_tui.tui.dialogs.choices import Choice
from ksef_tui.tui.dialogs.details import Reader
from ksef_tui.tui.dialogs.form import Field, Form
from ksef_tui.tui.dialogs.pick import Pick
from ksef_tui.tui.dialogs.staff import Place, StaffBoard, Wish
from ksef_tui.tui.present import Line, clean, fit, moment

if TYPE_CHECKING:
    from ksef_tui.tui.access_acts import Flow
    from ksef_tui.tui.app import KsefTui
    from ksef_tui.tui.main import MainScreen

ORDERED = "Zlecone: lista pokaże, gdy KSeF to wykona."
ORDERS_SHOWN = 200


class StaffActs:
    """The board of employees by its id."""

    def __init__(self, screen: MainScreen, app: KsefTui) -> None:
        self._screen = screen
        self._app = app
        self.flows: dict[str, Flow] = {"staff": self._board}

    @property
    def desk(self) -> Desk:
        return self._screen.desk

    async def _board(self, action: Action, situation: Situation) -> None:
        client = situation.client
        own = client is None or await self.desk.read(lambda: staff.own_client(self.desk.office) == client.id)
        place = Place() if client is None or own else Place(client.id, client.name)
        while True:
            board = StaffBoard(self.desk, place, lambda: self._app.do(self._refresh(), "staff"), self._app.trouble)
            wish = await self._app.push_screen_wait(board)
            if wish is None:
                return
            place = wish.place
            try:
                await self._do(wish)
            except Exception as error:  # a refusal is told, and the board comes back
                self._app.trouble(error)

    async def _refresh(self) -> None:
        desk = self.desk
        await desk.act(lambda: staff.refresh(desk.office, desk.operator))

    async def _do(self, wish: Wish) -> None:
        if wish.act == "grant":
            await self._grant(wish.place, wish.row)
        elif wish.act == "orders":
            await self._orders()
        elif wish.row is None:
            return
        elif wish.act == "revoke":
            await self._revoke(wish.row)
        elif wish.act == "dismiss":
            await self._dismiss(wish.row)
        else:
            await self._show(wish.row)

    # Giving -------------------------------------------------------------------------------------------------------

    async def _grant(self, place: Place, row: StaffRow | None) -> None:
        desk = self.desk
        await desk.act(lambda: staff.refuse_without_right(desk.office))
        known = {one.person_id: one for one in await desk.read(lambda: staff_views.people(desk.office, desk.operator))}
        person = "new"
        if known:
            choices = [Choice("new", (("nowa osoba", "strong"),))]
            choices += [
                Choice(str(number), ((fit(clean(one.name), 26) + " ", "text"), (clean(one.subject), "dim")))
                for number, one in known.items()
            ]
            chosen = await self._app.push_screen_wait(Pick("Nadanie prawa – komu?", choices))
            if chosen is None:
                return
            person = chosen
        where = [Choice("client", ((f"tylko {clean(place.name)}", "strong"),))] if place.client_id is not None else []
        where.append(
            Choice("all", (("wszyscy klienci", "strong"), (", którzy pozwalają przekazywać, także przyszli", "dim")))
        )
        target = await self._app.push_screen_wait(Pick("Nadanie prawa – do kogo?", where))
        if target is None:
            return
        rights = await self._app.push_screen_wait(
            Pick("Nadanie prawa – do czego?", [
                Choice("both", (("wystawianie i przeglądanie faktur", "strong"),)),
                Choice("read", (("tylko przeglądanie faktur", "strong"),)),
            ])
        )  # fmt: skip
        if rights is None:
            return
        client_id = place.client_id if target == "client" else None
        scopes = (READ,) if rights == "read" else SCOPES
        if person == "new":
            where_words = place.name if client_id is not None else "wszyscy klienci, którzy pozwalają przekazywać"
            if not await self._newcomer(f"{where_words}: {letters(frozenset(scopes))}", client_id, scopes):
                return
        else:
            await desk.act(lambda: staff.grant_more(desk.office, desk.operator, int(person), client_id, scopes))
        self._app.say(ORDERED)

    async def _newcomer(self, what: str, client_id: int | None, scopes: tuple[str, ...]) -> bool:
        desk = self.desk

        async def submit(values: Mapping[str, str]) -> None:
            who = _person(values)
            await desk.act(lambda: staff.grant(desk.office, desk.operator, who, client_id, scopes))

        intro = f"{what}. Pracownik loguje się potem własnym certyfikatem, w którym jest ten PESEL albo NIP."
        fields = [
            Field("first", "Imię"),
            Field("last", "Nazwisko"),
            Field("number", "PESEL albo NIP"),
            Field("fingerprint", "Odcisk cert.", optional=True, placeholder="tylko gdy w certyfikacie nie ma numeru"),
        ]
        form = Form("Nowy pracownik", lambda width: describe.plain([intro], width, "dim"), fields, submit,
                    failed=self._app.trouble)  # fmt: skip
        return await self._app.push_screen_wait(form)

    # Taking back --------------------------------------------------------------------------------------------------

    async def _revoke(self, row: StaffRow) -> None:
        desk = self.desk
        if not row.given:
            self._app.say("Ta osoba nie ma tu jeszcze niczego, co można odebrać.", "warning")
            return
        general = not row.nip or not row.single
        if row.nip and row.single and row.general:
            chosen = await self._app.push_screen_wait(
                Pick("Odebranie – które prawo?", [
                    Choice("single", ((f"tylko do: {clean(row.client)}", "strong"),)),
                    Choice("general", (("do wszystkich klientów", "strong"),)),
                ])
            )  # fmt: skip
            if chosen is None:
                return
            general = chosen == "general"
        where = "wszystkich klientów" if general else f"klienta {row.client}"
        text = f"{row.name} straci prawo do faktur {where} i nie zaloguje się tam własnym certyfikatem."
        more = "Prawo było jedno, do wszystkich: odebranie działa u wszystkich." if general and row.nip else ""
        question = Ask(
            "Odebranie prawa", lambda width: describe.plain([one for one in (text, more) if one], width),
            yes="Tak, odbierz",
        )  # fmt: skip
        if await self._app.push_screen_wait(question):
            client_id = None if general else await desk.read(lambda: _client_id(desk, row.nip))
            await desk.act(lambda: staff.revoke(desk.office, desk.operator, row.person_id, client_id))
            self._app.say(ORDERED)

    async def _dismiss(self, row: StaffRow) -> None:
        desk = self.desk
        texts = [
            f"{row.name} odchodzi z biura: straci wszystkie prawa u klientów, także te, które zna dotąd tylko KSeF.",
            "Operator z certyfikatem tej osoby nie wejdzie już do programu, klucz zostanie zniszczony, a logowania zakończone. "
            "Klientów autoryzowanych jej certyfikatem trzeba będzie autoryzować innym profilem.",
        ]
        question = Ask("Odejście pracownika", lambda width: describe.plain(texts, width), yes="Tak, odbierz wszystko")
        if not await self._app.push_screen_wait(question):
            return
        done = await desk.act(lambda: staff.dismiss(desk.office, desk.operator, row.person_id))
        said = [ORDERED]
        if done.operators:
            said.append(f"Operator {', '.join(done.operators)} nie ma już dostępu.")
        if done.ending_later:
            said.append("Część logowań skończy się, gdy dojdą wysłane faktury.")
        self._app.say(" ".join(said))

    # Reading ------------------------------------------------------------------------------------------------------

    async def _show(self, row: StaffRow) -> None:
        desk = self.desk
        rows = await desk.read(lambda: staff_views.of_person(desk.office, desk.operator, row.person_id))
        empty: list[Line] = [(("Ta osoba nie ma jeszcze niczego u żadnego klienta.", "dim"),)]

        def build(width: int) -> list[Line]:
            lines: list[Line] = []
            for one in rows:
                tone = "good" if one.working and one.working.scopes else "bad"
                first, *more = describe.plain([one.words], max(20, width - 31), tone)
                lines.append(((fit(clean(one.client), 30) + " ", "text"), *first))
                lines += [((" " * 31, "text"), *line) for line in more]
            return lines or empty

        title = f"{clean(row.name)}, {clean(row.subject)} – co działa u kogo"
        await self._app.push_screen_wait(Reader(title, build, "↑↓ przewija · Esc wraca"))

    async def _orders(self) -> None:
        desk = self.desk
        rows = await desk.read(lambda: staff_views.orders(desk.office, desk.operator, ORDERS_SHOWN))
        tones = {OrderState.DONE: "good", OrderState.FAILED: "bad"}

        def build(width: int) -> list[Line]:
            lines: list[Line] = []
            for row in rows:
                what = "nadanie" if row["act"] == "grant" else "odebranie"
                where = row["client_name"] or row["client"] or "wszyscy klienci"
                state, rights = OrderState(row["state"]), letters(frozenset(row["rights"]))
                lines.append(
                    ((moment(from_text(row["asked_at"]))[:16] + "  ", "dim"),
                     (fit(ORDER_LABELS[state], 16), tones.get(state, "busy")),
                     (fit(f"{what} {rights}", 14), "text"), (clean(row["name"]), "strong"))
                )  # fmt: skip
                told = f"{where}, zlecił(a) {row['operator']}. {row['reason']}".strip()
                lines += [((" " * 18, "text"), *line) for line in describe.plain([told], width - 18, "dim")]
            return lines or [(("Nie było jeszcze żadnych zleceń.", "dim"),)]

        await self._app.push_screen_wait(Reader("Zlecenia: nadane i odebrane prawa", build, "↑↓ przewija · Esc wraca"))


def _client_id(desk: Desk, nip: str) -> int:
    from ksef_tui.services import clients

    return clients.id_of(desk.office, nip)


def _person(values: Mapping[str, str]) -> Newcomer:
    """Eleven digits are a PESEL, anything else is read as a NIP; with a fingerprint the number says whose it is."""
    number = "".join(c for c in values["number"] if c not in " -")
    kind = "Pesel" if len(number) != 10 else "Nip"
    if not values["fingerprint"].strip():
        return Newcomer(kind, Secret(number), values["first"], values["last"])
    return Newcomer("Fingerprint", Secret(values["fingerprint"]), values["first"], values["last"], kind, Secret(number))
