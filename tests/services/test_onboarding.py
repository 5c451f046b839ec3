"""A client connected in one sitting: it signs once, the program grants, logs the office in, logs the client out (design §7)."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from datetime import timedelta

import httpx
import pytest
from support.companies import Paper, new_pesel, person, seal, signed
from support.houses import BOTH, Client, House
from support.ministry import REFRESH, SIGNED_LOGIN

from ksef_tui.compose import open_office
from ksef_tui.domain.problems import Problem
from ksef_tui.domain.secret import Secret
from ksef_tui.ksef.codes import grant_code
from ksef_tui.services import authorising, client_views, contract, external, idleness, onboarding, own_work, worker
from ksef_tui.services.office import operator_named

GRANT = "POST /v2/permissions/entities/grants"
GRANTING = {"method": "POST", "path": "^/v2/permissions/entities/grants"}
READING = {"method": "POST", "path": "^/v2/permissions/query/persons"}
ASKING = {"method": "GET", "path": "^/v2/permissions/operations"}
ENDING = {"method": "DELETE", "path": "^/v2/auth/sessions"}
AN_HOUR = timedelta(hours=1)


@asynccontextmanager
async def serving(house: House) -> AsyncIterator[worker.Worker]:
    """A worker that does only what it is told."""
    hands = worker.Worker(house.office)
    try:
        yield hands
    finally:
        await hands.api.aclose()


class Visit:
    """A client at the office's desk, and everything that leaves the program meanwhile."""

    def __init__(self, house: House, client: Client | None = None, paper: Paper | None = None) -> None:
        self.house, self.client = house, client or house.client()
        self.paper = paper or seal(self.client.nip)
        self.identity = house.identity()
        self.requests: list[tuple[str, str, str]] = []
        self.refreshed: list[str] = []  # refresh tokens that KSeF gave out, in order
        house.office.transport = _Watch(self)

    async def begin(self) -> bytes:
        """The request for the client to sign."""
        onboarding.start(self.house.office, self.house.admin, self.client.id, self.identity)
        await self.house.carry_out(self.client)
        assert self.row["state"] == "to_sign", dict(self.row)
        return external.request(self.house.office, self.house.admin, self.client.id).document

    async def sign(self) -> None:
        """The request signed and handed in; nothing has left yet."""
        document = signed(await self.begin(), self.paper)
        authorising.submit(self.house.office, self.house.admin, self.client.id, document)

    async def whole(self) -> None:
        await self.sign()
        await self.house.carry_out(self.client)

    async def resume(self) -> None:
        onboarding.resume(self.house.office, self.house.admin, self.client.id)
        await self.house.carry_out(self.client)

    async def stopped_at(self, step: str, code: str) -> None:
        """The whole visit, which stops there."""
        await self.whole()
        assert (self.row["state"], self.row["reason_code"], self.step) == ("failed", code, step), dict(self.row)

    @property
    def row(self):
        return self.house.auth(self.client)

    @property
    def step(self) -> str | None:
        return self.house.db.value("SELECT step FROM onboarding WHERE client_id = ?", (self.client.id,))

    @property
    def sessions(self) -> int:
        """The client's own logins that are kept."""
        return self.house.db.value("SELECT count(*) FROM client_session WHERE client_id = ?", (self.client.id,))

    @property
    def grants(self) -> int:
        return self.house.ministry.posts(GRANT)

    def works(self) -> None:
        """The end of it: the office's own login works, nothing of the client is left."""
        row = self.row
        assert (row["state"], row["method"], row["identity_id"]) == ("active", "certificate", self.identity), dict(row)
        assert (row["reason_code"], row["intent"], row["subject"]) == ("", "", f"Nip:{self.house.nip}")
        assert (sorted(json.loads(row["rights"])), row["can_delegate"]) == (["InvoiceRead", "InvoiceWrite"], 1)
        assert (self.step, self.sessions) == ("end", 0)
        assert self.is_logged_out(-2), "the last login but the office's own"

    def is_logged_out(self, place: int = 0) -> bool:
        """Whether KSeF refuses the refresh token that was given out at this place."""
        answer = httpx.post(
            f"{self.house.ministry.url}/v2/auth/token/refresh",
            headers={"Authorization": f"Bearer {self.refreshed[place]}"}, trust_env=False,
        )  # fmt: skip
        assert answer.status_code in (200, 400), answer.text
        return answer.status_code == 400


