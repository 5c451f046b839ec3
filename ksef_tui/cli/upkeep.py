"""Commands that keep an office alive: what is wrong with it, copies of its database, going back to one."""

from __future__ import annotations

import shutil
import sys
import textwrap
from datetime import UTC, datetime
from pathlib import Path

import click

from ksef_tui.cli.shared import Context, SomePath, fail, json_option, plain, program, show
from ksef_tui.domain.text import count_of

NO_KEY = (
    "Klucza biura w niej nie ma, a bez niego zapisanych certyfikatów i tokenów nie da się odczytać: trzymaj go osobno "
    "(plik keys/office.key albo ksef-tui vault export)."
)


@program.command()
@click.argument("path", metavar="FILE", type=SomePath(dir_okay=False))
@click.pass_obj
def backup(context: Context, path: Path) -> None:
    """Zapisuje kopię bazy biura; praca toczy się dalej. Klucza biura w kopii nie ma."""
    from ksef_tui.services import backups

    size = backups.backup(context.office, context.operator, path)
    click.echo(plain(f"Kopia zapisana: {path} ({size / 1_000_000:.1f} MB). {NO_KEY}"), err=True)


@program.command()
@click.argument("path", metavar="FILE", type=SomePath(dir_okay=False))
@click.pass_obj
def restore(context: Context, path: Path) -> None:
    """Wraca do kopii bazy. Zanim cokolwiek wyjdzie, program sprawdza w KSeF, co wysłano od czasu kopii."""
    from ksef_tui.services import backups

    done = backups.restore(context.directory, context.login_or_user, path, datetime.now(UTC))
    click.echo(plain(f"Odtworzono biuro z {done.made_at}. {done.next}"), err=True)
    if done.aside is not None:
        click.echo(plain(f"Baza sprzed odtworzenia: {done.aside}"), err=True)
    if done.key_problem:
        click.echo(plain(f"Uwaga, klucz biura: {done.key_problem}"), err=True)


_SIGN = {"error": "✖ BŁĄD", "warning": "! UWAGA", "note": "· info", "ok": "✔"}


@program.command()
@json_option
@click.option("--offline", is_flag=True, help="nie pyta KSeF")
@click.pass_obj
def doctor(context: Context, as_json: bool, offline: bool) -> None:
    """Co jest nie tak z tą instalacją i co zrobić. Kończy z 1, gdy jest błąd."""
    from ksef_tui.services.doctor import Installation, Severity, examine

    context.asks = False
    at = Installation(context.directory)
    found = examine(at, lambda: context.office, context.login_or_user, offline=offline)
    rows = [{"code": f.code, "severity": f.severity.value, "text": f.text, "action": f.action} for f in found]
    if as_json:
        show(rows, True, str)
    else:
        show([row for row in rows if row["severity"] != "ok"], False, _line)
        well = [row["text"] for row in rows if row["severity"] == "ok"]
        click.echo("\n".join(map(plain, _wrapped(f"{_SIGN['ok']} w porządku: {', '.join(well) or '–'}", "   "))))
    errors = sum(f.severity is Severity.ERROR for f in found)
    if errors:
        fail(f"Do naprawienia: {count_of(errors, 'błąd', 'błędy', 'błędów')}.")


def _line(row: dict[str, str]) -> str:
    lines = _wrapped(f"{_SIGN[row['severity']]}  {row['text']}  [{row['code']}]", "   ")
    return "\n".join(lines + (_wrapped(f"   → {row['action']}", "     ") if row["action"] else []))


def _wrapped(text: str, indent: str) -> list[str]:
    """Broken between words on a terminal; whole for who reads it from a pipe. A path or a code stays in one piece."""
    if sys.stdout is None or not sys.stdout.isatty():
        return [text]
    width = shutil.get_terminal_size().columns
    return textwrap.wrap(text, width, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False)
