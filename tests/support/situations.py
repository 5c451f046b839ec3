"""How a client's authorisation comes to stand in each of its states, and what may happen to it then: the rows and the
columns of the table in `tests/services/test_states_and_events.py`. All of it over HTTP."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from ksef_tui.domain.secret import Secret
from ksef_tui.services import authorising, configuring, ending, external
from support.companies import seal, signed
from support.houses import BOTH, Client, House
from support.strangers import Stranger

READ = ("InvoiceRead",)
ILL = {"path": "^/v2/auth"}


class Desk:
    """One office for the whole table, with its profiles; a client of its own for each cell."""

    def __init__(self, house: House) -> None:
        self.house = house
        configuring.change(house.office, house.admin, "token_end", "2199-12-31")
        self.lasting = house.identity("pieczęć", seal(house.nip))
        self.short = house.identity("krótka", seal(house.nip, days=20))
        self.unknown = house.identity("nieznana", seal(house.nip))  # KSeF never lets it in

    def world(self, client: Client, *rights: str) -> None:
        """What the client grants to the office now, instead of what it granted before."""
        self.house.ministry.unblock(client.nip)
        self.house.ministry.take_back(client.nip, self.house.nip)
        if rights:
            self.house.ministry.grant(client.nip, self.house.nip, *rights)

    async def start(self, client: Client, identity: int | None = None) -> None:
        authorising.start_with_identity(self.house.office, self.house.admin, client.id, identity or self.lasting)
        await self.house.carry_out(client)

    async def token(self, client: Client, token: str) -> None:
        authorising.start_with_token(self.house.office, self.house.admin, client.id, Secret(token))
        await self.house.carry_out(client)

    async def export(self, client: Client) -> None:
        authorising.start_external(self.house.office, self.house.admin, client.id)
        await self.house.carry_out(client)

    async def submit(self, client: Client) -> None:
        document = b"<nic/>"
        if self.house.auth(client)["state"] == "to_sign":
            asked = external.request(self.house.office, self.house.admin, client.id).document
            document = signed(asked, seal(client.nip))
        authorising.submit(self.house.office, self.house.admin, client.id, document)
        await self.house.carry_out(client)

    async def check(self, client: Client) -> None:
        authorising.check(self.house.office, self.house.admin, client.id)
        await self.house.carry_out(client)

    def letter(self, client: Client) -> None:
        authorising.requested(self.house.office, self.house.admin, client.id)

    async def end(self, client: Client) -> None:
        ending.end(self.house.office, self.house.admin, client.id)
        await self.house.carry_out(client)


Do = Callable[[Desk, Client], Awaitable[None]]

# ---- the states


async def _missing(desk: Desk, client: Client) -> None:
    """A client that was added and nothing else."""


async def _requested(desk: Desk, client: Client) -> None:
    await desk.start(client)
    desk.letter(client)


async def _running(desk: Desk, client: Client) -> None:
    authorising.start_with_identity(desk.house.office, desk.house.admin, client.id, desk.lasting)


async def _active(desk: Desk, client: Client) -> None:
    desk.world(client, *BOTH)
    await desk.start(client)


async def _read_only(desk: Desk, client: Client) -> None:
    desk.world(client, *READ)
    await desk.start(client)


async def _expiring(desk: Desk, client: Client) -> None:
    desk.world(client, *BOTH)
    await desk.start(client, desk.short)


async def _expired(desk: Desk, client: Client) -> None:
    await _expiring(desk, client)
    desk.house.later(days=25)


async def _blocked(desk: Desk, client: Client) -> None:
    desk.house.ministry.block(client.nip)
    await desk.start(client)


async def _failed(desk: Desk, client: Client) -> None:
    desk.house.ministry.fault("outage", match=ILL)
    await desk.start(client)
    desk.house.ministry.calm()


async def _ended(desk: Desk, client: Client) -> None:
    await _active(desk, client)
    await desk.end(client)


STATES: dict[str, Do] = {
    "missing": _missing,
    "requested": _requested,
    "running": _running,
    "to_sign": Desk.export,
    "active": _active,
    "read_only": _read_only,
    "expiring": _expiring,
    "expired": _expired,
    "no_permission": Desk.start,
    "blocked": _blocked,
    "failed": _failed,
    "ended": _ended,
}

# ---- the events


def _by_certificate(*rights: str) -> Do:
    async def event(desk: Desk, client: Client) -> None:
        desk.world(client, *rights)
        await desk.start(client)

    return event


def _by_check(*rights: str) -> Do:
    async def event(desk: Desk, client: Client) -> None:
        desk.world(client, *rights)
        await desk.check(client)

    return event


def _by_token(*, revoked: bool = False) -> Do:
    async def event(desk: Desk, client: Client) -> None:
        desk.house.ministry.unblock(client.nip)
        await desk.token(client, await Stranger(desk.house.ministry, client.nip).token(*BOTH, revoked=revoked))

    return event


async def _bad_token(desk: Desk, client: Client) -> None:
    desk.house.ministry.unblock(client.nip)
    await desk.token(client, "20261124-EC-ABCDEF0123-0123456789-AB|nip-1111111111|" + "0" * 64)


async def _signed_late(desk: Desk, client: Client) -> None:
    desk.house.later(minutes=11)
    await desk.submit(client)


async def _weather_at_start(desk: Desk, client: Client) -> None:
    desk.house.ministry.fault("outage", match=ILL)
    await desk.start(client)


async def _weather_at_check(desk: Desk, client: Client) -> None:
    desk.house.ministry.fault("outage", match=ILL)
    await desk.check(client)


async def _blocked_at_start(desk: Desk, client: Client) -> None:
    desk.house.ministry.block(client.nip)
    await desk.start(client)


async def _blocked_at_check(desk: Desk, client: Client) -> None:
    desk.house.ministry.block(client.nip)
    await desk.check(client)


async def _not_recognised(desk: Desk, client: Client) -> None:
    """460 for a certificate that KSeF has never taken."""
    desk.house.ministry.unblock(client.nip)
    desk.house.ministry.fault("certificate_check_down", params={"code": 460})
    await desk.start(client, desk.unknown)


async def _time_passes(desk: Desk, client: Client) -> None:
    desk.house.later(days=400)


async def _cancel(desk: Desk, client: Client) -> None:
    authorising.cancel(desk.house.office, desk.house.admin, client.id)


async def _revoke(desk: Desk, client: Client) -> None:
    authorising.revoke(desk.house.office, desk.house.admin, client.id)
    await desk.house.carry_out(client)


async def _letter(desk: Desk, client: Client) -> None:
    desk.letter(client)


EVENTS: dict[str, Do] = {
    "certificate, granted": _by_certificate(*BOTH),
    "certificate, not granted": _by_certificate(),
    "certificate, only reading granted": _by_certificate(*READ),
    "token, good": _by_token(),
    "token, wrong": _bad_token,
    "token, revoked": _by_token(revoked=True),
    "request to sign": Desk.export,
    "signed request": Desk.submit,
    "signed too late": _signed_late,
    "check, granted": _by_check(*BOTH),
    "check, withdrawn": _by_check(),
    "check, only reading": _by_check(*READ),
    "weather at a start": _weather_at_start,
    "weather at a check": _weather_at_check,
    "480 at a start": _blocked_at_start,
    "480 at a check": _blocked_at_check,
    "460": _not_recognised,
    "400 days pass": _time_passes,
    "cancelled": _cancel,
    "revoked": _revoke,
    "letter sent": _letter,
    "end of service": Desk.end,
}
