"""Who granted the office what, asked once for all clients; nothing is given or taken away by a list alone (design §7)."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime, timedelta

import pytest
from support.companies import new_nip, new_pesel, person
from support.houses import BOTH, Client, House
from support.ministry import SIGNED_LOGIN
from support.strangers import Stranger

from ksef_tui.domain.problems import Problem
from ksef_tui.domain.roles import Role
from ksef_tui.domain.times import warsaw
from ksef_tui.services import bulk, client_views, clients, syncing
from ksef_tui.services.syncing import SyncPreview, SyncResult
from ksef_tui.store import limits, offices


async def at_home(house: House) -> Client:
    """The office, authorised in its own context."""
    row = house.db.row("SELECT id, nip FROM client WHERE office = 1")
    own = Client(row["id"], row["nip"])
    assert (await house.authorise(own))["state"] == "active"
    return own


async def sync(house: House) -> tuple[SyncPreview, SyncResult]:
    found = await syncing.preview(house.office, house.admin)
    return found, syncing.apply(house.office, house.admin, found)


def word(house: House, client_id: int) -> str:
    return client_views.client_rows(house.office, house.admin, [client_id])[client_id].word


async def test_clients_that_granted_rights_are_shown_first_and_added_when_confirmed(house: House):
    await at_home(house)
    nips = {new_nip(): BOTH, new_nip(): ("InvoiceRead",)}
    for nip, rights in nips.items():
        house.ministry.grant(nip, house.nip, *rights)
    found = await syncing.preview(house.office, house.admin)
    assert {one.nip: set(one.rights) for one in found.to_add} == {nip: set(rights) for nip, rights in nips.items()}
    assert (found.received, found.changes, found.archived) == (2, (), ())
    assert house.db.value("SELECT count(*) FROM client") == 1, "a preview changes nothing"
    done = syncing.apply(house.office, house.admin, found)
    rows = house.db.rows("SELECT * FROM client JOIN authorization ON client_id = id WHERE office = 0")
    assert {row["nip"]: (row["name"], row["state"]) for row in rows} == {n: (f"NIP {n}", "missing") for n in nips}
    assert sorted(word(house, i) for i in done.added) == ["nadane P", "nadane W P"]
    acts = [row["act"] for row in house.db.rows("SELECT act FROM audit ORDER BY id DESC LIMIT 5")]
    assert acts == ["client.sync", "client.add", "client.add", "client.sync.read", "auth.finish"]
    again, nothing = await sync(house)
    assert (again.to_add, again.changes, nothing) == ((), (), SyncResult((), (), ()))


async def test_all_pages_are_read(house: House):
    await at_home(house)
    nips = {new_nip() for _ in range(130)}  # two scopes each: three pages of a hundred
    for nip in nips:
        house.ministry.grant(nip, house.nip, *BOTH)
    found, done = await sync(house)
    assert {one.nip for one in found.to_add} == nips
    assert len(done.added) == 130
    assert len(house.calls("grants.entities")) == 3


async def test_every_page_is_told_and_what_the_client_wrote_is_kept_for_its_name(house: House):
    await at_home(house)
    nips = {new_nip() for _ in range(60)}
    for nip in nips:
        house.ministry.grant(nip, house.nip, *BOTH)
    heard: list[syncing.Reading] = []
    found = await syncing.preview(house.office, house.admin, heard.append)
    assert {(one.pages, one.grants) for one in heard} >= {(4, 240)}, "two lists of two pages each"
    assert heard[-1].sentence == "strona 4, uprawnień: 240"
    assert {one.description for one in found.to_add} == {"obsługa księgowa"}


async def test_a_wait_for_the_limit_is_told_with_its_seconds(house: House):
    await at_home(house)
    house.ministry.grant(new_nip(), house.nip, *BOTH)
    with house.db.write() as connection:
        limits.put_limits(connection, datetime.now(UTC), house.nip, {"other": (1, -1, -1)})
    heard: list[syncing.Reading] = []
    await syncing.preview(house.office, house.admin, heard.append)
    await syncing.preview(house.office, house.admin, heard.append)
    waits = [one for one in heard if one.wait]
    assert waits
    assert "limit zapytań KSeF, dalej za" in syncing.Reading(3, 300, 42.0).sentence


async def test_the_new_ones_are_authorised_at_once_when_that_is_wanted(house: House):
    await at_home(house)
    nips = [new_nip() for _ in range(3)]
    for nip in nips:
        house.ministry.grant(nip, house.nip, *BOTH)
    identity = offices.identity_by_label(house.db, "pieczęć")["id"]
    found = await syncing.preview(house.office, house.admin)
    done = syncing.apply(house.office, house.admin, found, identity)
    await house.work()
    assert bulk.progress(house.office, house.admin, done.runs[0].run_id).outcomes == {"active": 3}


async def test_an_office_with_thousands_of_grants_logs_in_at_home_without_reading_them(house: House):
    """An owner's rights do not depend on them, and 40 pages would not fit the limit of a minute (facts §12)."""
    for _ in range(55):
        house.ministry.grant(new_nip(), house.nip, *BOTH)
    await at_home(house)
    assert len(house.calls("grants.personal")) <= 1


