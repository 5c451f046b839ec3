"""Another data key: every secret is sealed anew, who works goes on, and a crash at any instant leaves a working office."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.houses import LOGIN, Client, House

from ksef_tui.compose import open_office
from ksef_tui.domain.problems import Problem
from ksef_tui.domain.secret import Secret
from ksef_tui.services import authorising, office, sealing, vaulting
from ksef_tui.services.office import Office
from ksef_tui.store import sealed
from ksef_tui.vault import seal

NIP = "5265877635"
WORD = "zażółć gęślą jaźń"
EMPTY = {"INTEGER": "1", "TEXT": "''", "BLOB": "x''", "REAL": "0"}


def made(folder: Path, **options: object) -> Office:
    office.init(folder, environment="sandbox", nip=NIP, name="Biuro", login=LOGIN, **options)  # type: ignore[arg-type]
    return open_office(folder, ask_passphrase=lambda: Secret(WORD))


def filled(bureau: Office) -> dict[tuple[str, str], Secret]:
    """An office with a secret in every sealed column there is; what else the rows hold does not matter here."""
    secrets, db = {}, bureau.db
    for pragma in ("foreign_keys = OFF", "ignore_check_constraints = ON"):
        db.connection.execute(f"PRAGMA {pragma}")
    with db.write() as connection:
        for table in sorted({place.table for place in sealed.SEALED}):
            if not db.value(f"SELECT count(*) FROM {table}"):
                needed = [
                    c for c in db.rows(f"PRAGMA table_info({table})") if (c["notnull"] or c["name"] == "client_id")
                ]
                columns, values = ", ".join(c["name"] for c in needed), ", ".join(EMPTY[c["type"]] for c in needed)
                connection.execute(f"INSERT INTO {table} ({columns}) VALUES ({values})")
        for place in sealed.SEALED:
            if place.json_key:
                connection.execute(f"UPDATE {place.table} SET {place.column} = '{{}}'")
            row_id, client, row = connection.execute(
                f"SELECT t.rowid, {place.client}, {place.row} FROM {place.table} t"
            ).fetchone()
            secret = secrets[place.table, place.column] = Secret(f"tajne {place.table} {place.column}")
            blob = bureau.sealer.seal(secret, client=client, kind=place.kind, row=row)
            sealed.replace(connection, sealed.SealedValue(place, row_id, b"", client, row), blob)
    for pragma in ("foreign_keys = ON", "ignore_check_constraints = OFF"):
        db.connection.execute(f"PRAGMA {pragma}")
    return secrets


def everything_opens(bureau: Office, secrets: dict[tuple[str, str], Secret]) -> None:
    found = {}
    for value in sealed.values(bureau.db.connection):
        opened = bureau.sealer.open(value.blob, client=value.client, kind=value.place.kind, row=value.row)
        found[value.place.table, value.place.column] = opened.reveal()
        assert seal.header_in(value.blob) == sealed.header(bureau.db.connection)
    assert found == {place: secret.reveal() for place, secret in secrets.items()}


@pytest.fixture
def bureau(tmp_path: Path) -> Iterator[Office]:
    opened = made(tmp_path / "biuro")
    yield opened
    opened.close()


def admin(bureau: Office) -> office.Operator:
    return office.operator_named(bureau, LOGIN)


def test_every_sealed_column_is_sealed_anew_and_the_old_key_opens_nothing(bureau: Office) -> None:
    secrets = filled(bureau)
    [old] = bureau.keys.load()
    before = {(v.place.table, v.place.column): v for v in sealed.values(bureau.db.connection)}
    assert vaulting.rotate(bureau, admin(bureau)) == len(sealed.SEALED) == len(secrets)
    everything_opens(bureau, secrets)
    [new] = bureau.keys.load()
    assert new.reveal() != old.reveal()
    for value in sealed.values(bureau.db.connection):
        assert before[value.place.table, value.place.column].blob != value.blob
        for header in (seal.FIRST, seal.header_of(old), seal.header_of(new)):
            with pytest.raises(Problem):
                seal.Sealer(old, header).open(value.blob, client=value.client, kind=value.place.kind, row=value.row)
    content = b"".join(p.read_bytes() for p in bureau.data_dir.glob("office.db*"))
    assert not any(value.blob in content for value in before.values()), "what the old key sealed is still in the file"
    assert bureau.db.value("SELECT act FROM audit ORDER BY id DESC") == "vault.rotate"
    again = open_office(bureau.data_dir)
    everything_opens(again, secrets)
    again.close()


def test_an_office_of_before_keys_had_names_goes_on_and_gets_a_named_key(bureau: Office) -> None:
    with bureau.db.write() as connection:
        sealed.set_header(connection, seal.FIRST)
    older = open_office(bureau.data_dir)
    secrets = filled(older)
    everything_opens(older, secrets)
    vaulting.rotate(older, admin(older))
    everything_opens(older, secrets)
    fresh = open_office(bureau.data_dir)
    everything_opens(fresh, secrets)
    assert len(sealed.header(fresh.db.connection)) == 9
    older.close()
    fresh.close()


def test_what_was_sealed_before_and_is_written_after_is_sealed_anew_at_once(bureau: Office) -> None:
    secrets = filled(bureau)
    other = open_office(bureau.data_dir)
    late = {}
    for value in sealed.values(other.db.connection):  # somebody is just about to write
        secret = secrets[value.place.table, value.place.column]
        late[value] = other.sealer.seal(secret, client=value.client, kind=value.place.kind, row=value.row)
    vaulting.rotate(bureau, admin(bureau))
    for value, blob in late.items():
        with other.db.write() as connection:
            sealed.replace(connection, value, blob)
        everything_opens(bureau, secrets)
    assert other.db.value("SELECT count(*) FROM stale_seal") == 0
    other.close()


def test_what_was_read_before_still_opens_and_new_values_take_the_new_key(bureau: Office) -> None:
    filled(bureau)
    other = open_office(bureau.data_dir)
    values = list(sealed.values(other.db.connection))
    _ = other.sealer
    vaulting.rotate(bureau, admin(bureau))
    for value in values:
        secret = other.sealer.open(value.blob, client=value.client, kind=value.place.kind, row=value.row)
        assert secret.reveal_text() == f"tajne {value.place.table} {value.place.column}"
    blob = other.sealer.seal(Secret("nowe"), client="", kind="", row="")
    assert seal.header_in(blob) == sealed.header(other.db.connection)
    other.close()


def test_a_key_that_changes_while_it_is_being_loaded_is_not_a_wrong_one() -> None:
    keys = [Secret(bytes([n]) * 32) for n in range(4)]
    force = [seal.header_of(key) for key in keys]
    now = 0

    def load() -> list[Secret]:
        nonlocal now
        now = min(now + 1, 3)  # by the time the file is read, somebody has changed the key again
        return [keys[now]]

    sealer = seal.OfficeSealer(lambda: force[now], load)
    assert seal.header_in(sealer.seal(Secret("x"), client="", kind="", row="")) == force[now]
    with pytest.raises(Problem) as refused:
        seal.OfficeSealer(lambda: force[0], lambda: [keys[1]])
    assert refused.value.code == "key_wrong"


def test_a_key_file_that_was_swapped_under_a_running_process_is_not_written_over(
    bureau: Office, tmp_path: Path
) -> None:
    filled(bureau)
    kept = bureau.keys.path.read_bytes()
    stranger = Secret(bytes(32))
    bureau.keys.keep([stranger])
    swapped = bureau.keys.path.read_bytes()
    for change in (
        lambda: vaulting.rotate(bureau, admin(bureau)),
        lambda: vaulting.protect(bureau, admin(bureau), "passphrase", Secret(WORD)),
        lambda: vaulting.export(bureau, admin(bureau), tmp_path / "klucz", Secret(WORD)),
    ):
        with pytest.raises(Problem) as refused:
            change()
        assert refused.value.code == "key_wrong"
        assert bureau.keys.path.read_bytes() == swapped
    assert not (tmp_path / "klucz").exists()
    bureau.keys.path.write_bytes(kept)
    vaulting.rotate(bureau, admin(bureau))


def test_who_never_knew_the_old_key_cannot_write_what_it_sealed(bureau: Office) -> None:
    filled(bureau)
    other = open_office(bureau.data_dir)
    values = list(sealed.values(other.db.connection))
    vaulting.rotate(bureau, admin(bureau))
    with pytest.raises(Problem) as refused, other.db.write() as connection:
        sealed.replace(connection, values[0], values[0].blob)
    assert refused.value.code == "key_changed"
    with pytest.raises(Problem) as refused:
        other.sealer.open(values[0].blob, client="", kind="", row="")
    assert refused.value.code == "key_changed"
    with other.db.write() as connection:
        connection.execute("UPDATE client SET name = 'inna'")
    other.close()


def test_what_an_unknown_key_wrote_long_ago_does_not_stop_everybody(bureau: Office) -> None:
    filled(bureau)
    strange = seal.Sealer(Secret(bytes(32)), seal.header_of(Secret(bytes(32)))).seal(
        Secret(""), client="", kind="", row=""
    )
    bureau.db.before_commit, mend = None, bureau.db.before_commit
    with bureau.db.write() as connection:
        connection.execute("UPDATE identity SET sealed_key = ?", (strange,))
    bureau.db.before_commit = mend
    with pytest.raises(Problem), bureau.db.write() as connection:
        connection.execute("UPDATE client SET name = 'raz'")
    with bureau.db.write() as connection:
        connection.execute("UPDATE client SET name = 'dwa'")
    assert bureau.db.value("SELECT name FROM client") == "dwa"
    with pytest.raises(Problem) as refused:
        vaulting.rotate(bureau, admin(bureau))
    assert refused.value.code == "unreadable_secret"
    assert "identity.sealed_key" in refused.value.message


def test_a_copied_token_is_copied_as_it_is_now(house: House) -> None:
    """The row was read before the key changed; what is copied from it is written after."""
    client: Client = house.client()
    blob = house.office.sealer.seal(Secret("token"), client=client.nip, kind="ksef_token", row=str(client.id))
    house.edit(
        "UPDATE authorization SET state = 'active', method = 'token', sealed_token = ? WHERE client_id = ?",
        blob,
        client.id,
    )
    identity = house.identity()
    stale = house.auth(client)
    other = open_office(house.folder)
    vaulting.rotate(other, admin(other))
    with house.db.write() as connection:
        assert authorising.begin(
            connection, house.office.clock(), stale, house.admin.id, method="certificate", identity_id=identity
        )
    vaulting.rotate(other, admin(other))
    authorising.cancel(house.office, house.admin, client.id)
    row = house.auth(client)
    assert row["state"] == "active"
    token = house.office.sealer.open(row["sealed_token"], client=client.nip, kind="ksef_token", row=str(client.id))
    assert token.reveal_text() == "token"
    other.close()


async def test_an_office_at_work_notices_nothing(house: House) -> None:
    client = await house.ready_client()
    ids = house.approved(client)
    other = open_office(house.folder)
    done = False

    def change() -> bool:
        nonlocal done
        if not done:
            vaulting.rotate(other, admin(other))
            done = True
        return house.states(ids) == ["accepted"]

    await house.work_until(change)
    await house.work()
    again = await house.authorise(client)
    assert again["state"] == "active"
    assert house.db.value("SELECT count(*) FROM audit WHERE act LIKE 'program.%'") == 0
    other.close()


# A crash at any instant

CRASH = """
import os, signal, sys
from pathlib import Path
from ksef_tui.compose import open_office
from ksef_tui.domain.secret import Secret
from ksef_tui.services import vaulting
from ksef_tui.services.office import operator_named

