"""Longer texts of the screen: the footer, the authorisation flow, an invoice, what an approval means, the help."""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import datetime
from typing import TYPE_CHECKING

from rich.cells import cell_len

from ksef_tui.domain.actions import ACTIONS, BY_ID, FOOTER_OF_MARKED, FOOTERS, SCOPE_TITLES
from ksef_tui.domain.authorizations import (
    AUTH_BADGES,
    CAN_SEND,
    METHOD_LABELS,
    STEP_LABELS,
    AuthState,
    seconds_to_sign,
)
from ksef_tui.domain.invoices import INVOICE_BADGES, INVOICE_MOVES, InvoiceState, UpoState
from ksef_tui.domain.situations import INVOICE_PANES, Pane, Situation, many
from ksef_tui.domain.text import count_of
from ksef_tui.domain.times import warsaw
from ksef_tui.tui.present import Line, Look, Span, clean, cut, day, fit, grouped, moment, money, short_name, wrap

if TYPE_CHECKING:
    from ksef_tui.services.approving import ApprovalSummary
    from ksef_tui.services.views import AuthorizationView, InvoiceDetails

RIGHTS = {
    "Owner": "właściciel",
    "InvoiceWrite": "wystawianie faktur",
    "InvoiceRead": "przeglądanie faktur",
    "CredentialsManage": "zarządzanie uprawnieniami",
    "CredentialsRead": "przeglądanie uprawnień",
    "Introspection": "przeglądanie historii sesji",
    "SubunitManage": "zarządzanie jednostkami",
    "EnforcementOperations": "czynności egzekucyjne",
    "VatUeManage": "zarządzanie VAT UE",
    "PefInvoiceWrite": "wystawianie faktur PEF",
    "CollectiveIdentifierManage": "zarządzanie identyfikatorami zbiorczymi",
}
UPO_WORDS = {
    UpoState.NONE: "jeszcze nie pobrane",
    UpoState.SAVED: "zapisane",
    UpoState.LATE: "spóźnia się – program pyta dalej",
    UpoState.UNAVAILABLE: "nie ma: fakturę wysłał inny podmiot, dowodem jest numer KSeF i zgodny skrót",
}
KINDS = {
    "VAT": "faktura VAT", "KOR": "faktura korygująca", "ZAL": "faktura zaliczkowa", "ROZ": "faktura rozliczeniowa",
    "UPR": "faktura uproszczona", "KOR_ZAL": "korekta zaliczkowej", "KOR_ROZ": "korekta rozliczeniowej",
}  # fmt: skip

MANY = frozenset({"auth.start", "auth.check"})  # what works on marked clients


def invoices(count: int) -> str:
    """`1 faktura`, `2 faktury`, `5 faktur`."""
    return count_of(count, "faktura", "faktury", "faktur")


# Footer -------------------------------------------------------------------------------------------------------------


def footer(situation: Situation, width: int) -> list[tuple[int, Line]]:
    """The keys of the pane with their scope, each with the cells that it takes wherever the cursor stands, so that a
    move repaints a label and never what is behind it. What does nothing now is greyed, not gone."""
    room, most = width - 1, 6 if width < 100 else len(ACTIONS)
    helping = _key_width("help", situation, width)
    chosen: list[tuple[str, int]] = []
    helped = False
    for action_id in FOOTER_OF_MARKED if many(situation) else FOOTERS[situation.pane]:
        if action_id == "exercise.troubles" and not situation.exercise:
            continue
        taken = _key_width(action_id, situation, width)
        helped = helped or action_id == "help"
        if action_id == "help" or (
            taken - 2 <= room - (0 if helped else helping) and len(chosen) < most - (0 if helped else 1)
        ):
            chosen.append((action_id, taken))
            room -= taken
    return [(taken, _key(action_id, situation, width)) for action_id, taken in chosen]


def filter_footer() -> list[tuple[int, Line]]:
    """The keys while a filter is typed: all others are letters now."""
    keys = (("Enter", "Zostaw filtr"), ("Esc", "Zdejmij filtr"))
    return [(cell_len(key + label) + 3, ((key, "key"), (f" {label}", "text"))) for key, label in keys]


def _key(action_id: str, situation: Situation, width: int) -> Line:
    action = BY_ID[action_id]
    scope = _scope(action_id, situation)
    said = fit(scope, min(cell_len(scope), _reserve(action_id, situation, width)))
    if action.why_disabled(situation) is not None:
        return ((f"{action.shown} {action.label}{said}", "quiet"),)
    return ((action.shown, "key"), (f" {action.label}{said}", "text"))


