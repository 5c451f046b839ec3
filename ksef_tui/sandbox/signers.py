"""Names in certificates: what KSeF hands out for a request, and whether a request repeats it (facts §6)."""

from __future__ import annotations

import hashlib

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import NameOID, ObjectIdentifier

from ksef_tui.sandbox.errors import BadRequest

_FIELDS = {
    "commonName": NameOID.COMMON_NAME,
    "countryName": NameOID.COUNTRY_NAME,
    "givenName": NameOID.GIVEN_NAME,
    "surname": NameOID.SURNAME,
    "serialNumber": NameOID.SERIAL_NUMBER,
    "uniqueIdentifier": NameOID.X500_UNIQUE_IDENTIFIER,
    "organizationName": NameOID.ORGANIZATION_NAME,
    "organizationIdentifier": ObjectIdentifier("2.5.4.97"),
}
_HASHES = ("sha1", "sha256", "sha384", "sha512")
_RSA_BITS = 2048


def names_of(certificate: x509.Certificate) -> dict[str, str]:
    """The attributes of the subject that a request for a KSeF certificate must repeat."""
    found = {attribute.oid: str(attribute.value) for attribute in certificate.subject}
    return {field: found[oid] for field, oid in _FIELDS.items() if oid in found}


def read_request(content: bytes, names: dict[str, str]) -> x509.CertificateSigningRequest:
    """A PKCS#10 request whose subject is exactly `names`.

    Raises BadRequest: 25004 unreadable or badly signed, 25010 key, 25011 signature algorithm, 25003 another subject.
    """
    try:
        request = x509.load_der_x509_csr(content)
        key = request.public_key()
        subject = sorted((attribute.oid.dotted_string, str(attribute.value)) for attribute in request.subject)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise BadRequest(25004) from error
    if not _is_good(key):
        raise BadRequest(25010)
    if _hash_name(request) not in _HASHES:
        raise BadRequest(25011)
    if not _is_signed(request):
        raise BadRequest(25004)
    if subject != sorted((_FIELDS[field].dotted_string, value) for field, value in names.items()):
        raise BadRequest(25003)
    return request


def _is_good(key: object) -> bool:
    if isinstance(key, rsa.RSAPublicKey):
        return key.key_size == _RSA_BITS
    return isinstance(key, ec.EllipticCurvePublicKey) and isinstance(key.curve, ec.SECP256R1)


def _hash_name(request: x509.CertificateSigningRequest) -> str | None:
    try:
        algorithm = request.signature_hash_algorithm
    except UnsupportedAlgorithm:
        return None
    return algorithm.name if algorithm is not None else None


def _is_signed(request: x509.CertificateSigningRequest) -> bool:
    try:
        return request.is_signature_valid
    except (InvalidSignature, UnsupportedAlgorithm, ValueError):
        return False


def key_hash(request: x509.CertificateSigningRequest) -> str:
    """SHA-256 of the public key, to see whether it was certified before."""
    form = serialization.PublicFormat.SubjectPublicKeyInfo
    info = request.public_key().public_bytes(serialization.Encoding.DER, form)
    return hashlib.sha256(info).hexdigest()
