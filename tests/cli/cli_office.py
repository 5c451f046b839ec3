"""Running commands on one office and reading what they answer."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from click.testing import CliRunner, Result
from support.companies import Paper
from support.houses import LOGIN, House

from ksef_tui.cli.shared import program


class Desk:
    """A person at the command line of an office."""

    def __init__(self, house: House) -> None:
        self.house = house
        self.base = ["--data-dir", str(house.folder), "--operator", LOGIN]

    def run(self, *command: str, stdin: str | bytes | None = None, base: list[str] | None = None) -> Result:
        result = CliRunner().invoke(program, [*(self.base if base is None else base), *command], input=stdin)
        assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
        return result

    def done(self, *command: str, stdin: str | bytes | None = None) -> str:
        """The answer of a command that must end with 0."""
        result = self.run(*command, stdin=stdin)
        assert result.exit_code == 0, result.output
        return result.stdout

    def json(self, *command: str, exit_code: int = 0, stdin: str | bytes | None = None) -> Any:
        result = self.run(*command, "--json", stdin=stdin)
        assert result.exit_code == exit_code, result.output
        return json.loads(result.stdout)

    def refused(self, *command: str, stdin: str | bytes | None = None, base: list[str] | None = None) -> str:
        """The one line on stderr of a command that must end with 1 and print nothing."""
        result = self.run(*command, stdin=stdin, base=base)
        assert (result.exit_code, result.stdout) == (1, ""), result.output
        line = result.stderr.removesuffix("\n")
        assert line
        assert "\n" not in line
        assert line.isprintable()
        return line


def process(*command: str, **options: Any) -> subprocess.CompletedProcess[bytes]:
    """`python -m ksef_tui` as a process of its own, without a terminal."""
    extra = options.pop("env", {})
    env = {k: v for k, v in os.environ.items() if not k.startswith(("KSEF_TUI", "LC_", "LANG"))} | extra
    options.setdefault("stdin", subprocess.DEVNULL if "input" not in options else None)
    if "input" in options:
        options.pop("stdin")
    return subprocess.run(
        [sys.executable, "-m", "ksef_tui", *command], capture_output=True, timeout=60, env=env, **options
    )


def files(folder: Path, paper: Paper) -> tuple[str, str]:
    """A certificate and its key on disk."""
    certificate, key = folder / "pieczec.crt", folder / "pieczec.key"
    certificate.write_bytes(paper.certificate)
    key.write_bytes(paper.key)
    return str(certificate), str(key)
