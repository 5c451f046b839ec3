"""F4 on the screen: the menu with what its code means, a file in the invoice's place, the note, and why a way is shut."""

from __future__ import annotations

import asyncio
from decimal import Decimal
from pathlib import Path

import pytest
from textual.pilot import Pilot
from textual.widgets import Input
from tui_helpers import NARROW, WIDE, Desk, Program, asked, expect, ready, text_of
from tui_office import document

from ksef_tui.services import approving
from ksef_tui.store import collisions, documents
from ksef_tui.tui.app import KsefTui
from ksef_tui.tui.dialogs.ask import Ask
from ksef_tui.tui.dialogs.details import Reader
from ksef_tui.tui.dialogs.form import Form
from ksef_tui.tui.dialogs.pick import Pick


@pytest.fixture(autouse=True)
def furnished(ids: dict[str, int]) -> None:
    assert ids


async def repair(app: KsefTui, pilot: Pilot[int], desk: Desk, state: str) -> int:
    """F4 on an invoice in that state."""
    await ready(app, pilot)
    one = int(desk[0].db.value("SELECT id FROM invoice WHERE state = ? ORDER BY id LIMIT 1", (state,)))
    await pilot.press("2")
    await expect(pilot, lambda: one in app.main.queue.list.ids)
    assert app.main.queue.list.go_to(one)
    await pilot.press("f4")
    await asked(app, pilot, Pick)
    return one


async def test_the_menu_says_what_is_wrong_once(desk: Desk, program: Program):
    office, _ = desk
    said = "Plik faktury jest nieprawidłowy (kodowanie, znak BOM, rozmiar albo skrót)."
    one = office.db.value("SELECT id FROM invoice WHERE state = 'rejected' ORDER BY id LIMIT 1")
    office.db.connection.execute(
        "UPDATE invoice SET reason_code = '430', reason = ? WHERE id = ?", (f"{said} (Rozmiar pliku 1677.)", one)
    )
    app = program()
    async with app.run_test(size=NARROW) as pilot:
        await repair(app, pilot, desk, "rejected")
        await expect(pilot, lambda: "(Rozmiar pliku 1677.)" in text_of(app))
        assert text_of(app).count("Plik faktury jest nieprawidłowy") == 1


def state(desk: Desk, invoice_id: int) -> str:
    return str(desk[0].db.value("SELECT state FROM invoice WHERE id = ?", (invoice_id,)))


def corrected(desk: Desk, invoice_id: int, folder: Path, number: str | None = None) -> Path:
    row = desk[0].db.row(
        "SELECT v.number, c.nip, c.name FROM invoice v JOIN client c ON c.id = v.client_id WHERE v.id = ?",
        (invoice_id,),
    )
    assert row is not None
    file = folder / "poprawiona.xml"
    file.write_bytes(document(row["nip"], row["name"], number or row["number"], Decimal("20.00"), "Nabywca Poprawny"))
    return file


async def type_path(app: KsefTui, pilot: Pilot[int], path: Path) -> None:
    await asked(app, pilot, Form)
    field = app.screen.query_one(Input)
    field.value = str(path)
    await pilot.press("enter")


async def test_a_corrected_file_is_shown_before_it_is_kept(desk: Desk, program: Program, tmp_path: Path):
    app = program()
    async with app.run_test(size=NARROW) as pilot:
        one = await repair(app, pilot, desk, "invalid")
        assert "Plik nie przeszedł kontroli" in text_of(app)
        await pilot.press("enter")
        await type_path(app, pilot, corrected(desk, one, tmp_path))
        await asked(app, pilot, Ask)
        assert "Nabywca Poprawny" in text_of(app)
        assert state(desk, one) == "invalid", "nothing is kept yet"
        await pilot.press("enter")  # the safe answer has the focus
        await expect(pilot, lambda: not isinstance(app.screen, Ask))
        assert state(desk, one) == "invalid"
        await pilot.press("f4")
        await asked(app, pilot, Pick)
        await pilot.press("enter")
        await type_path(app, pilot, tmp_path / "poprawiona.xml")
        await asked(app, pilot, Ask)
        await pilot.press("down", "enter")
        await expect(pilot, lambda: state(desk, one) == "replaced")
        new = desk[0].db.value("SELECT replaced_by FROM invoice WHERE id = ?", (one,))
        assert state(desk, new) == "waiting"


async def test_a_file_that_may_not_take_the_place_says_why_and_the_path_stays(
    desk: Desk, program: Program, tmp_path: Path
):
    app = program()
    async with app.run_test(size=NARROW) as pilot:
        one = await repair(app, pilot, desk, "invalid")
        await pilot.press("enter")
        same = tmp_path / "ta-sama.xml"
        sha256 = desk[0].db.value("SELECT sha256 FROM invoice WHERE id = ?", (one,))
        same.write_bytes(documents.get(desk[0].db, sha256))
        await type_path(app, pilot, same)
        await expect(pilot, lambda: "ten sam plik" in text_of(app))
        assert app.screen.query_one(Input).value == str(same)


