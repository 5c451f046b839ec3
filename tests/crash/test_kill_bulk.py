"""`kill -9` in the middle of a check of many clients: another worker goes on, and nobody is asked about twice for nothing."""

from __future__ import annotations

from collections.abc import Callable

from crash_workers import WorkerProcess, finish
from support.houses import Client, House, wait_for
from support.ministry import SIGNED_LOGIN

from ksef_tui.services import bulk
from ksef_tui.store import leases

Start = Callable[..., WorkerProcess]


async def test_a_run_goes_on_where_the_killed_worker_left_it(house: House, worker: Start):
    clients = [await house.ready_client() for _ in range(12)]
    gone = clients[7]
    house.ministry.take_back(gone.nip, house.nip)
    logins = house.ministry.posts(SIGNED_LOGIN)
    begun = bulk.begin(house.office, house.admin, "check", [client.id for client in clients])
    stands = lambda: bulk.progress(house.office, house.admin, begun.run_id)  # noqa: E731
    first = worker()
    wait_for(lambda: stands().done >= 3)
    house.ministry.fault("hang", match={"path": "^/v2/auth/xades"}, params={"seconds": 600})
    wait_for(lambda: house.ministry.struck("hang"))
    first.kill()
    before = stands()
    assert 3 <= before.done < 12
    assert leases.holders(house.db, "client:") == []
    house.ministry.calm()
    finish(house)
    after = stands()
    assert (after.done, after.over, after.outcomes) == (12, True, {"active": 11, "no_permission": 1})
    lost = house.db.value("SELECT count(*) FROM bulk_client WHERE attempts > 1")
    assert lost == 0, "an intent that stood when the worker died is carried out as it is, not asked anew"
    asked_twice = house.ministry.posts(SIGNED_LOGIN) - logins - 12
    assert asked_twice <= bulk.share(house.office), "only those under way at the moment of death"
    assert _state(house, gone) == "no_permission"


def _state(house: House, client: Client) -> str:
    return str(house.auth(client)["state"])
