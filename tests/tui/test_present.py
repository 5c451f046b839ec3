"""Text on the screen: harmless, of the right width, as a Polish accountant writes it."""

from __future__ import annotations

import itertools
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from ksef_tui.domain.authorizations import AuthState
from ksef_tui.domain.invoices import InvoiceState, UpoState
from ksef_tui.services.views import ClientRow, HeaderView, QueueRow
from ksef_tui.tui.dialogs.letter import lines_of
from ksef_tui.tui.lines import changed_cells
from ksef_tui.tui.present import (
    Line,
    Look,
    clean,
    client_lit,
    client_row,
    clock,
    day,
    fit,
    frame_bottom,
    frame_top,
    grouped,
    header,
    money,
    queue_columns,
    queue_hint,
    queue_row,
    short_name,
    short_word,
    width_of,
    wrap,
)

NOW = datetime(2026, 11, 24, 8, 14, 8, tzinfo=UTC)
HOSTILE = "[/b] [red] \\[x]\x1b[31m\x9b2J\x07\u202eabc\n\t\x00"


@given(st.text())
def test_clean_text_cannot_steer_a_terminal(text: str) -> None:
    shown = clean(text)
    assert not [c for c in shown if ord(c) < 32 or 127 <= ord(c) < 160]
    assert not set(shown) & set("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\u200e\u200f\u2028\u2029")


def test_clean_keeps_what_people_write() -> None:
    name = "„Żółw” & Ćma – spółka [jawna] S.A."
    assert clean(name) == name
    assert clean(HOSTILE).startswith("[/b] [red] \\[x]\ufffd[31m")


@given(st.text(), st.integers(min_value=0, max_value=60), st.booleans())
def test_fit_takes_exactly_its_cells(text: str, width: int, right: bool) -> None:
    assert cell_len(fit(clean(text), width, right=right)) == width


@given(st.text(), st.integers(min_value=2, max_value=60))
def test_wrapped_lines_fit_and_lose_nothing(text: str, width: int) -> None:
    lines = wrap(text, width)
    assert all(cell_len(line) <= width for line in lines)
    assert "".join("".join(lines).split()) == "".join("".join(clean(part) for part in text.split("\n")).split())


@pytest.mark.parametrize(
    ("amount", "currency", "shown"),
    [
        ("12300", "PLN", "12\u00a0300,00"),
        ("-1230.5", "PLN", "-1\u00a0230,50"),
        ("0", "EUR", "0,00 EUR"),
        ("98400.00", "", "98\u00a0400,00"),
    ],
)
def test_money(amount: str, currency: str, shown: str) -> None:
    assert money(Decimal(amount), currency) == shown


@pytest.mark.parametrize(
    ("name", "short"),
    [
        ("Jodła Meble sp. z o.o.", "Jodła Meble"),
        ("Cegielnia Dolna S.A.", "Cegielnia Dolna"),
        ("Gamma s.c.", "Gamma"),
        ("Fenix Druk Spółka z ograniczoną odpowiedzialnością", "Fenix Druk"),
        ("sp. z o.o.", "sp. z o.o."),
        ("Anna Sasa", "Anna Sasa"),
    ],
)
def test_short_name(name: str, short: str) -> None:
    assert short_name(name) == short


def test_time_is_that_of_poland_and_a_day_when_it_was_not_today() -> None:
    assert clock(NOW, NOW) == "09:14:08"
    assert clock(datetime(2026, 11, 23, 22, 59, tzinfo=UTC), NOW) == "23.11"
    assert clock(datetime(2026, 11, 23, 23, 30, tzinfo=UTC), NOW) == "00:30:00"


def row(**values: object) -> QueueRow:
    known: dict[str, object] = {
        "id": 1, "client_id": 1, "nip": "5265877635", "client": "Jodła Meble sp. z o.o.", "number": "JM/1", "kind": "VAT",
        "issue_date": "2026-11-24", "buyer_nip": "", "buyer": "Hurtownia", "gross": Decimal("1.00"), "currency": "PLN",
        "mode": "online", "channel": "interactive", "state": InvoiceState.WAITING, "reason_code": "", "reason": "", "hint": "",
        "ksef_number": "", "upo": UpoState.NONE, "sha256": "", "session": "", "reference": "", "attempts": 0,
        "send_after": None, "changed_at": NOW,
    }  # fmt: skip
    return QueueRow(**{**known, **values})  # type: ignore[arg-type]


@pytest.mark.parametrize("width", [62, 74, 78, 89, 97, 120, 146, 240])
@pytest.mark.parametrize("one_client", [True, False])
@pytest.mark.parametrize("state", list(InvoiceState))
def test_a_queue_row_fills_its_width_whatever_is_in_it(width: int, one_client: bool, state: InvoiceState) -> None:
    columns = queue_columns(width, one_client)
    for found in (
        row(state=state),
        row(state=state, number=HOSTILE * 3, buyer=HOSTILE, client="漢字" * 20, hint="x" * 90),
    ):
        line = queue_row(Look(), found, columns, marked=True, now=NOW)
        assert width_of(line) == width
        assert columns.lit in ends(line)


