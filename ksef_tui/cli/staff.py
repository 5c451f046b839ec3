"""Commands about employees: who may do what for which client, given and taken back in KSeF.

A PESEL is never on the command line: it is the first line of standard input. Later a person is named by the number that
`staff list` shows.
"""

from __future__ import annotations

import asyncio
from typing import Any

import click

from ksef_tui.cli.shared import (
    Context,
    fail,
    group,
    json_option,
    limit_option,
    show,
    show_one,
    stdin_line,
)

PATIENCE = 150.0  # seconds for KSeF to carry out an order, and for its list to tell of one whose answer was lost
person_argument = click.argument("person", type=click.IntRange(1, 2**63 - 1), metavar="OSOBA")
client_option = click.option("--client", "nip", help="NIP klienta")
all_option = click.option(
    "--all-clients", "everywhere", is_flag=True, help="wszyscy klienci, którzy pozwalają przekazywać"
)
wait_option = click.option("--no-wait", is_flag=True, help="tylko zapisz zlecenie; zrobi to worker")

staff = group("staff", "Pracownicy biura i ich uprawnienia u klientów.")


@staff.command("list")
@client_option
@click.option("--refresh", is_flag=True, help="najpierw odczytaj listy z KSeF")
@limit_option
@json_option
@click.pass_obj
def staff_list(context: Context, nip: str | None, refresh: bool, limit: int, as_json: bool) -> None:
    """Kto z biura co może i co z tego naprawdę działa; z --client: kto może u tego klienta."""
    from ksef_tui.services import clients, staff, staff_views

    office, operator = context.office, context.operator
    client_id = clients.id_of(office, nip) if nip else None
    trouble = ""
    if refresh:
        staff.refresh(office, operator)
        trouble = _carry_out(context)
    rows = (
        staff_views.people(office, operator)
        if client_id is None
        else staff_views.at_client(office, operator, client_id)
    )
    show(staff_views.as_json(rows[:limit] if limit else rows), as_json, _line)
    status = staff_views.status(office, operator)
    if status.read_at is None and not rows:
        click.echo("List jeszcze nie odczytano z KSeF: staff list --refresh.", err=True)
    if trouble or (refresh and status.trouble):
        fail(trouble or status.trouble)


@staff.command("show")
@person_argument
@json_option
@click.pass_obj
def staff_show(context: Context, person: int, as_json: bool) -> None:
    """Co jedna osoba może u każdego klienta."""
    from ksef_tui.services import staff_views

    show(staff_views.as_json(staff_views.of_person(context.office, context.operator, person)), as_json, _line)


@staff.command("orders")
@limit_option
@json_option
@click.pass_obj
def staff_orders(context: Context, limit: int, as_json: bool) -> None:
    """Zlecenia nadania i odebrania, najnowsze najpierw: kto, komu, co i z jakim skutkiem."""
    from ksef_tui.services import staff_views

    show(staff_views.orders(context.office, context.operator, limit), as_json, _order_line)


