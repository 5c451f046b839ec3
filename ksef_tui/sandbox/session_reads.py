"""What one may ask about sessions and their invoices: statuses and lists (facts §10)."""

from __future__ import annotations

import json
import sqlite3
from typing import Any

from ksef_tui.sandbox.clock import iso, now_ms
from ksef_tui.sandbox.errors import BadRequest
from ksef_tui.sandbox.fields import Fields, invalid
from ksef_tui.sandbox.judge import DESCRIPTIONS
from ksef_tui.sandbox.rights import ENFORCEMENT, INTROSPECTION, INVOICE_WRITE, identities
from ksef_tui.sandbox.sessions import BATCH, ONLINE, find, status_code
from ksef_tui.sandbox.upo import READING, download_url
from ksef_tui.sandbox.web import Call, Endpoint, Reply, continuation, paged

_ENDED = {
    405: "Błąd weryfikacji poprawności dostarczonych elementów paczki",
    415: "Błąd odszyfrowania dostarczonego klucza",
    420: "Przekroczony limit faktur w sesji",
    430: "Błąd dekompresji pierwotnego archiwum",
    435: "Błąd odszyfrowania zaszyfrowanych części archiwum",
    440: "Sesja anulowana",
    445: "Błąd weryfikacji, brak poprawnych faktur",
    500: "Nieznany błąd (500)",
}
_SESSION = {
    ONLINE: {
        100: "Sesja interaktywna otwarta",
        170: "Sesja interaktywna zamknięta",
        200: "Sesja interaktywna przetworzona pomyślnie",
        **_ENDED,
    },
    BATCH: {
        100: "Sesja wsadowa rozpoczęta",
        150: "Trwa przetwarzanie",
        200: "Sesja wsadowa przetworzona pomyślnie",
        **_ENDED,
    },
}
_COMMON = {
    "InProgress": "(code IS NULL)",
    "Succeeded": "(code = 200)",
    "Cancelled": "(code = 440)",
    "Failed": "(code IS NOT NULL AND code NOT IN (200, 440))",
}
_COUNTS = """
    (SELECT count(*) FROM invoice WHERE session_ref = session.ref AND code = 200) AS good,
    (SELECT count(*) FROM invoice WHERE session_ref = session.ref AND code > 200) AS bad,
    (SELECT details FROM batch WHERE session_ref = session.ref) AS batch_details"""


def _session_status(row: sqlite3.Row) -> dict[str, Any]:
    code = status_code(row)
    details = json.loads(row["batch_details"] or "[]")
    if code == 440:
        details = ["Przekroczono czas wysyłki" if row["closed"] is None else "Nie przesłano faktur"]
    status = {"code": code, "description": _SESSION[row["kind"]][code]}
    return {**status, "details": details} if details else status


def _until(row: sqlite3.Row) -> dict[str, str]:
    """The moment when an interactive session closes itself; a batch never does (facts §9)."""
    return {"validUntil": iso(row["valid_until"])} if row["kind"] == ONLINE else {}


def listed(call: Call) -> Reply:
    """`GET /sessions`: all of the context for those who may look into it, else those that this subject opened."""
    size, start, who = call.page_size(1000), continuation(call), call.who
    query = Fields(call.query)
    where, values = ["context_type = ?", "context_value = ?", "kind = ?"], [*who.context]
    values.append(query.choice("sessionType", (ONLINE, BATCH)))
    if query.has("referenceNumber"):
        where.append("ref = ?")
        values.append(query.text("referenceNumber"))
    for name, column in (("dateCreated", "created"), ("dateClosed", "closed"), ("dateModified", "updated")):
        for suffix, operator in (("From", ">="), ("To", "<=")):
            if query.has(name + suffix):
                where.append(f"{column} {operator} {query.moment(name + suffix)}")
    statuses = call.query_lists("statuses")
    if any(status not in _COMMON for status in statuses):
        raise invalid("statuses", f"dozwolone wartości: {', '.join(_COMMON)}.")
    if statuses:
        where.append(f"({' OR '.join(_COMMON[status] for status in statuses)})")
    if not {INTROSPECTION, ENFORCEMENT} & set(who.permissions):
        own = sorted(identities(call.state, who.subject))
        where.append(f"({' OR '.join(['(subject_type = ? AND subject_value = ?)'] * len(own))})")
        values += [part for pair in own for part in pair]
    sql = f"SELECT *, {_COUNTS} FROM session WHERE {' AND '.join(where)} ORDER BY created DESC, ref LIMIT ? OFFSET ?"  # noqa: S608 every value is bound or a number
    rows = call.state.rows(sql, *values, size + 1, start)
    return Reply(json=paged("sessions", [_listed(row) for row in rows], start, size))


def _listed(row: sqlite3.Row) -> dict[str, Any]:
    return {
        "referenceNumber": row["ref"],
        "status": _session_status(row),
        "dateCreated": iso(row["created"]),
        "dateUpdated": iso(row["updated"]),
        **_until(row),
        "totalInvoiceCount": row["invoices"],
        "successfulInvoiceCount": row["good"],
        "failedInvoiceCount": row["bad"],
    }


