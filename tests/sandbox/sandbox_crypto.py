"""Keys, certificates, XAdES and encryption in the tests' own hand, so that no mistake hides at both ends."""

from __future__ import annotations

import base64
import hashlib
import os
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.x509.oid import NameOID, ObjectIdentifier
from lxml import etree

DS = "http://www.w3.org/2000/09/xmldsig#"
XADES = "http://uri.etsi.org/01903/v1.3.2#"
EXC = "http://www.w3.org/2001/10/xml-exc-c14n#"
C14N = "http://www.w3.org/TR/2001/REC-xml-c14n-20010315"
C14N11 = "http://www.w3.org/2006/12/xml-c14n11"
SHA256 = "http://www.w3.org/2001/04/xmlenc#sha256"
_MORE = "http://www.w3.org/2001/04/xmldsig-more#"
XPATH = "http://www.w3.org/TR/1999/REC-xpath-19991116"
FILTER2 = "http://www.w3.org/2002/06/xmldsig-filter2"
PSS = "http://www.w3.org/2007/05/xmldsig-more#sha256-rsa-MGF1"


def b64(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")


def sha(data: bytes) -> str:
    return b64(hashlib.sha256(data).digest())


@cache
def rsa_key(number: int = 0, bits: int = 2048) -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(65537, bits)


@cache
def ec_key(number: int = 0) -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP256R1())


@dataclass(frozen=True)
class Identity:
    certificate: x509.Certificate
    key: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey

    @property
    def der(self) -> bytes:
        return self.certificate.public_bytes(serialization.Encoding.DER)

    @property
    def pem(self) -> str:
        return self.certificate.public_bytes(serialization.Encoding.PEM).decode()

    @property
    def key_pem(self) -> str:
        form = serialization.PrivateFormat.PKCS8
        return self.key.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption()).decode()


def identity(names, key=None, *, start=-1, end=365) -> Identity:
    """A self-signed certificate; `start` and `end` are days from now."""
    key = key or ec_key()
    subject = x509.Name([x509.NameAttribute(oid, value) for oid, value in names])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now + timedelta(days=start))
        .not_valid_after(now + timedelta(days=end))
        .sign(key, hashes.SHA256())
    )
    return Identity(certificate, key)


def seal(nip: str, key=None, **dates) -> Identity:
    names = (
        (NameOID.COUNTRY_NAME, "PL"),
        (NameOID.ORGANIZATION_NAME, "Biuro Testowe"),
        (NameOID.COMMON_NAME, "Biuro Testowe"),
        (ObjectIdentifier("2.5.4.97"), f"VATPL-{nip}"),
    )
    return identity(names, key, **dates)


def person(serial: str, key=None, **dates) -> Identity:
    """`serial` as in certificates: PNOPL-<PESEL> or TINPL-<NIP>."""
    names = (
        (NameOID.COUNTRY_NAME, "PL"),
        (NameOID.GIVEN_NAME, "Jan"),
        (NameOID.SURNAME, "Testowy"),
        (NameOID.COMMON_NAME, "Jan Testowy"),
        (NameOID.SERIAL_NUMBER, serial),
    )
    return identity(names, key, **dates)


def auth_document(challenge, nip, *, schema="2.1", subject="certificateSubject", context=None, policy="") -> str:
    context = context or f"<Nip>{nip}</Nip>"
    return (
        f'<?xml version="1.0" encoding="utf-8"?>\n<AuthTokenRequest xmlns="http://ksef.mf.gov.pl/auth/token/{schema}">'
        f"\n  <Challenge>{challenge}</Challenge>\n  <ContextIdentifier>{context}</ContextIdentifier>\n"
        f"  <SubjectIdentifierType>{subject}</SubjectIdentifierType>{policy}\n</AuthTokenRequest>"
    )


def canonical(node, algorithm: str) -> bytes:
    return etree.tostring(node, method="c14n", exclusive=algorithm == EXC, with_comments=False, with_tail=False)


def _add(parent, tag, text=None, **attributes):
    element = etree.SubElement(parent, tag, attributes)
    element.text = text
    return element


def _reference(info, uri, octets, transforms, kind=None):
    reference = _add(info, f"{{{DS}}}Reference", URI=uri, **({"Type": kind} if kind else {}))
    holder = _add(reference, f"{{{DS}}}Transforms")
    for algorithm in transforms:
        transform = _add(holder, f"{{{DS}}}Transform", Algorithm=algorithm)
        if algorithm == XPATH:
            _add(transform, f"{{{DS}}}XPath", "not(ancestor-or-self::ds:Signature)")
        if algorithm == FILTER2:
            _add(transform, f"{{{FILTER2}}}XPath", "/descendant::ds:Signature", Filter="subtract")
    _add(reference, f"{{{DS}}}DigestMethod", Algorithm=SHA256)
    _add(reference, f"{{{DS}}}DigestValue", sha(octets))


