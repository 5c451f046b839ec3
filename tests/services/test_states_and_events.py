"""The table of authorisation: each state meets each event, against KSeF over HTTP, with the words that the accountant
sees (design §5, §7). How the states come about and what the events are is in `support.situations`.

A cell says what the client's authorisation is afterwards – its state, the words of its badge, the sentence of its pane –
or the code of the refusal; after a refusal all is as it was.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.companies import new_nip
from support.houses import Client, House
from support.ministry import Ministry, Process
from support.situations import EVENTS, STATES, Desk

from ksef_tui.domain.authorizations import AuthState
from ksef_tui.domain.problems import Problem
from ksef_tui.domain.times import from_text, warsaw
from ksef_tui.services import client_views, clients

NAME = "Jodła Próbna"

# The sentences by a name; in braces what changes: the day, the office's NIP, until when.
SENTENCES = {
    "may issue": "Biuro może wystawiać faktury w imieniu klienta Jodła Próbna",
    "nothing granted": "Jodła Próbna: brak uprawnień w KSeF dla NIP {office} (wystawianie i przeglądanie faktur).",
    "only reading granted": "Jodła Próbna: klient nie nadał dla NIP {office} uprawnienia: wystawianie faktur.",
    "only reading left": "Jodła Próbna: klient odebrał uprawnienie: wystawianie faktur (dla NIP {office}).",
    "no access yet": "Biuro nie ma dostępu do KSeF tego klienta.",
    "letter sent": "Pismo do klienta wysłano {today}: czekamy, aż nada uprawnienia.",
    "connecting": "Łączenie z KSeF…",
    "to sign": "Do podpisu do {until}: Podpis Zaufany, podpis albo pieczęć kwalifikowana.",
    "too late to sign": "Żądanie straciło ważność: na podpis jest 10 minut.",
    "ends": "Certyfikat działa do {until}; potem faktury staną.",
    "over": "Ważność skończyła się {until}: faktury tego klienta stoją.",
    "wrong token": (
        "Token KSeF jest nieprawidłowy, nieaktywny albo z innej firmy. (Nieprawidłowy token) Podaj właściwy token."
    ),
    "revoked token": (
        "Token KSeF jest nieprawidłowy, nieaktywny albo z innej firmy. (Token unieważniony) Podaj właściwy token."
    ),
    "bad certificate": (
        "KSeF nie uznaje certyfikatu (nieważny, odwołany, zawieszony albo spoza listy). (Błąd weryfikacji łańcucha "
        "certyfikatów) Jeśli certyfikat dziś działał, spróbuj później; jeśli nie – potrzebny jest nowy."
    ),
    "silent": "KSeF nie odpowiada. KSeF ma awarię (HTTP 503) – nie wiadomo, czy polecenie zostało wykonane.",
    "blocked": (
        "Ministerstwo Finansów zablokowało dostęp (podejrzenie incydentu bezpieczeństwa). Skontaktuj się z MF; sprawdź "
        "ponownie dopiero wtedy, gdy odblokuje."
    ),
    "ended": "Obsługa zakończona {today}. Klient ma teraz odebrać biuru uprawnienia.",
    "ended, granted": "Obsługa zakończona {today}. Klient jeszcze nie odebrał biuru uprawnień, sprawdzono {today}.",
    "ended, gone": "Obsługa zakończona {today}. Uprawnienia odebrane, sprawdzono {today}.",
    "ended, not checked": "Obsługa zakończona {today}. Nie sprawdzono:",
    "the old one works": "Nowa autoryzacja nieudana, działa poprzednia.",
    "not checked now": "Teraz nie sprawdzono: KSeF nie odpowiada.",
}

# What each state looks like when nothing else is to be said: the badge.
ACTIVE, OWNER, ENDS = "active: gotowy W P", "active: gotowy W P D", "expiring: cert. do {day}"
READS, OVER = "read_only: tylko przeglądanie", "expired: cert. wygasł"
NEVER, TAKEN_BACK = "no_permission: klient nie nadał", "no_permission: klient odebrał {now}"
MISSING, LETTER = "missing: niepodłączony", "requested: czeka na klienta (pismo {now})"
RUNNING, SIGN, TOO_LATE = "running: łączenie", "to_sign: do podpisu {left}", "to_sign: do podpisu – nowe żądanie"
FAILED, SILENT = "failed: nieudana, ponów", "failed: KSeF nie odpowiada"
BLOCKED, ENDED = "blocked: blokada MF", "ended: obsługa zakończona"
STILL_GRANTED, GONE = "ended: klient nie odebrał", "ended: uprawnienia odebrane"

EVERY = " ".join(STATES)
NEW = "missing requested running to_sign no_permission blocked failed"  # nothing works, nothing worked for long
WORKS = ("active", "read_only", "expiring")
BADGES = {"active": ACTIVE, "read_only": READS, "expiring": ENDS}


def _the_old_one_works(*why: str) -> dict[str, tuple[str, ...]]:
    return {state: (BADGES[state], "the old one works", *why) for state in WORKS}


def _no(code: str) -> tuple[str]:
    return (code,)


NOT_TO_BE_CHECKED = {"missing": _no("not_authorised"), "running": _no("runs_already"), "to_sign": _no("to_sign")}

# Event → states → (badge, sentence …), or (code of the refusal,).
TABLE: dict[str, dict[str, tuple[str, ...]]] = {
    "certificate, granted": {
        f"{NEW} active read_only expiring expired": (ACTIVE, "may issue"),
        "ended": _no("ended"),
    },
    "certificate, not granted": {
        NEW: (NEVER, "nothing granted"),
        "active read_only expiring expired": (TAKEN_BACK, "nothing granted"),
        "ended": _no("ended"),
    },
    "certificate, only reading granted": {
        f"{NEW} read_only": (READS, "only reading granted"),
        "active expiring expired": (READS, "only reading left"),
        "ended": _no("ended"),
    },
    "token, good": {
        f"{NEW} active read_only expiring expired": (ACTIVE, "may issue"),
        "ended": _no("ended"),
    },
    "token, wrong": {
        f"{NEW} expired": (FAILED, "wrong token"),
        **_the_old_one_works("wrong token"),
        "ended": _no("ended"),
    },
    "token, revoked": {
        f"{NEW} expired": (FAILED, "revoked token"),
        **_the_old_one_works("revoked token"),
        "ended": _no("ended"),
    },
    "request to sign": {
        f"{NEW} active read_only expiring expired": (SIGN, "to sign"),
        "ended": _no("ended"),
    },
    "signed request": {
        "to_sign": (OWNER, "may issue"),
        EVERY.replace("to_sign ", ""): _no("nothing_to_sign"),
    },
    "signed too late": {
        "to_sign": _no("challenge_expired"),
        EVERY.replace("to_sign ", ""): _no("nothing_to_sign"),
    },
    "check, granted": {
        **NOT_TO_BE_CHECKED,
        "requested active read_only no_permission blocked failed": (ACTIVE, "may issue"),
        "expiring": (ENDS, "ends"),
        "expired": (OVER, "over"),
        "ended": (STILL_GRANTED, "ended, granted"),
    },
    "check, withdrawn": {
        **NOT_TO_BE_CHECKED,
        "requested": (LETTER, "letter sent"),
        "active read_only expiring": (TAKEN_BACK, "nothing granted"),
        "no_permission blocked failed": (NEVER, "nothing granted"),
        "expired": (OVER, "over"),
        "ended": (GONE, "ended, gone"),
    },
    "check, only reading": {
        **NOT_TO_BE_CHECKED,
        "requested read_only no_permission blocked failed": (READS, "only reading granted"),
        "active expiring": (READS, "only reading left"),
        "expired": (OVER, "over"),
        "ended": (STILL_GRANTED, "ended, granted"),
    },
    "weather at a start": {
        f"{NEW} expired": (SILENT, "silent"),
        **_the_old_one_works("silent"),
        "ended": _no("ended"),
    },
    "weather at a check": {
        **NOT_TO_BE_CHECKED,
        "requested": (LETTER, "letter sent", "silent"),
        "active": (ACTIVE, "silent"),
        "expiring": (ENDS, "silent"),
        "expired": (OVER, "over"),
        "read_only": (READS, "only reading granted", "not checked now"),
        "no_permission": (NEVER, "nothing granted", "not checked now"),
        "blocked": (BLOCKED, "blocked", "not checked now"),
        "failed": (SILENT, "silent"),
        "ended": (ENDED, "ended, not checked", "silent"),
    },
    "480 at a start": {
        f"{NEW} active read_only expiring expired": (BLOCKED, "blocked"),
        "ended": _no("ended"),
    },
    "480 at a check": {
        **NOT_TO_BE_CHECKED,
        "requested active read_only expiring no_permission blocked failed": (BLOCKED, "blocked"),
        "expired": (OVER, "over"),
        "ended": (ENDED, "ended, not checked", "blocked"),
    },
    "460": {
        f"{NEW} expired": (FAILED, "bad certificate"),
        **_the_old_one_works("bad certificate"),
        "ended": _no("ended"),
    },
    "400 days pass": {
        "missing": (MISSING, "no access yet"),
        "requested": ("requested: czeka na klienta (pismo {then})", "letter sent"),
        "running": (RUNNING, "connecting"),
        "to_sign": (TOO_LATE, "too late to sign"),
        "active read_only expiring expired": (OVER, "over"),
        "no_permission": (NEVER, "nothing granted"),
        "blocked": (BLOCKED, "blocked"),
        "failed": (SILENT, "silent"),
        "ended": (ENDED, "ended"),
    },
    "cancelled": {
        "running to_sign": (MISSING, "no access yet"),
        "missing requested active read_only expiring expired no_permission blocked failed ended": _no("nothing_runs"),
    },
    "revoked": {
        "missing": _no("not_authorised"),
        "running": _no("runs_already"),
        "requested to_sign active read_only expiring expired no_permission blocked failed": (MISSING, "no access yet"),
        "ended": _no("ended"),
    },
    "letter sent": {
        "missing requested read_only no_permission failed": (LETTER, "letter sent"),
        "running to_sign active expiring expired blocked ended": _no("nothing_to_ask"),
    },
    "end of service": {
        "missing requested to_sign active read_only expiring expired no_permission blocked failed": (ENDED, "ended"),
        "running": _no("runs_already"),
        "ended": _no("ended"),
    },
}

CELLS = [
    (event, state, expected)
    for event, row in TABLE.items()
    for states, expected in row.items()
    for state in states.split()
]


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    """One office and a KSeF that judges at once."""
    folder: Path = tmp_path_factory.mktemp("table")
    process = Process(folder / "ministry", delay=0)
    ministry = Ministry(process.url)
    house = House(folder / "biuro", ministry)
    yield Desk(house)
    house.close()
    ministry.close()
    process.stop()


@pytest.fixture
def client(desk: Desk) -> Iterator[Client]:
    """A client of this cell's own; its troubles and its time end with it."""
    nip = new_nip()
    yield Client(clients.add(desk.house.office, desk.house.admin, nip, NAME), nip)
    desk.house.ministry.calm()
    desk.house.now_again()


