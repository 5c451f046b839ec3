"""The main way: log in, open, send, read, close, receipt."""

from __future__ import annotations

import base64
import hashlib

from lxml import etree
from sandbox_crypto import seal
from sandbox_invoices import invoice, nip, number

UPO = "{http://upo.schematy.mf.gov.pl/KSeF/v4-3}"


def test_an_invoice_goes_all_the_way_to_its_receipt(ksef):
    me, no = nip(), number()
    token = ksef.login(seal(me), me)
    session = ksef.open(token)
    plain = invoice(me, no)
    ref = ksef.send(token, session, plain)
    item = ksef.invoice(token, session, ref)
    assert item["status"] == {"code": 200, "description": "Sukces"}
    assert item["invoiceNumber"] == no
    assert item["invoicingMode"] == "Online"
    assert item["ordinalNumber"] == 1
    final = ksef.close_session(token, session)
    assert final["status"] == {"code": 200, "description": "Sesja interaktywna przetworzona pomyślnie"}
    assert (final["invoiceCount"], final["successfulInvoiceCount"], final["failedInvoiceCount"]) == (1, 1, 0)

    receipt = ksef.get(f"/sessions/{session.ref}/invoices/{ref}/upo", token)
    assert receipt.headers["content-type"] == "application/xml"
    digest = base64.b64encode(hashlib.sha256(receipt.content).digest()).decode()
    assert receipt.headers["x-ms-meta-hash"] == digest
    document = etree.fromstring(receipt.content).find(f"{UPO}Dokument")
    assert document.findtext(f"{UPO}NumerKSeFDokumentu") == item["ksefNumber"]
    assert document.findtext(f"{UPO}SkrotDokumentu") == item["invoiceHash"]

    original = ksef.get(f"/invoices/ksef/{item['ksefNumber']}", token)
    assert original.content == plain
