"""Going back to a backup sends nothing twice (F6), and a backup is taken while everybody works."""

from __future__ import annotations

import shutil
import sqlite3
import stat
import subprocess
import sys
from contextlib import closing
from datetime import UTC, datetime

import pytest
from support import papers
from support.houses import LOGIN, House, wait_for
from support.ministry import SEND

from ksef_tui.compose import open_office
from ksef_tui.domain.problems import Problem
from ksef_tui.domain.roles import Role
from ksef_tui.services import approving, backups, configuring, invoice_views, vaulting, views
from ksef_tui.store import copies, leases

OPEN_BATCH = "POST /v2/sessions/batch"


def back_to(house: House, copy) -> None:
    backups.restore(house.folder, LOGIN, copy, datetime.now(UTC))


@pytest.mark.parametrize("by", ["one by one", "in a package"])
@pytest.mark.parametrize("state", ["waiting", "approved"])
async def test_rule_04_f6_what_was_sent_after_the_backup_is_found_and_not_sent_again(
    house: House, tmp_path, by: str, state: str
):
    configuring.change(house.office, house.admin, "batch_from", "3" if by == "in a package" else "1000")
    client = await house.ready_client()
    ids = house.bring(client, *(papers.invoice(client.nip) for _ in range(4)))
    if state == "approved":
        approving.approve(house.office, house.admin, ids)
    copy = tmp_path / "kopia.db"
    backups.backup(house.office, house.admin, copy)
    if state == "waiting":
        approving.approve(house.office, house.admin, ids)
    await house.work()
    numbers = [house.invoice(one)["ksef_number"] for one in ids]
    sent = house.ministry.posts(SEND), house.ministry.posts(OPEN_BATCH)

    back_to(house, copy)
    assert house.states(ids) == [state] * 4, "the screens that are open see the office of the backup"
    approving.approve(house.office, house.admin, ids)
    await house.work()
    assert house.states(ids) == ["accepted"] * 4
    assert [house.invoice(one)["ksef_number"] for one in ids] == numbers
    assert {house.invoice(one)["upo"] for one in ids} == {"saved"}
    assert (house.ministry.posts(SEND), house.ministry.posts(OPEN_BATCH)) == sent
    assert len(house.ministry.numbered(client.nip)) == 4


async def test_rule_04_f6_what_ksef_still_judges_waits_for_the_judgement(house: House, tmp_path):
    """The metadata query would not show it: only the session does."""
    client = await house.ready_client()
    [one] = house.approved(client)
    copy = tmp_path / "kopia.db"
    backups.backup(house.office, house.admin, copy)
    house.ministry.fault("stuck")
    await house.work_until(lambda: house.states([one]) == ["processing"])
    back_to(house, copy)
    await house.work_until(lambda: house.states([one]) == ["processing"])
    assert house.ministry.posts(SEND) == 1
    house.ministry.calm()
    await house.work()
    assert house.states([one]) == ["accepted"]
    assert house.ministry.posts(SEND) == 1


async def test_rule_04_f6_a_package_that_ksef_has_not_opened_yet_is_waited_for(house: House, tmp_path):
    """Its list is empty until then, which proves nothing (F18)."""
    configuring.change(house.office, house.admin, "batch_from", "3")
    client = await house.ready_client()
    ids = house.approved(client, *(papers.invoice(client.nip) for _ in range(3)))
    copy = tmp_path / "kopia.db"
    backups.backup(house.office, house.admin, copy)
    house.ministry.fault("stuck")
    await house.work_until(lambda: house.states(ids) == ["processing"] * 3)
    back_to(house, copy)
    await house.work_until(lambda: house.calls("session.list", "ended")[3:])
    assert house.states(ids) == ["approved"] * 3
    house.ministry.calm()
    await house.work()
    assert house.states(ids) == ["accepted"] * 3
    assert house.ministry.posts(OPEN_BATCH) == 1


@pytest.mark.parametrize("tried_again", [False, True])
async def test_rule_04_f6_what_was_laid_aside_before_the_look_is_found_too(house: House, tmp_path, tried_again: bool):
    """Somebody believes the restored books and withdraws what had gone out; or they say refused, and it was tried again."""
    client = await house.ready_client()
    if tried_again:
        house.ministry.fault("invoice_fails", times=1, params={"code": 550})
    [one] = house.approved(client)
    if tried_again:
        await house.work()
        assert house.states([one]) == ["rejected"]
    copy = tmp_path / "kopia.db"
    backups.backup(house.office, house.admin, copy)
    if tried_again:
        approving.retry(house.office, house.admin, [one])
        await house.work()  # it is looked for in KSeF first
        approving.approve(house.office, house.admin, [one])
    await house.work()
    number = house.invoice(one)["ksef_number"]
    back_to(house, copy)
    approving.withdraw(house.office, house.admin, [one])
    assert house.states([one]) == ["withdrawn"]
    await house.work_until(lambda: house.invoice(one)["upo"] == "saved")
    assert house.invoice(one)["ksef_number"] == number


