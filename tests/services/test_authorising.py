"""Authorising a client over HTTP: who may sign, and how every attempt ends (design §5, §7)."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest
from support.companies import new_pesel, person, seal
from support.houses import BOTH, Client, House
from support.ministry import REFRESH, SIGNED_LOGIN, TOKEN_LOGIN
from support.strangers import Stranger

from ksef_tui.domain.problems import Problem
from ksef_tui.domain.roles import Role
from ksef_tui.domain.secret import Secret
from ksef_tui.services import authorising, contract, identities, identity_views
from ksef_tui.services.own_work import carry_out
from ksef_tui.store import limits

PAST = "2026-01-01T00:00:00.000Z"


@pytest.mark.parametrize("kind", ["ec", "rsa"])
async def test_a_seal_of_the_office_works_in_the_clients_context(house: House, kind: str):
    client = house.client(*BOTH)
    row = await house.authorise(client, house.identity(paper=seal(house.nip, kind=kind)))
    assert (row["state"], row["intent"], row["step"], row["step_failed"]) == ("active", "", "rights", 0)
    assert sorted(json.loads(row["rights"])) == ["InvoiceRead", "InvoiceWrite"]
    assert row["subject"] == f"Nip:{house.nip}"
    assert row["context_nip"] == client.nip
    acts = [(e["act"], e["to_state"]) for e in house.db.rows("SELECT * FROM authorization_event ORDER BY id")]
    assert acts == [("start", "running"), ("finish", "active")]


async def test_a_persons_certificate_works_for_what_that_person_approved_only(house: House):
    """Lending a personal certificate is forbidden (design §2)."""
    zofia, jan = house.operator("zofia", Role.ACCOUNTANT), house.operator("jan", Role.ACCOUNTANT)
    pesel = new_pesel()
    client = house.client()
    house.ministry.grant(client.nip, pesel, *BOTH, kind="Pesel")
    own = house.identity("Zofia", person(pesel), zofia)
    for other in (jan, house.admin):
        with pytest.raises(Problem) as caught:
            authorising.start_with_identity(house.office, other, client.id, own)
        assert caught.value.code == "someone_elses"
        assert [i.label for i in identity_views.identities(house.office, other)] == []
    assert house.ministry.posts(SIGNED_LOGIN) == 0
    row = await house.authorise(client, own, zofia)
    assert (row["state"], row["subject"]) == ("active", f"Pesel:{pesel}")
    with pytest.raises(Problem) as caught:  # a check signs a login as well
        authorising.check(house.office, jan, client.id)
    assert caught.value.code == "someone_elses"
    assert contract.authorised_ids(house.office, jan) == []
    assert contract.authorised_ids(house.office, zofia) == [client.id]


async def test_a_ksef_token_of_the_client_works_and_ends_with_the_year(house: House):
    client = house.client()
    token = await Stranger(house.ministry, client.nip).token(*BOTH)
    row = await house.authorise_with_token(client, token)
    assert (row["state"], row["method"]) in (("active", "token"), ("expiring", "token"))
    assert row["valid_until"] == "2026-12-31T22:59:59.000Z", "Dz.U. 2025 poz. 1815 §13, in Polish time"
    assert sorted(json.loads(row["rights"])) == ["InvoiceRead", "InvoiceWrite"]


async def test_the_office_is_the_owner_at_home(house: House):
    own = house.db.row("SELECT id, nip, name FROM client WHERE office = 1")
    row = await house.authorise(Client(own["id"], own["nip"]), house.identity("pieczęć", seal(own["nip"])))
    assert (row["state"], "Owner" in json.loads(row["rights"])) == ("active", True)


def test_f31_the_certificate_of_another_company_is_refused(house: House):
    """An office logs in as itself; a client's own certificate would open everything of that client."""
    with pytest.raises(Problem) as caught:
        house.identity("klient", seal(house.client().nip))
    assert caught.value.code == "foreign_certificate"
    assert house.db.value("SELECT count(*) FROM identity") == 0


