"""What `doctor` asks KSeF: whether it answers, what its clock says, which keys it encrypts with, which limits it gave."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from datetime import timedelta

from ksef_tui.domain.problems import Problem
from ksef_tui.domain.text import count_of
from ksef_tui.domain.times import from_text, to_text, warsaw
from ksef_tui.services.calls import CallKeeper, LeaseLost, NotNow
from ksef_tui.services.doctor import Asked, Finding, Installation, NotLooked, Severity, office_check
from ksef_tui.services.office import Office

OFF_BY = 60.0  # seconds of difference that are worth a word: a challenge lives ten minutes
FAR_OFF = 300.0
SLOW = 5.0
KEY_ENDS = timedelta(days=14)


def ask(office: Office) -> Asked:
    """One challenge (for its time) and the list of keys. Never raises: no answer is a finding too."""
    return asyncio.run(_ask(office))


async def _ask(office: Office) -> Asked:
    from ksef_tui.ksef.api import KsefApi
    from ksef_tui.ksef.errors import KsefError

    asked = Asked()
    api = KsefApi(
        office.environment.api_url, CallKeeper(office, longest_call=60.0), transport=office.transport, read_timeout=10.0
    )
    try:
        before = office.clock()
        challenge = await api.challenge(office.nip)
        after = office.clock()
        asked.seconds = (after - before).total_seconds()
        asked.ahead = (before + (after - before) / 2 - challenge.timestamp).total_seconds()
        asked.keys = await api.public_keys()
    except (KsefError, Problem) as error:
        asked.problem = error.message
    except (NotNow, LeaseLost) as error:
        asked.problem = str(error)
    finally:
        await api.aclose()
    return asked


@office_check("KSeF odpowiada")
def ksef_answers(at: Installation, office: Office) -> Iterator[Finding]:
    """Reached at the address of the environment, and soon."""
    address = office.environment.api_url
    if at.asked is None:
        yield Finding("not_asked", Severity.NOTE, f"KSeF ({address}) nie był pytany.")
        raise NotLooked
    if at.asked.problem:
        yield Finding(
            "ksef_silent", Severity.ERROR, f"KSeF ({address}) nie odpowiedział: {at.asked.problem}",
            "Sprawdź sieć, zaporę i adres; przy awarii KSeF faktury czekają i pójdą same.",
        )  # fmt: skip
    elif at.asked.seconds > SLOW:
        yield Finding("ksef_slow", Severity.WARNING, f"KSeF odpowiada wolno: {at.asked.seconds:.1f} s.")


@office_check("zegar")
def clock(at: Installation, office: Office) -> Iterator[Finding]:
    """Against KSeF's, and against what the office has written down already."""
    ahead = at.asked.ahead if at.asked is not None else None
    if ahead is not None and abs(ahead) > OFF_BY:
        severity = Severity.ERROR if abs(ahead) > FAR_OFF else Severity.WARNING
        way = "spieszy się" if ahead > 0 else "spóźnia się"
        yield Finding(
            "clock_off", severity, f"Zegar tego komputera {way} o {abs(ahead):.0f} s względem KSeF.",
            "Włącz synchronizację czasu (timedatectl set-ntp true).",
        )  # fmt: skip
    jump = office.db.row(
        "SELECT at, json_extract(detail, '$.seconds') AS seconds FROM audit WHERE act = 'clock.jumped' AND at > ? "
        "ORDER BY id DESC LIMIT 1",
        (to_text(at.now - timedelta(days=1)),),
    )
    if jump is not None:
        yield Finding(
            "clock_jumped", Severity.WARNING,
            f"Zegar przestawiono o {jump['seconds']:+d} s ({warsaw(from_text(jump['at'])):%d.%m %H:%M}); terminy przeliczono.",
            "Włącz synchronizację czasu (timedatectl set-ntp true).",
        )  # fmt: skip
    newest = office.db.value(
        "SELECT max(at) FROM (SELECT max(at) AS at FROM audit UNION ALL SELECT max(at) FROM journal)"
    )
    if newest is not None and from_text(newest) - at.now > timedelta(seconds=OFF_BY):
        yield Finding(
            "clock_went_back", Severity.WARNING,
            f"W bazie są zapisy z przyszłości (do {warsaw(from_text(newest)):%d.%m.%Y %H:%M}): zegar cofnięto.",
            "Sprawdź datę i czas komputera.",
        )  # fmt: skip
    elif ahead is None and jump is None:
        raise NotLooked


@office_check("certyfikaty MF do szyfrowania")
def ministry_keys(at: Installation, office: Office) -> Iterator[Finding]:
    """One for tokens and one for invoices, valid now and for a while; the ministry's own on the real environments."""
    if at.asked is None or not at.asked.keys:
        raise NotLooked
    from ksef_tui.ksef.public_keys import KEY_ENCRYPTION, TOKEN_ENCRYPTION, choose, verify_chain

    for usage in (TOKEN_ENCRYPTION, KEY_ENCRYPTION):
        try:
            key = choose(at.asked.keys, usage, at.now)
            if office.environment.real:
                verify_chain(key, at.now)
        except Problem as problem:
            yield Finding(
                problem.code, Severity.ERROR, problem.message, "Sprawdź zegar; jeśli jest dobry, zgłoś to MF."
            )
            continue
        if key.valid_to - at.now < KEY_ENDS:
            yield Finding(
                "ministry_key_ends", Severity.NOTE,
                f"Certyfikat MF do szyfrowania ({usage}) kończy się {warsaw(key.valid_to):%d.%m.%Y}; MF poda nowy.",
            )  # fmt: skip


@office_check("limity KSeF")
def ksef_limits(at: Installation, office: Office) -> Iterator[Finding]:
    """Which limits are kept, and which API they are of."""
    rows = office.db.rows("SELECT context, max(read_at) AS read_at FROM rate_limit GROUP BY context")
    if not rows:
        yield Finding("limits", Severity.NOTE, "Limity KSeF: nieodczytane jeszcze, obowiązują produkcyjne.")
        return
    own_closing = office.db.value("SELECT 1 FROM rate_limit WHERE limit_group = 'onlineSessionClose' LIMIT 1")
    api = "2.8 lub nowsze" if own_closing else "do 2.7"
    newest = warsaw(from_text(max(row["read_at"] for row in rows)))
    who = count_of(len(rows), "klienta", "klientów", "klientów")
    yield Finding(
        "limits", Severity.NOTE, f"Limity KSeF odczytane dla {who}, ostatnio {newest:%d.%m.%Y %H:%M} (API {api})."
    )
    blocked = office.db.value("SELECT count(*) FROM rate_block WHERE until_epoch > ?", (at.now.timestamp(),))
    if blocked:
        yield Finding("limits_wait", Severity.NOTE, f"Wyczerpane limity, które program przeczekuje: {blocked}.")
