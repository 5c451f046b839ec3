"""What needs a person now, over all clients or the operator's own, read with the facts of one moment (`domain.today`).

The few invoices that are not settled have an index of their own, so that a million settled ones cost nothing.
"""

from __future__ import annotations

import json
import sqlite3
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from datetime import datetime, time, timedelta
from typing import Any

from ksef_tui.domain import today as rules
from ksef_tui.domain.authorizations import CAN_SEND, AuthMethod, AuthState, effective
from ksef_tui.domain.invoices import InvoiceState
from ksef_tui.domain.roles import Act, Operator, require
from ksef_tui.domain.standing import Why, no_access
from ksef_tui.domain.text import count_of
from ksef_tui.domain.times import WARSAW, from_text, polish_day, to_text, warsaw
from ksef_tui.domain.today import Done, Item, Kind, Money
from ksef_tui.services import alarms, pausing
from ksef_tui.services.client_views import next_actions
from ksef_tui.services.office import Office
from ksef_tui.services.standing import Standing
from ksef_tui.store import leases, settings

# The planner, which has no statistics, would go through the states one by one: it is told which index has all that is asked for.
_INVOICES = """
SELECT g.*, c.nip, c.name, a.state AS auth, a.valid_until, a.method, s.kind AS session_kind, s.state AS session_state
FROM (
    SELECT client_id, state, CASE WHEN issue_date = :today THEN issue_date ELSE '' END AS issue_date, currency, reason_code, reason,
           CASE WHEN state IN ('approved', 'sending') THEN approved_by END AS approved_by,
           CASE WHEN state = 'sending' THEN session_id END AS session_id,
           count(*) AS n, sum(CAST(round(gross * 100) AS INTEGER)) AS cents, min(changed_at) AS changed_at,
           max(send_after) AS send_after, min(attachment) AS attachment, NULL AS urgent_at, json_group_array(id) AS ids
    FROM invoice INDEXED BY invoice_unsettled
    WHERE settled_at IS NULL
      AND state IN ('waiting', 'approved', 'held', 'blocked', 'invalid', 'rejected', 'sending', 'unknown')
    GROUP BY 1, 2, 3, 4, 5, 6, 7, 8
    UNION ALL
    SELECT client_id, state, '', currency, '', '', NULL, NULL, count(*), sum(CAST(round(gross * 100) AS INTEGER)),
           min(ifnull(accepted_at, changed_at)), NULL, 0, NULL, json_group_array(id)
    FROM invoice INDEXED BY invoice_late WHERE state = 'accepted' AND upo = 'late' GROUP BY client_id, currency
) g
JOIN client c ON c.id = g.client_id JOIN authorization a ON a.client_id = c.id
LEFT JOIN session s ON s.id = g.session_id
WHERE c.archived_at IS NULL AND a.state <> 'ended' AND {whose}
"""
_ACCESS = """
SELECT c.id, c.nip, c.name, a.state, a.valid_until, a.method, a.identity_id, a.reason_code, a.reason, a.requested_at,
       a.checked_at, i.label, s.valid_until AS sign_until, o.step AS visit_step,
       (SELECT sum(n.n) FROM invoice_count n WHERE n.client_id = c.id
        AND n.state IN ('waiting', 'approved', 'sending', 'unknown', 'processing')) AS waits
FROM authorization a JOIN client c ON c.id = a.client_id LEFT JOIN identity i ON i.id = a.identity_id
LEFT JOIN signature_request s ON s.client_id = c.id LEFT JOIN onboarding o ON o.client_id = c.id
WHERE c.archived_at IS NULL AND {whose} AND (
    a.state IN ('requested', 'to_sign', 'blocked', 'expired', 'no_permission', 'read_only', 'failed')
    OR (a.state IN ('active', 'expiring') AND a.valid_until <= :soon)
    OR o.step IN ('grant', 'wait', 'authorise')
    OR (a.state = 'missing' AND EXISTS (SELECT 1 FROM invoice_count n WHERE n.client_id = c.id AND n.n > 0
        AND n.state IN ('waiting', 'approved', 'sending', 'unknown', 'processing')))
)
"""
_DONE = """
SELECT count(DISTINCT v.id) FILTER (WHERE e.from_state IN ('sending', 'unknown') OR e.to_state = 'accepted'),
       count(DISTINCT v.id) FILTER (WHERE e.to_state = 'accepted'),
       count(DISTINCT v.id) FILTER (WHERE e.to_state = 'accepted' AND v.upo = 'saved')
FROM invoice_event e JOIN invoice v ON v.id = e.invoice_id JOIN client c ON c.id = v.client_id
WHERE e.id >= :first AND e.to_state IN ('processing', 'accepted', 'rejected') AND {whose}
"""
_WHOSE = "(:only IS NULL OR c.id = :only)"
_MINE = " AND c.keeper_id = :keeper"


