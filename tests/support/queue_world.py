"""An office with two clients, two workers and a KSeF on a simulated machine, ready in milliseconds."""

from __future__ import annotations

import itertools
import json
import shutil
from functools import cache
from pathlib import Path
from typing import Any

import httpx

from ksef_tui.compose import open_office
from ksef_tui.domain.authorizations import CAN_SEND, AuthState
from ksef_tui.domain.problems import Problem
from ksef_tui.ksef.crypto import encrypt_invoice, hash_b64, new_session_key, sha256_b64
from ksef_tui.ksef.errors import KsefError
from ksef_tui.sandbox.numbers import reference
from ksef_tui.services import authorising, backups, clients, configuring, identities, office
from ksef_tui.services.calls import LeaseLost, NotNow
from ksef_tui.services.turn import NoAccess
from ksef_tui.services.worker import anything_moves
from ksef_tui.store import offices
from support import papers
from support.companies import new_nip, seal
from support.houses import BOTH, LOGIN
from support.simulated import URL, FarEnd, Line, Loop, Machine, Process, Request, copy_database

EXPECTED = (LeaseLost, NoAccess, NotNow, KsefError, Problem)
# What KSeF allows in the second client's context: little, so that every limit is met.
NARROW = {
    "onlineSession": (2, 6, 40), "batchSession": (2, 4, 20), "invoiceSend": (2, 4, 30), "invoiceStatus": (3, 12, 200),
    "sessionInvoiceList": (2, 6, 60), "sessionMisc": (3, 20, 300), "sessionList": (2, 4, 20), "other": (3, 8, 60),
}  # fmt: skip


REST = 4.0  # seconds between two looks at the end, when nobody hurries; later ones are further apart


class Template:
    """An office whose clients are authorised, and the KSeF that knows them, as files; made once."""

    def __init__(self, machine: Machine, folder: Path) -> None:
        self.machine, self.folder = machine, folder
        self.nip, self.clients = new_nip(), (new_nip(), new_nip())
        machine.restart()
        self.ids = self._make()

    @property
    def data_dir(self) -> Path:
        return self.folder / "biuro"

    def open(self) -> Any:
        opened = open_office(self.data_dir)
        opened.clock, opened.since_boot = self.machine.now, lambda: self.machine.boot
        return opened

    def _make(self) -> tuple[int, ...]:
        machine = self.machine
        office.init(
            self.data_dir,
            environment="sandbox",
            nip=self.nip,
            name="Biuro Modrzew",
            login=LOGIN,
            api_url=URL,
            clock=machine.now,
        )
        loop, far = Loop(machine), FarEnd(machine, self.folder / "mf")
        people = self.open()
        admin = office.operator_named(people, LOGIN)
        configuring.change(people, admin, "recall_seconds", "5")
        paper = seal(self.nip)
        identity = identities.add(people, admin, "pieczęć", paper.certificate, paper.key, None)
        ids = []
        for nip in self.clients:
            loop.do(far.answer("POST", httpx.URL(f"{URL}/v2/testdata/permissions"), *_grant(nip, self.nip)))
            ids.append(clients.add(people, admin, nip, f"Klient {nip}"))
            authorising.start_with_identity(people, admin, ids[-1], identity)
        with far.state.transaction():
            far.state.insert("override", context=f"Nip:{self.clients[1]}", kind="rate", value=json.dumps(NARROW))
        worker = Process.start(machine, loop, 2, far, self.open)
        while people.db.value("SELECT 1 FROM authorization WHERE intent <> ''"):
            for client_id in ids:
                finish(loop, worker, client_id)
            machine.sleep(1)
        assert {row["state"] for row in people.db.rows("SELECT * FROM authorization WHERE client_id <> 1")} == {
            "active"
        }
        worker.bury()
        backups.backup(people, admin, self.folder / "office.db")
        people.close()
        far.close()
        loop.close()
        shutil.copyfile(self.folder / "mf" / "sandbox.db", self.folder / "sandbox.db")
        self.made_at = machine.epoch
        return tuple(ids)


