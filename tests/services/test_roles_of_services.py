"""Every service function asks who may: a client's operator touches one company and no other, whatever is called."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable
from pathlib import Path

import pytest
from support import papers
from support.companies import new_pesel, person, seal
from support.houses import House

from ksef_tui.domain.authorizations import AuthMethod
from ksef_tui.domain.problems import Problem
from ksef_tui.domain.roles import Operator, Role
from ksef_tui.domain.secret import Secret
from ksef_tui.services import (
    approving,
    authorising,
    backups,
    certifying,
    client_views,
    clients,
    collisions,
    configuring,
    contract,
    doctor,
    ending,
    exporting,
    external,
    identities,
    identity_views,
    importing,
    invoice_views,
    letters,
    onboarding,
    operators,
    pausing,
    repair_views,
    replacing,
    reserve,
    staff,
    staff_orders,
    staff_views,
    standing,
    standing_identities,
    supervised,
    switching,
    syncing,
    today,
    vaulting,
    views,
)
from ksef_tui.services.office import operator_named
from ksef_tui.services.staff import Newcomer
from ksef_tui.services.views import QueueFilter


class Scene:
    """Two companies with an invoice each; `stranger` belongs to the second and asks about the first."""

    def __init__(self, house: House) -> None:
        self.house, self.office = house, house.office
        self.mine, self.other = house.client(name="Jodła Próbna"), house.client(name="Sosna Próbna")
        [self.invoice] = house.bring(self.mine, papers.invoice(self.mine.nip, "TAJNA/1"))
        [self.own_invoice] = house.bring(self.other, papers.invoice(self.other.nip, "WŁASNA/1"))
        self.stranger = house.operator("sosna", Role.CLIENT, self.other)
        self.identity = house.identity()
        self.folder: Path = house.folder / "out"


@pytest.fixture
def scene(house: House) -> Scene:
    return Scene(house)


def seal_of(scene: Scene) -> tuple[bytes, bytes]:
    paper = seal(scene.house.nip)
    return paper.certificate, paper.key


Ask = Callable[[Scene, Operator], object]
REFUSED: dict[str, Ask] = {
    "authorising.start_with_identity": lambda s, o: authorising.start_with_identity(s.office, o, s.mine.id, s.identity),
    "authorising.start_with_token": lambda s, o: authorising.start_with_token(s.office, o, s.mine.id, Secret("t")),
    "authorising.start_external": lambda s, o: authorising.start_external(s.office, o, s.mine.id),
    "authorising.submit": lambda s, o: authorising.submit(s.office, o, s.mine.id, b"<a/>"),
    "authorising.start": lambda s, o: authorising.start(
        s.office, o, s.mine.id, subject=None, method=AuthMethod.EXTERNAL, identity_id=None, sealed_token=None
    ),
    "onboarding.start": lambda s, o: onboarding.start(s.office, o, s.mine.id, s.identity),
    "onboarding.resume": lambda s, o: onboarding.resume(s.office, o, s.mine.id),
    "onboarding.profiles": lambda s, o: onboarding.profiles(s.office, o),
    "onboarding.usual_profile": lambda s, o: onboarding.usual_profile(s.office, o, s.mine.id),
    "authorising.requested": lambda s, o: authorising.requested(s.office, o, s.mine.id),
    "letters.goodbye": lambda s, o: letters.goodbye(s.office, o, s.mine.id),
    "ending.preview": lambda s, o: ending.preview(s.office, o, s.mine.id),
    "ending.end": lambda s, o: ending.end(s.office, o, s.mine.id),
    "ending.check": lambda s, o: ending.check(s.office, o, s.mine.id),
    "ending.resume": lambda s, o: ending.resume(s.office, o, s.mine.id),
    "switching.preview": lambda s, o: switching.preview(s.office, o, [s.mine.id], s.identity),
    "switching.ask": lambda s, o: switching.ask(s.office, o, [s.mine.id], s.identity),
    "switching.usable": lambda s, o: switching.preview(s.office, o, [s.mine.id], s.identity),
    "switching.with_token": lambda s, o: switching.with_token(s.office, o),
    "reserve.mark": lambda s, o: reserve.mark(s.office, o, "pieczęć"),
    "reserve.fallen": lambda s, o: reserve.fallen(s.office, o),
    "reserve.preview": lambda s, o: reserve.preview(s.office, o),
    "reserve.take_over": lambda s, o: reserve.take_over(s.office, o),
    "contract.token_holders": lambda s, o: contract.token_holders(s.office, o),
    "contract.switched": lambda s, o: contract.switched(s.office, o, s.mine.id, s.identity),
    "letters.letter": lambda s, o: letters.letter(s.office, o, s.mine.id),
    "external.request": lambda s, o: external.request(s.office, o, s.mine.id),
    "authorising.check": lambda s, o: authorising.check(s.office, o, s.mine.id),
    "authorising.cancel": lambda s, o: authorising.cancel(s.office, o, s.mine.id),
    "authorising.revoke": lambda s, o: authorising.revoke(s.office, o, s.mine.id),
    "clients.add": lambda s, o: clients.add(s.office, o, "5260250274", "Nowa"),
    "clients.rename": lambda s, o: clients.rename(s.office, o, s.mine.id, "Moja"),
    "syncing.preview": lambda s, o: asyncio.run(syncing.preview(s.office, o)),
    "syncing.apply": lambda s, o: syncing.apply(s.office, o, syncing.SyncPreview(0, (), (), ())),
    "clients.set_self_service": lambda s, o: clients.set_self_service(s.office, o, s.mine.id, on=True),
    "standing_identities.resume": lambda s, o: asyncio.run(standing_identities.resume(s.office, o, "pieczęć")),
    "clients.archive": lambda s, o: clients.archive(s.office, o, s.mine.id),
    "configuring.change": lambda s, o: configuring.change(s.office, o, "recall_seconds", "0"),
    "identities.add": lambda s, o: identities.add(s.office, o, "obca", *seal_of(s), None),
    "identities.inspect": lambda s, o: identities.inspect(s.office, o, *seal_of(s), None),
    "certifying.limits": lambda s, o: asyncio.run(certifying.limits(s.office, o)),
    "certifying.listed": lambda s, o: asyncio.run(certifying.listed(s.office, o)),
    "certifying.orders": lambda s, o: certifying.orders(s.office, o),
    "certifying.order_by_id": lambda s, o: certifying.order_by_id(s.office, o, 1),
    "certifying.order": lambda s, o: certifying.order(s.office, o, "Jodła KSeF", "obca"),
    "certifying.renew": lambda s, o: certifying.renew(s.office, o, "pieczęć"),
    "certifying.renewal_limits": lambda s, o: asyncio.run(certifying.renewal_limits(s.office, o, "pieczęć")),
    "certifying.revoke": lambda s, o: certifying.revoke(s.office, o, "pieczęć", "Unspecified"),
    "identities.remove": lambda s, o: identities.remove(s.office, o, "pieczęć"),
    "importing.import_paths": lambda s, o: importing.import_paths(s.office, o, s.mine.id, []),
    "importing.import_bytes": lambda s, o: importing.import_bytes(s.office, o, s.mine.id, "a.xml", b""),
    "exporting.export_upos": lambda s, o: exporting.export_upos(s.office, o, s.folder, client_id=s.mine.id),
    "exporting.export_invoices": lambda s, o: exporting.export_invoices(s.office, o, [s.invoice], s.folder),
    "operators.add": lambda s, o: operators.add(s.office, o, "nowy", "Nowy", Role.ADMIN),
    "operators.disable": lambda s, o: operators.disable(s.office, o, "kierownik"),
    "backups.backup": lambda s, o: backups.backup(s.office, o, s.folder / "kopia.db"),
    "supervised.begin": lambda s, o: supervised.begin(s.office, o),
    "supervised.unit": lambda s, o: supervised.unit(s.office, o, "biuro", ["ksef-tui"]),
    "doctor.examine": lambda s, o: doctor.examine(
        doctor.Installation(s.house.folder), lambda: s.office, o.login, offline=True
    ),
    "vaulting.status": lambda s, o: vaulting.status(s.office, o),
    "vaulting.change_passphrase": lambda s, o: vaulting.change_passphrase(s.office, o, Secret("inne hasło")),
    "vaulting.protect": lambda s, o: vaulting.protect(s.office, o, "file"),
    "vaulting.rotate": lambda s, o: vaulting.rotate(s.office, o),
    "vaulting.export": lambda s, o: vaulting.export(s.office, o, s.folder, Secret("inne hasło")),
    "vaulting.take_in": lambda s, o: vaulting.take_in(s.office, o, s.folder, Secret("inne hasło"), "file"),
    "pausing.pause": lambda s, o: pausing.pause(s.office, o, [s.mine.id]),
    "pausing.pause of its own": lambda s, o: pausing.pause(s.office, o, [s.other.id]),
    "pausing.resume": lambda s, o: pausing.resume(s.office, o, pausing.EVERYTHING),
    "replacing.preview": lambda s, o: replacing.preview(s.office, o, s.invoice, "a.xml", b"<a/>"),
    "replacing.replace": lambda s, o: replacing.replace(s.office, o, s.invoice, "a.xml", b"<a/>"),
    "repair_views.explain": lambda s, o: repair_views.explain(s.office, o, s.invoice),
    "contract.explanation": lambda s, o: contract.explanation(s.office, o, s.invoice),
    "collisions.ask_again": lambda s, o: collisions.ask_again(s.office, o, s.invoice),
    "collisions.refused_as_collision": lambda s, o: collisions.refused_as_collision(s.office, o, s.invoice),
    "operators.listed": lambda s, o: operators.listed(s.office, o),
    "client_views.authorization": lambda s, o: client_views.authorization(s.office, o, s.mine.id),
    "invoice_views.invoice_details": lambda s, o: invoice_views.invoice_details(s.office, o, s.invoice),
    "contract.client": lambda s, o: contract.client(s.office, o, s.mine.nip),
    "contract.authorization": lambda s, o: contract.authorization(s.office, o, s.mine.nip),
    "contract.authorization_by_id": lambda s, o: contract.authorization_by_id(s.office, o, s.mine.id),
    "contract.invoice": lambda s, o: contract.invoice(s.office, o, s.invoice),
    "authorising.end_logins": lambda s, o: authorising.end_logins(s.office, o, s.house.admin.id),
    "staff.grant": lambda s, o: staff.grant(
        s.office, o, Newcomer("Pesel", Secret(new_pesel()), "Jan", "Lis"), s.mine.id
    ),
    "staff.grant_more": lambda s, o: staff.grant_more(s.office, o, 1, s.mine.id),
    "staff.revoke": lambda s, o: staff.revoke(s.office, o, 1, s.mine.id),
    "staff.take_back": lambda s, o: staff.take_back(s.office, s.office.db.connection, o, []),
    "staff.dismiss": lambda s, o: staff.dismiss(s.office, o, 1),
    "staff.refresh": lambda s, o: staff.refresh(s.office, o),
    "staff_orders.carry_out": lambda s, o: asyncio.run(staff_orders.carry_out(s.office, o, patience=1.0)),
    "staff_views.people": lambda s, o: staff_views.people(s.office, o),
    "staff_views.at_client": lambda s, o: staff_views.at_client(s.office, o, s.mine.id),
    "staff_views.at_client of the own": lambda s, o: staff_views.at_client(s.office, o, s.other.id),
    "staff_views.of_person": lambda s, o: staff_views.of_person(s.office, o, 1),
    "staff_views.orders": lambda s, o: staff_views.orders(s.office, o, 0),
    "staff_views.order_of": lambda s, o: staff_views.order_of(s.office, o, 1),
    "staff_views.status": lambda s, o: staff_views.status(s.office, o),
    "contract.queue of the other": lambda s, o: contract.queue(s.office, o, nip=s.mine.nip),
}


@pytest.mark.parametrize("asked", REFUSED)
def test_another_companys_operator_is_refused_and_nothing_changes(scene: Scene, asked: str):
    before = scene.office.db.value("SELECT seq FROM change_counter")
    with pytest.raises(Problem) as caught:
        REFUSED[asked](scene, scene.stranger)
    assert caught.value.code in ("not_allowed", "unknown_invoice")
    assert "Jodła" not in caught.value.message
    assert "TAJNA" not in caught.value.message
    assert scene.office.db.value("SELECT seq FROM change_counter") == before
    assert scene.office.db.value("SELECT count(*) FROM audit WHERE login = 'sosna'") == 0
    assert not scene.folder.exists()


@pytest.mark.parametrize("act", ["approve", "recall", "urge", "hold", "release", "withdraw", "retry"])
def test_acts_on_another_companys_invoice_find_no_such_invoice(scene: Scene, act: str):
    result = getattr(approving, act)(scene.office, scene.stranger, [scene.invoice])
    assert (result.done, result.refused) == (
        0,
        ((scene.invoice, f"nie ma faktury o numerze wewnętrznym {scene.invoice}"),),
    )
    assert scene.house.states([scene.invoice]) == ["waiting"]


SEES_ONLY_OWN: dict[str, Callable[[Scene, Operator], object]] = {
    "client_views.client_ids": lambda s, o: list(client_views.client_ids(s.office, o)) == [s.other.id],
    "client_views.client_rows": lambda s, o: list(client_views.client_rows(s.office, o, [s.mine.id, s.other.id])) == [s.other.id],
    "client_views.client_list": lambda s, o: client_views.client_list(s.office, o, "", True).counts.total == 1,
    "identity_views.identities": lambda s, o: identity_views.identities(s.office, o) == [],
    "invoice_views.queue_ids": lambda s, o: list(invoice_views.queue_ids(s.office, o, QueueFilter())) == [s.own_invoice],
    "invoice_views.queue_ids of the other": lambda s, o: (
        s.invoice not in invoice_views.queue_ids(s.office, o, QueueFilter(client_id=s.mine.id))
    ),
    "invoice_views.queue_ids by text": lambda s, o: list(invoice_views.queue_ids(s.office, o, QueueFilter(text="TAJNA"))) == [],
    "invoice_views.queue_rows": lambda s, o: list(invoice_views.queue_rows(s.office, o, [s.invoice, s.own_invoice])) == [
        s.own_invoice
    ],
    "invoice_views.clients_of": lambda s, o: invoice_views.clients_of(s.office, o, [s.invoice, s.own_invoice]) == [s.other.id],
    "invoice_views.state_counts": lambda s, o: (
        sum(invoice_views.state_counts(s.office, o, [s.invoice, s.own_invoice]).values()) == 1
    ),
    "invoice_views.queue_counts": lambda s, o: sum(invoice_views.queue_counts(s.office, o).values()) == 1,
    "today.today": lambda s, o: {i.invoices for i in today.today(s.office, o)} == {(), (s.own_invoice,)}
    and "Jodła" not in str(today.today(s.office, o)),
    "today.done_today": lambda s, o: today.done_today(s.office, o).sent == 0,
    "contract.today": lambda s, o: {row["nip"] for row in contract.today(s.office, o)} == {s.other.nip},
    "standing.standing": lambda s, o: standing.standing(s.office, o) == [],
    "pausing.paused_clients": lambda s, o: (
        pausing.pause(s.office, s.house.admin, [s.mine.id, s.other.id]),
        [one.nip for one in pausing.paused_clients(s.office, o)] == [s.other.nip],
    )[1],
    "approving.waiting_ids": lambda s, o: approving.waiting_ids(s.office, o, None) == [s.own_invoice],
    "approving.summary": lambda s, o: approving.summary(s.office, o, [s.invoice, s.own_invoice]).count == 1,
    "contract.queue": lambda s, o: [r["id"] for r in contract.queue(s.office, o)] == [s.own_invoice],
    "contract.clients_list": lambda s, o: [r["nip"] for r in contract.clients_list(s.office, o, 0)] == [s.other.nip],
    "contract.clients_newest": lambda s, o: contract.clients_newest(s.office, o, 0) == [s.other.id],
    "contract.authorizations": lambda s, o: [r["nip"] for r in contract.authorizations(s.office, o, 0)] == [s.other.nip],
    "contract.passed_over": lambda s, o: (
        s.house.edit("UPDATE authorization SET method = 'external', sealed_refresh = NULL"),
        "Jodła" in str(contract.passed_over(s.office, s.house.admin)) and "Jodła" not in str(contract.passed_over(s.office, o)),
    )[1],
    "contract.stopped_ids": lambda s, o: contract.stopped_ids(s.office, o) == [],
    "contract.authorised_ids": lambda s, o: contract.authorised_ids(s.office, o) == [],
    "contract.identities": lambda s, o: contract.identities(s.office, o, 0) == [],
    "views.changes_since": lambda s, o: views.changes_since(s.office, o, 0).client_ids == (s.other.id,)
    and views.changes_since(s.office, o, 0).invoice_ids == (s.own_invoice,),
    "views.runs_are_open": lambda s, o: (
        s.house.edit("INSERT INTO bulk_run (kind, operator_id, begun_at) VALUES ('check', ?, '2026-11-24')", s.house.admin.id),
        views.runs_are_open(s.office, s.house.admin) and not views.runs_are_open(s.office, o),
    )[1],
    "views.header": lambda s, o: "Jodła" not in str(views.header(s.office, o)),
}  # fmt: skip


@pytest.mark.parametrize("asked", SEES_ONLY_OWN)
def test_lists_show_a_companys_operator_that_company_only(scene: Scene, asked: str):
    assert SEES_ONLY_OWN[asked](scene, scene.stranger)


def test_every_service_function_that_is_told_who_acts_is_in_these_tables():
    """A new function that takes an operator must be asked about here."""
    asked = {name.split(" ")[0] for name in (*REFUSED, *SEES_ONLY_OWN)}
    asked |= {f"approving.{act}" for act in ("approve", "recall", "urge", "hold", "release", "withdraw", "retry")}
    asked |= {
        "invoice_views.timeline",
        "authorising.usable_identity",
        "approving.settle",
    }  # their callers have asked already
    modules = (
        approving, authorising, certifying, client_views, clients, configuring, contract, ending, exporting, external, identities,
        importing, invoice_views, letters, onboarding, operators, reserve, switching, syncing, vaulting, views, standing_identities,
        staff, staff_orders, staff_views, standing, pausing, today, collisions, repair_views, replacing, identity_views,
    )  # fmt: skip
    taking = {
        f"{module.__name__.rpartition('.')[2]}.{name}"
        for module in modules
        for name, function in inspect.getmembers(module, inspect.isfunction)
        if function.__module__ == module.__name__
        and not name.startswith("_")
        and "operator" in inspect.signature(function).parameters
    }
    assert taking - asked == set()


def test_a_companys_operator_does_its_own_work(scene: Scene):
    operator, office = scene.stranger, scene.office
    row = importing.import_bytes(office, operator, scene.other.id, "a.xml", papers.invoice(scene.other.nip))
    assert approving.approve(office, operator, [row.id, scene.own_invoice]).done == 2
    assert contract.invoice(office, operator, row.id)["state"] == "approved"
    assert exporting.export_upos(office, operator, scene.folder) == 0


ADMIN_ONLY = (
    "clients.archive", "clients.set_self_service", "standing_identities.resume", "configuring.change",
    "identities.remove", "operators.add", "operators.disable", "operators.listed",
    "authorising.end_logins", "staff.grant", "staff.grant_more", "staff.revoke", "staff.dismiss",
    "vaulting.status", "vaulting.change_passphrase", "vaulting.protect", "vaulting.rotate", "vaulting.export", "vaulting.take_in",
)  # fmt: skip


@pytest.mark.parametrize("asked", ADMIN_ONLY)
def test_an_accountant_does_not_run_the_office(scene: Scene, asked: str):
    accountant = scene.house.operator("zofia", Role.ACCOUNTANT)
    with pytest.raises(Problem) as caught:
        REFUSED[asked](scene, accountant)
    assert caught.value.code == "not_allowed"


def test_operators_are_added_and_shut_out_by_the_administrator(scene: Scene):
    office, admin = scene.office, scene.house.admin
    operators.add(office, admin, "jan", "Jan Próbny", Role.CLIENT, scene.mine.nip)
    assert operator_named(office, "jan").client_id == scene.mine.id
    for wrong in (
        ("jan", Role.ADMIN, None),
        ("ola", Role.CLIENT, None),
        ("ola", Role.ADMIN, scene.mine.nip),
        ("Ola!", Role.ADMIN, None),
    ):
        with pytest.raises(Problem):
            operators.add(office, admin, wrong[0], "Ola", wrong[1], wrong[2])
    operators.disable(office, admin, "jan")
    with pytest.raises(Problem) as caught:
        operator_named(office, "jan")
    assert caught.value.code == "unknown_operator"
    with pytest.raises(Problem) as caught:
        operators.disable(office, admin, admin.login)
    assert caught.value.code == "oneself"


async def test_a_personal_certificate_sends_only_what_its_owner_approved(house: House):
    """Design §2: used only for what that employee approved."""
    zofia = house.operator("zofia", Role.ACCOUNTANT)
    pesel, client = new_pesel(), house.client()
    house.ministry.grant(client.nip, pesel, "InvoiceWrite", "InvoiceRead", kind="Pesel")
    await house.authorise(client, house.identity("Zofia", person(pesel), zofia), zofia)
    own, others = house.bring(client, papers.invoice(client.nip), papers.invoice(client.nip))
    approving.approve(house.office, zofia, [own])
    approving.approve(house.office, house.admin, [others])
    await house.work()
    assert house.states([own, others]) == ["accepted", "approved"]
    [(_, _, count, why)] = standing.standing(house.office, house.admin)
    assert count == 1
    assert "certyfikat osobisty" in why
