"""A cache in this process's memory: the least recently used goes first."""

from __future__ import annotations

from collections import OrderedDict

from ports.clock import Clock
from ports.documents.cache import VALUE_BYTES_MAX, Cache

ENTRIES_MAX = 1_024


class MemoryCache:
    """At most `entries_max` values, so at most `entries_max` times `VALUE_BYTES_MAX` bytes."""

    def __init__(self, *, clock: Clock, entries_max: int = ENTRIES_MAX) -> None:
        self._clock = clock
        self._entries_max = entries_max
        self._entries: OrderedDict[str, tuple[bytes, int]] = OrderedDict()

    async def get(self, name: str) -> bytes | None:
        value, until_ms = self._entries.get(name, (b"", 0))
        if until_ms <= self._clock.now_ms():
            self._entries.pop(name, None)
            return None
        self._entries.move_to_end(name)
        return value

    async def put(self, name: str, value: bytes, *, ttl_ms: int) -> None:
        if len(value) > VALUE_BYTES_MAX:
            raise ValueError(f"a cached value has at most {VALUE_BYTES_MAX} bytes")
        self._entries[name] = value, self._clock.now_ms() + ttl_ms
        self._entries.move_to_end(name)
        if len(self._entries) > self._entries_max:
            self._entries.popitem(last=False)


def _proof(cache: MemoryCache) -> Cache:
    """mypy holds the adapter to its port here."""
    return cache
