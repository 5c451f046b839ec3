"""`doctor`: each thing is broken for real, and its finding is there; a house in order has no error."""

from __future__ import annotations

import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Awaitable, Callable
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import pytest
from support.companies import seal
from support.houses import LOGIN, House

from ksef_tui.compose import open_office
from ksef_tui.domain.problems import Problem
from ksef_tui.domain.roles import Role
from ksef_tui.services import backups, configuring, doctor, vaulting
from ksef_tui.services.doctor import Finding, Installation, Severity
from ksef_tui.services.doctor_disk import kind_of
from ksef_tui.store import leases

E, W, N = Severity.ERROR, Severity.WARNING, Severity.NOTE


def examined(house: House, *, offline: bool = True, login: str = LOGIN, **options: object) -> list[Finding]:
    """In a thread, as it runs a loop of its own; on the house's office, so that its clock is the one."""
    found: list[Finding] = []
    trouble: list[Problem] = []

    def look() -> None:
        try:
            at = Installation(house.folder, **options)  # type: ignore[arg-type]
            found.extend(doctor.examine(at, lambda: house.office, login, offline=offline))
        except Problem as problem:
            trouble.append(problem)

    thread = threading.Thread(target=look)
    thread.start()
    thread.join()
    if trouble:
        raise trouble[0]
    return found


def seen(found: list[Finding], code: str) -> Finding:
    hits = [finding for finding in found if finding.code == code]
    assert hits, [f.code for f in found if f.severity is not Severity.OK]
    return hits[0]


async def test_a_house_in_order_has_nothing_to_mend(house: House, tmp_path: Path):
    await house.ready_client()
    backups.backup(house.office, house.admin, tmp_path / "kopia.db")
    lease = leases.take(house.db, "worker:1", 60)
    found = examined(house, offline=False)
    bad = [(f.code, f.text) for f in found if f.severity in (E, W)]
    assert {code for code, _ in bad} <= {"core_dumps", "locale", "volatile_filesystem"}, (
        bad
    )  # of the tests' own process
    well = {finding.text for finding in found if finding.severity is Severity.OK}
    assert {"baza danych", "klucz biura", "KSeF odpowiada", "zegar", "certyfikaty MF do szyfrowania"} <= well
    assert lease is not None
    leases.release(house.db, lease)


Break = Callable[[House], Awaitable[None] | None]


def rotten(house: House) -> None:
    house.db.connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    house.db.close()
    with (house.folder / "office.db").open("r+b") as file:
        file.seek(20 * 4096)
        file.write(b"\xaa" * 40 * 4096)


def orphan(house: House) -> None:
    with closing(sqlite3.connect(house.folder / "office.db")) as other:
        other.execute("PRAGMA foreign_keys = OFF")
        other.execute("INSERT INTO probe SELECT * FROM probe WHERE 0")
        other.execute("UPDATE client SET keeper_id = 4711")
        other.commit()


def rollback_mode(house: House) -> None:
    house.db.close()
    with closing(sqlite3.connect(house.folder / "office.db")) as other:
        assert other.execute("PRAGMA journal_mode = DELETE").fetchone() == ("delete",)


async def token_client(house: House) -> None:
    await house.ready_client()
    house.edit("UPDATE authorization SET method = 'token' WHERE state = 'active'")


async def no_rights(house: House) -> None:
    client = await house.ready_client()
    house.approved(client)
    house.edit("UPDATE authorization SET state = 'no_permission' WHERE client_id = ?", client.id)


async def fallen(house: House) -> None:
    await house.ready_client()
    house.edit("UPDATE identity SET stopped_at = '2026-01-01T00:00:00.000Z'")


async def state_of_one(house: House, sql: str) -> None:
    client = await house.ready_client()
    house.approved(client)
    house.edit(sql)


async def not_stored(house: House) -> None:
    await state_of_one(house, "UPDATE invoice SET state = 'accepted', reason_code = 'not_stored'")
    house.edit("INSERT INTO unstored SELECT id, client_id, changed_at, changed_at FROM invoice")


