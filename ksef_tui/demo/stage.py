"""What the filling of the exercise works with: the office, its people, KSeF, and a worker that can be watched."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from datetime import date, datetime, timedelta
from time import monotonic

from ksef_tui.demo.cast import Member, Part
from ksef_tui.demo.client_side import ClientSide
from ksef_tui.demo.ministry import Switches
from ksef_tui.demo.papers import Desk, Paper
from ksef_tui.domain.authorizations import AuthState
from ksef_tui.domain.invoices import InvoiceState
from ksef_tui.domain.problems import Problem
from ksef_tui.domain.roles import Operator
from ksef_tui.domain.times import polish_day
from ksef_tui.ksef.public_keys import KeyRing
from ksef_tui.services import approving, importing
from ksef_tui.services.office import Office, utc_now
from ksef_tui.services.views import newest_seq
from ksef_tui.services.worker import Worker
from ksef_tui.store import authorizations
from ksef_tui.store.leases import boot_seconds

PATIENCE = 60.0  # seconds in which nothing changes; a step changes something every moment
LOOK_EVERY = 0.02  # seconds
A_DAY_AGO = timedelta(hours=25)


class Stage:
    """Everything that the steps of the filling share. `ids` are the clients' by NIP."""

    def __init__(
        self,
        office: Office,
        operator: Operator,
        members: Sequence[Member],
        switches: Switches,
        desk: Desk,
        tell: Callable[[str], None],
    ) -> None:
        self.office = office
        self.operator = operator
        self.members = members
        self.switches = switches
        self.desk = desk
        self.tell = tell
        self.ids: dict[str, int] = {}

    def of(self, *parts: Part) -> list[Member]:
        """The members with one of these parts."""
        return [member for member in self.members if member.part in parts]

    def one(self, part: Part) -> Member | None:
        """The first member with this part; a small cast has not all of them."""
        return next(iter(self.of(part)), None)

    def client_side(self, member: Member) -> ClientSide:
        """The client itself at work in KSeF."""
        return ClientSide(self.switches.url, member)

    # Time ---------------------------------------------------------------------------------------------------------

    def go_back(self) -> None:
        """What follows happened yesterday."""
        self.set_back(A_DAY_AGO)

    def set_back(self, by: timedelta) -> None:
        """What follows happened so long ago, by every clock."""
        self.office.clock = lambda: utc_now() - by
        self.office.since_boot = lambda: boot_seconds() - by.total_seconds()

    def come_back(self) -> None:
        """What follows happens now."""
        self.office.clock, self.office.since_boot = utc_now, boot_seconds

    @property
    def now(self) -> datetime:
        """The office's time."""
        return self.office.clock()

    @property
    def today(self) -> date:
        """The office's day in Poland."""
        return polish_day(self.now)

    # Invoices -----------------------------------------------------------------------------------------------------

    def bring_in(self, member: Member, papers: Sequence[Paper]) -> list[int]:
        """Import papers for a client; the ids of their invoices."""
        client_id = self.ids[member.nip]
        with self.office.db.write():
            rows = [importing.import_bytes(self.office, self.operator, client_id, p.name, p.data) for p in papers]
        return [row.id for row in rows if row.id is not None]

    def write(self, member: Member, count: int, day: date | None = None) -> list[Paper]:
        """Ordinary papers of a client, dated `day` or today."""
        return [self.desk.ordinary(member, day or self.today, self.now) for _ in range(count)]

    def approve(self, ids: Sequence[int]) -> None:
        """Approve invoices as the operator would."""
        approving.approve(self.office, self.operator, ids)

    def state(self, invoice_id: int) -> InvoiceState:
        """Where an invoice stands."""
        return InvoiceState(self.office.db.value("SELECT state FROM invoice WHERE id = ?", (invoice_id,)))

    def all_in(self, ids: Sequence[int], *states: InvoiceState) -> bool:
        """Whether all these invoices are in one of these states."""
        return all(self.state(i) in states for i in ids)

    # Authorisations -----------------------------------------------------------------------------------------------

    def auth(self, member: Member) -> AuthState:
        """Where a client's authorisation stands, as stored."""
        return AuthState(authorizations.get(self.office.db, self.ids[member.nip])["state"])

    def no_intents(self) -> bool:
        """Whether nothing asked for is still to be done."""
        return not authorizations.with_intent(self.office.db)

    def _accepted(self) -> int:
        return int(self.office.db.value("SELECT ifnull(sum(n), 0) FROM invoice_count WHERE state = 'accepted'"))

    # The worker ---------------------------------------------------------------------------------------------------

    async def work(self, until: Callable[[], bool], *, what: str = "", give_up_passes: bool = False) -> None:
        """Let a worker of the program do what was asked for, and stop it when `until` holds.

        `what` is told with the count of invoices that have their number.
        `give_up_passes`: break off what it is doing, like a screen that is closed. Raises Problem when it never holds.
        """
        worker = Worker(self.office, until_idle=True)
        worker.keys = KeyRing(
            worker.api, verified=False
        )  # the ministry's keys are of today, whatever the office's clock says
        run = asyncio.create_task(worker.run())
        changed, seq = monotonic(), -1
        try:
            while not until() and not run.done() and monotonic() - changed < PATIENCE:
                await asyncio.sleep(LOOK_EVERY)
                if (newest := newest_seq(self.office)) != seq:
                    changed, seq = monotonic(), newest
                    if what:
                        self.tell(f"{what}, {self._accepted()} ma numer KSeF")
        finally:
            if give_up_passes:
                for task in list(worker.running.values()):
                    task.cancel()
            worker.stop()
            await run
        if not until():
            raise Problem("demo_stuck", "Ćwiczenie nie doszło do końca przygotowań – uruchom je jeszcze raz z --reset.")
