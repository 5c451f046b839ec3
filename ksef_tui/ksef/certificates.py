"""Certificates and private keys from files, in every form offices have them, and what a certificate says (facts §4.2)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from ksef_tui.domain.problems import Problem
from ksef_tui.domain.secret import Secret
from ksef_tui.domain.times import warsaw

if TYPE_CHECKING:
    from cryptography import x509
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

    PrivateKey = RSAPrivateKey | EllipticCurvePrivateKey

MIN_RSA = 2048
MIN_EC = 256

# The ministry's certification centre names itself; so does the sandbox's.
_KSEF_ISSUER = re.compile(r"KSeF|CCK\b|Ministerstwo Finans", re.IGNORECASE)
_PEM_CERTIFICATE = b"-----BEGIN CERTIFICATE-----"
_PEM_KEY = re.compile(rb"-----BEGIN (RSA |EC |ENCRYPTED )?PRIVATE KEY-----")
_PEM_KEY_BLOCK = re.compile(
    rb"-----BEGIN (?:RSA |EC |ENCRYPTED )?PRIVATE KEY-----.*?-----END (?:RSA |EC |ENCRYPTED )?PRIVATE KEY-----", re.S
)
# DER marks: version 3 of a PFX; the object identifiers PKCS#5 and PKCS#12 of encrypted keys.
_PFX = re.compile(rb"\x30(?:[\x00-\x80]|\x81.|\x82..|\x83...|\x84....)\x02\x01\x03", re.S)
_ENCRYPTED_DER = (b"\x2a\x86\x48\x86\xf7\x0d\x01\x05", b"\x2a\x86\x48\x86\xf7\x0d\x01\x0c\x01")


@dataclass(frozen=True, slots=True)
class LoadedIdentity:
    """A certificate with its private key, both checked and fitting."""

    certificate: x509.Certificate
    key: PrivateKey


@dataclass(frozen=True, slots=True)
class CertificateFacts:
    """What a certificate says: whose it is (`subject_type` Nip, Pesel or Fingerprint), which key, from when to when.

    `serial` and `fingerprint` (SHA-256 of DER) are upper-case hex.
    """

    subject_type: str
    subject_value: str
    common_name: str
    serial: str
    fingerprint: str
    key_kind: str
    valid_from: datetime
    valid_to: datetime
    is_seal: bool
    issuer: str
    by_ksef: bool  # issued by KSeF: it can be renewed and revoked there
    offline: bool  # only for QR codes of offline invoices, never to log in (facts §6)

    @property
    def kind(self) -> str:
        """`ksef`, `seal` or `person`."""
        return "ksef" if self.by_ksef else "seal" if self.is_seal else "person"


def load(
    certificate_file: bytes,
    key_file: bytes | None = None,
    password: Secret | None = None,
    *,
    now: datetime | None = None,
) -> LoadedIdentity:
    """Reads an identity: a PKCS#12 file (or a PEM with both), or a certificate (PEM, DER) and a key (PEM, DER).

    Raises Problem: wrong_password, bad_certificate, bad_key, key_mismatch, weak_key, certificate_expired,
    certificate_not_yet_valid.
    """
    if key_file is None and not _is_pem(certificate_file):
        identity = _from_pkcs12(certificate_file, password)
    elif key_file is None:
        block = _PEM_KEY_BLOCK.search(certificate_file)
        if block is None:
            raise Problem("bad_key", "W pliku jest certyfikat, ale nie ma klucza prywatnego – podaj także plik klucza.")
        identity = _fitting(_certificates(certificate_file), _key(block[0], password))
    else:
        certificates = _certificates(certificate_file)
        identity = _fitting(certificates, _key(key_file, password))
    _check_strength(identity.key)
    _check_validity(identity.certificate, now or datetime.now(UTC))
    return identity


def describe(certificate: x509.Certificate) -> CertificateFacts:
    """Whose certificate it is and how long it is good for."""
    from cryptography.hazmat.primitives.hashes import SHA256
    from cryptography.x509.oid import NameOID

    kind, value, seal = subject_of(certificate.subject)
    by_ksef = certificate.issuer != certificate.subject and bool(
        _KSEF_ISSUER.search(certificate.issuer.rfc4514_string())
    )
    fingerprint = certificate.fingerprint(SHA256()).hex().upper()
    return CertificateFacts(
        subject_type=kind or "Fingerprint",
        subject_value=value or fingerprint,
        common_name=_attribute(certificate.subject, NameOID.COMMON_NAME),
        serial=f"{certificate.serial_number:X}".zfill(16),
        fingerprint=fingerprint,
        key_kind=_key_kind(certificate),
        valid_from=certificate.not_valid_before_utc,
        valid_to=certificate.not_valid_after_utc,
        is_seal=seal,
        issuer=certificate.issuer.rfc4514_string(),
        by_ksef=by_ksef,
        offline=by_ksef and _is_offline(certificate),
    )


def certificate_bytes(identity: LoadedIdentity) -> bytes:
    """The certificate as DER."""
    from cryptography.hazmat.primitives.serialization import Encoding

    return identity.certificate.public_bytes(Encoding.DER)


def certificate_from_bytes(data: bytes) -> x509.Certificate:
    """A certificate from DER; raises Problem("bad_certificate")."""
    return _certificates(data)[0]


def private_key_bytes(identity: LoadedIdentity) -> Secret:
    """The private key as plain PKCS#8 DER, for sealing."""
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

    return Secret(identity.key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption()))


