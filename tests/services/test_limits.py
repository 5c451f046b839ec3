"""KSeF's limits: three sliding windows per client, address and group, from the journal that all processes share (rule 10).

Our own traffic never makes KSeF say 429: with several processes at once, after a restart, with a journal from before.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from support import papers
from support.houses import LOGIN, Client, House
from support.ministry import SENDING, Ministry, Process

from ksef_tui.ksef.http import Call
from ksef_tui.services.calls import CallKeeper, Doing, NotNow, doing
from ksef_tui.store import limits, records

NOW = datetime(2026, 3, 2, 10, 0, tzinfo=UTC)


@pytest.fixture
def strict(tmp_path: Path, own_ministry: Callable[..., Process]) -> Iterator[House]:
    """An office that works with a KSeF whose limits are those of production."""
    ministry = Ministry(own_ministry(limits="production").url)
    house = House(tmp_path / "biuro", ministry)
    yield house
    house.close()
    ministry.close()


def access(house: House, client: Client) -> str:
    sealed = house.auth(client)["sealed_access"]
    opened = house.office.sealer.open(sealed, client=client.nip, kind="access_token", row=str(client.id))
    return opened.reveal_text()


def call(group: str, nip: str, operation: str = "x") -> Call:
    return Call(operation, "POST", "/x", group, nip, "")


def put(house: House, nip: str, group: str, *ages: float) -> None:
    """Calls that some process journalled so many seconds ago."""
    with house.db.write() as connection:
        for age in ages:
            at = datetime.fromtimestamp(NOW.timestamp() - age, tz=UTC)
            call_id = records.call_started(
                connection, at, context=nip, operation="x", method="POST", path="/x", limit_group=group, reference="",
                invoice_id=None,
            )  # fmt: skip
            records.call_ended(
                connection, at, call_id, kind="ok", status=200, code=None, detail="", reference="", seconds=0.0
            )


async def test_rule_10_f35_several_processes_never_provoke_a_429(strict: House):
    clients = [await strict.ready_client() for _ in range(6)]
    ids = [i for client in clients for i in strict.approved(client, *(papers.invoice(client.nip) for _ in range(4)))]
    strict.edit("UPDATE authorization SET access_until = NULL, refresh_until = NULL")  # all log in again, at once
    command = [sys.executable, "-m", "ksef_tui", "--data-dir", str(strict.folder), "--operator", LOGIN]
    workers = [subprocess.Popen([*command, "worker", "--until-idle", "--timeout", "60"]) for _ in range(3)]
    assert [worker.wait(90) for worker in workers] == [0, 0, 0]
    assert set(strict.states(ids)) == {"accepted"}
    assert strict.ministry.refused_by_limits() == 0
    assert len({row["pid"] for row in strict.db.rows("SELECT DISTINCT pid FROM journal")}) >= 3


async def test_rule_10_f35_a_restart_forgets_no_call(strict: House):
    """KSeF gave this client one sending a second: the worker that starts anew waits for the rest of the second."""
    client = await strict.ready_client()
    strict.ministry.rate_limits(access(strict, client), invoiceSend=(1, 30, 180))
    strict.edit("DELETE FROM rate_limit")
    [one] = strict.approved(client)
    await strict.work_until(lambda: strict.states([one]) != ["approved"] and strict.calls("session.send", "ended"))
    [two] = strict.approved(client)
    await strict.work()
    assert strict.states([one, two]) == ["accepted"] * 2
    assert strict.ministry.refused_by_limits() == 0
    first, second = strict.calls("session.send")
    assert second["epoch"] - first["epoch"] >= 1
    assert strict.db.value("SELECT per_second FROM rate_limit WHERE limit_group = 'invoiceSend'") == 1


@pytest.mark.parametrize(
    ("group", "window", "allowed"),
    [("invoiceSend", 1, 10), ("invoiceSend", 60, 30), ("invoiceSend", 3600, 180), ("sessionMisc", 3600, 1200)],
)
def test_rule_10_f35_each_window_is_counted_from_a_journal_of_before(
    house: House, group: str, window: int, allowed: int
):
    """To the second: the oldest call leaves the window in a quarter of it."""
    house.office.clock = lambda: NOW
    nip, keeper = "5265877635", CallKeeper(house.office, 60.0)
    spread = window * 0.75 / allowed
    put(house, nip, group, *(window * 0.75 - spread * n for n in range(allowed - 1)))
    assert keeper.wait_for(call(group, nip)) == 0
    put(house, nip, group, 0.0)
    assert keeper.wait_for(call(group, nip)) == pytest.approx(window * 0.25, abs=0.01)
    assert keeper.wait_for(call(group, "1111111111")) == 0, "each client has its own"
    assert keeper.wait_for(call("invoiceMetadata", nip)) == 0, "each group has its own"


def test_rule_10_f37_the_anonymous_limit_is_one_for_all_clients_and_holds_between_processes(house: House):
    """Two processes look at the same moment: the journal's own transaction lets only sixty a second through."""
    house.office.clock = lambda: NOW
    keeper = CallKeeper(house.office, 60.0)
    put(house, "5265877635", "anonymous", *([0.1] * 59))
    assert keeper.wait_for(call("anonymous", "1111111111")) > 0
    keeper.started(call("anonymous", "1111111111"))
    with pytest.raises(NotNow):
        keeper.started(call("anonymous", "2222222222"))
    assert house.db.value("SELECT count(*) FROM journal WHERE phase = 'started'") == 60


def test_rule_10_f36_what_is_kept_for_closing_is_open_to_it_while_an_opening_waits(house: House):
    """Up to API 2.7 opening and closing share one limit."""
    house.office.clock = lambda: NOW
    nip, keeper = "5265877635", CallKeeper(house.office, 60.0)
    put(house, nip, "onlineSession", *(100 + n for n in range(118)))
    token = doing.set(Doing(reserve=2))
    try:
        assert keeper.wait_for(call("onlineSession", nip)) > 60
    finally:
        doing.reset(token)
    assert keeper.wait_for(call("onlineSessionClose", nip)) == 0
    assert limits.closed_until(house.db, nip, "onlineSession") > NOW.timestamp() + 60, (
        "the screens say why nothing opens"
    )


async def test_rule_10_f35_limits_that_ksef_lowers_are_read_anew_after_the_first_429(house: House):
    client = await house.ready_client()
    house.edit("UPDATE rate_limit SET per_hour = 7")
    house.ministry.fault("rate_limited", times=1, match=SENDING, params={"retry_after": 1})
    [one] = house.approved(client)
    await house.work()
    assert house.states([one]) == ["accepted"]
    assert len(house.calls("limits.rates")) == 2
    assert house.db.value("SELECT per_hour FROM rate_limit WHERE limit_group = 'invoiceSend'") == -1
