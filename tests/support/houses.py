"""An accounting office that works with the sandbox, made for one test."""

from __future__ import annotations

import asyncio
import sqlite3
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from ksef_tui.compose import open_office
from ksef_tui.domain.roles import Operator, Role
from ksef_tui.domain.secret import Secret
from ksef_tui.services import approving, authorising, clients, configuring, identities, importing, office
from ksef_tui.services.own_work import carry_out
from ksef_tui.services.worker import Worker
from ksef_tui.store import leases, offices
from support import papers
from support.companies import Paper, new_nip, seal
from support.ministry import PATIENCE, Ministry

BOTH = ("InvoiceWrite", "InvoiceRead")
LOGIN = "kierownik"


@dataclass(frozen=True)
class Client:
    id: int
    nip: str


class House:
    """The office, its administrator, and what they do all day."""

    def __init__(self, folder: Path, ministry: Ministry, *, recall_seconds: int = 0) -> None:
        self.folder, self.ministry, self.nip = folder, ministry, new_nip()
        office.init(
            folder, environment="sandbox", nip=self.nip, name="Biuro Modrzew", login=LOGIN, api_url=ministry.url
        )
        self.office = open_office(folder)
        self.admin = office.operator_named(self.office, LOGIN)
        configuring.change(self.office, self.admin, "recall_seconds", str(recall_seconds))
        self._shift = self._set = timedelta(0)

    def close(self) -> None:
        self.office.close()

    @property
    def db(self):
        return self.office.db

    def now_again(self) -> None:
        """Back to the time of KSeF."""
        self._shift = timedelta(0)
        self.later()

    def set_clock(self, **delta: float) -> None:
        """Somebody sets the clock of the machine; no time passes."""
        self._set += timedelta(**delta)
        self.later()

    def later(self, **delta: float) -> None:
        """Let time pass for the office (not for KSeF)."""
        self._shift += timedelta(**delta)
        self.office.clock = lambda: datetime.now(UTC) + self._shift + self._set
        self.office.since_boot = lambda: leases.boot_seconds() + self._shift.total_seconds()

    # people and companies

    def operator(self, login: str, role: Role, client: Client | None = None) -> Operator:
        with self.db.write() as connection:
            offices.insert_operator(
                connection, datetime.now(UTC), login, login, role, client.id if client is not None else None
            )
        return office.operator_named(self.office, login)

    def client(self, *rights: str, name: str = "Jodła Próbna") -> Client:
        """A client that has granted these rights to the office."""
        nip = new_nip()
        if rights:
            self.ministry.grant(nip, self.nip, *rights)
        return Client(clients.add(self.office, self.admin, nip, name), nip)

    def identity(self, label: str = "pieczęć", paper: Paper | None = None, operator: Operator | None = None) -> int:
        paper = paper or seal(self.nip)
        return identities.add(self.office, operator or self.admin, label, paper.certificate, paper.key, None)

    async def authorise(
        self, client: Client, identity: int | None = None, operator: Operator | None = None
    ) -> sqlite3.Row:
        """Authorise by certificate and wait for the end; the authorisation's row."""
        if identity is None:
            known = offices.identity_by_label(self.db, "pieczęć")
            identity = known["id"] if known else self.identity()
        authorising.start_with_identity(self.office, operator or self.admin, client.id, identity)
        await self.carry_out(client)
        return self.auth(client)

    async def authorise_with_token(self, client: Client, token: str) -> sqlite3.Row:
        authorising.start_with_token(self.office, self.admin, client.id, Secret(token))
        await self.carry_out(client)
        return self.auth(client)

    async def carry_out(self, client: Client) -> None:
        await carry_out(self.office, client.id, patience=PATIENCE)

    async def ready_client(self, *rights: str) -> Client:
        """A client with a working authorisation."""
        client = self.client(*(rights or BOTH))
        row = await self.authorise(client)
        assert row["state"] == "active", dict(row)
        return client

    # invoices

    def bring(self, client: Client, *documents: bytes) -> list[int]:
        """Import documents; their ids."""
        rows = [
            importing.import_bytes(self.office, self.admin, client.id, f"faktura-{n}.xml", document)
            for n, document in enumerate(documents)
        ]
        assert all(row.id is not None for row in rows), rows
        return [row.id for row in rows]

    def approved(self, client: Client, *documents: bytes) -> list[int]:
        """Import and approve; without documents one new invoice."""
        ids = self.bring(client, *(documents or (papers.invoice(client.nip),)))
        result = approving.approve(self.office, self.admin, ids)
        assert result.done == len(ids), result
        return ids

    async def work(self, seconds: float = PATIENCE) -> None:
        """A worker until nothing that could move is left."""
        async with asyncio.timeout(seconds):
            await Worker(self.office, until_idle=True).run()

    async def work_until(self, reached: Callable[[], Any], seconds: float = PATIENCE) -> None:
        """A worker until something is so in the database or at KSeF."""
        worker = Worker(self.office)
        run = asyncio.create_task(worker.run())
        try:
            async with asyncio.timeout(seconds):
                while not reached():
                    if run.done():
                        await run
                        raise AssertionError("the worker ended by itself")
                    await asyncio.sleep(0.02)
        finally:
            worker.stop()
            await run

    # what the database says

    def invoice(self, invoice_id: int) -> sqlite3.Row:
        row = self.db.row("SELECT * FROM invoice WHERE id = ?", (invoice_id,))
        assert row is not None
        return row

    def states(self, ids: list[int]) -> list[str]:
        return [self.invoice(i)["state"] for i in ids]

    def auth(self, client: Client) -> sqlite3.Row:
        row = self.db.row("SELECT * FROM authorization WHERE client_id = ?", (client.id,))
        assert row is not None
        return row

    def calls(self, operation: str, phase: str = "started") -> list[sqlite3.Row]:
        return self.db.rows("SELECT * FROM journal WHERE operation = ? AND phase = ? ORDER BY id", (operation, phase))

    def edit(self, sql: str, *values: Any) -> None:
        """Change the database behind the program's back."""
        with self.db.write() as connection:
            connection.execute(sql, values)


def wait_for(reached: Callable[[], Any], seconds: float = PATIENCE) -> Any:
    """What `reached` gives once it is true: another process can only be watched."""
    deadline = time.monotonic() + seconds
    while not (found := reached()):
        assert time.monotonic() < deadline, "it did not come about"
        time.sleep(0.01)
    return found
