"""Who takes over frees an invoice only after closing the session it was meant for (design §3): late requests and answers."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import httpx
import pytest
from support import papers
from support.houses import House
from support.ministry import SEND

from ksef_tui.compose import open_office
from ksef_tui.services.office import Office
from ksef_tui.services.worker import Worker


class Delay(httpx.AsyncBaseTransport):
    """A network in which the request, or the answer, of one send stays on its way until it is let through."""

    def __init__(self, what: str) -> None:
        self._what, self._network = what, httpx.AsyncHTTPTransport()
        self.reached, self.let_through = asyncio.Event(), asyncio.Event()

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        held = request.method == "POST" and request.url.path.endswith("/invoices") and not self.reached.is_set()
        if held and self._what == "request":
            await self._hold()
        response = await self._network.handle_async_request(request)
        if held and self._what == "answer":
            await self._hold()
        return response

    async def _hold(self) -> None:
        self.reached.set()
        await self.let_through.wait()

    async def aclose(self) -> None:
        await self._network.aclose()


@pytest.fixture
def second(house: House) -> Iterator[Office]:
    """The same office, opened by another worker."""
    office = open_office(house.folder)
    yield office
    office.close()


@pytest.mark.parametrize("late", ["request", "answer"])
async def test_rule_03_f7_a_late_request_meets_a_closed_session_and_a_late_answer_changes_nothing(
    house: House, second: Office, late: str
):
    client = await house.ready_client()
    document = papers.invoice(client.nip)
    [invoice_id] = house.approved(client, document)
    house.office.transport = delay = Delay(late)
    sleeper = Worker(house.office)
    run = asyncio.create_task(sleeper.run())
    async with asyncio.timeout(30):
        await delay.reached.wait()
        assert house.states([invoice_id]) == ["sending"]
        house.edit("UPDATE lease SET expires = 0 WHERE name = ?", f"client:{client.id}")
        await Worker(second, until_idle=True).run()
        before = dict(house.invoice(invoice_id))
        assert (before["state"], before["upo"]) == ("accepted", "saved")
        delay.let_through.set()
        first = house.calls("session.send")[0]["id"]
        while first not in [row["call_id"] for row in house.calls("session.send", "ended")]:
            await asyncio.sleep(0.01)
    sleeper.stop()
    await run
    assert dict(house.invoice(invoice_id)) == before, "a worker that lost its lease spoke for another's attempt"
    assert len(house.ministry.holds(document)) == 1
    assert before["attempts"] == (2 if late == "request" else 1)
    assert house.ministry.posts(SEND) == before["attempts"]
