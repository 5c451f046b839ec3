"""What is not moving always says why, and when it goes on: over HTTP, KSeF keeping the limits of production."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from support import papers
from support.houses import House
from support.ministry import SENDING, Ministry, Process

from ksef_tui.domain.times import to_text, warsaw
from ksef_tui.services import approving, configuring, contract, invoice_views
from ksef_tui.store import leases

SEND_IN_VAIN = {"method": "POST", "path": "^/v2/sessions/online$"}


@pytest.fixture
def strict(tmp_path: Path, own_ministry: Any) -> Iterator[House]:
    """An office at a KSeF with the limits of production, whose invoices go one by one."""
    process: Process = own_ministry(limits="production")
    ministry = Ministry(process.url)
    house = House(tmp_path / "biuro", ministry)
    configuring.change(house.office, house.admin, "batch_from", "1000")
    yield house
    house.close()
    ministry.close()


def somebody_sends(house: House) -> None:
    """The lease of a worker, in a test that looks beside one."""
    assert leases.take(house.db, "worker:1", 600) is not None


def row_of(house: House, invoice_id: int) -> dict[str, Any]:
    return next(row for row in contract.queue(house.office, house.admin) if row["id"] == invoice_id)


async def while_working(house: House, invoice_id: int, why: str) -> dict[str, Any]:
    """The row as it was when it said this reason beside a worker."""
    seen: list[dict[str, Any]] = []

    def said() -> bool:
        row = row_of(house, invoice_id)
        if row["why"] == why:
            seen.append(row)
        return bool(seen)

    await house.work_until(said)
    return seen[0]


def no_packages(house: House, client_id: int) -> None:
    """KSeF has just refused a package of this client as a whole."""
    house.edit(
        "INSERT INTO session (client_id, kind, state, context_nip, subject, form_code, seal_row, sealed_key, iv, code, "
        "created_at, used_at) VALUES (?, 'batch', 'finished', '', '', '', '', x'', x'', 500, ?1, ?1)".replace(
            "?1", "?2"
        ),
        client_id,
        to_text(datetime.now(UTC)),
    )


async def test_a_minute_that_is_used_up_says_which_limit_and_when_the_next_one_goes(strict: House):
    house = strict
    client = await house.ready_client()
    no_packages(house, client.id)
    ids = house.approved(client, *(papers.invoice(client.nip) for _ in range(33)))
    row = await while_working(house, ids[-1], "limit")
    at = datetime.fromisoformat(row["next_at"])
    assert row["reason"] == f"limit 30/min wyczerpany, następna {warsaw(at):%H:%M:%S}"
    assert timedelta(0) < at - datetime.now(UTC) <= timedelta(seconds=61)
    assert row["reason_code"] == "standing"
    assert house.states(ids).count("approved") == 3
    assert house.ministry.refused_by_limits() == 0


async def test_an_hour_that_is_used_up_says_so(strict: House):
    house = strict
    client = await house.ready_client()
    no_packages(house, client.id)
    half_an_hour_ago = datetime.now(UTC) - timedelta(minutes=30)
    for n in range(180):
        at = half_an_hour_ago + timedelta(seconds=4 * n)
        house.edit(
            "INSERT INTO journal (phase, at, epoch, pid, context, operation, method, path, limit_group, reference) "
            "VALUES ('started', ?, ?, 1, ?, 'session.send', 'POST', '', 'invoiceSend', '')",
            to_text(at), at.timestamp(), client.nip,
        )  # fmt: skip
    [one] = house.approved(client)
    row = await while_working(house, one, "limit")
    at = datetime.fromisoformat(row["next_at"])
    assert row["reason"] == f"limit 180/h wyczerpany, następna {warsaw(at):%H:%M:%S}"
    assert abs(at - half_an_hour_ago - timedelta(hours=1)) < timedelta(seconds=10)


async def test_a_rest_that_ksef_asked_for_is_called_so(strict: House):
    house = strict
    client = await house.ready_client()
    house.ministry.fault("rate_limited", times=1, match=SENDING, params={"retry_after": 600})
    [one] = house.approved(client)
    row = await while_working(house, one, "limit")
    assert re.fullmatch(r"KSeF prosi o przerwę, następna \d\d:\d\d:\d\d", row["reason"])


async def test_after_a_failure_the_next_try_is_named(strict: House):
    house = strict
    client = await house.ready_client()
    house.ministry.fault("html_5xx", match=SEND_IN_VAIN)
    [one] = house.approved(client)
    row = await while_working(house, one, "rest")
    assert re.match(r"przerwa po błędzie do \d\d:\d\d:\d\d: .", row["reason"])
    house.ministry.calm()
    await house.work()
    assert house.states([one]) == ["accepted"]
    assert house.db.value("SELECT count(*) FROM client_rest") == 0, "it is served again"


async def test_another_process_that_works_for_the_client_is_named(strict: House):
    house = strict
    client = await house.ready_client()
    [one] = house.approved(client)
    somebody_sends(house)
    lease = leases.take(house.db, f"client:{client.id}", 60)
    assert row_of(house, one)["why"] == "other_process"
    assert lease is not None
    leases.release(house.db, lease)
    assert row_of(house, one)["why"] == "turn"


async def test_an_urgent_one_and_the_clients_of_others_go_first(strict: House):
    house = strict
    configuring.change(house.office, house.admin, "parallel_clients", "1")
    client, other = await house.ready_client(), await house.ready_client()
    ids = house.approved(client, papers.invoice(client.nip), papers.invoice(client.nip))
    somebody_sends(house)
    leases.take(house.db, f"client:{other.id}", 60)
    assert row_of(house, ids[0])["why"] == "others_first"
    approving.urge(house.office, house.admin, [ids[1]])
    assert row_of(house, ids[0])["reason"] == "najpierw pilne: 1"
    assert row_of(house, ids[1])["why"] == "others_first"


async def test_who_may_not_send_says_what_is_missing_and_nobody_sending_is_said(strict: House):
    house = strict
    without, ready = house.client(), await house.ready_client()
    [one], [two] = house.approved(without), house.approved(ready)
    row = row_of(house, one)
    assert (row["why"], row["reason"]) == ("no_access", "brak autoryzacji (niepodłączony)")
    assert row_of(house, two)["why"] == "nobody_sends"
    details = invoice_views.invoice_details(house.office, house.admin, two)
    assert details.row.hint.startswith("nikt nie wysyła")


async def test_an_attachment_that_waits_for_a_package_says_until_when(strict: House):
    house = strict
    client = await house.ready_client()
    house.ministry.allow_attachments(client.nip)
    no_packages(house, client.id)
    [one] = house.approved(client, papers.with_attachment(papers.invoice(client.nip)))
    somebody_sends(house)
    row = row_of(house, one)
    assert row["why"] == "limit"
    assert row["reason"].startswith("KSeF odrzucił ostatnią paczkę, następna ")


async def test_the_recall_window_is_counted_down(strict: House):
    house = strict
    configuring.change(house.office, house.admin, "recall_seconds", "60")
    client = await house.ready_client()
    [one] = house.approved(client)
    row = row_of(house, one)
    assert (row["why"], row["reason_code"]) == ("recall", "")
    assert row["next_at"] == house.invoice(one)["send_after"]
    assert row["reason"].startswith("wyjdzie o ")
