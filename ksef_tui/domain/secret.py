"""A secret is its own type, so that no log line, traceback or screen shows it by accident."""

from __future__ import annotations

from typing import NoReturn


class Secret:
    """Bytes that must not be seen: a key, a token, a password.

    `repr`, `str` and `format` show stars; it cannot be pickled; equality is by identity.
    The only way in is `reveal()`, which is easy to search for in a review.
    """

    __slots__ = ("_value",)

    def __init__(self, value: bytes | str) -> None:
        self._value = value.encode() if isinstance(value, str) else bytes(value)

    def reveal(self) -> bytes:
        """The plain bytes."""
        return self._value

    def reveal_text(self) -> str:
        """The plain text; UnicodeDecodeError when it is not UTF-8."""
        return self._value.decode()

    def __repr__(self) -> str:
        return "Secret(***)"

    __str__ = __repr__

    def __format__(self, spec: str) -> str:
        return "Secret(***)"

    def __rich_repr__(self) -> list[str]:
        return ["***"]

    def __reduce__(self) -> NoReturn:
        raise TypeError("a Secret cannot be pickled")

    def __bool__(self) -> bool:
        return bool(self._value)
