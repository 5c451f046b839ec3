"""A corrected file takes the place of an invoice that is invalid or was refused (design §5 `replace with file`).

All or nothing, in one transaction: the old one is `replaced` and names the new one, the new one waits for approval. The
own-duplicate guard sees only the new one.
"""

from __future__ import annotations

import hashlib
import sqlite3
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ksef_tui.domain.invoices import INVOICE_BADGES, InvoiceState, normal_number
from ksef_tui.domain.problems import Problem
from ksef_tui.domain.repair import Swap, why_no_swap
from ksef_tui.domain.roles import Act, Operator, may, require
from ksef_tui.services import importing
from ksef_tui.services.guards import Stop, guard_new
from ksef_tui.services.incoming_files import MAX_FILE_BYTES, TOO_BIG, candidates
from ksef_tui.services.office import Office
from ksef_tui.store import documents, invoices, offices
from ksef_tui.store.records import audit

if TYPE_CHECKING:
    from ksef_tui.fa3.check import Checked

S = InvoiceState


@dataclass(frozen=True, slots=True)
class Preview:
    """The file beside the invoice whose place it is to take. `refusal`: why it may not; `asked`: a person may say that it
    shall all the same."""

    invoice_id: int
    file: str
    data: bytes
    old_number: str
    number: str
    issue_date: str
    buyer: str
    gross: str
    currency: str
    errors: tuple[str, ...]
    warnings: tuple[str, ...]
    code: str = ""
    refusal: str = ""
    asked: bool = False


def read_file(path: Path) -> tuple[str, bytes]:
    """The one invoice in a file. Raises Problem("bad_file")."""
    found = [] if path.is_dir() else list(candidates([path]))
    if len(found) != 1:
        raise Problem("bad_file", "Wskaż jeden plik XML: fakturę zastępuje jedna faktura.")
    [one] = found
    if one.data is None:
        raise Problem("bad_file", f"{one.name}: {one.error}.")
    return one.name, one.data


def preview(
    office: Office, operator: Operator, invoice_id: int, file: str, data: bytes, *, number_may_differ: bool = False
) -> Preview:
    """Check a file with all checks, and whether it may take the invoice's place; nothing is written.

    Raises Problem("unknown_invoice"), Problem("not_allowed"), Problem("bad_file").
    """
    row = _invoice(office, operator, invoice_id)
    checked = _checked(office, row, data)
    swap = _swap(office, row, data, checked, number_may_differ)
    rule = why_no_swap(swap)
    columns = importing.columns_of(file, data, checked)
    return Preview(
        invoice_id=invoice_id, file=columns["file"], data=data, old_number=row["number"], number=columns["number"],
        issue_date=columns["issue_date"], buyer=columns["buyer"], gross=columns["gross"], currency=columns["currency"],
        errors=importing.sentences(checked.errors), warnings=importing.sentences(checked.warnings),
        code=rule.code if rule is not None else "", refusal=rule.says(swap) if rule is not None else "",
        asked=rule is not None and rule.asked,
    )  # fmt: skip


def replace(
    office: Office, operator: Operator, invoice_id: int, file: str, data: bytes, *, number_may_differ: bool = False
) -> int:
    """Put the file in the invoice's place; the new invoice's id.

    Raises Problem with the code of the rule that forbids it (`domain.repair.SWAP_RULES`), and as `preview` does.
    """
    row = _invoice(office, operator, invoice_id)
    checked = _checked(office, row, data)
    columns = importing.columns_of(file, data, checked)
    with office.db.write() as connection:
        row = _invoice(office, operator, invoice_id)  # as it is now, while nobody else writes
        swap = _swap(office, row, data, checked, number_may_differ)
        rule = why_no_swap(swap)
        if rule is not None:
            raise Problem(rule.code, rule.says(swap))
        now, named = office.clock(), row["number"] or row["file"]
        sha256 = documents.put(connection, data)
        values = {**columns, "state": S.WAITING, "reason_code": "", "reason": "", "sha256": sha256}
        new_id = invoices.insert(
            connection, now, operator.id, {**values, "client_id": row["client_id"]},
            why=f"zastępuje {named} (nr wewn. {invoice_id})",
        )  # fmt: skip
        said = f"zastąpiona przez {columns['number']} (nr wewn. {new_id}), plik {columns['file']}"
        invoices.move(
            connection, now, invoice_id, "replace", S(row["state"]), S.REPLACED,
            operator_id=operator.id, reason_code="replaced", reason=said, replaced_by=new_id,
        )  # fmt: skip
        for one, detail in ((invoice_id, {"replaced_by": new_id}), (new_id, {"replaces": invoice_id})):
            audit(
                connection, now, operator, Act.INVOICE_REPLACE,
                client_id=row["client_id"], invoice_id=one, file=columns["file"], **detail,
            )  # fmt: skip
    return new_id


def _invoice(office: Office, operator: Operator, invoice_id: int) -> sqlite3.Row:
    row = invoices.get(office.db, invoice_id)
    if row is None or not may(operator, Act.SEE, row["client_id"]):
        raise Problem("unknown_invoice", f"Nie ma faktury {invoice_id}.")
    require(operator, Act.INVOICE_REPLACE, row["client_id"])
    return row


def _checked(office: Office, row: sqlite3.Row, data: bytes) -> Checked:
    if len(data) > MAX_FILE_BYTES:
        raise Problem("bad_file", f"{TOO_BIG[0].upper()}{TOO_BIG[1:]}.")
    client = offices.client(office.db, row["client_id"])
    assert client is not None
    return importing.check_document(office, data, client["nip"])


def _swap(office: Office, row: sqlite3.Row, data: bytes, checked: Checked, number_may_differ: bool) -> Swap:
    sha256 = hashlib.sha256(data).hexdigest()
    known = invoices.by_bytes(office.db, row["client_id"], sha256)
    other = known is not None and known["id"] != row["id"]
    new_number = checked.facts.number if checked.facts is not None else ""
    stop = _stop(office, row, new_number) if new_number else None
    return Swap(
        state=S(row["state"]), reason_code=row["reason_code"], number=row["number"], new_number=new_number,
        same_bytes=sha256 == row["sha256"], known_as=_in_words(known) if known is not None and other else "",
        errors=importing.sentences(checked.errors), stopped=stop.message if stop is not None else "",
        number_may_differ=number_may_differ,
    )  # fmt: skip


def _stop(office: Office, row: sqlite3.Row, number: str) -> Stop | None:
    """What stops the new invoice. The old one holds no number: it is invalid, or refused, or its number must not stay."""
    return guard_new(office, row["client_id"], number_key=normal_number(number))


def _in_words(row: sqlite3.Row) -> str:
    return f"{row['number'] or row['file']} (nr wewn. {row['id']}, {INVOICE_BADGES[S(row['state'])].label})"
