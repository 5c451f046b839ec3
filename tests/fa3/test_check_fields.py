"""What the schema refuses, in the words of an accountant: the field, its value, and how it should be."""

from __future__ import annotations

from datetime import date

import pytest

from ksef_tui.fa3.build import Sale, build
from ksef_tui.fa3.check import check
from ksef_tui.fa3.names import FIELD_NAMES
from ksef_tui.fa3.schema import schema

NOTES = "<Adnotacje>"
SELLER_ADDRESS = (
    "<Adres><KodKraju>PL</KodKraju><AdresL1>ul. Zmyślona 7</AdresL1><AdresL2>00-001 Warszawa</AdresL2></Adres>"
)

# name → (what is replaced, by what, code, path, words that the sentence must hold)
FAULTS: dict[str, tuple[str, str, str, str, tuple[str, ...]]] = {
    "a dotted date": ("2026-11-24<", "24.11.2026<", "wrong_value", "Fa/P_1", ("Data wystawienia (P_1)", "RRRR-MM-DD")),
    "a day that is not": (
        "<P_1>2026-11-24",
        "<P_1>2026-02-30",
        "wrong_value",
        "Fa/P_1",
        ("„2026-02-30”", "kalendarzu"),
    ),
    "a date before 2006": ("<P_1>2026", "<P_1>2005", "wrong_value", "Fa/P_1", ("od 2006-01-01",)),
    "no number": ("<P_2>FV/12/2026</P_2>", "", "missing_field", "Fa/P_13_1", ("numer faktury (P_2)",)),
    "an empty number": ("<P_2>FV/12/2026</P_2>", "<P_2/>", "empty_field", "Fa/P_2", ("puste",)),
    "a number of spaces": ("<P_2>FV/12/2026", "<P_2>  ", "empty_field", "Fa/P_2", ("puste",)),
    "too long a number": ("FV/12/2026", "F" * 257, "wrong_value", "Fa/P_2", ("257", "256")),
    "two numbers": ("<P_2>", "<P_2>FV/1</P_2><P_2>", "repeated_field", "Fa/P_2[2]", ("drugi raz",)),
    "a decimal comma": ("<P_11>361.50", "<P_11>361,50", "wrong_value", "Fa/FaWiersz[1]/P_11", ("Wiersz 1", "kropkę")),
    "a thousands space": ("<P_11>361.50", "<P_11>1 361.50", "wrong_value", "Fa/FaWiersz[1]/P_11", ("„1 361.50”",)),
    "a leading zero": ("<P_11>361.50", "<P_11>0361.50", "wrong_value", "Fa/FaWiersz[1]/P_11", ("zer",)),
    "three decimals": ("<P_11>361.50", "<P_11>361.501", "wrong_value", "Fa/FaWiersz[1]/P_11", ("najwyżej 2",)),
    "seven decimals": ("<P_8B>2", "<P_8B>2.1234567", "wrong_value", "Fa/FaWiersz[2]/P_8B", ("Wiersz 2", "najwyżej 6")),
    "a rate with a sign": ("<P_12>23", "<P_12>23%", "wrong_value", "Fa/FaWiersz[1]/P_12", ("„23%”", "bez znaku %")),
    "a bare zero rate": ("<P_12>23", "<P_12>0", "wrong_value", "Fa/FaWiersz[1]/P_12", ("0 KR",)),
    "no tax of a net": ("<P_14_1>83.15</P_14_1>", "", "missing_field", "Fa/P_13_3", ("(P_14_1)",)),
    "fields in disorder": (
        "<KodWaluty>PLN</KodWaluty><P_1>2026-11-24</P_1>",
        "<P_1>2026-11-24</P_1><KodWaluty>PLN</KodWaluty>",
        "wrong_order",
        "Fa/P_1",
        ("kolejność", "kod waluty"),
    ),
    "an invented field": (
        "<P_2>",
        "<Rabat>1</Rabat><P_2>",
        "unexpected_field",
        "Fa/Rabat",
        ("Rabat", "nie ma w FA(3)"),
    ),
    "a field of others": ("<P_2>", '<x xmlns="urn:x"/><P_2>', "unexpected_field", "Fa/x", ("przestrzeń nazw",)),
    "an invented attribute": ("<P_2>", '<P_2 kod="1">', "wrong_attribute", "Fa/P_2", ("atrybutu kod",)),
    "no JST": ("<JST>2</JST>", "", "missing_field", "Podmiot2/GV", ("JST",)),
    "no GV": ("<GV>2</GV>", "", "missing_field", "Podmiot2", ("grupy VAT (GV)",)),
    "NIP with dashes": (
        "<NIP>5260001246",
        "<NIP>526-000-12-46",
        "wrong_value",
        "Podmiot1/DaneIdentyfikacyjne/NIP",
        ("„526-000-12-46”", "bez kresek"),
    ),
    "NIP with PL": (
        "<NIP>1234563218",
        "<NIP>PL1234563218",
        "wrong_value",
        "Podmiot2/DaneIdentyfikacyjne/NIP",
        ("bez PL",),
    ),
    "NIP of zeros": ("<NIP>1234563218", "<NIP>0000000000", "wrong_value", "Podmiot2/DaneIdentyfikacyjne/NIP", ("NIP",)),
    "no buyer's id": (
        "<NIP>1234563218</NIP>",
        "",
        "unexpected_field",
        "Podmiot2/DaneIdentyfikacyjne/Nazwa",
        ("NIP", "BrakID"),
    ),
    "no seller's address": (SELLER_ADDRESS, "", "missing_field", "Podmiot1", ("adres",)),
    "an empty name": (
        "<Nazwa>Zakład Wymyślony Anna Niby</Nazwa>",
        "<Nazwa/>",
        "empty_field",
        "Podmiot2/DaneIdentyfikacyjne/Nazwa",
        ("Nazwa", "puste"),
    ),
    "no country like that": ("<KodKraju>PL", "<KodKraju>XX", "wrong_value", "Podmiot1/Adres/KodKraju", ("kraju",)),
    "no currency like that": ("PLN", "ZŁ", "wrong_value", "Fa/KodWaluty", ("„ZŁ”", "waluty")),
    "no kind like that": ("<RodzajFaktury>VAT", "<RodzajFaktury>FV", "wrong_value", "Fa/RodzajFaktury", ("KOR_ROZ",)),
    "a note that is a word": ("<P_16>2", "<P_16>nie", "wrong_value", "Fa/Adnotacje/P_16", ("1 (tak) albo 2 (nie)",)),
    "a note missing": ("<P_18>2</P_18>", "", "missing_field", "Fa/Adnotacje/P_18A", ("(P_18)",)),
    "no choice of exemption": (
        "<P_19N>1</P_19N>",
        "",
        "missing_field",
        "Fa/Adnotacje/Zwolnienie",
        ("(P_19)", "(P_19N)"),
    ),
    "the form without a space": (
        '"FA (3)"',
        '"FA(3)"',
        "wrong_attribute",
        "Naglowek/KodFormularza",
        ("„FA (3)”", "„FA(3)”"),
    ),
    "no form": (' kodSystemowy="FA (3)"', "", "wrong_attribute", "Naglowek/KodFormularza", ("kodSystemowy",)),
    "another variant": ("ularza>3<", "ularza>2<", "wrong_value", "Naglowek/WariantFormularza", ("dozwolone: 3",)),
    "made too early": ("Fa>2026-11", "Fa>2025-08", "wrong_value", "Naglowek/DataWytworzeniaFa", ("1.09.2025",)),
    "text between fields": ("<Fa>", "<Fa>ups", "wrong_value", "Fa", ("tekst",)),
    "a field in a field": ("<P_15>", "<P_15><b/>", "wrong_value", "Fa/P_15", ("innych pól",)),
    "row number zero": ("WierszaFa>1", "WierszaFa>0", "wrong_value", "Fa/FaWiersz[1]/NrWierszaFa", ("więcej niż 0",)),
}


