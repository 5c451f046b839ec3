"""The ministry's RSA keys: made at the first start, kept, rotated on demand (facts §3)."""

from __future__ import annotations

import base64
import hashlib
from datetime import UTC, datetime, timedelta
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.x509.oid import NameOID

from ksef_tui.sandbox.clock import iso, now_ms
from ksef_tui.sandbox.errors import BadRequest
from ksef_tui.sandbox.state import State

TOKEN = "KsefTokenEncryption"
SYMMETRIC = "SymmetricKeyEncryption"

_OAEP = padding.OAEP(padding.MGF1(hashes.SHA256()), hashes.SHA256(), None)


class MinistryKeys:
    """Keys by usage; several may be accepted at once during a planned rotation."""

    def __init__(self, state: State) -> None:
        self._state = state
        self._loaded: dict[str, rsa.RSAPrivateKey] = {}
        for usage in (TOKEN, SYMMETRIC):
            if not self._accepted(usage):
                self._make(usage)

    def published(self) -> list[dict[str, Any]]:
        """The answer of `GET /security/public-key-certificates`."""
        return [
            {
                "certificate": _b64(row["certificate"]),
                "certificateId": _b64(hashlib.sha256(row["certificate"]).digest()),
                "publicKeyId": row["id"],
                "validFrom": iso(row["valid_from"]),
                "validTo": iso(row["valid_to"]),
                "usage": [row["usage"]],
            }
            for row in self._state.rows("SELECT * FROM public_key WHERE NOT withdrawn ORDER BY valid_from DESC, usage")
        ]

    def rotate(self, *, keep_old: bool) -> None:
        """New keys for both usages; the old ones stay accepted (planned) or are refused at once (emergency)."""
        if not keep_old:
            self._state.run("UPDATE public_key SET withdrawn = 1")
        for usage in (TOKEN, SYMMETRIC):
            self._make(usage)

    def decrypt(self, usage: str, ciphertext: bytes, key_id: str | None) -> bytes | None:
        """RSA-OAEP-SHA-256; None when no accepted key opens it. Raises BadRequest(21470) for a foreign `key_id`."""
        accepted = self._accepted(usage)
        if key_id is not None:
            if key_id not in accepted:
                raise BadRequest(21470, f"Klucz o identyfikatorze {key_id} nie jest wspierany.")
            accepted = [key_id]
        for candidate in accepted:
            try:
                return self._key(candidate).decrypt(ciphertext, _OAEP)
            except ValueError:
                continue
        return None

    def _accepted(self, usage: str) -> list[str]:
        sql = "SELECT id FROM public_key WHERE usage = ? AND NOT withdrawn ORDER BY valid_from DESC"
        return [row["id"] for row in self._state.rows(sql, usage)]

    def _key(self, key_id: str) -> rsa.RSAPrivateKey:
        if key_id not in self._loaded:
            der = self._state.value("SELECT private_key FROM public_key WHERE id = ?", key_id)
            key = serialization.load_der_private_key(der, password=None)
            if not isinstance(key, rsa.RSAPrivateKey):
                raise TypeError(f"not an RSA key: {key_id}")
            self._loaded[key_id] = key
        return self._loaded[key_id]

    def _make(self, usage: str) -> None:
        key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        # Client selection is by the latest start, so a rotated key must start later than the one before it.
        start = datetime.fromtimestamp(now_ms() / 1000, UTC) - timedelta(seconds=60)
        earlier = self._state.value("SELECT max(valid_from) FROM public_key WHERE usage = ?", usage)
        if earlier is not None:
            start = max(start, datetime.fromtimestamp(earlier / 1000 + 1, UTC))
        start = start.replace(microsecond=0)
        end = start + timedelta(days=730)
        name = x509.Name(
            [
                x509.NameAttribute(NameOID.COUNTRY_NAME, "PL"),
                x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Piaskownica KSeF"),
                x509.NameAttribute(NameOID.COMMON_NAME, f"Piaskownica KSeF {usage}"),
            ]
        )
        certificate = (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(start)
            .not_valid_after(end)
            .sign(key, hashes.SHA256())
        )
        info = key.public_key().public_bytes(
            serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
        )
        self._state.insert(
            "public_key",
            id=_b64(hashlib.sha256(info).digest()),
            usage=usage,
            certificate=certificate.public_bytes(serialization.Encoding.DER),
            private_key=key.private_bytes(
                serialization.Encoding.DER, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            ),
            valid_from=round(start.timestamp() * 1000),
            valid_to=round(end.timestamp() * 1000),
        )


def _b64(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")
