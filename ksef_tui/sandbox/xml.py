"""Reading XML that came from outside: no entities, no network, no DTD."""

from __future__ import annotations

from lxml import etree


class UnreadableXml(ValueError):
    """Not well-formed, or it declares a document type."""


def parse(content: bytes) -> etree._ElementTree:
    """The document. Raises UnreadableXml."""
    parser = etree.XMLParser(
        resolve_entities=False, no_network=True, load_dtd=False, dtd_validation=False, huge_tree=False
    )
    try:
        root = etree.fromstring(content, parser)
    except etree.XMLSyntaxError as error:
        raise UnreadableXml(str(error)) from error
    tree = root.getroottree()
    if tree.docinfo.internalDTD is not None:
        raise UnreadableXml("Deklaracja DOCTYPE jest niedozwolona.")
    return tree
