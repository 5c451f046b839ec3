"""What a key sends now, and what a person stops: urgent invoices and pauses, over HTTP (design §6 rule 10)."""

from __future__ import annotations

from support import papers
from support.houses import House
from support.ministry import CLOSE, Ministry

from ksef_tui.domain.roles import Role
from ksef_tui.domain.times import to_text
from ksef_tui.services import approving, configuring, contract, pausing, views
from ksef_tui.services.standing import standing


def sent_first(house: House) -> list[int]:
    """Invoices in the order in which they were meant for the wire."""
    return [
        row[0] for row in house.db.rows("SELECT invoice_id FROM invoice_event WHERE to_state = 'sending' ORDER BY id")
    ]


async def test_an_urgent_invoice_goes_before_the_rest_and_one_by_one(house: House):
    configuring.change(house.office, house.admin, "batch_from", "3")
    client = await house.ready_client()
    ids = house.approved(client, *(papers.invoice(client.nip) for _ in range(6)))
    assert approving.urge(house.office, house.admin, [ids[4]]).done == 1
    [shown] = [row for row in contract.queue(house.office, house.admin) if row["id"] == ids[4]]
    assert shown["urgent"] is True
    await house.work()
    assert house.states(ids) == ["accepted"] * 6
    assert sent_first(house)[0] == ids[4]
    assert [house.invoice(one)["channel"] for one in ids] == ["batch"] * 4 + ["interactive", "batch"]
    told = contract.invoice(house.office, house.admin, ids[4])["timeline"]
    assert "pilna: pójdzie pierwsza" in [entry["text"] for entry in told]
    assert house.db.value("SELECT count(*) FROM audit WHERE act = 'invoice.urge' AND invoice_id = ?", (ids[4],)) == 1


async def test_many_urgent_ones_go_in_a_package_of_their_own(house: House):
    configuring.change(house.office, house.admin, "batch_from", "3")
    client = await house.ready_client()
    ids = house.approved(client, *(papers.invoice(client.nip) for _ in range(7)))
    approving.urge(house.office, house.admin, ids[3:])
    await house.work()
    assert house.states(ids) == ["accepted"] * 7
    packages = [house.invoice(one)["session_id"] for one in ids]
    assert len(set(packages[3:])) == len(set(packages[:3])) == 1
    assert packages[3] < packages[0]


async def test_a_client_with_an_urgent_invoice_is_served_before_others(house: House):
    configuring.change(house.office, house.admin, "parallel_clients", "1")
    clients = [await house.ready_client() for _ in range(3)]
    ids = [house.approved(client)[0] for client in clients]
    approving.urge(house.office, house.admin, [ids[2]])
    await house.work()
    assert house.states(ids) == ["accepted"] * 3
    assert sent_first(house)[0] == ids[2]


async def test_what_is_marked_while_others_go_out_overtakes_them(house: House):
    configuring.change(house.office, house.admin, "batch_from", "100")
    client = await house.ready_client()
    ids = house.approved(client, *(papers.invoice(client.nip) for _ in range(8)))

    def marked() -> bool:
        return bool(sent_first(house)) and approving.urge(house.office, house.admin, [ids[7]]).done == 1

    await house.work_until(marked)
    before = len(sent_first(house))
    assert before < 7, "all were gone before the mark"
    await house.work()
    assert sent_first(house)[before] == ids[7]


async def test_recall_takes_the_mark_away(house: House):
    client = await house.ready_client()
    ids = house.approved(client)
    approving.urge(house.office, house.admin, ids)
    again = approving.urge(house.office, house.admin, ids)
    assert (again.done, "już oznaczona" in again.refused[0][1]) == (0, True)
    for act in (approving.recall, approving.approve):
        assert act(house.office, house.admin, ids).done == 1
    assert house.invoice(ids[0])["urgent_at"] is None


async def test_the_recall_window_of_an_urgent_invoice_stands(house: House):
    client = await house.ready_client()
    configuring.change(house.office, house.admin, "recall_seconds", "300")
    configuring.change(house.office, house.admin, "parallel_clients", "1")
    [urgent] = house.approved(client)
    approving.urge(house.office, house.admin, [urgent])
    configuring.change(house.office, house.admin, "recall_seconds", "0")
    [other] = house.approved(client)
    await house.work_until(lambda: house.states([other]) == ["accepted"])
    assert house.states([urgent]) == ["approved"], "it was sent while it could still be taken back"
    house.later(seconds=301)
    await house.work()
    assert house.states([urgent]) == ["accepted"]


async def test_an_urgent_one_that_cannot_go_holds_up_no_other(house: House):
    """An attachment goes only in a package, and KSeF has just refused one."""
    client = await house.ready_client()
    house.ministry.allow_attachments(client.nip)
    house.edit(
        "INSERT INTO session (client_id, kind, state, context_nip, subject, form_code, seal_row, sealed_key, iv, code, "
        "created_at, used_at) VALUES (?, 'batch', 'finished', '', '', '', '', x'', x'', 500, ?, '')",
        client.id,
        to_text(house.office.clock()),
    )
    stuck, other = house.approved(
        client, papers.with_attachment(papers.invoice(client.nip)), papers.invoice(client.nip)
    )
    approving.urge(house.office, house.admin, [stuck])
    await house.work_until(lambda: house.states([other]) == ["accepted"])
    assert house.states([stuck]) == ["approved"]


