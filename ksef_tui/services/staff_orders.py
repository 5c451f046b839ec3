"""Carrying out what was asked for employees' rights, in the office's own context (facts §7.2–7.4).

Each order is committed as sent before its call and never sent again by itself: after a lost answer, or a program that
was killed in between, the list that KSeF gives tells what became of it. Whoever calls these holds the lease of the
office's own client.
"""

from __future__ import annotations

import asyncio
import json
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

from ksef_tui.domain.authorizations import CAN_SEND, AuthState
from ksef_tui.domain.problems import Problem
from ksef_tui.domain.roles import Act, Operator, Role, require
from ksef_tui.domain.staff import SCOPES, OrderState, Subject
from ksef_tui.domain.times import from_text, to_text
from ksef_tui.ksef import operations as op
from ksef_tui.ksef.api import Access
from ksef_tui.ksef.codes import operation_code
from ksef_tui.ksef.errors import KsefError, Limited, NotReachable, Refused, Unauthorized, Unknown
from ksef_tui.ksef.models import Grant, GrantedPerson, Identifier
from ksef_tui.services import login, personal
from ksef_tui.services import staff as asking
from ksef_tui.services.calls import LeaseLost, NotNow
from ksef_tui.services.office import Office
from ksef_tui.services.turn import NoAccess, Turn
from ksef_tui.store import authorizations, staff
from ksef_tui.store.records import audit

O = OrderState  # noqa: E741
SURE_AFTER = timedelta(minutes=2)  # what the list does not show by then did not come about: the operations take seconds
READ_EVERY = timedelta(hours=24)  # a client's withdrawal is seen within a day, whoever looks (F28)
FIRST_LOOK = 0.3
QUERIES = ("PermissionsGrantedInCurrentContext", "PermissionsInCurrentContext")
LOST = "Brak odpowiedzi KSeF – program sprawdza na liście, nie zlecaj ponownie."
DID_NOT_COME = "KSeF nie potwierdził, a na jego liście tej zmiany nie ma – zleć jeszcze raz."
_MISSING = "missing-permissions"
_TAKEN, _REFUSED = "200", "400"  # what KSeF said of an operation that the list has yet to confirm


async def carry_on(turn: Turn) -> None:
    """The next step of every order, then the lists when something asks for them. Raises NotNow, KsefError and Problem;
    each order says for itself what became of it."""
    if not turn.client["office"]:
        return
    orders = staff.pending(turn.office.db)
    if not orders:
        await _read_when_old(turn)
        return
    read_for: list[sqlite3.Row] = []
    for order in orders:
        try:
            with _for_whom(turn, order):
                if await _step(turn, order):
                    read_for.append(order)
        except (NoAccess, Problem) as error:
            _cannot(turn, order, error)
    if read_for:
        with _for_whom(turn, read_for[0]):
            await _read(turn, read_for)


async def carry_out(office: Office, operator: Operator, *, patience: float) -> None:
    """Carry the orders out in this process and wait until all are settled, or `patience` seconds: what is left then
    stays for the worker. Raises Problem: the lease is kept by others, somebody else's certificate, no answer of KSeF."""
    from ksef_tui.services.own_work import own_turn  # the worker carries orders out too

    require(operator, Act.STAFF_SEE, None)
    loop = asyncio.get_running_loop()
    end = loop.time() + patience
    async with own_turn(office, asking.own_client(office), operator, patience=min(patience, 30.0)) as turn:
        forgotten = False
        while staff.pending(office.db):
            turn.next_in = None
            try:
                await carry_on(turn)
            except Unauthorized as refused:  # the kept token does not work any more, though its time has not come
                if forgotten:
                    raise Problem("refused", refused.message) from None
                login.forget_access(turn)
                forgotten = True
                continue
            except (NotNow, Limited) as wait:
                turn.come_back(wait.seconds if isinstance(wait, NotNow) else wait.retry_after)
            except KsefError as error:
                raise Problem(
                    "unreachable", f"KSeF nie odpowiada, zlecenie czeka i zostanie dokończone. {error.message}"
                ) from None
            pause = turn.next_in or FIRST_LOOK
            if loop.time() + pause > end:
                return
            await asyncio.sleep(pause if staff.pending(office.db) else 0)


