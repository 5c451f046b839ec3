"""`backup` and `restore` as commands: what they say, and what they refuse."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from cli_office import Desk
from support.houses import LOGIN

from ksef_tui.domain.roles import Role
from ksef_tui.store import leases


def test_there_and_back(desk: Desk, tmp_path: Path):
    copy, client = tmp_path / "kopia.db", desk.house.client()
    said = desk.run("backup", str(copy))
    assert (said.exit_code, said.stdout) == (0, "")
    assert "Klucza biura w niej nie ma" in said.stderr
    later = desk.house.client(name="Sosna Próbna")
    back = desk.run("restore", str(copy))
    assert (back.exit_code, back.stdout) == (0, "")
    assert "program sprawdzi w KSeF" in back.stderr and "przed-odtworzeniem" in back.stderr
    assert {row["nip"] for row in desk.json("client", "list")} == {desk.house.nip, client.nip}
    assert later.nip not in desk.done("client", "list")


def test_what_they_refuse_is_one_line(desk: Desk, tmp_path: Path):
    copy = tmp_path / "kopia.db"
    desk.done("backup", str(copy))
    assert "już jest" in desk.refused("backup", str(copy))
    assert "brak" in desk.refused("backup", str(tmp_path / "brak" / "kopia.db")).lower()
    desk.house.operator("anna", Role.ACCOUNTANT)
    anna = ["--data-dir", str(desk.house.folder), "--operator", "anna"]
    assert "nie ma prawa" in desk.refused("backup", str(tmp_path / "inna.db"), base=anna)
    assert "nie jest administratorem" in desk.refused("restore", str(copy), base=anna)
    assert desk.run("restore").exit_code == 2
    lease = leases.take(desk.house.db, "worker:1", 60)
    assert "zakończ" in desk.refused("restore", str(copy))
    leases.release(desk.house.db, lease)
    assert LOGIN in desk.done("operator", "list")


def test_a_disk_that_takes_no_more_leaves_no_half_a_backup(desk: Desk, tmp_path: Path):
    folder = tmp_path / "kopie"
    folder.mkdir()
    command = [sys.executable, "-m", "ksef_tui", *desk.base, "backup", str(folder / "kopia.db")]
    done = subprocess.run(
        ["sh", "-c", 'ulimit -f 100; exec "$@"', "sh", *command], capture_output=True, text=True, timeout=60
    )
    assert (done.returncode, done.stdout, len(done.stderr.splitlines())) == (1, "", 1), done.stderr
    assert "Nie można zapisać kopii" in done.stderr
    assert list(folder.iterdir()) == []
