"""A secret is seen only by who asks for it."""

from __future__ import annotations

import copy
import json
import logging
import pickle
import traceback
from io import StringIO

import pytest
from rich.console import Console
from rich.pretty import pretty_repr

from ksef_tui.domain.secret import Secret

WORD = "bardzo-tajne-hasło"


@pytest.mark.parametrize("value", [WORD, WORD.encode()])
def test_it_is_seen_by_asking_only(value: str | bytes) -> None:
    secret = Secret(value)
    assert secret.reveal() == WORD.encode()
    assert secret.reveal_text() == WORD
    for shown in (
        repr(secret),
        str(secret),
        f"{secret}",
        f"{secret:>30}",
        f"{secret!r}",
        repr([secret]),
    ):
        assert "tajne" not in shown
        assert "***" in shown
    assert "tajne" not in pretty_repr({"key": secret})


def test_it_cannot_leave_by_pickle_copy_or_json() -> None:
    for way_out in (pickle.dumps, copy.copy, copy.deepcopy, json.dumps):
        with pytest.raises(TypeError):
            way_out(Secret(WORD))
    assert not hasattr(Secret(WORD), "__dict__")


def test_it_is_not_in_a_log_or_a_traceback_with_local_variables() -> None:
    token = Secret(WORD)
    log = StringIO()
    logger = logging.getLogger("test_secret")
    logger.addHandler(logging.StreamHandler(log))
    logger.warning("logged in with %s", token)
    try:
        raise ValueError(token)
    except ValueError as error:
        plain = "".join(traceback.TracebackException.from_exception(error, capture_locals=True).format())
        console = Console(file=StringIO(), width=200, record=True)
        console.print_exception(show_locals=True)
    rich_text = console.export_text()
    for shown in (log.getvalue(), plain, rich_text):
        assert "***" in shown
        # the word itself is in this file's source lines only as the name WORD
        assert WORD not in shown.replace(f"WORD = '{WORD}'", "")


def test_two_secrets_are_equal_only_when_they_are_one() -> None:
    one = Secret(WORD)
    assert one == one
    assert one != Secret(WORD)
    assert one != WORD


def test_emptiness_can_be_asked() -> None:
    assert Secret(WORD)
    assert not Secret(b"")


def test_the_value_is_kept_apart_from_a_buffer_that_changes() -> None:
    buffer = bytearray(b"abc")
    secret = Secret(bytes(buffer))
    buffer[0] = 0
    assert secret.reveal() == b"abc"


def test_bytes_that_are_no_text_say_so() -> None:
    with pytest.raises(UnicodeDecodeError):
        Secret(b"\xff").reveal_text()
