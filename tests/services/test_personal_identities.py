"""A certificate of one employee never signs for what another approved or started (design §2), whatever is called.

The client and the office's own account are opened with Zofia's PESEL certificate; everything is tried by Bogdan. Her
kept tokens are gone, so whatever needs a login would have to sign. Every public function of `services` is in one of
the tables below: a new one that is in none fails the last test.
"""

from __future__ import annotations

import asyncio
import importlib
import inspect
import pkgutil
from collections.abc import Awaitable, Callable
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from support import papers
from support.client_side import ClientSide
from support.companies import Paper, foreigner, new_pesel, person
from support.houses import BOTH, House
from support.houses import Client as OfficeClient
from support.ministry import SEND, SIGNED_LOGIN

import ksef_tui.services
from ksef_tui.domain.problems import Problem
from ksef_tui.domain.roles import Operator, Role
from ksef_tui.domain.secret import Secret
from ksef_tui.services import (
    approving,
    authorising,
    batches,
    bulk,
    bulk_work,
    certifying,
    client_sessions,
    collision_reading,
    collisions,
    dispatching,
    ending,
    enrolment,
    external,
    identities,
    interactive,
    lineage,
    login,
    one_login,
    operators,
    originals,
    own_work,
    pausing,
    personal,
    probing,
    receipts,
    reconciling,
    replacing,
    reserve,
    retrying,
    sending,
    staff,
    staff_orders,
    standing_identities,
    storage,
    switching,
    syncing,
    tracking,
    worker,
)
from ksef_tui.services.own_work import own_turn
from ksef_tui.services.staff import Newcomer
from ksef_tui.services.turn import NoAccess, Turn
from ksef_tui.services.worker import Worker
from ksef_tui.store import authorizations, leases
from ksef_tui.store import collisions as stored_collisions

PATIENCE = 5.0
OWN_RIGHTS = ("CredentialsManage", "CredentialsRead", "InvoiceWrite", "InvoiceRead")


class Scene:
    """Zofia's certificate opens both accounts. The client's queue holds what was approved by Bogdan, by Cezary, by the
    client's own operator, by nobody, and what the database says Zofia approved though she did not."""

    def __init__(self, house: House) -> None:
        self.house, self.office = house, house.office
        self.zofia = house.operator("zofia", Role.ADMIN)
        self.bogdan = house.operator("bogdan", Role.ADMIN)
        self.cezary = house.operator("cezary", Role.ACCOUNTANT)
        self.client = house.client(name="Jodła Próbna")
        self.own = OfficeClient(staff.own_client(house.office), house.nip)
        self.theirs = house.operator("jodla", Role.CLIENT, self.client)
        self.pesel = new_pesel()
        self.paper: Paper = person(self.pesel)
        house.ministry.grant(self.client.nip, self.pesel, "InvoiceWrite", "InvoiceRead", kind="Pesel")
        house.ministry.grant(house.nip, self.pesel, *OWN_RIGHTS, kind="Pesel")
        self.identity = house.identity("Zofia", self.paper, self.zofia)

    async def furnish(self) -> None:
        house = self.house
        await house.authorise(self.client, self.identity, self.zofia)
        await house.authorise(self.own, self.identity, self.zofia)
        by_bogdan, by_cezary, by_client, by_nobody, edited, waiting = house.bring(
            self.client, *(papers.invoice(self.client.nip) for _ in range(6))
        )
        for who, invoice in (
            (self.bogdan, by_bogdan),
            (self.cezary, by_cezary),
            (self.theirs, by_client),
            (self.bogdan, edited),
        ):
            assert approving.approve(self.office, who, [invoice]).done == 1
        house.edit("UPDATE invoice SET state = 'approved', approved_by = NULL WHERE id = ?", by_nobody)
        house.edit("UPDATE invoice SET approved_by = ? WHERE id = ?", self.zofia.id, edited)
        self.approved = [by_bogdan, by_cezary, by_client, by_nobody, edited]
        self.waiting = waiting
        self.forget_tokens()
        self.signed_before = self.signed

    def forget_tokens(self) -> None:
        """Her logins are over: what needs one would have to sign."""
        self.house.edit(
            "UPDATE authorization SET sealed_access = NULL, access_until = NULL, sealed_refresh = NULL, refresh_until = NULL"
        )

    @property
    def signed(self) -> int:
        return self.house.ministry.posts(SIGNED_LOGIN)

    @property
    def sent(self) -> int:
        return self.house.ministry.posts(SEND)

    async def in_turn(self, do: Callable[[Turn], Awaitable[Any]]) -> None:
        """In a turn that Bogdan asked for, and in one that nobody did, at the client's and in the office's own account."""
        for client in (self.client, self.own):
            for asker in (self.bogdan, None):
                async with own_turn(self.office, client.id, self.bogdan, patience=PATIENCE) as turn:
                    turn.operator = asker
                    with suppress(Problem, NoAccess):
                        await do(turn)


