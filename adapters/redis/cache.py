"""The cache in Redis: so many places and no more, each name in one of them.

Redis holds bans too and evicts nothing, so the cache's share of it is bounded by construction:
`PLACES` keys of at most `VALUE_BYTES_MAX` bytes and what sealing adds. Two names that share a place
push each other out, which costs a hit and no more: a value opens under its own name only.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable

from adapters.redis.driver.interface import RedisDriver, accepted
from adapters.redis.key_names import KeyNames
from ports.documents.cache import VALUE_BYTES_MAX, Cache

PLACES = 4_096


class RedisCache:
    """`seal` and `open_sealed` get the name as their context; a value that does not open is not there."""

    def __init__(
        self,
        *,
        driver: RedisDriver,
        naming_key: bytes,
        seal: Callable[[bytes, bytes], bytes],
        open_sealed: Callable[[bytes, bytes], bytes | None],
        places: int = PLACES,
    ) -> None:
        self._driver = driver
        self._names = KeyNames(key=naming_key)
        self._seal = seal
        self._open = open_sealed
        self._places = places

    async def get(self, name: str) -> bytes | None:
        sealed = accepted(await self._driver.execute(b"GET", self._place(name)))
        return self._open(sealed, _context(name)) if isinstance(sealed, bytes) else None

    async def put(self, name: str, value: bytes, *, ttl_ms: int) -> None:
        if len(value) > VALUE_BYTES_MAX:
            raise ValueError(f"a cached value has at most {VALUE_BYTES_MAX} bytes")
        sealed = self._seal(value, _context(name))
        accepted(await self._driver.execute(b"SET", self._place(name), sealed, b"PX", ttl_ms))

    def _place(self, name: str) -> bytes:
        return self._names.cache_place(name, self._places)


def _context(name: str) -> bytes:
    """Of a fixed length, for names of any."""
    return b"cache/" + hashlib.sha256(name.encode()).digest()


def _proof(cache: RedisCache) -> Cache:
    """mypy holds the adapter to its port here."""
    return cache
