"""Commands about the office's data key."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from ksef_tui.cli.shared import (
    Context,
    SomePath,
    ask_passphrase,
    group,
    json_option,
    new_passphrase,
    show_one,
    stdin_line,
)
from ksef_tui.domain.problems import Problem

vault = group("vault", "Klucz biura: jak jest chroniony, wymiana, przeniesienie na inny serwer.")
KINDS = click.Choice(["file", "passphrase", "system"])
stdin_option = click.option("--passphrase-stdin", is_flag=True, help="nowe hasło: wiersz standardowego wejścia")
_KEY = {
    "ok": "klucz działa", "locked": "klucz zamknięty hasłem", "missing": "brak klucza", "wrong": "to nie jest klucz tego biura",
    "broken": "klucz uszkodzony", "too_open": "klucz dostępny dla innych", "unreachable": "pęk kluczy nie odpowiada",
}  # fmt: skip
_PROTECTION = {"file": "plik klucza", "passphrase": "plik klucza z hasłem", "system": "pęk kluczy systemu"}


@vault.command("status")
@json_option
@click.pass_obj
def vault_status(context: Context, as_json: bool) -> None:
    """Jak jest chroniony klucz biura i czy działa."""
    from ksef_tui.services import vaulting

    context.asks = False
    row = vaulting.status(context.office, context.operator)
    show_one(
        row, as_json,
        lambda r: f"{_PROTECTION[r['protection']]} ({r['place']}): {_KEY[r['key']]}\n"
        f"sekretów w bazie: {r['sealed']}, ostatnia wymiana klucza: {r['rotated_at'] or 'nie było'}"
        + (f"\n{r['reason']}" if r["reason"] else ""),
    )  # fmt: skip


@vault.command("passphrase")
@stdin_option
@click.pass_obj
def vault_passphrase(context: Context, passphrase_stdin: bool) -> None:
    """Zmienia hasło do klucza biura."""
    from ksef_tui.services import vaulting

    office, operator = context.office, context.operator
    if office.keys.protection() == "passphrase":
        _ = office.sealer  # the old one first
    vaulting.change_passphrase(office, operator, new_passphrase(passphrase_stdin))
    click.echo("Hasło zmienione. Usługi dostaną nowe z pliku LoadCredential przy następnym starcie.", err=True)


@vault.command("protect")
@click.option("--with", "kind", required=True, type=KINDS)
@stdin_option
@click.pass_obj
def vault_protect(context: Context, kind: Any, passphrase_stdin: bool) -> None:
    """Zmienia sposób ochrony klucza biura: plik, plik z hasłem, pęk kluczy systemu."""
    from ksef_tui.services import vaulting

    office, operator = context.office, context.operator
    _ = office.sealer
    vaulting.protect(office, operator, kind, new_passphrase(passphrase_stdin) if kind == "passphrase" else None)
    click.echo(f"Klucz biura chroni teraz: {_PROTECTION[kind]}.", err=True)


@vault.command("rotate")
@click.pass_obj
def vault_rotate(context: Context) -> None:
    """Wymienia klucz biura: wszystkie sekrety są szyfrowane na nowo, stary klucz znika."""
    from ksef_tui.services import vaulting

    count = vaulting.rotate(context.office, context.operator)
    click.echo(
        f"Klucz wymieniony, sekretów zaszyfrowanych na nowo: {count}. Zrób nową kopię zapasową bazy i klucza – "
        "starych kopii bazy nowy klucz nie otworzy.",
        err=True,
    )


@vault.command("export")
@click.argument("path", type=SomePath(dir_okay=False))
@stdin_option
@click.pass_obj
def vault_export(context: Context, path: Path, passphrase_stdin: bool) -> None:
    """Zapisuje klucz biura do pliku chronionego hasłem, do przeniesienia na inny serwer."""
    from ksef_tui.services import vaulting

    office, operator = context.office, context.operator
    _ = office.sealer
    vaulting.export(office, operator, path, new_passphrase(passphrase_stdin, "Hasło do pliku"))
    click.echo(f"Klucz zapisany w {path}. Po wczytaniu na nowym serwerze usuń ten plik.", err=True)


@vault.command("import")
@click.argument("path", type=SomePath(dir_okay=False))
@click.option("--with", "kind", default="file", show_default=True, type=KINDS)
@click.option("--passphrase-stdin", is_flag=True, help="hasło do pliku: wiersz standardowego wejścia")
@click.pass_obj
def vault_import(context: Context, path: Path, kind: Any, passphrase_stdin: bool) -> None:
    """Wczytuje klucz biura na nowym serwerze; hasło pliku zostaje hasłem biura (--with passphrase)."""
    from ksef_tui.services import vaulting

    office, operator = context.office, context.operator
    passphrase = None if passphrase_stdin else ask_passphrase("Hasło do pliku")
    passphrase = passphrase or stdin_line()
    if not passphrase:
        raise Problem("passphrase_needed", "Podaj hasło do pliku klucza.")
    vaulting.take_in(office, operator, path, passphrase, kind)
    click.echo("Klucz biura wczytany.", err=True)
