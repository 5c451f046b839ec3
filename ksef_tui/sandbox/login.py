"""Logging in: challenge, signed document or KSeF token, status, redeem, refresh, list, revoke (facts §4)."""

from __future__ import annotations

import hashlib
import hmac
import json
import sqlite3
from typing import Any

from ksef_tui.sandbox import jwt
from ksef_tui.sandbox.authdoc import ADDRESSES, AuthRequest, judge, subject_of
from ksef_tui.sandbox.clock import DAY, MINUTE, iso, now_ms
from ksef_tui.sandbox.errors import BadRequest, Gone, Unauthorized
from ksef_tui.sandbox.fields import Fields, invalid
from ksef_tui.sandbox.keys import TOKEN
from ksef_tui.sandbox.numbers import reference
from ksef_tui.sandbox.rights import Rights, identities, is_deceased, rights_of
from ksef_tui.sandbox.signers import names_of
from ksef_tui.sandbox.web import NO_TOKEN, Call, Endpoint, Reply, continuation, paged

_CHALLENGE_LIFE = 10 * MINUTE
_OPERATION_LIFE = 45 * MINUTE
_ACCESS_LIFE = 15 * MINUTE
_REFRESH_LIFE = 7 * DAY
_KEPT = 7 * DAY

SUCCESS = 200
_DESCRIPTIONS = {
    100: "Uwierzytelnianie w toku",
    SUCCESS: "Uwierzytelnianie zakończone sukcesem",
    415: "Uwierzytelnianie zakończone niepowodzeniem",
    425: "Uwierzytelnienie unieważnione",
    450: "Uwierzytelnianie zakończone niepowodzeniem z powodu błędnego tokenu",
    460: "Uwierzytelnianie zakończone niepowodzeniem z powodu błędu certyfikatu",
    470: "Uwierzytelnianie zakończone niepowodzeniem z powodu próby wykorzystania metod autoryzacyjnych osoby zmarłej",
    480: "Uwierzytelnienie zablokowane",
}
_METHODS = {
    "Token": ("Token", "token.ksef", "Token KSeF"),
    "InternalCertificate": ("XadesSignature", "xades.ksef-certificate", "Certyfikat KSeF"),
    "QualifiedSeal": ("XadesSignature", "xades.qualified-seal", "Pieczęć kwalifikowana"),
    "QualifiedSignature": ("XadesSignature", "xades.qualified-signature", "Podpis kwalifikowany"),
}
_CONTEXTS = ("Nip", "InternalId", "NipVatUe", "PeppolId")

Outcome = tuple[int, list[str]]


def challenge(call: Call) -> Reply:
    """`POST /auth/challenge`."""
    number, created = reference("CR"), now_ms()
    call.state.run("DELETE FROM challenge WHERE created < ?", created - 2 * _CHALLENGE_LIFE)
    call.state.insert("challenge", challenge=number, created=created)
    body = {"challenge": number, "timestamp": iso(created), "timestampMs": created, "clientIp": call.address}
    return Reply(json=body)


def _use_challenge(call: Call, number: str) -> int:
    """Marks it used and gives its time; each serves once within ten minutes."""
    row = call.state.row("SELECT created, used FROM challenge WHERE challenge = ?", number)
    if row is None or row["used"] or row["created"] + _CHALLENGE_LIFE < now_ms():
        raise BadRequest(21111)
    call.state.run("UPDATE challenge SET used = 1 WHERE challenge = ?", number)
    return int(row["created"])


def xades_signature(call: Call) -> Reply:
    """`POST /auth/xades-signature`."""
    request = judge(call.body)
    weather = call.sandbox.faults.strike("certificate_check_down", call.method, call.path)
    if weather is not None and weather.params.get("code", 21115) == 21115:
        raise BadRequest(21115, "Nie można zweryfikować certyfikatu.")
    subject, method, trouble = _signer(call, request)
    if request.context[0] == "PeppolId" and request.context != subject:
        raise BadRequest(21117)
    _use_challenge(call, request.challenge)
    trouble = "Błąd weryfikacji łańcucha certyfikatów" if weather is not None else trouble
    outcome = (460, [trouble]) if trouble else _admission(call, request.context, subject)
    reply = _start(
        call,
        request.context,
        subject,
        outcome,
        method=method,
        document_hash=request.document_hash,
        ip_policy=json.dumps(request.policy) if request.policy else None,
    )
    names = names_of(request.certificate)
    call.state.insert("signer", auth_ref=reply.json["referenceNumber"], names=names)
    return reply


