"""A client that signs at the office's desk, once: the steps from its signature to the office's own login (design §7).

sign → grant → wait → authorise → end. Each is in the database before the call that it leads to.
"""

from __future__ import annotations

from enum import StrEnum

from ksef_tui.domain.authorizations import AuthStep


class OnboardingStep(StrEnum):
    """What is to be done next. The value is the code that scripts see."""

    SIGN = "sign"  # the client has to sign: there is no login of its own (any more)
    GRANT = "grant"  # the client is logged in: grant the office its rights
    WAIT = "wait"  # KSeF carries the grant out
    AUTHORISE = "authorise"  # the rights are granted: the office logs in with its own profile
    END = "end"  # the office works; the client's login is to be ended, or has been


CHAIN = (
    AuthStep.REQUEST,
    AuthStep.SIGN,
    AuthStep.GRANT,
    AuthStep.VERIFY,
    AuthStep.RIGHTS,
    AuthStep.END,
)

RIGHTS = ("InvoiceWrite", "InvoiceRead")  # what is granted, each with the right to pass it on
MAY_GRANT = frozenset({"Owner", "CredentialsManage"})  # who may grant in the client's name (facts §7.1)


def place(step: OnboardingStep, login: str) -> AuthStep:
    """Where in the chain it stands. `login`: the step of the login that is under way, the client's or the office's,
    which both have the same four steps of their own."""
    if step is OnboardingStep.SIGN:
        return AuthStep(login) if login in (AuthStep.REQUEST, AuthStep.GRANT) else AuthStep.SIGN
    if step in (OnboardingStep.GRANT, OnboardingStep.WAIT):
        return AuthStep.GRANT
    if step is OnboardingStep.AUTHORISE:
        return AuthStep.RIGHTS if login == AuthStep.RIGHTS else AuthStep.VERIFY
    return AuthStep.END
