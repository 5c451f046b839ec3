"""Two clients of each kind in one office with one identity, a network that watches whose token each call carries, and
hands that swap or copy what belongs to one client to the other, behind the program's back."""

from __future__ import annotations

import base64
import json
import re
import shutil
import sqlite3
from collections.abc import Iterable
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx

from ksef_tui.domain.times import to_text
from ksef_tui.ksef.crypto import hash_b64
from ksef_tui.services import authorising, external
from ksef_tui.services.calls import doing
from ksef_tui.services.office import Office
from ksef_tui.store import authorizations
from ksef_tui.store.schema import STEPS
from support import papers
from support.companies import seal, signed
from support.houses import BOTH, Client, House
from support.strangers import Stranger

PAST = "2026-01-01T00:00:00.000Z"
KEYS = {  # where a table does not say `client_id`
    "client": "id",
    "collision": "(SELECT client_id FROM invoice WHERE id = invoice_id)",
}
ROW_IDS = {  # columns that are the row's own place
    ("authorization", "client_id"), ("signature_request", "client_id"), ("identity_switch", "client_id"),
    ("client_rest", "client_id"), ("unstored", "invoice_id"), ("collision", "invoice_id"),
}  # fmt: skip


class Watching(httpx.AsyncBaseTransport):
    """Passes calls on and remembers each that carried another context than that of the client being served."""

    def __init__(self, office: Office) -> None:
        self._office, self._network = office, httpx.AsyncHTTPTransport()
        self.wrong: list[str] = []
        self.calls = 0
        self.asked: list[tuple[str, str]] = []  # the NIP of the client being served, and the path

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        mine = doing.get()
        if mine is not None and mine.lease is not None and mine.lease.name.startswith("client:"):
            self.calls += 1
            client_id = int(mine.lease.name.partition(":")[2])
            nip = self._office.db.value("SELECT nip FROM client WHERE id = ?", (client_id,))
            self.asked.append((nip, request.url.path))
            for context in _contexts(request):
                if context != nip:
                    self.wrong.append(f"{request.method} {request.url.path}: {context} while serving {nip}")
        return await self._network.handle_async_request(request)

    async def aclose(self) -> None:
        await self._network.aclose()


def _contexts(request: httpx.Request) -> Iterable[str]:
    """Whose context a request works in: what its token says, and what a login asks for."""
    _, _, token = request.headers.get("Authorization", "").partition(" ")
    if token.count(".") == 2:
        payload = token.split(".")[1]
        yield json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))["civ"]
    if request.url.path.endswith("/auth/xades-signature"):
        yield re.findall(rb"<Nip>(\d+)</Nip>", request.content)[0].decode()
    if request.url.path.endswith("/auth/ksef-token"):
        yield json.loads(request.content)["contextIdentifier"]["value"]


