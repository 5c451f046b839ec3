"""Import: every file gets its row and its line, nothing is lost, the bytes stay as they came (design §6 rules 1, 2, 8, 12)."""

from __future__ import annotations

import io
import os
import zipfile
from datetime import timedelta
from pathlib import Path

import pytest
from support import papers
from support.houses import Client, House

from ksef_tui.services import importing, incoming_files, repair_views
from ksef_tui.services.importing import ImportRow
from ksef_tui.store import documents


@pytest.fixture
def client(house: House) -> Client:
    return house.client()


def bring(house: House, client: Client, *paths: Path) -> list[ImportRow]:
    return importing.import_paths(house.office, house.admin, client.id, paths)


def put(folder: Path, name: str, data: bytes) -> Path:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return path


def test_rule_08_the_bytes_that_come_in_are_the_bytes_that_are_kept(house: House, client: Client, tmp_path: Path):
    document = papers.invoice(client.nip).replace(b"><", b">\r\n  <")
    [row] = bring(house, client, put(tmp_path, "a.xml", document))
    assert (row.state, row.errors) == ("waiting", ())
    assert documents.get(house.db, house.invoice(row.id)["sha256"]) == document


def test_facts_of_the_invoice_are_read(house: House, client: Client):
    [invoice_id] = house.bring(client, papers.invoice(client.nip, "FV/7/2026", net=1000))
    row = house.invoice(invoice_id)
    assert (row["number"], row["kind"], row["gross"], row["currency"], row["buyer_nip"], row["issue_date"]) == (
        "FV/7/2026", "VAT", "1230.00", "PLN", "1111111111", papers.today().isoformat(),
    )  # fmt: skip


def test_the_same_bytes_again_are_the_same_row(house: House, client: Client, tmp_path: Path):
    path = put(tmp_path, "a.xml", papers.invoice(client.nip))
    [first] = bring(house, client, path)
    [again] = bring(house, client, path)
    assert (again.id, again.known, again.state) == (first.id, True, "waiting")
    assert house.db.value("SELECT count(*) FROM invoice") == 1


def test_the_same_file_twice_in_one_import_is_one_row(house: House, client: Client, tmp_path: Path):
    path = put(tmp_path, "a.xml", papers.invoice(client.nip))
    rows = bring(house, client, path, path)
    assert [r.id for r in rows] == [1, 1]
    assert [r.known for r in rows] == [False, True]


@pytest.mark.parametrize("kind", ["VAT", "ROZ"])
def test_rule_02_f4_f10_the_same_number_again_is_blocked_whatever_the_kind(house: House, client: Client, kind: str):
    """F4: KSeF would take a VAT and a ROZ of one number."""
    first, second = house.bring(
        client,
        papers.invoice(client.nip, "FV/1"),
        papers.of_kind(papers.invoice(client.nip, "FV/1", item="Inna usługa"), kind),
    )
    row = house.invoice(second)
    assert (row["state"], row["reason_code"]) == ("blocked", "own_duplicate")
    assert "FV/1" in row["reason"]
    assert house.invoice(first)["state"] == "waiting"


def test_rule_02_f50_numbers_are_compared_as_ksef_keeps_them(house: House, client: Client):
    """F50: KSeF collapses white space in a number."""
    ids = house.bring(client, papers.invoice(client.nip, "FV 1"), papers.invoice(client.nip, "FV  1", item="Inna"))
    assert house.states(ids) == ["waiting", "blocked"]


def test_rule_02_another_clients_numbers_do_not_matter(house: House, client: Client):
    other = house.client()
    [one], [two] = (
        house.bring(client, papers.invoice(client.nip, "FV/1")),
        house.bring(other, papers.invoice(other.nip, "FV/1")),
    )
    assert house.states([one, two]) == ["waiting", "waiting"]


