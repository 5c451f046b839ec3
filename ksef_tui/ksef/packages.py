"""Packages for batch sessions (facts §9): many invoices in one archive, cut into parts, each part encrypted by itself.

Nothing of a package is ever whole in memory: the archive flows through the hash and the cipher to files on the disk.
Its hashes precede the opening of a session, so the encrypted parts wait there until the session is over.
"""

from __future__ import annotations

import base64
import gzip
import hashlib
import io
import os
import tarfile
import zipfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from ksef_tui.ksef.crypto import SessionKey

if TYPE_CHECKING:
    from typing import BinaryIO

Compression = Literal["TarGz", "Zip"]

LARGEST_PART = 100_000_000  # bytes of the archive in one part, before it is encrypted
MOST_PARTS = 50
MOST_INVOICES = 10_000
GZIP_LEVEL = 6
_FIRST_DAY = (1980, 1, 1, 0, 0, 0)  # the oldest date that ZIP knows: equal invoices make equal archives


@dataclass(frozen=True, slots=True)
class Part:
    """An encrypted part: `ordinal` from 1, its file, its size in bytes and its SHA-256 (Base64), both encrypted."""

    ordinal: int
    path: Path
    size: int
    hash: str


@dataclass(frozen=True, slots=True)
class Package:
    """A package ready to be announced: size in bytes and SHA-256 (Base64) of the whole plain archive, and its parts."""

    compression: Compression
    size: int
    hash: str
    parts: tuple[Part, ...]


def pack(
    folder: Path,
    documents: Iterable[tuple[str, bytes]],
    session_key: SessionKey,
    *,
    compression: Compression = "TarGz",
    largest_part: int = LARGEST_PART,
) -> Package:
    """Write the documents (name in the archive, bytes as they are) into encrypted parts in `folder`, on the disk when it
    returns. Raises OSError; what is half written is the caller's to clear."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    stream = _Parts(folder, session_key, largest_part)
    try:
        if compression == "TarGz":
            _tar(stream, documents)
        else:
            _zip(stream, documents)
        return stream.finish(compression)
    except BaseException:
        stream.abandon()
        raise


def _tar(stream: _Parts, documents: Iterable[tuple[str, bytes]]) -> None:
    zipped = gzip.GzipFile(filename="", mode="wb", compresslevel=GZIP_LEVEL, fileobj=stream, mtime=0)
    with zipped, tarfile.open(fileobj=zipped, mode="w|", format=tarfile.USTAR_FORMAT) as archive:
        for name, data in documents:
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            archive.addfile(entry, io.BytesIO(data))


def _zip(stream: _Parts, documents: Iterable[tuple[str, bytes]]) -> None:
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED, compresslevel=GZIP_LEVEL) as archive:
        for name, data in documents:
            archive.writestr(zipfile.ZipInfo(name, _FIRST_DAY), data, zipfile.ZIP_DEFLATED)


class _Parts(io.RawIOBase):
    """Where an archive is written to: hashed as a whole, cut, encrypted part by part, each into a file."""

    def __init__(self, folder: Path, session_key: SessionKey, largest: int) -> None:
        super().__init__()
        self._folder = folder
        self._session_key = session_key
        self._largest = largest
        self._whole = hashlib.sha256()
        self._size = 0
        self._parts: list[Part] = []
        self._part: _Encrypted | None = None

    def writable(self) -> bool:
        return True

    def write(self, data: object) -> int:
        """Take the next bytes of the archive, into as many parts as they need."""
        piece = memoryview(data).cast("B")  # type: ignore[arg-type]
        self._whole.update(piece)
        self._size += len(piece)
        at = 0
        while at < len(piece):
            if self._part is None:
                ordinal = len(self._parts) + 1
                self._part = _Encrypted(ordinal, self._folder / f"{ordinal}.part", self._session_key)
            taken = min(len(piece) - at, self._largest - self._part.plain)
            self._part.write(piece[at : at + taken])
            at += taken
            if self._part.plain == self._largest:
                self._end_part()
        return len(piece)

    def _end_part(self) -> None:
        if self._part is not None:
            self._parts.append(self._part.finish())
            self._part = None

    def finish(self, compression: Compression) -> Package:
        """The package, when the archive has been written to its end."""
        self._end_part()
        _sync_folder(self._folder)
        digest = base64.b64encode(self._whole.digest()).decode()
        return Package(compression, self._size, digest, tuple(self._parts))

    def abandon(self) -> None:
        """Close what is open; nothing comes of it."""
        if self._part is not None:
            self._part.file.close()


class _Encrypted:
    """One part on its way to the disk: AES-256-CBC with the session's key and IV, padded at its end (facts §8.2)."""

    def __init__(self, ordinal: int, path: Path, session_key: SessionKey) -> None:
        from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
        from cryptography.hazmat.primitives.padding import PKCS7

        self.plain = 0  # bytes of the archive in it so far
        self._ordinal = ordinal
        self._path = path
        self._size = 0
        self._hash = hashlib.sha256()
        self._cipher = Cipher(algorithms.AES256(session_key.key.reveal()), modes.CBC(session_key.iv)).encryptor()
        self._padder = PKCS7(128).padder()
        self.file: BinaryIO = os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb")

    def write(self, piece: memoryview) -> None:
        """Take these bytes of the archive."""
        self.plain += len(piece)
        self._put(self._cipher.update(self._padder.update(piece)))

    def finish(self) -> Part:
        """The part, on the disk."""
        self._put(self._cipher.update(self._padder.finalize()) + self._cipher.finalize())
        self.file.flush()
        os.fsync(self.file.fileno())
        self.file.close()
        return Part(self._ordinal, self._path, self._size, base64.b64encode(self._hash.digest()).decode())

    def _put(self, data: bytes) -> None:
        self._hash.update(data)
        self._size += len(data)
        self.file.write(data)


def _sync_folder(folder: Path) -> None:
    """Make the names of new files last through a loss of power."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
