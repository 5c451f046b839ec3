"""`ksef-client` from PyPI, written by other people, runs unchanged against the sandbox process."""

from __future__ import annotations

import pytest
from ksef_client import KsefClient, KsefClientOptions
from ksef_client.models import FormCode
from ksef_client.services.workflows import AuthCoordinator, OnlineSessionWorkflow
from lxml import etree
from sandbox_client import Sandbox, until
from sandbox_crypto import ec_key, rsa_key, sha
from sandbox_invoices import invoice, nip
from sandbox_strangers import FAST, by_signature

UPO = "{http://upo.schematy.mf.gov.pl/KSeF/v4-3}"


@pytest.fixture
def independent(sandbox_url: str):
    with KsefClient(KsefClientOptions(base_url=sandbox_url)) as client:
        yield client


def by_token(client: KsefClient, ksef: Sandbox, me: str) -> str:
    access = ksef.owner(me)
    body = {"permissions": ["InvoiceWrite", "InvoiceRead"], "description": "obcy program"}
    made = ksef.post("/tokens", access, body).json()
    path = f"/tokens/{made['referenceNumber']}"
    until(lambda: ksef.get(path, access).json()["status"], lambda status: status == "Active")
    certificate = client.security.get_public_key_certificate("KsefTokenEncryption")
    result = AuthCoordinator(client.auth).authenticate_with_ksef_token(
        token=made["token"],
        public_certificate=certificate.certificate,
        public_key_id=certificate.public_key_id,
        context_identifier_type="nip",
        context_identifier_value=me,
        **FAST,
    )
    return result.access_token


@pytest.mark.parametrize("way", ["token", "rsa", "ec", "rsa, schema 2.0"])
def test_log_in_send_and_get_the_receipt(ksef: Sandbox, independent: KsefClient, way: str):
    me = nip()
    if way == "token":
        access = by_token(independent, ksef, me)
    else:
        key = ec_key() if way == "ec" else rsa_key()
        access = by_signature(independent, me, key, "2.0" if "2.0" in way else "2.1")
    certificate = independent.security.get_public_key_certificate("SymmetricKeyEncryption")
    workflow = OnlineSessionWorkflow(independent.sessions)
    session = workflow.open_session(
        form_code=FormCode(system_code="FA (3)", schema_version="1-0E", value="FA"),
        public_certificate=certificate.certificate,
        public_key_id=certificate.public_key_id,
        access_token=access,
    )
    plain = invoice(me)
    sent = session.send_invoice(plain)
    item = until(lambda: session.get_invoice_status(sent.reference_number), lambda i: i.status.code >= 200)
    assert (item.status.code, item.invoice_hash) == (200, sha(plain))
    workflow.close_session(session.reference_number, access)
    final = until(session.get_status, lambda body: body.status.code >= 200)
    assert (final.status.code, final.successful_invoice_count) == (200, 1)
    for content in (
        session.get_invoice_upo_by_ref(sent.reference_number),
        session.get_invoice_upo_by_ksef(item.ksef_number),
        session.get_upo(final.upo.pages[0].reference_number),
    ):
        document = etree.fromstring(content).find(f"{UPO}Dokument")
        assert document.findtext(f"{UPO}NumerKSeFDokumentu") == item.ksef_number
    assert independent.invoices.get_invoice_bytes(item.ksef_number, access_token=access).content == plain
