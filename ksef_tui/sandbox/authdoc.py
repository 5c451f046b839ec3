"""The AuthTokenRequest document and the certificate behind it, judged by hand for schema 2.0 and 2.1 (facts §4.2).

The official 2.0 schema cannot be compiled by libxml2, so none of the two is used here.
"""

from __future__ import annotations

import base64
import hashlib
import re
from dataclasses import dataclass

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.x509.oid import NameOID, ObjectIdentifier
from lxml import etree

from ksef_tui.sandbox import xml
from ksef_tui.sandbox.clock import now_ms
from ksef_tui.sandbox.errors import BadRequest
from ksef_tui.sandbox.numbers import CHALLENGE, NIP, PESEL, fits
from ksef_tui.sandbox.signatures import DS, verify

_NAMESPACES = ("http://ksef.mf.gov.pl/auth/token/2.0", "http://ksef.mf.gov.pl/auth/token/2.1")
_CONTEXTS = ("Nip", "InternalId", "NipVatUe", "PeppolId")
_OCTET = r"(25[0-5]|2[0-4]\d|1\d\d|[1-9]\d|\d)"
_IP = rf"({_OCTET}\.){{3}}{_OCTET}"
ADDRESSES = {
    "Ip4Address": ("ip4Addresses", re.compile(_IP, re.ASCII)),
    "Ip4Range": ("ip4Ranges", re.compile(rf"{_IP}-{_IP}", re.ASCII)),
    "Ip4Mask": ("ip4Masks", re.compile(rf"{_IP}/(\d|[12]\d|3[0-2])", re.ASCII)),
}
_ORGANIZATION_IDENTIFIER = ObjectIdentifier("2.5.4.97")
_SEAL = (NameOID.ORGANIZATION_NAME, _ORGANIZATION_IDENTIFIER, NameOID.COMMON_NAME, NameOID.COUNTRY_NAME)
_PERSON = (NameOID.GIVEN_NAME, NameOID.SURNAME, NameOID.SERIAL_NUMBER, NameOID.COMMON_NAME, NameOID.COUNTRY_NAME)
_VATPL = re.compile(r"(VATPL).*?(\d{10})")
_PESEL_SERIAL = re.compile(r"(PNOPL|PESEL).*?(\d{11})")
_NIP_SERIAL = re.compile(r"(TINPL|NIP).*?(\d{10})")


@dataclass(frozen=True)
class AuthRequest:
    """A signed wish to log in: the challenge, the context, who signs, and whether the certificate is in force."""

    challenge: str
    context: tuple[str, str]
    policy: dict[str, list[str]] | None
    certificate: x509.Certificate
    by_fingerprint: bool
    document_hash: str
    certificate_valid: bool
    self_signed: bool


def judge(content: bytes) -> AuthRequest:
    """Read and check a signed document. Raises BadRequest with the code of facts §4.8."""
    if content.startswith(b"\xef\xbb\xbf"):
        content = content[3:]
    try:
        content.decode("utf-8")
    except UnicodeDecodeError as error:
        raise BadRequest(21217) from error
    try:
        tree = xml.parse(content)
    except xml.UnreadableXml as error:
        raise BadRequest(21001, str(error)) from error
    if (tree.docinfo.encoding or "UTF-8").upper() != "UTF-8":
        raise BadRequest(21217)
    root = tree.getroot()
    if root.tag not in {f"{{{n}}}AuthTokenRequest" for n in _NAMESPACES} | {f"{{{DS}}}Signature"}:
        raise BadRequest(9101, "Elementem głównym nie jest AuthTokenRequest ani podpis.")
    signed = verify(tree)
    document = _Document(signed.content)
    now = now_ms() / 1000
    start, end = signed.certificate.not_valid_before_utc, signed.certificate.not_valid_after_utc
    return AuthRequest(
        challenge=document.challenge,
        context=document.context,
        policy=document.policy,
        certificate=signed.certificate,
        by_fingerprint=document.by_fingerprint,
        document_hash=base64.b64encode(hashlib.sha256(content).digest()).decode("ascii"),
        certificate_valid=start.timestamp() <= now <= end.timestamp(),
        self_signed=signed.certificate.issuer == signed.certificate.subject,
    )


