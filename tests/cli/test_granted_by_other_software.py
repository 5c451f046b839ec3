"""A client grants rights and takes them back with a program of other people (`ksef-client` from PyPI).

The office only runs commands, each a process of its own, and a worker.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from cli_office import files, process
from ksef_client import KsefClient, KsefClientOptions
from ksef_client.models import (
    EntityDetails,
    EntityPermission,
    EntityPermissionsGrantRequest,
    EntityPermissionsSubjectIdentifier,
    EntityPermissionsSubjectIdentifierType,
    EntityPermissionType,
    PersonPermissionsQueryRequest,
    PersonPermissionsQueryType,
)
from ksef_client.services.workflows import AuthCoordinator
from support.companies import new_nip, seal
from support.houses import LOGIN, House, wait_for

GIVEN = PersonPermissionsQueryRequest(query_type=PersonPermissionsQueryType.PERMISSIONSGRANTEDINCURRENTCONTEXT)


class ClientsOwnProgram:
    """What the client's accounting program does in KSeF with the client's seal."""

    def __init__(self, program: KsefClient, nip: str) -> None:
        self.nip, self._ask = nip, program.permissions
        paper = seal(nip)
        self._access = (
            AuthCoordinator(program.auth)
            .authenticate_with_xades(
                context_identifier_type="nip",
                context_identifier_value=nip,
                subject_identifier_type="certificateSubject",
                certificate_pem=paper.certificate.decode(),
                private_key_pem=paper.key.decode(),
                poll_interval_seconds=0.01,
                max_attempts=1000,
            )
            .access_token
        )

    def grant(self, office: str, *rights: str, delegate: bool = True) -> None:
        request = EntityPermissionsGrantRequest(
            description="obsługa księgowa",
            permissions=[EntityPermission(EntityPermissionType(right), can_delegate=delegate) for right in rights],
            subject_details=EntityDetails(full_name="Biuro Modrzew"),
            subject_identifier=EntityPermissionsSubjectIdentifier(EntityPermissionsSubjectIdentifierType.NIP, office),
        )
        self._done(self._ask.grant_entity(request, access_token=self._access).reference_number)

    def take_back(self, office: str, rights: Sequence[str] = ("InvoiceWrite", "InvoiceRead")) -> None:
        """Common grants delete: each of these rights of the office that is in force."""
        given = self._ask.query_persons_grants(GIVEN, access_token=self._access).permissions
        mine = [p for p in given if p.authorized_identifier.value == office and p.permission_scope.value in rights]
        assert {p.permission_scope.value for p in mine} == set(rights)
        for permission in mine:
            answer = self._ask.revoke_common_permission(permission.id, access_token=self._access)
            self._done(answer.reference_number)

    def _done(self, reference: str) -> None:
        def ended() -> Any:
            status = self._ask.get_operation_status(reference, access_token=self._access).status
            return status if status.code != 100 else None

        assert wait_for(ended).code == 200


@pytest.fixture
def program(house: House) -> Iterator[KsefClient]:
    with KsefClient(KsefClientOptions(base_url=house.ministry.url)) as program:
        yield program


def command(house: House, *words: str, exit_code: int = 0) -> tuple[Any, str]:
    """The JSON of a command and its line on stderr."""
    done = process("--data-dir", str(house.folder), "--operator", LOGIN, *words)
    assert done.returncode == exit_code, done
    return json.loads(done.stdout or b"null"), done.stderr.decode().removesuffix("\n")


def begin(house: House, program: KsefClient, tmp_path: Path, *rights: str) -> ClientsOwnProgram:
    """A client that the office finds by itself and logs in to."""
    theirs = ClientsOwnProgram(program, new_nip())
    certificate, key = files(tmp_path, seal(house.nip))
    command(house, "identity", "add", "pieczęć", "--certificate", certificate, "--key", key, "--json")
    command(house, "auth", "start", house.nip, "--identity", "pieczęć", "--json")
    theirs.grant(house.nip, *rights)
    found, said = command(house, "client", "sync", "--json")
    assert (found["received"], [row["nip"] for row in found["added"]], said) == (1, [theirs.nip], "")
    return theirs


def test_granted_found_logged_in_and_taken_back(house: House, program: KsefClient, tmp_path: Path):
    theirs = begin(house, program, tmp_path, "InvoiceWrite", "InvoiceRead")
    row, said = command(house, "auth", "start", theirs.nip, "--identity", "pieczęć", "--json")
    assert (row["status"], row["rights"], row["can_delegate"], said) == (
        "active", ["InvoiceRead", "InvoiceWrite"], True, "",
    )  # fmt: skip

    theirs.take_back(house.nip)
    row, said = command(house, "auth", "check", theirs.nip, "--json", exit_code=1)
    assert (row["nip"], row["status"], row["rights"]) == (theirs.nip, "no_permission", [])
    told(said, house.nip, "wystawianie", "przeglądanie")
    assert said == row["reason"]
    assert command(house, "auth", "status", theirs.nip, "--json")[0] == row

    theirs.grant(house.nip, "InvoiceWrite", "InvoiceRead", delegate=False)
    row, said = command(house, "auth", "check", theirs.nip, "--json")
    assert (row["status"], row["rights"], row["can_delegate"], said) == (
        "active", ["InvoiceRead", "InvoiceWrite"], False, "",
    )  # fmt: skip


def test_the_daily_look_finds_that_rights_were_taken_back(house: House, program: KsefClient, tmp_path: Path):
    theirs = begin(house, program, tmp_path, "InvoiceWrite", "InvoiceRead")
    command(house, "auth", "start", theirs.nip, "--identity", "pieczęć", "--json")
    theirs.take_back(house.nip)
    house.edit("UPDATE authorization SET checked_at = '2026-01-01T00:00:00.000Z' WHERE checked_at IS NOT NULL")
    with working(house):
        wait_for(lambda: house.db.value("SELECT state FROM authorization WHERE state = 'no_permission'"))
    row, _ = command(house, "auth", "status", theirs.nip, "--json")
    assert (row["status"], row["rights"]) == ("no_permission", [])
    told(row["reason"], house.nip, "wystawianie", "przeglądanie")


def test_only_writing_is_taken_back(house: House, program: KsefClient, tmp_path: Path):
    theirs = begin(house, program, tmp_path, "InvoiceWrite", "InvoiceRead")
    command(house, "auth", "start", theirs.nip, "--identity", "pieczęć", "--json")
    theirs.take_back(house.nip, ["InvoiceWrite"])
    row, said = command(house, "auth", "check", theirs.nip, "--json", exit_code=1)
    assert (row["status"], row["rights"]) == ("read_only", ["InvoiceRead"])
    told(said, house.nip, "wystawianie")
    assert "przeglądanie" not in said


@contextmanager
def working(house: House) -> Iterator[None]:
    """A worker as a service runs it."""
    worker = subprocess.Popen(
        [sys.executable, "-m", "ksef_tui", "--data-dir", str(house.folder), "--operator", LOGIN, "worker"]
    )
    try:
        yield
    finally:
        worker.terminate()
        worker.wait(30)


def told(sentence: str, office: str, *rights: str) -> None:
    """What is missing, and for which identity."""
    assert f"NIP {office}" in sentence
    for right in rights:
        assert right in sentence
