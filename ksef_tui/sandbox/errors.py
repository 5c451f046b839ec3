"""Refusals of KSeF in both of its formats (facts §2)."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from http import HTTPStatus
from typing import Any

from ksef_tui.sandbox.clock import iso, now_ms
from ksef_tui.sandbox.numbers import reference

DESCRIPTIONS = {
    9101: "Nieprawidłowy dokument.",
    9102: "Brak podpisu.",
    9103: "Przekroczona liczba dozwolonych podpisów.",
    9105: "Nieprawidłowa treść podpisu.",
    21001: "Nieczytelna treść.",
    21111: "Nieprawidłowe wyzwanie autoryzacyjne.",
    21115: "Nieprawidłowy certyfikat.",
    21117: "Nieprawidłowy identyfikator podmiotu dla wskazanego typu kontekstu.",
    21155: "Przekroczono dozwoloną liczbę faktur w sesji.",
    21157: "Nieprawidłowy rozmiar części pakietu.",
    21161: "Przekroczono dozwoloną liczbę części pakietu.",
    21164: "Faktura o podanym identyfikatorze nie istnieje.",
    21165: "Faktura o podanym numerze KSeF nie jest jeszcze dostępna.",
    21166: "Korekta techniczna niedostępna.",
    21167: "Status faktury nie pozwala na korektę techniczną.",
    21173: "Brak sesji o wskazanym numerze referencyjnym.",
    21178: "Nie znaleziono UPO dla podanych kryteriów.",
    21180: "Status sesji nie pozwala na wykonanie operacji.",
    21184: "Sesja jest tymczasowo niedostępna.",
    21183: "Zakres filtrowania wykracza poza dostępny zakres danych.",
    21205: "Pakiet nie może być pusty.",
    21208: "Czas oczekiwania na requesty upload lub finish został przekroczony.",
    21217: "Nieprawidłowe kodowanie znaków.",
    21301: "Brak autoryzacji.",
    21304: "Brak uwierzytelnienia.",
    21308: "Próba wykorzystania metod autoryzacyjnych osoby zmarłej.",
    21401: "Dokument nie jest zgodny ze schemą (xsd).",
    21402: "Nieprawidłowy rozmiar pliku.",
    21403: "Nieprawidłowy skrót pliku.",
    21405: "Błąd walidacji danych wejściowych.",
    21418: "Przekazany token kontynuacji ma nieprawidłowy format.",
    21470: "Przesłany identyfikator klucza jest nieznany lub wskazuje na wycofany klucz.",
    25001: "Brak możliwości pobrania danych do CSR dla wykorzystanego sposobu uwierzytelnienia.",
    25002: "Brak możliwości złożenia wniosku certyfikacyjnego dla wykorzystanego sposobu uwierzytelnienia.",
    25003: "Dane w CSR nie zgadzają się z danymi w użytym wektorze uwierzytelniającym.",
    25004: "Niepoprawny format CSR lub niepoprawny podpis CSR.",
    25005: "Wniosek certyfikacyjny o podanym numerze referencyjnym nie istnieje.",
    25006: "Osiągnięto limit możliwych do złożenia wniosków certyfikacyjnych.",
    25007: "Osiągnięto limit dopuszczalnej liczby posiadanych certyfikatów.",
    25008: "Certyfikat o podanym numerze seryjnym nie istnieje.",
    25009: "Nie można odwołać wskazanego certyfikatu, ponieważ jest już odwołany, zablokowany lub nieważny.",
    25010: "Nieprawidłowy typ lub długość klucza.",
    25011: "Nieprawidłowy algorytm podpisu CSR.",
    26001: "Nie można nadać tokenowi uprawnień których nie posiadasz.",
    26002: "Nie można wygenerować tokena dla obecnego typu kontekstu.",
    30001: "Podmiot lub uprawnienie już istnieje.",
}


class Refusal(Exception):
    """An answer of KSeF that is not a success; `status` is the HTTP status."""

    status = HTTPStatus.INTERNAL_SERVER_ERROR

    def body(self, path: str, problem_details: bool) -> tuple[str, dict[str, Any]]:
        """Content type and JSON of the answer; `problem_details`: what `X-Error-Format` asked for."""
        raise AssertionError(f"{type(self).__name__} has no body")

    def _problem(self, path: str, detail: str) -> dict[str, Any]:
        return {
            "title": HTTPStatus(self.status).phrase,
            "status": int(self.status),
            "instance": path,
            "detail": detail,
            "timestamp": iso(now_ms()),
            "traceId": uuid.uuid4().hex,
        }


class BadRequest(Refusal):
    """400 with one of KSeF's own codes."""

    status = HTTPStatus.BAD_REQUEST

    def __init__(self, code: int, *details: str) -> None:
        super().__init__(f"{code} {DESCRIPTIONS[code]} {details}")
        self.code = code
        self.details = details

    def body(self, path: str, problem_details: bool) -> tuple[str, dict[str, Any]]:
        """Problem Details or the legacy exception."""
        details = {"details": list(self.details)} if self.details else {}
        if problem_details:
            error = {"code": self.code, "description": DESCRIPTIONS[self.code], **details}
            problem = self._problem(path, DESCRIPTIONS[self.code])
            return "application/problem+json", {**problem, "errors": [error]}
        trace = uuid.uuid4().hex
        entry = {"exceptionCode": self.code, "exceptionDescription": DESCRIPTIONS[self.code], **details}
        exception = {
            "exceptionDetailList": [entry],
            "referenceNumber": reference("EX"),
            "serviceCode": f"00-{trace}-{trace[:16]}-00",
            "serviceCtx": "srvSandbox",
            "serviceName": "Undefined",
            "timestamp": iso(now_ms()),
        }
        return "application/json", {"exception": exception}


