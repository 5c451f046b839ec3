"""Invoices in KSeF: download by number, and the metadata query (facts §16)."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Iterator
from typing import Any

from ksef_tui.sandbox.clock import DAY, iso, now_ms, warsaw_day
from ksef_tui.sandbox.errors import BadRequest
from ksef_tui.sandbox.fields import Fields, invalid
from ksef_tui.sandbox.numbers import KSEF_NUMBER
from ksef_tui.sandbox.rights import INVOICE_READ
from ksef_tui.sandbox.web import Call, Endpoint, Reply

_ROLES = ("Subject1", "Subject2", "Subject3", "SubjectAuthorized")
_DATES = {"Issue": "issued", "Invoicing": "invoicing", "PermanentStorage": "stored"}
_LONGEST = 100 * DAY
_MOST_ROWS = 10_000
_TYPES = ("Vat", "Zal", "Kor", "Roz", "Upr", "KorZal", "KorRoz", "VatPef", "VatPefSp", "KorPef", "VatRr", "KorVatRr")
_AMOUNTS = {"Brutto": "grossAmount", "Netto": "netAmount", "Vat": "vatAmount"}

Metadata = dict[str, Any]
Filter = Callable[[Metadata], bool]


def _hash_header(row: sqlite3.Row) -> dict[str, str]:
    return {"x-ms-meta-hash": row["hash"]}


def download(call: Call) -> Reply:
    """`GET /invoices/ksef/{ksefNumber}`: the very bytes that were sent, if the context is on the invoice."""
    number, context = call.params["number"], call.who.context
    if not KSEF_NUMBER.fullmatch(number):
        raise invalid("ksefNumber", "nieprawidłowy numer KSeF.")
    row = call.state.row("SELECT ref, hash, content, stored FROM invoice WHERE ksef_number = ?", number)
    sql = "SELECT 1 FROM party WHERE nip = ? AND invoice_ref = ?"
    if row is None or not call.state.value(sql, context[1][:10], row["ref"]):
        raise BadRequest(21164, f"Faktura o numerze KSeF {number} nie została znaleziona.")
    if row["stored"] > now_ms():
        text = f"Faktura o numerze KSeF {number} została przetworzona, ale nie jest jeszcze dostępna do pobrania."
        raise BadRequest(21165, f"{text} Spróbuj ponownie później.")
    return Reply(content=row["content"], media_type="application/xml", headers=_hash_header(row))


def query(call: Call) -> Reply:
    """`POST /invoices/query/metadata`: what is permanently stored and fits the filters, in pages."""
    fields, size, page, now = call.fields(), call.page_size(250), call.page_offset(), now_ms()
    role = fields.choice("subjectType", _ROLES)
    dates = fields.inner("dateRange")
    kind = dates.choice("dateType", tuple(_DATES))
    first, last = _range(dates, now)
    descending = (
        Fields(call.query).choice("sortOrder", ("Asc", "Desc")) == "Desc" if "sortOrder" in call.query else False
    )
    if dates.flag("restrictToPermanentStorageHwmDate", default=False) and first > now:
        raise BadRequest(21183, "Data początkowa jest późniejsza niż dostępny zakres danych.")
    wanted = _filters(fields)
    rows = _rows(call, role, kind, (first, last), descending=descending)
    cut = call.sandbox.faults.strike("query_cut")
    most = _MOST_ROWS if cut is None else int(cut.params["rows"])
    found = []
    for metadata in rows:
        if all(fits(metadata) for fits in wanted):
            found.append(metadata)
        if len(found) > most:
            break
    start = page * size
    visible = found[:most]
    more = len(visible) > start + size
    body: dict[str, Any] = {
        "hasMore": more or (len(found) > most and start + size >= most),
        "isTruncated": len(found) > most and start + size >= most,
        "invoices": visible[start : start + size],
    }
    if kind == "PermanentStorage":
        body["permanentStorageHwmDate"] = iso(now)
    return Reply(json=body)


def _range(dates: Fields, now: int) -> tuple[int, int]:
    first = dates.moment("from")
    last = dates.moment("to") if dates.has("to") else now
    if dates.has("to") and last < first:
        raise invalid(dates.name("to"), "data końcowa jest wcześniejsza niż początkowa.")
    if last - first > _LONGEST:
        raise invalid(dates.name("to"), "zakres dat nie może przekraczać 100 dni.")
    return first, last


def _rows(call: Call, role: str, kind: str, span: tuple[int, int], *, descending: bool) -> Iterator[Metadata]:
    """Metadata of the context's invoices in this role, in the order of the date that was asked for."""
    column = _DATES[kind]
    low: Any = span[0]
    high: Any = span[1]
    if kind == "Issue":
        low, high = (warsaw_day(ms).isoformat() for ms in span)
    sql = f"""
        SELECT invoice.* FROM party JOIN invoice ON invoice.ref = party.invoice_ref
        WHERE party.nip = ? AND party.role = ? AND invoice.stored <= ? AND invoice.{column} BETWEEN ? AND ?
        ORDER BY invoice.{column} {"DESC" if descending else "ASC"}, invoice.rowid"""  # noqa: S608 our own words
    for row in call.state.rows(sql, call.who.context[1][:10], role, now_ms(), low, high):
        yield _metadata(row)