# How an attempt ends: what happens at KSeF before it, state, code, and what the sentence must say.
ENDINGS = {
    "no rights at all (415)": ((), "no_permission", "415", "brak uprawnień"),
    "reading only": (("InvoiceRead",), "read_only", "missing-permissions", "wystawianie faktur"),
    "rights that have nothing to do with invoices": (
        ("CredentialsRead",), "no_permission", "missing-permissions", "wystawianie i przeglądanie",
    ),
    "writing only": (("InvoiceWrite",), "active", "", ""),
}  # fmt: skip


@pytest.mark.parametrize("ending", ENDINGS)
async def test_what_the_client_granted_decides(house: House, ending: str):
    rights, state, code, words = ENDINGS[ending]
    client = house.client(*rights)
    row = await house.authorise(client)
    assert (row["state"], row["reason_code"], row["intent"]) == (state, code, "")
    assert words in row["reason"]
    assert (client.nip in contract.authorization(house.office, house.admin, client.nip)["nip"]) and row["checked_at"]


async def test_415_names_the_identity_that_nobody_granted_anything_to(house: House):
    client = house.client(name="Sosna Próbna")
    row = await house.authorise(client)
    assert "Sosna Próbna" in row["reason"]
    assert house.nip in row["reason"]


async def test_480_blocks_this_client_only_and_every_screen_says_so(house: House):
    blocked, other = house.client(*BOTH), house.client(*BOTH)
    house.ministry.block(blocked.nip)
    row = await house.authorise(blocked)
    assert (row["state"], row["reason_code"]) == ("blocked", "480")
    from ksef_tui.services.views import header

    assert "zablokowało" in header(house.office, house.admin).alarm
    assert (await house.authorise(other))["state"] == "active"


WRONG_TOKENS = ["20261124-EC-ABCDEF0123-0123456789-AB|nip-1111111111|" + "0" * 64, "cokolwiek"]


@pytest.mark.parametrize("token", WRONG_TOKENS)
async def test_a_wrong_token_ends_with_450(house: House, token: str):
    row = await house.authorise_with_token(house.client(*BOTH), token)
    assert (row["state"], row["reason_code"]) == ("failed", "450")
    assert token not in row["reason"]


async def test_a_token_of_another_company_ends_with_450_and_is_never_lent(house: House):
    one, two = house.client(), house.client()
    token = await Stranger(house.ministry, one.nip).token(*BOTH)
    row = await house.authorise_with_token(two, token)
    assert (row["state"], row["reason_code"]) == ("failed", "450")


@pytest.mark.parametrize("token", ["", "  ", "dwa słowa", "x" * 2001])
def test_what_cannot_be_a_token_is_refused_before_any_call(house: House, token: str):
    client = house.client()
    with pytest.raises(Problem) as caught:
        authorising.start_with_token(house.office, house.admin, client.id, Secret(token))
    assert caught.value.code == "bad_token"
    assert house.auth(client)["state"] == "missing"


async def test_a_certificate_that_expired_is_refused_before_any_call(house: House):
    client = house.client(*BOTH)
    identity = house.identity(paper=seal(house.nip, days=30))
    house.later(days=31)
    with pytest.raises(Problem) as caught:
        authorising.start_with_identity(house.office, house.admin, client.id, identity)
    assert caught.value.code == "certificate_expired"
    assert house.ministry.posts(SIGNED_LOGIN) == 0


async def test_a_certificate_that_expires_later_makes_the_client_expire_by_itself(house: House):
    client = house.client(*BOTH)
    await house.authorise(client, house.identity(paper=seal(house.nip, days=100)))
    seen = [contract.authorization(house.office, house.admin, client.nip)["status"]]
    for days in (75, 30):
        house.later(days=days)
        seen.append(contract.authorization(house.office, house.admin, client.nip)["status"])
    assert seen == ["active", "expiring", "expired"]


WEATHER = {
    "outage": {},
    "html_5xx": {"params": {"status": 502}},
    "waf_403": {},
    "lost_request": {},
}


