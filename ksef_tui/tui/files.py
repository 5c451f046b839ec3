"""Writing and reading the small files that people carry between this program and others."""

from __future__ import annotations

import os
import secrets
from pathlib import Path

from ksef_tui.domain.problems import Problem
from ksef_tui.domain.reasons import os_reason
from ksef_tui.tui.entries import path_of


class Saver:
    """Saves into a file that a person names, and never over one that is there unless they say so twice."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._asked_about: Path | None = None

    def save(self, text: str, data: bytes) -> Path:
        """Write `data` where `text` says; in a folder under the usual name. The path.

        Raises Problem: a file of that name is there (the same path again replaces it), or it cannot be written.
        """
        path = path_of(text)
        if text.strip().endswith("/") or path.is_dir():
            path = path / self._name
        try:
            if path == self._asked_about:
                _replace(path, data)
            else:
                with path.open("xb") as file:
                    file.write(data)
        except FileExistsError:
            self._asked_about = path
            raise Problem(
                "file_exists", f"Plik {path} już jest. Enter jeszcze raz go zastąpi; możesz też zmienić nazwę."
            ) from None
        except (OSError, ValueError) as error:
            why = os_reason(error) if isinstance(error, OSError) else "to nie jest nazwa pliku"
            raise Problem("unwritable_file", f"Nie można zapisać {path}: {why}.") from None
        return path


def _replace(path: Path, data: bytes) -> None:
    """All of it or nothing: what is there stays until the new file is whole."""
    beside = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        beside.write_bytes(data)
        os.replace(beside, path)  # noqa: PTH105
    finally:
        beside.unlink(missing_ok=True)


def read_small(path: str, limit: int, what: str) -> bytes:
    """A small file's bytes; `what` says what it should have been. Raises Problem with a Polish line when there is none."""
    try:
        place = path_of(path)
        if not place.is_file():  # a device or a pipe may never end
            place.stat()
            raise Problem("bad_file", f"{path.strip()}: to nie wygląda na {what}.")
        with place.open("rb") as file:
            data = file.read(limit + 1)
    except (OSError, ValueError) as error:
        why = os_reason(error) if isinstance(error, OSError) else "to nie jest nazwa pliku"
        raise Problem("unreadable_file", f"Nie można odczytać pliku {path.strip()}: {why}.") from error
    if len(data) > limit:
        raise Problem("file_too_big", f"Plik {path.strip()} jest za duży: to nie wygląda na {what}.")
    return data
