"""The files that an import is pointed at: XML files, folders, ZIPs – one at a time, none of them able to end the import."""

from __future__ import annotations

import lzma
import os
import stat
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from ksef_tui.domain.reasons import os_reason

MAX_FILE_BYTES = 3_000_000  # the largest invoice KSeF takes, with attachment (facts §11)
MAX_ZIP_MEMBERS = 10_000
WANTED = (".xml", ".zip")
TOO_BIG = "plik jest większy niż 3 000 000 B, których KSeF nie przyjmie"

# What zipfile raises over a damaged archive: its own errors, and those of the decompressors and of names.
_DAMAGED = (
    zipfile.BadZipFile,
    zlib.error,
    lzma.LZMAError,
    EOFError,
    ValueError,  # a name that is not UTF-8 is one of these
    RuntimeError,
    NotImplementedError,
)


@dataclass(frozen=True, slots=True)
class Candidate:
    """A file's bytes, or why there are none. The name is fit to be stored and shown, whatever the disk calls it."""

    name: str
    data: bytes | None
    error: str = ""


def candidates(paths: Sequence[Path], *, names_only: bool = False) -> Iterator[Candidate]:
    """The files under `paths`: in the order given, folders (with subfolders) and ZIPs by name."""
    for path in paths:
        try:
            is_folder = path.is_dir()
        except OSError as error:
            yield _refused(path, error)
            continue
        if is_folder:
            yield from _folder(path, names_only)
        else:
            yield from _file(path, names_only)


def shown(path: Path | str) -> str:
    """A name as text: bytes that are not UTF-8 become `�`."""
    return os.fsencode(str(path)).decode("utf-8", "replace")


def _folder(folder: Path, names_only: bool) -> Iterator[Candidate]:
    shut: list[OSError] = []
    inside = sorted(
        Path(place) / name
        for place, _, names in os.walk(folder, onerror=shut.append)
        for name in names
        if Path(name).suffix.lower() in WANTED
    )
    for error in shut:
        yield Candidate(shown(error.filename or folder), None, f"nie można otworzyć katalogu: {os_reason(error)}")
    if not inside and not shut:
        yield Candidate(shown(folder), None, "w katalogu nie ma plików XML ani ZIP")
    for file in inside:
        yield from _file(file, names_only)


def _file(path: Path, names_only: bool) -> Iterator[Candidate]:
    try:
        info = path.stat()
        if not stat.S_ISREG(info.st_mode):  # a pipe or a device may never end
            yield Candidate(shown(path), None, "to nie jest zwykły plik")
        elif path.suffix.lower() == ".zip":
            yield from _zip(path, names_only)
        elif info.st_size > MAX_FILE_BYTES:
            yield Candidate(shown(path), None, TOO_BIG)
        else:
            yield Candidate(shown(path), b"" if names_only else path.read_bytes())
    except (OSError, ValueError) as error:
        yield _refused(path, error)


def _refused(path: Path, error: OSError | ValueError) -> Candidate:
    if isinstance(error, FileNotFoundError):
        return Candidate(shown(path), None, "nie ma takiego pliku")
    why = os_reason(error) if isinstance(error, OSError) else "takiej nazwy pliku nie może być"
    return Candidate(shown(path), None, f"nie można odczytać pliku: {why}")


def _zip(path: Path, names_only: bool) -> Iterator[Candidate]:
    try:
        with zipfile.ZipFile(path) as archive:
            files = sorted((m for m in archive.infolist() if not m.is_dir()), key=lambda m: m.filename)
            members = [m for m in files if m.filename.lower().endswith(WANTED)]
            if not members:
                yield Candidate(shown(path), None, "w archiwum nie ma plików XML")
            if len(members) > MAX_ZIP_MEMBERS:
                yield Candidate(shown(path), None, f"archiwum ma więcej niż {MAX_ZIP_MEMBERS} plików")
                return
            for member in members:
                name = shown(f"{path}/{member.filename}")
                if member.filename.lower().endswith(".zip"):
                    yield Candidate(name, None, "archiwum w archiwum – rozpakuj je najpierw")
                else:
                    yield Candidate(name, b"") if names_only else _member(archive, member, name)
    except OSError as error:
        yield _refused(path, error)
    except _DAMAGED:
        yield Candidate(shown(path), None, "nie można odczytać archiwum ZIP: jest uszkodzone")


def _member(archive: zipfile.ZipFile, member: zipfile.ZipInfo, name: str) -> Candidate:
    if member.flag_bits & 1:
        return Candidate(name, None, "archiwum jest zaszyfrowane hasłem – rozpakuj je najpierw")
    try:
        with archive.open(member) as stream:  # the declared size may lie, so no more than the limit is unpacked
            data = stream.read(MAX_FILE_BYTES + 1)
    except (OSError, *_DAMAGED):
        return Candidate(name, None, "nie można rozpakować: plik w archiwum jest uszkodzony")
    if len(data) > MAX_FILE_BYTES:
        return Candidate(name, None, TOO_BIG)
    return Candidate(name, data)
