"""A login that somebody signs elsewhere: the request, ten minutes, the signed file, and what becomes of it (design §7)."""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime

import httpx
import pytest
from support import papers
from support.companies import Paper, new_pesel, person, seal, signed
from support.houses import BOTH, Client, House
from support.ministry import PATIENCE, REFRESH, SIGNED_LOGIN

from ksef_tui.domain.problems import Problem
from ksef_tui.services import authorising, client_views, contract, external
from ksef_tui.services.own_work import carry_out

PAST = "2026-01-01T00:00:00.000Z"


async def asked(house: House, client: Client) -> bytes:
    """The document that waits for a signature."""
    authorising.start_external(house.office, house.admin, client.id)
    await house.carry_out(client)
    assert house.auth(client)["state"] == "to_sign", dict(house.auth(client))
    return external.request(house.office, house.admin, client.id).document


async def signed_in(house: House, client: Client, paper: Paper | None = None) -> None:
    """A login by the owner's seal, or by whoever has `paper`."""
    document = signed(await asked(house, client), paper or seal(client.nip))
    authorising.submit(house.office, house.admin, client.id, document)
    await house.carry_out(client)


def refused(house: House, client: Client, document: bytes) -> str:
    """The code of the refusal, after which nothing has changed and nothing has left."""
    before = dict(house.auth(client))
    with pytest.raises(Problem) as caught:
        authorising.submit(house.office, house.admin, client.id, document)
    assert dict(house.auth(client)) == before
    assert house.ministry.posts(SIGNED_LOGIN) == 0
    return caught.value.code


def shown(house: House, client: Client) -> tuple[str, str]:
    view = client_views.authorization(house.office, house.admin, client.id)
    return view.word, view.sentence


async def test_an_owner_signs_elsewhere_and_the_office_works(house: House):
    client = house.client()
    await signed_in(house, client)
    row = house.auth(client)
    assert (row["state"], row["method"], row["identity_id"], row["intent"]) == ("active", "external", None, "")
    assert "Owner" in json.loads(row["rights"])
    assert row["valid_until"] == row["refresh_until"], "it works as long as it can be refreshed"
    assert house.db.value("SELECT count(*) FROM signature_request") == 0
    ids = house.approved(client)
    await house.work()
    assert house.states(ids) == ["accepted"]
    acts = [e["act"] for e in house.db.rows("SELECT act FROM authorization_event ORDER BY id")]
    assert acts == ["start", "export", "submit", "finish"]
    said = {row["act"] for row in house.db.rows("SELECT act FROM audit WHERE client_id = ?", (client.id,))}
    assert said >= {"auth.start", "auth.export", "auth.submit", "auth.finish"}


async def test_the_first_certificate_of_an_office_begins_with_its_seal_at_home(house: House):
    own = house.db.row("SELECT id, nip FROM client WHERE office = 1")
    await signed_in(house, Client(own["id"], own["nip"]), seal(own["nip"]))
    assert house.auth(Client(own["id"], own["nip"]))["state"] == "active"


async def test_a_person_with_rights_may_sign(house: House):
    client, pesel = house.client(), new_pesel()
    house.ministry.grant(client.nip, pesel, *BOTH, kind="Pesel")
    await signed_in(house, client, person(pesel))
    assert (house.auth(client)["state"], house.auth(client)["subject"]) == ("active", f"Pesel:{pesel}")


async def test_who_has_no_rights_signs_in_vain_and_the_sentence_says_who(house: House):
    client = house.client()
    await signed_in(house, client, person(new_pesel()))
    row = house.auth(client)
    assert (row["state"], row["reason_code"], row["intent"]) == ("no_permission", "415", "")
    assert "która podpisała" in row["reason"]


