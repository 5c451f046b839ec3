"""The queue and one invoice, as screens and commands show them."""

from __future__ import annotations

import binascii
import json
import sqlite3
from array import array
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from decimal import Decimal
from itertools import chain, islice

from ksef_tui.domain.finding import Query, parse
from ksef_tui.domain.invoices import INVOICE_BADGES, NOT_STORED, InvoiceState, UpoState
from ksef_tui.domain.problems import Problem
from ksef_tui.domain.roles import Act, Operator, require
from ksef_tui.domain.standing import Why
from ksef_tui.domain.text import fold
from ksef_tui.domain.times import from_text, polish_day, warsaw
from ksef_tui.services import client_views
from ksef_tui.services.guards import is_anothers
from ksef_tui.services.office import Office
from ksef_tui.services.repair_views import compare, in_sentences, links, meaning
from ksef_tui.services.standing import Standing
from ksef_tui.services.views import InvoiceDetails, InvoiceLine, QueueFilter, QueueRow, TimelineRow
from ksef_tui.store import documents, invoices, records

XML_SHOWN = 200_000  # characters
LINES_SHOWN = 200
FIRST_PAGES = 200  # rows of a long list that are told before the rest

_QUEUE = """
SELECT v.*, c.nip, c.name AS client, s.reference AS session_reference, s.kind AS session_kind, s.state AS session_state
FROM invoice v JOIN client c ON c.id = v.client_id LEFT JOIN session s ON s.id = v.session_id
WHERE v.id IN ({ids}) AND (:only IS NULL OR v.client_id = :only)
"""


def queue_ids(
    office: Office,
    operator: Operator,
    chosen: QueueFilter,
    limit: int = 0,
    early: Callable[[array[int]], object] | None = None,
) -> array[int]:
    """The invoices that a filter lets through, newest first. For a million rows this takes a third of a second, and
    many if words are sought and the disk is slow: `early` gets the first pages of a longer list at once."""
    where, args = _where(office, operator, chosen)
    sql = f"SELECT id FROM invoice v {where} ORDER BY id DESC" + (f" LIMIT {int(limit)}" if limit else "")  # noqa: S608
    cursor = office.db.connection.cursor()
    cursor.row_factory = None  # plain tuples: half the time, and no lists on the way to the array
    found = chain.from_iterable(cursor.execute(sql, args))
    ids = array("q", islice(found, FIRST_PAGES))
    if early is not None and len(ids) == FIRST_PAGES:
        early(ids[:])
    ids.extend(found)
    return ids


def understood(office: Office, text: str) -> Query:
    """What the words of a filter ask for, as of today in Poland."""
    return parse(text, polish_day(office.clock()))


def _where(office: Office, operator: Operator, chosen: QueueFilter) -> tuple[str, list[object]]:
    conditions: list[str] = []
    args: list[object] = []

    def narrow(condition: str, *values: object) -> None:
        conditions.append(condition)
        args.extend(values)

    only = operator.client_id if operator.client_id is not None else chosen.client_id
    if only is not None:
        narrow("client_id = ?", only)
    if chosen.among:
        narrow("id IN (SELECT value FROM json_each(?))", json.dumps(chosen.among))
    if chosen.states:
        narrow(_one_of("state", chosen.states), *chosen.states)
    query = understood(office, chosen.text)
    for condition, values in _asked(query):
        narrow(condition, *values)
    if query.stands:
        stopped = ", ".join(str(one) for one in client_views.stopped_clients(office))
        narrow(
            "state IN ('invalid', 'held', 'blocked', 'rejected', 'approved') "
            f"AND (state <> 'approved' OR client_id IN ({stopped})) AND (state <> 'rejected' OR settled_at IS NULL)"
        )
    named = _clients_named(office, query.texts, chosen.among) if query.texts else {}
    for word in query.texts:
        pattern = "%" + word.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_") + "%"
        clients = ", ".join(str(i) for i in named[word])
        narrow(
            f"(search LIKE ? ESCAPE '\\' OR ksef_number LIKE ? ESCAPE '\\' OR client_id IN ({clients}))",
            pattern,
            pattern,
        )
    return ("WHERE " + " AND ".join(conditions) if conditions else ""), args


