"""Invoices of the exercise: what such companies sell, to whom and for how much. The same seed makes the same papers."""

from __future__ import annotations

import random
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from decimal import Decimal

from ksef_tui.demo.cast import Member, buyers
from ksef_tui.fa3.build import Corrected, Item, Party, Sale, build, totals

_GROSZ = Decimal("0.01")
_EURO = Decimal("4.2517")  # an invented rate

# trade → goods: name, unit, lowest and highest net price, rate of VAT
GOODS: dict[str, tuple[tuple[str, str, int, int, str], ...]] = {
    "meble": (
        ("Stół dębowy 160×90", "szt.", 1400, 3200, "23"),
        ("Krzesło tapicerowane", "szt.", 240, 560, "23"),
        ("Szafa trzydrzwiowa", "szt.", 1900, 4400, "23"),
        ("Montaż mebli u klienta", "usł.", 200, 900, "8"),
    ),
    "budowa": (
        ("Cegła pełna kl. 25", "tys. szt.", 1900, 2600, "23"),
        ("Roboty murarskie, etap", "usł.", 4000, 38000, "8"),
        ("Zaprawa M10, worek 25 kg", "szt.", 14, 22, "23"),
        ("Montaż instalacji c.o.", "usł.", 2500, 12000, "8"),
    ),
    "sprzatanie": (
        ("Sprzątanie biur, miesiąc", "usł.", 800, 3600, "23"),
        ("Mycie okien", "m2", 6, 12, "23"),
        ("Pranie wykładzin", "m2", 9, 19, "23"),
    ),
    "rolnictwo": (
        ("Ziemniaki jadalne", "kg", 1, 3, "5"),
        ("Miód gryczany 0,9 l", "szt.", 34, 52, "5"),
        ("Jaja z wolnego wybiegu", "szt.", 1, 2, "5"),
    ),
    "prawo": (
        ("Obsługa prawna, miesiąc", "usł.", 1500, 9000, "23"),
        ("Sporządzenie umowy", "usł.", 400, 2500, "23"),
    ),
    "transport": (
        ("Transport krajowy", "km", 4, 7, "23"),
        ("Przeładunek palet", "szt.", 12, 28, "23"),
    ),
    "hurt": (
        ("Herbata czarna 100 g, karton", "szt.", 90, 160, "23"),
        ("Makaron świderki, karton", "szt.", 42, 78, "5"),
        ("Woda mineralna 1,5 l, zgrzewka", "szt.", 8, 14, "23"),
        ("Kasza gryczana 1 kg, karton", "szt.", 60, 95, "5"),
    ),
    "druk": (
        ("Druk ulotek A5, 1000 szt.", "szt.", 140, 420, "23"),
        ("Katalog 48 stron", "szt.", 9, 21, "5"),
        ("Projekt graficzny", "godz.", 90, 180, "23"),
    ),
    "piekarnia": (
        ("Chleb żytni 0,7 kg", "szt.", 5, 9, "5"),
        ("Bułka kajzerka", "szt.", 1, 2, "5"),
        ("Tort na zamówienie", "szt.", 120, 360, "8"),
    ),
    "rzemioslo": (
        ("Naprawa obuwia", "usł.", 40, 160, "8"),
        ("Misa gliniana szkliwiona", "szt.", 60, 240, "23"),
        ("Warsztaty garncarskie", "usł.", 90, 300, "zw"),
    ),
    "ksiegowosc": (
        ("Prowadzenie ksiąg, miesiąc", "usł.", 400, 2400, "23"),
        ("Rozliczenie płac", "os.", 35, 60, "23"),
    ),
}  # fmt: skip
_COUNTED = ("usł.", "tys. szt.", "godz.", "os.")


@dataclass(frozen=True, slots=True)
class Paper:
    """A document as a client's program would have written it: file name and bytes."""

    name: str
    data: bytes


