"""A client's visit (`services.onboarding`) as the authorisation pane shows it: its chain of steps, and what is happening."""

from __future__ import annotations

import sqlite3
from datetime import datetime

from ksef_tui.domain.authorizations import AuthState, AuthStep
from ksef_tui.domain.onboarding import CHAIN, OnboardingStep, place
from ksef_tui.domain.times import from_text, warsaw
from ksef_tui.services.office import Office
from ksef_tui.services.views import StepView, VisitView
from ksef_tui.store import offices, onboardings


def visit(office: Office, row: sqlite3.Row, state: AuthState) -> VisitView | None:
    """How far a client's visit came; None when there is none. `row`: the client's authorisation, `state`: as of today."""
    stored = onboardings.get(office.db, row["client_id"])
    if stored is None:
        return None
    identity = offices.identity(office.db, stored["identity_id"])
    session = onboardings.session(office.db, stored["session"]) if stored["session"] else None
    step = OnboardingStep(stored["step"])
    under_way = state in (AuthState.RUNNING, AuthState.TO_SIGN)
    ended = step is OnboardingStep.END
    return VisitView(
        step=step,
        identity=identity["label"] if identity is not None else "",
        identity_id=stored["identity_id"],
        is_shown=under_way or (state in (AuthState.ACTIVE, AuthState.EXPIRING) if ended else bool(row["step_failed"])),
        can_resume=not under_way and can_resume(office, stored),
        logged_in_until=None if session is None else from_text(session["refresh_until"]),
    )


def can_resume(office: Office, stored: sqlite3.Row) -> bool:
    """Whether a visit that stopped goes on without a new signature."""
    if stored["step"] in (OnboardingStep.SIGN, OnboardingStep.END):
        return False
    if stored["step"] == OnboardingStep.AUTHORISE:  # the office's own profile is enough
        return True
    session = onboardings.session(office.db, stored["session"])
    return session is not None and session["end_at"] is None and from_text(session["refresh_until"]) > office.clock()


def code(found: VisitView | None) -> str:
    """How far it came, as scripts see it: a step, or `done` when the client's own login has ended too."""
    if found is None:
        return ""
    return "done" if found.step is OnboardingStep.END and found.logged_in_until is None else found.step.value


def steps(found: VisitView, row: sqlite3.Row, state: AuthState) -> tuple[StepView, ...]:
    """The longer chain: żądanie → podpis → nadanie → weryfikacja → uprawnienia → koniec sesji."""
    here = place(found.step, row["step"] or AuthStep.REQUEST)
    at = CHAIN.index(here)
    views = []
    for number, step in enumerate(CHAIN):
        shown, detail = ("done" if number < at else "pending"), ""
        if number == at and here is AuthStep.END:
            shown = "done" if found.logged_in_until is None else "running"
        elif number == at and row["step_failed"]:
            digits = row["reason_code"].removeprefix("grant_")
            shown, detail = "failed", digits if digits.isdigit() else ""
        elif number == at:
            shown = "waiting" if state is AuthState.TO_SIGN else "running"
        views.append(StepView(step, shown, detail))
    return tuple(views)


def sentence(
    office: Office, found: VisitView, row: sqlite3.Row, state: AuthState, now: datetime
) -> tuple[str, str] | None:
    """What is happening and what is needed; None where the visit has nothing to say."""
    if state is AuthState.TO_SIGN:
        return _to_sign(found, row, now)
    if state is AuthState.RUNNING:
        return row["reason"] or _running(office, found, row), ""
    if found.step is not OnboardingStep.END and row["reason"]:
        return row["reason"], _what_next(found)
    return None


def _to_sign(found: VisitView, row: sqlite3.Row, now: datetime) -> tuple[str, str] | None:
    if row["sign_until"] is None or from_text(row["sign_until"]) <= now:
        return None
    until = warsaw(from_text(row["sign_until"])).strftime("%H:%M:%S")
    return (
        f"Żądanie czeka na podpis klienta do {until}: Podpis Zaufany albo podpis lub pieczęć kwalifikowana.",
        "Podpisuje właściciel firmy albo osoba, która zarządza jej uprawnieniami w KSeF. Resztę zrobi program: nada "
        f"uprawnienia biuru, połączy je profilem {found.identity} i wyloguje klienta.",
    )


def _running(office: Office, found: VisitView, row: sqlite3.Row) -> str:
    here = place(found.step, row["step"] or AuthStep.REQUEST)
    if here is AuthStep.REQUEST:
        return "Przygotowuję żądanie do podpisu…"
    if here is AuthStep.SIGN:
        return "KSeF sprawdza podpis klienta…"
    if found.step is OnboardingStep.GRANT:
        return f"Klient zalogowany. Nadaję uprawnienia biuru, NIP {office.nip}…"
    if found.step is OnboardingStep.WAIT:
        return "KSeF zapisuje nadanie uprawnień…"
    if here is AuthStep.RIGHTS:
        return "Sprawdzam, co biuro może u klienta…"
    return f"Uprawnienia nadane. Loguję biuro profilem {found.identity}…"


def _what_next(found: VisitView) -> str:
    if not found.can_resume:
        return "Potrzebny jest nowy podpis klienta: a Autoryzuj, klient podpisuje teraz."
    if found.step is OnboardingStep.AUTHORISE:
        return "Uprawnienia są nadane, klient nie jest już potrzebny: a Autoryzuj dokończy łączenie."
    until = f" do {warsaw(found.logged_in_until):%d.%m %H:%M}" if found.logged_in_until is not None else ""
    return (
        f"Klient jest jeszcze zalogowany{until}: a Autoryzuj dokończy bez nowego podpisu, b Przerwij wyloguje klienta."
    )