async def restored(house: House) -> None:
    await house.ready_client()
    backups.backup(house.office, house.admin, house.folder.parent / "k.db")
    backups.restore(house.folder, LOGIN, house.folder.parent / "k.db", datetime.now(UTC))


def package_left(house: House) -> None:
    (house.folder / "packages" / "4711").mkdir(parents=True)


def xsd_altered(house: House) -> None:
    from ksef_tui.fa3 import xsd_files

    own = house.folder.parent / "xsd"
    shutil.copytree(xsd_files.locate(), own)
    (own / xsd_files.MAIN_SCHEMA).write_text("<xs:schema/>")
    configuring.change(house.office, house.admin, "xsd_folder", str(own))


def xsd_missing(house: House) -> None:
    (house.folder.parent / "pusto").mkdir()
    configuring.change(house.office, house.admin, "xsd_folder", str(house.folder.parent / "pusto"))


def another_key(house: House) -> None:
    key = house.folder / "keys" / "office.key"
    old = key.read_bytes()
    vaulting.rotate(house.office, house.admin)
    key.write_bytes(old)
    house.office._sealer = None


def no_key(house: House) -> None:
    (house.folder / "keys" / "office.key").unlink()


def dead_holder(house: House) -> None:
    gone = subprocess.run([sys.executable, "-c", "import os; print(os.getpid())"], capture_output=True, text=True)
    house.edit("INSERT INTO lease VALUES ('worker:x', ?, 1, ?, ?, 1)", int(gone.stdout), leases.boot_id(), 1e12)


BROKEN: dict[str, tuple[Severity, Break]] = {
    "folder_open": (W, lambda h: h.folder.chmod(0o750)),
    "file_open": (E, lambda h: (h.folder / "office.db").chmod(0o644)),
    "corrupt": (E, rotten),
    "not_a_database": (E, lambda h: (h.db.close(), (h.folder / "office.db").write_bytes(b"nic " * 5000))[0]),
    "newer_database": (E, lambda h: h.db.connection.execute("PRAGMA user_version = 9999") and None),
    "broken_references": (E, orphan),
    "not_wal": (W, rollback_mode),
    "left_files": (N, lambda h: (h.folder / ".restore.1.part").touch()),
    "key_too_open": (E, lambda h: (h.folder / "keys" / "office.key").chmod(0o644)),
    "key_missing": (E, no_key),
    "key_wrong": (E, another_key),
    "xsd_altered": (E, xsd_altered),
    "xsd_missing": (E, xsd_missing),
    "dead_lease": (N, dead_holder),
    "nobody_sends": (W, lambda h: None),
    "identity_ended": (E, fallen),
    "certificate_ends": (W, lambda h: h.identity("krótka", seal(h.nip, days=20)) and None),
    "tokens_end": (W, token_client),
    "invoices_stand": (W, no_rights),
    "unknown_long": (
        W, lambda h: state_of_one(h, "UPDATE invoice SET state = 'unknown', changed_at = '2026-01-01T00:00:00.000Z'"),
    ),
    "not_stored": (W, lambda h: not_stored(h)),
    "upo_late": (W, lambda h: state_of_one(h, "UPDATE invoice SET state = 'accepted', upo = 'late'")),
    "reconciling": (W, restored),
    "left_packages": (N, package_left),
    "no_backup": (N, lambda h: None),
    "clock_went_back": (W, lambda h: h.later(days=-1)),
}  # fmt: skip


@pytest.mark.parametrize("code", BROKEN)
async def test_what_is_broken_is_found_and_says_what_to_do(house: House, code: str):
    severity, break_it = BROKEN[code]
    lease = (
        leases.take(house.db, "worker:1", 600)
        if code not in ("nobody_sends",) and not code.startswith("reconc")
        else None
    )
    waits = break_it(house)
    if waits is not None:
        await waits
    if code in ("newer_database", "not_wal", "corrupt", "not_a_database"):
        house.office.close()
        opened: list[Finding] = []
        work = threading.Thread(
            target=lambda: opened.extend(
                doctor.examine(Installation(house.folder), lambda: open_office(house.folder), LOGIN, offline=True)
            )
        )
        work.start()
        work.join()
        found = opened
    else:
        found = examined(house)
    finding = seen(found, code)
    assert finding.severity is severity
    assert finding.text.strip()
    assert finding.action or code == "newer_database", "it does not say what to do"
    assert [f.severity for f in found] == sorted((f.severity for f in found), key=list(Severity).index)
    del lease


