"""The official receipt: documents of schema v4-3, unsigned as the published examples are (facts §10.4)."""

from __future__ import annotations

import base64
import hashlib
import hmac
import sqlite3
from xml.sax.saxutils import escape

from ksef_tui.sandbox.clock import DAY, iso_warsaw, now_ms
from ksef_tui.sandbox.errors import BadRequest, Forbidden, NotFound
from ksef_tui.sandbox.processing import UPO_PAGE
from ksef_tui.sandbox.rights import ENFORCEMENT, INTROSPECTION, INVOICE_WRITE, PEF_INVOICE_WRITE
from ksef_tui.sandbox.sessions import find
from ksef_tui.sandbox.state import State
from ksef_tui.sandbox.web import NO_TOKEN, Call, Endpoint, Reply, Sandbox

_NAMESPACE = "http://upo.schematy.mf.gov.pl/KSeF/v4-3"
_CONTEXTS = {
    "Nip": "Nip",
    "InternalId": "IdWewnetrzny",
    "NipVatUe": "IdZlozonyVatUE",
    "PeppolId": "IdDostawcyUslugPeppol",
}
_URL_LIFE = 3 * DAY
READING = (INVOICE_WRITE, INTROSPECTION, PEF_INVOICE_WRITE, ENFORCEMENT)


def _element(name: str, value: object) -> str:
    return f"<{name}>{escape(str(value))}</{name}>"


def _document(row: sqlite3.Row) -> str:
    parts = (
        "<Dokument>",
        _element("NipSprzedawcy", row["seller"]),
        _element("NumerKSeFDokumentu", row["ksef_number"]),
        _element("NumerFaktury", row["number"]),
        _element("DataWystawieniaFaktury", row["issued"]),
        _element("DataPrzeslaniaDokumentu", iso_warsaw(row["received"])),
        _element("DataNadaniaNumeruKSeF", iso_warsaw(row["acquired"])),
        _element("SkrotDokumentu", row["hash"]),
        _element("TrybWysylki", row["mode"]),
        "</Dokument>",
    )
    return "".join(parts)


def _receipt(state: State, session: sqlite3.Row, documents: list[sqlite3.Row], description: str) -> bytes:
    login = state.row("SELECT token_ref, document_hash FROM authentication WHERE ref = ?", session["auth_ref"])
    if login is None:
        raise LookupError(f"session {session['ref']} without a login")
    proof = (
        _element("NumerReferencyjnyTokenaKSeF", login["token_ref"])
        if login["token_ref"] is not None
        else _element("SkrotDokumentuUwierzytelniajacego", login["document_hash"])
    )
    context = _element(_CONTEXTS[session["context_type"]], session["context_value"])
    parts = (
        f'<?xml version="1.0" encoding="utf-8"?><Potwierdzenie xmlns="{_NAMESPACE}">',
        _element("NazwaPodmiotuPrzyjmujacego", "Ministerstwo Finansów"),
        _element("NumerReferencyjnySesji", session["ref"]),
        f"<Uwierzytelnienie><IdKontekstu>{context}</IdKontekstu>{proof}</Uwierzytelnienie>",
        description,
        _element("NazwaStrukturyLogicznej", "Schemat_FA(3)_v1-0E.xsd"),
        _element("KodFormularza", "FA (3)"),
        *map(_document, documents),
        "</Potwierdzenie>",
    )
    return "".join(parts).encode()


def _session(state: State, number: str) -> sqlite3.Row:
    row = state.row("SELECT * FROM session WHERE ref = ?", number)
    if row is None:
        raise BadRequest(21173, f"Sesja o numerze referencyjnym {number} nie została odnaleziona.")
    return row


def invoice_receipt(state: State, number: str) -> bytes | None:
    """The UPO of one invoice by its reference, from the moment it has a number on; None while it is not there."""
    row = state.row("SELECT * FROM invoice WHERE ref = ? AND code = 200", number)
    return None if row is None else _receipt(state, _session(state, row["session_ref"]), [row], "")


