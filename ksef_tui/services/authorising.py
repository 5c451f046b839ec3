"""What a person asks about a client's authorisation. Each request is an intent in the database; whoever holds the
client's lease carries it out (design §3), and the change feed shows every step of it."""

from __future__ import annotations

import json
import sqlite3
from datetime import datetime
from typing import Any

from ksef_tui.domain.authorizations import (
    AUTH_BADGES,
    AuthMethod,
    AuthState,
    AuthStep,
    effective,
    may_become,
)
from ksef_tui.domain.onboarding import OnboardingStep
from ksef_tui.domain.problems import Problem
from ksef_tui.domain.roles import Act, Operator, require
from ksef_tui.domain.secret import Secret
from ksef_tui.domain.times import from_text, to_text
from ksef_tui.services import identity_rules, personal
from ksef_tui.services.office import Office
from ksef_tui.services.wire import left_behind
from ksef_tui.store import authorizations, offices, onboardings, signature_requests, switches
from ksef_tui.store.records import audit

# What a login leaves behind and a new one must not find.
FORGET: dict[str, Any] = {
    "reference": "",
    "sealed_operation": None,
    "sealed_refresh": None,
    "refresh_until": None,
    "sealed_access": None,
    "access_until": None,
    "subject": "",
    "context_nip": "",
    "fallback": None,
    "retry_at": None,
}
# What a login that works is put back from when a new one does not come about for want of KSeF, or is cancelled.
FALLBACK = ("state", "method", "identity_id", "rights", "can_delegate", "valid_until", "step", "subject")


def start_with_identity(office: Office, operator: Operator, client_id: int, identity_id: int) -> None:
    """Authorise a client with one of the office's identities, or a self-service client with its own.

    Raises Problem: unknown or expired identity, another person's certificate (design §2: lending is forbidden),
    another client's (F31), one that the ministry blocked (F27), or a client whose invoices are still under way with
    another identity (F23).
    """
    require(operator, Act.AUTH_START, client_id)
    identity = usable_identity(office, operator, identity_id)
    _refuse_unfit(office, client_id, identity)
    start(
        office, operator, client_id,
        subject=f"{identity['subject_type']}:{identity['subject_value']}",
        method=AuthMethod.CERTIFICATE, identity_id=identity_id, sealed_token=None,
    )  # fmt: skip


def usable_identity(office: Office, operator: Operator, identity_id: int) -> sqlite3.Row:
    """The identity, when this operator may sign with it now. Raises Problem: unknown, another person's, blocked by the
    ministry (F27), revoked, expired."""
    identity = offices.identity(office.db, identity_id)
    if identity is None or identity["removed_at"] is not None:
        raise Problem("unknown_identity", "Nie ma takiego profilu.")
    personal.refuse_someone_elses(operator, identity)
    unusable = identity_rules.unusable(identity)
    if unusable is not None:
        raise unusable
    if from_text(identity["valid_to"]) <= office.clock():
        raise Problem("certificate_expired", f"Certyfikat profilu {identity['label']} wygasł – dodaj nowy.")
    return identity


def start_with_token(office: Office, operator: Operator, client_id: int, token: Secret) -> None:
    """Authorise a client with a KSeF token that the client made (an exception: design §7). It is kept sealed."""
    _rich_traceback_omit = True
    require(operator, Act.AUTH_START, client_id)
    text = token.reveal().decode("ascii", "replace").strip()
    if not text or not text.isascii() or any(c.isspace() for c in text) or len(text) > 2000:
        raise Problem("bad_token", "To nie wygląda na token KSeF: jest pusty albo ma w środku odstępy.")
    nip = _nip(office, client_id)
    sealed = office.sealer.seal(Secret(text), client=nip, kind="ksef_token", row=str(client_id))
    start(office, operator, client_id, subject="", method=AuthMethod.TOKEN, identity_id=None, sealed_token=sealed)