class _Watch(httpx.AsyncHTTPTransport):
    """The real way to the sandbox, with a note of what went and of the refresh tokens that came."""

    def __init__(self, visit: Visit) -> None:
        super().__init__()
        self._visit = visit

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        bearer = request.headers.get("Authorization", "").removeprefix("Bearer ")
        self._visit.requests.append((request.method, request.url.path, bearer))
        response = await super().handle_async_request(request)
        if request.url.path.endswith("/token/redeem") and response.status_code == 200:
            await response.aread()
            self._visit.refreshed.append(response.json()["refreshToken"]["token"])
        return response


@pytest.fixture
def visit(house: House) -> Visit:
    return Visit(house)


def nobody_listens(request: httpx.Request) -> httpx.Response:
    raise httpx.ConnectError("nobody listens")


# ---- how it goes


async def test_an_owner_signs_once_and_the_office_works_with_its_own_profile(visit: Visit):
    await visit.whole()
    visit.works()
    assert (visit.grants, visit.house.ministry.posts(SIGNED_LOGIN)) == (1, 2)
    audited = {row["act"] for row in visit.house.db.rows("SELECT act FROM audit")}
    assert audited >= {"onboarding.signed", "onboarding.grant", "onboarding.granted", "client_session.over"}


async def test_a_person_who_manages_rights_signs(house: House):
    client, pesel = house.client(), new_pesel()
    house.ministry.grant(client.nip, pesel, "CredentialsManage", kind="Pesel")
    visit = Visit(house, client, person(pesel))
    await visit.whole()
    visit.works()


async def test_afterwards_the_office_issues_in_its_own_name_alone(visit: Visit):
    """The client's login served to grant, to read grants, and to be ended."""
    await visit.whole()
    invoices = visit.house.approved(visit.client)
    await visit.house.work()
    assert visit.house.states(invoices) == ["accepted"]
    clients_own = {
        (method, path.rpartition("/")[0] if "operations" in path else path)
        for method, path, bearer in visit.requests
        if bearer and _subject(bearer) == f"Nip:{visit.client.nip}"
    }
    assert clients_own == {
        ("GET", clients_status(visit)),
        ("POST", "/v2/auth/token/redeem"),
        ("POST", "/v2/permissions/query/persons/grants"),
        ("POST", "/v2/permissions/entities/grants"),
        ("GET", "/v2/permissions/operations"),
        ("DELETE", "/v2/auth/sessions/current"),
    }


def clients_status(visit: Visit) -> str:
    return next(path for method, path, _ in visit.requests if method == "GET" and path.startswith("/v2/auth/20"))


def _subject(bearer: str) -> str:
    from ksef_tui.ksef import claims

    said = claims.read(Secret(bearer))
    return f"{said.subject_type}:{said.subject_value}"


async def test_nothing_of_the_clients_login_is_left_in_the_database(visit: Visit):
    """While it is kept it is sealed; when it is over, no column of any table has it, sealed or not."""
    visit.house.ministry.fault("outage", match=ASKING)
    await visit.sign()
    await visit.house.work_until(lambda: visit.step == "wait")
    kept = visit.house.db.row("SELECT * FROM client_session")
    tokens = [bearer for _, path, bearer in visit.requests if "entities/grants" in path] + visit.refreshed
    assert len(tokens) == 2
    everything = _dump(visit.house)
    assert kept["sealed_refresh"] in everything
    assert not any(token.encode() in everything for token in tokens)
    visit.house.ministry.calm()
    await visit.house.work()
    visit.works()
    everything = _dump(visit.house)
    for gone in (kept["sealed_refresh"], kept["sealed_access"], *(token.encode() for token in tokens)):
        assert gone not in everything


def _dump(house: House) -> bytes:
    tables = [row[0] for row in house.db.rows("SELECT name FROM sqlite_master WHERE type = 'table'")]
    values = [value for table in tables for row in house.db.rows(f"SELECT * FROM {table}") for value in row]
    return b"\0".join(v if isinstance(v, bytes) else str(v).encode() for v in values)


