"""The one secret of an office that lives outside its database: the key that seals all the others (design §8)."""

from __future__ import annotations

import base64
import binascii
import os
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from ksef_tui.domain.problems import Problem
from ksef_tui.domain.secret import Secret
from ksef_tui.vault.files import locked

if TYPE_CHECKING:
    from keyring.backend import KeyringBackend

Kind = Literal["file", "system", "passphrase"]

SERVICE = "ksef-tui"
CREDENTIAL = "ksef-tui-passphrase"
KEY_BYTES = 32

_FOLDER = "keys"


def create(kind: Kind, data_dir: Path, office_id: str, passphrase: Secret | None = None) -> Secret:
    """The office's data key, made now unless there is one already: ten processes that ask at once get the same.

    `passphrase` is for the kind `passphrase`; without it the systemd credential is taken. Raises Problem:
    `passphrase_needed`, `wrong_passphrase`, `key_too_open`, `key_broken`, `no_keyring`.
    """
    keyring = _backend(kind, data_dir, passphrase)
    with locked(data_dir / _FOLDER / "lock"):
        found = _fetch(keyring, office_id)
        if found is None:
            _keep(keyring, office_id, Secret(os.urandom(KEY_BYTES)))
            found = _fetch(keyring, office_id)
    if found is None:
        raise _no_keyring()
    return found


def open(kind: Kind, data_dir: Path, office_id: str, passphrase: Secret | None = None) -> Secret:
    """The office's data key. Raises Problem("key_missing") when there is none, otherwise as `create`."""
    found = _fetch(_backend(kind, data_dir, passphrase), office_id)
    if found is None:
        raise Problem(
            "key_missing",
            f"Brak klucza biura ({_place(kind, data_dir)}). Bez niego zapisanych sekretów nie da się odczytać – "
            "odtwórz klucz z kopii zapasowej.",
        )
    return found


def passphrase_from_systemd() -> Secret | None:
    """The passphrase that systemd hands a service by `LoadCredential=ksef-tui-passphrase:…`, None without one."""
    folder = os.environ.get("CREDENTIALS_DIRECTORY")
    if not folder:
        return None
    try:
        return Secret((Path(folder) / CREDENTIAL).read_bytes().removesuffix(b"\n"))
    except FileNotFoundError:
        return None


def _backend(kind: Kind, data_dir: Path, passphrase: Secret | None) -> KeyringBackend:
    """The backend that the office chose, built by name: keyring is never asked to choose (measured §4)."""
    from ksef_tui.vault.backend import KeyFileKeyring, PassphraseKeyring, system_keyring

    if kind == "file":
        return KeyFileKeyring(data_dir / _FOLDER / "office.key")
    if kind == "system":
        return system_keyring()
    passphrase = passphrase or passphrase_from_systemd()
    if not passphrase:
        raise Problem("passphrase_needed", "Klucz biura jest chroniony hasłem, a hasła nie podano.")
    return PassphraseKeyring(data_dir / _FOLDER / "office.key", passphrase)


def _fetch(keyring: KeyringBackend, office_id: str) -> Secret | None:
    from keyring.errors import KeyringError

    try:
        text = keyring.get_password(SERVICE, office_id)
    except KeyringError as error:
        raise _no_keyring() from error
    if text is None:
        return None
    try:
        key = Secret(base64.b64decode(text, validate=True))
    except binascii.Error:
        key = Secret(b"")
    if len(key.reveal()) != KEY_BYTES:
        raise Problem("key_broken", "Klucz biura jest uszkodzony. Odtwórz go z kopii zapasowej.")
    return key


def _keep(keyring: KeyringBackend, office_id: str, key: Secret) -> None:
    from keyring.errors import KeyringError

    try:
        keyring.set_password(SERVICE, office_id, base64.b64encode(key.reveal()).decode())
    except KeyringError as error:
        raise _no_keyring() from error


def _place(kind: Kind, data_dir: Path) -> str:
    return "pęk kluczy systemu" if kind == "system" else f"plik {data_dir / _FOLDER / 'office.key'}"


def _no_keyring() -> Problem:
    return Problem("no_keyring", "Pęk kluczy systemu odmówił. Odblokuj go i spróbuj ponownie.")
