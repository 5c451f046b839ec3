"""Calls of logging in: challenge, proof, result, tokens, logins (facts §3, §4)."""

from __future__ import annotations

from dataclasses import replace

import msgspec

from ksef_tui.domain.secret import Secret
from ksef_tui.ksef import operations as op
from ksef_tui.ksef.calls import Calls, continuation, order_for
from ksef_tui.ksef.http import Order
from ksef_tui.ksef.models import (
    Access,
    AccessToken,
    AuthSession,
    AuthStarted,
    AuthStatus,
    Challenge,
    Model,
    PublicKeyCertificate,
    Refreshed,
    TokenPair,
    encode,
)


class _AuthSessions(Model, frozen=True, kw_only=True):
    items: list[AuthSession] = msgspec.field(default_factory=list)
    continuation_token: str = ""


class AuthCalls(Calls):
    """Logging in. A `context` is the NIP in whose context the login is made."""

    async def public_keys(self) -> list[PublicKeyCertificate]:
        """The ministry's certificates for encryption (facts §3); `public_keys.choose` picks one."""
        return await self._get(Order(op.PUBLIC_KEYS), list[PublicKeyCertificate])

    async def challenge(self, context: str) -> Challenge:
        """A challenge, good for ten minutes and one login; `context` is for the journal only."""
        return await self._get(Order(op.CHALLENGE, context=context), Challenge)

    async def submit_signed(self, signed: bytes, context: str) -> AuthStarted:
        """Hands in a signed AuthTokenRequest, byte for byte as given (F53)."""
        order = Order(op.SUBMIT_SIGNED, context=context, body=signed, content_type="application/xml")
        return await self._get(order, AuthStarted)

    async def submit_token(
        self, context: str, challenge: Challenge, encrypted_token: str, public_key_id: str
    ) -> AuthStarted:
        """Hands in an encrypted KSeF token (`crypto.encrypt_token`). A wrong token shows later, as status 450."""
        body = encode(
            {
                "challenge": challenge.challenge,
                "contextIdentifier": {"type": "Nip", "value": context},
                "encryptedToken": encrypted_token,
                "publicKeyId": public_key_id or None,
            }
        )
        return await self._get(Order(op.SUBMIT_TOKEN, context=context, body=body), AuthStarted)

    async def auth_status(self, context: str, reference: str, token: Secret) -> AuthStatus:
        """How a login stands; `token` is the authentication token of `AuthStarted`."""
        return await self._get(Order(op.AUTH_STATUS, context=context, reference=reference, token=token), AuthStatus)

    async def redeem(self, context: str, token: Secret) -> TokenPair:
        """The access and the refresh token, given once: after an unknown outcome log in anew (F24)."""
        return await self._get(Order(op.REDEEM, context=context, token=token), TokenPair)

    async def refresh(self, context: str, token: Secret) -> AccessToken:
        """A new access token for a refresh token. A refusal other than 429 means: log in anew (F25)."""
        refreshed = await self._get(Order(op.REFRESH, context=context, token=token), Refreshed)
        return refreshed.access_token

    async def auth_sessions(self, access: Access) -> list[AuthSession]:
        """The logins in this context, newest first."""
        order = replace(order_for(access, op.AUTH_SESSIONS), query=(("pageSize", "100"),))
        return await self._all_tokens(
            lambda token: self._get(replace(order, headers=continuation(token)), _AuthSessions),
            lambda page: page.items,
            lambda page: page.continuation_token,
        )

    async def end_auth_session(self, context: str, token: Secret, reference: str | None = None) -> None:
        """Ends the login of `token` (access or refresh), or the one with `reference`; its access tokens live to their end."""
        operation = op.END_BY_REFERENCE if reference else op.END_CURRENT
        await self._do(Order(operation, context=context, reference=reference or "", token=token))
