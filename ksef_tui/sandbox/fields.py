"""Reading what a client sent: every mistake becomes 400 with code 21405 and the name of the field."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Mapping, Sequence
from datetime import date
from typing import Any

from ksef_tui.sandbox.clock import parse_iso
from ksef_tui.sandbox.errors import BadRequest
from ksef_tui.sandbox.numbers import fits


def invalid(name: str, text: str) -> BadRequest:
    """The refusal of one field."""
    return BadRequest(21405, f"'{name}': {text}")


class Fields:
    """A JSON object of a request; unknown properties are ignored, as KSeF does."""

    def __init__(self, values: Mapping[str, Any], where: str = "") -> None:
        self._values = values
        self._where = where

    @classmethod
    def parse(cls, body: bytes) -> Fields:
        """The object in a request body."""
        try:
            values = json.loads(body)
        except (ValueError, RecursionError) as error:
            raise BadRequest(21405, f"Treść żądania nie jest poprawnym dokumentem JSON: {error}") from error
        if not isinstance(values, dict):
            raise BadRequest(21405, "Treść żądania musi być obiektem JSON.")
        return cls(values)

    def name(self, field: str) -> str:
        """The full name of a field for messages."""
        return f"{self._where}.{field}" if self._where else field

    def has(self, field: str) -> bool:
        """Whether the field is there and not null."""
        return self._values.get(field) is not None

    def filled(self, field: str) -> bool:
        """Whether the field is there and not null or empty."""
        return bool(self._values.get(field))

    def _need(self, field: str, kind: type) -> Any:
        value = self._values.get(field)
        if value is None:
            raise invalid(self.name(field), "pole jest wymagane.")
        if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
            raise invalid(self.name(field), "wartość ma nieprawidłowy typ.")
        return value

    def text(self, field: str, shortest: int = 0, longest: int = 50_000_000) -> str:
        """A string of this length."""
        value: str = self._need(field, str)
        if not value.isascii() and any("\ud800" <= character <= "\udfff" for character in value):
            raise invalid(self.name(field), "wartość nie jest poprawnym tekstem.")
        if not shortest <= len(value) <= longest:
            raise invalid(self.name(field), f"długość musi być od {shortest} do {longest} znaków.")
        return value

    def choice(self, field: str, allowed: Sequence[str]) -> str:
        """One of the values of an enumeration."""
        value = self.text(field)
        if value not in allowed:
            raise invalid(self.name(field), f"wartość '{value}' jest spoza zbioru {', '.join(allowed)}.")
        return value

    def integer(self, field: str, lowest: int, highest: int) -> int:
        """A whole number in this range."""
        value: int = self._need(field, int)
        if not lowest <= value <= highest:
            raise invalid(self.name(field), f"wartość musi być od {lowest} do {highest}.")
        return value

    def flag(self, field: str, default: bool | None = None) -> bool:
        """A boolean; required when no default is given."""
        if default is not None and not self.has(field):
            return default
        value: bool = self._need(field, bool)
        return value

    def inner(self, field: str) -> Fields:
        """An object inside."""
        return Fields(self._need(field, dict), self.name(field))

    def inners(self, field: str) -> list[Fields]:
        """A list of objects, at least one."""
        values = self._need(field, list)
        if not values or not all(isinstance(v, dict) for v in values):
            raise invalid(self.name(field), "lista musi zawierać co najmniej jeden obiekt.")
        return [Fields(v, f"{self.name(field)}[{n}]") for n, v in enumerate(values)]

    def choices(self, field: str, allowed: Sequence[str]) -> list[str]:
        """A list of different values of an enumeration, at least one."""
        values = self._need(field, list)
        if not values:
            raise invalid(self.name(field), "lista nie może być pusta.")
        for value in values:
            if value not in allowed:
                raise invalid(self.name(field), f"wartość '{value}' jest spoza zbioru {', '.join(allowed)}.")
        if len(set(values)) != len(values):
            raise invalid(self.name(field), "wartości nie mogą się powtarzać.")
        return list(values)

    def texts(self, field: str) -> list[str]:
        """A list of strings; empty when it is not there."""
        values = self._need(field, list) if self.has(field) else []
        if not all(isinstance(value, str) for value in values):
            raise invalid(self.name(field), "wartość ma nieprawidłowy typ.")
        return list(values)

    def identifier(self, field: str, kinds: Sequence[str]) -> tuple[str, str]:
        """An object `{type, value}` whose value has the shape of its type."""
        inner = self.inner(field)
        kind = inner.choice("type", kinds)
        value = inner.text("value")
        if not fits(kind, value):
            raise invalid(inner.name("value"), f"nieprawidłowy identyfikator typu {kind}.")
        return kind, value

    def shaped(self, field: str, kind: str) -> str:
        """An identifier without a type, e.g. a NIP."""
        value = self.text(field)
        if not fits(kind, value):
            raise invalid(self.name(field), f"nieprawidłowy identyfikator typu {kind}.")
        return value

    def binary(self, field: str, length: int | None = None) -> bytes:
        """Base64, of so many bytes when decoded."""
        try:
            value = base64.b64decode(self.text(field), validate=True)
        except (binascii.Error, ValueError) as error:
            raise invalid(self.name(field), "nieprawidłowe kodowanie Base64.") from error
        if length is not None and len(value) != length:
            raise invalid(self.name(field), f"oczekiwano {length} bajtów.")
        return value

    def digest(self, field: str) -> str:
        """A SHA-256 in Base64, as text."""
        self.binary(field, 32)
        return self.text(field, 44, 44)

    def moment(self, field: str) -> int:
        """A moment, in milliseconds."""
        try:
            return parse_iso(self.text(field))
        except ValueError as error:
            raise invalid(self.name(field), "nieprawidłowa data.") from error

    def day(self, field: str) -> str:
        """A calendar day, ISO."""
        try:
            return date.fromisoformat(self.text(field)).isoformat()
        except ValueError as error:
            raise invalid(self.name(field), "nieprawidłowa data.") from error

    def number(self, field: str) -> float:
        """A number, whole or not."""
        value = self._need(field, object)
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise invalid(self.name(field), "wartość ma nieprawidłowy typ.")
        return float(value)
