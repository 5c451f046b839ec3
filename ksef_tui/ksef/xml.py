"""Reading XML from outside: no entities, no network, no DTD, nothing huge."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lxml.etree import _Element


def parse(body: bytes) -> _Element:
    """The root of a document; raises ValueError when it is not well-formed or has a DOCTYPE."""
    from lxml import etree

    parser = etree.XMLParser(resolve_entities=False, no_network=True, load_dtd=False, huge_tree=False)
    try:
        root = etree.fromstring(body, parser)
    except etree.XMLSyntaxError as error:
        raise ValueError("not well-formed") from error
    info: Any = root.getroottree().docinfo
    if info.doctype:
        raise ValueError("DOCTYPE")
    return root
