"""The facts behind `domain.standing`, read from the database, and who stands for which reason."""

from __future__ import annotations

import sqlite3
from datetime import UTC, datetime, timedelta

from ksef_tui.domain.authorizations import CAN_SEND, AuthState
from ksef_tui.domain.invoices import InvoiceState
from ksef_tui.domain.roles import Operator
from ksef_tui.domain.standing import ClientFacts, Closed, Facts, Why, no_access, why
from ksef_tui.domain.times import from_text
from ksef_tui.services.client_views import state_of
from ksef_tui.services.office import Office
from ksef_tui.services.pausing import as_pause
from ksef_tui.store import invoices, leases, limits, pauses, records, sessions, settings

AFTER_A_FAILURE = timedelta(hours=1)  # a client whose package KSeF refused as a whole sends no other for so long
UNPACKED = 430  # KSeF could not open the archive: the next one is a ZIP
HOUR = 3600.0

# What a group of limits is called where it is used up.
_LIMITS = {"invoiceSend": "limit", "onlineSession": "limit sesji", "batchSession": "limit paczek"}

_CLIENT = """
SELECT c.id, c.nip, c.reconcile_since, a.state, a.valid_until, a.method, a.reason, i.operator_id AS personal_to,
       w.client_id IS NOT NULL AND w.phase <> 'ending' AS switching, w.retry_at AS switch_retry
FROM client c JOIN authorization a ON a.client_id = c.id LEFT JOIN identity i ON i.id = a.identity_id
LEFT JOIN identity_switch w ON w.client_id = c.id WHERE c.id = ?
"""


class Standing:
    """Why invoices stand, as of one moment; what is so for a client is read once. `sends`: take it that a worker runs."""

    def __init__(self, office: Office, now: datetime, *, sends: bool = False) -> None:
        self._office = office
        self._now = now
        self._clients: dict[int, ClientFacts] = {}
        self._workers: frozenset[str] | None = None
        self._taken: int | None = None
        self._sends = sends

    def why(self, row: sqlite3.Row) -> Why | None:
        """Why this invoice stands. The row has `client_id`, `state`, `send_after`, `approved_by`, `urgent_at`,
        `attachment`, `changed_at`, and of its session `session_kind` and `session_state`."""
        state = InvoiceState(row["state"])
        if state not in (InvoiceState.APPROVED, InvoiceState.SENDING):
            return None
        return why(
            Facts(
                state=state,
                now=self._now,
                changed_at=from_text(row["changed_at"]),
                client=self.client(row["client_id"]),
                send_after=from_text(row["send_after"]) if row["send_after"] else None,
                approved_by=row["approved_by"],
                urgent=row["urgent_at"] is not None,
                attachment=bool(row["attachment"]),
                session=f"{row['session_kind']} {row['session_state']}" if row["session_kind"] else "",
            )
        )

    def client(self, client_id: int) -> ClientFacts:
        """What is so for all invoices of a client."""
        known = self._clients.get(client_id)
        if known is None:
            known = self._clients[client_id] = self._read(client_id)
        return known

    def _read(self, client_id: int) -> ClientFacts:
        office, db, now = self._office, self._office.db, self._now
        row = db.row(_CLIENT, (client_id,))
        assert row is not None
        auth = state_of(office, row["state"], row["valid_until"], row["method"], now)
        rest = pauses.rest(db, client_id, now)
        retries = row["switch_retry"] and from_text(row["switch_retry"]) > now
        serving = self._serving(client_id)
        refused = refused_until(office, client_id, now)
        return ClientFacts(
            auth=auth,
            auth_reason=row["reason"],
            pause=as_pause(pauses.in_force(db, client_id)),
            switching=bool(row["switching"]) and not retries,
            personal_to=row["personal_to"],
            reconciling=row["reconcile_since"] is not None,
            sends=self._sends or bool(self._names()),
            serving=serving,
            others_first=0 if serving else self._all_taken(),
            rest=Closed(rest["reason"], from_text(rest["until"])) if rest is not None else None,
            single=self._closed(row["nip"], "invoiceSend", "onlineSession"),
            packages=Closed("KSeF odrzucił ostatnią paczkę", refused)
            if refused is not None
            else self._closed(row["nip"], "batchSession"),
            urgent=invoices.urgent_due(db, client_id, now, row["personal_to"]),
        )

    def _names(self) -> frozenset[str]:
        if self._workers is None:
            self._workers = frozenset(leases.holders(self._office.db, "worker:"))
        return self._workers

    def _serving(self, client_id: int) -> str:
        pid = leases.held_by(self._office.db, f"client:{client_id}")
        if pid is None:
            return ""
        return "worker" if f"worker:{pid}" in self._names() else "other"

    def _all_taken(self) -> int:
        """How many clients are served at once when no place is free, else 0."""
        if self._taken is None:
            most = settings.get_int(self._office.db, "parallel_clients")
            served = len(leases.holders(self._office.db, "client:"))
            self._taken = most if served >= most else 0
        return self._taken

    def _closed(self, nip: str, *groups: str) -> Closed | None:
        """The limit that opens last, of those that are used up."""
        db, epoch = self._office.db, self._now.timestamp()
        until, group = max((limits.closed_until(db, nip, group), group) for group in groups)
        if until <= epoch:
            return None
        return Closed(self._used_up(nip, group), datetime.fromtimestamp(until, tz=UTC))

    def _used_up(self, nip: str, group: str) -> str:
        """`limit 180/h wyczerpany`; a rest that KSeF asked for (429) is called by its name."""
        from ksef_tui.ksef.limits import PRODUCTION_LIMITS

        db, epoch = self._office.db, self._now.timestamp()
        usual = PRODUCTION_LIMITS[group]
        _, minute, hour = limits.of_context(db, nip).get(group) or (0, usual.per_minute, usual.per_hour)
        calls = [at for at, _ in records.calls_since(db, nip, group, epoch - HOUR)]
        reserve = 2 if group != "invoiceSend" else 0  # an opening leaves room for the closing
        if 0 <= hour <= len(calls) + reserve:
            return f"{_LIMITS[group]} {hour}/h wyczerpany"
        if 0 <= minute <= sum(1 for at in calls if epoch - at < 60) + reserve:
            return f"{_LIMITS[group]} {minute}/min wyczerpany"
        return "KSeF prosi o przerwę"


