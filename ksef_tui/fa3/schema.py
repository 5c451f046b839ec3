"""The compiled FA(3) schema and the one parser through which XML from outside goes."""

from __future__ import annotations

import re
import threading
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from ksef_tui.fa3.xsd_files import MAIN_SCHEMA, locate

if TYPE_CHECKING:
    from lxml import etree

NAMESPACE = "http://crd.gov.pl/wzor/2025/06/25/13775/"

_of_thread = threading.local()
_compiling = threading.Lock()
_TRIES = 5


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

        class Neighbours(etree.Resolver):
            """The schemas name each other by addresses on the web; the files lie side by side."""

            # the installed stubs know neither the third argument nor resolve_filename
            def resolve(self, system_url: str, public_id: str, context: Any) -> Any:  # type: ignore[override]
                return self.resolve_filename(str(place / PurePosixPath(system_url).name), context)  # type: ignore[attr-defined]

        reader = hardened_parser()
        reader.resolvers.add(Neighbours())
        self._schema = _compile(place / MAIN_SCHEMA, reader)
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


def _compile(main: Path, reader: etree.XMLParser) -> etree.XMLSchema:
    """The compiled schema.

    lxml asks a parser's resolvers through one document loader of the whole process, which every parse puts in place
    and takes away. A parse that ends in another thread in the middle of a compilation takes the loader from under it
    and the files that the schema names are not found. The files are known to be right (`locate`), so it is done again.
    """
    from lxml import etree

    with _compiling:
        for _ in range(_TRIES - 1):
            try:
                return etree.XMLSchema(etree.parse(str(main), reader))
            except etree.XMLSchemaParseError:
                continue
        return etree.XMLSchema(etree.parse(str(main), reader))


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