async def test_the_clients_login_never_becomes_its_authorisation(visit: Visit):
    """Approved invoices wait until the office's own login works, however long the grant takes."""
    invoices = visit.house.approved(visit.client)
    visit.house.ministry.fault("slow", times=1, match=GRANTING, params={"ms": 1200})
    await visit.sign()
    await visit.house.work_until(lambda: visit.step == "wait")
    assert (visit.row["sealed_access"], visit.row["sealed_refresh"]) == (None, None)
    assert visit.house.states(invoices) == ["approved"]
    await visit.house.work()
    visit.works()
    assert visit.house.states(invoices) == ["accepted"]
    [session] = visit.house.db.rows("SELECT subject FROM session")
    assert session["subject"] == f"Nip:{visit.house.nip}"


async def test_invoices_that_stand_do_not_slow_the_visit_down(visit: Visit):
    """They have no access yet; the next step of the visit is wanted soon all the same."""
    visit.house.approved(visit.client)
    await visit.sign()
    async with serving(visit.house) as hands:
        wanted = await worker.one_pass(hands, visit.client.id, worker.Polls())
    assert visit.step == "sign"
    assert wanted is not None


async def test_the_chain_is_shown_step_by_step(visit: Visit):
    def shown() -> str:
        view = client_views.authorization(visit.house.office, visit.house.admin, visit.client.id)
        return " ".join(f"{step.step}:{step.state}" for step in view.steps)

    await visit.begin()
    assert shown() == "request:done sign:waiting grant:pending verify:pending rights:pending end:pending"
    view = client_views.authorization(visit.house.office, visit.house.admin, visit.client.id)
    assert "klient" in view.sentence.lower()
    document = external.request(visit.house.office, visit.house.admin, visit.client.id).document
    visit.house.ministry.fault("outage", match=ASKING)
    authorising.submit(visit.house.office, visit.house.admin, visit.client.id, signed(document, visit.paper))
    await visit.house.work_until(lambda: visit.step == "wait")
    assert shown() == "request:done sign:done grant:running verify:pending rights:pending end:pending"
    visit.house.ministry.calm()
    visit.house.ministry.fault("outage", times=1, match=ENDING)
    await visit.house.carry_out(visit.client)
    assert shown() == "request:done sign:done grant:done verify:done rights:done end:running"
    visit.house.later(minutes=1)
    await visit.house.work()
    assert shown() == "request:done sign:done grant:done verify:done rights:done end:done"


# ---- what is granted already


async def test_what_is_granted_already_is_not_granted_again(house: House):
    client = house.client()
    visit = Visit(house, client)
    await visit.whole()
    assert visit.grants == 1
    await visit.whole()  # the same client comes again
    visit.works()
    assert visit.grants == 1


async def test_only_what_is_missing_is_granted(house: House):
    """Rights without the right to pass them on are granted with it."""
    client = house.client(*BOTH)
    visit = Visit(house, client)
    await visit.whole()
    visit.works()
    assert visit.grants == 1


async def test_a_repeated_grant_that_ksef_refuses_is_no_failure_when_the_rights_are_there(house: House):
    """Facts §7.2: repeating an existing grant may be refused."""
    visit = Visit(house, house.client(*BOTH))
    house.ministry.fault("operation_fails", times=1, match=GRANTING, params={"code": 400})
    await visit.whole()
    assert (visit.row["state"], visit.row["can_delegate"], visit.step, visit.sessions) == ("active", 0, "end", 0)


async def test_a_login_that_may_not_read_grants_just_grants(visit: Visit):
    """CredentialsManage may read them too (facts §7.1); where KSeF says no, the grant is made unseen."""
    deny = '{"title":"Forbidden","status":403,"reasonCode":"missing-permissions","security":{}}'

    class Blind(_Watch):
        async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
            if request.url.path.endswith("/query/persons/grants"):
                return httpx.Response(403, text=deny, headers={"Content-Type": "application/problem+json"})
            return await super().handle_async_request(request)

    visit.house.office.transport = Blind(visit)
    await visit.whole()
    visit.works()
    assert visit.grants == 1


# ---- what fails, and how it goes on


@pytest.mark.parametrize("code", [400, 500, 550])
async def test_a_grant_that_failed_by_chance_is_tried_again_with_the_same_login(visit: Visit, code: int):
    visit.house.ministry.fault("operation_fails", times=1, match=GRANTING, params={"code": code})
    await visit.stopped_at("grant", f"grant_{code}")
    assert grant_code(code).what_to_do in visit.row["reason"]
    assert (visit.sessions, visit.is_logged_out()) == (1, False)
    await visit.resume()
    visit.works()
    assert (visit.grants, visit.house.ministry.posts(SIGNED_LOGIN)) == (2, 2), "nobody had to sign again"


