"""What can be told of a signed AuthTokenRequest before KSeF sees it (facts §4.2, §4.8; F53). Nothing is changed in it."""

from __future__ import annotations

import base64
import binascii
import re
from typing import TYPE_CHECKING

from ksef_tui.domain.problems import Problem
from ksef_tui.ksef.xades import NAMESPACE
from ksef_tui.ksef.xml import parse

if TYPE_CHECKING:
    from lxml.etree import _Element

MAX_BYTES = 1_000_000
DS = "{http://www.w3.org/2000/09/xmldsig#}"
VERSIONS = ("2.0", "2.1")
_UNTOUCHED = "Podaj plik dokładnie taki, jaki wyszedł z podpisywania – bez otwierania i zapisywania go w edytorze."
_BYTE_ORDER_MARKS = (b"\xef\xbb\xbf", b"\xff\xfe", b"\xfe\xff")
_DECLARED = re.compile(rb"^<\?xml[^>]*\bencoding\s*=\s*[\"']([A-Za-z0-9._-]+)[\"']")


def check(signed: bytes, *, challenge: str, nip: str) -> str:
    """Whether this file answers our request to log in with `challenge` in the context of `nip`; who signed, as
    `Nip:…`, `Pesel:…` or `Fingerprint:…`, empty when the certificate cannot be read (KSeF judges it).

    Raises Problem with one clear sentence for each thing that KSeF would refuse for sure.
    """
    root = _parsed(signed)
    request = _request(root)
    signatures = list(root.iter(f"{DS}Signature"))
    if not signatures:
        raise Problem("not_signed", "W tym pliku nie ma podpisu: to samo żądanie. Podpisz je i podaj plik podpisany.")
    if len(signatures) > 1:
        raise Problem("signed_twice", f"Ten plik ma {len(signatures)} podpisy, a KSeF przyjmuje dokładnie jeden.")
    namespace = request.tag.removesuffix("AuthTokenRequest")
    if _text(request, f"{namespace}Challenge") != challenge:
        raise Problem("other_request", "Ten plik podpisuje inne żądanie, może wcześniejsze – podpisz to ostatnie.")
    signed_nip = _text(request, f"{namespace}ContextIdentifier/{namespace}Nip")
    if signed_nip != nip:
        raise Problem("other_client", f"Ten plik loguje do NIP {signed_nip or '(brak)'}, a nie do NIP {nip}.")
    return _signer(signatures[0])


def _parsed(signed: bytes) -> _Element:
    if not signed.strip():
        raise Problem("empty_file", "Plik jest pusty.")
    if len(signed) > MAX_BYTES:
        raise Problem("bad_file", "Plik jest za duży na podpisane żądanie.")
    if signed.startswith(_BYTE_ORDER_MARKS):
        raise Problem("bad_encoding", f"Plik zaczyna się znacznikiem BOM, więc zapisano go ponownie. {_UNTOUCHED}")
    declared = _DECLARED.match(signed)
    try:
        signed.decode("utf-8")
    except UnicodeDecodeError:
        raise Problem("bad_encoding", f"Plik nie jest w kodowaniu UTF-8. {_UNTOUCHED}") from None
    if declared is not None and declared[1].lower() not in (b"utf-8", b"utf8", b"us-ascii", b"ascii"):
        raise Problem("bad_encoding", f"Plik nie jest w kodowaniu UTF-8. {_UNTOUCHED}")
    try:
        return parse(signed)
    except ValueError:
        raise Problem("not_xml", f"To nie jest poprawny plik XML. {_UNTOUCHED}") from None


def _request(root: _Element) -> _Element:
    """The AuthTokenRequest: the root itself, or inside the signature that is round it (both are allowed, facts §4.2)."""
    names = {f"{{{NAMESPACE}{version}}}AuthTokenRequest" for version in VERSIONS}
    if root.tag in names:
        return root
    if root.tag == f"{DS}Signature":
        inside = [node for part in root.findall(f"{DS}Object") for node in part if node.tag in names]
        if len(inside) == 1:
            return inside[0]
        raise Problem(
            "detached",
            "Podpis nie zawiera żądania w postaci XML – wybierz podpis wewnętrzny (XAdES otoczony, enveloped).",
        )
    raise Problem("other_document", "To nie jest podpisane żądanie logowania do KSeF (AuthTokenRequest 2.0 lub 2.1).")


def _text(element: _Element, path: str) -> str:
    """The text of the one element there; empty when there is none, several, or something hides in it."""
    found = element.findall(path)
    return (found[0].text or "").strip() if len(found) == 1 and not len(found[0]) else ""


def _signer(signature: _Element) -> str:
    from ksef_tui.ksef import certificates

    text = signature.findtext(f"{DS}KeyInfo/{DS}X509Data/{DS}X509Certificate") or ""
    try:
        facts = certificates.describe(certificates.certificate_from_bytes(base64.b64decode(text)))
    except (Problem, binascii.Error, ValueError, TypeError):
        return ""
    return f"{facts.subject_type}:{facts.subject_value}"
