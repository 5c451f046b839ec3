"""Two clients, one identity: neither can ever be served by the other's token, nor sent in the other's name (F22, F23).

Whatever belongs to one client is swapped with the other's, or copied over it, in the database; then everything that
calls KSeF is done. The network sees whose token each call carries, the sandbox in whose context each document arrived.
"""

from __future__ import annotations

import asyncio
import inspect
import re
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from pkgutil import iter_modules
from typing import Any

import httpx
import pytest
from support.companies import seal
from support.houses import LOGIN, Client, House
from support.ministry import PATIENCE, Ministry, Process
from support.mixing import PAST, Scene, Watching, copy, folder_copy, schema, swap

import ksef_tui.services
from ksef_tui.compose import open_office
from ksef_tui.domain.problems import Problem
from ksef_tui.services import (
    approving,
    authorising,
    certifying,
    exporting,
    invoice_views,
    office,
    repair_views,
    staff_orders,
    switching,
    syncing,
)
from ksef_tui.services.own_work import carry_out, carry_out_switches, look_for
from ksef_tui.services.worker import Worker

# ---- the scene: furnished once, a copy of its database for each test


@pytest.fixture(scope="module")
def furnished(ministry_process: Process, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    ministry = Ministry(ministry_process.url)
    scene = Scene(House(tmp_path_factory.mktemp("mixing") / "biuro", ministry))
    asyncio.run(scene.furnish())
    scene.house.close()
    yield scene
    ministry.close()


@pytest.fixture
async def scene(furnished: Scene, ministry: Ministry, tmp_path: Path) -> AsyncIterator[Scene]:
    folder_copy(furnished.house.folder, tmp_path / "biuro")
    house = object.__new__(House)
    house.folder, house.ministry, house.nip = tmp_path / "biuro", ministry, furnished.house.nip
    house.office = open_office(house.folder)
    house.admin = office.operator_named(house.office, LOGIN)
    house._shift = furnished.house._shift
    house.office.transport = Watching(house.office)
    scene = Scene(house)
    scene.sellers = dict(furnished.sellers)
    scene.certificates, scene.tokens, scene.signatures = furnished.certificates, furnished.tokens, furnished.signatures
    yield scene
    house.close()


# ---- what is mixed up

# Tables that hold something of a client, and do not lead to a call in its name or to sending.
HARMLESS = {
    "audit": "what happened",
    "authorization_event": "what happened",
    "invoice_count": "counters that keep themselves",
    "operator": "which company's person it is: test_roles_of_services",
    "grant_seen": "what a list said, for people",
    "probe": "when a client was asked about",
    "service_end": "when a service ended, and what was seen since",
    "bulk_client": "who is asked: the same for anybody",
}
# Tables whose rows are mixed up where they are made: tests of their own do it.
ELSEWHERE = {
    "identity": "test_standing: a self-service client's certificate opens that client alone",
    "enrolment": "orders of the office's own certificates, in its own context",
    "revocation": "of the office's own certificates, in its own context",
    "onboarding": "test_onboarding",
    "client_session": "test_onboarding",
    "staff_order": "grants of the office to its people, in its own context",
}
QUEUE = ("pause", "client_rest", "unstored", "collision")
MIXED = ("authorization", "session", "invoice", "signature_request", "identity_switch", "client")
ROWS = {
    "invoice": (
        "state = 'approved'",
        "upo = 'none' AND state = 'accepted'",
        "state = 'processing'",
        "state = 'unknown'",
    )
}
# What decides by itself whose something is; the other columns of a row are mixed up all at once.
TELLING = re.compile(
    "sealed_.*|.*nip|reference|subject|method|identity_id|sha256|upo_sha256|client_id|session_id|fallback|challenge|"
    "document|iv|seal_row|ksef_number|original_session|state|phase|rights"
)
COLLISION = ["invoice_id", "ksef_number", "document_sha256", "wanted", "missing", "next_look"]
NEVER = {"id", "change_seq", "place", "operator_id", "ordinal", "number", "number_key"}


def edits() -> list[Any]:
    """Each telling column by itself, all of them, and all others; exchanged and copied."""
    found = []
    for table in MIXED:
        columns = [column for column in schema()[table] if column not in NEVER]
        telling = [column for column in columns if TELLING.fullmatch(column)]
        rest = [column for column in columns if column not in telling]
        groups = {**{column: [column] for column in telling}, "all that tells": telling, "all the rest": rest}
        if table == "invoice":
            del groups["state"]
        for name, group in groups.items():
            found += [pytest.param(how, table, group, id=f"{how.__name__} {table}: {name}") for how in (swap, copy)]
    return found


@pytest.mark.parametrize(("how", "table", "columns"), edits())
async def test_whatever_is_mixed_up_in_the_database_nothing_is_done_in_the_others_name(
    scene: Scene, how: Callable[..., bool], table: str, columns: list[str]
):
    for client in scene.certificates:
        scene.approved(client)
    pair = scene.pair_of(table)
    mixed = [how(scene.house, pair, table, columns, where) for where in ROWS.get(table, ("1",))]
    if not any(mixed):
        return  # both say the same: nothing was mixed up
    await everything(scene)
    nothing_was_mixed(scene)
    everything_says_why(scene)


def queue_edits() -> list[Any]:
    """Each column of what the queue keeps beside its invoices, and what an invoice says of it; exchanged and copied."""
    found = [("invoice", "urgent_at", "state = 'approved'"), ("invoice", "replaced_by", "state = 'replaced'")]
    columns = {**schema(), "collision": COLLISION}
    found += [(table, column, "1") for table in QUEUE for column in columns[table] if column not in NEVER]
    return [pytest.param(how, *one, id=f"{how.__name__} {one[0]}: {one[1]}") for one in found for how in (swap, copy)]


@pytest.mark.parametrize(("how", "table", "column", "where"), queue_edits())
async def test_whatever_the_queue_keeps_of_one_client_is_neither_done_nor_told_for_the_other(
    scene: Scene, how: Callable[..., bool], table: str, column: str, where: str
):
    scene.furnish_queue()
    names = {client.nip: scene.names_of(client) for client in scene.certificates}
    if not how(scene.house, scene.certificates, table, [column], where):
        return  # both say the same: nothing was mixed up
    nothing_is_told(scene, names)
    await everything(scene)
    nothing_was_mixed(scene)
    everything_says_why(scene)
    nothing_is_told(scene, names)
    watching = scene.house.office.transport
    assert isinstance(watching, Watching)
    for other, theirs in names.items():
        asked = [path for nip, path in watching.asked if nip != other and theirs.intersection(path.split("/"))]
        assert asked == [], "what is one client's was asked for in the name of the other"


def nothing_is_told(scene: Scene, names: dict[str, set[str]]) -> None:
    """What is shown of an invoice names nothing of the other client."""
    house = scene.house
    for client in scene.certificates:
        others = set[str]().union(*(theirs for nip, theirs in names.items() if nip != client.nip))
        for row in house.db.rows("SELECT id FROM invoice WHERE client_id = ?", (client.id,)):
            explained = repair_views.explain(house.office, house.admin, row["id"])
            detailed = invoice_views.invoice_details(house.office, house.admin, row["id"])
            said = f"{explained.replaces} {explained.replaced_by} {explained.comparison} {detailed.links} {detailed.original}"
            assert [name for name in others if name in said] == []


@pytest.mark.parametrize("how", [swap, copy])
@pytest.mark.parametrize("column", ["sealed_token", "subject", "context_nip", "fallback", "method", "state"])
async def test_tokens_that_are_mixed_up_open_nothing(scene: Scene, how: Callable[..., bool], column: str):
    for client in scene.tokens:
        scene.approved(client)
    how(scene.house, scene.tokens, "authorization", (column,))
    await everything(scene)
    nothing_was_mixed(scene)
    everything_says_why(scene)
    if column == "sealed_token":
        second = scene.house.auth(scene.tokens[1])
        assert (second["state"], second["reason_code"]) == ("failed", "no_token")


async def everything(scene: Scene) -> None:
    """All that calls KSeF for these clients: a worker, checks, a refreshed and a new login, a change of identity, an end."""
    house = scene.house
    await work(scene)
    house.edit("UPDATE authorization SET access_until = ? WHERE access_until IS NOT NULL", PAST)
    for client in scene.clients:
        with suppress(Problem):  # it says why it cannot be checked
            authorising.check(house.office, house.admin, client.id)
    await work(scene)
    identity = house.db.value("SELECT id FROM identity")
    for client in (*scene.tokens, *scene.signatures):
        with suppress(Problem):
            switching.ask(house.office, house.admin, [client.id], identity)
    await work(scene)


async def work(scene: Scene) -> None:
    """A worker until nobody can get on: idle, or all that is left says why it stands."""
    house = scene.house
    worker = Worker(house.office, until_idle=True)
    run = asyncio.create_task(worker.run())
    async with asyncio.timeout(PATIENCE):
        while not run.done() and not (
            told(scene) and not house.db.value("SELECT 1 FROM authorization WHERE intent <> ''")
        ):
            await asyncio.sleep(0.02)
    worker.stop()
    await run


def told(scene: Scene) -> bool:
    return not silent(scene)


def silent(scene: Scene) -> list[dict[str, Any]]:
    """Invoices that are neither at their end nor say why not."""
    house = scene.house
    rows = house.db.rows(
        "SELECT * FROM invoice WHERE state NOT IN ('rejected', 'blocked') AND upo NOT IN ('saved', 'unavailable')"
    )
    shown = invoice_views.queue_rows(house.office, house.admin, [row["id"] for row in rows])
    return [
        dict(row)
        for row in rows
        if not row["reason"]
        and (row["id"] not in shown or not shown[row["id"]].standing)
        and not stands(scene, row["client_id"])
    ]


def stands(scene: Scene, client_id: int) -> bool:
    """Whether the client's own row says why nothing of it moves."""
    row = scene.house.db.row("SELECT * FROM authorization WHERE client_id = ?", (client_id,))
    return row is not None and row["state"] not in ("active", "expiring", "read_only", "running")


def nothing_was_mixed(scene: Scene) -> None:
    house = scene.house
    watching = house.office.transport
    assert isinstance(watching, Watching)
    assert watching.calls, "nothing was done at all"
    assert watching.wrong == [], "a call carried another client's token"
    ours = {client.nip for client in scene.clients}
    for document in house.ministry.received():
        seller = scene.sellers.get(document["hash"])
        if seller is not None:
            assert document["context"] == seller, (
                f"a document of {seller} was sent in the context of {document['context']}"
            )
    for login in house.ministry.logins():
        if login["context"] in ours and login["token_of"] is not None:
            assert login["token_of"] == login["context"], "a client's KSeF token was tried in another client's context"
    for row in house.db.rows("SELECT * FROM invoice WHERE state = 'accepted' AND ksef_number <> ''"):
        if row["upo"] == "saved" and row["upo_sha256"] is not None and row["seller_nip"] == row["ksef_number"][:10]:
            assert house.db.value("SELECT 1 FROM document WHERE sha256 = ?", (row["upo_sha256"],))


def everything_says_why(scene: Scene) -> None:
    assert silent(scene) == []
    for client in scene.clients:
        row = scene.house.auth(client)
        assert row["intent"] == "" or row["state"] in ("running", "to_sign"), dict(row)
        if row["state"] in ("failed", "blocked", "no_permission", "expired"):
            assert row["reason"], dict(row)


# ---- what was kept of the past


@pytest.mark.parametrize("column", ["upo_sha256", "ksef_number", "sha256"])
def test_a_receipt_of_the_other_client_is_given_to_nobody(scene: Scene, tmp_path: Path, column: str):
    house = scene.house
    assert swap(house, scene.certificates, "invoice", (column,), "upo = 'saved'")
    one, two = scene.certificates
    for client in scene.certificates:
        with pytest.raises(Problem) as caught:
            exporting.export_upos(house.office, house.admin, tmp_path / client.nip, client_id=client.id)
        assert caught.value.code == "other_upo"
    for client, other in ((one, two), (two, one)):
        for file in (tmp_path / client.nip).iterdir():
            assert other.nip not in file.read_text()


def test_a_document_of_the_other_client_is_shown_and_given_to_nobody(scene: Scene, tmp_path: Path):
    house = scene.house
    ids = [scene.approved(client)[0] for client in scene.certificates]
    assert swap(house, scene.certificates, "invoice", ("sha256",), "state = 'approved'")
    for invoice_id in ids:
        with pytest.raises(Problem) as caught:
            exporting.export_invoices(house.office, house.admin, [invoice_id], tmp_path)
        assert caught.value.code == "other_document"
        with pytest.raises(Problem) as caught:
            invoice_views.invoice_details(house.office, house.admin, invoice_id)
        assert caught.value.code == "other_document"


# ---- a third client


async def test_three_clients_in_a_ring_each_get_back_nothing_of_the_others(scene: Scene):
    """A's tokens to B, B's to C, C's to A; and the same with their sessions."""
    house = scene.house
    third = await house.ready_client()
    ring = (*scene.certificates, third)
    for client in ring:
        scene.approved(client)
    swap(house, (ring[0], ring[1]), "authorization", ("sealed_access", "sealed_refresh", "reference"))
    swap(house, (ring[1], ring[2]), "authorization", ("sealed_access", "sealed_refresh", "reference"))
    await everything(scene)
    nothing_was_mixed(scene)
    assert [house.auth(client)["state"] for client in ring] == ["active"] * 3
    rows = house.db.rows("SELECT state, upo FROM invoice WHERE client_id = ?", (third.id,))
    assert [tuple(row) for row in rows] == [("accepted", "saved")]


# ---- each function that calls by itself


async def test_ending_one_client_does_not_end_the_others_login(scene: Scene):
    house = scene.house
    one, two = scene.certificates
    house.edit("DELETE FROM identity_switch")
    house.edit("UPDATE invoice SET state = 'withdrawn', upo = 'saved'")
    for client in scene.certificates:
        await house.authorise(client)
    refresh = house.office.sealer.open(
        house.auth(two)["sealed_refresh"], client=two.nip, kind="refresh_token", row=str(two.id)
    )
    assert swap(house, (one, two), "authorization", ["sealed_refresh", "sealed_access", "reference"])
    authorising.revoke(house.office, house.admin, one.id)
    await carry_out(house.office, one.id, patience=PATIENCE)
    assert house.auth(one)["state"] == "missing"
    answer = httpx.post(
        f"{house.ministry.url}/v2/auth/token/refresh",
        headers={"Authorization": f"Bearer {refresh.reveal_text()}"},
        trust_env=False,
    )
    assert answer.status_code == 200, "the other client's login was ended"


async def test_the_list_of_grants_is_never_asked_for_with_a_clients_token(scene: Scene):
    house = scene.house
    row = house.db.row("SELECT id, nip FROM client WHERE office = 1")
    own = Client(row["id"], row["nip"])
    await house.authorise(own)
    assert swap(house, (own, scene.certificates[0]), "authorization", ["sealed_refresh", "sealed_access", "reference"])
    found = await syncing.preview(house.office, house.admin)
    assert found.received >= 2
    await everything(scene)
    nothing_was_mixed(scene)


async def test_a_change_of_identity_takes_no_other_clients_login(scene: Scene):
    house = scene.house
    other = house.identity("nowa", seal(house.nip))
    house.edit("DELETE FROM identity_switch")
    switching.ask(house.office, house.admin, [client.id for client in scene.certificates], other, force=True)
    assert swap(
        house, scene.certificates, "authorization", ["sealed_refresh", "sealed_access", "reference", "fallback"]
    )
    await carry_out_switches(house.office, [client.id for client in scene.certificates], patience=PATIENCE)
    nothing_was_mixed(scene)
    assert [house.auth(client)["identity_id"] for client in scene.certificates] == [other] * 2


@pytest.mark.parametrize(
    ("table", "columns"),
    [
        ("authorization", ["sealed_access", "sealed_refresh", "reference"]),
        ("invoice", ["sha256"]),
        ("invoice", ["number", "number_key"]),
        ("session", ["reference"]),
    ],
)
async def test_what_is_to_be_tried_again_is_looked_for_in_its_own_clients_name(
    scene: Scene, table: str, columns: list[str]
):
    """`own_work.look_for`: the other client's invoice is found for nobody."""
    house = scene.house
    retried = [scene.approved(client)[0] for client in scene.certificates]
    names = {client.nip: scene.names_of(client) for client in scene.certificates}
    for invoice_id in retried:
        house.edit(
            "UPDATE invoice SET state = 'rejected', reason_code = '550', reason = 'awaria' WHERE id = ?", invoice_id
        )
    assert approving.retry(house.office, house.admin, retried).done == 2
    assert swap(house, scene.certificates, table, columns, "state = 'unknown'" if table == "invoice" else "1")
    await look_for(house.office, retried, patience=PATIENCE)
    nothing_was_mixed(scene)
    assert "accepted" not in house.states(retried)
    assert "unknown" not in house.states(retried)
    for client in scene.certificates:
        watching = house.office.transport
        assert isinstance(watching, Watching)
        if table != "session":
            assert not [p for nip, p in watching.asked if nip != client.nip and names[client.nip] & set(p.split("/"))]


@pytest.mark.parametrize("how", ["the mark of the office", "the NIP"])
async def test_no_clients_account_passes_for_the_offices_own(scene: Scene, how: str):
    """There certificates are ordered, rights are given and lists of grants are read: nothing of it in a client's."""
    house, client = scene.house, scene.certificates[0]
    own = house.db.value("SELECT id FROM client WHERE office = 1")
    await house.authorise(Client(own, house.nip))
    if how == "the NIP":
        for nip, client_id in (("0" * 10, own), (house.nip, client.id), (client.nip, own)):
            house.edit("UPDATE client SET nip = ? WHERE id = ?", nip, client_id)
    else:
        house.edit("UPDATE client SET office = id = ? WHERE id IN (?, ?)", client.id, client.id, own)
    before = len(house.db.rows("SELECT 1 FROM journal"))
    office, admin = house.office, house.admin
    for begin in (
        lambda: syncing.preview(office, admin),
        lambda: certifying.limits(office, admin),
        lambda: certifying.finish(office, certifying.order(office, admin, "Biuro", "nowy"), patience=PATIENCE),
        lambda: staff_orders.carry_out(office, admin, patience=PATIENCE),
        lambda: checked(scene, client),
    ):
        with pytest.raises(Problem) as caught:
            await begin()
        assert caught.value.code == "other_account"
    assert len(house.db.rows("SELECT 1 FROM journal")) == before, "something left for KSeF"


async def checked(scene: Scene, client: Client) -> None:
    authorising.check(scene.house.office, scene.house.admin, client.id)
    await scene.house.carry_out(client)


# Whatever begins a call to KSeF by itself, and the test that mixes its clients up. A step that is given its client's
# turn is watched with the pass that it belongs to.
HERE = "here"
BEGIN = {
    "worker.one_pass": HERE,
    "own_work.carry_out": HERE,
    "own_work.intent_once": "by carry_out",
    "own_work.carry_out_switches": HERE,
    "own_work.own_turn": "by syncing.preview",
    "own_work.serve_until": "passes of the worker for one client",
    "own_work.look_for": HERE,
    "supervised.supervise": "tells the service manager of a worker, KSeF of nothing",
    "syncing.preview": HERE,
    "bulk_work.see_through": "passes of the worker: test_bulk",
    "certifying.finish": "the identity's own context: test_enrolment",
    "certifying.finish_revocation": "the identity's own context: test_enrolment",
    "certifying.limits": "the identity's own context: test_enrolment",
    "certifying.listed": "the identity's own context: test_enrolment",
    "certifying.renewal_limits": "the identity's own context: test_enrolment",
    "staff_orders.carry_out": "the office's own context: test_staff",
    "standing_identities.resume": "the office's own context: test_standing",
}


def test_every_service_function_that_begins_a_call_is_known():
    """A new one must be mixed up too, or say where it is."""
    begin = set()
    for found in iter_modules(ksef_tui.services.__path__):
        module = import_module(f"ksef_tui.services.{found.name}")
        for name, function in inspect.getmembers(module, inspect.isfunction):
            if function.__module__ != module.__name__ or name.startswith("_"):
                continue
            inner = inspect.unwrap(function)
            calls = inspect.iscoroutinefunction(inner) or inspect.isasyncgenfunction(inner)
            if calls and "turn" not in inspect.signature(inner).parameters:
                begin.add(f"{found.name}.{name}")
    assert begin == BEGIN.keys()


def test_every_table_with_something_of_a_client_is_mixed_up_or_explained():
    """A new one must be mixed up too, or say why not."""
    assert schema().keys() <= {*MIXED, *QUEUE, *HARMLESS, *ELSEWHERE}
    assert {*HARMLESS, *ELSEWHERE}.isdisjoint({*MIXED, *QUEUE})
