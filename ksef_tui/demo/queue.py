"""The invoices of the exercise: each comes to its state by what the program, KSeF and people really do."""

from __future__ import annotations

import itertools
import re
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any

from ksef_tui.demo.cast import SENDERS, Member, Part
from ksef_tui.demo.papers import paper, with_attachment, with_wrong_nip, without_number
from ksef_tui.demo.stage import Stage
from ksef_tui.domain.authorizations import AuthState
from ksef_tui.domain.invoices import InvoiceState
from ksef_tui.services import approving, authorising
from ksef_tui.store import invoices

S = InvoiceState
# Who has invoices to approve: clients in every condition.
WAITING = (
    *(Part.READY, Part.NEW, Part.ENDING, Part.READS, Part.PLAIN, Part.LETTER),
    *(Part.TO_SIGN, Part.REFUSED, Part.OFFICE),
)
SENDING_PATH = r"^/v2/sessions/online/[^/]+/invoices$"
DAYS_BACK = 6
TODAY_EACH = 8  # accepted today of each client, at most
SPECIAL = 48  # invoices that have a state of their own to show
PROCESSING_MS = 30 * 24 * 3600 * 1000


def _share(stage: Stage, total: int, members: Sequence[Member]) -> list[tuple[Member, int]]:
    """`total` over members: the first gets most."""
    weights = [1 / (place + 2) for place in range(len(members))]
    return [(m, max(1, round(total * w / sum(weights)))) for m, w in zip(members, weights, strict=True)]


