"""Invented companies and people, and the certificates they sign with."""

from __future__ import annotations

import random
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

Key = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey
_CHOOSER = random.SystemRandom()  # tests that run side by side share nothing, so the numbers must not meet


def new_nip() -> str:
    """A NIP with a right check digit that no other test has."""
    while True:
        digits = "".join(str(_CHOOSER.randint(1, 9)) for _ in range(9))
        check = sum(int(d) * w for d, w in zip(digits, (6, 5, 7, 2, 3, 4, 5, 6, 7), strict=True)) % 11
        if check < 10:
            return f"{digits}{check}"


def new_pesel() -> str:
    """A PESEL of somebody born in 1990, with a right check digit."""
    digits = "900101" + "".join(str(_CHOOSER.randint(0, 9)) for _ in range(4))
    check = -sum(int(d) * w for d, w in zip(digits, (1, 3, 7, 9, 1, 3, 7, 9, 1, 3), strict=True)) % 10
    return f"{digits}{check}"


@dataclass(frozen=True)
class Paper:
    """A certificate with its key, as files."""

    certificate: bytes
    key: bytes


def seal(nip: str, *, kind: str = "ec", days: int = 365, age: int = 1, password: bytes | None = None) -> Paper:
    """A self-signed seal of a company; `kind` ec or rsa, good for `days` from `age` days ago."""
    name = {
        NameOID.COUNTRY_NAME: "PL",
        NameOID.ORGANIZATION_NAME: "Biuro Rachunkowe Modrzew",
        NameOID.ORGANIZATION_IDENTIFIER: f"VATPL-{nip}",
        NameOID.COMMON_NAME: "Biuro Rachunkowe Modrzew",
    }
    return _paper(name, kind, days, age, password)


def person(pesel: str, *, kind: str = "ec") -> Paper:
    """A self-signed certificate of one person."""
    name = {
        NameOID.COUNTRY_NAME: "PL",
        NameOID.GIVEN_NAME: "Zofia",
        NameOID.SURNAME: "Próbna",
        NameOID.SERIAL_NUMBER: f"PNOPL-{pesel}",
        NameOID.COMMON_NAME: "Zofia Próbna",
    }
    return _paper(name, kind, 365, 1, None)


def foreigner() -> Paper:
    """A self-signed certificate of one person that says neither PESEL nor NIP."""
    name = {
        NameOID.COUNTRY_NAME: "CZ",
        NameOID.GIVEN_NAME: "Jana",
        NameOID.SURNAME: "Zkušební",
        NameOID.COMMON_NAME: "Jana Zkušební",
    }
    return _paper(name, "ec", 365, 1, None)


@cache
def _rsa() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(65537, 2048)


def _paper(subject: dict[x509.ObjectIdentifier, str], kind: str, days: int, age: int, password: bytes | None) -> Paper:
    key: Key = _rsa() if kind == "rsa" else ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(oid, value) for oid, value in subject.items()])
    start = datetime.now(UTC) - timedelta(days=age)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(start)
        .not_valid_after(start + timedelta(days=days))
        .sign(key, hashes.SHA256())
    )
    lock = BestAvailableEncryption(password) if password else NoEncryption()
    return Paper(certificate.public_bytes(Encoding.PEM), key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, lock))


def signed(document: bytes, paper: Paper) -> bytes:
    """The document as somebody signs it elsewhere, with a program of their own."""
    from ksef_tui.ksef import certificates, xades

    loaded = certificates.load(paper.certificate, paper.key)
    return xades.sign(document, loaded.certificate, loaded.key, signing_time=datetime.now(UTC))
