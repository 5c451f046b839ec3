"""Files for people: UPOs and invoices, byte for byte as they came."""

from __future__ import annotations

import os
import re
import sqlite3
from collections.abc import Sequence
from pathlib import Path

from ksef_tui.domain.problems import Problem
from ksef_tui.domain.reasons import os_reason
from ksef_tui.domain.roles import Act, Operator, may, require
from ksef_tui.services.guards import is_anothers
from ksef_tui.services.office import Office
from ksef_tui.store import documents, invoices
from ksef_tui.store.records import audit

_MONTH = re.compile(r"\d{4}-(0[1-9]|1[0-2])")


def export_upos(
    office: Office, operator: Operator, to: Path, *, client_id: int | None = None, month: str | None = None
) -> int:
    """Write `<KSeF number>.xml` for each saved UPO; the count. `month` (YYYY-MM) is that of the issue date.

    Raises Problem: bad month, a folder that cannot be written.
    """
    if client_id is None:
        client_id = operator.client_id
    require(operator, Act.UPO_EXPORT, client_id)
    if month is not None and not _MONTH.fullmatch(month):
        raise Problem("bad_month", f"Miesiąc ma mieć postać RRRR-MM, a jest: {month}.")
    rows = office.db.rows(
        "SELECT id, number, sha256, ksef_number, upo_sha256 FROM invoice WHERE state = 'accepted' AND upo = 'saved' "
        "AND (:client IS NULL OR client_id = :client) AND (:month IS NULL OR substr(issue_date, 1, 7) = :month) ORDER BY id",
        {"client": client_id, "month": month},
    )
    folder = _folder(to)
    strange = [row for row in rows if not _write_upo(office, folder, row)]
    with office.db.write() as connection:
        audit(connection, office.clock(), operator, Act.UPO_EXPORT, client_id=client_id, count=len(rows), month=month)
    if strange:
        named = ", ".join(row["number"] for row in strange[:5])
        raise Problem(
            "other_upo",
            f"Zapisane UPO nie należy do faktury: {named}{' i innych' if len(strange) > 5 else ''} – bazę zmieniono poza "
            "programem. Tych plików nie zapisano.",
        )
    return len(rows)


def _write_upo(office: Office, folder: Path, row: sqlite3.Row) -> bool:
    """False, and nothing is written, when the receipt that is kept is that of another invoice."""
    from ksef_tui.ksef.crypto import hash_b64  # late: lxml
    from ksef_tui.ksef.upo import UpoProblem, check_upo

    body = documents.get(office.db, row["upo_sha256"])
    try:
        check_upo(body, None, row["ksef_number"], hash_b64(row["sha256"]))
    except UpoProblem:
        return False
    _write(folder / f"{row['ksef_number']}.xml", body)
    return True


def export_invoices(office: Office, operator: Operator, ids: Sequence[int], to: Path) -> list[Path]:
    """Write the documents of invoices as they came; the paths. Raises Problem for an unknown one."""
    rows = []
    for invoice_id in ids:
        row = invoices.get(office.db, invoice_id)
        if row is None or not may(operator, Act.SEE, row["client_id"]):
            raise Problem("unknown_invoice", f"Nie ma faktury {invoice_id}.")
        require(operator, Act.INVOICE_EXPORT, row["client_id"])
        rows.append(row)
    folder = _folder(to)
    paths = []
    for row in rows:
        path = folder / f"{row['ksef_number'] or row['id']}.xml"
        data = documents.get(office.db, row["sha256"])
        if is_anothers(row, data):
            raise Problem(
                "other_document", f"{row['number']}: zapisany plik jest fakturą innego sprzedawcy – nie zapisano go."
            )
        _write(path, data)
        paths.append(path)
        with office.db.write() as connection:
            audit(
                connection,
                office.clock(),
                operator,
                Act.INVOICE_EXPORT,
                client_id=row["client_id"],
                invoice_id=row["id"],
            )
    return paths


def _folder(path: Path) -> Path:
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise Problem("bad_folder", f"Nie można pisać do {path}: {os_reason(error)}.") from error
    return path


def _write(path: Path, data: bytes) -> None:
    """All of the file or nothing: written beside, then renamed."""
    partial = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        partial.write_bytes(data)
        partial.replace(path)
    except OSError as error:
        partial.unlink(missing_ok=True)
        raise Problem("cannot_write", f"Nie można zapisać {path}: {os_reason(error)}.") from error
