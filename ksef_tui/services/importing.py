"""Import of FA(3) invoices: files, folders and ZIPs. Every file gets its row and its line; nothing is lost.

The bytes that come in are the bytes that are hashed, sent and archived (design §6 rule 8).
"""

from __future__ import annotations

import hashlib
import json
import sqlite3
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ksef_tui.domain.invoices import InvoiceState, normal_number
from ksef_tui.domain.roles import Act, Operator, require
from ksef_tui.domain.text import fold
from ksef_tui.domain.times import polish_day
from ksef_tui.services.guards import guard_new
from ksef_tui.services.incoming_files import MAX_FILE_BYTES, TOO_BIG, Candidate, candidates
from ksef_tui.services.office import Office
from ksef_tui.store import documents, invoices, offices, settings
from ksef_tui.store.records import audit

if TYPE_CHECKING:
    from ksef_tui.fa3.check import Checked

READ_AT_A_TIME = 250  # documents written in one transaction


@dataclass(frozen=True, slots=True)
class ImportRow:
    """What became of one file: the fields of `contract.md`. `state` is empty when it could not be read at all."""

    file: str
    id: int | None
    state: str
    number: str
    errors: tuple[str, ...]
    warnings: tuple[str, ...]
    reason: str = ""
    known: bool = False  # the same bytes were here before

    @property
    def is_bad(self) -> bool:
        """Whether the file was unreadable or invalid, so that the command ends with 1."""
        return self.state in ("", InvoiceState.INVALID)


Progress = Callable[[int, int], None]
Cancelled = Callable[[], bool]


def import_paths(
    office: Office,
    operator: Operator,
    client_id: int,
    paths: Sequence[Path],
    progress: Progress | None = None,
    cancelled: Cancelled | None = None,
) -> list[ImportRow]:
    """Import everything under `paths` for one client: files in the order given, folders and ZIPs by name.

    Raises Problem when the operator may not or the database cannot be written; what was read before stays.
    """
    require(operator, Act.INVOICE_IMPORT, client_id)
    total = sum(1 for _ in candidates(paths, names_only=True)) if progress else 0
    rows: list[ImportRow] = []
    batch: list[Candidate] = []
    for candidate in candidates(paths):
        if cancelled is not None and cancelled():
            break
        batch.append(candidate)
        if len(batch) == READ_AT_A_TIME:
            rows += _import_batch(office, operator, client_id, batch)
            batch = []
            if progress:
                progress(len(rows), total)
    rows += _import_batch(office, operator, client_id, batch)
    if progress:
        progress(len(rows), total)
    return rows


def import_bytes(office: Office, operator: Operator, client_id: int, name: str, data: bytes) -> ImportRow:
    """Import one document given as bytes (stdin, the demo)."""
    require(operator, Act.INVOICE_IMPORT, client_id)
    candidate = Candidate(name, data) if len(data) <= MAX_FILE_BYTES else Candidate(name, None, TOO_BIG)
    return _import_batch(office, operator, client_id, [candidate])[0]


def check_paths(office: Office, paths: Sequence[Path]) -> list[ImportRow]:
    """Only check the files, for no client in particular; nothing is written."""
    rows = []
    for candidate in candidates(paths):
        if candidate.data is None:
            rows.append(ImportRow(candidate.name, None, "", "", (candidate.error,), ()))
            continue
        checked = _check(office, candidate.data, None, _xsd_folder(office))
        state = InvoiceState.INVALID if checked.errors else InvoiceState.WAITING
        number = checked.facts.number if checked.facts else ""
        rows.append(
            ImportRow(candidate.name, None, state, number, sentences(checked.errors), sentences(checked.warnings))
        )
    return rows


def _xsd_folder(office: Office) -> Path | None:
    folder = settings.get(office.db, "xsd_folder")
    return Path(folder) if folder else None


def check_document(office: Office, data: bytes, client_nip: str) -> Checked:
    """All checks of one document for a client."""
    return _check(office, data, client_nip, _xsd_folder(office))


def _check(office: Office, data: bytes, client_nip: str | None, xsd_folder: Path | None) -> Checked:
    from ksef_tui.fa3.check import check  # late: lxml and the schema are needed only here

    return check(data, today=polish_day(office.clock()), client_nip=client_nip, xsd_folder=xsd_folder)