@dataclass(slots=True)
class _Bag:
    """What is gathered for one row."""

    clients: dict[int, tuple[str, str]] = field(default_factory=dict)  # NIP and name
    count: int = 0
    cents: Counter[str] = field(default_factory=Counter)
    ids: list[int] = field(default_factory=list)
    states: Counter[InvoiceState] = field(default_factory=Counter)
    reasons: Counter[str] = field(default_factory=Counter)
    codes: Counter[str] = field(default_factory=Counter)
    since: str = ""
    until: datetime | None = None
    why: str = ""  # the code of what stands in the way

    def add(self, row: sqlite3.Row, reason: str, code: str) -> None:
        state = InvoiceState(row["state"])
        self.clients[row["client_id"]] = (row["nip"], row["name"])
        self.count += row["n"]
        self.cents[row["currency"] or "PLN"] += row["cents"] or 0
        self.ids += json.loads(row["ids"])
        self.states[state] += row["n"]
        self.reasons[reason] += row["n"]
        if code:
            self.codes[code] += row["n"]
        self.since = min(self.since or row["changed_at"], row["changed_at"])


def today(office: Office, operator: Operator, mine: bool = False) -> list[Item]:
    """What needs a person, most urgent first; of all clients that the operator may see, or of their own."""
    require(operator, Act.SEE, operator.client_id)
    now = office.clock()
    whose = _WHOSE + (_MINE if mine else "")
    args: dict[str, Any] = {"only": operator.client_id, "keeper": operator.id, "today": polish_day(now).isoformat()}
    stopped, covered = _stopped(office, operator, whose, args)
    invoices = office.db.rows(_INVOICES.format(whose=whose), args)
    found = [*stopped, *_of_invoices(office, invoices, covered, now), *_of_access(office, whose, args, covered, now)]
    return rules.by_urgency(_with_approved(found, invoices, now))


# Invoices -----------------------------------------------------------------------------------------------------------


def _of_invoices(office: Office, rows: list[sqlite3.Row], covered: set[int], now: datetime) -> list[Item]:
    """Rows by client, kind and whether they are due; what stands for all clients alike is one row."""
    reader, common, warn_days = Standing(office, now), _common(office, now), _warn_days(office)
    due_day = rules.due_day(now)
    auth: dict[int, AuthState] = {}
    bags: dict[tuple[Kind, int | None, bool], _Bag] = defaultdict(_Bag)
    for row in rows:
        state, client_id = InvoiceState(row["state"]), row["client_id"]
        why: Why | None = None
        everybodys = ""
        if state in (InvoiceState.APPROVED, InvoiceState.SENDING):
            if client_id not in auth:
                auth[client_id] = _as_of(row["auth"], row, warn_days, now)
            if client_id in covered or _without_access(auth[client_id]):
                continue  # the row of the authorisation, or of the identity, speaks for them
            everybodys = common if state is InvoiceState.APPROVED or common == _NOBODY else ""
            why = reader.why(row) if not everybodys else None
        due = rules.is_due(row["issue_date"], state, due_day)
        stands = bool(everybodys) or (why is not None and (why.obstacle or why.code == "nobody_sends"))
        leaves = why is not None and why.code == "recall"  # in seconds, by itself
        kind = (
            Kind.RECEIPT
            if state is InvoiceState.ACCEPTED
            else rules.kind_of(state, stands=stands, due=due and not leaves)
        )
        if kind is None:
            continue
        bag = bags[kind, None if everybodys else client_id, due]
        if why is not None and stands:
            bag.why, bag.until = bag.why or why.code, bag.until or why.until
        elif everybodys:
            bag.why = "nobody_sends" if everybodys == _NOBODY else "paused"
        bag.add(row, everybodys or (why.text if why is not None and stands else row["reason"]), row["reason_code"])
    items = []
    while bags:  # let go one by one: thousands of them and of their items at once are megabytes that stay
        (kind, one, due), bag = bags.popitem()
        items.append(_invoice_item(f"{kind}:{one or 'all'}{':due' if due else ''}", kind, due, bag, now))
    return items