def _key_width(action_id: str, situation: Situation, width: int) -> int:
    action = BY_ID[action_id]
    return cell_len(action.shown) + cell_len(action.label) + _reserve(action_id, situation, width) + 3


def _reserve(action_id: str, situation: Situation, width: int) -> int:
    """Cells for the scope of a key."""
    if action_id in MANY:
        return cell_len(_scope(action_id, situation))
    if not action_id.startswith("invoice.") or action_id == "invoice.import":
        return 0
    if situation.pane is Pane.TODAY:
        return 5
    if situation.pane is Pane.QUEUE:
        return cell_len(f" {situation.marked} zazn.") if situation.marked else 0
    return 18 if width >= 100 else 14 if action_id == "invoice.approve" else 0


def _scope(action_id: str, situation: Situation) -> str:
    """What a key would work on: how many, and whose."""
    if action_id in MANY:
        return f" {situation.marked}" if many(situation) else ""
    if not action_id.startswith("invoice.") or action_id == "invoice.import":
        return ""
    if situation.pane in INVOICE_PANES:
        moves = INVOICE_MOVES[action_id.partition(".")[2]]
        if situation.pane is Pane.TODAY:
            return f" {sum(situation.states.get(state, 0) for state in moves) or ''}".rstrip()
        return f" {sum(situation.states.get(state, 0) for state in moves)} zazn." if situation.marked else ""
    if situation.client is None:
        return ""
    name = short_name(situation.client.name)
    return f" {situation.client.waiting} · {name}" if action_id == "invoice.approve" else f" · {name}"


# Authorisation ------------------------------------------------------------------------------------------------------


def authorization(
    look: Look, view: AuthorizationView, situation: Situation, width: int, height: int, now: datetime
) -> list[Line]:
    """Way and identity → steps → one sentence → what is needed → the keys that mend it."""
    inner = width - 2
    badge = AUTH_BADGES[view.status]
    method = METHOD_LABELS[view.method] if view.method is not None else clean(view.word) or badge.label
    way: list[Span] = [("  ", "text"), (method, "strong")]
    if view.identity_line:
        way.append((f"  {clean(view.identity_line)}", "dim"))
    if view.visit is not None and view.visit.is_shown and view.status not in CAN_SEND:
        way = [("  klient podpisuje", "strong"), (f"  potem profil biura: {clean(view.visit.identity)}", "dim")]
    blocks: list[list[Line]] = [[cut(way, width)]]
    if view.steps and (height > 6 or any(step.state != "pending" for step in view.steps)):
        blocks.append(_steps(look, view, now, width))
    said: list[Line] = (
        [(("  ", "text"), (line, "text")) for line in wrap(view.sentence, inner)] if view.sentence else []
    )
    label, colon, rest = view.needed.partition(": ")
    if colon and label == "Potrzebne":
        said += _labelled(label, rest, inner)
    elif view.needed:
        said += [(("  ", "text"), (line, "strong")) for line in wrap(view.needed, inner)]
    blocks.append(said)
    if height > 9:
        blocks.append(_more(view, inner))
    keys = _mending_keys(view, situation)
    if sum(len(block) for block in blocks) + bool(keys) > height and len(blocks) > 1 and said:
        del blocks[0]  # what is wrong and what is needed says more than who signs
    lines: list[Line] = []
    spare = height - sum(len(block) for block in blocks) - (1 if keys else 0)
    for block in blocks:
        lines += block
        if block and spare > 0:
            lines.append(())
            spare -= 1
    if keys:
        if len(lines) >= height > 1:
            lines = lines[: height - 1]
            more: Line = ((" … ", "dim"),) if situation.pane is Pane.AUTHORIZATION else ((" … ", "dim"), ("3", "key"))
            lines[-1] = (*cut(lines[-1], width - 4), *more)  # the pane alone has room for all of it
        lines.append(cut(keys, width))
    return lines


