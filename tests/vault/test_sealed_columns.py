"""The list of sealed columns is complete: held against the schema, against every call that seals, and against triggers."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import ksef_tui
from ksef_tui.store import sealed
from ksef_tui.store.database import Database, open_database

HERE = Path(ksef_tui.__file__).parent
SOURCES = [p for p in HERE.rglob("*.py") if p.relative_to(HERE).parts[0] not in ("sandbox", "vault")]
RESEALING = {"vaulting.py", "sealing.py"}  # what seals anew takes the kind from the list itself


@pytest.fixture
def db(tmp_path: Path) -> Database:
    return open_database(tmp_path / "office.db")


def test_every_column_named_sealed_is_in_the_list_and_every_entry_is_a_column(db: Database) -> None:
    tables = {row[0] for row in db.rows("SELECT name FROM sqlite_master WHERE type = 'table'")}
    columns = {(table, row["name"]) for table in tables for row in db.rows(f"PRAGMA table_info({table})")}
    listed = {(s.table, s.column) for s in sealed.SEALED}
    assert {c for c in columns if c[1].startswith("sealed_")} - listed == set()
    assert listed - columns == set()
    assert len(listed) == len(sealed.SEALED)


def test_every_entry_names_columns_that_are_there_and_rows_that_have_a_number(db: Database) -> None:
    for place in sealed.SEALED:
        assert list(sealed.values(db.connection, place, 1)) == []


def _dictionaries(tree: ast.Module) -> dict[str, set[str]]:
    """The dictionaries of text at the top of a module: their values."""
    return {
        node.targets[0].id: {v.value for v in node.value.values if isinstance(v, ast.Constant)}
        for node in tree.body
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Dict) and isinstance(node.targets[0], ast.Name)
    }


def kinds_in_calls() -> dict[str, set[str]]:
    """The kinds that calls of `seal` and `open` name, by the file they are in."""
    found: dict[str, set[str]] = {}
    for path in SOURCES:
        tree = ast.parse(path.read_text())
        named = _dictionaries(tree)
        for node in ast.walk(tree):
            if not (
                isinstance(node, ast.Call)
                and isinstance(node.func, ast.Attribute)
                and node.func.attr in ("seal", "open")
            ):
                continue
            kind = next((k.value for k in node.keywords if k.arg == "kind"), None)
            if kind is None or path.name in RESEALING:
                continue
            kinds = found.setdefault(path.name, set())
            if isinstance(kind, ast.Constant):
                kinds.add(str(kind.value))
            elif isinstance(kind, ast.Subscript) and isinstance(kind.value, ast.Name):
                if isinstance(kind.slice, ast.Constant) or kind.value.id in named:
                    kinds |= named[kind.value.id]
            else:
                raise AssertionError(
                    f"{path.name}:{kind.lineno}: a kind that this test cannot read: {ast.unparse(kind)}"
                )
    return found


def test_every_kind_that_a_call_seals_is_in_the_list_and_no_other() -> None:
    used = set().union(*kinds_in_calls().values())
    assert used == {s.kind for s in sealed.SEALED}


def test_every_entry_has_its_triggers(db: Database) -> None:
    names = {row[0] for row in db.rows("SELECT name FROM sqlite_master WHERE type = 'trigger'")}
    for place in sealed.SEALED:
        for event in ("inserted", "updated"):
            assert f"{place.table}_{place.column}_stale_{event}" in names
