"""Copies of the office's database, and going back to one without sending anything twice (F6)."""

from __future__ import annotations

import os
import shutil
import sqlite3
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from ksef_tui.domain.problems import Problem
from ksef_tui.domain.reasons import os_reason
from ksef_tui.domain.roles import Act, Operator, require
from ksef_tui.domain.text import count_of
from ksef_tui.domain.times import to_text, warsaw
from ksef_tui.services.office import Office, database_path
from ksef_tui.store import copies, leases, offices, sealed
from ksef_tui.store.database import open_database
from ksef_tui.store.records import audit
from ksef_tui.vault import seal
from ksef_tui.vault.data_key import KeyStore


def backup(office: Office, operator: Operator, to: Path) -> int:
    """Copy the database, as it is at one moment, into a new file for its owner only (0600); its size in bytes.

    Work goes on meanwhile. Secrets in it stay sealed: the data key is not in it (`vault export`). Raises Problem:
    the file exists, or cannot be written.
    """
    require(operator, Act.BACKUP, None)
    if to.exists():
        raise Problem("file_exists", f"Plik {to} już jest – kopia nie nadpisuje innych plików.")
    temporary = to.with_name(f".{to.name}.{os.getpid()}.part")
    try:
        copies.new_copy(office.db.connection, temporary)
        with office.db.write() as connection:  # written down first: what is refused leaves no file
            audit(connection, office.clock(), operator, Act.BACKUP, file=to.name)
        os.link(temporary, to)  # never over a file that somebody made meanwhile
        copies.on_disk(to.parent)
    except FileExistsError:
        raise Problem("file_exists", f"Plik {to} już jest – kopia nie nadpisuje innych plików.") from None
    except (OSError, sqlite3.Error) as error:
        why = os_reason(error) if isinstance(error, OSError) else "brak miejsca albo błąd dysku"
        raise Problem("unwritable_file", f"Nie można zapisać kopii {to}: {why}.") from error
    finally:
        for tail in ("", "-journal"):
            with suppress(OSError):
                temporary.with_name(temporary.name + tail).unlink()
    return to.stat().st_size


@dataclass(frozen=True, slots=True)
class Restored:
    """What came of it. `made_at`: when the backup was made, for people; `aside`: the database of before, None when there
    was none; `clients`: how many are looked through at KSeF; `key_problem`: empty when the data key opens the secrets."""

    made_at: str
    aside: Path | None
    clients: int
    key_problem: str

    @property
    def next(self) -> str:
        """What happens now, in a sentence."""
        if not self.clients:
            return "Żaden klient nie czeka na sprawdzenie w KSeF."
        return (
            f"Zanim cokolwiek wyjdzie, program sprawdzi w KSeF, co wysłano od tego czasu: "
            f"{count_of(self.clients, 'klient', 'klienci', 'klientów')}. Uruchom workera albo ekran."
        )


def restore(data_dir: Path, login: str, file: Path, now: datetime) -> Restored:
    """Put a backup in the place of the database in `data_dir`; the one of before stays beside it under another name.

    Every client is looked through at KSeF before anything of theirs is sent again. Raises Problem: the file is no
    backup of an office, `login` is no administrator there, somebody works with the directory now, or it is another
    office's.
    """
    made_at = _check(file, login)
    target = database_path(data_dir)
    temporary = data_dir / f".restore.{os.getpid()}.part"
    aside: Path | None = None
    try:
        data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        _refuse_when_in_use(target, file)
        shutil.copyfile(file, temporary)
        temporary.chmod(0o600)
        clients = _mark(temporary, login, made_at, now)
        if target.exists():
            if target.samefile(file):
                raise Problem("bad_backup", "To jest baza tego biura, a nie jej kopia.")
            aside = target.with_name(f"{target.stem}-przed-odtworzeniem-{warsaw(now):%Y%m%d-%H%M%S}.db")
            copies.copy_over(target, aside)
            copies.copy_over(temporary, target)  # a screen that is open sees the office as it is now
        else:
            temporary.rename(target)
        copies.on_disk(target)
        copies.on_disk(data_dir)
    except (OSError, sqlite3.Error) as error:
        why = os_reason(error) if isinstance(error, OSError) else "błąd bazy danych"
        raise Problem("unwritable_file", f"Nie można odtworzyć kopii w {data_dir}: {why}.") from error
    finally:
        for tail in ("", "-wal", "-shm", ".lock"):
            temporary.with_name(temporary.name + tail).unlink(missing_ok=True)
    return Restored(f"{warsaw(made_at):%d.%m.%Y %H:%M}", aside, clients, _key_problem(data_dir))