async def test_rule_04_f6_what_ksef_refused_and_a_person_laid_aside_stays_there(house: House, tmp_path):
    client = await house.ready_client()
    house.ministry.fault("invoice_fails", times=1, params={"code": 550})
    [one] = house.approved(client)
    await house.work()
    approving.withdraw(house.office, house.admin, [one])
    copy = tmp_path / "kopia.db"
    backups.backup(house.office, house.admin, copy)
    back_to(house, copy)
    await house.work_until(lambda: house.db.value("SELECT count(*) FROM audit WHERE act = 'client.reconciled'"))
    assert house.states([one]) == ["withdrawn"]


async def test_rule_04_f6_what_was_never_sent_goes_out_after_the_look(house: House, tmp_path):
    client = await house.ready_client()
    [one] = house.approved(client)
    copy = tmp_path / "kopia.db"
    backups.backup(house.office, house.admin, copy)
    back_to(house, copy)
    house.ministry.fault("html_5xx", times=1, match={"method": "GET", "path": "^/v2/sessions$"})
    await house.work()
    assert house.states([one]) == ["accepted"]
    lists = [row["id"] for row in house.calls("session.list", "ended") if row["kind"] == "ok"]
    [send] = house.calls("session.send")
    assert len(lists) >= 2 and max(lists) < send["id"], "nothing goes out before the sessions were looked through"


async def test_a_backup_is_for_its_owner_only_and_overwrites_nothing(house: House, tmp_path):
    copy = tmp_path / "kopia.db"
    assert backups.backup(house.office, house.admin, copy) == copy.stat().st_size
    assert stat.S_IMODE(copy.stat().st_mode) == 0o600
    with pytest.raises(Problem, match="już jest"):
        backups.backup(house.office, house.admin, copy)
    with closing(sqlite3.connect(copy)) as connection:
        assert connection.execute("SELECT nip FROM office").fetchone() == (house.nip,)
    assert [path.name for path in tmp_path.iterdir() if path.name.endswith(".part")] == []


async def test_only_an_administrator_takes_and_restores_backups(house: House, tmp_path):
    accountant = house.operator("anna", Role.ACCOUNTANT)
    copy = tmp_path / "kopia.db"
    with pytest.raises(Problem, match="nie ma prawa"):
        backups.backup(house.office, accountant, copy)
    backups.backup(house.office, house.admin, copy)
    with pytest.raises(Problem, match="nie jest administratorem"):
        backups.restore(house.folder, "anna", copy, datetime.now(UTC))


async def test_until_ksef_was_asked_every_screen_and_the_row_say_why_nothing_goes_out(house: House, tmp_path):
    client = await house.ready_client()
    [one] = house.approved(client)
    copy = tmp_path / "kopia.db"
    backups.backup(house.office, house.admin, copy)
    done = backups.restore(house.folder, LOGIN, copy, datetime.now(UTC))
    assert (done.clients, done.key_problem) == (1, "") and "1 klient" in done.next
    assert views.header(house.office, house.admin).alarm == (
        "Po odtworzeniu kopii sprawdzam w KSeF, co już wysłano: 1 klient"
    )
    row = invoice_views.queue_rows(house.office, house.admin, [one])[one]
    assert "po odtworzeniu kopii" in row.standing
    await house.work()
    assert views.header(house.office, house.admin).alarm == ""
    assert house.states([one]) == ["accepted"]


async def test_into_an_empty_directory_with_the_key_beside_it_the_office_goes_on_there(house: House, tmp_path):
    """Another server: the database comes from the backup, the key from where it was kept."""
    client = await house.ready_client()
    [one] = house.approved(client)
    copy, folder = tmp_path / "kopia.db", tmp_path / "nowy serwer"
    backups.backup(house.office, house.admin, copy)
    done = backups.restore(folder, LOGIN, copy, datetime.now(UTC))
    assert done.aside is None and "Brak klucza biura" in done.key_problem
    shutil.copytree(house.folder / "keys", folder / "keys")
    house.office.close()
    house.folder, house.office = folder, open_office(folder)
    assert house.db.value("PRAGMA journal_mode") == "wal", "readers and writers would wait for each other"
    assert stat.S_IMODE((folder / "office.db").stat().st_mode) == 0o600
    assert sorted(path.name for path in folder.iterdir() if "restore" in path.name) == []
    await house.work()
    assert house.states([one]) == ["accepted"]


