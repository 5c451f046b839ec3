"""From an empty directory to the first authorised client, by keyboard alone on a terminal of 80×24: with a certificate
in files, and with nothing but a signature made elsewhere."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter

from support.companies import seal, signed
from support.houses import BOTH
from support.ministry import Ministry, Process

from tests.bench import ROOT
from tests.bench.big_office import new_nip
from tests.bench.plan import Scale
from tests.bench.sending import PROCESSING_MS
from tests.bench.table import Figure
from tests.bench.terminal import Terminal

ENTER, DOWN, QUIT = b"\r", b"\x1b[B", b"\x11"
OFFICE, CLIENT = new_nip(0), new_nip(1)
NAME = "Świerk Próbny"


@dataclass
class Person:
    """Somebody at the keyboard, who presses a key when the screen says what it is for."""

    terminal: Terminal
    home: Path
    ministry: Ministry
    keys: int = 0
    typed: int = 0
    acted: float = 0.0

    def press(self, *keys: bytes, then: str = "") -> None:
        """Keys, as fast as they come, and what the screen says after them."""
        self.acted = perf_counter()
        self.keys += len(keys)
        self.terminal.press(b"".join(keys))
        if then:
            self.see(then)

    def write(self, text: str, *keys: bytes, then: str = "") -> None:
        """Text in a field, and the keys after it."""
        self.typed += len(text)
        self.press(*(letter.encode() for letter in text), *keys, then=then)

    def see(self, text: str) -> None:
        """Wait until something is said that was not there before the last keys."""
        self.terminal.until(text, self.acted)


def _with_files(person: Person) -> None:
    """A certificate that lies in two files."""
    paper = seal(OFFICE)
    (person.home / "biuro.crt").write_bytes(paper.certificate)
    (person.home / "biuro.key").write_bytes(paper.key)
    person.press(b"d", then="dodaj z plików")
    person.press(DOWN, ENTER, then="Hasło")
    person.write("pieczęć", ENTER)
    person.write(str(person.home / "biuro.crt"), ENTER)
    person.write(str(person.home / "biuro.key"), ENTER)
    person.press(ENTER, then="Odcisk")
    person.press(DOWN, ENTER, then="nie jest zalogowane u siebie")
    person.ministry.grant(CLIENT, OFFICE, *BOTH)
    _client(person)
    _authorise(person)


def _with_nothing(person: Person) -> None:
    """A signature made elsewhere, then a certificate of KSeF, a letter to the client, and the client's grant."""
    person.press(b"d", then="podpisz u siebie")
    person.press(ENTER, then="Zapisz jako")
    person.press(ENTER, then="Zapisano")
    [request] = person.home.glob("*.xml")
    (person.home / "podpisane.xml").write_bytes(signed(request.read_bytes(), seal(OFFICE)))
    person.press(b"f", then="Enter dalej")
    person.write("podpisane.xml", ENTER, then="Zamów teraz")
    person.press(b"d", then="zamów w KSeF")
    person.press(ENTER, then="do logowania")
    person.press(ENTER, then="Nazwa profilu")
    person.press(ENTER, ENTER, then="Certyfikat jest")
    person.press(ENTER, then="n nowy klient")
    _client(person)
    person.press(b"l", then="Prośba o nadanie")
    person.press(b"s", then="Zapisz jako")
    person.press(ENTER, then="Zapisano")
    person.press(b"w", then="czeka")
    person.ministry.grant(CLIENT, OFFICE, *BOTH)
    _authorise(person)


def _client(person: Person) -> None:
    person.press(b"n", then="Nowy klient")
    person.write(CLIENT, ENTER)
    person.write(NAME, ENTER, then="Biuro nie ma dostępu")


def _authorise(person: Person) -> None:
    person.press(b"a", then="wybierz sposób")
    person.press(ENTER, then=f"w imieniu klienta {NAME}")


def first(scale: Scale) -> list[Figure]:
    """Both ways, each in an empty directory at a KSeF of its own."""
    figures: list[Figure] = []
    for what, way in (
        ("a certificate in files", _with_files),
        ("nothing: signature, KSeF certificate, letter", _with_nothing),
    ):
        seconds, person = _go(way)
        note = f"{person.keys} keys, {person.typed} of them letters of names and paths"
        figures.append(Figure(f"empty directory to the first client, {what}", seconds, "s", note=note))
    return figures


def _go(way: Callable[[Person], None]) -> tuple[float, Person]:
    with tempfile.TemporaryDirectory(prefix="b-") as folder:
        home, office = Path(folder) / "dom", Path(folder) / "biuro"
        home.mkdir()
        process = Process(Path(folder) / "kas", limits="production", delay=PROCESSING_MS)
        ministry = Ministry(process.url)
        try:
            start = perf_counter()
            init = (
                "init",
                "--environment",
                "sandbox",
                "--api-url",
                process.url,
                "--nip",
                OFFICE,
                "--name",
                "Biuro Modrzew",
            )
            command = [sys.executable, "-m", "ksef_tui", "--data-dir", str(office), *init]
            subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
            with Terminal("ksef_tui", "--data-dir", str(office), environment={"HOME": str(home)}) as terminal:
                person = Person(terminal, home, ministry)
                person.see("Tu się zaczyna")
                way(person)
                seconds = perf_counter() - start
                terminal.press(QUIT)
                terminal.wait()
            return seconds, person
        finally:
            ministry.close()
            process.stop()
