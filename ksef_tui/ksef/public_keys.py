"""The ministry's public keys: which one to use, for how long, and whether it is the ministry's (facts §3, F44)."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Protocol

from ksef_tui.domain.problems import Problem
from ksef_tui.ksef.models import PublicKeyCertificate

if TYPE_CHECKING:
    from cryptography import x509

TOKEN_ENCRYPTION = "KsefTokenEncryption"
KEY_ENCRYPTION = "SymmetricKeyEncryption"
KEEP = timedelta(hours=4)
MINISTRY = "ministerstwo finans"


class KeySource(Protocol):
    """Whoever can fetch the list: the API."""

    async def public_keys(self) -> list[PublicKeyCertificate]: ...


def choose(keys: Iterable[PublicKeyCertificate], usage: str, now: datetime) -> PublicKeyCertificate:
    """The certificate for `usage` that is valid now; of several the one valid since latest (facts §3).

    Raises Problem("no_public_key").
    """
    fitting = [key for key in keys if usage in key.usage and key.valid_from <= now <= key.valid_to]
    if not fitting:
        raise Problem("no_public_key", "KSeF nie podał ważnego klucza do szyfrowania – spróbuj później.")
    return max(fitting, key=lambda key: key.valid_from)


def load(key: PublicKeyCertificate) -> x509.Certificate:
    """The certificate itself; raises Problem("bad_public_key")."""
    from cryptography import x509

    try:
        return x509.load_der_x509_certificate(base64.b64decode(key.certificate, validate=True))
    except (ValueError, binascii.Error):
        raise Problem("bad_public_key", "Klucz Ministerstwa Finansów podany przez KSeF jest nieczytelny.") from None


def verify_chain(key: PublicKeyCertificate, now: datetime) -> None:
    """On the real environments: is this the ministry's own certificate, issued to it by somebody, and valid?

    The subject must name the ministry, an issuer other than the subject must have signed it, and it must be valid now.
    The roots of qualified authorities are not on every machine, so the chain above is not followed; the list itself
    came over TLS from the ministry's host. Raises Problem("untrusted_public_key").
    """
    from cryptography.x509.oid import NameOID

    certificate = load(key)
    names = [
        str(attribute.value)
        for oid in (NameOID.ORGANIZATION_NAME, NameOID.COMMON_NAME)
        for attribute in certificate.subject.get_attributes_for_oid(oid)
    ]
    if not any(MINISTRY in name.casefold() for name in names):
        raise _untrusted("nie należy do Ministerstwa Finansów")
    if certificate.issuer == certificate.subject or not list(certificate.issuer):
        raise _untrusted("sam się poświadcza, nie wystawił go żaden urząd certyfikacji")
    if not certificate.not_valid_before_utc <= now <= certificate.not_valid_after_utc:
        raise _untrusted("nie jest teraz ważny")


def _untrusted(why: str) -> Problem:
    return Problem("untrusted_public_key", f"Certyfikat klucza KSeF {why}. Niczego nie wysłano – zgłoś to do MF.")


class KeyRing:
    """The keys of one KSeF, kept for hours. `forget` after 21470 or session status 415, then ask again.

    `verified`: check each chosen key with `verify_chain` (the real environments).
    """

    def __init__(
        self, source: KeySource, *, verified: bool, clock: Callable[[], datetime] = lambda: datetime.now(UTC)
    ) -> None:
        self._source = source
        self._verified = verified
        self._clock = clock
        self._keys: list[PublicKeyCertificate] = []
        self._fetched: datetime | None = None

    async def get(self, usage: str) -> PublicKeyCertificate:
        """The certificate to encrypt with: TOKEN_ENCRYPTION or KEY_ENCRYPTION. Raises KsefError and Problem."""
        now = self._clock()
        if self._fetched is None or now - self._fetched >= KEEP or now < self._fetched:
            self._keys = await self._source.public_keys()
            self._fetched = now
        key = choose(self._keys, usage, now)
        if self._verified:
            verify_chain(key, now)
        return key

    def forget(self) -> None:
        """The next `get` fetches the list anew."""
        self._fetched = None