def seen(desk: Desk, client: Client) -> tuple[str, str]:
    """The badge with its state, and the sentence."""
    view = client_views.authorization(desk.house.office, desk.house.admin, client.id)
    return f"{view.status}: {view.word}", view.sentence


def test_the_table_has_every_cell_once() -> None:
    assert set(STATES) == {state.value for state in AuthState}
    assert set(TABLE) == set(EVENTS)
    assert sorted((event, state) for event, state, _ in CELLS) == sorted((e, s) for e in EVENTS for s in STATES)


@pytest.mark.parametrize(("event", "state", "expected"), CELLS, ids=[f"{s}-{e}" for e, s, _ in CELLS])
async def test_what_becomes_of_a_client(
    desk: Desk, client: Client, event: str, state: str, expected: tuple[str, ...]
) -> None:
    await STATES[state](desk, client)
    assert seen(desk, client)[0].startswith(f"{state}:")
    before, then = dict(desk.house.auth(client)), desk.house.office.clock()
    if len(expected) == 1:
        with pytest.raises(Problem) as caught:
            await EVENTS[event](desk, client)
        assert caught.value.code == expected[0]
        assert dict(desk.house.auth(client)) == before
        return
    await EVENTS[event](desk, client)
    badge, sentence = seen(desk, client)
    row, now = desk.house.auth(client), desk.house.office.clock()
    asked = desk.house.db.value("SELECT valid_until FROM signature_request WHERE client_id = ?", (client.id,))
    until = warsaw(from_text(asked or row["valid_until"])) if asked or row["valid_until"] else None
    words = {
        "office": desk.house.nip,
        "today": f"{warsaw(then):%d.%m.%Y}",
        "then": f"{warsaw(then):%d.%m}",
        "now": f"{warsaw(now):%d.%m}",
        "day": f"{until:%d.%m}" if until else "",
        "until": "" if until is None else f"{until:%H:%M:%S}" if asked else f"{until:%d.%m.%Y}",
    }
    badge = re.sub(r" [0-9]:[0-9]{2}$", " {left}", badge)
    wanted = expected[0].replace("{left}", "{{left}}").format(**words)
    assert (badge, sentence) == (wanted, " ".join(SENTENCES[name] for name in expected[1:]).format(**words))
