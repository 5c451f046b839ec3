"""The list of clients and a client's authorisation, as screens and commands show them."""

from __future__ import annotations

import json
import sqlite3
from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from ksef_tui.domain.authorizations import (
    AUTH_BADGES,
    CAN_SEND,
    LOGIN_CHAIN,
    AuthMethod,
    AuthState,
    AuthStep,
    effective,
    to_sign_word,
)
from ksef_tui.domain.roles import Act, Operator, require
from ksef_tui.domain.staff import masked
from ksef_tui.domain.text import alphabetical, fold
from ksef_tui.domain.times import from_text, warsaw
from ksef_tui.services import client_words, first_steps, onboarding_views
from ksef_tui.services.identity_rules import STOPPED, named
from ksef_tui.services.office import Office
from ksef_tui.services.views import AuthorizationView, ClientCounts, ClientList, ClientRow, StepView
from ksef_tui.services.wire import left_behind
from ksef_tui.store import offices, pauses, settings

# Who needs a person first: the smaller, the higher in the list.
_URGENCY: dict[AuthState, int] = {
    AuthState.BLOCKED: 0,
    AuthState.EXPIRED: 1,
    AuthState.NO_PERMISSION: 2,
    AuthState.READ_ONLY: 3,
    AuthState.FAILED: 4,
    AuthState.TO_SIGN: 5,
    AuthState.RUNNING: 6,
    AuthState.EXPIRING: 7,
    AuthState.ACTIVE: 8,
    AuthState.REQUESTED: 9,
    AuthState.MISSING: 10,
    AuthState.ENDED: 11,
}
TROUBLE = frozenset(
    {AuthState.BLOCKED, AuthState.EXPIRED, AuthState.NO_PERMISSION, AuthState.READ_ONLY, AuthState.FAILED}
)

_CLIENTS = """
SELECT c.id, c.nip, c.name, c.office, c.keeper_id,
       EXISTS (SELECT 1 FROM pause p WHERE p.client_id = c.id AND p.ended_at IS NULL) AS paused,
       a.*, i.label AS identity_label, s.valid_until AS sign_until,
       w.phase AS switch_phase, w.retry_at AS switch_retry, t.label AS switch_label,
       t.subject_type || ':' || t.subject_value AS switch_subject,
       coalesce(sum(n.n) FILTER (WHERE n.state IN ('sending', 'unknown', 'processing')), 0) AS on_wire,
       e.ended_at, e.gone, e.seen_at,
       o.step AS visit_step,
       coalesce(sum(n.n) FILTER (WHERE n.state = 'waiting'), 0) AS waiting,
       coalesce(sum(n.n) FILTER (WHERE n.state IN ('invalid', 'blocked', 'rejected')), 0)
         - (SELECT count(*) FROM invoice v WHERE v.client_id = c.id AND v.state = 'rejected' AND v.settled_at IS NOT NULL) AS standing,
       coalesce(sum(n.n) FILTER (WHERE n.state = 'approved'), 0) AS approved,
       coalesce(sum(n.n) FILTER (WHERE n.state IN ('approved', 'sending', 'unknown', 'processing')), 0) AS moving
FROM client c JOIN authorization a ON a.client_id = c.id
LEFT JOIN identity i ON i.id = a.identity_id
LEFT JOIN signature_request s ON s.client_id = c.id
LEFT JOIN identity_switch w ON w.client_id = c.id
LEFT JOIN identity t ON t.id = w.identity_id
LEFT JOIN service_end e ON e.client_id = c.id
LEFT JOIN onboarding o ON o.client_id = c.id
LEFT JOIN invoice_count n ON n.client_id = c.id
WHERE c.archived_at IS NULL AND (:only IS NULL OR c.id = :only) {more} GROUP BY c.id
"""


def state_of(office: Office, stored: str, valid_until: str | None, method: str | None, now: datetime) -> AuthState:
    """An authorisation as it is today: stored, or what time has made of it."""
    return _as_of(stored, valid_until, method, now, settings.get_int(office.db, "expiring_days"))


