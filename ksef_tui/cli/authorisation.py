"""Commands about authorisation; each runs to the end and waits."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import click

from ksef_tui.cli.onboarding import auth_onboard
from ksef_tui.cli.runs import run_over_many
from ksef_tui.cli.shared import (
    FILE,
    Context,
    client_line,
    fail,
    group,
    json_option,
    limit_option,
    plain,
    read_file,
    show,
    show_one,
    stdin_bytes,
    stdin_line,
    wait_option,
    write_file,
)
from ksef_tui.cli.switching import auth_switch, auth_tokens
from ksef_tui.domain.problems import Problem

auth = group("auth", "Autoryzacja klientów w KSeF.")
auth.add_command(auth_onboard)
auth.add_command(auth_switch)
auth.add_command(auth_tokens)


everyone_option = click.option("--all", "everyone", is_flag=True, help="wszyscy klienci")
mine_option = click.option("--mine", is_flag=True, help="tylko moi klienci")
LOGIN_PATIENCE = 330.0
LOGOUT_PATIENCE = 20.0


@auth.command("start")
@click.argument("nip", required=False)
@everyone_option
@mine_option
@click.option("--identity", "label", help="profil biura")
@click.option("--token-stdin", is_flag=True, help="token KSeF w pierwszym wierszu stdin")
@click.option("--external", type=FILE, help="zapisz żądanie do podpisu poza programem; - na stdout")
@wait_option
@json_option
@click.pass_obj
def auth_start(
    context: Context,
    nip: str | None,
    everyone: bool,
    mine: bool,
    label: str | None,
    token_stdin: bool,
    external: Path | None,
    no_wait: bool,
    as_json: bool,
) -> None:
    """Autoryzuje biuro u klienta albo (--all, --mine) u wszystkich, u których jeszcze nie działa."""
    from ksef_tui.services import authorising, bulk, clients, identities

    if bool(label) + token_stdin + (external is not None) != 1:
        raise click.UsageError("Podaj --identity, --token-stdin albo --external.")
    if bool(nip) + everyone + mine != 1:
        raise click.UsageError("Podaj NIP, --all albo --mine.")
    office, operator = context.office, context.operator
    if nip is None:
        if label is None:
            raise click.UsageError("--all i --mine autoryzują tylko profilem: podaj --identity.")
        ids = bulk.everybody(office, operator, "start", mine=mine)
        run_over_many(context, "start", ids, no_wait, as_json, identities.named(office, label)["id"])
        return
    client_id = clients.id_of(office, nip)
    if label:
        authorising.start_with_identity(office, operator, client_id, identities.named(office, label)["id"])
    elif token_stdin:
        authorising.start_with_token(office, operator, client_id, stdin_line())
    else:
        authorising.start_external(office, operator, client_id)
        if external is not None and not no_wait:
            export_request(context, client_id, external, as_json)
            return
    end_with_status(context, [client_id], no_wait, as_json)


def export_request(context: Context, client_id: int, to: Path, as_json: bool) -> None:
    """Wait for the request, write it, and say until when it can be signed; on stdout then the document alone."""
    from ksef_tui.services import contract, external, own_work

    office, operator = context.office, context.operator
    asyncio.run(own_work.carry_out(office, client_id, patience=LOGIN_PATIENCE))
    row = contract.authorization_by_id(office, operator, client_id)
    if row["status"] == "to_sign":
        write_file(to, external.request(office, operator, client_id).document)
    if str(to) != "-":
        show_one(row, as_json, client_line)
    elif row["status"] == "to_sign":
        click.echo(plain(client_line(row)), err=True)
    if row["status"] != "to_sign":
        fail(row["reason"] or "Żądania do podpisu nie ma.")


@auth.command("request")
@click.argument("nip")
@click.argument("file", type=FILE)
@click.pass_obj
def auth_request(context: Context, nip: str, file: Path) -> None:
    """Zapisuje jeszcze raz żądanie, które czeka na podpis (- na stdout)."""
    from ksef_tui.services import clients, external

    client_id = clients.id_of(context.office, nip)
    write_file(file, external.request(context.office, context.operator, client_id).document)


@auth.command("submit")
@click.argument("nip")
@click.argument("file", type=FILE)
@wait_option
@json_option
@click.pass_obj
def auth_submit(context: Context, nip: str, file: Path, no_wait: bool, as_json: bool) -> None:
    """Przekazuje do KSeF podpisane żądanie, bajt w bajt (- ze stdin)."""
    from ksef_tui.services import authorising, clients

    client_id = clients.id_of(context.office, nip)
    signed = stdin_bytes(1_000_000) if str(file) == "-" else read_file(file, "podpisane żądanie")
    authorising.submit(context.office, context.operator, client_id, signed)
    end_with_status(context, [client_id], no_wait, as_json)


@auth.command("cancel")
@click.argument("nip")
@json_option
@click.pass_obj
def auth_cancel(context: Context, nip: str, as_json: bool) -> None:
    """Przerywa autoryzację, która trwa, czeka na podpis albo stanęła w połowie wizyty klienta."""
    from ksef_tui.services import authorising, clients, contract, own_work

    office, operator = context.office, context.operator
    client_id = clients.id_of(office, nip)
    authorising.cancel(office, operator, client_id)
    with suppress(Problem):  # a client's own login that is left is ended; the worker tries again
        asyncio.run(own_work.carry_out(office, client_id, patience=LOGOUT_PATIENCE))
    show_one(contract.authorization(office, operator, nip), as_json, client_line)


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
@everyone_option
@mine_option
@wait_option
@json_option
@click.pass_obj
def auth_check(context: Context, nips: Sequence[str], everyone: bool, mine: bool, no_wait: bool, as_json: bool) -> None:
    """Sprawdza w KSeF, co biuro może u klienta (po końcu obsługi: czy odebrał uprawnienia) albo u wszystkich."""
    from ksef_tui.services import authorising, bulk, clients, contract

    if bool(nips) + everyone + mine != 1:
        raise click.UsageError("Podaj NIP, --all albo --mine.")
    office, operator = context.office, context.operator
    if len(nips) == 1:
        client_id = clients.id_of(office, nips[0])
        authorising.check(office, operator, client_id)
        end_with_status(context, [client_id], no_wait, as_json)
        return
    ids = list(dict.fromkeys(clients.id_of(office, nip) for nip in nips))  # one named twice is one client
    if ids:
        run_over_many(context, "check", ids, no_wait, as_json)
        return
    stopped = contract.stopped_ids(office, operator, mine=mine)
    for why, names in contract.passed_over(office, operator, mine=mine):
        more = f" i jeszcze {len(names) - 3}" if len(names) > 3 else ""
        click.echo(plain(f"Nie sprawdzam {len(names)} ({', '.join(names[:3])}{more}): {why}."), err=True)
    ids = bulk.everybody(office, operator, "check", mine=mine)
    run_over_many(context, "check", ids, no_wait, as_json, stopped=stopped)


@auth.command("revoke")
@click.argument("nip")
@wait_option
@json_option
@click.pass_obj
def auth_revoke(context: Context, nip: str, no_wait: bool, as_json: bool) -> None:
    """Odwołuje autoryzację, także w KSeF."""
    from ksef_tui.services import authorising, clients, contract, own_work

    office, operator = context.office, context.operator
    client_id = clients.id_of(office, nip)
    authorising.revoke(office, operator, client_id)
    if not no_wait:
        asyncio.run(own_work.carry_out(office, client_id, patience=LOGIN_PATIENCE))
    row = contract.authorization(office, operator, nip)
    show_one(row, as_json, client_line)
    if not no_wait and row["status"] != "missing":
        fail(row["reason"] or "Nie odwołano autoryzacji.")


def end_with_status(
    context: Context, ids: Sequence[int], no_wait: bool, as_json: bool, *, as_list: bool = False
) -> None:
    """Wait for the intents of these clients, show what became of them, end with 1 unless all is well."""
    from ksef_tui.services import contract, own_work

    office, operator = context.office, context.operator
    if not no_wait:
        for client_id in ids:
            asyncio.run(own_work.carry_out(office, client_id, patience=LOGIN_PATIENCE))
    rows = [contract.authorization_by_id(office, operator, client_id) for client_id in ids]
    if as_list:
        show(rows, as_json, client_line)
    else:
        show_one(rows[0], as_json, client_line)
    # KSeF not asked, or a new login refused, is not KSeF agreeing: what stands is yesterday's answer
    bad = [
        row
        for row in rows
        if row["reason_code"] or (row["status"] not in ("active", "expiring") and not row["rights_gone"])
    ]
    if bad and not no_wait:
        fail(" ".join(row["reason"] or f"{row['name']}: {row['status']}" for row in bad[:3]))
