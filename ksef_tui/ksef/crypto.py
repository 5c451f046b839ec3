"""Encryption for KSeF (facts §8.2): AES-256-CBC for invoices, RSA-OAEP for keys and tokens. Vectors are in the tests."""

from __future__ import annotations

import base64
import hashlib
import os
from dataclasses import dataclass

from ksef_tui.domain.problems import Problem
from ksef_tui.domain.secret import Secret
from ksef_tui.ksef.models import EncryptionInfo, PublicKeyCertificate


@dataclass(frozen=True, slots=True)
class SessionKey:
    """The AES key and the IV of one session; both must be kept as long as the session lives (F21)."""

    key: Secret
    iv: bytes


@dataclass(frozen=True, slots=True)
class EncryptedInvoice:
    """An invoice ready for sending: hashes are Base64 SHA-256, sizes are bytes, of the plain and of the cipher text."""

    hash: str
    size: int
    encrypted_hash: str
    encrypted_size: int
    content: bytes


def new_session_key() -> SessionKey:
    """A fresh key and IV: one pair for each session, never for two."""
    return SessionKey(Secret(os.urandom(32)), os.urandom(16))


def wrap_key(key: Secret, certificate: PublicKeyCertificate) -> str:
    """The key encrypted for KSeF, Base64. Raises Problem("bad_public_key")."""
    _rich_traceback_omit = True
    return _oaep(key.reveal(), certificate)


def encryption_info(session_key: SessionKey, certificate: PublicKeyCertificate) -> EncryptionInfo:
    """What opening a session says about its key. `publicKeyId` is always sent, or a rotation shows up too late (F44)."""
    return EncryptionInfo(
        encrypted_symmetric_key=wrap_key(session_key.key, certificate),
        initialization_vector=base64.b64encode(session_key.iv).decode(),
        public_key_id=certificate.public_key_id or None,
    )


def encrypt_invoice(data: bytes, session_key: SessionKey) -> EncryptedInvoice:
    """The invoice's bytes, exactly as they are, encrypted. The IV is not put in front (facts, Appendix A 1)."""
    from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
    from cryptography.hazmat.primitives.padding import PKCS7

    _rich_traceback_omit = True
    padder = PKCS7(128).padder()
    padded = padder.update(data) + padder.finalize()
    encryptor = Cipher(algorithms.AES256(session_key.key.reveal()), modes.CBC(session_key.iv)).encryptor()
    content = encryptor.update(padded) + encryptor.finalize()
    return EncryptedInvoice(sha256_b64(data), len(data), sha256_b64(content), len(content), content)


def encrypt_token(token: Secret, timestamp_ms: int, certificate: PublicKeyCertificate) -> str:
    """A KSeF token for `submit_token`, Base64; `timestamp_ms` is the challenge's, not our clock's (facts §4.3)."""
    _rich_traceback_omit = True
    return _oaep(token.reveal() + f"|{timestamp_ms}".encode(), certificate)


def sha256_b64(data: bytes) -> str:
    """SHA-256 as KSeF writes it: standard Base64."""
    return base64.b64encode(hashlib.sha256(data).digest()).decode()


def hash_b64(sha256_hex: str) -> str:
    """A hash kept in hex as KSeF writes it: Base64 of the 32 bytes."""
    return base64.b64encode(bytes.fromhex(sha256_hex)).decode()


def sha256_hex(data: bytes) -> str:
    """SHA-256 as our documents are named: lower-case hex."""
    return hashlib.sha256(data).hexdigest()


def _oaep(plain: bytes, certificate: PublicKeyCertificate) -> str:
    from cryptography.hazmat.primitives.asymmetric.padding import MGF1, OAEP
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
    from cryptography.hazmat.primitives.hashes import SHA256

    from ksef_tui.ksef.public_keys import load

    _rich_traceback_omit = True
    key = load(certificate).public_key()
    if not isinstance(key, RSAPublicKey):
        raise Problem("bad_public_key", "Klucz Ministerstwa Finansów jest innego rodzaju, niż program zna (nie RSA).")
    try:
        sealed = key.encrypt(plain, OAEP(MGF1(SHA256()), SHA256(), None))
    except ValueError:  # longer than the key can take
        raise Problem("bad_token", "Token KSeF jest za długi – sprawdź, czy wklejono sam token.") from None
    return base64.b64encode(sealed).decode()
