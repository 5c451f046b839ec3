"""What our calls put on the wire, and what they make of the answers."""

import base64
import json
from datetime import UTC, date, datetime
from decimal import Decimal

import httpx
import pytest
from ksef_helpers import CLIENT_NIP, NOW, OFFICE_NIP, Journal

from ksef_tui.domain.secret import Secret
from ksef_tui.ksef import operations
from ksef_tui.ksef.api import Access, KsefApi
from ksef_tui.ksef.crypto import SessionKey, encrypt_invoice
from ksef_tui.ksef.errors import NotReachable, Refused, Unknown
from ksef_tui.ksef.limits import PRODUCTION_LIMITS, RateLimit
from ksef_tui.ksef.models import FA3, Challenge, EncryptionInfo, GrantedPerson, decode, encode

ACCESS = Access(CLIENT_NIP, Secret("access-token-tajny"))
SESSION = "20260101-SO-0000000000-0000000000-00"
INVOICE = "20260101-EE-0000000000-0000000000-00"
NUMBER = "5265877635-20250826-0100001AF629-AF"
TOKEN = {"token": "jwt-tajny", "validUntil": "2026-11-24T09:15:00.1234567+00:00"}


class Server:
    """Answers from a list, and remembers what it was asked."""

    def __init__(self, *answers: object, status: int = 200) -> None:
        self.answers = [a if isinstance(a, httpx.Response) else httpx.Response(status, json=a) for a in answers]
        self.requests: list[httpx.Request] = []
        self.journal = Journal()

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        return self.answers.pop(0)

    def api(self, address: str = "http://127.0.0.1:1") -> KsefApi:
        return KsefApi(address, self.journal, transport=httpx.MockTransport(self))

    @property
    def request(self) -> httpx.Request:
        assert len(self.requests) == 1
        return self.requests[0]

    @property
    def sent(self) -> object:
        return json.loads(self.request.content)


@pytest.mark.parametrize("address", ["https://ksef.example", "https://ksef.example/", "https://ksef.example/v2"])
async def test_the_address_may_come_with_or_without_v2(address: str) -> None:
    server = Server({"status": {"code": 100}})
    await server.api(address).session_status(ACCESS, SESSION)
    assert str(server.request.url) == f"https://ksef.example/v2/sessions/{SESSION}"


async def test_what_every_request_carries() -> None:
    server = Server({"status": {"code": 100}})
    await server.api().session_status(ACCESS, SESSION)
    headers = server.request.headers
    assert headers["authorization"] == "Bearer access-token-tajny"
    assert headers["x-error-format"] == "problem-details"
    assert headers["user-agent"].startswith("ksef-tui/")


async def test_the_journal_hears_the_call_but_no_secret() -> None:
    server = Server({"referenceNumber": INVOICE}, status=202)
    sealed = encrypt_invoice(b"<a/>", SessionKey(Secret(bytes(32)), bytes(16)))
    await server.api().send_invoice(ACCESS, SESSION, sealed)
    (call,) = server.journal.calls
    assert (call.operation, call.method, call.group) == ("session.send", "POST", "invoiceSend")
    assert call.path == f"/sessions/online/{SESSION}/invoices"
    assert (call.context, call.reference) == (CLIENT_NIP, SESSION)
    assert (server.journal.last.kind, server.journal.last.status, server.journal.last.reference) == ("ok", 202, INVOICE)
    assert "tajny" not in repr((call, server.journal.last))


