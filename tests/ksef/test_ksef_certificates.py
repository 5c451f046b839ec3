import subprocess
from datetime import timedelta

import pytest
from cryptography.hazmat.primitives.asymmetric import ed25519
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    pkcs12,
)
from cryptography.x509.oid import NameOID
from ksef_helpers import NOW, OFFICE_NIP, PERSON, SEAL, certificate_for, ec_key, rsa_key

from ksef_tui.domain.problems import Problem
from ksef_tui.domain.secret import Secret
from ksef_tui.ksef.certificates import (
    certificate_bytes,
    certificate_from_bytes,
    describe,
    key_from_bytes,
    load,
    private_key_bytes,
    prove,
)

PASSWORD = "Zażółć gęślą 7!"
RSA, EC, OTHER = rsa_key(), ec_key(), ec_key()
CERTIFICATES = {RSA: certificate_for(RSA), EC: certificate_for(EC)}
P8, OLD = PrivateFormat.PKCS8, PrivateFormat.TraditionalOpenSSL
LOCK = BestAvailableEncryption(PASSWORD.encode())


def pem(certificate) -> bytes:
    return certificate.public_bytes(Encoding.PEM)


def p12(key, certificate, others=None, password: str | None = PASSWORD) -> bytes:
    lock = BestAvailableEncryption(password.encode()) if password else NoEncryption()
    return pkcs12.serialize_key_and_certificates(b"biuro", key, certificate, others, lock)


def code_of(*files: bytes | None, password: str | None = None) -> str:
    with pytest.raises(Problem) as caught:
        load(*files, Secret(password) if password is not None else None, now=NOW)
    assert caught.value.message.endswith((".", "?"))
    return caught.value.code


@pytest.mark.parametrize("key", [RSA, EC], ids=["RSA", "EC"])
class TestFormsOfFiles:
    @pytest.mark.parametrize("encoding", [Encoding.PEM, Encoding.DER])
    @pytest.mark.parametrize("form", [P8, OLD])
    @pytest.mark.parametrize("certificate_encoding", [Encoding.PEM, Encoding.DER])
    def test_plain_key(self, key, encoding, form, certificate_encoding) -> None:
        certificate = CERTIFICATES[key].public_bytes(certificate_encoding)
        identity = load(certificate, key.private_bytes(encoding, form, NoEncryption()), now=NOW)
        assert identity.key.private_numbers() == key.private_numbers()
        assert identity.certificate == CERTIFICATES[key]

    @pytest.mark.parametrize(("encoding", "form"), [(Encoding.PEM, P8), (Encoding.DER, P8), (Encoding.PEM, OLD)])
    def test_encrypted_key(self, key, encoding, form) -> None:
        files = pem(CERTIFICATES[key]), key.private_bytes(encoding, form, LOCK)
        identity = load(*files, Secret(PASSWORD), now=NOW)
        assert identity.key.private_numbers() == key.private_numbers()
        assert code_of(*files, password="zle") == "wrong_password"
        assert code_of(*files, password="") == "wrong_password"
        assert code_of(*files) == "wrong_password"

    def test_pkcs12(self, key) -> None:
        chain = [certificate_for(OTHER, PERSON)]
        identity = load(p12(key, CERTIFICATES[key], chain), None, Secret(PASSWORD), now=NOW)
        assert identity.certificate == CERTIFICATES[key]
        assert identity.key.private_numbers() == key.private_numbers()
        assert code_of(p12(key, CERTIFICATES[key]), None, password="zle") == "wrong_password"
        assert code_of(p12(key, CERTIFICATES[key]), None) == "wrong_password"

    def test_pkcs12_without_a_password(self, key) -> None:
        assert load(p12(key, CERTIFICATES[key], password=None), now=NOW).certificate == CERTIFICATES[key]

    def test_one_pem_with_both_and_with_a_whole_chain(self, key) -> None:
        both = pem(certificate_for(OTHER, PERSON)) + key.private_bytes(Encoding.PEM, P8, NoEncryption())
        assert load(both + pem(CERTIFICATES[key]), now=NOW).certificate == CERTIFICATES[key]

    def test_byte_order_mark_windows_lines_and_text_around(self, key) -> None:
        certificate = b"\xef\xbb\xbf" + b"Certyfikat biura\r\n" + pem(CERTIFICATES[key]).replace(b"\n", b"\r\n")
        plain = b"\xef\xbb\xbf" + key.private_bytes(Encoding.PEM, P8, NoEncryption()).replace(b"\n", b"\r\n")
        assert load(certificate, plain, now=NOW).certificate == CERTIFICATES[key]

    def test_a_password_for_a_key_that_has_none_does_no_harm(self, key) -> None:
        plain = key.private_bytes(Encoding.PEM, P8, NoEncryption())
        assert load(pem(CERTIFICATES[key]), plain, Secret(PASSWORD), now=NOW).certificate == CERTIFICATES[key]

    def test_what_is_sealed_comes_back(self, key) -> None:
        identity = load(pem(CERTIFICATES[key]), key.private_bytes(Encoding.DER, P8, NoEncryption()), now=NOW)
        assert key_from_bytes(private_key_bytes(identity)).private_numbers() == key.private_numbers()
        assert certificate_from_bytes(certificate_bytes(identity)) == CERTIFICATES[key]