def _today_count(stage: Stage, total: int) -> int:
    return min(TODAY_EACH * len(stage.of(*SENDERS)), max(0, total - SPECIAL) // 2)


async def send_history(stage: Stage, total: int) -> None:
    """Invoices of the last days, all accepted. Also of clients whose authorisation ended since."""
    count = max(0, total - SPECIAL) - _today_count(stage, total)
    members = stage.of(*SENDERS, Part.EXPIRED, Part.WITHDRAWN)
    if not count or not members:
        return
    ids: list[int] = []
    for member, share in _share(stage, count, members):
        days = itertools.cycle(range(DAYS_BACK, -1, -1))
        papers = [stage.write(member, 1, stage.today - timedelta(days=next(days)))[0] for _ in range(share)]
        ids += stage.bring_in(member, papers)
    stage.approve(ids)
    await stage.work(lambda: _settled(stage), what="faktury z ostatnich dni")


def _settled(stage: Stage) -> bool:
    """Whether every invoice that was approved is refused, accepted with its receipt, or waits for a right."""
    return not stage.office.db.value(
        "SELECT EXISTS (SELECT 1 FROM invoice_count WHERE n > 0 AND state IN ('approved', 'sending', 'processing')) "
        "OR EXISTS (SELECT 1 FROM invoice WHERE state = 'unknown' AND reason NOT LIKE '%brakuje%') "
        "OR EXISTS (SELECT 1 FROM invoice WHERE state = 'accepted' AND upo = 'none')"
    )


async def send_today(stage: Stage, total: int) -> None:
    """Invoices of today: accepted, and what came of it when clients sent beside the office."""
    count, members = _today_count(stage, total), stage.of(*SENDERS)
    ids = await _clients_send_themselves(stage)
    small = stage.one(Part.ENDING)
    if small is not None:
        # KSeF's limit of size for this client is lower than the usual one, which is all that our checks know (430).
        await _limit_size(stage, small, 0)
        ids += stage.bring_in(small, stage.write(small, 1))
        stage.approve(ids)
        await stage.work(lambda: _settled(stage))
        await _limit_size(stage, small, 1)
    for member, share in _share(stage, count, members) if count else ():
        ids += stage.bring_in(member, stage.write(member, min(share, TODAY_EACH)))
    stage.approve(ids)
    await stage.work(lambda: _settled(stage), what="faktury z dzisiaj")


async def _limit_size(stage: Stage, member: Member, megabytes: int) -> None:
    async with stage.client_side(member) as client:
        stage.switches.size_limit(client.access.token, megabytes)


async def _clients_send_themselves(stage: Stage) -> list[int]:
    """A client issues the same invoice, or the same number, beside the office: ours will be answered with 440."""
    asked: list[int] = []
    ready, writes = stage.one(Part.READY), stage.one(Part.WRITES)
    if ready is not None:
        same = stage.write(ready, 1)[0]
        sale = stage.desk.sale(ready, stage.today, stage.now)
        other = stage.desk.sale(ready, stage.today, stage.now, number=sale.number)
        async with stage.client_side(ready) as client:
            await client.send(same.data, paper(other).data)
        asked += stage.bring_in(ready, [same, paper(sale)])
    if writes is not None:
        same = stage.write(writes, 1)[0]
        async with stage.client_side(writes) as client:
            await client.send(same.data)
        asked += stage.bring_in(writes, [same])
    return asked


async def receipts_that_are_late(stage: Stage) -> dict[str, Any]:
    """Accepted yesterday, and KSeF still gives a web page instead of the UPO; the trouble that keeps it so."""
    member = stage.one(Part.READY)
    if member is None:
        return {}
    stage.go_back()
    stage.switches.put("upo_html")
    ids = stage.bring_in(member, stage.write(member, 2))
    stage.approve(ids)

    def tried() -> bool:
        rows = [invoices.get(stage.office.db, i) for i in ids]
        return all(row is not None and row["state"] == S.ACCEPTED and row["next_look"] for row in rows)

    await stage.work(tried)
    stage.come_back()
    await stage.work(lambda: all(_upo(stage, i) == "late" for i in ids))
    marks = ",".join(map(str, ids))
    rows = stage.office.db.rows(
        f"SELECT reference FROM invoice WHERE id IN ({marks}) UNION SELECT reference FROM session WHERE id IN "  # noqa: S608
        f"(SELECT session_id FROM invoice WHERE id IN ({marks}))"
    )
    stage.switches.calm()
    return {"match": {"path": "|".join(re.escape(row[0]) for row in rows)}, "params": {"standing": True}}


def _upo(stage: Stage, invoice_id: int) -> str:
    return str(stage.office.db.value("SELECT upo FROM invoice WHERE id = ?", (invoice_id,)))


async def lose_an_answer(stage: Stage) -> None:
    """The answer to a send was lost, and then the client took its rights back: nobody can look whether it arrived."""
    member = stage.one(Part.WITHDRAWN)
    if member is None:
        return
    stage.switches.put("lost_answer", times=1, match={"method": "POST", "path": SENDING_PATH})
    ids = stage.bring_in(member, stage.write(member, 1))
    stage.approve(ids)
    await stage.work(lambda: stage.all_in(ids, S.UNKNOWN))
    stage.switches.take_back(member.nip, stage.office.nip)
    authorising.check(stage.office, stage.operator, stage.ids[member.nip])
    await stage.work(lambda: stage.auth(member) is AuthState.NO_PERMISSION)


async def keep_processing(stage: Stage) -> None:
    """KSeF has these and takes its time."""
    member = stage.one(Part.ENDING)
    if member is None:
        return
    slow = {"times": 2, "match": {"method": "POST", "path": SENDING_PATH}, "params": {"ms": PROCESSING_MS}}
    stage.switches.put("slow", **slow)
    ids = stage.bring_in(member, stage.write(member, 2))
    stage.approve(ids)
    await stage.work(lambda: stage.all_in(ids, S.PROCESSING))


def bring_in_what_waits(stage: Stage, count: int) -> None:
    """Invoices that nobody has approved yet, of clients in every condition."""
    members = itertools.cycle(stage.of(*WAITING) or stage.members)
    for member in itertools.islice(members, count):
        stage.bring_in(member, stage.write(member, 1))


def people_decide(stage: Stage) -> None:
    """What people held and took back, what must be mended, what stands although it was approved."""
    office, operator = stage.office, stage.operator
    for member in stage.of(Part.WITHDRAWN, Part.EXPIRED, Part.BLOCKED, Part.SILENT):
        stage.approve(stage.bring_in(member, stage.write(member, 2)))
    _to_mend(stage)
    for member in stage.of(Part.SILENT, Part.PLAIN, Part.READY)[:2]:
        approving.withdraw(office, operator, stage.bring_in(member, stage.write(member, 1)))
    _stopped_by_guards(stage)
    for member in stage.of(Part.READY, Part.ENDING):
        approving.hold(office, operator, stage.bring_in(member, stage.write(member, 1)))


def _to_mend(stage: Stage) -> None:
    """Files with faults; one of them was replaced by a right one since."""
    for place, member in enumerate(stage.of(Part.READY, Part.READS, Part.PLAIN, Part.LETTER)):
        sale = stage.desk.sale(member, stage.today, stage.now)
        stage.bring_in(member, [without_number(paper(sale)) if place % 2 else with_wrong_nip(sale)])
    ready, other = stage.one(Part.READY), stage.members[-1]
    if ready is not None:  # a file of another company
        stage.bring_in(ready, stage.write(other, 1))
    for member in stage.of(Part.LETTER, Part.ENDING)[:1]:
        sale = stage.desk.sale(member, stage.today, stage.now)
        (old,) = stage.bring_in(member, [with_wrong_nip(sale)])
        (new,) = stage.bring_in(member, [paper(sale)])
        with stage.office.db.write() as connection:
            invoices.move(
                connection, stage.now, old, "replace", S.INVALID, S.REPLACED, operator_id=stage.operator.id,
                reason="zastąpiona poprawionym plikiem", replaced_by=new,
            )  # fmt: skip


def _stopped_by_guards(stage: Stage) -> None:
    """A number that the client has used already; and one with an attachment, which waits and will go in a package."""
    ready, ending = stage.one(Part.READY), stage.one(Part.ENDING)
    if ready is not None:
        number = stage.office.db.value(
            "SELECT number FROM invoice WHERE client_id = ? AND state = 'accepted' AND kind = 'VAT' ORDER BY id DESC",
            (stage.ids[ready.nip],),
        )
        stage.bring_in(ready, [paper(stage.desk.sale(ready, stage.today, stage.now, number=number))])
    if ending is not None:
        sale = stage.desk.sale(ending, stage.today, stage.now)
        stage.bring_in(ending, [with_attachment(paper(replace(sale, number=f"{sale.number}/Z")))])


def approve_last(stage: Stage) -> None:
    """Approved a moment ago: they can still be taken back."""
    for member in stage.of(Part.OFFICE, Part.READY, Part.PLAIN):
        stage.approve(stage.bring_in(member, stage.write(member, 1)))
