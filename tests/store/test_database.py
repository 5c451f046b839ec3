"""One file where everybody meets: how it comes about, what every connection promises, what happens when it cannot be written."""

from __future__ import annotations

import shutil
import sqlite3
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from store_rows import furnish, new_invoice

from ksef_tui.domain.problems import Problem
from ksef_tui.store.database import Database, open_database
from ksef_tui.store.schema import STEPS

OPENER = """
import sys
from pathlib import Path
from ksef_tui.store.database import open_database
sys.stdin.readline()
db = open_database(Path(sys.argv[1]))
with db.write() as connection:
    connection.execute("UPDATE change_counter SET seq = seq + 1")
print(db.value("SELECT count(*) FROM sqlite_master"))
"""


def test_ten_processes_that_open_a_new_directory_at_once_make_one_schema(tmp_path: Path):
    path = tmp_path / "new" / "office.db"
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", OPENER, str(path)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for _ in range(10)
    ]
    for process in processes:  # all have started Python and wait for this line
        process.stdin.write("\n")
        process.stdin.flush()
    answers = [process.communicate(timeout=60) for process in processes]
    assert [(p.returncode, error) for p, (_, error) in zip(processes, answers, strict=True)] == [(0, "")] * 10
    assert len({out for out, _ in answers}) == 1
    db = open_database(path)
    assert db.value("PRAGMA user_version") == len(STEPS)
    assert db.value("SELECT count(*) FROM _sqlite_migrations") == len(STEPS)
    assert db.value("SELECT seq FROM change_counter") == 10, "a write of one of them was lost"
    db.close()


def test_every_connection_of_every_thread_is_durable_and_keeps_references(db: Database):
    found = []

    def look() -> None:
        found.append(
            {name: db.value(f"PRAGMA {name}") for name in ("synchronous", "foreign_keys", "journal_mode", "temp_store")}
        )

    threads = [threading.Thread(target=look) for _ in range(2)]
    for thread in threads:
        thread.start()
        thread.join()
    look()
    assert found == [{"synchronous": 2, "foreign_keys": 1, "journal_mode": "wal", "temp_store": 2}] * 3


def test_every_table_is_strict(db: Database):
    loose = db.rows(
        "SELECT name FROM pragma_table_list WHERE schema = 'main' AND type = 'table' AND strict = 0 "
        "AND name NOT LIKE 'sqlite_%' AND name <> '_sqlite_migrations'"
    )
    assert [row["name"] for row in loose] == []


def test_a_reference_to_nothing_is_refused(db: Database):
    with pytest.raises(sqlite3.IntegrityError), db.write() as connection:
        connection.execute("INSERT INTO invoice_event VALUES (NULL, 99, '', '', '', '', NULL, '', '')")


def test_a_write_is_all_or_nothing_also_when_one_write_joins_another(db: Database):
    with pytest.raises(KeyError), db.write() as connection:
        connection.execute("INSERT INTO setting VALUES ('a', '1')")
        with db.write() as joined:
            joined.execute("INSERT INTO setting VALUES ('b', '2')")
        raise KeyError
    assert db.rows("SELECT * FROM setting") == []


def test_a_write_waits_for_the_lock_from_its_first_statement(db: Database):
    """A deferred transaction that reads first could fail later, whatever the timeout: so the lock is taken at once."""
    with db.write():
        other = sqlite3.connect(db.path, timeout=0, isolation_level=None)
        with pytest.raises(sqlite3.OperationalError, match="locked"):
            other.execute("BEGIN IMMEDIATE")
        other.close()


def test_a_full_disk_is_one_polish_sentence_and_loses_nothing(db: Database):
    before = new_invoice(db)
    events = db.value("SELECT count(*) FROM invoice_event")
    pages = db.value("PRAGMA page_count")
    assert db.value(f"PRAGMA max_page_count = {pages}") == pages
    with pytest.raises(Problem) as caught:
        for _ in range(1000):
            new_invoice(db)
    assert caught.value.code == "disk_full"
    assert "Brak miejsca na dysku" in caught.value.message
    count = db.value("SELECT count(*) FROM invoice")
    assert db.value("SELECT count(*) FROM invoice_event") == events + count - 1, "a row and its event are one"
    db.value("PRAGMA max_page_count = 1000000")
    assert new_invoice(db) == db.value("SELECT max(id) FROM invoice")
    assert db.value("PRAGMA integrity_check") == "ok"
    assert db.value("SELECT state FROM invoice WHERE id = ?", (before,)) == "waiting"


def as_nobody(script: str, path: Path) -> list[str]:
    """What the script says when somebody runs it who has no rights: root may write everywhere."""
    done = subprocess.run([sys.executable, "-c", script, str(path)], capture_output=True, text=True, timeout=30)
    assert done.stderr == ""
    return done.stdout.splitlines()


