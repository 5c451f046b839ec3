"""Every sealed column of the database, in one place: what a new data key must seal anew (design §8).

Whoever adds a column named `sealed_…` adds it here, with the associated data that its `Sealer.seal` call gives, as SQL
over the row `t`. Tests hold this list against the schema and against the calls.

A blob begins with the header of the key that sealed it (`vault.seal`). Triggers on each of these columns write down,
in `stale_seal`, whatever is stored under another key than the office's: a value that was sealed before the key
changed and is written after it is found before its transaction ends (`Database.before_commit`).
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass

_CLIENT = "(SELECT c.nip FROM client c WHERE c.id = t.client_id)"
_SESSION_CLIENT = "(SELECT c.nip FROM client c JOIN session s ON s.client_id = c.id WHERE s.id = t.session_id)"
_OFFICE = "(SELECT o.nip FROM office o)"
_CLIENT_ROW = "CAST(t.client_id AS TEXT)"


@dataclass(frozen=True, slots=True)
class SealedColumn:
    """A column that holds sealed values, or (`json_key`) a JSON object that holds one as hexadecimal digits."""

    table: str
    column: str
    kind: str
    client: str
    row: str
    json_key: str = ""


SEALED = (
    SealedColumn("identity", "sealed_key", "private_key", f"coalesce({_CLIENT}, {_OFFICE})", "t.seal_row"),
    SealedColumn("enrolment", "sealed_key", "private_key", _OFFICE, "t.seal_row"),
    SealedColumn("authorization", "sealed_operation", "operation_token", _CLIENT, _CLIENT_ROW),
    SealedColumn("authorization", "sealed_token", "ksef_token", _CLIENT, _CLIENT_ROW),
    SealedColumn("authorization", "sealed_refresh", "refresh_token", _CLIENT, _CLIENT_ROW),
    SealedColumn("authorization", "sealed_access", "access_token", _CLIENT, _CLIENT_ROW),
    SealedColumn("authorization", "fallback", "ksef_token", _CLIENT, _CLIENT_ROW, json_key="sealed_token"),
    SealedColumn("identity_switch", "sealed_replaced", "refresh_token", _CLIENT, _CLIENT_ROW),
    SealedColumn("session", "sealed_key", "session_key", _CLIENT, "t.seal_row"),
    SealedColumn("signature_request", "sealed_signed", "signed_request", _CLIENT, "t.challenge"),
    SealedColumn("signature_request", "sealed_operation", "operation_token", _CLIENT, "t.challenge"),
    SealedColumn("client_session", "sealed_access", "client_access", _CLIENT, "t.reference"),
    SealedColumn("client_session", "sealed_refresh", "client_refresh", _CLIENT, "t.reference"),
    SealedColumn("batch_part", "sealed_url", "upload_url", _SESSION_CLIENT, "t.session_id || '/' || t.ordinal"),
)


@dataclass(frozen=True, slots=True)
class SealedValue:
    """One sealed value and where it belongs."""

    place: SealedColumn
    row_id: int
    blob: bytes
    client: str
    row: str


def triggers() -> list[str]:
    """The statements that make whatever is stored under another key than the office's known; harmless when repeated."""
    statements = []
    for sealed in SEALED:
        if sealed.json_key:
            value = f"json_extract(NEW.{sealed.column}, '$.{sealed.json_key}')"
            stale = (
                f"{value} IS NOT NULL AND substr({value}, 1, 2 * length(o.seal_header)) <> lower(hex(o.seal_header))"
            )
        else:
            value = f"NEW.{sealed.column}"
            stale = f"length({value}) > 0 AND substr({value}, 1, length(o.seal_header)) <> o.seal_header"
        for event, when in (("inserted", "INSERT"), ("updated", f"UPDATE OF {sealed.column}")):
            statements.append(
                f"CREATE TRIGGER IF NOT EXISTS {sealed.table}_{sealed.column}_stale_{event} AFTER {when} ON {sealed.table} "
                f"WHEN EXISTS (SELECT 1 FROM office o WHERE {stale}) BEGIN "
                f"INSERT OR IGNORE INTO stale_seal VALUES ('{sealed.table}', '{sealed.column}', NEW.rowid); END"
            )
    return statements


def header(connection: sqlite3.Connection) -> bytes:
    """What the blobs of the data key in force begin with."""
    found: bytes = connection.execute("SELECT seal_header FROM office").fetchone()[0]
    return found


def set_header(connection: sqlite3.Connection, new: bytes) -> None:
    """Another data key is in force from the end of this transaction on."""
    connection.execute("UPDATE office SET seal_header = ?", (new,))


def values(
    connection: sqlite3.Connection, only: SealedColumn | None = None, row_id: int | None = None
) -> Iterator[SealedValue]:
    """All sealed values, or those of one column, or the one of a row. Nothing is read twice, so they may be replaced."""
    for place in SEALED if only is None else (only,):
        where = "" if row_id is None else " AND t.rowid = :row_id"
        rows = connection.execute(
            f"SELECT t.rowid, t.{place.column}, {place.client}, {place.row} FROM {place.table} t "
            f"WHERE length(t.{place.column}) > 0{where} ORDER BY t.rowid",
            {"row_id": row_id},
        ).fetchall()
        for row in rows:
            blob = _blob(place, row[1])
            if blob is not None:
                yield SealedValue(place, row[0], blob, row[2], row[3])


def replace(connection: sqlite3.Connection, value: SealedValue, blob: bytes) -> None:
    """The same secret, sealed anew."""
    place = value.place
    new: bytes | str = blob
    if place.json_key:
        [stored] = connection.execute(
            f"SELECT {place.column} FROM {place.table} WHERE rowid = ?",
            (value.row_id,),
        ).fetchone()
        new = json.dumps({**json.loads(stored), place.json_key: blob.hex()})
    connection.execute(f"UPDATE {place.table} SET {place.column} = ? WHERE rowid = ?", (new, value.row_id))


def stale(connection: sqlite3.Connection) -> list[tuple[SealedColumn, int]]:
    """What was stored under another key than the office's: columns and rows."""
    known = {(sealed.table, sealed.column): sealed for sealed in SEALED}
    return [(known[row[0], row[1]], row[2]) for row in connection.execute("SELECT * FROM stale_seal").fetchall()]


def forget_stale(connection: sqlite3.Connection) -> None:
    """All of it is sealed anew."""
    connection.execute("DELETE FROM stale_seal")


def _blob(place: SealedColumn, stored: bytes | str) -> bytes | None:
    if not place.json_key:
        return stored if isinstance(stored, bytes) else stored.encode()
    found = json.loads(stored).get(place.json_key)
    return None if found is None else bytes.fromhex(found)