async def test_the_file_that_ksef_gets_is_the_file_that_was_brought(house: House):
    """F53: other whitespace, other quotes, other prefixes – not a byte of it is ours to change."""
    seen: list[bytes] = []

    class Watch(httpx.AsyncHTTPTransport):
        async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
            if request.url.path.endswith("/auth/xades-signature"):
                seen.append(request.content)
            return await super().handle_async_request(request)

    house.office.transport = Watch()
    client = house.client()
    document = signed(await asked(house, client), seal(client.nip)).replace(b"encoding='utf-8'", b'encoding="UTF-8" ')
    authorising.submit(house.office, house.admin, client.id, document + b"\n<!-- koniec -->\n")
    await house.carry_out(client)
    assert seen == [document + b"\n<!-- koniec -->\n"]
    assert house.auth(client)["state"] == "active"


# What is wrong with the file, how it is made of a good one, and the code.
WRONG = {
    "empty": (lambda good, paper: b"", "empty_file"),
    "not xml": (lambda good, paper: b"%PDF-1.7", "not_xml"),
    "cut off": (lambda good, paper: good[:-30], "not_xml"),
    "with a DOCTYPE": (lambda good, paper: good.replace(b"?>", b'?><!DOCTYPE a [<!ENTITY b "c">]>', 1), "not_xml"),
    "a BOM": (lambda good, paper: b"\xef\xbb\xbf" + good, "bad_encoding"),
    "saved as UTF-16": (lambda good, paper: good.decode().encode("utf-16"), "bad_encoding"),
    "saved in a Polish code page": (
        lambda good, paper: good.replace(b"</Challenge>", "</Challenge><!--ł-->".encode("cp1250")), "bad_encoding",
    ),
    "declared in another encoding": (lambda good, paper: good.replace(b"utf-8", b"windows-1250"), "bad_encoding"),
    "another document": (lambda good, paper: signed(b"<Faktura/>", paper), "other_document"),
    "another version": (lambda good, paper: good.replace(b"token/2.1", b"token/1.0"), "other_document"),
    "twice signed": (lambda good, paper: signed_twice(good, paper), "signed_twice"),
    "another challenge": (lambda good, paper: good.replace(b"-CR-", b"-CR-0", 1), "other_request"),
    "another company": (lambda good, paper: good.replace(b"<Nip>", b"<Nip>9"), "other_client"),
    "too big": (lambda good, paper: good + b" " * 1_000_000, "bad_file"),
}  # fmt: skip


def signed_twice(good: bytes, paper: Paper) -> bytes:
    start = good.index(b"<ds:Signature ")
    end = good.index(b"</ds:Signature>") + len(b"</ds:Signature>")
    return good[:end] + good[start:end] + good[end:]


@pytest.mark.parametrize("wrong", WRONG)
async def test_a_file_that_ksef_would_refuse_is_refused_here_with_one_sentence(house: House, wrong: str):
    spoil, code = WRONG[wrong]
    client = house.client()
    paper = seal(client.nip)
    assert refused(house, client, spoil(signed(await asked(house, client), paper), paper)) == code


async def test_the_request_itself_is_not_the_signed_file(house: House):
    client = house.client()
    assert refused(house, client, await asked(house, client)) == "not_signed"


async def test_a_signature_round_the_request_is_allowed(house: House):
    """Facts §4.2: enveloped or enveloping."""
    from ksef_tui.ksef import signed_request

    client = house.client()
    document = await asked(house, client)
    inside = document.split(b"?>", 1)[1]
    wrapped = b'<Signature xmlns="http://www.w3.org/2000/09/xmldsig#"><Object>' + inside + b"</Object></Signature>"
    challenge = house.db.value("SELECT challenge FROM signature_request")
    assert signed_request.check(wrapped, challenge=challenge, nip=client.nip) == ""
    hidden = b'<Signature xmlns="http://www.w3.org/2000/09/xmldsig#"><Object>UERG</Object></Signature>'
    with pytest.raises(Problem) as caught:
        signed_request.check(hidden, challenge=challenge, nip=client.nip)
    assert caught.value.code == "detached"


