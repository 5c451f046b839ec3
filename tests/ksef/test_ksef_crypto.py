import base64
import hashlib
from datetime import timedelta

import pytest
from cryptography.hazmat.primitives.asymmetric.padding import MGF1, OAEP
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID
from hypothesis import given
from hypothesis import strategies as st
from ksef_helpers import NOW, certificate_for, ec_key, rsa_key

from ksef_tui.domain.problems import Problem
from ksef_tui.domain.secret import Secret
from ksef_tui.ksef import public_keys
from ksef_tui.ksef.crypto import (
    SessionKey,
    encrypt_invoice,
    encrypt_token,
    encryption_info,
    new_session_key,
    sha256_b64,
    sha256_hex,
    wrap_key,
)
from ksef_tui.ksef.models import PublicKeyCertificate
from ksef_tui.ksef.public_keys import KEY_ENCRYPTION, TOKEN_ENCRYPTION, KeyRing, choose, verify_chain

KEY = SessionKey(Secret(bytes(range(32))), bytes(range(16)))
MF = {NameOID.COUNTRY_NAME: "PL", NameOID.ORGANIZATION_NAME: "MINISTERSTWO FINANSÓW", NameOID.COMMON_NAME: "KSeF"}
CA = {NameOID.COUNTRY_NAME: "PL", NameOID.COMMON_NAME: "Urząd Certyfikacji Wierzba"}
rsa = rsa_key()


def wire(key, subject=MF, *, usage=(KEY_ENCRYPTION, TOKEN_ENCRYPTION), start=NOW, days=10, name="k1", **rest):
    certificate = certificate_for(key, subject, start=start, days=days, **rest)
    return PublicKeyCertificate(
        certificate=base64.b64encode(certificate.public_bytes(Encoding.DER)).decode(),
        valid_from=start,
        valid_to=start + timedelta(days=days),
        usage=usage,
        public_key_id=name,
    )


def opened(sealed: str) -> bytes:
    return rsa.decrypt(base64.b64decode(sealed), OAEP(MGF1(SHA256()), SHA256(), None))


def test_the_vector_of_the_documentation() -> None:
    sealed = encrypt_invoice(b"<a/>", KEY)
    assert base64.b64encode(sealed.content) == b"Ej92zsdke+YjroszUGTYgw=="
    assert sealed.hash == "KRFDY/dJoCJraYjdo8okkqlUEXq2tfOCcGwgMA2rwHk="
    assert sealed.encrypted_hash == "WCVLVaY/rUVa1x93iF4vWA+g78b9VcKUPPPgY5WIG7Y="
    assert (sealed.size, sealed.encrypted_size) == (4, 16)


@given(st.binary(max_size=100))
def test_an_invoice_comes_back_byte_for_byte_and_carries_no_iv(data: bytes) -> None:
    sealed = encrypt_invoice(data, KEY)
    assert sealed.encrypted_size == len(sealed.content) == len(data) // 16 * 16 + 16
    decryptor = Cipher(algorithms.AES256(KEY.key.reveal()), modes.CBC(KEY.iv)).decryptor()
    plain = decryptor.update(sealed.content) + decryptor.finalize()
    assert plain[: -plain[-1]] == data
    assert sealed.hash == base64.b64encode(hashlib.sha256(data).digest()).decode() == sha256_b64(data)
    assert sha256_hex(data) == hashlib.sha256(data).hexdigest()


def test_every_session_gets_a_key_and_iv_of_its_own() -> None:
    keys = [new_session_key() for _ in range(20)]
    assert len({k.key.reveal() for k in keys}) == len({k.iv for k in keys}) == 20
    assert all(len(k.key.reveal()) == 32 and len(k.iv) == 16 for k in keys)
    assert "***" in repr(keys[0]) and repr(keys[0].key.reveal()) not in repr(keys[0])


def test_the_session_key_is_wrapped_for_the_ministry() -> None:
    key = wire(rsa)
    info = encryption_info(KEY, key)
    assert opened(info.encrypted_symmetric_key) == KEY.key.reveal()
    assert base64.b64decode(info.initialization_vector) == KEY.iv
    assert info.public_key_id == "k1"