async def test_another_number_is_asked_about(desk: Desk, program: Program, tmp_path: Path):
    app = program()
    async with app.run_test(size=NARROW) as pilot:
        one = await repair(app, pilot, desk, "invalid")
        await pilot.press("enter")
        await type_path(app, pilot, corrected(desk, one, tmp_path, "FD/2026/9999"))
        await asked(app, pilot, Ask)
        assert "inny numer" in text_of(app)
        await pilot.press("down", "enter")
        await expect(pilot, lambda: state(desk, one) == "replaced")


async def test_a_collision_is_compared_and_settled_with_a_note(desk: Desk, program: Program):
    app = program()
    one = int(desk[0].db.value("SELECT id FROM invoice WHERE reason_code = '440'"))
    row = desk[0].db.row(
        "SELECT c.nip, c.name, v.number FROM invoice v JOIN client c ON c.id = v.client_id WHERE v.id = ?", (one,)
    )
    assert row is not None
    theirs = document(row["nip"], row["name"], row["number"], Decimal("99.00"), "Zupełnie Kto Inny")
    with desk[0].db.write() as connection:
        sha256 = documents.put(connection, theirs)
        collisions.put(
            connection, one, ksef_number=f"{row['nip']}-20261124-01A0C3-000077-5F", document_sha256=sha256, wanted=0
        )
    async with app.run_test(size=NARROW) as pilot:
        await repair(app, pilot, desk, "rejected")
        assert "440" in text_of(app)
        await pilot.press("enter")
        await asked(app, pilot, Reader)
        await expect(pilot, lambda: "Zupełnie Kto Inny" in text_of(app))
        assert f"{row['nip']}-20261124-01A0C3-000077-5F" in text_of(app)
        await pilot.press("escape")
        await expect(pilot, lambda: not isinstance(app.screen, Reader))
        await pilot.press("f4")
        await asked(app, pilot, Pick)
        await pilot.press("down", "down", "enter")
        await asked(app, pilot, Form)
        await pilot.press("enter")
        await expect(pilot, lambda: "potrzebne" in text_of(app))
        await pilot.press(*"wystawiona", "enter")
        await expect(pilot, lambda: bool(desk[0].db.value("SELECT settled_at FROM invoice WHERE id = ?", (one,))))
        assert "wystawiona" in desk[0].db.value("SELECT reason FROM invoice WHERE id = ?", (one,))


async def test_what_cannot_be_done_says_why(desk: Desk, program: Program):
    app = program()
    async with app.run_test(size=NARROW) as pilot:
        one = await repair(app, pilot, desk, "rejected")
        await pilot.press("end", "enter")
        await expect(pilot, lambda: "blokowan" in text_of(app) or "inny plik" in text_of(app))
        await pilot.press("escape")
        await expect(pilot, lambda: not isinstance(app.screen, Pick))
        assert state(desk, one) == "rejected"


async def test_retry_looks_first(desk: Desk, program: Program):
    app = program()
    with desk[0].db.write() as connection:
        connection.execute(
            "UPDATE invoice SET reason_code = '550', reason = 'KSeF anulował operację.' WHERE state = 'rejected'"
        )
    async with app.run_test(size=WIDE) as pilot:
        one = await repair(app, pilot, desk, "rejected")
        await pilot.press("enter")
        await expect(pilot, lambda: state(desk, one) == "unknown")
        await expect(pilot, lambda: "sprawdzana" in text_of(app))
        assert desk[0].db.value("SELECT reason_code FROM invoice WHERE id = ?", (one,)) == "retry"


async def test_f4_says_why_it_does_nothing(desk: Desk, program: Program):
    app = program()
    async with app.run_test(size=NARROW) as pilot:
        await ready(app, pilot)
        one = desk[0].db.value("SELECT id FROM invoice WHERE state = 'waiting' ORDER BY id LIMIT 1")
        await pilot.press("2")
        await expect(pilot, lambda: one in app.main.queue.list.ids)
        app.main.queue.list.go_to(one)
        await pilot.press("f4")
        await expect(pilot, lambda: any("Naprawia się" in notice.message for notice in app._notifications))


async def test_f4_works_on_a_row_of_what_needs_a_person(desk: Desk, program: Program):
    app = program()
    async with app.run_test(size=WIDE) as pilot:
        await ready(app, pilot)
        await pilot.press("0")
        await expect(pilot, lambda: "do poprawy" in text_of(app))
        await pilot.press("home")
        for _ in app.main.today.list.ids:
            if app.main.today.current is not None and app.main.today.current.kind == "invalid":
                break
            await pilot.press("down")
        await pilot.press("f4")
        await asked(app, pilot, Pick)
        assert "FD/2026/1185" in text_of(app)


async def test_a_note_is_in_the_details(desk: Desk, program: Program):
    one = int(desk[0].db.value("SELECT id FROM invoice WHERE reason_code = '440'"))
    await asyncio.to_thread(approving.settle, *desk, [one], "klient wystawił ją sam")
    app = program()
    async with app.run_test(size=NARROW) as pilot:
        await ready(app, pilot)
        await pilot.press("2")
        await expect(pilot, lambda: one in app.main.queue.list.ids)
        app.main.queue.list.go_to(one)
        await pilot.press("enter")
        await expect(pilot, lambda: "klient wystawił ją sam" in text_of(app))