@pytest.mark.parametrize("code", [410, 420, 430, 440, 450])
async def test_a_grant_that_ksef_will_not_make_ends_the_clients_login(visit: Visit, code: int):
    visit.house.ministry.fault("operation_fails", times=1, match=GRANTING, params={"code": code})
    await visit.stopped_at("sign", f"grant_{code}")
    assert grant_code(code).sentence in visit.row["reason"]
    assert (visit.sessions, visit.is_logged_out()) == (0, True)
    with pytest.raises(Problem) as caught:
        onboarding.resume(visit.house.office, visit.house.admin, visit.client.id)
    assert caught.value.code == "sign_again"
    await visit.whole()
    visit.works()


async def test_whoever_may_not_grant_is_told_which_right_is_missing_and_logged_out(house: House):
    client, pesel = house.client(), new_pesel()
    house.ministry.grant(client.nip, pesel, *BOTH, kind="Pesel")
    visit = Visit(house, client, person(pesel))
    await visit.stopped_at("sign", "missing-permissions")
    assert "CredentialsManage" in visit.row["reason"]
    assert pesel not in visit.row["reason"]
    assert f"PESEL {pesel[:6]}*****" in visit.row["reason"]
    assert (visit.grants, visit.sessions, visit.is_logged_out()) == (0, 0, True)
    view = client_views.authorization(house.office, house.admin, client.id)
    assert [s.state for s in view.steps] == ["done", "done", "failed", "pending", "pending", "pending"]


async def test_the_right_to_grant_taken_back_meanwhile_is_told_too(house: House):
    client, pesel = house.client(), new_pesel()
    house.ministry.grant(client.nip, pesel, "CredentialsManage", kind="Pesel")
    visit = Visit(house, client, person(pesel))
    house.ministry.fault("outage", match=READING)
    await visit.sign()
    await house.work_until(lambda: visit.step == "grant")
    house.ministry.take_back(client.nip, pesel, kind="Pesel")
    house.ministry.grant(client.nip, pesel, "InvoiceRead", kind="Pesel")
    house.edit("UPDATE client_session SET access_until = ?", "2026-01-01T00:00:00.000Z")
    house.ministry.calm()
    await house.carry_out(client)
    assert (visit.row["state"], visit.row["reason_code"], visit.step) == ("failed", "missing-permissions", "sign")
    assert (visit.sessions, visit.is_logged_out()) == (0, True)


async def test_a_signature_that_ksef_does_not_let_in_leaves_nothing(house: House):
    visit = Visit(house, paper=person(new_pesel()))
    await visit.whole()
    assert (visit.row["state"], visit.row["reason_code"], visit.step) == ("no_permission", "415", "sign")
    assert (visit.sessions, visit.grants) == (0, 0)


async def test_what_worked_before_works_until_the_new_login_does(house: House):
    client = house.client(*BOTH)
    before = await house.authorise(client, identity=house.identity("stara pieczęć"))
    visit = Visit(house, client)
    house.ministry.fault("operation_fails", times=2, match=GRANTING, params={"code": 420})
    house.ministry.take_back(client.nip, house.nip)
    await visit.whole()
    row = visit.row
    for column in ("state", "method", "identity_id", "rights", "valid_until", "subject", "sealed_refresh"):
        assert row[column] == before[column], column
    assert row["reason_code"] == "grant_420"
    assert "działa poprzednia" in row["reason"]
    view = client_views.authorization(house.office, house.admin, client.id)
    assert len(view.steps) == 4, "the login that works is shown, not the one that failed"
    house.ministry.calm()
    await visit.whole()
    visit.works()


@pytest.mark.parametrize(("match", "step"), [(READING, "grant"), (ASKING, "wait")])
async def test_while_ksef_does_not_answer_it_goes_on_by_itself_and_then_waits_for_a_person(visit: Visit, match, step):
    visit.house.ministry.fault("outage", match=match)
    await visit.sign()
    await visit.house.work_until(lambda: visit.step == step and "ponawia" in visit.row["reason"])
    assert (visit.row["state"], visit.row["intent"]) == ("running", "login")
    visit.house.later(minutes=6)
    await visit.house.carry_out(visit.client)
    assert (visit.row["state"], visit.row["reason_code"], visit.step) == ("failed", "unreachable", step)
    visit.house.ministry.calm()
    await visit.resume()
    visit.works()
    assert visit.grants == 1


