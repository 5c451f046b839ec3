"""`ksef-client` from PyPI, unchanged, sends packages and orders certificates.

It refuses loopback addresses in upload URLs, so the sandbox names itself `ksef.test`, which this process alone resolves.
"""

from __future__ import annotations

import base64
import socket

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from ksef_client import KsefClient, KsefClientOptions
from ksef_client.models import (
    EnrollCertificateRequest,
    FormCode,
    QueryCertificatesRequest,
    RetrieveCertificatesRequest,
    RevokeCertificateRequest,
)
from ksef_client.services.csr import generate_csr_ec, generate_csr_rsa
from ksef_client.services.workflows import BatchSessionWorkflow
from ksef_client.utils.zip_utils import build_tar_gz, build_zip
from lxml import etree
from sandbox_client import Process, Sandbox, until
from sandbox_crypto import Identity, ec_key, rsa_key, sha
from sandbox_invoices import invoice, nip
from sandbox_strangers import by_signature

UPO = "{http://upo.schematy.mf.gov.pl/KSeF/v4-3}"
HOST = "ksef.test"
FORM = FormCode(system_code="FA (3)", schema_version="1-0E", value="FA")


@pytest.fixture(scope="module")
def named_url(tmp_path_factory):
    process = Process(tmp_path_factory.mktemp("named"), host=HOST)
    yield process.url
    assert process.stop() == 0


@pytest.fixture
def named(named_url, monkeypatch):
    """The client of other people at a sandbox that has a name."""
    real = socket.getaddrinfo

    def resolve(host, *rest, **options):
        return real("127.0.0.1" if host in (HOST, HOST.encode()) else host, *rest, **options)

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    options = KsefClientOptions(base_url=named_url, strict_presigned_url_validation=False)
    with KsefClient(options) as client:
        yield client


@pytest.fixture
def independent(sandbox_url):
    with KsefClient(KsefClientOptions(base_url=sandbox_url)) as client:
        yield client


@pytest.mark.parametrize(("pack", "compression"), [(build_zip, "Zip"), (build_tar_gz, "TarGz")])
def test_send_a_package_and_get_the_receipts(named: KsefClient, pack, compression):
    me = nip()
    access = by_signature(named, me, ec_key())
    files = {f"{n}.xml": invoice(me) for n in range(12)} | {"zła.xml": invoice(nip())}
    public = named.security.get_public_key_certificate("SymmetricKeyEncryption")
    workflow = BatchSessionWorkflow(named.sessions, named.http_client)
    session = workflow.open_session(
        form_code=FORM,
        archive_bytes=pack(files),
        compression_type=compression,
        public_certificate=public.certificate,
        public_key_id=public.public_key_id,
        access_token=access,
    )
    assert HOST in session.part_upload_requests[0].url
    session.upload_parts(parallelism=2)
    session.close()
    final = until(session.get_status, lambda body: body.status.code >= 200)
    assert (final.status.code, final.successful_invoice_count, final.failed_invoice_count) == (200, 12, 1)
    first = session.list_invoices(page_size=10)
    rest = session.list_invoices(page_size=10, continuation_token=first.continuation_token)
    items = {item.invoice_file_name: item for item in [*first.invoices, *rest.invoices]}
    assert {name: item.invoice_hash for name, item in items.items()} == {n: sha(c) for n, c in files.items()}
    (failed,) = session.list_failed_invoices().invoices
    assert (failed.invoice_file_name, failed.status.code) == ("zła.xml", 410)
    receipt = etree.fromstring(session.get_upo(final.upo.pages[0].reference_number))
    numbers = {d.findtext(f"{UPO}NumerKSeFDokumentu") for d in receipt.findall(f"{UPO}Dokument")}
    assert numbers == {item.ksef_number for item in items.values() if item.ksef_number}


def test_order_a_certificate_work_with_it_and_revoke_it(ksef: Sandbox, independent: KsefClient):
    for make, key in ((generate_csr_ec, ec_key()), (generate_csr_rsa, rsa_key())):
        me = nip()
        access = by_signature(independent, me, key)
        certificates = independent.certificates
        assert certificates.get_limits(access).can_request is True
        request = make(certificates.get_enrollment_data(access).to_dict())
        answer = certificates.send_enrollment(
            EnrollCertificateRequest(
                certificate_name="Biuro 2026",
                certificate_type="Authentication",
                csr=request.csr_base64,
            ),
            access_token=access,
        )
        ask = lambda: certificates.get_enrollment_status(answer.reference_number, access_token=access)  # noqa: B023, E731
        status = until(ask, lambda status: status.status.code != 100)
        serial = status.certificate_serial_number
        (item,) = certificates.retrieve_certificate(
            RetrieveCertificatesRequest(certificate_serial_numbers=[serial]), access_token=access
        ).certificates
        own = Identity(
            x509.load_der_x509_certificate(base64.b64decode(item.certificate)),
            serialization.load_der_private_key(base64.b64decode(request.private_key_base64), None),
        )
        assert ksef.outcome(ksef.start(own, me))["code"] == 200
        (shown,) = certificates.query_certificates(QueryCertificatesRequest(), access_token=access).certificates
        assert (shown.name, shown.certificate_serial_number) == ("Biuro 2026", serial)
        certificates.revoke_certificate(
            serial, RevokeCertificateRequest(revocation_reason="Superseded"), access_token=access
        )
        assert ksef.outcome(ksef.start(own, me))["details"] == ["Certyfikat odwołany"]
