"""What `doctor` looks at in the office's work: key, worker, errors, identities, tokens, invoices, packages, copies."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

from ksef_tui.domain.invoices import NOT_STORED
from ksef_tui.domain.problems import Problem
from ksef_tui.domain.text import count_of
from ksef_tui.domain.times import from_text, to_text, warsaw
from ksef_tui.services import alarms, batches, sealing
from ksef_tui.services.doctor import Finding, Installation, Severity, office_check
from ksef_tui.services.office import Office
from ksef_tui.services.standing import standing
from ksef_tui.store import leases, settings

LONG_UNKNOWN = timedelta(minutes=30)
OLD_BACKUP = timedelta(days=7)
LATELY = timedelta(days=1)
WRITE_WITHIN = 5.0  # seconds; a write of this program takes a fraction of one


_KEY_BACK = "Odtwórz klucz z kopii (keys/office.key) albo wczytaj go: ksef-tui vault import."
_KEY_MENDS = {
    "key_too_open": "Odbierz innym dostęp; jeśli ktoś mógł klucz przeczytać, wymień go: ksef-tui vault rotate.",
    "wrong_passphrase": "Podaj właściwe hasło: ksef-tui --passphrase-stdin doctor.",
    "no_keyring": "Odblokuj pęk kluczy albo zmień ochronę: ksef-tui vault protect --with file.",
}


@office_check("trwałość zapisu")
def durability(_: Installation, office: Office) -> Iterator[Finding]:
    """What this very process promises when it writes."""
    found = {name: office.db.value(f"PRAGMA {name}") for name in ("synchronous", "foreign_keys", "journal_mode")}
    if found != {"synchronous": 2, "foreign_keys": 1, "journal_mode": "wal"}:
        yield Finding(
            "not_durable", Severity.ERROR, f"Baza nie zapisuje trwale ({found}).", "Zainstaluj program ponownie."
        )
    if not office.db.can_write(WRITE_WITHIN):
        yield Finding(
            "database_locked", Severity.ERROR, f"Do bazy nie da się nic zapisać od {WRITE_WITHIN:.0f} s.",
            "Proces, który zaczął zapis, stoi albo baza jest tylko do odczytu: zakończ go (poniżej) i sprawdź prawa.",
        )  # fmt: skip


@office_check("klucz biura")
def data_key(_: Installation, office: Office) -> Iterator[Finding]:
    """Readable, and the one that sealed this office's secrets."""
    try:
        sealing.check_key(office)
        _sealer = office.sealer
    except Problem as problem:
        if problem.code == "passphrase_needed":
            yield Finding(
                "key_locked", Severity.NOTE, "Klucz biura jest pod hasłem, którego nie podano – nie sprawdzono go.",
                "ksef-tui --passphrase-stdin doctor",
            )  # fmt: skip
        else:
            yield Finding(
                problem.code,
                Severity.ERROR,
                problem.message,
                "Odtwórz klucz: keys/office.key albo ksef-tui vault import.",
            )


@office_check("kto wysyła")
def worker(_: Installation, office: Office) -> Iterator[Finding]:
    """Somebody does; nobody who holds a lease is dead or stands still."""
    held = office.db.rows("SELECT * FROM lease WHERE expires > 0 AND pid > 0")
    alive = [row for row in held if leases.is_alive(row["pid"], row["pid_started"], row["boot_id"])]
    workers = [row for row in alive if row["name"].startswith("worker:")]
    if not any(row["expires"] > leases.boot_seconds() for row in workers):
        waits = office.db.value(
            "SELECT sum(n) FROM invoice_count WHERE state IN ('approved', 'sending', 'unknown', 'processing')"
        )
        yield Finding(
            "nobody_sends", Severity.ERROR if waits else Severity.WARNING,
            "Nikt nie wysyła" + (f", a czeka {count_of(waits, 'faktura', 'faktury', 'faktur')}." if waits else "."),
            "Uruchom workera jako usługę: ksef-tui worker --print-unit pokazuje jej plik.",
        )  # fmt: skip
    for pid in sorted({row["pid"] for row in alive if leases.is_stopped(row["pid"])}):
        yield Finding(
            "stopped_process", Severity.WARNING, f"Proces {pid}, który pracuje z biurem, jest wstrzymany (SIGSTOP).",
            f"Wznów go (kill -CONT {pid}) albo zakończ: jego pracę przejmie inny.",
        )  # fmt: skip
    dead = sorted({row["pid"] for row in held if row not in alive and row["expires"] > leases.boot_seconds()})
    if dead:
        yield Finding(
            "dead_lease", Severity.NOTE, f"Proces, który pracował z biurem, zginął ({', '.join(map(str, dead))}).",
            "Nic nie trzeba robić: jego pracę przejmie następny worker.",
        )  # fmt: skip


