"""Every call we make to KSeF, in one table: name, address, rate-limit group (facts §12), may it be repeated (F9)."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Operation:
    """One kind of call.

    `code` is the name in the journal, `label` the Polish one on a timeline. `group` is the rate-limit group; calls of
    the group `other` are counted each on its own. `repeatable`: may be made again after an unknown outcome; for the
    rest only reading can tell what happened (design §6 rule 9).
    """

    code: str
    method: str
    path: str
    group: str
    label: str
    repeatable: bool


PUBLIC_KEYS = Operation(
    "public_keys", "GET", "/security/public-key-certificates", "anonymous", "klucze publiczne MF", True
)
CHALLENGE = Operation("auth.challenge", "POST", "/auth/challenge", "anonymous", "żądanie logowania", True)
SUBMIT_SIGNED = Operation("auth.xades", "POST", "/auth/xades-signature", "anonymous", "podpisane żądanie", False)
SUBMIT_TOKEN = Operation("auth.token", "POST", "/auth/ksef-token", "anonymous", "logowanie tokenem", False)
AUTH_STATUS = Operation("auth.status", "GET", "/auth/{reference}", "anonymous", "wynik logowania", True)
REDEEM = Operation("auth.redeem", "POST", "/auth/token/redeem", "anonymous", "odbiór tokenów", False)
REFRESH = Operation("auth.refresh", "POST", "/auth/token/refresh", "anonymous", "odnowienie tokenu", True)
AUTH_SESSIONS = Operation("auth.sessions", "GET", "/auth/sessions", "other", "lista logowań", True)
END_CURRENT = Operation("auth.end_current", "DELETE", "/auth/sessions/current", "other", "wylogowanie", True)
END_BY_REFERENCE = Operation("auth.end", "DELETE", "/auth/sessions/{reference}", "other", "wylogowanie", True)

OPEN_ONLINE = Operation("session.open", "POST", "/sessions/online", "onlineSession", "otwarcie sesji", False)
SEND_INVOICE = Operation(
    "session.send", "POST", "/sessions/online/{session}/invoices", "invoiceSend", "wysłanie faktury", False
)
CLOSE_ONLINE = Operation(
    "session.close", "POST", "/sessions/online/{session}/close", "onlineSessionClose", "zamknięcie sesji", True
)
OPEN_BATCH = Operation("batch.open", "POST", "/sessions/batch", "batchSession", "otwarcie paczki", False)
UPLOAD_PART = Operation("batch.upload", "PUT", "", "", "wysłanie części paczki", True)
CLOSE_BATCH = Operation(
    "batch.close", "POST", "/sessions/batch/{session}/close", "batchSessionClose", "zamknięcie paczki", True
)
SESSION_STATUS = Operation("session.status", "GET", "/sessions/{session}", "sessionMisc", "stan sesji", True)
SESSION_INVOICES = Operation(
    "session.invoices", "GET", "/sessions/{session}/invoices", "sessionInvoiceList", "faktury sesji", True
)
INVOICE_STATUS = Operation(
    "session.invoice", "GET", "/sessions/{session}/invoices/{reference}", "invoiceStatus", "stan faktury", True
)
SESSIONS = Operation("session.list", "GET", "/sessions", "sessionList", "lista sesji", True)
INVOICE_UPO = Operation(
    "upo.invoice", "GET", "/sessions/{session}/invoices/{reference}/upo", "sessionMisc", "pobranie UPO", True
)
UPO_BY_NUMBER = Operation(
    "upo.number", "GET", "/sessions/{session}/invoices/ksef/{reference}/upo", "sessionMisc", "pobranie UPO", True
)
FETCH_URL = Operation("fetch", "GET", "", "", "pobranie pliku", True)

INVOICE = Operation("invoice.get", "GET", "/invoices/ksef/{reference}", "invoiceDownload", "pobranie faktury", True)
QUERY_METADATA = Operation(
    "invoice.query", "POST", "/invoices/query/metadata", "invoiceMetadata", "szukanie faktur", True
)

PERSONAL_GRANTS = Operation(
    "grants.personal", "POST", "/permissions/query/personal/grants", "other", "własne uprawnienia", True
)
ENTITY_GRANTS = Operation(
    "grants.entities", "POST", "/permissions/query/entities/grants", "other", "otrzymane uprawnienia", True
)
PERSONS_GRANTS = Operation(
    "grants.persons", "POST", "/permissions/query/persons/grants", "other", "nadane uprawnienia", True
)
GRANT_ENTITY = Operation("grant.entity", "POST", "/permissions/entities/grants", "other", "nadanie uprawnień", False)
GRANT_INDIRECT = Operation(
    "grant.indirect", "POST", "/permissions/indirect/grants", "other", "nadanie uprawnień pracownikowi", False
)
OPERATION_STATUS = Operation(
    "grant.status", "GET", "/permissions/operations/{reference}", "other", "wynik nadania uprawnień", True
)
REVOKE_GRANT = Operation(
    "grant.revoke", "DELETE", "/permissions/common/grants/{reference}", "other", "odebranie uprawnień", False
)
ATTACHMENTS = Operation("attachments", "GET", "/permissions/attachments/status", "other", "zgoda na załączniki", True)

CREATE_TOKEN = Operation("token.create", "POST", "/tokens", "other", "utworzenie tokenu", False)
TOKEN_STATUS = Operation("token.status", "GET", "/tokens/{reference}", "other", "stan tokenu", True)
RATE_LIMITS = Operation("limits.rates", "GET", "/rate-limits", "other", "limity żądań", True)
CONTEXT_LIMITS = Operation("limits.context", "GET", "/limits/context", "other", "limity faktur", True)

CERTIFICATE_LIMITS = Operation(
    "certificate.limits", "GET", "/certificates/limits", "other", "limity certyfikatów", True
)
ENROLMENT_DATA = Operation(
    "certificate.data", "GET", "/certificates/enrollments/data", "other", "dane do wniosku o certyfikat", True
)
ENROL = Operation("certificate.enrol", "POST", "/certificates/enrollments", "other", "wniosek o certyfikat", False)
ENROLMENT_STATUS = Operation(
    "certificate.status", "GET", "/certificates/enrollments/{reference}", "other", "stan wniosku o certyfikat", True
)
COLLECT_CERTIFICATE = Operation(
    "certificate.collect", "POST", "/certificates/retrieve", "other", "odbiór certyfikatu", True
)
CERTIFICATES = Operation("certificate.list", "POST", "/certificates/query", "other", "lista certyfikatów", True)
REVOKE_CERTIFICATE = Operation(
    "certificate.revoke", "POST", "/certificates/{reference}/revoke", "other", "odwołanie certyfikatu", True
)

OPERATIONS: dict[str, Operation] = {
    operation.code: operation for operation in tuple(globals().values()) if isinstance(operation, Operation)
}
