"""A client connected in one sitting (design §7): it signs once at the office's desk, and the program does the rest.

The client's login grants the office's NIP its rights and is ended; what stays is the office's own login. Every step is
in the database before the call that it leads to, so any process goes on with it; whoever calls `go_on` holds the
client's lease. The grant is never repeated after a lost answer: what is granted is read (design §6 rule 9).
"""

from __future__ import annotations

import sqlite3
from collections.abc import Awaitable, Callable
from datetime import timedelta

from ksef_tui.domain.authorizations import AuthMethod, AuthState, AuthStep
from ksef_tui.domain.onboarding import MAY_GRANT, RIGHTS, OnboardingStep
from ksef_tui.domain.problems import Problem
from ksef_tui.domain.roles import Act, Operator, require
from ksef_tui.domain.staff import masked
from ksef_tui.domain.times import from_text, to_text
from ksef_tui.ksef import claims
from ksef_tui.ksef import operations as op
from ksef_tui.ksef.api import Access
from ksef_tui.ksef.codes import grant_code
from ksef_tui.ksef.errors import KsefError, Limited, NotReachable, Refused, Unauthorized, Unknown
from ksef_tui.ksef.models import TokenPair
from ksef_tui.services import authorising, client_sessions, external, identity_rules
from ksef_tui.services.calls import NotNow
from ksef_tui.services.client_sessions import SessionOver
from ksef_tui.services.office import Office
from ksef_tui.services.onboarding_views import can_resume
from ksef_tui.services.turn import Turn
from ksef_tui.services.verdicts import Verdict, write_verdict
from ksef_tui.store import authorizations, offices, onboardings, signature_requests
from ksef_tui.store.records import audit

AGAIN = 2.0  # seconds until the next attempt when KSeF did not answer
PATIENCE = timedelta(minutes=5)  # how long a step is tried by itself; then a person decides
SEEN_WITHIN = timedelta(seconds=20)  # a grant whose answer was lost is on the list by then, or was not made
DESCRIPTION = "obsługa księgowa"

SIGN_AGAIN = "Potrzebny jest nowy podpis klienta – zrób nowe żądanie."


# ---- what people ask for


def profiles(office: Office, operator: Operator) -> list[sqlite3.Row]:
    """The profiles that a client can be connected with in one sitting: the office's own, valid, by label."""
    require(operator, Act.AUTH_START, None)
    return [row for row in offices.identities(office.db) if _unfit(office, row) is None]


def usual_profile(office: Office, operator: Operator, client_id: int) -> int:
    """The profile of an earlier visit of this client, or the only one that will do. Raises Problem("which_identity")."""
    require(operator, Act.AUTH_START, client_id)
    fit = profiles(office, operator)
    visit = onboardings.get(office.db, client_id)
    known = [row["id"] for row in fit if visit is not None and row["id"] == visit["identity_id"]]
    if known or len(fit) == 1:
        return int(known[0] if known else fit[0]["id"])
    which = f"Podaj, który: {', '.join(row['label'] for row in fit)}." if fit else "Dodaj profil na NIP biura."
    raise Problem("which_identity", f"Nie wiadomo, którym profilem biuro będzie pracować. {which}")


def start(office: Office, operator: Operator, client_id: int, identity_id: int) -> None:
    """Ask for a request that the client signs now; the rest goes by itself once `authorising.submit` has the signed file.

    `identity_id`: the office's profile that will work for the client. Raises Problem: a profile that will not do (an
    employee's, expired, unknown), the office's own account, and what every authorisation may be refused for.
    """
    require(operator, Act.AUTH_START, client_id)
    identity = offices.identity(office.db, identity_id)
    if identity is None or identity["removed_at"] is not None:
        raise Problem("unknown_identity", "Nie ma takiego profilu.")
    unfit = _unfit(office, identity)
    if unfit is not None:
        raise unfit
    client = offices.client(office.db, client_id)
    if client is not None and client["office"]:
        raise Problem(
            "own_account", "To konto samego biura: nikt nie nadaje uprawnień sam sobie. Autoryzuj je podpisem."
        )
    with office.db.write() as connection:
        authorising.start(
            office, operator, client_id,
            subject=f"{identity['subject_type']}:{identity['subject_value']}",
            method=AuthMethod.EXTERNAL, identity_id=None, sealed_token=None,
        )  # fmt: skip
        onboardings.put(connection, office.clock(), client_id, identity_id=identity_id, operator_id=operator.id)