async def test_ten_minutes_are_counted_down_and_then_a_new_request_is_made(house: House):
    client = house.client()
    paper = seal(client.nip)
    first = await asked(house, client)
    house.later(seconds=25)
    word, sentence = shown(house, client)
    assert word.startswith("do podpisu 9:3"), word
    assert "Podpis Zaufany" in sentence
    house.later(minutes=10)
    word, sentence = shown(house, client)
    assert word == "do podpisu – nowe żądanie"
    assert "straciło ważność" in sentence
    assert refused(house, client, signed(first, paper)) == "challenge_expired"
    second = await asked(house, client)
    assert second != first
    assert refused(house, client, signed(first, paper)) == "other_request"
    authorising.submit(house.office, house.admin, client.id, signed(second, paper))
    await house.carry_out(client)
    assert house.auth(client)["state"] == "active"


async def test_a_client_whose_login_works_stands_no_longer_than_the_ten_minutes(house: House):
    client = await house.ready_client()
    await asked(house, client)
    ids = house.approved(client)
    await house.work()
    assert (house.states(ids), house.auth(client)["state"]) == (["approved"], "to_sign")
    house.later(minutes=10, seconds=1)
    await house.work_until(lambda: house.states(ids) == ["accepted"])
    row = house.auth(client)
    assert (row["state"], row["method"], row["reason_code"]) == ("active", "certificate", "not_signed")
    assert "działa poprzednia" in shown(house, client)[1]
    assert house.db.value("SELECT count(*) FROM signature_request") == 0


async def test_the_request_outlives_the_program_and_another_process_goes_on(house: House):
    from ksef_tui.compose import open_office
    from ksef_tui.services.office import operator_named

    client = house.client()
    document = await asked(house, client)
    other = open_office(house.folder)
    try:
        operator = operator_named(other, "kierownik")
        again = external.request(other, operator, client.id)
        assert again.document == document
        assert client_views.client_rows(other, operator, [client.id])[client.id].word.startswith("do podpisu 9:")
        authorising.submit(other, operator, client.id, signed(again.document, seal(client.nip)))
    finally:
        other.close()
    await house.work()  # whoever holds the lease next
    assert house.auth(client)["state"] == "active"


async def test_a_signed_file_is_kept_sealed_and_then_forgotten(house: House):
    client = house.client()
    document = signed(await asked(house, client), seal(client.nip))
    authorising.submit(house.office, house.admin, client.id, document)
    kept = house.db.value("SELECT sealed_signed FROM signature_request")
    assert kept is not None
    assert client.nip.encode() not in kept
    await house.carry_out(client)
    assert house.db.value("SELECT count(*) FROM signature_request") == 0


async def test_without_a_connection_the_signature_waits(house: House):
    """It has not left, so it is still good: nobody has to sign again."""
    client = house.client()
    document = signed(await asked(house, client), seal(client.nip))
    authorising.submit(house.office, house.admin, client.id, document)
    house.office.transport = httpx.MockTransport(nobody_listens)
    with pytest.raises(Problem) as caught:
        await carry_out(house.office, client.id, patience=0.3)
    assert caught.value.code == "timeout"
    assert (house.auth(client)["state"], house.auth(client)["intent"]) == ("running", "login")
    house.office.transport = None
    await house.work()
    assert house.auth(client)["state"] == "active"


def nobody_listens(request: httpx.Request) -> httpx.Response:
    raise httpx.ConnectError("nobody listens")


async def test_a_lost_answer_to_the_signed_file_is_never_tried_again(house: House):
    """F9: a challenge is good once; only a new signature helps, and the sentence says so."""
    client = house.client()
    house.ministry.fault("lost_answer", times=1, match={"path": "^/v2/auth/xades"})
    await signed_in(house, client)
    row = house.auth(client)
    assert (row["state"], row["reason_code"], row["intent"]) == ("failed", "unreachable", "")
    assert house.ministry.posts(SIGNED_LOGIN) == 1


async def test_a_program_that_died_while_handing_in_does_not_hand_in_twice(house: House):
    client = house.client()
    authorising.submit(house.office, house.admin, client.id, signed(await asked(house, client), seal(client.nip)))
    house.edit("UPDATE signature_request SET submitted_at = ?", PAST)
    await house.carry_out(client)
    assert house.auth(client)["state"] == "failed"
    assert "podpisz nowe" in house.auth(client)["reason"]
    assert house.ministry.posts(SIGNED_LOGIN) == 0


