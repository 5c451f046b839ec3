"""The key file: what it looks like, open or under a passphrase. Knows nothing of keyring, so that reading it is cheap."""

from __future__ import annotations

import base64
import json
import os
from typing import TYPE_CHECKING, Any

from ksef_tui.domain.problems import Problem
from ksef_tui.domain.secret import Secret
from ksef_tui.vault.files import read_private, write_private

if TYPE_CHECKING:
    from pathlib import Path

OPEN, LOCKED = "none", "passphrase"
_FORMATS = {OPEN: (1,), LOCKED: (1, 2)}  # a locked file of format 1 has no file key: scrypt's own key seals the entries
_SCRYPT_N = 2**16  # 160 ms on one core: once for each start, no burden for a person, much for who guesses
_SCRYPT_ALLOWED = frozenset({2**15, 2**16, 2**17})
_WRAPPING = ("n", "salt", "key_nonce", "key")
_ENTRIES = b"ksef-tui key file entries"


def entry_name(service: str, username: str) -> str:
    """The name of one secret in a key file."""
    return json.dumps([service, username])


def read_document(path: Path) -> dict[str, Any] | None:
    """The file as it stands; None when there is none. Raises Problem("key_too_open"), Problem("key_broken")."""
    _rich_traceback_omit = True
    content = read_private(path)
    return None if content is None else parse_document(content, path)


def parse_document(content: bytes, path: Path) -> dict[str, Any]:
    """A key file's content. Raises Problem("key_broken") when it is none."""
    _rich_traceback_omit = True
    try:
        document = json.loads(content)
        if document["format"] not in _FORMATS[document["protection"]]:
            raise ValueError("another format")
        return dict(document)
    except (ValueError, KeyError, TypeError):
        raise broken(path) from None


def write_document(path: Path, document: dict[str, Any]) -> None:
    """Puts the document in place of the file in one step."""
    _rich_traceback_omit = True
    write_private(path, json.dumps(document).encode())


def broken(path: Path) -> Problem:
    """The refusal of a file that is no key file."""
    return Problem(
        "key_broken", f"Plik klucza {path} jest uszkodzony lub innego rodzaju. Odtwórz go z kopii zapasowej."
    )


def open_document(entries: dict[str, Any]) -> dict[str, Any]:
    """A document that is protected by nothing but the rights of its file."""
    _rich_traceback_omit = True
    return {"format": 1, "protection": OPEN, "entries": entries}


def open_entries(document: dict[str, Any]) -> dict[str, Any]:
    """The entries of such a document; ValueError, KeyError or TypeError when it is something else."""
    _rich_traceback_omit = True
    if document["protection"] != OPEN:
        raise ValueError("locked")
    return dict(document["entries"])


class PassphraseLock:
    """Entries under AES-256-GCM by a random file key, and the file key under a key that scrypt makes of a passphrase.

    A change of passphrase seals the file key anew and leaves it as it is: a process that has opened the file once goes
    on reading it. A lock that has opened nothing yet makes a file key of its own.
    """

    def __init__(self, passphrase: Secret) -> None:
        self._passphrase = passphrase
        self._file_key: Secret | None = None
        self._wrapping: dict[str, Any] = {}

    def entries(self, document: dict[str, Any]) -> dict[str, Any]:
        """The entries of a locked document.

        Raises Problem("wrong_passphrase"), and ValueError, KeyError or TypeError for a damaged document.
        """
        from cryptography.exceptions import InvalidTag

        _rich_traceback_omit = True
        if document["protection"] != LOCKED:
            raise ValueError("not locked")
        nonce, sealed = _bytes(document, "nonce", 12), _bytes(document, "sealed")
        wrapping: dict[str, Any] = {part: document[part] for part in _WRAPPING if part in document}
        if self._file_key is not None:  # known from an earlier look: no scrypt, and no passphrase, is needed
            try:
                return self._decrypted(self._file_key, document, nonce, sealed, wrapping)
            except InvalidTag:
                pass
        file_key = self._unwrapped(document)
        try:
            return self._decrypted(file_key, document, nonce, sealed, wrapping)
        except InvalidTag:
            if document["format"] == 1:
                raise _wrong() from None
            raise ValueError("the entries were changed") from None

    def document(self, entries: dict[str, Any]) -> dict[str, Any]:
        """A locked document with these entries."""
        _rich_traceback_omit = True
        if self._file_key is None:
            self._file_key = Secret(os.urandom(32))
        if "key" not in self._wrapping:
            self._wrapping = self._wrap(self._file_key)
        nonce = os.urandom(12)
        sealed = _cipher(self._file_key).encrypt(nonce, json.dumps(entries).encode(), _ENTRIES)
        return {"format": 2, "protection": LOCKED, **self._wrapping, "nonce": _text(nonce), "sealed": _text(sealed)}

    def change(self, passphrase: Secret) -> None:
        """Documents made from now on open with another passphrase."""
        self._passphrase, self._wrapping = passphrase, {}

    def _decrypted(
        self, file_key: Secret, document: dict[str, Any], nonce: bytes, sealed: bytes, wrapping: dict[str, Any]
    ) -> dict[str, Any]:
        _rich_traceback_omit = True
        about = _ENTRIES if document["format"] == 2 else _header(1, document["n"], _bytes(document, "salt", 16))
        entries = dict(json.loads(_cipher(file_key).decrypt(nonce, sealed, about)))
        self._file_key, self._wrapping = file_key, wrapping
        return entries

    def _unwrapped(self, document: dict[str, Any]) -> Secret:
        from cryptography.exceptions import InvalidTag

        _rich_traceback_omit = True
        n, salt = document["n"], _bytes(document, "salt", 16)
        if n not in _SCRYPT_ALLOWED:
            raise ValueError("out of bounds")
        derived = _derive(self._passphrase, n, salt)
        if document["format"] == 1:
            return derived
        nonce, sealed = _bytes(document, "key_nonce", 12), _bytes(document, "key")
        try:
            return Secret(_cipher(derived).decrypt(nonce, sealed, _header(2, n, salt)))
        except InvalidTag:
            raise _wrong() from None

    def _wrap(self, file_key: Secret) -> dict[str, Any]:
        _rich_traceback_omit = True
        salt, nonce = os.urandom(16), os.urandom(12)
        derived = _derive(self._passphrase, _SCRYPT_N, salt)
        key = _cipher(derived).encrypt(nonce, file_key.reveal(), _header(2, _SCRYPT_N, salt))
        return {"n": _SCRYPT_N, "salt": _text(salt), "key_nonce": _text(nonce), "key": _text(key)}


def _wrong() -> Problem:
    return Problem("wrong_passphrase", "Hasło do klucza biura jest niewłaściwe.")


def _derive(passphrase: Secret, n: int, salt: bytes) -> Secret:
    from cryptography.hazmat.primitives.kdf.scrypt import Scrypt

    _rich_traceback_omit = True
    return Secret(Scrypt(salt=salt, length=32, n=n, r=8, p=1).derive(passphrase.reveal()))


def _cipher(key: Secret) -> Any:
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    _rich_traceback_omit = True
    return AESGCM(key.reveal())


def _header(form: int, n: int, salt: bytes) -> bytes:
    return b"ksef-tui key file" + bytes([form]) + n.to_bytes(4, "big") + salt


def _text(value: bytes) -> str:
    return base64.b64encode(value).decode()


def _bytes(document: dict[str, Any], part: str, length: int | None = None) -> bytes:
    value = base64.b64decode(document[part], validate=True)
    if length is not None and len(value) != length:
        raise ValueError("out of bounds")
    return value