def sign(
    text: str,
    who: Identity,
    *,
    method: str = EXC,
    v2: bool = False,
    key_info_signed: bool = False,
    algorithm: str | None = None,
    cert_digest: str | None = None,
    der_signature: bool = False,
    with_properties: bool = True,
    named: Identity | None = None,
    enveloping: bool = False,
    out: str = DS + "enveloped-signature",
) -> bytes:
    """An enveloped (or enveloping) XAdES-BES signature; the options are the forms that clients use, and a few that are wrong."""
    root = etree.fromstring(text.encode())
    whole = etree.tostring(root.getroottree(), method="c14n", exclusive=method == EXC, with_comments=False)
    if enveloping:
        signature = etree.Element(f"{{{DS}}}Signature", {"Id": "Signature"}, nsmap={"ds": DS})
    else:
        signature = etree.SubElement(root, f"{{{DS}}}Signature", {"Id": "Signature"}, nsmap={"ds": DS})
    info = _add(signature, f"{{{DS}}}SignedInfo")
    value = _add(signature, f"{{{DS}}}SignatureValue")
    key_info = _add(signature, f"{{{DS}}}KeyInfo", Id="KeyInfo")
    data = _add(key_info, f"{{{DS}}}X509Data")
    _add(data, f"{{{DS}}}X509Certificate", b64((named or who).der))
    if algorithm is None:
        algorithm = _MORE + ("rsa-sha256" if isinstance(who.key, rsa.RSAPrivateKey) else "ecdsa-sha256")
    _add(info, f"{{{DS}}}CanonicalizationMethod", Algorithm=method)
    _add(info, f"{{{DS}}}SignatureMethod", Algorithm=algorithm)
    if enveloping:
        payload = _add(signature, f"{{{DS}}}Object", Id="payload")
        payload.append(root)
        root = signature
        _reference(info, "#payload", canonical(payload, method), [method])
    else:
        _reference(info, "", whole, [out, method])
    if with_properties:
        properties = _properties(signature, who, v2=v2, digest=cert_digest)
        kind = "http://uri.etsi.org/01903#SignedProperties"
        _reference(info, "#SignedProperties", canonical(properties, method), [method], kind)
    if key_info_signed:
        _reference(info, "#KeyInfo", canonical(key_info, method), [method])
    value.text = b64(_sign_value(who.key, canonical(info, method), algorithm, der_signature))
    return etree.tostring(root.getroottree(), xml_declaration=True, encoding="utf-8")


def _properties(signature, who, *, v2, digest):
    holder = _add(signature, f"{{{DS}}}Object")
    qualifying = etree.SubElement(
        holder, f"{{{XADES}}}QualifyingProperties", {"Target": "#Signature"}, nsmap={"xades": XADES}
    )
    properties = _add(qualifying, f"{{{XADES}}}SignedProperties", Id="SignedProperties")
    own = _add(properties, f"{{{XADES}}}SignedSignatureProperties")
    _add(own, f"{{{XADES}}}SigningTime", datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"))
    signing = _add(own, f"{{{XADES}}}SigningCertificate" + ("V2" if v2 else ""))
    cert = _add(signing, f"{{{XADES}}}Cert")
    holder = _add(cert, f"{{{XADES}}}CertDigest")
    _add(holder, f"{{{DS}}}DigestMethod", Algorithm=SHA256)
    _add(holder, f"{{{DS}}}DigestValue", digest or sha(who.der))
    if not v2:
        serial = _add(cert, f"{{{XADES}}}IssuerSerial")
        _add(serial, f"{{{DS}}}X509IssuerName", who.certificate.issuer.rfc4514_string())
        _add(serial, f"{{{DS}}}X509SerialNumber", str(who.certificate.serial_number))
    return properties


def _sign_value(key, octets, algorithm, der_signature) -> bytes:
    if isinstance(key, rsa.RSAPrivateKey):
        if algorithm == PSS:
            return key.sign(octets, padding.PSS(padding.MGF1(hashes.SHA256()), 32), hashes.SHA256())
        return key.sign(octets, padding.PKCS1v15(), hashes.SHA256())
    der = key.sign(octets, ec.ECDSA(hashes.SHA256()))
    if der_signature:
        return der
    r, s = decode_dss_signature(der)
    return r.to_bytes(32, "big") + s.to_bytes(32, "big")


def wrap_key(certificate: str, plain: bytes) -> str:
    """RSA-OAEP-SHA-256 with the ministry's certificate (Base64 DER)."""
    key = x509.load_der_x509_certificate(base64.b64decode(certificate)).public_key()
    return b64(key.encrypt(plain, padding.OAEP(padding.MGF1(hashes.SHA256()), hashes.SHA256(), None)))


def encrypt(plain: bytes, key: bytes, vector: bytes) -> bytes:
    size = 16 - len(plain) % 16
    encryptor = Cipher(algorithms.AES(key), modes.CBC(vector)).encryptor()
    return encryptor.update(plain + bytes([size]) * size) + encryptor.finalize()


def random_key() -> tuple[bytes, bytes]:
    return os.urandom(32), os.urandom(16)
