"""Keys for single purposes, derived from a root: one that leaks tells nothing of the others."""

from __future__ import annotations

from hashlib import pbkdf2_hmac
from typing import Final

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from domain.encryption.keyring import RingKey

KEY_BYTES = 32
PASSPHRASE_ROUNDS: Final = 600_000
"""OWASP's count for PBKDF2-HMAC-SHA256: a quarter of a second. It goes into stored keys: it never changes."""


def derived_key(root: str | bytes, purpose: str) -> bytes:
    """32 bytes by HKDF-SHA256 (RFC 5869). The purpose goes into stored keys: it never changes."""
    material = root.encode() if isinstance(root, str) else root
    return hkdf(material, info=b"credit-system/" + purpose.encode())


def hkdf(material: bytes, *, info: bytes, salt: bytes | None = None, length: int = KEY_BYTES) -> bytes:
    """`length` bytes by HKDF-SHA256 (RFC 5869)."""
    return HKDF(algorithm=SHA256(), length=length, salt=salt, info=info).derive(material)


def passphrase_key(passphrase: str, salt: bytes, *, rounds: int = PASSPHRASE_ROUNDS) -> bytes:
    """32 bytes by PBKDF2-HMAC-SHA256 (RFC 8018). Takes long, and lets other threads run."""
    return pbkdf2_hmac("sha256", passphrase.encode(), salt, rounds, KEY_BYTES)


def root_key(key: RingKey) -> bytes:
    """The root that a key of a ring is: its secret, or what its passphrase is stretched to."""
    secret = key.secret
    return secret.encode() if key.salt is None else passphrase_key(secret, key.salt.encode())
