"""The authorisations of the exercise: each client comes to its state by a real login, as far as there is one."""

from __future__ import annotations

import calendar
import sqlite3
from datetime import date, datetime, timedelta

from ksef_tui.demo.cast import Member, Part
from ksef_tui.demo.client_side import seal, signed
from ksef_tui.demo.stage import Stage
from ksef_tui.domain.authorizations import AuthState, AuthStep
from ksef_tui.domain.problems import Problem
from ksef_tui.domain.times import polish_day
from ksef_tui.services import authorising, ending, external, identities
from ksef_tui.services.office import utc_now
from ksef_tui.store import authorizations, offices, settings

MAIN, ENDING, ENDED = "Pieczęć biura", "Pieczęć biura (stara)", "Certyfikat z ubiegłego roku"
ENDING_DAYS = 12
WARN_DAYS = 45  # the office wants to know early: tokens end on the last day of the year
CONNECTING_MS = 240_000  # how long KSeF judges the login that is seen running; the program gives up after 5 minutes
LETTER_AGO = timedelta(days=12)
_LIVES = (3, 8, 25)  # seconds of the certificate that must end: more on a slow machine


def set_token_end(connection: sqlite3.Connection, now: datetime) -> None:
    """Warn of tokens in time, and once the legal end is past or far, work with an end of month that is near."""
    settings.put(connection, "expiring_days", str(WARN_DAYS))
    today, legal = polish_day(now), date.fromisoformat(settings.SETTINGS["token_end"].default)
    if timedelta(days=3) < legal - today < timedelta(days=WARN_DAYS):
        return
    near = today + timedelta(days=8)
    settings.put(connection, "token_end", near.replace(day=calendar.monthrange(near.year, near.month)[1]).isoformat())


def add_identity(stage: Stage, label: str, valid_to: datetime) -> int:
    """A self-signed seal of the office, kept as an identity."""
    certificate, key = seal(stage.office.nip, stage.office.name, utc_now() - timedelta(days=300), valid_to)
    return identities.add(stage.office, stage.operator, label, certificate, key, None)


def start(stage: Stage, member: Member, identity_id: int) -> None:
    """Ask for an authorisation with an identity of the office."""
    authorising.start_with_identity(stage.office, stage.operator, stage.ids[member.nip], identity_id)


async def authorise(stage: Stage) -> None:
    """All clients that get anywhere by a login."""
    await _certificate_that_ends(stage)
    main = add_identity(stage, MAIN, utc_now() + timedelta(days=700))
    ending = add_identity(stage, ENDING, utc_now() + timedelta(days=ENDING_DAYS))
    await _silence(stage, main)
    await _grants(stage)
    for member in stage.of(
        Part.OFFICE,
        Part.READY,
        Part.WITHDRAWN,
        Part.READS,
        Part.BLOCKED,
        Part.PLAIN,
        Part.REFUSED,
        Part.WRITES,
        Part.LEFT,
    ):
        start(stage, member, main)
    for member in stage.of(Part.ENDING):
        start(stage, member, ending)
    for member in stage.of(Part.TOKEN):
        async with stage.client_side(member) as client:
            token = await client.token()
        authorising.start_with_token(stage.office, stage.operator, stage.ids[member.nip], token)
    await stage.work(stage.no_intents)
    await sign_elsewhere(stage)
    _expect(
        stage,
        {
            **dict.fromkeys((Part.OFFICE, Part.READY, Part.WITHDRAWN, Part.PLAIN, Part.WRITES), AuthState.ACTIVE),
            **dict.fromkeys(
                (Part.ENDING, Part.TOKEN, Part.SIGNED, Part.LEFT), AuthState.ACTIVE
            ),  # time alone makes them expiring
            Part.READS: AuthState.READ_ONLY,
            Part.BLOCKED: AuthState.BLOCKED,
            Part.REFUSED: AuthState.NO_PERMISSION,
            Part.SILENT: AuthState.FAILED,
        },
    )


def _expect(stage: Stage, wanted: dict[Part, AuthState]) -> None:
    for member in stage.members:
        found = stage.auth(member)
        if member.part in wanted and found is not wanted[member.part]:
            reason = authorizations.get(stage.office.db, stage.ids[member.nip])["reason"]
            raise Problem("demo_stuck", f"Ćwiczenie: {member.name} ma stan {found}. {reason}")


async def _grants(stage: Stage) -> None:
    office = stage.office.nip
    for member in stage.of(Part.ENDING, Part.WITHDRAWN, Part.PLAIN, Part.LEFT):
        stage.switches.grant(member.nip, office, "InvoiceWrite", "InvoiceRead")
    for member in stage.of(Part.READS):
        stage.switches.grant(member.nip, office, "InvoiceRead")
    for member in stage.of(Part.WRITES):
        stage.switches.grant(member.nip, office, "InvoiceWrite")
    for member in stage.of(Part.BLOCKED):
        stage.switches.grant(member.nip, office, "InvoiceWrite", "InvoiceRead")
        stage.switches.block(member.nip)
    for member in stage.of(Part.READY):
        async with stage.client_side(member) as client:
            await client.grant(office, stage.office.name)


