"""Calls about KSeF certificates: limits, ordering, collecting, listing, revoking (facts §6)."""

from __future__ import annotations

import base64
import binascii
from dataclasses import replace
from datetime import datetime

import msgspec

from ksef_tui.ksef import operations as op
from ksef_tui.ksef.calls import Calls, order_for
from ksef_tui.ksef.models import Accepted, Access, Identifier, Model, Status, encode

AUTHENTICATION, OFFLINE = "Authentication", "Offline"
REASONS = ("Unspecified", "Superseded", "KeyCompromise")
ACTIVE = "Active"


class Remaining(Model, frozen=True, kw_only=True):
    """What is left of a limit."""

    remaining: int
    limit: int


class CertificateLimits(Model, frozen=True, kw_only=True):
    """How many certificates the one who logged in may still order (`enrollment`) and hold (`certificate`)."""

    can_request: bool
    enrollment: Remaining
    certificate: Remaining


class EnrolmentData(Model, frozen=True, kw_only=True):
    """The subject that a request must repeat, field by field; empty fields are not in it."""

    common_name: str
    country_name: str
    given_name: str = ""
    surname: str = ""
    serial_number: str = ""
    unique_identifier: str = ""
    organization_name: str = ""
    organization_identifier: str = ""


class EnrolmentStatus(Model, frozen=True, kw_only=True):
    """How an order stands (`codes.enrolment_code`); issued, it has the serial number."""

    request_date: datetime
    status: Status
    certificate_serial_number: str = ""


class Collected(Model, frozen=True, kw_only=True):
    """An issued certificate: `certificate` is Base64 of DER."""

    certificate: str
    certificate_name: str
    certificate_serial_number: str
    certificate_type: str

    @property
    def der(self) -> bytes:
        """The certificate; empty when it is not Base64."""
        try:
            return base64.b64decode(self.certificate, validate=True)
        except binascii.Error:
            return b""


class ListedCertificate(Model, frozen=True, kw_only=True):
    """One of the subject's certificates. `status`: Active, Blocked (being revoked), Revoked, Expired."""

    certificate_serial_number: str
    name: str
    type: str
    common_name: str
    status: str
    subject_identifier: Identifier
    valid_from: datetime
    valid_to: datetime
    request_date: datetime
    last_use_date: datetime | None = None


class _Collected(Model, frozen=True, kw_only=True):
    certificates: list[Collected] = msgspec.field(default_factory=list)


class _Listed(Model, frozen=True, kw_only=True):
    certificates: list[ListedCertificate] = msgspec.field(default_factory=list)
    has_more: bool = False


class CertificateCalls(Calls):
    """Certificates of the one who logged in; in whose context does not matter."""

    async def certificate_limits(self, access: Access) -> CertificateLimits:
        """What is left of the limits (F33); nobody needs a permission to ask."""
        return await self._get(order_for(access, op.CERTIFICATE_LIMITS), CertificateLimits)

    async def enrolment_data(self, access: Access) -> EnrolmentData:
        """The subject of the certificate to come. Refused with 25001 after a login by token."""
        return await self._get(order_for(access, op.ENROLMENT_DATA), EnrolmentData)

    async def enrol(self, access: Access, name: str, kind: str, request: bytes) -> str:
        """Order a certificate with a PKCS#10 request (DER); the order's reference. It takes from the limit at once, so
        never again after a lost answer."""
        body = encode(
            {
                "certificateName": name,
                "certificateType": kind,
                "csr": base64.b64encode(request).decode("ascii"),
            }
        )
        return (await self._get(replace(order_for(access, op.ENROL), body=body), Accepted)).reference_number

    async def enrolment_status(self, access: Access, reference: str) -> EnrolmentStatus:
        """How an order stands; after 30 days refused with 410."""
        return await self._get(order_for(access, op.ENROLMENT_STATUS, reference), EnrolmentStatus)

    async def collect_certificate(self, access: Access, serial: str) -> Collected | None:
        """An issued certificate by its serial number; None while KSeF does not hand it out."""
        body = encode({"certificateSerialNumbers": [serial]})
        found = await self._get(replace(order_for(access, op.COLLECT_CERTIFICATE), body=body), _Collected)
        return next((one for one in found.certificates if one.certificate_serial_number == serial), None)

    async def certificates(self, access: Access, name: str = "") -> list[ListedCertificate]:
        """The subject's certificates, the latest order first; only those whose name contains `name`."""
        order = replace(order_for(access, op.CERTIFICATES), body=encode({"name": name or None}))

        async def page(number: int) -> tuple[list[ListedCertificate], bool]:
            query = (("pageOffset", str(number)), ("pageSize", "50"))
            answer = await self._get(replace(order, query=query), _Listed)
            return answer.certificates, answer.has_more

        return await self._all_offsets(page)

    async def revoke_certificate(self, access: Access, serial: str, reason: str) -> None:
        """Revoke one's own certificate. Logins made with it live on (F32). Refused with 25009 when it was no good before."""
        body = encode({"revocationReason": reason})
        await self._do(replace(order_for(access, op.REVOKE_CERTIFICATE, serial), body=body))