def _signer(call: Call, request: AuthRequest) -> tuple[tuple[str, str], str, str | None]:
    """Who signed and with what, and what is wrong with the certificate (status 460). Raises BadRequest(21115)."""
    known = call.sandbox.authority.know(request.certificate)
    if known is not None:
        # Its own record says whose it is; the names in it need not.
        own = None if request.by_fingerprint else known.subject
        if known.trouble is None:
            call.state.run("UPDATE certificate SET used = ? WHERE serial = ?", now_ms(), known.serial)
        subject = own or subject_of(request.certificate, request.by_fingerprint)[0]
        return subject, "InternalCertificate", known.trouble
    subject, method = subject_of(request.certificate, request.by_fingerprint)
    if not request.certificate_valid:
        return subject, method, "Nieważny certyfikat"
    chain = call.query.get("verifyCertificateChain", "").lower() == "true"
    return subject, method, "Niezaufany łańcuch certyfikatów" if request.self_signed and chain else None


def ksef_token(call: Call) -> Reply:
    """`POST /auth/ksef-token`."""
    fields = call.fields()
    number = fields.text("challenge", 36, 36)
    context = fields.identifier("contextIdentifier", _CONTEXTS)
    ciphertext = fields.binary("encryptedToken")
    key_id = fields.text("publicKeyId", 44, 44) if fields.has("publicKeyId") else None
    policy = _policy(fields)
    plain = call.sandbox.keys.decrypt(TOKEN, ciphertext, key_id)
    created = _use_challenge(call, number)
    row, outcome = _judge_token(call, plain, created, context)
    subject = (row["author_type"], row["author_value"]) if row is not None else context
    if outcome[0] == SUCCESS:
        outcome = _admission(call, context, subject)
    token_ref = row["ref"] if row is not None else None
    return _start(call, context, subject, outcome, method="Token", token_ref=token_ref, ip_policy=policy)


def _policy(fields: Fields) -> str | None:
    if not fields.has("authorizationPolicy") or not fields.inner("authorizationPolicy").has("allowedIps"):
        return None
    allowed = fields.inner("authorizationPolicy").inner("allowedIps")
    policy = {name: allowed.texts(name) for name, _ in ADDRESSES.values()}
    for name, pattern in ADDRESSES.values():
        if not all(pattern.fullmatch(text) for text in policy[name]):
            raise invalid(allowed.name(name), "nieprawidłowy adres.")
    if not any(policy.values()):
        return None
    return json.dumps(policy)


def _judge_token(
    call: Call, plain: bytes | None, created: int, context: tuple[str, str]
) -> tuple[sqlite3.Row | None, Outcome]:
    """The token that was sent, if it is one of ours, and what is wrong with it."""
    if plain is None:
        return None, (450, ["Nieprawidłowe szyfrowanie tokena"])
    try:
        secret, separator, stamp = plain.decode("utf-8").rpartition("|")
    except UnicodeDecodeError:
        return None, (450, ["Nieprawidłowe kodowanie tokena"])
    row = call.state.row("SELECT * FROM token WHERE ref = ?", secret.partition("|")[0])
    if not separator or row is None or not hmac.compare_digest(row["secret_hash"], hash_secret(secret)):
        return None, (450, ["Nieprawidłowy token"])
    reason = None
    if stamp != str(created):
        reason = "Nieprawidłowy czas tokena"
    elif row["revoked"] is not None:
        reason = "Token unieważniony"
    elif row["due"] > now_ms():
        reason = "Token nieaktywny"
    elif (row["context_type"], row["context_value"]) != context:
        reason = f"Token nie może być użyty w kontekście {context[1]}"
    else:
        call.state.run("UPDATE token SET used = ? WHERE ref = ?", now_ms(), row["ref"])
    return row, (450, [reason]) if reason else (SUCCESS, [])


def hash_secret(secret: str) -> str:
    """What is kept of a KSeF token."""
    return hashlib.sha256(secret.encode()).hexdigest()


def _admission(call: Call, context: tuple[str, str], subject: tuple[str, str]) -> Outcome:
    """Whether the subject may work in the context at all."""
    fault = next((f for f in call.sandbox.faults.active if f.name == "blocked_480"), None)
    if fault is not None and fault.params.get("nip", "all") in ("all", context[1], subject[1]):
        call.sandbox.faults.strike("blocked_480", call.method, call.path)
        return 480, ["Podejrzenie incydentu bezpieczeństwa"]
    if _is_blocked(call, context, subject):
        return 480, ["Podejrzenie incydentu bezpieczeństwa"]
    if is_deceased(call.state, subject):
        return 470, []
    if not rights_of(call.state, subject, context).any:
        return 415, ["Brak przypisanych uprawnień"]
    return SUCCESS, []


def _is_blocked(call: Call, context: tuple[str, str], subject: tuple[str, str]) -> bool:
    """Whether the ministry stopped logins in this context, or of this subject wherever it goes."""
    if call.state.value("SELECT 1 FROM blocked WHERE type = ? AND value = ?", *context):
        return True
    sql = "SELECT 1 FROM blocked_subject WHERE type = ? AND value = ?"
    return any(call.state.value(sql, *same) for same in identities(call.state, subject))