_NOBODY = "nikt nie wysyła – uruchom program albo ksef-tui worker"


def _common(office: Office, now: datetime) -> str:
    """Why nothing of anybody is sent; empty when sending goes on."""
    pause = pausing.of_everything(office)
    if pause is not None:
        return f"wszystko {pause.said(now)}"
    return "" if leases.holders(office.db, "worker:") else _NOBODY


def _warn_days(office: Office) -> int:
    return settings.get_int(office.db, "expiring_days")


def _as_of(stored: str, row: sqlite3.Row, warn_days: int, now: datetime) -> AuthState:
    until = from_text(row["valid_until"]) if row["valid_until"] else None
    return effective(AuthState(stored), until, now, warn_days, row["method"])


def _without_access(auth: AuthState) -> bool:
    return auth not in CAN_SEND and auth is not AuthState.RUNNING


def _invoice_item(key: str, kind: Kind, due: bool, bag: _Bag, now: datetime) -> Item:
    since = from_text(bag.since)
    clients = tuple(sorted(bag.clients))
    nip, name = next(iter(bag.clients.values())) if len(clients) == 1 else ("", _clients(len(clients)))
    return Item(
        key=key,
        kind=kind,
        due=due,
        clients=clients,
        name=name,
        nip=nip,
        count=bag.count,
        money=Money.of(bag.cents),
        invoices=tuple(sorted(bag.ids)),
        states=dict(bag.states),
        why=_why(kind, due, bag, since, now),
        actions=rules.actions_of(kind, why=bag.why, codes=bag.codes),
        reason_code=bag.why or next(iter(bag.codes), ""),
        since=since,
        until=bag.until,
    )


def _why(kind: Kind, due: bool, bag: _Bag, since: datetime, now: datetime) -> str:
    if kind is Kind.APPROVE:
        said = "czekają, aż ktoś je zatwierdzi"
    elif kind is Kind.CHECKED:
        said = f"wynik wysłania nieznany od {rules.age(since, now)}: program pyta KSeF, nie wysyłaj drugi raz"
    elif kind is Kind.OUTGOING:
        said = "zatwierdzone, czekają na wysłanie"
    elif kind is Kind.RECEIPT:
        said = f"przyjęte {rules.age(since, now)} temu, KSeF nie wydał jeszcze UPO: program pyta dalej"
    elif kind is Kind.HELD:
        said = f"wstrzymane przez biuro od {rules.age(since, now)}"
    else:
        said = rules.reasons(bag.reasons)
    sentence = " – ".join(part for part in (said, rules.before_midnight(now) if due else "") if part)
    return sentence[:1].upper() + sentence[1:]


def _clients(count: int) -> str:
    return count_of(count, "klient", "klienci", "klientów")


# Access -------------------------------------------------------------------------------------------------------------


