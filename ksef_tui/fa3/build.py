"""A valid FA(3) invoice from a small description: for the demo, and for tests that need many of them.

Amounts are exact to the grosz: the net value of a row is rounded half up, VAT is counted once for each rate from the
sum of its rows (art. 106e ust. 1 pkt 14 of the VAT Act), and a correction states differences (facts §19.3).
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Decimal
from typing import TYPE_CHECKING
from xml.sax.saxutils import escape

from ksef_tui.domain.problems import Problem
from ksef_tui.fa3.schema import NAMESPACE

if TYPE_CHECKING:
    from datetime import date, datetime

_GROSZ = Decimal("0.01")

# P_12 as written in a row → the field of its net total, of its VAT total (None: no VAT), the rate.
RATES: dict[str, tuple[str, str | None, Decimal]] = {
    "23": ("P_13_1", "P_14_1", Decimal("0.23")),
    "22": ("P_13_1", "P_14_1", Decimal("0.22")),
    "8": ("P_13_2", "P_14_2", Decimal("0.08")),
    "7": ("P_13_2", "P_14_2", Decimal("0.07")),
    "5": ("P_13_3", "P_14_3", Decimal("0.05")),
    "0 KR": ("P_13_6_1", None, Decimal(0)),
    "0 WDT": ("P_13_6_2", None, Decimal(0)),
    "0 EX": ("P_13_6_3", None, Decimal(0)),
    "zw": ("P_13_7", None, Decimal(0)),
}
_TOTALS_IN_ORDER = (
    *("P_13_1", "P_14_1", "P_13_2", "P_14_2", "P_13_3", "P_14_3"),
    *("P_13_6_1", "P_13_6_2", "P_13_6_3", "P_13_7"),
)
_EXEMPTION = "art. 43 ust. 1 ustawy o VAT"


@dataclass(frozen=True, slots=True)
class Party:
    """A seller or a buyer with a Polish NIP and address."""

    nip: str
    name: str
    street: str
    city: str = ""


@dataclass(frozen=True, slots=True)
class Item:
    """A row: `price` is net for one unit (at most 8 decimals), `quantity` has at most 6; negative in a correction."""

    name: str
    quantity: Decimal
    price: Decimal
    rate: str = "23"
    unit: str = "szt."

    @property
    def net(self) -> Decimal:
        """The net value of the row, in grosze exactly."""
        return (self.quantity * self.price).quantize(_GROSZ, ROUND_HALF_UP)


@dataclass(frozen=True, slots=True)
class Corrected:
    """The invoice that a correction corrects; without a KSeF number it was issued outside KSeF."""

    number: str
    issue_date: date
    ksef_number: str | None = None
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Sale:
    """What an invoice says. With `corrected` it is a correction and its rows are differences."""

    seller: Party
    buyer: Party
    number: str
    issue_date: date
    created_at: datetime
    items: tuple[Item, ...]
    due: date | None = None
    account: str = ""
    corrected: Corrected | None = None
    system: str = "ksef-tui"


def build(sale: Sale) -> bytes:
    """The invoice as UTF-8 bytes without BOM, valid by the FA(3) schema.

    `created_at` is aware and written in UTC. Raises Problem("bad_sale") when there are no rows, a rate is not one
    of `RATES`, or the time has no zone; other rules of the schema (lengths, NIP) are for `check` to judge.
    """
    if not sale.items:
        raise Problem("bad_sale", "Faktura musi mieć choć jeden wiersz.")
    unknown = sorted({item.rate for item in sale.items} - RATES.keys())
    if unknown:
        raise Problem("bad_sale", f"Nieobsługiwana stawka podatku: {', '.join(unknown)}.")
    if sale.created_at.tzinfo is None:
        raise Problem("bad_sale", "Czas wytworzenia faktury musi mieć strefę czasową.")
    body = "".join((_header(sale), _party("Podmiot1", sale.seller), _party("Podmiot2", sale.buyer), _content(sale)))
    return f'<?xml version="1.0" encoding="UTF-8"?>\n<Faktura xmlns="{NAMESPACE}">{body}</Faktura>\n'.encode()


def totals(items: tuple[Item, ...]) -> dict[str, Decimal]:
    """The totals of an invoice by field, VAT counted once for each rate and rounded half up."""
    found: dict[str, Decimal] = {}
    for rate in dict.fromkeys(item.rate for item in items):
        net_field, vat_field, percent = RATES[rate]
        net = sum((item.net for item in items if item.rate == rate), Decimal(0))
        found[net_field] = found.get(net_field, Decimal(0)) + net
        if vat_field is not None:
            vat = (net * percent).quantize(_GROSZ, ROUND_HALF_UP)
            found[vat_field] = found.get(vat_field, Decimal(0)) + vat
    return found


def _header(sale: Sale) -> str:
    from datetime import UTC

    created = sale.created_at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return (
        '<Naglowek><KodFormularza kodSystemowy="FA (3)" wersjaSchemy="1-0E">FA</KodFormularza>'
        f"<WariantFormularza>3</WariantFormularza><DataWytworzeniaFa>{created}</DataWytworzeniaFa>"
        f"{_tag('SystemInfo', sale.system)}</Naglowek>"
    )


def _party(name: str, party: Party) -> str:
    flags = "<JST>2</JST><GV>2</GV>" if name == "Podmiot2" else ""
    return (
        f"<{name}><DaneIdentyfikacyjne>{_tag('NIP', party.nip)}{_tag('Nazwa', party.name)}</DaneIdentyfikacyjne>"
        f"<Adres><KodKraju>PL</KodKraju>{_tag('AdresL1', party.street)}{_tag('AdresL2', party.city)}</Adres>"
        f"{flags}</{name}>"
    )


def _content(sale: Sale) -> str:
    sums = totals(sale.items)
    written = "".join(_tag(name, _money(sums[name])) for name in _TOTALS_IN_ORDER if name in sums)
    rows = "".join(_row(number, item) for number, item in enumerate(sale.items, 1))
    return (
        f"<Fa><KodWaluty>PLN</KodWaluty>{_tag('P_1', sale.issue_date.isoformat())}{_tag('P_2', sale.number)}{written}"
        f"{_tag('P_15', _money(sum(sums.values(), Decimal(0))))}{_notes(sale)}{_kind(sale.corrected)}{rows}"
        f"{_payment(sale)}</Fa>"
    )


def _notes(sale: Sale) -> str:
    exempt = any(item.rate == "zw" for item in sale.items)
    exemption = f"<P_19>1</P_19>{_tag('P_19A', _EXEMPTION)}" if exempt else "<P_19N>1</P_19N>"
    return (
        "<Adnotacje><P_16>2</P_16><P_17>2</P_17><P_18>2</P_18><P_18A>2</P_18A>"
        f"<Zwolnienie>{exemption}</Zwolnienie><NoweSrodkiTransportu><P_22N>1</P_22N></NoweSrodkiTransportu>"
        "<P_23>2</P_23><PMarzy><P_PMarzyN>1</P_PMarzyN></PMarzy></Adnotacje>"
    )


def _kind(corrected: Corrected | None) -> str:
    if corrected is None:
        return "<RodzajFaktury>VAT</RodzajFaktury>"
    number = (
        f"<NrKSeF>1</NrKSeF>{_tag('NrKSeFFaKorygowanej', corrected.ksef_number)}"
        if corrected.ksef_number
        else "<NrKSeFN>1</NrKSeFN>"
    )
    return (
        f"<RodzajFaktury>KOR</RodzajFaktury>{_tag('PrzyczynaKorekty', corrected.reason)}"
        f"<DaneFaKorygowanej>{_tag('DataWystFaKorygowanej', corrected.issue_date.isoformat())}"
        f"{_tag('NrFaKorygowanej', corrected.number)}{number}</DaneFaKorygowanej>"
    )


def _row(number: int, item: Item) -> str:
    return (
        f"<FaWiersz><NrWierszaFa>{number}</NrWierszaFa>{_tag('P_7', item.name)}{_tag('P_8A', item.unit)}"
        f"{_tag('P_8B', _number(item.quantity))}{_tag('P_9A', _number(item.price))}{_tag('P_11', _money(item.net))}"
        f"{_tag('P_12', item.rate)}</FaWiersz>"
    )


def _payment(sale: Sale) -> str:
    if sale.due is None and not sale.account:
        return ""
    due = f"<TerminPlatnosci>{_tag('Termin', sale.due.isoformat())}</TerminPlatnosci>" if sale.due else ""
    account = f"<RachunekBankowy>{_tag('NrRB', sale.account)}</RachunekBankowy>" if sale.account else ""
    return f"<Platnosc>{due}<FormaPlatnosci>6</FormaPlatnosci>{account}</Platnosc>"


def _tag(name: str, value: str | None) -> str:
    """A field, or nothing when it has no value: FA(3) has no empty elements."""
    return f"<{name}>{escape(value)}</{name}>" if value else ""


def _money(value: Decimal) -> str:
    return f"{value.quantize(_GROSZ, ROUND_HALF_UP) + 0:f}"  # + 0: never -0.00


def _number(value: Decimal) -> str:
    """A quantity or a unit price without exponent and without zeros at the end."""
    text = f"{value:f}"
    text = text.rstrip("0").rstrip(".") if "." in text else text
    return "0" if text in ("-0", "") else text