@office_check("ostatnie błędy")
def last_errors(at: Installation, office: Office) -> Iterator[Finding]:
    """The newest problem and the newest mistake of the program within a day."""
    for act, code, what in (
        ("program.problem", "last_problem", "Worker miał kłopot"),
        ("program.fault", "program_fault", "Błąd programu"),
    ):
        row = office.db.row(
            "SELECT at, detail FROM audit WHERE act = ? AND at > ? ORDER BY id DESC LIMIT 1",
            (act, to_text(at.now - LATELY)),
        )
        if row is not None:
            detail = json.loads(row["detail"])
            said = f"{what} ({warsaw(from_text(row['at'])):%d.%m %H:%M}): {detail.get('kind', '')} {detail.get('text', '')}"
            action = "Usuń przyczynę." if code == "last_problem" else "Zgłoś to autorom programu."
            yield Finding(code, Severity.WARNING, said.strip(), action)


@office_check("profile i certyfikaty")
def identities(at: Installation, office: Office) -> Iterator[Finding]:
    """What has ended, was stopped or ends soon."""
    for row, ids in alarms.fallen(office):
        yield Finding(
            "identity_ended", Severity.ERROR,
            f"Profil {row['label']} nie działa, a ma {count_of(len(ids), 'klienta', 'klientów', 'klientów')}.",
            "Przejmij ich innym profilem: klawisz j albo ksef-tui identity takeover.",
        )  # fmt: skip
    soon = at.now + timedelta(days=settings.get_int(office.db, "expiring_days"))
    for row in office.db.rows(
        "SELECT * FROM identity WHERE removed_at IS NULL AND revoked_at IS NULL AND replaced_by IS NULL "
        "AND valid_to > ? AND valid_to <= ? ORDER BY valid_to",
        (to_text(at.now), to_text(soon)),
    ):
        yield Finding(
            "certificate_ends", Severity.WARNING,
            f"Certyfikat profilu {row['label']} kończy się {warsaw(from_text(row['valid_to'])):%d.%m.%Y}.",
            "Odnów go: klawisz d albo ksef-tui certificate renew.",
        )  # fmt: skip


@office_check("tokeny")
def tokens(at: Installation, office: Office) -> Iterator[Finding]:
    """Clients that still have a token, which by law ends with the year."""
    left = office.db.value(
        "SELECT count(*) FROM authorization a JOIN client c ON c.id = a.client_id "
        "WHERE a.method = 'token' AND a.state <> 'ended' AND c.archived_at IS NULL"
    )
    if left:
        end = alarms.token_end(office)
        over = end <= at.now
        said = "skończyły się" if over else "kończą się"
        yield Finding(
            "tokens_end", Severity.ERROR if over else Severity.WARNING,
            f"Tokeny KSeF {said} {warsaw(end):%d.%m.%Y}, a ma je {count_of(left, 'klient', 'klienci', 'klientów')}.",
            "Przejdź na profil biura: klawisz g albo ksef-tui auth switch.",
        )  # fmt: skip