async def test_a_reason_that_is_a_sentence_ends_once(house: House):
    client = await house.ready_client()
    house.approved(client)
    house.edit("UPDATE authorization SET state = 'blocked', reason_code = '480', reason = 'MF zablokowało dostęp.'")
    assert seen(examined(house), "invoices_stand").text.endswith("MF zablokowało dostęp.")


async def test_invoices_that_wait_make_a_missing_worker_an_error(house: House):
    client = await house.ready_client()
    house.approved(client)
    assert seen(examined(house), "nobody_sends").severity is E


async def test_what_ksef_says_of_the_clock_and_that_it_says_nothing(house: House):
    assert all(f.code != "clock_off" for f in examined(house, offline=False))
    house.later(seconds=90)
    assert seen(examined(house, offline=False), "clock_off").severity is W
    house.later(hours=-1)
    late = seen(examined(house, offline=False), "clock_off")
    assert late.severity is E and "spóźnia się" in late.text
    house.now_again()
    house.ministry.fault("html_5xx", match={"path": "^/v2/auth/challenge"})
    found = examined(house, offline=False)
    assert seen(found, "ksef_silent").severity is E
    assert not {"zegar", "certyfikaty MF do szyfrowania"} & {f.text for f in found}, (
        "what was not looked at is not well"
    )


async def test_keys_of_the_ministry_that_are_not_valid(house: House):
    house.later(days=5000)
    assert seen(examined(house, offline=False), "no_public_key").severity is E


async def test_offline_asks_nobody(house: House):
    before = house.db.value("SELECT count(*) FROM journal")
    found = examined(house)
    assert seen(found, "not_asked").severity is N
    assert "KSeF odpowiada" not in {f.text for f in found}, "nobody asked"
    assert house.db.value("SELECT count(*) FROM journal") == before


async def test_a_worker_that_stands_still_is_named(house: House):
    sleeper = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    try:
        house.edit(
            "INSERT INTO lease VALUES ('worker:x', ?, ?, ?, ?, 1)",
            sleeper.pid, leases.started_ticks(sleeper.pid), leases.boot_id(), leases.boot_seconds() + 600,
        )  # fmt: skip
        assert all(f.code != "stopped_process" for f in examined(house))
        sleeper.send_signal(signal.SIGSTOP)
        os.waitid(os.P_PID, sleeper.pid, os.WSTOPPED | os.WNOWAIT)
        assert str(sleeper.pid) in seen(examined(house), "stopped_process").text
    finally:
        sleeper.kill()
        sleeper.communicate()


WRITER = """
import sys
from pathlib import Path
from ksef_tui.store.database import Database
from ksef_tui.store import leases
db = Database(Path(sys.argv[1]))
leases.take(db, "worker:x", 600)
with db.write():
    print("writing", flush=True)
    sys.stdin.readline()
"""


