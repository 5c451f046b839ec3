"""Ten processes at once: one office is made, and whoever seals and opens goes on while the key and its protection change."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from support.houses import LOGIN, wait_for

from ksef_tui.compose import open_office
from ksef_tui.domain.secret import Secret
from ksef_tui.services import office, vaulting
from ksef_tui.services.office import Office
from ksef_tui.store import sealed
from ksef_tui.vault import seal

NIP = "5265877635"
WORD = "zażółć gęślą jaźń"
ROTATIONS = 4

WORK = """
import secrets, sys
from pathlib import Path
from ksef_tui.compose import open_office
from ksef_tui.domain.secret import Secret

office = open_office(Path(sys.argv[1]), ask_passphrase=lambda: Secret(sys.argv[2]))
if sys.argv[4] == "opens first":
    _ = office.sealer
print("ready", flush=True)
sys.stdin.readline()
row, rounds = sys.argv[3], 0
while rounds < 40 or not office.db.value("SELECT 1 FROM audit WHERE act = 'done'"):
    rounds += 1
    value = secrets.token_hex(8)
    blob = office.sealer.seal(Secret(value), client=office.nip, kind="private_key", row=row)
    with office.db.write() as connection:
        connection.execute("UPDATE identity SET sealed_key = ?, label = ? WHERE seal_row = ?", (blob, value, row))
    found = office.db.row("SELECT sealed_key, label FROM identity WHERE seal_row = ?", (row,))
    opened = office.sealer.open(found["sealed_key"], client=office.nip, kind="private_key", row=row)
    assert opened.reveal_text() == found["label"] == value
