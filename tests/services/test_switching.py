"""From a client's token to the office's profile, and from one identity to another (design §7; F22, F23, F32)."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import httpx
import pytest
from support import papers
from support.companies import new_pesel, person, seal
from support.houses import BOTH, Client, House
from support.ministry import PATIENCE, RECEIPTS, SEND, Ministry
from support.strangers import Stranger

from ksef_tui.compose import open_office
from ksef_tui.domain.problems import Problem
from ksef_tui.domain.roles import Role
from ksef_tui.services import approving, authorising, client_views, invoice_views, standing, switching
from ksef_tui.services.own_work import carry_out_switches
from ksef_tui.services.worker import Worker
from ksef_tui.store import documents, switches


async def token_client(house: House, *rights: str, name: str = "Jodła Próbna") -> Client:
    """A client that works by a token of its own, and has granted the office these rights."""
    client = house.client(*rights, name=name)
    row = await house.authorise_with_token(client, await Stranger(house.ministry, client.nip).token(*BOTH))
    assert row["state"] in ("active", "expiring"), dict(row)
    return client


def ask(house: House, identity: int, *clients: Client, force: bool = False) -> switching.Asked:
    return switching.ask(house.office, house.admin, [c.id for c in clients], identity, force=force)


def lives(house: House, client: Client, refresh: str) -> bool:
    """Whether a login still lives at KSeF."""
    answer = httpx.post(
        f"{house.ministry.url}/v2/auth/token/refresh", headers={"Authorization": f"Bearer {refresh}"}, trust_env=False
    )
    return answer.status_code == 200


def refresh_of(house: House, client: Client) -> str:
    sealed = house.auth(client)["sealed_refresh"]
    secret = house.office.sealer.open(sealed, client=client.nip, kind="refresh_token", row=str(client.id))
    return str(secret.reveal_text())


def wish(house: House, client: Client):
    return switches.get(house.db, client.id)


async def busy(house: House, client: Client, trouble: Callable[[Ministry], None]) -> int:
    """One invoice of the client that is in KSeF without a result, by the login of now."""
    [invoice_id] = house.approved(client)
    trouble(house.ministry)
    await house.work_until(lambda: house.states([invoice_id]) == ["processing"])
    return invoice_id


async def test_a_token_gives_way_to_the_office_and_its_login_is_ended(house: House):
    client, identity = await token_client(house, *BOTH), house.identity()
    old = refresh_of(house, client)
    assert lives(house, client, old)
    assert ask(house, identity, client).client_ids == (client.id,)
    await house.work()
    row = house.auth(client)
    assert (row["state"], row["method"], row["identity_id"], row["sealed_token"]) == (
        "active",
        "certificate",
        identity,
        None,
    )
    assert wish(house, client) is None
    assert not lives(house, client, old), "F32: the token's login lives on"
    assert lives(house, client, refresh_of(house, client))
    [invoice_id] = house.approved(client)
    await house.work()
    assert (house.states([invoice_id]), house.invoice(invoice_id)["upo"]) == (["accepted"], "saved")


async def test_f23_the_queue_settles_first_with_the_old_login_and_nothing_new_leaves(house: House):
    client, identity = await token_client(house, *BOTH), house.identity()
    first = await busy(house, client, lambda m: m.fault("stuck"))
    ask(house, identity, client)
    [second] = house.approved(client, papers.invoice(client.nip))
    view = client_views.authorization(house.office, house.admin, client.id)
    assert "1 faktura w drodze" in view.sentence
    assert "auth.cancel" in view.actions
    assert client_views.client_rows(house.office, house.admin, [client.id])[client.id].word == "na profil: 1 w drodze"
    looks = len(house.calls("session.invoice"))
    await house.work_until(lambda: len(house.calls("session.invoice")) > looks + 1)
    assert (house.auth(client)["method"], house.states([first, second])) == ("token", ["processing", "approved"])
    [(_, _, count, why)] = standing.standing(house.office, house.admin)
    assert count == 1
    assert "zmienia się na profil" in why
    assert "zmienia się na profil" in invoice_views.queue_rows(house.office, house.admin, [second])[second].hint
    house.ministry.calm()
    await house.work()
    assert house.auth(client)["method"] == "certificate"
    assert house.states([first, second]) == ["accepted", "accepted"]
    assert [house.invoice(i)["upo"] for i in (first, second)] == ["saved", "saved"]
    subjects = house.db.rows("SELECT subject FROM session ORDER BY id")
    assert [row["subject"] for row in subjects] == [f"Nip:{client.nip}", f"Nip:{house.nip}"]


async def test_f23_a_late_upo_is_waited_for_and_fetched_with_the_old_login(house: House):
    client, identity = await token_client(house, *BOTH), house.identity()
    house.ministry.fault("upo_html", match=RECEIPTS)
    [invoice_id] = house.approved(client)
    await house.work_until(lambda: house.states([invoice_id]) == ["accepted"])
    ask(house, identity, client)
    struck = house.ministry.struck("upo_html")
    await house.work_until(lambda: house.ministry.struck("upo_html") > struck)
    assert house.auth(client)["method"] == "token"
    [wait] = switching.preview(house.office, house.admin, [client.id], identity).waits
    assert (wait.behind.without_upo, wait.works) == ((house.invoice(invoice_id)["number"],), True)
    house.ministry.calm()
    await house.work()
    assert (house.auth(client)["method"], house.invoice(invoice_id)["upo"]) == ("certificate", "saved")


async def test_by_force_what_only_the_old_login_could_read_is_settled_by_its_hash_and_loses_its_upo(house: House):
    client, identity = await token_client(house, *BOTH), house.identity()
    house.ministry.fault("upo_html", match=RECEIPTS)
    [first] = house.approved(client)
    await house.work_until(lambda: house.states([first]) == ["accepted"])
    second = await busy(house, client, lambda m: m.fault("stuck"))
    ask(house, identity, client, force=True)
    await house.work_until(lambda: house.auth(client)["method"] == "certificate")
    await house.work_until(lambda: house.invoice(second)["reason_code"] == "insufficient-resource-access")
    assert client.nip in house.invoice(second)["reason"]
    house.ministry.calm()
    document = documents.get(house.db, house.invoice(second)["sha256"])
    sent = house.ministry.posts(SEND)
    house.later(minutes=2)
    await house.work()
    assert house.states([first, second]) == ["accepted", "accepted"]
    assert [house.invoice(i)["upo"] for i in (first, second)] == ["unavailable", "unavailable"]
    assert house.ministry.posts(SEND) == sent
    assert len(house.ministry.holds(document)) == 1


async def test_415_at_the_new_login_leaves_the_token_and_says_what_to_grant(house: House):
    client, identity = await token_client(house), house.identity()
    old = refresh_of(house, client)
    ask(house, identity, client)
    await house.work()
    row = house.auth(client)
    assert (row["method"], row["reason_code"]) == ("token", "415")
    assert row["state"] in ("active", "expiring")
    assert wish(house, client) is None
    assert lives(house, client, old)
    view = client_views.authorization(house.office, house.admin, client.id)
    assert "działa poprzednia" in view.sentence
    assert house.nip in view.needed
    assert "wystawianie" in view.needed
    [invoice_id] = house.approved(client)
    await house.work()
    assert (house.states([invoice_id]), house.invoice(invoice_id)["upo"]) == (["accepted"], "saved")
    house.ministry.grant(client.nip, house.nip, *BOTH)
    ask(house, identity, client)
    await house.work()
    assert house.auth(client)["method"] == "certificate"


async def test_weather_at_the_new_login_is_waited_out_and_holds_up_no_invoice(house: House):
    client, identity = await token_client(house, *BOTH), house.identity()
    house.ministry.fault("outage", match={"path": "^/v2/auth/(challenge|xades)"})
    ask(house, identity, client)
    [invoice_id] = house.approved(client)
    await house.work()
    row = house.auth(client)
    assert (row["method"], row["reason_code"], wish(house, client)["attempts"]) == ("token", "unreachable", 1)
    assert house.states([invoice_id]) == ["accepted"]
    house.ministry.calm()
    house.later(minutes=2)
    await house.work()
    assert (house.auth(client)["method"], wish(house, client)) == ("certificate", None)


async def test_without_an_answer_for_long_the_wish_is_given_up(house: House):
    client, identity = await token_client(house, *BOTH), house.identity()
    house.ministry.fault("outage", match={"path": "^/v2/auth/(challenge|xades)"})
    ask(house, identity, client)
    for _ in range(6):
        assert wish(house, client) is not None
        await house.work()
        house.later(minutes=40)
    assert wish(house, client) is None
    assert house.auth(client)["method"] == "token"
    assert "działa poprzednia" in client_views.authorization(house.office, house.admin, client.id).sentence


@pytest.mark.parametrize("stopped", ["before the new login", "in the new login", "before the old one has ended"])
async def test_a_process_that_dies_in_the_middle_is_followed_by_another(house: House, stopped: str):
    client, identity = await token_client(house, *BOTH), house.identity()
    old = refresh_of(house, client)
    reached = {
        "before the new login": lambda: wish(house, client)["phase"] == "waiting" and house.calls("auth.status"),
        "in the new login": lambda: wish(house, client)["phase"] == "login",
        "before the old one has ended": lambda: wish(house, client)["phase"] == "ending",
    }[stopped]
    if stopped == "before the new login":
        invoice_id = await busy(house, client, lambda m: m.fault("stuck"))
    else:
        path = "^/v2/auth/[^/]+$" if stopped == "in the new login" else "^/v2/auth/sessions"
        house.ministry.fault("hang", match={"path": path, "method": "GET" if "new" in stopped else "DELETE"})
    ask(house, identity, client)
    worker = Worker(house.office)
    run = asyncio.create_task(worker.run())
    async with asyncio.timeout(PATIENCE):
        while not reached():
            await asyncio.sleep(0.01)
    worker.stop_within = 0
    worker.stop()
    await run
    house.ministry.calm()
    house.edit("UPDATE lease SET expires = 0")
    house.office.close()
    house.office = open_office(house.folder)
    await house.work()
    row = house.auth(client)
    assert (row["state"], row["method"], wish(house, client)) == ("active", "certificate", None)
    assert not lives(house, client, old)
    assert lives(house, client, refresh_of(house, client))
    if stopped == "before the new login":
        assert (house.states([invoice_id]), house.invoice(invoice_id)["upo"]) == (["accepted"], "saved")


async def test_a_change_that_waits_can_be_given_up_and_the_queue_moves_again(house: House):
    client, identity = await token_client(house, *BOTH), house.identity()
    first = await busy(house, client, lambda m: m.fault("stuck"))
    ask(house, identity, client)
    [second] = house.approved(client, papers.invoice(client.nip))
    authorising.cancel(house.office, house.admin, client.id)
    assert wish(house, client) is None
    house.ministry.calm()
    await house.work()
    assert (house.auth(client)["method"], house.states([first, second])) == ("token", ["accepted", "accepted"])
    with pytest.raises(Problem) as caught:
        authorising.cancel(house.office, house.admin, client.id)
    assert caught.value.code == "nothing_runs"


async def test_another_certificate_of_the_same_subject_does_not_wait(house: House):
    client = await house.ready_client()
    renewed = house.identity("nowa pieczęć", seal(house.nip))
    invoice_id = await busy(house, client, lambda m: m.fault("stuck"))
    assert switching.preview(house.office, house.admin, [client.id], renewed).at_once == (client.id,)
    ask(house, renewed, client)
    await house.work_until(lambda: house.auth(client)["identity_id"] == renewed and wish(house, client) is None)
    assert house.states([invoice_id]) == ["processing"]
    house.ministry.calm()
    await house.work()
    assert (house.states([invoice_id]), house.invoice(invoice_id)["upo"]) == (["accepted"], "saved")


async def test_an_employee_is_another_subject_and_nobody_elses_certificate_is_lent(house: House):
    client = await house.ready_client()
    zofia, pesel = house.operator("zofia", Role.ACCOUNTANT), new_pesel()
    house.ministry.grant(client.nip, pesel, *BOTH, kind="Pesel")
    own = house.identity("Zofia", person(pesel), zofia)
    with pytest.raises(Problem) as caught:
        ask(house, own, client)
    assert caught.value.code == "someone_elses"
    invoice_id = await busy(house, client, lambda m: m.fault("stuck"))
    assert switching.ask(house.office, zofia, [client.id], own).client_ids == (client.id,)
    house.ministry.calm()
    await house.work()
    assert (house.auth(client)["identity_id"], house.auth(client)["subject"]) == (own, f"Pesel:{pesel}")
    assert house.invoice(invoice_id)["upo"] == "saved"


async def test_an_old_login_that_is_dead_keeps_the_wish_until_a_person_says_all_the_same(house: House):
    """The token was revoked while an UPO was missing: nothing can fetch it any more."""
    client, identity = await token_client(house, *BOTH), house.identity()
    house.ministry.fault("upo_html", match=RECEIPTS)
    [invoice_id] = house.approved(client)
    await house.work_until(lambda: house.states([invoice_id]) == ["accepted"])
    house.edit("UPDATE authorization SET state = 'failed', reason_code = '450' WHERE client_id = ?", client.id)
    house.ministry.calm()
    ask(house, identity, client)
    await house.work()
    assert (house.auth(client)["method"], wish(house, client)["phase"]) == ("token", "waiting")
    [wait] = switching.preview(house.office, house.admin, [client.id], identity).waits
    assert not wait.works
    view = client_views.authorization(house.office, house.admin, client.id)
    assert "nie odbierze" in view.needed
    ask(house, identity, client, force=True)
    await house.work()
    assert (house.auth(client)["method"], house.invoice(invoice_id)["upo"]) == ("certificate", "unavailable")


async def test_an_upo_that_is_another_senders_for_good_keeps_nothing_waiting(house: House):
    client, identity = await token_client(house, *BOTH), house.identity()
    [invoice_id] = house.approved(client)
    await house.work()
    house.edit("UPDATE invoice SET upo = 'unavailable' WHERE id = ?", invoice_id)
    assert switching.preview(house.office, house.admin, [client.id], identity).at_once == (client.id,)


async def test_many_clients_change_in_one_command_and_each_says_what_became_of_it(house: House):
    good, bare, own = await token_client(house, *BOTH), await token_client(house), await house.ready_client()
    identity = house.db.value("SELECT id FROM identity")
    held = switching.with_token(house.office, house.admin)
    assert {row.client_id for row in held} == {good.id, bare.id}
    asked = ask(house, identity, good, bare, own)
    assert (set(asked.client_ids), [r.client_id for r in asked.refused]) == ({good.id, bare.id}, [own.id])
    await carry_out_switches(house.office, asked.client_ids, patience=PATIENCE)
    assert [house.auth(c)["method"] for c in (good, bare, own)] == ["certificate", "token", "certificate"]
    assert [row.client_id for row in switching.with_token(house.office, house.admin)] == [bare.id]


async def test_a_start_or_an_end_by_a_person_takes_the_place_of_the_wish(house: House):
    client, identity = await token_client(house, *BOTH), house.identity()
    ask(house, identity, client)
    authorising.revoke(house.office, house.admin, client.id)
    assert wish(house, client) is None
    await house.work()
    assert house.auth(client)["state"] == "missing"


def test_approving_says_that_invoices_wait_for_the_change(house: House):
    client, identity = house.client(*BOTH), house.identity()
    house.edit("UPDATE authorization SET state = 'active', method = 'token' WHERE client_id = ?", client.id)
    ids = house.bring(client, papers.invoice(client.nip))
    ask(house, identity, client)
    assert "zmienia się na profil" in approving.summary(house.office, house.admin, ids).warnings[0]


async def ending(house: House) -> tuple[Client, str]:
    """A client that has gone over from its token while KSeF does not answer to logging out; the old login's token."""
    client, identity = await token_client(house, *BOTH), house.identity()
    old = refresh_of(house, client)
    house.ministry.fault("html_5xx", match={"method": "DELETE", "path": "^/v2/auth/sessions"})
    ask(house, identity, client)
    await house.work_until(lambda: wish(house, client) is not None and wish(house, client)["phase"] == "ending")
    return client, old


