"""Nonces in Redis: a key each, that ends by itself."""

from __future__ import annotations

from adapters.redis.driver.interface import RedisDriver, accepted
from adapters.redis.key_names import KeyNames
from ports.identity.nonces import Nonces


class RedisNonces:
    """Every worker of a service uses the same `naming_key`."""

    def __init__(self, *, driver: RedisDriver, naming_key: bytes) -> None:
        self._driver = driver
        self._names = KeyNames(key=naming_key)

    async def first_use(self, owner: str, nonce: str, *, ttl_ms: int) -> bool:
        name = b"nonce:{%b}" % self._names.hashed("nonce", f"{owner}\0{nonce}")
        return accepted(await self._driver.execute("SET", name, 1, "PX", ttl_ms, "NX")) is not None


def _proof(nonces: RedisNonces) -> Nonces:
    """mypy holds the adapter to its port here."""
    return nonces
