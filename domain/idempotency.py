"""Remembered answers, so that a repeated request is not carried out again.

For writes outside of the ledger, which has its own idempotency: by caller and idempotency key, for a day.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from dataclasses import dataclass, field

REMEMBERED_MS = 86_400_000


@dataclass(frozen=True, slots=True)
class RememberedAnswer:
    """The answer to a successful write, stored in the same step. Times are milliseconds since the epoch."""

    id: str
    """`answer_id`."""
    fingerprint: bytes
    """`request_fingerprint`. The same key with another fingerprint is a conflict."""
    status: int
    sealed_body: bytes = field(repr=False)
    """The sealed body, which may hold a secret that is shown once."""
    at_ms: int

    def is_forgotten(self, now_ms: int) -> bool:
        """Whether the answer is older than `REMEMBERED_MS`."""
        return now_ms - self.at_ms >= REMEMBERED_MS


def answer_id(secret: bytes, actor: str, key: str) -> str:
    """128 bits of HMAC-SHA256 over the caller and their idempotency key."""
    digest = hmac.digest(secret, f"answer\0{actor}\0{key}".encode(), hashlib.sha256)
    return base64.urlsafe_b64encode(digest[:16]).rstrip(b"=").decode()


def request_fingerprint(secret: bytes, operation: str, body: bytes) -> bytes:
    """HMAC-SHA256 of operation and body, under a secret, since a body may hold a password to guess."""
    return hmac.digest(secret, b"request\0" + operation.encode() + b"\0" + body, hashlib.sha256)
