"""The error tree as a table: what comes back on the wire, and what the caller is told."""

import asyncio
import json

import httpx
import pytest
from ksef_helpers import Journal

from ksef_tui.domain.secret import Secret
from ksef_tui.ksef.answers import SAMPLE_BYTES, Answer, failure
from ksef_tui.ksef.api import Access, KsefApi
from ksef_tui.ksef.errors import CAUSES, KsefError, Limited, NotReachable, Refused, Unauthorized, Unknown
from ksef_tui.ksef.http import MAX_ANSWER

ACCESS = Access("1111111111", Secret("eyJtajne.eyJtajne.tajne"))
SESSION = "20260101-SO-0000000000-0000000000-00"
HTML = b"<!DOCTYPE html><html><title>Request blocked</title></html>"


def problem(status: int, **rest: object) -> bytes:
    return json.dumps({"title": "x", "status": status, "instance": "/x", "detail": "opis", **rest}).encode()


def errors(*codes: int) -> bytes:
    return problem(400, errors=[{"code": c, "description": f"błąd {c}.", "details": [f"szczegół {c}"]} for c in codes])


def legacy(*codes: int) -> bytes:
    rows = [{"exceptionCode": c, "exceptionDescription": f"błąd {c}.", "details": None} for c in codes]
    return json.dumps({"exception": {"exceptionDetailList": rows, "serviceCode": "00"}}).encode()


async def asked(handler) -> tuple[KsefError | None, Journal]:
    """Sends one call to `handler`; the error it ends with, and the journal."""
    journal = Journal()
    async with KsefApi("http://127.0.0.1:1", journal, transport=httpx.MockTransport(handler)) as api:
        try:
            await api.session_status(ACCESS, SESSION)
        except KsefError as error:
            return error, journal
    return None, journal


async def answered(status: int, body: bytes = b"", headers: dict[str, str | bytes] | None = None):
    return await asked(lambda request: httpx.Response(status, content=body, headers=headers))


REFUSED = [
    (400, errors(21173), (21173,)),
    (400, errors(21405, 21402), (21405, 21402)),
    (400, legacy(21180), (21180,)),
    (400, problem(400), ()),
    (410, problem(410), ()),
    (404, problem(404), ()),
]


@pytest.mark.parametrize(("status", "body", "codes"), REFUSED)
async def test_a_typed_answer_is_a_refusal(status: int, body: bytes, codes: tuple[int, ...]) -> None:
    error, journal = await answered(status, body)
    assert type(error) is Refused
    assert (error.status, error.codes, error.code) == (status, codes, codes[0] if codes else None)
    assert (journal.last.kind, journal.last.status, journal.last.code) == ("refused", status, error.code)
    assert "KSeF odmówił" in str(error)


async def test_a_refusal_repeats_ksefs_own_words() -> None:
    error, _ = await answered(400, errors(21405))
    assert isinstance(error, Refused)
    assert error.details == ("błąd 21405.", "szczegół 21405")
    assert str(error) == "KSeF odmówił (21405): błąd 21405. szczegół 21405"


async def test_the_words_of_a_refusal_are_one_plain_line() -> None:
    row = {"code": 21405, "description": "a\x1b[31m\r\nb\x00", "details": ["[red] " + "x" * 5000]}
    error, _ = await answered(400, problem(400, errors=[row]))
    assert isinstance(error, Refused)
    assert str(error).isprintable() and len(str(error)) < 1100
    assert str(error).startswith("KSeF odmówił (21405): a [31m b [red] xxx")
    assert error.details[1].endswith("x" * 5000)


@pytest.mark.parametrize("body", [b"", b"{}", problem(401)])
async def test_401_is_about_the_token(body: bytes) -> None:
    error, journal = await answered(401, body)
    assert isinstance(error, Unauthorized) and error.status == 401
    assert journal.last.kind == "refused"


