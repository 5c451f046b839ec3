"""Tokens as KSeF makes them: JWT with HS256 and short claim names (facts §4.6)."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from typing import Any

from ksef_tui.sandbox.clock import now_ms

OPERATION = "OperationToken"
ACCESS = "ContextToken"
REFRESH = "RefreshToken"


def encode(claims: dict[str, Any], secret: bytes) -> str:
    """Header, claims and signature, each Base64URL without padding."""
    head = _part(json.dumps({"alg": "HS256", "typ": "JWT"}).encode())
    body = _part(json.dumps(claims, ensure_ascii=False, separators=(",", ":")).encode())
    return f"{head}.{body}.{_part(_sign(f'{head}.{body}', secret))}"


def decode(token: str, secret: bytes) -> dict[str, Any] | None:
    """The claims of a token of ours that has not expired, else None."""
    signed, _, signature = token.rpartition(".")
    try:
        if not hmac.compare_digest(_bytes(signature), _sign(signed, secret)):
            return None
        claims: dict[str, Any] = json.loads(_bytes(signed.split(".")[1]))
    except (ValueError, IndexError):
        return None
    return claims if claims["exp"] * 1000 > now_ms() else None


def _sign(text: str, secret: bytes) -> bytes:
    return hmac.new(secret, text.encode(), hashlib.sha256).digest()


def _part(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode("ascii")


def _bytes(part: str) -> bytes:
    return base64.b64decode(part + "=" * (-len(part) % 4), altchars=b"-_", validate=True)