def _stopped(office: Office, operator: Operator, whose: str, args: dict[str, Any]) -> tuple[list[Item], set[int]]:
    """Identities that cannot log in any more, and the clients that each leaves standing."""
    if operator.client_id is not None:
        return [], set()
    seen = {row[0] for row in office.db.rows(f"SELECT id FROM client c WHERE {whose}", args)}  # noqa: S608
    found, covered = [], set()
    for identity, ids in alarms.fallen(office):
        clients = tuple(one for one in ids if one in seen)
        if not clients:
            continue
        covered |= set(clients)
        what = (
            "zablokowany przez MF: zadzwoń do MF"
            if identity["stopped_at"]
            else "odwołany" if identity["revoked_at"] else "usunięty" if identity["removed_at"] else "wygasł"
        )  # fmt: skip
        found.append(
            Item(
                key=f"{Kind.STOPPED}:{identity['id']}",
                kind=Kind.STOPPED,
                due=False,
                clients=clients,
                name=identity["label"],
                nip="",
                count=len(clients),
                why=f"Profil {what}; stoi {_clients(len(clients))}",
                actions=rules.BY_KIND[Kind.STOPPED].actions,
                since=from_text(identity["stopped_at"] or identity["revoked_at"] or identity["valid_to"]),
            )
        )
    return found, covered


def _of_access(office: Office, whose: str, args: dict[str, Any], covered: set[int], now: datetime) -> list[Item]:
    warn_days = _warn_days(office)
    soon = to_text(now + timedelta(days=warn_days))
    ending: dict[tuple[str, Any, str], list[sqlite3.Row]] = defaultdict(list)
    found = []
    for row in office.db.rows(_ACCESS.format(whose=whose), {**args, "soon": soon}):
        if row["id"] in covered:
            continue
        state = _as_of(row["state"], row, warn_days, now)
        requested = from_text(row["requested_at"]) if row["requested_at"] else None
        visit = row["visit_step"] in ("grant", "wait", "authorise") and state is not AuthState.TO_SIGN
        kind = rules.access_kind(state, waits=row["waits"] or 0, requested_at=requested, visit=visit, now=now)
        if kind is Kind.ENDS:
            day = warsaw(from_text(row["valid_until"])).date().isoformat()
            ending[row["method"] or "", row["identity_id"], day].append(row)
        elif kind is not None:
            found.append(_access_item(kind, row, state, now))
    return [*found, *(_ending(rows, now) for rows in ending.values())]


def _access_item(kind: Kind, row: sqlite3.Row, state: AuthState, now: datetime) -> Item:
    requested = from_text(row["requested_at"]) if row["requested_at"] else None
    sign_until = from_text(row["sign_until"]) if row["sign_until"] else None
    over = sign_until is not None and sign_until <= now
    actions = rules.BY_KIND[kind].actions
    letter = f"pismo z {warsaw(requested):%d.%m} bez odpowiedzi od {rules.age(requested, now)}" if requested else ""
    if kind is Kind.ACCESS:
        actions = next_actions(state, row["reason_code"])
        reason = row["reason"].removeprefix(f"{row['name']}: ")  # the row says whose it is
        why = letter if state is AuthState.REQUESTED and letter else reason or no_access(state)
        why = f"{why.rstrip('.')} – {_waiting(row['waits'])}"
    elif kind is Kind.SIGN:
        why = "minęło 10 minut na podpis, potrzebne nowe żądanie" if over else "żądanie czeka na podpisany plik"
        actions = ("auth.export", "auth.cancel") if over else actions
    elif kind is Kind.VISIT:
        why = row["reason"] or "wizyta klienta stanęła w połowie"
    else:
        why = letter
    return Item(
        key=f"{kind}:{row['id']}",
        kind=kind,
        due=False,
        clients=(row["id"],),
        name=row["name"],
        nip=row["nip"],
        count=(row["waits"] or 0) if kind is Kind.ACCESS else 0,
        why=why[:1].upper() + why[1:],
        actions=actions,
        reason_code=row["reason_code"] or state.value,
        since=requested if kind is Kind.LETTER else None,
    )


def _waiting(count: int) -> str:
    return count_of(count, "faktura czeka", "faktury czekają", "faktur czeka")