def _as_of(stored: str, valid_until: str | None, method: str | None, now: datetime, expiring_days: int) -> AuthState:
    """The same for lists, which read the setting once and not for each client."""
    until = from_text(valid_until) if valid_until else None
    return effective(AuthState(stored), until, now, expiring_days, method)


@dataclass(slots=True)
class _Ranked:
    """What the order of the list goes by: no more, for it is read of all clients after every change."""

    id: int
    name: str
    state: AuthState
    waiting: int
    stuck: int


_RANKED = """
SELECT c.id, c.name, c.nip, a.state, a.valid_until, a.method, n.waiting, n.standing - ifnull(d.settled, 0), n.approved
FROM client c JOIN authorization a ON a.client_id = c.id
LEFT JOIN (
    SELECT client_id, coalesce(sum(n) FILTER (WHERE state = 'waiting'), 0) AS waiting,
           coalesce(sum(n) FILTER (WHERE state IN ('invalid', 'blocked', 'rejected')), 0) AS standing,
           coalesce(sum(n) FILTER (WHERE state = 'approved'), 0) AS approved
    FROM invoice_count WHERE state IN ('waiting', 'invalid', 'blocked', 'rejected', 'approved') GROUP BY client_id
) n ON n.client_id = c.id
LEFT JOIN (
    SELECT client_id, count(*) AS settled FROM invoice INDEXED BY invoice_settled
    WHERE state = 'rejected' AND settled_at IS NOT NULL GROUP BY client_id
) d ON d.client_id = c.id
WHERE c.archived_at IS NULL AND (:only IS NULL OR c.id = :only) AND (:keeper IS NULL OR c.keeper_id = :keeper)
"""


def _ranked(office: Office, operator: Operator, words: Sequence[str] = (), keeper: int | None = None) -> list[_Ranked]:
    now, days = office.clock(), settings.get_int(office.db, "expiring_days")
    cursor = office.db.connection.cursor()
    cursor.row_factory = None  # plain tuples: half the time
    found = []
    for id_, name, nip, stored, until, method, waiting, standing, approved in cursor.execute(
        _RANKED, {"only": operator.client_id, "keeper": keeper}
    ):
        if words and not all(word in fold(f"{name} {nip}") for word in words):
            continue
        state = _as_of(stored, until, method, now, days)
        found.append(_Ranked(id_, name, state, waiting or 0, _stuck(state, standing or 0, approved or 0)))
    return found


def stopped_clients(office: Office) -> list[int]:
    """Those of whom nothing that is approved goes out until a person does something: paused, or without access."""
    now, days = office.clock(), settings.get_int(office.db, "expiring_days")
    everything = pauses.of_all(office.db) is not None
    paused = {row["client_id"] for row in pauses.of_clients(office.db)}
    return [
        row["client_id"]
        for row in office.db.rows("SELECT client_id, state, valid_until, method FROM authorization")
        if everything
        or row["client_id"] in paused
        or _as_of(row["state"], row["valid_until"], row["method"], now, days) not in (*CAN_SEND, AuthState.RUNNING)
    ]


def client_ids(office: Office, operator: Operator, text: str = "", mine: bool = False) -> array[int]:
    """The clients in the order of the list: those that need a person first, then by name."""
    return _in_order(_ranked(office, operator, fold(text).split(), operator.id if mine else None))


def client_list(office: Office, operator: Operator, text: str = "", mine: bool = False) -> ClientList:
    """`client_ids`, and how many clients there are and need a person, in one reading where it is the same one."""
    everybody = _ranked(office, operator)
    counts = ClientCounts(len(everybody), sum(1 for one in everybody if one.state in TROUBLE or one.stuck))
    if not text and not mine:
        return ClientList(_in_order(everybody), counts)
    del everybody
    return ClientList(client_ids(office, operator, text, mine), counts)


