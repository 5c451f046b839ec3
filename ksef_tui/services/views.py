"""What screens and lists read: plain rows, a window at a time. Nothing here changes anything.

Lists are an array of ids in order (cheap even for a million rows) plus the rows of the visible window; `changes_since`
tells which of them to read again. The lists themselves are in `client_views` and `invoice_views`. Every function is
told who looks, and a `client` operator sees one company only.
"""

from __future__ import annotations

from array import array
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from decimal import Decimal

from ksef_tui.domain.authorizations import AuthMethod, AuthState, AuthStep
from ksef_tui.domain.invoices import InvoiceState, UpoState
from ksef_tui.domain.onboarding import OnboardingStep
from ksef_tui.domain.roles import Operator
from ksef_tui.domain.staff import masked
from ksef_tui.domain.standing import Why
from ksef_tui.domain.text import count_of
from ksef_tui.domain.times import to_text
from ksef_tui.services import alarms, pausing
from ksef_tui.services.office import Office
from ksef_tui.store import leases
from ksef_tui.store.records import newest_outcomes, recent_outcomes

LATELY = 8  # calls that tell how KSeF is now
_FAILED = ("unknown", "unreachable")
RECENT_SECONDS = 300  # how far back our calls tell whether KSeF works
PROBLEM_SHOWN = 90  # seconds that a problem of the worker stays on screen after it was last met


@dataclass(frozen=True, slots=True)
class ClientRow:
    """A client as the list shows it."""

    id: int
    nip: str
    name: str
    office: bool  # the office's own company
    status: AuthState
    word: str  # the badge in words: "gotowy W P D", "cert. do 29.11", "klient nie nadał"
    waiting: int  # invoices to approve
    stuck: int  # invoices that stand until a person acts, or approved without a working authorisation
    moving: int  # approved, sending, unknown, processing
    paused: bool
    switching: bool = False  # waits for the queue to settle before its identity changes
    sign_until: datetime | None = None  # until when the request to sign can be handed in; UTC
    visit: bool = False  # a visit of the client stopped half way (`services.onboarding`)


@dataclass(frozen=True, slots=True)
class QueueRow:
    """An invoice as the queue shows it."""

    id: int
    client_id: int
    nip: str
    client: str
    number: str
    kind: str
    issue_date: str
    buyer_nip: str
    buyer: str
    gross: Decimal | None
    currency: str
    mode: str
    channel: str
    state: InvoiceState
    reason_code: str
    reason: str  # Polish; empty when all is well
    hint: str  # what is happening, why it stands, what to do: one short Polish phrase for the row
    ksef_number: str
    upo: UpoState
    sha256: str
    session: str
    reference: str
    attempts: int
    send_after: datetime | None  # until then it can be recalled; UTC
    changed_at: datetime  # UTC
    standing: str = ""  # why it does not move though it is its turn, in Polish
    why: Why | None = None  # why an invoice that is to be sent waits, and until when
    urgent: bool = False  # a key marked it to go first
    settled: bool = False  # refused, and a person decided that it stays so
    replaced_by: int | None = None  # the invoice that took its place


@dataclass(frozen=True, slots=True)
class QueueFilter:
    """Which invoices a list shows; empty fields do not narrow."""

    client_id: int | None = None
    states: tuple[InvoiceState, ...] = ()
    text: str = ""  # what a person typed (`domain.finding`); text in number, buyer, NIP, KSeF number, client's name
    among: tuple[int, ...] = ()  # of these invoices only


@dataclass(frozen=True, slots=True)
class StepView:
    """One step of the authorisation flow."""

    step: AuthStep
    state: str  # pending | running | waiting (for a signature) | done | failed
    detail: str  # e.g. "415"


@dataclass(frozen=True, slots=True)
class VisitView:
    """A client that signs at the office's desk: how far its visit came (`services.onboarding`)."""

    step: OnboardingStep
    identity: str  # label of the profile that will work for the client
    identity_id: int
    is_shown: bool  # the pane shows its chain; else a login that works beside it
    can_resume: bool  # it stopped, and goes on without a new signature
    logged_in_until: datetime | None  # the client's own login lives; UTC


@dataclass(frozen=True, slots=True)
class AuthorizationView:
    """The selected client's flow: where it stands, what is wrong in one sentence, what mends it."""

    client_id: int
    nip: str
    name: str
    status: AuthState
    word: str
    method: AuthMethod | None
    identity: str  # label of the identity, empty for a token
    identity_line: str  # "certyfikat KSeF, NIP 5265877635, ważny do 14.03.2028"
    steps: tuple[StepView, ...]
    rights: tuple[str, ...]  # KSeF codes
    can_delegate: bool
    rights_seen: str  # the same in letters, "W P D"; seen at `checked_at`
    sentence: str  # what is wrong or right, in Polish
    needed: str  # what is needed, when something is
    checked_at: datetime | None
    valid_until: datetime | None
    reason_code: str
    actions: tuple[str, ...]  # ids of the actions that mend it, most useful first
    sign_until: datetime | None = None  # until when the request to sign can be handed in; UTC
    ended_at: datetime | None = None  # when the service ended; UTC
    rights_gone: bool | None = None  # after that: whether KSeF lets the office in no more; None: not asked
    rights_seen_at: datetime | None = None  # when that was asked; UTC
    switching_to: str = ""  # label of the identity that the client is about to change to
    waits_for: str = ""  # what is on the wire until then: "3 faktury w drodze, 2 UPO"
    visit: VisitView | None = None


