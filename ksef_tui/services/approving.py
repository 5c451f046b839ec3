"""What a person decides about invoices in the queue: approve, recall, urge, hold, release, withdraw, retry, settle."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any

from ksef_tui.domain.authorizations import AUTH_BADGES, CAN_SEND, AuthState
from ksef_tui.domain.invoices import INVOICE_BADGES, LOOKED_FOR, RETRYABLE_REJECTIONS, InvoiceState, may_move
from ksef_tui.domain.problems import Problem
from ksef_tui.domain.roles import Act, Operator, may, require
from ksef_tui.domain.text import count_of
from ksef_tui.domain.times import polish_day, to_text
from ksef_tui.services import pausing
from ksef_tui.services.client_views import state_of
from ksef_tui.services.clock_jumps import settle as settle_clock
from ksef_tui.services.guards import guard
from ksef_tui.services.office import Office
from ksef_tui.store import authorizations, invoices
from ksef_tui.store.records import audit

CAN_LOOK = (*CAN_SEND, AuthState.READ_ONLY)
LOOKING = "sprawdzam w KSeF, czy mimo odmowy jej tam nie ma – dopiero potem można ponowić"
LONGEST_NOTE = 300  # characters


@dataclass(frozen=True, slots=True)
class ActResult:
    """How many invoices it was done to, and for the others why not (id, Polish sentence). `left`: how many were not
    looked at any more, because a person stopped it."""

    done: int
    refused: tuple[tuple[int, str], ...]
    left: int = 0


@dataclass(frozen=True, slots=True)
class ClientTotal:
    """What an approval would issue in one client's name."""

    name: str
    nip: str
    count: int
    gross: tuple[tuple[str, Decimal], ...]  # by currency


@dataclass(frozen=True, slots=True)
class ApprovalSummary:
    """What a person is told before approving (design §9): how many, for whom, for how much, and what to mind."""

    count: int
    by_client: tuple[ClientTotal, ...]
    warnings: tuple[str, ...]


Decide = Callable[[sqlite3.Row, datetime], "tuple[InvoiceState, str, str, dict[str, Any]]"]


def approve(office: Office, operator: Operator, ids: Sequence[int]) -> ActResult:
    """Waiting invoices → approved. They go out when the recall window has passed (design §6 rule 11)."""
    settle_clock(office)
    send_after = to_text(office.clock() + timedelta(seconds=office.recall_seconds))

    approved = {"send_after": send_after, "approved_by": operator.id, "urgent_at": None}
    return _act(
        office, operator, Act.INVOICE_APPROVE, "approve", ids, _checked_anew(office, InvoiceState.APPROVED, approved)
    )


def recall(office: Office, operator: Operator, ids: Sequence[int]) -> ActResult:
    """Approved invoices → waiting, as long as nothing of them is being sent."""
    return _act(
        office,
        operator,
        Act.INVOICE_RECALL,
        "recall",
        ids,
        lambda *_: (InvoiceState.WAITING, "", "", {"send_after": None, "urgent_at": None}),
    )


def urge(office: Office, operator: Operator, ids: Sequence[int]) -> ActResult:
    """Approved invoices go before all others of their client, and one by one (design §6 rule 10). Their recall window
    stands: urgent is no reason to send what a person may still take back. Recalling takes the mark away."""
    return _act(
        office,
        operator,
        Act.INVOICE_URGE,
        "urge",
        ids,
        lambda row, now: (InvoiceState.APPROVED, "", "", {"urgent_at": to_text(now)}),
        lambda row: "jest już oznaczona jako pilna" if row["urgent_at"] else None,
    )


def hold(office: Office, operator: Operator, ids: Sequence[int]) -> ActResult:
    """Waiting or approved invoices → held by a person."""
    reason = f"wstrzymał(a): {operator.name}"
    return _act(
        office,
        operator,
        Act.INVOICE_HOLD,
        "hold",
        ids,
        lambda *_: (InvoiceState.HELD, "held", reason, {"send_after": None, "urgent_at": None}),
    )


def release(office: Office, operator: Operator, ids: Sequence[int]) -> ActResult:
    """Held or blocked invoices → waiting, with all checks anew: what still stands in the way blocks them again."""
    return _act(
        office,
        operator,
        Act.INVOICE_RELEASE,
        "release",
        ids,
        _checked_anew(office, InvoiceState.WAITING, {"send_after": None}),
    )


def withdraw(office: Office, operator: Operator, ids: Sequence[int]) -> ActResult:
    """Invoices that are not on the wire → withdrawn: they will not be sent, the record stays."""
    reason = f"wycofał(a): {operator.name}"
    return _act(
        office,
        operator,
        Act.INVOICE_WITHDRAW,
        "withdraw",
        ids,
        lambda *_: (InvoiceState.WITHDRAWN, "withdrawn", reason, {"urgent_at": None}),
    )


