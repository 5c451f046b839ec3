"""g and j at 80×24: who still has a token, what is said before a change, and the reserve that takes over."""

from __future__ import annotations

from typing import Any

import pytest
import tui_office
from tui_helpers import NARROW, Desk, Program, asked, expect, on_client, ready, text_of

from ksef_tui.domain.invoices import InvoiceState
from ksef_tui.domain.times import to_text
from ksef_tui.services import switching
from ksef_tui.store import offices, sessions, switches
from ksef_tui.tui.app import KsefTui
from ksef_tui.tui.dialogs.ask import Ask
from ksef_tui.tui.dialogs.pick import Pick

TOKEN: dict[str, Any] = {
    "state": "active", "method": "token", "identity_id": None, "step": "rights", "rights": tui_office.RIGHTS,
    "subject": "Nip:5251000001", "checked_at": to_text(tui_office.NOW), "valid_until": "2026-12-31T22:59:59Z",
}  # fmt: skip


@pytest.fixture
def holders(desk: Desk, ids: dict[str, int]) -> list[int]:
    """Two clients that work by a token; one of them has invoices on the wire."""
    office = desk[0]
    found = [
        tui_office.add_client(office, 20 + n, name, **TOKEN)
        for n, name in enumerate(("Tokaj sp. z o.o.", "Toruń s.c."))
    ]
    with office.db.write() as connection:
        session = sessions.insert(
            connection, tui_office.NOW,
            {"client_id": found[0], "kind": "interactive", "context_nip": "", "subject": TOKEN["subject"], "form_code": "",
             "seal_row": "", "sealed_key": b"", "iv": b""},
        )  # fmt: skip
    for number, state in (("T/1", InvoiceState.PROCESSING), ("T/2", InvoiceState.ACCEPTED)):
        tui_office.add_invoice(office, found[0], number, state, session_id=session)
    return found


async def choose(app: KsefTui, pilot: Any, shown: str, *keys: str) -> None:
    """Wait until a question stands there, then answer it."""
    await expect(pilot, lambda: shown in text_of(app))
    await pilot.press(*keys)


async def test_g_on_a_client_waits_for_what_is_on_the_wire_and_b_gives_it_up(
    desk: Desk, holders: list[int], program: Program
) -> None:
    app, db = program(), desk[0].db
    async with app.run_test(size=NARROW) as pilot:
        await on_client(app, pilot, holders[0])
        await pilot.press("g")
        await choose(app, pilot, "Zmiana profilu – kogo?", "enter")
        await choose(app, pilot, "Zmiana profilu – kiedy?", "enter")
        await asked(app, pilot, Ask)
        await expect(pilot, lambda: "Gdy kolejka się uspokoi: 1" in text_of(app))
        assert "1 faktura w drodze, 1 UPO" in text_of(app)
        await pilot.press("enter")
        await expect(pilot, lambda: app.screen is app.main)
        assert switches.get(db, holders[0]) is None, "Enter on a question is harmless"
        await pilot.press("g")
        await choose(app, pilot, "kogo?", "enter")
        await choose(app, pilot, "kiedy?", "enter")
        await asked(app, pilot, Ask)
        await pilot.press("down", "enter")
        await expect(pilot, lambda: switches.get(db, holders[0]) is not None)
        await choose(app, pilot, "na profil: 1 w drodze")
        await pilot.press("3")
        await choose(app, pilot, "gdy kolejka się uspokoi: 1 faktura w")
        await pilot.press("b")
        await expect(pilot, lambda: switches.get(db, holders[0]) is None)


async def test_changing_all_the_same_names_the_invoices_whose_upo_is_lost(
    desk: Desk, holders: list[int], program: Program
) -> None:
    app, db = program(), desk[0].db
    async with app.run_test(size=NARROW) as pilot:
        await on_client(app, pilot, holders[0])
        await pilot.press("g")
        await choose(app, pilot, "kogo?", "enter")
        await choose(app, pilot, "kiedy?", "down", "enter")
        await asked(app, pilot, Ask)
        await expect(pilot, lambda: "T/1, T/2" in text_of(app))
        assert "UPO nie będzie" in text_of(app)
        await pilot.press("down", "enter")
        await expect(pilot, lambda: switches.get(db, holders[0]) is not None)
        assert switches.get(db, holders[0])["forced"] == 1


