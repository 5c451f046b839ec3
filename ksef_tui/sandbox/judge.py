"""Judging one invoice in KSeF's order: decryption, file, encoding, schema, authority, attachment, date (facts §11, B).

The duplicate key needs everything that is in KSeF and is checked by `processing`.
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.padding import PKCS7
from lxml import etree

from ksef_tui.sandbox import xml
from ksef_tui.sandbox.document import Document
from ksef_tui.sandbox.numbers import nip_has_right_digit

DESCRIPTIONS = {
    100: "Faktura przyjęta do dalszego przetwarzania",
    150: "Trwa przetwarzanie",
    200: "Sukces",
    405: "Przetwarzanie anulowane z powodu błędu sesji",
    410: "Nieprawidłowy zakres uprawnień",
    415: "Brak możliwości wysyłania faktury z załącznikiem",
    430: "Błąd weryfikacji pliku faktury",
    435: "Błąd odszyfrowania pliku",
    440: "Duplikat faktury",
    450: "Błąd weryfikacji semantyki dokumentu faktury",
    500: "Nieznany błąd (500)",
    550: "Operacja została anulowana przez system",
}
_MAIN = "schemat_FA(3)_v1-0E.xsd"
_MOST_DETAILS = 10
_MEGABYTE = 1_000_000
_ATTACHMENT = re.compile(rb"<([\w.-]+:)?Zalacznik[\s/>]")
# Characters that XML 1.0 discourages; KSeF refuses them (facts §11).
_DISCOURAGED = re.compile(
    "[\u007f-\u0084\u0086-\u009f\ufdd0-\ufdef"
    + "".join(f"{chr(plane << 16 | 0xFFFE)}{chr(plane << 16 | 0xFFFF)}" for plane in range(1, 17))
    + "]"
)


class Rejected(Exception):
    """An invoice that KSeF does not take: the status code and what is wrong."""

    def __init__(self, code: int, *details: str, extensions: dict[str, str] | None = None) -> None:
        super().__init__(f"{code} {details}")
        self.code = code
        self.details = list(details)
        self.extensions = extensions


@dataclass(frozen=True)
class Sent:
    """What came with an invoice, and the circumstances of its sending; `secret`: key and vector if it is encrypted."""

    content: bytes
    secret: tuple[bytes, bytes] | None
    hash: str
    size: int
    context: tuple[str, str]
    today: date
    limits: dict[str, int]
    interactive: bool
    correction: bool
    attachments: bool
    authorizations: Callable[[str], set[str]]
    checks_nip: bool


class Judge:
    """Holds the compiled FA(3) schema."""

    def __init__(self, xsd_folder: Path) -> None:
        parser = etree.XMLParser(resolve_entities=False, no_network=True, load_dtd=False, huge_tree=False)
        parser.resolvers.add(_Local(xsd_folder))
        self._schema = etree.XMLSchema(etree.parse(str(xsd_folder / _MAIN), parser))

    def examine(self, sent: Sent) -> tuple[bytes, Document]:
        """The plain bytes and what they say. Raises Rejected with the first thing that is wrong."""
        plain = decrypt(sent.content, *sent.secret) if sent.secret else sent.content
        _check_file(plain, sent)
        tree = _read(plain)
        if not self._schema.validate(tree):
            errors: Any = self._schema.error_log  # the stubs do not know that it is iterable
            raise Rejected(450, *[f"{e.message} (wiersz {e.line})" for e in errors][:_MOST_DETAILS])
        document = Document(tree)
        _check_authority(document, sent)
        if document.has_attachment and sent.interactive and not sent.correction:
            raise Rejected(415, "Faktura z załącznikiem może zostać wysłana tylko w sesji wsadowej.")
        if document.has_attachment and not sent.attachments:
            raise Rejected(415, "Podatnik nie ma zgody na wysyłkę faktur z załącznikiem.")
        if document.issued > sent.today:
            text = f"Data wystawienia P_1 {document.issued} jest późniejsza niż data przesłania {sent.today}."
            raise Rejected(450, text)
        if sent.checks_nip:
            _check_nips(document)
        return plain, document


class _Local(etree.Resolver):
    """Finds the schemas that FA(3) imports in the folder, by the last part of their address."""

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self._folder = folder

    def resolve(self, system_url: str, public_id: str, context: Any) -> Any:  # type: ignore[override]
        """The local file, whatever host the schema names."""
        name = system_url.rsplit("/", 1)[-1]
        return self.resolve_filename(str(self._folder / name), context)  # type: ignore[attr-defined]


def decrypt(content: bytes, key: bytes, vector: bytes) -> bytes:
    """AES-256-CBC with PKCS#7. Raises Rejected(435)."""
    if not content or len(content) % 16:
        raise Rejected(435, "Długość zaszyfrowanej treści nie jest wielokrotnością 16 bajtów.")
    decryptor = Cipher(algorithms.AES(key), modes.CBC(vector)).decryptor()
    padded = decryptor.update(content) + decryptor.finalize()
    unpadder = PKCS7(128).unpadder()
    try:
        return unpadder.update(padded) + unpadder.finalize()
    except ValueError as error:
        raise Rejected(435, "Nieprawidłowe dopełnienie odszyfrowanej treści.") from error


