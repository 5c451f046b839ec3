"""Commands about the office: init, sandbox, settings."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from typing import Any

import click

from ksef_tui.cli.shared import (
    FOLDER,
    Context,
    group,
    json_option,
    new_passphrase,
    program,
    show,
)


@program.command()
@click.option("--environment", required=True, type=click.Choice(["sandbox", "test", "preprod", "production"]))
@click.option("--api-url", help="adres API, tylko dla sandbox i test")
@click.option("--nip", required=True, help="NIP biura")
@click.option("--name", required=True, help="nazwa biura")
@click.option(
    "--secrets", "kind", type=click.Choice(["file", "system", "passphrase"]), default="file", show_default=True
)
@click.option("--passphrase-stdin", is_flag=True, help="hasło: pierwszy wiersz standardowego wejścia")
@click.pass_obj
def init(
    context: Context, environment: str, api_url: str | None, nip: str, name: str, kind: Any, passphrase_stdin: bool
) -> None:
    """Zakłada biuro w katalogu danych."""
    from ksef_tui.services import office

    office.init(
        context.directory, environment=environment, nip=nip, name=name, login=context.login_or_user, api_url=api_url,
        secrets_kind=kind, passphrase=new_passphrase(passphrase_stdin, "Hasło biura") if kind == "passphrase" else None,
    )  # fmt: skip
    click.echo(f"Biuro założone w {context.directory}.", err=True)


@program.command()
@click.option("--clients", type=click.IntRange(1, 2000), default=17, show_default=True, help="ilu klientów")
@click.option(
    "--invoices", type=click.IntRange(0, 20_000), default=200, show_default=True, help="ile faktur na początek"
)
@click.option("--reset", is_flag=True, help="zakłada ćwiczenie od nowa")
@click.option("--data-dir", type=FOLDER, help="gdzie trzymać ćwiczenie")
@click.pass_obj
def demo(context: Context, clients: int, invoices: int, reset: bool, data_dir: Path | None) -> None:
    """Ćwiczenie: biuro w każdym stanie w piaskownicy, bez sieci i bez haseł."""
    from ksef_tui.demo.run import run

    sys.exit(run(data_dir=data_dir, clients=clients, invoices=invoices, reset=reset, login=context.login_or_user))


@program.command()
@click.option("--port", type=click.IntRange(0, 65535), default=8765, show_default=True, help="0: wolny port")
@click.option("--data-dir", type=FOLDER, help="gdzie trzymać stan")
@click.option("--limits", type=click.Choice(["production", "off"]), default="production", show_default=True)
@click.option("--delay", type=click.IntRange(min=0), default=300, show_default=True, help="czas przetwarzania, ms")
@click.option("--latency", type=click.IntRange(min=0), default=0, show_default=True, help="opóźnienie odpowiedzi, ms")
@click.option("--url-host", default="127.0.0.1", show_default=True, help="nazwa w adresach, które wydaje")
def sandbox(port: int, data_dir: Path | None, limits: str, delay: int, latency: int, url_host: str) -> None:
    """Uruchamia piaskownicę: KSeF na tym komputerze."""
    from ksef_tui.sandbox.server import serve

    with tempfile.TemporaryDirectory(prefix="ksef-sandbox-") as temporary:
        folder = data_dir or Path(temporary)
        status = serve(port=port, data_dir=folder, limits=limits, delay_ms=delay, latency_ms=latency, url_host=url_host)
    sys.exit(status)


config = group("config", "Ustawienia biura.")


@config.command("list")
@json_option
@click.pass_obj
def config_list(context: Context, as_json: bool) -> None:
    """Wszystkie ustawienia."""
    from ksef_tui.services import configuring

    rows = configuring.all_settings(context.office)
    show(rows, as_json, lambda r: f"{r['key']} = {r['value'] or '–'}   {r['meaning']}")


@config.command("get")
@click.argument("key")
@click.pass_obj
def config_get(context: Context, key: str) -> None:
    """Wartość jednego ustawienia."""
    from ksef_tui.services import configuring

    click.echo(configuring.get(context.office, key))


@config.command("set")
@click.argument("key")
@click.argument("value")
@click.pass_obj
def config_set(context: Context, key: str, value: str) -> None:
    """Zmienia ustawienie."""
    from ksef_tui.services import configuring

    configuring.change(context.office, context.operator, key, value)


# ---- operators


operator = group("operator", "Operatorzy: kto używa programu.")


@operator.command("add")
@click.argument("login")
@click.argument("name")
@click.option("--role", type=click.Choice(["admin", "accountant", "client"]), default="accountant", show_default=True)
@click.option("--client", "nip", help="NIP firmy operatora-klienta")
@click.pass_obj
def operator_add(context: Context, login: str, name: str, role: str, nip: str | None) -> None:
    """Dodaje operatora."""
    from ksef_tui.domain.roles import Role
    from ksef_tui.services import operators

    operators.add(context.office, context.operator, login, name, Role(role), nip)


@operator.command("list")
@json_option
@click.pass_obj
def operator_list(context: Context, as_json: bool) -> None:
    """Kto ma dostęp."""
    from ksef_tui.services import operators

    rows = operators.listed(context.office, context.operator)
    show(rows, as_json, lambda r: f"{r['login']}  {r['name']}  {r['role']}  {r['client']}".rstrip())


@operator.command("disable")
@click.argument("login")
@click.pass_obj
def operator_disable(context: Context, login: str) -> None:
    """Odbiera operatorowi dostęp."""
    from ksef_tui.services import operators

    operators.disable(context.office, context.operator, login)
