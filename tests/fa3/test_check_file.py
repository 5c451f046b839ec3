"""Files that are not what KSeF takes: each gets one code, one clear Polish line, and is never expanded or guessed at."""

from __future__ import annotations

from datetime import date

import pytest

from ksef_tui.domain.problems import Problem
from ksef_tui.fa3.build import Sale, build
from ksef_tui.fa3.check import check
from ksef_tui.fa3.raw import MAX_BYTES
from ksef_tui.fa3.read import read

BILLION = b'<?xml version="1.0"?><!DOCTYPE z [<!ENTITY a "ha">' + b"".join(
    f'<!ENTITY {chr(98 + n)} "{f"&{chr(97 + n)};" * 10}">'.encode() for n in range(12)
)
DOCTYPE_LATE = b"<!-- one --> <?go?>" + b" " * 100_000 + b"<!-- two --><!DOCTYPE z []>"

# what is put in place of the whole file: bytes → code, a word that the sentence must hold
WHOLE_FILES: dict[str, tuple[bytes, str, str]] = {
    "no bytes": (b"", "empty", "pusty"),
    "white space": (b" \r\n\t ", "empty", "pusty"),
    "plain text": (b"Faktura nr 12", "not_xml", "XML"),
    "a PDF": (b"%PDF-1.7\n", "not_xml", "PDF"),
    "a ZIP": (b"PK\x03\x04....", "not_xml", "ZIP"),
    "JSON": (b'{"faktura": 1}', "not_xml", "JSON"),
    "UTF-16": ('<?xml version="1.0" encoding="UTF-16"?><Faktura/>'.encode("utf-16"), "other_encoding", "UTF-8"),
    "UTF-16 without a mark": ("<Faktura/>".encode("utf-16-le"), "other_encoding", "UTF-8"),
    "a DOCTYPE behind UTF-16": ("<!DOCTYPE x []><Faktura/>".encode("utf-16-be"), "other_encoding", "UTF-8"),
    "a DOCTYPE behind UTF-7": (b'<?xml version="1.0" encoding="UTF-7"?>+ADw-!DOCTYPE x', "other_encoding", "UTF-7"),
    "Latin 2": (b'<?xml version="1.0" encoding="ISO-8859-2"?><Faktura>\xb6</Faktura>', "other_encoding", "ISO-8859-2"),
    "Windows bytes": ("<Faktura>zażółć</Faktura>".encode("cp1250"), "invalid_utf8", "Windows-1250"),
    "an overlong byte pair": (b"<Faktura>\xc0\xbc</Faktura>", "invalid_utf8", "0xC0"),
    "half a letter": (b"<Faktura>\xc5</Faktura>", "invalid_utf8", "0xC5"),
    "a surrogate": (b"<Faktura>\xed\xa0\x80</Faktura>", "invalid_utf8", "0xED"),
    "beyond Unicode": (b"<Faktura>\xf4\x90\x80\x80</Faktura>", "invalid_utf8", "0xF4"),
    "a bad byte in a comment": (b"<Faktura><!-- \x81 --></Faktura>", "invalid_utf8", "0x81"),
    "a bad byte in an attribute": (b"<Faktura a='\xff'/>", "invalid_utf8", "0xFF"),
    "a bad byte in a name": (b"<Faktura><a\xe9/></Faktura>", "invalid_utf8", "0xE9"),
    "a bad byte in CDATA": (b"<Faktura><![CDATA[\x9c]]></Faktura>", "invalid_utf8", "0x9C"),
    "a bad byte after the end": (b"<Faktura/><!-- \x81 -->", "invalid_utf8", "0x81"),
    "XML 1.1": (b'<?xml version="1.1"?><Faktura/>', "xml_version", "1.1"),
    "a billion laughs": (BILLION + b"]><z>&m;</z>", "doctype", "DOCTYPE"),
    "an external entity": (
        b'<!DOCTYPE z [<!ENTITY x SYSTEM "file:///etc/passwd">]><Faktura>&x;</Faktura>',
        "doctype",
        "DOCTYPE",
    ),
    "an external DTD": (b'<!DOCTYPE z SYSTEM "http://127.0.0.1:1/x.dtd"><Faktura/>', "doctype", "DOCTYPE"),
    "a DOCTYPE after comments": (DOCTYPE_LATE + b"<z/>", "doctype", "DOCTYPE"),
    "comments without end": (b"<!--" * 100_000, "not_xml", "XML"),
    "fields without end": (b"<a>" * 100_000, "not_xml", "zagnieżdżone"),
    "a cut file": (b"<Faktura><Naglowek>", "not_xml", "urwany"),
    "an ampersand": (b"<Faktura>Kos & Syn</Faktura>", "not_xml", "&amp;"),
    "an HTML entity": (b"<Faktura>&nbsp;</Faktura>", "not_xml", "encji"),
    "a control character": (b"<Faktura>\x1b[31m</Faktura>", "not_xml", "sterujący"),
    "two documents": (b"<Faktura/><Faktura/>", "not_xml", "za końcem"),
    "more than 3 MB": (b"<Faktura>" + b" " * 3_000_000 + b"</Faktura>", "too_big", "3 000 000"),
    "FA(2)": (b'<Faktura xmlns="http://crd.gov.pl/wzor/2023/06/29/12648/"/>', "wrong_schema", "FA(2)"),
    "FA(1)": (b'<Faktura xmlns="http://crd.gov.pl/wzor/2021/11/29/11089/"/>', "wrong_schema", "FA(1)"),
    "no namespace": (b"<Faktura/>", "wrong_schema", "przestrzeni nazw"),
    "a JPK": (b"<JPK xmlns='http://jpk.example/'/>", "wrong_schema", "JPK"),
}


