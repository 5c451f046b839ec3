"""What the search through all orders of things (`test_interleavings`) found, each told once on the same machine."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.queue_world import Template, World, document
from support.simulated import Machine, Process

from ksef_tui.services import approving, configuring, importing


@pytest.fixture
def world() -> Iterator[World]:
    memory = Path("/dev/shm")
    folder = Path(tempfile.mkdtemp(prefix="ksef-tui-", dir=memory if memory.is_dir() else None))
    with pytest.MonkeyPatch.context() as monkeypatch:
        machine = Machine()
        machine.rules(monkeypatch)
        world = World(Template(machine, folder))
        yield world
        world.close()
    shutil.rmtree(folder)


def approved(world: World, client_id: int, count: int = 1) -> list[int]:
    """New invoices of a client whose recall window has passed."""
    nip = world.nips[client_id]
    files = [document(nip, number, 1) for number in range(201, 201 + count)]
    ids = [importing.import_bytes(world.people, world.admin, client_id, "f.xml", data).id for data in files]
    approving.approve(world.people, world.admin, ids)
    world.machine.sleep(6)
    return ids


def until(world: World, worker: Process, client_id: int, path: str) -> None:
    """Passes of a worker, every call of which is answered, until it asks for something of this path."""
    for _ in range(100):
        worker.serve(client_id)
        world.go_on()
        while worker.line.waiting:
            if worker.line.waiting[0].url.path.startswith(path):
                return
            world.answer(worker, 1)
        world.machine.sleep(1)
    raise AssertionError(f"it never asked for {path}")


def test_a_receipt_whose_address_has_run_out_is_asked_for_anew(world: World) -> None:
    """The address came with the number and was not reached for days; KSeF refuses it then, and gives the receipt all the
    same to who asks by the invoice's reference."""
    client_id, worker = next(iter(world.nips)), world.worker("A")
    [one] = approved(world, client_id)
    until(world, worker, client_id, "/storage/upo/")
    world.decide(worker, worker.line.waiting[0], "unreachable")
    world.machine.sleep(4 * 24 * 3600)
    world.to_the_end()
    assert world.people.db.value("SELECT upo FROM invoice WHERE id = ?", (one,)) == "saved"


def test_f6_what_the_backup_saw_on_its_way_is_looked_for_in_later_sessions_too(world: World) -> None:
    """Its package was given up after the backup was made, and it went out in another one, which the backup does not know."""
    client_id = next(iter(world.nips))
    configuring.change(world.people, world.admin, "batch_from", "3")
    ids, worker = approved(world, client_id, 3), world.worker("A")
    until(world, worker, client_id, "/storage/batch/")
    world.back_up()
    world.kill(worker)
    world.machine.sleep(24 * 3600)  # KSeF has given up the package
    worker = world.worker("A")
    until(world, worker, client_id, "/storage/upo/")
    assert world.far.state.value("SELECT count(*) FROM invoice") == 3
    world.restore()
    world.to_the_end()
    assert world.far.state.value("SELECT count(*) FROM invoice") == 3
    marks = ",".join("?" * 3)
    states = world.people.db.rows(f"SELECT state, upo FROM invoice WHERE id IN ({marks})", ids)
    assert {tuple(row) for row in states} == {("accepted", "saved")}
