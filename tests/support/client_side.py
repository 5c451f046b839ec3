"""What a client does in KSeF for itself, with its own seal and without the office: give rights to pass on, take them back."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime
from types import TracebackType
from typing import Any

from ksef_tui.ksef import certificates, xades
from ksef_tui.ksef.api import Access, KsefApi
from support.companies import Paper, seal

BOTH = ("InvoiceWrite", "InvoiceRead")


class _Unseen:
    """The client's own calls are no business of the office's journal."""

    async def before(self, call: Any) -> None:
        return

    def started(self, call: Any) -> int:
        return 0

    def ended(self, call_id: int, outcome: Any) -> None:
        return


class ClientSide:
    """A company logged in in its own context (or a person in another's, with `paper`)."""

    def __init__(self, url: str, nip: str, paper: Paper | None = None) -> None:
        self._nip, self._paper = nip, paper or seal(nip)
        self.api = KsefApi(url, _Unseen())
        self._access: Access | None = None

    async def __aenter__(self) -> ClientSide:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.api.aclose()

    async def login_code(self) -> int:
        """How KSeF judges a login with this paper: 200, 415 …"""
        challenge = await self.api.challenge(self._nip)
        loaded = certificates.load(self._paper.certificate, self._paper.key)
        request = xades.auth_request(challenge.challenge, self._nip)
        signed = xades.sign(request, loaded.certificate, loaded.key, signing_time=datetime.now(UTC))
        started = await self.api.submit_signed(signed, self._nip)
        token = started.authentication_token.token
        while (answer := await self.api.auth_status(self._nip, started.reference_number, token)).status.code == 100:
            await asyncio.sleep(0.02)
        if answer.status.code == 200:
            self._access = Access(self._nip, (await self.api.redeem(self._nip, token)).access_token.token)
        return answer.status.code

    async def access(self) -> Access:
        if self._access is None:
            assert await self.login_code() == 200
        assert self._access is not None
        return self._access

    async def grant(self, office_nip: str, rights: Sequence[str] = BOTH, *, delegate: bool = True) -> None:
        """Give an office these rights."""
        wanted = [(right, delegate) for right in rights]
        access = await self.access()
        await self._done(await self.api.grant_entity(access, office_nip, "Biuro Modrzew", wanted, "obsługa księgowa"))

    async def take_back(self, office_nip: str, *rights: str) -> None:
        """Take these rights (or all) back from an office."""
        access = await self.access()
        for given in await self.api.persons_grants(access, "PermissionsGrantedInCurrentContext"):
            who = given.authorized_identifier
            if who is not None and who.value == office_nip and (not rights or given.permission_scope in rights):
                await self._done(await self.api.revoke_grant(access, given.id))

    async def _done(self, reference: str) -> None:
        access = await self.access()
        while (status := (await self.api.operation_status(access, reference)).status).code == 100:
            await asyncio.sleep(0.02)
        assert status.code == 200, status
