"""The way from an empty program to the first clients, said step by step where a person stands (design §7, §9):
the office logs in at home by a signature, orders a KSeF certificate, which becomes its profile; then come the clients."""

from __future__ import annotations

import sqlite3

from ksef_tui.domain.authorizations import AuthMethod, AuthState
from ksef_tui.domain.certificates import ORDER_WORDS, UNDER_WAY
from ksef_tui.domain.times import from_text, warsaw
from ksef_tui.services.office import Office

Said = tuple[str, str, tuple[str, ...]]  # what is so, what comes next, the keys for it
_PROFILES = ("profiles",)


def said(office: Office, row: sqlite3.Row, state: AuthState) -> Said | None:
    """What the authorisation of a client (`client_views` row) says about these steps; None: nothing of them."""
    if not row["office"]:
        return _client(office, row, state)
    order = _under_way(office, row["client_id"])
    if order is not None:
        return order
    works = state in (AuthState.ACTIVE, AuthState.EXPIRING) and not row["reason_code"]
    if state is AuthState.MISSING:
        return _not_at_home(office)
    if works and row["method"] == AuthMethod.EXTERNAL and not _has_profile(office):
        until = f"{warsaw(from_text(row['valid_until'])):%d.%m %H:%M}" if row["valid_until"] else ""
        return (
            f"Biuro jest zalogowane u siebie podpisem, do {until}.",
            "Zamów teraz certyfikat KSeF (d): będzie profilem, którym biuro loguje się u klientów przez dwa lata.",
            (*_PROFILES, "auth.check", "auth.revoke"),
        )
    if works and row["method"] == AuthMethod.CERTIFICATE and not _has_clients(office):
        return (
            f"Biuro jest zalogowane u siebie profilem {row['identity_label']}.",
            "Teraz klienci: n dodaje klienta, y pobiera z KSeF tych, którzy nadali biuru uprawnienia.",
            ("client.add", *_PROFILES, "auth.check"),
        )
    return None


def _client(office: Office, row: sqlite3.Row, state: AuthState) -> Said | None:
    if state is not AuthState.MISSING or _has_profile(office):
        return None
    return (
        f"{row['name']}: biuro nie ma jeszcze profilu, którym mogłoby się zalogować.",
        "Najpierw profil biura: d. O uprawnienia można poprosić klienta już teraz – pismo do niego: l.",
        (*_PROFILES, "client.letter", "auth.start"),
    )


def _not_at_home(office: Office) -> Said:
    if _has_profile(office):
        return (
            "To samo biuro: ma profil, ale nie jest zalogowane u siebie.",
            "a Autoryzuj: profil biura. Wtedy widać, którzy klienci nadali uprawnienia, i można zamawiać certyfikaty.",
            ("auth.start", *_PROFILES),
        )
    return (
        "Tu się zaczyna: biuro nie ma jeszcze profilu, którym loguje się u klientów.",
        "d prowadzi do pierwszego: podpisem biura zamawia się certyfikat KSeF, a gotowy certyfikat dodaje się z plików.",
        (*_PROFILES, "auth.start"),
    )


def _under_way(office: Office, client_id: int) -> Said | None:
    marks = ", ".join("?" * len(UNDER_WAY))
    order = office.db.row(
        f"SELECT label, state, reason FROM enrolment WHERE client_id = ? AND state IN ({marks}) ORDER BY id DESC LIMIT 1",  # noqa: S608
        (client_id, *UNDER_WAY),
    )
    if order is None:
        return None
    word = order["reason"] or f"{ORDER_WORDS[order['state']]}…"
    return f"Certyfikat KSeF „{order['label']}”: {word}", "", _PROFILES


def _has_profile(office: Office) -> bool:
    return bool(
        office.db.value("SELECT EXISTS (SELECT 1 FROM identity WHERE removed_at IS NULL AND client_id IS NULL)")
    )


def _has_clients(office: Office) -> bool:
    return bool(office.db.value("SELECT EXISTS (SELECT 1 FROM client WHERE office = 0 AND archived_at IS NULL)"))
