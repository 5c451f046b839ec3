"""Commands that mend what does not go: replace, retry, settle, explain. They belong to the group `queue`."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from ksef_tui.cli.invoices import end_with_result, queue
from ksef_tui.cli.shared import FILE, Context, fail, invoice_id, json_option, plain, show_one, stdin_bytes, wait_option

PATIENCE = 60.0  # seconds for KSeF to say whether it has an invoice


@queue.command("replace")
@click.argument("chosen", type=invoice_id, metavar="ID")
@click.argument("file", type=FILE)
@click.option("--new-number", is_flag=True, help="plik ma inny numer i tak ma być")
@json_option
@click.pass_obj
def queue_replace(context: Context, chosen: int, file: Path, new_number: bool, as_json: bool) -> None:
    """Zastępuje fakturę do poprawy albo odrzuconą poprawionym plikiem (- czyta stdin)."""
    from ksef_tui.services import contract, replacing
    from ksef_tui.services.incoming_files import MAX_FILE_BYTES

    office, operator = context.office, context.operator
    name, data = ("-", stdin_bytes(MAX_FILE_BYTES)) if str(file) == "-" else replacing.read_file(file)
    found = replacing.preview(office, operator, chosen, name, data, number_may_differ=new_number)
    if found.asked:
        fail(f"{found.refusal} Jeśli tak ma być, dodaj --new-number.")
    if found.refusal:
        fail(found.refusal)
    for warning in found.warnings:
        click.echo(plain(warning), err=True)
    new_id = replacing.replace(office, operator, chosen, name, data, number_may_differ=new_number)
    row = contract.invoice(office, operator, new_id)
    show_one(row, as_json, lambda r: f"{r['id']}  {r['number']}  zastępuje {chosen}, do zatwierdzenia")


@queue.command("retry")
@click.argument("ids", nargs=-1, required=True, type=invoice_id, metavar="ID...")
@wait_option
@json_option
@click.pass_obj
def queue_retry(context: Context, ids: Sequence[int], no_wait: bool, as_json: bool) -> None:
    """Ponawia odrzucone, gdy ponowienie może pomóc: najpierw sprawdza, czy nie ma ich już w KSeF."""
    from ksef_tui.services import approving, own_work
    from ksef_tui.services.approving import ActResult

    office, operator = context.office, context.operator
    result = approving.retry(office, operator, ids)
    if not no_wait and result.done:
        said_no = {i for i, _ in result.refused}
        asked = [i for i in dict.fromkeys(ids) if i not in said_no]
        asyncio.run(own_work.look_for(office, asked, patience=PATIENCE))
        left = approving.not_retried(office, asked)
        result = ActResult(result.done - len(left), (*result.refused, *left))
    end_with_result(result, as_json)


@queue.command("settle")
@click.argument("ids", nargs=-1, required=True, type=invoice_id, metavar="ID...")
@click.option("--note", required=True, help="co postanowiono i dlaczego; zostaje przy fakturze")
@json_option
@click.pass_obj
def queue_settle(context: Context, ids: Sequence[int], note: str, as_json: bool) -> None:
    """Zostawia odrzucone jako rozstrzygnięte, z uwagą, kto i dlaczego tak postanowił."""
    from ksef_tui.services import approving

    end_with_result(approving.settle(context.office, context.operator, ids, note), as_json)


@queue.command("explain")
@click.argument("chosen", type=invoice_id, metavar="ID")
@json_option
@click.pass_obj
def queue_explain(context: Context, chosen: int, as_json: bool) -> None:
    """Co jest nie tak z fakturą, co to znaczy i co można zrobić."""
    from ksef_tui.services import contract

    row = contract.explanation(context.office, context.operator, chosen)
    if as_json:
        click.echo(json.dumps(row, ensure_ascii=False, indent=1))
    else:
        click.echo("\n".join(plain(part) for part in explained(row)))


def explained(row: dict[str, Any]) -> list[str]:
    """An explanation for people."""
    lines = [f"{row['number']}  {row['state']}  {row['reason_code']}  {row['reason']}".rstrip()]
    lines += [text for text in (row["meaning"], row["what_to_do"]) if text]
    for label, which in (("zastępuje", row["replaces"]), ("zastąpiona przez", row["replaced_by"])):
        lines += [f"{label} {which}"] if which else []
    lines += row["original"]["text"] if row["original"] is not None else []
    return lines + [
        f"  {'–' if way['why_not'] else '•'} {way['way']}: {way['why_not'] or way['label']}" for way in row["ways"]
    ]
