"""Judging an XAdES signature: one signature, over the whole document, by the certificate it names (facts §4.2)."""

from __future__ import annotations

import base64
import binascii
import copy
import re
from dataclasses import dataclass

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from lxml import etree

from ksef_tui.sandbox.errors import BadRequest

DS = "http://www.w3.org/2000/09/xmldsig#"
XADES = "http://uri.etsi.org/01903/v1.3.2#"
_SIGNED_PROPERTIES = "http://uri.etsi.org/01903#SignedProperties"
_EXCLUSIVE = "http://www.w3.org/2001/10/xml-exc-c14n#"
_ENVELOPED = DS + "enveloped-signature"
_XPATH = "http://www.w3.org/TR/1999/REC-xpath-19991116"
_FILTER2 = "http://www.w3.org/2002/06/xmldsig-filter2"
# C14N 1.1 differs from 1.0 only in xml:* attributes of ancestors, which these documents cannot have.
_C14N = {
    "http://www.w3.org/TR/2001/REC-xml-c14n-20010315": False,
    "http://www.w3.org/2006/12/xml-c14n11": False,
    _EXCLUSIVE.rstrip("#"): True,
    _EXCLUSIVE: True,
}
_MORE = "http://www.w3.org/2001/04/xmldsig-more#"
_PSS = "http://www.w3.org/2007/05/xmldsig-more#"
_MORE_2021 = "http://www.w3.org/2021/04/xmldsig-more#"
_DIGESTS: dict[str, hashes.HashAlgorithm] = {
    DS + "sha1": hashes.SHA1(),  # noqa: S303 KSeF takes it
    "http://www.w3.org/2001/04/xmlenc#sha256": hashes.SHA256(),
    _MORE + "sha384": hashes.SHA384(),
    "http://www.w3.org/2001/04/xmlenc#sha512": hashes.SHA512(),
    _PSS + "sha3-256": hashes.SHA3_256(),
    _PSS + "sha3-384": hashes.SHA3_384(),
    _PSS + "sha3-512": hashes.SHA3_512(),
}
_HASHES: dict[str, hashes.HashAlgorithm] = {
    "sha1": hashes.SHA1(),  # noqa: S303 KSeF takes it
    "sha256": hashes.SHA256(),
    "sha384": hashes.SHA384(),
    "sha512": hashes.SHA512(),
    "sha3-256": hashes.SHA3_256(),
    "sha3-384": hashes.SHA3_384(),
    "sha3-512": hashes.SHA3_512(),
}
_RSA = {DS + "rsa-sha1": "sha1", **{f"{_MORE}rsa-{h}": h for h in ("sha256", "sha384", "sha512")}}
_RSA_PSS = {f"{_PSS}{h}-rsa-MGF1": h for h in _HASHES}
_ECDSA = {
    **{f"{_MORE}ecdsa-{h}": h for h in ("sha1", "sha256", "sha384", "sha512")},
    **{f"{_MORE_2021}ecdsa-{h}": h for h in ("sha3-256", "sha3-384", "sha3-512")},
}
# The ways of saying "the document without this signature" in XPath.
_WITHOUT_SIGNATURE = re.compile(r"not\(ancestor-or-self::(\w+:)?Signature\)")
_SUBTRACT = re.compile(r"(/descendant::|//|here\(\)/ancestor::)(\w+:)?Signature(\[1\])?")


@dataclass(frozen=True)
class Signed:
    """A good signature: the element it covers, and who signed."""

    content: etree._Element
    certificate: x509.Certificate


def _bad(reason: str) -> BadRequest:
    return BadRequest(9105, reason)


