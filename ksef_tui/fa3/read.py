"""What an invoice says: the few facts that lists, guards and the journal need."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from functools import cache
from typing import TYPE_CHECKING, Any

from ksef_tui.domain.problems import Problem
from ksef_tui.fa3 import raw
from ksef_tui.fa3.explain import not_well_formed
from ksef_tui.fa3.finding import Finding
from ksef_tui.fa3.schema import NAMESPACE, Fa3Schema, schema

if TYPE_CHECKING:
    from lxml import etree

_N = f"{{{NAMESPACE}}}"
_CUT = len(_N)
_ROW = f"{_N}FaWiersz"
_FA = f"{_N}Fa"
_NUMBER = f"{_N}P_2"
_CORRECTED = f"{_N}DaneFaKorygowanej"
_AMOUNT = re.compile(r"-?[0-9]{1,18}(\.[0-9]{1,8})?")


@dataclass(frozen=True, slots=True)
class InvoiceFacts:
    """The facts of one invoice, as written in it."""

    seller_nip: str
    seller_name: str
    buyer_nip: str | None  # None: a buyer without a Polish NIP
    buyer: str  # the name, else the foreign number, else empty
    number: str  # P_2 as written; compare through domain.invoices.normal_number (F50)
    kind: str  # RodzajFaktury: VAT, KOR, ZAL, ROZ, UPR, KOR_ZAL, KOR_ROZ
    issue_date: date  # P_1
    gross: Decimal  # P_15, in `currency`
    currency: str
    form_code: str  # "FA (3)"
    schema_version: str  # "1-0E"
    has_attachment: bool
    self_billing: bool  # P_17 = 1: the buyer issued it in the seller's name
    corrected_numbers: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Line:
    """One row of goods or services; of an advance invoice, a row of the order. None: the row does not say."""

    name: str
    quantity: Decimal | None
    unit: str
    net: Decimal | None
    rate: str


class Document:
    """A parsed invoice taken apart once for all that asks about it.

    What is one value in the document is fetched by one XPath: making a Python object of each element on the way
    would cost more than the schema's validation. `fa` holds the fields of `Fa` by their full names (of repeated
    ones the last; `FaWiersz` stands there for all rows).
    """

    __slots__ = (
        "buyer_has_address",
        "buyer_name",
        "buyer_nip",
        "created",
        "fa",
        "form_code",
        "has_attachment",
        "more_parties",
        "root",
        "rows",
        "schema_version",
        "self_billing",
        "seller_name",
        "seller_nip",
    )

    def __init__(self, root: etree._Element) -> None:
        paths = _paths()
        self.root = root
        self.fa: dict[str, etree._Element] = {}
        for fa in root.iterchildren(_FA):
            self.fa = {child.tag: child for child in fa}
        values = paths.scalars(root).split(_SEPARATOR)
        if len(values) != len(_SCALARS):  # one of them holds the separator, so it is none that the schema allows
            values = [""] * len(_SCALARS)
        self.seller_nip, self.buyer_nip, self.form_code, self.schema_version, self.created = values[:5]
        self.self_billing = values[5] == "1"
        self.has_attachment, self.buyer_has_address, self.more_parties = (value == "true" for value in values[6:9])
        self.rows = int(values[9] or 0)
        self.seller_name = paths.seller_name(root)
        self.buyer_name = paths.buyer_name(root)

    def field(self, name: str) -> str:
        """The text of a field of `Fa` without white space at its ends; empty when it is not there."""
        return text_of(self.fa.get(_N + name))

    def net_of_rows(self) -> list[str]:
        """`P_11` of each row that has one."""
        return list(_paths().row_nets(self.root))

    def net_of_rows_before(self) -> list[str]:
        """`P_11` of each row that shows the state before a correction."""
        return list(_paths().row_nets_before(self.root))


# Values that cannot hold the separator in a valid invoice: numbers, dates, codes, truths.
_SEPARATOR = "|"
_SCALARS = (
    "normalize-space(f:Podmiot1/f:DaneIdentyfikacyjne/f:NIP)",
    "normalize-space(f:Podmiot2/f:DaneIdentyfikacyjne/f:NIP)",
    "f:Naglowek/f:KodFormularza/@kodSystemowy",
    "f:Naglowek/f:KodFormularza/@wersjaSchemy",
    "normalize-space(f:Naglowek/f:DataWytworzeniaFa)",
    "normalize-space(f:Fa/f:Adnotacje/f:P_17)",
    "boolean(f:Zalacznik)",
    "boolean(f:Podmiot2/f:Adres)",
    "boolean(f:Podmiot3 | f:PodmiotUpowazniony)",
    "count(f:Fa/f:FaWiersz)",
)


class _Paths:
    """The compiled XPaths of a document's root."""

    def __init__(self) -> None:
        from lxml import etree

        def path(expression: str) -> Any:
            return etree.XPath(expression, namespaces={"f": NAMESPACE}, smart_strings=False)

        self.scalars = path(f"concat({f', {_SEPARATOR!r}, '.join(_SCALARS)})")
        self.seller_name = path("normalize-space(f:Podmiot1/f:DaneIdentyfikacyjne/f:Nazwa)")
        self.buyer_name = path("normalize-space(f:Podmiot2/f:DaneIdentyfikacyjne/f:Nazwa)")
        self.row_nets = path("f:Fa/f:FaWiersz/f:P_11/text()")
        self.row_nets_before = path("f:Fa/f:FaWiersz[f:StanPrzed]/f:P_11/text()")


