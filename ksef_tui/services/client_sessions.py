"""Logins in a client's own name, made when the client signs at the office's desk (design §7).

They serve to grant the office its rights, to read what is granted, and to be ended; the client's invoices never go out
with them, for they are kept apart from its authorisation. Their tokens are sealed and are destroyed when the login is
ended at KSeF or its time is over (F32). Whoever calls these holds the client's lease.
"""

from __future__ import annotations

import sqlite3
from datetime import timedelta

from ksef_tui.domain.problems import Problem
from ksef_tui.domain.secret import Secret
from ksef_tui.domain.times import from_text, to_text
from ksef_tui.ksef import claims
from ksef_tui.ksef.api import Access
from ksef_tui.ksef.errors import KsefError, Limited, Refused
from ksef_tui.ksef.models import TokenPair
from ksef_tui.services import lost_logins
from ksef_tui.services.calls import NotNow
from ksef_tui.services.turn import Turn
from ksef_tui.store import authorizations, onboardings
from ksef_tui.store.records import audit

REFRESH_AHEAD = timedelta(seconds=90)  # an access token this near its end is renewed first
END_AGAIN = timedelta(seconds=30)  # between attempts to end a login while KSeF does not answer
_KINDS = {"access": "client_access", "refresh": "client_refresh"}


class SessionOver(Exception):
    """The client's own login does not work (any more): only a new signature makes another."""


def keep(connection: sqlite3.Connection, turn: Turn, tokens: TokenPair, reference: str, *, serves: bool) -> str:
    """Keep a login that the client has just made; who signed, as `Nip:…` or `Pesel:…`, empty when it does not say.

    `serves`: whether it may be used; one that may not is only kept until it is ended.
    """
    said = claims.read(tokens.access_token.token)
    signer = f"{said.subject_type}:{said.subject_value}" if said.subject_value else ""
    access, refresh = tokens.access_token, tokens.refresh_token
    onboardings.keep_session(
        connection, turn.client_id, reference, signer=signer,
        sealed_access=_seal(turn, reference, "access", access.token), access_until=access.valid_until,
        sealed_refresh=_seal(turn, reference, "refresh", refresh.token), refresh_until=refresh.valid_until,
        end_at=None if serves else turn.now,
    )  # fmt: skip
    return signer


async def access(turn: Turn, reference: str) -> Access:
    """An access token of the client's own login. Raises SessionOver, KsefError."""
    row = onboardings.session(turn.office.db, reference)
    if row is None or row["client_id"] != turn.client_id or row["end_at"] is not None:
        raise SessionOver
    if from_text(row["refresh_until"]) <= turn.now:
        _forget(turn, reference)
        raise SessionOver
    if row["access_until"] is not None and from_text(row["access_until"]) - turn.now > REFRESH_AHEAD:
        token = _opened(turn, row, "access")
        if token is not None:
            return Access(turn.nip, token)
    refresh = _opened(turn, row, "refresh")
    if refresh is None:
        _forget(turn, reference)
        raise SessionOver
    try:
        new = await turn.api.refresh(turn.nip, refresh)
    except Refused:  # any typed refusal means "log in again" (F25)
        _forget(turn, reference)
        raise SessionOver from None
    with turn.office.db.write() as connection:
        onboardings.note_session(
            connection, reference,
            sealed_access=_seal(turn, reference, "access", new.token), access_until=to_text(new.valid_until),
        )  # fmt: skip
    return Access(turn.nip, new.token)


def forget_access(turn: Turn, reference: str) -> None:
    """The access token was refused (401): the next call gets a new one."""
    with turn.office.db.write() as connection:
        onboardings.note_session(connection, reference, sealed_access=None, access_until=None)


async def end(turn: Turn) -> None:
    """End at KSeF the logins that are over here; tokens whose time is over are destroyed. Never raises for the weather:
    it is tried again until KSeF has answered or the login has ended by itself."""
    for row in onboardings.to_end(turn.office.db, turn.client_id, turn.now):
        reference = row["reference"]
        token = _opened(turn, row, "refresh") if from_text(row["refresh_until"]) > turn.now else None
        try:
            if token is not None:
                await _end_lost(turn, token)
                await turn.api.end_auth_session(turn.nip, token)
        except Refused:
            pass  # it had ended before
        except KsefError as error:
            _try_later(turn, reference, error.retry_after if isinstance(error, Limited) else 0.0)
            continue
        except NotNow as wait:
            _try_later(turn, reference, wait.seconds)
            continue
        _forget(turn, reference)


async def _end_lost(turn: Turn, refresh: Secret) -> None:
    """An earlier visit that broke off may have left another login in the client's own name: this one ends it (F24)."""
    known = authorizations.get(turn.office.db, turn.client_id)["reference"]
    if lost := lost_logins.suspected(turn) - {known}:
        token = (await turn.api.refresh(turn.nip, refresh)).token
        await lost_logins.end(turn, Access(turn.nip, token), lost)


def _try_later(turn: Turn, reference: str, seconds: float) -> None:
    pause = max(END_AGAIN, timedelta(seconds=seconds))
    with turn.office.db.write() as connection:
        onboardings.note_session(connection, reference, end_at=to_text(turn.now + pause))
    turn.come_back(pause.total_seconds())


def _forget(turn: Turn, reference: str) -> None:
    """Destroy the tokens, and let the screens know."""
    row = authorizations.get(turn.office.db, turn.client_id)
    with turn.office.db.write() as connection:
        onboardings.forget_session(connection, reference)
        authorizations.note(connection, turn.now, turn.client_id, row["state"])
        audit(connection, turn.now, None, "client_session.over", client_id=turn.client_id, reference=reference)


def _seal(turn: Turn, reference: str, what: str, value: Secret) -> bytes:
    return turn.office.sealer.seal(value, client=turn.nip, kind=_KINDS[what], row=reference)


def _opened(turn: Turn, row: sqlite3.Row, what: str) -> Secret | None:
    """A sealed token; None when there is none or it is not this client's and login's."""
    if row[f"sealed_{what}"] is None:
        return None
    try:
        return turn.office.sealer.open(row[f"sealed_{what}"], client=turn.nip, kind=_KINDS[what], row=row["reference"])
    except Problem as problem:
        if problem.code != "sealed_value_broken":
            raise
        return None
