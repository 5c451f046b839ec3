"""What a person is told when something is refused: a code for scripts, one plain Polish line for people."""

from __future__ import annotations


class Problem(Exception):
    """A refusal that a person must read.

    `code` is stable and in English (`unknown_operator`); `message` is one Polish sentence that says
    what is wrong and, where possible, what to do. Commands print it and end with 1, screens show it.
    """

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message

    def __str__(self) -> str:
        return self.message