def _steps(look: Look, view: AuthorizationView, now: datetime, width: int) -> list[Line]:
    """The chain of steps, in as many lines as it takes."""
    signs = {"done": ("✔", "good"), "running": ("◌", "busy"), "failed": ("✖", "bad")}
    signs["waiting"] = (look.glyph(AUTH_BADGES[AuthState.TO_SIGN]), "wait")
    lines: list[list[Span]] = [[("  ", "text")]]
    for number, step in enumerate(view.steps):
        sign, tone = signs.get(step.state, ("○", "quiet"))
        spans: list[Span] = [(f"{sign} {STEP_LABELS[step.step]}", tone)]
        if step.state == "waiting":
            left = seconds_to_sign(view.sign_until, now)
            spans.append((f" {left // 60}:{left % 60:02d}" if left else " po czasie", "wait"))
        if step.detail:
            spans.append((f" {clean(step.detail)}", "dim"))
        if number:
            lines[-1].append((" ──▸ ", "dim"))
        if len(lines[-1]) > 2 and _cells(lines[-1]) + _cells(spans) + 4 > width:  # and room for the next arrow
            lines.append([("  ", "text")])
        lines[-1] += spans
    return [cut(line, width) for line in lines]


def _cells(spans: Iterable[Span]) -> int:
    return sum(cell_len(text) for text, _ in spans)


def _more(view: AuthorizationView, width: int) -> list[Line]:
    lines: list[Line] = []
    if view.rights:
        rights = ", ".join(RIGHTS.get(right, clean(right)) for right in view.rights)
        seen = f"{view.rights_seen}, widziane {warsaw(view.checked_at):%d.%m}" if view.checked_at is not None else ""
        rights += ", z prawem dalszego przekazywania" if view.can_delegate else ""
        lines += _labelled("Uprawnienia", f"{seen} – {rights}" if view.rights_seen and seen else rights, width)
    if view.valid_until is not None:
        lines += _labelled("Działa do", moment(view.valid_until), width)
    if view.checked_at is not None:
        lines += _labelled("Sprawdzono", moment(view.checked_at), width)
    return lines


def _labelled(label: str, text: str, width: int) -> list[Line]:
    """`Label: text`, the text strong and hanging under itself."""
    indent = cell_len(label) + 2
    first, *rest = wrap(text, max(10, width - indent))
    lines: list[Line] = [(("  ", "text"), (f"{label}: ", "dim"), (first, "strong"))]
    return lines + [((" " * (indent + 2), "text"), (line, "strong")) for line in rest]


def _mending_keys(view: AuthorizationView, situation: Situation) -> Line:
    spans: list[Span] = []
    for action_id in view.actions:
        action = BY_ID.get(action_id)
        if action is not None and action.why_disabled(situation) is None:
            spans += [("  ", "text"), (action.shown, "key"), (f" {action.label.lower()} ", "text")]
    return tuple(spans)


def first_client(look: Look) -> list[Line]:
    """The authorisation pane while there is no client."""
    return [(("  Wybierz klienta, a zobaczysz tu jego dostęp do KSeF.", "dim"),)]


# One invoice --------------------------------------------------------------------------------------------------------


def invoice(look: Look, details: InvoiceDetails, width: int) -> list[Line]:
    """The document as a person reads it, with its state, the reason, what to do, and the warnings."""
    row = details.row
    badge = INVOICE_BADGES[row.state]
    kind = KINDS.get(row.kind, clean(row.kind))
    lines: list[Line] = [
        ((clean(row.number) or "(bez numeru)", "strong"), (f"  {kind}, wystawiona {day(row.issue_date)}", "dim")),
        (),
        ((f"{look.glyph(badge)} {badge.label}", badge.tone),),
    ]
    said = row.reason or ("" if row.ksef_number else row.hint)
    if row.send_after is not None and said.endswith("c cofa"):
        said = f"Zostanie wysłana o {moment(row.send_after)[-8:]}; do tego czasu c cofa zatwierdzenie."
    urgent = "Pilna: pójdzie przed innymi tego klienta." if row.urgent else ""
    for text, tone in ((said, "text"), (urgent, "wait"), (details.what_to_do, "strong")):
        if text:
            lines += [((line, tone),) for line in wrap(text, width)]
    lines.append(())
    if row.ksef_number:
        lines.append((("Numer KSeF   ", "dim"), (clean(row.ksef_number), "strong"), ("   y kopiuje", "dim")))
        lines.append((("UPO          ", "dim"), (UPO_WORDS[row.upo], "text")))
    if details.qr_link:
        lines += _field("Kod QR", details.qr_link, width)
    buyer = f"{row.buyer}, NIP {row.buyer_nip}" if row.buyer_nip else row.buyer
    lines += _field("Sprzedawca", details.seller or f"{row.client}, NIP {row.nip}", width)
    lines += _field("Nabywca", buyer, width)
    lines += _field(
        "Brutto", money(row.gross, row.currency or "PLN") + ("" if row.currency not in ("", "PLN") else " zł"), width
    )
    if details.links:
        lines += [(), *plain(details.links, width, "dim")]
    for title, found, tone in (
        ("Błędy", details.errors, "bad"),
        ("Uwagi", details.warnings, "wait"),
        ("Pod tym numerem", details.original, "wait"),
    ):
        if found:
            lines += [(), ((title, tone),)]
            lines += [(("  ", "text"), (line, "text")) for text in found for line in wrap(text, width - 2)]
    return lines + _goods(details, width)


