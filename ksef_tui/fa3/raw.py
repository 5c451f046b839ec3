"""What the bytes of an invoice file must be before anything parses them (facts §11; field notes F47, F49)."""

from __future__ import annotations

import re

from ksef_tui.fa3.finding import Finding
from ksef_tui.fa3.names import field_name

MAX_BYTES = 1_000_000
MAX_BYTES_WITH_ATTACHMENT = 3_000_000

UTF8_BOM = b"\xef\xbb\xbf"

_DECLARATION = re.compile(rb"<\?xml\s([^>]*?)\?>")
_VERSION = re.compile(rb"""version\s*=\s*["']([^"']*)["']""")
_ENCODING = re.compile(rb"""encoding\s*=\s*["']([^"']*)["']""")

# How nearly every file begins, so that most of the looks below can be left out.
_ORDINARY_STARTS = (
    b'<?xml version="1.0" encoding="UTF-8"?>',
    b'<?xml version="1.0" encoding="utf-8"?>',
    b"<Faktura ",
)

# Atomic groups: a long run of spaces or comments before a missing DOCTYPE must not be tried twice.
_DOCTYPE_IN_PROLOG = re.compile(rb"(?>(?>\s+)|<\?(?>.*?\?>)|<!--(?>.*?-->))*<!DOCTYPE", re.DOTALL)

# Characters that XML 1.0 allows and KSeF refuses: on TEST since 2.4.0, on PRD announced and put off (facts §11, F49).
_PLANE_ENDS = "".join(chr(plane * 0x10000 + last) for plane in range(1, 17) for last in (0xFFFE, 0xFFFF))
_DISCOURAGED = re.compile(f"[\x7f-\x84\x86-\x9f\ufdd0-\ufdef{_PLANE_ENDS}]")
_REFERENCE = re.compile(rb"&#(?:x([0-9a-fA-F]{1,8})|([0-9]{1,8}));")
# Every byte that can be no part of such a character: without them an ordinary file is empty, which is quick to see.
_ORDINARY = bytes(b for b in range(256) if b not in (0x7F, 0xC2, 0xEF) and not 0xF0 <= b <= 0xF4)

_KINDS_OF_FILES = (
    (b"%PDF", "To jest plik PDF"),
    (b"PK\x03\x04", "To jest archiwum ZIP (albo dokument Worda lub Excela)"),
    (b"{", "To jest plik JSON"),
)
_WIDE_ENCODINGS = (b"\xff\xfe", b"\xfe\xff", b"<\x00", b"\x00<")


def stopping_fault(data: bytes) -> Finding | None:
    """The fault that makes it senseless or unsafe to parse the file at all; None: it may be parsed.

    Whatever is not to be read as UTF-8 stops here, so that no DOCTYPE hides behind another encoding.
    """
    if data.startswith(_ORDINARY_STARTS) and len(data) <= MAX_BYTES_WITH_ATTACHMENT:  # nearly every file
        return _doctype_fault(data)
    if not data or data.isspace():
        return Finding("empty", "Plik jest pusty.")
    if len(data) > MAX_BYTES_WITH_ATTACHMENT:
        return too_big(len(data), MAX_BYTES_WITH_ATTACHMENT, "nawet z załącznikiem")
    body = data.removeprefix(UTF8_BOM)
    for start, what in _KINDS_OF_FILES:
        if body.startswith(start):
            return Finding("not_xml", f"{what}, a nie faktura w XML.", line=1)
    if body.startswith(_WIDE_ENCODINGS):
        return Finding(
            "other_encoding", "Plik jest zapisany w UTF-16 lub UTF-32, a KSeF przyjmuje tylko UTF-8.", line=1
        )
    return _declaration_fault(body) or _doctype_fault(body)


def _declaration_fault(body: bytes) -> Finding | None:
    declaration = _DECLARATION.match(body)
    if declaration is None:
        return None
    version = _VERSION.search(declaration[1])
    if version is not None and version[1] != b"1.0":
        shown = version[1].decode("ascii", "replace")
        return Finding("xml_version", f"Plik podaje wersję XML {shown}, a KSeF przyjmuje tylko 1.0.", line=1)
    encoding = _ENCODING.search(declaration[1])
    if encoding is not None and encoding[1].upper() != b"UTF-8":
        shown = encoding[1].decode("ascii", "replace")
        return Finding("other_encoding", f"Plik podaje kodowanie {shown}, a KSeF przyjmuje tylko UTF-8.", line=1)
    return None


def encoding_fault(data: bytes) -> Finding | None:
    """The reason why the parser refused a file, when it is a byte that UTF-8 does not have; None: it is another."""
    try:
        data.decode()
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        return Finding(
            "invalid_utf8",
            f"W wierszu {line} jest bajt 0x{data[error.start]:02X}, którego nie ma w UTF-8 – "
            "plik zapisano w innym kodowaniu, np. Windows-1250.",
            line=line,
        )
    return None


def _doctype_fault(body: bytes) -> Finding | None:
    if b"!" in body and b"<!DOCTYPE" in body and _DOCTYPE_IN_PROLOG.match(body):
        return Finding(
            "doctype", "Plik ma deklarację DOCTYPE (własne encje). Faktura jej nie potrzebuje, więc pliku nie otwarto."
        )
    return None


def too_big(size: int, limit: int, why: str) -> Finding:
    """The fault of a file above KSeF's limit; sizes in bytes (facts §11)."""
    return Finding("too_big", f"Plik ma {_bytes(size)}, a KSeF przyjmuje {why} najwyżej {_bytes(limit)}.")


def _bytes(size: int) -> str:
    return f"{size:,}".replace(",", " ") + " B"


def bom_fault(data: bytes) -> Finding | None:
    """The fault of a byte order mark: KSeF refuses it, and the bytes are not ours to change (F47)."""
    if not data.startswith(UTF8_BOM):
        return None
    return Finding("bom", "Plik zaczyna się od znacznika BOM – zapisz go jako UTF-8 bez BOM.", line=1)


def discouraged_characters(data: bytes) -> Finding | None:
    """A warning when the file holds characters that KSeF refuses on TEST and will refuse on PRD (F49)."""
    rare = data.translate(None, _ORDINARY)
    if rare:
        text = data.decode()
        found = _DISCOURAGED.search(text)
        if found:
            return _discouraged(data, len(text[: found.start()].encode()), found[0])
    if b"&" in data and b"&#" in data:
        for reference in _REFERENCE.finditer(data):
            code = int(reference[1], 16) if reference[1] else int(reference[2])
            if code <= 0x10FFFF and _DISCOURAGED.match(chr(code)):
                return _discouraged(data, reference.start(), chr(code))
    return None


def _discouraged(data: bytes, position: int, character: str) -> Finding:
    line = data.count(b"\n", 0, position) + 1
    opening = re.match(rb"<(?:[\w.-]+:)?([\w.-]+)", data[data.rfind(b"<", 0, position) :])
    tag = opening[1].decode("ascii", "replace") if opening else ""
    where = f", {field_name(tag)}" if tag else ""
    return Finding(
        "discouraged_characters",
        f"W wierszu {line}{where}: jest niewidoczny znak U+{ord(character):04X}, "
        "którego KSeF nie przyjmuje w środowisku testowym, a wkrótce także w produkcyjnym.",
        line=line,
    )
