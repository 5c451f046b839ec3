"""What the tests of the protocol client share: a journal in memory, and invented certificates."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import NameOID

from ksef_tui.ksef.http import Call, Outcome

NOW = datetime(2026, 11, 24, 9, 0, tzinfo=UTC)
OFFICE_NIP = "5265877635"
CLIENT_NIP = "1111111111"


class Journal:
    """An observer that remembers."""

    def __init__(self) -> None:
        self.calls: list[Call] = []
        self.outcomes: dict[int, Outcome] = {}

    async def before(self, call: Call) -> None:
        """Every call may leave at once."""

    def started(self, call: Call) -> int:
        self.calls.append(call)
        return len(self.calls) - 1

    def ended(self, call_id: int, outcome: Outcome) -> None:
        assert call_id not in self.outcomes, "a call ends once"
        self.outcomes[call_id] = outcome

    @property
    def last(self) -> Outcome:
        assert len(self.outcomes) == len(self.calls), "every call ends"
        return self.outcomes[len(self.calls) - 1]


def rsa_key(size: int = 2048) -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(65537, size)


def ec_key(curve: ec.EllipticCurve | None = None) -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(curve or ec.SECP256R1())


SEAL = {
    NameOID.COUNTRY_NAME: "PL",
    NameOID.ORGANIZATION_NAME: "Biuro Rachunkowe Dąb sp. z o.o.",
    NameOID.ORGANIZATION_IDENTIFIER: f"VATPL-{OFFICE_NIP}",
    NameOID.COMMON_NAME: "Biuro Rachunkowe Dąb",
}
PERSON = {
    NameOID.COUNTRY_NAME: "PL",
    NameOID.GIVEN_NAME: "Łucja",
    NameOID.SURNAME: "Żak",
    NameOID.SERIAL_NUMBER: "PNOPL-90010112349",
    NameOID.COMMON_NAME: "Łucja Żak",
}


def certificate_for(
    key: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey,
    subject: dict[x509.ObjectIdentifier, str] = SEAL,
    *,
    issuer: dict[x509.ObjectIdentifier, str] | None = None,
    issuer_key: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | None = None,
    start: datetime = NOW - timedelta(days=1),
    days: int = 365,
    serial: int = 0x01F20A5D352AE590,
) -> x509.Certificate:
    def name(values: dict[x509.ObjectIdentifier, str]) -> x509.Name:
        return x509.Name([x509.NameAttribute(oid, value) for oid, value in values.items()])

    return (
        x509.CertificateBuilder()
        .subject_name(name(subject))
        .issuer_name(name(issuer or subject))
        .public_key(key.public_key())
        .serial_number(serial)
        .not_valid_before(start)
        .not_valid_after(start + timedelta(days=days))
        .sign(issuer_key or key, hashes.SHA256())
    )