def finish(loop: Loop, worker: Process, client_id: int) -> None:
    """A whole pass, every call of which is answered."""
    worker.serve(client_id)
    loop.settle()
    while client_id in worker.tasks and worker.line.waiting:
        worker.line.decide(worker.line.waiting[0], "answer")
        loop.settle()
        worker.reap(EXPECTED)
    worker.reap(EXPECTED)


def _grant(client: str, to: str) -> tuple[httpx.Headers, bytes]:
    body = {
        "contextIdentifier": {"type": "Nip", "value": client},
        "authorizedIdentifier": {"type": "Nip", "value": to},
        "permissions": [{"permissionType": right, "description": "obsługa księgowa"} for right in BOTH],
    }
    return httpx.Headers({"Content-Type": "application/json"}), json.dumps(body).encode()


_SELLERS: dict[str, str] = {}


@cache
def document(nip: str, number: int, net: int) -> bytes:
    """An invoice; the same again has the same bytes."""
    data = papers.invoice(nip, f"FV/{number}", net=net)
    _SELLERS[sha256_b64(data)] = nip
    return data


class World:
    """One example: the template's office, what people and KSeF do to it, and what must be true whatever they did."""

    def __init__(self, template: Template) -> None:
        self.template, self.machine = template, template.machine
        self.machine.restart(spent_keys=2)
        self.machine.sleep(60)
        copy_database(template.folder / "office.db", template.data_dir / "office.db")
        shutil.rmtree(template.data_dir / "packages", ignore_errors=True)
        shutil.rmtree(template.folder / "mf", ignore_errors=True)
        (template.folder / "mf").mkdir()
        shutil.copyfile(template.folder / "sandbox.db", template.folder / "mf" / "sandbox.db")
        self.loop, self.far = Loop(self.machine), FarEnd(self.machine, template.folder / "mf")
        self.people = template.open()
        self.admin = office.operator_named(self.people, LOGIN)
        self.nips = dict(zip(template.ids, template.clients, strict=True))
        self.pids = itertools.count(2)
        self.workers: dict[str, Process] = {}
        self.killed: set[int] = set()
        self.adrift: list[tuple[Line, Request]] = []  # what dead or impatient processes sent, and may still arrive
        self.limits_kept = True  # that we keep within the limits can be asked
        self.backup: Path | None = None
        self.imported_after_restore: set[str] = set()
        self.restored = False

    def close(self) -> None:
        for worker in self.workers.values():
            worker.bury()
        self.people.close()
        self.far.close()
        self.loop.close()

    # processes

    def worker(self, name: str) -> Process:
        """The worker of that name; a new process when the last one is dead."""
        found = self.workers.get(name)
        if found is None or not found.alive:
            self.workers[name] = found = Process.start(
                self.machine, self.loop, next(self.pids), self.far, self.template.open
            )
        return found

    def go_on(self) -> None:
        """Everything goes on until it waits; the dead are buried."""
        self.loop.do(self.far.work())
        self.loop.settle()
        for worker in self.workers.values():
            worker.reap(EXPECTED)
            self._take_adrift(worker)
            if not worker.alive:
                self.kill(worker)

    def kill(self, worker: Process) -> None:
        """`kill -9`."""
        worker.bury()
        self._take_adrift(worker)
        self.killed.add(worker.pid)

    def _take_adrift(self, worker: Process) -> None:
        self.adrift += [(worker.line, request) for request in worker.line.travelling]
        worker.line.travelling.clear()

    def decide(self, worker: Process, request: Request, fate: str) -> None:
        late = self.machine.epoch - request.left_at > 0.5
        if late and (fate in ("lost", "html", "die after") or len(worker.line.waiting) > 1):
            self.limits_kept = False  # KSeF counts it later than anybody can know, or than others have left by now
        worker.line.decide(request, fate)
        self.go_on()

    def answer(self, worker: Process, calls: int, slow: float = 0.0) -> None:
        """The next calls of a worker, whatever client's, are answered, each after `slow` seconds."""
        for _ in range(calls):
            if slow:
                self.machine.sleep(slow)
                self.go_on()
            if not worker.alive or not worker.line.waiting:
                return
            self.decide(worker, worker.line.waiting[0], "answer")

    def arrive(self, index: int) -> None:
        """What was sent long ago arrives after all."""
        line, request = self.adrift.pop(index % len(self.adrift))
        self.limits_kept = False
        self.loop.do(line.arrive(request))
        self.go_on()

    # what others do

    def number(self, invoice_id: int) -> int:
        """The n of `FV/n`."""
        return int(self.people.db.value("SELECT number FROM invoice WHERE id = ?", (invoice_id,)).removeprefix("FV/"))

    def send_elsewhere(self, nip: str, number: int, net: int) -> None:
        """Another program, as the company itself, sends this invoice."""
        data, key = document(nip, number, net), new_session_key()
        encrypted, now, session = encrypt_invoice(data, key), int(self.machine.epoch * 1000), reference("SO")
        with self.far.state.transaction():
            self.far.state.insert(
                "session", ref=session, kind="Online", context_type="Nip", context_value=nip, subject_type="Nip",
                subject_value=nip, auth_ref="", key=key.key.reveal(), iv=key.iv, checks_nip=0, created=now, updated=now,
                due=now, valid_until=now + 1000, closed=now, invoices=1,
            )  # fmt: skip
            self.far.state.insert(
                "invoice", ref=reference("EE"), session_ref=session, ordinal=1, hash=encrypted.hash, size=encrypted.size,
                content=encrypted.content, offline=0, received=now, invoicing=now, due=now,
            )  # fmt: skip
        self.go_on()

    def back_up(self) -> None:
        """While everybody works."""
        self.backup = self.template.folder / "kopia.db"
        self.backup.unlink(missing_ok=True)
        backups.backup(self.people, self.admin, self.backup)

    def restore(self) -> None:
        """Every worker is stopped, and the office goes back to the last backup; that takes longer than any request."""
        assert self.backup is not None
        for worker in self.workers.values():
            self.kill(worker)
        self.adrift.clear()
        self.machine.sleep(120)
        backups.restore(self.template.data_dir, LOGIN, self.backup, self.machine.now())
        self.restored, self.limits_kept = True, False  # the journal since the backup is gone

    # what must always be true

    def check(self) -> None:
        self._check_ksef()
        self._check_accepted()
        if self.limits_kept:
            assert self.far.sandbox.limiter.refused == 0, "a limit of KSeF was exceeded"

    def _check_ksef(self) -> None:
        """Every invoice that we sent is in its seller's context, and no copy went out while another could be taken."""
        rows = self.far.state.rows(
            """SELECT i.hash, i.code, i.ksef_number, i.content, i.extensions, s.context_value, s.ref FROM invoice i
               JOIN session s ON s.ref = i.session_ref WHERE s.subject_value = ? ORDER BY i.rowid""",
            self.template.nip,
        )
        ours = {row["ref"] for row in rows}
        taken: set[str] = set()
        for row in rows:
            seller = self.sellers[row["hash"]]
            assert row["context_value"] == seller, f"sent in the name of {row['context_value']}, not {seller}"
            original = json.loads(row["extensions"] or "{}").get("originalSessionReferenceNumber")
            again = row["code"] in (None, 200) or (row["code"] == 440 and original in ours)
            if again and row["hash"] not in self.imported_after_restore:
                assert row["hash"] not in taken, "sent again while KSeF had it"
                taken.add(row["hash"])

    def _check_accepted(self) -> None:
        held = {row["ksef_number"]: row for row in self.numbered()}
        for row in self.people.db.rows("SELECT * FROM invoice WHERE state = 'accepted'"):
            found = held.get(row["ksef_number"])
            assert found is not None, "accepted with a number that KSeF did not give"
            assert found["hash"] == hash_b64(row["sha256"]), "accepted with the number of another invoice"
            assert found["seller"] == row["seller_nip"] == self.nips[row["client_id"]]

    @property
    def sellers(self) -> dict[str, str]:
        """Whose every document is, by its hash."""
        return _SELLERS

    def numbered(self) -> list[Any]:
        return self.far.state.rows(
            """SELECT i.*, s.subject_value FROM invoice i JOIN session s ON s.ref = i.session_ref
               WHERE i.ksef_number IS NOT NULL"""
        )

    # the end

    def to_the_end(self) -> None:
        """All troubles are over, what travels arrives, time passes, and one worker does what is left."""
        self.far.sandbox.faults.active.clear()
        for worker in self.workers.values():
            if worker.alive:
                worker.office.db.fuse = 0
        for _ in range(1_000):
            busy = [worker for worker in self.workers.values() if worker.alive and worker.tasks]
            if not busy:
                break
            for worker in busy:
                self.answer(worker, len(worker.line.waiting))
            self.machine.sleep(0.5)
            self.go_on()
        while self.adrift:
            self.arrive(0)
        worker = self.worker("A")
        for look in range(400):
            self._authorise_again()
            for client_id in self.nips:
                worker.serve(client_id)
                self.go_on()
                while client_id in worker.tasks:
                    if worker.line.waiting:
                        self.answer(worker, 1)
                    else:
                        self.machine.sleep(0.5)
                        self.go_on()
            self.check()
            if not anything_moves(self.people):
                break
            self.machine.sleep(
                min([300.0, *(max(REST, look, want) for want in worker.wants.values() if want is not None)])
            )
        self._check_end()

    def _authorise_again(self) -> None:
        for client_id in self.nips:
            row = self.people.db.row("SELECT * FROM authorization WHERE client_id = ?", (client_id,))
            if AuthState(row["state"]) not in CAN_SEND and row["intent"] == "":
                identity = offices.identity_by_label(self.people.db, "pieczęć")["id"]
                authorising.start_with_identity(self.people, self.admin, client_id, identity)

    def _check_end(self) -> None:
        assert not anything_moves(self.people), "it never came to rest"
        held = {row["hash"]: row for row in self.numbered()}
        for row in self.people.db.rows("SELECT * FROM invoice"):
            found = held.get(hash_b64(row["sha256"]))
            about = (row["number"], row["state"], row["reason_code"], row["reason"], row["upo"])
            by_us = found is not None and found["subject_value"] == self.template.nip
            if by_us:
                assert (row["state"], row["upo"]) == ("accepted", "saved"), about
            elif row["state"] == "accepted":
                assert row["upo"] == "unavailable", about
            else:
                assert row["state"] in ("waiting", "held", "blocked", "withdrawn", "rejected", "invalid"), about
            if row["state"] == "rejected":
                self._check_rejected(row, about)
        self._check_closed()
        self._check_journal()

    def _check_rejected(self, row: Any, about: object) -> None:
        if row["reason_code"] == "440":
            others = [r for r in self.numbered() if r["number"] == row["number"] and r["seller"] == row["seller_nip"]]
            assert others, about
            assert others[0]["hash"] != hash_b64(row["sha256"]), about
            return
        codes = self.far.state.rows("SELECT code FROM invoice WHERE hash = ?", hash_b64(row["sha256"]))
        assert int(row["reason_code"]) in [code[0] for code in codes], about

    def _check_closed(self) -> None:
        """Rule 7: no session that the office calls closed is open at KSeF."""
        done = self.people.db.rows("SELECT reference FROM session WHERE state IN ('closed', 'finished')")
        still = self.far.state.rows("SELECT ref FROM session WHERE code IS NULL AND closed IS NULL")
        assert not {row[0] for row in done} & {row[0] for row in still}, "a session was left open"

    def _check_journal(self) -> None:
        """Every call says how it ended, unless its process was killed in it."""
        silent = self.people.db.rows(
            "SELECT DISTINCT pid FROM journal s WHERE phase = 'started' "
            "AND NOT EXISTS (SELECT 1 FROM journal e WHERE e.call_id = s.id AND e.phase = 'ended')"
        )
        assert {row[0] for row in silent} <= self.killed
