"""What may be used once, remembered by all workers."""

from __future__ import annotations

from typing import Protocol


class Nonces(Protocol):
    async def first_use(self, owner: str, nonce: str, *, ttl_ms: int) -> bool:
        """True for one caller only, of all workers, within the time to live. Owners do not meet.

        Raises `DependencyUnavailable` when nobody can tell: then it may count as used.
        """
