"""The one secret of an office that lives outside its database: the key that seals all the others (design §8).

While the key is being changed there are two: the one in force and the next one. Which is in force, the database says
(`store.sealed`), so that both change in one transaction.
"""

from __future__ import annotations

import base64
import binascii
import os
import threading
from contextlib import AbstractContextManager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from ksef_tui.domain.problems import Problem
from ksef_tui.domain.secret import Secret
from ksef_tui.vault import key_file
from ksef_tui.vault.files import locked
from ksef_tui.vault.process import let_nobody_look_in

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from keyring.backend import KeyringBackend

Kind = Literal["file", "system", "passphrase"]

SERVICE = "ksef-tui"
CREDENTIAL = "ksef-tui-passphrase"
KEY_BYTES = 32

_FOLDER = "keys"


def no_passphrase() -> Secret | None:
    """Nobody can be asked."""
    return None


class KeyStore:
    """Where an office keeps its data key, by the kind that the office chose.

    Which of the two kinds of file it is, the file itself says: it is replaced in one step, and the office's row may
    learn of it later. All methods raise Problem: `passphrase_needed`, `wrong_passphrase`, `key_too_open`,
    `key_broken`, `no_keyring`, `restart_needed`.
    """

    def __init__(
        self, kind: Callable[[], Kind], data_dir: Path, office_id: str, ask: Callable[[], Secret | None] = no_passphrase
    ) -> None:
        """`ask` gives the passphrase when one is needed and systemd has handed none over; it is asked once."""
        self._kind, self._office_id, self._ask = kind, office_id, ask
        self.path = data_dir / _FOLDER / "office.key"
        self.passphrase: Secret | None = None
        self._lock: key_file.PassphraseLock | None = None
        self._opened = False
        self._one_at_a_time = threading.RLock()

    def load(self) -> tuple[Secret, ...]:
        """The office's data keys. Raises Problem("key_missing") when there is none."""
        with self._one_at_a_time:
            let_nobody_look_in()
            if self._kind() != "system" and not self.path.exists():  # before a passphrase is asked for
                raise self._missing()
            keys = self._fetch(self._backend())
            self._opened = True
        return keys

    def ask_nobody(self) -> None:
        """From now on there is a screen where a passphrase would be typed."""
        self._ask = no_passphrase

    def create(self) -> Secret:
        """The office's data key, made now unless there is one: processes that ask at once get the same."""
        let_nobody_look_in()
        with self.locked():
            backend = self._backend()
            try:
                return self._fetch(backend)[0]
            except Problem as problem:
                if problem.code != "key_missing":
                    raise
            self._keep(backend, [Secret(os.urandom(KEY_BYTES))])
            return self._fetch(backend)[0]

    def locked(self) -> AbstractContextManager[None]:
        """Whoever changes the keys holds this for the time of it."""
        return locked(self.path.parent / "lock")

    def keep(self, keys: Sequence[Secret]) -> None:
        """These keys from now on, where they are kept now. The caller holds `locked`."""
        with self._one_at_a_time:
            self._keep(self._backend(), keys)

    def change_passphrase(self, new: Secret) -> None:
        """The same keys under another passphrase, in one step. The caller holds `locked` and has loaded the keys.

        Raises Problem("no_passphrase") when there is none to change.
        """
        _rich_traceback_omit = True
        with self._one_at_a_time:
            document = key_file.read_document(self.path)
            if document is None or self.protection() != "passphrase":
                raise Problem("no_passphrase", "Klucz biura nie jest chroniony hasłem: ksef-tui vault protect.")
            self._fetch(self._backend())
            assert self._lock is not None
            entries = self._lock.entries(document)
            self._lock.change(new)
            self.passphrase = new
            key_file.write_document(self.path, self._lock.document(entries))

    def protect(self, kind: Kind, keys: Sequence[Secret], passphrase: Secret | None) -> None:
        """These keys under another protection; what was there before stays until `forget`, but for a file in place of
        a file. The caller holds `locked`."""
        from ksef_tui.vault.backend import system_keyring

        _rich_traceback_omit = True
        with self._one_at_a_time:
            if kind == "system":
                self._keep(system_keyring(), keys)
                return
            entries = {key_file.entry_name(SERVICE, self._office_id): _text(keys)}
            self._lock = None
            if kind == "passphrase":
                assert passphrase is not None
                self._lock, self.passphrase = key_file.PassphraseLock(passphrase), passphrase
                key_file.write_document(self.path, self._lock.document(entries))
            else:
                key_file.write_document(self.path, key_file.open_document(entries))

    def forget(self, kind: Kind) -> None:
        """Destroys the keys that are kept where the office keeps them no more."""
        if kind != "system":
            self.path.unlink(missing_ok=True)
            return
        from keyring.errors import KeyringError

        from ksef_tui.vault.backend import system_keyring

        with suppress(KeyringError, Problem):  # it was not there, or the keyring is gone
            system_keyring().delete_password(SERVICE, self._office_id)

    def protection(self) -> Kind:
        """What protects the keys now."""
        kind = self._kind()
        if kind == "system":
            return kind
        document = key_file.read_document(self.path)
        if document is None:
            return kind
        return "passphrase" if document["protection"] == key_file.LOCKED else "file"

    def place(self) -> str:
        """Where the keys are, for people."""
        return "pęk kluczy systemu" if self._kind() == "system" else f"plik {self.path}"

    def glance(self) -> tuple[Secret, ...] | None:
        """The keys of an open key file, without keyring and in a millisecond; None when it takes more to see them."""
        _rich_traceback_omit = True
        if self.protection() != "file":
            return None
        document = key_file.read_document(self.path)
        try:
            entries = {} if document is None else key_file.open_entries(document)
        except (ValueError, KeyError, TypeError):
            raise key_file.broken(self.path) from None
        found = entries.get(key_file.entry_name(SERVICE, self._office_id))
        if found is None:
            raise self._missing()
        return _keys(str(found))

    def exported(self, keys: Sequence[Secret], passphrase: Secret) -> dict[str, object]:
        """A document with the keys under a passphrase of its own, to be taken to another server."""
        _rich_traceback_omit = True
        let_nobody_look_in()
        return key_file.PassphraseLock(passphrase).document(
            {key_file.entry_name(SERVICE, self._office_id): _text(keys)}
        )

    def imported(self, content: bytes, path: Path, passphrase: Secret) -> tuple[Secret, ...]:
        """The keys of such a document. Raises Problem("other_office") when they are another office's."""
        _rich_traceback_omit = True
        let_nobody_look_in()
        document = key_file.parse_document(content, path)
        try:
            entries = key_file.PassphraseLock(passphrase).entries(document)
        except (ValueError, KeyError, TypeError):
            raise key_file.broken(path) from None
        found = entries.get(key_file.entry_name(SERVICE, self._office_id))
        if found is None:
            raise Problem("other_office", f"{path} to klucz innego biura.")
        return _keys(str(found))

    def _backend(self) -> KeyringBackend:
        """The backend that the office chose, built by name: keyring is never asked to choose (measured §4)."""
        from ksef_tui.vault.backend import KeyFileKeyring, PassphraseKeyring, system_keyring

        protection = self.protection()
        if protection == "system":
            return system_keyring()
        if protection == "file":
            return KeyFileKeyring(self.path)
        if self._lock is None:
            self._lock = key_file.PassphraseLock(self._typed())
        return PassphraseKeyring(self.path, self._lock)

    def _typed(self) -> Secret:
        if self._opened:  # asking in the middle of a screen is no good
            raise _restart()
        self.passphrase = self.passphrase or passphrase_from_systemd() or self._ask()
        if not self.passphrase:
            raise Problem(
                "passphrase_needed",
                "Klucz biura jest chroniony hasłem, a hasła nie podano. Uruchom w terminalu, z --passphrase-stdin "
                f"albo jako usługę z LoadCredential={CREDENTIAL}:PLIK.",
            )
        return self.passphrase

    def _fetch(self, keyring: KeyringBackend) -> tuple[Secret, ...]:
        from keyring.errors import KeyringError

        _rich_traceback_omit = True
        try:
            text = keyring.get_password(SERVICE, self._office_id)
        except KeyringError as error:
            raise _no_keyring() from error
        except Problem as problem:
            if problem.code == "wrong_passphrase":
                if self._opened:
                    raise _restart() from None
                self._lock = self.passphrase = None  # another one may be tried
            raise
        if text is None:
            raise self._missing()
        return _keys(text)

    def _keep(self, keyring: KeyringBackend, keys: Sequence[Secret]) -> None:
        from keyring.errors import KeyringError

        _rich_traceback_omit = True
        try:
            keyring.set_password(SERVICE, self._office_id, _text(keys))
        except KeyringError as error:
            raise _no_keyring() from error

    def _missing(self) -> Problem:
        return Problem(
            "key_missing",
            f"Brak klucza biura ({self.place()}). Bez niego zapisanych sekretów nie da się odczytać – "
            "odtwórz klucz z kopii zapasowej albo wczytaj: ksef-tui vault import.",
        )


