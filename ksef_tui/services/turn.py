"""One client's turn: what every step of serving a client needs, under the client's lease."""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass, field
from datetime import datetime

from ksef_tui.domain.problems import Problem
from ksef_tui.domain.roles import Operator
from ksef_tui.ksef.api import Access, KsefApi
from ksef_tui.ksef.http import Order
from ksef_tui.ksef.models import SessionInvoice
from ksef_tui.ksef.operations import Operation
from ksef_tui.ksef.public_keys import KeyRing
from ksef_tui.services.calls import CallKeeper, Doing
from ksef_tui.services.looking import Read
from ksef_tui.services.office import Office
from ksef_tui.store import offices


class NoAccess(Exception):
    """The client has no working authorisation; its invoices stand, and the authorisation says why."""


@dataclass(slots=True)
class Listed:
    """The accepted invoices of one session by their hash, as of a moment (seconds since 1970); None: we may not see them."""

    at: float
    items: dict[str, SessionInvoice] | None


@dataclass(slots=True)
class Polls:
    """When each session may be asked again (seconds of the office's clock since 1970), and receipts' addresses."""

    session_at: dict[int, float] = field(default_factory=dict)
    upo_urls: dict[int, str] = field(default_factory=dict)
    lists: dict[str, Listed] = field(default_factory=dict)  # accepted invoices of sessions, by the session's reference
    metadata: dict[tuple[str, str], Read] = field(default_factory=dict)
    reconciled: dict[str, dict[str, SessionInvoice]] = field(default_factory=dict)  # `reconciling`: by session, by hash
    progress: int = 0  # invoices that KSeF took or numbered: while this grows, failures are no reason to slow down


def to_serve(office: Office, client_id: int) -> sqlite3.Row | None:
    """The client whose turn it is; None for an unknown one. In the office's own account certificates are ordered and
    rights are given: no client's account may pass for it, whatever the database says (design §1).

    Raises Problem("other_account").
    """
    row = offices.client(office.db, client_id)
    if row is not None and bool(row["office"]) != (row["nip"] == office.nip):
        raise Problem(
            "other_account",
            f"W bazie danych pomylono konto biura (NIP {office.nip}) z kontem klienta {row['name']} (NIP {row['nip']}) – "
            "niczego nie wysłano.",
        )
    return row


@dataclass(slots=True)
class Turn:
    """A client being served. `flush`: close idle sessions at once; `operator`: who asked for this very turn and waits for
    it, None in a pass of the worker; `settling`: nothing new is sent from now on, for the client's identity is about to
    change or the worker ends."""

    office: Office
    api: KsefApi
    keeper: CallKeeper
    keys: KeyRing
    polls: Polls
    doing: Doing
    client: sqlite3.Row
    flush: bool = False
    settling: bool = False
    access: Access | None = None
    operator: Operator | None = None
    signs_for: int | None = None  # the operator whose own certificate may sign now, as `personal` found out
    next_in: float | None = None  # seconds until the next pass is wanted

    @property
    def client_id(self) -> int:
        """The client's id."""
        return int(self.client["id"])

    @property
    def nip(self) -> str:
        """The client's NIP: the only context that this turn may call in."""
        return str(self.client["nip"])

    @property
    def now(self) -> datetime:
        """The office's time, UTC."""
        return self.office.clock()

    async def ready(self, operation: Operation) -> None:
        """Wait until a call may leave, before its intent is written. Raises NotNow and LeaseLost."""
        await self.keeper.before(Order(operation, context=self.nip).call())

    def come_back(self, seconds: float) -> None:
        """Ask for another pass in at most `seconds`."""
        seconds = max(0.05, seconds)
        self.next_in = seconds if self.next_in is None else min(self.next_in, seconds)
