"""The client and the sandbox, which share no code, over HTTP: log in, send, follow, fetch the receipt, and what goes wrong."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from datetime import UTC, datetime, timedelta

import httpx
import msgspec
import pytest
from cryptography import x509
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding
from jsonschema import ValidationError
from ksef_helpers import PERSON, Journal, ec_key, rsa_key
from openapi_requests import DOCUMENT, CheckedTransport, Contract
from sandbox_office import (
    OFFICE,
    allow,
    enter,
    identity,
    invoice,
    judged,
    new_nip,
    open_session,
    owner_of,
    start,
    until,
)

from ksef_tui.domain.secret import Secret
from ksef_tui.ksef import api_certificates, certificates, claims, requests, xades
from ksef_tui.ksef.api import Access, KsefApi
from ksef_tui.ksef.crypto import encrypt_token, encryption_info, new_session_key, sha256_b64
from ksef_tui.ksef.errors import Limited, Refused, Unauthorized, Unknown
from ksef_tui.ksef.models import FA3, AuthStarted
from ksef_tui.ksef.numbers import parse_ksef_number
from ksef_tui.ksef.operations import OPERATIONS, Operation
from ksef_tui.ksef.public_keys import KEY_ENCRYPTION, TOKEN_ENCRYPTION, KeyRing
from ksef_tui.ksef.upo import UpoProblem, check_upo


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    command = [sys.executable, "-m", "ksef_tui.sandbox", "--port", "0", "--limits", "off", "--delay", "20"]
    folder = tmp_path_factory.mktemp("sandbox")
    with subprocess.Popen([*command, "--data-dir", str(folder)], stdout=subprocess.PIPE, text=True) as process:
        try:
            yield process.stdout.readline().strip()
        finally:
            process.terminate()
            process.wait(timeout=10)


@pytest.fixture
def switch(address: str) -> Iterator[Callable[..., None]]:
    """Switches a trouble on; all are off after the test."""

    def on(fault: str, path: str = "", **rest: object) -> None:
        httpx.post(
            f"{address}/_sandbox/faults", json={"fault": fault, "match": {"path": path}, **rest}
        ).raise_for_status()

    yield on
    httpx.delete(f"{address}/_sandbox/faults").raise_for_status()


@pytest.fixture
def journal() -> Journal:
    return Journal()


@pytest.fixture(scope="module")
def contract() -> Contract | None:
    return Contract() if DOCUMENT.exists() else None


@pytest.fixture
async def api(address: str, journal: Journal, contract: Contract | None) -> AsyncIterator[KsefApi]:
    """Our client; where the official document is at hand, nothing leaves that it does not allow."""
    transport = CheckedTransport(contract) if contract else None
    async with KsefApi(address, journal, read_timeout=5.0, transport=transport) as client:
        yield client


@pytest.fixture
def client(address: str) -> str:
    """A company that let the office in."""
    nip = new_nip()
    allow(address, nip, "Nip", OFFICE, "InvoiceRead", "InvoiceWrite")
    return nip


@pytest.fixture(scope="module")
def office() -> certificates.LoadedIdentity:
    return identity(ec_key())


@pytest.fixture
async def access(api: KsefApi, client: str, office: certificates.LoadedIdentity) -> Access:
    return await enter(api, client, await start(api, client, office))


class TestLoggingIn:
    @pytest.mark.parametrize("key", [rsa_key(), ec_key()], ids=["RSA", "EC"])
    @pytest.mark.parametrize("version", ["2.0", "2.1"])
    async def test_the_offices_seal_opens_the_clients_context(
        self, api: KsefApi, client: str, key, version: str
    ) -> None:
        started = await start(api, client, identity(key), version=version)
        assert started.reference_number.split("-")[1] == "AU"
        access = await enter(api, client, started)
        said = claims.read(access.token)
        assert (said.context_type, said.context_value) == ("Nip", client)
        assert (said.subject_type, said.subject_value) == ("Nip", OFFICE)
        assert {"InvoiceRead", "InvoiceWrite"} <= set(said.permissions)
        assert said.expires_at is not None and said.expires_at > datetime.now(UTC)

    async def test_an_employee_by_pesel(self, api: KsefApi, address: str) -> None:
        client = new_nip()
        allow(address, client, "Pesel", "90010112349", "InvoiceRead")
        access = await enter(api, client, await start(api, client, identity(rsa_key(), PERSON)))
        assert claims.read(access.token).permissions == ("InvoiceRead",)

    async def test_an_owner(self, api: KsefApi, office: certificates.LoadedIdentity) -> None:
        access = await enter(api, OFFICE, await start(api, OFFICE, office))
        assert "Owner" in claims.read(access.token).permissions

    async def test_nobody_let_us_in(self, api: KsefApi, office: certificates.LoadedIdentity) -> None:
        client = new_nip()
        started = await start(api, client, office)
        assert (await judged(api, client, started)).status.code == 415
        with pytest.raises(Refused) as caught:
            await api.redeem(client, started.authentication_token.token)
        assert caught.value.codes == (21301,)

    async def test_tokens_are_given_once(self, api: KsefApi, client: str, office: certificates.LoadedIdentity) -> None:
        started = await start(api, client, office)
        await enter(api, client, started)
        with pytest.raises(Refused) as caught:
            await api.redeem(client, started.authentication_token.token)
        assert caught.value.codes == (21301,)

    async def test_a_tampered_signature(self, api: KsefApi, client: str, office: certificates.LoadedIdentity) -> None:
        challenge = await api.challenge(client)
        document = xades.auth_request(challenge.challenge, new_nip())
        signed = xades.sign(document, office.certificate, office.key, signing_time=datetime.now(UTC))
        root, _, rest = signed.partition(b"<Nip>")
        with pytest.raises(Refused) as caught:
            await api.submit_signed(root + b"<Nip>" + client.encode() + rest[10:], client)
        assert caught.value.codes == (9105,)

    async def test_a_challenge_works_once(self, api: KsefApi, client: str, office: certificates.LoadedIdentity) -> None:
        challenge = await api.challenge(client)
        document = xades.auth_request(challenge.challenge, client)
        signed = xades.sign(document, office.certificate, office.key, signing_time=datetime.now(UTC))
        await api.submit_signed(signed, client)
        with pytest.raises(Refused) as caught:
            await api.submit_signed(signed, client)
        assert caught.value.codes == (21111,)

    async def test_a_ksef_token_of_the_client(self, api: KsefApi) -> None:
        client = new_nip()
        owner = await owner_of(api, client)
        made = await api.create_token(owner, ["InvoiceRead", "InvoiceWrite"], "praca biura")
        await until(lambda: api.token_status(owner, made.reference), lambda t: t.status == "Active")

        certificate = await KeyRing(api, verified=False).get(TOKEN_ENCRYPTION)

        async def by_token(token: Secret, context: str) -> AuthStarted:
            challenge = await api.challenge(context)
            sealed = encrypt_token(token, challenge.timestamp_ms, certificate)
            return await api.submit_token(context, challenge, sealed, certificate.public_key_id)

        access = await enter(api, client, await by_token(made.token, client))
        assert set(claims.read(access.token).permissions) == {"InvoiceRead", "InvoiceWrite"}
        other = new_nip()
        assert (await judged(api, other, await by_token(made.token, other))).status.code == 450
        assert (await judged(api, client, await by_token(Secret("zmyślony|nip-1|00"), client))).status.code == 450

    async def test_refreshing_and_logging_out(
        self, api: KsefApi, client: str, office: certificates.LoadedIdentity
    ) -> None:
        started = await start(api, client, office)
        assert (await judged(api, client, started)).status.code == 200
        pair = await api.redeem(client, started.authentication_token.token)
        fresh = await api.refresh(client, pair.refresh_token.token)
        logins = await api.auth_sessions(Access(client, fresh.token))
        assert started.reference_number in [login.reference_number for login in logins]
        await api.end_auth_session(client, pair.refresh_token.token)
        with pytest.raises(Refused) as caught:
            await api.refresh(client, pair.refresh_token.token)
        assert not isinstance(caught.value, Limited) and caught.value.codes == (21301,)

    async def test_a_token_that_is_none(self, api: KsefApi, client: str) -> None:
        with pytest.raises(Unauthorized):
            await api.rate_limits(Access(client, Secret("eyJ.eyJ.x")))


class TestSending:
    async def test_from_bytes_to_receipt(self, api: KsefApi, access: Access, client: str) -> None:
        session = await open_session(api, access)
        assert (await api.session_status(access, session.reference)).status.code == 100
        data = invoice(client)
        reference = await session.send(data)
        assert (session.reference.split("-")[1], reference.split("-")[1]) == ("SO", "EE")
        result = await session.result(reference)
        assert (result.status.code, result.invoice_hash) == (200, sha256_b64(data))
        assert parse_ksef_number(result.ksef_number) is not None and result.ksef_number.startswith(client)

        for file in (
            await api.invoice_upo(access, session.reference, reference),
            await api.upo_by_ksef_number(access, session.reference, result.ksef_number),
            await api.fetch_url(result.upo_download_url),
        ):
            upo = check_upo(file.body, file.meta_hash, result.ksef_number, sha256_b64(data))
            assert upo.session == session.reference and upo.seller_nip == client

        stored = await until(
            lambda: api.invoice_status(access, session.reference, reference), lambda i: bool(i.permanent_storage_date)
        )
        original = await api.invoice(access, result.ksef_number)
        assert original.body == data and original.meta_hash == sha256_b64(data)
        since = stored.invoicing_date - timedelta(hours=1)
        rows = await api.query_metadata(access, subject="Subject1", date_type="Invoicing", since=since)
        assert [(r.ksef_number, r.invoice_hash) for r in rows] == [(result.ksef_number, sha256_b64(data))]

        await api.close_online(access, session.reference)
        await api.close_online(access, session.reference)
        ended = await until(lambda: api.session_status(access, session.reference), lambda s: s.status.code >= 200)
        assert (ended.status.code, ended.successful_invoice_count, ended.failed_invoice_count) == (200, 1, 0)
        assert session.reference in [s.reference_number for s in await api.sessions(access, "Online", since)]

    async def test_the_list_of_a_session_matches_by_hash(self, api: KsefApi, access: Access, client: str) -> None:
        session = await open_session(api, access)
        sent = {sha256_b64(data): await session.send(data) for data in (invoice(client) for _ in range(12))}
        listed = await api.session_invoices(access, session.reference)
        assert {i.invoice_hash: i.reference_number for i in listed} == sent
        assert sorted(i.ordinal_number for i in listed) == list(range(1, 13))

    @pytest.mark.parametrize(
        ("spoil", "code"),
        [
            (lambda client: invoice(client).replace(b"<P_15>246</P_15>", b"<P_15>246,00</P_15>"), 450),
            (lambda client: invoice(new_nip()), 410),
            (lambda client: b"\xef\xbb\xbf" + invoice(client), 430),
        ],
    )
    async def test_what_ksef_refuses(self, api: KsefApi, access: Access, client: str, spoil, code: int) -> None:
        session = await open_session(api, access)
        result = await session.result(await session.send(spoil(client)))
        assert (result.status.code, result.ksef_number) == (code, "")
        with pytest.raises(Refused) as caught:
            await api.invoice_upo(access, session.reference, result.reference_number)
        assert caught.value.codes == (21178,)

    async def test_a_duplicate_names_its_original(self, api: KsefApi, access: Access, client: str) -> None:
        session = await open_session(api, access)
        first = await session.result(await session.send(invoice(client, "FV/A/1")))
        second = await session.result(await session.send(invoice(client, "FV/A/1", body="Coś innego")))
        assert second.status.code == 440
        assert second.status.original_ksef_number == first.ksef_number
        assert second.status.original_session == session.reference

    async def test_a_key_that_was_withdrawn(self, api: KsefApi, access: Access, client: str, switch) -> None:
        ring = KeyRing(api, verified=False)
        old = await ring.get(KEY_ENCRYPTION)
        switch("key_rotation")
        key = new_session_key()
        with pytest.raises(Refused) as caught:
            await api.open_online(access, FA3, encryption_info(key, old))
        assert caught.value.codes == (21470,)
        ring.forget()
        new = await ring.get(KEY_ENCRYPTION)
        assert new.public_key_id != old.public_key_id
        opened = await api.open_online(access, FA3, encryption_info(key, new))
        assert (await api.session_status(access, opened.reference_number)).status.code == 100

    async def test_reading_is_not_enough_for_sending(self, api: KsefApi, address: str, office) -> None:
        client = new_nip()
        allow(address, client, "Nip", OFFICE, "InvoiceRead")
        access = await enter(api, client, await start(api, client, office))
        with pytest.raises(Refused) as caught:
            await open_session(api, access)
        assert caught.value.reason_code == "missing-permissions"
        assert "InvoiceWrite" in caught.value.required and caught.value.present == ("InvoiceRead",)


class TestTroubles:
    async def test_a_lost_answer_is_unknown_and_the_invoice_is_found_by_its_hash(
        self, api: KsefApi, access: Access, client: str, journal: Journal, switch
    ) -> None:
        session = await open_session(api, access)
        data = invoice(client)
        switch("lost_answer", r"/invoices$", times=1)
        with pytest.raises(Unknown) as caught:
            await session.send(data)
        assert caught.value.cause in ("broken", "timeout")
        assert (journal.last.kind, journal.calls[-1].operation) == ("unknown", "session.send")
        (found,) = await api.session_invoices(access, session.reference)
        assert found.invoice_hash == sha256_b64(data)

    @pytest.mark.parametrize(("fault", "cause"), [("html_5xx", "html"), ("waf_403", "forbidden")])
    async def test_gateways_are_weather(self, api: KsefApi, access: Access, switch, fault: str, cause: str) -> None:
        switch(fault, "/v2/rate-limits", times=1)
        with pytest.raises(Unknown) as caught:
            await api.rate_limits(access)
        assert caught.value.cause == cause
        assert (await api.rate_limits(access))["onlineSession"].per_second != 0

    async def test_a_limit_says_when(self, api: KsefApi, access: Access, switch) -> None:
        switch("rate_limited", "/v2/rate-limits", times=1)
        with pytest.raises(Limited) as caught:
            await api.rate_limits(access)
        assert caught.value.retry_after >= 1

    async def test_a_receipt_that_is_a_web_page(self, api: KsefApi, access: Access, client: str, switch) -> None:
        session = await open_session(api, access)
        data = invoice(client)
        result = await session.result(await session.send(data))
        switch("upo_html", times=1)
        with pytest.raises(Unknown) as caught:
            await api.invoice_upo(access, session.reference, result.reference_number)
        assert caught.value.cause == "html"
        file = await api.invoice_upo(access, session.reference, result.reference_number)
        with pytest.raises(UpoProblem, match="innej faktury"):
            check_upo(file.body, file.meta_hash, result.ksef_number, sha256_b64(b"inna"))

    async def test_a_session_that_is_out_of_service(self, api: KsefApi, access: Access, client: str, switch) -> None:
        session = await open_session(api, access)
        switch("session_unavailable", times=1)
        with pytest.raises(Refused) as caught:
            await session.send(invoice(client))
        assert caught.value.codes == (21184,)


class TestRights:
    async def test_a_grant_on_the_spot_and_taken_back(self, api: KsefApi, office) -> None:
        client = new_nip()
        owner = await owner_of(api, client)
        rights = [("InvoiceRead", True), ("InvoiceWrite", True)]
        operation = await api.grant_entity(owner, OFFICE, "Biuro Rachunkowe Dąb", rights, "obsługa księgowa")
        done = await until(lambda: api.operation_status(owner, operation), lambda o: o.status.code != 100)
        assert done.status.code == 200

        access = await enter(api, client, await start(api, client, office))
        mine = await api.personal_grants(access)
        assert {(g.permission_scope, g.can_delegate) for g in mine} == set(rights)
        ours = await enter(api, OFFICE, await start(api, OFFICE, office))
        received = [g for g in await api.entity_grants(ours) if g.context_identifier.value == client]
        assert {g.permission_scope for g in received} == {"InvoiceRead", "InvoiceWrite"}

        given = await api.persons_grants(owner, "PermissionsGrantedInCurrentContext")
        assert {g.authorized_identifier.value for g in given} == {OFFICE}
        for grant in given:
            taken = await api.revoke_grant(owner, grant.id)
            await until(lambda taken=taken: api.operation_status(owner, taken), lambda o: o.status.code == 200)
        assert (await judged(api, client, await start(api, client, office))).status.code == 415

    async def test_limits_of_the_context(self, api: KsefApi, access: Access) -> None:
        sizes = await api.context_limits(access)
        assert (sizes.online_session.max_invoices, sizes.online_session.max_invoice_size_in_mb) == (10_000, 1)
        owner = await owner_of(api, new_nip())
        assert await api.attachments_allowed(owner) is False
        assert {"onlineSession", "invoiceSend", "sessionMisc", "other"} <= set(await api.rate_limits(access))


class TestCertificates:
    async def test_from_the_limits_to_the_revocation(self, api: KsefApi) -> None:
        owner = await owner_of(api, new_nip())
        assert (await api.certificate_limits(owner)).enrollment.remaining == 300
        key, request = requests.new_request(requests.subject_name(await api.enrolment_data(owner)))
        reference = await api.enrol(owner, "Biuro próbne", api_certificates.AUTHENTICATION, request)
        status = await until(lambda: api.enrolment_status(owner, reference), lambda s: s.status.code != 100)
        serial = status.certificate_serial_number
        collected = await api.collect_certificate(owner, serial)
        assert collected is not None
        assert requests.fits(collected.der, request) == ""
        assert certificates.prove(collected.der, key)
        [listed] = await api.certificates(owner, "próbne")
        assert (listed.certificate_serial_number, listed.status) == (serial, api_certificates.ACTIVE)
        assert await api.certificates(owner, "inne") == []
        await api.revoke_certificate(owner, serial, "Superseded")
        with pytest.raises(Refused) as caught:
            await api.revoke_certificate(owner, serial, "Superseded")
        assert caught.value.codes == (25009,)
        assert await api.collect_certificate(owner, "01" + "0" * 14) is None

    async def test_another_subject_or_key_does_not_fit(self, api: KsefApi) -> None:
        data = await api.enrolment_data(await owner_of(api, new_nip()))
        subject = requests.subject_name(data)
        other = requests.subject_name(msgspec.structs.replace(data, common_name="Ktoś inny"))
        _, request = requests.new_request(subject)
        key, foreign = requests.new_request(subject)
        assert requests.fits(issued(subject, key), request) == "key"
        assert requests.fits(issued(other, key), foreign) == "subject"
        assert requests.fits(issued(subject, key), foreign) == ""
        assert requests.fits(b"nie certyfikat", foreign) == "unreadable"


def issued(subject: x509.Name, key: Secret) -> bytes:
    """A certificate for this key with this subject."""
    own, now = certificates.key_from_bytes(key), datetime.now(UTC)
    builder = x509.CertificateBuilder().subject_name(subject).issuer_name(subject).public_key(own.public_key())
    builder = builder.serial_number(1).not_valid_before(now).not_valid_after(now + timedelta(days=1))
    return builder.sign(own, SHA256()).public_bytes(Encoding.DER)


@pytest.mark.skipif(not DOCUMENT.exists(), reason="the official OpenAPI document is not beside this tree")
@pytest.mark.parametrize("operation", [o for o in OPERATIONS.values() if o.path], ids=lambda o: o.code)
def test_every_call_we_can_make_is_in_the_document(contract: Contract, operation: Operation) -> None:
    assert contract.knows(operation.method, operation.path)


@pytest.mark.skipif(not DOCUMENT.exists(), reason="the official OpenAPI document is not beside this tree")
@pytest.mark.parametrize(
    "request_",
    [
        httpx.Request(
            "POST", "http://x/v2/tokens", json={"permissions": ["InvoiceRead"], "description": "abcde", "x": 1}
        ),
        httpx.Request("POST", "http://x/v2/tokens", json={"permissions": ["Zmyślone"], "description": "abcde"}),
        httpx.Request("GET", "http://x/v2/sessions"),
        httpx.Request("GET", "http://x/v2/sessions?sessionType=Online&pageSize=5000"),
        httpx.Request("GET", "http://x/v2/rate-limits?x=1"),
        httpx.Request("POST", "http://x/v2/auth/challenge", json={}),
        httpx.Request("GET", "http://x/v2/nie-ma"),
    ],
)
def test_what_the_document_does_not_allow_does_not_leave(contract: Contract, request_: httpx.Request) -> None:
    with pytest.raises((AssertionError, ValidationError)):
        contract.check(request_)
