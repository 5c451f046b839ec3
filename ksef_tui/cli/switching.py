"""Commands that change the identity of clients: `auth switch`, `auth tokens`, `identity reserve`, `identity takeover`."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import click

from ksef_tui.cli.shared import Context, client_line, fail, json_option, show

SETTLING = 330.0  # seconds that a command waits for a queue to settle and for logins
no_wait_option = click.option("--no-wait", is_flag=True, help="tylko zapisz zamiar; zrobi to worker")
patience_option = click.option(
    "--timeout", type=click.FloatRange(min=0), default=SETTLING, show_default=True, help="ile sekund czekać; potem robi to worker"
)  # fmt: skip


@click.command("switch")
@click.argument("nips", nargs=-1, metavar="[NIP]...")
@click.option("--identity", "label", required=True, help="nowy profil biura")
@click.option("--tokens", "everyone", is_flag=True, help="wszyscy klienci, którzy mają jeszcze token")
@click.option("--force", is_flag=True, help="także gdy w drodze jest coś, co odbierze tylko dotychczasowe logowanie")
@no_wait_option
@patience_option
@json_option
@click.pass_obj
def auth_switch(
    context: Context,
    nips: Sequence[str],
    label: str,
    everyone: bool,
    force: bool,
    no_wait: bool,
    timeout: float,
    as_json: bool,
) -> None:
    """Zmienia profil klientów, gdy w drodze nic nie zostało; dotychczasowe logowanie kończy w KSeF."""
    from ksef_tui.services import clients, identities, switching

    if bool(nips) == everyone:
        raise click.UsageError("Podaj NIP albo --tokens.")
    office, operator = context.office, context.operator
    identity_id = identities.named(office, label)["id"]
    if everyone:
        ids = [one.client_id for one in switching.with_token(office, operator)]
        if not ids:
            click.echo("Nikt nie ma już tokenu – nie ma czego zmieniać.", err=True)
    else:
        ids = [clients.id_of(office, nip) for nip in nips]
    asked = switching.ask(office, operator, ids, identity_id, force=force)
    _end(context, asked.client_ids, identity_id, timeout if not no_wait else None, as_json)
    if asked.refused:
        fail(" ".join(f"{one.name}: {one.reason.removesuffix('.')}." for one in asked.refused[:3]))


@click.command("tokens")
@json_option
@click.pass_obj
def auth_tokens(context: Context, as_json: bool) -> None:
    """Klienci, którzy mają jeszcze token KSeF, i kiedy on się skończy."""
    from ksef_tui.services import contract

    show(contract.token_holders(context.office, context.operator), as_json, _token_line)


def _token_line(row: dict[str, Any]) -> str:
    profile = {True: "profil biura zadziała", False: "klient nie nadał uprawnień biuru", None: ""}[row["profile"]]
    waits = ", ".join(
        f"{row[key]} {word}" for key, word in (("waiting", "do wysłania"), ("on_wire", "w drodze")) if row[key]
    )
    to = f"zmiana na profil {row['switching_to']}" if row["switching_to"] else ""
    parts = (row["nip"], row["name"], f"token do {row['valid_until'][:10]}", waits, to or profile)
    return "  ".join(part for part in parts if part)


@click.command("reserve")
@click.argument("label", metavar="NAZWA")
@click.option("--off", is_flag=True, help="ten profil nie jest już rezerwowy")
@click.pass_obj
def identity_reserve(context: Context, label: str, off: bool) -> None:
    """Trzyma profil w rezerwie: przejmie klientów profilu, który przestał działać."""
    from ksef_tui.services import reserve

    reserve.mark(context.office, context.operator, label, on=not off)


@click.command("takeover")
@click.option("--dry-run", is_flag=True, help="tylko pokaż, kogo profil rezerwowy by przejął")
@no_wait_option
@patience_option
@json_option
@click.pass_obj
def identity_takeover(context: Context, dry_run: bool, no_wait: bool, timeout: float, as_json: bool) -> None:
    """Autoryzuje profilem rezerwowym klientów profilu, który przestał działać."""
    from ksef_tui.services import contract, reserve

    office, operator = context.office, context.operator
    found = reserve.preview(office, operator)
    if dry_run:
        show(contract.takeover_rows(found), as_json, _fallen_line)
        return
    asked = reserve.take_over(office, operator)
    _end(context, asked.client_ids, found.reserve_id, timeout if not no_wait else None, as_json)


def _fallen_line(row: dict[str, Any]) -> str:
    return f"{row['label']}  {row['why']}  klientów: {row['clients']}  przejmie: {row['reserve']}"


def _end(
    context: Context, ids: Sequence[int], identity_id: int, patience: float | None, as_json: bool
) -> None:  # fmt: skip
    """Carry the changes out (patience None: leave them to a worker), show each client, end with 1 unless all changed."""
    from ksef_tui.services import contract, own_work

    office, operator = context.office, context.operator
    if patience is not None:
        asyncio.run(own_work.carry_out_switches(office, ids, patience=patience))
    rows = [contract.switched(office, operator, client_id, identity_id) for client_id in ids]
    show(rows, as_json, client_line)
    bad = [row for row in rows if not row["switched"]]
    if bad and patience is not None:
        said = [_why(row) for row in bad[:3]]
        more = f" I jeszcze {len(bad) - 3}." if len(bad) > 3 else ""
        fail(" ".join(said) + more)


def _why(row: dict[str, Any]) -> str:
    """Who was not changed and why; many reasons name the client themselves."""
    why = str(row["waits_for"] or row["reason"] or row["status"])
    return why if f"{row['name']}: " in why else f"{row['name']}: {why}"