class _Document:
    """The parts of an AuthTokenRequest, in the order and shape that the schemas demand. Raises BadRequest(21401)."""

    def __init__(self, root: etree._Element) -> None:
        name = etree.QName(root)
        if name.localname != "AuthTokenRequest" or name.namespace not in _NAMESPACES:
            raise _invalid(f"Nieznany element główny {root.tag}.")
        self._namespace = name.namespace
        children = [child for child in self._children(root) if child.tag != f"{{{DS}}}Signature"]
        tags = [etree.QName(child).localname for child in children]
        expected = ["Challenge", "ContextIdentifier", "SubjectIdentifierType"]
        if tags not in (expected, [*expected, "AuthorizationPolicy"]):
            raise _invalid(
                f"Element AuthTokenRequest zawiera {', '.join(tags) or 'nic'} zamiast {', '.join(expected)}."
            )
        self.challenge = self._text(children[0])
        if not CHALLENGE.fullmatch(self.challenge):
            raise _invalid("Element Challenge ma nieprawidłową wartość.")
        self.context = self._context(children[1])
        self.by_fingerprint = self._subject_type(children[2]) == "certificateFingerprint"
        self.policy = self._policy(children[3]) if len(children) == 4 else None

    def _children(self, element: etree._Element) -> list[etree._Element]:
        if element.attrib:
            raise _invalid(f"Element {etree.QName(element).localname} nie może mieć atrybutów.")
        if (element.text or "").strip() or any((child.tail or "").strip() for child in element):
            raise _invalid(f"Element {etree.QName(element).localname} nie może zawierać tekstu.")
        children = [child for child in element if isinstance(child.tag, str)]
        for child in children:
            if etree.QName(child).namespace not in (self._namespace, DS):
                raise _invalid(f"Nieoczekiwany element {child.tag}.")
        return children

    def _text(self, element: etree._Element) -> str:
        # A comment inside would hide a part of the value from a careless reader.
        if len(element) or element.attrib:
            raise _invalid(f"Element {etree.QName(element).localname} może zawierać tylko tekst.")
        return (element.text or "").strip()

    def _context(self, element: etree._Element) -> tuple[str, str]:
        children = self._children(element)
        kind = etree.QName(children[0]).localname if len(children) == 1 else ""
        if kind not in _CONTEXTS:
            raise _invalid("Element ContextIdentifier musi zawierać jeden identyfikator.")
        value = self._text(children[0])
        if not fits(kind, value):
            raise _invalid(f"Element {kind} ma nieprawidłową wartość '{value}'.")
        return kind, value

    def _subject_type(self, element: etree._Element) -> str:
        kind = self._text(element)
        if kind not in ("certificateSubject", "certificateFingerprint"):
            raise _invalid(f"Nieznany SubjectIdentifierType '{kind}'.")
        return kind

    def _policy(self, element: etree._Element) -> dict[str, list[str]]:
        holders = self._children(element)
        if [etree.QName(h).localname for h in holders] != ["AllowedIps"]:
            raise _invalid("Element AuthorizationPolicy musi zawierać element AllowedIps.")
        policy: dict[str, list[str]] = {key: [] for key, _ in ADDRESSES.values()}
        order = list(ADDRESSES)
        last = 0
        for child in self._children(holders[0]):
            tag = etree.QName(child).localname
            if tag not in ADDRESSES or order.index(tag) < last:
                raise _invalid(f"Nieoczekiwany element {tag}.")
            last = order.index(tag)
            key, pattern = ADDRESSES[tag]
            value = self._text(child)
            if not pattern.fullmatch(value) or len(policy[key]) == 10:
                raise _invalid(f"Element {tag} ma nieprawidłową wartość '{value}' lub jest ich więcej niż 10.")
            policy[key].append(value)
        return policy


def _invalid(text: str) -> BadRequest:
    return BadRequest(21401, text)


def subject_of(certificate: x509.Certificate, by_fingerprint: bool) -> tuple[tuple[str, str], str]:
    """Who the certificate speaks of and how its kind is called. Raises BadRequest(21115)."""
    if by_fingerprint:
        return ("Fingerprint", certificate.fingerprint(hashes.SHA256()).hex().upper()), "QualifiedSignature"
    names = {attribute.oid: str(attribute.value) for attribute in certificate.subject}
    personal = NameOID.GIVEN_NAME in names or NameOID.SURNAME in names
    if not personal and all(oid in names for oid in _SEAL):
        found = _VATPL.search(names[_ORGANIZATION_IDENTIFIER])
        if found and NIP.fullmatch(found[2]):
            return ("Nip", found[2]), "QualifiedSeal"
    if all(oid in names for oid in _PERSON):
        serial = names[NameOID.SERIAL_NUMBER]
        found = _PESEL_SERIAL.search(serial)
        if found and PESEL.fullmatch(found[2]):
            return ("Pesel", found[2]), "QualifiedSignature"
        found = _NIP_SERIAL.search(serial)
        if found and NIP.fullmatch(found[2]):
            return ("Nip", found[2]), "QualifiedSignature"
    raise BadRequest(21115, "Podmiot certyfikatu nie zawiera rozpoznawalnego numeru NIP ani PESEL.")
