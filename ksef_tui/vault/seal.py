"""Secrets as columns of the database: sealed, and bound to the client and the row they belong to."""

from __future__ import annotations

import hashlib
import os
import threading
from typing import TYPE_CHECKING, NoReturn

from ksef_tui.domain.problems import Problem
from ksef_tui.domain.secret import Secret

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

FIRST = b"\x01"  # the header of offices made before a data key could be changed: it names no key
_NAMED = 2
_NAMED_LENGTH = 9
_NONCE = 12
_TAG = 16
_BROKEN = "Zapisanego sekretu nie da się odczytać kluczem tego biura."


def header_of(data_key: Secret) -> bytes:
    """What the blobs that this key seals begin with: a version and the key's name, which tells nothing of the key."""
    _rich_traceback_omit = True
    return bytes([_NAMED]) + hashlib.sha256(b"ksef-tui data key" + data_key.reveal()).digest()[: _NAMED_LENGTH - 1]


def header_in(blob: bytes) -> bytes | None:
    """The header of a sealed value; None when it is none."""
    length = {FIRST[0]: len(FIRST), _NAMED: _NAMED_LENGTH}.get(blob[0]) if blob else None
    return None if length is None or len(blob) < length + _NONCE + _TAG else blob[:length]


class Sealer:
    """Seals and opens values with one data key: AES-256-GCM.

    A sealed value is the key's header, a random nonce (12 bytes), then ciphertext and tag. Header, client, kind and
    row are its associated data: put into another row it does not open.
    """

    __slots__ = ("_cipher", "_header")

    def __init__(self, data_key: Secret, header: bytes = FIRST) -> None:
        """Raises ValueError unless the key has 32 bytes."""
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM

        _rich_traceback_omit = True
        if len(data_key.reveal()) != 32:
            raise ValueError("the data key must have 32 bytes")
        self._cipher = AESGCM(data_key.reveal())
        self._header = header

    def seal(self, value: Secret, *, client: str, kind: str, row: str) -> bytes:
        """The value for its column; two seals of one value differ."""
        _rich_traceback_omit = True
        nonce = os.urandom(_NONCE)
        return self._header + nonce + self._cipher.encrypt(nonce, value.reveal(), self._place(client, kind, row))

    def open(self, blob: bytes, *, client: str, kind: str, row: str) -> Secret:
        """The value. Raises Problem("sealed_value_broken") whatever the reason: who guesses learns nothing."""
        from cryptography.exceptions import InvalidTag

        _rich_traceback_omit = True
        begin = len(self._header)
        try:
            if header_in(blob) != self._header:
                raise InvalidTag
            nonce, sealed = blob[begin : begin + _NONCE], blob[begin + _NONCE :]
            return Secret(self._cipher.decrypt(nonce, sealed, self._place(client, kind, row)))
        except InvalidTag:
            raise Problem("sealed_value_broken", _BROKEN) from None

    def _place(self, client: str, kind: str, row: str) -> bytes:
        """Header, client, kind and row, each text with its length before it: no two places read the same."""
        parts = [text.encode() for text in (client, kind, row)]
        return self._header + b"".join(len(part).to_bytes(4, "big") + part for part in parts)

    def __repr__(self) -> str:
        return "Sealer(***)"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a Sealer cannot be pickled")


class OfficeSealer:
    """Seals with the data key that is in force now, and opens what any key sealed that this process has known.

    Another process may change the key at any moment: the header in force is looked up for each seal, and an unknown
    one has the keys loaded again. So a value read before the change still opens, and no new one is sealed by the old
    key; what was sealed before the change and is stored after it, the end of its transaction mends.
    """

    __slots__ = ("_in_force", "_load", "_lock", "_sealers")

    def __init__(self, in_force: Callable[[], bytes], load: Callable[[], Sequence[Secret]]) -> None:
        """Loads the keys. Raises Problem("key_wrong") when none of them is the office's, and what `load` raises."""
        _rich_traceback_omit = True
        self._in_force, self._load = in_force, load
        self._lock = threading.Lock()
        self._sealers: dict[bytes, Sealer] = {}
        self._now()

    def seal(self, value: Secret, *, client: str, kind: str, row: str) -> bytes:
        """The value for its column. Raises Problem("key_wrong"), and what loading the keys raises."""
        return self._now().seal(value, client=client, kind=kind, row=row)

    def open(self, blob: bytes, *, client: str, kind: str, row: str) -> Secret:
        """The value. Raises Problem("sealed_value_broken"), or "key_changed" for one that a key sealed which this
        process does not know (any more): it must be read again."""
        header = header_in(blob)
        if header is None:
            raise Problem("sealed_value_broken", _BROKEN)
        sealer = self._sealers.get(header)
        if sealer is None:
            self._now()  # a wrong key is said to be wrong
            self._learn()
            sealer = self._sealers.get(header)
        if sealer is None:
            raise Problem("key_changed", "Klucz biura właśnie się zmienił – powtórz.")
        return sealer.open(blob, client=client, kind=kind, row=row)

    def _now(self) -> Sealer:
        header = self._in_force()
        while header not in self._sealers:
            self._learn()
            before, header = header, self._in_force()
            if header == before and header not in self._sealers:  # not one that was changed while the keys were loaded
                raise wrong_key()
        return self._sealers[header]

    def _learn(self) -> None:
        keys = self._load()
        with self._lock:
            for key in keys:
                self._sealers.setdefault(header_of(key), Sealer(key, header_of(key)))
            self._sealers.setdefault(FIRST, Sealer(keys[0], FIRST))

    def __repr__(self) -> str:
        return "OfficeSealer(***)"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a Sealer cannot be pickled")


def wrong_key() -> Problem:
    """The refusal of a key that is not the one which sealed this office's secrets."""
    return Problem(
        "key_wrong",
        "Klucz w tym katalogu nie jest kluczem tego biura – niczego nie zmieniono. Odtwórz właściwy z kopii "
        "zapasowej albo wczytaj go: ksef-tui vault import.",
    )
