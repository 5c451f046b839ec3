"""What the administrator does with the office's data key: look, change its protection or the key itself, move it.

Each change is one step that either happened or did not, wherever the machine stops; other processes go on. Where two
things must change together – the key store and the database – the database decides which of two keys is in force.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from ksef_tui.domain.problems import Problem
from ksef_tui.domain.reasons import os_reason
from ksef_tui.domain.roles import Act, Operator, require
from ksef_tui.domain.secret import Secret
from ksef_tui.services import sealing
from ksef_tui.services.office import Office, checked_passphrase
from ksef_tui.store import offices, sealed
from ksef_tui.store.records import audit
from ksef_tui.vault import seal
from ksef_tui.vault.data_key import KEY_BYTES, Kind
from ksef_tui.vault.files import new_private

LARGEST_EXPORT = 100_000

# What `vault status` says of a key that cannot be used, by the code of the refusal.
_KEY_STATES = {
    "passphrase_needed": "locked", "wrong_passphrase": "locked", "key_missing": "missing", "key_wrong": "wrong",
    "key_broken": "broken", "key_too_open": "too_open", "no_keyring": "unreachable",
}  # fmt: skip


def status(office: Office, operator: Operator) -> dict[str, Any]:
    """How the data key is kept and whether it is the office's, as the contract prints it. Nobody is asked for a
    passphrase here: without one the key is `locked`."""
    require(operator, Act.VAULT_STATUS, None)
    state, reason, protection = "ok", "", str(offices.secrets(office.db))
    try:
        protection = office.keys.protection()
        _ = office.sealer
        sealing.drop_left_over(office)
    except Problem as problem:
        if problem.code not in _KEY_STATES:
            raise
        state, reason = _KEY_STATES[problem.code], problem.message
    header = sealed.header(office.db.connection)
    rotated = office.db.value("SELECT max(at) FROM audit WHERE act = ?", (Act.VAULT_ROTATE,))
    return {
        "protection": protection, "place": office.keys.place(), "key": state, "reason": reason,
        "key_id": "" if header == seal.FIRST else header[1:].hex(), "rotated_at": rotated or "",
        "sealed": sealing.count_sealed(office),
    }  # fmt: skip


def change_passphrase(office: Office, operator: Operator, new: Secret) -> None:
    """Another passphrase for the same key; processes that run go on.

    Raises Problem: no passphrase in use, a wrong old one (asked for by the office), a new one that is too short.
    """
    require(operator, Act.VAULT_PASSPHRASE, None)
    checked_passphrase(new)
    with office.keys.locked():
        office.keys.change_passphrase(new)
        _note(office, operator, Act.VAULT_PASSPHRASE)


def protect(office: Office, operator: Operator, kind: Kind, passphrase: Secret | None = None) -> None:
    """Keep the data key in another way; `passphrase` is for the kind of that name.

    The new place holds the key before the database names it, and the old one forgets it after that. A file takes the
    place of a file in one step, and says itself which of the two kinds it is.
    """
    require(operator, Act.VAULT_PROTECT, None)
    if kind == "passphrase":
        checked_passphrase(passphrase or Secret(b""))
    with office.keys.locked():
        _ = office.sealer  # a wrong key is not carried on
        keys, old = sealing.keys_in_force(office), office.keys.protection()
        office.keys.protect(kind, keys, passphrase)
        with office.db.write() as connection:
            offices.set_secrets(connection, kind)
            audit(connection, office.clock(), operator, Act.VAULT_PROTECT, old=old, new=kind)
        if "system" in (old, kind) and old != kind:
            office.keys.forget(old)


def rotate(office: Office, operator: Operator) -> int:
    """Make another data key, seal every secret anew and destroy the old key; how many secrets there were.

    The new key is kept beside the old one first; one transaction seals everything anew and puts it in force; then the
    old one is forgotten. Stopped anywhere, the office works with the key that the database names, and the next
    change removes the other. Processes that run take the new key by themselves. Raises Problem; nothing has changed
    then.
    """
    require(operator, Act.VAULT_ROTATE, None)
    with office.keys.locked():
        _ = office.sealer
        old, new = sealing.keys_in_force(office), Secret(os.urandom(KEY_BYTES))
        office.keys.keep([*old, new])
        connection = office.db.connection
        connection.execute("PRAGMA secure_delete = ON")  # no page keeps what the old key sealed
        with office.db.write():  # whatever goes wrong here, both keys stay: one of them is right
            count = sealing.seal_anew(office, connection, seal.header_of(new))
            audit(connection, office.clock(), operator, Act.VAULT_ROTATE, sealed=count)
        office.keys.keep([new])
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    return count


def export(office: Office, operator: Operator, path: Path, passphrase: Secret) -> None:
    """Write the data key, under a passphrase of its own, into a new file (0600) for another server.

    Raises Problem("file_exists") rather than replace anything.
    """
    require(operator, Act.VAULT_EXPORT, None)
    checked_passphrase(passphrase)
    with office.keys.locked():
        _ = office.sealer
        document = office.keys.exported(sealing.keys_in_force(office), passphrase)
        try:
            new_private(path, json.dumps(document).encode() + b"\n")
        except FileExistsError:
            raise Problem("file_exists", f"{path} już istnieje – podaj inną nazwę.") from None
        except OSError as error:
            raise Problem("bad_file", f"Nie można zapisać {path}: {os_reason(error)}.") from error
        _note(office, operator, Act.VAULT_EXPORT)


def take_in(
    office: Office, operator: Operator, path: Path, passphrase: Secret, kind: Kind, new: Secret | None = None
) -> None:
    """Take the data key from an exported file (`vault import`): the office's database was brought here without it.

    It is kept in the way `kind`; `new` is the passphrase of that kind, without it the exported file's own. A key file
    that was here and is not the office's is put aside, not destroyed. Raises Problem: another office's file or key,
    a wrong passphrase, the key is here already.
    """
    require(operator, Act.VAULT_IMPORT, None)
    try:
        content = path.read_bytes() if path.stat().st_size <= LARGEST_EXPORT else b""
    except OSError as error:
        raise Problem("no_file", f"Nie można odczytać {path}: {os_reason(error)}.") from error
    keys = office.keys.imported(content, path, passphrase)
    try:
        sealing.check_keys(office, keys)
    except Problem as problem:
        raise Problem("other_key", f"{path}: to nie jest obecny klucz tego biura – niczego nie zmieniono.") from problem
    if kind == "passphrase":
        checked_passphrase(new or passphrase)
    with office.keys.locked():
        if _is_here(office):
            raise Problem("key_is_here", "Klucz tego biura już tu jest – nie ma czego wczytywać.")
        if office.keys.path.exists():
            office.keys.path.rename(office.keys.path.with_name(f"office.key.{office.clock():%Y%m%d-%H%M%S}"))
        office.keys.protect(kind, keys, new or passphrase)
        with office.db.write() as connection:
            offices.set_secrets(connection, kind)
            audit(connection, office.clock(), operator, Act.VAULT_IMPORT, kind=kind)


def _is_here(office: Office) -> bool:
    try:
        _ = office.sealer
    except Problem as problem:
        if problem.code in ("key_missing", "key_wrong", "key_broken", "wrong_passphrase", "no_keyring"):
            return False
        raise
    return True


def _note(office: Office, operator: Operator, act: Act) -> None:
    with office.db.write() as connection:
        audit(connection, office.clock(), operator, act)
