"""The identities that people sign with, as screens and commands show them."""

from __future__ import annotations

import sqlite3

from ksef_tui.domain.roles import Operator
from ksef_tui.domain.times import from_text
from ksef_tui.services.office import Office
from ksef_tui.services.views import IdentityRow

_IDENTITIES = """
SELECT i.*, o.login AS personal_to, c.nip AS client_nip,
       (SELECT count(*) FROM authorization a WHERE a.identity_id = i.id AND a.method = 'certificate') AS clients
FROM identity i LEFT JOIN operator o ON o.id = i.operator_id LEFT JOIN client c ON c.id = i.client_id
WHERE i.removed_at IS NULL ORDER BY i.label
"""


def identities(
    office: Office, operator: Operator, client_id: int | None = None, *, everybodys: bool = False
) -> list[IdentityRow]:
    """The identities in use that this operator may sign with: the office's, and their own; of clients' own ones those of
    the client with `client_id`, or all (`everybodys`: to look at, not to sign with)."""
    return [
        IdentityRow(
            id=row["id"],
            label=row["label"],
            subject=f"{row['subject_type'].upper()} {row['subject_value']}",
            name=row["common_name"],
            serial=row["serial"],
            fingerprint=row["fingerprint"],
            key_kind=row["key_kind"],
            valid_from=from_text(row["valid_from"]),
            valid_to=from_text(row["valid_to"]),
            kind=row["kind"],
            personal_to=row["personal_to"] or "",
            clients=row["clients"],
            replaced=row["replaced_by"] is not None,
            revoked_at=from_text(row["revoked_at"]) if row["revoked_at"] else None,
            stopped_at=from_text(row["stopped_at"]) if row["stopped_at"] else None,
            client=row["client_nip"] or "",
            marks=_marks(row),
        )
        for row in office.db.rows(_IDENTITIES)
        if operator.client_id is None and row["operator_id"] in (None, operator.id)
        if everybodys or row["client_id"] in (None, client_id)
    ]


def _marks(row: sqlite3.Row) -> tuple[str, ...]:
    found = []
    if row["stopped_at"] is not None:
        found.append("zablokowany przez MF")
    if row["client_id"] is not None:
        found.append("własny klienta")
    if row["revoked_at"] is not None:
        found.append("odwołany")
    elif row["replaced_by"] is not None:
        found.append("zastąpiony nowym")
    return tuple(found)