def start_external(office: Office, operator: Operator, client_id: int) -> None:
    """Ask for a request that somebody signs elsewhere (design §7: the exception, and the office's first certificate).

    Whoever holds the client's lease fetches the challenge; then the authorisation is `to_sign` and `external.request`
    gives the document. Asked again, a new request takes the place of the old one. Anybody whom KSeF lets in may sign:
    the owner with a seal or a PESEL, or a person with rights.
    """
    require(operator, Act.AUTH_START, client_id)
    start(office, operator, client_id, subject=None, method=AuthMethod.EXTERNAL, identity_id=None, sealed_token=None)


def submit(office: Office, operator: Operator, client_id: int, signed: bytes) -> None:
    """Bring the signed request back, byte for byte as it left the signing program (F53). It is kept sealed until KSeF
    has it; whoever holds the client's lease hands it in and goes on to the rights.

    Raises Problem: nothing waits for a signature, the ten minutes are over, and whatever `signed_request.check` finds;
    also while invoices are under way that only another signer may follow (F23).
    """
    from ksef_tui.ksef import signed_request  # late: lxml

    _rich_traceback_omit = True
    require(operator, Act.AUTH_START, client_id)
    now, nip = office.clock(), _nip(office, client_id)
    row, asked = authorizations.get(office.db, client_id), signature_requests.get(office.db, client_id)
    if row["state"] != AuthState.TO_SIGN or asked is None:
        raise Problem("nothing_to_sign", "Ten klient nie ma żądania do podpisu – najpierw zrób nowe żądanie.")
    signer = signed_request.check(signed, challenge=asked["challenge"], nip=nip)
    if from_text(asked["valid_until"]) <= now:
        raise Problem("challenge_expired", "Minęło 10 minut na podpis tego żądania – zrób nowe i podpisz je od razu.")
    if onboardings.get(office.db, client_id) is None:  # else the signer only grants, and is logged out again
        _refuse_while_on_the_wire(office, client_id, signer)
    sealed = office.sealer.seal(Secret(signed), client=nip, kind="signed_request", row=asked["challenge"])
    with office.db.write() as connection:
        kept = signature_requests.note(connection, client_id, asked["challenge"], sealed_signed=sealed)
        if not kept or not authorizations.move(
            connection, now, client_id, "submit", AuthState.TO_SIGN, AuthState.RUNNING,
            operator_id=operator.id, intent="login", step=AuthStep.SIGN, step_failed=0, reason_code="", reason="",
        ):  # fmt: skip
            raise Problem("changed_meanwhile", "Ktoś właśnie zmienił autoryzację tego klienta – spójrz jeszcze raz.")
        audit(connection, now, operator, "auth.submit", client_id=client_id, signer=signer)


def check(office: Office, operator: Operator, client_id: int) -> None:
    """Ask KSeF again what the office may do for this client; when its service has ended, whether the right is gone.

    Raises Problem when it was never authorised.
    """
    require(operator, Act.AUTH_CHECK, client_id)
    with office.db.write():  # between the look at whose certificate it is and the intent nobody changes it
        row = authorizations.get(office.db, client_id)
        if row["state"] == AuthState.ENDED:
            from ksef_tui.services import ending  # late: it builds on this

            ending.check(office, operator, client_id)
            return
        if row["method"] is None:
            raise Problem("not_authorised", "Ten klient nie ma jeszcze autoryzacji – zacznij od „Autoryzuj”.")
        if row["state"] == AuthState.TO_SIGN:
            raise Problem("to_sign", "Żądanie czeka na podpis – wczytaj podpisany plik albo przerwij.")
        if row["method"] == AuthMethod.EXTERNAL and row["sealed_refresh"] is None:
            raise Problem("sign_again", "Logowanie podpisem zewnętrznym nie działa – zrób nowe żądanie do podpisu.")
        if row["identity_id"] is not None:  # a check signs a new login
            identity = offices.identity(office.db, row["identity_id"])
            personal.refuse_someone_elses(operator, identity)
            _refuse_unfit(office, client_id, identity)
        _intend(office, operator, client_id, "check", Act.AUTH_CHECK)


