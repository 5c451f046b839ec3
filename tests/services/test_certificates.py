"""KSeF certificates over HTTP: ordered, collected, renewed, revoked; nothing is ordered twice, whatever gets lost."""

from __future__ import annotations

import asyncio
import sqlite3
from datetime import UTC, datetime

import pytest
from support.companies import new_pesel, person, seal, signed
from support.houses import BOTH, Client, House
from support.ministry import PATIENCE
from support.strangers import Stranger

from ksef_tui.compose import open_office
from ksef_tui.domain.problems import Problem
from ksef_tui.domain.roles import Operator, Role
from ksef_tui.services import authorising, certifying, enrolment, external, identities, identity_views, lineage
from ksef_tui.services.own_work import serve_until
from ksef_tui.store import certificates, offices

ENROL = "POST /v2/certificates/enrollments"
ENROLLING = {"method": "POST", "path": "^/v2/certificates/enrollments$"}
REVOKING = {"method": "POST", "path": "/revoke$"}
NAME = "Biuro Modrzew KSeF"


def own(house: House) -> Client:
    return Client(house.db.value("SELECT id FROM client WHERE office = 1"), house.nip)


async def at_home(house: House) -> Client:
    """The office is logged in in its own context, with its seal."""
    client = own(house)
    row = await house.authorise(client)
    assert row["state"] == "active", dict(row)
    return client


async def signed_in(house: House, paper=None, operator: Operator | None = None) -> sqlite3.Row:
    """The office is logged in in its own context by a signature made elsewhere, brought by `operator`."""
    client, operator = own(house), operator or house.admin
    authorising.start_external(house.office, operator, client.id)
    await house.carry_out(client)
    document = external.request(house.office, operator, client.id).document
    authorising.submit(house.office, operator, client.id, signed(document, paper or seal(house.nip)))
    await house.carry_out(client)
    return house.auth(client)


def order(house: House, label: str = "KSeF", **options) -> int:
    return certifying.order(house.office, house.admin, NAME, label, **options)


async def finish(house: House, enrolment_id: int) -> sqlite3.Row:
    return await certifying.finish(house.office, enrolment_id, patience=PATIENCE)


async def ordered(house: House, label: str = "KSeF", **options) -> sqlite3.Row:
    return await finish(house, order(house, label, **options))


async def refused(house: House, enrolment_id: int) -> tuple[str, str]:
    with pytest.raises(Problem) as caught:
        await finish(house, enrolment_id)
    return caught.value.code, caught.value.message


def identity(house: House, label: str) -> sqlite3.Row:
    row = offices.identity_by_label(house.db, label)
    assert row is not None, label
    return row


async def held(house: House) -> list[certifying.Certificate]:
    return await certifying.listed(house.office, house.admin)


# ---- ordering


async def test_the_first_certificate_from_an_empty_office_by_an_external_signature(house: House):
    assert (await signed_in(house))["state"] == "active"
    row = await ordered(house)
    found = identity(house, "KSeF")
    assert (row["state"], row["identity_id"], row["sealed_key"]) == ("done", found["id"], None)
    assert (found["kind"], found["subject_type"], found["subject_value"]) == ("ksef", "Nip", house.nip)
    assert found["serial"] == row["serial"]
    assert found["key_kind"] == "EC P-256"
    assert found["operator_id"] is None
    home = house.auth(own(house))  # the signature's login, which lasts for days, was replaced at once
    assert (home["state"], home["method"], home["identity_id"]) == ("active", "certificate", found["id"])
    client = house.client(*BOTH)
    assert (await house.authorise(client, found["id"]))["state"] == "active"


async def test_a_worker_does_it_as_well(house: House):
    await signed_in(house)
    order(house)
    await house.work()
    assert identity(house, "KSeF")["kind"] == "ksef"
    assert house.auth(own(house))["method"] == "certificate"


async def test_limits_are_shown_before_anything_is_ordered(house: House):
    await at_home(house)
    before = await certifying.limits(house.office, house.admin)
    assert (before.can_request, before.orders_left, before.orders_limit) == (True, 300, 300)
    assert before.words == "Wniosków zostało 300 z 300, miejsc na certyfikaty 100 z 100."
    await ordered(house)
    after = await certifying.limits(house.office, house.admin)
    assert (after.orders_left, after.held_left) == (299, 99)


