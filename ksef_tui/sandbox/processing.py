"""What KSeF does after it answered: judges invoices, gives numbers, ends sessions (facts §10, appendix B).

Everything that waits is in the database with the moment when it is due, so a restart goes on where it stopped.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import sqlite3
import time

from ksef_tui.sandbox import foreign
from ksef_tui.sandbox.clock import HOUR, now_ms, warsaw_day
from ksef_tui.sandbox.document import Document
from ksef_tui.sandbox.judge import Judge, Rejected, Sent
from ksef_tui.sandbox.numbers import ksef_number, reference
from ksef_tui.sandbox.quota import context_limits
from ksef_tui.sandbox.rights import attachments_allowed, authorizations
from ksef_tui.sandbox.sessions import ONLINE
from ksef_tui.sandbox.web import Sandbox

_log = logging.getLogger(__name__)

REFUSALS = frozenset({405, 410, 415, 430, 435, 450, 500, 550})  # of one invoice; 440 has an original (`foreign`)

UPO_PAGE = 10_000
_RETRY_S = 0.5
_SLICE_S = 0.02
_CHUNK = 20


class Processor:
    """One task of the event loop; it works in slices so that answers never wait long for it."""

    def __init__(self, sandbox: Sandbox, judge: Judge) -> None:
        self._sandbox = sandbox
        self._state = sandbox.state
        self._judge = judge

    async def run(self) -> None:
        """Work until cancelled: at once when a request may have brought something, else when something is due."""
        while True:
            self._sandbox.wake.clear()
            try:
                more = self.advance()
            except sqlite3.Error:
                _log.exception("processing")
                await asyncio.sleep(_RETRY_S)
                continue
            if more:
                await asyncio.sleep(0)
                continue
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._sandbox.wake.wait(), self._pause())

    def _pause(self) -> float:
        """Seconds until the next thing is due, at most a second so that the 12 h of a session are seen too."""
        sql = """
            SELECT min(due) FROM (
                SELECT min(due) AS due FROM invoice WHERE code IS NULL UNION ALL
                SELECT min(due) FROM session WHERE kind = 'Online' AND code IS NULL
                    AND (closed IS NOT NULL OR key IS NULL))"""
        due = self._state.value(sql)
        return 1.0 if due is None else min(1.0, max(0.005, (due - now_ms()) / 1000))

    def advance(self) -> bool:
        """Do what is due, for one slice of time; True when something is left."""
        until = time.monotonic() + _SLICE_S
        now = now_ms()
        self._fail_and_expire(now)
        while not self._sandbox.faults.is_on("stuck"):
            due = self._state.rows(
                """
                SELECT invoice.*, session.kind AS session_kind, session.key, session.iv, session.checks_nip,
                       session.context_type, session.context_value
                FROM invoice JOIN session ON session.ref = invoice.session_ref
                WHERE invoice.code IS NULL AND invoice.due <= ? ORDER BY invoice.due, invoice.rowid LIMIT ?""",
                now,
                _CHUNK,
            )
            if not due:
                break
            with self._state.transaction():
                for row in due:
                    self._settle(row)
            if time.monotonic() > until:
                return True
        self._end_sessions(now)
        return False

    def _fail_and_expire(self, now: int) -> None:
        """Keys that could not be decrypted (415), and sessions that nobody closed within 12 hours.

        After them an interactive session closes itself; a batch is cancelled even if all of it was sent (facts §9).
        """
        self._state.run(
            "UPDATE session SET code = 415, updated = ? WHERE kind = 'Online' AND code IS NULL AND key IS NULL AND due <= ?",
            now,
            now,
        )
        late = "updated = valid_until WHERE code IS NULL AND closed IS NULL AND valid_until <= ?"
        self._state.run(f"UPDATE session SET closed = valid_until, {late} AND kind = 'Online'", now)  # noqa: S608 our own text
        self._state.run(f"UPDATE session SET code = 440, {late} AND kind = 'Batch'", now)  # noqa: S608 our own text

    def _settle(self, row: sqlite3.Row) -> None:
        try:
            fault = self._sandbox.faults.strike("invoice_fails")
            if fault is not None:
                code = int(fault.params.get("code", 500))
                raise Rejected(code if code in REFUSALS else 500)
            plain, document = self._examine(row)
            foreign.come_first(self._sandbox, row, plain, document)
            self._check_duplicate(document, row["session_ref"])
        except Rejected as rejected:
            self._state.run(
                "UPDATE invoice SET code = ?, details = ?, extensions = ?, content = x'' WHERE ref = ?",
                rejected.code,
                json.dumps(rejected.details, ensure_ascii=False),
                json.dumps(rejected.extensions) if rejected.extensions else None,
                row["ref"],
            )
        else:
            self._accept(row, plain, document)

    def _examine(self, row: sqlite3.Row) -> tuple[bytes, Document]:
        if row["key"] is None:
            raise Rejected(405)
        try:
            return self._judge.examine(self._sent(row))
        except Rejected:
            raise
        except Exception as error:
            # One document that the sandbox cannot cope with must not stop the judging of all others.
            _log.exception("invoice %s", row["ref"])
            raise Rejected(500) from error

    def _sent(self, row: sqlite3.Row) -> Sent:
        context = (row["context_type"], row["context_value"])
        online = row["session_kind"] == ONLINE
        group = "onlineSession" if online else "batchSession"
        return Sent(
            content=row["content"],
            secret=(row["key"], row["iv"]) if online else None,
            hash=row["hash"],
            size=row["size"],
            context=context,
            today=warsaw_day(row["received"]),
            limits=context_limits(self._state, ":".join(context))[group],
            interactive=online,
            correction=row["corrected_hash"] is not None,
            authorizations=lambda seller: authorizations(self._state, seller, context[1]),
            attachments=attachments_allowed(self._state, context[1][:10]),
            checks_nip=bool(row["checks_nip"]),
        )

    def _check_duplicate(self, document: Document, own_session: str) -> None:
        """The key of facts §11: seller, kind and number, over all sessions and contexts."""
        original = self._state.row(
            """SELECT ksef_number, session_ref FROM invoice
               WHERE seller = ? AND kind = ? AND number = ? AND ksef_number IS NOT NULL""",
            document.seller,
            document.kind,
            document.number,
        )
        if original is None:
            return
        number, session = original["ksef_number"], original["session_ref"]
        if self._sandbox.faults.strike("duplicate_wrong_session"):
            session = own_session
        text = f"Faktura o numerze KSeF: {number} została już prawidłowo przesłana do systemu w sesji: {session}"
        if self._sandbox.faults.strike("duplicate_without_original"):
            raise Rejected(440, "Faktura została już prawidłowo przesłana do systemu.")
        extensions = {"originalSessionReferenceNumber": session, "originalKsefNumber": number}
        raise Rejected(440, text, extensions=extensions)

    def _accept(self, row: sqlite3.Row, plain: bytes, document: Document) -> None:
        now = now_ms()
        storage = self._sandbox.faults.strike("storage_late")
        # Issued on an earlier day than it was sent: KSeF itself makes it an offline one (facts §13).
        late = (
            document.issued < warsaw_day(row["invoicing"]) or self._sandbox.faults.strike("after_midnight") is not None
        )
        self._state.run(
            """UPDATE invoice SET code = 200, details = '[]', content = ?, seller = ?, kind = ?, number = ?, issued = ?,
                   ksef_number = ?, acquired = ?, stored = ?, mode = ?, metadata = ? WHERE ref = ?""",
            plain,
            document.seller,
            document.kind,
            document.number,
            document.issued.isoformat(),
            ksef_number(document.seller, warsaw_day(now)),
            now,
            now + (int(storage.params.get("ms", HOUR)) if storage else self._sandbox.delay_ms),
            "Offline" if row["offline"] or late else "Online",
            json.dumps(document.metadata(), ensure_ascii=False),
            row["ref"],
        )
        for nip, role in document.parties():
            self._state.insert("party", nip=nip, role=role, invoice_ref=row["ref"])

    def _end_sessions(self, now: int) -> None:
        """Closed sessions in which every invoice is judged: 440 nothing sent, 445 nothing good, else 200 and UPO."""
        ended = self._state.rows(
            """
            SELECT ref, (SELECT count(*) FROM invoice WHERE session_ref = session.ref) AS total,
                   (SELECT count(*) FROM invoice WHERE session_ref = session.ref AND code = 200) AS good
            FROM session WHERE code IS NULL AND closed IS NOT NULL AND due <= ?
              AND (kind = 'Online' OR EXISTS (SELECT 1 FROM batch WHERE session_ref = session.ref AND unpacked))
              AND NOT EXISTS (SELECT 1 FROM invoice WHERE session_ref = session.ref AND code IS NULL)""",
            now,
        )
        if not ended:
            return
        with self._state.transaction():
            for row in ended:
                code = 440 if row["total"] == 0 else 445 if row["good"] == 0 else 200
                self._state.run("UPDATE session SET code = ?, updated = ? WHERE ref = ?", code, now, row["ref"])
                pages = -(-row["good"] // UPO_PAGE)
                for page in range(1, pages + 1):
                    fields = {"session_ref": row["ref"], "page": page, "pages": pages}
                    self._state.insert("upo_page", ref=reference("EU"), **fields)
