"""What lists and guards learn from an invoice."""

from __future__ import annotations

from datetime import date
from decimal import Decimal

import pytest

from ksef_tui.domain.problems import Problem
from ksef_tui.fa3.build import Sale, build
from ksef_tui.fa3.check import check
from ksef_tui.fa3.read import InvoiceFacts, Line, lines, read


def test_the_facts_of_an_invoice(sale: Sale) -> None:
    assert read(build(sale)) == InvoiceFacts(
        seller_nip="5260001246",
        seller_name="Jodła Przykładowa sp. z o.o.",
        buyer_nip="1234563218",
        buyer="Zakład Wymyślony Anna Niby",
        number="FV/12/2026",
        kind="VAT",
        issue_date=date(2026, 11, 24),
        gross=Decimal("486.63"),
        currency="PLN",
        form_code="FA (3)",
        schema_version="1-0E",
        has_attachment=False,
        self_billing=False,
        corrected_numbers=(),
    )


@pytest.mark.parametrize(
    ("identity", "buyer"),
    [
        ("<NIP>1234563218</NIP>", ""),
        ("<KodUE>DE</KodUE><NrVatUE>123456789</NrVatUE>", "DE123456789"),
        ("<KodKraju>US</KodKraju><NrID>ab-12</NrID>", "ab-12"),
        ("<BrakID>1</BrakID>", ""),
        ("<BrakID>1</BrakID><Nazwa>  Jan\n Niby </Nazwa>", "Jan Niby"),
    ],
)
def test_a_buyer_is_a_name_else_a_foreign_number(sale: Sale, today: date, identity: str, buyer: str) -> None:
    old = "<NIP>1234563218</NIP><Nazwa>Zakład Wymyślony Anna Niby</Nazwa>"
    result = check(build(sale).decode().replace(old, identity).encode(), today=today, client_nip=None)
    assert result.errors == ()
    assert result.facts is not None
    assert result.facts.buyer == buyer
    assert result.facts.buyer_nip == ("1234563218" if "<NIP>" in identity else None)


def test_the_number_is_kept_as_written(sale: Sale) -> None:
    assert read(build(sale).replace(b"FV/12", b" FV<!-- x -->&amp;<![CDATA[<1>]]>  2")).number == " FV&<1>  2/2026"


@pytest.mark.parametrize("name", ["[red]Firma[/b]", "a|b|c", "Ogórki & <Syn>", "„Łódź” ' \""])
def test_names_are_plain_text(sale: Sale, name: str) -> None:
    from dataclasses import replace

    strange = replace(sale, seller=replace(sale.seller, name=name), buyer=replace(sale.buyer, name=name))
    facts = read(build(strange))
    assert (facts.seller_name, facts.buyer) == (name, name)


def test_an_invalid_invoice_is_read_as_far_as_it_goes(sale: Sale, today: date) -> None:
    result = check(build(sale).replace(b"<P_12>23", b"<P_12>23%"), today=today, client_nip="9999999999")
    assert [finding.code for finding in result.errors] == ["wrong_value", "other_seller"]
    assert result.facts is not None
    assert result.facts.gross == Decimal("486.63")


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("<P_15>486.63", "<P_15>NaN"),
        ("<P_15>486.63", "<P_15>4_86"),
        ("<P_15>486.63", "<P_15>٤٨٦"),
        ("<P_1>2026-11-24", "<P_1>2026-13-24"),
        ("<P_2>FV/12/2026</P_2>", ""),
        ("<NIP>5260001246", "<NIP> "),
    ],
)
def test_an_invoice_without_the_least_facts_says_so(sale: Sale, today: date, old: str, new: str) -> None:
    data = build(sale).decode().replace(old, new).encode()
    with pytest.raises(Problem) as refused:
        read(data)
    assert refused.value.code == "incomplete_invoice"
    result = check(data, today=today, client_nip=None)
    assert result.facts is None
    assert result.errors


def test_rows_come_up_to_a_limit(sale: Sale) -> None:
    first = Line("Księgowanie dokumentów", Decimal(3), "szt.", Decimal("361.50"), "23")
    second = Line("Podręcznik", Decimal(2), "szt.", Decimal("39.98"), "5")
    assert lines(build(sale), 10) == ((first, second), 0)
    assert lines(build(sale), 1) == ((first,), 1)


def test_rows_of_an_advance_are_those_of_its_order(sale: Sale) -> None:
    text = build(sale).decode()
    text = text[: text.index("<FaWiersz>")] + (
        "<Zamowienie><WartoscZamowienia>1230</WartoscZamowienia><ZamowienieWiersz><NrWierszaZam>1</NrWierszaZam>"
        "<P_7Z>Dom</P_7Z><P_8AZ>szt.</P_8AZ><P_8BZ>1</P_8BZ><P_11NettoZ>1000</P_11NettoZ><P_12Z>23</P_12Z>"
        "</ZamowienieWiersz></Zamowienie></Fa></Faktura>"
    )
    assert lines(text.encode(), 5) == ((Line("Dom", Decimal(1), "szt.", Decimal(1000), "23"),), 0)
