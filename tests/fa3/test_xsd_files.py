"""The schemas that judge invoices are the official ones, or nothing is judged."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from ksef_tui.domain.problems import Problem
from ksef_tui.fa3.xsd_files import KNOWN_FILES, MAIN_SCHEMA, locate

MINISTRY = Path(__file__).parents[3] / "shared" / "ksef" / "xsd"


def test_the_installed_files_are_the_official_ones() -> None:
    folder = locate()
    assert all((folder / name).is_file() for name in KNOWN_FILES)


@pytest.mark.skipif(not MINISTRY.is_dir(), reason="the ministry's own schema files are not on this machine")
def test_the_ministrys_own_files_are_taken_too() -> None:
    assert locate(MINISTRY) == MINISTRY


@pytest.mark.parametrize("name", sorted(KNOWN_FILES))
def test_one_changed_byte_is_noticed(tmp_path: Path, name: str) -> None:
    for source in KNOWN_FILES:
        shutil.copy(locate() / source, tmp_path)
    with (tmp_path / name).open("ab") as file:
        file.write(b" ")
    with pytest.raises(Problem) as refused:
        locate(tmp_path)
    assert refused.value.code == "xsd_altered"
    assert name in refused.value.message


def test_a_folder_without_the_files_is_named(tmp_path: Path) -> None:
    with pytest.raises(Problem) as refused:
        locate(tmp_path)
    assert refused.value.code == "xsd_missing"
    assert MAIN_SCHEMA in refused.value.message
    assert str(tmp_path) in refused.value.message


def test_a_missing_distribution_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ksef_tui.fa3.xsd_files.DISTRIBUTION", "a-distribution-that-nobody-has")
    with pytest.raises(Problem) as refused:
        locate()
    assert refused.value.code == "xsd_missing"


def test_finding_the_files_imports_neither_lxml_nor_the_distributions_code() -> None:
    look = (
        "import sys; from ksef_tui.fa3.xsd_files import locate; locate(); "
        "sys.exit(any(m.split('.')[0] in ('lxml', 'ksef_client') for m in sys.modules))"
    )
    assert subprocess.run([sys.executable, "-c", look], check=False).returncode == 0