def _in_order(found: list[_Ranked]) -> array[int]:
    def rank(one: _Ranked) -> tuple[bool, bool, int, bool, str]:
        return (not one.stuck, one.state not in TROUBLE, _URGENCY[one.state], not one.waiting, alphabetical(one.name))

    return array("q", [one.id for one in sorted(found, key=rank)])


def client_rows(office: Office, operator: Operator, ids: Sequence[int]) -> dict[int, ClientRow]:
    """The rows of a window of the list."""
    now = office.clock()
    marks = ", ".join(str(int(i)) for i in ids)
    rows = office.db.rows(_CLIENTS.format(more=f"AND c.id IN ({marks})"), {"only": operator.client_id})
    return {row["id"]: _client_row(office, row, now) for row in rows}


def _stuck(state: AuthState, standing: int, approved: int) -> int:
    if state is AuthState.ENDED:  # nobody is to do anything about them any more
        return 0
    return standing + (0 if state in CAN_SEND else approved)


def _client_row(office: Office, row: sqlite3.Row, now: datetime) -> ClientRow:
    state = state_of(office, row["state"], row["valid_until"], row["method"], now)
    return ClientRow(
        id=row["id"],
        nip=row["nip"],
        name=row["name"],
        office=bool(row["office"]),
        status=state,
        word=badge_word(row, state, now),
        waiting=row["waiting"],
        stuck=_stuck(state, row["standing"], row["approved"]),
        moving=row["moving"],
        paused=bool(row["paused"]),
        switching=row["switch_phase"] == "waiting",
        sign_until=from_text(row["sign_until"]) if row["sign_until"] else None,
        visit=_stopped(row),
    )


def _stopped(row: sqlite3.Row) -> bool:
    """Whether a client's visit stopped half way, after its signature."""
    return row["visit_step"] in ("grant", "wait", "authorise") and row["state"] not in ("running", "to_sign")


def badge_word(row: sqlite3.Row, state: AuthState, now: datetime) -> str:
    """The badge in words: what ends and when, what is missing since when."""
    until = warsaw(from_text(row["valid_until"])).strftime("%d.%m") if row["valid_until"] else ""
    if row["switch_phase"] == "waiting" and state is not AuthState.RUNNING:
        return "na profil" + (f": {row['on_wire']} w drodze" if row["on_wire"] else "")
    if state is AuthState.ACTIVE:
        return "gotowy" + _letters(row)
    if state in (AuthState.EXPIRING, AuthState.EXPIRED):
        what = {AuthMethod.TOKEN: "token", AuthMethod.EXTERNAL: "sesja"}.get(row["method"], "cert.")
        if what == "sesja" and state is AuthState.EXPIRING:  # within a day: the hour says more than the date
            until = warsaw(from_text(row["valid_until"])).strftime("%H:%M")
        return f"{what} do {until}" if state is AuthState.EXPIRING else f"{what} wygasł{'a' if what == 'sesja' else ''}"
    if state is AuthState.NO_PERMISSION:
        since = warsaw(from_text(row["withdrawn_at"])).strftime("%d.%m") if row["withdrawn_at"] else ""
        return f"klient odebrał {since}" if since else "klient nie nadał"
    if state is AuthState.TO_SIGN:
        return to_sign_word(from_text(row["sign_until"]) if row["sign_until"] else None, now)
    if state is AuthState.ENDED and row["gone"] is not None:
        return "uprawnienia odebrane" if row["gone"] else "klient nie odebrał"
    if state is AuthState.MISSING and row["reason_code"] == "granted":
        return "nadane" + _letters(row)
    if state is AuthState.REQUESTED and row["requested_at"]:
        return f"czeka na klienta (pismo {warsaw(from_text(row['requested_at'])):%d.%m})"
    if state is AuthState.FAILED and _stopped(row):
        return "do dokończenia"
    if state is AuthState.FAILED and row["reason_code"] == "unreachable":
        return "KSeF nie odpowiada"
    return AUTH_BADGES[state].label