@dataclass(frozen=True, slots=True)
class IdentityRow:
    """An identity of the office as menus show it."""

    id: int
    label: str
    subject: str  # "NIP 5265877635" or "PESEL …"
    name: str  # common name of the certificate
    serial: str
    fingerprint: str  # SHA-256 of the certificate, hex
    key_kind: str  # RSA 2048, EC P-256
    valid_from: datetime
    valid_to: datetime
    kind: str  # ksef, seal, person; empty: added before that was noted
    personal_to: str  # login of the operator whose own it is; empty: the office's
    clients: int  # how many clients are authorised with it
    replaced: bool  # a newer certificate takes its place
    revoked_at: datetime | None
    stopped_at: datetime | None  # blocked by the ministry wherever it logs in (F27)
    client: str  # NIP of the self-service client whose own it is; empty: the office's
    marks: tuple[str, ...] = ()  # Polish: what stands in the way of using it, what it is kept for

    @property
    def whose(self) -> str:
        """`subject` as screens show it: of a PESEL the beginning."""
        kind, _, value = self.subject.partition(" ")
        return masked("Pesel", value) if kind == "PESEL" else self.subject


@dataclass(frozen=True, slots=True)
class TimelineRow:
    """One thing that happened to an invoice: a state, a call, or what a person did."""

    at: datetime
    kind: str  # state | call | act
    who: str  # login, or empty for the program
    text: str  # Polish


@dataclass(frozen=True, slots=True)
class InvoiceLine:
    """A line of goods or services."""

    name: str
    quantity: str
    unit: str
    net: str
    rate: str


@dataclass(frozen=True, slots=True)
class InvoiceDetails:
    """Everything about one invoice."""

    row: QueueRow
    seller: str
    lines: tuple[InvoiceLine, ...]  # at most 200
    more_lines: int
    errors: tuple[str, ...]  # Polish, when it is invalid
    warnings: tuple[str, ...]
    what_to_do: str
    timeline: tuple[TimelineRow, ...]
    qr_link: str  # code I (facts §15); empty until accepted
    xml: str  # the document as text, at most 200 kB
    links: tuple[str, ...] = ()  # Polish: whose place it took, and what took its place
    original: tuple[str, ...] = ()  # Polish: what KSeF has under its number, and in what the two differ


@dataclass(frozen=True, slots=True)
class Changes:
    """What changed after a moment of the feed."""

    seq: int
    client_ids: tuple[int, ...]
    invoice_ids: tuple[int, ...]
    everything: bool  # too many to name: read anew


@dataclass(frozen=True, slots=True)
class HeaderView:
    """The status line."""

    environment: str  # code
    environment_label: str  # PIASKOWNICA …
    office_name: str
    ksef: str  # works | trouble | silent | untried: our own calls of the last minutes
    ksef_word: str  # Polish
    sending: str  # on | off | paused | part: some clients are paused
    sending_word: str  # "wysyłka", "nikt nie wysyła", "wstrzymane przez ANNA 12:04"
    alarm: str  # a sentence for every screen (480), else empty
    exercise: bool  # the demo says so on screen


@dataclass(frozen=True, slots=True)
class ClientCounts:
    """How many clients there are, and how many need a person."""

    total: int
    trouble: int


@dataclass(frozen=True, slots=True)
class ClientList:
    """Some clients in order, and how many there are whatever the list is narrowed to."""

    ids: array[int]
    counts: ClientCounts


CHANGES_NAMED = 500  # more than that: read anew


def header(office: Office, operator: Operator) -> HeaderView:
    """The status line. "KSeF działa" is our own calls' experience of the last minutes, not a promise."""
    since = office.clock().timestamp() - RECENT_SECONDS
    outcomes = recent_outcomes(office.db, since)
    answered = outcomes.get("ok", 0) + outcomes.get("refused", 0) + outcomes.get("limited", 0)
    failed = sum(outcomes.get(kind, 0) for kind in _FAILED)
    lately = newest_outcomes(
        office.db, since, LATELY
    )  # a failure is seen at once, however busy it was before, and so is its end
    if answered == 0 and failed == 0:
        ksef, ksef_word = "untried", "KSeF ?"
    elif answered == 0:
        ksef, ksef_word = "silent", "KSeF nie odpowiada"
    elif sum(kind in _FAILED for kind in lately) * 2 > len(lately):
        ksef, ksef_word = "trouble", "KSeF z kłopotami"
    else:
        ksef, ksef_word = "works", "KSeF działa"
    sending, sending_word = _sending(office, operator)
    return HeaderView(
        environment=office.environment.code,
        environment_label=office.environment.label,
        office_name=office.name,
        ksef=ksef,
        ksef_word=ksef_word,
        sending=sending,
        sending_word=sending_word,
        alarm=_alarm(office, operator),
        exercise=office.exercise,
    )