@pytest.mark.parametrize(
    "reason",
    [
        "missing-permissions",
        "ip-not-allowed",
        "insufficient-resource-access",
        "auth-method-not-allowed",
        "context-type-not-allowed",
    ],
)
async def test_403_with_a_known_reason_is_a_denial(reason: str) -> None:
    security = {"requiredAnyOfPermissions": ["InvoiceWrite", "PefInvoiceWrite"], "presentPermissions": ["InvoiceRead"]}
    error, _ = await answered(403, problem(403, reasonCode=reason, security=security))
    assert isinstance(error, Refused)
    assert (error.status, error.reason_code) == (403, reason)
    assert (error.required, error.present) == (("InvoiceWrite", "PefInvoiceWrite"), ("InvoiceRead",))
    assert "InvoiceWrite lub PefInvoiceWrite" in str(error)


UNKNOWN = [
    # F26: a firewall's 403 says nothing about rights
    (403, problem(403), "forbidden"),
    (403, problem(403, reasonCode=None, security={"incidentId": "1"}), "forbidden"),
    (403, problem(403, reasonCode="security-service-blocked"), "forbidden"),
    (403, problem(403, reasonCode="a-new-one"), "forbidden"),
    (403, HTML, "html"),
    (403, b"", "unparseable"),
    # F39: gateways
    (500, problem(500), "server_error"),
    (500, b"Object reference not set", "server_error"),
    (502, HTML, "html"),
    (503, b"", "server_error"),
    (504, HTML, "html"),
    # F43: a firewall's loop
    (302, b"", "redirect"),
    (307, HTML, "redirect"),
    # an answer that is none
    (200, HTML, "html"),
    (200, b"", "unparseable"),
    (200, b"{", "unparseable"),
    (200, b"[]", "unparseable"),
    (200, b'{"status": "dobrze"}', "unparseable"),
    (200, b"\xff\xfe\x00", "unparseable"),
    (200, b"[" * 100_000, "unparseable"),
    (204, b"", "unparseable"),
    (400, HTML, "html"),
    (400, b"", "unparseable"),
    (400, b'{"message": "Request blocked"}', "unparseable"),
    (400, b'{"errors": {"code": 1}}', "unparseable"),
    (400, b'{"exception": []}', "unparseable"),
    (401, HTML, "html"),
    (404, b"", "unparseable"),
    (413, HTML, "html"),
]


@pytest.mark.parametrize(("status", "body", "cause"), UNKNOWN)
async def test_rule_04_f26_f39_f43_anything_else_is_unknown(status: int, body: bytes, cause: str) -> None:
    error, journal = await answered(status, body, {"Location": "http://127.0.0.1:1/again"})
    assert isinstance(error, Unknown)
    assert (error.cause, error.status) == (cause, status)
    assert cause in CAUSES
    assert (journal.last.kind, journal.last.status, journal.last.detail) == ("unknown", status, cause)


RETRY = [
    ({"Retry-After": "30"}, b"", 30.0),
    ({"Retry-After": "0"}, b"", 1.0),
    ({"Retry-After": "2700"}, HTML, 2700.0),
    ({}, b"", 60.0),
    ({"Retry-After": "wkrótce".encode()}, b"", 60.0),
    ({}, '{"status":{"code":429,"details":["Limit 20 żądań na minutę. Spróbuj ponownie po 30 sekundach."]}}'.encode(), 30.0),
    ({}, "Spróbuj ponownie po 45 minutach.".encode(), 2700.0),
    ({"Retry-After": "Wed, 01 Jan 2020 00:00:00 GMT"}, b"", 1.0),
]  # fmt: skip


@pytest.mark.parametrize(("headers", "body", "seconds"), RETRY)
async def test_429_says_how_long_to_wait(headers: dict[str, str | bytes], body: bytes, seconds: float) -> None:
    error, journal = await answered(429, body, headers)
    assert isinstance(error, Limited)
    assert error.retry_after == seconds
    assert (journal.last.kind, journal.last.status, journal.last.retry_after) == ("limited", 429, seconds)


RAISED = [
    (httpx.ConnectError("All connection attempts failed"), NotReachable, "nikt tam nie odpowiada"),
    (httpx.ConnectError("[Errno -2] Name or service not known"), NotReachable, "nie znaleziono"),
    (httpx.ConnectError("[SSL: CERTIFICATE_VERIFY_FAILED]"), NotReachable, "nie budzi zaufania"),
    (httpx.ConnectTimeout(""), NotReachable, "Brak połączenia"),
    (httpx.PoolTimeout(""), NotReachable, "Brak połączenia"),
    (httpx.ProxyError(""), NotReachable, "Brak połączenia"),
    (httpx.ReadTimeout(""), Unknown, "nie wiadomo"),
    (httpx.WriteTimeout(""), Unknown, "nie wiadomo"),
    (httpx.ReadError(""), Unknown, "zerwało się"),
    (httpx.WriteError(""), Unknown, "zerwało się"),
    (httpx.CloseError(""), Unknown, "zerwało się"),
    (httpx.RemoteProtocolError(""), Unknown, "zerwało się"),
    (httpx.DecodingError(""), Unknown, "zerwało się"),
]