async def test_a_judgement_that_takes_long_is_waited_for_across_a_restart(house: House):
    """Qualified certificates wait for OCSP for minutes; the reference is kept, the signature is not needed again."""
    client = house.client()
    house.ministry.fault(
        "slow", times=1, match={"method": "POST", "path": "/v2/auth/xades-signature"}, params={"ms": 1500}
    )
    authorising.submit(house.office, house.admin, client.id, signed(await asked(house, client), seal(client.nip)))
    await house.work_until(lambda: house.db.value("SELECT reference FROM signature_request"))
    row = house.db.row("SELECT * FROM signature_request")
    assert row["sealed_signed"] is None
    assert (house.auth(client)["state"], house.auth(client)["step"]) == ("running", "verify")
    house.ministry.fault("outage", times=1, match={"method": "GET", "path": "^/v2/auth/"})
    await house.work()
    assert house.auth(client)["state"] == "active"
    assert house.ministry.posts(SIGNED_LOGIN) == 1


async def test_a_request_of_one_client_never_serves_another(house: House):
    one, two = house.client(), house.client()
    document = signed(await asked(house, one), seal(one.nip))
    await asked(house, two)
    assert refused(house, two, document) in ("other_request", "other_client")
    authorising.submit(house.office, house.admin, one.id, document)
    house.edit(
        "UPDATE signature_request SET (challenge, sealed_signed) = "
        "(SELECT challenge, sealed_signed FROM signature_request WHERE client_id = ?) WHERE client_id = ?", one.id, two.id,
    )  # fmt: skip
    house.edit("UPDATE authorization SET state = 'running', intent = 'login' WHERE client_id = ?", two.id)
    await house.carry_out(two)
    assert (house.auth(two)["state"], house.auth(two)["reason_code"]) == ("failed", "no_signature")
    assert house.ministry.posts(SIGNED_LOGIN) == 0


async def test_cancelling_forgets_the_request(house: House):
    client = house.client()
    document = signed(await asked(house, client), seal(client.nip))
    authorising.cancel(house.office, house.admin, client.id)
    assert house.auth(client)["state"] == "missing"
    assert refused(house, client, document) == "nothing_to_sign"
    with pytest.raises(Problem):
        external.request(house.office, house.admin, client.id)


async def test_what_worked_before_works_again_after_a_cancel_a_refusal_or_a_second_request(house: House):
    client = await house.ready_client()
    before = house.auth(client)
    await asked(house, client)
    await asked(house, client)
    authorising.cancel(house.office, house.admin, client.id)
    await signed_in(house, client, person(new_pesel()))
    after = house.auth(client)
    for column in ("state", "method", "identity_id", "rights", "valid_until", "subject", "sealed_refresh"):
        assert after[column] == before[column], column
    assert after["reason_code"] == "415"
    assert "działa poprzednia" in shown(house, client)[1]
    ids = house.approved(client)
    await house.work()
    assert house.states(ids) == ["accepted"]


async def test_a_login_that_works_is_replaced_only_by_one_that_works(house: House):
    client = await house.ready_client()
    await signed_in(house, client)
    assert (house.auth(client)["state"], house.auth(client)["method"]) == ("active", "external")
    assert [call["kind"] for call in house.calls("auth.end_current", "ended")] == ["ok"], (
        "the old login has ended (F32)"
    )


async def test_it_warns_a_day_before_its_end_and_then_stands(house: House):
    client = house.client()
    await signed_in(house, client)
    seen = []
    for days in (0, 5, 1.5, 1):  # a refresh token lives seven days
        house.later(days=days)
        seen.append(contract.authorization(house.office, house.admin, client.nip)["status"])
    assert seen == ["active", "active", "expiring", "expired"]
    word, sentence = shown(house, client)
    assert word == "sesja wygasła"
    assert "stoją" in sentence


async def test_the_hour_of_the_end_is_on_the_badge(house: House):
    client = house.client()
    await signed_in(house, client)
    house.edit("UPDATE authorization SET valid_until = ?", "2099-01-01T16:40:00.000Z")
    house.office.clock = lambda: datetime(2099, 1, 1, 8, tzinfo=UTC)
    assert shown(house, client)[0] == "sesja do 17:40"


