"""Values that may be used once, remembered by all workers."""

from __future__ import annotations

from typing import Protocol


class Nonces(Protocol):
    """Each owner has nonces of its own."""

    async def first_use(self, owner: str, nonce: str, *, ttl_ms: int) -> bool:
        """Whether this is the first use within `ttl_ms`: True for one caller among all workers.

        Raises `DependencyUnavailable`; the nonce may count as used then.
        """
