"""Commands about invoices, the queue and receipts."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from ksef_tui.cli.shared import (
    FOLDER,
    Context,
    SomePath,
    fail,
    group,
    invoice_id,
    json_option,
    limit_option,
    plain,
    queue_line,
    show,
    show_one,
    stdin_bytes,
)

invoice = group("invoice", "Faktury.")


@invoice.command("check")
@click.argument("paths", nargs=-1, required=True, type=SomePath())
@json_option
@click.pass_obj
def invoice_check(context: Context, paths: Sequence[Path], as_json: bool) -> None:
    """Sprawdza pliki; niczego nie zapisuje."""
    from ksef_tui.services import contract, importing

    rows = importing.check_paths(context.office, paths)
    show([contract.import_row(r) for r in rows], as_json, import_line)
    end_with_files(sum(r.is_bad for r in rows), len(rows))


@invoice.command("import")
@click.argument("nip")
@click.argument("paths", nargs=-1, required=True, type=SomePath(allow_dash=True))
@json_option
@click.pass_obj
def invoice_import(context: Context, nip: str, paths: Sequence[Path], as_json: bool) -> None:
    """Importuje pliki XML, katalogi i archiwa ZIP; - czyta jedną fakturę ze stdin."""
    from ksef_tui.services import clients, contract, importing
    from ksef_tui.services.incoming_files import MAX_FILE_BYTES

    office, operator = context.office, context.operator
    client_id = clients.id_of(office, nip)
    rows: list[importing.ImportRow] = []
    for path in paths:
        if str(path) == "-":
            data = stdin_bytes(MAX_FILE_BYTES)
            rows.append(importing.import_bytes(office, operator, client_id, "-", data))
        else:
            rows += importing.import_paths(office, operator, client_id, [path])
    show([contract.import_row(r) for r in rows], as_json, import_line)
    end_with_files(sum(r.is_bad for r in rows), len(rows))


def end_with_files(bad: int, total: int) -> None:
    """1 and one line if any file was not an invoice that can go."""
    if bad:
        fail(f"Do poprawy albo nie do odczytania: {bad}; wszystkich plików: {total}.")


def import_line(row: dict[str, Any]) -> str:
    """An imported file for people."""
    what = row["state"] or "nie odczytano"
    if row["reason"] and not row["errors"]:
        what += f": {row['reason']}"
    return f"{row['file']}  {row['number'] or '–'}  {what}" + "".join(
        f"\n    {e}" for e in (*row["errors"], *row["warnings"])
    )


@invoice.command("show")
@click.argument("chosen", type=invoice_id, metavar="ID")
@json_option
@click.pass_obj
def invoice_show(context: Context, chosen: int, as_json: bool) -> None:
    """Jedna faktura z przebiegiem zdarzeń."""
    from ksef_tui.services import contract

    show_one(contract.invoice(context.office, context.operator, chosen), as_json, invoice_text)


def invoice_text(row: dict[str, Any]) -> str:
    """An invoice for people."""
    return "\n".join([queue_line(row), *(f"  {t['at']}  {t['who'] or '·'}  {t['text']}" for t in row["timeline"])])


@invoice.command("export")
@click.argument("ids", nargs=-1, required=True, type=invoice_id, metavar="ID...")
@click.option("--to", "folder", required=True, type=FOLDER)
@click.pass_obj
def invoice_export(context: Context, ids: Sequence[int], folder: Path) -> None:
    """Zapisuje dokumenty faktur bajt w bajt."""
    from ksef_tui.services import exporting

    for path in exporting.export_invoices(context.office, context.operator, ids, folder):
        click.echo(str(path))


queue = group("queue", "Kolejka faktur wychodzących.")


@queue.command("list")
@click.option("--client", "nip", help="NIP klienta")
@click.option("--state", help="kod stanu")
@click.option("--find", default="", metavar="SŁOWA", help='jak w filtrze kolejki: "jodła odrzucone wczoraj >1000"')
@limit_option
@json_option
@click.pass_obj
def queue_list(context: Context, nip: str | None, state: str | None, find: str, limit: int, as_json: bool) -> None:
    """Faktury, najnowsze najpierw."""
    from ksef_tui.services import contract, invoice_views

    said = invoice_views.understood(context.office, find).said
    if said:
        click.echo(plain(f"szukane: {' · '.join(said)}"), err=True)
    rows = contract.queue(context.office, context.operator, nip=nip, state=state, find=find, limit=limit)
    show(rows, as_json, queue_line)


@queue.command("today")
@click.option("--mine", is_flag=True, help="tylko klienci, których prowadzi operator")
@json_option
@click.pass_obj
def queue_today(context: Context, mine: bool, as_json: bool) -> None:
    """Co dziś wymaga człowieka, od najpilniejszego; do wysłania pocztą z crona."""
    from ksef_tui.domain.today import farewell
    from ksef_tui.services import contract
    from ksef_tui.services import today as todays

    office, operator = context.office, context.operator
    rows = contract.today(office, operator, mine)
    show(rows, as_json, today_line)
    if not rows and not as_json:
        said = farewell(todays.done_today(office, operator, mine), office.clock())
        click.echo("\n".join(said[:2]))


def today_line(row: dict[str, Any]) -> str:
    """What needs a person, for people: which key mends it on the screen stands at the end."""
    from ksef_tui.domain.actions import BY_ID
    from ksef_tui.domain.today import BY_KIND, Kind

    label = BY_KIND[Kind(row["kind"])].badge.label
    what = f"{row['count']} {label}" if row["count"] else label
    sums = "".join(f", {amount} {currency}" for currency, amount in row["sums"].items())
    keys = [BY_ID[one] for one in row["actions"] if one in BY_ID]
    mends = f" [{keys[0].shown} {keys[0].label}]" if keys else ""
    return f"{'PILNE ' if row['due'] else ''}{row['client']}: {what}{sums} – {row['reason']}{mends}"


@queue.command("approve")
@click.argument("ids", nargs=-1, type=invoice_id, metavar="[ID]...")
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
    @click.argument("ids", nargs=-1, required=True, type=invoice_id, metavar="ID...")
    @json_option
    @click.pass_obj
    def act(context: Context, ids: Sequence[int], as_json: bool) -> None:
        from ksef_tui.services import approving

        decide = approving.urge if name == "urgent" else getattr(approving, name)
        end_with_result(decide(context.office, context.operator, ids), as_json)


for _name, _help in (
    ("recall", "Cofa zatwierdzenie, póki nic nie wyszło."),
    ("urgent", "Pilne: zatwierdzone idą pierwsze, pojedynczo, zaraz po czasie na cofnięcie."),
    ("hold", "Wstrzymuje faktury."),
    ("release", "Zwalnia wstrzymane i zablokowane; sprawdza je od nowa."),
    ("withdraw", "Wycofuje faktury: nie zostaną wysłane."),
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


@queue.command("pause")
@click.argument("nips", nargs=-1, metavar="[NIP]...")
@click.option("--all", "everything", is_flag=True, help="cała wysyłka, także klientów, którzy dopiero przyjdą")
@click.option("--why", default="", help="powód, pokazywany przy fakturach")
@json_option
@click.pass_obj
def queue_pause(context: Context, nips: Sequence[str], everything: bool, why: str, as_json: bool) -> None:
    """Wstrzymuje wysyłkę: nic nowego nie pójdzie, to, co w drodze, kończy się."""
    from ksef_tui.services import pausing

    asked = asked_clients(context, nips, everything)
    show_count(pausing.pause(context.office, context.operator, asked, why), "wstrzymano", as_json)


@queue.command("resume")
@click.argument("nips", nargs=-1, metavar="[NIP]...")
@click.option("--all", "everything", is_flag=True, help="cała wysyłka; klienci wstrzymani z osobna stoją dalej")
@json_option
@click.pass_obj
def queue_resume(context: Context, nips: Sequence[str], everything: bool, as_json: bool) -> None:
    """Wznawia wstrzymaną wysyłkę."""
    from ksef_tui.services import pausing

    asked = asked_clients(context, nips, everything)
    show_count(pausing.resume(context.office, context.operator, asked), "wznowiono", as_json)
    left = pausing.paused_clients(context.office, context.operator)
    if everything and left:
        click.echo(f"z osobna wstrzymani są dalej: {', '.join(plain(one.nip) for one in left)}", err=True)


def asked_clients(context: Context, nips: Sequence[str], everything: bool) -> Sequence[int | None]:
    """Whose sending: these clients', or everybody's."""
    from ksef_tui.services import clients, pausing

    if bool(nips) == everything:
        raise click.UsageError("Podaj NIP-y albo --all.")
    return pausing.EVERYTHING if everything else [clients.id_of(context.office, nip) for nip in nips]


def show_count(done: int, word: str, as_json: bool) -> None:
    """How many were not so before."""
    click.echo(json.dumps({"done": done}) if as_json else f"{word}: {done}")


upo = group("upo", "Urzędowe poświadczenia odbioru.")


@upo.command("export")
@click.option("--client", "nip", help="NIP klienta")
@click.option("--month", help="miesiąc wystawienia, RRRR-MM")
@click.option("--to", "folder", required=True, type=FOLDER)
@click.pass_obj
def upo_export(context: Context, nip: str | None, month: str | None, folder: Path) -> None:
    """Zapisuje UPO jako <numer KSeF>.xml."""
    from ksef_tui.services import clients, exporting

    client_id = clients.id_of(context.office, nip) if nip else None
    count = exporting.export_upos(context.office, context.operator, folder, client_id=client_id, month=month)
    click.echo(f"zapisano UPO: {count}", err=True)