@pytest.mark.parametrize(("limit", "word"), [("enrollment", "Limit wniosków"), ("certificate", "Limit posiadanych")])
async def test_without_a_limit_nothing_leaves(house: House, limit: str, word: str):
    await at_home(house)
    row = house.auth(own(house))
    access = house.office.sealer.open(
        row["sealed_access"], client=house.nip, kind="access_token", row=str(row["client_id"])
    )
    house.ministry.certificate_limits(access.reveal_text(), **{limit: 0})
    code, message = await refused(house, order(house))
    assert code == "no_quota"
    assert message.startswith(word)
    assert house.ministry.posts(ENROL) == 0
    assert house.db.value("SELECT count(*) FROM enrolment WHERE sealed_key IS NOT NULL") == 0


async def test_offline_is_kept_for_codes_and_can_never_log_in(house: House):
    await at_home(house)
    row = await ordered(house, "kody", kind=certifying.OFFLINE)
    assert (row["state"], row["identity_id"]) == ("done", None)
    assert offices.identity_by_label(house.db, "kody") is None
    key = house.office.sealer.open(row["sealed_key"], client=house.nip, kind="private_key", row=row["seal_row"])
    with pytest.raises(Problem) as caught:  # nor by bringing its files
        identities.add(house.office, house.admin, "kody", row["certificate"], key.reveal(), None)
    assert caught.value.code == "offline_certificate"
    [one] = [c for c in await held(house) if c.type == "Offline"]
    assert (one.label, one.status) == ("kody", "Active")
    with pytest.raises(Problem) as caught:
        order(house, "kody")
    assert caught.value.code == "label_taken"


async def test_a_token_orders_nothing(house: House):
    token = await Stranger(house.ministry, house.nip).token("InvoiceRead", "InvoiceWrite")
    assert (await house.authorise_with_token(own(house), token))["state"] == "active"
    with pytest.raises(Problem) as caught:
        order(house)
    assert caught.value.code == "logged_in_by_token"
    assert "tokenem" in caught.value.message


async def test_nobody_at_home_is_said_with_what_to_do(house: House):
    with pytest.raises(Problem) as caught:
        order(house)
    assert caught.value.code == "office_not_authorised"
    assert house.nip in caught.value.message


async def test_a_clients_own_login_never_becomes_the_offices_certificate(house: House):
    client = house.client()
    authorising.start_external(house.office, house.admin, client.id)
    await house.carry_out(client)
    document = external.request(house.office, house.admin, client.id).document
    authorising.submit(house.office, house.admin, client.id, signed(document, seal(client.nip)))
    await house.carry_out(client)
    with pytest.raises(Problem) as caught:
        order(house, client_id=client.id)
    assert caught.value.code in ("foreign_certificate", "office_not_authorised")
    assert house.ministry.posts(ENROL) == 0


async def test_a_personal_certificate_is_ordered_by_that_person_only(house: House):
    zofia, pesel = house.operator("zofia", Role.ACCOUNTANT), new_pesel()
    house.ministry.grant(house.nip, pesel, "InvoiceRead", "CredentialsManage", kind="Pesel")
    assert (await signed_in(house, person(pesel), zofia))["subject"] == f"Pesel:{pesel}"
    with pytest.raises(Problem) as caught:
        order(house)
    assert caught.value.code == "someone_elses"
    made = certifying.order(house.office, zofia, "Zofia Próbna", "Zofia")
    await finish(house, made)
    found = identity(house, "Zofia")
    assert (found["subject_type"], found["subject_value"], found["operator_id"]) == ("Pesel", pesel, zofia.id)
    assert [one.label for one in identity_views.identities(house.office, house.admin)] == []
    assert [one.personal_to for one in identity_views.identities(house.office, zofia)] == ["zofia"]


@pytest.mark.parametrize("name", ["", "abcd", "a" * 101, "Biuro/KSeF", "Büro KSeF"])
async def test_a_name_that_ksef_would_refuse_is_refused_here(house: House, name: str):
    with pytest.raises(Problem) as caught:
        certifying.order(house.office, house.admin, name, "KSeF")
    assert caught.value.code == "bad_name"


# ---- nothing is ordered twice