@pytest.mark.parametrize(("raised", "kind", "words"), RAISED)
async def test_only_a_connection_never_made_may_be_tried_again(raised: Exception, kind: type, words: str) -> None:
    def handler(request: httpx.Request) -> httpx.Response:
        raise raised

    error, journal = await asked(handler)
    assert type(error) is kind
    assert words in str(error)
    assert journal.last.kind == ("unreachable" if kind is NotReachable else "unknown")
    assert journal.last.status is None


async def test_an_answer_without_end_is_cut_off() -> None:
    error, _ = await answered(200, b" " * (MAX_ANSWER + 1))
    assert isinstance(error, Unknown) and error.cause == "too_big"


async def test_a_sample_of_an_unreadable_answer_is_short_and_masked() -> None:
    jwt = "eyJhbGciOiJIUzI1NiJ9.eyJjaXYiOiIxMTExMTExMTExIn0.c2lnbmF0dXJl"
    secrets = [
        jwt,
        "20260101-EC-0000000000-0000000000-00|nip-1111111111|0123456789abcdef0123456789abcdef",
        "YWJj" * 40,
    ]
    body = (f'<p>awaria</p>{" ".join(secrets)} "refreshToken": "abc-def" ?sig=ghi ' + "x " * 9000).encode()
    error, journal = await answered(502, body)
    assert isinstance(error, Unknown)
    assert error.body_sample.startswith("<p>awaria</p>") and len(error.body_sample) <= SAMPLE_BYTES
    for secret in (*secrets, "abc-def", "ghi"):
        assert secret not in error.body_sample
    assert journal.last.body_sample == error.body_sample


async def test_giving_up_waiting_is_written_down_as_unknown() -> None:
    arrived = asyncio.Event()

    async def handler(request: httpx.Request) -> httpx.Response:
        arrived.set()
        await asyncio.Event().wait()
        raise AssertionError

    journal = Journal()
    async with KsefApi("http://127.0.0.1:1", journal, transport=httpx.MockTransport(handler)) as api:
        task = asyncio.create_task(api.session_status(ACCESS, SESSION))
        await arrived.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    assert (journal.last.kind, journal.last.detail) == ("unknown", "cancelled")


async def test_nothing_leaves_when_the_journal_cannot_be_written() -> None:
    asked_for = []

    def handler(request: httpx.Request) -> httpx.Response:
        asked_for.append(request)
        return httpx.Response(200)

    class Full(Journal):
        def started(self, call) -> int:
            raise OSError("disk full")

    async with KsefApi("http://127.0.0.1:1", Full(), transport=httpx.MockTransport(handler)) as api:
        with pytest.raises(OSError, match="disk full"):
            await api.session_status(ACCESS, SESSION)
    assert asked_for == []


async def test_a_call_that_may_not_leave_is_neither_made_nor_announced() -> None:
    class Shut(Journal):
        async def before(self, call) -> None:
            raise Limited("limit", 30.0)

    journal = Shut()
    async with KsefApi(
        "http://127.0.0.1:1", journal, transport=httpx.MockTransport(lambda r: pytest.fail("left"))
    ) as api:
        with pytest.raises(Limited):
            await api.session_status(ACCESS, SESSION)
    assert journal.calls == []


async def test_a_warning_of_the_system_reaches_the_journal() -> None:
    ok = b'{"status":{"code":100}}'
    error, journal = await answered(200, ok, {"X-System-Warning": "[xml-002]: znak"})
    assert error is None
    assert (journal.last.kind, journal.last.warning) == ("ok", "[xml-002]: znak")


@pytest.mark.parametrize("status", range(200, 300))
def test_no_2xx_is_a_failure_by_itself(status: int) -> None:
    assert failure(Answer(status, b"")) is None