def _metadata(row: sqlite3.Row) -> Metadata:
    known = {
        "ksefNumber": row["ksef_number"],
        "invoicingDate": iso(row["invoicing"]),
        "acquisitionDate": iso(row["acquired"]),
        "permanentStorageDate": iso(row["stored"]),
        "invoicingMode": row["mode"],
        "invoiceHash": row["hash"],
        **json.loads(row["metadata"]),
    }
    return {**known, "hashOfCorrectedInvoice": row["corrected_hash"]} if row["corrected_hash"] else known


def _filters(fields: Fields) -> list[Filter]:
    wanted: list[Filter] = []

    def equal(name: str, value: Any) -> None:
        wanted.append(lambda m: bool(m.get(name) == value))

    for name, key in (("ksefNumber", "ksefNumber"), ("invoiceNumber", "invoiceNumber")):
        if fields.has(name):
            equal(key, fields.text(name, 1, 256))
    if fields.has("sellerNip"):
        seller = fields.shaped("sellerNip", "Nip")
        wanted.append(lambda m: bool(m["seller"]["nip"] == seller))
    if fields.has("invoicingMode"):
        equal("invoicingMode", fields.choice("invoicingMode", ("Online", "Offline")))
    for name in ("isSelfInvoicing", "hasAttachment"):
        if fields.has(name):
            equal(name, fields.flag(name))
    if fields.has("formType"):
        form = fields.choice("formType", ("FA", "PEF", "FA_RR"))
        wanted.append(lambda m: bool(m["formCode"]["value"] == form))
    if fields.has("currencyCodes") and fields.texts("currencyCodes"):
        codes = fields.texts("currencyCodes")
        wanted.append(lambda m: m["currency"] in codes)
    if fields.has("invoiceTypes") and fields.texts("invoiceTypes"):
        types = fields.choices("invoiceTypes", _TYPES)
        wanted.append(lambda m: m["invoiceType"] in types)
    return [*wanted, *_buyer_filter(fields), *_amount_filter(fields)]


def _buyer_filter(fields: Fields) -> list[Filter]:
    if not fields.has("buyerIdentifier"):
        return []
    inner = fields.inner("buyerIdentifier")
    kind = inner.choice("type", ("Nip", "VatUe", "Other", "None"))
    value = inner.text("value", 1, 50) if inner.has("value") else None
    return [
        lambda m: bool(m["buyer"]["identifier"]["type"] == kind),
        lambda m: value is None or bool(m["buyer"]["identifier"].get("value") == value),
    ]


def _amount_filter(fields: Fields) -> list[Filter]:
    if not fields.has("amount"):
        return []
    inner = fields.inner("amount")
    name = _AMOUNTS[inner.choice("type", tuple(_AMOUNTS))]
    low = inner.number("from") if inner.has("from") else float("-inf")
    high = inner.number("to") if inner.has("to") else float("inf")
    return [lambda m: bool(low <= m[name] <= high)]


ENDPOINTS = (
    Endpoint("GET", "/invoices/ksef/{number}", download, any_of=(INVOICE_READ,), group="invoiceDownload"),
    Endpoint("POST", "/invoices/query/metadata", query, any_of=(INVOICE_READ,), group="invoiceMetadata"),
)