async def test_a_lost_answer_does_not_order_twice(house: House):
    await at_home(house)
    house.ministry.fault("lost_answer", times=1, match=ENROLLING)
    row = await ordered(house)
    assert (row["state"], row["reference"]) == ("done", "")
    assert house.ministry.posts(ENROL) == 1
    assert len(await held(house)) == 1
    assert identity(house, "KSeF")["serial"] == row["serial"]


async def test_a_request_that_never_arrived_is_sent_once_more(house: House):
    await at_home(house)
    house.ministry.fault("lost_request", times=1, match=ENROLLING)
    made = order(house)
    await serve_until(
        house.office, own(house).id, lambda: certificates.get(house.db, made)["state"] == "sending", patience=PATIENCE
    )
    house.later(seconds=20)
    await finish(house, made)
    assert house.ministry.posts(ENROL) == 1
    assert len(await held(house)) == 1


async def test_what_may_have_arrived_and_is_not_found_is_never_sent_again(house: House):
    await at_home(house)
    house.ministry.fault("lost_request", times=1, match=ENROLLING)
    made = order(house)
    await serve_until(
        house.office, own(house).id, lambda: certificates.get(house.db, made)["state"] == "sending", patience=PATIENCE
    )
    house.edit("UPDATE enrolment SET left_before = left_before + 1")  # as if the limit had gone down by one
    house.later(hours=25)
    code, message = await refused(house, made)
    assert code == "unknown_order"
    assert "zamów go jeszcze raz" in message
    assert house.ministry.posts(ENROL) == 0


STEPS = ("asked", "ready", "sending", "waiting", "issued")


@pytest.mark.parametrize("step", STEPS)
async def test_after_a_crash_the_order_goes_on_where_it_stood(house: House, step: str, monkeypatch: pytest.MonkeyPatch):
    """The process ends right after that state was committed; another office object on the same directory goes on."""
    await at_home(house)
    made = order(house)

    class Killed(BaseException):
        pass

    if step != "asked":
        move = certificates.move

        def killing(connection, now, enrolment_id, old, new, **values):
            moved = move(connection, now, enrolment_id, old, new, **values)
            if new == step:
                connection.commit()
                raise Killed
            return moved

        monkeypatch.setattr(certificates, "move", killing)
        with pytest.raises(Killed):
            await finish(house, made)
        monkeypatch.setattr(certificates, "move", move)
    assert certificates.get(house.db, made)["state"] == step
    again = open_office(house.folder)
    again.clock = lambda: (
        datetime.now(UTC) + (enrolment.SETTLED_AFTER * 2 if step == "sending" else enrolment.SETTLED_AFTER * 0)
    )
    try:
        row = await certifying.finish(again, made, patience=PATIENCE)
    finally:
        again.close()
    assert row["state"] == "done"
    assert house.ministry.posts(ENROL) == 1
    assert len(await held(house)) == 1


async def test_the_process_dies_while_the_request_is_on_its_way(house: House):
    await at_home(house)
    house.ministry.fault("hang", match=ENROLLING)
    made = order(house)
    task = asyncio.create_task(finish(house, made))
    async with asyncio.timeout(PATIENCE):
        while not house.ministry.struck("hang"):
            await asyncio.sleep(0.01)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert certificates.get(house.db, made)["state"] == "sending"
    house.ministry.calm()
    house.later(seconds=20)
    await finish(house, made)
    assert len(await held(house)) == 1


async def test_the_same_label_goes_on_instead_of_ordering_again(house: House):
    await at_home(house)
    first = order(house)
    assert order(house) == first
    await finish(house, first)


@pytest.mark.parametrize(("code", "word"), [(400, "odrzucił"), (500, "Nieznany błąd"), (550, "anulował")])
async def test_an_order_that_ksef_gives_up_says_why(house: House, code: int, word: str):
    await at_home(house)
    house.ministry.fault("enrolment_fails", times=1, params={"code": code, "details": ["Powód próbny."]})
    found, message = await refused(house, order(house))
    assert found == str(code)
    assert word in message
    assert "Powód próbny." in message
    assert house.db.value("SELECT count(*) FROM enrolment WHERE sealed_key IS NOT NULL") == 0


async def test_a_certificate_for_another_key_is_never_used(house: House):
    await at_home(house)
    house.ministry.fault("enrolment_mixed_up", times=1)
    code, message = await refused(house, order(house))
    assert code == "wrong_certificate"
    assert "nie zostanie użyty" in message
    assert offices.identity_by_label(house.db, "KSeF") is None


