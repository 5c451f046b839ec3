"""What only a process shows: the locale, the environment, the terminal that is not there, the end that is not a traceback."""

from __future__ import annotations

import json
import os
import pty
import select
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from cli_office import Desk, files, process
from support.companies import seal
from support.houses import LOGIN, House, wait_for

from ksef_tui.store import leases


def on(house: House) -> list[str]:
    return ["--data-dir", str(house.folder), "--operator", LOGIN]


BARE = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}  # Python may not mend the locale by itself


@pytest.mark.parametrize(
    "locale", [{"LC_ALL": "C"}, {"LC_ALL": "pl_PL.ISO-8859-2"}, BARE], ids=["C", "ISO-8859-2", "bare C"]
)
def test_utf_8_whatever_the_locale(house: House, locale: dict[str, str]):
    client = house.client(name="Żółta Łódź „Gęś” sp. z o.o.")
    done = process(*on(house), "client", "show", client.nip, "--json", env=locale)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout.decode("utf-8"))["name"] == "Żółta Łódź „Gęś” sp. z o.o."
    refused = process(*on(house), "client", "show", "1", env=locale)
    assert refused.returncode == 1
    assert "cyfr" in refused.stderr.decode("utf-8")


def test_what_is_typed_in_the_c_locale_is_utf_8(house: House, tmp_path: Path):
    locale = {"LC_ALL": "C"}
    done = process(*on(house), "client", "add", "5260250274", "Żółta Łódź", env=locale)
    assert done.returncode == 0, done.stderr
    assert house.db.value("SELECT name FROM client WHERE nip = '5260250274'") == "Żółta Łódź"
    certificate, key = files(tmp_path, seal(house.nip, password="zażółć".encode()))
    done = process(
        *on(house), "identity", "add", "pieczęć", "--certificate", certificate, "--key", key, "--password-stdin",
        input="zażółć\n".encode(), env=locale,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert house.db.value("SELECT label FROM identity") == "pieczęć"


def test_without_a_terminal_the_screen_refuses_at_once(house: House):
    done = process(*on(house))
    assert done.returncode == 1
    assert done.stdout == b""
    [line] = done.stderr.decode().splitlines()
    assert "terminal" in line.lower()


def test_without_an_office_every_command_says_how_to_make_one(tmp_path: Path):
    done = process("client", "list", env={"KSEF_TUI_DATA_DIR": str(tmp_path / "nic")})
    assert (done.returncode, done.stdout) == (1, b"")
    assert "ksef-tui init" in done.stderr.decode()
    assert not (tmp_path / "nic").exists(), "asking made a folder"


def test_the_unix_user_who_made_the_office_is_its_administrator(tmp_path: Path):
    env = {"KSEF_TUI_DATA_DIR": str(tmp_path / "biuro"), "LOGNAME": "zofia", "USER": "zofia"}
    made = process("init", "--environment", "sandbox", "--nip", "5260250274", "--name", "Biuro", env=env)
    assert made.returncode == 0, made.stderr
    listed = process("operator", "list", "--json", env=env)
    assert [(o["login"], o["role"]) for o in json.loads(listed.stdout)] == [("zofia", "admin")]
    stranger = process("client", "list", env=env | {"LOGNAME": "obcy", "USER": "obcy"})
    assert stranger.returncode == 1
    assert "Nie ma operatora obcy" in stranger.stderr.decode()


ADDRESSES = [
    ("sandbox", "http://127.0.0.1:9", 0), ("sandbox", "http://localhost:9/v2", 0), ("sandbox", "https://api-test.ksef.mf.gov.pl", 1),
    ("sandbox", "http://10.0.0.1", 1), ("sandbox", "nic", 1), ("test", "https://example.org", 0), ("test", "http://example.org", 1),
    ("test", "https://api.ksef.mf.gov.pl", 1), ("preprod", "https://example.org", 1), ("production", "http://127.0.0.1:9", 1),
]  # fmt: skip


@pytest.mark.parametrize(("environment", "url", "status"), ADDRESSES, ids=[f"{e} {u}" for e, u, _ in ADDRESSES])
def test_the_address_may_be_moved_only_where_it_is_harmless(
    house: House, monkeypatch: pytest.MonkeyPatch, environment: str, url: str, status: int
):
    """KSEF_TUI_API_URL: a sandbox office on loopback, a test office by https, the real ones never (contract)."""
    house.edit("UPDATE office SET environment = ?, api_url = NULL", environment)
    monkeypatch.setenv("KSEF_TUI_API_URL", url)
    desk = Desk(house)
    if status:
        assert "adres" in desk.refused("client", "list").lower()
    else:
        assert house.nip in desk.done("client", "list")


@pytest.mark.parametrize(
    ("environment", "url"), [("production", "https://example.org"), ("sandbox", "https://example.org")]
)
def test_an_office_is_not_made_with_an_address_it_may_not_have(tmp_path: Path, environment: str, url: str):
    folder = tmp_path / "biuro"
    done = process(
        "--data-dir", str(folder), "init", "--environment", environment, "--api-url", url, "--nip", "5260250274", "--name", "Biuro"
    )  # fmt: skip
    assert done.returncode == 1
    assert not (folder / "office.db").exists()


def test_a_worker_ends_well_on_sigterm_and_at_the_end_of_its_input(house: House):
    for end in ("sigterm", "eof"):
        worker = subprocess.Popen(
            [sys.executable, "-m", "ksef_tui", *on(house), "worker", "--until-eof"],
            stdin=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        wait_for(lambda: leases.holders(house.db, "worker:"))
        if end == "sigterm":
            worker.send_signal(signal.SIGTERM)
            assert worker.wait(30) == 0
        else:
            worker.stdin.close()
            assert worker.wait(30) == 0
        assert worker.stderr.read() == b""
        worker.stderr.close()
        if not worker.stdin.closed:
            worker.stdin.close()
        assert leases.holders(house.db, "worker:") == []


async def test_ctrl_c_is_one_polish_line_and_what_was_asked_is_left_to_a_worker(house: House):
    client = await house.ready_client()
    house.ministry.fault("hang", match={"path": "^/v2/auth/challenge"})
    before = len(house.calls("auth.challenge"))
    asking = subprocess.Popen(
        [sys.executable, "-m", "ksef_tui", *on(house), "auth", "check", client.nip],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    wait_for(lambda: len(house.calls("auth.challenge")) > before)
    asking.send_signal(signal.SIGINT)
    out, err = asking.communicate(timeout=60)
    assert (asking.returncode, out, err.decode()) == (1, b"", "Przerwano.\n")
    house.ministry.calm()
    await house.work()
    assert (house.auth(client)["state"], house.auth(client)["intent"]) == ("active", "")


def test_a_reader_that_goes_away_is_no_accident(house: House):
    for _ in range(3):
        house.client()
    command = [sys.executable, "-m", "ksef_tui", *on(house), "client", "list", "--json"]
    done = subprocess.run(["sh", "-c", '"$@" | true', "sh", *command], capture_output=True, timeout=60)
    assert b"Traceback" not in done.stderr


def test_a_damaged_or_read_only_database_is_one_line(house: House, tmp_path: Path):
    folder = tmp_path / "zepsute"
    folder.mkdir()
    (folder / "office.db").write_bytes(b"nic tu nie ma " * 1000)
    done = process("--data-dir", str(folder), "client", "list")
    assert done.returncode == 1
    assert done.stderr.decode().strip() == "Ten plik nie jest bazą danych ksef-tui."


def test_a_password_is_asked_for_at_a_terminal_without_echo(house: House, tmp_path: Path):
    certificate, key = files(tmp_path, seal(house.nip, password=b"haslo"))
    pid, terminal = pty.fork()
    if pid == 0:
        command = [
            "-m",
            "ksef_tui",
            *on(house),
            "identity",
            "add",
            "pieczec",
            "--certificate",
            certificate,
            "--key",
            key,
        ]
        os.execv(sys.executable, [sys.executable, *command])
    seen = b""
    while b"Has" not in seen:
        assert select.select([terminal], [], [], 30)[0], seen
        seen += os.read(terminal, 1000)
    os.write(terminal, b"haslo\n")
    while True:
        try:
            more = os.read(terminal, 1000)
        except OSError:
            break
        if not more:
            break
        seen += more
    _, status = os.waitpid(pid, 0)
    os.close(terminal)
    assert os.waitstatus_to_exitcode(status) == 0, seen
    assert b"haslo" not in seen
    assert house.db.value("SELECT label FROM identity") == "pieczec"


def test_a_folder_that_cannot_be_made_is_one_line(tmp_path: Path):
    (tmp_path / "plik").write_bytes(b"")
    done = process(
        "--data-dir", str(tmp_path / "plik" / "biuro"), "init", "--environment", "sandbox", "--nip", "5260250274", "--name", "Biuro"
    )  # fmt: skip
    assert done.returncode == 1
    [line] = done.stderr.decode().splitlines()
    assert line.startswith("Nie można założyć katalogu")
