from datetime import UTC, datetime
from pathlib import Path

import pytest
from lxml import etree

from ksef_tui.ksef.crypto import sha256_b64
from ksef_tui.ksef.upo import NAMESPACE, UpoProblem, check_upo

NUMBER = "5265877635-20250826-0100001AF629-AF"
HASH = sha256_b64(b"<Faktura/>")
OFFICIAL = Path(__file__).parents[2].parent / "shared" / "ksef" / "upo"


def document(number: str = NUMBER, digest: str = HASH) -> str:
    return (
        f"<Dokument><NipSprzedawcy>5265877635</NipSprzedawcy><NumerKSeFDokumentu>{number}</NumerKSeFDokumentu>"
        "<NumerFaktury>FV/1/2026</NumerFaktury><DataWystawieniaFaktury>2026-11-24</DataWystawieniaFaktury>"
        "<DataPrzeslaniaDokumentu>2026-11-24T10:00:00.123+01:00</DataPrzeslaniaDokumentu>"
        f"<DataNadaniaNumeruKSeF>kiedyś</DataNadaniaNumeruKSeF><SkrotDokumentu>{digest}</SkrotDokumentu>"
        "<TrybWysylki>Online</TrybWysylki></Dokument>"
    )


def upo(*documents: str, namespace: str = NAMESPACE, root: str = "Potwierdzenie", prolog: str = "") -> bytes:
    return (
        f'{prolog}<{root} xmlns="{namespace}"><NazwaPodmiotuPrzyjmujacego>Ministerstwo Finansów</NazwaPodmiotuPrzyjmujacego>'
        f"<NumerReferencyjnySesji>20261124-SO-0000000000-0000000000-00</NumerReferencyjnySesji>{''.join(documents)}</{root}>"
    ).encode()


def reason(body: bytes, meta_hash: str | None = None) -> str:
    with pytest.raises(UpoProblem) as caught:
        check_upo(body, meta_hash, NUMBER, HASH)
    assert caught.value.message.endswith(".")
    return caught.value.reason


def test_our_receipt_is_read() -> None:
    body = upo(document())
    receipt = check_upo(body, sha256_b64(body), NUMBER, HASH)
    assert (receipt.ksef_number, receipt.invoice_hash, receipt.invoice_number) == (NUMBER, HASH, "FV/1/2026")
    assert receipt.received_at == datetime(2026, 11, 24, 9, 0, 0, 123000, UTC)
    assert receipt.numbered_at is None  # unreadable, and no reason to throw the receipt away
    assert receipt.session == "20261124-SO-0000000000-0000000000-00"


def test_without_the_header_the_document_itself_decides() -> None:
    assert check_upo(upo(document()), None, NUMBER, HASH).seller_nip == "5265877635"


def test_a_signature_of_the_ministry_is_no_obstacle() -> None:
    signature = '<ds:Signature xmlns:ds="http://www.w3.org/2000/09/xmldsig#"><ds:SignedInfo/></ds:Signature>'
    assert check_upo(upo(document(), signature), None, NUMBER, HASH).mode == "Online"


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b"<!DOCTYPE html><html><body>Incapsula</body></html>", "html"),
        (b"\r\n  <HTML><head></head></HTML>", "html"),
        (b"", "not_xml"),
        (b"<Potwierdzenie", "not_xml"),
        (upo(document())[:-20], "not_xml"),
        (upo(document(), prolog="<!DOCTYPE Potwierdzenie SYSTEM 'http://example/x.dtd'>"), "not_xml"),
        (upo(document(), prolog="<!DOCTYPE a [<!ENTITY b 'c'>]>"), "not_xml"),
        (upo(document(), root="Faktura"), "wrong_root"),
        (upo(document(), namespace="http://upo.schematy.mf.gov.pl/KSeF/v3"), "wrong_root"),
        (upo(), "other_document"),
        (upo(document(), document()), "other_document"),
        (upo(document(number="5265877635-20250626-010080DD2B5E-26")), "other_document"),
        (upo(document(digest=sha256_b64(b"inna"))), "other_document"),
    ],
)
def test_what_is_not_our_receipt_is_not_kept(body: bytes, expected: str) -> None:
    assert reason(body) == expected


@pytest.mark.parametrize("meta_hash", ["", "żółw", sha256_b64(b"inne")])
def test_a_damaged_file_is_not_kept(meta_hash: str) -> None:
    assert reason(upo(document()), meta_hash) == "hash"


@pytest.mark.skipif(not OFFICIAL.exists(), reason="the ministry's examples are not beside this tree")
def test_the_ministrys_example_of_one_invoice_is_accepted() -> None:
    body = (OFFICIAL / "upo-faktura-kontekst-id-nip.xml").read_bytes()
    root = etree.fromstring(body, etree.XMLParser(resolve_entities=False))
    number = root.findtext(f".//{{{NAMESPACE}}}NumerKSeFDokumentu")
    digest = root.findtext(f".//{{{NAMESPACE}}}SkrotDokumentu")
    receipt = check_upo(body, sha256_b64(body), number, digest)
    assert receipt.issued_by.startswith("Ministerstwo Finansów")
    assert receipt.numbered_at is not None


@pytest.mark.skipif(not OFFICIAL.exists(), reason="the ministry's examples are not beside this tree")
def test_the_receipt_of_a_whole_session_is_not_that_of_an_invoice() -> None:
    body = (OFFICIAL / "upo-sesja-kontekst-id-nip.xml").read_bytes()
    number = etree.fromstring(body, etree.XMLParser(resolve_entities=False)).findtext(
        f".//{{{NAMESPACE}}}NumerKSeFDokumentu"
    )
    with pytest.raises(UpoProblem) as caught:
        check_upo(body, None, number, HASH)
    assert caught.value.reason == "other_document"