@pytest.fixture
async def scene(house: House) -> Scene:
    scene = Scene(house)
    await scene.furnish()
    return scene


def row_of(turn: Turn) -> Any:
    return authorizations.get(turn.office.db, turn.client_id)


Try = Callable[[Scene, Operator], Any]


def turned(do: Callable[[Turn], Awaitable[Any]]) -> Try:
    return lambda s, _: s.in_turn(do)


async def _pass(scene: Scene) -> None:
    serving = Worker(scene.office)
    try:
        for client in (scene.client, scene.own):
            with suppress(Problem, NoAccess):
                await worker.one_pass(serving, client.id, worker.Polls())
    finally:
        await serving.api.aclose()


async def _intent_once(scene: Scene) -> None:
    serving = Worker(scene.office)
    try:
        for client in (scene.client, scene.own):
            _forge(scene, client, "check", "active")
            lease = leases.take(scene.office.db, f"client:{client.id}", 60.0)
            assert lease is not None
            await own_work.intent_once(serving, client.id, worker.Polls(), lease)
    finally:
        await serving.api.aclose()


def _forge(scene: Scene, client: OfficeClient, intent: str, state: str) -> None:
    """An intent that Bogdan wrote past the services, with the database in hand."""
    scene.house.edit("UPDATE authorization SET intent = ?, state = ? WHERE client_id = ?", intent, state, client.id)
    scene.house.edit(
        "INSERT INTO audit (at, operator_id, login, act, client_id, detail) VALUES ('', ?, 'bogdan', 'auth.start', ?, '{}')",
        scene.bogdan.id, client.id,
    )  # fmt: skip


async def _forged_intent(scene: Scene, intent: str) -> None:
    for client in (scene.client, scene.own):
        _forge(scene, client, intent, "running" if intent == "login" else "active")
        await own_work.carry_out(scene.office, client.id, patience=PATIENCE)


async def _bulk(scene: Scene, kind: str, identity: int | None = None) -> None:
    begun = bulk.begin(scene.office, scene.bogdan, kind, [scene.client.id, scene.own.id], identity)
    await asyncio.wait_for(bulk_work.see_through(scene.office, scene.bogdan, [begun.run_id]), 30.0)


async def _pretended_switch(scene: Scene) -> None:
    """A wish to change to Zofia's certificate, written by Bogdan past the service's own question."""
    scene.house.edit(
        "INSERT INTO identity_switch (client_id, identity_id, operator_id, asked_at) VALUES (?, ?, ?, ?)",
        scene.client.id, scene.identity, scene.bogdan.id, "2026-01-01T00:00:00.000Z",
    )  # fmt: skip
    scene.house.edit("UPDATE authorization SET state = 'missing', method = NULL, identity_id = NULL, subject = '' WHERE client_id = ?",
        scene.client.id)  # fmt: skip
    await own_work.carry_out_switches(scene.office, [scene.client.id], patience=PATIENCE)


async def _whatever_is_approved(turn: Turn, send: Callable[..., Awaitable[None]], *more: str) -> None:
    """With every approved invoice of the client, whoever approved it."""
    rows = turn.office.db.rows("SELECT * FROM invoice WHERE client_id = ? AND state = 'approved'", (turn.client_id,))
    await send(turn, await login.access_for(turn), rows, *more)