def requested(office: Office, operator: Operator, client_id: int) -> None:
    """Remember that the letter to the client went out today (`letters.letter`). The client is `requested` until a
    check, a list from KSeF or an authorisation finds the right.

    Raises Problem when there is nothing to ask for: the office has access, or something is under way.
    """
    require(operator, Act.AUTH_START, client_id)
    now = office.clock()
    row = authorizations.get(office.db, client_id)
    old = AuthState(row["state"])
    client = offices.client(office.db, client_id)
    if client is None or client["office"] or not may_become("request", old, AuthState.REQUESTED):
        until = from_text(row["valid_until"]) if row["valid_until"] else None
        today = AUTH_BADGES[effective(old, until, now, 0, row["method"])]
        raise Problem("nothing_to_ask", f"Pismo nie jest potrzebne: stan autoryzacji to „{today.label}”.")
    with office.db.write() as connection:
        if not authorizations.move(
            connection, now, client_id, "request", old, AuthState.REQUESTED,
            operator_id=operator.id, requested_at=to_text(now), reason_code="", reason="",
        ):  # fmt: skip
            raise Problem("changed_meanwhile", "Ktoś właśnie zmienił autoryzację tego klienta – spójrz jeszcze raz.")
        audit(connection, now, operator, "auth.request", client_id=client_id)


def cancel(office: Office, operator: Operator, client_id: int) -> None:
    """Stop an authorisation that is running or waits for a signature; one that worked before works again. A change of
    identity that waits for the queue to settle is given up; a client's visit too, at whatever step it stopped, and the
    client's own login is ended at KSeF (F32).

    Raises Problem when there is none.
    """
    require(operator, Act.AUTH_START, client_id)
    now = office.clock()
    row = authorizations.get(office.db, client_id)
    stands = row["state"] not in (AuthState.RUNNING, AuthState.TO_SIGN)
    if stands and (_give_up_switch(office, operator, row) or _give_up_visit(office, operator, row)):
        return
    with office.db.write() as connection:
        before, values = restored(connection, client_id) or (
            AuthState.MISSING,
            {"method": None, "identity_id": None, "sealed_token": None, "step": "", **FORGET},
        )
        values |= {"intent": "", "step_failed": 0, "reason_code": "", "reason": ""}
        old = AuthState(row["state"])
        if old not in (AuthState.RUNNING, AuthState.TO_SIGN) or not authorizations.move(
            connection, now, client_id, "cancel", old, before, operator_id=operator.id, **values
        ):
            raise Problem("nothing_runs", "Nie ma czego przerwać: autoryzacja nie jest w toku.")
        signature_requests.delete(connection, client_id)
        switches.forget(connection, client_id)
        onboardings.drop(connection, now, client_id)
        audit(connection, now, operator, "auth.cancel", client_id=client_id)


def _give_up_switch(office: Office, operator: Operator, row: sqlite3.Row) -> bool:
    """Forget a change of identity that has not begun; False when there is none."""
    wish = switches.get(office.db, row["client_id"])
    if wish is None or wish["phase"] != "waiting":
        return False
    now = office.clock()
    with office.db.write() as connection:
        switches.delete(connection, row["client_id"])
        authorizations.note(connection, now, row["client_id"], AuthState(row["state"]))
        audit(connection, now, operator, "auth.switch.cancel", client_id=row["client_id"], identity=wish["label"])
    return True


def _give_up_visit(office: Office, operator: Operator, row: sqlite3.Row) -> bool:
    """Give up a client's visit that stopped half way; what works goes on. False when none stands so."""
    now, client_id, state = office.clock(), row["client_id"], AuthState(row["state"])
    visit = onboardings.get(office.db, client_id)
    if visit is None or visit["step"] == OnboardingStep.END:
        return False
    with office.db.write() as connection:
        if may_become("cancel", state, AuthState.MISSING):
            authorizations.move(
                connection, now, client_id, "cancel", state, AuthState.MISSING, operator_id=operator.id,
                method=None, identity_id=None, step="", step_failed=0, reason_code="", reason="",
            )  # fmt: skip
        else:
            authorizations.note(connection, now, client_id, state, reason_code="", reason="")
        onboardings.drop(connection, now, client_id)
        audit(connection, now, operator, "auth.cancel", client_id=client_id)
    return True


