"""The schema is compiled once a thread, late, and works in several threads at once."""

from __future__ import annotations

import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import date
from pathlib import Path

import pytest

from ksef_tui.fa3.build import Sale, build
from ksef_tui.fa3.check import check
from ksef_tui.fa3.schema import Fa3Schema, schema

MINISTRY = Path(__file__).parents[3] / "shared" / "ksef" / "xsd"


def test_one_schema_for_each_thread() -> None:
    seen: list[Fa3Schema] = []
    other = threading.Thread(target=lambda: seen.append(schema()))
    other.start()
    other.join()
    assert schema() is schema()
    assert seen[0] is not schema()


def test_threads_do_not_mix_up_their_messages(sale: Sale, today: date) -> None:
    text = build(sale).decode()

    def fault(number: int) -> str:
        bad = text.replace("<P_15>486.63", f"<P_15>{number},00").encode()
        return check(bad, today=today, client_nip=None).errors[0].message

    with ThreadPoolExecutor(4) as pool:
        for number, message in enumerate(pool.map(fault, range(200))):
            assert f"„{number},00”" in message


@pytest.mark.skipif(not MINISTRY.is_dir(), reason="the ministry's own schema files are not on this machine")
def test_the_ministrys_files_with_their_odd_line_ends_judge_the_same(sale: Sale, today: date) -> None:
    good, bad = build(sale), build(sale).replace(b"<P_12>23", b"<P_12>0")
    for data in (good, bad):
        ours = check(data, today=today, client_nip=None)
        assert check(data, today=today, client_nip=None, xsd_folder=MINISTRY) == ours


def test_importing_the_checks_does_not_import_lxml() -> None:
    look = "import sys, ksef_tui.fa3.check, ksef_tui.fa3.build; sys.exit('lxml' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", look], check=False).returncode == 0
