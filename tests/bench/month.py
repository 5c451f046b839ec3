"""The end of a month: every client's invoices approved in one evening, under production's limits, from the worker's start
until each is accepted and its receipt is kept. Beside it the same by `ksef-client`, which other people wrote, as programs
use it: a session for each invoice, waited for; and one session for each client."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from time import perf_counter
from typing import Any

from ksef_client import KsefClient, KsefClientOptions
from ksef_client.models import FormCode
from ksef_client.services.workflows import AuthCoordinator, OnlineSessionWorkflow
from support import papers
from support.companies import Paper
from support.houses import BOTH, LOGIN, Client, House

from ksef_tui.services import approving, importing
from tests.bench import ROOT
from tests.bench.big_office import new_nip
from tests.bench.many import limited_house
from tests.bench.plan import Scale
from tests.bench.table import Budget, Figure

ASK_AGAIN = 2.0  # seconds between two questions: what the library's own waiting for a login does
FORM = FormCode(system_code="FA (3)", schema_version="1-0E", value="FA")


def month(scale: Scale) -> list[Figure]:
    """All accepted with their receipts and no 429, or RuntimeError."""
    total = scale.month * scale.month_each
    with limited_house(scale.month, took_back=0) as (house, clients, paper):
        ids = _import(house, clients, scale.month_each)
        approving.approve(house.office, house.admin, ids)
        seconds, spent, memory = _work(house)
        _prove(house, total)
        calls = house.db.value("SELECT count(*) FROM journal WHERE phase = 'started' AND operation <> 'fetch'")
        each_waited = _per_client(house, paper, scale, _session_for_each)
        one_session = _per_client(house, paper, scale, _one_session)
    waited, together = each_waited * scale.month, one_session * scale.month
    what = f"month end, {scale.month} clients × {scale.month_each} invoices, production limits"
    note = f"{total:,} accepted once, each with its receipt, 0 × 429; {total / seconds:.0f} invoices/s, {spent:.0f} s of a processor"
    return [
        Figure(what, seconds / 60, "min", waited / 60, f"min ksef-client, a session an invoice ({scale.month_bare} clients, scaled)",
               Budget(0.1, "ratio"), note),
        Figure("the same beside one session for each client", seconds / 60, "min", together / 60,
               f"min ksef-client, {one_session:.1f} s a client"),
        Figure("API requests of it", calls, "", total, "invoices", note="logins included; receipts come from addresses handed out"),
        Figure("memory of its worker, peak", memory, "MB"),
    ]  # fmt: skip


def _import(house: House, clients: list[Client], each: int) -> list[int]:
    ids = []
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        for client in clients:
            place = Path(folder) / client.nip
            place.mkdir()
            for n in range(each):
                (place / f"{n:04d}.xml").write_bytes(papers.invoice(client.nip))
            ids += [row.id for row in importing.import_paths(house.office, house.admin, client.id, [place])]
    return [one for one in ids if one is not None]


def _work(house: House) -> tuple[float, float, float]:
    """Seconds, seconds of a processor, and the most memory in MB that a worker of its own took."""
    command = [sys.executable, "-m", "ksef_tui", "--data-dir", str(house.folder), "--operator", LOGIN, "worker"]
    start = perf_counter()
    with tempfile.TemporaryFile("w+") as told:
        child = subprocess.Popen([*command, "--until-idle", "--timeout", "7200"], cwd=ROOT, stderr=told)
        _, status, used = os.wait4(child.pid, 0)
        child.returncode = os.waitstatus_to_exitcode(status)
        seconds = perf_counter() - start
        if child.returncode != 0:
            told.seek(0)
            raise RuntimeError(told.read())
    return seconds, used.ru_utime + used.ru_stime, used.ru_maxrss / 1024


def _prove(house: House, total: int) -> None:
    rows = house.db.rows("SELECT seller_nip, ksef_number FROM invoice WHERE state = 'accepted' AND upo = 'saved'")
    ours = {(row["seller_nip"], row["ksef_number"]) for row in rows}
    theirs = [(row["seller"], row["ksef_number"]) for row in house.ministry.in_ksef()]
    refused = house.ministry.refused_by_limits()
    if len(ours) != total or sorted(theirs) != sorted(ours) or refused:
        raise RuntimeError(f"{len(ours)} of {total} accepted here, {len(theirs)} there, {refused} answers of 429")


# ---- what other people's client takes


def _per_client(house: House, paper: Paper, scale: Scale, send: Callable[..., None]) -> float:
    """Seconds for one client, of `month_bare` clients one after another."""
    start_at = len(house.ministry.in_ksef()) + scale.month  # clients that nobody had yet
    nips = [new_nip(start_at + n) for n in range(scale.month_bare)]
    for nip in nips:
        house.ministry.grant(nip, house.nip, *BOTH)
    documents = {nip: [papers.invoice(nip) for _ in range(scale.month_each)] for nip in nips}
    start = perf_counter()
    with KsefClient(KsefClientOptions(base_url=house.ministry.url)) as client:
        for nip in nips:
            send(client, _log_in(client, nip, paper), documents[nip])
    return (perf_counter() - start) / len(nips)


def _log_in(client: KsefClient, nip: str, paper: Paper) -> str:
    result = AuthCoordinator(client.auth).authenticate_with_xades(
        context_identifier_type="nip",
        context_identifier_value=nip,
        subject_identifier_type="certificateSubject",
        certificate_pem=paper.certificate.decode(),
        private_key_pem=paper.key.decode(),
        auth_request_schema_version="2.1",
        poll_interval_seconds=ASK_AGAIN,
    )
    return str(result.access_token)


def _open(client: KsefClient, access: str) -> tuple[OnlineSessionWorkflow, Any]:
    key = client.security.get_public_key_certificate("SymmetricKeyEncryption")
    workflow = OnlineSessionWorkflow(client.sessions)
    return workflow, workflow.open_session(
        form_code=FORM, public_certificate=key.certificate, public_key_id=key.public_key_id, access_token=access
    )


def _session_for_each(client: KsefClient, access: str, documents: list[bytes]) -> None:
    for document in documents:
        _one_session(client, access, [document])


def _one_session(client: KsefClient, access: str, documents: list[bytes]) -> None:
    """Open, send, close, wait for the end, fetch the session's receipt."""
    workflow, session = _open(client, access)
    for document in documents:
        _patiently(lambda document=document: session.send_invoice(document))
    workflow.close_session(session.reference_number, access)
    while (status := session.get_status()).status.code < 200:
        time.sleep(ASK_AGAIN)
    if status.successful_invoice_count != len(documents):
        raise RuntimeError(f"the independent client: {status}")
    session.get_upo(status.upo.pages[0].reference_number)


def _patiently(call: Callable[[], object]) -> None:
    """Wait as long as KSeF says, and ask again."""
    from ksef_client import KsefRateLimitError

    while True:
        try:
            call()
        except KsefRateLimitError as error:
            time.sleep(error.retry_after or 1)
        else:
            return
