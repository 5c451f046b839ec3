"""The worker as a command."""

from __future__ import annotations

import asyncio
import os
import signal
import sys

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
@click.option("--timeout", type=float, help="najwyżej tyle sekund; potem kończy z 1")
@click.option("--until-eof", is_flag=True, hidden=True)
@click.pass_obj
def worker(context: Context, until_idle: bool, timeout: float | None, until_eof: bool) -> None:
    """Wysyła: zamienia zapisane zamiary na wywołania KSeF."""
    from ksef_tui.services import batches, sealing
    from ksef_tui.services.standing import standing
    from ksef_tui.services.worker import Worker

    office, operator = context.office, context.operator
    _ = office.sealer  # a missing key is said now, not at the first invoice
    sealing.drop_left_over(office)
    batches.drop_left_over(office)

    async def work() -> bool:
        """Whether it ended by itself, before the time was over."""
        serving = Worker(office, until_idle=until_idle, tell=lambda text: click.echo(plain(text), err=True))
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            loop.add_signal_handler(number, serving.stop)
        if until_eof and sys.stdin is not None:
            loop.add_reader(sys.stdin.fileno(), lambda: None if os.read(sys.stdin.fileno(), 4096) else serving.stop())
        run = asyncio.create_task(serving.run())
        done, _ = await asyncio.wait({run}, timeout=timeout)
        if not done:
            serving.stop()
            await asyncio.wait({run}, timeout=GRACE)
            serving.abandon()
        await run
        return bool(done)

    in_time = asyncio.run(work())
    if until_idle:
        for nip, name, count, why in standing(office, operator):
            click.echo(plain(f"{name} (NIP {nip}): {count} czeka – {why}"), err=True)
    if not in_time:
        fail("Nie wszystko zostało zrobione w wyznaczonym czasie.")