class Unauthorized(Refusal):
    """401: no token, an expired one, or one of another kind."""

    status = HTTPStatus.UNAUTHORIZED

    def body(self, path: str, problem_details: bool) -> tuple[str, dict[str, Any]]:
        """Problem Details whatever was asked for."""
        return "application/problem+json", self._problem(path, str(self))


class Forbidden(Refusal):
    """403 with KSeF's reason code."""

    status = HTTPStatus.FORBIDDEN

    def __init__(self, reason: str, detail: str, **security: Any) -> None:
        super().__init__(detail)
        self.reason = reason
        self.security = security

    def body(self, path: str, problem_details: bool) -> tuple[str, dict[str, Any]]:
        """Problem Details whatever was asked for."""
        problem = {**self._problem(path, str(self)), "reasonCode": self.reason}
        return "application/problem+json", {**problem, "security": self.security} if self.security else problem


def missing_permissions(needed: Sequence[str], present: Sequence[str]) -> Forbidden:
    """403 `missing-permissions` with what would have been enough and what there is."""
    return Forbidden(
        "missing-permissions",
        "Brak wymaganych uprawnień do wykonania operacji w bieżącym kontekście.",
        requiredAnyOfPermissions=list(needed),
        presentPermissions=list(present),
    )


def foreign_resource() -> Forbidden:
    """403: the object belongs to someone else."""
    return Forbidden("insufficient-resource-access", "Brak dostępu do wskazanego zasobu.")


class Gone(Refusal):
    """410: kept no longer (facts §2, retention)."""

    status = HTTPStatus.GONE

    def body(self, path: str, problem_details: bool) -> tuple[str, dict[str, Any]]:
        """Problem Details whatever was asked for."""
        return "application/problem+json", self._problem(path, str(self))


class NotFound(Refusal):
    """404: there is no such address."""

    status = HTTPStatus.NOT_FOUND

    def body(self, path: str, problem_details: bool) -> tuple[str, dict[str, Any]]:
        """Problem Details whatever was asked for."""
        return "application/problem+json", self._problem(path, "Nie ma takiego adresu.")


class TooManyRequests(Refusal):
    """429; `retry_after` in seconds."""

    status = HTTPStatus.TOO_MANY_REQUESTS

    def __init__(self, retry_after: int, detail: str) -> None:
        super().__init__(detail)
        self.retry_after = retry_after

    def body(self, path: str, problem_details: bool) -> tuple[str, dict[str, Any]]:
        """Problem Details or the legacy status."""
        if problem_details:
            return "application/problem+json", self._problem(path, str(self))
        status = {"code": 429, "description": "Too Many Requests", "details": [str(self)]}
        return "application/json", {"status": status}
