"""A package of invoices from its encrypted parts: joined, checked and read entry by entry, never whole in memory."""

from __future__ import annotations

import base64
import hashlib
import lzma
import tarfile
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.padding import PKCS7

_PIECE = 1 << 20
# The largest invoice that any limit allows (facts §17); of what is longer only size and hash are kept.
_LONGEST_KEPT = 10_000_000
_LONGEST_UNPACKED = 10_000_000_000
_BROKEN = (
    zipfile.BadZipFile,
    tarfile.TarError,
    zlib.error,
    lzma.LZMAError,
    EOFError,
    OSError,
    RuntimeError,  # an encrypted entry
    NotImplementedError,  # a method of compression that nobody knows
    ValueError,
)


class BadPackage(Exception):
    """A package that ends its session: the status code of the session and what is wrong."""

    def __init__(self, code: int, *details: str) -> None:
        super().__init__(f"{code} {details}")
        self.code = code
        self.details = list(details)


@dataclass(frozen=True)
class Part:
    """One encrypted part: where it lies, and what the opening of the session said about it."""

    path: Path
    size: int
    hash: str


@dataclass(frozen=True)
class Entry:
    """One file of the archive; `content` is None when it is larger than any invoice may be."""

    name: str
    content: bytes | None
    size: int
    hash: str


def join(parts: Sequence[Part], key: bytes, vector: bytes, target: Path, size: int, digest: str) -> None:
    """Decrypt the parts one after another into `target` (AES-256-CBC, PKCS#7, each with the same vector).

    `size` and `digest` are those of the whole archive. Raises BadPackage: 405 other bytes than declared,
    435 not decryptable.
    """
    whole, length = hashlib.sha256(), 0
    with target.open("wb") as out:
        for ordinal, part in enumerate(parts, 1):
            for piece in _decrypted(part, ordinal, key, vector):
                whole.update(piece)
                length += len(piece)
                out.write(piece)
    if length != size:
        raise BadPackage(405, f"Rozmiar paczki {length} jest niezgodny z zadeklarowanym {size}.")
    if _b64(whole.digest()) != digest:
        raise BadPackage(405, "Skrót paczki jest niezgodny z zadeklarowanym.")


def _decrypted(part: Part, ordinal: int, key: bytes, vector: bytes) -> Iterator[bytes]:
    decryptor = Cipher(algorithms.AES(key), modes.CBC(vector)).decryptor()
    unpadder, digest, length = PKCS7(128).unpadder(), hashlib.sha256(), 0
    with part.path.open("rb") as file:
        while piece := file.read(_PIECE):
            digest.update(piece)
            length += len(piece)
            yield unpadder.update(decryptor.update(piece))
    if length != part.size or _b64(digest.digest()) != part.hash:
        raise BadPackage(405, f"Część '{ordinal}' jest niezgodna z zadeklarowanym rozmiarem lub skrótem.")
    try:
        yield unpadder.update(decryptor.finalize()) + unpadder.finalize()
    except ValueError as error:
        raise BadPackage(435, f"Nie można odszyfrować części '{ordinal}'.") from error


def count(archive: Path, compression: str, most: int) -> int:
    """How many files there are, after reading all of them once.

    Raises BadPackage: 420 more than `most`, 430 the archive cannot be read to its end.
    """
    found = unpacked = 0
    for entry in entries(archive, compression):
        found += 1
        unpacked += entry.size
        if found > most:
            raise BadPackage(420, f"Paczka zawiera więcej niż {most} faktur.")
        if unpacked > _LONGEST_UNPACKED:
            raise BadPackage(430, "Rozpakowana paczka jest zbyt duża.")
    return found


def entries(archive: Path, compression: str) -> Iterator[Entry]:
    """The files of an archive in its order; `compression` is Zip or TarGz. Raises BadPackage(430)."""
    try:
        yield from _zipped(archive) if compression == "Zip" else _tarred(archive)
    except _BROKEN as error:
        raise BadPackage(430, f"Nie można odczytać archiwum {compression}.") from error


def _zipped(archive: Path) -> Iterator[Entry]:
    with zipfile.ZipFile(archive) as package:
        for info in package.infolist():
            if not info.is_dir():
                with package.open(info) as file:
                    yield _entry(info.filename, file)


def _tarred(archive: Path) -> Iterator[Entry]:
    with tarfile.open(archive, "r:gz") as package:
        for member in package:
            file = package.extractfile(member) if member.isreg() else None
            if file is not None:
                with file:
                    yield _entry(member.name, file)
            elif not member.isdir():
                raise BadPackage(430, f"Archiwum zawiera niedozwolony element {member.name[:128]}.")
        # A header that cannot be read looks like the end; behind a real end there are only zeros.
        rest = package.fileobj
        while rest is not None and (piece := rest.read(_PIECE)):
            if piece.strip(b"\0"):
                raise BadPackage(430, "Archiwum jest uszkodzone.")


def _entry(name: str, file: IO[bytes]) -> Entry:
    digest, size, kept = hashlib.sha256(), 0, []
    while piece := file.read(_PIECE):
        digest.update(piece)
        size += len(piece)
        if size > _LONGEST_UNPACKED:
            raise BadPackage(430, "Rozpakowana paczka jest zbyt duża.")
        if size <= _LONGEST_KEPT:
            kept.append(piece)
    content = b"".join(kept) if size <= _LONGEST_KEPT else None
    return Entry(name, content, size, _b64(digest.digest()))


def _b64(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")