async def _certificate_that_ends(stage: Stage) -> None:
    """A login with a certificate that is good for some seconds more; soon afterwards it has ended."""
    member = stage.one(Part.EXPIRED)
    if member is None:
        return
    stage.switches.grant(member.nip, stage.office.nip, "InvoiceWrite", "InvoiceRead")
    for seconds in _LIVES:
        identity = add_identity(stage, ENDED, utc_now() + timedelta(seconds=seconds))
        start(stage, member, identity)
        await stage.work(stage.no_intents)
        if stage.auth(member) is AuthState.ACTIVE:
            return
        with stage.office.db.write() as connection:
            offices.remove_identity(connection, stage.now, identity)
    raise Problem("demo_stuck", "Ćwiczenie: ten komputer jest zbyt wolny, żeby zalogować się na czas.")


async def _silence(stage: Stage, identity_id: int) -> None:
    """KSeF did not answer when this client was to be connected."""
    for member in stage.of(Part.SILENT):
        stage.switches.put("outage")
        start(stage, member, identity_id)
        await stage.work(stage.no_intents)
        stage.switches.calm()


async def check_again(stage: Stage) -> None:
    """A fresh login of those who work: it also reads the limits that KSeF has now."""
    for member in stage.of(Part.OFFICE, Part.READY, Part.ENDING, Part.WITHDRAWN, Part.PLAIN, Part.TOKEN, Part.WRITES):
        authorising.check(stage.office, stage.operator, stage.ids[member.nip])
    await stage.work(stage.no_intents)


async def keep_connecting(stage: Stage) -> None:
    """A login that KSeF has not judged yet. It stays asked for, so the next worker goes on with it."""
    member = stage.one(Part.CONNECTING)
    if member is None:
        return
    stage.switches.grant(member.nip, stage.office.nip, "InvoiceWrite", "InvoiceRead")
    stage.switches.put("slow", **slow_login())
    identity = offices.identity_by_label(stage.office.db, MAIN)
    assert identity is not None
    start(stage, member, identity["id"])

    def waits() -> bool:
        row = authorizations.get(stage.office.db, stage.ids[member.nip])
        return bool(row["step"] == AuthStep.VERIFY)

    await stage.work(waits, give_up_passes=True)


def slow_login() -> dict[str, object]:
    """The trouble that makes KSeF take its time over the next login."""
    return {
        "times": 1,
        "match": {"method": "POST", "path": "/v2/auth/xades-signature"},
        "params": {"ms": CONNECTING_MS},
    }


def send_letters(stage: Stage) -> None:
    """A letter went out twelve days ago, and the client has not answered it."""
    stage.set_back(LETTER_AGO)
    for member in stage.of(Part.LETTER):
        authorising.requested(stage.office, stage.operator, stage.ids[member.nip])
    stage.come_back()


async def end_services(stage: Stage) -> None:
    """The office serves a client no more, and the client has taken the rights back."""
    left = stage.of(Part.LEFT)
    for member in left:
        ending.end(stage.office, stage.operator, stage.ids[member.nip])
    await stage.work(stage.no_intents)
    for member in left:
        stage.switches.take_back(member.nip, stage.office.nip)
        authorising.check(stage.office, stage.operator, stage.ids[member.nip])
    await stage.work(stage.no_intents)


async def sign_elsewhere(stage: Stage) -> None:
    """Clients whose owner signs the request with a program of its own."""
    for member in stage.of(Part.SIGNED):
        await ask_to_sign(stage, member)
        asked = external.request(stage.office, stage.operator, stage.ids[member.nip])
        authorising.submit(stage.office, stage.operator, stage.ids[member.nip], signed(member, asked.document))
    await stage.work(stage.no_intents)


async def ask_to_sign(stage: Stage, member: Member) -> None:
    """A request that waits for a signature: its ten minutes begin now."""
    authorising.start_external(stage.office, stage.operator, stage.ids[member.nip])
    await stage.work(stage.no_intents)


async def wait_for_signatures(stage: Stage) -> None:
    """Clients that sit at the desk and have not signed yet: then the office gets its rights, and its own profile works."""
    from ksef_tui.services import onboarding

    identity = offices.identity_by_label(stage.office.db, MAIN)
    assert identity is not None
    for member in stage.of(Part.TO_SIGN):
        onboarding.start(stage.office, stage.operator, stage.ids[member.nip], identity["id"])
        await stage.work(stage.no_intents)
