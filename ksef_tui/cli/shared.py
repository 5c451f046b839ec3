"""What all commands share: whose office, who works, how answers are printed and how a Problem ends (contract.md)."""

from __future__ import annotations

import gc
import getpass
import importlib
import json
import os
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import click

from ksef_tui.domain.problems import Problem
from ksef_tui.domain.reasons import os_reason
from ksef_tui.domain.secret import Secret

if TYPE_CHECKING:
    from ksef_tui.domain.roles import Operator
    from ksef_tui.services.office import Office

# Which module a command lives in.
HOMES = {
    "demo": "office", "init": "office", "sandbox": "office", "config": "office", "operator": "office",
    "client": "clients", "identity": "clients", "auth": "authorisation", "staff": "staff",
    "invoice": "invoices", "queue": "repair", "upo": "invoices", "worker": "worker", "vault": "vault",
    "certificate": "certificates", "backup": "upkeep", "restore": "upkeep", "doctor": "upkeep",
}  # fmt: skip
LONGEST_LINE = 10_000


class SomePath(click.Path):
    """A path that is not empty: `""` from an unset variable must not mean the current folder. Whether it can be read is
    found out, and said in Polish, by whoever reads it."""

    def __init__(self, **options: Any) -> None:
        super().__init__(path_type=Path, readable=False, **options)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if not value:
            self.fail("pusta ścieżka", param, ctx)
        return super().convert(value, param, ctx)


FOLDER = SomePath(file_okay=False)
FILE = click.Path(path_type=Path, dir_okay=False, allow_dash=True)  # `-`: standard input or output
invoice_id = click.IntRange(1, 2**63 - 1)
json_option = click.option("--json", "as_json", is_flag=True, help="wynik jako JSON")
limit_option = click.option(
    "--limit", type=click.IntRange(0, 2**31 - 1), default=1000, show_default=True, help="0: wszystko"
)


wait_option = click.option("--no-wait", is_flag=True, help="tylko zapisz zamiar; zrobi to worker")


@dataclass
class Context:
    """Whose office, and who works."""

    data_dir: Path | None
    login: str | None
    passphrase_stdin: bool = False
    asks: bool = True  # whether a person may be asked for the office's passphrase

    @property
    def directory(self) -> Path:
        """The data directory in force."""
        from ksef_tui.compose import default_data_dir

        return self.data_dir or default_data_dir()

    @property
    def login_or_user(self) -> str:
        """The operator's login: as given, else the Unix user. An empty one (of an unset variable) is nobody's."""
        return getpass.getuser() if self.login is None else self.login

    @cached_property
    def office(self) -> Office:
        """The office. Its passphrase, when one is needed, comes from systemd, the first line of stdin or a person."""
        from ksef_tui.compose import open_office

        given = stdin_line() if self.passphrase_stdin and not someone_types() else None  # before the command's own
        opened = open_office(self.directory, ask_passphrase=lambda: given or (ask_passphrase() if self.asks else None))
        click.get_current_context().find_root().call_on_close(opened.close)
        return opened

    @cached_property
    def operator(self) -> Operator:
        """Who acts; an unknown login is refused."""
        from ksef_tui.services.office import operator_named

        return operator_named(self.office, self.login_or_user)


def someone_types() -> bool:
    """Whether a person sits at standard input."""
    return sys.stdin is not None and sys.stdin.isatty()


def stdin_line() -> Secret:
    """The first line of standard input, without its end, in whatever encoding it came; empty when there is none."""
    return Secret(b"" if sys.stdin is None else sys.stdin.buffer.readline(LONGEST_LINE).rstrip(b"\r\n"))


def stdin_bytes(limit: int) -> bytes:
    """All of standard input, but no more than a byte over `limit`."""
    return b"" if sys.stdin is None else sys.stdin.buffer.read(limit + 1)


def ask_passphrase(prompt: str = "Hasło biura") -> Secret | None:
    """A passphrase typed without echo on the terminal of this process, whatever its stdin is; None without one."""
    try:
        os.close(os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY))
    except OSError:
        return None
    try:
        return Secret(getpass.getpass(f"{prompt}: ").encode("utf-8", "surrogateescape"))
    except (EOFError, KeyboardInterrupt):
        raise click.exceptions.Abort from None