def verify(tree: etree._ElementTree) -> Signed:
    """The signed content of a document with exactly one signature, enveloped or enveloping.

    Raises BadRequest: 9102 no signature, 9103 more than one, 9105 not a good one, 21115 no usable certificate.
    """
    root = tree.getroot()
    signatures = list(root.iter(f"{{{DS}}}Signature"))
    if not signatures:
        raise BadRequest(9102)
    if len(signatures) > 1:
        raise BadRequest(9103)
    signature = signatures[0]
    if signature is not root and signature.getparent() is not root:
        raise _bad("Podpis nie jest umieszczony w elemencie głównym dokumentu.")
    signed_info = _only(signature, f"{{{DS}}}SignedInfo")
    properties = _signed_properties(signature)
    content = _covered(tree, signature, signed_info, properties)
    certificate = _certificate(signature, properties)
    _check_value(signature, signed_info, certificate)
    return Signed(content, certificate)


def _only(parent: etree._Element, tag: str) -> etree._Element:
    found = parent.findall(tag)
    if len(found) != 1:
        raise _bad(f"Oczekiwano jednego elementu {etree.QName(tag).localname}.")
    return found[0]


def _signed_properties(signature: etree._Element) -> etree._Element:
    found = signature.findall(f"{{{DS}}}Object/{{{XADES}}}QualifyingProperties/{{{XADES}}}SignedProperties")
    if len(found) != 1:
        raise _bad("Podpis nie jest podpisem XAdES: brak jednego elementu SignedProperties.")
    qualifying = found[0].getparent()
    if qualifying is None or qualifying.get("Target", "").lstrip("#") != signature.get("Id", ""):
        raise _bad("QualifyingProperties nie wskazuje podpisu.")
    return found[0]


def _covered(
    tree: etree._ElementTree, signature: etree._Element, signed_info: etree._Element, properties: etree._Element
) -> etree._Element:
    """The one thing that is signed apart from the signature's own parts; checks every digest."""
    content: etree._Element | None = None
    properties_signed = False
    references = signed_info.findall(f"{{{DS}}}Reference")
    for reference in references:
        target = _target(tree, reference)
        whole = target is tree.getroot() and signature is not target
        enveloped = _check_digest(tree, reference, target, signature)
        if target is properties:
            if reference.get("Type") != _SIGNED_PROPERTIES:
                raise _bad("Referencja do SignedProperties nie ma właściwego typu.")
            properties_signed = True
        elif whole and enveloped:
            content = _once(content, target)
        elif signature is tree.getroot() and _is_payload(signature, target):
            content = _once(content, _payload(target))
        elif not _inside(target, signature):
            raise _bad("Podpis obejmuje tylko część dokumentu.")
    if content is None:
        raise _bad("Podpis nie obejmuje całego dokumentu.")
    if not properties_signed:
        raise _bad("Podpis nie obejmuje SignedProperties.")
    return content


def _once(known: etree._Element | None, found: etree._Element) -> etree._Element:
    if known is not None and known is not found:
        raise _bad("Podpis obejmuje więcej niż jeden dokument.")
    return found


def _target(tree: etree._ElementTree, reference: etree._Element) -> etree._Element:
    uri = reference.get("URI")
    if uri == "":
        return tree.getroot()
    if uri is None or not uri.startswith("#"):
        raise _bad("Referencja wskazuje poza dokument.")
    wanted = uri[1:]
    found = [e for e in tree.iter(etree.Element) if wanted in (e.get("Id"), e.get("ID"), e.get("id"))]
    if len(found) != 1:
        raise _bad(f"Identyfikator {wanted} nie wskazuje dokładnie jednego elementu.")
    return found[0]


def _is_payload(signature: etree._Element, target: etree._Element) -> bool:
    """In an enveloping signature: a ds:Object without XAdES properties, or the only element in it."""
    holder = target if target.getparent() is signature else target.getparent()
    return (
        holder is not None
        and holder.getparent() is signature
        and holder.tag == f"{{{DS}}}Object"
        and len(holder) == 1
        and etree.QName(holder[0]).namespace != XADES
    )


def _payload(target: etree._Element) -> etree._Element:
    return target[0] if target.tag == f"{{{DS}}}Object" else target


def _inside(element: etree._Element, ancestor: etree._Element) -> bool:
    return any(parent is ancestor for parent in element.iterancestors())


