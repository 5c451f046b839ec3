"""One thing for many clients: check them all, authorise them all (design §7, F28, F37).

A run and its clients are rows, so it outlives the screen that began it. Whoever works (`worker`, `bulk_work`) turns a
few rows at a time into intents on the clients' authorisations and writes down what became of each: never more at once
than a share of `parallel_clients`, so that invoices that wait find a free hand. A refusal ends its own client only.
While KSeF does not answer, one client is tried now and then, until it does or the run gives up.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from ksef_tui.domain.authorizations import AUTH_BADGES, AuthState
from ksef_tui.domain.problems import Problem
from ksef_tui.domain.roles import Act, Operator, Role, require
from ksef_tui.domain.text import count_of
from ksef_tui.domain.times import from_text, to_text
from ksef_tui.services import authorising
from ksef_tui.services.office import Office
from ksef_tui.store import authorizations, bulk, settings
from ksef_tui.store.database import DATABASE_PROBLEMS
from ksef_tui.store.records import audit

PROBE_EVERY = timedelta(seconds=5)  # between two tries while KSeF does not answer
GIVE_UP_AFTER = timedelta(minutes=5)  # of silence
ASK_PATIENCE = timedelta(minutes=10)  # for one client; KSeF judges the ministry's certificates at once
ATTEMPTS = 3  # for a client whose own check meets no answer while others' do
UNREACHABLE = "unreachable"


@dataclass(frozen=True, slots=True)
class Kind:
    """What a run asks for each of its clients. `ask` writes the intent, or raises a Problem that is this client's
    outcome; `passed_over` says in Polish why a client needs nothing (empty: it does)."""

    act: Act
    noun: str  # Polish: what runs
    verb: str  # Polish: what was done to so many
    ask: Callable[[Office, Operator, int, int | None], None]
    passed_over: Callable[[AuthState, sqlite3.Row, int | None], str] = lambda state, row, identity_id: ""


def _check(office: Office, operator: Operator, client_id: int, identity_id: int | None) -> None:
    authorising.check(office, operator, client_id)


def _start(office: Office, operator: Operator, client_id: int, identity_id: int | None) -> None:
    assert identity_id is not None
    state = authorizations.get(office.db, client_id)["state"]
    if state == AuthState.RUNNING:
        raise Problem("runs_already", "Autoryzacja tego klienta właśnie trwa.")
    if state == AuthState.TO_SIGN:  # somebody signs at this moment, perhaps the client on the phone
        raise Problem("to_sign", "Żądanie czeka na podpis – wczytaj podpisany plik albo przerwij.")
    authorising.start_with_identity(office, operator, client_id, identity_id)


def _works_already(state: AuthState, row: sqlite3.Row, identity_id: int | None) -> str:
    if state is AuthState.ACTIVE and not row["reason_code"]:
        return "autoryzacja już działa"
    same = row["identity_id"] == identity_id
    return "autoryzacja działa, a wybrany profil kończy się tak samo" if state is AuthState.EXPIRING and same else ""


KINDS: dict[str, Kind] = {
    "check": Kind(Act.AUTH_CHECK, "sprawdzanie", "sprawdzono", _check),
    "start": Kind(Act.AUTH_START, "autoryzacja", "załatwiono", _start, _works_already),
}


@dataclass(frozen=True, slots=True)
class Begun:
    """What `begin` did. `joined`: the same was under way, and its run took the clients in."""

    run_id: int
    joined: bool
    added: int  # clients that will be asked
    skipped: dict[str, int]  # Polish reason → how many


@dataclass(frozen=True, slots=True)
class Progress:
    """How a run stands."""

    run_id: int
    kind: str
    operator_id: int
    who: str  # name of the operator who began it
    begun_at: datetime  # UTC
    identity: str  # label; empty when none was chosen
    total: int  # clients asked or to be asked; those passed over do not count
    done: int
    attention: int  # of those done, how many a person should look at
    skipped: int
    outcomes: dict[str, int]  # state code, `refused` or `stopped` → how many
    over: bool
    stopped: bool
    silent: bool  # KSeF does not answer just now

    @property
    def short(self) -> str:
        """Polish: `sprawdzono 212 z 500`."""
        return f"{KINDS[self.kind].verb} {self.done}" + ("" if self.over else f" z {self.total}")

    @property
    def noun(self) -> str:
        """Polish: what runs."""
        return KINDS[self.kind].noun

    @property
    def sentence(self) -> str:
        """Polish: `sprawdzono 212 z 500, 3 wymagają uwagi`."""
        said = self.short
        if self.attention:
            said += ", " + count_of(self.attention, "wymaga", "wymagają", "wymaga") + " uwagi"
        if self.stopped:
            said += ", przerwano"
        elif self.silent:
            said += ", KSeF nie odpowiada"
        return said


@dataclass(frozen=True, slots=True)
class Member:
    """One client of a run."""

    client_id: int
    name: str
    nip: str
    state: str  # waiting, asked, done, refused, skipped, stopped
    outcome: str  # state code of the authorisation when it ended
    reason: str  # Polish
    attention: bool  # a person should look at it


# ---- what people ask for


def begin(
    office: Office, operator: Operator, kind: str, client_ids: Sequence[int], identity_id: int | None = None
) -> Begun:
    """Ask the same for all these clients, in this order. While the same runs already, its run takes them in.

    Raises Problem: nobody to ask for, or an identity that this operator cannot sign with.
    """
    what = KINDS[kind]
    require(operator, what.act, None)
    if identity_id is not None:
        authorising.usable_identity(office, operator, identity_id)
    if not client_ids:
        raise Problem("nobody", "Nie ma kogo o to zapytać: lista klientów jest pusta.")
    now = office.clock()
    with office.db.write() as connection:
        same = [r for r in bulk.open_runs(office.db) if (r["kind"], r["identity_id"]) == (kind, identity_id)]
        run_id = same[0]["id"] if same else bulk.insert(connection, now, kind, operator.id, identity_id)
        chosen = list(_with_reasons(office, what, client_ids, identity_id))
        bulk.add(connection, now, run_id, operator.id, chosen)
        if bulk.is_over(office.db, run_id):
            bulk.note(connection, run_id, ended_at=to_text(now))
        audit(
            connection, now, operator, "bulk.join" if same else "bulk.begin",
            run=run_id, kind=kind, clients=len(chosen), identity_id=identity_id,
        )  # fmt: skip
    passed_over = bulk.skipped(office.db, run_id, client_ids)
    return Begun(run_id, bool(same), len(chosen) - sum(passed_over.values()), passed_over)


def _with_reasons(
    office: Office, what: Kind, client_ids: Iterable[int], identity_id: int | None
) -> Iterable[tuple[int, str]]:
    from ksef_tui.services.client_views import state_of

    now = office.clock()
    for client_id in dict.fromkeys(client_ids):
        row = authorizations.get(office.db, client_id)
        state = state_of(office, row["state"], row["valid_until"], row["method"], now)
        yield client_id, what.passed_over(state, row, identity_id)


def stop(office: Office, operator: Operator, run_id: int) -> int:
    """Ask no more clients; those being asked end as they will. How many were left out. Raises Problem when it is over."""
    row = bulk.run(office.db, run_id)
    require(operator, KINDS[row["kind"]].act if row is not None else Act.AUTH_CHECK, None)
    now = office.clock()
    with office.db.write() as connection:
        if row is None or row["ended_at"] is not None:
            raise Problem("run_over", "To już się skończyło – nie ma czego przerwać.")
        left = bulk.end_waiting(connection, now, run_id, "stopped", "stopped", f"Przerwał(a): {operator.name}.")
        bulk.note(connection, run_id, stopped_by=operator.id)
        if bulk.is_over(office.db, run_id):
            bulk.note(connection, run_id, ended_at=to_text(now))
        audit(connection, now, operator, "bulk.stop", run=run_id, left=left)
    return left


# ---- what screens and commands read


def everybody(office: Office, operator: Operator, kind: str, *, mine: bool = False) -> list[int]:
    """All clients (or only the operator's own) for whom such a run makes sense, oldest first: those to check have an
    authorisation that this operator may check; service for those to authorise has not ended."""
    from ksef_tui.services import contract  # late: it knows documents, which a run does not need

    require(operator, KINDS[kind].act, None)
    rows = office.db.rows(
        "SELECT c.id, a.state FROM client c JOIN authorization a ON a.client_id = c.id WHERE c.archived_at IS NULL "
        "AND (:keeper IS NULL OR c.keeper_id = :keeper) ORDER BY c.id",
        {"keeper": operator.id if mine else None},
    )
    known = set(contract.authorised_ids(office, operator)) if kind == "check" else None
    return [r["id"] for r in rows if (r["id"] in known if known is not None else r["state"] != AuthState.ENDED)]


def open_progress(office: Office, operator: Operator) -> list[Progress]:
    """The runs under way, oldest first; none for a `client` operator."""
    if operator.role is Role.CLIENT:
        return []
    return [progress(office, operator, row["id"]) for row in bulk.open_runs(office.db)]


def newest(office: Office, operator: Operator) -> int | None:
    """The run that was begun last; None when there was none yet."""
    row = bulk.newest(office.db) if operator.role is not Role.CLIENT else None
    return None if row is None else int(row["id"])


def progress(office: Office, operator: Operator, run_id: int) -> Progress:
    """How one run stands. Raises Problem for an unknown one."""
    require(operator, Act.AUTH_CHECK, None)
    row = bulk.run(office.db, run_id)
    if row is None:
        raise Problem("unknown_run", "Nie ma takiego zbiorczego sprawdzania.")
    outcomes: dict[str, int] = {}
    total = done = attention = skipped = 0
    for group in bulk.counts(office.db, run_id):
        if group["state"] == "skipped":
            skipped += group["n"]
            continue
        total += group["n"]
        if group["state"] in ("waiting", "asked"):
            continue
        code = group["outcome"] if group["state"] == "done" else group["state"]
        outcomes[code] = outcomes.get(code, 0) + group["n"]
        done += group["n"] if group["state"] != "stopped" else 0
        attention += group["n"] if group["attention"] else 0
    return Progress(
        run_id=run_id, kind=row["kind"], operator_id=row["operator_id"], who=row["who"],
        begun_at=from_text(row["begun_at"]), identity=row["identity_label"],
        total=total, done=done, attention=attention, skipped=skipped, outcomes=outcomes,
        over=row["ended_at"] is not None, stopped=row["stopped_by"] is not None,
        silent=row["silent_since"] is not None and row["ended_at"] is None,
    )  # fmt: skip


def members(office: Office, operator: Operator, run_id: int, *, attention: bool = False) -> list[Member]:
    """The clients of a run in its order; `attention`: only those that a person should look at."""
    require(operator, Act.AUTH_CHECK, None)
    return [
        Member(
            row["client_id"],
            row["name"],
            row["nip"],
            row["state"],
            row["outcome"],
            row["reason"] or (AUTH_BADGES[AuthState(row["outcome"])].label if row["outcome"] else ""),
            bool(row["attention"]),
        )
        for row in bulk.members(office.db, run_id, attention=attention)
    ]


# ---- what whoever works does


def advance(office: Office) -> list[int]:
    """Write down what became of those asked, and ask the next; the clients whose intents are new.

    Any number of processes may do this at once, at any moment.
    """
    runs = bulk.open_runs(office.db)
    if not runs:
        return []
    settled = [row for row in bulk.asked(office.db) if not row["intent"] or _too_long(office, row)]
    for row in settled:
        _write_down(office, row)
    most = -(-share(office) // len(runs))  # of each: three clients do not wait for five hundred
    return [client_id for run in runs for client_id in _ask_next(office, run["id"], most)]


def is_open(office: Office) -> bool:
    """Whether a run is under way."""
    return bool(bulk.open_runs(office.db))


def held_up_ids(office: Office, run_id: int) -> list[int]:
    """Clients of a run that it cannot ask yet, because something else was asked for them that nobody may be doing."""
    return bulk.held_up(office.db, run_id, share(office))


def asked_ids(office: Office, run_id: int) -> list[int]:
    """The clients of a run whose intent stands."""
    return [row["client_id"] for row in bulk.asked(office.db, run_id) if row["intent"]]


def share(office: Office) -> int:
    """How many clients all runs may ask at once: a quarter of the hands stays free for invoices."""
    hands = settings.get_int(office.db, "parallel_clients")
    return max(1, hands - max(1, hands // 4))


def _too_long(office: Office, row: sqlite3.Row) -> bool:
    return office.clock() - from_text(row["asked_at"]) > ASK_PATIENCE


def _write_down(office: Office, row: sqlite3.Row) -> None:
    """What became of one client. No answer says nothing about it: it is asked again, a few times."""
    from ksef_tui.services.client_views import state_of

    now, run_id, client_id = office.clock(), row["run_id"], row["client_id"]
    silent = not row["intent"] and row["auth_code"] == UNREACHABLE
    with office.db.write() as connection:
        if silent and row["attempts"] < ATTEMPTS:
            if bulk.move(connection, run_id, client_id, "asked", "waiting", asked_at=None):
                _fell_silent(office, connection, run_id)
            return
        code, reason = row["auth_code"], row["auth_reason"]
        if row["intent"]:
            code, reason = "timeout", "KSeF nie rozstrzygnął w 10 minut; program próbuje dalej."
        state = state_of(office, row["auth_state"], row["valid_until"], row["method"], now)
        if not bulk.move(
            connection, run_id, client_id, "asked", "done",
            ended_at=to_text(now), outcome=state, reason_code=code, reason=reason,
        ):  # fmt: skip
            return
        if silent:
            _fell_silent(office, connection, run_id)
        elif not row["intent"]:
            bulk.note(connection, run_id, silent_since=None, next_probe=None)
        _end_if_over(office, connection, run_id)


def _fell_silent(office: Office, connection: sqlite3.Connection, run_id: int) -> None:
    run = bulk.run(office.db, run_id)
    assert run is not None
    now = office.clock()
    bulk.note(
        connection, run_id, silent_since=run["silent_since"] or to_text(now), next_probe=to_text(now + PROBE_EVERY)
    )
    if run["stopped_by"] is not None:
        bulk.end_waiting(connection, now, run_id, "stopped", "stopped", "Przerwano.")
    elif run["silent_since"] is not None and now - from_text(run["silent_since"]) > GIVE_UP_AFTER:
        reason = "KSeF nie odpowiadał przez 5 minut – powtórz później."
        bulk.end_waiting(connection, now, run_id, "refused", UNREACHABLE, reason)
    _end_if_over(office, connection, run_id)


def _end_if_over(office: Office, connection: sqlite3.Connection, run_id: int) -> None:
    if bulk.is_over(office.db, run_id):
        bulk.note(connection, run_id, ended_at=to_text(office.clock()))
        audit(connection, office.clock(), None, "bulk.end", run=run_id)


def _ask_next(office: Office, run_id: int, most: int) -> list[int]:
    """Turn the next clients of a run into intents, as many as the share leaves room for."""
    free = min(share(office) - len(bulk.asked(office.db)), most - len(bulk.asked(office.db, run_id)))
    if free <= 0:
        return []
    asked: list[int] = []
    for row in bulk.waiting(office.db, run_id, free):
        run = bulk.run(office.db, run_id)
        if run is None or run["ended_at"] is not None or not _may_try(office, run):
            break
        if _ask(office, run, row):
            asked.append(row["client_id"])
    return asked


def _may_try(office: Office, run: sqlite3.Row) -> bool:
    """While KSeF is silent one client is tried at a time."""
    if run["silent_since"] is None:
        return True
    return from_text(run["next_probe"]) <= office.clock() and not bulk.asked(office.db, run["id"])


def _ask(office: Office, run: sqlite3.Row, row: sqlite3.Row) -> bool:
    """Write one client's intent; a refusal is its outcome. False when nothing was asked."""
    now, what = office.clock(), KINDS[run["kind"]]
    try:
        with office.db.write() as connection:
            if len(bulk.asked(office.db)) >= share(office):
                return False  # another process was faster
            if not bulk.move(
                connection, run["id"], row["client_id"], "waiting", "asked",
                asked_at=to_text(now), attempts=row["attempts"] + 1,
            ):  # fmt: skip
                return False
            what.ask(office, _operator(office, row["operator_id"]), row["client_id"], run["identity_id"])
        return True
    except Problem as problem:
        if problem.code in DATABASE_PROBLEMS:  # says nothing about this client
            raise
        with office.db.write() as connection:
            bulk.move(
                connection, run["id"], row["client_id"], "waiting", "refused",
                ended_at=to_text(now), reason_code=problem.code, reason=problem.message,
            )  # fmt: skip
            _end_if_over(office, connection, run["id"])
        return False


def _operator(office: Office, operator_id: int) -> Operator:
    """Who asked. Raises Problem when they were shut out since: nothing goes on in their name."""
    row = office.db.row("SELECT * FROM operator WHERE id = ? AND disabled_at IS NULL", (operator_id,))
    if row is None:
        raise Problem("unknown_operator", "Osoba, która o to prosiła, nie ma już dostępu.")
    return Operator(row["id"], row["login"], row["name"], Role(row["role"]), row["client_id"])
