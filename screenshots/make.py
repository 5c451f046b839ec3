"""Make the pictures of the README from the real program, or (`--check`) see that they still show it.

    .venv/bin/python screenshots/make.py [--check]

The office on them is that of the screen tests: twelve clients and a queue in every state, and a clock that stands still,
so the same program always gives the same bytes.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
os.environ |= {"TERM": "xterm-256color", "COLORTERM": "truecolor"}  # the same colours wherever it runs
os.environ.pop("NO_COLOR", None)
sys.path[:0] = [str(ROOT), str(ROOT / "tests" / "tui")]

from tui_helpers import expect, text_of  # noqa: E402
from tui_office import NOW, furnish, new_office  # noqa: E402

from ksef_tui.tui.app import KsefTui  # noqa: E402


@dataclass(frozen=True)
class Picture:
    """What to show: a size, the keys pressed first, and a text that must be on the screen."""

    name: str
    size: tuple[int, int]
    keys: tuple[str, ...]
    shows: str
    environment: str = "sandbox"


PICTURES = (
    Picture("main-80x24", (80, 24), (), "Gamma s.c."),
    Picture("main-120x40", (120, 40), (), "FV/11/2026/031"),
    Picture("main-150x38", (150, 38), (), "FV/11/2026/031"),
    Picture("production-120x40", (120, 40), (), "PRODUKCJA", "production"),
    Picture("details-120x40", (120, 40), ("2", "enter"), "Sprzedawca"),
    Picture("today-120x40", (120, 40), ("0",), "do zatwierdzenia"),
    Picture("help-120x40", (120, 40), ("f1",), "Zatwierdź"),
)


async def picture(wanted: Picture) -> str:
    """The screen as SVG."""
    with tempfile.TemporaryDirectory() as folder:
        office, operator = new_office(Path(folder), wanted.environment)
        furnish(office)
        app = KsefTui(office, operator, now=lambda: NOW)
        async with app.run_test(size=wanted.size) as pilot:
            main = app.main
            await expect(pilot, lambda: main.header_view is not None and bool(main.clients.list.ids))
            await expect(pilot, lambda: main.authorization.view is not None and bool(main.queue.counts))
            await pilot.press(*wanted.keys)
            await expect(pilot, lambda: wanted.shows in text_of(app))
            await pilot.pause()
            svg = app.export_screenshot(title="ksef-tui")
        office.close()
    return svg


def main() -> int:
    """0 when the pictures were made, or are up to date."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; 1 when a picture shows an older program")
    check = parser.parse_args().check
    stale = []
    for wanted in PICTURES:
        svg = asyncio.run(picture(wanted))
        path = ROOT / "screenshots" / f"{wanted.name}.svg"
        if check:
            if not path.is_file() or path.read_text() != svg:
                stale.append(path.name)
        else:
            path.write_text(svg)
    for name in stale:
        print(f"screenshots/{name} shows an older program; run: python screenshots/make.py")
    return 1 if stale else 0


if __name__ == "__main__":
    sys.exit(main())
