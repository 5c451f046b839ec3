"""What an HTTP answer means: nothing wrong, or which branch of the error tree (facts §2, F26, F39, F43)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

import msgspec

from ksef_tui.ksef.errors import KsefError, Limited, Refused, Unauthorized, Unknown

SAMPLE_BYTES = 8_000
PESEL = re.compile(r"(?<![0-9A-Za-z-])\d{11}(?![0-9A-Za-z-])")  # eleven digits by themselves: a person's number
LONGEST_LINE = 1_000  # characters of KSeF's words in one message; all of them are in `details`
DEFAULT_WAIT = 60.0  # seconds, when a 429 does not say how long

_HTML = re.compile(
    rb"(?:\xef\xbb\xbf)?\s*(?:<\?xml[^>]*>\s*)?(?:<!--.*?-->\s*)*(?:<!doctype\s+html|<html)", re.IGNORECASE | re.DOTALL
)

# A 403 is a denial only with one of these (F26); `security-service-blocked` is a firewall's doing and passes.
DENIALS: dict[str, str] = {
    "missing-permissions": "Brak uprawnień w KSeF do tej czynności",
    "ip-not-allowed": "Logowanie nie pozwala na ten adres IP",
    "insufficient-resource-access": "Ten zasób KSeF należy do innego podmiotu",
    "auth-method-not-allowed": "Ten sposób logowania nie pozwala na tę czynność",
    "context-type-not-allowed": "Tej czynności nie ma dla tego rodzaju kontekstu",
}


@dataclass(frozen=True, slots=True)
class Answer:
    """An HTTP answer as it came; header names are lower case."""

    status: int
    body: bytes
    headers: Mapping[str, str] = field(default_factory=dict)


def failure(answer: Answer) -> KsefError | None:
    """The error that an answer stands for, None for 2xx. Judged by body, not by content type."""
    status = answer.status
    if 200 <= status < 300:
        return None
    if status == 429:
        return _limited(answer)
    if 300 <= status < 400:
        return Unknown(
            "Zapora sieciowa przekierowuje połączenie z KSeF (WAF) – to nie jest odpowiedź KSeF.",
            cause="redirect",
            status=status,
            body_sample=sample(answer.body),
        )
    if status >= 500 or status < 200:
        cause = "html" if is_html(answer.body) else "server_error"
        return Unknown(
            f"KSeF ma awarię (HTTP {status}) – nie wiadomo, czy polecenie zostało wykonane.",
            cause=cause if status >= 500 else "unparseable",
            status=status,
            body_sample=sample(answer.body),
        )
    return _refusal(answer)


def unreadable(answer: Answer) -> Unknown:
    """The error for an answer whose body is not what the call answers with."""
    html = is_html(answer.body)
    what = "stronę HTML zamiast odpowiedzi" if html else "odpowiedź, której nie da się odczytać"
    return Unknown(
        f"KSeF lub zapora po drodze zwróciła {what} (HTTP {answer.status}).",
        cause="html" if html else "unparseable",
        status=answer.status,
        body_sample=sample(answer.body),
    )


def is_html(body: bytes) -> bool:
    """Whether a body is a web page. An invoice or a UPO never is one, even if a text in it speaks of pages."""
    return _HTML.match(body[:4096]) is not None


def sample(body: bytes) -> str:
    """The start of a body for the journal: at most 8 kB, tokens and signatures masked."""
    text = body[:SAMPLE_BYTES].decode("utf-8", "replace")
    for pattern, instead in _MASKS:
        text = pattern.sub(instead, text)
    return text[:SAMPLE_BYTES]


_MASKS: tuple[tuple[re.Pattern[str], str], ...] = (
    (re.compile(r"eyJ[\w-]+(\.[\w-]*){0,2}"), "***"),  # JWT
    (re.compile(r"(?i)(bearer\s+)[^\s\"',<]+"), r"\1***"),
    (re.compile(r'(?i)("[^"]*token"\s*:\s*")[^"]*'), r"\1***"),
    (re.compile(r"(?i)([?&](?:sig|signature|token)=)[^&\s\"'<]+"), r"\1***"),
    (re.compile(r"[\w-]+\|[\w-]+\|[0-9A-Fa-f]{16,}"), "***"),  # KSeF token
    (re.compile(r"[A-Za-z0-9+/=_-]{80,}"), "***"),
    (PESEL, "***"),
)


def _document(body: bytes) -> dict[str, Any] | None:
    try:
        document = msgspec.json.decode(body)
    except (msgspec.DecodeError, RecursionError):
        return None
    return document if isinstance(document, dict) else None


def _refusal(answer: Answer) -> KsefError:
    status = answer.status
    document = _document(answer.body)
    if status == 401 and (document is not None or not answer.body.strip()):
        details = _sentences((document or {}).get("detail"))
        return Unauthorized("KSeF nie uznaje tokenu dostępu – potrzebne nowe logowanie.", status=401, details=details)
    if document is None:
        return unreadable(answer)
    if status == 403:
        return _denial(answer, document)
    codes, sentences = _codes(document)
    if not codes and not _is_problem(document, status):
        return unreadable(answer)
    return Refused(_line(status, codes, sentences), status=status, codes=codes, details=sentences)


def _denial(answer: Answer, document: dict[str, Any]) -> KsefError:
    reason = document.get("reasonCode")
    if not isinstance(reason, str) or reason not in DENIALS:
        return Unknown(
            "Zapora przed KSeF odrzuciła połączenie (HTTP 403 bez podania przyczyny) – to zwykle mija.",
            cause="forbidden",
            status=403,
            body_sample=sample(answer.body),
        )
    security = document.get("security")
    security = security if isinstance(security, dict) else {}
    required = _words(security.get("requiredAnyOfPermissions"))
    present = _words(security.get("presentPermissions"))
    message = DENIALS[reason]
    if required:
        message += f": potrzeba {' lub '.join(required)}, jest {', '.join(present) or 'nic'}"
    return Refused(
        message + ".",
        status=403,
        reason_code=reason,
        details=_sentences(document.get("detail")),
        required=required,
        present=present,
    )


def _codes(document: dict[str, Any]) -> tuple[tuple[int, ...], tuple[str, ...]]:
    """KSeF's codes and sentences from either error format: Problem Details or the legacy `exception`."""
    rows = document.get("errors")
    names = ("code", "description")
    if not isinstance(rows, list):
        exception = document.get("exception")
        rows = exception.get("exceptionDetailList") if isinstance(exception, dict) else None
        names = ("exceptionCode", "exceptionDescription")
    codes: list[int] = []
    sentences: list[str] = []
    for row in rows if isinstance(rows, list) else []:
        if not isinstance(row, dict):
            continue
        code = row.get(names[0])
        if isinstance(code, int):
            codes.append(code)
        sentences += _sentences(row.get(names[1]))
        sentences += _words(row.get("details"))
    return tuple(codes), tuple(sentences) or _sentences(document.get("detail"))