@cache
def _paths() -> _Paths:
    return _Paths()


def identification(party: etree._Element | None) -> dict[str, str]:
    """`DaneIdentyfikacyjne` of a party: field name → text, white space at the ends dropped."""
    for part in party.iterchildren(f"{_N}DaneIdentyfikacyjne") if party is not None else ():
        return {child.tag[_CUT:]: text_of(child) for child in part}
    return {}


def facts_of(doc: Document) -> InvoiceFacts:
    """The facts of a document that was parsed already.

    Raises Problem("incomplete_invoice") when seller, number, date or amount are missing or unreadable.
    """
    gross = amount(doc.field("P_15"))
    issue_date = _day(doc.field("P_1"))
    number = doc.fa[_NUMBER].text if _NUMBER in doc.fa else None
    if not doc.seller_nip or not number or issue_date is None or gross is None:
        raise Problem("incomplete_invoice", "Z faktury nie da się odczytać sprzedawcy, numeru, daty albo kwoty.")
    return InvoiceFacts(
        seller_nip=doc.seller_nip,
        seller_name=doc.seller_name,
        buyer_nip=doc.buyer_nip or None,
        buyer=doc.buyer_name or _foreign_number(doc.root),
        number=number,
        kind=doc.field("RodzajFaktury"),
        issue_date=issue_date,
        gross=gross,
        currency=doc.field("KodWaluty"),
        form_code=doc.form_code,
        schema_version=doc.schema_version,
        has_attachment=doc.has_attachment,
        self_billing=doc.self_billing,
        corrected_numbers=_corrected(doc) if _CORRECTED in doc.fa else (),
    )


def read(source: bytes | etree._Element) -> InvoiceFacts:
    """The facts of an invoice, from its bytes or its parsed root.

    Raises Problem with the code of the file's fault when it cannot be parsed, else as `facts_of`.
    """
    return facts_of(Document(_root(source) if isinstance(source, bytes) else source))


def lines(data: bytes, limit: int) -> tuple[tuple[Line, ...], int]:
    """The first `limit` rows of an invoice and how many more there are.

    Rows of an advance invoice are those of its order (facts §19.4). Raises Problem as `read` does.
    """
    root = _root(data)
    rows = list(root.iter(_ROW))
    suffix = ""
    if not rows:
        rows, suffix = list(root.iter(f"{_N}ZamowienieWiersz")), "Z"
    shown = tuple(_line(row, suffix) for row in rows[:limit])
    return shown, max(0, len(rows) - limit)


def text_of(element: etree._Element | None) -> str:
    """The text of a field without white space at its ends; empty when the field is not there."""
    return (element.text or "").strip() if element is not None else ""


def amount(text: str) -> Decimal | None:
    """A number as FA(3) writes it; None for anything else (Decimal alone would take `NaN` and `1_0`)."""
    return Decimal(text) if _AMOUNT.fullmatch(text) else None


def parse(data: bytes, rulebook: Fa3Schema) -> etree._Element | Finding:
    """The root of a file that is safe to parse and well-formed, else what is wrong with it."""
    from lxml import etree

    fault = raw.stopping_fault(data)
    if fault is not None:
        return fault
    try:
        return rulebook.parse(data)
    except etree.XMLSyntaxError as error:
        return not_well_formed(error)


def _root(data: bytes) -> etree._Element:
    root = parse(data, schema())
    if isinstance(root, Finding):
        raise Problem(root.code, root.message)
    return root


def _day(text: str) -> date | None:
    try:
        return date.fromisoformat(text)
    except ValueError:
        return None


def _foreign_number(root: etree._Element) -> str:
    buyer = identification(next(root.iterchildren(f"{_N}Podmiot2"), None))
    if "NrVatUE" in buyer:
        return buyer.get("KodUE", "") + buyer["NrVatUE"]
    return buyer.get("NrID", "")


def _corrected(doc: Document) -> tuple[str, ...]:
    return tuple(
        text_of(number)
        for original in doc.root.iter(_CORRECTED)
        for number in original.iterchildren(f"{_N}NrFaKorygowanej")
    )


def _line(row: etree._Element, suffix: str) -> Line:
    field = {child.tag[_CUT:]: text_of(child) for child in row}
    net = field.get("P_11NettoZ" if suffix else "P_11", "")
    return Line(
        name=field.get(f"P_7{suffix}", ""),
        quantity=amount(field.get(f"P_8B{suffix}", "")),
        unit=field.get(f"P_8A{suffix}", ""),
        net=amount(net),
        rate=field.get(f"P_12{suffix}", ""),
    )