@staff.command("grant")
@click.option("--person", "known", type=click.IntRange(1, 2**63 - 1), help="osoba z listy, zamiast numeru i nazwiska")
@click.option("--pesel-stdin", is_flag=True, help="PESEL w pierwszym wierszu stdin")
@click.option("--nip", "person_nip", help="NIP osoby")
@click.option("--fingerprint", help="odcisk SHA-256 certyfikatu, w którym nie ma PESEL ani NIP")
@click.option("--born", default="", help="z --fingerprint bez PESEL i NIP: data urodzenia RRRR-MM-DD")
@click.option("--document", type=(str, str, str), default=None, help="z --born: rodzaj, numer i kraj dokumentu")
@click.option("--first-name", default="", help="imię")
@click.option("--last-name", default="", help="nazwisko")
@client_option
@all_option
@click.option("--read-only", is_flag=True, help="tylko przeglądanie faktur")
@wait_option
@json_option
@click.pass_obj
def staff_grant(
    context: Context,
    known: int | None,
    pesel_stdin: bool,
    person_nip: str | None,
    fingerprint: str | None,
    born: str,
    document: tuple[str, str, str] | None,
    first_name: str,
    last_name: str,
    nip: str | None,
    everywhere: bool,
    read_only: bool,
    no_wait: bool,
    as_json: bool,
) -> None:
    """Nadaje pracownikowi prawo do faktur jednego klienta albo wszystkich."""
    from ksef_tui.domain.staff import READ, SCOPES
    from ksef_tui.services import clients, staff, staff_views

    if bool(nip) == everywhere:
        raise click.UsageError("Podaj --client albo --all-clients.")
    if pesel_stdin and person_nip:
        raise click.UsageError("Podaj --pesel-stdin albo --nip.")
    if (known is None) != bool(pesel_stdin or person_nip or fingerprint):
        raise click.UsageError("Podaj osobę: --person, --pesel-stdin, --nip albo --fingerprint.")
    if known is None and not (first_name and last_name):
        raise click.UsageError("Podaj --first-name i --last-name.")
    office, operator = context.office, context.operator
    client_id = clients.id_of(office, nip) if nip else None
    scopes = (READ,) if read_only else SCOPES
    if known is not None:
        order_id = staff.grant_more(office, operator, known, client_id, scopes)
    else:
        who = _newcomer(pesel_stdin, person_nip, fingerprint, first_name, last_name, born, document)
        order_id = staff.grant(office, operator, who, client_id, scopes)
    trouble = "" if no_wait else _carry_out(context)
    row = staff_views.order_of(office, operator, order_id)
    if client_id is not None:
        found = [r for r in staff_views.at_client(office, operator, client_id) if r.person_id == row["person"]]
        row |= {key: found[0][key] for found in [staff_views.as_json(found)] if found for key in ("works", "effect")}
        row["effect_reason"] = found[0].working.words if found and found[0].working and found[0].given else ""
    show_one(row, as_json, _order_line)
    _end(row, no_wait, trouble)


def _newcomer(
    pesel_stdin: bool,
    nip: str | None,
    fingerprint: str | None,
    first_name: str,
    last_name: str,
    born: str,
    document: tuple[str, str, str] | None,
) -> Any:
    from ksef_tui.domain.secret import Secret
    from ksef_tui.services.staff import Newcomer

    kind, number = ("Pesel", stdin_line()) if pesel_stdin else ("Nip", Secret(nip or ""))
    if fingerprint is None:
        return Newcomer(kind, number, first_name, last_name)
    print_ = Secret(fingerprint)
    if pesel_stdin or nip:
        return Newcomer("Fingerprint", print_, first_name, last_name, kind, number)
    return Newcomer("Fingerprint", print_, first_name, last_name, born=born, document=document)


@staff.command("revoke")
@person_argument
@client_option
@all_option
@click.option("--right", type=click.Choice(["InvoiceWrite", "InvoiceRead"]), help="tylko to uprawnienie")
@wait_option
@json_option
@click.pass_obj
def staff_revoke(
    context: Context, person: int, nip: str | None, everywhere: bool, right: str | None, no_wait: bool, as_json: bool
) -> None:
    """Odbiera osobie to, co nadano jej do jednego klienta albo do wszystkich jednym nadaniem."""
    from ksef_tui.domain.staff import SCOPES
    from ksef_tui.services import clients, staff, staff_views

    if bool(nip) == everywhere:
        raise click.UsageError("Podaj --client albo --all-clients.")
    office, operator = context.office, context.operator
    client_id = clients.id_of(office, nip) if nip else None
    order_ids = staff.revoke(office, operator, person, client_id, (right,) if right else SCOPES)
    trouble = "" if no_wait else _carry_out(context)
    rows = [staff_views.order_of(office, operator, order_id) for order_id in order_ids]
    show(rows, as_json, _order_line)
    for row in rows:
        _end(row, no_wait, trouble)