def passphrase_from_systemd() -> Secret | None:
    """The passphrase that systemd hands a service by `LoadCredential=ksef-tui-passphrase:…`, None without one."""
    _rich_traceback_omit = True
    folder = os.environ.get("CREDENTIALS_DIRECTORY")
    if not folder:
        return None
    try:
        return Secret((Path(folder) / CREDENTIAL).read_bytes().removesuffix(b"\n"))
    except FileNotFoundError:
        return None


def _text(keys: Sequence[Secret]) -> str:
    _rich_traceback_omit = True
    return " ".join(base64.b64encode(key.reveal()).decode() for key in keys)


def _keys(text: str) -> tuple[Secret, ...]:
    _rich_traceback_omit = True
    try:
        keys = tuple(Secret(base64.b64decode(part, validate=True)) for part in text.split())
    except binascii.Error:
        keys = ()
    if not keys or any(len(key.reveal()) != KEY_BYTES for key in keys):
        raise Problem("key_broken", "Klucz biura jest uszkodzony. Odtwórz go z kopii zapasowej.")
    return keys


def _restart() -> Problem:
    return Problem("restart_needed", "Zmieniono sposób ochrony klucza biura – uruchom program ponownie.")


def _no_keyring() -> Problem:
    return Problem("no_keyring", "Pęk kluczy systemu odmówił. Odblokuj go i spróbuj ponownie.")
