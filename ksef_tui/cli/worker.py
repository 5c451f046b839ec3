"""The worker as a command."""

from __future__ import annotations

import asyncio
import getpass
import os
import signal
import sys
from contextlib import suppress

import click

from ksef_tui.cli.shared import (
    Context,
    fail,
    plain,
    program,
)

GRACE = 3.0  # seconds that calls under way get when the time is over; what they led to is found out later


@program.command()
@click.option("--until-idle", is_flag=True, help="kończy, gdy nic już nie może się ruszyć")
@click.option("--timeout", type=click.FloatRange(min=0), help="najwyżej tyle sekund; potem kończy z 1")
@click.option("--print-unit", is_flag=True, help="wypisuje plik usługi systemd i kończy")
@click.option("--until-eof", is_flag=True, hidden=True)
@click.pass_obj
def worker(context: Context, until_idle: bool, timeout: float | None, print_unit: bool, until_eof: bool) -> None:
    """Wysyła: zamienia zapisane zamiary na wywołania KSeF."""
    from ksef_tui.services import supervised
    from ksef_tui.services.standing import standing

    office, operator = context.office, context.operator
    if print_unit:
        how = [sys.executable, "-m", "ksef_tui"]
        click.echo(supervised.unit(office, operator, getpass.getuser(), how), nl=False)
        return
    supervised.begin(office, operator)
    in_time = asyncio.run(_serve(context, until_idle=until_idle, timeout=timeout, until_eof=until_eof))
    if until_idle:
        for nip, name, count, why in standing(office, operator):
            click.echo(plain(f"{name} (NIP {nip}): {count} czeka – {why}"), err=True)
    if not in_time:
        fail("Nie wszystko zostało zrobione w wyznaczonym czasie.")


async def _serve(context: Context, *, until_idle: bool, timeout: float | None, until_eof: bool) -> bool:
    """Whether it ended by itself, or because it was told to, before the time was over."""
    from ksef_tui.services.supervised import Notifier, supervise
    from ksef_tui.services.worker import Worker

    serving = Worker(context.office, until_idle=until_idle, tell=lambda text: click.echo(plain(text), err=True))
    serving.closes_sessions = True
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        loop.add_signal_handler(number, serving.stop)
    if until_eof and sys.stdin is not None:
        loop.add_reader(sys.stdin.fileno(), lambda: None if os.read(sys.stdin.fileno(), 4096) else serving.stop())
    run, told = asyncio.create_task(serving.run()), asyncio.create_task(supervise(serving, Notifier()))
    done, _ = await asyncio.wait({run}, timeout=timeout)
    if not done:
        serving.stop_within = GRACE
        serving.stop()
    try:
        await run
    finally:
        with suppress(TimeoutError):
            await asyncio.wait_for(told, 1.0) if serving.stopping.is_set() else told.cancel()
    return bool(done)
