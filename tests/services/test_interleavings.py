"""The rules of sending (design §6) under every order of things that hypothesis can think of.

Two workers, people, other programs and KSeF's troubles take turns at every single call and commit; time passes only
between them. In the suite it runs for seconds; `KSEF_TUI_EXAMPLES=5000` searches for as long as that takes.
"""

from __future__ import annotations

import os
import re
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from support.queue_world import Template, World, document
from support.simulated import ROTATIONS, Machine, Process

from ksef_tui.ksef.crypto import sha256_b64
from ksef_tui.sandbox.faults import Fault
from ksef_tui.services import approving, configuring, importing

EXAMPLES = int(os.environ.get("KSEF_TUI_EXAMPLES", "50"))
STEPS = 30

WORKERS = st.sampled_from(["A", "B"])
CLIENTS = st.integers(0, 1)
PICK = st.integers(0, 7)
CALLS = st.integers(0, 14)
LOT = st.sampled_from([2, 4, 0, 1, 6])
TURN = st.sampled_from([0, 0, 0, 1, 2])  # of the calls of a kind
SLOW = st.sampled_from([0.0, 2.0])  # seconds that each call takes
CHANGES = st.sampled_from(
    [
        "^POST .*/sessions/(online|batch)$",
        "^POST .*/invoices$",
        "^POST .*/invoices$",
        "/close$",
        "^PUT ",
        "^GET .*/sessions",
    ]
)
MOMENTS = st.sampled_from([0.0, 0.4, 1.1, 6.0, 25.0])
# What may still travel when its process is dead.
STRAYS = st.sampled_from(
    ["^POST .*/invoices$", "/close$", "^POST .*/invoices$", "^PUT ", "^POST .*/sessions/(online|batch)$"]
)
# What loses or doubles invoices in practice comes more often than what only delays them.
FATES = st.sampled_from(
    ["lost", "die after", "nothing", "die before", "html", "lost", "die after", "broken", "limited", "weather",
     "unreachable", "waf", "unauthorized"]
)  # fmt: skip
MIDNIGHT = -1.0
PAUSES = st.sampled_from([20.0, 61.0, 130.0, 700.0, 3_700.0, 12.5 * 3600, 24 * 3600.0, MIDNIGHT])
TROUBLES = st.sampled_from(
    [
        Fault("slow", times=2, params={"ms": 20_000}),
        Fault("slow", times=3, params={"ms": 3_600_000}),
        Fault("session_unavailable", times=1),
        Fault("upo_html", times=1),
        Fault("upload_html", times=1),
        Fault("part_lost", times=1),
        Fault("not_found_after_open", times=2),
        Fault("duplicate_without_original", times=1),
        Fault("duplicate_wrong_session", times=1),
        Fault("storage_late", times=1, params={"ms": 60_000}),
        Fault("invoice_fails", times=1, params={"code": 500}),
        Fault("invoice_fails", times=2, params={"code": 550}),
        "unreadable key",
        "package refused",
        "new keys",
        "new keys, old ones taken",
    ]
)