@pytest.mark.parametrize("trouble", WEATHER)
async def test_weather_is_not_a_denial(house: House, trouble: str):
    """F26, F39: a gateway's page says nothing about rights."""
    client = house.client(*BOTH)
    house.ministry.fault(trouble, match={"path": "^/v2/auth"}, **WEATHER[trouble])
    row = await house.authorise(client)
    assert (row["state"], row["reason_code"]) == ("failed", "unreachable")
    assert "KSeF nie odpowiada" in row["reason"]
    house.ministry.calm()
    authorising.check(house.office, house.admin, client.id)
    await house.carry_out(client)
    assert house.auth(client)["state"] == "active"


@pytest.mark.parametrize("code", [21115, 460])
async def test_f41_a_certificate_that_ksef_cannot_check_fails_and_may_be_tried_again(house: House, code: int):
    client = house.client(*BOTH)
    house.ministry.fault("certificate_check_down", times=1, params={"code": code})
    row = await house.authorise(client)
    assert (row["state"], row["reason_code"]) == ("failed", str(code))
    assert row["reason"]
    assert (await house.authorise(client))["state"] == "active"


@pytest.mark.parametrize("template", ["^/v2/auth/xades", "^/v2/auth/token/redeem"])
async def test_a_lost_answer_of_a_login_is_never_repeated_by_itself(house: House, template: str):
    """F9, F24: redeem works once; after a lost answer only a new authentication helps."""
    client = house.client(*BOTH)
    house.ministry.fault("lost_answer", times=1, match={"path": template})
    row = await house.authorise(client)
    assert (row["state"], row["reason_code"]) == ("failed", "unreachable")
    assert house.ministry.posts(SIGNED_LOGIN) == 1
    assert (await house.authorise(client))["state"] == "active"
    assert house.ministry.posts(SIGNED_LOGIN) == 2


async def test_weather_while_checking_keeps_what_is_known(house: House):
    client = await house.ready_client()
    house.ministry.fault("outage", match={"path": "^/v2/auth"})
    authorising.check(house.office, house.admin, client.id)
    await house.carry_out(client)
    row = house.auth(client)
    assert (row["state"], row["intent"]) == ("active", "")
    assert json.loads(row["rights"]) == ["InvoiceRead", "InvoiceWrite"]


async def test_what_the_client_took_back_is_seen_by_a_check(house: House):
    """F28: the right is gone though everything still says active."""
    client = await house.ready_client()
    house.ministry.take_back(client.nip, house.nip)
    authorising.check(house.office, house.admin, client.id)
    await house.carry_out(client)
    row = house.auth(client)
    assert (row["state"], row["reason_code"]) == ("no_permission", "withdrawn")
    assert row["sealed_refresh"] is None


async def test_a_new_key_of_the_ministry_is_fetched_once_for_a_token(house: House):
    """21470: the key changed between two logins of one program."""
    from ksef_tui.services.worker import Worker

    client = house.client()
    token = await Stranger(house.ministry, client.nip).token(*BOTH)
    worker = Worker(house.office, until_idle=True)
    await worker.keys.get("KsefTokenEncryption")
    house.ministry.fault("key_rotation")
    authorising.start_with_token(house.office, house.admin, client.id, Secret(token))
    await worker.run()
    assert house.auth(client)["state"] in ("active", "expiring")
    assert house.ministry.posts(TOKEN_LOGIN) == 2


async def test_an_access_token_that_ran_out_is_refreshed_without_a_login(house: House):
    client = await house.ready_client()
    house.edit("UPDATE authorization SET access_until = ?", PAST)
    house.approved(client)
    await house.work()
    assert house.ministry.posts(REFRESH) == 1
    assert house.ministry.posts(SIGNED_LOGIN) == 1
    assert house.states([1]) == ["accepted"]


@pytest.mark.parametrize("trouble", ["revoked at KSeF (F25)", "a week has passed"])
async def test_when_refreshing_is_no_use_the_certificate_logs_in_again(house: House, trouble: str):
    client = await house.ready_client()
    house.edit("UPDATE authorization SET access_until = ?", PAST)
    if trouble == "a week has passed":
        house.edit("UPDATE authorization SET refresh_until = ?", PAST)
    else:
        house.ministry.fault("auth_revoked", times=1)
    [invoice_id] = house.approved(client)
    await house.work()
    assert house.states([invoice_id]) == ["accepted"]
    assert house.ministry.posts(SIGNED_LOGIN) == 2