@pytest.mark.parametrize(("old", "new", "code", "path", "words"), FAULTS.values(), ids=FAULTS.keys())
def test_a_fault_names_its_field(
    sale: Sale, today: date, old: str, new: str, code: str, path: str, words: tuple[str, ...]
) -> None:
    text = build(sale).decode()
    assert old in text
    result = check(text.replace(old, new, 1).encode(), today=today, client_nip=None)
    finding = next(found for found in result.errors if found.path == path)
    assert finding.code == code
    assert finding.line == 2
    assert finding.message.endswith(".")
    for word in words:
        assert word in finding.message
    assert "{http" not in finding.message


def test_all_notes_missing_is_said_once(sale: Sale, today: date) -> None:
    text = build(sale).decode()
    start, end = text.index(NOTES), text.index("<RodzajFaktury>")
    result = check((text[:start] + text[end:]).encode(), today=today, client_nip=None)
    assert [(finding.code, finding.path) for finding in result.errors] == [("missing_field", "Fa/RodzajFaktury")]
    assert "adnotacje" in result.errors[0].message.lower()


def test_a_short_account_number_says_how_long_it_should_be(sale: Sale, today: date) -> None:
    data = build(sale).replace(
        b"</Fa>", b"<Platnosc><RachunekBankowy><NrRB>12</NrRB></RachunekBankowy></Platnosc></Fa>"
    )
    (finding,) = check(data, today=today, client_nip=None).errors
    assert finding.path == "Fa/Platnosc/RachunekBankowy/NrRB"
    assert "od 10 do 34" in finding.message


def test_faults_in_several_fields_are_all_said(sale: Sale, today: date) -> None:
    text = build(sale).decode().replace("<P_12>23", "<P_12>23%").replace("<P_12>5", "<P_12>5%").replace("PLN", "ZL")
    paths = [finding.path for finding in check(text.encode(), today=today, client_nip=None).errors]
    assert paths == ["Fa/KodWaluty", "Fa/FaWiersz[1]/P_12", "Fa/FaWiersz[2]/P_12"]


def test_thousands_of_faults_do_not_flood_the_screen(sale: Sale, today: date) -> None:
    text = build(sale).decode()
    row = text[text.index("<FaWiersz>") : text.index("</FaWiersz>") + len("</FaWiersz>")]
    many = text.replace(row, row.replace("<P_12>23", "<P_12>23%") * 2_000)
    assert 1 < len(check(many.encode(), today=today, client_nip=None).errors) <= 50


def test_control_characters_of_a_value_do_not_reach_the_sentence(sale: Sale, today: date) -> None:
    text = build(sale).decode().replace("PLN", "\x9b31m[red]\u202e")
    (finding,) = check(text.encode(), today=today, client_nip=None).errors
    assert "[red]" in finding.message
    assert "\x9b" not in finding.message
    assert "\u202e" not in finding.message


def test_every_named_field_is_one_of_the_schema() -> None:
    assert set(FIELD_NAMES) <= schema().field_names
