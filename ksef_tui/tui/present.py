"""From data to plain text on the screen: the only place where what came from outside becomes visible.

A line is a tuple of spans, a span is a text and a tone (the name of a style in `styles/`). No text is ever read as
markup, and what could steer a terminal (escape sequences, direction marks) is taken out first. Width is counted in
cells of the terminal.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING

from rich.cells import cell_len, set_cell_size

from ksef_tui.domain.authorizations import AUTH_BADGES, AuthState, to_sign_word
from ksef_tui.domain.invoices import INVOICE_BADGES, NOT_STORED, Badge, InvoiceState, UpoState
from ksef_tui.domain.times import warsaw

if TYPE_CHECKING:
    from ksef_tui.services.views import ClientRow, HeaderView, QueueRow

Span = tuple[str, str]
Line = tuple[Span, ...]

TONES = ("text", "strong", "dim", "good", "busy", "wait", "bad", "quiet", "key", "frame", "focus",
    "badge", "bar", "bar-good", "bar-wait", "bar-bad", "bar-quiet", "alarm")  # fmt: skip

DAYS = ("pn", "wt", "śr", "cz", "pt", "so", "nd")

_WHITE = re.compile(r"[\t\n\v\f\r\x85\u2028\u2029]+")
_INVISIBLE = re.compile("[\u00ad\u061c\u180e\u200b-\u200f\u202a-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb]")
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff\ue000-\uf8ff]")


def clean(text: str) -> str:
    """Text from outside made harmless: one line, no control characters, nothing that turns the direction of writing."""
    if text.isascii() and text.isprintable():
        return text
    return _CONTROL.sub("\ufffd", _INVISIBLE.sub("", _WHITE.sub(" ", text)))


def fit(text: str, width: int, *, right: bool = False) -> str:
    """Exactly `width` cells: cut with an ellipsis or filled with blanks."""
    if width <= 0:
        return ""
    length = cell_len(text)
    if length > width:
        return set_cell_size(text, width - 1) + "…"
    blanks = " " * (width - length)
    return blanks + text if right else text + blanks


def wrap(text: str, width: int) -> list[str]:
    """The text in lines of at most `width` cells, broken at blanks where that is possible."""
    lines: list[str] = []
    for paragraph in text.split("\n"):
        line = ""
        for word in clean(paragraph).split(" "):
            candidate = f"{line} {word}" if line else word
            if cell_len(candidate) <= width:
                line = candidate
                continue
            if line:
                lines.append(line)
            while cell_len(word) > width > 0:
                piece = set_cell_size(word, width).rstrip() or word[:1]
                lines.append(piece)
                word = word[len(piece) :]
            line = word
        lines.append(line)
    return lines


def width_of(line: Iterable[Span]) -> int:
    """Cells that the spans take."""
    return sum(cell_len(text) for text, _ in line)


@dataclass(frozen=True, slots=True)
class Look:
    """How signs are drawn: the usual ones, or ASCII for terminals and readers without them."""

    ascii: bool = False

    def glyph(self, badge: Badge) -> str:
        return badge.ascii if self.ascii else badge.glyph


# Ornaments of ours in ASCII, character by character; letters stay as they are.
ASCII = str.maketrans(dict(zip("─│╭╮╰╯●○◌✔✓✖▪▸▲·…–„”←→↑↓×", '-|++++*o~++x+>!-~-""<>^vx', strict=True)))


def money(amount: Decimal | None, currency: str) -> str:
    """`12 300,00`; the currency is named when it is not the złoty."""
    if amount is None:
        return ""
    text = f"{amount:,.2f}".replace(",", "\u00a0").replace(".", ",")
    return text if currency in ("PLN", "") else f"{text} {clean(currency)}"


def grouped(amount: str) -> str:
    """An amount as a document says it, its thousands apart: `12 993,28`; what is no amount stays as it is."""
    text = clean(amount).replace(".", ",")
    whole, comma, rest = text.partition(",")
    sign, digits = ("-", whole[1:]) if whole.startswith("-") else ("", whole)
    if not (text.isascii() and digits.isdecimal() and (rest.isdecimal() or not comma)):
        return clean(amount)
    return sign + f"{int(digits):,}".replace(",", "\u00a0") + comma + rest


def clock(moment: datetime, now: datetime, *, seconds: bool = True) -> str:
    """The time of day in Poland, or the day when it was not today."""
    local = warsaw(moment)
    if local.date() != warsaw(now).date():
        return local.strftime("%d.%m")
    return local.strftime("%H:%M:%S" if seconds else "%H:%M")


def moment(value: datetime) -> str:
    """Day, month, year and time in Poland."""
    return warsaw(value).strftime("%d.%m.%Y %H:%M:%S")


def short_name(name: str) -> str:
    """A company's name without its legal form, for keys and narrow columns."""
    short = _FORMS.sub("", clean(name)).strip(" ,")
    return short or clean(name)