def _field(label: str, text: str, width: int) -> list[Line]:
    pieces = wrap(text, max(10, width - 13))
    return [((fit(label if not index else "", 13), "dim"), (piece, "text")) for index, piece in enumerate(pieces)]


def _goods(details: InvoiceDetails, width: int) -> list[Line]:
    if not details.lines:
        return []
    name = max(12, width - 38)
    heading = (
        fit("Towar lub usługa", name)
        + fit("ilość", 12, right=True)
        + fit("netto", 16, right=True)
        + fit("VAT", 8, right=True)
    )
    lines: list[Line] = [(), ((heading, "dim"),)]
    for item in details.lines:
        quantity = f"{clean(item.quantity).replace('.', ',')} {clean(item.unit)}"
        lines.append(
            (
                (fit(clean(item.name), name), "text"),
                (fit(quantity, 12, right=True), "dim"),
                (fit(grouped(item.net), 16, right=True), "text"),
                (fit(f"{item.rate}%" if item.rate.isdigit() else clean(item.rate), 8, right=True), "dim"),
            )
        )
    if details.more_lines:
        lines.append(((f"… i jeszcze {details.more_lines}; całość jest w XML", "dim"),))
    return lines


def timeline(look: Look, details: InvoiceDetails, width: int) -> list[Line]:
    """What happened to the invoice, the latest last: states, calls to KSeF, acts of people."""
    kinds = {"state": ("stan", "busy"), "call": ("KSeF", "dim"), "act": ("osoba", "wait")}
    lines: list[Line] = []
    for entry in details.timeline:
        word, tone = kinds.get(entry.kind, (entry.kind, "dim"))
        who = f"{entry.who}: " if entry.who else ""
        for index, piece in enumerate(wrap(who + entry.text, max(10, width - 29))):
            first = not index
            lines.append(
                (
                    (fit(moment(entry.at) if first else "", 21), "dim"),
                    (fit(word if first else "", 8), tone),
                    (piece, "text"),
                )
            )
    return lines or [(("Nic się jeszcze nie wydarzyło.", "dim"),)]


def document(details: InvoiceDetails, width: int) -> list[Line]:
    """The XML as text, an element on each line; the file itself is kept to the byte."""
    note = "Plik jest przechowywany co do bajta; wiersze i wcięcia są tylko na ekranie."
    lines: list[Line] = [*plain([note], width, "dim"), ()]
    depth = 0
    for piece in _BETWEEN_TAGS.sub(">\n<", details.xml).splitlines():
        text = clean(piece.strip())
        if not text:
            continue
        depth -= text.startswith("</")
        shown = "  " * max(0, depth) + text
        lines += [((shown[at : at + width], "text"),) for at in range(0, len(shown), max(1, width))]
        opens = text.startswith("<") and not text.startswith(("</", "<?", "<!"))
        depth += opens and not text.endswith("/>") and "</" not in text
    return lines


_BETWEEN_TAGS = re.compile(r">\s*<")


# Deciding -----------------------------------------------------------------------------------------------------------


def approval(summary: ApprovalSummary, environment: str, width: int) -> list[Line]:
    """What will happen, how many, for whom, for how much; that it is issuing and cannot be undone."""
    lines: list[Line] = []
    for text, tone in (
        (f"Do KSeF ({environment}) pójdzie: {invoices(summary.count)}.", "strong"),
        ("To jest wystawienie w imieniu klienta. Nie da się go cofnąć – można tylko wystawić korektę.", "text"),
    ):
        lines += [((line, tone),) for line in wrap(text, width)]
    lines.append(())
    for client in summary.by_client[:8]:
        total = ", ".join(
            money(sum_, currency) + (" zł" if currency == "PLN" else "") for currency, sum_ in client.gross
        )
        room = max(10, width - cell_len(total) - 24)
        lines.append(
            (
                (fit(clean(client.name), room), "strong"),
                (f" {clean(client.nip)} ", "dim"),
                (fit(str(client.count), 6, right=True), "text"),
                (f"  {total}", "strong"),
            )
        )
    if len(summary.by_client) > 8:
        lines.append(((f"… i jeszcze {len(summary.by_client) - 8} klientów", "dim"),))
    for warning in summary.warnings[:6]:
        lines += [((line, "wait"),) for line in wrap(f"! {warning}", width)]
    return lines