def test_rule_01_another_sellers_invoice_never_enters_this_clients_queue(house: House, client: Client):
    other = house.client()
    [invoice_id] = house.bring(client, papers.invoice(other.nip))
    row = house.invoice(invoice_id)
    assert (row["state"], row["reason_code"]) == ("invalid", "other_seller")
    assert other.nip in row["reason"]
    assert client.nip in row["reason"]


def test_rule_12_a_future_date_waits_for_its_day(house: House, client: Client, tmp_path: Path):
    path = put(tmp_path, "a.xml", papers.invoice(client.nip, day=papers.today() + timedelta(days=1)))
    [row] = bring(house, client, path)
    assert (row.state, house.invoice(row.id)["reason_code"]) == ("invalid", "future_date")
    assert (
        "jeszcze raz w dniu wystawienia" in repair_views.explain(house.office, house.admin, row.id).meaning.what_to_do
    )
    house.later(days=1)
    [again] = bring(house, client, path)
    assert (again.id, again.state, again.errors) == (row.id, "waiting", ())


def test_rule_12_a_past_date_is_said_before_approval(house: House, client: Client):
    row = importing.import_bytes(
        house.office,
        house.admin,
        client.id,
        "a.xml",
        papers.invoice(client.nip, day=papers.today() - timedelta(days=1)),
    )
    assert row.state == "waiting"
    assert any("offline" in w for w in row.warnings)


def test_an_invoice_with_an_attachment_waits_like_any_other_and_is_marked(house: House, client: Client):
    [invoice_id] = house.bring(client, papers.with_attachment(papers.invoice(client.nip)))
    assert (house.invoice(invoice_id)["state"], house.invoice(invoice_id)["attachment"]) == ("waiting", 1)


ENTITY = b'<!DOCTYPE Faktura [<!ENTITY e SYSTEM "file:///etc/passwd">]>'
LAUGHS = b'<!DOCTYPE l [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;&a;&a;">]><l>&b;</l>'

