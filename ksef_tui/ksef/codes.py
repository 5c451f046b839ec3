"""KSeF's codes for people: what a code means and what to do about it (facts §4.4, §7.3, §10.1, §10.2; F2, F3, F19)."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class InvoiceCode:
    """A status of an invoice. `terminal`: it will not change by itself."""

    code: int
    sentence: str
    what_to_do: str
    terminal: bool


@dataclass(frozen=True, slots=True)
class AuthCode:
    """A status of a login. `terminal`: it will not change; `lasting`: trying again changes nothing by itself."""

    code: int
    sentence: str
    what_to_do: str
    terminal: bool
    lasting: bool


@dataclass(frozen=True, slots=True)
class SessionCode:
    """A status of a session. `frees_invoices`: none of its invoices was processed, all may be sent again (F19)."""

    code: int
    sentence: str
    terminal: bool
    frees_invoices: bool


@dataclass(frozen=True, slots=True)
class EnrolmentCode:
    """A status of an order for a certificate. `terminal`: it will not change."""

    code: int
    sentence: str
    what_to_do: str
    terminal: bool


@dataclass(frozen=True, slots=True)
class GrantCode:
    """A status of an operation on permissions (facts §7.3). `again`: asking once more may help, with the same login."""

    code: int
    sentence: str
    what_to_do: str
    terminal: bool
    again: bool


@dataclass(frozen=True, slots=True)
class OperationCode:
    """A status of an operation on rights (facts §7.3). `unsure`: whether it was done, only the list can tell."""

    code: int
    sentence: str
    what_to_do: str
    terminal: bool
    unsure: bool = False


_WAIT = "Czekaj – niczego nie wysyłaj ponownie."
_RETRY = "Ponów (o): program najpierw sprawdzi, czy nie ma jej już w KSeF."

_INVOICE = {
    row.code: row
    for row in (
        InvoiceCode(100, "Faktura przyjęta przez KSeF, czeka na sprawdzenie.", _WAIT, False),
        InvoiceCode(150, "KSeF sprawdza fakturę.", _WAIT, False),
        InvoiceCode(200, "Faktura ma numer KSeF.", "Nic – program pobierze UPO.", True),
        InvoiceCode(405, "KSeF przerwał przetwarzanie z powodu błędu sesji.", _RETRY, True),
        InvoiceCode(
            410,
            "Zalogowany podmiot nie ma prawa wystawiać faktur tego sprzedawcy.",
            "Sprawdź sprzedawcę na fakturze i uprawnienia klienta (r), potem ponów (o).",
            True,
        ),
        InvoiceCode(
            415,
            "KSeF nie przyjmuje od tego podatnika faktur z załącznikiem.",
            "Podatnik musi zgłosić załączniki w e-Urzędzie Skarbowym; zastąp plikiem bez załącznika (F4) albo wycofaj (x).",
            True,
        ),
        InvoiceCode(
            430,
            "Plik faktury jest nieprawidłowy (kodowanie, znak BOM, rozmiar albo skrót).",
            "Popraw plik w programie, z którego pochodzi, i zastąp fakturę (F4).",
            True,
        ),
        InvoiceCode(435, "KSeF nie zdołał odszyfrować pliku.", _RETRY, True),
        InvoiceCode(
            440,
            "W KSeF jest już faktura tego sprzedawcy o tym numerze.",
            "Porównaj ją z tą w KSeF (F4), potem zastąp plikiem pod nowym numerem, zostaw odrzuconą albo wycofaj.",
            True,
        ),
        InvoiceCode(
            450,
            "Faktura jest niezgodna ze schemą albo z regułami KSeF.",
            "Popraw fakturę i zastąp ją nowym plikiem (F4).",
            True,
        ),
        InvoiceCode(500, "Nieznany błąd po stronie KSeF.", _RETRY, True),
        InvoiceCode(550, "KSeF anulował operację.", _RETRY, True),
    )
}

_AUTH = {
    row.code: row
    for row in (
        AuthCode(100, "KSeF sprawdza podpis.", "Czekaj.", False, False),
        AuthCode(200, "Zalogowano.", "Nic.", True, False),
        AuthCode(
            415,
            "Ten podmiot nie ma uprawnień u klienta.",
            "Klient musi nadać uprawnienia w KSeF – wyślij mu pismo z instrukcją.",
            True,
            True,
        ),
        AuthCode(425, "Logowanie zostało unieważnione.", "Połącz ponownie.", True, False),
        AuthCode(
            450, "Token KSeF jest nieprawidłowy, nieaktywny albo z innej firmy.", "Podaj właściwy token.", True, True
        ),
        AuthCode(
            460,
            "KSeF nie uznaje certyfikatu (nieważny, odwołany, zawieszony albo spoza listy).",
            "Jeśli certyfikat dziś działał, spróbuj później; jeśli nie – potrzebny jest nowy.",
            True,
            True,
        ),
        AuthCode(470, "Osoba z certyfikatu nie żyje.", "Użyj innego profilu.", True, True),
        AuthCode(
            480,
            "Ministerstwo Finansów zablokowało dostęp (podejrzenie incydentu bezpieczeństwa).",
            "Skontaktuj się z MF; sprawdź ponownie dopiero wtedy, gdy odblokuje.",
            True,
            True,
        ),
        AuthCode(500, "Nieznany błąd po stronie KSeF.", "Spróbuj później.", True, False),
        AuthCode(550, "KSeF anulował logowanie.", "Spróbuj ponownie.", True, False),
    )
}

_SESSION = {
    row.code: row
    for row in (
        SessionCode(100, "Sesja otwarta.", False, False),
        SessionCode(150, "KSeF przetwarza paczkę.", False, False),
        SessionCode(170, "Sesja zamknięta, KSeF przetwarza faktury.", False, False),
        SessionCode(200, "Sesja przetworzona.", True, False),
        SessionCode(405, "Elementy paczki nie przeszły weryfikacji.", True, True),
        SessionCode(415, "KSeF nie odczytał klucza szyfrującego.", True, True),
        SessionCode(420, "Za dużo faktur w sesji.", True, True),
        SessionCode(430, "KSeF nie rozpakował paczki.", True, True),
        SessionCode(435, "KSeF nie odszyfrował paczki.", True, True),
        SessionCode(440, "Sesja anulowana: nie dotarły faktury albo minął czas.", True, True),
        SessionCode(445, "Sesja przetworzona, żadna faktura nie przeszła – każda ma swój powód.", True, False),
        SessionCode(500, "Nieznany błąd po stronie KSeF.", True, False),
    )
}

_ENROLMENT = {
    row.code: row
    for row in (
        EnrolmentCode(100, "KSeF przyjął wniosek i wystawia certyfikat.", "Czekaj.", False),
        EnrolmentCode(200, "Certyfikat jest wystawiony.", "Nic.", True),
        EnrolmentCode(
            400,
            "KSeF odrzucił wniosek o certyfikat.",
            "Sprawdź limity certyfikatów, odwołaj zbędny i zamów jeszcze raz.",
            True,
        ),
        EnrolmentCode(500, "Nieznany błąd po stronie KSeF.", "Zamów później jeszcze raz.", True),
        EnrolmentCode(550, "KSeF anulował wniosek z przyczyn wewnętrznych.", "Zamów jeszcze raz.", True),
    )
}

# Refusals of the certificate calls (facts §6), each with what to do.
_CERTIFICATE_REFUSALS = {
    25001: "Po zalogowaniu tokenem KSeF nie ma danych do wniosku – zaloguj biuro certyfikatem albo podpisem.",
    25002: "Po zalogowaniu tokenem KSeF nie można zamówić certyfikatu – zaloguj biuro certyfikatem albo podpisem.",
    25003: "Dane we wniosku różnią się od danych zalogowanego – zamów certyfikat jeszcze raz.",
    25004: "KSeF nie odczytał wniosku o certyfikat – zamów certyfikat jeszcze raz.",
    25005: "KSeF nie zna tego wniosku o certyfikat – zamów certyfikat jeszcze raz.",
    25006: "Limit wniosków o certyfikaty jest wyczerpany – KSeF nie przyjmie już żadnego.",
    25007: "Limit posiadanych certyfikatów jest wyczerpany – odwołaj certyfikat, który nie jest potrzebny.",
    25008: "KSeF nie zna tego certyfikatu – nie on go wystawił.",
    25009: "Ten certyfikat był już odwołany, zablokowany albo wygasł.",
    25010: "KSeF nie przyjął rodzaju klucza – zamów certyfikat jeszcze raz.",
    25011: "KSeF nie przyjął podpisu wniosku – zamów certyfikat jeszcze raz.",
}

_GRANT = {
    row.code: row
    for row in (
        GrantCode(100, "KSeF zapisuje nadanie uprawnień.", "Czekaj.", False, False),
        GrantCode(200, "Uprawnienia nadane.", "Nic.", True, False),
        GrantCode(400, "KSeF nie wykonał nadania uprawnień.", "Ponów nadanie.", True, True),
        GrantCode(
            410,
            "KSeF uznał, że firma klienta i biuro są w relacji, w której tego uprawnienia się nie nadaje.",
            "Sprawdź NIP klienta i NIP biura.",
            True,
            False,
        ),
        GrantCode(
            420,
            "Osoba, która podpisała, nie ma prawa nadawać uprawnień w KSeF tej firmy.",
            "Podpisać musi właściciel albo osoba, która zarządza uprawnieniami.",
            True,
            False,
        ),
        GrantCode(
            430,
            "Firma klienta nie ma w KSeF roli albo uprawnień potrzebnych do tego nadania.",
            "Klient musi wyjaśnić swoją rolę w KSeF z urzędem skarbowym.",
            True,
            False,
        ),
        GrantCode(
            440,
            "KSeF nie pozwala na to nadanie między tymi firmami.",
            "Klient może nadać uprawnienia w aplikacji Ministerstwa – wyślij mu pismo.",
            True,
            False,
        ),
        GrantCode(
            450,
            "KSeF nie pozwala nadać tych uprawnień NIP-owi biura.",
            "Sprawdź NIP biura; klient może nadać uprawnienia w aplikacji Ministerstwa.",
            True,
            False,
        ),
        GrantCode(
            500, "Nieznany błąd po stronie KSeF przy nadawaniu uprawnień.", "Ponów nadanie za chwilę.", True, True
        ),
        GrantCode(550, "KSeF anulował nadawanie uprawnień.", "Ponów nadanie.", True, True),
    )
}


_DELEGATE = "Klient musi nadać biuru uprawnienie z prawem do dalszego przekazywania – wyślij mu pismo."
_OPERATION = {
    row.code: row
    for row in (
        OperationCode(100, "KSeF przyjął polecenie.", "Czekaj.", False),
        OperationCode(200, "Zrobione.", "Nic.", True),
        OperationCode(
            400, "KSeF nie wykonał polecenia.", "Odśwież listę i sprawdź, czy nie jest już tak, jak ma być.", True
        ),
        OperationCode(410, "Podane numery nie pasują do siebie.", "Sprawdź PESEL albo NIP osoby i NIP klienta.", True),
        OperationCode(
            420,
            "Zalogowany profil biura nie ma prawa nadawać uprawnień.",
            "Potrzebne jest CredentialsManage we własnym kontekście biura – autoryzuj biuro jako właściciel.",
            True,
        ),
        OperationCode(430, "Klient nie dał biuru prawa, które można przekazać pracownikowi.", _DELEGATE, True),
        OperationCode(440, "KSeF nie pozwala na to uprawnienie między tymi podmiotami.", _DELEGATE, True),
        OperationCode(
            450,
            "Tej osobie albo temu rodzajowi numeru nie można nadać uprawnienia.",
            "Sprawdź numer osoby; pracownik to osoba fizyczna: PESEL, jej NIP albo odcisk certyfikatu.",
            True,
        ),
        OperationCode(500, "Nieznany błąd po stronie KSeF.", "Program sprawdza na liście, co jest.", True, unsure=True),
        OperationCode(550, "KSeF anulował polecenie.", "Zleć je jeszcze raz.", True),
    )
}


def operation_code(code: int) -> OperationCode:
    """What a status of an operation on rights means; of an unknown one only the list can tell what it did."""
    known = _OPERATION.get(code)
    if known is not None:
        return known
    text = f"KSeF podał nieznany stan polecenia ({code})."
    return OperationCode(code, text, _unknown_advice(code), code >= 400, unsure=True)


def invoice_code(code: int) -> InvoiceCode:
    """What a status of an invoice means. An unknown one below 200 runs, from 400 on it failed; it is never resent."""
    known = _INVOICE.get(code)
    if known is not None:
        return known
    return InvoiceCode(code, f"KSeF podał nieznany stan faktury ({code}).", _unknown_advice(code), code >= 400)


def auth_code(code: int) -> AuthCode:
    """What a status of a login means."""
    known = _AUTH.get(code)
    if known is not None:
        return known
    return AuthCode(code, f"KSeF podał nieznany stan logowania ({code}).", _unknown_advice(code), code >= 400, False)


def session_code(code: int) -> SessionCode:
    """What a status of a session means; an unknown one never frees invoices."""
    known = _SESSION.get(code)
    if known is not None:
        return known
    return SessionCode(code, f"KSeF podał nieznany stan sesji ({code}).", code >= 400, False)


def enrolment_code(code: int) -> EnrolmentCode:
    """What a status of an order for a certificate means."""
    known = _ENROLMENT.get(code)
    if known is not None:
        return known
    return EnrolmentCode(code, f"KSeF podał nieznany stan wniosku ({code}).", _unknown_advice(code), code >= 400)


def certificate_refusal(code: int | None) -> str | None:
    """Why KSeF refuses something about a certificate, and what to do; None for a code of another kind."""
    return None if code is None else _CERTIFICATE_REFUSALS.get(code)


def grant_code(code: int) -> GrantCode:
    """What a status of an operation on permissions means; an unknown failure may be tried again."""
    known = _GRANT.get(code)
    if known is not None:
        return known
    sentence = f"KSeF podał nieznany stan nadania uprawnień ({code})."
    return GrantCode(code, sentence, _unknown_advice(code), code >= 400, code >= 400)


def _unknown_advice(code: int) -> str:
    return "Zajrzyj do szczegółów i zapytaj wsparcie KSeF." if code >= 400 else _WAIT
