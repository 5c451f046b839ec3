"""The letter to a client (pismo): which rights to grant to the office, and where to click (design §7)."""

from __future__ import annotations

from ksef_tui.domain.problems import Problem
from ksef_tui.domain.roles import Act, Operator, require
from ksef_tui.domain.times import warsaw
from ksef_tui.services.office import Office
from ksef_tui.store import offices

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


def letter(office: Office, operator: Operator, client_id: int) -> str:
    """The letter that asks a client for rights, dated today in Poland; it ends with a line feed.

    When it has gone out, `authorising.requested` remembers it. Raises Problem: an unknown client, or the office
    itself, which owns its account.
    """
    require(operator, Act.AUTH_START, client_id)
    client = offices.client(office.db, client_id)
    if client is None:
        raise Problem("unknown_client", "Nie ma takiego klienta.")
    if client["office"]:
        raise Problem("own_office", "To samo biuro: we własnym kontekście nie trzeba mu uprawnień od nikogo.")
    return _LETTER.format(
        day=f"{warsaw(office.clock()):%d.%m.%Y}",
        office=office.name,
        office_nip=office.nip,
        client=client["name"],
        nip=client["nip"],
        path=PATH,
    )