@staff.command("dismiss")
@person_argument
@wait_option
@json_option
@click.pass_obj
def staff_dismiss(context: Context, person: int, no_wait: bool, as_json: bool) -> None:
    """Osoba odchodzi: odbiera jej wszystko, zamyka dostęp do programu i kończy logowania jej certyfikatem."""
    from ksef_tui.services import contract, own_work, staff, staff_views

    office, operator = context.office, context.operator
    done = staff.dismiss(office, operator, person)
    trouble = "" if no_wait else _carry_out(context)
    if not no_wait:
        for client_id in done.ending:
            asyncio.run(own_work.carry_out(office, client_id, patience=PATIENCE))
    rows = [
        row for row in staff_views.orders(office, operator, 0) if row["person"] == person and row["act"] == "revoke"
    ]
    ending, later = (
        [contract.authorization_by_id(office, operator, i)["nip"] for i in ids]
        for ids in (done.ending, done.ending_later)
    )
    report = {
        "person": person, "orders": rows, "operators": list(done.operators), "ended": ending, "ending_later": later,
    }  # fmt: skip
    show_one(report, as_json, _dismissal)
    for row in rows:
        _end(row, no_wait, trouble)
    if trouble:
        fail(trouble)


def _dismissal(report: dict[str, Any]) -> str:
    lines = [_order_line(row) for row in report["orders"]]
    lines += [f"operator {login}: bez dostępu, klucz zniszczony" for login in report["operators"]]
    lines += [f"{nip}: logowanie certyfikatem tej osoby zakończone" for nip in report["ended"]]
    lines += [f"{nip}: logowanie skończy się, gdy dojdą wysłane faktury" for nip in report["ending_later"]]
    return "\n".join(lines) or "Nie było czego odbierać."


def _carry_out(context: Context) -> str:
    """Carry the orders out here; what went wrong on the way, in Polish."""
    from ksef_tui.domain.problems import Problem
    from ksef_tui.services import staff_orders

    try:
        asyncio.run(staff_orders.carry_out(context.office, context.operator, patience=PATIENCE))
    except Problem as problem:
        return problem.message
    return ""


def _end(row: dict[str, Any], no_wait: bool, trouble: str) -> None:
    """Exit status 1 unless the order was carried out."""
    if no_wait or row["state"] == "done":
        return
    fail(trouble or row["reason"] or "KSeF jeszcze nie skończył – wynik pokaże staff orders.")


def _line(row: dict[str, Any]) -> str:
    where = "wszyscy klienci" if row["all_clients"] and not row["client"] else f"{row['client']}  {row['client_name']}"
    given = " ".join(letter for letter, right in (("W", "InvoiceWrite"), ("P", "InvoiceRead")) if right in row["given"])
    works = (row["reason"] or "działa") if row["client"] else f"działa u {row['works_at']} z {row['clients']}"
    operator = f" (operator {row['operator']})" if row["operator"] else ""
    pending = f"  [{row['pending']}]" if row["pending"] else ""
    return f"{row['person']}  {row['name']}{operator}  {row['subject']}  {where}  {given or '–'}  {works}{pending}"


def _order_line(row: dict[str, Any]) -> str:
    what = "nadanie" if row["act"] == "grant" else "odebranie"
    rights = " ".join(
        letter for letter, right in (("W", "InvoiceWrite"), ("P", "InvoiceRead")) if right in row["rights"]
    )
    effect = f"  {row['effect_reason']}" if row.get("effect_reason", "").startswith("nic") else ""
    tail = f"  {row['reason']}" if row["reason"] else ""
    return f"{row['order']}  {what} {rights}  {row['name']}  {row['client'] or 'wszyscy klienci'}  {row['state']}{tail}{effect}"