@pytest.mark.parametrize("width", [40, 43, 52, 62, 78, 120])
def test_a_client_row_fills_its_width_and_the_cursor_ends_at_a_column(width: int) -> None:
    found = ClientRow(
        1, "5265877635", HOSTILE * 2, False, AuthState.NO_PERMISSION, "klient nie nadał", 12, 3, 0, paused=True
    )
    line = client_row(Look(), found, width, NOW)
    assert width_of(line) == width
    assert client_lit(width) in ends(line)


def ends(line: Line) -> list[int]:
    """Where the spans of a line end: a cursor that ended elsewhere would leave a lit cell behind."""
    return list(itertools.accumulate(cell_len(text) for text, _ in line))


def test_the_recall_window_is_counted_down_and_then_the_hint_of_the_row_returns() -> None:
    approved = row(state=InvoiceState.APPROVED, send_after=NOW + timedelta(seconds=8), hint="czeka na wysyłkę")
    assert queue_hint(Look(), approved, NOW) == "za 8 s · c cofa"
    assert queue_hint(Look(), approved, NOW + timedelta(seconds=7.5)) == "za 1 s · c cofa"
    assert queue_hint(Look(), approved, NOW + timedelta(seconds=8)) == "czeka na wysyłkę"


def test_where_half_of_it_would_be_cut_off_a_row_says_less() -> None:
    approved = row(state=InvoiceState.APPROVED, send_after=NOW + timedelta(seconds=8))
    accepted = row(state=InvoiceState.ACCEPTED, ksef_number="5251004073-20261124-0100A0B1C2D3-5F", upo=UpoState.SAVED)
    assert queue_hint(Look(), approved, NOW, brief=True) == "za 8 s"
    assert queue_hint(Look(), accepted, NOW) == "…B1C2D3-5F UPO ✔"
    assert queue_hint(Look(), accepted, NOW, brief=True) == "UPO ✔"


@pytest.mark.parametrize(
    ("word", "width", "shown"),
    [
        ("czeka na klienta (pismo 24.11)", 30, "czeka na klienta (pismo 24.11)"),
        ("czeka na klienta (pismo 24.11)", 20, "czeka (pismo 24.11)"),
        ("do podpisu – nowe żądanie", 20, "nowe żądanie"),
        ("do podpisu 9:41", 20, "do podpisu 9:41"),
        ("klient odebrał 12.11", 13, "odebrał 12.11"),
    ],
)
def test_the_state_of_a_client_is_said_shorter_before_it_is_cut(word: str, width: int, shown: str) -> None:
    assert short_word(word, width) == shown


@pytest.mark.parametrize(
    ("amount", "shown"),
    [
        ("12993.28", "12\u00a0993,28"),
        ("-1234567,5", "-1\u00a0234\u00a0567,5"),
        ("-0.50", "-0,50"),
        ("100", "100"),
        ("1e3", "1e3"),
        ("", ""),
        ("12,", "12,"),
    ],
)
def test_amounts_of_a_document_are_grouped_and_what_is_no_amount_is_left_alone(amount: str, shown: str) -> None:
    assert grouped(amount) == shown


def test_dates_of_a_document_are_written_as_people_write_them() -> None:
    assert day("2026-11-24") == "24.11.2026"
    assert day("2026-11-24", year=False) == "24.11"
    assert day("wczoraj") == "wczoraj"


@pytest.mark.parametrize("width", [64, 80, 120, 200])
@pytest.mark.parametrize("alarm", ["", "Ministerstwo zablokowało logowanie: 3 klienci"])
def test_the_environment_stands_whole_in_the_header_at_every_width(width: int, alarm: str) -> None:
    view = HeaderView(
        "preprod", "PRZEDPRODUKCJA MF", "Biuro Rachunkowe o bardzo długiej nazwie " * 3, "works", "KSeF działa",
        "on", "wysyłka", alarm, exercise=False,
    )  # fmt: skip
    line = header(Look(), view, "Anna Kos", NOW, width)
    assert width_of(line) <= width
    assert line[0] == (" PRZEDPRODUKCJA MF ", "badge")


@given(st.integers(min_value=8, max_value=200), st.text(max_size=80))
def test_edges_take_the_whole_width(width: int, text: str) -> None:
    title = ((clean(text), "strong"),)
    assert width_of(frame_top(title, width, focused=True)) == width
    assert width_of(frame_bottom(lambda room: title, width, focused=False)) == width


def test_only_the_cells_that_differ_are_repainted() -> None:
    old = (("09:14 ", "dim"), ("za 8 s", "dim"))
    assert changed_cells(old, (("09:14 ", "dim"), ("za 7 s", "dim"))) == (9, 10)
    assert changed_cells(old, (("09:14 za 8 s", "dim"),)) is None
    assert changed_cells(old, (("09:14 ", "dim"), ("za 8 s", "bad"))) == (6, 12)


def test_a_letter_that_is_wider_than_the_screen_flows_to_the_end_of_its_paragraph() -> None:
    text = "Do: Jodła\n\nPierwszy wiersz jest za długi na ten ekran,\na drugi nie.\n\n"
    text += "  wcięty wiersz też za długi na ten ekran\n  drugi\n"
    shown = ["".join(said for said, _ in line) for line in lines_of(text, 30)]
    assert shown == [
        "Do: Jodła", "", "Pierwszy wiersz jest za długi", "na ten ekran, a drugi nie.", "",
        "  wcięty wiersz też za długi", "  na ten ekran", "  drugi",
    ]  # fmt: skip