def _sending(office: Office, operator: Operator) -> tuple[str, str]:
    """Whether anybody sends, and what a person stopped; why it was stopped stands at each invoice."""
    if not leases.holders(office.db, "worker:"):
        return "off", "nikt nie wysyła"
    stopped = pausing.of_everything(office)
    if stopped is not None:
        return "paused", replace(stopped, why="").said(office.clock())
    clients = len(pausing.paused_clients(office, operator))
    return ("part", f"wysyłka bez {clients}") if clients else ("on", "wysyłka")


def _alarm(office: Office, operator: Operator) -> str:
    """What every screen must say: the ministry has blocked a profile, or clients (480, F27), or sending has a problem."""
    stopped = _stopped_profiles(office, operator)
    if stopped:
        return stopped
    blocked = office.db.value(
        "SELECT count(*) FROM authorization WHERE state = 'blocked' AND (:only IS NULL OR client_id = :only)",
        {"only": operator.client_id},
    )
    said = (
        "Ministerstwo zablokowało logowanie: " + count_of(blocked, "klient", "klienci", "klientów") if blocked else ""
    )
    if operator.client_id is not None:
        return said
    said = " · ".join(part for part in (said, alarms.takeover(office, operator)) if part)
    return said or _newest_problem(office) or alarms.reconciled(office) or alarms.tokens(office)


def _stopped_profiles(office: Office, operator: Operator) -> str:
    """Nobody logs in with them any more; what to do fits in one line."""
    if operator.client_id is not None:
        return ""
    labels = [
        row["label"]
        for row in office.db.rows(
            "SELECT label FROM identity WHERE stopped_at IS NOT NULL AND removed_at IS NULL ORDER BY stopped_at"
        )
    ]
    if not labels:
        return ""
    what = f"profil {labels[0]}" if len(labels) == 1 else f"profile {', '.join(labels)}"
    next_step = alarms.takeover(office, operator)
    if next_step:  # first the key: the end of the line may be cut off
        return f"MF zablokowało {what} · {next_step} · zadzwoń do MF"
    return f"MF zablokowało {what}: zadzwoń do MF, klientów łącz zapasowym"


def _newest_problem(office: Office) -> str:
    """A problem that stopped a pass of the worker within the last minutes."""
    since = to_text(office.clock() - timedelta(seconds=PROBLEM_SHOWN))
    row = office.db.row(
        "SELECT c.name, json_extract(a.detail, '$.text') AS text FROM audit a JOIN client c ON c.id = a.client_id "
        "WHERE a.id > (SELECT max(id) FROM audit) - 200 AND a.act = 'program.problem' AND a.at > ? ORDER BY a.id DESC LIMIT 1",
        (since,),
    )
    return f"{row['name']}: {row['text']}" if row is not None else ""


def runs_are_open(office: Office, operator: Operator) -> bool:
    """Whether something is being done for many clients (`services.bulk`)."""
    if operator.client_id is not None:
        return False
    return office.db.value("SELECT 1 FROM bulk_run WHERE ended_at IS NULL LIMIT 1") is not None


def data_version(office: Office) -> int:
    """A number that changes when another process has committed (4 µs: poll it every 100 ms)."""
    return office.db.data_version()


def changes_since(office: Office, operator: Operator, seq: int) -> Changes:
    """Which clients and invoices changed after `seq`, and the new `seq`."""
    now_seq = int(office.db.value("SELECT seq FROM change_counter"))
    if now_seq <= seq:
        return Changes(now_seq, (), (), everything=False)
    limit = CHANGES_NAMED + 1
    changed = office.db.rows(
        "SELECT id, client_id FROM invoice WHERE change_seq > ? ORDER BY change_seq LIMIT ?", (seq, limit)
    )
    client_ids = {row["client_id"] for row in changed}
    for table, column in (("client", "id"), ("authorization", "client_id")):
        client_ids |= {
            row[0]
            for row in office.db.rows(f"SELECT {column} FROM {table} WHERE change_seq > ? LIMIT ?", (seq, limit))  # noqa: S608
        }
    paused = office.db.rows("SELECT client_id FROM pause WHERE change_seq > ?", (seq,))
    client_ids |= {row[0] for row in paused if row[0] is not None}
    if operator.client_id is not None:
        changed = [row for row in changed if row["client_id"] == operator.client_id]
        client_ids &= {operator.client_id}
    everything = len(changed) > CHANGES_NAMED or len(client_ids) > CHANGES_NAMED
    everything = everything or any(row[0] is None for row in paused)  # all sending was stopped, or goes on
    return Changes(now_seq, tuple(sorted(client_ids)), tuple(row["id"] for row in changed), everything)


def newest_seq(office: Office) -> int:
    """Where the change feed stands now."""
    return int(office.db.value("SELECT seq FROM change_counter"))
