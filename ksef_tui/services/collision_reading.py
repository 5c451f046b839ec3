"""Reading what KSeF has under the numbers of refused invoices (F5). Apart from `collisions`: the screen needs no protocol."""

from __future__ import annotations

import sqlite3
from datetime import timedelta
from typing import Any

from ksef_tui.domain.times import to_text
from ksef_tui.ksef.api import Access
from ksef_tui.ksef.errors import Refused, Unauthorized
from ksef_tui.services import login, looking
from ksef_tui.services.turn import Turn
from ksef_tui.store import collisions, documents

AT_A_TIME = 10
ASK_AGAIN = timedelta(minutes=10)
NO_RIGHT = "brakuje prawa przeglądania faktur (InvoiceRead), więc treści faktury z KSeF nie widać"
GONE = "KSeF nie pokazuje już faktury o tym numerze"


async def go_on(turn: Turn) -> None:
    """Read what KSeF has under the numbers of refused invoices, as far as the right goes. Raises NoAccess, NotNow, KsefError."""
    for row in collisions.due(turn.office.db, turn.client_id, turn.now, AT_A_TIME):
        access = await login.access_for(turn)
        turn.doing.invoice_id = row["id"]
        try:
            await _read(turn, access, row)
        except Unauthorized:
            raise
        except Refused as refused:
            if refused.status == 403:
                _note(turn, row, wanted=0, missing=NO_RIGHT)
            elif refused.code in looking.NOT_STORED_YET:
                _note(turn, row, next_look=to_text(turn.now + ASK_AGAIN))
            else:
                _note(turn, row, wanted=0, missing=f"KSeF odmówił: {refused.message}")
        finally:
            turn.doing.invoice_id = None


async def _read(turn: Turn, access: Access, row: sqlite3.Row) -> None:
    # A KSeF number begins with its seller's: one of somebody else's documents is not asked for in the client's name.
    known = row["original"] if row["original"].startswith(turn.nip) else ""
    number = known or (await looking.in_ksef(turn, access, row))[0]
    if not number:
        _note(turn, row, wanted=0, missing=GONE)
        return
    original = await turn.api.invoice(access, number)
    with turn.office.db.write() as connection:
        sha256 = documents.put(connection, original.body)
        collisions.put(
            connection, row["id"], ksef_number=number, document_sha256=sha256, wanted=0, missing="", next_look=None
        )


def _note(turn: Turn, row: sqlite3.Row, **values: Any) -> None:
    with turn.office.db.write() as connection:
        collisions.put(connection, row["id"], **values)
