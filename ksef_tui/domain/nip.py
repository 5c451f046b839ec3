"""NIP, the tax number that is a client's identity in KSeF."""

from __future__ import annotations

import re

from ksef_tui.domain.problems import Problem

# The pattern of KSeF's own schema (facts §4.2): no leading zero, digits 2 and 3 not both zero.
_KSEF_NIP = re.compile(r"[1-9](\d[1-9]|[1-9]\d)\d{7}")


def parse_nip(text: str) -> str:
    """The ten digits of a NIP as a person types it: `PL`, spaces and dashes are dropped.

    Raises Problem("bad_nip") with the reason: length, pattern (facts §4.2), then check digit (facts §11).
    """
    digits = re.sub(r"[\s\-\u2010-\u2015]", "", text)
    digits = re.sub(r"^PL", "", digits, flags=re.IGNORECASE)
    if not re.fullmatch(r"[0-9]{10}", digits):
        raise Problem("bad_nip", f"NIP ma mieć 10 cyfr, a jest: {text.strip() or 'puste pole'}.")
    if not _KSEF_NIP.fullmatch(digits):
        raise Problem("bad_nip", f"NIP {digits} nie istnieje: tak się żaden NIP nie zaczyna.")
    if not has_right_check_digit(digits):
        raise Problem("bad_nip", f"NIP {digits} ma błędną cyfrę kontrolną – sprawdź, czy nie ma literówki.")
    return digits


def matches_ksef_pattern(digits: str) -> bool:
    """Whether KSeF's schema would take these characters as a NIP (the check digit apart)."""
    return _KSEF_NIP.fullmatch(digits) is not None


def has_right_check_digit(digits: str) -> bool:
    """The check digit of a NIP (facts §11: weights 6,5,7,2,3,4,5,6,7 modulo 11)."""
    from stdnum.pl import nip  # late: 40 ms of import that start-up does not need

    return bool(nip.is_valid(digits))
