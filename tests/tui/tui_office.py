"""An office with clients in all authorisation states and invoices in all queue states, without a network.

Rows are written through the store, as the worker would leave them; the clock stands still.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

from ksef_tui.domain.authorizations import AuthState
from ksef_tui.domain.invoices import InvoiceState
from ksef_tui.domain.roles import Operator, Role
from ksef_tui.domain.text import fold
from ksef_tui.domain.times import to_text
from ksef_tui.fa3.build import Item, Party, Sale, build
from ksef_tui.ksef.environments import resolve
from ksef_tui.services.office import Office, database_path
from ksef_tui.store import documents, invoices, offices
from ksef_tui.store.database import open_database
from ksef_tui.vault.data_key import KeyStore

NOW = datetime(2026, 11, 24, 8, 14, 8, tzinfo=UTC)  # 09:14:08 in Warsaw
OFFICE_NIP = "5265877635"


def nip(number: int) -> str:
    """The n-th invented NIP with a right check digit."""
    weights = (6, 5, 7, 2, 3, 4, 5, 6, 7)
    base = 525_100_000 + number * 37
    while True:
        digits = [int(c) for c in str(base)]
        check = sum(w * d for w, d in zip(weights, digits, strict=True)) % 11
        if check < 10:
            return f"{base}{check}"
        base += 1


def new_office(folder: Path, environment: str = "sandbox", **settings: Any) -> tuple[Office, Operator]:
    """An empty office and its administrator."""
    db = open_database(database_path(folder))
    with db.write() as connection:
        offices.insert_office(
            connection,
            NOW,
            office_id="0123456789abcdef",
            environment=environment,
            api_url=None,
            nip=OFFICE_NIP,
            name="Biuro Rachunkowe Saldo",
            secrets="file",
        )
        anna = offices.insert_operator(connection, NOW, "anna", "Anna Kos", Role.ADMIN)
    office = Office(
        data_dir=folder,
        db=db,
        environment=resolve(environment),
        office_id="0123456789abcdef",
        nip=OFFICE_NIP,
        name="Biuro Rachunkowe Saldo",
        keys=KeyStore(lambda: "file", folder, "0123456789abcdef"),  # the screens of these tests never open a secret
        clock=lambda: NOW,
        since_boot=lambda: 0.0,
        **settings,
    )
    return office, Operator(anna, "anna", "Anna Kos", Role.ADMIN)


def add_client(office: Office, number: int, name: str, **authorization: Any) -> int:
    """A client whose authorisation stands as told; its id."""
    with office.db.write() as connection:
        client_id = offices.insert_client(connection, NOW, nip(number), name, is_office=False, keeper_id=None)
        if authorization:
            columns = ", ".join(f"{column} = ?" for column in authorization)
            connection.execute(
                f"UPDATE authorization SET {columns} WHERE client_id = ?", (*authorization.values(), client_id)
            )
    return client_id


def add_identity(office: Office, label: str = "pieczęć biura") -> int:
    """A KSeF certificate of the office; its key stays unknown."""
    with office.db.write() as connection:
        return offices.insert_identity(
            connection,
            NOW,
            {
                "label": label,
                "operator_id": None,
                "subject_type": "Nip",
                "subject_value": OFFICE_NIP,
                "common_name": "Biuro Rachunkowe Saldo",
                "serial": "01",
                "fingerprint": "ab" * 32,
                "key_kind": "EC P-256",
                "valid_from": to_text(NOW),
                "valid_to": to_text(datetime(2028, 3, 14, tzinfo=UTC)),
                "certificate": b"",
                "seal_row": "1",
                "sealed_key": b"",
            },
        )


def add_invoice(
    office: Office,
    client_id: int,
    number: str,
    state: InvoiceState,
    *,
    gross: str = "1230.00",
    buyer: str = "Hurtownia Leśna sp. z o.o.",
    seconds_ago: int = 60,
    **columns: Any,
) -> int:
    """An invoice as the worker would have left it; its id."""
    moment = NOW - timedelta(seconds=seconds_ago)
    seller = office.db.row("SELECT nip, name FROM client WHERE id = ?", (client_id,))
    assert seller is not None
    data = document(seller["nip"], seller["name"], number, Decimal(gross), buyer)
    with office.db.write() as connection:
        sha256 = documents.put(connection, data)
        invoice_id = invoices.insert(
            connection,
            moment,
            None,
            {
                "client_id": client_id,
                "sha256": sha256,
                "file": f"{number}.xml",
                "size": len(data),
                "seller_nip": seller["nip"],
                "number": number,
                "number_key": number,
                "kind": "VAT",
                "issue_date": "2026-11-24",
                "buyer_nip": nip(900),
                "buyer": buyer,
                "gross": gross,
                "currency": "PLN",
                "form_code": "FA (3)",
                "attachment": 0,
                "search": fold(f"{number} {buyer}"),
                "state": InvoiceState.WAITING,
                "reason_code": "",
                "reason": "",
                "findings": "{}",
            },
        )
        values = {"state": state.value, "changed_at": to_text(moment), **columns}
        assignments = ", ".join(f"{column} = ?" for column in values)
        connection.execute(f"UPDATE invoice SET {assignments} WHERE id = ?", (*values.values(), invoice_id))
    return invoice_id


def document(seller_nip: str, seller: str, number: str, gross: Decimal, buyer: str) -> bytes:
    """An FA(3) document as an accounting program would write it."""
    price = (gross / Decimal("1.23")).quantize(Decimal("0.01"))
    return build(
        Sale(
            seller=Party(seller_nip, printable(seller), "ul. Polna 1", "00-001 Warszawa"),
            buyer=Party(nip(900), printable(buyer), "ul. Leśna 7", "30-002 Kraków"),
            number=printable(number),
            issue_date=NOW.date(),
            created_at=NOW,
            items=(Item("Usługa montażowa", Decimal(1), price),),
        )
    )


def printable(text: str) -> str:
    """Without the characters that no XML document can hold."""
    return "".join(c if c.isprintable() else "?" for c in text)


RIGHTS = json.dumps(["InvoiceRead", "InvoiceWrite"])


def furnish(office: Office) -> dict[str, int]:
    """Twelve clients in all states with a queue in all states; their ids by a short name."""
    identity = add_identity(office)
    ready: dict[str, Any] = {
        "state": AuthState.ACTIVE,
        "method": "certificate",
        "identity_id": identity,
        "step": "rights",
        "rights": RIGHTS,
        "can_delegate": 1,
        "checked_at": to_text(NOW),
        "valid_until": to_text(datetime(2028, 3, 14, tzinfo=UTC)),
    }
    refused = {**ready, "step_failed": 1, "rights": "[]", "can_delegate": 0}
    ids = {
        "alfa": add_client(office, 1, "Alfa Instal sp. z o.o.", **ready),
        "blawat": add_client(office, 2, "Bławat Jan Nowak", **{**ready, "can_delegate": 0}),
        "cegielnia": add_client(
            office, 3, "Cegielnia Dolna S.A.", **{**ready, "valid_until": to_text(datetime(2026, 11, 29, tzinfo=UTC))}
        ),
        "gamma": add_client(
            office, 4, "Gamma s.c.",
            **{**refused, "state": AuthState.NO_PERMISSION, "reason_code": "415", "reason": "Gamma s.c. nie nadała w KSeF uprawnień."},
        ),
        "delta": add_client(
            office, 5, "Delta Transport sp. z o.o.", state=AuthState.RUNNING, method="certificate", identity_id=identity, step="sign"
        ),
        "ekoplon": add_client(
            office, 6, "Ekoplon Anna Żak",
            **{**ready, "state": AuthState.READ_ONLY, "rights": '["InvoiceRead"]', "can_delegate": 0},
        ),
        "fenix": add_client(office, 7, "Fenix Druk sp. z o.o.", **ready),
        "wrzos": add_client(office, 8, "Gospodarstwo Wrzos"),
        "cwik": add_client(office, 9, "Hurtownia Ćwik", **ready),
        "los": add_client(
            office, 10, "Instal-Bud M. Łoś", **{**ready, "valid_until": to_text(datetime(2026, 11, 20, tzinfo=UTC))}
        ),
        "jodla": add_client(office, 11, "Jodła Meble sp. z o.o.", **ready),
        "sojka": add_client(
            office, 12, "Kancelaria Sójka", state=AuthState.FAILED, method="certificate", identity_id=identity,
            step="verify", step_failed=1, reason_code="unreachable", reason="KSeF nie odpowiada.",
        ),
    }  # fmt: skip
    s = InvoiceState
    number = "5251000337-20261124-01A0C3-0000{:02d}-5F"
    soon = to_text(NOW + timedelta(seconds=8))
    taken = {"reason_code": "duplicate", "reason": "ten numer już czeka w kolejce"}
    wrong = {"reason_code": "xsd", "reason": "plik nie zgadza się ze wzorem FA(3)"}
    rows: tuple[tuple[str, str, InvoiceState, dict[str, Any]], ...] = (
        ("jodla", "JM/2026/90", s.WAITING, {"gross": "6150.00", "seconds_ago": 218}),
        ("jodla", "JM/2026/91", s.WAITING, {"gross": "15990.00", "seconds_ago": 217}),
        ("alfa", "KOR/11/2026/002", s.HELD, {"gross": "-1230.00", "reason_code": "held", "reason": "wstrzymał(a): Anna Kos"}),
        ("cwik", "H/11/558", s.ACCEPTED, {"gross": "1229.99", "ksef_number": number.format(1), "upo": "none"}),
        ("cwik", "H/11/559", s.ACCEPTED, {"gross": "77.49", "ksef_number": number.format(2), "upo": "late"}),
        ("cegielnia", "FS-7712", s.UNKNOWN, {"gross": "98400.00"}),
        ("gamma", "GA/2026/402", s.APPROVED, {"gross": "310.00"}),
        ("gamma", "GA/2026/403", s.BLOCKED, {"gross": "310.00", **taken}),
        ("sojka", "KS 88/2026", s.WITHDRAWN, {"gross": "4920.00"}),
        ("blawat", "15/11/26", s.REJECTED, {"gross": "861.00", "reason_code": "440", "reason": "numer już w KSeF"}),
        ("alfa", "FV/11/2026/030", s.APPROVED, {"gross": "500.00", "send_after": soon, "seconds_ago": 2}),
        ("fenix", "FD/2026/1185", s.INVALID, {"gross": "10.00", **wrong}),
        ("fenix", "FD/2026/1186", s.REPLACED, {"gross": "2214.00"}),
        ("fenix", "FD/2026/1187", s.ACCEPTED, {"gross": "399.75", "ksef_number": number.format(3), "upo": "saved", "seconds_ago": 2}),
        ("fenix", "FD/2026/1188", s.PROCESSING, {"gross": "1845.00", "seconds_ago": 2}),
        ("alfa", "FV/11/2026/031", s.SENDING, {"gross": "12300.00", "seconds_ago": 1}),
    )  # fmt: skip
    for client, name, state, columns in rows:
        add_invoice(office, ids[client], name, state, **columns)
    return ids
