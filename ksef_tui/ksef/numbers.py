"""Numbers that KSeF gives out, and their check sums (facts §14)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import date

_NUMBER = re.compile(r"([1-9][0-9]{9})-([0-9]{8})-([0-9A-F]{12})-([0-9A-F]{2})")
_OLD_NUMBER = re.compile(r"([1-9][0-9]{9})-([0-9]{8})-([0-9A-F]{6}-[0-9A-F]{6})-([0-9A-F]{2})")


@dataclass(frozen=True, slots=True)
class KsefNumber:
    """The parts of a KSeF number: the seller's NIP, the day of acceptance, a technical part, the check sum."""

    nip: str
    day: date
    technical: str
    check: str


def crc8(text: str) -> str:
    """CRC-8 (polynomial 07, start 00) over ASCII, as two upper-case hex digits."""
    register = 0
    for byte in text.encode("ascii"):
        register ^= byte
        for _ in range(8):
            register = (register << 1 ^ 0x07) & 0xFF if register & 0x80 else register << 1
    return f"{register:02X}"


def parse_ksef_number(text: str) -> KsefNumber | None:
    """The parts of a number, None when it is not one.

    A number of 35 characters must have the right check sum; those of KSeF 1.0 (36) need not.
    """
    match = _NUMBER.fullmatch(text)
    if match is not None and crc8(text[:32]) != match[4]:
        return None
    match = match or _OLD_NUMBER.fullmatch(text)
    if match is None:
        return None
    try:
        day = date.fromisoformat(match[2])
    except ValueError:
        return None
    return KsefNumber(match[1], day, match[3], match[4])
