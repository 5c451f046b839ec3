"""The command line: thin, each command a few lines over the same functions that the screens call (contract.md)."""

from __future__ import annotations

import asyncio
import getpass
import json
import os
import signal
import sys
import tempfile
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import click

from ksef_tui.domain.problems import Problem
from ksef_tui.domain.secret import Secret

if TYPE_CHECKING:
    from ksef_tui.domain.roles import Operator
    from ksef_tui.services.office import Office

json_option = click.option("--json", "as_json", is_flag=True, help="wynik jako JSON")
limit_option = click.option("--limit", type=click.IntRange(min=0), default=1000, show_default=True, help="0: wszystko")


@dataclass
class Context:
    """Whose office, and who works."""

    data_dir: Path | None
    login: str | None

    @property
    def directory(self) -> Path:
        """The data directory in force."""
        from ksef_tui.compose import default_data_dir

        return self.data_dir or default_data_dir()

    @property
    def login_or_user(self) -> str:
        """The operator's login: as given, else the Unix user."""
        return self.login or getpass.getuser()

    @cached_property
    def office(self) -> Office:
        """The office; a passphrase comes from systemd or is asked for."""
        from ksef_tui.compose import open_office

        return open_office(self.directory, ask_passphrase=ask_passphrase if sys.stdin.isatty() else None)

    @cached_property
    def operator(self) -> Operator:
        """Who acts; an unknown login is refused."""
        from ksef_tui.services.office import operator_named

        return operator_named(self.office, self.login_or_user)


def ask_passphrase() -> Secret:
    """The office's passphrase, typed without echo."""
    return Secret(click.prompt("Hasło biura", hide_input=True, err=True))


