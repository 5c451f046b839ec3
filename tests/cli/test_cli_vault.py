"""The data key at the command line: passphrases typed, piped and handed over by systemd, and the way to another server."""

from __future__ import annotations

import json
import os
import sqlite3
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from cli_office import process
from support.companies import seal
from support.houses import LOGIN, wait_for
from support.terminals import Terminal, seen_in_proc

from ksef_tui.compose import open_office
from ksef_tui.domain.secret import Secret
from ksef_tui.store import leases

WORD, OTHER = "zażółć gęślą jaźń", "drugie hasło"
NIP = "5265877635"


class Bureau:
    """An office that is used by processes only."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.on = ["--data-dir", str(folder), "--operator", LOGIN]

    def run(self, *command: str, stdin: str = "", env: dict[str, str] | None = None) -> tuple[int, str, str]:
        """Without a terminal anywhere."""
        ended = process(*self.on, *command, input=stdin.encode(), env=env or {}, start_new_session=True)
        return ended.returncode, ended.stdout.decode(), ended.stderr.decode()

    def done(self, *command: str, stdin: str = "", env: dict[str, str] | None = None) -> str:
        code, out, err = self.run(*command, stdin=stdin, env=env)
        assert code == 0, err
        return out

    def refused(self, *command: str, stdin: str = "", env: dict[str, str] | None = None) -> str:
        code, out, err = self.run(*command, stdin=stdin, env=env)
        [line] = err.splitlines()
        assert (code, out) == (1, "")
        return line

    def status(self, *options: str, stdin: str = "") -> dict[str, Any]:
        return dict(json.loads(self.done(*options, "vault", "status", "--json", stdin=stdin)))

    def at_terminal(self, *command: str, stdin: bytes | None = None) -> Terminal:
        return Terminal("-m", "ksef_tui", *self.on, *command, stdin=stdin)

    def init(self, kind: str, stdin: str = "") -> None:
        self.done(
            "init", "--environment", "sandbox", "--api-url", "http://127.0.0.1:9", "--nip", NIP, "--name", "Biuro",
            "--secrets", kind, *(["--passphrase-stdin"] if stdin else []), stdin=stdin,
        )  # fmt: skip


@pytest.fixture
def bureau(tmp_path: Path) -> Bureau:
    return Bureau(tmp_path / "biuro")


@pytest.fixture
def locked(bureau: Bureau) -> Bureau:
    bureau.init("passphrase", stdin=f"{WORD}\n")
    return bureau


def test_a_passphrase_is_typed_twice_without_echo(bureau: Bureau):
    for second, status in (("inne", 1), (WORD, 0)):
        terminal = bureau.at_terminal(
            "init", "--environment", "sandbox", "--nip", NIP, "--name", "B", "--secrets", "passphrase"
        )
        terminal.wait_for("Hasło biura: ")
        terminal.type(f"{WORD}\n")
        terminal.wait_for("Jeszcze raz: ")
        terminal.type(f"{second}\n")
        assert terminal.end() == status
        assert WORD.encode() not in terminal.shown
        assert (bureau.folder / "office.db").exists() == (status == 0)
    assert bureau.status("--passphrase-stdin", stdin=f"{WORD}\n")["key"] == "ok"


def test_a_short_passphrase_is_refused(bureau: Bureau):
    with pytest.raises(AssertionError, match="co najmniej 8 znaków"):
        bureau.init("passphrase", stdin="krótkie\n")
    assert not (bureau.folder / "office.db").exists()


def test_without_terminal_and_credential_the_worker_says_what_to_do(locked: Bureau):
    line = locked.refused("worker", "--until-idle")
    assert "LoadCredential=ksef-tui-passphrase" in line
    assert "--passphrase-stdin" in line


def test_the_worker_takes_the_passphrase_from_systemd_or_the_first_line(locked: Bureau, tmp_path: Path):
    (tmp_path / "ksef-tui-passphrase").write_text(f"{WORD}\n")
    assert locked.done("worker", "--until-idle", env={"CREDENTIALS_DIRECTORY": str(tmp_path)}) == ""
    assert locked.done("--passphrase-stdin", "worker", "--until-idle", stdin=f"{WORD}\n") == ""
    (tmp_path / "ksef-tui-passphrase").write_text("nie to hasło\n")
    wrong = "Hasło do klucza biura jest niewłaściwe."
    assert locked.refused("worker", "--until-idle", env={"CREDENTIALS_DIRECTORY": str(tmp_path)}) == wrong
    assert locked.refused("--passphrase-stdin", "worker", "--until-idle", stdin="nie to hasło\n") == wrong


def test_what_needs_no_key_asks_for_nothing(locked: Bureau):
    locked.done("client", "add", "5261040828", "Jodła")
    assert "Jodła" in locked.done("client", "list")
    assert locked.status()["key"] == "locked"


def test_a_command_whose_stdin_is_in_use_asks_at_the_terminal(locked: Bureau):
    locked.done("client", "add", "5261040828", "Jodła")
    for word, line in (("nie to hasło", "Hasło do klucza biura"), (WORD, None)):
        terminal = locked.at_terminal(
            "auth", "start", "5261040828", "--token-stdin", "--no-wait", stdin=b"token-klienta\n"
        )
        terminal.wait_for("Hasło biura: ")
        terminal.type(f"{word}\n")
        assert terminal.end() == (0 if line is None else 1), terminal.shown
        assert word.encode() not in terminal.shown
        assert line is None or line.encode() in terminal.shown
    opened = open_office(locked.folder, ask_passphrase=lambda: Secret(WORD))
    row = opened.db.row("SELECT client_id, sealed_token FROM authorization WHERE sealed_token IS NOT NULL")
    assert row is not None
    token = opened.sealer.open(row["sealed_token"], client="5261040828", kind="ksef_token", row=str(row["client_id"]))
    assert token.reveal_text() == "token-klienta"
    opened.close()


def test_the_passphrase_comes_before_the_password_of_a_certificate(locked: Bureau, tmp_path: Path):
    paper = seal(NIP, password=b"haslo klucza")
    certificate, key = tmp_path / "pieczec.crt", tmp_path / "pieczec.key"
    certificate.write_bytes(paper.certificate)
    key.write_bytes(paper.key)
    locked.done(
        "--passphrase-stdin", "identity", "add", "pieczęć", "--certificate", str(certificate), "--key", str(key),
        "--password-stdin", stdin=f"{WORD}\nhaslo klucza\n",
    )  # fmt: skip
    [row] = json.loads(locked.done("identity", "list", "--json"))
    assert row["label"] == "pieczęć"


def test_both_lines_of_one_stdin(locked: Bureau):
    locked.done("client", "add", "5261040828", "Jodła")
    command = ("--passphrase-stdin", "auth", "start", "5261040828", "--token-stdin", "--no-wait")
    locked.done(*command, stdin=f"{WORD}\ntoken-klienta\n")


def test_the_screen_asks_before_it_takes_the_terminal_and_its_worker_gets_the_passphrase_unseen(locked: Bureau):
    terminal = locked.at_terminal()
    terminal.wait_for("Hasło biura: ")
    assert b"\x1b[?1049h" not in terminal.shown, "the screen was taken before the passphrase was asked for"
    terminal.type(f"{WORD}\n")
    terminal.wait_for("\x1b[?1049h")
    watching = open_office(locked.folder)
    [worker] = wait_for(lambda: leases.holders(watching.db, "worker:"))
    watching.close()
    for pid in (terminal.pid, int(worker.removeprefix("worker:"))):
        assert WORD.encode() not in seen_in_proc(pid)
    terminal.type("\x11")  # Ctrl+Q
    assert terminal.end() == 0
    assert WORD.encode() not in terminal.shown


def test_a_wrong_passphrase_ends_before_the_screen(locked: Bureau):
    terminal = locked.at_terminal()
    terminal.wait_for("Hasło biura: ")
    terminal.type("nie to hasło\n")
    assert terminal.end() == 1
    assert terminal.shown.decode().split() == [
        "Hasło",
        "biura:",
        "Hasło",
        "do",
        "klucza",
        "biura",
        "jest",
        "niewłaściwe.",
    ]


def test_the_passphrase_is_changed_and_the_kind_too(locked: Bureau):
    line = locked.refused(
        "--passphrase-stdin", "vault", "passphrase", "--passphrase-stdin", stdin=f"zła zła zła\n{OTHER}\n"
    )
    assert line == "Hasło do klucza biura jest niewłaściwe."
    locked.done("--passphrase-stdin", "vault", "passphrase", "--passphrase-stdin", stdin=f"{WORD}\n{OTHER}\n")
    assert locked.status("--passphrase-stdin", stdin=f"{WORD}\n")["key"] == "locked"
    locked.done("--passphrase-stdin", "vault", "protect", "--with", "file", stdin=f"{OTHER}\n")
    now = locked.status()
    assert (now["protection"], now["key"]) == ("file", "ok")
    assert "nie jest chroniony hasłem" in locked.refused(
        "vault", "passphrase", "--passphrase-stdin", stdin=f"{OTHER}\n"
    )
    locked.done("vault", "protect", "--with", "passphrase", "--passphrase-stdin", stdin=f"{WORD}\n")
    assert "Secret Service" in locked.refused(
        "--passphrase-stdin", "vault", "protect", "--with", "system", stdin=f"{WORD}\n"
    )
    now = locked.status("--passphrase-stdin", stdin=f"{WORD}\n")
    assert (now["protection"], now["key"]) == ("passphrase", "ok")
    before = now["key_id"]
    locked.done("--passphrase-stdin", "vault", "rotate", stdin=f"{WORD}\n")
    now = locked.status("--passphrase-stdin", stdin=f"{WORD}\n")
    assert now["key_id"] != before
    assert now["rotated_at"]


# Another server


def moved(bureau: Bureau, to: Path) -> Bureau:
    """The office's database on another machine, by a proper backup of SQLite."""
    to.mkdir(mode=0o700)
    source, target = sqlite3.connect(bureau.folder / "office.db"), sqlite3.connect(to / "office.db")
    source.backup(target)
    source.close()
    target.close()
    return Bureau(to)