def _check_digest(
    tree: etree._ElementTree, reference: etree._Element, target: etree._Element, signature: etree._Element
) -> bool:
    """Checks the digest of one reference; True when a transform took the signature itself out."""
    transforms = reference.findall(f"{{{DS}}}Transforms/{{{DS}}}Transform")
    node, enveloped, octets = target, False, None
    for transform in transforms:
        algorithm = transform.get("Algorithm", "")
        if octets is not None:
            raise _bad("Przekształcenie po kanonikalizacji jest niedozwolone.")
        if algorithm.removesuffix("WithComments").removesuffix("#") in {c.rstrip("#") for c in _C14N}:
            octets = _canonical(node, transform, target is tree.getroot())
        elif _takes_signature_out(algorithm, transform):
            if not _inside(signature, target):
                raise _bad("Podpis nie leży w podpisanym elemencie.")
            node, enveloped = _without(target, signature), True
        else:
            raise _bad(f"Niedozwolone przekształcenie {algorithm}.")
    if octets is None:
        octets = etree.tostring(node, method="c14n", with_comments=False, with_tail=False)
    algorithm = _only(reference, f"{{{DS}}}DigestMethod").get("Algorithm", "")
    if _digest(algorithm, octets) != _value(_only(reference, f"{{{DS}}}DigestValue")):
        raise _bad(f"Skrót referencji '{reference.get('URI')}' jest niezgodny z dokumentem.")
    return enveloped


def _takes_signature_out(algorithm: str, transform: etree._Element) -> bool:
    if algorithm == _ENVELOPED:
        return True
    text = "".join("".join(map(str, transform.itertext())).split())
    if algorithm == _XPATH:
        return _WITHOUT_SIGNATURE.fullmatch(text) is not None
    if algorithm == _FILTER2:
        filters = transform.findall(f"{{{_FILTER2}}}XPath")
        return len(filters) == 1 and filters[0].get("Filter") == "subtract" and _SUBTRACT.fullmatch(text) is not None
    return False


def _without(target: etree._Element, signature: etree._Element) -> etree._Element:
    """A copy of the target without the signature; the text around it stays."""
    path = []
    node = signature
    while node is not target:
        parent = node.getparent()
        assert parent is not None  # the caller knows that the signature is inside
        path.append(parent.index(node))
        node = parent
    tree = copy.deepcopy(target.getroottree())
    clone = tree.find(target.getroottree().getelementpath(target)) if target.getparent() is not None else tree.getroot()
    assert clone is not None  # the same path in a copy
    found = clone
    for index in reversed(path):
        found = found[index]
    parent, before, tail = found.getparent(), found.getprevious(), found.tail or ""
    assert parent is not None  # it is inside the clone
    if before is not None:
        before.tail = (before.tail or "") + tail
    else:
        parent.text = (parent.text or "") + tail
    parent.remove(found)
    return clone


def _canonical(node: etree._Element, method: etree._Element, whole: bool) -> bytes:
    """Canonical bytes of an element, or of the document with what stands beside the root."""
    algorithm = method.get("Algorithm", "")
    comments = algorithm.endswith("WithComments")
    name = algorithm.removesuffix("WithComments")
    if name not in _C14N:
        raise _bad(f"Niedozwolona kanonikalizacja {algorithm}.")
    exclusive = _C14N[name]
    inclusive = method.find(f"{{{_EXCLUSIVE}}}InclusiveNamespaces")
    prefixes = inclusive.get("PrefixList", "").split() if inclusive is not None and exclusive else None
    subject = node.getroottree() if whole and node.getparent() is None else node
    options = {"exclusive": exclusive, "with_comments": comments, "inclusive_ns_prefixes": prefixes}
    return etree.tostring(subject, method="c14n", with_tail=False, **options)  # type: ignore[call-overload,no-any-return]


def _digest(algorithm: str, content: bytes) -> bytes:
    if algorithm not in _DIGESTS:
        raise _bad(f"Niedozwolony algorytm skrótu {algorithm}.")
    digest = hashes.Hash(_DIGESTS[algorithm])
    digest.update(content)
    return digest.finalize()


