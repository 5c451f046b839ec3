"""Rules that the schema does not know: who, when, which invoice is corrected, do the sums add up."""

from __future__ import annotations

import re
from decimal import Decimal
from functools import cache, lru_cache
from typing import TYPE_CHECKING, Any

from ksef_tui.domain.invoices import normal_number
from ksef_tui.domain.nip import has_right_check_digit, matches_ksef_pattern
from ksef_tui.fa3.finding import Finding, line_of
from ksef_tui.fa3.names import in_quotes
from ksef_tui.fa3.read import Document, InvoiceFacts, identification, text_of
from ksef_tui.fa3.schema import NAMESPACE

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import date

    from lxml import etree

_N = f"{{{NAMESPACE}}}"
_FA = f"{_N}Fa"
_P_1 = f"{_N}P_1"
_ROW_NET = f"{_N}P_11"
_ADDRESS = f"{_N}Adres"
_CREATED = f"{_N}DataWytworzeniaFa"
CORRECTIONS = frozenset({"KOR", "KOR_ZAL", "KOR_ROZ"})
ADVANCES = frozenset({"ZAL", "KOR_ZAL"})

# ROZ: what goes into P_15 and the sums after the advances is not settled by the schema (facts §19.4).
_SUMS_ADD_UP = frozenset({"VAT", "KOR", "ZAL", "KOR_ZAL", "UPR"})
_ROWS_ADD_UP = frozenset({"VAT", "KOR", "UPR"})
_NEED_ROWS = frozenset({"VAT", "ROZ", "UPR"})

_PARTIES = {
    "Podmiot1": "sprzedawcy",
    "Podmiot2": "nabywcy",
    "Podmiot3": "podmiotu trzeciego",
    "PodmiotUpowazniony": "podmiotu upoważnionego",
}
# The totals of an invoice (facts §19.1); the …W ones are the same tax once more, in złoty.
_NET_TOTALS = frozenset(
    f"{_N}P_13_{n}" for n in ("1", "2", "3", "4", "5", "6_1", "6_2", "6_3", "7", "8", "9", "10", "11")
)
_TOTALS = _NET_TOTALS | {f"{_N}P_14_{n}" for n in range(1, 6)}
_OFFSET = re.compile(r"[+-]\d\d:\d\d$")


def errors(doc: Document, facts: InvoiceFacts | None, *, today: date, client_nip: str | None) -> tuple[Finding, ...]:
    """What forbids sending although the schema may allow it (facts §11; design §6 rules 1 and 12)."""
    found = list(_wrong_nips(doc))
    if doc.field("RodzajFaktury") in CORRECTIONS and _N + "DaneFaKorygowanej" not in doc.fa:
        found.append(
            Finding(
                "correction_without_original",
                "Faktura korygująca nie mówi, którą fakturę koryguje (brakuje pola DaneFaKorygowanej).",
                "Fa",
                line_of(doc.fa[_N + "RodzajFaktury"]),
            )
        )
    if facts is None:
        return tuple(found)
    if client_nip is not None and facts.seller_nip != client_nip:
        found.append(_other_seller(doc, facts, client_nip))
    if facts.issue_date > today:
        found.append(
            Finding(
                "future_date",
                f"Data wystawienia (P_1) {facts.issue_date} jest późniejsza niż dzisiaj ({today}) – KSeF takiej nie przyjmie.",
                "Fa/P_1",
                line_of(doc.fa[_P_1]),
            )
        )
    return tuple(found)


def warnings(doc: Document, facts: InvoiceFacts, *, today: date) -> tuple[Finding, ...]:
    """What a person should see before approving a valid invoice (facts §19.5; F50, F52)."""
    fa = doc.fa
    found: list[Finding] = []

    def warn(code: str, message: str, path: str, element: etree._Element | None) -> None:
        found.append(Finding(code, message, path, line_of(element)))

    if facts.issue_date < today:
        warn(
            "offline_by_date",
            f"Data wystawienia (P_1) {facts.issue_date} jest wcześniejsza niż dzisiaj – KSeF sam oznaczy fakturę jako offline.",
            "Fa/P_1",
            fa[_P_1],
        )
    if facts.number != normal_number(facts.number):
        warn(
            "number_spaces",
            "Numer faktury (P_2) ma zbędne odstępy – KSeF zapisze go bez nich.",
            "Fa/P_2",
            fa[_N + "P_2"],
        )
    found += _sums(doc, facts)
    if facts.kind in ADVANCES and _N + "Zamowienie" not in fa:
        warn(
            "advance_without_order",
            "Faktura zaliczkowa nie ma zamówienia (pole Zamowienie).",
            "Fa",
            fa[_P_1].getparent(),
        )
    if _ADDRESS not in doc.buyer_parts and facts.kind != "UPR":
        warn("no_buyer_address", "Brakuje adresu nabywcy.", "Podmiot2", doc.top[_N + "Podmiot2"])
    created = doc.header[_CREATED]
    moment = text_of(created)
    if not moment.endswith("Z") and not _OFFSET.search(moment):
        warn(
            "no_time_zone",
            "Data wytworzenia faktury (DataWytworzeniaFa) nie ma strefy czasowej (np. Z na końcu).",
            "Naglowek/DataWytworzeniaFa",
            created,
        )
    return tuple(found)


