"""The key of a certificate to come and the request for it (PKCS#10), with the subject that KSeF wants (facts §6)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ksef_tui.domain.problems import Problem
from ksef_tui.domain.secret import Secret

if TYPE_CHECKING:
    from cryptography import x509

    from ksef_tui.ksef.api_certificates import EnrolmentData

# Field of the enrolment data → attribute of the subject.
_ATTRIBUTES = {
    "common_name": "2.5.4.3",
    "country_name": "2.5.4.6",
    "given_name": "2.5.4.42",
    "surname": "2.5.4.4",
    "serial_number": "2.5.4.5",
    "unique_identifier": "2.5.4.45",
    "organization_name": "2.5.4.10",
    "organization_identifier": "2.5.4.97",
}


def subject_name(data: EnrolmentData) -> x509.Name:
    """The subject exactly as the enrolment data say: nothing added, nothing left out (25003).

    Raises Problem("bad_enrolment_data") when a certificate cannot hold it.
    """
    from cryptography import x509

    values = {oid: str(getattr(data, field)) for field, oid in _ATTRIBUTES.items() if getattr(data, field)}
    try:
        return x509.Name([x509.NameAttribute(x509.ObjectIdentifier(oid), value) for oid, value in values.items()])
    except ValueError:
        raise Problem("bad_enrolment_data", "KSeF podał dane do wniosku, których nie da się w nim zapisać.") from None


def new_request(subject: x509.Name) -> tuple[Secret, bytes]:
    """A new EC P-256 key (plain PKCS#8 DER, for sealing) and the request signed with it (DER)."""
    from cryptography import x509
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.hazmat.primitives.hashes import SHA256
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

    _rich_traceback_omit = True
    key = ec.generate_private_key(ec.SECP256R1())
    request = x509.CertificateSigningRequestBuilder().subject_name(subject).sign(key, SHA256())
    return Secret(key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())), request.public_bytes(
        Encoding.DER
    )


def fits(certificate: bytes, request: bytes) -> str:
    """What is wrong with a certificate as the answer to a request: `key`, `subject`, `unreadable`; empty: nothing."""
    from cryptography import x509
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    try:
        issued = x509.load_der_x509_certificate(certificate)
        asked = x509.load_der_x509_csr(request)
    except ValueError:
        return "unreadable"

    def public(holder: x509.Certificate | x509.CertificateSigningRequest) -> bytes:
        return holder.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)

    def names(name: x509.Name) -> list[tuple[str, str]]:
        return sorted((attribute.oid.dotted_string, str(attribute.value)) for attribute in name)

    if public(issued) != public(asked):
        return "key"
    return "" if names(issued.subject) == names(asked.subject) else "subject"