def _one_of(column: str, values: Sequence[object]) -> str:
    return f"{column} IN ({', '.join('?' for _ in values)})"


def _asked(query: Query) -> Iterator[tuple[str, tuple[object, ...]]]:
    """The conditions of a query but its text. The index over days and amounts answers those without reading rows."""
    if query.states:
        yield _one_of("state", query.states), query.states
    if query.upo:
        yield f"state = 'accepted' AND {_one_of('upo', query.upo)}", query.upo
    if query.since is not None and query.until is not None:
        yield "issue_date BETWEEN ? AND ?", (query.since.isoformat(), query.until.isoformat())
    for limit, compared in ((query.low, ">="), (query.high, "<="), (query.over, ">"), (query.under, "<")):
        if limit is not None:
            yield f"gross <> '' AND CAST(gross AS REAL) {compared} ?", (float(limit),)
    if query.mode:
        yield "mode = ?", (query.mode,)
    if query.channel:
        yield "channel = ? AND session_id IS NOT NULL", (query.channel,)
    if query.urgent:
        yield "urgent_at IS NOT NULL AND state IN ('approved', 'sending')", ()
    if query.corrections:
        yield "kind LIKE 'KOR%'", ()


def _clients_named(office: Office, words: Sequence[str], among: Sequence[int]) -> dict[str, list[int]]:
    """The clients whose name or NIP has a word in it; of those `among` whose invoices is sought, if any are named."""
    where = " WHERE id IN (SELECT client_id FROM invoice WHERE id IN (SELECT value FROM json_each(?)))" if among else ""
    rows = office.db.rows(f"SELECT id, name, nip FROM client{where}", (json.dumps(among),) if among else ())  # noqa: S608
    clients = [(row["id"], fold(f"{row['name']} {row['nip']}")) for row in rows]
    return {word: [client_id for client_id, name in clients if word in name] for word in words}


def queue_rows(office: Office, operator: Operator, ids: Sequence[int]) -> dict[int, QueueRow]:
    """The rows of a window of the queue."""
    now = office.clock()
    marks = ", ".join(str(int(i)) for i in ids)
    rows = office.db.rows(_QUEUE.format(ids=marks), {"only": operator.client_id})
    reader = Standing(office, now)
    return {row["id"]: _queue_row(row, reader.why(row), now) for row in rows}


def clients_of(office: Office, operator: Operator, ids: Sequence[int]) -> list[int]:
    """Whose invoices these are."""
    rows = office.db.rows(
        "SELECT DISTINCT client_id FROM invoice WHERE id IN (SELECT value FROM json_each(:ids)) "
        "AND (:only IS NULL OR client_id = :only) ORDER BY client_id",
        {"ids": json.dumps(list(ids)), "only": operator.client_id},
    )
    return [row[0] for row in rows]


def state_counts(office: Office, operator: Operator, ids: Sequence[int]) -> dict[InvoiceState, int]:
    """In which states these invoices stand; for 100,000 of them a quarter of a second."""
    rows = office.db.rows(
        "SELECT state, count(*) FROM invoice WHERE id IN (SELECT value FROM json_each(:ids)) "
        "AND (:only IS NULL OR client_id = :only) GROUP BY state",
        {"ids": json.dumps(list(ids)), "only": operator.client_id},
    )
    return {InvoiceState(row[0]): row[1] for row in rows}


