"""Is this file the receipt of this invoice? Judged by what it says, not by the XSD, which the ministry's own examples fail."""

from __future__ import annotations

import hmac
from dataclasses import dataclass
from datetime import date, datetime
from typing import TYPE_CHECKING

from ksef_tui.domain.times import from_text
from ksef_tui.ksef.answers import is_html
from ksef_tui.ksef.crypto import sha256_b64
from ksef_tui.ksef.xml import parse

if TYPE_CHECKING:
    from lxml.etree import _Element

NAMESPACE = "http://upo.schematy.mf.gov.pl/KSeF/v4-3"

SENTENCES = {
    "html": "Zamiast UPO przyszła strona internetowa (zapora po drodze) – zostanie pobrane ponownie.",
    "not_xml": "Plik UPO jest uszkodzony: to nie jest poprawny XML.",
    "wrong_root": "Pobrany plik nie jest UPO z KSeF.",
    "hash": "Plik UPO doszedł uszkodzony: skrót się nie zgadza.",
    "other_document": "Pobrane UPO dotyczy innej faktury.",
}


class UpoProblem(Exception):
    """The file must not be kept as the receipt. `reason`: html, not_xml, wrong_root, hash or other_document."""

    def __init__(self, reason: str) -> None:
        super().__init__(SENTENCES[reason])
        self.reason = reason
        self.message = SENTENCES[reason]


@dataclass(frozen=True, slots=True)
class Upo:
    """What a receipt certifies. Moments and the day are None where the file does not say them readably."""

    session: str
    ksef_number: str
    invoice_number: str
    seller_nip: str
    invoice_hash: str
    issue_date: date | None
    received_at: datetime | None
    numbered_at: datetime | None
    mode: str
    issued_by: str


def check_upo(body: bytes, meta_hash: str | None, ksef_number: str, invoice_hash_b64: str) -> Upo:
    """The receipt in `body`, if it is that of the invoice with this number and this hash (design §6, F45).

    `meta_hash` is the `x-ms-meta-hash` header, None when there was none. The one `Dokument` must carry our number and
    our hash. Raises UpoProblem.
    """
    if is_html(body):
        raise UpoProblem("html")
    if meta_hash is not None and not hmac.compare_digest(meta_hash.encode(), sha256_b64(body).encode()):
        raise UpoProblem("hash")
    root = _root(body)
    documents = root.findall(f"{{{NAMESPACE}}}Dokument")
    if len(documents) != 1:
        raise UpoProblem("other_document")
    document = documents[0]
    if _text(document, "NumerKSeFDokumentu") != ksef_number or _text(document, "SkrotDokumentu") != invoice_hash_b64:
        raise UpoProblem("other_document")
    return Upo(
        session=_text(root, "NumerReferencyjnySesji"),
        ksef_number=ksef_number,
        invoice_number=_text(document, "NumerFaktury"),
        seller_nip=_text(document, "NipSprzedawcy"),
        invoice_hash=invoice_hash_b64,
        issue_date=_day(_text(document, "DataWystawieniaFaktury")),
        received_at=_moment(_text(document, "DataPrzeslaniaDokumentu")),
        numbered_at=_moment(_text(document, "DataNadaniaNumeruKSeF")),
        mode=_text(document, "TrybWysylki"),
        issued_by=_text(root, "NazwaPodmiotuPrzyjmujacego"),
    )


def _root(body: bytes) -> _Element:
    try:
        root = parse(body)
    except ValueError:
        raise UpoProblem("not_xml") from None
    if root.tag != f"{{{NAMESPACE}}}Potwierdzenie":
        raise UpoProblem("wrong_root")
    return root


def _text(parent: _Element, name: str) -> str:
    return (parent.findtext(f"{{{NAMESPACE}}}{name}") or "").strip()


def _day(text: str) -> date | None:
    try:
        return date.fromisoformat(text)
    except ValueError:
        return None


def _moment(text: str) -> datetime | None:
    try:
        return from_text(text)
    except ValueError:
        return None