async def test_no_connection_when_granting_is_no_lost_answer(visit: Visit):
    """It never left, so it is made when there is a connection again."""

    class Cut(_Watch):
        cut = True

        async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
            if request.url.path.endswith("/entities/grants") and self.cut:
                Cut.cut = False
                raise httpx.ConnectError("nobody listens")
            return await super().handle_async_request(request)

    visit.house.office.transport = Cut(visit)
    await visit.whole()
    visit.works()
    assert visit.grants == 1


async def test_limits_are_waited_out(visit: Visit):
    visit.house.ministry.fault("rate_limited", times=1, match=GRANTING, params={"retry_after": 1})
    await visit.whole()
    visit.works()
    assert visit.grants == 1


async def test_a_token_that_is_refused_before_its_time_is_renewed(visit: Visit):
    visit.house.ministry.fault("unauthorized", times=1, match=GRANTING)
    await visit.whole()
    assert (visit.grants, visit.house.ministry.posts(REFRESH)) == (1, 1)
    visit.works()


async def test_a_lost_answer_to_the_grant_is_read_and_never_repeated(visit: Visit):
    visit.house.ministry.fault("lost_answer", times=1, match=GRANTING)
    await visit.whole()
    visit.works()
    assert visit.grants == 1


async def test_a_grant_that_was_lost_on_its_way_is_made_again_only_when_a_person_asks(visit: Visit):
    visit.house.ministry.fault("lost_request", times=1, match=GRANTING)
    await visit.sign()
    await visit.house.work_until(lambda: "zginęła" in visit.row["reason"])
    assert visit.row["state"] == "running"
    visit.house.later(seconds=30)
    await visit.house.carry_out(visit.client)
    assert (visit.row["state"], visit.row["reason_code"], visit.step) == ("failed", "grant_unknown", "grant")
    assert visit.grants == 0, "it never arrived"
    await visit.resume()
    visit.works()
    assert visit.grants == 1


async def test_where_nobody_may_look_the_offices_own_login_tells_whether_a_lost_grant_was_made(visit: Visit):
    deny = '{"title":"Forbidden","status":403,"reasonCode":"missing-permissions","security":{}}'

    class Blind(_Watch):
        async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
            if request.url.path.endswith("/query/persons/grants"):
                return httpx.Response(403, text=deny, headers={"Content-Type": "application/problem+json"})
            return await super().handle_async_request(request)

    visit.house.office.transport = Blind(visit)
    visit.house.ministry.fault("lost_answer", times=1, match=GRANTING)
    await visit.whole()
    visit.works()
    assert visit.grants == 1


async def test_after_the_grant_the_offices_profile_alone_goes_on(visit: Visit):
    """KSeF dies when the rights are granted: the client has gone home, and nobody asks for it."""
    visit.house.ministry.fault("slow", times=1, match=GRANTING, params={"ms": 500})
    await visit.sign()
    await visit.house.work_until(lambda: visit.step == "wait")
    visit.house.ministry.fault("outage", match={"path": "^/v2/auth/challenge"})
    await visit.house.carry_out(visit.client)
    assert (visit.row["state"], visit.row["reason_code"], visit.step) == ("failed", "unreachable", "authorise")
    assert (visit.sessions, visit.is_logged_out()) == (0, True), "the client's login serves for nothing more"
    visit.house.ministry.calm()
    await visit.resume()
    visit.works()
    assert (visit.grants, visit.house.ministry.posts(SIGNED_LOGIN)) == (1, 2)


async def test_a_check_that_finds_the_rights_ends_a_visit_that_stopped_after_the_grant(visit: Visit):
    await visit.sign()
    await visit.house.work_until(lambda: visit.step in ("wait", "authorise", "end"))
    await visit.house.carry_out(visit.client)
    visit.house.edit("UPDATE onboarding SET step = 'authorise'")
    authorising.check(visit.house.office, visit.house.admin, visit.client.id)
    await visit.house.carry_out(visit.client)
    visit.works()


