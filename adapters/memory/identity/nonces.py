"""Nonces of one process. Nothing awaits between a look and its note, so each call is atomic."""

from __future__ import annotations

import heapq

from ports.clock import Clock
from ports.errors import DependencyUnavailable
from ports.identity.nonces import Nonces

NONCES_MAX = 100_000


class MemoryNonces:
    """Full, it refuses new ones: forgetting one that lives would let it be used again."""

    def __init__(self, *, clock: Clock, nonces_max: int = NONCES_MAX) -> None:
        self._clock = clock
        self._nonces_max = nonces_max
        self._known: set[tuple[str, str]] = set()
        self._ends: list[tuple[int, tuple[str, str]]] = []

    async def first_use(self, owner: str, nonce: str, *, ttl_ms: int) -> bool:
        now_ms = self._clock.now_ms()
        while self._ends and self._ends[0][0] <= now_ms:
            self._known.discard(heapq.heappop(self._ends)[1])
        key = (owner, nonce)
        if key in self._known:
            return False
        if len(self._known) >= self._nonces_max:
            raise DependencyUnavailable("nonces", "too many are remembered")
        self._known.add(key)
        heapq.heappush(self._ends, (now_ms + ttl_ms, key))
        return True


def _proof(nonces: MemoryNonces) -> Nonces:
    """mypy holds the adapter to its port here."""
    return nonces