def queue_counts(office: Office, operator: Operator, client_id: int | None = None) -> dict[InvoiceState, int]:
    """How many invoices stand in each state; kept up to date by the database, never scanned."""
    only = operator.client_id if operator.client_id is not None else client_id
    rows = office.db.rows(
        "SELECT state, sum(n) FROM invoice_count WHERE (:only IS NULL OR client_id = :only) GROUP BY state",
        {"only": only},
    )
    return {InvoiceState(row[0]): row[1] for row in rows if row[1]}


def _queue_row(row: sqlite3.Row, why: Why | None, now: datetime) -> QueueRow:
    state = InvoiceState(row["state"])
    send_after = from_text(row["send_after"]) if row["send_after"] else None
    return QueueRow(
        id=row["id"],
        client_id=row["client_id"],
        nip=row["nip"],
        client=row["client"],
        number=row["number"] or row["file"],
        kind=row["kind"],
        issue_date=row["issue_date"],
        buyer_nip=row["buyer_nip"],
        buyer=row["buyer"],
        gross=Decimal(row["gross"]) if row["gross"] else None,
        currency=row["currency"],
        mode=row["mode"],
        channel=row["channel"],
        state=state,
        reason_code=row["reason_code"],
        reason=row["reason"],
        hint=why.text if why is not None else _hint(row, state, now),
        ksef_number=row["ksef_number"],
        upo=UpoState(row["upo"]),
        sha256=row["sha256"],
        session=row["session_reference"] or "",
        reference=row["reference"],
        attempts=row["attempts"],
        send_after=send_after if state is InvoiceState.APPROVED else None,
        changed_at=from_text(row["changed_at"]),
        standing=why.text if why is not None and why.obstacle else "",
        why=why,
        urgent=row["urgent_at"] is not None and state in (InvoiceState.APPROVED, InvoiceState.SENDING),
        settled=row["settled_at"] is not None and state is InvoiceState.REJECTED,
        replaced_by=row["replaced_by"],
    )


def _hint(row: sqlite3.Row, state: InvoiceState, now: datetime) -> str:
    """What is happening, what to do: one short phrase."""
    if state is InvoiceState.ACCEPTED:
        upo = {"saved": "UPO ✓", "late": "UPO spóźnione!", "unavailable": "UPO u nadawcy oryginału"}.get(
            row["upo"], "UPO w drodze"
        )
        if row["reason_code"] == NOT_STORED:
            upo = "niewidoczna w KSeF!"
        return f"…{row['ksef_number'][-9:]}  {upo}"
    if state is InvoiceState.UNKNOWN:
        return row["reason"] or "nie wysyłaj ponownie"
    if state is InvoiceState.PROCESSING:
        since = warsaw(from_text(row["changed_at"]))
        today = since.date() == warsaw(now).date()
        return f"w KSeF od {since:%H:%M}" if today else f"w KSeF od {since:%d.%m %H:%M}"
    return str(row["reason"])


def invoice_details(office: Office, operator: Operator, invoice_id: int) -> InvoiceDetails:
    """Everything about one invoice. Raises Problem("unknown_invoice"), also for one that the operator may not see."""
    row = queue_rows(office, operator, [invoice_id]).get(invoice_id)
    stored = invoices.get(office.db, invoice_id)
    if row is None or stored is None:
        raise Problem("unknown_invoice", f"Nie ma faktury {invoice_id}.")
    require(operator, Act.SEE, row.client_id)
    data = documents.get(office.db, row.sha256)
    if is_anothers(stored, data):
        raise Problem("other_document", f"{row.number}: zapisany plik jest fakturą innego sprzedawcy – wycofaj ją.")
    lines, more = _lines(data)
    findings = json.loads(stored["findings"])
    return InvoiceDetails(
        row=row,
        seller=f"{row.client} (NIP {stored['seller_nip'] or row.nip})",
        lines=lines,
        more_lines=more,
        errors=tuple(findings.get("errors", ())) if row.state is InvoiceState.INVALID else (),
        warnings=tuple(findings.get("warnings", ())),
        what_to_do=_what_to_do(row, settled=stored["settled_at"] is not None),
        links=_links(office, stored),
        original=_original(office, stored),
        timeline=timeline(office, operator, invoice_id),
        qr_link=_qr_link(office, stored) if row.ksef_number else "",
        xml=data[:XML_SHOWN].decode("utf-8", "replace"),
    )


