"""What a client's flow says in words where it takes more than a line: one sentence, and what is to be done."""

from __future__ import annotations

import sqlite3
from datetime import datetime

from ksef_tui.domain.authorizations import seconds_to_sign
from ksef_tui.domain.times import from_text, warsaw

STILL_GRANTED = "still_granted"  # the service has ended, and the client has not taken the rights back


def to_sign(row: sqlite3.Row, now: datetime) -> tuple[str, str]:
    """A request that waits for a signature: until when, and the keys."""
    until = from_text(row["sign_until"]) if row["sign_until"] else None
    if not seconds_to_sign(until, now):
        return (
            "Żądanie straciło ważność: na podpis jest 10 minut.",
            "e robi nowe i pyta, gdzie je zapisać; podpisz je od razu, f wczytuje podpisane.",
        )
    assert until is not None
    return (
        f"Do podpisu do {warsaw(until):%H:%M:%S}: Podpis Zaufany, podpis albo pieczęć kwalifikowana.",
        "e zapisuje żądanie, f wczytuje podpisany plik. Nie otwieraj go w edytorze.",
    )


def ended(row: sqlite3.Row) -> tuple[str, str]:
    """Since when, and whether the client has taken the rights back."""
    since = f"{warsaw(from_text(row['ended_at'])):%d.%m.%Y}" if row["ended_at"] else ""
    seen = f"{warsaw(from_text(row['seen_at'])):%d.%m.%Y}" if row["seen_at"] else ""
    over = f"Obsługa zakończona {since}".strip()
    if row["reason_code"] == "unreachable" or (row["reason"] and row["reason_code"] != STILL_GRANTED):
        return f"{over}. {row['reason']}", ""
    if row["intent"] == "revoke":
        return f"{over}; kończę logowanie biura w KSeF…", ""
    if row["intent"] == "check":
        return f"{over}; sprawdzam, czy klient odebrał uprawnienia…", ""
    if row["gone"]:
        return f"{over}. Uprawnienia odebrane, sprawdzono {seen}.", "Gdyby klient wrócił: k wznawia obsługę."
    if row["gone"] is not None:
        return (
            f"{over}. Klient jeszcze nie odebrał biuru uprawnień, sprawdzono {seen}.",
            "l pismo do niego; gdy odbierze, r sprawdza jeszcze raz.",
        )
    return (
        f"{over}. Klient ma teraz odebrać biuru uprawnienia.",
        "l pismo do niego, r sprawdza, czy je odebrał. Gdyby wrócił: k wznawia obsługę.",
    )
