"""Keys for single purposes, derived from a root: one that leaks tells nothing of the others."""

from __future__ import annotations

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

KEY_BYTES = 32


def derived_key(root: str, purpose: str) -> bytes:
    """32 bytes by HKDF-SHA256 (RFC 5869). The purpose goes into stored keys: it never changes."""
    info = b"credit-system/" + purpose.encode()
    return HKDF(algorithm=SHA256(), length=KEY_BYTES, salt=None, info=info).derive(root.encode())
