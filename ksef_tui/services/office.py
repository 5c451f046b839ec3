"""The office: one data directory, one database, one environment. Every service function is given it first."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from ksef_tui.domain.nip import parse_nip
from ksef_tui.domain.problems import Problem
from ksef_tui.domain.reasons import os_reason
from ksef_tui.domain.roles import Operator, Role
from ksef_tui.domain.secret import Secret
from ksef_tui.store import offices, settings
from ksef_tui.store.database import Database, open_database
from ksef_tui.store.leases import boot_seconds
from ksef_tui.store.records import audit

if TYPE_CHECKING:
    import httpx

    from ksef_tui.ksef.environments import Environment
    from ksef_tui.vault.data_key import KeyStore, Kind
    from ksef_tui.vault.seal import OfficeSealer

DATABASE_FILE = "office.db"
LEAST_PASSPHRASE = 8

Clock = Callable[[], datetime]


def utc_now() -> datetime:
    """The clock of the machine, in UTC."""
    return datetime.now(UTC)


@dataclass(slots=True)
class Office:
    """Everything a service needs of the outside world. Built in `compose`, never by services or screens."""

    data_dir: Path
    db: Database
    environment: Environment
    office_id: str
    nip: str
    name: str
    keys: KeyStore = field(repr=False)
    clock: Clock = utc_now
    since_boot: Callable[[], float] = boot_seconds  # seconds of a clock that never jumps (`clock_jumps`)
    transport: httpx.AsyncBaseTransport | None = None
    exercise: bool = False  # the demo says on screen that it is one
    _sealer: OfficeSealer | None = field(default=None, repr=False)

    @property
    def sealer(self) -> OfficeSealer:
        """Seals and opens secrets; the data key is asked for at the first use. Raises Problem."""
        if self._sealer is None:
            from ksef_tui.services.sealing import open_sealer

            self._sealer = open_sealer(self)
        return self._sealer

    @property
    def recall_seconds(self) -> int:
        """How long an approved invoice waits so that it can be taken back (design §6 rule 11)."""
        return settings.get_int(self.db, "recall_seconds")

    def close(self) -> None:
        """Close the database."""
        self.db.close()


def database_path(data_dir: Path) -> Path:
    """Where an office's database lives."""
    return data_dir / DATABASE_FILE


def init(
    data_dir: Path,
    *,
    environment: str,
    nip: str,
    name: str,
    login: str,
    api_url: str | None = None,
    secrets_kind: Kind = "file",
    passphrase: Secret | None = None,
    clock: Clock = utc_now,
) -> None:
    """Make an office in `data_dir`; `login` (the Unix user) becomes its administrator.

    The office's own NIP is a client too (design §2). Raises Problem: bad NIP, address or name, an office that
    is there already, a data key that cannot be made.
    """
    from ksef_tui.ksef.environments import resolve
    from ksef_tui.vault.data_key import KeyStore
    from ksef_tui.vault.files import locked
    from ksef_tui.vault.seal import header_of

    nip = parse_nip(nip)
    name = checked_name(name)
    resolve(environment, api_url)
    if secrets_kind == "passphrase" and passphrase is not None:
        checked_passphrase(passphrase)
    try:
        data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise Problem("bad_folder", f"Nie można założyć katalogu {data_dir}: {os_reason(error)}.") from error
    with locked(data_dir / "keys" / "init"):  # who is second finds the office of the first, and makes no key
        if database_path(data_dir).exists():
            with_office = open_database(database_path(data_dir))
            known = offices.office(with_office)
            with_office.close()
            if known is not None:
                raise Problem("office_exists", f"W tym katalogu jest już biuro: {known['name']}.")
        office_id = secrets.token_hex(8)
        key = KeyStore(lambda: secrets_kind, data_dir, office_id, lambda: passphrase).create()
        db = open_database(database_path(data_dir))
        now = clock()
        try:
            with db.write() as connection:
                offices.insert_office(
                    connection,
                    now,
                    office_id=office_id,
                    environment=environment,
                    api_url=api_url,
                    nip=nip,
                    name=name,
                    secrets=secrets_kind,
                    seal_header=header_of(key),
                )
                operator_id = offices.insert_operator(connection, now, login, login, Role.ADMIN)
                offices.insert_client(connection, now, nip, name, is_office=True, keeper_id=operator_id)
                admin = Operator(operator_id, login, login, Role.ADMIN)
                audit(connection, now, admin, "office.init", environment=environment, nip=nip)
        finally:
            db.close()


def checked_passphrase(passphrase: Secret) -> Secret:
    """A new passphrase that can be typed in one line. Raises Problem("bad_passphrase")."""
    try:
        text = passphrase.reveal_text()
    except UnicodeDecodeError:
        text = ""
    if len(text) < LEAST_PASSPHRASE or not text.isprintable():
        raise Problem("bad_passphrase", f"Hasło musi mieć co najmniej {LEAST_PASSPHRASE} znaków, w jednym wierszu.")
    return passphrase


def checked_name(name: str) -> str:
    """A name without control characters and double spaces. Raises Problem("bad_name")."""
    clean = " ".join("".join(c if c.isprintable() else " " for c in name).split())
    if not clean:
        raise Problem("bad_name", "Podaj nazwę.")
    if len(clean) > 256:
        raise Problem("bad_name", "Nazwa jest za długa: najwyżej 256 znaków.")
    return clean


def operator_named(office: Office, login: str) -> Operator:
    """The operator with that login. Raises Problem("unknown_operator"): an unknown one is refused, never a guest."""
    found = offices.operator(office.db, login)
    if found is None:
        raise Problem("unknown_operator", f"Nie ma operatora {login}. Dostęp nadaje administrator biura.")
    return found
