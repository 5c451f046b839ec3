"""What is wrong with one invoice, what it means, and what can be done: for the menu, the details and `queue explain`."""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass

from ksef_tui.domain.invoices import COLLISION, INVOICE_BADGES, InvoiceState
from ksef_tui.domain.problems import Problem
from ksef_tui.domain.repair import (
    MEANINGS,
    READ_TOO_EARLY,
    Broken,
    Difference,
    Document,
    Meaning,
    WayRule,
    differences,
    menu,
)
from ksef_tui.domain.roles import Act, Operator, may
from ksef_tui.domain.times import from_text, warsaw
from ksef_tui.services import approving, collisions
from ksef_tui.services.office import Office
from ksef_tui.store import collisions as stored_collisions
from ksef_tui.store import documents, invoices

S = InvoiceState


@dataclass(frozen=True, slots=True)
class Comparison:
    """Ours beside what KSeF has under its number. `missing`: why the document itself is not here; `reading`: it will be."""

    ksef_number: str
    ours: Document | None
    theirs: Document | None
    differences: tuple[Difference, ...]
    missing: str
    reading: bool


@dataclass(frozen=True, slots=True)
class Explanation:
    """One invoice: its code with its meaning, and every way with why it is shut (None: open), the best first."""

    invoice_id: int
    client_id: int
    number: str
    state: InvoiceState
    reason_code: str
    reason: str
    meaning: Meaning
    ways: tuple[tuple[WayRule, str | None], ...]
    settled: bool
    replaces: str
    replaced_by: str
    comparison: Comparison | None


def meaning(state: InvoiceState, code: str, settled: bool = False) -> Meaning | None:
    """What a code means in Polish and what to do about it; None for an invoice with which nothing is wrong."""
    if settled and state is S.REJECTED:
        return MEANINGS["settled"]
    if state is S.REJECTED and code.isdigit():
        from ksef_tui.ksef.codes import invoice_code

        known = invoice_code(int(code))
        return Meaning(known.sentence, known.what_to_do)
    if (state, code) == (S.INVALID, "future_date"):
        return READ_TOO_EARLY
    if state is S.INVALID:
        return Meaning(
            "Plik nie przeszedł kontroli programu – KSeF też by go nie przyjął.",
            "Popraw fakturę w programie, który ją wystawił, i zastąp plik (F4).",
        )
    if state is S.BLOCKED:
        return MEANINGS.get(code) or Meaning(
            "Kontrola programu nie pozwala jej wysłać.", "Usuń przyczynę i zwolnij fakturę (p), albo ją wycofaj (x)."
        )
    return None


def explain(office: Office, operator: Operator, invoice_id: int) -> Explanation:
    """Everything for the menu. Raises Problem("unknown_invoice")."""
    row = invoices.get(office.db, invoice_id)
    if row is None or not may(operator, Act.SEE, row["client_id"]):
        raise Problem("unknown_invoice", f"Nie ma faktury {invoice_id}.")
    state = S(row["state"])
    settled = row["settled_at"] is not None and state is S.REJECTED
    before, after = links(office, row)
    return Explanation(
        invoice_id=invoice_id, client_id=row["client_id"], number=row["number"] or row["file"], state=state,
        reason_code=row["reason_code"], reason=row["reason"],
        meaning=meaning(state, row["reason_code"], settled) or Meaning("Z tą fakturą nic nie trzeba robić.", ""),
        ways=tuple(menu(_broken(office, row, settled))), settled=settled, replaces=before, replaced_by=after,
        comparison=compare(office, row),
    )  # fmt: skip


def _broken(office: Office, row: sqlite3.Row, settled: bool) -> Broken:
    holder = ""
    if row["state"] == S.BLOCKED and row["reason_code"] == "own_duplicate":
        other = invoices.occupying(office.db, row["client_id"], row["number_key"], row["id"])
        holder = "" if other is None else in_words(other)
    no_retry = approving.why_no_retry(office, row) if row["state"] == S.REJECTED else None
    return Broken(S(row["state"]), row["reason_code"], settled, holder, no_retry or "")


def links(office: Office, row: sqlite3.Row) -> tuple[str, str]:
    """In words: the invoice whose place it took, and the one that took its place; empty where there is none."""
    before = invoices.replaced_from(office.db, row["id"])
    after = invoices.get(office.db, row["replaced_by"]) if row["replaced_by"] is not None else None
    return _of_the_same_client(row, before), _of_the_same_client(row, after)


def _of_the_same_client(row: sqlite3.Row, other: sqlite3.Row | None) -> str:
    """A link to another client's invoice was made by hand in the database: nobody is told of that invoice."""
    return in_words(other) if other is not None and other["client_id"] == row["client_id"] else ""


def in_words(row: sqlite3.Row) -> str:
    """`FV/12 z 24.11.2026, odrzucona (nr wewn. 7)`."""
    when = f"{warsaw(from_text(row['created_at'])):%d.%m.%Y}"
    return f"{row['number'] or row['file']} z {when}, {INVOICE_BADGES[S(row['state'])].label} (nr wewn. {row['id']})"


def compare(office: Office, row: sqlite3.Row) -> Comparison | None:
    """Ours beside KSeF's, for an invoice whose number another document has there; None for any other."""
    known = stored_collisions.get(office.db, row["id"])
    if known is None or row["reason_code"] != COLLISION or row["state"] != S.REJECTED:
        return None
    number, theirs, missing = collisions.original(office, row)
    ours = collisions.written(documents.get(office.db, row["sha256"]))
    return Comparison(
        ksef_number=number, ours=ours, theirs=theirs,
        differences=tuple(differences(ours, theirs)) if ours is not None and theirs is not None else (),
        missing=missing, reading=bool(known["wanted"]),
    )  # fmt: skip


def _written(field: str, value: str) -> str:
    """As people write it: `24.11.2026`, `1230,50`."""
    if field == "brutto":
        return value.replace(".", ",")
    return ".".join(reversed(value.split("-"))) if field == "data wystawienia" else value


def in_sentences(compared: Comparison) -> tuple[str, ...]:
    """What KSeF has, and in what ours differs, for a person."""
    theirs = compared.theirs
    said = [f"W KSeF: {compared.ksef_number}"] if compared.ksef_number else []
    if theirs is not None:
        buyer = f"{theirs.buyer} (NIP {theirs.buyer_nip})" if theirs.buyer_nip else theirs.buyer
        day, gross = _written("data wystawienia", theirs.issue_date), _written("brutto", theirs.gross)
        said.append(f"{theirs.number} z {day}, brutto {gross} {theirs.currency}, nabywca {buyer}")
        said += [
            f"{one.field}: u nas {_written(one.field, one.ours)}, w KSeF {_written(one.field, one.theirs)}"
            for one in compared.differences
        ]
        if not compared.differences:
            said.append("Te pola są takie same; pliki różnią się czymś innym.")
    elif not compared.missing and not compared.reading:
        said.append("Tej faktury z KSeF program nie umie odczytać (inny wzór).")
    if compared.missing:
        said.append(compared.missing[0].upper() + compared.missing[1:] + ".")
    elif compared.reading:
        said.append("Program czyta tę fakturę z KSeF.")
    return tuple(said)