def _letters(row: sqlite3.Row) -> str:
    rights = set(json.loads(row["rights"]))
    owner = "Owner" in rights
    shown = [
        letter
        for letter, has in (
            ("W", owner or "InvoiceWrite" in rights),
            ("P", owner or "InvoiceRead" in rights),
            ("D", owner or bool(row["can_delegate"])),
        )
        if has
    ]
    return (" " + " ".join(shown)) if shown else ""


def authorization(office: Office, operator: Operator, client_id: int) -> AuthorizationView:
    """The client's flow: where it stands, what is wrong in one sentence, what mends it. Raises Problem."""
    require(operator, Act.SEE, client_id)
    now = office.clock()
    row = office.db.row(_CLIENTS.format(more="AND c.id = :id"), {"only": operator.client_id, "id": client_id})
    if row is None:
        raise KeyError(client_id)
    state = state_of(office, row["state"], row["valid_until"], row["method"], now)
    method = AuthMethod(row["method"]) if row["method"] and state is not AuthState.ENDED else None
    visit = onboarding_views.visit(office, row, state)
    said = onboarding_views.sentence(office, visit, row, state, now) if visit is not None else None
    sentence, needed = said or _sentence(office, row, state, now)
    first = None if said else first_steps.said(office, row, state)
    if first is not None:
        sentence, needed = first[:2]
    return AuthorizationView(
        client_id=client_id,
        nip=row["nip"],
        name=row["name"],
        status=state,
        word=badge_word(row, state, now),
        method=method,
        identity=row["identity_label"] or "",
        identity_line=_identity_line(office, row, method),
        steps=onboarding_views.steps(visit, row, state) if visit and visit.is_shown else _steps(row, state),
        rights=tuple(json.loads(row["rights"])),
        can_delegate=bool(row["can_delegate"]),
        sentence=sentence,
        needed=needed,
        rights_seen=_letters(row).strip(),
        checked_at=from_text(row["checked_at"]) if row["checked_at"] else None,
        valid_until=from_text(row["valid_until"]) if row["valid_until"] else None,
        reason_code=row["reason_code"],
        actions=(
            ("auth.start", "auth.cancel")
            if _stopped(row)
            else first[2]
            if first is not None
            else next_actions(
                state,
                row["reason_code"],
                switching=row["switch_phase"] == "waiting",
                token=row["method"] == AuthMethod.TOKEN,
            )
        ),
        sign_until=from_text(row["sign_until"]) if row["sign_until"] else None,
        ended_at=from_text(row["ended_at"]) if row["ended_at"] else None,
        rights_gone=None if row["gone"] is None else bool(row["gone"]),
        rights_seen_at=from_text(row["seen_at"]) if row["seen_at"] else None,
        switching_to=row["switch_label"] or "",
        waits_for=left_behind(office, client_id, row["switch_subject"]).words
        if row["switch_phase"] == "waiting"
        else "",
        visit=visit,
    )


def _identity_line(office: Office, row: sqlite3.Row, method: AuthMethod | None) -> str:
    if method is None:
        return ""
    if row["identity_id"] is None:
        until = warsaw(from_text(row["valid_until"])).strftime("%d.%m.%Y") if row["valid_until"] else ""
        kind, _, value = row["subject"].partition(":")
        signer = f"podpisał {masked(kind, value)}, " if method is AuthMethod.EXTERNAL and until and value else ""
        return f"{signer}do {until}" if until else ""
    identity = offices.identity(office.db, row["identity_id"])
    assert identity is not None
    until = warsaw(from_text(identity["valid_to"])).strftime("%d.%m.%Y")
    subject = masked(identity["subject_type"], identity["subject_value"])
    return f"{identity['label']}: certyfikat, {subject}, ważny do {until}"


_AT_STEP = {AuthState.RUNNING: "running", AuthState.TO_SIGN: "waiting"}


