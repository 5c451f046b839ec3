"""How a call to KSeF can fail. One tree; what a caller may do next follows from the class alone (design §6 rules 4, 9):

    KsefError
    ├── NotReachable       never connected: nothing was done, the call may be repeated
    ├── Limited            429: nothing was done, the call may be repeated after `retry_after` seconds
    ├── Refused            KSeF understood and said no, in its own format: nothing was done
    │   └── Unauthorized   401: the token is not valid (any more)
    └── Unknown            the call may have been done: only reading can tell

`str(error)` is one plain Polish line.
"""

from __future__ import annotations

# Why an outcome is unknown.
CAUSES = (
    "timeout",  # connected, no answer in time
    "broken",  # the connection broke after it was made
    "server_error",  # 5xx
    "html",  # a page instead of an answer: gateway, firewall
    "unparseable",  # a body that is not what the call answers with
    "forbidden",  # 403 without a known reason: the weather of a firewall, not a denial (F26)
    "redirect",  # a firewall's loop (F43)
    "too_big",  # more than an answer can have
    "cancelled",  # we stopped waiting
)


class KsefError(Exception):
    """Any failed call. `message` is one plain Polish line for people."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message

    def __str__(self) -> str:
        return self.message


class NotReachable(KsefError):
    """No connection was made: wrong address, nobody listens, no network, no trust in the server's certificate."""


class Limited(KsefError):
    """429: too many requests. Wait `retry_after` seconds, to the second; asking earlier lengthens the block (F35)."""

    def __init__(self, message: str, retry_after: float) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class Refused(KsefError):
    """A typed refusal.

    `status`: HTTP status; `codes`: KSeF's codes in the order given, `code` the first or None; `details`: its sentences.
    For 403: `reason_code`, and for `missing-permissions` the permissions of which one is `required` and those `present`.
    """

    def __init__(
        self,
        message: str,
        *,
        status: int,
        codes: tuple[int, ...] = (),
        reason_code: str = "",
        details: tuple[str, ...] = (),
        required: tuple[str, ...] = (),
        present: tuple[str, ...] = (),
    ) -> None:
        super().__init__(message)
        self.status = status
        self.codes = codes
        self.reason_code = reason_code
        self.details = details
        self.required = required
        self.present = present

    @property
    def code(self) -> int | None:
        """KSeF's first code, None when it gave none."""
        return self.codes[0] if self.codes else None


class Unauthorized(Refused):
    """401: the token is missing, expired or not meant for this call."""


class Unknown(KsefError):
    """Whether the call was done cannot be told from what came back.

    `cause` is one of CAUSES; `status` the HTTP status if there was one; `body_sample` the start of an answer that could
    not be read, masked, at most 8 kB.
    """

    def __init__(self, message: str, *, cause: str, status: int | None = None, body_sample: str = "") -> None:
        super().__init__(message)
        self.cause = cause
        self.status = status
        self.body_sample = body_sample