def new_passphrase(from_stdin: bool, prompt: str = "Nowe hasło") -> Secret:
    """A passphrase that shall be: typed twice without echo, or the next line of stdin. Raises Problem."""
    if from_stdin or not someone_types():
        return stdin_line()
    first, second = ask_passphrase(prompt), ask_passphrase("Jeszcze raz")
    if first is None or second is None:
        return stdin_line()
    if first.reveal() != second.reveal():
        raise Problem("passphrases_differ", "Hasła się różnią – niczego nie zmieniono.")
    return first


class Program(click.Group):
    """The group of commands, each loaded when it is asked for: the screen needs none of them.

    A Problem is one Polish line on stderr and ends with 1.
    """

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted(HOMES)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name in HOMES:
            importlib.import_module(f"ksef_tui.cli.{HOMES[cmd_name]}")
        return super().get_command(ctx, cmd_name)

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except Problem as problem:
            fail(problem.message)
        except (KeyboardInterrupt, click.exceptions.Abort):
            fail("Przerwano.")
        except BrokenPipeError:
            raise
        except OSError as error:
            where = f" ({error.filename})" if error.filename else ""
            fail(f"Nie udało się: {os_reason(error)}{where}.")

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
@click.option("--data-dir", type=FOLDER, help="katalog biura (KSEF_TUI_DATA_DIR)")
@click.option("--operator", "login", help="login operatora; domyślnie użytkownik systemu")
@click.option("--passphrase-stdin", is_flag=True, help="hasło biura: pierwszy wiersz standardowego wejścia")
@click.version_option(package_name="ksef-tui")
@click.pass_context
def program(ctx: click.Context, data_dir: Path | None, login: str | None, passphrase_stdin: bool) -> None:
    """ksef-tui: biuro rachunkowe autoryzuje klientów w KSeF i wysyła ich faktury."""
    ctx.obj = Context(data_dir, login, passphrase_stdin)
    if ctx.invoked_subcommand is None:
        gc.disable()  # until the screen stands: nothing of what is loaded is garbage
        from ksef_tui.tui.app import run

        sys.exit(run(ctx.obj.office, ctx.obj.operator))


def group(name: str, meaning: str) -> click.Group:
    """A group of commands of the program."""
    made = click.Group(name, help=meaning)
    program.add_command(made)
    return made


def client_line(row: dict[str, Any]) -> str:
    """A client for people."""
    waits = f"  {row['waiting']} do zatw." if row.get("waiting") else ""
    stands = f"  {row['stuck']} stoi" if row.get("stuck") else ""
    tail = f"  {row['reason']}" if row["reason"] else ""
    return f"{row['nip']}  {row['name']}  {row['status']}{_seen(row)}{waits}{stands}{tail}"


def _seen(row: dict[str, Any]) -> str:
    """The rights in letters, W P D, and the day they were seen."""
    if not row.get("rights_seen_at"):
        return ""
    from ksef_tui.domain.times import from_text, warsaw

    owner = "Owner" in row["rights"]
    has = {"W": "InvoiceWrite" in row["rights"], "P": "InvoiceRead" in row["rights"], "D": row["can_delegate"]}
    letters = " ".join(letter for letter, there in has.items() if there or owner)
    return f"  {letters} widziane {warsaw(from_text(row['rights_seen_at'])):%d.%m}" if letters else ""


def queue_line(row: dict[str, Any]) -> str:
    """An invoice in the queue for people."""
    tail = row["ksef_number"] or row["reason"]
    return f"{row['id']}  {row['client']}  {row['number']}  {row['gross']} {row['currency']}  {row['state']}  {tail}"


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


def read_file(path: Path, what: str = "plik certyfikatu ani klucza") -> bytes:
    """A small file's bytes; `what` says what it should have been. Raises Problem."""
    try:
        if not path.is_file() or path.stat().st_size > 1_000_000:  # a device or a pipe may never end
            path.stat()
            raise Problem("bad_file", f"{path}: to nie wygląda na {what}.")
        return path.read_bytes()
    except OSError as error:
        raise Problem("no_file", f"Nie można odczytać {path}: {os_reason(error)}.") from error


def write_file(path: Path, document: bytes) -> None:
    """Bytes as they are, into a file or (`-`) to standard output."""
    if str(path) == "-":
        sys.stdout.buffer.write(document)
        sys.stdout.buffer.flush()
    else:
        path.write_bytes(document)
