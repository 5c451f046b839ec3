"""Calls of sending: sessions, invoices, receipts, and looking for invoices (facts §8, §10, §16)."""

from __future__ import annotations

import base64
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, time
from typing import Literal

import msgspec

from ksef_tui.domain.times import WARSAW, to_text
from ksef_tui.ksef import operations as op
from ksef_tui.ksef.calls import MAX_PAGES, Calls, continuation, endless, order_for
from ksef_tui.ksef.crypto import EncryptedInvoice
from ksef_tui.ksef.errors import Refused
from ksef_tui.ksef.http import Order
from ksef_tui.ksef.models import (
    Access,
    Download,
    EncryptionInfo,
    FormCode,
    InvoiceMetadata,
    Model,
    OpenedSession,
    SentInvoice,
    SessionInvoice,
    SessionStatus,
    SessionSummary,
    encode,
)

CLOSED_ALREADY = 21180  # the session is past "open": closing has done its work


class _SessionInvoices(Model, frozen=True, kw_only=True):
    invoices: list[SessionInvoice] = msgspec.field(default_factory=list)
    continuation_token: str = ""


class _Sessions(Model, frozen=True, kw_only=True):
    sessions: list[SessionSummary] = msgspec.field(default_factory=list)
    continuation_token: str = ""


class MetadataPage(Model, frozen=True, kw_only=True):
    """A page of the metadata query; `is_truncated`: it shows no more than 10,000 rows."""

    invoices: list[InvoiceMetadata] = msgspec.field(default_factory=list)
    has_more: bool = False
    is_truncated: bool = False


