"""What the parser and the schema validator say in English, said in Polish with the names of the fields.

The validator's messages for the typical faults of facts §19.6 were reproduced against the official schema with
libxml2 2.14; a message of another shape still gets a sentence with the field and its value.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from ksef_tui.fa3.finding import Finding
from ksef_tui.fa3.names import field_name, in_quotes
from ksef_tui.fa3.schema import NAMESPACE

if TYPE_CHECKING:
    from collections.abc import Iterable

    from lxml import etree

    from ksef_tui.fa3.schema import Fault

# The last of the expected fields is the missing one when the schema cannot do without it.
_OBLIGATORY_NAMES = """
    KodFormularza WariantFormularza DataWytworzeniaFa Naglowek Podmiot1 Podmiot2 Fa DaneIdentyfikacyjne NIP Nazwa
    Adres  KodKraju AdresL1 JST GV RolaPU KodWaluty P_1 P_2 P_14_1 P_14_2 P_14_3 P_14_4 P_15 Adnotacje P_16 P_17
    P_18 P_18A  Zwolnienie NoweSrodkiTransportu P_23 PMarzy RodzajFaktury DaneFaKorygowanej DataWystFaKorygowanej
    NrFaKorygowanej  NrKSeFFaKorygowanej NrKSeFN NrFaZaliczkowej P_6_Do P_6Z P_15Z NrWierszaFa NrWierszaZam
    WartoscZamowienia  ZamowienieWiersz NrRB DataZaplaty Wartosc Klucz Kwota Powod NrVatUE OpisRoli OpisPlatnosci