def revoke(office: Office, operator: Operator, client_id: int) -> None:
    """End the office's login for this client, at KSeF too (F32). Raises Problem while invoices are on the wire."""
    require(operator, Act.AUTH_REVOKE, client_id)
    row = authorizations.get(office.db, client_id)
    if row["state"] == AuthState.ENDED:
        raise Problem("ended", "Obsługa tego klienta jest zakończona.")
    if row["method"] is None:
        raise Problem("not_authorised", "Ten klient nie ma autoryzacji.")
    _refuse_while_on_the_wire(office, client_id, None)
    _intend(office, operator, client_id, "revoke", Act.AUTH_REVOKE)


def end_logins(office: Office, operator: Operator, owner_id: int) -> tuple[list[int], list[int]]:
    """The logins made with a person's own certificates end, at KSeF too (F32): the clients for whom that begins now, and
    those for whom it waits until their invoices are in – only that login may read what became of them (F23)."""
    require(operator, Act.OPERATOR_DISABLE, None)
    ending: list[int] = []
    later: list[int] = []
    for row in office.db.rows(
        "SELECT a.client_id FROM authorization a JOIN identity i ON i.id = a.identity_id WHERE i.operator_id = ?",
        (owner_id,),
    ):
        try:
            revoke(office, operator, row["client_id"])
        except Problem:
            later.append(row["client_id"])
        else:
            ending.append(row["client_id"])
    return ending, later


def start(
    office: Office,
    operator: Operator,
    client_id: int,
    *,
    subject: str | None,  # None: known only when it is signed
    method: AuthMethod,
    identity_id: int | None,
    sealed_token: bytes | None,
    onboards: bool = False,
) -> None:
    """Ask for a login by a new way, as `begin` does. Raises Problem: the service has ended, or invoices are under way
    that only another `subject` may follow (F23)."""
    require(operator, Act.AUTH_START, client_id)
    now = office.clock()
    row = authorizations.get(office.db, client_id)
    if row["state"] == AuthState.ENDED:
        raise Problem("ended", "Obsługa tego klienta jest zakończona.")
    _refuse_archived(office, client_id)
    if subject is not None:
        _refuse_while_on_the_wire(office, client_id, subject or None)
    with office.db.write() as connection:
        if not begin(
            connection, now, row, operator.id,
            method=method, identity_id=identity_id, sealed_token=sealed_token, onboards=onboards,
        ):  # fmt: skip
            raise Problem("changed_meanwhile", "Ktoś właśnie zmienił autoryzację tego klienta – spójrz jeszcze raz.")
        switches.forget(connection, client_id)
        audit(connection, now, operator, Act.AUTH_START, client_id=client_id, method=method, identity_id=identity_id)


def begin(
    connection: sqlite3.Connection,
    now: datetime,
    row: sqlite3.Row,
    operator_id: int,
    *,
    method: AuthMethod,
    identity_id: int | None,
    sealed_token: bytes | None = None,
    onboards: bool = False,
) -> bool:
    """Take an authorisation into `running` by a new way; what works, or will when its identity is let in again, is kept
    until the new one works. `onboards`: it goes on with a client that has signed at the desk, instead of giving that up.
    False when it is not any more as `row` saw it."""
    old = AuthState(row["state"])
    kept: dict[str, Any] = {**FORGET, "subject": row["subject"]}
    stopped = old is AuthState.BLOCKED and row["reason_code"] == identity_rules.STOPPED
    if old in (AuthState.ACTIVE, AuthState.EXPIRING, AuthState.READ_ONLY) or stopped:
        kept = {"fallback": _fallback(connection, row), "retry_at": None}
    elif row["fallback"] is not None:
        kept = {"retry_at": None}
    moved = authorizations.move(
        connection, now, row["client_id"], "start", old, AuthState.RUNNING,
        operator_id=operator_id, intent="login", method=method, identity_id=identity_id, sealed_token=sealed_token,
        step=AuthStep.REQUEST, step_failed=0, reason_code="", reason="", **kept,
    )  # fmt: skip
    if moved:
        signature_requests.delete(connection, row["client_id"])
        if not onboards:
            onboardings.drop(connection, now, row["client_id"])
    return moved