def move_on(office: Office) -> bool:
    """Whether an order can still move: it is not settled, and the office is logged in where it must be read."""
    orders = staff.pending(office.db)
    if not orders:
        return False
    if any(order["state"] == O.WANTED for order in orders):
        return True
    state = authorizations.get(office.db, asking.own_client(office))["state"]
    return state in (*CAN_SEND, AuthState.READ_ONLY)


# ---- one order


async def _step(turn: Turn, order: sqlite3.Row) -> bool:
    """One step of an order; whether the lists must be read for it now."""
    access = await login.access_for(turn)
    state = O(order["state"])
    if order["act"] == "read":
        return True
    if state is O.WANTED:
        await _send(turn, access, order)
        return False
    if order["reference"] and order["reason_code"] not in (_TAKEN, _REFUSED):
        return await _ask(turn, access, order)
    return True


async def _send(turn: Turn, access: Access, order: sqlite3.Row) -> None:
    await turn.ready(op.GRANT_INDIRECT if order["act"] == "grant" else op.REVOKE_GRANT)
    if not _move(turn, order["id"], "send", O.WANTED, O.SENT, sent_at=to_text(turn.now), reference=""):
        return
    try:
        reference = await _call(turn, access, order)
    except Unknown:
        _move(turn, order["id"], "lose", O.SENT, O.UNKNOWN, reason_code="no_answer", reason=LOST)
        turn.come_back(FIRST_LOOK)
        return
    except (NotReachable, Limited, NotNow, LeaseLost, Unauthorized):  # it has not been done, and may be asked again
        _move(turn, order["id"], "not_sent", O.SENT, O.WANTED, sent_at=None)
        raise
    except Refused as refused:
        code = str(refused.code or refused.reason_code or refused.status)
        reason = asking.MISSING_RIGHT if refused.reason_code == _MISSING else refused.message
        _settle(turn, order["id"], O.SENT, O.FAILED, code, reason)
        return
    with turn.office.db.write() as connection:
        staff.note(connection, turn.now, order["id"], O.SENT, reference=reference)
    turn.come_back(FIRST_LOOK)


async def _call(turn: Turn, access: Access, order: sqlite3.Row) -> str:
    if order["act"] == "revoke":
        return await turn.api.revoke_grant(access, order["grant_id"])
    row = staff.person(turn.office.db, order["person_id"])
    assert row is not None
    details: dict[str, Any] = json.loads(row["details"])
    person = GrantedPerson(
        kind=row["subject_type"],
        value=row["subject_value"],
        first_name=row["first_name"],
        last_name=row["last_name"],
        identifier=Identifier(type=details["identifier"][0], value=details["identifier"][1])
        if "identifier" in details
        else None,
        born=details.get("born", ""),
        document=tuple(details["document"]) if "document" in details else None,
    )
    to = order["target_nip"] or None
    description = f"Pracownik biura: faktury klienta {to}" if to else "Pracownik biura: faktury wszystkich klientów"
    return await turn.api.grant_indirect(access, person, to, json.loads(order["scopes"]), description)


async def _ask(turn: Turn, access: Access, order: sqlite3.Row) -> bool:
    """How the operation stands; whether only the lists can tell."""
    state = O(order["state"])
    try:
        answer = (await turn.api.operation_status(access, order["reference"])).status
    except Refused as refused:
        if isinstance(refused, Unauthorized):
            raise
        return True  # KSeF does not know the operation (any more): it keeps them for 30 days
    known = operation_code(answer.code)
    if not known.terminal:
        turn.come_back(_pause(turn, order))
        return False
    if answer.code == 200 or (order["act"] == "revoke" and answer.code == 400):  # 400: perhaps it is gone already
        with turn.office.db.write() as connection:
            staff.note(connection, turn.now, order["id"], state, reason_code=str(answer.code), reason="")
        return True
    if known.unsure:
        return True
    _settle(turn, order["id"], state, O.FAILED, str(answer.code), f"{known.sentence} {known.what_to_do}")
    return False