class Sending(RuleBasedStateMachine):
    """What may happen in an office; after each step nothing is doubled, in a wrong name or beyond a limit, and in the end
    nothing is lost."""

    template: Template

    def __init__(self) -> None:
        super().__init__()
        self.world = World(self.template)
        self.fresh = 100
        self.rotations = 0

    def teardown(self) -> None:
        try:
            if sys.exc_info()[0] is None:  # what went wrong already is told better than what follows from it
                self.world.to_the_end()
        finally:
            self.world.close()

    # people

    @initialize(batch_from=st.sampled_from(["1000", "3"]), counts=st.tuples(st.integers(0, 6), st.integers(0, 6)))
    def begin(self, batch_from: str, counts: tuple[int, int]) -> None:
        """The way that invoices go, and what is approved already."""
        configuring.change(self.world.people, self.world.admin, "batch_from", batch_from)
        self.world.back_up()
        for client, count in enumerate(counts):
            self.bring_and_approve(client, count)

    @rule(client=CLIENTS, number=st.integers(1, 3), net=st.integers(1, 2))
    def bring(self, client: int, number: int, net: int) -> None:
        """A file: perhaps one that is known, or another of a number that is taken."""
        self._import(client, number, net)

    @rule(client=CLIENTS, count=st.integers(1, 6))
    def bring_and_approve(self, client: int, count: int) -> None:
        ids = []
        for _ in range(count):
            self.fresh += 1
            ids.append(self._import(client, self.fresh, 1))
        approving.approve(self.world.people, self.world.admin, ids)

    def _import(self, client: int, number: int, net: int) -> int:
        world = self.world
        client_id, nip = list(world.nips.items())[client]
        data = document(nip, number, net)
        row = importing.import_bytes(world.people, world.admin, client_id, f"{number}.xml", data)
        assert row.id is not None, row
        if world.restored and not row.known:
            world.imported_after_restore.add(sha256_b64(data))
        return row.id

    @rule(
        act=st.sampled_from(["approve", "recall", "hold", "release", "withdraw", "retry"]), client=CLIENTS, which=PICK
    )
    def decide(self, act: str, client: int, which: int) -> None:
        ids = self._in(client)
        if act == "approve":
            approving.approve(self.world.people, self.world.admin, self._in(client, "waiting"))
        elif ids:
            getattr(approving, act)(self.world.people, self.world.admin, [ids[which % len(ids)]])

    def _in(self, client: int, state: str | None = None) -> list[int]:
        client_id = list(self.world.nips)[client]
        rows = self.world.people.db.rows(
            "SELECT id FROM invoice WHERE client_id = ?1 AND (?2 IS NULL OR state = ?2) ORDER BY id", (client_id, state)
        )
        return [row[0] for row in rows]

    # workers

    @rule(pause=MOMENTS, name=WORKERS, client=CLIENTS, calls=CALLS, which=PICK, fate=FATES)
    def work(self, pause: float, name: str, client: int, calls: int, which: int, fate: str) -> None:
        """After a while a pass goes on, or begins; some of its calls are answered, and something happens to the next."""
        worker = self._begin(pause, name, client)
        self.world.answer(worker, calls)
        self._strike(worker, which, fate)

    @rule(name=WORKERS, client=CLIENTS, count=LOT, call=CHANGES, which=TURN, fate=FATES)
    def work_until(self, name: str, client: int, count: int, call: str, which: int, fate: str) -> None:
        """Some are due, and it happens to a call that changes something at KSeF."""
        worker = self._send(name, client, count)
        for turn in range(which + 1):
            self.world.answer(worker, min(turn, 1))
            self._until(worker, call)
        self._strike(worker, 0, fate)

    @rule(pause=MOMENTS, name=WORKERS, client=CLIENTS)
    def work_without_trouble(self, pause: float, name: str, client: int) -> None:
        self.world.answer(self._begin(pause, name, client), 100)

    def _begin(self, pause: float, name: str, client: int) -> Process:
        self.wait(pause)
        worker = self.world.worker(name)
        if not worker.line.waiting:
            worker.serve(list(self.world.nips)[client])
            self.world.go_on()
        return worker

    def _send(self, name: str, client: int, count: int) -> Process:
        """So many are approved, and when they may not be recalled any more a worker begins."""
        self.bring_and_approve(client, count)
        return self._begin(6.0 if count else 0.0, name, client)

    def _until(self, worker: Process, call: str) -> Process:
        """Everything is answered up to a call of this name, or to the end of the pass."""
        for _ in range(30):
            if not worker.alive or not worker.line.waiting or re.search(call, worker.line.waiting[0].name):
                break
            self.world.answer(worker, 1)
        return worker

    def _strike(self, worker: Process, which: int, fate: str) -> None:
        if worker.alive and worker.line.waiting and fate != "nothing":
            self.world.decide(worker, worker.line.waiting[which % len(worker.line.waiting)], fate)

    @rule(
        name=WORKERS, client=CLIENTS, count=LOT, call=STRAYS, other=WORKERS, calls=st.integers(0, 5), slow=SLOW,
        pause=MOMENTS,
    )  # fmt: skip
    def race(
        self, name: str, client: int, count: int, call: str, other: str, calls: int, slow: float, pause: float
    ) -> None:
        """A process dies while a change travels, another takes its work over, and in the middle of that the change arrives."""
        worker = self._until(self._send(name, client, count), call)
        if not worker.alive or not worker.line.waiting:
            return
        self.world.kill(worker)
        heir = self._begin(pause, other, client)
        self.world.answer(heir, calls)
        while self.world.adrift:
            self.world.arrive(0)
        self.world.answer(heir, 100, slow)

    @rule(name=WORKERS, commits=st.integers(0, 25))
    def die(self, name: str, commits: int) -> None:
        """Now, or after some commits."""
        worker = self.world.worker(name)
        if commits:
            worker.office.db.fuse = commits
        else:
            self.world.kill(worker)

    @precondition(lambda self: self.world.adrift)
    @rule(which=PICK)
    def arrive_late(self, which: int) -> None:
        self.world.arrive(which)

    # time and KSeF

    @rule(seconds=PAUSES)
    def wait(self, seconds: float) -> None:
        self.world.machine.sleep(self.world.machine.until_midnight() if seconds == MIDNIGHT else seconds)
        self.world.go_on()

    @rule(trouble=TROUBLES, name=WORKERS, client=CLIENTS, count=LOT)
    def trouble(self, trouble: Fault | str, name: str, client: int, count: int) -> None:
        """Something goes wrong at KSeF, or it changes its keys, and a worker meets it."""
        self._make(trouble)
        self.world.answer(self._send(name, client, count), 100)

    def _make(self, trouble: Fault | str) -> None:
        far = self.world.far
        match trouble:
            case Fault():
                far.sandbox.faults.active.append(Fault(trouble.name, times=trouble.times, params=trouble.params))
            case "unreadable key":
                far.state.run("UPDATE session SET key = NULL WHERE code IS NULL AND closed IS NULL AND kind = 'Online'")
            case "package refused":
                far.state.run(
                    """UPDATE session SET code = 430 WHERE code IS NULL AND closed IS NOT NULL AND kind = 'Batch'
                       AND ref IN (SELECT session_ref FROM batch WHERE NOT unpacked)"""
                )
            case _ if self.rotations < ROTATIONS:
                self.rotations += 1
                with far.state.transaction():
                    far.sandbox.keys.rotate(keep_old=trouble == "new keys, old ones taken")

    @rule(client=CLIENTS, which=PICK, net=st.integers(1, 2))
    def send_elsewhere(self, client: int, which: int, net: int) -> None:
        """The client's own program issues an invoice that the office has too, or another of its number."""
        ids = self._in(client)
        number = self.world.number(ids[-1 - which % len(ids)]) if ids else 1
        self.world.send_elsewhere(list(self.world.nips.values())[client], number, net)

    # disasters

    @rule()
    def back_up(self) -> None:
        """The office is copied."""
        self.world.back_up()

    @rule()
    def restore(self) -> None:
        """It goes back to its last copy."""
        self.world.restore()

    @invariant()
    def nothing_is_wrong(self) -> None:
        self.world.check()