def _other_seller(doc: Document, facts: InvoiceFacts, client_nip: str) -> Finding:
    message = (
        f"Sprzedawcą na fakturze jest {in_quotes(facts.seller_name)}, NIP {facts.seller_nip}, "
        f"a nie ten klient, NIP {client_nip}."
    )
    if facts.self_billing:
        message += " Samofakturowanie (P_17 = 1) nie jest w programie obsługiwane."
    return Finding("other_seller", message, "Podmiot1/DaneIdentyfikacyjne/NIP", line_of(doc.top[_N + "Podmiot1"]))


def _wrong_nips(doc: Document) -> Iterator[Finding]:
    """NIPs whose check digit is wrong; KSeF looks at it in production only (facts §11, F46).

    A NIP that does not fit the schema's pattern is the schema's fault, said there.
    """
    for name, ids in (("Podmiot1", doc.seller), ("Podmiot2", doc.buyer)):
        if "NIP" in ids and _fits_but_is_wrong(ids["NIP"]):
            yield _wrong_nip(name, ids["NIP"], doc.top[_N + name])
    for name in ("Podmiot3", "PodmiotUpowazniony"):
        for party in doc.root.iterchildren(_N + name) if _N + name in doc.top else ():
            ids = identification(party)
            nip = ids.get("NIP") or ids.get("IDWew", "")[:10]
            if _fits_but_is_wrong(nip):
                yield _wrong_nip(name, nip, party)


def _wrong_nip(name: str, nip: str, party: etree._Element) -> Finding:
    message = f"NIP {_PARTIES[name]} {nip} ma błędną cyfrę kontrolną – sprawdź, czy nie ma literówki."
    return Finding("bad_nip", message, f"{name}/DaneIdentyfikacyjne/NIP", line_of(party))


@lru_cache(maxsize=4096)
def _fits_but_is_wrong(nip: str) -> bool:
    return matches_ksef_pattern(nip) and not has_right_check_digit(nip)


def _sums(doc: Document, facts: InvoiceFacts) -> list[Finding]:
    """Whether totals, amount due and rows agree to the grosz."""
    found = []
    net = vat = Decimal(0)
    has_sums = False
    for name, element in doc.fa.items():
        if name in _TOTALS:
            has_sums = True
            if name in _NET_TOTALS:
                net += Decimal(element.text or 0)
            else:
                vat += Decimal(element.text or 0)
    if facts.kind in _SUMS_ADD_UP:
        due = doc.fa[_N + "P_15"]
        if has_sums and net + vat != facts.gross:
            message = (
                f"Kwota należności (P_15) {facts.gross} różni się od sumy netto i VAT {net + vat} "
                f"o {facts.gross - net - vat}."
            )
            found.append(Finding("totals_differ", message, "Fa/P_15", line_of(due)))
        elif not has_sums and facts.gross and facts.kind != "UPR":
            message = "Faktura nie ma sum netto (P_13) ani VAT (P_14), a ma kwotę."
            found.append(Finding("no_totals", message, "Fa/P_15", line_of(due)))
    if not doc.rows and facts.kind in _NEED_ROWS:
        found.append(Finding("no_rows", "Faktura nie ma żadnego wiersza.", "Fa", line_of(doc.top[_FA])))
    if doc.rows and has_sums and facts.kind in _ROWS_ADD_UP:
        row_net = _net_of_rows(doc, facts.kind)
        if row_net is not None and row_net != net:
            message = f"Wartości netto wierszy (P_11) dają {row_net}, a sumy netto (P_13) {net}."
            found.append(Finding("rows_differ", message, "Fa/FaWiersz", line_of(doc.top[_FA])))
    return found


def _net_of_rows(doc: Document, kind: str) -> Decimal | None:
    """The net value of all rows, rows of the state before a correction taken off; None when a row has none."""
    fa = doc.top[_FA]
    nets = [Decimal(net) for net in _row_nets()(fa)]
    if len(nets) != doc.rows:
        return None
    total = sum(nets, Decimal(0))
    if kind == "KOR":
        for mark in fa.iter(f"{_N}StanPrzed"):
            total -= 2 * sum(Decimal(text_of(net)) for net in mark.itersiblings(_ROW_NET, preceding=True))
    return total


@cache
def _row_nets() -> Any:
    """The texts of P_11 without an object for each row: a tenth of the time of a check."""
    from lxml import etree

    return etree.XPath("f:FaWiersz/f:P_11/text()", namespaces={"f": NAMESPACE}, smart_strings=False)
