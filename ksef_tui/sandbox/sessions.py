"""Sessions: what both kinds share, and the interactive ones (facts §8). What was sent is judged by `processing`."""

from __future__ import annotations

import base64
import hashlib
import sqlite3

from ksef_tui.sandbox.clock import HOUR, iso, now_ms
from ksef_tui.sandbox.errors import BadRequest, foreign_resource
from ksef_tui.sandbox.fields import Fields, invalid
from ksef_tui.sandbox.keys import SYMMETRIC
from ksef_tui.sandbox.numbers import reference
from ksef_tui.sandbox.quota import context_limits
from ksef_tui.sandbox.rights import ENFORCEMENT, INTROSPECTION, INVOICE_WRITE, PEF_INVOICE_WRITE, identities
from ksef_tui.sandbox.web import Call, Endpoint, Reply

ONLINE, BATCH = "Online", "Batch"
_LIFE = 12 * HOUR
_FORM = {"systemCode": "FA (3)", "schemaVersion": "1-0E", "value": "FA"}
_SENDING = (INVOICE_WRITE, PEF_INVOICE_WRITE, ENFORCEMENT)
OPEN = 100
_PROCESSED = {ONLINE: 170, BATCH: 150}


def begin(call: Call, kind: str, fields: Fields) -> tuple[str, int]:
    """A new session of the kind: its number and the moment of opening.

    A key that cannot be decrypted shows only after the opening, as status 415. Raises BadRequest(21405, 21470).
    """
    who, now = call.who, now_ms()
    form = fields.inner("formCode")
    for name, value in _FORM.items():
        if form.text(name) != value:
            raise invalid(
                form.name(name), f"piaskownica przyjmuje tylko {_FORM['systemCode']} {_FORM['schemaVersion']}."
            )
    encryption = fields.inner("encryption")
    vector = encryption.binary("initializationVector", 16)
    wrapped = encryption.binary("encryptedSymmetricKey")
    key_id = encryption.text("publicKeyId", 44, 44) if encryption.has("publicKeyId") else None
    key = call.sandbox.keys.decrypt(SYMMETRIC, wrapped, key_id)
    if call.sandbox.faults.strike("key_unreadable", call.method, call.path):
        key = None
    number = reference("SO" if kind == ONLINE else "SB")
    call.state.insert(
        "session",
        ref=number,
        kind=kind,
        context_type=who.context[0],
        context_value=who.context[1],
        subject_type=who.subject[0],
        subject_value=who.subject[1],
        auth_ref=who.ref,
        key=key if key is not None and len(key) == 32 else None,
        iv=vector,
        checks_nip=int("subject-identifier-validation" in call.headers.get("X-KSeF-Feature", "")),
        created=now,
        updated=now,
        due=call.due() if key is not None else now,
        valid_until=now + _LIFE,
    )
    return number, now


def open_online(call: Call) -> Reply:
    """`POST /sessions/online`."""
    number, opened = begin(call, ONLINE, call.fields())
    return Reply(201, {"referenceNumber": number, "validUntil": iso(opened + _LIFE)})


def status_code(row: sqlite3.Row) -> int:
    """The status of a session: the final code, or open, or closed and being processed."""
    if row["code"] is not None:
        return int(row["code"])
    return _PROCESSED[row["kind"]] if row["closed"] is not None else OPEN


def find(call: Call) -> sqlite3.Row:
    """The session of the path, if this login may see it.

    Raises BadRequest(21173), or Forbidden when it is another context's, or another subject's and the login
    is neither the owner of the context nor has Introspection (facts §7.1).
    """
    number, who = call.params["reference"], call.who
    row = call.state.row("SELECT * FROM session WHERE ref = ?", number)
    hidden = call.sandbox.faults.strike("not_found_after_open", call.method, call.path)
    if row is None or hidden:
        raise BadRequest(21173, f"Sesja o numerze referencyjnym {number} nie została odnaleziona.")
    if (row["context_type"], row["context_value"]) != who.context:
        raise foreign_resource()
    own = (row["subject_type"], row["subject_value"]) in identities(call.state, who.subject)
    if not own and not who.owner and INTROSPECTION not in who.permissions:
        raise foreign_resource()
    return row


