"""Logins that KSeF holds though nobody here has their tokens: the process that made one was killed before it wrote them
down, the answer that carried them was lost (F24), or KSeF did not answer when they were to end. They would live on for
days (F32).

The journal knows their references, so a login that works ends them, and only them: what other programs of the same
subject have made is theirs. Whoever calls this holds the client's lease.
"""

from __future__ import annotations

import sqlite3
from contextlib import suppress
from datetime import timedelta

from ksef_tui.ksef.api import Access
from ksef_tui.ksef.errors import KsefError, Limited, Refused
from ksef_tui.services.calls import NotNow
from ksef_tui.services.turn import Turn
from ksef_tui.services.verdicts import Verdict
from ksef_tui.store import records

LIVES = timedelta(days=7)  # the longest life of a refresh token


def suspected(turn: Turn, *, after: str = "") -> set[str]:
    """References of what may have been left behind since the login `after` was made (empty: in the last days)."""
    since = turn.now - LIVES
    lost = records.logins_since(turn.office.db, turn.nip, since.timestamp(), after)
    return lost | records.logins_left(turn.office.db, turn.client_id, since)


async def end_before(turn: Turn, row: sqlite3.Row, verdict: Verdict) -> None:
    """A new login works: end what was left behind since the one that `row` knows."""
    if verdict.tokens is not None and verdict.is_good:
        access = Access(turn.nip, verdict.tokens.access_token.token)
        await end(turn, access, suspected(turn, after=row["reference"]) - {verdict.reference})


async def end(turn: Turn, access: Access | None, lost: set[str]) -> None:
    """End those of them that still live. Best effort: nobody holds them, and in a week they end by themselves."""
    if access is None or not lost:
        return
    with suppress(KsefError, NotNow):
        for one in await turn.api.auth_sessions(access):
            if one.is_current or one.reference_number not in lost:
                continue
            try:
                await turn.api.end_auth_session(turn.nip, access.token, one.reference_number)
            except Limited:
                raise
            except Refused:
                continue
