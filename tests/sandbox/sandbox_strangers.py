"""Logging in with `ksef-client` from PyPI, which other people wrote."""

from __future__ import annotations

from ksef_client import KsefClient
from ksef_client.services.workflows import AuthCoordinator
from sandbox_crypto import seal

FAST = {"poll_interval_seconds": 0.01, "max_attempts": 1000}


def by_signature(client: KsefClient, me: str, key, schema: str = "2.1") -> str:
    who = seal(me, key)
    result = AuthCoordinator(client.auth).authenticate_with_xades(
        context_identifier_type="nip",
        context_identifier_value=me,
        subject_identifier_type="certificateSubject",
        certificate_pem=who.pem,
        private_key_pem=who.key_pem,
        auth_request_schema_version=schema,
        **FAST,
    )
    return result.access_token
