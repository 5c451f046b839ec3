"""The end of a client's service (design §5, F32): nothing goes out any more, the office's logins are ended at KSeF, and
whether the client has taken the rights back is found out by a login, not believed."""

from __future__ import annotations

import sqlite3
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from ksef_tui.domain.authorizations import AuthMethod, AuthState, may_become
from ksef_tui.domain.invoices import InvoiceState
from ksef_tui.domain.problems import Problem
from ksef_tui.domain.roles import Act, Operator, require
from ksef_tui.domain.secret import Secret
from ksef_tui.domain.text import count_of
from ksef_tui.domain.times import from_text, to_text
from ksef_tui.ksef.api import Access
from ksef_tui.ksef.errors import Limited, NotReachable, Refused, Unknown
from ksef_tui.services import identity_rules, personal
from ksef_tui.services.authorising import FORGET, restored
from ksef_tui.services.calls import NotNow
from ksef_tui.services.client_words import STILL_GRANTED
from ksef_tui.services.office import Office
from ksef_tui.services.one_login import log_in
from ksef_tui.services.turn import Turn
from ksef_tui.services.verdicts import NO_PERMISSIONS, Proof, opened, seal
from ksef_tui.services.wire import left_behind
from ksef_tui.store import authorizations, endings, invoices, offices, onboardings, signature_requests, switches
from ksef_tui.store.records import audit

NAMED = 5  # invoices that a refusal or a question names


@dataclass(frozen=True, slots=True)
class EndPreview:
    """What an end of service would do: numbers of the invoices that would be held back, and of those whose fate or
    receipt nobody can learn any more, because the client has taken the rights back already."""

    name: str
    nip: str
    held: tuple[str, ...]
    lost: tuple[str, ...]


def preview(office: Office, operator: Operator, client_id: int) -> EndPreview:
    """What `end` would do. Changes nothing. Raises Problem when it would be refused."""
    require(operator, Act.CLIENT_END, client_id)
    return _preview(office, client_id, authorizations.get(office.db, client_id))


def end(office: Office, operator: Operator, client_id: int) -> EndPreview:
    """End a client's service, in one transaction: waiting and approved invoices are held, the secrets of its
    authorisation are destroyed. Whoever holds the client's lease then ends the logins at KSeF (F32).

    Raises Problem: the office itself, an end already, something under way, invoices on the wire or UPOs that can still
    be fetched; those are named.
    """
    require(operator, Act.CLIENT_END, client_id)
    now = office.clock()
    with office.db.write() as connection:
        row = authorizations.get(office.db, client_id)
        found = _preview(office, client_id, row)
        old, before = AuthState(row["state"]), restored(connection, client_id)
        was = row if before is None else before[1]  # what worked, while another way was being tried
        for state in (InvoiceState.WAITING, InvoiceState.APPROVED):
            for invoice_id in invoices.ids_in_state(office.db, state, client_id):
                invoices.move(
                    connection, now, invoice_id, "hold", state, InvoiceState.HELD, operator_id=operator.id,
                    reason_code="ended", reason="wstrzymana: obsługa klienta zakończona", send_after=None,
                )  # fmt: skip
        forgotten = {name: FORGET[name] for name in FORGET if name not in ("sealed_refresh", "refresh_until")}
        authorizations.move(
            connection, now, client_id, "end", old, AuthState.ENDED, operator_id=operator.id,
            intent="revoke" if row["sealed_refresh"] is not None else "",
            method=was["method"], identity_id=was["identity_id"], sealed_token=None, step="", step_failed=0,
            reason_code="", reason="", rights="[]", can_delegate=0, checked_at=None, valid_until=None,
            **{**forgotten, "subject": was["subject"]},
        )  # fmt: skip
        signature_requests.delete(connection, client_id)
        switches.delete(connection, client_id)
        onboardings.drop(connection, now, client_id)
        for own in offices.identities_of_client(office.db, client_id):  # a self-service client's: the key is destroyed
            offices.remove_identity(connection, now, own["id"])
        endings.put(connection, now, client_id, was["method"])
        audit(connection, now, operator, Act.CLIENT_END, client_id=client_id, held=len(found.held))
    return found