class TestLoggingIn:
    async def test_a_challenge_with_seven_digits(self) -> None:
        server = Server({"challenge": "20260101-CR-0000000000-0000000000-00",
                         "timestamp": "2026-11-24T09:00:00.1234567+01:00", "timestampMs": 1752236636015,
                         "clientIp": "192.0.2.1", "cosNowego": {"a": 1}})  # fmt: skip
        challenge = await server.api().challenge(CLIENT_NIP)
        assert challenge.timestamp_ms == 1752236636015
        assert challenge.timestamp.astimezone(UTC).replace(microsecond=0) == datetime(2026, 11, 24, 8, tzinfo=UTC)
        assert "authorization" not in server.request.headers and server.request.content == b""
        assert server.journal.calls[0].context == CLIENT_NIP and server.journal.calls[0].group == "anonymous"

    async def test_a_signed_request_goes_out_byte_for_byte(self) -> None:
        server = Server({"referenceNumber": "20260101-AU-1", "authenticationToken": TOKEN}, status=202)
        signed = b"\xef\xbb\xbf<a>\r\n\t<b  c='d'/></a>\n"
        started = await server.api().submit_signed(signed, CLIENT_NIP)
        assert server.request.content == signed
        assert server.request.headers["content-type"] == "application/xml"
        assert started.authentication_token.token.reveal_text() == "jwt-tajny"
        assert "jwt-tajny" not in repr(started)

    async def test_a_token_goes_with_its_key_and_challenge(self) -> None:
        server = Server({"referenceNumber": "20260101-AU-1", "authenticationToken": TOKEN}, status=202)
        challenge = Challenge(challenge="20260101-CR-1", timestamp=NOW, timestamp_ms=1)
        await server.api().submit_token(CLIENT_NIP, challenge, "c2Vrcg==", "klucz")
        assert server.sent == {
            "challenge": "20260101-CR-1",
            "contextIdentifier": {"type": "Nip", "value": CLIENT_NIP},
            "encryptedToken": "c2Vrcg==",
            "publicKeyId": "klucz",
        }

    async def test_redeem_is_asked_once_whatever_comes_back(self) -> None:
        server = Server(httpx.Response(502, content=b"<html>"), {})
        with pytest.raises(Unknown):
            await server.api().redeem(CLIENT_NIP, Secret("jwt"))
        assert len(server.requests) == 1

    async def test_redeem_and_refresh(self) -> None:
        server = Server({"accessToken": TOKEN, "refreshToken": TOKEN}, {"accessToken": TOKEN})
        pair = await server.api().redeem(CLIENT_NIP, Secret("jwt"))
        fresh = await server.api().refresh(CLIENT_NIP, pair.refresh_token.token)
        assert fresh.token.reveal_text() == "jwt-tajny" and fresh.valid_until.tzinfo is not None
        assert [r.headers["authorization"] for r in server.requests] == ["Bearer jwt", "Bearer jwt-tajny"]

    @pytest.mark.parametrize("token", ["", "a b", "a\r\nX-Injected: 1", "żeton", 5, {}])
    async def test_what_cannot_be_a_token_is_not_taken_for_one(self, token: object) -> None:
        server = Server({"accessToken": {"token": token, "validUntil": "2026-11-24T09:15:00Z"}})
        with pytest.raises(Unknown):
            await server.api().refresh(CLIENT_NIP, Secret("jwt"))

    async def test_ending_a_login(self) -> None:
        server = Server(httpx.Response(204), httpx.Response(204))
        await server.api().end_auth_session(CLIENT_NIP, Secret("jwt"))
        await server.api().end_auth_session(CLIENT_NIP, Secret("jwt"), "20260101-AU-1")
        assert [r.url.path for r in server.requests] == ["/v2/auth/sessions/current", "/v2/auth/sessions/20260101-AU-1"]
        assert {r.method for r in server.requests} == {"DELETE"}


