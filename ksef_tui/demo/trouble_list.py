"""What goes wrong with KSeF in practice, in the words of an accountant: the lines of the menu (F9)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ksef_tui.demo.queue import SENDING_PATH


@dataclass(frozen=True, slots=True)
class MenuLine:
    """A line of the menu. `help` is what happens, `seen` what the accountant will see. `fault` and `more` are what the
    sandbox is told, `also` a second fault that the first one needs; `once`: it happens at once and is over."""

    id: str
    label: str
    help: str
    seen: str
    fault: str
    more: Mapping[str, Any] = field(default_factory=dict)
    also: str = ""
    once: bool = False
    on: bool = False


_SENDS = {"match": {"method": "POST", "path": SENDING_PATH}}
_SESSIONS = {"match": {"path": r"^/v2/sessions"}}
_CLOSES = {"match": {"method": "POST", "path": r"^/v2/sessions/.+/close$"}}
_LOGINS = {"match": {"path": r"^/v2/auth/"}}
_LISTS = {"match": {"method": "GET", "path": r"^/v2/sessions/[^/]+/invoices$"}}


def _limited(where: Mapping[str, Any]) -> dict[str, Any]:
    return {**where, "params": {"retry_after": 15}}


def _code(code: int) -> dict[str, Any]:
    return {"params": {"code": code}}


TROUBLES = (
    # no connection, no answer
    MenuLine(
        "outage", "awaria KSeF", "na wszystko odpowiada 503",
        "U góry „KSeF z kłopotami”; nic nie ginie, po awarii wszystko idzie dalej samo.", "outage",
    ),
    MenuLine(
        "lost_answer", "zgubiona odpowiedź", "co druga wysyłka bez odpowiedzi",
        "„? sprawdzana”, po chwili „ma nr KSeF” – faktura nie idzie drugi raz.", "lost_answer", {"probability": 0.5, **_SENDS},
    ),
    MenuLine(
        "lost_request", "zgubiona wysyłka", "faktura nie dociera do KSeF",
        "„? sprawdzana”, potem znów „do wysłania”: dopiero gdy wiadomo, że KSeF jej nie ma.", "lost_request", _SENDS,
    ),
    MenuLine(
        "close_fails", "sesja się nie zamyka", "zamknięcie kończy się błędem 502",
        "Faktury mają numery; program zamyka sesję do skutku.", "html_5xx", _CLOSES,
    ),
    MenuLine(
        "html_5xx", "strona zamiast odpowiedzi", "sesje: strona HTML z błędem 502",
        "„? sprawdzana” zamiast „odrzucona”; po chwili wszystko idzie dalej.", "html_5xx", _SESSIONS,
    ),
    MenuLine(
        "waf_403", "zapora 403", "zapora odrzuca zapytania o sesje",
        "To nie brak uprawnień: klient zostaje „gotowy”, a faktury czekają.", "waf_403", _SESSIONS,
    ),
    MenuLine(
        "redirect_loop", "zapora kręci w kółko", "przekierowanie na ten sam adres",
        "„KSeF z kłopotami”; program nie krąży, tylko próbuje później.", "redirect_loop", _SESSIONS,
    ),
    MenuLine(
        "moved", "KSeF zmienił adres", "pod starym adresem obca strona",
        "„KSeF z kłopotami”, faktury czekają; doctor podpowie adres.", "moved",
    ),
    MenuLine(
        "lighthouse", "Latarnia nie działa", "serwis o awariach MF nie odpowiada",
        "Nic: program pyta sam KSeF, więc faktury idą jak zawsze.", "lighthouse_down",
    ),
    # slow
    MenuLine(
        "slow", "wolne przetwarzanie", "każda faktura trwa 20 s dłużej",
        "„… przetwarzana” i od kiedy; nie da się wysłać jej drugi raz.", "slow", {**_SENDS, "params": {"ms": 20_000}},
    ),
    MenuLine(
        "stuck", "KSeF stanął", "przyjmuje, ale nie nadaje numerów",
        "„… przetwarzana od …”; program czeka bez końca i pyta coraz rzadziej.", "stuck",
    ),
    # limits
    MenuLine(
        "rate_limited", "limit zapytań (429)", "KSeF każe czekać 15 s",
        "„KSeF prosi o przerwę” i godzina, od której faktury pójdą.", "rate_limited", _limited(_SESSIONS),
    ),
    MenuLine(
        "limited_close", "limit przy zamykaniu", "zamknięcie sesji: czekaj 15 s",
        "Faktury mają numery; sesja zamknie się po przerwie.", "rate_limited", _limited(_CLOSES),
    ),
    MenuLine(
        "limited_login", "limit logowań", "logowanie: czekaj 15 s",
        "Autoryzacja czeka na swoją kolej i kończy się sama.", "rate_limited", _limited(_LOGINS),
    ),
    # sessions and keys
    MenuLine(
        "key_rotation", "nowy klucz MF", "stary przestaje działać",
        "Nic: program pobiera nowy klucz i otwiera drugą sesję.", "key_rotation", once=True,
    ),
    MenuLine(
        "key_unreadable", "KSeF nie czyta klucza", "otwarta sesja kończy się kodem 415",
        "Faktury zostają „do wysłania”, aż KSeF odczyta klucz.", "key_unreadable",
    ),
    MenuLine(
        "session_unavailable", "sesja niedostępna", "21184: trzeba otworzyć nową",
        "Faktury zostają „do wysłania” i idą w nowej sesji.", "session_unavailable", _SENDS,
    ),
    MenuLine(
        "session_unknown", "KSeF nie zna sesji", "21173 zaraz po otwarciu",
        "„… przetwarzana”: program pyta dalej i nie wysyła ponownie.", "not_found_after_open", {"match": {"method": "GET"}},
    ),
    MenuLine(
        "session_fails", "odrzucona paczka", "cała paczka z kodem 405",
        "Faktury wracają do wysłania i idą pojedynczo.", "session_fails", _code(405),
    ),
    MenuLine(
        "upload_html", "zapora na paczkach", "zamiast magazynu odpowiada strona",
        "„▸ wysyłanie”, aż część paczki naprawdę dotrze.", "upload_html",
    ),
    MenuLine(
        "part_lost", "zgubiona część paczki", "magazyn przyjął, a części nie ma",
        "„▸ wysyłanie”: program przesyła część jeszcze raz.", "part_lost",
    ),
    MenuLine(
        "list_empty", "pusta lista faktur", "sesja nie pokazuje swoich faktur",
        "Pusta lista nic nie znaczy: faktury czekają na wynik sesji.", "list_empty", _LISTS,
    ),
    MenuLine(
        "list_scrambled", "pomieszana lista", "inna kolejność, bez numerów",
        "Nic: faktury poznaje się po skrócie, nie po numerze.", "list_scrambled", _LISTS,
    ),
    MenuLine(
        "number_respelled", "inne spacje w numerze", "KSeF oddaje numer inaczej zapisany",
        "Nic: faktury poznaje się po skrócie, nie po numerze.", "number_respelled",
    ),
    MenuLine(
        "new_fields", "nowa wersja KSeF", "odpowiedzi mają nieznane pola",
        "Nic: nieznane pola są pomijane.", "new_fields",
    ),
    # invoices
    MenuLine(
        "invoice_450", "błąd w fakturze (450)", "KSeF przyjmuje, potem odrzuca",
        "„✘ odrzucona”, powód i co zrobić; F4 naprawia.", "invoice_fails", _code(450),
    ),
    MenuLine(
        "invoice_430", "zły plik (430)", "kodowanie, BOM albo skrót pliku",
        "„✘ odrzucona: plik jest nieprawidłowy”; zastąp plikiem poprawionym.", "invoice_fails", _code(430),
    ),
    MenuLine(
        "invoice_435", "nie do odszyfrowania (435)", "KSeF nie odszyfrował pliku",
        "„✘ odrzucona”; y wysyła ją ponownie w nowej sesji.", "invoice_fails", _code(435),
    ),
    MenuLine(
        "sent_before", "faktura już jest w KSeF", "wysłał ją program klienta",
        "„✔ ma nr KSeF” oryginału, UPO niedostępne: ma je ten, kto wysłał.", "sent_before",
    ),
    MenuLine(
        "number_taken", "numer zajęty", "inna faktura ma już ten numer",
        "„✘ odrzucona”: numer ma w KSeF inna faktura; popraw numer.", "number_taken",
    ),
    MenuLine(
        "other_kind", "ten sam numer, inny rodzaj", "zaliczkowa o tym numerze już jest",
        "KSeF przyjmie obie; przed własną pomyłką chroni tylko program.", "number_taken", {"params": {"kind": "ROZ"}},
    ),
    MenuLine(
        "no_original", "duplikat bez oryginału", "KSeF nie mówi, który to oryginał",
        "„? sprawdzana”, potem „ma nr KSeF”: oryginał znaleziony po skrócie.", "duplicate_without_original", also="sent_before",
    ),
    MenuLine(
        "wrong_original", "duplikat ze złą sesją", "KSeF wskazuje sesję kopii",
        "„✔ ma nr KSeF”; wskazanej sesji program nie wierzy.", "duplicate_wrong_session", also="sent_before",
    ),
    MenuLine(
        "after_midnight", "po północy", "KSeF uznaje fakturę za offline",
        "„✔ ma nr KSeF” z dopiskiem offline.", "after_midnight",
    ),
    # receipts, certificates
    MenuLine(
        "storage_late", "faktura niewidoczna", "ma numer, ale nikt jej nie widzi",
        "Po 10 minutach „niewidoczna!”: KSeF nie udostępnia jeszcze tej faktury.", "storage_late",
    ),
    MenuLine(
        "upo_html", "brak UPO (strona HTML)", "zamiast UPO przychodzi strona",
        "Strona nie jest UPO: program jej nie zapisuje i pyta dalej.", "upo_html",
    ),
    MenuLine(
        "certificate_check", "KSeF nie sprawdza certyfikatów", "dobry certyfikat uznaje za zły",
        "Klient zostaje „gotowy”: certyfikat działał dziś, program spróbuje później.", "certificate_check_down",
    ),
)  # fmt: skip