@pytest.mark.parametrize("how", ["its time is over", "revoked at KSeF"])
async def test_a_client_whose_login_is_over_before_the_grant_signs_again(visit: Visit, how: str):
    visit.house.ministry.fault("operation_fails", times=1, match=GRANTING, params={"code": 550})
    await visit.stopped_at("grant", "grant_550")
    if how == "its time is over":
        visit.house.later(days=8)
        with pytest.raises(Problem) as caught:
            onboarding.resume(visit.house.office, visit.house.admin, visit.client.id)
        assert caught.value.code == "sign_again"
        await visit.house.work_until(lambda: not visit.sessions)  # tokens that serve for nothing are destroyed
        visit.house.now_again()
    else:
        visit.house.edit("UPDATE client_session SET access_until = ?", "2026-01-01T00:00:00.000Z")
        visit.house.ministry.fault("auth_revoked", times=1)
        await visit.resume()
        assert (visit.row["state"], visit.row["reason_code"], visit.step) == ("failed", "sign_again", "sign")
        assert visit.sessions == 0
    await visit.whole()
    visit.works()


async def test_a_login_that_ends_while_ksef_writes_the_grant_down_changes_nothing(visit: Visit):
    visit.house.ministry.fault("outage", match=ASKING)
    await visit.sign()
    await visit.house.work_until(lambda: visit.step == "wait")
    visit.house.edit("DELETE FROM client_session")
    await visit.house.carry_out(visit.client)
    row = visit.row
    assert (row["state"], visit.step, visit.grants) == ("active", "end", 1)


async def test_what_cannot_be_ended_at_once_is_ended_later(visit: Visit):
    """F32: whatever happens, the client is logged out, by the worker if need be."""
    visit.house.ministry.fault("outage", match=ENDING)
    await visit.whole()
    assert (visit.row["state"], visit.sessions, visit.is_logged_out()) == ("active", 1, False)
    assert idleness.anything_moves(visit.house.office)
    visit.house.ministry.calm()
    visit.house.later(minutes=1)
    await visit.house.work()
    visit.works()


# ---- given up


async def test_cancelling_while_it_waits_for_the_signature(visit: Visit):
    await visit.begin()
    authorising.cancel(visit.house.office, visit.house.admin, visit.client.id)
    assert (visit.row["state"], visit.step, visit.sessions) == ("missing", None, 0)


@pytest.mark.parametrize(("match", "step"), [(READING, "grant"), (ASKING, "wait")])
async def test_cancelling_while_it_runs_logs_the_client_out(visit: Visit, match, step: str):
    visit.house.ministry.fault("outage", match=match)
    await visit.sign()
    await visit.house.work_until(lambda: visit.step == step)
    authorising.cancel(visit.house.office, visit.house.admin, visit.client.id)
    await visit.house.work()
    assert (visit.row["state"], visit.step, visit.sessions) == ("missing", None, 0)
    assert visit.is_logged_out()


@pytest.mark.parametrize("how", ["cancel", "another way", "a new visit"])
async def test_a_visit_that_stopped_is_given_up_and_the_client_logged_out(visit: Visit, how: str):
    visit.house.ministry.fault("operation_fails", times=1, match=GRANTING, params={"code": 550})
    await visit.stopped_at("grant", "grant_550")
    if how == "cancel":
        authorising.cancel(visit.house.office, visit.house.admin, visit.client.id)
        assert visit.row["state"] == "missing"
        with pytest.raises(Problem):
            authorising.cancel(visit.house.office, visit.house.admin, visit.client.id)
    elif how == "another way":
        authorising.start_with_identity(visit.house.office, visit.house.admin, visit.client.id, visit.identity)
    else:
        await visit.begin()
    await visit.house.work()
    assert visit.sessions == 0
    assert visit.is_logged_out()
    assert visit.step == ("sign" if how == "a new visit" else None)


async def test_only_a_visit_that_stopped_can_be_resumed_or_given_up(visit: Visit):
    for service in (onboarding.resume, authorising.cancel):
        with pytest.raises(Problem) as caught:
            service(visit.house.office, visit.house.admin, visit.client.id)
        assert caught.value.code in ("nothing_to_resume", "nothing_runs")
    await visit.begin()
    with pytest.raises(Problem) as caught:
        onboarding.resume(visit.house.office, visit.house.admin, visit.client.id)
    assert caught.value.code == "to_sign"


# ---- another process goes on