class Desk:
    """Writes papers. Numbers of each client go up from `first`; amounts, goods and buyers come from the seed."""

    def __init__(self, seed: int, first: int = 1) -> None:
        self._rng = random.Random(seed)  # noqa: S311 nothing secret
        self._buyers = buyers(self._rng)
        self._first = first
        self._numbers: dict[str, int] = {}

    def sale(self, seller: Member, day: date, now: datetime, *, number: str = "") -> Sale:
        """An ordinary sale of one to four rows."""
        nip, name = next(self._buyers)
        return Sale(
            seller=Party(seller.nip, seller.name, seller.street, seller.city),
            buyer=Party(
                nip, name, f"ul. {self._rng.choice(('Polna', 'Leśna', 'Ogrodowa', 'Długa'))} 7", "00-002 Olszyna"
            ),
            number=number or self._number(seller, day),
            issue_date=day,
            created_at=now,
            items=tuple(self._item(seller) for _ in range(self._rng.choice((1, 1, 1, 2, 2, 3, 4)))),
            due=day + timedelta(days=14),
        )

    def ordinary(self, seller: Member, day: date, now: datetime, *, number: str = "") -> Paper:
        """Mostly an invoice, at times a correction, at times in euro."""
        sale, chance = self.sale(seller, day, now, number=number), self._rng.random()
        if chance < 0.08:
            return self._correction(sale)
        if chance < 0.16 and all(item.rate == "23" for item in sale.items):
            return _in_euro(sale)
        return paper(sale)

    def _correction(self, sale: Sale) -> Paper:
        """Less than was invoiced: a part came back."""
        item = sale.items[0]
        back = replace(item, quantity=-max(Decimal(1), (item.quantity / 4).quantize(Decimal(1))))
        before = Corrected(
            f"{sale.number}/P", sale.issue_date - timedelta(days=self._rng.randint(5, 25)), reason="zwrot towaru"
        )
        return paper(replace(sale, number=f"KOR {sale.number}", items=(back,), corrected=before))

    def _item(self, seller: Member) -> Item:
        name, unit, low, high, rate = self._rng.choice(GOODS[seller.goods])
        price = Decimal(self._rng.randint(low * 100, high * 100)) / 100
        most = 3 if unit in _COUNTED or low > 400 else 60
        return Item(name, Decimal(self._rng.randint(1, most)), price, rate, unit)

    def _number(self, seller: Member, day: date) -> str:
        n = self._numbers.get(seller.nip, self._first + self._rng.randint(0, 90))
        self._numbers[seller.nip] = n + 1
        return seller.series.format(n=n, y=day.year, m=f"{day.month:02d}")


def paper(sale: Sale) -> Paper:
    """The document of a sale."""
    stem = "".join(c if c.isalnum() else "-" for c in sale.number).strip("-")
    return Paper(f"{stem}.xml", build(sale))


def _in_euro(sale: Sale) -> Paper:
    """The same in euro: the VAT is told in zlotys too (art. 106e ust. 11 of the VAT Act)."""
    made = paper(sale)
    vat = (totals(sale.items)["P_14_1"] * _EURO).quantize(_GROSZ)
    data = made.data.replace(b"<KodWaluty>PLN<", b"<KodWaluty>EUR<")
    data = data.replace(b"</P_14_1>", f"</P_14_1><P_14_1W>{vat}</P_14_1W>".encode())
    return Paper(made.name, data)


def with_attachment(made: Paper) -> Paper:
    """With an attachment, which KSeF takes in batches only."""
    block = (
        "<Zalacznik><BlokDanych><ZNaglowek>Karta pracy</ZNaglowek><MetaDane><ZKlucz>miesiąc</ZKlucz>"
        "<ZWartosc>listopad</ZWartosc></MetaDane><Tekst><Akapit>Godziny pracy sprzętu w załączeniu.</Akapit></Tekst>"
        "</BlokDanych></Zalacznik></Faktura>"
    )
    return Paper(made.name, made.data.replace(b"</Faktura>", block.encode()))


def with_wrong_nip(sale: Sale) -> Paper:
    """The buyer's NIP has a wrong check digit: a slip of the finger."""
    nip = sale.buyer.nip
    wrong = f"{nip[:9]}{(int(nip[9]) + 1) % 10}"
    return paper(replace(sale, buyer=replace(sale.buyer, nip=wrong)))


def without_number(made: Paper) -> Paper:
    """The field P_2 is missing, so the document does not fit the schema."""
    start, end = made.data.index(b"<P_2>"), made.data.index(b"</P_2>") + len(b"</P_2>")
    return Paper(f"bez-numeru-{made.name}", made.data[:start] + made.data[end:])
