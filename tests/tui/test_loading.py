"""What the screen loads: nothing that its first picture and the opening of a dialog do without."""

from __future__ import annotations

import subprocess
import sys

HEAVY = ("ksef_tui.ksef.api", "msgspec", "httpx", "lxml", "cryptography", "keyring", "sqlite_utils", "stdnum")


def test_the_screen_and_its_actions_load_neither_the_protocol_nor_a_heavy_library() -> None:
    look = (
        "import sys, ksef_tui.cli.shared, ksef_tui.compose, ksef_tui.tui.app, ksef_tui.tui.acts; "
        f"print(*[name for name in {HEAVY} if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", look], check=True, capture_output=True, text=True)
    assert done.stdout.split() == []