class TestSending:
    async def test_opening(self) -> None:
        server = Server({"referenceNumber": SESSION, "validUntil": "2026-11-24T21:00:00Z"}, status=201)
        info = EncryptionInfo(encrypted_symmetric_key="a", initialization_vector="b", public_key_id="c")
        opened = await server.api().open_online(ACCESS, FA3, info)
        assert server.sent == {
            "formCode": {"systemCode": "FA (3)", "schemaVersion": "1-0E", "value": "FA"},
            "encryption": {"encryptedSymmetricKey": "a", "initializationVector": "b", "publicKeyId": "c"},
        }
        assert opened.reference_number == SESSION

    async def test_sending(self) -> None:
        server = Server({"referenceNumber": INVOICE}, status=202)
        sealed = encrypt_invoice(b"<a/>", SessionKey(Secret(bytes(range(32))), bytes(range(16))))
        assert await server.api().send_invoice(ACCESS, SESSION, sealed, offline=True) == INVOICE
        assert server.sent == {
            "invoiceHash": "KRFDY/dJoCJraYjdo8okkqlUEXq2tfOCcGwgMA2rwHk=",
            "invoiceSize": 4,
            "encryptedInvoiceHash": "WCVLVaY/rUVa1x93iF4vWA+g78b9VcKUPPPgY5WIG7Y=",
            "encryptedInvoiceSize": 16,
            "encryptedInvoiceContent": "Ej92zsdke+YjroszUGTYgw==",
            "offlineMode": True,
        }

    async def test_closing_what_is_closed_is_done(self) -> None:
        closed = {"title": "Bad Request", "status": 400, "errors": [{"code": 21180, "description": "x"}]}
        server = Server(httpx.Response(204), httpx.Response(400, json=closed))
        await server.api().close_online(ACCESS, SESSION)
        await server.api().close_online(ACCESS, SESSION)
        assert server.journal.last.code == 21180
        assert len(server.requests) == 2

    @pytest.mark.parametrize(
        ("answer", "error"),
        [
            (httpx.Response(400, json={"title": "x", "status": 400, "errors": [{"code": 21173}]}), Refused),
            (httpx.Response(200, content=b"<html>zapora</html>"), Unknown),
            (httpx.Response(504, content=b""), Unknown),
        ],
    )
    async def test_closing_that_may_not_have_happened(self, answer: httpx.Response, error: type) -> None:
        with pytest.raises(error):
            await Server(answer).api().close_online(ACCESS, SESSION)

    async def test_all_pages_of_a_session_are_read(self) -> None:
        def row(n: int) -> dict[str, object]:
            return {"ordinalNumber": n, "referenceNumber": INVOICE, "invoiceHash": str(n), "status": {"code": 150}}

        server = Server(
            {"invoices": [row(1), row(2)], "continuationToken": "dalej"},
            {"invoices": [row(3)], "continuationToken": "jeszcze"},
            {"invoices": [], "continuationToken": None},
        )
        invoices = await server.api().session_invoices(ACCESS, SESSION)
        assert [i.ordinal_number for i in invoices] == [1, 2, 3]
        assert [r.headers.get("x-continuation-token") for r in server.requests] == [None, "dalej", "jeszcze"]
        assert {r.url.params["pageSize"] for r in server.requests} == {"1000"}
        assert len(server.journal.calls) == 3

    async def test_a_list_that_turns_in_a_circle_is_given_up(self) -> None:
        page = {"invoices": [], "continuationToken": "to samo"}
        with pytest.raises(Unknown, match="nie kończy"):
            await Server(page, page, page).api().session_invoices(ACCESS, SESSION)

    async def test_a_duplicate_names_its_original_or_does_not(self) -> None:
        row = {
            "referenceNumber": INVOICE,
            "invoiceHash": "h",
            "ksefNumber": None,
            "invoicingDate": "2026-11-24T09:00:00",
        }
        extensions = {"originalKsefNumber": NUMBER, "originalSessionReferenceNumber": None}
        named = {**row, "status": {"code": 440, "description": "Duplikat", "details": None, "extensions": extensions}}
        silent = {**row, "status": {"code": 440, "description": "Duplikat", "extensions": None}}
        server = Server(named, silent)
        first = await server.api().invoice_status(ACCESS, SESSION, INVOICE)
        second = await server.api().invoice_status(ACCESS, SESSION, INVOICE)
        assert (first.status.original_ksef_number, first.status.original_session) == (NUMBER, "")
        assert (second.status.original_ksef_number, second.ksef_number) == ("", "")
        assert first.invoicing_date == datetime(2026, 11, 24, 9, tzinfo=UTC)

    async def test_sessions_from_a_moment_on(self) -> None:
        server = Server({"sessions": [{"referenceNumber": SESSION, "status": {"code": 200}}]})
        (session,) = await server.api().sessions(ACCESS, "Online", NOW)
        params = server.request.url.params
        assert (params["sessionType"], params["dateCreatedFrom"]) == ("Online", "2026-11-24T09:00:00.000Z")
        assert session.status.code == 200


class TestFiles:
    async def test_a_receipt_comes_with_its_hash(self) -> None:
        server = Server(
            httpx.Response(200, content=b"<upo/>", headers={"x-ms-meta-hash": "h", "content-type": "application/xml"})
        )
        file = await server.api().invoice_upo(ACCESS, SESSION, INVOICE)
        assert (file.body, file.meta_hash, file.content_type) == (b"<upo/>", "h", "application/xml")

    async def test_an_invoice_that_speaks_of_pages_is_still_a_file(self) -> None:
        body = b"<Faktura><P_7><![CDATA[strona <html> i <!doctype html>]]></P_7></Faktura>"
        server = Server(httpx.Response(200, content=body))
        assert (await server.api().invoice(ACCESS, NUMBER)).body == body

    @pytest.mark.parametrize(
        "body", [b"<html>Incapsula</html>", b"\r\n<?xml version='1.0'?><!-- x --><!DOCTYPE  HTML PUBLIC ''>", b""]
    )
    async def test_a_page_instead_of_a_file_is_no_file(self, body: bytes) -> None:
        server = Server(httpx.Response(200, content=body))
        with pytest.raises(Unknown):
            await server.api().upo_by_ksef_number(ACCESS, SESSION, NUMBER)

    async def test_a_handed_out_address_gets_no_token_and_its_signature_stays_out_of_the_journal(self) -> None:
        server = Server(httpx.Response(200, content=b"<upo/>"))
        url = "https://pliki.example/upo/1.xml?sv=2024&sig=tajny%2Bpodpis%3D"
        assert (await server.api("https://ksef.example").fetch_url(url)).body == b"<upo/>"
        assert str(server.request.url) == url
        assert "authorization" not in server.request.headers
        assert server.journal.calls[0].path == "pliki.example/upo/1.xml"

    @pytest.mark.parametrize(
        "url",
        [
            "http://pliki.example/1",
            "file:///etc/passwd",
            "",
            "https://",
            "ftp://a/b",
            "https://[",
            "http://127.0.0.1:9/1",
        ],
    )
    async def test_an_unsafe_address_is_not_visited(self, url: str) -> None:
        server = Server()
        with pytest.raises(NotReachable):
            await server.api("https://ksef.example").fetch_url(url)
        assert server.requests == []
        assert server.journal.last.kind == "unreachable"

    async def test_a_reference_cannot_lead_to_another_address(self) -> None:
        server = Server(httpx.Response(200, content=b"<a/>"))
        await server.api().invoice(ACCESS, "../../auth/token?x=#")
        assert server.request.url.raw_path == b"/v2/invoices/ksef/..%2F..%2Fauth%2Ftoken%3Fx%3D%23"