WORD = Secret("zażółć gęślą jaźń")
CHANGES = ("vaulting.py", "sealing.py", "data_key.py", "files.py", "key_file.py", "sealed.py", "backend.py")

def change(folder, what, instant):
    # Each line of what changes the keys and the database is an instant at which the machine may stop. What is printed
    # are those of the use case itself, and how many there are in all.
    office = open_office(Path(folder), ask_passphrase=lambda: WORD)
    admin = operator_named(office, sys.argv[1])
    _ = office.sealer
    count, own = 0, []

    def look(frame, event, arg):
        nonlocal count
        name = os.path.basename(frame.f_code.co_filename)
        if name not in CHANGES or "ksef_tui" not in frame.f_code.co_filename:
            return None
        if event == "line":
            count += 1
            if name == "vaulting.py":
                own.append(count)
            if count == instant:
                os.kill(os.getpid(), signal.SIGKILL)
        return look

    sys.settrace(look)
    if what == "rotate":
        vaulting.rotate(office, admin)
    elif what == "passphrase":
        vaulting.change_passphrase(office, admin, Secret("drugie hasło"))
    else:
        vaulting.protect(office, admin, what.split()[1], WORD)
    sys.settrace(None)
    return own, count

for line in sys.stdin:
    folder, what, instant = line.rstrip("\\n").split("\\t")
    child = os.fork()
    if not child:
        own, count = change(folder, what, int(instant))
        print(*own, count, flush=True)
        os._exit(0)
    if os.waitpid(child, 0)[1] == signal.SIGKILL:
        print("killed", flush=True)