@pytest.fixture
def world_folder() -> Iterator[Path]:
    """A folder that everybody reaches; those of pytest are the user's own."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)
        yield folder
        folder.chmod(0o755)


READ_ONLY = """
import os, sys
from pathlib import Path
from ksef_tui.domain.problems import Problem
from ksef_tui.store.database import open_database
if os.getuid() == 0:
    os.setuid(65534)
try:
    db = open_database(Path(sys.argv[1]))
    print(db.value("SELECT count(*) FROM client"))
    with db.write() as connection:
        connection.execute("INSERT INTO setting VALUES ('a', '1')")
except Problem as problem:
    print(problem.code, problem.message)
"""


@pytest.mark.parametrize(
    ("folder_mode", "answer"),
    [
        (0o777, ["2", "read_only Baza danych jest tylko do odczytu – nic nie zapisano. Sprawdź prawa do plików."]),
        (0o555, ["read_only Baza danych jest tylko do odczytu – nic nie zapisano. Sprawdź prawa do plików."]),
    ],
    ids=["file", "folder too"],
)
def test_a_read_only_database_is_one_polish_sentence(world_folder: Path, folder_mode: int, answer: list[str]):
    path = world_folder / "office.db"
    database = open_database(path)
    furnish(database)
    database.close()
    path.chmod(0o444)
    world_folder.chmod(folder_mode)
    assert as_nobody(READ_ONLY, path) == answer
    world_folder.chmod(0o755)
    again = open_database(path)
    assert again.value("SELECT count(*) FROM client") == 2
    again.close()


@pytest.mark.parametrize("place", ["office.db", "new/office.db"], ids=["folder", "folder that cannot be made"])
def test_a_folder_that_is_shut_is_one_polish_sentence(world_folder: Path, place: str):
    world_folder.chmod(0o000)
    answer = as_nobody(READ_ONLY, world_folder / place)
    assert answer == [f"cannot_open Nie można otworzyć bazy danych w {(world_folder / place).parent}: brak uprawnień."]


def test_a_database_of_a_newer_program_is_refused_and_left_alone(tmp_path: Path):
    path = tmp_path / "office.db"
    open_database(path).close()
    with sqlite3.connect(path) as connection:
        connection.execute(f"PRAGMA user_version = {len(STEPS) + 1}")
    connection.close()
    before = path.read_bytes()
    with pytest.raises(Problem) as caught:
        open_database(path)
    assert caught.value.code == "newer_database"
    assert "nowsza wersja" in caught.value.message
    assert path.read_bytes() == before


def test_a_file_that_is_no_database_is_one_polish_sentence_and_left_alone(tmp_path: Path):
    path = tmp_path / "office.db"
    content = b"To nie jest baza danych, tylko notatka. " * 100
    path.write_bytes(content)
    with pytest.raises(Problem) as caught:
        open_database(path)
    assert caught.value.code == "not_a_database"
    assert path.read_bytes() == content


def test_a_damaged_database_is_one_polish_sentence(tmp_path: Path):
    path = tmp_path / "office.db"
    database = open_database(path)
    furnish(database)
    database.connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    database.close()
    content = bytearray(path.read_bytes())
    content[4096:] = b"\xff" * (len(content) - 4096)
    path.write_bytes(content)
    with pytest.raises(Problem) as caught:
        open_database(path).rows("SELECT * FROM client")
    assert caught.value.code == "corrupt"
    assert "odtwórz kopię zapasową" in caught.value.message


def test_an_interrupted_change_of_the_schema_is_done_anew(tmp_path: Path):
    """A process killed in the middle leaves the version it found: the next one starts from there."""
    path = tmp_path / "office.db"
    half = sqlite3.connect(path)
    half.execute("PRAGMA journal_mode = WAL")
    half.execute("BEGIN EXCLUSIVE")
    half.execute("CREATE TABLE office (id INTEGER)")
    copy = tmp_path / "killed.db"
    for suffix in ("", "-wal"):
        if Path(f"{path}{suffix}").exists():
            shutil.copy(f"{path}{suffix}", f"{copy}{suffix}")
    half.rollback()
    half.close()
    db = open_database(copy)
    assert db.value("PRAGMA user_version") == len(STEPS)
    furnish(db)
    db.close()


def test_only_the_owner_may_read_a_new_database(tmp_path: Path):
    path = tmp_path / "new" / "office.db"
    open_database(path).close()
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.parent.stat().st_mode & 0o777 == 0o700


def test_who_reads_while_it_is_closed_reads_to_the_end(tmp_path: Path) -> None:
    db, begun, closed = Database(tmp_path / "read.db"), threading.Event(), threading.Event()
    read: list[int] = []

    def in_the_middle(number: int) -> int:
        if number == 2:
            begun.set()
            assert closed.wait(30)
        return number

    def reading() -> None:
        db.connection.create_function("in_the_middle", 1, in_the_middle)
        read.append(db.value("SELECT sum(in_the_middle(value)) FROM json_each('[1, 2, 3]')"))

    thread = threading.Thread(target=reading)
    thread.start()
    assert begun.wait(30)
    db.close()
    closed.set()
    thread.join()
    assert read == [6]