@pytest.fixture(scope="module")
def template() -> Iterator[Template]:
    """In memory where the machine has such a disk: a loss of power is not among what happens here."""
    memory = Path("/dev/shm")
    folder = Path(tempfile.mkdtemp(prefix="ksef-tui-", dir=memory if memory.is_dir() else None))
    monkeypatch = pytest.MonkeyPatch()
    machine = Machine()
    machine.rules(monkeypatch)
    yield Template(machine, folder)
    monkeypatch.undo()
    shutil.rmtree(folder)


def test_nothing_is_lost_doubled_or_in_a_wrong_name_whatever_happens_when(template: Template) -> None:
    Sending.template = template
    run_state_machine_as_test(
        Sending,
        settings=settings(
            max_examples=EXAMPLES,
            stateful_step_count=STEPS,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )


def test_f6_more_sessions_than_a_minute_lets_be_read_are_reconciled(template: Template) -> None:
    """A limit ends the pass after six lists of eight; the next goes on where that one stopped."""
    Sending.template = template
    office = Sending()
    office.begin("1000", (0, 0))
    for _ in range(8):
        office.bring_and_approve(1, 1)
        office.wait(6)
        office.work_without_trouble(0, "A", 1)
        office.wait(700)
        office.work_without_trouble(0, "A", 1)
    assert office.world.far.state.value("SELECT count(*) FROM session WHERE closed IS NOT NULL") == 8
    office.restore()
    office.fresh = 100
    office.bring_and_approve(1, 8)
    office.teardown()
