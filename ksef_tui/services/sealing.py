"""The office's sealed columns and its data key together: opening, checking, mending and sealing all of them anew."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING

from ksef_tui.domain.problems import Problem
from ksef_tui.domain.secret import Secret
from ksef_tui.store import sealed
from ksef_tui.store.database import connect
from ksef_tui.vault import seal

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ksef_tui.services.office import Office


def open_sealer(office: Office) -> seal.OfficeSealer:
    """The sealer of this office. Raises Problem: no key, a wrong one, a wrong passphrase."""
    sealer = seal.OfficeSealer(lambda: sealed.header(office.db.connection), office.keys.load)
    _check_first_key(office, sealer)
    return sealer


def check_key(office: Office) -> None:
    """Say at the start that the key is missing or wrong, or ask for its passphrase; a key file costs a millisecond.

    Raises Problem as `open_sealer`; a system keyring is asked when it is needed.
    """
    keys = office.keys.glance()
    if keys is not None:
        header = sealed.header(office.db.connection)
        if header != seal.FIRST and header not in {seal.header_of(key) for key in keys}:
            raise seal.wrong_key()
    elif office.keys.protection() == "passphrase":
        _ = office.sealer


def mend(office: Office, connection: sqlite3.Connection) -> None:
    """Seal anew what this transaction stores and an older key sealed; called at its end, when there is such a thing.

    Raises Problem("key_changed") when this process does not know that key: then nothing is written. What no key
    ever sealed stays as it is.
    """
    for place, row_id in sealed.stale(connection):
        for value in sealed.values(connection, place, row_id):
            if seal.header_in(value.blob) is None:
                continue
            try:
                secret = _opened(office.sealer, value)
            except Problem as problem:
                if problem.code != "sealed_value_broken":
                    _forget_committed(office)
                    raise
                continue
            sealed.replace(connection, value, _sealed(office.sealer, value, secret))
    sealed.forget_stale(connection)


def seal_anew(office: Office, connection: sqlite3.Connection, header: bytes) -> int:
    """Put another key in force and seal every secret of the office with it; how many there were.

    Raises Problem("unreadable_secret") when one does not open: then the transaction must not be committed, or that
    secret would be lost.
    """
    sealed.set_header(connection, header)
    count = 0
    for value in sealed.values(connection):
        if seal.header_in(value.blob) is None:  # no key ever sealed it
            continue
        try:
            secret = _opened(office.sealer, value)
        except Problem as problem:
            where = f"{value.place.table}.{value.place.column}, wiersz {value.row_id}"
            raise Problem(
                "unreadable_secret",
                f"Jednego z sekretów nie da się odczytać ({where}), więc klucza nie zmieniono. Usuń go i powtórz.",
            ) from problem
        sealed.replace(connection, value, _sealed(office.sealer, value, secret))
        count += 1
    return count


def check_keys(office: Office, keys: Sequence[Secret]) -> None:
    """Whether these keys, which are kept nowhere yet, are the office's. Raises Problem("key_wrong")."""
    _check_first_key(office, seal.OfficeSealer(lambda: sealed.header(office.db.connection), lambda: keys))


def keys_in_force(office: Office) -> list[Secret]:
    """The key that the database names, alone: another one was left behind by a change that broke off.

    Raises Problem("key_wrong") when it is not kept, so that nobody keeps nothing in its place. The caller holds the
    lock of the keys.
    """
    header, keys = sealed.header(office.db.connection), office.keys.load()
    found = [keys[0]] if header == seal.FIRST else [key for key in keys if seal.header_of(key) == header]
    if not found:
        raise seal.wrong_key()
    return found


def drop_left_over(office: Office) -> None:
    """Destroy the key that a change of the key left behind because it broke off."""
    if len(office.keys.load()) > 1:
        with office.keys.locked():
            office.keys.keep(keys_in_force(office))


def count_sealed(office: Office) -> int:
    """How many secrets the office keeps sealed."""
    return sum(1 for _ in sealed.values(office.db.connection))


def _check_first_key(office: Office, sealer: seal.OfficeSealer) -> None:
    """An office of before keys had names: whether the key is its own shows at any secret."""
    if sealed.header(office.db.connection) != seal.FIRST:
        return
    broken = False
    for value in sealed.values(office.db.connection):
        if seal.header_in(value.blob) is None:
            continue
        try:
            _opened(sealer, value)
            return
        except Problem:
            broken = True  # one alone may have been damaged
    if broken:
        raise seal.wrong_key()


def _forget_committed(office: Office) -> None:
    """A row that was stored long ago by a key nobody knows must not stand in the way of every later writing."""
    with closing(connect(office.db.path)) as other:
        committed = other.execute("SELECT table_name, column_name, row_id FROM stale_seal").fetchall()
    if committed:
        office.db.connection.execute("ROLLBACK")
        office.db.connection.execute("DELETE FROM stale_seal")


def _opened(sealer: seal.OfficeSealer, value: sealed.SealedValue) -> Secret:
    return sealer.open(value.blob, client=value.client, kind=value.place.kind, row=value.row)


def _sealed(sealer: seal.OfficeSealer, value: sealed.SealedValue, secret: Secret) -> bytes:
    return sealer.seal(secret, client=value.client, kind=value.place.kind, row=value.row)