def _start(
    call: Call, context: tuple[str, str], subject: tuple[str, str], outcome: Outcome, **fields: str | None
) -> Reply:
    number, now = reference("AU"), now_ms()
    call.state.insert(
        "authentication",
        ref=number,
        created=now,
        due=call.due(),
        context_type=context[0],
        context_value=context[1],
        subject_type=subject[0],
        subject_value=subject[1],
        code=outcome[0],
        details=outcome[1],
        **fields,
    )
    row = _row(call, number)
    token = _token(call, row, jwt.OPERATION, now + _OPERATION_LIFE)
    return Reply(202, {"referenceNumber": number, "authenticationToken": token})


def _row(call: Call, number: str) -> sqlite3.Row:
    row = call.state.row("SELECT * FROM authentication WHERE ref = ?", number)
    if row is None:
        raise BadRequest(21304, f"Operacja uwierzytelniania o numerze referencyjnym {number} nie została znaleziona.")
    return row


def _rights(call: Call, row: sqlite3.Row) -> Rights:
    """What the login may do now: the subject's rights, cut to those of the KSeF token if one was used."""
    rights = rights_of(
        call.state, (row["subject_type"], row["subject_value"]), (row["context_type"], row["context_value"])
    )
    if row["token_ref"] is None:
        return rights
    wanted = json.loads(call.state.value("SELECT permissions FROM token WHERE ref = ?", row["token_ref"]))
    return Rights(owner=False, permissions=tuple(p for p in rights.permissions if p in wanted))


