"""The command for a client that signs at the office's desk."""

from __future__ import annotations

from pathlib import Path

import click

from ksef_tui.cli.shared import FILE, Context, json_option, wait_option


@click.command("onboard")
@click.argument("nip")
@click.option("--identity", "label", help="profil biura, który będzie potem pracował")
@click.option("--external", type=FILE, help="zapisz żądanie, które podpisuje klient; - na stdout")
@wait_option
@json_option
@click.pass_obj
def auth_onboard(
    context: Context, nip: str, label: str | None, external: Path | None, no_wait: bool, as_json: bool
) -> None:
    """Łączy klienta za jednym jego podpisem; bez --external dokańcza to, co stanęło."""
    from ksef_tui.cli import authorisation
    from ksef_tui.services import clients, identities, onboarding

    if label and external is None:
        raise click.UsageError("--identity podaje się razem z --external.")
    office, operator = context.office, context.operator
    client_id = clients.id_of(office, nip)
    if external is None:
        onboarding.resume(office, operator, client_id)
    else:
        identity_id = (
            identities.named(office, label)["id"] if label else onboarding.usual_profile(office, operator, client_id)
        )
        onboarding.start(office, operator, client_id, identity_id)
        if not no_wait:
            authorisation.export_request(context, client_id, external, as_json)
            return
    authorisation.end_with_status(context, [client_id], no_wait, as_json)