class Scene:
    """Pairs of clients of one office: by the office's profile, by tokens, and by somebody's signature."""

    def __init__(self, house: House) -> None:
        self.house = house
        self.sellers: dict[str, str] = {}  # hash of a document → its seller
        self.certificates: tuple[Client, Client]
        self.tokens: tuple[Client, Client]
        self.signatures: tuple[Client, Client]

    @property
    def clients(self) -> tuple[Client, ...]:
        return (*self.certificates, *self.tokens, *self.signatures)

    async def furnish(self) -> None:
        """Clients with live logins and sessions, and invoices that are settled, without an UPO, on the wire, unknown."""
        house = self.house
        identity = house.identity()
        one, two = [await house.ready_client() for _ in range(2)]
        self.certificates = (one, two)
        ids = {client.id: self.approved(client, 4) for client in self.certificates}
        await house.work_until(lambda: house.db.value("SELECT count(*) FROM invoice WHERE upo = 'saved'") == 8)
        for _, receipt, wire, unknown in ids.values():
            earlier = to_text(house.office.clock() - timedelta(minutes=2))
            house.edit(
                "UPDATE invoice SET upo = 'none', upo_sha256 = NULL, upo_at = NULL, accepted_at = ? WHERE id = ?",
                earlier, receipt,
            )  # fmt: skip
            house.edit(
                "UPDATE invoice SET state = 'processing', ksef_number = '', upo = 'none', upo_sha256 = NULL WHERE id = ?",
                wire,
            )
            house.edit(
                "UPDATE invoice SET state = 'unknown', reason_code = 'no_answer', reference = '', ksef_number = '', "
                "upo = 'none', upo_sha256 = NULL WHERE id = ?",
                unknown,
            )
        pairs: list[Client] = []
        for _ in range(2):
            client = house.client(*BOTH)
            await house.authorise_with_token(client, await Stranger(house.ministry, client.nip).token(*BOTH))
            house.edit(
                "UPDATE authorization SET sealed_access = NULL, sealed_refresh = NULL WHERE client_id = ?", client.id
            )
            pairs.append(client)
        self.tokens = (pairs[0], pairs[1])
        pairs = []
        for _ in range(2):
            client = house.client()
            authorising.start_external(house.office, house.admin, client.id)
            await house.carry_out(client)
            document = external.request(house.office, house.admin, client.id).document
            authorising.submit(house.office, house.admin, client.id, signed(document, seal(client.nip)))
            pairs.append(client)
        self.signatures = (pairs[0], pairs[1])
        now = to_text(house.office.clock())
        for client in self.certificates:  # the change of identity has come, its old login is still to be ended
            house.edit(
                "INSERT INTO identity_switch (client_id, identity_id, operator_id, asked_at, phase, sealed_replaced) "
                "VALUES (?, ?, ?, ?, 'ending', ?)",
                client.id, identity, house.admin.id, now, house.auth(client)["sealed_refresh"],
            )  # fmt: skip
            house.edit("UPDATE authorization SET fallback = ? WHERE client_id = ?", _fallback(house, client), client.id)

    def approved(self, client: Client, count: int = 1) -> list[int]:
        """So many new invoices of a client, to be sent."""
        documents = [papers.invoice(client.nip) for _ in range(count)]
        ids = self.house.approved(client, *documents)
        for invoice_id in ids:
            self.sellers[hash_b64(self.house.invoice(invoice_id)["sha256"])] = client.nip
        return ids

    def furnish_queue(self) -> None:
        """Of either client an invoice that took another's place, one whose number collided, one not yet seen stored, and
        some to be sent; the first client's are urgent, the first is paused and rests, the second no more."""
        house, (one, two) = self.house, self.certificates
        now, later = to_text(house.office.clock()), to_text(house.office.clock() + timedelta(minutes=9))
        for client in self.certificates:
            old, new, collided, _ = self.approved(client, 4)
            house.edit(
                "UPDATE invoice SET state = 'replaced', reason_code = 'replaced', reason = 'zastąpiona', replaced_by = ? "
                "WHERE id = ?",
                new, old,
            )  # fmt: skip
            house.edit(
                "UPDATE invoice SET state = 'rejected', reason_code = '440', reason = 'numer zajęty' WHERE id = ?",
                collided,
            )
            settled = "FROM invoice WHERE client_id = ? AND upo = 'saved' ORDER BY id LIMIT 1"
            house.edit(
                f"INSERT INTO collision SELECT ?, ksef_number, sha256, 1, '', NULL {settled}", collided, client.id
            )
            house.edit(f"INSERT OR REPLACE INTO unstored SELECT id, client_id, ?, ? {settled}", PAST, PAST, client.id)
        house.edit("UPDATE invoice SET urgent_at = ? WHERE client_id = ? AND state = 'approved'", now, one.id)
        pause = "INSERT INTO pause (client_id, at, operator_id, why, ended_at, ended_by) VALUES (?, ?, ?, ?, ?, ?)"
        house.edit(pause, one.id, now, house.admin.id, "czekamy", None, None)
        house.edit(pause, two.id, PAST, house.admin.id, "było", PAST, house.admin.id)
        house.edit("INSERT INTO client_rest VALUES (?, ?, 'brak odpowiedzi')", one.id, later)
        house.edit("INSERT INTO client_rest VALUES (?, ?, 'awaria')", two.id, PAST)

    def names_of(self, client: Client) -> set[str]:
        """What tells of a client and of no other: its NIP, numbers, and references at KSeF."""
        rows = self.house.db.rows(
            "SELECT number, ksef_number, reference, '' AS session FROM invoice WHERE client_id = ?1 "
            "UNION ALL SELECT '', '', '', reference FROM session WHERE client_id = ?1",
            (client.id,),
        )
        return {client.nip, *(str(value) for row in rows for value in row if value)}

    def pair_of(self, table: str) -> tuple[Client, Client]:
        """The clients whose rows in a table are worth mixing up."""
        return self.signatures if table == "signature_request" else self.certificates