# ---- pauses


async def test_a_paused_client_sends_nothing_new_and_what_is_on_its_way_ends(house: House):
    anna = house.operator("anna", Role.ACCOUNTANT)
    client = await house.ready_client()
    [on_its_way] = house.approved(client)
    house.ministry.fault("stuck")
    await house.work_until(lambda: house.states([on_its_way]) == ["processing"])
    assert pausing.pause(house.office, anna, [client.id], "  czekamy na   korekty ") == 1
    assert pausing.pause(house.office, anna, [client.id]) == 0
    [new] = house.approved(client)
    house.ministry.calm()
    await house.work()
    assert house.states([on_its_way, new]) == ["accepted", "approved"]
    assert house.invoice(on_its_way)["upo"] == "saved"
    assert house.ministry.posts(CLOSE) == 1, "its session stayed open"
    [(nip, _, count, why)] = standing(house.office, house.admin)
    assert (nip, count) == (client.nip, 1)
    assert why.startswith("wstrzymane przez ANNA ")
    assert why.endswith(": czekamy na korekty")
    [row] = [row for row in contract.queue(house.office, house.admin) if row["id"] == new]
    assert (row["why"], row["reason"]) == ("paused", why)
    assert contract.client(house.office, house.admin, client.nip)["paused"]["by"] == "anna"

    assert pausing.resume(house.office, house.admin, [client.id]) == 1
    assert pausing.resume(house.office, house.admin, [client.id]) == 0
    await house.work()
    assert house.states([new]) == ["accepted"]
    kept = house.db.row("SELECT * FROM pause")
    assert (kept["operator_id"], kept["ended_by"]) == (anna.id, house.admin.id)
    acts = house.db.rows("SELECT act, login FROM audit WHERE act LIKE 'sending.%' ORDER BY id")
    assert [(row["act"], row["login"]) for row in acts] == [
        ("sending.pause", "anna"),
        ("sending.resume", house.admin.login),
    ]


async def test_a_pause_stops_a_pass_that_is_under_way(house: House):
    configuring.change(house.office, house.admin, "batch_from", "100")
    client = await house.ready_client()
    ids = house.approved(client, *(papers.invoice(client.nip) for _ in range(10)))

    def paused() -> bool:
        return bool(sent_first(house)) and pausing.pause(house.office, house.admin, [client.id]) == 1

    await house.work_until(paused)
    gone = len(sent_first(house))
    assert gone < 10, "all were gone before the pause"
    await house.work()
    assert len(sent_first(house)) == gone
    assert sorted(house.states(ids)) == ["accepted"] * gone + ["approved"] * (10 - gone)


async def test_everything_stands_and_goes_on_but_not_who_was_paused_alone(house: House):
    one, two = await house.ready_client(), await house.ready_client()
    ids = [*house.approved(one), *house.approved(two)]
    pausing.pause(house.office, house.admin, [one.id])
    pausing.pause(house.office, house.admin, pausing.EVERYTHING, "awaria")
    seq = views.newest_seq(house.office)
    await house.work()
    assert house.states(ids) == ["approved"] * 2
    assert {why.partition(" przez")[0] for _, _, _, why in standing(house.office, house.admin)} == {
        "wszystko wstrzymane"
    }
    pausing.resume(house.office, house.admin, pausing.EVERYTHING)
    assert views.changes_since(house.office, house.admin, seq).everything, "all rows say something else now"
    await house.work()
    assert house.states(ids) == ["approved", "accepted"]


async def test_a_running_worker_takes_up_what_is_resumed(house: House):
    client = await house.ready_client()
    pausing.pause(house.office, house.admin, pausing.EVERYTHING)
    ids = house.approved(client)
    resumed: list[int] = []

    def sent() -> bool:
        if not resumed:
            resumed.append(pausing.resume(house.office, house.admin, pausing.EVERYTHING))
        return house.states(ids) == ["accepted"]

    await house.work_until(sent)
    assert resumed == [1]


async def test_who_approved_it_being_unknown_keeps_no_worker_and_is_said(house: House):
    client = await house.ready_client()
    ids = house.approved(client)
    house.edit("UPDATE invoice SET approved_by = NULL")
    await house.work()
    assert house.states(ids) == ["approved"]
    [(_, _, _, why)] = standing(house.office, house.admin)
    assert "kto ją zatwierdził" in why


def test_the_status_line_says_who_stopped_the_sending(house: House, ministry: Ministry):
    from ksef_tui.store import leases

    def word() -> tuple[str, str]:
        view = views.header(house.office, house.admin)
        return view.sending, view.sending_word

    client = house.client()
    assert word() == ("off", "nikt nie wysyła")
    leases.take(house.db, "worker:1", 60)
    assert word() == ("on", "wysyłka")
    pausing.pause(house.office, house.admin, [client.id])
    assert word() == ("part", "wysyłka bez 1")
    pausing.pause(house.office, house.admin, pausing.EVERYTHING, "awaria u klienta")
    code, said = word()
    assert code == "paused"
    assert said.startswith(f"wstrzymane przez {house.admin.login.upper()} ")
    assert "awaria" not in said