def _ending(rows: list[sqlite3.Row], now: datetime) -> Item:
    """One row for all who stop with the same certificate, or by the same day with their tokens."""
    first, method = rows[0], rows[0]["method"] or ""
    until = min(from_text(row["valid_until"]) for row in rows)
    label = first["label"] or ""
    whats: dict[str, str] = {
        AuthMethod.CERTIFICATE: f"certyfikat „{label}”" if label else "certyfikat",
        AuthMethod.TOKEN: "token KSeF" if len(rows) == 1 else "tokeny KSeF",
        AuthMethod.EXTERNAL: "logowanie podpisem zewnętrznym",
    }
    what = whats.get(method, "dostęp")
    one = len(rows) == 1
    stop = "kończą" if method == AuthMethod.TOKEN and not one else "kończy"
    return Item(
        key=f"{Kind.ENDS}:" + (str(first["id"]) if one else f"{method}:{first['identity_id']}:{until:%Y%m%d}"),
        kind=Kind.ENDS,
        due=False,
        clients=tuple(sorted(row["id"] for row in rows)),
        name=first["name"] if one else _clients(len(rows)),
        nip=first["nip"] if one else "",
        count=0,
        why=f"{what[:1].upper()}{what[1:]} {stop} się {rules.left(until, now)}; potem faktury staną",
        actions=rules.actions_of(Kind.ENDS, method=method),
        reason_code=method,
        until=until,
    )


def _with_approved(items: Iterable[Item], rows: list[sqlite3.Row], now: datetime) -> list[Item]:
    """The approved invoices of a client without access belong to the row that says so; it is due with what waits for it."""
    bags: dict[int, _Bag] = defaultdict(_Bag)
    dated: set[int] = set()
    due_day = rules.due_day(now)
    for row in rows:
        if row["state"] in ("approved", "sending"):
            bags[row["client_id"]].add(row, "", "")
        needs_access = row["state"] in ("approved", "sending", "waiting")
        if needs_access and rules.is_due(row["issue_date"], InvoiceState(row["state"]), due_day):
            dated.add(row["client_id"])
    found = []
    for item in items:
        if item.kind in (Kind.ACCESS, Kind.STOPPED):
            mine = [bags[one] for one in item.clients if one in bags]
            due = any(one in dated for one in item.clients)
            cents, states = Counter[str](), Counter[InvoiceState]()
            for bag in mine:
                cents.update(bag.cents)
                states.update(bag.states)
            ids = tuple(sorted(one for bag in mine for one in bag.ids))
            why = f"{item.why} – {rules.before_midnight(now)}" if due else item.why
            item = replace(item, due=due, why=why, money=Money.of(cents), invoices=ids, states=dict(states))
        found.append(item)
    return found


# Done ---------------------------------------------------------------------------------------------------------------


def done_today(office: Office, operator: Operator, mine: bool = False) -> Done:
    """What came about since midnight in Poland: sent to KSeF, accepted, and of those the UPOs that are kept."""
    require(operator, Act.SEE, operator.client_id)
    day = polish_day(office.clock())
    first = _first_event(office, to_text(datetime.combine(day, time(), WARSAW)))
    args = {"first": first, "only": operator.client_id, "keeper": operator.id}
    row = office.db.row(_DONE.format(whose=_WHOSE + (_MINE if mine else "")), args)
    assert row is not None
    begun = bool(office.db.value("SELECT EXISTS (SELECT 1 FROM client WHERE office = 0)"))
    return Done(day, row[0], row[1], row[2], begun)


def _first_event(office: Office, at: str) -> int:
    """The first event since a moment: events are written in the order of time, so halving finds it without an index."""
    low, high = 1, int(office.db.value("SELECT ifnull(max(id), 0) FROM invoice_event")) + 1
    while low < high:
        middle = (low + high) // 2
        found = office.db.row("SELECT id, at FROM invoice_event WHERE id >= ? ORDER BY id LIMIT 1", (middle,))
        if found is None or found["at"] >= at:
            high = middle
        else:
            low = found["id"] + 1
    return low
