"""Calls about rights: grants, tokens, limits (facts §5, §7, §12)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import msgspec

from ksef_tui.ksef import operations as op
from ksef_tui.ksef.calls import Calls, order_for
from ksef_tui.ksef.limits import RateLimit
from ksef_tui.ksef.models import (
    Accepted,
    Access,
    AttachmentStatus,
    ContextLimits,
    Grant,
    GrantedPerson,
    Model,
    NewToken,
    OperationStatus,
    TokenStatus,
    encode,
)
from ksef_tui.ksef.operations import Operation

OnPage = Callable[[int], None]


class _Grants(Model, frozen=True, kw_only=True):
    permissions: list[Grant] = msgspec.field(default_factory=list)
    has_more: bool = False


class _PersonalGrants(_Grants, frozen=True, kw_only=True):
    owner_permissions: Any = None  # since 2.9; of another shape one day, it must not cost the rest


@dataclass(frozen=True, slots=True)
class PersonalRights:
    """What the one who logged in may do here: grants, and for an owner the implicit permissions (facts §7.5)."""

    grants: list[Grant]
    owner_permissions: tuple[str, ...]


class PermissionCalls(Calls):
    """Who may do what, and how much."""

    async def personal_grants(
        self, access: Access, *, scopes: tuple[str, ...] = (), tell: OnPage = lambda rows: None
    ) -> list[Grant]:
        """What the one who logged in may do in this context; empty for an owner (facts §7.5). `scopes`: only these
        rights, where they are in force; `tell` hears of each page how many rows came."""
        filters = {"permissionTypes": list(scopes), "permissionState": "Active"} if scopes else {}
        return await self._grants(access, op.PERSONAL_GRANTS, filters, tell)

    async def personal_rights(self, access: Access) -> PersonalRights:
        """The same with what an owner may do, where KSeF says it; before 2.9 an owner sees nothing at all."""
        order = replace(order_for(access, op.PERSONAL_GRANTS), body=encode({}))
        owned: tuple[str, ...] = ()

        async def page(number: int) -> tuple[list[Grant], bool]:
            nonlocal owned
            query = (("pageOffset", str(number)), ("pageSize", "100"))
            answer = await self._get(replace(order, query=query), _PersonalGrants)
            found = answer.owner_permissions if isinstance(answer.owner_permissions, list) else []
            owned = owned or tuple(one for one in found if isinstance(one, str))
            if owned:  # an owner may do everything: what thousands granted to the company says no more
                return answer.permissions, False
            return answer.permissions, answer.has_more

        return PersonalRights(await self._all_offsets(page), owned)

    async def entity_grants(self, access: Access, *, tell: OnPage = lambda rows: None) -> list[Grant]:
        """What others granted to the company of this context: the office's list of clients. Needs CredentialsRead."""
        return await self._grants(access, op.ENTITY_GRANTS, {}, tell)

    async def persons_grants(self, access: Access, query_type: str) -> list[Grant]:
        """PermissionsInCurrentContext (who may work here) or PermissionsGrantedInCurrentContext (granted by us)."""
        return await self._grants(access, op.PERSONS_GRANTS, {"queryType": query_type})

    async def grant_entity(
        self, access: Access, nip: str, full_name: str, permissions: list[tuple[str, bool]], description: str
    ) -> str:
        """Grants `permissions` (each with: may be passed on) to a company; returns the operation's reference.

        `full_name` 5–90 characters, `description` 5–256 (facts §7.2).
        """
        body = encode(
            {
                "subjectIdentifier": {"type": "Nip", "value": nip},
                "permissions": [{"type": name, "canDelegate": delegate} for name, delegate in permissions],
                "description": description,
                "subjectDetails": {"fullName": full_name},
            }
        )
        return (await self._get(replace(order_for(access, op.GRANT_ENTITY), body=body), Accepted)).reference_number

    async def grant_indirect(
        self, access: Access, person: GrantedPerson, target_nip: str | None, permissions: list[str], description: str
    ) -> str:
        """Lets an employee work for one client of this office (None: for all of them); the operation's reference.

        `permissions`: InvoiceWrite, InvoiceRead; `description` 5–256 characters (facts §7.2).
        """
        target = {"type": "AllPartners"} if target_nip is None else {"type": "Nip", "value": target_nip}
        body = encode(
            {
                "subjectIdentifier": {"type": person.kind, "value": person.value},
                "targetIdentifier": target,
                "permissions": permissions,
                "description": description,
                "subjectDetails": _details(person),
            }
        )
        return (await self._get(replace(order_for(access, op.GRANT_INDIRECT), body=body), Accepted)).reference_number

    async def operation_status(self, access: Access, reference: str) -> OperationStatus:
        """How an operation on grants stands."""
        return await self._get(order_for(access, op.OPERATION_STATUS, reference), OperationStatus)

    async def revoke_grant(self, access: Access, grant_id: str) -> str:
        """Takes a grant back; returns the operation's reference."""
        return (await self._get(order_for(access, op.REVOKE_GRANT, grant_id), Accepted)).reference_number

    async def attachments_allowed(self, access: Access) -> bool:
        """Whether the taxpayer declared invoices with attachments."""
        return (await self._get(order_for(access, op.ATTACHMENTS), AttachmentStatus)).is_attachment_allowed

    async def create_token(self, access: Access, permissions: list[str], description: str) -> NewToken:
        """A new KSeF token, whose secret is shown this once. `description` 5–256 characters."""
        body = encode({"permissions": permissions, "description": description})
        return await self._get(replace(order_for(access, op.CREATE_TOKEN), body=body), NewToken)

    async def token_status(self, access: Access, reference: str) -> TokenStatus:
        """How a KSeF token stands."""
        return await self._get(order_for(access, op.TOKEN_STATUS, reference), TokenStatus)

    async def rate_limits(self, access: Access) -> dict[str, RateLimit]:
        """The limits in force in this context, by group."""
        return await self._get(order_for(access, op.RATE_LIMITS), dict[str, RateLimit])

    async def context_limits(self, access: Access) -> ContextLimits:
        """How big and how many invoices may be in a session of this context."""
        return await self._get(order_for(access, op.CONTEXT_LIMITS), ContextLimits)

    async def _grants(
        self, access: Access, operation: Operation, filters: dict[str, Any], tell: OnPage = lambda rows: None
    ) -> list[Grant]:
        order = replace(order_for(access, operation), body=encode(filters))

        async def page(number: int) -> tuple[list[Grant], bool]:
            query = (("pageOffset", str(number)), ("pageSize", "100"))
            answer = await self._get(replace(order, query=query), _Grants)
            tell(len(answer.permissions))
            return answer.permissions, answer.has_more

        return await self._all_offsets(page)


def _details(person: GrantedPerson) -> dict[str, object]:
    """Who a person is, in one of the three shapes of the API (facts §7.2)."""
    names: dict[str, object] = {"firstName": person.first_name, "lastName": person.last_name}
    if person.kind != "Fingerprint":
        return {"subjectDetailsType": "PersonByIdentifier", "personById": names}
    if person.identifier is not None:
        known = {**names, "identifier": {"type": person.identifier.type, "value": person.identifier.value}}
        return {"subjectDetailsType": "PersonByFingerprintWithIdentifier", "personByFpWithId": known}
    kind, number, country = person.document or ("", "", "")
    document = {"type": kind, "number": number, "country": country}
    unknown = {**names, "birthDate": person.born, "idDocument": document}
    return {"subjectDetailsType": "PersonByFingerprintWithoutIdentifier", "personByFpNoId": unknown}
