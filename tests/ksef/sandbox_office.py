"""An office that works with the sandbox through our client: invoices, logins, sessions."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import TypeVar

import httpx
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID
from ksef_helpers import SEAL, certificate_for, ec_key

from ksef_tui.domain.times import polish_day
from ksef_tui.ksef import certificates, xades
from ksef_tui.ksef.api import Access, KsefApi
from ksef_tui.ksef.crypto import SessionKey, encrypt_invoice, encryption_info, new_session_key
from ksef_tui.ksef.models import FA3, AuthStarted, AuthStatus, SessionInvoice
from ksef_tui.ksef.public_keys import KEY_ENCRYPTION, KeyRing

T = TypeVar("T")

OFFICE = "5265877635"  # the NIP of the seal in ksef_helpers
_bodies = itertools.count(213_500_000)
_numbers = itertools.count(1)


def new_nip() -> str:
    """A company that no other test knows, with a right check digit."""
    while True:
        digits = str(next(_bodies))
        check = sum(int(d) * w for d, w in zip(digits, (6, 5, 7, 2, 3, 4, 5, 6, 7), strict=True)) % 11
        if check < 10:
            return f"{digits}{check}"


def invoice(seller: str, number: str | None = None, *, body: str = "Prowadzenie ksiąg") -> bytes:
    """The smallest FA(3) invoice of today."""
    number = number or f"FV/{next(_numbers)}/2026"
    made = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    head = (
        '<Naglowek><KodFormularza kodSystemowy="FA (3)" wersjaSchemy="1-0E">FA</KodFormularza>'
        f"<WariantFormularza>3</WariantFormularza><DataWytworzeniaFa>{made}</DataWytworzeniaFa></Naglowek>"
    )
    address = "<Adres><KodKraju>PL</KodKraju><AdresL1>ul. Polna 3, 00-001 Sosnowo</AdresL1></Adres>"
    parties = (
        f"<Podmiot1><DaneIdentyfikacyjne><NIP>{seller}</NIP><Nazwa>Wierzba sp. z o.o.</Nazwa></DaneIdentyfikacyjne>{address}"
        "</Podmiot1><Podmiot2><DaneIdentyfikacyjne><NIP>1111111111</NIP><Nazwa>Kupiec Jałowiec</Nazwa></DaneIdentyfikacyjne>"
        f"{address}<JST>2</JST><GV>2</GV></Podmiot2>"
    )
    notes = (
        "<Adnotacje><P_16>2</P_16><P_17>2</P_17><P_18>2</P_18><P_18A>2</P_18A><Zwolnienie><P_19N>1</P_19N></Zwolnienie>"
        "<NoweSrodkiTransportu><P_22N>1</P_22N></NoweSrodkiTransportu><P_23>2</P_23><PMarzy><P_PMarzyN>1</P_PMarzyN></PMarzy>"
        "</Adnotacje>"
    )
    content = (
        f"<Fa><KodWaluty>PLN</KodWaluty><P_1>{polish_day(datetime.now(UTC))}</P_1><P_2>{number}</P_2><P_13_1>200</P_13_1>"
        f"<P_14_1>46</P_14_1><P_15>246</P_15>{notes}<RodzajFaktury>VAT</RodzajFaktury><FaWiersz><NrWierszaFa>1</NrWierszaFa>"
        f"<P_7>{body}</P_7><P_11>200</P_11><P_12>23</P_12></FaWiersz></Fa>"
    )
    return f'<Faktura xmlns="http://crd.gov.pl/wzor/2025/06/25/13775/">{head}{parties}{content}</Faktura>'.encode()


async def until(read: Callable[[], Awaitable[T]], done: Callable[[T], bool]) -> T:
    """Asks until the answer is the one waited for; KSeF tells nothing by itself."""
    async with asyncio.timeout(15):
        while not done(answer := await read()):
            await asyncio.sleep(0.02)
    return answer


def identity(key, subject=SEAL) -> certificates.LoadedIdentity:
    now = datetime.now(UTC)
    certificate = certificate_for(key, subject, start=now - timedelta(hours=1))
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return certificates.load(certificate.public_bytes(Encoding.PEM), pem)


async def start(api: KsefApi, context: str, who: certificates.LoadedIdentity, *, version: str = "2.1") -> AuthStarted:
    challenge = await api.challenge(context)
    kind = certificates.describe(who.certificate).subject_type
    subject = "certificateFingerprint" if kind == "Fingerprint" else "certificateSubject"
    document = xades.auth_request(challenge.challenge, context, subject=subject, version=version)
    signed = xades.sign(document, who.certificate, who.key, signing_time=datetime.now(UTC))
    return await api.submit_signed(signed, context)


async def judged(api: KsefApi, context: str, started: AuthStarted) -> AuthStatus:
    token = started.authentication_token.token
    return await until(
        lambda: api.auth_status(context, started.reference_number, token), lambda answer: answer.status.code != 100
    )


async def enter(api: KsefApi, context: str, started: AuthStarted) -> Access:
    status = await judged(api, context, started)
    assert status.status.code == 200
    pair = await api.redeem(context, started.authentication_token.token)
    return Access(context, pair.access_token.token)


async def owner_of(api: KsefApi, nip: str) -> Access:
    """A company that logs in with its own seal."""
    seal = identity(ec_key(), {**SEAL, NameOID.ORGANIZATION_IDENTIFIER: f"VATPL-{nip}"})
    return await enter(api, nip, await start(api, nip, seal))


def allow(address: str, client: str, kind: str, value: str, *rights: str) -> None:
    """The client grants rights, as on the TEST environment."""
    body = {
        "contextIdentifier": {"type": "Nip", "value": client},
        "authorizedIdentifier": {"type": kind, "value": value},
        "permissions": [{"permissionType": right, "description": "obsługa księgowa"} for right in rights],
    }
    httpx.post(f"{address}/v2/testdata/permissions", json=body).raise_for_status()


class Session:
    """An open session with its key."""

    def __init__(self, api: KsefApi, access: Access, reference: str, key: SessionKey) -> None:
        self.api, self.access, self.reference, self.key = api, access, reference, key

    async def send(self, data: bytes) -> str:
        return await self.api.send_invoice(self.access, self.reference, encrypt_invoice(data, self.key))

    async def result(self, reference: str) -> SessionInvoice:
        return await until(
            lambda: self.api.invoice_status(self.access, self.reference, reference), lambda i: i.status.code >= 200
        )


async def open_session(api: KsefApi, access: Access) -> Session:
    certificate = await KeyRing(api, verified=False).get(KEY_ENCRYPTION)
    key = new_session_key()
    opened = await api.open_online(access, FA3, encryption_info(key, certificate))
    return Session(api, access, opened.reference_number, key)
