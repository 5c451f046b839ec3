"""The compiled FA(3) schema and the one parser through which XML from outside goes."""

from __future__ import annotations

import re
import tempfile
import threading
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from ksef_tui.fa3.xsd_files import KNOWN_FILES, MAIN_SCHEMA, locate

if TYPE_CHECKING:
    from lxml import etree

NAMESPACE = "http://crd.gov.pl/wzor/2025/06/25/13775/"

_XSD = "http://www.w3.org/2001/XMLSchema"
_of_thread = threading.local()


def hardened_parser(*, keep_instructions: bool = False) -> etree.XMLParser:
    """A parser that neither expands entities nor fetches anything, and refuses absurd documents.

    Comments and processing instructions are dropped while parsing, so that the text of an element is always one
    piece: `<P_2>FV<!-- -->1</P_2>` means `FV1` to the schema and must mean the same to us. Indentation goes too,
    which makes parsing a tenth faster; line numbers stay. `keep_instructions` is for the one look that asks whether
    there are any.
    """
    from lxml import etree  # late: start-up does not need it

    return etree.XMLParser(
        resolve_entities=False,
        no_network=True,
        load_dtd=False,
        dtd_validation=False,
        huge_tree=False,
        remove_comments=True,
        remove_blank_text=True,
        remove_pis=not keep_instructions,
    )


@dataclass(frozen=True, slots=True)
class Fault:
    """One message of the validator: its kind (`SCHEMAV_…`), the XPath of the element, the line, the English text."""

    kind: str
    path: str | None
    line: int
    message: str


class Fa3Schema:
    """The official FA(3) schema, compiled (some 10 ms), with a parser of its own. Belongs to one thread."""

    def __init__(self, folder: Path | None = None) -> None:
        """Compiles the schema files of `folder` (None: the installed ones).

        Raises Problem("xsd_missing") and Problem("xsd_altered") as `locate` does.
        """
        from lxml import etree

        place = locate(folder)
        self._schema = _compiled(place)
        self._parser = hardened_parser()
        self._fromstring = etree.fromstring
        self._main = place / MAIN_SCHEMA

    def parse(self, data: bytes) -> etree._Element:
        """The root element; lxml.etree.XMLSyntaxError when the bytes are not well-formed."""
        return self._fromstring(data, self._parser)

    def faults(self, root: etree._Element, limit: int) -> list[Fault]:
        """What the schema says against the document, in document order, at most `limit`; empty: it is valid."""
        if self._schema.validate(root):
            return []
        return [
            Fault(entry.type_name, entry.path, entry.line, entry.message)
            for entry in islice(iter(self._schema.error_log), limit)  # type: ignore[call-overload]
        ]

    @cached_property
    def field_names(self) -> frozenset[str]:
        """The names of all fields that the schema knows."""
        return frozenset(re.findall(r'<xsd:element name="(\w+)"', self._main.read_text("utf-8")))


def _compiled(place: Path) -> etree.XMLSchema:
    """The schema of a folder. Its files name each other by addresses on the web, so copies that name each other by
    file are compiled: lxml's resolvers are no help, because every parse of any thread puts the one document loader of
    the process in place and takes it away, in the middle of a compilation too."""
    from lxml import etree

    with tempfile.TemporaryDirectory(prefix="ksef-tui-xsd-") as copies:
        for name in KNOWN_FILES:
            tree = etree.parse(str(place / name), hardened_parser())
            for link in tree.iter(f"{{{_XSD}}}import", f"{{{_XSD}}}include"):
                link.set("schemaLocation", PurePosixPath(link.get("schemaLocation", "")).name)
            tree.write(str(Path(copies) / name), encoding="utf-8")
        return etree.XMLSchema(etree.parse(str(Path(copies) / MAIN_SCHEMA), hardened_parser()))


def schema(folder: Path | None = None) -> Fa3Schema:
    """The compiled schema of this thread; compiled at the first use of each folder.

    libxml2 keeps the messages of a validation in the schema object, so two threads must not share one.
    """
    cache: dict[Path | None, Fa3Schema] | None = getattr(_of_thread, "schemas", None)
    if cache is None:
        cache = _of_thread.schemas = {}
    if folder not in cache:
        cache[folder] = Fa3Schema(folder)
    return cache[folder]