def refused_until(office: Office, client_id: int, now: datetime) -> datetime | None:
    """Until when no package is sent because KSeF refused the last one as a whole; None when one may go. One tar.gz that
    it could not open is no reason: the next is a ZIP."""
    row = sessions.last_of_kind(office.db, client_id, "batch")
    if row is None or row["code"] is None or row["code"] < 400 or row["code"] == 445:
        return None
    if row["code"] == UNPACKED and row["compression"] == "TarGz":
        return None
    until = from_text(row["created_at"]) + AFTER_A_FAILURE
    return until if until > now else None


def standing(office: Office, operator: Operator) -> list[tuple[str, str, int, str]]:
    """Clients whose invoices do not move although nobody holds them: (NIP, name, how many, why).

    Approved ones that cannot go out, and, where the authorisation does not work, those whose fate at KSeF cannot be
    asked and those whose UPO cannot be fetched.
    """
    now = office.clock()
    rows = office.db.rows(
        "SELECT v.client_id, c.nip, c.name, v.approved_by, max(v.send_after) AS send_after, "
        "min(v.changed_at) AS changed_at, min(v.attachment) AS attachment, NULL AS urgent_at, "
        "'' AS session_kind, '' AS session_state, v.state = 'approved' AS approved, "
        "CASE WHEN v.state = 'approved' THEN v.state ELSE 'unknown' END AS state, count(*) AS n "
        "FROM invoice v JOIN client c ON c.id = v.client_id "
        "WHERE (v.state IN ('approved', 'sending', 'unknown', 'processing') "
        "OR (v.state = 'accepted' AND v.upo IN ('none', 'late'))) AND (:only IS NULL OR c.id = :only) "
        "GROUP BY c.id, v.approved_by, v.state = 'approved' ORDER BY c.name, approved DESC",
        {"only": operator.client_id},
    )
    found, reader = [], Standing(office, now, sends=True)
    for row in rows:
        if row["approved"]:
            said = reader.why(row)
            if said is not None and said.obstacle:
                found.append((row["nip"], row["name"], row["n"], said.text))
            continue
        auth = reader.client(row["client_id"]).auth
        if auth not in CAN_SEND and auth is not AuthState.READ_ONLY:
            found.append((row["nip"], row["name"], row["n"], f"wysłane, wynik nieznany – {no_access(auth)}"))
    return found
