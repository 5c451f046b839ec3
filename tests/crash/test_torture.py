"""The torture in its short form: two workers killed at random, and everything that KSeF does wrong at once.

The long one is `python -m torture` in `tests/`: a hundred clients, and a seed that is printed.
"""

from __future__ import annotations

from pathlib import Path

from torture.run import torture

SEED = 20261124


async def test_every_invoice_comes_to_its_one_right_state_whatever_is_killed(tmp_path: Path):
    ran = await torture(tmp_path, clients=4, invoices=15, seed=SEED, minutes=5)
    assert ran.found == [], f"seed {SEED}"
    assert ran.ways.keys() == {"interactive", "batch"}