async def test_a_key_that_was_changed_since_the_backup_is_said(house: House, tmp_path):
    client = await house.ready_client()
    copy = tmp_path / "kopia.db"
    backups.backup(house.office, house.admin, copy)
    vaulting.rotate(house.office, house.admin)
    assert "nie jest kluczem tego biura" in backups.restore(house.folder, LOGIN, copy, datetime.now(UTC)).key_problem
    assert client.nip


async def test_a_backup_is_one_moment_while_another_process_writes_all_the_time(house: House, tmp_path):
    """Every commit moves two rows together; in each copy they agree."""
    house.edit("CREATE TABLE twins (a INTEGER, b INTEGER, filler BLOB) STRICT")
    house.edit("INSERT INTO twins VALUES (0, 0, zeroblob(8000000))")
    writer = subprocess.Popen(
        [sys.executable, "-c", TWINS, str(house.folder / "office.db")], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    try:
        assert writer.stdout is not None and writer.stdout.readline()
        seen = [0]
        for n in range(4):
            wait_for(lambda: house.db.value("SELECT a FROM twins") > seen[-1])
            copy = tmp_path / f"kopia-{n}.db"
            copies.new_copy(house.db.connection, copy)
            with closing(sqlite3.connect(copy)) as connection:
                a, b = connection.execute("SELECT a, b FROM twins").fetchone()
                assert a == b and connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
                seen.append(a)
        assert seen == sorted(set(seen))
    finally:
        writer.kill()
        writer.communicate()


TWINS = """
import sys
from pathlib import Path
from ksef_tui.store.database import Database
db = Database(Path(sys.argv[1]))
n = 0
while True:
    n += 1
    with db.write() as connection:
        connection.execute("UPDATE twins SET a = ?", (n,))
        connection.execute("UPDATE twins SET b = ?", (n,))
    if n == 1:
        print("writing", flush=True)
"""


def wrong_file(tmp_path):
    path = tmp_path / "faktura.xml"
    path.write_text("<Faktura/>")
    return path


def damaged(house, tmp_path):
    path = tmp_path / "uszkodzona.db"
    backups.backup(house.office, house.admin, path)
    data = bytearray(path.read_bytes())
    data[5 * 4096 : 20 * 4096] = bytes(15 * 4096)
    path.write_bytes(data)
    return path


async def test_what_is_no_backup_changes_nothing(house: House, tmp_path):
    newer = tmp_path / "nowsza.db"
    backups.backup(house.office, house.admin, newer)
    with closing(sqlite3.connect(newer)) as connection:
        connection.execute("PRAGMA user_version = 9999")
    in_use = tmp_path / "cp" / "office.db"  # copied with cp while it was open
    shutil.copytree(house.folder, in_use.parent)
    own = house.folder / "office.db"
    for file in (tmp_path / "brak.db", wrong_file(tmp_path), damaged(house, tmp_path), newer, in_use, own):
        with pytest.raises(Problem):
            backups.restore(house.folder, LOGIN, file, datetime.now(UTC))
    assert house.db.value("SELECT nip FROM office") == house.nip
    assert not list(house.folder.glob("*przed-odtworzeniem*"))
    assert not list(house.folder.glob(".restore*"))


async def test_nothing_is_restored_under_the_feet_of_who_works(house: House, tmp_path):
    copy = tmp_path / "kopia.db"
    backups.backup(house.office, house.admin, copy)
    lease = leases.take(house.db, "worker:1", 60)
    with pytest.raises(Problem, match="zakończ"):
        back_to(house, copy)
    leases.release(house.db, lease)
    back_to(house, copy)


async def test_the_office_as_it_was_is_put_aside(house: House, tmp_path):
    copy = tmp_path / "kopia.db"
    backups.backup(house.office, house.admin, copy)
    client = house.client()
    aside = backups.restore(house.folder, LOGIN, copy, datetime.now(UTC)).aside
    assert house.db.value("SELECT count(*) FROM client WHERE nip = ?", (client.nip,)) == 0
    with closing(sqlite3.connect(aside)) as old:
        assert old.execute("SELECT count(*) FROM client WHERE nip = ?", (client.nip,)).fetchone() == (1,)


async def test_another_offices_backup_is_refused(house: House, tmp_path, ministry):
    other = House(tmp_path / "inne", ministry)
    copy = tmp_path / "kopia.db"
    backups.backup(other.office, other.admin, copy)
    other.close()
    with pytest.raises(Problem, match="inne biuro"):
        back_to(house, copy)
