"""What a typed path means."""

from __future__ import annotations

from pathlib import Path

import pytest

from ksef_tui.tui.entries import complete, path_of


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("/mnt/faktury", Path("/mnt/faktury")),
        ("  faktury ", Path("faktury")),
        ("~/faktury", Path.home() / "faktury"),
        ("/home/anna//mnt/faktury", Path("/mnt/faktury")),
        ("/home/anna/~/faktury", Path.home() / "faktury"),
    ],
)
def test_a_whole_path_behind_the_folder_that_stood_there_is_what_was_meant(typed: str, meant: Path) -> None:
    assert path_of(typed) == meant


def test_such_a_path_is_completed_too(tmp_path: Path) -> None:
    (tmp_path / "faktury").mkdir()
    assert complete(f"/gdzie/indziej/{tmp_path}/fak") == f"/gdzie/indziej/{tmp_path}/faktury/"
