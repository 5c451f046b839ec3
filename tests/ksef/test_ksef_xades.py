from datetime import timedelta

import pytest
import xmlsec
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from ksef_helpers import CLIENT_NIP, NOW, certificate_for, ec_key, rsa_key
from lxml import etree

from ksef_tui.domain.problems import Problem
from ksef_tui.ksef.xades import auth_request, sign

CHALLENGE = "20260101-CR-0000000000-0000000000-00"
DS = "{http://www.w3.org/2000/09/xmldsig#}"
XADES = "{http://uri.etsi.org/01903/v1.3.2#}"
KEYS = {"RSA": rsa_key(), "EC P-256": ec_key(), "EC P-384": ec_key(ec.SECP384R1())}


def signed_by(name: str) -> tuple[bytes, bytes]:
    """A signed request and the certificate as PEM."""
    certificate = certificate_for(KEYS[name])
    document = sign(auth_request(CHALLENGE, CLIENT_NIP), certificate, KEYS[name], signing_time=NOW)
    return document, certificate.public_bytes(Encoding.PEM)


def verify(document: bytes, certificate: bytes) -> None:
    """By xmlsec, which has nothing of ours: raises when the signature does not hold."""
    root = etree.fromstring(document, etree.XMLParser(resolve_entities=False, no_network=True))
    xmlsec.tree.add_ids(root, ["Id"])
    context = xmlsec.SignatureContext()
    context.key = xmlsec.Key.from_memory(certificate, xmlsec.KeyFormat.CERT_PEM)
    context.verify(xmlsec.tree.find_node(root, xmlsec.Node.SIGNATURE))


@pytest.mark.parametrize("name", KEYS)
class TestSignature:
    def test_it_holds(self, name: str) -> None:
        document, certificate = signed_by(name)
        assert b"<Nip>1111111111</Nip>" in document
        verify(document, certificate)

    @pytest.mark.parametrize(
        ("old", "new"),
        [
            (b"<Nip>1111111111</Nip>", b"<Nip>5265877635</Nip>"),
            (b"2026-11-24T08:59:00Z", b"2026-11-24T08:59:01Z"),
            (b"certificateSubject", b"certificateFingerprint"),
        ],
    )
    def test_a_tampered_one_does_not(self, name: str, old: bytes, new: bytes) -> None:
        document, certificate = signed_by(name)
        assert document.count(old) >= 1
        with pytest.raises(xmlsec.Error):
            verify(document.replace(old, new), certificate)

    def test_another_certificate_does_not_fit(self, name: str) -> None:
        document, _ = signed_by(name)
        other = certificate_for(rsa_key() if name == "RSA" else ec_key(KEYS[name].curve))
        with pytest.raises(xmlsec.Error):
            verify(document, other.public_bytes(Encoding.PEM))

    def test_it_is_what_ksef_asks_for(self, name: str) -> None:
        root = etree.fromstring(signed_by(name)[0], etree.XMLParser(resolve_entities=False))
        (signature,) = root.iter(f"{DS}Signature")
        assert signature.getparent() is root
        assert root.findtext(f".//{XADES}SigningTime") == "2026-11-24T08:59:00Z"
        assert len(root.findall(f".//{XADES}CertDigest")) == 1
        assert len(root.findall(f".//{DS}X509Certificate")) == 1
        method = root.find(f".//{DS}SignatureMethod").get("Algorithm")
        assert method.endswith("#rsa-sha256" if name == "RSA" else "#ecdsa-sha256")
        uris = [reference.get("Type", "") for reference in root.iter(f"{DS}Reference")]
        assert "http://uri.etsi.org/01903#SignedProperties" in uris


def test_an_ec_signature_is_r_and_s_side_by_side() -> None:
    import base64

    document, _ = signed_by("EC P-256")
    value = etree.fromstring(document, etree.XMLParser(resolve_entities=False)).findtext(f".//{DS}SignatureValue")
    assert len(base64.b64decode(value)) == 64


def test_the_time_is_a_minute_back_and_in_utc() -> None:
    from ksef_tui.domain.times import WARSAW

    certificate = certificate_for(KEYS["EC P-256"])
    moment = NOW.astimezone(WARSAW) + timedelta(minutes=3)
    document = sign(auth_request(CHALLENGE, CLIENT_NIP), certificate, KEYS["EC P-256"], signing_time=moment)
    assert b"2026-11-24T09:02:00Z" in document


def test_the_request_is_escaped_and_says_what_it_was_told() -> None:
    document = auth_request("<&>", "1111111111", subject="certificateFingerprint", version="2.0")
    root = etree.fromstring(document, etree.XMLParser(resolve_entities=False))
    assert [element.text for element in root.iter() if len(element) == 0] == [
        "<&>",
        CLIENT_NIP,
        "certificateFingerprint",
    ]
    assert root.tag == "{http://ksef.mf.gov.pl/auth/token/2.0}AuthTokenRequest"


@pytest.mark.parametrize("document", [b"", b"<a>", b"<!DOCTYPE a [<!ENTITY b 'c'>]><a>&b;</a>", b"\xff\xfe"])
def test_what_is_not_plain_xml_is_not_signed(document: bytes) -> None:
    with pytest.raises(Problem, match="nie jest poprawnym XML"):
        sign(document, certificate_for(KEYS["RSA"]), KEYS["RSA"], signing_time=NOW)