def test_a_token_is_encrypted_with_the_time_of_the_challenge() -> None:
    token = Secret("20260101-EC-0000000000-0000000000-00|nip-1111111111|abc")
    assert opened(encrypt_token(token, 1752236636015, wire(rsa))) == token.reveal() + b"|1752236636015"


def test_a_text_that_is_too_long_to_be_a_token_gets_a_plain_sentence() -> None:
    with pytest.raises(Problem, match="za długi"):
        encrypt_token(Secret("x" * 1000), 1, wire(rsa))


@pytest.mark.parametrize("certificate", ["", "bm90IGEgY2VydA==", "żółw"])
def test_an_unreadable_key_of_the_ministry_is_a_problem_not_a_crash(certificate: str) -> None:
    bad = PublicKeyCertificate(certificate=certificate, valid_from=NOW, valid_to=NOW)
    with pytest.raises(Problem, match="nieczytelny"):
        wrap_key(KEY.key, bad)


def test_a_key_of_another_kind_is_refused() -> None:
    with pytest.raises(Problem, match="nie RSA"):
        wrap_key(KEY.key, wire(ec_key()))


class TestChoosing:
    day = timedelta(days=1)

    def test_usage_and_validity_decide_then_the_latest_start(self) -> None:
        keys = [
            wire(rsa, start=NOW - 9 * self.day, name="older"),
            wire(rsa, start=NOW - 2 * self.day, name="newer"),
            wire(rsa, start=NOW + self.day, name="future"),
            wire(rsa, start=NOW - self.day, usage=(TOKEN_ENCRYPTION,), name="tokens"),
            wire(rsa, start=NOW - 20 * self.day, name="ended"),
        ]
        assert choose(keys, KEY_ENCRYPTION, NOW).public_key_id == "newer"
        assert choose(keys, TOKEN_ENCRYPTION, NOW).public_key_id == "tokens"

    def test_none_fits(self) -> None:
        with pytest.raises(Problem) as caught:
            choose([wire(rsa, start=NOW + self.day)], KEY_ENCRYPTION, NOW)
        assert caught.value.code == "no_public_key"


class TestRealEnvironments:
    def test_the_ministrys_certificate_from_an_authority_passes(self) -> None:
        verify_chain(wire(rsa, issuer=CA, issuer_key=ec_key()), NOW)

    @pytest.mark.parametrize(
        ("key", "why"),
        [
            (wire(rsa), "sam się poświadcza"),
            (wire(rsa, {**MF, NameOID.ORGANIZATION_NAME: "Firma Jodła"}, issuer=CA), "nie należy do Ministerstwa"),
            (wire(rsa, issuer=CA, start=NOW - timedelta(days=30)), "nie jest teraz ważny"),
            (wire(rsa, issuer=CA, start=NOW + timedelta(days=1)), "nie jest teraz ważny"),
        ],
    )
    def test_anything_else_is_refused(self, key: PublicKeyCertificate, why: str) -> None:
        with pytest.raises(Problem, match=why) as caught:
            verify_chain(key, NOW)
        assert caught.value.code == "untrusted_public_key"


class Source:
    def __init__(self) -> None:
        self.asked = 0

    async def public_keys(self) -> list[PublicKeyCertificate]:
        self.asked += 1
        return [wire(rsa, name=f"answer {self.asked}")]


class TestKeyRing:
    async def test_the_list_is_kept_for_hours_and_fetched_again_when_forgotten(self) -> None:
        source, now = Source(), [NOW]
        ring = KeyRing(source, verified=False, clock=lambda: now[0])
        assert (await ring.get(KEY_ENCRYPTION)).public_key_id == "answer 1"
        now[0] += public_keys.KEEP - timedelta(seconds=1)
        assert (await ring.get(TOKEN_ENCRYPTION)).public_key_id == "answer 1"
        ring.forget()
        assert (await ring.get(KEY_ENCRYPTION)).public_key_id == "answer 2"
        now[0] += public_keys.KEEP
        assert (await ring.get(KEY_ENCRYPTION)).public_key_id == "answer 3"

    async def test_on_a_real_environment_a_foreign_key_is_never_used(self) -> None:
        ring = KeyRing(Source(), verified=True, clock=lambda: NOW)
        with pytest.raises(Problem, match="poświadcza"):
            await ring.get(KEY_ENCRYPTION)