"""


class Crasher:
    """A process that makes changes in children of its own and kills them where it is told."""

    def __init__(self) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", CRASH, LOGIN], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def change(self, folder: Path, what: str, instant: int) -> str:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        print(folder, what, instant, sep="\t", file=self.process.stdin, flush=True)
        return self.process.stdout.readline().strip()


@pytest.fixture
def crasher() -> Iterator[Crasher]:
    crasher = Crasher()
    yield crasher
    crasher.process.communicate()


def copy_of(folder: Path, to: Path) -> Path:
    """The office as it stands, without the processes that use it."""
    (to / "keys").mkdir(parents=True, mode=0o700)
    to.chmod(0o700)
    for file in (folder / "keys").iterdir():
        (to / "keys" / file.name).write_bytes(file.read_bytes())
        (to / "keys" / file.name).chmod(0o600)
    source, target = sqlite3.connect(folder / "office.db"), sqlite3.connect(to / "office.db")
    source.backup(target)
    source.close()
    target.close()
    return to


CHANGES = [
    ("file", "rotate"), ("passphrase", "rotate"), ("passphrase", "passphrase"), ("file", "protect passphrase"),
    ("passphrase", "protect file"),
]  # fmt: skip


@pytest.mark.parametrize(("kind", "what"), CHANGES, ids=[" ".join(c) for c in CHANGES])
def test_killed_at_any_instant_the_office_works_and_the_next_change_goes_through(
    tmp_path: Path, crasher: Crasher, kind: str, what: str
) -> None:
    source = made(tmp_path / "biuro", secrets_kind=kind, passphrase=Secret(WORD))
    secrets = filled(source)
    source.close()
    *own, total = map(int, crasher.change(copy_of(tmp_path / "biuro", tmp_path / "whole"), what, 0).split())
    for instant in sorted({*own, *range(1, total, max(1, total // 8))}):
        folder = copy_of(tmp_path / "biuro", tmp_path / f"at {instant}")
        assert crasher.change(folder, what, instant) == "killed"
        opened = working(folder, secrets)
        sealing.drop_left_over(opened)
        assert len(opened.keys.load()) == 1
        vaulting.rotate(opened, admin(opened))
        everything_opens(opened, secrets)
        assert not list((folder / "keys").glob(".*.new"))
        opened.close()


def working(folder: Path, secrets: dict[tuple[str, str], Secret]) -> Office:
    """The office, opened by the old passphrase or the new one, with all its secrets."""
    for word in (WORD, "drugie hasło"):
        opened = open_office(folder, ask_passphrase=lambda word=word: Secret(word))  # type: ignore[misc]
        try:
            everything_opens(opened, secrets)
        except Problem as problem:
            assert problem.code == "wrong_passphrase"
            opened.close()
        else:
            return opened
    raise AssertionError("neither passphrase opens it")
