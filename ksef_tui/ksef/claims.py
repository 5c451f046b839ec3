"""What a JWT of KSeF says about itself: hints for people and for the check of the context, never proof (facts §4.6)."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import msgspec

from ksef_tui.domain.secret import Secret


@dataclass(frozen=True, slots=True)
class Claims:
    """The claims we use; None or empty where the token does not say.

    `permissions` are the effective ones: `pep` if there, else `per` without `pec`; an owner has `Owner`.
    """

    context_type: str | None = None
    context_value: str | None = None
    permissions: tuple[str, ...] = ()
    roles: tuple[str, ...] = ()
    subject_type: str | None = None
    subject_value: str | None = None
    auth_method: str | None = None
    auth_reference: str | None = None
    token_type: str | None = None
    issued_at: datetime | None = None
    expires_at: datetime | None = None


# Each claim by its short name in real tokens and its long one in the OpenAPI examples.
_NAMES = {
    "typ": ("typ", "token-type"),
    "cit": ("cit", "context-identifier-type"),
    "civ": ("civ", "context-identifier-value"),
    "aum": ("aum", "authentication-method"),
    "arn": ("arn", "authentication-reference-number", "operation-reference-number"),
    "sud": ("sud", "subject-details"),
    "per": ("per", "permissions"),
    "pec": ("pec", "permissions-excluded"),
    "rol": ("rol", "roles"),
    "pep": ("pep", "permissions-effective", "effective-permissions"),
}


def read(jwt: Secret) -> Claims:
    """The claims of a token. Whatever cannot be read is left out; this never raises."""
    _rich_traceback_omit = True
    payload = _payload(jwt)
    values = {short: next((payload[n] for n in names if n in payload), None) for short, names in _NAMES.items()}
    granted, excluded, effective = (_list(values[name]) for name in ("per", "pec", "pep"))
    roles = _list(values["rol"])
    permissions = effective or tuple(name for name in granted if name not in excluded)
    if "Owner" in (*granted, *roles) and "Owner" not in permissions:
        permissions = ("Owner", *permissions)
    subject_type, subject_value = _subject(values["sud"])
    return Claims(
        context_type=_text(values["cit"]),
        context_value=_text(values["civ"]),
        permissions=tuple(dict.fromkeys(permissions)),
        roles=roles,
        subject_type=subject_type,
        subject_value=subject_value,
        auth_method=_text(values["aum"]),
        auth_reference=_text(values["arn"]),
        token_type=_text(values["typ"]),
        issued_at=_moment(payload.get("iat")),
        expires_at=_moment(payload.get("exp")),
    )


def _payload(jwt: Secret) -> dict[str, Any]:
    _rich_traceback_omit = True
    parts = jwt.reveal().split(b".")
    if len(parts) != 3:
        return {}
    try:
        document = msgspec.json.decode(base64.urlsafe_b64decode(parts[1] + b"=" * (-len(parts[1]) % 4)))
    except (binascii.Error, ValueError, RecursionError):
        return {}
    return document if isinstance(document, dict) else {}


def _unquoted(value: object) -> object:
    """A value that was serialised into a string, perhaps twice."""
    for _ in range(3):
        if not isinstance(value, str) or not value.strip().startswith(("[", "{", '"')):
            break
        try:
            value = msgspec.json.decode(value)
        except (ValueError, RecursionError):
            break
    return value


def _list(value: object) -> tuple[str, ...]:
    value = _unquoted(value)
    if isinstance(value, str):
        return tuple(part for part in value.replace(",", " ").split() if part)
    items: Iterable[object] = value if isinstance(value, list) else ()
    return tuple(item for item in items if isinstance(item, str) and item)


def _subject(value: object) -> tuple[str | None, str | None]:
    document = _unquoted(value)
    if not isinstance(document, dict):
        return None, None
    folded = {str(key).casefold(): item for key, item in document.items()}
    identifier = _unquoted(folded.get("subjectidentifier", document))
    if not isinstance(identifier, dict):
        return None, None
    fields = {str(key).casefold(): item for key, item in identifier.items()}
    return _text(fields.get("type")), _text(fields.get("value"))


def _text(value: object) -> str | None:
    return value if isinstance(value, str) and value else None


def _moment(value: object) -> datetime | None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        return datetime.fromtimestamp(value, UTC)
    except (ValueError, OverflowError, OSError):
        return None
