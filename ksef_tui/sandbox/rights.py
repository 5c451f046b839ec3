"""Who may do what where: owner, direct grants, and indirect grants cut by what the client delegated (facts §7.1)."""

from __future__ import annotations

import ipaddress
import json
from dataclasses import dataclass
from typing import Any

from ksef_tui.sandbox.clock import now_ms
from ksef_tui.sandbox.state import State

INVOICE_WRITE = "InvoiceWrite"
INVOICE_READ = "InvoiceRead"
CREDENTIALS_MANAGE = "CredentialsManage"
CREDENTIALS_READ = "CredentialsRead"
INTROSPECTION = "Introspection"
SUBUNIT_MANAGE = "SubunitManage"
ENFORCEMENT = "EnforcementOperations"
PEF_INVOICE_WRITE = "PefInvoiceWrite"
COLLECTIVE = "CollectiveIdentifierManage"
VAT_UE_MANAGE = "VatUeManage"

# What an owner has: everything but VatUeManage, which belongs to composite contexts.
OWNER = (
    CREDENTIALS_MANAGE,
    CREDENTIALS_READ,
    INVOICE_WRITE,
    INVOICE_READ,
    INTROSPECTION,
    SUBUNIT_MANAGE,
    ENFORCEMENT,
    COLLECTIVE,
)
# What one may grant to a person and ask for in a token.
SCOPES = OWNER
DELEGABLE = (INVOICE_WRITE, INVOICE_READ, COLLECTIVE)

Identifier = tuple[str, str]


@dataclass(frozen=True)
class Rights:
    """What a subject may do in a context; nothing at all means that it cannot log in there."""

    owner: bool
    permissions: tuple[str, ...]

    @property
    def any(self) -> bool:
        """Whether the subject may log in."""
        return self.owner or bool(self.permissions)


def identities(state: State, subject: Identifier) -> set[Identifier]:
    """The subject and the NIP or PESEL officially linked with it."""
    kind, value = subject
    same = {subject}
    if kind == "Pesel":
        same |= {("Nip", row["nip"]) for row in state.rows("SELECT nip FROM person WHERE pesel = ?", value)}
    if kind == "Nip":
        same |= {("Pesel", row["pesel"]) for row in state.rows("SELECT pesel FROM person WHERE nip = ?", value)}
    return same


def is_deceased(state: State, subject: Identifier) -> bool:
    """Whether the register says that this person is dead."""
    column = {"Pesel": "pesel", "Nip": "nip"}.get(subject[0])
    if column is None:
        return False
    sql = f"SELECT max(deceased) FROM person WHERE {column} = ?"  # noqa: S608 one of two words
    return bool(state.value(sql, subject[1]))


def rights_of(state: State, subject: Identifier, context: Identifier) -> Rights:
    """The effective rights now."""
    same = identities(state, subject)
    if context in same:
        return Rights(owner=True, permissions=OWNER)
    found: set[str] = set()
    for kind, value in same:
        found |= {row["scope"] for row in _direct(state, kind, value, context[1])}
        found |= _indirect(state, kind, value, context[1])
    return Rights(owner=False, permissions=tuple(scope for scope in SCOPES if scope in found))


def _direct(state: State, kind: str, value: str, context: str) -> list[Any]:
    sql = """
        SELECT scope FROM permission
        WHERE context_value = ? AND authorized_type = ? AND authorized_value = ? AND kind NOT IN ('indirect', 'authorization')
          AND revoked IS NULL AND starts <= ?"""
    return state.rows(sql, context, kind, value, now_ms())


def _indirect(state: State, kind: str, value: str, context: str) -> set[str]:
    """Grants that partners of this client gave to the person, as far as the client delegated them."""
    sql = """
        SELECT scope, context_value FROM permission
        WHERE kind = 'indirect' AND authorized_type = ? AND authorized_value = ?
          AND (target_type = 'AllPartners' OR target_value = ?) AND revoked IS NULL AND starts <= ?"""
    return {
        row["scope"]
        for row in state.rows(sql, kind, value, context, now_ms())
        if delegated(state, context, row["context_value"], row["scope"])
    }


def delegated(state: State, client: str, partner: str, scope: str | None = None) -> bool:
    """Whether the client gave the partner this right (or any) to pass on."""
    sql = """
        SELECT 1 FROM permission
        WHERE kind = 'entity' AND context_value = ? AND authorized_type = 'Nip' AND authorized_value = ?
          AND can_delegate AND revoked IS NULL AND starts <= ? AND scope = ifnull(?, scope)"""
    return state.value(sql, client, partner, now_ms(), scope) is not None


def authorizations(state: State, seller: str, context: str) -> set[str]:
    """What the seller lets this company do in its own context, e.g. SelfInvoicing."""
    sql = """SELECT scope FROM permission WHERE kind = 'authorization' AND context_value = ? AND authorized_value = ?
             AND revoked IS NULL AND starts <= ?"""
    return {row["scope"] for row in state.rows(sql, seller, context, now_ms())}


def attachments_allowed(state: State, nip: str) -> bool:
    """Whether the taxpayer declared invoices with attachments, and has not taken it back (facts §11)."""
    sql = "SELECT 1 FROM attachment WHERE nip = ? AND (revoked IS NULL OR revoked > ?)"
    return state.value(sql, nip, now_ms()) is not None


def address_allowed(policy: str | None, address: str) -> bool:
    """Whether the IP policy of the login (JSON, None: no policy) lets this address in."""
    rules = json.loads(policy) if policy else {}
    allowed = [(name, text) for name in ("ip4Addresses", "ip4Ranges", "ip4Masks") for text in rules.get(name) or []]
    if not allowed:
        return True
    try:
        here = ipaddress.IPv4Address(address)
    except ValueError:
        return False
    return any(_covers(name, text, here) for name, text in allowed)


def _covers(name: str, text: str, here: ipaddress.IPv4Address) -> bool:
    if name == "ip4Addresses":
        return here == ipaddress.IPv4Address(text)
    if name == "ip4Masks":
        return here in ipaddress.IPv4Network(text, strict=False)
    first, _, last = text.partition("-")
    return ipaddress.IPv4Address(first) <= here <= ipaddress.IPv4Address(last)