def send(call: Call) -> Reply:
    """`POST /sessions/online/{referenceNumber}/invoices`: taken, not yet judged."""
    row = find(call)
    if call.sandbox.faults.strike("session_unavailable", call.method, call.path):
        raise BadRequest(21184, f"Sesja o numerze referencyjnym {row['ref']} jest tymczasowo niedostępna.")
    if row["kind"] != ONLINE:
        raise BadRequest(21173, f"Sesja o numerze referencyjnym {row['ref']} nie została odnaleziona.")
    code = status_code(row)
    if code != OPEN:
        raise BadRequest(21180, f"Status sesji {code} uniemożliwia wysyłkę faktur.")
    limit = context_limits(call.state, ":".join(call.who.context))["onlineSession"]["maxInvoices"]
    if row["invoices"] >= limit:
        text = f"Sesja o numerze referencyjnym {row['ref']} osiągnęła dozwolony limit liczby faktur {limit}."
        raise BadRequest(21155, text)
    fields = call.fields()
    digest, size = fields.digest("invoiceHash"), fields.integer("invoiceSize", 1, 2**62)
    encrypted_digest = fields.digest("encryptedInvoiceHash")
    encrypted_size = fields.integer("encryptedInvoiceSize", 1, 2**62)
    content = fields.binary("encryptedInvoiceContent")
    offline = fields.flag("offlineMode", default=False)
    corrected = fields.digest("hashOfCorrectedInvoice") if fields.has("hashOfCorrectedInvoice") else None
    if len(content) != encrypted_size:
        raise BadRequest(21402, "Długość treści nie zgadza się z rozmiarem pliku.")
    if base64.b64encode(hashlib.sha256(content).digest()).decode("ascii") != encrypted_digest:
        raise BadRequest(21403, "Skrót treści nie zgadza się ze skrótem pliku.")
    if corrected is not None:
        _check_correction(call, corrected, offline)
    number, now = reference("EE"), now_ms()
    call.state.insert(
        "invoice",
        ref=number,
        session_ref=row["ref"],
        ordinal=row["invoices"] + 1,
        hash=digest,
        size=size,
        content=content,
        offline=int(offline),
        corrected_hash=corrected,
        received=now,
        invoicing=now,
        due=max(call.due(), row["due"]),
    )
    call.state.run("UPDATE session SET invoices = invoices + 1, updated = ? WHERE ref = ?", now, row["ref"])
    return Reply(202, {"referenceNumber": number})


def _check_correction(call: Call, corrected: str, offline: bool) -> None:
    """A technical correction: of an offline invoice that KSeF did not take, once (facts §13)."""
    if not offline:
        raise invalid("hashOfCorrectedInvoice", "korekta techniczna jest możliwa tylko dla faktur offline.")
    sql = "SELECT 1 FROM invoice WHERE {} = ? AND ksef_number IS NOT NULL"
    if call.state.value(sql.format("hash"), corrected):
        raise BadRequest(21167, "Nie można wysłać korekty technicznej do prawidłowo przetworzonej faktury.")
    if call.state.value(sql.format("corrected_hash"), corrected):
        raise BadRequest(21166, "Faktura posiada już przetworzoną prawidłowo korektę techniczną.")


def close_online(call: Call) -> Reply:
    """`POST /sessions/online/{referenceNumber}/close`."""
    row = find(call)
    code = status_code(row)
    if row["kind"] != ONLINE:
        raise BadRequest(21173, f"Sesja o numerze referencyjnym {row['ref']} nie została odnaleziona.")
    if code != OPEN:
        raise BadRequest(21180, f"Status sesji {code} uniemożliwia jej zamknięcie.")
    now = now_ms()
    sql = "UPDATE session SET closed = ?, updated = ?, due = ? WHERE ref = ?"
    call.state.run(sql, now, now, call.due(), row["ref"])
    return Reply(204)


ENDPOINTS = (
    Endpoint("POST", "/sessions/online", open_online, any_of=_SENDING, group="onlineSession"),
    Endpoint("POST", "/sessions/online/{reference}/invoices", send, any_of=_SENDING, group="invoiceSend"),
    Endpoint("POST", "/sessions/online/{reference}/close", close_online, any_of=_SENDING, group="onlineSessionClose"),
)