@pytest.mark.parametrize("act", ["revoke", "start"])
async def test_f32_an_old_login_still_to_be_ended_is_not_forgotten_over_what_is_asked_next(house: House, act: str):
    client, old = await ending(house)
    if act == "revoke":
        authorising.revoke(house.office, house.admin, client.id)
    else:
        authorising.start_with_identity(house.office, house.admin, client.id, house.identity("druga"))
    await house.carry_out(client)
    assert lives(house, client, old)
    house.ministry.calm()
    house.later(minutes=1)
    await house.work()
    assert not lives(house, client, old)
    assert wish(house, client) is None


async def test_f32_the_next_change_waits_until_the_old_login_has_ended(house: House):
    client, old = await ending(house)
    second = house.identity("druga")
    [refused] = ask(house, second, client).refused
    assert "trwa zmiana na profil pieczęć" in refused.reason
    house.ministry.calm()
    house.later(minutes=1)
    await house.work()
    assert not lives(house, client, old)
    assert ask(house, second, client).client_ids == (client.id,)


async def test_a_change_asked_for_while_a_request_waits_for_a_signature_ends_with_the_change(house: House):
    client = await house.ready_client()
    second = house.identity("druga")
    authorising.start_external(house.office, house.admin, client.id)
    await house.carry_out(client)
    ask(house, second, client)
    async with asyncio.timeout(PATIENCE):  # the request lives for ten minutes
        await carry_out_switches(house.office, [client.id], patience=600)
    row = house.auth(client)
    assert (row["state"], row["identity_id"]) == ("active", second)
