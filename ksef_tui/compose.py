"""The one place that builds real objects from configuration."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from ksef_tui.domain.problems import Problem
from ksef_tui.services.office import Office, database_path
from ksef_tui.store import offices
from ksef_tui.store.database import open_database
from ksef_tui.vault.data_key import KeyStore, no_passphrase

if TYPE_CHECKING:
    import sqlite3

    from ksef_tui.domain.secret import Secret


def default_data_dir() -> Path:
    """Where an office lives unless told otherwise: KSEF_TUI_DATA_DIR, else the user's data folder."""
    given = os.environ.get("KSEF_TUI_DATA_DIR")
    return Path(given) if given else user_data_dir()


def user_data_dir() -> Path:
    """The user's data folder."""
    from platformdirs import user_data_path

    return user_data_path("ksef-tui", appauthor=False)


def open_office(data_dir: Path, *, ask_passphrase: Callable[[], Secret | None] | None = None) -> Office:
    """The office in `data_dir`. Raises Problem when there is none or it cannot be opened.

    `ask_passphrase` is asked when the office's key needs a passphrase and systemd has not handed one over.

    `KSEF_TUI_API_URL` overrides the address of a sandbox or test office, never of a real one (contract).
    """
    from ksef_tui.ksef.environments import resolve

    path = database_path(data_dir)
    if not path.exists():
        raise Problem("no_office", f"W katalogu {data_dir} nie ma biura. Załóż je: ksef-tui init.")
    db = open_database(path)
    row = offices.office(db)
    if row is None:
        db.close()
        raise Problem("no_office", f"W katalogu {data_dir} nie ma biura. Załóż je: ksef-tui init.")
    keys = KeyStore(lambda: offices.secrets(db), data_dir, row["office_id"], ask_passphrase or no_passphrase)
    override = os.environ.get("KSEF_TUI_API_URL") or None
    office = Office(
        data_dir=data_dir,
        db=db,
        environment=resolve(row["environment"], override or row["api_url"]),
        office_id=row["office_id"],
        nip=row["nip"],
        name=row["name"],
        keys=keys,
    )
    db.before_commit = partial(_mend, office)
    return office


def _mend(office: Office, connection: sqlite3.Connection) -> None:
    from ksef_tui.services.sealing import mend

    mend(office, connection)
