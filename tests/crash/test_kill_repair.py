"""`kill -9` while an invoice is mended: a look-up is made again, a replacement is whole or not there."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from crash_workers import WorkerProcess, finish
from support import papers
from support.houses import LOGIN, House, wait_for
from support.ministry import SEND
from support.strangers import Stranger

from ksef_tui.services import approving

Start = Callable[..., WorkerProcess]
METADATA = {"path": "/v2/invoices/query/metadata"}


async def test_killed_in_the_middle_of_a_look_up_it_is_looked_for_again(house: House, worker: Start):
    """Nothing is known of it until the look-up has ended, so it stays unknown and nobody sends it."""
    client = await house.ready_client()
    document = papers.invoice(client.nip)
    house.ministry.fault("invoice_fails", times=1, params={"code": 550})
    [invoice_id] = house.approved(client, document)
    await house.work()
    number = await Stranger(house.ministry, client.nip).send(document)
    house.ministry.fault("hang", match=METADATA, params={"seconds": 600})
    approving.retry(house.office, house.admin, [invoice_id])
    first = worker()
    wait_for(lambda: house.ministry.struck("hang"))
    first.kill()
    assert (house.states([invoice_id]), house.invoice(invoice_id)["reason_code"]) == (["unknown"], "retry")
    house.ministry.calm()
    finish(house)
    assert (house.states([invoice_id]), house.invoice(invoice_id)["ksef_number"]) == (["accepted"], number)
    assert house.ministry.posts(SEND) == 2, "ours that was refused, and the other program's"
    assert len(house.ministry.holds(document)) == 1


def test_replacing_many_killed_at_any_moment_leaves_each_whole_or_untouched(house: House, tmp_path: Path):
    client = house.client()
    bad = [papers.invoice(client.nip, f"ZAM/{n}").replace(b"<KodWaluty>PLN</KodWaluty>", b"") for n in range(6)]
    ids = house.bring(client, *bad)
    for n, old in enumerate(ids):
        (tmp_path / f"{old}.xml").write_bytes(papers.invoice(client.nip, f"ZAM/{n}"))
    command = [
        sys.executable,
        "-m",
        "ksef_tui",
        "--data-dir",
        str(house.folder),
        "--operator",
        LOGIN,
        "queue",
        "replace",
    ]

    def begun(old: int) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            [*command, str(old), str(tmp_path / f"{old}.xml")], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )

    with house.db.write():  # while somebody else writes it cannot commit: killed in the middle of it
        process = begun(ids[0])
        wait_for(lambda: _reads(process.pid, house))
        os.kill(process.pid, signal.SIGKILL)
        process.wait(30)
    assert house.states(ids[:1]) == ["invalid"]
    process = begun(ids[1])
    wait_for(lambda: house.states([ids[1]]) == ["replaced"])  # committed; whether it could still say so does not matter
    if process.poll() is None:
        os.kill(process.pid, signal.SIGKILL)
    process.wait(30)
    for old in (ids[0], *ids[2:]):
        assert begun(old).wait(60) == 0
    assert house.states(ids) == ["replaced"] * len(ids)
    new = [house.invoice(old)["replaced_by"] for old in ids]
    assert len(set(new)) == len(ids)
    assert house.states(new) == ["waiting"] * len(ids)
    whole = "SELECT count(*) FROM invoice v JOIN document d USING (sha256) WHERE v.state = 'waiting'"
    assert house.db.value(whole) == len(ids)
    assert house.db.value("SELECT count(*) FROM audit WHERE act = 'invoice.replace'") == 2 * len(ids)


def _reads(pid: int, house: House) -> bool:
    """Whether the process has the database open, so that it stands before its write."""
    folder = Path(f"/proc/{pid}/fd")
    database = str(house.folder)
    return any(str(link.readlink()).startswith(database) for link in folder.iterdir() if link.exists())