def _key_problem(data_dir: Path) -> str:
    """Whether the key that lies there opens what the backup holds; nobody is asked for a passphrase."""
    db = open_database(database_path(data_dir))
    try:
        row = offices.office(db)
        assert row is not None
        keys = KeyStore(lambda: offices.secrets(db), data_dir, row["office_id"])
        found = keys.glance()
        header = sealed.header(db.connection)
        if found is not None and header != seal.FIRST and header not in {seal.header_of(key) for key in found}:
            return seal.wrong_key().message
    except Problem as problem:
        return problem.message
    finally:
        db.close()
    return ""


def _check(file: Path, login: str) -> datetime:
    """When the backup was made (its last change of anything). Raises Problem."""
    wal = file.with_name(file.name + "-wal")
    if wal.exists() and wal.stat().st_size:
        raise Problem(
            "bad_backup",
            f"{file} to baza, która jest w użyciu ({wal.name} leży obok), a nie kopia – zrób ją: ksef-tui backup.",
        )
    try:
        with copies.untouched(file) as connection:
            if connection.execute("PRAGMA quick_check").fetchone()[0] != "ok":
                raise Problem("bad_backup", f"Kopia {file} jest uszkodzona.")
            connection.execute("SELECT nip FROM office").fetchone()["nip"]
            newest = connection.execute(
                "SELECT max(at) FROM (SELECT max(at) AS at FROM audit UNION ALL SELECT max(at) FROM journal)"
            )
            made_at: str = newest.fetchone()[0]
            admin = connection.execute(
                "SELECT 1 FROM operator WHERE login = ? AND role = 'admin' AND disabled_at IS NULL", (login,)
            ).fetchone()
    except (sqlite3.Error, TypeError) as error:
        raise Problem(
            "bad_backup", f"Plik {file} nie jest kopią biura ksef-tui albo nie da się go odczytać."
        ) from error
    if admin is None:
        raise Problem("not_allowed", f"W tej kopii operator {login} nie jest administratorem biura.")
    return datetime.fromisoformat(made_at)


def _refuse_when_in_use(target: Path, file: Path) -> None:
    if not target.exists():
        return
    db = open_database(target)
    try:
        mine, theirs = offices.office(db), _office_id(file)
        if mine is not None and mine["office_id"] != theirs:
            raise Problem("another_office", f"W tym katalogu jest inne biuro: {mine['name']}.")
        if leases.holders(db, ""):
            raise Problem(
                "in_use", "Ktoś właśnie pracuje z tym biurem (worker, ekran albo polecenie) – zakończ je najpierw."
            )
    finally:
        db.close()


def _office_id(file: Path) -> str:
    with copies.untouched(file) as connection:
        return str(connection.execute("SELECT office_id FROM office").fetchone()[0])


def _mark(path: Path, login: str, made_at: datetime, now: datetime) -> int:
    """No lease of the past holds; every client is to be looked through from the moment of the backup on. How many."""
    db = open_database(path)  # a backup of an older program is brought up to date, one of a newer is refused
    try:
        admin = offices.operator(db, login)
        with db.write() as connection:
            connection.execute("UPDATE lease SET expires = 0, pid = 0")
            connection.execute(
                "UPDATE client SET reconcile_since = min(ifnull(reconcile_since, ?1), ?1)", (to_text(made_at),)
            )
            audit(connection, now, admin, "restore", made_at=to_text(made_at))
        clients: int = db.value("SELECT count(*) FROM client WHERE office = 0 AND archived_at IS NULL")
        db.connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        return clients
    finally:
        db.close()