def resume(office: Office, operator: Operator, client_id: int) -> None:
    """Go on where a client's visit stopped: with the client's login while it lives, with the office's profile alone once
    the rights are granted. What runs already goes on.

    Raises Problem: nothing to go on with, or the client must sign (again).
    """
    require(operator, Act.AUTH_START, client_id)
    visit, row = onboardings.get(office.db, client_id), authorizations.get(office.db, client_id)
    if visit is not None and visit["step"] == OnboardingStep.END and onboardings.session(office.db, visit["session"]):
        return  # all that is left is the end of the client's own login, which goes by itself
    if visit is None or visit["step"] == OnboardingStep.END:
        raise Problem("nothing_to_resume", "Ten klient nie ma zaczętego łączenia z podpisem klienta.")
    if row["state"] == AuthState.TO_SIGN:
        raise Problem("to_sign", "Żądanie czeka na podpis klienta – wczytaj podpisany plik.")
    if row["state"] == AuthState.RUNNING:
        return
    if not can_resume(office, visit):
        raise Problem("sign_again", SIGN_AGAIN)
    identity = offices.identity(office.db, visit["identity_id"])
    unfit = _unfit(office, identity) if identity is not None else None
    if identity is None or unfit is not None:
        raise unfit or Problem("unknown_identity", "Profil, którym klient miał być połączony, został usunięty.")
    alone = visit["step"] == OnboardingStep.AUTHORISE
    with office.db.write() as connection:
        authorising.start(
            office, operator, client_id,
            subject=f"{identity['subject_type']}:{identity['subject_value']}",
            method=AuthMethod.CERTIFICATE if alone else AuthMethod.EXTERNAL,
            identity_id=identity["id"] if alone else None, sealed_token=None, onboards=True,
        )  # fmt: skip
        step = AuthStep.VERIFY if alone else AuthStep.GRANT
        authorizations.note(connection, office.clock(), client_id, AuthState.RUNNING, step=step)
        onboardings.note(
            connection, visit, step_at=to_text(office.clock()), granting_at=None, reason_code="", reason=""
        )


def _unfit(office: Office, identity: sqlite3.Row) -> Problem | None:
    """Why a profile cannot be the one that the client grants rights to."""
    if identity["subject_type"] != "Nip" or identity["subject_value"] != office.nip:
        return Problem(
            "personal_identity",
            f"Klient nadaje uprawnienia firmie o NIP {office.nip}, a nie pracownikowi – wybierz profil na NIP biura.",
        )
    if from_text(identity["valid_to"]) <= office.clock():
        return Problem("certificate_expired", f"Certyfikat profilu {identity['label']} wygasł – dodaj nowy.")
    return identity_rules.stopped(identity)


# ---- what is done for it


def is_under_way(turn: Turn) -> bool:
    """Whether a login that was asked for is this client's visit, and not an ordinary one."""
    visit = onboardings.get(turn.office.db, turn.client_id)
    return visit is not None and visit["step"] != OnboardingStep.END


async def go_on(turn: Turn, row: sqlite3.Row, authorise: Callable[[Turn, sqlite3.Row], Awaitable[None]]) -> None:
    """The next step; the intent stays until the office's own login is judged or a person is needed.

    `authorise` logs the office in and writes down how it went.
    """
    visit = onboardings.get(turn.office.db, turn.client_id)
    assert visit is not None
    step = OnboardingStep(visit["step"])
    if step is OnboardingStep.AUTHORISE:
        await authorise(turn, row)
        return
    if step is OnboardingStep.SIGN:
        await external.go_on(turn, row, use=_signed_in)
        return
    try:
        access = await client_sessions.access(turn, visit["session"])
        await (_grant if step is OnboardingStep.GRANT else _wait)(turn, row, visit, access)
    except SessionOver:
        _session_over(turn, row, visit)
    except NotNow as wait:
        turn.come_back(wait.seconds)
    except Limited as limited:
        turn.come_back(limited.retry_after)
    except Unauthorized:
        client_sessions.forget_access(turn, visit["session"])
        _try_again(turn, row, visit, "KSeF nie uznaje tokenu klienta.")
    except (NotReachable, Unknown) as weather:
        _try_again(turn, row, visit, f"KSeF nie odpowiada. {weather.message}")
    except Refused as refused:
        _stop(turn, row, visit, _code(refused), refused.message, again=True)


async def _signed_in(turn: Turn, tokens: TokenPair, reference: str) -> Verdict | None:
    """The client is logged in. Its login is kept for granting alone; one that may not grant is ended."""
    said = claims.read(tokens.access_token.token)
    visit = onboardings.get(turn.office.db, turn.client_id)
    trouble: Verdict | None = None
    if said.context_value is not None and said.context_value != turn.nip:
        trouble = Verdict(
            AuthState.FAILED, AuthStep.GRANT, "wrong_context",
            f"KSeF zalogował do NIP {said.context_value} zamiast {turn.nip} – niczego nie nadano.",
        )  # fmt: skip
    elif said.permissions and not MAY_GRANT & set(said.permissions):
        who = masked(said.subject_type, said.subject_value) if said.subject_type and said.subject_value else "ta osoba"
        trouble = _may_not_grant(who)
    with turn.office.db.write() as connection:
        serves = trouble is None and visit is not None and visit["step"] == OnboardingStep.SIGN
        client_sessions.keep(connection, turn, tokens, reference, serves=serves)
        if serves and visit is not None:
            signature_requests.delete(connection, turn.client_id)
            _go(connection, turn, visit, OnboardingStep.GRANT, session=reference)
            audit(connection, turn.now, None, "onboarding.signed", client_id=turn.client_id, reference=reference)
    turn.come_back(0.05)
    return trouble


