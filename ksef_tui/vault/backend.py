"""Backends for `keyring` that work on a server: a key file, and a key file locked by a passphrase.

Never left to keyring's own choice, which on a machine without D-Bus takes none or one that writes plain text
(measured). This module imports keyring, so it is itself imported late.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from keyring.backend import KeyringBackend

from ksef_tui.domain.problems import Problem
from ksef_tui.vault import key_file

if TYPE_CHECKING:
    from pathlib import Path


class KeyFileKeyring(KeyringBackend):
    """Secrets in one file of the owner's (0600, in a folder 0700), replaced in one step.

    Raises Problem("key_too_open") when others could read it and Problem("key_broken") when it is no key file.
    """

    # keyring reads this from the class; low, so that nobody gets this backend by accident
    priority: ClassVar[float] = 0.5

    def __init__(self, path: Path) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._path = path

    def get_password(self, service: str, username: str) -> str | None:
        """The secret, None when there is none."""
        _rich_traceback_omit = True
        found = self._load().get(key_file.entry_name(service, username))
        return found if found is None else str(found)

    def set_password(self, service: str, username: str, password: str) -> None:
        """Keeps the secret; on return it is on the disk."""
        _rich_traceback_omit = True
        self._store({**self._load(), key_file.entry_name(service, username): password})

    def delete_password(self, service: str, username: str) -> None:
        """Forgets the secret; keyring.errors.PasswordDeleteError when there was none."""
        from keyring.errors import PasswordDeleteError

        _rich_traceback_omit = True
        entries = self._load()
        if entries.pop(key_file.entry_name(service, username), None) is None:
            raise PasswordDeleteError("no such secret")
        self._store(entries)

    def _load(self) -> dict[str, Any]:
        _rich_traceback_omit = True
        document = key_file.read_document(self._path)
        if document is None:
            return {}
        try:
            return self._entries(document)
        except (ValueError, KeyError, TypeError):
            raise key_file.broken(self._path) from None

    def _store(self, entries: dict[str, Any]) -> None:
        _rich_traceback_omit = True
        key_file.write_document(self._path, self._document(entries))

    def _entries(self, document: dict[str, Any]) -> dict[str, Any]:
        _rich_traceback_omit = True
        return key_file.open_entries(document)

    def _document(self, entries: dict[str, Any]) -> dict[str, Any]:
        _rich_traceback_omit = True
        return key_file.open_document(entries)


class PassphraseKeyring(KeyFileKeyring):
    """The same file under a passphrase. Raises Problem("wrong_passphrase") when the lock does not open it."""

    def __init__(self, path: Path, lock: key_file.PassphraseLock) -> None:
        super().__init__(path)
        self._lock = lock

    def _entries(self, document: dict[str, Any]) -> dict[str, Any]:
        _rich_traceback_omit = True
        return self._lock.entries(document)

    def _document(self, entries: dict[str, Any]) -> dict[str, Any]:
        _rich_traceback_omit = True
        return self._lock.document(entries)


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
