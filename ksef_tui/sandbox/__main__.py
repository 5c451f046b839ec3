"""`python -m ksef_tui.sandbox`: the sandbox alone, with the options that tests need."""

from __future__ import annotations

import tempfile
from pathlib import Path

import click

from ksef_tui.sandbox.server import LIMITS, serve

_FOLDER = click.Path(file_okay=False, path_type=Path)


@click.command()
@click.option("--port", type=click.IntRange(0, 65535), default=8765, show_default=True, help="0: wolny port.")
@click.option("--data-dir", type=_FOLDER, help="Folder stanu; bez niego stan znika po zakończeniu.")
@click.option("--limits", type=click.Choice(LIMITS), default="production", show_default=True)
@click.option("--delay", type=click.IntRange(0), default=300, show_default=True, help="Czas przetwarzania w ms.")
@click.option("--latency", type=click.IntRange(0), default=0, show_default=True, help="Czas odpowiedzi w ms.")
@click.option("--url-host", default="127.0.0.1", show_default=True, help="Nazwa w wydawanych adresach.")
@click.option("--xsd-folder", type=_FOLDER, help="Folder ze schematami FA(3).")
@click.option(
    "--record", type=click.Path(dir_okay=False, path_type=Path), help="Plik, do którego trafia każda wymiana."
)
def command(
    port: int,
    data_dir: Path | None,
    limits: str,
    delay: int,
    latency: int,
    url_host: str,
    xsd_folder: Path | None,
    record: Path | None,
) -> None:
    """KSeF na tym komputerze: do ćwiczeń i testów, tylko pod adresem 127.0.0.1."""
    with tempfile.TemporaryDirectory(prefix="ksef-sandbox-") as folder:
        status = serve(
            port=port,
            data_dir=data_dir or Path(folder),
            limits=limits,
            delay_ms=delay,
            latency_ms=latency,
            url_host=url_host,
            xsd_folder=xsd_folder,
            record=record,
        )
    raise SystemExit(status)


if __name__ == "__main__":
    command()