@pytest.mark.parametrize("how", ["sending", "a check"])
async def test_a_login_that_cannot_be_refreshed_is_over_and_says_so(house: House, how: str):
    """F25: revoked at KSeF. Nobody but a person can sign again."""
    client = house.client()
    await signed_in(house, client)
    house.edit("UPDATE authorization SET access_until = ?", PAST)
    house.ministry.fault("auth_revoked", times=1)
    ids = house.approved(client)
    if how == "a check":
        authorising.check(house.office, house.admin, client.id)
        await house.carry_out(client)
    else:
        async with asyncio.timeout(PATIENCE):
            await house.work()
    row = house.auth(client)
    assert (row["state"], row["reason_code"], row["sealed_refresh"]) == ("expired", "sign_again", None)
    assert house.states(ids) == ["approved"]
    with pytest.raises(Problem) as caught:
        authorising.check(house.office, house.admin, client.id)
    assert caught.value.code == "sign_again"
    assert contract.authorised_ids(house.office, house.admin) == []
    await signed_in(house, client)
    await house.work()
    assert house.states(ids) == ["accepted"]


async def test_a_check_reads_the_rights_of_now_and_keeps_the_login(house: House):
    client, pesel = house.client(), new_pesel()
    house.ministry.grant(client.nip, pesel, "InvoiceRead", kind="Pesel")
    await signed_in(house, client, person(pesel))
    before = house.auth(client)
    assert before["state"] == "read_only"
    house.ministry.grant(client.nip, pesel, "InvoiceWrite", kind="Pesel")
    authorising.check(house.office, house.admin, client.id)
    await house.carry_out(client)
    row = house.auth(client)
    assert (row["state"], json.loads(row["rights"])) == ("active", ["InvoiceRead", "InvoiceWrite"])
    assert (row["sealed_refresh"], row["valid_until"]) == (before["sealed_refresh"], before["valid_until"])
    assert (house.ministry.posts(SIGNED_LOGIN), house.ministry.posts(REFRESH)) == (1, 1)


async def test_while_invoices_are_under_way_only_the_same_signer_or_the_owner_signs_again(house: House):
    """F23: only who opened a session may read its results, or the owner."""
    client, pesel = house.client(), new_pesel()
    for known in (pesel, other := new_pesel()):
        house.ministry.grant(client.nip, known, *BOTH, kind="Pesel")
    await signed_in(house, client, person(pesel))
    house.approved(client, papers.invoice(client.nip))
    house.ministry.fault("stuck")
    await house.work_until(lambda: house.states([1]) == ["processing"])
    document = await asked(house, client)
    with pytest.raises(Problem) as caught:
        authorising.submit(house.office, house.admin, client.id, signed(document, person(other)))
    assert caught.value.code == "on_the_wire"
    authorising.submit(house.office, house.admin, client.id, signed(document, seal(client.nip)))
    house.ministry.calm()
    await house.work()
    assert house.states([1]) == ["accepted"]


async def test_weather_while_asking_for_a_challenge_is_told(house: House):
    client = house.client()
    house.ministry.fault("outage", match={"path": "^/v2/auth"})
    authorising.start_external(house.office, house.admin, client.id)
    await house.carry_out(client)
    row = house.auth(client)
    assert (row["state"], row["reason_code"], row["step"]) == ("failed", "unreachable", "request")


async def test_revoking_it_ends_the_login_at_ksef(house: House):
    client = house.client()
    await signed_in(house, client)
    authorising.revoke(house.office, house.admin, client.id)
    await house.carry_out(client)
    assert (house.auth(client)["state"], house.auth(client)["sealed_refresh"]) == ("missing", None)
    assert [call["kind"] for call in house.calls("auth.end_current", "ended")] == ["ok"]


def test_a_check_of_what_waits_for_a_signature_is_refused(house: House):
    client = house.client()
    asyncio.run(asked(house, client))
    with pytest.raises(Problem) as caught:
        authorising.check(house.office, house.admin, client.id)
    assert caught.value.code == "to_sign"