async def _as_after_a_restore(turn: Turn) -> None:
    with turn.office.db.write() as connection:
        connection.execute("UPDATE client SET reconcile_since = '2026-01-01T00:00:00Z'")
    await reconciling.reconcile(turn)


async def _wanted_again(turn: Turn) -> None:
    """An invoice that somebody wants to try again, and another whose original is to be read."""
    with turn.office.db.write() as connection:
        values = "state = 'unknown', reason_code = 'retry'"
        one = connection.execute("SELECT min(id) FROM invoice WHERE client_id = ?", (turn.client_id,)).fetchone()[0]
        connection.execute(f"UPDATE invoice SET {values} WHERE id = ?", (one,))
    await retrying.go_on(turn)


async def _collided(turn: Turn) -> None:
    with turn.office.db.write() as connection:
        values = "state = 'rejected', reason_code = '440'"
        one = connection.execute("SELECT min(id) FROM invoice WHERE client_id = ?", (turn.client_id,)).fetchone()[0]
        connection.execute(f"UPDATE invoice SET {values} WHERE id = ?", (one,))
        stored_collisions.put(connection, one)
    await collision_reading.go_on(turn)


async def _not_seen_stored(turn: Turn) -> None:
    with turn.office.db.write() as connection:
        connection.execute(
            "INSERT OR REPLACE INTO unstored SELECT min(id), client_id, ?1, ?1 FROM invoice WHERE client_id = ?2 GROUP BY 2",
            ("2026-01-01T00:00:00.000Z", turn.client_id),
        )
        connection.execute(
            "UPDATE invoice SET session_id = NULL, original_session = 'S' WHERE client_id = ?", (turn.client_id,)
        )
    await storage.look(turn)


def _asked_about_a_collision(scene: Scene) -> None:
    """What KSeF has under the number of an invoice that she approved, Bogdan wants to see."""
    hers = _hers(scene)
    scene.house.edit("UPDATE invoice SET state = 'rejected', reason_code = '440' WHERE id = ?", hers)
    collisions.ask_again(scene.office, scene.bogdan, hers)


def _hers(scene: Scene) -> int:
    """An invoice that Zofia herself approved."""
    assert approving.approve(scene.office, scene.zofia, [scene.waiting]).done == 1
    return scene.waiting


async def _tried_again(scene: Scene, invoice_id: int) -> None:
    """KSeF refused it for a reason that may pass; Bogdan wants another try and waits for the look that comes before it."""
    scene.house.edit("UPDATE invoice SET state = 'rejected', reason_code = '550' WHERE id = ?", invoice_id)
    assert approving.retry(scene.office, scene.bogdan, [invoice_id]).done == 1
    await own_work.look_for(scene.office, [invoice_id], patience=1.0)


def _replaced(scene: Scene) -> None:
    """In the place of a refused invoice that she approved Bogdan puts a file of his, and approves it."""
    hers = _hers(scene)
    number = scene.house.invoice(hers)["number"]
    scene.house.edit("UPDATE invoice SET state = 'rejected', reason_code = '450' WHERE id = ?", hers)
    new = replacing.replace(
        scene.office, scene.bogdan, hers, "nowa.xml", papers.invoice(scene.client.nip, number, item="Nowa")
    )
    assert approving.approve(scene.office, scene.bogdan, [new]).done == 1
    scene.approved.append(new)


async def _suspect(scene: Scene) -> None:
    scene.house.edit("UPDATE identity SET suspected_at = '2026-01-01T00:00:00.000Z' WHERE id = ?", scene.identity)
    await scene.in_turn(standing_identities.test_suspects)


async def _resume_stopped(scene: Scene) -> None:
    scene.house.edit(
        "UPDATE identity SET stopped_at = '2026-01-01T00:00:00.000Z', stop_reason = 'x' WHERE id = ?", scene.identity
    )
    try:
        await standing_identities.resume(scene.office, scene.bogdan, "Zofia")
    finally:
        scene.house.edit("UPDATE identity SET stopped_at = NULL, stop_reason = '' WHERE id = ?", scene.identity)