def plain(texts: Iterable[str], width: int, tone: str = "text") -> list[Line]:
    """Sentences as lines."""
    return [((line, tone),) for text in texts for line in wrap(text, width)]


# Help ---------------------------------------------------------------------------------------------------------------


def help_lines(look: Look, situation: Situation, width: int) -> list[Line]:
    """All keys by what they work on, why some do nothing now, and what the signs mean."""
    lines: list[Line] = []
    for scope, title in SCOPE_TITLES.items():
        lines.append(((title, "strong"),))
        for action in ACTIONS:
            if action.scope is not scope:
                continue
            why = action.why_disabled(situation)
            for index, piece in enumerate(wrap(action.help, max(10, width - 29))):
                key, label = (action.shown, action.label) if not index else ("", "")
                lines.append(
                    ((fit(f"  {key}", 10), "key" if why is None else "quiet"), (fit(label, 19), "text"), (piece, "dim"))
                )
        lines.append(())
    lines.append((("Na listach: strzałki, PgUp, PgDn, Home, End.", "dim"),))
    lines += [(), (("Stan faktury", "strong"),)]
    lines += [
        _sign(look.glyph(badge), badge.label, badge.tone, INVOICE_MEANING[state], width)
        for state, badge in INVOICE_BADGES.items()
    ]
    lines += [(), (("Dostęp do KSeF", "strong"),)]
    lines += [
        _sign(look.glyph(badge), badge.label, badge.tone, AUTH_MEANING[state], width)
        for state, badge in AUTH_BADGES.items()
    ]
    return lines


def _sign(glyph: str, label: str, tone: str, meaning: str, width: int) -> Line:
    return cut(((f"  {glyph} ", tone), (fit(label, 24), tone), (f" {meaning}", "dim")), width)


INVOICE_MEANING = {
    InvoiceState.DRAFT: "jeszcze nie jest fakturą",
    InvoiceState.INVALID: "plik ma błędy; wczytaj poprawiony",
    InvoiceState.WAITING: "czeka na człowieka: z zatwierdza",
    InvoiceState.APPROVED: "zatwierdzona; c cofa, dopóki się nie wysyła",
    InvoiceState.HELD: "wstrzymał ją człowiek; p przywraca",
    InvoiceState.BLOCKED: "zatrzymał ją program; powód obok, p przywraca",
    InvoiceState.SENDING: "właśnie idzie do KSeF",
    InvoiceState.UNKNOWN: "odpowiedź zginęła; program sprawdza, nie wysyłaj ponownie",
    InvoiceState.PROCESSING: "KSeF ją sprawdza",
    InvoiceState.ACCEPTED: "wystawiona: ma numer KSeF",
    InvoiceState.REJECTED: "KSeF odmówił; powód i co zrobić obok",
    InvoiceState.WITHDRAWN: "wycofana, nie zostanie wysłana",
    InvoiceState.REPLACED: "zastąpił ją poprawiony plik",
}
AUTH_MEANING = {
    AuthState.MISSING: "biuro nie ma jeszcze dostępu: a łączy",
    AuthState.REQUESTED: "pismo do klienta wysłane",
    AuthState.RUNNING: "trwa logowanie w KSeF",
    AuthState.TO_SIGN: "żądanie czeka na podpis",
    AuthState.ACTIVE: "W wystawianie, P przeglądanie, D dalsze przekazywanie",
    AuthState.READ_ONLY: "klient nie nadał prawa wystawiania",
    AuthState.EXPIRING: "działa, ale niedługo się skończy",
    AuthState.EXPIRED: "trzeba nowego certyfikatu",
    AuthState.NO_PERMISSION: "klient nie nadał uprawnień albo je odebrał",
    AuthState.BLOCKED: "ministerstwo zablokowało dostęp",
    AuthState.FAILED: "nie udało się połączyć; r próbuje ponownie",
    AuthState.ENDED: "klient już nie jest obsługiwany",
}