def _pause(turn: Turn, order: sqlite3.Row) -> float:
    waited = (turn.now - from_text(order["sent_at"])).total_seconds()
    return min(10.0, max(FIRST_LOOK, waited / 4))


# ---- the lists


async def _read(turn: Turn, orders: Sequence[sqlite3.Row]) -> None:
    """Both lists, whole, and what they say of the orders that only they can settle."""
    try:
        given, received = await _lists(turn)
    except Unauthorized:
        raise
    except Refused as refused:
        missing = refused.reason_code == _MISSING
        for order in orders:
            if order["act"] == "read":
                reason = asking.MISSING_RIGHT if missing else refused.message
                _settle(
                    turn, order["id"], O(order["state"]), O.FAILED, refused.reason_code or str(refused.status), reason
                )
        turn.come_back(60.0)
        return
    keep(turn, given, received)
    if any(order["act"] == "read" for order in orders):
        _look_again(turn, received)
    for order in orders:
        now = staff.order(turn.office.db, order["id"])
        state = O(now["state"])
        if order["act"] == "read" or _came_about(turn, now):
            _settle(turn, order["id"], state, O.DONE, "", "")
        elif now["reason_code"] == _REFUSED:
            known = operation_code(400)
            _settle(turn, order["id"], state, O.FAILED, _REFUSED, f"{known.sentence} {known.what_to_do}")
        elif turn.now - from_text(now["sent_at"]) <= SURE_AFTER:
            turn.come_back(_pause(turn, now))  # the list may come a little later than the operation
        elif now["reason_code"] == _TAKEN:
            _settle(turn, order["id"], state, O.DONE, "", "")
        else:
            _settle(turn, order["id"], state, O.FAILED, "not_there", DID_NOT_COME)


async def _lists(turn: Turn) -> tuple[list[Grant], list[Grant]]:
    """What the office gave and what it received. KSeF's list of what was granted may be of whoever is logged in only
    (OpenAPI), and the list of who may work knows the rest, so both are read."""
    access = await login.access_for(turn)
    given = {grant.id: grant for query in QUERIES for grant in await turn.api.persons_grants(access, query)}
    return list(given.values()), await turn.api.entity_grants(access)


async def _read_when_old(turn: Turn) -> None:
    """Once a day without anybody asking; never with a person's certificate, which only that person uses."""
    if not due_for_reading(turn.office) or personal.sends_for(turn.office, turn.client_id) is not None:
        return
    try:
        given, received = await _lists(turn)
    except Unauthorized:
        raise
    except Refused:
        return
    keep(turn, given, received)
    _look_again(turn, received)


def due_for_reading(office: Office) -> bool:
    """Whether there are employees with rights whose lists are older than a day, and the office can read them."""
    read = staff.last_read(office.db)
    if read is None or office.clock() - from_text(read["read_at"]) < READ_EVERY or not staff.grants(office.db):
        return False
    row = authorizations.get(office.db, asking.own_client(office))
    return row["state"] in (*CAN_SEND, AuthState.READ_ONLY)


def keep(turn: Turn, given: Sequence[Grant], received: Sequence[Grant]) -> None:
    """Write both lists down. What people who have left still hold is ordered to be taken back."""
    listed = [grant for grant in given if grant.target_identifier is not None and grant.permission_scope in SCOPES]
    delegable: dict[tuple[str, str], bool] = {}
    for grant in received:
        if grant.context_identifier is None or grant.permission_scope not in SCOPES:
            continue
        key = (grant.context_identifier.value, grant.permission_scope)
        delegable[key] = delegable.get(key, False) or grant.can_delegate
    with turn.office.db.write() as connection:
        rows = []
        for grant in listed:
            who, to, names = grant.authorized_identifier, grant.target_identifier, grant.subject_person_details
            if who is None or to is None or to.type not in ("Nip", "AllPartners"):
                continue
            if who.type not in ("Nip", "Pesel", "Fingerprint"):
                continue
            person_id = staff.put_person(
                connection, Subject(who.type, who.value),
                names.first_name if names else "", names.last_name if names else "",
            )  # fmt: skip
            target = to.value if to.type == "Nip" else ""
            works = grant.permission_state == "Active"
            rows.append((grant.id, person_id, target, grant.permission_scope, works, grant.start_date))
        staff.put_grants(connection, rows)
        staff.put_received(connection, turn.now, delegable)
        for person in staff.dismissed_with_rights(turn.office.db):
            by = _operator(turn.office, person["dismissed_by"])
            asking.take_back(turn.office, connection, by, staff.grants(turn.office.db, person["id"]))
    if staff.pending(turn.office.db):
        turn.come_back(FIRST_LOOK)