def check(office: Office, operator: Operator, client_id: int) -> None:
    """Ask KSeF whether the client has taken the office's rights back, by one login with an identity of the office.

    Raises Problem: the service has not ended, its logins are still being ended, or nobody is there to log in as.
    """
    require(operator, Act.AUTH_CHECK, client_id)
    now, row = office.clock(), authorizations.get(office.db, client_id)
    if row["state"] != AuthState.ENDED:
        raise Problem("not_ended", "Obsługa tego klienta nie jest zakończona.")
    _refuse_while_busy(row)
    identity = _asker(office, row, now)
    personal.refuse_someone_elses(operator, identity)
    with office.db.write() as connection:
        authorizations.note(
            connection, now, client_id, AuthState.ENDED, intent="check", identity_id=identity["id"], retry_at=None
        )
        audit(connection, now, operator, Act.AUTH_CHECK, client_id=client_id)


def resume(office: Office, operator: Operator, client_id: int) -> None:
    """Serve a client again: from the beginning, for the old rights prove nothing. Invoices that were held stay so.

    Raises Problem: the service has not ended, or its logins are still being ended.
    """
    require(operator, Act.CLIENT_RESUME, client_id)
    now, row = office.clock(), authorizations.get(office.db, client_id)
    if row["state"] != AuthState.ENDED:
        raise Problem("not_ended", "Obsługa tego klienta nie jest zakończona.")
    _refuse_while_busy(row)
    with office.db.write() as connection:
        moved = authorizations.move(
            connection, now, client_id, "resume", AuthState.ENDED, AuthState.MISSING, operator_id=operator.id,
            method=None, identity_id=None, reason_code="", reason="", rights="[]", requested_at=None, **FORGET,
        )  # fmt: skip
        if not moved:
            raise Problem("changed_meanwhile", "Ktoś właśnie zmienił autoryzację tego klienta – spójrz jeszcze raz.")
        endings.delete(connection, client_id)
        audit(connection, now, operator, Act.CLIENT_RESUME, client_id=client_id)


def _preview(office: Office, client_id: int, row: sqlite3.Row) -> EndPreview:
    state = AuthState(row["state"])
    client = offices.client(office.db, client_id)
    assert client is not None
    if client["office"]:
        raise Problem("own_office", "To samo biuro: jego obsługi nie da się zakończyć.")
    if state is AuthState.RUNNING:
        raise Problem("runs_already", "Trwa łączenie z KSeF – poczekaj na jego koniec albo je przerwij.")
    if not may_become("end", state, AuthState.ENDED):
        raise Problem("ended", "Obsługa tego klienta jest już zakończona.")
    _refuse_while_busy(row)
    switch = switches.get(office.db, client_id)
    if switch is not None and switch["phase"] != "waiting":
        raise Problem("runs_already", "Trwa zmiana profilu tego klienta – spróbuj za chwilę.")
    behind = left_behind(office, client_id, None)
    if state is not AuthState.NO_PERMISSION:  # who has taken the rights back lets nobody learn anything any more
        _refuse(behind.without_result, "on_the_wire", "Nie można teraz zakończyć obsługi, w KSeF są jeszcze")
        _refuse(
            behind.without_upo,
            "receipts_missing",
            "Najpierw program pobierze UPO, potem już nie będzie mógł; czekają na nie",
        )
    rows = office.db.rows(
        "SELECT number FROM invoice WHERE client_id = ? AND state IN ('waiting', 'approved') ORDER BY id", (client_id,)
    )
    held = tuple(row["number"] for row in rows)
    return EndPreview(client["name"], client["nip"], held, (*behind.without_result, *behind.without_upo))


def _refuse(numbers: tuple[str, ...], code: str, sentence: str) -> None:
    if numbers:
        raise Problem(code, f"{sentence} {count_of(len(numbers), 'faktura', 'faktury', 'faktur')}: {named(numbers)}.")


def named(numbers: tuple[str, ...]) -> str:
    """The first numbers, and how many more there are."""
    more = f" i jeszcze {len(numbers) - NAMED}" if len(numbers) > NAMED else ""
    return ", ".join(numbers[:NAMED]) + more


def _refuse_while_busy(row: sqlite3.Row) -> None:
    if row["intent"] and row["state"] == AuthState.ENDED and row["intent"] == "revoke":
        raise Problem("logging_out", "Program kończy jeszcze logowanie biura w KSeF – spróbuj za chwilę.")
    if row["intent"]:
        raise Problem("runs_already", "Trwa sprawdzanie w KSeF – spróbuj za chwilę.")


