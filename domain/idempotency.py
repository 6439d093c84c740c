"""Answers that are remembered, so that a request that is sent again is not carried out again.

For writes outside of the ledger, which has its own: by the caller and the key that they chose, for a day.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from dataclasses import dataclass, field

REMEMBERED_MS = 86_400_000


@dataclass(frozen=True, slots=True)
class RememberedAnswer:
    """A success, stored in the same step as the write that it tells of. Times in ms since the epoch."""

    id: str
    """`answer_id`."""
    fingerprint: bytes
    """`request_fingerprint`: the same key with another one is a conflict."""
    status: int
    sealed_body: bytes = field(repr=False)
    """Sealed, for it may hold a secret that is shown once."""
    at_ms: int

    def is_forgotten(self, now_ms: int) -> bool:
        return now_ms - self.at_ms >= REMEMBERED_MS


def answer_id(secret: bytes, actor: str, key: str) -> str:
    """128 bits of HMAC-SHA256 over the caller and the key that they chose."""
    digest = hmac.digest(secret, f"answer\0{actor}\0{key}".encode(), hashlib.sha256)
    return base64.urlsafe_b64encode(digest[:16]).rstrip(b"=").decode()


def request_fingerprint(secret: bytes, operation: str, body: bytes) -> bytes:
    """Under a secret: a body may hold a password, and what is stored must not help to guess it."""
    return hmac.digest(secret, b"request\0" + operation.encode() + b"\0" + body, hashlib.sha256)
