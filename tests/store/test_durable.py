"""Whoever opens the office's database, and however, gets a connection that loses nothing when the power goes."""

from __future__ import annotations

import ast
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from support import papers
from support.houses import LOGIN, House, wait_for

import ksef_tui

PACKAGE = Path(ksef_tui.__file__).parent
WATCHED = Path(__file__).parent / "watched"


def opened_in(tree: ast.AST) -> list[str]:
    """What in a module opens a database: calls of the driver, and names taken out of it."""
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            if (node.value.id, node.attr) == ("sqlite3", "connect"):
                found.append(f"{node.lineno}: sqlite3.connect")
        elif isinstance(node, ast.ImportFrom) and node.module in ("sqlite3", "sqlite3.dbapi2"):
            found += [f"{node.lineno}: {name.name}" for name in node.names if name.name == "connect"]
        elif isinstance(node, ast.Import):
            found += [f"{node.lineno}: {n.name}" for n in node.names if n.name == "sqlite3" and n.asname]
            found += [f"{node.lineno}: {n.name}" for n in node.names if n.name in ("apsw", "aiosqlite", "dbm.sqlite3")]
    return found


def test_only_the_store_opens_a_database():
    """`connect` for whoever may write; `untouched` and `looked_into` for a file that is only read."""
    found = {
        str(path.relative_to(PACKAGE)): opened_in(ast.parse(path.read_text()))
        for path in PACKAGE.rglob("*.py")
        if "sandbox" not in path.relative_to(PACKAGE).parts
    }
    assert {path: len(lines) for path, lines in found.items() if lines} == {
        "store/database.py": 1,
        "store/copies.py": 2,
    }


@pytest.mark.parametrize(
    "text",
    ["import sqlite3\nsqlite3.connect('x')", "from sqlite3 import connect", "import sqlite3 as s", "import apsw"],
)
def test_every_way_around_is_seen(text: str):
    assert opened_in(ast.parse(text))


def watched(house: House, log: Path, *command: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
    """A command in a process whose every statement that changes something is written down with what it promised."""
    return subprocess.run(
        [sys.executable, "-m", "ksef_tui", "--data-dir", str(house.folder), "--operator", LOGIN, *command],
        env=environment(log), input=stdin, capture_output=True, text=True, timeout=120,
    )  # fmt: skip


def environment(log: Path) -> dict[str, str]:
    return os.environ | {"PYTHONPATH": str(WATCHED), "WATCHED_LOG": str(log)}


def seen(log: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in log.read_text().splitlines()]


def durable(log: Path, database: Path) -> int:
    """How many statements changed the office's database, each of them for good."""
    rows = [row for row in seen(log) if row["file"] == str(database)]
    assert [r for r in rows if (r["synchronous"], r["foreign_keys"], r["journal_mode"]) != (2, 1, "wal")] == []
    return len(rows)


async def test_every_process_that_changes_the_office_does_it_for_good(house: House, tmp_path: Path):
    client = await house.ready_client()
    log, invoice, database = tmp_path / "log", tmp_path / "faktura.xml", house.folder / "office.db"
    invoice.write_bytes(papers.invoice(client.nip))
    for command, stdin in (
        (("config", "set", "recall_seconds", "0"), ""),
        (("invoice", "import", client.nip, str(invoice)), ""),
        (("queue", "approve", "--client", client.nip), ""),
        (("worker", "--until-idle"), ""),
        (("auth", "check", client.nip), ""),
        (("client", "add", "5260250274", "Nowy Klient"), ""),
        (("vault", "rotate"), ""),
        (("vault", "protect", "--with", "passphrase", "--passphrase-stdin"), "hasło biura\n"),
    ):
        log.write_text("")
        done = watched(house, log, *command, stdin=stdin)
        assert done.returncode == 0, done.stderr
        assert durable(log, database) > 0, command
    assert house.ministry.numbered(client.nip), "the worker that was watched sent it"


def test_a_new_office_and_a_worker_that_stays_are_durable(house: House, tmp_path: Path):
    log, folder = tmp_path / "log", tmp_path / "nowe"
    log.write_text("")
    command = [sys.executable, "-m", "ksef_tui", "--data-dir", str(folder), "--operator", "zofia"]
    made = subprocess.run(
        [*command, "init", "--environment", "sandbox", "--nip", "5260250274", "--name", "Biuro"],
        env=environment(log), capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert made.returncode == 0, made.stderr
    assert durable(log, folder / "office.db") > 0
    worker = subprocess.Popen([*command, "worker"], env=environment(log), stdin=subprocess.DEVNULL)
    before = len(seen(log))
    try:
        wait_for(lambda: len(log.read_text().splitlines()) > before)
    finally:
        worker.send_signal(signal.SIGTERM)
        assert worker.wait(60) == 0
    assert durable(log, folder / "office.db") > before
