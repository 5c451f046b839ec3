"""One thing found in an invoice file."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lxml import etree


@dataclass(frozen=True, slots=True)
class Finding:
    """What is wrong, or worth a look.

    `code` is stable and in English; `message` is one Polish sentence; `path` names the field from the root
    (`Fa/FaWiersz[2]/P_12`, empty: the file as a whole); `line` is the line of the file, when there is one.
    """

    code: str
    message: str
    path: str = ""
    line: int | None = None


def line_of(element: etree._Element | None) -> int | None:
    """The line of the file on which an element begins."""
    line: Any = element.sourceline if element is not None else None
    return int(line) if line else None