async def test_the_key_is_nowhere_in_plain(house: House):
    await at_home(house)
    row = await ordered(house)
    found = identity(house, "KSeF")
    key = house.office.sealer.open(found["sealed_key"], client=house.nip, kind="private_key", row=found["seal_row"])
    from cryptography.hazmat.primitives.serialization import load_der_private_key

    secret = load_der_private_key(key.reveal(), None).private_numbers().private_value.to_bytes(32, "big")
    house.db.connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    assert row["state"] == "done"
    for file in house.folder.rglob("*"):
        if file.is_file():
            data = file.read_bytes()
            assert key.reveal() not in data, file
            assert secret not in data, file
            assert secret.hex().encode() not in data.lower(), file


# ---- renewing


async def test_renewing_takes_the_label_and_the_clients_and_revokes_the_old_one(house: House):
    await signed_in(house)
    await ordered(house)
    old = identity(house, "KSeF")
    first, second = house.client(*BOTH), house.client(*BOTH)
    for client in (first, second):
        await house.authorise(client, old["id"])
    waiting = house.approved(first)
    await finish(house, certifying.renew(house.office, house.admin, "KSeF"))
    new = identity(house, "KSeF")
    assert new["id"] != old["id"]
    for client in (own(house), first, second):
        row = house.auth(client)
        assert (row["identity_id"], row["state"], row["valid_until"]) == (new["id"], "active", new["valid_to"])
    ended = offices.identity(house.db, old["id"])
    assert ended["removed_at"] is not None
    assert ended["sealed_key"] == b""
    assert {c.serial: c.status for c in await held(house)}[new["serial"]] == "Active"
    assert {c.serial: c.status for c in await held(house)}[old["serial"]] in ("Blocked", "Revoked")
    await house.work()
    assert house.states(waiting) == ["accepted"]


async def test_invoices_on_the_wire_are_followed_through_a_renewal(house: House):
    await signed_in(house)
    await ordered(house)
    client = house.client(*BOTH)
    await house.authorise(client, identity(house, "KSeF")["id"])
    house.ministry.fault("stuck", match={})
    sent = house.approved(client)
    await house.work_until(lambda: house.states(sent) == ["processing"])
    await finish(house, certifying.renew(house.office, house.admin, "KSeF"))
    assert house.states(sent) == ["processing"]
    house.ministry.calm()
    await house.work()
    assert house.states(sent) == ["accepted"]
    assert house.invoice(sent[0])["upo"] == "saved"


async def test_the_old_one_lives_as_long_as_a_client_uses_it(house: House):
    await signed_in(house)
    await ordered(house)
    old = identity(house, "KSeF")
    client = house.client(*BOTH)
    await house.authorise(client, old["id"])
    made = certifying.renew(house.office, house.admin, "KSeF")
    await serve_until(
        house.office, own(house).id, lambda: certificates.get(house.db, made)["state"] == "done", patience=PATIENCE
    )
    await serve_until(house.office, own(house).id, lambda: not house.auth(own(house))["intent"], patience=PATIENCE)
    assert house.auth(client)["identity_id"] == old["id"]
    assert house.ministry.posts("POST /v2/certificates/{serial}/revoke") == 0
    await house.work()
    assert house.auth(client)["identity_id"] == identity(house, "KSeF")["id"]
    assert house.ministry.posts("POST /v2/certificates/{serial}/revoke") == 1


async def test_the_worker_renews_ahead_of_time_only_when_told(house: House):
    await signed_in(house)
    await ordered(house)
    old = identity(house, "KSeF")
    house.edit("UPDATE identity SET valid_to = strftime('%Y-%m-%dT%H:%M:%fZ', 'now', '+20 days')")
    assert [row["label"] for row in lineage.ending(house.office)] == ["KSeF"]
    await house.work()
    assert identity(house, "KSeF")["id"] == old["id"]
    house.edit("INSERT INTO setting VALUES ('renew_automatically', '1')")
    await house.work()
    assert identity(house, "KSeF")["id"] != old["id"]
    assert lineage.ending(house.office) == []
    await house.work()
    assert house.ministry.posts(ENROL) == 2


async def test_what_has_expired_does_not_renew_itself(house: House):
    house.identity()
    house.later(days=400)
    with pytest.raises(Problem) as caught:
        certifying.renew(house.office, house.admin, "pieczęć")
    assert caught.value.code == "certificate_expired"