class TestLookingForInvoices:
    @staticmethod
    def row(n: int, stored: str = "2026-11-01T00:00:00Z") -> dict[str, object]:
        return {"ksefNumber": f"nr {n}", "invoiceHash": "h", "issueDate": "2026-11-01", "grossAmount": 123.10,
                "netAmount": 100, "permanentStorageDate": stored, "seller": {"nip": OFFICE_NIP, "name": None}}  # fmt: skip

    async def ask(self, server: Server, **rest: object):
        return await server.api().query_metadata(
            ACCESS, subject="Subject1", date_type="PermanentStorage", since=NOW, **rest
        )

    async def test_filters(self) -> None:
        server = Server({"invoices": [self.row(1)], "hasMore": False, "isTruncated": False})
        (found,) = await self.ask(server, until=NOW, invoice_number="FV/1")
        assert server.sent == {
            "subjectType": "Subject1",
            "dateRange": {
                "dateType": "PermanentStorage",
                "from": "2026-11-24T09:00:00.000Z",
                "to": "2026-11-24T09:00:00.000Z",
            },
            "invoiceNumber": "FV/1",
        }
        assert (found.gross_amount, found.net_amount) == (Decimal("123.10"), Decimal(100))
        assert found.issue_date == date(2026, 11, 1)

    async def test_pages_and_a_cut_list(self) -> None:
        later = "2026-12-01T00:00:00Z"
        server = Server(
            {"invoices": [self.row(1)], "hasMore": True, "isTruncated": False},
            {"invoices": [self.row(2, later)], "hasMore": True, "isTruncated": True},
            {"invoices": [self.row(2, later), self.row(3, later)], "hasMore": False},
        )
        found = await self.ask(server)
        assert [f.ksef_number for f in found] == ["nr 1", "nr 2", "nr 3"]
        asked = [(r.url.params["pageOffset"], json.loads(r.content)["dateRange"]["from"]) for r in server.requests]
        assert asked == [
            ("0", "2026-11-24T09:00:00.000Z"),
            ("1", "2026-11-24T09:00:00.000Z"),
            ("0", "2026-12-01T00:00:00.000Z"),
        ]

    async def test_a_cut_list_that_does_not_move_on_is_not_taken_for_the_whole(self) -> None:
        page = {"invoices": [self.row(1, "2026-11-24T09:00:00Z")], "hasMore": True, "isTruncated": True}
        with pytest.raises(Unknown):
            await self.ask(Server(page, page))


