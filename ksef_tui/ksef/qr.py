"""The link in an invoice's QR code (facts §15, code I)."""

from __future__ import annotations

import base64
from datetime import date


def invoice_link(qr_url: str, seller_nip: str, issue_date: date, sha256: bytes) -> str:
    """The address at which a buyer checks an invoice; `sha256` is the digest of the file as sent, 32 bytes."""
    digest = base64.urlsafe_b64encode(sha256).decode().rstrip("=")
    return f"{qr_url.rstrip('/')}/invoice/{seller_nip}/{issue_date:%d-%m-%Y}/{digest}"
