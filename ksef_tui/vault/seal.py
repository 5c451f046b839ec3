"""Secrets as columns of the database: sealed, and bound to the client and the row they belong to."""

from __future__ import annotations

import os
from typing import NoReturn

from ksef_tui.domain.problems import Problem
from ksef_tui.domain.secret import Secret

_VERSION = 1
_NONCE = 12
_TAG = 16


class Sealer:
    """Seals and opens values with the office's data key: AES-256-GCM.

    A sealed value is its version (1 byte), a random nonce (12 bytes), then ciphertext and tag. Version, client, kind
    and row are its associated data: put into another row it does not open.
    """

    __slots__ = ("_cipher",)

    def __init__(self, data_key: Secret) -> None:
        """Raises ValueError unless the key has 32 bytes."""
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM

        if len(data_key.reveal()) != 32:
            raise ValueError("the data key must have 32 bytes")
        self._cipher = AESGCM(data_key.reveal())

    def seal(self, value: Secret, *, client: str, kind: str, row: str) -> bytes:
        """The value for its column; two seals of one value differ."""
        nonce = os.urandom(_NONCE)
        return bytes([_VERSION]) + nonce + self._cipher.encrypt(nonce, value.reveal(), _place(client, kind, row))

    def open(self, blob: bytes, *, client: str, kind: str, row: str) -> Secret:
        """The value. Raises Problem("sealed_value_broken") whatever the reason: who guesses learns nothing."""
        from cryptography.exceptions import InvalidTag

        try:
            if len(blob) < 1 + _NONCE + _TAG or blob[0] != _VERSION:
                raise InvalidTag
            return Secret(self._cipher.decrypt(blob[1 : 1 + _NONCE], blob[1 + _NONCE :], _place(client, kind, row)))
        except InvalidTag:
            raise Problem("sealed_value_broken", "Zapisanego sekretu nie da się odczytać kluczem tego biura.") from None

    def __repr__(self) -> str:
        return "Sealer(***)"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a Sealer cannot be pickled")


def _place(client: str, kind: str, row: str) -> bytes:
    """Version, client, kind and row, each with its length before it: no two places read the same."""
    parts = [text.encode() for text in (client, kind, row)]
    return bytes([_VERSION]) + b"".join(len(part).to_bytes(4, "big") + part for part in parts)
