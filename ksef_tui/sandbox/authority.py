"""The sandbox's own certificate authority: issues KSeF certificates and knows them again at a login (facts §6, §4.4)."""

from __future__ import annotations

import secrets
import sqlite3
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from ksef_tui.sandbox.clock import now_ms
from ksef_tui.sandbox.rights import Identifier
from ksef_tui.sandbox.state import State

AUTHENTICATION, OFFLINE = "Authentication", "Offline"
_LIFE = timedelta(days=730)
_AUTHORITY_LIFE = timedelta(days=3650)
_NAME = x509.Name(
    [
        x509.NameAttribute(NameOID.COUNTRY_NAME, "PL"),
        x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Piaskownica KSeF"),
        x509.NameAttribute(NameOID.COMMON_NAME, "Piaskownica KSeF CA"),
    ]
)


@dataclass(frozen=True)
class Known:
    """A certificate that bears the authority's name: whose it is (None: not one of ours), and why it is no good."""

    serial: str
    subject: Identifier | None
    trouble: str | None


class Authority:
    """Made at the first start, kept with the data."""

    def __init__(self, state: State, delay_ms: int) -> None:
        self._state = state
        self._delay_ms = delay_ms
        row = state.row("SELECT private_key, certificate FROM authority") or self._make()
        key = serialization.load_der_private_key(row["private_key"], password=None)
        if not isinstance(key, ec.EllipticCurvePrivateKey):
            raise TypeError("not an EC key")
        self._key = key
        self._certificate = x509.load_der_x509_certificate(row["certificate"])

    def issue(self, request: x509.CertificateSigningRequest, kind: str, start: int) -> x509.Certificate:
        """A certificate for two years from `start` (ms) with the subject of the request, for logging in or for QR codes."""
        begins = datetime.fromtimestamp(start // 1000, UTC)
        issuer = x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key())
        return (
            x509.CertificateBuilder()
            .subject_name(request.subject)
            .issuer_name(_NAME)
            .public_key(request.public_key())
            .serial_number(int("01" + secrets.token_hex(7), 16))
            .not_valid_before(begins)
            .not_valid_after(begins + _LIFE)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_usage(kind), critical=True)
            .add_extension(issuer, critical=False)
            .sign(self._key, hashes.SHA256())
        )

    def know(self, certificate: x509.Certificate) -> Known | None:
        """What is known of a certificate that comes with a login; None when it does not bear this authority's name."""
        if certificate.issuer != _NAME:
            return None
        serial = serial_of(certificate)
        try:
            certificate.verify_directly_issued_by(self._certificate)
        except (InvalidSignature, ValueError, TypeError):
            return Known(serial, None, "Błąd weryfikacji łańcucha certyfikatów")
        row = self._state.row("SELECT * FROM certificate WHERE serial = ?", serial)
        if row is None or row["der"] != certificate.public_bytes(serialization.Encoding.DER):
            return Known(serial, None, "Niezaufany łańcuch certyfikatów")
        return Known(serial, (row["subject_type"], row["subject_value"]), self._trouble(row))

    def status(self, row: sqlite3.Row) -> str:
        """Active, Blocked (being revoked), Revoked or Expired."""
        now = now_ms()
        if row["revoked"] is not None:
            return "Blocked" if row["revoked"] + self._delay_ms > now else "Revoked"
        return "Expired" if row["valid_to"] <= now else "Active"

    def _trouble(self, row: sqlite3.Row) -> str | None:
        """Why one cannot log in with it; the details of status 460 (facts §4.4)."""
        trouble = {
            "Blocked": "Certyfikat zawieszony",
            "Revoked": "Certyfikat odwołany",
            "Expired": "Nieważny certyfikat",
        }.get(self.status(row))
        if trouble is None and row["valid_from"] > now_ms():
            trouble = "Nieważny certyfikat"
        if trouble is None and row["type"] != AUTHENTICATION:
            trouble = "Niepoprawny certyfikat"
        return trouble

    def _make(self) -> sqlite3.Row:
        key = ec.generate_private_key(ec.SECP256R1())
        start = datetime.fromtimestamp(now_ms() // 1000, UTC) - timedelta(seconds=60)
        certificate = (
            x509.CertificateBuilder()
            .subject_name(_NAME)
            .issuer_name(_NAME)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(start)
            .not_valid_after(start + _AUTHORITY_LIFE)
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .sign(key, hashes.SHA256())
        )
        form = serialization.PrivateFormat.PKCS8
        self._state.insert(
            "authority",
            private_key=key.private_bytes(serialization.Encoding.DER, form, serialization.NoEncryption()),
            certificate=certificate.public_bytes(serialization.Encoding.DER),
        )
        row = self._state.row("SELECT private_key, certificate FROM authority")
        if row is None:
            raise LookupError("the authority was not kept")
        return row


def serial_of(certificate: x509.Certificate) -> str:
    """The serial number as KSeF writes it: 16 upper-case hex digits."""
    return f"{certificate.serial_number:016X}"


def _usage(kind: str) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=kind == AUTHENTICATION,
        content_commitment=kind == OFFLINE,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=False,
        crl_sign=False,
        encipher_only=False,
        decipher_only=False,
    )