async def _probed(scene: Scene) -> None:
    scene.house.edit("UPDATE authorization SET checked_at = '2026-01-01T00:00:00.000Z'")
    await scene.in_turn(probing.probe)


async def _staff(scene: Scene, order: Callable[[], Any]) -> None:
    order()
    await staff_orders.carry_out(scene.office, scene.bogdan, patience=PATIENCE)


async def _old_lists(scene: Scene) -> None:
    scene.house.edit(
        "INSERT INTO staff_person (id, subject_type, subject_value, first_name, last_name) VALUES (9, 'Nip', '1', 'A', 'B')"
    )
    scene.house.edit("INSERT INTO staff_grant VALUES ('x', 9, '', 'InvoiceRead', 1, NULL)")
    scene.house.edit("INSERT INTO staff_read VALUES (1, '2026-01-01T00:00:00.000Z', 0)")
    await scene.in_turn(staff_orders.carry_on)


def _certificate_order(scene: Scene) -> None:
    """An order in the account that Zofia's certificate opened, asked for by Bogdan."""
    certifying.order(scene.office, scene.bogdan, "Certyfikat biura", "nowy")


def newcomer() -> Newcomer:
    return Newcomer("Pesel", Secret(new_pesel()), "Jan", "Próbny")


TRIED: dict[str, Try] = {
    # asking about a client's authorisation
    "authorising.start_with_identity": lambda s, o: authorising.start_with_identity(
        s.office, o, s.client.id, s.identity
    ),
    "authorising.start": lambda s, o: authorising.check(s.office, o, s.own.id),
    "authorising.begin": lambda s, o: _pretended_switch(s),
    "authorising.check": lambda s, o: authorising.check(s.office, o, s.client.id),
    "authorising.cancel": lambda s, o: authorising.cancel(s.office, o, s.client.id),
    "authorising.revoke": lambda s, o: authorising.revoke(s.office, o, s.client.id),
    "authorising.end_logins": lambda s, o: authorising.end_logins(s.office, o, s.zofia.id),
    "authorising.usable_identity": lambda s, o: authorising.usable_identity(s.office, o, s.identity),
    "bulk.begin check": lambda s, o: _bulk(s, "check"),
    "bulk.begin": lambda s, o: _bulk(s, "start", s.identity),
    "bulk.advance": lambda s, o: bulk.advance(s.office),
    "bulk_work.see_through": lambda s, o: _bulk(s, "check"),
    "syncing.preview": lambda s, o: syncing.preview(s.office, o),
    "syncing.apply": lambda s, o: syncing.apply(s.office, o, syncing.SyncPreview(0, (), (), ()), s.identity),
    "ending.end": lambda s, o: ending.end(s.office, o, s.client.id),
    "ending.check": lambda s, o: ending.check(s.office, o, s.client.id),
    "ending.resume": lambda s, o: ending.resume(s.office, o, s.client.id),
    "switching.ask": lambda s, o: switching.ask(s.office, o, [s.client.id], s.identity, force=True),
    "switching.preview": lambda s, o: switching.preview(s.office, o, [s.client.id], s.identity),
    "switching.usable": lambda s, o: switching.usable(s.office, o, s.identity),
    "reserve.mark": lambda s, o: reserve.mark(s.office, o, "Zofia"),
    "reserve.take_over": lambda s, o: reserve.take_over(s.office, o),
    # identities, certificates, people
    "identities.add": lambda s, o: identities.add(s.office, o, "cudzy", s.paper.certificate, s.paper.key, None),
    "identities.remove": lambda s, o: identities.remove(s.office, o, "Zofia"),
    "operators.disable": lambda s, o: operators.disable(s.office, o, "zofia"),
    "certifying.order": lambda s, o: _certificate_order(s),
    "certifying.renew": lambda s, o: certifying.renew(s.office, o, "Zofia"),
    "certifying.renewal_limits": lambda s, o: certifying.renewal_limits(s.office, o, "Zofia"),
    "certifying.revoke": lambda s, o: certifying.revoke(s.office, o, "Zofia", "KeyCompromise"),
    "certifying.limits": lambda s, o: certifying.limits(s.office, o),
    "certifying.listed": lambda s, o: certifying.listed(s.office, o),
    "certifying.plan": lambda s, o: certifying.plan(s.office),
    "standing_identities.resume": lambda s, o: _resume_stopped(s),
    "standing_identities.test_suspects": lambda s, o: _suspect(s),
    "staff.grant": lambda s, o: _staff(s, lambda: staff.grant(s.office, o, newcomer(), s.client.id)),
    "staff.grant_more": lambda s, o: _staff(s, lambda: staff.grant(s.office, o, newcomer(), None)),
    "staff.refresh": lambda s, o: _staff(s, lambda: staff.refresh(s.office, o)),
    "staff.revoke": lambda s, o: staff.revoke(s.office, o, 1, s.client.id),
    "staff.dismiss": lambda s, o: staff.dismiss(s.office, o, 1),
    "staff_orders.carry_out": lambda s, o: _staff(s, lambda: staff.refresh(s.office, o)),
    "staff_orders.carry_on": lambda s, o: _old_lists(s),
    # invoices
    "approving.approve": lambda s, o: approving.approve(s.office, o, [s.waiting]),
    "approving.recall": lambda s, o: (
        approving.recall(s.office, o, s.approved),
        approving.approve(s.office, o, s.approved),
    ),
    "approving.urge": lambda s, o: approving.urge(s.office, o, s.approved),
    "pausing.pause": lambda s, o: pausing.pause(s.office, o, [s.client.id]),
    "pausing.resume": lambda s, o: (
        pausing.pause(s.office, o, [s.client.id]),
        pausing.resume(s.office, o, [s.client.id]),
    ),
    "approving.hold": lambda s, o: (
        approving.hold(s.office, o, s.approved),
        approving.release(s.office, o, s.approved),
    ),
    "approving.release": lambda s, o: (
        approving.hold(s.office, o, [s.waiting]),
        approving.release(s.office, o, [s.waiting]),
    ),
    "approving.retry": lambda s, o: approving.retry(s.office, o, s.approved),
    # steps of a turn, whoever calls them
    "login.access_for": turned(login.access_for),
    "login.carry_out_intent": lambda s, o: _forged_intent(s, "login"),
    "login.carry_out_intent of a check": lambda s, o: _forged_intent(s, "check"),
    "login.look": turned(lambda turn: login.look(turn, row_of(turn))),
    "login.standing_access": turned(lambda turn: login.standing_access(turn, row_of(turn))),
    "one_login.log_in": turned(lambda turn: one_login.log_in(turn, row_of(turn), show_steps=False)),
    "one_login.try_identity": turned(lambda turn: one_login.try_identity(turn, row_of(turn)["identity_id"])),
    "dispatching.dispatch": turned(dispatching.dispatch),
    "sending.send": turned(lambda turn: _whatever_is_approved(turn, sending.send)),
    "batches.send_package": turned(lambda turn: _whatever_is_approved(turn, batches.send_package, "TarGz")),
    "batches.go_on": turned(batches.go_on),
    "reconciling.reconcile": turned(_as_after_a_restore),
    "tracking.follow": turned(tracking.follow),
    "receipts.fetch_receipts": turned(receipts.fetch_receipts),
    "originals.settle": turned(originals.settle),
    "retrying.go_on": turned(_wanted_again),
    "collision_reading.go_on": turned(_collided),
    "collisions.ask_again": lambda s, o: _asked_about_a_collision(s),
    "storage.look": turned(_not_seen_stored),
    "own_work.look_for": lambda s, o: _tried_again(s, s.approved[1]),
    "own_work.look_for of her own": lambda s, o: _tried_again(s, _hers(s)),
    "replacing.replace": lambda s, o: _replaced(s),
    "interactive.close_idle": turned(lambda turn: interactive.close_idle(turn, timedelta(0))),
    "probing.probe": lambda s, o: _probed(s),
    "enrolment.go_on": lambda s, o: _in_turns_after_order(s),
    "lineage.follow": turned(lineage.follow),
    "lineage.revoke": turned(lineage.revoke),
    "switch_over.go_on": lambda s, o: _pretended_switch(s),
    "client_sessions.end": turned(client_sessions.end),
    "external.give_up": turned(lambda turn: asyncio.to_thread(external.give_up, turn)),
    "ending.go_on": turned(lambda turn: ending.go_on(turn, row_of(turn))),
    "personal.end_when_left": turned(lambda turn: asyncio.to_thread(personal.end_when_left, turn)),
    "worker.one_pass": lambda s, o: _pass(s),
    "own_work.intent_once": lambda s, o: _intent_once(s),
    "own_work.carry_out": lambda s, o: _forged_intent(s, "check"),
    "own_work.carry_out_switches": lambda s, o: _pretended_switch(s),
    "own_work.own_turn": turned(login.access_for),
    "own_work.serve_until": lambda s, o: own_work.serve_until(s.office, s.client.id, lambda: False, patience=1.0),
}