def _check_file(plain: bytes, sent: Sent) -> None:
    if len(plain) != sent.size:
        raise Rejected(430, f"Rozmiar pliku {len(plain)} jest niezgodny z zadeklarowanym {sent.size}.")
    if base64.b64encode(hashlib.sha256(plain).digest()).decode("ascii") != sent.hash:
        raise Rejected(430, "Skrót pliku jest niezgodny z zadeklarowanym.")
    attached = b"Zalacznik" in plain and _ATTACHMENT.search(plain)
    name = "maxInvoiceWithAttachmentSizeInMB" if attached else "maxInvoiceSizeInMB"
    limit = sent.limits[name] * _MEGABYTE
    if len(plain) > limit:
        raise Rejected(430, f"Rozmiar pliku {len(plain)} przekracza dozwolony limit {limit} bajtów.")


def _read(plain: bytes) -> etree._ElementTree:
    """The document, if its encoding is what KSeF demands: UTF-8, no BOM, no processing instructions."""
    if plain.startswith((b"\xef\xbb\xbf", b"\xff\xfe", b"\xfe\xff")):
        raise Rejected(430, "Plik zawiera znacznik kolejności bajtów (BOM).")
    try:
        text = plain.decode("utf-8")
    except UnicodeDecodeError as error:
        raise Rejected(450, "Invalid XML: plik nie jest poprawnym tekstem UTF-8.") from error
    try:
        tree = xml.parse(plain)
    except xml.UnreadableXml as error:
        raise Rejected(450, f"Invalid XML: {error}") from error
    if tree.docinfo.xml_version not in (None, "1.0") or (tree.docinfo.encoding or "UTF-8").upper() != "UTF-8":
        raise Rejected(430, "Dozwolony jest tylko XML 1.0 w kodowaniu UTF-8.")
    if tree.xpath("boolean(//processing-instruction())"):
        raise Rejected(430, "Instrukcje przetwarzania są niedozwolone.")
    if _is_discouraged(text) or ("&#" in text and _is_discouraged("".join(map(str, tree.getroot().itertext())))):
        raise Rejected(430, "Plik zawiera niedozwolone znaki.")
    return tree


def _is_discouraged(text: str) -> bool:
    # Each character once: the pattern is slow, and a document has many times more characters than different ones.
    return _DISCOURAGED.search("".join(set(text))) is not None


def _check_authority(document: Document, sent: Sent) -> None:
    """The seller itself, the buyer that invoices itself, or the seller's tax representative (facts §11)."""
    kind, value = sent.context
    if document.seller == (value.partition("-")[0] if kind == "InternalId" else value):
        return
    given, parties = sent.authorizations(document.seller), document.parties()
    buyer = (value, "Subject2") in parties and document.is_self_invoicing
    representative = (value, "SubjectAuthorized") in parties
    if not (("SelfInvoicing" in given and buyer) or ("TaxRepresentative" in given and representative)):
        text = f"Kontekst {value} nie jest uprawniony do wystawienia faktury w imieniu {document.seller}."
        raise Rejected(410, text)


def _check_nips(document: Document) -> None:
    wrong = [nip for nip in document.all_nips() if not nip_has_right_digit(nip)]
    if wrong:
        raise Rejected(450, *[f"Nieprawidłowa suma kontrolna numeru NIP {nip}." for nip in wrong])