async def test_a_401_in_the_middle_gets_a_new_access_token(house: House):
    client = await house.ready_client()
    [invoice_id] = house.approved(client)
    house.ministry.fault("unauthorized", times=1, match={"path": "^/v2/sessions/online$"})
    await house.work()
    assert house.states([invoice_id]) == ["accepted"]
    assert house.ministry.posts(REFRESH) == 1


async def test_a_401_to_a_question_gets_a_new_access_token_too(house: House):
    client = await house.ready_client()
    [invoice_id] = house.approved(client)
    house.ministry.fault("unauthorized", times=1, match={"method": "GET", "path": "^/v2/sessions/.*/invoices"})
    await house.work()
    assert house.states([invoice_id]) == ["accepted"]
    assert house.ministry.posts(REFRESH) == 1


async def test_revoking_ends_the_login_at_ksef_too(house: House):
    """F32: forgetting it here is not enough."""
    client = await house.ready_client()
    refresh = house.office.sealer.open(
        house.auth(client)["sealed_refresh"], client=client.nip, kind="refresh_token", row=str(client.id)
    )
    authorising.revoke(house.office, house.admin, client.id)
    await house.carry_out(client)
    row = house.auth(client)
    assert (row["state"], row["method"], row["sealed_refresh"], row["sealed_access"]) == ("missing", None, None, None)
    import httpx

    answer = httpx.post(
        f"{house.ministry.url}/v2/auth/token/refresh",
        headers={"Authorization": f"Bearer {refresh.reveal_text()}"},
        trust_env=False,
    )
    assert answer.status_code == 400, "the refresh token still works"


async def test_revoking_without_an_answer_is_not_done_and_says_so(house: House):
    client = await house.ready_client()
    house.ministry.fault("outage", match={"method": "DELETE"})
    authorising.revoke(house.office, house.admin, client.id)
    await house.carry_out(client)
    row = house.auth(client)
    assert (row["state"], row["reason_code"], row["intent"]) == ("active", "unreachable", "")
    assert "Nie odwołano" in row["reason"]
    assert row["sealed_refresh"] is not None


async def test_the_way_of_authorisation_changes_only_when_nothing_is_on_the_wire(house: House):
    """F23: only who opened a session may read its results."""
    client = await house.ready_client()
    pesel = new_pesel()
    house.ministry.grant(client.nip, pesel, *BOTH, kind="Pesel")
    other = house.identity("druga", person(pesel), house.admin)
    house.approved(client)
    house.ministry.fault("stuck")
    await house.work_until(lambda: house.states([1]) == ["processing"])
    for change in (
        lambda: authorising.start_with_identity(house.office, house.admin, client.id, other),
        lambda: authorising.start_with_token(house.office, house.admin, client.id, Secret("token")),
        lambda: authorising.revoke(house.office, house.admin, client.id),
    ):
        with pytest.raises(Problem) as caught:
            change()
        assert caught.value.code == "on_the_wire"
    house.ministry.calm()
    await house.work()
    assert (await house.authorise(client, other))["state"] == "active"


async def test_an_identity_in_use_stays_and_a_removed_one_loses_its_key(house: House):
    client = await house.ready_client()
    with pytest.raises(Problem) as caught:
        identities.remove(house.office, house.admin, "pieczęć")
    assert caught.value.code == "identity_in_use"
    authorising.revoke(house.office, house.admin, client.id)
    await house.carry_out(client)
    identities.remove(house.office, house.admin, "pieczęć")
    assert house.db.value("SELECT length(sealed_key) FROM identity") == 0
    with pytest.raises(Problem):
        identities.named(house.office, "pieczęć")


async def test_an_authorisation_that_runs_can_be_cancelled_and_its_answer_changes_nothing(house: House):
    client = house.client(*BOTH)
    authorising.start_with_identity(house.office, house.admin, client.id, house.identity())
    authorising.cancel(house.office, house.admin, client.id)
    await house.work()
    assert house.auth(client)["state"] == "missing"
    assert house.ministry.posts(SIGNED_LOGIN) == 0
    with pytest.raises(Problem) as caught:
        authorising.cancel(house.office, house.admin, client.id)
    assert caught.value.code == "nothing_runs"