def _may_not_grant(who: str) -> Verdict:
    return Verdict(
        AuthState.FAILED, AuthStep.GRANT, "missing-permissions",
        f"Podpis złożył {who}, a brakuje mu w KSeF tej firmy prawa zarządzania uprawnieniami (CredentialsManage). "
        "Podpisać musi właściciel albo osoba z tym prawem.",
    )  # fmt: skip


async def _grant(turn: Turn, row: sqlite3.Row, visit: sqlite3.Row, access: Access) -> None:
    """Grant what is not granted yet. After a lost answer only reading tells, and then a person decides."""
    granted = await _granted(turn, access)
    wanted = [right for right in RIGHTS if not (granted or {}).get(right)]
    if not wanted:
        _to_own_login(turn, visit)
        return
    if visit["granting_at"] is not None:
        if granted is None:  # nobody may look: only the office's own login tells whether it was made
            _to_own_login(turn, visit)
        elif turn.now - from_text(visit["granting_at"]) < SEEN_WITHIN:
            _say(turn, "Odpowiedź KSeF na nadanie zginęła – sprawdzam, czy uprawnienia są na liście.")
            turn.come_back(1.0)
        else:
            lost = "Odpowiedź KSeF na nadanie zginęła, a na liście uprawnień go nie ma – ponów nadanie."
            _stop(turn, row, visit, "grant_unknown", lost, again=True)
        return
    await turn.ready(op.GRANT_ENTITY)
    if not _noted(turn, visit, granting_at=to_text(turn.now)):
        return
    try:
        operation = await turn.api.grant_entity(
            access, turn.office.nip, _full_name(turn.office.name), [(right, True) for right in wanted], DESCRIPTION
        )
    except Unknown:  # it may have been made: the next pass reads
        turn.come_back(1.0)
        return
    except (KsefError, NotNow) as error:  # it was not made
        _noted(turn, visit, granting_at=None)
        if not isinstance(error, Refused) or isinstance(error, Unauthorized):
            raise
        await _refused(turn, row, visit, access, error)
        return
    with turn.office.db.write() as connection:
        _go(connection, turn, visit, OnboardingStep.WAIT, operation=operation)
        audit(
            connection, turn.now, None, "onboarding.grant",
            client_id=turn.client_id, rights=wanted, to=turn.office.nip, operation=operation,
        )  # fmt: skip
    turn.come_back(0.1)


async def _refused(turn: Turn, row: sqlite3.Row, visit: sqlite3.Row, access: Access, refused: Refused) -> None:
    """The grant was refused at once: perhaps because it is there (facts §7.2), perhaps for want of a right."""
    if await _is_enough(turn, access):
        _to_own_login(turn, visit)
    elif refused.reason_code == "missing-permissions":
        session = onboardings.session(turn.office.db, visit["session"])
        kind, _, value = (session["signer"] if session is not None else "").partition(":")
        trouble = _may_not_grant(masked(kind, value) if value else "ktoś")
        _stop(turn, row, visit, trouble.reason_code, trouble.reason, again=False)
    else:
        _stop(turn, row, visit, _code(refused), refused.message, again=True)


async def _wait(turn: Turn, row: sqlite3.Row, visit: sqlite3.Row, access: Access) -> None:
    """Ask what became of the grant."""
    try:
        status = (await turn.api.operation_status(access, visit["operation"])).status
    except Unauthorized:
        raise
    except Refused:  # KSeF does not know it any more: the office's own login tells
        _to_own_login(turn, visit)
        return
    code = grant_code(status.code)
    if code.code == 200:
        _to_own_login(turn, visit)
    elif not code.terminal:
        waited = turn.now - from_text(visit["step_at"])
        if waited > PATIENCE:
            late = "KSeF nie zapisał nadania w 5 minut – sprawdź za chwilę."
            _stop(turn, row, visit, "timeout", late, again=True)
        else:
            turn.come_back(min(2.0, max(0.2, waited.total_seconds() / 5)))
    elif await _is_enough(turn, access):
        _to_own_login(turn, visit)
    else:
        details = f" ({'; '.join(status.details)})" if status.details else ""
        reason = f"{code.sentence}{details} {code.what_to_do}"
        _noted(turn, visit, step=OnboardingStep.GRANT, granting_at=None, operation="")
        visit = onboardings.get(turn.office.db, turn.client_id) or visit
        _stop(turn, row, visit, f"grant_{status.code}", reason, again=code.again)


