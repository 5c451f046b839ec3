"""All that is looked at before an invoice may wait for approval, in one call.

Errors stop the invoice: facts §11, a correction without the invoice it corrects, a NIP with a wrong check digit,
another company's invoice. Warnings are shown before approval: facts §19.5 and design §6 rule 12.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ksef_tui.domain.problems import Problem
from ksef_tui.fa3 import raw, rules
from ksef_tui.fa3.explain import explain
from ksef_tui.fa3.finding import Finding, line_of
from ksef_tui.fa3.names import in_quotes
from ksef_tui.fa3.read import Document, InvoiceFacts, facts_of, parse
from ksef_tui.fa3.schema import NAMESPACE, hardened_parser, schema

if TYPE_CHECKING:
    from datetime import date
    from pathlib import Path

    from lxml import etree

__all__ = ["Checked", "Finding", "check"]

MAX_FAULTS = 50

_ROOT = f"{{{NAMESPACE}}}Faktura"
_OTHER_SCHEMAS = {
    "http://crd.gov.pl/wzor/2023/06/29/12648/": "FA(2)",
    "http://crd.gov.pl/wzor/2021/11/29/11089/": "FA(1)",
}


@dataclass(frozen=True, slots=True)
class Checked:
    """The result: what could be read (None: nothing), what forbids sending, what a person should look at."""

    facts: InvoiceFacts | None
    errors: tuple[Finding, ...]
    warnings: tuple[Finding, ...]


def check(data: bytes, *, today: date, client_nip: str | None, xsd_folder: Path | None = None) -> Checked:
    """Everything that can be said about an invoice file without asking KSeF.

    `today` is the day in Poland; `client_nip` the company in whose account it is (None: any seller will do);
    `xsd_folder` the user's own folder of schemas. The bytes are parsed once and never written again.
    Raises Problem("xsd_missing") and Problem("xsd_altered") when the schema itself is not to be had.
    """
    rulebook = schema(xsd_folder)
    root = parse(data, rulebook)
    if isinstance(root, Finding):
        return Checked(None, (root,), ())
    errors = _file_errors(data)
    stranger = _wrong_document(root)
    if stranger is not None:
        return Checked(None, (*errors, stranger), ())
    faults = rulebook.faults(root, MAX_FAULTS)
    if faults:
        errors += explain(faults, root, rulebook.field_names)
    doc = Document(root)
    errors += _size_error(data, doc)
    facts = _facts(doc)
    errors += rules.errors(doc, facts, today=today, client_nip=client_nip)
    warnings = rules.warnings(doc, facts, today=today) if facts is not None and not faults else ()
    odd = raw.discouraged_characters(data)
    return Checked(facts, errors, warnings if odd is None else (*warnings, odd))


def _file_errors(data: bytes) -> tuple[Finding, ...]:
    """What KSeF refuses in the file as such, though it is XML (facts §11)."""
    found = []
    bom = raw.bom_fault(data)
    if bom is not None:
        found.append(bom)
    if (
        data.find(b"?", data.find(b"?>") + 2) >= 0 and data.find(b"<?", 2) >= 0
    ):  # perhaps in a comment only, so the parser is asked; rare enough to parse again
        from lxml import etree

        kept = etree.fromstring(data, hardened_parser(keep_instructions=True))
        for instruction in _instructions(kept):
            found.append(
                Finding(
                    "processing_instruction",
                    "Plik ma instrukcję przetwarzania <?…?>, a KSeF jej nie przyjmuje.",
                    line=line_of(instruction),
                )
            )
            break
    return tuple(found)


def _instructions(root: etree._Element) -> list[etree._Element]:
    found: Any = root.xpath("//processing-instruction()")
    return list(found)


def _wrong_document(root: etree._Element) -> Finding | None:
    if root.tag == _ROOT:
        return None
    space, _, name = root.tag.rpartition("}")
    space = space.removeprefix("{")
    line = line_of(root)
    if space in _OTHER_SCHEMAS:
        old = _OTHER_SCHEMAS[space]
        return Finding("wrong_schema", f"Faktura jest w starym wzorze {old}, a KSeF przyjmuje FA(3).", line=line)
    if name == "Faktura":
        what = f"ma przestrzeń nazw {in_quotes(space)}" if space else "nie ma przestrzeni nazw"
        return Finding("wrong_schema", f"Faktura {what}, a FA(3) ma „{NAMESPACE}”.", line=line)
    return Finding("wrong_schema", f"To nie jest faktura FA(3): dokument zaczyna się od {in_quotes(name)}.", line=line)


def _size_error(data: bytes, doc: Document) -> tuple[Finding, ...]:
    if len(data) <= raw.MAX_BYTES or doc.has_attachment:
        return ()
    return (raw.too_big(len(data), raw.MAX_BYTES, "bez załącznika"),)


def _facts(doc: Document) -> InvoiceFacts | None:
    try:
        return facts_of(doc)
    except Problem:
        return None  # the schema's faults already say which field is missing