async def test_the_right_to_pass_on_is_seen(house: House):
    await at_home(house)
    client = house.client()
    await Stranger(house.ministry, client.nip).grant_office(house.nip, delegate=True)
    await sync(house)
    assert word(house, client.id) == "nadane W P D"
    row = await house.authorise(client)
    assert (row["state"], row["can_delegate"]) == ("active", 1)
    found = await syncing.preview(house.office, house.admin)
    assert found.changes == (), "what a login learned is what the list says"


async def test_a_right_that_is_gone_is_not_taken_from_the_list_but_asked_for(house: House):
    await at_home(house)
    stays, goes = await house.ready_client(), await house.ready_client()
    house.ministry.take_back(goes.nip, house.nip)
    found, done = await sync(house)
    assert [(c.client_id, c.received, c.check) for c in found.changes] == [(goes.id, None, True)]
    assert "nie widać" in found.changes[0].sentence
    [run] = done.runs
    assert (house.auth(goes)["state"], bulk.progress(house.office, house.admin, run.run_id).total) == ("active", 1)
    await house.work()
    assert (house.auth(goes)["state"], house.auth(goes)["reason_code"]) == ("no_permission", "withdrawn")
    assert (house.auth(stays)["state"], done.to_check) == ("active", (goes.id,))
    house.ministry.grant(goes.nip, house.nip, *BOTH)
    await sync(house)
    await house.work()
    assert house.auth(goes)["state"] == "active"


async def test_an_empty_answer_changes_nothing(house: House):
    await at_home(house)
    client = await house.ready_client()
    house.ministry.take_back(client.nip, house.nip)
    found, done = await sync(house)
    assert (found, done) == (SyncPreview(0, (), (), ()), SyncResult((), (), ()))
    assert (house.auth(client)["state"], house.auth(client)["intent"]) == ("active", "")


@pytest.mark.parametrize("path", ["entities/grants", "personal/grants"])
@pytest.mark.parametrize("trouble", ["outage", "html_5xx", "waf_403", "lost_answer"])
async def test_a_failed_answer_changes_nothing(house: House, trouble: str, path: str):
    await at_home(house)
    house.ministry.grant(new_nip(), house.nip, *BOTH)
    house.ministry.fault(trouble, match={"path": path})
    seq = house.db.value("SELECT seq FROM change_counter")
    with pytest.raises(Problem) as caught:
        await syncing.preview(house.office, house.admin)
    assert caught.value.code == "unreachable"
    assert house.db.value("SELECT seq FROM change_counter") == seq


async def test_a_limit_that_ksef_keeps_is_told_with_its_wait(house: House):
    await at_home(house)
    house.ministry.fault("rate_limited", params={"retry_after": 2700}, match={"path": "entities/grants"})
    with pytest.raises(Problem) as caught:
        await syncing.preview(house.office, house.admin)
    assert caught.value.code == "limit"
    told = re.search(r"do (\d\d:\d\d:\d\d)", caught.value.message)
    assert told is not None
    earliest = warsaw(datetime.now(UTC) + timedelta(seconds=2640))
    assert told[1] in {f"{earliest + timedelta(seconds=n):%H:%M:%S}" for n in range(61)}


async def test_an_office_that_is_not_authorised_at_home_is_told_what_to_do(house: House):
    with pytest.raises(Problem) as caught:
        await syncing.preview(house.office, house.admin)
    assert caught.value.code == "office_not_authorised"
    assert house.nip in caught.value.message


