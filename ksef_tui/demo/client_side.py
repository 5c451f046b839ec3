"""What the clients do for themselves in the exercise: log in with their own seal, grant, make tokens, send.

Self-signed seals are what KSeF's TEST environment takes (facts §17); the exercise's KSeF does too.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, TypeVar

from ksef_tui.demo.cast import Member
from ksef_tui.domain.problems import Problem
from ksef_tui.domain.secret import Secret

if TYPE_CHECKING:
    from ksef_tui.ksef.api import Access, KsefApi
    from ksef_tui.ksef.http import Call, Outcome

T = TypeVar("T")
PATIENCE = 30.0  # seconds
RIGHTS = [("InvoiceWrite", True), ("InvoiceRead", True)]


def seal(nip: str, name: str, valid_from: datetime, valid_to: datetime) -> tuple[bytes, bytes]:
    """A self-signed seal of a company: certificate and key, both PEM."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509.oid import NameOID

    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name(
        [
            x509.NameAttribute(NameOID.COUNTRY_NAME, "PL"),
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, name[:64]),
            x509.NameAttribute(NameOID.ORGANIZATION_IDENTIFIER, f"VATPL-{nip}"),
            x509.NameAttribute(NameOID.COMMON_NAME, name[:64]),
        ]
    )
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(valid_from)
        .not_valid_after(valid_to)
        .sign(key, hashes.SHA256())
    )
    plain = serialization.NoEncryption()
    pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, plain)
    return certificate.public_bytes(serialization.Encoding.PEM), pem


def signed(member: Member, document: bytes) -> bytes:
    """The document as the owner of a company signs it, with a seal that is good now."""
    from ksef_tui.ksef import certificates, xades

    now = datetime.now(UTC)
    own = certificates.load(*seal(member.nip, member.name, now - timedelta(days=1), now + timedelta(days=30)))
    return xades.sign(document, own.certificate, own.key, signing_time=now)


class _Unseen:
    """The client's own calls are no business of the office's journal."""

    async def before(self, call: Call) -> None:
        return

    def started(self, call: Call) -> int:
        return 0

    def ended(self, call_id: int, outcome: Outcome) -> None:
        return


class ClientSide:
    """A client at work in KSeF without the office. Use as an async context manager."""

    def __init__(self, url: str, member: Member) -> None:
        from ksef_tui.ksef.api import KsefApi

        self._api: KsefApi = KsefApi(url, _Unseen())
        self._member = member
        self._access: Access | None = None

    async def __aenter__(self) -> ClientSide:
        self._access = await self._logged_in()
        return self

    async def __aexit__(self, *exception: object) -> None:
        await self._api.aclose()

    @property
    def access(self) -> Access:
        """The login."""
        assert self._access is not None
        return self._access

    async def _logged_in(self) -> Access:
        from ksef_tui.ksef import xades
        from ksef_tui.ksef.api import Access

        nip = self._member.nip
        challenge = await self._api.challenge(nip)
        document = signed(self._member, xades.auth_request(challenge.challenge, nip))
        started = await self._api.submit_signed(document, nip)
        token = started.authentication_token.token
        answer = await _until(
            lambda: self._api.auth_status(nip, started.reference_number, token), lambda a: a.status.code != 100
        )
        if answer.status.code != 200:
            raise Problem("demo_login", f"Ćwiczenie: {self._member.name} nie zalogował się ({answer.status.code}).")
        return Access(nip, (await self._api.redeem(nip, token)).access_token.token)

    async def grant(self, office_nip: str, office_name: str) -> None:
        """Issuing and reading, both with the right to pass them on."""
        reference = await self._api.grant_entity(self.access, office_nip, office_name, RIGHTS, "obsługa księgowa")
        await _until(lambda: self._api.operation_status(self.access, reference), lambda a: a.status.code != 100)

    async def token(self) -> Secret:
        """A KSeF token with the rights to issue and to read."""
        made = await self._api.create_token(self.access, ["InvoiceWrite", "InvoiceRead"], "token dla biura")
        await _until(lambda: self._api.token_status(self.access, made.reference), lambda a: a.status == "Active")
        return made.token

    async def send(self, *documents: bytes) -> None:
        """The client issues invoices itself, in a session of its own, and waits for their numbers."""
        from ksef_tui.ksef.crypto import encrypt_invoice, encryption_info, new_session_key
        from ksef_tui.ksef.models import FA3
        from ksef_tui.ksef.public_keys import KEY_ENCRYPTION, KeyRing

        key = new_session_key()
        certificate = await KeyRing(self._api, verified=False).get(KEY_ENCRYPTION)
        session = (await self._api.open_online(self.access, FA3, encryption_info(key, certificate))).reference_number
        for document in documents:
            await self._api.send_invoice(self.access, session, encrypt_invoice(document, key))
        await self._api.close_online(self.access, session)
        await _until(lambda: self._api.session_status(self.access, session), lambda a: a.status.code >= 200)


async def _until(ask: Callable[[], Awaitable[T]], done: Callable[[T], bool]) -> T:
    async with asyncio.timeout(PATIENCE):
        while not done(answer := await ask()):  # noqa: ASYNC110 KSeF tells nothing by itself
            await asyncio.sleep(0.05)
    return answer
