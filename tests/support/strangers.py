"""Another program that works for the client: logs in as the client itself, makes tokens, sends invoices."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime

from ksef_tui.ksef import certificates, xades
from ksef_tui.ksef.api import Access, KsefApi
from ksef_tui.ksef.crypto import encrypt_invoice, encryption_info, new_session_key
from ksef_tui.ksef.http import Call, Outcome
from ksef_tui.ksef.models import FA3, TokenPair
from ksef_tui.ksef.public_keys import KEY_ENCRYPTION, KeyRing
from support.companies import Paper, seal
from support.ministry import PATIENCE, Ministry


class _Nobody:
    """Nobody keeps a journal of what a stranger does."""

    async def before(self, call: Call) -> None:
        """It may always leave."""

    def started(self, call: Call) -> int:
        return 0

    def ended(self, call_id: int, outcome: Outcome) -> None:
        """Forgotten."""


class Stranger:
    """The owner of a company, with the owner's own seal."""

    def __init__(self, ministry: Ministry, nip: str, paper: Paper | None = None) -> None:
        self.nip = nip
        self._paper = paper or seal(nip)
        self._url = ministry.url

    async def token(self, *permissions: str, revoked: bool = False) -> str:
        """A KSeF token of this company, ready for use; `revoked`: taken back by the company since."""
        import httpx

        async with KsefApi(self._url, _Nobody()) as api, httpx.AsyncClient(base_url=self._url, trust_env=False) as http:
            access = await self._login(api)
            headers = {"Authorization": f"Bearer {access.token.reveal_text()}"}
            body = {"permissions": list(permissions), "description": "dla biura"}
            made = (await http.post("/v2/tokens", json=body, headers=headers)).raise_for_status().json()
            async with asyncio.timeout(PATIENCE):
                address = f"/v2/tokens/{made['referenceNumber']}"
                while (await http.get(address, headers=headers)).json()["status"] != "Active":
                    await asyncio.sleep(0.01)
                if revoked:
                    (await http.delete(address, headers=headers)).raise_for_status()
                    while (await http.get(address, headers=headers)).json()["status"] != "Revoked":
                        await asyncio.sleep(0.01)
            return made["token"]

    async def grant_office(self, nip: str, *, delegate: bool) -> None:
        """Grant another company writing and reading, as the client's own program does; done when it returns."""
        async with KsefApi(self._url, _Nobody()) as api:
            access = await self._login(api)
            rights = [("InvoiceWrite", delegate), ("InvoiceRead", delegate)]
            reference = await api.grant_entity(access, nip, "Biuro Modrzew", rights, "obsługa księgowa")
            async with asyncio.timeout(PATIENCE):
                while (status := await api.operation_status(access, reference)).status.code == 100:
                    await asyncio.sleep(0.01)
            assert status.status.code == 200, status

    async def send(self, document: bytes) -> str:
        """Send an invoice as the client's own program does; its KSeF number."""
        async with KsefApi(self._url, _Nobody()) as api:
            access = await self._login(api)
            key = new_session_key()
            certificate = await KeyRing(api, verified=False).get(KEY_ENCRYPTION)
            session = (await api.open_online(access, FA3, encryption_info(key, certificate))).reference_number
            reference = await api.send_invoice(access, session, encrypt_invoice(document, key))
            async with asyncio.timeout(PATIENCE):
                while (item := await api.invoice_status(access, session, reference)).permanent_storage_date is None:
                    assert item.status.code <= 200, item
                    await asyncio.sleep(0.01)
            await api.close_online(access, session)
            return item.ksef_number

    async def refresh_token(self) -> str:
        """A login of its own that lives for days."""
        async with KsefApi(self._url, _Nobody()) as api:
            return (await self._tokens(api)).refresh_token.token.reveal_text()

    async def _login(self, api: KsefApi) -> Access:
        return Access(self.nip, (await self._tokens(api)).access_token.token)

    async def _tokens(self, api: KsefApi) -> TokenPair:
        loaded = certificates.load(self._paper.certificate, self._paper.key)
        challenge = await api.challenge(self.nip)
        request = xades.auth_request(challenge.challenge, self.nip)
        signed = xades.sign(request, loaded.certificate, loaded.key, signing_time=datetime.now(UTC))
        started = await api.submit_signed(signed, self.nip)
        token = started.authentication_token.token
        async with asyncio.timeout(PATIENCE):
            while (await api.auth_status(self.nip, started.reference_number, token)).status.code == 100:
                await asyncio.sleep(0.01)
        return await api.redeem(self.nip, token)
