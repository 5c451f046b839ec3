"""Setting named columns: the one place where names become SQL."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any


def assignments(values: Mapping[str, Any], allowed: Collection[str], *before: str) -> str:
    """`a = ?, b = ?` for the columns `before` and then those of `values`. Raises ValueError unless all of these are
    `allowed`: a name that came from elsewhere must not become SQL."""
    unknown = set(values) - set(allowed)
    if unknown:
        raise ValueError(f"no such column: {unknown}")
    return ", ".join(f"{name} = ?" for name in (*before, *values))
