"""What the search through all orders of things (`test_interleavings`) found, each told once on the same machine."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.queue_world import Template, World, document
from support.simulated import Machine, Process

from ksef_tui.services import approving, importing


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