_FORMS = re.compile(
    r"\s+(sp\.? ?z ?o\.? ?o\.?|spółka z o\.? ?o\.?|spółka z ograniczoną odpowiedzialnością|s\.? ?a\.?|s\.? ?c\.?|sp\.? ?j\.?"
    r"|sp\.? ?k\.?)(\s*sp\.? ?k\.?)?$",
    re.IGNORECASE,
)


# Clients ------------------------------------------------------------------------------------------------------------


def client_row(look: Look, row: ClientRow, width: int, now: datetime, marked: bool = False) -> Line:
    """Badge · name · what waits or stands · state in a word; the minutes to sign are those of now."""
    badge = AUTH_BADGES[row.status]
    name_width, count_width = _client_widths(width)
    count, tone = _client_count(row, count_width)
    name = clean(row.name)
    if cell_len(name) > name_width:
        name = short_name(name)
    word_width = width - name_width - count_width - 5
    said = to_sign_word(row.sign_until, now) if row.status is AuthState.TO_SIGN else clean(row.word) or badge.label
    word = short_word(said, word_width - (8 if row.paused else 0))
    if row.paused:
        word = f"pauza · {word}"
    sign: Line = ((f" {look.glyph(badge)} ", badge.tone),)
    if marked:
        sign = (("▪", "key"), (f"{look.glyph(badge)} ", badge.tone))
    return (
        *sign,
        (fit(name, name_width), "strong"),
        (fit(count, count_width, right=True) + " ", tone),
        (fit(f" {word}", word_width + 1), badge.tone),
    )


_SHORTER = (("czeka na klienta (pismo", "czeka (pismo"), ("do podpisu – ", ""), ("klient odebrał", "odebrał"))


def short_word(word: str, width: int) -> str:
    """The state in a word, said shorter where there is no room."""
    for long, short in _SHORTER:
        if cell_len(word) > width:
            word = word.replace(long, short)
    return word


def client_lit(width: int) -> int:
    """How much of a client's row the cursor lights: all but the word of its state."""
    name, count = _client_widths(width)
    return name + count + 4


def _client_widths(width: int) -> tuple[int, int]:
    count = 13 if width >= 50 else 3  # "1000 do zatw."
    word = 22 if width >= 70 else 20 if width >= 40 else 13
    return min(40, width - word - count - 5), count


def _client_count(row: ClientRow, width: int) -> tuple[str, str]:
    count, word, sign, tone = (row.stuck, " stoi", "!", "bad") if row.stuck else (row.waiting, " do zatw.", "", "wait")
    if not count:
        return "", tone
    for text in (f"{count}{word}", f"{count}{sign}"):
        if len(text) <= width:
            return text, tone
    return str(count) if len(str(count)) <= width else "9" * (width - 1) + "+", tone


# Queue --------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Columns:
    """Widths of the queue's columns; 0: the column is not shown. `hint` 0: it follows the state in its column."""

    time: int
    client: int
    number: int
    buyer: int
    day: int
    gross: int
    state: int
    hint: int

    @property
    def lit(self) -> int:
        """How much of a row the cursor lights: all but the state and the hint."""
        return 1 + sum(w + 1 for w in (self.time, self.client, self.number, self.buyer, self.day, self.gross) if w)


