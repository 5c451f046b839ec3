"""Commands that keep an office alive: copies of its database, going back to one."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import click

from ksef_tui.cli.shared import Context, SomePath, plain, program

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