# ---- revoking


async def revoked(house: House, label: str = "KSeF", reason: str = "KeyCompromise") -> None:
    made = certifying.revoke(house.office, house.admin, label, reason)
    await certifying.finish_revocation(house.office, made, patience=PATIENCE)


async def test_revoking_ends_every_login_and_its_clients_stand_with_a_sentence(house: House):
    await signed_in(house)
    await ordered(house)
    found = identity(house, "KSeF")
    client = house.client(*BOTH)
    await house.authorise(client, found["id"])
    refresh = house.office.sealer.open(
        house.auth(client)["sealed_refresh"], client=client.nip, kind="refresh_token", row=str(client.id)
    )
    thief = await Stranger(house.ministry, client.nip, seal(house.nip)).refresh_token()  # of the same subject
    await revoked(house)
    for one in (client, own(house)):
        row = house.auth(one)
        assert (row["state"], row["reason_code"]) == ("failed", "certificate_revoked")
        assert "KSeF odwołano" in row["reason"]
        assert row["sealed_refresh"] is None
    assert house.ministry.refreshes(refresh.reveal_text()) == 400
    assert house.ministry.refreshes(thief) == 400
    with pytest.raises(Problem) as caught:
        authorising.start_with_identity(house.office, house.admin, client.id, found["id"])
    assert caught.value.code == "unknown_identity"
    assert (await house.authorise(client, house.identity("zapasowa")))["state"] == "active"


async def test_a_revocation_with_a_lost_answer_is_done_once_more(house: House):
    await signed_in(house)
    await ordered(house)
    house.ministry.fault("lost_answer", times=1, match=REVOKING)
    await revoked(house, reason="Unspecified")
    assert house.db.value("SELECT state FROM revocation") == "done"


async def test_a_revocation_is_resumed_by_the_worker(house: House):
    await signed_in(house)
    await ordered(house)
    client = house.client(*BOTH)
    await house.authorise(client, identity(house, "KSeF")["id"])
    certifying.revoke(house.office, house.admin, "KSeF", "Superseded")
    await house.work()
    assert house.auth(client)["reason_code"] == "certificate_revoked"
    assert house.db.value("SELECT state FROM revocation") == "done"


async def test_what_ksef_did_not_issue_it_does_not_revoke(house: House):
    await at_home(house)
    with pytest.raises(Problem) as caught:
        await revoked(house, "pieczęć")
    assert caught.value.code == "not_by_ksef"
    assert house.auth(own(house))["state"] == "active"


async def test_an_offline_certificate_is_revoked_too(house: House):
    await at_home(house)
    await ordered(house, "kody", kind=certifying.OFFLINE)
    await revoked(house, "kody", "Unspecified")
    assert certificates.offline(house.db) == []
    assert next(iter(await held(house))).status in ("Blocked", "Revoked")
    assert house.auth(own(house))["state"] == "active"


async def test_an_accountant_revokes_only_a_certificate_of_their_own(house: House):
    await at_home(house)
    await ordered(house)
    zofia = house.operator("zofia", Role.ACCOUNTANT)
    with pytest.raises(Problem) as caught:
        certifying.revoke(house.office, zofia, "KSeF", "Unspecified")
    assert caught.value.code == "not_allowed"
    paper = person(new_pesel())
    identities.add(house.office, zofia, "Zofia", paper.certificate, paper.key, None)
    with pytest.raises(Problem) as caught:
        certifying.revoke(house.office, house.admin, "Zofia", "Unspecified")
    assert caught.value.code == "someone_elses"


async def test_a_revoked_certificate_does_not_log_in_and_the_client_is_told(house: House):
    """Somebody revoked it in the ministry's application: status 460."""
    await signed_in(house)
    await ordered(house)
    found = identity(house, "KSeF")
    async with certifying.own_turn(house.office, own(house).id, house.admin, patience=PATIENCE) as turn:
        await turn.api.revoke_certificate(await certifying.login.access_for(turn), found["serial"], "Unspecified")
    client = house.client(*BOTH)
    row = await house.authorise(client, found["id"])
    assert (row["state"], row["reason_code"]) == ("failed", "460")
    assert "odwołany" in row["reason"] or "zawieszony" in row["reason"]
