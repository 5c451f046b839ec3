"""Numbers that KSeF gives out and checks: CRC-8, references, KSeF numbers, NIP (facts §14, §11)."""

from __future__ import annotations

import re
import secrets
from datetime import UTC, date, datetime

NIP = re.compile(r"[1-9](\d[1-9]|[1-9]\d)\d{7}")
PESEL = re.compile(r"\d{2}(?:0[1-9]|1[0-2]|2[1-9]|3[0-2]|4[1-9]|5[0-2]|6[1-9]|7[0-2]|8[1-9]|9[0-2])\d{7}")
INTERNAL_ID = re.compile(r"[1-9](\d[1-9]|[1-9]\d)\d{7}-\d{5}")
PEPPOL_ID = re.compile(r"P[A-Z]{2}[0-9]{6}")
FINGERPRINT = re.compile(r"[0-9A-F]{64}")
NIP_VAT_UE = re.compile(r"[1-9](\d[1-9]|[1-9]\d)\d{7}-[A-Z]{2}[A-Z0-9+*]{2,12}")
KSEF_NUMBER = re.compile(
    r"([1-9](\d[1-9]|[1-9]\d)\d{7})-(20[2-9]\d|2[1-9]\d{2}|[3-9]\d{3})(0[1-9]|1[0-2])(0[1-9]|[12]\d|3[01])"
    r"-([0-9A-F]{6})-?([0-9A-F]{6})-([0-9A-F]{2})"
)
CHALLENGE = re.compile(r"\d{8}-CR-[A-F0-9]{10}-[A-F0-9]{10}-[A-F0-9]{2}")

IDENTIFIERS = {
    "Nip": NIP,
    "Pesel": PESEL,
    "Fingerprint": FINGERPRINT,
    "InternalId": INTERNAL_ID,
    "NipVatUe": NIP_VAT_UE,
    "PeppolId": PEPPOL_ID,
}


def crc8(text: str) -> str:
    """CRC-8 with polynomial 0x07 over ASCII, as two upper-case hex digits."""
    register = 0
    for byte in text.encode("ascii"):
        register ^= byte
        for _ in range(8):
            register = (register << 1 ^ 0x07) & 0xFF if register & 0x80 else register << 1
    return f"{register:02X}"


def reference(kind: str) -> str:
    """A new reference number of 36 characters; `kind` is CR, AU, SO, SB, EE, EU, EC, EG or EH."""
    body = f"{datetime.now(UTC):%Y%m%d}-{kind}-{secrets.token_hex(5).upper()}-{secrets.token_hex(5).upper()}-"
    return body + crc8(body[:33])


def ksef_number(seller: str, day: date) -> str:
    """A new KSeF number of 35 characters for an invoice of this seller, accepted on this day."""
    body = f"{seller}-{day:%Y%m%d}-{secrets.token_hex(6).upper()}"
    return f"{body}-{crc8(body)}"


def nip_has_right_digit(nip: str) -> bool:
    """The check digit of a NIP: weights 6,5,7,2,3,4,5,6,7 modulo 11; a remainder of 10 never exists."""
    if not re.fullmatch(r"\d{10}", nip):
        return False
    return sum(int(d) * w for d, w in zip(nip, (6, 5, 7, 2, 3, 4, 5, 6, 7), strict=False)) % 11 == int(nip[9])


def fits(kind: str, value: str) -> bool:
    """Whether the value has the shape of this kind of identifier (pattern only, as KSeF's schemas check it)."""
    return IDENTIFIERS[kind].fullmatch(value) is not None
