"""Lines to type in: without a blinking cursor (an idle screen sends nothing), and one that completes paths."""

from __future__ import annotations

import asyncio
import os
from itertools import islice
from pathlib import Path
from typing import Any

from textual import events
from textual.suggester import Suggester
from textual.widgets import Input

MOST_ENTRIES = 5_000  # of one folder are looked at


def path_of(text: str) -> Path:
    """The path that was typed. A whole path typed behind the folder that stood there already (`/home/anna//mnt/x`,
    `/home/anna/~/x`) is what was meant."""
    text = text.strip()
    for start in ("//", "/~/"):
        if start in text:
            text = text[text.rindex(start) + 1 :]
    return Path(text).expanduser()


def complete(text: str) -> str | None:
    """The text with the rest of the first matching name; a folder ends with a slash. None: nothing matches."""
    folder, _, begun = text.rpartition("/")
    place = path_of(f"{folder}/.") if "/" in text else Path()
    try:
        with os.scandir(place) as entries:
            names = sorted(
                (entry.name + ("/" if entry.is_dir() else ""))
                for entry in islice(entries, MOST_ENTRIES)
                if entry.name.startswith(begun) and (begun or not entry.name.startswith("."))
            )
    except (OSError, ValueError):
        return None
    if not names or not begun:
        return None
    common = os.path.commonprefix(names)  # noqa: RUF071  # characters of one name are meant
    name = common if len(common) > len(begun) else names[0]
    return f"{folder}/{name}" if "/" in text else name


class _FromDisk(Suggester):
    def __init__(self) -> None:
        super().__init__(use_cache=False, case_sensitive=True)

    async def get_suggestion(self, value: str) -> str | None:
        return await asyncio.to_thread(complete, value) if value else None


class Entry(Input):
    """A line to type in."""

    def __init__(self, **options: Any) -> None:
        super().__init__(select_on_focus=False, **options)  # a first letter typed early must not be replaced
        self.cursor_blink = False


class PathEntry(Entry):
    """A path; Tab or → completes it, and when there is nothing to complete Tab goes on."""

    def __init__(self, **options: Any) -> None:
        super().__init__(suggester=_FromDisk(), **options)

    def on_key(self, event: events.Key) -> None:
        if event.key == "tab" and (more := complete(self.value)) is not None and more != self.value:
            event.stop()
            event.prevent_default()
            self.value = more
            self.cursor_position = len(more)
