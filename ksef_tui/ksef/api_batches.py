"""Calls of batch sessions: announced, uploaded part by part, closed (facts §9)."""

from __future__ import annotations

from dataclasses import replace

from ksef_tui.ksef import operations as op
from ksef_tui.ksef.answers import Answer
from ksef_tui.ksef.api_sessions import CLOSED_ALREADY
from ksef_tui.ksef.calls import Calls, order_for
from ksef_tui.ksef.errors import Refused
from ksef_tui.ksef.http import Order
from ksef_tui.ksef.models import Access, EncryptionInfo, FormCode, OpenedBatch, PartUpload, encode
from ksef_tui.ksef.packages import Package, Part

SLOWEST_UPLOAD = 100_000  # bytes in a second; a part of 100 MB then takes 17 of the 20 minutes that KSeF allows
TAKEN = 201


class BatchCalls(Calls):
    """Sending packages."""

    async def open_batch(
        self, access: Access, form_code: FormCode, encryption: EncryptionInfo, package: Package
    ) -> OpenedBatch:
        """Opens a batch session for a package that lies ready. Refusals: 21157, 21161, 21470, 21405."""
        body = encode(
            {
                "formCode": form_code,
                "batchFile": {
                    "fileSize": package.size,
                    "fileHash": package.hash,
                    "compressionType": package.compression,
                    "fileParts": [
                        {"ordinalNumber": part.ordinal, "fileSize": part.size, "fileHash": part.hash}
                        for part in package.parts
                    ],
                },
                "encryption": encryption,
                "offlineMode": False,
            }
        )
        return await self._get(replace(order_for(access, op.OPEN_BATCH), body=body), OpenedBatch)

    async def upload_part(self, context: str, session: str, upload: PartUpload, part: Part) -> None:
        """Sends one encrypted part to the address that was handed out for it. Only 201 says that it is there: a page of
        a firewall with 200 is a failure (F15). May be repeated; `context` and `session` are for the journal."""
        order = Order(
            op.UPLOAD_PART, context=context, session=session, url=upload.url, headers=upload.headers, file=part.path,
            seconds=part.size / SLOWEST_UPLOAD,
        )  # fmt: skip
        await self._wire.make(order, _taken)

    async def close_batch(self, access: Access, session: str) -> None:
        """Closes a batch, which starts its processing; one that is closed already counts as done (F1). Repeat after
        `Unknown`. Refusals: 21205 a part is missing, 21208 the time for uploading is over, 21157, 21173."""
        try:
            await self._do(order_for(access, op.CLOSE_BATCH, session=session))
        except Refused as refused:
            if CLOSED_ALREADY not in refused.codes:
                raise


def _taken(answer: Answer) -> None:
    if answer.status != TAKEN:
        raise ValueError("not taken by the storage")
