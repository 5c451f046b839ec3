"""The KSeF API as methods: one for each call we make, nothing retried by itself, everything observed.

Whether a call may be made again is the caller's decision, from the error's class (`errors.py`) and the operation
(`operations.py`): redeeming, sending, opening and granting never after an unknown outcome (design §6 rule 9).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

from ksef_tui.ksef.api_auth import AuthCalls
from ksef_tui.ksef.api_batches import BatchCalls
from ksef_tui.ksef.api_certificates import CertificateCalls
from ksef_tui.ksef.api_permissions import PermissionCalls
from ksef_tui.ksef.api_sessions import SessionCalls
from ksef_tui.ksef.http import READ_TIMEOUT, CallObserver, Wire
from ksef_tui.ksef.models import Access, Download

if TYPE_CHECKING:
    from types import TracebackType

    import httpx

__all__ = ["Access", "Download", "KsefApi"]


class KsefApi(AuthCalls, SessionCalls, BatchCalls, PermissionCalls, CertificateCalls):
    """A client of one KSeF.

    `base_url` with or without `/v2`; `observer` hears of every call before it leaves and after it ended; `read_timeout`
    in seconds; `transport` replaces the network in tests. Every method raises the errors of `errors.py`.
    """

    def __init__(
        self,
        base_url: str,
        observer: CallObserver,
        *,
        transport: httpx.AsyncBaseTransport | None = None,
        read_timeout: float = READ_TIMEOUT,
    ) -> None:
        super().__init__(Wire(base_url, observer, transport=transport, read_timeout=read_timeout))

    @property
    def longest_call(self) -> float:
        """Seconds within which every single request ends; a lease must last longer (design §3)."""
        return self._wire.longest_call

    async def aclose(self) -> None:
        """Closes the connections."""
        await self._wire.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()