async def _in_turns_after_order(scene: Scene) -> None:
    _certificate_order(scene)
    await scene.in_turn(enrolment.go_on)


@pytest.mark.parametrize("asked", TRIED)
async def test_nothing_is_signed_or_sent_with_another_persons_certificate(scene: Scene, asked: str):
    with suppress(Problem, NoAccess):
        done = TRIED[asked](scene, scene.bogdan)
        if inspect.isawaitable(done):
            await done
    await scene.house.work()
    assert (scene.signed - scene.signed_before, scene.sent) == (0, 0)
    assert "accepted" not in scene.house.states([*scene.approved, scene.waiting])


async def test_what_she_approved_and_started_herself_works(scene: Scene):
    """The same scene, so that the table above proves something: her own approval signs and sends, and nothing else goes."""
    assert approving.approve(scene.office, scene.zofia, [scene.waiting]).done == 1
    await scene.house.work()
    assert scene.house.states([scene.waiting]) == ["accepted"]
    assert set(scene.house.states(scene.approved)) == {"approved"}
    assert (scene.signed - scene.signed_before, scene.sent) == (1, 1)
    scene.forget_tokens()
    authorising.check(scene.office, scene.zofia, scene.client.id)
    await scene.house.carry_out(scene.client)
    await syncing.preview(scene.office, scene.zofia)
    assert scene.signed - scene.signed_before == 3


