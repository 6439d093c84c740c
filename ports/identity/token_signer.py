"""Signatures of tokens. What the claims mean is `domain.identity.tokens`'."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class SignedToken:
    """What a good signature covers. Nothing in it has been judged yet."""

    header: Mapping[str, object]
    claims: Mapping[str, object]


class TokenSigner(Protocol):
    """JSON Web Signatures in compact form (RFC 7515) under a ring of keys."""

    def sign(self, header: Mapping[str, object], claims: Mapping[str, object]) -> str:
        """Signed by the ring's writing key; `alg` and `kid` are added to the header."""

    def verify(self, token: str) -> SignedToken | None:
        """None unless it is exactly one of ours: known key, that key's algorithm, good signature,
        canonical encoding, of bounded size. Never raises on hostile input."""
