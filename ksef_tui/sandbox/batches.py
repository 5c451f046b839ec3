"""Batch sessions: open and close (facts §9). Parts come by `uploads`, `unpacking` opens the package."""

from __future__ import annotations

import sqlite3
from typing import Any

from ksef_tui.sandbox.clock import MINUTE, now_ms
from ksef_tui.sandbox.errors import BadRequest
from ksef_tui.sandbox.fields import Fields, invalid
from ksef_tui.sandbox.rights import ENFORCEMENT, INVOICE_WRITE
from ksef_tui.sandbox.sessions import BATCH, OPEN, begin, find, status_code
from ksef_tui.sandbox.uploads import upload_request
from ksef_tui.sandbox.web import Call, Endpoint, Reply

_COMPRESSIONS = ("Zip", "TarGz")
_LARGEST_PACKAGE = 5_000_000_000
# A part of 100 MB as AES makes it: padding adds up to a whole block.
LARGEST_PART = 100_000_000 + 16
_MOST_PARTS = 50
_UPLOAD_LIFE = 20 * MINUTE
_SENDING = (INVOICE_WRITE, ENFORCEMENT)


def open_batch(call: Call) -> Reply:
    """`POST /sessions/batch`: the package is described here and sent part by part to the URLs of the answer."""
    fields = call.fields()
    file = fields.inner("batchFile")
    size, digest = file.integer("fileSize", 1, _LARGEST_PACKAGE), file.digest("fileHash")
    compression = file.choice("compressionType", _COMPRESSIONS) if file.has("compressionType") else _COMPRESSIONS[0]
    parts = _parts(file)
    offline = fields.flag("offlineMode", default=False)
    number, opened = begin(call, BATCH, fields)
    until = opened + _UPLOAD_LIFE * len(parts)
    call.state.insert(
        "batch",
        session_ref=number,
        compression=compression,
        size=size,
        hash=digest,
        offline=int(offline),
        upload_until=until,
    )
    requests: list[dict[str, Any]] = []
    for ordinal, (part_size, part_digest) in sorted(parts.items()):
        call.state.insert("batch_part", session_ref=number, ordinal=ordinal, size=part_size, hash=part_digest)
        requests.append(upload_request(call.sandbox, number, ordinal, until))
    return Reply(201, {"referenceNumber": number, "partUploadRequests": requests})


def _parts(file: Fields) -> dict[int, tuple[int, str]]:
    """Size and hash of each encrypted part by its ordinal number. Raises BadRequest(21157, 21161, 21405)."""
    listed = file.inners("fileParts")
    if len(listed) > _MOST_PARTS:
        raise BadRequest(21161, f"Liczba części {len(listed)} przekracza dozwolone {_MOST_PARTS}.")
    parts: dict[int, tuple[int, str]] = {}
    for part in listed:
        ordinal = part.integer("ordinalNumber", 1, 2**31 - 1)
        size = part.integer("fileSize", 1, 2**62)
        if size > LARGEST_PART:
            raise BadRequest(21157, f"Rozmiar części '{ordinal}' przekracza dozwolone 100 MB przed zaszyfrowaniem.")
        parts[ordinal] = size, part.digest("fileHash")
    if sorted(parts) != list(range(1, len(listed) + 1)):
        raise invalid(file.name("fileParts"), "części muszą mieć kolejne numery od 1.")
    return parts


def close_batch(call: Call) -> Reply:
    """`POST /sessions/batch/{referenceNumber}/close`: starts the processing of the package."""
    row, now = find(call), now_ms()
    number = row["ref"]
    if row["kind"] != BATCH:
        raise BadRequest(21173, f"Sesja o numerze referencyjnym {number} nie została odnaleziona.")
    code = status_code(row)
    if code != OPEN:
        raise BadRequest(21180, f"Status sesji {code} uniemożliwia jej zamknięcie.")
    parts = call.state.rows("SELECT * FROM batch_part WHERE session_ref = ? ORDER BY ordinal", number)
    missing = next((part["ordinal"] for part in parts if part["received"] is None), None)
    if missing is not None:
        return _refuse_incomplete(call, row, missing, now)
    wrong = next((part["ordinal"] for part in parts if part["received"] != part["size"]), None)
    if wrong is not None:
        raise BadRequest(21157, f"Zadeklarowany rozmiar części '{wrong}' nie zgadza się z rzeczywistym.")
    sql = "UPDATE session SET closed = ?, updated = ?, due = ? WHERE ref = ?"
    call.state.run(sql, now, now, call.due(), number)
    return Reply(204)


def _refuse_incomplete(call: Call, row: sqlite3.Row, missing: int, now: int) -> Reply:
    """A part is not there: it may still come, or the time for it is over, which cancels the session for good."""
    until = call.state.value("SELECT upload_until FROM batch WHERE session_ref = ?", row["ref"])
    if now <= until:
        raise BadRequest(21205, f"Nie przesłano zadeklarowanej '{missing}' części pliku.")
    call.state.run("UPDATE session SET code = 440, updated = ? WHERE ref = ?", now, row["ref"])
    return Reply(refusal=BadRequest(21208, "Sesja anulowana, przekroczony czas wysyłki."))


ENDPOINTS = (
    Endpoint("POST", "/sessions/batch", open_batch, any_of=_SENDING, group="batchSession"),
    Endpoint("POST", "/sessions/batch/{reference}/close", close_batch, any_of=_SENDING, group="batchSessionClose"),
)