def _fallback(connection: sqlite3.Connection, row: sqlite3.Row) -> str:
    token = _as_it_stands(connection, row["client_id"])["sealed_token"]
    kept = {name: row[name] for name in FALLBACK}
    return json.dumps({**kept, "sealed_token": None if token is None else token.hex()})


def _as_it_stands(connection: sqlite3.Connection, client_id: int) -> sqlite3.Row:
    """What is sealed and copied, in this transaction: the data key may have been changed since the row was read."""
    row: sqlite3.Row = connection.execute(
        "SELECT sealed_token, fallback FROM authorization WHERE client_id = ?", (client_id,)
    ).fetchone()
    return row


def restored(connection: sqlite3.Connection, client_id: int) -> tuple[AuthState, dict[str, Any]] | None:
    """The state and columns of the login that worked before this one was started; None when none did. They are for
    this transaction."""
    fallback = _as_it_stands(connection, client_id)["fallback"]
    if fallback is None:
        return None
    values: dict[str, Any] = json.loads(fallback)
    token = values.pop("sealed_token")
    values |= {"sealed_token": None if token is None else bytes.fromhex(token), "fallback": None}
    state = AuthState(values.pop("state"))
    return (AuthState.ACTIVE if state is AuthState.EXPIRING else state), values  # what time makes of it is not stored


def _intend(office: Office, operator: Operator, client_id: int, intent: str, act: Act) -> None:
    now: datetime = office.clock()
    row: sqlite3.Row = authorizations.get(office.db, client_id)
    if row["state"] == AuthState.RUNNING:
        raise Problem("runs_already", "Autoryzacja tego klienta właśnie trwa.")
    if intent != "revoke":
        _refuse_archived(office, client_id)
    with office.db.write() as connection:
        authorizations.note(connection, now, client_id, AuthState(row["state"]), intent=intent, retry_at=None)
        if intent == "revoke":
            switches.forget(connection, client_id)
        audit(connection, now, operator, act, client_id=client_id)


def _refuse_archived(office: Office, client_id: int) -> None:
    """A client that was taken off the lists meanwhile (a run over many had it among those that wait) is left alone."""
    client = offices.client(office.db, client_id)
    if client is not None and client["archived_at"] is not None:
        raise Problem("archived", f"{client['name']}: klienta zdjęto z list.")


def _refuse_unfit(office: Office, client_id: int, identity: sqlite3.Row | None) -> None:
    client = offices.client(office.db, client_id)
    problem = identity_rules.refusal(office, client, identity) if client is not None else None
    if problem is not None:
        raise problem


def _refuse_while_on_the_wire(office: Office, client_id: int, subject: str | None) -> None:
    """Only who opened a session may read its results and UPOs (F23), so the identity changes when all are in. `subject`:
    who would read from now on; None: not known yet, or nobody."""
    behind = left_behind(office, client_id, subject)
    if behind.without_result or behind.without_upo:
        raise Problem(
            "on_the_wire",
            f"Czeka: {behind.words}, a odebrać to może tylko ten, kto wysłał. Zmień sposób autoryzacji, gdy kolejka "
            "się uspokoi; na profil biura zmieni się sam (g).",
        )


def _nip(office: Office, client_id: int) -> str:
    row = offices.client(office.db, client_id)
    if row is None:
        raise Problem("unknown_client", "Nie ma takiego klienta.")
    return str(row["nip"])
