"""Import of FA(3) invoices: files, folders and ZIPs. Every file gets its row and its line; nothing is lost.

The bytes that come in are the bytes that are hashed, sent and archived (design §6 rule 8).
"""

from __future__ import annotations

import hashlib
import json
import sqlite3
import stat
import zipfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from ksef_tui.domain.invoices import InvoiceState, normal_number
from ksef_tui.domain.roles import Act, Operator, require
from ksef_tui.domain.text import fold
from ksef_tui.domain.times import polish_day
from ksef_tui.services.guards import guard_new
from ksef_tui.services.office import Office
from ksef_tui.store import documents, invoices, offices, settings
from ksef_tui.store.records import audit

if TYPE_CHECKING:
    from ksef_tui.fa3.check import Checked

MAX_FILE_BYTES = 3_000_000  # the largest invoice KSeF takes, with attachment (facts §11)
MAX_ZIP_MEMBERS = 10_000
READ_AT_A_TIME = 100  # documents written in one transaction


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


@dataclass(frozen=True, slots=True)
class Candidate:
    """A file's bytes, or why there are none."""

    name: str
    data: bytes | None
    error: str = ""


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
    return _import_batch(office, operator, client_id, [Candidate(name, data)])[0]


def check_paths(office: Office, paths: Sequence[Path]) -> list[ImportRow]:
    """Only check the files, for no client in particular; nothing is written."""
    rows = []
    for candidate in candidates(paths):
        if candidate.data is None:
            rows.append(ImportRow(candidate.name, None, "", "", (candidate.error,), ()))
            continue
        checked = _check(office, candidate.data, None)
        state = InvoiceState.INVALID if checked.errors else InvoiceState.WAITING
        number = checked.facts.number if checked.facts else ""
        rows.append(
            ImportRow(candidate.name, None, state, number, _sentences(checked.errors), _sentences(checked.warnings))
        )
    return rows


def candidates(paths: Sequence[Path], *, names_only: bool = False) -> Iterator[Candidate]:
    """The files under `paths`, one at a time: XML files, folders (by name, with subfolders), ZIPs (by name)."""
    for path in paths:
        if path.is_dir():
            inside = sorted(p for p in path.rglob("*") if p.suffix.lower() in (".xml", ".zip") and p.is_file())
            if not inside:
                yield Candidate(str(path), None, "w katalogu nie ma plików XML ani ZIP")
            for file in inside:
                yield from _file(file, names_only)
        else:
            yield from _file(path, names_only)


def _file(path: Path, names_only: bool) -> Iterator[Candidate]:
    try:
        info = path.stat()
        if not stat.S_ISREG(info.st_mode):  # a pipe or a device may never end
            yield Candidate(str(path), None, "to nie jest zwykły plik")
        elif path.suffix.lower() == ".zip":
            yield from _zip(path, names_only)
        elif info.st_size > MAX_FILE_BYTES:
            size = f"{info.st_size:,}".replace(",", " ")
            yield Candidate(str(path), None, f"plik ma {size} B, a KSeF przyjmuje najwyżej 3 000 000 B")
        else:
            yield Candidate(str(path), b"" if names_only else path.read_bytes())
    except FileNotFoundError:
        yield Candidate(str(path), None, "nie ma takiego pliku")
    except OSError as error:
        yield Candidate(str(path), None, f"nie można odczytać pliku: {error.strerror or error}")


def _zip(path: Path, names_only: bool) -> Iterator[Candidate]:
    try:
        with zipfile.ZipFile(path) as archive:
            members = sorted(
                (m for m in archive.infolist() if not m.is_dir() and m.filename.lower().endswith(".xml")),
                key=lambda m: m.filename,
            )
            if not members:
                yield Candidate(str(path), None, "w archiwum nie ma plików XML")
            if len(members) > MAX_ZIP_MEMBERS:
                yield Candidate(str(path), None, f"archiwum ma więcej niż {MAX_ZIP_MEMBERS} plików")
                return
            for member in members:
                name = f"{path}/{member.filename}"
                if names_only:
                    yield Candidate(name, b"")
                else:
                    yield _zip_member(archive, member, name)
    except (zipfile.BadZipFile, OSError, NotImplementedError) as error:
        yield Candidate(str(path), None, f"nie można odczytać archiwum ZIP: {error}")


def _zip_member(archive: zipfile.ZipFile, member: zipfile.ZipInfo, name: str) -> Candidate:
    try:
        with archive.open(member) as stream:  # the declared size may lie, so no more than the limit is unpacked
            data = stream.read(MAX_FILE_BYTES + 1)
    except (zipfile.BadZipFile, RuntimeError, NotImplementedError, OSError, EOFError) as error:
        return Candidate(name, None, f"nie można rozpakować: {error}")
    if len(data) > MAX_FILE_BYTES:
        return Candidate(name, None, "plik jest większy niż 3 000 000 B, których KSeF nie przyjmie")
    return Candidate(name, data)


def _check(office: Office, data: bytes, client_nip: str | None) -> Checked:
    from ksef_tui.fa3.check import check  # late: lxml and the schema are needed only here

    folder = settings.get(office.db, "xsd_folder")
    return check(
        data, today=polish_day(office.clock()), client_nip=client_nip, xsd_folder=Path(folder) if folder else None
    )


def _sentences(findings: Sequence[object]) -> tuple[str, ...]:
    return tuple(str(getattr(f, "message", f)) for f in findings)


def _import_batch(office: Office, operator: Operator, client_id: int, batch: Sequence[Candidate]) -> list[ImportRow]:
    """Check outside the transaction, then write all rows of the batch in one."""
    if not batch:
        return []
    client = offices.client(office.db, client_id)
    assert client is not None
    checked = [(c, None if c.data is None else _check(office, c.data, client["nip"])) for c in batch]
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
        seller_nip=checked.facts.seller_nip,
        number_key=normal_number(checked.facts.number),
        attachment=checked.facts.has_attachment,
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
    errors, warnings = _sentences(checked.errors), _sentences(checked.warnings)
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
        audit(
            connection,
            now,
            operator,
            Act.INVOICE_IMPORT,
            client_id=client_id,
            invoice_id=known["id"],
            file=file,
            state=state,
        )
        return replace(row, state=state, reason=reason)
    facts = checked.facts
    documents.put(connection, data)
    number = facts.number if facts else ""
    buyer, buyer_nip = (facts.buyer, facts.buyer_nip or "") if facts else ("", "")
    invoice_id = invoices.insert(
        connection,
        now,
        operator.id,
        {
            "client_id": client_id,
            "sha256": sha256,
            "file": Path(file).name,
            "size": len(data),
            "seller_nip": facts.seller_nip if facts else "",
            "number": number,
            "number_key": normal_number(number),
            "kind": facts.kind if facts else "",
            "issue_date": facts.issue_date.isoformat() if facts else "",
            "buyer_nip": buyer_nip,
            "buyer": buyer,
            "gross": str(facts.gross) if facts else "",
            "currency": facts.currency if facts else "",
            "form_code": facts.form_code if facts else "",
            "attachment": int(facts.has_attachment) if facts else 0,
            "search": fold(f"{number} {buyer} {buyer_nip}"),
            "state": state,
            "reason_code": code,
            "reason": reason,
            "findings": json.dumps({"errors": errors, "warnings": warnings}, ensure_ascii=False),
        },
    )
    audit(
        connection,
        now,
        operator,
        Act.INVOICE_IMPORT,
        client_id=client_id,
        invoice_id=invoice_id,
        file=file,
        state=state,
    )
    return ImportRow(file, invoice_id, state, number, errors, warnings, reason)