@office_check("faktury w drodze")
def invoices(at: Installation, office: Office) -> Iterator[Finding]:
    """What stands, what nobody knows for long, whose receipt is late."""
    assert at.operator is not None
    for nip, name, count, why in standing(office, at.operator):
        said = count_of(count, "faktura stoi", "faktury stoją", "faktur stoi")
        yield Finding(
            "invoices_stand",
            Severity.WARNING,
            f"{name} (NIP {nip}): {said} – {why.removesuffix('.')}.",
            "Usuń przyczynę.",
        )
    since = to_text(at.now - LONG_UNKNOWN)
    unknown = office.db.value("SELECT count(*) FROM invoice WHERE state = 'unknown' AND changed_at < ?", (since,))
    if unknown:
        yield Finding(
            "unknown_long", Severity.WARNING,
            f"Od ponad pół godziny nie wiadomo, czy dotarły: {count_of(unknown, 'faktura', 'faktury', 'faktur')}.",
            "Nie wysyłaj ich inną drogą: program pyta KSeF sam. Sprawdź, czy worker działa.",
        )  # fmt: skip
    late = office.db.value("SELECT count(*) FROM invoice WHERE state = 'accepted' AND upo = 'late'")
    if late:
        yield Finding(
            "upo_late", Severity.WARNING, f"Spóźnione UPO: {late}. Faktury są w KSeF.", "Program pobiera je dalej sam."
        )


@office_check("faktury widoczne w KSeF")
def stored(_: Installation, office: Office) -> Iterator[Finding]:
    """Invoices with a number that KSeF shows to nobody (F17): the buyer does not get them."""
    count = office.db.value(
        "SELECT count(*) FROM unstored u JOIN invoice v ON v.id = u.invoice_id WHERE v.reason_code = ?", (NOT_STORED,)
    )
    if count:
        how_many = count_of(count, "faktura", "faktury", "faktur")
        yield Finding(
            "not_stored", Severity.WARNING, f"Mają numer, ale KSeF nikomu ich nie pokazuje: {how_many}.",
            "Program pyta dalej sam; jeśli trwa to dzień, zgłoś to w KSeF. Nie wysyłaj ich ponownie.",
        )  # fmt: skip


@office_check("odtworzenie kopii")
def reconciled(_: Installation, office: Office) -> Iterator[Finding]:
    """Clients of whom nothing goes out before KSeF was asked what had gone out since the backup (F6)."""
    left = office.db.value(
        "SELECT count(*) FROM client WHERE reconcile_since IS NOT NULL AND office = 0 AND archived_at IS NULL"
    )
    if left:
        yield Finding(
            "reconciling", Severity.WARNING,
            f"Po odtworzeniu kopii czeka na sprawdzenie w KSeF {count_of(left, 'klient', 'klienci', 'klientów')}.",
            "Nic od nich nie wyjdzie, zanim program ich nie sprawdzi: uruchom workera, a niepołączonych połącz.",
        )  # fmt: skip


@office_check("paczki na dysku")
def spool(at: Installation, office: Office) -> Iterator[Finding]:
    """Packages of sessions that are over, and space for those to come."""
    import shutil

    left = batches.left_over(office)
    if left:
        yield Finding(
            "left_packages", Severity.NOTE, f"Na dysku leżą paczki zakończonych sesji: {len(left)}.",
            "Worker usuwa je przy starcie.",
        )  # fmt: skip
    due = office.db.value("SELECT sum(size) FROM invoice WHERE state IN ('waiting', 'approved')") or 0
    free = shutil.disk_usage(Path(office.data_dir)).free
    if free < due + at.little_space / 10:
        yield Finding(
            "no_space_for_packages", Severity.ERROR,
            f"Na dysku zostało {free / 1_000_000:.0f} MB, a paczki z czekających faktur zajmą do {due / 1_000_000:.0f} MB.",
            "Zwolnij miejsce.",
        )  # fmt: skip


@office_check("kopie zapasowe")
def backup_age(at: Installation, office: Office) -> Iterator[Finding]:
    """A copy within a week; an exercise needs none."""
    newest = office.db.value("SELECT max(at) FROM audit WHERE act = 'backup'")
    if newest is None or at.now - from_text(newest) > OLD_BACKUP:
        severity = Severity.NOTE if office.environment.code == "sandbox" else Severity.WARNING
        said = "nie było" if newest is None else f"{warsaw(from_text(newest)):%d.%m.%Y}"
        yield Finding(
            "no_backup", severity, f"Ostatnia kopia zapasowa: {said}.", "ksef-tui backup PLIK, a klucz biura osobno."
        )