def session_status(call: Call) -> Reply:
    """`GET /sessions/{referenceNumber}`."""
    number = find(call)["ref"]
    row = call.state.row(f"SELECT *, {_COUNTS} FROM session WHERE ref = ?", number)  # noqa: S608 our own text
    if row is None:
        raise BadRequest(21173)
    body = {
        "status": _session_status(row),
        "dateCreated": iso(row["created"]),
        "dateUpdated": iso(row["updated"]),
        **_until(row),
        "invoiceCount": row["invoices"],
        "successfulInvoiceCount": row["good"],
        "failedInvoiceCount": row["bad"],
    }
    pages = [_page(call, page["ref"]) for page in _pages(call, number)]
    return Reply(json={**body, "upo": {"pages": pages}} if pages else body)


def _pages(call: Call, number: str) -> list[sqlite3.Row]:
    return call.state.rows("SELECT ref FROM upo_page WHERE session_ref = ? ORDER BY page", number)


def _page(call: Call, number: str) -> dict[str, str]:
    url, until = download_url(call.sandbox, number)
    return {"referenceNumber": number, "downloadUrl": url, "downloadUrlExpirationDate": iso(until)}


def _spelled(call: Call, number: str) -> str:
    """The number as it was sent, or with other spaces than it was written with (F50)."""
    return f" {number.replace(' ', '  ')} " if call.sandbox.faults.strike("number_respelled") else number


def _item(call: Call, row: sqlite3.Row) -> dict[str, Any]:
    """One invoice as the lists show it; absent fields are those that KSeF has not got yet."""
    now = now_ms()
    code = row["code"]
    if code is None:
        halfway = (row["received"] + row["due"]) // 2
        code = 150 if now >= halfway else 100
    status: dict[str, Any] = {"code": code, "description": DESCRIPTIONS[code]}
    details = json.loads(row["details"] or "[]")
    if details:
        status["details"] = details
    if row["extensions"]:
        status["extensions"] = json.loads(row["extensions"])
    body = {
        "ordinalNumber": row["ordinal"],
        "referenceNumber": row["ref"],
        "invoiceHash": row["hash"],
        "invoicingDate": iso(row["invoicing"]),
        "status": status,
    }
    if row["file_name"]:
        body["invoiceFileName"] = row["file_name"]
    if row["ksef_number"]:
        body |= {
            "invoiceNumber": _spelled(call, row["number"]),
            "ksefNumber": row["ksef_number"],
            "acquisitionDate": iso(row["acquired"]),
            "invoicingMode": row["mode"],
        }
        url, until = download_url(call.sandbox, row["ref"])
        body |= {"upoDownloadUrl": url, "upoDownloadUrlExpirationDate": iso(until)}
        if row["stored"] <= now:
            body["permanentStorageDate"] = iso(row["stored"])
    return body


_COLUMNS = """ref, ordinal, file_name, hash, received, invoicing, due, code, details, extensions,
    number, ksef_number, acquired, stored, mode"""


def _invoices(call: Call, condition: str) -> Reply:
    session, size, start = find(call), call.page_size(1000), continuation(call)
    # The list of a batch fills only when all of it is processed (field note F18).
    condition = f"{condition} AND {int(session['kind'] == ONLINE or session['code'] is not None)}"
    faults = call.sandbox.faults
    if session["code"] is None and faults.strike("list_empty", call.method, call.path):
        return Reply(json=paged("invoices", [], start, size))
    order = "DESC" if (scrambled := faults.strike("list_scrambled", call.method, call.path)) else "ASC"
    sql = f"SELECT {_COLUMNS} FROM invoice WHERE session_ref = ? AND {condition} ORDER BY ordinal {order} LIMIT ? OFFSET ?"  # noqa: S608 our own text
    rows = call.state.rows(sql, session["ref"], size + 1, start)
    items = [_item(call, row) for row in rows]
    if scrambled:  # in another order than they were sent, and without their numbers (F12)
        items = [
            {**{k: v for k, v in item.items() if k != "invoiceNumber"}, "ordinalNumber": start + n}
            for n, item in enumerate(items, 1)
        ]
    return Reply(json=paged("invoices", items, start, size))


def invoices(call: Call) -> Reply:
    """`GET /sessions/{referenceNumber}/invoices`, in the order of sending."""
    return _invoices(call, "1")


def failed(call: Call) -> Reply:
    """`GET /sessions/{referenceNumber}/invoices/failed`."""
    return _invoices(call, "code > 200")


def invoice_status(call: Call) -> Reply:
    """`GET /sessions/{referenceNumber}/invoices/{invoiceReferenceNumber}`."""
    session, number = find(call), call.params["invoice"]
    sql = f"SELECT {_COLUMNS} FROM invoice WHERE session_ref = ? AND ref = ?"  # noqa: S608 our own text
    row = call.state.row(sql, session["ref"], number)
    if row is None:
        raise invalid("invoiceReferenceNumber", f"faktura {number} nie została znaleziona w sesji {session['ref']}.")
    return Reply(json=_item(call, row))


ENDPOINTS = (
    Endpoint("GET", "/sessions", listed, any_of=(INVOICE_WRITE, INTROSPECTION, ENFORCEMENT), group="sessionList"),
    Endpoint("GET", "/sessions/{reference}", session_status, any_of=READING, group="sessionMisc"),
    Endpoint("GET", "/sessions/{reference}/invoices", invoices, any_of=READING, group="sessionInvoiceList"),
    Endpoint("GET", "/sessions/{reference}/invoices/failed", failed, any_of=READING, group="sessionInvoiceList"),
    Endpoint("GET", "/sessions/{reference}/invoices/{invoice}", invoice_status, any_of=READING, group="invoiceStatus"),
)