class TestRights:
    async def test_granting(self) -> None:
        server = Server({"referenceNumber": "20260101-EG-1"}, status=202)
        rights = [("InvoiceRead", True), ("InvoiceWrite", False)]
        assert await server.api().grant_entity(ACCESS, OFFICE_NIP, "Biuro Dąb", rights, "obsługa") == "20260101-EG-1"
        assert server.sent == {
            "subjectIdentifier": {"type": "Nip", "value": OFFICE_NIP},
            "permissions": [
                {"type": "InvoiceRead", "canDelegate": True},
                {"type": "InvoiceWrite", "canDelegate": False},
            ],
            "description": "obsługa",
            "subjectDetails": {"fullName": "Biuro Dąb"},
        }

    async def test_letting_an_employee_work_for_one_client_or_for_all(self) -> None:
        server = Server({"referenceNumber": "20260101-EG-1"}, status=202)
        person = GrantedPerson("Pesel", "44051401359", "Jan", "Testowy")
        await server.api().grant_indirect(ACCESS, person, CLIENT_NIP, ["InvoiceRead"], "praca dla klienta")
        assert server.sent == {
            "subjectIdentifier": {"type": "Pesel", "value": "44051401359"},
            "targetIdentifier": {"type": "Nip", "value": CLIENT_NIP},
            "permissions": ["InvoiceRead"],
            "description": "praca dla klienta",
            "subjectDetails": {
                "subjectDetailsType": "PersonByIdentifier",
                "personById": {"firstName": "Jan", "lastName": "Testowy"},
            },
        }
        server = Server({"referenceNumber": "20260101-EG-2"}, status=202)
        await server.api().grant_indirect(ACCESS, person, None, ["InvoiceRead"], "praca dla klientów")
        assert server.sent["targetIdentifier"] == {"type": "AllPartners"}
        assert "44051401359" not in repr(person)

    async def test_all_pages_of_grants(self) -> None:
        row = {"id": "1", "permissionScope": "InvoiceWrite", "contextIdentifier": {"type": "Nip", "value": CLIENT_NIP},
               "canDelegate": True, "permissionState": "Zawieszony"}  # fmt: skip
        server = Server({"permissions": [row], "hasMore": True}, {"permissions": [row | {"id": "2"}], "hasMore": False})
        grants = await server.api().entity_grants(ACCESS)
        assert [g.id for g in grants] == ["1", "2"]
        assert grants[0].context_identifier.value == CLIENT_NIP and grants[0].permission_state == "Zawieszony"
        assert [r.url.params["pageOffset"] for r in server.requests] == ["0", "1"]

    async def test_a_new_token_is_a_secret(self) -> None:
        server = Server({"referenceNumber": "20260101-EC-1", "token": "20260101-EC-1|nip-1|tajny"}, status=202)
        token = await server.api().create_token(ACCESS, ["InvoiceRead"], "test obsługi")
        assert token.reference == "20260101-EC-1" and token.token.reveal_text().endswith("tajny")
        assert "tajny" not in repr(token) and "tajny" not in repr(server.journal.last)

    async def test_limits(self) -> None:
        values = {"perSecond": 10, "perMinute": 30, "perHour": 120}
        sizes = {"maxInvoiceSizeInMB": 1, "maxInvoiceWithAttachmentSizeInMB": 3, "maxInvoices": 500}
        server = Server(
            {"onlineSession": values, "global": {"perSecond": -1}}, {"onlineSession": sizes, "batchSession": sizes}
        )
        limits = await server.api().rate_limits(ACCESS)
        assert limits == {"onlineSession": RateLimit(10, 30, 120), "global": RateLimit()}
        context = await server.api().context_limits(ACCESS)
        assert (context.online_session.max_invoice_size_in_mb, context.batch_session.max_invoices) == (1, 500)


def test_models_survive_nulls_and_new_fields() -> None:
    answer = {"status": {"code": 100, "description": None, "nowe": [1]}, "upo": None, "invoiceCount": None, "x": {}}
    from ksef_tui.ksef.models import SessionStatus

    status = decode(json.dumps(answer).encode(), SessionStatus)
    assert (status.status.code, status.status.description, status.upo, status.invoice_count) == (100, "", None, 0)
    assert b"null" not in encode({"a": None, "b": [None, 1]})


def test_a_fraction_of_seven_nines_is_the_next_second() -> None:
    body = base64.b64decode(
        base64.b64encode(b'{"challenge":"c","timestamp":"2026-11-24T09:00:59.9999999Z","timestampMs":1}')
    )
    assert decode(body, Challenge).timestamp == datetime(2026, 11, 24, 9, 1, tzinfo=UTC)


def test_what_must_not_be_repeated_is_marked_so() -> None:
    once = {code for code, operation in operations.OPERATIONS.items() if not operation.repeatable}
    assert once == {
        "auth.xades", "auth.token", "auth.redeem", "session.open", "session.send", "grant.entity", "grant.indirect", "grant.revoke",
        "token.create", "certificate.enrol", "batch.open",
    }  # fmt: skip


def test_every_group_has_a_limit() -> None:
    from ksef_tui.ksef.limits import charged_group

    groups = {charged_group(operation.group, PRODUCTION_LIMITS) for operation in operations.OPERATIONS.values()}
    assert groups - {""} <= set(PRODUCTION_LIMITS)
