"""An import that is killed keeps what it had told, and the same import again completes it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

from support import papers
from support.houses import LOGIN, House, wait_for

COUNT = 600


def test_an_import_that_is_killed_is_completed_by_the_same_import(house: House, tmp_path):
    client = house.client()
    folder = tmp_path / "faktury"
    folder.mkdir()
    for n in range(COUNT):
        (folder / f"{n:04}.xml").write_bytes(papers.invoice(client.nip))
    command = [
        sys.executable,
        "-m",
        "ksef_tui",
        "--data-dir",
        str(house.folder),
        "--operator",
        LOGIN,
        "invoice",
        "import",
    ]
    process = subprocess.Popen([*command, client.nip, str(folder)], stdout=subprocess.DEVNULL)
    wait_for(lambda: house.db.value("SELECT count(*) FROM invoice"))
    os.kill(process.pid, signal.SIGKILL)
    assert process.wait(30) == -signal.SIGKILL, "it was over before it could be killed"
    kept = house.db.value("SELECT count(*) FROM invoice")
    assert 0 < kept < COUNT
    assert house.db.value("PRAGMA integrity_check") == "ok"
    whole = "SELECT count(*) FROM invoice v JOIN document d USING (sha256) JOIN invoice_event e ON e.invoice_id = v.id"
    assert house.db.value(whole) == kept, "an invoice without its bytes or its event"
    done = subprocess.run([*command, client.nip, str(folder)], capture_output=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert house.db.value("SELECT count(*) FROM invoice") == COUNT
    assert house.db.value("SELECT count(DISTINCT sha256) FROM invoice") == COUNT
    assert house.db.value("SELECT n FROM invoice_count WHERE state = 'waiting'") == COUNT