def retry(office: Office, operator: Operator, ids: Sequence[int]) -> ActResult:
    """Refused invoices that another try may cure (facts §10.2) are looked for in KSeF by their hash (`retrying`): one
    that is there is accepted, one that is not waits for approval again. Until then nobody sends them."""
    gone = {"session_id": None, "ordinal": None, "reference": "", "next_look": None}
    return _act(
        office,
        operator,
        Act.INVOICE_RETRY,
        "retry",
        ids,
        lambda *_: (InvoiceState.UNKNOWN, LOOKED_FOR, LOOKING, dict(gone)),
        lambda row: why_no_retry(office, row),
    )


def not_retried(office: Office, ids: Sequence[int]) -> tuple[tuple[int, str], ...]:
    """Of invoices that were looked for: those that may not go again, with why. One that KSeF has is done."""
    rows = [row for i in ids if (row := invoices.get(office.db, i)) is not None]
    stands = (InvoiceState.UNKNOWN, InvoiceState.REJECTED, InvoiceState.BLOCKED)
    return tuple((row["id"], f"{row['number']}: {row['reason']}") for row in rows if row["state"] in stands)


def settle(office: Office, operator: Operator, ids: Sequence[int], note: str) -> ActResult:
    """Refused invoices stay refused, with who decided so and why: nobody has to do anything about them any more, and
    nobody else's reason takes the place of theirs.

    Raises Problem("no_note") without a reason, Problem("long_note") for one that fits no row.
    """
    note = " ".join(note.split())
    if not note:
        raise Problem("no_note", "Napisz, co postanowiono i dlaczego: zostanie to przy fakturze.")
    if len(note) > LONGEST_NOTE:
        raise Problem("long_note", f"Uwaga może mieć najwyżej {LONGEST_NOTE} znaków.")
    return _act(
        office,
        operator,
        Act.INVOICE_SETTLE,
        "decide",
        ids,
        lambda row, now: (
            InvoiceState.REJECTED,
            row["reason_code"],
            f"rozstrzygnięta, zostaje odrzucona – {operator.name}: {note}",
            {"settled_at": to_text(now)},
        ),
        lambda row: "już rozstrzygnięta" if row["settled_at"] else None,
    )


def waiting_ids(office: Office, operator: Operator, client_id: int | None) -> list[int]:
    """The invoices that wait for approval: of one client, or of all that the operator may see."""
    if operator.client_id is not None:
        client_id = operator.client_id
    return invoices.ids_in_state(office.db, InvoiceState.WAITING, client_id)


def summary(office: Office, operator: Operator, ids: Sequence[int]) -> ApprovalSummary:
    """What approving these invoices would do. Only waiting ones count."""
    today = polish_day(office.clock())
    totals: dict[int, list[sqlite3.Row]] = {}
    past, future = 0, 0
    for row in _waiting(office, ids):
        if row["client_id"] not in totals and not may(operator, Act.INVOICE_APPROVE, row["client_id"]):
            continue
        totals.setdefault(row["client_id"], []).append(row)
        day = date.fromisoformat(row["issue_date"])
        past += day < today
        future += day > today
    by_client = tuple(
        sorted((_total(office, client_id, rows) for client_id, rows in totals.items()), key=lambda t: t.name)
    )
    warnings = [f"{name}: {why} – faktury poczekają, aż to się zmieni." for name, why in _cannot_go(office, totals)]
    if past:
        warnings.append(
            count_of(past, "faktura ma", "faktury mają", "faktur ma")
            + " datę wystawienia wcześniejszą niż dziś: KSeF oznaczy je jako offline."
        )
    if future:
        warnings.append(
            count_of(future, "faktura ma", "faktury mają", "faktur ma") + " datę przyszłą i nie zostanie wysłana."
        )
    return ApprovalSummary(sum(t.count for t in by_client), by_client, tuple(warnings))


def _waiting(office: Office, ids: Sequence[int]) -> Iterator[sqlite3.Row]:
    """What is told of those of these invoices that wait for approval, some thousands at a time."""
    for start in range(0, len(ids), 5_000):
        yield from office.db.rows(
            "SELECT client_id, gross, currency, issue_date FROM invoice WHERE state = 'waiting' "
            "AND id IN (SELECT value FROM json_each(?))",
            (json.dumps(list(ids[start : start + 5_000])),),
        )


