"""The power goes while invoices are sent: what was on the disk is opened alone and goes on; nothing lost, nothing twice.

What a call to KSeF follows from is on the disk before the call leaves (`fdatasync` before the first byte), so a disk
can only lack what nobody has acted upon: at most the transaction that was being written.
"""

from __future__ import annotations

import random
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from crash_workers import WorkerProcess, finish
from power import SECTOR, Disk, move_in
from support import papers
from support.houses import LOGIN, House, wait_for

from ksef_tui.services import batches, configuring
from ksef_tui.store import leases

Start = Callable[..., WorkerProcess]
COUNT = 6
SENDING_CALLS = ("session.open", "session.send", "session.close", "batch.open", "batch.upload", "batch.close")
WAYS = ["one by one", "in a package"]


async def prepared(house: House, way: str) -> tuple[list[int], list[bytes]]:
    configuring.change(house.office, house.admin, "batch_from", "3" if way == "in a package" else "1000")
    client = await house.ready_client()
    documents = [papers.invoice(client.nip) for _ in range(COUNT)]
    return house.approved(client, *documents), documents


def journal_length(house: House) -> int:
    return int(house.db.value("SELECT count(*) FROM journal"))


def settled(house: House, ids: list[int], documents: list[bytes]) -> None:
    """Everything has its number and receipt, and KSeF holds and ever got each document exactly once."""
    rows = [house.invoice(one) for one in ids]
    assert [(row["state"], row["upo"]) for row in rows] == [("accepted", "saved")] * COUNT, [dict(r) for r in rows]
    for row, document in zip(rows, documents, strict=True):
        [kept] = house.ministry.holds(document)
        assert kept["ksef_number"] == row["ksef_number"]
    context = house.db.value("SELECT nip FROM client WHERE office = 0")
    received = [row["hash"] for row in house.ministry.received() if row["context"] == context]
    assert len(received) == len(set(received)) == COUNT, "KSeF was given a document twice"
    assert {s["state"] for s in house.db.rows("SELECT state FROM session")} <= {"finished", "lost"}
    assert leases.holders(house.db, "client:") == []
    assert not list((house.folder / batches.FOLDER).glob("*"))


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("way", WAYS)
async def test_the_power_goes_at_any_moment_of_sending(
    house: House, worker: Start, tmp_path: Path, way: str, seed: int
):
    """Two workers stand still, the disk is copied, they are dead, and the copy goes on alone."""
    chance = random.Random(f"{way} {seed}")
    ids, documents = await prepared(house, way)
    rows = journal_length(house) + chance.randrange(1, 4 + 3 * COUNT)
    writers = [worker(), worker()]
    wait_for(lambda: journal_length(house) >= rows or set(house.states(ids)) == {"accepted"})
    for writer in writers:
        writer.pause()
    disk = Disk(house.folder, tmp_path / "po-awarii", shm=seed % 2 == 1)
    for writer in writers:
        writer.kill()
    move_in(house, disk)
    finish(house)
    settled(house, ids, documents)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("way", WAYS)