"""
_OBLIGATORY = frozenset(_OBLIGATORY_NAMES.split())

_AMOUNTS = {"TKwotowy": 2, "TKwotowy2": 8, "TIlosci": 6, "TProcentowy": 6}
_DATES = frozenset({"TData", "TDataT", "TDataU"})
_CHOICES = {"TWybor1": "1", "TWybor1_2": "1 (tak) albo 2 (nie)"}

_PARSER_ERRORS = {
    "ERR_TAG_NAME_MISMATCH": "znacznik otwierający i zamykający do siebie nie pasują",
    "ERR_TAG_NOT_FINISHED": "plik jest urwany albo znacznik nie jest zamknięty",
    "ERR_GT_REQUIRED": "brakuje znaku >",
    "ERR_NAME_REQUIRED": "znak & albo < stoi w tekście niezapisany jako &amp; lub &lt;",
    "ERR_LT_IN_ATTRIBUTE": "znak < stoi w atrybucie niezapisany jako &lt;",
    "ERR_ENTITYREF_SEMICOL_MISSING": "znak & stoi w tekście niezapisany jako &amp;",
    "ERR_UNDECLARED_ENTITY": "użyto encji, której w XML nie ma (zapisz znak wprost)",
    "WAR_UNDECLARED_ENTITY": "użyto encji, której w XML nie ma (zapisz znak wprost)",
    "ERR_INVALID_CHAR": "jest znak sterujący, którego w XML być nie może",
    "ERR_RESERVED_XML_NAME": "deklaracja <?xml …?> nie stoi na samym początku pliku",
    "ERR_DOCUMENT_END": "za końcem faktury jest jeszcze jakaś treść",
    "ERR_DOCUMENT_EMPTY": "plik nie zaczyna się od znacznika XML",
    "ERR_RESOURCE_LIMIT": "pola są zagnieżdżone bez końca",
    "ERR_ATTRIBUTE_REDEFINED": "ten sam atrybut podano dwa razy",
    "NS_ERR_UNDEFINED_NAMESPACE": "użyto przedrostka przestrzeni nazw, którego nie zdefiniowano",
}


def not_well_formed(error: etree.XMLSyntaxError) -> Finding:
    """The sentence for a file that is not XML, with the place and, when it is a known one, the reason."""
    from lxml import etree

    line, column = error.position
    code = getattr(error, "code", None)  # the stubs do not know it
    known = (text for name, text in _PARSER_ERRORS.items() if getattr(etree.ErrorTypes, name, None) == code)
    reason = next(known, None)
    where = f"wiersz {line}, znak {column}" if line else "początek pliku"
    tail = f": {reason}" if reason else ""
    return Finding("not_xml", f"Plik nie jest poprawnym XML ({where}){tail}.", line=line or None)


def explain(faults: Iterable[Fault], root: etree._Element, known: frozenset[str]) -> tuple[Finding, ...]:
    """One sentence for each field that the schema refuses, in document order.

    `known` are the names of all fields of the schema, so that an invented one is told from a misplaced one.
    The validator often says two things about one value (its digits and its pattern); the first is kept.
    """
    found: dict[tuple[str, str], Finding] = {}
    for fault in faults:
        element = _element(root, fault.path)
        finding = _explain_one(fault, element, known)
        found.setdefault((finding.path, str(finding.line)), finding)
    return tuple(found.values())


def path_of(element: etree._Element) -> str:
    """The way to an element from the root, as people count: `Fa/FaWiersz[2]/P_12`."""
    steps: list[str] = []
    node: etree._Element | None = element
    while node is not None:
        parent = node.getparent()
        if parent is None:
            break
        name = _local(node.tag)
        same = list(parent.iterchildren(node.tag))
        steps.append(f"{name}[{same.index(node) + 1}]" if len(same) > 1 else name)
        node = parent
    return "/".join(reversed(steps)) or _local(element.tag)


def _explain_one(fault: Fault, element: etree._Element | None, known: frozenset[str]) -> Finding:
    path = path_of(element) if element is not None else ""
    tag = _local(element.tag) if element is not None else _tag_in(fault.message)
    if fault.kind == "SCHEMAV_ELEMENT_CONTENT":
        code, sentence = _content(fault.message, tag, element, known)
    else:
        code, sentence = _value(fault, tag, element)
    return Finding(code, _capital(_row_of(path) + sentence), path, fault.line or None)


def _content(message: str, tag: str, element: etree._Element | None, known: frozenset[str]) -> tuple[str, str]:
    """A field that is missing, doubled, unknown or out of order."""
    expected = _expected(message)
    subject = field_name(tag)
    if "Missing child element(s)" in message:
        return "missing_field", f"{subject}: brakuje pola: {_either(expected)}."
    if element is None:
        return "unexpected_field", f"{subject}: tego pola tu być nie może."
    if not str(element.tag).startswith(f"{{{NAMESPACE}}}"):
        return "unexpected_field", f"pole {tag} nie należy do FA(3) (ma inną przestrzeń nazw)."
    if tag not in known:
        return "unexpected_field", f"pola {tag} nie ma w FA(3)."
    if tag not in expected and element.getprevious() is not None and _stands_before(element):
        return "repeated_field", f"{subject}: pole jest podane drugi raz albo w złym miejscu."
    later = {_local(sibling.tag) for sibling in element.itersiblings()}
    misplaced = [name for name in expected if name in later]
    if misplaced:
        return "wrong_order", f"{subject}: zła kolejność pól, wcześniej ma być {field_name(misplaced[0])}."
    if expected and expected[-1] in _OBLIGATORY:
        parent = element.getparent()
        owner = field_name(_local(parent.tag)) if parent is not None else "faktura"
        return "missing_field", f"{owner}: przed polem {tag} brakuje pola: {field_name(expected[-1])}."
    allowed = f" Tu może być: {', '.join(expected[:6])}." if expected else ""
    return "unexpected_field", f"{subject}: tego pola tu być nie może.{allowed}"


def _stands_before(element: etree._Element) -> bool:
    return any(sibling.tag == element.tag for sibling in element.itersiblings(preceding=True))


def _value(fault: Fault, tag: str, element: etree._Element | None) -> tuple[str, str]:
    """A field that is there, with a value or an attribute that the schema refuses."""
    message = fault.message
    subject = field_name(tag)
    attribute = re.search(r"attribute '(?:\{[^}]*\})?([^']+)'", message)
    if attribute is not None:
        return "wrong_attribute", _attribute(message, subject, attribute[1], element)
    value = element.text if element is not None else None
    if element is not None and len(element) and fault.kind != "SCHEMAV_CVC_COMPLEX_TYPE_2_3":
        return "wrong_value", f"{subject}: w tym polu nie może być innych pól."
    if fault.kind in ("SCHEMAV_CVC_COMPLEX_TYPE_2_3", "SCHEMAV_CVC_ELT_5_1_1"):
        return "wrong_value", f"{subject}: między polami stoi tekst, którego tam być nie może."
    if not (value or "").strip():
        return "empty_field", f"{subject}: pole jest puste. Wpisz wartość albo usuń pole."
    return "wrong_value", f"{subject}: {in_quotes(value)} – {_remedy(fault, tag)}."


def _attribute(message: str, subject: str, name: str, element: etree._Element | None) -> str:
    fixed = re.search(r"fixed value constraint '([^']*)'", message)
    if fixed is not None:
        given = element.get(name) if element is not None else None
        return f"{subject}: atrybut {name} ma być {in_quotes(fixed[1])}, a jest {in_quotes(given)}."
    if "is required but missing" in message:
        return f"{subject}: brakuje atrybutu {name}."
    return f"{subject}: atrybutu {name} tu być nie może."


def _remedy(fault: Fault, tag: str) -> str:
    """What the value should be like, from the kind of the fault."""
    message = fault.message
    by_tag = {
        "NIP": "NIP ma mieć dziesięć cyfr bez kresek, spacji i bez PL",
        "P_12": "stawka to 23, 22, 8, 7, 5, 4, 3, 0 KR, 0 WDT, 0 EX, zw, oo, np I albo np II (bez znaku %)",
        "DataWytworzeniaFa": "ma być data i czas od 1.09.2025, np. 2026-02-01T10:00:00Z",
        "NrKSeFFaKorygowanej": "to nie jest numer KSeF",
        "NrKSeFFaZaliczkowej": "to nie jest numer KSeF",
        "Email": "to nie jest adres e-mail",
        "NrRB": "numer rachunku ma mieć od 10 do 34 znaków",
        "KodWaluty": "nie ma takiej waluty w FA(3)",
        "KodKraju": "nie ma takiego kodu kraju w FA(3)",
    }
    if tag in by_tag:
        return by_tag[tag]
    kind = re.search(r"atomic type '(?:\{[^}]*\})?(\w+)'", message)
    type_name = kind[1] if kind else ""
    if type_name in _DATES:
        return "data ma mieć postać RRRR-MM-DD i istnieć w kalendarzu"
    if type_name in _CHOICES:
        return f"może być tylko {_CHOICES[type_name]}"
    if type_name in _AMOUNTS:
        return _number_shape(_AMOUNTS[type_name])
    places = re.search(r"pattern '-\?\(\[1-9\]\\d\{0,\d+\}\|0\)\(\\\.\\d\{1,(\d)\}\)\?'", message)
    if places is None:
        places = re.search(r"fractional digits than are allowed \('(\d+)'\)", message)
    if places is not None:
        return _number_shape(int(places[1]))
    return _facet(message)


def _facet(message: str) -> str:
    longest = re.search(r"length of '(\d+)'; this (exceeds|underruns) the allowed \w+ length of '(\d+)'", message)
    if longest is not None:
        bound = "najwyżej" if longest[2] == "exceeds" else "co najmniej"
        return f"długość tekstu to {longest[1]}, a może być {bound} {longest[3]}"
    bound_value = re.search(r"is (less|greater) than the (?:minimum|maximum) value allowed \('([^']*)'\)", message)
    if bound_value is not None:
        return f"dozwolone {'od' if bound_value[1] == 'less' else 'do'} {bound_value[2]}"
    more = re.search(r"must be (greater|less) than '([^']*)'", message)
    if more is not None:
        return f"ma być {'więcej' if more[1] == 'greater' else 'mniej'} niż {more[2]}"
    allowed = re.search(r"element of the set \{(.*)\}", message)
    if allowed is not None:
        values = re.findall(r"'([^']*)'", allowed[1])
        return f"dozwolone: {', '.join(values[:20])}"
    return "taka wartość nie jest dozwolona"


def _number_shape(places: int) -> str:
    digits = "cyfry" if places < 5 else "cyfr"
    return f"liczba ma mieć kropkę zamiast przecinka, bez spacji i zbędnych zer, po kropce najwyżej {places} {digits}"


def _expected(message: str) -> list[str]:
    found = re.search(r"Expected is (?:one of )?\( (.*) \)", message)
    return [_local(name.strip().lstrip("#")) for name in found[1].split(",")] if found else []


def _either(names: list[str]) -> str:
    if len(names) > 1 and names[-1] in _OBLIGATORY:
        names = names[-1:]
    return " albo ".join(field_name(name) for name in names[:4]) if names else "wymaganego"


def _element(root: etree._Element, path: str | None) -> etree._Element | None:
    if not path:
        return None
    found: Any = root.getroottree().xpath(path)
    return found[0] if found else None


def _row_of(path: str) -> str:
    row = re.search(r"FaWiersz(?:\[(\d+)\])?(?:/|$)", path)
    return f"wiersz {row[1] or 1}: " if row else ""


def _tag_in(message: str) -> str:
    found = re.search(r"Element '(?:\{[^}]*\})?([^']+)'", message)
    return found[1] if found else "Faktura"


def _local(tag: object) -> str:
    return str(tag).rpartition("}")[2]


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]
