"""Rules that no schema knows: whose invoice, of which day, do the sums add up, what does a correction correct."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, timedelta
from decimal import Decimal

import pytest

from ksef_tui.fa3.build import Corrected, Item, Sale, build
from ksef_tui.fa3.check import Checked, check


def spoilt(sale: Sale, today: date, *changes: tuple[str, str]) -> Checked:
    text = build(sale).decode()
    for old, new in changes:
        assert old in text
        text = text.replace(old, new, 1)
    return check(text.encode(), today=today, client_nip=None)


def codes(findings: tuple[object, ...]) -> list[str]:
    return [finding.code for finding in findings]  # type: ignore[attr-defined]


def test_an_invoice_without_fault_has_no_findings(sale: Sale, today: date) -> None:
    result = check(build(sale), today=today, client_nip=sale.seller.nip)
    assert (result.errors, result.warnings) == ((), ())


# Right name (design §6 rule 1)


def test_another_companys_invoice_names_both(sale: Sale, today: date) -> None:
    (finding,) = check(build(sale), today=today, client_nip="9999999999").errors
    assert finding.code == "other_seller"
    for word in (sale.seller.name, sale.seller.nip, "9999999999"):
        assert word in finding.message


def test_self_billing_of_another_company_is_said_to_be_out_of_scope(sale: Sale, today: date) -> None:
    data = build(sale).replace(b"<P_17>2", b"<P_17>1")
    result = check(data, today=today, client_nip=sale.buyer.nip)
    assert codes(result.errors) == ["other_seller"]
    assert "Samofakturowanie" in result.errors[0].message
    assert result.facts is not None
    assert result.facts.self_billing


def test_a_comment_inside_the_sellers_nip_hides_nothing(sale: Sale, today: date) -> None:
    data = build(sale).replace(b"<NIP>5260001246", b"<NIP>526000<!-- x -->1246")
    result = check(data, today=today, client_nip="5260001246")
    assert result.errors == ()
    assert result.facts is not None
    assert result.facts.seller_nip == "5260001246"


# NIP: the pattern is the schema's, the check digit is ours (facts §11, F46)


@pytest.mark.parametrize(
    ("old", "new", "whose", "path"),
    [
        ("<NIP>5260001246", "<NIP>5260001247", "sprzedawcy", "Podmiot1/DaneIdentyfikacyjne/NIP"),
        ("<NIP>1234563218", "<NIP>1234563219", "nabywcy", "Podmiot2/DaneIdentyfikacyjne/NIP"),
        (
            "<Fa>",
            "<Podmiot3><DaneIdentyfikacyjne><NIP>1234563219</NIP><Nazwa>Trzeci</Nazwa></DaneIdentyfikacyjne>"
            "<Rola>4</Rola></Podmiot3><Fa>",
            "podmiotu trzeciego",
            "Podmiot3/DaneIdentyfikacyjne/NIP",
        ),
        (
            "<Fa>",
            "<Podmiot3><DaneIdentyfikacyjne><IDWew>1234563219-12345</IDWew><Nazwa>Trzeci</Nazwa></DaneIdentyfikacyjne>"
            "<Rola>8</Rola></Podmiot3><Fa>",
            "podmiotu trzeciego",
            "Podmiot3/DaneIdentyfikacyjne/NIP",
        ),
        (
            "<Fa>",
            "<PodmiotUpowazniony><DaneIdentyfikacyjne><NIP>1234563219</NIP><Nazwa>Komornik</Nazwa></DaneIdentyfikacyjne>"
            "<Adres><KodKraju>PL</KodKraju><AdresL1>ul. Zmyślona 1</AdresL1></Adres><RolaPU>2</RolaPU>"
            "</PodmiotUpowazniony><Fa>",
            "podmiotu upoważnionego",
            "PodmiotUpowazniony/DaneIdentyfikacyjne/NIP",
        ),
    ],
)
def test_a_wrong_check_digit_of_any_party(sale: Sale, today: date, old: str, new: str, whose: str, path: str) -> None:
    result = spoilt(sale, today, (old, new))
    assert [(finding.code, finding.path) for finding in result.errors] == [("bad_nip", path)]
    assert whose in result.errors[0].message


def test_a_right_third_party_is_no_error(sale: Sale, today: date) -> None:
    third = (
        "<Podmiot3><DaneIdentyfikacyjne><NIP>1234563218</NIP><Nazwa>Trzeci</Nazwa></DaneIdentyfikacyjne>"
        "<Rola>4</Rola></Podmiot3><Fa>"
    )
    assert spoilt(sale, today, ("<Fa>", third)).errors == ()


# Dates (design §6 rule 12, F52)


def test_a_date_of_tomorrow_is_an_error_and_of_today_none(sale: Sale, today: date) -> None:
    result = check(build(replace(sale, issue_date=today + timedelta(days=1))), today=today, client_nip=None)
    assert [(finding.code, finding.path) for finding in result.errors] == [("future_date", "Fa/P_1")]


def test_a_date_of_yesterday_is_said_to_become_offline(sale: Sale, today: date) -> None:
    result = check(build(replace(sale, issue_date=today - timedelta(days=1))), today=today, client_nip=None)
    assert result.errors == ()
    assert codes(result.warnings) == ["offline_by_date"]
    assert "offline" in result.warnings[0].message


# Corrections


@pytest.mark.parametrize("kind", ["KOR", "KOR_ZAL", "KOR_ROZ"])
def test_a_correction_must_say_what_it_corrects(sale: Sale, today: date, kind: str) -> None:
    result = spoilt(sale, today, ("<RodzajFaktury>VAT", f"<RodzajFaktury>{kind}"))
    assert codes(result.errors) == ["correction_without_original"]


def test_a_correction_names_the_corrected_invoices(sale: Sale, today: date) -> None:
    correction = replace(
        sale,
        items=(Item("Zwrot", Decimal(-1), Decimal("120.50")),),
        corrected=Corrected("FV/11/2026", date(2026, 10, 1), "5260001246-20261001-0100001AF629-AF", "Zwrot towaru"),
    )
    result = check(build(correction), today=today, client_nip=None)
    assert (result.errors, result.warnings) == ((), ())
    assert result.facts is not None
    assert (result.facts.kind, result.facts.gross) == ("KOR", Decimal("-148.22"))
    assert result.facts.corrected_numbers == ("FV/11/2026",)


def test_rows_before_and_after_a_correction_are_a_difference(sale: Sale, today: date) -> None:
    correction = replace(
        sale,
        items=(Item("Usługa", Decimal(1), Decimal(80)), Item("Usługa", Decimal(1), Decimal(100))),
        corrected=Corrected("FV/11/2026", date(2026, 10, 1)),
    )
    changes = (
        ("<P_13_1>180.00", "<P_13_1>-20.00"),
        ("<P_14_1>41.40", "<P_14_1>-4.60"),
        ("<P_15>221.40", "<P_15>-24.60"),
        ("<P_11>100.00</P_11><P_12>23</P_12>", "<P_11>100.00</P_11><P_12>23</P_12><StanPrzed>1</StanPrzed>"),
    )
    result = spoilt(correction, today, *changes)
    assert (result.errors, result.warnings) == ((), ())


# Warnings of facts §19.5: valid for the schema, though wrong

NO_TOTALS = (
    "<P_13_1>361.50</P_13_1><P_14_1>83.15</P_14_1><P_13_3>39.98</P_13_3><P_14_3>2.00</P_14_3>",
    "",
)


@pytest.mark.parametrize(
    ("change", "expected", "word"),
    [
        (("<P_15>486.63", "<P_15>486.64"), ["totals_differ"], "0.01"),
        (("<P_14_1>83.15", "<P_14_1>83.05"), ["totals_differ"], "0.10"),
        (("<P_11>361.50", "<P_11>361.51"), ["rows_differ"], "401.49"),
        (NO_TOTALS, ["no_totals"], "P_13"),
        (("24T08:30:00Z", "24T08:30:00"), ["no_time_zone"], "strefy"),
        (("<P_2>FV/12", "<P_2>FV  12"), ["number_spaces"], "odstępy"),
        (("<P_2>FV/12", "<P_2> FV/12"), ["number_spaces"], "odstępy"),
        (("<P_2>FV/12", "<P_2>FV\t12"), ["number_spaces"], "odstępy"),
    ],
)
def test_what_the_schema_lets_through_is_a_warning(
    sale: Sale, today: date, change: tuple[str, str], expected: list[str], word: str
) -> None:
    result = spoilt(sale, today, change)
    assert result.errors == ()
    assert codes(result.warnings) == expected
    assert word in result.warnings[0].message


@pytest.mark.parametrize("zone", ["Z", "+01:00", "-11:30"])
def test_a_time_with_any_zone_is_no_warning(sale: Sale, today: date, zone: str) -> None:
    assert spoilt(sale, today, ("24T08:30:00Z", f"24T08:30:00{zone}")).warnings == ()


def without_rows(sale: Sale) -> str:
    text = build(sale).decode()
    return text[: text.index("<FaWiersz>")] + text[text.rindex("</FaWiersz>") + len("</FaWiersz>") :]


@pytest.mark.parametrize(
    ("kind", "expected"),
    [("VAT", ["no_rows"]), ("ROZ", ["no_rows"]), ("UPR", ["no_rows"]), ("ZAL", ["advance_without_order"])],
)
def test_an_invoice_without_rows(sale: Sale, today: date, kind: str, expected: list[str]) -> None:
    data = without_rows(sale).replace("<RodzajFaktury>VAT", f"<RodzajFaktury>{kind}").encode()
    result = check(data, today=today, client_nip=None)
    assert result.errors == ()
    assert codes(result.warnings) == expected


def test_an_advance_with_its_order_is_no_warning(sale: Sale, today: date) -> None:
    order = (
        "<Zamowienie><WartoscZamowienia>1000</WartoscZamowienia>"
        "<ZamowienieWiersz><NrWierszaZam>1</NrWierszaZam></ZamowienieWiersz></Zamowienie></Fa>"
    )
    text = without_rows(sale).replace("<RodzajFaktury>VAT", "<RodzajFaktury>ZAL").replace("</Fa>", order)
    result = check(text.encode(), today=today, client_nip=None)
    assert (result.errors, result.warnings) == ((), ())


@pytest.mark.parametrize(("kind", "expected"), [("VAT", ["no_buyer_address"]), ("UPR", [])])
def test_a_buyer_without_address(sale: Sale, today: date, kind: str, expected: list[str]) -> None:
    text = build(sale).decode().replace("<RodzajFaktury>VAT", f"<RodzajFaktury>{kind}")
    buyer = text.index("<Podmiot2>")
    start, end = text.index("<Adres>", buyer), text.index("</Adres>", buyer) + len("</Adres>")
    result = check((text[:start] + text[end:]).encode(), today=today, client_nip=None)
    assert result.errors == ()
    assert codes(result.warnings) == expected


def test_totals_in_zloty_of_a_foreign_invoice_are_not_added_twice(sale: Sale, today: date) -> None:
    result = spoilt(sale, today, ("PLN", "EUR"), ("</P_14_1>", "</P_14_1><P_14_1W>358.10</P_14_1W>"))
    assert (result.errors, result.warnings) == ((), ())


def test_rows_priced_gross_cannot_be_compared_and_are_no_warning(sale: Sale, today: date) -> None:
    result = spoilt(sale, today, ("<P_11>361.50</P_11>", "<P_11A>444.65</P_11A>"))
    assert (result.errors, result.warnings) == ((), ())