async def test_all_with_a_token_are_counted_listed_and_changed(
    desk: Desk, holders: list[int], program: Program
) -> None:
    app, db = program(), desk[0].db
    async with app.run_test(size=NARROW) as pilot:
        await ready(app, pilot)
        await pilot.press("g")
        await choose(app, pilot, "wszyscy z tokenem: 2", "down", "down", "enter")
        await asked(app, pilot, Pick)
        await expect(pilot, lambda: "Kto ma jeszcze token: 2 klienci, do 31.12.2026" in text_of(app))
        assert "Toruń s.c." in text_of(app)
        await pilot.press("down", "enter")
        await expect(pilot, lambda: app.screen is app.main and app.main.clients.list.current_id == holders[1])
        await pilot.press("g")
        await choose(app, pilot, "kogo?", "down", "enter")
        await choose(app, pilot, "kiedy?", "enter")
        await asked(app, pilot, Ask)
        await expect(pilot, lambda: "„pieczęć biura”: 2 klienci." in text_of(app))
        await pilot.press("down", "enter")
        await expect(pilot, lambda: switches.client_ids(db) == holders)
        assert {row.switching_to for row in switching.with_token(*desk)} == {"pieczęć biura"}


async def test_within_the_last_month_every_screen_counts_the_tokens(
    desk: Desk, holders: list[int], program: Program
) -> None:
    with desk[0].db.write() as connection:
        connection.execute("INSERT INTO setting VALUES ('token_end', '2026-12-20')")
        connection.execute("UPDATE authorization SET state = 'failed' WHERE state = 'blocked'")
    app = program()
    async with app.run_test(size=NARROW) as pilot:
        await ready(app, pilot)
        await expect(pilot, lambda: "Tokeny KSeF kończą się 20.12: ma je jeszcze 2 klienci (g)" in text_of(app))


async def test_j_chooses_the_reserve_and_then_takes_over_with_it(
    desk: Desk, ids: dict[str, int], program: Program
) -> None:
    office = desk[0]
    other = tui_office.add_identity(office, "zapasowy")
    app = program()
    async with app.run_test(size=NARROW) as pilot:
        await on_client(app, pilot, ids["alfa"])
        await pilot.press("j")
        await choose(app, pilot, "Który profil trzymać w rezerwie?", "down", "enter")
        await expect(pilot, lambda: bool(office.db.value("SELECT reserve FROM identity WHERE id = ?", (other,))))
        main = office.db.value("SELECT id FROM identity WHERE label = 'pieczęć biura'")
        served = office.db.value(
            "SELECT count(*) FROM authorization WHERE identity_id = ? AND state <> 'ended'", (main,)
        )
        with office.db.write() as connection:
            offices.stop_identity(connection, tui_office.NOW, main, "MF")
        await expect(
            pilot,
            lambda: (
                "j: zapasowy przejmuje" in text_of(app)
                or app.main.header_view is None
                or bool(app.main._header.request())
            ),
        )
        await pilot.press("j")
        await asked(app, pilot, Ask)
        await expect(pilot, lambda: f"przejmie {served} klientów" in text_of(app))
        assert "zablokowało go ministerstwo" in text_of(app)
        await pilot.press("enter")
        await expect(pilot, lambda: app.screen is app.main)
        assert switches.client_ids(office.db) == []
        await pilot.press("j")
        await asked(app, pilot, Ask)
        await pilot.press("down", "enter")
        await expect(pilot, lambda: len(switches.client_ids(office.db)) == served)


async def test_a_clients_operator_may_do_neither(desk: Desk, holders: list[int], program: Program) -> None:
    from ksef_tui.domain.actions import BY_ID
    from ksef_tui.domain.roles import Role
    from ksef_tui.domain.situations import Pane, Situation

    for action_id in ("auth.switch", "identity.takeover"):
        assert BY_ID[action_id].why_disabled(Situation(Role.CLIENT, Pane.CLIENTS)) is not None
        assert BY_ID[action_id].why_disabled(Situation(Role.ACCOUNTANT, Pane.CLIENTS)) is None
