"""Waiting for a run over many clients: progress on stderr, and Ctrl+C that stops it."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Sequence
from time import monotonic
from typing import TYPE_CHECKING

import click

from ksef_tui.cli.shared import Context, client_line, fail, plain, show

if TYPE_CHECKING:
    from ksef_tui.services.bulk import Begun, Progress
    from ksef_tui.services.syncing import Reading

ON_A_TERMINAL, IN_A_LOG = 1.0, 10.0  # seconds between two lines of progress


class Line:
    """A line on stderr that says how something stands: on a terminal always the same one, else one now and then."""

    def __init__(self) -> None:
        self._said = ""
        self._terminal = sys.stderr.isatty()
        self._pause = ON_A_TERMINAL if self._terminal else IN_A_LOG
        self._at = monotonic() - (self._pause if self._terminal else 0)

    def say(self, text: str) -> None:
        """Say it, unless that was said or too little time has passed."""
        now, line = monotonic(), plain(text)
        if line == self._said or now - self._at < self._pause:
            return
        self._said, self._at = line, now
        click.echo(f"\r{line}\x1b[K" if self._terminal else line, err=True, nl=not self._terminal)

    def end(self) -> None:
        """Leave the line to what comes."""
        if self._terminal and self._said:
            click.echo("\r\x1b[K", err=True, nl=False)


class Teller(Line):
    """How runs stand."""

    def __init__(self) -> None:
        super().__init__()
        self._stands: dict[int, str] = {}

    def __call__(self, one: Progress) -> None:
        self._stands[one.run_id] = one.sentence
        self.say("; ".join(self._stands.values()))


class PageTeller(Line):
    """How far a list has been read."""

    def __call__(self, one: Reading) -> None:
        self.say(one.sentence)


def wait_for(context: Context, begun: Sequence[Begun]) -> None:
    """Serve these runs until they are over, beside whoever else does. Ctrl+C stops those that were begun here."""
    from ksef_tui.services import bulk, bulk_work

    office, operator, teller = context.office, context.operator, Teller()
    for one in begun:
        if one.joined:
            click.echo("To samo już trwa: czekam na wspólny koniec.", err=True)
        for reason, count in one.skipped.items():
            click.echo(plain(f"Pominięto {count}: {reason}."), err=True)
    try:
        asyncio.run(bulk_work.see_through(office, operator, [one.run_id for one in begun], teller))
    except KeyboardInterrupt:
        left = sum(bulk.stop(office, operator, one.run_id) for one in begun if not one.joined)
        teller.end()
        fail(f"Przerwano. Klientów, do których program nie doszedł: {left}.")
    teller.end()


def complaint(context: Context, begun: Sequence[Begun], client_ids: Sequence[int]) -> str:
    """Who of these clients needs a person after the runs, in one Polish line; empty when nobody does."""
    from ksef_tui.services import bulk

    mine, office, operator = set(client_ids), context.office, context.operator
    asked = [one for run in begun for one in bulk.members(office, operator, run.run_id) if one.client_id in mine]
    found = [one for one in asked if one.attention]
    said = [one.reason if one.name in one.reason else f"{one.name}: {one.reason}" for one in found[:3]]
    if len(found) > 3:
        said.append(f"… i jeszcze {len(found) - 3}.")
    if left := [one for one in asked if one.state == "stopped"]:
        said.append(f"{left[0].reason} Zostało {len(left)}.")
    return " ".join(said)


def run_over_many(
    context: Context,
    kind: str,
    client_ids: Sequence[int],
    no_wait: bool,
    as_json: bool,
    identity_id: int | None = None,
    stopped: Sequence[int] = (),
) -> None:
    """Ask the same for many clients; wait, show them all, and end with 1 unless all is well. `stopped`: clients that
    belong to them, but are not asked about while the ministry keeps their identity out (F27)."""
    from ksef_tui.services import bulk, contract

    office, operator = context.office, context.operator
    begun = [bulk.begin(office, operator, kind, client_ids, identity_id)] if client_ids else []
    if not no_wait:
        wait_for(context, begun)
    rows = [contract.authorization_by_id(office, operator, one) for one in (*client_ids, *stopped)]
    show(rows, as_json, client_line)
    said = complaint(context, begun, client_ids)
    if stopped:
        said = f"{said} Nie sprawdzono {len(stopped)}: {rows[-1]['reason']}".strip()
    if said and not no_wait:
        fail(said)