def queue_columns(width: int, one_client: bool) -> Columns:
    """Which columns fit; the narrower the window, the fewer (the mark takes one cell, each column one blank)."""
    room = width - 1
    if room < 86:
        rest = room - 6 - 14
        number = min(20, max(12, rest * 32 // 100))
        other = min(20, rest * 23 // 100)  # the client, or the buyer where there is one client only
        state = rest - number - other - 2
        return Columns(5, 0 if one_client else other, number, other if one_client else 0, 0, 13, state, 0)
    buyer = 0 if room < 112 and not one_client else min(28, room // 7)
    day = 6 if room >= 112 else 0
    client = 0 if one_client else min(28, max(15, room // 7))
    number = min(26, max(16, room // 7))
    state, gross, time = 18, 13, 8
    used = sum(w + 1 for w in (time, client, number, buyer, day, gross, state) if w)
    return Columns(time, client, number, buyer, day, gross, state, room - used)


def queue_row(look: Look, row: QueueRow, columns: Columns, marked: bool, now: datetime) -> Line:
    """Time · client · number · buyer · P_1 · gross · state · what is happening."""
    badge = INVOICE_BADGES[row.state]
    quiet = row.state in (InvoiceState.WITHDRAWN, InvoiceState.REPLACED)
    time = fit(clock(row.changed_at, now, seconds=columns.time >= 8), columns.time + 1)
    spans: list[Span] = [("▪", "key"), (time, "dim")] if marked else [(f" {time}", "dim")]
    if columns.client:
        spans.append((fit(short_name(row.client), columns.client) + " ", "dim" if quiet else "text"))
    spans.append((fit(clean(row.number) or "(bez numeru)", columns.number) + " ", "dim" if quiet else "strong"))
    if columns.buyer:
        spans.append((fit(short_name(row.buyer), columns.buyer) + " ", "dim" if quiet else "text"))
    if columns.day:
        spans.append((fit(day(row.issue_date, year=False), columns.day) + " ", "dim"))
    spans.append((fit(money(row.gross, row.currency), columns.gross, right=True) + " ", "dim" if quiet else "text"))
    word, _, note = badge.label.partition(" (")
    if row.urgent and row.state is InvoiceState.APPROVED:
        word = "pilna"
    label = f"{look.glyph(badge)} {word}"
    hint = queue_hint(look, row, now, brief=not columns.hint) or note.rstrip(")")
    if row.why is not None and row.why.brief and cell_len(hint) > columns.hint:
        hint = row.why.brief  # the whole sentence stands in the details
    if columns.hint:
        spans += [
            (fit(label, columns.state) + " ", badge.tone),
            (fit(hint, columns.hint), "dim" if hint else badge.tone),
        ]
    else:
        label = fit(label, min(cell_len(label), columns.state))
        rest = columns.state - cell_len(label)
        spans += [(label, badge.tone), (fit(f" {hint}" if hint else "", rest), "dim" if hint else badge.tone)]
    return tuple(spans)


def queue_hint(look: Look, row: QueueRow, now: datetime, *, brief: bool = False) -> str:
    """What the row says beside its state; counts down while the approval can still be recalled. `brief`: where half of
    a number or a sentence would be cut off, only what fits whole."""
    left = seconds_to_recall(row, now)
    if left:
        return f"za {left} s" if brief else f"za {left} s · c cofa"
    if row.state is InvoiceState.ACCEPTED and row.ksef_number:
        receipt = {UpoState.SAVED: "UPO ✔", UpoState.LATE: "UPO późne!"}.get(row.upo, "")
        if row.reason_code == NOT_STORED:
            receipt = "niewidoczna!"
        return receipt if brief else f"…{clean(row.ksef_number)[-9:]} {receipt}".rstrip()
    if brief and row.why is not None:
        return row.why.brief
    hint = clean(row.hint or row.reason)
    return hint.removeprefix("w KSeF ") if brief and row.state is InvoiceState.PROCESSING else hint


def seconds_to_recall(row: QueueRow, now: datetime) -> int:
    """Whole seconds in which an approved invoice can still be recalled for sure; 0 otherwise."""
    if row.state is not InvoiceState.APPROVED or row.send_after is None or row.send_after <= now:
        return 0
    if row.why is not None and row.why.code != "recall":  # it would not go then anyway
        return 0
    return -((now - row.send_after) // timedelta(seconds=1))


def day(issue_date: str, *, year: bool = True) -> str:
    """A date of a document as people write it: `24.11.2026`; what is no date stays as it is."""
    parts = clean(issue_date).split("-")
    return ".".join(parts[2::-1] if year else parts[2:0:-1]) if len(parts) == 3 else clean(issue_date)


_COUNTED = (
    (InvoiceState.WAITING, "do zatw.", "wait"),
    (InvoiceState.INVALID, "do poprawy", "bad"),
    (InvoiceState.BLOCKED, "zablokowane", "bad"),
    (InvoiceState.REJECTED, "odrzucone", "bad"),
    (InvoiceState.ACCEPTED, "z nr KSeF", "dim"),
    (InvoiceState.APPROVED, "do wysłania", "dim"),
    (InvoiceState.UNKNOWN, "sprawdzane", "wait"),
    (InvoiceState.PROCESSING, "przetwarzane", "dim"),
    (InvoiceState.HELD, "wstrzymane", "dim"),
)


def counts_line(look: Look, counts: dict[InvoiceState, int], width: int) -> Line:
    """How many invoices stand where; what needs a person first, and only what fits whole."""
    spans: list[Span] = []
    for state, label, tone in _COUNTED:
        if counts.get(state):
            dot = " · " if spans else ""
            text = f"{label} {counts[state]}"
            if width_of(spans) + cell_len(dot + text) > width:
                break
            spans += [(dot, "frame"), (text, tone)]
    return tuple(spans)


def said_line(said: Iterable[str], width: int) -> Line:
    """How the words of a filter were understood; cut at the end where there is no room."""
    return ((fit(text, min(cell_len(text), width)), "wait"),) if (text := clean(" · ".join(said))) else ()


# Frame, header ------------------------------------------------------------------------------------------------------


def cut(line: Iterable[Span], width: int) -> Line:
    """The spans cut to `width` cells, with an ellipsis where something is missing."""
    kept: list[Span] = []
    left = width
    for text, tone in line:
        length = cell_len(text)
        if length > left:
            if left > 0:
                kept.append((fit(text, left), tone))
            break
        kept.append((text, tone))
        left -= length
    return tuple(kept)


def frame_top(title: Line, width: int, focused: bool) -> Line:
    """The upper edge of a pane with its title."""
    return (*frame_corner((), focused), *frame_title(title, width - 3, focused))


def frame_corner(title: Line, focused: bool) -> Line:
    """How the upper edge begins, with what never changes in its title."""
    return (("╭─ ", "focus" if focused else "frame"), *title)


def frame_title(title: Line, width: int, focused: bool) -> Line:
    """The upper edge of a pane behind its corner."""
    title = cut(title, width - 3)
    rest = max(0, width - width_of(title) - 2)
    return (*title, (f" {'─' * rest}╮", "focus" if focused else "frame"))


def frame_bottom(note: Callable[[int], Line], width: int, focused: bool) -> Line:
    """The lower edge of a pane; the note, which is told how much room it has, stands at the right."""
    tone = "focus" if focused else "frame"
    said = cut(note(width - 6), width - 6)
    if not said:
        return ((f"╰{'─' * max(0, width - 2)}╯", tone),)
    rest = max(0, width - width_of(said) - 5)
    return ((f"╰{'─' * rest} ", tone), *said, (" ─╯", tone))


def header(look: Look, view: HeaderView, person: str, now: datetime, width: int, today: int = 0, due: int = 0) -> Line:
    """Environment · office · what needs a person (red: some of it is `due` today) · how KSeF and the sending do · person ·
    day and time. The environment is never cut."""
    local = warsaw(now)
    left: Line = ((f" {clean(view.environment_label)} ", "badge"),)
    if view.exercise:
        left += ((" ĆWICZENIE ", "bar-wait"),)
    ksef = {"works": "bar-good", "trouble": "bar-bad", "silent": "bar-bad"}.get(view.ksef, "bar-quiet")
    sending = {"on": "bar-good", "paused": "bar-wait", "part": "bar-wait"}.get(view.sending, "bar-bad")
    dot = "●"
    when = f"{DAYS[local.weekday()]} {local:%d.%m} {local:%H:%M}" if width >= 100 else f"{local:%H:%M}"
    name = clean(person) if width >= 100 else clean(person).split(" ")[0]
    sent = clean(view.sending_word)
    if width < 100:
        sent = sent.replace(" przez ", " ")
        sent = fit(sent, min(cell_len(sent), 24))
    right: Line = (
        (f"{dot} {clean(view.ksef_word)}  ", ksef),
        (f"{dot} {sent}  ", sending),
        (fit(name, min(cell_len(name), 20)) + "  ", "bar"),
        (f"{when} ", "bar"),
    )
    room = max(0, width - width_of(left) - width_of(right) - 2)
    if today and room >= 16:  # the office's name gives way
        hint = f"0 Dziś {today}  "
        right = ((hint, "bar-bad" if due else "bar-wait"), *right)
        room -= cell_len(hint)
    return (*left, (" ", "bar"), (fit(clean(view.office_name), room) + " ", "strong"), *right)


def alarm(text: str, width: int) -> Line:
    """The line under the status line while something stands that every screen must say."""
    return ((fit(f" ▲ {clean(text)}", width), "alarm"),)
