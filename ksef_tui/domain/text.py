"""Text as people search for it: no case, no Polish diacritics."""

from __future__ import annotations

import unicodedata

_STROKES = str.maketrans({"ł": "l", "Ł": "L", "đ": "d", "ø": "o"})  # letters that do not decompose
# Letters become the last characters there are, in the order of the alphabet.
_ALPHABET = {ord(letter): chr(0x10FF00 + place) for place, letter in enumerate("aąbcćdeęfghijklłmnńoópqrsśtuvwxyzźż")}


def fold(text: str) -> str:
    """`Łódź ` → `lodz`: what a search compares."""
    plain = unicodedata.normalize("NFKD", text.translate(_STROKES))
    return " ".join("".join(c for c in plain if not unicodedata.combining(c)).casefold().split())


def alphabetical(text: str) -> str:
    """A key that sorts names as a Polish directory does: ą after a, ł after l; other characters before letters."""
    return text.casefold().translate(_ALPHABET)


def count_of(n: int, one: str, few: str, many: str) -> str:
    """A number with its noun in the right Polish form: 1 faktura, 3 faktury, 12 faktur."""
    if n == 1:
        return f"1 {one}"
    if n % 10 in (2, 3, 4) and n % 100 not in (12, 13, 14):
        return f"{n} {few}"
    return f"{n} {many}"