def sentences(findings: Sequence[object]) -> tuple[str, ...]:
    """What checks found, for people."""
    return tuple(str(getattr(f, "message", f)) for f in findings)


def _import_batch(office: Office, operator: Operator, client_id: int, batch: Sequence[Candidate]) -> list[ImportRow]:
    """Check outside the transaction, then write all rows of the batch in one."""
    if not batch:
        return []
    client = offices.client(office.db, client_id)
    assert client is not None
    folder = _xsd_folder(office)
    checked = [(c, None if c.data is None else _check(office, c.data, client["nip"], folder)) for c in batch]
    rows = []
    with office.db.write() as connection:
        for candidate, result in checked:
            if candidate.data is None or result is None:
                rows.append(ImportRow(candidate.name, None, "", "", (candidate.error,), ()))
            else:
                rows.append(_insert(office, connection, operator, client_id, candidate.name, candidate.data, result))
    return rows


def _verdict(office: Office, client_id: int, checked: Checked) -> tuple[InvoiceState, str, str]:
    """The state in which a checked document enters the queue, with the reason's code and sentence."""
    if checked.errors or checked.facts is None:
        return InvoiceState.INVALID, checked.errors[0].code, checked.errors[0].message
    stop = guard_new(
        office,
        client_id,
        number_key=normal_number(checked.facts.number),
    )
    return (InvoiceState.WAITING, "", "") if stop is None else (InvoiceState.BLOCKED, stop.code, stop.message)


def _insert(
    office: Office,
    connection: sqlite3.Connection,
    operator: Operator,
    client_id: int,
    file: str,
    data: bytes,
    checked: Checked,
) -> ImportRow:
    errors, warnings = sentences(checked.errors), sentences(checked.warnings)
    sha256 = hashlib.sha256(data).hexdigest()
    known = invoices.by_bytes(office.db, client_id, sha256)
    state, code, reason = _verdict(office, client_id, checked)
    now = office.clock()
    if known is not None:
        row = ImportRow(
            file, known["id"], known["state"], known["number"], errors, warnings, known["reason"], known=True
        )
        if known["state"] != InvoiceState.INVALID or state is InvoiceState.INVALID:
            return row
        invoices.move(
            connection, now, known["id"], "recheck", InvoiceState.INVALID, state,
            operator_id=operator.id, reason_code=code, reason=reason,
        )  # fmt: skip
        invoice_id, row = int(known["id"]), replace(row, state=state, reason=reason)
    else:
        documents.put(connection, data)
        verdict = {"state": state, "reason_code": code, "reason": reason, "sha256": sha256, "client_id": client_id}
        invoice_id = invoices.insert(connection, now, operator.id, {**columns_of(file, data, checked), **verdict})
        number = checked.facts.number if checked.facts else ""
        row = ImportRow(file, invoice_id, state, number, errors, warnings, reason)
    audit(
        connection, now, operator, Act.INVOICE_IMPORT,
        client_id=client_id, invoice_id=invoice_id, file=file, state=state,
    )  # fmt: skip
    return row


def columns_of(file: str, data: bytes, checked: Checked) -> dict[str, Any]:
    """What the queue knows of a document; empty where it could not be read."""
    findings = {"errors": sentences(checked.errors), "warnings": sentences(checked.warnings)}
    known: dict[str, Any] = {
        "file": file.rpartition("/")[2],
        "size": len(data),
        "attachment": 0,
        "findings": json.dumps(findings, ensure_ascii=False),
    }
    facts = checked.facts
    if facts is None:
        empty = ("seller_nip", "number", "number_key", "kind", "issue_date", "buyer_nip", "buyer", "gross", "currency")
        return known | dict.fromkeys((*empty, "form_code", "search"), "")
    buyer_nip = facts.buyer_nip or ""
    return known | {
        "seller_nip": facts.seller_nip,
        "number": facts.number,
        "number_key": normal_number(facts.number),
        "kind": facts.kind,
        "issue_date": facts.issue_date.isoformat(),
        "buyer_nip": buyer_nip,
        "buyer": facts.buyer,
        "gross": str(facts.gross),
        "currency": facts.currency,
        "form_code": facts.form_code,
        "attachment": int(facts.has_attachment),
        "search": fold(f"{facts.number} {facts.buyer} {buyer_nip}"),
    }
