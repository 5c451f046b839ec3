"""Going back to a backup sends nothing twice (F6), and a backup is taken while everybody works."""

from __future__ import annotations

import sqlite3
import stat
from contextlib import closing
from datetime import UTC, datetime

import pytest
from support import papers
from support.houses import LOGIN, House
from support.ministry import SEND

from ksef_tui.domain.problems import Problem
from ksef_tui.domain.roles import Role
from ksef_tui.services import approving, backups, configuring
from ksef_tui.store import leases

OPEN_BATCH = "POST /v2/sessions/batch"


def back_to(house: House, copy) -> None:
    backups.restore(house.folder, LOGIN, copy, datetime.now(UTC))


@pytest.mark.parametrize("by", ["one by one", "in a package"])
@pytest.mark.parametrize("state", ["waiting", "approved"])
async def test_f6_what_was_sent_after_the_backup_is_found_and_not_sent_again(
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


async def test_f6_what_ksef_still_judges_waits_for_the_judgement(house: House, tmp_path):
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


async def test_f6_what_was_never_sent_goes_out_after_the_look(house: House, tmp_path):
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
    for file in (tmp_path / "brak.db", wrong_file(tmp_path), damaged(house, tmp_path)):
        with pytest.raises(Problem):
            backups.restore(house.folder, LOGIN, file, datetime.now(UTC))
    assert house.db.value("SELECT nip FROM office") == house.nip
    assert not list(house.folder.glob("*przed-odtworzeniem*"))


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
    aside = backups.restore(house.folder, LOGIN, copy, datetime.now(UTC))
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