def _token(call: Call, row: sqlite3.Row, kind: str, expires: int, rights: Rights | None = None) -> dict[str, str]:
    subject = {"SubjectIdentifier": {"Type": row["subject_type"], "Value": row["subject_value"]}}
    claims: dict[str, Any] = {
        "typ": kind,
        "cit": row["context_type"],
        "civ": row["context_value"],
        "aum": row["method"],
        "arn": row["ref"],
        "sud": json.dumps(subject),
    }
    if rights is not None:
        given = ["Owner"] if rights.owner else list(rights.permissions)
        claims |= {"per": json.dumps(given), "pec": "[]", "rol": "[]", "pep": json.dumps(list(rights.permissions))}
    if row["ip_policy"] is not None:
        claims["ipp"] = row["ip_policy"]
    claims |= {"exp": expires // 1000, "iat": now_ms() // 1000, "iss": "ksef-sandbox", "aud": "ksef-api-sandbox"}
    return {"token": jwt.encode(claims, call.sandbox.secret), "validUntil": iso(expires // 1000 * 1000)}


def _current(row: sqlite3.Row) -> Outcome:
    if row["due"] > now_ms():
        return 100, []
    if row["revoked"] is not None and row["code"] == SUCCESS:
        return 425, []
    return row["code"], json.loads(row["details"])


def _shown(row: sqlite3.Row) -> dict[str, Any]:
    code, details = _current(row)
    category, name, title = _METHODS[row["method"]]
    body = {
        "startDate": iso(row["created"]),
        "authenticationMethod": row["method"],
        "authenticationMethodInfo": {"category": category, "code": name, "displayName": title},
        "status": {"code": code, "description": _DESCRIPTIONS[code], **({"details": details} if details else {})},
        "isTokenRedeemed": bool(row["redeemed"]),
    }
    if row["refreshed"] is not None:
        body["lastTokenRefreshDate"] = iso(row["refreshed"])
    if row["refresh_until"] is not None:
        body["refreshTokenValidUntil"] = iso(row["refresh_until"])
    return body


def status(call: Call) -> Reply:
    """`GET /auth/{referenceNumber}`, with the token of this very operation."""
    number = call.params["reference"]
    row = _row(call, number)
    if call.who.ref != number:
        raise Unauthorized("Token nie należy do tej operacji uwierzytelniania.")
    if row["created"] + _KEPT < now_ms():
        raise Gone("Status operacji uwierzytelniania nie jest już dostępny.")
    return Reply(json=_shown(row))


def redeem(call: Call) -> Reply:
    """`POST /auth/token/redeem`: once."""
    row = _row(call, call.who.ref)
    code, _ = _current(row)
    if row["redeemed"]:
        raise BadRequest(21301, f"Tokeny dla operacji uwierzytelniania {row['ref']} zostały już pobrane.")
    if code != SUCCESS:
        raise BadRequest(21301, f"Status uwierzytelniania ({code}) nie pozwala na pobranie tokenów.")
    _living(call, row)
    now = now_ms()
    until = now + _REFRESH_LIFE
    call.state.run("UPDATE authentication SET redeemed = 1, refresh_until = ? WHERE ref = ?", until, row["ref"])
    access = _token(call, row, jwt.ACCESS, now + _ACCESS_LIFE, _rights(call, row))
    return Reply(json={"accessToken": access, "refreshToken": _token(call, row, jwt.REFRESH, until)})


def _living(call: Call, row: sqlite3.Row) -> None:
    if is_deceased(call.state, (row["subject_type"], row["subject_value"])):
        raise BadRequest(21308)
    if row["token_ref"] is not None and call.state.value("SELECT revoked FROM token WHERE ref = ?", row["token_ref"]):
        raise BadRequest(21301, "Token KSeF został unieważniony.")


def refresh(call: Call) -> Reply:
    """`POST /auth/token/refresh`: a new access token with the rights of now."""
    row = _row(call, call.who.ref)
    if call.sandbox.faults.strike("auth_revoked", call.method, call.path):
        raise BadRequest(21301, "Status uwierzytelniania (425) nie pozwala na odświeżenie tokenu dostępowego.")
    code, _ = _current(row)
    if code != SUCCESS:
        raise BadRequest(21301, f"Status uwierzytelniania ({code}) nie pozwala na odświeżenie tokenu dostępowego.")
    _living(call, row)
    context, subject = (row["context_type"], row["context_value"]), (row["subject_type"], row["subject_value"])
    blocked = _is_blocked(call, context, subject)
    rights = _rights(call, row)
    # When the rights are gone the refresh token dies, while issued access tokens live on (facts, appendix A.3).
    if blocked or not rights.any:
        reason = 480 if blocked else 415
        raise BadRequest(21301, f"Status uwierzytelniania ({reason}) nie pozwala na odświeżenie tokenu dostępowego.")
    now = now_ms()
    call.state.run("UPDATE authentication SET refreshed = ? WHERE ref = ?", now, row["ref"])
    return Reply(json={"accessToken": _token(call, row, jwt.ACCESS, now + _ACCESS_LIFE, rights)})


def sessions(call: Call) -> Reply:
    """`GET /auth/sessions`: the living logins of this subject in this context, newest first."""
    size, start, who = call.page_size(100), continuation(call), call.who
    rows = call.state.rows(
        """
        SELECT * FROM authentication
        WHERE context_type = ? AND context_value = ? AND subject_type = ? AND subject_value = ?
          AND revoked IS NULL AND code = 200 AND due <= ? AND created > ?
        ORDER BY created DESC, ref LIMIT ? OFFSET ?""",
        *who.context,
        *who.subject,
        now_ms(),
        now_ms() - _KEPT,
        size + 1,
        start,
    )
    items = [{**_shown(row), "referenceNumber": row["ref"], "isCurrent": row["ref"] == who.ref} for row in rows]
    return Reply(json=paged("items", items, start, size))


def revoke_current(call: Call) -> Reply:
    """`DELETE /auth/sessions/current`."""
    return _revoke(call, call.who.ref)


def revoke(call: Call) -> Reply:
    """`DELETE /auth/sessions/{referenceNumber}`."""
    return _revoke(call, call.params["reference"])


def _revoke(call: Call, number: str) -> Reply:
    row, who = _row(call, number), call.who
    mine = (row["context_type"], row["context_value"]) == who.context
    if not mine or (row["subject_type"], row["subject_value"]) != who.subject:
        raise BadRequest(21304, f"Operacja uwierzytelniania o numerze referencyjnym {number} nie została znaleziona.")
    call.state.run("UPDATE authentication SET revoked = ifnull(revoked, ?) WHERE ref = ?", now_ms(), number)
    return Reply(204)


def public_keys(call: Call) -> Reply:
    """`GET /security/public-key-certificates`."""
    return Reply(json=call.sandbox.keys.published())


_OPEN = (NO_TOKEN,)
ENDPOINTS = (
    Endpoint("POST", "/auth/challenge", challenge, _OPEN),
    Endpoint("POST", "/auth/xades-signature", xades_signature, _OPEN),
    Endpoint("POST", "/auth/ksef-token", ksef_token, _OPEN),
    Endpoint("POST", "/auth/token/redeem", redeem, (jwt.OPERATION,)),
    Endpoint("POST", "/auth/token/refresh", refresh, (jwt.REFRESH,)),
    Endpoint("GET", "/auth/sessions", sessions),
    Endpoint("DELETE", "/auth/sessions/current", revoke_current, (jwt.ACCESS, jwt.REFRESH)),
    Endpoint("DELETE", "/auth/sessions/{reference}", revoke),
    Endpoint("GET", "/auth/{reference}", status, (jwt.OPERATION,)),
    Endpoint("GET", "/security/public-key-certificates", public_keys, _OPEN),
)