def _lines(data: bytes) -> tuple[tuple[InvoiceLine, ...], int]:
    from ksef_tui.fa3.read import lines  # late: lxml

    try:
        found, more = lines(data, LINES_SHOWN)
    except (Problem, ValueError):  # a document that cannot be read has no lines to show
        return (), 0
    shown = (InvoiceLine(x.name, _amount(x.quantity), x.unit, _amount(x.net), x.rate) for x in found)
    return tuple(shown), more


def _amount(value: Decimal | None) -> str:
    return "" if value is None else f"{value:f}"


def _what_to_do(row: QueueRow, *, settled: bool) -> str:
    wrong = meaning(row.state, row.reason_code, settled)
    if wrong is not None:
        return wrong.what_to_do
    return {
        InvoiceState.WAITING: "Sprawdź fakturę i zatwierdź ją (z).",
        InvoiceState.HELD: "Zwolnij fakturę (p), gdy ma iść dalej.",
        InvoiceState.UNKNOWN: "Nic nie rób: program sam sprawdza w KSeF, czy faktura dotarła. Nie wysyłaj jej ponownie inną drogą.",
    }.get(row.state, "")


def _links(office: Office, stored: sqlite3.Row) -> tuple[str, ...]:
    before, after = links(office, stored)
    return tuple(f"{said} {which}" for said, which in (("Zastępuje:", before), ("Zastąpiona przez:", after)) if which)


def _original(office: Office, stored: sqlite3.Row) -> tuple[str, ...]:
    compared = compare(office, stored)
    return () if compared is None else in_sentences(compared)


def _qr_link(office: Office, stored: sqlite3.Row) -> str:
    from datetime import date

    from ksef_tui.ksef.qr import invoice_link

    return invoice_link(
        office.environment.qr_url,
        stored["seller_nip"],
        date.fromisoformat(stored["issue_date"]),
        binascii.unhexlify(stored["sha256"]),
    )


def timeline(office: Office, operator: Operator, invoice_id: int) -> tuple[TimelineRow, ...]:
    """What happened to an invoice, oldest first: its states, our calls, what people did."""
    del operator  # asked by the caller, who has the invoice's client
    happened: list[TimelineRow] = []
    for event in invoices.events(office.db, invoice_id):
        new = (
            "pilna: pójdzie pierwsza"
            if event["act"] == "urge"
            else INVOICE_BADGES[InvoiceState(event["to_state"])].label
        )
        text = new if not event["reason"] else f"{new}: {event['reason']}"
        happened.append(TimelineRow(from_text(event["at"]), "state", event["login"] or "", text))
    happened += [
        TimelineRow(from_text(call["at"]), "call", "", _call_text(call))
        for call in records.calls_of_invoice(office.db, invoice_id)
    ]
    return tuple(sorted(happened, key=lambda row: row.at))


def _call_text(call: sqlite3.Row) -> str:
    from ksef_tui.ksef.operations import OPERATIONS

    known = OPERATIONS.get(call["operation"])
    label = known.label if known else call["operation"]
    if call["phase"] == "started":
        return f"→ {label}"
    outcome = {
        "ok": "przyjęte",
        "refused": "odmowa",
        "limited": "limit zapytań",
        "unknown": "bez odpowiedzi – wynik nieznany",
        "unreachable": "brak połączenia",
    }.get(call["kind"], call["kind"])
    code = f" {call['code'] or call['status']}" if (call["code"] or call["status"]) and call["kind"] != "ok" else ""
    detail = f": {call['detail']}" if call["detail"] and call["kind"] != "ok" else ""
    return f"← {label}: {outcome}{code}{detail}"