def with_token(bureau: Bureau) -> None:
    bureau.done("client", "add", "5261040828", "Jodła")
    bureau.done("auth", "start", "5261040828", "--token-stdin", "--no-wait", stdin="token-klienta\n")


def test_the_key_goes_to_another_server_in_a_file_under_a_passphrase(bureau: Bureau, tmp_path: Path):
    bureau.init("file")
    with_token(bureau)
    exported = tmp_path / "klucz"
    old = os.umask(0)
    try:
        bureau.done("vault", "export", str(exported), "--passphrase-stdin", stdin=f"{OTHER}\n")
    finally:
        os.umask(old)
    assert stat.S_IMODE(exported.stat().st_mode) == 0o600
    before = exported.read_bytes()
    assert "już istnieje" in bureau.refused("vault", "export", str(exported), "--passphrase-stdin", stdin=f"{OTHER}\n")
    assert exported.read_bytes() == before
    there = moved(bureau, tmp_path / "nowy serwer")
    assert "Brak klucza biura" in there.refused("worker", "--until-idle")
    command = ("vault", "import", str(exported), "--passphrase-stdin")
    assert "niewłaściwe" in there.refused(*command, stdin=f"{WORD}\n")
    assert there.status()["key"] == "missing"
    there.done(*command, stdin=f"{OTHER}\n")
    assert (there.status()["key"], there.status()["sealed"]) == ("ok", 1)
    assert "już tu jest" in there.refused(*command, stdin=f"{OTHER}\n")
    there.done("vault", "rotate")
    assert "nie jest obecny klucz" in there.refused(*command, stdin=f"{OTHER}\n")


