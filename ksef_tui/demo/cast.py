"""The people of the exercise: invented companies, each with the authorisation it has to show."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

OFFICE_NAME = "Biuro Rachunkowe Saldo"
DEFAULT_CLIENTS = 17  # the twelve states of an authorisation and five of their faces
_WEIGHTS = (6, 5, 7, 2, 3, 4, 5, 6, 7)


class Part(StrEnum):
    """What a client is there to show."""

    READY = "ready"  # W P D: granted with the right to pass it on
    ENDING = "ending"  # the certificate ends in twelve days
    WITHDRAWN = "withdrawn"  # granted, then taken back
    READS = "reads"  # may look, must not issue
    EXPIRED = "expired"  # the certificate has ended
    SILENT = "silent"  # KSeF did not answer
    CONNECTING = "connecting"  # KSeF takes its time to judge the login
    BLOCKED = "blocked"  # 480
    NEW = "new"  # nothing was done yet
    LETTER = "letter"  # a letter to the client went out
    TO_SIGN = "to_sign"  # at the desk: the request waits for the one signature of this visit
    LEFT = "left"  # the office serves this client no more
    PLAIN = "plain"  # W P: without the right to pass it on
    TOKEN = "token"  # a KSeF token of the client's own
    REFUSED = "refused"  # never granted anything
    WRITES = "writes"  # may issue, must not look
    SIGNED = "signed"  # the owner signed the login elsewhere
    OFFICE = "office"  # the office's own company


# Parts whose invoices go out for as long as the exercise lasts.
SENDERS = (Part.OFFICE, Part.READY, Part.ENDING, Part.PLAIN, Part.TOKEN, Part.WRITES)


@dataclass(frozen=True, slots=True)
class Member:
    """A company: `goods` names its trade in `papers.GOODS`, `series` is how it numbers its invoices."""

    nip: str
    name: str
    part: Part
    goods: str
    series: str
    street: str
    city: str


# The first twelve show every state of an authorisation.
_CAST = (
    ("Jodła Meble sp. z o.o.", Part.READY, "meble", "JM/{y}/{n}", "ul. Tartaczna 8", "05-120 Jaworzyn"),
    ("Cegielnia Dolna S.A.", Part.ENDING, "budowa", "FS-{n}", "ul. Gliniana 2", "62-010 Dolna Wieś"),
    ("Gamma Usługi s.c. B. Wrona, K. Sowa", Part.WITHDRAWN, "sprzatanie", "GA/{y}/{n}", "ul. Krótka 11", "40-200 Rudów"),
    ("Ekoplon Anna Żak", Part.READS, "rolnictwo", "{n}/EKO/{y}", "Zagaje 14", "37-500 Zagaje"),
    ("Instal-Bud Mieczysław Łoś", Part.EXPIRED, "budowa", "IB {n}/{m}/{y}", "ul. Rurowa 3", "81-340 Brzegi"),
    ("Kancelaria Sójka i Partnerzy", Part.SILENT, "prawo", "KS {n}/{y}", "ul. Sądowa 1", "31-010 Stary Gród"),
    ("Delta Transport sp. z o.o.", Part.CONNECTING, "transport", "DT/{m}/{n}", "ul. Składowa 40", "97-300 Kołowice"),
    ("Hurtownia Ćwik Jan Ćwik", Part.BLOCKED, "hurt", "H/{m}/{n}", "ul. Hurtowa 7", "20-700 Lipiny"),
    ("Gospodarstwo Wrzos", Part.NEW, "rolnictwo", "WRZ/{n}", "Wrzosy 2", "19-400 Wrzosy"),
    ("Fenix Druk sp. z o.o.", Part.LETTER, "druk", "FD/{y}/{n}", "ul. Farbiarska 5", "50-070 Nadodrze"),
    ("Piekarnia Pod Lipą s.c.", Part.TO_SIGN, "piekarnia", "PL{n}/{y}", "Rynek 9", "33-100 Lipowa Góra"),
    ("Zakład Szewski Kopytko", Part.LEFT, "rzemioslo", "ZS {n}", "ul. Szewska 4", "25-300 Kopytów"),
    ("Alfa Instal sp. z o.o.", Part.PLAIN, "budowa", "FV/{m}/{y}/{n}", "al. Pokoju 16", "41-800 Zabrzyn"),
    ("Bławat Jan Nowak", Part.TOKEN, "hurt", "{n}/{m}/{y}", "ul. Tkacka 21", "90-050 Krosnów"),
    ("Studio [/b] [red] Grafika s.c.", Part.REFUSED, "druk", "S[{n}]/{y}", "ul. Kreślarska 6", "60-600 Wilda Mała"),
    ("Pracownia Ceramiki Glinka", Part.WRITES, "rzemioslo", "CER/{y}/{n}", "ul. Garncarska 3", "59-700 Boleń"),
    ("Apteka Macierzanka M. Zioło", Part.SIGNED, "hurt", "AM/{n}/{y}", "ul. Zielna 2", "34-400 Halny Targ"),
)  # fmt: skip

_TREES = ("Brzoza", "Wiąz", "Modrzew", "Kalina", "Leszczyna", "Olcha", "Jarzębina", "Świerk", "Grab", "Żywotnik")
_TRADES = (
    ("Serwis", "sprzatanie"),
    ("Budownictwo", "budowa"),
    ("Hurt", "hurt"),
    ("Logistyka", "transport"),
    ("Poligrafia", "druk"),
    ("Wnętrza", "meble"),
)
_FORMS = ("sp. z o.o.", "s.c.", "S.A.", "sp.k.", "sp.j.")

_BUYERS = (
    "Hurtownia Leśna sp. z o.o.", "Sklepy Kłos S.A.", "Drogeria Rumianek s.c.", "Meble Dąbrowa sp. z o.o.",
    "Zajazd Pod Dębem", "Urząd Gminy Zielonka Mała", "Spółdzielnia Mieszkaniowa Jutrzenka", "Apteka Szałwia",
    "Warsztat u Zenka", "Przedszkole Biedronka", "Delikatesy Smakosz sp.j.", "Hotel Nad Stawem", "Tartak Wióry",
    "Kwiaciarnia Mimoza", "Auto-Części Tłok", "Księgarnia Literka", "Restauracja Złoty Karp", "Fabryka Okien Framuga S.A.",
    "Firma Budowlana Kielnia", "Gabinet Weterynaryjny Azorek", "Piekarnia Rogal", "Szkoła Językowa Lingua Mała",
    "Biuro Podróży Wędrowiec", "Pralnia Bąbel", "Siłownia Sztanga sp. z o.o.",
)  # fmt: skip


def nip(number: int) -> str:
    """The n-th invented NIP, with a right check digit."""
    base = 521_400_000 + number * 613
    while True:
        check = sum(w * int(d) for w, d in zip(_WEIGHTS, str(base), strict=True)) % 11
        if check < 10:
            return f"{base}{check}"
        base += 1


def office() -> Member:
    """The office itself, which is a client too."""
    return Member(
        nip(0), OFFICE_NAME, Part.OFFICE, "ksiegowosc", "BR/{y}/{n}", "ul. Rachmistrza 12", "00-950 Warszawice"
    )


def cast(count: int) -> list[Member]:
    """The first `count` clients. Who comes after the named ones is ready to send, without the right to pass it on."""
    members = [Member(nip(n), *row) for n, row in enumerate(_CAST[:count], 1)]
    for n in range(len(members) + 1, count + 1):
        tree, (trade, goods) = _TREES[n % len(_TREES)], _TRADES[n % len(_TRADES)]
        name = f"{tree} {trade} {n} {_FORMS[n % len(_FORMS)]}"
        members.append(
            Member(
                nip(n), name, Part.PLAIN, goods, f"{tree[:2].upper()}{n}/{{n}}/{{y}}", "ul. Polna 1", "00-001 Sosnów"
            )
        )
    return members


def buyers(rng: random.Random) -> Iterator[tuple[str, str]]:
    """NIPs and names of buyers, without end."""
    while True:
        number = rng.randrange(len(_BUYERS))
        yield nip(5000 + number), _BUYERS[number]
