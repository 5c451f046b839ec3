"""Who may do what, in one table. Every service function asks it first."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from ksef_tui.domain.problems import Problem


class Role(StrEnum):
    """`admin` runs the office, `accountant` works for its clients, `client` sees one company."""

    ADMIN = "admin"
    ACCOUNTANT = "accountant"
    CLIENT = "client"


class Act(StrEnum):
    """What can be done, as the audit log names it."""

    SEE = "see"
    CLIENT_ADD = "client.add"
    CLIENT_ARCHIVE = "client.archive"
    CLIENT_END = "client.end"
    CLIENT_RESUME = "client.resume"
    IDENTITY_ADD = "identity.add"
    IDENTITY_REMOVE = "identity.remove"
    IDENTITY_RESUME = "identity.resume"
    CLIENT_SELF_SERVICE = "client.self_service"
    IDENTITY_RESERVE = "identity.reserve"
    IDENTITY_TAKEOVER = "identity.takeover"
    CERTIFICATE_ENROL = "certificate.enrol"
    CERTIFICATE_REVOKE = "certificate.revoke"
    AUTH_START = "auth.start"
    AUTH_CHECK = "auth.check"
    AUTH_REVOKE = "auth.revoke"
    AUTH_SWITCH = "auth.switch"
    INVOICE_IMPORT = "invoice.import"
    INVOICE_APPROVE = "invoice.approve"
    INVOICE_RECALL = "invoice.recall"
    INVOICE_HOLD = "invoice.hold"
    INVOICE_RELEASE = "invoice.release"
    INVOICE_WITHDRAW = "invoice.withdraw"
    INVOICE_RETRY = "invoice.retry"
    INVOICE_URGE = "invoice.urge"
    INVOICE_REPLACE = "invoice.replace"
    INVOICE_SETTLE = "invoice.settle"
    SENDING_PAUSE = "sending.pause"
    UPO_EXPORT = "upo.export"
    INVOICE_EXPORT = "invoice.export"
    SETTING_CHANGE = "setting.change"
    BACKUP = "backup"
    DOCTOR = "doctor"
    WORK = "worker"
    VAULT_STATUS = "vault.status"
    VAULT_PASSPHRASE = "vault.passphrase"
    VAULT_PROTECT = "vault.protect"
    VAULT_ROTATE = "vault.rotate"
    VAULT_EXPORT = "vault.export"
    VAULT_IMPORT = "vault.import"
    OPERATOR_ADD = "operator.add"
    OPERATOR_DISABLE = "operator.disable"
    STAFF_SEE = "staff.see"
    STAFF_GRANT = "staff.grant"
    STAFF_REVOKE = "staff.revoke"


@dataclass(frozen=True, slots=True)
class Operator:
    """A person who uses the program. `client_id` is set for a `client` operator: the one company they see."""

    id: int
    login: str
    name: str
    role: Role
    client_id: int | None = None


_ADMIN_ONLY = frozenset(
    {
        Act.IDENTITY_REMOVE, Act.SETTING_CHANGE, Act.BACKUP, Act.CLIENT_ARCHIVE, Act.OPERATOR_ADD, Act.OPERATOR_DISABLE,
        Act.IDENTITY_RESUME, Act.CLIENT_SELF_SERVICE,
        Act.VAULT_STATUS, Act.VAULT_PASSPHRASE, Act.VAULT_PROTECT, Act.VAULT_ROTATE, Act.VAULT_EXPORT, Act.VAULT_IMPORT,
        Act.IDENTITY_RESERVE, Act.STAFF_GRANT, Act.STAFF_REVOKE,
    }
)  # fmt: skip
_OFFICE_ONLY = _ADMIN_ONLY | {
    Act.DOCTOR, Act.WORK, Act.STAFF_SEE, Act.SENDING_PAUSE,
    Act.CLIENT_ADD, Act.IDENTITY_ADD, Act.IDENTITY_TAKEOVER, Act.AUTH_SWITCH, Act.CERTIFICATE_ENROL, Act.CERTIFICATE_REVOKE,
}  # fmt: skip

ALLOWED: dict[Role, frozenset[Act]] = {
    Role.ADMIN: frozenset(Act),
    Role.ACCOUNTANT: frozenset(Act) - _ADMIN_ONLY,
    Role.CLIENT: frozenset(Act)
    - _OFFICE_ONLY
    - {
        Act.AUTH_START,
        Act.AUTH_REVOKE,
        Act.AUTH_CHECK,
        Act.CLIENT_END,
        Act.CLIENT_RESUME,
    },
}


def may(operator: Operator, act: Act, client_id: int | None) -> bool:
    """Whether `operator` may do `act` for the client (None: an act that concerns the whole office)."""
    if act not in ALLOWED[operator.role]:
        return False
    if operator.role is Role.CLIENT:
        return client_id is not None and client_id == operator.client_id
    return True


def require(operator: Operator, act: Act, client_id: int | None) -> None:
    """Raises Problem("not_allowed") unless `operator` may do `act` for the client."""
    if not may(operator, act, client_id):
        raise Problem("not_allowed", f"Operator {operator.login} nie ma prawa do tej czynności.")