def session_receipt(state: State, number: str) -> bytes | None:
    """One page of a session's UPO by the page's reference; None when there is none."""
    page = state.row("SELECT * FROM upo_page WHERE ref = ?", number)
    if page is None:
        return None
    sql = "SELECT * FROM invoice WHERE session_ref = ? AND code = 200 ORDER BY ordinal LIMIT ? OFFSET ?"
    first = (page["page"] - 1) * UPO_PAGE
    rows = state.rows(sql, page["session_ref"], UPO_PAGE, first)
    total = state.value("SELECT count(*) FROM invoice WHERE session_ref = ? AND code = 200", page["session_ref"])
    description = "".join(
        (
            "<OpisPotwierdzenia>",
            _element("Strona", page["page"]),
            _element("LiczbaStron", page["pages"]),
            _element("ZakresDokumentowOd", first + 1),
            _element("ZakresDokumentowDo", first + len(rows)),
            _element("CalkowitaLiczbaDokumentow", total),
            "</OpisPotwierdzenia>",
        )
    )
    return _receipt(state, _session(state, page["session_ref"]), rows, description)


def _reply(call: Call, content: bytes | None, missing: BadRequest) -> Reply:
    if call.sandbox.faults.strike("upo_html", call.method, call.path):
        return Reply(content=b"<html><body>Request unsuccessful.</body></html>", media_type="text/html")
    if content is None:
        raise missing
    digest = base64.b64encode(hashlib.sha256(content).digest()).decode("ascii")
    return Reply(content=content, media_type="application/xml", headers={"x-ms-meta-hash": digest})


def by_invoice(call: Call) -> Reply:
    """`GET /sessions/{ref}/invoices/{invRef}/upo`."""
    session, number = find(call), call.params["invoice"]
    known = call.state.value("SELECT 1 FROM invoice WHERE ref = ? AND session_ref = ?", number, session["ref"])
    text = f"UPO dla faktury o numerze referencyjnym {number} z sesji {session['ref']} nie zostało znalezione."
    return _reply(call, invoice_receipt(call.state, number) if known else None, BadRequest(21178, text))


def by_ksef_number(call: Call) -> Reply:
    """`GET /sessions/{ref}/invoices/ksef/{ksefNumber}/upo`."""
    session, number = find(call), call.params["number"]
    sql = "SELECT ref FROM invoice WHERE ksef_number = ? AND session_ref = ?"
    known = call.state.value(sql, number, session["ref"])
    text = f"UPO dla faktury o numerze KSeF {number} z sesji {session['ref']} nie zostało znalezione."
    return _reply(call, invoice_receipt(call.state, known) if known else None, BadRequest(21178, text))


def by_page(call: Call) -> Reply:
    """`GET /sessions/{ref}/upo/{upoRef}`."""
    session, number = find(call), call.params["upo"]
    known = call.state.value("SELECT 1 FROM upo_page WHERE ref = ? AND session_ref = ?", number, session["ref"])
    text = f"UPO o numerze referencyjnym {number} dla sesji {session['ref']} nie zostało znalezione."
    return _reply(call, session_receipt(call.state, number) if known else None, BadRequest(21178, text))


def download_url(sandbox: Sandbox, number: str) -> tuple[str, int]:
    """A URL that needs no token, and the moment when it stops working."""
    until = now_ms() + _URL_LIFE
    return f"{sandbox.url_base}/storage/upo/{number}?se={until}&sig={_sign(sandbox, number, until)}", until


def _sign(sandbox: Sandbox, number: str, until: int) -> str:
    return hmac.new(sandbox.secret, f"upo {number} {until}".encode(), hashlib.sha256).hexdigest()


def download(call: Call) -> Reply:
    """A UPO by its signed URL, of an invoice or of a session's page."""
    number, until, signature = call.params["number"], call.query.get("se", ""), call.query.get("sig", "")
    expected = _sign(call.sandbox, number, int(until) if until.isascii() and until.isdigit() else 0)
    if not hmac.compare_digest(signature, expected) or int(until) < now_ms():
        raise Forbidden("insufficient-resource-access", "Adres pobierania jest nieprawidłowy lub wygasł.")
    content = invoice_receipt(call.state, number) or session_receipt(call.state, number)
    if content is None and not call.sandbox.faults.is_on("upo_html"):
        raise NotFound
    return _reply(call, content, BadRequest(21178))


ENDPOINTS = (
    Endpoint(
        "GET", "/sessions/{reference}/invoices/ksef/{number}/upo", by_ksef_number, any_of=READING, group="sessionMisc"
    ),
    Endpoint("GET", "/sessions/{reference}/invoices/{invoice}/upo", by_invoice, any_of=READING, group="sessionMisc"),
    Endpoint("GET", "/sessions/{reference}/upo/{upo}", by_page, any_of=READING, group="sessionMisc"),
)
STORAGE = (Endpoint("GET", "/storage/upo/{number}", download, (NO_TOKEN,), group=None),)