def test_the_folder_with_the_key_may_be_copied_instead(bureau: Bureau, tmp_path: Path):
    bureau.init("file")
    with_token(bureau)
    there = moved(bureau, tmp_path / "nowy serwer")
    (there.folder / "keys").mkdir(mode=0o755)
    key = there.folder / "keys" / "office.key"
    key.write_bytes((bureau.folder / "keys" / "office.key").read_bytes())
    key.chmod(0o644)
    assert "chmod 700" in there.refused("worker", "--until-idle")
    (there.folder / "keys").chmod(0o700)
    assert "chmod 600" in there.refused("worker", "--until-idle")
    key.chmod(0o600)
    assert there.status()["key"] == "ok"


def test_another_offices_key_is_said_at_the_start_and_spoils_nothing(bureau: Bureau, tmp_path: Path):
    bureau.init("file")
    with_token(bureau)
    old = bureau.folder / "keys" / "office.key"
    real = old.read_bytes()
    bureau.done("vault", "export", str(tmp_path / "klucz"), "--passphrase-stdin", stdin=f"{OTHER}\n")
    [name] = json.loads(real)["entries"]
    old.write_text(json.dumps({**json.loads(real), "entries": {name: "A" * 43 + "="}}))
    database = (bureau.folder / "office.db").read_bytes()
    sentence = "nie jest kluczem tego biura"
    for command in (("worker", "--until-idle"), ("vault", "rotate"), ("vault", "protect", "--with", "file")):
        assert sentence in bureau.refused(*command)
    terminal = bureau.at_terminal()
    assert terminal.end() == 1
    assert sentence in terminal.shown.decode()
    assert b"\x1b[?1049h" not in terminal.shown
    assert bureau.status()["key"] == "wrong"
    assert (bureau.folder / "office.db").read_bytes() == database
    bureau.done("vault", "import", str(tmp_path / "klucz"), "--passphrase-stdin", stdin=f"{OTHER}\n")
    assert bureau.status()["key"] == "ok"
    assert len(list((bureau.folder / "keys").glob("office.key.*"))) == 1, "the other key was not put aside"