class Program(click.Group):
    """The group of commands: a Problem is one Polish line on stderr and ends with 1."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except Problem as problem:
            fail(problem.message)

    def main(self, *args: Any, **kwargs: Any) -> Any:
        for stream in (sys.stdout, sys.stderr):  # UTF-8 whatever the locale (contract)
            reconfigure = getattr(stream, "reconfigure", None)
            if reconfigure is not None:
                reconfigure(encoding="utf-8", errors="replace")
        try:
            return super().main(*args, **kwargs)
        except BrokenPipeError:  # the reader went away, like `head`
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            sys.exit(1)


def fail(message: str) -> NoReturn:
    """One line on stderr, exit status 1."""
    click.echo(plain(message), err=True)
    raise click.exceptions.Exit(1)


def plain(text: str) -> str:
    """One line without control characters: what came from outside cannot steer the terminal."""
    return "".join(c if c.isprintable() else " " for c in text)


@click.group(cls=Program, invoke_without_command=True, context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--data-dir", type=click.Path(path_type=Path, file_okay=False), help="katalog biura (KSEF_TUI_DATA_DIR)")
@click.option("--operator", "login", help="login operatora; domyślnie użytkownik systemu")
@click.version_option(package_name="ksef-tui")
@click.pass_context
def program(ctx: click.Context, data_dir: Path | None, login: str | None) -> None:
    """ksef-tui: biuro rachunkowe autoryzuje klientów w KSeF i wysyła ich faktury."""
    ctx.obj = Context(data_dir, login)
    if ctx.invoked_subcommand is None:
        from ksef_tui.tui.app import run

        sys.exit(run(ctx.obj.office, ctx.obj.operator))


# ---- the office


@program.command()
@click.option("--environment", required=True, type=click.Choice(["sandbox", "test", "preprod", "production"]))
@click.option("--api-url", help="adres API, tylko dla sandbox i test")
@click.option("--nip", required=True, help="NIP biura")
@click.option("--name", required=True, help="nazwa biura")
@click.option(
    "--secrets", "kind", type=click.Choice(["file", "system", "passphrase"]), default="file", show_default=True
)
@click.pass_obj
def init(context: Context, environment: str, api_url: str | None, nip: str, name: str, kind: Any) -> None:
    """Zakłada biuro w katalogu danych."""
    from ksef_tui.services import office

    office.init(
        context.directory, environment=environment, nip=nip, name=name, login=context.login_or_user, api_url=api_url,
        secrets_kind=kind, passphrase=new_passphrase() if kind == "passphrase" else None,
    )  # fmt: skip
    click.echo(f"Biuro założone w {context.directory}.", err=True)


def new_passphrase() -> Secret:
    """A passphrase typed twice without echo, or the first line of stdin."""
    if not sys.stdin.isatty():
        return Secret(sys.stdin.readline().rstrip("\r\n"))
    return Secret(click.prompt("Hasło biura", hide_input=True, confirmation_prompt="Jeszcze raz", err=True))


@program.command()
@click.option("--port", type=click.IntRange(0, 65535), default=8765, show_default=True, help="0: wolny port")
@click.option("--data-dir", type=click.Path(path_type=Path, file_okay=False), help="gdzie trzymać stan")
@click.option("--limits", type=click.Choice(["production", "off"]), default="production", show_default=True)
@click.option("--delay", type=click.IntRange(min=0), default=300, show_default=True, help="czas przetwarzania, ms")
@click.option("--latency", type=click.IntRange(min=0), default=0, show_default=True, help="opóźnienie odpowiedzi, ms")
@click.option("--url-host", default="127.0.0.1", show_default=True, help="nazwa w adresach, które wydaje")
def sandbox(port: int, data_dir: Path | None, limits: str, delay: int, latency: int, url_host: str) -> None:
    """Uruchamia piaskownicę: KSeF na tym komputerze."""
    from ksef_tui.sandbox.server import serve

    sys.exit(serve(port=port, data_dir=data_dir, limits=limits, delay_ms=delay, latency_ms=latency, url_host=url_host))


@program.group()
def config() -> None:
    """Ustawienia biura."""


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


# ---- clients and identities


@program.group()
def client() -> None:
    """Klienci biura."""


@client.command("add")
@click.argument("nip")
@click.argument("name")
@click.pass_obj
def client_add(context: Context, nip: str, name: str) -> None:
    """Dodaje klienta."""
    from ksef_tui.services import clients

    clients.add(context.office, context.operator, nip, name)


@client.command("list")
@limit_option
@json_option
@click.pass_obj
def client_list(context: Context, limit: int, as_json: bool) -> None:
    """Klienci ze stanem autoryzacji, najnowsi najpierw."""
    from ksef_tui.services import contract

    show(contract.clients_list(context.office, context.operator, limit), as_json, client_line)


@client.command("show")
@click.argument("nip")
@json_option
@click.pass_obj
def client_show(context: Context, nip: str, as_json: bool) -> None:
    """Jeden klient."""
    from ksef_tui.services import contract

    show_one(contract.client(context.office, context.operator, nip), as_json, client_line)


@client.command("archive")
@click.argument("nip")
@click.pass_obj
def client_archive(context: Context, nip: str) -> None:
    """Zdejmuje klienta z list."""
    from ksef_tui.services import clients

    clients.archive(context.office, context.operator, clients.id_of(context.office, nip))


def client_line(row: dict[str, Any]) -> str:
    """A client for people."""
    waits = f"  {row['waiting']} do zatw." if row.get("waiting") else ""
    stands = f"  {row['stuck']} stoi" if row.get("stuck") else ""
    return f"{row['nip']}  {row['name']}  {row['status']}{waits}{stands}{'  ' + row['reason'] if row['reason'] else ''}"


@program.group()
def identity() -> None:
    """Profile biura: czyim certyfikatem podpisuje program."""


@identity.command("add")
@click.argument("label")
@click.option("--certificate", type=click.Path(path_type=Path, dir_okay=False))
@click.option("--key", "key_file", type=click.Path(path_type=Path, dir_okay=False))
@click.option("--pkcs12", type=click.Path(path_type=Path, dir_okay=False))
@click.option("--password-stdin", is_flag=True, help="hasło w pierwszym wierszu stdin")
@click.pass_obj
def identity_add(
    context: Context,
    label: str,
    certificate: Path | None,
    key_file: Path | None,
    pkcs12: Path | None,
    password_stdin: bool,
) -> None:
    """Dodaje profil z plików certyfikatu i klucza."""
    from ksef_tui.services import identities

    if (pkcs12 is None) == (certificate is None or key_file is None):
        raise click.UsageError("Podaj --certificate i --key, albo --pkcs12.")
    main_file = pkcs12 or certificate
    assert main_file is not None
    password = Secret(sys.stdin.readline().rstrip("\r\n")) if password_stdin else None
    certificate_bytes, key_bytes = read_file(main_file), read_file(key_file) if key_file else None
    try:
        identities.add(context.office, context.operator, label, certificate_bytes, key_bytes, password)
    except Problem as problem:
        if problem.code != "password_needed" or password_stdin or not sys.stdin.isatty():
            raise
        typed = Secret(click.prompt("Hasło do klucza", hide_input=True, err=True))
        identities.add(context.office, context.operator, label, certificate_bytes, key_bytes, typed)


@identity.command("list")
@limit_option
@json_option
@click.pass_obj
def identity_list(context: Context, limit: int, as_json: bool) -> None:
    """Profile biura."""
    from ksef_tui.services import contract

    show(
        contract.identities(context.office, context.operator, limit),
        as_json,
        lambda r: f"{r['label']}  {r['subject']}  {r['name']}  ważny do {r['valid_to'][:10]}",
    )


@identity.command("remove")
@click.argument("label")
@click.pass_obj
def identity_remove(context: Context, label: str) -> None:
    """Usuwa profil i niszczy jego klucz."""
    from ksef_tui.services import identities

    identities.remove(context.office, context.operator, label)


# ---- authorisation


@program.group()
def auth() -> None:
    """Autoryzacja klientów w KSeF."""


wait_option = click.option("--no-wait", is_flag=True, help="tylko zapisz zamiar; zrobi to worker")
LOGIN_PATIENCE = 330.0


@auth.command("start")
@click.argument("nip")
@click.option("--identity", "label", help="profil biura")
@click.option("--token-stdin", is_flag=True, help="token KSeF w pierwszym wierszu stdin")
@wait_option
@json_option
@click.pass_obj
def auth_start(context: Context, nip: str, label: str | None, token_stdin: bool, no_wait: bool, as_json: bool) -> None:
    """Autoryzuje biuro u klienta."""
    from ksef_tui.services import authorising, clients, identities

    if bool(label) == token_stdin:
        raise click.UsageError("Podaj --identity albo --token-stdin.")
    office, operator = context.office, context.operator
    client_id = clients.id_of(office, nip)
    if label:
        authorising.start_with_identity(office, operator, client_id, identities.named(office, label)["id"])
    else:
        authorising.start_with_token(office, operator, client_id, Secret(sys.stdin.readline().strip()))
    end_with_status(context, [client_id], no_wait, as_json)


@auth.command("status")
@click.argument("nip", required=False)
@limit_option
@json_option
@click.pass_obj
def auth_status(context: Context, nip: str | None, limit: int, as_json: bool) -> None:
    """Stan autoryzacji klienta albo wszystkich."""
    from ksef_tui.services import contract

    if nip:
        show_one(contract.authorization(context.office, context.operator, nip), as_json, client_line)
    else:
        show(contract.authorizations(context.office, context.operator, limit), as_json, client_line)


@auth.command("check")
@click.argument("nips", nargs=-1, metavar="[NIP]...")
@click.option("--all", "everyone", is_flag=True, help="wszyscy autoryzowani klienci")
@wait_option
@json_option
@click.pass_obj
def auth_check(context: Context, nips: Sequence[str], everyone: bool, no_wait: bool, as_json: bool) -> None:
    """Sprawdza w KSeF, co biuro może u klienta."""
    from ksef_tui.services import authorising, clients, contract

    if bool(nips) == everyone:
        raise click.UsageError("Podaj NIP albo --all.")
    office, operator = context.office, context.operator
    ids = contract.authorised_ids(office, operator) if everyone else [clients.id_of(office, nip) for nip in nips]
    for client_id in ids:
        authorising.check(office, operator, client_id)
    end_with_status(context, ids, no_wait, as_json, as_list=everyone or len(ids) > 1)


@auth.command("revoke")
@click.argument("nip")
@wait_option
@json_option
@click.pass_obj
def auth_revoke(context: Context, nip: str, no_wait: bool, as_json: bool) -> None:
    """Odwołuje autoryzację, także w KSeF."""
    from ksef_tui.services import authorising, clients, contract, worker

    office, operator = context.office, context.operator
    client_id = clients.id_of(office, nip)
    authorising.revoke(office, operator, client_id)
    if not no_wait:
        asyncio.run(worker.carry_out(office, client_id, patience=LOGIN_PATIENCE))
    row = contract.authorization(office, operator, nip)
    show_one(row, as_json, client_line)
    if not no_wait and row["status"] != "missing":
        fail(row["reason"] or "Nie odwołano autoryzacji.")


def end_with_status(
    context: Context, ids: Sequence[int], no_wait: bool, as_json: bool, *, as_list: bool = False
) -> None:
    """Wait for the intents of these clients, show what became of them, end with 1 unless all is well."""
    from ksef_tui.services import contract, worker

    office, operator = context.office, context.operator
    if not no_wait:
        for client_id in ids:
            asyncio.run(worker.carry_out(office, client_id, patience=LOGIN_PATIENCE))
    rows = [contract.authorization_by_id(office, operator, client_id) for client_id in ids]
    if as_list:
        show(rows, as_json, client_line)
    else:
        show_one(rows[0], as_json, client_line)
    bad = [row for row in rows if row["status"] not in ("active", "expiring")]
    if bad and not no_wait:
        fail(" ".join(row["reason"] or f"{row['name']}: {row['status']}" for row in bad[:3]))


# ---- invoices and the queue


@program.group()
def invoice() -> None:
    """Faktury."""


@invoice.command("check")
@click.argument("paths", nargs=-1, required=True, type=click.Path(path_type=Path))
@json_option
@click.pass_obj
def invoice_check(context: Context, paths: Sequence[Path], as_json: bool) -> None:
    """Sprawdza pliki; niczego nie zapisuje."""
    from ksef_tui.services import contract, importing

    rows = importing.check_paths(context.office, paths)
    show([contract.import_row(r) for r in rows], as_json, import_line)
    if any(r.is_bad for r in rows):
        raise click.exceptions.Exit(1)


@invoice.command("import")
@click.argument("nip")
@click.argument("paths", nargs=-1, required=True, type=click.Path(path_type=Path, allow_dash=True))
@json_option
@click.pass_obj
def invoice_import(context: Context, nip: str, paths: Sequence[Path], as_json: bool) -> None:
    """Importuje pliki XML, katalogi i archiwa ZIP; - czyta jedną fakturę ze stdin."""
    from ksef_tui.services import clients, contract, importing

    office, operator = context.office, context.operator
    client_id = clients.id_of(office, nip)
    rows: list[importing.ImportRow] = []
    for path in paths:
        if str(path) == "-":
            rows.append(importing.import_bytes(office, operator, client_id, "-", sys.stdin.buffer.read()))
        else:
            rows += importing.import_paths(office, operator, client_id, [path])
    show([contract.import_row(r) for r in rows], as_json, import_line)
    if any(r.is_bad for r in rows):
        raise click.exceptions.Exit(1)


def import_line(row: dict[str, Any]) -> str:
    """An imported file for people."""
    what = row["state"] or "nie odczytano"
    return f"{row['file']}  {row['number'] or '–'}  {what}" + "".join(
        f"\n    {e}" for e in (*row["errors"], *row["warnings"])
    )


@invoice.command("show")
@click.argument("invoice_id", type=int, metavar="ID")
@json_option
@click.pass_obj
def invoice_show(context: Context, invoice_id: int, as_json: bool) -> None:
    """Jedna faktura z przebiegiem zdarzeń."""
    from ksef_tui.services import contract

    show_one(contract.invoice(context.office, context.operator, invoice_id), as_json, invoice_text)


def invoice_text(row: dict[str, Any]) -> str:
    """An invoice for people."""
    return "\n".join([queue_line(row), *(f"  {t['at']}  {t['who'] or '·'}  {t['text']}" for t in row["timeline"])])


@invoice.command("export")
@click.argument("ids", nargs=-1, required=True, type=int, metavar="ID...")
@click.option("--to", "folder", required=True, type=click.Path(path_type=Path, file_okay=False))
@click.pass_obj
def invoice_export(context: Context, ids: Sequence[int], folder: Path) -> None:
    """Zapisuje dokumenty faktur bajt w bajt."""
    from ksef_tui.services import exporting

    for path in exporting.export_invoices(context.office, context.operator, ids, folder):
        click.echo(str(path))


@program.group()
def queue() -> None:
    """Kolejka faktur wychodzących."""


@queue.command("list")
@click.option("--client", "nip", help="NIP klienta")
@click.option("--state", help="kod stanu")
@limit_option
@json_option
@click.pass_obj
def queue_list(context: Context, nip: str | None, state: str | None, limit: int, as_json: bool) -> None:
    """Faktury, najnowsze najpierw."""
    from ksef_tui.services import contract

    show(contract.queue(context.office, context.operator, nip=nip, state=state, limit=limit), as_json, queue_line)


def queue_line(row: dict[str, Any]) -> str:
    """An invoice in the queue for people."""
    tail = row["ksef_number"] or row["reason"]
    return f"{row['id']}  {row['client']}  {row['number']}  {row['gross']} {row['currency']}  {row['state']}  {tail}"


@queue.command("approve")
@click.argument("ids", nargs=-1, type=int, metavar="[ID]...")
@click.option("--client", "nip", help="wszystkie czekające faktury klienta")
@click.option("--all", "everything", is_flag=True, help="wszystkie czekające faktury")
@click.option("--expect", type=int, help="dokładna liczba faktur; wymagana na preprod i production")
@json_option
@click.pass_obj
def queue_approve(
    context: Context, ids: Sequence[int], nip: str | None, everything: bool, expect: int | None, as_json: bool
) -> None:
    """Zatwierdza czekające faktury: to wystawienie w imieniu klienta."""
    from ksef_tui.services import approving, clients

    if [bool(ids), bool(nip), everything].count(True) != 1:
        raise click.UsageError("Podaj ID, --client NIP albo --all.")
    office, operator = context.office, context.operator
    if not ids:
        ids = approving.waiting_ids(office, operator, clients.id_of(office, nip) if nip else None)
        if office.environment.real and expect is None:
            raise click.UsageError("Na tym środowisku podaj --expect z dokładną liczbą faktur.")
    if expect is not None and expect != len(ids):
        fail(f"Do zatwierdzenia jest {len(ids)}, a nie {expect} – niczego nie zatwierdzono.")
    end_with_result(approving.approve(office, operator, ids), as_json)


def queue_act(name: str, help_text: str) -> None:
    """The commands that do one thing to given invoices."""

    @queue.command(name, help=help_text)
    @click.argument("ids", nargs=-1, required=True, type=int, metavar="ID...")
    @json_option
    @click.pass_obj
    def act(context: Context, ids: Sequence[int], as_json: bool) -> None:
        from ksef_tui.services import approving

        end_with_result(getattr(approving, name)(context.office, context.operator, ids), as_json)


for _name, _help in (
    ("recall", "Cofa zatwierdzenie, póki nic nie wyszło."),
    ("hold", "Wstrzymuje faktury."),
    ("release", "Zwalnia wstrzymane i zablokowane; sprawdza je od nowa."),
    ("withdraw", "Wycofuje faktury: nie zostaną wysłane."),
    ("retry", "Ponawia odrzucone, gdy ponowienie może pomóc."),
):
    queue_act(_name, _help)


def end_with_result(result: Any, as_json: bool) -> None:
    """Tell what was done and what was not; 1 if anything was refused."""
    if as_json:
        refused = [{"id": i, "reason": why} for i, why in result.refused]
        click.echo(json.dumps({"done": result.done, "refused": refused}, ensure_ascii=False))
    else:
        click.echo(f"zrobiono: {result.done}")
    for _, why in result.refused:
        click.echo(plain(why), err=True)
    if result.refused:
        raise click.exceptions.Exit(1)


@program.group()
def upo() -> None:
    """Urzędowe poświadczenia odbioru."""


@upo.command("export")
@click.option("--client", "nip", help="NIP klienta")
@click.option("--month", help="miesiąc wystawienia, RRRR-MM")
@click.option("--to", "folder", required=True, type=click.Path(path_type=Path, file_okay=False))
@click.pass_obj
def upo_export(context: Context, nip: str | None, month: str | None, folder: Path) -> None:
    """Zapisuje UPO jako <numer KSeF>.xml."""
    from ksef_tui.services import clients, exporting

    client_id = clients.id_of(context.office, nip) if nip else None
    count = exporting.export_upos(context.office, context.operator, folder, client_id=client_id, month=month)
    click.echo(f"zapisano UPO: {count}", err=True)


# ---- the worker


@program.command()
@click.option("--until-idle", is_flag=True, help="kończy, gdy nic już nie może się ruszyć")
@click.option("--timeout", type=float, help="najwyżej tyle sekund; potem kończy z 1")
@click.option("--until-eof", is_flag=True, hidden=True)
@click.pass_obj
def worker(context: Context, until_idle: bool, timeout: float | None, until_eof: bool) -> None:
    """Wysyła: zamienia zapisane zamiary na wywołania KSeF."""
    from ksef_tui.services.invoice_views import approved_but_standing
    from ksef_tui.services.worker import Worker

    office, operator = context.office, context.operator
    _ = office.sealer  # a missing key is said now, not at the first invoice

    async def work() -> bool:
        serving = Worker(office, until_idle=until_idle)
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            loop.add_signal_handler(number, serving.stop)
        if until_eof:
            loop.add_reader(sys.stdin.fileno(), lambda: None if os.read(sys.stdin.fileno(), 4096) else serving.stop())
        run = asyncio.create_task(serving.run())
        done, _ = await asyncio.wait({run}, timeout=timeout)
        if not done:
            serving.stop()
        await run
        return bool(done)

    in_time = asyncio.run(work())
    if until_idle:
        for nip, name, count, why in approved_but_standing(office, operator):
            click.echo(plain(f"{name} (NIP {nip}): {count} czeka – {why}"), err=True)
    if not in_time:
        fail("Nie wszystko zostało zrobione w wyznaczonym czasie.")


# ---- output


def show(rows: Iterable[dict[str, Any]], as_json: bool, line: Callable[[dict[str, Any]], str]) -> None:
    """A list: an array of objects, or a line for each."""
    if as_json:
        click.echo(json.dumps(list(rows), ensure_ascii=False, indent=1))
        return
    for row in rows:
        click.echo("\n".join(plain(part) for part in line(row).split("\n")))


def show_one(row: dict[str, Any], as_json: bool, line: Callable[[dict[str, Any]], str]) -> None:
    """One object, or its lines."""
    if as_json:
        click.echo(json.dumps(row, ensure_ascii=False, indent=1))
    else:
        click.echo("\n".join(plain(part) for part in line(row).split("\n")))


def read_file(path: Path) -> bytes:
    """A small file's bytes. Raises Problem."""
    try:
        if path.stat().st_size > 1_000_000:
            raise Problem("too_big", f"{path}: to nie wygląda na certyfikat ani klucz, plik jest za duży.")
        return path.read_bytes()
    except OSError as error:
        raise Problem("no_file", f"Nie można odczytać {path}: {error.strerror}.") from error