def _steps(row: sqlite3.Row, state: AuthState) -> tuple[StepView, ...]:
    order = LOGIN_CHAIN
    at = order.index(AuthStep(row["step"])) if row["step"] in order else -1
    views = []
    for place, step in enumerate(order):
        if at < 0 or place > at:
            shown, detail = "pending", ""
        elif place < at:
            shown, detail = "done", ""
        elif row["step_failed"]:
            shown, detail = "failed", row["reason_code"] if row["reason_code"].isdigit() else ""
        else:
            shown, detail = _AT_STEP.get(state, "done"), ""
        if step is AuthStep.RIGHTS and state in (*CAN_SEND, AuthState.READ_ONLY) and place == at:
            detail = _seen(row) or detail
        views.append(StepView(step, shown, detail))
    return tuple(views)


def _seen(row: sqlite3.Row) -> str:
    """The rights in letters and the day they were seen: `W P D 24.11`; empty when there are none."""
    letters = _letters(row).strip()
    return f"{letters} {warsaw(from_text(row['checked_at'])):%d.%m}" if letters and row["checked_at"] else ""


def _sentence(office: Office, row: sqlite3.Row, state: AuthState, now: datetime) -> tuple[str, str]:
    """What is right or wrong in one sentence, and what is needed when something is."""
    name = row["name"]
    rights_wanted = "wystawianie i przeglądanie faktur, z prawem dalszego przekazywania"
    until = warsaw(from_text(row["valid_until"])).strftime("%d.%m.%Y") if row["valid_until"] else ""
    if row["switch_phase"] == "waiting" and state is not AuthState.RUNNING:
        return _switching(office, row, state, now)
    if state is AuthState.TO_SIGN:
        return client_words.to_sign(row, now)
    if state in (AuthState.ACTIVE, AuthState.EXPIRING) and row["reason_code"] == "415":  # a new login was refused
        return row["reason"], f"Potrzebne: {rights_wanted}, dla NIP {office.nip} – prośbę do klienta pisze l."
    if state is AuthState.ENDED:
        return client_words.ended(row)
    if state is AuthState.REQUESTED:
        wanted = f"Klient ma nadać: {rights_wanted}, dla NIP {office.nip}. Gdy nada: a Autoryzuj albo r Sprawdź."
        sent = f"{warsaw(from_text(row['requested_at'])):%d.%m.%Y}" if row["requested_at"] else ""
        waits = f"Pismo do klienta wysłano {sent}: czekamy, aż nada uprawnienia." if sent else row["reason"]
        return f"{waits} {row['reason']}" if sent and row["reason_code"] == "unreachable" else waits, wanted
    if state is AuthState.ACTIVE and row["reason_code"]:  # something new failed, what worked before does
        return row["reason"], ""
    if state is AuthState.ACTIVE and row["office"]:
        by = f" profilem {row['identity_label']}" if row["method"] == AuthMethod.CERTIFICATE else ""
        return f"Biuro jest zalogowane u siebie{by}.", ""
    if state is AuthState.ACTIVE:
        note = (
            ""
            if row["can_delegate"] or "Owner" in row["rights"]
            else "Bez delegacji: pracownicy biura nie zalogują się sami."
        )
        return f"Biuro może wystawiać faktury w imieniu klienta {name}", note
    if state is AuthState.EXPIRING and row["reason_code"]:
        return row["reason"], f"Działa tylko do {until}."
    if state is AuthState.EXPIRING:
        what = {AuthMethod.TOKEN: "Token KSeF", AuthMethod.EXTERNAL: "Logowanie"}.get(row["method"], "Certyfikat")
        return f"{what} działa do {until}; potem faktury staną.", "Odnów go albo wybierz inny sposób autoryzacji."
    if state is AuthState.EXPIRED and row["method"] == AuthMethod.EXTERNAL:
        return (
            row["reason"] or f"Logowanie podpisem zewnętrznym skończyło się {until}: faktury tego klienta stoją.",
            "Zrób nowe żądanie do podpisu albo autoryzuj klienta profilem biura.",
        )
    if state is AuthState.EXPIRED:
        return (
            f"Ważność skończyła się {until}: faktury tego klienta stoją.",
            "Dodaj nowy certyfikat biura i autoryzuj nim klienta.",
        )
    if state in (AuthState.NO_PERMISSION, AuthState.READ_ONLY):
        return row[
            "reason"
        ] or f"{name}: brak uprawnień w KSeF.", f"Potrzebne: {rights_wanted}, {_for_whom(office, row)}."
    if state is AuthState.RUNNING:
        return "Łączenie z KSeF…", ""
    if state is AuthState.MISSING and row["reason_code"] == "granted":
        return row["reason"], "a Autoryzuj łączy klienta profilem biura."
    if state is AuthState.MISSING:
        return (
            "Biuro nie ma dostępu do KSeF tego klienta.",
            f"Klient nadaje w KSeF uprawnienia dla NIP {office.nip} ({rights_wanted}) – pismo do niego: l. Potem: a Autoryzuj.",
        )
    return row["reason"] or AUTH_BADGES[state].label, ""