def test_a_key_as_openssl_encrypts_it(tmp_path) -> None:
    plain = tmp_path / "plain.key"
    plain.write_bytes(EC.private_bytes(Encoding.PEM, P8, NoEncryption()))
    command = ["openssl", "pkcs8", "-topk8", "-in", str(plain), "-passout", "stdin"]
    try:
        sealed = subprocess.run(command, input=b"haslo\n", capture_output=True, check=True).stdout
    except FileNotFoundError:
        pytest.skip("no openssl on this machine")
    assert load(pem(CERTIFICATES[EC]), sealed, Secret("haslo"), now=NOW).certificate == CERTIFICATES[EC]


@pytest.mark.parametrize("key", [RSA, EC], ids=["RSA", "EC P-256"])
@pytest.mark.parametrize("line_end", [b"\n", b"\r\n"], ids=["LF", "CRLF"])
def test_the_pair_that_the_ministrys_application_hands_out(tmp_path, key, line_end: bytes) -> None:
    """`.crt` and an encrypted `.key`: PBES2 with AES-256-CBC and PBKDF2-HMAC-SHA256, a password with Polish letters."""
    plain = tmp_path / "plain.key"
    plain.write_bytes(key.private_bytes(Encoding.PEM, P8, NoEncryption()))
    command = ["openssl", "pkcs8", "-topk8", "-in", str(plain), "-passout", "stdin"]
    command += ["-v2", "aes-256-cbc", "-v2prf", "hmacWithSHA256"]
    try:
        sealed = subprocess.run(command, input=PASSWORD.encode() + b"\n", capture_output=True, check=True).stdout
    except FileNotFoundError:
        pytest.skip("no openssl on this machine")
    assert sealed.startswith(b"-----BEGIN ENCRYPTED PRIVATE KEY-----")
    files = pem(CERTIFICATES[key]).replace(b"\n", line_end), sealed.replace(b"\n", line_end)
    loaded = load(*files, Secret(PASSWORD), now=NOW)
    assert loaded.key.private_numbers() == key.private_numbers()
    assert code_of(*files, password="Zazolc gesla 7!") == "wrong_password"
    assert code_of(*files) == "wrong_password"
    assert prove(certificate_bytes(loaded), private_key_bytes(loaded))


def test_a_proof_of_use_is_made_by_the_key_of_that_certificate_only() -> None:
    for key, certificate in CERTIFICATES.items():
        identity = load(pem(certificate), key.private_bytes(Encoding.DER, P8, NoEncryption()), now=NOW)
        assert prove(certificate_bytes(identity), private_key_bytes(identity))
        with pytest.raises(Problem) as caught:
            prove(certificate_for(OTHER).public_bytes(Encoding.DER), private_key_bytes(identity))
        assert caught.value.code == "key_mismatch"


