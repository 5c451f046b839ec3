"""Import with all checks, beside bare parsing and schema validation of the same bytes."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path, PurePosixPath
from statistics import median
from time import perf_counter
from typing import Any

from lxml import etree

from ksef_tui.compose import open_office
from ksef_tui.domain.times import polish_day
from ksef_tui.fa3 import xsd_files
from ksef_tui.fa3.build import Item, Party, Sale, build
from ksef_tui.fa3.check import check
from ksef_tui.services import clients, importing, office
from tests.bench import big_office
from tests.bench.plan import Scale
from tests.bench.table import Budget, Figure

ROUNDS = 5
ITEMS = 6  # rows of an invoice: some 3 kB


def documents(scale: Scale) -> list[Figure]:
    """Invoices a second: bare, checked, imported."""
    nip = big_office.new_nip(7)
    made = [_invoice(nip, n) for n in range(scale.documents)]
    bare, checked, imported = [], [], []
    validate, today = _bare_validator(), polish_day(datetime.now(UTC))
    for round_ in range(ROUNDS):  # in turns, so that all meet the same weather
        bare.append(_speed(made, validate))
        checked.append(_speed(made, lambda data: _must_pass(data, nip, today)))
        imported.append(_import(made, nip, round_))
    size = median(len(data) for data in made) / 1000
    base, beside = median(bare), "/s parse and XSD"
    return [
        Figure(
            f"import and all checks, {len(made):,} files of {size:.1f} kB", median(imported), "/s", base, beside,
            Budget(0.6, "ratio", at_least=True), "read, hashed, checked, written in transactions of 100",
        ),
        Figure("the checks alone", median(checked), "/s", base, beside),
    ]  # fmt: skip


def _speed(made: list[bytes], work: Callable[[bytes], None]) -> float:
    start = perf_counter()
    for data in made:
        work(data)
    return len(made) / (perf_counter() - start)


def _must_pass(data: bytes, nip: str, today: date) -> None:
    found = check(data, today=today, client_nip=nip)
    if found.errors or found.facts is None:
        raise RuntimeError(f"a right invoice was refused: {found.errors}")


def _bare_validator() -> Callable[[bytes], None]:
    """Nothing but lxml: parse, validate."""
    place = xsd_files.locate()

    class Neighbours(etree.Resolver):
        def resolve(self, system_url: str, public_id: str, context: Any) -> Any:  # type: ignore[override]
            return self.resolve_filename(str(place / PurePosixPath(system_url).name), context)  # type: ignore[attr-defined]

    reader = etree.XMLParser(no_network=True)
    reader.resolvers.add(Neighbours())
    schema = etree.XMLSchema(etree.parse(str(place / xsd_files.MAIN_SCHEMA), reader))
    parser = etree.XMLParser(no_network=True, resolve_entities=False)

    def validate(data: bytes) -> None:
        if not schema.validate(etree.fromstring(data, parser)):
            raise RuntimeError(f"the schema refused a right invoice: {schema.error_log}")

    return validate


def _import(made: list[bytes], nip: str, round_: int) -> float:
    """A folder into a new office."""
    with tempfile.TemporaryDirectory(prefix="bench-") as temporary:
        place, files = Path(temporary) / "office", Path(temporary) / "files"
        files.mkdir()
        for n, data in enumerate(made):
            (files / f"{n:06d}.xml").write_bytes(data)
        office.init(place, environment="sandbox", nip=big_office.OFFICE_NIP, name="Biuro", login=big_office.LOGIN)
        opened = open_office(place)
        try:
            operator = office.operator_named(opened, big_office.LOGIN)
            client = clients.add(opened, operator, nip, "Firma Próbna sp. z o.o.")
            start = perf_counter()
            rows = importing.import_paths(opened, operator, client, [files])
            passed = perf_counter() - start
        finally:
            opened.close()
    states = {row.state for row in rows}
    if len(rows) != len(made) or states != {"waiting"}:
        raise RuntimeError(f"round {round_}: {len(rows)} of {len(made)} imported, states {states}")
    return len(made) / passed


def _invoice(nip: str, n: int) -> bytes:
    return build(
        Sale(
            seller=Party(nip, "Firma Próbna sp. z o.o.", "ul. Polna 1", "00-001 Warszawa"),
            buyer=Party("1111111111", f"Hurtownia Leśna nr {n}", "ul. Leśna 7", "30-002 Kraków"),
            number=f"FV/{n:06d}/2026",
            issue_date=polish_day(datetime.now(UTC)),
            created_at=datetime.now(UTC),
            items=tuple(
                Item(f"Towar {k} według zamówienia {n}", Decimal(k + 1), Decimal(f"{10 + k}.{n % 90 + 10}"))
                for k in range(ITEMS)
            ),
        )
    )