def _switching(office: Office, row: sqlite3.Row, state: AuthState, now: datetime) -> tuple[str, str]:
    """Why the change of identity waits, and what a person can do about it."""
    profile = f"na profil „{row['switch_label']}”"
    if row["switch_retry"] and from_text(row["switch_retry"]) > now:
        again = warsaw(from_text(row["switch_retry"])).strftime("%H:%M")
        return row["reason"] or "KSeF nie odpowiada.", f"Zmianę {profile} program ponowi o {again}; b rezygnuje."
    behind = left_behind(office, row["client_id"], row["switch_subject"])
    if not behind:
        return f"Zmiana {profile}: zaraz się zacznie.", "b rezygnuje."
    sentence = f"Zmiana {profile}, gdy kolejka się uspokoi: {behind.words}."
    if state in CAN_SEND or state is AuthState.READ_ONLY:
        return sentence, "Nowe faktury czekają na zmianę. b rezygnuje, g zmienia mimo to."
    return sentence, "Dotychczasowe logowanie nie działa i już tego nie odbierze: g zmienia mimo to, b rezygnuje."


def _for_whom(office: Office, row: sqlite3.Row) -> str:
    """To whom the client has to grant: to the identity that works for it, else to the office."""
    identity = offices.identity(office.db, row["identity_id"]) if row["identity_id"] is not None else None
    if identity is None or identity["subject_type"] == "Nip":
        return f"dla NIP {office.nip}"
    return f"dla {named(identity)} albo dla NIP {office.nip}"


def next_actions(
    state: AuthState, reason_code: str, *, switching: bool = False, token: bool = False
) -> tuple[str, ...]:
    """What mends an authorisation, most useful first: ids of actions."""
    if switching and state is not AuthState.RUNNING:
        return ("auth.cancel", "auth.switch", "auth.check")
    if state is AuthState.RUNNING:
        return ("auth.cancel",)
    if state is AuthState.TO_SIGN:
        return ("auth.submit", "auth.export", "auth.start", "auth.cancel")
    if state in (AuthState.MISSING, AuthState.REQUESTED):
        return ("auth.start", "client.letter", "auth.check", "profiles")
    if state is AuthState.EXPIRED:
        return ("auth.start", "profiles")
    if state in (AuthState.ACTIVE, AuthState.EXPIRING):
        standing = ("auth.check", "auth.start", "auth.revoke")
        if reason_code == "415":  # the office's profile was refused, what there was before works
            return ("client.letter", "auth.switch", *standing)
        return ("auth.switch", *standing) if token else standing
    if state is AuthState.ENDED:
        return ("auth.check", "client.letter")
    if state is AuthState.BLOCKED and reason_code == STOPPED:  # it is the profile that is blocked, not the client
        return ("identity.takeover", "auth.switch", "auth.start")
    if state is AuthState.BLOCKED:  # another login does not lift a block
        return ("auth.check",)
    if state in (AuthState.NO_PERMISSION, AuthState.READ_ONLY):
        return ("auth.check", "client.letter", "auth.start")
    return ("auth.check", "auth.start")
