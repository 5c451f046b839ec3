"""Benchmarks of the budgets: `python -m tests.bench` prints one table. Nothing here is a test of timing."""

import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]

# The offices and the sandbox process of the tests serve the benchmarks too.
sys.path.insert(0, str(ROOT / "tests"))
