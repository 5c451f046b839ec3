"""Commands about clients and identities."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from pathlib import Path
from typing import Any

import click

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
    someone_types,
    stdin_line,
    wait_option,
    write_file,
)
from ksef_tui.cli.switching import identity_reserve, identity_takeover
from ksef_tui.domain.problems import Problem
from ksef_tui.domain.secret import Secret

LOGOUT_PATIENCE = 20.0
END_PATIENCE = 60.0  # seconds: the service has ended anyway, and a worker goes on with the rest

client = group("client", "Klienci biura.")


@client.command("add")
@click.argument("nip")
@click.argument("name")
@click.option("--self-service", is_flag=True, help="klient samoobsługowy: pracuje własnym certyfikatem")
@click.pass_obj
def client_add(context: Context, nip: str, name: str, self_service: bool) -> None:
    """Dodaje klienta."""
    from ksef_tui.services import clients

    clients.add(context.office, context.operator, nip, name, self_service=self_service)


@client.command("self-service")
@click.argument("nip")
@click.argument("state", metavar="on|off", type=click.Choice(["on", "off"]))
@json_option
@click.pass_obj
def client_self_service(context: Context, nip: str, state: str, as_json: bool) -> None:
    """Klient samoobsługowy (on) może mieć własny profil, który działa tylko u niego; off usuwa jego profile."""
    from ksef_tui.services import clients, contract

    clients.set_self_service(context.office, context.operator, clients.id_of(context.office, nip), on=state == "on")
    show_one(contract.client(context.office, context.operator, nip), as_json, client_line)


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


@client.command("rename")
@click.argument("nip")
@click.argument("name")
@click.pass_obj
def client_rename(context: Context, nip: str, name: str) -> None:
    """Zmienia nazwę klienta."""
    from ksef_tui.services import clients

    clients.rename(context.office, context.operator, clients.id_of(context.office, nip), name)


@client.command("sync")
@click.option("--identity", "label", help="profil biura, którym od razu autoryzować nowych klientów")
@json_option
@click.pass_obj
def client_sync(context: Context, label: str | None, as_json: bool) -> None:
    """Dodaje klientów, którzy nadali biuru uprawnienia w KSeF, i sprawdza tych, u których coś się zmieniło."""
    from ksef_tui.cli.runs import PageTeller, complaint, wait_for
    from ksef_tui.services import contract, identities, syncing

    office, operator = context.office, context.operator
    identity_id = identities.named(office, label)["id"] if label is not None else None
    teller = PageTeller()
    found = asyncio.run(syncing.preview(office, operator, teller))
    teller.end()
    done = syncing.apply(office, operator, found, identity_id)
    if done.runs:
        wait_for(context, done.runs)
    added, changed = (
        [contract.authorization_by_id(office, operator, i) for i in ids]
        for ids in (reversed(done.added), (*done.to_check, *done.noted))
    )
    report = {"received": found.received, "added": added, "changed": changed, "archived": list(found.archived)}
    show_one(report, as_json, _sync_lines)
    if said := complaint(context, done.runs, done.added):
        fail(said)


def _sync_lines(report: dict[str, Any]) -> str:
    head = f"Uprawnienia nadało biuru klientów: {report['received']}. Dodano: {len(report['added'])}."
    lines = [head, *(f"+ {client_line(row)}" for row in report["added"])]
    lines += [f"~ {client_line(row)}" for row in report["changed"]]
    return "\n".join([*lines, *(f"! {nip}  obsługa zakończona, a uprawnienia są" for nip in report["archived"])])


@client.command("letter")
@click.argument("nip")
@click.option("--to", "file", type=FILE, default="-", help="plik; bez tego albo z - na stdout")
@click.option("--sent", is_flag=True, help="zapamiętaj, że pismo wysłano dzisiaj")
@click.option("--end", "goodbye", is_flag=True, help="pismo na koniec obsługi: które uprawnienia odebrać")
@click.pass_obj
def client_letter(context: Context, nip: str, file: Path, sent: bool, goodbye: bool) -> None:
    """Pismo do klienta: jakie uprawnienia nadać biuru w KSeF i gdzie, albo (--end) które odebrać."""
    from ksef_tui.services import authorising, clients, letters

    if sent and goodbye:
        raise click.UsageError("--sent dotyczy prośby o nadanie uprawnień, nie pisma na koniec obsługi.")
    client_id = clients.id_of(context.office, nip)
    text = (letters.goodbye if goodbye else letters.letter)(context.office, context.operator, client_id)
    to_stdout = str(file) == "-"
    if not to_stdout:
        write_file(file, text.encode())
    if sent:
        authorising.requested(context.office, context.operator, client_id)
    if to_stdout:
        write_file(file, text.encode())


@client.command("end")
@click.argument("nip")
@click.option("--to", "file", type=FILE, help="zapisz pismo do klienta: które uprawnienia odebrać; - na stdout")
@wait_option
@json_option
@click.pass_obj
def client_end(context: Context, nip: str, file: Path | None, no_wait: bool, as_json: bool) -> None:
    """Kończy obsługę klienta: wstrzymuje jego faktury, kończy logowania biura w KSeF i niszczy zapisane tokeny."""
    from ksef_tui.services import clients, contract, ending, letters, own_work

    office, operator = context.office, context.operator
    client_id = clients.id_of(office, nip)
    ending.preview(office, operator, client_id)  # a letter is not written for an end that is refused
    to_stdout = file is not None and str(file) == "-"
    letter = letters.goodbye(office, operator, client_id).encode()
    if file is not None and not to_stdout:
        write_file(file, letter)
    done = ending.end(office, operator, client_id)
    if not no_wait:
        try:
            asyncio.run(own_work.carry_out(office, client_id, patience=END_PATIENCE))
        except Problem as problem:
            if problem.code != "timeout":
                raise
    row = contract.authorization_by_id(office, operator, client_id)
    if to_stdout:
        write_file(Path("-"), letter)
    else:
        show_one(row, as_json, client_line)
    if done.held:
        click.echo(plain(f"Wstrzymano: {ending.named(done.held)}."), err=True)
    if row["reason_code"] == "unreachable":
        fail(f"Obsługa jest zakończona. {row['reason']}")


@client.command("resume")
@click.argument("nip")
@json_option
@click.pass_obj
def client_resume(context: Context, nip: str, as_json: bool) -> None:
    """Wznawia obsługę klienta; autoryzuje się go od nowa."""
    from ksef_tui.services import clients, contract, ending

    office, operator = context.office, context.operator
    client_id = clients.id_of(office, nip)
    ending.resume(office, operator, client_id)
    show_one(contract.authorization_by_id(office, operator, client_id), as_json, client_line)


@client.command("archive")
@click.argument("nip")
@click.pass_obj
def client_archive(context: Context, nip: str) -> None:
    """Zdejmuje klienta z list i wylogowuje biuro z jego konta w KSeF."""
    from ksef_tui.services import clients, own_work

    client_id = clients.id_of(context.office, nip)
    clients.archive(context.office, context.operator, client_id)
    with suppress(Problem):  # it is off the lists; what is left of the logout a worker does
        asyncio.run(own_work.carry_out(context.office, client_id, patience=LOGOUT_PATIENCE))


identity = group("identity", "Profile biura: czyim certyfikatem podpisuje program.")
identity.add_command(identity_reserve)
identity.add_command(identity_takeover)


@identity.command("add")
@click.argument("label")
@click.option("--certificate", type=click.Path(path_type=Path, dir_okay=False))
@click.option("--key", "key_file", type=click.Path(path_type=Path, dir_okay=False))
@click.option("--pkcs12", type=click.Path(path_type=Path, dir_okay=False))
@click.option("--password-stdin", is_flag=True, help="hasło w pierwszym wierszu stdin")
@click.option("--client", "nip", help="NIP klienta samoobsługowego: jego własny certyfikat, tylko dla niego")
@json_option
@click.pass_obj
def identity_add(
    context: Context,
    label: str,
    certificate: Path | None,
    key_file: Path | None,
    pkcs12: Path | None,
    password_stdin: bool,
    nip: str | None,
    as_json: bool,
) -> None:
    """Dodaje profil z plików certyfikatu i klucza; pokazuje, co w nich znalazł."""
    from ksef_tui.services import clients, contract, identities

    if (pkcs12 is None) == (certificate is None or key_file is None):
        raise click.UsageError("Podaj --certificate i --key, albo --pkcs12.")
    main_file = pkcs12 or certificate
    assert main_file is not None
    office, operator = context.office, context.operator  # the office's passphrase is the first line of stdin
    password = stdin_line() if password_stdin else None
    certificate_bytes, key_bytes = read_file(main_file), read_file(key_file) if key_file else None
    client_id = clients.id_of(office, nip) if nip is not None else None
    identities.free_label(office, label)
    try:
        found = identities.inspect(office, operator, certificate_bytes, key_bytes, password, client_id=client_id)
    except Problem as problem:
        if problem.code != "wrong_password" or password_stdin or not someone_types():
            raise
        password = Secret(click.prompt("Hasło do klucza", hide_input=True, err=True))
        found = identities.inspect(office, operator, certificate_bytes, key_bytes, password, client_id=client_id)
    if not as_json:
        whose = clients.name_of(office, client_id) if client_id is not None else ""
        click.echo("\n".join(plain(line) for line in identities.words(found, whose)))
    identities.add(office, operator, label, certificate_bytes, key_bytes, password, client_id=client_id)
    if as_json:
        rows = contract.identities(office, operator, 0)
        show_one(next(row for row in rows if row["label"] == label.strip()), True, str)


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
        lambda r: (
            f"{r['label']}  {r['subject']}  {r['name']}  ważny do {r['valid_to'][:10]}"
            + (f"  tylko klient {r['client']}" if r["client"] else "")
            + ("  ZABLOKOWANY PRZEZ MF" if r["stopped_at"] else "")
        ),
    )


@identity.command("resume")
@click.argument("label")
@click.pass_obj
def identity_resume(context: Context, label: str) -> None:
    """Wznawia profil, który zablokowało MF – gdy KSeF znów go wpuszcza; najpierw to sprawdza."""
    from ksef_tui.services import standing_identities

    asyncio.run(standing_identities.resume(context.office, context.operator, label))


@identity.command("remove")
@click.argument("label")
@click.pass_obj
def identity_remove(context: Context, label: str) -> None:
    """Usuwa profil i niszczy jego klucz."""
    from ksef_tui.services import identities

    identities.remove(context.office, context.operator, label)
