"""The README tells the truth: what can be generated or checked in it is."""

from __future__ import annotations

import re
from pathlib import Path

import click

from ksef_tui.cli.shared import program
from ksef_tui.domain.actions import markdown_table

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()


def between(mark: str) -> str:
    found = re.search(rf"<!-- {mark} -->\n(.*?)<!-- /{mark} -->", README, re.S)
    assert found, mark
    return found[1].strip()


def test_the_table_of_keys_is_that_of_the_program() -> None:
    assert between("keys") == markdown_table().strip()


def test_every_command_is_named() -> None:
    text = re.search(r"```\ndemo · (.*?)```", README, re.S)
    assert text
    words = set(re.findall(r"[a-z]+(?:-[a-z]+)*", "demo " + text[1]))
    context = click.Context(program)
    for name in program.list_commands(context):
        command = program.get_command(context, name)
        assert name in words, name
        if isinstance(command, click.Group):
            assert set(command.commands) <= words, name


def test_pictures_are_there() -> None:
    for picture in re.findall(r"\((screenshots/[^)]+)\)", README):
        assert (ROOT / picture).is_file(), picture