async def test_another_try_that_she_wants_herself_is_looked_for_with_her_certificate(scene: Scene):
    hers = _hers(scene)
    scene.house.edit("UPDATE invoice SET state = 'rejected', reason_code = '550' WHERE id = ?", hers)
    assert approving.retry(scene.office, scene.zofia, [hers]).done == 1
    await own_work.look_for(scene.office, [hers], patience=PATIENCE)
    assert (scene.signed - scene.signed_before, scene.house.states([hers])) == (1, ["waiting"])


async def test_an_invoice_approved_anew_by_another_in_the_last_moment_is_not_sent(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
):
    """Between the look at what is due and the intent to send it, Bogdan recalls and approves it himself."""
    assert approving.approve(scene.office, scene.zofia, [scene.waiting]).done == 1
    opened = sending.open_session

    async def and_meanwhile(turn: Turn, access: Any) -> Any:
        ready = await opened(turn, access)
        assert approving.recall(scene.office, scene.bogdan, [scene.waiting]).done == 1
        assert approving.approve(scene.office, scene.bogdan, [scene.waiting]).done == 1
        return ready

    monkeypatch.setattr(sending, "open_session", and_meanwhile)
    await scene.house.work()
    assert scene.sent == 0
    assert scene.house.states([scene.waiting]) == ["approved"]


