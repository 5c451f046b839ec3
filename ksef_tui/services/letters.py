"""Letters to a client (pisma): which rights to grant to the office, or to take back, and where to click (design §7)."""

from __future__ import annotations

import sqlite3

from ksef_tui.domain.authorizations import AuthMethod
from ksef_tui.domain.problems import Problem
from ksef_tui.domain.roles import Act, Operator, require
from ksef_tui.domain.times import warsaw
from ksef_tui.services.office import Office
from ksef_tui.store import authorizations, endings, offices

PATH = (
    "Uprawnienia → Nadaj uprawnienie → podmiotowi do wystawiania i przeglądania faktur "
    "→ z prawem do dalszego przekazywania"
)

_LETTER = """\
{day}

{office}
NIP {office_nip}

Do: {client}
NIP {nip}

Prośba o nadanie uprawnień w Krajowym Systemie e-Faktur (KSeF)

Prosimy o nadanie naszemu biuru uprawnień do obsługi faktur Państwa firmy:

  komu:         {office}, NIP {office_nip}
  uprawnienia:  wystawianie faktur
                przeglądanie faktur
  delegacja:    oba z prawem do dalszego przekazywania

Gdzie to zrobić: w aplikacji Ministerstwa Finansów (Aplikacja Podatnika KSeF),
po zalogowaniu w imieniu firmy o NIP {nip}:

  {path}

W polu na identyfikator proszę wpisać NIP {office_nip}, zaznaczyć oba uprawnienia
i przy obu prawo do dalszego przekazywania.

Logujemy się własnym certyfikatem. Nie potrzebujemy Państwa haseł, certyfikatów ani
tokenów i prosimy ich nikomu nie przekazywać. Uprawnienia można w każdej chwili odebrać
w tym samym miejscu.

{office}
"""


TAKE_BACK = "Uprawnienia → Uprawnienia do wystawiania i przeglądania faktur (podmioty) → {office}, NIP {nip} → Odbierz"

_GOODBYE = """\
{day}

{office}
NIP {office_nip}

Do: {client}
NIP {nip}

Prośba o odebranie uprawnień w Krajowym Systemie e-Faktur (KSeF)

Obsługa Państwa firmy przez nasze biuro jest zakończona. Zakończyliśmy nasze logowania
w KSeF i niczego więcej w Państwa imieniu nie wyślemy. Prosimy o odebranie naszemu biuru
uprawnień:

  komu:         {office}, NIP {office_nip}
  uprawnienia:  wystawianie faktur
                przeglądanie faktur

Gdzie to zrobić: w aplikacji Ministerstwa Finansów (Aplikacja Podatnika KSeF),
po zalogowaniu w imieniu firmy o NIP {nip}:

  {path}

Z odebraniem uprawnień biuru tracą je też jego pracownicy, którym biuro je przekazało.
{token}
Wystawione faktury i ich UPO pozostają w KSeF na koncie Państwa firmy.

{office}
"""
_TOKEN = """\

Biuro logowało się tokenem KSeF, który od Państwa dostało. Program biura go zniszczył,
prosimy go jednak też unieważnić: Tokeny → token dla biura → Unieważnij.
"""


def goodbye(office: Office, operator: Operator, client_id: int) -> str:
    """The letter at the end of a service: which rights to take back from which NIP, and where; dated today in Poland.

    Raises Problem: an unknown client, or the office itself.
    """
    require(operator, Act.AUTH_START, client_id)
    client = _client(office, client_id)
    ended, row = endings.get(office.db, client_id), authorizations.get(office.db, client_id)
    method = ended["method"] if ended is not None else row["method"]
    return _GOODBYE.format(
        day=f"{warsaw(office.clock()):%d.%m.%Y}",
        office=office.name,
        office_nip=office.nip,
        client=client["name"],
        nip=client["nip"],
        path=TAKE_BACK.format(office=office.name, nip=office.nip),
        token=_TOKEN if method == AuthMethod.TOKEN else "",
    )


def letter(office: Office, operator: Operator, client_id: int) -> str:
    """The letter that asks a client for rights, dated today in Poland; it ends with a line feed.

    When it has gone out, `authorising.requested` remembers it. Raises Problem: an unknown client, or the office
    itself, which owns its account.
    """
    require(operator, Act.AUTH_START, client_id)
    client = _client(office, client_id)
    return _LETTER.format(
        day=f"{warsaw(office.clock()):%d.%m.%Y}",
        office=office.name,
        office_nip=office.nip,
        client=client["name"],
        nip=client["nip"],
        path=PATH,
    )


def _client(office: Office, client_id: int) -> sqlite3.Row:
    client = offices.client(office.db, client_id)
    if client is None:
        raise Problem("unknown_client", "Nie ma takiego klienta.")
    if client["office"]:
        raise Problem("own_office", "To samo biuro: we własnym kontekście nie trzeba mu uprawnień od nikogo.")
    return client
