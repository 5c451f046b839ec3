"""What is set up: clients, what KSeF already has of them from other programs, and what every invoice must come to."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from dataclasses import dataclass, field

from support import papers
from support.companies import new_nip
from support.houses import Client, House
from support.strangers import Stranger

from ksef_tui.services import approving, importing

EQUAL, OTHER, OWN_DUPLICATE, OTHER_SELLER = 3, 2, 1, 1  # of each client's invoices
SIZES = (1, 4, 12, 40, 110, 300)  # rows of an invoice


@dataclass
class Field:
    """Every invoice by id with what it must come to, and the bytes that KSeF must hold exactly once."""

    house: House
    clients: list[Client] = field(default_factory=list)
    expected: dict[int, str] = field(default_factory=dict)
    documents: dict[int, bytes] = field(default_factory=dict)


async def prepare(house: House, clients: int, invoices: int, seed: int) -> Field:
    """Clients with a working login, their invoices imported and approved, and KSeF holding what others have sent."""
    chance = random.Random(seed)
    made = Field(house)
    for _ in range(clients):
        made.clients.append(await house.ready_client())
    for client in made.clients:
        await _one_client(made, client, invoices, chance)
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
        made.expected[row.id], made.documents[row.id] = outcome, document
    waiting = approving.waiting_ids(house.office, house.admin, client.id)
    assert len(waiting) == invoices - 2
    assert approving.approve(house.office, house.admin, waiting).done == len(waiting)


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
    held = Counter()
    for nip in nips.values():
        held.update(row["hash"] for row in made.house.ministry.numbered(nip))
    for invoice_id, outcome in made.expected.items():
        row = made.house.invoice(invoice_id)
        if (row["state"], row["upo"]) != WANTED[outcome]:
            found.append(f"invoice {invoice_id}: {row['state']}/{row['upo']} {row['reason']!r}, must be {outcome}")
            continue
        kept = made.house.ministry.holds(made.documents[invoice_id])
        if len(kept) != (1 if outcome in ("saved", "unavailable") else 0):
            found.append(f"invoice {invoice_id} ({outcome}): KSeF holds {len(kept)} of it")
        elif kept and (kept[0]["ksef_number"], kept[0]["seller"]) != (row["ksef_number"], nips[row["client_id"]]):
            found.append(f"invoice {invoice_id}: number or seller differ: {kept[0]}")
        found += _unexplained(made.house, invoice_id)
    found += [f"KSeF holds {n} of one document" for digest, n in held.items() if n > 1]
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
