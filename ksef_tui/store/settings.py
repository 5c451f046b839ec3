"""Settings live in the database: one text for each key, with a default in the program."""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass

from ksef_tui.domain.problems import Problem
from ksef_tui.store.database import Database


@dataclass(frozen=True, slots=True)
class Setting:
    """A setting that exists. `kind` says what a value must look like: int, date, flag, path or text."""

    key: str
    default: str
    kind: str
    meaning: str  # Polish
    least: int = 0  # the smallest number that makes sense


SETTINGS: dict[str, Setting] = {
    s.key: s
    for s in (
        Setting("recall_seconds", "10", "int", "ile sekund po zatwierdzeniu można fakturę cofnąć"),
        Setting("token_end", "2026-12-31", "date", "ostatni dzień ważności tokenów KSeF (Dz.U. 2025 poz. 1815 §13)"),
        Setting("expiring_days", "30", "int", "na ile dni przed końcem certyfikatu lub tokenu ostrzegać"),
        Setting("renew_days", "30", "int", "na ile dni przed końcem odnawiać certyfikat KSeF biura", least=1),
        Setting("renew_automatically", "0", "flag", "1: odnawia sam worker; 0: program tylko zapowiada koniec"),
        Setting("session_idle_seconds", "20", "int", "po ilu sekundach bez faktur zamknąć sesję interaktywną"),
        Setting("batch_from", "12", "int", "od ilu faktur naraz wysyłać paczką", least=2),
        Setting("parallel_clients", "8", "int", "ilu klientów obsługiwać naraz", least=1),
        Setting("xsd_folder", "", "path", "katalog z plikami XSD FA(3); puste: z pakietu ksef-client"),
        Setting("ascii", "0", "flag", "1: znaki stanu tylko w ASCII"),
        Setting("probe", "1", "flag", "1: raz na dobę sprawdzaj w KSeF dostęp do każdego klienta"),
        Setting("upo_late_minutes", "60", "int", "po ilu minutach brak UPO jest spóźnieniem"),
    )
}


def known(key: str) -> Setting:
    """The setting of that name; raises Problem("unknown_setting")."""
    try:
        return SETTINGS[key]
    except KeyError:
        raise Problem("unknown_setting", f"Nie ma ustawienia {key}. Lista: ksef-tui config list.") from None


def get(db: Database, key: str) -> str:
    """The value, or the default."""
    setting = known(key)
    value: str | None = db.value("SELECT value FROM setting WHERE key = ?", (key,))
    return setting.default if value is None else value


def get_int(db: Database, key: str) -> int:
    """The value of a whole number."""
    return int(get(db, key))


def put(connection: sqlite3.Connection, key: str, value: str) -> None:
    """Write a checked value."""
    connection.execute(
        "INSERT INTO setting VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET value = excluded.value", (key, value)
    )
