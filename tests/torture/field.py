"""What is set up: clients, what KSeF already has of them from other programs, and what every invoice must come to."""

from __future__ import annotations

import asyncio
import random
from collections import defaultdict
from dataclasses import dataclass, field
from typing import Any

from support import papers
from support.companies import new_nip
from support.houses import Client, House
from support.strangers import Stranger

from ksef_tui.ksef.crypto import sha256_b64
from ksef_tui.services import approving, importing

EQUAL, OTHER, OWN_DUPLICATE, OTHER_SELLER = 3, 2, 1, 1  # of each client's invoices
HANDFUL = 8  # fewer than a package is worth
SIZES = (1, 4, 12, 40, 110, 300)  # rows of an invoice


@dataclass
class Field:
    """Every invoice by id with what it must come to, and the hash (Base64) of what KSeF must hold exactly once."""

    house: House
    clients: list[Client] = field(default_factory=list)
    lots: list[list[int]] = field(default_factory=list)  # what a person approves at once, in the order of approving
    expected: dict[int, str] = field(default_factory=dict)
    hashes: dict[int, str] = field(default_factory=dict)


async def prepare(house: House, clients: int, invoices: int, seed: int) -> Field:
    """Clients with a working login, their invoices imported, and KSeF holding what others have sent."""
    chance = random.Random(seed)
    made = Field(house)
    for _ in range(clients):
        made.clients.append(await house.ready_client())
    for client in made.clients:
        await _one_client(made, client, invoices, chance)
    chance.shuffle(made.lots)
    return made


async def _one_client(made: Field, client: Client, invoices: int, chance: random.Random) -> None:
    house = made.house
    ordinary = invoices - EQUAL - OTHER - OWN_DUPLICATE - OTHER_SELLER
    new, equal, other = (
        [papers.long_invoice(client.nip, chance.choice(SIZES)) for _ in range(count)]
        for count in (ordinary, EQUAL, OTHER)
    )
    stranger = Stranger(house.ministry, client.nip)
    await asyncio.gather(*(stranger.send(document) for document in equal))
    await asyncio.gather(*(stranger.send(papers.changed(document)) for document in other))
    batch = [(document, "saved") for document in new]
    batch += [(document, "unavailable") for document in equal]
    batch += [(document, "collision") for document in other]
    batch.append((papers.changed(new[0]), "duplicate"))
    batch.append((papers.invoice(new_nip()), "invalid"))
    tail = batch[-2:]  # the duplicate must come after its original
    head = batch[:-2]
    chance.shuffle(head)
    rows = [
        importing.import_bytes(house.office, house.admin, client.id, f"{n}.xml", document)
        for n, (document, _) in enumerate([*head, *tail])
    ]
    for row, (document, outcome) in zip(rows, [*head, *tail], strict=True):
        assert row.id is not None, row
        made.expected[row.id], made.hashes[row.id] = outcome, sha256_b64(document)
    waiting = approving.waiting_ids(house.office, house.admin, client.id)
    assert len(waiting) == invoices - 2
    made.lots += _lots(waiting, chance)


def _lots(ids: list[int], chance: random.Random) -> list[list[int]]:
    """All at once, which goes in a package, or by handfuls, which go one by one."""
    if chance.random() < 0.4:
        return [ids]
    lots = []
    while ids:
        size = chance.randint(1, HANDFUL)
        lots.append(ids[:size])
        ids = ids[size:]
    return lots


def approve(made: Field, lots: int) -> None:
    """The people approve as many of the lots that are left."""
    for _ in range(min(lots, len(made.lots))):
        ids = made.lots.pop()
        assert approving.approve(made.house.office, made.house.admin, ids).done == len(ids)


WANTED = {
    "saved": ("accepted", "saved"),
    "unavailable": ("accepted", "unavailable"),
    "collision": ("rejected", "none"),
    "duplicate": ("blocked", "none"),
    "invalid": ("invalid", "none"),
}


def complaints(made: Field) -> list[str]:
    """What is not as it must be; empty when all is well."""
    found: list[str] = []
    nips = {client.id: client.nip for client in made.clients}
    held: dict[str, list[Any]] = defaultdict(list)
    for one in made.house.ministry.held():
        held[one["hash"]].append(one)
    for invoice_id, outcome in made.expected.items():
        row = made.house.invoice(invoice_id)
        if (row["state"], row["upo"]) != WANTED[outcome]:
            found.append(f"invoice {invoice_id}: {row['state']}/{row['upo']} {row['reason']!r}, must be {outcome}")
            continue
        kept = held[made.hashes[invoice_id]]
        if len(kept) != (1 if outcome in ("saved", "unavailable") else 0):
            found.append(f"invoice {invoice_id} ({outcome}): KSeF holds {len(kept)} of it")
        elif kept and (kept[0]["ksef_number"], kept[0]["seller"]) != (row["ksef_number"], nips[row["client_id"]]):
            found.append(f"invoice {invoice_id}: number or seller differ: {kept[0]}")
        found += _unexplained(made.house, invoice_id)
    found += [f"KSeF holds {len(kept)} of one document" for kept in held.values() if len(kept) > 1]
    return found


def _unexplained(house: House, invoice_id: int) -> list[str]:
    """The events of an invoice lead from its import to its state without a gap."""
    events = house.db.rows("SELECT * FROM invoice_event WHERE invoice_id = ? ORDER BY id", (invoice_id,))
    state = ""
    for event in events:
        if event["from_state"] != state:
            return [f"invoice {invoice_id}: no event leads from {state!r} to {event['from_state']!r}"]
        state = event["to_state"]
    now = house.invoice(invoice_id)["state"]
    return [] if state == now else [f"invoice {invoice_id}: is {now!r} after an event to {state!r}"]
