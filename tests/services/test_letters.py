"""The letter to a client, and the waiting that ends by itself when the right is there (design §5, §7)."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from support.companies import new_nip
from support.houses import BOTH, Client, House

from ksef_tui.domain.authorizations import AUTH_MOVES, AuthState
from ksef_tui.domain.problems import Problem
from ksef_tui.services import authorising, client_views, letters, syncing

LATE = datetime(2026, 11, 12, 23, 30, tzinfo=UTC)  # the 13th in Poland


def shown(house: House, client: Client) -> tuple[str, str, str]:
    view = client_views.authorization(house.office, house.admin, client.id)
    return view.word, view.sentence, view.needed


def test_the_letter_says_who_what_with_delegation_where_and_when(house: House):
    client = house.client(name="Świerk & Syn {Próbny} [b]")
    house.office.clock = lambda: LATE
    text = letters.letter(house.office, house.admin, client.id)
    for needed in (
        house.nip, "Biuro Modrzew", client.nip, "Świerk & Syn {Próbny} [b]", "13.11.2026",
        "wystawianie faktur", "przeglądanie faktur", "z prawem do dalszego przekazywania",
        "Uprawnienia → Nadaj uprawnienie → podmiotowi do wystawiania i przeglądania faktur → z prawem do dalszego",
    ):  # fmt: skip
        assert needed in text, needed
    assert max(map(len, text.splitlines())) < 130
    assert house.db.value("SELECT state FROM authorization WHERE client_id = ?", (client.id,)) == "missing"


def test_the_office_needs_no_letter(house: House):
    own = house.db.value("SELECT id FROM client WHERE office = 1")
    for ask in (letters.letter, authorising.requested):
        with pytest.raises(Problem) as caught:
            ask(house.office, house.admin, own)
        assert caught.value.code in ("own_office", "nothing_to_ask")


def test_a_letter_that_went_out_is_on_the_badge(house: House):
    client = house.client()
    house.office.clock = lambda: LATE
    authorising.requested(house.office, house.admin, client.id)
    word, sentence, needed = shown(house, client)
    assert word == "czeka na klienta (pismo 13.11)"
    assert "13.11.2026" in sentence
    assert house.nip in needed
    assert house.db.row("SELECT act, login FROM audit ORDER BY id DESC")["act"] == "auth.request"


@pytest.mark.parametrize("state", AuthState)
def test_only_who_has_no_access_is_asked(house: House, state: AuthState):
    client = house.client()
    house.edit("UPDATE authorization SET state = ? WHERE client_id = ?", state, client.id)
    if state in AUTH_MOVES["request"]:
        authorising.requested(house.office, house.admin, client.id)
        assert house.auth(client)["state"] == "requested"
    else:
        with pytest.raises(Problem) as caught:
            authorising.requested(house.office, house.admin, client.id)
        assert caught.value.code == "nothing_to_ask"
        assert house.auth(client)["state"] == state


# What the client had granted when the letter went out, what it adds, and where a check leads.
ANSWERS = {
    "nothing yet": ((), (), "requested"),
    "still only reading": (("InvoiceRead",), (), "requested"),
    "reading, but no writing": ((), ("InvoiceRead",), "read_only"),
    "writing": (("InvoiceRead",), ("InvoiceWrite",), "active"),
    "both": ((), BOTH, "active"),
}


@pytest.mark.parametrize("answer", ANSWERS)
async def test_the_waiting_ends_by_itself_when_a_check_finds_the_right(house: House, answer: str):
    before, added, state = ANSWERS[answer]
    client = house.client(*before)
    await house.authorise(client)
    authorising.requested(house.office, house.admin, client.id)
    if added:
        house.ministry.grant(client.nip, house.nip, *added)
    authorising.check(house.office, house.admin, client.id)
    await house.work()
    row = house.auth(client)
    assert (row["state"], row["intent"]) == (state, "")
    assert row["checked_at"] >= row["requested_at"]
    assert shown(house, client)[0].startswith("czeka na klienta (pismo") == (state == "requested")


async def test_weather_during_that_check_keeps_the_waiting(house: House):
    client = house.client()
    await house.authorise(client)
    authorising.requested(house.office, house.admin, client.id)
    house.ministry.fault("outage", match={"path": "^/v2/auth"})
    authorising.check(house.office, house.admin, client.id)
    await house.carry_out(client)
    assert (house.auth(client)["state"], house.auth(client)["reason_code"]) == ("requested", "unreachable")
    assert "czekamy" in shown(house, client)[1]


async def test_the_list_from_ksef_ends_it_for_who_was_never_connected(house: House):
    own = house.db.row("SELECT id, nip FROM client WHERE office = 1")
    await house.authorise(Client(own["id"], own["nip"]))
    client, waiting = house.client(), house.client()
    for one in (client, waiting):
        authorising.requested(house.office, house.admin, one.id)
    house.ministry.grant(client.nip, house.nip, *BOTH)
    house.ministry.grant(new_nip(), house.nip, *BOTH)
    syncing.apply(house.office, house.admin, await syncing.preview(house.office, house.admin))
    assert (house.auth(client)["state"], shown(house, client)[0]) == ("missing", "nadane W P")
    assert house.auth(waiting)["state"] == "requested"
    assert (await house.authorise(client))["state"] == "active"
