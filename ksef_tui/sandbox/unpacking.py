"""Opens the packages of closed batch sessions, so that `processing` can judge their invoices (facts §9, §10.1)."""

from __future__ import annotations

import asyncio
import json
import logging
import shutil
import sqlite3
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

from ksef_tui.sandbox import archives
from ksef_tui.sandbox.archives import BadPackage, Entry, Part
from ksef_tui.sandbox.clock import now_ms
from ksef_tui.sandbox.numbers import reference
from ksef_tui.sandbox.quota import context_limits
from ksef_tui.sandbox.uploads import folder_of, part_of
from ksef_tui.sandbox.web import Sandbox

_log = logging.getLogger(__name__)

_RETRY_S = 0.5
_MOST_ENTRIES = 50
_MOST_BYTES = 2_000_000
_LONGEST_NAME = 128
_WAITING = """SELECT session.*, compression, size, hash, offline FROM session JOIN batch ON session_ref = ref
              WHERE code IS NULL AND closed IS NOT NULL AND NOT unpacked"""


class Unpacker:
    """One task of the event loop: files are read in a thread, rows are written in between.

    Entries are always taken in the order of the archive, so after a restart it goes on behind those that are there.
    """

    def __init__(self, sandbox: Sandbox) -> None:
        self._sandbox = sandbox
        self._state = sandbox.state

    async def run(self) -> None:
        """Work until cancelled."""
        idle = True
        while True:
            self._sandbox.wake_unpacking.clear()
            try:
                if await self.advance():
                    continue
                if idle:
                    self._sweep()
                pause = self._pause()
            except (sqlite3.Error, OSError):
                _log.exception("unpacking")
                pause = _RETRY_S
            idle = False
            try:
                await asyncio.wait_for(self._sandbox.wake_unpacking.wait(), pause)
            except TimeoutError:
                idle = True

    async def advance(self) -> bool:
        """Open the next package that is due; False when none is."""
        row = self._next()
        if row is None:
            return False
        await self._unpack(row)
        return True

    def _next(self) -> sqlite3.Row | None:
        if self._sandbox.faults.is_on("stuck"):
            return None
        return self._state.row(f"{_WAITING} AND due <= ? ORDER BY due LIMIT 1", now_ms())

    def _pause(self) -> float:
        due = self._state.value(f"SELECT min(due) FROM ({_WAITING})")  # noqa: S608 our own text
        return 1.0 if due is None else min(1.0, max(0.005, (due - now_ms()) / 1000))

    async def _unpack(self, row: sqlite3.Row) -> None:
        try:
            await self._read(row)
        except BadPackage as bad:
            self._end(row, bad.code, bad.details)
        except sqlite3.Error:
            raise
        except Exception:
            # One package that the sandbox cannot cope with must not stop all others.
            _log.exception("batch %s", row["ref"])
            self._end(row, 500, [])
        await asyncio.to_thread(shutil.rmtree, folder_of(self._sandbox, row["ref"]), ignore_errors=True)
        self._sandbox.wake.set()

    def _end(self, row: sqlite3.Row, code: int, details: list[str]) -> None:
        with self._state.transaction():
            self._state.run("UPDATE session SET code = ?, updated = ? WHERE ref = ?", code, now_ms(), row["ref"])
            text = json.dumps(details, ensure_ascii=False)
            self._state.run("UPDATE batch SET details = ? WHERE session_ref = ?", text, row["ref"])

    async def _read(self, row: sqlite3.Row) -> None:
        """Raises BadPackage with the status of the whole session."""
        if row["key"] is None:
            raise BadPackage(415)
        failing = self._sandbox.faults.strike("session_fails")
        if failing is not None:
            raise BadPackage(int(failing.params.get("code", 405)))
        number, compression = row["ref"], row["compression"]
        archive = folder_of(self._sandbox, number) / "package"
        parts = [
            Part(part_of(self._sandbox, number, part["ordinal"]), part["size"], part["hash"])
            for part in self._state.rows("SELECT * FROM batch_part WHERE session_ref = ? ORDER BY ordinal", number)
        ]
        await asyncio.to_thread(archives.join, parts, row["key"], row["iv"], archive, row["size"], row["hash"])
        context = f"{row['context_type']}:{row['context_value']}"
        most = context_limits(self._state, context)["batchSession"]["maxInvoices"]
        if await asyncio.to_thread(archives.count, archive, compression, most) == 0:
            raise BadPackage(440)
        done: int = row["invoices"]
        chunks = _chunks(archive, compression, done)
        while chunk := await asyncio.to_thread(next, chunks, None):
            self._insert(row, chunk, done)
            done += len(chunk)
        with self._state.transaction():
            self._state.run("UPDATE batch SET unpacked = 1 WHERE session_ref = ?", number)

    def _insert(self, row: sqlite3.Row, chunk: list[Entry], done: int) -> None:
        now = now_ms()
        with self._state.transaction():
            for ordinal, entry in enumerate(chunk, done + 1):
                too_large = {"code": 430, "details": [f"Rozmiar pliku {entry.size} przekracza dozwolony limit."]}
                self._state.insert(
                    "invoice",
                    ref=reference("EE"),
                    session_ref=row["ref"],
                    ordinal=ordinal,
                    file_name=entry.name[-_LONGEST_NAME:].encode("utf-8", "replace").decode("utf-8"),
                    hash=entry.hash,
                    size=entry.size,
                    content=entry.content or b"",
                    offline=row["offline"],
                    # All invoices of a batch came when it was opened (facts §9).
                    received=row["created"],
                    invoicing=row["created"],
                    due=now,
                    **({} if entry.content is not None else too_large),
                )
            self._state.run("UPDATE session SET invoices = invoices + ? WHERE ref = ?", len(chunk), row["ref"])
        self._sandbox.wake.set()

    def _sweep(self) -> None:
        """What is left of sessions that are over: cancelled ones, or those of a killed process."""
        folder = self._sandbox.folder / "parts"
        for left in folder.iterdir() if folder.is_dir() else ():
            if not self._state.value("SELECT 1 FROM session WHERE ref = ? AND code IS NULL", left.name):
                shutil.rmtree(left, ignore_errors=True)


def _chunks(archive: Path, compression: str, skip: int) -> Iterator[list[Entry]]:
    """The entries behind the first `skip`, a few at a time so that little of them is in memory."""
    chunk: list[Entry] = []
    held = 0
    for entry in islice(archives.entries(archive, compression), skip, None):
        chunk.append(entry)
        held += entry.size
        if len(chunk) == _MOST_ENTRIES or held > _MOST_BYTES:
            yield chunk
            chunk, held = [], 0
    if chunk:
        yield chunk
