"""Fills the exercise: an office with clients in all states and invoices in all states, by really doing it.

Only what no action of the program reaches is written into the database by the moves of the domain: a replaced file.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

from ksef_tui import compose
from ksef_tui.demo import ministry, queue, rights
from ksef_tui.demo.cast import OFFICE_NAME, cast, office
from ksef_tui.demo.folder import Folder
from ksef_tui.demo.papers import Desk
from ksef_tui.demo.stage import A_DAY_AGO, Stage
from ksef_tui.domain.problems import Problem
from ksef_tui.domain.roles import Role
from ksef_tui.services import clients
from ksef_tui.services import office as offices_service
from ksef_tui.services.office import Office, utc_now
from ksef_tui.store import limits, offices, settings

SEED = 20261124
AUTOMAT, AUTOMAT_NAME = "demo", "Automat ćwiczenia"
RECALL_SECONDS = 20  # twice the usual, so that the countdown can be looked at

Tell = Callable[[str], None]


def build(data_dir: Path, clients: int, invoices: int, *, login: str = "biuro", tell: Tell = lambda _: None) -> Path:
    """Fill an empty folder and stop the sandbox again; the data directory of the office. For pictures and tests.

    Names, numbers and amounts are the same every time. Raises Problem.
    """
    folder = Folder(data_dir)
    folder.prepare()
    with folder.locked():
        folder.enter()
        try:
            fill(folder, clients, invoices, login, tell)
        finally:
            ministry.stop(folder)
            folder.leave()
    return folder.office


def fill(folder: Folder, clients: int, invoices: int, login: str, tell: Tell) -> None:
    """Make everything anew; the sandbox runs afterwards. Whatever was begun before is removed. Raises Problem."""
    ministry.stop(folder)
    folder.clear()
    tell("piaskownica")
    url = ministry.start(folder, port=0, delay_ms=0, limits="off")
    stage = _found(folder, url, clients, login, tell)
    from httpx import HTTPError

    from ksef_tui.ksef.errors import KsefError

    try:
        asyncio.run(_play(folder, stage, invoices))
    except (HTTPError, KsefError, TimeoutError) as error:
        text = "Piaskownica przestała odpowiadać przy przygotowaniach – uruchom ćwiczenie jeszcze raz."
        raise Problem("no_sandbox", text) from error
    finally:
        stage.switches.close()
        stage.office.close()


def _found(folder: Folder, url: str, count: int, login: str, tell: Tell) -> Stage:
    """The office, its people and its clients."""
    own = office()
    offices_service.init(
        folder.office, environment="sandbox", nip=own.nip, name=OFFICE_NAME, login=login, api_url=url,
        clock=lambda: utc_now() - A_DAY_AGO,
    )  # fmt: skip
    opened = compose.open_office(folder.office)
    # An office that is begun anew when its filling was interrupted needs no patience with the disk.
    opened.db.connection.execute("PRAGMA synchronous = OFF")
    operator = offices_service.operator_named(opened, login)
    stage = Stage(opened, operator, [*cast(count), own], ministry.Switches(url), Desk(SEED), tell)
    stage.go_back()
    with opened.db.write() as connection:
        ensure_automat(opened)
        settings.put(connection, "recall_seconds", "0")
        settings.put(connection, "probe", "0")  # the exercise shows every state, and they stay
        rights.set_token_end(connection, stage.now)
        automat = offices_service.operator_named(opened, AUTOMAT)
        for place, member in enumerate(stage.members[:-1]):  # a third are somebody else's clients
            stage.ids[member.nip] = clients.add(
                opened, automat if place % 3 == 2 else operator, member.nip, member.name
            )
    stage.ids[own.nip] = clients.id_of(opened, own.nip)
    return stage


def ensure_automat(opened: Office) -> None:
    """The accountant in whose name the exercise itself works."""
    if offices.operator(opened.db, AUTOMAT) is None:
        with opened.db.write() as connection:
            offices.insert_operator(connection, opened.clock(), AUTOMAT, AUTOMAT_NAME, Role.ACCOUNTANT)


async def _play(folder: Folder, stage: Stage, invoices: int) -> None:
    stage.tell("autoryzacje")
    await rights.authorise(stage)
    stage.tell("faktury z ostatnich dni")
    await queue.send_history(stage, invoices)
    stage.come_back()
    stage.tell("faktury z dzisiaj")
    await queue.send_today(stage, invoices)
    late = await queue.receipts_that_are_late(stage)
    stage.tell("limity i kłopoty")
    _with_limits(folder, stage)
    if late:
        stage.switches.put("upo_html", **late)
    await rights.check_again(stage)
    queue.bring_in_what_waits(stage, max(8, invoices // 12))
    await queue.lose_an_answer(stage)
    await queue.keep_processing(stage)
    queue.people_decide(stage)
    rights.send_letters(stage)
    await rights.end_services(stage)
    await rights.wait_for_signatures(stage)
    await rights.keep_connecting(stage)
    with stage.office.db.write() as connection:
        settings.put(connection, "recall_seconds", str(RECALL_SECONDS))
    queue.bring_in_what_waits(stage, 3)
    queue.approve_last(stage)
    stage.office.db.connection.execute("PRAGMA synchronous = FULL")  # from here on it is kept
    stage.office.db.connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    folder.finish(
        clients=len(stage.members) - 1, invoices=invoices, port=ministry.port_of(stage.switches.url), standing=late
    )


def _with_limits(folder: Folder, stage: Stage) -> None:
    """The same KSeF again, now with production's limits and with time to think."""
    port = ministry.port_of(stage.switches.url)
    ministry.stop(folder)
    url = ministry.start(folder, port=port)
    ministry.set_address(stage.office, url)
    stage.switches.close()
    stage.switches = ministry.Switches(url)
    with stage.office.db.write() as connection:
        for member in stage.members:
            limits.doubt(connection, member.nip)
