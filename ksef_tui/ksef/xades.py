"""The request to log in and its XAdES-BES signature (facts §4.2; measured §6)."""

from __future__ import annotations

import html
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Literal

from ksef_tui.domain.problems import Problem
from ksef_tui.ksef.xml import parse

if TYPE_CHECKING:
    from cryptography import x509
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

XADES = "http://uri.etsi.org/01903/v1.3.2#"
NAMESPACE = "http://ksef.mf.gov.pl/auth/token/"
CLOCK_SKEW = timedelta(minutes=1)  # a signature "from the future" is refused; the official client subtracts the same

SubjectKind = Literal["certificateSubject", "certificateFingerprint"]


def auth_request(
    challenge: str, nip: str, *, subject: SubjectKind = "certificateSubject", version: str = "2.1"
) -> bytes:
    """The AuthTokenRequest to sign: log in with `challenge` in the context of the company `nip`.

    `subject` says who the signer is: the one named in the certificate, or its fingerprint when it names nobody.
    """

    def escaped(text: str) -> str:
        return html.escape(text, quote=False)

    return (
        '<?xml version="1.0" encoding="utf-8"?>\n'
        f'<AuthTokenRequest xmlns="{NAMESPACE}{html.escape(version)}">'
        f"<Challenge>{escaped(challenge)}</Challenge>"
        f"<ContextIdentifier><Nip>{escaped(nip)}</Nip></ContextIdentifier>"
        f"<SubjectIdentifierType>{escaped(subject)}</SubjectIdentifierType>"
        "</AuthTokenRequest>"
    ).encode()


def sign(
    document: bytes,
    certificate: x509.Certificate,
    key: RSAPrivateKey | EllipticCurvePrivateKey,
    *,
    signing_time: datetime,
) -> bytes:
    """The document with an enveloped XAdES-BES signature: SHA-256, RSA or ECDSA by the key, inclusive C14N.

    `signing_time` is now; the signature says a minute less. Send the bytes as they are returned (F53).
    Raises Problem("bad_document") when the document is not XML.
    """
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
    from lxml import etree

    try:
        root = parse(document)
    except ValueError:
        raise Problem("bad_document", "Dokument do podpisu nie jest poprawnym XML bez DOCTYPE.") from None
    method = "rsa-sha256" if isinstance(key, RSAPrivateKey) else "ecdsa-sha256"
    signed = _signer(method, signing_time - CLOCK_SKEW).sign(root, key=key, cert=[certificate])
    text: bytes = etree.tostring(signed, xml_declaration=True, encoding="utf-8")
    return text


def _signer(method: str, moment: datetime) -> Any:
    from lxml.etree import SubElement
    from signxml import xades

    class Signer(xades.XAdESSigner):  # type: ignore[attr-defined, misc, name-defined, unused-ignore]
        """signxml's signer, with the time from outside instead of its own clock."""

        def add_signing_time(self, signed_signature_properties: Any, sig_root: Any, signing_settings: Any) -> None:
            node = SubElement(signed_signature_properties, f"{{{XADES}}}SigningTime", nsmap=self.namespaces)
            node.text = moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")

    return Signer(signature_algorithm=method, digest_algorithm="sha256")
