"""An office of any size, written straight into the tables: one transaction, a few tiny documents shared by all clients."""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from ksef_tui.compose import open_office
from ksef_tui.domain.authorizations import AuthState
from ksef_tui.domain.invoices import InvoiceState, UpoState
from ksef_tui.domain.roles import Operator
from ksef_tui.domain.text import fold
from ksef_tui.domain.times import to_text
from ksef_tui.services import office as offices
from ksef_tui.services.office import Office
from ksef_tui.store import leases
from ksef_tui.store.database import Database

LOGIN = "bench"
OFFICE_NIP = "5265877635"
NEWEST = 2_000  # the newest invoices stand in all states; the older ones were sent long ago

_WEIGHTS = (6, 5, 7, 2, 3, 4, 5, 6, 7)
_MIXED = (
    InvoiceState.WAITING,
    InvoiceState.ACCEPTED,
    InvoiceState.APPROVED,
    InvoiceState.REJECTED,
    InvoiceState.WAITING,
    InvoiceState.BLOCKED,
    InvoiceState.ACCEPTED,
    InvoiceState.INVALID,
)
_REASONS = {
    InvoiceState.REJECTED: ("450", "Faktura nie zgadza się ze wzorem FA(3)."),
    InvoiceState.BLOCKED: ("duplicate", "ten numer już czeka w kolejce"),
    InvoiceState.INVALID: ("xsd", "plik nie zgadza się ze wzorem FA(3)"),
}


@dataclass(frozen=True, slots=True)
class Size:
    """How big an office is."""

    clients: int
    invoices: int

    def __str__(self) -> str:
        return f"{self.clients:,} clients, {self.invoices:,} invoices"


def new_nip(index: int) -> str:
    """The n-th invented NIP with a right check digit."""
    body = 511_000_000 + index
    while (check := sum(w * int(d) for w, d in zip(_WEIGHTS, str(body), strict=True)) % 11) == 10:
        body += 100_000_000
    return f"{body}{check}"


def make(folder: Path, size: Size) -> None:
    """Make the office in `folder`, its own NIP being the first client."""
    offices.init(
        folder, environment="sandbox", nip=OFFICE_NIP, name="Biuro Rachunkowe Saldo", login=LOGIN,
        api_url="http://127.0.0.1:9",
    )  # fmt: skip
    opened = open_office(folder)
    try:
        opened.db.connection.execute("PRAGMA cache_size = -400000")  # kB: else the indexes go through the disk
        with opened.db.write() as connection:
            _clients(connection, size.clients)
            _invoices(connection, size)
        opened.db.connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    finally:
        opened.close()


def _clients(connection: sqlite3.Connection, count: int) -> None:
    now = datetime.now(UTC)
    at, until = to_text(now), to_text(now + timedelta(days=600))
    connection.executemany(
        "INSERT INTO client (id, nip, name, created_at) VALUES (?, ?, ?, ?)",
        ((i + 2, new_nip(i), f"Zakład {i:04d} Próbny sp. z o.o.", at) for i in range(count)),
    )
    states = (AuthState.ACTIVE,) * 8 + (AuthState.NO_PERMISSION, AuthState.MISSING)
    connection.executemany(
        "INSERT INTO authorization (client_id, state, method, rights, checked_at, valid_until, changed_at) "
        "VALUES (?, ?, 'certificate', '[\"InvoiceRead\", \"InvoiceWrite\"]', ?, ?, ?)",
        ((i + 2, states[i % len(states)], at, until, at) for i in range(count)),
    )


def _invoices(connection: sqlite3.Connection, size: Size) -> None:
    each = -(-size.invoices // size.clients)  # a client has each document once
    documents = [f"dokument {n}".encode() for n in range(each)]
    hashes = [hashlib.sha256(data).hexdigest() for data in documents]
    connection.executemany("INSERT INTO document VALUES (?, ?)", zip(hashes, documents, strict=True))
    connection.executemany(
        "INSERT INTO invoice (client_id, sha256, file, size, seller_nip, number, number_key, kind, issue_date, buyer_nip, "
        "buyer, gross, currency, form_code, search, state, reason_code, reason, ksef_number, upo, accepted_at, created_at, "
        "changed_at) VALUES (?, ?, ?, 3000, ?, ?, ?, 'VAT', ?, '1111111111', ?, ?, 'PLN', 'FA (3)', ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        _invoice_rows(size, hashes),
    )


def _invoice_rows(size: Size, hashes: list[str]) -> Iterator[tuple[object, ...]]:
    start = datetime.now(UTC) - timedelta(days=1)
    at, day = to_text(start), start.date().isoformat()
    buyers = [f"Hurtownia Leśna nr {n}" for n in range(97)]
    nips = [new_nip(i) for i in range(size.clients)]
    for n in range(size.invoices):
        client = n % size.clients
        from_end = size.invoices - n
        state = _MIXED[from_end % len(_MIXED)] if from_end <= NEWEST else InvoiceState.ACCEPTED
        if state is InvoiceState.APPROVED:  # of a client without permission, so that no worker would move it
            state = InvoiceState.APPROVED if client % 10 == 8 else InvoiceState.WAITING
        accepted = state is InvoiceState.ACCEPTED
        code, reason = _REASONS.get(state, ("", ""))
        number, buyer = f"FV/{n:07d}/2026", buyers[n % 97]
        yield (
            client + 2, hashes[n // size.clients], f"{n}.xml", nips[client], number, number, day, buyer,
            f"{100 + n % 90_000}.50", fold(f"{number} {buyer} 1111111111"), state, code, reason,
            f"{nips[client]}-20261124-{n:012X}-5F" if accepted else "",
            UpoState.SAVED if accepted else UpoState.NONE, at if accepted else None, at, at,
        )  # fmt: skip


@contextmanager
def somebody_sends(folder: Path) -> Iterator[tuple[Office, Operator]]:
    """The office, open, while this process says that it sends: a screen starts no worker of its own then."""
    opened = open_office(folder)
    lease = leases.take(opened.db, "worker:bench", 24 * 3600)
    assert lease is not None
    try:
        yield opened, offices.operator_named(opened, LOGIN)
    finally:
        leases.release(opened.db, lease)
        opened.close()


def waiting_ids(db: Database, count: int) -> list[int]:
    """The newest invoices that wait for approval, newest first: they are on the first page of the queue."""
    rows = db.rows("SELECT id FROM invoice WHERE state = 'waiting' ORDER BY id DESC LIMIT ?", (count,))
    return [row[0] for row in rows]