def test_another_offices_export_is_refused(bureau: Bureau, tmp_path: Path):
    bureau.init("file")
    stranger = Bureau(tmp_path / "obce")
    stranger.init("file")
    stranger.done("vault", "export", str(tmp_path / "klucz"), "--passphrase-stdin", stdin=f"{OTHER}\n")
    (bureau.folder / "keys" / "office.key").unlink()
    assert "innego biura" in bureau.refused(
        "vault", "import", str(tmp_path / "klucz"), "--passphrase-stdin", stdin=f"{OTHER}\n"
    )
    (tmp_path / "klucz").write_bytes(b"nic")
    assert "uszkodzony" in bureau.refused(
        "vault", "import", str(tmp_path / "klucz"), "--passphrase-stdin", stdin=f"{OTHER}\n"
    )


def test_only_the_administrator_may(bureau: Bureau, tmp_path: Path):
    bureau.init("file")
    bureau.done("operator", "add", "zofia", "Zofia")
    zofia = Bureau(bureau.folder)
    zofia.on = ["--data-dir", str(bureau.folder), "--operator", "zofia"]
    for command in ("status", "rotate"):
        assert "nie ma prawa" in zofia.refused("vault", command)
    assert "nie ma prawa" in zofia.refused(
        "vault", "export", str(tmp_path / "x"), "--passphrase-stdin", stdin=f"{OTHER}\n"
    )
    acts = ("protect", "--with", "file"), ("passphrase", "--passphrase-stdin")
    for act in acts:
        assert "nie ma prawa" in zofia.refused("vault", *act, stdin=f"{OTHER}\n")


def test_no_process_leaves_a_core(locked: Bureau):
    terminal = locked.at_terminal("worker")
    terminal.wait_for("Hasło biura: ")
    limits = Path(f"/proc/{terminal.pid}/limits").read_text()
    [core] = [line.split() for line in limits.splitlines() if line.startswith("Max core file size")]
    assert core[4:6] == ["0", "0"]
    terminal.type("\x04")  # the end of input waits to be read; a signal just before the reading would not break it off
    assert terminal.end() == 1


LOOKED_INTO = """
import ctypes, sys
from pathlib import Path
from ksef_tui.vault.data_key import KeyStore
may_be_dumped = lambda: ctypes.CDLL(None).prctl(3, 0, 0, 0, 0)
store = KeyStore(lambda: "file", Path(sys.argv[1]), "biuro")
before = may_be_dumped()
store.create()
print(before, may_be_dumped())
"""


def test_a_process_that_has_read_the_key_cannot_be_looked_into(tmp_path: Path):
    """Not by a collector of cores, not by another process of the same user (PR_GET_DUMPABLE: 1 may, 0 may not)."""
    command = [sys.executable, "-c", LOOKED_INTO, str(tmp_path)]
    assert subprocess.run(command, capture_output=True, check=True, text=True).stdout == "1 0\n"