def _fallback(house: House, client: Client) -> str:
    row = authorizations.get(house.db, client.id)
    kept: dict[str, Any] = {name: row[name] for name in authorising.FALLBACK}
    token = house.office.sealer.seal(secret_of(client), client=client.nip, kind="ksef_token", row=str(client.id))
    return json.dumps({**kept, "sealed_token": token.hex()})


def secret_of(client: Client) -> Any:
    from ksef_tui.domain.secret import Secret

    return Secret(f"token klienta {client.nip}")


def swap(house: House, pair: tuple[Client, Client], table: str, columns: Iterable[str], where: str = "1") -> bool:
    """Exchange these columns between the newest such rows of two clients; False when both say the same."""
    return _write(house, table, columns, _rows(house, pair, table, where), both=True)


def copy(house: House, pair: tuple[Client, Client], table: str, columns: Iterable[str], where: str = "1") -> bool:
    """Put what the first client has in these columns over what the second has; False when both say the same."""
    return _write(house, table, columns, _rows(house, pair, table, where), both=False)


def _rows(house: House, pair: tuple[Client, Client], table: str, where: str) -> list[sqlite3.Row]:
    key = KEYS.get(table, "client_id")
    rows = [
        house.db.row(
            f"SELECT *, rowid AS place FROM {table} WHERE {key} = ? AND {where} ORDER BY rowid DESC LIMIT 1",
            (client.id,),
        )
        for client in pair
    ]
    assert all(rows), f"{table} has no such row of both"
    return [row for row in rows if row is not None]


def _write(house: House, table: str, columns: Iterable[str], rows: list[sqlite3.Row], *, both: bool) -> bool:
    one, two = rows
    differing = [column for column in columns if one[column] != two[column]]
    with house.db.write() as connection:
        connection.execute("PRAGMA defer_foreign_keys = ON")
        for column in differing:
            place = (table, column) in ROW_IDS
            unique = (
                place
                or (column in ("client_id", "nip") and table not in ("pause", "unstored"))
                or (table, column) == ("client_session", "reference")
            )
            if unique and not both:
                continue
            if unique:  # by way of a third value
                other = "0000000000" if column == "nip" else -1
                connection.execute(f"UPDATE {table} SET {column} = ? WHERE rowid = ?", (other, two["place"]))
                if place:
                    connection.execute(
                        f"UPDATE {table} SET {column} = ? WHERE {column} = ?", (two[column], one[column])
                    )
                    connection.execute(f"UPDATE {table} SET {column} = ? WHERE {column} = -1", (one[column],))
                    continue
            if both:
                connection.execute(f"UPDATE {table} SET {column} = ? WHERE rowid = ?", (two[column], one["place"]))
            connection.execute(f"UPDATE {table} SET {column} = ? WHERE rowid = ?", (one[column], two["place"]))
    return bool(differing)


def schema() -> dict[str, list[str]]:
    """Every table of the database that holds something of a client, with its columns."""
    connection = sqlite3.connect(":memory:")
    for _, statements in STEPS:
        for statement in statements:
            connection.execute(statement)
    tables = [row[0] for row in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name")]
    found = {table: [row[1] for row in connection.execute(f"PRAGMA table_info({table})")] for table in tables}
    connection.close()
    return {table: columns for table, columns in found.items() if "client_id" in columns or table == "client"}


def folder_copy(source: Path, target: Path) -> None:
    """The office as it is, for one test alone."""
    shutil.copytree(source, target, ignore=shutil.ignore_patterns("office.db*"))
    with (
        closing(sqlite3.connect(source / "office.db")) as database,
        closing(sqlite3.connect(target / "office.db")) as new,
    ):
        database.backup(new)
    (target / "office.db").chmod(0o600)