async def test_who_may_not_read_grants_at_home_is_told_which_right_is_missing(house: House):
    row = house.db.row("SELECT id, nip FROM client WHERE office = 1")
    pesel = new_pesel()
    house.ministry.grant(house.nip, pesel, *BOTH, kind="Pesel")
    await house.authorise(Client(row["id"], row["nip"]), house.identity("Zofia", person(pesel)))
    with pytest.raises(Problem) as caught:
        await syncing.preview(house.office, house.admin)
    assert caught.value.code == "may_not_read_grants"
    assert "CredentialsRead" in caught.value.message
    assert house.auth(Client(row["id"], row["nip"]))["state"] == "active", "it may still do what it could"


async def test_a_kept_token_that_died_is_renewed_once(house: House):
    await at_home(house)
    house.ministry.grant(new_nip(), house.nip, *BOTH)
    house.ministry.fault("unauthorized", times=1, match={"path": "entities/grants"})
    assert len((await syncing.preview(house.office, house.admin)).to_add) == 1


async def test_a_client_whose_service_ended_is_named_and_left_alone(house: House):
    await at_home(house)
    client = house.client(*BOTH)
    house.ministry.grant(new_nip(), house.nip, *BOTH)
    clients.archive(house.office, house.admin, client.id)
    found, done = await sync(house)
    assert (found.archived, len(done.added)) == ((client.nip,), 1)
    assert house.db.value("SELECT archived_at FROM client WHERE id = ?", (client.id,)) is not None


async def test_a_token_and_a_personal_certificate_of_another_are_left_alone(house: House):
    """They do not live by what the office was granted, and only its owner signs with a personal certificate."""
    await at_home(house)
    house.ministry.grant(new_nip(), house.nip, *BOTH)
    with_token, zofias = house.client(), house.client()
    await house.authorise_with_token(with_token, await Stranger(house.ministry, with_token.nip).token(*BOTH))
    zofia, pesel = house.operator("zofia", Role.ACCOUNTANT), new_pesel()
    house.ministry.grant(zofias.nip, pesel, *BOTH, kind="Pesel")
    await house.authorise(zofias, house.identity("Zofia", person(pesel), zofia), zofia)
    logins = house.ministry.posts(SIGNED_LOGIN)
    found, _ = await sync(house)
    assert found.changes == ()
    assert house.ministry.posts(SIGNED_LOGIN) == logins


async def test_what_changed_since_the_preview_is_left_alone(house: House):
    await at_home(house)
    client, fresh = await house.ready_client(), new_nip()
    house.ministry.take_back(client.nip, house.nip)
    house.ministry.grant(fresh, house.nip, *BOTH)
    found = await syncing.preview(house.office, house.admin)
    assert (len(found.changes), len(found.to_add)) == (1, 1)
    clients.add(house.office, house.admin, fresh, "Znana Nazwa")
    house.edit("UPDATE authorization SET state = 'blocked' WHERE client_id = ?", client.id)
    assert syncing.apply(house.office, house.admin, found) == SyncResult((), (), ())
    assert house.db.value("SELECT name FROM client WHERE nip = ?", (fresh,)) == "Znana Nazwa"


async def test_rights_seen_of_a_client_that_is_not_connected_come_and_go(house: House):
    await at_home(house)
    client = house.client(*BOTH)
    house.ministry.grant(new_nip(), house.nip, *BOTH)
    await sync(house)
    row = house.auth(client)
    assert (row["reason_code"], json.loads(row["rights"])) == ("granted", ["InvoiceRead", "InvoiceWrite"])
    assert client_views.authorization(house.office, house.admin, client.id).sentence.startswith("Klient nadał")
    house.ministry.take_back(client.nip, house.nip)
    await sync(house)
    assert (house.auth(client)["reason_code"], house.auth(client)["rights"]) == ("", "[]")
    assert word(house, client.id) == "niepodłączony"


def test_a_client_from_the_list_gets_its_name(house: House):
    client = house.client(name="NIP 1")
    clients.rename(house.office, house.admin, client.id, "  Sosna   Próbna ")
    assert clients.name_of(house.office, client.id) == "Sosna Próbna"
    with pytest.raises(Problem):
        clients.rename(house.office, house.admin, client.id, " ")