STEPS = ["sign", "grant", "granting", "wait", "authorise", "end"]


@pytest.mark.parametrize("step", STEPS)
async def test_after_a_kill_at_any_step_another_process_goes_on(visit: Visit, step: str):
    """The process dies with its call under way, whether KSeF has acted on it or not; the next opens the database anew."""
    house, client = visit.house, visit.client
    await visit.sign()
    await _die(house, client, _reached(visit, step), _slowed(step))
    house.ministry.calm()
    other = open_office(house.folder)
    other.transport = house.office.transport
    try:
        operator = operator_named(other, "kierownik")
        if step != "end":
            onboarding.resume(other, operator, client.id)  # what runs goes on; nothing is written
        await own_work.carry_out(other, client.id, patience=30)
    finally:
        other.close()
    visit.works()
    assert visit.grants == 1


def _slowed(step: str) -> tuple[str, str]:
    """The call at which the process is killed."""
    return {
        "sign": ("POST", "/auth/xades-signature"),
        "grant": ("POST", "/query/persons/grants"),
        "granting": ("POST", "/entities/grants"),
        "wait": ("GET", "/permissions/operations/"),
        "authorise": ("POST", "/auth/challenge"),
        "end": ("DELETE", "/auth/sessions/current"),
    }[step]


def _reached(visit: Visit, step: str) -> Callable[[], bool]:
    if step == "granting":
        return lambda: bool(visit.house.db.value("SELECT granting_at FROM onboarding"))
    return lambda: visit.step == step


async def _die(house: House, client: Client, reached: Callable[[], bool], call: tuple[str, str]) -> None:
    """Carry out what was asked for until that call is under way and its answer is on its way back, then stop dead."""
    under_way = asyncio.Event()
    inner = house.office.transport
    sign_only = call[1].endswith("xades-signature")

    class Dying(httpx.AsyncBaseTransport):
        async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
            if request.method == call[0] and call[1] in request.url.path and reached():
                if not sign_only:
                    await inner.handle_async_request(request)
                under_way.set()
                await asyncio.sleep(60)
            return await inner.handle_async_request(request)

    house.office.transport = Dying()
    run = asyncio.create_task(house.carry_out(client))
    async with asyncio.timeout(30):
        await under_way.wait()
    run.cancel()
    with suppress(asyncio.CancelledError):
        await run
    house.edit("DELETE FROM lease")  # it died with the process
    if sign_only:  # killed between writing down and sending: whether it left is not known, so it is signed anew
        house.edit("UPDATE signature_request SET submitted_at = NULL")
    house.office.transport = inner


# ---- who and with what


async def test_only_a_profile_of_the_office_will_do(house: House):
    client = house.client()
    mine = house.identity("moja", person(new_pesel()))
    old = house.identity("stara", seal(house.nip, days=2))
    house.later(days=3)
    good = house.identity("pieczęć")
    for identity, code in ((mine, "personal_identity"), (old, "certificate_expired"), (999, "unknown_identity")):
        with pytest.raises(Problem) as caught:
            onboarding.start(house.office, house.admin, client.id, identity)
        assert caught.value.code == code
    assert [row["id"] for row in onboarding.profiles(house.office, house.admin)] == [good]
    own = house.db.value("SELECT id FROM client WHERE office = 1")
    with pytest.raises(Problem) as caught:
        onboarding.start(house.office, house.admin, own, good)
    assert caught.value.code == "own_account"


async def test_scripts_see_where_it_stands(visit: Visit):
    def code() -> str:
        return contract.authorization(visit.house.office, visit.house.admin, visit.client.nip)["onboarding"]

    assert code() == ""
    await visit.begin()
    assert code() == "sign"
    authorising.cancel(visit.house.office, visit.house.admin, visit.client.id)
    visit.house.ministry.fault("operation_fails", times=1, match=GRANTING, params={"code": 550})
    await visit.whole()
    assert code() == "grant"
    await visit.resume()
    assert code() == "done"


def test_every_code_of_an_operation_has_a_sentence_of_its_own():
    known = [grant_code(code) for code in (100, 200, 400, 410, 420, 430, 440, 450, 500, 550)]
    assert len({code.sentence for code in known}) == len(known)
    assert [code.code for code in known if code.again] == [400, 500, 550]
    assert grant_code(999).terminal
    assert not grant_code(120).terminal
