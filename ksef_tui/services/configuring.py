"""Settings: read, and changed with an audit row."""

from __future__ import annotations

from datetime import date
from pathlib import Path

from ksef_tui.domain.problems import Problem
from ksef_tui.domain.roles import Act, Operator, require
from ksef_tui.services.office import Office
from ksef_tui.store import settings
from ksef_tui.store.records import audit


def all_settings(office: Office) -> list[dict[str, str]]:
    """Every setting with its value, default and meaning."""
    return [
        {"key": s.key, "value": settings.get(office.db, s.key), "default": s.default, "meaning": s.meaning}
        for s in settings.SETTINGS.values()
    ]


def get(office: Office, key: str) -> str:
    """One value. Raises Problem("unknown_setting")."""
    return settings.get(office.db, key)


def change(office: Office, operator: Operator, key: str, value: str) -> None:
    """Change a setting. Raises Problem for an unknown one or a value that is not of its kind."""
    require(operator, Act.SETTING_CHANGE, None)
    setting = settings.known(key)
    value = value.strip()
    _check(setting, value)
    with office.db.write() as connection:
        before = settings.get(office.db, key)
        settings.put(connection, key, value)
        audit(connection, office.clock(), operator, Act.SETTING_CHANGE, key=key, before=before, after=value)


def _check(setting: settings.Setting, value: str) -> None:
    if setting.kind == "int" and not (value.isascii() and value.isdigit() and len(value) <= 6):
        raise Problem("bad_value", f"{setting.key}: podaj liczbę całkowitą, a jest: {value}.")
    if setting.kind == "int" and int(value) < setting.least:
        raise Problem("bad_value", f"{setting.key}: podaj co najmniej {setting.least}, a jest: {value}.")
    if setting.kind == "flag" and value not in ("0", "1"):
        raise Problem("bad_value", f"{setting.key}: podaj 0 albo 1, a jest: {value}.")
    if setting.kind == "date":
        try:
            date.fromisoformat(value)
        except ValueError:
            raise Problem("bad_value", f"{setting.key}: podaj datę RRRR-MM-DD, a jest: {value}.") from None
    if setting.kind == "path" and value and not Path(value).is_dir():
        raise Problem("bad_value", f"{setting.key}: nie ma katalogu {value}.")
