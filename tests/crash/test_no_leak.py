"""Crashed on purpose wherever a secret is looked at, the program shows it nowhere and leaves it nowhere in the open.

Each scenario is run once to learn where it looks at secrets (`leaks/sitecustomize.py`), then once for each such place
with an unexpected exception on the line after. What is searched: everything the process said, the whole database with
its write-ahead log, every file of the office, and what a traceback with local variables would show.
"""

from __future__ import annotations

import base64
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from support import papers
from support.companies import seal
from support.houses import LOGIN, Client, House
from support.ministry import Ministry
from support.terminals import Terminal

import ksef_tui
from ksef_tui.domain.secret import Secret
from ksef_tui.services import authorising, vaulting
from ksef_tui.services.external import request as external_request

HERE = Path(__file__).parent
WORD, OTHER = "zażółć gęślą jaźń", "drugie hasło biura"
PIECE = 16  # characters or bytes of a secret that must be nowhere
SHORT = 8  # what is shorter cannot be told from chance


@dataclass
class Run:
    """One run of the program: what it said, and what it looked at."""

    folder: Path
    said: bytes = b""
    secrets: set[bytes] = field(default_factory=set)
    places: set[str] = field(default_factory=set)
    crashes: bytes = b""


class Watched:
    """Runs the program under watch; each run has a folder of its own for what is learned."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.count = folder, 0

    def env(self, at: str) -> tuple[Path, dict[str, str]]:
        self.count += 1
        out = self.folder / f"watch {self.count}"
        out.mkdir(parents=True)
        return out, {"LEAK_OUT": str(out), "LEAK_AT": at, "PYTHONPATH": str(HERE / "leaks")}

    def run(self, office: Path, *command: str, stdin: str = "", at: str = "") -> Run:
        out, env = self.env(at)
        ended = subprocess.run(
            [sys.executable, "-m", "ksef_tui", "--data-dir", str(office), "--operator", LOGIN, *command],
            input=stdin.encode(), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=120, check=False,
            env={**os.environ, **env}, start_new_session=True,
        )  # fmt: skip
        return learned(Run(office, ended.stdout), out)


def learned(run: Run, out: Path) -> Run:
    for file in out.glob("seen-*"):
        for line in file.read_text().splitlines():
            place, value = line.split(" ")
            run.secrets.add(bytes.fromhex(value))
            run.places.add(place)
    run.crashes = b"".join(file.read_bytes() for file in out.glob("crashed-*"))
    return run


def pieces(secret: bytes) -> Iterator[bytes]:
    """The secret as it might be written down: plain, Base64, hexadecimal, escaped; its beginning, middle and end."""
    forms = [secret, base64.b64encode(secret), secret.hex().encode(), repr(secret)[2:-1].encode()]
    with suppress(UnicodeDecodeError):
        forms.append(repr(secret.decode())[1:-1].encode())
    for form in forms:
        for begin in (0, (len(form) - PIECE) // 2, len(form) - PIECE):
            yield form[max(0, begin) :][:PIECE]


def essence(secret: bytes) -> bytes:
    """Of a private key its private number, of a signed request its signature: the rest is for everybody to see."""
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
    from cryptography.hazmat.primitives.serialization import load_der_private_key

    if secret.startswith(b"<?xml"):
        return secret.partition(b"SignatureValue>")[2].partition(b"<")[0].strip()
    try:
        key = load_der_private_key(secret, None)
    except ValueError:
        return secret
    if isinstance(key, EllipticCurvePrivateKey):
        return key.private_numbers().private_value.to_bytes(32, "big")
    assert isinstance(key, RSAPrivateKey)
    return key.private_numbers().d.to_bytes(key.key_size // 8, "big")


def leaks(run: Run) -> list[str]:
    """Which of the secrets of this run are in what others can see, and where."""
    places = {"what it said": run.said, "the traceback with local variables": run.crashes}
    for file in run.folder.rglob("*"):
        if file.is_file() and file.name != "office.key":  # where the data key lives
            places[file.name] = file.read_bytes()
    return [
        f"{piece!r} is in {where}"
        for secret in map(essence, run.secrets)
        if len(secret) >= SHORT and not secret.isspace()
        for piece in pieces(secret)
        for where, content in places.items()
        if piece in content
    ]


ABOUT_KEYS = ("the_data_key_is_changed", "the_passphrase_is_changed", "the_key_is_exported", "the_key_is_imported")
KEEPING_KEYS = ("?", "vault/data_key.py", "vault/key_file.py")
Scenario = Callable[[House, Watched, Path, str], Run]
SCENARIOS: dict[str, Scenario] = {}


def scenario(function: Scenario) -> Scenario:
    """What people do with secrets. Each call starts from an office of its own and does the same with it."""
    SCENARIOS[function.__name__] = function
    return function


def files(folder: Path, house: House, password: bytes | None = None) -> tuple[str, str]:
    paper = seal(house.nip, password=password)
    folder.mkdir(parents=True)
    (folder / "c").write_bytes(paper.certificate)
    (folder / "k").write_bytes(paper.key)
    return str(folder / "c"), str(folder / "k")


def authorised(house: House) -> Client:
    """A client with a login of its own making, without a run of the program that is watched."""
    import asyncio

    return asyncio.run(house.ready_client())


@scenario
def a_key_with_a_password_is_taken_in(house: House, watched: Watched, folder: Path, at: str) -> Run:
    certificate, key = files(folder, house, b"haslo-do-klucza")
    command = ("identity", "add", "pieczec", "--certificate", certificate, "--key", key, "--password-stdin")
    return watched.run(house.folder, *command, stdin="haslo-do-klucza\n", at=at)


@scenario
def a_client_is_authorised_by_certificate(house: House, watched: Watched, folder: Path, at: str) -> Run:
    house.identity()
    client = house.client("InvoiceWrite", "InvoiceRead")
    return watched.run(house.folder, "auth", "start", client.nip, "--identity", "pieczęć", at=at)


@scenario
def a_client_is_authorised_by_token(house: House, watched: Watched, folder: Path, at: str) -> Run:
    client = house.client()
    return watched.run(
        house.folder, "auth", "start", client.nip, "--token-stdin", stdin="tajny-token-klienta-1234567890\n", at=at
    )


@scenario
def a_signed_request_is_handed_in(house: House, watched: Watched, folder: Path, at: str) -> Run:
    import asyncio

    from ksef_tui.ksef import certificates, xades

    client = house.client()
    authorising.start_external(house.office, house.admin, client.id)
    asyncio.run(house.carry_out(client))
    asked = external_request(house.office, house.admin, client.id)
    paper = seal(client.nip)
    own = certificates.load(paper.certificate, paper.key, None)
    signed = xades.sign(asked.document, own.certificate, own.key, signing_time=house.office.clock())
    folder.mkdir(parents=True)
    (folder / "podpisane.xml").write_bytes(signed)
    return watched.run(house.folder, "auth", "submit", client.nip, str(folder / "podpisane.xml"), at=at)


@scenario
def an_invoice_is_sent(house: House, watched: Watched, folder: Path, at: str) -> Run:
    client = authorised(house)
    house.approved(client, papers.invoice(client.nip))
    return watched.run(house.folder, "worker", "--until-idle", "--timeout", "3", at=at)


@scenario
def a_login_is_refreshed_and_revoked(house: House, watched: Watched, folder: Path, at: str) -> Run:
    client = authorised(house)
    house.edit("UPDATE authorization SET access_until = '2020-01-01T00:00:00Z' WHERE client_id = ?", client.id)
    house.approved(client, papers.invoice(client.nip))
    first = watched.run(house.folder, "worker", "--until-idle", "--timeout", "3", at=at)
    second = watched.run(house.folder, "auth", "revoke", client.nip, at=at)
    return Run(
        house.folder, first.said + second.said, first.secrets | second.secrets, first.places | second.places,
        first.crashes + second.crashes,
    )  # fmt: skip


def with_passphrase(house: House) -> None:
    house.identity()
    vaulting.protect(house.office, house.admin, "passphrase", Secret(WORD))


@scenario
def the_data_key_is_changed(house: House, watched: Watched, folder: Path, at: str) -> Run:
    with_passphrase(house)
    return watched.run(house.folder, "--passphrase-stdin", "vault", "rotate", stdin=f"{WORD}\n", at=at)


@scenario
def the_passphrase_is_changed(house: House, watched: Watched, folder: Path, at: str) -> Run:
    with_passphrase(house)
    command = ("--passphrase-stdin", "vault", "passphrase", "--passphrase-stdin")
    return watched.run(house.folder, *command, stdin=f"{WORD}\n{OTHER}\n", at=at)


@scenario
def the_key_is_exported(house: House, watched: Watched, folder: Path, at: str) -> Run:
    with_passphrase(house)
    folder.mkdir(parents=True)
    command = ("--passphrase-stdin", "vault", "export", str(folder / "klucz"), "--passphrase-stdin")
    return watched.run(house.folder, *command, stdin=f"{WORD}\n{OTHER}\n", at=at)


@scenario
def the_key_is_imported(house: House, watched: Watched, folder: Path, at: str) -> Run:
    house.identity()
    folder.mkdir(parents=True)
    vaulting.export(house.office, house.admin, folder / "klucz", Secret(WORD))
    house.office.keys.path.unlink()
    command = ("vault", "import", str(folder / "klucz"), "--with", "passphrase", "--passphrase-stdin")
    return watched.run(house.folder, *command, stdin=f"{WORD}\n", at=at)


@pytest.mark.parametrize("name", list(SCENARIOS))
def test_a_crash_shows_no_secret(name: str, tmp_path: Path, ministry: Ministry) -> None:
    watched, count = Watched(tmp_path / "watched"), 0

    def once(at: str) -> Run:
        nonlocal count
        count += 1
        house = House(tmp_path / f"biuro {count}", ministry)
        try:
            return SCENARIOS[name](house, watched, tmp_path / f"files {count}", at)
        finally:
            house.close()

    whole = once("")
    found = leaks(whole)
    assert whole.places
    for place in sorted(whole.places):
        if name not in ABOUT_KEYS and place.startswith(KEEPING_KEYS):  # the same in all of them
            continue
        run = once(place)
        assert b"struck" in run.crashes, f"nothing crashed at {place}"
        found += [f"crashed at {place}: {leak}" for leak in leaks(run)]
    assert found == [], "\n".join(["", *found])


TOKEN = "tajny-token-klienta-1234567890"


@pytest.fixture
def screen(house: House) -> Iterator[Callable[[dict[str, str]], Terminal]]:
    """Opens the screen in a terminal; it does not outlive the test."""
    opened: list[Terminal] = []

    def open_screen(env: dict[str, str]) -> Terminal:
        terminal = Terminal("-m", "ksef_tui", "--data-dir", str(house.folder), "--operator", LOGIN, env=env)
        opened.append(terminal)
        return terminal

    yield open_screen
    for terminal in opened:
        terminal.kill()


@pytest.mark.parametrize("where", ["a service", "the event loop"])
def test_a_crash_of_the_screen_shows_no_secret(
    house: House, tmp_path: Path, screen: Callable[[dict[str, str]], Terminal], where: str
) -> None:
    """A token has been typed when it happens: in the thread that acts, which is told in a notice, or where Textual
    itself catches it and would print local variables."""
    house.client(name="Jodła Próbna")
    in_service = place_in("services/authorising.py", "token.reveal()")
    out, env = Watched(tmp_path / "watched").env(in_service if where == "a service" else "")
    if where == "the event loop":
        env["LEAK_RAISE"] = "ksef_tui.tui.dialogs.form:Form._say"
    terminal = screen(env)
    terminal.wait_for("Jodła")
    terminal.type("\x1b[B")
    terminal.type("a")
    terminal.wait_for("token KSeF klienta")
    terminal.type("\x1b[B" * 6)  # to the last
    terminal.type("\r")
    terminal.wait_for("Enter dalej")
    terminal.type(TOKEN)
    terminal.type("\r")
    terminal.wait_for("Błąd programu")
    if where == "a service":
        terminal.type("\x1b")
        terminal.type("\x11")
    terminal.end()
    run = learned(Run(house.folder, terminal.shown), out)
    run.secrets.add(TOKEN.encode())
    assert run.crashes.count(b"struck") == (where == "a service")
    assert leaks(run) == []


def place_in(file: str, text: str) -> str:
    """Where in the code this text stands."""
    lines = (Path(ksef_tui.__file__).parent / file).read_text().splitlines()
    return f"{file}:{next(n for n, line in enumerate(lines, 1) if text in line)}"