async def test_what_the_operator_cannot_ask(house: House):
    client = house.client(*BOTH)
    for ask in (authorising.check, authorising.revoke):
        with pytest.raises(Problem) as caught:
            ask(house.office, house.admin, client.id)
        assert caught.value.code == "not_authorised"
    authorising.start_with_identity(house.office, house.admin, client.id, house.identity())
    with pytest.raises(Problem) as caught:
        authorising.check(house.office, house.admin, client.id)
    assert caught.value.code == "runs_already"


@pytest.mark.parametrize("intent", ["login", "revoke"])
async def test_a_wait_that_ksef_asks_for_is_not_longer_than_the_patience_of_who_waits(house: House, intent: str):
    """A command waits minutes, KSeF may ask for 45 (F35): the intent stays, the command says so."""
    client = await house.ready_client()
    if intent == "login":
        house.ministry.fault("rate_limited", params={"retry_after": 2700}, match={"path": "^/v2/auth"})
        authorising.check(house.office, house.admin, client.id)
    else:
        with house.db.write() as connection:
            limits.block(connection, client.nip, "other:auth.end_current", datetime.now(UTC).timestamp() + 2700)
        authorising.revoke(house.office, house.admin, client.id)
    with pytest.raises(Problem) as caught:
        await carry_out(house.office, client.id, patience=0.3)
    assert caught.value.code == "timeout"
    assert house.auth(client)["intent"] != ""


async def test_a_login_that_works_outlives_a_new_one_that_ksef_did_not_answer(house: House):
    """What works is given up only for something that works (design §7)."""
    client = await house.ready_client()
    house.ministry.fault("outage")
    authorising.start_with_token(house.office, house.admin, client.id, Secret("20260101-EC-0-0-0|nip-1|ff"))
    await house.carry_out(client)
    row = house.auth(client)
    assert (row["state"], row["method"], row["reason_code"]) == ("active", "certificate", "unreachable")
    assert "działa poprzednia" in row["reason"]
    house.ministry.calm()
    ids = house.approved(client)
    await house.work()
    assert house.states(ids) == ["accepted"]


async def test_a_login_that_is_replaced_ends_at_ksef_too(house: House):
    """F32: otherwise it would live on for days."""
    client = await house.ready_client()
    first = house.auth(client)["reference"]
    await house.authorise(client)
    assert house.auth(client)["reference"] != first
    assert [call["kind"] for call in house.calls("auth.end_current", "ended")] == ["ok"]


async def test_cancelling_puts_the_login_that_worked_back(house: House):
    client = await house.ready_client()
    before = house.auth(client)
    authorising.start_with_token(house.office, house.admin, client.id, Secret("20260101-EC-0-0-0|nip-1|ff"))
    authorising.cancel(house.office, house.admin, client.id)
    after = house.auth(client)
    for column in (
        "state",
        "method",
        "identity_id",
        "sealed_token",
        "sealed_refresh",
        "rights",
        "valid_until",
        "subject",
    ):
        assert after[column] == before[column], column
    assert (after["intent"], after["fallback"]) == ("", None)


async def test_a_new_way_that_ksef_refused_leaves_the_one_that_works(house: House):
    """A mistyped token, or a colleague without rights, must not stop the client's invoices."""
    client = await house.ready_client()
    row = await house.authorise_with_token(client, "20260101-EC-0000000000-0000000000-00|nip-1|ff")
    assert (row["state"], row["method"], row["reason_code"]) == ("active", "certificate", "450")
    other = house.identity("koleżanka", person(new_pesel()), house.admin)
    row = await house.authorise(client, other)
    assert (row["state"], row["method"], row["reason_code"]) == ("active", "certificate", "415")
    assert "działa poprzednia" in row["reason"]
    ids = house.approved(client)
    await house.work()
    assert house.states(ids) == ["accepted"]


async def test_a_judgement_about_the_identity_in_use_is_believed(house: House):
    client = await house.ready_client()
    house.ministry.take_back(client.nip, house.nip)
    assert (await house.authorise(client))["state"] == "no_permission"
