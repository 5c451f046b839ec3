"""What an invoice says: the few facts that lists, guards and the journal need."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import TYPE_CHECKING

from ksef_tui.domain.problems import Problem
from ksef_tui.fa3 import raw
from ksef_tui.fa3.explain import not_well_formed
from ksef_tui.fa3.finding import Finding
from ksef_tui.fa3.schema import NAMESPACE, Fa3Schema, schema

if TYPE_CHECKING:
    from lxml import etree

_N = f"{{{NAMESPACE}}}"
_CUT = len(_N)
_HEADER = f"{_N}Naglowek"
_FORM = f"{_N}KodFormularza"
_SELLER = f"{_N}Podmiot1"
_BUYER = f"{_N}Podmiot2"
_IDENTIFICATION = f"{_N}DaneIdentyfikacyjne"
_FA = f"{_N}Fa"
_CURRENCY = f"{_N}KodWaluty"
_ISSUED = f"{_N}P_1"
_NUMBER = f"{_N}P_2"
_DUE = f"{_N}P_15"
_NOTES = f"{_N}Adnotacje"
_SELF_BILLING = f"{_N}P_17"
_KIND = f"{_N}RodzajFaktury"
_CORRECTED = f"{_N}DaneFaKorygowanej"
_ROW = f"{_N}FaWiersz"
_ATTACHMENT = f"{_N}Zalacznik"


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
    """A parsed invoice taken apart once for all that asks about it: the parts by their full names.

    Of repeated parts the last is kept; `rows` is the number of `FaWiersz`. A Python object for an element costs as
    much as the schema's look at it, so no more of them are made than are asked for.
    """

    __slots__ = ("buyer", "buyer_parts", "fa", "header", "root", "rows", "seller", "top")

    def __init__(self, root: etree._Element) -> None:
        self.root = root
        self.top = top = {part.tag: part for part in root}
        self.header = {part.tag: part for part in top.get(_HEADER, ())}
        fields = list(top.get(_FA, ()))
        names = [field.tag for field in fields]
        self.fa = dict(zip(names, fields, strict=True))
        self.rows = names.count(_ROW)
        self.buyer_parts = {part.tag: part for part in top.get(_BUYER, ())}
        self.buyer = _texts(self.buyer_parts.get(_IDENTIFICATION))
        self.seller = identification(top[_SELLER]) if _SELLER in top else {}

    def field(self, name: str) -> str:
        """The text of a field of `Fa` without white space at its ends; empty when it is not there."""
        return text_of(self.fa.get(_N + name))

    @property
    def has_attachment(self) -> bool:
        """Whether the invoice carries `Zalacznik`, which KSeF takes in batches only (facts §11)."""
        return _ATTACHMENT in self.top


def identification(party: etree._Element) -> dict[str, str]:
    """`DaneIdentyfikacyjne` of a party: field name → text, white space collapsed as the schema does."""
    for part in party:
        if part.tag == _IDENTIFICATION:
            return _texts(part)
    return {}


def _texts(parent: etree._Element | None) -> dict[str, str]:
    return {child.tag[_CUT:]: " ".join((child.text or "").split()) for child in parent} if parent is not None else {}


def facts_of(doc: Document) -> InvoiceFacts:
    """The facts of a document that was parsed already.

    Raises Problem("incomplete_invoice") when seller, number, date or amount are missing or unreadable.
    """
    fa, seller, buyer = doc.fa, doc.seller, doc.buyer
    gross = amount(text_of(fa.get(_DUE)))
    issue_date = _day(text_of(fa.get(_ISSUED)))
    number = fa[_NUMBER].text if _NUMBER in fa else None
    if not seller.get("NIP") or not number or issue_date is None or gross is None:
        raise Problem("incomplete_invoice", "Z faktury nie da się odczytać sprzedawcy, numeru, daty albo kwoty.")
    form = doc.header.get(_FORM)
    return InvoiceFacts(
        seller_nip=seller["NIP"],
        seller_name=seller.get("Nazwa", ""),
        buyer_nip=buyer.get("NIP") or None,
        buyer=buyer.get("Nazwa") or _foreign_number(buyer),
        number=number,
        kind=text_of(fa.get(_KIND)),
        issue_date=issue_date,
        gross=gross,
        currency=text_of(fa.get(_CURRENCY)),
        form_code=form.get("kodSystemowy", "") if form is not None else "",
        schema_version=form.get("wersjaSchemy", "") if form is not None else "",
        has_attachment=_ATTACHMENT in doc.top,
        self_billing=_self_billing(fa.get(_NOTES)),
        corrected_numbers=_corrected(doc) if _CORRECTED in fa else (),
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
    digits = text.removeprefix("-").replace(".", "", 1)
    return Decimal(text) if digits.isascii() and digits.isdigit() else None


def parse(data: bytes, rulebook: Fa3Schema) -> etree._Element | Finding:
    """The root of a file that is safe to parse and well-formed, else what is wrong with it."""
    from lxml import etree

    fault = raw.stopping_fault(data)
    if fault is not None:
        return fault
    try:
        return rulebook.parse(data)
    except etree.XMLSyntaxError as error:
        return raw.encoding_fault(data) or not_well_formed(error)


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


def _foreign_number(buyer: dict[str, str]) -> str:
    if "NrVatUE" in buyer:
        return buyer.get("KodUE", "") + buyer["NrVatUE"]
    return buyer.get("NrID", "")


def _self_billing(notes: etree._Element | None) -> bool:
    for note in notes if notes is not None else ():
        if note.tag == _SELF_BILLING:
            return text_of(note) == "1"
    return False


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