def _look_again(turn: Turn, received: Sequence[Grant]) -> None:
    """A client from whom the list has less than the office's login there is asked about, else its badge would say
    otherwise until the daily probe. The list by itself takes nothing away, an empty one does not even ask (F28)."""
    if not received:
        return
    listed = {(one.context_identifier.value, one.permission_scope) for one in received if one.context_identifier}
    with turn.office.db.write() as connection:
        for row in authorizations.working_by(turn.office.db, "Nip", turn.office.nip):
            rights = {right for right in json.loads(row["rights"]) if right in SCOPES}
            if not row["office"] and any((row["nip"], right) not in listed for right in rights):
                authorizations.note(
                    connection, turn.now, row["client_id"], AuthState(row["state"]), intent="check", retry_at=None
                )
                audit(connection, turn.now, None, "auth.look_again", client_id=row["client_id"])


def _came_about(turn: Turn, order: sqlite3.Row) -> bool:
    rows = staff.grants(turn.office.db, order["person_id"])
    if order["act"] == "revoke":
        return order["grant_id"] not in {row["id"] for row in rows}
    there = {row["scope"] for row in rows if row["target_nip"] == order["target_nip"]}
    return set(json.loads(order["scopes"])) <= there


# ---- writing down


def _move(turn: Turn, order_id: int, act: str, old: OrderState, new: OrderState, **values: Any) -> bool:
    with turn.office.db.write() as connection:
        return staff.move(connection, turn.now, order_id, act, old, new, **values)


def _settle(turn: Turn, order_id: int, old: OrderState, new: OrderState, code: str, reason: str) -> None:
    with turn.office.db.write() as connection:
        if staff.move(connection, turn.now, order_id, "settle", old, new, reason_code=code, reason=reason):
            order = staff.order(turn.office.db, order_id)
            if order["act"] != "read":
                audit(connection, turn.now, None, f"staff.{new}", person=order["person_id"], order=order_id, code=code)


def _cannot(turn: Turn, order: sqlite3.Row, error: NoAccess | Problem) -> None:
    """The office's own login does not work, or is another person's: an order that was not sent is over."""
    if isinstance(error, Problem):
        code, reason = error.code, error.message
    else:
        code, reason = "office_not_authorised", asking.NOT_AUTHORISED.format(nip=turn.office.nip)
    now = staff.order(turn.office.db, order["id"])
    if now["state"] == O.WANTED:
        _settle(turn, order["id"], O.WANTED, O.FAILED, code, reason)
    elif now["state"] in (O.SENT, O.UNKNOWN):  # what became of it is read when the office is logged in again
        with turn.office.db.write() as connection:
            staff.note(connection, turn.now, order["id"], O(now["state"]), reason_code=code, reason=reason)


@contextmanager
def _for_whom(turn: Turn, order: sqlite3.Row) -> Iterator[None]:
    """For the time of one order the turn is that of the person who asked for it: a personal certificate is not lent."""
    before, turn.operator = turn.operator, _operator(turn.office, order["asked_by"])
    try:
        yield
    finally:
        turn.operator = before


def _operator(office: Office, operator_id: int) -> Operator:
    row = office.db.row("SELECT * FROM operator WHERE id = ?", (operator_id,))
    assert row is not None
    return Operator(row["id"], row["login"], row["name"], Role(row["role"]), row["client_id"])
