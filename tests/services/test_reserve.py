"""The reserve identity takes over when the office's main one has fallen out (F27; design §7)."""

from __future__ import annotations

import pytest
from support import papers
from support.companies import new_pesel, person, seal
from support.houses import BOTH, House
from support.ministry import SEND

from ksef_tui.domain.problems import Problem
from ksef_tui.domain.roles import Role
from ksef_tui.services import identity_rules, reserve
from ksef_tui.services.views import header
from ksef_tui.store import offices, switches


def fall(house: House, label: str = "pieczęć") -> None:
    """The ministry has blocked this identity everywhere."""
    identity = offices.identity_by_label(house.db, label)
    assert identity is not None
    with house.db.write() as connection:
        identity_rules.stop(house.office, connection, house.office.clock(), identity)


async def test_one_key_moves_every_client_of_a_stopped_identity_to_the_reserve(house: House):
    clients = [await house.ready_client() for _ in range(3)]
    other = house.identity("zapasowa", seal(house.nip))
    reserve.mark(house.office, house.admin, "zapasowa")
    invoice_ids = [i for client in clients for i in house.approved(client, papers.invoice(client.nip))]
    house.ministry.fault("stuck")
    await house.work_until(lambda: set(house.states(invoice_ids)) == {"processing"})
    fall(house)
    assert "j: zapasowa przejmuje 3 klientów" in header(house.office, house.admin).alarm
    found = reserve.preview(house.office, house.admin)
    assert [(one.label, one.why, len(one.client_ids)) for one in found.fallen] == [
        ("pieczęć", "zablokowało go ministerstwo", 3)
    ]
    assert (found.without_result, found.without_upo) == (0, 0), "the same subject reads on"
    asked = reserve.take_over(house.office, house.admin)
    assert set(asked.client_ids) == {client.id for client in clients}
    house.ministry.calm()
    await house.work()
    assert [house.auth(c)["identity_id"] for c in clients] == [other] * 3
    assert [house.auth(c)["state"] for c in clients] == ["active"] * 3
    assert set(house.states(invoice_ids)) == {"accepted"}
    assert {house.invoice(i)["upo"] for i in invoice_ids} == {"saved"}
    assert house.ministry.posts(SEND) == 3
    assert "j:" not in header(house.office, house.admin).alarm
    with pytest.raises(Problem) as caught:
        reserve.take_over(house.office, house.admin)
    assert caught.value.code == "nothing_fell"


async def test_a_personal_reserve_is_offered_to_its_owner_alone(house: House):
    await house.ready_client()
    house.identity("własny", person(new_pesel()), house.admin)
    reserve.mark(house.office, house.admin, "własny")
    zofia = house.operator("zofia", Role.ACCOUNTANT)
    fall(house)
    assert "j: własny przejmuje 1 klienta" in header(house.office, house.admin).alarm
    told = header(house.office, zofia).alarm
    assert ("pieczęć" in told, "j:" in told) == (True, False)
    with pytest.raises(Problem) as caught:
        reserve.take_over(house.office, zofia)
    assert caught.value.code == "someone_elses"


async def test_a_reserve_of_another_subject_says_what_it_cannot_read_and_settles_it_by_its_hash(house: House):
    client = await house.ready_client()
    pesel = new_pesel()
    house.ministry.grant(client.nip, pesel, *BOTH, kind="Pesel")
    own = house.identity("własny", person(pesel), house.admin)
    reserve.mark(house.office, house.admin, "własny")
    [invoice_id] = house.approved(client)
    house.ministry.fault("stuck")
    await house.work_until(lambda: house.states([invoice_id]) == ["processing"])
    fall(house)
    found = reserve.preview(house.office, house.admin)
    assert (found.without_result, found.without_upo) == (1, 0)
    reserve.take_over(house.office, house.admin)
    house.ministry.calm()
    await house.work_until(lambda: house.invoice(invoice_id)["state"] == "accepted", seconds=100)
    assert (house.auth(client)["identity_id"], house.invoice(invoice_id)["upo"]) == (own, "unavailable")
    assert house.ministry.posts(SEND) == 1


async def test_where_the_reserve_is_refused_the_client_stays_with_the_stopped_one_until_it_is_back(house: House):
    client = await house.ready_client()
    house.identity("własny", person(new_pesel()), house.admin)
    reserve.mark(house.office, house.admin, "własny")
    fall(house)
    reserve.take_over(house.office, house.admin)
    await house.work()
    row, main = house.auth(client), offices.identity_by_label(house.db, "pieczęć")
    assert main is not None
    assert (row["state"], row["identity_id"], row["reason_code"]) == ("blocked", main["id"], identity_rules.STOPPED)
    assert "PESEL" in row["reason"]
    assert switches.get(house.db, client.id) is None
    with house.db.write() as connection:
        identity_rules.resume(house.office, connection, house.office.clock(), main)
    [invoice_id] = house.approved(client)
    await house.work()
    assert house.states([invoice_id]) == ["accepted"]


async def test_an_expired_certificate_is_taken_over_too(house: House):
    client = house.client(*BOTH)
    await house.authorise(client, house.identity(paper=seal(house.nip, days=30)))
    renewed = house.identity("nowa", seal(house.nip))
    reserve.mark(house.office, house.admin, "nowa")
    with pytest.raises(Problem) as caught:
        reserve.preview(house.office, house.admin)
    assert caught.value.code == "nothing_fell"
    house.later(days=31)
    [one] = reserve.preview(house.office, house.admin).fallen
    assert one.why.startswith("wygasł")
    reserve.take_over(house.office, house.admin)
    await house.work()
    assert (house.auth(client)["state"], house.auth(client)["identity_id"]) == ("active", renewed)


async def test_one_reserve_at_a_time_marked_by_the_administrator_and_only_one_that_works(house: House):
    main = await house.ready_client()
    house.identity("druga", seal(house.nip))
    house.identity("trzecia", seal(house.nip))
    with pytest.raises(Problem) as caught:
        reserve.preview(house.office, house.admin)
    assert caught.value.code == "no_reserve"
    for label in ("druga", "trzecia"):
        reserve.mark(house.office, house.admin, label)
    marked = [row["label"] for row in offices.identities(house.db) if row["reserve"]]
    assert marked == ["trzecia"]
    reserve.mark(house.office, house.admin, "trzecia", on=False)
    assert not [row for row in offices.identities(house.db) if row["reserve"]]
    fall(house, "druga")
    with pytest.raises(Problem) as caught:
        reserve.mark(house.office, house.admin, "druga")
    assert caught.value.code == identity_rules.STOPPED
    with pytest.raises(Problem) as caught:
        reserve.mark(house.office, house.operator("zofia", Role.ACCOUNTANT), "trzecia")
    assert caught.value.code == "not_allowed"
    assert house.auth(main)["state"] == "active"