class SessionCalls(Calls):
    """Sending invoices and following them."""

    async def open_online(self, access: Access, form_code: FormCode, encryption: EncryptionInfo) -> OpenedSession:
        """Opens an interactive session; read its status soon: a key KSeF cannot read shows as 415 (F20)."""
        body = encode({"formCode": form_code, "encryption": encryption})
        return await self._get(replace(order_for(access, op.OPEN_ONLINE), body=body), OpenedSession)

    async def send_invoice(
        self, access: Access, session: str, invoice: EncryptedInvoice, *, offline: bool = False
    ) -> str:
        """Sends one invoice and returns its reference number. It is judged later; never call twice after `Unknown` (F7)."""
        body = encode(
            {
                "invoiceHash": invoice.hash,
                "invoiceSize": invoice.size,
                "encryptedInvoiceHash": invoice.encrypted_hash,
                "encryptedInvoiceSize": invoice.encrypted_size,
                "encryptedInvoiceContent": base64.b64encode(invoice.content).decode(),
                "offlineMode": offline,
            }
        )
        order = replace(order_for(access, op.SEND_INVOICE, session=session), body=body)
        return (await self._get(order, SentInvoice)).reference_number

    async def close_online(self, access: Access, session: str) -> None:
        """Closes a session; one that is closed already counts as done (F1). Repeat after `Unknown`."""
        try:
            await self._do(order_for(access, op.CLOSE_ONLINE, session=session))
        except Refused as refused:
            if CLOSED_ALREADY not in refused.codes:
                raise

    async def session_status(self, access: Access, session: str) -> SessionStatus:
        """How a session stands (`codes.session_code`)."""
        return await self._get(order_for(access, op.SESSION_STATUS, session=session), SessionStatus)

    async def session_invoices(self, access: Access, session: str) -> list[SessionInvoice]:
        """All invoices of a session. An empty list proves nothing until the session is terminal (F18)."""
        order = replace(order_for(access, op.SESSION_INVOICES, session=session), query=(("pageSize", "1000"),))
        return await self._all_tokens(
            lambda token: self._get(replace(order, headers=continuation(token)), _SessionInvoices),
            lambda page: page.invoices,
            lambda page: page.continuation_token,
        )

    async def invoice_status(self, access: Access, session: str, reference: str) -> SessionInvoice:
        """How one invoice of a session stands (`codes.invoice_code`)."""
        return await self._get(order_for(access, op.INVOICE_STATUS, reference, session), SessionInvoice)

    async def sessions(
        self, access: Access, kind: Literal["Online", "Batch"], created_from: datetime | None = None
    ) -> list[SessionSummary]:
        """Sessions of this context, newest first; with `InvoiceWrite` only those of the same subject (facts §7.1)."""
        query: tuple[tuple[str, str], ...] = (("sessionType", kind), ("pageSize", "1000"))
        if created_from is not None:
            query += (("dateCreatedFrom", to_text(created_from)),)
        order = replace(order_for(access, op.SESSIONS), query=query)
        return await self._all_tokens(
            lambda token: self._get(replace(order, headers=continuation(token)), _Sessions),
            lambda page: page.sessions,
            lambda page: page.continuation_token,
        )

    async def invoice_upo(self, access: Access, session: str, reference: str) -> Download:
        """The receipt of an accepted invoice; check it with `upo.check_upo` before keeping it."""
        return await self._download(order_for(access, op.INVOICE_UPO, reference, session))

    async def upo_by_ksef_number(self, access: Access, session: str, ksef_number: str) -> Download:
        """The same receipt, by the invoice's KSeF number."""
        return await self._download(order_for(access, op.UPO_BY_NUMBER, ksef_number, session))

    async def fetch_url(self, url: str) -> Download:
        """A file from an address that KSeF handed out; goes without any token."""
        return await self._download(Order(op.FETCH_URL, url=url))

    async def invoice(self, access: Access, ksef_number: str) -> Download:
        """An invoice by its KSeF number. Refusals: 21164 there is none, 21165 not stored yet."""
        return await self._download(order_for(access, op.INVOICE, ksef_number))

    async def metadata_page(
        self,
        access: Access,
        *,
        subject: str,
        date_type: str,
        since: datetime,
        until: datetime | None = None,
        invoice_number: str | None = None,
        offset: int = 0,
    ) -> MetadataPage:
        """One page of `query_metadata`: 250 invoices from the `offset`-th page on, oldest first."""
        filters = {
            "subjectType": subject,
            "dateRange": {
                "dateType": date_type,
                "from": to_text(since),
                "to": None if until is None else to_text(until),
            },
            "invoiceNumber": invoice_number,
        }
        query = (("sortOrder", "Asc"), ("pageOffset", str(offset)), ("pageSize", "250"))
        order = replace(order_for(access, op.QUERY_METADATA), body=encode(filters), query=query)
        return await self._get(order, MetadataPage)

    async def query_metadata(
        self,
        access: Access,
        *,
        subject: str,
        date_type: str,
        since: datetime,
        until: datetime | None = None,
        invoice_number: str | None = None,
    ) -> list[InvoiceMetadata]:
        """All invoices in KSeF that the filter finds, oldest first, each once.

        `subject`: Subject1 (seller), Subject2 (buyer), Subject3, SubjectAuthorized; `date_type`: Issue, Invoicing or
        PermanentStorage; at most 90 days from `since` to `until` (facts §16).
        """
        found: dict[str, InvoiceMetadata] = {}
        start, offset = since, 0
        for _ in range(MAX_PAGES):
            page = await self.metadata_page(
                access, subject=subject, date_type=date_type, since=start, until=until, invoice_number=invoice_number,
                offset=offset,
            )  # fmt: skip
            found |= {row.ksef_number: row for row in page.invoices}
            if not page.has_more:
                return list(found.values())
            offset += 1
            if page.is_truncated:  # 10,000 rows shown: go on from the date of the last one
                last = _DATES[date_type](page.invoices[-1]) if page.invoices else None
                if last is None or last <= start:
                    break
                start, offset = last, 0
        raise endless()


def _issue_moment(row: InvoiceMetadata) -> datetime | None:
    return None if row.issue_date is None else datetime.combine(row.issue_date, time(), WARSAW).astimezone(UTC)


_DATES: dict[str, Callable[[InvoiceMetadata], datetime | None]] = {
    "Issue": _issue_moment,
    "Invoicing": lambda row: row.invoicing_date,
    "PermanentStorage": lambda row: row.permanent_storage_date,
}
