"""The exercise goes on by itself: invoices come in, some are approved, some are refused, somebody always sends.

One thread in each process that shows the exercise; one process at a time drives, by a lease.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import sqlite3
import threading
from datetime import date
from typing import Any

from ksef_tui.demo.cast import SENDERS, Member, Part, cast, office
from ksef_tui.demo.client_side import ClientSide
from ksef_tui.demo.connecting import Connecting
from ksef_tui.demo.ministry import Switches
from ksef_tui.demo.papers import Desk, paper, with_wrong_nip
from ksef_tui.demo.seed import AUTOMAT
from ksef_tui.demo.troubles import Menu
from ksef_tui.domain.invoices import InvoiceState
from ksef_tui.domain.problems import Problem
from ksef_tui.domain.roles import Operator
from ksef_tui.domain.times import polish_day
from ksef_tui.services import approving, clients, importing, invoice_views, worker_process
from ksef_tui.services.office import Office, operator_named
from ksef_tui.store import leases

BEAT = 1.0  # seconds
LEASE = "demo:driver"
LEASE_SECONDS = 20.0
PER_CLIENT = 30.0  # seconds between new invoices of one client, on average: far below KSeF's limits
MOST_INVOICES = 3_000  # then nothing new comes
MOST_WAITING = 60  # then everything new is approved
SOMEBODY_AFTER = 8  # beats without a worker after which one is started
STOP_PATIENCE = 3.0


class Live(threading.Thread):
    """Drives the exercise until `stop`."""

    def __init__(self, opened: Office, login: str, switches: Switches, menu: Menu, notes: dict[str, Any]) -> None:
        super().__init__(name="exercise", daemon=True)
        self._office = opened
        self._login = login
        self._switches = switches
        self._menu = menu
        self._standing: dict[str, Any] = notes.get("standing") or {}
        self._members = [*cast(int(notes["clients"])), office()]
        self._senders = [m for m in self._members if m.part in SENDERS]
        self._rng = random.Random()  # noqa: S311 nothing secret
        self._connecting = Connecting(opened, self._members, switches)
        self._ended = threading.Event()
        self._lease: leases.Lease | None = None
        self._approvals: list[int] = []
        self._alone = 0
        self._worker: worker_process.WorkerChild | None = None

    def run(self) -> None:
        """A beat a second; what goes wrong in one (an outage on purpose, above all) is over with the next."""
        import httpx

        from ksef_tui.ksef.errors import KsefError

        weather = (Problem, KsefError, httpx.HTTPError, OSError, sqlite3.Error, TimeoutError)
        try:
            desk, automat = self._begin()
            while True:
                with contextlib.suppress(*weather):
                    self._beat(desk, automat)
                if self._ended.wait(BEAT):
                    return
        except (Problem, sqlite3.Error):  # the office was closed under our hands: the exercise is over
            return

    def _begin(self) -> tuple[Desk, Operator]:
        newest = int(self._office.db.value("SELECT ifnull(max(id), 0) FROM invoice"))
        return Desk(self._rng.randrange(1 << 30), first=20 * newest), operator_named(self._office, AUTOMAT)

    def stop(self) -> None:
        """End what this process drives, and the worker if this process had to start one."""
        self._ended.set()
        self.join(STOP_PATIENCE)
        self._connecting.stop()
        if self._lease is not None:
            leases.release(self._office.db, self._lease)
        if self._worker is not None:
            self._worker.stop()

    # One beat -----------------------------------------------------------------------------------------------------

    def _beat(self, desk: Desk, automat: Operator) -> None:
        faults = self._menu.look()
        if not self._drives():
            return
        self._keep_standing(faults)
        self._keep_a_worker()
        self._approve_some(automat)
        login_awaited = self._connecting.beat(operator_named(self._office, self._login), faults)
        if self._senders and self._rng.random() < BEAT * len(self._senders) / PER_CLIENT:
            # A client that logs in to send by itself would be judged in place of the one that is awaited.
            self._something_comes(desk, automat, may_collide=not login_awaited)

    def _drives(self) -> bool:
        if self._lease is not None:
            self._lease = leases.renew(self._office.db, self._lease, LEASE_SECONDS)
        if self._lease is None:
            self._lease = leases.take(self._office.db, LEASE, LEASE_SECONDS)
        return self._lease is not None

    def _keep_standing(self, faults: list[dict[str, Any]]) -> None:
        """The receipts that are late stay late, also after the sandbox was started anew."""
        if self._standing and not any(f["params"].get("standing") for f in faults):
            self._switches.put("upo_html", **self._standing)

    def _keep_a_worker(self) -> None:
        """The screen that started the worker may be closed while another one is open."""
        if worker_process.somebody_works(self._office):
            self._alone = 0
            return
        self._alone += 1
        if self._alone >= SOMEBODY_AFTER:
            self._alone = 0
            if self._worker is not None:
                self._worker.stop()
            self._worker = worker_process.ensure(self._office, self._login)

    # The queue ----------------------------------------------------------------------------------------------------

    def _approve_some(self, automat: Operator) -> None:
        """Some beats after they came: what is approved in one go goes out in one session."""
        if self._approvals and self._rng.random() < 0.3:
            approving.approve(self._office, automat, self._approvals)
            self._approvals = []

    def _something_comes(self, desk: Desk, automat: Operator, *, may_collide: bool) -> None:
        counts = invoice_views.queue_counts(self._office, automat)
        waiting = counts.get(InvoiceState.WAITING, 0)
        if sum(counts.values()) >= MOST_INVOICES:
            if waiting > MOST_WAITING // 2:
                ids = approving.waiting_ids(self._office, automat, None)
                self._approvals = self._rng.sample(ids, k=min(2, len(ids)))
            return
        member, chance = self._rng.choice(self._senders), self._rng.random()
        if chance < 0.05:
            self._import(automat, member, with_wrong_nip(desk.sale(member, self._today, self._office.clock())).data)
        elif chance < 0.12 and may_collide and member.part is not Part.WRITES:
            self._collide(desk, automat, member)
        else:
            for _ in range(self._rng.choice((1, 1, 2, 3))):
                made = desk.ordinary(member, self._today, self._office.clock())
                found = self._import(automat, member, made.data, made.name)
                if found is not None and (waiting > MOST_WAITING or self._rng.random() < 0.8):
                    self._approvals.append(found)

    def _collide(self, desk: Desk, automat: Operator, member: Member) -> None:
        """The client has used the number for another invoice, beside the office: KSeF will refuse ours (440)."""
        sale = desk.sale(member, self._today, self._office.clock())
        other = desk.sale(member, self._today, self._office.clock(), number=sale.number)

        async def issue() -> None:
            async with ClientSide(self._switches.url, member) as client:
                await client.send(paper(other).data)

        asyncio.run(issue())
        found = self._import(automat, member, paper(sale).data)
        if found is not None:
            self._approvals.append(found)

    def _import(self, automat: Operator, member: Member, data: bytes, name: str = "faktura.xml") -> int | None:
        """The invoice's id when it waits for approval."""
        client_id = clients.id_of(self._office, member.nip)
        row = importing.import_bytes(self._office, automat, client_id, name, data)
        return row.id if row.state == "waiting" else None

    @property
    def _today(self) -> date:
        return polish_day(self._office.clock())
