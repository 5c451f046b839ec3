"""Backends for `keyring` that work on a server: a key file, and a key file locked by a passphrase.

Never left to keyring's own choice, which on a machine without D-Bus takes none or one that writes plain text
(measured). This module imports keyring, so it is itself imported late.
"""

from __future__ import annotations

import base64
import json
import os
from typing import TYPE_CHECKING, Any, ClassVar

from keyring.backend import KeyringBackend

from ksef_tui.domain.problems import Problem
from ksef_tui.domain.secret import Secret
from ksef_tui.vault.files import read_private, write_private

if TYPE_CHECKING:
    from pathlib import Path

_FORMAT = 1
_SCRYPT_N = 2**16  # 160 ms on one core: once for each start, no burden for a person, much for who guesses
_SCRYPT_ALLOWED = frozenset({2**15, 2**16, 2**17})
_BROKEN = "Plik klucza {} jest uszkodzony lub innego rodzaju. Odtwórz go z kopii zapasowej."


class KeyFileKeyring(KeyringBackend):
    """Secrets in one file of the owner's (0600, in a folder 0700), replaced in one step.

    Raises Problem("key_too_open") when others could read it and Problem("key_broken") when it is no key file.
    """

    # keyring reads this from the class; low, so that nobody gets this backend by accident
    priority: ClassVar[float] = 0.5

    protection = "none"

    def __init__(self, path: Path) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._path = path

    def get_password(self, service: str, username: str) -> str | None:
        """The secret, None when there is none."""
        found = self._load().get(_name(service, username))
        return found if found is None else str(found)

    def set_password(self, service: str, username: str, password: str) -> None:
        """Keeps the secret; on return it is on the disk."""
        self._store({**self._load(), _name(service, username): password})

    def delete_password(self, service: str, username: str) -> None:
        """Forgets the secret; keyring.errors.PasswordDeleteError when there was none."""
        from keyring.errors import PasswordDeleteError

        entries = self._load()
        if entries.pop(_name(service, username), None) is None:
            raise PasswordDeleteError("no such secret")
        self._store(entries)

    def _load(self) -> dict[str, Any]:
        content = read_private(self._path)
        if content is None:
            return {}
        try:
            document = json.loads(content)
            if document["format"] != _FORMAT or document["protection"] != self.protection:
                raise ValueError("another format")
            return self._decode(document)
        except (ValueError, KeyError, TypeError):
            raise Problem("key_broken", _BROKEN.format(self._path)) from None

    def _store(self, entries: dict[str, Any]) -> None:
        document = {"format": _FORMAT, "protection": self.protection, **self._encode(entries)}
        write_private(self._path, json.dumps(document).encode())

    def _decode(self, document: dict[str, Any]) -> dict[str, Any]:
        return dict(document["entries"])

    def _encode(self, entries: dict[str, Any]) -> dict[str, Any]:
        return {"entries": entries}


class PassphraseKeyring(KeyFileKeyring):
    """The same file, its content sealed by AES-256-GCM under a key that scrypt makes of a passphrase.

    Raises Problem("wrong_passphrase") when the passphrase does not open it.
    """

    protection = "passphrase"

    def __init__(self, path: Path, passphrase: Secret) -> None:
        super().__init__(path)
        self._passphrase = passphrase
        self._derived: dict[tuple[bytes, int], Secret] = {}

    def _decode(self, document: dict[str, Any]) -> dict[str, Any]:
        from cryptography.exceptions import InvalidTag

        salt, nonce, sealed = (base64.b64decode(document[part], validate=True) for part in ("salt", "nonce", "sealed"))
        if document["n"] not in _SCRYPT_ALLOWED or len(salt) != 16 or len(nonce) != 12:
            raise ValueError("out of bounds")
        try:
            opened = self._cipher(salt, document["n"]).decrypt(nonce, sealed, _header(document["n"], salt))
        except InvalidTag:
            raise Problem("wrong_passphrase", "Hasło do klucza biura jest niewłaściwe.") from None
        return dict(json.loads(opened))

    def _encode(self, entries: dict[str, Any]) -> dict[str, Any]:
        salt, nonce = os.urandom(16), os.urandom(12)
        sealed = self._cipher(salt, _SCRYPT_N).encrypt(nonce, json.dumps(entries).encode(), _header(_SCRYPT_N, salt))
        texts = {"salt": salt, "nonce": nonce, "sealed": sealed}
        return {"n": _SCRYPT_N, **{name: base64.b64encode(value).decode() for name, value in texts.items()}}

    def _cipher(self, salt: bytes, n: int) -> Any:
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM
        from cryptography.hazmat.primitives.kdf.scrypt import Scrypt

        if (salt, n) not in self._derived:
            derive = Scrypt(salt=salt, length=32, n=n, r=8, p=1).derive
            self._derived[salt, n] = Secret(derive(self._passphrase.reveal()))
        return AESGCM(self._derived[salt, n].reveal())


def system_keyring() -> KeyringBackend:
    """The desktop's Secret Service, named explicitly; Problem("no_keyring") where there is none."""
    from keyring.backends import SecretService

    try:
        if SecretService.Keyring.priority <= 0:
            raise RuntimeError("not usable")
        return SecretService.Keyring()  # type: ignore[no-untyped-call]
    except Exception as error:  # each part of the chain (D-Bus, the daemon, the library) raises its own
        raise Problem(
            "no_keyring",
            "W tym systemie nie działa pęk kluczy (Secret Service). "
            "Użyj pliku klucza (--secrets file) albo hasła (--secrets passphrase).",
        ) from error


def _name(service: str, username: str) -> str:
    return json.dumps([service, username])


def _header(n: int, salt: bytes) -> bytes:
    return b"ksef-tui key file" + bytes([_FORMAT]) + n.to_bytes(4, "big") + salt