async def test_a_log_that_is_torn_anywhere_is_the_office_before_or_after(
    house: House, worker: Start, tmp_path: Path, way: str, seed: int
):
    """Each sector of the last transaction may be the last one that arrived. The worst of these disks goes on: without
    the whole transaction, though KSeF may have seen what followed from it."""
    chance = random.Random(f"{way} {seed} torn")
    ids, documents = await prepared(house, way)
    rows = journal_length(house) + chance.randrange(2, 2 + 3 * COUNT)
    writer = worker()
    wait_for(lambda: journal_length(house) >= rows or set(house.states(ids)) == {"accepted"})
    writer.pause()
    disk = Disk(house.folder, tmp_path / "disk")
    writer.kill()
    ends = disk.transactions()
    assert len(ends) > 1, "the log was empty: the test saw nothing"
    before, after = disk.torn(tmp_path / "before", ends[-2]).rows(), disk.torn(tmp_path / "after", ends[-1]).rows()
    assert disk.rows() == after, "what lies behind the last commit counts for nothing"
    assert before != after
    last = disk.wal.stat().st_size
    for length in range(ends[-2] // SECTOR * SECTOR + SECTOR, last, SECTOR):
        torn = disk.torn(tmp_path / "torn", length)
        assert torn.rows() == (after if length >= ends[-1] else before), length
        shutil.rmtree(torn.folder)
    move_in(house, disk.torn(tmp_path / "po-awarii", ends[-1] - SECTOR))
    finish(house)
    settled(house, ids, documents)


@pytest.mark.parametrize("damage", ["gone", "short", "other bytes"])
async def test_a_package_that_the_power_took_is_made_anew_at_once(
    house: House, worker: Start, tmp_path: Path, damage: str
):
    """Its invoices are free: KSeF processes nothing of a package that nobody closes (F14)."""
    ids, documents = await prepared(house, "in a package")
    house.ministry.fault("hang", match={"method": "PUT", "path": "^/storage/batch/"}, params={"seconds": 600})
    writer = worker()
    wait_for(lambda: house.ministry.struck("hang"))
    writer.pause()
    disk = Disk(house.folder, tmp_path / "po-awarii")
    writer.kill()
    [part] = (disk.folder / batches.FOLDER).glob("*/*.part")
    if damage == "gone":
        shutil.rmtree(part.parent)
    else:
        size = part.stat().st_size
        part.write_bytes(bytes(size - 16 if damage == "short" else size))
    house.ministry.calm()
    move_in(house, disk)
    finish(house)
    settled(house, ids, documents)
    assert house.ministry.posts("POST /v2/sessions/batch") == 2


_LINE = re.compile(r"^\d+ +(?P<call>\w+)\((?P<fd>\d+)<(?P<where>.*?)>(?P<rest>.*)$")


def _unsynced_at_sends(trace: Path, folder: Path) -> tuple[int, list[str]]:
    """How many times bytes left for KSeF, and the files of the office that were not on the disk then."""
    wet: set[str] = set()
    sends, found = 0, []
    for line in trace.read_text(errors="replace").splitlines():
        seen = _LINE.match(line)
        if seen is None:
            continue
        call, where = seen["call"], seen["where"]
        if where.startswith(str(folder)) and where.endswith((".db", ".db-wal", ".part")):
            if call in ("pwrite64", "write", "ftruncate"):
                wet.add(where)
            elif call in ("fsync", "fdatasync"):
                wet.discard(where)
        elif call in ("sendto", "write", "sendmsg") and "TCP" in where:
            sends += 1
            found += [f"{line[:120]}: {name}" for name in wet if name.endswith((".db-wal", ".part"))]
    return sends, found


@pytest.mark.skipif(shutil.which("strace") is None, reason="strace is not installed")
@pytest.mark.parametrize("way", WAYS)
async def test_rule_03_nothing_leaves_for_ksef_before_its_intent_is_on_the_disk(house: House, tmp_path: Path, way: str):
    """By the calls of the system: no byte goes out while something written to the log has not been synced."""
    ids, documents = await prepared(house, way)
    trace = tmp_path / "trace"
    done = subprocess.run(
        ["strace", "-f", "-yy", "-s", "32", "-o", str(trace),
         "-e", "trace=pwrite64,write,ftruncate,fsync,fdatasync,sendto,sendmsg",
         sys.executable, "-m", "ksef_tui", "--data-dir", str(house.folder), "--operator", LOGIN, "worker", "--until-idle"],
        stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    sends, found = _unsynced_at_sends(trace, house.folder)
    assert found == []
    assert sends >= journal_calls(house), "the trace did not see the calls"
    settled(house, ids, documents)


def journal_calls(house: House) -> int:
    marks = ",".join("?" * len(SENDING_CALLS))
    return int(
        house.db.value(
            f"SELECT count(*) FROM journal WHERE phase = 'started' AND operation IN ({marks})", SENDING_CALLS
        )
    )
