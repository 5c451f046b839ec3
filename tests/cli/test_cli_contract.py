"""The contract that scripts rely on: exit codes, fields, one Polish line on stderr, never a traceback."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from cli_office import Desk, files
from support import papers
from support.companies import new_nip, seal
from support.houses import BOTH
from support.strangers import Stranger

QUEUE_FIELDS = {
    "id", "nip", "client", "number", "kind", "issue_date", "buyer_nip", "buyer", "gross", "currency", "mode", "channel",
    "state", "reason_code", "reason", "ksef_number", "upo", "sha256", "session", "reference", "attempts", "changed_at",
}  # fmt: skip
AUTH_FIELDS = {
    "nip", "name", "status", "method", "identity", "rights", "can_delegate", "valid_until", "checked_at", "reason_code", "reason",
}  # fmt: skip
IMPORT_FIELDS = {"file", "id", "state", "number", "errors", "warnings"}


def test_the_whole_path_by_commands(desk: Desk, tmp_path: Path):
    nip = new_nip()
    desk.done("client", "add", nip, "Jodła Próbna sp. z o.o.")
    certificate, key = files(tmp_path, seal(desk.house.nip, password="zażółć".encode()))
    desk.done(
        "identity", "add", "pieczęć", "--certificate", certificate, "--key", key, "--password-stdin", stdin="zażółć\n"
    )
    refused = desk.json("auth", "start", nip, "--identity", "pieczęć", exit_code=1)
    assert refused["status"] == "no_permission"
    desk.house.ministry.grant(nip, desk.house.nip, *BOTH)
    active = desk.json("auth", "start", nip, "--identity", "pieczęć")
    assert (active["status"], active["method"], active["identity"], active["rights"]) == (
        "active", "certificate", "pieczęć", ["InvoiceRead", "InvoiceWrite"],
    )  # fmt: skip
    file = tmp_path / "faktura.xml"
    file.write_bytes(papers.invoice(nip, "FV/1/2026"))
    [imported] = desk.json("invoice", "import", nip, str(file))
    assert (imported["state"], imported["number"], imported["errors"]) == ("waiting", "FV/1/2026", [])
    assert desk.json("queue", "approve", "--client", nip) == {"done": 1, "refused": []}
    desk.done("worker", "--until-idle", "--timeout", "60")
    [row] = desk.json("queue", "list")
    assert (row["state"], row["upo"], row["gross"], row["mode"], row["channel"]) == (
        "accepted", "saved", "123.00", "online", "interactive",
    )  # fmt: skip
    desk.done("upo", "export", "--to", str(tmp_path / "upo"))
    assert [p.name for p in (tmp_path / "upo").iterdir()] == [f"{row['ksef_number']}.xml"]
    shown = desk.json("invoice", "show", str(row["id"]))
    assert shown["ksef_number"] == row["ksef_number"]
    assert {t["kind"] for t in shown["timeline"]} == {"state", "call"}
    assert desk.json("auth", "revoke", nip)["status"] == "missing"


def test_fields_are_exactly_those_of_the_contract(desk: Desk, tmp_path: Path):
    """Fields may be added, never renamed; here those that are promised, and their kinds."""
    client = desk.house.client()
    [invoice_id] = desk.house.bring(client, papers.invoice(client.nip))
    [row] = desk.json("queue", "list")
    assert row.keys() >= QUEUE_FIELDS
    assert isinstance(row["id"], int)
    assert isinstance(row["gross"], str)
    assert row["changed_at"].endswith("Z")
    assert row["id"] == invoice_id
    for shown in (desk.json("auth", "status", client.nip), desk.json("auth", "status")[0]):
        assert shown.keys() >= AUTH_FIELDS
    for shown in (desk.json("client", "show", client.nip), desk.json("client", "list")[0]):
        assert shown.keys() >= AUTH_FIELDS | {"waiting", "stuck"}
    assert (shown["nip"], shown["status"], shown["rights"], shown["valid_until"]) == (client.nip, "missing", [], None)
    file = tmp_path / "a.xml"
    file.write_bytes(papers.invoice(client.nip))
    for command in (("invoice", "check"), ("invoice", "import", client.nip)):
        [found] = desk.json(*command, str(file))
        assert found.keys() >= IMPORT_FIELDS
    assert {s["key"] for s in desk.json("config", "list")} >= {"recall_seconds", "token_end"}


def test_lists_are_newest_first_and_limited(desk: Desk, tmp_path: Path):
    house = desk.house
    nips = [house.client().nip for _ in range(3)]
    client = house.client()
    ids = house.bring(client, *[papers.invoice(client.nip) for _ in range(3)])
    for label in ("a", "b"):
        house.identity(label)
    assert [r["id"] for r in desk.json("queue", "list")] == ids[::-1]
    assert [r["id"] for r in desk.json("queue", "list", "--limit", "2")] == ids[:0:-1]
    assert len(desk.json("queue", "list", "--limit", "0")) == 3
    assert [r["nip"] for r in desk.json("client", "list")] == [client.nip, *nips[::-1], house.nip]
    assert [r["nip"] for r in desk.json("auth", "status", "--limit", "1")] == [client.nip]
    assert [r["label"] for r in desk.json("identity", "list")] == ["b", "a"]
    assert desk.json("queue", "list", "--state", "held") == []
    assert len(desk.json("queue", "list", "--client", client.nip, "--state", "waiting")) == 3


# What is typed → one Polish line and exit status 1.
REFUSALS = {
    "unknown operator": (["--operator", "nikt"], ("client", "list"), "Nie ma operatora nikt"),
    "unknown setting": (None, ("config", "get", "kolor"), "Nie ma ustawienia kolor"),
    "a value of another kind": (None, ("config", "set", "recall_seconds", "dużo"), "podaj liczbę całkowitą"),
    "unknown client": (None, ("client", "show", "5260250274"), "Nie ma klienta o NIP 5260250274"),
    "unknown identity": (None, ("auth", "start", "{client}", "--identity", "brak"), "Nie ma profilu brak"),
    "unknown invoice": (None, ("invoice", "show", "99"), "Nie ma faktury 99"),
    "unknown state": (None, ("queue", "list", "--state", "zgubiona"), "Nie ma stanu zgubiona"),
    "never authorised": (None, ("auth", "check", "{client}"), "nie ma jeszcze autoryzacji"),
    "nothing to revoke": (None, ("auth", "revoke", "{client}"), "nie ma autoryzacji"),
    "a client twice": (None, ("client", "add", "{client}", "Znowu"), "już jest"),
    "an empty name": (None, ("client", "add", "5260250274", " "), "Podaj nazwę"),
    "a missing certificate": (
        None, ("identity", "add", "x", "--certificate", "nie-ma.crt", "--key", "nie-ma.key"), "Nie można odczytać",
    ),
    "a month that is none": (None, ("upo", "export", "--month", "2026-13", "--to", "{folder}/upo"), "RRRR-MM"),
    "a folder below a file": (None, ("upo", "export", "--to", "{folder}/office.db/upo"), "Nie można pisać"),
    "no office": (["--data-dir", "{folder}/gdzie-indziej"], ("client", "list"), "nie ma biura"),
    "a second office": (
        None, ("init", "--environment", "sandbox", "--nip", "5260250274", "--name", "Drugie"), "jest już biuro",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSALS)
def test_a_refusal_is_one_polish_line_and_1(desk: Desk, case: str):
    extra, command, words = REFUSALS[case]
    names = {"client": desk.house.client().nip, "folder": str(desk.house.folder)}
    base = [*desk.base, *(part.format(**names) for part in extra or ())]
    assert words in desk.refused(*(part.format(**names) for part in command), base=base)


# NIP as people type it.
NIPS = {
    "526-025-02-74": True, "PL5260250274": True, "pl 526 025 02 74": True, " 5260250274 ": True, "526\u2013025\u201302\u201374": True,
    "5260250275": False, "0000000000": False, "526025027": False, "52602502744": False, "DE5260250274": False, "": False, "abc": False,
    "\u0665260250274": False,
}  # fmt: skip


@pytest.mark.parametrize("nip", NIPS)
def test_a_nip_as_it_is_typed(desk: Desk, nip: str):
    if NIPS[nip]:
        desk.done("client", "add", nip, "Firma")
        assert desk.json("client", "show", nip)["nip"] == "5260250274"
    else:
        line = desk.refused("client", "add", nip, "Firma")
        assert "NIP" in line


USAGE = [
    ("nie-ma-takiego",), ("client",), ("client", "add"), ("queue", "approve"), ("queue", "approve", "1", "--all"),
    ("auth", "start", "5260250274"), ("auth", "start", "5260250274", "--identity", "a", "--token-stdin"),
    ("auth", "check"), ("identity", "add", "a"), ("queue", "hold"), ("queue", "hold", "x"), ("queue", "list", "--limit", "-1"),
    ("init", "--environment", "księżyc", "--nip", "5260250274", "--name", "A"), ("invoice", "import", "5260250274"),
]  # fmt: skip


@pytest.mark.parametrize("command", USAGE, ids=" ".join)
def test_wrong_usage_is_2(desk: Desk, command: tuple[str, ...]):
    result = desk.run(*command)
    assert result.exit_code == 2
    assert result.stdout == "" or command == ("client",)


@pytest.mark.parametrize("command", [("--help",), ("client", "--help"), ("queue", "approve", "-h"), ("--version",)])
def test_help_is_0(desk: Desk, command: tuple[str, ...]):
    assert desk.run(*command).exit_code == 0


def paper_files(desk: Desk, tmp_path: Path, what: str) -> tuple[str, str]:
    own = seal(desk.house.nip, password=b"haslo")
    paper = seal(desk.house.nip, days=1, age=3) if what == "expired" else own
    certificate, key = files(tmp_path, paper)
    if what == "key of another":
        Path(key).write_bytes(seal(desk.house.nip).key)
    if what == "swapped":
        return key, certificate
    if what == "not a certificate":
        Path(certificate).write_bytes(b"\x00\xff nic")
    return certificate, key


@pytest.mark.parametrize(
    ("what", "password", "words"),
    [
        ("", "źle\n", "Hasło do klucza prywatnego jest błędne"),
        ("", "", "podaj hasło do klucza"),
        ("", b"\xbf\xf3\xb3w\n", "Hasło do klucza prywatnego jest błędne"),
        ("expired", "", "Certyfikat wygasł"),
        ("key of another", "haslo\n", "nie pasuje do tego certyfikatu"),
        ("swapped", "haslo\n", "zamienione"),
        ("not a certificate", "haslo\n", "Nie da się odczytać certyfikatu"),
    ],
    ids=["wrong password", "no password", "not UTF-8", "expired", "key of another", "swapped", "not a certificate"],
)
def test_an_identity_that_cannot_be_used_is_not_kept(
    desk: Desk, tmp_path: Path, what: str, password: str | bytes, words: str
):
    certificate, key = paper_files(desk, tmp_path, what)
    line = desk.refused(
        "identity", "add", "pieczęć", "--certificate", certificate, "--key", key, "--password-stdin", stdin=password
    )
    assert words in line
    assert isinstance(password, bytes) or password.strip() == "" or password.strip() not in line
    assert desk.json("identity", "list") == []


def test_an_identity_from_one_pkcs12_file(desk: Desk, tmp_path: Path):
    from cryptography import x509
    from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, load_pem_private_key, pkcs12

    paper = seal(desk.house.nip)
    data = pkcs12.serialize_key_and_certificates(
        b"p", load_pem_private_key(paper.key, None), x509.load_pem_x509_certificate(paper.certificate), None,
        BestAvailableEncryption(b"haslo"),
    )  # fmt: skip
    (tmp_path / "a.p12").write_bytes(data)
    desk.done("identity", "add", "p12", "--pkcs12", str(tmp_path / "a.p12"), "--password-stdin", stdin="haslo\n")
    [row] = desk.json("identity", "list")
    assert (row["label"], row["subject"], row["key_kind"]) == ("p12", f"NIP {desk.house.nip}", "EC P-256")
    desk.done("identity", "remove", "p12")
    assert desk.json("identity", "list") == []


# ---- invoices


def test_import_ends_with_1_if_any_file_is_bad_and_keeps_the_rest(desk: Desk, tmp_path: Path):
    client = desk.house.client()
    (tmp_path / "b.xml").write_bytes(b"to nie jest faktura")
    (tmp_path / "a.xml").write_bytes(papers.invoice(client.nip))
    paths = [str(tmp_path / name) for name in ("b.xml", "a.xml", "nie-ma.xml")]
    rows = desk.json("invoice", "import", client.nip, *paths, exit_code=1)
    assert [(Path(r["file"]).name, r["state"], r["id"] is None) for r in rows] == [
        ("b.xml", "invalid", False), ("a.xml", "waiting", False), ("nie-ma.xml", "", True),
    ]  # fmt: skip
    assert all(r["errors"] for r in (rows[0], rows[2]))
    told = desk.run("invoice", "import", client.nip, *paths).stderr
    assert told.splitlines() == ["Do poprawy albo nie do odczytania: 2; wszystkich plików: 3."]


@pytest.mark.parametrize("document", [b"", b"%PDF-1.4", b"<a", b"<!DOCTYPE a><a/>"])
def test_a_file_that_is_no_invoice_is_shown_all_the_same(desk: Desk, document: bytes):
    [row] = desk.json("invoice", "import", desk.house.client().nip, "-", stdin=document, exit_code=1)
    shown = desk.json("invoice", "show", str(row["id"]))
    assert (shown["state"], shown["errors"]) == ("invalid", row["errors"])
    assert desk.json("queue", "explain", str(row["id"]))["reason"] == row["errors"][0]


def test_blocked_and_known_files_are_read_all_the_same(desk: Desk, tmp_path: Path):
    client = desk.house.client()
    (tmp_path / "a.xml").write_bytes(papers.invoice(client.nip, "FV/1"))
    (tmp_path / "b.xml").write_bytes(papers.invoice(client.nip, "FV/1", item="Inna"))
    paths = [str(tmp_path / "a.xml"), str(tmp_path / "b.xml")]
    states = [[r["state"] for r in desk.json("invoice", "import", client.nip, *paths)] for _ in range(2)]
    assert states == [["waiting", "blocked"]] * 2
    assert len(desk.json("queue", "list")) == 2


def test_an_invoice_from_stdin_keeps_its_bytes(desk: Desk, tmp_path: Path):
    client = desk.house.client()
    document = papers.invoice(client.nip).replace(b"><", b">\r\n<")
    [row] = desk.json("invoice", "import", client.nip, "-", stdin=document)
    assert row["state"] == "waiting"
    desk.done("invoice", "export", str(row["id"]), "--to", str(tmp_path / "out"))
    assert [p.read_bytes() for p in (tmp_path / "out").iterdir()] == [document]


def test_checking_writes_nothing(desk: Desk, tmp_path: Path):
    (tmp_path / "a.xml").write_bytes(papers.invoice(new_nip()))
    [row] = desk.json("invoice", "check", str(tmp_path / "a.xml"))
    assert (row["state"], row["id"]) == ("waiting", None)
    (tmp_path / "b.xml").write_bytes(b"<a>")
    checked = desk.run("invoice", "check", str(tmp_path))
    assert (checked.exit_code, checked.stderr) == (1, "Do poprawy albo nie do odczytania: 1; wszystkich plików: 2.\n")
    assert desk.json("queue", "list") == []


def test_expect_must_be_the_exact_count(desk: Desk):
    client = desk.house.client()
    desk.house.bring(client, papers.invoice(client.nip), papers.invoice(client.nip))
    line = desk.refused("queue", "approve", "--all", "--expect", "3")
    assert "jest 2, a nie 3" in line
    assert {r["state"] for r in desk.json("queue", "list")} == {"waiting"}
    desk.done("queue", "approve", "--client", client.nip, "--expect", "2")
    assert {r["state"] for r in desk.json("queue", "list")} == {"approved"}


@pytest.mark.parametrize(("environment", "status"), [("preprod", 2), ("production", 2), ("test", 0)])
def test_mass_approval_without_a_count_is_wrong_usage_where_it_counts(desk: Desk, environment: str, status: int):
    client = desk.house.client()
    desk.house.bring(client, papers.invoice(client.nip))
    desk.house.edit("UPDATE office SET environment = ?, api_url = NULL", environment)
    for command in (("--all",), ("--client", client.nip)):
        assert desk.run("queue", "approve", *command).exit_code == status
    if status:
        assert [r["state"] for r in desk.json("queue", "list")] == ["waiting"]
        desk.done("queue", "approve", "--all", "--expect", "1")
    assert [r["state"] for r in desk.json("queue", "list")] == ["approved"]


def test_acts_on_the_queue_and_their_refusals(desk: Desk):
    client = desk.house.client()
    one, two = (str(i) for i in desk.house.bring(client, papers.invoice(client.nip), papers.invoice(client.nip)))
    assert desk.json("queue", "hold", one) == {"done": 1, "refused": []}
    partly = desk.json("queue", "approve", one, two, exit_code=1)
    assert partly["done"] == 1
    assert [r["id"] for r in partly["refused"]] == [int(one)]
    desk.done("queue", "release", one)
    desk.done("queue", "recall", two)
    desk.done("queue", "withdraw", one, two)
    assert {r["state"] for r in desk.json("queue", "list")} == {"withdrawn"}
    result = desk.run("queue", "retry", one, "77")
    assert result.exit_code == 1
    assert len(result.stderr.splitlines()) == 2


# ---- authorisation and the worker


async def _token(desk: Desk, nip: str) -> str:
    return await Stranger(desk.house.ministry, nip).token("InvoiceWrite")


def test_a_token_is_read_from_stdin_and_never_shown(desk: Desk):
    import asyncio

    client = desk.house.client()
    token = asyncio.run(_token(desk, client.nip))
    result = desk.run("auth", "start", client.nip, "--token-stdin", "--json", stdin=f"{token}\n")
    assert result.exit_code == 0
    assert json.loads(result.stdout)["method"] == "token"
    wrong = desk.run("auth", "start", client.nip, "--token-stdin", stdin="zły\n")
    assert wrong.exit_code == 1
    for shown in (result, wrong):
        assert token not in shown.output
        assert "zły" not in shown.output


def test_no_wait_writes_the_intent_only(desk: Desk):
    client = desk.house.client(*BOTH)
    desk.house.identity("pieczęć")
    assert desk.json("auth", "start", client.nip, "--identity", "pieczęć", "--no-wait")["status"] == "running"
    desk.done("worker", "--until-idle", "--timeout", "60")
    assert desk.json("auth", "status", client.nip)["status"] == "active"
    rows = desk.json("auth", "check", "--all")
    assert [(r["nip"], r["status"]) for r in rows] == [(client.nip, "active")]


def test_a_worker_that_is_not_done_in_time_ends_with_1(desk: Desk):
    client = desk.house.client(*BOTH)
    desk.house.identity("pieczęć")
    desk.done("auth", "start", client.nip, "--identity", "pieczęć")
    desk.house.approved(client)
    desk.house.ministry.fault("stuck")
    assert "Nie wszystko" in desk.refused("worker", "--until-idle", "--timeout", "1")
    desk.house.ministry.calm()
    desk.done("worker", "--until-idle", "--timeout", "60")


def test_what_stands_is_listed_by_an_idle_worker(desk: Desk):
    client = desk.house.client(name="Sosna Próbna")
    desk.house.approved(client)
    result = desk.run("worker", "--until-idle", "--timeout", "60")
    assert (result.exit_code, result.stdout) == (0, "")
    assert "Sosna Próbna" in result.stderr
    assert client.nip in result.stderr


@pytest.mark.parametrize("command", [("queue", "approve"), ("queue", "hold"), ("invoice", "show")], ids=" ".join)
def test_a_number_that_no_invoice_can_have_is_wrong_usage(desk: Desk, command: tuple[str, ...]):
    assert desk.run(*command, "99999999999999999999999").exit_code == 2


def test_an_approved_invoice_that_stands_says_why(desk: Desk):
    client = desk.house.client()
    desk.house.approved(client)
    [row] = desk.json("queue", "list")
    assert (row["state"], row["reason_code"]) == ("approved", "standing")
    assert row["reason"] == "brak autoryzacji (niepodłączony)"


@pytest.mark.parametrize(
    "command",
    [("queue", "list", "--limit", "9" * 20), ("upo", "export", "--to", ""), ("invoice", "export", "1", "--to", "")],
    ids=["limit", "upo folder", "invoice folder"],
)
def test_what_nobody_can_mean_is_wrong_usage(desk: Desk, command: tuple[str, ...]):
    assert desk.run(*command).exit_code == 2


def test_an_empty_operator_is_nobody(desk: Desk):
    assert "Nie ma operatora" in desk.refused("--operator", "", "client", "list")