# Bad input: what is done to a good file → the row is there, invalid, with a sentence.
BAD = {
    "not XML": lambda d: b"Faktura nr 1",
    "empty": lambda d: b"",
    "BOM (F47)": lambda d: b"\xef\xbb\xbf" + d,
    "another encoding (F47)": lambda d: d.decode().replace("UTF-8", "ISO-8859-2").encode("iso-8859-2"),
    "UTF-16": lambda d: d.decode().encode("utf-16"),
    "external entity": lambda d: d.replace(b"<Faktura", ENTITY + b"<Faktura", 1),
    "billion laughs": lambda d: LAUGHS,
    "cut in the middle": lambda d: d[: len(d) // 2],
    "wrong schema": lambda d: d.replace(b"13775", b"12345"),
    "a field missing": lambda d: d.replace(b"<KodWaluty>PLN</KodWaluty>", b""),
    "processing instruction": lambda d: d.replace(b"<Faktura", b'<?xml-stylesheet href="a.xsl"?><Faktura', 1),
    "2 MB": lambda d: d.replace(b"</Faktura>", b"<!--" + b" " * 2_000_000 + b"--></Faktura>"),
    "NIP with a wrong digit": lambda d: d.replace(b"1111111111", b"1111111112"),
}


@pytest.mark.parametrize("fault", BAD)
def test_rule_08_f47_bad_input_is_kept_and_explained(house: House, client: Client, tmp_path: Path, fault: str):
    data = BAD[fault](papers.invoice(client.nip))
    good = put(tmp_path, "dobra.xml", papers.invoice(client.nip))
    bad, fine = bring(house, client, put(tmp_path, "zla.xml", data), good)
    assert bad.state == "invalid"
    assert bad.errors
    assert bad.errors[0].isprintable()
    assert documents.get(house.db, house.invoice(bad.id)["sha256"]) == data
    assert fine.state == "waiting", "one bad file stops no other"


@pytest.mark.parametrize("name", ["[red]Firma[/red]", "Firma [/b] sp. z o.o.", "Firma &amp; Syn"])
def test_names_with_markup_are_only_text(house: House, client: Client, name: str):
    document = papers.invoice(client.nip).replace("Nabywca Jałowcowy".encode(), name.encode())
    [invoice_id] = house.bring(client, document)
    assert house.invoice(invoice_id)["state"] == "waiting"
    assert house.invoice(invoice_id)["buyer"] == name.replace("&amp;", "&")


def test_a_file_that_is_missing_unreadable_or_too_big_is_a_line_not_a_row(house: House, client: Client, tmp_path: Path):
    big = put(tmp_path, "wielki.xml", b"<a>" + b" " * 3_000_001)
    folder = tmp_path / "katalog.xml"  # a folder cannot be read as a file: also as root
    socket = tmp_path / "fifo.xml"
    os.mkfifo(socket)
    folder.mkdir()
    rows = bring(house, client, tmp_path / "nie ma.xml", big, folder, socket)
    assert [r.state for r in rows] == [""] * 4
    assert [r.id for r in rows] == [None] * 4
    assert rows[0].errors == ("nie ma takiego pliku",)
    assert "3 000 000" in rows[1].errors[0]
    assert rows[2].errors == ("w katalogu nie ma plików XML ani ZIP",)
    assert rows[3].errors == ("to nie jest zwykły plik",)
    assert house.db.value("SELECT count(*) FROM invoice") == 0


def test_a_folder_is_read_by_name_with_its_folders_and_archives(house: House, client: Client, tmp_path: Path):
    put(tmp_path, "in/b.XML", papers.invoice(client.nip, "B"))
    put(tmp_path, "in/a.xml", papers.invoice(client.nip, "A"))
    put(tmp_path, "in/c/d.xml", papers.invoice(client.nip, "D"))
    put(tmp_path, "in/czytaj.txt", b"to nie jest faktura")
    put(
        tmp_path,
        "in/z.zip",
        packed({"2.xml": papers.invoice(client.nip, "Z2"), "1.xml": papers.invoice(client.nip, "Z1")}),
    )
    rows = bring(house, client, tmp_path / "in")
    assert [r.number for r in rows] == ["A", "B", "D", "Z1", "Z2"]
    assert {r.state for r in rows} == {"waiting"}


def test_progress_is_told_and_stopping_keeps_what_was_read(house: House, client: Client, tmp_path: Path):
    batch = importing.READ_AT_A_TIME
    for n in range(batch + 20):
        put(tmp_path, f"in/{n:03}.xml", papers.invoice(client.nip))
    told: list[tuple[int, int]] = []
    rows = importing.import_paths(
        house.office, house.admin, client.id, [tmp_path / "in"], lambda *p: told.append(p), lambda: len(told) == 1
    )
    assert told[0] == (batch, batch + 20)
    assert len(rows) == house.db.value("SELECT count(*) FROM invoice") == batch


def packed(members: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return buffer.getvalue()


def test_a_damaged_member_stops_no_other(house: House, client: Client, tmp_path: Path):
    stored = packed({"a.xml": papers.invoice(client.nip), "b.xml": papers.invoice(client.nip)}, zipfile.ZIP_STORED)
    damaged = stored.replace(b"<KodWaluty>PLN", b"<KodWaluty>EUR", 1)  # the checksum of the first member is wrong now
    bad, good = bring(house, client, put(tmp_path, "f.zip", damaged))
    assert (bad.state, bad.id) == ("", None)
    assert "nie można rozpakować" in bad.errors[0]
    assert good.state == "waiting"


def test_a_zip_bomb_is_unpacked_no_further_than_an_invoice_may_be(house: House, client: Client, tmp_path: Path):
    bomb = packed({"bomba.xml": b"0" * 50_000_000, "dobra.xml": papers.invoice(client.nip)})
    assert len(bomb) < 100_000
    bad, good = bring(house, client, put(tmp_path, "f.zip", bomb))
    assert bad.errors == ("plik jest większy niż 3 000 000 B, których KSeF nie przyjmie",)
    assert good.state == "waiting"


ARCHIVES = {
    "no archive at all": (b"PK to nie jest archiwum", "nie można odczytać archiwum ZIP"),
    "no invoices in it": (packed({"a.txt": b"1"}), "w archiwum nie ma plików XML"),
    "too many members": (
        packed({f"{n}.xml": b"" for n in range(incoming_files.MAX_ZIP_MEMBERS + 1)}),
        "więcej niż 10000",
    ),
}


@pytest.mark.parametrize("archive", ARCHIVES)
def test_an_archive_that_cannot_be_read_is_one_line(house: House, client: Client, tmp_path: Path, archive: str):
    data, words = ARCHIVES[archive]
    [row] = bring(house, client, put(tmp_path, "f.zip", data))
    assert (row.state, row.id) == ("", None)
    assert words in row.errors[0]


def test_members_cannot_write_outside_and_keep_only_their_name(house: House, client: Client, tmp_path: Path):
    [row] = bring(house, client, put(tmp_path, "f.zip", packed({"../../etc/zla.xml": papers.invoice(client.nip)})))
    assert house.invoice(row.id)["file"] == "zla.xml"


def test_a_corrected_file_with_the_same_number_is_a_new_invoice(house: House, client: Client):
    wrong = papers.invoice(client.nip, "FV/9").replace(b"<KodWaluty>PLN</KodWaluty>", b"")
    ids = house.bring(client, wrong, papers.invoice(client.nip, "FV/9"))
    assert house.states(ids) == ["invalid", "waiting"]


def damaged_zip(kind: int) -> bytes:
    """An archive whose compressed bytes were overwritten."""
    packed_bytes = io.BytesIO()
    with zipfile.ZipFile(packed_bytes, "w", kind) as archive:
        archive.writestr("a.xml", b"<a/>" * 2000)
    data = bytearray(packed_bytes.getvalue())
    data[40:60] = b"\xff" * 20
    return bytes(data)


@pytest.mark.parametrize(
    "kind", [zipfile.ZIP_DEFLATED, zipfile.ZIP_LZMA, zipfile.ZIP_BZIP2], ids=["deflate", "lzma", "bzip2"]
)
def test_a_damaged_archive_takes_nothing_else_with_it(house: House, tmp_path: Path, kind: int):
    client = house.client()
    (tmp_path / "a.xml").write_bytes(papers.invoice(client.nip))
    (tmp_path / "b.zip").write_bytes(damaged_zip(kind))
    (tmp_path / "c.xml").write_bytes(papers.invoice(client.nip))
    rows = importing.import_paths(house.office, house.admin, client.id, [tmp_path])
    assert [row.state for row in rows] == ["waiting", "", "waiting"]
    assert "uszkodzon" in rows[1].errors[0]


def test_names_that_are_not_utf8_and_folders_that_are_shut_are_lines_of_the_report(house: House, tmp_path: Path):
    client = house.client()
    name = os.fsdecode(os.fsencode(tmp_path) + b"/z\xff\xfe.xml")
    Path(name).write_bytes(papers.invoice(client.nip))
    [row] = importing.import_paths(house.office, house.admin, client.id, [tmp_path])
    assert (row.state, row.errors) == ("waiting", ())
    assert house.invoice(row.id)["file"] == "z\ufffd\ufffd.xml"


def test_an_archive_in_an_archive_is_told(house: House, tmp_path: Path):
    client = house.client()
    inner = packed({"x.xml": papers.invoice(client.nip)})
    (tmp_path / "outer.zip").write_bytes(packed({"a.xml": papers.invoice(client.nip), "b.zip": inner}))
    rows = importing.import_paths(house.office, house.admin, client.id, [tmp_path / "outer.zip"])
    assert [row.state for row in rows] == ["waiting", ""]
    assert "archiwum w archiwum" in rows[1].errors[0]