class TestRefusals:
    plain = EC.private_bytes(Encoding.PEM, P8, NoEncryption())
    certificate = pem(CERTIFICATES[EC])

    def test_a_key_of_another_certificate(self) -> None:
        assert code_of(pem(CERTIFICATES[RSA]), self.plain) == "key_mismatch"
        assert code_of(pem(certificate_for(OTHER)), self.plain) == "key_mismatch"

    def test_swapped_files(self) -> None:
        assert code_of(self.plain, self.certificate) == "bad_certificate"

    def test_a_certificate_in_place_of_the_key(self) -> None:
        assert code_of(self.certificate, self.certificate) == "bad_key"

    @pytest.mark.parametrize("file", [certificate, CERTIFICATES[EC].public_bytes(Encoding.DER)], ids=["pem", "der"])
    def test_a_certificate_alone(self, file: bytes) -> None:
        assert code_of(file, None) == "bad_key"

    def test_pkcs12_without_a_key(self) -> None:
        file = pkcs12.serialize_key_and_certificates(b"x", None, CERTIFICATES[EC], None, NoEncryption())
        assert code_of(file, None) == "bad_key"

    @pytest.mark.parametrize(
        "rubbish", [b"", b"\x00" * 40, b"to nie jest certyfikat", b"-----BEGIN CERTIFICATE-----\nAA\n"]
    )
    def test_rubbish(self, rubbish: bytes) -> None:
        assert code_of(rubbish, self.plain) == "bad_certificate"
        assert code_of(self.certificate, rubbish) == "bad_key"
        assert code_of(rubbish, None) in ("bad_certificate", "bad_key")

    def test_a_damaged_pkcs12(self) -> None:
        file = p12(EC, CERTIFICATES[EC])
        assert code_of(file[: len(file) // 2], None, password=PASSWORD) in ("wrong_password", "bad_certificate")

    def test_a_pkcs12_given_as_a_certificate_says_how_to_give_it(self) -> None:
        with pytest.raises(Problem, match="PKCS#12"):
            load(p12(EC, CERTIFICATES[EC]), self.plain, now=NOW)

    def test_a_public_key_is_not_a_private_one(self) -> None:
        public = EC.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
        assert code_of(self.certificate, public) == "bad_key"

    def test_expired_and_not_yet_valid(self) -> None:
        old = certificate_for(EC, start=NOW - timedelta(days=400), days=30)
        assert code_of(pem(old), self.plain) == "certificate_expired"
        new = certificate_for(EC, start=NOW + timedelta(days=2))
        assert code_of(pem(new), self.plain) == "certificate_not_yet_valid"

    def test_a_mismatch_is_said_before_the_expiry(self) -> None:
        old = certificate_for(OTHER, start=NOW - timedelta(days=400), days=30)
        assert code_of(pem(old), self.plain) == "key_mismatch"

    def test_short_and_foreign_keys(self) -> None:
        short = rsa_key(1024)
        assert code_of(pem(certificate_for(short)), short.private_bytes(Encoding.PEM, P8, NoEncryption())) == "weak_key"
        foreign = ed25519.Ed25519PrivateKey.generate().private_bytes(Encoding.PEM, P8, NoEncryption())
        assert code_of(self.certificate, foreign) == "weak_key"

    def test_no_message_carries_the_password(self) -> None:
        with pytest.raises(Problem) as caught:
            load(self.certificate, EC.private_bytes(Encoding.PEM, P8, LOCK), Secret("tajne-haslo"), now=NOW)
        assert "tajne-haslo" not in str(caught.value) and caught.value.__suppress_context__


@pytest.mark.parametrize(
    ("subject", "expected"),
    [
        (SEAL, ("Nip", OFFICE_NIP, True)),
        (PERSON, ("Pesel", "90010112349", False)),
        ({**PERSON, NameOID.SERIAL_NUMBER: f"TINPL-{OFFICE_NIP}"}, ("Nip", OFFICE_NIP, False)),
        ({**PERSON, NameOID.SERIAL_NUMBER: "PESEL: 90010112349"}, ("Pesel", "90010112349", False)),
        ({**PERSON, NameOID.ORGANIZATION_IDENTIFIER: f"VATPL-{OFFICE_NIP}"}, ("Pesel", "90010112349", False)),
    ],
)
def test_whose_certificate_it_is(subject, expected) -> None:
    facts = describe(certificate_for(EC, subject))
    assert (facts.subject_type, facts.subject_value, facts.is_seal) == expected


def test_a_certificate_that_names_nobody_is_known_by_its_fingerprint() -> None:
    facts = describe(certificate_for(EC, {NameOID.COMMON_NAME: "Jodła"}))
    assert facts.subject_type == "Fingerprint"
    assert facts.subject_value == facts.fingerprint
    assert len(facts.fingerprint) == 64 and facts.fingerprint == facts.fingerprint.upper()


def test_the_facts_of_a_certificate() -> None:
    facts = describe(CERTIFICATES[RSA])
    assert (facts.key_kind, facts.serial, facts.common_name) == ("RSA 2048", "01F20A5D352AE590", "Biuro Rachunkowe Dąb")
    assert (facts.valid_from, facts.valid_to) == (NOW - timedelta(days=1), NOW + timedelta(days=364))
    assert "CN=Biuro Rachunkowe Dąb" in facts.issuer
    assert describe(CERTIFICATES[EC]).key_kind == "EC P-256"