def _is_problem(document: dict[str, Any], status: int) -> bool:
    return document.get("status") == status and isinstance(document.get("title"), str)


def _line(status: int, codes: tuple[int, ...], sentences: tuple[str, ...]) -> str:
    code = str(codes[0]) if codes else f"HTTP {status}"
    printable = "".join(c if c.isprintable() else " " for c in " ".join(sentences))
    text = PESEL.sub("***", " ".join(printable.split()))  # it is kept in the journal
    text = text if len(text) <= LONGEST_LINE else text[:LONGEST_LINE] + "…"
    return f"KSeF odmówił ({code}): {text}" if text else f"KSeF odmówił ({code})."


def _words(value: object) -> tuple[str, ...]:
    return tuple(str(item) for item in value if item is not None) if isinstance(value, list) else ()


def _sentences(value: object) -> tuple[str, ...]:
    return (value,) if isinstance(value, str) and value.strip() else ()


_TEXT_WAIT = re.compile(r"po\s+(\d+)\s+(sekund|minut|godzin)", re.IGNORECASE)
_UNITS = {"sekund": 1, "minut": 60, "godzin": 3600}


def _limited(answer: Answer) -> Limited:
    wait = _header_wait(answer.headers.get("retry-after", ""))
    if wait is None:
        found = _TEXT_WAIT.search(answer.body[:SAMPLE_BYTES].decode("utf-8", "replace"))
        wait = float(int(found[1]) * _UNITS[found[2].lower()]) if found else DEFAULT_WAIT
    wait = max(1.0, wait)
    return Limited(f"Przekroczony limit żądań KSeF – następna próba za {wait:.0f} s.", wait)


def _header_wait(value: str) -> float | None:
    value = value.strip()
    if re.fullmatch(r"\d{1,9}(\.\d+)?", value):
        return float(value)
    try:
        moment = parsedate_to_datetime(value)
    except ValueError:
        return None
    return (moment.astimezone(UTC) - datetime.now(UTC)).total_seconds()