async def test_who_stands_still_in_the_middle_of_a_write_holds_up_all_and_is_named(house: House):
    writer = subprocess.Popen(
        [sys.executable, "-c", WRITER, str(house.folder / "office.db")], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    try:
        assert writer.stdout is not None and writer.stdout.readline()
        writer.send_signal(signal.SIGSTOP)
        os.waitid(os.P_PID, writer.pid, os.WSTOPPED | os.WNOWAIT)
        found = examined(house)
        assert seen(found, "database_locked").severity is E
        assert str(writer.pid) in seen(found, "stopped_process").text
    finally:
        writer.kill()
        writer.communicate()
    assert all(f.code != "database_locked" for f in examined(house))


async def test_a_mistake_of_the_program_is_told_for_a_day(house: House):
    from ksef_tui.store.records import audit

    with house.db.write() as connection:
        audit(connection, house.office.clock(), None, "program.fault", kind="KeyError", text="tracking.py:12")
    assert "tracking.py:12" in seen(examined(house), "program_fault").text
    house.later(days=2)
    assert all(f.code != "program_fault" for f in examined(house))


async def test_a_disk_that_is_full_soon(house: House):
    free = shutil.disk_usage(house.folder).free
    assert seen(examined(house, little_space=2 * free), "little_space").severity is W
    found = examined(house, little_space=20 * free)
    assert seen(found, "little_space").severity is E
    assert seen(found, "no_space_for_packages").severity is E


MOUNTS = """\
22 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw
35 22 0:31 / /srv rw - ext4 /dev/sdb1 rw
36 35 0:32 / /srv/biuro\\040wspólne rw shared:3 - nfs4 serwer:/biuro rw
37 22 0:33 / /run rw - tmpfs tmpfs rw
"""


def test_the_kind_of_file_system_is_that_of_the_nearest_mount():
    kinds = [kind_of(Path(p), MOUNTS) for p in ("/srv/inne", "/srv/biuro wspólne/x", "/run/biuro", "/home/zofia")]
    assert kinds == ["ext4", "nfs4", "tmpfs", "ext4"]


async def test_a_network_file_system_is_an_error(house: House, tmp_path: Path):
    mounts = tmp_path / "mountinfo"
    mounts.write_text(f"22 1 8:1 / / rw - ext4 /dev/sda1 rw\n36 22 0:32 / {house.folder.resolve()} rw - nfs4 s:/b rw\n")
    assert seen(examined(house, mounts=str(mounts)), "network_filesystem").severity is E


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
async def test_a_file_that_somebody_else_owns(house: House):
    os.chown(house.folder / "office.db", 12345, -1)
    assert seen(examined(house), "file_owner").severity is E


async def test_a_file_system_in_memory_is_said(house: House, tmp_path: Path):
    mounts = tmp_path / "mountinfo"
    mounts.write_text("22 1 0:1 / / rw - tmpfs tmpfs rw\n")
    assert seen(examined(house, mounts=str(mounts)), "volatile_filesystem").severity is W


async def test_a_log_that_grows_without_end(house: House):
    os.truncate(house.folder / "office.db-wal", 300_000_000)  # a hole: nothing is written
    assert seen(examined(house), "large_wal").severity is W


async def test_a_clock_that_was_set_is_told(house: House):
    client = await house.ready_client()
    house.set_clock(hours=1)
    house.approved(client)
    assert "+3600 s" in seen(examined(house), "clock_jumped").text


async def test_limits_that_were_read_and_those_that_are_used_up(house: House):
    client = await house.ready_client()
    assert "odczytane" in seen(examined(house), "limits").text
    house.edit(
        "INSERT INTO rate_block VALUES (?, 'invoiceSend', ?)", client.nip, house.office.clock().timestamp() + 600
    )
    assert seen(examined(house), "limits_wait").severity is N


async def test_who_may_ask(house: House):
    house.operator("anna", Role.ACCOUNTANT)
    assert examined(house, login="anna")
    house.operator("firma", Role.CLIENT, house.client())
    for login in ("firma", "nikt"):
        with pytest.raises(Problem):
            examined(house, login=login)


def test_a_check_that_breaks_hides_nothing(tmp_path: Path):
    def explodes(_: Installation):
        raise KeyError("x")
        yield

    entry = doctor.Entry("próba", explodes, False)
    [finding] = doctor._looked(entry, Installation(tmp_path))
    assert (finding.code, finding.severity) == ("check_failed", W)


def test_every_check_is_registered_once_and_has_a_name_of_its_own():
    names = [entry.name for entry in doctor.all_checks()]
    assert len(names) == len(set(names)) > 20
    assert all(entry.look.__doc__ for entry in doctor.all_checks())