print(rounds, flush=True)
"""


class Worker:
    """A process that seals, writes, reads and opens its own row until it finds the sign to end."""

    def __init__(self, folder: Path, row: int) -> None:
        late = "opens first" if row % 2 else "opens when it needs to"
        self.process = subprocess.Popen(
            [sys.executable, "-c", WORK, str(folder), WORD, str(row), late],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip

    def ready(self) -> None:
        assert self.process.stdout is not None
        assert self.process.stdout.readline() == "ready\n"

    def go(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write("go\n")
        self.process.stdin.flush()

    def rounds(self) -> int:
        out, err = self.process.communicate()
        assert (self.process.returncode, err) == (0, "")
        return int(out)


def at_work(bureau: Office, change: object) -> None:
    """Ten processes work while `change` is carried out; none fails, and everything is sealed by the key in force."""
    with bureau.db.write() as connection:
        for row in range(10):
            connection.execute(
                "INSERT INTO identity (label, subject_type, subject_value, common_name, serial, fingerprint, key_kind, "
                "valid_from, valid_to, certificate, seal_row, sealed_key, created_at) "
                "VALUES (?, 'Nip', '', '', '', '', '', '', '', x'', ?, x'', '')",
                (str(row), str(row)),
            )
    workers = [Worker(bureau.data_dir, row) for row in range(10)]
    for worker in workers:
        worker.ready()
    for worker in workers:
        worker.go()
    change()  # type: ignore[operator]
    with bureau.db.write() as connection:
        connection.execute("INSERT INTO audit (at, login, act, detail) VALUES ('', '', 'done', '')")
    assert all(worker.rounds() >= 40 for worker in workers)
    values = list(sealed.values(bureau.db.connection))
    assert len(values) == 10
    header = sealed.header(bureau.db.connection)
    for value in values:
        assert seal.header_in(value.blob) == header
        bureau.sealer.open(value.blob, client=value.client, kind=value.place.kind, row=value.row)
    assert bureau.db.value("SELECT count(*) FROM stale_seal") == 0
    assert len(bureau.keys.load()) == 1


def everybody_worked(bureau: Office) -> None:
    """Each process has written since: what it read under one key and opens two keys later it is told to read again."""

    def labels() -> set[str]:
        return {row[0] for row in bureau.db.rows("SELECT label FROM identity")}

    before = labels()
    wait_for(lambda: not before & labels())


@pytest.mark.parametrize("kind", ["file", "passphrase"])
def test_nobody_fails_while_the_key_changes_and_changes_again(tmp_path: Path, kind: office.Kind) -> None:
    bureau = made(tmp_path / "biuro", kind)

    def change() -> None:
        for _ in range(ROTATIONS):
            vaulting.rotate(bureau, office.operator_named(bureau, LOGIN))
            everybody_worked(bureau)

    at_work(bureau, change)
    assert bureau.db.value("SELECT count(*) FROM audit WHERE act = 'vault.rotate'") == ROTATIONS
    bureau.close()


def test_nobody_fails_while_the_passphrase_and_then_the_key_change(tmp_path: Path) -> None:
    bureau = made(tmp_path / "biuro", "passphrase")
    admin = office.operator_named(bureau, LOGIN)

    def change() -> None:
        for word in ("drugie hasło", WORD):  # who opens late knows the first and last
            vaulting.change_passphrase(bureau, admin, Secret(word))
            vaulting.rotate(bureau, admin)
            everybody_worked(bureau)

    at_work(bureau, change)
    bureau.close()


def made(folder: Path, kind: office.Kind) -> Office:
    office.init(
        folder, environment="sandbox", nip=NIP, name="Biuro", login=LOGIN, secrets_kind=kind, passphrase=Secret(WORD)
    )
    return open_office(folder, ask_passphrase=lambda: Secret(WORD))


def command(folder: Path, *words: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "ksef_tui", "--data-dir", str(folder), "--operator", LOGIN, *words],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


def answers(processes: list[subprocess.Popen[str]], given: list[str]) -> list[tuple[int, str]]:
    for process, text in zip(processes, given, strict=True):  # all have started before any gets its line
        assert process.stdin is not None
        process.stdin.write(text)
        process.stdin.close()
        process.stdin = None
    ended = [process.communicate() for process in processes]
    return [(process.returncode, err) for process, (_, err) in zip(processes, ended, strict=True)]


def test_of_ten_who_make_an_office_at_once_one_does_and_its_passphrase_holds(tmp_path: Path) -> None:
    folder, words = tmp_path / "biuro", [f"hasło numer {n}" for n in range(10)]
    new = ("init", "--environment", "sandbox", "--nip", NIP, "--name", "Biuro", "--secrets", "passphrase")
    made_by = [command(folder, *new, "--passphrase-stdin") for _ in words]
    ended = answers(made_by, [word + "\n" for word in words])
    assert sorted(code for code, _ in ended) == [0] + [1] * 9
    assert {err for code, err in ended if code} == {"W tym katalogu jest już biuro: Biuro.\n"}
    [winner] = [word for word, (code, _) in zip(words, ended, strict=True) if code == 0]
    opened = open_office(folder, ask_passphrase=lambda: Secret(winner))
    assert opened.sealer is not None
    opened.close()


def test_of_ten_who_change_the_passphrase_at_once_each_does_or_is_told_and_one_holds(tmp_path: Path) -> None:
    bureau, words = made(tmp_path / "biuro", "passphrase"), [f"hasło numer {n}" for n in range(10)]
    changers = [
        command(bureau.data_dir, "--passphrase-stdin", "vault", "passphrase", "--passphrase-stdin") for _ in words
    ]
    ended = answers(changers, [f"{WORD}\n{word}\n" for word in words])
    assert 0 in {code for code, _ in ended}
    assert {err for code, err in ended if code} <= {"Hasło do klucza biura jest niewłaściwe.\n"}
    holding = []
    for word in words:
        again = open_office(bureau.data_dir, ask_passphrase=lambda word=word: Secret(word))  # type: ignore[misc]
        try:
            holding += [word] if again.sealer else []
        except office.Problem as problem:
            assert problem.code == "wrong_passphrase"
        again.close()
    assert len(holding) == 1
    bureau.close()