async def test_a_session_that_another_subject_opened_is_not_closed_with_her_certificate(scene: Scene):
    scene.house.edit(
        "INSERT INTO session (client_id, kind, context_nip, subject, form_code, seal_row, sealed_key, iv, state, reference, "
        "created_at, used_at) SELECT id, 'interactive', nip, 'Nip:' || ?, 'FA (3)', 'r', x'00', x'00', 'closing', 'REF', ?, ? "
        "FROM client WHERE id = ?",
        scene.house.nip, now(), now(), scene.client.id,
    )  # fmt: skip
    await scene.house.work()
    assert scene.signed == scene.signed_before
    assert scene.house.db.value("SELECT state FROM session WHERE reference = 'REF'") == "finished"


def now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.000Z")


async def test_who_left_signs_nothing_any_more(scene: Scene):
    assert approving.approve(scene.office, scene.zofia, [scene.waiting]).done == 1
    scene.house.edit("UPDATE operator SET disabled_at = ? WHERE id = ?", now(), scene.zofia.id)
    await scene.house.work()
    assert (scene.signed, scene.sent) == (scene.signed_before, 0)


async def test_a_clients_own_check_of_rights_is_not_hers(scene: Scene):
    """KSeF itself lets her in: what stops the program is the program."""
    async with ClientSide(scene.house.ministry.url, scene.client.nip, scene.paper) as side:
        assert await side.login_code() == 200


# ---- every public function is classified

# Reading, deciding or writing rows from which no login and no sending follows; or secrets that leave no machine.
HARMLESS_MODULES = {
    "alarms", "backups", "client_views", "client_words", "configuring", "first_steps",
    "contract", "exporting", "guards", "identity_rules", "identity_views", "importing",
    "incoming_files", "invoice_views", "letters", "office", "onboarding_views", "outcomes", "sealing", "staff_views",
    "vaulting", "views", "wire", "worker_process", "calls", "turn", "clients",
    "doctor", "doctor_disk", "doctor_machine", "doctor_ksef", "doctor_work", "clock_jumps", "supervised",
    "repair_views", "standing", "today",
}  # fmt: skip
HARMLESS = {
    "approving": {"not_retried", "settle", "summary", "waiting_ids", "why_no_retry", "withdraw"},
    "collisions": {"original", "refused_as_collision", "written"},
    # an external signature and a token are no certificate of hers; the rest reads or puts back
    "authorising": {"requested", "restored", "start_external", "start_with_token", "submit"},
    "batches": {"clear", "drop_left_over", "folder_of", "give_up", "left_over", "part_of"},
    "outgoing": {"checked"},
    "bulk": {"asked_ids", "everybody", "held_up_ids", "is_open", "members", "newest", "open_progress", "progress", "share", "stop"},
    "certifying": {"context_of", "finish", "finish_revocation", "name_for", "order_by_id", "orders"},  # finish: waits for an order
    "client_sessions": {"access", "forget_access", "keep"},  # of a client that signed at the desk
    "ending": {"named", "preview"},
    "enrolment": {"refuse_without_limit", "tell", "wake"},
    "external": {"go_on", "request"},
    "foreign_sessions": {"opened_by_another", "settle", "settle_without_list"},  # with an access token that the caller has
    "identities": {
        "found_in", "free_label", "inspect", "keep", "kind_of", "named", "refuse_foreign", "refuse_not_the_clients", "whose",
        "words",
    },
    "interactive": {"age", "close_now", "denied_for_good", "learn", "learn_of_end", "open_session", "usable_session"},
    "lineage": {"ending", "moves"},
    "login": {"forget_access", "lost_permission"},
    "lost_logins": {"end", "end_before", "suspected"},  # with the token of a login that was just made
    # signed by the client's hand, then by a profile of the office's NIP alone
    "onboarding": {"go_on", "is_under_way", "profiles", "resume", "start", "usual_profile"},
    "operators": {"add", "listed"},
    "storage": {"numbered", "seen"},
    "replacing": {"preview", "read_file"},
    "looking": {"in_ksef", "kind_of", "look_for", "look_for_bytes"},  # with an access token that the caller has
    "originals": {"ask"},
    "pausing": {"as_pause", "of_client", "of_everything", "paused_clients"},
    "personal": {
        "may_close", "may_send", "refuse_signature", "refuse_someone_elses", "refuse_to_lend", "sends_for", "who_met_a_480",
        "who_started", "whose_work",
    },
    "probing": {"next_due", "next_slot"},
    "reserve": {"fallen", "preview"},
    "staff": {"own_client", "refuse_without_right", "take_back"},
    "staff_orders": {"due_for_reading", "keep", "move_on"},
    "standing_identities": {"waits"},
    "switch_over": {"can_move", "holds_back", "may_begin", "settled"},
    "switching": {"with_token"},
    "tracking": {"apply", "take_over"},
    "verdicts": {
        "end_login", "end_replaced", "is_weather", "judgement", "opened", "put_back", "read_limits", "read_rights", "seal",
        "write_verdict",
    },
    "idleness": {"anything_moves"},
}  # fmt: skip


