"""The life of a client's authorisation: one per client, bound to one NIP (design §5, §7)."""

from __future__ import annotations

from datetime import datetime, timedelta
from enum import StrEnum

from ksef_tui.domain.invoices import Badge


class AuthState(StrEnum):
    """Where a client's authorisation stands. The value is the code that scripts see."""

    MISSING = "missing"
    REQUESTED = "requested"
    RUNNING = "running"
    TO_SIGN = "to_sign"
    ACTIVE = "active"
    READ_ONLY = "read_only"
    EXPIRING = "expiring"
    EXPIRED = "expired"
    NO_PERMISSION = "no_permission"
    BLOCKED = "blocked"
    FAILED = "failed"
    ENDED = "ended"


class AuthMethod(StrEnum):
    """The way: the office's profile, a signature made elsewhere, or a KSeF token."""

    CERTIFICATE = "certificate"
    EXTERNAL = "external"
    TOKEN = "token"


class AuthStep(StrEnum):
    """The steps of the flow in the order in which a person sees them; the starred ones only where the client signs
    so that rights can be granted (`domain.onboarding`)."""

    REQUEST = "request"
    SIGN = "sign"
    GRANT = "grant"  # *
    VERIFY = "verify"
    RIGHTS = "rights"
    END = "end"  # *


LOGIN_CHAIN = (AuthStep.REQUEST, AuthStep.SIGN, AuthStep.VERIFY, AuthStep.RIGHTS)


STEP_LABELS: dict[AuthStep, str] = {
    AuthStep.REQUEST: "żądanie",
    AuthStep.SIGN: "podpis",
    AuthStep.GRANT: "nadanie uprawnień",
    AuthStep.VERIFY: "weryfikacja",
    AuthStep.RIGHTS: "uprawnienia",
    AuthStep.END: "koniec sesji klienta",
}

METHOD_LABELS: dict[AuthMethod, str] = {
    AuthMethod.CERTIFICATE: "profil biura",
    AuthMethod.EXTERNAL: "podpis zewnętrzny",
    AuthMethod.TOKEN: "token KSeF",
}

AUTH_BADGES: dict[AuthState, Badge] = {
    AuthState.MISSING: Badge("·", ".", "niepodłączony", "quiet"),
    AuthState.REQUESTED: Badge("✉", "@", "czeka na klienta", "wait"),
    AuthState.RUNNING: Badge("◌", "~", "łączenie", "busy"),
    AuthState.TO_SIGN: Badge("✎", "/", "do podpisu", "wait"),
    AuthState.ACTIVE: Badge("●", "*", "gotowy", "good"),
    AuthState.READ_ONLY: Badge("◐", "o", "tylko przeglądanie", "bad"),
    AuthState.EXPIRING: Badge("◔", "%", "kończy się", "wait"),
    AuthState.EXPIRED: Badge("◇", "x", "cert. wygasł", "bad"),
    AuthState.NO_PERMISSION: Badge("⊘", "&", "brak uprawnień", "bad"),
    AuthState.BLOCKED: Badge("■", "#", "blokada MF", "bad"),
    AuthState.FAILED: Badge("✘", "X", "nieudana, ponów", "bad"),
    AuthState.ENDED: Badge("–", "-", "obsługa zakończona", "quiet"),
}

A = AuthState
_SETTLED = (
    A.MISSING,
    A.REQUESTED,
    A.TO_SIGN,
    A.ACTIVE,
    A.READ_ONLY,
    A.EXPIRING,
    A.EXPIRED,
    A.NO_PERMISSION,
    A.BLOCKED,
    A.FAILED,
)
_OUTCOMES = frozenset({A.ACTIVE, A.READ_ONLY, A.EXPIRING, A.EXPIRED, A.NO_PERMISSION, A.BLOCKED, A.FAILED})

AUTH_MOVES: dict[str, dict[AuthState, frozenset[AuthState]]] = {
    "start": {s: frozenset({A.RUNNING}) for s in (*_SETTLED, A.RUNNING)},
    "export": {s: frozenset({A.TO_SIGN}) for s in (*_SETTLED, A.RUNNING)},
    "submit": {A.TO_SIGN: frozenset({A.RUNNING})},
    # back to the login that worked before, if one did; and a client's visit that stopped half way is given up
    "cancel": {
        **dict.fromkeys((A.RUNNING, A.TO_SIGN), frozenset({A.MISSING, A.ACTIVE, A.READ_ONLY, A.BLOCKED})),
        **dict.fromkeys((A.FAILED, A.NO_PERMISSION), frozenset({A.MISSING})),
    },
    "finish": {A.RUNNING: _OUTCOMES},
    # what time, a probe or a refused call teaches about a standing authorisation
    "learn": {
        **dict.fromkeys(
            (A.ACTIVE, A.READ_ONLY, A.EXPIRING, A.EXPIRED, A.NO_PERMISSION, A.BLOCKED, A.FAILED), _OUTCOMES
        ),
        # the client answered the letter: the right works, or is there to be used for the first time
        A.REQUESTED: _OUTCOMES | {A.MISSING},
    },
    "request": {s: frozenset({A.REQUESTED}) for s in (A.MISSING, A.READ_ONLY, A.NO_PERMISSION, A.FAILED, A.REQUESTED)},
    "revoke": {s: frozenset({A.MISSING}) for s in (*_SETTLED, A.RUNNING)},
    "end": {s: frozenset({A.ENDED}) for s in _SETTLED},
    "resume": {A.ENDED: frozenset({A.MISSING})},
}

EXTERNAL_WARNING = timedelta(hours=24)  # a login that somebody signed for lasts days, not years (design §5)

CAN_SEND = frozenset({A.ACTIVE, A.EXPIRING})


def seconds_to_sign(until: datetime | None, now: datetime) -> int:
    """Whole seconds in which a request can still be signed and handed in; 0 when it cannot."""
    return 0 if until is None else max(0, int((until - now).total_seconds()))


def to_sign_word(until: datetime | None, now: datetime) -> str:
    """How much of the ten minutes is left, as the badge says it."""
    left = seconds_to_sign(until, now)
    return f"do podpisu {left // 60}:{left % 60:02d}" if left else "do podpisu – nowe żądanie"


def may_become(act: str, old: AuthState, new: AuthState) -> bool:
    """Whether `act` may take an authorisation from `old` to `new`."""
    return new in AUTH_MOVES.get(act, {}).get(old, frozenset())


def effective(
    state: AuthState, valid_until: datetime | None, now: datetime, warn_days: int, method: str | None = None
) -> AuthState:
    """A standing authorisation as it is today: time alone makes `active` expiring, and whatever works expired.

    It is expiring from `warn_days` before its end, a login by an external signature from 24 hours before it.
    """
    if state not in (A.ACTIVE, A.EXPIRING, A.READ_ONLY) or valid_until is None:
        return state
    if valid_until <= now:
        return A.EXPIRED
    if state is A.READ_ONLY:  # that it cannot issue says more than when it ends
        return state
    warning = EXTERNAL_WARNING if method == AuthMethod.EXTERNAL else timedelta(days=warn_days)
    return A.EXPIRING if valid_until - now <= warning else A.ACTIVE
