"""Signatures of tokens. `domain.identity.tokens` interprets the claims."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class SignedToken:
    """The content of a token with a good signature, not checked beyond that."""

    header: Mapping[str, object]
    claims: Mapping[str, object]


class TokenSigner(Protocol):
    """JSON Web Signatures in compact form (RFC 7515) under a ring of keys."""

    def sign(self, header: Mapping[str, object], claims: Mapping[str, object]) -> str:
        """The token, signed by the writing key of the ring, with `alg` and `kid` added to its header."""

    def verify(self, token: str) -> SignedToken | None:
        """The content of a token of ours; None for any other text.

        A token of ours has a known key, the algorithm of that key, a good signature, canonical encoding and
        bounded size. Never raises, whatever the text.
        """
