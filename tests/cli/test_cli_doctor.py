"""`doctor` as a command: rows for scripts, lines for people, 1 when something is an error."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from importlib import resources
from pathlib import Path

from cli_office import Desk, process
from support.houses import LOGIN, House


def test_rows_for_scripts_and_lines_for_people(house: House):
    on = ["--data-dir", str(house.folder), "--operator", LOGIN]
    done = process(*on, "doctor", "--json")
    rows = json.loads(done.stdout)
    assert all(set(row) == {"code", "severity", "text", "action"} for row in rows)
    assert {row["severity"] for row in rows} <= {"error", "warning", "note", "ok"}
    assert [row for row in rows if row["severity"] == "error"] == [] and done.returncode == 0, done.stdout.decode()
    assert "core_dumps" not in {row["code"] for row in rows}
    assert "klucz biura" in {row["text"] for row in rows if row["severity"] == "ok"}
    lines = process(*on, "doctor", "--offline").stdout.decode()
    assert "w porządku:" in lines and "[nobody_sends]" in lines


def test_an_error_ends_with_one(desk: Desk):
    (desk.house.folder / "keys" / "office.key").unlink()
    done = desk.run("doctor", "--offline")
    assert done.exit_code == 1 and "[key_missing]" in done.stdout
    assert done.stderr.strip().startswith("Do naprawienia:")


def test_where_no_office_is_it_says_so_and_makes_nothing(tmp_path: Path):
    done = process("--data-dir", str(tmp_path / "nic"), "doctor", "--json")
    assert done.returncode == 1
    assert json.loads(done.stdout)[0]["code"] == "no_office"
    assert not (tmp_path / "nic").exists()


def test_a_locked_key_is_asked_of_nobody(desk: Desk):
    desk.done("vault", "protect", "--with", "passphrase", "--passphrase-stdin", stdin="hasło biura\n")
    on = ["--data-dir", str(desk.house.folder), "--operator", LOGIN]
    assert "key_locked" in process(*on, "doctor", "--offline").stdout.decode()
    opened = process(*on, "--passphrase-stdin", "doctor", "--offline", input="hasło biura\n".encode())
    assert "key_locked" not in opened.stdout.decode()
    wrong = process(*on, "--passphrase-stdin", "doctor", "--offline", input="inne hasło\n".encode())
    assert (wrong.returncode, "wrong_passphrase" in wrong.stdout.decode()) == (1, True)


def codes(house: House, *, before: str = "", **environ: str) -> dict[str, str]:
    """Every finding of a process on a machine that is set up so: code → severity."""
    command = [
        sys.executable,
        "-m",
        "ksef_tui",
        "--data-dir",
        str(house.folder),
        "--operator",
        LOGIN,
        "doctor",
        "--json",
    ]
    done = subprocess.run(
        ["sh", "-c", f'{before} exec "$@"', "sh", *command, "--offline"],
        capture_output=True, env=os.environ | environ, timeout=60,
    )  # fmt: skip
    return {row["code"]: row["severity"] for row in json.loads(done.stdout)}


def test_a_locale_without_polish_letters(house: House):
    assert codes(house, LC_ALL="POSIX", PYTHONUTF8="0", PYTHONCOERCECLOCALE="0")["locale"] == "warning"
    assert "locale" not in codes(house, LC_ALL="C.UTF-8")


def test_a_process_that_may_open_few_files(house: House):
    assert codes(house, before="ulimit -n 100;")["few_files"] == "warning"
    assert "few_files" not in codes(house, before="ulimit -n 512;")


def test_zone_data_that_is_wrong(house: House, tmp_path: Path):
    (tmp_path / "Europe").mkdir()
    with resources.files("tzdata.zoneinfo").joinpath("UTC").open("rb") as utc:
        (tmp_path / "Europe" / "Warsaw").write_bytes(utc.read())
    assert codes(house, PYTHONTZPATH=str(tmp_path))["zone_data"] == "error"
    assert "zone_data" in codes(house) and codes(house)["zone_data"] == "ok"