@pytest.mark.parametrize(("data", "code", "word"), WHOLE_FILES.values(), ids=WHOLE_FILES.keys())
def test_a_file_that_is_no_invoice(data: bytes, code: str, word: str, today: date) -> None:
    result = check(data, today=today, client_nip=None)
    assert [finding.code for finding in result.errors] == [code]
    assert word in result.errors[0].message
    assert result.facts is None


def test_reading_refuses_the_same_files(sale: Sale) -> None:
    with pytest.raises(Problem) as refused:
        read(b"<!DOCTYPE z []>" + build(sale).partition(b"\n")[2])
    assert refused.value.code == "doctype"


def test_a_doctype_in_a_comment_is_only_a_comment(sale: Sale, today: date) -> None:
    data = build(sale).replace(b"<Naglowek>", b"<!-- <!DOCTYPE x> <?php ?> --><Naglowek>")
    assert check(data, today=today, client_nip=None).errors == ()


def test_a_byte_order_mark_is_refused_but_the_invoice_is_still_read(sale: Sale, today: date) -> None:
    result = check(b"\xef\xbb\xbf" + build(sale), today=today, client_nip=None)
    assert [finding.code for finding in result.errors] == ["bom"]
    assert result.facts is not None
    assert result.facts.number == sale.number


@pytest.mark.parametrize("before", ["<Naglowek>", "<Fa>", "</Faktura>"])
def test_a_processing_instruction_is_refused_where_it_stands(sale: Sale, today: date, before: str) -> None:
    data = build(sale).replace(before.encode(), b"\n\n<?go on?>" + before.encode())
    result = check(data, today=today, client_nip=None)
    assert [(finding.code, finding.line) for finding in result.errors] == [("processing_instruction", 4)]
    assert result.facts is not None


def test_a_processing_instruction_before_the_invoice_is_refused(sale: Sale, today: date) -> None:
    data = build(sale).replace(b"<Faktura ", b"<?xml-stylesheet href='x.xsl'?><Faktura ")
    assert [finding.code for finding in check(data, today=today, client_nip=None).errors] == ["processing_instruction"]


def test_size_counts_bytes_and_an_attachment_may_have_three_times_as_many(sale: Sale, today: date) -> None:
    data = build(sale)
    exact = data + b" " * (MAX_BYTES - len(data))
    assert check(exact, today=today, client_nip=None).errors == ()
    over = check(exact + b" ", today=today, client_nip=None)
    assert [finding.code for finding in over.errors] == ["too_big"]
    assert "1 000 001 B" in over.errors[0].message

    with_attachment = data.replace(
        b"</Faktura>",
        b"<Zalacznik><BlokDanych><MetaDane><ZKlucz>a</ZKlucz><ZWartosc>b</ZWartosc></MetaDane></BlokDanych></Zalacznik>"
        + b" " * 2_000_000
        + b"</Faktura>",
    )
    result = check(with_attachment, today=today, client_nip=None)
    assert result.errors == ()
    assert result.facts is not None
    assert result.facts.has_attachment


@pytest.mark.parametrize(
    "character",
    [
        "\x7f",
        "\x80",
        "\x84",
        "\x86",
        "\x9f",
        "\ufdd0",
        "\ufdef",
        "\U0001fffe",
        "\U0001ffff",
        "\U0010fffe",
        "\U0010ffff",
    ],
)
@pytest.mark.parametrize("as_reference", [False, True])
def test_characters_that_ksef_is_going_to_refuse_are_a_warning(
    sale: Sale, today: date, character: str, as_reference: bool
) -> None:
    written = f"&#x{ord(character):X};" if as_reference else character
    data = build(sale).replace("Księgowanie".encode(), f"Księgo{written}wanie".encode())
    result = check(data, today=today, client_nip=None)
    assert result.errors == ()
    assert [finding.code for finding in result.warnings] == ["discouraged_characters"]
    assert f"U+{ord(character):04X}" in result.warnings[0].message
    assert "(P_7)" in result.warnings[0].message
    assert result.warnings[0].line == 2
    assert character not in result.warnings[0].message


@pytest.mark.parametrize("character", ["\x85", "\xa0", "°", "§", "’", "€", "\ufdcf", "\ufffd", "😀", "\U0001fffd"])
def test_unusual_characters_that_ksef_takes_are_no_warning(sale: Sale, today: date, character: str) -> None:
    data = build(sale).replace("Księgowanie".encode(), f"Księgo{character}wanie &#65;".encode())
    result = check(data, today=today, client_nip=None)
    assert (result.errors, result.warnings) == ((), ())
