"""The ministry's own example invoices pass."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import pytest

from ksef_tui.fa3.check import check
from ksef_tui.fa3.read import lines

SAMPLES = Path(__file__).parents[3] / "shared" / "ksef" / "samples"

pytestmark = pytest.mark.skipif(not SAMPLES.is_dir(), reason="the ministry's example invoices are not on this machine")

# No other file of theirs may warn of its sums: 01 really differs by a grosz.
DIFFERS_BY_A_GROSZ = "01"


def test_every_example_passes_without_an_error() -> None:
    files = sorted(SAMPLES.glob("*.xml"))
    assert len(files) == 13
    for file in files:
        result = check(file.read_bytes(), today=date(2027, 1, 1), client_nip="9999999999")
        assert result.errors == (), file.name
        assert result.facts is not None
        warned = [warning.code for warning in result.warnings]
        expected = ["offline_by_date"] + ["totals_differ"] * file.stem.endswith(DIFFERS_BY_A_GROSZ)
        assert warned == expected, file.name
        assert lines(file.read_bytes(), 1000)[1] == 0


def test_examples_of_corrections_name_what_they_correct() -> None:
    corrections = [
        result.facts
        for file in SAMPLES.glob("*.xml")
        if (result := check(file.read_bytes(), today=date(2027, 1, 1), client_nip=None)).facts is not None
        and result.facts.kind.startswith("KOR")
    ]
    assert len(corrections) == 8
    assert all(facts.corrected_numbers for facts in corrections)