def _cannot_go(office: Office, client_ids: Iterable[int]) -> Iterator[tuple[str, str]]:
    """Clients whose invoices would not leave yet, with the reason; everybody's is said once."""
    now = office.clock()
    everything = pausing.of_everything(office)
    if everything is not None:
        yield "Wszystko", everything.said(now)
    for client_id in client_ids:
        own = pausing.of_client(office, client_id) if everything is None else None
        row = office.db.row(
            "SELECT c.name, a.state, a.valid_until, a.method, w.label AS switch_to FROM client c "
            "JOIN authorization a ON a.client_id = c.id LEFT JOIN (SELECT s.client_id, i.label FROM identity_switch s "
            "JOIN identity i ON i.id = s.identity_id) w ON w.client_id = c.id WHERE c.id = ?",
            (client_id,),
        )
        assert row is not None
        state = state_of(office, row["state"], row["valid_until"], row["method"], now)
        if state not in CAN_SEND:
            yield row["name"], AUTH_BADGES[state].label
        elif row["switch_to"] is not None:
            yield row["name"], f"klient zmienia się na profil {row['switch_to']}"
        elif own is not None:
            yield row["name"], own.said(now)


def _total(office: Office, client_id: int, rows: list[sqlite3.Row]) -> ClientTotal:
    gross: dict[str, Decimal] = {}
    for row in rows:
        gross[row["currency"]] = gross.get(row["currency"], Decimal(0)) + Decimal(row["gross"])
    client = office.db.row("SELECT nip, name FROM client WHERE id = ?", (client_id,))
    assert client is not None
    return ClientTotal(client["name"], client["nip"], len(rows), tuple(sorted(gross.items())))


def _checked_anew(office: Office, new: InvoiceState, values: dict[str, Any]) -> Decide:
    """To `new`, unless a guard stops it now."""

    def decide(row: sqlite3.Row, now: datetime) -> tuple[InvoiceState, str, str, dict[str, Any]]:
        stopped = guard(office, row, now)
        if stopped is not None:
            return InvoiceState.BLOCKED, stopped.code, stopped.message, {}
        return new, "", "", values

    return decide


def why_no_retry(office: Office, row: sqlite3.Row) -> str | None:
    """Why a refused invoice is not tried again: the refusal is of another kind, or KSeF cannot be asked for it first."""
    code = row["reason_code"]
    if not code.isdigit() or int(code) not in RETRYABLE_REJECTIONS:
        return "tej odmowy nie zmieni ponowna wysyłka – zastąp fakturę poprawionym plikiem albo ją wycofaj (F4)"
    access = authorizations.get(office.db, row["client_id"])
    if state_of(office, access["state"], access["valid_until"], access["method"], office.clock()) not in CAN_LOOK:
        return "bez działającej autoryzacji nie da się sprawdzić, czy nie ma jej już w KSeF – połącz klienta (a)"
    return None


def _act(
    office: Office,
    operator: Operator,
    act: Act,
    move: str,
    ids: Sequence[int],
    decide: Decide,
    why_not: Callable[[sqlite3.Row], str | None] = lambda _: None,
) -> ActResult:
    """Do one act to many invoices: each one that can, or why not; in transactions of at most 200."""
    refused: list[tuple[int, str]] = []
    done = 0
    unique = list(dict.fromkeys(ids))
    for start in range(0, len(unique), 200):
        now = office.clock()
        with office.db.write() as connection:
            for invoice_id in unique[start : start + 200]:
                row = invoices.get(office.db, invoice_id)
                if row is None or not may(operator, Act.SEE, row["client_id"]):
                    refused.append((invoice_id, f"nie ma faktury o numerze wewnętrznym {invoice_id}"))
                    continue
                require(operator, act, row["client_id"])
                old = InvoiceState(row["state"])
                reason = _why_not_now(move, old) or why_not(row)
                if reason is not None:
                    refused.append((invoice_id, f"{row['number']}: {reason}"))
                    continue
                new, code, text, values = decide(row, now)
                act_name = "guard" if new is InvoiceState.BLOCKED and move == "approve" else move
                invoices.move(
                    connection, now, invoice_id, act_name, old, new,
                    operator_id=operator.id, reason_code=code, reason=text, **values,
                )  # fmt: skip
                audit(connection, now, operator, act, client_id=row["client_id"], invoice_id=invoice_id, to=new)
                if new is InvoiceState.BLOCKED:
                    refused.append((invoice_id, f"{row['number']}: {text}"))
                else:
                    done += 1
    return ActResult(done, tuple(refused))


def _why_not_now(move: str, old: InvoiceState) -> str | None:
    if any(may_move(move, old, new) for new in InvoiceState):
        return None
    return f"faktura jest w stanie „{INVOICE_BADGES[old].label}”, więc tego nie można zrobić"
