"""Sending in batch sessions: many invoices in one package (design §6 rules 1, 3, 4, 7; facts §9; F1, F13–F15).

The order of things: the guards; the intent (session, place, attempt) of every invoice committed; the package encrypted
on the disk; the session opened; each part uploaded; the session closed until it is closed. Nothing is processed before
the closing, so until then whatever breaks leaves all its invoices free; after it only a terminal session does.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
import secrets
import shutil
import sqlite3
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from ksef_tui.domain.invoices import InvoiceState
from ksef_tui.domain.problems import Problem
from ksef_tui.domain.secret import Secret
from ksef_tui.domain.times import from_text, to_text
from ksef_tui.ksef import operations
from ksef_tui.ksef.api import Access
from ksef_tui.ksef.crypto import SessionKey, encryption_info, new_session_key
from ksef_tui.ksef.errors import KsefError, Refused
from ksef_tui.ksef.models import FA3, OpenedBatch, PartUpload
from ksef_tui.ksef.packages import Compression, Package, Part, pack
from ksef_tui.ksef.public_keys import KEY_ENCRYPTION
from ksef_tui.services import login, personal
from ksef_tui.services.calls import LeaseLost, NotNow
from ksef_tui.services.interactive import NO_SUCH_SESSION, UNKNOWN_KEY, denied_for_good, learn
from ksef_tui.services.office import Office
from ksef_tui.services.outgoing import checked
from ksef_tui.services.turn import Turn
from ksef_tui.store import authorizations, batches, documents, invoices, pauses, sessions

S = InvoiceState
LARGEST_PACKAGE = 500_000_000  # bytes of invoices in one package; KSeF takes 5 GB, but a smaller one is lost sooner
UPLOAD_LIFE = timedelta(minutes=20)  # for each part (facts §9)
AT_ONCE = 4  # parts uploaded side by side
ROWS_AT_A_TIME = 500  # rows of one transaction, so that other writers get their turn
PART_MISSING, TOO_LATE, WRONG_SIZE = 21205, 21208, 21157
NOT_OURS = "insufficient-resource-access"
FOREIGN_PACKAGE = "paczka zapisana w bazie należy w KSeF do kogo innego – faktury pójdą w nowej"
FOLDER = "packages"


@dataclass(frozen=True, slots=True)
class _Prepared:
    """A session whose package lies ready."""

    session_id: int
    key: SessionKey
    package: Package


async def send_package(turn: Turn, access: Access, rows: Sequence[sqlite3.Row], compression: Compression) -> None:
    """Send these approved invoices in one package. Raises NotNow, KsefError; each invoice says what became of it."""
    certificate = await turn.keys.get(KEY_ENCRYPTION)
    turn.doing.reserve = 1 + len(batches.live(turn.office.db, turn.client_id))
    try:
        await turn.ready(operations.OPEN_BATCH)
    finally:
        turn.doing.reserve = 0
    prepared = await turn.keeper.while_alive(asyncio.to_thread(_prepare, turn, access, rows, compression))
    if prepared is None:
        return
    if turn.settling:
        give_up(turn, prepared.session_id, "opening", "worker kończył pracę")
        return
    try:
        opened = await turn.api.open_batch(access, FA3, encryption_info(prepared.key, certificate), prepared.package)
    except (KsefError, NotNow, LeaseLost) as error:
        # Perhaps it is open at KSeF: without its parts, which nobody else can send, and so without anything to process.
        give_up(turn, prepared.session_id, "opening", str(error))
        if isinstance(error, Refused) and UNKNOWN_KEY in error.codes:
            turn.keys.forget()
        learn(turn, error)
        raise
    _opened(turn, prepared.session_id, opened)
    await go_on(turn)


def _prepare(turn: Turn, access: Access, rows: Sequence[sqlite3.Row], compression: Compression) -> _Prepared | None:
    """In a thread: the guards, the intents, the package. None when no invoice passed the guards."""
    office = turn.office
    key, seal_row = new_session_key(), secrets.token_hex(8)
    with office.db.write() as connection:
        session_id = sessions.insert(
            connection,
            turn.now,
            {
                "client_id": turn.client_id,
                "kind": "batch",
                "context_nip": turn.nip,
                "subject": authorizations.get(office.db, turn.client_id)["subject"],
                "form_code": FA3.system_code,
                "seal_row": seal_row,
                "sealed_key": office.sealer.seal(key.key, client=turn.nip, kind="session_key", row=seal_row),
                "iv": key.iv,
            },
        )
    session = sessions.get(office.db, session_id)
    taken: list[sqlite3.Row] = []
    for row in rows:
        if checked(turn, access, session, row) is not None and _intend(turn, session_id, row, len(taken) + 1):
            taken.append(row)
    if not taken:
        _lose(turn, session_id, "opening", "żadna faktura nie przeszła kontroli")
        return None
    folder = folder_of(office, session_id)
    try:
        package = pack(folder, _documents(office, taken), key, compression=compression)
    except OSError as error:
        give_up(turn, session_id, "opening", str(error))
        raise Problem("disk_full", "Nie można zapisać paczki na dysku – brak miejsca albo praw do katalogu.") from error
    with office.db.write() as connection:
        batches.insert(
            connection, session_id, compression=package.compression, size=package.size, sha256_b64=package.hash,
            parts=[(part.ordinal, part.size, part.hash) for part in package.parts],
        )  # fmt: skip
    return _Prepared(session_id, key, package)


def _documents(office: Office, rows: Sequence[sqlite3.Row]) -> Iterator[tuple[str, bytes]]:
    for row in rows:
        yield f"{row['id']}.xml", documents.get(office.db, row["sha256"])


def _intend(turn: Turn, session_id: int, row: sqlite3.Row, ordinal: int) -> bool:
    """Rule 3: which package, which place, which attempt. False when a person took it back, or stopped the sending, in the
    last moment."""
    with turn.office.db.write() as connection:
        if not personal.may_send(turn.office, row) or pauses.in_force(turn.office.db, turn.client_id) is not None:
            return False
        return invoices.move(
            connection, turn.now, row["id"], "send", S.APPROVED, S.SENDING,
            attempt=row["attempts"], session_id=session_id, ordinal=ordinal, reference="", channel="batch",
            attempts=row["attempts"] + 1,
        )  # fmt: skip


def _opened(turn: Turn, session_id: int, opened: OpenedBatch) -> None:
    until = turn.now + UPLOAD_LIFE * len(opened.part_upload_requests)
    uploads = {
        request.ordinal_number: (
            turn.office.sealer.seal(
                Secret(request.url), client=turn.nip, kind="upload_url", row=f"{session_id}/{request.ordinal_number}"
            ),
            json.dumps(request.headers),
        )
        for request in opened.part_upload_requests
    }
    with turn.office.db.write() as connection:
        sessions.move(connection, session_id, "opening", "open", reference=opened.reference_number)
        batches.set_uploads(connection, session_id, until, uploads)


# ---- after the opening, in any process


async def go_on(turn: Turn) -> None:
    """Take every package of this client that is under way as far as it goes now. Raises NotNow, KsefError."""
    for session in batches.live(turn.office.db, turn.client_id):
        if session["state"] == "opening":  # a crash before the answer: its parts' addresses are lost, and so is it
            give_up(turn, session["id"], "opening", "program przerwany przy otwieraniu paczki")
            continue
        if session["state"] == "open":
            await _upload(turn, session)
        if sessions.get(turn.office.db, session["id"])["state"] == "closing":
            await _close(turn, sessions.get(turn.office.db, session["id"]))
        if sessions.get(turn.office.db, session["id"])["state"] == "closed":
            await asyncio.to_thread(_finish, turn, session["id"])


async def _upload(turn: Turn, session: sqlite3.Row) -> None:
    """Send the parts that are not there yet; when all are, the session is to be closed."""
    package = batches.get(turn.office.db, session["id"])
    if package is None or package["upload_until"] is None or from_text(package["upload_until"]) <= turn.now:
        with turn.office.db.write() as connection:  # closing tells what KSeF has of it
            sessions.move(connection, session["id"], "open", "closing", reason="minął czas na przesłanie paczki")
        return
    todo = [row for row in batches.parts(turn.office.db, session["id"]) if row["uploaded_at"] is None]
    if not await turn.keeper.while_alive(asyncio.to_thread(_whole, turn.office, session["id"], todo)):
        # Nobody closed it, so KSeF processes nothing of it (F14): its invoices are free at once.
        give_up(turn, session["id"], "open", "plików paczki nie ma na dysku – faktury pójdą w nowej")
        return
    gate = asyncio.Semaphore(AT_ONCE)

    async def one(row: sqlite3.Row) -> None:
        async with gate:
            await _upload_one(turn, session, row)

    results = await turn.keeper.while_alive(asyncio.gather(*(one(row) for row in todo), return_exceptions=True))
    failed = [result for result in results if isinstance(result, BaseException)]
    if failed:
        raise failed[0]
    with turn.office.db.write() as connection:
        sessions.move(connection, session["id"], "open", "closing")


def _whole(office: Office, session_id: int, rows: Sequence[sqlite3.Row]) -> bool:
    """Whether these parts lie on the disk as they were written: a loss of power may have taken them."""
    for row in rows:
        path = part_of(office, session_id, row["ordinal"])
        try:
            if path.stat().st_size != row["size"]:
                return False
            with path.open("rb") as file:
                digest = hashlib.file_digest(file, "sha256").digest()
        except OSError:
            return False
        if base64.b64encode(digest).decode() != row["hash"]:
            return False
    return True


async def _upload_one(turn: Turn, session: sqlite3.Row, row: sqlite3.Row) -> None:
    url = turn.office.sealer.open(
        row["sealed_url"], client=turn.nip, kind="upload_url", row=f"{session['id']}/{row['ordinal']}"
    )
    path = part_of(turn.office, session["id"], row["ordinal"])
    upload = PartUpload(
        ordinal_number=row["ordinal"], method="PUT", url=url.reveal_text(), headers=json.loads(row["headers"])
    )
    part = Part(row["ordinal"], path, row["size"], row["hash"])
    await turn.api.upload_part(turn.nip, session["reference"], upload, part)
    with turn.office.db.write() as connection:
        batches.set_uploaded(connection, session["id"], row["ordinal"], turn.now)


async def _close(turn: Turn, session: sqlite3.Row) -> None:
    """Rule 7: until KSeF says closed. A part that it has not got is sent again (F15), while its address lives."""
    if not personal.may_close(turn, session):
        return
    access = await login.access_for(turn)
    try:
        await turn.api.close_batch(access, session["reference"])
    except Refused as refused:
        if refused.code in (PART_MISSING, WRONG_SIZE) and _time_is_left(turn, session):
            with turn.office.db.write() as connection:
                batches.set_uploaded(connection, session["id"], None, None)
                sessions.move(connection, session["id"], "closing", "open", reason=refused.message)
            turn.come_back(1)
            return
        if refused.code == NO_SUCH_SESSION and not await denied_for_good(turn, access, session):
            turn.come_back(30)
            return
        not_ours = refused.reason_code == NOT_OURS
        if refused.code not in (PART_MISSING, WRONG_SIZE, TOO_LATE, NO_SUCH_SESSION) and not not_ours:
            learn(turn, refused)
            raise
        # It was never closed with all its parts, so nothing of it is processed, now or later. Should it be after all, KSeF
        # answers the next try with 440, and equal hashes settle it (rule 5).
        give_up(turn, session["id"], "closing", FOREIGN_PACKAGE if not_ours else refused.message)
        return
    with turn.office.db.write() as connection:
        sessions.move(connection, session["id"], "closing", "closed", closed_at=to_text(turn.now))


def _time_is_left(turn: Turn, session: sqlite3.Row) -> bool:
    package = batches.get(turn.office.db, session["id"])
    return package is not None and package["upload_until"] is not None and from_text(package["upload_until"]) > turn.now


def _finish(turn: Turn, session_id: int) -> None:
    """What was sent is being processed; when nothing of the package is under way any more, it is over."""
    while rows := invoices.of_session(turn.office.db, session_id, (S.SENDING,))[:ROWS_AT_A_TIME]:
        with turn.office.db.write() as connection:
            for row in rows:
                invoices.move(connection, turn.now, row["id"], "sent", S.SENDING, S.PROCESSING, attempt=row["attempts"])
    if not invoices.of_session(turn.office.db, session_id, (S.UNKNOWN, S.PROCESSING)):
        with turn.office.db.write() as connection:
            sessions.move(connection, session_id, "closed", "finished")
        clear(turn.office, session_id)


# ---- the end of a package


def give_up(turn: Turn, session_id: int, state: str, reason: str) -> None:
    """A package of which KSeF processes nothing: its invoices are approved again, its files go."""
    while rows := invoices.of_session(turn.office.db, session_id, (S.SENDING, S.UNKNOWN))[:ROWS_AT_A_TIME]:
        with turn.office.db.write() as connection:
            for row in rows:
                act = "sent" if row["state"] == S.SENDING else "settle"
                invoices.move(
                    connection, turn.now, row["id"], act, S(row["state"]), S.APPROVED,
                    attempt=row["attempts"], session_id=None, ordinal=None, reference="", told=reason,
                )  # fmt: skip
    _lose(turn, session_id, state, reason)
    clear(turn.office, session_id)
    turn.come_back(1)


def _lose(turn: Turn, session_id: int, state: str, reason: str) -> None:
    with turn.office.db.write() as connection:
        sessions.move(connection, session_id, state, "lost", reason=reason)


def folder_of(office: Office, session_id: int) -> Path:
    """Where the encrypted parts of a session lie."""
    return office.data_dir / FOLDER / str(session_id)


def part_of(office: Office, session_id: int, ordinal: int) -> Path:
    """The file of one part."""
    return folder_of(office, session_id) / f"{ordinal}.part"


def clear(office: Office, session_id: int) -> None:
    """Remove what lies on the disk of a session that is over."""
    shutil.rmtree(folder_of(office, session_id), ignore_errors=True)


def left_over(office: Office) -> list[Path]:
    """Folders of packages whose session is over or was never written down: a process died before it removed them."""
    folder = office.data_dir / FOLDER
    if not folder.is_dir():
        return []
    live = {str(row["id"]) for row in office.db.rows("SELECT id FROM session WHERE state NOT IN ('finished', 'lost')")}
    return [path for path in sorted(folder.iterdir()) if path.name not in live]


def drop_left_over(office: Office) -> None:
    """Remove them. A session is written down before its package is made, so nothing under way is touched."""
    for path in left_over(office):
        shutil.rmtree(path, ignore_errors=True)
