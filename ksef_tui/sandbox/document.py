"""What a valid FA(3) document says: key, parties, amounts, and the metadata that KSeF shows."""

from __future__ import annotations

import re
from datetime import date
from decimal import Decimal
from typing import Any

from lxml import etree

_NS = "{http://crd.gov.pl/wzor/2025/06/25/13775/}"
_SPACES = " \t\r\n"
_IDENTITY = "DaneIdentyfikacyjne"
_KINDS = {
    "VAT": "Vat",
    "KOR": "Kor",
    "ZAL": "Zal",
    "ROZ": "Roz",
    "UPR": "Upr",
    "KOR_ZAL": "KorZal",
    "KOR_ROZ": "KorRoz",
}
_LONGEST_NAME = 512


class Document:
    """A document that the schema has let through."""

    def __init__(self, tree: etree._ElementTree) -> None:
        self._root = tree.getroot()
        self._body = self._part(self._root, "Fa")
        seller = self._part(self._root, "Podmiot1", _IDENTITY)
        self.seller = self._text(seller, "NIP")
        # Collapsed as the schema's token type is: spaces of XML only, a hard space is a character like others.
        self.number = re.sub(f"[{_SPACES}]+", " ", self._text(self._body, "P_2"))
        self.kind = self._text(self._body, "RodzajFaktury")
        self.issued = date.fromisoformat(self._text(self._body, "P_1"))
        self.is_self_invoicing = self._text(self._body, "Adnotacje", "P_17") == "1"
        self.has_attachment = self._root.find(f"{_NS}Zalacznik") is not None
        self._seller_name = self._text(seller, "Nazwa")

    @staticmethod
    def _part(element: etree._Element, *path: str) -> etree._Element:
        found = element.find("/".join(_NS + name for name in path))
        if found is None:
            raise LookupError(f"no {path} in a document that the schema let through")
        return found

    @staticmethod
    def _text(element: etree._Element, *path: str) -> str:
        return (element.findtext("/".join(_NS + name for name in path)) or "").strip(_SPACES)

    def all_nips(self) -> list[str]:
        """Every NIP whose check digit KSeF looks at, also the one inside an InternalId of a third party."""
        found = [self.seller]
        for party in ("Podmiot2", "Podmiot3", "PodmiotUpowazniony"):
            for identity in self._root.findall(f"{_NS}{party}/{_NS}{_IDENTITY}"):
                nip, internal = self._text(identity, "NIP"), self._text(identity, "IDWew")
                found += [n for n in (nip, internal[:10]) if n]
        return found

    def parties(self) -> list[tuple[str, str]]:
        """NIP and role (as the metadata query names it) of everybody on the invoice."""
        roles = (("Podmiot2", "Subject2"), ("Podmiot3", "Subject3"), ("PodmiotUpowazniony", "SubjectAuthorized"))
        found = [(self.seller, "Subject1")]
        for party, role in roles:
            for identity in self._root.findall(f"{_NS}{party}/{_NS}{_IDENTITY}"):
                nip = self._text(identity, "NIP") or self._text(identity, "IDWew")[:10]
                if nip:
                    found.append((nip, role))
        return list(dict.fromkeys(found))

    def metadata(self) -> dict[str, Any]:
        """The part of InvoiceMetadata that the document itself gives (facts §16)."""
        currency = self._text(self._body, "KodWaluty")
        taxes = [e for e in self._body if _local(e).startswith("P_14_")]
        in_zloty = [e for e in taxes if _local(e).endswith("W") == (currency != "PLN")]
        body: dict[str, Any] = {
            "invoiceNumber": self.number,
            "issueDate": self.issued.isoformat(),
            "seller": {"nip": self.seller, "name": self._seller_name[:_LONGEST_NAME]},
            "buyer": self._buyer(),
            "netAmount": _sum([e for e in self._body if _local(e).startswith("P_13_")]),
            "grossAmount": float(Decimal(self._text(self._body, "P_15") or "0")),
            "vatAmount": _sum(in_zloty),
            "currency": currency,
            "invoiceType": _KINDS[self.kind],
            "formCode": {"systemCode": "FA (3)", "schemaVersion": "1-0E", "value": "FA"},
            "isSelfInvoicing": self.is_self_invoicing,
            "hasAttachment": self.has_attachment,
        }
        third = [self._third(party) for party in self._root.findall(f"{_NS}Podmiot3")]
        if third:
            body["thirdSubjects"] = third
        authorized = self._root.find(f"{_NS}PodmiotUpowazniony")
        if authorized is not None:
            body["authorizedSubject"] = {
                "nip": self._text(authorized, _IDENTITY, "NIP"),
                "name": self._text(authorized, _IDENTITY, "Nazwa")[:_LONGEST_NAME],
                "role": int(self._text(authorized, "RolaPU") or "0"),
            }
        return body

    def _buyer(self) -> dict[str, Any]:
        identity = self._part(self._root, "Podmiot2", _IDENTITY)
        kinds = (("NIP", "Nip"), ("NrVatUE", "VatUe"), ("NrID", "Other"))
        return self._named(identity, kinds)

    def _third(self, party: etree._Element) -> dict[str, Any]:
        kinds = (("NIP", "Nip"), ("IDWew", "InternalId"), ("NrVatUE", "VatUe"), ("NrID", "Other"))
        named = self._named(self._part(party, _IDENTITY), kinds)
        return {**named, "role": int(self._text(party, "Rola") or "0")}

    def _named(self, identity: etree._Element, kinds: tuple[tuple[str, str], ...]) -> dict[str, Any]:
        name = self._text(identity, "Nazwa")[:_LONGEST_NAME]
        found = next(((kind, self._text(identity, tag)) for tag, kind in kinds if self._text(identity, tag)), None)
        identifier = {"type": found[0], "value": found[1]} if found else {"type": "None"}
        return {"identifier": identifier, **({"name": name} if name else {})}


def _local(element: etree._Element) -> str:
    return etree.QName(element).localname if isinstance(element.tag, str) else ""


def _sum(elements: list[etree._Element]) -> float:
    return float(sum((Decimal((e.text or "0").strip()) for e in elements), Decimal(0)))
