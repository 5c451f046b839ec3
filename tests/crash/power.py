"""What a machine finds on its disk when the power comes back."""

from __future__ import annotations

import os
import shutil
import sqlite3
import struct
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

from support.houses import LOGIN, House

from ksef_tui.compose import open_office
from ksef_tui.services import office

SECTOR = 512  # bytes that a disk writes whole
_WAL_HEADER, _FRAME_HEADER = 32, 24


class Disk:
    """The office's files as they are at this moment. `shm`: with the file that processes share, which is worth nothing
    without them and is on the disk all the same."""

    def __init__(self, folder: Path, to: Path, *, shm: bool = False) -> None:
        self.folder = to
        shutil.copytree(folder, to, ignore=shutil.ignore_patterns("*.lock", *([] if shm else ["*-shm"])))
        self.wal = to / "office.db-wal"

    def torn(self, to: Path, length: int) -> Disk:
        """The same disk, where only so many bytes of the log had arrived."""
        copy = Disk(self.folder, to)
        os.truncate(copy.wal, length)
        return copy

    def rows(self) -> dict[str, list[tuple[object, ...]]]:
        """What the database holds when somebody opens it, after all its checks. The files stay as they are."""
        shm = self.folder / "office.db-shm"
        before = {path: path.read_bytes() for path in (self.folder / "office.db", self.wal) if path.exists()}
        with closing(sqlite3.connect(self.folder / "office.db")) as db:
            assert db.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
            assert db.execute("PRAGMA foreign_key_check").fetchall() == []
            found = {
                table: db.execute(f"SELECT * FROM {table} ORDER BY 1").fetchall()
                for table in ("invoice", "invoice_event", "session", "journal", "lease", "batch_part")
            }
        for path, content in before.items():  # the last one who closes puts the log into the database
            path.write_bytes(content)
        shm.unlink(missing_ok=True)
        return found

    def transactions(self) -> list[int]:
        """Where each committed transaction of the log ends, in bytes, oldest first."""
        data = self.wal.read_bytes() if self.wal.exists() else b""
        if len(data) < _WAL_HEADER:
            return []
        page, salts = struct.unpack(">I", data[8:12])[0], data[16:24]
        ends, at, frame = [], _WAL_HEADER, _FRAME_HEADER + page
        while at + frame <= len(data) and data[at + 8 : at + 16] == salts:  # older salts: left over from before
            at += frame
            if struct.unpack(">I", data[at - frame + 4 : at - frame + 8])[0]:
                ends.append(at)
        return ends


def move_in(house: House, disk: Disk) -> None:
    """From now on the house is what was on that disk; what was there before is gone."""
    house.office.close()
    shutil.rmtree(house.folder)
    house.folder = disk.folder
    house.office = open_office(disk.folder)
    house.office.clock = lambda: datetime.now(UTC)
    house.admin = office.operator_named(house.office, LOGIN)