def _asker(office: Office, row: sqlite3.Row, now: datetime) -> sqlite3.Row:
    """Who asks: the identity that the client was served with, else one of the office's own; never the client itself."""
    client = offices.client(office.db, row["client_id"])
    assert client is not None
    known = offices.identity(office.db, row["identity_id"]) if row["identity_id"] else None
    of_office = [one for one in offices.identities(office.db) if not identity_rules.is_personal(one)]
    for one in (*([known] if known is not None else []), *of_office):
        allowed = one["client_id"] is None and identity_rules.refusal(office, client, one) is None
        if allowed and from_text(one["valid_to"]) > now:
            return one
    raise Problem("no_identity", "Nie ma ważnego profilu biura, którym można by to sprawdzić – dodaj profil.")


# ---- what the worker does with it; whoever calls this holds the client's lease


async def go_on(turn: Turn, row: sqlite3.Row) -> None:
    """The next step for a client whose service has ended; the intent stays until KSeF has answered."""
    try:
        if row["intent"] == "check":
            await _look(turn, row)
        elif row["intent"] == "revoke":
            await _end_logins(turn, row)
    except NotNow as wait:
        turn.come_back(wait.seconds)
    except Limited as limited:
        turn.come_back(limited.retry_after)
    except (NotReachable, Unknown) as weather:
        reason = f"KSeF nie odpowiada, logowanie biura jeszcze się nie skończyło – program ponawia. {weather.message}"
        if row["reason_code"] != "unreachable":
            _note(turn, reason_code="unreachable", reason=reason)
        asked = from_text(row["changed_at"])
        turn.come_back(min(60.0, max(2.0, (turn.now - asked).total_seconds() / 4)))


async def _end_logins(turn: Turn, row: sqlite3.Row) -> None:
    """End the office's logins in this context, also those that a lost answer left behind (F32)."""
    refresh = opened(turn, row, "refresh")
    if refresh is not None and row["refresh_until"] and from_text(row["refresh_until"]) > turn.now:
        await _log_out(turn, refresh)
    found = endings.get(turn.office.db, turn.client_id)
    still = found is not None and found["gone"] == 0
    with turn.office.db.write() as connection:
        authorizations.note(
            connection, turn.now, turn.client_id, AuthState.ENDED, intent="", sealed_refresh=None, refresh_until=None,
            reason_code=STILL_GRANTED if still else "", reason=_still(turn) if still else "",
        )  # fmt: skip
        audit(connection, turn.now, None, "auth.revoked", client_id=turn.client_id)


async def _log_out(turn: Turn, refresh: Secret) -> None:
    from ksef_tui.services import interactive  # late: it calls with a login, which calls this

    with suppress(Refused):  # what cannot be refreshed has ended (F25)
        turn.access = Access(turn.nip, (await turn.api.refresh(turn.nip, refresh)).token)
        with suppress(Refused, Problem):
            await interactive.close_idle(turn, timedelta(0))
        for login in await turn.api.auth_sessions(turn.access):
            if not login.is_current:
                await turn.api.end_auth_session(turn.nip, turn.access.token, login.reference_number)
    turn.access = None
    with suppress(Refused):
        await turn.api.end_auth_session(turn.nip, refresh)


async def _look(turn: Turn, row: sqlite3.Row) -> None:
    """One login: 415 says that the right is gone; one that goes through is ended at once."""
    proof: Proof = {"method": AuthMethod.CERTIFICATE, "identity_id": row["identity_id"], "context_nip": ""}
    verdict = await log_in(turn, proof, show_steps=False)
    if verdict.tokens is not None:
        refresh = verdict.tokens.refresh_token
        _note(
            turn, gone=False, intent="revoke", reason_code=STILL_GRANTED, reason=_still(turn),
            sealed_refresh=seal(turn, "refresh", refresh.token), refresh_until=to_text(refresh.valid_until),
        )  # fmt: skip
        await _end_logins(turn, authorizations.get(turn.office.db, turn.client_id))
    elif verdict.reason_code == str(NO_PERMISSIONS):
        _note(turn, gone=True, intent="", reason_code="", reason="")
    else:
        _note(turn, intent="", reason_code=verdict.reason_code, reason=f"Nie sprawdzono: {verdict.reason}")


def _note(turn: Turn, *, gone: bool | None = None, **values: Any) -> None:
    with turn.office.db.write() as connection:
        authorizations.note(connection, turn.now, turn.client_id, AuthState.ENDED, **values)
        if gone is not None:
            endings.seen(connection, turn.now, turn.client_id, gone=gone)
            audit(connection, turn.now, None, "client.end.seen", client_id=turn.client_id, gone=gone)


def _still(turn: Turn) -> str:
    return f"{turn.client['name']}: klient jeszcze nie odebrał biuru uprawnień w KSeF."