async def _granted(turn: Turn, access: Access) -> dict[str, bool] | None:
    """What the client has granted to the office's NIP, each with: may be passed on. None: this login may not look."""
    try:
        grants = await turn.api.persons_grants(access, "PermissionsGrantedInCurrentContext")
    except Unauthorized:
        raise
    except Refused:
        return None
    found: dict[str, bool] = {}
    for grant in grants:
        to = grant.authorized_identifier
        if to is None or (to.type, to.value) != ("Nip", turn.office.nip) or grant.permission_state != "Active":
            continue
        if grant.permission_scope in RIGHTS:
            found[grant.permission_scope] = found.get(grant.permission_scope, False) or grant.can_delegate
    return found


async def _is_enough(turn: Turn, access: Access) -> bool:
    """Whether the office may work with what is granted, even if it may not pass it on."""
    granted = await _granted(turn, access)
    return granted is not None and set(RIGHTS) <= granted.keys()


def _full_name(name: str) -> str:
    """5–90 characters (facts §7.2)."""
    return (name if len(name) >= 5 else f"Biuro rachunkowe {name}")[:90].strip()


# ---- writing down


def _go(connection: sqlite3.Connection, turn: Turn, visit: sqlite3.Row, step: OnboardingStep, **values: object) -> bool:
    """To the next step, unless somebody gave the visit up meanwhile."""
    moved = onboardings.note(
        connection, visit, step=step, step_at=to_text(turn.now), reason_code="", reason="", **values
    )
    if moved:
        alone = step is OnboardingStep.AUTHORISE
        authorizations.note(
            connection, turn.now, turn.client_id, AuthState.RUNNING,
            step=AuthStep.VERIFY if alone else AuthStep.GRANT, step_failed=0, reason_code="", reason="",
            method=AuthMethod.CERTIFICATE if alone else AuthMethod.EXTERNAL,
            identity_id=visit["identity_id"] if alone else None,
        )  # fmt: skip
    return moved


def _to_own_login(turn: Turn, visit: sqlite3.Row) -> None:
    with turn.office.db.write() as connection:
        _go(connection, turn, visit, OnboardingStep.AUTHORISE)
        audit(connection, turn.now, None, "onboarding.granted", client_id=turn.client_id)
    turn.come_back(0.05)


def _noted(turn: Turn, visit: sqlite3.Row, **values: object) -> bool:
    with turn.office.db.write() as connection:
        return onboardings.note(connection, visit, **values)


def _say(turn: Turn, reason: str) -> None:
    """What is happening, for those who look."""
    with turn.office.db.write() as connection:
        authorizations.note(connection, turn.now, turn.client_id, AuthState.RUNNING, reason=reason)


def _try_again(turn: Turn, row: sqlite3.Row, visit: sqlite3.Row, reason: str) -> None:
    """Weather: by itself for some minutes, then a person decides when."""
    if turn.now - from_text(visit["step_at"]) < PATIENCE:
        _say(turn, f"{reason} Program ponawia.")
        turn.come_back(AGAIN)
    else:
        _stop(turn, row, visit, "unreachable", reason, again=True)


def _session_over(turn: Turn, row: sqlite3.Row, visit: sqlite3.Row) -> None:
    """The client's login is over. A grant that KSeF has accepted may stand: the office's own login tells."""
    if visit["step"] == OnboardingStep.WAIT or visit["granting_at"] is not None:
        _to_own_login(turn, visit)
        return
    reason = "Logowanie klienta skończyło się, zanim nadano uprawnienia. " + SIGN_AGAIN
    _stop(turn, row, visit, "sign_again", reason, again=False)


def _stop(turn: Turn, row: sqlite3.Row, visit: sqlite3.Row, code: str, reason: str, *, again: bool) -> None:
    """It stops here until a person acts. `again`: the client's login is kept to go on with; else it is ended."""
    with turn.office.db.write() as connection:
        if not again:
            onboardings.end_session(connection, turn.now, turn.client_id)
            if not onboardings.note(
                connection, visit, step=OnboardingStep.SIGN, session="", granting_at=None, operation=""
            ):
                return
        elif not onboardings.note(connection, visit, reason_code=code, reason=reason):
            return
        write_verdict(turn, row, "finish", AuthState.RUNNING, Verdict(AuthState.FAILED, AuthStep.GRANT, code, reason))


def _code(refused: Refused) -> str:
    return str(refused.reason_code or f"grant_{refused.code or refused.status}")