def _value(element: etree._Element) -> bytes:
    try:
        return base64.b64decode("".join((element.text or "").split()), validate=True)
    except (binascii.Error, ValueError) as error:
        raise _bad("Wartość nie jest w kodzie Base64.") from error


def _certificate(signature: etree._Element, properties: etree._Element) -> x509.Certificate:
    """The certificate in KeyInfo whose digest is in SigningCertificate or SigningCertificateV2."""
    elements = signature.findall(f"{{{DS}}}KeyInfo/{{{DS}}}X509Data/{{{DS}}}X509Certificate")
    if not elements:
        raise BadRequest(21115, "Podpis nie zawiera certyfikatu.")
    owner = f"{{{XADES}}}SignedSignatureProperties/{{{XADES}}}"
    cert = properties.find(f"{owner}SigningCertificate/{{{XADES}}}Cert")
    if cert is None:
        cert = properties.find(f"{owner}SigningCertificateV2/{{{XADES}}}Cert")
    if cert is None:
        raise _bad("Brak elementu SigningCertificate.")
    digest = _only(cert, f"{{{XADES}}}CertDigest")
    algorithm = _only(digest, f"{{{DS}}}DigestMethod").get("Algorithm", "")
    wanted = _value(_only(digest, f"{{{DS}}}DigestValue"))
    der = next((d for d in map(_value, elements) if _digest(algorithm, d) == wanted), None)
    if der is None:
        raise _bad("Skrót w SigningCertificate nie jest skrótem certyfikatu z KeyInfo.")
    try:
        certificate = x509.load_der_x509_certificate(der)
        serial = cert.findtext(f"{{{XADES}}}IssuerSerial/{{{DS}}}X509SerialNumber")
        if serial is not None and serial.strip() != str(certificate.serial_number):
            raise _bad("Numer seryjny w SigningCertificate jest niezgodny z certyfikatem.")
    except ValueError as error:
        raise BadRequest(21115, "Certyfikat jest nieczytelny.") from error
    return certificate


def _check_value(signature: etree._Element, signed_info: etree._Element, certificate: x509.Certificate) -> None:
    method = _only(signed_info, f"{{{DS}}}SignatureMethod").get("Algorithm", "")
    octets = _canonical(signed_info, _only(signed_info, f"{{{DS}}}CanonicalizationMethod"), whole=False)
    value = _value(_only(signature, f"{{{DS}}}SignatureValue"))
    key = certificate.public_key()
    try:
        if isinstance(key, rsa.RSAPublicKey) and key.key_size >= 2048 and method in _RSA:
            key.verify(value, octets, padding.PKCS1v15(), _HASHES[_RSA[method]])
        elif isinstance(key, rsa.RSAPublicKey) and key.key_size >= 2048 and method in _RSA_PSS:
            algorithm = _HASHES[_RSA_PSS[method]]
            key.verify(value, octets, padding.PSS(padding.MGF1(algorithm), padding.PSS.AUTO), algorithm)
        elif isinstance(key, ec.EllipticCurvePublicKey) and key.key_size >= 256 and method in _ECDSA:
            key.verify(_der(value, key.key_size), octets, ec.ECDSA(_HASHES[_ECDSA[method]]))
        else:
            raise _bad(f"Niedozwolony algorytm podpisu {method} lub zbyt krótki klucz.")
    except InvalidSignature as error:
        raise _bad("Wartość podpisu jest niezgodna z certyfikatem.") from error


def _der(value: bytes, bits: int) -> bytes:
    """R and S of fixed length, as XML signatures carry them, in the form that the library checks."""
    size = (bits + 7) // 8
    if len(value) != 2 * size:
        raise _bad("Podpis ECDSA nie ma postaci R||S o stałej długości.")
    return encode_dss_signature(int.from_bytes(value[:size], "big"), int.from_bytes(value[size:], "big"))
