"""Every trouble of the demo's menu does in the sandbox what it says, and the accountant sees what the menu promises.

Whatever happens, every document is in KSeF once at the end, or refused with its reason.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Awaitable, Callable

import httpx
import pytest
from support import papers
from support.houses import Client, House

from ksef_tui.demo.trouble_list import TROUBLES, MenuLine
from ksef_tui.sandbox.faults import KINDS
from ksef_tui.services import configuring
from ksef_tui.services.worker import Worker

CITED = {f"F{n}" for n in (*range(1, 22), *range(35, 46), 47, 50, 52, 55, 56)}
AT_LEAST = 5  # invoices: enough to be asked for by a list

Trial = Callable[["Scene"], Awaitable[None]]
TRIALS: dict[str, Trial] = {}


class Scene:
    """A ready client, a trouble to switch on, and what became of the invoices."""

    def __init__(self, house: House, client: Client, line: MenuLine) -> None:
        self.house, self.client, self.line = house, client, line
        self.documents: list[bytes] = []
        self.ids: list[int] = []

    def on(self) -> None:
        self.house.ministry.fault(self.line.fault, **self.line.more)
        if self.line.also:
            self.house.ministry.fault(self.line.also)

    def send(self, count: int = 1) -> None:
        new = [papers.invoice(self.client.nip) for _ in range(count)]
        self.ids += self.house.approved(self.client, *new)
        self.documents += new

    def by_packages(self) -> None:
        configuring.change(self.house.office, self.house.admin, "batch_from", "3")

    async def until(self, reached: Callable[[], object]) -> None:
        await self.house.work_until(reached)

    def ended(self, operation: str, **wanted: object) -> bool:
        """Whether a call of this kind came back so."""
        rows = self.house.calls(operation, "ended")
        return any(all(row[name] == value for name, value in wanted.items()) for row in rows)

    def happened(self) -> bool:
        return self.house.ministry.struck(self.line.fault) > 0

    def events(self, event: str) -> bool:
        act, _, state = event.partition(" ")
        return bool(
            self.house.db.value("SELECT count(*) FROM invoice_event WHERE act = ? AND to_state = ?", (act, state))
        )

    def states(self) -> set[str]:
        return set(self.house.states(self.ids))

    async def calm_and_all_once(self, **later: float) -> None:
        """The trouble is over: everything goes on by itself, and is there once."""
        self.house.ministry.calm()
        if later:
            self.house.later(**later)
        await self.house.work()
        assert self.states() == {"accepted"}
        assert [len(self.house.ministry.holds(document)) for document in self.documents] == [1] * len(self.documents)
        assert {self.house.invoice(one)["upo"] for one in self.ids} == {"saved"}
        assert self.house.auth(self.client)["state"] == "active", "no trouble of KSeF is a denial"


def hash_of(document: bytes) -> str:
    return base64.b64encode(hashlib.sha256(document).digest()).decode()


def trial(*names: str) -> Callable[[Trial], Trial]:
    def keep(one: Trial) -> Trial:
        TRIALS.update(dict.fromkeys(names, one))
        return one

    return keep


@pytest.mark.parametrize("line", TROUBLES, ids=lambda line: line.id)
async def test_a_trouble_of_the_menu_does_what_it_says(house: House, line: MenuLine):
    configuring.change(house.office, house.admin, "batch_from", "1000")
    configuring.change(house.office, house.admin, "session_idle_seconds", "0")
    await TRIALS[line.id](Scene(house, await house.ready_client(), line))


def test_every_row_has_a_trouble_of_the_menu_that_makes_it_happen(house: House):
    shown = {row for line in TROUBLES for fault in (line.fault, line.also) if fault for row in KINDS[fault]}
    assert CITED - shown == set()
    listed = httpx.get(f"{house.ministry.url}/_sandbox/faults/known", trust_env=False).json()
    assert {name: tuple(rows) for name, rows in listed.items()} == KINDS
    assert len({line.label for line in TROUBLES}) == len({line.id for line in TROUBLES}) == len(TROUBLES)
    assert all(len(line.label) <= 30 and len(line.help) <= 34 and line.seen.endswith(".") for line in TROUBLES)


# ---- no connection, no answer


@trial("outage", "html_5xx", "waf_403", "redirect_loop", "moved")
async def weather(scene: Scene) -> None:
    status = {"outage": 503, "html_5xx": 502, "waf_403": 403, "redirect_loop": 307, "moved": 404}[scene.line.id]
    scene.on()
    scene.send(2)
    seen = "SELECT count(*) FROM journal WHERE phase = 'ended' AND kind = 'unknown' AND status = ?"
    await scene.until(lambda: scene.house.db.value(seen, (status,)))
    assert scene.states() == {"approved"}
    await scene.calm_and_all_once()


@trial("lost_answer")
async def lost_answer(scene: Scene) -> None:
    scene.on()
    scene.send(20)  # every second one, by chance
    await scene.until(lambda: scene.events("sent unknown"))
    await scene.calm_and_all_once()
    assert {scene.house.invoice(one)["attempts"] for one in scene.ids} == {1}


@trial("lost_request")
async def lost_request(scene: Scene) -> None:
    scene.on()
    scene.send()
    await scene.until(lambda: scene.events("settle approved"))
    await scene.calm_and_all_once()


@trial("close_fails")
async def close_fails(scene: Scene) -> None:
    scene.on()
    scene.send()
    await scene.until(lambda: scene.ended("session.close", kind="unknown", status=502))
    assert scene.house.db.value("SELECT state FROM session") == "closing"
    await scene.calm_and_all_once()
    assert scene.house.db.value("SELECT state FROM session") == "finished"


@trial("lighthouse")
async def lighthouse(scene: Scene) -> None:
    address = f"{scene.house.ministry.url}/latarnia/status"
    assert httpx.get(address, trust_env=False).json() == {"status": "AVAILABLE"}
    scene.on()
    assert httpx.get(address, trust_env=False).status_code == 504
    scene.send()
    await scene.until(lambda: scene.states() == {"accepted"})
    await scene.calm_and_all_once()


# ---- slow


@trial("slow", "stuck")
async def slow(scene: Scene) -> None:
    scene.on()
    scene.send()
    await scene.until(lambda: len(scene.house.calls("session.invoice", "ended")) >= 2)
    assert scene.states() == {"processing"}
    if scene.line.id == "stuck":
        await scene.calm_and_all_once()
    assert len(scene.house.calls("session.send")) == 1


# ---- limits


@trial("rate_limited", "limited_close")
async def limited(scene: Scene) -> None:
    operation = {"rate_limited": "session.open", "limited_close": "session.close"}[scene.line.id]
    scene.on()
    scene.send()
    await scene.until(lambda: scene.ended(operation, kind="limited", status=429))
    assert len(scene.house.calls(operation)) == 1, "asked again before the time was over"
    await scene.calm_and_all_once(seconds=16)


@trial("limited_login")
async def limited_login(scene: Scene) -> None:
    scene.on()
    scene.house.edit("UPDATE authorization SET access_until = NULL, refresh_until = NULL")
    scene.send()
    await scene.until(lambda: any(row["kind"] == "limited" for row in scene.house.db.rows("SELECT kind FROM journal")))
    assert scene.states() == {"approved"}
    await scene.calm_and_all_once(seconds=16)


# ---- sessions and keys


@trial("key_rotation")
async def key_rotation(scene: Scene) -> None:
    worker = Worker(scene.house.office, until_idle=True)
    await worker.keys.get("SymmetricKeyEncryption")
    scene.on()
    scene.send()
    await worker.run()
    assert scene.ended("session.open", kind="refused", code=21470)
    await scene.calm_and_all_once()


@trial("key_unreadable")
async def key_unreadable(scene: Scene) -> None:
    scene.on()
    scene.send()
    await scene.until(lambda: scene.house.db.value("SELECT code FROM session") == 415)
    assert scene.states() == {"approved"}
    await scene.calm_and_all_once()


@trial("session_unavailable")
async def session_unavailable(scene: Scene) -> None:
    scene.on()
    scene.send(2)
    await scene.until(lambda: scene.ended("session.send", kind="refused", code=21184))
    assert scene.states() == {"approved"}
    await scene.calm_and_all_once()


@trial("session_unknown")
async def session_unknown(scene: Scene) -> None:
    scene.on()
    scene.send()
    await scene.until(lambda: scene.ended("session.invoice", kind="refused", code=21173))
    assert scene.states() == {"processing"}
    await scene.calm_and_all_once()
    assert len(scene.house.calls("session.send")) == 1


@trial("session_fails")
async def session_fails(scene: Scene) -> None:
    scene.by_packages()
    scene.on()
    scene.send(AT_LEAST)
    await scene.until(lambda: scene.house.db.value("SELECT code FROM session WHERE kind = 'batch'") == 405)
    await scene.calm_and_all_once()
    assert {scene.house.invoice(one)["channel"] for one in scene.ids} == {"interactive"}


@trial("upload_html", "part_lost")
async def parts(scene: Scene) -> None:
    scene.by_packages()
    scene.on()
    scene.send(AT_LEAST)
    await scene.until(lambda: scene.happened())
    assert scene.states() == {"sending"}
    await scene.calm_and_all_once()
    assert len(scene.house.calls("batch.open")) == 1


@trial("list_empty")
async def list_empty(scene: Scene) -> None:
    scene.house.ministry.fault("lost_answer", times=1, match={"method": "POST", "path": "/invoices$"})
    scene.on()
    scene.send()
    await scene.until(lambda: scene.happened())
    await scene.calm_and_all_once()
    assert scene.house.invoice(scene.ids[0])["attempts"] == 1


@trial("list_scrambled", "number_respelled", "new_fields")
async def other_answers(scene: Scene) -> None:
    scene.on()
    scene.send(AT_LEAST)
    await scene.until(lambda: scene.happened() and scene.states() == {"accepted"})
    numbers = {row["hash"]: row["ksef_number"] for row in scene.house.ministry.numbered(scene.client.nip)}
    assert [scene.house.invoice(one)["ksef_number"] for one in scene.ids] == [
        numbers[hash_of(document)] for document in scene.documents
    ]
    await scene.calm_and_all_once()


# ---- invoices


@trial("invoice_450", "invoice_430", "invoice_435")
async def refused(scene: Scene) -> None:
    code = scene.line.id.removeprefix("invoice_")
    scene.on()
    scene.send()
    await scene.house.work()
    row = scene.house.invoice(scene.ids[0])
    assert (row["state"], row["reason_code"]) == ("rejected", code)
    assert row["reason"]
    assert not scene.house.ministry.holds(scene.documents[0])


@trial("sent_before", "no_original", "wrong_original")
async def sent_before(scene: Scene) -> None:
    scene.on()
    scene.send()
    await scene.house.work()
    row = scene.house.invoice(scene.ids[0])
    [original] = scene.house.ministry.holds(scene.documents[0])
    assert (row["state"], row["ksef_number"], row["upo"]) == ("accepted", original["ksef_number"], "unavailable")


@trial("number_taken")
async def number_taken(scene: Scene) -> None:
    scene.on()
    scene.send()
    await scene.house.work()
    row = scene.house.invoice(scene.ids[0])
    [other] = scene.house.ministry.numbered(scene.client.nip)
    assert (row["state"], row["reason_code"], row["ksef_number"]) == ("rejected", "440", "")
    assert other["ksef_number"] in row["reason"]


@trial("other_kind")
async def other_kind(scene: Scene) -> None:
    scene.on()
    scene.send()
    await scene.until(lambda: scene.states() == {"accepted"})
    assert sorted(row["kind"] for row in scene.house.ministry.numbered(scene.client.nip)) == ["ROZ", "VAT"]
    await scene.calm_and_all_once()


@trial("after_midnight")
async def after_midnight(scene: Scene) -> None:
    scene.on()
    scene.send()
    await scene.until(lambda: scene.states() == {"accepted"})
    assert scene.house.invoice(scene.ids[0])["mode"] == "offline"
    await scene.calm_and_all_once()


# ---- receipts, certificates


@trial("storage_late")
async def storage_late(scene: Scene) -> None:
    scene.on()
    scene.send()
    await scene.until(lambda: scene.states() == {"accepted"})
    await scene.calm_and_all_once()
    scene.house.later(minutes=11)
    await scene.until(lambda: scene.house.invoice(scene.ids[0])["reason_code"] == "not_stored")


@trial("upo_html")
async def upo_html(scene: Scene) -> None:
    scene.on()
    scene.send()
    await scene.until(lambda: scene.states() == {"accepted"} and scene.house.invoice(scene.ids[0])["next_look"])
    assert (scene.house.invoice(scene.ids[0])["upo"], scene.house.invoice(scene.ids[0])["upo_sha256"]) == ("none", None)
    await scene.calm_and_all_once(minutes=1)


@trial("certificate_check")
async def certificate_check(scene: Scene) -> None:
    scene.on()
    scene.house.edit("UPDATE authorization SET access_until = NULL, refresh_until = NULL")
    scene.send()
    await scene.until(lambda: scene.happened())
    assert scene.house.auth(scene.client)["state"] == "active"
    await scene.calm_and_all_once()