def test_every_public_function_of_the_services_is_tried_or_known_to_be_harmless():
    tried = {name.split(" ")[0] for name in TRIED}
    unknown, found = [], set()
    for info in pkgutil.iter_modules(ksef_tui.services.__path__):
        module = importlib.import_module(f"ksef_tui.services.{info.name}")
        for name, function in inspect.getmembers(module, inspect.isfunction):
            if function.__module__ != module.__name__ or name.startswith("_"):
                continue
            found.add(f"{info.name}.{name}")
            known = info.name in HARMLESS_MODULES or name in HARMLESS.get(info.name, ())
            if not known and f"{info.name}.{name}" not in tried:
                unknown.append(f"{info.name}.{name}")
    assert unknown == []
    named = tried | {f"{module}.{name}" for module, names in HARMLESS.items() for name in names}
    assert named - found == set()


# ---- whose certificate it is, the certificate says


async def test_a_row_that_calls_her_certificate_the_offices_signs_nothing(scene: Scene):
    """The subject in the row is the office's, and nobody's own: the certificate under it is still hers."""
    scene.house.edit(
        "UPDATE identity SET operator_id = NULL, subject_type = 'Nip', subject_value = ? WHERE id = ?",
        scene.office.nip, scene.identity,
    )  # fmt: skip
    await _refused_for(scene, scene.identity, "other_certificate")


async def test_the_offices_profile_with_her_certificate_and_key_in_it_signs_nothing(scene: Scene):
    office_profile = scene.house.identity("biuro")
    scene.house.edit(
        "UPDATE identity SET (certificate, sealed_key, seal_row) = "
        "(SELECT certificate, sealed_key, seal_row FROM identity WHERE id = ?) WHERE id = ?",
        scene.identity, office_profile,
    )  # fmt: skip
    await _refused_for(scene, office_profile, "other_certificate")


async def test_a_certificate_without_pesel_that_the_row_gives_to_everybody_signs_nothing(scene: Scene):
    """By its fingerprint alone it names a person all the same."""
    paper = foreigner()
    identity = identities.add(scene.office, scene.zofia, "bez numeru", paper.certificate, paper.key, None)
    scene.house.edit("UPDATE identity SET operator_id = NULL WHERE id = ?", identity)
    await _refused_for(scene, identity, "someone_elses")


async def test_a_row_that_makes_her_certificate_his_signs_nothing(scene: Scene):
    """Whose it became when it was added stands in the record."""
    scene.house.edit("UPDATE identity SET operator_id = ? WHERE id = ?", scene.bogdan.id, scene.identity)
    await _refused_for(scene, scene.identity, "someone_elses")


async def _refused_for(scene: Scene, identity: int, code: str) -> None:
    """Bogdan starts it for a client: nothing is signed, and the client says why."""
    before = len(scene.house.ministry.logins())
    client = scene.house.client(*BOTH)
    authorising.start_with_identity(scene.office, scene.bogdan, client.id, identity)
    await scene.house.carry_out(client)
    row = scene.house.auth(client)
    assert (row["state"], row["reason_code"]) == ("failed", code)
    assert row["reason"]
    assert len(scene.house.ministry.logins()) == before