def key_from_bytes(data: Secret) -> PrivateKey:
    """The private key that `private_key_bytes` gave; raises Problem("bad_key")."""
    return _key(data.reveal(), None)


def prove(certificate: bytes, key: Secret) -> bytes:
    """A signature that only the owner of the key can make, over the certificate's fingerprint (F34).

    Raises Problem: bad_key, or key_mismatch when the certificate does not verify it.
    """
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric import ec, padding
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, RSAPublicKey
    from cryptography.hazmat.primitives.hashes import SHA256

    _rich_traceback_omit = True
    holder, public = key_from_bytes(key), certificate_from_bytes(certificate)
    text = b"ksef-tui: " + public.fingerprint(SHA256())
    known = public.public_key()
    try:
        if isinstance(holder, RSAPrivateKey) and isinstance(known, RSAPublicKey):
            proof = holder.sign(text, padding.PKCS1v15(), SHA256())
            known.verify(proof, text, padding.PKCS1v15(), SHA256())
            return proof
        if isinstance(holder, ec.EllipticCurvePrivateKey) and isinstance(known, ec.EllipticCurvePublicKey):
            proof = holder.sign(text, ec.ECDSA(SHA256()))
            known.verify(proof, text, ec.ECDSA(SHA256()))
            return proof
    except InvalidSignature:
        pass
    raise Problem("key_mismatch", "Klucz prywatny nie pasuje do tego certyfikatu.")


# ---- reading files


def _is_pem(data: bytes) -> bool:
    return b"-----BEGIN " in data


def _certificates(data: bytes) -> list[x509.Certificate]:
    from cryptography import x509

    if _PEM_KEY.search(data) and _PEM_CERTIFICATE not in data:
        raise Problem(
            "bad_certificate", "To jest plik klucza prywatnego, a nie certyfikatu – czy pliki nie są zamienione?"
        )
    try:
        if _PEM_CERTIFICATE in data:
            return x509.load_pem_x509_certificates(data)
        return [x509.load_der_x509_certificate(data)]
    except ValueError:
        hint = " To plik PKCS#12 – podaj go jako jeden plik." if _PFX.match(data) else ""
        raise Problem("bad_certificate", f"Nie da się odczytać certyfikatu z tego pliku.{hint}") from None


def _key(data: bytes, password: Secret | None) -> PrivateKey:
    from cryptography.hazmat.primitives.serialization import load_der_private_key, load_pem_private_key

    if _PEM_CERTIFICATE in data and not _PEM_KEY.search(data):
        raise Problem("bad_key", "To jest plik certyfikatu, a nie klucza prywatnego – czy pliki nie są zamienione?")
    encrypted = _is_encrypted(data)
    if encrypted and not password:
        raise Problem("wrong_password", "Klucz prywatny jest zaszyfrowany – podaj hasło do klucza.")
    block = _PEM_KEY_BLOCK.search(data)
    reader = load_pem_private_key if block else load_der_private_key
    try:
        key = reader(block[0] if block else data, password.reveal() if encrypted and password else None)
    except (ValueError, TypeError):
        if encrypted:
            raise Problem("wrong_password", "Hasło do klucza prywatnego jest błędne.") from None
        raise _unreadable_key() from None
    except Exception as error:
        raise _known(error, _unreadable_key()) from None
    return _usable(key)


def _is_encrypted(data: bytes) -> bool:
    if _is_pem(data):
        return b"ENCRYPTED" in data  # "ENCRYPTED PRIVATE KEY", or "Proc-Type: 4,ENCRYPTED" of the old form
    return any(mark in data[:80] for mark in _ENCRYPTED_DER)


def _from_pkcs12(data: bytes, password: Secret | None) -> LoadedIdentity:
    from cryptography.hazmat.primitives.serialization import pkcs12

    if not _PFX.match(data):
        certificates = _certificates(data)  # a plain certificate, or the problem with it
        raise Problem(
            "bad_key",
            f"W pliku jest sam certyfikat ({describe(certificates[0]).common_name}) – podaj także plik klucza.",
        )
    try:
        key, certificate, others = pkcs12.load_key_and_certificates(data, password.reveal() if password else None)
    except ValueError:
        text = "Hasło do pliku PKCS#12 jest błędne." if password else "Plik PKCS#12 jest zaszyfrowany – podaj hasło."
        raise Problem("wrong_password", text) from None
    except Exception as error:
        raise _known(error, Problem("bad_key", "Tego rodzaju pliku PKCS#12 program nie odczyta.")) from None
    if key is None:
        raise Problem("bad_key", "W pliku PKCS#12 nie ma klucza prywatnego.")
    certificates = ([certificate] if certificate else []) + list(others)
    if not certificates:
        raise Problem("bad_certificate", "W pliku PKCS#12 nie ma certyfikatu.")
    return _fitting(certificates, _usable(key))


def _known(error: Exception, problem: Problem) -> Exception:
    """The problem when the library does not support a cipher; anything else is a fault of ours and stays itself."""
    from cryptography.exceptions import UnsupportedAlgorithm

    return problem if isinstance(error, UnsupportedAlgorithm) else error


def _unreadable_key() -> Problem:
    return Problem("bad_key", "Nie da się odczytać klucza prywatnego z tego pliku.")


# ---- checks


def _usable(key: object) -> PrivateKey:
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

    if not isinstance(key, RSAPrivateKey | EllipticCurvePrivateKey):
        raise Problem("weak_key", "KSeF przyjmuje tylko klucze RSA i EC – ten jest innego rodzaju.")
    return key


def _fitting(certificates: list[x509.Certificate], key: PrivateKey) -> LoadedIdentity:
    """Of the certificates in a file (often a whole chain) the one that belongs to the key."""
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    def public(holder: object) -> bytes:
        return holder.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)  # type: ignore[attr-defined, no-any-return]

    for certificate in certificates:
        if public(certificate) == public(key):
            return LoadedIdentity(certificate, key)
    raise Problem("key_mismatch", "Klucz prywatny nie pasuje do tego certyfikatu.")


def _check_strength(key: PrivateKey) -> None:
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

    least, name = (MIN_RSA, "RSA") if isinstance(key, RSAPrivateKey) else (MIN_EC, "EC")
    if key.key_size < least:
        raise Problem(
            "weak_key", f"Klucz {name} {key.key_size} jest za krótki – KSeF wymaga co najmniej {least} bitów."
        )


def _check_validity(certificate: x509.Certificate, now: datetime) -> None:
    if now > certificate.not_valid_after_utc:
        day = warsaw(certificate.not_valid_after_utc)
        raise Problem("certificate_expired", f"Certyfikat wygasł {day:%d.%m.%Y} – potrzebny jest nowy.")
    if now < certificate.not_valid_before_utc:
        day = warsaw(certificate.not_valid_before_utc)
        raise Problem("certificate_not_yet_valid", f"Certyfikat jest ważny dopiero od {day:%d.%m.%Y %H:%M}.")


# ---- what a certificate says


def _attribute(subject: x509.Name, oid: x509.ObjectIdentifier) -> str:
    found = subject.get_attributes_for_oid(oid)
    return str(found[0].value) if found else ""


def subject_of(subject: x509.Name) -> tuple[str, str, bool]:
    """Type and value of the identifier in a subject and whether it is a seal's; empty when it names nobody."""
    from cryptography.x509.oid import NameOID

    person = bool(_attribute(subject, NameOID.GIVEN_NAME) or _attribute(subject, NameOID.SURNAME))
    serial = _attribute(subject, NameOID.SERIAL_NUMBER)
    organization = re.search(r"VATPL.*?(\d{10})", _attribute(subject, NameOID.ORGANIZATION_IDENTIFIER))
    if organization and not person:
        return "Nip", organization[1], True
    pesel = re.search(r"(?:PNOPL|PESEL).*?(\d{11})", serial)
    if pesel:
        return "Pesel", pesel[1], False
    nip = re.search(r"(?:TINPL|NIP).*?(\d{10})", serial)
    if nip:
        return "Nip", nip[1], False
    return "", "", False


def _is_offline(certificate: x509.Certificate) -> bool:
    """Whether it may not sign a login: no digitalSignature among its uses."""
    from cryptography import x509

    try:
        usage = certificate.extensions.get_extension_for_class(x509.KeyUsage).value
    except x509.ExtensionNotFound:
        return False
    return not usage.digital_signature


def _key_kind(certificate: x509.Certificate) -> str:
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

    key = certificate.public_key()
    if isinstance(key, RSAPublicKey):
        return f"RSA {key.key_size}"
    if isinstance(key, EllipticCurvePublicKey):
        names = {"secp256r1": "P-256", "secp384r1": "P-384", "secp521r1": "P-521"}
        return f"EC {names.get(key.curve.name, key.curve.name)}"
    return type(key).__name__
